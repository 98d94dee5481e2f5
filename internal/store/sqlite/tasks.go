package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

const (
	// blockItems is how many items a stored block holds: what a drain reads at a time.
	blockItems = 2000
	// notifiedFor is how long a queued wake-up counts as on its way. One older than that was lost.
	notifiedFor = 60_000 // ms
)

// Submit implements store.Tasks.
func (s *Store) Submit(ctx context.Context, sub store.Submission) (task store.Accepted, err error) {
	// Encoded before the transaction: the writer is everybody's.
	blocks := make([][]byte, 0, len(sub.Items)/blockItems+1)
	for at := 0; at < len(sub.Items); at += blockItems {
		blocks = append(blocks, skill.AppendItems(nil, sub.Items[at:min(at+blockItems, len(sub.Items))]))
	}
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		in, err := tx.IntegrationForSubmit(ctx, dbq.IntegrationForSubmitParams{ID: sub.IntegrationID, Environment: sub.EnvironmentID})
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && in.DeletedAt.Valid:
			return refuse(store.ErrNotFound)
		case err != nil:
			return err
		case in.Enabled == 0:
			return refuse(store.ErrDisabled)
		}
		task = store.Accepted{Task: skill.Task{ID: sub.TaskID, CreatedAt: fromMillis(tx.now)}}
		ref, err := tx.InsertTask(ctx, dbq.InsertTaskParams{
			ID: sub.TaskID, Integration: in.Seq, KeyID: sub.KeyID, Items: int64(len(sub.Items)),
			CreatedAt: tx.now, Deadline: tx.now + sub.Timeout.Milliseconds(),
		})
		if err != nil {
			return err
		}
		for i, block := range blocks {
			if err := tx.InsertTaskItems(ctx, dbq.InsertTaskItemsParams{Task: ref, Start: int64(i * blockItems), Block: block}); err != nil {
				return err
			}
		}
		if in.Wanted != 0 {
			return nil
		}
		notified := in.NotifiedAt
		if !notified.Valid || notified.Int64 < tx.now-notifiedFor {
			notified = sql.NullInt64{Int64: tx.now, Valid: true}
			if err := s.queue.InsertDrain(ctx, tx.sql, sub.IntegrationID); err != nil {
				return err
			}
		}
		return tx.WantDrain(ctx, dbq.WantDrainParams{Integration: in.Seq, NotifiedAt: notified})
	})
	if err != nil {
		return store.Accepted{}, fmt.Errorf("submit to %s: %w", sub.IntegrationID, err)
	}
	return task, nil
}

// Task implements store.Tasks.
func (s *Store) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	row, err := s.queries.Task(ctx, dbq.TaskParams{ID: taskID, Integration: integrationID, Environment: environmentID})
	if err != nil {
		return store.TaskView{}, fmt.Errorf("task %s: %w", taskID, missing(err))
	}
	return store.TaskView{
		Task:     skill.Task{ID: row.ID, CreatedAt: fromMillis(row.CreatedAt)},
		Status:   skill.TaskStatus(row.Status),
		Items:    int(row.Items),
		Done:     int(row.Done),
		Counts:   skill.Counts{Written: int(row.Written), Unchanged: int(row.Unchanged), Failed: int(row.Failed)},
		Document: row.Document,
	}, nil
}

// Overdue implements store.Drains.
func (s *Store) Overdue(ctx context.Context, limit int) ([]store.WaitingTask, time.Time, error) {
	now := s.now()
	rows, err := s.queries.OverdueTasks(ctx, dbq.OverdueTasksParams{Now: now.UnixMilli(), Most: int64(limit)})
	if err != nil {
		return nil, time.Time{}, fault(fmt.Errorf("overdue tasks: %w", err))
	}
	return collect(rows, unstarted), now, nil
}

// Waiting implements store.Drains.
func (s *Store) Waiting(ctx context.Context, lease store.Lease, limit int) ([]store.WaitingTask, error) {
	rows, err := s.queries.UnstartedTasks(ctx, dbq.UnstartedTasksParams{Integration: lease.Ref, Most: int64(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("waiting tasks: %w", err))
	}
	return collect(rows, func(r dbq.UnstartedTasksRow) store.WaitingTask { return unstarted(dbq.OverdueTasksRow(r)) }), nil
}

func unstarted(row dbq.OverdueTasksRow) store.WaitingTask {
	return store.WaitingTask{Task: skill.Task{ID: row.ID, CreatedAt: fromMillis(row.CreatedAt)}, Ref: row.Seq, Items: int(row.Items)}
}

// FailTasks implements store.Drains.
func (s *Store) FailTasks(ctx context.Context, tasks []store.FailedTask) (ended []int64, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		ended = nil
		for _, t := range tasks {
			n, err := tx.FailUnstartedTask(ctx, dbq.FailUnstartedTaskParams{
				Seq: t.Ref, CompletedAt: sql.NullInt64{Int64: t.CompletedAt.UnixMilli(), Valid: true}, Document: t.Document,
			})
			if err != nil {
				return err
			}
			if n > 0 {
				ended = append(ended, t.Ref)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fail tasks: %w", err)
	}
	return ended, nil
}
