package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
	"github.com/crosswalk-hr/crosswalk/openapi"
)

// fixture is the whole server but for the process: a real store, a running engine, a real socket.
type fixture struct {
	t      *testing.T
	store  *sqlite.Store
	server *httptest.Server
	client *http.Client // holds everything against the contract
	log    *bytes.Buffer
	tenant
}

// tenant is an environment with a key and an integration.
type tenant struct{ env, key, keyID, integration string }

func setup(t *testing.T, change ...func(*api.Config)) *fixture {
	t.Helper()
	t.Parallel()
	s := sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db")})
	f := &fixture{t: t, store: s, log: &bytes.Buffer{}}
	connectors := connector.NewRegistry(sandbox.New(s.Sandbox()))
	e := engine.New(engine.Config{Store: s, Connectors: connectors})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	config := api.Config{
		Engine: e, Store: s, Keys: &auth.Keys{Store: s}, Connectors: connectors, PublicURL: "https://skills.example.com",
		Spec: openapi.Spec, Logger: slog.New(slog.NewTextHandler(f.log, nil)),
	}
	for _, c := range change {
		c(&config)
	}
	f.server = httptest.NewServer(api.New(config))
	f.client = &http.Client{Transport: checked{t, f.server.Client().Transport}}
	t.Cleanup(func() {
		f.server.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	f.tenant = f.newTenant(store.DefaultEnvironment)
	return f
}

// newTenant makes an environment unless it exists.
func (f *fixture) newTenant(name string) tenant {
	f.t.Helper()
	ctx := f.t.Context()
	env, err := f.store.Environment(ctx, name)
	if err != nil {
		if env, err = f.store.CreateEnvironment(ctx, name); err != nil {
			f.t.Fatal(err)
		}
	}
	secret, shown, hash := auth.NewKey()
	key, err := f.store.CreateKey(ctx, store.Key{EnvironmentID: env.ID, Name: "test", Prefix: shown}, hash)
	if err != nil {
		f.t.Fatal(err)
	}
	return tenant{env.ID, secret, key.ID, f.newIntegration(env.ID)}
}

func (f *fixture) newIntegration(env string) string {
	f.t.Helper()
	in, err := f.store.CreateIntegration(f.t.Context(), store.Integration{
		EnvironmentID: env, Tool: "sandbox", Settings: []byte(`{}`),
		EndUser: store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "anna@acme.example", OriginID: "acme-1"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return in.ID
}

// request is one request; empty fields are the tenant's.
type request struct {
	method, path string
	header       map[string]string // "" leaves the header out
	body         string
}

type answer struct {
	status int
	header http.Header
	body   string
	Status string
	Data   json.RawMessage
	Error  struct {
		Code, Title, Message string
		LogURL               *string `json:"log_url"`
	}
	Warnings []struct{ Message string }
}

func (f *fixture) do(q request) answer {
	f.t.Helper()
	var body io.Reader
	if q.body != "" || q.method == http.MethodPost {
		body = strings.NewReader(q.body)
	}
	r, err := http.NewRequestWithContext(f.t.Context(), q.method, f.server.URL+q.path, body)
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+f.key)
	r.Header.Set("X-Integration-Id", f.integration)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range q.header {
		if value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	response, err := f.client.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header, body: string(content)}
	if err := json.Unmarshal(content, &a); err != nil {
		f.t.Fatalf("%v: %s", err, content)
	}
	return a
}

// as sends a request as somebody else.
func (tn tenant) as(q request) request {
	header := map[string]string{"Authorization": "Bearer " + tn.key, "X-Integration-Id": tn.integration}
	for name, value := range q.header {
		header[name] = value
	}
	q.header = header
	return q
}

func push(body string) request {
	return request{method: "POST", path: "/v1/hris/skills/bulk", body: body}
}

func poll(task string) request { return request{method: "GET", path: "/v1/hris/skills/bulk/" + task} }

// submit sends a valid body and returns the task's id.
func (f *fixture) submit(body string) string {
	f.t.Helper()
	a := f.do(push(body))
	if a.status != http.StatusOK {
		f.t.Fatalf("%d: %s", a.status, a.body)
	}
	var data struct {
		TaskID string `json:"task_id"`
	}
	if err := json.Unmarshal(a.Data, &data); err != nil {
		f.t.Fatal(err)
	}
	return data.TaskID
}

// ended polls until a task has ended.
func (f *fixture) ended(task string) answer {
	f.t.Helper()
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		if a := f.do(poll(task)); !strings.Contains(a.body, `"status":"PENDING"`) {
			return a
		}
	}
	f.t.Fatalf("task %s does not end", task)
	return answer{}
}

func (a answer) want(t *testing.T, status int, code string, words ...string) {
	t.Helper()
	if a.status != status || a.Error.Code != code {
		t.Errorf("%d %s, want %d %s: %s", a.status, a.Error.Code, status, code, a.body)
	}
	if a.Status != "error" || a.Error.Title == "" || a.Error.Message == "" || a.Error.LogURL != nil {
		t.Errorf("the envelope: %s", a.body)
	}
	for _, w := range words {
		if !strings.Contains(a.Error.Message, w) {
			t.Errorf("the message is %q, want %q in it", a.Error.Message, w)
		}
	}
}
