package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	integrationsTogether = 50
	// testTime is how long a tool may take to say whether it accepts credentials.
	testTime = 20 * time.Second
	// lately is what error rates are taken over.
	lately = 24 * time.Hour
)

// recently is what became of an integration's items lately.
type recently struct {
	Counts      skill.Counts
	Tasks       int
	SucceededAt time.Time
}

// recent sums the activity up by integration.
func (d *Dashboard) recent(ctx context.Context, environmentID string) (map[string]recently, []store.ActivityHour, error) {
	hours, err := d.activity(ctx, environmentID)
	if err != nil {
		return nil, nil, err
	}
	sums := map[string]recently{}
	for _, h := range hours {
		sum := sums[h.IntegrationID]
		sum.Counts = sum.Counts.Plus(h.Counts)
		sum.Tasks += h.Tasks
		if h.SucceededAt.After(sum.SucceededAt) {
			sum.SucceededAt = h.SucceededAt
		}
		sums[h.IntegrationID] = sum
	}
	return sums, hours, nil
}

// seenActivity is the activity of an environment as of a moment ago.
type seenActivity struct {
	at    time.Time
	took  time.Duration
	hours []store.ActivityHour
}

// activityMost is how old it may be at most.
const activityMost = 30 * time.Second

// activity is asked for again after fifty times as long as the answer took: that of a busy day takes a tenth of a second.
func (d *Dashboard) activity(ctx context.Context, environmentID string) ([]store.ActivityHour, error) {
	d.counts.mu.Lock()
	seen, ok := d.counts.activity[environmentID]
	d.counts.mu.Unlock()
	if ok && time.Since(seen.at) < min(countTimes*seen.took, activityMost) {
		return seen.hours, nil
	}
	began := time.Now()
	hours, err := d.Store.Activity(ctx, environmentID, lately)
	if err != nil {
		return nil, err
	}
	d.counts.mu.Lock()
	defer d.counts.mu.Unlock()
	d.counts.activity[environmentID] = seenActivity{time.Now(), time.Since(began), hours}
	return hours, nil
}

type integrationRow struct {
	store.IntegrationState
	State  mark
	Lately recently
	Doing  string
}

func (d *Dashboard) integrationRow(s store.IntegrationState, lately recently) integrationRow {
	return integrationRow{s, integrationState(s.Integration), lately, d.doing(s)}
}

// doing says what an integration is doing now.
func (d *Dashboard) doing(s store.IntegrationState) string {
	switch {
	case s.Deleted():
		return ""
	case s.Pending == 0:
		return "Nothing waits"
	case !s.Enabled, s.InvalidReason != "":
		return plural(s.Waiting, "skill") + " " + waits(s.Waiting)
	case s.Hold > 0:
		return "Waits for the tool until " + clockTime(d.Now().Add(s.Hold), d.Now())
	case s.Leased:
		return "Writing, " + plural(s.Waiting, "skill") + " in line"
	default:
		return plural(s.Waiting, "skill") + " in line"
	}
}

func waits(n int) string {
	if n == 1 {
		return "waits"
	}
	return "wait"
}

func (d *Dashboard) integrations(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	after, _ := strconv.ParseInt(r.FormValue("after"), 10, 64) // the first page, if it is no number
	q := clean(r.FormValue("q"))
	states, err := d.Store.IntegrationStates(ctx, store.IntegrationFilter{EnvironmentID: env(r).ID, Text: q, After: after, Limit: integrationsTogether + 1})
	if err != nil {
		return err
	}
	sums, _, err := d.recent(ctx, env(r).ID)
	if err != nil {
		return err
	}
	page := struct {
		Rows  []integrationRow
		Q     string
		Next  int64
		First bool
	}{Q: q, First: after == 0}
	for i, s := range states {
		if i == integrationsTogether {
			page.Next = states[i-1].Ref
			break
		}
		page.Rows = append(page.Rows, d.integrationRow(s, sums[s.ID]))
	}
	v := d.view(r, "Integrations")
	v.Nav, v.Data = "integrations", page
	d.show(w, r, http.StatusOK, "integrations", v)
	return nil
}

