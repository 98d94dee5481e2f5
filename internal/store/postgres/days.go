package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// Ended tasks, their tombstones and interactions lie in partitions by the time that their ids begin with. The default partition holds
// what no other does: ids of a clock that is far off, or of a day for which nobody made a partition in time.

const (
	// daysAhead is how many days have their partitions before they come.
	daysAhead = 7
	// aside is how long the making or dropping of a partition may keep others waiting for its lock; it is tried again.
	aside = 500 * time.Millisecond
	// buryLock lets one process at a time write tombstones and drop days: what another one has written and not yet committed cannot be
	// seen, so a day would look done, and be dropped, before it is.
	buryLock = migrationLock + 1
)

// partitions of one table.
type partitions struct {
	table  string
	layout string // of the time in a partition's name
	next   func(time.Time) time.Time
	floor  func(time.Time) time.Time
	first  func(time.Time) string // the first id of that time
}

func results() partitions { return daily("results", skill.FirstTaskID) }

func interactions() partitions { return daily("interactions", skill.FirstID) }

func daily(table string, first func(time.Time) string) partitions {
	return partitions{
		table, "20060102",
		func(t time.Time) time.Time { return t.AddDate(0, 0, 1) },
		func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC) },
		first,
	}
}

func tombstones() partitions {
	return partitions{
		"expired", "200601",
		func(t time.Time) time.Time { return t.AddDate(0, 1, 0) },
		func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) },
		skill.FirstTaskID,
	}
}

// span is one partition: ids from lo to below hi.
type span struct {
	name       string
	start, end time.Time
	lo, hi     string
}

func (p partitions) span(start time.Time) span {
	end := p.next(start)
	return span{p.table + "_" + start.Format(p.layout), start, end, p.first(start), p.first(end)}
}

// made are the partitions there are, oldest first, without the default one.
func (p partitions) made(ctx context.Context, s *Store) ([]span, error) {
	rows, err := s.pool.Query(ctx, `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = $1::text::regclass ORDER BY c.relname`, p.table)
	if err != nil {
		return nil, err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	var spans []span
	for _, name := range names {
		if start, err := time.Parse(p.layout, strings.TrimPrefix(name, p.table+"_")); err == nil {
			spans = append(spans, p.span(start))
		}
	}
	return spans, nil
}

// prepareDays makes the partitions of today and the days to come that do not exist yet.
func (s *Store) prepareDays(ctx context.Context) error {
	now, err := s.queries.Now(ctx)
	if err != nil {
		return fmt.Errorf("prepare partitions: %w", err)
	}
	for _, p := range []partitions{results(), tombstones(), interactions()} {
		have, err := p.made(ctx, s)
		if err != nil {
			return fmt.Errorf("prepare partitions: %w", err)
		}
		exists := map[string]bool{}
		for _, h := range have {
			exists[h.name] = true
		}
		for at := p.floor(now.UTC()); at.Before(now.AddDate(0, 0, daysAhead)); at = p.next(at) {
			if sp := p.span(at); !exists[sp.name] {
				if err := s.makePartition(ctx, p.table, sp); err != nil {
					return fmt.Errorf("prepare partition %s: %w", sp.name, err)
				}
			}
		}
	}
	return nil
}

// makePartition makes a partition and moves what has fallen into the default one meanwhile. Attaching it disturbs nobody
// who reads or writes other partitions.
func (s *Store) makePartition(ctx context.Context, table string, sp span) error {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		name, byDefault := pgx.Identifier{sp.name}.Sanitize(), pgx.Identifier{table + "_default"}.Sanitize()
		for _, q := range []string{
			fmt.Sprintf("SET LOCAL lock_timeout = %d", aside.Milliseconds()),
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(migrationLock)),
			fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s (LIKE %s INCLUDING ALL)", name, table),
			fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", byDefault),
			fmt.Sprintf("WITH d AS (DELETE FROM %s WHERE id >= '%s' AND id < '%s' RETURNING *) INSERT INTO %s SELECT * FROM d", byDefault, sp.lo, sp.hi, name),
			fmt.Sprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')", table, name, sp.lo, sp.hi),
		} {
			if _, err := tx.sql.Exec(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	// Another process may have made it at the same time; and where somebody holds the tables (a dump does), the default
	// partition takes what comes until the next try.
	var there bool
	if e := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = to_regclass($1))", sp.name).Scan(&there); e != nil {
		return errors.Join(err, e)
	}
	if there {
		return nil
	}
	if code := codeOf(err); code == lockTimedOut {
		s.log.Warn("a partition could not be made yet, since its table is in use; it is tried again", "partition", sp.name)
		return nil
	}
	return err
}

// Expire implements store.Upkeep.
func (s *Store) Expire(ctx context.Context, keep time.Duration, limit int) (int, error) {
	n, err := s.expire(ctx, keep, limit)
	if err != nil {
		return 0, fault(fmt.Errorf("expire tasks: %w", err))
	}
	return n, nil
}

