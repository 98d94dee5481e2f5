package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// catalogue is a tool that lists its skills a few at a time.
type catalogue struct {
	mu      sync.Mutex
	size    int // of a page
	records map[string]connector.Record
	next    int
	lists   int // calls of List
	writes  map[string]int
	// onList is called before every page; an error is the tool's answer.
	onList func(cursor string) error
	// hideOrigins: it does not tell external ids.
	hideOrigins bool
	limits      connector.Limits
}

func newCatalogue() *catalogue {
	return &catalogue{size: 2, records: map[string]connector.Record{}, writes: map[string]int{}, limits: connector.Limits{Batch: 10, Concurrency: 1}}
}

func (c *catalogue) Describe() connector.Description {
	return connector.Description{Slug: "listing", Label: "Listing", Category: connector.HRIS, Limits: c.limits, Settings: []connector.Field{{Name: "account", Type: connector.Text, Shapes: true}}, Capabilities: []connector.Capability{connector.CanList, connector.CanDeactivate, connector.CanAdopt}}
}

func (c *catalogue) Open(connector.Account) (connector.Session, error) { return c, nil }
func (c *catalogue) Limits() connector.Limits                          { return c.limits }

func (c *catalogue) Write(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	results := make([]connector.Result, len(skills))
	for i, s := range skills {
		id := s.RemoteID
		if _, there := c.records[id]; !there {
			id = ""
			for at, r := range c.records {
				if r.OriginID == s.OriginID {
					id = at
				}
			}
		}
		for at, r := range c.records {
			if id == "" && s.Adopt && r.OriginID == "" && r.Name == s.Name {
				id = at
			}
		}
		if id == "" {
			c.next++
			id = fmt.Sprintf("r%04d", c.next)
		}
		c.records[id] = connector.Record{RemoteID: id, OriginID: s.OriginID, Name: s.Name, Active: s.Active}
		c.writes[s.OriginID]++
		results[i] = connector.Result{OriginID: s.OriginID, RemoteID: id}
	}
	return results, nil
}

func (c *catalogue) List(_ context.Context, cursor string) (connector.Page, error) {
	c.mu.Lock()
	c.lists++
	on := c.onList
	c.mu.Unlock()
	if on != nil {
		if err := on(cursor); err != nil {
			return connector.Page{}, err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for id := range c.records {
		if id > cursor {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	var page connector.Page
	for i, id := range ids {
		if i == c.size {
			page.Next = ids[i-1]
			break
		}
		r := c.records[id]
		if c.hideOrigins {
			r.OriginID = ""
		}
		page.Records = append(page.Records, r)
	}
	return page, nil
}

// byHand changes the tool behind our back.
func (c *catalogue) byHand(change func(records map[string]connector.Record)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c.records)
}

func (c *catalogue) rename(originID, name string) {
	c.byHand(func(records map[string]connector.Record) {
		for id, r := range records {
			if r.OriginID == originID {
				r.Name = name
				records[id] = r
			}
		}
	})
}

func (c *catalogue) remove(originID string) {
	c.byHand(func(records map[string]connector.Record) {
		for id, r := range records {
			if r.OriginID == originID {
				delete(records, id)
			}
		}
	})
}

func (c *catalogue) written(originID string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writes[originID]
}

// read is the integration's catalogue, gone ones included, by their shown remote id or origin id.
func (f *fixture) read(in store.Integration) map[string]store.Skill {
	f.t.Helper()
	all := map[string]store.Skill{}
	for after := ""; ; {
		page, err := f.store.ReadSkills(f.t.Context(), store.SkillQuery{
			EnvironmentID: f.env, IntegrationID: in.ID, After: after, Limit: 3, IncludeGone: true, MostRows: 1000,
		})
		if err != nil {
			f.t.Fatal(err)
		}
		for _, s := range page.Skills {
			key := s.OriginID
			if key == "" {
				key = s.RemoteID
			}
			if _, twice := all[key]; twice {
				f.t.Errorf("%s is listed twice", key)
			}
			all[key] = s
		}
		if after = page.Next; after == "" {
			return all
		}
	}
}

// shown is read, as "name", "name (gone)" or "name → remote".
func (f *fixture) shown(in store.Integration) map[string]string {
	f.t.Helper()
	all := map[string]string{}
	for key, s := range f.read(in) {
		all[key] = s.Name
		if !s.GoneAt.IsZero() {
			all[key] += " (gone)"
		}
	}
	return all
}

// sync has a sync run to its end.
func (f *fixture) sync(in store.Integration, whole bool) {
	f.t.Helper()
	q := f.request(in, whole)
	if q.Already {
		f.t.Fatal("another sync is under way")
	}
	f.syncEnded()
}

func (f *fixture) request(in store.Integration, whole bool) store.SyncQueued {
	f.t.Helper()
	q, err := f.engine.RequestSync(f.t.Context(), store.SyncRequest{EnvironmentID: f.env, IntegrationID: in.ID, ID: skill.NewID(time.Now()), Whole: whole})
	if err != nil {
		f.t.Fatal(err)
	}
	return q
}

// syncEnded waits until no sync is queued or under way: another one would be a new one.
func (f *fixture) syncEnded() {
	f.t.Helper()
	for step := time.Millisecond; step < 3*time.Hour; step *= 2 {
		wait(step)
		h, err := f.store.Health(f.t.Context())
		if err != nil {
			f.t.Fatal(err)
		}
		if h.Syncs == 0 {
			return
		}
	}
	f.t.Fatal("the sync does not end")
}

func runListing(t *testing.T, test func(t *testing.T, f *fixture, tool *catalogue, in store.Integration)) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newCatalogue()
		f.tools = []connector.Connector{tool}
		f.start(settings())
		test(t, f, tool, f.integrationWith("listing", `{}`))
	})
}

