package server

import (
	"context"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/metrics"
)

const (
	// lookEvery is how often the queue is looked at for /metrics, however often that is asked for.
	lookEvery = 15 * time.Second
	// lookTime bounds a look.
	lookTime = 5 * time.Second
)

// watchQueue keeps the gauges of the queue, until ctx ends.
func (s *Server) watchQueue(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		s.lookAtQueue(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) lookAtQueue(ctx context.Context) {
	look, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	h, err := s.Store.Health(look)
	if err != nil {
		if ctx.Err() == nil {
			s.metrics.Unseen()
			s.config.Logger.Debug("the queue could not be looked at", "error", err)
		}
		return
	}
	q := metrics.Queue{
		Pending: h.Pending, WaitingItems: h.WaitingItems, Leases: h.Leases, Unattended: h.Unattended, Overdue: h.Overdue, Away: h.Away, Bytes: h.Bytes, Syncs: h.Syncs,
	}
	if !h.OldestPending.IsZero() {
		q.OldestPending = h.Now.Sub(h.OldestPending) // both by the database's clock
	}
	if !h.OldestSync.IsZero() {
		q.OldestSync = h.Now.Sub(h.OldestSync)
	}
	s.metrics.Seen(q)
}
