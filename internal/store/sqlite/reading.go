package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// skillColumns is what scanSkill reads.
const skillColumns = `seq, id, origin_id, remote_id, name, status, hash, unsure, written_at, noted, noted_at, noted_name, noted_status,
	error_code, error_message, error_at`

func scanSkill(rows *sql.Rows) (r store.SkillRow, err error) {
	var remote, notedName, code, message sql.NullString
	var note, notedStatus, written, noted, failed sql.NullInt64
	var hash []byte
	err = rows.Scan(&r.Ref, &r.ID, &r.OriginID, &remote, &r.Name, &r.Status, &hash, &r.Unsure, &written, &note, &noted, &notedName, &notedStatus,
		&code, &message, &failed)
	r.RemoteID, r.NotedName, r.Code, r.Message = remote.String, notedName.String, skill.Code(code.String), message.String
	r.Known = copy(r.Hash[:], hash) == len(r.Hash)
	r.Note, r.NotedStatus = store.Note(note.Int64), skill.Status(notedStatus.Int64)
	r.WrittenAt, r.NotedAt, r.ErrorAt = fromNullMillis(written), fromNullMillis(noted), fromNullMillis(failed)
	return r, err
}

const remoteColumns = `remote_id, coalesce(id, ''), name, status, apart, changed_at, gone_at`

