package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// slow is a store whose methods take their time, or hang until they are given up.
type slow struct {
	takes map[string]time.Duration // by method; nothing is at once
}

const hangs = time.Duration(1<<63 - 1)

func (s slow) wait(ctx context.Context, method string) error {
	select {
	case <-time.After(s.takes[method]):
		return nil
	case <-ctx.Done():
		// Whatever a driver makes of it.
		return fmt.Errorf("%s: secret internals: %w", method, ctx.Err())
	}
}

func (s slow) Submit(ctx context.Context, sub store.Submission) (store.Accepted, error) {
	return store.Accepted{Task: skill.Task{ID: sub.TaskID}}, s.wait(ctx, "Submit")
}

func (s slow) Task(ctx context.Context, _, _, id string) (store.TaskView, error) {
	return store.TaskView{Task: skill.Task{ID: id}}, s.wait(ctx, "Task")
}

func (s slow) Integration(ctx context.Context, env, id string) (store.Integration, error) {
	return store.Integration{ID: id, EnvironmentID: env, Enabled: true}, s.wait(ctx, "Integration")
}

func (s slow) Away(ctx context.Context, _ string) ([]store.Away, error) {
	return nil, s.wait(ctx, "Away")
}

func (s slow) Wish(ctx context.Context, _ store.Wish, _ string) (store.Skill, error) {
	return store.Skill{}, s.wait(ctx, "Wish")
}

func (s slow) RequestSync(ctx context.Context, _ store.SyncRequest) (store.SyncQueued, error) {
	return store.SyncQueued{}, s.wait(ctx, "RequestSync")
}

func (s slow) ReadSkills(ctx context.Context, _ store.SkillQuery) (store.SkillPage, error) {
	return store.SkillPage{}, s.wait(ctx, "ReadSkills")
}

func (s slow) RemoteByName(ctx context.Context, _, _ string, _ []string) ([]store.RemoteSkill, error) {
	return nil, s.wait(ctx, "RemoteByName")
}

func (s slow) ReadByName(ctx context.Context, _, _ string, _ []string) ([]store.SkillRow, error) {
	return nil, s.wait(ctx, "ReadByName")
}

func (s slow) SkillsByOrigin(ctx context.Context, _, _ string, _ []string) ([]store.SkillRow, error) {
	return nil, s.wait(ctx, "SkillsByOrigin")
}

func (s slow) SetEnabled(ctx context.Context, id string, _ bool) (store.Integration, error) {
	return store.Integration{ID: id}, s.wait(ctx, "SetEnabled")
}

func (s slow) DeleteIntegration(ctx context.Context, id string) (store.Integration, error) {
	return store.Integration{ID: id}, s.wait(ctx, "DeleteIntegration")
}

func (s slow) CreateLink(ctx context.Context, l store.Link, _ [32]byte, _ time.Duration) (store.Link, error) {
	return l, s.wait(ctx, "CreateLink")
}

func (s slow) Record(ctx context.Context, entry store.AuditEntry) (store.AuditEntry, error) {
	return entry, s.wait(ctx, "Record")
}

func (s slow) RecordFailed(ctx context.Context, _, _ string) error {
	return s.wait(ctx, "RecordFailed")
}

func (s slow) IntegrationByToken(ctx context.Context, env string, _ [32]byte) (store.Integration, error) {
	return store.Integration{EnvironmentID: env}, s.wait(ctx, "IntegrationByToken")
}

func (s slow) Authenticate(ctx context.Context, _ string) (auth.Principal, error) {
	return auth.Principal{EnvironmentID: "e"}, s.wait(ctx, "Authenticate")
}

// lateBody arrives after a while.
type lateBody struct {
	io.Reader
	after time.Duration
}

func (b *lateBody) Read(p []byte) (int, error) {
	time.Sleep(b.after) // of the bubble's clock
	b.after = 0
	return b.Reader.Read(p)
}

