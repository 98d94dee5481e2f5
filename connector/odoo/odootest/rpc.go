package odootest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// signature is what a method takes.
type signature struct {
	// records: the method is called on records.
	records bool
	// names of the arguments in their order; the first so many are required.
	names    []string
	required int
	// before and since are the versions that have it, if not all do.
	before, since int
	// changes: it must not be called by a connector that only reads.
	run func(*Server, *invocation) (any, *exception)
}

// invocation is a call of a method.
type invocation struct {
	model   string
	ids     []int64
	args    map[string]json.RawMessage
	context map[string]any
}

func methods() map[string]signature {
	reading := []string{"domain", "fields", "offset", "limit", "order"}
	return map[string]signature{
		"load":                {names: []string{"fields", "data"}, required: 2, run: (*Server).load},
		"search_read":         {names: reading, run: (*Server).searchRead},
		"get_external_id":     {records: true, run: (*Server).getExternalID},
		"has_access":          {records: true, names: []string{"operation"}, required: 1, since: 18, run: (*Server).hasAccess},
		"check_access_rights": {names: []string{"operation", "raise_exception"}, required: 1, before: 19, run: (*Server).hasAccess},
		"create":              {names: []string{"vals_list"}, required: 1, run: (*Server).create},
		"write":               {records: true, names: []string{"vals"}, required: 1, run: (*Server).write},
		"unlink":              {records: true, run: (*Server).unlink},
		"action_archive":      {records: true, run: (*Server).actionArchive},
		"context_get":         {run: (*Server).contextGet},
		"search_count":        {names: []string{"domain", "limit"}, required: 1, run: (*Server).searchCount},
	}
}

// find is a method of a model.
func (s *Server) find(model, method string) (signature, *exception) {
	if !slices.Contains([]string{"hr.skill", "hr.skill.type", "ir.model.data", "res.users"}, model) {
		if s.Version < 19 {
			return signature{}, raise(0, "odoo.exceptions.UserError", "Object %s doesn't exist", model)
		}
		return signature{}, raise(http.StatusNotFound, "werkzeug.exceptions.NotFound", "the model '%s' does not exist", model)
	}
	m, ok := methods()[method]
	if !ok || m.since > s.Version || m.before != 0 && m.before <= s.Version {
		if s.Version < 19 {
			return m, raise(0, "builtins.AttributeError", "The method '%s.%s' does not exist", model, method)
		}
		return m, raise(http.StatusNotFound, "werkzeug.exceptions.NotFound", "The method '%s.%s' does not exist", model, method)
	}
	return m, nil
}

// call calls a method with arguments by name.
func (s *Server) call(m signature, in *invocation) (any, *exception) {
	for name := range in.args {
		if !slices.Contains(m.names, name) {
			return nil, raise(http.StatusUnprocessableEntity, "werkzeug.exceptions.UnprocessableEntity", "got an unexpected keyword argument '%s'", name)
		}
	}
	for _, name := range m.names[:m.required] {
		if in.args[name] == nil {
			return nil, raise(http.StatusUnprocessableEntity, "werkzeug.exceptions.UnprocessableEntity", "missing a required argument: '%s'", name)
		}
	}
	if lang, ok := in.context["lang"]; ok && lang != "en_US" && lang != s.Language {
		return nil, raise(http.StatusUnprocessableEntity, "odoo.exceptions.UserError", "Invalid language code: %v", lang)
	}
	return m.run(s, in)
}

// take reads an argument.
func (in *invocation) take(name string, into any) *exception {
	raw, ok := in.args[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return raise(http.StatusInternalServerError, "builtins.TypeError", "%s: %v", name, err)
	}
	return nil
}

func (s *Server) say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		s.t.Error(err)
	}
}

// told is an exception as both ways tell it; the real one tells the traceback too.
func (e *exception) told() map[string]any {
	arguments := []any{e.message}
	if strings.HasPrefix(e.name, "werkzeug.") {
		arguments = append(arguments, e.status)
	}
	return map[string]any{"name": e.name, "message": e.message, "arguments": arguments, "context": map[string]any{}, "debug": "Traceback (most recent call last): …"}
}

// json2 answers a request of Odoo 19's API.
func (s *Server) json2(w http.ResponseWriter, r *http.Request, path string) {
	fail := func(e *exception) {
		if e.status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", "Bearer ")
		}
		s.say(w, e.status, e.told())
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		s.complain("content type %q", r.Header.Get("Content-Type"))
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(http.StatusUnsupportedMediaType)
		fmt.Fprint(w, "<!doctype html>\n<html lang=en>\n<title>415 Unsupported Media Type</title>\n")
		return
	}
	model, method, ok := strings.Cut(path, "/")
	if !ok || strings.Contains(method, "/") {
		fail(raise(http.StatusNotFound, "werkzeug.exceptions.NotFound", "Did you mean POST /json/2/<model>/<method>?"))
		return
	}
	authorization := r.Header.Get("Authorization")
	scheme, key, _ := strings.Cut(authorization, " ")
	switch {
	case !strings.EqualFold(scheme, "bearer"):
		s.deny()
		fail(raise(http.StatusUnauthorized, "werkzeug.exceptions.Unauthorized", "User not authenticated, use an API Key with a Bearer Authorization header."))
		return
	case key != s.Key:
		s.deny()
		fail(raise(http.StatusUnauthorized, "werkzeug.exceptions.Unauthorized", "Invalid apikey"))
		return
	}
	in := &invocation{model: model}
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(body, &in.args)
	}
	if err != nil {
		s.complain("body: %v", err)
		fail(raise(http.StatusBadRequest, "werkzeug.exceptions.BadRequest", "could not parse the body as json: Expecting value: line 1 column %d (char %d)", len(body)+1, len(body)))
		return
	}
	m, no := s.find(model, method)
	if no == nil {
		for name, into := range map[string]any{"ids": &in.ids, "context": &in.context} {
			if no = in.take(name, into); no != nil {
				break
			}
			delete(in.args, name)
		}
	}
	if no == nil && len(in.ids) > 0 && !m.records {
		no = raise(http.StatusUnprocessableEntity, "werkzeug.exceptions.UnprocessableEntity", "cannot call %s.%s with ids", model, method)
	}
	var result any
	if no == nil {
		result, no = s.call(m, in)
	}
	if no != nil {
		if no.status == http.StatusUnprocessableEntity && strings.HasPrefix(no.name, "werkzeug.") {
			s.complain("%s.%s: %s", model, method, no.message)
		}
		fail(no)
		return
	}
	s.say(w, http.StatusOK, result)
}

