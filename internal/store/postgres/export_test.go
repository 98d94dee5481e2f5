package postgres

import "context"

// Setting is what a setting of the database is within a transaction of the store's.
func Setting(ctx context.Context, s *Store, name string) (value string, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		return tx.sql.QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&value)
	})
	return value, err
}
