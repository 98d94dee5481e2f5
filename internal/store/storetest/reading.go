package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// write has skills written by a task of theirs, under these ids.
func (f *fixture) write(t *testing.T, in store.Integration, list []skill.Item, ids ...string) {
	t.Helper()
	f.submit(t, in, list...)
	lease, next := f.claim(t, in, "writer", 0)
	step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
	states, err := f.Skills(t.Context(), lease, each(list, func(it skill.Item) string { return it.OriginID }))
	if err != nil {
		t.Fatal(err)
	}
	for i, it := range list {
		w := written(it, states[i].Ref, ids[i])
		if states[i].Ref != 0 {
			w.ID = states[i].ID
		}
		step.Written = append(step.Written, w)
	}
	f.advance(t, lease, step)
}

func (f *fixture) readAll(t *testing.T, in store.Integration, limit int) []store.Skill {
	t.Helper()
	q := store.SkillQuery{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Limit: limit, IncludeGone: true, MostRows: 1000}
	var all []store.Skill
	for {
		page, err := f.ReadSkills(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Skills...)
		if q.After = page.Next; q.After == "" {
			return all
		}
	}
}

func (f *fixture) claimSync(t *testing.T, in store.Integration) store.SyncLease {
	t.Helper()
	lease, err := f.ClaimSync(t.Context(), store.SyncClaim{IntegrationID: in.ID, Owner: "reader", TTL: ttl, ID: id(900), Periodic: true})
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func (f *fixture) advanceSync(t *testing.T, lease store.SyncLease, step store.SyncStep) store.SyncNext {
	t.Helper()
	next, err := f.AdvanceSync(t.Context(), lease.Lease, step)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// syncOfDeleted: a sync ends with its integration, and leaves nothing, not even what was on its way.
func syncOfDeleted(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	f.clock.advance(time.Hour)
	lease := f.claimSync(t, in)
	seen := store.SyncStep{Seen: []byte("12345678"), Sync: store.Sync{Position: "2"}}
	f.advanceSync(t, lease, seen)
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	ended := func(when string) {
		t.Helper()
		h, err := f.Health(ctx)
		blocks, err2 := f.SyncSeen(ctx, lease.Lease)
		if err != nil || err2 != nil || h.Syncs != 0 || len(blocks) != 0 {
			t.Errorf("%s: %d syncs, %d blocks, %v, %v", when, h.Syncs, len(blocks), err, err2)
		}
	}
	ended("deleted")
	seen.Sync.Pages = 1
	if next := f.advanceSync(t, lease, seen); !next.Left || !next.State.Deleted {
		t.Errorf("a step afterwards: %+v", next)
	}
	ended("after a step")
	_, err := f.AdvanceSync(ctx, lease.Lease, seen)
	wantError(t, err, store.ErrLeaseLost)
}

// ordered makes ids that have the shape of ours, in order.
func ordered(n int) string { return fmt.Sprintf("%024d", n+1_000_000) }

func syncLease(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	claim := store.SyncClaim{IntegrationID: in.ID, Owner: "reader", TTL: ttl, ID: id(1), Periodic: true}
	refused := func(why string, c store.SyncClaim) {
		t.Helper()
		if _, err := f.ClaimSync(ctx, c); err == nil {
			t.Errorf("%s: claimed", why)
		} else {
			wantError(t, err, store.ErrIdle)
		}
	}
	due := func(periodic bool, want ...string) {
		t.Helper()
		ids, err := f.DueSyncs(ctx, periodic, 10)
		if diff := cmp.Diff(want, ids); err != nil || len(want)+len(ids) > 0 && diff != "" {
			t.Errorf("DueSyncs(%v): %v (-want +got):\n%s", periodic, err, diff)
		}
	}
	refused("before the first is due", claim)
	due(true)
	f.clock.advance(time.Hour)
	due(true, in.ID)
	due(false)
	other := claim
	other.Periodic = false
	refused("nobody asked for it", other)
	lease := f.claimSync(t, in)
	if s := lease.Sync; s.ID != id(900) || !s.Whole || !s.StartedAt.Equal(f.clock.Now()) || s.Phase != store.Listing || s.Position != "" {
		t.Errorf("a periodic sync begins as %+v", s)
	}
	due(true)
	refused("held", claim)
	// A drain does not get the lease meanwhile, but is wanted.
	f.submit(t, in, items("a")...)
	_, _, err := f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "drain", TTL: ttl})
	wantError(t, err, store.ErrIdle)
	step := store.SyncStep{Sync: store.Sync{Phase: store.Listing, Position: "page 2", Pages: 1, Records: 7, Changed: 3, Attempt: 1, Restarts: 2}, Seen: []byte("12345678")}
	if next := f.advanceSync(t, lease, step); !next.Wanted || !next.Left || !next.State.Enabled {
		t.Errorf("a task is waiting: %+v", next)
	}
	_, err = f.AdvanceSync(ctx, lease.Lease, step)
	wantError(t, err, store.ErrLeaseLost)
	refused("tasks go first", claim)
	drain, next := f.claim(t, in, "drain", 0)
	refused("a drain has it", store.SyncClaim{IntegrationID: in.ID, Owner: "x", TTL: ttl, ID: id(1), Beside: true})
	f.advance(t, drain, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 1}}})
	f.clock.advance(ttl + time.Second)
	refused("calls are not accounted for", store.SyncClaim{IntegrationID: in.ID, Owner: "x", TTL: ttl, ID: id(1), Beside: true})
	drain, next = f.claim(t, in, "drain", 0)
	f.advance(t, drain, store.Step{Task: next.Task.Ref, Then: store.Leave})
	// Beside tasks, it goes on where it was, in whatever process.
	lease, err = f.ClaimSync(ctx, store.SyncClaim{IntegrationID: in.ID, Owner: "another", TTL: ttl, ID: id(2), Beside: true})
	if err != nil {
		t.Fatal(err)
	}
	want := step.Sync
	want.ID, want.Whole, want.StartedAt = id(900), true, lease.Sync.StartedAt
	if diff := cmp.Diff(want, lease.Sync); diff != "" {
		t.Errorf("it goes on (-want +got):\n%s", diff)
	}
	blocks, err := f.SyncSeen(ctx, lease.Lease)
	if diff := cmp.Diff([][]byte{[]byte("12345678")}, blocks); err != nil || diff != "" {
		t.Errorf("what it has seen: %v\n%s", err, diff)
	}
	f.advanceSync(t, lease, store.SyncStep{Sync: want, Then: store.SyncLeave, ResumeIn: time.Minute})
	drain, next = f.claim(t, in, "drain", 0)
	f.advance(t, drain, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	refused("it waits", claim)
	f.clock.advance(time.Minute)
	// A holder that died is followed by another one; it is refused itself.
	dead := f.claimSync(t, in)
	f.clock.advance(ttl + time.Millisecond)
	lease = f.claimSync(t, in)
	if !lease.Stolen || lease.Epoch != dead.Epoch+1 {
		t.Errorf("after a death: %+v", lease.Lease)
	}
	_, err = f.AdvanceSync(ctx, dead.Lease, step)
	wantError(t, err, store.ErrLeaseLost)
	states, err := f.Extend(ctx, "reader", []store.Held{{Ref: lease.Ref, Epoch: lease.Epoch}}, ttl)
	if err != nil || len(states) != 1 {
		t.Errorf("a heartbeat: %v, %v", states, err)
	}
	// The end: nothing is left of it, and the next one is due later.
	f.advanceSync(t, lease, store.SyncStep{Sync: want, Then: store.SyncEnd, Next: time.Hour})
	due(true)
	f.clock.advance(time.Hour)
	lease = f.claimSync(t, in)
	if blocks, err := f.SyncSeen(ctx, lease.Lease); err != nil || len(blocks) != 0 || lease.Sync.Pages != 0 {
		t.Errorf("a fresh one has seen %v, %v: %+v", blocks, err, lease.Sync)
	}
	// A tool's patience and its pace hold for drains, too; refused credentials end it.
	f.advanceSync(t, lease, store.SyncStep{Then: store.SyncLeave, Hold: time.Minute, Pace: 2 * time.Minute, ResumeIn: time.Second})
	f.submit(t, in, items("b")...)
	_, _, err = f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "drain", TTL: ttl})
	wantError(t, err, store.ErrIdle)
	f.clock.advance(time.Minute)
	drain, next = f.claim(t, in, "drain", 0)
	if next.Paced != time.Minute {
		t.Errorf("the pace of a drain: %s", next.Paced)
	}
	f.advance(t, drain, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	lease = f.claimSync(t, in)
	if lease.Paced != time.Minute {
		t.Errorf("the pace of a sync: %s", lease.Paced)
	}
	// Of other credentials, they say nothing, nor does a failure.
	half := store.Sync{Position: "page 2", Pages: 1, Attempt: 3}
	if next := f.advanceSync(t, lease, store.SyncStep{Sync: half, Seen: []byte("12345678")}); next.Left {
		t.Errorf("nothing was waiting: %+v", next)
	}
	if _, err := f.SetAccount(ctx, in.ID, []byte(`{}`), []byte("new")); err != nil {
		t.Fatal(err)
	}
	_, err = f.AdvanceSync(ctx, lease.Lease, store.SyncStep{Sync: half, Then: store.SyncEnd, Failed: "not allowed"})
	wantError(t, err, store.ErrChanged)
	f.advanceSync(t, lease, store.SyncStep{Sync: half, Then: store.SyncLeave, Hold: time.Hour, ResumeIn: time.Hour})
	before := lease.Sync
	lease = f.claimSync(t, in)
	if s := lease.Sync; s.ID != before.ID || s.Position != "page 2" || s.Pages != 1 || s.Attempt != 0 || !s.StartedAt.Equal(before.StartedAt) {
		t.Errorf("with new credentials it goes on as %+v", s)
	}
	// A wait ends with a change, and so do the failures before it.
	for name, change := range map[string]func() error{
		"on":      func() error { _, err := f.SetEnabled(ctx, in.ID, true); return err },
		"account": func() error { _, err := f.SetAccount(ctx, in.ID, []byte(`{}`), []byte("other")); return err },
	} {
		f.advanceSync(t, lease, store.SyncStep{Sync: half, Then: store.SyncLeave, Hold: time.Hour, ResumeIn: time.Hour})
		refused("it waits", claim)
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if lease = f.claimSync(t, in); lease.Sync.Attempt != 0 || lease.Sync.Pages != 1 {
			t.Errorf("%s: it goes on as %+v", name, lease.Sync)
		}
	}
	// Of another account, nothing that was listed says anything: it begins anew, and a step that was on its way is not kept,
	// whatever the settings are by then.
	f.clock.advance(time.Second)
	for _, settings := range []string{`{"a":1}`, `{}`} {
		if _, err := f.SetSettings(ctx, in.ID, []byte(settings)); err != nil {
			t.Fatal(err)
		}
		for _, late := range []store.SyncStep{{Sync: half, Seen: []byte("12345678")}, {Sync: half, Then: store.SyncLeave}, {Sync: half, Then: store.SyncEnd}} {
			_, err := f.AdvanceSync(ctx, lease.Lease, late)
			wantError(t, err, store.ErrChanged)
		}
	}
	if _, err := f.Extend(ctx, "reader", []store.Held{{Ref: lease.Ref, Epoch: lease.Epoch}}, 0); err != nil {
		t.Fatal(err)
	}
	before = lease.Sync
	lease = f.claimSync(t, in)
	if diff := cmp.Diff(store.Sync{ID: before.ID, Whole: before.Whole, StartedAt: f.clock.Now()}, lease.Sync); diff != "" {
		t.Errorf("with another account it begins as (-want +got):\n%s", diff)
	}
	if blocks, err := f.SyncSeen(ctx, lease.Lease); err != nil || len(blocks) != 0 {
		t.Errorf("it has seen %v, %v", blocks, err)
	}
	// The same settings are the same account, and so are they under another policy.
	f.advanceSync(t, lease, store.SyncStep{Sync: half, Seen: []byte("12345678")})
	if _, err := f.SetSettings(ctx, in.ID, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.SetPolicy(ctx, in.ID, store.Policy{Adopt: true}); err != nil {
		t.Fatal(err)
	}
	f.advanceSync(t, lease, store.SyncStep{Sync: half, Then: store.SyncLeave})
	if lease = f.claimSync(t, in); lease.Sync.Position != "page 2" {
		t.Errorf("it goes on as %+v", lease.Sync)
	}
	f.advanceSync(t, lease, store.SyncStep{Then: store.SyncEnd, Invalid: "wrong key", Failed: "refused", Next: time.Second})
	f.clock.advance(time.Hour)
	due(true)
	refused("invalid", claim)
	if _, err := f.SetEnabled(ctx, in.ID, false); err != nil {
		t.Fatal(err)
	}
	refused("off", claim)
	if _, err := f.SetEnabled(ctx, in.ID, true); err != nil {
		t.Fatal(err)
	}
	due(true, in.ID)
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	due(true)
	refused("deleted", claim)
}

func syncRequested(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	ask := func(n int, whole bool) (store.SyncQueued, error) {
		return f.RequestSync(ctx, store.SyncRequest{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, ID: id(n), Whole: whole})
	}
	told := func(when string, want store.SyncState) {
		t.Helper()
		got, err := f.SyncState(ctx, in.EnvironmentID, in.ID)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("the state %s: %v (-want +got):\n%s", when, err, diff)
		}
	}
	for n, want := range []store.SyncQueued{{ID: id(0)}, {ID: id(0), Already: true}, {ID: id(0), Already: true}} {
		got, err := ask(n, false)
		if err != nil || got != want {
			t.Errorf("request %d: %+v, %v, want %+v", n, got, err, want)
		}
	}
	told("as it waits", store.SyncState{Sync: store.Sync{ID: id(0)}, Active: true, DueAt: f.clock.Now()})
	began := f.clock.Now()
	lease := f.claimSync(t, in)
	if lease.Sync.ID != id(0) || lease.Sync.Whole || !lease.Sync.StartedAt.Equal(f.clock.Now()) {
		t.Errorf("claimed %+v", lease.Sync)
	}
	if got, err := ask(5, false); err != nil || !got.Already || got.ID != id(0) {
		t.Errorf("while it runs: %+v, %v", got, err)
	}
	if h, err := f.Health(ctx); err != nil || h.Syncs != 1 || !h.OldestSync.Equal(in.CreatedAt) {
		t.Errorf("health: %d, %s, %v", h.Syncs, h.OldestSync, err)
	}
	f.advanceSync(t, lease, store.SyncStep{Sync: store.Sync{Position: "next", Pages: 1, Records: 5, Changed: 2, Gone: 1}})
	under := store.Sync{ID: id(0), StartedAt: began, Position: "next", Pages: 1, Records: 5, Changed: 2, Gone: 1}
	told("while it runs", store.SyncState{Sync: under, Active: true, DueAt: began})
	f.clock.advance(time.Second)
	f.advanceSync(t, lease, store.SyncStep{Sync: under, Then: store.SyncEnd, Failed: "no", Next: time.Hour})
	failed := f.clock.Now()
	told("after it failed", store.SyncState{Sync: under, EndedAt: failed, Error: "no", DueAt: failed.Add(time.Hour)})
	if h, err := f.Health(ctx); err != nil || h.Syncs != 0 || !h.OldestSync.Equal(in.CreatedAt) {
		t.Errorf("after a failed one: %d, %s, %v", h.Syncs, h.OldestSync, err)
	}
	if got, err := ask(6, true); err != nil || got.Already || !got.Whole {
		t.Errorf("after its end: %+v, %v", got, err)
	}
	lease = f.claimSync(t, in)
	f.advanceSync(t, lease, store.SyncStep{Then: store.SyncEnd, Next: time.Hour})
	if h, err := f.Health(ctx); err != nil || !h.OldestSync.Equal(f.clock.Now()) {
		t.Errorf("after a good one: %s, %v", h.OldestSync, err)
	}
	told("after a good one", store.SyncState{
		Sync: store.Sync{ID: id(6), Whole: true, StartedAt: f.clock.Now()}, EndedAt: f.clock.Now(), SucceededAt: f.clock.Now(), DueAt: f.clock.Now().Add(time.Hour),
	})
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.RequestSync(ctx, store.SyncRequest{EnvironmentID: other.ID, IntegrationID: in.ID, ID: id(1)})
	wantError(t, err, store.ErrNotFound)
	_, err = f.SyncState(ctx, other.ID, in.ID)
	wantError(t, err, store.ErrNotFound)
	if _, err := f.SetEnabled(ctx, in.ID, false); err != nil {
		t.Fatal(err)
	}
	_, err = ask(7, true)
	wantError(t, err, store.ErrDisabled)
}

