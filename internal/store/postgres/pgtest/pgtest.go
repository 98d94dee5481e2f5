// Package pgtest gives tests a PostgreSQL: fresh databases on a server that it finds or starts, servers of a test's own, to
// be stopped and killed, and a network in between that fails when it is told to.
//
// The server for fresh databases is the one that TEST_DATABASE_URL names; else the one at 127.0.0.1:5432, or where the
// PG* variables point, if it lets the tests in; else a temporary one of the binaries that are installed. A test is never
// skipped: without any of the three it fails, and says what to run.
//
// A server has a hundred connections by default, and go test runs packages side by side. A store in a test should have a
// pool of four or so.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// limit bounds everything that is asked of a server here. It is for machines with too much to do.
const limit = time.Minute

// prefix begins the name of every database made here.
const prefix = "crosswalk_test_"

// Prepare finds the server and makes the template. A test whose time is not real must call it before its bubble begins.
func Prepare(tb testing.TB) {
	tb.Helper()
	if _, err := template(); err != nil {
		tb.Fatal(err)
	}
}

// Database makes a fresh database with the newest schema, for this test alone, and returns its URL. It is dropped, with
// whatever is still connected to it, when the test ends.
func Database(tb testing.TB) string {
	tb.Helper()
	return database(tb, (*owner).clone, (*owner).drop)
}

// Reused is Database for tests that make nothing but rows and partitions: what one of them has emptied again, the next one
// may get, with the partitions that were made in it. There are many such tests, and to make and to drop the some six hundred
// files of a database takes longer than most of them. A test that fails leaves nothing to others.
func Reused(tb testing.TB) string {
	tb.Helper()
	return database(tb, (*owner).take, func(o *owner, name string) error {
		if tb.Failed() {
			return o.drop(name)
		}
		return o.giveBack(name)
	})
}

// Empty makes a database without any table, for this test alone, and returns its URL. It goes as one of Database does.
func Empty(tb testing.TB) string {
	tb.Helper()
	return database(tb, (*owner).empty, (*owner).drop)
}

func database(tb testing.TB, from func(*owner) (name string, err error), end func(o *owner, name string) error) string {
	tb.Helper()
	o, err := template()
	if err != nil {
		tb.Fatal(err)
	}
	name, err := from(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := end(o, name); err != nil {
			tb.Error(err)
		}
	})
	return o.server.url(name)
}

// template is the database that all others of this test binary are copies of. It stays until the next run on the same
// server removes it: nothing runs at the end of a test binary.
//
//nolint:gochecknoglobals // made once a test binary
var template = sync.OnceValues(func() (*owner, error) {
	// What is thrown away need not be synced.
	s, err := find(Options{Settings: map[string]string{"fsync": "off", "full_page_writes": "off", "max_connections": strconv.Itoa(max(200, fewest))}})
	if err != nil {
		return nil, err
	}
	o, err := newOwner(s)
	if err != nil {
		return nil, err
	}
	if err := o.makeTemplate(migrate); err != nil {
		return nil, err
	}
	return o, nil
})

// owner makes databases on a server. It holds an advisory lock as long as it lives, whose key is the hash of the name with
// which its databases begin: what such a lock does not guard was left behind by a run that was killed.
type owner struct {
	server server
	name   string
	conn   *pgx.Conn // holds the lock
	made   atomic.Int64

	mu   sync.Mutex
	idle []string // databases of Reused that nobody has
}

func newOwner(s server) (*owner, error) {
	random := make([]byte, 4)
	_, _ = rand.Read(random) // never fails
	o := &owner{server: s, name: fmt.Sprintf("%s%s_%d_%s", prefix, time.Now().UTC().Format("20060102t150405"), os.Getpid(), hex.EncodeToString(random))}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	var err error
	if o.conn, err = s.connect(ctx, ""); err != nil {
		return nil, fmt.Errorf("pgtest: %w", err)
	}
	if err := o.lock(ctx); err != nil {
		_ = o.conn.Close(ctx) // the first error tells more
		return nil, err
	}
	return o, nil
}

// lock says that this owner lives, and removes what dead ones have left.
func (o *owner) lock(ctx context.Context) error {
	if _, err := o.conn.Exec(ctx, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, o.name); err != nil {
		return fmt.Errorf("pgtest: say that %s lives: %w", o.name, err)
	}
	rows, err := o.conn.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1) ORDER BY datname`, prefix)
	if err != nil {
		return fmt.Errorf("pgtest: list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return fmt.Errorf("pgtest: list databases: %w", err)
	}
	for _, name := range names {
		end := strings.LastIndexByte(name, '_')
		if end < len(prefix) || name[:end] == o.name {
			continue
		}
		if err := o.sweep(ctx, name, name[:end]); err != nil {
			return fmt.Errorf("pgtest: remove %s, which a dead run has left: %w", name, err)
		}
	}
	return nil
}

// sweep drops a database if its owner is dead. Two may do it at once: one gets the lock, the other goes on.
func (o *owner) sweep(ctx context.Context, name, of string) error {
	var dead bool
	if err := o.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtextextended($1, 0))`, of).Scan(&dead); err != nil || !dead {
		return err
	}
	_, err := o.conn.Exec(ctx, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
	_, unlock := o.conn.Exec(ctx, `SELECT pg_advisory_unlock(hashtextextended($1, 0))`, of)
	return errors.Join(err, unlock)
}

