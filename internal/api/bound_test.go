package api_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// watched is a connection that notes whether a bound was set before it was waited for.
type watched struct {
	*httptest.ResponseRecorder
	body  io.Reader
	bound bool
	early int // reads without one
}

func (w *watched) SetReadDeadline(t time.Time) error {
	w.bound = !t.IsZero()
	return nil
}

func (w *watched) Read(p []byte) (int, error) {
	if !w.bound {
		w.early++
	}
	return w.body.Read(p)
}

func (*watched) Close() error { return nil }

// Whatever a client says of a body that it does not send, nobody waits for it without a bound.
func TestNobodyWaitsForABodyWithoutABound(t *testing.T) {
	f := setup(t)
	for _, method := range []struct{ method, path string }{
		{"POST", "/v1/hris/skills/bulk"},
		{"POST", "/v1/hris/skills/bulk/diff"},
		{"POST", "/v1/hris/skills"},
		{"PATCH", "/v1/hris/skills/28KMdr68N8kG9EzLwjsN9aoz"},
		{"POST", "/v1/force-sync"},
		{"POST", "/v1/connect/create-link"},
		{"POST", "/v1/connect/activate-integration"},
		{"POST", "/v1/integrations/" + f.integration + "/relink"},
		{"POST", "/v1/integrations/" + f.integration + "/setup-link"},
		{"PUT", "/v1/integrations/" + f.integration + "/enabled"},
		{"DELETE", "/v1/hris/skills/28KMdr68N8kG9EzLwjsN9aoz"},
		{"POST", "/v1/nowhere"},
	} {
		for _, encoding := range []string{"", "gzip"} {
			for _, length := range []int64{-1, 10} {
				broken := errors.New("the client is gone")
				w := &watched{ResponseRecorder: httptest.NewRecorder(), body: io.MultiReader(bytes.NewReader(nil), failing{broken})}
				r := httptest.NewRequest(method.method, method.path, w)
				r.ContentLength = length
				r.Header = http.Header{
					"Authorization": {"Bearer " + f.key}, "X-Integration-Id": {f.integration}, "Content-Type": {"application/json"},
				}
				if encoding != "" {
					r.Header.Set("Content-Encoding", encoding)
				}
				f.server.Config.Handler.ServeHTTP(w, r)
				if w.early > 0 || w.Code < 400 {
					t.Errorf("%s %s, length %d, %q: answered %d, waited %d times without a bound", method.method, method.path, length, encoding, w.Code, w.early)
				}
			}
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
