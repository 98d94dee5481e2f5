package odootest

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// label is what Odoo calls a model.
func label(model string) string {
	return map[string]string{"hr.skill": "Skill", "hr.skill.type": "Skill Type", "ir.model.data": "Model Data"}[model]
}

// may reports whether the user may do something with a model.
func (s *Server) may(model, operation string) bool {
	switch model + "." + operation {
	case "hr.skill.create":
		return s.May.CreateSkills
	case "hr.skill.write":
		return s.May.ChangeSkills
	case "hr.skill.type.create", "hr.skill.type.write":
		return s.May.CreateTypes
	case "ir.model.data.read":
		return s.May.ReadExternalIDs
	case "ir.model.data.create", "ir.model.data.write":
		return s.May.CreateExternalIDs
	default:
		return operation == "read"
	}
}

// lacks is the exception of a missing right.
func lacks(model, operation string) *exception {
	verb := map[string]string{"create": "create", "write": "modify", "read": "access"}[operation]
	group := "Employees/Officer: Manage all employees"
	if model == "ir.model.data" {
		group = "Administration/Access Rights"
	}
	return raise(http.StatusForbidden, "odoo.exceptions.AccessError",
		"You are not allowed to %s '%s' (%s) records.\n\nThis operation is allowed for the following groups:\n\t- %s\n\nContact your administrator to request access if necessary.",
		verb, label(model), model, group)
}

func (s *Server) hasAccess(in *invocation) (any, *exception) {
	var operation string
	raises := true
	if no := in.take("operation", &operation); no != nil {
		return nil, no
	}
	if no := in.take("raise_exception", &raises); no != nil {
		return nil, no
	}
	yes := s.may(in.model, operation)
	if s.Version < 19 && raises && !yes {
		return nil, lacks(in.model, operation)
	}
	return yes, nil
}

func (s *Server) contextGet(*invocation) (any, *exception) {
	return map[string]any{"lang": s.Language, "tz": false, "uid": s.user()}, nil
}

// write is true even for skills that are not there; the connector has no use for it but to change where an external id points.
func (s *Server) write(in *invocation) (any, *exception) {
	if in.model != "ir.model.data" {
		s.complain("%s.write on %v", in.model, in.ids)
		return true, nil
	}
	if !s.may(in.model, "write") {
		return nil, lacks(in.model, "write")
	}
	var values map[string]int64
	if no := in.take("vals", &values); no != nil {
		return nil, no
	}
	if len(in.ids) != 1 || len(values) != 1 || s.byID[values["res_id"]] == nil {
		s.complain("external ids %v become %v", in.ids, values)
	}
	for external, ref := range s.names {
		if !slices.Contains(in.ids, s.rowID(external)) {
			continue
		}
		if s.exists(ref) {
			s.complain("the external id %s is taken from %v", external, ref)
		}
		s.names[external] = reference{ref.model, values["res_id"]}
	}
	return true, nil
}

// rowID is the id of an external id's row.
func (s *Server) rowID(external string) int64 {
	if s.rowIDs[external] == 0 {
		s.rowIDs[external] = int64(24_000 + len(s.rowIDs))
	}
	return s.rowIDs[external]
}

// exists reports whether an external id points at anything. It need not: the database deletes the skills of a type that goes.
func (s *Server) exists(ref reference) bool {
	switch ref.model {
	case "hr.skill":
		return s.byID[ref.id] != nil
	case "hr.skill.type":
		return s.typeOf(ref.id) != nil
	default:
		return true
	}
}

// unlink would take the skills from the employees who have them.
func (s *Server) unlink(in *invocation) (any, *exception) {
	s.t.Errorf("odoo: %s.unlink on %v", in.model, in.ids)
	return true, nil
}

func (s *Server) actionArchive(in *invocation) (any, *exception) {
	s.complain("%s.action_archive", in.model)
	return nil, raise(http.StatusInternalServerError, "builtins.AssertionError", "No 'active' field on model %s", in.model)
}

