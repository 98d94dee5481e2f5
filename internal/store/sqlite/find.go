package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
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

func scanNamed(rows *sql.Rows) (n store.NamedSkill, err error) {
	err = rows.Scan(&n.Ref, &n.OriginID, &n.ID, &n.Name)
	return n, err
}

func scanNumber(rows *sql.Rows) (n int64, err error) {
	err = rows.Scan(&n)
	return n, err
}

// of are the conditions of a filter on integrations i and skills s.
func of(f store.SkillFilter) (integrations, skills string, args, skillArgs []any) {
	integrations, args = "i.environment_id = ?", []any{f.EnvironmentID}
	if f.IntegrationID != "" {
		integrations, args = integrations+" AND i.id = ?", append(args, f.IntegrationID)
	}
	if c := f.State.Condition(); c != "" {
		skills += " AND " + c
	}
	if f.OriginID != "" {
		skills += " AND s.origin_id >= ? AND s.origin_id < ?"
		skillArgs = append(skillArgs, f.OriginID, store.Behind(f.OriginID))
	}
	return integrations, skills, args, skillArgs
}

// Look implements store.SkillFinder.
func (fi finder) Look(ctx context.Context, f store.SkillFilter, after store.SkillCursor, limit int) (store.LookedAt, error) {
	names, err := fi.names(ctx, f, after, limit)
	return store.LookedAtAll(names), err
}

// names are those of the next skills behind a place, in the filter's order.
func (fi finder) names(ctx context.Context, f store.SkillFilter, after store.SkillCursor, limit int) ([]store.NamedSkill, error) {
	where, skills, args, skillArgs := of(f)
	begun := after != store.SkillCursor{}
	if f.Order == store.ByIntegration {
		if begun {
			where += " AND i.seq >= ?"
			args = append(args, after.Ref)
			skills += " AND s.origin_id > CASE WHEN i.seq = ? THEN ? ELSE '' END"
			skillArgs = append(skillArgs, after.Ref, after.OriginID)
		}
		return gather(ctx, fi.read, scanNamed, `SELECT i.seq, s.origin_id, s.id, s.name FROM integrations i CROSS JOIN skills s ON s.integration = i.seq
			WHERE `+where+skills+` ORDER BY i.seq, s.origin_id LIMIT ?`, append(append(args, skillArgs...), limit)...)
	}
	var inner, outer, behind string
	switch f.Order {
	case store.ByOriginID:
		inner, outer = "s.origin_id", "t.origin_id, i.seq"
		behind = " AND s.origin_id >= ? AND (s.origin_id > ? OR i.seq > ?)"
	case store.ByOriginIDDown:
		inner, outer = "s.origin_id DESC", "t.origin_id DESC, i.seq DESC"
		behind = " AND s.origin_id <= ? AND (s.origin_id < ? OR i.seq < ?)"
	case store.ByAge:
		inner, outer, behind = "s.id", "t.id", " AND s.id > ?"
	default:
		inner, outer, behind = "s.id DESC", "t.id DESC", " AND s.id < ?"
	}
	if begun {
		skills += behind
		if f.Order == store.ByAge || f.Order == store.ByAgeDown {
			skillArgs = append(skillArgs, after.ID)
		} else {
			skillArgs = append(skillArgs, after.OriginID, after.OriginID, after.Ref)
		}
	}
	// Of each integration as many as the page may have.
	return gather(ctx, fi.read, scanNamed, `SELECT i.seq, t.origin_id, t.id, t.name FROM integrations i CROSS JOIN skills t ON t.seq IN (
			SELECT s.seq FROM skills s WHERE s.integration = i.seq`+skills+` ORDER BY `+inner+` LIMIT ?
		) WHERE `+where+` ORDER BY `+outer+` LIMIT ?`, append(append(append(skillArgs, limit), args...), limit)...)
}

// numbers is a list of numbers as one argument, which json_each takes apart.
func numbers(list []int64) string {
	b, _ := json.Marshal(list) //nolint:errchkjson // numbers always can be
	return string(b)
}

// placed joins skills s with a list of places, which is the argument.
const placed = "json_each(?) p CROSS JOIN skills s ON s.integration = p.value ->> 0 AND s.origin_id = p.value ->> 1"

// places is a list of places as one argument.
func places(at []store.SkillCursor) string {
	pairs := make([][2]any, len(at))
	for i, p := range at {
		pairs[i] = [2]any{p.Ref, p.OriginID}
	}
	b, _ := json.Marshal(pairs) //nolint:errchkjson // numbers and texts always can be
	return string(b)
}

