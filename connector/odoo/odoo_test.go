package odoo_test

import (
	"testing"

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

func TestLive(t *testing.T) { connectortest.Live(t, odoo.New(), "ODOO") }
