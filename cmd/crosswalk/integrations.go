package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type integrationsCommand struct {
	Create  integrationsCreate  `cmd:"" help:"Link a customer's tool to an environment."`
	List    integrationsList    `cmd:"" help:"List the integrations."`
	Show    integrationsShow    `cmd:"" help:"Show one with its settings."`
	Update  integrationsUpdate  `cmd:"" help:"Change settings. Running servers use them from the next chunk on."`
	Check   integrationsCheck   `cmd:"" help:"Ask the tool whether it takes the credentials."`
	Enable  integrationsEnable  `cmd:"" help:"Switch one on again. Its waiting tasks go on."`
	Disable integrationsDisable `cmd:"" help:"Switch one off. Its tasks wait, their deadlines run on."`
	Doubt   integrationsDoubt   `cmd:"" help:"Forget what the tools hold: everything is written again with the next upload, nothing skipped."`
	Delete  integrationsDelete  `cmd:"" help:"Delete one for ever. Its waiting tasks fail; all its tasks can still be read."`
}

type integrationJSON struct {
	ID            string          `json:"id"`
	Tool          string          `json:"tool"`
	Name          string          `json:"name"`
	EnvironmentID string          `json:"environment_id"`
	Status        string          `json:"status"`
	Reason        string          `json:"reason,omitempty"`
	Settings      json.RawMessage `json:"settings"`
	Adopt         bool            `json:"adopt"`
	Inactive      string          `json:"inactive"`
	Away          *awayJSON       `json:"away,omitempty"`
	CreatedAt     *string         `json:"created_at"`
	DeletedAt     *string         `json:"deleted_at"`
}

func integrationOut(in store.Integration) integrationJSON {
	return integrationJSON{
		in.ID, in.Tool, in.EndUser.OrganisationName, in.EnvironmentID, state(in), in.InvalidReason, json.RawMessage(in.Settings),
		in.Policy.Adopt, account.Inactive(describe(in.Tool), in.Settings, in.Policy), nil, atJSON(in.CreatedAt), atJSON(in.DeletedAt),
	}
}

func state(in store.Integration) string {
	switch {
	case in.Deleted():
		return "DELETED"
	case !in.Enabled:
		return "INACTIVE"
	case in.InvalidReason != "":
		return "INVALID"
	default:
		return "ACTIVE"
	}
}

// settingFlags is embedded in commands that set settings.
type settingFlags struct {
	masterKey
	Set     []string `help:"A setting of the tool as NAME=VALUE; may be given several times. crosswalk tools lists them." placeholder:"NAME=VALUE" sep:"none"`
	SetFile []string `help:"A setting whose value is in a file, for secrets: other users of the machine can see flags. - reads standard input." placeholder:"NAME=FILE" sep:"none"`
}

// apply changes values, asks the connector whether they can be used, and returns what is to be kept.
func (f settingFlags) apply(
	ctx context.Context, a *app, s store.Store, keys *account.Keyring, id, tool string, values account.Values,
) (settings, credentials []byte, err error) {
	c, ok := server.Connectors(s.Sandbox()).Find(tool)
	if !ok {
		return nil, nil, misuse("there is no connector for %q; crosswalk tools lists those there are", tool)
	}
	set := func(flag, name, value string) error {
		parsed, err := c.Describe().ParseSetting(name, value)
		if err != nil {
			return misuse("%s %s: %w", flag, name, err)
		}
		values[name] = parsed
		return nil
	}
	for _, pair := range f.Set {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, nil, misuse("--set: write it as NAME=VALUE") // the text may be a secret
		}
		if err := set("--set", name, value); err != nil {
			return nil, nil, err
		}
	}
	for _, pair := range f.SetFile {
		name, file, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, nil, misuse("--set-file %q: write it as NAME=FILE", pair)
		}
		value, err := readValue(a.in, file)
		if err != nil {
			return nil, nil, misuse("--set-file %s: %w", name, err)
		}
		if err := set("--set-file", name, value); err != nil {
			return nil, nil, err
		}
	}
	encoded, err := json.Marshal(values)
	if err != nil {
		return nil, nil, err
	}
	if _, err := c.Open(connector.Account{ID: id, Settings: encoded}); err != nil {
		return nil, nil, &exitError{exitMisuse, err}
	}
	if keys == nil && len(account.Secrets(c.Describe(), values)) > 0 {
		if keys, err = f.source().Ring(ctx, s); err != nil {
			return nil, nil, err
		}
	}
	return account.Keep(c.Describe(), keys, id, values)
}

