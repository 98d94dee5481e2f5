package odoo

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestExternalIDs(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"http://data.europa.eu/esco/skill/000bb1e4": "crosswalk.http://data.europa.eu/esco/skill/000bb1e4",
		"two words":     "crosswalk.two%20words",
		"two%20words":   "crosswalk.two%2520words",
		"a.b":           "crosswalk.a.b",
		".":             "crosswalk..",
		" ":             "crosswalk.%20",
		"tab\tand\nend": "crosswalk.tab%09and%0Aend",
		"ü/日本":          "crosswalk.ü/日本",
		"Case":          "crosswalk.Case",
	} {
		if got := externalID("crosswalk", origin); got != want {
			t.Errorf("externalID(%q) = %q, want %q", origin, got, want)
		}
		if got, ok := originID("crosswalk", want); !ok || got != origin {
			t.Errorf("originID(%q) = %q, %v", want, got, ok)
		}
	}
	for _, other := range []string{"", "crosswalk", "crosswalk.", "crosswalk_types.a", "hr_skills.a", "crosswalk.a%2", "crosswalk.a%zz", "crosswalk.a b", "crosswalk.%41", "crosswalk.%2f", "crosswalk.%0a"} {
		if got, ok := originID("crosswalk", other); ok {
			t.Errorf("originID(%q) = %q", other, got)
		}
	}
	// The longest fit into an index of PostgreSQL, which takes 2704 bytes.
	for _, longest := range []string{strings.Repeat("日", 512), strings.Repeat("\U0001f600", 512), strings.Repeat(" ", 512), strings.Repeat("%", 512)} {
		if n := len(externalID("crosswalk", longest)); n > 2100 {
			t.Errorf("%d bytes", n)
		}
	}
}

// An external id holds no blank, has the module before its first dot, and tells the origin id it was made of.
func FuzzExternalID(f *testing.F) {
	for _, seed := range []string{"a", " ", "%", "%20", "a.b", "\x00\x7f", "ü", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, origin string) {
		external := externalID("crosswalk", origin)
		module, name, ok := strings.Cut(external, ".")
		if !ok || module != "crosswalk" || strings.ContainsAny(name, " \t\r\n\x00") {
			t.Errorf("%q becomes %q", origin, external)
		}
		if utf8.ValidString(origin) && !utf8.ValidString(external) {
			t.Errorf("%q becomes %q, which is no text", origin, external)
		}
		if got, ok := originID("crosswalk", external); origin != "" && (!ok || got != origin) {
			t.Errorf("%q becomes %q becomes %q, %v", origin, external, got, ok)
		}
		// Whatever lies in Odoo: what is taken for ours would be made the same again.
		if got, ok := originID("crosswalk", "crosswalk."+origin); ok && externalID("crosswalk", got) != "crosswalk."+origin {
			t.Errorf("%q is taken for %q", origin, got)
		}
	})
}
