// Package connectortest is the suite that every connector passes. A connector's own test sets up its tool, or a fake of
// it that behaves like the real one, and calls Run; the suite writes through the connector and reads back behind its back.
//
// Connectors over HTTP reach their fake through the suite's own network, without sockets and with simulated time. There the
// suite lets every request of a call meet every fault that a network, a proxy or a careless tool can have, and holds what
// the connector then says against what the tool holds. So a fake need not know any of that: it is the vendor's semantics as
// documented, and it checks what it is sent.
package connectortest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Situation is how the tool behaves in a test.
type Situation string

// The situations. Those of a call end with it; the others last. Over HTTP the suite makes those of the second group itself, if
// the fake has no form of its own for them: 401, 403, 429, 503, 418, a connection that is cut, and silence.
const (
	Normal       Situation = "normal"
	RefusesOne   Situation = "refuses the skill named Refused"
	RefusesBatch Situation = "refuses a whole batch that holds the skill named Refused"

	Credentials     Situation = "does not accept the credentials"
	Permission      Situation = "does not permit writing"
	Throttling      Situation = "throttles, and says for how long"
	ThrottlingMute  Situation = "throttles, and does not say for how long"
	Away            Situation = "is away"
	LosesAnswer     Situation = "carries the first call out, and its answer is lost"
	Hangs           Situation = "does not answer the first call"
	UnexpectedReply Situation = "answers the first call in a way nobody described"

	// Of a tool that takes jobs (connector.Jobs):
	JobFails        Situation = "ends the first job with an error"
	JobNeverEnds    Situation = "does not end any job"
	JobLosesResults Situation = "has no results of the first job"
	JobForgotten    Situation = "does not know the first job any more"
)

// RefusedName is the name that RefusesOne and RefusesBatch refuse.
const RefusedName = "Refused"

// Account is an account with the tool in some situation.
type Account struct {
	// Account is what the connector gets. For a connector over HTTP the suite puts its own client into it.
	connector.Account
	// Tool answers the requests of a connector over HTTP, at the address Base. Time is simulated around it.
	Tool http.Handler
	// Records reads all skills of the account, not through the connector; retired ones included, if the tool keeps those.
	Records func(t *testing.T) []connector.Record
	// MakeByHand makes a skill as people make them in the tool's own pages, and returns its remote id. Nil: they cannot.
	MakeByHand func(t *testing.T, name string) string
	// Relax ends the situation: from now on the tool behaves. Nil changes nothing.
	Relax func(t *testing.T) connector.Account
}

