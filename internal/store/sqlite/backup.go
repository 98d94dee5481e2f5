package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Snapshot tells what a database file holds.
type Snapshot struct {
	Bytes        int64
	Schema       int64
	Integrations int // without the deleted ones
	Skills       int
	Unfinished   int       // tasks
	Newest       time.Time // when the last of its tasks was accepted; zero without one
	MasterKey    string    // id of the noted one; empty without one
}

// stepPages is how much a backup copies between two looks at its context.
const stepPages = 2000

// Backup copies the database at path into a new file, as one moment had it, while a server runs. The copy is checked and
// on disk when Backup returns, and readable to its owner alone; an error leaves nothing of it. A file that is there is an
// error, unless it may be replaced. progress, if not nil, is told how many pages of how many are copied.
func Backup(ctx context.Context, path, to string, replace bool, progress func(done, all int)) (_ Snapshot, err error) {
	defer func() {
		if err != nil {
			err = fault(fmt.Errorf("back up %s: %w", path, err))
		}
	}()
	if _, err := os.Stat(path); err != nil {
		return Snapshot{}, err
	}
	if err := unclaimed(to, replace); err != nil {
		return Snapshot{}, err
	}
	copied, err := draft(to)
	if err != nil {
		return Snapshot{}, err
	}
	defer discard(copied)
	if err := copyPages(ctx, path, copied, progress); err != nil {
		return Snapshot{}, err
	}
	snapshot, err := inspect(ctx, copied)
	if err != nil {
		return Snapshot{}, err
	}
	if err := unclaimed(to, replace); err != nil {
		return Snapshot{}, err
	}
	return snapshot, settle(copied, to)
}

