package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// checkpointer copies SQLite's write-ahead log into the database file, on a connection of its own, so that commits do not
// do it on the way. A log that was copied whole is begun anew by the next commit.
//
// While commits follow each other without a pause, the copy never quite catches up and the log would grow; past mostPages
// it is copied with the writer held off, which takes milliseconds since most of it was copied already. Where somebody reads
// for long, a backup for example, that cannot be done before he has ended: the log grows, and nobody waits for him.
type checkpointer struct {
	db     *sql.DB
	logger *slog.Logger
	wake   chan struct{}
	stop   chan struct{}
	done   sync.WaitGroup
	// hindered is when the log could not be cut last.
	hindered time.Time
}

const (
	// somePages is how much of the log waits for a copy: SQLite's own measure, 4 MB.
	somePages = 1000
	// mostPages is where the log is cut, come what may: 64 MB.
	mostPages = 16000
	// lookEvery bounds how often the log is looked at.
	lookEvery = 25 * time.Millisecond
	// Cutting the log waits for those who read with the writer held off, so for cutWait only, and then not again for cutEvery.
	cutWait  = 100 * time.Millisecond
	cutEvery = 2 * time.Second
)

func newCheckpointer(dsn string, logger *slog.Logger) (*checkpointer, error) {
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	c := &checkpointer{db: db, logger: logger, wake: make(chan struct{}, 1), stop: make(chan struct{})}
	c.done.Go(c.loop)
	return c, nil
}

// nudge says that something was committed.
func (c *checkpointer) nudge() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *checkpointer) loop() {
	for {
		select {
		case <-c.wake:
		case <-c.stop:
			return
		}
		if err := c.look(); err != nil {
			c.logger.Warn("the write-ahead log could not be copied into the database", "error", err)
		}
		select {
		case <-time.After(lookEvery):
		case <-c.stop:
			return
		}
	}
}

func (c *checkpointer) look() error {
	_, pages, copied, err := c.run("NOOP")
	if err == nil && pages-copied >= somePages {
		_, pages, _, err = c.run("PASSIVE")
	}
	if err == nil && pages >= mostPages && time.Since(c.hindered) > cutEvery {
		var busy bool
		if busy, _, _, err = c.run("TRUNCATE"); busy {
			c.hindered = time.Now()
		}
	}
	return err
}

// run returns how many pages the log holds, and how many of them were copied; busy, if somebody was in the way.
func (c *checkpointer) run(mode string) (busy bool, pages, copied int, err error) {
	row := c.db.QueryRowContext(context.Background(), "PRAGMA wal_checkpoint("+mode+")")
	if err := row.Scan(&busy, &pages, &copied); err != nil {
		return false, 0, 0, fmt.Errorf("checkpoint %s: %w", mode, err)
	}
	return busy, pages, copied, nil
}

func (c *checkpointer) close() error {
	close(c.stop)
	c.done.Wait()
	return c.db.Close()
}
