package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// logged makes a database whose last row is in its log alone, as after a power cut.
func logged(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", DSN(path+".other", "wal_autocheckpoint(0)"))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"CREATE TABLE t (x)", "INSERT INTO t VALUES (randomblob(300000))", "PRAGMA wal_checkpoint(TRUNCATE)", "INSERT INTO t VALUES (2)"} {
		if _, err := db.ExecContext(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	for _, suffix := range []string{"", "-wal"} {
		content, err := os.ReadFile(path + ".other" + suffix)
		if err == nil && len(content) == 0 {
			err = errors.New("it is empty")
		}
		if err == nil {
			err = os.WriteFile(path+suffix, content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func rows(ctx context.Context, t *testing.T, path string) (n int) {
	t.Helper()
	db, err := sql.Open("sqlite", DSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A restore may be killed right before the new database takes the name of the old one: until then the old one stands there
// with all it holds.
func TestADatabaseKeepsItsLogUntilItIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	logged(t, path)
	k, err := keepBeside(t.Context(), path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range append(besideFiles(), "-shm") {
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s would be taken for the new database's: %v", suffix, err)
		}
	}
	for _, name := range []string{path, k.name} {
		if n := rows(t.Context(), t, name); n != 2 {
			t.Errorf("%s has %d rows, want 2", filepath.Base(name), n)
		}
	}
	if err := k.putBack(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(k.name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second name stays: %v", err)
	}
	if n := rows(t.Context(), t, path); n != 2 {
		t.Errorf("after a restore that failed there are %d rows, want 2", n)
	}
}

// The log of a damaged database cannot be brought into it. It is kept with it, byte by byte, and comes back with it.
func TestADamagedDatabaseKeepsItsLog(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	logged(t, path)
	damaged, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged = damaged[:8192] // cut off
	if err := os.WriteFile(path, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	want := map[string][]byte{"": damaged}
	if want["-wal"], err = os.ReadFile(path + "-wal"); err != nil {
		t.Fatal(err)
	}
	same := func(name string) {
		t.Helper()
		for suffix, content := range want {
			if got, err := os.ReadFile(name + suffix); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%q is not what it was: %d bytes of %d, %v", filepath.Base(name)+suffix, len(got), len(content), err)
			}
		}
	}
	k, err := keepBeside(t.Context(), path, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	same(k.name)
	if _, err := os.Lstat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its log would be taken for the new database's: %v", err)
	}
	if err := k.putBack(); err != nil {
		t.Fatal(err)
	}
	same(path)
	if _, err := os.Lstat(k.name); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the second name stays: %v", err)
	}
}
