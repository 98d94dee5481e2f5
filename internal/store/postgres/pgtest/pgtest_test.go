package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
)

// open connects to a database until the test ends.
func open(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // some tests break it
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func count(t *testing.T, conn *pgx.Conn, query string, args ...any) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// newTestOwner is an owner with a template that has one table with one row.
func newTestOwner(t *testing.T) *owner {
	t.Helper()
	all, err := template()
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOwner(all.server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.drop(o.name + "_template"); err != nil {
			t.Error(err)
		}
		_ = o.conn.Close(context.Background()) // it has done its work
	})
	err = o.makeTemplate(func(ctx context.Context, url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer conn.Close(ctx) //nolint:errcheck // a test
		_, err = conn.Exec(ctx, `CREATE TABLE things (n int); INSERT INTO things VALUES (1); CREATE TABLE parents (n serial PRIMARY KEY)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestDatabasesAreFreshAndApart(t *testing.T) {
	o := newTestOwner(t)
	t.Run("side by side", func(t *testing.T) {
		for range 12 {
			t.Run("", func(t *testing.T) {
				t.Parallel()
				name, err := o.clone()
				if err != nil {
					t.Fatal(err)
				}
				conn := open(t, o.server.url(name))
				exec1(t, conn, `INSERT INTO things VALUES (2)`)
				if n := count(t, conn, `SELECT count(*) FROM things`); n != 2 {
					t.Errorf("%d rows, want the template's and our own", n)
				}
				// The connection is still open.
				if err := o.drop(name); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if n := count(t, o.conn, `SELECT count(*) FROM pg_database WHERE starts_with(datname, $1)`, o.name); n != 1 {
		t.Errorf("%d databases are left, want the template alone", n)
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	for name, test := range map[string]struct {
		make   func(testing.TB) string
		tables bool
	}{"with the schema": {Database, true}, "empty": {Empty, false}} {
		var url string
		t.Run(name, func(t *testing.T) {
			url = test.make(t)
			if n := count(t, open(t, url), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); (n > 0) != test.tables {
				t.Errorf("it has %d tables", n)
			}
		})
		if conn, err := pgx.Connect(t.Context(), url); err == nil {
			_ = conn.Close(t.Context()) // the test has failed
			t.Errorf("%s: the database is still there", name)
		}
	}
}

func TestDatabaseInABubble(t *testing.T) {
	Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		if n := count(t, open(t, Database(t)), `SELECT 1`); n != 1 {
			t.Errorf("SELECT 1 is %d", n)
		}
	})
}

func TestDatabasesOfTheDeadAreRemoved(t *testing.T) {
	o := newTestOwner(t)
	living := newTestOwner(t)
	const dead = prefix + "20260101t000000_1_dead"
	for _, name := range []string{dead + "_template", dead + "_7"} {
		if err := o.run(`CREATE DATABASE ` + name); err != nil {
			t.Fatal(err)
		}
	}
	next := newTestOwner(t)
	if n := count(t, next.conn, `SELECT count(*) FROM pg_database WHERE starts_with(datname, $1)`, dead); n != 0 {
		t.Errorf("%d databases of a dead run are left", n)
	}
	for _, o := range []*owner{o, living} {
		if n := count(t, next.conn, `SELECT count(*) FROM pg_database WHERE starts_with(datname, $1)`, o.name); n != 1 {
			t.Errorf("%d databases of a living run are left, want 1", n)
		}
	}
}

func TestFindingAServer(t *testing.T) {
	c := NewCluster(t, Options{Settings: map[string]string{"fsync": "off"}})
	admin := open(t, c.URL("postgres"))
	exec1(t, admin, `CREATE ROLE weak LOGIN`)
	host, port, _ := strings.Cut(c.Addr(), ":")
	tests := []struct {
		name string
		env  map[string]string
		want string // part of the URL; or of the error, if it begins with an exclamation mark
	}{
		{"named", map[string]string{"TEST_DATABASE_URL": c.URL("template1")}, c.Addr() + "/template1"},
		{"named, and away", map[string]string{"TEST_DATABASE_URL": "postgres://127.0.0.1:1/postgres"}, "!the server of TEST_DATABASE_URL cannot be used"},
		{"named, and not a URL", map[string]string{"TEST_DATABASE_URL": "host=127.0.0.1"}, "!must be like postgres://"},
		{"named, and not allowed", map[string]string{"TEST_DATABASE_URL": "postgres://weak@" + c.Addr() + "/postgres"}, "!ALTER ROLE weak CREATEDB"},
		{"local", map[string]string{"PGPORT": port}, "postgres@" + c.Addr() + "/postgres"},
		{"by variables", map[string]string{"PGHOST": host, "PGPORT": port, "PGUSER": "postgres", "PGDATABASE": "template1"}, c.Addr() + "/template1"},
		{"by socket", map[string]string{"PGHOST": c.c.run, "PGPORT": port, "PGUSER": "postgres"}, "host=" + strings.ReplaceAll(c.c.run, "/", "%2F")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, name := range []string{"TEST_DATABASE_URL", "PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGSERVICE", "PGPASSWORD"} {
				t.Setenv(name, test.env[name])
			}
			s, err := find(Options{Settings: map[string]string{"fsync": "off"}})
			want, wrong := strings.CutPrefix(test.want, "!")
			switch {
			case wrong && (err == nil || !strings.Contains(err.Error(), want)):
				t.Errorf("error %v, want one with %q", err, want)
			case !wrong && err != nil:
				t.Error(err)
			case !wrong && !strings.Contains(s.url(""), want):
				t.Errorf("found %s, want one with %s", s.url(""), want)
			}
		})
	}
}

// The temporary server ends with the process that started it. So that process is another one: this test binary again, which
// prints where its server is and stays until it is killed.
func TestTemporaryServerEndsWithItsProcess(t *testing.T) {
	if os.Getenv("PGTEST_CHILD") != "" {
		o, err := template()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("server %s\n", o.server.url("")) //nolint:forbidigo // its parent reads it
		select {}
	}
	temporary := openFolder(t)
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "PGTEST_CHILD=1", "TEST_DATABASE_URL=", "PGHOST=127.0.0.1", "PGPORT=1", "TMPDIR="+temporary)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill() // it may be dead already
		_ = child.Wait()         // it was killed
	})
	var url string
	if _, err := fmt.Fscanf(out, "server %s\n", &url); err != nil {
		t.Fatalf("the child does not say where its server is: %v", err)
	}
	conn := open(t, url)
	if n := count(t, conn, `SELECT 1`); n != 1 {
		t.Errorf("SELECT 1 is %d", n)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wait(t, "the server and its folder are gone", func() bool {
		left, err := os.ReadDir(temporary)
		if err != nil {
			t.Fatal(err)
		}
		return len(left) == 0 && conn.Ping(t.Context()) != nil
	})
}

// openFolder is a temporary folder in which the user that PostgreSQL runs as may do everything.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, dir := range []string{filepath.Dir(dir), dir} {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// wait waits for a condition.
func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !is(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

func BenchmarkDatabase(b *testing.B) {
	Prepare(b)
	for b.Loop() {
		o, err := template()
		if err != nil {
			b.Fatal(err)
		}
		name, err := o.clone()
		if err != nil {
			b.Fatal(err)
		}
		if err := o.drop(name); err != nil {
			b.Fatal(err)
		}
	}
}

func TestReusedIsAsIfNew(t *testing.T) {
	o := newTestOwner(t)
	first, err := o.take()
	if err != nil {
		t.Fatal(err)
	}
	conn := open(t, o.server.url(first))
	exec1(t, conn, `CREATE TABLE children (n int REFERENCES parents); CREATE TABLE river_migration (n int)`)
	for range 2 {
		exec1(t, conn, `INSERT INTO parents DEFAULT VALUES`)
	}
	exec1(t, conn, `INSERT INTO children VALUES (2); INSERT INTO river_migration VALUES (7)`)
	other, err := o.take()
	if err != nil || other == first {
		t.Fatalf("%s, %v: want another, since the first is in use", other, err)
	}
	// The connection is still open, and in a transaction.
	exec1(t, conn, `BEGIN; INSERT INTO things VALUES (3)`)
	if err := o.giveBack(first); err != nil {
		t.Fatal(err)
	}
	again, err := o.take()
	if err != nil || again != first {
		t.Fatalf("%s, %v, want %s again", again, err, first)
	}
	conn = open(t, o.server.url(again))
	for table, want := range map[string]int{"things": 0, "parents": 0, "children": 0, "river_migration": 1} {
		if n := count(t, conn, `SELECT count(*) FROM `+table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
	if n := count(t, conn, `SELECT nextval('parents_n_seq')`); n != 1 {
		t.Errorf("a sequence goes on at %d", n)
	}
	for _, name := range []string{other, again} {
		if err := o.drop(name); err != nil {
			t.Error(err)
		}
	}
}