// Whatever was changed behind our back is seen, and written again by the next upload.
func TestSyncSeesWhatWasChangedBehindOurBack(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		items := active("a", "b", "c", "d", "e")
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", "", "", "", "", "")
		before := f.read(in)
		wait(2 * time.Minute)
		tool.rename("id-b", "B by hand")
		tool.remove("id-c")
		tool.byHand(func(records map[string]connector.Record) {
			r := records["r0004"]
			r.Active = false
			records["r0004"] = r
			records["x1"] = connector.Record{RemoteID: "x1", Name: "theirs", Active: true}
			records["x2"] = connector.Record{RemoteID: "x2", OriginID: "elsewhere", Name: "with an id of its own", Active: true}
		})
		f.sync(in, true)
		want := map[string]string{
			"id-a": "a", "id-b": "B by hand", "id-c": "c (gone)", "id-d": "d (gone)", "id-e": "e", "x1": "theirs", "elsewhere": "with an id of its own",
		}
		if diff := cmp.Diff(want, f.shown(in)); diff != "" {
			t.Errorf("after the sync (-want +got):\n%s", diff)
		}
		after := f.read(in)
		for id, s := range before {
			if after[id].ID != s.ID {
				t.Errorf("%s had the id %s and has %s", id, s.ID, after[id].ID)
			}
			if changed := after[id].ChangedAt.After(s.ChangedAt); changed != (id == "id-b" || id == "id-c" || id == "id-d") {
				t.Errorf("%s changed at %s, before the sync at %s", id, after[id].ChangedAt, s.ChangedAt)
			}
		}
		// Another sync finds nothing new.
		f.sync(in, true)
		if diff := cmp.Diff(after, f.read(in)); diff != "" {
			t.Errorf("the second sync changed something (-before +after):\n%s", diff)
		}
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", "", "", "", "", "")
		for id, want := range map[string]int{"id-a": 1, "id-b": 2, "id-c": 2, "id-d": 2, "id-e": 1} {
			if got := tool.written(id); got != want {
				t.Errorf("%s was written %d times, want %d", id, got, want)
			}
		}
		if got := f.read(in)["id-c"]; !got.GoneAt.IsZero() || got.RemoteID != "r0006" || got.ID != before["id-c"].ID {
			t.Errorf("made anew: %+v", got)
		}
		// The skill that the tool had with an id of its own keeps ours when it is sent.
		f.ended(in, f.submit(in, skill.Item{OriginID: "elsewhere", Name: "ours now", Status: skill.Active})).want(t, "COMPLETED", "")
		if got := f.read(in)["elsewhere"]; got.ID != after["elsewhere"].ID || got.Name != "ours now" || got.RemoteID != "x2" {
			t.Errorf("taken up: %+v, before %+v", got, after["elsewhere"])
		}
	})
}

// A skill that comes and goes is noticed each time; a delta sync notices no absence.
func TestSyncNoticesWhatComesBack(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		theirs := connector.Record{RemoteID: "x1", Name: "theirs", Active: true}
		put := func(r connector.Record) { tool.byHand(func(all map[string]connector.Record) { all[r.RemoteID] = r }) }
		put(theirs)
		f.sync(in, true)
		first := f.read(in)["x1"]
		tool.byHand(func(all map[string]connector.Record) { delete(all, "x1") })
		wait(time.Minute)
		f.sync(in, false)
		if got := f.shown(in)["x1"]; got != "theirs" {
			t.Errorf("after a delta sync: %q", got)
		}
		f.sync(in, true)
		if got := f.shown(in)["x1"]; got != "theirs (gone)" {
			t.Errorf("after a whole sync: %q", got)
		}
		wait(time.Minute)
		put(theirs)
		f.sync(in, false)
		if got := f.read(in)["x1"]; !got.GoneAt.IsZero() || got.ID != first.ID || !got.ChangedAt.After(first.ChangedAt) {
			t.Errorf("back again: %+v", got)
		}
	})
}

