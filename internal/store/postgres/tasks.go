package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

const (
	// blockItems is how many items a stored block holds: what a drain reads at a time.
	blockItems = 2000
	// inlineBytes is how large a block may be to be kept in the task's own row. It has to fit beside others on a page, since a
	// task that goes on is rewritten.
	inlineBytes = 1600
	// notifiedFor is how long a queued wake-up counts as on its way. One older than that was lost.
	notifiedFor = time.Minute
)

// blocksOf encodes items, with the position of each block's first.
func blocksOf(items []skill.Item) (starts []int32, blocks [][]byte) {
	for at := 0; at < len(items); at += blockItems {
		starts = append(starts, int32(at))
		blocks = append(blocks, store.Pack(skill.AppendItems(nil, items[at:min(at+blockItems, len(items))])))
	}
	return starts, blocks
}

// itemsOf reads what blocksOf made of some of the items.
func itemsOf(block []byte) ([]skill.Item, error) {
	plain, err := store.Unpack(block)
	if err != nil {
		return nil, err
	}
	return skill.DecodeItems(plain)
}

// Submit implements store.Tasks.
func (s *Store) Submit(ctx context.Context, sub store.Submission) (task store.Accepted, err error) {
	p := dbq.SubmitTaskParams{
		ID: sub.TaskID, Integration: sub.IntegrationID, Environment: sub.EnvironmentID, KeyID: sub.KeyID,
		Items: int32(len(sub.Items)), Timeout: sub.Timeout,
		MostWaiting: int64(sub.MostWaiting), Elsewhere: sub.Elsewhere, NotifiedFor: notifiedFor,
	}
	if c := sub.Claim; c != nil {
		p.Owner, p.Ttl, p.OpenUpTo = c.Owner, c.TTL, int32(c.OpenUpTo)
	}
	if p.Starts, p.Blocks = blocksOf(sub.Items); len(p.Blocks) == 1 && len(p.Blocks[0]) <= inlineBytes {
		p.Block, p.Starts, p.Blocks = p.Blocks[0], nil, nil
	}
	// A small task that is leased by the way needs no other way to the database before its call.
	var originIDs []string
	if c := sub.Claim; c != nil && p.Block != nil && len(sub.Items) <= c.OpenUpTo {
		originIDs = make([]string, len(sub.Items))
		for i, it := range sub.Items {
			originIDs[i] = it.OriginID
		}
	}
	err = s.inBatches(ctx, func(ctx context.Context, b *batches) error {
		var row dbq.SubmitTaskRow
		var found []dbq.FindSubmittedRow
		ask := func(ctx context.Context, q *dbq.Queries) (err error) {
			if sub.Claim != nil {
				// As in Claim: what is leased must be the integration as it is once the lock is there.
				if err := q.LockDrainOf(ctx, sub.IntegrationID); err != nil {
					return err
				}
			}
			if row, err = q.SubmitTask(ctx, p); err != nil || originIDs == nil {
				return err
			}
			found, err = q.FindSubmitted(ctx, dbq.FindSubmittedParams{OriginIds: originIDs, Task: sub.TaskID})
			return err
		}
		send := b.end
		if sub.Elsewhere { // there may be more to do
			send = b.send
		}
		err := send(ctx, ask)
		switch {
		case errors.Is(err, pgx.ErrNoRows) || err == nil && row.Deleted:
			return store.ErrNotFound
		case err != nil:
			return err
		case !row.Integration.Enabled:
			return store.ErrDisabled
		case !row.Accepted:
			return &store.FullError{Limit: sub.MostWaiting, Waiting: int(row.WaitingBefore)}
		}
		task = store.Accepted{
			Task:    skill.Task{ID: sub.TaskID, CreatedAt: row.CreatedAt.UTC()},
			Waiting: int(row.WaitingBefore) + len(sub.Items),
		}
		if row.Rests {
			task.Leased = leased(sub, task.Task, row, p.Block != nil)
			if row.Opened && originIDs != nil {
				rows := make([]dbq.FindSkillsRow, len(found))
				for i, r := range found {
					rows[i] = dbq.FindSkillsRow(r)
				}
				task.Leased.Next.States = statesOf(originIDs, rows)
			}
		}
		if !sub.Elsewhere {
			return nil
		}
		if row.Notify {
			if err := s.queue.InsertDrain(ctx, b.tx, sub.IntegrationID); err != nil {
				return err
			}
		}
		return b.end(ctx, func(context.Context, *dbq.Queries) error { return nil })
	})
	if err != nil {
		return store.Accepted{}, fmt.Errorf("submit to %s: %w", sub.IntegrationID, err)
	}
	return task, nil
}

// leased is the lease that came with a submission.
func leased(sub store.Submission, task skill.Task, row dbq.SubmitTaskRow, inline bool) *store.Leased {
	l := &store.Leased{
		Lease: store.Lease{
			Ref: row.Integration.Seq, Owner: sub.Claim.Owner, Epoch: row.Epoch, Integration: integration(row.Integration),
		},
		Next: store.Next{
			Now: task.CreatedAt, State: stateOf(row.Integration), Failures: int(row.Failures), Paced: row.Paced, Opened: row.Opened,
			Task: &store.DrainTask{Task: task, Ref: row.Task, Items: len(sub.Items), TimeLeft: sub.Timeout, Last: inline},
		},
	}
	if row.Opened {
		l.Next.Items = sub.Items[:min(len(sub.Items), blockItems)]
	}
	return l
}

