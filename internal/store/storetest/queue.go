package storetest

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// submission is one of the default environment, not yet submitted.
func submission(in store.Integration, list ...skill.Item) store.Submission {
	return store.Submission{
		EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: list, Timeout: timeout,
	}
}

// waiting is what a submission of one more item is told, without its own.
func (f *fixture) waiting(t *testing.T, in store.Integration) int {
	t.Helper()
	s := submission(in, items("probe")...)
	s.MostWaiting = 1 // nothing gets in unless nothing waits
	_, err := f.Submit(t.Context(), s)
	full, ok := errors.AsType[*store.FullError](err)
	if !ok {
		t.Fatalf("error = %v", err)
	}
	return full.Waiting
}

func mostWaiting(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, other := f.integration(t), f.integration(t)
	submit := func(most int, names ...string) (store.Accepted, error) {
		s := submission(in, items(names...)...)
		s.MostWaiting = most
		return f.Submit(ctx, s)
	}
	refused := func(names ...string) {
		t.Helper()
		s := submission(in, items(names...)...)
		s.MostWaiting = 5
		_, err := f.Submit(ctx, s)
		full, ok := errors.AsType[*store.FullError](err)
		if !ok || full.Limit != 5 {
			t.Fatalf("error = %v", err)
		}
		if _, err := f.Task(ctx, f.env, in.ID, s.TaskID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the refused task is kept: %v", err)
		}
	}
	refused("a", "b", "c", "d", "e", "f") // more than will ever get in
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("a refused task left something to do: %v, %v", list, err)
	}
	first, err := submit(5, "a", "b")
	if err != nil || first.Waiting != 2 || !skill.IsTaskID(first.ID) {
		t.Fatalf("first = %+v, %v", first, err)
	}
	second, err := submit(5, "a", "b", "c") // exactly full
	if err != nil || second.Waiting != 5 {
		t.Fatalf("second = %+v, %v", second, err)
	}
	refused("a")
	if got := f.waiting(t, in); got != 5 {
		t.Errorf("%d are waiting, want 5", got)
	}
	if _, err := submit(0, "a"); err != nil { // no limit
		t.Fatal(err)
	}
	if a, err := f.Submit(ctx, submission(other, items("a")...)); err != nil || a.Waiting != 1 {
		t.Errorf("another integration: %+v, %v", a, err)
	}

	// Whatever ends a task makes room: a drain, or the end of its time. What goes on does not.
	lease, next := f.claim(t, in, "x", 10)
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Outcomes: []store.Run{{Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}}}},
	})
	if got := f.waiting(t, in); got != 6 {
		t.Errorf("with a checkpoint: %d are waiting, want 6", got)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if got := f.waiting(t, in); got != 4 {
		t.Errorf("after the first: %d are waiting, want 4", got)
	}
	tasks, err := f.Waiting(ctx, lease, 10)
	if err != nil || len(tasks) != 2 {
		t.Fatalf("Waiting = %+v, %v", tasks, err)
	}
	failed := []store.FailedTask{{Ref: tasks[0].Ref, CompletedAt: f.clock.Now(), Document: []byte("x")}}
	for range 2 { // the second time does nothing
		if _, err := f.FailTasks(ctx, failed); err != nil {
			t.Fatal(err)
		}
		if got := f.waiting(t, in); got != 1 {
			t.Errorf("after the second: %d are waiting, want 1", got)
		}
	}
	next = f.advance(t, lease, store.Step{Then: store.Proceed})
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if last, err := submit(1, "a"); err != nil || last.Waiting != 1 {
		t.Errorf("once all is done: %+v, %v", last, err)
	}
}

