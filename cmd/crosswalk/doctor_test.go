package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

func TestDoctorsClock(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	for name, test := range map[string]struct {
		database time.Duration // from the moment it was asked
		took     time.Duration
		want     string // in what was found; empty: all is well
	}{
		"together":                   {0, time.Millisecond, ""},
		"read late in a slow answer": {3 * time.Second, 3 * time.Second, ""},
		"a second":                   {-time.Second, time.Millisecond, ""},
		"ours is ahead":              {-1200 * time.Millisecond, time.Millisecond, "1.2s ahead of"},
		"ours is behind":             {time.Hour, time.Second, "59m59s behind"},
	} {
		f := clock(asked, test.took, asked.Add(test.database))
		if (f.Grade == store.Warning) != (test.want != "") || (f.Do != "") != (test.want != "") || !strings.Contains(f.Found, test.want) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestDoctorsTools(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 25, 9, 12, 0, 0, time.UTC)
	one := store.Away{IntegrationID: "sandbox:1", Failures: 14, Since: since, Next: time.Now().Add(-time.Minute)}
	soon := one
	soon.Next = time.Now().Add(time.Hour)
	many := slices.Repeat([]store.Away{one}, mostNamed+2)
	for name, test := range map[string]struct {
		away  []store.Away
		grade store.Grade
		found string
	}{
		"none": {nil, store.Fine, "all answer"},
		"one":  {[]store.Away{one}, store.Warning, "the tool of 1 integration does not answer; sandbox:1 since 2026-11-25 09:12:00 UTC, 14 calls in a row without an answer"},
		"soon": {[]store.Away{soon}, store.Warning, "; the next one not before 20"},
		"many": {many, store.Warning, "the tools of 7 integrations do not answer; sandbox:1 since"},
		"more": {many, store.Warning, "; and 2 more"},
	} {
		if f := tools(test.away); f.Grade != test.grade || !strings.Contains(f.Found, test.found) || (f.Do != "") != (f.Grade != store.Fine) {
			t.Errorf("%s: %+v", name, f)
		}
	}
}

func TestDoctorsQueue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	waiting := store.Health{Now: now, Pending: 2, WaitingItems: 1000, OldestPending: now.Add(-time.Minute), Leases: 1}
	old := waiting
	old.OldestPending = now.Add(-longPending - time.Second)
	crowded := waiting
	crowded.Unattended = 3
	abandoned := crowded
	abandoned.Leases, abandoned.Stale = 0, 2
	overdue := waiting
	overdue.Overdue = 1
	for name, test := range map[string]struct {
		health        store.Health
		tasks, leases store.Grade
		found, do     string
	}{
		"idle":                {store.Health{Now: now}, store.Fine, store.Fine, "none is unfinished", ""},
		"at work":             {waiting, store.Fine, store.Fine, "2 unfinished, with 1,000 items", ""},
		"an old one":          {old, store.Warning, store.Fine, "1h0m1s ago", "crosswalk_tool_call_seconds"},
		"more than there are": {crowded, store.Fine, store.Warning, "never fewer than 3", "--drains"},
		"without a server":    {abandoned, store.Fine, store.Wrong, "2 of them with a lease that ran out", "start crosswalk serve"},
		"past its deadline":   {overdue, store.Wrong, store.Fine, "1 past their deadline", "No server ends them"},
	} {
		got := queue(test.health, test.health)
		grades := []store.Grade{got[0].Grade, got[1].Grade}
		if diff := cmp.Diff([]store.Grade{test.tasks, test.leases}, grades); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if found := got[0].Found + got[1].Found; !strings.Contains(found, test.found) {
			t.Errorf("%s: found %q, want %q", name, found, test.found)
		}
		if do := got[0].Do + got[1].Do; !strings.Contains(do, test.do) || test.do == "" && do != "" {
			t.Errorf("%s: do %q, want %q", name, do, test.do)
		}
	}
}

// A database that takes connections and says nothing is found to be away, within a bound.
func TestDoctorOfASilentDatabase(t *testing.T) {
	t.Parallel()
	network := pgtest.NewProxy(t, pgtest.Database(t))
	network.Hold(pgtest.Answers)
	var out strings.Builder
	a := &app{ctx: t.Context(), out: &out, err: &out}
	began := time.Now()
	if code := a.run([]string{"doctor", "--database", network.URL()}); code != exitTrouble {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(began); took > 3*answerWithin {
		t.Errorf("it took %v", took)
	}
	if !strings.Contains(out.String(), "✗ wrong    database") {
		t.Errorf("it said:\n%s", &out)
	}
}

// What a database was found to be while nothing of it could be looked at is said in one line, without what callers of the
// API are told.
func TestDoctorsWords(t *testing.T) {
	t.Parallel()
	c := &doctorCommand{database: database{Database: "postgres://u:secret@127.0.0.1:1/x?password=secret"}}
	found, err := c.look(t.Context())
	if err != nil || len(found) != 1 {
		t.Fatalf("%+v, %v", found, err)
	}
	for _, never := range []string{"secret", "\n", "Nothing of this request"} {
		if strings.Contains(found[0].Found, never) {
			t.Errorf("%q has %q in it", found[0].Found, never)
		}
	}
	if where := (server.Database{URL: c.Database}).String(); !strings.HasPrefix(found[0].Found, where) {
		t.Errorf("%q does not name %s", found[0].Found, where)
	}
}
