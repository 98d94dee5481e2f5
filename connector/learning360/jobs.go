package learning360

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// kind is what an operation does.
type kind string

const (
	put    kind = "upsertSkills"
	remove kind = "deleteSkills"
)

// kindFor says which operation comes next for skills: those that are put come first.
func kindFor(skills []connector.Skill) kind {
	if slices.ContainsFunc(skills, func(sk connector.Skill) bool { return sk.Active }) {
		return put
	}
	return remove
}

func (k kind) holds(sk connector.Skill) bool { return sk.Active == (k == put) && !sk.Taken }

// of are the skills that such an operation is for.
func (k kind) of(skills []connector.Skill) []connector.Skill {
	return slices.DeleteFunc(slices.Clone(skills), func(sk connector.Skill) bool { return !k.holds(sk) })
}

// receipt names an operation. One that was found in the list is only perhaps ours, and there may be several.
type receipt struct {
	kind    kind
	perhaps bool
	ids     []string
}

const mark = "?"

func (r receipt) String() string {
	text := string(r.kind) + ":"
	if r.perhaps {
		text += mark
	}
	return text + strings.Join(r.ids, ",")
}

var objectID = regexp.MustCompile(`^[a-fA-F0-9]{24}$`)

func parseReceipt(text string) (receipt, bool) {
	name, rest, _ := strings.Cut(text, ":")
	r := receipt{kind: kind(name)}
	rest, r.perhaps = strings.CutPrefix(rest, mark)
	r.ids = strings.Split(rest, ",")
	good := (r.kind == put || r.kind == remove) && (r.perhaps || len(r.ids) == 1) &&
		!slices.ContainsFunc(r.ids, func(id string) bool { return !objectID.MatchString(id) })
	return r, good
}

// mostBody is how large a request may be: the results repeat it, and have to be read.
const mostBody = 6 << 20

// Start implements connector.Jobs.
func (s *session) Start(ctx context.Context, skills []connector.Skill) (started connector.Started, err error) {
	var possible []connector.Skill
	for _, sk := range skills {
		e := s.impossible(sk)
		if e == nil {
			possible = append(possible, sk)
			continue
		}
		started.Results = append(started.Results, connector.Result{OriginID: sk.OriginID, Err: e})
	}
	if skills = possible; len(skills) == 0 {
		return started, nil
	}
	k := kindFor(skills)
	body, err := s.body(k, skills)
	if err != nil {
		return started, err
	}
	method := http.MethodPut
	if k == remove {
		method = http.MethodDelete
	}
	answer, err := s.send(ctx, rest.Request{Method: method, Path: bulkSkills, Body: body, ContentType: "application/json", Changes: true})
	if err != nil {
		return started, err
	}
	if !answer.OK() {
		return started, problem(answer)
	}
	id, err := s.operationAt(answer.Header.Get("Location"))
	if err != nil { // it was taken all the same
		return started, &connector.Error{Kind: connector.Ambiguous, Message: "360Learning took the skills and did not say where to ask", Err: err, Exchange: answer.Exchange()}
	}
	started.Receipt = receipt{kind: k, ids: []string{id}}.String()
	return started, nil
}

// impossible says why no operation can be for a skill.
func (s *session) impossible(sk connector.Skill) *connector.Error {
	switch {
	case sk.Taken:
		return connector.Errorf(connector.Unsupported, "This skill was made in 360Learning and has no external id, by which alone its API changes a skill; "+
			"rename or remove it in 360Learning")
	case !sk.Active && s.set.Inactive == refuse:
		return connector.Errorf(connector.Unsupported,
			"360Learning has no inactive skills, and this integration does not delete them; remove the skill there, or set inactive to delete")
	default:
		return nil
	}
}

