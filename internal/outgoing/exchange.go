package outgoing

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Exchange is a request and its answer, for people: secrets are taken out, bodies are cut.
type Exchange struct {
	At     time.Time
	Took   time.Duration
	Method string
	URL    string
	Status int    // 0: no answer
	Error  string // why there was none, or why it broke off

	RequestHeader, AnswerHeader http.Header
	// The first bytes of both bodies. Cut says whether there was more.
	RequestBody, AnswerBody []byte
	RequestCut, AnswerCut   bool
}

// mostBody is how much of a body is kept.
const mostBody = 16 << 10

// kept are the headers that are shown as they are. What is not here may be a secret of a tool that nobody thought of.
func kept() []string {
	return []string{
		"Accept", "Content-Type", "Content-Length", "Date", "Location", "Link", "Retry-After", "User-Agent", "Server", "X-Request-Id",
		"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset", "360-Api-Version",
	}
}

const redacted = "…"

// safe copies a header without the values that nobody is to see.
func safe(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		out[name] = []string{redacted}
		for _, k := range kept() {
			if strings.EqualFold(k, name) {
				out[name] = values
			}
		}
	}
	return out
}

// safeURL hides what stands where a password or a token may stand.
func safeURL(u *url.URL) string {
	shown := *u
	if shown.User != nil {
		shown.User = url.User(redacted)
	}
	query := shown.Query()
	for name := range query {
		switch n := strings.ToLower(name); {
		case strings.Contains(n, "token"), strings.Contains(n, "secret"), strings.Contains(n, "key"), strings.Contains(n, "pass"):
			query.Set(name, redacted)
		}
	}
	shown.RawQuery = query.Encode()
	return shown.String()
}

// tokens finds what a tool gives out as a secret, in JSON.
var tokens = regexp.MustCompile(`("(?:access_token|refresh_token|id_token|token|client_secret|password)"\s*:\s*")(?:[^"\\]|\\.?)*`)

// passwords finds them in XML, as the element Password of WS-Security, whatever its prefix. A body may be cut within it.
var passwords = regexp.MustCompile(`(?i)(<(?:[\w.-]+:)?(?:password|nonce|binarysecuritytoken)(?:\s[^>]*)?>)[^<]*`)

// recording tells of exchanges.
type recording struct {
	record  func(Exchange)
	secrets []string
	next    http.RoundTripper
}

// tell takes the secrets out of an exchange and hands it on.
func (t *recording) tell(x Exchange) {
	x.URL, x.Error = t.hide(x.URL), t.hide(x.Error)
	x.RequestBody, x.AnswerBody = []byte(t.hide(string(x.RequestBody))), []byte(t.hide(string(x.AnswerBody)))
	t.record(x)
}

func (t *recording) hide(text string) string {
	for _, s := range t.secrets {
		if len(s) >= 4 { // a shorter one would leave nothing readable, and is no secret
			for _, form := range forms(s) {
				text = strings.ReplaceAll(text, form, redacted)
			}
		}
	}
	return passwords.ReplaceAllString(tokens.ReplaceAllString(text, "${1}"+redacted), "${1}"+redacted)
}

// forms are the ways in which a secret may be written: as it is, in an address, in XML, in JSON.
func forms(secret string) []string {
	all := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), escapes(secret, "&#34;", "&#39;"), escapes(secret, "&quot;", "&apos;"), escapes(secret, `"`, "'")}
	if quoted, err := json.Marshal(secret); err == nil {
		all = append(all, string(quoted[1:len(quoted)-1]))
	}
	return all
}

// escapes writes a text as in XML, with one of the ways to write quotes.
func escapes(text, double, single string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, double, "'", single).Replace(text)
}

// RoundTrip implements http.RoundTripper.
func (t *recording) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.record == nil {
		return t.next.RoundTrip(r)
	}
	x := &Exchange{At: time.Now().UTC(), Method: r.Method, URL: safeURL(r.URL), RequestHeader: safe(r.Header)}
	sent := &head{}
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = &tee{ReadCloser: r.Body, to: sent}
	}
	began := time.Now()
	response, err := t.next.RoundTrip(r)
	x.RequestBody, x.RequestCut = sent.bytes()
	if err != nil {
		x.Took, x.Error = time.Since(began), err.Error()
		t.tell(*x)
		return nil, err
	}
	x.Status, x.AnswerHeader = response.StatusCode, safe(response.Header)
	got := &head{}
	response.Body = &tee{ReadCloser: response.Body, to: got, ended: func(err error) {
		x.Took = time.Since(began)
		x.AnswerBody, x.AnswerCut = got.bytes()
		if err != nil {
			x.Error = err.Error()
		}
		t.tell(*x)
	}}
	return response, nil
}

// CloseIdleConnections lets http.Client do it.
func (t *recording) CloseIdleConnections() {
	if c, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// head keeps the first bytes of what passes.
//
// A transport may go on sending a body after the answer has come, so both ends use it at once.
type head struct {
	mu  sync.Mutex
	buf bytes.Buffer
	cut bool
}

func (h *head) add(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := mostBody - h.buf.Len()
	h.cut = h.cut || len(p) > room
	h.buf.Write(p[:min(len(p), room)])
}

func (h *head) bytes() ([]byte, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return bytes.Clone(h.buf.Bytes()), h.cut
}

// tee is a body that is kept while it is read. ended is called once, when it has ended or was closed.
type tee struct {
	io.ReadCloser
	to    *head
	ended func(err error)
}

// Read implements io.Reader.
func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.to.add(p[:n])
	if err == io.EOF {
		t.end(nil)
	} else if err != nil {
		t.end(err)
	}
	return n, err
}

// Close implements io.Closer.
func (t *tee) Close() error {
	t.end(nil)
	return t.ReadCloser.Close()
}

func (t *tee) end(err error) {
	if t.ended != nil {
		t.ended(err)
		t.ended = nil
	}
}
