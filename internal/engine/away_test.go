package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// shy is a tool that may be away, and notes who calls.
type shy struct {
	mu     sync.Mutex
	mood   func(skills []connector.Skill) error // nil: it answers
	calls  []shyCall
	flying int
	most   int
	held   map[string]connector.Skill
}

type shyCall struct {
	at     time.Time
	skills int
	away   bool
}

func (s *shy) Describe() connector.Description {
	return connector.Description{
		Slug: "shy", Limits: connector.Limits{Batch: 10, Concurrency: 3},
		Settings:     []connector.Field{{Name: "shelf", Type: connector.Text, Default: "main", Shapes: true}, {Name: "colour", Type: connector.Text}},
		Capabilities: []connector.Capability{connector.CanDeactivate, connector.CanAdopt},
	}
}

func (s *shy) Open(connector.Account) (connector.Session, error) { return s, nil }
func (s *shy) Limits() connector.Limits                          { return s.Describe().Limits }

func (s *shy) Write(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
	s.mu.Lock()
	s.flying++
	s.most = max(s.most, s.flying)
	mood := s.mood
	s.mu.Unlock()
	wait(50 * time.Millisecond)
	var err error
	if mood != nil {
		err = mood(skills)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying--
	s.calls = append(s.calls, shyCall{time.Now(), len(skills), err != nil})
	if err != nil {
		return nil, err
	}
	if s.held == nil {
		s.held = map[string]connector.Skill{}
	}
	results := make([]connector.Result, len(skills))
	for i, sk := range skills {
		s.held[sk.OriginID] = sk
		results[i] = connector.Result{OriginID: sk.OriginID, RemoteID: "r-" + sk.OriginID}
	}
	return results, nil
}

func (s *shy) set(mood func([]connector.Skill) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood, s.most = mood, 0
}

// seen are the calls from a number on.
func (s *shy) seen(from int) []shyCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls[from:])
}

func gone([]connector.Skill) error { return connector.Errorf(connector.Away, "nobody is there") }
func mute([]connector.Skill) error { return connector.Errorf(connector.Ambiguous, "not a word") }

// hours are settings for tools that are away for long.
func hours() engine.Settings {
	return engine.Settings{TaskTimeout: 24 * time.Hour, Sweep: 15 * time.Second}
}

// A tool is away for an hour while 50 tasks wait, of which three processes take care. It is called a few times as
// always, and from then on once in a while with a single skill, whatever waits. No task waits for ever: the oldest is given
// up when its tries are used up. Soon after the tool is back the others are done.
func TestToolThatIsAwayIsLeftAlone(t *testing.T) {
	for name, mood := range map[string]func([]connector.Skill) error{"away": gone, "without an answer": mute} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := &shy{}
				tool.set(mood)
				f.tools = []connector.Connector{tool}
				counted := prometheus.NewRegistry()
				f.metrics = metrics.New(counted)
				for range 3 {
					f.start(hours())
					defer f.stop()
				}
				in := f.integrationWith("shy", `{}`)
				var tasks []string
				for n := range 50 {
					items := many(20)
					for i := range items {
						items[i].OriginID = fmt.Sprintf("%d/%s", n, items[i].OriginID)
					}
					tasks = append(tasks, f.submit(in, items...))
				}
				const outage = time.Hour
				began := time.Now()
				wait(outage)
				calls := tool.seen(0)
				if most := 10 + int(outage/(30*time.Second)) + 1; len(calls) > most || len(calls) < 10+int(outage/time.Minute)/2 {
					t.Errorf("%d calls in %v, want at most %d", len(calls), outage, most)
				}
				if tool.most > 3 {
					t.Errorf("%d calls at once", tool.most)
				}
				for i, c := range calls[12:] {
					if c.skills != 1 {
						t.Errorf("call %d holds %d skills", 12+i, c.skills)
					}
				}
				list, err := f.store.Away(t.Context(), f.env)
				if err != nil || len(list) != 1 || list[0].IntegrationID != in.ID || list[0].Failures != len(calls) || list[0].Since.Sub(began) > time.Second {
					t.Errorf("away: %+v, %v; there were %d calls", list, err, len(calls))
				}
				if h, err := f.store.Health(t.Context()); err != nil || h.Away != 1 {
					t.Errorf("%+v, %v", h, err)
				}

				tool.set(nil)
				back := time.Now()
				given := 0
				for _, id := range tasks {
					switch r := f.ended(in, id); {
					case r.Status == "COMPLETED" && !slices.Contains(r.codes(), away):
						given = len(tasks) // all behind it
					case given == len(tasks):
						t.Errorf("%s: %s %s, behind one that was done", id, r.Status, r.Text)
					case r.Status == "FAILED":
						r.wantFailed(t, skill.CodeRemoteUnavailable)
					}
				}
				if took := time.Since(back); took > time.Minute+10*time.Second {
					t.Errorf("all was done %v after the tool was back", took)
				}
				after := tool.seen(len(calls))
				if after[0].skills != 1 || after[1].skills < 9 {
					t.Errorf("the first calls after it was back: %+v", after[:3])
				}
				if list, err := f.store.Away(t.Context(), f.env); err != nil || len(list) > 0 {
					t.Errorf("still away: %+v, %v", list, err)
				}
			})
		})
	}
}

