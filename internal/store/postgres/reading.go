package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// skillColumns is what scanSkill reads.
const skillColumns = `s.id, s.origin_id, s.remote_id, s.name, s.status, s.hash, s.unsure, s.written_at, s.noted, s.noted_at, s.noted_name,
	s.noted_status, s.error_code, s.error_message, s.error_at`

func scanSkill(row pgx.CollectableRow) (r store.SkillRow, err error) {
	var remote, notedName, code, message *string
	var note, notedStatus *int16
	var status int16
	var written, noted, failed *time.Time
	var hash []byte
	err = row.Scan(&r.ID, &r.OriginID, &remote, &r.Name, &status, &hash, &r.Unsure, &written, &note, &noted, &notedName, &notedStatus, &code, &message, &failed)
	r.RemoteID, r.NotedName, r.Code, r.Message = text(remote), text(notedName), skill.Code(text(code)), text(message)
	r.Ref, r.Status = 1, skill.Status(status) // rows are found by their key
	r.Known = copy(r.Hash[:], hash) == len(r.Hash)
	if note != nil {
		r.Note = store.Note(*note)
	}
	if notedStatus != nil {
		r.NotedStatus = skill.Status(*notedStatus)
	}
	r.WrittenAt, r.NotedAt, r.ErrorAt = nullTime(written), nullTime(noted), nullTime(failed)
	return r, err
}

const remoteColumns = `remote_id, coalesce(id, ''), name, status, apart, changed_at, gone_at`

func scanRemote(row pgx.CollectableRow) (r store.RemoteSkill, err error) {
	var status int16
	var gone *time.Time
	err = row.Scan(&r.RemoteID, &r.ID, &r.Name, &status, &r.Apart, &r.ChangedAt, &gone)
	r.Status, r.ChangedAt, r.GoneAt, r.Gone = skill.Status(status), r.ChangedAt.UTC(), nullTime(gone), gone != nil
	return r, err
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// gather reads all rows of a query.
func gather[T any](ctx context.Context, db querier, scan pgx.RowToFunc[T], sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scan)
}

// ofSkills names an integration as the index by id does.
const ofSkills = "integration + 0 = $1"

// notManaged leaves out what was taken over since the last sync: it stands in skills, under the same id.
const notManaged = "NOT EXISTS (SELECT 1 FROM skills s WHERE s.integration + 0 = remote_skills.integration AND s.id = remote_skills.id)"

