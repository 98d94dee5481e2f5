package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/errors"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crosswalk-hr/crosswalk/openapi"
)

// contract is what every request and answer of the tests is held against: our OpenAPI document, and the shapes of the
// public contract where that has the endpoint or its twin.
type contract struct {
	ours   validator.Validator
	public map[string]*jsonschema.Schema // by "METHOD pattern status"
}

var loadContract = sync.OnceValues(func() (*contract, error) {
	doc, err := libopenapi.NewDocument(openapi.Spec)
	if err != nil {
		return nil, err
	}
	ours, errs := validator.NewValidator(doc)
	if len(errs) > 0 {
		return nil, fmt.Errorf("openapi.yaml: %v", errs)
	}
	if ok, errs := ours.ValidateDocument(); !ok {
		return nil, fmt.Errorf("openapi.yaml: %v", explain(errs))
	}
	c := &contract{ours: ours, public: map[string]*jsonschema.Schema{}}
	file, err := os.Open("testdata/public-contract-2026-05.types.json")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	public, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	compiler.UseRegexpEngine(lenient)
	if err := compiler.AddResource("contract.json", public); err != nil {
		return nil, err
	}
	const general, hris = "responses/ErrorResponseGeneral/content/application~1json/schema", "responses/ErrorResponseHRIS/content/application~1json/schema"
	for key, pointer := range map[string]string{
		"POST /v1/hris/skills/bulk 200":               "schemas/PostLmsCoursesBulkPositiveResponse",
		"POST /v1/hris/skills/bulk error":             hris,
		"GET /v1/hris/skills/bulk/{task_id} 200":      "schemas/GetLmsCoursesBulkTaskIdPositiveResponse",
		"GET /v1/hris/skills/bulk/{task_id} error":    hris,
		"GET /v1/check-api-key 200":                   "schemas/GetCheckApiKeyPositiveResponse",
		"GET /v1/check-api-key error":                 general,
		"GET /v1/integrations/{integration_id} 200":   "schemas/GetIntegrationsIntegrationIdPositiveResponse",
		"GET /v1/integrations/{integration_id} error": general,
		"GET /v1/tools/{category} 200":                "schemas/GetToolsCategoryPositiveResponse",
		"GET /v1/tools/{category} error":              general,
		"POST /v1/hris/skills/bulk/diff error":        hris,
		"GET /v1/hris/skills 200":                     "schemas/GetHrisSkillsPositiveResponse",
		"GET /v1/hris/skills error":                   hris,
		"POST /v1/hris/skills 200":                    "schemas/PostHrisSkillsPositiveResponse",
		"POST /v1/hris/skills error":                  hris,
		"PATCH /v1/hris/skills/{skill_id} 200":        "schemas/PatchHrisSkillsSkillIdPositiveResponse",
		"PATCH /v1/hris/skills/{skill_id} error":      hris,
		"DELETE /v1/hris/skills/{skill_id} 200":       "schemas/DeleteHrisSkillsSkillIdPositiveResponse",
		"DELETE /v1/hris/skills/{skill_id} error":     hris,
		"POST /v1/force-sync 200":                     "schemas/PostForceSyncPositiveResponse",
		"POST /v1/force-sync error":                   general,
		"other error":                                 general,

		"DELETE /v1/integrations/{integration_id} 200":          "schemas/DeleteIntegrationsIntegrationIdPositiveResponse",
		"PUT /v1/integrations/{integration_id}/enabled 200":     "schemas/PutIntegrationsIntegrationIdEnabledPositiveResponse",
		"POST /v1/integrations/{integration_id}/relink 200":     "schemas/PostIntegrationsIntegrationIdRelinkPositiveResponse",
		"POST /v1/integrations/{integration_id}/setup-link 200": "schemas/PostIntegrationsIntegrationIdSetupLinkPositiveResponse",
		"POST /v1/connect/create-link 200":                      "schemas/PostConnectCreateLinkPositiveResponse",
		"GET /v1/connect/integration-by-token/{token} 200":      "schemas/GetConnectIntegrationByTokenTokenPositiveResponse",
		"POST /v1/connect/activate-integration 200":             "schemas/PostConnectActivateIntegrationPositiveResponse",
	} {
		if c.public[key], err = compiler.Compile("contract.json#/components/" + pointer); err != nil {
			return nil, err
		}
	}
	return c, nil
})

