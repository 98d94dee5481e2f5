package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type tasksCommand struct {
	Get    tasksGet    `cmd:"" help:"Print the state of a task."`
	Wait   tasksWait   `cmd:"" help:"Wait until a task has ended, and tell what became of it."`
	Cancel tasksCancel `cmd:"" help:"Send nothing more of a task: it ends, and what was written stays written."`
}

type tasksGet struct {
	remote
	asJSON
	ID string `arg:"" help:"The task's id."`
}

func (c *tasksGet) Help() string {
	return examplesOf("crosswalk tasks get task_28KMdr68N8kG9EzLwjsN9aoz", "crosswalk tasks get task_28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *tasksGet) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	task, err := cl.Task(a.ctx, c.ID)
	if err != nil {
		return err
	}
	return c.print(a, task, func(w io.Writer) { tellTask(a, w, task) })
}

type tasksWait struct {
	remote
	asJSON
	ID string `arg:"" help:"The task's id."`
}

func (c *tasksWait) Help() string {
	return examplesOf("crosswalk tasks wait task_28KMdr68N8kG9EzLwjsN9aoz", "crosswalk tasks wait task_28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *tasksWait) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	var bar *progress
	task, err := cl.Wait(a.ctx, c.ID, func(now client.Task) {
		if bar == nil && !now.Ended() && now.Progress.Total > 0 {
			bar = newProgress(a, c.ID, now.Progress.Total)
		}
		if bar != nil {
			bar.set(now.Progress.Done)
		}
	})
	if bar != nil {
		bar.finish()
	}
	if err != nil {
		p := &push{a: a}
		if a.ctx.Err() != nil {
			p.tasks = []*pushed{{id: c.ID}}
			p.comeBack()
		}
		return p.interrupted(err)
	}
	if err := c.print(a, task, func(w io.Writer) { tellTask(a, w, task) }); err != nil {
		return err
	}
	return (&push{tasks: []*pushed{{done: task}}}).exit()
}

// tellTask prints a task for people.
func tellTask(a *app, w io.Writer, task client.Task) {
	p := &push{a: a, tasks: []*pushed{{id: task.ID, done: task}}}
	switch task.Status {
	case client.Completed:
		succeeded, failed, _ := p.counts()
		took := time.Duration(0)
		if task.CompletedAt != nil {
			took = task.CompletedAt.Sub(task.CreatedAt)
		}
		fmt.Fprintf(w, "%s %s  %s  %s in step, %s failed in %s\n", a.mark(failed, succeeded+failed), task.ID, task.Status, count(succeeded), count(failed), seconds(took))
	case client.Failed:
		fmt.Fprintf(w, "%s %s  %s\n", a.mark(1, 1), task.ID, task.Status)
		fmt.Fprintf(w, "        %s  %s\n", task.Error.Code, task.Error.Message)
		return
	default:
		fmt.Fprintf(w, "◌ %s  %s  %s of %s since %s\n", task.ID, task.Status, count(task.Progress.Done), count(task.Progress.Total), at(task.CreatedAt))
	}
	for _, r := range p.reasons() {
		fmt.Fprintf(w, "%6s  %s  %s\n", count(r.n), r.code, r.message)
	}
}

type tasksCancel struct {
	database
	asJSON
	ID string `arg:"" help:"The task's id."`
}

func (c *tasksCancel) Help() string {
	return "A task that waits ends at once. One that goes on ends within seconds, or once the calls under way are over. It works on " +
		"the database, beside running servers.\n\n" +
		examplesOf("crosswalk tasks cancel task_28KMdr68N8kG9EzLwjsN9aoz", "crosswalk tasks cancel task_28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *tasksCancel) Run(a *app) error {
	if !skill.IsTaskID(c.ID) {
		return misuse("%q is not the id of a task", c.ID)
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := s.TaskEnvironment(ctx, c.ID)
		if err != nil {
			return err
		}
		var done store.Cancelled
		if err := recorded(ctx, s, env, "task.cancel", c.ID, "", func() (err error) {
			done, err = engine.Cancel(ctx, s, env, c.ID)
			return err
		}); errors.Is(err, store.ErrTaskEnded) {
			return misuse("%s has ended already", c.ID)
		} else if err != nil {
			return err
		}
		out := struct {
			ID          string `json:"id"`
			Integration string `json:"integration"`
			Ended       bool   `json:"ended"`
		}{c.ID, done.IntegrationID, done.Ended}
		return c.print(a, out, func(w io.Writer) {
			if done.Ended {
				fmt.Fprintf(w, "%s  cancelled; nothing of it was sent\n", c.ID)
				return
			}
			fmt.Fprintf(w, "%s  cancelled; it ends once the calls under way are over\n", c.ID)
		})
	})
}