// wasThere leaves out what a task brought and the tool refused, before it was ever written or asked for by itself.
const wasThere = "(written_at IS NOT NULL OR error_at IS NULL OR unsure OR noted IS NOT NULL OR coalesce(remote_id, '') <> '')"

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
	args := []any{ref, q.After, q.Limit + 1}
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	where := []string{"id > $2"}
	if q.IDs != nil {
		where = append(where, "id = ANY ("+arg(q.IDs)+"::text[])")
	} else if q.Filters() {
		for _, of := range []string{"skills WHERE " + ofSkills, "remote_skills WHERE integration = $1"} {
			var last string
			err := s.pool.QueryRow(ctx, `SELECT id FROM `+of+` AND id > $2 ORDER BY id LIMIT 1 OFFSET $3`, ref, q.After, rows-1).Scan(&last)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return w, err
			}
			if err == nil && (w.UpTo == "" || last < w.UpTo) {
				w.UpTo = last
			}
		}
		if w.UpTo != "" {
			where = append(where, "id <= "+arg(w.UpTo))
		}
	}
	own, remote, shared := append([]string{ofSkills, wasThere}, where...), append([]string{"integration = $1"}, where...), args
	if q.RemoteIDs != nil {
		own = append(own, "(remote_id = ANY ("+arg(q.RemoteIDs)+"::text[]) OR coalesce(remote_id, '') = '' AND origin_id = ANY ("+arg(q.RemoteIDs)+"::text[]))")
	}
	if q.NameContains != "" {
		like := arg(store.LikePattern(q.NameContains))
		own = append(own, `(lower(name COLLATE "C") LIKE `+like+` OR lower(noted_name COLLATE "C") LIKE `+like+`)`)
	}
	if !q.ChangedAfter.IsZero() {
		after := arg(q.ChangedAfter)
		own = append(own, "(written_at IS NULL OR written_at >= "+after+" OR noted_at >= "+after+" OR noted = 2 AND error_at >= "+after+")")
	}
	const order = " ORDER BY id LIMIT $3"
	if w.Rows, err = gather(ctx, s.pool, scanSkill, `SELECT `+skillColumns+` FROM skills s WHERE `+strings.Join(own, " AND ")+order, args...); err != nil {
		return w, err
	}
	args = slices.Clip(shared)
	if q.RemoteIDs != nil {
		remote = append(remote, "remote_id = ANY ("+arg(q.RemoteIDs)+"::text[])")
	}
	if q.NameContains != "" {
		remote = append(remote, `lower(name COLLATE "C") LIKE `+arg(store.LikePattern(q.NameContains)))
	}
	if !q.ChangedAfter.IsZero() {
		remote = append(remote, "changed_at >= "+arg(q.ChangedAfter))
	}
	w.Remote, err = gather(ctx, s.pool, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE `+strings.Join(append(remote, notManaged), " AND ")+order, args...)
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
	rows, err := gather(ctx, s.pool, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE integration = $1 AND id IS NOT NULL AND gone_at IS NULL
		AND NOT apart AND name = ANY ($2::text[]) AND `+notManaged, ref, names)
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
	rows, err := gather(ctx, s.pool, scanSkill, `SELECT `+skillColumns+` FROM skills s WHERE s.integration = $1 AND s.written_at IS NULL AND s.error_at IS NULL
		AND NOT s.unsure AND coalesce(s.noted, 1) = 1 AND coalesce(s.noted_name, s.name) = ANY ($2::text[])`, ref, names)
	if err != nil {
		return nil, fault(fmt.Errorf("skills of %s: %w", integrationID, err))
	}
	return rows, nil
}

func (s *Store) rowsByOrigin(ctx context.Context, ref int64, originIDs []string) ([]store.SkillRow, error) {
	// One descent of the index for each, as in FindSkills.
	rows, err := gather(ctx, s.pool, scanSkill, `SELECT `+skillColumns+` FROM (SELECT unnest($2::text[]) AS origin_id) u CROSS JOIN LATERAL (
		SELECT * FROM skills WHERE skills.integration = $1 AND skills.origin_id = u.origin_id OFFSET 0) s`, ref, originIDs)
	if err != nil {
		return nil, fault(fmt.Errorf("look skills up: %w", err))
	}
	return rows, nil
}

// Keep implements store.Catalogue.
func (s *Store) Keep(ctx context.Context, wish store.Wish) (kept store.Skill, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		in, err := tx.IntegrationForWish(ctx, dbq.IntegrationForWishParams{ID: wish.IntegrationID, Environment: wish.EnvironmentID})
		switch {
		case errors.Is(err, pgx.ErrNoRows) || err == nil && in.Deleted:
			return store.ErrNotFound
		case err != nil:
			return err
		case !in.Enabled:
			return store.ErrDisabled
		case wish.MostWaiting > 0 && in.Waiting >= int64(wish.MostWaiting):
			return &store.FullError{Limit: wish.MostWaiting, Waiting: int(in.Waiting)}
		}
		row, err := tx.wished(ctx, in, wish)
		if err != nil {
			return err
		}
		was := row.View()
		row.Note, row.NotedAt = store.Asked, row.NextNote(in.Now.UTC())
		row.NotedName, row.NotedStatus = cmp.Or(wish.Name, was.Name), cmp.Or(wish.Status, was.Status)
		kept = row.View()
		return tx.AskSkill(ctx, dbq.AskSkillParams{
			NotedAt: row.NotedAt, Name: row.NotedName, Status: int16(row.NotedStatus), Integration: in.Seq, OriginID: row.OriginID,
		})
	})
	if err != nil {
		return store.Skill{}, fmt.Errorf("keep a skill of %s: %w", wish.IntegrationID, err)
	}
	return kept, nil
}

