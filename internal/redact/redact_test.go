package redact_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/internal/redact"
)

// forms are ways in which a secret gets into a text.
func forms() map[string]func(string) string {
	quoted := func(s string) string {
		b, _ := json.Marshal(s)
		return string(b)
	}
	return map[string]func(string) string{
		"as it is":     func(s string) string { return s },
		"JSON":         quoted,
		"JSON in JSON": func(s string) string { return quoted(quoted(s)) },
		"JSON, not HTML": func(s string) string {
			var b strings.Builder
			e := json.NewEncoder(&b)
			e.SetEscapeHTML(false)
			_ = e.Encode(s)
			return b.String()
		},
		"JSON in ASCII":    inASCII,
		"slashes escaped":  func(s string) string { return strings.ReplaceAll(quoted(s), "/", `\/`) },
		"a query":          url.QueryEscape,
		"a path":           url.PathEscape,
		"percent, lower":   func(s string) string { return percentEncoded(s, "%%%02x") },
		"percent, all":     func(s string) string { return percentEncoded(s, "%%%02X") },
		"a query twice":    func(s string) string { return url.QueryEscape(url.QueryEscape(s)) },
		"JSON in a form":   func(s string) string { return url.QueryEscape(quoted(s)) },
		"HTML":             html.EscapeString,
		"XML":              func(s string) string { var b strings.Builder; _ = xml.EscapeText(&b, []byte(s)); return b.String() },
		"XML, decimal":     func(s string) string { return inReferences(s, "&#%d;") },
		"XML, hexadecimal": func(s string) string { return inReferences(s, "&#x%X;") },
		"XML in JSON":      func(s string) string { return quoted(html.EscapeString(s)) },
		"Basic": func(s string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte("a.user@example.com:"+s))
		},
		"base 64":          func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
		"base 64 of more":  func(s string) string { return base64.URLEncoding.EncodeToString([]byte(`{"x":1,"p":"` + s + `"}`)) },
		"base 64 in query": func(s string) string { return url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("u:" + s))) },
		"hexadecimal":      func(s string) string { return hex.EncodeToString([]byte(s)) },
	}
}

func percentEncoded(s, format string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func inReferences(s, format string) string {
	var b strings.Builder
	for _, r := range s {
		fmt.Fprintf(&b, format, r)
	}
	return b.String()
}

func inASCII(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04X`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func TestSecretsInEveryForm(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"hunter2", "pa ss+w/o=r&d%", `quo"te\back`, "<tag>'&amp;", "Grüße-Ω-😀", "AKIA/Z+x==", "a1b2", "line\nbreak\ttab",
	} {
		r := redact.New("another secret", secret)
		for name, form := range forms() {
			for _, around := range []string{"%s", "before %s after", `{"a":"b+c \\ d","q":%s,"z":"100%% & more;"}`} {
				text := fmt.Sprintf(around, form(secret))
				if got := r.Text(text); strings.Contains(got, form(secret)) || !strings.Contains(got, redact.Mark) {
					t.Errorf("%q as %s: %q is still there", secret, name, got)
				}
			}
		}
	}
}

