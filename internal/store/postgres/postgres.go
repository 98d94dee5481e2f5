// Package postgres keeps everything in PostgreSQL: any number of processes on any number of machines share one database,
// and nothing else.
//
// The row of an integration in drains is the lock under which submissions and drains meet; whoever locks several, locks
// them in order. All times are the database's. Statements over many rows take arrays, or COPY. Nothing waits without a
// bound: every transaction has a time limit here, and a shorter one for statements, locks and idling in the database.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
	"github.com/crosswalk-hr/crosswalk/internal/store/queue"
)

// Options of a Store.
type Options struct {
	// URL of the database, "postgres://…", as pgx understands it.
	URL string
	// Serve prepares the database for work: partitions for the days to come. Without it the store is administered.
	Serve bool
	// Pooler: the URL leads to a pooler that gives the connection to somebody else after each transaction. Then nothing of a
	// session is relied on: no notifications, so jobs are polled for, no prepared statements, no settings.
	Pooler bool
	// Conns is the most connections of this process; 16 if zero. A server listens on one of them, and prolongs its
	// leases on another.
	Conns int
	// Logger of the queue; nothing is logged without it.
	Logger *slog.Logger
	// Now puts another clock in the place of the database's, for tests: it changes the database for good.
	Now func() time.Time
}

// Store is a store.Store.
type Store struct {
	opts Options
	log  *slog.Logger
	pool *pgxpool.Pool
	// beats is the one connection, of those that were allowed, on which a server prolongs its leases: they do not stand in line
	// with what keeps all others busy. Elsewhere it is pool.
	beats   *pgxpool.Pool
	queries *dbq.Queries
	queue   *queue.Queue[pgx.Tx]
}

var _ store.Store = (*Store)(nil)

const (
	defaultConns = 16
	// fewestConns: migrations hold a lock on one while they run on another, and a server listens on one. A server keeps one more
	// for its heartbeats.
	fewestConns = 2
	// connectTime bounds the way to a new connection.
	connectTime = 3 * time.Second
	// closeTime bounds the wait for connections that are to end.
	closeTime = 2 * time.Second
	// changeTime bounds a transaction as a whole, for callers that brought no bound of their own.
	changeTime = 30 * time.Second
	// What the database allows a statement, the wait for a lock, and a transaction in which nothing happens. The last is less
	// than a lease: a machine that vanishes within a transaction holds up its drains no longer than one that does not.
	statementTime = 20 * time.Second
	lockTime      = 3 * time.Second
	idleTime      = 5 * time.Second
	// queuePoll is how often jobs are looked for, in case a notification was lost, and behind a pooler.
	queuePoll = time.Second
)

// Open connects, brings the tables up to date and, to serve, makes the partitions for the days to come.
func Open(ctx context.Context, opts Options) (_ *Store, err error) {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	config, err := configOf(opts)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, log: opts.Logger}
	defer func() {
		if err != nil {
			_ = s.Close() // the first error is the one to tell
		}
	}()
	if opts.Serve {
		config.MaxConns--
	}
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	s.beats = s.pool
	if opts.Serve {
		// Heartbeats follow each other, so one connection does. But one that was given up counts until it has ended, which takes
		// up to 15 s on a network that swallows everything, and the next heartbeat cannot wait for that.
		alone := config.Copy()
		alone.MaxConns, alone.MinConns, alone.MinIdleConns = 8, 0, 0
		if s.beats, err = pgxpool.NewWithConfig(ctx, alone); err != nil {
			return nil, fmt.Errorf("open database: %w", err)
		}
	}
	s.queries = dbq.New(s.pool)
	if err := s.open(ctx); err != nil {
		return nil, fmt.Errorf("open database %s: %w", address(config.ConnConfig), fault(err))
	}
	return s, nil
}

// address names a database without its password.
func address(c *pgx.ConnConfig) string {
	return fmt.Sprintf("%s on %s", c.Database, net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))))
}

