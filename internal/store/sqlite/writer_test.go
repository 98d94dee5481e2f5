package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

func openTest(t *testing.T, committed func(int)) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{Path: filepath.Join(t.TempDir(), "crosswalk.db"), Committed: committed})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func insert(name string) change {
	return func(ctx context.Context, tx *transaction) error {
		return tx.InsertEnvironment(ctx, dbq.InsertEnvironmentParams{ID: name, Name: name, CreatedAt: 1})
	}
}

// Changes that arrive while others are carried out share their commit; one that fails takes nobody with it.
func TestChangesShareCommitsAndFailAlone(t *testing.T) {
	synctest.Test(t, changesShareCommits)
}

func changesShareCommits(t *testing.T) {
	var mu sync.Mutex
	var sizes []int
	s := openTest(t, func(n int) {
		mu.Lock()
		defer mu.Unlock()
		sizes = append(sizes, n)
	})
	began, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		begin := sync.OnceFunc(func() { close(began) }) // it is run again after those beside it have failed
		if err := s.writer.do(t.Context(), func(context.Context, *transaction) error {
			begin()
			<-release
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-began
	mu.Lock()
	sizes = nil
	mu.Unlock()
	broken := errors.New("broken")
	changes := map[string]change{
		"a": insert("a"), "b": insert("b"), "c": insert("c"),
		"fails half-way": func(ctx context.Context, tx *transaction) error {
			return errors.Join(insert("half")(ctx, tx), broken)
		},
		"panics half-way": func(ctx context.Context, tx *transaction) error {
			_ = insert("half")(ctx, tx) // whatever it says
			panic("oops")
		},
		"refuses cleanly": func(context.Context, *transaction) error { return refuse(broken) },
	}
	errs := map[string]error{}
	for name, c := range changes {
		group.Go(func() {
			err := s.writer.do(t.Context(), c)
			mu.Lock()
			defer mu.Unlock()
			errs[name] = err
		})
	}
	synctest.Wait() // all of them stand in line before the first is done
	close(release)
	group.Wait()
	for name, err := range errs {
		if fails := len(name) > 1; (err != nil) != fails {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !errors.Is(errs["fails half-way"], broken) || !errors.Is(errs["refuses cleanly"], broken) {
		t.Errorf("errors = %v", errs)
	}
	envs, err := s.Environments(t.Context())
	if err != nil || len(envs) != 4 { // with the default one
		t.Errorf("environments = %+v, %v", envs, err)
	}
	// Whatever stood together with one that broke was undone and done again alone.
	kept := 0
	for _, n := range sizes {
		kept += n
	}
	if kept != 5 { // that keep anything, or nothing, or refuse cleanly
		t.Errorf("commits of %v changes, want 5 in all", sizes)
	}
	sizes = nil
	began, release = make(chan struct{}), make(chan struct{})
	group.Go(func() {
		_ = s.writer.do(t.Context(), func(context.Context, *transaction) error { // it returns nil
			close(began)
			<-release
			return nil
		})
	})
	<-began
	for _, name := range []string{"d", "e", "f"} {
		group.Go(func() {
			if err := s.writer.do(t.Context(), insert(name)); err != nil {
				t.Error(err)
			}
		})
	}
	synctest.Wait()
	close(release)
	group.Wait()
	if diff := cmp.Diff([]int{4}, sizes); diff != "" {
		t.Errorf("commits (-want +got):\n%s", diff)
	}
}

func TestAbandonedChangeIsNotRun(t *testing.T) { synctest.Test(t, abandonedChange) }

func abandonedChange(t *testing.T) {
	s := openTest(t, nil)
	began, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		_ = s.writer.do(t.Context(), func(context.Context, *transaction) error { // it returns nil
			close(began)
			<-release
			return nil
		})
	})
	<-began
	ctx, cancel := context.WithCancel(t.Context())
	group.Go(func() {
		if err := s.writer.do(ctx, insert("late")); !errors.Is(err, context.Canceled) {
			t.Errorf("error = %v", err)
		}
		close(release)
	})
	synctest.Wait()
	cancel()
	group.Wait()
	if envs, err := s.Environments(t.Context()); err != nil || len(envs) != 1 {
		t.Errorf("environments = %+v, %v", envs, err)
	}
}

func TestClosedWriterRefuses(t *testing.T) {
	s := openTest(t, nil)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.writer.do(t.Context(), insert("x")); !errors.Is(err, errClosed) {
		t.Errorf("error = %v", err)
	}
}

// While another process keeps the file to itself, all who wait are told after one wait, not after one wait each.
func TestFileThatIsTakenIsWaitedForOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	var stores [2]*Store
	for i := range stores {
		s, err := Open(t.Context(), Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		stores[i] = s
	}
	taken, release := make(chan struct{}), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		if err := stores[0].writer.do(t.Context(), func(context.Context, *transaction) error {
			close(taken)
			<-release
			return nil
		}); err != nil {
			t.Error(err)
		}
	})
	<-taken
	began := time.Now()
	var waiting sync.WaitGroup
	for i := range 8 {
		waiting.Go(func() {
			err := stores[1].writer.do(t.Context(), insert(fmt.Sprintf("environment-%d", i)))
			if skill.KindOf(err) != skill.Unavailable {
				t.Errorf("%v; want unavailable", err)
			}
		})
	}
	waiting.Wait()
	// The first of them may have gone alone, before the others came.
	if took := time.Since(began); took > 2*busyTimeout+2*time.Second {
		t.Errorf("eight changes failed after %s; want two waits of %s at most", took, busyTimeout)
	}
	close(release)
	group.Wait()
}