// syncWidened: who asks for a whole sync gets one, also while another one waits or is under way.
func syncWidened(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	ask := func(n int, whole bool, want store.SyncQueued) {
		t.Helper()
		got, err := f.RequestSync(ctx, store.SyncRequest{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, ID: id(n), Whole: whole})
		if err != nil || got != want {
			t.Errorf("request %d: %+v, %v, want %+v", n, got, err, want)
		}
	}
	ask(1, false, store.SyncQueued{ID: id(1)})
	ask(2, true, store.SyncQueued{ID: id(1), Whole: true, Already: true})
	ask(3, false, store.SyncQueued{ID: id(1), Whole: true, Already: true})
	lease := f.claimSync(t, in)
	if lease.Sync.ID != id(1) || !lease.Sync.Whole {
		t.Errorf("claimed %+v", lease.Sync)
	}
	// One that is whole goes on.
	ask(4, true, store.SyncQueued{ID: id(1), Whole: true, Already: true})
	f.advanceSync(t, lease, store.SyncStep{Sync: store.Sync{Position: "next", Pages: 1}, Seen: []byte("12345678")})
	f.advanceSync(t, lease, store.SyncStep{Then: store.SyncEnd, Next: time.Hour})

	ask(5, false, store.SyncQueued{ID: id(5)})
	lease = f.claimSync(t, in)
	step := store.SyncStep{Sync: store.Sync{Position: "next", Pages: 1, Records: 5, Changed: 2}}
	f.advanceSync(t, lease, step)
	ask(6, true, store.SyncQueued{ID: id(5), Whole: true, Already: true})
	// What was on its way is not kept, not even the end.
	step.Then = store.SyncEnd
	_, err := f.AdvanceSync(ctx, lease.Lease, step)
	wantError(t, err, store.ErrChanged)
	if _, err := f.Extend(ctx, "reader", []store.Held{{Ref: lease.Ref, Epoch: lease.Epoch}}, 0); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Second)
	lease = f.claimSync(t, in)
	if diff := cmp.Diff(store.Sync{ID: id(5), Whole: true, StartedAt: f.clock.Now()}, lease.Sync); diff != "" {
		t.Errorf("it begins anew as (-want +got):\n%s", diff)
	}
	f.advanceSync(t, lease, store.SyncStep{Then: store.SyncEnd, Next: time.Hour})
}

