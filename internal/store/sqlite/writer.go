package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// SQLite has one writer at a time and each commit waits for the disk. So all writes go through one goroutine, which
// takes whatever has come in while the last commit was under way, or while others of the same transaction were, and commits
// it together: under load the wait for the disk is shared, alone nobody waits for company.

// change is one caller's part of a transaction. It may be run more than once, each time in a fresh transaction, so it
// must set its results rather than add to them. It must not keep tx.
type change func(ctx context.Context, tx *transaction) error

// transaction is what a change works with.
type transaction struct {
	*dbq.Queries
	sql *sql.Tx
	now int64 // milliseconds; one time for all of it
}

type writer struct {
	db      *sql.DB
	queries *dbq.Queries
	now     func() int64
	// committed is called after each commit, with the number of changes in it. It must not block.
	committed func(changes int)
	// patience is how long a turn beside another process is waited for, beyond SQLite's own timeout.
	patience time.Duration

	requests chan *request
	closing  chan struct{}
	done     chan struct{}
	once     sync.Once
}

// mostTogether bounds how much work a commit can collect, and so how long the first of them waits.
const mostTogether = 128

type request struct {
	ctx    context.Context //nolint:containedctx // of the caller that waits for result
	change change
	state  atomic.Int32
	result chan error
}

const (
	waiting int32 = iota
	running
	abandoned
)

var (
	errClosed = errors.New("the database is closed")
	errBegin  = errors.New("begin")
)

func newWriter(db *sql.DB, queries *dbq.Queries, now func() int64, committed func(int)) *writer {
	w := &writer{
		db: db, queries: queries, now: now, committed: committed,
		requests: make(chan *request), closing: make(chan struct{}), done: make(chan struct{}),
	}
	go w.loop()
	return w
}

// do runs a change and returns once it is on disk. If ctx ends before the change was begun, nothing happens; afterwards
// its end is awaited, which SQLite's busy timeout bounds.
func (w *writer) do(ctx context.Context, c change) error {
	r := &request{ctx: context.WithoutCancel(ctx), change: c, result: make(chan error, 1)}
	select {
	case w.requests <- r:
	case <-w.closing:
		return errClosed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-r.result:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, abandoned) {
			return context.Cause(ctx)
		}
		return <-r.result
	}
}

// close lets what is under way end.
func (w *writer) close() {
	w.once.Do(func() { close(w.closing) })
	<-w.done
}

func (w *writer) loop() {
	defer close(w.done)
	for {
		select {
		case r := <-w.requests:
			if r.begins() {
				w.run(r)
			}
		case <-w.closing:
			return
		}
	}
}

// begins reports whether the request is to be carried out: nobody can abandon it any more.
func (r *request) begins() bool { return r.state.CompareAndSwap(waiting, running) }

// next returns a request that stands in line, or nil.
func (w *writer) next() *request {
	for {
		select {
		case r := <-w.requests:
			if r.begins() {
				return r
			}
		default:
			return nil
		}
	}
}

func (w *writer) run(first *request) {
	batch, errs, err := w.together(first, w.next)
	if err == nil {
		for i, r := range batch {
			r.result <- errs[i]
		}
		return
	}
	if len(batch) == 1 || errors.Is(err, errBegin) {
		for _, r := range batch {
			r.result <- err
		}
		return
	}
	// One of them failed and may have left something half done, so nothing was kept. Each has a transaction of its own
	// now: the failing one fails alone.
	for _, r := range batch {
		_, errs, err := w.together(r, nil)
		if err == nil {
			err = errs[0]
		}
		r.result <- err
	}
}

// begin begins a transaction. SQLite has no line for those who wait: it looks again after 100 ms at most times, and beside a
// server that writes all the time might never find it free. Whoever is beside one looks more often.
func (w *writer) begin(ctx context.Context) (*sql.Tx, error) {
	for until := time.Now().Add(w.patience); ; {
		tx, err := w.db.BeginTx(ctx, nil)
		if !busy(err) || !time.Now().Before(until) {
			return tx, err
		}
	}
}

// together runs a change and those that more has, unless it is nil, in one transaction. It returns whose they are, and what
// came of each. A change that refuses with a clean error (nothing of it was done) does not disturb the others; any other error
// undoes all.
func (w *writer) together(first *request, more func() *request) (batch []*request, errs []error, err error) {
	batch = []*request{first}
	join := func() bool {
		if more == nil || len(batch) == mostTogether {
			return false
		}
		r := more()
		if r != nil {
			batch = append(batch, r)
		}
		return r != nil
	}
	// Statements run without a context that can end: the driver would start a goroutine to watch it, for each.
	ctx := context.Background()
	tx, err := w.begin(ctx)
	if err != nil {
		for join() { // the wait is not to be repeated for each
		}
		return batch, nil, fmt.Errorf("%w: %w", errBegin, fault(err))
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the first error is the one to tell
		}
	}()
	t := &transaction{Queries: w.queries.WithTx(tx), sql: tx, now: w.now()}
	for i := 0; i < len(batch); i++ {
		err := guard(batch[i].ctx, batch[i].change, t)
		if clean, ok := errors.AsType[*refusal](err); ok {
			err = clean.error
		} else if err != nil {
			return batch, nil, fault(err)
		}
		errs = append(errs, err)
		join()
	}
	if err := tx.Commit(); err != nil {
		return batch, nil, fault(fmt.Errorf("commit: %w", err))
	}
	w.committed(len(batch))
	return batch, errs, nil
}

func guard(ctx context.Context, c change, t *transaction) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in a transaction: %v", p)
		}
	}()
	return c(ctx, t)
}

// refusal marks an error of a change that has not written anything.
type refusal struct{ error }

// refuse wraps an error that a change returns before it has written anything.
func refuse(err error) error { return &refusal{err} }
