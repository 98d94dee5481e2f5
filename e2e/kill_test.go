package e2e

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// onEach runs a test on each database, with one process.
func onEach(t *testing.T, test func(t *testing.T, s *site)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, newSite(t))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		url := pgtest.Database(t)
		test(t, newSiteOn(t, url, url))
	})
}

// TestSIGKILL kills servers again and again while tasks are submitted and carried out. Afterwards every accepted task is
// COMPLETED with one outcome for each item in its order, a skill has one id for ever, and the tool holds the last accepted
// value of each skill.
func TestSIGKILL(t *testing.T) {
	onEach(t, func(_ *testing.T, s *site) {
		// Two integrations, so that one is submitted to while the other works.
		killed{integrations: 2, size: 2000, apart: time.Second, pause: 300 * time.Millisecond}.test(s)
		s.terminate()
	})
	t.Run("three replicas", func(t *testing.T) {
		t.Parallel()
		f := newFleet(t, 3)
		// The lease of a process that was killed has to run out. There are enough others for the next kill to hit some work.
		again := killed{integrations: 12, size: 500, apart: 2 * time.Second, pause: time.Second}.test(f.replicas...)
		if again == 0 {
			t.Error("no kill has hit a call: this shows nothing")
		}
		f.terminate()
	})
}

// killed is what is submitted while servers are killed: to how many integrations, how large tasks, how far apart at most.
// The kills are up to a pause apart.
type killed struct {
	integrations, size int
	apart, pause       time.Duration
}

func (k killed) test(sites ...*site) (again int) {
	t := sites[0].t
	t.Helper()
	for _, s := range sites {
		s.start()
	}
	// The calls are small and slow enough for kills to hit them, before and after the tool has written.
	var senders senders
	for range k.integrations {
		senders = append(senders, newSender(sites, "batch_limit=100", "latency=100ms"))
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	submitted := senders.start(ctx, math.MaxInt, k.size, k.apart)
	for n := range *kills {
		// Nothing is waited for here: the moment is to be any moment, for every fifth one that of the start.
		<-time.After(rand.N(k.pause))
		s := sites[rand.IntN(len(sites))]
		s.kill()
		if n%5 == 4 {
			s.reap(s.begin())
			<-time.After(rand.N(100 * time.Millisecond))
			s.kill()
		}
		if len(sites) > 1 {
			<-time.After(rand.N(k.pause / 4)) // the others go on without it
		}
		s.start()
	}
	stop()
	return senders.check(sites[0], submitted)
}

// sender submits tasks of one integration one after the other, each until it is accepted.
type sender struct {
	t *testing.T
	c *client.Client
	// others are the ways to all replicas where there are several. Each try takes another one.
	others []*client.Client

	rounds int // that were begun

	mu       sync.Mutex
	accepted []acceptedTask
	last     map[string]string // the last accepted name of each skill
	refused  int               // tries that were not answered with 200
}

type acceptedTask struct {
	id    string
	items []client.Item
}

// newSender makes an integration.
func newSender(sites []*site, settings ...string) *sender {
	snd := &sender{t: sites[0].t, c: sites[0].client(settings...)}
	for _, s := range sites {
		snd.others = append(snd.others, s.to(snd.c))
	}
	return snd
}

// patience is the longest wait for work to be done, which grows with the kills.
func patience() time.Duration { return 2*time.Minute + time.Duration(*kills)*2*time.Second }

func (s *sender) submit(list []client.Item) {
	for limit := time.Now().Add(patience()); ; {
		c := s.c
		if len(s.others) > 0 {
			c = s.others[rand.IntN(len(s.others))]
		}
		answer, err := c.UpsertSkills(s.t.Context(), list)
		if err == nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.accepted = append(s.accepted, acceptedTask{answer.TaskID, list})
			break
		}
		if s.t.Context().Err() != nil {
			return // the test is over, and did not end well
		}
		// The server may have accepted it and died before it said so. The same again comes to the same.
		if time.Now().After(limit) {
			s.t.Errorf("a submission is never accepted: %v", err)
			return
		}
		s.mu.Lock()
		s.refused++
		s.mu.Unlock()
		<-time.After(5 * time.Millisecond)
	}
	if s.last == nil {
		s.last = map[string]string{}
	}
	for _, it := range list {
		s.last[it.OriginID] = it.Name
	}
}

