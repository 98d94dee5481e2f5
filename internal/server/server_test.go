package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// The machinery's three addresses, before, while and after the server runs.
func TestMachinery(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Database: Database{Data: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.readiness(request(t, s, "/readyz")); err == nil {
		t.Error("ready before Run")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	for limit := time.Now().Add(10 * time.Second); !s.ready.Load(); {
		if time.Now().After(limit) {
			t.Fatal("not ready within 10 s")
		}
	}
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": "ok\n", "/metrics": "go_goroutines", "/openapi.yaml": "openapi: 3.1.0",
	} {
		if status, body := get(t, s, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s answered %d %.100q; want 200 with %q", path, status, body, want)
		}
	}
	// What is measured carries no names of customers.
	in, err := s.Store.CreateIntegration(ctx, integration(t, s))
	if err != nil {
		t.Fatal(err)
	}
	get(t, s, "/v1/integrations/"+in.ID)
	if _, body := get(t, s, "/metrics"); strings.Contains(body, in.ID) {
		t.Errorf("/metrics speaks of %s", in.ID)
	}
	stop()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(12 * time.Second):
		t.Fatal("did not stop")
	}
	if s.ready.Load() {
		t.Error("ready after it stopped")
	}
}

func request(t *testing.T, s *Server, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request(t, s, path))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func integration(t *testing.T, s *Server) store.Integration {
	t.Helper()
	env, err := s.Store.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	return store.Integration{
		EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`), EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live, overhead uint64
		want           int64
	}{
		{0, 0, memoryAim},
		{30 << 20, 10 << 20, memoryAim},
		{90 << 20, 10 << 20, 130 << 20},
	} {
		if got := memoryLimit(c.live, c.overhead); got != c.want {
			t.Errorf("memoryLimit(%d, %d) = %d; want %d", c.live, c.overhead, got, c.want)
		}
	}
}
