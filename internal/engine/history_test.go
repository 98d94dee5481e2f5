package engine_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// TestHistories drives store and engine through random histories of submissions, faults of the tool, switches, waits,
// restarts and sudden deaths, and holds what must be true of all of them:
//
//   - every accepted task ends, in one terminal state, with one outcome for each item in its order;
//   - a FAILED task has written nothing;
//   - an id belongs to one skill for ever;
//   - the tool's value of a skill is that of the last task that reports it written or unchanged, or of a later one that
//     does not know (order is kept, and what is skipped as unchanged is equal);
//   - once all is well again, an upload of everything makes the tool equal to it.
//
// There are few unless -rapid.checks says how many, and fewer still on PostgreSQL, where each needs a database of its own.
func TestHistories(t *testing.T) { histories(t, false) }

// The same with a tool that takes jobs, which are lost, forgotten and without an end now and then.
func TestHistoriesOfJobs(t *testing.T) { histories(t, true) }

func histories(t *testing.T, byJobs bool) {
	onEach(t, func(t *testing.T, open func(testing.TB, func() time.Time) store.Store) {
		most := math.MaxInt
		if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
			most = 25
			if strings.HasSuffix(t.Name(), "/postgres") {
				most = 6
			}
		}
		rapid.Check(timeless{t}, func(r *rapid.T) {
			if most--; most < 0 {
				return
			}
			h := &history{r: r, store: open(t, time.Now), ids: map[string]string{}, written: map[string]map[string]bool{}}
			if byJobs {
				inner := sandbox.New(&reach{h.store.Sandbox(), &mortal{}, h.told})
				h.jobs = &jobTool{inner: inner, takes: 3 * time.Second, asked: map[string]int{}, inOrder: true}
			}
			defer func() {
				for _, p := range h.all {
					p.stop()
				}
				if byJobs {
					h.jobs.group.Wait()
				}
				if err := h.store.Close(); err != nil {
					t.Error(err)
				}
			}()
			h.begin()
			h.run()
			h.check()
		})
	})
}

// timeless hides the test's deadline, which is in real time.
type timeless struct{ testing.TB }

type history struct {
	r       *rapid.T
	store   store.Store
	in      store.Integration
	all     []*process
	current *process
	tasks   []submitted
	ids     map[string]string // of each origin_id
	jobs    *jobTool          // nil: the tool takes calls

	mu      sync.Mutex
	written map[string]map[string]bool // what the tool was ever told, by origin_id
}

type submitted struct {
	id    string
	items []skill.Item
}

// process is an engine that may die.
type process struct {
	engine *engine.Engine
	mortal *mortal
	stop   func()
}

// told notes what the tool is told.
func (h *history) told(rows []sandbox.Row) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, row := range rows {
		if h.written[row.ExternalID] == nil {
			h.written[row.ExternalID] = map[string]bool{}
		}
		h.written[row.ExternalID][row.Name] = true
	}
}

