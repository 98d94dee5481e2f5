package learning360_test

import (
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/learning360"
	"github.com/crosswalk-hr/crosswalk/connector/learning360/learning360test"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	h := learning360test.Harness(func(*learning360test.Company) {})
	h.Page = "../../docs/connectors/360learning.md"
	connectortest.Run(t, h)
}

func TestLive(t *testing.T) { connectortest.Live(t, learning360.New(), "360LEARNING") }
