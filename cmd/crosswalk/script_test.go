package main

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"crosswalk": main})
}

// The scripts run the real program; see testdata/script. Beside testscript's own commands they have:
//
//	exits CODE PROGRAM ARG…   run a program that must end with that code
//	jsonenv NAME KEY          set a variable to a field of the JSON object that the last command printed
//	startserver ARG…          start crosswalk serve on a free port and set CROSSWALK_URL
//	stopserver                end it by SIGTERM; it must exit with 0 within 10 s
//	killserver                end it by SIGKILL
//	cluster                   start a PostgreSQL of the script's own, as safe as by default, and set CROSSWALK_DATABASE
//	sql QUERY                 run a statement on the database
//	interrupt CODE TEXT PROGRAM ARG…  run a program, send it SIGINT once it has printed a line with that text on stderr,
//	                          and want that code; what it printed is in the file interrupted
//
// Those in testdata/script run on each kind of database, which they can ask for as [sqlite] and [postgres]; those in the
// folders below are about one of them. CROSSWALK_DATA and CROSSWALK_DATABASE lead to a fresh database.
func TestScripts(t *testing.T) {
	both := filepath.Join("testdata", "script")
	for _, on := range []string{"sqlite", "postgres"} {
		t.Run(on, func(t *testing.T) {
			if on == "postgres" {
				pgtest.Prepare(t)
			}
			for name, dir := range map[string]string{"both": both, "only": filepath.Join(both, on)} {
				t.Run(name, func(t *testing.T) { runScripts(t, dir, on) })
			}
		})
	}
}

func runScripts(t *testing.T, dir, on string) {
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(env *testscript.Env) error {
			env.Setenv("CROSSWALK_DATA", filepath.Join(env.WorkDir, "data"))
			// A program under the race detector sleeps for a second before it ends.
			env.Setenv("GORACE", "atexit_sleep_ms=0")
			env.Values[serverKey{}] = &process{}
			env.Values[testKey{}] = env.T()
			if on == "postgres" {
				env.Setenv("CROSSWALK_DATABASE", pgtest.Reused(env.T().(testing.TB)))
				env.Setenv("CROSSWALK_DATABASE_CONNECTIONS", "4")
			}
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "sqlite" && name != "postgres" {
				return false, errors.New("there is no such condition")
			}
			return name == on, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "jsonenv": jsonenv, "startserver": startServer, "stopserver": stopServer, "interrupt": interrupt,
			"killserver": killServer, "cluster": cluster, "sql": statement,
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	checkExit(ts, ts.Exec(args[1], args[2:]...), want)
}

func checkExit(ts *testscript.TestScript, err error, want int) {
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func jsonenv(ts *testscript.TestScript, _ bool, args []string) {
	var object map[string]any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &object))
	value, ok := object[args[1]].(string)
	if !ok {
		ts.Fatalf("no text %q in %v", args[1], object)
	}
	ts.Setenv(args[0], value)
}

// process is the script's server.
type process struct{ ended chan error }

type serverKey struct{}

type testKey struct{}

func cluster(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Setenv("CROSSWALK_DATABASE", pgtest.NewCluster(ts.Value(testKey{}).(testing.TB), pgtest.Options{}).Database("crosswalk"))
}

func statement(ts *testscript.TestScript, _ bool, args []string) {
	driver, source := "pgx", ts.Getenv("CROSSWALK_DATABASE")
	if source == "" {
		driver, source = "sqlite", filepath.Join(ts.Getenv("CROSSWALK_DATA"), "crosswalk.db")
	}
	db, err := sql.Open(driver, source)
	ts.Check(err)
	defer db.Close()
	_, err = db.Exec(strings.Join(args, " "))
	ts.Check(err)
}

var address = regexp.MustCompile(`serves (http://\S+)`)

func startServer(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("crosswalk", append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Path = lookPath(ts, "crosswalk")
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = environment(ts)
	log, err := os.Create(ts.MkAbs("server.log"))
	ts.Check(err)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = log.Close()
	})
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	if match := address.FindStringSubmatch(line); err == nil && match != nil {
		ts.Setenv("CROSSWALK_URL", match[1])
	} else {
		ts.Fatalf("the server did not start: %q, %v\n%s", line, err, ts.ReadFile("server.log"))
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // it must not wait for a reader
	ts.Setenv("SERVER_PID", strconv.Itoa(cmd.Process.Pid))
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ts.Value(serverKey{}).(*process).ended = ended
}

func stopServer(ts *testscript.TestScript, _ bool, _ []string) {
	pid, err := strconv.Atoi(ts.Getenv("SERVER_PID"))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGTERM))
	select {
	case err := <-ts.Value(serverKey{}).(*process).ended:
		checkExit(ts, err, 0)
	case <-time.After(10 * time.Second):
		ts.Fatalf("the server did not stop within 10 s")
	}
}

