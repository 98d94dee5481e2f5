package odoo_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
)

// exchange is a request to a running server and its answer.
type exchange struct {
	Name    string
	Request struct {
		Method, Path string
		Headers      map[string]string
		Body         json.RawMessage
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    json.RawMessage
	}
}

func recorded(t *testing.T, version int) []exchange {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("testdata/odoo-%d.json", version))
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	if err := json.Unmarshal(raw, &all); err != nil || len(all) == 0 {
		t.Fatalf("%d exchanges, %v", len(all), err)
	}
	return all
}

// text is a body that is no JSON.
func text(raw json.RawMessage) ([]byte, bool) {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return raw, false
	}
	return []byte(s), true
}

// The fake answers as the running servers did.
func TestFakeAnswersAsRecorded(t *testing.T) {
	t.Parallel()
	for version, skipped := range map[int][]string{
		17: nil,
		19: {"fields of hr.skill", "fields of hr.skill.type"}, // the connector does not ask for them
	} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			s := odootest.New(t, version)
			s.Lenient = true
			s.Database, s.Login = "hr17", "svc_hr"
			if version == 17 {
				s.Name("skillsvc.s1", "hr.skill", 1)
			}
			ids := map[string]string{}
			for _, e := range recorded(t, version) {
				if slices.Contains(skipped, e.Name) {
					continue
				}
				may := s.May
				if strings.Contains(e.Name, "plain employee") {
					s.May = odootest.Rights{CreateSkills: true}
				}
				body, _ := text(renumbered(e.Request.Body, ids))
				r := httptest.NewRequestWithContext(t.Context(), e.Request.Method, e.Request.Path, bytes.NewReader(bytes.ReplaceAll(body, []byte("<api key>"), []byte(s.Key))))
				for name, value := range e.Request.Headers {
					r.Header.Set(name, strings.ReplaceAll(value, "<api key>", s.Key))
				}
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				s.May = may
				if w.Code != e.Response.Status || w.Header().Get("Content-Type") != e.Response.Headers["Content-Type"] {
					t.Errorf("%s: %d %s, recorded %d %s", e.Name, w.Code, w.Header().Get("Content-Type"), e.Response.Status, e.Response.Headers["Content-Type"])
				}
				if _, page := text(e.Response.Body); page {
					continue
				}
				learn(t, ids, e.Response.Body, w.Body.Bytes())
				if diff := cmp.Diff(plain(t, renumbered(e.Response.Body, ids)), plain(t, w.Body.Bytes())); diff != "" {
					t.Errorf("%s (-recorded +fake):\n%s", e.Name, diff)
				}
			}
		})
	}
}

// learn notes under which ids the fake holds what the server held. Those of types are the same.
func learn(t *testing.T, ids map[string]string, recorded, fake []byte) {
	t.Helper()
	type answer struct {
		IDs    any
		Result struct{ IDs any }
	}
	var theirs, ours answer
	for raw, into := range map[*[]byte]*answer{&recorded: &theirs, &fake: &ours} {
		_ = json.Unmarshal(*raw, into) // many answers are no object, and tell no ids
	}
	for _, pair := range [][2]any{{theirs.IDs, ours.IDs}, {theirs.Result.IDs, ours.Result.IDs}} {
		a, _ := pair[0].([]any)
		b, _ := pair[1].([]any)
		for i := range min(len(a), len(b)) {
			if a[i] != any(3.0) {
				ids[fmt.Sprint(int64(a[i].(float64)))] = fmt.Sprint(int64(b[i].(float64)))
			}
		}
	}
}

var numbers = regexp.MustCompile(`\b\d+\b`)

func renumbered(raw json.RawMessage, ids map[string]string) json.RawMessage {
	return numbers.ReplaceAllFunc(raw, func(n []byte) []byte {
		if id, ok := ids[string(n)]; ok {
			return []byte(id)
		}
		return n
	})
}

var (
	dates    = regexp.MustCompile(`\d{4}-\d\d-\d\d[ T][0-9:.]+`)
	excerpts = regexp.MustCompile(`(?s)\n(LINE|DETAIL).*`) // what PostgreSQL shows of a statement
	rowIDs   = regexp.MustCompile(`\(\d+\)$`)
)

// plain is an answer without what differs from server to server.
func plain(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case string:
			return rowIDs.ReplaceAllString(dates.ReplaceAllString(excerpts.ReplaceAllString(v, ""), "<date>"), "(<id>)")
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			delete(v, "debug")
			for name := range v {
				v[name] = walk(v[name])
			}
		}
		return v
	}
	return walk(v)
}

