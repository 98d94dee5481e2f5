package engine_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// prompt is a tool that answers at once.
type prompt struct {
	limits connector.Limits
	calls  atomic.Int64
	// each is called with each call, if it is set.
	each func()
}

func (*prompt) Describe() connector.Description {
	return connector.Description{Slug: "prompt", Limits: connector.Limits{Batch: 1, Concurrency: 1}}
}
func (p *prompt) Open(connector.Account) (connector.Session, error) { return p, nil }
func (p *prompt) Limits() connector.Limits                          { return p.limits }

func (p *prompt) Write(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
	p.calls.Add(1)
	if p.each != nil {
		p.each()
	}
	results := make([]connector.Result, len(skills))
	for i, s := range skills {
		results[i] = connector.Result{OriginID: s.OriginID, RemoteID: s.OriginID}
	}
	return results, nil
}

// push has tasks of n skills accepted, and then drained by an engine of its own, in real time. It returns how long that took.
// Ready is called in between.
func push(tb testing.TB, s store.Store, tool connector.Connector, tasks, n int, name string, ready func()) time.Duration {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	env, err := s.Environment(ctx, store.DefaultEnvironment)
	if err != nil {
		tb.Fatal(err)
	}
	in, err := s.CreateIntegration(ctx, store.Integration{EnvironmentID: env.ID, Tool: "prompt", Settings: []byte(`{}`)})
	if err != nil {
		tb.Fatal(err)
	}
	var task store.Accepted
	for i := range tasks {
		if task, err = engine.New(engine.Config{Store: s, Settings: engine.Settings{Passive: true}}).Submit(ctx, store.Submission{
			EnvironmentID: env.ID, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: named(n, fmt.Sprint(i, " ", name)),
		}); err != nil {
			tb.Fatal(err)
		}
	}
	ready()
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	began := time.Now()
	group.Go(func() {
		if err := engine.New(engine.Config{Store: deaf{s}, Connectors: connector.NewRegistry(tool)}).Run(ctx); err != nil {
			tb.Error(err)
		}
	})
	for {
		view, err := s.Task(ctx, env.ID, in.ID, task.ID)
		if err != nil {
			tb.Fatal(err)
		}
		if view.Status != skill.Pending {
			if view.Status != skill.Completed || view.Counts.Written != n {
				tb.Fatalf("%s, %+v", view.Status, view.Counts)
			}
			return time.Since(began)
		}
		wait(time.Millisecond)
	}
}

func named(n int, name string) []skill.Item {
	items := make([]skill.Item, n)
	for i := range items {
		items[i] = skill.Item{OriginID: fmt.Sprintf("skill-%d", i), Name: fmt.Sprint(name, " ", i), Status: skill.Active}
	}
	return items
}

