package outgoing

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/redact"
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

// Recorder is told of exchanges. Its methods must not block.
type Recorder interface {
	// Begin is called before a request leaves, and gives the exchange its id.
	Begin(ctx context.Context, at time.Time) (id string)
	// End is called when the answer was read to its end, or there is none: then status is 0. exchange makes the record; that
	// takes up to some milliseconds, so another goroutine should call it, once. Until then it holds size bytes.
	End(ctx context.Context, id string, status, size int, exchange func() Exchange)
}

// recording tells of exchanges.
type recording struct {
	to     Recorder // nil: nobody
	redact *redact.Redactor
	next   http.RoundTripper
}

// exchange is one under way.
type exchange struct {
	Exchange
	*recording
	ctx       context.Context //nolint:containedctx // of the request
	id        string
	began     time.Time
	url       url.URL
	sentHead  http.Header
	gotHead   http.Header
	sent, got *head
}

// tell says that it has ended.
func (x *exchange) tell(err error) {
	x.Took = time.Since(x.began)
	if err != nil {
		x.Error = err.Error()
	}
	x.to.End(x.ctx, x.id, x.Status, x.sent.size()+x.got.size(), func() Exchange {
		x.URL, x.Error = x.redact.URL(&x.url), x.redact.Text(x.Error)
		x.RequestHeader, x.AnswerHeader = x.redact.Header(x.sentHead), x.redact.Header(x.gotHead)
		x.RequestBody, x.RequestCut = x.sent.redacted(x.redact)
		x.AnswerBody, x.AnswerCut = x.got.redacted(x.redact)
		return x.Exchange
	})
}

// RoundTrip implements http.RoundTripper.
func (t *recording) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.to == nil {
		return t.next.RoundTrip(r)
	}
	most := mostBody + t.redact.Overlap()
	x := &exchange{
		recording: t, ctx: r.Context(), url: *r.URL, sentHead: r.Header.Clone(), began: time.Now(), sent: &head{most: most}, got: &head{most: most},
	}
	x.At, x.Method = x.began.UTC(), r.Method
	x.id = t.to.Begin(r.Context(), x.At)
	if r.Body != nil {
		r = r.Clone(r.Context())
		r.Body = &tee{ReadCloser: r.Body, to: x.sent}
	}
	response, err := t.next.RoundTrip(r)
	if err != nil {
		x.tell(err)
		return nil, &exchangeError{x.id, err}
	}
	x.Status, x.gotHead = response.StatusCode, response.Header.Clone()
	response.Body = &answerBody{tee{ReadCloser: response.Body, to: x.got, ended: x.tell}, x.id}
	return response, nil
}

// exchangeError is an error of a request that was recorded.
type exchangeError struct {
	id  string
	err error
}

// Error implements error.
func (e *exchangeError) Error() string { return e.err.Error() }

// Unwrap gives the cause.
func (e *exchangeError) Unwrap() error { return e.err }

// Exchange is the id of the record. It is how package rest, which does not know this one, learns it.
func (e *exchangeError) Exchange() string { return e.id }

// answerBody is the body of an answer that is recorded.
type answerBody struct {
	tee
	id string
}

// Exchange is that of exchangeError.
func (b *answerBody) Exchange() string { return b.id }

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
	most int // with what has to be known behind the cut

	mu  sync.Mutex
	buf bytes.Buffer
	cut bool
}

func (h *head) add(p []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.most - h.buf.Len()
	h.cut = h.cut || len(p) > room
	h.buf.Write(p[:min(len(p), room)])
}

func (h *head) size() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Len()
}

// redacted is what is kept, and whether there was more.
func (h *head) redacted(by *redact.Redactor) (body []byte, cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	body, whole := by.Head(h.buf.Bytes(), mostBody)
	return body, h.cut || !whole
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
