package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// copyFrom is how many new skills are worth a COPY: it takes some more round trips and a third of the time per row.
const copyFrom = 400

// settleSkills writes what a step learnt about skills into the catalogue. Under the lease nobody else writes an
// integration's rows, but for Doubt, which makes none.
func (h *held) settleSkills(ctx context.Context, step store.Step) error {
	var made, known []store.SkillWritten
	for _, w := range step.Written {
		if w.Ref == 0 {
			made = append(made, w)
		} else {
			known = append(known, w)
		}
	}
	if len(made) >= copyFrom {
		done, err := h.copySkills(ctx, step.Task, made)
		if err != nil {
			return err
		}
		if done {
			made = nil
		}
	}
	grows := len(step.Written) > len(known)
	if known = append(known, made...); len(known) > 0 {
		p := dbq.UpsertSkillsParams{Integration: h.lease.Ref, Task: step.Task}
		for i := range known {
			w := &known[i]
			p.OriginIds, p.Ids = append(p.OriginIds, w.Item.OriginID), append(p.Ids, w.ID)
			p.RemoteIds, p.Names = append(p.RemoteIds, w.RemoteID), append(p.Names, w.Item.Name)
			p.Statuses, p.Hashes = append(p.Statuses, int16(w.Item.Status)), append(p.Hashes, w.Hash[:])
		}
		if err := h.UpsertSkills(ctx, p); err != nil {
			return fmt.Errorf("write skills: %w", err)
		}
	}
	if len(step.Refused) > 0 {
		p := dbq.RefuseSkillsParams{Integration: h.lease.Ref}
		for i := range step.Refused {
			r := &step.Refused[i]
			p.OriginIds, p.Ids = append(p.OriginIds, r.Item.OriginID), append(p.Ids, r.ID)
			p.Names, p.Statuses = append(p.Names, r.Item.Name), append(p.Statuses, int16(r.Item.Status))
			p.Codes, p.Messages = append(p.Codes, string(r.Code)), append(p.Messages, r.Message)
			grows = grows || r.Ref == 0
		}
		if err := h.RefuseSkills(ctx, p); err != nil {
			return fmt.Errorf("note refused skills: %w", err)
		}
	}
	if grows {
		if err := h.SetHasSkills(ctx, h.lease.Ref); err != nil {
			return err
		}
	}
	return h.markUnsure(ctx, step.Unsure)
}

// copySkills makes rows that should not exist yet. Where one does, nothing is kept and done is false.
func (h *held) copySkills(ctx context.Context, task int64, made []store.SkillWritten) (done bool, err error) {
	nested, err := h.sql.Begin(ctx) // a savepoint
	if err != nil {
		return false, fmt.Errorf("copy skills: %w", err)
	}
	columns := []string{"integration", "origin_id", "id", "remote_id", "name", "status", "hash", "written_at", "written_by"}
	_, err = nested.CopyFrom(ctx, pgx.Identifier{"skills"}, columns, pgx.CopyFromSlice(len(made), func(i int) ([]any, error) {
		w := &made[i]
		return []any{h.lease.Ref, w.Item.OriginID, w.ID, w.RemoteID, w.Item.Name, int16(w.Item.Status), w.Hash[:], h.row.Now, task}, nil
	}))
	if codeOf(err) == "23505" {
		return false, nested.Rollback(ctx)
	}
	if err == nil {
		err = nested.Commit(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("copy skills: %w", err)
	}
	return true, nil
}

// markUnsure notes that nobody knows what the tool holds of these skills. Those without a row get one: the next attempt
// must know that there was one before, and the id that it used stays.
func (h *held) markUnsure(ctx context.Context, unsure []store.SkillUnsure) error {
	if len(unsure) == 0 {
		return nil
	}
	p := dbq.UnsureSkillsParams{Integration: h.lease.Ref}
	seen := make(map[string]bool, len(unsure))
	for _, u := range unsure {
		if seen[u.Item.OriginID] {
			continue // a statement may not touch a row twice
		}
		seen[u.Item.OriginID] = true
		if u.ID == "" {
			u.ID = skill.NewID(h.row.Now)
		}
		p.OriginIds, p.Ids = append(p.OriginIds, u.Item.OriginID), append(p.Ids, u.ID)
		p.Names, p.Statuses = append(p.Names, u.Item.Name), append(p.Statuses, int16(u.Item.Status))
	}
	if err := h.UnsureSkills(ctx, p); err != nil {
		return fmt.Errorf("mark unsure: %w", err)
	}
	return h.SetHasSkills(ctx, h.lease.Ref)
}

// Skills implements store.Drains.
func (s *Store) Skills(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillState, error) {
	states := make([]store.SkillState, len(originIDs))
	some, err := s.queries.HasSkills(ctx, lease.Ref)
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	if !some {
		return states, nil
	}
	rows, err := s.queries.FindSkills(ctx, dbq.FindSkillsParams{Integration: lease.Ref, OriginIds: originIDs})
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	found := make(map[string]*dbq.FindSkillsRow, len(rows))
	for i := range rows {
		found[rows[i].OriginID] = &rows[i]
	}
	for i, id := range originIDs {
		row := found[id]
		if row == nil {
			continue
		}
		st := store.SkillState{Ref: 1, ID: row.ID, RemoteID: text(row.RemoteID), Unsure: row.Unsure} // rows are found by their key
		st.Known = copy(st.Hash[:], row.Hash) == len(st.Hash)
		states[i] = st
	}
	return states, nil
}

// Contents implements store.Drains.
func (s *Store) Contents(ctx context.Context, lease store.Lease, originIDs []string) ([]skill.Item, error) {
	rows, err := s.queries.SkillContents(ctx, dbq.SkillContentsParams{Integration: lease.Ref, OriginIds: originIDs})
	if err != nil {
		return nil, fault(fmt.Errorf("contents of skills: %w", err))
	}
	found := make(map[string]skill.Item, len(rows))
	for _, r := range rows {
		found[r.OriginID] = skill.Item{OriginID: r.OriginID, Name: r.Name, Status: skill.Status(r.Status)}
	}
	items := make([]skill.Item, len(originIDs))
	for i, id := range originIDs {
		items[i] = found[id]
		items[i].OriginID = id
	}
	return items, nil
}
