package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Versions tells at which version the tables of a database are, as store.TablesVersions does. It changes nothing: the error of a
// file that does not exist is an fs.ErrNotExist.
func Versions(ctx context.Context, path string) (have, known int64, err error) {
	if _, err := os.Stat(path); err != nil {
		return 0, 0, fmt.Errorf("open database: %w", err)
	}
	db, err := sql.Open("sqlite", DSN(path, "query_only(1)"))
	if err != nil {
		return 0, 0, fmt.Errorf("open database %s: %w", path, err)
	}
	defer db.Close()
	made, err := changes(ctx, db)
	if err != nil {
		return 0, 0, fault(fmt.Errorf("open database %s: %w", path, err))
	}
	return store.TablesVersions(made, migrations)
}

// changes are the numbers of the changes that were made to the tables.
func changes(ctx context.Context, db *sql.DB) (made []int64, err error) {
	var there bool
	err = db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'goose_db_version')").Scan(&there)
	if err != nil || !there {
		return nil, err
	}
	return gather(ctx, db, func(rows *sql.Rows) (v int64, err error) {
		err = rows.Scan(&v)
		return v, err
	}, "SELECT version_id FROM goose_db_version WHERE is_applied")
}
