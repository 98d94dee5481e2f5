package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/pressly/goose/v3"
)

// Versions tells at which version the tables of a database are, 0 if it has none, and which one this program knows. It
// changes nothing: the error of a file that does not exist is an fs.ErrNotExist.
func Versions(ctx context.Context, path string) (have, known int64, err error) {
	if _, err := os.Stat(path); err != nil {
		return 0, 0, fmt.Errorf("open database: %w", err)
	}
	db, err := sql.Open("sqlite", DSN(path, "query_only(1)"))
	if err != nil {
		return 0, 0, fmt.Errorf("open database %s: %w", path, err)
	}
	defer db.Close()
	if have, err = version(ctx, db); err != nil {
		return 0, 0, fault(fmt.Errorf("open database %s: %w", path, err))
	}
	known, err = newest()
	return have, known, err
}

func version(ctx context.Context, db *sql.DB) (v int64, err error) {
	var there bool
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')").Scan(&there)
	if err == nil && there {
		err = db.QueryRowContext(ctx, "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied").Scan(&v)
	}
	return v, err
}

// newest is the version of the last migration.
func newest() (v int64, err error) {
	files, err := migrations.ReadDir("migrations")
	if err != nil {
		return 0, err
	}
	return goose.NumericComponent(files[len(files)-1].Name())
}
