package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type connectPage struct {
	Tools    []connector.Description
	Tool     *connector.Description
	Fields   []field
	Customer string
	Email    string
	OriginID string
	Policies policies
	Errors   map[string]string
	Error    string
	Trial    *trial
}

// toolOf finds the connector that a form names.
func (d *Dashboard) toolOf(r *http.Request) (connector.Connector, bool) {
	slug := r.FormValue("tool")
	if slug == "" {
		return nil, false
	}
	return d.Connectors.Find(slug)
}

func (d *Dashboard) newIntegration(w http.ResponseWriter, r *http.Request) error {
	page := connectPage{Tools: d.Connectors.All()}
	if c, ok := d.toolOf(r); ok {
		tool := c.Describe()
		page.Tool, page.Fields, page.Policies = &tool, fields(tool, nil, nil, nil), policiesOf(tool, store.Policy{})
	}
	return d.showConnect(w, r, http.StatusOK, page)
}

func (d *Dashboard) showConnect(w http.ResponseWriter, r *http.Request, status int, page connectPage) error {
	title := "Connect a tool"
	if page.Tool != nil {
		title = "Connect " + page.Tool.Label
	}
	v := d.view(r, title)
	v.Nav, v.Data = "integrations", page
	d.show(w, r, status, "connect", v)
	return nil
}

// part reports whether the script asks for the result alone.
func part(r *http.Request) bool { return r.Header.Get("Crosswalk-Part") != "" }

func (d *Dashboard) createIntegration(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	c, ok := d.toolOf(r)
	if !ok {
		return notFound()
	}
	tool := c.Describe()
	values := account.Values{}
	typed, wrong := readFields(r, tool, values)
	page := connectPage{
		Tool: &tool, Customer: strings.TrimSpace(r.PostFormValue("customer")), Email: clean(r.PostFormValue("email")),
		OriginID: clean(r.PostFormValue("origin_id")), Errors: map[string]string{},
	}
	testing := r.PostFormValue("act") == "test"
	if problem := nameProblem(page.Customer); problem != "" && !testing {
		page.Errors["customer"] = "Whose tool is it? " + problem
	}
	if page.Email != "" && !testing {
		var ok bool
		if page.Email, ok = store.ParseEmail(page.Email); !ok {
			page.Errors["email"] = "That is not an e-mail address such as anna@acme.example."
		}
	}
	page.Fields = fields(tool, nil, typed, wrong)
	policy, err := readPolicy(r, tool, store.Policy{})
	if told, ok := errors.AsType[*skill.Error](err); ok {
		page.Errors["policies"] = sentence(told.Message)
	} else if err != nil {
		return err
	}
	page.Policies = policiesOf(tool, policy)
	refuse := func() error {
		if part(r) {
			v := d.view(r, "")
			v.Data = &trial{Title: "Some fields are not right yet", Words: firstWrong(page.Fields, page.Error)}
			return d.showPart(w, r, "trial", v)
		}
		return d.showConnect(w, r, http.StatusUnprocessableEntity, page)
	}
	if len(wrong)+len(page.Errors) > 0 {
		return refuse()
	}
	seed, shown := d.formSeed(r)
	in := store.Integration{
		ID: skill.IntegrationIDOf(tool.Slug, shown, seed), EnvironmentID: env(r).ID, Tool: tool.Slug,
		EndUser: store.EndUser{OrganisationName: page.Customer, CreatorEmail: page.Email, OriginID: page.OriginID}, Policy: policy,
	}
	if page.Error, err = d.fill(c, &in, values); err != nil {
		return err
	}
	if page.Error != "" {
		return refuse()
	}
	if testing {
		return d.tryFor(w, r, in, func(t *trial) error {
			page.Trial = t
			return d.showConnect(w, r, http.StatusOK, page)
		})
	}
	done, err := once(func() (bool, error) { return d.integrationAgain(w, r, in.ID) }, func() error {
		return d.act(r, in.EnvironmentID, "integration.create", in.ID, tool.Label+" of "+page.Customer, func(ctx context.Context) error {
			_, err := d.Store.CreateIntegration(ctx, in)
			return err
		})
	})
	if done || err != nil {
		return err
	}
	d.notice(r, tool.Label+" of "+page.Customer+" is connected.")
	return redirect(w, r, base(r)+"/integrations/"+in.ID)
}

// firstWrong says what is wrong with a form: with its first field that is, or as a whole.
func firstWrong(list []field, whole string) string {
	for _, f := range list {
		if f.Error != "" {
			return f.Label + ": " + f.Error
		}
	}
	return whole
}

// showPart writes a part of a page.
func (d *Dashboard) showPart(w http.ResponseWriter, _ *http.Request, name string, v view) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return d.pages["connect"].ExecuteTemplate(w, name, v)
}

// fill puts settings into an integration as they are kept, or says why they cannot be used.
func (d *Dashboard) fill(c connector.Connector, in *store.Integration, values account.Values) (wrong string, err error) {
	encoded, err := json.Marshal(values)
	if err != nil {
		return "", err
	}
	if _, err := c.Open(connector.Account{ID: in.ID, Settings: encoded}); err != nil {
		return sentence(err.Error()), nil
	}
	if d.Keyring == nil && len(account.Secrets(c.Describe(), values)) > 0 {
		return "This server has no master key, so it cannot keep credentials. Give it one, as CROSSWALK_MASTER_KEY or --master-key-file, and start it again.", nil
	}
	in.Settings, in.Credentials, err = account.Keep(c.Describe(), d.Keyring, in.ID, values)
	return "", err
}
