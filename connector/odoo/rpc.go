package odoo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// call is a call of a model's method. /json/2 takes its arguments by name, /jsonrpc the first ones by their place.
type call struct {
	model, method string
	// ids are the records that the method is called on; nil for a method of the model.
	ids []int64
	// args are the arguments that have a place.
	args []argument
	// options are arguments that have none.
	options map[string]any
	// archived: archived records are seen too.
	archived bool
	// lang is a language other than English.
	lang string
	// changes: it changes something.
	changes bool
	// exchange gets the id under which the answer is recorded, if it is not nil.
	exchange *string
}

type argument struct {
	name  string
	value any
}

// english is a language that Odoo always knows, whatever languages are installed.
const english = "en_US"

// context is what Odoo calls so.
func (c call) context() map[string]any {
	context := map[string]any{"lang": cmp.Or(c.lang, english)}
	if c.archived {
		context["active_test"] = false
	}
	return context
}

// call makes one request, besides finding out how to speak to Odoo and signing in.
func (s *session) call(ctx context.Context, c call, into any) error {
	s.mu.Lock()
	speaks := s.speaks
	s.mu.Unlock()
	if speaks == jsonrpc {
		return s.execute(ctx, c, into)
	}
	body := map[string]any{"context": c.context()}
	maps.Copy(body, c.options)
	for _, a := range c.args {
		body[a.name] = a.value
	}
	if c.ids != nil {
		body["ids"] = c.ids
	}
	answer, err := s.api.Send(ctx, rest.Request{
		Method: http.MethodPost, Path: "/json/2/" + c.model + "/" + c.method, Header: s.header, Body: body, Changes: c.changes,
	})
	if err != nil {
		return err
	}
	note(c.exchange, answer)
	if speaks == auto && knowsNoJSON2(answer) {
		s.mu.Lock()
		s.speaks = jsonrpc
		s.mu.Unlock()
		return s.execute(ctx, c, into)
	}
	if !answer.OK() {
		return s.unanswered(answer)
	}
	if err := answer.JSON(into); err != nil {
		return err
	}
	if isNothing(answer.Body) {
		return nothing(c.changes, answer)
	}
	s.mu.Lock()
	s.speaks, s.answered = json2, true
	s.mu.Unlock()
	return nil
}

// unanswered is what an answer of /json/2 says that is no result. Odoo has the page only while it can use a database: when that
// is away for a moment, it says 404 as if there had never been one.
func (s *session) unanswered(a *rest.Answer) *connector.Error {
	e := s.problem(a)
	if !knowsNoJSON2(a) {
		return e
	}
	s.mu.Lock()
	answered := s.answered
	s.mu.Unlock()
	if answered {
		e.Kind, e.Message = connector.Away, fmt.Sprintf("Odoo has no /json/2 any more, as when it cannot use its database (%s)", e.Message)
		return e
	}
	e.Message += ": there is no /json/2 here; Odoo is older than 19, has several databases or none of this name, or cannot use it"
	return e
}

// note keeps under which id an answer is recorded, for an error that is made of it elsewhere.
func note(exchange *string, answer *rest.Answer) {
	if exchange != nil {
		*exchange = answer.Exchange()
	}
}

// knowsNoJSON2 reports whether an answer comes from an Odoo that has no /json/2, or does not know which of its databases is
// meant. Odoo 18 sends us to sign in; the others know no such page. What /json/2 itself says is JSON.
func knowsNoJSON2(a *rest.Answer) bool {
	switch a.Status {
	case http.StatusNotFound:
		_, ok := faultOf(a.Body)
		return !ok
	case http.StatusFound, http.StatusSeeOther:
		to, err := url.Parse(a.Header.Get("Location"))
		return err == nil && strings.HasSuffix(to.Path, "/web/login")
	default:
		return false
	}
}

// execute calls through /jsonrpc.
func (s *session) execute(ctx context.Context, c call, into any) error {
	user, err := s.signIn(ctx)
	if err != nil {
		return err
	}
	placed := []any{}
	if c.ids != nil {
		placed = append(placed, c.ids)
	}
	for _, a := range c.args {
		placed = append(placed, a.value)
	}
	named := map[string]any{"context": c.context()}
	maps.Copy(named, c.options)
	return s.rpc(ctx, "object", "execute_kw", []any{s.set.Database, user, s.set.Key, c.model, c.method, placed, named}, c.changes, c.exchange, into)
}