func TestNothingElseIsTakenOut(t *testing.T) {
	t.Parallel()
	r := redact.New("hunter2", "abc") // the second is too short to be a secret
	for _, text := range []string{
		"", "abc", `{"origin_id":"1","name":"C++ & 100% \"fun\" <b>Größe</b>"}`, "hunter", "keyboard skills=good", `{"name":"Tokenisation","page":2}`,
		"Basic knowledge of bearers", `{"message":"The token: it has expired; session: none, \"pwd\" is missing"}`, `{"page_tokens":7,"token":null}`,
		strings.Repeat("x", 5000),
	} {
		if got := r.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestValuesThatAreSecretByName(t *testing.T) {
	t.Parallel()
	r := redact.New()
	for text, want := range map[string]string{
		`{"access_token": "s3cr3t", "n": 1}`:                                                              `{"access_token": "…", "n": 1}`,
		`{"Client_Secret":"s3\"cr3t"}`:                                                                    `{"Client_Secret":"…"}`,
		`"{\"password\":\"s3cr3t\"}"`:                                                                     `"{\"password\":\"…\"}"`,
		`grant_type=password&username=u&password=s3cr3t&x=1`:                                              `grant_type=password&username=u&password=…&x=1`,
		`wstoken=s3cr3t&wsfunction=core_x`:                                                                `wstoken=…&wsfunction=core_x`,
		`<wsse:Password Type="http://x#PasswordText">s3cr3t</wsse:Password><a>b</a>`:                      `<wsse:Password Type="http://x#PasswordText">…</wsse:Password><a>b</a>`,
		`<wsse:Password><![CDATA[s3cr3t]]></wsse:Password>`:                                               `<wsse:Password><![CDATA[…]]></wsse:Password>`,
		`<wsse:UsernameToken> <wsse:Username>me</wsse:Username></wsse:UsernameToken>`:                     `<wsse:UsernameToken> <wsse:Username>me</wsse:Username></wsse:UsernameToken>`,
		`Authorization: Bearer abcdefgh12345678`:                                                          `Authorization: Bearer …`,
		`{"link":"https://skills.example.com/connect/cwl_abcdefGHIJKLMNOPQRSTUVWXYZabcdefghijkmnopqrst"}`: `{"link":"https://skills.example.com/connect/cwl_abcdef…"}`,
		`/v1/connect/integration-by-token/cwt_abcdefGHIJKLMNOPQRSTUVWXYZabcdefghijk`:                      `/v1/connect/integration-by-token/cwt_abcdef…`,
		`the key cw_live_abcdefGHIJKLMNOPQRSTUVWXYZabcdefghijkmnopqrst is refused`:                        `the key cw_live_abcdef… is refused`,
		"-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc=\n-----END RSA PRIVATE KEY-----":                      "-----BEGIN RSA PRIVATE KEY-----…-----END RSA PRIVATE KEY-----",
		`{"apiKey":"s3cr3t`: `{"apiKey":"…`,
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestSecretsInXML(t *testing.T) {
	t.Parallel()
	r := redact.New(`p<a>&"ss'w`)
	for text, want := range map[string]string{
		`<wsse:Password Type="x#PasswordText">p&lt;a&gt;&amp;&#34;ss&#39;w</wsse:Password>`: `<wsse:Password Type="x#PasswordText">…</wsse:Password>`,
		`<fault>not p&lt;a&gt;&amp;&quot;ss&apos;w</fault>`:                                 `<fault>not …</fault>`,
		`<fault>not p&lt;a&gt;&amp;"ss'w, indeed</fault>`:                                   `<fault>not …, indeed</fault>`,
		`<wsse:UsernameToken><wsse:Username>u@t</wsse:Username><wsse:Password>another`:      `<wsse:UsernameToken><wsse:Username>u@t</wsse:Username><wsse:Password>…`,
		"<PASSWORD\n a='b'>another</PASSWORD><x:Nonce>n</x:Nonce>":                          "<PASSWORD\n a='b'>…</PASSWORD><x:Nonce>…</x:Nonce>",
		`{"token":"cut off \`: `{"token":"…`,
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

func TestHeadersAndAddresses(t *testing.T) {
	t.Parallel()
	r := redact.New("hunter2")
	got := r.Header(http.Header{
		"Authorization": {"Bearer x"}, "X-New-Thing": {"y"}, "Content-Type": {"application/json"},
		"Location": {"https://example.com/a?token=zzz&b=hunter2"}, "content-length": {"12"},
	})
	for name, want := range map[string]string{
		"Authorization": "…", "X-New-Thing": "…", "Content-Type": "application/json", "Location": "https://example.com/a?token=…&b=…",
		"Content-Length": "12",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q", name, got.Get(name))
		}
	}
	for address, want := range map[string]string{
		"https://u:p@example.com/a/hunter2?page=2":                        "https://%E2%80%A6@example.com/a/…?page=2",
		"https://example.com/?wstoken=1&x=hunter%32&Pass%77ord=3&q=a%20b": "https://example.com/?wstoken=…&x=…&Pass%77ord=…&q=a%20b",
	} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.URL(u); got != want {
			t.Errorf("%s became %s", address, got)
		}
	}
}

// A secret that lies across the cut does not survive in part.
func TestCut(t *testing.T) {
	t.Parallel()
	r := redact.New("hunter2hunter2")
	for name, form := range forms() {
		secret := form("hunter2hunter2")
		for before := range 40 {
			text := strings.Repeat("-", before) + secret + strings.Repeat("-", 200)
			captured := text[:min(len(text), 40+r.Overlap())]
			head, whole := r.Head([]byte(captured), 40)
			rest := strings.Trim(strings.ReplaceAll(string(head), redact.Mark, ""), "-")
			for _, around := range []string{`"`, `\`, "Basic", " ", "="} {
				rest = strings.Trim(strings.ReplaceAll(rest, around, ""), "-")
			}
			// What may be left of it is what stands around the secret in that form.
			if whole || len(rest) > 30 || strings.Contains(string(head), "hunter") || strings.Contains(string(head), "2hun") {
				t.Errorf("%s behind %d bytes: %q is left", name, before, head)
			}
		}
	}
	if head, whole := redact.New().Head([]byte("Größe"), 3); string(head) != "Gr" || whole {
		t.Errorf("cut within a character: %q", head)
	}
}

func TestSecretsNeverSurvive(t *testing.T) {
	t.Parallel()
	all := forms()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9+/=&%"'<>\\ ._~äß€-]{6,40}`).Draw(t, "secret")
		form := all[rapid.SampledFrom(names).Draw(t, "form")]
		text := rapid.StringMatching(`[ -~]{0,60}`).Draw(t, "before") + " " + form(secret) + " " + rapid.StringMatching(`[ -~]{0,60}`).Draw(t, "after")
		if got := redact.New(secret).Text(text); strings.Contains(got, form(secret)) {
			t.Errorf("%q became %q", text, got)
		}
	})
}

func FuzzText(f *testing.F) {
	f.Add("hunter2", `{"a":"hunter2%20\u0068 &#104;"}`, 10)
	f.Add("a+b c", "a%2Bb+c", 3)
	f.Fuzz(func(t *testing.T, secret, text string, most int) {
		r := redact.New(secret)
		if got := r.Text(text); len(secret) >= 4 && !strings.Contains(redact.Mark, secret) && strings.Contains(got, secret) {
			t.Errorf("%q is in %q", secret, got)
		}
		head, whole := r.Head([]byte(text), max(0, most%1000))
		if whole && string(head) != r.Text(text) {
			t.Errorf("the whole head of %q is %q", text, head)
		}
	})
}

func BenchmarkText(b *testing.B) {
	r := redact.New("hunter2hunter2", "AKIA/Z+x==")
	var body strings.Builder
	for i := range 100 {
		fmt.Fprintf(&body, `{"id":"esco-%d","name":"C++ & \"programming\" %d","active":true},`, i, i)
	}
	text := []byte(body.String())
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r.Head(text, len(text))
	}
}

func BenchmarkWorst(b *testing.B) {
	r := redact.New("hunter2hunter2", "AKIA/Z+x==")
	text := []byte(strings.Repeat(`{"access_token\":\"%2541%5Cu0041&amp;amp;&#37;41+b\\u005cu0041"}`, 260))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r.Head(text, len(text))
	}
}
