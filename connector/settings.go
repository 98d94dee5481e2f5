package connector

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FieldType is how the value of a field is written.
type FieldType string

// The types of fields. In JSON an Address, a Choice and a Duration ("1m30s") are strings, and Data is any value.
const (
	Text FieldType = "text"
	// Address is where a tool is reached: an absolute http or https URL without user, query and fragment.
	Address FieldType = "address"
	// Choice is one of Field.Choices.
	Choice   FieldType = "choice"
	Number   FieldType = "number"
	Switch   FieldType = "switch"
	Duration FieldType = "duration"
	Data     FieldType = "data"
)

// Field is one setting.
type Field struct {
	Name string
	Type FieldType
	// Choices are the values of a Choice.
	Choices []string
	Label   string
	Help    string
	Default string
	Example string
	// Secret values are sealed at rest and never shown again.
	Secret   bool
	Required bool
	// Shapes: with another value a skill is written otherwise, or elsewhere. After a change every skill is written again,
	// none is skipped as unchanged. Not for Secret ones.
	Shapes bool
	// RefusesInactive is the one of a Choice's values with which inactive skills are refused, whatever the connector can do: as
	// Unsupported, or as Refused where the tool calls for that.
	RefusesInactive string
}

// Adjustable reports whether a field may be changed by somebody who does not know the account's credentials: it has a
// default, and says neither where the tool is, nor who signs in, nor which skills are meant.
func (f Field) Adjustable() bool {
	return f.Default != "" && !f.Secret && !f.Required && !f.Shapes && f.Type != Address
}

// Deactivates reports whether an inactive skill is retired in the tool under an account's settings. If not, it is refused: because
// of a setting, which is returned as refusing and has a name then, or since there is no way to.
func (d Description) Deactivates(settings json.RawMessage) (yes bool, refusing Field) {
	if !d.Can(CanDeactivate) {
		return false, Field{}
	}
	given := map[string]json.RawMessage{}
	_ = json.Unmarshal(settings, &given) // what is no object gives nothing: then defaults hold
	for _, f := range d.Settings {
		if f.RefusesInactive == "" {
			continue
		}
		value := f.Default
		if raw, ok := given[f.Name]; ok && string(raw) != "null" {
			_ = json.Unmarshal(raw, &value) // one that is no text is refused by Open
		}
		if value == f.RefusesInactive {
			return false, f
		}
	}
	return true, Field{}
}

// Rendering identifies how skills are written under an account's settings: by which connector, and with which values of
// the fields that shape them. Two accounts with one rendering write a skill the same way.
func (d Description) Rendering(settings json.RawMessage) (string, error) {
	given := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(settings)) > 0 {
		if err := json.Unmarshal(settings, &given); err != nil {
			return "", fmt.Errorf("%s settings: they are no JSON object", d.Slug)
		}
	}
	shape := map[string]any{}
	for _, f := range d.Settings {
		if !f.Shapes || f.Secret {
			continue
		}
		value, ok := given[f.Name]
		if (!ok || string(value) == "null") && f.Default != "" {
			var err error
			if value, err = d.ParseSetting(f.Name, f.Default); err != nil {
				return "", err
			}
		}
		var is any // written anew: spaces and the order of names say nothing
		if len(value) > 0 {
			if err := json.Unmarshal(value, &is); err != nil {
				return "", fmt.Errorf("%s settings: %s is no JSON value", d.Slug, f.Name)
			}
		}
		shape[f.Name] = is
	}
	if len(shape) == 0 {
		return d.Slug, nil
	}
	encoded, err := json.Marshal(shape)
	return d.Slug + string(encoded), err
}

