package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	who        = `"end_user_email":"anna@acme.example","end_user_organization_name":"Acme GmbH"`
	createLink = "/v1/connect/create-link"
)

// linkOf is the link of an answer, as the store has it.
func (f *fixture) linkOf(a answer) (store.Link, string) {
	f.t.Helper()
	var data struct{ Link string }
	if err := json.Unmarshal(a.Data, &data); err != nil || a.status != 200 {
		f.t.Fatalf("%d %s", a.status, a.body)
	}
	token, ok := strings.CutPrefix(data.Link, "https://skills.example.com/connect/")
	if !ok {
		f.t.Fatalf("link %q", data.Link)
	}
	hash, _ := auth.HashToken(token)
	link, err := f.store.Link(f.t.Context(), hash)
	if err != nil {
		f.t.Fatal(err)
	}
	return link, token
}

func TestCreateLink(t *testing.T) {
	f := setup(t)
	end := store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "anna@acme.example"}
	for name, test := range map[string]struct {
		body string
		want store.Link
		good time.Duration
	}{
		"only what is required": {`{` + who + `}`, store.Link{Category: "HRIS", Language: "en", EndUser: end}, time.Hour},
		"everything": {
			`{` + who + `,"end_user_origin_id":"acme-1","integration_category":"HRIS","integration_tool":"sandbox","language":"de",
				"link_type":"MAGIC_LINK","scope_config_id":"x","enable_filtering":true,"enable_field_mapping":false,"remote_environment":"test","new":1}`,
			store.Link{Category: "HRIS", Tool: "sandbox", Language: "de", EndUser: store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "anna@acme.example", OriginID: "acme-1"}},
			365 * 24 * time.Hour,
		},
		"null for what may be null": {
			`{` + who + `,"end_user_origin_id":null,"integration_tool":null,"language":null,"scope_config_id":null,"remote_environment":null}`,
			store.Link{Category: "HRIS", Language: "en", EndUser: end},
			time.Hour,
		},
		"a language without a text":     {`{` + who + `,"language":"fr"}`, store.Link{Category: "HRIS", Language: "fr", EndUser: end}, time.Hour},
		"a tool brings its category":    {`{` + who + `,"integration_tool":"sandbox","link_type":"EMBEDDED"}`, store.Link{Category: "HRIS", Tool: "sandbox", Language: "en", EndUser: end}, time.Hour},
		"an address in capital letters": {`{"end_user_email":"Anna.O'Neil+x@ACME.Example","end_user_organization_name":"  Acme GmbH "}`, store.Link{Category: "HRIS", Language: "en", EndUser: store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "Anna.O'Neil+x@acme.example"}}, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			link, token := f.linkOf(f.do(request{method: "POST", path: createLink, body: test.body}))
			if !strings.HasPrefix(token, "cwl_") || len(token) < 40 {
				t.Errorf("token %q", token)
			}
			if got := link.ExpiresAt.Sub(link.CreatedAt); got != test.good {
				t.Errorf("good for %s", got)
			}
			test.want.EnvironmentID, test.want.Purpose = f.env, store.Connect
			test.want.CreatedAt, test.want.ExpiresAt = link.CreatedAt, link.ExpiresAt
			if diff := cmp.Diff(test.want, link); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestBadLinks(t *testing.T) {
	f := setup(t)
	for name, test := range map[string]struct {
		path, body string
		status     int
		words      string
	}{
		"nothing":                 {createLink, ``, 400, "The body is empty"},
		"no object":               {createLink, `[]`, 400, "must be a JSON object"},
		"no JSON":                 {createLink, `{"end_user_email":`, 400, "ends in the middle"},
		"more behind it":          {createLink, `{` + who + `} {}`, 400, "goes on after"},
		"a field twice":           {createLink, `{` + who + `,` + who + `}`, 400, "end_user_email"},
		"nothing that is needed":  {createLink, `{}`, 400, "end_user_email is missing; end_user_organization_name is missing"},
		"null where it may not":   {createLink, `{"end_user_email":null,"end_user_organization_name":"x"}`, 400, "end_user_email must be a string, it is null"},
		"a blank name":            {createLink, `{"end_user_email":"a@b.de","end_user_organization_name":"  "}`, 400, "end_user_organization_name is empty"},
		"a control character":     {createLink, `{"end_user_email":"a@b.de","end_user_organization_name":"A\u0000B"}`, 400, "end_user_organization_name holds a control character"},
		"a long name":             {createLink, `{"end_user_email":"a@b.de","end_user_organization_name":"` + strings.Repeat("ä", 1001) + `"}`, 400, "more than 1000 characters"},
		"no address":              {createLink, `{"end_user_email":"anna","end_user_organization_name":"x"}`, 400, "end_user_email is not an e-mail address"},
		"dots in an address":      {createLink, `{"end_user_email":"a..b@c.de","end_user_organization_name":"x"}`, 400, "is not an e-mail address"},
		"a display name":          {createLink, `{"end_user_email":"Anna <a@b.de>","end_user_organization_name":"x"}`, 400, "is not an e-mail address"},
		"a category":              {createLink, `{` + who + `,"integration_category":"CRM"}`, 400, "integration_category must be one of HRIS, ATS, ASSESSMENT, LMS"},
		"nothing of the category": {createLink, `{` + who + `,"integration_category":"ATS"}`, 400, "no connector for a tool of the category ATS"},
		"an unknown tool":         {createLink, `{` + who + `,"integration_tool":"personio"}`, 400, `no connector for "personio"; it has sandbox`},
		"a tool of another kind":  {createLink, `{` + who + `,"integration_tool":"sandbox","integration_category":"LMS"}`, 400, "sandbox is of the category HRIS, and integration_category is LMS"},
		"a language":              {createLink, `{` + who + `,"language":"DE"}`, 400, `language must be one of en, de, fr, it, es, it is "DE"`},
		"a type of link":          {createLink, `{` + who + `,"link_type":"magic"}`, 400, "link_type must be one of EMBEDDED, MAGIC_LINK"},
		"a number for a boolean":  {createLink, `{` + who + `,"enable_filtering":1}`, 400, "enable_filtering must be a boolean, it is a number"},
		"relink, a language":      {"/v1/integrations/" + f.integration + "/relink", `{"language":7}`, 400, "language must be a string, it is a number"},
		"set-up without its kind": {"/v1/integrations/" + f.integration + "/setup-link", `{}`, 400, "link_type is missing"},
		"token missing":           {"/v1/connect/activate-integration", `{}`, 400, "token is missing"},
		"an unknown token":        {"/v1/connect/activate-integration", `{"token":"cwt_x"}`, 404, "no integration for this token"},
		"a long token":            {"/v1/connect/activate-integration", `{"token":"` + strings.Repeat("x", 999) + `"}`, 404, "no integration for this token"},
	} {
		t.Run(name, func(t *testing.T) {
			f.do(request{method: "POST", path: test.path, body: test.body}).want(t, test.status, inputInvalid, test.words)
		})
	}
	f.do(request{method: "POST", path: createLink, body: `{` + who + `}`, header: map[string]string{"Content-Type": "text/plain"}}).want(t, 415, inputInvalid)
	f.do(request{method: "POST", path: createLink, body: `{` + who + `}`, header: map[string]string{"Authorization": ""}}).want(t, 401, "PLATFORM.AUTHENTICATION_INVALID")
}

