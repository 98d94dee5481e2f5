package moodle_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := moodletest.Harness(func(*moodletest.Site) {})
	h.Page = "../../docs/connectors/moodle.md"
	connectortest.Run(t, h)
}

// A site in another language, on a database that hardly tells texts apart, where the framework is still to be made.
func TestConformanceOfAnotherSite(t *testing.T) {
	t.Parallel()
	h := moodletest.Harness(func(s *moodletest.Site) {
		s.Collates, s.Foreign = true, true
		s.Extra = map[string]any{"framework_idnumber": "skills of Acme", "framework_name": "Skills", "context_id": 40, "scale_id": 5}
	})
	h.Fewest = nil // the same as above, and it takes its time
	connectortest.Run(t, h)
}

func TestLive(t *testing.T) { connectortest.Live(t, moodle.New(), "MOODLE") }

// direct is a client that hands requests to a handler, without a network.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, r.Clone(context.WithoutCancel(r.Context())))
	return w.Result(), nil
}

func newSession(settings json.RawMessage, handler http.Handler) (connector.Session, error) {
	// Like the program's own client it follows nothing.
	client := &http.Client{Transport: direct{handler}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return moodle.New().Open(connector.Account{ID: "moodle:1", Settings: settings, HTTP: client})
}

func open(t *testing.T, s *moodletest.Site, handler http.Handler) connector.Session {
	t.Helper()
	session, err := newSession(s.Settings(connectortest.Base), handler)
	if err != nil {
		t.Fatal(err)
	}
	return session
}

// openKnowing is open for an account that was sent the skills of some origin ids before.
func openKnowing(t *testing.T, s *moodletest.Site, handler http.Handler, known ...string) connector.Session {
	t.Helper()
	session, err := moodle.New().Open(connector.Account{
		ID: "moodle:1", Settings: s.Settings(connectortest.Base), HTTP: &http.Client{Transport: direct{handler}},
		Knows: func(_ context.Context, originIDs []string) ([]bool, error) {
			are := make([]bool, len(originIDs))
			for i, id := range originIDs {
				are[i] = slices.Contains(known, id)
			}
			return are, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return session
}
