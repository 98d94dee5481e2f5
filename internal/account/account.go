// Package account turns what people set for an integration into what is kept, and what is kept into what a connector gets:
// the secret settings are sealed on the way in, opened on the way out, and shown to nobody.
package account

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Values are settings by name, as JSON.
type Values map[string]json.RawMessage

// Text is a value as people type it.
func (v Values) Text(name string) (text string, kept bool) {
	raw, kept := v[name]
	if json.Unmarshal(raw, &text) != nil {
		text = string(raw)
	}
	return text, kept
}

// IsDefault reports whether what was typed for a field is what it has anyway, so that it need not be kept.
func IsDefault(f connector.Field, typed string) bool {
	return typed == "" || typed == f.Default || f.Type == connector.Switch && typed == "false" && f.Default == ""
}

// Keyring opens and seals. A nil one has no key.
type Keyring = auth.Keyring

// Keep divides values into the settings that are kept as they are and the secret ones, sealed for this integration. Without
// secrets no key is needed.
func Keep(d connector.Description, keys *Keyring, integrationID string, values Values) (settings, credentials []byte, err error) {
	plain, secret := Values{}, Values{}
	for name, value := range values {
		if isSecret(d, name) {
			secret[name] = value
		} else {
			plain[name] = value
		}
	}
	if settings, err = json.Marshal(plain); err != nil {
		return nil, nil, fmt.Errorf("keep settings: %w", err)
	}
	if len(secret) == 0 {
		return settings, nil, nil
	}
	if keys == nil {
		return nil, nil, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"credentials cannot be stored without a master key: give it as %s or %s; crosswalk master-key new makes one",
			auth.MasterKeyVariable, auth.MasterKeyFileVariable)
	}
	encoded, err := json.Marshal(secret)
	if err != nil {
		return nil, nil, fmt.Errorf("keep credentials: %w", err)
	}
	return settings, keys.Seal(integrationID, encoded), nil
}

// NoKeyError says that this process has not the key that an integration's credentials are sealed under. Another may.
type NoKeyError struct {
	IntegrationID string
	Err           error // nil: it has none at all
}

// Error implements error.
func (e *NoKeyError) Error() string {
	if e.Err == nil {
		return "the credentials of " + e.IntegrationID + " are sealed, and this process has no master key"
	}
	return fmt.Sprintf("the credentials of %s cannot be opened: %v", e.IntegrationID, e.Err)
}

// Unwrap gives the cause.
func (e *NoKeyError) Unwrap() error { return e.Err }

// Open is all values of an integration, the secret ones included.
func Open(keys *Keyring, in store.Integration) (Values, error) {
	values := Values{}
	if err := json.Unmarshal(in.Settings, &values); err != nil {
		return nil, fmt.Errorf("settings of %s: %w", in.ID, err)
	}
	if len(in.Credentials) == 0 {
		return values, nil
	}
	if keys == nil {
		return nil, &NoKeyError{IntegrationID: in.ID}
	}
	opened, err := keys.Open(in.ID, in.Credentials)
	if err != nil {
		return nil, &NoKeyError{IntegrationID: in.ID, Err: err}
	}
	secret := Values{}
	if err := json.Unmarshal(opened, &secret); err != nil {
		return nil, fmt.Errorf("credentials of %s: they are sealed well, but no settings", in.ID)
	}
	maps.Copy(values, secret)
	return values, nil
}

// Secrets are the texts among values that nobody is to see.
func Secrets(d connector.Description, values Values) []string {
	var secrets []string
	for name, value := range values {
		var text string
		if isSecret(d, name) && json.Unmarshal(value, &text) == nil && text != "" {
			secrets = append(secrets, text)
		}
	}
	return secrets
}

func isSecret(d connector.Description, name string) bool {
	return slices.ContainsFunc(d.Settings, func(f connector.Field) bool { return f.Name == name && f.Secret })
}