// check waits for the accepted tasks and compares what became of them, and of the tool, with what should have. It returns
// how many writes there were in the tool beyond one for each change.
func (s *sender) check(site *site) (again int) {
	ctx, cancel := context.WithTimeout(s.t.Context(), patience())
	defer cancel()
	ids, names, changes := map[string]string{}, map[string]string{}, map[string]int{}
	for n, accepted := range s.accepted {
		c := s.c
		if len(s.others) > 0 {
			c = s.others[n%len(s.others)] // any of them knows it
		}
		task, err := c.Wait(ctx, accepted.id, nil)
		if err != nil {
			s.t.Fatalf("an accepted task: %v", err)
		}
		if task.Status != client.Completed || len(task.Results) != len(accepted.items) {
			s.t.Fatalf("task %s: %s with %d results, %+v", task.ID, task.Status, len(task.Results), task.Error)
		}
		for i, r := range task.Results {
			it := accepted.items[i]
			if r.OriginID != it.OriginID || r.Status != client.Succeeded {
				s.t.Fatalf("task %s, result %d: %+v for %+v", task.ID, i, r, it)
			}
			if before, known := ids[r.OriginID]; known && before != r.Data.ID {
				s.t.Fatalf("%s had the id %s and has %s", r.OriginID, before, r.Data.ID)
			}
			ids[r.OriginID] = r.Data.ID
			if names[it.OriginID] != it.Name {
				names[it.OriginID] = it.Name
				changes[it.OriginID]++
			}
		}
	}
	tool := site.tool(s.c.IntegrationID)
	if len(tool) != len(s.last) {
		s.t.Errorf("the tool holds %d skills, want %d", len(tool), len(s.last))
	}
	wrong := 0
	for id, want := range s.last {
		if got := tool[id].Name; got != want {
			if wrong++; wrong < 5 {
				s.t.Errorf("the tool holds %q as %s, want %q", got, id, want)
			}
		}
		again += max(0, tool[id].Writes-changes[id])
	}
	if wrong > 0 {
		s.t.Errorf("%d skills are wrong", wrong)
	}
	return again
}

// senders are callers that know nothing of each other.
type senders []*sender

// start begins to submit tasks of that size, up to so many each, so far apart at most, until ctx ends. The channel is closed
// when the last is accepted.
func (all senders) start(ctx context.Context, tasks, size int, apart time.Duration) <-chan struct{} {
	var group sync.WaitGroup
	for n, s := range all {
		group.Go(func() {
			for i := 0; i < tasks && ctx.Err() == nil; i++ {
				s.rounds++
				// Half of the skills change each time, and the order too.
				list := items(size, "")
				for i := range list {
					if (i+s.rounds)%2 == 0 {
						list[i].Name += fmt.Sprintf("round %d of %d", s.rounds, n)
					}
				}
				rand.Shuffle(size, func(i, j int) { list[i], list[j] = list[j], list[i] })
				s.submit(list)
				pause(ctx, rand.N(apart+1))
			}
		})
	}
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	return done
}

// check is each sender's, once all is submitted.
func (all senders) check(on *site, submitted <-chan struct{}) (again int) {
	t := on.t
	t.Helper()
	select {
	case <-submitted:
	case <-time.After(patience()):
		t.Fatal("the submissions do not come to an end")
	}
	tasks, items, refused := 0, 0, 0
	for _, s := range all {
		again += s.check(on)
		tasks, refused = tasks+len(s.accepted), refused+s.refused
		for _, a := range s.accepted {
			items += len(a.items)
		}
	}
	t.Logf("%d accepted tasks of %d items; %d submissions without a 200; %d writes more than changes", tasks, items, refused, again)
	return again
}