func scanRemote(rows *sql.Rows) (r store.RemoteSkill, err error) {
	var changed int64
	var gone sql.NullInt64
	err = rows.Scan(&r.RemoteID, &r.ID, &r.Name, &r.Status, &r.Apart, &changed, &gone)
	r.ChangedAt, r.GoneAt, r.Gone = fromMillis(changed), fromNullMillis(gone), gone.Valid
	return r, err
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// gather reads all rows of a query.
func gather[T any](ctx context.Context, db querier, scan func(*sql.Rows) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// list is a list of texts as one argument, which json_each takes apart.
func list(texts []string) string {
	b, _ := json.Marshal(texts) //nolint:errchkjson // texts always can be
	return string(b)
}

// notManaged leaves out what was taken over since the last sync: it stands in skills, under the same id.
const notManaged = "NOT EXISTS (SELECT 1 FROM skills s WHERE s.integration = remote_skills.integration AND s.id = remote_skills.id)"

// wasThere leaves out what a task brought and the tool refused, before it was ever written or asked for by itself.
const wasThere = "(written_at IS NOT NULL OR error_at IS NULL OR unsure = 1 OR noted IS NOT NULL OR coalesce(remote_id, '') <> '')"

// windowRows is how many rows are looked at in one statement.
const windowRows = 20_000

// ReadSkills implements store.Catalogue.
func (s *Store) ReadSkills(ctx context.Context, q store.SkillQuery) (store.SkillPage, error) {
	ref, err := s.queries.ReadableIntegration(ctx, dbq.ReadableIntegrationParams{ID: q.IntegrationID, Environment: q.EnvironmentID})
	if err != nil {
		return store.SkillPage{}, fmt.Errorf("read skills of %s: %w", q.IntegrationID, missing(err))
	}
	page, err := store.ReadWindows(q, windowRows, func(q store.SkillQuery, rows int) (store.SkillWindow, error) { return s.window(ctx, ref, q, rows) })
	if err != nil {
		return store.SkillPage{}, fault(fmt.Errorf("read skills of %s: %w", q.IntegrationID, err))
	}
	return page, nil
}

// window reads what may match of the next rows.
func (s *Store) window(ctx context.Context, ref int64, q store.SkillQuery, rows int) (w store.SkillWindow, err error) {
	where, args := []string{"integration = ? AND id > ?"}, []any{ref, q.After}
	if q.IDs != nil {
		where, args = append(where, "id IN (SELECT value FROM json_each(?))"), append(args, list(q.IDs))
	} else if q.Filters() {
		for _, table := range []string{"skills", "remote_skills"} {
			var last string
			err := s.read.QueryRowContext(ctx, `SELECT id FROM `+table+` WHERE integration = ? AND id > ? ORDER BY id LIMIT 1 OFFSET ?`, ref, q.After, rows-1).Scan(&last)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return w, err
			}
			if err == nil && (w.UpTo == "" || last < w.UpTo) {
				w.UpTo = last
			}
		}
		if w.UpTo != "" {
			where, args = append(where, "id <= ?"), append(args, w.UpTo)
		}
	}
	own, ownArgs := append(slices.Clone(where), wasThere), slices.Clone(args)
	remote, remoteArgs := where, args
	if q.RemoteIDs != nil {
		ids := list(q.RemoteIDs)
		own = append(own, "(remote_id IN (SELECT value FROM json_each(?)) OR coalesce(remote_id, '') = '' AND origin_id IN (SELECT value FROM json_each(?)))")
		remote = append(remote, "remote_id IN (SELECT value FROM json_each(?))")
		ownArgs, remoteArgs = append(ownArgs, ids, ids), append(remoteArgs, ids)
	}
	if q.NameContains != "" {
		like := store.LikePattern(q.NameContains)
		own = append(own, `(name LIKE ? ESCAPE '\' OR noted_name LIKE ? ESCAPE '\')`)
		remote = append(remote, `name LIKE ? ESCAPE '\'`)
		ownArgs, remoteArgs = append(ownArgs, like, like), append(remoteArgs, like)
	}
	if !q.ChangedAfter.IsZero() {
		after := q.ChangedAfter.UnixMilli()
		own = append(own, "(written_at IS NULL OR written_at >= ? OR noted_at >= ? OR noted = 2 AND error_at >= ?)")
		remote = append(remote, "changed_at >= ?")
		ownArgs, remoteArgs = append(ownArgs, after, after, after), append(remoteArgs, after)
	}
	const order = " ORDER BY id LIMIT ?"
	if w.Rows, err = gather(ctx, s.read, scanSkill, `SELECT `+skillColumns+` FROM skills WHERE `+strings.Join(own, " AND ")+order, append(ownArgs, q.Limit+1)...); err != nil {
		return w, err
	}
	w.Remote, err = gather(ctx, s.read, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE `+strings.Join(append(remote, notManaged), " AND ")+order, append(remoteArgs, q.Limit+1)...)
	return w, err
}

// SkillsByOrigin implements store.Catalogue.
func (s *Store) SkillsByOrigin(ctx context.Context, environmentID, integrationID string, originIDs []string) ([]store.SkillRow, error) {
	ref, err := s.queries.ReadableIntegration(ctx, dbq.ReadableIntegrationParams{ID: integrationID, Environment: environmentID})
	if err != nil {
		return nil, fmt.Errorf("skills of %s: %w", integrationID, missing(err))
	}
	return s.rowsByOrigin(ctx, ref, originIDs)
}

// RemoteByName implements store.Catalogue.
func (s *Store) RemoteByName(ctx context.Context, environmentID, integrationID string, names []string) ([]store.RemoteSkill, error) {
	ref, err := s.queries.ReadableIntegration(ctx, dbq.ReadableIntegrationParams{ID: integrationID, Environment: environmentID})
	if err != nil {
		return nil, fmt.Errorf("skills of %s: %w", integrationID, missing(err))
	}
	rows, err := gather(ctx, s.read, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE integration = ? AND id IS NOT NULL AND gone_at IS NULL
		AND NOT apart AND name IN (SELECT value FROM json_each(?)) AND `+notManaged, ref, list(names))
	if err != nil {
		return nil, fault(fmt.Errorf("skills of %s: %w", integrationID, err))
	}
	return rows, nil
}

// ReadByName implements store.Catalogue.
func (s *Store) ReadByName(ctx context.Context, environmentID, integrationID string, names []string) ([]store.SkillRow, error) {
	ref, err := s.queries.ReadableIntegration(ctx, dbq.ReadableIntegrationParams{ID: integrationID, Environment: environmentID})
	if err != nil {
		return nil, fmt.Errorf("skills of %s: %w", integrationID, missing(err))
	}
	// As in store.SkillRow.Sent: 1 is that the tool shows something else.
	rows, err := gather(ctx, s.read, scanSkill, `SELECT `+skillColumns+` FROM skills WHERE integration = ? AND written_at IS NULL AND error_at IS NULL
		AND NOT unsure AND coalesce(noted, 1) = 1 AND coalesce(noted_name, name) IN (SELECT value FROM json_each(?))`, ref, list(names))
	if err != nil {
		return nil, fault(fmt.Errorf("skills of %s: %w", integrationID, err))
	}
	return rows, nil
}

func (s *Store) rowsByOrigin(ctx context.Context, ref int64, originIDs []string) ([]store.SkillRow, error) {
	// The join's order is the one it is written in: a look-up for each.
	rows, err := gather(ctx, s.read, scanSkill, `SELECT `+skillColumns+` FROM (SELECT value FROM json_each(?)) v CROSS JOIN skills s
		ON s.integration = ? AND s.origin_id = v.value`, list(originIDs), ref)
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	return rows, nil
}

// Keep implements store.Catalogue.
func (s *Store) Keep(ctx context.Context, wish store.Wish) (kept store.Skill, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		in, err := tx.IntegrationForWish(ctx, dbq.IntegrationForWishParams{ID: wish.IntegrationID, Environment: wish.EnvironmentID})
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && in.DeletedAt.Valid:
			return refuse(store.ErrNotFound)
		case err != nil:
			return err
		case in.Enabled == 0:
			return refuse(store.ErrDisabled)
		case wish.MostWaiting > 0 && in.Waiting >= int64(wish.MostWaiting):
			return refuse(&store.FullError{Limit: wish.MostWaiting, Waiting: int(in.Waiting)})
		}
		row, err := tx.wished(ctx, in, wish)
		if err != nil {
			return err
		}
		was := row.View()
		row.Note, row.NotedAt = store.Asked, row.NextNote(fromMillis(tx.now))
		row.NotedName, row.NotedStatus = cmp.Or(wish.Name, was.Name), cmp.Or(wish.Status, was.Status)
		if err := tx.AskSkill(ctx, dbq.AskSkillParams{
			NotedAt: sql.NullInt64{Int64: row.NotedAt.UnixMilli(), Valid: true}, Name: nullText(row.NotedName),
			Status: sql.NullInt64{Int64: int64(row.NotedStatus), Valid: true}, Seq: row.Ref,
		}); err != nil {
			return err
		}
		kept = row.View()
		return nil
	})
	if err != nil {
		return store.Skill{}, fmt.Errorf("keep a skill of %s: %w", wish.IntegrationID, err)
	}
	return kept, nil
}

