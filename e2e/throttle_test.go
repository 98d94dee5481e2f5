package e2e

import (
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
)

// A tool that throttles is left alone for as long as it asked, by every replica: by those that are sent more for the same
// integration, by one that starts, and by the successors of the one that was refused.
func TestRetryAfterHoldsForTheIntegration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.start()
	const limit, window = 3, 12 * time.Second
	c := f.replicas[0].client("rate_limit=3", "rate_window=12s", "batch_limit=1")
	submit := func(s *site, list []client.Item) string {
		accepted, err := s.to(c).UpsertSkills(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		return accepted.TaskID
	}
	// One call too many: it is refused, for about the whole window.
	list := items(limit+3, "")
	tasks := []string{submit(f.replicas[0], list[:limit+1])}
	eventually(t, 5*time.Second, "the tool throttles", func() bool { return f.throttled() == 1 })
	refused := time.Now()
	// A process that is killed before that is on disk takes it with it.
	eventually(t, 5*time.Second, "that is written down", func() bool {
		return query[bool](f, "SELECT EXISTS (SELECT 1 FROM drains WHERE resume_at > now())")
	})
	// Whatever happens now makes no call.
	tasks = append(tasks, submit(f.replicas[1], list[limit+1:limit+2]))
	f.replicas[0].kill()
	tasks = append(tasks, submit(f.replicas[2], list[limit+2:]))
	f.replicas[1].terminate()
	f.replicas[0].start()
	f.replicas[1].start()
	f.replicas[2].kill()
	f.replicas[2].start()
	for _, id := range tasks {
		completed(t, c, id)
	}
	took := time.Since(refused)
	t.Logf("refused for %v: the rest was written %v later, and the tool was called too early %d times", window, took.Round(time.Millisecond), f.throttled()-1)
	if n := f.throttled(); n != 1 {
		t.Errorf("the tool refused %d calls; want the first alone", n)
	}
	if took > window+5*time.Second {
		t.Errorf("the rest was done after %v", took)
	}
	writtenOnce(t, f.replicas[0], c, len(list))
	f.terminate()
}

// The rate that a tool declares is kept by all replicas together: the tool never has to refuse a call, however often the
// work moves.
func TestDeclaredRateHoldsForTheIntegration(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.start()
	// Longer than others need to find work that was given back.
	const window = 1800 * time.Millisecond
	c := f.replicas[0].client("rate_limit=1", "rate_window=1800ms", "declare_rate=true", "batch_limit=1")
	const size = 8
	accepted, err := c.UpsertSkills(t.Context(), items(size, ""))
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for n := 1; n < size; n++ {
		eventually(t, 20*time.Second, "the next call", func() bool { return len(f.replicas[0].tool(c.IntegrationID)) >= n })
		holder := f.holder(c.IntegrationID)
		if holder == nil {
			continue // it has just moved
		}
		if n == size/2 {
			holder.kill()
		} else {
			holder.terminate()
		}
		holder.start()
	}
	completed(t, c, accepted.TaskID)
	took := time.Since(began)
	t.Logf("%d calls, one every %v at most, moved to another replica after each: %v in all, %d refused", size, window, took.Round(time.Millisecond), f.throttled())
	if n := f.throttled(); n != 0 {
		t.Errorf("the tool refused %d calls", n)
	}
	if took < (size-1)*window {
		t.Errorf("%d calls took %v alone", size, took)
	}
	f.terminate()
}