// A tool that does not tell external ids is matched by its own.
func TestSyncMatchesByRemoteID(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		tool.hideOrigins = true
		f.ended(in, f.submit(in, active("a", "b", "c")...)).want(t, "COMPLETED", "", "", "")
		wait(2 * time.Minute)
		tool.rename("id-b", "B by hand")
		tool.remove("id-c")
		tool.byHand(func(all map[string]connector.Record) {
			all["x"] = connector.Record{RemoteID: "x", Name: "theirs", Active: true}
		})
		f.sync(in, true)
		want := map[string]string{"id-a": "a", "id-b": "B by hand", "id-c": "c (gone)", "x": "theirs"}
		if diff := cmp.Diff(want, f.shown(in)); diff != "" {
			t.Errorf("after the sync (-want +got):\n%s", diff)
		}
		before := f.read(in)
		f.sync(in, true)
		if diff := cmp.Diff(before, f.read(in)); diff != "" {
			t.Errorf("the second sync changed something (-before +after):\n%s", diff)
		}
	})
}

// The process dies at each of its steps in turn; the next one goes on from there, and the tool is not asked again for pages
// that were kept.
func TestSyncResumes(t *testing.T) {
	for dies := range 9 {
		t.Run(strconv.Itoa(dies), func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := newCatalogue()
				f.tools = []connector.Connector{tool}
				m := &mortal{}
				f.around = func(s engineStore) engineStore { m.Store = s; return m }
				f.start(settings())
				in := f.integrationWith("listing", `{}`)
				f.ended(in, f.submit(in, active("a", "b", "c", "d", "e", "f", "g")...))
				wait(2 * time.Minute)
				tool.rename("id-b", "B by hand")
				tool.rename("id-g", "G by hand")
				tool.remove("id-a")
				left := dies
				hit := func(op string) bool {
					if op == "advance sync" {
						left--
					}
					return op == "advance sync" && left < 0
				}
				if dies%2 == 0 {
					m.before.Store(&hit)
				} else {
					m.after.Store(&hit)
				}
				f.request(in, true)
				wait(time.Minute)
				f.around = nil
				defer f.stop() // the dead one's goroutines
				f.start(settings())
				f.syncEnded()
				want := map[string]string{"id-a": "a (gone)", "id-b": "B by hand", "id-c": "c", "id-d": "d", "id-e": "e", "id-f": "f", "id-g": "G by hand"}
				if diff := cmp.Diff(want, f.shown(in)); diff != "" {
					t.Errorf("after the sync (-want +got):\n%s", diff)
				}
				tool.mu.Lock()
				defer tool.mu.Unlock()
				if tool.lists > 5 { // three or four pages, and the one whose step was lost
					t.Errorf("%d pages were asked for", tool.lists)
				}
			})
		})
	}
}

func (m *mortal) AdvanceSync(ctx context.Context, lease store.Lease, step store.SyncStep) (store.SyncNext, error) {
	if err := m.alive("advance sync"); err != nil {
		return store.SyncNext{}, err
	}
	next, err := m.Store.AdvanceSync(ctx, lease, step)
	return next, m.done("advance sync", err)
}

func (m *mortal) ClaimSync(ctx context.Context, c store.SyncClaim) (store.SyncLease, error) {
	if err := m.alive("claim sync"); err != nil {
		return store.SyncLease{}, err
	}
	return m.Store.ClaimSync(ctx, c)
}

func (m *mortal) DueSyncs(ctx context.Context, periodic bool, limit int) ([]string, error) {
	if err := m.alive("due syncs"); err != nil {
		return nil, err
	}
	return m.Store.DueSyncs(ctx, periodic, limit)
}

// relinking calls a function once, before or after a step of a sync.
type relinking struct {
	engineStore
	step   int
	after  bool
	relink func()
}

func (r *relinking) AdvanceSync(ctx context.Context, lease store.Lease, step store.SyncStep) (store.SyncNext, error) {
	if r.step--; r.step == 0 && !r.after {
		r.relink()
	}
	next, err := r.engineStore.AdvanceSync(ctx, lease, step)
	if r.step == 0 && r.after {
		r.relink()
	}
	return next, err
}

