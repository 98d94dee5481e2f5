package storetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// fill writes items into an integration's catalogue, by a task of their own.
func (f *fixture) fill(t *testing.T, in store.Integration, list ...skill.Item) {
	t.Helper()
	f.submit(t, in, list...)
	lease, next := f.claim(t, in, "filler", 0)
	step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
	for i, it := range list {
		step.Written = append(step.Written, written(it, 0, id(i)))
	}
	f.advance(t, lease, step)
}

func contents(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, other := f.integration(t), f.integration(t)
	f.fill(t, in, items("a", "b")...)
	f.fill(t, other, items("x")...)
	f.submit(t, in, items("c")...)
	lease, next := f.claim(t, in, "x", 0)
	named := func(origin, name string) skill.Item {
		return skill.Item{OriginID: "id-" + origin, Name: name, Status: skill.Inactive}
	}
	ids := []string{"id-b", "id-c", "id-a", "id-x", "id-d", "id-A"}
	states, err := f.Skills(ctx, lease, ids)
	if err != nil {
		t.Fatal(err)
	}
	// What the tool refused or may have got is not what it confirmed.
	f.advance(t, lease, store.Step{
		Task:    next.Task.Ref,
		Refused: []store.SkillRefused{{Ref: states[0].Ref, Item: named("b", "refused"), Message: "no"}, {ID: id(7), Item: named("c", "first"), Message: "no"}},
		Unsure:  []store.SkillUnsure{{Item: named("a", "unsure")}, {ID: id(8), Item: named("d", "first")}},
	})
	want := []skill.Item{
		items("b")[0], {OriginID: "id-c"}, items("a")[0], {OriginID: "id-x"}, {OriginID: "id-d"}, {OriginID: "id-A"},
	}
	got, err := f.Contents(ctx, lease, ids)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("contents: %v (-want +got):\n%s", err, diff)
	}
	f.advance(t, lease, store.Step{
		Task:    next.Task.Ref,
		Refused: []store.SkillRefused{{Ref: 0, ID: id(9), Item: named("b", "not known to be known"), Message: "no"}},
		Written: []store.SkillWritten{{ID: id(7), RemoteID: "r", Item: named("c", "second")}},
	})
	want[1] = named("c", "second")
	got, err = f.Contents(ctx, lease, ids)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("contents: %v (-want +got):\n%s", err, diff)
	}
	if got, err = f.Contents(ctx, lease, nil); err != nil || len(got) != 0 {
		t.Errorf("of nothing: %v, %v", got, err)
	}
}

