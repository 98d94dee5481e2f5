package sqlite_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
	"github.com/crosswalk-hr/crosswalk/internal/store/storetest"
	"github.com/crosswalk-hr/crosswalk/internal/testdisk"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db"), Now: now})
	})
}

func open(t *testing.T, options sqlite.Options) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func TestSecondServerIsRefusedAndToldOfTheFirst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data", "crosswalk.db")
	first := open(t, sqlite.Options{Path: path, Serve: true, Label: "listening on 127.0.0.1:8080"})
	_, err := sqlite.Open(t.Context(), sqlite.Options{Path: path, Serve: true})
	taken, ok := errors.AsType[*sqlite.TakenError](err)
	if !ok || !strings.Contains(err.Error(), "listening on 127.0.0.1:8080") || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Fatalf("error = %v", err)
	}
	if taken.Path != path {
		t.Errorf("path = %s", taken.Path)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, sqlite.Options{Path: path, Serve: true})
}

func TestCommandsWriteBesideAServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	server := open(t, sqlite.Options{Path: path, Serve: true})
	command := open(t, sqlite.Options{Path: path})
	env, err := command.CreateEnvironment(t.Context(), "made by a command")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := server.Environment(t.Context(), "made by a command"); err != nil || got != env {
		t.Errorf("the server sees %+v, %v", got, err)
	}
}

