package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	ok          = ""
	remoteInput = string(skill.CodeRemoteInput)
	away        = string(skill.CodeRemoteUnavailable)
	throttling  = string(skill.CodeRemoteRateLimit)
	unexpected  = string(skill.CodeRemoteUnknown)
	timedOut    = string(skill.CodeTaskTimedOut)
	credentials = string(skill.CodeToolAuthentication)
	permission  = string(skill.CodeToolPermission)
	notFound    = string(skill.CodeIntegrationNotFound)
)

// Each fault of a tool ends in the contract's code for it, item by item.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name     string
		settings string
		items    []skill.Item
		status   string
		code     skill.Code // of a failed task
		codes    []string   // of the items otherwise
		words    string     // what the first failure must say
		writes   int        // that the tool has seen
		atLeast  time.Duration
	}{
		{
			name: "a name it refuses", settings: `{"refuse_names":"^b"}`, items: active("a", "b", "c"),
			status: "COMPLETED", codes: []string{ok, remoteInput, ok}, words: "This name is not allowed", writes: 2,
		},
		{
			name: "a name that is taken", settings: `{"unique_names":true}`,
			items:  []skill.Item{{OriginID: "1", Name: "Go", Status: skill.Active}, {OriginID: "2", Name: "Go", Status: skill.Active}},
			status: "COMPLETED", codes: []string{ok, remoteInput}, words: "A skill with this name already exists", writes: 1,
		},
		{
			name: "words of its own", settings: `{"scripts":{"id-a":["refuse: too vague"]}}`, items: active("a"),
			status: "COMPLETED", codes: []string{remoteInput}, words: "too vague",
		},
		{
			name: "a whole batch refused for one item", settings: `{"refuse_batch":true,"refuse_names":"^f"}`,
			items:  active("a", "b", "c", "d", "e", "f", "g", "h"),
			status: "COMPLETED", codes: []string{ok, ok, ok, ok, ok, remoteInput, ok, ok}, writes: 7,
		},
		{
			name: "throttled once, with Retry-After", settings: `{"rate_limit":1,"rate_window":"30s","batch_limit":1}`,
			items: active("a", "b", "c"), status: "COMPLETED", codes: []string{ok, ok, ok}, writes: 3, atLeast: 60 * time.Second,
		},
		{
			name: "throttled once, without a word", settings: `{"hide_retry_after":true,"scripts":{"id-a":["throttle","throttle"]}}`,
			items: active("a"), status: "COMPLETED", codes: []string{ok}, writes: 1, atLeast: 1500 * time.Millisecond,
		},
		{
			name: "throttled for ever", settings: `{"scripts":{"id-a":["throttle","throttle","throttle","throttle","throttle"]}}`,
			items: active("a", "b"), status: "FAILED", code: skill.CodeRemoteRateLimit, words: "after 4 attempts: Too many requests",
		},
		{
			name: "away, then back", settings: `{"scripts":{"id-a":["away","away","away"]}}`, items: active("a", "b"),
			status: "COMPLETED", codes: []string{ok, ok}, writes: 2, atLeast: 3500 * time.Millisecond,
		},
		{
			name: "away for ever", settings: `{"outage":true}`, items: active("a", "b"),
			status: "FAILED", code: skill.CodeRemoteUnavailable, words: "after 4 attempts: The sandbox is down for maintenance",
		},
		{
			name: "away for ever after the first chunk", settings: `{"batch_limit":2,"scripts":{"id-c":["away","away","away","away"]}}`,
			items: active("a", "b", "c", "d", "e"), status: "COMPLETED", codes: []string{ok, ok, away, away, away}, writes: 2,
		},
		{
			name: "throttled for ever after the first chunk", settings: `{"batch_limit":1,"scripts":{"id-b":["throttle","throttle","throttle","throttle"]}}`,
			items: active("a", "b"), status: "COMPLETED", codes: []string{ok, throttling}, writes: 1,
		},
		{
			name: "credentials refused", settings: `{"refuse_credentials":true}`, items: active("a"),
			status: "FAILED", code: skill.CodeToolAuthentication, words: "Invalid token",
		},
		{
			name: "credentials refused after the first chunk", settings: `{"batch_limit":1,"scripts":{"id-b":["credentials"]}}`,
			items: active("a", "b", "c"), status: "COMPLETED", codes: []string{ok, credentials, credentials}, writes: 1,
		},
		{
			name: "permission refused", settings: `{"refuse_permission":true}`, items: active("a"),
			status: "FAILED", code: skill.CodeToolPermission, words: "This user may not change skills",
		},
		{
			name: "permission refused after a refused item", settings: `{"batch_limit":1,"refuse_names":"^a","scripts":{"id-b":["permission"]}}`,
			items: active("a", "b"), status: "FAILED", code: skill.CodeToolPermission, words: "This user may not change skills",
		},
		{
			name: "an answer nobody described", settings: `{"batch_limit":1,"scripts":{"id-b":["unexpected"]}}`,
			items: active("a", "b", "c"), status: "COMPLETED", codes: []string{ok, unexpected, ok}, words: "418", writes: 2,
		},
		{
			name: "an answer lost after the write", settings: `{"scripts":{"id-a":["lose"]}}`, items: active("a", "b"),
			status: "COMPLETED", codes: []string{ok, ok}, writes: 4,
		},
		{
			name: "every answer lost", settings: `{"lose_answers":1}`, items: active("a", "b"),
			status: "COMPLETED", codes: []string{away, away}, words: "It may have reached the tool all the same", writes: 8,
		},
		{
			name: "no answer, then one", settings: `{"scripts":{"id-a":["hang"]}}`, items: active("a"),
			status: "COMPLETED", codes: []string{ok}, writes: 1, atLeast: time.Minute,
		},
		{
			name: "an answer that says nothing of one item", settings: `{"scripts":{"id-b":["mute"]}}`, items: active("a", "b"),
			status: "COMPLETED", codes: []string{ok, ok}, writes: 2,
		},
		{
			name: "answers that never say anything of one item", settings: `{"scripts":{"id-b":["mute","mute","mute","mute","mute","mute"]}}`,
			items: active("a", "b"), status: "COMPLETED", codes: []string{ok, away}, words: "says nothing of this item", writes: 1,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := settings()
			run(t, &set, func(t *testing.T, f *fixture) {
				in := f.integration(test.settings)
				r := f.ended(in, f.submit(in, test.items...))
				text := r.Text
				if test.status == "FAILED" {
					r.wantFailed(t, test.code)
				} else {
					r.want(t, test.status, test.codes...)
				}
				for _, it := range r.Items {
					if text == "" {
						text = it.Text
					}
				}
				if !strings.Contains(text, test.words) {
					t.Errorf("it says %q, want %q in it", text, test.words)
				}
				if n := f.writes(in); n != test.writes {
					t.Errorf("the tool saw %d writes, want %d", n, test.writes)
				}
				if r.Took < test.atLeast {
					t.Errorf("it took %v, want at least %v", r.Took, test.atLeast)
				}
				// Whatever it was, once it is over the same items go through, and end where they should.
				f.change(in, `{}`)
				again := f.ended(in, f.submit(in, test.items...))
				again.want(t, "COMPLETED", make([]string, len(test.items))...)
				f.holds(in, test.items)
			})
		})
	}
}