// Task implements store.Tasks.
func (s *Store) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	row, err := s.queries.Task(ctx, dbq.TaskParams{ID: taskID, Integration: integrationID, Environment: environmentID})
	if errors.Is(err, pgx.ErrNoRows) {
		var at time.Time
		at, err = s.queries.ExpiredTask(ctx, dbq.ExpiredTaskParams{ID: taskID, Integration: integrationID, Environment: environmentID})
		if err == nil {
			err = &store.ExpiredError{At: at.UTC()}
		}
	}
	if err != nil {
		return store.TaskView{}, fmt.Errorf("task %s: %w", taskID, missing(err))
	}
	document, err := store.Unpack(row.Document)
	if err != nil {
		return store.TaskView{}, fmt.Errorf("task %s: %w", taskID, err)
	}
	return store.TaskView{
		Task:     skill.Task{ID: row.ID, CreatedAt: row.CreatedAt.UTC()},
		Status:   skill.TaskStatus(row.Status),
		Items:    int(row.Items),
		Done:     int(row.Done),
		Counts:   skill.Counts{Written: int(row.Written), Unchanged: int(row.Unchanged), Failed: int(row.Failed)},
		Document: document,
	}, nil
}

// Overdue implements store.Drains.
func (s *Store) Overdue(ctx context.Context, limit int) ([]store.WaitingTask, time.Time, error) {
	rows, err := s.queries.OverdueTasks(ctx, int32(limit))
	if err != nil {
		return nil, time.Time{}, fault(fmt.Errorf("overdue tasks: %w", err))
	}
	if len(rows) == 0 {
		return nil, time.Time{}, nil
	}
	return collect(rows, func(r dbq.OverdueTasksRow) store.WaitingTask {
		return waitingTask(r.Seq, r.ID, r.CreatedAt, r.Items)
	}), rows[0].Now.UTC(), nil
}

// Waiting implements store.Drains.
func (s *Store) Waiting(ctx context.Context, lease store.Lease, limit int) ([]store.WaitingTask, error) {
	rows, err := s.queries.UnstartedTasks(ctx, dbq.UnstartedTasksParams{Integration: lease.Ref, Most: int32(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("waiting tasks: %w", err))
	}
	return collect(rows, func(r dbq.UnstartedTasksRow) store.WaitingTask {
		return waitingTask(r.Seq, r.ID, r.CreatedAt, r.Items)
	}), nil
}

func waitingTask(ref int64, id string, created time.Time, items int32) store.WaitingTask {
	return store.WaitingTask{Task: skill.Task{ID: id, CreatedAt: created.UTC()}, Ref: ref, Items: int(items)}
}

// FailTasks implements store.Drains.
func (s *Store) FailTasks(ctx context.Context, tasks []store.FailedTask) (ended []int64, err error) {
	var p dbq.FailUnstartedTasksParams
	for _, t := range tasks {
		p.Tasks = append(p.Tasks, t.Ref)
		p.CompletedAt = append(p.CompletedAt, t.CompletedAt)
		p.Documents = append(p.Documents, store.Pack(t.Document))
	}
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockDrainsOfTasks(ctx, p.Tasks); err != nil {
			return err
		}
		ended, err = tx.FailUnstartedTasks(ctx, p)
		return err
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
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		drain, err := tx.LockDrainOfTask(ctx, dbq.LockDrainOfTaskParams{ID: taskID, Environment: environmentID})
		if errors.Is(err, pgx.ErrNoRows) {
			return tx.notPending(ctx, environmentID, taskID)
		}
		if err != nil {
			return err
		}
		// Now that the lock is there: it may have been taken up, or have ended, meanwhile.
		row, err := tx.TaskToCancel(ctx, taskID)
		if errors.Is(err, pgx.ErrNoRows) {
			return store.ErrTaskEnded
		}
		if err != nil {
			return err
		}
		c = store.Cancelled{IntegrationID: drain.ID, Items: int(row.Items), Ended: !row.Started}
		switch {
		case c.Ended:
			answer := document(skill.Task{ID: taskID, CreatedAt: row.CreatedAt.UTC()}, row.Now.UTC())
			_, err := tx.FailUnstartedTasks(ctx, dbq.FailUnstartedTasksParams{
				Tasks: []int64{row.Seq}, CompletedAt: []time.Time{row.Now}, Documents: [][]byte{store.Pack(answer)},
			})
			return err
		case row.Cancelled:
			return nil
		default:
			return tx.CancelStarted(ctx, dbq.CancelStartedParams{Task: row.Seq, Integration: drain.Integration})
		}
	})
	if err != nil {
		return store.Cancelled{}, fmt.Errorf("cancel task %s: %w", taskID, err)
	}
	return c, nil
}

// notPending says why a task is not among the unfinished ones.
func (tx *transaction) notPending(ctx context.Context, environmentID, taskID string) error {
	ended, err := tx.EndedIn(ctx, dbq.EndedInParams{ID: taskID, Environment: environmentID})
	if err != nil {
		return err
	}
	if ended {
		return store.ErrTaskEnded
	}
	at, err := tx.TaskExpiredIn(ctx, dbq.TaskExpiredInParams{ID: taskID, Environment: environmentID})
	if err != nil {
		return missing(err)
	}
	return &store.ExpiredError{At: at.UTC()}
}
