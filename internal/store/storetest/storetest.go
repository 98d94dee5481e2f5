// Package storetest is the suite that every store passes. A change of the store's interface needs a test here.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Opener opens an empty store whose clock is now. It is closed by the suite.
type Opener func(t *testing.T, now func() time.Time) store.Store

// Run runs the suite; every test has a store of its own.
func Run(t *testing.T, open Opener) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"environments", environments},
		{"keys", keys},
		{"integrations", integrations},
		{"submissions are refused for the right reason", submissionsRefused},
		{"a task can be read in its own environment and integration only", taskIsolation},
		{"a task is kept whole", taskWhole},
		{"a lease is held by one", leaseHeldByOne},
		{"a lease that ran out is taken over, and its holder refused", leaseTakenOver},
		{"a refused step leaves nothing behind", refusedStep},
		{"heartbeats prolong", heartbeats},
		{"a lease that was ended stays so", endedLease},
		{"a wait that the tool asked for is kept", resumeLater},
		{"a wait that the tool asked for outlives its drain", held},
		{"the tool's pace outlives its drain", paced},
		{"a tool that does not answer is known to all", notAnswering},
		{"policies", policies},
		{"a lease that ran out is told from one that was given back", stolen},
		{"what may wait is limited", mostWaiting},
		{"what may wait is limited, raced for", mostWaitingRaced},
		{"other processes are woken", elsewhere},
		{"small tasks are opened with the claim", openedWithClaim},
		{"an integration that rests is leased with the submission", leasedWithSubmission},
		{"skills are looked up with a lease", statesWithLease},
		{"items are kept, however few or many", itemsOfAnySize},
		{"the end of the last task", lastEnded},
		{"tasks run in the order of their acceptance", inOrder},
		{"a checkpoint is all there is to go on from", checkpointed},
		{"the end of a task", finished},
		{"answers of all sizes", answers},
		{"open intents become unsure skills", intentsBecomeUnsure},
		{"remote jobs outlive their drain", jobs},
		{"the catalogue", catalogue},
		{"identity is bytewise", bytewise},
		{"a disabled integration is paused", paused},
		{"refused credentials stay known until something changes", invalid},
		{"overdue tasks", overdue},
		{"a task is cancelled", cancelled},
		{"a task is cancelled, and counted", cancelledHealth},
		{"a task is cancelled, raced for", cancelRaced},
		{"due drains", due},
		{"no wake-up is lost", noLostWakeUp},
		{"a context that has ended changes nothing", endedContext},
		{"what the catalogue says of skills", contents},
		{"doubted skills are written again", doubted},
		{"a catalogue is doubted as a whole", doubtedAll},
		{"tasks expire and leave tombstones", expired},
		{"several processes remove old tasks at once", expiredAtOnce},
		{"interactions are kept whole", interactionKept},
		{"interactions are listed", interactionsListed},
		{"a page of interactions that finds little", interactionsLookedAt},
		{"old interactions are removed", interactionsRemoved},
		{"health", health},
		{"the master key's note", masterKey},
		{"credentials", credentials},
		{"what an API key may do, and was used for", keyLimits},
		{"environments are renamed and deleted", environmentsChanged},
		{"the first user", firstUser},
		{"users", users},
		{"identities", identities},
		{"somebody is left who may administer", lastOwner},
		{"sessions", sessions},
		{"attempts to sign in are limited", attempts},
		{"the audit log", auditLog},
		{"old entries are tidied up", tidied},
		{"tasks are listed", tasksListed},
		{"a task with what it was about", taskContent},
		{"an item in several tasks", itemInTasks},
		{"the catalogue is listed", catalogueListed},
		{"the catalogue tells which task wrote a skill", writers},
		{"the catalogue is counted", catalogueCounted},
		{"names are indexed", namesIndexed},
		{"names that others have as well", namesElsewhere},
		{"names that are written in many ways are found", namesLookedAt},
		{"names are indexed by two at once", namesIndexedTogether},
		{"what became of items by the hour", activity},
		{"what integrations are doing", integrationStates},
		{"integrations in other orders", integrationsSorted},
		{"what an environment wants of its page to connect", connectSettings},
		{"a link is used once", links},
		{"a link to connect anew", relinks},
		{"tries with a link are limited", linkTries},
		{"a link is used once, raced for", linkRaced},
		{"links are forgotten", linksForgotten},
		{"a sync and a drain exclude each other", syncLease},
		{"one sync at a time is asked for", syncRequested},
		{"a sync becomes a whole one", syncWidened},
		{"a sync ends with its integration", syncOfDeleted},
		{"what a sync notes", syncNotes},
		{"lists of skills", reads},
		{"what was refused and never there is not listed", refusedNotListed},
		{"wishes", wishes},
		{"a wish outlives what was sent before it", wishBehindTasks},
		{"a wish that is refused is a change", wishRefused},
		{"a wish for what is there", wishForNothing},
		{"a remote id that becomes known is a change", linkedIsAChange},
		{"the tool's own skills become managed ones", managed},
		{"skills that were only read, by their names", readByName},
		{"the sandbox's catalogue", sandboxCatalogue},
		{"the sandbox's rate limit and scripts", sandboxTraffic},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			clock := &clock{now: time.Date(2026, 11, 23, 14, 1, 29, 0, time.UTC)}
			f := &fixture{Store: open(t, clock.Now), clock: clock}
			t.Cleanup(func() {
				if err := f.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			})
			env, err := f.Environment(t.Context(), store.DefaultEnvironment)
			if err != nil {
				t.Fatalf("the default environment: %v", err)
			}
			f.env = env.ID
			test.run(t, f)
		})
	}
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type fixture struct {
	store.Store
	clock *clock
	env   string
}

const (
	ttl     = 6 * time.Second
	timeout = time.Hour
)

