package odoo_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := odootest.Harness(19, func(*odootest.Server) {})
	h.Page = "../../docs/connectors/odoo.md"
	connectortest.Run(t, h)
}

// Odoo 17 speaks another protocol, and its user may do less: he cannot read external ids.
func TestConformanceOfOdoo17(t *testing.T) {
	t.Parallel()
	connectortest.Run(t, odootest.Harness(17, func(s *odootest.Server) { s.May.ReadExternalIDs = false }))
}

// Where inactive skills are refused, the live test could not retire what it makes.
func TestLive(t *testing.T) {
	const inactive = "CROSSWALK_LIVE_ODOO_INACTIVE"
	if os.Getenv(inactive) == "" {
		t.Setenv(inactive, "move")
	}
	connectortest.Live(t, odoo.New(), "ODOO")
}

// direct is a client that hands requests to a handler, without a network.
type direct struct {
	t       *testing.T
	handler http.Handler
	// calls are the methods that were called.
	calls []string
}

func (d *direct) RoundTrip(r *http.Request) (*http.Response, error) {
	served := r.Clone(context.WithoutCancel(r.Context()))
	d.calls = append(d.calls, methodOf(d.t, served))
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, served)
	return w.Result(), nil
}

// client follows nothing, as the program's own.
func (d *direct) client() *http.Client {
	return &http.Client{Transport: d, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func open(t *testing.T, s *odootest.Server, handler http.Handler) (connector.Session, *direct) {
	t.Helper()
	d := &direct{t: t, handler: handler}
	session, err := odoo.New().Open(connector.Account{ID: "odoo:1", Settings: s.Settings(connectortest.Base), HTTP: d.client()})
	if err != nil {
		t.Fatal(err)
	}
	return session, d
}

func skills(names ...string) []connector.Skill {
	list := make([]connector.Skill, len(names))
	for i, name := range names {
		list[i] = connector.Skill{OriginID: "id/" + name, Name: name, Active: true}
	}
	return list
}
