package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	// than the page has.
	const (
		pending = `(SELECT t.seq, t.id, t.key_id, 0::smallint AS status, t.items, t.done, t.written, t.unchanged, t.failed, t.started, t.attempt, t.rewrite,
				t.created_at, t.deadline, 'epoch'::timestamptz AS completed_at, i.id AS integration_id, i.tool, i.name AS customer
			FROM tasks t JOIN integrations i ON i.seq = t.integration
			WHERE i.environment_id = $1 AND ($4 = '' OR i.id = $4) AND t.id < $2 AND t.id >= $3 %s ORDER BY t.id DESC LIMIT $5)`
		ended = `(SELECT 0::bigint AS seq, t.id, t.key_id, t.status, t.items, t.items AS done, t.written, t.unchanged, t.failed, true AS started,
				0 AS attempt, t.rewrite, t.created_at, 'epoch'::timestamptz AS deadline, t.completed_at, i.id AS integration_id, i.tool, i.name AS customer
			FROM integrations i CROSS JOIN LATERAL (
				SELECT id, key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at FROM results r
				WHERE r.integration = i.seq AND r.id < $2 AND r.id >= $3 %s ORDER BY r.id DESC LIMIT $5
			) t
			WHERE i.environment_id = $1 AND ($4 = '' OR i.id = $4) ORDER BY t.id DESC LIMIT $5)`
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
	rows, err := s.pool.Query(ctx, "SELECT * FROM ("+strings.Join(parts, " UNION ALL ")+") t ORDER BY id DESC LIMIT $5",
		f.EnvironmentID, cmp.Or(f.Before, lastID), f.From, f.IntegrationID, int32(f.Limit))
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
	blocks, err := s.taskContent(ctx, head, &c)
	if err != nil {
		return store.TaskContent{}, fmt.Errorf("content of task %s: %w", head.ID, missing(err))
	}
	c.Items = make([]skill.Item, 0, head.Items)
	for _, block := range blocks {
		items, err := skill.DecodeItems(block)
		if err != nil {
			return store.TaskContent{}, fmt.Errorf("content of task %s: %w", head.ID, err)
		}
		c.Items = append(c.Items, items...)
	}
	return c, nil
}

func (s *Store) taskContent(ctx context.Context, head store.TaskHead, c *store.TaskContent) (blocks [][]byte, err error) {
	if head.Ref != 0 {
		if c.Runs, err = s.Outcomes(ctx, head.Ref); err != nil {
			return nil, err
		}
		rows, err := s.queries.TaskBlocks(ctx, head.Ref)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			blocks = append(blocks, r.Block)
		}
		if len(blocks) > 0 {
			return blocks, nil
		}
		// It has ended meanwhile, and moved.
	}
	row, err := s.queries.EndedContent(ctx, head.ID)
	c.Document = row.Document
	return row.Blocks, err
}

// ListSkills implements store.Pages.
func (s *Store) ListSkills(ctx context.Context, f store.SkillFilter) (store.SkillList, error) {
	page, err := s.catalogue(ctx, f)
	if err != nil {
		return store.SkillList{}, fault(fmt.Errorf("catalogue: %w", err))
	}
	return page, nil
}