func (f *fixture) integration(t *testing.T) store.Integration {
	t.Helper()
	in, err := f.CreateIntegration(t.Context(), store.Integration{
		EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{}`), EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func items(names ...string) []skill.Item {
	list := make([]skill.Item, len(names))
	for i, name := range names {
		list[i] = skill.Item{OriginID: "id-" + name, Name: name, Status: skill.Active}
	}
	return list
}

func (f *fixture) submit(t *testing.T, in store.Integration, list ...skill.Item) skill.Task {
	t.Helper()
	task, err := f.Submit(t.Context(), store.Submission{
		EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: list, Timeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	return task.Task
}

func (f *fixture) claim(t *testing.T, in store.Integration, owner string, openUpTo int) (store.Lease, store.Next) {
	t.Helper()
	lease, next, err := f.Claim(t.Context(), store.Claim{IntegrationID: in.ID, Owner: owner, TTL: ttl, OpenUpTo: openUpTo})
	if err != nil {
		t.Fatal(err)
	}
	return lease, next
}

func (f *fixture) advance(t *testing.T, lease store.Lease, step store.Step) store.Next {
	t.Helper()
	next, err := f.Advance(t.Context(), lease, step)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func (f *fixture) view(t *testing.T, in store.Integration, taskID string) store.TaskView {
	t.Helper()
	view, err := f.Task(t.Context(), in.EnvironmentID, in.ID, taskID)
	if err != nil {
		t.Fatal(err)
	}
	return view
}

// finish ends a task with everything written.
func finish(task *store.DrainTask, document string) *store.Finish {
	return &store.Finish{
		Status: skill.Completed, Counts: skill.Counts{Written: task.Items}, CompletedAt: task.CreatedAt, Document: []byte(document),
	}
}

func written(it skill.Item, ref int64, id string) store.SkillWritten {
	return store.SkillWritten{Ref: ref, ID: id, RemoteID: "remote-" + it.OriginID, Item: it, Hash: skill.ContentHash("", it)}
}

func id(n int) string { return fmt.Sprintf("%024d", n) }

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error = %v, want %v", err, want)
	}
}

func environments(t *testing.T, f *fixture) {
	ctx := t.Context()
	f.clock.advance(time.Second)
	staging, err := f.CreateEnvironment(ctx, "staging")
	if err != nil {
		t.Fatal(err)
	}
	if !skill.IsID(staging.ID) || !staging.CreatedAt.Equal(f.clock.Now()) {
		t.Errorf("created %+v", staging)
	}
	if _, err := f.CreateEnvironment(ctx, "staging"); !errors.Is(err, store.ErrExists) {
		t.Errorf("a second one of the name: %v", err)
	}
	for _, key := range []string{"staging", staging.ID} {
		if got, err := f.Environment(ctx, key); err != nil || got != staging {
			t.Errorf("Environment(%q) = %+v, %v", key, got, err)
		}
	}
	_, err = f.Environment(ctx, "Staging")
	wantError(t, err, store.ErrNotFound)
	f.clock.advance(time.Second)
	later, err := f.CreateEnvironment(ctx, "later")
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Environments(ctx) // the default one was made by another clock
	list = slices.DeleteFunc(list, func(e store.Environment) bool { return e.Name == store.DefaultEnvironment })
	if diff := cmp.Diff([]store.Environment{staging, later}, list); err != nil || diff != "" {
		t.Errorf("Environments: %v (-want +got):\n%s", err, diff)
	}
}

func keys(t *testing.T, f *fixture) {
	ctx := t.Context()
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	key, err := f.CreateKey(ctx, store.Key{EnvironmentID: f.env, Name: "nightly", Prefix: "cw_live_abc"}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateKey(ctx, store.Key{EnvironmentID: other.ID, Name: "x", Prefix: "cw_live_xyz"}, [32]byte{2}); err != nil {
		t.Fatal(err)
	}
	if got, err := f.KeyByHash(ctx, [32]byte{1}); err != nil || !reflect.DeepEqual(got, key) {
		t.Errorf("KeyByHash = %+v, %v, want %+v", got, err, key)
	}
	_, err = f.KeyByHash(ctx, [32]byte{3})
	wantError(t, err, store.ErrNotFound)
	for env, want := range map[string]int{f.env: 1, other.ID: 1, "": 2, "none": 0} {
		if list, err := f.Keys(ctx, env); err != nil || len(list) != want {
			t.Errorf("Keys(%q) = %+v, %v, want %d", env, list, err, want)
		}
	}
	revoked, err := f.RevokeKey(ctx, key.ID)
	if err != nil || !revoked.RevokedAt.Equal(f.clock.Now()) {
		t.Errorf("RevokeKey = %+v, %v", revoked, err)
	}
	f.clock.advance(time.Minute)
	if again, err := f.RevokeKey(ctx, key.ID); err != nil || !reflect.DeepEqual(again, revoked) {
		t.Errorf("revoked again: %+v, %v, want %+v", again, err, revoked)
	}
	if got, err := f.KeyByHash(ctx, [32]byte{1}); err != nil || !reflect.DeepEqual(got, revoked) {
		t.Errorf("KeyByHash of a revoked key = %+v, %v", got, err)
	}
	_, err = f.RevokeKey(ctx, "none")
	wantError(t, err, store.ErrNotFound)
}

func integrations(t *testing.T, f *fixture) {
	ctx := t.Context()
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.CreateIntegration(ctx, store.Integration{
		EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{"latency":"1s"}`),
		EndUser: store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "a@acme.example", OriginID: "acme"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Integration{
		ID: in.ID, EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{"latency":"1s"}`), SettingsVersion: 1, Enabled: true,
		EndUser:   store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "a@acme.example", OriginID: "acme"},
		CreatedAt: f.clock.Now(),
	}
	if diff := cmp.Diff(want, in); diff != "" || !skill.IsIntegrationID(in.ID) || !strings.HasPrefix(in.ID, "sandbox:") {
		t.Errorf("created %s (-want +got):\n%s", in.ID, diff)
	}
	for env, ok := range map[string]bool{f.env: true, "": true, other.ID: false, "none": false} {
		got, err := f.Integration(ctx, env, in.ID)
		if ok && (err != nil || cmp.Diff(in, got) != "") {
			t.Errorf("Integration(%q) = %+v, %v", env, got, err)
		}
		if !ok {
			wantError(t, err, store.ErrNotFound)
		}
	}
	_, err = f.Integration(ctx, f.env, "sandbox:none")
	wantError(t, err, store.ErrNotFound)

	if got, err := f.SetEnabled(ctx, in.ID, false); err != nil || got.Enabled {
		t.Errorf("disabled: %+v, %v", got, err)
	}
	if got, err := f.SetEnabled(ctx, in.ID, true); err != nil || !got.Enabled {
		t.Errorf("enabled: %+v, %v", got, err)
	}
	if got, err := f.SetSettings(ctx, in.ID, []byte(`{}`)); err != nil || string(got.Settings) != "{}" || got.SettingsVersion != 2 {
		t.Errorf("settings changed: %+v, %v", got, err)
	}
	gone, err := f.DeleteIntegration(ctx, in.ID)
	if err != nil || !gone.Deleted() {
		t.Errorf("deleted: %+v, %v", gone, err)
	}
	if got, err := f.Integration(ctx, f.env, in.ID); err != nil || !got.Deleted() {
		t.Errorf("a deleted one is still found: %+v, %v", got, err)
	}
	if list, err := f.Integrations(ctx, f.env); err != nil || len(list) != 0 {
		t.Errorf("a deleted one is not listed: %+v, %v", list, err)
	}
	_, err = f.DeleteIntegration(ctx, in.ID)
	wantError(t, err, store.ErrNotFound)
	_, err = f.SetEnabled(ctx, in.ID, true)
	wantError(t, err, store.ErrNotFound)
	_, err = f.SetSettings(ctx, in.ID, []byte(`{}`))
	wantError(t, err, store.ErrNotFound)

	a, b := f.integration(t), f.integration(t)
	list, err := f.Integrations(ctx, f.env)
	if err != nil || len(list) != 2 || list[0].ID != a.ID || list[1].ID != b.ID {
		t.Errorf("Integrations = %+v, %v", list, err)
	}
}

func submissionsRefused(t *testing.T, f *fixture) {
	ctx := t.Context()
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	off, gone, in := f.integration(t), f.integration(t), f.integration(t)
	if _, err := f.SetEnabled(ctx, off.ID, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.DeleteIntegration(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env, id string
		want    error
	}{
		"unknown":               {f.env, "sandbox:none", store.ErrNotFound},
		"another environment's": {other.ID, in.ID, store.ErrNotFound},
		"no environment":        {"", in.ID, store.ErrNotFound},
		"deleted":               {f.env, gone.ID, store.ErrNotFound},
		"switched off":          {f.env, off.ID, store.ErrDisabled},
	} {
		task := skill.NewTaskID(time.Now())
		_, err := f.Submit(ctx, store.Submission{EnvironmentID: c.env, IntegrationID: c.id, TaskID: task, Items: items("Go"), Timeout: timeout})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := f.Task(ctx, c.env, c.id, task); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: the refused task is kept: %v", name, err)
		}
	}
}

func taskIsolation(t *testing.T, f *fixture) {
	ctx := t.Context()
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	in, sibling := f.integration(t), f.integration(t)
	task := f.submit(t, in, items("Go")...)
	for name, c := range map[string][3]string{
		"another environment": {other.ID, in.ID, task.ID},
		"no environment":      {"", in.ID, task.ID},
		"another integration": {f.env, sibling.ID, task.ID},
		"another task":        {f.env, in.ID, skill.NewTaskID(time.Now())},
	} {
		if _, err := f.Task(ctx, c[0], c[1], c[2]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v, want %v", name, err, store.ErrNotFound)
		}
	}
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	if view := f.view(t, in, task.ID); view.Status != skill.Pending {
		t.Errorf("a task of a deleted integration can still be read: %+v", view)
	}
}

func taskWhole(t *testing.T, f *fixture) {
	in := f.integration(t)
	var list []skill.Item
	for i := range 5000 { // several blocks
		list = append(list, skill.Item{OriginID: fmt.Sprintf("http://data.europa.eu/esco/skill/%d", i), Name: fmt.Sprintf("skill’ %d²\n\"", i), Status: skill.Status(1 + i%2)})
	}
	task := f.submit(t, in, list...)
	view := f.view(t, in, task.ID)
	want := store.TaskView{Task: task, Status: skill.Pending, Items: len(list)}
	if diff := cmp.Diff(want, view); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
	if !task.CreatedAt.Equal(f.clock.Now()) {
		t.Errorf("created at %v, want %v", task.CreatedAt, f.clock.Now())
	}
	_, next := f.claim(t, in, "a", 0)
	if next.Task == nil || next.Task.Items != len(list) || next.Task.TimeLeft != timeout || next.Task.ID != task.ID {
		t.Fatalf("next = %+v", next.Task)
	}
	var got []skill.Item
	for {
		block, err := f.Items(t.Context(), next.Task.Ref, len(got))
		if err != nil {
			t.Fatal(err)
		}
		if len(block) == 0 {
			break
		}
		got = append(got, block...)
	}
	if diff := cmp.Diff(list, got); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	tail, err := f.Items(t.Context(), next.Task.Ref, 4999)
	if err != nil || cmp.Diff(list[4999:], tail) != "" {
		t.Errorf("from the last one on: %v, %v", tail, err)
	}
}

func leaseHeldByOne(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	claim := store.Claim{IntegrationID: in.ID, Owner: "a", TTL: ttl}
	_, _, err := f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle) // nothing to do
	f.submit(t, in, items("Go")...)
	lease, next := f.claim(t, in, "a", 0)
	if lease.Integration.ID != in.ID || next.Task == nil {
		t.Fatalf("claim = %+v, %+v", lease, next)
	}
	for _, owner := range []string{"a", "b"} {
		claim.Owner = owner
		if _, _, err := f.Claim(ctx, claim); !errors.Is(err, store.ErrIdle) {
			t.Errorf("claimed again by %s: %v", owner, err)
		}
	}
	_, _, err = f.Claim(ctx, store.Claim{IntegrationID: "sandbox:none", Owner: "a", TTL: ttl})
	wantError(t, err, store.ErrIdle)
	// Work that is left keeps the drain wanted; work that is done ends it.
	f.advance(t, lease, store.Step{Then: store.Leave})
	lease, next = f.claim(t, in, "b", 0)
	if after := f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}); after.Task != nil {
		t.Fatalf("after the only task: %+v", after.Task)
	}
	_, _, err = f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle)
	_, err = f.Advance(ctx, lease, store.Step{Then: store.Leave})
	wantError(t, err, store.ErrLeaseLost) // it was given back
}

func leaseTakenOver(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	f.submit(t, in, items("Go")...)
	old, _ := f.claim(t, in, "a", 0)
	f.clock.advance(ttl - time.Millisecond)
	if _, _, err := f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "b", TTL: ttl}); !errors.Is(err, store.ErrIdle) {
		t.Fatalf("taken over too early: %v", err)
	}
	f.clock.advance(time.Millisecond)
	// Nobody has taken it over yet, so what its holder writes down is still good.
	f.advance(t, old, store.Step{})
	lease, _ := f.claim(t, in, "b", 0)
	if lease.Epoch <= old.Epoch {
		t.Errorf("epoch %d after %d", lease.Epoch, old.Epoch)
	}
	_, err := f.Advance(ctx, old, store.Step{})
	wantError(t, err, store.ErrLeaseLost)
	states, err := f.Extend(ctx, "a", []store.Held{{Ref: old.Ref, Epoch: old.Epoch}}, ttl)
	if err != nil || len(states) != 0 {
		t.Errorf("the old holder prolongs: %v, %v", states, err)
	}
	f.advance(t, lease, store.Step{})
}

func refusedStep(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	list := items("Go", "Rust")
	task := f.submit(t, in, list...)
	old, next := f.claim(t, in, "a", 0)
	f.clock.advance(ttl)
	lease, _ := f.claim(t, in, "b", 0)
	_, err := f.Advance(ctx, old, store.Step{
		Task:     next.Task.Ref,
		Open:     []store.Range{{Start: 0, Stop: 2}},
		Written:  []store.SkillWritten{written(list[0], 0, id(1))},
		Refused:  []store.SkillRefused{{ID: id(2), Item: list[1], Code: skill.CodeRemoteInput, Message: "no"}},
		Outcomes: []store.Run{{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}}}},
		Invalid:  "no",
	})
	wantError(t, err, store.ErrLeaseLost)
	if view := f.view(t, in, task.ID); view.Done != 0 {
		t.Errorf("the refused step counted: %+v", view)
	}
	states, err := f.Skills(ctx, lease, []string{list[0].OriginID, list[1].OriginID})
	if err != nil || states[0].Ref != 0 || states[1].Ref != 0 {
		t.Errorf("the refused step left skills: %+v, %v", states, err)
	}
	after := f.advance(t, lease, store.Step{})
	if after.State.InvalidReason != "" {
		t.Errorf("the refused step marked the integration: %+v", after.State)
	}
	// A step on a task that has ended is refused whole as well.
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x")})
	for name, step := range map[string]store.Step{
		"finish again": {Task: next.Task.Ref, Finish: finish(next.Task, "y"), Written: []store.SkillWritten{written(list[0], 0, id(1))}},
		"checkpoint":   {Task: next.Task.Ref, Written: []store.SkillWritten{written(list[0], 0, id(1))}, Outcomes: []store.Run{{Outcomes: []skill.Outcome{{Kind: skill.Written}}}}},
		"open":         {Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 1}}},
	} {
		if _, err := f.Advance(ctx, lease, step); !errors.Is(err, store.ErrTaskEnded) {
			t.Errorf("%s: %v, want %v", name, err, store.ErrTaskEnded)
		}
	}
	if states, err = f.Skills(ctx, lease, []string{list[0].OriginID}); err != nil || states[0].Ref != 0 {
		t.Errorf("a refused step left a skill: %+v, %v", states, err)
	}
	if view := f.view(t, in, task.ID); string(view.Document) != "x" {
		t.Errorf("the document was replaced: %s", view.Document)
	}
}

func heartbeats(t *testing.T, f *fixture) {
	ctx := t.Context()
	a, b := f.integration(t), f.integration(t)
	f.submit(t, a, items("Go")...)
	f.submit(t, b, items("Go")...)
	la, _ := f.claim(t, a, "x", 0)
	lb, _ := f.claim(t, b, "x", 0)
	if _, err := f.SetEnabled(ctx, b.ID, false); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(ttl - time.Second)
	held := []store.Held{{Ref: la.Ref, Epoch: la.Epoch}, {Ref: lb.Ref, Epoch: lb.Epoch}, {Ref: lb.Ref, Epoch: lb.Epoch + 1}}
	states, err := f.Extend(ctx, "x", held[:2], ttl)
	want := map[int64]store.Extended{la.Ref: {State: store.State{Enabled: true, SettingsVersion: 1}}, lb.Ref: {State: store.State{SettingsVersion: 1}}}
	if diff := cmp.Diff(want, states); err != nil || diff != "" {
		t.Errorf("Extend: %v (-want +got):\n%s", err, diff)
	}
	f.clock.advance(ttl - time.Second)
	if _, _, err := f.Claim(ctx, store.Claim{IntegrationID: a.ID, Owner: "y", TTL: ttl}); !errors.Is(err, store.ErrIdle) {
		t.Errorf("a prolonged lease was taken over: %v", err)
	}
	if states, err := f.Extend(ctx, "y", held, ttl); err != nil || len(states) != 0 {
		t.Errorf("somebody else prolongs: %v, %v", states, err)
	}
	if states, err := f.Extend(ctx, "x", held[2:], ttl); err != nil || len(states) != 0 {
		t.Errorf("another epoch is prolonged: %v, %v", states, err)
	}
}

// A heartbeat that was held up by the network arrives after its lease was ended.
func endedLease(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	f.submit(t, in, items("Go")...)
	lease, _ := f.claim(t, in, "x", 0)
	held := []store.Held{{Ref: lease.Ref, Epoch: lease.Epoch}}
	for range 2 { // its holder may not hear the answer, and end it again
		if states, err := f.Extend(ctx, "x", held, 0); err != nil || len(states) != 1 {
			t.Errorf("ending a lease: %v, %v", states, err)
		}
	}
	if states, err := f.Extend(ctx, "x", held, ttl); err != nil || len(states) != 0 {
		t.Errorf("a lease that was ended is prolonged: %v, %v", states, err)
	}
	f.claim(t, in, "y", 0)
}

func resumeLater(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	f.submit(t, in, items("Go")...)
	lease, next := f.claim(t, in, "a", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Attempt: 3, Then: store.Leave, ResumeIn: time.Minute})
	claim := store.Claim{IntegrationID: in.ID, Owner: "b", TTL: ttl}
	_, _, err := f.Claim(ctx, claim)
	wantError(t, err, store.ErrIdle)
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("due too early: %v, %v", list, err)
	}
	f.clock.advance(time.Minute)
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 1 {
		t.Errorf("not due: %v, %v", list, err)
	}
	lease, next = f.claim(t, in, "b", 0)
	if next.Task.Attempt != 3 {
		t.Errorf("attempt = %d, want 3", next.Task.Attempt)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Then: store.Leave, ResumeIn: time.Minute})
	claim.Force = true
	lease, _, err = f.Claim(ctx, claim)
	if err != nil {
		t.Fatalf("by force: %v", err)
	}
	f.advance(t, lease, store.Step{Then: store.Leave, ResumeIn: time.Hour})
	// Whoever changes the integration wants to see at once what comes of it.
	if _, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	f.claim(t, in, "c", 0)
}

func openedWithClaim(t *testing.T, f *fixture) {
	in := f.integration(t)
	for range 3 {
		f.submit(t, in, items("Go", "Rust", "C")...)
	}
	lease, next := f.claim(t, in, "a", 3)
	if !next.Opened {
		t.Error("a task of three was not opened, of at most three")
	}
	// A store need not bring the items, but if it does they are the task's.
	if stored, err := f.Items(t.Context(), next.Task.Ref, 0); err != nil || next.Items != nil && !slices.Equal(next.Items, stored) {
		t.Errorf("items = %v, want none or %v, %v", next.Items, stored, err)
	}
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed, OpenUpTo: 2})
	if next.Opened {
		t.Error("a task of three was opened, of at most two")
	}
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed, OpenUpTo: 10})
	if !next.Opened {
		t.Error("a task of three was not opened, of at most ten")
	}
	// One that has outcomes already is not opened as a whole.
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Close: []store.Range{{Start: 0, Stop: 3}}, Then: store.Leave,
		Outcomes: []store.Run{{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}}}},
	})
	if _, next = f.claim(t, in, "a", 10); next.Opened {
		t.Error("a task with outcomes was opened")
	}
}

// leasedWithSubmission: what a submission leases is what a claim right after it would have leased.
func leasedWithSubmission(t *testing.T, f *fixture) {
	ctx := t.Context()
	submit := func(in store.Integration, openUpTo int, list ...skill.Item) (skill.Task, *store.Leased) {
		t.Helper()
		accepted, err := f.Submit(ctx, store.Submission{
			EnvironmentID: f.env, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(f.clock.Now()), Items: list, Timeout: timeout,
			Claim: &store.Claim{Owner: "a", TTL: ttl, OpenUpTo: openUpTo},
		})
		if err != nil {
			t.Fatal(err)
		}
		return accepted.Task, accepted.Leased
	}
	for _, openUpTo := range []int{0, 2, 3} {
		one, other := f.integration(t), f.integration(t)
		task, got := submit(one, openUpTo, items("Go", "Rust", "C")...)
		if got == nil {
			t.Fatalf("open up to %d: no lease", openUpTo)
		}
		claimed := f.submit(t, other, items("Go", "Rust", "C")...)
		lease, next := f.claim(t, other, "a", openUpTo)
		if got.Next.Task == nil || got.Next.Task.ID != task.ID || next.Task.ID != claimed.ID || got.Lease.Integration.ID != one.ID {
			t.Fatalf("open up to %d: leased %+v of %s", openUpTo, got, task.ID)
		}
		// What differs is whose they are, and that a store need not bring the items, nor know that it is the last.
		same := *got.Next.Task
		same.ID, same.Ref, same.Last = next.Task.ID, next.Task.Ref, next.Task.Last
		got.Next.Task, got.Next.Items, next.Items, got.Next.States = &same, nil, nil, nil
		ref := got.Lease.Ref
		got.Lease.Ref, got.Lease.Integration = lease.Ref, lease.Integration
		if diff := cmp.Diff(&store.Leased{Lease: lease, Next: next}, got); diff != "" {
			t.Errorf("open up to %d: claimed and leased differ (-claimed +leased):\n%s", openUpTo, diff)
		}
		// The lease is one: it keeps others away, is prolonged, and can be taken over with its intent.
		f.clock.advance(ttl - time.Second)
		if _, _, err := f.Claim(ctx, store.Claim{IntegrationID: one.ID, Owner: "b", TTL: ttl}); !errors.Is(err, store.ErrIdle) {
			t.Errorf("claimed while leased: %v", err)
		}
		if states, err := f.Extend(ctx, "a", []store.Held{{Ref: ref, Epoch: got.Lease.Epoch}}, ttl); err != nil || len(states) != 1 {
			t.Errorf("extend: %v, %v", states, err)
		}
		if _, leased := submit(one, 10, items("Zig")...); leased != nil {
			t.Error("leased while leased")
		}
		f.clock.advance(ttl)
		taken, next := f.claim(t, one, "b", 0)
		if !taken.Stolen || next.Task.ID != task.ID || next.Task.Touched != (openUpTo == 3) {
			t.Errorf("open up to %d: taken over with stolen %v, %+v", openUpTo, taken.Stolen, next.Task)
		}
		next = f.advance(t, taken, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
		if next = f.advance(t, taken, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}); next.Task != nil {
			t.Fatalf("a task is left: %+v", next.Task)
		}
		// It rests again.
		if _, leased := submit(one, 10, items("Zig")...); leased == nil || leased.Lease.Epoch != taken.Epoch+1 || !leased.Next.Opened {
			t.Errorf("leased again: %+v", leased)
		}
	}
	// What is not good, or waits, is not leased.
	in := f.integration(t)
	f.submit(t, in, items("Go")...)
	if _, leased := submit(in, 10, items("Rust")...); leased != nil {
		t.Error("leased although a task waits")
	}
	lease, next := f.claim(t, in, "a", 0)
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Hold: time.Minute, Then: store.Proceed})
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	if _, leased := submit(in, 10, items("Zig")...); leased != nil {
		t.Error("leased although the tool asked for patience")
	}
	in = f.integration(t)
	f.submit(t, in, items("Go")...)
	lease, next = f.claim(t, in, "a", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Invalid: "no", Then: store.Proceed})
	if _, leased := submit(in, 10, items("Zig")...); leased != nil {
		t.Error("leased although the credentials were refused")
	}
}

// statesWithLease: a store may look skills up as it leases. It tells what a look-up right after tells, or nothing.
func statesWithLease(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	submit := func(list ...skill.Item) *store.Leased {
		t.Helper()
		f.clock.advance(time.Second)
		accepted, err := f.Submit(ctx, store.Submission{
			EnvironmentID: f.env, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(f.clock.Now()), Items: list, Timeout: timeout,
			Claim: &store.Claim{Owner: "a", TTL: ttl, OpenUpTo: 10},
		})
		if err != nil || accepted.Leased == nil || !accepted.Leased.Next.Opened {
			t.Fatalf("submitted: %+v, %v", accepted, err)
		}
		next := accepted.Leased.Next
		states, err := f.Skills(ctx, accepted.Leased.Lease, each(list, func(it skill.Item) string { return it.OriginID }))
		if err != nil {
			t.Fatal(err)
		}
		if next.States != nil {
			if diff := cmp.Diff(states, next.States); diff != "" {
				t.Errorf("looked up right after, and leased (-looked up +leased):\n%s", diff)
			}
		}
		return accepted.Leased
	}
	end := func(l *store.Leased, step store.Step) {
		t.Helper()
		step.Task, step.Finish, step.Then, step.Close = l.Next.Task.Ref, finish(l.Next.Task, "x"), store.Proceed, []store.Range{{Start: 0, Stop: l.Next.Task.Items}}
		f.advance(t, l.Lease, step)
	}
	list := items("Go", "Rust", "C")
	fresh := submit(list...)
	end(fresh, store.Step{
		Written: []store.SkillWritten{{ID: id(1), RemoteID: "r1", Item: list[0], Hash: skill.ContentHash("", list[0])}, {ID: id(2), Item: list[1]}},
		Refused: []store.SkillRefused{{ID: id(3), Item: list[2], Code: skill.CodeRemoteInput, Message: "no"}},
	})
	known := submit(append(items("Zig", "Ada"), list...)...)
	end(known, store.Step{})
	other := submit(items("Zig")...)
	end(other, store.Step{})
}

// lastEnded: a store may end the last task of an integration in a shorter way, which must come to the same.
func lastEnded(t *testing.T, f *fixture) {
	ctx := t.Context()
	begin := func(in store.Integration) (skill.Task, *store.Leased) {
		t.Helper()
		accepted, err := f.Submit(ctx, store.Submission{
			EnvironmentID: f.env, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(f.clock.Now()), Items: items("Go", "Rust"), Timeout: timeout,
			Claim: &store.Claim{Owner: "a", TTL: ttl, OpenUpTo: 10},
		})
		if err != nil || accepted.Leased == nil {
			t.Fatalf("leased %v, %v", accepted.Leased, err)
		}
		return accepted.Task, accepted.Leased
	}
	end := func(l *store.Leased, written ...store.SkillWritten) store.Step {
		task := l.Next.Task
		return store.Step{
			Task: task.Ref, Close: []store.Range{{Start: 0, Stop: 2}}, Written: written, Last: task.Last, Then: store.Proceed, OpenUpTo: 10,
			Finish: &store.Finish{
				Status: skill.Completed, Counts: skill.Counts{Written: len(written), Failed: 2 - len(written)}, CompletedAt: f.clock.Now(), Document: []byte("{}"),
			},
		}
	}
	for name, test := range map[string]struct {
		written []store.SkillWritten
		more    bool
	}{
		"nothing was written":  {},
		"all was written":      {written: []store.SkillWritten{written(items("Go")[0], 0, id(1)), written(items("Rust")[0], 0, id(2))}},
		"one has come":         {written: []store.SkillWritten{written(items("Go")[0], 0, id(3))}, more: true},
		"one has come, unread": {more: true},
	} {
		in := f.integration(t)
		task, leased := begin(in)
		var second skill.Task
		if test.more {
			second = f.submit(t, in, items("Zig")...)
		}
		next := f.advance(t, leased.Lease, end(leased, test.written...))
		view := f.view(t, in, task.ID)
		if view.Status != skill.Completed || view.Counts.Written != len(test.written) || view.Done != 2 || string(view.Document) != "{}" {
			t.Errorf("%s: %+v", name, view)
		}
		if !test.more && next.Task != nil || test.more && (next.Task == nil || next.Task.ID != second.ID || !next.Opened) {
			t.Fatalf("%s: next is %+v", name, next)
		}
		lease := leased.Lease
		if !test.more { // it rests, and is leased anew
			if _, _, err := f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "b", TTL: ttl}); !errors.Is(err, store.ErrIdle) {
				t.Errorf("%s: claimed with nothing to do: %v", name, err)
			}
			_, again := begin(in)
			lease = again.Lease
		}
		states, err := f.Skills(ctx, lease, []string{"id-Go", "id-Rust"})
		if err != nil {
			t.Fatal(err)
		}
		for i, state := range states {
			if i < len(test.written) && (!state.Known || state.ID != test.written[i].ID || state.Hash != test.written[i].Hash) || i >= len(test.written) && state.Ref != 0 {
				t.Errorf("%s: skill %d is %+v", name, i, state)
			}
		}
	}
	// Refused, it leaves nothing behind.
	in := f.integration(t)
	task, leased := begin(in)
	f.clock.advance(ttl + time.Second)
	taken, next := f.claim(t, in, "b", 0)
	step := end(leased, written(items("Go")[0], 0, id(4)))
	_, err := f.Advance(ctx, leased.Lease, step)
	wantError(t, err, store.ErrLeaseLost)
	step.Written[0].Item.OriginID = "id-Other"
	step.Task = next.Task.Ref + 1000
	_, err = f.Advance(ctx, taken, step)
	wantError(t, err, store.ErrTaskEnded)
	if states, err := f.Skills(ctx, taken, []string{"id-Other"}); err != nil || states[0].Ref != 0 {
		t.Errorf("a refused step left %+v, %v", states, err)
	}
	if view := f.view(t, in, task.ID); view.Status != skill.Pending {
		t.Errorf("a refused step ended the task: %+v", view)
	}
}

// itemsOfAnySize: what a store keeps apart, or packs, comes back as it was.
func itemsOfAnySize(t *testing.T, f *fixture) {
	in := f.integration(t)
	var want [][]skill.Item
	for _, n := range []int{1, 10, 60, 70, 1999, 2000, 2001, 4500} {
		list := make([]skill.Item, n)
		for i := range list {
			list[i] = skill.Item{OriginID: fmt.Sprintf("origin-%d", i), Name: fmt.Sprintf("Skill %d of %d", i, n), Status: skill.Active}
		}
		want = append(want, list)
		f.submit(t, in, list...)
	}
	lease, next := f.claim(t, in, "a", 100)
	for _, list := range want {
		var got []skill.Item
		for len(got) < next.Task.Items {
			block, err := f.Items(t.Context(), next.Task.Ref, len(got))
			if err != nil || len(block) == 0 {
				t.Fatalf("items of %d from %d: %d, %v", len(list), len(got), len(block), err)
			}
			got = append(got, block...)
		}
		if !slices.Equal(got, list) {
			t.Errorf("%d items came back as %d, or changed", len(list), len(got))
		}
		if rest, err := f.Items(t.Context(), next.Task.Ref, len(list)); err != nil || len(rest) != 0 {
			t.Errorf("behind %d items: %d, %v", len(list), len(rest), err)
		}
		if next.Items != nil && !slices.Equal(next.Items, list) {
			t.Errorf("%d items were brought as %d, or changed", len(list), len(next.Items))
		}
		if half := len(list) / 2; half > 0 {
			if block, err := f.Items(t.Context(), next.Task.Ref, half); err != nil || len(block) == 0 || block[0] != list[half] {
				t.Errorf("items of %d from %d: %v", len(list), half, err)
			}
		}
		next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed, OpenUpTo: 100})
	}
}

func inOrder(t *testing.T, f *fixture) {
	in, other := f.integration(t), f.integration(t)
	var want []string
	for i := range 20 {
		want = append(want, f.submit(t, in, items(fmt.Sprint(i))...).ID)
		f.submit(t, other, items("x")...)
		if i%3 == 0 {
			f.clock.advance(-time.Second) // a clock that is set back changes nothing
		}
	}
	lease, next := f.claim(t, in, "a", 0)
	var got []string
	for next.Task != nil {
		got = append(got, next.Task.ID)
		next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func checkpointed(t *testing.T, f *fixture) {
	in := f.integration(t)
	list := items("a", "b", "c", "d", "e")
	task := f.submit(t, in, list...)
	lease, next := f.claim(t, in, "a", 0)
	runs := []store.Run{
		{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}, {Kind: skill.Unchanged, SkillID: id(2)}}},
		{Start: 3, Outcomes: []skill.Outcome{{Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: "no"}}},
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 4}}})
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Close: []store.Range{{Start: 0, Stop: 4}}, Outcomes: runs, Attempt: 2,
		Written: []store.SkillWritten{written(list[0], 0, id(1))}, Open: []store.Range{{Start: 4, Stop: 5}},
	})
	counts := skill.Counts{Written: 1, Unchanged: 1, Failed: 1}
	if view := f.view(t, in, task.ID); view.Done != 3 || view.Counts != counts || view.Status != skill.Pending {
		t.Errorf("view = %+v", view)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Attempt: 2, Close: []store.Range{{Start: 4, Stop: 5}}, Then: store.Leave})
	lease, next = f.claim(t, in, "b", 10)
	want := &store.DrainTask{Task: task, Ref: next.Task.Ref, Items: 5, Counts: counts, TimeLeft: timeout, Touched: true, Attempt: 2, Started: true}
	if diff := cmp.Diff(want, next.Task); diff != "" {
		t.Errorf("the task for the next drain (-want +got):\n%s", diff)
	}
	got, err := f.Outcomes(t.Context(), next.Task.Ref)
	if diff := cmp.Diff(runs, got); err != nil || diff != "" {
		t.Errorf("outcomes: %v (-want +got):\n%s", err, diff)
	}
	states, err := f.Skills(t.Context(), lease, []string{list[0].OriginID})
	if err != nil || !states[0].Known || states[0].Unsure || states[0].Hash != skill.ContentHash("", list[0]) {
		t.Errorf("the written skill: %+v, %v", states, err)
	}
}

func finished(t *testing.T, f *fixture) {
	in := f.integration(t)
	task := f.submit(t, in, items("a", "b")...)
	lease, next := f.claim(t, in, "a", 10)
	f.clock.advance(time.Second)
	ended := &store.Finish{
		Status: skill.Completed, Counts: skill.Counts{Written: 1, Failed: 1}, CompletedAt: f.clock.Now(), Document: []byte(`{"x":1}`),
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: ended, Then: store.Proceed})
	want := store.TaskView{Task: task, Status: skill.Completed, Items: 2, Done: 2, Counts: ended.Counts, Document: ended.Document}
	if diff := cmp.Diff(want, f.view(t, in, task.ID)); diff != "" {
		t.Errorf("view (-want +got):\n%s", diff)
	}
	if runs, err := f.Outcomes(t.Context(), next.Task.Ref); err != nil || len(runs) != 0 {
		t.Errorf("an ended task keeps outcomes beside its document: %v, %v", runs, err)
	}
	// Its intent is closed: the next claim finds nothing unsure.
	f.submit(t, in, items("a")...)
	lease, _ = f.claim(t, in, "a", 0)
	states, err := f.Skills(t.Context(), lease, []string{"id-a"})
	if err != nil || states[0].Unsure {
		t.Errorf("skills = %+v, %v", states, err)
	}
}

// answers come back as they were, in whatever form a store keeps those of their size.
func answers(t *testing.T, f *fixture) {
	in := f.integration(t)
	for _, times := range []int{1, 20, 4000, 100_000} {
		task := f.submit(t, in, items("a", "b")...)
		lease, next := f.claim(t, in, "a", 0)
		document := append(bytes.Repeat([]byte(`{"status":"SUCCEEDED"}`), times), task.ID...)
		f.advance(t, lease, store.Step{Task: next.Task.Ref, Then: store.Proceed, Finish: &store.Finish{
			Status: skill.Completed, Counts: skill.Counts{Written: 2}, CompletedAt: f.clock.Now(), Document: document,
		}})
		if view := f.view(t, in, task.ID); !bytes.Equal(view.Document, document) {
			t.Errorf("an answer of %d bytes came back with %d", len(document), len(view.Document))
		}
		head, err := f.TaskHead(t.Context(), f.env, task.ID)
		if err != nil {
			t.Fatal(err)
		}
		content, err := f.TaskContent(t.Context(), head)
		if diff := cmp.Diff(items("a", "b"), content.Items); err != nil || diff != "" || !bytes.Equal(content.Document, document) {
			t.Errorf("the content: %v, an answer of %d bytes (items -want +got):\n%s", err, len(content.Document), diff)
		}
	}
}

// An intent with a receipt stays as it is, whoever drains, until somebody closes it.
func jobs(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	list := items("a", "b", "c", "d", "e")
	ids := each(list, func(it skill.Item) string { return it.OriginID })
	f.submit(t, in, list...)
	first, next := f.claim(t, in, "x", 0)
	if next.Task.Started {
		t.Error("a fresh task has been taken up")
	}
	task := next.Task.Ref
	f.advance(t, first, store.Step{
		Task: task, Open: []store.Range{{Start: 0, Stop: 2}, {Start: 2, Stop: 4}, {Start: 4, Stop: 5}},
		Receipts: []store.Receipt{{Start: 2}, {Start: 0}},
	})
	f.clock.advance(time.Second)
	f.advance(t, first, store.Step{Task: task, Receipts: []store.Receipt{{Start: 0, Text: "https://tool.example/jobs/1"}}})
	f.clock.advance(ttl)

	// The plain one becomes unsure; the task is not opened on top of the others.
	second, next := f.claim(t, in, "y", 10)
	if next.Task == nil || !next.Task.Started || !next.Task.Touched || next.Opened {
		t.Errorf("next = %+v, %+v", next, next.Task)
	}
	want := []store.Job{
		{Range: store.Range{Start: 0, Stop: 2}, Receipt: "https://tool.example/jobs/1", Age: ttl},
		{Range: store.Range{Start: 2, Stop: 4}, Age: ttl + time.Second},
	}
	is := func(lease store.Lease, want []store.Job) {
		t.Helper()
		got, err := f.Jobs(ctx, lease, task)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("jobs: %v (-want +got):\n%s", err, diff)
		}
	}
	is(second, want)
	states, err := f.Skills(ctx, second, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, unsure := range []bool{false, false, false, false, true} {
		if states[i].Unsure != unsure {
			t.Errorf("%s: unsure %v", ids[i], states[i].Unsure)
		}
	}
	_, err = f.Advance(ctx, first, store.Step{Task: task, Receipts: []store.Receipt{{Start: 2, Text: "late"}}})
	wantError(t, err, store.ErrLeaseLost)
	is(second, want)

	// Given back, and taken up again.
	f.advance(t, second, store.Step{Task: task, Close: []store.Range{{Start: 2, Stop: 4}}, Then: store.Leave})
	third, next := f.claim(t, in, "z", 10)
	if next.Task == nil || next.Opened {
		t.Errorf("next = %+v, %+v", next, next.Task)
	}
	is(third, want[:1])
	if other, err := f.Jobs(ctx, third, task+1); err != nil || len(other) != 0 {
		t.Errorf("jobs of another task: %+v, %v", other, err)
	}

	// Once all is doubted, a receipt counts no more than anything else.
	if _, err := f.DoubtAll(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(ttl)
	fourth, next := f.claim(t, in, "z", 10)
	if !next.Opened { // all that was on its way is unsure, so the task begins anew
		t.Errorf("next = %+v", next)
	}
	is(fourth, nil)
	if states, err = f.Skills(ctx, fourth, ids); err != nil || !states[0].Unsure || !states[1].Unsure || states[2].Unsure {
		t.Errorf("%+v, %v", states, err)
	}
	f.advance(t, fourth, store.Step{Task: task, Receipts: []store.Receipt{{Start: 0, Text: "2"}}})
	f.advance(t, fourth, store.Step{Task: task, Finish: finish(next.Task, "x"), Then: store.Proceed})
	is(fourth, nil)
}

func intentsBecomeUnsure(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	list := items("a", "b", "c", "d")
	ids := each(list, func(it skill.Item) string { return it.OriginID })
	f.submit(t, in, list...)
	lease, next := f.claim(t, in, "x", 0)
	var all []store.SkillWritten
	for i, it := range list {
		all = append(all, written(it, 0, id(i)))
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Written: all, Finish: finish(next.Task, "x"), Then: store.Proceed})

	task := f.submit(t, in, list...)
	lease, next = f.claim(t, in, "x", 0)
	if next.Task.Touched {
		t.Error("a fresh task is touched")
	}
	// a was answered, b and c are on their way, d was not sent when the drain dies.
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 3}}})
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Outcomes: []store.Run{{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Unchanged, SkillID: id(0)}}}},
	})
	f.clock.advance(ttl)
	lease, next = f.claim(t, in, "y", 0)
	if next.Task == nil || next.Task.ID != task.ID || !next.Task.Touched {
		t.Fatalf("next = %+v", next.Task)
	}
	states, err := f.Skills(ctx, lease, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false} {
		if states[i].Unsure != want || states[i].Known == want {
			t.Errorf("%s: unsure %v, known %v; want unsure %v", ids[i], states[i].Unsure, states[i].Known, want)
		}
		if states[i].ID != id(i) || states[i].RemoteID == "" {
			t.Errorf("%s lost its ids: %+v", ids[i], states[i])
		}
	}
	// Written again, they are sure.
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Written: []store.SkillWritten{written(list[1], states[1].Ref, states[1].ID)}})
	if states, err = f.Skills(ctx, lease, ids[1:2]); err != nil || states[0].Unsure || !states[0].Known {
		t.Errorf("written again: %+v, %v", states, err)
	}
	// A step can say so itself.
	newcomer := items("newcomer")[0]
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Then: store.Leave,
		Unsure: []store.SkillUnsure{{ID: states[0].ID, Item: list[1]}, {ID: id(7), Item: newcomer}, {ID: id(8), Item: newcomer}},
	})
	lease, next = f.claim(t, in, "z", 0)
	if states, err = f.Skills(ctx, lease, ids[1:2]); err != nil || !states[0].Unsure || states[0].Known || !next.Task.Touched {
		t.Errorf("said unsure: %+v, %v", states, err)
	}
	// What was never heard of before has a row from then on, with its id.
	if states, err = f.Skills(ctx, lease, []string{newcomer.OriginID}); err != nil || !states[0].Unsure || states[0].Known || states[0].ID != id(7) {
		t.Errorf("said unsure of a new skill: %+v, %v", states, err)
	}
	// So has what was on its way for the first time when its drain died.
	fresh := f.integration(t)
	f.submit(t, fresh, list...)
	lease, next = f.claim(t, fresh, "x", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 1, Stop: 3}}})
	f.clock.advance(ttl)
	lease, _ = f.claim(t, fresh, "y", 0)
	if states, err = f.Skills(ctx, lease, ids); err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, true, false} {
		if states[i].Unsure != want || (states[i].ID != "") != want || states[i].Known {
			t.Errorf("%s, new: %+v; want unsure, with an id: %v", ids[i], states[i], want)
		}
	}
}

func catalogue(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, other := f.integration(t), f.integration(t)
	var list []skill.Item
	var ids []string
	for i := range 3000 {
		list = append(list, skill.Item{OriginID: fmt.Sprintf("skill-%d", i*7919%3000), Name: fmt.Sprint("name ", i), Status: skill.Active})
		ids = append(ids, list[i].OriginID)
	}
	f.submit(t, in, list...)
	f.submit(t, other, list...)
	lease, next := f.claim(t, in, "a", 0)
	states, err := f.Skills(ctx, lease, ids)
	if err != nil || slices.ContainsFunc(states, func(s store.SkillState) bool { return s.Ref != 0 }) {
		t.Fatalf("an empty catalogue knows skills: %v", err)
	}
	step := store.Step{Task: next.Task.Ref}
	for i, it := range list[:2999] {
		if i%10 == 9 {
			step.Refused = append(step.Refused, store.SkillRefused{ID: id(i), Item: it, Code: skill.CodeRemoteInput, Message: "no"})
		} else {
			step.Written = append(step.Written, written(it, 0, id(i)))
		}
	}
	f.advance(t, lease, step)
	if states, err = f.Skills(ctx, lease, ids); err != nil {
		t.Fatal(err)
	}
	for i, s := range states[:2999] {
		want := store.SkillState{Ref: s.Ref, ID: id(i), RemoteID: "remote-" + ids[i], Hash: skill.ContentHash("", list[i]), Known: true}
		if i%10 == 9 {
			want = store.SkillState{Ref: s.Ref, ID: id(i)}
		}
		if s.Ref == 0 || s != want {
			t.Fatalf("%s = %+v, want %+v", ids[i], s, want)
		}
	}
	if states[2999].Ref != 0 {
		t.Errorf("a skill nobody wrote: %+v", states[2999])
	}
	// Known rows change in place and keep their ids; a refusal leaves what the tool holds.
	changed := list[0]
	changed.Name, changed.Status = "new name", skill.Inactive
	f.advance(t, lease, store.Step{
		Task:    next.Task.Ref,
		Written: []store.SkillWritten{{Ref: states[0].Ref, ID: "ignored", RemoteID: "r2", Item: changed, Hash: skill.ContentHash("", changed)}},
		Refused: []store.SkillRefused{{Ref: states[1].Ref, Item: list[1], Code: skill.CodeRemoteInput, Message: "no"}},
	})
	after, err := f.Skills(ctx, lease, ids[:2])
	if err != nil || after[0].ID != id(0) || after[0].RemoteID != "r2" || after[0].Hash != skill.ContentHash("", changed) || after[1] != states[1] {
		t.Errorf("changed = %+v, %v", after, err)
	}
	// Another integration's catalogue is another one.
	foreign, _ := f.claim(t, other, "a", 0)
	if states, err = f.Skills(ctx, foreign, ids); err != nil || slices.ContainsFunc(states, func(s store.SkillState) bool { return s.Ref != 0 }) {
		t.Errorf("another integration knows the skills: %v", err)
	}
}

func bytewise(t *testing.T, f *fixture) {
	in := f.integration(t)
	ids := []string{
		"a", "A", "a ", " a", "ä", "a\u0308", "Ä", "ß", "ss", "%", "_", "'", `"`, "\\", "\n", "\t", "1", "01", "1.0", "null",
		strings.Repeat("x", 512), strings.Repeat("x", 511) + "y", strings.Repeat("語", 512), "\U0001f600", "e\u0301", "é",
		"http://data.europa.eu/esco/skill/00090cc1-1f27-439e-a4e0-19a87a501bfc",
	}
	var list []skill.Item
	var all []store.SkillWritten
	for i, originID := range ids {
		list = append(list, skill.Item{OriginID: originID, Name: "same", Status: skill.Active})
		all = append(all, written(list[i], 0, id(i)))
	}
	f.submit(t, in, list...)
	lease, next := f.claim(t, in, "a", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Written: all})
	states, err := f.Skills(t.Context(), lease, ids)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range states {
		if s.ID != id(i) || s.RemoteID != "remote-"+ids[i] {
			t.Errorf("%q = %+v, want id %s", ids[i], s, id(i))
		}
	}
}

