package described_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector/connectortest/described"
)

const document = `{
	"openapi": "3.1.0",
	"servers": [{"url": "https://tool.test/v1"}],
	"paths": {
		"/skills": {
			"get": {
				"parameters": [
					{"in": "header", "name": "Api-Version", "required": true, "schema": {"enum": ["2"]}},
					{"in": "query", "name": "status", "style": "deepObject", "schema": {"properties": {"eq": {"enum": ["active"]}}}},
					{"in": "query", "name": "page", "required": true, "schema": {"pattern": "^[0-9]+$"}}
				],
				"responses": {"200": {"content": {"application/json": {"schema": {"type": "array"}}}}, "204": {}}
			}
		},
		"/skills/own": {"delete": {"responses": {"204": {}}}},
		"/skills/{id}": {
			"patch": {
				"parameters": [{"in": "path", "name": "id", "required": true, "schema": {"pattern": "^[0-9]+$"}}],
				"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Skill"}}}},
				"responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Skill"}}}}}
			}
		}
	},
	"components": {"schemas": {"Skill": {"type": "object", "required": ["name"], "additionalProperties": false, "properties": {"name": {"type": "string", "maxLength": 4}}}}}
}`

// heard is a test that hears what is reported.
type heard struct {
	testing.TB
	said []string
}

func (h *heard) Errorf(format string, args ...any) {
	h.said = append(h.said, fmt.Sprintf(format, args...))
}
func (h *heard) Error(args ...any) { h.said = append(h.said, fmt.Sprint(args...)) }

// What is as described goes through, and nothing else.
func TestServe(t *testing.T) {
	t.Parallel()
	const (
		list  = "GET /v1/skills?page=1"
		patch = "PATCH /v1/skills/7"
		good  = `{"name":"Go"}`
	)
	version, json := http.Header{"Api-Version": {"2"}}, http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	for name, test := range map[string]struct {
		request, body string
		header        http.Header
		status        int
		answer        string
		as            http.Header
		want          string // in what is reported; empty: nothing
	}{
		"all is well":                      {request: patch, body: good, status: 200, answer: good, as: json},
		"a query":                          {request: list + "&status[eq]=active&next=x", header: version, status: 200, answer: `[]`, as: json},
		"an answer without a body":         {request: list, header: version, status: 204},
		"a path before one like it":        {request: "DELETE /v1/skills/own", status: 204},
		"another path":                     {request: "GET /v1/skill", want: "is not described"},
		"another method":                   {request: "PUT /v1/skills/7", body: good, want: "is not described"},
		"another server's path":            {request: "PATCH /v2/skills/7", body: good, want: "is not described"},
		"a path's value":                   {request: "PATCH /v1/skills/seven", body: good, want: "id is not as described"},
		"a path without its value":         {request: "PATCH /v1/skills/", body: good, want: "is not described"},
		"a header is missing":              {request: list, status: 200, answer: `[]`, as: json, want: "has no header Api-Version"},
		"a header's value":                 {request: list, header: http.Header{"Api-Version": {"1"}}, status: 204, want: "Api-Version is not as described"},
		"a name of the query":              {request: list + "&pages=1", header: version, status: 204, want: `asks by "pages"`},
		"a value of the query":             {request: "GET /v1/skills?page=one", header: version, status: 204, want: "page is not as described"},
		"a value of a deep query":          {request: list + "&status[eq]=x", header: version, status: 204, want: "status[eq] is not as described"},
		"the query lacks something":        {request: "GET /v1/skills", header: version, status: 204, want: "has no query page"},
		"a field of the body is missing":   {request: patch, body: `{}`, status: 200, answer: good, as: json, want: "PATCH /skills/{id} is not as described"},
		"a field nobody knows":             {request: patch, body: `{"name":"Go","title":1}`, status: 200, answer: good, as: json, want: "'title'"},
		"a body that is too long":          {request: patch, body: `{"name":"Haskell"}`, status: 200, answer: good, as: json, want: "maxLength"},
		"a body that is not JSON":          {request: patch, body: `name=Go`, status: 200, answer: good, as: json, want: "is not as described"},
		"no body":                          {request: patch, status: 200, answer: good, as: json, want: "is not as described"},
		"a body where there is none":       {request: list, header: version, body: good, status: 204, want: "has a body"},
		"a status of the answer":           {request: patch, body: good, status: 201, answer: good, as: json, want: "the answer 201 is not described"},
		"a field of the answer":            {request: patch, body: good, status: 200, answer: `{"name":7}`, as: json, want: "the answer 200 is not as described"},
		"an answer of another type":        {request: patch, body: good, status: 200, answer: good, as: http.Header{"Content-Type": {"text/html"}}, want: `content type "text/html"`},
		"an answer's body where none is":   {request: list, header: version, status: 204, answer: `[]`, want: "the answer 204 has a body"},
		"an answer that is not JSON":       {request: patch, body: good, status: 200, answer: `{`, as: json, want: "the answer 200 is not as described"},
		"an error that is not described":   {request: patch, body: good, status: 400, answer: `{}`, as: json, want: "the answer 400 is not described"},
		"an answer to what nobody may ask": {request: "GET /v1/skill", status: 418, want: "is not described"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := &heard{TB: t}
			d := described.New(h, []byte(document))
			d.Also = []string{"next"}
			method, target, _ := strings.Cut(test.request, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, "https://tool.test"+target, strings.NewReader(test.body))
			for name, values := range test.header {
				r.Header[name] = values
			}
			w := httptest.NewRecorder()
			d.Serve(w, r, func(w http.ResponseWriter, _ string) {
				for name, values := range test.as {
					w.Header()[name] = values
				}
				if test.status != 0 {
					w.WriteHeader(test.status)
				}
				fmt.Fprint(w, test.answer)
			})
			if said := strings.Join(h.said, "\n"); test.want == "" && said != "" || !strings.Contains(said, test.want) {
				t.Errorf("reported: %q, want %q", said, test.want)
			}
			if w.Body.String() != test.answer {
				t.Errorf("answered %q, want %q", w.Body, test.answer)
			}
		})
	}
}

// Errors may have another form on purpose; what is asked may not.
func TestOtherErrors(t *testing.T) {
	t.Parallel()
	h := &heard{TB: t}
	d := described.New(h, []byte(document))
	d.OtherErrors = true
	for body, want := range map[string]int{`{"name":"Go"}`: 0, `{}`: 1} {
		h.said = nil
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "https://tool.test/v1/skills/7", strings.NewReader(body))
		var path string
		d.Serve(httptest.NewRecorder(), r, func(w http.ResponseWriter, at string) {
			path = at
			w.WriteHeader(http.StatusBadRequest)
		})
		if len(h.said) != want || path != "/skills/{id}" {
			t.Errorf("%s at %s: reported %q", body, path, h.said)
		}
	}
}
