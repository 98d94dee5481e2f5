package connectortest

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// What a connector must keep to that writes by jobs of its tool (connector.Jobs). Its Write is tested as every other's.

// jobs opens a session that writes by jobs, or skips.
func (h Harness) jobs(t *testing.T, situation Situation) (*subject, connector.Jobs) {
	t.Helper()
	if _, ok := h.subject(t, Normal).open(t).(connector.Jobs); !ok {
		h.skip(t, "it does not write by jobs")
	}
	s, ok := h.make(t, situation)
	if !ok {
		t.Fatalf("%s writes by jobs, and the harness has no account whose tool %s", h.Connector.Describe().Slug, situation)
	}
	return s, s.reopen(t)
}

// reopen opens another session, as another process does.
func (s *subject) reopen(t *testing.T) connector.Jobs {
	t.Helper()
	return s.open(t).(connector.Jobs)
}

// watch is a context in which the wire knows of MaySend.
func (s *subject) watch(ctx context.Context) context.Context {
	if s.wire == nil {
		return ctx
	}
	return s.wire.watched(ctx)
}

// start has a job taken for all of the skills.
func (s *subject) start(t *testing.T, session connector.Jobs, skills []connector.Skill) string {
	t.Helper()
	started, err := session.Start(s.watch(t.Context()), skills)
	if err != nil || started.Receipt == "" || len(started.Receipt) > connector.MostReceipt {
		t.Fatalf("Start = %+v, %v", started, err)
	}
	return started.Receipt
}

// ended polls by ever new sessions until a job has ended.
func (s *subject) ended(t *testing.T, receipt string, skills []connector.Skill) connector.JobState {
	t.Helper()
	for age := time.Duration(0); age < 24*time.Hour; {
		pause := connector.PollPause(age)
		time.Sleep(pause)
		age += pause
		state, err := s.reopen(t).Poll(t.Context(), receipt, skills)
		if err != nil {
			t.Fatalf("Poll = %v", err)
		}
		if state.Ended {
			return state
		}
		if len(state.Results)+len(state.Apart) > 0 || state.Err != nil {
			t.Errorf("a job that goes on has said something: %+v", state)
		}
	}
	t.Fatal("the job does not end")
	return connector.JobState{}
}

// told checks what an ended job says of skills against what the tool holds now and held before. It returns those that are
// still to be written, and which of them it leaves open.
func (s *subject) told(t *testing.T, state connector.JobState, skills []connector.Skill, before map[string]connector.Record) (rest []connector.Skill) {
	t.Helper()
	held := s.byOrigin(t)
	by := map[string]connector.Result{}
	for _, r := range state.Results {
		if _, twice := by[r.OriginID]; twice || !slices.ContainsFunc(skills, func(sk connector.Skill) bool { return sk.OriginID == r.OriginID }) {
			t.Errorf("a result that nobody asked for, or a second one: %+v", r)
		}
		by[r.OriginID] = r
	}
	for _, sk := range skills {
		r, ok := by[sk.OriginID]
		apart := slices.Contains(state.Apart, sk.OriginID)
		switch {
		case ok && apart:
			t.Errorf("%s: the job has a result, and did not hold it", sk.OriginID)
		case ok && r.Err == nil:
			s.isTrue(t, sk, r, held)
			continue
		case !ok && !apart && (state.Err == nil || state.Err.Kind == connector.Ambiguous):
			sk.Unsure = true
		default:
			if diff := cmp.Diff(before[sk.OriginID], held[sk.OriginID]); diff != "" {
				t.Errorf("%s: the job said %+v, so nothing became of it, but (-before +after):\n%s", sk.OriginID, state, diff)
			}
		}
		rest = append(rest, sk)
	}
	return rest
}