// Submitters race for the room there is; never is more let in.
func mostWaitingRaced(t *testing.T, f *fixture) {
	in := f.integration(t)
	var mu sync.Mutex
	accepted, most := 0, 0
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 5 {
				s := submission(in, items("a", "b", "c")...)
				s.MostWaiting = 31
				a, err := f.Submit(t.Context(), s)
				_, full := errors.AsType[*store.FullError](err)
				mu.Lock()
				switch {
				case err == nil:
					accepted, most = accepted+1, max(most, a.Waiting)
				case !full:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if accepted != 10 || most != 30 {
		t.Errorf("accepted %d tasks of 3 with up to %d waiting; want 10 and 30, of at most 31", accepted, most)
	}
}

func held(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	f.submit(t, in, items("a")...)
	f.submit(t, in, items("b")...)
	lease, next := f.claim(t, in, "x", 10)
	if next.Hold != 0 || next.Paced != 0 {
		t.Errorf("nobody asked for patience: %+v", next)
	}
	if after := f.advance(t, lease, store.Step{Task: next.Task.Ref, Hold: 20 * time.Second}); after.Hold != 20*time.Second {
		t.Errorf("hold = %v", after.Hold)
	}
	f.clock.advance(4 * time.Second)
	if after := f.advance(t, lease, store.Step{Hold: time.Second}); after.Hold != 16*time.Second {
		t.Errorf("a shorter one changed it: %v", after.Hold)
	}
	if after := f.advance(t, lease, store.Step{}); after.Hold != 16*time.Second {
		t.Errorf("a step that says nothing changed it: %v", after.Hold)
	}
	// The drain dies. The wait is on disk, so whoever takes over keeps to it.
	f.clock.advance(ttl)
	claim := store.Claim{IntegrationID: in.ID, Owner: "y", TTL: ttl}
	_, _, err := f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle)
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("due during the wait: %v, %v", list, err)
	}
	claim.Force = true
	lease, next, err = f.Claim(ctx, claim)
	if err != nil || next.Hold != 10*time.Second {
		t.Fatalf("by force: hold = %v, %v", next.Hold, err)
	}
	// Neither does the end of the work end it, nor giving the place up.
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if next.Hold != 10*time.Second || next.Task == nil {
		t.Errorf("next = %+v", next)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	f.submit(t, in, items("c")...)
	claim.Force = false
	_, _, err = f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle)
	claim.Force = true
	if lease, _, err = f.Claim(ctx, claim); err != nil {
		t.Fatal(err)
	}
	f.advance(t, lease, store.Step{Then: store.Leave, ResumeIn: time.Second})
	claim.Force = false
	f.clock.advance(10*time.Second - time.Millisecond)
	_, _, err = f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle)
	f.clock.advance(time.Millisecond)
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 1 {
		t.Errorf("not due after the wait: %v, %v", list, err)
	}
	lease, next, err = f.Claim(ctx, claim)
	if err != nil || next.Hold != 0 {
		t.Fatalf("after the wait: hold = %v, %v", next.Hold, err)
	}
	// It may come with the step that leaves.
	f.advance(t, lease, store.Step{Hold: time.Hour, Then: store.Leave})
	_, _, err = f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle)
	// Whoever changes the integration wants to see at once what comes of it.
	if _, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	if _, next = f.claim(t, in, "z", 0); next.Hold != 0 {
		t.Errorf("hold = %v", next.Hold)
	}
}

func paced(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	f.submit(t, in, items("a")...)
	f.submit(t, in, items("b")...)
	lease, next := f.claim(t, in, "x", 10)
	if after := f.advance(t, lease, store.Step{Task: next.Task.Ref, Pace: 3 * time.Second}); after.Paced != 3*time.Second || after.Hold != 0 {
		t.Errorf("after = %+v", after)
	}
	if after := f.advance(t, lease, store.Step{Pace: 2 * time.Second}); after.Paced != 2*time.Second {
		t.Errorf("the last word does not count: %v", after.Paced)
	}
	f.clock.advance(500 * time.Millisecond)
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if next.Paced != 1500*time.Millisecond {
		t.Errorf("with the next task: %v", next.Paced)
	}
	f.advance(t, lease, store.Step{Then: store.Leave})
	// It keeps nobody from claiming: the next drain has something to prepare meanwhile. New settings do not make the tool
	// faster.
	if _, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(500 * time.Millisecond)
	if lease, next = f.claim(t, in, "y", 0); next.Paced != time.Second {
		t.Errorf("the next drain is told %v", next.Paced)
	}
	f.clock.advance(time.Hour)
	if after := f.advance(t, lease, store.Step{}); after.Paced != 0 {
		t.Errorf("long after: %v", after.Paced)
	}
	if after := f.advance(t, lease, store.Step{Pace: time.Microsecond}); after.Paced <= 0 {
		t.Errorf("a short wait was dropped: %v", after.Paced)
	}
	old := lease
	f.clock.advance(ttl)
	lease, _ = f.claim(t, in, "z", 0)
	_, err := f.Advance(ctx, old, store.Step{Pace: time.Hour, Hold: time.Hour})
	wantError(t, err, store.ErrLeaseLost)
	if after := f.advance(t, lease, store.Step{}); after.Paced != 0 || after.Hold != 0 {
		t.Errorf("a refused step set a wait: %+v", after)
	}
}