// Whatever a sync has listed of one account, it concludes nothing from it about another: not that a skill is gone which the
// second one would have shown before the place where the first was left, and not that one is there which it lacks. Nor does it
// take a skill for one of the first account's whose remote id it bears.
func TestSyncAfterARelink(t *testing.T) {
	for step := range 6 { // four pages, two comparisons
		for _, after := range []bool{false, true} {
			if after && step == 5 {
				break // it is over
			}
			t.Run(fmt.Sprintf("%d, after %v", step+1, after), func(t *testing.T) {
				run(t, nil, func(t *testing.T, f *fixture) {
					tool := newCatalogue()
					f.tools = []connector.Connector{tool}
					var in store.Integration
					relink := func() {
						f.change(in, `{"account":"another"}`)
						tool.byHand(func(records map[string]connector.Record) {
							clear(records)
							for i, name := range []string{"g", "f", "e", "d", "c", "b"} {
								id := fmt.Sprintf("r%04d", i+2)
								records[id] = connector.Record{RemoteID: id, OriginID: "id-" + name, Name: name, Active: true}
							}
							records["r0001"] = connector.Record{RemoteID: "r0001", Name: "Theirs", Active: true}
						})
					}
					f.around = func(s engineStore) engineStore { return &relinking{s, step + 1, after, relink} }
					f.start(settings())
					in = f.integrationWith("listing", `{}`)
					f.ended(in, f.submit(in, active("a", "b", "c", "d", "e", "f", "g")...))
					wait(2 * time.Minute)
					f.request(in, true)
					f.syncEnded()
					want := map[string]string{"id-a": "a (gone)", "id-b": "b", "id-c": "c", "id-d": "d", "id-e": "e", "id-f": "f", "id-g": "g", "r0001": "Theirs"}
					if diff := cmp.Diff(want, f.shown(in)); diff != "" {
						t.Errorf("of the other account (-want +got):\n%s", diff)
					}
				})
			})
		}
	}
}

// A changed secret opens the same account: a sync goes on from where it was.
func TestSyncAfterAChangeOfTheSecret(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newCatalogue()
		f.tools = []connector.Connector{tool}
		var in store.Integration
		f.around = func(s engineStore) engineStore {
			return &relinking{s, 2, true, func() { f.setAccount(in, `{}`, []byte("new")) }}
		}
		f.start(settings())
		in = f.integrationWith("listing", `{}`)
		f.ended(in, f.submit(in, active("a", "b", "c", "d", "e", "f", "g")...))
		wait(2 * time.Minute)
		tool.remove("id-a")
		f.sync(in, true)
		if got := f.shown(in)["id-a"]; got != "a (gone)" {
			t.Errorf("what was removed is shown as %q", got)
		}
		if tool.lists != 3 {
			t.Errorf("%d pages were asked for, want 3", tool.lists)
		}
	})
}

// A task does not wait for a whole sync, nor a sync for the end of all tasks.
func TestSyncAndTasksTakeTurns(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		f.ended(in, f.submit(in, many(40)...))
		wait(2 * time.Minute)
		tool.mu.Lock()
		tool.onList = func(string) error { wait(10 * time.Second); return nil }
		tool.mu.Unlock()
		f.request(in, true)
		wait(15 * time.Second) // within the second page
		began := time.Now()
		f.ended(in, f.submit(in, active("urgent")...)).want(t, "COMPLETED", "")
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("a task waited %s for a sync", took)
		}
		tool.mu.Lock()
		pages := tool.lists
		tool.mu.Unlock()
		if pages > 4 {
			t.Errorf("%d pages were read first", pages)
		}
		f.syncEnded()
	})
}