// A job is asked after by others than who started it, and after its end too.
func job(t *testing.T, h Harness) {
	account, session := h.jobs(t, Normal)
	list := skills("a", "b", "c")
	receipt := account.start(t, session, list)
	first := account.ended(t, receipt, list)
	if rest := account.told(t, first, list, nil); len(rest) > 0 || first.Err != nil {
		t.Errorf("of a job that went well: %+v", first)
	}
	account.holds(t, list)
	again, err := account.reopen(t).Poll(t.Context(), receipt, list[1:])
	if err != nil || !again.Ended || len(again.Results) != 2 {
		t.Errorf("asked again, about two of the skills: %+v, %v", again, err)
	}
	// Skills of all kinds: what the job does not hold it says.
	list = append(list, skills("d")...)
	list[0].Active = !h.Connector.Describe().Can(connector.CanDeactivate)
	list[1].Name = "b, changed"
	before := account.byOrigin(t)
	for rest := list; len(rest) > 0; {
		left := len(rest)
		if rest = account.told(t, account.ended(t, account.start(t, account.reopen(t), rest), rest), rest, before); len(rest) >= left {
			t.Fatalf("nothing became of %+v", rest)
		}
	}
	account.holds(t, list)
	for _, odd := range []string{"nonsense", receipt + "0"} {
		if state, err := account.reopen(t).Poll(t.Context(), odd, list); err == nil && (!state.Ended || len(state.Results) > 0 || state.Err == nil || state.Err.Kind != connector.Ambiguous) {
			t.Errorf("asked by the receipt %q: %+v", odd, state)
		}
	}
}

// badJob: a job does not come to a good end. What it says is true, and written again all is well.
func badJob(situation Situation) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		account, session := h.jobs(t, situation)
		list := skills("a", "b", "c")
		state := account.ended(t, account.start(t, session, list), list)
		rest := account.told(t, state, list, nil)
		if len(rest) == 0 {
			t.Fatalf("the job has come to a good end: %+v", state)
		}
		if state.Err != nil {
			account.tellsNoSecret(t, state.Err)
		}
		account.relax(t)
		account.writeAll(t, account.open(t), rest)
		account.holds(t, list)
	}
}

// A job that never ends is asked after without an error, and Write gives up with its context.
func endlessJob(t *testing.T, h Harness) {
	account, session := h.jobs(t, JobNeverEnds)
	list := skills("a", "b")
	receipt := account.start(t, session, list)
	for range 50 {
		time.Sleep(time.Hour)
		if state, err := account.reopen(t).Poll(t.Context(), receipt, list); err != nil || state.Ended {
			t.Fatalf("Poll = %+v, %v", state, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	began := time.Now()
	by, err := account.write(ctx, t, session, skills("c"))
	if err == nil || err.Kind != connector.Ambiguous || len(by) > 0 || time.Since(began) > 5*time.Minute+soon {
		t.Errorf("Write = %v, %v, after %v", by, err, time.Since(began))
	}
	account.tellsNoSecret(t, err)
}

// A job whose receipt was lost is found, however far it is; no other is taken for it.
func lostReceipt(t *testing.T, h Harness) {
	account, session := h.jobs(t, Normal)
	none := func(what string, list []connector.Skill, ago time.Duration) {
		t.Helper()
		receipt, err := account.reopen(t).Recover(t.Context(), list, ago)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if receipt == "" {
			return
		}
		// It may be one of several that are none.
		if state := account.ended(t, receipt, list); len(state.Results) > 0 || state.Err == nil || state.Err.Kind != connector.Ambiguous {
			t.Errorf("%s: %+v", what, state)
		}
	}
	older := skills("a", "b", "c")
	none("before there was any job", older, time.Minute)
	account.ended(t, account.start(t, session, older), older)
	time.Sleep(10 * time.Second)
	none("of the same skills, long ago", older, 5*time.Second)

	list := skills("a", "b", "c")
	list[1].Name = "b, changed"
	account.ended(t, account.start(t, session, skills("x", "y")), skills("x", "y"))
	none("of other skills", list, 15*time.Minute)
	none("of the same skills with other names", list, 15*time.Minute)

	time.Sleep(10 * time.Second)
	for _, wait := range []time.Duration{0, time.Minute} {
		began := time.Now()
		account.start(t, session, list) // nobody keeps the receipt
		time.Sleep(wait)
		receipt, err := account.reopen(t).Recover(t.Context(), list, time.Since(began)+100*time.Millisecond)
		if err != nil || receipt == "" {
			t.Fatalf("after %v: Recover = %q, %v", wait, receipt, err)
		}
		state := account.ended(t, receipt, list)
		if rest := account.told(t, state, list, nil); len(rest) > 0 {
			t.Errorf("after %v: %+v", wait, state)
		}
		time.Sleep(10 * time.Second)
	}
	if h.Connector.Describe().Can(connector.CanDeactivate) {
		list[0].Active, list[1].Active, list[2].Active = false, false, false
		began := time.Now()
		account.start(t, session, list)
		receipt, err := account.reopen(t).Recover(t.Context(), list, time.Since(began)+100*time.Millisecond)
		if err != nil || receipt == "" {
			t.Fatalf("of retired skills: Recover = %q, %v", receipt, err)
		}
		account.told(t, account.ended(t, receipt, list), list, nil)
	}
	account.holds(t, append(list, skills("x", "y")...))
}

// jobFaults lets every request of a job meet every fault, and the process be killed at each; whoever goes on does it as the
// engine does. No skill is sent twice, and all is well in the end.
func jobFaults(t *testing.T, h Harness) {
	if !h.HTTP {
		h.skip(t, "it does not speak HTTP")
	}
	requests, changes, is := 0, 0, false
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, h)
		if _, is = s.open(t).(connector.Jobs); !is {
			return
		}
		s.wire.set(nil)
		changes = s.drive(t, nil)
		requests = s.wire.count()
		s.holds(t, s.wanted)
	})
	if !is {
		h.skip(t, "it does not write by jobs")
	}
	for _, f := range faults() {
		t.Run(f.name, func(t *testing.T) {
			for at := 1; at <= requests; at++ {
				t.Run(fmt.Sprint("request ", at), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := newScene(t, h)
						n := s.drive(t, func(n int, _ bool) *fault {
							if n == at {
								return &f
							}
							return nil
						})
						s.holds(t, s.wanted)
						if n != changes {
							t.Errorf("%d requests changed something; %d do", n, changes)
						}
					})
				})
			}
		})
	}
}

