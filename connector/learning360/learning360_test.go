package learning360_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/learning360"
	"github.com/crosswalk-hr/crosswalk/connector/learning360/learning360test"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := learning360test.Harness(func(*learning360test.Company) {})
	h.Page = "../../docs/connectors/360learning.md"
	connectortest.Run(t, h)
}

// What the documentation leaves open may be otherwise; and tokens end in the middle of everything.
func TestConformanceOfAnotherCompany(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, learning360test.Harness(func(c *learning360test.Company) {
		c.Archives, c.PlainErrors, c.TokenUses = true, true, 5
	}))
}

func TestLive(t *testing.T) { connectortest.Live(t, learning360.New(), "360LEARNING") }

// direct is a client that hands requests to a handler, without a network.
type direct struct {
	handler  http.Handler
	requests []string
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	d.requests = append(d.requests, r.Method+" "+r.URL.Path)
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r.Clone(context.WithoutCancel(r.Context())))
	return w.Result(), nil
}

func open(t *testing.T, c *learning360test.Company, handler http.Handler, inactive string) (connector.Jobs, *direct) {
	t.Helper()
	d := &direct{handler: handler}
	s, err := learning360.New().Open(connector.Account{
		ID: "360learning:1", Settings: c.Settings("https://tool.test", inactive), HTTP: &http.Client{Transport: d},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.(connector.Jobs), d
}

func skills(names ...string) []connector.Skill {
	list := make([]connector.Skill, len(names))
	for i, name := range names {
		list[i] = connector.Skill{OriginID: "id/" + name, Name: name, Active: true}
	}
	return list
}

func write(t *testing.T, s connector.Session, list []connector.Skill) map[string]connector.Result {
	t.Helper()
	results, err := s.Write(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]connector.Result{}
	for _, r := range results {
		by[r.OriginID] = r
	}
	return by
}

// in runs a test in simulated time.
func in(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, test)
}

// A task of both kinds takes two operations, and one token.
func TestRequests(t *testing.T) {
	in(t, func(t *testing.T) {
		c := learning360test.New(t)
		s, d := open(t, c, c, "delete")
		list := skills("a", "b", "c")
		write(t, s, list)
		d.requests = nil
		list[1].Active = false
		write(t, s, list)
		for i := range d.requests {
			d.requests[i] = strings.Join(strings.Fields(strings.NewReplacer("/api/v2/bulk/", "", "operations/65a", "operations ").Replace(d.requests[i]))[:2], " ")
		}
		want := []string{"PUT skills", "GET operations", "GET operations", "DELETE skills", "GET operations", "GET operations"}
		if diff := cmp.Diff(want, d.requests); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// By default inactive skills are refused, and the others written.
func TestInactiveSkillsAreRefused(t *testing.T) {
	in(t, func(t *testing.T) {
		c := learning360test.New(t)
		s, d := open(t, c, c, "refuse")
		list := skills("a", "b")
		write(t, s, list)
		list[0].Active = false
		results := write(t, s, list)
		if r := results["id/a"]; r.Err == nil || r.Err.Kind != connector.Unsupported || results["id/b"].Err != nil {
			t.Errorf("%+v", results)
		}
		d.requests = nil
		write(t, s, list[:1])
		if len(d.requests) > 0 || len(c.Records()) != 2 {
			t.Errorf("%v; the company has %+v", d.requests, c.Records())
		}
	})
}

// An upsert replaces the whole skill, as the connector's page says.
func TestUpsertReplaces(t *testing.T) {
	in(t, func(t *testing.T) {
		c := learning360test.New(t)
		s, _ := open(t, c, c, "refuse")
		write(t, s, skills("a"))
		c.Describe("id/a", "made by hand")
		write(t, s, skills("a"))
		if got := c.Skills()[0]; got.Description != "" || !slices.Equal(got.Parents, []string{c.Library}) {
			t.Errorf("%+v", got)
		}
	})
}

// A token that is refused is replaced, once a request.
func TestTokens(t *testing.T) {
	in(t, func(t *testing.T) {
		c := learning360test.New(t)
		s, _ := open(t, c, c, "refuse")
		receipt := start(t, s, skills("a"))
		c.Expire()
		time.Sleep(time.Second)
		if state, err := s.Poll(t.Context(), receipt, skills("a")); err != nil || !state.Ended || len(state.Results) != 1 {
			t.Errorf("Poll = %+v, %v", state, err)
		}
		if n := c.Asked("POST /api/v2/oauth2/token"); n != 2 {
			t.Errorf("%d tokens, want 2", n)
		}
		// They are not used to their very end.
		time.Sleep(time.Hour)
		start(t, s, skills("b"))
		if n := c.Asked("POST /api/v2/oauth2/token"); n != 3 {
			t.Errorf("%d tokens, want 3", n)
		}
		// New ones are refused as well.
		c.TokenLife = -time.Second
		c.Expire()
		_, err := s.Start(t.Context(), skills("c"))
		if e := connector.AsError(err); e == nil || e.Kind != connector.Credentials || c.Asked("POST /api/v2/oauth2/token") != 4 {
			t.Errorf("Start = %v, with %d tokens", err, c.Asked("POST /api/v2/oauth2/token"))
		}
	})
}

func start(t *testing.T, s connector.Jobs, list []connector.Skill) string {
	t.Helper()
	started, err := s.Start(t.Context(), list)
	if err != nil || started.Receipt == "" {
		t.Fatalf("Start = %+v, %v", started, err)
	}
	return started.Receipt
}

// Each error of the description, in both forms that it may have.
func TestErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status int
		body   string
		want   connector.Kind
		words  string
	}{
		{400, `{"error":{"code":"invalidInput","message":"input[3].name must be longer"}}`, connector.Refused, "invalidInput: input[3].name must be longer"},
		{400, `{"error":"inputTooLong"}`, connector.Refused, "inputTooLong"},
		{400, `{"error":{"code":"skillsGraphHasCycles","message":"a → b → a"}}`, connector.Refused, "skillsGraphHasCycles"},
		{400, `{"error":{"code":"skillSolutionNotEnabled","message":"no"}}`, connector.Permission, "skillSolutionNotEnabled"},
		{401, `{"error":"invalid_token"}`, connector.Credentials, "invalid_token"},
		{403, `{"error":{"code":"invalid_scope","message":"skills:bulk"}}`, connector.Permission, "invalid_scope: skills:bulk"},
		{429, `{"error":"tooManyRequests"}`, connector.Throttled, "tooManyRequests"},
		{429, `{"error":{"code":"bulkOperationsConcurrencyLimitReached","message":"3"}}`, connector.Throttled, "bulkOperationsConcurrencyLimitReached: 3"},
		{503, `{"error":{"code":"bulkAPIDisabled","message":"later"}}`, connector.Away, "bulkAPIDisabled: later"},
		{500, `{}`, connector.Ambiguous, ""},
		{418, `{"error":{"other":1}}`, connector.Unexpected, ""},
		{302, `{"error":"elsewhere"}`, connector.Unexpected, "elsewhere"},
		// Of what may have been taken nobody says that it was not.
		{200, `[]`, connector.Ambiguous, "did not say where to ask"},
		{204, ``, connector.Ambiguous, "did not say where to ask"},
	} {
		t.Run(fmt.Sprint(test.status, test.body), func(t *testing.T) {
			t.Parallel()
			c := learning360test.New(t)
			s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/token") {
					c.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}), "refuse")
			_, err := s.Start(t.Context(), skills("a"))
			e := connector.AsError(err)
			if e == nil || e.Kind != test.want || !strings.Contains(e.Message, test.words) || e.RetryAfter != 0 {
				t.Errorf("Start = %v, want the kind %s and %q", e, test.want, test.words)
			}
		})
	}
	for body, want := range map[string]connector.Kind{
		`{"error":"invalid_request"}`:   connector.Credentials,
		`{"error":"non_existing_user"}`: connector.Credentials,
	} {
		c := learning360test.New(t)
		s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, body)
		}), "refuse")
		_, err := s.Start(t.Context(), skills("a"))
		if e := connector.AsError(err); e == nil || e.Kind != want {
			t.Errorf("a token is refused with %s: %v", body, err)
		}
	}
}

// An operation or a page that is said to be on another host is not asked for there.
func TestAddressesElsewhere(t *testing.T) {
	in(t, func(t *testing.T) {
		for _, elsewhere := range []string{"https://evil.test", "http://tool.test", "https://tool.test:444", "https://tool.test@evil.test"} {
			c := learning360test.New(t)
			c.Elsewhere = elsewhere
			s, d := open(t, c, c, "refuse")
			_, err := s.Start(t.Context(), skills("a"))
			if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous {
				t.Errorf("%s: Start = %v", elsewhere, err)
			}
			time.Sleep(time.Second)
			// It was taken all the same, and is found.
			receipt, err := s.Recover(t.Context(), skills("a"), 2*time.Second)
			if err != nil || receipt == "" {
				t.Fatalf("%s: Recover = %q, %v", elsewhere, receipt, err)
			}
			if state, err := s.Poll(t.Context(), receipt, skills("a")); err != nil || len(state.Results) != 1 {
				t.Errorf("%s: Poll = %+v, %v", elsewhere, state, err)
			}
			for i := range 600 {
				c.MakeByHand(fmt.Sprint("skill ", i))
			}
			_, err = s.(connector.Lister).List(t.Context(), "")
			if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected {
				t.Errorf("%s: List = %v", elsewhere, err)
			}
			for _, r := range d.requests {
				if !strings.Contains(r, " /api/v2/") {
					t.Errorf("%s: %s", elsewhere, r)
				}
			}
		}
	})
}