// What the engine costs for each call: a task of 10,000 skills for a tool that answers at once. go test -bench Calls
// -benchtime 1x ./internal/engine
func BenchmarkCalls(b *testing.B) {
	for _, on := range backends() {
		for _, l := range []connector.Limits{{Batch: 1, Concurrency: 1}, {Batch: 1, Concurrency: 8}, {Batch: 100, Concurrency: 1}, {Batch: 100, Concurrency: 3}} {
			b.Run(fmt.Sprintf("%s/batch=%d/at-once=%d", on.name, l.Batch, l.Concurrency), func(b *testing.B) {
				open := on.prepare(b)
				var took, busy time.Duration
				var calls int64
				for b.Loop() {
					s := open(b, time.Now)
					tool := &prompt{limits: l}
					var before time.Duration
					took += push(b, s, tool, 1, 10_000, "Skill", func() { before = processor(b) })
					busy += processor(b) - before
					calls += tool.calls.Load()
					if err := s.Close(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(took.Seconds()*1000/float64(calls), "ms/call")
				b.ReportMetric(busy.Seconds()*1000/float64(calls), "processor-ms/call")
				b.ReportMetric(took.Seconds()*1e6/float64(10_000*b.N), "µs/skill")
			})
		}
	}
}

// lookUps counts the look-ups of blocks that have ended.
type lookUps struct {
	store.Store
	n atomic.Int64
}

func (l *lookUps) Skills(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillState, error) {
	defer l.n.Add(1)
	return l.Store.Skills(ctx, lease, originIDs)
}

// A drain's memory is not the task's: while the last of a block is sent, a task of 20,000 skills with long names takes hardly more
// than the chunks under way and the block that is looked up meanwhile, whose names are 2 MB. What grows with the task are the
// outcomes, some dozen bytes each. And what waits behind it takes nothing.
func TestMemoryOfADrain(t *testing.T) { //nolint:paralleltest // it reads the memory of the process
	for _, on := range backends() {
		t.Run(on.name, func(t *testing.T) {
			open := on.prepare(t)
			name := strings.Repeat("x", 990)
			peak := func(tasks, n int) int64 {
				s := open(t, time.Now)
				defer s.Close() //nolint:errcheck // nothing rests on it
				var before, most int64
				const batch, blocks = 500, 2000
				tool, looks := &prompt{limits: connector.Limits{Batch: batch, Concurrency: 1}}, &lookUps{Store: s}
				tool.each = func() {
					calls := int(tool.calls.Load())
					sent := calls * batch
					if n > blocks && sent%blocks > 0 || n <= blocks && calls%25 != 1 {
						return
					}
					for n > blocks && sent < n && int(looks.n.Load()) <= sent/blocks { // the next block is looked up meanwhile
						wait(time.Millisecond)
					}
					least := inUse()
					for range 10 { // until the step that is being written meanwhile has ended
						wait(20 * time.Millisecond)
						least = min(least, inUse())
					}
					most = max(most, least)
				}
				// What a connection to the database remembers of the submission is not the drain's.
				push(t, looks, tool, tasks, n, name, func() { before = inUse() })
				return most - before
			}
			peak(1, 500) // whatever is made once
			small, middle, large, waiting := peak(1, 500), peak(1, 4000), peak(1, 20_000), peak(100, 100)
			mb := func(n int64) float64 { return float64(n) / 1e6 }
			t.Logf("during a call: %.1f MB with 500 skills, %.1f with 4,000, %.1f with 20,000, whose names alone are 20 MB; %.1f with 100 tasks of 100, of 10 MB",
				mb(small), mb(middle), mb(large), mb(waiting))
			if middle > 4_300_000 { // 3 MB of it are names: two chunks and a block
				t.Errorf("%.1f MB: more than a block of items beside what is sent", mb(middle))
			}
			if large > middle+5_000_000 {
				t.Errorf("16,000 skills more, with 16 MB of names, take %.1f MB more", mb(large-middle))
			}
			if waiting > small+5_000_000 {
				t.Errorf("a hundred tasks that wait take %.1f MB", mb(waiting-small))
			}
		})
	}
}

// steps notes each step, and holds up the one that writes the outcome of a position down.
type steps struct {
	engine.Store
	hold int
	gate chan struct{}

	mu   sync.Mutex
	seen []store.Step
}

func (s *steps) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	s.mu.Lock()
	s.seen = append(s.seen, step)
	s.mu.Unlock()
	if slices.ContainsFunc(step.Outcomes, func(r store.Run) bool { return r.Start == s.hold }) {
		<-s.gate
	}
	return s.Store.Advance(ctx, lease, step)
}

// While a step writes down what a quick tool has answered, the next call is under way: its intent was on disk before.
func TestStepsBesideCalls(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &prompt{limits: connector.Limits{Batch: 1, Concurrency: 1}}
		watched := &steps{hold: 1, gate: make(chan struct{})}
		f.tools = []connector.Connector{tool}
		f.around = func(s engine.Store) engine.Store {
			watched.Store = s
			return watched
		}
		f.start(settings())
		in := f.integrationWith("prompt", `{}`)
		task := f.submit(in, many(5)...)
		synctest.Wait()
		if n := tool.calls.Load(); n != 3 {
			t.Errorf("%d calls were made while the outcome of the second was written down", n)
		}
		close(watched.gate)
		f.ended(in, task).want(t, "COMPLETED", ok, ok, ok, ok, ok)
		opened := map[int]bool{}
		for _, step := range watched.seen {
			for _, r := range step.Open {
				opened[r.Start] = true
			}
			for _, run := range step.Outcomes {
				if !opened[run.Start] {
					t.Errorf("position %d was sent without an intent: %+v", run.Start, watched.seen)
				}
			}
		}
	})
}

// A tool that is slow gains nothing by it, and after a crash more would be in doubt.
func TestASlowToolHasOneIntentACall(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &prompt{limits: connector.Limits{Batch: 1, Concurrency: 1}, each: func() { wait(time.Second) }}
		watched := &steps{hold: -1}
		f.tools = []connector.Connector{tool}
		f.around = func(s engine.Store) engine.Store {
			watched.Store = s
			return watched
		}
		f.start(settings())
		in := f.integrationWith("prompt", `{}`)
		f.ended(in, f.submit(in, many(4)...)).want(t, "COMPLETED", ok, ok, ok, ok)
		for i, step := range watched.seen {
			if len(step.Open) > 1 || len(step.Open)+len(step.Outcomes) > 2 {
				t.Errorf("step %d: %+v", i, step)
			}
		}
	})
}

// The calls that a tool takes at once have their intents in one step.
func TestIntentsOfCallsAtOnceAreOneStep(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &prompt{limits: connector.Limits{Batch: 2, Concurrency: 3}, each: func() { wait(time.Second) }}
		watched := &steps{hold: -1}
		f.tools = []connector.Connector{tool}
		f.around = func(s engine.Store) engine.Store {
			watched.Store = s
			return watched
		}
		f.start(settings())
		in := f.integrationWith("prompt", `{}`)
		f.ended(in, f.submit(in, many(12)...)).want(t, "COMPLETED", slices.Repeat([]string{ok}, 12)...)
		if first := watched.seen[0]; len(first.Open) != 3 {
			t.Errorf("the first of %d steps: %+v", len(watched.seen), first)
		}
	})
}

// processor is the time that this process has had of the processors.
func processor(tb testing.TB) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// inUse is how much memory is in use, in bytes.
func inUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
