package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// bulk is a statement over many rows: head, a VALUES list, tail. It is prepared for a few numbers of rows, and any number
// is made up of those. Only plain "?" may stand for a value: the driver searches numbered ones one by one, which made a
// batch of 250 rows three times slower.
type bulk struct {
	columns int
	stmts   []*sql.Stmt // by bulkSizes
}

// bulkSizes are the numbers of rows a statement is prepared for, largest first. Larger ones gained nothing.
//
//nolint:gochecknoglobals // a constant, were arrays allowed to be
var bulkSizes = [...]int{128, 32, 8, 1}

func prepareBulk(ctx context.Context, db *sql.DB, head string, columns int, tail string) (*bulk, error) {
	b := &bulk{columns: columns}
	row := "(" + strings.TrimSuffix(strings.Repeat("?,", columns), ",") + ")"
	for _, n := range bulkSizes {
		query := head + strings.TrimSuffix(strings.Repeat(row+",", n), ",") + tail //nolint:gosec // constants of this package
		stmt, err := db.PrepareContext(ctx, query)                                 //nolint:sqlclosecheck // closed with the store
		if err != nil {
			return nil, fmt.Errorf("prepare %q with %d rows: %w", head, n, err)
		}
		b.stmts = append(b.stmts, stmt)
	}
	return b, nil
}

// values are the arguments of a bulk statement: those before the rows, those of row i (appended to args), those behind.
type values struct {
	before []any
	rows   int
	row    func(args []any, i int) []any
	after  []any
}

// each calls do for each statement that the rows take.
func (b *bulk) each(ctx context.Context, tx *sql.Tx, v values, do func(stmt *sql.Stmt, args []any) error) error {
	args := make([]any, 0, len(v.before)+min(v.rows, bulkSizes[0])*b.columns+len(v.after))
	for at := 0; at < v.rows; {
		size := 0
		for bulkSizes[size] > v.rows-at {
			size++
		}
		args = append(args[:0], v.before...)
		for range bulkSizes[size] {
			args = v.row(args, at)
			at++
		}
		args = append(args, v.after...)
		stmt := b.stmts[size]
		if tx != nil {
			stmt = tx.StmtContext(ctx, stmt)
		}
		if err := do(stmt, args); err != nil {
			return err
		}
	}
	return nil
}

// exec runs the statement and returns how many rows it changed.
func (b *bulk) exec(ctx context.Context, tx *sql.Tx, v values) (int, error) {
	var changed int64
	err := b.each(ctx, tx, v, func(stmt *sql.Stmt, args []any) error {
		res, err := stmt.ExecContext(ctx, args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		changed += n
		return err
	})
	return int(changed), err
}

// query runs the statement, in a transaction if there is one, and hands each row of the answer to scan.
func (b *bulk) query(ctx context.Context, tx *sql.Tx, v values, scan func(*sql.Rows) error) error {
	return b.each(ctx, tx, v, func(stmt *sql.Stmt, args []any) error {
		rows, err := stmt.QueryContext(ctx, args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}