func notAnswering(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, other := f.integration(t), f.integration(t)
	f.submit(t, in, items("a")...)
	f.submit(t, in, items("b")...)
	lease, next := f.claim(t, in, "x", 10)
	away := func(what string, want ...store.Away) {
		t.Helper()
		for _, env := range []string{f.env, ""} {
			got, err := f.Away(ctx, env)
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
				t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
			}
		}
		if h, err := f.Health(ctx); err != nil || h.Away != len(want) {
			t.Errorf("%s: the database says that %d are away, %v", what, h.Away, err)
		}
	}
	if next.Failures != 0 {
		t.Errorf("from the start: %+v", next)
	}
	since := f.clock.Now()
	if after := f.advance(t, lease, store.Step{Task: next.Task.Ref, Failures: 3, Hold: time.Second}); after.Failures != 3 {
		t.Errorf("failures = %d", after.Failures)
	}
	away("not for long enough")
	f.clock.advance(2 * time.Second)
	if after := f.advance(t, lease, store.Step{Failures: 4, Away: true, Hold: time.Minute}); after.Failures != 4 {
		t.Errorf("failures = %d", after.Failures)
	}
	is := store.Away{IntegrationID: in.ID, Failures: 4, Since: since, Next: f.clock.Now().Add(time.Minute)}
	away("it does not answer", is)
	if after := f.advance(t, lease, store.Step{}); after.Failures != 4 {
		t.Errorf("a step that says nothing changed it: %+v", after)
	}
	// The next drain knows of it, with the next task too, and in another environment nobody does.
	f.clock.advance(ttl)
	old := lease
	lease, next, err := f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "y", TTL: ttl, Force: true})
	if err != nil || next.Failures != 4 {
		t.Fatalf("the next drain: %+v, %v", next, err)
	}
	_, err = f.Advance(ctx, old, store.Step{Failures: 9, Away: true})
	wantError(t, err, store.ErrLeaseLost)
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if next.Failures != 4 || next.Task == nil {
		t.Fatalf("the next task: %+v", next)
	}
	away("it still does not", is)
	if list, err := f.Away(ctx, "none"); err != nil || len(list) != 0 {
		t.Errorf("elsewhere: %+v, %v", list, err)
	}
	// It answers, and then not again, in one step.
	if after := f.advance(t, lease, store.Step{Answered: true, Failures: 1, Away: true}); after.Failures != 1 {
		t.Errorf("failures = %d", after.Failures)
	}
	is.Failures, is.Since = 1, f.clock.Now()
	away("anew", is)
	if after := f.advance(t, lease, store.Step{Answered: true}); after.Failures != 0 {
		t.Errorf("failures = %d", after.Failures)
	}
	away("it has answered")

	for name, change := range map[string]func() error{
		"on":       func() error { _, err := f.SetEnabled(ctx, in.ID, true); return err },
		"settings": func() error { _, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); return err },
		"account":  func() error { _, err := f.SetAccount(ctx, in.ID, []byte(`{}`), []byte("x")); return err },
	} {
		f.advance(t, lease, store.Step{Task: next.Task.Ref, Attempt: 3, Failures: 7, Away: true, Hold: time.Hour})
		if _, err := f.SetPolicy(ctx, in.ID, store.Policy{Adopt: true}); err != nil {
			t.Error(err)
		}
		if after := f.advance(t, lease, store.Step{}); after.Failures != 7 || after.Hold != time.Hour {
			t.Errorf("a new policy changed it: %+v", after)
		}
		if err := change(); err != nil {
			t.Error(err)
		}
		away(name)
		if after := f.advance(t, lease, store.Step{}); after.Failures != 0 || after.Hold != 0 {
			t.Errorf("%s: %+v", name, after)
		}
		if name == "on" {
			f.advance(t, lease, store.Step{Then: store.Leave})
			if lease, next = f.claim(t, in, "y", 0); next.Task.Attempt != 0 {
				t.Errorf("%s: its task has had %d attempts", name, next.Task.Attempt)
			}
			continue
		}
		// A call that was made before may end now.
		for _, late := range []store.Step{{Failures: 7, Away: true}, {Hold: time.Hour}, {Answered: true, Failures: 1, Hold: time.Hour}, {Task: next.Task.Ref, Attempt: 3}} {
			if after := f.advance(t, lease, late); after.Failures != 0 || after.Hold != 0 {
				t.Errorf("%s, and what was said before it: %+v", name, after)
			}
		}
		away(name + ", later")
		f.advance(t, lease, store.Step{Hold: time.Hour, Then: store.Leave, ResumeIn: time.Hour})
		if lease, next = f.claim(t, in, "y", 0); next.Task.Attempt != 0 {
			t.Errorf("%s: its task has had %d attempts", name, next.Task.Attempt)
		}
	}
	f.advance(t, lease, store.Step{Failures: 7, Away: true})
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Error(err)
	}
	away("deleted")
	if list, err := f.Due(ctx, 10); err != nil || slices.ContainsFunc(list, func(d store.DueDrain) bool { return d.IntegrationID == other.ID }) {
		t.Errorf("due: %+v, %v", list, err)
	}
}