// signIn finds out the id of the login's user.
func (s *session) signIn(ctx context.Context) (int64, error) {
	s.mu.Lock()
	user := s.user
	s.mu.Unlock()
	if user != 0 {
		return user, nil
	}
	if s.set.Database == "" || s.set.Login == "" {
		return 0, s.unknown(ctx)
	}
	var answer json.RawMessage
	err := s.rpc(ctx, "common", "authenticate", []any{s.set.Database, s.set.Login, s.set.Key, map[string]any{}}, false, nil, &answer)
	if err != nil {
		return 0, err
	}
	if json.Unmarshal(answer, &user) != nil || user <= 0 {
		return 0, refusedKey("Odoo does not accept the login and the API key")
	}
	s.mu.Lock()
	s.user = user
	s.mu.Unlock()
	return user, nil
}

// unknown says why there was no /json/2, when the settings do not suffice for /jsonrpc: Odoo is older, does not know which of
// its databases is meant, or cannot use it. Only the last is over by itself. Both questions take no key.
func (s *session) unknown(ctx context.Context) error {
	var version struct {
		Info []json.RawMessage `json:"server_version_info"`
	}
	if err := s.rpc(ctx, "common", "version", []any{}, false, nil, &version); err != nil {
		return err
	}
	var major int // not a number but a text as "saas~18" between two versions
	if len(version.Info) == 0 || json.Unmarshal(version.Info[0], &major) != nil || major < 19 {
		return connector.Errorf(connector.Credentials, "This Odoo is older than 19 and does not know /json/2: the settings database and login are needed")
	}
	s.mu.Lock()
	s.speaks = auto
	s.mu.Unlock()
	var databases []string
	switch err := s.rpc(ctx, "db", "list", []any{}, false, nil, &databases); {
	case err == nil && s.set.Database == "" && len(databases) > 1:
		return connector.Errorf(connector.Credentials, "This Odoo has several databases: the setting database is needed")
	case err == nil && s.set.Database != "" && !slices.Contains(databases, s.set.Database):
		return connector.Errorf(connector.Credentials, "Odoo has no database %q", s.set.Database)
	default: // not everybody may ask
		return connector.Errorf(connector.Away, "Odoo cannot use its database, or has several of which the setting database names none")
	}
}

// rpc makes a request to /jsonrpc, which answers 200 whatever happens.
func (s *session) rpc(ctx context.Context, service, method string, args []any, changes bool, exchange *string, into any) error {
	answer, err := s.api.Send(ctx, rest.Request{Method: http.MethodPost, Path: "/jsonrpc", Changes: changes, Body: map[string]any{
		"jsonrpc": "2.0", "method": "call", "id": 1,
		"params": map[string]any{"service": service, "method": method, "args": args},
	}})
	if err != nil {
		return err
	}
	note(exchange, answer)
	if !answer.OK() {
		e := s.problem(answer)
		if _, said := faultOf(answer.Body); answer.Status == http.StatusNotFound && !said {
			e.Message = "There is no Odoo at this address: " + e.Message
		}
		return e
	}
	var body struct {
		Result json.RawMessage `json:"result"`
		Error  *struct {
			Message string `json:"message"`
			Data    fault  `json:"data"`
		} `json:"error"`
	}
	if err := answer.JSON(&body); err != nil {
		return err
	}
	if body.Error != nil {
		if body.Error.Data.Message == "" {
			body.Error.Data.Message = body.Error.Message
		}
		return s.kindOf(answer, body.Error.Data)
	}
	if len(body.Result) == 0 {
		return unreadable(changes, errors.New("neither a result nor an error"))
	}
	if isNothing(body.Result) {
		return nothing(changes, answer)
	}
	if err := json.Unmarshal(body.Result, into); err != nil {
		return unreadable(changes, err)
	}
	return nil
}

// unreadable is an answer that tells nothing.
func unreadable(changes bool, err error) *connector.Error {
	kind := connector.Away
	if changes {
		kind = connector.Ambiguous
	}
	return &connector.Error{Kind: kind, Message: "Odoo's answer cannot be read", Err: err}
}

// isNothing reports whether a result is none. No method that is called has none: to read it as one that finds nothing would be to take
// skills that are there for deleted.
func isNothing(result []byte) bool { return bytes.Equal(bytes.TrimSpace(result), []byte("null")) }

func nothing(changes bool, answer *rest.Answer) *connector.Error {
	kind := connector.Unexpected
	if changes {
		kind = connector.Ambiguous
	}
	return &connector.Error{Kind: kind, Message: "Odoo's answer says nothing", Exchange: answer.Exchange()}
}

// withoutID is the error of a record that is shown without an id.
func withoutID() *connector.Error {
	return connector.Errorf(connector.Unexpected, "Odoo shows a record without an id")
}