// What waits for a tool that is away ends at its deadline.
func TestDeadlineWhileAway(t *testing.T) {
	set := hours()
	set.TaskTimeout = 20 * time.Minute
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		tool.set(gone)
		f.tools = []connector.Connector{tool}
		f.start(set)
		in := f.integrationWith("shy", `{}`)
		var tasks []string
		for range 10 {
			tasks = append(tasks, f.submit(in, active("a")...))
		}
		for _, id := range tasks {
			if r := f.ended(in, id); r.Took > set.TaskTimeout+2*set.Sweep || r.Status != "FAILED" {
				t.Errorf("%s %s after %v", r.Status, r.Code, r.Took)
			}
		}
	})
}

// Another process goes on where the first was: it does not begin with full calls at a quick pace. A person who switches
// the integration, or changes its account, has the tool tried at once as if nothing had been; a new policy does not.
func TestAwayIsKept(t *testing.T) {
	for name, change := range map[string]func(f *fixture, in store.Integration){
		"nothing":     nil,
		"switched":    func(f *fixture, in store.Integration) { f.enable(in, false); f.enable(in, true) },
		"settings":    func(f *fixture, in store.Integration) { f.change(in, `{"colour":"red"}`) },
		"credentials": func(f *fixture, in store.Integration) { f.setAccount(in, `{"colour":"red"}`, []byte("sealed")) },
		"policy":      func(f *fixture, in store.Integration) { f.policy(in, store.Policy{Adopt: true}) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := &shy{}
				tool.set(gone)
				f.tools = []connector.Connector{tool}
				f.start(hours())
				in := f.integrationWith("shy", `{}`)
				first, second := f.submit(in, many(5)...), f.submit(in, many(5)...)
				f.ended(in, first).wantFailed(t, skill.CodeRemoteUnavailable)
				f.stop()
				list, err := f.store.Away(t.Context(), f.env)
				if err != nil || len(list) != 1 || list[0].Failures < 10 {
					t.Fatalf("away: %+v, %v", list, err)
				}
				before := len(tool.seen(0))
				closes := change != nil && name != "policy"
				if change != nil {
					change(f, in)
				}
				began := time.Now()
				f.start(hours())
				wait(9 * time.Minute)
				calls := tool.seen(before)
				if at := calls[0].at; closes && at.Sub(began) > 6*time.Second || !closes && at.Before(list[0].Next) {
					t.Errorf("the first call came after %v; the tool was to be left alone for %v", at.Sub(began), list[0].Next.Sub(began))
				}
				if full := calls[0].skills == 5; full != closes {
					t.Errorf("the first call held %d skills", calls[0].skills)
				}
				f.ended(in, second).wantFailed(t, skill.CodeRemoteUnavailable)
			})
		})
	}
}

// Calls that one account left without an answer are not counted against another, be it linked while the last of them is under
// way.
func TestAnotherAccountBeginsAnew(t *testing.T) {
	for relinked := range 4 {
		t.Run(fmt.Sprint(relinked+1), func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := &shy{}
				var in store.Integration
				calls := 0
				tool.set(func(skills []connector.Skill) error {
					calls++
					switch calls {
					case relinked + 1:
						f.setAccount(in, `{}`, []byte("new"))
						wait(30 * time.Second) // a heartbeat tells of it meanwhile
					case relinked + 5:
						return nil
					}
					return gone(skills)
				})
				f.tools = []connector.Connector{tool}
				f.start(settings()) // four attempts
				in = f.integrationWith("shy", `{}`)
				f.ended(in, f.submit(in, active("a")...)).want(t, "COMPLETED", ok)
			})
		})
	}
}

// A skill that its tool never answers to is not held against the others for long.
func TestOneSkillWithoutAnAnswer(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		tool.set(func(skills []connector.Skill) error {
			for _, s := range skills {
				if s.Name == "poison" {
					return mute(nil)
				}
			}
			return nil
		})
		f.tools = []connector.Connector{tool}
		f.start(hours())
		in := f.integrationWith("shy", `{}`)
		bad, good := f.submit(in, active("poison")...), f.submit(in, many(40)...)
		f.ended(in, bad).want(t, "COMPLETED", away)
		ended := time.Now()
		f.ended(in, good).want(t, "COMPLETED", make([]string, 40)...)
		if took := time.Since(ended); took > time.Minute+10*time.Second {
			t.Errorf("the next task was done %v later", took)
		}
		var sizes []int
		for _, c := range tool.seen(10) {
			sizes = append(sizes, c.skills)
		}
		slices.Sort(sizes[1:])
		if !slices.Equal(sizes, []int{1, 9, 10, 10, 10}) {
			t.Errorf("calls with %d skills", sizes)
		}
	})
}

// The try with one skill is cut off by a sudden end: whoever comes next doubts what may have been written, and ends it.
func TestEndWhileASingleSkillIsTried(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		tool.set(gone)
		f.tools = []connector.Connector{tool}
		var first *mortal
		f.around = func(s engineStore) engineStore {
			first = &mortal{Store: s}
			return first
		}
		f.start(hours())
		stop := f.stop
		in := f.integrationWith("shy", `{}`)
		f.ended(in, f.submit(in, many(5)...)).wantFailed(t, skill.CodeRemoteUnavailable)
		task := f.submit(in, many(25)...)
		tool.set(func(skills []connector.Skill) error {
			if len(skills) == 1 {
				first.dead.Store(true)
				tool.set(nil)
			}
			return nil
		})
		wait(2 * time.Minute)
		f.around = nil
		f.start(hours())
		r := f.ended(in, task)
		r.want(t, "COMPLETED", make([]string, 25)...)
		tool.mu.Lock()
		defer tool.mu.Unlock()
		if len(tool.held) != 25 {
			t.Errorf("the tool holds %d skills", len(tool.held))
		}
		stop()
	})
}
