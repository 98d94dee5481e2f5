package engine_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// watched is a tool that notes when it is called and what kind of answer it gives.
type watched struct {
	connector.Connector
	mu    sync.Mutex
	calls []call
}

type call struct {
	at     time.Time
	answer string
}

func (w *watched) Open(account connector.Account) (connector.Session, error) {
	s, err := w.Connector.Open(account)
	return watchedSession{s, w}, err
}

// seen returns the calls so far.
func (w *watched) seen() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]call(nil), w.calls...)
}

type watchedSession struct {
	connector.Session
	w *watched
}

func (s watchedSession) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	c := call{at: time.Now(), answer: "ok"}
	results, err := s.Session.Write(ctx, skills)
	if err != nil {
		c.answer = connector.AsError(err).Kind.String()
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	s.w.calls = append(s.w.calls, c)
	return results, err
}

// watch puts a watched sandbox under the engines that are started from now on.
func (f *fixture) watch() *watched {
	w := &watched{Connector: sandbox.New(f.store.Sandbox())}
	f.tools = []connector.Connector{w}
	return w
}

// A tool that says for how long it wants to be left alone is left alone, by whichever process drains then: also when the
// one that was told dies, also when a task's deadline has its drain begin by force.
func TestRetryAfterHoldsForAll(t *testing.T) {
	const wants = 90 * time.Second
	for name, test := range map[string]struct {
		patience time.Duration // of the engine that is told
		timeout  time.Duration // of its tasks
		die      bool
	}{
		"it leaves":                                  {time.Second, time.Hour, false},
		"it leaves, and the deadline passes":         {time.Second, 40 * time.Second, false},
		"it waits":                                   {time.Hour, time.Hour, false},
		"it waits, and the deadline passes":          {time.Hour, 40 * time.Second, false},
		"it waits and dies":                          {time.Hour, time.Hour, true},
		"it waits and dies, and the deadline passes": {time.Hour, 40 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := f.watch()
				var told *mortal
				f.around = func(s engineStore) engineStore {
					told = &mortal{Store: s}
					return told
				}
				first := set
				first.Patience, first.TaskTimeout = test.patience, test.timeout
				f.start(first)
				stop := f.stop
				defer stop()
				in := f.integration(fmt.Sprintf(`{"rate_limit":1,"rate_window":"%s","batch_limit":1}`, wants))
				f.submit(in, active("a", "b")...)
				wait(5 * time.Second)
				calls := tool.seen()
				if len(calls) != 2 || calls[1].answer != "throttled" {
					t.Fatalf("calls: %+v", calls)
				}
				// What comes later has its deadline later.
				f.around = nil
				f.start(set)
				later := f.submit(in, active("c")...)
				if test.die {
					told.dead.Store(true)
				}
				r := f.ended(in, later)
				r.want(t, "COMPLETED", ok)
				calls = tool.seen()
				if len(calls) < 3 {
					t.Fatalf("calls: %+v", calls)
				}
				// The window began with the first call.
				if rest := calls[2].at.Sub(calls[0].at); rest < wants || rest > wants+10*time.Second {
					t.Errorf("the tool was left alone for %v of %v", rest, wants)
				}
				for _, c := range calls[2:] {
					if c.answer == "throttled" && c.at.Sub(calls[0].at) < wants {
						t.Errorf("it was called at %v", c.at.Sub(calls[0].at))
					}
				}
			})
		})
	}
}

// A tool that declares its rate is never called faster: not by calls side by side, nor by those that look for a refused
// skill, nor when drains hand over, nor after crashes.
func TestDeclaredRate(t *testing.T) {
	for name, test := range map[string]struct {
		calls int
		per   time.Duration
		more  string
		clean bool          // processes stop rather than crash
		crash time.Duration // between the first ten crashes; 0 is none
		most  time.Duration // for the whole of it
	}{
		"alone":                             {5, 10 * time.Second, `"batch_limit":2`, false, 0, 65 * time.Second},
		"side by side":                      {5, 10 * time.Second, `"batch_limit":2,"concurrency":4,"latency":"7s"`, false, 0, 90 * time.Second},
		"looking for the refused":           {5, 10 * time.Second, `"batch_limit":20,"refuse_batch":true,"refuse_names":"7$"`, false, 0, 3 * time.Minute},
		"handing over":                      {5, 10 * time.Second, `"batch_limit":2`, true, 7 * time.Second, 2 * time.Minute},
		"crashing":                          {5, 10 * time.Second, `"batch_limit":4,"concurrency":2,"latency":"3s"`, false, 11 * time.Second, 10 * time.Minute},
		"crashing while looking":            {5, 10 * time.Second, `"batch_limit":20,"refuse_batch":true,"refuse_names":"7$","latency":"1s"`, false, 59 * time.Second, 20 * time.Minute},
		"crashing between two looks":        {1, time.Minute, `"batch_limit":20,"refuse_batch":true,"refuse_names":"7$"`, false, 65 * time.Second, 75 * time.Minute},
		"a call a minute":                   {1, time.Minute, `"batch_limit":30`, false, 0, 4 * time.Minute},
		"a call a minute, crashing at once": {1, time.Minute, `"batch_limit":30,"latency":"10s"`, false, 8 * time.Second, 20 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			set.Sweep, set.TaskTimeout = min(test.per/10, 5*time.Second), 3*time.Hour
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := f.watch()
				var now *mortal
				f.around = func(s engineStore) engineStore {
					now = &mortal{Store: s}
					return now
				}
				start := func() {
					f.start(set)
					t.Cleanup(f.stop)
				}
				start()
				start()
				in := f.integration(fmt.Sprintf(`{"rate_limit":%d,"rate_window":"%s","declare_rate":true,%s}`, test.calls, test.per, test.more))
				var tasks []string
				began := time.Now()
				for i := range 3 {
					tasks = append(tasks, f.submit(in, many(60)[20*i:20*i+20]...))
				}
				for n := 0; n < 10 && test.crash > 0 && f.view(in, tasks[2]).Status == skill.Pending; n++ {
					wait(test.crash)
					if test.clean {
						f.stop()
					}
					now.dead.Store(true)
					start()
				}
				for _, task := range tasks {
					f.ended(in, task).want(t, "COMPLETED")
				}
				seen := tool.seen()
				slices.SortFunc(seen, func(a, b call) int { return a.at.Compare(b.at) })
				if len(seen) < 3 {
					t.Fatalf("%d calls: this test shows nothing", len(seen))
				}
				if took := seen[len(seen)-1].at.Sub(began); took > test.most {
					t.Errorf("it took %v", took)
				}
				for i, c := range seen {
					if c.answer == "throttled" {
						t.Errorf("call %d was throttled", i)
					}
					if i < test.calls {
						continue
					}
					if within := c.at.Sub(seen[i-test.calls].at); within < test.per {
						t.Errorf("%d calls within %v, of %d within %v", test.calls+1, within, test.calls, test.per)
					}
				}
			})
		})
	}
}