func paused(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	task := f.submit(t, in, items("a")...)
	if _, err := f.SetEnabled(ctx, in.ID, false); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("due while it is off: %v, %v", list, err)
	}
	// Whoever claims it all the same gets nothing to do, and the work stays wanted.
	if _, next := f.claim(t, in, "a", 10); next.Task != nil || next.State.Enabled {
		t.Errorf("next = %+v", next)
	}
	if _, err := f.SetEnabled(ctx, in.ID, true); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 1 {
		t.Errorf("not due after it was switched on: %v, %v", list, err)
	}
	lease, next := f.claim(t, in, "a", 0)
	if next.Task == nil || next.Task.ID != task.ID {
		t.Fatalf("next = %+v", next.Task)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Open: []store.Range{{Start: 0, Stop: 1}}})
	if _, err := f.SetEnabled(ctx, in.ID, false); err != nil {
		t.Fatal(err)
	}
	if after := f.advance(t, lease, store.Step{}); after.State.Enabled {
		t.Error("a running drain is not told")
	}
	f.advance(t, lease, store.Step{Then: store.Leave})
	// Once its time is up, a task is ended even so.
	f.clock.advance(timeout)
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 1 || !list[0].Overdue {
		t.Errorf("a begun task past its deadline: %v, %v", list, err)
	}
	if _, next = f.claim(t, in, "a", 10); next.Task == nil || next.Task.TimeLeft > 0 || next.Opened {
		t.Errorf("next = %+v", next)
	}
}