// Answers of 202 without a good address: the operation exists, and nobody knows its name.
func TestNoAddress(t *testing.T) {
	t.Parallel()
	for _, location := range []string{"", "https://tool.test/", "https://tool.test/api/v2/bulk/operations/1", "/api/v2/bulk/operations/65f1c0ffee65f1c0ffee65f1/../x", "://"} {
		c := learning360test.New(t)
		s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/token") {
				c.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusAccepted)
		}), "refuse")
		if _, err := s.Start(t.Context(), skills("a")); connector.AsError(err) == nil || connector.AsError(err).Kind != connector.Ambiguous {
			t.Errorf("%q: Start = %v", location, err)
		}
	}
}

// A success of another status than the documented one is a job all the same, if it says which.
func TestStartedWithAnotherStatus(t *testing.T) {
	in(t, func(t *testing.T) {
		c := learning360test.New(t)
		s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPut {
				c.ServeHTTP(w, r)
				return
			}
			recorded := httptest.NewRecorder()
			c.ServeHTTP(recorded, r)
			w.Header().Set("Location", recorded.Header().Get("Location"))
			w.WriteHeader(http.StatusCreated)
		}), "refuse")
		if r := write(t, s, skills("a"))["id/a"]; r.Err != nil || len(c.Records()) != 1 {
			t.Errorf("%+v; the company has %+v", r, c.Records())
		}
	})
}

