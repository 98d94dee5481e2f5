package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const pages = "https://skills.example.com/logs/"

// logging is a fixture whose requests are logged; stop writes what is left.
func logging(t *testing.T, mode interactions.Mode) (f *fixture, stop func()) {
	t.Helper()
	later := &late{}
	log := interactions.New(interactions.Config{Store: later, Mode: mode})
	f = setup(t, func(c *api.Config) { c.Interactions, c.LogPages = log, pages })
	later.Store = f.store
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Run(ctx)
	}()
	stop = func() {
		// What is logged follows the answer.
		f.server.Close()
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return f, stop
}

// late is a store that comes after what needs it.
type late struct{ interactions.Store }

func (f *fixture) interactions(q store.InteractionQuery) []store.Interaction {
	f.t.Helper()
	q.Limit = 1000
	page, err := f.store.Interactions(f.t.Context(), q)
	if err != nil {
		f.t.Fatal(err)
	}
	list := page.Interactions
	for i := range list {
		if list[i], err = f.store.Interaction(f.t.Context(), "", list[i].ID); err != nil {
			f.t.Fatal(err)
		}
	}
	return list
}

func TestRequestsAreLogged(t *testing.T) {
	f, stop := logging(t, interactions.All)
	const body = `{"items":[{"origin_id":"1","skill":{"name":"Java"}}]}`
	task := f.submit(body)
	f.ended(task)
	stop()
	list := f.interactions(store.InteractionQuery{})
	if len(list) != 1 {
		t.Fatalf("polls that succeed are not logged, submissions are: %+v", list)
	}
	i := list[0]
	if i.Outbound || i.EnvironmentID != f.env || i.IntegrationID != f.integration || i.TaskID != task || i.Key != f.key[:14] || i.Peer != "127.0.0.1" ||
		i.Method != http.MethodPost || i.URL != "/v1/hris/skills/bulk" || i.Status != 200 || i.Failed || i.Took <= 0 || time.Since(i.At()) > time.Minute {
		t.Errorf("%+v", i)
	}
	if string(i.RequestBody) != body || !strings.Contains(string(i.AnswerBody), task) || i.RequestCut || i.AnswerCut {
		t.Errorf("%s %s", i.RequestBody, i.AnswerBody)
	}
	if got := i.RequestHeader.Get("Authorization"); got != "…" || i.RequestHeader.Get("Content-Type") != "application/json" {
		t.Errorf("%v", i.RequestHeader)
	}
}

func TestEveryErrorLeadsToItsInteraction(t *testing.T) {
	for _, mode := range []interactions.Mode{interactions.All, interactions.Errors} {
		t.Run(string(mode), func(t *testing.T) {
			f, stop := logging(t, mode)
			other := f.newTenant("other")
			type want struct {
				status           int
				env, integration string
				task, url, in    string
			}
			noTask := skill.NewTaskID(time.Now())
			found := map[string]want{}
			for _, c := range []struct {
				q request
				w want
			}{
				{push(`{"items":[`), want{status: 400, env: f.env, integration: f.integration, in: `{"items":[`}},
				{push(`{"items":"` + strings.Repeat("x", 20<<10) + `"}`), want{status: 400, env: f.env, integration: f.integration, in: "x"}},
				{request{method: "GET", path: "/v1/check-api-key", header: map[string]string{"Authorization": "Bearer cw_live_abcdefghij"}}, want{status: 401}},
				{request{method: "GET", path: "/v1/check-api-key?token=s3cr3t", header: map[string]string{"Authorization": ""}}, want{status: 401, url: "/v1/check-api-key?token=…"}},
				{poll(noTask), want{status: 404, env: f.env, integration: f.integration, task: noTask}},
				{poll("x"), want{status: 404, env: f.env, integration: f.integration}},
				{request{method: "GET", path: "/v1/nothing"}, want{status: 404}},
				{request{method: "DELETE", path: "/v1/check-api-key"}, want{status: 405}},
				{request{method: "GET", path: "/v1/integrations/" + other.integration}, want{status: 404, env: f.env, integration: other.integration}},
			} {
				a := f.do(c.q)
				if a.status != c.w.status || a.Error.LogURL == nil {
					t.Fatalf("%s %s: %d %s", c.q.method, c.q.path, a.status, a.body)
				}
				id, ok := strings.CutPrefix(*a.Error.LogURL, pages)
				if !ok || !skill.IsID(id) || found[id].status != 0 {
					t.Errorf("%s %s: %s", c.q.method, c.q.path, *a.Error.LogURL)
				}
				if c.w.url == "" {
					c.w.url = c.q.path
				}
				found[id] = c.w
			}
			f.submit(`{"items":[{"origin_id":"1","skill":{"name":"Java"}}]}`)
			stop()
			list := f.interactions(store.InteractionQuery{})
			if all := map[interactions.Mode]int{interactions.All: 1, interactions.Errors: 0}[mode]; len(list) != len(found)+all {
				t.Errorf("%d are logged, of %d and %d", len(list), len(found), all)
			}
			for _, i := range list {
				w, ok := found[i.ID]
				if !ok {
					continue
				}
				if i.Status != w.status || !i.Failed || i.EnvironmentID != w.env || i.IntegrationID != w.integration || i.TaskID != w.task || i.URL != w.url ||
					!strings.Contains(string(i.RequestBody), w.in) || !strings.Contains(string(i.AnswerBody), pages+i.ID) || len(i.RequestBody) > interactions.MostBody {
					t.Errorf("%+v, want %+v", i, w)
				}
				if text := fmt.Sprintf("%+v", i); strings.Contains(text, f.key) || strings.Contains(text, "s3cr3t") || strings.Contains(text, "ghij") {
					t.Errorf("a secret is in %s", text)
				}
			}
		})
	}
}

func TestNothingIsLoggedThatIsSwitchedOff(t *testing.T) {
	f, stop := logging(t, interactions.Off)
	if a := f.do(poll("x")); a.status != http.StatusNotFound || a.Error.LogURL != nil {
		t.Errorf("%s", a.body)
	}
	stop()
	if list := f.interactions(store.InteractionQuery{}); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// What is no request to the API is none of the log's.
func TestOtherPathsAreNotLogged(t *testing.T) {
	f, stop := logging(t, interactions.All)
	if a := f.do(request{method: "GET", path: "/wp-login.php"}); a.status != http.StatusNotFound || a.Error.LogURL != nil {
		t.Errorf("%s", a.body)
	}
	stop()
	if list := f.interactions(store.InteractionQuery{}); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}
