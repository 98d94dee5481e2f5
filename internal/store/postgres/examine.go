package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// oldestVersion of PostgreSQL that is supported: the oldest that its makers still mend.
	oldestVersion = 15
	// daysEnough is how many days ahead should have their partitions; servers make them in the background.
	daysEnough = 2
	// A transaction this old keeps vacuum from its work.
	oldTransaction = time.Hour
	// manyDead rows are worth a word when they are also more than half of the living.
	manyDead = 200_000
	// oldXIDs is half the way to where PostgreSQL stops to accept writes.
	oldXIDs = 1_000_000_000
)

// Versions tells at which version the tables of a database are, as store.TablesVersions does. It changes nothing.
func Versions(ctx context.Context, opts Options) (have, known int64, err error) {
	config, err := configOf(opts)
	if err != nil {
		return 0, 0, err
	}
	config.MaxConns = 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return 0, 0, fmt.Errorf("open database: %w", err)
	}
	defer pool.Close()
	made, err := changes(ctx, pool)
	if err != nil {
		return 0, 0, fault(fmt.Errorf("open database %s: %w", address(config.ConnConfig), err))
	}
	return store.TablesVersions(made, migrations)
}

// changes are the numbers of the changes that were made to the tables.
func changes(ctx context.Context, pool *pgxpool.Pool) (made []int64, err error) {
	var there bool
	err = pool.QueryRow(ctx, "SELECT to_regclass('goose_db_version') IS NOT NULL").Scan(&there)
	if err != nil || !there {
		return nil, err
	}
	return gather(ctx, pool, pgx.RowTo[int64], "SELECT version_id FROM goose_db_version WHERE is_applied")
}

// Examine implements store.Upkeep.
func (s *Store) Examine(ctx context.Context) ([]store.Finding, error) {
	var all []store.Finding
	for _, look := range []func(context.Context) ([]store.Finding, error){s.server, s.limited, s.durability, s.daysToCome, s.vacuum} {
		found, err := look(ctx)
		if err != nil {
			return nil, fault(fmt.Errorf("examine: %w", err))
		}
		all = append(all, found...)
	}
	return all, nil
}

// limited looks, behind a pooler, whether the database itself gives sessions their limits. Without one each connection brings them;
// through one they can only be set within transactions, and a single statement that was given up would go on without an end.
func (s *Store) limited(ctx context.Context) ([]store.Finding, error) {
	if !s.opts.Pooler {
		return nil, nil
	}
	var missing, commands []string
	for _, name := range slices.Sorted(maps.Keys(limits())) {
		var set bool
		var command string
		if err := s.pool.QueryRow(ctx, `SELECT setting::bigint > 0, format('ALTER ROLE %I IN DATABASE %I SET %s = %L;', current_user, current_database(), name, $2::text)
			FROM pg_settings WHERE name = $1`, name, fmt.Sprintf("%.0fs", limits()[name].Seconds())).Scan(&set, &command); err != nil {
			return nil, err
		}
		if !set {
			missing, commands = append(missing, name), append(commands, command)
		}
	}
	f := store.Finding{Check: "limits", Found: "sessions behind the pooler have them"}
	if len(missing) > 0 {
		f.Grade, f.Found = store.Warning, "sessions behind the pooler have no "+strings.Join(missing, ", no ")
		f.Do = "A statement that nobody waits for any more keeps one of the pooler's connections. Run, and let the pooler connect anew: " + strings.Join(commands, " ")
	}
	return []store.Finding{f}, nil
}

// server looks at the server's version and its connections.
func (s *Store) server(ctx context.Context) ([]store.Finding, error) {
	var number, used, most int
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
		current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`).Scan(&number, &used, &most); err != nil {
		return nil, err
	}
	conns := store.Finding{Check: "connections", Found: fmt.Sprintf("%d of %d in use", used, most)}
	if used*10 >= most*9 {
		conns.Grade, conns.Do = store.Warning, "Raise max_connections, lower --database-connections, or put a pooler before the database."
	}
	if number/10000 < oldestVersion {
		return []store.Finding{{
			Check: "version", Grade: store.Wrong, Found: fmt.Sprintf("PostgreSQL %d", number/10000),
			Do: fmt.Sprintf("Upgrade the server: Crosswalk is tested with %d and newer.", oldestVersion),
		}, conns}, nil
	}
	return []store.Finding{conns}, nil
}

// durability looks at whether what was committed is on disk: a 200 promises it.
func (s *Store) durability(ctx context.Context) ([]store.Finding, error) {
	var fsync, pages, commit string
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit')`).
		Scan(&fsync, &pages, &commit); err != nil {
		return nil, err
	}
	f := store.Finding{Check: "durability", Found: fmt.Sprintf("fsync %s, full_page_writes %s, synchronous_commit %s", fsync, pages, commit)}
	switch {
	case fsync != "on" || commit == "off":
		f.Grade, f.Do = store.Wrong, "Switch fsync and synchronous_commit on: a task that was answered with 200 can be lost in a power cut."
	case pages != "on":
		f.Grade, f.Do = store.Warning, "Switch full_page_writes on, unless the disk never writes half a page: a power cut can damage the database."
	}
	return []store.Finding{f}, nil
}

// daysToCome looks for the partitions that tasks will end up in.
func (s *Store) daysToCome(ctx context.Context) ([]store.Finding, error) {
	now, err := s.queries.Now(ctx)
	if err != nil {
		return nil, err
	}
	days, err := results().made(ctx, s)
	if err != nil {
		return nil, err
	}
	until := results().floor(now.UTC())
	for _, day := range days {
		if day.start.Equal(until) {
			until = day.end
		}
	}
	ahead := int(until.Sub(now) / (24 * time.Hour))
	f := store.Finding{Check: "partitions", Found: "made up to " + until.AddDate(0, 0, -1).Format(time.DateOnly)}
	if ahead < daysEnough {
		f.Grade = store.Warning
		f.Found = fmt.Sprintf("made for %d days ahead only", ahead)
		f.Do = "Start a server: it makes them. If one runs, its log says what keeps it from that. Nothing is lost meanwhile: tasks that end fall into the default partition, which is slower to clean."
	}
	return []store.Finding{f}, nil
}

// vacuum looks at what keeps tables from being cleaned, and at those that are not.
func (s *Store) vacuum(ctx context.Context) ([]store.Finding, error) {
	var on bool
	var xids int64
	var oldest time.Duration
	if err := s.pool.QueryRow(ctx, `SELECT current_setting('autovacuum')::boolean, (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database()),
		coalesce((SELECT max(clock_timestamp() - xact_start) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'), '0')::interval`).
		Scan(&on, &xids, &oldest); err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `SELECT relname::text, n_dead_tup FROM pg_stat_user_tables
		WHERE schemaname = current_schema() AND n_dead_tup > $1 AND n_dead_tup > n_live_tup / 2 ORDER BY n_dead_tup DESC LIMIT 3`, manyDead)
	if err != nil {
		return nil, err
	}
	var dead []store.Finding
	var table string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&table, &n}, func() error {
		dead = append(dead, store.Finding{
			Check: "vacuum", Grade: store.Warning, Found: fmt.Sprintf("%s has %d dead rows", table, n),
			Do: "Autovacuum does not keep up: see docs/operations.md, PostgreSQL. VACUUM " + table + " cleans it now.",
		})
		return nil
	}); err != nil {
		return nil, err
	}
	f := store.Finding{Check: "vacuum", Found: "autovacuum keeps up"}
	switch {
	case xids > oldXIDs:
		f.Grade, f.Found = store.Wrong, fmt.Sprintf("the oldest transaction id is %d back, of the 2,000 million after which the database takes no more writes", xids)
		f.Do = "Find what holds vacuum back (old transactions, replication slots, prepared transactions), and run VACUUM."
	case !on:
		f.Grade, f.Found, f.Do = store.Wrong, "autovacuum is off", "Switch it on: the queue's tables are rewritten all the time, and grow without it."
	case oldest > oldTransaction:
		f.Grade, f.Found = store.Warning, "a transaction is open since "+oldest.Round(time.Minute).String()
		f.Do = "Find it in pg_stat_activity and end it: until then nothing that died since can be cleaned."
	case len(dead) > 0:
		return dead, nil
	}
	return append([]store.Finding{f}, dead...), nil
}
