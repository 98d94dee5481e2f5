package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
)

// answer is what a call brought: for each item that it sent of its chunk a result, or none; err says what holds for those.
type answer struct {
	chunk   *chunk
	results []*connector.Result
	err     *connector.Error
	job     *asked // of a session that writes by jobs
}

// skills are what the work asks for, with a function that takes results down.
func (a *answer) skills(of []*work, adopt bool) (skills []connector.Skill, note func([]connector.Result)) {
	skills = make([]connector.Skill, len(of))
	where := make(map[string]int, len(of))
	for i, w := range of {
		skills[i] = w.skill(adopt)
		where[w.item.OriginID] = i
	}
	return skills, func(results []connector.Result) {
		for _, r := range results {
			// A result for a skill that was not sent, or a second one, is the connector's mistake and changes nothing.
			if i, sent := where[r.OriginID]; sent && a.results[i] == nil {
				a.results[i] = &r
			}
		}
	}
}

// call sends a chunk. It returns whatever happens, soon after ctx ends.
func (d *drain) call(ctx context.Context, c *chunk) answer {
	ctx, trail := d.e.interactions.Follow(ctx, d.turn.task.ID, c.span)
	defer trail.End()
	work := c.sent()
	a := answer{chunk: c, results: make([]*connector.Result, len(work))}
	skills, note := a.skills(work, d.adopt)
	a.err = d.send(ctx, skills, note)
	if a.err != nil && !errors.Is(a.err, errNotSent) {
		a.err = blame(ctx, nil, a.err)
	}
	if d.adopt {
		d.adopted(ctx, work, a.results)
	}
	return a
}

// send writes skills in as many calls as it takes to find those that a tool refuses only as a whole batch.
func (d *drain) send(ctx context.Context, skills []connector.Skill, got func([]connector.Result)) *connector.Error {
	if err := d.lease.check(); err != nil {
		return notSent(err)
	}
	results, err := attempt(ctx, d, skills, func(ctx context.Context) ([]connector.Result, error) {
		return d.session.Write(ctx, skills)
	}, func(results []connector.Result) []connector.Result { return results })
	answered := make(map[string]bool, len(results))
	got(results)
	for _, r := range results {
		answered[r.OriginID] = true
	}
	if err == nil {
		if len(answered) < len(skills) {
			return connector.Errorf(connector.Ambiguous, "the tool's answer says nothing of this item")
		}
		return nil
	}
	if err.Kind != connector.Refused {
		return err
	}
	rest := skills[:0:0]
	for _, s := range skills {
		if !answered[s.OriginID] {
			rest = append(rest, s)
		}
	}
	if len(rest) == 1 {
		got([]connector.Result{{OriginID: rest[0].OriginID, Err: err}})
		return nil
	}
	for _, half := range [][]connector.Skill{rest[:len(rest)/2], rest[len(rest)/2:]} {
		if err := d.another(ctx); err != nil {
			return notSent(err)
		}
		if err := d.send(ctx, half, got); err != nil {
			return err
		}
	}
	return nil
}

var errNotSent = errors.New("the call was not sent")

func notSent(err error) *connector.Error {
	return &connector.Error{Kind: connector.Away, Err: fmt.Errorf("%w: %w", errNotSent, err)}
}

// lateAnswer is how long a connector may take to return once its context has ended.
const lateAnswer = 5 * time.Second

// attempt is one call of the connector. It returns in time even if the connector does not.
func attempt[T any](
	ctx context.Context, d *drain, skills []connector.Skill, call func(context.Context) (T, error), resultsOf func(T) []connector.Result,
) (T, *connector.Error) {
	type outcome struct {
		answer T
		err    *connector.Error
	}
	ctx, cancel := context.WithTimeout(connector.WithSendCheck(ctx, d.lease.check), d.e.set.CallTimeout)
	defer cancel()
	ended := d.e.metrics.Call(d.lease.Integration.Tool)
	began, trail := time.Now(), interactions.TrailOf(ctx)
	before := trail.Last()
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o = outcome{err: &connector.Error{Kind: connector.Ambiguous, Message: "the connector failed", Err: fmt.Errorf("panic: %v", p)}}
			}
			done <- o
		}()
		answer, err := call(ctx)
		o = outcome{answer, connector.AsError(err)}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done:
		case <-time.After(lateAnswer):
			o.err = &connector.Error{Kind: connector.Ambiguous, Message: "the tool did not answer in time", Err: context.Cause(ctx)}
		}
	}
	results := resultsOf(o.answer)
	if trail.Last() == before { // it made no request, or none that is recorded
		d.tell(ctx, began, skills, results, o.err)
	}
	o.err = blame(ctx, results, o.err)
	kind := "ok"
	if o.err != nil {
		kind = o.err.Kind.String()
		d.log.Info("call failed", "kind", kind, "skills", len(skills), "error", o.err)
	}
	ended(kind)
	return o.answer, o.err
}
