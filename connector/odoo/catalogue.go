package odoo

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// The models that the connector speaks of.
const (
	modelSkill      = "hr.skill"
	modelType       = "hr.skill.type"
	modelExternalID = "ir.model.data"
)

// record is a skill as Odoo tells of it.
type record struct {
	ID        int64     `json:"id"`
	Name      text      `json:"name"`
	Type      reference `json:"skill_type_id"`
	WriteDate text      `json:"write_date"`
}

// public is the record for others. Skills of the type of archived ones are not active.
func (r record) public(originID string, archived int64) connector.Record {
	p := connector.Record{RemoteID: strconv.FormatInt(r.ID, 10), OriginID: originID, Name: string(r.Name), Active: archived == 0 || int64(r.Type) != archived}
	if at, err := time.Parse(time.DateTime, string(r.WriteDate)); err == nil { // Odoo's dates are in UTC; a fraction may follow
		p.UpdatedAt = at
	}
	return p
}

// where is a condition of a search.
func where(field, operator string, value any) []any { return []any{field, operator, value} }

// search reads skills, in the order of their ids; limit 0 is any number.
func (s *session) search(ctx context.Context, limit int, conditions ...[]any) ([]record, error) {
	c := call{model: modelSkill, method: "search_read", args: []argument{{"domain", conditions}}, options: map[string]any{
		"fields": []string{"name", "skill_type_id", "write_date"}, "order": "id",
	}}
	if limit > 0 {
		c.options["limit"] = limit
	}
	var records []record
	if err := s.call(ctx, c, &records); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(records, func(r record) bool { return r.ID <= 0 }) {
		return nil, withoutID()
	}
	return records, nil
}

// read reads the skills of these ids that exist.
func (s *session) read(ctx context.Context, ids []int64) (map[int64]record, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	records, err := s.search(ctx, 0, where("id", "in", ids))
	if err != nil {
		return nil, err
	}
	by := make(map[int64]record, len(records))
	for _, r := range records {
		by[r.ID] = r
	}
	return by, nil
}

// firstExternalIDs are the external ids of records, the oldest of each.
func (s *session) firstExternalIDs(ctx context.Context, model string, ids []int64) (map[int64]string, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var answer map[string]text
	if err := s.call(ctx, call{model: model, method: "get_external_id", ids: ids}, &answer); err != nil {
		return nil, err
	}
	if len(answer) < len(ids) { // it tells of each, if only that it has none
		return nil, connector.Errorf(connector.Unexpected, "Odoo tells the external ids of %d records out of %d", len(answer), len(ids))
	}
	external := make(map[int64]string, len(answer))
	for key, name := range answer {
		if id, err := strconv.ParseInt(key, 10, 64); err == nil && name != "" {
			external[id] = string(name)
		}
	}
	return external, nil
}

// owners are the origin ids of those records that have an external id of the module.
func (s *session) owners(ctx context.Context, ids []int64) (map[int64]string, error) {
	external, err := s.firstExternalIDs(ctx, modelSkill, ids)
	if err != nil {
		return nil, err
	}
	owners := make(map[int64]string, len(external))
	var others []int64 // that have another first, and may have ours after it
	for id, name := range external {
		if origin, ok := originID(s.set.Module, name); ok {
			owners[id] = origin
		} else {
			others = append(others, id)
		}
	}
	if len(others) == 0 {
		return owners, nil
	}
	slices.Sort(others)
	rows, _, err := s.externalIDs(ctx, where("res_id", "in", others))
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if origin, ok := originID(s.set.Module, s.set.Module+"."+string(row.Name)); ok {
			owners[row.Record] = origin
		}
	}
	return owners, nil
}

// externalRow is a row of the table of external ids.
type externalRow struct {
	ID     int64 `json:"id"`
	Name   text  `json:"name"`
	Model  text  `json:"model"`
	Record int64 `json:"res_id"`
}

