package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/outgoing"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Account makes the account of an integration for one connector, with a client of its own: for a command.
func Account(c connector.Connector, keys *account.Keyring, private bool, in store.Integration) (connector.Account, error) {
	return accounts(connector.NewRegistry(c), keys, outgoing.New(private), nil)(in)
}

// accounts makes a connector's account of an integration.
func accounts(connectors *connector.Registry, keys *account.Keyring, network *outgoing.Network, log *interactions.Log) func(store.Integration) (connector.Account, error) {
	return func(in store.Integration) (connector.Account, error) {
		values, err := account.Open(keys, in)
		if _, elsewhere := errors.AsType[*account.NoKeyError](err); elsewhere {
			return connector.Account{}, fmt.Errorf("%w: %w", engine.ErrNotHere, err)
		}
		if err != nil {
			return connector.Account{}, err
		}
		settings, err := json.Marshal(values)
		if err != nil {
			return connector.Account{}, err
		}
		var secrets []string
		if c, ok := connectors.Find(in.Tool); ok {
			secrets = account.Secrets(c.Describe(), values)
		}
		client := outgoing.Client{Secrets: secrets, Recorder: recorderOf(log, in.EnvironmentID, in.ID)}
		return connector.Account{ID: in.ID, Settings: settings, HTTP: network.Client(client)}, nil
	}
}

// recorderOf logs the exchanges of an integration, or with nobody's yet; nil where nothing is logged.
func recorderOf(log *interactions.Log, environmentID, integrationID string) outgoing.Recorder {
	if log == nil {
		return nil
	}
	return recorder{log, environmentID, integrationID}
}

// recorder logs the exchanges of an integration.
type recorder struct {
	log                        *interactions.Log
	environmentID, integration string
}

// Begin implements outgoing.Recorder.
func (r recorder) Begin(ctx context.Context, at time.Time) string { return r.log.Begin(ctx, at) }

// End implements outgoing.Recorder.
func (r recorder) End(ctx context.Context, id string, status, size int, exchange func() outgoing.Exchange) {
	i := store.Interaction{ID: id, EnvironmentID: r.environmentID, IntegrationID: r.integration, Status: status}
	r.log.Outbound(ctx, i, size, func(i *store.Interaction) {
		x := exchange()
		i.Method, i.URL, i.Took = x.Method, x.URL, x.Took
		i.Exchange = store.Exchange{
			Error: x.Error, RequestHeader: x.RequestHeader, AnswerHeader: x.AnswerHeader,
			RequestBody: x.RequestBody, AnswerBody: x.AnswerBody, RequestCut: x.RequestCut, AnswerCut: x.AnswerCut,
		}
	})
}
