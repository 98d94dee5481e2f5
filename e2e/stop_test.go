package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// A call that is answered within 8 s of SIGTERM is written down and not repeated.
func TestSIGTERMChecksPoints(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.start()
		c := s.client("latency=3s", "batch_limit=5")
		accepted, err := c.UpsertSkills(t.Context(), items(10, ""))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, 20*time.Second, "the tool has the first five", func() bool { return len(s.tool(c.IntegrationID)) >= 5 })
		if took := s.terminate(); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		s.start()
		completed(t, c, accepted.TaskID)
		writtenOnce(t, s, c, 10)
		s.terminate()
	})
}

// longCall has a tool called that takes its time, and returns when it is.
func (s *site) longCall() (*client.Client, client.Accepted) {
	s.t.Helper()
	c := s.client("latency=40s", "batch_limit=5")
	accepted, err := c.UpsertSkills(s.t.Context(), items(5, ""))
	if err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, 20*time.Second, "the tool is called", func() bool { return s.calls() > 0 })
	return c, accepted
}

// A server that is told to stop while its database does not answer, with calls under way, ends in time and with 0 all the same;
// what it was about goes on elsewhere.
func TestSIGTERMWithoutTheDatabase(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(p *pgtest.Proxy){
		"half-open": func(p *pgtest.Proxy) { p.Hold(pgtest.Requests, pgtest.Answers) },
		"away":      func(p *pgtest.Proxy) { p.Refuse(); p.Cut() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			p := pgtest.NewProxy(t, url)
			s := newSiteOn(t, url, p.URL())
			s.start()
			c, accepted := s.longCall()
			fault(p)
			t.Logf("it took %v", s.terminate().Round(time.Millisecond))
			p.Restore()
			s.admin("id", "integrations", "update", c.IntegrationID, "--unset", "latency")
			s.start()
			completed(t, c, accepted.TaskID)
			s.terminate()
		})
	}
}

// writtenOnce wants the tool to have n skills, and to have been sent each once.
func writtenOnce(t *testing.T, s *site, c *client.Client, n int) {
	t.Helper()
	tool := s.tool(c.IntegrationID)
	if len(tool) != n {
		t.Errorf("the tool holds %d skills, want %d", len(tool), n)
	}
	for id, r := range tool {
		if r.Writes != 1 {
			t.Errorf("%s was written %d times", id, r.Writes)
		}
	}
}

// A longer call is cut within 10 s, and looked at first by the next process. On PostgreSQL that waits until the lease has
// run out: what was cut may be on its way to the tool, and nobody is left to say when it is not.
func TestSIGTERMLeavesALongCall(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.start()
		c, accepted := s.longCall()
		if took := s.terminate(); took < 7*time.Second {
			t.Errorf("the call had only %v to be answered", took)
		}
		s.admin("id", "integrations", "update", c.IntegrationID, "--unset", "latency")
		s.start()
		began := time.Now() // it serves: how long a busy machine takes for that is not the question
		completed(t, c, accepted.TaskID)
		limit := 3 * time.Second
		if len(s.database) > 2 { // more than --data
			limit = 10 * time.Second
		}
		if took := time.Since(began); took > limit {
			t.Errorf("the next process took %v", took)
		}
		s.terminate()
	})
}

