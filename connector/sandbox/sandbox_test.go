package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
)

func TestConformance(t *testing.T) {
	s := sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db")})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	catalogue := s.Sandbox()
	situations := map[connectortest.Situation]string{
		connectortest.Normal:          `{"batch_limit":150,"concurrency":4}`,
		connectortest.RefusesOne:      `{"refuse_names":"^Refused$"}`,
		connectortest.Credentials:     `{"refuse_credentials":true}`,
		connectortest.Permission:      `{"refuse_permission":true}`,
		connectortest.Throttling:      `{"scripts":{"id/a":["throttle"]}}`,
		connectortest.ThrottlingMute:  `{"scripts":{"id/a":["throttle"]},"hide_retry_after":true}`,
		connectortest.Away:            `{"outage":true}`,
		connectortest.LosesAnswer:     `{"lose_answers":1}`,
		connectortest.Hangs:           `{"scripts":{"id/a":["hang"]}}`,
		connectortest.RefusesBatch:    `{"refuse_names":"^Refused$","refuse_batch":true}`,
		connectortest.UnexpectedReply: `{"scripts":{"id/a":["unexpected"]}}`,
	}
	var accounts atomic.Int64
	connectortest.Run(t, connectortest.Harness{
		Connector: sandbox.New(catalogue),
		Page:      "../../docs/connectors/sandbox.md",
		NewAccount: func(_ *testing.T, situation connectortest.Situation) (connectortest.Account, bool) {
			settings, ok := situations[situation]
			id := fmt.Sprintf("sandbox:%d", accounts.Add(1))
			return connectortest.Account{
				Account: connector.Account{ID: id, Settings: json.RawMessage(settings)},
				Records: func(t *testing.T) []connector.Record { return records(t, catalogue, id) },
				Relax:   func(*testing.T) connector.Account { return connector.Account{ID: id} },
			}, ok
		},
		BadSettings: map[string]string{
			`{"batch_limit":0}`:        "batch_limit",
			`{"concurrency":0}`:        "concurrency",
			`{"latency":"soon"}`:       "soon",
			`{"rate_window":"0s"}`:     "rate_window",
			`{"refuse_names":"("}`:     "refuse_names",
			`{"no_such_setting":1}`:    "no_such_setting",
			`{"outage":"yes"}`:         "outage",
			`{"scripts":{"a":"away"}}`: "scripts",

			`{"scripts":{"a":["late: soon"]}}`: "soon",
		},
	})
}

// A late write arrives although its caller has given up.
func TestLate(t *testing.T) {
	t.Parallel()
	s := sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db")})
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	catalogue := s.Sandbox()
	session, err := sandbox.New(catalogue).Open(connector.Account{ID: "sandbox:1", Settings: []byte(`{"scripts":{"a":["late: 2s"]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	_, err = session.Write(ctx, []connector.Skill{{OriginID: "a", Name: "Welding", Active: true}})
	if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous {
		t.Fatalf("error = %v", err)
	}
	if got := records(t, catalogue, "sandbox:1"); len(got) != 0 {
		t.Errorf("it is there at once: %v", got)
	}
	for limit := time.Now().Add(10 * time.Second); len(records(t, catalogue, "sandbox:1")) == 0; {
		if time.Now().After(limit) {
			t.Fatal("it never arrives")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func records(t *testing.T, c sandbox.Catalogue, account string) []connector.Record {
	t.Helper()
	list, err := c.List(t.Context(), account, 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]connector.Record, len(list))
	for i, r := range list {
		out[i] = connector.Record{RemoteID: fmt.Sprintf("SKL-%d", r.Seq), OriginID: r.ExternalID, Name: r.Name, Active: r.Active}
	}
	return out
}
