package engine

import (
	"context"
	"errors"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A drain that ends without having given its lease back (the lease ran out or was taken over, or the database is away)
// leaves three things to see to. Its lease should not keep others waiting. What it had on its way to the tool may arrive
// there after what the next drain wrote: the open intents, which the next drain took up when it began, knew nothing of
// that. So once the calls have ended, somebody has to ask whether there was a next drain by then, and if so have these
// skills written once more, with what the catalogue says. And the tool may have asked for patience with the step that was
// not kept: that is written down as soon as it can be. A drain of this process that begins before knows it from memory; one
// elsewhere can only begin before when the lease has run out meanwhile.

var errLocked = errors.New("the lease is locked")

// afterwards sees to what an abnormal end leaves, beside the drains: the place is free for others. It takes an hour for it
// while the database is away, or more. Tries are counted, not time, which goes on while a process is suspended.
func (d *drain) afterwards(ctx context.Context, lost bool) {
	loose := d.loose()
	d.e.remember(d)
	soft := stopping(ctx)
	if len(loose) > 0 || d.unkept().AboutTool() {
		soft = nil // it is worth the grace
	}
	const least, most, tries = 250 * time.Millisecond, time.Second, 3600
	err := context.Cause(ctx)
	for try, pause := 0, least; try < tries && ctx.Err() == nil; try, pause = try+1, min(2*pause, most) {
		if lost, err = d.settle(ctx, loose, lost); err == nil {
			return
		}
		select {
		case <-time.After(pause):
		case <-soft:
			return
		case <-ctx.Done():
		}
	}
	if len(loose) > 0 {
		d.log.Error("skills that may have reached the tool after another drain's could not be marked; upload them again",
			"skills", len(loose), "error", err)
	}
}

// settle tries once. It returns whether it is known by now that somebody else has had the lease.
func (d *drain) settle(ctx context.Context, loose []string, lost bool) (bool, error) {
	if !lost {
		// If nobody has claimed it, nobody has written since, and the intents stand. Then it ends now.
		if err := d.endLease(ctx); !errors.Is(err, store.ErrLeaseLost) {
			return false, err
		}
	}
	if len(loose) == 0 {
		return true, nil
	}
	if err := d.e.store.Doubt(ctx, store.Doubt{Lease: d.lease.Lease, OriginIDs: loose, Timeout: d.e.set.TaskTimeout}); err != nil {
		return true, err
	}
	d.e.metrics.Doubted(len(loose))
	d.log.Warn("calls ended after the lease; their skills are written once more", "skills", len(loose))
	return true, nil
}

// endLease ends a lease that nobody has claimed, and keeps what the tool has said. ErrLeaseLost if somebody has.
func (d *drain) endLease(ctx context.Context) error {
	l := d.lease.Lease
	if step := d.unkept(); step.AboutTool() {
		if _, err := d.e.store.Advance(ctx, l, step); err != nil {
			return err
		}
		d.alone = time.Time{}
		if t := d.turn; t != nil {
			t.step.Answered, t.step.Failures, t.step.Away = false, 0, false
		}
		d.e.alone.Delete(l.Integration.ID)
	}
	held, cancel := within(ctx, storeMost)
	defer cancel()
	states, err := d.e.store.Extend(held, l.Owner, []store.Held{{Ref: l.Ref, Epoch: l.Epoch}}, 0)
	switch now, ours := states[l.Ref]; {
	case err != nil:
		return err
	case !ours:
		return store.ErrLeaseLost
	case now.Locked:
		return errLocked
	}
	return nil
}

// unkept is what the tool has said of itself since the last step that was kept. Its pace is on disk before a call leaves.
func (d *drain) unkept() store.Step {
	s := store.Step{Hold: max(0, time.Until(d.alone))}
	if t := d.turn; t != nil {
		s.Answered, s.Failures, s.Away = t.step.Answered, t.step.Failures, t.step.Away
	}
	return s
}

// alone is until when a tool wants to be left alone, if the database does not know.
type alone struct {
	until time.Time
	lease store.Lease // under which it said so
}

// remember keeps what a drain could not write down for the next one in this process.
func (e *Engine) remember(d *drain) {
	if time.Until(d.alone) > 0 {
		e.alone.Store(d.lease.Integration.ID, &alone{d.alone, d.lease.Lease})
	}
}

// leftAlone is for how long the tool of an integration is to be left alone by what is remembered. Another account never asked.
func (e *Engine) leftAlone(in store.Integration) time.Duration {
	known, ok := e.alone.Load(in.ID)
	if !ok {
		return 0
	}
	a := known.(*alone)
	wait := time.Until(a.until)
	if wait <= 0 || !a.lease.SameAccount(in.Settings, in.Credentials) {
		e.alone.CompareAndDelete(in.ID, known)
		return 0
	}
	return wait
}

// loose are the skills that may be in the tool without a step that was kept. It waits for the calls that are under way,
// whose context has ended.
func (d *drain) loose() []string {
	t := d.turn
	if t == nil {
		return nil
	}
	var ids []string
	known := map[string]bool{}
	add := func(originID string) {
		if !known[originID] {
			known[originID] = true
			ids = append(ids, originID)
		}
	}
	for _, w := range t.step.Written {
		add(w.Item.OriginID)
	}
	for _, c := range t.waiting {
		for _, w := range c.work {
			if w.unsure {
				add(w.item.OriginID)
			}
		}
	}
	for _, c := range t.jobs { // whoever knows the receipt goes on from there
		for _, w := range c.work {
			if !c.job.kept || c.job.receipt == "" {
				add(w.item.OriginID)
			}
		}
	}
	for ; t.flying > 0; t.flying-- {
		a := <-t.answers // soon: see attempt
		t.heed(a)
		for i, w := range a.chunk.sent() {
			if a.mayBeThere(i) {
				add(w.item.OriginID)
			}
		}
	}
	return ids
}

// heed notes the patience that the tool asks for in an answer that is not taken any more.
func (t *turn) heed(a answer) {
	if a.err != nil && a.err.RetryAfter > 0 {
		t.hold(a.err.RetryAfter)
	}
	for _, r := range a.results {
		if r != nil && r.Err != nil && r.Err.RetryAfter > 0 {
			t.hold(r.Err.RetryAfter)
		}
	}
}

// mayBeThere reports whether the tool may have taken a skill of the call.
func (a answer) mayBeThere(i int) bool {
	if a.job != nil && a.job.what != toStart { // a question
		return false
	}
	r := a.results[i]
	if r == nil {
		return a.err == nil || a.err.Kind == connector.Ambiguous
	}
	return r.Err == nil || r.Err.Kind == connector.Ambiguous
}
