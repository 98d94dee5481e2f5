package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// copyFrom is how many new skills are worth a COPY: it takes some more round trips and a third of the time per row.
const copyFrom = 400

// sorted tells skills that should not have a row yet from those that have one. Under the lease nobody else writes an
// integration's rows, but for Doubt, which makes none.
func sorted(written []store.SkillWritten) (made, known []store.SkillWritten) {
	for _, w := range written {
		if w.Ref == 0 {
			made = append(made, w)
		} else {
			known = append(known, w)
		}
	}
	return made, known
}

// upsertSkills writes what a tool confirmed, whether there is a row yet or not.
func (h *held) upsertSkills(ctx context.Context, q *dbq.Queries, task int64, written []store.SkillWritten) error {
	if len(written) == 0 {
		return nil
	}
	return q.UpsertSkills(ctx, upserted(h.lease, task, written))
}

func upserted(lease store.Lease, task int64, written []store.SkillWritten) dbq.UpsertSkillsParams {
	p := dbq.UpsertSkillsParams{Integration: lease.Ref, Task: task}
	for i := range written {
		w := &written[i]
		p.OriginIds, p.Ids = append(p.OriginIds, w.Item.OriginID), append(p.Ids, w.ID)
		p.RemoteIds, p.Names = append(p.RemoteIds, w.RemoteID), append(p.Names, w.Item.Name)
		p.Statuses, p.Hashes = append(p.Statuses, int16(w.Item.Status)), append(p.Hashes, w.Hash[:])
	}
	return p
}

// noteSkills writes down what else a step learnt about skills.
func (h *held) noteSkills(ctx context.Context, q *dbq.Queries, step store.Step) error {
	if err := noteNames(ctx, q, h.lease.Ref, step.Named()); err != nil {
		return err
	}
	if len(step.Refused) > 0 {
		p := dbq.RefuseSkillsParams{Integration: h.lease.Ref, Task: step.Task}
		for i := range step.Refused {
			r := &step.Refused[i]
			p.OriginIds, p.Ids = append(p.OriginIds, r.Item.OriginID), append(p.Ids, r.ID)
			p.Names, p.Statuses = append(p.Names, r.Item.Name), append(p.Statuses, int16(r.Item.Status))
			p.Codes, p.Messages = append(p.Codes, string(r.Code)), append(p.Messages, r.Message)
		}
		if err := q.RefuseSkills(ctx, p); err != nil {
			return err
		}
	}
	return h.markUnsure(ctx, q, step.Unsure)
}

// copySkills makes rows that should not exist yet. Where one does, the database refuses all of them.
func (h *held) copySkills(ctx context.Context, task int64, made []store.SkillWritten) error {
	columns := []string{"integration", "origin_id", "id", "remote_id", "name", "status", "hash", "written_at", "written_by"}
	_, err := h.conn.CopyFrom(ctx, pgx.Identifier{"skills"}, columns, pgx.CopyFromSlice(len(made), func(i int) ([]any, error) {
		w := &made[i]
		return []any{h.lease.Ref, w.Item.OriginID, w.ID, w.RemoteID, w.Item.Name, int16(w.Item.Status), w.Hash[:], h.row.Now, task}, nil
	}))
	if err != nil {
		return fmt.Errorf("copy skills: %w", err)
	}
	return nil
}

// markUnsure notes that nobody knows what the tool holds of these skills. Those without a row get one: the next attempt
// must know that there was one before, and the id that it used stays.
func (h *held) markUnsure(ctx context.Context, q *dbq.Queries, unsure []store.SkillUnsure) error {
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
			u.ID = skill.NewID(time.Now())
		}
		p.OriginIds, p.Ids = append(p.OriginIds, u.Item.OriginID), append(p.Ids, u.ID)
		p.Names, p.Statuses = append(p.Names, u.Item.Name), append(p.Statuses, int16(u.Item.Status))
	}
	if err := noteNames(ctx, q, h.lease.Ref, p.OriginIds); err != nil {
		return err
	}
	return q.UnsureSkills(ctx, p)
}

// Skills implements store.Drains.
func (s *Store) Skills(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillState, error) {
	rows, err := s.queries.FindSkills(ctx, dbq.FindSkillsParams{Integration: lease.Ref, OriginIds: originIDs})
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	return statesOf(originIDs, rows), nil
}

// statesOf are the states of skills in the order in which they were asked for.
func statesOf(originIDs []string, rows []dbq.FindSkillsRow) []store.SkillState {
	states := make([]store.SkillState, len(originIDs))
	found := make(map[string]*dbq.FindSkillsRow, len(rows))
	for i := range rows {
		found[rows[i].OriginID] = &rows[i]
	}
	for i, id := range originIDs {
		row := found[id]
		if row == nil {
			continue
		}
		st := store.SkillState{Ref: 1, ID: row.ID, RemoteID: text(row.RemoteID), Unsure: row.Unsure, Taken: row.Taken} // rows are found by their key
		st.Known = copy(st.Hash[:], row.Hash) == len(st.Hash)
		states[i] = st
	}
	return states
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