// wished finds or makes the row of a skill that something is asked of.
func (tx *transaction) wished(ctx context.Context, in dbq.IntegrationForWishRow, wish store.Wish) (row store.SkillRow, err error) {
	find := func(key, value string) (bool, error) {
		rows, err := gather(ctx, tx.sql, scanSkill, `SELECT `+skillColumns+` FROM skills s WHERE `+key+` = $2`, in.Seq, value)
		if len(rows) > 0 {
			row = rows[0]
		}
		return len(rows) > 0, err
	}
	made := dbq.InsertWishParams{Integration: in.Seq, ID: skill.NewID(in.Now), Name: wish.Name, Status: int16(wish.Status)}
	if wish.ID != "" {
		if found, err := find(ofSkills+" AND id", wish.ID); found || err != nil {
			return row, err
		}
		remote, err := tx.RemoteSkillByID(ctx, dbq.RemoteSkillByIDParams{Integration: in.Seq, ID: wish.ID})
		if errors.Is(err, pgx.ErrNoRows) {
			return row, store.ErrNoSkill
		}
		if err != nil {
			return row, err
		}
		made.ID, made.OriginID, made.RemoteID, made.Name, made.Status = wish.ID, wish.ID, remote.RemoteID, remote.Name, remote.Status
		if err := tx.DropRemoteSkills(ctx, dbq.DropRemoteSkillsParams{Integration: in.Seq, RemoteIds: []string{remote.RemoteID}}); err != nil {
			return row, err
		}
	} else {
		made.OriginID = cmp.Or(wish.OriginID, made.ID)
		if found, err := find("integration = $1 AND origin_id", made.OriginID); found || err != nil {
			return row, err
		}
	}
	// A drain that is at work may have promised the skill another id. Until somebody else takes the lease its steps are kept.
	if in.Leased {
		if err := tx.revokeIfMaking(ctx, in.Seq, made.OriginID); err != nil {
			return row, err
		}
	}
	if err := tx.InsertWish(ctx, made); err != nil {
		return row, err
	}
	if err := noteNames(ctx, tx.Queries, in.Seq, []string{made.OriginID}); err != nil {
		return row, err
	}
	_, err = find("integration = $1 AND origin_id", made.OriginID)
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
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.SyncOf(ctx, dbq.SyncOfParams{ID: r.IntegrationID, Environment: r.EnvironmentID})
		switch {
		case errors.Is(err, pgx.ErrNoRows) || err == nil && row.Deleted:
			return store.ErrNotFound
		case err != nil:
			return err
		case !row.Enabled:
			return store.ErrDisabled
		case row.Active:
			q = store.SyncQueued{ID: row.ID, Whole: row.Whole || r.Whole, Already: true}
			if q.Whole == row.Whole {
				return nil
			}
			return tx.WidenSync(ctx, row.Seq)
		}
		q = store.SyncQueued{ID: r.ID, Whole: r.Whole}
		return tx.StartSync(ctx, dbq.StartSyncParams{Integration: row.Seq, ID: r.ID, Whole: r.Whole})
	})
	if err != nil {
		return store.SyncQueued{}, fmt.Errorf("request a sync of %s: %w", r.IntegrationID, err)
	}
	return q, nil
}

// DueSyncs implements store.Syncs.
func (s *Store) DueSyncs(ctx context.Context, periodic bool, limit int) ([]string, error) {
	ids, err := s.queries.DueSyncs(ctx, dbq.DueSyncsParams{Periodic: periodic, Most: int32(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("due syncs: %w", err))
	}
	return ids, nil
}

// ClaimSync implements store.Syncs.
func (s *Store) ClaimSync(ctx context.Context, c store.SyncClaim) (lease store.SyncLease, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockDrainOf(ctx, c.IntegrationID); err != nil {
			return err
		}
		row, err := tx.ClaimableSync(ctx, dbq.ClaimableSyncParams{ID: c.IntegrationID, Periodic: c.Periodic, Beside: c.Beside})
		if errors.Is(err, pgx.ErrNoRows) {
			return store.ErrIdle
		}
		if err != nil {
			return err
		}
		in, sy := row.Integration, row.Sync
		if !sy.Active {
			sy.ID, sy.Whole = c.ID, true
		}
		if !sy.Active || sy.StartedAt == nil {
			sy = dbq.Sync{ID: sy.ID, Whole: sy.Whole, StartedAt: &row.Now}
			if err := tx.StartSync(ctx, dbq.StartSyncParams{Integration: in.Seq, ID: sy.ID, Whole: sy.Whole, Started: true}); err != nil {
				return err
			}
		}
		epoch, err := tx.TakeLease(ctx, dbq.TakeLeaseParams{Owner: &c.Owner, Ttl: c.TTL, Integration: in.Seq})
		lease = store.SyncLease{
			Lease: store.Lease{Ref: in.Seq, Owner: c.Owner, Epoch: epoch, Integration: integration(in), Stolen: row.Stolen},
			Sync:  syncOf(sy),
			Now:   row.Now.UTC(), Paced: row.Paced,
		}
		return err
	})
	if err != nil {
		return store.SyncLease{}, fmt.Errorf("claim the sync of %s: %w", c.IntegrationID, err)
	}
	return lease, nil
}

