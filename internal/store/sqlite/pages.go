package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// The lists below are put together from their filter, so that each finds the index that was made for it. What stands in the
// text are constants of this file; what comes from outside are parameters.

const taskColumns = `t.seq, t.id, t.key_id, t.status, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite,
	t.created_at, t.deadline, t.completed_at, i.id, i.tool, i.name`

// taskOrder is what a list of tasks is put together from.
type taskOrder struct {
	key       string // of the index: in the order of the ids
	behind    string // what of it comes behind the place ?2
	upTo      string // and not behind the last one that may be on the page
	unlimited string
	down      string
}

func tasksBy(f store.TaskFilter) taskOrder {
	// Unfinished tasks have an index by their number, which is in the same order.
	switch {
	case f.State == store.GoingOn && f.OldestFirst:
		return taskOrder{"seq", "> coalesce((SELECT b.seq FROM tasks b WHERE b.id <= ?2 ORDER BY b.id DESC LIMIT 1), -1)", "<=", "9223372036854775807", ""}
	case f.State == store.GoingOn:
		return taskOrder{"seq", "<= coalesce((SELECT b.seq FROM tasks b WHERE b.id < ?2 ORDER BY b.id DESC LIMIT 1), -1)", ">=", "0", "DESC"}
	case f.OldestFirst:
		return taskOrder{"id", "> ?2", "<=", "'" + lastID + "'", ""}
	}
	return taskOrder{"id", "< ?2", ">=", "''", "DESC"}
}

// ListTasks implements store.Pages.
func (s *Store) ListTasks(ctx context.Context, f store.TaskFilter) ([]store.TaskHead, error) {
	condition := map[store.TaskState]string{
		store.AnyTask: "", store.GoingOn: " AND t.status = 0", store.Done: " AND t.status = 1",
		store.WithFailures: " AND t.failed > 0", store.AllFailed: " AND t.status = 2",
	}[f.State]
	of := func(table string) string { return strings.ReplaceAll(condition, " t.", " "+table+".") }
	place := cmp.Or(f.Before, lastID)
	if f.OldestFirst {
		place = max(f.After, f.From)
	}
	// Of each integration no more rows are read than the page has: from the first down to the last that could be on it.
	by := tasksBy(f)
	//nolint:gosec // constants of this file
	query := fmt.Sprintf(`SELECT `+taskColumns+` FROM (
			SELECT x.seq AS seq, x.%[1]s AS place FROM integrations i JOIN tasks x ON x.integration = i.seq
			WHERE i.environment_id = ?1 AND (?4 = '' OR i.id = ?4) AND x.%[1]s %[2]s%[6]s AND x.%[1]s %[3]s coalesce((
				SELECT y.%[1]s FROM tasks y WHERE y.integration = i.seq AND y.%[1]s %[2]s%[7]s ORDER BY y.%[1]s %[5]s LIMIT 1 OFFSET ?5 - 1
			), %[4]s)
			ORDER BY x.%[1]s %[5]s LIMIT ?5
		) p JOIN tasks t ON t.seq = p.seq JOIN integrations i ON i.seq = t.integration
		WHERE t.id >= ?3 ORDER BY t.id %[5]s`, by.key, by.behind, by.upTo, by.unlimited, by.down, of("x"), of("y"))
	rows, err := s.read.QueryContext(ctx, query, f.EnvironmentID, place, f.From, f.IntegrationID, f.Limit)
	if err != nil {
		return nil, fault(fmt.Errorf("list tasks: %w", err))
	}
	defer rows.Close()
	var list []store.TaskHead
	for rows.Next() {
		var r dbq.TaskHeadRow
		if err := rows.Scan(&r.Seq, &r.ID, &r.KeyID, &r.Status, &r.Items, &r.Done, &r.Written, &r.Unchanged, &r.Failed, &r.Started, &r.Attempt,
			&r.Rewrite, &r.CreatedAt, &r.Deadline, &r.CompletedAt, &r.IntegrationID, &r.Tool, &r.Customer); err != nil {
			return nil, fault(fmt.Errorf("list tasks: %w", err))
		}
		list = append(list, taskHead(r))
	}
	if err := rows.Err(); err != nil {
		return nil, fault(fmt.Errorf("list tasks: %w", err))
	}
	return list, nil
}

