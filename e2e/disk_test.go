package e2e

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/testdisk"
)

// fullFor is how long a disk stays full: longer than a lease.
const fullFor = 8 * time.Second

// TestTheDiskOfSQLiteIsFull fills the disk of an embedded database while it is used, twice.
func TestTheDiskOfSQLiteIsFull(t *testing.T) {
	t.Parallel()
	testdisk.Run(t, 48<<20, func(t *testing.T, disk *testdisk.Disk) {
		s := newSiteIn(t, filepath.Join(disk.Path, "data"))
		l := startLoad(t, s)
		for _, round := range []string{"first", "second"} {
			l.goesOn("nothing, before the disk is full, " + round)
			before := l.watch.refusals()
			disk.Fill()
			l.refused(before)
			pause(t.Context(), fullFor)
			disk.Free()
			l.goesOn("a full disk, " + round)
		}
		l.end()
		db, err := sql.Open("sqlite", filepath.Join(disk.Path, "data", "crosswalk.db"))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		var verdict string
		if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
			t.Errorf("integrity_check: %s (%v)", verdict, err)
		}
	})
}

// TestTheDiskOfPostgreSQLIsFull fills the disk of a PostgreSQL while it is used. A PostgreSQL that has no room for its log
// ends, and it cannot start before there is some: whoever runs it starts it again then, as the test does.
func TestTheDiskOfPostgreSQLIsFull(t *testing.T) {
	t.Parallel()
	testdisk.Run(t, 192<<20, func(t *testing.T, disk *testdisk.Disk) {
		c := pgtest.NewCluster(t, pgtest.Options{Dir: disk.Path, Settings: map[string]string{"min_wal_size": "32MB", "max_wal_size": "48MB"}})
		url := c.Database("crosswalk")
		l := startLoad(t, newSiteOn(t, url, url))
		for _, round := range []string{"first", "second"} {
			l.goesOn("nothing, before the disk is full, " + round)
			before := l.watch.refusals()
			disk.Fill()
			l.refused(before)
			pause(t.Context(), fullFor)
			disk.Free()
			c.Recover()
			l.goesOn("a full disk, " + round)
		}
		l.end()
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context()) //nolint:errcheck // the server ends with the test
		for _, check := range []string{
			`CREATE EXTENSION amcheck`,
			`SELECT bt_index_check(i.indexrelid, true) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
				WHERE a.amname = 'btree' AND c.relkind = 'i' AND i.indisvalid`,
			`DO $$ DECLARE broken text; BEGIN
				SELECT string_agg(c.relname || ': ' || v.msg, '; ') INTO broken
				FROM pg_class c, verify_heapam(c.oid) v WHERE c.relkind IN ('r', 't', 'm');
				IF broken IS NOT NULL THEN RAISE EXCEPTION '%', broken; END IF;
			END $$`,
		} {
			if _, err := conn.Exec(t.Context(), check); err != nil {
				t.Errorf("%s: %v", check, err)
			}
		}
	})
}

// refused waits until a request is.
func (l *load) refused(before int) {
	l.t.Helper()
	for limit := time.Now().Add(time.Minute); l.watch.refusals() == before; {
		if time.Now().After(limit) {
			l.t.Fatal("everything is still accepted")
		}
		pause(l.t.Context(), 10*time.Millisecond)
	}
}
