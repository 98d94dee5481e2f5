package engine_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// One integration with a long line of large tasks for a slow tool does not slow others down: small tasks of 50 integrations
// take at most twice as long beside it, at the 99th percentile, as without it. In the bubble's time only waits count: for
// a place, for the tool, for a wake-up that did not come.
func TestFairBesideALongLine(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		others := make([]store.Integration, 50)
		for i := range others {
			others[i] = f.integration(`{"latency":"20ms"}`)
		}
		alone := f.small(others, "alone")

		busy := f.integration(`{"latency":"2s","batch_limit":100}`)
		line := make([]string, 90)
		for i := range line {
			items := many(1000)
			for n := range items {
				items[n].Name = fmt.Sprintf("%s of upload %d", items[n].Name, i)
			}
			line[i] = f.submit(busy, items...)
		}
		beside := f.small(others, "beside")

		a, b := percentile(alone, 99), percentile(beside, 99)
		t.Logf("alone p50 %v, p99 %v; beside the long line p50 %v, p99 %v", percentile(alone, 50), a, percentile(beside, 50), b)
		if a < 20*time.Millisecond || b > 2*a {
			t.Errorf("p99 is %v beside the long line, and %v alone", b, a)
		}
		// The line moved on meanwhile, and is not over.
		if first, last := f.view(busy, line[0]), f.view(busy, line[89]); first.Status != skill.Completed || last.Status != skill.Pending {
			t.Errorf("the first task of the line is %s, the last %s: this test shows nothing", first.Status, last.Status)
		}
	})
}

// small submits a small task to each integration every 5 s, one integration after the other, and returns how long each
// took from its submission to COMPLETED.
func (f *fixture) small(others []store.Integration, round string) []time.Duration {
	f.t.Helper()
	const rounds, every = 5, 5 * time.Second
	var tasks [rounds][]string
	for n := range tasks {
		for _, in := range others {
			name := fmt.Sprint(round, " ", n)
			tasks[n] = append(tasks[n], f.submit(in, active(name, name+" too")...))
			wait(every / time.Duration(len(others)))
		}
	}
	var took []time.Duration
	for n := range tasks {
		for i, in := range others {
			r := f.ended(in, tasks[n][i])
			r.want(f.t, "COMPLETED", ok, ok)
			took = append(took, r.Took)
		}
	}
	return took
}

// percentile is the smallest value that p in a hundred are no larger than.
func percentile(values []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[(len(sorted)*p+99)/100-1]
}