// What becomes of skills whose operation does not end well.
func TestFates(t *testing.T) {
	for name, test := range map[string]struct {
		fate    learning360test.Fate
		results int
		words   string
		running bool
	}{
		"all is well":             {fate: learning360test.Completes, results: 4},
		"it fails":                {fate: learning360test.Fails, words: "ended with an error: Something went wrong"},
		"it fails halfway":        {fate: learning360test.FailsHalfway, results: 2, words: "Something went wrong"},
		"it never runs":           {fate: learning360test.NeverRuns, words: "Something went wrong"},
		"it loses all results":    {fate: learning360test.LosesResults, words: "say nothing of 4 skills"},
		"it loses a result":       {fate: learning360test.LosesSome, results: 3, words: "say nothing of 1 skills"},
		"it is not known anymore": {fate: learning360test.IsForgotten, words: "bulkOperationNotFound"},
		"it never ends":           {fate: learning360test.NeverEnds, running: true},
	} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				c := learning360test.New(t)
				c.Fate = func(int) learning360test.Fate { return test.fate }
				s, _ := open(t, c, c, "refuse")
				list := skills("a", "b", "c", "d")
				receipt := start(t, s, list)
				for range 2 {
					time.Sleep(time.Minute)
					state, err := s.Poll(t.Context(), receipt, list)
					if err != nil || state.Ended == test.running || len(state.Results) != test.results {
						t.Fatalf("Poll = %+v, %v", state, err)
					}
					if test.words != "" && (state.Err == nil || state.Err.Kind != connector.Ambiguous || !strings.Contains(state.Err.Message, test.words)) {
						t.Errorf("Poll = %v, want %q", state.Err, test.words)
					}
				}
			})
		})
	}
}

// Hundreds of operations of the company's other programs do not hide ours, and none of them is taken for it.
func TestRecoverAmongMany(t *testing.T) {
	in(t, func(t *testing.T) {
		c := learning360test.New(t)
		s, _ := open(t, c, c, "delete")
		began := time.Now()
		for i := range 50 {
			start(t, s, skills(fmt.Sprint("other ", i)))
			time.Sleep(time.Second)
		}
		start(t, s, skills("a", "b"))
		time.Sleep(time.Second)
		find := func(list []connector.Skill, ago time.Duration) connector.JobState {
			t.Helper()
			receipt, err := s.Recover(t.Context(), list, ago)
			if err != nil || len(receipt) > connector.MostReceipt {
				t.Fatalf("Recover = %d bytes, %v", len(receipt), err)
			}
			if receipt == "" {
				return connector.JobState{}
			}
			state, err := s.Poll(t.Context(), receipt, list)
			if err != nil {
				t.Fatal(err)
			}
			return state
		}
		if state := find(skills("a", "b"), time.Since(began)+time.Second); len(state.Results) != 2 {
			t.Errorf("%+v", state)
		}
		if state := find(skills("b", "a"), time.Since(began)+time.Second); len(state.Results) != 2 {
			t.Errorf("in another order: %+v", state)
		}
		if state := find(skills("a", "b", "c"), time.Since(began)+time.Second); len(state.Results) != 0 {
			t.Errorf("one more: %+v", state)
		}
		if state := find(skills("a", "b"), 500*time.Millisecond); len(state.Results) != 0 {
			t.Errorf("too late: %+v", state)
		}
	})
}

// The tool's clock is an hour and a half off; its Date says so.
func TestRecoverByTheToolsClock(t *testing.T) {
	for name, off := range map[string]time.Duration{"fast": 30 * time.Minute, "slow": -30 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				c := learning360test.New(t)
				created := time.Now()
				s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path != "/api/v2/bulk/operations" {
						c.ServeHTTP(w, r)
						return
					}
					since, err := time.Parse(time.RFC3339, r.URL.Query().Get("createdAt[gte]"))
					w.Header().Set("Content-Type", "application/json")
					w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
					var ops []map[string]any
					for i, age := range []time.Duration{0, time.Minute} {
						at := created.Add(off - age)
						if err == nil && !at.Before(since) {
							ops = append(ops, map[string]any{"_id": fmt.Sprintf("%024d", i), "type": "upsertSkills", "createdAt": at.UTC(), "status": "pending"})
						}
					}
					_ = json.NewEncoder(w).Encode(ops)
				}), "refuse")
				time.Sleep(10 * time.Second)
				receipt, err := s.Recover(t.Context(), skills("a"), 11*time.Second)
				if want := fmt.Sprintf("upsertSkills:?%024d", 0); err != nil || receipt != want {
					t.Errorf("Recover = %q, %v, want %q", receipt, err, want)
				}
			})
		})
	}
}

