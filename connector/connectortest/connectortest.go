// Package connectortest is the suite that every connector passes. A connector's own test sets up its tool, or a fake of
// it that behaves like the real one, and calls Run; the suite writes through the connector and reads back behind its back.
package connectortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Situation is how the tool behaves in a test.
type Situation string

// The situations. Those that last a call come first; the others last.
const (
	Normal          Situation = "normal"
	RefusesOne      Situation = "refuses the skill named Refused"
	Credentials     Situation = "does not accept the credentials"
	Permission      Situation = "does not permit writing"
	Throttling      Situation = "throttles, and says for how long"
	ThrottlingMute  Situation = "throttles, and does not say for how long"
	Away            Situation = "is away"
	LosesAnswer     Situation = "carries the first call out, and its answer is lost"
	Hangs           Situation = "does not answer the first call"
	RefusesBatch    Situation = "refuses a whole batch that holds the skill named Refused"
	UnexpectedReply Situation = "answers the first call in a way nobody described"
)

// RefusedName is the name that RefusesOne and RefusesBatch refuse.
const RefusedName = "Refused"

// Record is a skill as the tool holds it.
type Record struct {
	RemoteID string
	OriginID string
	Name     string
	Active   bool
}

// Account is an account with the tool in some situation.
type Account struct {
	connector.Account
	// Records reads all skills of the account, not through the connector.
	Records func(t *testing.T) []Record
	// Relax ends the situation: from now on the tool behaves.
	Relax func(t *testing.T) connector.Account
}

// Harness is a connector with its tool.
type Harness struct {
	Connector connector.Connector
	// NewAccount returns a fresh account, or false when the tool cannot be in that situation.
	NewAccount func(t *testing.T, s Situation) (Account, bool)
	// BadSettings are settings that Open must refuse, with a word that its error must hold.
	BadSettings map[string]string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"the description is complete", description},
		{"settings", settings},
		{"create, update, repeat", upsert},
		{"a batch that is sent again without remote ids makes no twins", noTwins},
		{"texts arrive as they are", texts},
		{"deactivate and reactivate", deactivate},
		{"a full batch", fullBatch},
		{"calls at once", atOnce},
		{"a refused skill does not sink the others", refusedOne},
		{"refused credentials", failing(Credentials, connector.Credentials)},
		{"missing permission", failing(Permission, connector.Permission)},
		{"throttled", failing(Throttling, connector.Throttled)},
		{"throttled without a word", failing(ThrottlingMute, connector.Throttled)},
		{"away", failing(Away, connector.Away)},
		{"a refused batch", failing(RefusesBatch, connector.Refused)},
		{"an unexpected answer", failing(UnexpectedReply, connector.Unexpected)},
		{"a lost answer", lostAnswer},
		{"no answer", noAnswer},
		{"a context that has ended sends nothing", endedContext},
		{"what may not be sent any more is not sent", mayNotSend},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, h)
		})
	}
}

func (h Harness) account(t *testing.T, s Situation) (Account, connector.Session) {
	t.Helper()
	account, ok := h.NewAccount(t, s)
	if !ok {
		t.Skipf("%s has no such situation: the tool %s", h.Connector.Describe().Slug, s)
	}
	return account, h.open(t, account.Account)
}

