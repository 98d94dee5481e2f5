package workday_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/workday"
	"github.com/crosswalk-hr/crosswalk/connector/workday/workdaytest"
	"github.com/crosswalk-hr/crosswalk/internal/outgoing"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := workdaytest.Harness(func(c *workdaytest.Tenant) { c.PerSecond = 10 })
	h.Page = "../../docs/connectors/workday.md"
	connectortest.Run(t, h)
}

// What the documentation leaves open may be otherwise.
func TestConformanceOfAnotherTenant(t *testing.T) {
	t.Parallel()
	h := workdaytest.Harness(func(c *workdaytest.Tenant) {
		c.Version, c.Elements, c.ReferenceType, c.Category, c.NeedsCategory = "v32.1", true, "Skill_Item_ID", "SKILL_CATEGORY-1", true
		c.Missing, c.HidesInactive, c.TakenNames, c.Flat, c.Short, c.Timeless = workdaytest.LeftOut, true, true, true, true, true
	})
	h.Fewest = nil // as in TestConformance
	connectortest.Run(t, h)
}

// One that names the first skill which is not there, and not even in words.
func TestConformanceOfATenantOfFewWords(t *testing.T) {
	t.Parallel()
	h := workdaytest.Harness(func(c *workdaytest.Tenant) { c.Missing, c.Unquoted, c.NoWID = workdaytest.FirstRefused, true, true })
	h.Fewest = nil // see TestPace
	connectortest.Run(t, h)
}

func TestLive(t *testing.T) { connectortest.Live(t, workday.New(), "WORKDAY") }

// direct is a client that hands requests to a handler, without a network.
type direct struct {
	handler http.Handler
	// takes is how long an answer takes.
	takes time.Duration

	mu       sync.Mutex
	requests []string
	left     []time.Time
	flying   int
	most     int
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	d.begin(string(body))
	time.Sleep(d.takes) // simulated
	served := r.Clone(context.WithoutCancel(r.Context()))
	served.Body = io.NopCloser(strings.NewReader(string(body)))
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, served)
	d.mu.Lock()
	d.flying--
	d.mu.Unlock()
	return w.Result(), nil
}

// begin notes a request by its heart: "get", "add a", "change a".
func (d *direct) begin(body string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = append(d.left, time.Now())
	d.flying++
	d.most = max(d.most, d.flying)
	what := "get"
	if strings.Contains(body, "Put_Skill_Request") {
		_, name, _ := strings.Cut(body, `wd:Name="`)
		name, _, _ = strings.Cut(name, `"`)
		if what = "change " + name; strings.Contains(body, "Add_Only") {
			what = "add " + name
		}
	}
	d.requests = append(d.requests, what)
}

// sent are the requests since the last time.
func (d *direct) sent() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.requests
	d.requests = nil
	return all
}

