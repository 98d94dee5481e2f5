package connector_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

func tool() connector.Description {
	return connector.Description{Slug: "tool", Settings: []connector.Field{
		{Name: "base", Type: connector.Address, Default: "https://api.example.com/v1"},
		{Name: "user", Type: connector.Text, Required: true},
		{Name: "token", Type: connector.Text, Secret: true, Required: true},
		{Name: "inactive", Type: connector.Choice, Choices: []string{"retire", "refuse"}, Default: "retire"},
		{Name: "limit", Type: connector.Number, Default: "50"},
		{Name: "strict", Type: connector.Switch, Default: "true"},
		{Name: "wait", Type: connector.Duration, Default: "1m"},
		{Name: "more", Type: connector.Data},
	}}
}

type settings struct {
	Base     string          `json:"base"`
	User     string          `json:"user"`
	Token    string          `json:"token"`
	Inactive string          `json:"inactive"`
	Limit    int             `json:"limit"`
	Strict   bool            `json:"strict"`
	Wait     string          `json:"wait"`
	More     json.RawMessage `json:"more"`
}

func TestParseSetting(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"base=https://odoo.example.com":    `"https://odoo.example.com"`,
		"base=http://10.0.0.1:8069/a":      `"http://10.0.0.1:8069/a"`,
		"base=ftp://example.com":           "error: address",
		"base=https://u:hunter2@a.example": "error: address",
		"base=https://a.example/?x=hunter": "error: address",
		"base=example.com":                 "error: address",
		"user=":                            "error: required",
		"user=5":                           `"5"`,
		"token=a\nb":                       "error: line break",
		"inactive=refuse":                  `"refuse"`,
		"inactive=REFUSE":                  "error: retire, refuse",
		"limit=7":                          `7`,
		"limit=seven":                      `error: "seven" is not a number`,
		`limit="7"`:                        "error: no number",
		"strict=false":                     `false`,
		"strict=0":                         "error: neither true nor false",
		"wait=90s":                         `"90s"`,
		"wait=soon":                        `error: "soon"`,
		`more={"a": [1]}`:                  `{"a": [1]}`,
		"more={":                           "error: data",
		"MORE=1":                           "error: it has base, user",
	} {
		name, value, _ := strings.Cut(text, "=")
		got, err := tool().ParseSetting(name, value)
		word, bad := strings.CutPrefix(want, "error: ")
		switch {
		case bad && (err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%s: %v, want an error with %q", text, err, word)
		case !bad && (err != nil || string(got) != want):
			t.Errorf("%s: %s, %v, want %s", text, got, err, want)
		}
	}
}

func TestDecodeSettings(t *testing.T) {
	t.Parallel()
	var got settings
	if err := tool().DecodeSettings([]byte(`{"user":"u","token":"t","limit":7,"inactive":null,"more":{"a":1}}`), &got); err != nil {
		t.Fatal(err)
	}
	want := settings{"https://api.example.com/v1", "u", "t", "retire", 7, true, "1m", json.RawMessage(`{"a":1}`)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for given, word := range map[string]string{
		"":                                     "user is required",
		`[]`:                                   "no JSON object",
		`{"user":"u"}`:                         "token is required",
		`{"user":"u","token":null}`:            "token is required",
		`{"user":"u","token":""}`:              "token: it is required, and empty",
		`{"user":"u","token":48151623}`:        "token",
		`{"user":"u","token":"t","limit":"7"}`: `limit: "7" is no number`,
		`{"user":"u","token":"t","limit":1.5}`: "limit",
		`{"user":"u","token":"t","Limit":7}`:   `"Limit"`,
		`{"user":"u","token":"t","x":7}`:       `"x"`,
		`{"user":"u","token":"t","strict":1}`:  "strict",
		`{"user":"u","token":"48151623`:        "no JSON object",
	} {
		var into settings
		err := tool().DecodeSettings([]byte(given), &into)
		if err == nil || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), "48151623") {
			t.Errorf("%s: %v, want an error with %q", given, err, word)
		}
	}
}

// A rendering tells apart what is written otherwise, and nothing else.
func TestRendering(t *testing.T) {
	t.Parallel()
	d := tool()
	plain, err := d.Rendering(json.RawMessage(`{"user":"x"}`))
	if err != nil || plain != "tool" {
		t.Errorf("without fields that shape: %q, %v", plain, err)
	}
	for i := range d.Settings {
		switch d.Settings[i].Name {
		case "base", "limit", "more", "token":
			d.Settings[i].Shapes = true
		}
	}
	seen := map[string]int{}
	for group, same := range [][]string{
		{``, `{}`, `null`, `{"base":null}`, `{"base":"https://api.example.com/v1"}`, `{"limit":50,"user":"x","strict":false,"token":"hunter2"}`, `{"limit": 5e1}`},
		{`{"limit":51}`, `{"limit": 51, "base":"https://api.example.com/v1"}`},
		{`{"base":"https://other.example.com"}`},
		{`{"more":{"a":1,"b":2}}`, `{"more":{"b":2, "a":1}}`},
		{`{"more":{"a":1}}`},
		{`{"more":"{\"a\":1}"}`},
	} {
		for _, settings := range same {
			got, err := d.Rendering(json.RawMessage(settings))
			if err != nil {
				t.Errorf("%s: %v", settings, err)
			}
			if was, ok := seen[got]; ok && was != group || !ok && settings != same[0] {
				t.Errorf("%s renders as %q, like group %d", settings, got, was)
			}
			if strings.Contains(got, "hunter2") {
				t.Errorf("a secret is in it: %s", got)
			}
			seen[got] = group
		}
	}
	if _, err := d.Rendering(json.RawMessage(`[`)); err == nil {
		t.Error("no object, and no error")
	}
}
