package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/testdisk"
)

// filled is a database with two integrations, to which tasks can be submitted.
type filled struct {
	*sqlite.Store
	t       *testing.T
	path    string
	env, in string
}

func newFilled(t *testing.T, path string) *filled {
	t.Helper()
	f := &filled{Store: open(t, sqlite.Options{Path: path, Serve: true}), t: t, path: path}
	env, err := f.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.CreateIntegration(t.Context(), store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte("{}")})
	if err != nil {
		t.Fatal(err)
	}
	f.env, f.in = env.ID, in.ID
	return f
}

// newBackedUp is a database in a folder with a task of ten, and a backup of it.
func newBackedUp(t *testing.T, dir string) (f *filled, task, file string) {
	t.Helper()
	f = newFilled(t, filepath.Join(dir, "crosswalk.db"))
	task, _ = f.submit(10)
	file = filepath.Join(t.TempDir(), "backup")
	if _, err := sqlite.Backup(t.Context(), f.path, file, false, nil); err != nil {
		t.Fatal(err)
	}
	return f, task, file
}

func (f *filled) submit(items int) (task string, took time.Duration) {
	f.t.Helper()
	list := make([]skill.Item, items)
	for i := range list {
		list[i] = skill.Item{OriginID: fmt.Sprintf("id-%d", i), Name: fmt.Sprintf("%0300d", i)}
	}
	task = skill.NewTaskID(time.Now())
	began := time.Now()
	_, err := f.Submit(f.t.Context(), store.Submission{
		EnvironmentID: f.env, IntegrationID: f.in, KeyID: "key", TaskID: task, Items: list, Timeout: time.Hour,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return task, time.Since(began)
}

// work carries out the oldest task: every item is written.
func (f *filled) work() {
	f.t.Helper()
	lease, next, err := f.Claim(f.t.Context(), store.Claim{IntegrationID: f.in, Owner: "x", TTL: time.Minute})
	if err != nil {
		f.t.Fatal(err)
	}
	var items []skill.Item
	for len(items) < next.Task.Items {
		block, err := f.Items(f.t.Context(), next.Task.Ref, len(items))
		if err != nil {
			f.t.Fatal(err)
		}
		items = append(items, block...)
	}
	step := store.Step{Task: next.Task.Ref, Finish: &store.Finish{Status: skill.Completed, CompletedAt: time.Now(), Document: []byte("{}")}, Then: store.Leave}
	for i, it := range items {
		step.Written = append(step.Written, store.SkillWritten{ID: fmt.Sprintf("skill-%d", i), RemoteID: fmt.Sprint(i), Item: it, Hash: skill.ContentHash("1", it)})
	}
	if _, err := f.Advance(f.t.Context(), lease, step); err != nil {
		f.t.Fatal(err)
	}
}

// What reads for long, as a backup does, does not hold up those who write, however long the log becomes.
func TestALongReaderDoesNotHoldUpWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	f := newFilled(t, path)
	f.submit(1)
	db, err := sql.Open("sqlite", sqlite.DSN(path, "query_only(1)"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	tx, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback() //nolint:errcheck // it only reads
	var n int
	if err := tx.QueryRow("SELECT count(*) FROM tasks").Scan(&n); err != nil {
		t.Fatal(err)
	}
	var longest time.Duration
	for log := int64(0); log < 80<<20; {
		f.submit(10_000)
		for range 20 {
			_, took := f.submit(1)
			longest = max(longest, took)
		}
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		log = info.Size()
	}
	if longest > 2*time.Second {
		t.Errorf("a small submission took %v", longest)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for limit := time.Now().Add(time.Minute); ; {
		f.submit(1)
		info, err := os.Stat(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() < 1<<20 {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("nobody reads any more, and the log still has %d bytes", info.Size())
		}
	}
}

// A backup taken while tasks come in holds everything that was accepted before it began, and opens.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := newFilled(t, filepath.Join(dir, "crosswalk.db"))
	f.submit(10_000)
	f.work()
	for range 70 {
		f.submit(10_000) // more than a step of the backup
	}
	stop, load := context.WithCancel(t.Context())
	defer load()
	accepted := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for stop.Err() == nil {
			task, _ := f.submit(100)
			select {
			case accepted <- task:
			case <-stop.Done():
			}
		}
	}()
	var before []string
	for range 20 {
		before = append(before, <-accepted)
	}
	file := filepath.Join(dir, "backup")
	var progress []int
	backup := make(chan error, 1)
	var snapshot sqlite.Snapshot
	go func() {
		var err error
		snapshot, err = sqlite.Backup(t.Context(), f.path, file, false, func(done, all int) { progress = append(progress, done, all) })
		backup <- err
	}()
	var err error
	during := 0
	for running := true; running; {
		select {
		case err = <-backup:
			running = false
		case <-accepted:
			during++
		}
	}
	load()
	<-done
	if err != nil {
		t.Fatal(err)
	}
	if during == 0 {
		t.Error("nothing was accepted meanwhile")
	}
	if n := len(progress); n < 4 || progress[n-2] != progress[n-1] || progress[n-1] == 0 {
		t.Errorf("progress = %v", progress)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 || info.Size() != snapshot.Bytes {
		t.Errorf("%v, %v; want mode 0600 and %d bytes", info, err, snapshot.Bytes)
	}
	if snapshot.Integrations != 1 || snapshot.Skills != 10_000 || snapshot.Unfinished < len(before) || snapshot.Newest.IsZero() || snapshot.MasterKey != "" || snapshot.Schema < 2 {
		t.Errorf("snapshot = %+v", snapshot)
	}
	onlyFiles(t, dir, "backup", "crosswalk.db")

	place := filepath.Join(dir, "elsewhere", "crosswalk.db")
	restored, err := sqlite.Restore(t.Context(), file, place, false)
	if err != nil {
		t.Fatal(err)
	}
	if restored.Snapshot != snapshot || restored.Doubted != 10_000 || restored.Before != "" {
		t.Errorf("restored = %+v", restored)
	}
	onlyFiles(t, filepath.Dir(place), "crosswalk.db")
	s := open(t, sqlite.Options{Path: place, Serve: true})
	for _, task := range before {
		if _, err := s.Task(t.Context(), f.env, f.in, task); err != nil {
			t.Errorf("a task that was accepted before: %v", err)
		}
	}
	lease, _, err := s.Claim(t.Context(), store.Claim{IntegrationID: f.in, Owner: "x", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	states, err := s.Skills(t.Context(), lease, []string{"id-0", "id-9999", "none"})
	if err != nil {
		t.Fatal(err)
	}
	want := []store.SkillState{{Ref: 1, ID: "skill-0", RemoteID: "0", Unsure: true}, {Ref: 10_000, ID: "skill-9999", RemoteID: "9999", Unsure: true}, {}}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("skills (-want +got):\n%s", diff)
	}
}

// onlyFiles wants these files in a folder, and what belongs to an open database.
func onlyFiles(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if name := e.Name(); !strings.HasSuffix(name, "-wal") && !strings.HasSuffix(name, "-shm") && !strings.HasSuffix(name, ".lock") && !e.IsDir() {
			got = append(got, name)
		}
	}
	if diff := cmp.Diff(names, got); diff != "" {
		t.Errorf("files in %s (-want +got):\n%s", dir, diff)
	}
}

func TestBackupIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := newFilled(t, filepath.Join(dir, "crosswalk.db"))
	file := filepath.Join(dir, "backup")
	back := func(ctx context.Context, path string, replace bool) error {
		_, err := sqlite.Backup(ctx, path, file, replace, nil)
		return err
	}
	if err := back(t.Context(), filepath.Join(dir, "none"), false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := back(ended, f.path, false); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
	onlyFiles(t, dir, "crosswalk.db")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	var exists *sqlite.ExistsError
	if err := back(t.Context(), f.path, false); !errors.As(err, &exists) || exists.Path != file {
		t.Errorf("over another file: %v", err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "precious" {
		t.Errorf("it has become %q, %v", content, err)
	}
	if err := back(t.Context(), f.path, true); err != nil {
		t.Errorf("when it may: %v", err)
	}
	onlyFiles(t, dir, "backup", "crosswalk.db")
}

// A database with a torn page is not backed up as if it were whole.
func TestADamagedDatabaseIsToldOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := newFilled(t, filepath.Join(dir, "crosswalk.db"))
	f.submit(10_000)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	tear(t, f.path)
	_, err := sqlite.Backup(t.Context(), f.path, filepath.Join(dir, "backup"), false, nil)
	if err == nil || !strings.Contains(err.Error(), "damaged") && !strings.Contains(err.Error(), "malformed") {
		t.Errorf("error = %v", err)
	}
	onlyFiles(t, dir, "crosswalk.db")
}

// tear overwrites pages in the middle of a file.
func tear(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	middle := len(content) / 2 / 4096 * 4096
	copy(content[middle:], bytes.Repeat([]byte{0xa5}, 8192))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBackupWithoutRoom(t *testing.T) {
	t.Parallel()
	testdisk.Run(t, 32<<20, func(t *testing.T, disk *testdisk.Disk) {
		f := newFilled(t, filepath.Join(t.TempDir(), "crosswalk.db"))
		f.submit(10_000)
		disk.Fill()
		_, err := sqlite.Backup(t.Context(), f.path, filepath.Join(disk.Path, "backup"), false, nil)
		if err == nil {
			t.Error("there was room")
		}
		disk.Free()
		onlyFiles(t, disk.Path)
		if _, err := sqlite.Backup(t.Context(), f.path, filepath.Join(disk.Path, "backup"), false, nil); err != nil {
			t.Errorf("with room: %v", err)
		}
	})
}

func TestRestoreOverAnother(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, path string){
		"whole":   func(*testing.T, string) {},
		"damaged": tear,
		"with a log that was left behind": func(t *testing.T, path string) {
			// As after a power cut: the last commits are in the log alone.
			f := newFilled(t, path+".other")
			f.submit(10)
			for _, suffix := range []string{"", "-wal"} {
				content, err := os.ReadFile(path + ".other" + suffix)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f, old, file := newBackedUp(t, dir)
			lost, _ := f.submit(10)
			_, err := sqlite.Restore(t.Context(), file, f.path, true)
			if _, taken := errors.AsType[*sqlite.TakenError](err); !taken {
				t.Errorf("while a server runs: %v", err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			spoil(t, f.path)
			_, err = sqlite.Restore(t.Context(), file, f.path, false)
			if _, exists := errors.AsType[*sqlite.ExistsError](err); !exists {
				t.Errorf("over another: %v", err)
			}
			before, err := os.ReadFile(f.path)
			if err != nil {
				t.Fatal(err)
			}
			restored, err := sqlite.Restore(t.Context(), file, f.path, true)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, sqlite.Options{Path: f.path, Serve: true})
			if _, err := s.Task(t.Context(), f.env, f.in, old); err != nil {
				t.Errorf("a task of the backup: %v", err)
			}
			if _, err := s.Task(t.Context(), f.env, f.in, lost); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("a task from after the backup: %v", err)
			}
			if name == "damaged" {
				if after, err := os.ReadFile(restored.Before); err != nil || !bytes.Equal(before, after) {
					t.Errorf("what was there has changed: %v", err)
				}
				return
			}
			was := open(t, sqlite.Options{Path: restored.Before})
			if h, err := was.Health(t.Context()); err != nil || name == "whole" && h.Pending != 2 || name != "whole" && h.Pending != 1 {
				t.Errorf("what was there has %+v, %v", h, err)
			}
		})
	}
}

// What a program has open is not replaced under it: the log cannot be brought into the database meanwhile.
func TestRestoreOverADatabaseThatIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, old, file := newBackedUp(t, dir)
	db, err := sql.Open("sqlite", sqlite.DSN(f.path, "query_only(1)"))
	if err != nil {
		t.Fatal(err)
	}
	reader, err := db.BeginTx(t.Context(), &sql.TxOptions{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := reader.QueryRowContext(t.Context(), "SELECT count(*) FROM tasks").Scan(&n); err != nil {
		t.Fatal(err)
	}
	newer, _ := f.submit(10) // in the log, behind what is read
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Restore(t.Context(), file, f.path, true)
	if skill.KindOf(err) != skill.Conflict || !strings.Contains(err.Error(), "another program has") {
		t.Errorf("while it is read: %v", err)
	}
	if err := errors.Join(reader.Rollback(), db.Close()); err != nil {
		t.Fatal(err)
	}
	onlyFiles(t, dir, "crosswalk.db")
	s := open(t, sqlite.Options{Path: f.path, Serve: true})
	for _, task := range []string{old, newer} {
		if _, err := s.Task(t.Context(), f.env, f.in, task); err != nil {
			t.Errorf("after a restore that was refused: %v", err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Restore(t.Context(), file, f.path, true); err != nil {
		t.Error(err)
	}
}

func TestRestoreIsRefused(t *testing.T) {
	t.Parallel()
	f := newFilled(t, filepath.Join(t.TempDir(), "crosswalk.db"))
	for range 20 {
		f.submit(10_000) // enough pages to be torn and cut off
	}
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	if _, err := sqlite.Backup(t.Context(), f.path, good, false, nil); err != nil {
		t.Fatal(err)
	}
	variant := func(name string, change func(path string)) string {
		t.Helper()
		content, err := os.ReadFile(good)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		change(path)
		return path
	}
	run := func(statement string) func(string) {
		return func(path string) {
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec(statement); err != nil {
				t.Fatal(err)
			}
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(content string) func(string) {
		return func(path string) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, test := range map[string]struct{ file, words string }{
		"newer":           {variant("newer", run("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)")), "knows only"},
		"torn":            {variant("torn", func(path string) { tear(t, path) }), "damaged"},
		"cut off":         {variant("cut", func(path string) { _ = os.Truncate(path, 500_000) }), ""},
		"something else":  {variant("else", write(strings.Repeat("words ", 1000))), "not a database"},
		"empty":           {variant("empty", write("")), "not a database of Crosswalk"},
		"others' data":    {variant("others", func(path string) { _ = os.Remove(path); run("CREATE TABLE t (x)")(path) }), "not a database of Crosswalk"},
		"not there":       {filepath.Join(dir, "none"), "no such file"},
		"a live database": {f.path, "crosswalk backup"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			_, err := sqlite.Restore(t.Context(), test.file, filepath.Join(folder, "crosswalk.db"), false)
			if err == nil || !strings.Contains(err.Error(), test.words) {
				t.Errorf("error = %v, want %q in it", err, test.words)
			}
			onlyFiles(t, folder)
		})
	}
}
