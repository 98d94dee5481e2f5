package engine_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestUpsert(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"batch_limit":7}`)
		items := many(100)
		items[3].Status = skill.Inactive
		first := f.ended(in, f.submit(in, items...))
		first.want(t, "COMPLETED", make([]string, 100)...)
		for i, it := range first.Items {
			if it.OriginID != items[i].OriginID {
				t.Fatalf("entry %d is %s, want %s", i, it.OriginID, items[i].OriginID)
			}
		}
		f.holds(in, items)
		if n := f.writes(in); n != 100 {
			t.Errorf("%d writes, want 100", n)
		}

		// The same again: no call, the same ids.
		second := f.ended(in, f.submit(in, items...))
		if diff := cmp.Diff(first.Items, second.Items); diff != "" {
			t.Errorf("the second time (-first +second):\n%s", diff)
		}
		if n := f.writes(in); n != 100 {
			t.Errorf("unchanged skills were written: %d writes", n)
		}

		// One in ten changed, in another order, with new ones: only those are written, and calls are full.
		var changed []skill.Item
		for i := len(items) - 1; i >= 0; i-- {
			if i%10 == 0 {
				items[i].Name += " II"
			}
			changed = append(changed, items[i])
		}
		changed = append(changed, active("new")...)
		task := f.submit(in, changed...)
		third := f.ended(in, task)
		third.want(t, "COMPLETED", make([]string, 101)...)
		if view := f.view(in, task); view.Counts != (skill.Counts{Written: 11, Unchanged: 90}) {
			t.Errorf("counts %+v", view.Counts)
		}
		f.holds(in, changed)
		for i, it := range third.Items[:100] {
			if want := first.Items[99-i]; it != want {
				t.Errorf("entry %d = %+v, want %+v", i, it, want)
			}
		}
	})
}

// Tasks of one integration run in the order they were accepted, so the last value of each skill wins.
func TestLastWriteWins(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"batch_limit":3,"latency":"10ms"}`)
		var tasks []string
		last := map[string]skill.Item{}
		for round := range 12 {
			var items []skill.Item
			for i := range 10 {
				if (round+i)%3 == 0 {
					continue
				}
				it := skill.Item{OriginID: fmt.Sprint("skill-", i), Name: fmt.Sprintf("%d of round %d", i, round), Status: skill.Active}
				items = append(items, it)
				last[it.OriginID] = it
			}
			tasks = append(tasks, f.submit(in, items...))
		}
		ids := map[string]string{}
		for _, task := range tasks {
			r := f.ended(in, task)
			r.want(t, "COMPLETED", make([]string, len(r.Items))...)
			for _, it := range r.Items {
				if before, known := ids[it.OriginID]; known && before != it.ID {
					t.Errorf("%s had the id %s and has %s", it.OriginID, before, it.ID)
				}
				ids[it.OriginID] = it.ID
			}
		}
		var want []skill.Item
		for _, it := range last {
			want = append(want, it)
		}
		f.holds(in, want)
	})
}

// A slow tool holds nobody else up, and two integrations know nothing of each other's skills.
func TestIntegrationsSideBySide(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		slow, quick := f.integration(`{"latency":"40s"}`), f.integration(`{}`)
		behind := f.submit(slow, active("a", "b")...)
		ahead := f.submit(quick, active("a")...)
		if r := f.ended(quick, ahead); r.Took > time.Second {
			t.Errorf("the quick one took %v", r.Took)
		}
		if view := f.view(slow, behind); view.Status != skill.Pending {
			t.Errorf("the slow one is %s", view.Status)
		}
		if r := f.ended(slow, behind); r.Took < 40*time.Second {
			t.Errorf("the slow one took %v", r.Took)
		}
		f.holds(quick, active("a"))
		f.holds(slow, active("a", "b"))
	})
}

