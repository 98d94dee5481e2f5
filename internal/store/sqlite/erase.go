package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// there refuses what would be added to an environment that is gone.
func (tx *transaction) there(ctx context.Context, environmentID string) error {
	_, err := tx.EnvironmentThere(ctx, environmentID)
	return absent(err)
}

// EraseEnvironment implements store.Access.
func (s *Store) EraseEnvironment(ctx context.Context, id string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		now := sql.NullInt64{Int64: tx.now, Valid: true}
		if _, err := tx.EraseEnvironment(ctx, dbq.EraseEnvironmentParams{ID: id, Now: now}); err != nil {
			return absent(err)
		}
		if err := tx.EraseIntegrations(ctx, dbq.EraseIntegrationsParams{Environment: id, Now: now}); err != nil {
			return err
		}
		for _, step := range []func(context.Context, string) error{tx.EraseLeases, tx.DeleteKeysOf, tx.EraseLinks, tx.EraseConnectSettings} {
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
	limit = min(limit, upkeepRows)
	erased, err := s.queries.ErasedEnvironments(ctx)
	if err != nil {
		return e, fault(fmt.Errorf("erase: %w", err))
	}
	return store.EraseEach(erased, func(id string) (n int64, ended bool, err error) {
		err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
			n, ended, err = s.eraseSome(ctx, tx, id, limit)
			return err
		})
		return n, ended, err
	})
}

// eraseSome removes the first rows that it finds of an environment.
func (s *Store) eraseSome(ctx context.Context, tx *transaction, environmentID string, limit int) (n int64, ended bool, err error) {
	in, err := tx.ErasedIntegration(ctx, dbq.ErasedIntegrationParams{Now: tx.now, Environment: environmentID})
	if err == nil {
		if in.Leased != 0 {
			return 0, false, nil
		}
		n, err = s.eraseIntegration(ctx, tx, in.Seq, in.ID, limit)
		return n, false, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return 0, false, err
	}
	n, err = tx.EraseInteractions(ctx, dbq.EraseInteractionsParams{Environment: nullText(environmentID), Most: int64(limit)})
	if n > 0 || err != nil {
		return n, false, err
	}
	gone, err := tx.ForgetEnvironment(ctx, dbq.ForgetEnvironmentParams{
		ID: environmentID, Before: sql.NullInt64{Int64: tx.now - store.EraseLag.Milliseconds(), Valid: true},
	})
	return 0, gone > 0, err
}

// eraseIntegration removes the first rows that it finds of an integration, and the integration once there are none.
func (s *Store) eraseIntegration(ctx context.Context, tx *transaction, ref int64, id string, limit int) (n int64, err error) {
	if n, err = s.eraseTasks(ctx, tx, ref, limit); n > 0 || err != nil {
		return n, err
	}
	most := int64(limit)
	for _, step := range []func() (int64, error){
		func() (int64, error) {
			return tx.EraseTombstones(ctx, dbq.EraseTombstonesParams{Integration: ref, Most: most})
		},
		func() (int64, error) {
			// The words first: of a skill that is gone nobody knows which they are.
			if _, err := tx.sql.ExecContext(ctx, `DELETE FROM skill_words WHERE rowid IN (
				SELECT s.seq FROM skills s WHERE s.integration = ? ORDER BY s.origin_id LIMIT ?)`, ref, most); err != nil {
				return 0, err
			}
			return tx.EraseSkills(ctx, dbq.EraseSkillsParams{Integration: ref, Most: most})
		},
		func() (int64, error) {
			return tx.EraseRemoteSkills(ctx, dbq.EraseRemoteSkillsParams{Integration: ref, Most: most})
		},
		func() (int64, error) {
			return tx.EraseSyncSeen(ctx, dbq.EraseSyncSeenParams{Integration: ref, Most: most})
		},
		func() (int64, error) {
			return tx.EraseSandboxSkills(ctx, dbq.EraseSandboxSkillsParams{Account: id, Most: most})
		},
	} {
		if n, err = step(); n > 0 || err != nil {
			return n, err
		}
	}
	for _, step := range []func(context.Context, string) error{tx.EraseSandboxScripts, tx.EraseSandboxAccount} {
		if err := step(ctx, id); err != nil {
			return 0, err
		}
	}
	for _, step := range []func(context.Context, int64) error{tx.EraseIntents, tx.EraseNames, tx.EraseSync, tx.EraseDrain} {
		if err := step(ctx, ref); err != nil {
			return 0, err
		}
	}
	return tx.EraseIntegration(ctx, ref)
}

// eraseTasks removes tasks with their items, as many as take no longer than those that expire.
func (s *Store) eraseTasks(ctx context.Context, tx *transaction, ref int64, limit int) (int64, error) {
	rows, err := tx.TasksToErase(ctx, dbq.TasksToEraseParams{Integration: ref, Most: int64(limit)})
	if err != nil {
		return 0, err
	}
	n := 0
	var items, last int64
	for _, row := range rows {
		if n > 0 && items+row.Items > expireItems {
			break
		}
		n++
		items += row.Items
		last = max(last, row.Seq)
	}
	if n == 0 {
		return 0, nil
	}
	if err := tx.EraseIntents(ctx, ref); err != nil {
		return 0, err
	}
	for _, step := range []*bulk{s.bulk.dropItems, s.bulk.dropOutcomes, s.bulk.dropTasks} {
		if _, err := step.exec(ctx, tx.sql, values{rows: n, row: func(args []any, i int) []any { return append(args, rows[i].Seq) }}); err != nil {
			return 0, err
		}
	}
	return int64(n), tx.KeepNumbers(ctx, last)
}
