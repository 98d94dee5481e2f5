package engine_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/learning360/learning360test"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func jobSettings() engine.Settings {
	set := settings()
	set.Sweep, set.JobTimeout = time.Second, 10*time.Minute
	return set
}

// A task of several chunks goes by as many jobs at once as the tool takes. A receipt is on disk before it is asked by.
func TestJobs(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newJobTool(f)
		n := &receipts{known: map[string]bool{}}
		f.around = func(s engineStore) engineStore {
			n.engineStore = s
			return n
		}
		f.tools = []connector.Connector{tool.as(nil)}
		f.start(jobSettings())
		in := f.integration(`{"batch_limit":10,"concurrency":3}`)
		tool.polled = func(receipt string) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if !n.known[receipt] {
				t.Errorf("%s is asked after, and its receipt is not on disk", receipt)
			}
		}
		items := many(45)
		for i := range 5 {
			items[i*9].Status = skill.Inactive
		}
		r := f.ended(in, f.submit(in, items...))
		r.want(t, "COMPLETED", make([]string, len(items))...)
		f.holds(in, items)
		tool.onceEach(t, 45)
		if tool.most != 3 {
			t.Errorf("%d jobs at once, want 3", tool.most)
		}
		if n := tool.size(); n != 9 { // five chunks, four of them with skills to be retired besides
			t.Errorf("%d jobs", n)
		}
		// The catalogue is sure of all of it.
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", make([]string, len(items))...)
		if n := tool.size(); n != 9 {
			t.Errorf("%d jobs for what the tool holds", n-9)
		}
	})
}

// A drain that only waits for a job leaves its place to others, and asks ever more seldom.
func TestJobsYieldTheirPlace(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newJobTool(f)
		tool.takes = 9 * time.Minute
		f.tools = []connector.Connector{tool.as(nil)}
		set := jobSettings()
		set.Drains = 1
		f.start(set)
		in, others := f.integration(`{}`), f.integration(`{}`)
		task := f.submit(in, active("a")...)
		wait(30 * time.Second)
		tool.mu.Lock()
		tool.takes = 0
		tool.mu.Unlock()
		if r := f.ended(others, f.submit(others, active("b")...)); r.Took > 10*time.Second {
			t.Errorf("the other integration's task took %v", r.Took)
		}
		r := f.ended(in, task)
		r.want(t, "COMPLETED", ok)
		if r.Took < 9*time.Minute || r.Took > 9*time.Minute+45*time.Second {
			t.Errorf("it took %v", r.Took)
		}
		if n := len(tool.polls); n > 25 {
			t.Errorf("%d polls", n)
		}
		for i := range tool.polls[1:] {
			if pause := tool.polls[i+1].Sub(tool.polls[i]); pause > 45*time.Second {
				t.Errorf("a pause of %v", pause)
			}
		}
	})
}