// With fewer places than integrations, each has its turn: one with a long queue yields.
func TestPlacesAreShared(t *testing.T) {
	set := settings()
	set.Drains, set.Slice = 1, 5*time.Second
	run(t, &set, func(t *testing.T, f *fixture) {
		busy, other := f.integration(`{"latency":"1s","batch_limit":1}`), f.integration(`{}`)
		var queue []string
		for i := range 10 {
			queue = append(queue, f.submit(busy, many(10)[i:]...))
		}
		if r := f.ended(other, f.submit(other, active("a")...)); r.Took > 7*time.Second {
			t.Errorf("the other one waited %v for its turn", r.Took)
		}
		if f.view(busy, queue[9]).Status != skill.Pending {
			t.Error("the busy one was done all the same: this test shows nothing")
		}
		for _, task := range queue {
			f.ended(busy, task).want(t, "COMPLETED")
		}
	})
}

// Chunks run side by side up to what the tool takes; results stay in order.
func TestChunksSideBySide(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integration(`{"latency":"1s","batch_limit":5,"concurrency":4}`)
		items := many(100)
		r := f.ended(in, f.submit(in, items...))
		r.want(t, "COMPLETED", make([]string, 100)...)
		for i, it := range r.Items {
			if it.OriginID != items[i].OriginID {
				t.Fatalf("entry %d is %s", i, it.OriginID)
			}
		}
		if r.Took > 6*time.Second {
			t.Errorf("20 calls of a second, four at once, took %v", r.Took)
		}
		f.holds(in, items)
	})
}

func TestUnknownToolFailsTheTask(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		in := f.integrationWith("atlantis", `{}`)
		f.ended(in, f.submit(in, active("a")...)).wantFailed(t, skill.CodeSetupIncomplete)
	})
}

// Work that was accepted while no engine ran is found by the sweep of the next one.
func TestWorkIsFoundAtStart(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		in := f.integration(`{}`)
		set := settings()
		f.engine = engine.New(engine.Config{Store: f.store, Settings: engine.Settings{Passive: true}})
		task := f.submit(in, active("a")...)
		f.start(set)
		if r := f.ended(in, task); r.Took > set.Sweep {
			t.Errorf("it took %v", r.Took)
		}
	})
}

// noted is a store that notes whether others were asked to drain what is submitted.
type noted struct {
	engine.Store
	elsewhere []bool
}

func (n *noted) Submit(ctx context.Context, s store.Submission) (store.Accepted, error) {
	n.elsewhere = append(n.elsewhere, s.Elsewhere)
	return n.Store.Submit(ctx, s)
}

// A passive engine accepts and leaves everything to others; one that drains calls them when its places are taken.
func TestOthersAreCalled(t *testing.T) {
	set := settings()
	set.Drains = 1
	run(t, nil, func(t *testing.T, f *fixture) {
		var n *noted
		f.around = func(s engineStore) engineStore {
			n = &noted{Store: s}
			return n
		}
		slow, other := f.integration(`{"latency":"1m"}`), f.integration(`{}`)
		passive := set
		passive.Passive = true
		f.start(passive)
		task := f.submit(slow, active("a")...)
		wait(10 * time.Minute)
		if view := f.view(slow, task); view.Status != skill.Pending || view.Done != 0 {
			t.Errorf("a passive engine has drained: %+v", view)
		}
		f.stop()
		if diff := cmp.Diff([]bool{true}, n.elsewhere); diff != "" {
			t.Errorf("the passive engine's calls (-want +got):\n%s", diff)
		}

		f.start(set)
		f.ended(slow, task).want(t, "COMPLETED", ok)
		task = f.submit(slow, active("b")...)
		wait(time.Second)
		waiting := f.submit(other, active("a")...) // the only place is taken
		f.ended(slow, task).want(t, "COMPLETED", ok)
		f.ended(other, waiting).want(t, "COMPLETED", ok)
		f.ended(other, f.submit(other, active("b")...)).want(t, "COMPLETED", ok)
		if diff := cmp.Diff([]bool{false, true, false}, n.elsewhere); diff != "" {
			t.Errorf("the draining engine's calls (-want +got):\n%s", diff)
		}
	})
}