// makeTemplate makes the database that clone copies.
func (o *owner) makeTemplate(migrate func(ctx context.Context, url string) error) error {
	name := o.name + "_template"
	if err := o.run(`CREATE DATABASE ` + name + ` TEMPLATE template0 ENCODING 'UTF8'`); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := migrate(ctx, o.server.url(name)); err != nil {
		return fmt.Errorf("pgtest: migrate %s: %w", name, err)
	}
	// Whoever is connected to a template hinders its copying.
	return o.run(`ALTER DATABASE ` + name + ` ALLOW_CONNECTIONS false`)
}

// clone copies the template. PostgreSQL's default strategy, WAL_LOG, takes 25 ms for a schema of 40 tables, and the drop
// 9 ms, ten times as long where files are slow to make; FILE_COPY takes twice as long, for its checkpoints.
//
// Its commits are not waited for: they are as atomic and as visible as others, and the server outlives the test.
func (o *owner) clone() (string, error) {
	name := fmt.Sprintf("%s_%d", o.name, o.made.Add(1))
	return name, o.run(`CREATE DATABASE `+name+` TEMPLATE `+o.name+`_template`, `ALTER DATABASE `+name+` SET synchronous_commit = off`)
}

// take is a database that is as if it were new, but for its partitions.
func (o *owner) take() (string, error) {
	o.mu.Lock()
	last := len(o.idle) - 1
	if last < 0 {
		o.mu.Unlock()
		return o.clone()
	}
	defer o.mu.Unlock()
	name := o.idle[last]
	o.idle = o.idle[:last]
	return name, nil
}

// giveBack ends what is still connected to the database, and empties it.
func (o *owner) giveBack(name string) error {
	if err := o.runIn(name, hangUp, empty); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.idle = append(o.idle, name)
	return nil
}

const (
	// hangUp fails, to be tried again, as long as there is somebody else. Autovacuum gives way by itself.
	hangUp = `DO $$ DECLARE others int; BEGIN
		SELECT count(pg_terminate_backend(pid)) INTO others FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend';
		IF others > 0 THEN RAISE object_in_use; END IF;
	END $$`
	// empty leaves the rows that say which changes of the tables were made. The default environment is made by whoever opens
	// the database next. To truncate a table makes new files, which some file systems take long for where many were deleted just
	// now: rows of small tables are deleted, where the user may leave the foreign keys aside for it.
	empty = `DO $$ DECLARE t regclass; large regclass[]; may bool; BEGIN
		SELECT rolsuper INTO may FROM pg_roles WHERE rolname = current_user;
		IF may THEN SET LOCAL session_replication_role = replica; END IF;
		FOR t IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
			AND relname NOT IN ('goose_db_version', 'river_migration') LOOP
			CONTINUE WHEN pg_relation_size(t) = 0;
			IF may AND pg_total_relation_size(t) < 500000 THEN
				EXECUTE 'DELETE FROM ' || t;
			ELSE
				large := large || t;
			END IF;
		END LOOP;
		IF large IS NOT NULL THEN EXECUTE 'TRUNCATE ' || array_to_string(large, ', ') || ' CASCADE'; END IF;
		PERFORM setval(seqrelid, seqstart, false) FROM pg_sequence JOIN pg_class ON oid = seqrelid
			WHERE relnamespace = 'public'::regnamespace AND relname <> 'goose_db_version_id_seq';
	END $$`
)

// empty makes a database of nothing.
func (o *owner) empty() (string, error) {
	name := fmt.Sprintf("%s_%d", o.name, o.made.Add(1))
	return name, o.run(`CREATE DATABASE ` + name + ` TEMPLATE template0 ENCODING 'UTF8'`)
}

func (o *owner) drop(name string) error {
	return o.run(`DROP DATABASE IF EXISTS ` + name + ` WITH (FORCE)`)
}

// run runs statements in turn on a connection of its own, again while the server has no connection left or autovacuum is
// looking at the template. A connection that is kept would belong to the bubble of the test that came first.
func (o *owner) run(statements ...string) error { return o.runIn("", statements...) }

// runIn is run in a database other than the one by which the server was found.
func (o *owner) runIn(database string, statements ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		done, err := o.try(ctx, database, statements)
		statements = statements[done:]
		var refused *pgconn.PgError
		if err == nil || !errors.As(err, &refused) || !passing(refused.Code) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: still so after %v", err, limit)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// passing says whether a refusal is worth another try: too_many_connections, object_in_use, cannot_connect_now.
func passing(code string) bool { return code == "53300" || code == "55006" || code == "57P03" }

// try says how many of the statements it has run.
func (o *owner) try(ctx context.Context, database string, statements []string) (done int, err error) {
	conn, err := o.server.connect(ctx, database)
	if err != nil {
		return 0, fmt.Errorf("pgtest: %w", err)
	}
	defer conn.Close(ctx) //nolint:errcheck // its work is done, or has failed
	for _, statement := range statements {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return done, fmt.Errorf("pgtest: %s: %w", statement, err)
		}
		done++
	}
	return done, nil
}
