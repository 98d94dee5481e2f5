package engine_test

import (
	"testing"
	"time"
)

// A process whose clock is an hour behind or ahead of the database's does as every other: its leases last as long as they
// should, waits are as long as the tool asked, tasks end at their deadline and not before, and what is told is the
// database's time.
func TestClocksThatDiffer(t *testing.T) {
	for name, off := range map[string]time.Duration{"behind the database's": time.Hour, "ahead of it": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			set.TaskTimeout, set.CallTimeout = 10*time.Minute, 10*time.Hour
			runBy(t, func() time.Time { return time.Now().Add(off) }, nil, func(t *testing.T, f *fixture) {
				var dying *mortal
				f.around = func(s engineStore) engineStore {
					dying = &mortal{Store: s}
					return dying
				}
				f.start(set)
				first := f.stop

				// A wait that the tool asks for.
				slow := f.integration(`{"rate_limit":1,"rate_window":"30s","batch_limit":1}`)
				r := f.ended(slow, f.submit(slow, active("a", "b")...))
				r.want(t, "COMPLETED", ok, ok)
				if r.Took < 30*time.Second || r.Took > 40*time.Second {
					t.Errorf("a wait of 30 s took %v", r.Took)
				}

				// A deadline.
				stuck := f.integration(`{"latency":"5h"}`)
				r = f.ended(stuck, f.submit(stuck, active("a")...))
				if r.Took < set.TaskTimeout-time.Second || r.Took > set.TaskTimeout+time.Minute {
					t.Errorf("a task of %v ended after %v", set.TaskTimeout, r.Took)
				}

				// A takeover: not before the lease has run out, and soon after.
				in := f.integration(`{"latency":"4s"}`)
				task := f.submit(in, active("a", "b")...)
				wait(3 * time.Second)
				dying.dead.Store(true)
				died := time.Now()
				f.around = nil
				f.start(set)
				wait(3*time.Second + 500*time.Millisecond) // the last heartbeat was less than 2 s ago, a lease is 6 s
				if view := f.view(in, task); view.Done != 0 || f.writes(in) != 2 {
					t.Errorf("taken over after %v: %+v", time.Since(died), view)
				}
				r = f.ended(in, task)
				r.want(t, "COMPLETED", ok, ok)
				if took := time.Since(died); took > 6*time.Second+2*set.Sweep+5*time.Second {
					t.Errorf("taken over and ended after %v", took)
				}
				if at := f.view(in, task).CreatedAt; at.Sub(died.Add(off)).Abs() > time.Minute {
					t.Errorf("accepted at %v, when the database had %v", at, died.Add(off))
				}
				first()
			})
		})
	}
}