func killServer(ts *testscript.TestScript, _ bool, _ []string) {
	pid, err := strconv.Atoi(ts.Getenv("SERVER_PID"))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	<-ts.Value(serverKey{}).(*process).ended //nolint:errcheck // killed: it cannot end well
}

func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	cmd := exec.Command(args[2], args[3:]...)
	cmd.Path = lookPath(ts, args[2])
	cmd.Dir = ts.Getenv("WORK")
	cmd.Env = environment(ts)
	all, err := os.Create(ts.MkAbs("interrupted"))
	ts.Check(err)
	defer all.Close()
	out, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	lines := bufio.NewReader(out)
	for line := ""; !strings.Contains(line, args[1]); {
		line, err = lines.ReadString('\n')
		ts.Check(err)
		_, err = all.WriteString(line)
		ts.Check(err)
	}
	ts.Check(cmd.Process.Signal(os.Interrupt))
	_, err = io.Copy(all, lines)
	ts.Check(err)
	checkExit(ts, cmd.Wait(), want)
}

func lookPath(ts *testscript.TestScript, program string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	ts.Fatalf("%s is not in PATH", program)
	return ""
}

func environment(ts *testscript.TestScript) []string {
	env := []string{}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "WORK", "GORACE", "CROSSWALK_DATA", "CROSSWALK_DATABASE", "CROSSWALK_DATABASE_CONNECTIONS", "CROSSWALK_URL", "CROSSWALK_API_KEY", "CROSSWALK_INTEGRATION", "CROSSWALK_MASTER_KEY", "CROSSWALK_MASTER_KEY_FILE"} {
		if value := ts.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", 999: "999", 1000: "1,000", 12944: "12,944", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestPerSecond(t *testing.T) {
	for _, test := range []struct {
		n    int
		took time.Duration
		want string
	}{{12944, 310 * time.Millisecond, "42,000"}, {31, time.Second, "31"}, {5, 10 * time.Second, "1"}, {10_000, time.Second, "10,000"}} {
		if got := perSecond(test.n, test.took); got != test.want {
			t.Errorf("perSecond(%d, %v) = %q, want %q", test.n, test.took, got, test.want)
		}
	}
}

// Every command's help has a sentence and two examples, and every flag of the server a variable and its default.
func TestHelp(t *testing.T) {
	for _, path := range [][]string{
		{"serve"},
		{"demo"},
		{"skills", "push"},
		{"skills", "list"},
		{"skills", "diff"},
		{"tasks", "get"},
		{"tasks", "wait"},
		{"users", "create"},
		{"users", "passwd"},
		{"users", "list"},
		{"users", "delete"},
		{"keys", "create"},
		{"keys", "list"},
		{"keys", "revoke"},
		{"environments", "create"},
		{"environments", "list"},
		{"environments", "set"},
		{"environments", "rename"},
		{"environments", "delete"},
		{"environments", "erase"},
		{"integrations", "create"},
		{"integrations", "list"},
		{"integrations", "show"},
		{"integrations", "update"},
		{"integrations", "enable"},
		{"integrations", "disable"},
		{"integrations", "delete"},
		{"integrations", "doubt"},
		{"logs", "list"},
		{"logs", "show"},
		{"master-key", "new"},
		{"master-key", "status"},
		{"master-key", "rotate"},
		{"backup"},
		{"move"},
		{"restore"},
		{"doctor"},
		{"tools"},
		{"version"},
	} {
		var out strings.Builder
		a := &app{ctx: t.Context(), out: &out, err: &out}
		if code := a.run(append(path, "--help")); code != exitOK {
			t.Errorf("%v --help: exit code %d", path, code)
		}
		_, examples, ok := strings.Cut(out.String(), "Examples:")
		if lines := strings.Count(examples, "crosswalk "+strings.Join(path, " ")); !ok || lines < 2 {
			t.Errorf("%v --help has %d examples:\n%s", path, lines, out.String())
		}
		if path[0] == "serve" {
			for _, want := range []string{"default 127.0.0.1:8080", "default ./crosswalk-data", "default 10000", "default 64"} {
				if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
					t.Errorf("the help does not say %q", want)
				}
			}
			for _, line := range strings.Split(out.String(), "\n") {
				if strings.Contains(line, "--") && strings.HasPrefix(strings.TrimSpace(line), "--") && !strings.Contains(out.String(), "CROSSWALK_"+variable(line)) {
					t.Errorf("the flag %q has no variable", line)
				}
			}
		}
	}
}

func variable(line string) string {
	name := strings.TrimPrefix(strings.TrimPrefix(strings.Fields(line)[0], "--"), "[no-]")
	name, _, _ = strings.Cut(name, "=")
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}
