package outgoing

import (
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/internal/redact"
)

// echo is a tool that answers with what it was sent, in several ways.
type echo struct{ answer string }

func (e echo) RoundTrip(r *http.Request) (*http.Response, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: http.StatusForbidden, Body: io.NopCloser(strings.NewReader(e.answer)),
		Header: http.Header{"Location": {"https://example.com/login?x=" + url.QueryEscape(e.answer)}, "Set-Cookie": {e.answer}, "Server": {e.answer}},
	}, nil
}

// Wherever a secret stands in an exchange, and however it is written there: it is in no record.
func TestNoRecordHoldsASecret(t *testing.T) {
	t.Parallel()
	forms := []func(string) string{
		func(s string) string { return s },
		url.QueryEscape,
		url.PathEscape,
		html.EscapeString,
		func(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) },
		func(s string) string { var b strings.Builder; _ = xml.EscapeText(&b, []byte(s)); return b.String() },
		func(s string) string { return base64.StdEncoding.EncodeToString([]byte("someone:" + s)) },
		func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	}
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[a-zA-Z0-9+/=&%"'<>äß€._~-]{8,60}`).Draw(t, "secret")
		form := func(name string) string {
			return rapid.SampledFrom(forms).Draw(t, name)(secret)
		}
		filler := strings.Repeat("x", rapid.IntRange(0, mostBody+100).Draw(t, "before"))
		var record Exchange
		next := echo{answer: rapid.SampledFrom([]string{"", filler}).Draw(t, "filler") + fmt.Sprintf(`{"echo":"%s","more":"%s"}`, form("answer"), form("again"))}
		rt := &recording{to: recorder(func(x Exchange) { record = x }), redact: redact.New(secret), next: next}
		body := rapid.SampledFrom([]string{
			`{"any":"%s"}`, `any=%s&x=1`, `<any a="%[1]s">%[1]s</any>`, `<wsse:Password Type="x">%s</wsse:Password>`, filler + "%s" + filler,
		}).Draw(t, "body")
		address := &url.URL{Scheme: "https", Host: "example.com", Path: "/v1/" + secret, RawQuery: "any=" + url.QueryEscape(secret)}
		r := (&http.Request{Method: http.MethodPost, URL: address, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(fmt.Sprintf(body, form("request"))))}).WithContext(t.Context())
		r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("u:"+secret)))
		r.Header.Set("X-Api-Key", secret)
		r.Header.Set("User-Agent", "crosswalk "+form("agent"))
		response, err := rt.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		text := fmt.Sprintf("%s %s %v %v %s %s", record.URL, record.Error, record.RequestHeader, record.AnswerHeader, record.RequestBody, record.AnswerBody)
		for i, form := range forms {
			if strings.Contains(text, form(secret)) {
				t.Errorf("form %d of %q is in %.300q", i, secret, text)
			}
		}
		if len(record.RequestBody) > mostBody || len(record.AnswerBody) > mostBody+3 {
			t.Errorf("%d and %d bytes are kept", len(record.RequestBody), len(record.AnswerBody))
		}
	})
}