// fault is an exception in Odoo, as both ways tell it. What it did until then was rolled back.
type fault struct {
	Name    string `json:"name"`
	Message string `json:"message"`
}

func faultOf(body []byte) (fault, bool) {
	var f fault
	err := json.Unmarshal(body, &f)
	return f, err == nil && f.Name != ""
}

// problem is what an answer other than 200 says.
func (s *session) problem(a *rest.Answer) *connector.Error {
	f, ok := faultOf(a.Body)
	if ok {
		return s.kindOf(a, f)
	}
	e := a.Problem(a.Said())
	switch to := a.Header.Get("Location"); {
	case e.Kind == connector.Credentials:
		return refusedKey(e.Message)
	case a.Status/100 == 3 && to != "":
		e.Message = s.api.Words(fmt.Sprintf("%s: the address of this Odoo is another one, as in %s", e.Message, to))
	}
	return e
}

// kindOf says what an exception means.
func (s *session) kindOf(a *rest.Answer, f fault) *connector.Error {
	said := a.Problem(f.Message) // its words are bounded and without secrets, its kind may hold
	name := f.Name[strings.LastIndexByte(f.Name, '.')+1:]
	e := &connector.Error{Kind: connector.Unexpected, Message: said.Message, RetryAfter: said.RetryAfter, Err: fmt.Errorf("odoo: %s", name), Exchange: a.Exchange()}
	switch {
	case a.Status == http.StatusUnauthorized, name == "AccessDenied":
		return refusedKey(e.Message)
	case name == "AccessError", a.Status == http.StatusForbidden:
		e.Kind = connector.Permission
	case name == "OperationalError" && strings.Contains(f.Message, "does not exist"):
		e.Kind, e.Message = connector.Credentials, fmt.Sprintf("Odoo has no database %q", s.set.Database)
	case isTransient(f.Message), name == "ConcurrencyError", name == "LockError", strings.HasPrefix(f.Name, "psycopg2.") && !strings.HasSuffix(name, "Violation"):
		e.Kind = connector.Away // the database is away or in a muddle, and has forgotten what was begun
	case name == "MissingError": // with the status of a page that is missing
		e.Kind = connector.Refused
	case name == "UserError" && namesSkills(f.Message), a.Status == http.StatusNotFound, name == "AttributeError":
		e.Kind = connector.Unsupported
		if strings.HasPrefix(f.Message, "the model '"+modelSkill) || name == "UserError" {
			e.Message = "The app Skills Management (module hr_skills) is not installed in Odoo: " + e.Message
		}
	case name == "UserError", name == "ValidationError", name == "RedirectWarning":
		e.Kind = connector.Refused
	case a.Status == http.StatusTooManyRequests, a.Status == http.StatusServiceUnavailable:
		e.Kind = said.Kind
	}
	return e
}

// namesSkills reports whether words name the model of skills or of their types, as those of a model that does not exist do. Until
// Odoo 18 they are in the user's language.
func namesSkills(words string) bool {
	return slices.ContainsFunc(strings.Fields(words), func(w string) bool {
		w = strings.Trim(w, `'"«»“”.,:`)
		return w == modelSkill || w == modelType
	})
}

func refusedKey(words string) *connector.Error {
	return connector.Errorf(connector.Credentials, "%s (if the key has worked before: those of ordinary users expire within 90 days, and have to be replaced)", words)
}

// hasAccess asks whether the user has a right. Odoo 17 and earlier have another method for it.
func (s *session) hasAccess(ctx context.Context, model, right string) (bool, error) {
	operation := []argument{{"operation", right}}
	now := call{model: model, method: "has_access", ids: []int64{}, args: operation}
	old := call{model: model, method: "check_access_rights", args: operation, options: map[string]any{"raise_exception": false}}
	var yes bool
	err := s.call(ctx, now, &yes)
	if e := connector.AsError(err); e != nil && e.Kind == connector.Unsupported && !strings.Contains(e.Message, "hr_skills") {
		err = s.call(ctx, old, &yes)
	}
	return yes, err
}

// text is a text, or false for none.
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	if bytes.Equal(b, []byte("false")) {
		*t = ""
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// reference is a record that another refers to, [id, name], or false for none.
type reference int64

// UnmarshalJSON implements json.Unmarshaler.
func (r *reference) UnmarshalJSON(b []byte) error {
	*r = 0
	if bytes.Equal(b, []byte("false")) {
		return nil
	}
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if len(pair) == 0 {
		return errors.New("a reference without an id")
	}
	return json.Unmarshal(pair[0], (*int64)(r))
}