// Refused credentials stop everything at the first call: what waits and what comes later fails without another one, until
// somebody changes the integration.
func TestRefusedCredentialsStopEverything(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"1s","batch_limit":1,"scripts":{"id-b":["credentials"]}}`)
		first := f.submit(in, active("a", "b")...)
		second, third := f.submit(in, active("c")...), f.submit(in, active("d", "e")...)
		f.ended(in, first).want(t, "COMPLETED", ok, credentials)
		f.ended(in, second).wantFailed(t, skill.CodeToolAuthentication)
		f.ended(in, third).wantFailed(t, skill.CodeToolAuthentication)
		f.ended(in, f.submit(in, active("f")...)).wantFailed(t, skill.CodeToolAuthentication)
		got, err := f.store.Integration(t.Context(), f.env, in.ID)
		if err != nil || got.InvalidReason != "Invalid token" {
			t.Errorf("integration = %+v, %v", got, err)
		}
		f.holds(in, active("a"))
		f.enable(in, true)
		f.ended(in, f.submit(in, active("f")...)).want(t, "COMPLETED", ok)
	})
}

// A missing permission fails its task alone: the next one is tried.
func TestMissingPermissionFailsOneTask(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"scripts":{"id-a":["permission"]}}`)
		first, second := f.submit(in, active("a")...), f.submit(in, active("b")...)
		f.ended(in, first).wantFailed(t, skill.CodeToolPermission)
		f.ended(in, second).want(t, "COMPLETED", ok)
	})
}

