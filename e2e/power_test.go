package e2e

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// images is how often TestImagesOfSQLite takes one; make soak runs it again and again.
const images = 12

// answered is what a server has said 200 to.
type answered struct {
	mu    sync.Mutex
	tasks map[string]string // the integration of each
}

func (a *answered) add(task, integration string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tasks[task] = integration
}

func (a *answered) copy() map[string]string {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make(map[string]string, len(a.tasks))
	for task, in := range a.tasks {
		out[task] = in
	}
	return out
}

// submitting sends small and large tasks until ctx ends.
func (a *answered) submitting(ctx context.Context, c *client.Client, size int) {
	for n := 0; ctx.Err() == nil; n++ {
		answer, err := c.UpsertSkills(ctx, items(1+rand.IntN(size), fmt.Sprint("round ", n)))
		if err == nil {
			a.add(answer.TaskID, c.IntegrationID)
		}
	}
}

// What a power cut leaves, if the disk has kept what was written: the files as they are at some moment, with every writer
// stopped. Each image opens clean, and has every task whose 200 was sent.
func TestImagesOfSQLite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said := &answered{tasks: map[string]string{}}
	var group sync.WaitGroup
	for _, size := range []int{5, 5, 3000} {
		c := s.client("batch_limit=500")
		group.Go(func() { said.submitting(ctx, c, size) })
	}
	for n := range images {
		<-time.After(time.Duration(rand.IntN(250)) * time.Millisecond) // any moment will do
		s.signal(syscall.SIGSTOP)
		want := said.copy()
		dir := filepath.Join(t.TempDir(), fmt.Sprint("image-", n))
		for _, suffix := range []string{"", "-wal"} {
			copyFile(t, filepath.Join(s.data, "crosswalk.db"+suffix), filepath.Join(dir, "crosswalk.db"+suffix))
		}
		s.signal(syscall.SIGCONT)
		checkImage(t, filepath.Join(dir, "crosswalk.db"), want)
	}
	stop()
	group.Wait()
	if n := len(said.copy()); n < 3*images {
		t.Errorf("only %d tasks were accepted: this shows little", n)
	}
	s.terminate()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkImage(t *testing.T, path string, want map[string]string) {
	t.Helper()
	db, err := sql.Open("sqlite", sqlite.DSN(path))
	if err != nil {
		t.Fatal(err)
	}
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		t.Errorf("the image is damaged: %s, %v", verdict, err)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Serve: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // it was only read
	env, err := s.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	for task, in := range want {
		if _, err := s.Task(t.Context(), env.ID, in, task); err != nil {
			t.Errorf("of %d accepted tasks, %s is not in the image: %v", len(want), task, err)
			return
		}
	}
}

// A 200 is sent after its task was synced to the disk: in a trace of the server's system calls, the log's page with the
// task's id is written, then the log is synced, and when that has ended the answer with the id goes out. So a disk that
// drops what was not synced has it.
func TestA200MeansSynced(t *testing.T) {
	t.Parallel()
	trace := filepath.Join(t.TempDir(), "trace")
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("strace is missing: scripts/test-needs installs it, or run: sudo apt-get install strace")
	}
	s := newSite(t)
	// The server stays our child, and strace looks on.
	wrapper := filepath.Join(t.TempDir(), "traced")
	if err := os.WriteFile(wrapper, fmt.Appendf(nil,
		"#!/bin/sh\nexec %s -D -f -qq -y -s 6000 -e signal=none -e trace=fsync,fdatasync,write,pwrite64 -o %s %s \"$@\"\n", strace, trace, program), 0o700); err != nil {
		t.Fatal(err)
	}
	s.program = wrapper
	s.start()
	s.program = program // commands are not traced
	said := &answered{tasks: map[string]string{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	for range 4 { // commits are shared
		c := s.client("latency=20ms")
		group.Go(func() { said.submitting(ctx, c, 3) })
	}
	eventually(t, time.Minute, "twenty tasks are accepted", func() bool { return len(said.copy()) >= 20 })
	stop()
	group.Wait()
	tasks := said.copy()
	s.terminate()
	calls := readTrace(t, trace)
	for task := range tasks {
		sent := slices.IndexFunc(calls, func(c call) bool {
			return strings.Contains(c.file, "socket:") && strings.Contains(c.data, "HTTP/1.1 200") && strings.Contains(c.data, task)
		})
		if sent < 0 {
			t.Fatalf("the answer with %s is not in the trace", task)
		}
		log := func(c call) bool { return strings.HasSuffix(c.file, "-wal") }
		written := slices.IndexFunc(calls, func(c call) bool { return log(c) && c.name == "pwrite64" && strings.Contains(c.data, task) })
		synced := slices.ContainsFunc(calls, func(c call) bool {
			return log(c) && strings.Contains(c.name, "sync") && written >= 0 && c.began > calls[written].ended && c.ended < calls[sent].began
		})
		if !synced {
			t.Errorf("%s: written as call %d, answered as %d, and not synced in between", task, written, sent)
		}
	}
}

// call is a system call: began and ended are lines of the trace.
type call struct {
	name, file, data string
	began, ended     int
}

// readTrace puts calls that others interrupted together again. They are in the order of their beginnings.
func readTrace(t *testing.T, name string) []call {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	var calls []call
	open := map[string]int{} // by thread
	for n := 0; lines.Scan(); n++ {
		thread, rest, _ := strings.Cut(lines.Text(), " ")
		rest = strings.TrimLeft(rest, " ")
		if strings.HasPrefix(rest, "<... ") {
			if at, ok := open[thread]; ok {
				calls[at].ended = n
				delete(open, thread)
			}
			continue
		}
		name, arguments, ok := strings.Cut(rest, "(")
		if !ok {
			continue
		}
		_, after, _ := strings.Cut(arguments, "<")
		path, data, _ := strings.Cut(after, ">")
		calls = append(calls, call{name: name, file: path, data: data, began: n, ended: n})
		if strings.HasSuffix(rest, "<unfinished ...>") {
			open[thread] = len(calls) - 1
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return calls
}
