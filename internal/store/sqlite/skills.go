package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// bulks are the statements over many rows.
type bulks struct {
	insertSkills, updateSkills, refuseNewSkills, refuseSkills *bulk
	findSkills, findContents, doubtSkills                     *bulk
	buryTasks, dropItems, dropOutcomes, dropTasks             *bulk
	appendInteractions                                        *bulk
	sandboxInsert, sandboxUpsert, sandboxFind, sandboxHolders *bulk
	noteSkills, listedSkills, remoteSkills                    *bulk
	indexWords                                                *bulk
}

// wishStands is whether a wish for a skill is none that the task knew of whose word is written down: it came behind the task, and
// asks for something else. Then that word is of a time before the wish. ?1 is now, ?2 the task; v is what it brought.
const wishStands = `noted = 2 AND noted_at > coalesce(written_at, 0) AND noted_at > coalesce(error_at, 0)
	AND (noted_name <> v.%s OR noted_status <> v.%s)
	AND EXISTS (SELECT 1 FROM tasks WHERE tasks.seq = ?2 AND (tasks.rewrite = 1 OR tasks.created_at <= noted_at))`

// timeOf is when a task's word is written down as of.
func timeOf(name, status string) string {
	return `CASE WHEN ` + fmt.Sprintf(wishStands, name, status) + ` THEN min(?1, noted_at - 1) ELSE ?1 END`
}