func (s *Store) expire(ctx context.Context, keep time.Duration, limit int) (int, error) {
	if err := s.prepareDays(ctx); err != nil {
		return 0, err
	}
	n, err := s.expireStray(ctx, keep, limit)
	if n > 0 || err != nil {
		return n, err
	}
	now, err := s.queries.Now(ctx)
	if err != nil {
		return 0, err
	}
	days, err := results().made(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, day := range days {
		if day.end.After(now.Add(-keep)) {
			break
		}
		aged, err := aged(ctx, s.pool, day.name, "completed_at", keep)
		if isGone(err) || err == nil && !aged {
			continue
		}
		if err != nil {
			return 0, err
		}
		n, err := s.bury(ctx, day, limit)
		if isGone(err) {
			continue
		}
		if n > 0 || err != nil {
			return n, err
		}
		if err := s.drop(ctx, "results", day, "completed_at", keep); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// isGone: another process has dropped the partition meanwhile, or is about to: then PostgreSQL finds the table and no
// parent of it, and calls that an internal error.
func isGone(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "42P01" || e.Code == "XX000" && strings.Contains(e.Message, "parent of relation"))
}

// aged reports whether everything in a partition is older than keep.
func aged(ctx context.Context, on dbq.DBTX, partition, column string, keep time.Duration) (aged bool, err error) {
	query := fmt.Sprintf("SELECT NOT EXISTS (SELECT 1 FROM %s WHERE %s >= clock() - $1::interval)", pgx.Identifier{partition}.Sanitize(), column)
	err = on.QueryRow(ctx, query, keep).Scan(&aged)
	return aged, err
}

// bury writes tombstones for the next tasks of a day, and returns for how many. How far it got is told by the tombstones
// themselves, so it goes on wherever another process left it.
func (s *Store) bury(ctx context.Context, day span, limit int) (n int, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.sql.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(buryLock)); err != nil {
			return err
		}
		tag, err := tx.sql.Exec(ctx, fmt.Sprintf(`INSERT INTO expired (id, integration, expired_at)
			SELECT id, integration, clock() FROM %s
			WHERE id > coalesce((SELECT max(id) FROM expired WHERE id >= $1 AND id < $2), '')
			ORDER BY id LIMIT $3 ON CONFLICT DO NOTHING`, pgx.Identifier{day.name}.Sanitize()), day.lo, day.hi, limit)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// drop removes a partition with all that is in it, unless somebody holds its table: then the next time. What has come into it
// since it was looked at, such as a task that took longer than tasks are kept, keeps it until it is old enough by the column, too; without
// one, ids tell it all.
func (s *Store) drop(ctx context.Context, table string, sp span, column string, keep time.Duration) error {
	name := pgx.Identifier{sp.name}.Sanitize()
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		for _, q := range []string{
			fmt.Sprintf("SET LOCAL lock_timeout = %d", aside.Milliseconds()),
			fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", int64(buryLock)),
			// In the order in which whoever adds a row takes them. Dropping wants both.
			fmt.Sprintf("LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE", table),
			fmt.Sprintf("LOCK TABLE %s IN ACCESS EXCLUSIVE MODE", name),
		} {
			if _, err := tx.sql.Exec(ctx, q); err != nil {
				return err
			}
		}
		if column != "" {
			if aged, err := aged(ctx, tx.sql, sp.name, column, keep); err != nil || !aged {
				return err
			}
		}
		if table == "results" {
			if err := buryLate(ctx, tx, sp); err != nil {
				return err
			}
		}
		_, err := tx.sql.Exec(ctx, "DROP TABLE "+name)
		return err
	})
	if isGone(err) {
		return nil
	}
	if codeOf(err) == lockTimedOut {
		s.log.Warn("a partition that has come of age could not be dropped yet, since its table is in use; it is tried again", "partition", sp.name)
		return nil
	}
	return err
}

// buryLate writes the tombstones of tasks that ended when bury had come past their ids, or was about to. It began with the lowest
// id, right after all tasks of the day had looked old.
func buryLate(ctx context.Context, tx *transaction, day span) error {
	_, err := tx.sql.Exec(ctx, fmt.Sprintf(`INSERT INTO expired (id, integration, expired_at) SELECT id, integration, clock() FROM %s
		WHERE completed_at >= (SELECT expired_at FROM expired WHERE id >= $1 AND id < $2 ORDER BY id LIMIT 1) - interval '5 min'
		ON CONFLICT DO NOTHING`, pgx.Identifier{day.name}.Sanitize()), day.lo, day.hi)
	return err
}

// expireStray removes aged tasks from the default partition.
func (s *Store) expireStray(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		tag, err := tx.sql.Exec(ctx, `WITH t AS (
				SELECT id FROM results_default WHERE completed_at < clock() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
			), d AS (
				DELETE FROM results_default r USING t WHERE r.id = t.id RETURNING r.id, r.integration
			)
			INSERT INTO expired (id, integration, expired_at) SELECT id, integration, clock() FROM d ON CONFLICT DO NOTHING`, keep, limit)
		n = int(tag.RowsAffected())
		return err
	})
	return n, err
}

// Forget implements store.Upkeep.
func (s *Store) Forget(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		tag, err := tx.sql.Exec(ctx, `DELETE FROM expired_default WHERE id IN (
				SELECT id FROM expired_default WHERE expired_at < clock() - $1::interval LIMIT $2 FOR UPDATE SKIP LOCKED
			)`, keep, limit)
		n = int(tag.RowsAffected())
		return err
	})
	if n > 0 || err != nil {
		return n, err
	}
	now, err := s.queries.Now(ctx)
	if err != nil {
		return 0, fault(fmt.Errorf("forget tombstones: %w", err))
	}
	months, err := tombstones().made(ctx, s)
	if err != nil {
		return 0, fault(fmt.Errorf("forget tombstones: %w", err))
	}
	for _, month := range months {
		if month.end.After(now.Add(-keep)) {
			break
		}
		aged, err := aged(ctx, s.pool, month.name, "expired_at", keep)
		if err == nil && aged {
			err = s.drop(ctx, "expired", month, "expired_at", keep)
		}
		if err != nil && !isGone(err) {
			return 0, fault(fmt.Errorf("forget tombstones: %w", err))
		}
	}
	return 0, nil
}
