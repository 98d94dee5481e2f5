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

// The lists below are put together from their filter, so that each finds the index that was made for it. What stands in the
// text are constants of this file; what comes from outside are parameters.

// ListTasks implements store.Pages.
func (s *Store) ListTasks(ctx context.Context, f store.TaskFilter) ([]store.TaskHead, error) {
	list, err := s.listTasks(ctx, f)
	if err != nil {
		return nil, fault(fmt.Errorf("list tasks: %w", err))
	}
	return list, nil
}

func (s *Store) listTasks(ctx context.Context, f store.TaskFilter) ([]store.TaskHead, error) {
	// Unfinished tasks are few, and are walked from the newest on. Of ended ones no more rows are read of each integration
	// than the page has, in the order of the index that begins with it: with a plain condition on the integration, the planner
	// would go through the tasks of everybody by their ids. The bounds of the ids are plain: a comparison of rows would not end
	// where they do, nor leave out a day.
	const (
		pending = `(SELECT t.seq, t.id, t.key_id, 0::smallint AS status, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite,
				t.created_at, t.deadline, 'epoch'::timestamptz AS completed_at, i.id AS integration_id, i.tool, i.name AS customer
			FROM tasks t JOIN integrations i ON i.seq = t.integration
			WHERE i.environment_id = $1 AND ($4 = '' OR i.id = $4) AND t.id < $2 AND t.id >= $3 %s ORDER BY t.id {} LIMIT $5)`
		ended = `(SELECT 0::bigint AS seq, t.id, t.key_id, t.status, t.items, t.items AS done, t.written, t.unchanged, t.failed, true AS started,
				0 AS attempt, t.rewrite, t.created_at, 'epoch'::timestamptz AS deadline, t.completed_at, i.id AS integration_id, i.tool, i.name AS customer
			FROM integrations i CROSS JOIN LATERAL (
				SELECT id, key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at FROM results r
				WHERE r.integration = ANY (ARRAY[i.seq]) AND r.id < $2 AND r.id >= $3 %s ORDER BY r.integration {}, r.id {} LIMIT $5
			) t
			WHERE i.environment_id = $1 AND ($4 = '' OR i.id = $4) ORDER BY t.id {} LIMIT $5)`
	)
	var parts []string
	switch f.State {
	case store.GoingOn:
		parts = []string{fmt.Sprintf(pending, "")}
	case store.Done:
		parts = []string{fmt.Sprintf(ended, "AND r.status = 1")}
	case store.AllFailed:
		parts = []string{fmt.Sprintf(ended, "AND r.failed > 0 AND r.status = 2")}
	case store.WithFailures:
		parts = []string{fmt.Sprintf(pending, "AND t.failed > 0"), fmt.Sprintf(ended, "AND r.failed > 0")}
	default:
		parts = []string{fmt.Sprintf(pending, ""), fmt.Sprintf(ended, "")}
	}
	query, before, from := "SELECT * FROM ("+strings.Join(parts, " UNION ALL ")+") t ORDER BY id {} LIMIT $5", cmp.Or(f.Before, lastID), f.From
	direction := "DESC"
	if f.OldestFirst {
		direction, before = "ASC", lastID
		if f.After >= from && f.After != "" {
			from = f.After + "\x01" // the next one at the earliest
		}
	}
	rows, err := s.pool.Query(ctx, strings.ReplaceAll(query, "{}", direction), f.EnvironmentID, before, from, f.IntegrationID, int32(f.Limit))
	if err != nil {
		return nil, err
	}
	heads, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbq.TaskHeadRow])
	if err != nil {
		return nil, err
	}
	return collect(heads, taskHead), nil
}