func TestDisabledPausesAndTheDeadlineRunsOn(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"10s","batch_limit":1}`)
		begun := f.submit(in, active("a", "b", "c", "d")...)
		waiting := f.submit(in, active("e")...)
		late := f.integration(`{}`)
		wait(15 * time.Second) // a is written, b is under way
		f.enable(in, false)
		f.enable(late, false)
		wait(30 * time.Minute)
		if view := f.view(in, begun); view.Status != skill.Pending || view.Done != 2 {
			t.Errorf("paused: %+v", view)
		}
		f.enable(in, true)
		f.ended(in, begun).want(t, "COMPLETED", ok, ok, ok, ok)
		f.ended(in, waiting).want(t, "COMPLETED", ok)

		begun = f.submit(in, active("f", "g", "h")...)
		waiting = f.submit(in, active("i")...)
		wait(15 * time.Second)
		f.enable(in, false)
		r := f.ended(in, begun)
		r.want(t, "COMPLETED", ok, ok, timedOut)
		if r.Took < time.Hour || r.Took > time.Hour+2*set.Sweep {
			t.Errorf("it ended after %v", r.Took)
		}
		f.ended(in, waiting).wantFailed(t, skill.CodeTaskTimedOut)
	})
}

func TestDeletedEndsItsTasks(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"10s","batch_limit":1}`)
		begun := f.submit(in, active("a", "b", "c", "d")...)
		waiting := f.submit(in, active("e")...)
		wait(15 * time.Second)
		if _, err := f.store.DeleteIntegration(t.Context(), in.ID); err != nil {
			t.Fatal(err)
		}
		f.ended(in, begun).want(t, "COMPLETED", ok, ok, notFound, notFound)
		f.ended(in, waiting).wantFailed(t, skill.CodeIntegrationNotFound)
		idle := f.integration(`{}`)
		f.enable(idle, false)
	})
}

// PENDING is bounded, whatever the tool does.
func TestDeadline(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		codes    []string
		code     skill.Code
	}{
		"the tool is slow":               {`{"latency":"25m","batch_limit":1}`, []string{ok, ok, timedOut, timedOut}, ""},
		"the tool never answers":         {`{"scripts":{"id-a":["hang","hang","hang","hang"]}}`, []string{timedOut, timedOut, timedOut, timedOut}, ""},
		"the tool throttles for longer":  {`{"rate_limit":1,"rate_window":"40m","batch_limit":1}`, []string{ok, ok, timedOut, timedOut}, ""},
		"it answers after the deadline":  {`{"latency":"70m"}`, []string{timedOut, timedOut, timedOut, timedOut}, ""},
		"it is away, and patience large": {`{"outage":true}`, nil, skill.CodeTaskTimedOut},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			set.CallTimeout, set.Attempts, set.BackoffMost = 10*time.Hour, 1_000_000, 7*time.Minute
			run(t, &set, func(t *testing.T, f *fixture) {
				in := f.integration(test.settings)
				first := f.submit(in, active("a", "b", "c", "d")...)
				waiting := f.submit(in, active("x")...)
				r := f.ended(in, first)
				if test.code != "" {
					r.wantFailed(t, test.code)
				} else {
					r.want(t, "COMPLETED", test.codes...)
				}
				if r.Took < time.Hour || r.Took > time.Hour+2*set.Sweep {
					t.Errorf("it ended after %v", r.Took)
				}
				if r := f.ended(in, waiting); r.Took > time.Hour+2*set.Sweep {
					t.Errorf("the waiting one ended after %v", r.Took)
				} else {
					r.wantFailed(t, skill.CodeTaskTimedOut)
				}
			})
		})
	}
}

// hungUp is a sandbox that notes when calls were given up while they were under way. One that is deaf goes on all the same.
type hungUp struct {
	connector.Connector
	deaf bool

	mu    sync.Mutex
	calls int
	ends  []givenUp
}