func policies(t *testing.T, f *fixture) {
	ctx := t.Context()
	all := store.Policy{Adopt: true, RefuseInactive: true}
	made, err := f.CreateIntegration(ctx, store.Integration{EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{}`), Policy: all})
	if err != nil || made.Policy != all {
		t.Fatalf("made: %+v, %v", made, err)
	}
	in := f.integration(t)
	if in.Policy != (store.Policy{}) {
		t.Errorf("from the start: %+v", in.Policy)
	}
	f.submit(t, in, items("a")...)
	lease, _ := f.claim(t, in, "x", 0)
	f.advance(t, lease, store.Step{Invalid: "wrong token"})
	for n, p := range []store.Policy{{Adopt: true}, {RefuseInactive: true}, {}, all} {
		got, err := f.SetPolicy(ctx, in.ID, p)
		if err != nil || got.Policy != p || got.SettingsVersion != int64(2+n) || got.InvalidReason == "" {
			t.Errorf("%+v: %+v, %v", p, got, err)
		}
		if found, err := f.Integration(ctx, f.env, in.ID); err != nil || cmp.Diff(got, found) != "" {
			t.Errorf("found %+v, %v", found, err)
		}
	}
	// A drain that is under way is told, and the next one has it.
	if after := f.advance(t, lease, store.Step{Then: store.Leave}); after.State.SettingsVersion != 5 {
		t.Errorf("the drain is told %+v", after.State)
	}
	if lease, _ = f.claim(t, in, "y", 0); lease.Integration.Policy != all {
		t.Errorf("the next drain has %+v", lease.Integration.Policy)
	}
	if got, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); err != nil || got.Policy != all {
		t.Errorf("with other settings: %+v, %v", got, err)
	}
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{in.ID, "sandbox:none"} {
		_, err := f.SetPolicy(ctx, id, store.Policy{})
		wantError(t, err, store.ErrNotFound)
	}
}

func stolen(t *testing.T, f *fixture) {
	in := f.integration(t)
	f.submit(t, in, items("a")...)
	lease, next := f.claim(t, in, "x", 0)
	if lease.Stolen {
		t.Error("the first lease is stolen from nobody")
	}
	f.advance(t, lease, store.Step{Then: store.Leave})
	if lease, _ = f.claim(t, in, "y", 0); lease.Stolen {
		t.Error("a lease that was given back is not stolen")
	}
	f.clock.advance(ttl)
	if lease, _ = f.claim(t, in, "x", 0); !lease.Stolen {
		t.Error("a lease that ran out is stolen")
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	f.submit(t, in, items("a")...)
	if lease, _ = f.claim(t, in, "y", 0); lease.Stolen {
		t.Error("a lease that ended with the work is not stolen")
	}
}

// Other processes are woken for a task that this one will not drain, and for no other.
func elsewhere(t *testing.T, f *fixture) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	here, there, already := f.integration(t), f.integration(t), f.integration(t)
	submit := func(in store.Integration, elsewhere bool) {
		s := submission(in, items("a")...)
		s.Elsewhere = elsewhere
		if _, err := f.Submit(ctx, s); err != nil {
			t.Error(err)
		}
	}
	submit(here, false)
	submit(already, false)
	submit(already, true) // its drain is wanted: whoever is to be woken was
	submit(there, true)
	submit(there, true)

	woken := make(chan string, 100)
	retained := make(chan struct{}, 100)
	done := make(chan error, 1)
	go func() {
		done <- f.Work(ctx, store.Jobs{
			Wake: func(integrationID string) { woken <- integrationID },
			Retain: func(context.Context) error {
				retained <- struct{}{}
				return nil
			},
			RetainEvery: time.Hour,
		})
	}()
	var got []string
	limit := time.After(time.Minute)
	for range 2 { // and once again after the first was worked
		select {
		case id := <-woken:
			got = append(got, id)
		case <-limit:
			t.Fatalf("woken: %v", got)
		}
		lease, next := f.claim(t, there, "x", 0)
		for next.Task != nil {
			next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
		}
		if len(got) < 2 {
			submit(there, true)
		}
	}
	select {
	case <-retained:
	case <-limit:
		t.Error("nobody was asked to remove what is too old")
	}
	cancel()
	if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(woken)
	for id := range woken {
		got = append(got, id)
	}
	if diff := cmp.Diff([]string{there.ID, there.ID}, got); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	list, err := f.Due(t.Context(), 10)
	due := each(list, func(d store.DueDrain) string { return d.IntegrationID })
	if err != nil || len(due) != 2 || !slices.Contains(due, here.ID) || !slices.Contains(due, already.ID) {
		t.Errorf("wanted all the same: %v, %v", due, err)
	}
}
