package engine_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const calledOff = string(skill.CodeTaskCancelled)

func (f *fixture) cancel(taskID string) store.Cancelled {
	f.t.Helper()
	c, err := f.engine.Cancel(f.t.Context(), f.env, taskID)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// A task that waits ends at once, and nothing of it reaches the tool. Those before and behind it are not touched.
func TestCancelWhatWaits(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"10s"}`)
		before, task, behind := f.submit(in, active("a")...), f.submit(in, active("b", "c")...), f.submit(in, active("d")...)
		synctest.Wait()
		if c := f.cancel(task); !c.Ended {
			t.Errorf("cancelled = %+v", c)
		}
		r := parse(t, f.view(in, task))
		r.wantFailed(t, skill.CodeTaskCancelled)
		f.ended(in, before).want(t, "COMPLETED", ok)
		f.ended(in, behind).want(t, "COMPLETED", ok)
		f.holds(in, active("a", "d"))
		if _, err := f.engine.Cancel(t.Context(), f.env, task); !errors.Is(err, store.ErrTaskEnded) {
			t.Errorf("cancelled twice: %v", err)
		}
	})
}

// A task under way ends at its next step: what was written stays so, the call under way is waited for, the rest is not sent.
// It does not matter whether the process that is asked drains it, or another one.
func TestCancelWhatGoesOn(t *testing.T) {
	for _, elsewhere := range []bool{false, true} {
		t.Run(fmt.Sprint("elsewhere: ", elsewhere), func(t *testing.T) {
			set := settings()
			run(t, &set, func(t *testing.T, f *fixture) {
				in := f.integration(`{"latency":"10s","batch_limit":2}`)
				task, behind := f.submit(in, many(9)...), f.submit(in, active("behind")...)
				wait(15 * time.Second) // within the second call
				if elsewhere {
					if _, err := engine.Cancel(t.Context(), f.store, f.env, task); err != nil {
						t.Fatal(err)
					}
				} else if c := f.cancel(task); c.Ended {
					t.Errorf("cancelled = %+v", c)
				}
				r := f.ended(in, task)
				r.want(t, "COMPLETED", ok, ok, ok, ok, calledOff, calledOff, calledOff, calledOff, calledOff)
				if r.Took > 21*time.Second || r.Items[8].Text != "The task was cancelled." {
					t.Errorf("it took %v and says %+v", r.Took, r.Items[8])
				}
				f.ended(in, behind).want(t, "COMPLETED", ok)
				f.holds(in, append(many(4), active("behind")...))
				if n := f.writes(in); n != 5 {
					t.Errorf("%d writes", n)
				}
			})
		})
	}
}

// Whatever a task waits for, it does not wait for it any more.
func TestCancelDuringAWait(t *testing.T) {
	for name, prepare := range map[string]func(f *fixture, in store.Integration){
		"the tool throttles": func(f *fixture, in store.Integration) {
			f.change(in, `{"rate_limit":1,"rate_window":"50m","batch_limit":1}`)
		},
		"the tool is away": func(f *fixture, in store.Integration) { f.change(in, `{"outage":true}`) },
		"switched off":     func(f *fixture, in store.Integration) { f.enable(in, false) },
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			set.Attempts = 100
			run(t, &set, func(t *testing.T, f *fixture) {
				in := f.integration(`{"latency":"1s","batch_limit":1,"concurrency":1}`)
				task := f.submit(in, many(6)...)
				wait(1500 * time.Millisecond) // the first call was answered
				prepare(f, in)
				wait(5 * time.Minute)
				if view := f.view(in, task); view.Status != skill.Pending || view.Done == 6 {
					t.Fatalf("it does not wait: %+v", view)
				}
				at := time.Now()
				f.cancel(task)
				r := f.ended(in, task)
				if took := time.Since(at); took > 15*time.Second {
					t.Errorf("it took %v to end", took)
				}
				if r.Status != "COMPLETED" || r.Items[0].Code != "" || r.Items[5].Code != calledOff {
					t.Errorf("result = %+v", r)
				}
			})
		})
	}
}

// Nobody knows what became of a call when its task is cancelled: it is told from what was not attempted, and not skipped later.
func TestCancelLeavesDoubt(t *testing.T) {
	set := settings()
	set.Attempts = 100
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"lose_answers":1,"batch_limit":2}`)
		f.enable(in, false)
		f.enable(in, true)
		task := f.submit(in, many(4)...)
		synctest.Wait() // the answer is lost, and the drain waits before it asks again
		f.change(in, `{"outage":true}`)
		f.cancel(task)
		r := f.ended(in, task)
		if r.Status != "COMPLETED" {
			t.Fatalf("result = %+v", r)
		}
		f.change(in, `{}`)
		f.ended(in, f.submit(in, many(4)...)).want(t, "COMPLETED", ok, ok, ok, ok)
		f.holds(in, many(4))
	})
}

// The process that drained a cancelled task dies: another one ends it.
func TestCancelAndDie(t *testing.T) {
	set := settings()
	run(t, nil, func(t *testing.T, f *fixture) {
		m := &mortal{}
		f.around = func(s engine.Store) engine.Store {
			m.Store = s
			return m
		}
		f.start(set)
		in := f.integration(`{"latency":"10s","batch_limit":2}`)
		task := f.submit(in, many(6)...)
		wait(15 * time.Second)
		m.dead.Store(true)
		first := f.stop
		if _, err := engine.Cancel(t.Context(), f.store, f.env, task); err != nil {
			t.Fatal(err)
		}
		f.around = nil
		f.start(set)
		r := f.ended(in, task)
		r.want(t, "COMPLETED", ok, ok, calledOff, calledOff, calledOff, calledOff)
		if r.Items[2].Text != "The task was cancelled. It may have reached the tool all the same." || r.Items[4].Text != "The task was cancelled." {
			t.Errorf("items = %+v", r.Items)
		}
		f.ended(in, f.submit(in, many(6)...)).want(t, "COMPLETED", ok, ok, ok, ok, ok, ok)
		f.holds(in, many(6))
		first()
	})
}

// A tool's job that is under way when its task is cancelled is nobody's any more: what it may have written is in doubt.
func TestCancelAJob(t *testing.T) {
	set := jobSettings()
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := newJobTool(f)
		f.tools = []connector.Connector{tool.as(nil)}
		f.start(set)
		in := f.integration(`{"batch_limit":2}`)
		tool.takes = time.Minute
		task := f.submit(in, many(4)...)
		wait(5 * time.Second)
		f.cancel(task)
		r := f.ended(in, task)
		if r.Status != "COMPLETED" || r.Items[0].Code != calledOff || r.Items[3].Code != calledOff {
			t.Errorf("result = %+v", r)
		}
		wait(2 * time.Minute) // it has ended by itself
		f.ended(in, f.submit(in, many(4)...)).want(t, "COMPLETED", ok, ok, ok, ok)
		f.holds(in, many(4))
	})
}

// A passive process cancels, and others see to it.
func TestCancelByAPassiveProcess(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"10s","batch_limit":1}`)
		task := f.submit(in, many(3)...)
		synctest.Wait()
		api := engine.New(engine.Config{Store: deaf{f.store}, Settings: engine.Settings{Passive: true}})
		if _, err := api.Cancel(context.Background(), f.env, task); err != nil {
			t.Fatal(err)
		}
		f.ended(in, task).want(t, "COMPLETED", ok, calledOff, calledOff)
	})
}
