package engine

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// In a process that was suspended the clock has gone on and the timers have not fired: nothing is sent all the same.
func TestALeaseEndsWithoutItsTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ttl = 6 * time.Second
		ls := &leases{held: map[int64]*lease{}}
		l := ls.add(t.Context(), store.Lease{Ref: 1}, time.Now(), ttl)
		defer ls.drop(l)
		l.timer.Stop()
		call := connector.WithSendCheck(l.ctx, l.check)
		<-time.After(ttl - ttl/12 - time.Millisecond)
		if err := connector.MaySend(call); err != nil {
			t.Errorf("before its end: %v", err)
		}
		<-time.After(time.Millisecond)
		if err := connector.MaySend(call); !errors.Is(err, errLeaseOver) {
			t.Errorf("at its end: %v", err)
		}
		if l.ctx.Err() != nil {
			t.Fatal("the timer has fired: this test shows nothing")
		}
		// The heartbeat finds it still held.
		l.prolong(time.Now(), ttl)
		if err := connector.MaySend(call); err != nil {
			t.Errorf("prolonged: %v", err)
		}
		l.cancel(store.ErrLeaseLost)
		if err := connector.MaySend(call); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("taken over: %v", err)
		}
	})
}
