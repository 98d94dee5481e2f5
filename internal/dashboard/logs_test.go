package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/dashboard"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestLogs(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	b.get(s.at("/logs")).want(http.StatusOK, in(".empty", "log_url"), not("table"))
	secret, _ := s.apiKey("nightly")
	acme := s.connect("Acme GmbH", `{}`)

	// An error of the API names the page with its own exchange.
	r := b.request(http.MethodPost, "/v1/hris/skills/bulk", nil)
	r.Body = io.NopCloser(strings.NewReader(`{"items":[{"origin_id":"","name":"<script>alert(1)</script>"}]}`))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+secret)
	r.Header.Set("X-Integration-Id", acme.ID)
	refused := b.do(r)
	var answer struct {
		Error struct {
			LogURL string `json:"log_url"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(refused.body), &answer); err != nil || !strings.HasPrefix(answer.Error.LogURL, s.srv.URL+"/logs/") {
		t.Fatalf("%v: %s", err, refused.body)
	}
	id := strings.TrimPrefix(answer.Error.LogURL, s.srv.URL+"/logs/")
	s.logged(store.InteractionQuery{Inbound: true, Failed: true}, 1)
	p := b.get("/logs/"+id).want(http.StatusOK, in("h1", "POST /v1/hris/skills/bulk"), in("dl", "■", "400", "Sandbox, Acme GmbH", "cw_live_"), in(".lede", "from 127.0.0.1"),
		in("pre", "<script>alert(1)</script>", "PLATFORM.INPUT_INVALID"), count("script", 1), not("body", secret))
	if p.path != s.at("/logs/"+id) {
		t.Errorf("the address leads to %s", p.path)
	}
	b.get(s.at("/logs")).want(http.StatusOK, in("tbody tr", "400", "to us", "/v1/hris/skills/bulk", "Sandbox, Acme GmbH"), link("tbody a", s.at("/logs/"+id)))
	b.get(s.at("/logs?status=failed&way=in&integration="+acme.ID)).want(http.StatusOK, count("tbody tr", 1))
	b.get(s.at("/logs?way=out")).want(http.StatusOK, in("main", "Nothing matches"), not("main", "are kept"))
	b.get(s.at("/logs?q=hris/skills")).want(http.StatusOK, count("tbody tr", 1), count("#q[value='hris/skills']", 1), link(".said a", s.at("/logs")))
	b.get(s.at("/logs?q=HRIS/skills")).want(http.StatusOK, in("main", "Nothing matches"), not("tbody"))
	if p := b.get(s.at("/logs?q=" + id)); p.path != s.at("/logs/"+id) {
		t.Errorf("an id leads to %s", p.path)
	}
	other, err := s.srv.Store.CreateEnvironment(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	b.get("/e/" + other.ID + "/logs/" + id).want(http.StatusNotFound)
	b.get("/e/"+other.ID+"/logs").want(http.StatusOK, not("tbody"))
	b.get("/logs/"+skill.NewID(time.Now())).want(http.StatusNotFound, in("h1", "not in the log"))
	s.visitor().get("/logs/"+id).want(http.StatusOK, in("h1", "Sign in"), not("pre"))

	// From a failed item to the exchange with the tool.
	at := time.Now()
	exchange, task := skill.NewID(at), skill.NewTaskID(at)
	if err := s.srv.Store.AppendInteractions(t.Context(), []store.Interaction{{
		ID: exchange, Outbound: true, EnvironmentID: s.env.ID, IntegrationID: acme.ID, TaskID: task, Items: store.Range{Start: 100, Stop: 102},
		Method: "PUT", URL: "https://tool.example/<b>skills</b>", Took: time.Second, Failed: true,
		Exchange: store.Exchange{Error: "the connection broke", RequestHeader: http.Header{"X-Evil": {"<img src=x onerror=alert(1)>"}}, RequestBody: []byte("{\"a\":1}"), AnswerBody: []byte{0xff, 0}},
	}}); err != nil {
		t.Fatal(err)
	}
	b.get(s.at("/logs/"+exchange)).want(http.StatusOK, in("dl", "no answer", "items 101 to 102"), link("dl a", s.at("/tasks/"+task+"?after=100#items")), in(".wrong", "the connection broke"), in("table", "X-Evil", "<img src=x"), not("img[onerror]"), not("h1 b"),
		in("section", "2 B that are no text"))
	b.get(s.at("/logs?way=out")).want(http.StatusOK, count("tbody tr", 1), in("tbody tr", "to the tool", "no answer", "items 101 to 102 of "+task),
		link("tbody a", s.at("/tasks/"+task)), link("tbody a", s.at("/tasks/"+task+"?after=100#items")))
	// From an item to its exchanges, and by the task's id from the field of the search.
	b.get(s.at("/logs?task="+task+"&item=102")).want(http.StatusOK, count("tbody tr", 1), in(".said", "About item 102"), count("#q[value="+task+"]", 1), count("input[name=item][value='102']", 1))
	b.get(s.at("/logs?q="+task+"&item=101")).want(http.StatusOK, count("tbody tr", 1), in(".said", "About item 101"))
	b.get(s.at("/logs?q="+task+"&item=103")).want(http.StatusOK, not("tbody"), in("main", "Nothing matches", "no exchange yet", "all are kept for"))
	pushed := s.push(acme, items("Go", "Rust")...)
	s.ended(pushed)
	b.get(s.at("/tasks/"+pushed)).want(http.StatusOK, link("#items tbody tr:nth-child(2) a", s.at("/logs?item=2&task="+pushed)))
	// The filter does not offer an integration that was deleted; what was said to its tool can still be told apart.
	if _, err := s.srv.Store.DeleteIntegration(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	b.get(s.at("/logs?way=out")).want(http.StatusOK, in("tbody tr", "Sandbox, Acme GmbH"), not("main form", "Acme GmbH"))
}

// away is a store whose log does not answer.
type away struct{ dashboard.Store }

func (away) Interaction(context.Context, string, string) (store.Interaction, error) {
	return store.Interaction{}, context.DeadlineExceeded
}

// That an exchange is not in the log is said of those that are not, and not when nobody can know.
func TestLogWithoutADatabase(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.addUser("ada", store.Viewer)
	d := dashboard.New(dashboard.Config{Store: away{s.srv.Store}, Connectors: server.Connectors(nil)})
	broken := httptest.NewServer(d)
	defer broken.Close()
	defer d.Close()
	b := s.visitor()
	b.base = broken.URL
	b.post("/sign-in", "name", "ada", "password", password).want(http.StatusOK, in(".who", "ada"))
	for _, path := range []string{"/logs/", s.at("/logs/")} {
		b.get(path+skill.NewID(time.Now())).want(http.StatusServiceUnavailable, in("h1", "The database does not answer"))
	}
}

// The line that the empty page shows fills it, whether a tool is connected or not.
func TestEmptyLogIsFilled(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	for _, connected := range []bool{false, true} {
		e, err := s.srv.Store.CreateEnvironment(t.Context(), fmt.Sprint("staging ", connected))
		if err != nil {
			t.Fatal(err)
		}
		s.env = e
		secret, _ := s.apiKey("nightly")
		if connected {
			s.connect("Acme GmbH", `{}`)
		}
		line := b.get(s.at("/logs")).want(http.StatusOK, in(".empty #refused"), link(".empty a", s.at("/secrets"))).Find("#refused").Text()
		if out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "KEY", secret, 1)).CombinedOutput(); err != nil || !strings.Contains(string(out), "log_url") {
			t.Fatalf("%s\n%v: %s", line, err, out)
		}
		for limit := time.Now().Add(10 * time.Second); b.get(s.at("/logs")).Find("tbody").Length() == 0; { // it is written beside the requests
			if time.Now().After(limit) {
				t.Fatal("the exchange is not logged")
			}
		}
		b.get(s.at("/logs")).want(http.StatusOK, count("tbody tr", 1), in("tbody tr .state.failed", "4"), in("tbody tr", "POST /v1/hris/skills/bulk"))
	}
}

// An exchange that went well and in which the tool refused something is no failure of the exchange.
func TestLoggedRefusal(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	log := func(status int, failed bool) {
		t.Helper()
		if err := s.srv.Store.AppendInteractions(t.Context(), []store.Interaction{{
			ID: skill.NewID(time.Now()), EnvironmentID: s.env.ID, Outbound: true, Method: "POST", URL: "https://tool.example/skills", Status: status, Failed: failed,
		}}); err != nil {
			t.Fatal(err)
		}
	}
	log(http.StatusOK, true)
	b.get(s.at("/logs")).want(http.StatusOK, in("tbody tr .state.partly", "▲", "200, with refusals"))
	log(http.StatusBadGateway, true)
	b.get(s.at("/logs")).want(http.StatusOK, in("tbody tr:first-child .state.failed", "■", "502"))
	log(http.StatusOK, false)
	b.get(s.at("/logs")).want(http.StatusOK, in("tbody tr:first-child .state.ok", "●", "200"), not("tbody tr:first-child", "refusals"))
}

func TestLogsSorted(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	acme := s.connect("Acme GmbH", `{}`)
	start := time.Now().Add(-time.Hour)
	var list []store.Interaction
	for n := range 5200 {
		list = append(list, store.Interaction{
			ID: skill.NewID(start.Add(time.Duration(n) * 100 * time.Millisecond)), EnvironmentID: s.env.ID, IntegrationID: acme.ID, Outbound: n != 100, Method: "POST",
			URL: fmt.Sprintf("/%d.", n), Status: 200, Took: time.Duration(n%100) * time.Millisecond,
		})
	}
	for part := range slices.Chunk(list, 400) {
		if err := s.srv.Store.AppendInteractions(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	p := b.get(s.at("/logs?status=2")).want(http.StatusOK, in("th[aria-sort=descending]", "When ↓"), in("th[aria-sort=none]", "Took ↕"), in("tbody tr:first-child", "/5199."), count("tbody tr", 50),
		not("main", "looked at"))
	next := func() string { return p.Find("a[rel=next]").AttrOr("href", "") }
	column := func(name string) string { return p.Find("th:contains("+name+") a").AttrOr("href", "") }
	b.get(next()).want(http.StatusOK, in("tbody tr:first-child", "/5149."), in(".pager", "← Newest", "Older →"), count("option[selected][value='2']", 1))
	p = b.get(column("When")).want(http.StatusOK, in("th[aria-sort=ascending]", "When ↑"), in("tbody tr:first-child", "/0."), count("option[selected][value='2']", 1))
	b.get(next()).want(http.StatusOK, in("th[aria-sort=ascending]", "When"), in("tbody tr:first-child", "/50."), in(".pager", "← Oldest", "Newer →"))
	p = b.get(column("Took")).want(http.StatusOK, in("th[aria-sort=descending]", "Took ↓"), in("th[aria-sort=none]", "When"), in("tbody tr:first-child", "/5199.", "99 ms"), in("tbody tr:last-child", "/299."))
	p = b.get(next()).want(http.StatusOK, in("tbody tr:first-child", "/199."), in("tbody tr:nth-child(3)", "/5198.", "98 ms"), in(".pager", "← Slowest", "Quicker →"))
	b.get(column("Took")).want(http.StatusOK, in("th[aria-sort=descending]", "When"), in("tbody tr:first-child", "/5199."))

	// What few match is looked for in a part at a time.
	p = b.get(s.at("/logs?way=in")).want(http.StatusOK, in("main", "None of these matches", "5,000 exchanges were looked at. There are more."), in("a[rel=next]", "Look on →"))
	b.get(next()).want(http.StatusOK, count("tbody tr", 1), in("tbody tr", "/100."), not("a[rel=next]"), not("main", "looked at"))
	b.get(s.at("/logs?way=in&sort=began")).want(http.StatusOK, count("tbody tr", 1), in("main", "5,000 exchanges were looked at"))
	b.get(s.at("/logs?within=24h&way=in&sort=-took&integration="+acme.ID)).want(http.StatusOK, in("main", "None of these matches"), in("a[rel=next]", "Look on →"))
	b.get(s.at("/logs?sort=nonsense&after=nonsense")).want(http.StatusOK, in("th[aria-sort=descending]", "When"), in("tbody tr:first-child", "/5199."))
}