// wished finds or makes the row of a skill that something is asked of.
func (tx *transaction) wished(ctx context.Context, in dbq.IntegrationForWishRow, wish store.Wish) (row store.SkillRow, err error) {
	find := func(key, value string) (bool, error) {
		rows, err := gather(ctx, tx.sql, scanSkill, `SELECT `+skillColumns+` FROM skills WHERE integration = ? AND `+key+` = ?`, in.Seq, value)
		if len(rows) > 0 {
			row = rows[0]
		}
		return len(rows) > 0, err
	}
	made := dbq.InsertWishParams{
		Integration: in.Seq, OriginID: wish.OriginID, ID: skill.NewID(fromMillis(tx.now)), Name: wish.Name, Status: int64(wish.Status),
	}
	if wish.ID != "" {
		if found, err := find("id", wish.ID); found || err != nil {
			return row, err
		}
		remote, err := tx.RemoteSkillByID(ctx, dbq.RemoteSkillByIDParams{Integration: in.Seq, ID: nullText(wish.ID)})
		if errors.Is(err, sql.ErrNoRows) {
			return row, refuse(store.ErrNoSkill)
		}
		if err != nil {
			return row, err
		}
		made.ID, made.OriginID, made.RemoteID, made.Name, made.Status = wish.ID, wish.ID, nullText(remote.RemoteID), remote.Name, remote.Status
		if err := tx.DropRemoteSkill(ctx, dbq.DropRemoteSkillParams{Integration: in.Seq, RemoteID: remote.RemoteID}); err != nil {
			return row, err
		}
	} else {
		made.OriginID = cmp.Or(wish.OriginID, made.ID)
		if found, err := find("origin_id", made.OriginID); found || err != nil {
			return row, err
		}
	}
	// A drain that is at work may have promised the skill another id. Until somebody else takes the lease its steps are kept.
	if in.Owner.Valid {
		if err := tx.revokeIfMaking(ctx, in.Seq, made.OriginID); err != nil {
			return row, err
		}
	}
	if err := tx.InsertWish(ctx, made); err != nil {
		return row, err
	}
	if err := tx.CountSkills(ctx, dbq.CountSkillsParams{Integration: in.Seq, More: 1}); err != nil {
		return row, err
	}
	if err := tx.noteNames(ctx, in.Seq, []string{made.OriginID}); err != nil {
		return row, err
	}
	_, err = find("id", made.ID)
	return row, err
}

