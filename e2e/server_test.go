package e2e

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// make soak asks for more of each.
var (
	kills  = flag.Int("kills", 30, "how often servers are killed")
	pauses = flag.Int("pauses", 1, "how often a server is paused at a random moment")
	full   = flag.Bool("full", false, "measure at full size")
)

// program is the built crosswalk.
var program string

const programVariable = "CROSSWALK_E2E_PROGRAM"

func TestMain(m *testing.M) {
	flag.Parse()
	// A test in another process, for the sake of its disk, has the program already.
	if program = os.Getenv(programVariable); program != "" {
		os.Exit(m.Run())
	}
	pgtest.NeedConnections(400)
	// The tests wait most of the time: more of them at once than there are processors.
	parallel := false
	flag.Visit(func(f *flag.Flag) { parallel = parallel || f.Name == "test.parallel" })
	if !parallel {
		if err := flag.Set("test.parallel", "8"); err != nil {
			log.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("", "crosswalk-e2e-")
	if err != nil {
		log.Fatal(err)
	}
	program = filepath.Join(dir, "crosswalk")
	build := exec.Command("go", "build", "-o", program, "../cmd/crosswalk")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		log.Fatalf("build crosswalk: %v", err)
	}
	if err := os.Setenv(programVariable, program); err != nil {
		log.Fatal(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir) // it is in the temporary folder anyway
	os.Exit(code)
}

// site is a database with a process that serves it. Several sites may share a PostgreSQL.
type site struct {
	t    *testing.T
	data string // the folder of an embedded database
	// database are the flags that lead the process to the database; admins lead everybody else there.
	database, admins []string
	// open opens the database, past whatever stands between it and the process.
	open func(ctx context.Context) (store.Store, error)
	// driver and source of database/sql lead there too, for what is done behind everybody's back.
	driver, source string
	url            string
	env            []string // besides the tests' own
	// program is what serves and administers.
	program string
	cmd     *exec.Cmd
	done    chan error
	log     *lockedBuffer
	born    int // where the log of the last start begins
}

// lockedBuffer collects what a process writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// at is up to n bytes from an offset on.
func (l *lockedBuffer) at(offset, n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b.Bytes()[offset:min(offset+n, l.b.Len())])
}

func (l *lockedBuffer) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Len()
}

// newSite has an embedded database.
func newSite(t *testing.T) *site {
	return newSiteIn(t, filepath.Join(t.TempDir(), "data"))
}

// newSiteIn has an embedded database in a folder.
func newSiteIn(t *testing.T, dir string) *site {
	s := newProcess(t, "--data", dir)
	s.data = dir
	s.driver, s.source = "sqlite", filepath.Join(dir, "crosswalk.db")
	s.open = func(ctx context.Context) (store.Store, error) {
		return sqlite.Open(ctx, sqlite.Options{Path: s.source})
	}
	return s
}

// newSiteOn has a PostgreSQL. The process may be given another way to it.
func newSiteOn(t *testing.T, url, way string) *site {
	s := newProcess(t, "--database", url)
	s.data = filepath.Join(t.TempDir(), "data")
	s.driver, s.source = "pgx", url
	s.database = []string{"--database", way, "--database-connections", "8", "--data", s.data}
	t.Cleanup(func() {
		if _, err := os.Stat(s.data); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a process on PostgreSQL keeps something in its data folder: %v", err)
		}
	})
	s.open = func(ctx context.Context) (store.Store, error) {
		return postgres.Open(ctx, postgres.Options{URL: url, Conns: 2})
	}
	return s
}