// What the tool answers decides how a sync goes on.
func TestSyncFailures(t *testing.T) {
	for name, test := range map[string]struct {
		errors  []error // of the first calls; nil is none
		lists   int
		invalid bool
	}{
		"away for a while": {[]error{connector.Errorf(connector.Away, "maintenance"), connector.Errorf(connector.Ambiguous, "cut")}, 4, false},
		"throttling":       {[]error{&connector.Error{Kind: connector.Throttled, RetryAfter: 5 * time.Minute}}, 3, false},
		"away for good": {[]error{
			connector.Errorf(connector.Away, "1"), connector.Errorf(connector.Away, "2"), connector.Errorf(connector.Away, "3"), connector.Errorf(connector.Away, "4"),
		}, 4, false},
		"credentials":      {[]error{connector.Errorf(connector.Credentials, "no")}, 1, true},
		"permission":       {[]error{connector.Errorf(connector.Permission, "no")}, 1, false},
		"a cursor too old": {[]error{nil, connector.Errorf(connector.Refused, "no such cursor")}, 4, false},
		"a page always refused": {[]error{
			nil, connector.Errorf(connector.Refused, "1"), nil, connector.Errorf(connector.Unexpected, "2"), nil, connector.Errorf(connector.Refused, "3"),
			nil, connector.Errorf(connector.Refused, "4"), nil, connector.Errorf(connector.Refused, "5"),
		}, 8, false},
		"the first refused": {[]error{connector.Errorf(connector.Refused, "no")}, 1, false},
		"no connector's":    {[]error{errors.New("whatever")}, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
				f.ended(in, f.submit(in, active("a", "b", "c")...))
				wait(2 * time.Minute)
				n := 0
				tool.onList = func(string) error {
					n++
					if n <= len(test.errors) {
						return test.errors[n-1]
					}
					return nil
				}
				f.sync(in, true)
				if tool.lists != test.lists {
					t.Errorf("%d calls, want %d", tool.lists, test.lists)
				}
				got, err := f.store.Integration(t.Context(), "", in.ID)
				if err != nil || (got.InvalidReason != "") != test.invalid {
					t.Errorf("invalid: %q, %v", got.InvalidReason, err)
				}
				if diff := cmp.Diff(map[string]string{"id-a": "a", "id-b": "b", "id-c": "c"}, f.shown(in)); diff != "" {
					t.Errorf("nothing had changed (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Syncs of the clock come by themselves, one after the other; without the setting none does.
func TestPeriodicSync(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newCatalogue()
		f.tools = []connector.Connector{tool}
		set := settings()
		set.Sweep = 20 * time.Minute
		f.start(set)
		in := f.integrationWith("listing", `{}`)
		wait(6 * time.Hour)
		if tool.lists != 0 {
			t.Errorf("%d calls although it is switched off", tool.lists)
		}
		f.stop()
		set.SyncEvery = 6 * time.Hour
		f.start(set)
		wait(5 * set.SyncEvery)
		if tool.lists < 4 || tool.lists > 6 {
			t.Errorf("%d syncs in five times their interval", tool.lists)
		}
		f.enable(in, false)
		before := tool.lists
		wait(2 * set.SyncEvery)
		if tool.lists != before {
			t.Error("a tool was read while its integration was off")
		}
	})
}

// A tool with a rate is not called faster by a sync.
func TestSyncKeepsThePace(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		tool.limits.Calls, tool.limits.Per = 6, time.Minute
		f.ended(in, f.submit(in, active("a", "b", "c", "d", "e")...))
		var calls []time.Time
		tool.onList = func(string) error { calls = append(calls, time.Now()); return nil }
		f.sync(in, true)
		for i := 1; i < len(calls); i++ {
			if gap := calls[i].Sub(calls[i-1]); gap < 10*time.Second {
				t.Errorf("call %d came %s after the one before", i, gap)
			}
		}
		if len(calls) != 3 {
			t.Errorf("%d calls", len(calls))
		}
	})
}

// Lists that are not as they should be do no harm.
func TestSyncOfOddLists(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		f.ended(in, f.submit(in, active("a")...))
		wait(2 * time.Minute)
		tool.size = 100
		tool.byHand(func(all map[string]connector.Record) {
			for _, r := range []connector.Record{
				{RemoteID: "", Name: "no id", Active: true},
				{RemoteID: "twin", OriginID: "id-a", Name: "another one's name", Active: true},
				{RemoteID: "bad\x00id", Name: "x", Active: true},
				{RemoteID: "bad\xffid", Name: "x", Active: true},
				{RemoteID: "bad origin", OriginID: "o\x00", Name: "bad\xff\x00name", Active: true},
				{RemoteID: "long", Name: strings.Repeat("ä", 5000), Active: true},
				{RemoteID: "blank", Name: "", Active: true},
			} {
				all["k"+r.RemoteID] = r
			}
		})
		f.sync(in, true)
		got := f.shown(in)
		want := map[string]string{"id-a": "a", "bad origin": "bad��name", "long": strings.Repeat("ä", 2000), "blank": ""}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("after the sync (-want +got):\n%s", diff)
		}
	})
}

// A list whose cursor no database would keep ends the sync. It is not asked for over and over.
func TestSyncOfAListThatCannotBeGoneOnWith(t *testing.T) {
	for name, cursor := range map[string]string{"no text": "c\xff", "a zero byte": "c\x00", "without end": strings.Repeat("c", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
				tool.byHand(func(all map[string]connector.Record) {
					for _, id := range []string{"a", "b", cursor, "d"} {
						all[id] = connector.Record{RemoteID: id, Name: "x", Active: true}
					}
				})
				tool.size = 3
				f.sync(in, true)
				if tool.lists != 1 {
					t.Errorf("%d calls", tool.lists)
				}
				f.ended(in, f.submit(in, active("later")...)).want(t, "COMPLETED", ok)
			})
		})
	}
}

// A process that could not work on an integration for a while reads its tool afterwards.
func TestSyncWhereItWasNotPossibleForAWhile(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newCatalogue()
		f.tools = []connector.Connector{tool}
		can := false
		f.account = func(in store.Integration) (connector.Account, error) {
			if !can {
				return connector.Account{}, fmt.Errorf("%w: no key", engine.ErrNotHere)
			}
			return connector.Account{ID: in.ID, Settings: in.Settings}, nil
		}
		f.start(settings())
		in := f.integrationWith("listing", `{}`)
		f.request(in, true)
		wait(time.Minute)
		can = true
		f.syncEnded()
		if tool.lists != 1 {
			t.Errorf("%d calls", tool.lists)
		}
	})
}

