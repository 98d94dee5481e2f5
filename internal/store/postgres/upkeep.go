package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// Health implements store.Upkeep.
func (s *Store) Health(ctx context.Context) (h store.Health, err error) {
	database, err := s.queries.DatabaseHealth(ctx)
	if err != nil {
		return h, fault(fmt.Errorf("health: %w", err))
	}
	q, err := s.queries.QueueHealth(ctx)
	if err != nil {
		return h, fault(fmt.Errorf("health: %w", err))
	}
	syncs, err := s.queries.SyncHealth(ctx)
	if err != nil {
		return h, fault(fmt.Errorf("health: %w", err))
	}
	oldest, err := s.queries.OldestPending(ctx)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return h, fault(fmt.Errorf("health: %w", err))
	}
	h = store.Health{
		Product: "PostgreSQL " + database.Version, Now: database.Now.UTC(), Bytes: database.Bytes,
		Pending: int(q.Pending), WaitingItems: int(q.Waiting), Leases: int(q.Leases), Unattended: int(q.Unattended),
		Stale: int(q.Stale), Overdue: int(q.Overdue), Away: int(q.Away), Syncs: int(syncs.Active),
	}
	if syncs.Oldest.Unix() > 0 {
		h.OldestSync = syncs.Oldest.UTC()
	}
	if err == nil {
		h.OldestPending = oldest.UTC()
	}
	goose, err := s.goose()
	if err != nil {
		return h, err
	}
	defer goose.Close() //nolint:errcheck // of database/sql, on connections that are the pool's
	if h.Schema, err = goose.GetDBVersion(ctx); err != nil {
		return h, fault(fmt.Errorf("health: %w", err))
	}
	return h, nil
}

// KeepMasterKey implements store.Upkeep.
func (s *Store) KeepMasterKey(ctx context.Context, key store.MasterKey) (store.MasterKey, error) {
	if err := s.queries.KeepMasterKey(ctx, dbq.KeepMasterKeyParams{ID: key.ID, CheckValue: key.Check}); err != nil {
		return store.MasterKey{}, fault(fmt.Errorf("note the master key: %w", alone(err)))
	}
	return s.MasterKey(ctx)
}

// MasterKey implements store.Upkeep.
func (s *Store) MasterKey(ctx context.Context) (store.MasterKey, error) {
	row, err := s.queries.MasterKey(ctx)
	if err != nil {
		return store.MasterKey{}, fmt.Errorf("master key: %w", missing(err))
	}
	return store.MasterKey{ID: row.ID, Check: row.CheckValue}, nil
}

// Reseal implements store.Upkeep.
func (s *Store) Reseal(ctx context.Context, under store.MasterKey, reseal func(string, []byte) ([]byte, error)) (n int, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		rows, err := tx.Sealed(ctx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			sealed, err := reseal(row.ID, row.Credentials)
			if err != nil {
				return fmt.Errorf("integration %s: %w", row.ID, err)
			}
			if err := tx.Reseal(ctx, dbq.ResealParams{ID: row.ID, Credentials: sealed}); err != nil {
				return err
			}
		}
		n = len(rows)
		return tx.NoteMasterKey(ctx, dbq.NoteMasterKeyParams{ID: under.ID, CheckValue: under.Check})
	})
	if err != nil {
		return 0, fmt.Errorf("seal credentials anew: %w", err)
	}
	return n, nil
}
