package postgres

import (
	"context"
	"errors"
	"fmt"
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
	var p dbq.WriteSandboxSkillsParams
	for i := range rows {
		p.ExternalIds, p.Names = append(p.ExternalIds, rows[i].ExternalID), append(p.Names, rows[i].Name)
		p.Active = append(p.Active, rows[i].Active)
	}
	p.Account = account
	seqs := make([]int64, len(rows))
	// One statement, and so one transaction.
	written, err := c.s.queries.WriteSandboxSkills(ctx, p)
	if err == nil && len(written) == 0 {
		if err = c.s.queries.InsertSandboxAccount(ctx, account); err == nil {
			written, err = c.s.queries.WriteSandboxSkills(ctx, p)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("sandbox: write: %w", fault(err))
	}
	by := make(map[string]int64, len(written))
	for _, w := range written {
		by[w.ExternalID] = w.Seq
	}
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
		return fault(fmt.Errorf("sandbox: remove: %w", err))
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
