// Package sqlite keeps everything in one SQLite file: the embedded database, for one process on one machine.
//
// All writes go through one goroutine that commits together what arrives together; reads have a small pool of
// connections of their own and see the last commit. A commit returns when the disk has it (synchronous=FULL). The file
// that serves is locked: a second server refuses to start, while the commands of the CLI write beside it.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/queue"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Options of a Store.
type Options struct {
	// Path of the database file. It and its folder are made if they do not exist.
	Path string
	// Serve takes the file for this process: it drains and migrates alone. Without it the store may only be
	// administered, beside a server.
	Serve bool
	// Label is told to a second server that finds the file taken, for example the address this one listens on.
	Label string
	// Logger of the queue; nothing is logged without it.
	Logger *slog.Logger
	// Now is the database's clock; time.Now if nil.
	Now func() time.Time
	// Committed is told how many changes shared each commit; it must not block.
	Committed func(changes int)
}

// Store is a store.Store.
type Store struct {
	opts    Options
	lock    *flock.Flock
	write   *sql.DB
	read    *sql.DB
	writer  *writer
	queries *dbq.Queries // on read
	bulk    bulks
	queue   *queue.Queue[*sql.Tx]
	wal     *checkpointer
	close   sync.Once
	closed  error
}

var _ store.Store = (*Store)(nil)

const (
	// readers is the size of the pool of reading connections. Each has a page cache of its own.
	readers = 4
	// busyTimeout bounds the wait for another process's transaction.
	busyTimeout = 5 * time.Second
	// A command beside a server looks for its turn anew after besideTimeout, and gives up after besidePatience.
	besideTimeout  = 20 * time.Millisecond
	besidePatience = busyTimeout
	// queuePoll is how often wake-ups of other processes are looked for. Within this process they are not needed.
	queuePoll = time.Second
)

// WriterPragmas are those of the connection that writes: a larger page cache, and checkpoints of the log moved out of the
// commits, see checkpointer.
func WriterPragmas() []string { return []string{"wal_autocheckpoint(0)", "cache_size(-8192)"} }

// Open opens the database, brings its tables up to date and, to serve, takes it for this process.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.Committed == nil {
		opts.Committed = func(int) {}
	}
	s := &Store{opts: opts}
	defer func() {
		if err != nil {
			_ = s.Close() // the first error is the one to tell
		}
	}()
	if err := os.MkdirAll(filepath.Dir(opts.Path), 0o700); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	// SQLite would make it readable to all, and gives the files beside it the rights of this one. One that exists is not
	// touched: closing it here would drop the locks that this process may hold on it.
	file, err := os.OpenFile(opts.Path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		err = file.Close()
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if opts.Serve {
		if err := s.take(); err != nil {
			return nil, err
		}
	}
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open database %s: %w", opts.Path, err)
	}
	return s, nil
}

// TakenError says that another server has the database.
type TakenError struct {
	Path  string
	Owner string // what that server left about itself
}

// Error implements error.
func (e *TakenError) Error() string {
	return fmt.Sprintf("the database %s is in use by another server (%s): stop that one first, or give this one another --data", e.Path, e.Owner)
}

func (s *Store) take() error {
	// The lock outlives the process not a moment, however it ends. The file's content only informs.
	path := s.opts.Path + ".lock"
	lock := flock.New(path)
	got, err := lock.TryLock()
	if err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	if !got {
		owner, err := os.ReadFile(path)
		if err != nil || len(owner) == 0 {
			owner = []byte("which did not leave its name")
		}
		return &TakenError{Path: s.opts.Path, Owner: strings.TrimSpace(string(owner))}
	}
	s.lock = lock
	if err := os.WriteFile(path, fmt.Appendf(nil, "process %d %s\n", os.Getpid(), s.opts.Label), 0o600); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return nil
}

// DSN names a database file for database/sql, set up as every connection of a store is: durable commits, write
// transactions that take their lock at once. More pragmas may be given as "name(value)".
func DSN(path string, more ...string) string { return dsn(path, busyTimeout, more...) }

