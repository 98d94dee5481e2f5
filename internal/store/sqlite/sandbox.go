package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// Sandbox implements store.Store.
func (s *Store) Sandbox() sandbox.Catalogue { return sandboxCatalogue{s} }

// sandboxCatalogue is the sandbox tool's own catalogue. It shares the file with ours, and nothing else: a call of it is
// committed before it returns, whatever becomes of the drain that made it.
type sandboxCatalogue struct{ s *Store }

// do runs a change for an account, which is made if it does not exist.
func (c sandboxCatalogue) do(ctx context.Context, what, account string, change func(ctx context.Context, tx *transaction, ref int64) error) error {
	err := c.s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		ref, err := tx.InsertSandboxAccount(ctx, account)
		if err != nil {
			return err
		}
		return change(ctx, tx, ref)
	})
	if err != nil {
		return fmt.Errorf("sandbox: %s: %w", what, err)
	}
	return nil
}

// Write implements sandbox.Catalogue.
func (c sandboxCatalogue) Write(ctx context.Context, account string, rows []sandbox.Row) ([]int64, error) {
	var seqs []int64
	err := c.do(ctx, "write", account, func(ctx context.Context, tx *transaction, ref int64) error {
		seqs = make([]int64, len(rows))
		var fresh, known []int
		for i, row := range rows {
			if seqs[i] = row.Seq; row.Seq == 0 {
				fresh = append(fresh, i)
			} else {
				known = append(known, i)
			}
		}
		if err := c.insert(ctx, tx, ref, rows, fresh, seqs); err != nil {
			return err
		}
		return c.upsert(ctx, tx, ref, rows, known)
	})
	return seqs, err
}

// insert writes rows the caller has no number for. Mostly they are new: they get the next numbers. Where one of them
// exists after all, all are written again by external id and their numbers are looked up.
func (c sandboxCatalogue) insert(ctx context.Context, tx *transaction, ref int64, rows []sandbox.Row, which []int, seqs []int64) error {
	if len(which) == 0 {
		return nil
	}
	next, err := tx.NextSandboxSeq(ctx)
	if err != nil {
		return err
	}
	made, err := c.s.bulk.sandboxInsert.exec(ctx, tx.sql, values{
		before: []any{ref, tx.now},
		rows:   len(which),
		row: func(args []any, i int) []any {
			row := &rows[which[i]]
			seqs[which[i]] = next + int64(i)
			return append(args, seqs[which[i]], row.ExternalID, row.Name, flag(row.Active))
		},
	})
	if err != nil || made == len(which) {
		return err
	}
	existing := which[:0:0]
	var at, seq int64
	err = c.s.bulk.sandboxFind.query(ctx, tx.sql, values{
		rows:  len(which),
		row:   func(args []any, i int) []any { return append(args, int64(i), rows[which[i]].ExternalID) },
		after: []any{ref},
	}, func(r *sql.Rows) error {
		if err := r.Scan(&at, &seq); err != nil {
			return err
		}
		if i := which[at]; seqs[i] != seq { // not made just now
			seqs[i] = seq
			existing = append(existing, i)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.upsert(ctx, tx, ref, rows, existing)
}

func (c sandboxCatalogue) upsert(ctx context.Context, tx *transaction, ref int64, rows []sandbox.Row, which []int) error {
	_, err := c.s.bulk.sandboxUpsert.exec(ctx, tx.sql, values{
		before: []any{ref, tx.now},
		rows:   len(which),
		row: func(args []any, i int) []any {
			row := &rows[which[i]]
			return append(args, row.ExternalID, row.Name, flag(row.Active))
		},
	})
	return err
}

// Holders implements sandbox.Catalogue.
func (c sandboxCatalogue) Holders(ctx context.Context, account string, names []string) (map[string]string, error) {
	holders := map[string]string{}
	var name, externalID string
	err := c.s.bulk.sandboxHolders.query(ctx, nil, values{
		before: []any{account},
		rows:   len(names),
		row:    func(args []any, i int) []any { return append(args, names[i]) },
	}, func(r *sql.Rows) error {
		if err := r.Scan(&name, &externalID); err != nil {
			return err
		}
		holders[name] = externalID
		return nil
	})
	if err != nil {
		return nil, fault(fmt.Errorf("sandbox: holders: %w", err))
	}
	return holders, nil
}

// List implements sandbox.Catalogue.
func (c sandboxCatalogue) List(ctx context.Context, account string, after int64, limit int) ([]sandbox.Record, error) {
	rows, err := c.s.queries.SandboxSkills(ctx, dbq.SandboxSkillsParams{Account: account, After: after, Most: int64(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("sandbox: list: %w", err))
	}
	return collect(rows, sandboxRecord), nil
}

func sandboxRecord(r dbq.SandboxSkillsRow) sandbox.Record {
	return sandbox.Record{
		Row:    sandbox.Row{Seq: r.Seq, ExternalID: r.ExternalID, Name: r.Name, Active: r.Active != 0},
		Writes: int(r.Writes),
	}
}

// Page implements sandbox.Catalogue.
func (c sandboxCatalogue) Page(ctx context.Context, account, after string, limit int) ([]sandbox.Record, error) {
	rows, err := c.s.queries.SandboxPage(ctx, dbq.SandboxPageParams{Account: account, After: after, Most: int64(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("sandbox: page: %w", err))
	}
	return collect(rows, func(r dbq.SandboxPageRow) sandbox.Record { return sandboxRecord(dbq.SandboxSkillsRow(r)) }), nil
}

// Remove implements sandbox.Catalogue.
func (c sandboxCatalogue) Remove(ctx context.Context, account string, externalIDs []string) error {
	return c.do(ctx, "remove", account, func(ctx context.Context, tx *transaction, ref int64) error {
		for _, id := range externalIDs {
			if err := tx.RemoveSandboxSkill(ctx, dbq.RemoveSandboxSkillParams{Account: ref, ExternalID: id}); err != nil {
				return err
			}
		}
		return nil
	})
}

// Admit implements sandbox.Catalogue.
func (c sandboxCatalogue) Admit(ctx context.Context, account string, limit int, window time.Duration) (wait time.Duration, err error) {
	err = c.do(ctx, "admit", account, func(ctx context.Context, tx *transaction, ref int64) error {
		wait = 0
		w, err := tx.SandboxWindow(ctx, ref)
		if err != nil {
			return err
		}
		ends := w.WindowStart + window.Milliseconds()
		switch {
		case tx.now >= ends:
			w = dbq.SandboxWindowRow{WindowStart: tx.now}
		case w.WindowCalls >= int64(limit):
			wait = time.Duration(ends-tx.now) * time.Millisecond
			return nil
		}
		return tx.SetSandboxWindow(ctx, dbq.SetSandboxWindowParams{WindowStart: w.WindowStart, WindowCalls: w.WindowCalls + 1, Seq: ref})
	})
	return wait, err
}

// Steps implements sandbox.Catalogue.
func (c sandboxCatalogue) Steps(ctx context.Context, account string, externalIDs []string) ([]int, error) {
	var steps []int
	err := c.do(ctx, "steps", account, func(ctx context.Context, tx *transaction, ref int64) error {
		steps = make([]int, len(externalIDs))
		for i, id := range externalIDs {
			step, err := tx.StepSandboxScript(ctx, dbq.StepSandboxScriptParams{Account: ref, ExternalID: id})
			if err != nil {
				return err
			}
			steps[i] = int(step) - 1
		}
		return nil
	})
	return steps, err
}