// What jobs can do instead of coming to a good end.
func TestJobFaults(t *testing.T) {
	lost := connector.Errorf(connector.Ambiguous, "the connection was cut")
	always := 1_000_000
	for _, test := range []struct {
		name     string
		settings string
		fate     func(string, int) fate
		takes    time.Duration
		items    []skill.Item
		status   string
		code     skill.Code
		codes    []string
		words    string
		jobs     int // that the tool has taken
		atMost   time.Duration
		set      func(*engine.Settings)
	}{
		{
			name: "it refuses one skill", settings: `{"refuse_names":"^b"}`, items: active("a", "b", "c"),
			codes: []string{ok, remoteInput, ok}, words: "This name is not allowed", jobs: 1,
		},
		{
			name: "no job is taken that holds one of the skills", settings: `{"concurrency":3}`, items: active("a", "b", "c", "d", "e", refusingName, "g", "h"),
			codes: []string{ok, ok, ok, ok, ok, remoteInput, ok, ok}, words: "no job with such a name", jobs: 3,
		},
		{
			name: "the same, one job at a time", items: active(refusingName, "b", "c", "d", "e"),
			codes: []string{remoteInput, ok, ok, ok, ok}, jobs: 2, // what is left when a drain leaves is cut anew
		},
		{
			name: "its results are lost once", fate: fails("start", 1, 1, fate{mute: true}), items: active("a", "b"),
			codes: []string{ok, ok}, jobs: 2,
		},
		{
			name: "its results are always lost", fate: fails("start", 1, always, fate{mute: true}), items: active("a", "b"),
			codes: []string{away, away}, words: "the results are lost. It may have reached the tool all the same", jobs: 4,
		},
		{
			name: "it is forgotten", settings: `{"concurrency":2}`, fate: fails("start", 1, 2, fate{forgotten: true}), items: active("a", "b"),
			codes: []string{ok, ok}, jobs: 3,
		},
		{
			name: "it fails and may have done something", settings: `{"lose_answers":1}`, items: active("a", "b"),
			codes: []string{away, away}, words: "It may have reached the tool all the same", jobs: 4,
		},
		{
			name: "it fails and has done nothing", settings: `{"outage":true}`, items: active("a", "b"),
			status: "FAILED", code: skill.CodeRemoteUnavailable, words: "after 4 attempts: The sandbox is down for maintenance", jobs: 4,
		},
		{
			name: "one of several fails for want of permission", settings: `{"batch_limit":1,"scripts":{"id-b":["permission"]}}`,
			items: active("a", "b", "c"), codes: []string{ok, permission, permission}, jobs: 2,
		},
		{
			name: "it never ends once", settings: `{"concurrency":2}`, fate: fails("start", 1, 1, fate{endless: true}), items: active("a", "b"),
			codes: []string{ok, ok}, jobs: 2, atMost: 11 * time.Minute,
		},
		{
			name: "it never ends, and the tool takes no other", fate: fails("start", 1, always, fate{endless: true}), items: active("a", "b"),
			codes: []string{throttling, throttling}, words: "It may have reached the tool all the same", jobs: 1, atMost: 11 * time.Minute,
		},
		{
			name: "none ever ends", settings: `{"concurrency":9}`, fate: fails("start", 1, always, fate{endless: true}), items: active("a", "b"),
			codes: []string{away, away}, words: "did not end within 3 min. It may have reached the tool all the same", jobs: 4, atMost: 14 * time.Minute,
			set: func(s *engine.Settings) { s.JobTimeout = 3 * time.Minute },
		},
		{
			name: "it goes on until the deadline", takes: 20 * time.Minute, items: active("a", "b"),
			codes: []string{timedOut, timedOut}, words: "It may have reached the tool all the same", jobs: 1, atMost: 10*time.Minute + 10*time.Second,
			set: func(s *engine.Settings) { s.TaskTimeout, s.JobTimeout = 10*time.Minute, 24*time.Hour },
		},
		{
			name: "questions are not answered for a while", fate: fails("poll", 1, 3, fate{err: connector.Errorf(connector.Away, "down")}),
			items: active("a"), codes: []string{ok}, jobs: 1,
		},
		{
			name: "questions are not answered, now and then", takes: 4 * time.Minute, items: active("a"), codes: []string{ok}, jobs: 1,
			fate: func(op string, n int) fate {
				if op == "poll" && n%3 > 0 {
					return fate{err: connector.Errorf(connector.Unexpected, "418")}
				}
				return fate{}
			},
		},
		{
			name: "questions are never answered", fate: fails("poll", 1, always, fate{err: connector.Errorf(connector.Away, "down")}),
			items: active("a"), codes: []string{away}, words: "after 4 attempts: down. It may have reached the tool", jobs: 1,
		},
		{
			name: "the credentials are refused while it runs", fate: fails("poll", 1, 1, fate{err: connector.Errorf(connector.Credentials, "Invalid token")}),
			items: active("a", "b"), codes: []string{credentials, credentials}, words: "Invalid token. It may have reached the tool", jobs: 1,
		},
		{
			name: "the credentials are refused before it", fate: fails("start", 1, 1, fate{err: connector.Errorf(connector.Credentials, "Invalid token"), undone: true}),
			items: active("a", "b"), status: "FAILED", code: skill.CodeToolAuthentication,
		},
		{
			name: "the tool has too many jobs", fate: fails("start", 1, 3, fate{err: connector.Errorf(connector.Throttled, "too many jobs"), undone: true}),
			items: active("a"), codes: []string{ok}, jobs: 1,
		},
		{
			name: "the receipt is lost", fate: fails("start", 1, 1, fate{err: lost}), items: active("a", "b"), codes: []string{ok, ok}, jobs: 1,
		},
		{
			name: "the receipt is lost, and the tool cannot be asked for a while", items: active("a", "b"), codes: []string{ok, ok}, jobs: 1,
			fate: func(op string, n int) fate {
				switch {
				case op == "start":
					return fate{err: lost}
				case op == "recover" && n < 3:
					return fate{err: connector.Errorf(connector.Away, "down")}
				}
				return fate{}
			},
		},
		{
			name: "no answer, and no job", fate: fails("start", 1, 2, fate{err: lost, undone: true}), items: active("a", "b"),
			codes: []string{ok, ok}, jobs: 1,
		},
		{
			name: "never an answer, and no job", fate: fails("start", 1, always, fate{err: lost, undone: true}), items: active("a", "b"),
			codes: []string{away, away}, words: "the connection was cut. It may have reached the tool all the same",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := newJobTool(f)
				tool.fate = test.fate
				if test.takes > 0 {
					tool.takes = test.takes
				}
				f.tools = []connector.Connector{tool.as(nil)}
				set := jobSettings()
				if test.set != nil {
					test.set(&set)
				}
				f.start(set)
				in, items := f.integration(cmp.Or(test.settings, `{}`)), slices.Clone(test.items)
				r := f.ended(in, f.submit(in, items...))
				text := r.Text
				if test.status == "FAILED" {
					r.wantFailed(t, test.code)
				} else {
					r.want(t, "COMPLETED", test.codes...)
				}
				for _, it := range r.Items {
					if text == "" {
						text = it.Text
					}
				}
				if !strings.Contains(text, test.words) {
					t.Errorf("it says %q, want %q in it", text, test.words)
				}
				if n := tool.size(); n != test.jobs {
					t.Errorf("%d jobs, want %d", n, test.jobs)
				}
				if test.atMost > 0 && r.Took > test.atMost {
					t.Errorf("it took %v", r.Took)
				}
				// Once it is over the same items go through.
				if test.takes > time.Hour {
					wait(test.takes)
				}
				tool.mu.Lock()
				tool.fate, tool.running, tool.takes = nil, 0, time.Second
				tool.mu.Unlock()
				f.change(in, `{}`)
				for i := range items {
					if items[i].Name == refusingName {
						items[i].Name = "some job"
					}
				}
				f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", make([]string, len(items))...)
				f.holds(in, items)
			})
		})
	}
}

