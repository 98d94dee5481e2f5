package rest_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// recorded answers requests as a client does that records them.
type recorded struct {
	body string
	err  error
}

func (r recorded) RoundTrip(*http.Request) (*http.Response, error) {
	if r.err != nil {
		return nil, recordedError{r.err}
	}
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: recordedBody{io.NopCloser(strings.NewReader(r.body))},
	}, nil
}

type recordedError struct{ error }

func (recordedError) Exchange() string { return "of the error" }

type recordedBody struct{ io.ReadCloser }

func (recordedBody) Exchange() string { return "of the answer" }

func TestErrorsKnowTheirExchange(t *testing.T) {
	t.Parallel()
	exchange := func(err error) string {
		e, ok := errors.AsType[*connector.Error](err)
		if !ok {
			t.Fatalf("%v is no error of a connector", err)
		}
		return e.Exchange
	}
	send := func(r recorded, most int64) (*rest.Answer, error) {
		api := &rest.API{HTTP: &http.Client{Transport: r}, Base: "https://example.com", MostBytes: most}
		return api.Send(t.Context(), rest.Request{Method: http.MethodGet, Path: "/"})
	}
	if _, err := send(recorded{err: io.ErrUnexpectedEOF}, 0); exchange(err) != "of the error" {
		t.Errorf("no answer: %q", exchange(err))
	}
	if _, err := send(recorded{body: "{}"}, 1); exchange(err) != "of the answer" {
		t.Errorf("too large: %q", exchange(err))
	}
	answer, err := send(recorded{body: "no JSON"}, 0)
	if err != nil || answer.Exchange() != "of the answer" {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"JSON": answer.JSON(new(int)), "XML": answer.XML(new(int)), "a problem": answer.Problem("x"), "one item's": answer.ProblemOf(http.StatusConflict, "x"),
	} {
		if got := exchange(err); got != "of the answer" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