// lenient takes a pattern that Go's regexp cannot express (it has look-aheads) for one that matches everything.
func lenient(pattern string) (jsonschema.Regexp, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return regexp.MustCompile(""), nil //nolint:nilerr // patterns of another dialect hold nothing
	}
	return re, nil
}

// route is the pattern of a path in the contract.
func route(r *http.Request) string {
	path := r.URL.Path
	switch path {
	case "/v1/hris/skills/bulk", "/v1/hris/skills/bulk/diff", "/v1/check-api-key", "/v1/hris/skills", "/v1/force-sync",
		"/v1/connect/create-link", "/v1/connect/activate-integration":
		return r.Method + " " + path
	}
	for _, known := range []struct{ prefix, pattern string }{
		{"/v1/hris/skills/bulk/", "/v1/hris/skills/bulk/{task_id}"},
		{"/v1/hris/skills/", "/v1/hris/skills/{skill_id}"},
		{"/v1/integrations/", "/v1/integrations/{integration_id}"},
		{"/v1/tools/", "/v1/tools/{category}"},
		{"/v1/connect/integration-by-token/", "/v1/connect/integration-by-token/{token}"},
	} {
		if rest, ok := strings.CutPrefix(path, known.prefix); ok && rest != "" && !strings.Contains(rest, "/") {
			return r.Method + " " + known.pattern
		}
	}
	if rest, ok := strings.CutPrefix(path, "/v1/integrations/"); ok {
		if id, action, ok := strings.Cut(rest, "/"); ok && id != "" && slices.Contains([]string{"enabled", "relink", "setup-link"}, action) {
			return r.Method + " /v1/integrations/{integration_id}/" + action
		}
	}
	return "other"
}

// checked is a transport that holds what passes through it against the contract.
type checked struct {
	t    *testing.T
	next http.RoundTripper
}

func (c checked) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close() // it was read whole
	response.Body = io.NopCloser(bytes.NewReader(content))
	c.check(r, body, response, content)
	return response, nil
}

func (c checked) check(r *http.Request, body []byte, response *http.Response, content []byte) {
	c.t.Helper()
	all, err := loadContract()
	if err != nil {
		c.t.Fatal(err)
	}
	where := fmt.Sprintf("%s %s → %d", r.Method, r.URL.Path, response.StatusCode)
	if got := response.Header.Get("Content-Type"); got != "application/json" {
		c.t.Errorf("%s: Content-Type %q", where, got)
	}
	var value any
	if err := json.Unmarshal(content, &value); err != nil {
		c.t.Errorf("%s: not JSON: %v: %s", where, err, content)
		return
	}
	key := route(r)
	// A method that the path does not have is described nowhere.
	if key != "other" && response.StatusCode != http.StatusMethodNotAllowed {
		request := r.Clone(r.Context())
		request.URL.Scheme, request.URL.Host = "", ""
		request.Body = io.NopCloser(bytes.NewReader(body))
		answer := *response
		answer.Body = io.NopCloser(bytes.NewReader(content))
		if ok, errs := all.ours.ValidateHttpResponse(request, &answer); !ok {
			c.t.Errorf("%s: the answer is not as openapi.yaml says: %v\n%.500s", where, explain(errs), content)
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		plain := r.Header.Get("Content-Encoding") == ""
		if ok, errs := all.ours.ValidateHttpRequest(request); !ok && plain && response.StatusCode == http.StatusOK {
			c.t.Errorf("%s: a request that is not as openapi.yaml says was accepted: %v\n%.500s", where, explain(errs), body)
		}
	}
	if response.StatusCode == http.StatusOK {
		key += " 200"
	} else {
		key += " error"
	}
	schema := all.public[key]
	if schema == nil && response.StatusCode == http.StatusOK {
		return // it is ours alone
	}
	if schema == nil {
		schema = all.public["other error"]
	}
	parsed, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		c.t.Fatal(err)
	}
	if err := schema.Validate(parsed); err != nil {
		c.t.Errorf("%s: the answer is not as the public contract says (%s): %v\n%.500s", where, key, err, content)
	}
}

func explain(errs []*errors.ValidationError) string {
	var b strings.Builder
	for _, e := range errs {
		fmt.Fprintf(&b, "%s (%s)", e.Message, e.Reason)
		for _, s := range e.SchemaValidationErrors {
			fmt.Fprintf(&b, "; %s: %s", s.FieldPath, s.Reason)
		}
	}
	return b.String()
}