// Harness is a connector with its tool.
type Harness struct {
	Connector connector.Connector
	// NewAccount returns a fresh account, or false when the tool cannot be in that situation.
	NewAccount func(t *testing.T, s Situation) (Account, bool)
	// BadSettings are settings that Open must refuse, with a word that its error must hold.
	BadSettings map[string]string
	// HTTP: accounts have a Tool.
	HTTP bool
	// Deletes: a skill that is retired leaves the tool.
	Deletes bool
	// Fewest is with how many requests so many new skills can be written at the very least, as the tool's limits are. Over
	// HTTP alone.
	Fewest func(skills int) int
	// FewestTime is in how much time that can be done at the very least, as the tool's limits are and not what the connector declares. For
	// a tool that has a rate.
	FewestTime func(skills int) time.Duration
	// Refuses: the tool never takes this skill, for the characters in its name. Nil: it takes all.
	Refuses func(connector.Skill) bool
	// Page is the file of the connector's page, docs/connectors/<slug>.md.
	Page string
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
		// plain tests have subtests, or no need of simulated time.
		plain bool
	}{
		{"the description is complete", description, true},
		{"the page is there and up to date", page, true},
		{"settings", settings, true},
		{"create, update, repeat", upsert, false},
		{"a batch that is sent again without remote ids makes no twins", noTwins, false},
		{"texts arrive as they are", texts, false},
		{"deactivate and reactivate", deactivate, false},
		{"inactive skills that a setting has refused", refusedBySetting, false},
		{"an inactive skill that the tool does not hold", inactiveFromTheStart, false},
		{"a full batch", fullBatch, false},
		{"calls at once", atOnce, false},
		{"two skills of one name", sameName, false},
		{"a name that a skill made by hand bears", takenName, false},
		{"adopt", adopt, false},
		{"a skill made by hand that is to be managed", takenByID, false},
		{"a refused skill does not sink the others", refusedOne, false},
		{"refused credentials", failingAs(Credentials, connector.Credentials), false},
		{"missing permission", failingAs(Permission, connector.Permission), false},
		{"throttled", failingAs(Throttling, connector.Throttled), false},
		{"throttled without a word", failingAs(ThrottlingMute, connector.Throttled), false},
		{"away", failingAs(Away, connector.Away), false},
		{"a refused batch", failingAs(RefusesBatch, connector.Refused), false},
		{"an unexpected answer", failingAs(UnexpectedReply, connector.Unexpected), false},
		{"a lost answer", lostAnswer, false},
		{"no answer", noAnswer, false},
		{"a context that has ended sends nothing", endedContext, false},
		{"what may not be sent any more is not sent", mayNotSend, false},
		{"check", check, false},
		{"list", list, false},
		{"answers to a list that say nothing", emptyList, false},
		{"a list that stands still", standingList, false},
		{"find", find, false},
		{"10,000 skills", tenThousand, false},
		{"a job", job, false},
		{"a job that fails", badJob(JobFails), false},
		{"a job that loses its results", badJob(JobLosesResults), false},
		{"a job that is forgotten", badJob(JobForgotten), false},
		{"a job that never ends", endlessJob, false},
		{"a job whose receipt is lost", lostReceipt, false},
		{"faults of jobs", jobFaults, true},
		{"faults", faultMatrix, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if h.HTTP && !test.plain {
				synctest.Test(t, func(t *testing.T) { test.run(t, h) })
				return
			}
			test.run(t, h)
		})
	}
}

// subject is an account under test.
type subject struct {
	Account
	h    Harness
	wire *wire // over HTTP
}

func (h Harness) subject(t *testing.T, situation Situation) *subject {
	t.Helper()
	s, ok := h.make(t, situation)
	if !ok {
		h.skip(t, "the tool has no such situation: it %s", situation)
	}
	return s
}

func (h Harness) make(t *testing.T, situation Situation) (*subject, bool) {
	t.Helper()
	account, ok := h.NewAccount(t, situation)
	var faulty func(int, bool) *fault
	if !ok && h.HTTP {
		if faulty = general(situation); faulty != nil {
			account, ok = h.NewAccount(t, Normal)
		}
	}
	s := &subject{Account: account, h: h}
	if !ok || !h.HTTP {
		return s, ok
	}
	if account.Tool == nil {
		t.Fatal("the harness speaks of HTTP, and the account has no Tool")
	}
	s.wire = &wire{t: t, tool: account.Tool, secrets: secretsOf(h.Connector.Describe(), account.Settings)}
	s.wire.set(faulty)
	return s, true
}

// Given is a fresh account in a situation, for tests of more than the connector: its client reaches the tool, and Relax ends
// the situation. False when there is no such situation. Over HTTP it belongs into a bubble of package synctest.
func (h Harness) Given(t *testing.T, situation Situation) (Account, bool) {
	t.Helper()
	s, ok := h.make(t, situation)
	if !ok {
		return Account{}, false
	}
	account := s.Account
	if s.wire != nil {
		account.HTTP = s.wire.client()
	}
	account.Relax = func(t *testing.T) connector.Account {
		s.relax(t)
		relaxed := s.Account.Account
		relaxed.HTTP = account.HTTP
		return relaxed
	}
	return account, true
}

