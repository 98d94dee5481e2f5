package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type integrationPage struct {
	integrationRow
	Tool    connector.Description
	Known   bool // there is a connector
	Fields  []field
	Tasks   []store.TaskHead
	Skills  *store.CatalogueCount
	Trial   *trial
	Error   string
	Form    string // the one with the error
	Typed   string
	Limits  connector.Limits
	NoKey   bool
	CanTest bool
	// Policies as they are, or were typed; Policy in words.
	Policies policies
	Policy   string
	Away     *store.Away // its tool does not answer
	Link     linkKind
	Sync     *store.SyncState // nil: its tool cannot be read back
}

func (d *Dashboard) integration(w http.ResponseWriter, r *http.Request) error {
	return d.showIntegration(w, r, http.StatusOK, integrationPage{}, nil, nil)
}

// showIntegration shows one. What was typed into its form is told, and what was wrong there.
func (d *Dashboard) showIntegration(w http.ResponseWriter, r *http.Request, status int, page integrationPage, typed, wrong map[string]string) error {
	ctx := r.Context()
	state, err := d.Store.IntegrationState(ctx, env(r).ID, r.PathValue("integration"))
	if err != nil {
		return err
	}
	sums, _, err := d.recent(ctx, env(r).ID)
	if err != nil {
		return err
	}
	page.integrationRow = d.integrationRow(state, sums[state.ID])
	page.Tool = connector.Description{Slug: state.Tool, Label: state.Tool}
	if c, ok := d.Connectors.Find(state.Tool); ok {
		page.Tool, page.Known = c.Describe(), true
		page.CanTest = page.Tool.Can(connector.CanCheck)
		page.Policy = policyWords(page.Tool, state.Settings, state.Policy)
		policy, err := readPolicy(r, page.Tool, state.Policy)
		if err != nil { // the form says so
			policy = state.Policy
		}
		page.Policies = policiesOf(page.Tool, policy)
		values, err := account.Open(d.Keyring, state.Integration)
		if _, elsewhere := errors.AsType[*account.NoKeyError](err); elsewhere {
			page.NoKey = true
			values = account.Values{}
		} else if err != nil {
			return err
		}
		page.Fields = fields(page.Tool, values, typed, wrong)
		page.Limits = page.Tool.Limits
		if acc, err := json.Marshal(values); err == nil && !page.NoKey {
			if session, err := c.Open(connector.Account{ID: state.ID, Settings: acc}); err == nil {
				page.Limits = session.Limits()
			}
		}
	}
	if page.Tasks, err = d.Store.ListTasks(ctx, store.TaskFilter{EnvironmentID: env(r).ID, IntegrationID: state.ID, Limit: 8}); err != nil {
		return err
	}
	away, err := d.Store.Away(ctx, env(r).ID)
	if err != nil {
		return err
	}
	for _, a := range away {
		if a.IntegrationID == state.ID {
			page.Away = &a
		}
	}
	if page.Tool.Can(connector.CanList) && !state.Deleted() {
		sync, err := d.Store.SyncState(ctx, env(r).ID, state.ID)
		if err != nil {
			return err
		}
		page.Sync = &sync
	}
	if counts, ok := d.catalogueCounts(env(r).ID); ok {
		count := counts[state.ID]
		page.Skills = &count
	}
	v := d.view(r, state.EndUser.OrganisationName)
	v.Nav, v.Data = "integrations", page
	d.show(w, r, status, "integration", v)
	return nil
}

// integrationOf finds the integration that an address names, unless it was deleted.
func (d *Dashboard) integrationOf(r *http.Request) (store.Integration, error) {
	in, err := d.Store.Integration(r.Context(), env(r).ID, r.PathValue("integration"))
	if err == nil && in.Deleted() {
		err = &problem{http.StatusConflict, "This integration was deleted", "Its tasks can still be read, but it cannot be changed any more."}
	}
	return in, err
}

// label names an integration in the audit log.
func (d *Dashboard) label(in store.Integration) string {
	return d.Connectors.Label(in.Tool) + " of " + in.EndUser.OrganisationName
}