func invalid(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	for range 2 {
		f.submit(t, in, items("a")...)
	}
	lease, next := f.claim(t, in, "a", 10)
	next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Invalid: "wrong password", Then: store.Proceed, OpenUpTo: 10})
	if next.State.InvalidReason != "wrong password" || next.Opened || next.Task == nil {
		t.Errorf("next = %+v", next)
	}
	if got, err := f.Integration(ctx, f.env, in.ID); err != nil || got.InvalidReason != "wrong password" || !got.InvalidAt.Equal(f.clock.Now()) {
		t.Errorf("integration = %+v, %v", got, err)
	}
	if got, err := f.SetEnabled(ctx, in.ID, false); err != nil || got.InvalidReason == "" {
		t.Errorf("switched off, it forgot: %+v, %v", got, err)
	}
	if got, err := f.SetEnabled(ctx, in.ID, true); err != nil || got.InvalidReason != "" || !got.InvalidAt.IsZero() {
		t.Errorf("switched on: %+v, %v", got, err)
	}
	f.advance(t, lease, store.Step{Invalid: "again"})
	if got, err := f.SetSettings(ctx, in.ID, []byte(`{}`)); err != nil || got.InvalidReason != "" {
		t.Errorf("settings changed: %+v, %v", got, err)
	}
	// What was said of those that were there before says nothing of the new ones: nothing of the step is kept.
	_, err := f.Advance(ctx, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Invalid: "wrong", Then: store.Proceed})
	wantError(t, err, store.ErrChanged)
	if got, err := f.Integration(ctx, f.env, in.ID); err != nil || got.InvalidReason != "" {
		t.Errorf("the new settings are refused: %+v, %v", got, err)
	}
	if after := f.advance(t, lease, store.Step{Task: next.Task.Ref, Then: store.Leave}); after.State.InvalidReason != "" {
		t.Errorf("after it: %+v", after)
	}
	if lease, next = f.claim(t, in, "b", 0); next.Task == nil {
		t.Error("the task has ended")
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Invalid: "wrong", Then: store.Proceed})
	// A sync has no more to say.
	if _, err := f.SetSettings(ctx, in.ID, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Hour)
	sync := f.claimSync(t, in)
	if _, err := f.SetSettings(ctx, in.ID, []byte(`{"a":1}`)); err != nil {
		t.Fatal(err)
	}
	_, err = f.AdvanceSync(ctx, sync.Lease, store.SyncStep{Then: store.SyncEnd, Invalid: "wrong", Failed: "refused"})
	wantError(t, err, store.ErrChanged)
	if got, err := f.Integration(ctx, f.env, in.ID); err != nil || got.InvalidReason != "" {
		t.Errorf("the new settings are refused to a sync: %+v, %v", got, err)
	}
}

