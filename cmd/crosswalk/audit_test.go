package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// What commands change is in the audit log, and whether it was done.
func TestCommandsAreRecorded(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	do := func(code int, args ...string) string {
		t.Helper()
		var out, said bytes.Buffer
		a := &app{ctx: t.Context(), in: strings.NewReader(""), out: &out, err: &said}
		if got := a.run(append(args, "--data", data)); got != code {
			t.Fatalf("%v: exit code %d, want %d: %s", args, got, code, said.String())
		}
		return strings.TrimSpace(out.String())
	}
	do(exitOK, "environments", "create", "--name", "staging")
	do(exitMisuse, "environments", "create", "--name", "staging")
	do(exitOK, "environments", "set", "staging", "--connect-redirect", "https://app.example.com")
	do(exitOK, "keys", "create", "--name", "nightly", "--environment", "staging")
	in := do(exitOK, "integrations", "create", "--tool", "sandbox", "--name", "Acme GmbH", "--environment", "staging")
	for _, args := range [][]string{{"update", in, "--set", "latency=5ms"}, {"update", in, "--inactive", "refuse"}, {"disable", in}, {"enable", in}, {"doubt", in}, {"delete", in, "--yes"}} {
		do(exitOK, append([]string{"integrations"}, args...)...)
	}
	s, err := server.Database{Data: data}.Open(t.Context(), false, "looks at it", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	log, err := s.AuditLog(t.Context(), store.AuditFilter{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range log {
		if e.UserName != "the command line" || e.UserID != "" {
			t.Errorf("entry %+v", e)
		}
		got = append(got, strings.TrimSpace(e.Action+" "+e.Detail+" "+e.Failed))
	}
	want := []string{
		"integration.delete Sandbox of Acme GmbH", "integration.doubt Sandbox of Acme GmbH", "integration.enable Sandbox of Acme GmbH",
		"integration.disable Sandbox of Acme GmbH", "integration.policy Sandbox of Acme GmbH", "integration.settings Sandbox of Acme GmbH",
		"integration.create Sandbox of Acme GmbH", "key.create “nightly”", "environment.connect “staging”",
		"environment.create “staging” refused", "environment.create “staging”",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
}
