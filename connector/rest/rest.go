// Package rest is what connectors to HTTP APIs have in common: one request, one answer, and a precise word on what is known
// of a request that failed. It sends nothing twice, follows nothing, and believes nothing it has not read to its end.
package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// ErrTooLarge is behind the error of Send for an answer of more than API.MostBytes. It was carried out, and asking for less helps.
var ErrTooLarge = errors.New("too large")

// API is one account's way to its tool. It may be used by several goroutines at once.
type API struct {
	// HTTP makes the requests: connector.Account.HTTP. A plain client if nil.
	HTTP *http.Client
	// Base is the address that paths are appended to, "https://api.example.com/v1".
	Base string
	// Header is sent with every request.
	Header http.Header
	// Sign adds the credentials to a request; nil adds none. An error of it that is no *connector.Error counts as Away:
	// nothing was sent.
	Sign func(ctx context.Context, r *http.Request) error
	// Secrets are taken out of whatever the tool says.
	Secrets []string
	// MostBytes of an answer. 16 MiB if zero.
	MostBytes int64
}

// Request is one request.
type Request struct {
	Method string
	Path   string // appended to API.Base; an absolute address of the same host is taken as it is
	Query  url.Values
	Header http.Header
	// Body is sent as it is if it is a []byte, as a form if it is url.Values, otherwise as JSON; nil sends none.
	Body any
	// ContentType of a []byte.
	ContentType string
	// Changes: the request changes something. It asks connector.MaySend right before its bytes leave, and when it ends
	// without an answer it may have been carried out.
	Changes bool
}

// Answer is an answer that was read to its end.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	changes  bool
	exchange string
	api      *API
}

// Exchange is the id under which the request and this answer are recorded, for a connector.Error that is made without
// Problem. Empty where nothing is recorded.
func (a *Answer) Exchange() string { return a.exchange }

func (a *Answer) failed(message string, err error) *connector.Error {
	e := a.api.failed(a.changes, message, err)
	e.Exchange = a.exchange
	return e
}

// Send makes one attempt. An answer comes with a nil error whatever its status says. Otherwise the error's kind is Away when
// nothing was carried out, and Ambiguous when a request that changes something may have been.
func (a *API) Send(ctx context.Context, r Request) (*Answer, error) {
	request, err := a.request(ctx, r)
	if err != nil {
		return nil, err
	}
	var left atomic.Bool
	request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		WroteHeaders: func() { left.Store(true) },
	}))
	if a.Sign != nil {
		if err := a.Sign(ctx, request); err != nil {
			if e, ok := errors.AsType[*connector.Error](err); ok {
				return nil, e
			}
			return nil, away("the request could not be signed", err)
		}
	}
	gate := &gate{ctx: ctx}
	if r.Changes {
		if err := connector.MaySend(ctx); err != nil {
			return nil, away(givenUp, err)
		}
		if request.Body != nil {
			gate.ReadCloser, request.Body = request.Body, gate
		}
	}
	client := a.HTTP
	if client == nil {
		client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	response, err := client.Do(request)
	if refused := gate.refused.Load(); err != nil && refused != nil {
		return nil, away(givenUp, *refused)
	}
	if err != nil {
		e := a.failed(r.Changes && left.Load(), unreached(err), err)
		if recorded, ok := errors.AsType[interface {
			error
			Exchange() string
		}](err); ok {
			e.Exchange = recorded.Exchange()
		}
		return nil, e
	}
	defer response.Body.Close()
	answer := &Answer{Status: response.StatusCode, Header: response.Header, changes: r.Changes, api: a}
	if recorded, ok := response.Body.(interface{ Exchange() string }); ok {
		answer.exchange = recorded.Exchange()
	}
	most := a.MostBytes
	if most == 0 {
		most = 16 << 20
	}
	tooLarge := func() (*Answer, error) {
		return nil, answer.failed(fmt.Sprintf("the tool's answer is larger than %d bytes", most), ErrTooLarge)
	}
	if response.ContentLength > most {
		return tooLarge()
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, answer.failed("the tool's answer broke off", err)
	}
	if int64(len(body)) > most {
		return tooLarge()
	}
	answer.Body = body
	return answer, nil
}

const givenUp = "the call was given up before it was sent"

// gate is a body that asks once more whether it may leave, when the connection is there and takes its first bytes: until
// then a name was resolved, a connection opened and keys exchanged, and all that took time. When the answer is no, the
// header may have left, but a request whose body never comes is not carried out.
type gate struct {
	io.ReadCloser
	ctx     context.Context //nolint:containedctx // of the one request that the body belongs to
	asked   bool
	refused atomic.Pointer[error]
}

// Read implements io.Reader.
func (g *gate) Read(p []byte) (int, error) {
	if !g.asked {
		g.asked = true
		if err := connector.MaySend(g.ctx); err != nil {
			g.refused.Store(&err)
			return 0, err
		}
	}
	return g.ReadCloser.Read(p)
}

