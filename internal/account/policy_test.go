package account_test

import (
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestPolicy(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	able := connector.Description{Label: "Able", Capabilities: []connector.Capability{connector.CanAdopt, connector.CanDeactivate}}
	unable := connector.Description{Label: "Unable"}
	all := store.Policy{Adopt: true, RefuseInactive: true}
	for name, test := range map[string]struct {
		tool     connector.Description
		is       store.Policy
		adopt    *bool
		inactive string
		want     store.Policy
		err      string
		shown    string
	}{
		"nothing given":                {able, all, nil, "", all, "", account.Refuse},
		"nothing given at first":       {able, store.Policy{}, nil, "", store.Policy{}, "", account.Deactivate},
		"all":                          {able, store.Policy{}, &yes, account.Refuse, all, "", account.Refuse},
		"nothing any more":             {able, all, &no, account.Deactivate, store.Policy{}, "", account.Deactivate},
		"a tool that cannot adopt":     {unable, store.Policy{}, &yes, "", store.Policy{}, "Unable cannot adopt", account.Refuse},
		"and need not":                 {unable, store.Policy{}, &no, account.Refuse, store.Policy{RefuseInactive: true}, "", account.Refuse},
		"a tool that retires nothing":  {unable, store.Policy{}, nil, account.Deactivate, store.Policy{}, "Unable cannot deactivate", account.Refuse},
		"a word that nobody has heard": {able, all, nil, "delete", all, `deactivate or refuse, not "delete"`, account.Refuse},
	} {
		got, err := account.Policy(test.tool, test.is, test.adopt, test.inactive)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if shown := account.Inactive(test.tool, nil, got); shown != test.shown {
			t.Errorf("%s: inactive ones: %s", name, shown)
		}
	}
}

// Whatever the policy is: a setting of the account may have inactive skills refused.
func TestInactiveByASetting(t *testing.T) {
	t.Parallel()
	field := connector.Field{Name: "retire", Type: connector.Choice, Choices: []string{"never", "move"}, Default: "never", RefusesInactive: "never"}
	tool := connector.Description{Capabilities: []connector.Capability{connector.CanDeactivate}, Settings: []connector.Field{field}}
	for settings, want := range map[string]string{
		``: account.Refuse, `{}`: account.Refuse, `{"retire":null}`: account.Refuse, `{"retire":"never"}`: account.Refuse,
		`{"retire":"move"}`: account.Deactivate,
	} {
		if got := account.Inactive(tool, []byte(settings), store.Policy{}); got != want {
			t.Errorf("%s: %s, want %s", settings, got, want)
		}
	}
	if got := account.Inactive(tool, []byte(`{"retire":"move"}`), store.Policy{RefuseInactive: true}); got != account.Refuse {
		t.Errorf("against the policy: %s", got)
	}
}