func (h Harness) open(t *testing.T, account connector.Account) connector.Session {
	t.Helper()
	session, err := h.Connector.Open(account)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// write sends skills, checks that the results keep the contract, and returns them by origin_id.
func write(t *testing.T, s connector.Session, skills []connector.Skill) (map[string]connector.Result, *connector.Error) {
	t.Helper()
	results, err := s.Write(t.Context(), skills)
	sent := map[string]bool{}
	for _, sk := range skills {
		sent[sk.OriginID] = true
	}
	by := map[string]connector.Result{}
	for _, r := range results {
		if _, twice := by[r.OriginID]; twice || !sent[r.OriginID] {
			t.Errorf("a result that nobody asked for, or a second one: %+v", r)
		}
		if (r.Err == nil) != (r.RemoteID != "") {
			t.Errorf("a result must have either a remote id or an error: %+v", r)
		}
		by[r.OriginID] = r
	}
	if err == nil && len(by) != len(skills) {
		t.Errorf("%d results for %d skills, and no error", len(by), len(skills))
	}
	return by, connector.AsError(err)
}

// mustWrite is write for skills that the tool takes.
func mustWrite(t *testing.T, s connector.Session, skills []connector.Skill) map[string]connector.Result {
	t.Helper()
	by, err := write(t, s, skills)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range by {
		if r.Err != nil {
			t.Fatalf("%s: %v", r.OriginID, r.Err)
		}
	}
	return by
}

// holds checks that the tool holds exactly these skills, one record each.
func holds(t *testing.T, a Account, want []connector.Skill) {
	t.Helper()
	got := map[string]Record{}
	for _, r := range a.Records(t) {
		if _, twice := got[r.OriginID]; twice {
			t.Errorf("the tool holds %q twice", r.OriginID)
		}
		got[r.OriginID] = Record{OriginID: r.OriginID, Name: r.Name, Active: r.Active}
	}
	wanted := map[string]Record{}
	for _, s := range want {
		wanted[s.OriginID] = Record{OriginID: s.OriginID, Name: s.Name, Active: s.Active}
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("what the tool holds (-want +got):\n%s", diff)
	}
}

func skills(names ...string) []connector.Skill {
	list := make([]connector.Skill, len(names))
	for i, name := range names {
		list[i] = connector.Skill{OriginID: "id/" + name, Name: name, Active: true}
	}
	return list
}

var slugPattern = regexp.MustCompile(`^[a-z0-9]+$`)

func description(t *testing.T, h Harness) {
	d := h.Connector.Describe()
	if !slugPattern.MatchString(d.Slug) {
		t.Errorf("slug %q", d.Slug)
	}
	if d.Label == "" || d.Summary == "" || !strings.HasSuffix(d.Summary, ".") {
		t.Errorf("label %q, summary %q", d.Label, d.Summary)
	}
	if d.Category != connector.HRIS && d.Category != connector.LMS {
		t.Errorf("category %q", d.Category)
	}
	if d.Limits.Batch < 1 || d.Limits.Concurrency < 1 || d.Limits.Calls < 0 || (d.Limits.Calls > 0) != (d.Limits.Per > 0) {
		t.Errorf("limits %+v", d.Limits)
	}
	seen := map[string]bool{}
	for _, f := range d.Settings {
		if f.Name == "" || f.Label == "" || f.Help == "" || seen[f.Name] {
			t.Errorf("field %+v", f)
		}
		seen[f.Name] = true
		if f.Required && f.Default != "" {
			t.Errorf("field %s is required and has a default", f.Name)
		}
		for _, text := range []string{f.Default, f.Example} {
			if text == "" {
				continue
			}
			if _, err := d.ParseSetting(f.Name, text); err != nil {
				t.Errorf("field %s: its own default or example %q: %v", f.Name, text, err)
			}
		}
	}
	if diff := cmp.Diff(d, h.Connector.Describe()); diff != "" {
		t.Errorf("a second description differs:\n%s", diff)
	}
}

func settings(t *testing.T, h Harness) {
	for bad, word := range h.BadSettings {
		_, err := h.Connector.Open(connector.Account{ID: "x", Settings: json.RawMessage(bad)})
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("Open(%s) = %v, want an error with %q in it", bad, err, word)
		}
	}
}

func upsert(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("TypeScript", "Go")
	first := mustWrite(t, s, list)
	holds(t, account, list)
	// With the ids that the tool gave.
	changed := skills("TypeScript", "Go", "Rust")
	changed[0].Name = "TypeScript 5"
	for i := range changed {
		changed[i].RemoteID = first[changed[i].OriginID].RemoteID
	}
	second := mustWrite(t, s, changed)
	holds(t, account, changed)
	for _, sk := range list {
		if second[sk.OriginID].RemoteID != first[sk.OriginID].RemoteID {
			t.Errorf("%s was %s and is %s", sk.OriginID, first[sk.OriginID].RemoteID, second[sk.OriginID].RemoteID)
		}
	}
	// The same again changes nothing.
	mustWrite(t, s, changed)
	holds(t, account, changed)
	for _, r := range account.Records(t) {
		if second[r.OriginID].RemoteID != r.RemoteID {
			t.Errorf("%s was answered as %s and is %s", r.OriginID, second[r.OriginID].RemoteID, r.RemoteID)
		}
	}
}

func noTwins(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("a", "b", "c")
	first := mustWrite(t, s, list)
	again := append(skills("d"), list...)
	again[1].Unsure = true
	again[2].Name = "b, renamed"
	second := mustWrite(t, s, again)
	holds(t, account, again)
	for _, sk := range list {
		if first[sk.OriginID].RemoteID != second[sk.OriginID].RemoteID {
			t.Errorf("%s became another record", sk.OriginID)
		}
	}
}

func texts(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	var list []connector.Skill
	for i, name := range []string{
		"C++", "C#", ".NET", `quotes "'` + "`", "a, b; c", "<b>&amp;</b>", "línguas², “typographic” ’", "日本語", "\U0001f600", "100 %_",
		"back\\slash", "tab\tand\nline",
	} {
		list = append(list, connector.Skill{OriginID: fmt.Sprintf("http://data.europa.eu/esco/skill/%d:%s", i, strings.ToValidUTF8(name[:1], "x")), Name: name, Active: true})
	}
	mustWrite(t, s, list)
	holds(t, account, list)
}

