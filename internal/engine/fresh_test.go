package engine_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// spied counts what reaches a store, and may hold up the answer to a step that gives a lease back.
type spied struct {
	engine.Store
	claims, polls, beats atomic.Int64
	slow                 time.Duration
}

func (w *spied) Claim(ctx context.Context, c store.Claim) (store.Lease, store.Next, error) {
	w.claims.Add(1)
	return w.Store.Claim(ctx, c)
}

func (w *spied) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	w.polls.Add(1)
	return w.Store.Task(ctx, environmentID, integrationID, taskID)
}

func (w *spied) Extend(ctx context.Context, owner string, held []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	w.beats.Add(1)
	return w.Store.Extend(ctx, owner, held, ttl)
}

func (w *spied) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	next, err := w.Store.Advance(ctx, lease, step)
	if w.slow > 0 && err == nil && step.Then == store.Proceed {
		select {
		case <-time.After(w.slow):
		case <-ctx.Done():
			return store.Next{}, ctx.Err()
		}
	}
	return next, err
}

// A small task for an integration that rests needs no claim, and no poll of it reaches the store: neither until something is
// known of it, nor right after its end.
func TestFreshTask(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		answer := make(chan struct{})
		f.tools = []connector.Connector{odd{func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
			<-answer
			var results []connector.Result
			for _, s := range skills {
				results = append(results, connector.Result{OriginID: s.OriginID, RemoteID: "r-" + s.OriginID})
			}
			return results, nil
		}}}
		w := &spied{}
		f.around = func(s engine.Store) engine.Store {
			w.Store = s
			return w
		}
		f.start(settings())
		in, other := f.integrationWith("odd", "{}"), f.integrationWith("odd", "{}")
		task := f.submit(in, active("a", "b")...)
		synctest.Wait() // the call is under way
		view, err := f.engine.Task(t.Context(), f.env, in.ID, task)
		if err != nil || view.ID != task || view.Status != skill.Pending || view.Items != 2 || view.Done != 0 || w.polls.Load() != 0 {
			t.Errorf("while the tool works: %+v, %v, the store was asked %d times", view, err, w.polls.Load())
		}
		if stored := f.view(in, task); !stored.CreatedAt.Equal(view.CreatedAt) || stored.Items != view.Items || stored.Status != view.Status {
			t.Errorf("told %+v, stored %+v", view, stored)
		}
		for name, who := range map[string][2]string{"another integration": {f.env, other.ID}, "another environment": {"else", in.ID}} {
			if _, err := f.engine.Task(t.Context(), who[0], who[1], task); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("asked by %s: %v", name, err)
			}
		}
		asked := w.polls.Load()
		close(answer)
		f.ended(in, task).want(t, "COMPLETED", ok, ok)
		for _, more := range []struct {
			wait  time.Duration
			asked int64
		}{{0, 0}, {6 * time.Second, 1}} {
			<-time.After(more.wait)
			view, err := f.engine.Task(t.Context(), f.env, in.ID, task)
			if diff := cmp.Diff(f.view(in, task), view); err != nil || diff != "" || w.polls.Load() != asked+more.asked {
				t.Errorf("%v after its end: %v, the store was asked %d times (-stored +told):\n%s", more.wait, err, w.polls.Load()-asked, diff)
			}
		}
		if n := w.claims.Load(); n != 0 {
			t.Errorf("%d claims for a task that came with its lease", n)
		}
	})
}

// The heartbeat may find a lease given back before the drain that gives it back has heard that it could. That is no loss, and
// nothing is written twice for it.
func TestHeartbeatWhileALeaseIsGivenBack(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		var log bytes.Buffer
		f.log = &log
		calls := 0
		f.tools = []connector.Connector{odd{func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
			calls++
			return []connector.Result{{OriginID: skills[0].OriginID, RemoteID: "1"}}, nil
		}}}
		w := &spied{slow: 2500 * time.Millisecond}
		f.around = func(s engine.Store) engine.Store {
			w.Store = s
			return w
		}
		f.start(settings())
		in := f.integrationWith("odd", "{}")
		f.ended(in, f.submit(in, active("a")...)).want(t, "COMPLETED", ok)
		<-time.After(time.Minute) // a doubt would have been dealt with
		f.stop()
		if w.beats.Load() == 0 {
			t.Fatal("no heartbeat: this test shows nothing")
		}
		if log.Len() > 0 || calls != 1 {
			t.Errorf("%d calls, and the log says:\n%s", calls, log.String())
		}
	})
}

// panicking panics instead of its first answer to a submission.
type panicking struct {
	engine.Store
	failed bool
}

func (p *panicking) Submit(ctx context.Context, s store.Submission) (store.Accepted, error) {
	if !p.failed {
		p.failed = true
		panic("on purpose")
	}
	return p.Store.Submit(ctx, s)
}

// A submission that panics, which its caller deals with, costs no place to drain in.
func TestSubmissionThatPanicsKeepsNoPlace(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		f.around = func(s engine.Store) engine.Store { return &panicking{Store: deaf{s}} }
		set := settings()
		set.Drains = 1
		f.start(set)
		in := f.integration(`{}`)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("this test shows nothing")
				}
			}()
			f.submit(in, active("a")...)
		}()
		f.ended(in, f.submit(in, active("a")...)).want(t, "COMPLETED", ok)
	})
}
