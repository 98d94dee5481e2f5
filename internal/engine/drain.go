package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// drain is one turn at the tasks of one integration.
type drain struct {
	e     *Engine
	lease *lease
	log   *slog.Logger
	began time.Time

	session   connector.Session
	jobs      connector.Jobs // the session, if its tool takes jobs
	limits    connector.Limits
	rendering string
	adopt     bool // skills of the same name are taken over
	pace      pace

	// failures is how many calls in a row the tool has left without an answer, over all tasks and drains.
	failures int

	turn *turn // the last one
	// alone is until when the tool asked to be left alone since the last step that was kept; zero if it did not.
	alone time.Time
}

var (
	// errShort: fewer items are stored than the task says.
	errShort = errors.New("items are missing in the store")
	// errCut: the process is told to stop and calls were not answered in time.
	errCut = errors.New("stopped while a call was under way")
)

// notHere is how long an integration is left to other processes when this one cannot work on it.
const notHere = 30 * time.Second

// drain runs one turn. A turn that ends early for whatever reason leaves everything in the store such that another one
// goes on from there.
func (e *Engine) drain(ctx context.Context, integrationID string, force bool) (then again) {
	if wait := e.leftToOthers(integrationID); wait > 0 && !force {
		return again{more: true, in: wait}
	}
	asked := time.Now()
	held, next, err := e.store.Claim(ctx, store.Claim{
		IntegrationID: integrationID, Owner: e.owner, TTL: e.set.LeaseTTL, OpenUpTo: e.batchHint(integrationID), Force: force,
	})
	if err != nil {
		if !errors.Is(err, store.ErrIdle) && ctx.Err() == nil {
			e.log.Warn("drain could not begin; the sweep will try again", "integration", integrationID, "error", err)
		}
		return again{}
	}
	return e.drainLeased(ctx, store.Leased{Lease: held, Next: next}, asked)
}

// leftToOthers is for how long an integration is left to other processes.
func (e *Engine) leftToOthers(integrationID string) time.Duration {
	until, ok := e.away.Load(integrationID)
	if !ok {
		return 0
	}
	wait := time.Until(until.(time.Time))
	if wait <= 0 {
		e.away.CompareAndDelete(integrationID, until)
	}
	return wait
}

// drainLeased is a turn under a lease that was asked for at a moment.
func (e *Engine) drainLeased(ctx context.Context, leased store.Leased, asked time.Time) (then again) {
	held, next := leased.Lease, leased.Next
	d := &drain{
		e: e, lease: e.leases.add(ctx, held, asked, e.set.LeaseTTL), began: asked,
		log: e.log.With("integration", held.Integration.ID),
	}
	d.pace.notBefore(time.Now().Add(next.Paced))
	d.failures = next.Failures
	next.Hold = max(next.Hold, e.leftAlone(held.Integration))
	if held.Stolen {
		e.metrics.LeaseStolen()
	}
	then, err := d.run(next)
	over := context.Cause(d.lease.ctx) // before it is ended for good
	e.leases.drop(d.lease)
	e.metrics.Drained(time.Since(asked))
	lost := errors.Is(err, store.ErrLeaseLost) || errors.Is(over, store.ErrLeaseLost)
	switch {
	case err == nil:
		return then
	case lost || errors.Is(over, errLeaseOver):
		e.metrics.LeaseLost()
		d.log.Warn("drain lost its lease; another one goes on", "error", err)
	case errors.Is(err, errCut):
		d.log.Info("a call was not answered in time; its intent stays open for the next drain")
		return again{}
	case ctx.Err() != nil: // stopped
		return again{}
	case errors.Is(err, store.ErrChanged):
		d.log.Info("the credentials that the tool refused were changed meanwhile; another drain tries the new ones")
	default:
		d.log.Error("drain failed; another one goes on", "error", err)
	}
	e.remember(d)
	e.schedule.beside(func() { d.afterwards(ctx, lost) })
	return again{}
}

// run goes from task to task.
func (d *drain) run(next store.Next) (then again, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	for next.Task != nil && then == (again{}) && err == nil {
		next, then, err = d.step(d.lease.ctx, next)
	}
	return then, err
}

// batchHint guesses how many skills the integration takes in one call, before its settings were read.
func (e *Engine) batchHint(integrationID string) int {
	if n, ok := e.batches.Load(integrationID); ok {
		return n.(int)
	}
	tool, _, _ := strings.Cut(integrationID, ":")
	if c, ok := e.connectors.Find(tool); ok {
		return c.Describe().Limits.Batch
	}
	return 0
}

