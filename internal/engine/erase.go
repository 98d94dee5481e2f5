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

// erase removes what can be removed now. Between two batches it leaves the database alone for as long as the last one took.
func (e *Engine) erase(ctx context.Context) error {
	for {
		began := time.Now()
		batch, cancel := within(ctx, retainBatch)
		some, err := e.store.EraseSome(batch, eraseTogether)
		cancel()
		for _, id := range some.Ended {
			e.log.Info("an environment is erased", "environment", id)
			if _, err := e.store.Record(ctx, store.AuditEntry{UserName: "the server", Action: "environment.erased", Target: id}); err != nil {
				return err // it is erased all the same
			}
		}
		if err != nil || some.Removed == 0 {
			return err
		}
		if !sleep(ctx, time.Since(began)) {
			return nil
		}
	}
}