func open(t *testing.T, c *workdaytest.Tenant, handler http.Handler) (connector.Session, *direct) {
	t.Helper()
	d := &direct{handler: handler}
	s, err := workday.New().Open(connector.Account{ID: "workday:1", Settings: c.Settings(connectortest.Base), HTTP: &http.Client{Transport: d}})
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

// One question, one request for each skill that changes, none for what is as it should be. Where a question is refused for
// skills that are not there, it is asked once more without them.
func TestRequests(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		missing  workdaytest.Missing
		changes  []string
		unquoted bool
	}{
		"all are refused": {
			missing: workdaytest.AllRefused,
			changes: []string{"get", "get", "change changed, indeed", "change retired", "add new", "add newer"},
		},
		"all are refused, by their place": {
			missing: workdaytest.AllRefused, unquoted: true,
			changes: []string{"get", "get", "change changed, indeed", "change retired", "add new", "add newer"},
		},
		// The three that have a remote id are then asked for one by one.
		"the first is refused": {
			missing: workdaytest.FirstRefused,
			changes: []string{"get", "get", "get", "get", "get", "change changed, indeed", "change retired", "add new", "add newer"},
		},
		"left out": {
			missing: workdaytest.LeftOut,
			changes: []string{"get", "change changed, indeed", "change retired", "add new", "add newer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := workdaytest.New(t)
				c.Missing, c.Unquoted = test.missing, test.unquoted
				s, d := open(t, c, c)
				list := skills("kept", "changed", "retired")
				for id, r := range write(t, s, list) {
					for i := range list {
						if list[i].OriginID == id {
							list[i].RemoteID = r.RemoteID
						}
					}
				}
				d.sent()
				list[1].Name, list[2].Active, list[2].Name = "changed, indeed", false, "another name"
				list = append(list, skills("new", "newer")...)
				write(t, s, list)
				got := d.sent()
				slices.SortFunc(got[1:], func(a, b string) int { return cmp.Compare(order(a), order(b)) })
				if diff := gocmp.Diff(test.changes, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if retired := c.Find("id/retired"); retired.Name != "retired" || !retired.Inactive {
					t.Errorf("the retired skill is %+v", retired)
				}
				write(t, s, list)
				if diff := gocmp.Diff([]string{"get"}, d.sent()); diff != "" {
					t.Errorf("nothing has changed (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// order is that of the kinds of requests, which may leave in any.
func order(request string) string {
	for i, kind := range []string{"get", "change", "add"} {
		if strings.HasPrefix(request, kind) {
			return fmt.Sprint(i, request)
		}
	}
	return request
}

// In no second more requests than the tenant takes leave, over several calls and whatever they turn out to need; and no more
// at once than is bounded, however slow the answers are.
func TestPace(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		takes, atMost time.Duration // an answer, and all of it
	}{
		"quick": {10 * time.Millisecond, 12 * time.Second},
		"slow":  {300 * time.Millisecond, 15 * time.Second},
		"stuck": {3 * time.Second, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := workdaytest.New(t)
				c.Missing = workdaytest.FirstRefused
				s, d := open(t, c, c)
				d.takes = test.takes
				began := time.Now()
				for call := range 4 {
					var names []string
					for i := range s.Limits().Batch {
						names = append(names, fmt.Sprint(call, ".", i))
					}
					write(t, s, skills(names...))
				}
				if took := time.Since(began); took > test.atMost {
					t.Errorf("it took %v", took)
				}
				// A question, one more since not all are told by the first, and the skills.
				if len(d.left) != 4*(2+s.Limits().Batch) {
					t.Errorf("%d requests", len(d.left))
				}
				for i, at := range d.left {
					if i >= 10 && at.Sub(d.left[i-10]) < time.Second {
						t.Fatalf("request %d left %v after the tenth before it", i, at.Sub(d.left[i-10]))
					}
				}
				if d.most > 5 {
					t.Errorf("%d requests at once", d.most)
				}
			})
		})
	}
}

// When a request fails, those under way end as they do, and no others leave.
func TestAFailureEndsTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workdaytest.New(t)
		puts := 0
		var mu sync.Mutex
		s, d := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			r.Body = io.NopCloser(strings.NewReader(string(body)))
			mu.Lock()
			if strings.Contains(string(body), "Put_Skill_Request") {
				puts++
			}
			n := puts
			mu.Unlock()
			switch n {
			case 3:
				http.Error(w, "slow down", http.StatusTooManyRequests)
			case 4: // and this one has an answer that tells nothing
				w.WriteHeader(http.StatusBadGateway)
			default:
				c.ServeHTTP(w, r)
			}
		}))
		d.takes = 250 * time.Millisecond
		var names []string
		for i := range s.Limits().Batch {
			names = append(names, fmt.Sprint("skill ", i))
		}
		results, err := s.Write(t.Context(), skills(names...))
		e := connector.AsError(err)
		if e == nil || e.Kind != connector.Ambiguous {
			t.Errorf("Write = %v, want the kind %s, which comes before all others", e, connector.Ambiguous)
		}
		// Two had left before the third, and two more while it was under way.
		if len(results) != 3 || puts != 5 {
			t.Errorf("%d results, %d requests", len(results), puts)
		}
		for _, r := range results {
			if held := c.Find(r.OriginID); r.Err != nil || held.WID != r.RemoteID {
				t.Errorf("%+v, the tenant holds %+v", r, held)
			}
		}
	})
}

