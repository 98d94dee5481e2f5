package engine

import (
	"context"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// cancelledMessage is what the items say that a cancelled task did not come to.
const cancelledMessage = "The task was cancelled."

// Cancel ends a task that nobody has taken up, and has the drain of any other end it at its next step. What was written stays
// so; calls under way are waited for, and what the tool may have taken is told from what was not attempted. See
// docs/adr/0022. Errors are those of store.CancelTask.
func Cancel(ctx context.Context, s store.Drains, environmentID, taskID string) (store.Cancelled, error) {
	return s.CancelTask(ctx, environmentID, taskID, func(task skill.Task, at time.Time) []byte {
		return skill.FailedDocument(task, at, skill.CodeTaskCancelled, cancelledMessage, "")
	})
}

// Cancel is the function of that name. If this process drains, it does not wait for anybody to notice.
func (e *Engine) Cancel(ctx context.Context, environmentID, taskID string) (store.Cancelled, error) {
	c, err := Cancel(ctx, e.store, environmentID, taskID)
	if err != nil {
		return c, err
	}
	if c.Ended {
		e.metrics.TaskEnded(skill.Failed.String(), 1)
		e.metrics.Items(skill.NotAttempted.String(), c.Items)
	} else if !e.set.Passive {
		e.schedule.wake(c.IntegrationID, overdue)
	}
	return c, nil
}
