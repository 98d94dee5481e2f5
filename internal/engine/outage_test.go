package engine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// remote is a store behind a connection that can be cut.
type remote struct {
	engine.Store
	mu  sync.Mutex
	cut func(context.Context) error // instead of an operation
}

var errCutOff = errors.New("the database cannot be reached")

// refusing: the other side says at once that nobody is there. halfOpen: nothing comes back, not even when the other side is
// there again.
func refusing(context.Context) error { return errCutOff }

func halfOpen(ctx context.Context) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func (r *remote) set(cut func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut = cut
}

func (r *remote) pass(ctx context.Context) error {
	r.mu.Lock()
	cut := r.cut
	r.mu.Unlock()
	if cut == nil {
		return nil
	}
	return cut(ctx)
}

func (r *remote) Claim(ctx context.Context, c store.Claim) (store.Lease, store.Next, error) {
	if err := r.pass(ctx); err != nil {
		return store.Lease{}, store.Next{}, err
	}
	return r.Store.Claim(ctx, c)
}

func (r *remote) Extend(ctx context.Context, owner string, held []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Extend(ctx, owner, held, ttl)
}

func (r *remote) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	if err := r.pass(ctx); err != nil {
		return store.Next{}, err
	}
	return r.Store.Advance(ctx, lease, step)
}

func (r *remote) Items(ctx context.Context, task int64, start int) ([]skill.Item, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Items(ctx, task, start)
}

func (r *remote) Outcomes(ctx context.Context, task int64) ([]store.Run, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Outcomes(ctx, task)
}

func (r *remote) Skills(ctx context.Context, lease store.Lease, ids []string) ([]store.SkillState, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Skills(ctx, lease, ids)
}

func (r *remote) Contents(ctx context.Context, lease store.Lease, ids []string) ([]skill.Item, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Contents(ctx, lease, ids)
}

func (r *remote) Doubt(ctx context.Context, d store.Doubt) error {
	if err := r.pass(ctx); err != nil {
		return err
	}
	return r.Store.Doubt(ctx, d)
}

func (r *remote) Due(ctx context.Context, limit int) ([]store.DueDrain, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Due(ctx, limit)
}

func (r *remote) Overdue(ctx context.Context, limit int) ([]store.WaitingTask, time.Time, error) {
	if err := r.pass(ctx); err != nil {
		return nil, time.Time{}, err
	}
	return r.Store.Overdue(ctx, limit)
}

func (r *remote) Waiting(ctx context.Context, lease store.Lease, limit int) ([]store.WaitingTask, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.Waiting(ctx, lease, limit)
}

func (r *remote) FailTasks(ctx context.Context, tasks []store.FailedTask) ([]int64, error) {
	if err := r.pass(ctx); err != nil {
		return nil, err
	}
	return r.Store.FailTasks(ctx, tasks)
}

func (r *remote) ClaimSync(ctx context.Context, c store.SyncClaim) (store.SyncLease, error) {
	if err := r.pass(ctx); err != nil {
		return store.SyncLease{}, err
	}
	return r.Store.ClaimSync(ctx, c)
}

func (r *remote) AdvanceSync(ctx context.Context, lease store.Lease, step store.SyncStep) (store.SyncNext, error) {
	if err := r.pass(ctx); err != nil {
		return store.SyncNext{}, err
	}
	return r.Store.AdvanceSync(ctx, lease, step)
}

