package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	mostName = 1000

	createLinkExample = `{"end_user_email":"anna@acme.example","end_user_organization_name":"Acme GmbH"}`
)

// email is an address as the contract writes them: the part behind the @ in small letters.
func (o *object) email(name string) string {
	text := o.text(name, store.MostEmail, true)
	if text == "" {
		return ""
	}
	text, ok := store.ParseEmail(text)
	if !ok {
		o.problem("%s is not an e-mail address: %s", name, quote(text))
	}
	return text
}

// createLink is POST /v1/connect/create-link.
func (a *API) createLink(w http.ResponseWriter, r *http.Request) error {
	who, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r, false, createLinkExample)
	if err != nil {
		return err
	}
	link := store.Link{
		EnvironmentID: who.EnvironmentID, Purpose: store.Connect,
		EndUser: store.EndUser{
			CreatorEmail: o.email("end_user_email"), OrganisationName: o.text("end_user_organization_name", mostName, true),
			OriginID: o.text("end_user_origin_id", mostName, false),
		},
		Category: o.choice("integration_category", false, "HRIS", "ATS", "ASSESSMENT", "LMS"),
		Language: o.choice("language", false, store.LinkLanguages()...),
	}
	kind := o.choice("link_type", false, store.Embedded, store.MagicLink)
	// What follows is for features that this server does not have: it is checked, and changes nothing.
	o.text("scope_config_id", mostName, false)
	o.text("remote_environment", mostName, false)
	o.truth("enable_filtering", false)
	o.truth("enable_field_mapping", false)
	link.Tool = o.text("integration_tool", mostName, false)
	a.checkTool(o, &link)
	if err := o.err(); err != nil {
		return err
	}
	return a.answerLink(w, r, who, link, kind)
}

// checkTool sees to it that there is something to connect. A tool that is named without a category brings its own.
func (a *API) checkTool(o *object, link *store.Link) {
	if link.Tool != "" {
		c, ok := a.Connectors.Find(link.Tool)
		if !ok {
			o.problem("integration_tool: this server has no connector for %s; it has %s", quote(link.Tool), strings.Join(a.slugs(""), ", "))
			return
		}
		category := string(c.Describe().Category)
		if o.has("integration_category") && category != link.Category {
			o.problem("integration_tool: %s is of the category %s, and integration_category is %s", link.Tool, category, link.Category)
		}
		link.Category = category
		return
	}
	if len(o.problems) == 0 && len(a.slugs(link.Category)) == 0 {
		o.problem("integration_category: this server has no connector for a tool of the category %s", link.Category)
	}
}

// slugs are the tools of a category, or all.
func (a *API) slugs(category string) (slugs []string) {
	for _, d := range a.Connectors.All() {
		if category == "" || string(d.Category) == category {
			slugs = append(slugs, d.Slug)
		}
	}
	return slugs
}

// answerLink keeps a link, and tells where it leads.
func (a *API) answerLink(w http.ResponseWriter, r *http.Request, who auth.Principal, link store.Link, kind string) error {
	good := store.LinkTime(kind)
	token := auth.NewLinkToken()
	hash, _ := auth.HashToken(token)
	if err := a.act(r, who, link.Purpose.Action(), link.IntegrationID, link.Made(good), func(ctx context.Context) error {
		_, err := a.Store.CreateLink(ctx, link, hash, good)
		return err
	}); err != nil {
		return err
	}
	return success(w, map[string]string{"link": a.PublicURL + "/connect/" + token})
}

// own finds the integration of a request's path, and of its key.
func (a *API) own(r *http.Request) (in store.Integration, who auth.Principal, err error) {
	who, err = a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return in, who, err
	}
	id := r.PathValue("integration_id")
	in, err = a.Store.Integration(r.Context(), who.EnvironmentID, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted() {
		return in, who, noIntegration(id)
	}
	return in, who, err
}

// relink is POST /v1/integrations/{integration_id}/relink.
func (a *API) relink(w http.ResponseWriter, r *http.Request) error {
	in, who, err := a.own(r)
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r, true, `{"language":"en"}`)
	if err != nil {
		return err
	}
	link := store.Link{Purpose: store.Relink, Language: o.choice("language", false, store.LinkLanguages()...)}
	kind := o.choice("link_type", false, store.Embedded, store.MagicLink)
	o.text("scope_config_id", mostName, false)
	if err := o.err(); err != nil {
		return err
	}
	if _, err := a.describe(in); err != nil {
		return err
	}
	return a.linkTo(w, r, who, in, link, kind)
}