func newProcess(t *testing.T, database ...string) *site {
	s := &site{t: t, database: database, admins: database, program: program, log: &lockedBuffer{}}
	t.Cleanup(func() {
		if s.cmd != nil {
			_ = s.cmd.Process.Kill() // it may have ended
		}
		if t.Failed() {
			log := s.log.String()
			t.Logf("the server's log ends:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return s
}

var serves = regexp.MustCompile(`serves (http://\S+)`)

// begin starts a server without waiting for it. Its address is the one it had before, if it had one.
func (s *site) begin(flags ...string) *bufio.Reader {
	s.t.Helper()
	listen := "127.0.0.1:0"
	if s.url != "" {
		listen = s.url[len("http://"):]
	}
	s.cmd = exec.Command(s.program, slices.Concat([]string{"serve", "--listen", listen}, s.database, flags)...)
	s.cmd.Stderr = s.log
	s.born = s.log.len()
	s.cmd.Env = append(environment(), s.env...)
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.done = make(chan error, 1)
	return bufio.NewReader(out)
}

// environment is that of the tests, without what is meant for a developer's own server.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CROSSWALK_") })
}

// start starts a server and waits until it answers.
func (s *site) start(flags ...string) {
	s.t.Helper()
	s.ready(s.begin(flags...))
}

// ready waits until a server that was begun answers.
func (s *site) ready(lines *bufio.Reader) {
	s.t.Helper()
	line, err := lines.ReadString('\n')
	match := serves.FindStringSubmatch(line)
	if err != nil || match == nil {
		s.t.Fatalf("the server did not start: %q, %v\n%s", line, err, s.log)
	}
	s.url = match[1]
	s.reap(lines)
	eventually(s.t, time.Minute, "the server is ready", func() bool {
		status, _ := s.get("/readyz")
		return status == http.StatusOK
	})
}

// machinery asks servers how they are.
var machinery = &http.Client{Timeout: 5 * time.Second}

// get asks the server for a page of its machinery. It returns 0 if it does not answer.
func (s *site) get(path string) (status int, text string) {
	response, err := machinery.Get(s.url + path)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, ""
	}
	return response.StatusCode, string(content)
}

// metric is one of the server's counters; 0 while it counts none.
func (s *site) metric(name string) float64 {
	s.t.Helper()
	status, text := s.get("/metrics")
	if status != http.StatusOK {
		s.t.Fatalf("the server does not tell its metrics: %d", status)
	}
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// calls is how many calls of the tool are under way.
func (s *site) calls() int { return int(s.metric(`crosswalk_tool_calls_in_flight{tool="sandbox"}`)) }

// eventually waits until something holds.
func eventually(t *testing.T, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for until := time.Now().Add(limit); !holds(); {
		if time.Now().After(until) {
			t.Fatalf("%s: not so within %v", what, limit)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// reap waits for the process in the background, as a shell would.
func (s *site) reap(lines io.Reader) {
	cmd, done := s.cmd, s.done
	go func() {
		_, _ = io.Copy(io.Discard, lines) // it must not wait for a reader
		done <- cmd.Wait()
	}()
}

// kill ends the server as a power cut would end the process.
func (s *site) kill() {
	s.t.Helper()
	s.signal(syscall.SIGKILL)
	<-s.done //nolint:errcheck // killed: it cannot end well
}

func (s *site) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatal(err)
	}
}

// terminate asks the server to end, wants it to end well within 10 s, and returns how long it took.
func (s *site) terminate() time.Duration {
	s.t.Helper()
	began := time.Now()
	s.signal(syscall.SIGTERM)
	select {
	case err := <-s.done:
		if err != nil {
			s.t.Errorf("after SIGTERM: %v", err)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatal("the server is still there 10 s after SIGTERM")
	}
	return time.Since(began)
}

// admin runs a command on the database and returns a field of what it prints.
func (s *site) admin(field string, args ...string) string {
	s.t.Helper()
	var object map[string]any
	s.run(&object, args...)
	text, _ := object[field].(string)
	return text
}

// run runs a command on the database and reads what it prints.
func (s *site) run(into any, args ...string) {
	s.t.Helper()
	cmd := exec.Command(s.program, slices.Concat(args, s.admins, []string{"--json"})...)
	cmd.Env = append(environment(), s.env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, &stderr)
	}
	if err := json.Unmarshal(out, into); err != nil {
		s.t.Fatalf("%v: %v: %s", args, err, out)
	}
}

// exec changes something in the database behind everybody's back.
func (s *site) exec(statement string, args ...any) {
	s.t.Helper()
	s.sql(func(ctx context.Context, db *sql.DB) error {
		_, err := db.ExecContext(ctx, statement, args...)
		return err
	})
}

// number asks the database behind everybody's back.
func (s *site) number(query string) (n int) {
	s.t.Helper()
	s.sql(func(ctx context.Context, db *sql.DB) error { return db.QueryRowContext(ctx, query).Scan(&n) })
	return n
}

func (s *site) sql(do func(ctx context.Context, db *sql.DB) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	db, err := sql.Open(s.driver, s.source)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close()
	if s.driver == "sqlite" {
		db.SetMaxOpenConns(1)
		if _, err := db.ExecContext(ctx, "PRAGMA busy_timeout = 10000"); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := do(ctx, db); err != nil {
		s.t.Fatal(err)
	}
}

// client makes a key and an integration.
func (s *site) client(settings ...string) *client.Client {
	s.t.Helper()
	key := s.admin("key", "keys", "create", "--name", "e2e")
	args := []string{"integrations", "create", "--tool", "sandbox", "--name", "Acme GmbH"}
	for _, set := range settings {
		args = append(args, "--set", set)
	}
	c := client.New(s.url, key, s.admin("id", args...))
	c.Retries = 0
	return c
}

// tool reads the sandbox's own catalogue of an integration.
func (s *site) tool(integration string) map[string]sandbox.Record {
	s.t.Helper()
	ctx := context.Background()
	db, err := s.open(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	list, err := db.Sandbox().List(ctx, integration, 0, 1_000_000)
	if err != nil {
		s.t.Fatal(err)
	}
	by := make(map[string]sandbox.Record, len(list))
	for _, r := range list {
		if _, twice := by[r.ExternalID]; twice {
			s.t.Errorf("the tool holds %s twice", r.ExternalID)
		}
		by[r.ExternalID] = r
	}
	return by
}

// to is the client, speaking to this server.
func (s *site) to(c *client.Client) *client.Client {
	other := *c
	other.BaseURL = s.url
	return &other
}

func items(n int, round string) []client.Item {
	list := make([]client.Item, n)
	for i := range list {
		list[i] = client.Item{OriginID: fmt.Sprintf("skill-%d", i), Name: fmt.Sprintf("Skill %d %s", i, round)}
	}
	return list
}