// revokeIfMaking has a drain begin anew that may be about to make a skill.
func (tx *transaction) revokeIfMaking(ctx context.Context, ref int64, originID string) error {
	tasks, err := tx.TasksInHand(ctx, ref)
	if err != nil {
		return err
	}
	for _, task := range tasks {
		blocks, err := tx.ItemBlocks(ctx, task)
		if err != nil {
			return err
		}
		for _, b := range blocks {
			if b, err = store.Unpack(b); err != nil {
				return err
			}
			_, at, _, err := skill.FindItem(b, originID)
			if err != nil {
				return err
			}
			if at >= 0 {
				return tx.RevokeLease(ctx, ref)
			}
		}
	}
	return nil
}

// RequestSync implements store.Syncs.
func (s *Store) RequestSync(ctx context.Context, r store.SyncRequest) (q store.SyncQueued, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.SyncOf(ctx, dbq.SyncOfParams{ID: r.IntegrationID, Environment: r.EnvironmentID})
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && row.DeletedAt.Valid:
			return refuse(store.ErrNotFound)
		case err != nil:
			return err
		case row.Enabled == 0:
			return refuse(store.ErrDisabled)
		case row.Active != 0:
			q = store.SyncQueued{ID: row.ID, Whole: row.Whole != 0 || r.Whole, Already: true}
			if q.Whole == (row.Whole != 0) {
				return nil
			}
			return tx.WidenSync(ctx, row.Seq)
		}
		q = store.SyncQueued{ID: r.ID, Whole: r.Whole}
		return tx.startSync(ctx, row.Seq, r.ID, r.Whole, sql.NullInt64{})
	})
	if err != nil {
		return store.SyncQueued{}, fmt.Errorf("request a sync of %s: %w", r.IntegrationID, err)
	}
	return q, nil
}

func (tx *transaction) startSync(ctx context.Context, ref int64, id string, whole bool, started sql.NullInt64) error {
	if err := tx.DropSeen(ctx, ref); err != nil {
		return err
	}
	return tx.StartSync(ctx, dbq.StartSyncParams{ID: id, Whole: flag(whole), DueAt: tx.now, StartedAt: started, Integration: ref})
}

func (tx *transaction) endSync(ctx context.Context, ref int64, failed string, next time.Duration) error {
	if err := tx.DropSeen(ctx, ref); err != nil {
		return err
	}
	return tx.EndSync(ctx, dbq.EndSyncParams{
		Now: sql.NullInt64{Int64: tx.now, Valid: true}, Error: nullText(failed), DueAt: tx.now + millis(next), Integration: ref,
	})
}

// DueSyncs implements store.Syncs.
func (s *Store) DueSyncs(ctx context.Context, periodic bool, limit int) ([]string, error) {
	ids, err := s.queries.DueSyncs(ctx, dbq.DueSyncsParams{Now: s.now().UnixMilli(), Periodic: periodic, Most: int64(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("due syncs: %w", err))
	}
	return ids, nil
}

// ClaimSync implements store.Syncs.
func (s *Store) ClaimSync(ctx context.Context, c store.SyncClaim) (lease store.SyncLease, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.ClaimableSync(ctx, dbq.ClaimableSyncParams{ID: c.IntegrationID, Now: tx.now, Periodic: c.Periodic, Beside: c.Beside})
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(store.ErrIdle)
		}
		if err != nil {
			return err
		}
		in, sy := row.Integration, row.Sync
		if sy.Active == 0 {
			sy.ID, sy.Whole = c.ID, 1
		}
		if sy.Active == 0 || !sy.StartedAt.Valid {
			sy = dbq.Sync{ID: sy.ID, Whole: sy.Whole, StartedAt: sql.NullInt64{Int64: tx.now, Valid: true}}
			if err := tx.startSync(ctx, in.Seq, sy.ID, sy.Whole != 0, sy.StartedAt); err != nil {
				return err
			}
		}
		lease = store.SyncLease{
			Lease: store.Lease{Ref: in.Seq, Owner: c.Owner, Epoch: row.Epoch + 1, Integration: integration(in), Stolen: row.Owner.Valid},
			Sync:  syncOf(sy),
			Now:   fromMillis(tx.now), Paced: time.Duration(max(0, row.PacedUntil-tx.now)) * time.Millisecond,
		}
		return tx.ClaimDrain(ctx, dbq.ClaimDrainParams{Integration: in.Seq, Owner: nullText(c.Owner), Until: tx.now + c.TTL.Milliseconds()})
	})
	if err != nil {
		return store.SyncLease{}, fmt.Errorf("claim the sync of %s: %w", c.IntegrationID, err)
	}
	return lease, nil
}