func taskHead(r dbq.TaskHeadRow) store.TaskHead {
	return store.TaskHead{
		Task: skill.Task{ID: r.ID, CreatedAt: fromMillis(r.CreatedAt)}, Ref: r.Seq,
		IntegrationID: r.IntegrationID, Tool: r.Tool, Customer: r.Customer, KeyID: r.KeyID,
		Status: skill.TaskStatus(r.Status), Items: int(r.Items), Done: int(r.Done),
		Counts:  skill.Counts{Written: int(r.Written), Unchanged: int(r.Unchanged), Failed: int(r.Failed)},
		Started: r.Started != 0, Attempt: int(r.Attempt), Rewrite: r.Rewrite != 0,
		Deadline: never(r.Deadline), CompletedAt: fromNullMillis(r.CompletedAt),
	}
}

// never is a moment, where 1970 stands for none.
func never(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return fromMillis(ms)
}

// TaskHead implements store.Pages.
func (s *Store) TaskHead(ctx context.Context, environmentID, taskID string) (store.TaskHead, error) {
	row, err := s.queries.TaskHead(ctx, dbq.TaskHeadParams{ID: taskID, Environment: environmentID})
	if errors.Is(err, sql.ErrNoRows) {
		var at int64
		if at, err = s.queries.TaskExpiredIn(ctx, dbq.TaskExpiredInParams{ID: taskID, Environment: environmentID}); err == nil {
			err = &store.ExpiredError{At: fromMillis(at)}
		}
	}
	if err != nil {
		return store.TaskHead{}, fmt.Errorf("task %s: %w", taskID, missing(err))
	}
	return taskHead(row), nil
}

// TaskEnvironment implements store.Pages.
func (s *Store) TaskEnvironment(ctx context.Context, taskID string) (string, error) {
	id, err := s.queries.TaskWhere(ctx, taskID)
	if err != nil {
		return "", fmt.Errorf("environment of task %s: %w", taskID, missing(err))
	}
	return id, nil
}

// TaskContent implements store.Pages.
func (s *Store) TaskContent(ctx context.Context, head store.TaskHead) (c store.TaskContent, err error) {
	fail := func(err error) (store.TaskContent, error) {
		return store.TaskContent{}, fmt.Errorf("content of task %s: %w", head.ID, missing(err))
	}
	if c, err = s.taskOutcomes(ctx, head); err != nil {
		return fail(err)
	}
	blocks, err := s.taskBlocks(ctx, head)
	if err != nil {
		return fail(err)
	}
	if c.Items, err = skill.DecodeBlocks(blocks, head.Items); err != nil {
		return fail(err)
	}
	return c, nil
}

// FindItem implements store.Pages.
func (s *Store) FindItem(ctx context.Context, heads []store.TaskHead, originID string) ([]store.FoundItem, error) {
	found, err := store.FindItem(heads, originID, func(heads []store.TaskHead) (tasks [][][]byte, err error) {
		tasks = make([][][]byte, len(heads))
		for i, h := range heads {
			if tasks[i], err = s.taskBlocks(ctx, h); err != nil {
				return nil, err
			}
		}
		return tasks, nil
	})
	if err != nil {
		return nil, fault(fmt.Errorf("find an item: %w", err))
	}
	return found, nil
}