func (h *history) begin() {
	ctx := context.Background()
	env, err := h.store.Environment(ctx, store.DefaultEnvironment)
	if err != nil {
		h.r.Fatal(err)
	}
	h.in, err = h.store.CreateIntegration(ctx, store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`)})
	if err != nil {
		h.r.Fatal(err)
	}
	h.start()
}

// start starts a process beside or after the others.
func (h *history) start() {
	m := &mortal{Store: deaf{h.store}}
	tool := sandbox.New(&reach{h.store.Sandbox(), m, h.told})
	if h.jobs != nil {
		tool = h.jobs.as(m)
	}
	e := engine.New(engine.Config{
		Store: m, Connectors: connector.NewRegistry(tool),
		Settings: engine.Settings{
			TaskTimeout: 20 * time.Minute, Sweep: 3 * time.Second, Attempts: 3, Backoff: time.Second, BackoffMost: 4 * time.Second,
			CallTimeout: 30 * time.Second, Slice: 7 * time.Second, JobTimeout: 3 * time.Minute,
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var once sync.Once
	p := &process{engine: e, mortal: m, stop: func() {
		once.Do(func() {
			m.resume()
			cancel()
			<-done //nolint:errcheck // the history says what must hold
		})
	}}
	h.all = append(h.all, p)
	h.current = p
	synctest.Wait()
}

// moods are settings of the tool.
var moods = []string{
	`{}`,
	`{"batch_limit":1,"latency":"2s"}`,
	`{"batch_limit":3,"latency":"1s"}`,
	`{"batch_limit":2,"concurrency":3,"latency":"3s"}`,
	`{"outage":true}`,
	`{"refuse_credentials":true}`,
	`{"refuse_permission":true}`,
	`{"refuse_names":"[13579]$"}`,
	`{"refuse_names":"7$","refuse_batch":true}`,
	`{"lose_answers":2,"batch_limit":2}`,
	`{"lose_answers":1,"latency":"2s"}`,
	`{"rate_limit":1,"rate_window":"9s","batch_limit":2}`,
	`{"rate_limit":1,"rate_window":"2m","batch_limit":2}`,
	`{"unique_names":true}`,
	`{"latency":"50s"}`,
	`{"latency":"26m"}`,
	`{"scripts":{"s1":["mute","hang","lose"],"s2":["unexpected","away"],"s3":["refuse: no","throttle"]},"batch_limit":2}`,
}

func (h *history) run() {
	ctx := context.Background()
	h.r.Repeat(map[string]func(*rapid.T){
		"submit": h.submit,
		"mood":   func(r *rapid.T) { h.mood(rapid.SampledFrom(moods).Draw(r, "mood")) },
		"switch": func(r *rapid.T) {
			if _, err := h.store.SetEnabled(ctx, h.in.ID, rapid.IntRange(0, 3).Draw(r, "on") > 0); err != nil {
				r.Fatal(err)
			}
		},
		"cancel": func(r *rapid.T) {
			if len(h.tasks) == 0 {
				r.Skip("none")
			}
			task := rapid.SampledFrom(h.tasks).Draw(r, "task")
			_, err := h.current.engine.Cancel(ctx, h.in.EnvironmentID, task.id)
			if err != nil && !errors.Is(err, store.ErrTaskEnded) && !errors.Is(err, errDead) {
				r.Fatal(err)
			}
		},
		"wait": func(r *rapid.T) {
			wait(rapid.SampledFrom([]time.Duration{
				time.Millisecond, 500 * time.Millisecond, time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute,
			}).Draw(r, "for"))
		},
		// Reading the tool back changes none of what must hold.
		"sync": func(r *rapid.T) {
			_, _ = h.current.engine.RequestSync(ctx, store.SyncRequest{ // of a dead process, or one that is off
				EnvironmentID: h.in.EnvironmentID, IntegrationID: h.in.ID, ID: skill.NewID(time.Now()), Whole: rapid.Bool().Draw(r, "whole"),
			})
		},
		"restart": func(*rapid.T) {
			h.current.stop()
			h.start()
		},
		"die now": func(*rapid.T) {
			h.current.mortal.dead.Store(true)
			h.start()
		},
		"die later": func(r *rapid.T) {
			ops := []string{"claim", "advance", "write", "items", "skills", "extend", "claim sync", "advance sync"}
			if h.jobs != nil {
				ops = []string{"claim", "advance", "start", "poll", "recover", "items", "skills", "extend"}
			}
			op := rapid.SampledFrom(ops).Draw(r, "at")
			left := rapid.IntRange(1, 4).Draw(r, "nth")
			hit := func(at string) bool {
				h.mu.Lock()
				defer h.mu.Unlock()
				if at == op {
					left--
				}
				return at == op && left <= 0
			}
			if m := h.current.mortal; rapid.Bool().Draw(r, "before") {
				m.before.Store(&hit)
			} else {
				m.after.Store(&hit)
			}
			// The next process comes when this one is found dead, or a while later beside it: a paused process.
			wait(rapid.SampledFrom([]time.Duration{time.Second, 20 * time.Second}).Draw(r, "for"))
			h.start()
		},
		"suspend": func(r *rapid.T) {
			h.current.mortal.suspend()
			wait(rapid.SampledFrom([]time.Duration{0, time.Second, 20 * time.Second}).Draw(r, "for"))
			h.start()
		},
		"resume": func(r *rapid.T) {
			rapid.SampledFrom(h.all).Draw(r, "which").mortal.resume()
		},
		// The tool has written and nobody knows: then the task ends without another try.
		"half done": func(r *rapid.T) {
			h.mood(rapid.SampledFrom([]string{`{}`, `{"batch_limit":2}`, `{"lose_answers":1}`, `{"lose_answers":1,"batch_limit":2}`}).Draw(r, "mood"))
			synctest.Wait()
			if rapid.Bool().Draw(r, "die") {
				atWrite := func(op string) bool { return op == "write" || op == "start" }
				h.current.mortal.after.Store(&atWrite)
			}
			h.submit(r)
			wait(rapid.SampledFrom([]time.Duration{100 * time.Millisecond, 2 * time.Second}).Draw(r, "for"))
			h.mood(rapid.SampledFrom([]string{`{"refuse_credentials":true}`, `{"refuse_permission":true}`, `{"outage":true}`}).Draw(r, "then"))
			h.start()
			wait(rapid.SampledFrom([]time.Duration{time.Second, time.Minute}).Draw(r, "and"))
			h.mood(`{}`)
		},
		"fate of jobs": func(r *rapid.T) { h.fate(r) },
		"":             func(*rapid.T) { synctest.Wait() },
	})
}

func (h *history) submit(r *rapid.T) {
	var items []skill.Item
	for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 1, 8, rapid.ID).Draw(r, "items") {
		// Often a name that the skill has had before: skipping is what is to be tested.
		name := rapid.IntRange(0, 1).Draw(r, "name")
		if rapid.IntRange(0, 2).Draw(r, "new name") == 0 {
			name = 10 + len(h.tasks)
		}
		items = append(items, skill.Item{
			OriginID: fmt.Sprint("s", i), Name: fmt.Sprintf("n%d-%d", i, name),
			Status: rapid.SampledFrom([]skill.Status{skill.Active, skill.Active, skill.Active, skill.Inactive}).Draw(r, "status"),
		})
	}
	task, err := h.current.engine.Submit(context.Background(), store.Submission{
		EnvironmentID: h.in.EnvironmentID, IntegrationID: h.in.ID, TaskID: skill.NewTaskID(time.Now()), Items: items,
	})
	if err == nil {
		h.tasks = append(h.tasks, submitted{task.ID, items})
	}
}

// fate lets some of the requests about jobs end badly from now on, and some of the jobs.
func (h *history) fate(r *rapid.T) {
	if h.jobs == nil {
		r.Skip("no jobs")
	}
	fates := []fate{
		{},
		{mute: true},
		{forgotten: true},
		{endless: true},
		{err: connector.Errorf(connector.Ambiguous, "lost")},
		{err: connector.Errorf(connector.Ambiguous, "lost before"), undone: true},
	}
	start := rapid.SampledFrom(fates).Draw(r, "start")
	polls := rapid.SampledFrom([]fate{{}, {}, {err: connector.Errorf(connector.Away, "down")}}).Draw(r, "polls")
	every := rapid.IntRange(1, 3).Draw(r, "every")
	h.jobs.mu.Lock()
	defer h.jobs.mu.Unlock()
	h.jobs.fate = func(op string, n int) fate {
		switch {
		case n%every > 0:
		case op == "start":
			return start
		case op == "poll" || op == "recover":
			return polls
		}
		return fate{}
	}
}

func (h *history) mood(settings string) {
	if _, err := h.store.SetSettings(context.Background(), h.in.ID, []byte(settings)); err != nil {
		h.r.Fatal(err)
	}
}

func (h *history) check() {
	ctx := context.Background()
	h.calm()
	if h.jobs != nil {
		h.jobs.mu.Lock()
		h.jobs.fate, h.jobs.running = nil, 0 // those that never end do
		h.jobs.mu.Unlock()
	}
	for _, p := range h.all {
		p.mortal.resume()
	}
	h.start()
	results := make([]result, len(h.tasks))
	for i, task := range h.tasks {
		results[i] = h.ended(task)
	}
	h.settled()
	if h.jobs != nil {
		h.jobs.group.Wait()
	}
	tool := h.tool()
	for i := range 10 {
		origin := fmt.Sprint("s", i)
		// From the end: the values the tool may hold.
		possible := map[skill.Item]bool{}
		sure := false
		for n := len(h.tasks) - 1; n >= 0 && !sure; n-- {
			for k, it := range h.tasks[n].items {
				if it.OriginID != origin || results[n].Status == "FAILED" {
					continue
				}
				// A refusal is the tool's word that it did not take the skill, but an answer that was lost before it may
				// have been another word; and what nobody answered may be there.
				possible[it] = true
				sure = results[n].Items[k].Code == ""
			}
		}
		got, there := tool[origin]
		if !there && sure || there && !possible[got] {
			h.r.Errorf("the tool holds %+v (%v) for %s, possible is %v (sure: %v)", got, there, origin, possible, sure)
		}
	}
	// All is well now: an upload of everything makes the tool equal to it.
	var all []skill.Item
	for i := range 10 {
		all = append(all, skill.Item{OriginID: fmt.Sprint("s", i), Name: fmt.Sprintf("n%d-%d", i, i%3), Status: skill.Active})
	}
	task, err := h.current.engine.Submit(ctx, store.Submission{
		EnvironmentID: h.in.EnvironmentID, IntegrationID: h.in.ID, TaskID: skill.NewTaskID(time.Now()), Items: all,
	})
	if err != nil {
		h.r.Fatal(err)
	}
	if r := h.ended(submitted{task.ID, all}); r.Status != "COMPLETED" || strings.Join(r.codes(), "") != "" {
		h.r.Fatalf("the last upload: %+v", r)
	}
	h.settled()
	tool = h.tool()
	for _, it := range all {
		if tool[it.OriginID] != it {
			h.r.Errorf("after the last upload the tool holds %+v, want %+v", tool[it.OriginID], it)
		}
	}
}

// settled waits until nothing is left to be done, for instance to be written once more.
func (h *history) settled() {
	wait(time.Minute) // what a process that was suspended has yet to say
	for step := time.Millisecond; step < 2*time.Hour; step *= 2 {
		health, err := h.store.Health(context.Background())
		if err != nil {
			h.r.Fatal(err)
		}
		if health.Pending == 0 {
			return
		}
		wait(step)
	}
	h.r.Fatal("something is pending for ever")
}

func (h *history) calm() {
	h.mood(`{}`)
	if _, err := h.store.SetEnabled(context.Background(), h.in.ID, true); err != nil {
		h.r.Fatal(err)
	}
}

// ended waits for a task's end and checks what every result must keep to.
func (h *history) ended(task submitted) result {
	for step := time.Millisecond; step < 2*time.Hour; step *= 2 {
		view, err := h.store.Task(context.Background(), h.in.EnvironmentID, h.in.ID, task.id)
		if err != nil {
			h.r.Fatalf("an accepted task is gone: %v", err)
		}
		if view.Status == skill.Pending {
			wait(step)
			continue
		}
		r := parseDocument(h.r, view)
		if r.Status == "FAILED" {
			h.nothingWritten(task)
			return r
		}
		if len(r.Items) != len(task.items) {
			h.r.Fatalf("%d entries for %d items", len(r.Items), len(task.items))
		}
		for i, entry := range r.Items {
			if entry.OriginID != task.items[i].OriginID {
				h.r.Fatalf("entry %d is %s, want %s", i, entry.OriginID, task.items[i].OriginID)
			}
			if before, known := h.ids[entry.OriginID]; entry.ID != "" && known && before != entry.ID {
				h.r.Fatalf("%s had the id %s and has %s", entry.OriginID, before, entry.ID)
			} else if entry.ID != "" {
				h.ids[entry.OriginID] = entry.ID
			}
		}
		return r
	}
	h.r.Fatalf("task %s is pending for ever", task.id)
	return result{}
}

// nothingWritten checks that the tool was never told a value that only this, failed, task has.
func (h *history) nothingWritten(task submitted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, it := range task.items {
		others := 0
		for _, t := range h.tasks {
			for _, o := range t.items {
				if t.id != task.id && o.OriginID == it.OriginID && o.Name == it.Name {
					others++
				}
			}
		}
		if others == 0 && h.written[it.OriginID][it.Name] {
			h.r.Errorf("task %s FAILED, and %+v was written", task.id, it)
		}
	}
}

func (h *history) tool() map[string]skill.Item {
	list, err := h.store.Sandbox().List(context.Background(), h.in.ID, 0, 1000)
	if err != nil {
		h.r.Fatal(err)
	}
	tool := map[string]skill.Item{}
	for _, rec := range list {
		status := skill.Inactive
		if rec.Active {
			status = skill.Active
		}
		if _, twice := tool[rec.ExternalID]; twice {
			h.r.Errorf("the tool holds %s twice", rec.ExternalID)
		}
		tool[rec.ExternalID] = skill.Item{OriginID: rec.ExternalID, Name: rec.Name, Status: status}
	}
	return tool
}