// A wish goes through the queue and shows in the skill, refused or not.
func TestWishes(t *testing.T) {
	run(t, ptr(settings()), func(t *testing.T, f *fixture) {
		in := f.integration(`{"refuse_names":"bad"}`)
		wish := func(w store.Wish) store.Skill {
			t.Helper()
			w.EnvironmentID, w.IntegrationID = f.env, in.ID
			s, err := f.engine.Wish(t.Context(), w, "key")
			if err != nil {
				t.Fatal(err)
			}
			wait(time.Second)
			return s
		}
		made := wish(store.Wish{OriginID: "w1", Name: "one", Status: skill.Active})
		if got := f.read(in)["w1"]; got.ID != made.ID || got.RemoteID == "" || got.Name != "one" {
			t.Errorf("written: %+v of %+v", got, made)
		}
		own := wish(store.Wish{Name: "own id", Status: skill.Active})
		if own.OriginID != own.ID || f.tool(in)[own.ID].Name != "own id" {
			t.Errorf("with our id: %+v", own)
		}
		wait(time.Second)
		if s := wish(store.Wish{ID: made.ID, Name: "renamed"}); s.Name != "renamed" || s.ID != made.ID {
			t.Errorf("renamed: %+v", s)
		}
		wait(time.Second)
		if s := wish(store.Wish{ID: made.ID, Name: "bad name"}); s.Name != "bad name" {
			t.Errorf("asked for: %+v", s)
		}
		if got := f.read(in)["w1"]; got.Name != "renamed" || got.Code != skill.CodeRemoteInput {
			t.Errorf("refused: %+v", got)
		}
		wait(time.Second)
		if s := wish(store.Wish{ID: made.ID, Status: skill.Inactive}); s.GoneAt.IsZero() || s.Name != "renamed" {
			t.Errorf("retired: %+v", s)
		}
		if r := f.tool(in)["w1"]; r.Active || r.Name != "renamed" {
			t.Errorf("the tool holds %+v", r)
		}
		if got := f.read(in)["w1"]; got.GoneAt.IsZero() || got.Code != "" {
			t.Errorf("retired: %+v", got)
		}
		_, err := f.engine.Wish(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, ID: skill.NewID(time.Now()), Name: "x"}, "key")
		if !errors.Is(err, store.ErrNoSkill) {
			t.Errorf("a skill that is not there: %v", err)
		}
	})
}

// A wish that was noted and not submitted, because the process died in between, is submitted by the next sync.
func TestWishThatWasNotSubmitted(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		if _, err := f.store.Keep(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, OriginID: "w", Name: "wished for", Status: skill.Active}); err != nil {
			t.Fatal(err)
		}
		wait(time.Minute)
		if tool.written("w") != 0 {
			t.Fatal("written too early")
		}
		f.sync(in, true)
		wait(time.Minute)
		if tool.written("w") != 1 {
			t.Errorf("written %d times", tool.written("w"))
		}
	})
}

// A skill of the tool's own that something is asked of becomes a managed one, under the id it had.
func TestWishForTheirs(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		tool.byHand(func(all map[string]connector.Record) {
			all["x"] = connector.Record{RemoteID: "x", Name: "theirs", Active: true}
		})
		f.sync(in, true)
		id := f.read(in)["x"].ID
		s, err := f.engine.Wish(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, ID: id, Name: "ours"}, "key")
		if err != nil || s.ID != id || s.OriginID != id || s.RemoteID != "x" {
			t.Fatalf("%+v, %v", s, err)
		}
		wait(time.Minute)
		f.sync(in, true)
		if diff := cmp.Diff(map[string]string{id: "ours"}, f.shown(in)); diff != "" {
			t.Errorf("one skill (-want +got):\n%s", diff)
		}
		if len(tool.records) != 1 || tool.records["x"].Name != "ours" {
			t.Errorf("the tool holds %+v", tool.records)
		}
	})
}

// A skill that people made and that is taken over by its name keeps the id under which it was read.
func TestAdoptedSkillKeepsItsID(t *testing.T) {
	for _, byJobs := range []bool{false, true} {
		t.Run(fmt.Sprint("by jobs ", byJobs), func(t *testing.T) { adoptedSkillKeepsItsID(t, byJobs) })
	}
}

// listingJobs is a tool that takes jobs and can be listed.
type listingJobs struct{ jobConnector }

func (c listingJobs) Open(account connector.Account) (connector.Session, error) {
	s, err := c.jobConnector.Open(account)
	return struct {
		*jobSession
		connector.Lister
	}{s.(*jobSession), c.Connector.(*catalogue)}, err
}