// TaskOutcomes implements store.Pages.
func (s *Store) TaskOutcomes(ctx context.Context, heads []store.TaskHead) ([]store.TaskContent, error) {
	contents := make([]store.TaskContent, len(heads))
	for i, h := range heads {
		var err error
		if contents[i], err = s.taskOutcomes(ctx, h); err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, fault(fmt.Errorf("outcomes of task %s: %w", h.ID, err))
		}
	}
	return contents, nil
}

// taskBlocks are the stored items of a task.
func (s *Store) taskBlocks(ctx context.Context, head store.TaskHead) ([][]byte, error) {
	rows, err := s.queries.TaskBlocks(ctx, head.Ref)
	if err != nil {
		return nil, err
	}
	blocks := make([][]byte, len(rows))
	for i, r := range rows {
		if blocks[i], err = store.Unpack(r.Block); err != nil {
			return nil, err
		}
	}
	return blocks, nil
}

// taskOutcomes is the content of a task but for its items.
func (s *Store) taskOutcomes(ctx context.Context, head store.TaskHead) (c store.TaskContent, err error) {
	// The outcomes first: a task that ends meanwhile loses them, and then has its document.
	if head.Status == skill.Pending {
		if c.Runs, err = s.Outcomes(ctx, head.Ref); err != nil {
			return store.TaskContent{}, err
		}
	}
	document, err := s.queries.TaskDocument(ctx, head.Ref)
	if err != nil {
		return store.TaskContent{}, err
	}
	c.Document, err = store.Unpack(document)
	return c, err
}

// SkillByID implements store.Pages.
func (s *Store) SkillByID(ctx context.Context, environmentID, id string) (integrationID, originID string, err error) {
	row, err := s.queries.SkillByID(ctx, dbq.SkillByIDParams{Environment: environmentID, ID: id})
	if err != nil {
		return "", "", fmt.Errorf("skill %q: %w", id, missing(err))
	}
	return row.IntegrationID, row.OriginID, nil
}

// FindSkill implements store.Pages.
func (s *Store) FindSkill(ctx context.Context, environmentID, integrationID, originID string) (store.ListedSkill, error) {
	row, err := s.queries.SkillRow(ctx, dbq.SkillRowParams{Environment: environmentID, Integration: integrationID, OriginID: originID})
	if err != nil {
		return store.ListedSkill{}, fmt.Errorf("skill %q of %s: %w", originID, integrationID, missing(err))
	}
	return skillRow(row), nil
}

// CountCatalogue implements store.Pages.
func (s *Store) CountCatalogue(ctx context.Context, environmentID string) (map[string]store.CatalogueCount, error) {
	rows, err := s.queries.CountCatalogue(ctx, environmentID)
	if err != nil {
		return nil, fault(fmt.Errorf("count skills: %w", err))
	}
	counts := make(map[string]store.CatalogueCount, len(rows))
	for _, r := range rows {
		counts[r.IntegrationID] = store.CatalogueCount{Total: int(r.Total), InStep: int(r.InStep), Refused: int(r.Refused), Unsure: int(r.Unsure)}
	}
	return counts, nil
}

// Activity implements store.Pages.
func (s *Store) Activity(ctx context.Context, environmentID string, within time.Duration) ([]store.ActivityHour, error) {
	rows, err := s.queries.Activity(ctx, dbq.ActivityParams{
		Since: sql.NullInt64{Int64: s.now().Add(-within).UnixMilli(), Valid: true}, Environment: environmentID,
	})
	if err != nil {
		return nil, fault(fmt.Errorf("activity: %w", err))
	}
	return collect(rows, func(r dbq.ActivityRow) store.ActivityHour {
		h := store.ActivityHour{
			IntegrationID: r.IntegrationID, Hour: fromMillis(r.Hour), Tasks: int(r.Tasks), PartlyFailed: int(r.PartlyFailed), AllFailed: int(r.AllFailed),
			Counts: skill.Counts{Written: int(r.Written), Unchanged: int(r.Unchanged), Failed: int(r.Failed)},
		}
		if r.SucceededAt > 0 {
			h.SucceededAt = fromMillis(r.SucceededAt)
		}
		return h
	}), nil
}