// Indexed implements store.SkillFinder.
func (fi finder) Indexed(ctx context.Context, f store.SkillFilter, limit int) (names []store.NamedSkill, more bool, err error) {
	where, skills, args, skillArgs := of(f)
	refs, err := gather(ctx, fi.read, scanNumber, `SELECT i.seq FROM integrations i WHERE `+where, args...)
	if err != nil || len(refs) == 0 {
		return nil, false, err
	}
	var most bool
	if err := fi.read.QueryRowContext(ctx, `SELECT total(CASE WHEN i.environment_id = ? THEN d.skills END) * 2 >= total(d.skills)
		FROM drains d JOIN integrations i ON i.seq = d.integration`, f.EnvironmentID).Scan(&most); err != nil {
		return nil, false, err
	}
	found, more, err := fi.matches(ctx, f, f.Marks(refs[0], most), limit)
	if err != nil || len(found) == 0 {
		return nil, false, err
	}
	if more {
		found = found[:min(f.Limit, limit)]
	}
	names, err = gather(ctx, fi.read, scanNamed, `SELECT s.integration, s.origin_id, s.id, s.name FROM json_each(?) w CROSS JOIN skills s ON s.seq = w.value
		WHERE s.integration IN (SELECT value FROM json_each(?))`+skills, append([]any{numbers(found), numbers(refs)}, skillArgs...)...)
	if len(names) > limit {
		names, more = names[:min(f.Limit, limit)], true
	}
	return names, more, err
}

// matches are what skill_words has for a search: all of it, and up to as much again that is elsewhere; or if it is more than the
// limit, a part.
func (fi finder) matches(ctx context.Context, f store.SkillFilter, marks []string, limit int) (found []int64, more bool, err error) {
	ask := func(words []string, prefix bool, limit int) bool {
		if err == nil {
			found, err = gather(ctx, fi.read, scanNumber, `SELECT rowid FROM skill_words WHERE skill_words MATCH ? LIMIT ?`, wordQuery(words, prefix), limit+1)
		}
		return len(found) <= limit
	}
	// What begins with a word is gathered before the first one is told, and a mark that very many names have takes longer to go
	// through than some thousand skills take to be read. So both are asked for only where the other words name too much.
	whole, beginning := f.Search.Terms()
	if len(whole) > 0 && ask(whole, false, limit) {
		return found, false, err
	}
	all, few := slices.Concat(whole, []string{beginning}), false
	if len(marks) > 0 {
		if few = ask(all, false, limit); few && ask(all, true, 2*limit) {
			return found, false, err
		}
	}
	// If it is not known, it is asked first whether there is too much anyway.
	all = slices.Concat(marks, all)
	more = !few && !ask(all, false, limit) || !ask(all, true, limit)
	return found, more, err
}

// wordQuery asks skill_words for all of some words, and with prefix for what begins with the last one. Words hold no quotes.
func wordQuery(words []string, prefix bool) string {
	query := `"` + strings.Join(words, `" AND "`) + `"`
	if prefix {
		query += " *"
	}
	return query
}

