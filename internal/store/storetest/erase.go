package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Rows counts the rows of each table that belongs to somebody, by the database itself.
type Rows func(t *testing.T) map[string]int

// RunErase fills an environment with one of everything, erases it, and wants the database to be as it was before, row by row.
// open also opens a second process on the same database.
func RunErase(t *testing.T, open func(t *testing.T, now func() time.Time) (first, second store.Store, rows Rows)) {
	clock := &clock{now: time.Date(2026, 11, 23, 14, 1, 29, 0, time.UTC)}
	s, second, rows := open(t, clock.Now)
	env, err := s.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{Store: s, clock: clock, env: env.ID}
	kept := f.everything(t, 100) // this one stays
	before := rows(t)
	doomed, err := s.CreateEnvironment(t.Context(), "doomed")
	if err != nil {
		t.Fatal(err)
	}
	f.env = doomed.ID
	gone := f.everything(t, 200)
	for table, n := range before {
		if after := rows(t)[table]; after == n && n > 0 {
			t.Errorf("table %s got no row: the test does not try it", table)
		}
	}
	if _, err := f.Keep(t.Context(), store.Wish{EnvironmentID: doomed.ID, IntegrationID: gone.in.ID, OriginID: "late", Name: "Late", Status: skill.Active}); err != nil {
		t.Fatal(err) // its name is not in the search yet
	}
	f.erased(t, doomed, gone)
	// Two processes are at it, and one of them is new after each step.
	clock.advance(ttl)
	var ended []string
	for n := 0; ; n++ {
		if n > 1000 {
			t.Fatal("it does not end")
		}
		e, err := []store.Store{s, second}[n%2].EraseSome(t.Context(), 2)
		if err != nil {
			t.Fatal(err)
		}
		ended = append(ended, e.Ended...)
		if e.Removed == 0 && e.Left {
			clock.advance(store.EraseLag)
		}
		if !e.Left {
			break
		}
	}
	if diff := cmp.Diff([]string{doomed.ID}, ended); diff != "" {
		t.Errorf("ended (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, rows(t)); diff != "" {
		t.Errorf("rows as before, and now (-want +got):\n%s", diff)
	}
	// The other one is as it was.
	f.env = env.ID
	for _, id := range kept.tasks {
		if _, err := s.TaskHead(t.Context(), env.ID, id); err != nil {
			t.Errorf("task %s of the other environment: %v", id, err)
		}
	}
	if e, err := s.EraseSome(t.Context(), 100); err != nil || e.Left || e.Removed != 0 {
		t.Errorf("nothing is to be erased: %+v, %v", e, err)
	}
}

// all is what an environment holds.
type all struct {
	in    store.Integration
	lease store.Lease
	task  int64
	tasks []string
	key   [32]byte
	link  [32]byte
	log   string
}

// everything puts something into every table that belongs to an environment. n tells environments apart.
func (f *fixture) everything(t *testing.T, n byte) (a all) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	a.in = f.integration(t)
	list := items("a", "b", "c", "d", "e")
	// One that has expired, one that has ended, one with everything under way, one that waits.
	f.fill(t, a.in, list...)
	f.clock.advance(40 * 24 * time.Hour)
	f.expireAll(t, time.Hour, 100)
	a.tasks = append(a.tasks, f.submit(t, a.in, list...).ID)
	lease, next := f.claim(t, a.in, "x", 0)
	end := finish(next.Task, "x")
	end.CompletedAt = f.clock.Now().Add(100 * 24 * time.Hour) // it does not expire with those of another environment
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: end, Then: store.Proceed})
	sync := f.claimSync(t, a.in)
	f.advanceSync(t, sync, store.SyncStep{
		Seen:   []byte("seen"),
		Remote: []store.RemoteSkill{{RemoteID: "r6", Name: "six", Status: skill.Active}, {RemoteID: "r7", ID: ordered(7), Name: "seven", Status: skill.Inactive}},
	})
	f.clock.advance(ttl)
	many := make([]skill.Item, 2100) // more than a block, and than a batch
	for i := range many {
		many[i] = items(ordered(i))[0]
	}
	a.tasks = append(a.tasks, f.submit(t, a.in, many...).ID, f.submit(t, a.in, list...).ID)
	a.lease, next = f.claim(t, a.in, "x", 0)
	a.task = next.Task.Ref
	f.advance(t, a.lease, store.Step{
		Task: a.task, Open: []store.Range{{Start: 1, Stop: 2}}, Outcomes: []store.Run{{Outcomes: []skill.Outcome{{Kind: skill.Unchanged, SkillID: id(1)}}}},
	})
	a.key, a.link = [32]byte{n}, [32]byte{n + 1}
	_, err := f.CreateKey(ctx, store.Key{EnvironmentID: f.env, Name: "x", Prefix: "x"}, a.key)
	must(err)
	_, err = f.CreateLink(ctx, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}, a.link, time.Hour)
	must(err)
	must(f.SetConnectSettings(ctx, f.env, store.ConnectSettings{Redirect: "https://app.example.com"}))
	exchange := f.exchanged(f.clock.Now())
	a.log = exchange.ID
	must(f.AppendInteractions(ctx, []store.Interaction{exchange}))
	_, err = f.Sandbox().Write(ctx, a.in.ID, []sandbox.Row{{ExternalID: "a", Name: "a"}, {ExternalID: "b", Name: "b"}, {ExternalID: "c", Name: "c"}})
	must(err)
	_, err = f.Sandbox().Steps(ctx, a.in.ID, []string{"a"})
	must(err)
	// Its names are in the search.
	f.indexAll(t)
	return a
}