// A process dies right before or after each of its steps and requests. Another one goes on: with the receipt, or with what
// the tool says of jobs without one. No skill is in two jobs.
func TestJobsOutliveTheirProcess(t *testing.T) {
	for _, op := range []string{"claim", "advance", "start", "poll"} {
		for nth := range 6 {
			for _, when := range []string{"before", "after"} {
				t.Run(fmt.Sprint(when, " ", op, " ", nth+1), func(t *testing.T) {
					run(t, nil, func(t *testing.T, f *fixture) {
						tool := newJobTool(f)
						first := f.mortalOn(tool)
						stop := f.stop
						defer stop()
						var seen atomic.Int32
						kill := func(at string) bool { return at == op && seen.Add(1) > int32(nth) }
						if when == "before" {
							first.before.Store(&kill)
						} else {
							first.after.Store(&kill)
						}
						in := f.integration(`{"batch_limit":2,"concurrency":2}`)
						items := many(6)
						items[3].Status = skill.Inactive
						task := f.submit(in, items...)
						wait(time.Second)
						second := f.mortalOn(tool)
						defer f.stop()
						f.ended(in, task).want(t, "COMPLETED", ok, ok, ok, ok, ok, ok)
						f.holds(in, items)
						tool.onceEach(t, 6)
						if second.dead.Load() {
							t.Error("the second process is dead")
						}
					})
				})
			}
		}
	}
}

