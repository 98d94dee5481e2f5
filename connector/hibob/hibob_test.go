package hibob_test

import (
	"context"
	"encoding/json"
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
	"github.com/crosswalk-hr/crosswalk/connector/hibob"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := hibobtest.Harness(func(c *hibobtest.Company) { c.PerMinute = 50 })
	h.Page = "../../docs/connectors/hibob.md"
	connectortest.Run(t, h)
}

// What the documentation leaves open may be otherwise.
func TestConformanceOfAnotherCompany(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, hibobtest.Harness(func(c *hibobtest.Company) {
		c.HidesArchived, c.Archived, c.PlainErrors, c.NumericIDs = true, hibobtest.Ignored, true, true
		c.Conflicts, c.NotModified, c.Denies401 = true, true, true
	}))
}

func TestLive(t *testing.T) { connectortest.Live(t, hibob.New(), "HIBOB") }

// direct is a client that hands requests to a handler, without a network.
type direct struct {
	handler  http.Handler
	requests []string
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	d.requests = append(d.requests, r.Method+" "+strings.TrimPrefix(r.URL.Path, "/v1"))
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r.Clone(context.WithoutCancel(r.Context())))
	return w.Result(), nil
}

func open(t *testing.T, c *hibobtest.Company, handler http.Handler) (connector.Session, *direct) {
	t.Helper()
	d := &direct{handler: handler}
	s, err := hibob.New().Open(connector.Account{ID: "hibob:1", Settings: c.Settings(connectortest.Base + "/v1"), HTTP: &http.Client{Transport: d}})
	if err != nil {
		t.Fatal(err)
	}
	return s, d
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

// Each change takes one request, and what is unchanged takes none.
func TestRequests(t *testing.T) {
	t.Parallel()
	c := hibobtest.New(t)
	s, d := open(t, c, c)
	list := skills("kept", "changed", "retired")
	write(t, s, list)
	d.requests = nil
	list[1].Name, list[2].Active = "changed, indeed", false
	write(t, s, append(list, skills("new")...))
	if diff := cmp.Diff([]string{"POST /skills/search", "PATCH /skills/archive", "PATCH /skills", "POST /skills"}, d.requests); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	d.requests = nil
	write(t, s, append(list, skills("new")...))
	if diff := cmp.Diff([]string{"POST /skills/search"}, d.requests); diff != "" {
		t.Errorf("nothing has changed (-want +got):\n%s", diff)
	}
}

// A name that another skill bears is told apart from an external id that Bob knows, whatever the words and however the
// search lags.
func TestNamesAndExternalIDs(t *testing.T) {
	t.Parallel()
	for name, plain := range map[string]bool{"objects": false, "texts": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := hibobtest.New(t)
			c.PlainErrors, c.Lag = plain, 1
			c.MakeByHand("Welding")
			c.Import("another system", "id/Go", "Go")
			s, _ := open(t, c, c)
			list := skills("Welding", "Go", "Rust")
			first := write(t, s, list)
			for _, taken := range []string{"id/Welding", "id/Go"} {
				if r := first[taken]; r.Err == nil || r.Err.Kind != connector.Refused || r.Err.Message != "A skill with this name already exists" {
					t.Errorf("%s: %+v", taken, r)
				}
			}
			if first["id/Rust"].Err != nil {
				t.Fatal(first["id/Rust"].Err)
			}
			// The search does not show Rust yet.
			list = skills("Rust", "Zig")
			list[0].Name, list[0].Unsure = "Rust 2024", true
			again := write(t, s, list)
			if r := again["id/Rust"]; r.Err != nil || r.RemoteID != first["id/Rust"].RemoteID {
				t.Errorf("Rust again: %+v, was %+v", r, first["id/Rust"])
			}
			if again["id/Zig"].Err != nil {
				t.Error(again["id/Zig"].Err)
			}
		})
	}
}

// What becomes of a skill that was archived and shall be active again, in every company there may be.
func TestReactivate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		archived hibobtest.ArchivedPatch
		hides    bool
		want     string // in the message; empty: it is active again
	}{
		"refused":            {hibobtest.Fails, false, "An archived skill cannot be changed"},
		"ignored":            {hibobtest.Ignored, false, "cannot bring it back"},
		"revived":            {hibobtest.Revives, false, ""},
		"hidden and refused": {hibobtest.Fails, true, "An archived skill cannot be changed"},
		"hidden and ignored": {hibobtest.Ignored, true, "cannot bring it back"},
		"hidden and revived": {hibobtest.Revives, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := hibobtest.New(t)
			c.Archived, c.HidesArchived = test.archived, test.hides
			s, _ := open(t, c, c)
			list := skills("COBOL")
			list[0].RemoteID = write(t, s, list)["id/COBOL"].RemoteID
			list[0].Active = false
			write(t, s, list)
			list[0].Active = true
			r := write(t, s, list)["id/COBOL"]
			if test.want == "" {
				if r.Err != nil || !c.Records()[0].Active || r.RemoteID != list[0].RemoteID {
					t.Errorf("%+v, the company has %+v", r, c.Records())
				}
				return
			}
			if r.Err == nil || !strings.Contains(r.Err.Message, test.want) || c.Records()[0].Active {
				t.Errorf("%+v, the company has %+v", r, c.Records())
			}
		})
	}
}

