package learning360test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// types are names, types and codes of the description that 360Learning publishes of its API, of the parts that have to do
// with skills. See NOTICE.md.
//
//go:embed 360learning.types.json
var types []byte

// description holds requests and answers against it.
type description struct {
	t        testing.TB
	compiler *jsonschema.Compiler
	paths    map[string]map[string]struct {
		Parameters []struct {
			In       string
			Name     string
			Required bool
			Schema   struct{ Properties map[string]any }
		}
		RequestBody *struct{}
		Responses   map[string]struct{ Content map[string]any }
	}
	schemas map[string]*jsonschema.Schema
}

const resource = "360learning.json"

func describe(t testing.TB) *description {
	d := &description{t: t, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(types))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.compiler.AddResource(resource, document); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(types, &struct{ Paths any }{&d.paths}); err != nil {
		t.Fatal(err)
	}
	return d
}

var ids = regexp.MustCompile(`/[0-9a-fA-F]{24}(/|$)`)

// request holds a request against the description, and returns its path as it stands there.
func (d *description) request(r *http.Request) string {
	path := ids.ReplaceAllString(r.URL.Path, "/{bulkOperationId}$1")
	described, ok := d.paths[path][strings.ToLower(r.Method)]
	if !ok {
		d.t.Errorf("%s %s is not described", r.Method, r.URL)
		return path
	}
	allowed := []string{"next"} // of addresses that answers name
	for _, p := range described.Parameters {
		switch p.In {
		case "header":
			if p.Required && r.Header.Get(p.Name) == "" {
				d.t.Errorf("%s %s has no header %s", r.Method, path, p.Name)
			}
		case "query":
			for operator := range p.Schema.Properties {
				allowed = append(allowed, p.Name+"["+operator+"]")
			}
		}
	}
	for name := range r.URL.Query() {
		if !slices.Contains(allowed, name) {
			d.t.Errorf("%s %s asks by %q, of %q", r.Method, path, name, allowed)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if described.RequestBody == nil {
		if len(body) > 0 {
			d.t.Errorf("%s %s has a body", r.Method, path)
		}
		return path
	}
	d.holds(r.Method+" "+path, body, "paths", path, strings.ToLower(r.Method), "requestBody", "content", "application/json", "schema")
	return path
}

// answer holds an answer against the description. Plain answers have errors of another form.
func (d *description) answer(method, path string, answer *httptest.ResponseRecorder, plain bool) {
	if plain && answer.Code >= 400 {
		return
	}
	status := strconv.Itoa(answer.Code)
	described, ok := d.paths[path][strings.ToLower(method)].Responses[status]
	if !ok {
		d.t.Errorf("%s %s: the answer %s is not described", method, path, status)
		return
	}
	if len(described.Content) == 0 {
		if answer.Body.Len() > 0 {
			d.t.Errorf("%s %s: the answer %s has a body", method, path, status)
		}
		return
	}
	d.holds(method+" "+path+" "+status, answer.Body.Bytes(), "paths", path, strings.ToLower(method), "responses", status, "content", "application/json", "schema")
}

func (d *description) holds(what string, body []byte, at ...string) {
	schema := d.schemas[what]
	if schema == nil {
		escaped := make([]string, len(at))
		for i, part := range at {
			escaped[i] = strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
		}
		pointer := &url.URL{Path: "/" + strings.Join(escaped, "/")}
		var err error
		if schema, err = d.compiler.Compile(resource + "#" + pointer.EscapedPath()); err != nil {
			d.t.Fatalf("%s: %v", what, err)
		}
		d.schemas[what] = schema
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		d.t.Errorf("%s: %v", what, err)
		return
	}
	if err := schema.Validate(document); err != nil {
		d.t.Errorf("%s is not as described: %v", what, err)
	}
}