func (a *API) request(ctx context.Context, r Request) (*http.Request, error) {
	address, err := a.address(r)
	if err != nil {
		return nil, err
	}
	var body io.Reader
	kind := r.ContentType
	switch b := r.Body.(type) {
	case nil:
	case []byte:
		body = bytes.NewReader(b)
	case url.Values:
		body, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, away("the request could not be written", err)
		}
		body, kind = bytes.NewReader(encoded), "application/json"
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, address, body)
	if err != nil {
		return nil, away("the request could not be written", a.hide(err))
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for _, h := range []http.Header{a.Header, r.Header} {
		for name, values := range h {
			request.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	// A body that is there once must not be sent again by the transport behind our back.
	if r.Changes {
		request.GetBody = nil
	}
	return request, nil
}

// address joins base and path. A path that is an address must be on the base's own host: it came from the tool.
func (a *API) address(r Request) (string, error) {
	address := strings.TrimRight(a.Base, "/") + r.Path
	if strings.Contains(r.Path, "://") {
		base, err := url.Parse(a.Base)
		there, err2 := url.Parse(r.Path)
		if err != nil || err2 != nil || there.Scheme != base.Scheme || !strings.EqualFold(there.Host, base.Host) {
			return "", connector.Errorf(connector.Unexpected, "the tool named an address on another host")
		}
		address = r.Path
	}
	if len(r.Query) > 0 {
		address += "?" + r.Query.Encode()
	}
	return address, nil
}

func away(message string, err error) *connector.Error {
	return &connector.Error{Kind: connector.Away, Message: message, Err: err}
}

func (a *API) failed(sent bool, message string, err error) *connector.Error {
	// What the client itself forbids it will forbid again, so people must be told.
	if forbidden, ok := errors.AsType[interface {
		error
		Forbidden() string
	}](err); ok {
		return &connector.Error{Kind: connector.Unexpected, Message: forbidden.Forbidden(), Err: a.hide(err)}
	}
	kind := connector.Away
	if sent {
		kind = connector.Ambiguous
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		message = "the tool did not answer in time"
	}
	return &connector.Error{Kind: kind, Message: message, Err: a.hide(err)}
}

// unreached says why a tool could not be reached, where people can do something about it.
func unreached(err error) string {
	why := ""
	name, isName := errors.AsType[*net.DNSError](err)
	certificate, isCertificate := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case isName && name.IsNotFound:
		why = fmt.Sprintf(": there is no host %q", name.Name)
	case isCertificate:
		why = ": its certificate is not trusted (" + certificate.Err.Error() + ")"
	case errors.Is(err, http.ErrSchemeMismatch):
		why = ": it does not speak HTTPS, so its address may begin with http://"
	case errors.Is(err, syscall.ECONNREFUSED):
		why = ": nothing listens at its address"
	}
	return "the tool could not be reached" + why
}

// hide keeps an error's identity and takes the secrets out of its text.
func (a *API) hide(err error) error {
	if err == nil {
		return nil
	}
	if text := a.Redact(err.Error()); text != err.Error() {
		return &hidden{text, err}
	}
	return err
}

type hidden struct {
	text string
	err  error
}

func (h *hidden) Error() string { return h.text }

// Is keeps the identity; Unwrap would give the text away.
func (h *hidden) Is(target error) bool { return errors.Is(h.err, target) }

// Redact takes the secrets out of a text, also where they are written as in an address, in XML or in JSON.
func (a *API) Redact(text string) string {
	for _, s := range a.Secrets {
		if len(s) < 4 { // would leave nothing readable, and is no secret
			continue
		}
		for _, form := range forms(s) {
			text = strings.ReplaceAll(text, form, "…")
		}
	}
	return text
}

// forms are the ways in which a secret may be written.
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

// OK reports whether the status is one of success.
func (a *Answer) OK() bool { return a.Status >= 200 && a.Status < 300 }

// JSON decodes the answer. One that is no JSON, or not of this shape, tells nothing: what it answers may have been done.
func (a *Answer) JSON(v any) error {
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return a.failed(fmt.Sprintf("the tool answered with %d and no JSON", a.Status), err)
	}
	if err := json.Unmarshal(a.Body, v); err != nil {
		return a.failed(fmt.Sprintf("the tool's answer with %d cannot be read", a.Status), err)
	}
	return nil
}

// XML decodes the answer, which must be one document and nothing else. As with JSON, one of another kind or shape tells
// nothing. Entities that XML itself does not have are not followed: a document that uses them cannot be read.
func (a *Answer) XML(v any) error {
	if !a.IsXML() {
		return a.failed(fmt.Sprintf("the tool answered with %d and no XML", a.Status), nil)
	}
	decoder := xml.NewDecoder(bytes.NewReader(a.Body))
	err := decoder.Decode(v)
	for err == nil {
		var next xml.Token
		switch next, err = decoder.Token(); t := next.(type) {
		case xml.StartElement:
			err = errors.New("a second document follows")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				err = errors.New("a text follows")
			}
		}
	}
	if !errors.Is(err, io.EOF) || len(bytes.TrimSpace(a.Body)) == 0 {
		return a.failed(fmt.Sprintf("the tool's answer with %d cannot be read", a.Status), err)
	}
	return nil
}

