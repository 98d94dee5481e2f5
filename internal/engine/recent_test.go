package engine

import (
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