func TestLinksOfAnIntegration(t *testing.T) {
	f := setup(t)
	in, err := f.store.Integration(t.Context(), f.env, f.integration)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		action, body string
		purpose      store.Purpose
		language     string
		good         time.Duration
	}{
		"relink without a body":   {"relink", ``, store.Relink, "en", time.Hour},
		"relink":                  {"relink", `{"language":"de","link_type":"MAGIC_LINK","scope_config_id":null}`, store.Relink, "de", 365 * 24 * time.Hour},
		"the settings":            {"setup-link", `{"link_type":"EMBEDDED"}`, store.Setup, "en", time.Hour},
		"the settings, in German": {"setup-link", `{"link_type":"MAGIC_LINK","language":"de"}`, store.Setup, "de", 365 * 24 * time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			link, _ := f.linkOf(f.do(request{method: "POST", path: "/v1/integrations/" + f.integration + "/" + test.action, body: test.body}))
			want := store.Link{
				EnvironmentID: f.env, Purpose: test.purpose, IntegrationID: f.integration, Tool: "sandbox", Language: test.language,
				EndUser: in.EndUser, CreatedAt: link.CreatedAt, ExpiresAt: link.CreatedAt.Add(test.good),
			}
			if diff := cmp.Diff(want, link); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// What a token stands for is told to the environment whose link was used, and to nobody else.
func TestIntegrationByToken(t *testing.T) {
	f := setup(t)
	other := f.newTenant("other")
	link, token := f.linkOf(f.do(request{method: "POST", path: createLink, body: `{` + who + `,"end_user_origin_id":"acme-1"}`}))
	connect := auth.ConnectToken(token, "form")
	ask := func(token string) request {
		return request{method: "GET", path: "/v1/connect/integration-by-token/" + token}
	}
	activate := func(token string) request {
		return request{method: "POST", path: "/v1/connect/activate-integration", body: `{"token":"` + token + `"}`}
	}
	before := f.do(ask(connect))
	before.want(t, 404, inputInvalid, "no integration for this token")
	hash, _ := auth.HashToken(token)
	made, _ := auth.HashToken(connect)
	id := "sandbox:28KMdr68N8kG9EzLwjsN9aoz"
	if _, err := f.store.UseLink(t.Context(), hash, store.LinkUse{Token: made, TokenFor: time.Hour, Integration: store.Integration{
		ID: id, Tool: "sandbox", Settings: []byte(`{}`), EndUser: link.EndUser,
	}}); err != nil {
		t.Fatal(err)
	}
	const want = `{"tool":"sandbox","id":"sandbox:28KMdr68N8kG9EzLwjsN9aoz","end_user_origin_id":"acme-1",` +
		`"end_user_organization_name":"Acme GmbH","end_user_email":"anna@acme.example","setup_status":"COMPLETED"}`
	for _, q := range []request{ask(connect), activate(connect), ask(connect)} {
		if a := f.do(q); a.status != 200 || string(a.Data) != want {
			t.Errorf("%s: %d %s", q.method, a.status, a.body)
		}
	}
	// All that is wrong looks the same.
	for name, q := range map[string]request{
		"another environment":                ask(connect),
		"another environment, the older one": activate(connect),
		"the link's own token":               ask(token),
		"unknown":                            ask("cwt_28KMdr68N8kG9EzLwjsN9aoz28KMdr68N8kG9EzLwjsN9aoz"),
		"odd":                                ask("%00%ff"),
	} {
		if strings.HasPrefix(name, "another") {
			q = other.as(q)
		}
		if a := f.do(q); a.status != 404 || a.body != before.body {
			t.Errorf("%s: %d %s, want %s", name, a.status, a.body, before.body)
		}
	}
	if a := f.do(request{method: "DELETE", path: "/v1/integrations/" + id}); a.status != 200 {
		t.Fatal(a.body)
	}
	if a := f.do(ask(connect)); a.status != 404 || a.body != before.body {
		t.Errorf("deleted: %d %s", a.status, a.body)
	}
	if strings.Contains(f.log.String(), connect) || strings.Contains(f.log.String(), token) {
		t.Error("a token is in the log")
	}
}

func TestEnableAndDelete(t *testing.T) {
	f := setup(t)
	path := "/v1/integrations/" + f.integration
	state := func() string {
		t.Helper()
		a := f.do(request{method: "GET", path: path})
		var data struct{ Status string }
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		return data.Status
	}
	for _, test := range []struct{ body, want string }{
		{`{"value":false}`, "INACTIVE"}, {`{"value":false}`, "INACTIVE"}, {`{"value":true}`, "ACTIVE"},
	} {
		if a := f.do(request{method: "PUT", path: path + "/enabled", body: test.body}); a.status != 200 || string(a.Data) != "{}" {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if got := state(); got != test.want {
			t.Errorf("after %s: %s", test.body, got)
		}
	}
	for body, words := range map[string]string{``: "The body is empty", `{}`: "value is missing", `{"value":"true"}`: "value must be a boolean, it is a string"} {
		f.do(request{method: "PUT", path: path + "/enabled", body: body, header: map[string]string{"Content-Type": "application/json"}}).want(t, 400, inputInvalid, words)
	}
	other := f.newTenant("other")
	requests := map[string]request{
		"enable": {method: "PUT", path: path + "/enabled", body: `{"value":true}`},
		"relink": {method: "POST", path: path + "/relink", body: `{}`},
		"set up": {method: "POST", path: path + "/setup-link", body: `{"link_type":"EMBEDDED"}`},
		"delete": {method: "DELETE", path: path},
	}
	for name, q := range requests {
		a := f.do(other.as(q))
		a.want(t, 404, "PLATFORM.INTEGRATION_NOT_FOUND")
		q.path = strings.Replace(q.path, f.integration, "sandbox:28KMdr68N8kG9EzLwjsN9aoz", 1)
		unknown := f.do(q)
		if strings.ReplaceAll(unknown.body, "sandbox:28KMdr68N8kG9EzLwjsN9aoz", f.integration) != a.body {
			t.Errorf("%s: another environment's is told from an unknown one: %s, %s", name, a.body, unknown.body)
		}
	}
	if got := state(); got != "ACTIVE" {
		t.Errorf("another environment made it %s", got)
	}
	task := f.submit(good)
	f.ended(task)
	if a := f.do(request{method: "DELETE", path: path, body: `{}`, header: map[string]string{"Content-Type": "application/json"}}); a.status != 200 || string(a.Data) != "{}" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for name, q := range requests {
		a := f.do(q)
		if a.status != http.StatusNotFound || a.Error.Code != "PLATFORM.INTEGRATION_NOT_FOUND" {
			t.Errorf("%s after it was deleted: %d %s", name, a.status, a.body)
		}
	}
	if a := f.ended(task); a.status != 200 {
		t.Errorf("its task: %s", a.body)
	}
}

// The Go client, from a link to the end of the integration.
func TestClientConnects(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	c := client.New(f.server.URL, f.key, "")
	c.HTTP = f.client
	address, err := c.CreateLink(ctx, client.Link{
		Email: "anna@acme.example", OrganizationName: "Acme GmbH", OriginID: "acme-1", Tool: "sandbox", Language: "de", Type: client.MagicLink,
	})
	if err != nil {
		t.Fatal(err)
	}
	token := address[strings.LastIndex(address, "/")+1:]
	hash, _ := auth.HashToken(token)
	link, err := f.store.Link(ctx, hash)
	if err != nil {
		t.Fatal(err)
	}
	connect := auth.ConnectToken(token, "form")
	made, _ := auth.HashToken(connect)
	in, err := f.store.UseLink(ctx, hash, store.LinkUse{Token: made, TokenFor: time.Hour, Integration: store.Integration{
		ID: "sandbox:28KMdr68N8kG9EzLwjsN9aoz", Tool: link.Tool, Settings: []byte(`{}`), EndUser: link.EndUser,
	}})
	if err != nil {
		t.Fatal(err)
	}
	origin, email := "acme-1", "anna@acme.example"
	want := client.Connected{
		ID: in.ID, Tool: "sandbox", OriginID: &origin, OrganizationName: "Acme GmbH", Email: &email, SetupStatus: "COMPLETED",
	}
	for name, ask := range map[string]func(context.Context, string) (client.Connected, error){
		"by token": c.IntegrationByToken, "activate": c.ActivateIntegration,
	} {
		got, err := ask(ctx, connect)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
		if _, err := ask(ctx, "cwt_wrong"); statusOf(err) != 404 {
			t.Errorf("%s, a wrong token: %v", name, err)
		}
	}
	c.IntegrationID = in.ID
	for name, link := range map[string]func(context.Context, client.Link) (string, error){"relink": c.Relink, "set up": c.SetupLink} {
		if address, err := link(ctx, client.Link{Language: "de"}); err != nil || !strings.HasPrefix(address, "https://skills.example.com/connect/cwl_") {
			t.Errorf("%s: %q, %v", name, address, err)
		}
	}
	if err := c.SetEnabled(ctx, false); err != nil {
		t.Error(err)
	}
	if got, err := c.Integration(ctx); err != nil || got.Status != "INACTIVE" {
		t.Errorf("%+v, %v", got, err)
	}
	if err := c.DeleteIntegration(ctx); err != nil {
		t.Error(err)
	}
	if err := c.DeleteIntegration(ctx); statusOf(err) != 404 {
		t.Errorf("once more: %v", err)
	}
	// All of it is in the audit log, and who did it.
	log, err := f.store.AuditLog(ctx, store.AuditFilter{EnvironmentID: in.EnvironmentID, Limit: 20})
	if err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, entry := range slices.Backward(log) {
		if !strings.HasPrefix(entry.UserID, store.ByKey) || !strings.HasPrefix(entry.UserName, "API key “") || entry.Failed != "" || entry.At.IsZero() {
			t.Errorf("entry %+v", entry)
		}
		acts = append(acts, entry.Action)
	}
	slices.Sort(acts)
	if diff := cmp.Diff([]string{"integration.delete", "integration.disable", "link.connect", "link.relink", "link.setup"}, acts); diff != "" {
		t.Errorf("acts (-want +got):\n%s", diff)
	}
}

func statusOf(err error) int {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.HTTPStatus
	}
	return 0
}