// A request that is too large is refused before it is sent, so that the engine halves it.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	c := learning360test.New(t)
	s, d := open(t, c, c, "refuse")
	list := make([]connector.Skill, 10_000)
	for i := range list {
		list[i] = connector.Skill{OriginID: fmt.Sprint(i, strings.Repeat("x", 500)), Name: strings.Repeat("n", 900), Active: true}
	}
	_, err := s.Start(t.Context(), list)
	if e := connector.AsError(err); e == nil || e.Kind != connector.Refused || len(d.requests) > 0 {
		t.Errorf("Start = %v, requests %v", err, d.requests)
	}
}

// Scopes are told apart by a check.
func TestCheck(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*learning360test.Company){
		"may not write":    func(c *learning360test.Company) { c.MayWrite = false },
		"may not read":     func(c *learning360test.Company) { c.MayRead = false },
		"may not ask":      func(c *learning360test.Company) { c.MayAsk = false },
		"has no skills":    func(c *learning360test.Company) { c.NoSkills = true },
		"has too many":     func(c *learning360test.Company) { c.AtOnce = 0 },
		"may do all":       func(*learning360test.Company) {},
		"asks for nothing": func(c *learning360test.Company) { c.TakesNothing = true },
		"says it in one":   func(c *learning360test.Company) { c.PlainErrors, c.MayWrite = true, false },
	} {
		c := learning360test.New(t)
		change(c)
		s, _ := open(t, c, c, "refuse")
		err := s.(connector.Checker).Check(t.Context())
		good := name == "may do all" || name == "has too many" || name == "asks for nothing"
		e, _ := errors.AsType[*connector.Error](err)
		if good != (err == nil) || err != nil && e.Kind != connector.Permission {
			t.Errorf("who %s: %v", name, err)
		}
		if c.Operations() > 0 && !c.TakesNothing {
			t.Errorf("who %s: %d operations", name, c.Operations())
		}
	}
}

// answering is a company that answers a request for skills in one way.
func answering(c *learning360test.Company, link, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
		if strings.HasSuffix(r.URL.Path, "/token") {
			c.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Link", link)
		fmt.Fprint(w, body)
	})
}

func isUnexpected(err error) bool {
	e := connector.AsError(err)
	return e != nil && e.Kind == connector.Unexpected
}

// An answer that does not say which skills there are is none that says that there are none.
func TestAnswersWithoutSkills(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`null`, `[{}]`, `[null]`, `[{"externalId":"id/a","name":"a"}]`} {
		c := learning360test.New(t)
		s, _ := open(t, c, answering(c, "", body), "refuse")
		if page, err := s.(connector.Lister).List(t.Context(), ""); !isUnexpected(err) {
			t.Errorf("%s: List = %+v, %v", body, page, err)
		}
	}
	c := learning360test.New(t)
	s, _ := open(t, c, answering(c, "", `null`), "refuse")
	if receipt, err := s.Recover(t.Context(), skills("a"), time.Minute); !isUnexpected(err) {
		t.Errorf("null: Recover = %q, %v", receipt, err)
	}
}

// A cursor of something else, or a list without an end.
func TestListOddities(t *testing.T) {
	t.Parallel()
	c := learning360test.New(t)
	s, d := open(t, c, answering(c, `</api/v2/skills?next=1>; rel="next"`, `[]`), "refuse")
	lister := s.(connector.Lister)
	if page, err := lister.List(t.Context(), ""); err != nil || page.Next != "/api/v2/skills?next=1" {
		t.Errorf("a page and the next: %+v, %v", page, err)
	}
	if page, err := lister.List(t.Context(), "/api/v2/skills?next=1"); !isUnexpected(err) {
		t.Errorf("a page that names itself as the next: %+v, %v", page, err)
	}
	d.requests = nil
	for _, cursor := range []string{"/api/v2/users", "https://evil.test/api/v2/skills?next=1", "/api/v2/skills", "x"} {
		if _, err := lister.List(t.Context(), cursor); err == nil || len(d.requests) > 0 {
			t.Errorf("%s: %v, %v", cursor, err, d.requests)
		}
	}
}