// What recorded answers mean when they come in place of the fake's.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	const all = "all"
	for _, test := range []struct {
		version int
		name    string
		// instead of what it comes; a load of skills if empty.
		instead string
		// skills of the call.
		skills int
		// refused are the skills that are refused, by their place, with a part of the words.
		refused map[int]string
		// kind and words of an error; words empty: the call succeeds, the fake answering every later load.
		kind  connector.Kind
		words string
	}{
		{version: 19, name: "no key", instead: all, kind: connector.Credentials, words: "expire within 90 days"},
		{version: 19, name: "wrong key", instead: all, kind: connector.Credentials, words: "Invalid apikey (if the key has worked before"},
		{version: 19, name: "not JSON", kind: connector.Unexpected, words: "could not parse the body as json"},
		{version: 19, name: "wrong content type", kind: connector.Unexpected, words: "415"},
		{version: 19, name: "unknown model", instead: all, kind: connector.Unsupported, words: "the model 'hr.nope' does not exist"},
		{version: 19, name: "unknown method", kind: connector.Unsupported, words: "hr.skill.nope"},
		{version: 19, name: "missing argument", kind: connector.Unexpected, words: "missing a required argument"},
		{version: 19, name: "create three", skills: 3},
		{version: 19, name: "create three", skills: 2, kind: connector.Ambiguous, words: "3 ids for 2 rows"},
		{version: 19, name: "one refused row (empty name): all rolled back", skills: 3, refused: map[int]string{1: "Missing required value for the field 'Name'"}},
		{version: 19, name: "external id with a space", refused: map[int]string{0: "ir_model_data_name_nospaces"}},
		{version: 19, name: "unknown skill type", kind: connector.Away, words: "skill type has vanished"},
		{version: 19, name: "external id of another model", refused: map[int]string{0: "found record of different model"}},
		{version: 19, name: "NUL in a name", refused: map[int]string{0: "unsupported Unicode escape sequence"}},
		{version: 19, name: "twelve refused rows: the list stops", skills: 20, refused: map[int]string{
			0: "Missing", 1: "Missing", 2: "Missing", 3: "Missing", 4: "Missing", 5: "Missing", 6: "Missing", 7: "Missing", 8: "Missing", 9: "Missing",
		}},
		{version: 19, name: "unknown column", kind: connector.Unexpected, words: "Invalid field name 'nope'"},
		{version: 19, name: "short row", kind: connector.Unexpected, words: "list index out of range"},
		{version: 19, name: "no rows", kind: connector.Ambiguous, words: "0 ids for 1 rows"},
		{version: 19, name: "load without the right (plain employee)", kind: connector.Permission, words: "You are not allowed to modify 'Skill'"},
		{version: 19, name: "language not installed", kind: connector.Refused, words: "Invalid language code"},
		{version: 17, name: "authenticate, wrong", instead: "authenticate", kind: connector.Credentials, words: "expire within 90 days"},
		{version: 17, name: "authenticate, no such database", instead: "authenticate", kind: connector.Credentials, words: `no database "acme"`},
		{version: 17, name: "call with a wrong key", kind: connector.Credentials, words: "Access Denied"},
		{version: 17, name: "create two", skills: 2},
		{version: 17, name: "one refused row", skills: 2, refused: map[int]string{1: "Missing required value for the field 'Name' (name)"}},
		{version: 17, name: "unknown column", kind: connector.Unexpected, words: "nope"},
		{version: 17, name: "external id with a space", refused: map[int]string{0: "ir_model_data_name_nospaces"}},
		{version: 17, name: "unknown type", kind: connector.Away, words: "skill type has vanished"},
		{version: 17, name: "unknown method", kind: connector.Unsupported, words: "does not exist"},
	} {
		t.Run(fmt.Sprint(test.version, " ", test.name), func(t *testing.T) {
			t.Parallel()
			exchanges := recorded(t, test.version)
			at := slices.IndexFunc(exchanges, func(e exchange) bool { return e.Name == test.name })
			if at < 0 {
				t.Fatal("it was not recorded")
			}
			answer := exchanges[at].Response
			fake := odootest.New(t, test.version)
			told := false
			var asked []byte // it is told again to who asks the same again
			s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				called := methodOf(t, r)
				body := bodyOf(t, r)
				if told && !bytes.Equal(body, asked) || test.instead == "" && called != "hr.skill.load" || test.instead == "authenticate" && called != "common.authenticate" {
					fake.ServeHTTP(w, r)
					return
				}
				told, asked = true, body
				for name, value := range answer.Headers {
					w.Header().Set(name, value)
				}
				w.WriteHeader(answer.Status)
				words, _ := text(answer.Body)
				if _, err := w.Write(words); err != nil {
					t.Error(err)
				}
			}))
			names := make([]string, max(1, test.skills))
			for i := range names {
				names[i] = fmt.Sprint("skill ", i)
			}
			list := skills(names...)
			results, err := s.Write(t.Context(), list)
			if !told {
				t.Fatal("the answer was never asked for")
			}
			e := connector.AsError(err)
			if test.words != "" {
				if e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.words) || len(results) > 0 {
					t.Errorf("Write = %+v, %v, want the kind %s and %q", results, e, test.kind, test.words)
				}
				return
			}
			if e != nil || len(results) != len(list) {
				t.Fatalf("Write = %+v, %v", results, e)
			}
			for _, r := range results {
				i := slices.IndexFunc(list, func(sk connector.Skill) bool { return sk.OriginID == r.OriginID })
				words, no := test.refused[i]
				if (r.Err != nil) != no || no && (r.Err.Kind != connector.Refused || !strings.Contains(r.Err.Message, words)) {
					t.Errorf("skill %d: %+v, %v, want %q", i, r, r.Err, words)
				}
			}
		})
	}
}

// bodyOf reads a request's body, and puts it back.
func bodyOf(t *testing.T, r *http.Request) []byte {
	t.Helper()
	raw := new(bytes.Buffer)
	if _, err := raw.ReadFrom(r.Body); err != nil {
		t.Error(err)
	}
	r.Body = http.NoBody
	if raw.Len() > 0 {
		r.Body = readCloser{bytes.NewReader(raw.Bytes())}
	}
	return raw.Bytes()
}

// methodOf is what a request calls: the model and its method, or a service.
func methodOf(t *testing.T, r *http.Request) string {
	t.Helper()
	if path, ok := strings.CutPrefix(r.URL.Path, "/json/2/"); ok {
		return strings.ReplaceAll(path, "/", ".")
	}
	var body struct {
		Params struct {
			Service, Method string
			Args            []any
		}
	}
	if err := json.Unmarshal(bodyOf(t, r), &body); err != nil {
		t.Error(err)
	}
	if body.Params.Method == "execute_kw" && len(body.Params.Args) > 4 {
		return fmt.Sprint(body.Params.Args[3], ".", body.Params.Args[4])
	}
	return body.Params.Service + "." + body.Params.Method
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }
