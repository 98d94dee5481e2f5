package postgres

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/crosswalk-hr/crosswalk/internal/store/queue"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is any number that nobody else locks in this database.
const migrationLock = 0x63726f737377616c // "crosswal"

// migrate brings ours and River's tables up to date; however many processes start at once, one does it and the others
// wait. The lock belongs to a transaction, since a pooler gives sessions away.
func (s *Store) migrate(ctx context.Context) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx) //nolint:errcheck // it holds nothing but the lock
	for _, setting := range []string{"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} {
		if _, err := tx.Exec(ctx, "SELECT set_config($1, '60000', true)", setting); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another migration: %w", err)
	}
	goose, err := s.goose()
	if err != nil {
		return err
	}
	defer goose.Close() //nolint:errcheck // of database/sql, on connections that are the pool's
	current, target, err := goose.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > target {
		return fmt.Errorf("its tables are at version %d and this program knows only %d: run the newer program", current, target)
	}
	// The version alone does not tell: a change may have come to be after one with a higher number.
	pending, err := goose.HasPending(ctx)
	if err != nil {
		return err
	}
	if pending {
		if _, err := goose.Up(ctx); err != nil {
			return err
		}
	}
	return queue.Migrate(ctx, riverpgxv5.New(s.pool), s.log)
}

func (s *Store) goose() (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, stdlib.OpenDBFromPool(s.pool), dir,
		goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true))
}
