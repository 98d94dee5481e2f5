package account_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func key(t *testing.T) *auth.MasterKey {
	t.Helper()
	k, err := auth.ParseMasterKey(auth.NewMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeepAndOpen(t *testing.T) {
	t.Parallel()
	d := connector.Description{Settings: []connector.Field{{Name: "host"}, {Name: "token", Secret: true}}}
	values := account.Values{"host": []byte(`"example.com"`), "token": []byte(`"hunter2"`)}
	first, second := key(t), key(t)
	settings, credentials, err := account.Keep(d, &account.Keyring{Key: first}, "tool:1", values)
	if err != nil || string(settings) != `{"host":"example.com"}` || strings.Contains(string(credentials), "hunter2") {
		t.Fatalf("%s, %q, %v", settings, credentials, err)
	}
	in := store.Integration{ID: "tool:1", Settings: settings, Credentials: credentials}
	for name, keys := range map[string]*account.Keyring{
		"its key": {Key: first}, "the key before": {Key: second, Other: first}, "the key to come": {Key: first, Other: second},
	} {
		if got, err := account.Open(keys, in); err != nil || cmp.Diff(values, got) != "" {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	moved := in
	moved.ID = "tool:2"
	for name, c := range map[string]struct {
		keys *account.Keyring
		in   store.Integration
	}{"no key": {nil, in}, "another key": {&account.Keyring{Key: second}, in}, "moved to another integration": {&account.Keyring{Key: first}, moved}} {
		_, err := account.Open(c.keys, c.in)
		if _, ok := errors.AsType[*account.NoKeyError](err); !ok || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if diff := cmp.Diff([]string{"hunter2"}, account.Secrets(d, values)); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutSecretsNoKeyIsNeeded(t *testing.T) {
	t.Parallel()
	d := connector.Description{Settings: []connector.Field{{Name: "token", Secret: true}}}
	settings, credentials, err := account.Keep(d, nil, "tool:1", account.Values{"other": []byte("1")})
	if err != nil || string(settings) != `{"other":1}` || credentials != nil {
		t.Errorf("%s, %q, %v", settings, credentials, err)
	}
	if _, _, err := account.Keep(d, nil, "tool:1", account.Values{"token": []byte(`"x"`)}); err == nil || !strings.Contains(err.Error(), auth.MasterKeyVariable) {
		t.Errorf("a secret without a key: %v", err)
	}
}