func (b *bulks) prepare(ctx context.Context, write, read *sql.DB) error {
	for _, p := range []struct {
		to         **bulk
		db         *sql.DB
		head, tail string
		columns    int
	}{
		{
			&b.insertSkills, write,
			`INSERT INTO skills (integration, written_at, written_by, origin_id, id, remote_id, name, status, hash)
			 SELECT ?, ?, ?, column1, column2, column3, column4, column5, column6 FROM (VALUES `,
			`) WHERE true ON CONFLICT (integration, origin_id) DO UPDATE SET
			 written_at = excluded.written_at, written_by = excluded.written_by, remote_id = excluded.remote_id,
			 name = excluded.name, status = excluded.status, hash = excluded.hash, unsure = 0,
			 error_code = NULL, error_message = NULL, error_at = NULL`,
			6,
		},
		{
			&b.updateSkills, write,
			`UPDATE skills SET written_at = ` + timeOf("column3", "column4") + `, written_by = ?2, remote_id = v.column2, name = v.column3, status = v.column4,
			 hash = v.column5, unsure = 0, error_code = NULL, error_message = NULL, error_at = NULL
			 FROM (VALUES `,
			`) v WHERE skills.seq = v.column1`,
			5,
		},
		{
			&b.refuseNewSkills, write,
			`INSERT INTO skills (integration, error_at, origin_id, id, name, status, error_code, error_message)
			 SELECT ?, ?, column1, column2, column3, column4, column5, column6 FROM (VALUES `,
			`) WHERE true ON CONFLICT (integration, origin_id) DO UPDATE SET
			 error_at = excluded.error_at, error_code = excluded.error_code, error_message = excluded.error_message,
			 name = CASE WHEN written_at IS NULL THEN excluded.name ELSE name END,
			 status = CASE WHEN written_at IS NULL THEN excluded.status ELSE status END`,
			6,
		},
		{
			&b.refuseSkills, write,
			`UPDATE skills SET error_at = ` + timeOf("column4", "column5") + `, error_code = v.column2, error_message = v.column3,
			 name = CASE WHEN written_at IS NULL THEN v.column4 ELSE name END,
			 status = CASE WHEN written_at IS NULL THEN v.column5 ELSE status END
			 FROM (VALUES `,
			`) v WHERE skills.seq = v.column1`,
			5,
		},
		{
			&b.findSkills, read,
			`SELECT v.column1, s.seq, s.id, s.remote_id, s.hash, s.unsure,
			 s.origin_id = s.id AND coalesce(s.remote_id, '') <> '' AND s.written_at IS NULL FROM (VALUES `,
			`) v CROSS JOIN skills s ON s.integration = ? AND s.origin_id = v.column2`,
			2,
		},
		{
			&b.findContents, read,
			`SELECT v.column1, s.name, s.status FROM (VALUES `,
			`) v CROSS JOIN skills s ON s.integration = ? AND s.origin_id = v.column2 AND s.written_at IS NOT NULL`,
			2,
		},
		{
			&b.doubtSkills, write,
			`UPDATE skills SET hash = NULL, unsure = 1 WHERE integration = ? AND origin_id IN (VALUES `,
			`) RETURNING origin_id, name, status`,
			1,
		},
		{
			&b.buryTasks, write,
			`INSERT INTO expired_tasks (expired_at, id, integration)
			 SELECT ?, id, integration FROM tasks WHERE seq IN (VALUES `,
			`)`,
			1,
		},
		{
			&b.appendInteractions, write,
			`INSERT INTO interactions (id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url, exchange)
			 VALUES `,
			` ON CONFLICT DO NOTHING`,
			15,
		},
		{&b.dropItems, write, `DELETE FROM task_items WHERE task IN (VALUES `, `)`, 1},
		{&b.dropOutcomes, write, `DELETE FROM task_outcomes WHERE task IN (VALUES `, `)`, 1},
		{&b.dropTasks, write, `DELETE FROM tasks WHERE seq IN (VALUES `, `)`, 1},
		{
			&b.noteSkills, write,
			`UPDATE skills SET remote_id = v.column2, hash = CASE WHEN v.column3 THEN NULL ELSE hash END,
			 noted = CASE WHEN v.column4 THEN v.column5 ELSE noted END, noted_name = CASE WHEN v.column4 THEN v.column6 ELSE noted_name END,
			 noted_status = CASE WHEN v.column4 THEN v.column7 ELSE noted_status END,
			 noted_at = CASE WHEN v.column4 THEN ? ELSE noted_at END
			 FROM (VALUES `,
			`) v WHERE skills.seq = v.column1 AND skills.written_at IS v.column8 AND skills.noted_at IS v.column9`,
			9,
		},
		{
			&b.listedSkills, write,
			`INSERT INTO skills (integration, origin_id, id, remote_id, name, status)
			 SELECT ?, column1, column2, column3, column4, column5 FROM (VALUES `,
			`) WHERE true ON CONFLICT (integration, origin_id) DO NOTHING`,
			5,
		},
		{
			&b.remoteSkills, write,
			`INSERT INTO remote_skills (integration, changed_at, remote_id, id, name, status, gone_at, apart)
			 SELECT ?, ?, column1, column2, column3, column4, CASE WHEN column5 THEN ? END, column6 FROM (VALUES `,
			`) WHERE true ON CONFLICT (integration, remote_id) DO UPDATE SET id = coalesce(id, excluded.id), name = excluded.name,
			 status = excluded.status, apart = excluded.apart, changed_at = excluded.changed_at, gone_at = excluded.gone_at`,
			6,
		},
		{
			&b.indexWords, write,
			`INSERT OR REPLACE INTO skill_words (rowid, words) SELECT column1, column2 FROM (VALUES `,
			`)`,
			2,
		},
		{
			&b.sandboxInsert, write,
			`INSERT INTO sandbox_skills (account, updated_at, seq, external_id, name, active)
			 SELECT ?, ?, column1, column2, column3, column4 FROM (VALUES `,
			`) WHERE true ON CONFLICT (account, external_id) DO NOTHING`,
			4,
		},
		{
			&b.sandboxUpsert, write,
			`INSERT INTO sandbox_skills (account, updated_at, external_id, name, active)
			 SELECT ?, ?, column1, column2, column3 FROM (VALUES `,
			`) WHERE true ON CONFLICT (account, external_id) DO UPDATE SET
			 updated_at = excluded.updated_at, name = excluded.name, active = excluded.active, writes = writes + 1`,
			3,
		},
		{
			&b.sandboxFind, write,
			`SELECT v.column1, s.seq FROM (VALUES `,
			`) v CROSS JOIN sandbox_skills s ON s.account = ? AND s.external_id = v.column2`,
			2,
		},
		{
			&b.sandboxHolders, read,
			`SELECT s.name, s.external_id FROM sandbox_skills s
			 WHERE s.account = (SELECT a.seq FROM sandbox_accounts a WHERE a.name = ?) AND s.name IN (SELECT column1 FROM (VALUES `,
			`))`,
			1,
		},
	} {
		var err error
		if *p.to, err = prepareBulk(ctx, p.db, p.head, p.columns, p.tail); err != nil {
			return err
		}
	}
	return nil
}

