package engine_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const day = 24 * time.Hour

// hourly is a store whose job queue does nothing but ask for retention.
type hourly struct {
	engine.Store
	errs chan error
}

func (h *hourly) Work(ctx context.Context, jobs store.Jobs) error {
	for {
		select {
		case <-time.After(jobs.RetainEvery):
			h.errs <- jobs.Retain(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// What ended long ago is removed, by any number of processes at once. What goes on is not, and ids are for ever.
func TestRetention(t *testing.T) {
	set := settings()
	// Few enough wake-ups for years to pass.
	set.Sweep, set.Heartbeat, set.LeaseTTL = day, day, 3*day
	set.KeepTasks, set.KeepTombstones, set.RetainEvery, set.TaskTimeout = 3*day, 3*day, 2*day, 20*day
	run(t, nil, func(t *testing.T, f *fixture) {
		errs := make(chan error, 100_000)
		f.around = func(s engineStore) engineStore { return &hourly{s, errs} }
		f.start(set)
		defer f.stop()
		f.start(set)
		in, off := f.integration(`{}`), f.integration(`{"outage":true}`)
		if _, err := f.store.CreateLink(t.Context(), store.Link{EnvironmentID: f.env, Purpose: store.Connect}, [32]byte{1}, time.Hour); err != nil {
			t.Fatal(err)
		}
		waiting := f.submit(off, active("x")...)
		f.enable(off, false)
		old := f.submit(in, active("a", "b")...)
		before := f.ended(in, old)
		wait(2 * day)
		f.view(in, old)
		wait(4*day + 12*time.Hour) // a day longer is allowed
		young := f.submit(in, active("c")...)
		f.ended(in, young)
		expired := func(taskID string) *store.ExpiredError {
			t.Helper()
			_, err := f.store.Task(t.Context(), f.env, in.ID, taskID)
			if !errors.Is(err, store.ErrNotFound) {
				t.Fatalf("an old task: %v", err)
			}
			e, _ := errors.AsType[*store.ExpiredError](err)
			return e
		}
		if e := expired(old); e == nil || time.Since(e.At) > 3*day || e.At.After(time.Now()) {
			t.Errorf("expired: %v", e)
		}
		f.view(in, young)
		if view := f.view(off, waiting); view.Status != skill.Pending {
			t.Errorf("a task that waits: %+v", view)
		}
		if after := f.ended(in, f.submit(in, active("a", "b")...)); cmp.Diff(before.Items, after.Items) != "" {
			t.Errorf("ids were %+v and are %+v", before.Items, after.Items)
		}
		if n := f.writes(in); n != 3 {
			t.Errorf("%d writes: the catalogue has forgotten", n)
		}
		wait(36 * day) // a month longer is allowed
		if e := expired(old); e != nil {
			t.Errorf("it is not forgotten: %v", e)
		}
		if n, err := f.store.ForgetLinks(t.Context(), 0, 10); n != 0 || err != nil {
			t.Errorf("%d links were left, %v", n, err)
		}
		for len(errs) > 0 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// removing is a store with so many old tasks that it takes a while.
type removing struct {
	hourly
	took time.Duration

	mu      sync.Mutex
	batches []int
	at      []time.Time
}

// begin notes the time of a call, and returns what it will remove.
func (r *removing) begin() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at = append(r.at, time.Now())
	if len(r.batches) == 0 {
		return 0
	}
	n := r.batches[0]
	r.batches = r.batches[1:]
	return n
}

func (r *removing) Expire(ctx context.Context, _ time.Duration, limit int) (int, error) {
	n := r.begin()
	if n == 0 {
		return 0, nil
	}
	select {
	case <-time.After(r.took):
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	return min(n, limit), nil
}

// Retention leaves the database to others in between, and ends with the engine.
func TestRetentionYields(t *testing.T) {
	set := settings()
	set.RetainEvery = time.Minute
	run(t, nil, func(t *testing.T, f *fixture) {
		r := &removing{batches: []int{500, 500, 7}, took: 2 * time.Second}
		r.errs = make(chan error, 10)
		f.around = func(s engineStore) engineStore {
			r.Store = s
			return r
		}
		f.start(set)
		began := time.Now()
		if err := <-r.errs; err != nil {
			t.Error(err)
		}
		var at []time.Duration
		r.mu.Lock()
		for _, moment := range r.at {
			at = append(at, moment.Sub(began))
		}
		r.mu.Unlock()
		want := []time.Duration{time.Minute, time.Minute + 4*time.Second, time.Minute + 8*time.Second, time.Minute + 12*time.Second}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("batches (-want +got):\n%s", diff)
		}
		r.mu.Lock()
		r.batches = slices.Repeat([]int{500}, 1000)
		r.mu.Unlock()
		wait(2 * time.Minute)
		began = time.Now()
		f.stop()
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v to stop", took)
		}
		if err := <-r.errs; !errors.Is(err, context.Canceled) {
			t.Errorf("a round that was cut: %v", err)
		}
	})
}
