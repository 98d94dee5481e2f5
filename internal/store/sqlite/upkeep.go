package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// Doubt implements store.Drains.
func (s *Store) Doubt(ctx context.Context, d store.Doubt) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		deleted, err := tx.IntegrationDeleted(ctx, d.Lease.Ref)
		if errors.Is(err, sql.ErrNoRows) || err == nil && deleted.Valid { // or erased altogether
			return nil
		}
		if err != nil {
			return err
		}
		known := make(map[string]skill.Item, len(d.OriginIDs))
		if err := s.bulk.doubtSkills.query(ctx, tx.sql, values{
			before: []any{d.Lease.Ref},
			rows:   len(d.OriginIDs),
			row:    func(args []any, i int) []any { return append(args, d.OriginIDs[i]) },
		}, func(rows *sql.Rows) error {
			var it skill.Item
			if err := rows.Scan(&it.OriginID, &it.Name, &it.Status); err != nil {
				return err
			}
			known[it.OriginID] = it
			return nil
		}); err != nil {
			return err
		}
		items := make([]skill.Item, 0, len(known))
		for _, id := range d.OriginIDs {
			if it, ok := known[id]; ok {
				items = append(items, it)
				delete(known, id) // it may be named twice
			}
		}
		if len(items) == 0 {
			return nil
		}
		if err := tx.addTask(ctx, dbq.InsertTaskParams{
			ID: skill.NewTaskID(fromMillis(tx.now)), Integration: d.Lease.Ref, Items: int64(len(items)),
			CreatedAt: tx.now, Deadline: tx.now + d.Timeout.Milliseconds(), Rewrite: 1,
		}, encode(items)); err != nil {
			return err
		}
		return tx.WantDrain(ctx, dbq.WantDrainParams{Integration: d.Lease.Ref, Items: int64(len(items))})
	})
	if err != nil {
		return fmt.Errorf("doubt skills of %s: %w", d.Lease.Integration.ID, err)
	}
	return nil
}

// Everybody waits for the writer, so a call takes on no more than some ten milliseconds of work, whatever its limit:
// 1,000 tasks of 10 items take 20 ms, two of 10,000 take 3 ms while the pages are in memory.
const (
	upkeepRows  = 2000
	expireItems = 20_000
)

// Expire implements store.Upkeep.
func (s *Store) Expire(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		n = 0
		rows, err := tx.EndedTasks(ctx, dbq.EndedTasksParams{
			Before: sql.NullInt64{Int64: tx.now - keep.Milliseconds(), Valid: true}, Most: int64(min(limit, upkeepRows)),
		})
		if err != nil {
			return err
		}
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
			return nil
		}
		for _, step := range []struct {
			*bulk
			before []any
		}{{s.bulk.buryTasks, []any{tx.now}}, {s.bulk.dropItems, nil}, {s.bulk.dropOutcomes, nil}, {s.bulk.dropTasks, nil}} {
			if _, err := step.exec(ctx, tx.sql, values{
				before: step.before,
				rows:   n,
				row:    func(args []any, i int) []any { return append(args, rows[i].Seq) },
			}); err != nil {
				return err
			}
		}
		return tx.KeepNumbers(ctx, last)
	})
	if err != nil {
		return 0, fmt.Errorf("expire tasks: %w", err)
	}
	return n, nil
}

// Forget implements store.Upkeep.
func (s *Store) Forget(ctx context.Context, keep time.Duration, limit int) (int, error) {
	var n int64
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
		n, err = tx.ForgetExpired(ctx, dbq.ForgetExpiredParams{Before: tx.now - keep.Milliseconds(), Most: int64(min(limit, upkeepRows))})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget expired tasks: %w", err)
	}
	return int(n), nil
}

