package connect_test

import (
	"os"
	"reflect"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/connect"
	"github.com/crosswalk-hr/crosswalk/internal/server"
)

var verbs = regexp.MustCompile(`%(\[\d\])?[a-z]`)

// Every text is there in both languages, differs, and has a place for the same names.
func TestWordsAreComplete(t *testing.T) {
	t.Parallel()
	english, _ := connect.Texts("en")
	german, _ := connect.Texts("de")
	en, de := reflect.ValueOf(english), reflect.ValueOf(german)
	for i := range en.NumField() {
		name, a, b := en.Type().Field(i).Name, en.Field(i).String(), de.Field(i).String()
		if a == "" || b == "" || a == b {
			t.Errorf("%s: %q and %q", name, a, b)
		}
		if diff := cmp.Diff(verbs.FindAllString(a, -1), verbs.FindAllString(b, -1)); diff != "" && name != "ConnectLede" {
			t.Errorf("%s has other names in it (-en +de):\n%s", name, diff)
		}
	}
	for _, language := range []string{"fr", "it", "es", ""} {
		if other, _ := connect.Texts(language); other != english {
			t.Errorf("%q is not shown in English", language)
		}
	}
}

// Every tool of the program has its steps in both languages, and all that people read of it in German. Whoever adds a
// connector, or a setting, writes them into tools.go.
func TestToolsAreComplete(t *testing.T) {
	t.Parallel()
	_, en := connect.Texts("en")
	_, de := connect.Texts("de")
	for _, d := range server.Connectors(nil).All() {
		if len(en[d.Slug].Needs) == 0 || len(en[d.Slug].Needs) != len(de[d.Slug].Needs) {
			t.Errorf("%s: what is needed is told in %d steps in English, %d in German", d.Slug, len(en[d.Slug].Needs), len(de[d.Slug].Needs))
		}
		if de[d.Slug].Summary == "" {
			t.Errorf("%s has no German summary", d.Slug)
		}
		known := map[string]connector.Field{}
		for _, f := range d.Settings {
			known[f.Name] = f
			if text := de[d.Slug].Fields[f.Name]; text.Label == "" || text.Help == "" && f.Help != "" {
				t.Errorf("%s: the setting %s has no German label and help", d.Slug, f.Name)
			}
		}
		for name := range de[d.Slug].Fields {
			if _, ok := known[name]; !ok {
				t.Errorf("%s has no setting %s", d.Slug, name)
			}
		}
	}
}

// The page and the dashboard have one look: what the page takes of the dashboard's tokens has the same values.
func TestTokensAreTheDashboards(t *testing.T) {
	t.Parallel()
	token := regexp.MustCompile(`(--[a-z0-9-]+): ([^;]+);`)
	read := func(name string) map[string][]string {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string][]string{} // those that differ by theme are there twice
		for _, m := range token.FindAllStringSubmatch(string(content), -1) {
			all[m[1]] = append(all[m[1]], m[2])
		}
		return all
	}
	theirs, ours := read("../dashboard/static/app.css"), read("static/connect.css")
	if len(ours) < 20 {
		t.Fatalf("the page has %d tokens", len(ours))
	}
	for name, values := range ours {
		if diff := cmp.Diff(theirs[name], values); diff != "" {
			t.Errorf("%s (-dashboard +page):\n%s", name, diff)
		}
	}
}
