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
	// cancelled is the deadline of a task that was: before all others.
	cancelled = 0
)

// Submit implements store.Tasks.
func (s *Store) Submit(ctx context.Context, sub store.Submission) (task store.Accepted, err error) {
	blocks := encode(sub.Items) // before the transaction: the writer is everybody's
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		in, err := tx.IntegrationForSubmit(ctx, dbq.IntegrationForSubmitParams{ID: sub.IntegrationID, Environment: sub.EnvironmentID})
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && in.DeletedAt.Valid:
			return refuse(store.ErrNotFound)
		case err != nil:
			return err
		case in.Enabled == 0:
			return refuse(store.ErrDisabled)
		case sub.MostWaiting > 0 && in.Waiting+int64(len(sub.Items)) > int64(sub.MostWaiting):
			return refuse(&store.FullError{Limit: sub.MostWaiting, Waiting: int(in.Waiting)})
		}
		task = store.Accepted{
			Task:    skill.Task{ID: sub.TaskID, CreatedAt: fromMillis(tx.now)},
			Waiting: int(in.Waiting) + len(sub.Items),
		}
		if err := tx.addTask(ctx, dbq.InsertTaskParams{
			ID: sub.TaskID, Integration: in.Seq, KeyID: sub.KeyID, Items: int64(len(sub.Items)),
			CreatedAt: tx.now, Deadline: tx.now + sub.Timeout.Milliseconds(),
		}, blocks); err != nil {
			return err
		}
		if err := tx.WantDrain(ctx, dbq.WantDrainParams{Integration: in.Seq, Items: int64(len(sub.Items))}); err != nil {
			return err
		}
		if sub.Claim != nil && in.Wanted == 0 {
			if task.Leased, err = tx.claimResting(ctx, sub); err != nil {
				return err
			}
		}
		notified := in.NotifiedAt.Valid && in.NotifiedAt.Int64 >= tx.now-notifiedFor
		if !sub.Elsewhere || in.Wanted != 0 || notified {
			return nil
		}
		if err := s.queue.InsertDrain(ctx, tx.sql, sub.IntegrationID); err != nil {
			return err
		}
		return tx.SetNotified(ctx, dbq.SetNotifiedParams{Integration: in.Seq, Now: sql.NullInt64{Int64: tx.now, Valid: true}})
	})
	if err != nil {
		return store.Accepted{}, fmt.Errorf("submit to %s: %w", sub.IntegrationID, err)
	}
	return task, nil
}

// claimResting leases the integration of a submission, the first that it has to do, unless something speaks against it.
func (tx *transaction) claimResting(ctx context.Context, sub store.Submission) (*store.Leased, error) {
	row, err := tx.ClaimableDrain(ctx, dbq.ClaimableDrainParams{ID: sub.IntegrationID, Now: tx.now})
	if errors.Is(err, sql.ErrNoRows) || err == nil && (row.Owner.Valid || row.Integration.InvalidReason.Valid) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	lease, next, err := tx.claim(ctx, row, *sub.Claim)
	if next.Opened {
		next.Items = sub.Items[:min(len(sub.Items), blockItems)]
	}
	return &store.Leased{Lease: lease, Next: next}, err
}

// packUpTo is how large an answer may be that is packed, in bytes: a poll of a larger one would spend more time on unpacking
// than on all else.
const packUpTo = 64 << 10

// packDocument packs an answer, which is unpacked by every poll.
func packDocument(plain []byte) []byte {
	if len(plain) > packUpTo {
		return plain
	}
	return store.Pack(plain)
}

// encode cuts a task's items into blocks.
func encode(items []skill.Item) [][]byte {
	blocks := make([][]byte, 0, len(items)/blockItems+1)
	for at := 0; at < len(items); at += blockItems {
		blocks = append(blocks, store.Pack(skill.AppendItems(nil, items[at:min(at+blockItems, len(items))])))
	}
	return blocks
}

func (tx *transaction) addTask(ctx context.Context, task dbq.InsertTaskParams, blocks [][]byte) error {
	ref, err := tx.InsertTask(ctx, task)
	if err != nil {
		return err
	}
	for i, block := range blocks {
		if err := tx.InsertTaskItems(ctx, dbq.InsertTaskItemsParams{Task: ref, Start: int64(i * blockItems), Block: block}); err != nil {
			return err
		}
	}
	return nil
}