// A server that writes without a pause leaves a command its turn.
func TestCommandsWriteBesideABusyServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	server := open(t, sqlite.Options{Path: path, Serve: true})
	command := open(t, sqlite.Options{Path: path})
	env, err := server.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	in, err := server.CreateIntegration(t.Context(), store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	items := make([]skill.Item, 5000)
	for i := range items {
		items[i] = skill.Item{OriginID: fmt.Sprint("skill-", i), Name: fmt.Sprint("Skill ", i), Status: skill.Active}
	}
	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	for range 4 {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := server.Submit(ctx, store.Submission{
					EnvironmentID: env.ID, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: items, Timeout: time.Hour,
				}); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 20 {
		if _, err := command.CreateEnvironment(t.Context(), fmt.Sprint("command ", i)); err != nil {
			t.Fatalf("command %d: %v", i, err)
		}
	}
}

func TestConcurrentFirstOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			s, err := sqlite.Open(t.Context(), sqlite.Options{Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			if list, err := s.Environments(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("environments = %v, %v", list, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestNewerTablesAreRefused(t *testing.T) {
	for what, c := range map[string]struct {
		newer string
		serve bool
	}{
		"ours":                  {"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)", true},
		"ours, by a command":    {"INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)", false},
		"the queue's, to serve": {"INSERT INTO river_migration (line, version) VALUES ('main', 9999)", true},
	} {
		path := filepath.Join(t.TempDir(), "crosswalk.db")
		if err := open(t, sqlite.Options{Path: path}).Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), c.newer); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = sqlite.Open(t.Context(), sqlite.Options{Path: path, Serve: c.serve})
		if err == nil || !strings.Contains(err.Error(), "version 9999") {
			t.Errorf("%s: error = %v", what, err)
		}
	}
}

// Changes of the tables come from several people: one may come to be after one with a higher number was made.
func TestAChangeOfTheTablesThatComesLate(t *testing.T) {
	for _, serve := range []bool{true, false} {
		path := filepath.Join(t.TempDir(), "crosswalk.db")
		if err := open(t, sqlite.Options{Path: path, Serve: true}).Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", sqlite.DSN(path))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, statement := range []string{"DROP TABLE connect_links", "DROP TABLE connect_settings", "DELETE FROM goose_db_version WHERE version_id = 10"} {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := open(t, sqlite.Options{Path: path, Serve: serve}).Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "SELECT hash FROM connect_links"); err != nil {
			t.Error(err)
		}
	}
}

// Integrations that were deleted by an earlier program lose their credentials with the upgrade.
func TestDeletedBeforeTheUpgrade(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	s := open(t, sqlite.Options{Path: path})
	ids := storetest.Deleted(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"UPDATE integrations SET credentials = x'01' WHERE deleted_at IS NOT NULL", storetest.Migration(t, "00013_deleted_credentials.sql"),
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	ids.Check(t, open(t, sqlite.Options{Path: path}))
}

// A start that ended between our migrations and the queue's, or a program with a newer queue, must not leave a server
// without the queue's tables.
func TestQueueTablesAreBroughtUpToDateApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	if err := open(t, sqlite.Options{Path: path, Serve: true}).Close(); err != nil {
		t.Fatal(err)
	}
	migrator := func(db *sql.DB) *rivermigrate.Migrator[*sql.Tx] {
		m, err := rivermigrate.New(riversqlite.New(db), &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, down := range map[string]*rivermigrate.MigrateOpts{"one step behind": nil, "none at all": {TargetVersion: -1}} {
		db, err := sql.Open("sqlite", sqlite.DSN(path))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := migrator(db).Migrate(t.Context(), rivermigrate.DirectionDown, down); err != nil {
			t.Fatal(err)
		}
		if res, err := migrator(db).Validate(t.Context(), nil); err != nil || res.OK {
			t.Fatalf("%s: the test's own step did nothing: %+v, %v", name, res, err)
		}
		if err := open(t, sqlite.Options{Path: path, Serve: true}).Close(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if res, err := migrator(db).Validate(t.Context(), nil); err != nil || !res.OK {
			t.Errorf("%s: %+v, %v", name, res, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What was accepted is there after the process is gone without a word; nothing is left locked.
func TestReopenAfterNoClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	s := open(t, sqlite.Options{Path: path, Serve: true})
	env, err := s.CreateEnvironment(t.Context(), "kept")
	if err != nil {
		t.Fatal(err)
	}
	// The files as they are on disk at this moment, log and all, are what a crash would leave.
	other := filepath.Join(t.TempDir(), "crosswalk.db")
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(other+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	again := open(t, sqlite.Options{Path: other, Serve: true})
	if got, err := again.Environment(t.Context(), "kept"); err != nil || got != env {
		t.Errorf("after the crash: %+v, %v", got, err)
	}
}

func TestPathsWithSpecialCharacters(t *testing.T) {
	for _, name := range []string{"with space", "100%", "a?b#c", "ünïcode", "semi;colon"} {
		path := filepath.Join(t.TempDir(), name, "crosswalk.db")
		s := open(t, sqlite.Options{Path: path})
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nobody but its owner reads the database, in whatever folder it lies.
func TestPrivate(t *testing.T) {
	t.Parallel()
	fresh := filepath.Join(t.TempDir(), "fresh.db")
	s, err := sqlite.Open(t.Context(), sqlite.Options{Path: fresh})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // nothing is lost
	for _, suffix := range []string{"", "-wal"} {
		info, err := os.Stat(fresh + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %s", filepath.Base(fresh+suffix), info.Mode())
		}
	}
}

// Large tasks expire bit by bit: everybody waits for the writer.
func TestLargeTasksExpireBitByBit(t *testing.T) {
	now := time.Now()
	s := sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db"), Now: func() time.Time { return now }})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	env, err := s.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.CreateIntegration(t.Context(), store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	list := make([]skill.Item, 9000)
	for i := range list {
		list[i] = skill.Item{OriginID: strconv.Itoa(i), Name: "name", Status: skill.Active}
	}
	var tasks []store.FailedTask
	for range 7 {
		if _, err := s.Submit(t.Context(), store.Submission{
			EnvironmentID: env.ID, IntegrationID: in.ID, TaskID: skill.NewTaskID(now), Items: list, Timeout: time.Hour,
		}); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Hour)
	overdue, _, err := s.Overdue(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range overdue {
		tasks = append(tasks, store.FailedTask{Ref: o.Ref, CompletedAt: now, Document: []byte("x")})
	}
	if _, err := s.FailTasks(t.Context(), tasks); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	var got []int
	for n := 1; n > 0; {
		if n, err = s.Expire(t.Context(), time.Minute, 1000); err != nil {
			t.Fatal(err)
		}
		got = append(got, n)
	}
	if diff := cmp.Diff([]int{2, 2, 2, 1, 0}, got); diff != "" {
		t.Errorf("expired by each call (-want +got):\n%s", diff)
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	testdisk.Run(t, 64<<20, func(t *testing.T, disk *testdisk.Disk) {
		s := open(t, sqlite.Options{Path: filepath.Join(disk.Path, "crosswalk.db"), Serve: true})
		grades := func() map[string]store.Grade {
			t.Helper()
			found, err := s.Examine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			by := map[string]store.Grade{}
			for _, f := range found {
				by[f.Check] = f.Grade
				if f.Found == "" || (f.Do != "") != (f.Grade != store.Fine) {
					t.Errorf("finding = %+v", f)
				}
			}
			return by
		}
		if diff := cmp.Diff(map[string]store.Grade{"disk": store.Wrong, "log": store.Fine, "file": store.Fine}, grades()); diff != "" {
			t.Errorf("with less than 100 MB of room (-want +got):\n%s", diff)
		}
	})
}

func TestVersions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	if _, _, err := sqlite.Versions(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of no file: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("it was made")
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	have, known, err := sqlite.Versions(t.Context(), path)
	if err != nil || have != 0 || known < 2 {
		t.Errorf("of an empty one: %d, %d, %v", have, known, err)
	}
	s := open(t, sqlite.Options{Path: path})
	have, known, err = sqlite.Versions(t.Context(), path)
	if err != nil || have != known {
		t.Errorf("%d, %d, %v", have, known, err)
	}
	if h, err := s.Health(t.Context()); err != nil || h.Schema != have {
		t.Errorf("health has the version %d, %v", h.Schema, err)
	}
}

func TestStoreHistories(t *testing.T) {
	t.Parallel()
	storetest.RunModel(t, func(t *testing.T, now func() time.Time) store.Store {
		return sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db"), Now: now})
	})
}

func TestErase(t *testing.T) {
	t.Parallel()
	storetest.RunErase(t, func(t *testing.T, now func() time.Time) (first, second store.Store, rows storetest.Rows) {
		path := filepath.Join(t.TempDir(), "crosswalk.db")
		a := sqlitetest.Open(t, sqlite.Options{Path: path, Now: now})
		b := open(t, sqlite.Options{Path: path, Now: now})
		db, err := sql.Open("sqlite", sqlite.DSN(path, "query_only(1)"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(db.Close(), a.Close(), b.Close()); err != nil {
				t.Error(err)
			}
		})
		return a, b, func(t *testing.T) map[string]int {
			t.Helper()
			return countRows(t, db)
		}
	})
}

// countRows counts the rows of all tables but those that are nobody's.
func countRows(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	names, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	var list []string
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			t.Fatal(err)
		}
		// Those behind the full text have as many rows as it happens to need.
		if !strings.HasPrefix(name, "river") && !strings.HasPrefix(name, "goose") && !strings.HasPrefix(name, "skill_words_") && name != "task_numbers" {
			list = append(list, name)
		}
	}
	if err := names.Err(); err != nil {
		t.Fatal(err)
	}
	counts := map[string]int{}
	for _, name := range list {
		var n int
		if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM "`+name+`"`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		counts[name] = n
	}
	return counts
}