// erased erases an environment, and asks for all of it from that moment on.
func (f *fixture) erased(t *testing.T, env store.Environment, a all) {
	ctx := t.Context()
	wantError(t, f.EraseEnvironment(ctx, "none"), store.ErrNotFound)
	if err := f.EraseEnvironment(ctx, env.ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, f.EraseEnvironment(ctx, env.ID), store.ErrNotFound)
	for what, err := range map[string]error{
		"the environment": second(f.Environment(ctx, env.ID)), "its name": second(f.Environment(ctx, env.Name)),
		"a new name": second(f.RenameEnvironment(ctx, env.ID, "x")), "its deletion": f.DeleteEnvironment(ctx, env.ID),
		"its key": second(f.KeyByHash(ctx, a.key)), "its link": second(f.Link(ctx, a.link)),
		"a new key":         second(f.CreateKey(ctx, store.Key{EnvironmentID: env.ID, Name: "x"}, [32]byte{99})),
		"a new link":        second(f.CreateLink(ctx, store.Link{EnvironmentID: env.ID, Purpose: store.Connect, Category: "HRIS", Language: "en"}, [32]byte{98}, time.Hour)),
		"a new integration": second(f.CreateIntegration(ctx, store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`)})),
		"connect settings":  f.SetConnectSettings(ctx, env.ID, store.ConnectSettings{}),
		"a switch":          second(f.SetEnabled(ctx, a.in.ID, true)),
		"a submission":      second(f.Submit(ctx, submission(a.in, items("z")...))),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", what, err)
		}
	}
	if list, err := f.Environments(ctx); err != nil || len(list) != 1 {
		t.Errorf("environments: %+v, %v", list, err)
	}
	if again, err := f.CreateEnvironment(ctx, env.Name); err != nil {
		t.Errorf("the name is not free: %v", err)
	} else if err := f.DeleteEnvironment(ctx, again.ID); err != nil {
		t.Error(err)
	}
	if in, err := f.Integration(ctx, "", a.in.ID); err != nil || !in.Deleted() || len(in.Credentials) > 0 || string(in.Settings) != "{}" {
		t.Errorf("its integration: %+v, %v", in, err)
	}
	// Whoever drains is refused, may not claim again, and keeps what is under way from being pulled away meanwhile.
	_, err := f.Advance(ctx, a.lease, store.Step{Task: a.task, Attempt: 1})
	wantError(t, err, store.ErrLeaseLost)
	_, _, err = f.Claim(ctx, store.Claim{IntegrationID: a.in.ID, Owner: "y", TTL: ttl, Force: true})
	wantError(t, err, store.ErrIdle)
	if e, err := f.EraseSome(ctx, 100); err != nil || e.Removed != 0 || !e.Left {
		t.Errorf("under a live lease: %+v, %v", e, err)
	}
	if err := f.Doubt(ctx, store.Doubt{Lease: a.lease, OriginIDs: []string{"id-a"}, Timeout: time.Hour}); err != nil {
		t.Errorf("a late call: %v", err)
	}
}