// externalIDs reads the table of external ids: those of the module's skills. False if the user may not.
func (s *session) externalIDs(ctx context.Context, condition []any) ([]externalRow, bool, error) {
	return s.externalRows(ctx, where("model", "=", modelSkill), condition)
}

// externalRows reads the table of external ids: those of the module. False if the user may not.
func (s *session) externalRows(ctx context.Context, conditions ...[]any) ([]externalRow, bool, error) {
	s.mu.Lock()
	denied := s.denied
	s.mu.Unlock()
	if denied {
		return nil, false, nil
	}
	var rows []externalRow
	err := s.call(ctx, call{
		model: modelExternalID, method: "search_read",
		args:    []argument{{"domain", append([][]any{where("module", "=", s.set.Module)}, conditions...)}},
		options: map[string]any{"fields": []string{"name", "model", "res_id"}, "order": "id"},
	}, &rows)
	if e := connector.AsError(err); e != nil && e.Kind == connector.Permission {
		s.mu.Lock()
		s.denied = true
		s.mu.Unlock()
		return nil, false, nil
	}
	if slices.ContainsFunc(rows, func(r externalRow) bool { return r.ID <= 0 }) {
		return nil, false, withoutID()
	}
	return rows, err == nil, err
}

// named are the rows of the external ids that adopts are to get, by name: those that are there, whatever they point at. None if
// the user may not read them.
func (s *session) named(ctx context.Context, adopts []adoption) (map[string]externalRow, error) {
	names := make([]string, len(adopts))
	for i, a := range adopts {
		names[i] = externalName(a.OriginID)
	}
	rows, _, err := s.externalRows(ctx, where("name", "in", names))
	by := make(map[string]externalRow, len(rows))
	for _, row := range rows {
		by[string(row.Name)] = row
	}
	return by, err
}

// scan reads up to limit skills of all types behind an id, with the origin ids of those that have one.
func (s *session) scan(ctx context.Context, after int64, limit int) ([]record, map[int64]string, error) {
	records, err := s.search(ctx, limit, where("id", ">", after))
	if err != nil {
		return nil, nil, err
	}
	if len(records) > 0 && records[0].ID <= after {
		return nil, nil, connector.Errorf(connector.Unexpected, "Odoo's list of skills does not go on: it was asked for those behind the id %d, and begins with %d", after, records[0].ID)
	}
	owners, err := s.owners(ctx, idsOf(records))
	return records, owners, err
}

func idsOf(records []record) []int64 {
	ids := make([]int64, len(records))
	for i, r := range records {
		ids[i] = r.ID
	}
	return ids
}