// jsonrpc answers a request of the earlier API. It is HTTP 200 whatever happens.
func (s *Server) jsonrpc(w http.ResponseWriter, r *http.Request) {
	var body struct {
		JSONRPC string `json:"jsonrpc"`
		Method  string `json:"method"`
		ID      any    `json:"id"`
		Params  struct {
			Service string            `json:"service"`
			Method  string            `json:"method"`
			Args    []json.RawMessage `json:"args"`
		} `json:"params"`
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		s.complain("content type %q", r.Header.Get("Content-Type"))
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || body.JSONRPC != "2.0" || body.Method != "call" {
		s.complain("/jsonrpc: %+v, %v", body, err)
	}
	answer := map[string]any{"jsonrpc": "2.0", "id": body.ID}
	result, no := s.dispatch(body.Params.Service, body.Params.Method, body.Params.Args)
	if no != nil {
		answer["error"] = map[string]any{"code": 200, "message": "Odoo Server Error", "data": no.told()}
	} else {
		answer["result"] = result
	}
	s.say(w, http.StatusOK, answer)
}

func (s *Server) dispatch(service, method string, args []json.RawMessage) (any, *exception) {
	var database, key string
	switch service + "." + method {
	case "common.version":
		v := s.Version
		return map[string]any{
			"server_version": fmt.Sprintf("%d.0", v), "server_version_info": []any{v, 0, 0, "final", 0, ""}, "server_serie": fmt.Sprintf("%d.0", v), "protocol_version": 1,
		}, nil
	case "db.list":
		switch {
		case s.Discreet:
			return nil, raise(0, "odoo.exceptions.AccessDenied", "Access Denied")
		case s.Outage:
			return nil, s.open("postgres")
		case s.Several:
			return []string{s.Database, "another"}, nil
		default:
			return []string{s.Database}, nil
		}
	case "common.authenticate":
		var login string
		var agent map[string]any
		if no := places(args, &database, &login, &key, &agent); no != nil {
			return nil, no
		}
		if no := s.open(database); no != nil {
			return nil, no
		}
		if login != s.Login || key != s.Key {
			s.deny()
			return false, nil
		}
		return s.user(), nil
	case "object.execute_kw":
		var uid int64
		var model, name string
		var placed []json.RawMessage
		in := &invocation{args: map[string]json.RawMessage{}}
		if no := places(args, &database, &uid, &key, &model, &name, &placed, &in.args); no != nil {
			return nil, no
		}
		if no := s.open(database); no != nil {
			return nil, no
		}
		if uid != s.user() || key != s.Key {
			s.deny()
			return nil, raise(0, "odoo.exceptions.AccessDenied", "Access Denied")
		}
		m, no := s.find(model, name)
		if no != nil {
			return nil, no
		}
		in.model = model
		in.args = maps.Clone(in.args)
		if no := in.take("context", &in.context); no != nil {
			return nil, no
		}
		delete(in.args, "context")
		if m.records {
			if len(placed) == 0 || json.Unmarshal(placed[0], &in.ids) != nil {
				return nil, raise(0, "builtins.IndexError", "list index out of range")
			}
			placed = placed[1:]
		}
		if len(placed) > len(m.names) {
			return nil, raise(0, "builtins.TypeError", "%s() takes %d positional arguments", name, len(m.names))
		}
		for i, value := range placed {
			in.args[m.names[i]] = value
		}
		return s.call(m, in)
	default:
		s.complain("no such service: %s.%s", service, method)
		return nil, raise(0, "builtins.AttributeError", "no such service")
	}
}

// user is the id of the one user, as on the servers that were recorded.
func (s *Server) user() int64 {
	if s.Version >= 19 {
		return 5
	}
	return 6
}

// open is what becomes of a request for a database.
func (s *Server) open(database string) *exception {
	if s.Outage {
		return raise(0, "psycopg2.OperationalError", "connection to server at \"127.0.0.1\", port 5432 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n")
	}
	if database == s.Database {
		return nil
	}
	return raise(0, "psycopg2.OperationalError", "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"%s\" does not exist\n", database)
}

// places reads arguments by their places. Those at the end may be missing.
func places(args []json.RawMessage, into ...any) *exception {
	if len(args) > len(into) {
		return raise(0, "builtins.TypeError", "takes %d arguments", len(into))
	}
	for i, raw := range args {
		if err := json.Unmarshal(raw, into[i]); err != nil {
			return raise(0, "builtins.TypeError", "argument %d: %v", i, err)
		}
	}
	return nil
}