// fourthSearch answers the fourth search otherwise: the second one of the third call.
func fourthSearch(c http.Handler, answer func(http.ResponseWriter)) http.Handler {
	searches := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/search") {
			if searches++; searches == 4 {
				answer(w)
				return
			}
		}
		c.ServeHTTP(w, r)
	})
}

// The search that should tell whether a skill is back has no answer: nobody knows what has become of it.
func TestReactivateWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	c := hibobtest.New(t)
	c.Archived = hibobtest.Revives
	s, _ := open(t, c, fourthSearch(c, func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }))
	list := skills("COBOL", "Go")
	write(t, s, list)
	list[0].Active = false
	write(t, s, list)
	list[0].Active = true
	results, err := s.Write(t.Context(), list) // the fourth search is the one after
	if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous || len(results) != 1 || results[0].OriginID != "id/Go" {
		t.Fatalf("Write = %+v, %v", results, err)
	}
	list[0].Unsure = true
	if r := write(t, s, list)["id/COBOL"]; r.Err != nil {
		t.Errorf("again: %+v", r)
	}
}

// When an answer says that no request is left in this minute, none is made.
func TestNoRequestsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := hibobtest.New(t)
		c.PerMinute = 2
		s, d := open(t, c, c)
		write(t, s, skills("a"))
		write(t, s, skills("b"))
		d.requests = nil
		_, err := s.Write(t.Context(), skills("c"))
		e := connector.AsError(err)
		if e == nil || e.Kind != connector.Throttled || e.RetryAfter <= 0 || e.RetryAfter > time.Minute || len(d.requests) != 0 {
			t.Fatalf("Write = %v, retry after %v, requests %v", e, e.RetryAfter, d.requests)
		}
		time.Sleep(e.RetryAfter)
		write(t, s, skills("c"))
	})
}

// A skill that was archived is not touched while there is no search left to see what becomes of it.
func TestNoSearchLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := hibobtest.New(t)
		c.PerMinute, c.Archived = 3, hibobtest.Revives
		s, d := open(t, c, c)
		list := skills("COBOL")
		write(t, s, list)
		list[0].Active = false
		write(t, s, list)
		list[0].Active = true
		d.requests = nil
		results, err := s.Write(t.Context(), list) // the third search, and there are no more
		e := connector.AsError(err)
		if e == nil || e.Kind != connector.Throttled || e.RetryAfter <= 0 || e.RetryAfter > time.Minute || len(results) != 0 || len(d.requests) != 1 || c.Records()[0].Active {
			t.Fatalf("Write = %+v, %v, after %v", results, err, d.requests)
		}
		time.Sleep(e.RetryAfter)
		if r := write(t, s, list)["id/COBOL"]; r.Err != nil || !c.Records()[0].Active {
			t.Errorf("after %v: %+v", e.RetryAfter, r)
		}
	})
}