func (s *Store) catalogue(ctx context.Context, f store.SkillFilter) (page store.SkillList, err error) {
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	outer, inner := "environment_id = "+arg(f.EnvironmentID), "s.integration = i.seq"
	if f.IntegrationID != "" {
		outer += " AND id = " + arg(f.IntegrationID)
	}
	if f.After != (store.SkillCursor{}) {
		ref := arg(f.After.Ref)
		outer += " AND seq >= " + ref
		inner += " AND s.origin_id > CASE WHEN i.seq = " + ref + " THEN " + arg(f.After.OriginID) + " ELSE '' END"
	}
	if f.OriginID != "" {
		inner += " AND s.origin_id >= " + arg(f.OriginID) + " AND s.origin_id < " + arg(store.Behind(f.OriginID))
	}
	most := f.Limit + 1
	if f.State != store.AnySkill || len(f.Words) > 0 {
		most = f.Examine // rows are looked at, however few of them pass
	}
	limit := arg(int32(most))
	// Integrations come in their order, and the skills of each in theirs: nothing is sorted but one integration's part.
	from := `FROM (SELECT seq, id, tool, name FROM integrations WHERE ` + outer + ` ORDER BY seq) i CROSS JOIN LATERAL (
			SELECT s.origin_id, s.id, s.remote_id, s.name, s.status, (s.hash IS NOT NULL) AS known, s.unsure, s.written_at, s.error_code,
				s.error_message, s.error_at
			FROM skills s WHERE ` + inner + ` ORDER BY s.origin_id LIMIT ` + limit + `
		) s ORDER BY i.seq, s.origin_id LIMIT ` + limit
	known := len(args)
	passing := catalogueConditions(f, arg)
	query := "SELECT s.*, i.seq AS ref, i.id AS integration_id, i.tool, i.name AS customer " + from
	if passing != "" {
		query = "SELECT * FROM (" + query + ") s WHERE " + passing + " LIMIT " + arg(int32(f.Limit+1))
	}
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return page, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbq.SkillRowRow])
	if err != nil {
		return page, err
	}
	if len(list) > f.Limit {
		list, page.More = list[:f.Limit], true
	}
	page.Skills = collect(list, skillRow)
	if n := len(list); n > 0 {
		page.Next = store.SkillCursor{Ref: list[n-1].IntegrationRef, OriginID: list[n-1].OriginID}
	}
	if page.More || passing == "" {
		return page, nil
	}
	// Where did it stop looking, if that was before the end?
	at := store.SkillCursor{}
	err = s.pool.QueryRow(ctx, "SELECT i.seq, s.origin_id "+from+" OFFSET "+limit+" - 1", args[:known:known]...).Scan(&at.Ref, &at.OriginID)
	if errors.Is(err, pgx.ErrNoRows) {
		return page, nil
	}
	if err != nil {
		return page, err
	}
	page.Next, page.More, page.Cut = at, true, true
	return page, nil
}

// catalogueConditions are those that no index answers.
func catalogueConditions(f store.SkillFilter, arg func(any) string) string {
	var all []string
	switch f.State {
	case store.Refused:
		all = append(all, "error_at IS NOT NULL")
	case store.Unsure:
		all = append(all, "unsure")
	case store.Retired:
		all = append(all, fmt.Sprintf("status = %d", skill.Inactive))
	default:
	}
	for _, word := range f.Words {
		all = append(all, "name ILIKE "+arg("%"+store.EscapeLike(word)+"%"))
	}
	return strings.Join(all, " AND ")
}

func skillRow(r dbq.SkillRowRow) store.ListedSkill {
	return store.ListedSkill{
		ID: r.ID, IntegrationID: r.IntegrationID, Tool: r.Tool, Customer: r.Customer, OriginID: r.OriginID, RemoteID: text(r.RemoteID),
		Name: r.Name, Status: skill.Status(r.Status), Known: r.Known, Unsure: r.Unsure, WrittenAt: nullTime(r.WrittenAt),
		ErrorCode: skill.Code(text(r.ErrorCode)), ErrorMessage: text(r.ErrorMessage), ErrorAt: nullTime(r.ErrorAt),
	}
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
			IntegrationID: r.IntegrationID, Hour: r.Hour.UTC(), Tasks: int(r.Tasks),
			Counts:      skill.Counts{Written: int(r.Written), Unchanged: int(r.Unchanged), Failed: int(r.Failed)},
			SucceededAt: never(r.SucceededAt),
		}
	}), nil
}

// IntegrationStates implements store.Pages.
func (s *Store) IntegrationStates(ctx context.Context, f store.IntegrationFilter) ([]store.IntegrationState, error) {
	rows, err := s.queries.IntegrationStates(ctx, dbq.IntegrationStatesParams{
		Environment: f.EnvironmentID, After: f.After, Text: strings.ToLower(f.Text), Most: int32(f.Limit),
	})
	if err != nil {
		return nil, fault(fmt.Errorf("states of integrations: %w", err))
	}
	states := make([]store.IntegrationState, len(rows))
	for i, row := range rows {
		if states[i], err = s.integrationState(ctx, row); err != nil {
			return nil, fault(fmt.Errorf("states of integrations: %w", err))
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