func adoptedSkillKeepsItsID(t *testing.T, byJobs bool) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newCatalogue()
		tool.limits.Concurrency = 1
		f.tools = []connector.Connector{tool}
		if byJobs {
			jobs := newJobTool(f)
			jobs.inner = tool
			f.tools = []connector.Connector{listingJobs{jobConnector{tool, jobs, nil}}}
		}
		f.start(jobSettings())
		in, err := f.store.CreateIntegration(t.Context(), store.Integration{
			EnvironmentID: f.env, Tool: "listing", Settings: []byte(`{}`), Policy: store.Policy{Adopt: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		tool.byHand(func(all map[string]connector.Record) {
			all["x"] = connector.Record{RemoteID: "x", Name: "theirs", Active: true}
		})
		f.sync(in, true)
		before := f.read(in)["x"]
		task := f.ended(in, f.submit(in, skill.Item{OriginID: "ours", Name: "theirs", Status: skill.Active}, skill.Item{OriginID: "new", Name: "new", Status: skill.Active}))
		task.want(t, "COMPLETED", "", "")
		for range 2 {
			if got := f.read(in); len(got) != 2 || got["ours"].ID != before.ID || got["ours"].RemoteID != "x" || task.Items[0].ID != before.ID {
				t.Errorf("read %+v, the task says %s, before %+v", got, task.Items[0].ID, before)
			}
			f.sync(in, true)
		}
		if got := f.ended(in, f.submit(in, skill.Item{OriginID: "ours", Name: "theirs", Status: skill.Active})); got.Items[0].ID != before.ID || tool.written("ours") != 1 {
			t.Errorf("again: %+v, written %d times", got, tool.written("ours"))
		}
	})
}

// A record that was only read, and bears another external id by now, as one that was taken over does, is shown once.
func TestSyncSeesAnotherExternalID(t *testing.T) {
	runListing(t, func(t *testing.T, f *fixture, tool *catalogue, in store.Integration) {
		name := func(origin string) {
			tool.byHand(func(all map[string]connector.Record) {
				all["x"] = connector.Record{RemoteID: "x", OriginID: origin, Name: "theirs", Active: true}
			})
		}
		name("COMP-1")
		f.sync(in, true)
		name("ours")
		f.ended(in, f.submit(in, skill.Item{OriginID: "ours", Name: "theirs", Status: skill.Active})).want(t, "COMPLETED", "")
		for range 2 {
			f.sync(in, true)
			if diff := cmp.Diff(map[string]string{"ours": "theirs", "COMP-1": "theirs (gone)"}, f.shown(in)); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		}
		// And back again, while the tool has hidden them between.
		tool.hideOrigins = true
		f.sync(in, true)
		tool.hideOrigins = false
		name("COMP-1")
		f.sync(in, true)
		if got := f.shown(in)["COMP-1"]; got != "theirs" {
			t.Errorf("shown as %q", got)
		}
	})
}