type givenUp struct {
	at  time.Time
	why error
}

func (h *hungUp) Open(account connector.Account) (connector.Session, error) {
	s, err := h.Connector.Open(account)
	return hungUpSession{s, h}, err
}

type hungUpSession struct {
	connector.Session
	h *hungUp
}

func (s hungUpSession) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	s.h.mu.Lock()
	s.h.calls++
	s.h.mu.Unlock()
	// The engine ends the context of a call that has returned, too: that is not noted.
	defer context.AfterFunc(ctx, func() {
		s.h.mu.Lock()
		defer s.h.mu.Unlock()
		s.h.ends = append(s.h.ends, givenUp{time.Now(), context.Cause(ctx)})
	})()
	heard := ctx
	if s.h.deaf {
		heard = context.WithoutCancel(ctx)
	}
	return s.Session.Write(heard, skills)
}

// A call that is under way at the deadline is given up then: the tool sees the connection closed, and the task ends,
// whatever the tool or its connector still do. What they answer later changes nothing.
func TestCallsEndAtTheDeadline(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		deaf     bool
		most     time.Duration // from the deadline to the task's end
	}{
		"the tool never answers":                         {`{"scripts":{"id-a":["hang"]}}`, false, time.Second},
		"the tool answers after the deadline":            {`{"latency":"12m"}`, false, time.Second},
		"the same, and its connector does not let go":    {`{"latency":"12m"}`, true, 6 * time.Second},
		"it writes and answers, both after the deadline": {`{"latency":"22m"}`, true, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			set.TaskTimeout, set.CallTimeout = 10*time.Minute, 10*time.Hour
			run(t, nil, func(t *testing.T, f *fixture) {
				tool := &hungUp{Connector: sandbox.New(f.store.Sandbox()), deaf: test.deaf}
				f.tools = []connector.Connector{tool}
				f.start(set)
				in, items := f.integration(test.settings), active("a", "b")
				began := time.Now()
				task := f.submit(in, items...)
				r := f.ended(in, task)
				r.want(t, "COMPLETED", timedOut, timedOut)
				for _, it := range r.Items {
					if !strings.Contains(it.Text, "It may have reached the tool all the same.") {
						t.Errorf("%s: %q", it.OriginID, it.Text)
					}
				}
				if r.Took < set.TaskTimeout-time.Second || r.Took > set.TaskTimeout+test.most {
					t.Errorf("the task ended after %v", r.Took)
				}
				tool.mu.Lock()
				calls, ends := tool.calls, slices.Clone(tool.ends)
				tool.mu.Unlock()
				if calls != 1 || len(ends) != 1 {
					t.Fatalf("%d calls, given up: %+v", calls, ends)
				}
				if at := ends[0].at.Sub(began); at < set.TaskTimeout-time.Second || at > set.TaskTimeout+time.Second || !errors.Is(ends[0].why, context.DeadlineExceeded) {
					t.Errorf("the call was given up after %v: %v", at, ends[0].why)
				}
				document := f.view(in, task).Document
				wait(20 * time.Minute) // a late answer has come
				if diff := cmp.Diff(string(document), string(f.view(in, task).Document)); diff != "" {
					t.Errorf("the result has changed (-first +now):\n%s", diff)
				}
				// Nobody knows what the tool holds, so the next upload writes it.
				f.change(in, `{}`)
				f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", ok, ok)
				f.holds(in, items)
				if tool.calls != 2 {
					t.Errorf("%d calls", tool.calls)
				}
			})
		})
	}
}

