package engine

import (
	"context"
	"errors"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A drain that ends without having given its lease back (the lease ran out or was taken over, or the database is away)
// leaves two things to see to. Its lease should not keep others waiting. And what it had on its way to the tool may arrive
// there after what the next drain wrote: the open intents, which the next drain took up when it began, knew nothing of
// that. So once the calls have ended, somebody has to ask whether there was a next drain by then, and if so have these
// skills written once more, with what the catalogue says.

var errLocked = errors.New("the lease is locked")

// afterwards sees to what an abnormal end leaves, beside the drains: the place is free for others. It takes an hour for it
// while the database is away, or more. Tries are counted, not time, which goes on while a process is suspended.
func (d *drain) afterwards(ctx context.Context, lost bool) {
	loose := d.loose()
	soft := stopping(ctx)
	if len(loose) > 0 {
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
	l := d.lease.Lease
	if !lost {
		held, cancel := within(ctx, storeMost)
		defer cancel()
		// If nobody has claimed it, nobody has written since, and the intents stand. Then it ends now.
		states, err := d.e.store.Extend(held, l.Owner, []store.Held{{Ref: l.Ref, Epoch: l.Epoch}}, 0)
		if err != nil {
			return false, err
		}
		switch now, ours := states[l.Ref]; {
		case ours && now.Locked:
			return false, errLocked
		case ours:
			return false, nil
		}
	}
	if len(loose) == 0 {
		return true, nil
	}
	if err := d.e.store.Doubt(ctx, store.Doubt{Lease: l, OriginIDs: loose, Timeout: d.e.set.TaskTimeout}); err != nil {
		return true, err
	}
	d.e.metrics.Doubted(len(loose))
	d.log.Warn("calls ended after the lease; their skills are written once more", "skills", len(loose))
	return true, nil
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
		for i, w := range a.chunk.sent() {
			if a.mayBeThere(i) {
				add(w.item.OriginID)
			}
		}
	}
	return ids
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