// namesOf are the external ids of a record, the oldest first as far as one can tell.
func (s *Server) namesOf(ref reference) []string {
	var names []string
	for name, of := range s.names {
		if of == ref {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { // ours come last: they are given to what is there
		ours := func(name string) int {
			if strings.HasPrefix(name, s.Module) {
				return 1
			}
			return 0
		}
		if d := ours(a) - ours(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

func (s *Server) getExternalID(in *invocation) (any, *exception) {
	by := make(map[reference][]string, len(in.ids))
	if len(in.ids) > 20 { // do not walk through all of them for each
		for name, ref := range s.names {
			by[ref] = append(by[ref], name)
		}
	}
	result := map[string]string{}
	for _, id := range in.ids {
		ref := reference{in.model, id}
		names := by[ref]
		if len(names) != 1 {
			names = s.namesOf(ref)
		}
		result[strconv.FormatInt(id, 10)] = ""
		if len(names) > 0 {
			result[strconv.FormatInt(id, 10)] = names[0]
		}
	}
	return result, nil
}

// create makes external ids.
func (s *Server) create(in *invocation) (any, *exception) {
	if in.model != "ir.model.data" {
		s.complain("%s.create: load makes it once, this makes it twice", in.model)
		return nil, raise(http.StatusInternalServerError, "builtins.NotImplementedError", "not in this fake")
	}
	if !s.may(in.model, "create") {
		return nil, lacks(in.model, "create")
	}
	var values []struct {
		Module, Name, Model string
		Record              int64 `json:"res_id"`
	}
	if no := in.take("vals_list", &values); no != nil {
		return nil, no
	}
	ids := make([]int64, len(values))
	for i, v := range values {
		external := v.Module + "." + v.Name
		if _, taken := s.names[external]; taken && s.Version >= 19 {
			return nil, raise(http.StatusUnprocessableEntity, "odoo.exceptions.ValidationError",
				"The operation cannot be completed: The value for 'module, name' (Module, External Identifier) already exists.\n\nDetail: Key (module, name)=(%s, %s) already exists.\n",
				v.Module, v.Name)
		} else if taken {
			return nil, raise(http.StatusUnprocessableEntity, "odoo.exceptions.ValidationError",
				"The operation cannot be completed: duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"")
		}
		if v.Module == "" || v.Name == "" || strings.Contains(v.Name, " ") || v.Model != "hr.skill" || s.byID[v.Record] == nil {
			s.complain("external id %+v", v)
		}
		s.names[external] = reference{v.Model, v.Record}
		ids[i] = s.rowID(external)
	}
	return ids, nil
}

// row is a record as search_read tells of it.
type row struct {
	id     int64
	values map[string]any
}

// rows are the records of a model. Those of skills are found fast by their ids.
func (s *Server) rows(model string, context map[string]any, among func(int64) bool) []row {
	archived, english := context["active_test"] == any(false), context["lang"] == any("en_US")
	var rows []row
	switch model {
	case "hr.skill":
		for _, sk := range s.skills {
			if among(sk.ID) {
				rows = append(rows, row{sk.ID, map[string]any{
					"id": sk.ID, "name": sk.Name, "skill_type_id": []any{sk.Type.ID, sk.Type.Name}, "skill_type_id.name": sk.Type.Name,
					"write_date": sk.WriteDate.Format(time.DateTime),
				}})
			}
		}
	case "hr.skill.type":
		for _, t := range s.types {
			if among(t.ID) && (archived || !t.Archived) {
				name := t.Name
				if !english && t.Translated != "" {
					name = t.Translated
				}
				rows = append(rows, row{t.ID, map[string]any{"id": t.ID, "name": name}})
			}
		}
	case "ir.model.data":
		for external, ref := range s.names {
			module, name, _ := strings.Cut(external, ".")
			rows = append(rows, row{s.rowID(external), map[string]any{"id": s.rowID(external), "module": module, "name": name, "model": ref.model, "res_id": ref.id}})
		}
	}
	return rows
}

// condition is a part of a domain: all must be met.
type condition struct {
	field, operator string
	value           any
	in              map[any]bool
}

func (s *Server) domain(in *invocation) ([]condition, *exception) {
	var parts [][3]any
	if no := in.take("domain", &parts); no != nil {
		return nil, no
	}
	conditions := make([]condition, len(parts))
	for i, p := range parts {
		c := condition{field: fmt.Sprint(p[0]), operator: fmt.Sprint(p[1]), value: p[2]}
		switch values, isList := p[2].([]any); c.operator {
		case "in":
			if !isList {
				s.complain("%v: in what?", p)
			}
			c.in = make(map[any]bool, len(values))
			for _, v := range values {
				c.in[v] = true
			}
		case "=", ">":
		default:
			s.complain("operator %q", c.operator)
		}
		conditions[i] = c
	}
	return conditions, nil
}

func (c condition) met(r row) bool {
	value, known := r.values[c.field]
	if !known {
		return false
	}
	if pair, ok := value.([]any); ok {
		value = pair[0]
	}
	if id, ok := value.(int64); ok {
		value = float64(id) // as JSON has it
	}
	switch c.operator {
	case "in":
		return c.in[value]
	case ">":
		a, ok := value.(float64)
		b, ok2 := c.value.(float64)
		return ok && ok2 && a > b
	default:
		return reflect.DeepEqual(value, c.value)
	}
}

func (s *Server) matching(in *invocation) ([]row, *exception) {
	if !s.may(in.model, "read") {
		return nil, lacks(in.model, "read")
	}
	conditions, no := s.domain(in)
	if no != nil {
		return nil, no
	}
	among := func(id int64) bool {
		for _, c := range conditions {
			if c.field == "id" && !c.met(row{id, map[string]any{"id": id}}) {
				return false
			}
		}
		return true
	}
	return slices.DeleteFunc(s.rows(in.model, in.context, among), func(r row) bool {
		return slices.ContainsFunc(conditions, func(c condition) bool { return !c.met(r) })
	}), nil
}

func (s *Server) searchCount(in *invocation) (any, *exception) {
	rows, no := s.matching(in)
	return len(rows), no
}

func (s *Server) searchRead(in *invocation) (any, *exception) {
	var fields []string
	var limit, offset int
	order := "sequence, name"
	for name, into := range map[string]any{"fields": &fields, "limit": &limit, "offset": &offset, "order": &order} {
		if no := in.take(name, into); no != nil {
			return nil, no
		}
	}
	rows, no := s.matching(in)
	if no != nil {
		return nil, no
	}
	slices.SortFunc(rows, func(a, b row) int {
		if order == "id" {
			return int(a.id - b.id)
		}
		return strings.Compare(fmt.Sprint(a.values["name"]), fmt.Sprint(b.values["name"]))
	})
	if limit > 0 && len(rows) > limit {
		rows = rows[:limit]
	}
	result := make([]map[string]any, len(rows))
	for i, r := range rows {
		result[i] = map[string]any{"id": r.id}
		for _, f := range fields {
			value, known := r.values[f]
			if !known {
				s.complain("field %q of %s", f, in.model)
				return nil, raise(http.StatusInternalServerError, "builtins.ValueError", "Invalid field '%s' on '%s'", f, in.model)
			}
			result[i][f] = value
		}
	}
	return result, nil
}

// message is what load says of a row.
type message struct {
	Type    string         `json:"type"`
	Rows    map[string]int `json:"rows,omitempty"`
	Record  *int           `json:"record,omitempty"`
	Field   string         `json:"field,omitempty"`
	Message string         `json:"message"`
	// More and FieldName come with what cannot be converted.
	More      any    `json:"moreinfo,omitempty"`
	FieldName string `json:"field_name,omitempty"`
}

func at(row int) message {
	return message{Type: "error", Rows: map[string]int{"from": row, "to": row}, Record: &row}
}

// loading is a row of a load.
type loading struct {
	row      int
	external string
	values   map[string]string
	of       *Type // of a skill
}

// load is all or nothing: all rows at once, and when that fails one by one, for the sake of the messages.
func (s *Server) load(in *invocation) (any, *exception) {
	var fields []string
	var data [][]string
	if no := in.take("fields", &fields); no != nil {
		return nil, no
	}
	if no := in.take("data", &data); no != nil {
		return nil, no
	}
	if len(data) > 1000 {
		s.complain("a load of %d rows", len(data))
	}
	known := []string{"id", "name"}
	if in.model == "hr.skill" {
		known = append(known, "skill_type_id/id", "skill_type_id/.id")
	}
	for _, f := range fields {
		if !slices.Contains(known, f) {
			s.complain("column %q", f)
			if s.Version < 19 {
				return nil, raise(0, "builtins.KeyError", "%s", f)
			}
			return nil, raise(http.StatusInternalServerError, "builtins.ValueError", "Invalid field name '%s'", f)
		}
	}
	messages := []message{}
	rows := make([]*loading, len(data))
	seen := map[string]bool{}
	for i, cells := range data {
		if len(cells) != len(fields) {
			s.complain("row %d has %d cells for %d columns", i, len(cells), len(fields))
			return nil, raise(http.StatusInternalServerError, "builtins.IndexError", "list index out of range")
		}
		l := &loading{row: i, values: map[string]string{}}
		for at, f := range fields {
			l.values[f] = cells[at]
		}
		if l.external = l.values["id"]; !strings.Contains(l.external, ".") {
			s.complain("external id %q without a module", l.external)
			l.external = "__import__." + l.external
		}
		if seen[l.external] {
			s.complain("external id %q twice", l.external)
		}
		seen[l.external] = true
		rows[i] = l
		messages = append(messages, s.convert(l, in.context["active_test"] == any(false))...)
	}
	messages = append(messages, s.flush(in.model, rows)...)
	if slices.ContainsFunc(messages, func(m message) bool { return m.Type == "error" }) {
		return map[string]any{"ids": false, "messages": messages, "nextrow": 0}, nil
	}
	ids := make([]int64, len(rows))
	for i, l := range rows {
		ids[i] = s.store(in.model, l)
	}
	return map[string]any{"ids": ids, "messages": messages, "nextrow": 0}, nil
}

// convert finds the skill type of a row. By its number one that is archived is not found, unless one asks for those too.
func (s *Server) convert(l *loading, archived bool) []message {
	value, kind := l.values["skill_type_id/id"], "external id"
	if value != "" {
		if ref := s.names[value]; ref.model == "hr.skill.type" {
			l.of = s.typeOf(ref.id)
		}
	} else if value = l.values["skill_type_id/.id"]; value != "" {
		kind = "database id"
		if id, err := strconv.ParseInt(value, 10, 64); err == nil {
			l.of = s.typeOf(id)
		}
		if l.of != nil && l.of.Archived && !archived {
			l.of = nil
		}
	}
	if value == "" || l.of != nil {
		return nil
	}
	m := at(l.row)
	m.Field, m.FieldName = "skill_type_id", "Skill Type"
	m.Message = fmt.Sprintf("No matching record found for %s '%s' in field 'Skill Type'", kind, value)
	views := "list,form"
	if s.Version < 18 {
		views = "tree,form"
	}
	m.More = map[string]any{
		"name": "Possible Values", "type": "ir.actions.act_window", "target": "new", "view_mode": views, "views": [][]any{{false, "list"}, {false, "form"}},
		"context": map[string]any{"create": false}, "help": "See all possible values", "res_model": "ir.model.data",
		"domain": [][]any{{"model", "=", "hr.skill.type"}},
	}
	return []message{m}
}

func (s *Server) typeOf(id int64) *Type {
	for _, t := range s.types {
		if t.ID == id {
			return t
		}
	}
	return nil
}

// flush tries the rows, and changes nothing.
func (s *Server) flush(model string, rows []*loading) []message {
	conflict := s.Conflicts > 0 && len(rows) > 0
	if conflict {
		s.Conflicts--
	}
	try := func(l *loading) (message, *exception) {
		switch {
		case conflict && l.row == len(rows)/2 && s.German:
			return at(l.row), raise(0, "psycopg2.errors.SerializationFailure", "konnte Zugriff nicht serialisieren wegen gleichzeitiger Aktualisierung\n")
		case conflict && l.row == len(rows)/2:
			return at(l.row), raise(0, "psycopg2.errors.SerializationFailure", "could not serialize access due to concurrent update\n")
		}
		return s.try(model, l)
	}
	var global *message
	failed := false
	for _, l := range rows {
		_, no := try(l)
		if no == nil {
			continue
		}
		failed = true
		switch {
		case no.name == "psycopg2.InternalError":
			m := at(rows[0].row)
			m.Message = fmt.Sprintf("Unknown database error: '%s'", no.message)
			return []message{m}
		case no.userError(): // put down to the first row, whichever it was
			m := at(rows[0].row)
			m.Message = no.message
			global = &m
		}
		break
	}
	if !failed {
		return nil
	}
	var messages []message
	errors := 0
	for i, l := range rows {
		if m, no := try(l); no != nil {
			m.Message = no.message
			messages = append(messages, m)
			errors++
		}
		if errors >= 10 && errors*10 >= i+1 {
			messages = append(messages, message{Type: "warning", Message: "Found more than 10 errors and more than one error per 10 records, interrupted to avoid showing too many errors."})
			break
		}
	}
	if global != nil && errors > 0 && !slices.ContainsFunc(messages, func(m message) bool { return reflect.DeepEqual(m, *global) }) {
		messages = slices.Insert(messages, 0, *global)
	}
	return messages
}

// try says why a row cannot be stored.
func (s *Server) try(model string, l *loading) (message, *exception) {
	m := at(l.row)
	ref, taken := s.names[l.external]
	there := taken && s.exists(ref)
	operation := "create"
	if there {
		operation = "write"
	}
	_, name, _ := strings.Cut(l.external, ".")
	missing := func(field, title string) (message, *exception) {
		m.Field = field
		if s.Version < 19 {
			return m, raise(0, "psycopg2.errors.NotNullViolation", "Missing required value for the field '%s' (%s)", title, field)
		}
		return m, raise(0, "psycopg2.errors.NotNullViolation",
			"Missing required value for the field '%s' (%s).\nModel: '%s' (%s)\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n",
			title, field, label(model), model)
	}
	_, hasType := l.values["skill_type_id/id"]
	_, hasID := l.values["skill_type_id/.id"]
	switch {
	case taken && ref.model != model:
		return m, raise(0, "odoo.exceptions.ValidationError", "For external id %s when trying to create/update a record of model %s found record of different model %s (24974)", l.external, model, ref.model)
	case !s.may(model, operation):
		return m, lacks(model, operation)
	case l.values["name"] == "":
		return missing("name", "Name")
	case model == "hr.skill" && l.of == nil && (!there || hasType || hasID):
		return missing("skill_type_id", "Skill Type")
	case strings.Contains(l.values["name"], "\x00"):
		return m, raise(0, "psycopg2.errors.UntranslatableCharacter", "unsupported Unicode escape sequence\nLINE 1: …\nDETAIL:  \\u0000 cannot be converted to text.\n")
	case strings.Contains(name, " "):
		s.complain("external id %q", l.external)
		return m, raise(0, "psycopg2.errors.CheckViolation", "new row for relation \"ir_model_data\" violates check constraint \"ir_model_data_name_nospaces\"\nDETAIL:  …\n")
	case s.Refuse != "" && l.values["name"] == s.Refuse && s.Breaks:
		return m, raise(0, "psycopg2.InternalError", "tuple concurrently updated")
	case s.Refuse != "" && l.values["name"] == s.Refuse:
		return m, raise(0, "odoo.exceptions.ValidationError", "This name is not allowed.")
	}
	return m, nil
}

// store does what was tried. A record that is there has a new date, whether it changes or not.
func (s *Server) store(model string, l *loading) int64 {
	ref, there := s.names[l.external]
	there = there && s.exists(ref)
	switch {
	case model == "hr.skill.type" && there:
		s.typeOf(ref.id).Name = l.values["name"]
	case model == "hr.skill.type":
		ref = reference{model, s.addType(l.values["name"]).ID}
	case there:
		sk := s.byID[ref.id]
		sk.Name, sk.WriteDate = l.values["name"], now()
		if l.of != nil {
			sk.Type = l.of
		}
	default:
		ref = reference{model, s.add(l.values["name"], l.of).ID}
	}
	s.names[l.external] = ref
	return ref.id
}