// A category that a skill has stays, unless the settings name one.
func TestCategory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workdaytest.New(t)
		s, _ := open(t, c, c)
		list := skills("Go")
		write(t, s, list)
		c.SetCategory("id/Go", workdaytest.Another)
		list[0].Name = "Go 1.26"
		write(t, s, list)
		list[0].Active = false
		write(t, s, list)
		list[0].Active = true
		write(t, s, list)
		if sk := c.Find("id/Go"); sk.Name != "Go 1.26" || sk.Category != workdaytest.Another {
			t.Errorf("the skill became %+v", sk)
		}
		c.Category = "SKILL_CATEGORY-1"
		s, d := open(t, c, c)
		for range 2 {
			write(t, s, list)
		}
		if sk := c.Find("id/Go"); sk.Category != c.Category {
			t.Errorf("the skill became %+v", sk)
		}
		if diff := gocmp.Diff([]string{"get", "change Go 1.26", "get"}, d.sent()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		// One that the tenant does not know: its words are told.
		c.Category = "SKILL_CATEGORY-2"
		s, _ = open(t, c, c)
		c.Category = "SKILL_CATEGORY-1"
		if r := write(t, s, skills("Rust"))["id/Rust"]; r.Err == nil || r.Err.Kind != connector.Refused || !strings.Contains(r.Err.Message, "'SKILL_CATEGORY-2' is not a valid ID") {
			t.Errorf("%+v", r)
		}
	})
}

// Whether candidates see a skill is not ours: it stays as people have set it, in a version that tells of it.
func TestHiddenFromCandidates(t *testing.T) {
	t.Parallel()
	for _, elements := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := workdaytest.New(t)
			c.Hides, c.Elements = true, elements
			s, _ := open(t, c, c)
			list := skills("Go", "Rust")
			write(t, s, list)
			c.Hide("id/Go")
			for _, change := range []func(){
				func() { list[0].Name, list[1].Name = "Go 1.26", "Rust 2" },
				func() { list[0].Active, list[1].Active = false, false },
				func() { list[0].Active, list[1].Active = true, true },
			} {
				change()
				for id, r := range write(t, s, list) {
					if r.Err != nil {
						t.Errorf("%s: %v", id, r.Err)
					}
				}
				if held, other := c.Find("id/Go"), c.Find("id/Rust"); !held.Hidden || other.Hidden || held.Name != list[0].Name {
					t.Errorf("the skills became %+v and %+v", held, other)
				}
			}
		})
	}
}

// What XML cannot carry does not leave, and does not sink the others.
func TestControlCharacters(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workdaytest.New(t)
		s, d := open(t, c, c)
		list := skills("bell\a", "null\x00", "escape\x1b[31m", "not UTF-8 \xff", "no character \uFFFE", "nor this \uFFFF", "fine\t\r\n", "\U0010FFFF \x7f \uFFFD \u0085")
		list = append(list, connector.Skill{OriginID: "id\x01", Name: "n", Active: true})
		results := write(t, s, list)
		for i, sk := range list {
			r := results[sk.OriginID]
			if fine := i == 6 || i == 7; fine != (r.Err == nil) || !fine && (r.Err.Kind != connector.Refused || !strings.Contains(r.Err.Message, "control character")) {
				t.Errorf("%q: %+v", sk.Name, r)
			}
		}
		if got := c.Find("id/fine\t\r\n").Name; got != "fine\t\r\n" {
			t.Errorf("the tenant has %q", got)
		}
		if n := len(d.sent()); n != 3 {
			t.Errorf("%d requests", n)
		}
		if records, err := s.(connector.Finder).Find(t.Context(), list); err != nil || len(records) != 2 {
			t.Errorf("Find = %v, %v", records, err)
		}
	})
}

