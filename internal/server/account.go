package server

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/outgoing"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// accounts makes a connector's account of an integration.
func accounts(connectors *connector.Registry, keys *account.Keyring, network *outgoing.Network) func(store.Integration) (connector.Account, error) {
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
		return connector.Account{ID: in.ID, Settings: settings, HTTP: network.Client(outgoing.Client{Secrets: secrets})}, nil
	}
}