// The process that looks for the job dies as well.
func TestJobsOutliveWhoLooksForThem(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := newJobTool(f)
				tool.takes = time.Minute
				after := func(op string) bool { return op == "start" }
				first := f.mortalOn(tool)
				first.after.Store(&after)
				stop := f.stop
				defer stop()
				in := f.integration(`{}`)
				items := active("a", "b")
				task := f.submit(in, items...)
				wait(time.Second)
				second := f.mortalOn(tool)
				at := func(op string) bool { return op == "recover" }
				if when == "before" {
					second.before.Store(&at)
				} else {
					second.after.Store(&at)
				}
				stop2 := f.stop
				defer stop2()
				wait(10 * time.Second)
				if !second.dead.Load() {
					t.Fatal("nobody looked for the job")
				}
				f.mortalOn(tool)
				defer f.stop()
				f.ended(in, task).want(t, "COMPLETED", ok, ok)
				f.holds(in, items)
				tool.onceEach(t, 2)
			})
		})
	}
}

// A process is stopped while jobs run: it says nothing more, and the next one asks after them.
func TestJobsOutliveAStop(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newJobTool(f)
		tool.takes = time.Minute
		f.tools = []connector.Connector{tool.as(nil)}
		f.start(jobSettings())
		in := f.integration(`{"batch_limit":2,"concurrency":2}`)
		items := many(6)
		task := f.submit(in, items...)
		wait(1500 * time.Millisecond)
		began := time.Now()
		f.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v to stop", took)
		}
		wait(10 * time.Minute)
		f.start(jobSettings())
		f.ended(in, task).want(t, "COMPLETED", ok, ok, ok, ok, ok, ok)
		f.holds(in, items)
		tool.onceEach(t, 6)
	})
}

// The integration changes while a job runs.
func TestJobsOfAChangedIntegration(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*fixture, *jobTool, string)
		codes  []string
		words  string
		atMost time.Duration
		jobs   int
	}{
		"switched off and on": {
			change: func(f *fixture, _ *jobTool, id string) {
				f.set(id, false)
				wait(20 * time.Minute)
				f.set(id, true)
			},
			codes: []string{ok, ok, ok}, atMost: 23 * time.Minute, jobs: 3,
		},
		"switched off until the deadline": {
			change: func(f *fixture, _ *jobTool, id string) { f.set(id, false) },
			codes:  []string{timedOut, timedOut, timedOut}, words: "It may have reached the tool all the same", atMost: time.Hour + 10*time.Second, jobs: 2,
		},
		"deleted": {
			change: func(f *fixture, _ *jobTool, id string) {
				if _, err := f.store.DeleteIntegration(f.t.Context(), id); err != nil {
					f.t.Fatal(err)
				}
			},
			codes: []string{notFound, notFound, notFound}, words: "It may have reached the tool all the same", atMost: time.Minute, jobs: 2,
		},
		"with other settings": {
			change: func(f *fixture, _ *jobTool, id string) {
				if _, err := f.store.SetSettings(f.t.Context(), id, []byte(`{"batch_limit":1,"concurrency":1}`)); err != nil {
					f.t.Fatal(err)
				}
			},
			codes: []string{ok, ok, ok}, atMost: 5 * time.Minute, jobs: 3,
		},
		"with an account that does not know the job": {
			change: func(f *fixture, tool *jobTool, id string) {
				tool.mu.Lock()
				for _, job := range tool.jobs {
					job.fate.forgotten = true
				}
				tool.mu.Unlock()
				if _, err := f.store.SetSettings(f.t.Context(), id, []byte(`{"batch_limit":1,"concurrency":9}`)); err != nil {
					f.t.Fatal(err)
				}
			},
			codes: []string{ok, ok, ok}, atMost: 5 * time.Minute, jobs: 5,
		},
		"whose tool takes no jobs any more": {
			change: func(f *fixture, _ *jobTool, _ string) {
				f.stop()
				f.tools = nil
				f.start(jobSettings())
			},
			codes: []string{ok, ok, ok}, atMost: time.Minute, jobs: 2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := newJobTool(f)
				tool.takes = time.Minute
				f.tools = []connector.Connector{tool.as(nil)}
				f.start(jobSettings())
				in := f.integration(`{"batch_limit":1,"concurrency":2}`)
				items := active("a", "b", "c")
				task := f.submit(in, items...)
				wait(10 * time.Second)
				test.change(f, tool, in.ID)
				r := f.ended(in, task)
				r.want(t, "COMPLETED", test.codes...)
				if !strings.Contains(r.Items[0].Text, test.words) {
					t.Errorf("it says %q", r.Items[0].Text)
				}
				if test.words != "" && strings.Contains(r.Items[2].Text, test.words) {
					t.Errorf("it says of what was never sent: %q", r.Items[2].Text)
				}
				if r.Took > test.atMost {
					t.Errorf("it took %v", r.Took)
				}
				if n := tool.size(); n != test.jobs {
					t.Errorf("%d jobs, want %d", n, test.jobs)
				}
				if test.words == "" {
					f.holds(in, items)
				}
			})
		})
	}
}