// IsXML reports whether the answer says that it is XML.
func (a *Answer) IsXML() bool {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")) // one that cannot be read is not
	return kind == "text/xml" || kind == "application/xml" || strings.HasSuffix(kind, "+xml")
}

// Problem makes an error of an answer that is none of success, with the tool's own words.
//
//   - 401 is Credentials, 403 Permission, 429 Throttled, 408, 425 and 503 Away;
//   - 500, 502 and 504 leave open what became of a change, and are Away for what changes nothing;
//   - 400, 409, 413 and 422 are Refused: as the error of a whole call the batch holds something the tool will not take;
//   - everything else is Unexpected.
//
// A connector looks first at what its tool says otherwise.
func (a *Answer) Problem(words string) *connector.Error { return a.ProblemOf(a.Status, words) }

// ProblemOf is Problem for a part of the answer that has a status of its own.
func (a *Answer) ProblemOf(status int, words string) *connector.Error {
	e := &connector.Error{Message: a.api.Words(words), Exchange: a.exchange}
	switch status {
	case http.StatusUnauthorized:
		e.Kind = connector.Credentials
	case http.StatusForbidden:
		e.Kind = connector.Permission
	case http.StatusTooManyRequests:
		e.Kind, e.RetryAfter = connector.Throttled, a.RetryAfter()
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusServiceUnavailable:
		e.Kind, e.RetryAfter = connector.Away, a.RetryAfter()
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		e.Kind = connector.Away
		if a.changes {
			e.Kind = connector.Ambiguous
		}
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		e.Kind = connector.Refused
	default:
		e.Kind = connector.Unexpected
	}
	if e.Message == "" {
		e.Message = strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
	}
	return e
}

// Said is what the answer says to people: see Said. Nothing if it is neither JSON nor plain text, as a proxy's page.
func (a *Answer) Said() string {
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type")) // one that cannot be read is none of these
	switch {
	case kind == "application/json" || strings.HasSuffix(kind, "+json"):
		return Said(a.Body)
	case kind == "text/plain":
		return string(a.Body)
	default:
		return ""
	}
}

// Said finds the words for people in a piece of JSON whose form is not known for sure: texts, and of objects the values
// under names such as "message" and "error". If there are none, it is the JSON itself.
func Said(raw json.RawMessage) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return ""
	}
	var words []string
	if collect(v, &words, 0); len(words) > 0 {
		return strings.Join(words, "; ")
	}
	if v == nil {
		return ""
	}
	return string(raw)
}

func collect(v any, words *[]string, depth int) {
	if depth > 4 {
		return
	}
	switch v := v.(type) {
	case string:
		if text := strings.TrimSpace(v); text != "" && !slices.Contains(*words, text) {
			*words = append(*words, text)
		}
	case []any:
		for _, part := range v {
			collect(part, words, depth+1)
		}
	case map[string]any:
		for _, name := range []string{"message", "errorMessage", "error", "errors", "detail", "details", "description", "reason", "title"} {
			part, ok := v[name]
			if !ok {
				continue
			}
			before := len(*words)
			collect(part, words, depth+1)
			// What is wrong may stand under the name of each field.
			if fields, ok := part.(map[string]any); ok && name == "errors" && len(*words) == before {
				for _, field := range slices.Sorted(maps.Keys(fields)) {
					collect(fields[field], words, depth+2)
				}
			}
		}
	}
}

// mostWait bounds what a tool may ask for: a date that is wrong must not stop an integration for ever.
const mostWait = 24 * time.Hour

// RetryAfter is how long the tool asks to be left alone: Retry-After in either form, else the moment in X-RateLimit-Reset
// when X-RateLimit-Remaining is 0 or not told. 0: it did not say. A date is taken against the answer's own date, so that
// our clock does not matter.
func (a *Answer) RetryAfter() time.Duration {
	now, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	wait := time.Duration(0)
	switch after, reset := a.Header.Get("Retry-After"), a.Header.Get("X-Ratelimit-Reset"); {
	case after != "":
		if seconds, err := strconv.ParseFloat(after, 64); err == nil {
			wait = time.Duration(min(seconds, mostWait.Seconds()) * float64(time.Second))
		} else if at, err := http.ParseTime(after); err == nil {
			wait = at.Sub(now)
		}
	case reset != "":
		if remaining := a.Header.Get("X-Ratelimit-Remaining"); remaining != "" && remaining != "0" {
			break
		}
		if at, err := strconv.ParseInt(reset, 10, 64); err == nil {
			wait = time.Unix(at, 0).Sub(now)
		}
	}
	return max(0, min(wait, mostWait))
}

// mostWords is how much of what a tool says is passed on.
const mostWords = 500

// Words makes what a tool said fit to be shown: one line, of bounded length, without secrets.
func (a *API) Words(text string) string {
	text = strings.Join(strings.FieldsFunc(a.Redact(strings.ToValidUTF8(text, "�")), func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r)
	}), " ")
	if utf8.RuneCountInString(text) > mostWords {
		text = string([]rune(text)[:mostWords]) + "…"
	}
	return text
}