// body writes the request for those of the skills that such an operation is for.
func (s *session) body(k kind, skills []connector.Skill) (body []byte, err error) {
	if k == put {
		var in input[upsert]
		for _, sk := range k.of(skills) {
			in.Input = append(in.Input, upsert{sk.OriginID, sk.Name, s.parents})
		}
		body, err = json.Marshal(in)
	} else {
		var in input[deletion]
		for _, sk := range k.of(skills) {
			in.Input = append(in.Input, deletion{sk.OriginID})
		}
		body, err = json.Marshal(in)
	}
	switch {
	case err != nil:
		return nil, &connector.Error{Kind: connector.Away, Message: "the request could not be written", Err: err}
	case len(body) > mostBody && len(skills) > 1:
		return nil, connector.Errorf(connector.Refused, "a request of %d bytes is too large", len(body))
	}
	return body, nil
}

// operationAt takes an operation's id from its address.
func (s *session) operationAt(address string) (string, error) {
	if address == "" {
		return "", connector.Errorf(connector.Unexpected, "there is no address of the operation")
	}
	path, err := s.path(address)
	if err != nil {
		return "", err
	}
	id, ok := strings.CutPrefix(path, "/api/v2/bulk/operations/")
	if !ok || !objectID.MatchString(id) {
		return "", connector.Errorf(connector.Unexpected, "this is no address of an operation: %.100s", path)
	}
	return id, nil
}

// Poll implements connector.Jobs.
func (s *session) Poll(ctx context.Context, text string, skills []connector.Skill) (connector.JobState, error) {
	r, ok := parseReceipt(text)
	if !ok {
		return unknown("this is no receipt of 360Learning's"), nil
	}
	goesOn := false
	var last *connector.Error
	for _, id := range r.ids {
		op, gone, err := s.operation(ctx, id)
		if err != nil {
			return connector.JobState{}, err
		}
		if gone != nil {
			last = gone
			continue
		}
		if op.Status != "completed" && op.Status != "error" {
			goesOn = true
			continue
		}
		outcomes, notRun, err := s.results(ctx, id)
		switch {
		case err != nil:
			return connector.JobState{}, err
		case notRun && op.Status == "completed":
			goesOn = true
			continue
		case r.perhaps && !s.isOurs(r.kind, skills, outcomes):
			continue
		}
		return s.state(r.kind, skills, op, outcomes), nil
	}
	switch {
	case goesOn:
		return connector.JobState{}, nil
	case last != nil && !r.perhaps:
		return connector.JobState{Ended: true, Err: last}, nil
	default:
		return unknown("none of 360Learning's operations is certainly the one that was started for these skills"), nil
	}
}

func unknown(format string, args ...any) connector.JobState {
	return connector.JobState{Ended: true, Err: connector.Errorf(connector.Ambiguous, format, args...)}
}

// operation asks for one. Gone says that 360Learning does not know it.
func (s *session) operation(ctx context.Context, id string) (op operation, gone *connector.Error, err error) {
	answer, err := s.get(ctx, "/api/v2/bulk/operations/"+id, nil)
	if answer != nil && answer.Status == http.StatusNotFound {
		e := problem(answer)
		e.Kind = connector.Ambiguous
		return op, e, nil
	}
	if err != nil {
		return op, nil, err
	}
	if err := answer.JSON(&op); err != nil {
		return op, nil, err
	}
	if op.ID != id {
		return op, nil, connector.Errorf(connector.Away, "360Learning answered with another operation")
	}
	return op, nil, nil
}

// results asks for those of an operation that has ended; none when they are gone.
func (s *session) results(ctx context.Context, id string) (outcomes []outcome, notRun bool, err error) {
	answer, err := s.get(ctx, "/api/v2/bulk/operations/"+id+"/results", nil)
	if answer != nil {
		switch code, _ := said(answer.Body); {
		case answer.Status == http.StatusNotFound:
			return nil, false, nil
		case answer.Status == http.StatusBadRequest && code == "bulkOperationNotRun":
			return nil, true, nil
		}
	}
	if err != nil {
		return nil, false, err
	}
	return outcomes, false, answer.JSON(&outcomes)
}