func syncNotes(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	list := items("a", "b", "c", "d")
	f.write(t, in, list, ordered(1), ordered(2), ordered(3), ordered(4))
	f.clock.advance(time.Hour)
	lease := f.claimSync(t, in)
	rows, err := f.RowsByOrigin(ctx, lease.Lease, []string{"id-a", "id-b", "id-c", "id-d", "nowhere"})
	if err != nil || len(rows) != 4 {
		t.Fatalf("%+v, %v", rows, err)
	}
	slices.SortFunc(rows, func(a, b store.SkillRow) int { return strings.Compare(a.ID, b.ID) })
	if r := rows[0]; r.OriginID != "id-a" || r.RemoteID != "remote-id-a" || !r.Known || r.Unsure || r.WrittenAt.IsZero() || !r.NotedAt.IsZero() {
		t.Errorf("a row: %+v", r)
	}
	changed := rows[2]
	changed.WrittenAt = changed.WrittenAt.Add(-time.Second) // it is not as it was read any more
	f.advanceSync(t, lease, store.SyncStep{
		Notes: []store.SkillNote{
			{Row: rows[0], RemoteID: "remote-id-a", Doubt: true, Noted: true, Note: store.Seen, Name: "by hand", Status: skill.Inactive},
			{Row: rows[1], Doubt: true, Noted: true, Note: store.Gone},
			{Row: changed, Doubt: true, Noted: true, Note: store.Gone},
			{Row: rows[3], RemoteID: "other"},
		},
		New:    []store.NewSkill{{ID: ordered(5), Remote: store.Remote{RemoteID: "r5", OriginID: "theirs", Name: "five", Status: skill.Active}}, {ID: ordered(9), Remote: store.Remote{RemoteID: "r9", OriginID: "id-c", Name: "x", Status: skill.Active}}},
		Remote: []store.RemoteSkill{{RemoteID: "r6", Name: "six", Status: skill.Active}, {RemoteID: "r7", ID: ordered(7), Name: "seven", Status: skill.Inactive}},
	})
	now := f.clock.Now()
	wrote := now.Add(-time.Hour)
	want := []store.Skill{
		{ID: ordered(1), OriginID: "id-a", RemoteID: "remote-id-a", Name: "by hand", Status: skill.Inactive, ChangedAt: now, GoneAt: now},
		{ID: ordered(2), OriginID: "id-b", Name: "b", Status: skill.Active, ChangedAt: now, GoneAt: now},
		{ID: ordered(3), OriginID: "id-c", RemoteID: "remote-id-c", Name: "c", Status: skill.Active, ChangedAt: wrote},
		{ID: ordered(4), OriginID: "id-d", RemoteID: "other", Name: "d", Status: skill.Active, ChangedAt: wrote},
		{ID: ordered(5), OriginID: "theirs", RemoteID: "r5", Name: "five", Status: skill.Active},
		{ID: ordered(7), RemoteID: "r7", Name: "seven", Status: skill.Inactive, ChangedAt: now, GoneAt: now},
	}
	for limit := 1; limit < 8; limit++ {
		if diff := cmp.Diff(want, f.readAll(t, in, limit)); diff != "" {
			t.Errorf("in pages of %d (-want +got):\n%s", limit, diff)
		}
	}
	// What a page shows of each.
	for origin, want := range map[string]store.Noted{
		"id-a": {Note: store.Seen, At: now, Name: "by hand", Status: skill.Inactive}, "id-b": {Note: store.Gone, At: now}, "id-c": {}, "id-d": {},
	} {
		got, err := f.FindSkill(ctx, f.env, in.ID, origin)
		if diff := cmp.Diff(want, got.Noted); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", origin, err, diff)
		}
	}
	// What a drain sees: doubted ones are not skipped, and the others are.
	states, err := f.Skills(ctx, lease.Lease, []string{"id-a", "id-b", "id-c", "id-d", "theirs"})
	if err != nil {
		t.Fatal(err)
	}
	for i, known := range []bool{false, false, true, true, false} {
		if states[i].Known != known || states[i].Unsure || states[i].Ref == 0 {
			t.Errorf("state %d: %+v", i, states[i])
		}
	}
	if states[1].RemoteID != "" || states[4].RemoteID != "r5" || states[4].ID != ordered(5) {
		t.Errorf("states: %+v", states)
	}
	// Only one of them was never sent.
	rows, err = f.RowsByOrigin(ctx, lease.Lease, []string{"id-a", "id-b", "id-c", "id-d", "theirs"})
	if err != nil || len(rows) != 5 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, r := range rows {
		if r.Sent() != (r.OriginID != "theirs") {
			t.Errorf("sent %t: %+v", r.Sent(), r)
		}
	}
	// What was last written stays: a rewrite restores that.
	contents, err := f.Contents(ctx, lease.Lease, []string{"id-a", "id-b", "theirs"})
	if diff := cmp.Diff([]skill.Item{list[0], list[1], {OriginID: "theirs"}}, contents); err != nil || diff != "" {
		t.Errorf("Contents: %v (-want +got):\n%s", err, diff)
	}
	// Walks.
	after, err := f.RowsAfter(ctx, lease.Lease, ordered(2), 2)
	if err != nil || len(after) != 2 || after[0].ID != ordered(3) || after[1].ID != ordered(4) {
		t.Errorf("RowsAfter: %+v, %v", after, err)
	}
	byID, err := f.RemoteByID(ctx, lease.Lease, []string{"r7", "nowhere"})
	if err != nil || len(byID) != 1 || byID[0].ID != ordered(7) {
		t.Errorf("RemoteByID: %+v, %v", byID, err)
	}
	f.advanceSync(t, lease, store.SyncStep{
		Remote:     []store.RemoteSkill{{RemoteID: "r6", ID: ordered(6), Name: "six", Status: skill.Active}, {RemoteID: "r7", ID: ordered(8), Name: "seven", Status: skill.Active, Gone: true}},
		DropRemote: []string{"nowhere"},
	})
	remote, err := f.RemoteAfter(ctx, lease.Lease, "r5", 10)
	if err != nil || len(remote) != 2 || remote[0].ID != ordered(6) || remote[0].Gone || remote[1].ID != ordered(7) || !remote[1].Gone {
		t.Errorf("RemoteAfter: %+v, %v", remote, err)
	}
	f.advanceSync(t, lease, store.SyncStep{DropRemote: []string{"r6"}, Then: store.SyncEnd, Next: time.Hour})
	// A write ends every note.
	f.clock.advance(time.Second)
	f.write(t, in, list, ordered(1), ordered(2), ordered(3), ordered(4))
	for i, s := range f.readAll(t, in, 10)[:4] {
		if s.Name != list[i].Name || !s.GoneAt.IsZero() || s.RemoteID == "" || !s.ChangedAt.Equal(f.clock.Now()) {
			t.Errorf("written again: %+v", s)
		}
	}
}