// A drain that is at work on a skill while somebody asks for the same one promises no id that is not kept.
func TestWishBesideADrain(t *testing.T) {
	run(t, ptr(settings()), func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"10s"}`)
		task := f.submit(in, active("a", "b")...)
		wait(5 * time.Second)
		s, err := f.engine.Wish(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, OriginID: "id-a", Name: "a", Status: skill.Active}, "key")
		if err != nil {
			t.Fatal(err)
		}
		r := f.ended(in, task)
		r.want(t, "COMPLETED", "", "")
		wait(5 * time.Minute)
		if r.Items[0].ID != s.ID || f.read(in)["id-a"].ID != s.ID {
			t.Errorf("the task says %s, the wish %s, the catalogue %s", r.Items[0].ID, s.ID, f.read(in)["id-a"].ID)
		}
	})
}

// Nor does one that has looked the skill up and waits for its turn with the tool.
func TestWishBesideADrainThatWaits(t *testing.T) {
	run(t, ptr(settings()), func(t *testing.T, f *fixture) {
		in := f.integration(`{"rate_limit":1,"rate_window":"1500ms","declare_rate":true}`)
		f.submit(in, active("a")...)
		task := f.submit(in, active("b", "c")...)
		wait(time.Second)
		s, err := f.engine.Wish(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, OriginID: "id-b", Name: "b", Status: skill.Active}, "key")
		if err != nil {
			t.Fatal(err)
		}
		r := f.ended(in, task)
		r.want(t, "COMPLETED", "", "")
		wait(5 * time.Minute)
		if r.Items[0].ID != s.ID || f.read(in)["id-b"].ID != s.ID {
			t.Errorf("the task says %s, the wish %s, the catalogue %s", r.Items[0].ID, s.ID, f.read(in)["id-b"].ID)
		}
	})
}

// The sandbox can be read back too.
func TestSyncOfTheSandbox(t *testing.T) {
	run(t, ptr(settings()), func(t *testing.T, f *fixture) {
		in := f.integration(`{}`)
		f.ended(in, f.submit(in, many(1200)...))
		wait(2 * time.Minute)
		box := f.store.Sandbox()
		if _, err := box.Write(t.Context(), in.ID, []sandbox.Row{{ExternalID: "skill-7", Name: "by hand", Active: true}, {ExternalID: "new", Name: "new", Active: true}}); err != nil {
			t.Fatal(err)
		}
		if err := box.Remove(t.Context(), in.ID, []string{"skill-1100"}); err != nil {
			t.Fatal(err)
		}
		f.sync(in, true)
		got := f.shown(in)
		if len(got) != 1201 || got["skill-7"] != "by hand" || got["new"] != "new" || got["skill-1100"] != "Skill 1100 (gone)" || got["skill-8"] != "Skill 8" {
			t.Errorf("%d skills; %q %q %q %q", len(got), got["skill-7"], got["new"], got["skill-1100"], got["skill-8"])
		}
		f.ended(in, f.submit(in, many(1200)...))
		if n := f.writes(in); n != 1200-1+1+1+1+1 {
			t.Errorf("%d writes", n)
		}
	})
}

// Whatever people do in the tool, between and while syncs and uploads run, a sync and an upload of everything behind it make
// the tool equal to the upload.
func TestSyncsAndUploadsOfWhatPeopleChange(t *testing.T) {
	onEach(t, func(t *testing.T, open func(testing.TB, func() time.Time) store.Store) {
		most := 20
		if strings.HasSuffix(t.Name(), "/postgres") {
			most = 5
		}
		rapid.Check(timeless{t}, func(r *rapid.T) {
			if most--; most < 0 {
				return
			}
			f := &fixture{t: t, store: open(t, time.Now)}
			env, err := f.store.Environment(t.Context(), store.DefaultEnvironment)
			if err != nil {
				r.Fatal(err)
			}
			f.env = env.ID
			tool := newCatalogue()
			tool.hideOrigins = rapid.Bool().Draw(r, "hides external ids")
			slow := rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second}).Draw(r, "a page takes")
			tool.onList = func(string) error { wait(slow); return nil }
			f.tools = []connector.Connector{tool}
			f.start(settings())
			defer func() {
				f.stop()
				if err := f.store.Close(); err != nil {
					t.Error(err)
				}
			}()
			in := f.integrationWith("listing", `{}`)
			ids := map[string]string{}
			items := func(r *rapid.T) (list []skill.Item) {
				for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 5), 1, 6, rapid.ID).Draw(r, "skills") {
					list = append(list, skill.Item{
						OriginID: fmt.Sprint("s", i), Name: fmt.Sprint("n", rapid.IntRange(0, 2).Draw(r, "name")),
						Status: rapid.SampledFrom([]skill.Status{skill.Active, skill.Active, skill.Inactive}).Draw(r, "status"),
					})
				}
				return list
			}
			remember := func() {
				for key, s := range f.read(in) {
					if before, known := ids[key]; known && before != s.ID {
						r.Fatalf("%s had the id %s and has %s", key, before, s.ID)
					}
					ids[key] = s.ID
				}
			}
			var tasks []string
			r.Repeat(map[string]func(*rapid.T){
				"upload": func(r *rapid.T) { tasks = append(tasks, f.submit(in, items(r)...)) },
				"sync":   func(r *rapid.T) { f.request(in, rapid.Bool().Draw(r, "whole")) },
				"wait": func(r *rapid.T) {
					wait(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 3 * time.Minute}).Draw(r, "for"))
				},
				"rename": func(r *rapid.T) {
					tool.rename(fmt.Sprint("s", rapid.IntRange(0, 5).Draw(r, "which")), fmt.Sprint("n", rapid.IntRange(0, 2).Draw(r, "name")))
				},
				"remove": func(r *rapid.T) { tool.remove(fmt.Sprint("s", rapid.IntRange(0, 5).Draw(r, "which"))) },
				"retire": func(r *rapid.T) {
					which := fmt.Sprint("s", rapid.IntRange(0, 5).Draw(r, "which"))
					tool.byHand(func(all map[string]connector.Record) {
						for id, rec := range all {
							if rec.OriginID == which {
								rec.Active = !rec.Active
								all[id] = rec
							}
						}
					})
				},
				"make": func(r *rapid.T) {
					id := fmt.Sprint("x", rapid.IntRange(0, 2).Draw(r, "which"))
					tool.byHand(func(all map[string]connector.Record) {
						all[id] = connector.Record{RemoteID: id, Name: "theirs", Active: true}
					})
				},
				"": func(*rapid.T) { remember() },
			})
			for _, task := range tasks {
				f.ended(in, task)
			}
			f.syncEnded()
			wait(3 * time.Minute) // lists may lag behind
			f.sync(in, true)
			var all []skill.Item
			for i := range 6 {
				all = append(all, skill.Item{OriginID: fmt.Sprint("s", i), Name: fmt.Sprint("n", i%3), Status: skill.Active})
			}
			f.ended(in, f.submit(in, all...)).want(t, "COMPLETED", "", "", "", "", "", "")
			remember()
			tool.mu.Lock()
			defer tool.mu.Unlock()
			holds := map[string][]string{}
			for _, rec := range tool.records {
				if rec.OriginID != "" {
					holds[rec.OriginID] = append(holds[rec.OriginID], fmt.Sprint(rec.Name, rec.Active))
				}
			}
			for _, it := range all {
				if got := holds[it.OriginID]; len(got) != 1 || got[0] != it.Name+"true" {
					r.Errorf("the tool holds %v of %s, want %s", got, it.OriginID, it.Name)
				}
			}
		})
	})
}

func ptr[T any](v T) *T { return &v }
