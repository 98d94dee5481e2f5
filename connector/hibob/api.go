package hibob

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// The fields of a skill, as Bob names them.
const (
	fieldID         = "/skill/id"
	fieldName       = "/skill/name"
	fieldStatus     = "/skill/status"
	fieldSource     = "/skill/source"
	fieldExternalID = "/skill/externalId"
)

func fields() []string {
	return []string{fieldID, fieldName, fieldStatus, fieldSource, fieldExternalID}
}

// active is the status of a skill that is in use.
const active = "active"

// fieldValues is a skill as Bob is told of it.
type fieldValues map[string]string

// values is a skill as Bob tells of it.
type values map[string]json.RawMessage

// text is one value; ids may be numbers.
func (v values) text(field string) string {
	var text string
	if raw := v[field]; json.Unmarshal(raw, &text) != nil {
		return string(raw)
	}
	return text
}

// searchBody is the body of POST /skills/search.
type searchBody struct {
	Fields  []string `json:"fields"`
	Filters []filter `json:"filters"`
	Limit   int      `json:"limit"`
	Cursor  string   `json:"cursor,omitempty"`
}

type filter struct {
	FieldID  string   `json:"fieldId"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

func equals(field string, values ...string) filter { return filter{field, "equals", values} }

// found is the answer of a search. Items is nil where it holds none of that name, which is not the same as an empty list.
type found struct {
	Items    []values `json:"items"`
	Metadata struct {
		NextCursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

// endpoint is a call that changes skills. Its path is also what its rate is counted for.
type endpoint struct{ method, path string }

var (
	create    = endpoint{http.MethodPost, "/skills"}          //nolint:gochecknoglobals // a constant
	update    = endpoint{http.MethodPatch, "/skills"}         //nolint:gochecknoglobals // a constant
	archive   = endpoint{http.MethodPatch, "/skills/archive"} //nolint:gochecknoglobals // a constant
	searching = endpoint{http.MethodPost, "/skills/search"}   //nolint:gochecknoglobals // a constant
)

// outcome is what became of one item of a change.
type outcome struct {
	id  string           // of the skill, if Bob told it
	err *connector.Error // nil: it was done
	// missing: Bob knows no skill of that external id.
	missing bool
}

// change sends items to an endpoint and returns what became of each, nil where that is not known. An error is for those.
func (s *session) change(ctx context.Context, e endpoint, items []fieldValues) ([]*outcome, error) {
	outcomes := make([]*outcome, len(items))
	answer, err := s.send(ctx, e, map[string]any{"items": items}, true)
	if err != nil {
		return outcomes, err
	}
	var body struct {
		Results []struct {
			Index    *int            `json:"index"`
			Status   string          `json:"status"`
			HTTP     int             `json:"httpStatus"`
			Resource values          `json:"resource"`
			Errors   json.RawMessage `json:"errors"`
		} `json:"results"`
	}
	if err := answer.JSON(&body); err != nil {
		return outcomes, err
	}
	var failed *connector.Error
	untold := len(items)
	for _, r := range body.Results {
		if r.Index == nil || *r.Index < 0 || *r.Index >= len(items) || outcomes[*r.Index] != nil {
			continue // so another item is untold
		}
		o := &outcome{id: r.Resource.text(fieldID)}
		untold--
		// Of a change that changes nothing Bob may say 304, which is no failure.
		if r.Status != "succeeded" && r.HTTP != http.StatusNotModified {
			o.err = problem(answer, r.HTTP, rest.Said(r.Errors))
			if o.err.Kind != connector.Refused && o.err.Kind != connector.Unexpected {
				// It says something of all that follow: credentials, patience, a fault of Bob's.
				if failed == nil || o.err.Kind == connector.Ambiguous {
					failed = o.err
				}
				continue
			}
			o.err.Kind = connector.Refused // this item, whatever the status
			o.missing = r.HTTP == http.StatusNotFound || strings.Contains(strings.ToLower(o.err.Message), "not found")
		}
		outcomes[*r.Index] = o
	}
	if untold > 0 {
		return outcomes, connector.Errorf(connector.Ambiguous, "Bob's answer says nothing of %d of %d skills", untold, len(items))
	}
	if failed != nil {
		return outcomes, failed
	}
	return outcomes, nil
}

// search returns the records of skills by origin id.
func (s *session) search(ctx context.Context, skills []connector.Skill) (map[string]connector.Record, error) {
	asked := make(map[string]bool, len(skills))
	ids := make([]string, len(skills))
	for i, sk := range skills {
		asked[sk.OriginID] = true
		ids[i] = sk.OriginID
	}
	body := searchBody{Fields: fields(), Filters: []filter{equals(fieldSource, s.set.Source), equals(fieldExternalID, ids...)}, Limit: batch}
	held := make(map[string]connector.Record, len(skills))
	// One page holds all that can be found; more come only from a Bob that does not know the filters.
	for range mostPages {
		answer, err := s.page(ctx, body)
		if err != nil {
			return nil, err
		}
		for _, item := range answer.Items {
			if r := s.record(item); asked[r.OriginID] {
				held[r.OriginID] = r
			}
		}
		if answer.Metadata.NextCursor == "" || len(held) == len(asked) {
			return held, nil
		}
		body.Cursor = answer.Metadata.NextCursor
	}
	return nil, connector.Errorf(connector.Unexpected, "Bob's search for %d skills does not end", len(skills))
}

const mostPages = 3

// page is one request of a search. What a list does not hold counts as deleted, so an answer must say which skills there are.
func (s *session) page(ctx context.Context, body searchBody) (found, error) {
	var answer found
	response, err := s.send(ctx, searching, body, false)
	if err != nil {
		return answer, err
	}
	if err := response.JSON(&answer); err != nil {
		return answer, err
	}
	unexpected := func(format string, args ...any) error {
		e := connector.Errorf(connector.Unexpected, format, args...)
		e.Exchange = response.Exchange()
		return e
	}
	switch {
	case answer.Items == nil:
		return answer, unexpected("Bob's answer to a search does not say which skills there are")
	case slices.ContainsFunc(answer.Items, func(v values) bool { return v.text(fieldID) == "" }):
		return answer, unexpected("Bob shows a skill without an id")
	case body.Cursor != "" && answer.Metadata.NextCursor == body.Cursor:
		return answer, unexpected("Bob's list does not go on: after a page it names the same page again")
	}
	return answer, nil
}

// record reads a skill. Its origin id is its external id, if the source is ours.
func (s *session) record(item values) connector.Record {
	r := connector.Record{RemoteID: item.text(fieldID), Name: item.text(fieldName)}
	if item.text(fieldSource) == s.set.Source {
		r.OriginID = item.text(fieldExternalID)
	}
	status := item.text(fieldStatus)
	r.Active = !strings.EqualFold(status, "archived") && !strings.EqualFold(status, "inactive")
	return r
}

// problem makes an error of an answer, or of a part of it that has a status of its own. Some of Bob's APIs tell a missing permission
// with 401, and in words alone: then there is nothing wrong with the credentials.
func problem(answer *rest.Answer, status int, words string) *connector.Error {
	e := answer.ProblemOf(status, words)
	if e.Kind == connector.Credentials && strings.Contains(strings.ToLower(words), "permission") {
		e.Kind = connector.Permission
	}
	return e
}

// ready is an error while Bob takes no more requests at an endpoint.
func (s *session) ready(e endpoint) error {
	s.mu.Lock()
	left := time.Until(s.until[e])
	s.mu.Unlock()
	if left > 0 {
		return &connector.Error{Kind: connector.Throttled, Message: "Bob takes no more requests for now", RetryAfter: left}
	}
	return nil
}

// send makes a request, if Bob takes any at its endpoint now, and returns the answer if it is one of success.
func (s *session) send(ctx context.Context, at endpoint, body any, changes bool) (*rest.Answer, error) {
	if err := s.ready(at); err != nil {
		return nil, err
	}
	answer, err := s.api.Send(ctx, rest.Request{Method: at.method, Path: at.path, Body: body, Changes: changes})
	if err != nil {
		return nil, err
	}
	if wait := answer.RetryAfter(); wait > 0 {
		s.mu.Lock()
		s.until[at] = time.Now().Add(wait)
		s.mu.Unlock()
	}
	if answer.OK() {
		return answer, nil
	}
	e := problem(answer, answer.Status, answer.Said())
	// A search holds nothing but ids: that Bob refuses it is no skill's fault, so none is looked for as the one to blame. But one that
	// is too large may be taken in halves.
	if !changes && e.Kind == connector.Refused && answer.Status != http.StatusRequestEntityTooLarge {
		e.Kind = connector.Unexpected
	}
	return nil, e
}
