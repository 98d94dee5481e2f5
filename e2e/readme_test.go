package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The README's session with curl does what it says, as it is pasted.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(readme), "\n## A session with curl\n")
	_, rest, opened := strings.Cut(rest, "\n```sh\n")
	script, _, closed := strings.Cut(rest, "\n```\n")
	if !found || !opened || !closed {
		t.Fatal("the README has no session with curl")
	}
	// A folder that looks like a checkout in which make build has run, and an address that is free.
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(dir, "bin", "crosswalk")); err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	for from, to := range map[string]string{
		"make build\n":         "",
		"bin/crosswalk serve ": "bin/crosswalk serve --listen " + address + " ",
		"127.0.0.1:8080":       address,
	} {
		if strings.Count(script, from) != 1 {
			t.Fatalf("the session has %q %d times; want it once", from, strings.Count(script, from))
		}
		script = strings.Replace(script, from, to, 1)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	shell := exec.CommandContext(ctx, "bash", "-e", "-c", script)
	shell.Dir = dir
	shell.Env = append(os.Environ(), "CROSSWALK_DATA=") // nothing of the developer's own
	out, err := shell.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "crosswalk.log")) // it may not exist
		t.Fatalf("%v\n%s\nthe server's log:\n%s", err, out, log)
	}
	for _, want := range []string{
		`"data":{"task_id":"`, `"status":"COMPLETED"`, `"origin_id":"skill-1"`, "REMOTE.INPUT_INVALID", "This name is not allowed",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the session did not print %q:\n%s", want, out)
		}
	}
}