// DoubtAll implements store.Upkeep.
func (s *Store) DoubtAll(ctx context.Context, integrationID string) (int, error) {
	all, done := 0, false
	for after := ""; !done; {
		var n int64
		var last string
		err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
			ref, err := tx.IntegrationRef(ctx, integrationID)
			if err != nil {
				return missing(err)
			}
			last, err = tx.NthSkill(ctx, dbq.NthSkillParams{Integration: ref, After: after, N: upkeepRows - 1})
			if done = errors.Is(err, sql.ErrNoRows); done { // fewer are left
				if n, err = tx.DoubtSkillsAfter(ctx, dbq.DoubtSkillsAfterParams{Integration: ref, After: after}); err != nil {
					return err
				}
				if err := tx.ForgetReceipts(ctx, ref); err != nil {
					return err
				}
				return tx.RevokeLease(ctx, ref)
			}
			if err != nil {
				return err
			}
			n, err = tx.DoubtSkillsUpTo(ctx, dbq.DoubtSkillsUpToParams{Integration: ref, After: after, Last: last})
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("doubt the skills of %q: %w", integrationID, err)
		}
		after = last
		all += int(n)
	}
	return all, nil
}

// Health implements store.Upkeep.
func (s *Store) Health(ctx context.Context) (store.Health, error) {
	now := s.now()
	h := store.Health{Now: now.UTC()}
	var version string
	if err := s.read.QueryRowContext(ctx,
		`SELECT sqlite_version(), (SELECT max(version_id) FROM goose_db_version), page_count * page_size
		 FROM pragma_page_count(), pragma_page_size()`,
	).Scan(&version, &h.Schema, &h.Bytes); err != nil {
		return store.Health{}, fault(fmt.Errorf("health: %w", err))
	}
	h.Product = "SQLite " + version
	row, err := s.queries.QueueHealth(ctx, now.UnixMilli())
	if err != nil {
		return store.Health{}, fault(fmt.Errorf("health of the queue: %w", err))
	}
	h.Pending, h.WaitingItems, h.Leases, h.Unattended = int(row.Pending), int(row.Waiting), int(row.Leases), int(row.Unattended)
	h.Stale, h.Overdue, h.Away = int(row.Stale), int(row.Overdue), int(row.Away)
	syncs, err := s.queries.SyncHealth(ctx)
	if err != nil {
		return store.Health{}, fault(fmt.Errorf("health of the syncs: %w", err))
	}
	if h.Syncs = int(syncs.Active); syncs.Oldest > 0 {
		h.OldestSync = fromMillis(syncs.Oldest)
	}
	oldest, err := s.queries.OldestPending(ctx)
	if err != nil {
		return store.Health{}, fault(fmt.Errorf("oldest pending task: %w", err))
	}
	if oldest > 0 {
		h.OldestPending = fromMillis(oldest)
	}
	return h, nil
}

// KeepMasterKey implements store.Upkeep.
func (s *Store) KeepMasterKey(ctx context.Context, key store.MasterKey) (kept store.MasterKey, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.KeepMasterKey(ctx, dbq.KeepMasterKeyParams{ID: key.ID, Evidence: key.Check}); err != nil {
			return err
		}
		row, err := tx.MasterKey(ctx)
		kept = store.MasterKey{ID: row.ID, Check: row.Evidence}
		return err
	})
	if err != nil {
		return store.MasterKey{}, fmt.Errorf("note the master key: %w", err)
	}
	return kept, nil
}

// MasterKey implements store.Upkeep.
func (s *Store) MasterKey(ctx context.Context) (store.MasterKey, error) {
	row, err := s.queries.MasterKey(ctx)
	if err != nil {
		return store.MasterKey{}, fmt.Errorf("master key: %w", missing(err))
	}
	return store.MasterKey{ID: row.ID, Check: row.Evidence}, nil
}

// Reseal implements store.Upkeep.
func (s *Store) Reseal(ctx context.Context, under store.MasterKey, reseal func(string, []byte) ([]byte, error)) (n int, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
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
		return tx.NoteMasterKey(ctx, dbq.NoteMasterKeyParams{ID: under.ID, Evidence: under.Check})
	})
	if err != nil {
		return 0, fmt.Errorf("seal credentials anew: %w", err)
	}
	return n, nil
}