// remoteID is the number in a skill's remote id, 0 if there is none.
func remoteID(sk connector.Skill) int64 {
	id, err := strconv.ParseInt(sk.RemoteID, 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}

func remoteIDs(skills []connector.Skill) []int64 {
	var ids []int64
	for _, sk := range skills {
		if id := remoteID(sk); id > 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// locate returns the records that bear the external ids of skills, by origin id. Where their ids are known, it looks there
// first; else in the table of external ids, or if the user may not, through all skills.
func (s *session) locate(ctx context.Context, skills []connector.Skill) (map[string]record, error) {
	held := make(map[string]record, len(skills))
	known, err := s.read(ctx, remoteIDs(skills))
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	owners, err := s.owners(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id, origin := range owners {
		held[origin] = known[id]
	}
	missing := map[string]string{} // origin ids by the names of external ids
	var names []string
	for _, sk := range skills {
		if _, ok := held[sk.OriginID]; !ok {
			name := externalName(sk.OriginID)
			missing[name] = sk.OriginID
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return held, nil
	}
	rows, allowed, err := s.externalIDs(ctx, where("name", "in", names))
	if err != nil {
		return nil, err
	}
	if !allowed {
		return held, s.locateByScan(ctx, missing, held)
	}
	ids = ids[:0]
	for _, row := range rows {
		ids = append(ids, row.Record)
	}
	records, err := s.read(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if r, ok := records[row.Record]; ok && missing[string(row.Name)] != "" {
			held[missing[string(row.Name)]] = r
		}
	}
	return held, nil
}

func (s *session) locateByScan(ctx context.Context, missing map[string]string, held map[string]record) error {
	wanted := make(map[string]bool, len(missing))
	for _, origin := range missing {
		wanted[origin] = true
	}
	for after := int64(0); len(wanted) > 0; {
		records, owners, err := s.scan(ctx, after, scanned)
		if err != nil {
			return err
		}
		for _, r := range records {
			if origin := owners[r.ID]; wanted[origin] {
				held[origin] = r
				delete(wanted, origin)
			}
		}
		if len(records) < scanned {
			break
		}
		after = records[len(records)-1].ID
	}
	return nil
}

// unclaimed finds, for each skill, a record of its name and of the skill type that has no external id of the module. Each
// record is found for one skill.
func (s *session) unclaimed(ctx context.Context, skills []connector.Skill, home skillType) (map[string]record, error) {
	names := make([]string, len(skills))
	for i, sk := range skills {
		names[i] = sk.Name
	}
	records, err := s.search(ctx, 0, where("name", "in", names), where("skill_type_id", "=", home.id))
	if err != nil {
		return nil, err
	}
	owners, err := s.owners(ctx, idsOf(records))
	if err != nil {
		return nil, err
	}
	free := map[string][]record{}
	for _, r := range records {
		if _, claimed := owners[r.ID]; !claimed {
			free[string(r.Name)] = append(free[string(r.Name)], r)
		}
	}
	found := map[string]record{}
	for _, sk := range skills {
		if rs := free[sk.Name]; len(rs) > 0 {
			found[sk.OriginID], free[sk.Name] = rs[0], rs[1:]
		}
	}
	return found, nil
}

// skillType is a skill type.
type skillType struct {
	id int64
	// external is its external id; empty for one that people made and never exported.
	external string
}

// findType finds a skill type by its name in English; if none has it, the one that we made under that name, whatever people call it
// now, or one of that name in the user's language. One that is archived is found if all of that name are. Among several it is that
// with our own external id, else the oldest.
func (s *session) findType(ctx context.Context, name string) (skillType, bool, error) {
	s.mu.Lock()
	t, known := s.types[name]
	s.mu.Unlock()
	if known {
		return t, true, nil
	}
	all, ids, err := s.typesNamed(ctx, call{archived: true}, name)
	if err != nil || len(all) == 0 {
		return skillType{}, false, err
	}
	if len(ids) > 1 {
		_, shown, err := s.typesNamed(ctx, call{}, name)
		if err != nil {
			return skillType{}, false, err
		}
		if len(shown) > 0 {
			ids = shown
		}
	}
	among := ids
	if len(among) == 0 {
		among = all
	}
	external, err := s.firstExternalIDs(ctx, modelType, among)
	if err != nil {
		return skillType{}, false, err
	}
	for _, id := range among {
		if external[id] == externalID(typeModule(s.set.Module), name) {
			t = skillType{id, external[id]}
		}
	}
	if len(ids) == 0 && t.id == 0 {
		if ids, err = s.typesTranslated(ctx, name); err != nil || len(ids) == 0 {
			return skillType{}, false, err
		}
	}
	if t.id == 0 {
		t = skillType{ids[0], external[ids[0]]}
	}
	s.keepType(name, t)
	return t, true, nil
}

// typesNamed are the ids of all skill types, and of those of a name, the oldest first. How says which can be seen, and in which
// language. There are few.
func (s *session) typesNamed(ctx context.Context, how call, name string) (all, named []int64, err error) {
	var found []struct {
		ID   int64 `json:"id"`
		Name text  `json:"name"`
	}
	how.model, how.method, how.args = modelType, "search_read", []argument{{"domain", [][]any{}}}
	how.options = map[string]any{"fields": []string{"name"}, "order": "id"}
	if err = s.call(ctx, how, &found); err != nil {
		return nil, nil, err
	}
	for _, t := range found {
		if t.ID <= 0 {
			return nil, nil, withoutID()
		}
		all = append(all, t.ID)
		if string(t.Name) == name {
			named = append(named, t.ID)
		}
	}
	return all, named, nil
}

// typesTranslated are the ids of the skill types of a name in the language that the user has in Odoo.
func (s *session) typesTranslated(ctx context.Context, name string) ([]int64, error) {
	var user struct {
		Lang text `json:"lang"`
	}
	err := s.call(ctx, call{model: "res.users", method: "context_get"}, &user)
	if e := connector.AsError(err); e != nil && e.Kind != connector.Permission && e.Kind != connector.Unsupported {
		return nil, err
	}
	if user.Lang == "" || user.Lang == english {
		return nil, nil
	}
	_, ids, err := s.typesNamed(ctx, call{archived: true, lang: string(user.Lang)}, name)
	return ids, err
}

func (s *session) keepType(name string, t skillType) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.types[name] = t
}

// forgetTypes: one that was known is gone.
func (s *session) forgetTypes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.types)
}

// makeType finds a skill type, or makes it. Its external id sees to it that it is made once, whoever tries at the same time.
func (s *session) makeType(ctx context.Context, name string) (skillType, error) {
	t, there, err := s.findType(ctx, name)
	if err != nil || there {
		return t, err
	}
	t.external = externalID(typeModule(s.set.Module), name)
	var answer loaded
	var v verdict
	for range 2 { // once more when it may have been a change at the same time
		if answer, err = s.load(ctx, modelType, []string{"id", "name"}, [][]string{{t.external, name}}); err != nil {
			return t, err
		}
		if len(answer.ids) == 1 {
			break
		}
		if v = s.judge(1, answer.messages); !v.unsure {
			break
		}
	}
	if len(answer.ids) != 1 {
		if v.whole == nil {
			v.whole = connector.Errorf(connector.Unexpected, "%s", v.refused[0])
		}
		return t, &connector.Error{Kind: v.whole.Kind, Message: s.api.Words("The skill type \"" + name + "\" cannot be made: " + v.whole.Message), Err: v.whole, Exchange: answer.exchange}
	}
	t.id = answer.ids[0]
	s.keepType(name, t)
	return t, nil
}

// loaded is the answer of a load.
type loaded struct {
	ids      []int64 // of the rows; nil when nothing was done
	messages []message
	exchange string // the id of its record
}

// message is what Odoo says of a row, or of none.
type message struct {
	Type   string `json:"type"`
	Record *int   `json:"record"`
	Rows   *struct {
		From int `json:"from"`
		To   int `json:"to"`
	} `json:"rows"`
	Field   json.RawMessage `json:"field"`
	Message text            `json:"message"`
}

// load is one load: all or nothing. A skill type that is archived is found by its number too.
func (s *session) load(ctx context.Context, model string, fields []string, rows [][]string) (loaded, error) {
	var answer struct {
		IDs      json.RawMessage `json:"ids"`
		Messages []message       `json:"messages"`
	}
	var exchange string
	err := s.call(ctx, call{model: model, method: "load", args: []argument{{"fields", fields}, {"data", rows}}, archived: true, changes: true, exchange: &exchange}, &answer)
	if err != nil {
		return loaded{}, err
	}
	l := loaded{messages: answer.Messages, exchange: exchange}
	if string(answer.IDs) == "false" {
		return l, nil
	}
	if err := json.Unmarshal(answer.IDs, &l.ids); err != nil {
		return l, unreadable(true, err)
	}
	if len(l.ids) != len(rows) || slices.ContainsFunc(l.ids, func(id int64) bool { return id <= 0 }) {
		return l, connector.Errorf(connector.Ambiguous, "Odoo's answer tells %d ids for %d rows", len(l.ids), len(rows))
	}
	return l, nil
}