// drive writes what is wanted by jobs, whatever happens, and returns how many requests that change something the tool has
// taken.
func (s *scene) drive(t *testing.T, faulty func(int, bool) *fault) int {
	t.Helper()
	s.wire.set(faulty)
	rest, before := s.wanted, s.byOrigin(t)
	receipt, lost := "", false
	session := s.reopen(t)
	began := time.Now()
	for turn := 0; len(rest) > 0; turn++ {
		if turn > 100 {
			t.Fatalf("it does not end: receipt %q, lost %v, left %+v", receipt, lost, rest)
		}
		ctx, cancel := context.WithTimeout(s.wire.watched(t.Context()), time.Minute)
		dies := s.wire.died
		var err error
		switch {
		case lost:
			receipt, err = session.Recover(ctx, rest, time.Since(began)+100*time.Millisecond)
			if !dies() && err == nil {
				if lost = false; receipt == "" {
					for i := range rest {
						rest[i].Unsure = true
					}
				}
			}
		case receipt != "":
			var state connector.JobState
			if state, err = session.Poll(ctx, receipt, rest); !dies() && err == nil && state.Ended {
				receipt = ""
				rest = s.told(t, state, rest, before)
				before = s.byOrigin(t)
			}
		default:
			began = time.Now()
			var started connector.Started
			started, err = session.Start(ctx, rest)
			switch e := connector.AsError(err); {
			case dies():
				lost, receipt = true, ""
			case e == nil && started.Receipt != "":
				receipt = started.Receipt
			case e == nil:
				t.Fatalf("Start = %+v", started)
			case e.Kind == connector.Ambiguous:
				lost = true
			case e.Kind == connector.Refused || e.Kind == connector.Unsupported:
				t.Fatalf("the tool has not refused the job, but Start = %v", e)
			}
		}
		if e := connector.AsError(err); e != nil && !dies() {
			s.tellsNoSecret(t, e)
		}
		cancel()
		if dies() {
			s.wire.revive()
			session = s.reopen(t)
		}
		time.Sleep(patience)
	}
	s.wire.mu.Lock()
	defer s.wire.mu.Unlock()
	return s.wire.taken
}
