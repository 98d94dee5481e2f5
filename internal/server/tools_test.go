package server_test

import (
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/internal/server"
)

// The README tells what the connectors of the program can do.
func TestTableOfTools(t *testing.T) {
	t.Parallel()
	connectortest.Generated(t, "../../README.md", connectortest.Table(server.Connectors(nil).All()))
}
