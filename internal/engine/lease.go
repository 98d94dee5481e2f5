package engine

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A lease is good until a moment on this process's monotonic clock: the last time the store was asked to prolong it, plus
// its length. The store counts from when it was asked by the database's clock, which is never earlier, so a lease ends
// here before it ends there, however wrong either clock's date is.
type lease struct {
	store.Lease
	// ctx ends with the lease.
	//nolint:containedctx // it is the lease's own life
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu    sync.Mutex
	until time.Time
	timer *time.Timer
	// given: a step is on its way that may give the lease back.
	given bool
	// state is what the last heartbeat told of the integration.
	state store.State
}

// stale reports whether the integration has changed such that the drain must begin anew with it.
func (l *lease) stale() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return stale(l.Lease, l.state)
}

func stale(l store.Lease, now store.State) bool {
	return !now.Enabled || now.Deleted || now.SettingsVersion != l.Integration.SettingsVersion
}

var errLeaseOver = errors.New("the lease has run out")

// check returns an error unless the lease is good at this moment. Timers may be late, for instance in a process that was
// suspended, so whoever is about to do something irrevocable asks here.
func (l *lease) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.ctx.Err() != nil:
		return context.Cause(l.ctx)
	case !time.Now().Before(l.until):
		return errLeaseOver
	}
	return nil
}

func (l *lease) giving(given bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.given = given
}

// lost ends a lease that the store says is not held.
func (l *lease) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.given {
		l.cancel(store.ErrLeaseLost)
	}
}

func (l *lease) prolong(asked time.Time, ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = asked.Add(ttl - ttl/12) // some of it is kept for what is on its way when it ends
	left := time.Until(l.until)
	if l.timer == nil {
		l.timer = time.AfterFunc(left, func() {
			if err := l.check(); err != nil {
				l.cancel(err)
			}
		})
		return
	}
	l.timer.Reset(left)
}

// leases are those this process holds.
type leases struct {
	mu   sync.Mutex
	held map[int64]*lease
}

// add takes a fresh lease into care; asked is when the store was asked for it.
func (ls *leases) add(ctx context.Context, l store.Lease, asked time.Time, ttl time.Duration) *lease {
	held := &lease{Lease: l, state: store.State{Enabled: true, SettingsVersion: l.Integration.SettingsVersion}}
	held.ctx, held.cancel = context.WithCancelCause(ctx)
	held.prolong(asked, ttl)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.held[l.Ref] = held
	return held
}

// drop ends the care for a lease that was given back or lost.
func (ls *leases) drop(l *lease) {
	l.mu.Lock()
	l.timer.Stop()
	l.mu.Unlock()
	l.cancel(context.Canceled)
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if ls.held[l.Ref] == l {
		delete(ls.held, l.Ref)
	}
}

func (ls *leases) list() []*lease {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	list := make([]*lease, 0, len(ls.held))
	for _, l := range ls.held {
		list = append(list, l)
	}
	return list
}

// heartbeats prolongs all leases of this process together. One that fails, or hangs, leaves time for another.
func (e *Engine) heartbeats(ctx context.Context) {
	trouble := trouble{log: e.log, begins: "leases could not be prolonged; drains stop when they run out", ends: "leases are prolonged again"}
	for pause := e.set.Heartbeat; sleep(ctx, pause); {
		pause = e.set.Heartbeat
		held := e.leases.list()
		if len(held) == 0 {
			continue
		}
		refs := make([]store.Held, len(held))
		for i, l := range held {
			refs[i] = store.Held{Ref: l.Ref, Epoch: l.Epoch}
		}
		asked := time.Now()
		beat, cancel := within(ctx, e.set.Heartbeat)
		states, err := e.store.Extend(beat, e.owner, refs, e.set.LeaseTTL)
		cancel()
		if trouble.note(ctx, err, "leases", len(held)); err != nil {
			pause /= 8
			continue
		}
		for _, l := range held {
			now, ours := states[l.Ref]
			switch {
			case !ours:
				l.lost()
				continue
			case now.Locked: // it ends in its own time, if it stays so
				pause = e.set.Heartbeat / 8
			default:
				l.prolong(asked, e.set.LeaseTTL)
			}
			l.mu.Lock()
			l.state = now.State
			l.mu.Unlock()
		}
	}
}
