package engine_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// written counts what a process wrote into the tool.
type written struct {
	mu   sync.Mutex
	rows []sandbox.Row
}

func (w *written) note(rows []sandbox.Row) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rows = append(w.rows, rows...)
}

func (w *written) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.rows)
}

// pausable starts an engine whose process can be suspended.
func (f *fixture) pausable(set engine.Settings) (*mortal, *written) {
	m, w := &mortal{}, &written{}
	around, tools := f.around, f.tools
	f.around = func(s engineStore) engineStore {
		if around != nil {
			s = around(s)
		}
		m.Store = s
		return m
	}
	f.tools = []connector.Connector{sandbox.New(&reach{f.store.Sandbox(), m, w.note})}
	f.start(set)
	f.around, f.tools = around, tools
	return m, w
}

// count sums a counter.
func count(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A process is suspended while a call of its own is under way. Meanwhile another one finishes the task, and writes newer
// values with the next. Then the first one wakes up.
func TestPausedProcess(t *testing.T) {
	for name, test := range map[string]struct {
		settings string
		at       func(*mortal) // how its suspension begins
		after    time.Duration
		late     bool // its request reaches the tool
	}{
		"before the request is built":          {`{"latency":"4s","unique_names":true}`, (*mortal).suspend, time.Second, false},
		"with the request built":               {`{"unique_names":true}`, func(m *mortal) { m.asks.close() }, 0, false},
		"between the last check and the bytes": {`{}`, func(m *mortal) { m.writes.close() }, 0, true},
		"with an answer on its way":            {`{"latency":"4s"}`, (*mortal).suspend, 3 * time.Second, false},
		"with calls side by side":              {`{"batch_limit":1,"concurrency":3}`, func(m *mortal) { m.writes.close() }, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			set := settings()
			set.Sweep = time.Second
			run(t, nil, func(t *testing.T, f *fixture) {
				counted := prometheus.NewRegistry()
				f.metrics = metrics.New(counted)
				first, its := f.pausable(set)
				stop := f.stop
				defer stop()
				in := f.integration(test.settings)
				if test.after == 0 {
					test.at(first)
				}
				older := f.submit(in, active("a", "b", "c")...)
				wait(max(test.after, time.Millisecond))
				first.suspend()
				before := its.count()
				f.start(set)
				defer f.stop()
				f.ended(in, older).want(t, "COMPLETED", ok, ok, ok)
				newer := active("a", "b", "c")
				for i := range newer {
					newer[i].Name += ", newer"
				}
				newer[2].Status = skill.Inactive
				f.ended(in, f.submit(in, newer...)).want(t, "COMPLETED", ok, ok, ok)
				f.holds(in, newer)

				first.writes.open()
				first.asks.open()
				synctest.Wait()
				if late := its.count() - before; (late > 0) != test.late {
					t.Errorf("%d skills came late", late)
				}
				if test.late && f.tool(in)["id-a"].Name != "a" {
					t.Error("the tool holds the newer value all the same: this test shows nothing")
				}
				first.resume()
				wait(20 * time.Second)
				f.holds(in, newer)
				if n := count(t, counted, "crosswalk_leases_stolen_total"); n != 1 {
					t.Errorf("%v leases are counted as stolen", n)
				}
				doubted, rewritten := count(t, counted, "crosswalk_skills_doubted_total"), count(t, counted, "crosswalk_skills_rewritten_total")
				if test.late && doubted != 3 || doubted != rewritten {
					t.Errorf("%v skills were doubted and %v written again", doubted, rewritten)
				}
				if n := count(t, counted, "crosswalk_tasks_ended_total"); n != 2 {
					t.Errorf("%v tasks are counted", n)
				}
				// The catalogue is sure of it again: nothing is sent for the same.
				writes := f.writes(in)
				f.ended(in, f.submit(in, newer...)).want(t, "COMPLETED", ok, ok, ok)
				if n := f.writes(in); n != writes {
					t.Errorf("%d writes for what the tool holds", n-writes)
				}
			})
		})
	}
}

// It wakes up and cannot reach the database. It says what it has done once it can, or tells its operator when it is to stop
// before.
func TestPausedProcessWithoutDatabase(t *testing.T) {
	set := settings()
	set.Sweep = time.Second
	late := func(f *fixture) (in store.Integration, newer []skill.Item, r *remote, stop func()) {
		r = &remote{}
		f.around = func(s engineStore) engineStore {
			r.Store = s
			return r
		}
		first, _ := f.pausable(set)
		f.around, f.log, stop = nil, nil, f.stop
		in = f.integration(`{"latency":"1s"}`)
		first.writes.close()
		older := f.submit(in, active("a", "b")...)
		wait(time.Second)
		first.suspend()
		f.start(set)
		f.ended(in, older).want(f.t, "COMPLETED", ok, ok)
		newer = active("a", "b")
		newer[0].Status, newer[1].Name = skill.Inactive, "b, newer"
		f.ended(in, f.submit(in, newer...)).want(f.t, "COMPLETED", ok, ok)
		r.set(refusing)
		first.resume()
		return in, newer, r, stop
	}
	t.Run("for a while", func(t *testing.T) {
		run(t, nil, func(_ *testing.T, f *fixture) {
			in, newer, r, stop := late(f)
			defer stop()
			wait(10 * time.Minute)
			f.holds(in, active("a", "b"))
			r.set(halfOpen)
			wait(10 * time.Minute)
			r.set(nil)
			wait(10 * time.Second)
			f.holds(in, newer)
		})
	})
	t.Run("until it stops", func(t *testing.T) {
		run(t, nil, func(t *testing.T, f *fixture) {
			var log bytes.Buffer
			f.log = &log
			in, _, _, stop := late(f)
			wait(time.Minute)
			began := time.Now()
			stop()
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("it took %v to stop", took)
			}
			for _, want := range []string{"level=ERROR", "could not be marked", "integration=" + in.ID, "skills=2"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log does not say %q:\n%s", want, &log)
				}
			}
		})
	})
}