func deactivate(t *testing.T, h Harness) {
	if !h.Connector.Describe().Deactivates {
		t.Skipf("%s cannot retire a skill", h.Connector.Describe().Slug)
	}
	account, s := h.account(t, Normal)
	list := skills("COBOL", "Go")
	mustWrite(t, s, list)
	list[0].Active = false
	mustWrite(t, s, list)
	holds(t, account, list)
	list[0].Active = true
	mustWrite(t, s, list)
	holds(t, account, list)
}

func fullBatch(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	var names []string
	for i := range s.Limits().Batch {
		names = append(names, fmt.Sprint("skill ", i))
	}
	list := skills(names...)
	mustWrite(t, s, list)
	holds(t, account, list)
}

func atOnce(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	var all []connector.Skill
	var group sync.WaitGroup
	for i := range s.Limits().Concurrency {
		list := skills(fmt.Sprint("a", i), fmt.Sprint("b", i))
		all = append(all, list...)
		group.Go(func() { mustWrite(t, s, list) })
	}
	group.Wait()
	holds(t, account, all)
}

func refusedOne(t *testing.T, h Harness) {
	account, s := h.account(t, RefusesOne)
	list := skills("a", RefusedName, "c")
	by, err := write(t, s, list)
	if err != nil {
		t.Fatal(err)
	}
	refused := by[list[1].OriginID]
	if refused.Err == nil || refused.Err.Kind != connector.Refused || refused.Err.Message == "" {
		t.Errorf("the refused skill: %+v", refused)
	}
	for _, i := range []int{0, 2} {
		if r := by[list[i].OriginID]; r.Err != nil {
			t.Errorf("%s: %v", r.OriginID, r.Err)
		}
	}
	holds(t, account, []connector.Skill{list[0], list[2]})
}

// failing: a call fails as a whole, nothing is written, and once the situation is over all goes well.
func failing(situation Situation, kind connector.Kind) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		account, s := h.account(t, situation)
		list := skills("a", RefusedName, "c")
		by, err := write(t, s, list)
		if err == nil || err.Kind != kind || len(by) != 0 {
			t.Fatalf("Write = %v, %v, want the kind %s", by, err, kind)
		}
		if (err.RetryAfter > 0) != (situation == Throttling) {
			t.Errorf("retry after %v", err.RetryAfter)
		}
		holds(t, account, nil)
		mustWrite(t, h.open(t, account.Relax(t)), list)
		holds(t, account, list)
	}
}

func lostAnswer(t *testing.T, h Harness) {
	account, s := h.account(t, LosesAnswer)
	list := skills("a", "b")
	if by, err := write(t, s, list); err == nil || err.Kind != connector.Ambiguous || len(by) != 0 {
		t.Fatalf("Write = %v, %v", by, err)
	}
	before := account.Records(t)
	for i := range list {
		list[i].Unsure = true
	}
	mustWrite(t, h.open(t, account.Relax(t)), list)
	holds(t, account, list)
	if len(before) != len(account.Records(t)) {
		t.Errorf("the lost call left %d records, now there are %d", len(before), len(account.Records(t)))
	}
}

// soon is how long a connector may take to return once its context has ended.
const soon = 2 * time.Second

func noAnswer(t *testing.T, h Harness) {
	_, s := h.account(t, Hangs)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	returned := make(chan error, 1)
	go func() {
		_, err := s.Write(ctx, skills("a"))
		returned <- err
	}()
	<-ctx.Done()
	select {
	case err := <-returned:
		if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous {
			t.Errorf("Write = %v", err)
		}
	case <-time.After(soon):
		t.Errorf("Write did not return within %v after its context ended", soon)
	}
}

func endedContext(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, err := s.Write(ctx, skills("a"))
	if err == nil || len(results) != 0 {
		t.Errorf("Write = %v, %v", results, err)
	}
	if e, ok := errors.AsType[*connector.Error](err); ok && e.Kind != connector.Away && e.Kind != connector.Ambiguous {
		t.Errorf("kind = %s", e.Kind)
	}
	holds(t, account, nil)
}

// The account has passed to another process while the call was prepared.
func mayNotSend(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("a", "b")
	mustWrite(t, s, list)
	changed := skills("a", "b", "c")
	changed[0].Name = "too late"
	passed := errors.New("somebody else writes to this account now")
	results, err := s.Write(connector.WithSendCheck(t.Context(), func() error { return passed }), changed)
	if e, ok := errors.AsType[*connector.Error](err); !ok || e.Kind != connector.Away || !errors.Is(err, passed) || len(results) != 0 {
		t.Errorf("Write = %v, %v, want the kind %s with what MaySend said as its cause", results, err, connector.Away)
	}
	holds(t, account, list)
	mustWrite(t, s, changed)
	holds(t, account, changed)
}