// mostValue is more than any setting takes.
const mostValue = 1 << 20

// readValue reads a setting from a file, without the line's end behind it.
func readValue(in io.Reader, name string) (string, error) {
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return "", err
		}
		defer file.Close()
		in = file
	}
	value, err := io.ReadAll(io.LimitReader(in, mostValue))
	return strings.TrimRight(string(value), "\r\n"), err
}

type integrationsCreate struct {
	database
	asJSON
	settingFlags
	policyFlags
	Tool        string `help:"The tool's id; crosswalk tools lists them." required:""`
	Name        string `help:"The customer, as people know it." required:""`
	Environment string `help:"Name or id of the environment." default:"default"`
	OriginID    string `help:"The customer's id in the system that sends the skills."`
	Email       string `help:"Who to turn to at the customer: an e-mail address."`
}

func (c *integrationsCreate) Help() string {
	return examplesOf(
		`crosswalk integrations create --tool sandbox --name "Acme GmbH"`,
		`crosswalk integrations create --tool sandbox --name "Slow Inc." --set latency=250ms --set rate_limit=60`,
		`crosswalk integrations create --tool sandbox --name "Acme GmbH" --inactive refuse`,
		`crosswalk integrations create --tool odoo --name "Acme GmbH" --adopt --set-file api_key=odoo.key --set address=https://acme.odoo.com --set database=acme`,
	)
}

func (c *integrationsCreate) Run(a *app) error {
	if strings.TrimSpace(c.Name) == "" {
		return misuse("--name is blank")
	}
	if c.Email != "" {
		var ok bool
		if c.Email, ok = store.ParseEmail(strings.TrimSpace(c.Email)); !ok {
			return misuse("--email %q is not an e-mail address such as anna@acme.example", c.Email)
		}
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := s.Environment(ctx, c.Environment)
		if err != nil {
			return err
		}
		c.own = c.where().MasterKeyFile()
		id := skill.NewIntegrationID(c.Tool, time.Now()) // what is sealed is bound to it
		settings, credentials, err := c.settingFlags.apply(ctx, a, s, nil, id, c.Tool, account.Values{})
		if err != nil {
			return err
		}
		policy, err := c.policyFlags.apply(c.Tool, store.Policy{})
		if err != nil {
			return err
		}
		in := store.Integration{
			ID: id, EnvironmentID: env.ID, Tool: c.Tool, Settings: settings, Credentials: credentials, Policy: policy,
			EndUser: store.EndUser{OrganisationName: c.Name, CreatorEmail: c.Email, OriginID: c.OriginID},
		}
		if err := recorded(ctx, s, env.ID, "integration.create", id, labelOf(in), func() (err error) {
			in, err = s.CreateIntegration(ctx, in)
			return err
		}); err != nil {
			return err
		}
		return c.print(a, integrationOut(in), func(w io.Writer) { fmt.Fprintln(w, in.ID) })
	})
}

type integrationsList struct {
	database
	asJSON
	Environment string `help:"Only those of this environment (name or id)."`
}

func (c *integrationsList) Help() string {
	return examplesOf("crosswalk integrations list", "crosswalk integrations list --environment staging --json")
}

func (c *integrationsList) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		envID, names, err := environmentFilter(ctx, s, c.Environment)
		if err != nil {
			return err
		}
		list, err := s.Integrations(ctx, envID)
		if err != nil {
			return err
		}
		away, err := awayOf(ctx, s, envID)
		if err != nil {
			return err
		}
		out := struct {
			Integrations []integrationJSON `json:"integrations"`
		}{each(list, func(in store.Integration) integrationJSON { return withAway(in, away) })}
		return c.print(a, out, func(w io.Writer) {
			if len(list) == 0 {
				fmt.Fprintln(w, "There are no integrations. Make one: crosswalk integrations create --tool sandbox --name NAME")
				return
			}
			table(w, []string{"ID", "CUSTOMER", "TOOL", "ENVIRONMENT", "STATE", "CREATED"}, each(list, func(in store.Integration) []string {
				return []string{in.ID, in.EndUser.OrganisationName, in.Tool, names[in.EnvironmentID], stateWith(in, away), at(in.CreatedAt)}
			}))
		})
	})
}

type integrationsShow struct {
	database
	asJSON
	ID string `arg:"" help:"The integration's id."`
}