// Task implements store.Tasks.
func (s *Store) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	row, err := s.queries.Task(ctx, dbq.TaskParams{ID: taskID, Integration: integrationID, Environment: environmentID})
	if errors.Is(err, sql.ErrNoRows) {
		err = s.expired(ctx, environmentID, integrationID, taskID)
	}
	if err != nil {
		return store.TaskView{}, fmt.Errorf("task %s: %w", taskID, missing(err))
	}
	document, err := store.Unpack(row.Document)
	if err != nil {
		return store.TaskView{}, fmt.Errorf("task %s: %w", taskID, err)
	}
	return store.TaskView{
		Task:     skill.Task{ID: row.ID, CreatedAt: fromMillis(row.CreatedAt)},
		Status:   skill.TaskStatus(row.Status),
		Items:    int(row.Items),
		Done:     int(row.Done),
		Counts:   skill.Counts{Written: int(row.Written), Unchanged: int(row.Unchanged), Failed: int(row.Failed)},
		Document: document,
	}, nil
}

// expired says why a task is not there.
func (s *Store) expired(ctx context.Context, environmentID, integrationID, taskID string) error {
	at, err := s.queries.ExpiredTask(ctx, dbq.ExpiredTaskParams{ID: taskID, Integration: integrationID, Environment: environmentID})
	if err != nil {
		return err
	}
	return &store.ExpiredError{At: fromMillis(at)}
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
	documents := make([][]byte, len(tasks))
	for i, t := range tasks {
		documents[i] = packDocument(t.Document)
	}
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		ended = nil
		for i, t := range tasks {
			row, err := tx.FailUnstartedTask(ctx, dbq.FailUnstartedTaskParams{
				Seq: t.Ref, CompletedAt: sql.NullInt64{Int64: t.CompletedAt.UnixMilli(), Valid: true}, Document: documents[i],
			})
			if errors.Is(err, sql.ErrNoRows) {
				continue
			}
			if err != nil {
				return err
			}
			if err := tx.AddWaiting(ctx, dbq.AddWaitingParams{Integration: row.Integration, Items: -row.Items, Tasks: -1}); err != nil {
				return err
			}
			ended = append(ended, t.Ref)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("fail tasks: %w", err)
	}
	return ended, nil
}

// CancelTask implements store.Drains.
func (s *Store) CancelTask(
	ctx context.Context, environmentID, taskID string, document func(task skill.Task, at time.Time) []byte,
) (c store.Cancelled, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.TaskToCancel(ctx, dbq.TaskToCancelParams{ID: taskID, Environment: environmentID})
		if errors.Is(err, sql.ErrNoRows) {
			if at, err := tx.TaskExpiredIn(ctx, dbq.TaskExpiredInParams{ID: taskID, Environment: environmentID}); err == nil {
				return refuse(&store.ExpiredError{At: fromMillis(at)})
			}
		}
		if err != nil {
			return absent(err)
		}
		c = store.Cancelled{IntegrationID: row.IntegrationID, Items: int(row.Items), Ended: row.Started == 0}
		switch {
		case row.Status != int64(skill.Pending):
			return refuse(store.ErrTaskEnded)
		case c.Ended:
			at := fromMillis(tx.now)
			_, err := tx.FailUnstartedTask(ctx, dbq.FailUnstartedTaskParams{
				Seq: row.Seq, CompletedAt: sql.NullInt64{Int64: tx.now, Valid: true},
				Document: packDocument(document(skill.Task{ID: taskID, CreatedAt: fromMillis(row.CreatedAt)}, at)),
			})
			if err != nil {
				return err
			}
			return tx.AddWaiting(ctx, dbq.AddWaitingParams{Integration: row.Integration, Items: -row.Items, Tasks: -1})
		case row.Deadline == cancelled:
			return nil
		default:
			if err := tx.SetDeadline(ctx, dbq.SetDeadlineParams{Seq: row.Seq, Deadline: cancelled}); err != nil {
				return err
			}
			return tx.BeginAnew(ctx, row.Integration)
		}
	})
	if err != nil {
		return store.Cancelled{}, fmt.Errorf("cancel task %s: %w", taskID, err)
	}
	return c, nil
}