func syncOf(r dbq.Sync) store.Sync {
	return store.Sync{
		ID: r.ID, Whole: r.Whole, StartedAt: nullTime(r.StartedAt), Phase: store.SyncPhase(r.Phase), Position: r.Position,
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
		Sync: syncOf(row), Active: row.Active, DueAt: row.DueAt.UTC(), EndedAt: nullTime(row.EndedAt), SucceededAt: nullTime(row.SucceededAt), Error: text(row.Error),
	}, nil
}

// AdvanceSync implements store.Syncs. A step is one round trip, and the rows that its statement needs are locked in order.
func (s *Store) AdvanceSync(ctx context.Context, lease store.Lease, step store.SyncStep) (next store.SyncNext, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.HoldLease(ctx, dbq.HoldLeaseParams{Integration: lease.Ref, Owner: &lease.Owner, Epoch: lease.Epoch})
		if codeOf(err) == refusedLease {
			return store.ErrLeaseLost
		}
		if err != nil {
			return err
		}
		state, step := stateOf(row.Integration), step
		if step.AboutTool() {
			now, err := tx.AccountOf(ctx, lease.Ref)
			if err != nil {
				return err
			}
			if step, err = step.By(lease.SameAccount(now.Settings, now.Credentials)); err != nil {
				return err
			}
		}
		if step.Hold > 0 || step.Pace > 0 {
			if err := tx.HoldDrain(ctx, dbq.HoldDrainParams{Integration: lease.Ref, Hold: step.Hold, Pace: step.Pace}); err != nil {
				return err
			}
		}
		if err := tx.applySync(ctx, lease.Ref, step); err != nil {
			return err
		}
		if step.Invalid != "" {
			state.InvalidReason = step.Invalid
			if _, err := tx.MarkIntegrationInvalid(ctx, invalid(lease, step.Invalid)); codeOf(err) == refusedChanged {
				return store.ErrChanged
			} else if err != nil {
				return err
			}
		}
		sy := step.Sync
		move := dbq.MoveSyncParams{
			Integration: lease.Ref, Phase: int16(sy.Phase), Position: sy.Position, Pages: int32(sy.Pages), Attempt: int32(sy.Attempt), Restarts: int32(sy.Restarts),
			Records: int64(sy.Records), Changed: int64(sy.Changed), Gone: int64(sy.Gone),
		}
		if step.Then == store.SyncLeave {
			move.ResumeIn = step.ResumeIn
		}
		wanted, err := tx.MoveSync(ctx, move)
		if errors.Is(err, pgx.ErrNoRows) {
			return store.ErrChanged
		}
		if err != nil {
			return err
		}
		if state.Deleted {
			step.Then, step.Failed = store.SyncEnd, store.SyncOfDeleted
		}
		if step.Then == store.SyncEnd {
			if err := tx.EndSync(ctx, dbq.EndSyncParams{Integration: lease.Ref, Error: nullText(step.Failed), Next: step.Next}); err != nil {
				return err
			}
		}
		next = store.SyncNext{State: state, Wanted: wanted, Left: wanted || step.Then != store.SyncStay}
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
func (tx *transaction) applySync(ctx context.Context, ref int64, step store.SyncStep) error {
	if len(step.Notes) > 0 {
		p := dbq.NoteSkillsParams{Integration: ref}
		for i := range step.Notes {
			n := &step.Notes[i]
			p.OriginIds, p.RemoteIds = append(p.OriginIds, n.Row.OriginID), append(p.RemoteIds, n.RemoteID)
			p.Doubts, p.NewNotes = append(p.Doubts, n.Doubt), append(p.NewNotes, n.Noted)
			p.Notes, p.Names, p.Statuses = append(p.Notes, int16(n.Note)), append(p.Names, n.Name), append(p.Statuses, int16(n.Status))
			p.Written, p.Noted = append(p.Written, epochIfZero(n.Row.WrittenAt)), append(p.Noted, epochIfZero(n.Row.NotedAt))
		}
		if err := tx.NoteSkills(ctx, p); err != nil {
			return fmt.Errorf("note skills: %w", err)
		}
	}
	if len(step.New) > 0 {
		p := dbq.InsertListedSkillsParams{Integration: ref}
		for i := range step.New {
			n := &step.New[i]
			p.OriginIds, p.Ids, p.RemoteIds = append(p.OriginIds, n.OriginID), append(p.Ids, n.ID), append(p.RemoteIds, n.RemoteID)
			p.Names, p.Statuses = append(p.Names, n.Name), append(p.Statuses, int16(n.Status))
		}
		if err := tx.InsertListedSkills(ctx, p); err != nil {
			return fmt.Errorf("insert listed skills: %w", err)
		}
		if err := noteNames(ctx, tx.Queries, ref, p.OriginIds); err != nil {
			return err
		}
		if err := tx.SetHasSkills(ctx, ref); err != nil {
			return err
		}
	}
	if len(step.Remote) > 0 {
		p := dbq.KeepRemoteSkillsParams{Integration: ref}
		for i := range step.Remote {
			r := &step.Remote[i]
			p.RemoteIds, p.Ids, p.Names = append(p.RemoteIds, r.RemoteID), append(p.Ids, r.ID), append(p.Names, r.Name)
			p.Statuses, p.Gone = append(p.Statuses, int16(r.Status)), append(p.Gone, r.Gone)
			p.Apart = append(p.Apart, r.Apart)
		}
		if err := tx.KeepRemoteSkills(ctx, p); err != nil {
			return fmt.Errorf("keep listed skills: %w", err)
		}
	}
	if len(step.DropRemote) > 0 {
		if err := tx.DropRemoteSkills(ctx, dbq.DropRemoteSkillsParams{Integration: ref, RemoteIds: step.DropRemote}); err != nil {
			return err
		}
	}
	if step.Seen == nil {
		return nil
	}
	return tx.InsertSeen(ctx, dbq.InsertSeenParams{Integration: ref, Page: int32(step.Sync.Pages), Block: step.Seen})
}

// epochIfZero is how a time that is not there is compared.
func epochIfZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
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
	rows, err := gather(ctx, s.pool, scanSkill, `SELECT `+skillColumns+` FROM skills s WHERE `+ofSkills+` AND id > $2 ORDER BY id LIMIT $3`, lease.Ref, after, limit)
	if err != nil {
		return nil, fault(fmt.Errorf("skills after %q: %w", after, err))
	}
	return rows, nil
}

// RemoteByID implements store.Syncs.
func (s *Store) RemoteByID(ctx context.Context, lease store.Lease, remoteIDs []string) ([]store.RemoteSkill, error) {
	rows, err := gather(ctx, s.pool, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE integration = $1 AND remote_id = ANY ($2::text[])`, lease.Ref, remoteIDs)
	if err != nil {
		return nil, fault(fmt.Errorf("look remote skills up: %w", err))
	}
	return rows, nil
}

// RemoteAfter implements store.Syncs.
func (s *Store) RemoteAfter(ctx context.Context, lease store.Lease, after string, limit int) ([]store.RemoteSkill, error) {
	rows, err := gather(ctx, s.pool, scanRemote, `SELECT `+remoteColumns+` FROM remote_skills WHERE integration = $1 AND remote_id > $2 ORDER BY remote_id LIMIT $3`,
		lease.Ref, after, limit)
	if err != nil {
		return nil, fault(fmt.Errorf("remote skills after %q: %w", after, err))
	}
	return rows, nil
}