// While the database is away nothing goes on, and once it is back everything does, by itself and within 5 s: tasks that
// were under way, tasks that waited, and those whose time was up meanwhile.
func TestDatabaseAway(t *testing.T) {
	for name, cut := range map[string]func(context.Context) error{"refusing": refusing, "half open": halfOpen} {
		for _, outage := range []time.Duration{100 * time.Millisecond, 2 * time.Second, 5 * time.Second, 11 * time.Second, 10 * time.Minute} {
			t.Run(fmt.Sprint(name, " for ", outage), func(t *testing.T) {
				set := settings()
				set.Sweep, set.TaskTimeout, set.Drains = time.Second, time.Hour, 3
				run(t, nil, func(t *testing.T, f *fixture) {
					r := &remote{}
					f.around = func(s engineStore) engineStore {
						r.Store = s
						return r
					}
					tool := f.watch()
					f.start(set)
					slow := f.integration(`{"latency":"2s","batch_limit":2,"concurrency":2}`)
					quick := f.integration(`{"latency":"150ms","batch_limit":1}`)
					idle := f.integration(`{}`)
					items := many(200)
					tasks := map[string]store.Integration{f.submit(slow, items...): slow, f.submit(quick, items...): quick}
					wait(4321 * time.Millisecond)
					r.set(cut)
					// Another process accepts it.
					f.engine = engine.New(engine.Config{Store: f.store, Settings: engine.Settings{Passive: true}})
					tasks[f.submit(idle, items...)] = idle
					wait(outage)
					before := len(tool.seen())
					r.set(nil)
					back := time.Now()
					wait(5 * time.Second)
					for id, in := range tasks {
						if in.ID == idle.ID && f.view(in, id).Status != skill.Completed {
							t.Error("the task that waited was not done 5 s later")
						}
					}
					first := map[bool]int{}
					for _, c := range tool.seen()[before:] {
						first[c.at.After(back)]++
					}
					// The slow one makes two calls every two seconds, the quick one seven a second.
					if first[true] < 3+5 {
						t.Errorf("%d calls in the 5 s after the database was back", first[true])
					}
					for id, in := range tasks {
						f.ended(in, id).want(t, "COMPLETED", make([]string, len(items))...)
						f.holds(in, items)
					}
				})
			})
		}
	}
}

// A tool asks for patience, and the step that says so is not kept, since the database is away just then. It has its minute all
// the same: for as long as the lease lasts from other processes too, afterwards from this one.
func TestRetryAfterOutlivesTheDatabase(t *testing.T) {
	for name, cut := range map[string]func(context.Context) error{"refusing": refusing, "half open": halfOpen} {
		for _, outage := range []time.Duration{2500 * time.Millisecond, 11 * time.Second, 40 * time.Second} {
			t.Run(fmt.Sprint(name, " for ", outage), func(t *testing.T) {
				run(t, nil, func(t *testing.T, f *fixture) {
					r := &remote{}
					var mu sync.Mutex
					var calls []time.Time
					f.tools = []connector.Connector{odd{func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
						mu.Lock()
						defer mu.Unlock()
						if calls = append(calls, time.Now()); len(calls) == 1 {
							r.set(cut)
							return nil, &connector.Error{Kind: connector.Throttled, RetryAfter: time.Minute}
						}
						return []connector.Result{{OriginID: skills[0].OriginID, RemoteID: "1"}}, nil
					}}}
					set := settings()
					set.Sweep = 100 * time.Millisecond // whoever looks comes before whoever settles, as often as not
					f.around = func(s engineStore) engineStore {
						r.Store = deaf{s}
						return r
					}
					f.start(set)
					first, here := f.engine, f.stop
					if outage < 4*time.Second {
						f.around = nil
						f.start(set) // another process
						defer f.stop()
						f.engine = first
					}
					in := f.integrationWith("odd", "{}")
					task := f.submit(in, active("a")...)
					wait(outage)
					r.set(nil)
					f.ended(in, task).want(t, "COMPLETED", ok)
					here()
					if len(calls) != 2 || calls[1].Sub(calls[0]) < time.Minute || calls[1].Sub(calls[0]) > 70*time.Second {
						t.Errorf("called at %v", calls)
					}
				})
			})
		}
	}
}