func syncOf(r dbq.Sync) store.Sync {
	return store.Sync{
		ID: r.ID, Whole: r.Whole != 0, StartedAt: fromNullMillis(r.StartedAt), Phase: store.SyncPhase(r.Phase), Position: r.Position,
		Pages: int(r.Pages), Attempt: int(r.Attempt), Restarts: int(r.Restarts), Records: int(r.Records), Changed: int(r.Changed), Gone: int(r.Gone),
	}
}

// SyncState implements store.Pages.
func (s *Store) SyncState(ctx context.Context, environmentID, integrationID string) (store.SyncState, error) {
	row, err := s.queries.SyncState(ctx, dbq.SyncStateParams{ID: integrationID, Environment: environmentID})
	if err != nil {
		return store.SyncState{}, fmt.Errorf("state of the sync of %q: %w", integrationID, missing(err))
	}
	return store.SyncState{
		Sync: syncOf(row), Active: row.Active != 0, DueAt: fromMillis(row.DueAt), EndedAt: fromNullMillis(row.EndedAt), SucceededAt: fromNullMillis(row.SucceededAt), Error: row.Error.String,
	}, nil
}

// AdvanceSync implements store.Syncs.
func (s *Store) AdvanceSync(ctx context.Context, lease store.Lease, step store.SyncStep) (next store.SyncNext, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		st, err := tx.standing(ctx, lease)
		if err != nil {
			return err
		}
		step := step
		same, err := tx.sameAccount(ctx, lease, st)
		if err != nil {
			return err
		}
		if step, err = step.By(same); err != nil {
			return refuse(err)
		}
		sy := step.Sync
		move := dbq.MoveSyncParams{
			Phase: int64(sy.Phase), Position: sy.Position, Pages: int64(sy.Pages), Attempt: int64(sy.Attempt), Restarts: int64(sy.Restarts), Records: int64(sy.Records),
			Changed: int64(sy.Changed), Gone: int64(sy.Gone), Integration: lease.Ref,
		}
		if step.Then == store.SyncLeave {
			move.DueAt = tx.now + millis(step.ResumeIn)
		}
		if n, err := tx.MoveSync(ctx, move); err != nil {
			return err
		} else if n == 0 {
			return refuse(store.ErrChanged)
		}
		if err := tx.hold(ctx, lease, store.Step{Hold: step.Hold, Pace: step.Pace}, &st); err != nil {
			return err
		}
		if err := s.applySync(ctx, tx, lease.Ref, step); err != nil {
			return err
		}
		if err := tx.markInvalid(ctx, lease, step.Invalid, &st); err != nil {
			return err
		}
		wanted, err := tx.DrainWanted(ctx, lease.Ref)
		if err != nil {
			return err
		}
		if st.Deleted {
			step.Then, step.Failed = store.SyncEnd, store.SyncOfDeleted
		}
		if step.Then == store.SyncEnd {
			if err := tx.endSync(ctx, lease.Ref, step.Failed, step.Next); err != nil {
				return err
			}
		}
		next = store.SyncNext{State: st.State, Wanted: wanted != 0, Left: wanted != 0 || step.Then != store.SyncStay}
		if next.Left {
			return tx.GiveLeaseBack(ctx, lease.Ref)
		}
		return nil
	})
	if err != nil {
		return store.SyncNext{}, fmt.Errorf("advance the sync of %s: %w", lease.Integration.ID, err)
	}
	return next, nil
}

