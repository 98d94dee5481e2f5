package e2e

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
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

// A demo that stays up can be looked at in the dashboard.
func TestDemoKeep(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), program, "demo", "--keep")
	cmd.Env = append(environment(), "TMPDIR="+t.TempDir())
	out := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it may have ended
	setup := regexp.MustCompile(`http://\S+/setup\?token=\S+`)
	eventually(t, 2*time.Minute, "the demo is over and stays up", func() bool {
		return setup.MatchString(out.String()) && strings.Contains(out.String(), "COMPLETED 12,944 skills")
	})
	response, err := machinery.Get(setup.FindString(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "Welcome") {
		t.Errorf("the link leads to %d %s, %v", response.StatusCode, body, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("Ctrl-C: %v\n%s", err, out)
	}
}