// The search that should tell whether a skill is back is one too many, which nobody could know: it is told how long to wait.
func TestSecondSearchIsThrottled(t *testing.T) {
	t.Parallel()
	c := hibobtest.New(t)
	c.Archived = hibobtest.Revives
	s, _ := open(t, c, fourthSearch(c, func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", "17")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	list := skills("COBOL")
	write(t, s, list)
	list[0].Active = false
	write(t, s, list)
	list[0].Active = true
	results, err := s.Write(t.Context(), list)
	if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous || e.RetryAfter != 17*time.Second || len(results) != 0 {
		t.Errorf("Write = %+v, %v", results, err)
	}
}

// What items say by their status, and answers that leave something open.
func TestAnswersOfItems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		results string
		want    connector.Kind
		done    []string
	}{
		"all is well":             {`[{"index":0,"status":"succeeded","resource":{"/skill/id":"1"}},{"index":1,"status":"succeeded","resource":{"/skill/id":2}}]`, 0, []string{"id/a=1", "id/b=2"}},
		"no permission":           {`[{"index":0,"status":"succeeded","resource":{"/skill/id":"1"}},{"index":1,"status":"failed","httpStatus":403}]`, connector.Permission, []string{"id/a=1"}},
		"no credentials":          {`[{"index":0,"status":"failed","httpStatus":401},{"index":1,"status":"failed","httpStatus":401}]`, connector.Credentials, nil},
		"too fast":                {`[{"index":0,"status":"succeeded","resource":{"/skill/id":"1"}},{"index":1,"status":"failed","httpStatus":429}]`, connector.Throttled, []string{"id/a=1"}},
		"a fault":                 {`[{"index":0,"status":"failed","httpStatus":429},{"index":1,"status":"failed","httpStatus":500}]`, connector.Ambiguous, nil},
		"one is missing":          {`[{"index":1,"status":"succeeded","resource":{"/skill/id":"2"}}]`, connector.Ambiguous, []string{"id/b=2"}},
		"one comes twice":         {`[{"index":1,"status":"succeeded","resource":{"/skill/id":"2"}},{"index":1,"status":"failed","httpStatus":400}]`, connector.Ambiguous, []string{"id/b=2"}},
		"of a place there is not": {`[{"index":-1,"status":"succeeded"},{"index":2,"status":"succeeded"}]`, connector.Ambiguous, nil},
		"nothing changes":         {`[{"index":0,"status":"failed","httpStatus":304,"resource":{"/skill/id":"1"}},{"index":1,"status":"succeeded","resource":{"/skill/id":2}}]`, 0, []string{"id/a=1", "id/b=2"}},
		"no permission, in words": {`[{"index":0,"status":"failed","httpStatus":401,"errors":["No permissions to skills"]},{"index":1,"status":"failed","httpStatus":401,"errors":["No permissions to skills"]}]`, connector.Permission, nil},
		"without a place":         {`[{"status":"succeeded"},{"status":"succeeded"}]`, connector.Ambiguous, nil},
		"without an id":           {`[{"index":0,"status":"succeeded"},{"index":1,"status":"succeeded","resource":{"/skill/id":"2"}}]`, connector.Ambiguous, []string{"id/b=2"}},
		"null":                    {`null`, connector.Ambiguous, nil},
		"of another form":         {`{"0":"ok"}`, connector.Ambiguous, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := hibobtest.New(t)
			s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if strings.HasSuffix(r.URL.Path, "/search") {
					fmt.Fprint(w, `{"items":[]}`)
					return
				}
				fmt.Fprintf(w, `{"results":%s}`, test.results)
			}))
			results, err := s.Write(t.Context(), skills("a", "b"))
			e := connector.AsError(err)
			if (e == nil) != (len(test.done) == 2) || e != nil && e.Kind != test.want {
				t.Errorf("Write = %v, want the kind %s", e, test.want)
			}
			var done []string
			for _, r := range results {
				if r.Err != nil {
					t.Errorf("%+v", r)
				}
				done = append(done, r.OriginID+"="+r.RemoteID)
			}
			slices.Sort(done)
			if diff := cmp.Diff(test.done, done); diff != "" {
				t.Errorf("done (-want +got):\n%s", diff)
			}
		})
	}
}