// applySync writes down what a step learnt about skills.
func (s *Store) applySync(ctx context.Context, tx *transaction, ref int64, step store.SyncStep) error {
	millisOf := func(t time.Time) any {
		if t.IsZero() {
			return nil
		}
		return t.UnixMilli()
	}
	if _, err := s.bulk.noteSkills.exec(ctx, tx.sql, values{
		before: []any{tx.now},
		rows:   len(step.Notes),
		row: func(args []any, i int) []any {
			n := &step.Notes[i]
			var remote, note, name, status any
			if n.RemoteID != "" {
				remote = n.RemoteID
			}
			if n.Note != store.AsWritten {
				note = int64(n.Note)
			}
			if n.Name != "" || n.Status != 0 {
				name, status = n.Name, int64(n.Status)
			}
			return append(args, n.Row.Ref, remote, flag(n.Doubt), flag(n.Noted), note, name, status, millisOf(n.Row.WrittenAt), millisOf(n.Row.NotedAt))
		},
	}); err != nil {
		return fmt.Errorf("note skills: %w", err)
	}
	made, err := s.bulk.listedSkills.exec(ctx, tx.sql, values{
		before: []any{ref},
		rows:   len(step.New),
		row: func(args []any, i int) []any {
			n := &step.New[i]
			return append(args, n.OriginID, n.ID, n.RemoteID, n.Name, int64(n.Status))
		},
	})
	if err != nil {
		return fmt.Errorf("insert listed skills: %w", err)
	}
	if made > 0 {
		if err := tx.CountSkills(ctx, dbq.CountSkillsParams{Integration: ref, More: int64(made)}); err != nil {
			return err
		}
		if err := tx.noteNames(ctx, ref, store.OriginIDs(step.New)); err != nil {
			return err
		}
	}
	if _, err := s.bulk.remoteSkills.exec(ctx, tx.sql, values{
		before: []any{ref, tx.now, tx.now},
		rows:   len(step.Remote),
		row: func(args []any, i int) []any {
			r := &step.Remote[i]
			var id any
			if r.ID != "" {
				id = r.ID
			}
			return append(args, r.RemoteID, id, r.Name, int64(r.Status), flag(r.Gone), flag(r.Apart))
		},
	}); err != nil {
		return fmt.Errorf("keep listed skills: %w", err)
	}
	if len(step.DropRemote) > 0 {
		if _, err := tx.sql.ExecContext(ctx, `DELETE FROM remote_skills WHERE integration = ? AND remote_id IN (SELECT value FROM json_each(?))`, ref, list(step.DropRemote)); err != nil {
			return err
		}
	}
	if step.Seen == nil {
		return nil
	}
	return tx.InsertSeen(ctx, dbq.InsertSeenParams{Integration: ref, Page: int64(step.Sync.Pages), Block: step.Seen})
}

// SyncSeen implements store.Syncs.
func (s *Store) SyncSeen(ctx context.Context, lease store.Lease) ([][]byte, error) {
	blocks, err := s.queries.SeenBlocks(ctx, lease.Ref)
	if err != nil {
		return nil, fault(fmt.Errorf("what a sync has seen: %w", err))
	}
	return blocks, nil
}

// RowsByOrigin implements store.Syncs.
func (s *Store) RowsByOrigin(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillRow, error) {
	return s.rowsByOrigin(ctx, lease.Ref, originIDs)
}

// RowsAfter implements store.Syncs.
func (s *Store) RowsAfter(ctx context.Context, lease store.Lease, after string, limit int) ([]store.SkillRow, error) {
	rows, err := gather(ctx, s.read, scanSkill, `SELECT `+skillColumns+` FROM skills WHERE integration = ? AND id > ? ORDER BY id LIMIT ?`, lease.Ref, after, limit)
	if err != nil {
		return nil, fault(fmt.Errorf("skills after %q: %w", after, err))
	}
	return rows, nil
}

// RemoteByID implements store.Syncs.
func (s *Store) RemoteByID(ctx context.Context, lease store.Lease, remoteIDs []string) ([]store.RemoteSkill, error) {
	rows, err := gather(ctx, s.read, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE integration = ? AND remote_id IN (SELECT value FROM json_each(?))`,
		lease.Ref, list(remoteIDs))
	if err != nil {
		return nil, fault(fmt.Errorf("look remote skills up: %w", err))
	}
	return rows, nil
}

// RemoteAfter implements store.Syncs.
func (s *Store) RemoteAfter(ctx context.Context, lease store.Lease, after string, limit int) ([]store.RemoteSkill, error) {
	rows, err := gather(ctx, s.read, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE integration = ? AND remote_id > ? ORDER BY remote_id LIMIT ?`,
		lease.Ref, after, limit)
	if err != nil {
		return nil, fault(fmt.Errorf("remote skills after %q: %w", after, err))
	}
	return rows, nil
}
