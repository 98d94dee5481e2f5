package engine

import (
	"context"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// pace keeps the calls of a drain to the rate that its tool declares: evenly spaced, so that one moment is all there is to
// remember, and no window holds more calls than it may. The moment of the next call is kept in the step that opens the
// intent of this one (or in a step of its own), before it leaves; a drain elsewhere goes on from there.
type pace struct {
	mu    sync.Mutex
	every time.Duration // 0: no rate is declared
	next  time.Time     // no call before that
}

// declare sets the rate. Calls are a twentieth further apart than declared: they take differently long to reach the tool.
func (p *pace) declare(l connector.Limits) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.every = 0
	if l.Calls > 0 {
		p.every = (l.Per + l.Per/20) / time.Duration(l.Calls)
	}
}

// left is how long the next call has to wait.
func (p *pace) left() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.next))
}

// notBefore is told what an earlier drain has kept.
func (p *pace) notBefore(moment time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if moment.After(p.next) {
		p.next = moment
	}
}

// take takes the right to call now, if it is there, and returns how far away the next call is.
func (p *pace) take() (every time.Duration, taken bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.every > 0 && now.Before(p.next) {
		return 0, false
	}
	p.next = now.Add(p.every)
	return p.every, true
}

// leaves says that the call for which the right was taken leaves now: writing that down may have taken a while.
func (p *pace) leaves() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.every > 0 {
		p.next = time.Now().Add(p.every)
	}
}

// another waits for the right to make a call beyond the first of a chunk, and writes it down.
func (d *drain) another(ctx context.Context) error {
	for {
		every, taken := d.pace.take()
		switch {
		case taken && every == 0:
			return nil
		case taken:
			_, err := d.e.store.Advance(ctx, d.lease.Lease, store.Step{Pace: every})
			d.pace.leaves()
			return err
		}
		if !sleep(ctx, d.pace.left()) {
			return context.Cause(ctx)
		}
	}
}