func reads(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, neighbour := f.integration(t), f.integration(t)
	var list []skill.Item
	var ids []string
	for i := range 30 {
		list = append(list, skill.Item{OriginID: fmt.Sprint("o", i), Name: fmt.Sprintf("Skill %02d %s", i, []string{"Größe", "100%", "a_b", `back\slash`}[i%4]), Status: skill.Active})
		ids = append(ids, ordered(i))
	}
	list[3].Status = skill.Inactive
	f.write(t, in, list[:20], ids[:20]...)
	f.clock.advance(time.Minute)
	f.write(t, in, list[20:], ids[20:]...)
	f.write(t, neighbour, list[:5], ids[:5]...)
	found := func(change func(q *store.SkillQuery)) string {
		t.Helper()
		q := store.SkillQuery{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Limit: 7, MostRows: 1000}
		change(&q)
		var got []string
		for {
			page, err := f.ReadSkills(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Skills {
				got = append(got, strings.TrimPrefix(s.OriginID, "o"))
			}
			if q.After = page.Next; q.After == "" {
				return strings.Join(got, " ")
			}
		}
	}
	for name, test := range map[string]struct {
		change func(q *store.SkillQuery)
		want   string
	}{
		"names, whatever the case": {func(q *store.SkillQuery) { q.NameContains = "GRÖSSE" }, ""},
		"names beyond ASCII":       {func(q *store.SkillQuery) { q.NameContains = "grÖß" }, "0 4 8 12 16 20 24 28"},
		"a percent sign":           {func(q *store.SkillQuery) { q.NameContains = "0%" }, "1 5 9 13 17 21 25 29"},
		"an underscore":            {func(q *store.SkillQuery) { q.NameContains = "a_b" }, "2 6 10 14 18 22 26"},
		"a backslash":              {func(q *store.SkillQuery) { q.NameContains = `K\S`; q.IncludeGone = true }, "3 7 11 15 19 23 27"},
		"the letters k and s":      {func(q *store.SkillQuery) { q.NameContains = "SKILL 1" }, "10 11 12 13 14 15 16 17 18 19"},
		"changed since":            {func(q *store.SkillQuery) { q.ChangedAfter = f.clock.Now().Add(-time.Second) }, "20 21 22 23 24 25 26 27 28 29"},
		"changed after the moment": {func(q *store.SkillQuery) { q.ChangedAfter = f.clock.Now() }, ""},
		"ids":                      {func(q *store.SkillQuery) { q.IDs = []string{ordered(29), ordered(2), ordered(3), "nonsense"} }, "2 29"},
		"remote ids":               {func(q *store.SkillQuery) { q.RemoteIDs = []string{"remote-o5", "o6", "nonsense"} }, "5"},
		"everything together": {func(q *store.SkillQuery) {
			q.NameContains, q.ChangedAfter = "größe", f.clock.Now().Add(-time.Second)
			q.IDs = []string{ordered(24), ordered(4)}
		}, "24"},
		"from an id on": {func(q *store.SkillQuery) { q.After = ordered(26) }, "27 28 29"},
		"retired ones":  {func(q *store.SkillQuery) { q.After, q.Limit, q.IncludeGone = ordered(1), 2, true }, "2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29"},
	} {
		if got := found(test.change); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	_, err := f.ReadSkills(ctx, store.SkillQuery{EnvironmentID: in.EnvironmentID, IntegrationID: "sandbox:" + id(1), Limit: 7})
	wantError(t, err, store.ErrNotFound)
	_, err = f.ReadSkills(ctx, store.SkillQuery{EnvironmentID: id(1), IntegrationID: in.ID, Limit: 7})
	wantError(t, err, store.ErrNotFound)
	_, err = f.SkillsByOrigin(ctx, id(1), in.ID, []string{"o1"})
	wantError(t, err, store.ErrNotFound)
	rows, err := f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"o1", "nowhere"})
	if err != nil || len(rows) != 1 || rows[0].Name != list[1].Name {
		t.Errorf("SkillsByOrigin: %+v, %v", rows, err)
	}
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.ReadSkills(ctx, store.SkillQuery{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Limit: 7})
	wantError(t, err, store.ErrNotFound)
}

