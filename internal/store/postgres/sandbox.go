package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// Sandbox implements store.Store.
func (s *Store) Sandbox() sandbox.Catalogue { return sandboxCatalogue{s} }

// sandboxCatalogue is the sandbox tool's own catalogue. It shares the database with ours, and nothing else: a call of it
// is committed before it returns, whatever becomes of the drain that made it.
type sandboxCatalogue struct{ s *Store }

// do runs a change for an account, which is made if it does not exist.
func (c sandboxCatalogue) do(ctx context.Context, what, account string, change func(ctx context.Context, tx *transaction, ref int64) error) error {
	err := c.s.change(ctx, func(ctx context.Context, tx *transaction) error {
		ref, err := tx.SandboxAccount(ctx, account)
		if errors.Is(err, pgx.ErrNoRows) {
			if err := tx.InsertSandboxAccount(ctx, account); err != nil {
				return err
			}
			// Whoever was faster is seen by a statement of its own only.
			ref, err = tx.SandboxAccount(ctx, account)
		}
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
	if len(rows) == 0 {
		return nil, nil
	}
	seqs, err := c.write(ctx, account, rows)
	if errors.Is(err, pgx.ErrNoRows) { // an account that is not there yet
		if err = c.s.queries.InsertSandboxAccount(ctx, account); err == nil {
			seqs, err = c.write(ctx, account, rows)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: write: %w", fault(alone(err)))
	}
	return seqs, nil
}

func (c sandboxCatalogue) write(ctx context.Context, account string, rows []sandbox.Row) ([]int64, error) {
	fresh := !slices.ContainsFunc(rows, func(r sandbox.Row) bool { return r.Seq != 0 }) // as far as the caller knows
	if fresh && len(rows) >= copyFrom {
		if seqs, err := c.copy(ctx, account, rows); codeOf(err) != "23505" {
			return seqs, err
		}
	}
	return c.upsert(ctx, account, rows)
}

// copy makes rows that should not exist yet. Where one does, the database refuses all of them.
func (c sandboxCatalogue) copy(ctx context.Context, account string, rows []sandbox.Row) (seqs []int64, err error) {
	err = c.s.inBatches(ctx, func(ctx context.Context, b *batches) error {
		var n dbq.NumberSandboxSkillsRow
		if err := b.send(ctx, func(ctx context.Context, q *dbq.Queries) (err error) {
			n, err = q.NumberSandboxSkills(ctx, dbq.NumberSandboxSkillsParams{Account: account, Rows: int32(len(rows))})
			return err
		}); err != nil {
			return err
		}
		columns := []string{"seq", "account", "external_id", "name", "active", "updated_at"}
		if _, err := b.conn.CopyFrom(ctx, pgx.Identifier{"sandbox_skills"}, columns, pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			return []any{n.Numbers[i], n.Seq, rows[i].ExternalID, rows[i].Name, rows[i].Active, n.Now}, nil
		})); err != nil {
			return err
		}
		seqs = n.Numbers
		return b.end(ctx, func(context.Context, *dbq.Queries) error { return nil })
	})
	return seqs, err
}

// upsert makes rows or replaces them, in one statement and so in one transaction.
func (c sandboxCatalogue) upsert(ctx context.Context, account string, rows []sandbox.Row) ([]int64, error) {
	p := dbq.WriteSandboxSkillsParams{Account: account}
	for i := range rows {
		p.ExternalIds, p.Names = append(p.ExternalIds, rows[i].ExternalID), append(p.Names, rows[i].Name)
		p.Active = append(p.Active, rows[i].Active)
	}
	written, err := c.s.queries.WriteSandboxSkills(ctx, p)
	if err == nil && len(written) == 0 {
		err = pgx.ErrNoRows
	}
	if err != nil {
		return nil, err
	}
	by := make(map[string]int64, len(written))
	for _, w := range written {
		by[w.ExternalID] = w.Seq
	}
	seqs := make([]int64, len(rows))
	for i := range rows {
		seqs[i] = by[rows[i].ExternalID]
	}
	return seqs, nil
}

// Holders implements sandbox.Catalogue.
func (c sandboxCatalogue) Holders(ctx context.Context, account string, names []string) (map[string]string, error) {
	rows, err := c.s.queries.SandboxHolders(ctx, dbq.SandboxHoldersParams{Account: account, Names: names})
	if err != nil {
		return nil, fault(fmt.Errorf("sandbox: holders: %w", err))
	}
	holders := make(map[string]string, len(rows))
	for _, r := range rows {
		holders[r.Name] = r.ExternalID
	}
	return holders, nil
}

// List implements sandbox.Catalogue.
func (c sandboxCatalogue) List(ctx context.Context, account string, after int64, limit int) ([]sandbox.Record, error) {
	rows, err := c.s.queries.SandboxSkills(ctx, dbq.SandboxSkillsParams{Account: account, After: after, Most: int32(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("sandbox: list: %w", err))
	}
	return collect(rows, sandboxRecord), nil
}

func sandboxRecord(r dbq.SandboxSkillsRow) sandbox.Record {
	return sandbox.Record{
		Row:    sandbox.Row{Seq: r.Seq, ExternalID: r.ExternalID, Name: r.Name, Active: r.Active},
		Writes: int(r.Writes),
	}
}

// Page implements sandbox.Catalogue.
func (c sandboxCatalogue) Page(ctx context.Context, account, after string, limit int) ([]sandbox.Record, error) {
	rows, err := c.s.queries.SandboxPage(ctx, dbq.SandboxPageParams{Account: account, After: after, Most: int32(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("sandbox: page: %w", err))
	}
	return collect(rows, func(r dbq.SandboxPageRow) sandbox.Record { return sandboxRecord(dbq.SandboxSkillsRow(r)) }), nil
}

// Remove implements sandbox.Catalogue.
func (c sandboxCatalogue) Remove(ctx context.Context, account string, externalIDs []string) error {
	if err := c.s.queries.RemoveSandboxSkills(ctx, dbq.RemoveSandboxSkillsParams{Account: account, ExternalIds: externalIDs}); err != nil {
		return fault(fmt.Errorf("sandbox: remove: %w", alone(err)))
	}
	return nil
}

// Admit implements sandbox.Catalogue.
func (c sandboxCatalogue) Admit(ctx context.Context, account string, limit int, window time.Duration) (wait time.Duration, err error) {
	err = c.do(ctx, "admit", account, func(ctx context.Context, tx *transaction, ref int64) error {
		wait = 0
		w, err := tx.SandboxWindow(ctx, ref)
		if err != nil {
			return err
		}
		ends := w.WindowStart.Add(window)
		switch {
		case !w.Now.Before(ends):
			w.WindowStart, w.WindowCalls = w.Now, 0
		case int(w.WindowCalls) >= limit:
			wait = ends.Sub(w.Now)
			return nil
		}
		return tx.SetSandboxWindow(ctx, dbq.SetSandboxWindowParams{Account: ref, WindowStart: w.WindowStart, WindowCalls: w.WindowCalls + 1})
	})
	return wait, err
}

// Steps implements sandbox.Catalogue.
func (c sandboxCatalogue) Steps(ctx context.Context, account string, externalIDs []string) ([]int, error) {
	steps := make([]int, len(externalIDs))
	err := c.do(ctx, "steps", account, func(ctx context.Context, tx *transaction, ref int64) error {
		rows, err := tx.StepSandboxScripts(ctx, dbq.StepSandboxScriptsParams{Account: ref, ExternalIds: externalIDs})
		if err != nil {
			return err
		}
		by := make(map[string]int32, len(rows))
		for _, r := range rows {
			by[r.ExternalID] = r.Step
		}
		for i, id := range externalIDs {
			steps[i] = int(by[id]) - 1
		}
		return nil
	})
	return steps, err
}