// A call that is answered while the engine stops is written down; the next engine does not send it again.
func TestStopChecksPointsWhatIsAnsweredInTime(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"6s","batch_limit":2}`)
		task := f.submit(in, active("a", "b", "c", "d")...)
		wait(time.Second)
		began := time.Now()
		f.stop()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		if view := f.view(in, task); view.Done != 2 {
			t.Errorf("after the stop: %+v", view)
		}
		f.start(set)
		f.ended(in, task).want(t, "COMPLETED", ok, ok, ok, ok)
		if n := f.writes(in); n != 4 {
			t.Errorf("%d writes of 4 skills", n)
		}
	})
}

// A call that takes longer is cut, and its intent stays open: the next engine writes it again.
func TestStopLeavesALongCallOpen(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"18s","batch_limit":2}`) // the write is half-way
		task := f.submit(in, active("a", "b", "c", "d")...)
		wait(2 * time.Second)
		began := time.Now()
		f.stop()
		if took := time.Since(began); took < 8*time.Second || took > 10*time.Second {
			t.Errorf("it took %v to stop", took)
		}
		if view := f.view(in, task); view.Done != 0 || view.Status != skill.Pending {
			t.Errorf("after the stop: %+v", view)
		}
		f.change(in, `{}`)
		f.start(set)
		f.ended(in, task).want(t, "COMPLETED", ok, ok, ok, ok)
		if n := f.writes(in); n != 6 {
			t.Errorf("%d writes, want those of the cut call twice", n)
		}
	})
}

// What an earlier engine sent without an answer, and the task's end keeps from being sent again, may have reached the tool.
func TestEndBeforeTheSecondTry(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"18s","batch_limit":2}`)           // the write is half-way
		f.ended(in, f.submit(in, active("x")...)).want(t, "COMPLETED", ok) // from then on the engine knows the limit
		task := f.submit(in, active("a", "b", "c", "d")...)
		wait(2 * time.Second)
		f.stop() // cuts the call of a and b
		f.change(in, `{"refuse_credentials":true,"batch_limit":1}`)
		f.start(set)
		r := f.ended(in, task)
		r.want(t, "COMPLETED", credentials, credentials, credentials, credentials)
		for i, it := range r.Items {
			if sent := i < 2; strings.Contains(it.Text, "Invalid token. It may have reached the tool all the same.") != sent {
				t.Errorf("%s: %q; sent before: %v", it.OriginID, it.Text, sent)
			}
		}
		// The next upload writes both again.
		f.change(in, `{}`)
		f.ended(in, f.submit(in, active("a", "b", "c", "d")...)).want(t, "COMPLETED", ok, ok, ok, ok)
	})
}

// Settings changed while a task runs are used from the next chunk on.
func TestSettingsChangeWhileItRuns(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"10s","batch_limit":1}`)
		task := f.submit(in, active("a", "b", "c", "d")...)
		wait(5 * time.Second)
		f.change(in, `{"refuse_names":"^d"}`)
		r := f.ended(in, task)
		r.want(t, "COMPLETED", ok, ok, ok, remoteInput)
		if r.Took > 12*time.Second {
			t.Errorf("it took %v, as if the tool were still slow", r.Took)
		}
	})
}