// isOurs reports whether an operation did what was to be done with all of the skills that it would be for.
func (s *session) isOurs(k kind, skills []connector.Skill, outcomes []outcome) bool {
	did := make(map[string]upsert, len(outcomes))
	for _, o := range outcomes {
		did[o.Input.ExternalID] = o.Input
	}
	ours := k.of(skills)
	for _, sk := range ours {
		in, there := did[sk.OriginID]
		if !there || k == put && (in.Name != sk.Name || !slices.Equal(in.Parents, s.parents)) {
			return false
		}
	}
	return len(ours) > 0
}

// state makes what is known of an operation that has ended.
func (s *session) state(k kind, skills []connector.Skill, op operation, outcomes []outcome) connector.JobState {
	state := connector.JobState{Ended: true}
	told := make(map[string]outcome, len(outcomes))
	for _, o := range outcomes {
		told[o.Input.ExternalID] = o
	}
	untold := 0
	for _, sk := range skills {
		if !k.holds(sk) {
			state.Apart = append(state.Apart, sk.OriginID)
			continue
		}
		result := connector.Result{OriginID: sk.OriginID}
		switch o := told[sk.OriginID]; {
		case o.Status == "success" && (o.ResourceID != "" || k == remove):
			result.RemoteID = o.ResourceID
		case o.Status == "error" && k == remove && isMissing(o.ErrorMessage):
		case o.Status == "error":
			result.Err = connector.Errorf(connector.Refused, "%s", s.api.Words(o.ErrorMessage))
			if result.Err.Message == "" {
				result.Err.Message = "360Learning refused this skill without a word"
			}
		default:
			untold++
			continue
		}
		state.Results = append(state.Results, result)
	}
	if untold > 0 {
		words := fmt.Sprintf("360Learning's results say nothing of %d skills", untold)
		if op.Status == "error" {
			words = "360Learning's operation ended with an error: " + s.api.Words(op.ErrorMessage)
		}
		state.Err = connector.Errorf(connector.Ambiguous, "%s", words)
	}
	return state
}

// isMissing reports whether words say that there is no such skill.
func isMissing(words string) bool {
	words = strings.ToLower(strings.ReplaceAll(words, " ", ""))
	return slices.ContainsFunc([]string{"notfound", "doesnotexist", "unknown"}, func(w string) bool { return strings.Contains(words, w) })
}

// mostPages is how far the list of operations is read, and how many of them one can be.
const (
	mostPages = 5
	mostIDs   = 100
)

// Recover implements connector.Jobs.
func (s *session) Recover(ctx context.Context, skills []connector.Skill, ago time.Duration) (string, error) {
	skills = slices.DeleteFunc(slices.Clone(skills), func(sk connector.Skill) bool { return s.impossible(sk) != nil })
	r := receipt{kind: kindFor(skills), perhaps: true}
	// What the list is asked for is with room for clocks that differ: what counts is decided by the tool's own.
	const clocks = time.Hour
	query := url.Values{"type[eq]": {string(r.kind)}, "createdAt[gte]": {time.Now().Add(-ago - clocks).UTC().Format("2006-01-02T15:04:05.000Z")}}
	path := "/api/v2/bulk/operations"
	for range mostPages {
		answer, err := s.get(ctx, path, query)
		if err != nil {
			return "", err
		}
		date, err := http.ParseTime(answer.Header.Get("Date"))
		if err != nil {
			return "", nil //nolint:nilerr // when an operation was made cannot be told, so none is certainly the one
		}
		var ops []operation
		if err := answer.JSON(&ops); err != nil {
			return "", err
		}
		if ops == nil { // which is not to say that there is none
			return "", &connector.Error{Kind: connector.Unexpected, Message: "360Learning's answer does not say which operations there are", Exchange: answer.Exchange()}
		}
		for _, op := range ops {
			if op.Type == string(r.kind) && objectID.MatchString(op.ID) && !op.CreatedAt.Before(date.Add(-ago)) && len(r.ids) < mostIDs {
				r.ids = append(r.ids, op.ID)
			}
		}
		if path, err = s.next(answer); err != nil {
			return "", err
		}
		if path == "" {
			break
		}
		query = nil
	}
	if len(r.ids) == 0 {
		return "", nil
	}
	return r.String(), nil
}
