package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

func kindOf(t *testing.T, err error) connector.Kind {
	t.Helper()
	e, ok := errors.AsType[*connector.Error](err)
	if !ok {
		t.Fatalf("%v is no *connector.Error", err)
	}
	return e.Kind
}

func TestSend(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"method":%q,"path":%q,"query":%q,"type":%q,"key":%q,"version":%q,"body":%q}`,
			r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.Header.Get("Version"), body)
	}))
	defer server.Close()
	api := &rest.API{
		Base: server.URL + "/v1/", Header: http.Header{"Version": {"2"}},
		Sign: func(_ context.Context, r *http.Request) error { r.Header.Set("Authorization", "Bearer x"); return nil },
	}
	for name, c := range map[string]struct {
		request rest.Request
		want    map[string]string
	}{
		"JSON": {
			rest.Request{Method: "POST", Path: "/a", Body: map[string]int{"n": 1}, Changes: true},
			map[string]string{"method": "POST", "path": "/v1/a", "type": "application/json", "body": `{"n":1}`},
		},
		"a form": {
			rest.Request{Method: "PUT", Path: "/a", Body: url.Values{"k": {"v w"}}, Header: http.Header{"Version": {"3"}}},
			map[string]string{"method": "PUT", "path": "/v1/a", "type": "application/x-www-form-urlencoded", "body": "k=v+w", "version": "3"},
		},
		"bytes": {
			rest.Request{Method: "PATCH", Path: "/a", Body: []byte("<a/>"), ContentType: "text/xml"},
			map[string]string{"method": "PATCH", "path": "/v1/a", "type": "text/xml", "body": "<a/>"},
		},
		"a query": {
			rest.Request{Method: "GET", Path: "/a", Query: url.Values{"q": {"x&y"}}},
			map[string]string{"method": "GET", "path": "/v1/a", "query": "q=x%26y"},
		},
		"an address of the tool's": {rest.Request{Method: "GET", Path: server.URL + "/elsewhere"}, map[string]string{"method": "GET", "path": "/elsewhere"}},
	} {
		answer, err := api.Send(t.Context(), c.request)
		if err != nil || !answer.OK() {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got map[string]string
		if err := answer.JSON(&got); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, field := range []string{"query", "type", "body"} {
			if _, ok := c.want[field]; !ok {
				c.want[field] = ""
			}
		}
		c.want["key"] = "Bearer x"
		if c.want["version"] == "" {
			c.want["version"] = "2"
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// script is a server that says raw bytes to each connection, after it has read the request's head, and hangs up.
func script(t *testing.T, answer string) string {
	t.Helper()
	listen, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listen.Close() })
	go func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					_, _ = io.WriteString(conn, answer)
				}
			}()
		}
	}()
	return "http://" + listen.Addr().String()
}

// What is known of a request that had no proper answer.
func TestWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	refusing := script(t, "")
	listen, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listen.Addr().String()
	_ = listen.Close()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
	for name, c := range map[string]struct {
		base          string
		change, read  connector.Kind
		most          int64
		wantReadFirst bool
	}{
		"nobody listens":       {base: nobody, change: connector.Away, read: connector.Away},
		"no such host":         {base: "http://no-such-host.invalid", change: connector.Away, read: connector.Away},
		"hangs up":             {base: refusing, change: connector.Ambiguous, read: connector.Away},
		"half an answer":       {base: script(t, head+"50\r\n\r\n{\"a\":"), change: connector.Ambiguous, read: connector.Away},
		"no HTTP":              {base: script(t, "SSH-2.0\r\n"), change: connector.Ambiguous, read: connector.Away},
		"a huge answer":        {base: script(t, head+"50\r\n\r\n"+strings.Repeat(" ", 50)), most: 20, change: connector.Ambiguous, read: connector.Away},
		"one of no told size":  {base: script(t, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"+strings.Repeat(" ", 50)), most: 20, change: connector.Ambiguous, read: connector.Away},
		"no JSON":              {base: script(t, head+"2\r\n\r\n{x"), change: connector.Ambiguous, read: connector.Away},
		"another content type": {base: script(t, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}"), change: connector.Ambiguous, read: connector.Away},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for change, want := range map[bool]connector.Kind{true: c.change, false: c.read} {
				api := &rest.API{Base: c.base, MostBytes: c.most, HTTP: &http.Client{Timeout: 10 * time.Second}}
				answer, err := api.Send(t.Context(), rest.Request{Method: "POST", Path: "/", Body: []byte("x"), Changes: change})
				if err == nil {
					var v any
					err = answer.JSON(&v)
				}
				if err == nil || kindOf(t, err) != want {
					t.Errorf("changes %v: %v, want %s", change, err, want)
				}
			}
		})
	}
}

// The account passes to another process while the connection is made: no request arrives whole.
func TestNothingLeavesTooLate(t *testing.T) {
	t.Parallel()
	came := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if body, err := io.ReadAll(r.Body); err == nil {
			came <- r.Method + " " + string(body)
		}
	}))
	passed := errors.New("somebody else writes now")
	asked := 0
	ctx := connector.WithSendCheck(t.Context(), func() error {
		if asked++; asked > 1 { // the first time it is still ours
			return passed
		}
		return nil
	})
	_, err := (&rest.API{Base: server.URL}).Send(ctx, rest.Request{Method: "POST", Path: "/", Body: map[string]int{}, Changes: true})
	if kindOf(t, err) != connector.Away || !errors.Is(err, passed) {
		t.Errorf("error = %v", err)
	}
	server.Close() // waits for what has arrived
	select {
	case request := <-came:
		t.Errorf("a request arrived: %s", request)
	default:
	}
}

func TestAnAddressOnAnotherHostIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, there := range []string{"https://api.example.com.evil.example/x", "http://api.example.com/x", "https://api.example.com@evil.example/"} {
		_, err := (&rest.API{Base: "https://api.example.com/v1"}).Send(t.Context(), rest.Request{Method: "GET", Path: there})
		if kindOf(t, err) != connector.Unexpected {
			t.Errorf("%s: %v", there, err)
		}
	}
}

type forbidden struct{}

func (forbidden) Error() string     { return "dial: no" }
func (forbidden) Forbidden() string { return "private addresses are not for tools" }

func (forbidden) RoundTrip(*http.Request) (*http.Response, error) { return nil, forbidden{} }

// What the client forbids is no passing trouble.
func TestForbidden(t *testing.T) {
	t.Parallel()
	api := &rest.API{HTTP: &http.Client{Transport: forbidden{}}, Base: "https://10.0.0.1"}
	for _, changes := range []bool{false, true} {
		_, err := api.Send(t.Context(), rest.Request{Method: "POST", Path: "/", Changes: changes})
		if e := connector.AsError(err); e.Kind != connector.Unexpected || e.Message != (forbidden{}).Forbidden() {
			t.Errorf("changes %v: %v", changes, err)
		}
	}
}

func TestSaid(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		``:                                      "",
		`null`:                                  "",
		`"no"`:                                  "no",
		`["no","never","no"]`:                   "no; never",
		`[{"message":"no","code":"X"}]`:         "no",
		`{"error":{"code":1,"message":"no"}}`:   "no",
		`{"errors":[{"detail":"a"},{"x":"b"}]}`: "a",
		`{"code":7}`:                            `{"code":7}`,
		`{"error":"","reason":"r"}`:             "r",
		`{"errorMessage":"no"}`:                 "no",
		`{"errors":{"/b":{"error":"B","message":"no"},"/a":["never"]}}`: "never; no; B",
		`{"errors":{"code":"X","message":"no"}}`:                        "no",
		`{no`:                                                           "",
		`[[[[[["deep"]]]]]]`:                                            `[[[[[["deep"]]]]]]`,
	} {
		if got := rest.Said(json.RawMessage(raw)); got != want {
			t.Errorf("Said(%s) = %q, want %q", raw, got, want)
		}
	}
	for kind, want := range map[string]string{"application/problem+json; charset=utf-8": "no", "text/plain": `{"title":"no"}`, "text/html": "", "": ""} {
		a := &rest.Answer{Header: http.Header{"Content-Type": {kind}}, Body: []byte(`{"title":"no"}`)}
		if got := a.Said(); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
}

func TestXML(t *testing.T) {
	t.Parallel()
	const read, other = `<a><b>1</b></a>`, "text/xml; charset=utf-8"
	for name, c := range map[string]struct {
		kind, body string
		want       string // empty: it cannot be read
	}{
		"XML":                      {other, read, "1"},
		"of an application":        {"application/xml", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + read + "<!-- ends -->\n", "1"},
		"SOAP":                     {"application/soap+xml", read, "1"},
		"a page":                   {"text/html", read, ""},
		"of no type":               {"", read, ""},
		"nothing":                  {other, "  ", ""},
		"half of it":               {other, read[:8], ""},
		"of another name":          {other, "<c/>", ""},
		"a text behind it":         {other, read + "x", ""},
		"a document behind it":     {other, read + read, ""},
		"an entity of its own":     {other, `<!DOCTYPE a [<!ENTITY x "1">]><a><b>&x;</b></a>`, ""},
		"an entity from a file":    {other, `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><b>&x;</b></a>`, ""},
		"in another character set": {other, `<?xml version="1.0" encoding="EBCDIC"?>` + read, ""},
		"very deep":                {other, "<a>" + strings.Repeat("<x>", 100_000), ""},
	} {
		for changes, kind := range map[bool]connector.Kind{true: connector.Ambiguous, false: connector.Away} {
			api := &rest.API{HTTP: &http.Client{Transport: says{c.kind, c.body}}, Base: "https://tool.test"}
			answer, err := api.Send(t.Context(), rest.Request{Method: "POST", Path: "/", Changes: changes})
			if err != nil {
				t.Fatal(err)
			}
			var got struct {
				XMLName xml.Name `xml:"a"`
				B       string   `xml:"b"`
			}
			err = answer.XML(&got)
			if c.want != "" && (err != nil || got.B != c.want) || c.want == "" && (err == nil || kindOf(t, err) != kind) {
				t.Errorf("%s, changes %v: %q, %v", name, changes, got.B, err)
			}
		}
	}
}

// says is a tool that has one answer.
type says struct{ kind, body string }

func (s says) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {s.kind}}, Body: io.NopCloser(strings.NewReader(s.body)), Request: r}, nil
}

func TestProblem(t *testing.T) {
	t.Parallel()
	type want struct {
		change, read connector.Kind
	}
	for status, want := range map[int]want{
		400: {connector.Refused, connector.Refused}, 401: {connector.Credentials, connector.Credentials},
		403: {connector.Permission, connector.Permission}, 404: {connector.Unexpected, connector.Unexpected},
		408: {connector.Away, connector.Away}, 422: {connector.Refused, connector.Refused},
		429: {connector.Throttled, connector.Throttled}, 302: {connector.Unexpected, connector.Unexpected},
		500: {connector.Ambiguous, connector.Away}, 502: {connector.Ambiguous, connector.Away},
		503: {connector.Away, connector.Away}, 504: {connector.Ambiguous, connector.Away},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://evil.example/")
			w.WriteHeader(status)
		}))
		api := &rest.API{Base: server.URL, Secrets: []string{"hunter2"}}
		for change, kind := range map[bool]connector.Kind{true: want.change, false: want.read} {
			answer, err := api.Send(t.Context(), rest.Request{Method: "POST", Path: "/", Changes: change})
			if err != nil {
				t.Fatal(err)
			}
			if e := answer.Problem("no\n hunter2 "); e.Kind != kind || e.Message != "no …" {
				t.Errorf("%d, changes %v: %v, want %s", status, change, e, kind)
			}
		}
		server.Close()
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const date = "Wed, 25 Nov 2026 12:00:00 GMT"
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
	}{
		"nothing":               {http.Header{}, 0},
		"seconds":               {http.Header{"Retry-After": {"7"}}, 7 * time.Second},
		"half seconds":          {http.Header{"Retry-After": {"0.5"}}, 500 * time.Millisecond},
		"a date":                {http.Header{"Date": {date}, "Retry-After": {"Wed, 25 Nov 2026 12:01:30 GMT"}}, 90 * time.Second},
		"the past":              {http.Header{"Date": {date}, "Retry-After": {"Wed, 25 Nov 2026 11:01:30 GMT"}}, 0},
		"nonsense":              {http.Header{"Retry-After": {"soon"}}, 0},
		"negative":              {http.Header{"Retry-After": {"-5"}}, 0},
		"for ever":              {http.Header{"Retry-After": {"1e300"}}, 24 * time.Hour},
		"a reset":               {http.Header{"Date": {date}, "X-Ratelimit-Reset": {"1795608030"}}, 30 * time.Second},
		"a reset with room":     {http.Header{"Date": {date}, "X-Ratelimit-Reset": {"1795608030"}, "X-Ratelimit-Remaining": {"3"}}, 0},
		"a reset without room":  {http.Header{"Date": {date}, "X-Ratelimit-Reset": {"1795608030"}, "X-Ratelimit-Remaining": {"0"}}, 30 * time.Second},
		"a reset far in future": {http.Header{"Date": {date}, "X-Ratelimit-Reset": {"99999999999"}}, 24 * time.Hour},
	} {
		if got := (&rest.Answer{Header: c.header}).RetryAfter(); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	api := &rest.API{Secrets: []string{"s3cr et/t", "ab", `<a>&"b"`}}
	for text, want := range map[string]string{
		"":                              "",
		" a\n\tb\x00c ":                 "a b c",
		"key s3cr et/t and s3cr+et%2Ft": "key … and …",
		"ab is short":                   "ab is short",
		"<p>&lt;a&gt;&amp;&#34;b&#34;</p> and &lt;a&gt;&amp;&quot;b&quot;, &lt;a&gt;&amp;\"b\"": "<p>…</p> and …, …",
		`"\u003ca\u003e\u0026\"b\""`: `"…"`,
		"bad \xff":                   "bad �",
		strings.Repeat("é", 600):     strings.Repeat("é", 500) + "…",
	} {
		if got := api.Words(text); got != want {
			t.Errorf("Words(%q) = %q, want %q", text, got, want)
		}
	}
}

// Whatever the headers of a tool hold.
func FuzzRetryAfter(f *testing.F) {
	f.Add("7", "", "", "")
	f.Add("Wed, 25 Nov 2026 12:01:30 GMT", "1795608030", "0", "Wed, 25 Nov 2026 12:00:00 GMT")
	f.Add("NaN", "-1", "", "x")
	f.Fuzz(func(t *testing.T, after, reset, remaining, date string) {
		h := http.Header{"Retry-After": {after}, "X-Ratelimit-Reset": {reset}, "X-Ratelimit-Remaining": {remaining}, "Date": {date}}
		if d := (&rest.Answer{Header: h}).RetryAfter(); d < 0 || d > 24*time.Hour {
			t.Errorf("%v", d)
		}
	})
}

// Why a tool cannot be reached is told where people can do something about it.
func TestUnreached(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	encrypted := httptest.NewTLSServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	defer encrypted.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, test := range map[string]struct{ base, words string }{
		"a mistyped host":      {"https://nowhere.invalid", `there is no host "nowhere.invalid"`},
		"nothing there":        {gone.URL, "nothing listens at its address"},
		"http, not https":      {strings.Replace(plain.URL, "http://", "https://", 1), "does not speak HTTPS"},
		"a certificate of own": {encrypted.URL, "its certificate is not trusted (x509: "},
	} {
		t.Run(name, func(t *testing.T) {
			client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				if strings.HasPrefix(address, "nowhere") { // no test asks the network for names
					return nil, &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}
				}
				return new(net.Dialer).DialContext(ctx, network, address)
			}}}
			defer client.CloseIdleConnections()
			_, err := (&rest.API{HTTP: client, Base: test.base}).Send(t.Context(), rest.Request{Method: http.MethodGet, Path: "/"})
			if e := connector.AsError(err); e == nil || e.Kind != connector.Away || !strings.Contains(e.Message, test.words) {
				t.Errorf("Send = %v, want %q", err, test.words)
			}
		})
	}
}