// secretsOf are the values of the secret settings.
func secretsOf(d connector.Description, settings json.RawMessage) []string {
	var given map[string]any
	if json.Unmarshal(settings, &given) != nil {
		return nil
	}
	var secrets []string
	for _, f := range d.Settings {
		if value, ok := given[f.Name].(string); ok && f.Secret && value != "" {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// skip says what of the suite does not apply.
func (h Harness) skip(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Skip(h.Connector.Describe().Slug + ": " + fmt.Sprintf(format, args...))
}

// need skips unless the connector has a capability.
func (h Harness) need(t *testing.T, c connector.Capability) {
	t.Helper()
	if !h.Connector.Describe().Can(c) {
		h.skip(t, "it has not the capability %q", c)
	}
}

// general are the faults that stand for a situation of any tool over HTTP.
func general(s Situation) func(int, bool) *fault {
	all := func(name string) func(int, bool) *fault {
		return func(int, bool) *fault { return named(name) }
	}
	changing := func(name string) func(int, bool) *fault {
		return func(_ int, changes bool) *fault {
			if !changes {
				return nil
			}
			return named(name)
		}
	}
	switch s {
	case Credentials:
		return all("401")
	case Permission:
		return all("403")
	case Throttling:
		return all("429")
	case ThrottlingMute:
		return all("429 without Retry-After")
	case Away:
		return all("503")
	case UnexpectedReply:
		return all("418")
	case LosesAnswer:
		return changing("cut after it was carried out")
	case Hangs:
		return changing("hangs after it was carried out")
	default:
		return nil
	}
}

// open opens a session.
func (s *subject) open(t *testing.T) connector.Session {
	t.Helper()
	account := s.Account.Account
	if s.wire != nil {
		account.HTTP = s.wire.client()
	}
	session, err := s.h.Connector.Open(account)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// relax ends the situation.
func (s *subject) relax(t *testing.T) connector.Session {
	t.Helper()
	if s.Relax != nil {
		s.Account.Account = s.Relax(t)
	}
	if s.wire != nil {
		s.wire.set(nil)
	}
	return s.open(t)
}

func (h Harness) account(t *testing.T, situation Situation) (*subject, connector.Session) {
	t.Helper()
	s := h.subject(t, situation)
	return s, s.open(t)
}

// write sends skills, checks that the results keep the contract, and returns them by origin_id.
func (s *subject) write(ctx context.Context, t *testing.T, session connector.Session, skills []connector.Skill) (map[string]connector.Result, *connector.Error) {
	t.Helper()
	if s.wire != nil {
		ctx = s.wire.watched(ctx)
	}
	results, err := session.Write(ctx, skills)
	sent := map[string]connector.Skill{}
	for _, sk := range skills {
		sent[sk.OriginID] = sk
	}
	by := map[string]connector.Result{}
	for _, r := range results {
		sk, known := sent[r.OriginID]
		if _, twice := by[r.OriginID]; twice || !known {
			t.Errorf("a result that nobody asked for, or a second one: %+v", r)
		}
		if r.Err == nil && r.RemoteID == "" && sk.Active || r.Err != nil && r.RemoteID != "" {
			t.Errorf("a result must have either a remote id or an error: %+v", r)
		}
		by[r.OriginID] = r
	}
	if err == nil && len(by) != len(skills) {
		t.Errorf("%d results for %d skills, and no error", len(by), len(skills))
	}
	return by, connector.AsError(err)
}

// writeAll writes skills that the tool takes, in batches of its size.
func (s *subject) writeAll(t *testing.T, session connector.Session, skills []connector.Skill) map[string]connector.Result {
	t.Helper()
	all := map[string]connector.Result{}
	for batch := range slices.Chunk(skills, session.Limits().Batch) {
		by, err := s.write(t.Context(), t, session, batch)
		if err != nil {
			t.Fatal(err)
		}
		for id, r := range by {
			if r.Err != nil {
				t.Fatalf("%s: %v", id, r.Err)
			}
			all[id] = r
		}
	}
	return all
}

// byOrigin reads what the tool holds, and checks that it holds nothing twice. Skills made by hand are not among it.
func (s *subject) byOrigin(t *testing.T) map[string]connector.Record {
	t.Helper()
	by := map[string]connector.Record{}
	for _, r := range s.Records(t) {
		if r.OriginID == "" {
			continue
		}
		if _, twice := by[r.OriginID]; twice {
			t.Errorf("the tool holds %q twice", r.OriginID)
		}
		r.UpdatedAt = time.Time{}
		by[r.OriginID] = r
	}
	return by
}

// holds checks that the tool holds these skills, one record each, and no others. Of an inactive one it may hold nothing; of
// one that it retired the name may be an earlier one.
func (s *subject) holds(t *testing.T, want []connector.Skill) {
	t.Helper()
	got := s.byOrigin(t)
	wanted := map[string]connector.Record{}
	for _, sk := range want {
		r, held := got[sk.OriginID]
		if !sk.Active && !held {
			continue
		}
		w := connector.Record{RemoteID: r.RemoteID, OriginID: sk.OriginID, Name: sk.Name, Active: sk.Active}
		if !sk.Active {
			w.Name = r.Name
		}
		wanted[sk.OriginID] = w
	}
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("what the tool holds (-want +got):\n%s", diff)
	}
}

// isTrue checks a result without an error against what the tool holds.
func (s *subject) isTrue(t *testing.T, sk connector.Skill, r connector.Result, held map[string]connector.Record) {
	t.Helper()
	record, ok := held[sk.OriginID]
	switch {
	case !sk.Active && !ok:
		return
	case !ok:
		t.Errorf("%s: Write said that the tool holds it (%+v), but it does not", sk.OriginID, r)
	case record.RemoteID != r.RemoteID || record.Active != sk.Active || sk.Active && record.Name != sk.Name:
		t.Errorf("%s: Write said that the tool holds %+v as %s, but it holds %+v", sk.OriginID, sk, r.RemoteID, record)
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
		if f.Secret && f.Default != "" {
			t.Errorf("field %s is secret and has a default", f.Name)
		}
		if f.Secret && f.Shapes {
			t.Errorf("field %s is secret and shapes what is written: what is written cannot be told from it", f.Name)
		}
		if f.RefusesInactive != "" && (!slices.Contains(f.Choices, f.RefusesInactive) || !d.Can(connector.CanDeactivate)) {
			t.Errorf("field %s refuses inactive skills as %q", f.Name, f.RefusesInactive)
		}
		if (f.Type == connector.Choice) != (len(f.Choices) > 0) {
			t.Errorf("field %s is a %s with the choices %q", f.Name, f.Type, f.Choices)
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
	guides := 0
	for _, l := range d.Links {
		if at, err := url.Parse(l.URL); err != nil || at.Scheme != "https" || at.Host == "" || l.Label == "" {
			t.Errorf("link %+v", l)
		}
		if l.Guide {
			guides++
		}
	}
	if guides > 1 {
		t.Errorf("%d pages say how credentials are made", guides)
	}
	if diff := cmp.Diff(d, h.Connector.Describe()); diff != "" {
		t.Errorf("a second description differs:\n%s", diff)
	}
	capabilities(t, h, d)
}

// capabilities holds what the description says against what a session is. What it does is held by the tests of each.
func capabilities(t *testing.T, h Harness, d connector.Description) {
	for i, c := range d.Capabilities {
		if !slices.Contains(connector.Capabilities(), c) || slices.Contains(d.Capabilities[:i], c) {
			t.Errorf("capability %q", c)
		}
	}
	if d.Can(connector.CanReactivate) && !d.Can(connector.CanDeactivate) {
		t.Error("it reactivates, but does not deactivate")
	}
	session := h.subject(t, Normal).open(t)
	_, checks := session.(connector.Checker)
	_, lists := session.(connector.Lister)
	_, finds := session.(connector.Finder)
	for c, is := range map[connector.Capability]bool{connector.CanCheck: checks, connector.CanList: lists, connector.CanFind: finds} {
		if d.Can(c) != is {
			t.Errorf("capability %q: the description says %v, the session %v", c, d.Can(c), is)
		}
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