// settleSkills writes what a step learnt about skills into the catalogue.
func (s *Store) settleSkills(ctx context.Context, tx *transaction, lease store.Lease, step store.Step) error {
	var made, known []store.SkillWritten
	for _, w := range step.Written {
		if w.Ref == 0 {
			made = append(made, w)
		} else {
			known = append(known, w)
		}
	}
	more, err := s.bulk.insertSkills.exec(ctx, tx.sql, values{
		before: []any{lease.Ref, tx.now, step.Task},
		rows:   len(made),
		row: func(args []any, i int) []any {
			w := &made[i]
			return append(args, w.Item.OriginID, w.ID, w.RemoteID, w.Item.Name, int64(w.Item.Status), w.Hash[:])
		},
	})
	if err != nil {
		return fmt.Errorf("insert skills: %w", err)
	}
	if _, err := s.bulk.updateSkills.exec(ctx, tx.sql, values{
		before: []any{tx.now, step.Task},
		rows:   len(known),
		row: func(args []any, i int) []any {
			w := &known[i]
			return append(args, w.Ref, w.RemoteID, w.Item.Name, int64(w.Item.Status), w.Hash[:])
		},
	}); err != nil {
		return fmt.Errorf("update skills: %w", err)
	}
	var refusedNew, refused []store.SkillRefused
	for _, r := range step.Refused {
		if r.Ref == 0 {
			refusedNew = append(refusedNew, r)
		} else {
			refused = append(refused, r)
		}
	}
	n, err := s.bulk.refuseNewSkills.exec(ctx, tx.sql, values{
		before: []any{lease.Ref, tx.now},
		rows:   len(refusedNew),
		row: func(args []any, i int) []any {
			r := &refusedNew[i]
			return append(args, r.Item.OriginID, r.ID, r.Item.Name, int64(r.Item.Status), string(r.Code), r.Message)
		},
	})
	if err != nil {
		return fmt.Errorf("insert refused skills: %w", err)
	}
	if _, err := s.bulk.refuseSkills.exec(ctx, tx.sql, values{
		before: []any{tx.now, step.Task},
		rows:   len(refused),
		row: func(args []any, i int) []any {
			r := &refused[i]
			return append(args, r.Ref, string(r.Code), r.Message, r.Item.Name, int64(r.Item.Status))
		},
	}); err != nil {
		return fmt.Errorf("note refused skills: %w", err)
	}
	if err := tx.markUnsure(ctx, lease.Ref, step.Unsure); err != nil {
		return err
	}
	if err := tx.noteNames(ctx, lease.Ref, step.Named()); err != nil {
		return err
	}
	if more += n; more > 0 {
		return tx.CountSkills(ctx, dbq.CountSkillsParams{Integration: lease.Ref, More: int64(more)})
	}
	return nil
}

// markUnsure notes that nobody knows what the tool holds of these skills. Those without a row get one: the next attempt
// must know that there was one before, and the id that it used stays.
func (tx *transaction) markUnsure(ctx context.Context, integration int64, unsure []store.SkillUnsure) error {
	made, named := 0, make([]string, 0, len(unsure))
	for _, u := range unsure {
		named = append(named, u.Item.OriginID)
		n, err := tx.MarkUnsure(ctx, dbq.MarkUnsureParams{
			Integration: integration, OriginID: u.Item.OriginID, Name: u.Item.Name, Status: int64(u.Item.Status),
		})
		if err != nil {
			return fmt.Errorf("mark unsure: %w", err)
		}
		if n > 0 {
			continue
		}
		if u.ID == "" {
			u.ID = skill.NewIDs(fromMillis(tx.now), 1)[0]
		}
		if err := tx.InsertUnsure(ctx, dbq.InsertUnsureParams{
			Integration: integration, OriginID: u.Item.OriginID, ID: u.ID, Name: u.Item.Name, Status: int64(u.Item.Status),
		}); err != nil {
			return fmt.Errorf("insert unsure: %w", err)
		}
		made++
	}
	if err := tx.noteNames(ctx, integration, named); err != nil || made == 0 {
		return err
	}
	return tx.CountSkills(ctx, dbq.CountSkillsParams{Integration: integration, More: int64(made)})
}

// Skills implements store.Drains.
func (s *Store) Skills(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillState, error) {
	states := make([]store.SkillState, len(originIDs))
	count, err := s.queries.SkillCount(ctx, lease.Ref)
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	if count == 0 {
		return states, nil
	}
	var at int
	var remote sql.NullString
	var hash []byte
	err = s.bulk.findSkills.query(ctx, nil, values{
		rows:  len(originIDs),
		row:   func(args []any, i int) []any { return append(args, int64(i), originIDs[i]) },
		after: []any{lease.Ref},
	}, func(rows *sql.Rows) error {
		var st store.SkillState
		if err := rows.Scan(&at, &st.Ref, &st.ID, &remote, &hash, &st.Unsure, &st.Taken); err != nil {
			return err
		}
		st.RemoteID = remote.String
		st.Known = copy(st.Hash[:], hash) == len(st.Hash)
		states[at] = st
		return nil
	})
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	return states, nil
}

// Contents implements store.Drains.
func (s *Store) Contents(ctx context.Context, lease store.Lease, originIDs []string) ([]skill.Item, error) {
	items := make([]skill.Item, len(originIDs))
	for i, id := range originIDs {
		items[i].OriginID = id
	}
	err := s.bulk.findContents.query(ctx, nil, values{
		rows:  len(originIDs),
		row:   func(args []any, i int) []any { return append(args, int64(i), originIDs[i]) },
		after: []any{lease.Ref},
	}, func(rows *sql.Rows) error {
		var at int
		var it skill.Item
		if err := rows.Scan(&at, &it.Name, &it.Status); err != nil {
			return err
		}
		items[at].Name, items[at].Status = it.Name, it.Status
		return nil
	})
	if err != nil {
		return nil, fault(fmt.Errorf("contents of skills: %w", err))
	}
	return items, nil
}
