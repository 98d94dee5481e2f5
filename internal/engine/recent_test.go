package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// What is kept of ended tasks is bounded in bytes and in time, and never what a client may not see.
func TestRecentIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &recent{tasks: map[string]recentTask{}}
		view := func(n, bytes int) store.TaskView {
			return store.TaskView{Task: skill.Task{ID: fmt.Sprint("task_", n)}, Status: skill.Completed, Document: []byte(strings.Repeat("x", bytes))}
		}
		const each, all = 2000, 5000
		for n := range all {
			r.end("env", "in", view(n, each))
		}
		if most := recentBytes / each; r.bytes > recentBytes || len(r.tasks) > most || len(r.tasks) != len(r.ended) || len(r.tasks) < most*8/10 {
			t.Errorf("%d tasks are kept, of %d bytes", len(r.tasks), r.bytes)
		}
		last := view(all-1, 0).ID
		if _, ok := r.find("env", "in", last); !ok {
			t.Error("the last is not kept")
		}
		for _, who := range [][2]string{{"else", "in"}, {"env", "else"}} {
			if _, ok := r.find(who[0], who[1], last); ok {
				t.Errorf("%v was told", who)
			}
		}
		r.end("env", "in", view(all, recentAnswer+1))
		if _, ok := r.find("env", "in", view(all, 0).ID); ok {
			t.Error("a large answer is kept")
		}
		r.began("env", "in", store.TaskView{Task: skill.Task{ID: "fresh"}})
		<-time.After(recentTime)
		if _, ok := r.find("env", "in", last); ok || r.bytes != 0 || len(r.tasks) != 1 {
			t.Errorf("after a while %d tasks are kept, of %d bytes", len(r.tasks), r.bytes)
		}
		r.stale("fresh")
		if len(r.tasks) != 0 {
			t.Error("a task is kept that may have changed")
		}
	})
}

// stored is a store that says of each task that it has done one item.
type stored struct {
	Store
	asked int
}

func (s *stored) Task(context.Context, string, string, string) (store.TaskView, error) {
	s.asked++
	return store.TaskView{Done: 1}, nil
}

// Whoever asks for a task that has just begun is answered when it has ended, or it turns out to take longer: then at once from
// memory, as long as the database could not tell more.
func TestRecentIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		happens    func(r *recent, end func()) // after 10 ms
		took       time.Duration
		done       int
		fromMemory bool
	}{
		"it ends":                         {func(_ *recent, end func()) { end() }, 10 * time.Millisecond, 2, true},
		"its last step takes a while":     {func(r *recent, end func()) { r.ends("task_1"); time.AfterFunc(20*time.Millisecond, end) }, 30 * time.Millisecond, 2, true},
		"its last step takes longer":      {func(r *recent, _ func()) { r.ends("task_1") }, recentWait, 1, false},
		"it has written something down":   {func(r *recent, _ func()) { r.stale("task_1") }, 10 * time.Millisecond, 1, false},
		"it takes longer":                 {func(*recent, func()) {}, recentWait, 0, true},
		"its answer is too large to keep": {func(r *recent, _ func()) { r.end("env", "in", large("task_1")) }, 10 * time.Millisecond, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &stored{}
				e := &Engine{store: s, recent: &recent{tasks: map[string]recentTask{}}}
				e.recent.began("env", "in", store.TaskView{Task: skill.Task{ID: "task_1"}})
				time.AfterFunc(10*time.Millisecond, func() {
					test.happens(e.recent, func() { e.recent.end("env", "in", store.TaskView{Task: skill.Task{ID: "task_1"}, Done: 2}) })
				})
				began := time.Now()
				for range 3 { // once in all, however often it is asked for
					view, err := e.Task(t.Context(), "env", "in", "task_1")
					if took := time.Since(began); err != nil || view.Done != test.done || took != test.took {
						t.Errorf("told %d, %v, after %v; want %d after %v", view.Done, err, took, test.done, test.took)
					}
				}
				if (s.asked == 0) != test.fromMemory {
					t.Errorf("the database was asked %d times", s.asked)
				}
			})
		})
	}
	t.Run("the caller gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := &Engine{store: &stored{}, recent: &recent{tasks: map[string]recentTask{}}}
			e.recent.began("env", "in", store.TaskView{Task: skill.Task{ID: "task_1"}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			began := time.Now()
			if view, err := e.Task(ctx, "env", "in", "task_1"); err != nil || view.ID != "task_1" || time.Since(began) != time.Millisecond {
				t.Errorf("told %+v, %v, after %v", view, err, time.Since(began))
			}
		})
	})
}

func large(id string) store.TaskView {
	return store.TaskView{Task: skill.Task{ID: id}, Document: make([]byte, recentAnswer+1)}
}
