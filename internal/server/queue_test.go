package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// moody is a store that answers after a while, or never.
type moody struct {
	store.Store
	after atomic.Int64
	asked int
}

func (m *moody) Health(ctx context.Context) (store.Health, error) {
	m.asked++
	select {
	case <-time.After(time.Duration(m.after.Load())):
		now := time.Now().Add(time.Hour) // its clock is another one
		return store.Health{Now: now, Pending: m.asked, OldestPending: now.Add(-30 * time.Second)}, nil
	case <-ctx.Done():
		return store.Health{}, ctx.Err()
	}
}

// Whoever asks for /metrics waits for no database: that is asked every 15 s, for 5 s at most.
func TestQueueIsWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		db := &moody{}
		s := &Server{Store: db, metrics: metrics.New(reg), config: Config{Logger: slog.New(slog.DiscardHandler)}}
		ctx, stop := context.WithCancel(t.Context())
		go s.watchQueue(ctx)
		gauge := func(name string) float64 {
			t.Helper()
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				if f.GetName() == name {
					return f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			t.Fatalf("there is no %s", name)
			return 0
		}
		want := func(up, pending float64) {
			t.Helper()
			synctest.Wait()
			if gauge("crosswalk_database_up") != up || gauge("crosswalk_tasks_pending") != pending {
				t.Errorf("up %v, pending %v, want %v, %v", gauge("crosswalk_database_up"), gauge("crosswalk_tasks_pending"), up, pending)
			}
		}
		want(1, 1)
		if age := gauge("crosswalk_task_oldest_pending_seconds"); age != 30 {
			t.Errorf("the oldest is %v s old, want 30: by the database's clock", age)
		}
		<-time.After(15 * time.Second)
		want(1, 2)
		db.after.Store(int64(time.Hour))
		<-time.After(20*time.Second - time.Millisecond)
		want(1, 2)
		<-time.After(time.Millisecond)
		want(0, 2)
		db.after.Store(0)
		<-time.After(10 * time.Second)
		want(1, 4)
		stop()
		synctest.Wait()
	})
}
