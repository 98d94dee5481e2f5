package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type keysCommand struct {
	Create keysCreate `cmd:"" help:"Make an API key. It is shown once."`
	List   keysList   `cmd:"" help:"List API keys."`
	Revoke keysRevoke `cmd:"" help:"Revoke an API key: running servers refuse it within a second."`
}

type keysCreate struct {
	database
	asJSON
	Name        string        `help:"What it is for." required:""`
	Environment string        `help:"Name or id of the environment." default:"default"`
	Scope       []string      `help:"What it may do: write, read or manage; may be given several times. Everything if not given." enum:"write,read,manage" placeholder:"SCOPE"`
	Expires     time.Duration `help:"How long it is good; for ever if not given." placeholder:"DURATION"`
	Address     []string      `help:"An address or network it may be used from; may be given several times. From everywhere if not given." placeholder:"CIDR"`
}

func (c *keysCreate) Help() string {
	return examplesOf("crosswalk keys create --name nightly", "crosswalk keys create --name nightly --environment staging --scope write --expires 2160h --json")
}

func (c *keysCreate) Validate() error {
	if c.Expires < 0 {
		return errors.New("--expires must be above 0")
	}
	return nil
}

func (c *keysCreate) scopes() (all store.Scopes) {
	for _, word := range c.Scope {
		switch word {
		case "write":
			all |= store.WriteSkills
		case "read":
			all |= store.ReadSkills
		default:
			all |= store.ManageIntegrations
		}
	}
	return all
}

func (c *keysCreate) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := s.Environment(ctx, c.Environment)
		if err != nil {
			return err
		}
		networks, err := auth.ParseNetworks(c.Address)
		if err != nil {
			return misuse("--address: %w", err)
		}
		secret, shown, hash := auth.NewKey()
		key := store.Key{EnvironmentID: env.ID, Name: c.Name, Prefix: shown, Scopes: c.scopes(), Addresses: networks, Lives: c.Expires}
		if err := recorded(ctx, s, env.ID, "key.create", shown, "“"+c.Name+"”", func() (err error) {
			key, err = s.CreateKey(ctx, key, hash)
			return err
		}); err != nil {
			return err
		}
		out := struct {
			Key string `json:"key"`
			keyJSON
		}{secret, keyOut(key)}
		return c.print(a, out, func(w io.Writer) {
			fmt.Fprintf(w, "%s\n", secret)
			fmt.Fprintf(a.err, "API key %q of environment %s, id %s. It is not shown again.\n", key.Name, env.Name, key.ID)
		})
	})
}

type keyJSON struct {
	ID            string  `json:"id"`
	Name          string  `json:"name"`
	EnvironmentID string  `json:"environment_id"`
	Prefix        string  `json:"prefix"`
	Scopes        string  `json:"scopes"`
	Addresses     string  `json:"addresses,omitempty"`
	CreatedAt     *string `json:"created_at"`
	ExpiresAt     *string `json:"expires_at"`
	LastUsedAt    *string `json:"last_used_at"`
	RevokedAt     *string `json:"revoked_at"`
}

func keyOut(k store.Key) keyJSON {
	return keyJSON{
		k.ID, k.Name, k.EnvironmentID, k.Prefix, k.Scopes.String(), store.FormatAddresses(k.Addresses), atJSON(k.CreatedAt), atJSON(k.ExpiresAt),
		atJSON(k.LastUsedAt), atJSON(k.RevokedAt),
	}
}

type keysList struct {
	database
	asJSON
	Environment string `help:"Only those of this environment (name or id)."`
}

func (c *keysList) Help() string {
	return examplesOf("crosswalk keys list", "crosswalk keys list --environment staging --json")
}

func (c *keysList) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		envID, names, err := environmentFilter(ctx, s, c.Environment)
		if err != nil {
			return err
		}
		keys, err := s.Keys(ctx, envID)
		if err != nil {
			return err
		}
		out := struct {
			Keys []keyJSON `json:"keys"`
		}{each(keys, keyOut)}
		return c.print(a, out, func(w io.Writer) {
			if len(keys) == 0 {
				fmt.Fprintln(w, "There are no API keys. Make one: crosswalk keys create --name NAME")
				return
			}
			table(w, []string{"KEY", "NAME", "ENVIRONMENT", "ID", "MAY", "CREATED", "EXPIRES", "LAST USED", "REVOKED"}, each(keys, func(k store.Key) []string {
				return []string{
					k.Prefix + "…", k.Name, names[k.EnvironmentID], k.ID, k.Scopes.String(), at(k.CreatedAt), at(k.ExpiresAt), at(k.LastUsedAt), at(k.RevokedAt),
				}
			}))
		})
	})
}

type keysRevoke struct {
	database
	asJSON
	ID string `arg:"" help:"The key's id, as crosswalk keys list shows it."`
}

func (c *keysRevoke) Help() string {
	return examplesOf("crosswalk keys revoke 28KMdr68N8kG9EzLwjsN9aoz", "crosswalk keys revoke 28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *keysRevoke) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		keys, err := s.Keys(ctx, "")
		if err != nil {
			return err
		}
		key := store.Key{ID: c.ID}
		for _, k := range keys {
			if k.ID == c.ID {
				key = k
			}
		}
		if err := recorded(ctx, s, key.EnvironmentID, "key.revoke", key.ID, "“"+key.Name+"”", func() (err error) {
			key, err = s.RevokeKey(ctx, c.ID)
			return err
		}); err != nil {
			return err
		}
		return c.print(a, keyOut(key), func(w io.Writer) { fmt.Fprintf(w, "revoked %s… %q\n", key.Prefix, key.Name) })
	})
}