func doubted(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	var list []skill.Item
	var doubtful []string
	for i := range 2500 { // more than a block
		list = append(list, items(fmt.Sprint(i))...)
		if i >= 100 {
			doubtful = append(doubtful, list[i].OriginID)
		}
	}
	f.fill(t, in, list...)
	f.submit(t, in, items("0")...)
	late, next := f.claim(t, in, "x", 0)
	f.clock.advance(ttl)
	lease, _ := f.claim(t, in, "y", 0) // the late lease is over; its calls may have gone through
	doubt := store.Doubt{Lease: late, OriginIDs: append(doubtful, "never heard of", doubtful[0]), Timeout: 2 * timeout}
	if err := f.Doubt(ctx, doubt); err != nil {
		t.Fatal(err)
	}
	states, err := f.Skills(ctx, lease, []string{"id-99", "id-100", "id-2499", "never heard of"})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false} {
		if states[i].Unsure != want || states[i].Known == want && i < 3 {
			t.Errorf("state %d = %+v, want unsure: %v", i, states[i], want)
		}
	}
	if states[3] != (store.SkillState{}) {
		t.Errorf("a doubt made a skill: %+v", states[3])
	}
	// The task that writes them again comes after what waits, and needs no word from anybody.
	if got := f.waiting(t, in); got != 1+len(doubtful) {
		t.Errorf("%d are waiting, want %d", got, 1+len(doubtful))
	}
	if next.Task.Rewrite {
		t.Error("an ordinary task is a rewrite")
	}
	if tasks, err := f.Waiting(ctx, lease, 10); err != nil || len(tasks) > 1 {
		t.Errorf("a rewrite may be ended without a drain: %+v, %v", tasks, err)
	}
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if next.Task == nil || !next.Task.Rewrite || next.Task.Items != len(doubtful) || next.Task.TimeLeft != 2*timeout || !skill.IsTaskID(next.Task.ID) {
		t.Fatalf("next = %+v", next.Task)
	}
	var got []skill.Item
	for len(got) < len(doubtful) {
		block, err := f.Items(ctx, next.Task.Ref, len(got))
		if err != nil || len(block) == 0 {
			t.Fatalf("items from %d: %v", len(got), err)
		}
		got = append(got, block...)
	}
	if diff := cmp.Diff(list[100:], got); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	// It has its outcomes and its end like any other.
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if next.Task != nil {
		t.Fatalf("next = %+v", next.Task)
	}

	// An idle integration is wanted again; two doubts are two tasks.
	for range 2 {
		if err := f.Doubt(ctx, doubt); err != nil {
			t.Fatal(err)
		}
	}
	if due, err := f.Due(ctx, 10); err != nil || len(due) != 1 {
		t.Errorf("due = %v, %v", due, err)
	}
	if got := f.waiting(t, in); got != 2*len(doubtful) {
		t.Errorf("%d are waiting, want %d", got, 2*len(doubtful))
	}
	// Nothing is left of a doubt about what nobody knows, or about an integration that is gone.
	doubt.OriginIDs = []string{"never heard of"}
	if err := f.Doubt(ctx, doubt); err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	doubt.OriginIDs = doubtful
	if err := f.Doubt(ctx, doubt); err != nil {
		t.Fatal(err)
	}
	if h, err := f.Health(ctx); err != nil || h.Pending != 2 {
		t.Errorf("pending = %d, %v, want the two from before", h.Pending, err)
	}
}