// IntegrationStates implements store.Pages.
func (s *Store) IntegrationStates(ctx context.Context, f store.IntegrationFilter) ([]store.IntegrationState, error) {
	states, err := s.integrationStates(ctx, f)
	if err != nil {
		return nil, fault(fmt.Errorf("states of integrations: %w", err))
	}
	return states, nil
}

func (s *Store) integrationStates(ctx context.Context, f store.IntegrationFilter) ([]store.IntegrationState, error) {
	where, args := "i.environment_id = ? AND i.deleted_at IS NULL", []any{f.EnvironmentID}
	if f.Text != "" {
		text := strings.ToLower(f.Text)
		where, args = where+" AND (instr(lower(i.name), ?) > 0 OR instr(lower(i.id), ?) > 0)", append(args, text, text)
	}
	by, behind, after := "i.seq", "i.seq > ?", []any{f.After.Ref}
	switch f.Order {
	case store.ByConnectionDown:
		by, behind = "i.seq DESC", "i.seq < ?"
	case store.ByCustomer:
		by, behind, after = "lower(i.name), i.seq", "(lower(i.name), i.seq) > (lower(?), ?)", []any{f.After.Customer, f.After.Ref}
	case store.ByCustomerDown:
		by, behind, after = "lower(i.name) DESC, i.seq DESC", "(lower(i.name), i.seq) < (lower(?), ?)", []any{f.After.Customer, f.After.Ref}
	case store.ByConnection:
	}
	if f.After != (store.IntegrationCursor{}) {
		where, args = where+" AND "+behind, append(args, after...)
	}
	refs, err := gather(ctx, s.read, scanNumber, `SELECT i.seq FROM integrations i WHERE `+where+` ORDER BY `+by+` LIMIT ?`, append(args, f.Limit)...)
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	rows, err := s.queries.IntegrationStates(ctx, numbers(refs))
	if err != nil {
		return nil, err
	}
	states := make([]store.IntegrationState, len(rows))
	for i, row := range rows {
		if states[i], err = s.integrationState(ctx, row); err != nil {
			return nil, err
		}
	}
	return states, nil
}

// IntegrationState implements store.Pages.
func (s *Store) IntegrationState(ctx context.Context, environmentID, id string) (store.IntegrationState, error) {
	row, err := s.queries.IntegrationState(ctx, dbq.IntegrationStateParams{Environment: environmentID, ID: id})
	if err != nil {
		return store.IntegrationState{}, fmt.Errorf("state of integration %q: %w", id, missing(err))
	}
	state, err := s.integrationState(ctx, dbq.IntegrationStatesRow(row))
	if err != nil {
		return store.IntegrationState{}, fault(fmt.Errorf("state of integration %q: %w", id, err))
	}
	return state, nil
}

func (s *Store) integrationState(ctx context.Context, r dbq.IntegrationStatesRow) (store.IntegrationState, error) {
	now := s.now().UnixMilli()
	left := func(until int64) time.Duration { return time.Duration(max(0, until-now)) * time.Millisecond }
	state := store.IntegrationState{
		Integration: integration(r.Integration), Ref: r.Integration.Seq, Pending: int(r.Pending), Waiting: int(r.Waiting),
		Leased: r.Owner.Valid && r.Until > now, Hold: left(r.ResumeAt), Paced: left(r.PacedUntil),
	}
	if r.Oldest == 0 {
		return state, nil
	}
	row, err := s.queries.TaskHeadBySeq(ctx, r.Oldest)
	if errors.Is(err, sql.ErrNoRows) { // expired meanwhile
		return state, nil
	}
	if err != nil {
		return state, err
	}
	oldest := taskHead(dbq.TaskHeadRow(row))
	state.Oldest = &oldest
	return state, nil
}