func (c *integrationsShow) Help() string {
	return examplesOf("crosswalk integrations show sandbox:28KMdr68N8kG9EzLwjsN9aoz", "crosswalk integrations show sandbox:28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *integrationsShow) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		in, err := s.Integration(ctx, "", c.ID)
		if err != nil {
			return err
		}
		_, names, err := environmentFilter(ctx, s, "")
		if err != nil {
			return err
		}
		away, err := awayOf(ctx, s, in.EnvironmentID)
		if err != nil {
			return err
		}
		return c.print(a, withAway(in, away), func(w io.Writer) {
			rows := [][]string{
				{"customer", in.EndUser.OrganisationName},
				{"tool", in.Tool},
				{"environment", names[in.EnvironmentID]},
				{"state", strings.TrimSpace(state(in) + " " + in.InvalidReason)},
				{"created", at(in.CreatedAt)},
				{"adopt", map[bool]string{false: "no", true: "yes"}[in.Policy.Adopt]},
				{"inactive skills", account.Inactive(describe(in.Tool), in.Settings, in.Policy)},
			}
			if w, ok := away[in.ID]; ok {
				rows = append(rows, []string{"does not answer", awayText(w)})
			}
			var settings map[string]json.RawMessage
			_ = json.Unmarshal(in.Settings, &settings) // what cannot be read is shown as none
			for _, name := range slices.Sorted(maps.Keys(settings)) {
				rows = append(rows, []string{"setting " + name, string(settings[name])})
			}
			if len(in.Credentials) > 0 {
				rows = append(rows, []string{"credentials", "sealed under the master key " + auth.SealedUnder(in.Credentials)})
			}
			table(w, []string{"id", in.ID}, rows)
		})
	})
}

type integrationsUpdate struct {
	database
	asJSON
	settingFlags
	policyFlags
	ID    string   `arg:"" help:"The integration's id."`
	Unset []string `help:"A setting to put back to its default; may be given several times." placeholder:"NAME"`
}

func (c *integrationsUpdate) Help() string {
	return examplesOf(
		"crosswalk integrations update sandbox:28KMdr68N8kG9EzLwjsN9aoz --set outage=true",
		"crosswalk integrations update sandbox:28KMdr68N8kG9EzLwjsN9aoz --unset outage",
		"crosswalk integrations update sandbox:28KMdr68N8kG9EzLwjsN9aoz --inactive refuse",
		"crosswalk integrations update odoo:28KMdr68N8kG9EzLwjsN9aoz --no-adopt",
	)
}

func (c *integrationsUpdate) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		in, err := s.Integration(ctx, "", c.ID)
		if err != nil {
			return err
		}
		policy, err := c.policyFlags.apply(in.Tool, in.Policy)
		if err != nil {
			return err
		}
		if c.given() && len(c.Set)+len(c.SetFile)+len(c.Unset) == 0 { // a wait for the tool, and what it refused, stay
			if in, err = setPolicy(ctx, s, in, policy); err != nil {
				return err
			}
			return c.show(a, in)
		}
		c.own = c.where().MasterKeyFile()
		var keys *account.Keyring
		if len(in.Credentials) > 0 {
			if keys, err = c.source().Ring(ctx, s); err != nil {
				return err
			}
		}
		values, err := account.Open(keys, in)
		if err != nil {
			return &exitError{exitMisuse, err}
		}
		for _, name := range c.Unset {
			delete(values, name)
		}
		settings, credentials, err := c.settingFlags.apply(ctx, a, s, keys, in.ID, in.Tool, values)
		if err != nil {
			return err
		}
		if err := recorded(ctx, s, in.EnvironmentID, "integration.settings", in.ID, labelOf(in), func() (err error) {
			in, err = s.SetAccount(ctx, c.ID, settings, credentials)
			return err
		}); err != nil {
			return err
		}
		if c.given() {
			if in, err = setPolicy(ctx, s, in, policy); err != nil {
				return err
			}
		}
		return c.show(a, in)
	})
}

func setPolicy(ctx context.Context, s store.Store, in store.Integration, policy store.Policy) (out store.Integration, err error) {
	err = recorded(ctx, s, in.EnvironmentID, "integration.policy", in.ID, labelOf(in), func() (err error) {
		out, err = s.SetPolicy(ctx, in.ID, policy)
		return err
	})
	return out, err
}

func (c *integrationsUpdate) show(a *app, in store.Integration) error {
	return c.print(a, integrationOut(in), func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s  adopt %t, inactive skills: %s\n", in.ID, in.Settings, in.Policy.Adopt, account.Inactive(describe(in.Tool), in.Settings, in.Policy))
	})
}

type integrationsEnable struct {
	database
	asJSON
	ID string `arg:"" help:"The integration's id."`
}