// Retention may be on its way in several processes: after a change of leader, or when it takes longer than it should.
func expiredAtOnce(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	const tasks, keep = 60, 24 * time.Hour
	var old []string
	for range tasks {
		s := submission(in, items("a")...)
		s.TaskID = skill.NewTaskID(f.clock.Now())
		if _, err := f.Submit(ctx, s); err != nil {
			t.Fatal(err)
		}
		old = append(old, s.TaskID)
	}
	lease, next := f.claim(t, in, "x", 0)
	for next.Task != nil {
		end := finish(next.Task, "x")
		end.CompletedAt = f.clock.Now()
		next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: end, Then: store.Proceed})
	}
	f.clock.advance(keep + 49*time.Hour) // of whole days, too
	var removed atomic.Int64
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			for n := 1; n > 0; {
				var err error
				if n, err = f.Expire(ctx, keep, 7); err != nil {
					t.Error(err)
					return
				}
				removed.Add(int64(n))
			}
		})
	}
	group.Wait()
	if n := removed.Load(); n != tasks {
		t.Errorf("%d were removed, of %d", n, tasks)
	}
	for _, id := range old {
		_, err := f.Task(ctx, f.env, in.ID, id)
		if _, ok := errors.AsType[*store.ExpiredError](err); !ok {
			t.Errorf("%s: %v, want its tombstone", id, err)
		}
	}
	for range 6 { // tombstones likewise
		group.Go(func() {
			for n := 1; n > 0; {
				var err error
				if n, err = f.Forget(ctx, 0, 7); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// expireAll calls Expire until it returns 0.
func (f *fixture) expireAll(t *testing.T, keep time.Duration, limit int) int {
	t.Helper()
	all := 0
	for {
		n, err := f.Expire(t.Context(), keep, limit)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return all
		}
		all += n
	}
}

func doubtedAll(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, other := f.integration(t), f.integration(t)
	list := make([]skill.Item, 5001) // more than a step of any store, and not a multiple of it
	for i := range list {
		list[i] = items(fmt.Sprint(i))[0]
	}
	f.fill(t, in, list...)
	f.fill(t, other, list[0])
	f.submit(t, in, list...)
	lease, next := f.claim(t, in, "x", 0)
	open := store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 1}}, Then: store.Stay}
	f.advance(t, lease, open)
	before, err := f.Skills(ctx, lease, []string{"id-0"})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.DoubtAll(ctx, in.ID); err != nil || n != len(list) {
		t.Errorf("doubted %d, %v", n, err)
	}
	// What a drain has decided by what it knew is not kept, and nobody follows it before its calls have ended.
	open.Open = []store.Range{{Start: 1, Stop: 2}}
	_, err = f.Advance(ctx, lease, open)
	wantError(t, err, store.ErrLeaseLost)
	if held, err := f.Extend(ctx, "x", []store.Held{{Ref: lease.Ref, Epoch: lease.Epoch}}, ttl); err != nil || len(held) != 0 {
		t.Errorf("the lease is prolonged: %v, %v", held, err)
	}
	_, _, err = f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "y", TTL: ttl})
	wantError(t, err, store.ErrIdle)
	f.clock.advance(ttl)
	lease, _ = f.claim(t, in, "y", 0)
	if !lease.Stolen {
		t.Error("nobody is told that the lease was taken away")
	}
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].OriginID
	}
	states, err := f.Skills(ctx, lease, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, st := range states {
		if st.Known || !st.Unsure || st.Ref == 0 || st.ID == "" || i == 0 && (st.ID != before[0].ID || st.RemoteID != before[0].RemoteID) {
			t.Fatalf("skill %d = %+v", i, st)
		}
	}
	f.submit(t, other, list[0])
	lease, _ = f.claim(t, other, "y", 0)
	if states, err := f.Skills(ctx, lease, ids[:1]); err != nil || states[0].Unsure || !states[0].Known {
		t.Errorf("another integration's skill: %+v, %v", states, err)
	}
	if n, err := f.DoubtAll(ctx, f.integration(t).ID); err != nil || n != 0 {
		t.Errorf("of an empty catalogue: %d, %v", n, err)
	}
	_, err = f.DoubtAll(ctx, "sandbox:none")
	wantError(t, err, store.ErrNotFound)
}

