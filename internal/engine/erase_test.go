package engine_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// failing is a store of which EraseSome works a few times only.
type failing struct {
	engineStore
	left int
}

var errNoMore = errors.New("this process is dead")

func (f *failing) EraseSome(ctx context.Context, limit int) (store.Erasing, error) {
	if f.left--; f.left < 0 {
		return store.Erasing{}, errNoMore
	}
	return f.engineStore.EraseSome(ctx, limit)
}

// An environment that is erased while tasks of it are written is gone within minutes, though the first process that is at it
// does not come to an end. What was written stays in the tool, and nothing follows.
func TestErase(t *testing.T) {
	set := settings()
	run(t, nil, func(t *testing.T, f *fixture) {
		half := &failing{left: 3}
		f.around = func(s engine.Store) engine.Store {
			half.engineStore = s
			return half
		}
		f.start(set)
		doomed, err := f.store.CreateEnvironment(t.Context(), "doomed")
		if err != nil {
			t.Fatal(err)
		}
		own := f.env
		f.env = doomed.ID
		in, other := f.integration(`{"latency":"10s","batch_limit":1}`), f.integration(`{}`)
		done := f.submit(other, many(5)...)
		f.ended(other, done)
		begun, waiting := f.submit(in, many(20)...), f.submit(in, many(3)...)
		f.env = own
		mine := f.integration(`{"latency":"10s"}`)
		kept := f.submit(mine, many(3)...)
		synctest.Wait()
		if err := f.store.EraseEnvironment(t.Context(), doomed.ID); err != nil {
			t.Fatal(err)
		}
		writes := f.writes(in)
		wait(10 * time.Second)
		if n := f.writes(in); n > writes+2 { // the calls that were under way
			t.Errorf("%d skills were written after the end", n-writes)
		}
		wait(time.Minute)
		if half.left >= 0 {
			t.Error("the first process was not asked often enough")
		}
		first := f.stop
		f.around = nil
		f.start(set) // beside the other
		wait(5 * time.Minute)
		for _, id := range []string{done, begun, waiting} {
			if _, err := f.store.TaskHead(t.Context(), doomed.ID, id); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("task %s: %v", id, err)
			}
		}
		if _, err := f.store.Integration(t.Context(), "", in.ID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the integration: %v", err)
		}
		log, err := f.store.AuditLog(t.Context(), store.AuditFilter{Limit: 10})
		if err != nil || len(log) != 1 || log[0].Action != "environment.erased" || log[0].Target != doomed.ID {
			t.Errorf("audit log: %+v, %v", log, err)
		}
		if view := f.view(mine, kept); view.Status != skill.Completed || view.Counts.Written != 3 {
			t.Errorf("a task of another environment: %+v", view)
		}
		if h, err := f.store.Health(t.Context()); err != nil || h.Pending != 0 || h.Leases != 0 {
			t.Errorf("health: %+v, %v", h, err)
		}
		first()
	})
}

// endless is a store in which there is always more to erase.
type endless struct{ batches int }

func (e *endless) EraseSome(context.Context, int) (store.Erasing, error) {
	e.batches++
	return store.Erasing{Removed: 1000, Left: true}, nil
}

func (*endless) Record(_ context.Context, entry store.AuditEntry) (store.AuditEntry, error) {
	return entry, nil
}

// Whoever erases may be interrupted between two batches, and is told so.
func TestErasingIsInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, told := &endless{}, 0
	err := engine.Erase(ctx, s, "somebody", func(some store.Erasing) {
		if told += some.Removed; told == 3000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || s.batches != 3 || told != 3000 {
		t.Errorf("%d batches, %d rows told, %v", s.batches, told, err)
	}
}