// Changing an integration ends a wait that its tool asked for.
func TestChangeEndsAWait(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"rate_limit":1,"rate_window":"50m","batch_limit":1}`)
		task := f.submit(in, active("a", "b")...)
		wait(time.Minute)
		f.change(in, `{}`)
		if r := f.ended(in, task); r.Took > time.Minute+2*set.Sweep {
			t.Errorf("it took %v", r.Took)
		} else {
			r.want(t, "COMPLETED", ok, ok)
		}
	})
}

// A drain whose lease was taken over writes nothing down, and what it may have sent is written again.
func TestTakenOverLease(t *testing.T) {
	set := settings()
	run(t, nil, func(t *testing.T, f *fixture) {
		var stuck *mortal
		f.around = func(s engineStore) engineStore {
			stuck = &mortal{Store: s}
			return stuck
		}
		f.start(set)
		stop := f.stop
		in := f.integration(`{"latency":"4s"}`)
		task := f.submit(in, active("a", "b")...)
		wait(3 * time.Second)
		stuck.dead.Store(true) // cut off from the database right after the tool has written
		f.around = nil
		f.start(set)
		r := f.ended(in, task)
		r.want(t, "COMPLETED", ok, ok)
		if r.Took > 3*time.Second+6*time.Second+2*set.Sweep+4*time.Second {
			t.Errorf("it took %v", r.Took)
		}
		for id, rec := range f.tool(in) {
			if rec.Writes != 2 {
				t.Errorf("%s was written %d times", id, rec.Writes)
			}
		}
		stop()
	})
}

// The database fails at each operation once in turn; the task ends as it should.
func TestStoreFaults(t *testing.T) {
	for _, op := range []string{"claim", "advance", "items", "skills", "extend"} {
		for nth := range 4 {
			t.Run(fmt.Sprint(op, " ", nth), func(t *testing.T) {
				set := settings()
				run(t, nil, func(t *testing.T, f *fixture) {
					broken := &flaky{op: op, nth: nth}
					f.around = func(s engineStore) engineStore {
						broken.mortal = mortal{Store: s}
						return broken
					}
					f.start(set)
					in := f.integration(`{"batch_limit":2,"latency":"3s"}`)
					items := many(6)
					r := f.ended(in, f.submit(in, items...))
					r.want(t, "COMPLETED", ok, ok, ok, ok, ok, ok)
					f.holds(in, items)
				})
			})
		}
	}
}

// Odd connectors: none of them takes the engine down or keeps a task for ever.
func TestOddConnectors(t *testing.T) {
	for name, test := range map[string]struct {
		write func(ctx context.Context, skills []connector.Skill) ([]connector.Result, error)
		codes []string
	}{
		"panics": {
			func(context.Context, []connector.Skill) ([]connector.Result, error) { panic("oops") },
			[]string{away, away},
		},
		"returns a plain error": {
			func(context.Context, []connector.Skill) ([]connector.Result, error) { return nil, errors.New("EOF") },
			[]string{away, away},
		},
		"returns results for skills nobody sent, and twice": {
			func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
				results := []connector.Result{{OriginID: "stranger", RemoteID: "1"}}
				for range 2 {
					for _, s := range skills {
						results = append(results, connector.Result{OriginID: s.OriginID, RemoteID: "r-" + s.OriginID})
					}
				}
				return append(results, connector.Result{OriginID: skills[0].OriginID, Err: connector.Errorf(connector.Refused, "second thoughts")}), nil
			},
			[]string{ok, ok},
		},
		"has half an answer, and the connection breaks": {
			func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
				if len(skills) == 1 {
					return []connector.Result{{OriginID: skills[0].OriginID, RemoteID: "late"}}, nil
				}
				return []connector.Result{{OriginID: skills[0].OriginID, RemoteID: "1"}}, errors.New("unexpected EOF")
			},
			[]string{ok, ok},
		},
		"tells item by item that it is throttled": {
			func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
				var results []connector.Result
				for i, s := range skills {
					r := connector.Result{OriginID: s.OriginID, RemoteID: "r"}
					if i > 0 {
						r = connector.Result{OriginID: s.OriginID, Err: connector.Errorf(connector.Throttled, "slow down")}
					}
					results = append(results, r)
				}
				return results, nil
			},
			[]string{ok, ok},
		},
		"answers with bytes that are no text": {
			func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
				return []connector.Result{
					{OriginID: skills[0].OriginID, RemoteID: "1\x00\xff"},
					{OriginID: skills[1].OriginID, Err: connector.Errorf(connector.Refused, "bad\x00name\xff")},
				}, nil
			},
			[]string{ok, string(skill.CodeRemoteInput)},
		},
		"cannot do it": {
			func(_ context.Context, _ []connector.Skill) ([]connector.Result, error) {
				return nil, connector.Errorf(connector.Unsupported, "no way to retire a skill")
			},
			[]string{string(skill.CodeActionNotAvailable), string(skill.CodeActionNotAvailable)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			run(t, nil, func(t *testing.T, f *fixture) {
				f.tools = []connector.Connector{odd{test.write}}
				f.start(set)
				in := f.integrationWith("odd", `{}`)
				f.ended(in, f.submit(in, active("a", "b")...)).want(t, "COMPLETED", test.codes...)
			})
		})
	}
}

type odd struct {
	write func(context.Context, []connector.Skill) ([]connector.Result, error)
}

func (odd) Describe() connector.Description {
	return connector.Description{Slug: "odd", Limits: connector.Limits{Batch: 10, Concurrency: 1}}
}
func (o odd) Open(connector.Account) (connector.Session, error) { return o, nil }
func (odd) Limits() connector.Limits                            { return connector.Limits{Batch: 10, Concurrency: 1} }

func (o odd) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	return o.write(ctx, skills)
}

// A connector that does not return at all is given up, call by call.
func TestConnectorThatNeverReturns(t *testing.T) {
	set := settings()
	run(t, nil, func(t *testing.T, f *fixture) {
		released := make(chan struct{})
		f.tools = []connector.Connector{odd{func(context.Context, []connector.Skill) ([]connector.Result, error) {
			<-released
			return nil, nil
		}}}
		f.start(set)
		in := f.integrationWith("odd", `{}`)
		f.ended(in, f.submit(in, active("a", "b")...)).want(t, "COMPLETED", away, away)
		close(released)
	})
}

// An inactive skill reaches the tool as such.
func TestInactiveReachesTheTool(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{}`)
		items := active("COBOL", "Go")
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", ok, ok)
		items[0].Status = skill.Inactive
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", ok, ok)
		f.holds(in, items)
		items[0].Status = skill.Active
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", ok, ok)
		f.holds(in, items)
		if n := f.writes(in); n != 4 {
			t.Errorf("%d writes, want 4", n)
		}
	})
}

