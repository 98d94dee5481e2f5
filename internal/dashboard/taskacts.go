package dashboard

import (
	"context"
	"errors"
	"net/http"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// retryTask sends the failed skills of a task again, as a task of its own.
func (d *Dashboard) retryTask(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	if head.Status == skill.Pending {
		return &problem{http.StatusConflict, "This task goes on", "What fails in it can be sent again once it has ended."}
	}
	leave, err := d.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	t, err := d.wholeTask(ctx, head)
	if err != nil {
		return err
	}
	var again []skill.Item
	for _, l := range t.Lines {
		if l.Outcome == "failed" {
			again = append(again, l.Item)
		}
	}
	if len(again) == 0 {
		return &problem{http.StatusConflict, "Nothing of this task failed", "There is nothing to send again."}
	}
	id, done, err := d.taskOnce(r, func(id string) error {
		return d.act(r, env(r).ID, "task.retry", head.ID, plural(len(again), "skill")+" of "+head.ID+" as "+id, func(ctx context.Context) error {
			_, err := d.Engine.Submit(ctx, store.Submission{
				EnvironmentID: env(r).ID, IntegrationID: head.IntegrationID, KeyID: byUser + who(r).ID, TaskID: id, Items: again,
			})
			return err
		})
	})
	full, isFull := errors.AsType[*store.FullError](err)
	switch {
	case isFull:
		return &problem{
			http.StatusConflict, "Too much is waiting for this integration",
			number(full.Waiting) + " skills wait, of " + number(full.Limit) + " that may. Nothing was sent: try again later.",
		}
	case errors.Is(err, store.ErrDisabled):
		return &problem{http.StatusConflict, "The integration is switched off", "Switch it on, then send the skills again."}
	case errors.Is(err, store.ErrNotFound):
		return &problem{http.StatusConflict, "The integration was deleted", "Its tasks can still be read, but nothing is sent any more."}
	case err != nil:
		return err
	case done:
		return redirect(w, r, base(r)+"/tasks/"+id)
	}
	d.notice(r, plural(len(again), "skill")+" "+isAre(len(again))+" sent again, as this task.")
	return redirect(w, r, base(r)+"/tasks/"+id)
}

// cancelTask ends a task that waits, or has its drain end it.
func (d *Dashboard) cancelTask(w http.ResponseWriter, r *http.Request) error {
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	var done store.Cancelled
	err = d.act(r, env(r).ID, "task.cancel", head.ID, plural(head.Items, "skill")+" for "+d.Connectors.Label(head.Tool)+" of "+head.Customer, func(ctx context.Context) (err error) {
		done, err = d.Engine.Cancel(ctx, env(r).ID, head.ID)
		return err
	})
	if errors.Is(err, store.ErrTaskEnded) {
		return &problem{http.StatusConflict, "This task has ended", "There is nothing left of it that could be cancelled."}
	}
	if err != nil {
		return err
	}
	said := "It is cancelled. Nothing of it was sent."
	if !done.Ended {
		said = "It is cancelled: it ends once the calls under way are over."
	}
	d.notice(r, said)
	return redirect(w, r, base(r)+"/tasks/"+head.ID)
}
