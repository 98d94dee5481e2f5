package engine

import (
	"context"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// eraseTogether is how many rows are removed in one transaction.
	eraseTogether = 1000
	// eraseSweeps is how many sweeps pass between two looks for environments to erase.
	eraseSweeps = 5
)

// erases removes what erased environments held, whoever was asked to erase them, until ctx ends.
func (e *Engine) erases(ctx context.Context) {
	trouble := trouble{log: e.log, begins: "an environment could not be erased; it is tried again until it is", ends: "environments are erased again"}
	for {
		trouble.note(ctx, e.erase(ctx))
		if !sleep(ctx, eraseSweeps*e.set.Sweep) {
			return
		}
	}
}

func (e *Engine) erase(ctx context.Context) error {
	return Erase(ctx, e.store, "the server", func(some store.Erasing) {
		for _, id := range some.Ended {
			e.log.Info("an environment is erased", "environment", id)
		}
	})
}

// Eraser is what Erase needs of a store.
type Eraser interface {
	EraseSome(ctx context.Context, limit int) (store.Erasing, error)
	Record(ctx context.Context, entry store.AuditEntry) (store.AuditEntry, error)
}

// Erase removes what can be removed now of what erased environments held; by tells who did in the audit log, and each batch is told.
// Between two of them it leaves the database alone for as long as the last one took. Any number of processes may do so at once.
func Erase(ctx context.Context, s Eraser, by string, told func(store.Erasing)) error {
	for {
		began := time.Now()
		batch, cancel := within(ctx, retainBatch)
		some, err := s.EraseSome(batch, eraseTogether)
		cancel()
		told(some)
		for _, id := range some.Ended {
			if _, err := s.Record(ctx, store.AuditEntry{UserName: by, Action: "environment.erased", Target: id}); err != nil {
				return err // it is erased all the same
			}
		}
		if err != nil || some.Removed == 0 {
			return err
		}
		if !sleep(ctx, time.Since(began)) {
			return ctx.Err()
		}
	}
}
