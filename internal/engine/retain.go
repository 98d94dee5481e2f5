package engine

import (
	"context"
	"time"
)

const (
	// retainMost bounds one round of retention; the next one goes on.
	retainMost = 20 * time.Minute
	// retainTogether is how many tasks are removed in one transaction.
	retainTogether = 500
	// retainBatch bounds such a transaction. It may have to wait for a table that is in use.
	retainBatch = 30 * time.Second
	// keepLinks is how long a link to connect a tool is kept once it was used or has expired: longer than its token is good.
	keepLinks = 48 * time.Hour
)

// retain removes the tasks that ended too long ago, then the tombstones of those that were removed too long ago, then old
// interactions, then the links whose time is over. It may be called by several processes at once.
func (e *Engine) retain(ctx context.Context) error {
	ctx, cancel := within(ctx, retainMost)
	defer cancel()
	tasks, err := inBatches(ctx, e.set.KeepTasks, e.store.Expire)
	e.metrics.TasksExpired(tasks)
	forgotten := 0
	if err == nil {
		forgotten, err = inBatches(ctx, e.set.KeepTombstones, e.store.Forget)
	}
	logged := 0
	if err == nil {
		logged, err = inBatches(ctx, e.set.KeepLogs, e.store.RemoveInteractions)
	}
	if err == nil {
		_, err = inBatches(ctx, keepLinks, e.store.ForgetLinks)
	}
	if tasks+forgotten+logged > 0 {
		e.log.Info("old tasks removed", "tasks", tasks, "tombstones", forgotten, "interactions", logged)
	}
	if err != nil && ctx.Err() == nil {
		e.log.Warn("old tasks could not be removed; it is tried again next time", "error", err)
	}
	return err
}

// inBatches removes what there is to remove. Between two batches it leaves the database alone for as long as the last one
// took, so others have at least half of it.
func inBatches(ctx context.Context, keep time.Duration, remove func(context.Context, time.Duration, int) (int, error)) (int, error) {
	all := 0
	for {
		began := time.Now()
		batch, cancel := within(ctx, retainBatch)
		n, err := remove(batch, keep, retainTogether)
		cancel()
		all += n
		if err != nil || n == 0 {
			return all, err
		}
		if !sleep(ctx, time.Since(began)) {
			return all, context.Cause(ctx)
		}
	}
}
