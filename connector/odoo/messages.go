package odoo

import (
	"fmt"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// verdict is what the messages of a load mean that was rolled back.
type verdict struct {
	// refused are the rows that Odoo does not take, with its words.
	refused map[int]string
	// whole says something of the whole batch; the rows do not matter then.
	whole *connector.Error
	// unsure: something is refused in words that name no field. They may be PostgreSQL's, in its own language, of something that
	// is over when it is tried again.
	unsure bool
}

// judge reads the messages of a load of so many rows. Either the whole batch has an error, or at least one row is refused.
func (s *session) judge(rows int, messages []message) verdict {
	errs := slices.DeleteFunc(slices.Clone(messages), func(m message) bool { return m.Type == "warning" })
	for _, m := range errs {
		if isTransient(string(m.Message)) {
			return verdict{whole: &connector.Error{Kind: connector.Away, Message: s.api.Words(string(m.Message))}}
		}
	}
	for _, m := range errs {
		if lacksRight(string(m.Message)) {
			return verdict{whole: &connector.Error{Kind: connector.Permission, Message: s.api.Words(string(m.Message))}}
		}
	}
	words := map[int][]string{}
	unsure := false
	for _, m := range errs {
		unsure = unsure || len(m.Field) == 0
		row := m.row()
		if row < 0 || row >= rows || strings.HasPrefix(string(m.Message), "Unknown database error") {
			continue // the last is put down to the first row, whichever broke the transaction
		}
		if said := s.api.Words(string(m.Message)); !slices.Contains(words[row], said) {
			words[row] = append(words[row], said)
		}
	}
	// What went wrong with all rows at once comes first, and is put down to the first of them. When they were tried one by one
	// that one may have been good.
	if len(errs) > 0 && len(errs[0].Field) == 0 && len(words) > 1 && len(words[errs[0].row()]) == 1 {
		delete(words, errs[0].row())
	}
	if len(words) == 0 {
		said := "Odoo took nothing, and did not say which skill is the reason"
		if len(errs) > 0 {
			said = string(errs[0].Message)
		}
		return verdict{whole: &connector.Error{Kind: connector.Refused, Message: s.api.Words(said)}, unsure: true}
	}
	v := verdict{refused: make(map[int]string, len(words)), unsure: unsure}
	for row, said := range words {
		v.refused[row] = strings.Join(said, "; ")
	}
	return v
}

// row is the row that a message speaks of, -1 if it speaks of none.
func (m message) row() int {
	switch {
	case m.Record != nil:
		return *m.Record
	case m.Rows != nil:
		return m.Rows.From
	default:
		return -1
	}
}

// isTransient reports whether words are about something that happens at the same time, and is over when it is tried again.
func isTransient(words string) bool {
	words = strings.ToLower(words)
	for _, part := range []string{
		"could not serialize access", "deadlock detected", "could not obtain lock", "due to lock timeout", "due to statement timeout",
		"current transaction is aborted", "server closed the connection", "connection already closed", "the connection pool is full",
		`unique constraint "ir_model_data`, // somebody has made the same external id at the same time
	} {
		if strings.Contains(words, part) {
			return true
		}
	}
	return false
}

// lacksRight reports whether words are about a missing right, of the model or of a record. They name the model: a company's own
// rule may well say that something is not allowed.
func lacksRight(words string) bool {
	if words == "Access Denied" {
		return true
	}
	words = strings.ToLower(words)
	return strings.Contains(words, "("+modelSkill) &&
		(strings.Contains(words, "not allowed to ") || strings.Contains(words, "access to") || strings.Contains(words, "top-secret records"))
}

// noType reports whether a load failed because a skill type is gone.
func noType(messages []message) bool {
	return slices.ContainsFunc(messages, func(m message) bool {
		return string(m.Field) == `"skill_type_id"` && strings.Contains(string(m.Message), "No matching record found for")
	})
}

// cannotDeactivate is why an inactive skill is refused.
func cannotDeactivate() *connector.Error {
	return connector.Errorf(connector.Refused, "Odoo cannot deactivate a skill; with the integration's setting inactive=%s inactive skills are moved to a skill type of their own", move)
}

// mayNotAdopt is why a skill is not taken over.
func mayNotAdopt(name string, id int64, words string) *connector.Error {
	return &connector.Error{Kind: connector.Unsupported, Message: fmt.Sprintf(
		"Odoo holds a skill %q already (id %d), and the user may not give it an external id; permit the user to create external ids (%s), or change the skill in Odoo. Odoo says: %s",
		name, id, modelExternalID, words)}
}