// field is a setting as a form shows it.
type field struct {
	connector.Field
	Value string
	Kept  bool // a secret that is there, and stays unless another is typed
	Error string
}

// Input is the type of the input element.
func (f field) Input() string {
	switch {
	case f.Secret:
		return "password"
	case f.Type == connector.Number:
		return "number"
	case f.Type == connector.Address:
		return "url"
	default:
		return "text"
	}
}

// On reports whether a switch is on.
func (f field) On() bool { return f.Value == "true" }

// fields are the settings of a tool with the values that are kept, or typed.
func fields(d connector.Description, values account.Values, typed map[string]string, wrong map[string]string) []field {
	var all []field
	for _, f := range d.Settings {
		one := field{Field: f, Value: f.Default, Error: wrong[f.Name]}
		raw, kept := values[f.Name]
		switch text, isTyped := typed[f.Name]; {
		case f.Secret:
			one.Value, one.Kept = "", kept
		case isTyped:
			one.Value = text
		case kept:
			one.Value = plainValue(raw)
		}
		all = append(all, one)
	}
	return all
}

// plainValue is a value as people type it.
func plainValue(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// readFields takes the settings from a form into values, and says what is wrong with which.
func readFields(r *http.Request, d connector.Description, values account.Values) (typed, wrong map[string]string) {
	typed, wrong = map[string]string{}, map[string]string{}
	for _, f := range d.Settings {
		text := r.PostFormValue("set." + f.Name)
		if f.Type != connector.Data && f.Type != connector.Text {
			text = strings.TrimSpace(text)
		}
		if f.Type == connector.Switch {
			text = strconv.FormatBool(text != "")
		}
		if !f.Secret {
			typed[f.Name] = text
		}
		switch {
		case text == "" && f.Secret: // what is kept stays
			if _, kept := values[f.Name]; !kept && f.Required {
				wrong[f.Name] = "It is needed."
			}
			continue
		case text == "" && f.Required:
			wrong[f.Name] = "It is needed."
			continue
		case text == "" || text == f.Default || f.Type == connector.Switch && text == "false" && f.Default == "":
			delete(values, f.Name) // it has its default
			continue
		}
		value, err := d.ParseSetting(f.Name, text)
		if err != nil {
			what := err.Error()
			if _, rest, ok := strings.Cut(what, d.Slug+": "); ok {
				what = rest
			}
			wrong[f.Name] = sentence(what)
			continue
		}
		values[f.Name] = value
	}
	return typed, wrong
}

// sentence makes one of an error's words.
func sentence(words string) string {
	if words == "" {
		return ""
	}
	first := strings.ToUpper(words[:1]) + words[1:]
	if strings.HasSuffix(first, ".") || strings.HasSuffix(first, "?") {
		return first
	}
	return first + "."
}

// policies are what a form asks of an integration besides its tool's settings.
type policies struct {
	Adopt, RefuseInactive   bool
	CanAdopt, CanDeactivate bool
}

func policiesOf(tool connector.Description, p store.Policy) policies {
	return policies{
		Adopt: p.Adopt, RefuseInactive: account.Inactive(tool, p) == account.Refuse,
		CanAdopt: tool.Can(connector.CanAdopt), CanDeactivate: tool.Can(connector.CanDeactivate),
	}
}

// readPolicy takes the policy from a form that asks for it.
func readPolicy(r *http.Request, tool connector.Description, p store.Policy) (store.Policy, error) {
	if r.PostFormValue("policies") == "" {
		return p, nil
	}
	adopt := r.PostFormValue("adopt") != ""
	return account.Policy(tool, p, &adopt, r.PostFormValue("inactive"))
}

// policyWords say what a policy is.
func policyWords(p policies) string {
	words := "inactive skills are retired in the tool"
	if p.RefuseInactive {
		words = "inactive skills are refused"
	}
	if p.Adopt {
		return words + ", skills of the same name are taken over"
	}
	return words
}

// trial is how a test of credentials ended.
type trial struct {
	Good, Unsupported bool
	Title, Words      string // of a failure: ours, and the tool's own
}

// try asks the tool whether it accepts an integration's settings.
func (d *Dashboard) try(ctx context.Context, in store.Integration) (trial, error) {
	c, ok := d.Connectors.Find(in.Tool)
	if !ok {
		return trial{Title: "This server has no connector for the tool"}, nil
	}
	acc, err := d.Account(in)
	if err != nil {
		if _, ok := errors.AsType[*account.NoKeyError](err); ok {
			return trial{Title: "This process has no master key, so it cannot open the credentials"}, nil
		}
		return trial{}, err
	}
	session, err := c.Open(acc)
	if err != nil {
		return trial{Title: "The settings do not fit together", Words: err.Error()}, nil
	}
	checker, ok := session.(connector.Checker)
	if !ok {
		return trial{Unsupported: true}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	if e := connector.AsError(checker.Check(ctx)); e != nil {
		return trial{Title: trialTitle(e.Kind, c.Describe().Label), Words: e.Message}, nil
	}
	return trial{Good: true}, nil
}

func trialTitle(kind connector.Kind, tool string) string {
	switch kind {
	case connector.Credentials:
		return tool + " does not accept the credentials"
	case connector.Permission:
		return tool + " accepts the credentials, but this user may not write skills"
	case connector.Throttled:
		return tool + " asks to be left alone for a while"
	case connector.Away, connector.Ambiguous:
		return tool + " could not be reached"
	default:
		return tool + " answered something unexpected"
	}
}

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
			v.Data = &trial{Title: "Some fields are not right yet", Words: firstWrong(page)}
			return d.showPart(w, r, "trial", v)
		}
		return d.showConnect(w, r, http.StatusUnprocessableEntity, page)
	}
	if len(wrong)+len(page.Errors) > 0 {
		return refuse()
	}
	in := store.Integration{
		ID: skill.NewIntegrationID(tool.Slug, d.Now()), EnvironmentID: env(r).ID, Tool: tool.Slug,
		EndUser: store.EndUser{OrganisationName: page.Customer, CreatorEmail: page.Email, OriginID: page.OriginID}, Policy: policy,
	}
	if page.Error, err = d.fill(c, &in, values); err != nil {
		return err
	}
	if page.Error != "" {
		return refuse()
	}
	if testing {
		t, err := d.try(r.Context(), in)
		if err != nil {
			return err
		}
		if part(r) {
			v := d.view(r, "")
			v.Data = &t
			return d.showPart(w, r, "trial", v)
		}
		page.Trial = &t
		return d.showConnect(w, r, http.StatusOK, page)
	}
	err = d.act(r, in.EnvironmentID, "integration.create", in.ID, tool.Label+" of "+page.Customer, func(ctx context.Context) error {
		_, err := d.Store.CreateIntegration(ctx, in)
		return err
	})
	if err != nil {
		return err
	}
	d.notice(r, tool.Label+" of "+page.Customer+" is connected.")
	return redirect(w, r, base(r)+"/integrations/"+in.ID)
}

func firstWrong(p connectPage) string {
	for _, f := range p.Fields {
		if f.Error != "" {
			return f.Label + ": " + f.Error
		}
	}
	return p.Error
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
		page.Policy = policyWords(policiesOf(page.Tool, state.Policy))
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
	values, err := account.Open(d.Keyring, in)
	if _, elsewhere := errors.AsType[*account.NoKeyError](err); elsewhere {
		return &problem{http.StatusConflict, "This process has no master key", "The credentials cannot be opened here. Start the server with the key that they are sealed under."}
	}
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
		if err := d.act(r, in.EnvironmentID, "integration.policy", in.ID, d.label(in)+": "+policyWords(policiesOf(tool, policy)), func(ctx context.Context) error {
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

func (d *Dashboard) testIntegration(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	t, err := d.try(r.Context(), in)
	if err != nil {
		return err
	}
	if part(r) {
		v := d.view(r, "")
		v.Data = &t
		return d.showPart(w, r, "trial", v)
	}
	return d.showIntegration(w, r, http.StatusOK, integrationPage{Trial: &t}, nil, nil)
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
