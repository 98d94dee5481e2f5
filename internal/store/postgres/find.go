package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// ListSkills implements store.Pages.
func (s *Store) ListSkills(ctx context.Context, f store.SkillFilter) (store.SkillList, error) {
	list, err := store.FindSkills(ctx, finder{s}, f)
	if err != nil {
		return store.SkillList{}, fault(fmt.Errorf("catalogue: %w", err))
	}
	return list, nil
}

// finder implements store.SkillFinder. What stands in the text of a query are constants of this file; what comes from outside
// are parameters.
type finder struct{ *Store }

func scanNamed(row pgx.CollectableRow) (n store.NamedSkill, err error) {
	err = row.Scan(&n.Ref, &n.OriginID, &n.ID, &n.Name)
	return n, err
}

// asked are the conditions of a filter on integrations i and skills s, and their arguments.
type asked struct {
	integrations, skills string
	args                 []any
}

func (a *asked) arg(v any) string {
	a.args = append(a.args, v)
	return fmt.Sprintf("$%d", len(a.args))
}

// inIntegrations asks for integrations alone.
func inIntegrations(f store.SkillFilter) *asked {
	a := &asked{}
	a.integrations = "i.environment_id = " + a.arg(f.EnvironmentID)
	if f.IntegrationID != "" {
		a.integrations += " AND i.id = " + a.arg(f.IntegrationID)
	}
	return a
}

func ask(f store.SkillFilter) *asked {
	a := inIntegrations(f)
	if c := f.State.Condition(); c != "" {
		a.skills += " AND " + c
	}
	if f.OriginID != "" {
		a.skills += " AND s.origin_id >= " + a.arg(f.OriginID) + " AND s.origin_id < " + a.arg(store.Behind(f.OriginID))
	}
	return a
}

// Look implements store.SkillFinder.
func (fi finder) Look(ctx context.Context, f store.SkillFilter, after store.SkillCursor, limit int) (store.LookedAt, error) {
	a := ask(f)
	var inner, outer string
	var behind func() string
	switch f.Order {
	case store.ByIntegration:
		inner, outer = "s.origin_id", "i.seq, s.origin_id"
		behind = func() string {
			ref := a.arg(after.Ref)
			a.integrations += " AND i.seq >= " + ref
			return "s.origin_id > CASE WHEN i.seq = " + ref + " THEN " + a.arg(after.OriginID) + " ELSE '' END"
		}
	case store.ByOriginID:
		inner, outer = "s.origin_id", "s.origin_id, i.seq"
		behind = func() string {
			id := a.arg(after.OriginID)
			return "s.origin_id >= " + id + " AND (s.origin_id > " + id + " OR i.seq > " + a.arg(after.Ref) + ")"
		}
	case store.ByOriginIDDown:
		inner, outer = "s.origin_id DESC", "s.origin_id DESC, i.seq DESC"
		behind = func() string {
			id := a.arg(after.OriginID)
			return "s.origin_id <= " + id + " AND (s.origin_id < " + id + " OR i.seq < " + a.arg(after.Ref) + ")"
		}
	case store.ByAge:
		inner, outer = "s.id", "s.id"
		behind = func() string { return "s.id > " + a.arg(after.ID) }
	case store.ByAgeDown:
		inner, outer = "s.id DESC", "s.id DESC"
		behind = func() string { return "s.id < " + a.arg(after.ID) }
	}
	key := "s.integration = i.seq"
	if f.Order == store.ByAge || f.Order == store.ByAgeDown {
		key = "s.integration + 0 = i.seq" // as the index by id has it
	}
	if after != (store.SkillCursor{}) {
		a.skills += " AND " + behind()
	}
	most := a.arg(limit)
	// Of each integration as many as the page may have. In their own order they come one after the other, and the last ones are
	// not reached.
	rows := `SELECT i.seq, s.origin_id, s.id, s.name FROM (SELECT i.seq FROM integrations i WHERE ` + a.integrations + ` ORDER BY i.seq) i
		CROSS JOIN LATERAL (SELECT s.origin_id, s.id, s.name FROM skills s WHERE ` + key + a.skills + ` ORDER BY ` + inner + ` LIMIT ` + most + `) s
		ORDER BY ` + outer + ` LIMIT ` + most
	words := f.Search.Words()
	if len(words) == 0 {
		names, err := gather(ctx, fi.pool, scanNamed, rows, a.args...)
		return store.LookedAtAll(names), err
	}
	// Most names do not match. PostgreSQL keeps back those that cannot, but for the last one, which tells how far this went.
	may := make([]string, len(words))
	for i, w := range words {
		may[i] = `strpos(lower(name COLLATE "C"), ` + a.arg(w) + `) > 0`
	}
	n, all := 0, 0
	names, err := gather(ctx, fi.pool, func(row pgx.CollectableRow) (s store.NamedSkill, err error) {
		err = row.Scan(&s.Ref, &s.OriginID, &s.ID, &s.Name, &n, &all)
		return s, err
	}, `SELECT * FROM (SELECT w.*, row_number() OVER () AS n, count(*) OVER () AS of FROM (`+rows+`) w) w
		WHERE n = of OR octet_length(name) <> length(name) OR `+strings.Join(may, " AND ")+` ORDER BY n`, a.args...)
	if err != nil || len(names) == 0 {
		return store.LookedAt{}, err
	}
	if n != all {
		return store.LookedAt{}, fmt.Errorf("look at skills: the last of %d is missing", all)
	}
	return store.LookedAt{Names: names, Skills: all, Last: names[len(names)-1].SkillCursor}, nil
}