func expired(t *testing.T, f *fixture) {
	ctx := t.Context()
	const (
		keep, tombstones = 30 * 24 * time.Hour, 365 * 24 * time.Hour
		day, month       = 25 * time.Hour, 32 * 24 * time.Hour // what a store may keep longer, see store.Upkeep
	)
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	in, gone, sibling := f.integration(t), f.integration(t), f.integration(t)
	list := items("a", "b")
	submit := func(in store.Integration) skill.Task {
		t.Helper()
		s := submission(in, list...)
		s.TaskID = skill.NewTaskID(f.clock.Now())
		task, err := f.Submit(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		return task.Task
	}
	var old []skill.Task
	var refs []int64
	for range 7 {
		old = append(old, submit(in))
	}
	lease, next := f.claim(t, in, "x", 0)
	for range 7 {
		refs = append(refs, next.Task.Ref)
		end := finish(next.Task, "x")
		end.CompletedAt = f.clock.Now()
		next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: end, Then: store.Proceed, Written: []store.SkillWritten{written(list[0], 0, id(1))}})
	}
	orphan := submit(gone)
	if _, err := f.DeleteIntegration(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	lease, _ = f.claim(t, gone, "x", 0)
	waiting, err := f.Waiting(ctx, lease, 1)
	if err != nil || len(waiting) != 1 {
		t.Fatalf("Waiting = %+v, %v", waiting, err)
	}
	if _, err := f.FailTasks(ctx, []store.FailedTask{{Ref: waiting[0].Ref, CompletedAt: f.clock.Now(), Document: []byte("x")}}); err != nil {
		t.Fatal(err)
	}
	pending := submit(in)

	f.clock.advance(keep)
	if n := f.expireAll(t, keep, 3); n != 0 {
		t.Errorf("%d expired too early", n)
	}
	for _, task := range old {
		f.view(t, in, task.ID)
	}
	f.clock.advance(day)
	if n := f.expireAll(t, keep, 3); n != 8 {
		t.Errorf("%d expired, want 8", n)
	}
	if n := f.expireAll(t, keep, 3); n != 0 {
		t.Errorf("%d expired twice", n)
	}
	at := f.clock.Now()
	tombstone := func(env, integration, task string) bool {
		t.Helper()
		_, err := f.Task(ctx, env, integration, task)
		wantError(t, err, store.ErrNotFound)
		gone, ok := errors.AsType[*store.ExpiredError](err)
		if ok && !gone.At.Equal(at) {
			t.Errorf("expired at %v, want %v", gone.At, at)
		}
		return ok
	}
	for _, task := range old {
		if !tombstone(f.env, in.ID, task.ID) {
			t.Errorf("%s has no tombstone", task.ID)
		}
	}
	if !tombstone(f.env, gone.ID, orphan.ID) {
		t.Error("a deleted integration's task has no tombstone")
	}
	for name, c := range map[string][3]string{
		"another environment": {other.ID, in.ID, old[0].ID},
		"no environment":      {"", in.ID, old[0].ID},
		"another integration": {f.env, sibling.ID, old[0].ID},
		"another task":        {f.env, in.ID, skill.NewTaskID(time.Now())},
	} {
		if tombstone(c[0], c[1], c[2]) {
			t.Errorf("%s sees the tombstone", name)
		}
	}
	for _, ref := range refs {
		if left, err := f.Items(ctx, ref, 0); err != nil || len(left) != 0 {
			t.Errorf("items are left: %v, %v", left, err)
		}
	}
	if view := f.view(t, in, pending.ID); view.Status != skill.Pending {
		t.Errorf("the unfinished task: %+v", view)
	}
	if got := f.waiting(t, in); got != 2 {
		t.Errorf("%d are waiting, want 2", got)
	}
	// The catalogue is for ever.
	lease, next = f.claim(t, in, "x", 0)
	states, err := f.Skills(ctx, lease, []string{"id-a"})
	if err != nil || !states[0].Known || states[0].ID != id(1) {
		t.Errorf("the skill: %+v, %v", states, err)
	}
	// Numbers are not used again, even when no task is left: the catalogue names tasks by them.
	end := finish(next.Task, "x")
	end.CompletedAt = f.clock.Now()
	refs = append(refs, next.Task.Ref)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: end, Then: store.Proceed})
	f.clock.advance(day)
	if n := f.expireAll(t, 0, 100); n != 1 {
		t.Errorf("%d expired, want 1", n)
	}
	submit(in)
	submit(in)
	lease, next = f.claim(t, in, "x", 0)
	for next.Task != nil {
		for _, ref := range refs {
			if next.Task.Ref <= ref {
				t.Errorf("a new task has the number %d, after %d", next.Task.Ref, ref)
			}
		}
		next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	}

	// Tombstones go as well, later.
	forget := func() {
		t.Helper()
		for n := 1; n > 0; {
			if n, err = f.Forget(ctx, tombstones, 3); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.clock.advance(tombstones - day - time.Millisecond)
	forget()
	for _, task := range old {
		if !tombstone(f.env, in.ID, task.ID) {
			t.Errorf("the tombstone of %s was forgotten too early", task.ID)
		}
	}
	f.clock.advance(month)
	forget()
	for _, task := range append(old, pending) {
		if tombstone(f.env, in.ID, task.ID) {
			t.Errorf("the tombstone of %s is kept", task.ID)
		}
	}
}

func health(t *testing.T, f *fixture) {
	ctx := t.Context()
	look := func() store.Health {
		t.Helper()
		h, err := f.Health(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if h.Product == "" || h.Schema < 1 || h.Bytes < 4096 || !h.Now.Equal(f.clock.Now()) {
			t.Errorf("health = %+v", h)
		}
		h.Product, h.Schema, h.Bytes, h.Now, h.OldestSync = "", 0, 0, time.Time{}, time.Time{}
		return h
	}
	want := func(when string, want store.Health) {
		t.Helper()
		if diff := cmp.Diff(want, look()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	want("empty", store.Health{})
	a, b := f.integration(t), f.integration(t)
	first := f.submit(t, a, items("1", "2", "3")...)
	f.clock.advance(time.Second)
	f.submit(t, b, items("1")...)
	f.clock.advance(time.Second)
	urgent := submission(b, items("1", "2")...)
	urgent.Timeout = time.Minute
	if _, err := f.Submit(ctx, urgent); err != nil {
		t.Fatal(err)
	}
	state := store.Health{Pending: 3, WaitingItems: 6, OldestPending: first.CreatedAt, Unattended: 2}
	want("three tasks", state)
	lease, next := f.claim(t, b, "x", 0)
	state.Leases, state.Unattended = 1, 1
	want("a drain runs", state)
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	state = store.Health{Pending: 1, WaitingItems: 3, OldestPending: first.CreatedAt, Unattended: 1}
	want("it is done", state)
	lease, _ = f.claim(t, a, "x", 0)
	f.advance(t, lease, store.Step{Hold: time.Minute, Then: store.Leave})
	state.Unattended = 0
	want("the tool asked for patience", state)
	f.clock.advance(time.Minute)
	state.Unattended = 1
	want("long enough", state)
	if _, err := f.SetEnabled(ctx, a.ID, false); err != nil {
		t.Fatal(err)
	}
	state.Unattended = 0
	want("switched off", state)
	if _, err := f.DeleteIntegration(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	state.Unattended = 1
	want("deleted", state)
	f.claim(t, a, "x", 0)
	state.Leases, state.Unattended = 1, 0
	want("a drain ends its tasks", state)
	f.clock.advance(ttl)
	state.Leases, state.Unattended, state.Stale = 0, 1, 1
	want("its lease ran out", state)
	f.clock.advance(first.CreatedAt.Add(timeout + 10*time.Second).Sub(f.clock.Now()))
	want("its time is up", state)
	f.clock.advance(time.Millisecond)
	state.Overdue = 1
	want("nobody ended it", state)
}

func masterKey(t *testing.T, f *fixture) {
	ctx := t.Context()
	_, err := f.MasterKey(ctx)
	wantError(t, err, store.ErrNotFound)
	key := store.MasterKey{ID: "k1", Check: []byte{0, 1, 255}}
	for _, candidate := range []store.MasterKey{key, {ID: "k2", Check: []byte("x")}, key} { // the first one stays
		if got, err := f.KeepMasterKey(ctx, candidate); err != nil || cmp.Diff(key, got) != "" {
			t.Errorf("KeepMasterKey = %+v, %v, want %+v", got, err, key)
		}
		if got, err := f.MasterKey(ctx); err != nil || cmp.Diff(key, got) != "" {
			t.Errorf("MasterKey = %+v, %v, want %+v", got, err, key)
		}
	}
}

// Upgraded are a deleted integration and one that stays, both with credentials.
type Upgraded struct{ env, deleted, kept string }

// Deleted makes them, for a test that then gives the deleted one credentials again, as an earlier program left them.
func Deleted(t *testing.T, s store.Store) Upgraded {
	t.Helper()
	env, err := s.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	u := Upgraded{env: env.ID}
	for _, id := range []*string{&u.deleted, &u.kept} {
		in, err := s.CreateIntegration(t.Context(), store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`), Credentials: []byte("sealed")})
		if err != nil {
			t.Fatal(err)
		}
		*id = in.ID
	}
	if _, err := s.DeleteIntegration(t.Context(), u.deleted); err != nil {
		t.Fatal(err)
	}
	return u
}

// Check holds that only the one that stays has kept them.
func (u Upgraded) Check(t *testing.T, s store.Store) {
	t.Helper()
	for id, want := range map[string]string{u.deleted: "", u.kept: "sealed"} {
		in, err := s.Integration(t.Context(), u.env, id)
		if err != nil || string(in.Credentials) != want || in.Deleted() != (want == "") {
			t.Errorf("%+v, %v, want the credentials %q", in, err, want)
		}
	}
}

// Migration is what a migration of the package under test does.
func Migration(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("migrations", file))
	if err != nil {
		t.Fatal(err)
	}
	_, up, _ := strings.Cut(string(content), "-- +goose Up")
	up, _, _ = strings.Cut(up, "-- +goose Down")
	return up
}

func credentials(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, err := f.CreateIntegration(ctx, store.Integration{
		ID: skill.NewIntegrationID("sandbox", f.clock.Now()), EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{}`), Credentials: []byte("sealed"),
	})
	if err != nil || string(in.Credentials) != "sealed" {
		t.Fatalf("created %+v, %v", in, err)
	}
	without := f.integration(t)
	if without.Credentials != nil {
		t.Errorf("credentials of nobody: %q", without.Credentials)
	}
	read := func(id string) string {
		t.Helper()
		got, err := f.Integration(ctx, f.env, id)
		if err != nil {
			t.Fatal(err)
		}
		return string(got.Credentials)
	}
	if got, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); err != nil || string(got.Credentials) != "sealed" {
		t.Errorf("other settings touched the credentials: %+v, %v", got, err)
	}
	got, err := f.SetAccount(ctx, in.ID, []byte(`{"b":1}`), []byte("sealed anew"))
	if err != nil || string(got.Credentials) != "sealed anew" || string(got.Settings) != `{"b":1}` || got.SettingsVersion != 3 {
		t.Errorf("set %+v, %v", got, err)
	}
	_, err = f.SetAccount(ctx, without.ID+"x", []byte(`{}`), nil)
	wantError(t, err, store.ErrNotFound)
	// A drain gets them with its lease.
	f.submit(t, in, items("a")...)
	lease, _ := f.claim(t, in, "x", 0)
	if string(lease.Integration.Credentials) != "sealed anew" {
		t.Errorf("the lease has %q", lease.Integration.Credentials)
	}

	first, second := store.MasterKey{ID: "first", Check: []byte("1")}, store.MasterKey{ID: "second", Check: []byte("2")}
	if _, err := f.KeepMasterKey(ctx, first); err != nil {
		t.Fatal(err)
	}
	failed := errors.New("does not open")
	_, err = f.Reseal(ctx, second, func(string, []byte) ([]byte, error) { return nil, failed })
	wantError(t, err, failed)
	if noted, err := f.MasterKey(ctx); err != nil || cmp.Diff(first, noted) != "" || read(in.ID) != "sealed anew" {
		t.Errorf("after a failure: %+v, %v, %q", noted, err, read(in.ID))
	}
	n, err := f.Reseal(ctx, second, func(id string, sealed []byte) ([]byte, error) {
		return []byte(id + " " + string(sealed) + " twice"), nil
	})
	if err != nil || n != 1 || read(in.ID) != in.ID+" sealed anew twice" {
		t.Errorf("resealed %d, %v: %q", n, err, read(in.ID))
	}
	if noted, err := f.MasterKey(ctx); err != nil || cmp.Diff(second, noted) != "" {
		t.Errorf("noted %+v, %v", noted, err)
	}
	if got, err := f.SetAccount(ctx, in.ID, []byte(`{}`), nil); err != nil || got.Credentials != nil {
		t.Errorf("taken away: %+v, %v", got, err)
	}

	// They go with the integration: no key has to be kept for them.
	if _, err := f.SetAccount(ctx, in.ID, []byte(`{}`), []byte("sealed at last")); err != nil {
		t.Fatal(err)
	}
	if got, err := f.DeleteIntegration(ctx, in.ID); err != nil || got.Credentials != nil {
		t.Errorf("deleted: %+v, %v", got, err)
	}
	if got := read(in.ID); got != "" {
		t.Errorf("a deleted integration has kept %q", got)
	}
	n, err = f.Reseal(ctx, first, func(id string, _ []byte) ([]byte, error) {
		t.Errorf("resealed %s", id)
		return nil, nil
	})
	if err != nil || n != 0 {
		t.Errorf("resealed %d, %v", n, err)
	}
}
