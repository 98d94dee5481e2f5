// Package described holds what a fake is sent, and what it answers, against the description that the vendor publishes of its
// API. The fake's answers are held against it too: else tests with the fake show nothing of the tool.
package described

import (
	"bytes"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Description is an OpenAPI document. What is not as it says is reported to the test. It is not for concurrent use.
type Description struct {
	// Also are names that a query may have besides: they stand in addresses that answers name, of which descriptions say nothing.
	Also []string
	// OtherErrors: answers from 400 on are otherwise than described, on purpose.
	OtherErrors bool

	t        testing.TB
	base     string // the path of the server's address
	paths    map[string]map[string]operation
	compiler *jsonschema.Compiler
	schemas  map[string]*jsonschema.Schema // by their place in the document
}

type operation struct {
	Parameters []struct {
		In, Name, Style string
		Required        bool
		Schema          struct{ Properties map[string]any }
	}
	RequestBody *struct{}
	Responses   map[string]struct{ Content map[string]any }
}

const (
	resource = "description.json"
	kind     = "application/json"
)

// New reads a description.
func New(t testing.TB, document []byte) *Description {
	t.Helper()
	var read struct {
		Servers []struct{ URL string }
		Paths   map[string]map[string]operation
	}
	d := &Description{t: t, compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err == nil {
		err = d.compiler.AddResource(resource, parsed)
	}
	if err == nil {
		err = json.Unmarshal(document, &read)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.paths = read.Paths
	if len(read.Servers) > 0 {
		server, err := url.Parse(read.Servers[0].URL)
		if err != nil {
			t.Fatal(err)
		}
		d.base = server.Path
	}
	return d
}

// Serve holds a request against the description, has it answered, and holds the answer against it before it goes out. What
// answers is told the path as it stands in the description, without that of the server; the request's own if it stands nowhere.
func (d *Description) Serve(w http.ResponseWriter, r *http.Request, serve func(w http.ResponseWriter, path string)) {
	path := d.request(r)
	answer := httptest.NewRecorder()
	serve(answer, path)
	d.answer(r.Method, path, answer)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	if answer.Body.Len() == 0 {
		return
	}
	if _, err := w.Write(answer.Body.Bytes()); err != nil {
		d.t.Error(err)
	}
}

// find is the path of the description that a path is one of, and the values of its parameters.
func (d *Description) find(path string) (template string, values map[string]string) {
	path, below := strings.CutPrefix(path, d.base)
	if _, ok := d.paths[path]; ok && below {
		return path, nil
	}
	parts := strings.Split(path, "/")
	for template := range d.paths {
		values = map[string]string{}
		same := slices.EqualFunc(strings.Split(template, "/"), parts, func(own, part string) bool {
			if name, ok := strings.CutPrefix(own, "{"); ok {
				values[strings.TrimSuffix(name, "}")] = part
				return part != ""
			}
			return own == part
		})
		if same && below {
			return template, values
		}
	}
	return "", nil
}

func (d *Description) request(r *http.Request) string {
	path, values := d.find(r.URL.Path)
	method := strings.ToLower(r.Method)
	described, ok := d.paths[path][method]
	if !ok {
		d.t.Errorf("%s %s is not described", r.Method, r.URL)
		return r.URL.Path
	}
	what, allowed, query := r.Method+" "+path, slices.Clone(d.Also), r.URL.Query()
	for i, p := range described.Parameters {
		at := []string{"paths", path, method, "parameters", strconv.Itoa(i), "schema"}
		has, value := false, ""
		switch {
		case p.In == "header":
			has, value = len(r.Header.Values(p.Name)) > 0, r.Header.Get(p.Name)
		case p.In == "path":
			value, has = values[p.Name]
		case p.In == "query" && p.Style == "deepObject":
			for operator := range p.Schema.Properties {
				name := p.Name + "[" + operator + "]"
				allowed = append(allowed, name)
				if query.Has(name) {
					d.text(what+" "+name, query.Get(name), append(at, "properties", operator)...)
				}
			}
			continue
		case p.In == "query":
			allowed = append(allowed, p.Name)
			has, value = query.Has(p.Name), query.Get(p.Name)
		}
		if has {
			d.text(what+" "+p.Name, value, at...)
		} else if p.Required {
			d.t.Errorf("%s has no %s %s", what, p.In, p.Name)
		}
	}
	for name := range query {
		if !slices.Contains(allowed, name) {
			d.t.Errorf("%s asks by %q, of %q", what, name, allowed)
		}
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if described.RequestBody != nil {
		d.holds(what, body, "paths", path, method, "requestBody", "content", kind, "schema")
	} else if len(body) > 0 {
		d.t.Errorf("%s has a body", what)
	}
	return path
}

func (d *Description) answer(method, path string, answer *httptest.ResponseRecorder) {
	described, ok := d.paths[path][strings.ToLower(method)]
	if !ok || d.OtherErrors && answer.Code >= 400 {
		return // the request is what is wrong
	}
	status := strconv.Itoa(answer.Code)
	what := method + " " + path + ": the answer " + status
	response, ok := described.Responses[status]
	switch {
	case !ok:
		d.t.Errorf("%s is not described", what)
	case len(response.Content) > 0:
		if is, _, err := mime.ParseMediaType(answer.Header().Get("Content-Type")); err != nil || is != kind {
			d.t.Errorf("%s has the content type %q", what, answer.Header().Get("Content-Type"))
		}
		d.holds(what, answer.Body.Bytes(), "paths", path, strings.ToLower(method), "responses", status, "content", kind, "schema")
	case answer.Body.Len() > 0:
		d.t.Errorf("%s has a body", what)
	}
}

// text holds a text that stands in a header or an address.
func (d *Description) text(what, value string, at ...string) {
	document, err := json.Marshal(value)
	if err != nil {
		d.t.Fatal(err)
	}
	d.holds(what, document, at...)
}

func (d *Description) holds(what string, body []byte, at ...string) {
	place := &url.URL{}
	for _, part := range at {
		place.Path += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
	}
	pointer := resource + "#" + place.EscapedPath()
	schema := d.schemas[pointer]
	if schema == nil {
		var err error
		if schema, err = d.compiler.Compile(pointer); err != nil {
			d.t.Fatalf("%s: %v", what, err)
		}
		d.schemas[pointer] = schema
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err == nil {
		err = schema.Validate(document)
	}
	if err != nil {
		d.t.Errorf("%s is not as described: %v", what, err)
	}
}