func wishes(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	keep := func(w store.Wish) (store.Skill, error) {
		w.EnvironmentID, w.IntegrationID = in.EnvironmentID, in.ID
		return f.Keep(ctx, w)
	}
	made, err := keep(store.Wish{OriginID: "w", Name: "wished", Status: skill.Active})
	if err != nil || !skill.IsID(made.ID) || made.Name != "wished" || made.OriginID != "w" || made.ShownRemoteID() != "w" {
		t.Fatalf("%+v, %v", made, err)
	}
	if all := f.readAll(t, in, 10); len(all) != 1 || all[0] != made {
		t.Errorf("read: %+v, want %+v", all, made)
	}
	again, err := keep(store.Wish{OriginID: "w", Name: "renamed", Status: skill.Inactive})
	if err != nil || again.ID != made.ID || again.Name != "renamed" || again.GoneAt.IsZero() {
		t.Errorf("again: %+v, %v", again, err)
	}
	only, err := keep(store.Wish{ID: made.ID, Status: skill.Active})
	if err != nil || only.Name != "renamed" || !only.GoneAt.IsZero() {
		t.Errorf("the status alone: %+v, %v", only, err)
	}
	own, err := keep(store.Wish{Name: "own", Status: skill.Active})
	if err != nil || own.OriginID != own.ID {
		t.Errorf("without an origin_id: %+v, %v", own, err)
	}
	// A drain finds the row, and its write ends the wish, in the same millisecond even.
	f.write(t, in, []skill.Item{{OriginID: "w", Name: "renamed", Status: skill.Active}}, ordered(1))
	rows, err := f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"w"})
	if err != nil || rows[0].ID != made.ID || !rows[0].Known {
		t.Errorf("written: %+v, %v", rows, err)
	}
	// One for a skill that was just written holds.
	if s, err := keep(store.Wish{ID: made.ID, Name: "at once"}); err != nil || s.Name != "at once" {
		t.Errorf("%+v, %v", s, err)
	}
	if all := f.readAll(t, in, 10); !slices.ContainsFunc(all, func(s store.Skill) bool { return s.ID == made.ID && s.Name == "at once" }) {
		t.Errorf("read: %+v", all)
	}
	_, err = keep(store.Wish{ID: ordered(77), Name: "x"})
	wantError(t, err, store.ErrNoSkill)
	_, err = f.Keep(ctx, store.Wish{EnvironmentID: id(1), IntegrationID: in.ID, Name: "x", Status: skill.Active})
	wantError(t, err, store.ErrNotFound)
	neighbour := f.integration(t)
	_, err = f.Keep(ctx, store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: neighbour.ID, ID: made.ID, Name: "x"})
	wantError(t, err, store.ErrNoSkill)
	f.submit(t, in, items("1", "2")...)
	w := store.Wish{Name: "x", Status: skill.Active, MostWaiting: 2}
	if _, err := keep(w); err == nil || !strings.Contains(err.Error(), "waiting") {
		t.Errorf("full: %v", err)
	}
	// A drain that is making the same skill is made to begin anew, and one that is not goes on.
	lease, next := f.claim(t, in, "drain", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 2}}})
	if _, err := keep(store.Wish{OriginID: "another", Name: "x", Status: skill.Active}); err != nil {
		t.Fatal(err)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Hold: time.Millisecond})
	if _, err := keep(store.Wish{OriginID: "id-1", Name: "x", Status: skill.Active}); err != nil {
		t.Fatal(err)
	}
	_, err = f.Advance(ctx, lease, store.Step{Task: next.Task.Ref, Hold: time.Millisecond})
	wantError(t, err, store.ErrLeaseLost)
	wishesBesideDrains(t, f)
	if _, err := f.SetEnabled(ctx, in.ID, false); err != nil {
		t.Fatal(err)
	}
	_, err = keep(store.Wish{Name: "x", Status: skill.Active})
	wantError(t, err, store.ErrDisabled)
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	_, err = keep(store.Wish{Name: "x", Status: skill.Active})
	wantError(t, err, store.ErrNotFound)
}

// read returns the skill of an origin_id.
func (f *fixture) read(t *testing.T, in store.Integration, originID string) store.Skill {
	t.Helper()
	for _, s := range f.readAll(t, in, 10) {
		if s.OriginID == originID {
			return s
		}
	}
	t.Fatalf("no skill %s", originID)
	return store.Skill{}
}

// settle has a step done for the oldest task, of one item: it is written, or refused.
func (f *fixture) settle(t *testing.T, in store.Integration, it skill.Item, refused bool) {
	t.Helper()
	lease, next := f.claim(t, in, "drain", 0)
	states, err := f.Skills(t.Context(), lease, []string{it.OriginID})
	if err != nil {
		t.Fatal(err)
	}
	st := states[0]
	if st.ID == "" {
		st.ID = skill.NewID(f.clock.Now())
	}
	step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
	if refused {
		step.Refused = []store.SkillRefused{{Ref: st.Ref, ID: st.ID, Item: it, Code: skill.CodeRemoteInput, Message: "not allowed"}}
	} else {
		step.Written = []store.SkillWritten{written(it, st.Ref, st.ID)}
	}
	f.advance(t, lease, step)
}

// wishBehindTasks: what a task that was sent before a wish has written, or was refused, does not end the wish, which it knew
// nothing of. What was sent after it does.
func wishBehindTasks(t *testing.T, f *fixture) {
	ctx := t.Context()
	for name, test := range map[string]struct {
		before, refused bool
		want            string
	}{
		"a task before it is written": {before: true, want: "wished"},
		"a task before it is refused": {before: true, refused: true, want: "wished"},
		"a task behind it is written": {want: "sent"},
		"a task behind it is refused": {refused: true, want: "old"},
	} {
		in := f.integration(t)
		it := skill.Item{OriginID: "w", Name: "old", Status: skill.Active}
		f.submit(t, in, it)
		f.settle(t, in, it, false)
		f.clock.advance(time.Second)
		it.Name = "sent"
		if test.before {
			f.submit(t, in, it)
		}
		f.clock.advance(time.Second)
		wish, err := f.Keep(ctx, store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, OriginID: "w", Name: "wished", Status: skill.Active})
		if err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Second)
		if !test.before {
			f.submit(t, in, it)
		}
		f.clock.advance(time.Second)
		f.settle(t, in, it, test.refused)
		got := f.read(t, in, "w")
		if got.Name != test.want || test.before != got.ChangedAt.Equal(wish.ChangedAt) {
			t.Errorf("%s: read %+v, want %s", name, got, test.want)
		}
		rows, err := f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"w"})
		if err != nil || len(rows) != 1 || rows[0].Unsent() != test.before {
			t.Errorf("%s: %+v, %v", name, rows, err)
		}
		if !test.before {
			continue
		}
		// Its own task ends it.
		it.Name = "wished"
		f.submit(t, in, it)
		f.clock.advance(time.Second)
		f.settle(t, in, it, false)
		got = f.read(t, in, "w")
		if got.Name != "wished" || !got.ChangedAt.Equal(f.clock.Now()) || got.Code != "" {
			t.Errorf("%s: written at last: %+v", name, got)
		}
		if rows, err = f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"w"}); err != nil || rows[0].Unsent() {
			t.Errorf("%s: written at last: %+v, %v", name, rows, err)
		}
	}
}

// wishRefused: whoever has read what was asked for reads that it is not so.
func wishRefused(t *testing.T, f *fixture) {
	in := f.integration(t)
	it := skill.Item{OriginID: "w", Name: "old", Status: skill.Active}
	f.submit(t, in, it)
	f.settle(t, in, it, false)
	for _, later := range []time.Duration{time.Hour, 0} { // within a millisecond even
		f.clock.advance(time.Hour)
		it.Name = "wished"
		wish, err := f.Keep(t.Context(), store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, OriginID: "w", Name: "wished"})
		if err != nil || wish.Name != "wished" {
			t.Fatalf("%+v, %v", wish, err)
		}
		f.submit(t, in, it)
		f.clock.advance(later)
		f.settle(t, in, it, true)
		page, err := f.ReadSkills(t.Context(), store.SkillQuery{
			EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Limit: 10, MostRows: 1000, ChangedAfter: wish.ChangedAt,
		})
		if err != nil || len(page.Skills) != 1 || page.Skills[0].Name != "old" || page.Skills[0].Code == "" {
			t.Errorf("refused %s later, and changed since it was asked for: %+v, %v", later, page.Skills, err)
		}
	}
}

// wishForNothing: what is as it is asked for is not waiting to be written, so what a sync sees of it counts.
func wishForNothing(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	it := skill.Item{OriginID: "w", Name: "name", Status: skill.Active}
	f.submit(t, in, it)
	f.settle(t, in, it, false)
	f.clock.advance(time.Hour)
	wish := store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, OriginID: "w", Name: "name", Status: skill.Active}
	row := func() store.SkillRow {
		t.Helper()
		rows, err := f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"w"})
		if err != nil || len(rows) != 1 {
			t.Fatalf("%+v, %v", rows, err)
		}
		return rows[0]
	}
	if s, err := f.Keep(ctx, wish); err != nil || s.Name != "name" || row().Unsent() {
		t.Errorf("%+v, %v: %+v", s, err, row())
	}
	if found, err := f.FindSkill(ctx, f.env, in.ID, "w"); err != nil || found.Noted != (store.Noted{}) {
		t.Errorf("a page shows %+v, %v", found.Noted, err)
	}
	f.clock.advance(25 * time.Hour)
	lease := f.claimSync(t, in)
	note, changes := row().See(store.Remote{RemoteID: "remote-w", OriginID: "w", Name: "by hand", Status: skill.Active})
	if !changes || note.Note != store.Seen {
		t.Fatalf("a sync notes %+v, %t", note, changes)
	}
	f.advanceSync(t, lease, store.SyncStep{Notes: []store.SkillNote{note}, Then: store.SyncEnd, Next: time.Hour})
	// The tool holds something else by now: the same wish is one.
	f.clock.advance(time.Second)
	if s, err := f.Keep(ctx, wish); err != nil || s.Name != "name" || !row().Unsent() {
		t.Errorf("%+v, %v: %+v", s, err, row())
	}
}

// linkedIsAChange: changed_at moves with a remote id that a sync gets to know, or to doubt.
func linkedIsAChange(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	list := items("a", "b")
	f.write(t, in, list, ordered(1), ordered(2))
	rows := func() []store.SkillRow {
		t.Helper()
		rows, err := f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"id-a", "id-b"})
		if err != nil || len(rows) != 2 {
			t.Fatalf("%+v, %v", rows, err)
		}
		slices.SortFunc(rows, func(a, b store.SkillRow) int { return strings.Compare(a.ID, b.ID) })
		return rows
	}
	step := func(change func(r store.SkillRow) store.SkillNote) {
		t.Helper()
		f.clock.advance(25 * time.Hour)
		lease := f.claimSync(t, in)
		step := store.SyncStep{Then: store.SyncEnd, Next: time.Hour}
		for _, r := range rows() {
			step.Notes = append(step.Notes, change(r))
		}
		f.advanceSync(t, lease, step)
	}
	changed := func(when string, remoteIDs ...string) {
		t.Helper()
		for i, s := range f.readAll(t, in, 10) {
			if s.RemoteID != remoteIDs[i] || !s.ChangedAt.Equal(f.clock.Now()) || s.Name != []string{"by hand", "b"}[i] || !s.GoneAt.IsZero() {
				t.Errorf("%s: %+v", when, s)
			}
		}
	}
	see := func(r store.SkillRow) store.SkillNote {
		rec := store.Remote{RemoteID: "new-" + r.OriginID, OriginID: r.OriginID, Name: "by hand", Status: skill.Active}
		if r.OriginID == "id-b" {
			rec.Name = "b"
		}
		r.RemoteID = ""
		note, changes := r.See(rec)
		if !changes {
			t.Errorf("nothing changes in %+v", r)
		}
		return note
	}
	for range 2 { // the second time nothing else is new
		step(see)
		changed("linked", "new-id-a", "new-id-b")
		step(store.SkillRow.Unlink)
		changed("unlinked", "", "")
	}
	if r := rows(); r[0].Known || r[1].Known {
		t.Errorf("known after another record bore the id: %+v", r)
	}
}

// wishesBesideDrains: from when a drain may have looked a skill up until its step can be kept no more, a wish that makes the same
// skill has it begin anew. Else the task would promise an id that is not kept.
func wishesBesideDrains(t *testing.T, f *fixture) {
	for name, test := range map[string]struct {
		started bool
		later   time.Duration
	}{
		"at work":                 {started: true},
		"before its first step":   {},
		"whose lease has run out": {started: true, later: ttl + time.Second},
		"of both":                 {later: ttl + time.Second},
	} {
		in := f.integration(t)
		f.submit(t, in, items("1", "2")...)
		f.submit(t, in, items("3")...)
		lease, next := f.claim(t, in, "drain", 0)
		if test.started {
			f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 2}}})
		}
		f.clock.advance(test.later)
		wish := store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, OriginID: "id-3", Name: "x", Status: skill.Active}
		if _, err := f.Keep(t.Context(), wish); err != nil { // the next task will find it
			t.Fatal(err)
		}
		if test.started {
			f.advance(t, lease, store.Step{Task: next.Task.Ref, Hold: time.Millisecond})
		}
		wish.OriginID = "id-1"
		if _, err := f.Keep(t.Context(), wish); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Advance(t.Context(), lease, store.Step{Task: next.Task.Ref, Hold: time.Millisecond}); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("a drain %s: %v", name, err)
		}
	}
}

// readByName: what was read with an external id and never asked for is found by the name that it has now, unless it is gone.
func readByName(t *testing.T, f *fixture) {
	in := f.integration(t)
	f.clock.advance(time.Hour)
	lease := f.claimSync(t, in)
	var made []store.NewSkill
	origins := []string{"as read", "renamed", "gone", "asked for", "another"}
	for i, origin := range origins {
		made = append(made, store.NewSkill{ID: ordered(i + 1), Remote: store.Remote{RemoteID: fmt.Sprint("r", i), OriginID: origin, Name: "Welding", Status: skill.Active}})
	}
	made[1].Name, made[4].Name = "Wedling", "Brewing"
	f.advanceSync(t, lease, store.SyncStep{New: made, Sync: store.Sync{Position: "1"}})
	rows, err := f.SkillsByOrigin(t.Context(), in.EnvironmentID, in.ID, origins)
	if err != nil || len(rows) != len(origins) {
		t.Fatalf("%+v, %v", rows, err)
	}
	step := store.SyncStep{Then: store.SyncEnd, Next: time.Hour}
	for _, row := range rows {
		var note store.SkillNote
		changes := false
		switch row.OriginID {
		case "renamed":
			note, changes = row.See(store.Remote{RemoteID: row.RemoteID, OriginID: row.OriginID, Name: "Welding", Status: skill.Active})
		case "gone":
			note, changes = row.Miss(f.clock.Now())
		}
		if changes {
			step.Notes = append(step.Notes, note)
		}
	}
	if len(step.Notes) != 2 {
		t.Fatalf("notes %+v", step.Notes)
	}
	f.advanceSync(t, lease, step)
	if _, err := f.Keep(t.Context(), store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, ID: ordered(4), Status: skill.Inactive}); err != nil {
		t.Fatal(err)
	}
	found, err := f.ReadByName(t.Context(), in.EnvironmentID, in.ID, []string{"Welding", "Wedling"})
	var got []string
	for _, row := range found {
		got = append(got, row.OriginID+" "+row.View().Name)
	}
	slices.Sort(got)
	if err != nil || !slices.Equal(got, []string{"as read Welding", "renamed Welding"}) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := f.ReadByName(t.Context(), id(1), in.ID, []string{"Welding"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("in another environment: %v", err)
	}
}