func configOf(opts Options) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(opts.URL)
	if err != nil {
		// pgx hides the password in its message, but not one that it did not recognise as such.
		return nil, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"the address of the database is not one: write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…")
	}
	if !strings.Contains(opts.URL, "pool_max_conns") {
		config.MaxConns = defaultConns
	}
	if opts.Conns > 0 {
		config.MaxConns = int32(opts.Conns)
	}
	fewest := int32(fewestConns)
	if opts.Serve {
		fewest++
	}
	if config.MaxConns < fewest {
		return nil, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"%d connections are too few: this process needs at least %d", config.MaxConns, fewest)
	}
	config.MaxConnLifetimeJitter = 5 * time.Minute
	config.ConnConfig.ConnectTimeout = connectTime
	params := config.ConnConfig.RuntimeParams
	if _, set := params["application_name"]; !set {
		params["application_name"] = "crosswalk"
	}
	if opts.Pooler {
		config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	} else {
		for name, limit := range limits() {
			params[name] = strconv.FormatInt(limit.Milliseconds(), 10)
		}
		// A plan that was made and kept while a table was small must be good when it is large: every statement has its index.
		params["enable_seqscan"], params["jit"], params["plan_cache_mode"] = "off", "off", "force_generic_plan"
	}
	if opts.Now != nil {
		config.PrepareConn = func(ctx context.Context, c *pgx.Conn) (bool, error) {
			const name = "crosswalk.now"
			now, known := opts.Now().UTC().Format(time.RFC3339Nano), c.PgConn().CustomData()
			if known[name] == now {
				return true, nil
			}
			if _, err := c.Exec(ctx, "SELECT set_config('"+name+"', $1, false)", now); err != nil {
				return false, err
			}
			known[name] = now
			return true, nil
		}
	}
	return config, nil
}

func limits() map[string]time.Duration {
	return map[string]time.Duration{
		"statement_timeout": statementTime, "lock_timeout": lockTime, "idle_in_transaction_session_timeout": idleTime,
	}
}

func (s *Store) open(ctx context.Context) error {
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if s.opts.Now != nil {
		// An own clock reads a setting that each connection gets when it is taken from the pool.
		if _, err := s.pool.Exec(ctx, `CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE AS
			$$ SELECT date_trunc('milliseconds', coalesce(nullif(current_setting('crosswalk.now', true), '')::timestamptz, now())) $$`); err != nil {
			return err
		}
	}
	var err error
	s.queue, err = queue.New(riverpgxv5.New(s.pool), queue.Options{Logger: s.log, PollOnly: s.opts.Pooler, PollEvery: queuePoll})
	if err != nil {
		return err
	}
	if _, err = s.Environment(ctx, store.DefaultEnvironment); errors.Is(err, store.ErrNotFound) {
		_, err = s.CreateEnvironment(ctx, store.DefaultEnvironment)
		if errors.Is(err, store.ErrExists) { // another process was faster
			err = nil
		}
	}
	if err == nil && s.opts.Serve {
		err = s.prepareDays(ctx)
	}
	return err
}

// Ping implements store.Store.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.queries.Now(ctx)
	return fault(err)
}

// Work implements store.Store.
func (s *Store) Work(ctx context.Context, jobs store.Jobs) error {
	wake := func(ctx context.Context, integrationID string) error {
		// The next submission may queue a wake-up again; clear that before the drain looks what there is to do.
		if err := s.queries.ClearNotified(ctx, integrationID); err != nil {
			return fault(err)
		}
		jobs.Wake(integrationID)
		return nil
	}
	return s.queue.Run(ctx, queue.Jobs{Drain: wake, Retain: jobs.Retain, RetainEvery: jobs.RetainEvery})
}

// Close implements store.Store. A connection whose query was given up may wait for the database to hang up, for up to 15 s:
// whoever stops does not wait for that.
func (s *Store) Close() error {
	if s.pool == nil {
		return nil
	}
	closed := make(chan struct{})
	go func() {
		s.pool.Close()
		if s.beats != nil {
			s.beats.Close() // closing it twice, where it is the same, does nothing
		}
		close(closed)
	}()
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		s.log.Debug("a connection did not end in time; it ends with the process")
	}
	return nil
}

// transaction is what a change works with.
type transaction struct {
	*dbq.Queries
	sql pgx.Tx
}

// change runs one transaction. It may be run more than once, each time afresh, so f must set its results rather than add
// to them.
func (s *Store) change(ctx context.Context, f func(ctx context.Context, tx *transaction) error) error {
	return s.retry(ctx, func(ctx context.Context) error { return s.once(ctx, f) })
}

// retry bounds a transaction, and runs it again where the database could not order it.
func (s *Store) retry(ctx context.Context, transaction func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, changeTime)
	defer cancel()
	const tries = 4
	for try := 1; ; try++ {
		err := transaction(ctx)
		// The database chose this transaction to end a deadlock, or could not order it: nothing of it was kept.
		if code := codeOf(err); try < tries && (code == "40P01" || code == "40001") {
			continue
		}
		return fault(err)
	}
}

func (s *Store) once(ctx context.Context, f func(ctx context.Context, tx *transaction) error) error {
	return s.onceOn(ctx, s.pool, f)
}

