package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// What a batch is refused with by the database itself: the statements behind the one that finds it out are on their way
// already. See the function refuse.
const (
	refusedLease   = "WC001"
	refusedTask    = "WC002"
	refusedChanged = "WC003"
)

// lockTimedOut is what the database says when a lock was not to be had in the time allowed.
const lockTimedOut = "55P03"

// asking calls the statements of a batch. It is called twice: to note what is asked, when every statement returns nothing,
// and again to read the answers. So which statements it calls may not depend on an answer.
type asking func(ctx context.Context, q *dbq.Queries) error

// batches is a transaction whose statements go to the database in batches, each one round trip.
type batches struct {
	s    *Store
	conn *pgxpool.Conn
	tx   pgx.Tx // nil: not begun. It is ended by end alone
}

// inBatches runs one transaction that f ends with its last batch, by end. Like change it may run it more than once.
func (s *Store) inBatches(ctx context.Context, f func(ctx context.Context, b *batches) error) error {
	return s.retry(ctx, func(ctx context.Context) error {
		conn, err := s.pool.Acquire(ctx)
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		defer conn.Release() // one that is left within a transaction is closed
		if err = f(ctx, &batches{s: s, conn: conn}); err != nil && conn.Conn().PgConn().TxStatus() != 'I' && !conn.Conn().IsClosed() {
			_, _ = conn.Exec(ctx, "ROLLBACK") // the first error tells more
		}
		return err
	})
}

// send sends a batch and leaves the transaction open.
func (b *batches) send(ctx context.Context, ask asking) error {
	notes := &noted{}
	if b.tx == nil {
		notes.batch.BeginTx(pgx.TxOptions{})
	}
	return b.round(ctx, notes, ask)
}

// end sends the last batch. A transaction that is one batch needs no BEGIN and COMMIT.
func (b *batches) end(ctx context.Context, ask asking) error {
	notes := &noted{last: true}
	err := b.round(ctx, notes, ask)
	if err != nil && !certain(err) {
		return &uncertainError{err}
	}
	return err
}

func (b *batches) round(ctx context.Context, notes *noted, ask asking) error {
	if b.tx == nil && b.s.opts.Pooler {
		noteLimits(&notes.batch)
	}
	skip := notes.batch.Len()
	if err := ask(ctx, dbq.New(notes)); err != nil {
		return err
	}
	if b.tx != nil && notes.last {
		notes.batch.Queue("COMMIT")
	}
	results := b.conn.SendBatch(ctx, &notes.batch)
	if tx := results.Tx(); tx != nil {
		b.tx = tx
	}
	var err error
	for range skip {
		if err == nil {
			_, err = results.Exec()
		}
	}
	if err == nil {
		err = ask(ctx, dbq.New(answers{results}))
	}
	// What the database itself says of the batch counts more than what was made of an answer.
	if closed := results.Close(); closed != nil {
		err = closed
	}
	switch codeOf(err) {
	case refusedLease:
		return store.ErrLeaseLost
	case refusedTask:
		return store.ErrTaskEnded
	case refusedChanged:
		return store.ErrChanged
	}
	return err
}

// noted collects statements.
type noted struct {
	batch pgx.Batch
	last  bool
}

func (n *noted) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	n.batch.Queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

func (n *noted) QueryRow(_ context.Context, sql string, args ...any) pgx.Row {
	n.batch.Queue(sql, args...)
	return nothing{}
}

func (n *noted) Query(_ context.Context, sql string, args ...any) (pgx.Rows, error) {
	n.batch.Queue(sql, args...)
	return none{}, nil
}

type nothing struct{}

func (nothing) Scan(...any) error { return nil }

// none are the rows of a statement that is only noted.
type none struct{ pgx.Rows }

func (none) Next() bool { return false }
func (none) Err() error { return nil }
func (none) Close()     {}

// answers hands out the results of the statements in the order they were noted.
type answers struct{ results pgx.BatchResults }

func (a answers) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return a.results.Exec()
}

func (a answers) QueryRow(context.Context, string, ...any) pgx.Row { return a.results.QueryRow() }

func (a answers) Query(context.Context, string, ...any) (pgx.Rows, error) { return a.results.Query() }
