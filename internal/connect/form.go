package connect

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// field is a setting as the form shows it.
type field struct {
	connector.Field
	Value string
	Error string
	Said  string // the connector's own words about it
}

// On reports whether a switch is on.
func (f field) On() bool { return f.Value == "true" }

// ID is the input's.
func (f field) ID() string { return "set-" + f.Name }

// Described names what tells of the field, for those who do not see it.
func (f field) Described() string {
	ids := ""
	if f.Error != "" {
		ids = f.ID() + "-error "
	}
	return ids + f.ID() + "-help"
}

// Input is the type of the input element.
func (f field) Input() string {
	switch {
	case f.Secret:
		return "password"
	case f.Type == connector.Address:
		return "url"
	default:
		return "text"
	}
}

// Mode helps with the keyboard of a phone.
func (f field) Mode() string {
	switch f.Type {
	case connector.Number:
		return "decimal"
	case connector.Address:
		return "url"
	default:
		return "text"
	}
}

// First reports whether a field stands in the form's first part: those without which nothing works, and what has no
// default. The others have one, and stand under more settings.
func (f field) First() bool {
	return f.Required || f.Secret || f.Default == "" && f.Type != connector.Data && f.Type != connector.Switch
}

// asked are the fields that a link's form has.
func asked(purpose store.Purpose, d connector.Description) []connector.Field {
	if purpose != store.Setup {
		return d.Settings
	}
	return slices.DeleteFunc(slices.Clone(d.Settings), func(f connector.Field) bool { return !f.Adjustable() })
}

// form is the fields with what is kept, or was typed. Secrets are never in it.
func form(list []connector.Field, kept account.Values, typed map[string]string, wrong map[string]problem, text toolText) []field {
	all := make([]field, 0, len(list))
	for _, f := range list {
		one := field{Field: f, Value: f.Default, Error: wrong[f.Name].Text, Said: wrong[f.Name].Said}
		if t, ok := text.Fields[f.Name]; ok {
			one.Label, one.Help = t.Label, t.Help
		}
		was, isKept := kept.Text(f.Name)
		switch typed, isTyped := typed[f.Name]; {
		case f.Secret:
			one.Value = ""
		case isTyped:
			one.Value = typed
		case isKept:
			one.Value = was
		}
		all = append(all, one)
	}
	return all
}

// problem is what is wrong with a field, in the page's words and, if it came up with it, in the connector's.
type problem struct{ Text, Said string }

// read takes the fields from a form into values, and says what is wrong with which. What is empty or as the default is left
// out of the values.
func read(r *http.Request, d connector.Description, list []connector.Field, values account.Values, w words) (typed map[string]string, wrong map[string]problem) {
	typed, wrong = map[string]string{}, map[string]problem{}
	for _, f := range list {
		text := r.PostFormValue("set." + f.Name)
		if !f.Secret {
			text = strings.TrimSpace(text)
		}
		if f.Type == connector.Switch {
			text = strconv.FormatBool(text != "")
		}
		if !f.Secret {
			typed[f.Name] = text
		}
		delete(values, f.Name)
		if text == "" && f.Required {
			wrong[f.Name] = problem{Text: w.Needed}
		}
		if account.IsDefault(f, text) {
			continue
		}
		if what := check(f, text, w); what != "" {
			wrong[f.Name] = problem{Text: what}
			continue
		}
		value, err := d.ParseSetting(f.Name, text)
		if err != nil {
			wrong[f.Name] = problem{w.NotTaken, after(err.Error(), d.Slug+": ")}
			continue
		}
		values[f.Name] = value
	}
	return typed, wrong
}

// check says in the page's language what ParseSetting would say in English.
func check(f connector.Field, text string, w words) string {
	wrong := func(is bool, what string) string {
		if is {
			return what
		}
		return ""
	}
	if f.Secret && strings.ContainsAny(text, "\r\n") {
		return w.LineBreak
	}
	switch f.Type {
	case connector.Number:
		_, err := strconv.ParseFloat(text, 64)
		return wrong(err != nil || !json.Valid([]byte(text)), w.NoNumber)
	case connector.Duration:
		_, err := time.ParseDuration(text)
		return wrong(err != nil, w.NoDuration)
	case connector.Choice:
		return wrong(!slices.Contains(f.Choices, text), w.NoChoice)
	case connector.Data:
		return wrong(!json.Valid([]byte(text)), w.NoData)
	case connector.Address:
		u, err := url.Parse(text)
		return wrong(err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil ||
			u.RawQuery != "" || u.Fragment != "", w.NoAddress)
	default:
		return ""
	}
}

// after cuts a text behind its first words, if it has them.
func after(text, words string) string {
	if _, rest, ok := strings.Cut(text, words); ok {
		return rest
	}
	return text
}

// refused finds the field that an error of a connector's Open is about; an empty name is the form as a whole.
func refused(err error, d connector.Description) (name, said string) {
	said = after(err.Error(), "settings: ")
	for _, f := range d.Settings {
		if rest, ok := strings.CutPrefix(said, f.Name); ok && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, " ")) {
			return f.Name, strings.TrimSpace(strings.TrimPrefix(rest, ":"))
		}
	}
	return "", said
}
