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

// What is for ever wants a name to be typed, or given once more.
func TestErasingIsAskedFor(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "data")
	do := func(code int, typed string, args ...string) string {
		t.Helper()
		var out, said bytes.Buffer
		a := &app{ctx: t.Context(), in: strings.NewReader(typed), out: &out, err: &said, asking: typed != ""}
		if got := a.run(append(append([]string{"environments"}, args...), "--data", data)); got != code {
			t.Fatalf("%v, typed %q: exit code %d, want %d: %s", args, typed, got, code, said.String())
		}
		return out.String() + said.String()
	}
	do(exitOK, "", "create", "--name", "staging")
	do(exitOK, "", "create", "--name", "empty")
	for _, refused := range []struct{ typed, says string }{{"", "give the name of the environment once more, as --yes NAME"}, {"default\n", "nothing was erased"}, {"\n", "nothing was erased"}} {
		if said := do(exitMisuse, refused.typed, "erase", "staging"); !strings.Contains(said, refused.says) {
			t.Errorf("typed %q: %s", refused.typed, said)
		}
	}
	do(exitMisuse, "staging\n", "erase", "staging", "--yes", "default")
	do(exitMisuse, "staging\n", "delete", "empty")
	if said := do(exitOK, "", "list"); !strings.Contains(said, "staging") || !strings.Contains(said, "empty") {
		t.Errorf("there is %s", said)
	}
	do(exitOK, "staging\r\n", "erase", "staging")
	do(exitOK, "empty\n", "delete", "empty")
	if said := do(exitOK, "", "list"); strings.Contains(said, "staging") || strings.Contains(said, "empty") {
		t.Errorf("there is still %s", said)
	}
}

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
	do(exitOK, "environments", "rename", "staging", "acceptance")
	do(exitMisuse, "environments", "delete", "acceptance")
	do(exitOK, "environments", "erase", "acceptance", "--yes", "acceptance")
	do(exitOK, "master-key", "rotate")
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
	if rotated := log[0]; rotated.Action == "master-key.rotate" && rotated.Detail == "the key "+rotated.Target && rotated.Failed == "" && rotated.Target != "" {
		log = log[1:]
	} else {
		t.Errorf("the last entry is %+v, want the master key's", rotated)
	}
	for _, e := range log {
		if e.UserName != "the command line" || e.UserID != "" {
			t.Errorf("entry %+v", e)
		}
		got = append(got, strings.TrimSpace(e.Action+" "+e.Detail+" "+e.Failed))
	}
	want := []string{
		"environment.erase “acceptance” with all it held", "environment.delete “acceptance” refused", "environment.rename “staging” is called “acceptance”",
		"integration.delete Sandbox of Acme GmbH", "integration.doubt Sandbox of Acme GmbH", "integration.enable Sandbox of Acme GmbH",
		"integration.disable Sandbox of Acme GmbH", "integration.policy Sandbox of Acme GmbH", "integration.settings Sandbox of Acme GmbH",
		"integration.create Sandbox of Acme GmbH", "key.create “nightly”", "environment.connect “staging”",
		"environment.create “staging” refused", "environment.create “staging”",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the audit log (-want +got):\n%s", diff)
	}
}