// Of three replicas under load one is asked to end: calls that are answered in time are written down, nothing is written
// twice, no accepted task is lost, and the others go on at once, since the leases were given back.
func TestSIGTERMUnderLoad(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.start()
	const size = 1000
	// Every replica is sent two tasks with calls that take a while, which are cut short when the replica has ended.
	type work struct {
		*client.Client
		task string
	}
	var works []work
	for n := range 6 {
		works = append(works, work{Client: f.replicas[n/2].client("latency=2s", "batch_limit=10")})
	}
	// Meanwhile all of them are sent small tasks.
	var load senders
	for range 4 {
		load = append(load, newSender(f.replicas))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var sent atomic.Int64
	submitted := make(chan struct{})
	go func() {
		defer close(submitted)
		var group sync.WaitGroup
		for _, snd := range load {
			group.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					snd.submit(items(10, fmt.Sprint(n)))
					sent.Add(1)
					pause(ctx, 10*time.Millisecond)
				}
			})
		}
		group.Wait()
	}()
	for n, w := range works {
		accepted, err := w.UpsertSkills(t.Context(), items(size, ""))
		if err != nil {
			t.Fatal(err)
		}
		works[n].task = accepted.TaskID
	}
	// Any of the three may have more than its two; one has two at least.
	var leaver *site
	var held []work
	epochs := map[string]int64{}
	eventually(t, time.Minute, "a replica calls the tool for two of the integrations", func() bool {
		for _, leaver = range f.replicas {
			held = slices.DeleteFunc(slices.Clone(works), func(w work) bool { return f.holder(w.IntegrationID) != leaver })
			if len(held) >= 2 && leaver.calls() >= 2 {
				return true
			}
		}
		return false
	})
	for _, w := range held {
		epochs[w.IntegrationID] = f.drain(w.IntegrationID).epoch
	}
	began := time.Now()
	leaver.signal(syscall.SIGTERM)
	var ended time.Time
	over := map[string]time.Time{}
	eventually(t, 20*time.Second, "the replica ends and others take over", func() bool {
		select {
		case err := <-leaver.done:
			if ended = time.Now(); err != nil || ended.Sub(began) > 10*time.Second {
				t.Errorf("after SIGTERM: %v, after %v", err, ended.Sub(began))
			}
		default:
		}
		for id, epoch := range epochs {
			if _, seen := over[id]; !seen && f.drain(id).epoch > epoch {
				over[id] = time.Now()
			}
		}
		return len(over) == len(epochs) && !ended.IsZero()
	})
	t.Logf("the process ended %v after SIGTERM", ended.Sub(began).Round(time.Millisecond))
	for _, moment := range over {
		gap := moment.Sub(ended)
		t.Logf("another went on %v after that", gap.Round(time.Millisecond))
		if gap > 2*time.Second {
			t.Errorf("nobody went on until %v after the process had ended", gap)
		}
	}
	before := sent.Load()
	eventually(t, 10*time.Second, "the others take requests", func() bool { return sent.Load() > before+20 })
	leaver.start()
	stop()
	for _, w := range works {
		leaver.admin("id", "integrations", "update", w.IntegrationID, "--set", "latency=0s")
	}
	for _, w := range works {
		completed(t, w.Client, w.task)
		writtenOnce(t, leaver, w.Client, size)
	}
	load.check(leaver, submitted)
	f.terminate()
}

// What a command changes is noticed by a running server within a second. The test grants some more, for machines with too much to
// do.
func TestCommandsAreNoticedWithinASecond(t *testing.T) {
	onEach(t, func(t *testing.T, s *site) {
		s.start()
		c := s.client()
		within := func(what string, done func() bool) {
			t.Helper()
			began := time.Now()
			eventually(t, 3*time.Second, what, done)
			t.Logf("%s: noticed after %v", what, time.Since(began).Round(time.Millisecond))
		}
		submits := func() bool {
			_, err := c.UpsertSkills(t.Context(), items(1, ""))
			return err == nil
		}
		within("a new key and integration", submits)
		s.admin("id", "integrations", "disable", c.IntegrationID)
		within("disabled", func() bool { return !submits() })
		s.admin("id", "integrations", "update", c.IntegrationID, "--set", "latency=1ms")
		s.admin("id", "integrations", "enable", c.IntegrationID)
		within("enabled", submits)

		// A paused task goes on within a second, too.
		const many = 30 // so that it goes on for longer than a command takes to start
		s.admin("id", "integrations", "update", c.IntegrationID, "--set", "batch_limit=1", "--set", "latency=300ms")
		accepted, err := c.UpsertSkills(t.Context(), items(many, "again"))
		if err != nil {
			t.Fatal(err)
		}
		done := func() int {
			task, err := c.Task(t.Context(), accepted.TaskID)
			if err != nil {
				t.Fatal(err)
			}
			return task.Progress.Done
		}
		s.admin("id", "integrations", "disable", c.IntegrationID)
		before, since := -1, time.Now()
		within("paused", func() bool {
			if now := done(); now != before {
				before, since = now, time.Now()
			}
			return before < many && time.Since(since) > 400*time.Millisecond // longer than a call takes
		})
		s.admin("id", "integrations", "update", c.IntegrationID, "--unset", "latency")
		s.admin("id", "integrations", "enable", c.IntegrationID)
		within("resumed", func() bool { return done() == many })

		key := s.admin("id", "keys", "create", "--name", "other")
		s.admin("id", "keys", "revoke", key)
		s.terminate()
	})
}
