package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// there refuses what would be added to an environment that is gone, and keeps one that is there until it was added.
func (tx *transaction) there(ctx context.Context, environmentID string) error {
	_, err := tx.ShareEnvironment(ctx, environmentID)
	return missing(err)
}

// EraseEnvironment implements store.Access.
func (s *Store) EraseEnvironment(ctx context.Context, id string) error {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.EraseEnvironment(ctx, id); err != nil {
			return missing(err)
		}
		for _, step := range []func(context.Context, string) error{tx.LockDrainsOfEnvironment, tx.EraseIntegrations, tx.DeleteKeysOf, tx.EraseLinks} {
			if err := step(ctx, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("erase environment %q: %w", id, err)
	}
	return nil
}

// EraseSome implements store.Upkeep.
func (s *Store) EraseSome(ctx context.Context, limit int) (e store.Erasing, err error) {
	erased, err := s.queries.ErasedEnvironments(ctx)
	if err != nil {
		return e, fault(fmt.Errorf("erase: %w", err))
	}
	return store.EraseEach(erased, func(id string) (n int64, ended bool, err error) {
		err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
			_, err := tx.LockErasedEnvironment(ctx, id)
			if errors.Is(err, pgx.ErrNoRows) { // somebody else is at it, or it is gone
				n, ended = 0, false
				return nil
			}
			if err == nil {
				n, ended, err = tx.eraseSome(ctx, id, int32(limit))
			}
			return err
		})
		return n, ended, err
	})
}

// eraseSome removes the first rows that it finds of an environment.
func (tx *transaction) eraseSome(ctx context.Context, environmentID string, limit int32) (n int64, ended bool, err error) {
	in, err := tx.ErasedIntegration(ctx, environmentID)
	if err == nil {
		if in.Leased {
			return 0, false, nil
		}
		n, err = tx.eraseIntegration(ctx, in.Seq, in.ID, limit)
		return n, false, err
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return 0, false, err
	}
	n, err = tx.EraseInteractions(ctx, dbq.EraseInteractionsParams{Environment: environmentID, Most: limit})
	if n > 0 || err != nil {
		return n, false, err
	}
	gone, err := tx.ForgetEnvironment(ctx, dbq.ForgetEnvironmentParams{ID: environmentID, After: store.EraseLag})
	return 0, gone > 0, err
}

// eraseIntegration removes the first rows that it finds of an integration, and the integration once there are none. Tombstones of
// its tasks, which tell nothing without it, stay until their month is dropped.
func (tx *transaction) eraseIntegration(ctx context.Context, ref int64, id string, limit int32) (n int64, err error) {
	if _, err := tx.LockRestingDrain(ctx, ref); errors.Is(err, pgx.ErrNoRows) {
		return 0, nil // leased meanwhile
	} else if err != nil {
		return 0, err
	}
	for _, step := range []func() (int64, error){
		func() (int64, error) {
			return tx.EraseTasks(ctx, dbq.EraseTasksParams{Integration: ref, Most: limit/10 + 1})
		},
		func() (int64, error) {
			return tx.EraseResults(ctx, dbq.EraseResultsParams{Integration: ref, Most: limit/10 + 1})
		},
		func() (int64, error) {
			return tx.EraseSkills(ctx, dbq.EraseSkillsParams{Integration: ref, Most: limit})
		},
		func() (int64, error) {
			return tx.EraseRemoteSkills(ctx, dbq.EraseRemoteSkillsParams{Integration: ref, Most: limit})
		},
		func() (int64, error) {
			return tx.EraseSyncSeen(ctx, dbq.EraseSyncSeenParams{Integration: ref, Most: limit})
		},
		func() (int64, error) {
			return tx.EraseSandboxSkills(ctx, dbq.EraseSandboxSkillsParams{Account: id, Most: limit})
		},
	} {
		if n, err = step(); n > 0 || err != nil {
			return n, err
		}
	}
	if err := tx.EraseSandboxAccount(ctx, id); err != nil {
		return 0, err
	}
	for _, step := range []func(context.Context, int64) error{tx.EraseNames, tx.EraseSync, tx.EraseDrain} {
		if err := step(ctx, ref); err != nil {
			return 0, err
		}
	}
	return tx.EraseIntegration(ctx, ref)
}