func taskHead(r dbq.TaskHeadRow) store.TaskHead {
	return store.TaskHead{
		Task: skill.Task{ID: r.ID, CreatedAt: r.CreatedAt.UTC()}, Ref: r.Seq,
		IntegrationID: r.IntegrationID, Tool: r.Tool, Customer: r.Customer, KeyID: r.KeyID,
		Status: skill.TaskStatus(r.Status), Items: int(r.Items), Done: int(r.Done),
		Counts:  skill.Counts{Written: int(r.Written), Unchanged: int(r.Unchanged), Failed: int(r.Failed)},
		Started: r.Started, Attempt: int(r.Attempt), Rewrite: r.Rewrite,
		Deadline: never(r.Deadline), CompletedAt: never(r.CompletedAt),
	}
}

// never is a time, where 1970 stands for none.
func never(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t.UTC()
}

// TaskHead implements store.Pages.
func (s *Store) TaskHead(ctx context.Context, environmentID, taskID string) (store.TaskHead, error) {
	row, err := s.queries.TaskHead(ctx, dbq.TaskHeadParams{ID: taskID, Environment: environmentID})
	if errors.Is(err, pgx.ErrNoRows) {
		var at time.Time
		if at, err = s.queries.TaskExpiredIn(ctx, dbq.TaskExpiredInParams{ID: taskID, Environment: environmentID}); err == nil {
			err = &store.ExpiredError{At: at.UTC()}
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
		return store.TaskContent{}, fmt.Errorf("content of task %s: %w", head.ID, err)
	}
	// The outcomes first: a task that ends meanwhile loses them, and then has its document.
	contents, err := s.taskOutcomes(ctx, []store.TaskHead{head})
	if err != nil {
		return fail(fault(err))
	}
	tasks, err := s.taskBlocks(ctx, []store.TaskHead{head})
	if err != nil {
		return fail(fault(err))
	}
	c = contents[0]
	if tasks[0] == nil {
		return fail(store.ErrNotFound)
	}
	if c.Items, err = skill.DecodeBlocks(tasks[0], head.Items); err != nil {
		return fail(err)
	}
	return c, nil
}

// FindItem implements store.Pages.
func (s *Store) FindItem(ctx context.Context, heads []store.TaskHead, originID string) ([]store.FoundItem, error) {
	found, err := store.FindItem(heads, originID, func(heads []store.TaskHead) ([][][]byte, error) { return s.taskBlocks(ctx, heads) })
	if err != nil {
		return nil, fault(fmt.Errorf("find an item: %w", err))
	}
	return found, nil
}

// TaskOutcomes implements store.Pages.
func (s *Store) TaskOutcomes(ctx context.Context, heads []store.TaskHead) ([]store.TaskContent, error) {
	contents, err := s.taskOutcomes(ctx, heads)
	if err != nil {
		return nil, fault(fmt.Errorf("outcomes of tasks: %w", err))
	}
	return contents, nil
}

// taskBlocks are the stored items of tasks.
func (s *Store) taskBlocks(ctx context.Context, heads []store.TaskHead) ([][][]byte, error) {
	tasks := make([][][]byte, len(heads))
	if refs := unfinished(heads); len(refs) > 0 {
		rows, err := s.queries.TaskBlocks(ctx, refs)
		if err != nil {
			return nil, err
		}
		at := placeOf(heads, func(h store.TaskHead) int64 { return h.Ref })
		for _, r := range rows {
			block, err := store.Unpack(r.Block)
			if err != nil {
				return nil, err
			}
			tasks[at[r.Task]] = append(tasks[at[r.Task]], block)
		}
	}
	// Those that have ended, some of them meanwhile.
	ids := idsOf(heads, func(i int) bool { return tasks[i] == nil })
	if len(ids) == 0 {
		return tasks, nil
	}
	rows, err := s.queries.EndedBlocks(ctx, ids)
	if err != nil {
		return nil, err
	}
	at := placeOf(heads, func(h store.TaskHead) string { return h.ID })
	for _, r := range rows {
		if tasks[at[r.ID]], err = store.UnpackAll(r.Blocks); err != nil {
			return nil, err
		}
	}
	return tasks, nil
}

// taskOutcomes are the contents of tasks but for their items.
func (s *Store) taskOutcomes(ctx context.Context, heads []store.TaskHead) ([]store.TaskContent, error) {
	contents := make([]store.TaskContent, len(heads))
	if refs := unfinished(heads); len(refs) > 0 {
		rows, err := s.queries.OutcomesOf(ctx, refs)
		if err != nil {
			return nil, err
		}
		at := placeOf(heads, func(h store.TaskHead) int64 { return h.Ref })
		for _, r := range rows {
			outcomes, err := skill.DecodeOutcomes(r.Block)
			if err != nil {
				return nil, fmt.Errorf("task %d, outcomes from %d: %w", r.Task, r.Start, err)
			}
			c := &contents[at[r.Task]]
			c.Runs = append(c.Runs, store.Run{Start: int(r.Start), Outcomes: outcomes})
		}
	}
	// A task that has no outcomes may have ended meanwhile.
	ids := idsOf(heads, func(i int) bool { return len(contents[i].Runs) == 0 })
	if len(ids) == 0 {
		return contents, nil
	}
	rows, err := s.queries.EndedDocuments(ctx, ids)
	if err != nil {
		return nil, err
	}
	at := placeOf(heads, func(h store.TaskHead) string { return h.ID })
	for _, r := range rows {
		if contents[at[r.ID]].Document, err = store.Unpack(r.Document); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

func unfinished(heads []store.TaskHead) (refs []int64) {
	for _, h := range heads {
		if h.Ref != 0 {
			refs = append(refs, h.Ref)
		}
	}
	return refs
}

func idsOf(heads []store.TaskHead, of func(i int) bool) (ids []string) {
	for i, h := range heads {
		if of(i) {
			ids = append(ids, h.ID)
		}
	}
	return ids
}

// placeOf says where tasks are in a list.
func placeOf[K comparable](heads []store.TaskHead, key func(store.TaskHead) K) map[K]int {
	at := make(map[K]int, len(heads))
	for i, h := range heads {
		at[key(h)] = i
	}
	return at
}

// skillRows are skills with the tasks that wrote them.
func skillRows(ctx context.Context, q *dbq.Queries, rows []dbq.SkillRowRow) ([]store.ListedSkill, error) {
	var named []int64
	for _, r := range rows {
		if r.WrittenBy != nil && !slices.Contains(named, *r.WrittenBy) {
			named = append(named, *r.WrittenBy)
		}
	}
	list := collect(rows, skillRow)
	if len(named) == 0 {
		return list, nil
	}
	writers, err := q.Writers(ctx, named)
	if err != nil {
		return nil, err
	}
	ids := make(map[int64]string, len(writers))
	for _, w := range writers {
		ids[w.Seq] = w.ID
	}
	for i, r := range rows {
		if r.WrittenBy != nil {
			list[i].WrittenBy = ids[*r.WrittenBy]
		}
	}
	return list, nil
}

func skillRow(r dbq.SkillRowRow) store.ListedSkill {
	noted := store.Noted{At: nullTime(r.NotedAt), Name: text(r.NotedName)}
	if r.Noted != nil {
		noted.Note = store.Note(*r.Noted)
	}
	if r.NotedStatus != nil {
		noted.Status = skill.Status(*r.NotedStatus)
	}
	s := store.ListedSkill{
		ID: r.ID, IntegrationID: r.IntegrationID, Tool: r.Tool, Customer: r.Customer, OriginID: r.OriginID, RemoteID: text(r.RemoteID),
		Name: r.Name, Status: skill.Status(r.Status), Known: r.Known, Unsure: r.Unsure, WrittenAt: nullTime(r.WrittenAt),
		ErrorCode: skill.Code(text(r.ErrorCode)), ErrorMessage: text(r.ErrorMessage), ErrorAt: nullTime(r.ErrorAt),
	}
	s.Noted = store.NotedOf(s, noted)
	return s
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
	list, err := skillRows(ctx, s.queries, []dbq.SkillRowRow{row})
	if err != nil {
		return store.ListedSkill{}, fault(fmt.Errorf("skill %q of %s: %w", originID, integrationID, err))
	}
	return list[0], nil
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

// longestTask is how long before its end a task may have been accepted, to be counted when it ends.
const longestTask = 24 * time.Hour

// Activity implements store.Pages.
func (s *Store) Activity(ctx context.Context, environmentID string, within time.Duration) ([]store.ActivityHour, error) {
	now, err := s.queries.Now(ctx)
	if err != nil {
		return nil, fault(fmt.Errorf("activity: %w", err))
	}
	since := now.Add(-within)
	rows, err := s.queries.Activity(ctx, dbq.ActivityParams{
		Environment: environmentID, FirstID: skill.FirstTaskID(since.Add(-longestTask)), Since: since,
	})
	if err != nil {
		return nil, fault(fmt.Errorf("activity: %w", err))
	}
	return collect(rows, func(r dbq.ActivityRow) store.ActivityHour {
		return store.ActivityHour{
			IntegrationID: r.IntegrationID, Hour: r.Hour.UTC(), Tasks: int(r.Tasks), PartlyFailed: int(r.PartlyFailed), AllFailed: int(r.AllFailed),
			Counts:      skill.Counts{Written: int(r.Written), Unchanged: int(r.Unchanged), Failed: int(r.Failed)},
			SucceededAt: never(r.SucceededAt),
		}
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
	a := &asked{}
	a.integrations = "i.environment_id = " + a.arg(f.EnvironmentID) + " AND i.deleted_at IS NULL"
	if f.Text != "" {
		text := a.arg(strings.ToLower(f.Text))
		a.integrations += " AND (strpos(lower(i.name), " + text + ") > 0 OR strpos(lower(i.id), " + text + ") > 0)"
	}
	const customer = `lower(i.name COLLATE "C")` // as the index has it
	by := "i.seq"
	behind := func() string { return "i.seq > " + a.arg(f.After.Ref) }
	place := func() string {
		return `(lower(` + a.arg(f.After.Customer) + `::text COLLATE "C"), ` + a.arg(f.After.Ref) + `)`
	}
	switch f.Order {
	case store.ByConnectionDown:
		by = "i.seq DESC"
		behind = func() string { return "i.seq < " + a.arg(f.After.Ref) }
	case store.ByCustomer:
		by = customer + ", i.seq"
		behind = func() string { return "(" + customer + ", i.seq) > " + place() }
	case store.ByCustomerDown:
		by = customer + " DESC, i.seq DESC"
		behind = func() string { return "(" + customer + ", i.seq) < " + place() }
	case store.ByConnection:
	}
	if f.After != (store.IntegrationCursor{}) {
		a.integrations += " AND " + behind()
	}
	query := `SELECT i.seq FROM integrations i WHERE ` + a.integrations + ` ORDER BY ` + by + ` LIMIT ` + a.arg(f.Limit)
	refs, err := gather(ctx, s.pool, pgx.RowTo[int64], query, a.args...)
	if err != nil || len(refs) == 0 {
		return nil, err
	}
	rows, err := s.queries.IntegrationStates(ctx, refs)
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
	state := store.IntegrationState{
		Integration: integration(r.Integration), Ref: r.Integration.Seq, Pending: int(r.Pending), Waiting: int(r.Waiting),
		Leased: r.Leased, Hold: max(0, r.ResumeAt.Sub(r.Now)), Paced: max(0, r.PacedUntil.Sub(r.Now)),
	}
	if r.Oldest == 0 {
		return state, nil
	}
	row, err := s.queries.TaskHeadBySeq(ctx, r.Oldest)
	if errors.Is(err, pgx.ErrNoRows) { // it has ended meanwhile
		return state, nil
	}
	if err != nil {
		return state, err
	}
	oldest := taskHead(dbq.TaskHeadRow(row))
	state.Oldest = &oldest
	return state, nil
}