// What stays inactive whatever is sent, and what is inactive and hidden.
func TestReactivate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		stays, hides bool
		want         string
	}{
		"revived":            {want: ""},
		"stays":              {stays: true, want: "keeps this skill as inactive"},
		"hidden and revived": {hides: true, want: ""},
		"hidden and stays":   {stays: true, hides: true, want: "keeps this skill as inactive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := workdaytest.New(t)
				c.StaysInactive, c.HidesInactive, c.Missing = test.stays, test.hides, workdaytest.LeftOut
				s, _ := open(t, c, c)
				list := skills("COBOL")
				write(t, s, list)
				list[0].Active = false
				write(t, s, list)
				list[0].Active = true
				r := write(t, s, list)["id/COBOL"]
				if test.want == "" && (r.Err != nil || c.Find("id/COBOL").Inactive) {
					t.Errorf("%+v, the tenant has %+v", r, c.Find("id/COBOL"))
				}
				if test.want != "" && (r.Err == nil || r.Err.Kind != connector.Unsupported || !strings.Contains(r.Err.Message, test.want)) {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// A skill that is not there any more has nothing to retire.
func TestRetireWhatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workdaytest.New(t)
		s, _ := open(t, c, c)
		list := skills("gone", "unsure", "never there")
		for i := range list {
			list[i].Active = false
		}
		list[0].RemoteID, list[1].Unsure = "w1", true
		want := map[string]connector.Result{"id/gone": {OriginID: "id/gone", RemoteID: "w1"}, "id/unsure": {OriginID: "id/unsure"}, "id/never there": {OriginID: "id/never there"}}
		if diff := gocmp.Diff(want, write(t, s, list)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// What Workday hides may be there all the same.
func TestRetireWhatIsHidden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workdaytest.New(t)
		c.HidesInactive, c.Missing = true, workdaytest.LeftOut
		s, _ := open(t, c, c)
		list := skills("COBOL")
		write(t, s, list)
		list[0].Active = false
		write(t, s, list)
		list[0].Unsure = true
		if r := write(t, s, list)["id/COBOL"]; r.Err != nil || r.RemoteID != c.Find("id/COBOL").WID {
			t.Errorf("%+v, the tenant has %+v", r, c.Find("id/COBOL"))
		}
	})
}

// A user name with a tenant is taken as it is.
func TestUserName(t *testing.T) {
	t.Parallel()
	c := workdaytest.New(t)
	var given map[string]any
	if err := json.Unmarshal(c.Settings(connectortest.Base), &given); err != nil {
		t.Fatal(err)
	}
	given["username"] = c.User + "@" + c.Name
	settings, err := json.Marshal(given)
	if err != nil {
		t.Fatal(err)
	}
	s, err := workday.New().Open(connector.Account{Settings: settings, HTTP: &http.Client{Transport: &direct{handler: c}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.(connector.Checker).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// recorder calls a function with every record.
type recorder func(outgoing.Exchange)

func (recorder) Begin(context.Context, time.Time) string { return "" }

func (r recorder) End(_ context.Context, _ string, _, _ int, exchange func() outgoing.Exchange) {
	r(exchange())
}

// The password stands in each request, and in nothing that is written down of it.
func TestThePasswordIsNotRecorded(t *testing.T) {
	t.Parallel()
	c := workdaytest.New(t)
	server := httptest.NewServer(c)
	defer server.Close()
	var mu sync.Mutex
	var told []string
	for _, secrets := range [][]string{{c.Password}, nil} { // even if nobody had said what is secret
		client := outgoing.New(true).Client(outgoing.Client{Secrets: secrets, Recorder: recorder(func(x outgoing.Exchange) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprintf("%s %v %v %s %s %s", x.URL, x.RequestHeader, x.AnswerHeader, x.RequestBody, x.AnswerBody, x.Error))
		})})
		s, err := workday.New().Open(connector.Account{ID: "workday:1", Settings: c.Settings(server.URL), HTTP: client})
		if err != nil {
			t.Fatal(err)
		}
		write(t, s, skills("a"))
		client.CloseIdleConnections()
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 3 {
		t.Errorf("%d exchanges", len(told))
	}
	for _, text := range told {
		if strings.Contains(text, "wörd") || !strings.Contains(text, c.User+"@"+c.Name) || !strings.Contains(text, "Skill_Reference") {
			t.Errorf("told: %s", text)
		}
	}
}
