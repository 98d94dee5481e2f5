package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// field is a setting as a form shows it.
type field struct {
	connector.Field
	Value string
	Kept  bool // a secret that is there, and stays unless another is typed
	Again bool // a secret that was typed, and has to be typed once more: pages do not hold secrets
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
		was, kept := values.Text(f.Name)
		switch text, isTyped := typed[f.Name]; {
		case f.Secret:
			one.Value, one.Kept, one.Again = "", kept, isTyped
		case isTyped:
			one.Value = text
		case kept:
			one.Value = was
		}
		all = append(all, one)
	}
	return all
}

// readFields takes the settings from a form into values, and says what is wrong with which. Of a secret, typed has only that
// there was one.
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
		switch {
		case !f.Secret:
			typed[f.Name] = text
		case text != "":
			typed[f.Name] = ""
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
		case account.IsDefault(f, text):
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
		Adopt: p.Adopt, RefuseInactive: p.RefuseInactive || !tool.Can(connector.CanDeactivate),
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

// policyWords say what a policy comes to with an account's settings.
func policyWords(tool connector.Description, settings []byte, p store.Policy) string {
	words := "inactive skills are retired in the tool"
	if account.Inactive(tool, settings, p) == account.Refuse {
		words = "inactive skills are refused"
	}
	if _, refusing := tool.Deactivates(settings); refusing.Name != "" && !p.RefuseInactive {
		words += ", as the setting “" + refusing.Label + "” says"
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