func overdue(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	begun := f.submit(t, in, items("a")...)
	waiting := f.submit(t, in, items("b")...)
	lease, _ := f.claim(t, in, "a", 10) // opens, and so begins, the first
	f.clock.advance(timeout - time.Millisecond)
	if list, _, err := f.Overdue(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("too early: %v, %v", list, err)
	}
	f.clock.advance(time.Millisecond)
	late := f.submit(t, in, items("c")...)
	list, now, err := f.Overdue(ctx, 10)
	if err != nil || len(list) != 1 || list[0].Task != waiting || !now.Equal(f.clock.Now()) {
		t.Fatalf("Overdue = %+v at %v, %v; want %+v", list, now, err, waiting)
	}
	all, err := f.Waiting(ctx, lease, 10)
	if err != nil || len(all) != 2 || all[0].Task != waiting || all[1].Task != late {
		t.Errorf("Waiting = %+v, %v", all, err)
	}
	// One of them is begun meanwhile: it is left alone.
	f.advance(t, lease, store.Step{Task: all[1].Ref, Open: []store.Range{{Start: 0, Stop: 1}}})
	ended, err := f.FailTasks(ctx, []store.FailedTask{
		{Ref: all[0].Ref, CompletedAt: now, Document: []byte("x")}, {Ref: all[1].Ref, CompletedAt: now, Document: []byte("x")},
	})
	if diff := cmp.Diff([]int64{all[0].Ref}, ended); err != nil || diff != "" {
		t.Errorf("FailTasks: %v (-want +got):\n%s", err, diff)
	}
	want := store.TaskView{Task: waiting, Status: skill.Failed, Items: 1, Done: 1, Counts: skill.Counts{Failed: 1}, Document: []byte("x")}
	if diff := cmp.Diff(want, f.view(t, in, waiting.ID)); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	for _, task := range []skill.Task{begun, late} {
		if view := f.view(t, in, task.ID); view.Status != skill.Pending {
			t.Errorf("%s was begun and is ended: %+v", task.ID, view)
		}
	}
	if ended, err = f.FailTasks(ctx, []store.FailedTask{{Ref: all[0].Ref, CompletedAt: now, Document: []byte("y")}}); err != nil || len(ended) != 0 {
		t.Errorf("failed twice: %v, %v", ended, err)
	}
}

