package server

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// One process takes requests and drains nothing, another drains and takes none.
func TestRoles(t *testing.T) {
	t.Parallel()
	database := Database{URL: pgtest.Database(t), Conns: 4}
	start := func(role Role) *Server {
		s, err := Start(t.Context(), Config{Role: role, Listen: "127.0.0.1:0", Database: database, Engine: engine.Settings{MostWaiting: 3}})
		if err != nil {
			t.Fatal(err)
		}
		run(t, s)
		eventually(t, string(role)+" is ready", func() bool { return s.ready.Load() })
		return s
	}
	front := start(API)
	in, err := front.Store.CreateIntegration(t.Context(), integration(t, front))
	if err != nil {
		t.Fatal(err)
	}
	secret, shown, hash := auth.NewKey()
	if _, err := front.Store.CreateKey(t.Context(), store.Key{EnvironmentID: in.EnvironmentID, Name: "test", Prefix: shown}, hash); err != nil {
		t.Fatal(err)
	}
	c := client.New(front.URL, secret, in.ID)
	upsert := func(name string) string {
		accepted, err := c.UpsertSkills(t.Context(), []client.Item{{OriginID: "1", Name: name}})
		if err != nil {
			t.Fatal(err)
		}
		return accepted.TaskID
	}
	ended := func(id string) bool {
		task, err := c.Task(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return task.Ended()
	}
	alone := upsert("TypeScript")
	// Longer than anything that drains would need: it looks for work every second.
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); {
		if ended(alone) {
			t.Fatal("a process that takes requests alone has drained")
		}
	}
	// What waits for the worker fills the integration's room.
	c.Retries = 0
	_, err = c.UpsertSkills(t.Context(), []client.Item{{OriginID: "1", Name: "x"}, {OriginID: "2", Name: "x"}, {OriginID: "3", Name: "x"}})
	if e, ok := errors.AsType[*client.Error](err); !ok || e.HTTPStatus != http.StatusTooManyRequests || e.RetryAfter != 5*time.Second || !strings.Contains(e.Message, "waiting for this integration: 1, of 3") {
		t.Errorf("3 skills on top of 1, where 3 may wait: %v", err)
	}
	back := start(Worker)
	eventually(t, "the worker drains what was there", func() bool { return ended(alone) })
	began := time.Now()
	next := upsert("Welding")
	eventually(t, "the worker drains what comes", func() bool { return ended(next) })
	t.Logf("another process took up a task after %s", time.Since(began))

	for path, want := range map[string]struct {
		status int
		words  string
	}{
		"/healthz": {http.StatusOK, "ok"}, "/readyz": {http.StatusOK, "ok"}, "/metrics": {http.StatusOK, "crosswalk_drain_seconds_count"},
		"/v1/check-api-key": {http.StatusNotFound, "serves no API"}, "/openapi.yaml": {http.StatusNotFound, "serves no API"},
	} {
		if status, body := get(t, back, path); status != want.status || !strings.Contains(body, want.words) {
			t.Errorf("the worker's %s: %d %.200s", path, status, body)
		}
	}
	if _, body := get(t, front, "/metrics"); !strings.Contains(body, "crosswalk_drain_seconds_count 0") {
		t.Error("the front has drained")
	}
}

// The first key that a shared database is given is every process's; one without a key runs all the same.
func TestMasterKeyIsShared(t *testing.T) {
	t.Parallel()
	database := Database{URL: pgtest.Database(t), Conns: 4}
	mine, others := auth.NewMasterKey(), auth.NewMasterKey()
	start := func(key string, log *lines) error {
		s, err := Start(t.Context(), Config{
			Listen: "127.0.0.1:0", Database: database, MasterKey: auth.MasterKeySource{Value: key}, Logger: log.logger(),
		})
		if err != nil {
			return err
		}
		run(t, s)
		eventually(t, "ready", func() bool { return s.ready.Load() })
		return nil
	}
	const warning = "no master key is given"
	for _, test := range []struct {
		name, key    string
		warns, fails bool
	}{
		{"none yet", "", true, false},
		{"the first", mine, false, false},
		{"the same", mine, false, false},
		{"another", others, false, true},
		{"none", "", true, false},
	} {
		log := &lines{}
		err := start(test.key, log)
		if test.fails != (err != nil) || test.warns != (log.count(warning) == 1) {
			t.Errorf("%s: %v; the log says %s", test.name, err, log.b.String())
		}
		if err == nil {
			continue
		}
		for _, key := range []string{mine, others} {
			parsed, parseErr := auth.ParseMasterKey(key)
			if parseErr != nil {
				t.Fatal(parseErr)
			}
			if !strings.Contains(err.Error(), parsed.ID()) || strings.Contains(err.Error(), key) {
				t.Errorf("%v; want the id of each key, and no key", err)
			}
		}
	}
}