func dsn(path string, wait time.Duration, more ...string) string {
	pragmas := append([]string{
		fmt.Sprintf("busy_timeout(%d)", wait.Milliseconds()), // first: the others wait too
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(ON)",
		"temp_store(MEMORY)",
	}, more...)
	q := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}, "_dqs": {"0"}, "_error_rc": {"1"}}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (s *Store) open(ctx context.Context) error {
	// Same durability as fsync without flushing the file's times. Where there is no fdatasync, fsync stays.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return err
	}
	var err error
	if s.write, err = sql.Open("sqlite", DSN(s.opts.Path, WriterPragmas()...)); err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if !s.opts.Serve {
		if _, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout(%d)", besideTimeout.Milliseconds())); err != nil {
			return err
		}
	}
	if s.read, err = sql.Open("sqlite", DSN(s.opts.Path, "query_only(1)", "cache_size(-2048)")); err != nil {
		return err
	}
	s.read.SetMaxOpenConns(readers)
	s.read.SetMaxIdleConns(readers)

	writes, err := dbq.Prepare(ctx, s.write)
	if err != nil {
		return err
	}
	if s.queries, err = dbq.Prepare(ctx, s.read); err != nil {
		return err
	}
	if err := s.bulk.prepare(ctx, s.write, s.read); err != nil {
		return err
	}
	if s.queue, err = queue.New(riversqlite.New(s.write), queue.Options{Logger: s.opts.Logger, PollOnly: true, PollEvery: queuePoll}); err != nil {
		return err
	}
	if s.wal, err = newCheckpointer(dsn(s.opts.Path, cutWait, "wal_autocheckpoint(0)"), s.opts.Logger); err != nil {
		return err
	}
	now := func() int64 { return s.opts.Now().UnixMilli() }
	s.writer = newWriter(s.write, writes, now, func(changes int) {
		s.wal.nudge()
		s.opts.Committed(changes)
	})
	if !s.opts.Serve {
		s.writer.patience = besidePatience
	}
	return s.begin(ctx)
}

// migrate brings ours and River's tables up to date. The commands of the CLI may do it too, hence the lock.
func (s *Store) migrate(ctx context.Context) error {
	lock := flock.New(s.opts.Path + ".migrate.lock")
	if _, err := lock.TryLockContext(ctx, 20*time.Millisecond); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	defer lock.Unlock() //nolint:errcheck // the file's end unlocks it too
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	goose, err := goose.NewProvider(goose.DialectSQLite3, s.write, dir,
		goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
	if err != nil {
		return err
	}
	current, target, err := goose.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its tables are at version %d and this program knows only %d: run the newer program", current, target)
	}
	// The version alone does not tell: a change may have come to be after one with a higher number.
	pending, err := goose.HasPending(ctx)
	if err != nil {
		return err
	}
	if pending {
		if _, err := goose.Up(ctx); err != nil {
			return err
		}
	} else if !s.opts.Serve {
		return nil
	}
	// Not only with one of ours: a River that came with a new version of this program brings tables of its own, and an
	// earlier start may have ended between the two.
	return queue.Migrate(ctx, riversqlite.New(s.write), s.opts.Logger)
}

// begin makes what must exist from the start.
func (s *Store) begin(ctx context.Context) error {
	_, err := s.Environment(ctx, store.DefaultEnvironment)
	if errors.Is(err, store.ErrNotFound) {
		_, err = s.CreateEnvironment(ctx, store.DefaultEnvironment)
		if errors.Is(err, store.ErrExists) { // another process was faster
			err = nil
		}
	}
	if err != nil || !s.opts.Serve {
		return err
	}
	// Nobody else serves this file, so whoever held a lease or was about to be woken is gone.
	return s.writer.do(ctx, func(ctx context.Context, tx *transaction) error { return tx.ResetLeases(ctx) })
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	return fault(s.read.QueryRowContext(ctx, "SELECT 1 FROM environments").Scan(&one))
}

// Work implements store.Store.
func (s *Store) Work(ctx context.Context, jobs store.Jobs) error {
	wake := func(ctx context.Context, integrationID string) error {
		// The next submission may queue a wake-up again; clear that before the drain looks what there is to do.
		err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error { return tx.ClearNotified(ctx, integrationID) })
		if err != nil {
			return err
		}
		jobs.Wake(integrationID)
		return nil
	}
	return s.queue.Run(ctx, queue.Jobs{Drain: wake, Retain: jobs.Retain, RetainEvery: jobs.RetainEvery})
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.close.Do(func() {
		if s.writer != nil {
			s.writer.close()
		}
		var errs []error
		if s.wal != nil {
			errs = append(errs, s.wal.close())
		}
		for _, db := range []*sql.DB{s.read, s.write} {
			if db != nil {
				errs = append(errs, db.Close())
			}
		}
		if s.lock != nil {
			errs = append(errs, s.lock.Unlock())
		}
		s.closed = errors.Join(errs...)
	})
	return s.closed
}

func (s *Store) now() time.Time { return s.opts.Now() }

// fault classifies an error of the database: what may pass is Unavailable, everything else is internal.
func fault(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return err
	}
	var why string
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		why = "the disk is full"
	case sqlite3.SQLITE_IOERR:
		why = "the disk does not answer as it should"
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		why = "another process is writing"
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
		why = "its file cannot be written"
	default:
		return err
	}
	return &skill.Error{
		Kind: skill.Unavailable, Code: skill.CodeUnknown, RetryAfter: 2 * time.Second,
		Message: "The database is not available: " + why + ". Nothing of this request was kept.", Err: err,
	}
}

func busy(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && e.Code()&0xff == sqlite3.SQLITE_BUSY
}

func isUnique(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)
}

func fromMillis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func fromNullMillis(ms sql.NullInt64) time.Time {
	if !ms.Valid {
		return time.Time{}
	}
	return fromMillis(ms.Int64)
}

func nullText(text string) sql.NullString { return sql.NullString{String: text, Valid: text != ""} }
