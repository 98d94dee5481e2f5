package store_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestParseConnectSettings(t *testing.T) {
	t.Parallel()
	got, err := store.ParseConnectSettings(
		[]string{"https://App.Example.com/", " http://localhost:3000", "https://app.example.com", "https://[2001:db8::1]:8443"}, "https://app.example.com/done?x=1",
	)
	want := store.ConnectSettings{
		Origins: []string{"https://app.example.com", "http://localhost:3000", "https://[2001:db8::1]:8443"}, Redirect: "https://app.example.com/done?x=1",
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, bad := range []string{
		"", "*", "https://*.example.com", "app.example.com", "javascript:alert(1)", "data:text/html,x", "https://", "https://a b", "https://user@a.example",
		"https://a.example/#x", "https://a.example; script-src *", "https://a.example,https://b.example", "//a.example", "https://ä.example",
	} {
		if got, err := store.ParseConnectSettings([]string{bad}, ""); err == nil {
			t.Errorf("origin %q gave %q", bad, got.Origins)
		}
		if bad != "" {
			if got, err := store.ParseConnectSettings(nil, bad); err == nil {
				t.Errorf("redirect %q gave %q", bad, got.Redirect)
			}
		}
	}
}

// What is taken goes into headers as it is.
func FuzzConnectSettings(f *testing.F) {
	for _, seed := range []string{"https://app.example.com", "http://localhost:3000/", "https://[::1]", "https://a.example/x?y=%0a", "https://a;b", "HTTPS://A"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := store.ParseConnectSettings([]string{text}, ""); err == nil {
			u, err := url.Parse(c.Origins[0])
			if err != nil || u.Scheme+"://"+u.Host != c.Origins[0] || strings.ContainsAny(c.Origins[0], " ;,*'\"\r\n\t") {
				t.Errorf("%q gave the origin %q", text, c.Origins[0])
			}
		}
		if c, err := store.ParseConnectSettings(nil, text); err == nil && text != "" {
			if u, err := url.Parse(c.Redirect); err != nil || u.Host == "" || strings.ContainsAny(u.Host, " ;,*'\"") || strings.ContainsAny(c.Redirect, "\r\n") {
				t.Errorf("%q gave the address %q", text, c.Redirect)
			}
		}
	})
}