func (c *integrationsEnable) Help() string {
	return examplesOf("crosswalk integrations enable sandbox:28KMdr68N8kG9EzLwjsN9aoz", "crosswalk integrations enable sandbox:28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *integrationsEnable) Run(a *app) error {
	return c.change(a, c.asJSON, "integration.enable", c.ID, enable)
}

type integrationsDisable struct {
	database
	asJSON
	ID string `arg:"" help:"The integration's id."`
}

func (c *integrationsDisable) Help() string {
	return examplesOf("crosswalk integrations disable sandbox:28KMdr68N8kG9EzLwjsN9aoz", "crosswalk integrations disable sandbox:28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *integrationsDisable) Run(a *app) error {
	return c.change(a, c.asJSON, "integration.disable", c.ID, disable)
}

type integrationsDelete struct {
	database
	asJSON
	ID  string `arg:"" help:"The integration's id."`
	Yes bool   `help:"Do not ask on a terminal."`
}

func (c *integrationsDelete) Help() string {
	return examplesOf("crosswalk integrations delete sandbox:28KMdr68N8kG9EzLwjsN9aoz", "crosswalk integrations delete sandbox:28KMdr68N8kG9EzLwjsN9aoz --yes --json")
}

func (c *integrationsDelete) Run(a *app) error {
	return c.change(a, c.asJSON, "integration.delete", c.ID, func(ctx context.Context, s store.Store, id string) (store.Integration, error) {
		if a.asking && !c.Yes {
			in, err := s.Integration(ctx, "", id)
			if err != nil {
				return in, err
			}
			if err := a.confirm("the customer's name", in.EndUser.OrganisationName, "delete", id); err != nil {
				return in, err
			}
		}
		return s.DeleteIntegration(ctx, id)
	})
}

type integrationsDoubt struct {
	database
	asJSON
	ID  string `arg:"" optional:"" help:"The integration's id."`
	All bool   `help:"All integrations, for example after a restore of the database."`
}

func (c *integrationsDoubt) Help() string {
	return "For a tool that was restored or changed behind Crosswalk's back, and for a database that was restored to an earlier " +
		"moment: what is known of the skills may not be true any more. Ids stay. Nothing is sent before the next upload.\n\n" +
		examplesOf("crosswalk integrations doubt sandbox:28KMdr68N8kG9EzLwjsN9aoz", "crosswalk integrations doubt --all --database postgres://crosswalk@db.example.com/crosswalk")
}

func (c *integrationsDoubt) Run(a *app) error {
	if c.All == (c.ID != "") {
		return misuse("give the id of an integration, or --all")
	}
	type doubted struct {
		ID     string `json:"id"`
		Skills int    `json:"skills"`
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		ids := []string{c.ID}
		if c.All {
			list, err := s.Integrations(ctx, "")
			if err != nil {
				return err
			}
			ids = each(list, func(in store.Integration) string { return in.ID })
		}
		out := struct {
			Integrations []doubted `json:"integrations"`
		}{[]doubted{}}
		for _, id := range ids {
			in, err := s.Integration(ctx, "", id)
			if err != nil {
				return err
			}
			n := 0
			if err := recorded(ctx, s, in.EnvironmentID, "integration.doubt", id, labelOf(in), func() (err error) {
				n, err = s.DoubtAll(ctx, id)
				return err
			}); err != nil {
				return err
			}
			out.Integrations = append(out.Integrations, doubted{id, n})
			if !c.JSON {
				fmt.Fprintf(a.out, "%s  %s will be written again\n", id, skills(n))
			}
		}
		return c.print(a, out, func(io.Writer) {})
	})
}

func enable(ctx context.Context, s store.Store, id string) (store.Integration, error) {
	return s.SetEnabled(ctx, id, true)
}

func disable(ctx context.Context, s store.Store, id string) (store.Integration, error) {
	return s.SetEnabled(ctx, id, false)
}

// change does something to an integration and shows its state.
func (d database) change(a *app, out asJSON, action, id string, f func(context.Context, store.Store, string) (store.Integration, error)) error {
	return d.with(a, func(ctx context.Context, s store.Store) error {
		in, err := s.Integration(ctx, "", id)
		if err != nil {
			return err
		}
		if err := recorded(ctx, s, in.EnvironmentID, action, in.ID, labelOf(in), func() (err error) {
			in, err = f(ctx, s, id)
			return err
		}); err != nil {
			return err
		}
		return out.print(a, integrationOut(in), func(w io.Writer) { fmt.Fprintf(w, "%s  %s\n", in.ID, state(in)) })
	})
}