func (s *Store) onceOn(ctx context.Context, pool *pgxpool.Pool, f func(ctx context.Context, tx *transaction) error) error {
	tx, err := pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // after a commit it does nothing; without one the connection's end does it too
	if s.opts.Pooler {
		batch := &pgx.Batch{}
		noteLimits(batch)
		if err := tx.SendBatch(ctx, batch).Close(); err != nil {
			return err
		}
	}
	if err := f(ctx, &transaction{s.queries.WithTx(tx), tx}); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		if !certain(err) {
			return &uncertainError{err}
		}
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// noteLimits adds the limits of a transaction whose session has none.
func noteLimits(batch *pgx.Batch) {
	for name, limit := range limits() {
		batch.Queue("SELECT set_config($1, $2, true)", name, strconv.FormatInt(limit.Milliseconds(), 10))
	}
}

// uncertainError is a commit without an answer: it was carried out or not, as a whole.
type uncertainError struct{ err error }

func (e *uncertainError) Error() string { return "commit without an answer: " + e.err.Error() }
func (e *uncertainError) Unwrap() error { return e.err }

// certain reports whether an error of what holds the COMMIT says that nothing was kept. The end of a session does not: a
// server that is stopped may say so after it has committed and before it has said that.
func certain(err error) bool {
	for _, refused := range []error{pgx.ErrNoRows, store.ErrLeaseLost, store.ErrTaskEnded, store.ErrChanged} {
		if errors.Is(err, refused) {
			return true
		}
	}
	e, told := errors.AsType[*pgconn.PgError](err)
	return told && e.Severity != "FATAL" && e.Severity != "PANIC" && e.SeverityUnlocalized != "FATAL" && e.SeverityUnlocalized != "PANIC" &&
		!strings.HasPrefix(e.Code, "57P") && !strings.HasPrefix(e.Code, "08")
}

// alone is the error of a statement that is its own transaction.
func alone(err error) error {
	_, never := errors.AsType[*pgconn.ConnectError](err)
	if err == nil || never || pgconn.SafeToRetry(err) || certain(err) || errors.Is(err, context.Canceled) {
		return err
	}
	return &uncertainError{err}
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// fault classifies an error: what may pass is Unavailable, everything else is as it was.
func fault(err error) error {
	if err == nil {
		return nil
	}
	if _, told := errors.AsType[*skill.Error](err); told {
		return err
	}
	if e, ok := errors.AsType[*uncertainError](err); ok {
		return unavailable(e, "The database was lost before it confirmed the change: it was kept whole or not at all. Sending the same again is safe.")
	}
	const kept = " Nothing of this request was kept."
	connect, isConnect := errors.AsType[*pgconn.ConnectError](err)
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		network, isNetwork := errors.AsType[net.Error](err)
		switch {
		case isConnect:
			return unavailable(connect, "The database cannot be reached."+kept)
		case errors.Is(err, context.Canceled):
			return err // the caller has gone
		case isNetwork, errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), pgconn.SafeToRetry(err), closed(err):
			_ = network // its words are in err
			return unavailable(err, "The database does not answer."+kept)
		}
		return err
	}
	var why string
	switch code := e.Code; {
	case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"), code == "25006":
		why = "it is stopping, starting or changing over"
	case code == "53100":
		why = "its disk is full"
	case strings.HasPrefix(code, "53"):
		why = "it has no room for more connections or memory"
	case strings.HasPrefix(code, "58"):
		why = "its disk does not answer as it should"
	case code == lockTimedOut, code == "57014", code == "25P03", code == "40P01", code == "40001":
		why = "it is too busy"
	case isConnect: // another password, no such database
		why = "it does not let this server in, whose log says why"
	default:
		return err
	}
	return unavailable(err, "The database is not available: "+why+"."+kept)
}

func unavailable(err error, message string) error {
	return &skill.Error{Kind: skill.Unavailable, Code: skill.CodeUnknown, RetryAfter: 2 * time.Second, Message: message, Err: err}
}

// closed reports whether the connection ended under a query.
func closed(err error) bool {
	text := err.Error()
	return strings.Contains(text, "unexpected EOF") || strings.Contains(text, "conn closed") || strings.Contains(text, "closed pool")
}

// missing turns "no rows" into ErrNotFound.
func missing(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	return fault(err)
}

// taken turns a violated uniqueness into ErrExists.
func taken(err error) error {
	if codeOf(err) == "23505" {
		return store.ErrExists
	}
	return err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func nullText(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func nullTime(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func collect[In, Out any](rows []In, f func(In) Out) []Out {
	out := make([]Out, len(rows))
	for i, row := range rows {
		out[i] = f(row)
	}
	return out
}