func (d *Dashboard) changeSettings(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	c, ok := d.Connectors.Find(in.Tool)
	if !ok {
		return &problem{http.StatusConflict, "This server has no connector for the tool", "Its settings cannot be checked, so they cannot be changed here."}
	}
	values, err := d.openFor(in)
	if err != nil {
		return err
	}
	before := maps.Clone(values)
	typed, wrong := readFields(r, c.Describe(), values)
	if len(wrong) > 0 {
		return d.showIntegration(w, r, http.StatusUnprocessableEntity, integrationPage{Form: "settings", Error: "Some fields are not right yet. Nothing was changed."}, typed, wrong)
	}
	refused, err := d.fill(c, &in, values)
	if err != nil {
		return err
	}
	if refused != "" {
		return d.showIntegration(w, r, http.StatusUnprocessableEntity, integrationPage{Form: "settings", Error: refused}, typed, wrong)
	}
	changed := changedNames(before, values)
	tool := c.Describe()
	policy, err := readPolicy(r, tool, in.Policy)
	if told, ok := errors.AsType[*skill.Error](err); ok {
		return d.showIntegration(w, r, http.StatusUnprocessableEntity, integrationPage{Form: "settings", Error: sentence(told.Message)}, typed, wrong)
	} else if err != nil {
		return err
	}
	otherPolicy := policy != in.Policy
	if otherPolicy {
		if err := d.act(r, in.EnvironmentID, "integration.policy", in.ID, d.label(in)+": "+policyWords(tool, in.Settings, policy), func(ctx context.Context) error {
			_, err := d.Store.SetPolicy(ctx, in.ID, policy)
			return err
		}); err != nil {
			return err
		}
	}
	if len(changed) == 0 && in.InvalidReason == "" && otherPolicy { // a wait for the tool stays
		d.notice(r, "The policy is changed. It counts from the next call of the tool on.")
		return redirect(w, r, base(r)+"/integrations/"+in.ID)
	}
	if len(changed) == 0 && in.InvalidReason == "" {
		d.notice(r, "Nothing was different, so nothing was changed.")
		return redirect(w, r, base(r)+"/integrations/"+in.ID)
	}
	err = d.act(r, in.EnvironmentID, "integration.settings", in.ID, d.label(in)+": "+strings.Join(changed, ", "), func(ctx context.Context) error {
		_, err := d.Store.SetAccount(ctx, in.ID, in.Settings, in.Credentials)
		return err
	})
	if err != nil {
		return err
	}
	d.notice(r, "The settings are changed. They count from the next call of the tool on.")
	return redirect(w, r, base(r)+"/integrations/"+in.ID)
}