// A process is suspended with the request for a job on its way. Another one finishes the task and writes newer values. Then
// the job is taken late.
func TestLateJob(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newJobTool(f)
		first := f.mortalOn(tool)
		stop := f.stop
		defer stop()
		in := f.integration(`{}`)
		first.writes.close()
		older := f.submit(in, active("a", "b")...)
		wait(time.Millisecond)
		first.suspend()
		f.mortalOn(tool)
		defer f.stop()
		f.ended(in, older).want(t, "COMPLETED", ok, ok)
		newer := active("a", "b")
		newer[0].Name, newer[1].Status = "a, newer", skill.Inactive
		f.ended(in, f.submit(in, newer...)).want(t, "COMPLETED", ok, ok)
		f.holds(in, newer)
		first.writes.open()
		first.asks.open()
		synctest.Wait()
		wait(5 * time.Second)
		f.holds(in, active("a", "b")) // else this test shows nothing
		first.resume()
		wait(time.Minute)
		f.holds(in, newer)
	})
}

func (f *fixture) set(integrationID string, enabled bool) {
	f.t.Helper()
	if _, err := f.store.SetEnabled(f.t.Context(), integrationID, enabled); err != nil {
		f.t.Fatal(err)
	}
}

// As many skills as three operations of 360Learning take, in three operations, at 100 skills a second.
func TestJobsInTheFewestOperations(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		var company *learning360test.Company
		h := learning360test.Harness(func(c *learning360test.Company) {
			company = c
			c.Takes = func(skills int) time.Duration { return time.Duration(skills) * 10 * time.Millisecond }
		})
		account, _ := h.Given(t, connectortest.Normal)
		f.tools = []connector.Connector{h.Connector}
		f.account = func(in store.Integration) (connector.Account, error) {
			return connector.Account{ID: in.ID, Settings: account.Settings, HTTP: account.HTTP}, nil
		}
		f.start(jobSettings())
		in := f.integrationWith("360learning", `{}`)
		for _, n := range []int{20_000} {
			before := company.Operations()
			items := many(n)
			for i := range items {
				items[i].Name = fmt.Sprint(items[i].Name, " of ", n)
			}
			r := f.ended(in, f.submit(in, items...))
			r.want(t, "COMPLETED", make([]string, n)...)
			if ops := company.Operations() - before; ops != n/10_000 {
				t.Errorf("%d skills took %d operations", n, ops)
			}
			if r.Took > 2*time.Minute+30*time.Second {
				t.Errorf("%d skills took %v", n, r.Took)
			}
			t.Logf("%d skills: %d operations, %v", n, company.Operations()-before, r.Took)
		}
		requests := 0
		for _, kind := range []string{
			"POST /api/v2/oauth2/token", "PUT /api/v2/bulk/skills", "GET /api/v2/bulk/operations/{bulkOperationId}",
			"GET /api/v2/bulk/operations/{bulkOperationId}/results", "GET /api/v2/bulk/operations",
		} {
			t.Logf("%s: %d", kind, company.Asked(kind))
			requests += company.Asked(kind)
		}
		if requests > 60 {
			t.Errorf("%d requests", requests)
		}
	})
}