// The same with what a sync is told: neither it nor a task calls the tool before its minute is over.
func TestRetryAfterOfASyncOutlivesTheDatabase(t *testing.T) {
	for _, kind := range []connector.Kind{connector.Throttled, connector.Away} {
		for _, outage := range []time.Duration{2500 * time.Millisecond, 11 * time.Second, 40 * time.Second} {
			t.Run(fmt.Sprint(kind, " for ", outage), func(t *testing.T) {
				run(t, nil, func(t *testing.T, f *fixture) {
					r, tool := &remote{}, newCatalogue()
					f.tools = []connector.Connector{tool}
					f.around = func(s engineStore) engineStore {
						r.Store = deaf{s}
						return r
					}
					set := settings()
					set.Sweep = 100 * time.Millisecond
					f.start(set)
					in := f.integrationWith("listing", "{}")
					f.ended(in, f.submit(in, active("a", "b")...)).want(t, "COMPLETED", ok, ok)
					wait(2 * time.Minute)
					var calls []time.Time // one after the other
					tool.onList = func(string) error {
						if calls = append(calls, time.Now()); len(calls) == 1 {
							r.set(refusing)
							return &connector.Error{Kind: kind, RetryAfter: time.Minute}
						}
						return nil
					}
					f.request(in, true)
					wait(outage)
					r.set(nil)
					task := f.submit(in, active("c")...)
					wait(55*time.Second - outage)
					if n := tool.written("id-c"); n > 0 {
						t.Error("a task called the tool within its minute")
					}
					f.ended(in, task).want(t, "COMPLETED", ok)
					f.syncEnded()
					if len(calls) < 2 || calls[1].Sub(calls[0]) < time.Minute || calls[1].Sub(calls[0]) > 80*time.Second {
						t.Errorf("called at %v", calls)
					}
				})
			})
		}
	}
}

// sticky is a store in which somebody keeps the rows of some leases locked.
type sticky struct {
	engine.Store
	mu     sync.Mutex
	locked map[int64]bool
	beats  int // that met one
}

func (s *sticky) lock(ref int64, locked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked = map[int64]bool{ref: locked}
}

func (s *sticky) Extend(ctx context.Context, owner string, held []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := slices.DeleteFunc(slices.Clone(held), func(h store.Held) bool { return s.locked[h.Ref] })
	states, err := s.Store.Extend(ctx, owner, free, ttl)
	if err == nil && len(free) < len(held) {
		s.beats++
		for _, h := range held {
			if s.locked[h.Ref] {
				states[h.Ref] = store.Extended{State: store.State{Enabled: true, SettingsVersion: 1}, Locked: true}
			}
		}
	}
	return states, err
}

// A lease whose row somebody keeps locked is neither lost nor prolonged: it goes on if the lock ends in time, else it ends by
// itself. Nobody else's ends over it.
func TestLockedLease(t *testing.T) {
	for name, c := range map[string]struct {
		locked time.Duration
		lost   bool
	}{"for a while": {4 * time.Second, false}, "for long": {6 * time.Second, true}} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				var log bytes.Buffer
				f.log = &log
				var mu sync.Mutex
				calls := map[string]int{}
				f.tools = []connector.Connector{odd{func(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
					mu.Lock()
					calls[skills[0].OriginID]++
					mu.Unlock()
					select {
					case <-time.After(20 * time.Second):
						return []connector.Result{{OriginID: skills[0].OriginID, RemoteID: "1"}}, nil
					case <-ctx.Done():
						return nil, connector.Errorf(connector.Ambiguous, "cut")
					}
				}}}
				s := &sticky{}
				f.around = func(inner engineStore) engineStore {
					s.Store = deaf{inner}
					return s
				}
				f.start(settings())
				stuck, other := f.integrationWith("odd", "{}"), f.integrationWith("odd", "{}")
				tasks := []string{f.submit(stuck, active("stuck")...), f.submit(other, active("other")...)}
				wait(time.Second)
				s.lock(1, true) // the first integration there is
				wait(c.locked)
				s.lock(1, false)
				f.ended(other, tasks[1]).want(t, "COMPLETED", ok)
				f.ended(stuck, tasks[0]).want(t, "COMPLETED", ok)
				f.stop()
				if s.beats < 2 {
					t.Fatalf("%d heartbeats met the lock: this test shows nothing", s.beats)
				}
				lost := strings.Count(log.String(), "lost its lease") == 1 && calls["id-stuck"] > 1
				if lost != c.lost || !lost && (log.Len() > 0 || calls["id-stuck"] != 1) || calls["id-other"] != 1 {
					t.Errorf("calls %v, and the log says:\n%s", calls, log.String())
				}
			})
		})
	}
}
