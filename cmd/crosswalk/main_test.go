package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// Whatever command is interrupted, its exit code says so.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	asked, over := make(chan struct{}, 1), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-over
	}))
	defer server.Close()
	defer close(over)
	remote := []string{"--url", server.URL, "--api-key", "cw_live_x", "--integration", "sandbox:x"}
	data := []string{"--data", filepath.Join(t.TempDir(), "none")}
	for name, test := range map[string]struct {
		args []string
		asks bool
	}{
		"a list":       {append([]string{"skills", "list"}, remote...), true},
		"a task":       {append([]string{"tasks", "get", "task_x"}, remote...), true},
		"a server":     {append([]string{"serve", "--listen", "127.0.0.1:0"}, data...), false},
		"a look at it": {append([]string{"keys", "list"}, data...), false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		if test.asks {
			go func() {
				<-asked
				cancel()
			}()
		} else {
			cancel()
		}
		var out, trouble bytes.Buffer
		a := &app{ctx: ctx, in: &bytes.Buffer{}, out: &out, err: &trouble}
		if code := a.run(test.args); code != exitInterrupted || !strings.HasSuffix(trouble.String(), "crosswalk: interrupted\n") {
			t.Errorf("%s: exit %d: %s", name, code, trouble.String())
		}
		cancel()
	}
}