// Unsearched implements store.SkillFinder.
func (fi finder) Unsearched(ctx context.Context, f store.SkillFilter, limit int) (names []store.NamedSkill, more bool, err error) {
	where, skills, args, skillArgs := of(f)
	// The newest first: what waits longest is taken soonest.
	notes, err := gather(ctx, fi.read, scanUnsearched, `SELECT u.seq, u.integration, u.origin_ids, u.after FROM unsearched u JOIN integrations i ON i.seq = u.integration
		WHERE `+where+` ORDER BY u.seq DESC LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, false, err
	}
	at, more := store.LateNames(notes, limit)
	if len(at) > 0 {
		names, err = gather(ctx, fi.read, scanNamed, `SELECT s.integration, s.origin_id, s.id, s.name FROM `+placed+` WHERE true`+skills,
			append([]any{places(at)}, skillArgs...)...)
	}
	return names, more || len(notes) == limit, err
}

func scanUnsearched(rows *sql.Rows) (n store.Unsearched, err error) {
	var ids []byte
	if err = rows.Scan(&n.Seq, &n.Ref, &ids, &n.After); err == nil && ids != nil {
		n.OriginIDs, err = store.UnpackTexts(ids)
	}
	return n, err
}

const listedColumns = `s.integration, s.origin_id, s.id, s.remote_id, s.name, s.status, s.hash IS NOT NULL, s.unsure, s.written_at, s.error_code,
	s.error_message, s.error_at, s.noted, s.noted_at, s.noted_name, s.noted_status, i.id, i.tool, i.name,
	coalesce((SELECT t.id FROM tasks t WHERE t.seq = s.written_by), '')`

// Listed implements store.SkillFinder.
func (fi finder) Listed(ctx context.Context, at []store.SkillCursor) ([]store.ListedSkill, error) {
	return gather(ctx, fi.read, func(rows *sql.Rows) (store.ListedSkill, error) {
		var r dbq.SkillRowRow
		err := rows.Scan(&r.Integration, &r.OriginID, &r.ID, &r.RemoteID, &r.Name, &r.Status, &r.Known, &r.Unsure, &r.WrittenAt, &r.ErrorCode,
			&r.ErrorMessage, &r.ErrorAt, &r.Noted, &r.NotedAt, &r.NotedName, &r.NotedStatus, &r.IntegrationID, &r.Tool, &r.Customer,
			&r.WrittenBy)
		return skillRow(r), err
	}, `SELECT `+listedColumns+` FROM `+placed+` CROSS JOIN integrations i ON i.seq = s.integration`, places(at))
}

// noteNames notes that the names of skills may have changed.
func (tx *transaction) noteNames(ctx context.Context, ref int64, originIDs []string) error {
	if len(originIDs) == 0 {
		return nil
	}
	return tx.NoteNames(ctx, dbq.NoteNamesParams{Integration: ref, OriginIds: store.PackTexts(originIDs)})
}

// indexNotes is how many notes are looked at in one turn.
const indexNotes = 200

// IndexNames implements store.Upkeep.
func (s *Store) IndexNames(ctx context.Context, limit int) (done int, err error) {
	// One process alone is at it. Most of the time there is nothing to do, and nobody is to wait for that.
	notes, err := gather(ctx, s.read, scanUnsearched, `SELECT seq, integration, origin_ids, after FROM unsearched ORDER BY seq LIMIT ?`, indexNotes)
	if err != nil {
		return 0, fault(fmt.Errorf("index names: %w", err))
	}
	if len(notes) == 0 {
		return 0, nil
	}
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		turn := store.NextNames(notes, limit)
		names, err := tx.namesOf(ctx, turn)
		if err != nil {
			return err
		}
		done = max(1, len(names))
		if _, err := s.bulk.indexWords.exec(ctx, tx.sql, values{
			rows: len(names),
			row: func(args []any, i int) []any {
				return append(args, names[i].seq, store.IndexedWords(names[i].name, names[i].environment)+" "+store.InIntegration(names[i].ref))
			},
		}); err != nil {
			return err
		}
		last := ""
		if len(names) > 0 {
			last = names[len(names)-1].originID
		}
		turn.Took(len(names), last)
		for _, seq := range turn.Done {
			if err := tx.DropUnsearched(ctx, seq); err != nil {
				return err
			}
		}
		if r := turn.Rest; r != nil {
			return tx.MoveUnsearched(ctx, dbq.MoveUnsearchedParams{Seq: r.Seq, After: r.After, OriginIds: r.Packed()})
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("index names: %w", err)
	}
	return done, nil
}

type namedRow struct {
	seq, ref                    int64
	originID, name, environment string
}

func (tx *transaction) namesOf(ctx context.Context, turn store.NamesTurn) ([]namedRow, error) {
	scan := func(rows *sql.Rows) (n namedRow, err error) {
		err = rows.Scan(&n.seq, &n.ref, &n.originID, &n.name, &n.environment)
		return n, err
	}
	if turn.Whole {
		return gather(ctx, tx.sql, scan, `SELECT s.seq, s.integration, s.origin_id, s.name, i.environment_id FROM integrations i CROSS JOIN skills s ON s.integration = i.seq
			WHERE i.seq = ? AND s.origin_id > ? ORDER BY s.origin_id LIMIT ?`,
			turn.At[0].Ref, turn.At[0].OriginID, turn.Limit)
	}
	return gather(ctx, tx.sql, scan, `SELECT s.seq, s.integration, s.origin_id, s.name, i.environment_id FROM `+placed+`
		CROSS JOIN integrations i ON i.seq = s.integration`, places(turn.At))
}

func skillRow(r dbq.SkillRowRow) store.ListedSkill {
	s := store.ListedSkill{
		ID: r.ID, IntegrationID: r.IntegrationID, Tool: r.Tool, Customer: r.Customer, OriginID: r.OriginID, RemoteID: r.RemoteID.String,
		Name: r.Name, Status: skill.Status(r.Status), Known: r.Known != 0, Unsure: r.Unsure != 0,
		WrittenAt: fromNullMillis(r.WrittenAt), WrittenBy: r.WrittenBy,
		ErrorCode: skill.Code(r.ErrorCode.String), ErrorMessage: r.ErrorMessage.String, ErrorAt: fromNullMillis(r.ErrorAt),
	}
	s.Noted = store.NotedOf(s, store.Noted{
		Note: store.Note(r.Noted.Int64), At: fromNullMillis(r.NotedAt), Name: r.NotedName.String, Status: skill.Status(r.NotedStatus.Int64),
	})
	return s
}
