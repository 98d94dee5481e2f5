package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// cancel cancels a task with a plain document.
func (f *fixture) cancel(ctx context.Context, environmentID, taskID string) (store.Cancelled, error) {
	return f.CancelTask(ctx, environmentID, taskID, func(task skill.Task, _ time.Time) []byte { return []byte("cancelled " + task.ID) })
}

func cancelled(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	begun := f.submit(t, in, items("a", "b")...)
	waiting := f.submit(t, in, items("c")...)
	lease, next := f.claim(t, in, "a", 0)
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Outcomes: []store.Run{{Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}}}}, Open: []store.Range{{Start: 1, Stop: 2}},
	})

	// One that waits ends at once.
	got, err := f.cancel(ctx, f.env, waiting.ID)
	if diff := cmp.Diff(store.Cancelled{IntegrationID: in.ID, Items: 1, Ended: true}, got); err != nil || diff != "" {
		t.Errorf("cancel what waits: %v (-want +got):\n%s", err, diff)
	}
	want := store.TaskView{Task: waiting, Status: skill.Failed, Items: 1, Done: 1, Counts: skill.Counts{Failed: 1}, Document: []byte("cancelled " + waiting.ID)}
	if diff := cmp.Diff(want, f.view(t, in, waiting.ID)); diff != "" {
		t.Errorf("what waited (-want +got):\n%s", diff)
	}
	if n := f.waiting(t, in); n != 2 {
		t.Errorf("%d items wait, want the 2 of the other task", n)
	}
	// One that was taken up goes on: its drain is told.
	for range 2 { // the second changes nothing
		got, err = f.cancel(ctx, f.env, begun.ID)
		if diff := cmp.Diff(store.Cancelled{IntegrationID: in.ID, Items: 2}, got); err != nil || diff != "" {
			t.Errorf("cancel what goes on: %v (-want +got):\n%s", err, diff)
		}
	}
	head, err := f.TaskHead(ctx, f.env, begun.ID)
	if err != nil || !head.Cancelled() || head.Done != 1 {
		t.Errorf("head = %+v, %v", head, err)
	}
	after := f.advance(t, lease, store.Step{Task: next.Task.Ref, Close: []store.Range{{Start: 1, Stop: 2}}, Hold: time.Hour})
	if after.State.SettingsVersion != in.SettingsVersion+1 {
		t.Errorf("the drain is told %+v", after.State)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Then: store.Leave})
	// Not even the tool's wait keeps it from its end, nor that the integration is off.
	isDue := func() bool {
		t.Helper()
		list, err := f.Due(ctx, 10)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 1 && list[0] == store.DueDrain{IntegrationID: in.ID, Overdue: true}
	}
	if !isDue() {
		t.Error("it is not due during a wait")
	}
	if _, err := f.SetEnabled(ctx, in.ID, false); err != nil {
		t.Fatal(err)
	}
	if !isDue() {
		t.Error("it is not due while the integration is off")
	}
	lease, next, err = f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "b", TTL: ttl, OpenUpTo: 10, Force: true})
	if err != nil || next.Task == nil || !next.Task.Cancelled || next.Task.TimeLeft > 0 || next.Opened || next.Task.ID != begun.ID {
		t.Fatalf("next = %+v, %+v, %v", next, next.Task, err)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "ended"), Then: store.Proceed})
	if head, err = f.TaskHead(ctx, f.env, begun.ID); err != nil || head.Cancelled() || head.Status != skill.Completed {
		t.Errorf("ended: %+v, %v", head, err)
	}
	for _, id := range []string{begun.ID, waiting.ID} {
		_, err = f.cancel(ctx, f.env, id)
		wantError(t, err, store.ErrTaskEnded)
	}
	env, theirs := f.another(t)
	_, err = f.cancel(ctx, env.ID, begun.ID)
	wantError(t, err, store.ErrNotFound)
	_, err = f.cancel(ctx, f.env, f.submit(t, theirs, items("a")...).ID)
	wantError(t, err, store.ErrNotFound)
	_, err = f.cancel(ctx, f.env, skill.NewTaskID(time.Now()))
	wantError(t, err, store.ErrNotFound)
	f.clock.advance(40 * 24 * time.Hour) // whatever day the ids are of
	f.expireAll(t, time.Hour, 100)
	_, err = f.cancel(ctx, f.env, begun.ID)
	if _, ok := errors.AsType[*store.ExpiredError](err); !ok {
		t.Errorf("cancel what is gone: %v", err)
	}
}

// A cancelled task whose calls are under way is not overdue, nor does it hide how long others wait. It is overdue once nobody is
// there to end it.
func cancelledHealth(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, other := f.integration(t), f.integration(t)
	oldest := f.submit(t, other, items("a")...)
	f.clock.advance(time.Minute)
	begun := f.submit(t, in, items("a", "b")...)
	lease, next := f.claim(t, in, "a", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 2}}})
	if _, err := f.cancel(ctx, f.env, begun.ID); err != nil {
		t.Fatal(err)
	}
	want := func(when string, overdue int, since time.Time) {
		t.Helper()
		if h, err := f.Health(ctx); err != nil || h.Overdue != overdue || !h.OldestPending.Equal(since) {
			t.Errorf("%s: %+v, %v", when, h, err)
		}
	}
	want("a call is under way", 0, oldest.CreatedAt)
	f.clock.advance(ttl + 10*time.Second - time.Millisecond)
	want("its lease has just run out", 0, oldest.CreatedAt)
	f.clock.advance(time.Millisecond)
	want("nobody is there", 1, oldest.CreatedAt)
	lease, next, err := f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "b", TTL: ttl, Force: true})
	if err != nil {
		t.Fatal(err)
	}
	want("somebody is there", 0, oldest.CreatedAt)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	want("it has ended", 0, oldest.CreatedAt)
	if err := f.drainAll(ctx, other, "b"); err != nil {
		t.Fatal(err)
	}
	want("all have", 0, time.Time{})
}

// A drain and somebody who cancels meet: the task ends once, by one of them.
func cancelRaced(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	const n = 20
	for range n {
		task := f.submit(t, in, items("a")...)
		var group sync.WaitGroup
		group.Go(func() {
			if err := f.drainAll(ctx, in, "a"); err != nil && !errors.Is(err, store.ErrIdle) && !errors.Is(err, store.ErrTaskEnded) {
				t.Errorf("drain: %v", err)
			}
		})
		var got store.Cancelled
		var err error
		group.Go(func() { got, err = f.cancel(ctx, f.env, task.ID) })
		group.Wait()
		if err != nil && !errors.Is(err, store.ErrTaskEnded) {
			t.Fatalf("cancel: %v", err)
		}
		if byCancel := err == nil && got.Ended; byCancel != (string(f.view(t, in, task.ID).Document) == "cancelled "+task.ID) {
			t.Errorf("cancel says %+v, %v; the document is %q", got, err, f.view(t, in, task.ID).Document)
		}
		f.clock.advance(ttl)
		if err := f.drainAll(ctx, in, "b"); err != nil && !errors.Is(err, store.ErrIdle) {
			t.Fatal(err)
		}
		if view := f.view(t, in, task.ID); view.Status == skill.Pending {
			t.Fatalf("it is pending: %+v", view)
		}
		if state, err := f.IntegrationState(ctx, f.env, in.ID); err != nil || state.Waiting != 0 || state.Pending != 0 {
			t.Fatalf("%d items wait, %v", state.Waiting, err)
		}
	}
}
