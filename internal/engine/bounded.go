package engine

import (
	"context"
	"errors"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// storeMost bounds an operation of the store: when a database is back and a connection is only half open, work goes on
	// this much later.
	storeMost = 3 * time.Second
	// storeMostEach is added for each skill or task that an operation writes.
	storeMostEach = 500 * time.Microsecond
)

var errSlow = errors.New("the database did not answer in time")

// bounded is a store of which no operation outlasts its time, whatever has become of a connection.
type bounded struct{ Store }

func within(ctx context.Context, most time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, most, errSlow)
}

func (b bounded) Claim(ctx context.Context, c store.Claim) (store.Lease, store.Next, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Claim(ctx, c)
}

func (b bounded) Due(ctx context.Context, limit int) ([]store.DueDrain, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Due(ctx, limit)
}

func (b bounded) Overdue(ctx context.Context, limit int) ([]store.WaitingTask, time.Time, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Overdue(ctx, limit)
}

func (b bounded) FailTasks(ctx context.Context, tasks []store.FailedTask) ([]int64, error) {
	ctx, cancel := within(ctx, storeMost+time.Duration(len(tasks))*storeMostEach)
	defer cancel()
	return b.Store.FailTasks(ctx, tasks)
}

func (b bounded) CancelTask(
	ctx context.Context, environmentID, taskID string, document func(skill.Task, time.Time) []byte,
) (store.Cancelled, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.CancelTask(ctx, environmentID, taskID, document)
}

func (b bounded) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	ctx, cancel := within(ctx, storeMost+time.Duration(len(step.Written)+len(step.Refused)+len(step.Unsure))*storeMostEach)
	defer cancel()
	return b.Store.Advance(ctx, lease, step)
}

func (b bounded) Items(ctx context.Context, task int64, start int) ([]skill.Item, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Items(ctx, task, start)
}

func (b bounded) Outcomes(ctx context.Context, task int64) ([]store.Run, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Outcomes(ctx, task)
}

func (b bounded) Jobs(ctx context.Context, lease store.Lease, task int64) ([]store.Job, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Jobs(ctx, lease, task)
}

func (b bounded) Skills(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillState, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Skills(ctx, lease, originIDs)
}

func (b bounded) Contents(ctx context.Context, lease store.Lease, originIDs []string) ([]skill.Item, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Contents(ctx, lease, originIDs)
}

func (b bounded) Doubt(ctx context.Context, d store.Doubt) error {
	ctx, cancel := within(ctx, storeMost+time.Duration(len(d.OriginIDs))*storeMostEach)
	defer cancel()
	return b.Store.Doubt(ctx, d)
}

func (b bounded) Waiting(ctx context.Context, lease store.Lease, limit int) ([]store.WaitingTask, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.Waiting(ctx, lease, limit)
}

func (b bounded) IndexNames(ctx context.Context, limit int) (int, error) {
	ctx, cancel := within(ctx, storeMost+time.Duration(limit)*storeMostEach)
	defer cancel()
	return b.Store.IndexNames(ctx, limit)
}