// onFirstCall has the tools "odd" and "listing" answer the first call as it is told, and take everything afterwards. It counts calls.
func (f *fixture) onFirstCall(first func() error) (calls *int) {
	calls = new(int)
	answer := func() error {
		if *calls++; *calls > 1 {
			return nil
		}
		return first()
	}
	tool := newCatalogue()
	tool.onList = func(string) error { return answer() }
	f.tools = []connector.Connector{tool, odd{func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
		if err := answer(); err != nil {
			return nil, err
		}
		return []connector.Result{{OriginID: skills[0].OriginID, RemoteID: "1"}}, nil
	}}}
	return calls
}

// Credentials that are changed while the tool is asked with the old ones are not those that it refuses: the task is sent with
// the new ones.
func TestCredentialsChangedWhileTheyAreRefused(t *testing.T) {
	for _, kind := range []string{"task", "sync"} {
		t.Run(kind, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				var in store.Integration
				calls := f.onFirstCall(func() error {
					f.change(in, `{"new":true}`)
					return connector.Errorf(connector.Credentials, "wrong password")
				})
				f.start(settings())
				if kind == "sync" {
					in = f.integrationWith("listing", `{}`)
					f.request(in, true)
					f.syncEnded()
				} else {
					in = f.integrationWith("odd", `{}`)
					first, second := f.submit(in, active("a")...), f.submit(in, active("b")...)
					f.ended(in, first).want(t, "COMPLETED", ok)
					f.ended(in, second).want(t, "COMPLETED", ok)
				}
				got, err := f.store.Integration(t.Context(), "", in.ID)
				if err != nil || got.InvalidReason != "" || *calls < 2 {
					t.Errorf("%d calls, and it is invalid: %q, %v", *calls, got.InvalidReason, err)
				}
			})
		})
	}
}

// What a tool answers to a call with old credentials is not held against the new ones: neither that it wants to be left alone, nor
// that it did not answer.
func TestCredentialsChangedWhileTheToolIsBusy(t *testing.T) {
	for name, failure := range map[string]*connector.Error{
		"throttled":         {Kind: connector.Throttled, RetryAfter: time.Hour},
		"away":              {Kind: connector.Away, RetryAfter: time.Hour},
		"without an answer": {Kind: connector.Ambiguous, RetryAfter: time.Hour},
	} {
		for _, kind := range []string{"task", "sync"} {
			t.Run(name+", "+kind, func(t *testing.T) {
				run(t, nil, func(t *testing.T, f *fixture) {
					var in store.Integration
					calls := f.onFirstCall(func() error {
						f.setAccount(in, `{}`, []byte("new"))
						return failure
					})
					f.start(settings())
					began := time.Now()
					if kind == "sync" {
						in = f.integrationWith("listing", `{}`)
						f.request(in, true)
						f.syncEnded()
					} else {
						in = f.integrationWith("odd", `{}`)
						f.ended(in, f.submit(in, active("a")...)).want(t, "COMPLETED", ok)
					}
					if waited := time.Since(began); waited > time.Minute || *calls < 2 {
						t.Errorf("%d calls in %s", *calls, waited)
					}
					if away, err := f.store.Away(t.Context(), ""); err != nil || len(away) != 0 {
						t.Errorf("away: %+v, %v", away, err)
					}
				})
			})
		}
	}
}