func due(t *testing.T, f *fixture) {
	ctx := t.Context()
	var all []store.Integration
	for range 5 {
		all = append(all, f.integration(t))
	}
	idle, wanted, leased, gone, open := all[0], all[1], all[2], all[3], all[4]
	for _, in := range []store.Integration{wanted, leased, gone, open} {
		f.submit(t, in, items("a")...)
	}
	if _, err := f.DeleteIntegration(ctx, gone.ID); err != nil {
		t.Fatal(err)
	}
	f.claim(t, open, "dead", 10)
	f.clock.advance(ttl)
	f.claim(t, leased, "alive", 0)
	got, err := f.Due(ctx, 10)
	if err != nil || len(got) != 3 {
		t.Fatalf("Due = %+v, %v", got, err)
	}
	if got[0].IntegrationID != open.ID {
		t.Errorf("the one with an open intent is not first: %+v", got)
	}
	for _, d := range got {
		if d.IntegrationID == idle.ID || d.IntegrationID == leased.ID || d.Overdue {
			t.Errorf("due: %+v", d)
		}
	}
	if got, err = f.Due(ctx, 1); err != nil || len(got) != 1 {
		t.Errorf("Due(1) = %+v, %v", got, err)
	}
}

// Submitters and drains race; whatever was accepted is either being drained or wanted, always.
func noLostWakeUp(t *testing.T, f *fixture) {
	ctx := t.Context()
	in := f.integration(t)
	const submitters, each = 4, 25
	var group sync.WaitGroup
	for range submitters {
		group.Go(func() {
			for range each {
				_, err := f.Submit(ctx, store.Submission{
					EnvironmentID: f.env, IntegrationID: in.ID, TaskID: skill.NewTaskID(time.Now()), Items: items("a"), Timeout: timeout,
				})
				if err != nil {
					t.Error(err)
				}
				// The drain of a process that was just woken: it works until there is nothing, or somebody else does.
				if err := f.drainAll(ctx, in, "x"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if list, err := f.Due(ctx, 10); err != nil || len(list) != 0 {
		t.Errorf("work is left and nobody does it: %v, %v", list, err)
	}
	if left, _, err := f.Overdue(ctx, 10); err != nil || len(left) != 0 {
		t.Errorf("overdue: %v, %v", left, err)
	}
}

func (f *fixture) drainAll(ctx context.Context, in store.Integration, owner string) error {
	lease, next, err := f.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: owner, TTL: ttl, OpenUpTo: 10})
	if errors.Is(err, store.ErrIdle) {
		return nil
	}
	for err == nil && next.Task != nil {
		next, err = f.Advance(ctx, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed, OpenUpTo: 10})
	}
	return err
}

func endedContext(t *testing.T, f *fixture) {
	in := f.integration(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	task := skill.NewTaskID(time.Now())
	if _, err := f.Submit(ctx, store.Submission{EnvironmentID: f.env, IntegrationID: in.ID, TaskID: task, Items: items("a"), Timeout: timeout}); err == nil {
		// A store may have been faster than the context; then the task must be there.
		f.view(t, in, task)
		return
	}
	_, err := f.Task(t.Context(), f.env, in.ID, task)
	wantError(t, err, store.ErrNotFound)
}

func each[In, Out any](in []In, f func(In) Out) []Out {
	out := make([]Out, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}
