package learning360

import (
	"net/url"
	"strings"
	"testing"
)

func TestNextLink(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		``: "",
		`<https://app.360learning.com/api/v2/skills?next=abc>; rel="next"`:          "https://app.360learning.com/api/v2/skills?next=abc",
		`<https://a.test/1>; rel=next`:                                              "https://a.test/1",
		`<https://a.test/1>; rel="prev", <https://a.test/2>; rel="next"`:            "https://a.test/2",
		`<https://a.test/1?a=b,c>; title="x"; rel="next",<https://a.test/2>; rel=x`: "https://a.test/1?a=b,c",
		`<https://a.test/1>; rel="last"`:                                            "",
		`<https://a.test/1`:                                                         "",
		`https://a.test/1; rel="next"`:                                              "",
	} {
		if got := nextLink([]string{header}); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add(`<https://app.360learning.com/api/v2/skills?next=abc>; rel="next"`, `{"error":{"code":"invalidInput","message":"no"}}`, "upsertSkills:65f1c0ffee65f1c0ffee65f1")
	f.Add(`</x>; rel=next, <`, `{"error":"invalid_token"}`, "deleteSkills:?65f1c0ffee65f1c0ffee65f1,65f1c0ffee65f1c0ffee65f2")
	s := &session{set: settings{Address: "https://app.360learning.com"}}
	f.Fuzz(func(t *testing.T, link, failure, text string) {
		if next := nextLink([]string{link}); next != "" {
			if path, err := s.path(next); err == nil {
				whole, err := url.Parse("https://app.360learning.com" + path)
				if err != nil || whole.Host != "app.360learning.com" || !strings.HasPrefix(path, "/") {
					t.Errorf("%q leads to %q", link, path)
				}
			}
		}
		said([]byte(failure))
		if id, err := s.operationAt(link); err == nil && !objectID.MatchString(id) {
			t.Errorf("%q is the operation %q", link, id)
		}
		if r, ok := parseReceipt(text); ok && r.String() != text {
			t.Errorf("the receipt %q became %q", text, r)
		}
	})
}