// unclaimed refuses to replace a file.
func unclaimed(path string, replace bool) error {
	if _, err := os.Lstat(path); err == nil && !replace {
		return &ExistsError{Path: path}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ExistsError says that a file is there which was not to be replaced.
type ExistsError struct{ Path string }

// Error implements error.
func (e *ExistsError) Error() string { return e.Path + " exists already" }

// draft makes an empty file beside the one it will become.
func draft(of string) (string, error) {
	file, err := os.CreateTemp(filepath.Dir(of), "."+filepath.Base(of)+".*.draft") // 0600
	if err != nil {
		return "", err
	}
	return file.Name(), file.Close()
}

// discard removes a draft and what SQLite may have put beside it; there is nothing left of one that was settled.
func discard(draft string) {
	for _, suffix := range []string{"", "-journal", "-wal", "-shm"} {
		_ = os.Remove(draft + suffix) // mostly it does not exist
	}
}

// settle puts a draft on disk and in its place.
func settle(draft, path string) error {
	if err := syncFile(draft); err != nil {
		return err
	}
	if err := os.Rename(draft, path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFile puts a file, or the names in a folder, on disk.
func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

func syncFolder(dir string) error { return syncFile(dir) }

// alone is how a file is opened that nobody else knows of: no log beside it, nothing synced before the end.
func alone(path string) string {
	q := url.Values{"_pragma": {"journal_mode(MEMORY)", "synchronous(OFF)", "foreign_keys(ON)"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

// copyPages copies in steps within one read transaction: what is committed meanwhile goes into the log and does not make
// the copy begin anew.
func copyPages(ctx context.Context, from, to string, progress func(done, all int)) error {
	db, err := sql.Open("sqlite", DSN(from, "query_only(1)", "wal_autocheckpoint(0)"))
	if err != nil {
		return err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // it was only read
	for _, q := range []string{"BEGIN DEFERRED", "SELECT count(*) FROM sqlite_schema"} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return conn.Raw(func(c any) error {
		source, ok := c.(interface {
			NewBackup(to string) (*sqlite.Backup, error)
		})
		if !ok {
			return fmt.Errorf("the driver %T has no backup", c)
		}
		backup, err := source.NewBackup(alone(to))
		if err != nil {
			return err
		}
		for more := true; more && err == nil; {
			if err = context.Cause(ctx); err == nil {
				more, err = backup.Step(stepPages)
			}
			if progress != nil && err == nil {
				progress(backup.PageCount()-backup.Remaining(), backup.PageCount())
			}
		}
		if err != nil {
			return errors.Join(err, backup.Finish())
		}
		var copied driver.Conn
		if copied, err = backup.Commit(); err != nil {
			return err
		}
		return copied.Close()
	})
}

// inspect checks a file that nobody else has open, and makes it one without a log.
func inspect(ctx context.Context, path string) (s Snapshot, err error) {
	db, err := sql.Open("sqlite", alone(path))
	if err != nil {
		return s, err
	}
	defer db.Close()
	if err := intact(ctx, db); err != nil {
		return s, err
	}
	made, err := changes(ctx, db)
	if err != nil {
		return s, err
	}
	var known int64
	s.Schema, known, err = store.TablesVersions(made, migrations)
	switch {
	case err != nil:
		return s, err
	case s.Schema == 0:
		return s, errors.New("it is not a database of Crosswalk")
	case s.Schema > known:
		return s, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"its tables are at version %d and this program knows only %d: run the newer program", s.Schema, known)
	}
	return s, summary(ctx, db, path, &s)
}

// intact refuses a file that is damaged.
func intact(ctx context.Context, db *sql.DB) error {
	err := check(ctx, db)
	// Damage where the tables are described keeps the check itself from running.
	if e, ok := errors.AsType[*sqlite.Error](err); ok && e.Code()&0xff == sqlite3.SQLITE_CORRUPT {
		return fmt.Errorf("it is damaged: %w", err)
	}
	return err
}

func check(ctx context.Context, db *sql.DB) error {
	rows, err := db.QueryContext(ctx, "PRAGMA integrity_check(3)")
	if err != nil {
		return err
	}
	defer rows.Close()
	var found []string
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		found = append(found, strings.ReplaceAll(text, "\n", " "))
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(found) != 1 || found[0] != "ok" {
		return fmt.Errorf("it is damaged: %s", strings.Join(found, "; "))
	}
	return nil
}

func summary(ctx context.Context, db *sql.DB, path string, s *Snapshot) error {
	var newest sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM integrations WHERE deleted_at IS NULL), (SELECT count(*) FROM skills),
		(SELECT count(*) FROM tasks WHERE status = 0), (SELECT max(created_at) FROM tasks)`).
		Scan(&s.Integrations, &s.Skills, &s.Unfinished, &newest); err != nil {
		return err
	}
	s.Newest = fromNullMillis(newest)
	if s.Schema >= 2 { // it was not noted before
		err := db.QueryRowContext(ctx, "SELECT id FROM master_key").Scan(&s.MasterKey)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
	}
	var err error
	s.Bytes, err = sizeOf(path)
	return err
}

// Restored tells what became of a restore.
type Restored struct {
	Snapshot
	Doubted int    // skills that the next upload writes again
	Before  string // where the database lies that was there before; empty if there was none
}

// Restore puts a backup in the place of the database at path, of which no server may be running. One that is there is an
// error, unless it may be replaced: then it stays beside the new one. A failure leaves it where it was.
//
// What happened since the backup is not known any more. So all skills become unsure: their tools may hold something newer,
// and what the backup says of them must not be skipped.
func Restore(ctx context.Context, from, path string, replace bool) (r Restored, err error) {
	defer func() {
		if err != nil {
			err = fault(fmt.Errorf("restore %s: %w", from, err))
		}
	}()
	if log, err := sizeOf(from + "-wal"); err != nil || log > 0 {
		return r, errors.Join(err, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"it is not a backup but a database in use: a log lies beside it. Make a backup of it with crosswalk backup"))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return r, err
	}
	s := &Store{opts: Options{Path: path, Label: "restoring a backup"}}
	if err := s.take(); err != nil {
		return r, err
	}
	defer s.lock.Unlock() //nolint:errcheck // the process's end unlocks it too
	if err := unclaimed(path, replace); err != nil {
		return r, err
	}
	copied, err := draft(path)
	if err != nil {
		return r, err
	}
	defer discard(copied)
	if err := copyFile(from, copied); err != nil {
		return r, err
	}
	if r.Snapshot, err = inspect(ctx, copied); err != nil {
		return r, unfit(err)
	}
	if r.Doubted, err = doubtFile(ctx, copied); err != nil {
		return r, err
	}
	// On disk before anything that stands there is touched: what fails as a rule fails now.
	if err := syncFile(copied); err != nil {
		return r, err
	}
	before, err := keepBeside(ctx, path, time.Now())
	if err != nil {
		return r, err
	}
	if err := settle(copied, path); err != nil {
		if _, unsettled := os.Lstat(copied); unsettled == nil {
			err = errors.Join(err, before.putBack())
		}
		return r, err
	}
	r.Before = before.name
	return r, nil
}

// unfit blames the file for an error, unless it is one that passes.
func unfit(err error) error {
	if errors.Is(err, context.Canceled) || skill.KindOf(fault(err)) != skill.Internal {
		return err
	}
	e := skill.Errorf(skill.Invalid, skill.CodeInputInvalid, "the file cannot be used as a backup")
	e.Err = err
	return e
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// doubtFile forgets, in a file that nobody else has open, what the tools hold and who was at work.
func doubtFile(ctx context.Context, path string) (int, error) {
	db, err := sql.Open("sqlite", alone(path))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "UPDATE drains SET owner = NULL, until = 0, notified_at = NULL, epoch = epoch + 1"); err != nil {
		return 0, err
	}
	done, err := db.ExecContext(ctx, "UPDATE skills SET hash = NULL, unsure = 1")
	if err != nil {
		return 0, err
	}
	n, err := done.RowsAffected()
	return int(n), err
}

// kept is what stood at a path before a restore, under a second name.
type kept struct {
	path string
	name string   // empty if nothing stood there
	logs []string // suffixes of what lies beside it: of a damaged database alone
}

// besideFiles may hold what a database lacks: a log of what was committed, or one of what is to be undone.
func besideFiles() []string { return []string{"-wal", "-journal"} }

// keepBeside gives the database at path a second name, so that the first may be given to another one. A log is brought into
// the database first, so that at no moment one stands anywhere without the other. Where that fails because the database is
// damaged, its log is kept under the second name too, before it leaves the first. An error leaves everything where it was.
func keepBeside(ctx context.Context, path string, now time.Time) (_ *kept, err error) {
	k := &kept{path: path}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// A log without its database would be taken for that of the new one.
		return k, k.removeLogs()
	}
	if err := emptyLog(ctx, path); err != nil && !isDamage(err) {
		return nil, err
	}
	stamp := path + "." + now.UTC().Format("20060102-150405")
	k.name = stamp
	for n := 2; unclaimed(k.name, false) != nil; n++ {
		k.name = fmt.Sprintf("%s-%d", stamp, n)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, k.putBack())
		}
	}()
	for _, suffix := range besideFiles() {
		if size, err := sizeOf(path + suffix); err != nil {
			return nil, err
		} else if size == 0 {
			continue
		}
		if err := again(path+suffix, k.name+suffix); err != nil {
			return nil, err
		}
		k.logs = append(k.logs, suffix)
	}
	if err := os.Link(path, k.name); err != nil { // where files have one name only
		if err := os.Rename(path, k.name); err != nil {
			return nil, err
		}
	}
	if err := syncFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	return k, k.removeLogs()
}

// emptyLog brings the log of a database into it, and removes it. A program that has the database open keeps it from that.
func emptyLog(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite", dsn(path, besideWait))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	var held, pages, done int
	err = db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&held, &pages, &done)
	// The last one who closes a database removes its log.
	if err = errors.Join(err, db.Close()); err != nil && !busy(err) {
		return err
	}
	left := err != nil || held != 0
	for _, suffix := range []string{"-wal", "-shm"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			left = true
		}
	}
	if left {
		return skill.Errorf(skill.Conflict, skill.CodeInputInvalid,
			"another program has %s open, a backup for instance: restore when it has ended", path)
	}
	return nil
}

// besideWait is how long a restore waits for others who have the database open.
const besideWait = time.Second

// isDamage reports whether a file is no sound database.
func isDamage(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == sqlite3.SQLITE_CORRUPT || e.Code()&0xff == sqlite3.SQLITE_NOTADB)
}

// removeLogs lets nothing lie beside the first name that would be taken for the next database's.
func (k *kept) removeLogs() error {
	err := removeAny(k.path + "-shm")
	for _, suffix := range besideFiles() {
		err = errors.Join(err, removeAny(k.path+suffix))
	}
	return errors.Join(err, syncFolder(filepath.Dir(k.path)))
}

// putBack undoes it, while nothing else has the first name.
func (k *kept) putBack() error {
	if k.name == "" {
		return nil
	}
	for _, suffix := range k.logs {
		if err := again(k.name+suffix, k.path+suffix); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	if _, err := os.Lstat(k.path); errors.Is(err, fs.ErrNotExist) {
		if err := os.Rename(k.name, k.path); err != nil {
			return err
		}
	}
	if err := syncFolder(filepath.Dir(k.path)); err != nil {
		return err
	}
	err := removeAny(k.name)
	for _, suffix := range k.logs {
		err = errors.Join(err, removeAny(k.name+suffix))
	}
	return err
}

// again gives a file a second name, or makes a copy where files have one name only.
func again(path, name string) error {
	err := os.Link(path, name)
	if err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Close(), copyFile(path, name)); err != nil {
		return errors.Join(err, removeAny(name))
	}
	return syncFile(name)
}

func removeAny(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
