package connectortest

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"testing"
)

// Decode reads the JSON body of a request that a fake was sent, strictly: the content type says JSON, no field is unknown,
// and nothing follows. What is wrong fails the test.
func Decode(t testing.TB, r *http.Request, into any) {
	t.Helper()
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		t.Errorf("%s %s: content type %q", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
	}
	decode := json.NewDecoder(r.Body)
	decode.DisallowUnknownFields()
	if err := decode.Decode(into); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		return
	}
	if _, err := decode.Token(); !errors.Is(err, io.EOF) {
		t.Errorf("%s %s: something follows the JSON", r.Method, r.URL.Path)
	}
}
