package pgtest

import (
	"context"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
)

// kept connects to a database through its idle sessions.
func kept(t *testing.T, o *owner, name string, params ...string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(o.server.url(name))
	if err != nil {
		t.Fatal(err)
	}
	config.DialFunc = o.sessions.dial
	for i := 0; i < len(params); i += 2 {
		config.RuntimeParams[params[i]] = params[i+1]
	}
	conn, err := pgx.ConnectConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func pid(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	return count(t, conn, `SELECT pg_backend_pid()`)
}

func TestSessionsAreKept(t *testing.T) {
	o := newTestOwner(t)
	ctx := context.Background()
	for _, test := range []struct {
		name string
		do   func(t *testing.T, conn *pgx.Conn)
		kept bool
	}{
		{"nothing", func(*testing.T, *pgx.Conn) {}, true},
		{"much to forget", func(t *testing.T, conn *pgx.Conn) {
			for _, statement := range []string{
				`SET search_path TO pg_catalog`, `SET crosswalk.now TO '2001-01-01'`, `CREATE TEMPORARY TABLE things (n int)`, `LISTEN news`, `NOTIFY news`,
				`SELECT pg_advisory_lock(7)`, `DECLARE c CURSOR WITH HOLD FOR SELECT 1`,
			} {
				exec1(t, conn, statement)
			}
			if n := count(t, conn, `SELECT $1::int + 1`, 1); n != 2 {
				t.Errorf("1 + 1 is %d", n)
			}
		}, true},
		{"a failed statement", func(t *testing.T, conn *pgx.Conn) {
			if _, err := conn.Exec(ctx, `SELECT 1/0`); err == nil {
				t.Error("a division by nothing")
			}
		}, true},
		{"an open transaction", func(t *testing.T, conn *pgx.Conn) { exec1(t, conn, `BEGIN; INSERT INTO things VALUES (2)`) }, false},
		{"a given up statement", func(t *testing.T, conn *pgx.Conn) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			if _, err := conn.Exec(ctx, `SELECT pg_sleep(30)`); err == nil {
				t.Error("the statement was not given up")
			}
			<-conn.PgConn().CleanupDone()
		}, false},
		{"a reader that has not read all", func(t *testing.T, conn *pgx.Conn) {
			if _, err := conn.Query(ctx, `SELECT repeat('x', 1000) FROM generate_series(1, 20000)`); err != nil { //nolint:sqlclosecheck // that is what it is about
				t.Error(err)
			}
		}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			name, err := o.clone()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := o.drop(name); err != nil {
					t.Error(err)
				}
			})
			first := kept(t, o, name)
			process := pid(t, first)
			test.do(t, first)
			_ = first.Close(ctx) // some are broken

			next := kept(t, o, name)
			defer next.Close(ctx) //nolint:errcheck // a test
			if got := pid(t, next) == process; got != test.kept {
				t.Fatalf("the session is kept: %v, want %v", got, test.kept)
			}
			if n := count(t, next, `SELECT count(*) FROM things`); n != 1 {
				t.Errorf("%d rows, want the template's", n)
			}
			if n := count(t, next, `SELECT $1::int + 1`, 1); n != 2 { // prepared under the same name as by the one before
				t.Errorf("1 + 1 is %d", n)
			}
			if n := count(t, next, `SELECT (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
				+ (SELECT count(*) FROM pg_listening_channels()) + (SELECT count(*) FROM pg_cursors WHERE name = 'c') + coalesce(length(current_setting('crosswalk.now', true)), 0)`); n != 0 {
				t.Error("it remembers something")
			}
			other := kept(t, o, name, "application_name", "other")
			if pid(t, other) == process {
				t.Error("somebody who asked for something else has got it")
			}
			_ = other.Close(ctx) // a test
		})
	}
}

func TestKilledSessionIsNotTaken(t *testing.T) {
	o := newTestOwner(t)
	name, err := o.clone()
	if err != nil {
		t.Fatal(err)
	}
	conn := kept(t, o, name)
	process := pid(t, conn)
	_ = conn.Close(t.Context()) // it is kept
	exec1(t, o.conn, `SELECT pg_terminate_backend(`+strconv.Itoa(process)+`, 10000)`)
	again := kept(t, o, name)
	if pid(t, again) == process {
		t.Error("the process was not ended")
	}
	_ = again.Close(t.Context()) // a test
	if err := o.drop(name); err != nil {
		t.Error(err)
	}
	if n := len(o.sessions.pids(name)); n != 0 {
		t.Errorf("%d sessions of a dropped database are kept", n)
	}
}

func TestSessionFromBubbleToBubble(t *testing.T) {
	o := newTestOwner(t)
	name, err := o.clone()
	if err != nil {
		t.Fatal(err)
	}
	processes := map[int]bool{}
	for range 3 {
		synctest.Test(t, func(t *testing.T) {
			conn := kept(t, o, name)
			time.Sleep(time.Hour) // of the bubble's
			processes[pid(t, conn)] = true
			_ = conn.Close(t.Context()) // it is kept
		})
	}
	if len(processes) != 1 {
		t.Errorf("%d sessions, want one", len(processes))
	}
	if err := o.drop(name); err != nil {
		t.Error(err)
	}
}