// setupLink is POST /v1/integrations/{integration_id}/setup-link.
func (a *API) setupLink(w http.ResponseWriter, r *http.Request) error {
	in, who, err := a.own(r)
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r, false, `{"link_type":"EMBEDDED"}`)
	if err != nil {
		return err
	}
	link := store.Link{Purpose: store.Setup, Language: o.choice("language", false, store.LinkLanguages()...)}
	kind := o.choice("link_type", true, store.Embedded, store.MagicLink)
	if err := o.err(); err != nil {
		return err
	}
	tool, err := a.describe(in)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(tool.Settings, connector.Field.Adjustable) {
		return invalid("%s has no settings that could be changed without its credentials. Use relink for new credentials.", tool.Label)
	}
	return a.linkTo(w, r, who, in, link, kind)
}

// describe tells of an integration's tool, if this server has a connector for it.
func (a *API) describe(in store.Integration) (connector.Description, error) {
	c, ok := a.Connectors.Find(in.Tool)
	if !ok {
		return connector.Description{}, invalid("This server has no connector for %s, the tool of this integration.", quote(in.Tool))
	}
	return c.Describe(), nil
}

// linkTo makes a link for an integration that is there.
func (a *API) linkTo(w http.ResponseWriter, r *http.Request, who auth.Principal, in store.Integration, link store.Link, kind string) error {
	link.EnvironmentID, link.IntegrationID, link.Tool, link.EndUser = in.EnvironmentID, in.ID, in.Tool, in.EndUser
	return a.answerLink(w, r, who, link, kind)
}

// connected is what the endpoints with a connect token tell.
type connected struct {
	Tool             string  `json:"tool"`
	ID               string  `json:"id"`
	OriginID         *string `json:"end_user_origin_id"`
	OrganizationName string  `json:"end_user_organization_name"`
	Email            *string `json:"end_user_email"`
	SetupStatus      string  `json:"setup_status"`
}

// integrationByToken is GET /v1/connect/integration-by-token/{token}.
func (a *API) integrationByToken(w http.ResponseWriter, r *http.Request) error {
	who, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	return a.answerConnected(w, r, who, r.PathValue("token"))
}

// activateIntegration is POST /v1/connect/activate-integration. An integration is active as soon as it is connected, so it
// changes nothing: in the contract it is the older form of integration-by-token.
func (a *API) activateIntegration(w http.ResponseWriter, r *http.Request) error {
	who, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r, false, `{"token":"cwt_…"}`)
	if err != nil {
		return err
	}
	token := o.text("token", mostName, true)
	if err := o.err(); err != nil {
		return err
	}
	return a.answerConnected(w, r, who, token)
}

func (a *API) answerConnected(w http.ResponseWriter, r *http.Request, who auth.Principal, token string) error {
	hash, ok := auth.HashToken(token)
	var in store.Integration
	err := store.ErrNotFound
	if ok {
		in, err = a.Store.IntegrationByToken(r.Context(), who.EnvironmentID, hash)
	}
	if errors.Is(err, store.ErrNotFound) {
		return skill.Errorf(skill.NotFound, skill.CodeInputInvalid,
			"There is no integration for this token. A token is good for a day, and for the environment whose link was used.")
	}
	if err != nil {
		return err
	}
	return success(w, connected{
		Tool: in.Tool, ID: in.ID, OriginID: nullable(in.EndUser.OriginID), OrganizationName: in.EndUser.OrganisationName,
		Email: nullable(in.EndUser.CreatorEmail), SetupStatus: "COMPLETED",
	})
}

// setEnabled is PUT /v1/integrations/{integration_id}/enabled.
func (a *API) setEnabled(w http.ResponseWriter, r *http.Request) error {
	in, who, err := a.own(r)
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r, false, `{"value":false}`)
	if err != nil {
		return err
	}
	on := o.truth("value", true)
	if err := o.err(); err != nil {
		return err
	}
	action := "integration.disable"
	if on {
		action = "integration.enable"
	}
	if err := a.act(r, who, action, in.ID, a.label(in), func(ctx context.Context) error {
		_, err := a.Store.SetEnabled(ctx, in.ID, on)
		return err
	}); err != nil {
		return gone(err, in.ID)
	}
	return success(w, struct{}{})
}

// deleteIntegration is DELETE /v1/integrations/{integration_id}. The contract gives it an empty object as its body; nobody
// needs to send it.
func (a *API) deleteIntegration(w http.ResponseWriter, r *http.Request) error {
	in, who, err := a.own(r)
	if err != nil {
		return err
	}
	if err := a.act(r, who, "integration.delete", in.ID, a.label(in), func(ctx context.Context) error {
		_, err := a.Store.DeleteIntegration(ctx, in.ID)
		return err
	}); err != nil {
		return gone(err, in.ID)
	}
	return success(w, struct{}{})
}

// gone is the error for an integration that was deleted meanwhile.
func gone(err error, id string) error {
	if errors.Is(err, store.ErrNotFound) {
		return noIntegration(id)
	}
	return err
}