// answering is a Bob that gives one answer to everything.
func answering(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

// A search that knows no filter shows all skills, page after page; a list that names a page as the one behind itself has no end.
func TestSearchWithoutAnEnd(t *testing.T) {
	t.Parallel()
	c := hibobtest.New(t)
	s, d := open(t, c, answering(http.StatusOK, `{"items":[{"/skill/id":"1","/skill/name":"a","/skill/source":"another","/skill/externalId":"id/a"}],"response_metadata":{"next_cursor":"x"}}`))
	if _, err := s.Write(t.Context(), skills("a")); connector.AsError(err).Kind != connector.Unexpected || len(d.requests) > 3 {
		t.Errorf("Write = %v after %v", err, d.requests)
	}
	lister := s.(connector.Lister)
	want := connector.Page{Records: []connector.Record{{RemoteID: "1", Name: "a", Active: true}}, Next: "x"}
	page, err := lister.List(t.Context(), "")
	if diff := cmp.Diff(want, page); err != nil || diff != "" {
		t.Errorf("List: %v (-want +got):\n%s", err, diff)
	}
	if page, err = lister.List(t.Context(), "x"); connector.AsError(err) == nil || connector.AsError(err).Kind != connector.Unexpected {
		t.Errorf("the page that names itself as the next: %+v, %v", page, err)
	}
}

// An answer that does not say which skills there are is none that says that there are none.
func TestAnswersWithoutSkills(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{}`, `null`, `{"items":null}`, `{"results":[]}`, `{"items":[{}]}`, `{"items":[null]}`, `{"items":[{"/skill/id":null,"/skill/name":"a"}]}`} {
		c := hibobtest.New(t)
		s, d := open(t, c, answering(http.StatusOK, body))
		_, listed := s.(connector.Lister).List(t.Context(), "")
		_, found := s.(connector.Finder).Find(t.Context(), skills("a"))
		results, written := s.Write(t.Context(), skills("a"))
		for call, err := range map[string]error{"List": listed, "Find": found, "Write": written} {
			if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected {
				t.Errorf("%s: %s = %v", body, call, err)
			}
		}
		if len(results) != 0 || len(d.requests) != 3 {
			t.Errorf("%s: %+v after %v", body, results, d.requests)
		}
	}
}

// That Bob refuses a search is the fault of none of the skills: only a search that is too large may be tried with fewer.
func TestRefusedSearch(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]connector.Kind{
		http.StatusBadRequest: connector.Unexpected, http.StatusConflict: connector.Unexpected, http.StatusUnprocessableEntity: connector.Unexpected,
		http.StatusRequestEntityTooLarge: connector.Refused,
	} {
		c := hibobtest.New(t)
		s, d := open(t, c, answering(status, `{"error":"no such operator"}`))
		results, err := s.Write(t.Context(), skills("a", "b"))
		if e := connector.AsError(err); e == nil || e.Kind != want || e.Message != "no such operator" || len(results) != 0 || len(d.requests) != 1 {
			t.Errorf("%d: Write = %+v, %v, want the kind %s", status, results, err, want)
		}
	}
}

// Names that skills of one call give up are free for others of it, in whatever order they come.
func TestNamesThatAreGivenUp(t *testing.T) {
	t.Parallel()
	const taken = "A skill with this name already exists"
	for name, test := range map[string]struct {
		was, becomes []string // the names of skills 0, 1, 2 …; empty: it is retired, or not there yet
		keeps        bool     // Bob keeps the names of archived skills
		refused      []int
		requests     int
	}{
		"to a new skill":                 {was: []string{"Go"}, becomes: []string{"Golang", "Go"}, requests: 3},
		"to a new skill, which is first": {was: []string{"", "Go"}, becomes: []string{"Go", "Golang"}, requests: 3},
		"to another":                     {was: []string{"Go", "Rust"}, becomes: []string{"Rust", "Zig"}, requests: 2},
		"one after another":              {was: []string{"a", "b", "c", "d"}, becomes: []string{"b", "c", "d", "e", "a"}, requests: 3},
		"by a retired skill":             {was: []string{"Go"}, becomes: []string{"", "Go"}, requests: 3},
		"but not by an archived one":     {was: []string{"Go"}, becomes: []string{"", "Go"}, keeps: true, refused: []int{1}, requests: 4},
		"two are exchanged":              {was: []string{"Go", "Rust", "c"}, becomes: []string{"Rust", "Go", "d"}, refused: []int{0, 1}, requests: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := hibobtest.New(t)
			c.FreesNames = !test.keeps
			s, d := open(t, c, c)
			var first, second []connector.Skill
			for i, name := range test.was {
				if name != "" {
					first = append(first, connector.Skill{OriginID: fmt.Sprint(i), Name: name, Active: true})
				}
			}
			for i, name := range test.becomes {
				second = append(second, connector.Skill{OriginID: fmt.Sprint(i), Name: name, Active: name != ""})
			}
			write(t, s, first)
			for range 2 { // and what was refused is refused again, with nothing half done
				d.requests = nil
				results := write(t, s, second)
				for i, sk := range second {
					r := results[sk.OriginID]
					if slices.Contains(test.refused, i) {
						if r.Err == nil || r.Err.Kind != connector.Refused || r.Err.Message != taken {
							t.Errorf("%d: %+v", i, r)
						}
					} else if r.Err != nil {
						t.Errorf("%d: %v", i, r.Err)
					}
				}
				if test.requests > 0 && len(d.requests) != test.requests {
					t.Errorf("requests %v, want %d", d.requests, test.requests)
				}
				test.requests = 0
				for _, r := range c.Records() {
					i := int(r.OriginID[0] - '0')
					want := test.becomes[i]
					if slices.Contains(test.refused, i) || want == "" {
						want = test.was[i]
					}
					if r.Name != want || r.Active != (test.becomes[i] != "") {
						t.Errorf("%d: Bob holds %+v, want %q", i, r, want)
					}
				}
			}
		})
	}
}

// The words of a refusal are Bob's own.
func TestWords(t *testing.T) {
	t.Parallel()
	c := hibobtest.New(t)
	s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, token, _ := r.BasicAuth()
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		if err := json.NewEncoder(w).Encode(map[string]string{"key": "k", "error": "no " + user + " with " + token}); err != nil {
			t.Error(err)
		}
	}))
	_, err := s.Write(t.Context(), skills("a"))
	if e := connector.AsError(err); e.Kind != connector.Credentials || e.Message != "no SERVICE-4711 with …" {
		t.Errorf("%v", err)
	}
}

// heard is a test that hears what a fake reports.
type heard struct {
	testing.TB
	said []string
}

func (h *heard) Errorf(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}

// The fake takes what HiBob describes and reports all else: otherwise tests with it would show nothing.
func TestWrongRequestsAreReported(t *testing.T) {
	t.Parallel()
	const skill = `{"/skill/name":"Go","/skill/source":"crosswalk","/skill/externalId":"id/Go"}`
	locator := strings.Replace(skill, `"/skill/name":"Go",`, "", 1)
	items := func(items ...string) string { return `{"items":[` + strings.Join(items, ",") + `]}` }
	filters := `"filters":[{"fieldId":"/skill/source","operator":"equals","values":["crosswalk"]}]`
	for name, test := range map[string]struct{ request, body, want string }{
		"create":                       {"POST /v1/skills", items(skill), ""},
		"update":                       {"PATCH /v1/skills", items(skill), ""},
		"archive":                      {"PATCH /v1/skills/archive", items(locator), ""},
		"search":                       {"POST /v1/skills/search", `{"fields":["/skill/id"],` + filters + `,"limit":200}`, ""},
		"another path":                 {"POST /v1/skill", items(skill), "is not described"},
		"another version":              {"POST /v2/skills", items(skill), "is not described"},
		"another method":               {"PUT /v1/skills", items(skill), "is not described"},
		"a query":                      {"POST /v1/skills?dry=1", items(skill), `asks by "dry"`},
		"no items":                     {"POST /v1/skills", items(), "minItems"},
		"too many items":               {"PATCH /v1/skills/archive", items(slices.Repeat([]string{locator}, 101)...), "maxItems"},
		"a skill without a name":       {"POST /v1/skills", items(locator), "'/skill/name'"},
		"a skill without a source":     {"POST /v1/skills", items(`{"/skill/name":"Go","/skill/externalId":"id/Go"}`), "'/skill/source'"},
		"a change of nothing":          {"PATCH /v1/skills", items(locator), "minProperties"},
		"a field that there is not":    {"PATCH /v1/skills", items(strings.Replace(skill, "name", "title", 1)), "'/skill/title'"},
		"a field that cannot be set":   {"PATCH /v1/skills", items(strings.Replace(skill, "name", "id", 1)), "'/skill/id'"},
		"an archive with a name":       {"PATCH /v1/skills/archive", items(skill), "'/skill/name'"},
		"a name of another type":       {"POST /v1/skills", items(strings.Replace(skill, `"Go"`, `{"value":"Go"}`, 1)), "want string"},
		"a page that is too large":     {"POST /v1/skills/search", `{"fields":["/skill/id"],` + filters + `,"limit":201}`, "maximum"},
		"a field of a search":          {"POST /v1/skills/search", `{"fields":["/skill/level"],` + filters + `,"limit":1}`, "/fields/0"},
		"a filter by something else":   {"POST /v1/skills/search", `{"fields":["/skill/id"],"filters":[{"fieldPath":"root.id","operator":"equals","values":["1"]}],"limit":1}`, "'fieldPath'"},
		"something else in a search":   {"POST /v1/skills/search", `{"fields":["/skill/id"],` + filters + `,"limit":1,"showInactive":true}`, "'showInactive'"},
		"a body that is not an object": {"POST /v1/skills", `[` + skill + `]`, "want object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &heard{TB: t}
			c := hibobtest.New(h)
			c.Import(c.Source, "id/Go", "Golang")
			method, target, _ := strings.Cut(test.request, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, connectortest.Base+target, strings.NewReader(test.body))
			r.SetBasicAuth(c.User, c.Token)
			r.Header.Set("Accept", "application/json")
			r.Header.Set("Content-Type", "application/json")
			c.ServeHTTP(httptest.NewRecorder(), r)
			if said := strings.Join(h.said, "\n"); test.want == "" && said != "" || !strings.Contains(said, test.want) {
				t.Errorf("reported: %q, want %q", said, test.want)
			}
		})
	}
}
