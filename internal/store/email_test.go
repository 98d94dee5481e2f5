package store_test

import (
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestParseEmail(t *testing.T) {
	for text, want := range map[string]string{
		"anna@acme.example":                     "anna@acme.example",
		"Anna.O'Hara+hr@HR.Acme.Co.UK":          "Anna.O'Hara+hr@hr.acme.co.uk",
		"a@b.de":                                "a@b.de",
		"-@b.de":                                "-@b.de",
		strings.Repeat("a", 310) + "@acme.test": strings.Repeat("a", 310) + "@acme.test",
	} {
		if got, ok := store.ParseEmail(text); !ok || got != want {
			t.Errorf("%q: %q, %t", text, got, ok)
		}
	}
	for _, text := range []string{
		"", "Anna", "anna@acme", "@acme.example", "anna@@acme.example", ".anna@acme.example", "anna.@acme.example", "an..na@acme.example", "anna@acme..example",
		"anna'@acme.example", "'@acme.example", "anna,b@acme.example", "anna smith@acme.example", "Anna <anna@acme.example>", "anna@acme.example\n", "änna@acme.example",
		"anna@acme.e1", "anna@-acme.example", strings.Repeat("a", 311) + "@acme.test",
	} {
		if got, ok := store.ParseEmail(text); ok {
			t.Errorf("%q is taken for %q", text, got)
		}
	}
}
