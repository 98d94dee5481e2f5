package connectortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Base is the address at which Account.Tool is reached. Fakes put it into the account's settings; a path may follow.
const Base = "https://tool.test"

// wire is the network between a connector and its tool. It has no sockets, so that time can be simulated, but it keeps the
// order of things that a real one has: the header waits until the body's first bytes were asked for.
type wire struct {
	t       testing.TB
	tool    http.Handler
	secrets []string

	mu sync.Mutex
	// requests that were made, and the largest body of each kind.
	requests        int
	largestQuestion int
	largestAnswer   int
	asks            int // of MaySend
	heard           int // asks when the last request left
	dead            bool
	taken           int // requests that change something, and that the tool has not refused
	// faulty chooses the fault that a request meets, nil for none.
	faulty func(n int, changes bool) *fault
	// carried is called after each request that the tool has worked off.
	carried func(n int, changes bool)
}

// client is what a connector gets as Account.HTTP. Like the program's own it follows nothing to another host.
func (w *wire) client() *http.Client {
	return &http.Client{Transport: w, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if from := via[len(via)-1]; r.URL.Host != from.URL.Host || from.Method != http.MethodGet {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// watched lets the wire know when the connector asks whether it may send.
func (w *wire) watched(ctx context.Context) context.Context {
	return connector.WithSendCheck(ctx, func() error {
		w.mu.Lock()
		w.asks++
		w.mu.Unlock()
		return connector.MaySend(ctx)
	})
}

// set starts to count anew, and chooses the faults to come.
func (w *wire) set(faulty func(n int, changes bool) *fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests, w.taken, w.dead, w.faulty = 0, 0, false, faulty
}

// died reports whether the process has been killed.
func (w *wire) died() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dead
}

// revive is the start of another process.
func (w *wire) revive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = false
}

func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	defer r.Body.Close()
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Scheme+"://"+r.URL.Host != Base {
		w.t.Errorf("a request to another host: %s %s", r.Method, r.URL.Host)
		return nil, errors.New("no such host")
	}
	n, f := w.begin()
	if f != nil && f.refused {
		return nil, refusedConnection()
	}
	trace := httptrace.ContextClientTrace(r.Context())
	if trace != nil && trace.WroteHeaders != nil {
		trace.WroteHeaders()
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	changes := w.leaves(len(body))
	w.mu.Lock()
	if w.faulty != nil {
		f = w.faulty(n, changes)
	}
	if f != nil && f.kills {
		w.dead = true
	}
	w.mu.Unlock()
	if f == nil {
		return w.serve(r, body, n, changes), nil
	}
	var answer *http.Response
	if f.carried {
		answer = w.serve(r, body, n, changes)
	}
	if f.ends != nil {
		f.ends()
	}
	return f.answer(w, r, answer)
}

// begin counts a request. The fault is returned if it is one that lets nothing leave.
func (w *wire) begin() (int, *fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests++
	if w.dead {
		return w.requests, &fault{refused: true}
	}
	if w.faulty == nil {
		return w.requests, nil
	}
	return w.requests, w.faulty(w.requests, w.asks > w.heard)
}

// leaves notes that a request's bytes have left, and reports whether MaySend was asked before.
func (w *wire) leaves(size int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	changes := w.asks > w.heard
	w.heard = w.asks
	w.largestQuestion = max(w.largestQuestion, size)
	return changes
}

func (w *wire) serve(r *http.Request, body []byte, n int, changes bool) *http.Response {
	served := r.Clone(w.t.Context())
	served.Body = io.NopCloser(bytes.NewReader(body))
	served.ContentLength = int64(len(body))
	served.RequestURI = r.URL.RequestURI()
	served.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	served.Host, served.RemoteAddr = r.URL.Host, "192.0.2.1:1234"
	recorder := httptest.NewRecorder()
	w.tool.ServeHTTP(recorder, served)
	if w.carried != nil {
		w.carried(n, changes)
	}
	w.mu.Lock()
	w.largestAnswer = max(w.largestAnswer, recorder.Body.Len())
	if changes && recorder.Code < http.StatusMultipleChoices {
		w.taken++
	}
	w.mu.Unlock()
	answer := recorder.Result()
	answer.Request = r
	if answer.Header.Get("Date") == "" {
		answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return answer
}

// says makes an answer. Its words give away every secret of the account, as a careless tool would.
func (w *wire) says(r *http.Request, status int, header http.Header) *http.Response {
	words := fmt.Sprintf("%d %s, says the fault. Your secrets are %s\n", status, http.StatusText(status), strings.Join(w.secrets, " and "))
	answer := &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader(words)), ContentLength: int64(len(words)), Request: r,
	}
	answer.Header.Set("Content-Type", "text/plain; charset=utf-8")
	answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	for name, values := range header {
		answer.Header[name] = values
	}
	return answer
}

func refusedConnection() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

func brokenConnection() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
}