// changedNames names the settings that differ. Their values are nobody's business.
func changedNames(before, after account.Values) []string {
	var names []string
	for name, value := range after {
		if string(before[name]) != string(value) {
			names = append(names, name)
		}
	}
	for name := range before {
		if _, kept := after[name]; !kept {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// testIntegration asks the tool about what is typed into the settings, with the secrets that are kept where none is typed.
// Nothing is saved. A request without that form is about the settings as they are kept.
func (d *Dashboard) testIntegration(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	c, ok := d.Connectors.Find(in.Tool)
	if !ok || r.PostFormValue("act") != "test" {
		return d.tryFor(w, r, in, func(t *trial) error {
			return d.showIntegration(w, r, http.StatusOK, integrationPage{Trial: t}, nil, nil)
		})
	}
	values, err := d.openFor(in)
	if err != nil {
		return err
	}
	before := maps.Clone(values)
	typed, wrong := readFields(r, c.Describe(), values)
	refused := ""
	if len(wrong) == 0 {
		if refused, err = d.fill(c, &in, values); err != nil {
			return err
		}
	}
	switch {
	case len(wrong) == 0 && refused == "":
		try := func(context.Context) error {
			return d.tryFor(w, r, in, func(t *trial) error {
				return d.showIntegration(w, r, http.StatusOK, integrationPage{Trial: t}, typed, nil)
			})
		}
		if changed := changedNames(before, values); len(changed) > 0 {
			// It may lead the secrets that are kept to another address.
			return d.act(r, in.EnvironmentID, "integration.test", in.ID, d.label(in)+": "+strings.Join(changed, ", "), try)
		}
		return try(r.Context())
	case part(r):
		v := d.view(r, "")
		v.Data = &trial{Title: "Some fields are not right yet", Words: firstWrong(fields(c.Describe(), nil, typed, wrong), refused)}
		return d.showPart(w, r, "trial", v)
	case refused == "":
		refused = "Some fields are not right yet. The tool was not asked."
	}
	return d.showIntegration(w, r, http.StatusUnprocessableEntity, integrationPage{Form: "settings", Error: refused}, typed, wrong)
}

// openFor opens the settings of an integration that are to be changed.
func (d *Dashboard) openFor(in store.Integration) (account.Values, error) {
	values, err := account.Open(d.Keyring, in)
	if _, elsewhere := errors.AsType[*account.NoKeyError](err); elsewhere {
		return nil, &problem{http.StatusConflict, "This process has no master key", "The credentials cannot be opened here. Start the server with the key that they are sealed under."}
	}
	return values, err
}

// tryFor tries an integration's connection, and shows how that went: as a part of the page that asked, or on a whole one.
func (d *Dashboard) tryFor(w http.ResponseWriter, r *http.Request, in store.Integration, whole func(*trial) error) error {
	t, err := d.try(r.Context(), in)
	if err != nil {
		return err
	}
	if !part(r) {
		return whole(&t)
	}
	v := d.view(r, "")
	v.Data = &t
	return d.showPart(w, r, "trial", v)
}

func (d *Dashboard) switchIntegration(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	on := r.PostFormValue("value") == "true"
	action, said := "integration.disable", "It is switched off. Its tasks wait, and their time runs on."
	if on {
		action, said = "integration.enable", "It is switched on. What waits is written now."
	}
	err = d.act(r, in.EnvironmentID, action, in.ID, d.label(in), func(ctx context.Context) error {
		_, err := d.Store.SetEnabled(ctx, in.ID, on)
		return err
	})
	if err != nil {
		return err
	}
	d.notice(r, said)
	return redirect(w, r, base(r)+"/integrations/"+in.ID)
}

// syncIntegration has the tool read back now.
func (d *Dashboard) syncIntegration(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	if c, ok := d.Connectors.Find(in.Tool); !ok || !c.Describe().Can(connector.CanList) {
		return &problem{http.StatusConflict, "This tool cannot be read back", "Its connector cannot list skills."}
	}
	var queued store.SyncQueued
	err = d.act(r, in.EnvironmentID, "integration.sync", in.ID, d.label(in), func(ctx context.Context) (err error) {
		queued, err = d.Engine.RequestSync(ctx, store.SyncRequest{
			EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, ID: skill.NewID(d.Now()), Whole: true,
		})
		return err
	})
	if errors.Is(err, store.ErrDisabled) {
		return &problem{http.StatusConflict, "The integration is switched off", "Switch it on, then ask for a sync again."}
	}
	if err != nil {
		return err
	}
	said := "It is read back as soon as no task waits."
	if queued.Already {
		said = "It is being read back already."
	}
	d.notice(r, said)
	return redirect(w, r, base(r)+"/integrations/"+in.ID)
}

func (d *Dashboard) deleteIntegration(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	if typed := strings.TrimSpace(r.PostFormValue("name")); typed != strings.TrimSpace(in.EndUser.OrganisationName) {
		return d.showIntegration(w, r, http.StatusUnprocessableEntity, integrationPage{
			Form: "delete", Typed: typed, Error: fmt.Sprintf("That is not its name: type “%s”. Nothing was deleted.", in.EndUser.OrganisationName),
		}, nil, nil)
	}
	err = d.act(r, in.EnvironmentID, "integration.delete", in.ID, d.label(in), func(ctx context.Context) error {
		_, err := d.Store.DeleteIntegration(ctx, in.ID)
		return err
	})
	if err != nil {
		return err
	}
	d.notice(r, d.label(in)+" is deleted. Its tasks can still be read.")
	return redirect(w, r, base(r)+"/integrations")
}