// managed: what was the tool's own is a skill of ours from the first wish on, under its id.
func managed(t *testing.T, f *fixture) {
	in := f.integration(t)
	f.clock.advance(time.Hour)
	lease := f.claimSync(t, in)
	f.advanceSync(t, lease, store.SyncStep{
		Remote: []store.RemoteSkill{
			{RemoteID: "r1", ID: ordered(1), Name: "theirs", Status: skill.Active},
			{RemoteID: "r2", ID: ordered(2), Name: "gone", Status: skill.Active, Gone: true},
			{RemoteID: "r3", ID: ordered(3), Name: "retired", Status: skill.Inactive},
			{RemoteID: "r4", Name: "not sure yet", Status: skill.Active},
			{RemoteID: "r5", ID: ordered(5), Name: "kept apart", Status: skill.Active, Apart: true},
		},
		Then: store.SyncEnd, Next: time.Hour,
	})
	named := func(environment string) (names []string, err error) {
		found, err := f.RemoteByName(t.Context(), environment, in.ID, []string{"theirs", "gone", "retired", "not sure yet", "kept apart", "nobody's"})
		for _, r := range found {
			names = append(names, r.Name+" "+r.RemoteID+" "+r.Status.String())
		}
		slices.Sort(names)
		return names, err
	}
	if found, err := named(in.EnvironmentID); err != nil || !slices.Equal(found, []string{"retired r3 INACTIVE", "theirs r1 ACTIVE"}) {
		t.Errorf("by name: %q, %v", found, err)
	}
	if _, err := named(id(1)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("by name, in another environment: %v", err)
	}
	s, err := f.Keep(t.Context(), store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, ID: ordered(1), Status: skill.Inactive})
	if err != nil || s.ID != ordered(1) || s.OriginID != ordered(1) || s.RemoteID != "r1" || s.Name != "theirs" || s.Status != skill.Inactive {
		t.Fatalf("%+v, %v", s, err)
	}
	if page, err := f.ReadSkills(t.Context(), store.SkillQuery{
		EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, IDs: []string{ordered(1)}, IncludeGone: true, Limit: 10, MostRows: 100,
	}); err != nil || len(page.Skills) != 1 || page.Skills[0] != s {
		t.Errorf("read: %+v, %v", page, err)
	}
	if found, err := named(in.EnvironmentID); err != nil || !slices.Equal(found, []string{"retired r3 INACTIVE"}) {
		t.Errorf("by name, since it is ours: %q, %v", found, err)
	}
	f.submit(t, in, skill.Item{OriginID: ordered(1), Name: "theirs", Status: skill.Inactive})
	drain, next := f.claim(t, in, "drain", 0)
	states, err := f.Skills(t.Context(), drain, []string{ordered(1)})
	if err != nil || states[0].ID != ordered(1) || states[0].RemoteID != "r1" || states[0].Known || !states[0].Taken {
		t.Errorf("a drain sees %+v, %v", states, err)
	}
	// Until it was written the tool does not know it under its origin_id.
	it := skill.Item{OriginID: ordered(1), Name: "theirs", Status: skill.Inactive}
	f.advance(t, drain, store.Step{Task: next.Task.Ref, Refused: []store.SkillRefused{{Ref: states[0].Ref, ID: ordered(1), Item: it, Code: skill.CodeUnknown, Message: "no"}}})
	if states, err = f.Skills(t.Context(), drain, []string{ordered(1)}); err != nil || !states[0].Taken {
		t.Errorf("when it was refused a drain sees %+v, %v", states, err)
	}
	w := written(it, states[0].Ref, ordered(1))
	w.RemoteID = "r1"
	f.advance(t, drain, store.Step{Task: next.Task.Ref, Written: []store.SkillWritten{w}})
	if states, err = f.Skills(t.Context(), drain, []string{ordered(1)}); err != nil || states[0].Taken || !states[0].Known {
		t.Errorf("when it was written a drain sees %+v, %v", states, err)
	}
}

// refusedNotListed: what a task brought, and the tool refused, is none of the tool's skills until it was written or asked for.
func refusedNotListed(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	list := items("a", "b", "c")
	for _, it := range list {
		f.submit(t, in, it)
		f.settle(t, in, it, true)
	}
	read := func(change func(q *store.SkillQuery)) (origins []string) {
		t.Helper()
		q := store.SkillQuery{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Limit: 1, MostRows: 1000, IncludeGone: true}
		change(&q)
		for {
			page, err := f.ReadSkills(ctx, q)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Skills {
				origins = append(origins, s.OriginID)
			}
			if q.After = page.Next; q.After == "" {
				slices.Sort(origins)
				return origins
			}
		}
	}
	rows, err := f.SkillsByOrigin(ctx, in.EnvironmentID, in.ID, []string{"id-a", "id-b", "id-c"})
	if err != nil || len(rows) != 3 {
		t.Fatalf("%+v, %v", rows, err)
	}
	for _, change := range []func(q *store.SkillQuery){
		func(*store.SkillQuery) {},
		func(q *store.SkillQuery) { q.IDs = []string{rows[0].ID, rows[1].ID, rows[2].ID} },
		func(q *store.SkillQuery) { q.RemoteIDs = []string{"id-a", "id-b", "id-c"} },
		func(q *store.SkillQuery) { q.ChangedAfter = f.clock.Now().Add(-time.Hour) },
	} {
		if got := read(change); len(got) != 0 {
			t.Errorf("listed: %q", got)
		}
	}
	// People go on to see why.
	if found, err := f.FindSkill(ctx, f.env, in.ID, "id-a"); err != nil || found.ErrorCode == "" {
		t.Errorf("a page shows %+v, %v", found, err)
	}
	f.clock.advance(time.Second)
	f.submit(t, in, list[0])
	f.settle(t, in, list[0], false)
	if _, err := f.Keep(ctx, store.Wish{EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, OriginID: "id-b", Name: "b", Status: skill.Active}); err != nil {
		t.Fatal(err)
	}
	f.submit(t, in, list[1])
	f.clock.advance(time.Second)
	f.settle(t, in, list[1], true)
	if got := read(func(*store.SkillQuery) {}); !slices.Equal(got, []string{"id-a", "id-b"}) {
		t.Errorf("listed: %q, want what was written, and what was asked for", got)
	}
}