// Whatever hangs or drags on in the store, a request is answered within the 5 s that are promised, and told to come back.
func TestDatabaseThatHangs(t *testing.T) {
	t.Parallel()
	const (
		submit = "POST /v1/hris/skills/bulk"
		poll   = "GET /v1/hris/skills/bulk/task_28KMdr68N8kG9EzLwjsN9aoz"
		inline = "GET /v1/hris/skills/bulk/nonsense"
		check  = "GET /v1/check-api-key"
		shown  = "GET /v1/integrations/sandbox:28KMdr68N8kG9EzLwjsN9aoz"
		tools  = "GET /v1/tools/hris"
		list   = "GET /v1/hris/skills"
		create = "POST /v1/hris/skills"
		retire = "DELETE /v1/hris/skills/28KMdr68N8kG9EzLwjsN9aoz"
		force  = "POST /v1/force-sync"
		diff   = "POST /v1/hris/skills/bulk/diff"
	)
	for _, test := range []struct {
		request string
		takes   map[string]time.Duration
		body    time.Duration
		want    int
		after   time.Duration
	}{
		{submit, map[string]time.Duration{"Authenticate": hangs}, 0, 503, 4 * time.Second},
		{submit, map[string]time.Duration{"Integration": hangs}, 0, 503, 4 * time.Second},
		{submit, map[string]time.Duration{"Submit": hangs}, 0, 503, 4 * time.Second},
		{poll, map[string]time.Duration{"Authenticate": hangs}, 0, 503, 4 * time.Second},
		{poll, map[string]time.Duration{"Task": hangs}, 0, 503, 4 * time.Second},
		{inline, map[string]time.Duration{"Integration": hangs}, 0, 503, 4 * time.Second},
		{check, map[string]time.Duration{"Authenticate": hangs}, 0, 503, 4 * time.Second},
		{shown, map[string]time.Duration{"Integration": hangs}, 0, 503, 4 * time.Second},
		{shown, map[string]time.Duration{"Away": hangs}, 0, 503, 4 * time.Second},
		{tools, map[string]time.Duration{"Authenticate": hangs}, 0, 503, 4 * time.Second},
		{list, map[string]time.Duration{"ReadSkills": hangs}, 0, 503, 4 * time.Second},
		{create, map[string]time.Duration{"Integration": hangs}, 0, 503, 4 * time.Second},
		{retire, map[string]time.Duration{"Wish": hangs}, 0, 503, 4 * time.Second},
		{force, map[string]time.Duration{"Integration": hangs}, 0, 503, 4 * time.Second},
		{diff, map[string]time.Duration{"SkillsByOrigin": hangs}, 0, 503, 4 * time.Second},
		// A network that is slow is slow for each call; together they have no more time than one.
		{submit, map[string]time.Duration{"Authenticate": 1500 * time.Millisecond, "Integration": 1500 * time.Millisecond, "Submit": 1500 * time.Millisecond}, 0, 503, 4 * time.Second},
		{submit, map[string]time.Duration{"Authenticate": time.Second, "Integration": time.Second, "Submit": time.Second}, 0, 200, 3 * time.Second},
		// What the client takes for its body is not the store's.
		{submit, map[string]time.Duration{"Authenticate": time.Second, "Integration": time.Second, "Submit": time.Second}, 30 * time.Second, 200, 33 * time.Second},
		{submit, map[string]time.Duration{"Authenticate": time.Second, "Submit": hangs}, 30 * time.Second, 503, 34 * time.Second},
	} {
		t.Run(fmt.Sprint(test.request, test.takes, test.body), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := slow{test.takes}
				a := New(Config{Engine: s, Store: s, Keys: s, Connectors: connector.NewRegistry()})
				method, path, _ := strings.Cut(test.request, " ")
				var body io.Reader = http.NoBody
				if method == http.MethodPost {
					body = &lateBody{strings.NewReader(`{"items":[{"origin_id":"1","name":"x"}]}`), test.body}
				}
				r := httptest.NewRequestWithContext(t.Context(), method, path, body)
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Integration-Id", "sandbox:28KMdr68N8kG9EzLwjsN9aoz")
				w := httptest.NewRecorder()
				began := time.Now()
				a.ServeHTTP(w, r)
				took := time.Since(began)
				if w.Code != test.want || took != test.after {
					t.Errorf("answered %d after %s; want %d after %s: %s", w.Code, took, test.want, test.after, w.Body)
				}
				if test.want != http.StatusServiceUnavailable {
					return
				}
				if got := w.Header().Get("Retry-After"); got != "2" {
					t.Errorf("Retry-After %q", got)
				}
				if answer := w.Body.String(); !strings.Contains(answer, `"code":"PLATFORM.UNKNOWN_ERROR"`) || !strings.Contains(answer, "did not answer in time") || strings.Contains(answer, "secret") {
					t.Errorf("the envelope: %s", answer)
				}
			})
		})
	}
}

// What the store says for itself is not replaced by the time being up.
func TestPatienceKeepsTheStoresWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []error{
			&skill.Error{Kind: skill.Unavailable, Message: "The disk is full."},
			store.ErrNotFound,
		} {
			_, isTold := errors.AsType[*skill.Error](want)
			ctx := impatient(t.Context(), time.Second)
			_, err := within(ctx, func(ctx context.Context) (int, error) {
				if isTold {
					<-ctx.Done()
				}
				return 0, want
			})
			if !errors.Is(err, want) {
				t.Errorf("%v; want %v", err, want)
			}
		}
	})
}

// A client that has closed its side, or went away, changes nothing for what it asked: the two look alike.
func TestClientThatClosedItsSideIsServed(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	s := slow{}
	w := httptest.NewRecorder()
	New(Config{Engine: s, Store: s, Keys: s, Connectors: connector.NewRegistry()}).
		ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodGet, "/v1/check-api-key", http.NoBody))
	if w.Code != http.StatusOK {
		t.Errorf("answered %d: %s", w.Code, w.Body)
	}
}

// A process without an API says so, and serves what was added to it.
func TestWithoutAPI(t *testing.T) {
	t.Parallel()
	a := New(Config{})
	a.Handle("GET /healthz", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }))
	for path, want := range map[string]int{"/healthz": 200, "/v1/check-api-key": 404, "/openapi.yaml": 404, "/": 404} {
		w := httptest.NewRecorder()
		a.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
		if w.Code != want || want == 404 && !strings.Contains(w.Body.String(), "serves no API") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}