// indexedWords is the expression that the index is of.
const indexedWords = "array_to_tsvector(string_to_array(w.words || ' =' || w.integration::text, ' '))"

// Indexed implements store.SkillFinder.
func (fi finder) Indexed(ctx context.Context, f store.SkillFilter, limit int) (names []store.NamedSkill, more bool, err error) {
	a := inIntegrations(f)
	refs, err := gather(ctx, fi.pool, pgx.RowTo[int64], `SELECT i.seq FROM integrations i WHERE `+a.integrations, a.args...)
	if err != nil || len(refs) == 0 {
		return nil, false, err
	}
	var alone bool
	if err := fi.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT 1 FROM integrations WHERE environment_id < $1) AND NOT EXISTS (SELECT 1 FROM integrations WHERE environment_id > $1)`, f.EnvironmentID).Scan(&alone); err != nil {
		return nil, false, err
	}
	tx, err := fi.pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, false, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // it has read
	// For the first ones of many the planner would read the table, until it has found them or has been through.
	if _, err := tx.Exec(ctx, "SET LOCAL enable_seqscan = off"); err != nil {
		return nil, false, err
	}
	marks := f.Marks(refs[0], alone)
	if more, err = gathers(ctx, tx, wordQuery(f, nil), f.Bounds.Gathered); err != nil {
		return nil, false, err
	}
	if more {
		// So many by chance, of which those elsewhere do not count.
		if _, err := tx.Exec(ctx, "SET LOCAL gin_fuzzy_search_limit = 2000"); err != nil {
			return nil, false, err
		}
		limit, marks = f.Limit, nil
	}
	found, err := gather(ctx, tx, func(row pgx.CollectableRow) (at store.SkillCursor, err error) {
		err = row.Scan(&at.Ref, &at.OriginID)
		return at, err
	}, `SELECT w.integration, w.origin_id FROM skill_words w WHERE `+indexedWords+` @@ $1::text::tsquery LIMIT $2`, wordQuery(f, marks), limit+1)
	if err != nil || len(found) == 0 {
		return nil, more, err
	}
	if len(found) > limit {
		found, more = found[:min(f.Limit, limit)], true
	}
	names, err = fi.named(ctx, tx, f, found, refs)
	return names, more, err
}

// gathers reports whether the index would gather more than that for some words, as the planner guesses.
func gathers(ctx context.Context, q querier, words string, most int) (bool, error) {
	// The planner has to see the words: so they are put into the text, by the driver.
	plans, err := gather(ctx, q, pgx.RowTo[[]byte], `EXPLAIN (FORMAT JSON) SELECT FROM skill_words w WHERE `+indexedWords+` @@ $1::text::tsquery`, pgx.QueryExecModeSimpleProtocol, words)
	if err != nil {
		return false, err
	}
	var plan []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal(plans[0], &plan); err != nil || len(plan) != 1 {
		return false, fmt.Errorf("read the plan of a search: %w", err)
	}
	return plan[0].Plan.Rows > float64(most), nil
}

// named are the skills of a filter among some, and in some integrations if these are given.
func (fi finder) named(ctx context.Context, q querier, f store.SkillFilter, at []store.SkillCursor, within []int64) ([]store.NamedSkill, error) {
	a := ask(f)
	refs, ids := places(at)
	rows := `SELECT i.seq, s.origin_id, s.id, s.name FROM (SELECT unnest(` + a.arg(refs) + `::bigint[]) AS ref, unnest(` + a.arg(ids) + `::text[]) AS origin_id) u
		JOIN integrations i ON i.seq = u.ref CROSS JOIN LATERAL (
			SELECT s.origin_id, s.id, s.name FROM skills s WHERE s.integration = u.ref AND s.origin_id = u.origin_id` + a.skills + ` OFFSET 0
		) s WHERE ` + a.integrations + ` AND i.seq = ANY (` + a.arg(within) + `::bigint[])`
	return gather(ctx, q, scanNamed, rows, a.args...)
}

func places(at []store.SkillCursor) (refs []int64, ids []string) {
	for _, p := range at {
		refs, ids = append(refs, p.Ref), append(ids, p.OriginID)
	}
	return refs, ids
}

// wordQuery asks for words as a tsquery. They hold no quotes and no backslashes.
func wordQuery(f store.SkillFilter, marks []string) string {
	whole, beginning := f.Search.Terms()
	var all []string
	for _, w := range append(marks, whole...) {
		all = append(all, "'"+w+"'")
	}
	return strings.Join(append(all, "'"+beginning+"':*"), " & ")
}

// Unsearched implements store.SkillFinder.
func (fi finder) Unsearched(ctx context.Context, f store.SkillFilter, limit int) (names []store.NamedSkill, more bool, err error) {
	a := inIntegrations(f)
	// The newest first: what waits longest is taken soonest.
	notes, err := gather(ctx, fi.pool, func(row pgx.CollectableRow) (store.Unsearched, error) {
		var r dbq.Unsearched
		if err := row.Scan(&r.Seq, &r.Integration, &r.OriginIds, &r.After); err != nil {
			return store.Unsearched{}, err
		}
		return unsearched(r)
	}, `SELECT u.seq, u.integration, u.origin_ids, u.after FROM unsearched u JOIN integrations i ON i.seq = u.integration
		WHERE `+a.integrations+` ORDER BY u.seq DESC LIMIT `+a.arg(limit), a.args...)
	if err != nil {
		return nil, false, err
	}
	at, more := store.LateNames(notes, limit)
	if len(at) > 0 {
		refs, _ := places(at)
		names, err = fi.named(ctx, fi.pool, f, at, refs)
	}
	return names, more || len(notes) == limit, err
}

func unsearched(r dbq.Unsearched) (n store.Unsearched, err error) {
	n = store.Unsearched{Seq: r.Seq, Ref: r.Integration, After: r.After}
	if r.OriginIds != nil {
		n.OriginIDs, err = store.UnpackTexts(r.OriginIds)
	}
	return n, err
}

// Listed implements store.SkillFinder.
func (fi finder) Listed(ctx context.Context, at []store.SkillCursor) ([]store.ListedSkill, error) {
	refs, ids := places(at)
	rows, err := gather(ctx, fi.pool, pgx.RowToStructByPos[dbq.SkillRowRow], `SELECT s.*, i.seq AS integration_ref, i.id AS integration_id, i.tool, i.name AS customer
		FROM (SELECT unnest($1::bigint[]) AS ref, unnest($2::text[]) AS origin_id) u JOIN integrations i ON i.seq = u.ref CROSS JOIN LATERAL (
			SELECT s.origin_id, s.id, s.remote_id, s.name, s.status, (s.hash IS NOT NULL) AS known, s.unsure, s.written_at, s.error_code, s.error_message, s.error_at,
				s.noted, s.noted_at, s.noted_name, s.noted_status, s.written_by
			FROM skills s WHERE s.integration = u.ref AND s.origin_id = u.origin_id OFFSET 0
		) s`, refs, ids)
	if err != nil {
		return nil, err
	}
	return skillRows(ctx, fi.queries, rows)
}

// noteNames notes that the names of skills may have changed.
func noteNames(ctx context.Context, q *dbq.Queries, ref int64, originIDs []string) error {
	if len(originIDs) == 0 {
		return nil
	}
	return q.NoteNames(ctx, dbq.NoteNamesParams{Integration: ref, OriginIds: store.PackTexts(originIDs)})
}

// indexNotes is how many notes are looked at in one turn.
const indexNotes = 200

// IndexNames implements store.Upkeep.
func (s *Store) IndexNames(ctx context.Context, limit int) (done int, err error) {
	// Most of the time there is nothing to do.
	if some, err := s.queries.AnyUnsearched(ctx); err != nil || !some {
		return 0, fault(err)
	}
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		done = 0
		if locked, err := tx.LockIndex(ctx); err != nil || !locked {
			return err
		}
		rows, err := tx.Unsearched(ctx, indexNotes)
		if err != nil {
			return err
		}
		notes := make([]store.Unsearched, len(rows))
		for i, r := range rows {
			if notes[i], err = unsearched(r); err != nil {
				return err
			}
		}
		if len(notes) == 0 {
			return nil
		}
		turn := store.NextNames(notes, limit)
		words, err := tx.wordsOf(ctx, &turn)
		if err != nil {
			return err
		}
		done = max(1, len(words.OriginIds))
		if err := tx.IndexWords(ctx, words); err != nil {
			return err
		}
		if err := tx.DropUnsearched(ctx, turn.Done); err != nil || turn.Rest == nil {
			return err
		}
		return tx.MoveUnsearched(ctx, dbq.MoveUnsearchedParams{Seq: turn.Rest.Seq, After: turn.Rest.After, OriginIds: turn.Rest.Packed()})
	})
	if err != nil {
		return 0, fmt.Errorf("index names: %w", err)
	}
	return done, nil
}

// wordsOf reads the names of a turn.
func (tx *transaction) wordsOf(ctx context.Context, turn *store.NamesTurn) (p dbq.IndexWordsParams, err error) {
	var rows []dbq.NamesOfRow
	if turn.Whole {
		behind, err := tx.NamesBehind(ctx, dbq.NamesBehindParams{Integration: turn.At[0].Ref, After: turn.At[0].OriginID, Most: int32(turn.Limit)})
		if err != nil {
			return p, err
		}
		rows = collect(behind, func(r dbq.NamesBehindRow) dbq.NamesOfRow { return dbq.NamesOfRow(r) })
	} else {
		refs, ids := places(turn.At)
		if rows, err = tx.NamesOf(ctx, dbq.NamesOfParams{Refs: refs, OriginIds: ids}); err != nil {
			return p, err
		}
	}
	last := ""
	for _, r := range rows {
		last = r.OriginID
		p.Refs, p.OriginIds, p.Words = append(p.Refs, r.Integration), append(p.OriginIds, r.OriginID), append(p.Words, store.IndexedWords(r.Name, r.EnvironmentID))
	}
	turn.Took(len(rows), last)
	return p, nil
}
