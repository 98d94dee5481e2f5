package connectortest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Live writes to a real account of the tool: it makes three skills, changes one, writes them again, sends one that the tool
// will hardly take, reads back what it can, and retires what it made. The settings come from variables, one for each:
// CROSSWALK_LIVE_<name>_<SETTING>. Without all the required ones the test is skipped, and says which those are.
//
// The skills are called "Crosswalk live test …"; where a tool cannot retire skills they stay.
func Live(t *testing.T, c connector.Connector, name string) {
	d := c.Describe()
	given := map[string]json.RawMessage{}
	var missing, all []string
	for _, f := range d.Settings {
		variable := "CROSSWALK_LIVE_" + name + "_" + strings.ToUpper(f.Name)
		all = append(all, variable)
		text := os.Getenv(variable)
		if text == "" {
			if f.Required {
				missing = append(missing, variable)
			}
			continue
		}
		value, err := d.ParseSetting(f.Name, text)
		if err != nil {
			t.Fatal(err)
		}
		given[f.Name] = value
	}
	if len(missing) > 0 || len(given) == 0 {
		t.Skipf("to try it against a real account of %s set %s (all there are: %s)", d.Label, strings.Join(missing, ", "), strings.Join(all, ", "))
	}
	settings, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	l := &live{description: d, open: func(t *testing.T) connector.Session {
		session, err := c.Open(connector.Account{ID: d.Slug + ":live", Settings: settings, HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		return session
	}}
	l.run(t)
}

// live is a run against a real account.
type live struct {
	description connector.Description
	open        func(*testing.T) connector.Session
}

func (l *live) run(t *testing.T) {
	session := l.open(t)
	if checker, ok := session.(connector.Checker); ok {
		if err := checker.Check(t.Context()); err != nil {
			t.Fatalf("the account is not good: %v", err)
		}
	}
	run := time.Now().UTC().Format("20060102T150405")
	list := make([]connector.Skill, 3)
	for i := range list {
		list[i] = connector.Skill{OriginID: fmt.Sprintf("crosswalk-live/%s/%d", run, i), Name: fmt.Sprintf("Crosswalk live test %s, %d", run, i), Active: true}
	}
	t.Cleanup(func() { l.retire(t, list) })
	first := l.write(t, session, list)
	for i := range list {
		if r := first[list[i].OriginID]; r.Err != nil {
			t.Fatalf("create %s: %v", list[i].OriginID, r.Err)
		}
	}
	list[1].Name += ", changed"
	// Once with the ids that the tool gave, once as if nothing were known.
	for _, known := range []bool{true, false} {
		for i := range list {
			list[i].RemoteID = ""
			if known {
				list[i].RemoteID = first[list[i].OriginID].RemoteID
			}
		}
		for id, r := range l.write(t, l.open(t), list) {
			if r.Err != nil || r.RemoteID != first[id].RemoteID {
				t.Errorf("%s again (id known: %v): %+v, was %s", id, known, r, first[id].RemoteID)
			}
		}
	}
	bad := connector.Skill{OriginID: "crosswalk-live/" + run + "/bad", Name: strings.Repeat("Crosswalk live test, far too long. ", 200), Active: true}
	with := append([]connector.Skill{bad}, list...)
	results := l.write(t, l.open(t), with)
	t.Logf("a name of %d characters: %v", len(bad.Name), results[bad.OriginID].Err)
	made := list
	if results[bad.OriginID].Err == nil {
		made = with
	}
	for _, sk := range with[1:] {
		if r := results[sk.OriginID]; r.Err != nil {
			t.Errorf("%s beside a bad one: %v", sk.OriginID, r.Err)
		}
	}
	l.readBack(t, made)
}

// write writes in batches, takes refused batches apart, and waits when the tool asks for it.
func (l *live) write(t *testing.T, session connector.Session, skills []connector.Skill) map[string]connector.Result {
	t.Helper()
	all := map[string]connector.Result{}
	for batch := range slices.Chunk(skills, session.Limits().Batch) {
		for attempt := 0; ; attempt++ {
			results, err := session.Write(t.Context(), batch)
			for _, r := range results {
				all[r.OriginID] = r
			}
			batch = slices.DeleteFunc(slices.Clone(batch), func(sk connector.Skill) bool { _, ok := all[sk.OriginID]; return ok })
			e := connector.AsError(err)
			if e == nil || len(batch) == 0 {
				break
			}
			if e.Kind == connector.Refused && len(batch) > 1 {
				for _, half := range [][]connector.Skill{batch[:len(batch)/2], batch[len(batch)/2:]} {
					for id, r := range l.write(t, session, half) {
						all[id] = r
					}
				}
				break
			}
			if e.Kind == connector.Refused {
				all[batch[0].OriginID] = connector.Result{OriginID: batch[0].OriginID, Err: e}
				break
			}
			if attempt == 5 || e.Kind != connector.Throttled && e.Kind != connector.Away {
				t.Fatalf("Write: %v", e)
			}
			wait(t.Context(), max(e.RetryAfter, time.Second<<attempt))
		}
	}
	return all
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (l *live) readBack(t *testing.T, want []connector.Skill) {
	got := map[string]connector.Record{}
	switch session := l.open(t).(type) {
	case connector.Finder:
		for batch := range slices.Chunk(want, session.(connector.Session).Limits().Batch) {
			records, err := session.Find(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				got[r.OriginID] = r
			}
		}
	case connector.Lister:
		for cursor, first := "", true; first || cursor != ""; first = false {
			page, err := session.List(t.Context(), cursor)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				got[r.OriginID] = r
			}
			cursor = page.Next
		}
	default:
		t.Logf("%s can be read neither by look-up nor by list", l.description.Slug)
		return
	}
	for _, sk := range want {
		if r := got[sk.OriginID]; r.Name != sk.Name || r.Active != sk.Active {
			t.Errorf("%s should be %+v, and the tool shows %+v", sk.OriginID, sk, r)
		}
	}
}

func (l *live) retire(t *testing.T, list []connector.Skill) {
	if !l.description.Can(connector.CanDeactivate) {
		t.Logf("%s cannot retire skills; these stay: %+v", l.description.Slug, list)
		return
	}
	session := l.open(t)
	list = slices.Clone(list)
	for i := range list {
		list[i].Active, list[i].Unsure = false, true
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	for batch := range slices.Chunk(list, session.Limits().Batch) {
		results, err := session.Write(ctx, batch)
		if err != nil {
			t.Errorf("retire: %v", err)
		}
		for _, r := range results {
			if r.Err != nil {
				t.Errorf("retire %s: %v", r.OriginID, r.Err)
			}
		}
	}
}