// ParseSetting reads one setting as people write it on a command line or in a form, into its JSON value.
func (d Description) ParseSetting(name, text string) (json.RawMessage, error) {
	f, err := d.field(name)
	if err != nil {
		return nil, err
	}
	var value json.RawMessage
	switch f.Type {
	case Number, Switch, Data:
		value = json.RawMessage(text)
		if !json.Valid(value) {
			return nil, fmt.Errorf("setting %s of %s: %s is not a %s", name, d.Slug, f.shown(strconv.Quote(text)), f.Type)
		}
	default:
		if value, err = json.Marshal(text); err != nil {
			return nil, err
		}
	}
	if err := f.check(value); err != nil {
		return nil, fmt.Errorf("setting %s of %s: %w", name, d.Slug, err)
	}
	return value, nil
}

// DecodeSettings reads an account's settings into a struct with json tags. It is strict: the names are those that the
// description declares, in its own spelling, the values fit their types, and required ones are there. Absent ones and null
// have their defaults. Errors name the setting, and never show the value of a secret one.
func (d Description) DecodeSettings(settings json.RawMessage, into any) error {
	given := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(settings)) > 0 {
		if err := json.Unmarshal(settings, &given); err != nil {
			return fmt.Errorf("%s settings: they are no JSON object", d.Slug) // the error might show a part of them
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		f, err := d.field(name)
		if err != nil {
			return fmt.Errorf("%s settings: %w", d.Slug, err)
		}
		if string(given[name]) == "null" {
			delete(given, name)
			continue
		}
		if err := f.check(given[name]); err != nil {
			return fmt.Errorf("%s settings: %s: %w", d.Slug, name, err)
		}
	}
	for _, f := range d.Settings {
		if _, ok := given[f.Name]; ok {
			continue
		}
		switch {
		case f.Required:
			return fmt.Errorf("%s settings: %s is required", d.Slug, f.Name)
		case f.Default != "":
			value, err := d.ParseSetting(f.Name, f.Default)
			if err != nil {
				return err
			}
			given[f.Name] = value
		}
	}
	all, err := json.Marshal(given)
	if err != nil {
		return err
	}
	decode := json.NewDecoder(bytes.NewReader(all))
	decode.DisallowUnknownFields()
	if err := decode.Decode(into); err != nil {
		return fmt.Errorf("%s settings: %w", d.Slug, err)
	}
	return nil
}

func (d Description) field(name string) (Field, error) {
	names := make([]string, len(d.Settings))
	for i, f := range d.Settings {
		if f.Name == name {
			return f, nil
		}
		names[i] = f.Name
	}
	return Field{}, fmt.Errorf("%s has no setting %q; it has %s", d.Slug, name, strings.Join(names, ", "))
}

// check reports what is wrong with a JSON value.
func (f Field) check(value json.RawMessage) error {
	var is any
	if err := json.Unmarshal(value, &is); err != nil {
		return errors.New("no JSON value")
	}
	text, isText := is.(string)
	switch f.Type {
	case Data:
		return nil
	case Number:
		if _, ok := is.(float64); !ok {
			return fmt.Errorf("%s is no number", f.shown(string(value)))
		}
		return nil
	case Switch:
		if _, ok := is.(bool); !ok {
			return fmt.Errorf("%s is neither true nor false", f.shown(string(value)))
		}
		return nil
	default:
	}
	switch {
	case !isText:
		return fmt.Errorf("%s is no text", f.shown(string(value)))
	case f.Required && strings.TrimSpace(text) == "":
		return errors.New("it is required, and empty")
	case f.Secret && strings.ContainsAny(text, "\r\n"):
		return errors.New("it holds a line break")
	}
	switch f.Type {
	case Duration:
		if _, err := time.ParseDuration(text); err != nil {
			return fmt.Errorf("%q is not a duration such as %q", text, "1m30s")
		}
	case Choice:
		if !slices.Contains(f.Choices, text) {
			return fmt.Errorf("%q is not one of %s", text, strings.Join(f.Choices, ", "))
		}
	case Address:
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return fmt.Errorf("it is not an address such as %q", cmp.Or(f.Example, "https://api.example.com/v1")) // it may hold a password
		}
	default:
	}
	return nil
}

// shown is a value as an error may show it.
func (f Field) shown(text string) string {
	if f.Secret {
		return "the value"
	}
	return text
}