// step deals with the oldest task, as the state of the integration asks for, and returns what comes after it.
func (d *drain) step(ctx context.Context, next store.Next) (store.Next, again, error) {
	state := next.State
	switch {
	case state.Deleted:
		return d.endAll(ctx, next, skill.CodeIntegrationNotFound, "The integration was deleted.")
	case next.Task.Cancelled:
		return d.endTask(ctx, next, skill.CodeTaskCancelled, cancelledMessage)
	case next.Task.TimeLeft <= 0:
		return d.endTask(ctx, next, skill.CodeTaskTimedOut, d.e.timedOut())
	case !state.Enabled:
		return d.leave(ctx, next, again{})
	case state.InvalidReason != "":
		return d.endAll(ctx, next, skill.CodeToolAuthentication, refusedCredentials(state.InvalidReason))
	case d.over() || stale(d.lease.Lease, state):
		// The settings come with the claim, so new ones come with the next.
		return d.leave(ctx, next, again{more: true, in: next.Hold})
	}
	if err := d.open(); errors.Is(err, ErrNotHere) {
		d.log.Error("this process cannot work on the integration; it is left to others for a while", "error", err)
		// Nobody else has to wait.
		d.e.away.Store(d.lease.Integration.ID, time.Now().Add(notHere))
		return d.leave(ctx, next, again{more: true})
	} else if err != nil {
		return d.endTask(ctx, next, skill.CodeSetupIncomplete, "The integration cannot be used: "+err.Error())
	}
	return d.work(ctx, next)
}

// advance does a step. One that may give the lease back is not disturbed by a heartbeat that finds it given back: the
// store's own answer is on its way.
func (d *drain) advance(ctx context.Context, step store.Step) (store.Next, error) {
	if step.Then != store.Stay {
		d.lease.giving(true)
		defer d.lease.giving(false)
	}
	return d.e.store.Advance(ctx, d.lease.Lease, step)
}

// over reports whether the drain should yield its place.
func (d *drain) over() bool {
	select {
	case <-stopping(d.lease.ctx):
		return true
	default:
		return time.Since(d.began) > d.e.set.Slice
	}
}

// open opens the session, once a drain.
func (d *drain) open() error {
	if d.session != nil {
		return nil
	}
	in := d.lease.Integration
	c, ok := d.e.connectors.Find(in.Tool)
	if !ok {
		return fmt.Errorf("this server has no connector for %s", in.Tool)
	}
	account, err := d.e.account(in)
	if err != nil {
		return err
	}
	account.Knows = d.knows
	about := c.Describe()
	if d.rendering, err = about.Rendering(account.Settings); err != nil {
		return err
	}
	session, err := c.Open(account)
	if err != nil {
		return err
	}
	d.adopt = in.Policy.Adopt && about.Can(connector.CanAdopt)
	d.session, d.limits = session, session.Limits()
	d.jobs, _ = session.(connector.Jobs)
	d.pace.declare(d.limits)
	d.e.batches.Store(in.ID, d.openUpTo())
	return nil
}

// knows is connector.Account.Knows.
func (d *drain) knows(ctx context.Context, originIDs []string) ([]bool, error) {
	rows, err := d.e.store.RowsByOrigin(ctx, d.lease.Lease, originIDs)
	if err != nil {
		return nil, fmt.Errorf("look up which skills are known: %w", err)
	}
	sent := make(map[string]bool, len(rows))
	for _, row := range rows {
		sent[row.OriginID] = row.Sent()
	}
	known := make([]bool, len(originIDs))
	for i, id := range originIDs {
		known[i] = sent[id]
	}
	return known, nil
}

// openUpTo is the size of a task whose intent the store may open together with the step before. Where a rate is declared
// none may: the step that opens an intent has to keep the pace. Nor may that of a job.
func (d *drain) openUpTo() int {
	if d.limits.Calls > 0 || d.jobs != nil {
		return 0
	}
	return d.limits.Batch
}

func refusedCredentials(words string) string {
	return "The tool refused the credentials of the integration: " + words
}

// leave gives the lease back with the task as it is.
func (d *drain) leave(ctx context.Context, next store.Next, then again) (store.Next, again, error) {
	step := store.Step{Task: next.Task.Ref, Attempt: next.Task.Attempt, Then: store.Leave, ResumeIn: then.in}
	if next.Opened { // nothing of it was sent
		step.Close = []store.Range{{Start: 0, Stop: next.Task.Items}}
	}
	after, err := d.advance(ctx, step)
	after.Task = nil
	return after, then, err
}

// endAll ends all tasks of the integration: those that were begun one by one, the others in bulk.
func (d *drain) endAll(ctx context.Context, next store.Next, code skill.Code, message string) (store.Next, again, error) {
	for {
		tasks, err := d.e.store.Waiting(ctx, d.lease.Lease, 200)
		if err != nil {
			return next, again{}, err
		}
		if len(tasks) == 0 {
			break
		}
		if err := d.e.failTasks(ctx, tasks, next.Now, code, message); err != nil {
			return next, again{}, err
		}
	}
	after, then, err := d.endTask(ctx, next, code, message)
	if errors.Is(err, store.ErrTaskEnded) { // it was among them
		after, err = d.advance(ctx, store.Step{Then: store.Proceed})
	}
	return after, then, err
}

// endTask ends a task without sending anything more of it.
func (d *drain) endTask(ctx context.Context, next store.Next, code skill.Code, message string) (store.Next, again, error) {
	t, err := d.newTurn(ctx, next)
	if err != nil {
		return next, again{}, err
	}
	t.end(code, message)
	after, err := t.finish(ctx)
	return after, again{}, err
}
