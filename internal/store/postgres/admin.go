package postgres

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// newID makes an identifier by the database's clock.
func newID(ctx context.Context, tx *transaction) (string, error) {
	now, err := tx.Now(ctx)
	if err != nil {
		return "", err
	}
	return skill.NewID(now), nil
}

// CreateEnvironment implements store.Admin.
func (s *Store) CreateEnvironment(ctx context.Context, name string) (env store.Environment, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		id, err := newID(ctx, tx)
		if err != nil {
			return err
		}
		created, err := tx.InsertEnvironment(ctx, dbq.InsertEnvironmentParams{ID: id, Name: name})
		env = store.Environment{ID: id, Name: name, CreatedAt: created.UTC()}
		return taken(err)
	})
	if err != nil {
		return store.Environment{}, fmt.Errorf("create environment %q: %w", name, err)
	}
	return env, nil
}

// Environments implements store.Admin.
func (s *Store) Environments(ctx context.Context) ([]store.Environment, error) {
	rows, err := s.queries.Environments(ctx)
	if err != nil {
		return nil, fault(fmt.Errorf("list environments: %w", err))
	}
	return collect(rows, environment), nil
}

// Environment implements store.Admin.
func (s *Store) Environment(ctx context.Context, nameOrID string) (store.Environment, error) {
	row, err := s.queries.EnvironmentByNameOrID(ctx, nameOrID)
	if err != nil {
		return store.Environment{}, fmt.Errorf("environment %q: %w", nameOrID, missing(err))
	}
	return environment(row), nil
}

// CreateKey implements store.Admin.
func (s *Store) CreateKey(ctx context.Context, key store.Key, hash [32]byte) (store.Key, error) {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.there(ctx, key.EnvironmentID); err != nil {
			return err
		}
		id, err := newID(ctx, tx)
		if err != nil {
			return err
		}
		key.Scopes = cmp.Or(key.Scopes, store.AllScopes)
		row, err := tx.InsertKey(ctx, dbq.InsertKeyParams{
			ID: id, EnvironmentID: key.EnvironmentID, Name: key.Name, Prefix: key.Prefix, Hash: hash[:],
			Scopes: int16(key.Scopes), Addresses: store.FormatAddresses(key.Addresses), CreatedBy: key.CreatedBy, Lives: key.Lives,
		})
		key.ID, key.CreatedAt, key.ExpiresAt = id, row.CreatedAt.UTC(), nullTime(row.ExpiresAt)
		return err
	})
	if err != nil {
		return store.Key{}, fmt.Errorf("create key: %w", err)
	}
	key.Lives = 0
	return key, nil
}

// Keys implements store.Admin.
func (s *Store) Keys(ctx context.Context, environmentID string) ([]store.Key, error) {
	rows, err := s.queries.Keys(ctx, environmentID)
	if err != nil {
		return nil, fault(fmt.Errorf("list keys: %w", err))
	}
	return collect(rows, func(k dbq.KeysRow) store.Key { return key(dbq.KeyByHashRow(k)) }), nil
}

// KeyByHash implements store.Admin.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (store.Key, error) {
	row, err := s.queries.KeyByHash(ctx, hash[:])
	if err != nil {
		return store.Key{}, fmt.Errorf("key by hash: %w", missing(err))
	}
	return key(row), nil
}

// RevokeKey implements store.Admin.
func (s *Store) RevokeKey(ctx context.Context, id string) (store.Key, error) {
	row, err := s.queries.RevokeKey(ctx, id)
	if err != nil {
		return store.Key{}, fmt.Errorf("revoke key %q: %w", id, missing(alone(err)))
	}
	return key(dbq.KeyByHashRow(row)), nil
}

// CreateIntegration implements store.Admin.
func (s *Store) CreateIntegration(ctx context.Context, in store.Integration) (out store.Integration, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) (err error) {
		out, err = tx.addIntegration(ctx, in)
		return err
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("create integration with %s: %w", in.Tool, err)
	}
	return out, nil
}

// addIntegration makes an integration with its place in the queue.
func (tx *transaction) addIntegration(ctx context.Context, in store.Integration) (store.Integration, error) {
	if err := tx.there(ctx, in.EnvironmentID); err != nil {
		return store.Integration{}, err
	}
	now, err := tx.Now(ctx)
	if err != nil {
		return store.Integration{}, err
	}
	row, err := tx.InsertIntegration(ctx, dbq.InsertIntegrationParams{
		ID:              cmp.Or(in.ID, skill.NewIntegrationID(in.Tool, now)),
		EnvironmentID:   in.EnvironmentID,
		Tool:            in.Tool,
		Name:            in.EndUser.OrganisationName,
		EndUserEmail:    nullText(in.EndUser.CreatorEmail),
		EndUserOriginID: nullText(in.EndUser.OriginID),
		Settings:        in.Settings,
		Credentials:     in.Credentials,
		Adopt:           in.Policy.Adopt,
		RefuseInactive:  in.Policy.RefuseInactive,
	})
	return integration(dbq.Integration(row)), err
}

// Integrations implements store.Admin.
func (s *Store) Integrations(ctx context.Context, environmentID string) ([]store.Integration, error) {
	rows, err := s.queries.Integrations(ctx, environmentID)
	if err != nil {
		return nil, fault(fmt.Errorf("list integrations: %w", err))
	}
	return collect(rows, integration), nil
}

// Integration implements store.Admin.
func (s *Store) Integration(ctx context.Context, environmentID, id string) (store.Integration, error) {
	row, err := s.queries.Integration(ctx, dbq.IntegrationParams{ID: id, Environment: environmentID})
	if err != nil {
		return store.Integration{}, fmt.Errorf("integration %q: %w", id, missing(err))
	}
	return integration(row), nil
}

// SetEnabled implements store.Admin.
func (s *Store) SetEnabled(ctx context.Context, id string, enabled bool) (store.Integration, error) {
	return s.changeIntegration(ctx, "switch", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		return tx.SetIntegrationEnabled(ctx, dbq.SetIntegrationEnabledParams{ID: id, Enabled: enabled})
	})
}

// SetSettings implements store.Admin.
func (s *Store) SetSettings(ctx context.Context, id string, settings []byte) (store.Integration, error) {
	return s.changeIntegration(ctx, "change settings of", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		if err := tx.ForgetListing(ctx, dbq.ForgetListingParams{ID: id, Settings: string(settings)}); err != nil {
			return dbq.Integration{}, err
		}
		return tx.SetIntegrationSettings(ctx, dbq.SetIntegrationSettingsParams{ID: id, Settings: settings})
	})
}

// SetAccount implements store.Admin.
func (s *Store) SetAccount(ctx context.Context, id string, settings, credentials []byte) (store.Integration, error) {
	return s.changeIntegration(ctx, "change settings of", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		return tx.setAccount(ctx, id, settings, credentials)
	})
}

// setAccount links an integration to an account. The drain's row is locked.
func (tx *transaction) setAccount(ctx context.Context, id string, settings, credentials []byte) (dbq.Integration, error) {
	if err := tx.ForgetListing(ctx, dbq.ForgetListingParams{ID: id, Settings: string(settings)}); err != nil {
		return dbq.Integration{}, err
	}
	return tx.SetIntegrationAccount(ctx, dbq.SetIntegrationAccountParams{ID: id, Settings: settings, Credentials: credentials})
}

// SetPolicy implements store.Admin.
func (s *Store) SetPolicy(ctx context.Context, id string, policy store.Policy) (store.Integration, error) {
	row, err := s.queries.SetIntegrationPolicy(ctx, dbq.SetIntegrationPolicyParams{
		ID: id, Adopt: policy.Adopt, RefuseInactive: policy.RefuseInactive,
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("change policy of integration %q: %w", id, missing(alone(err)))
	}
	return integration(row), nil
}

// Away implements store.Admin.
func (s *Store) Away(ctx context.Context, environmentID string) ([]store.Away, error) {
	rows, err := s.queries.Away(ctx, environmentID)
	if err != nil {
		return nil, fault(fmt.Errorf("list tools that are away: %w", err))
	}
	return collect(rows, func(r dbq.AwayRow) store.Away {
		return store.Away{IntegrationID: r.ID, Failures: int(r.Failures), Since: nullTime(r.AwaySince), Next: r.ResumeAt.UTC()}
	}), nil
}

// DeleteIntegration implements store.Admin.
func (s *Store) DeleteIntegration(ctx context.Context, id string) (store.Integration, error) {
	return s.changeIntegration(ctx, "delete", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		row, err := tx.DeleteIntegration(ctx, id)
		if err != nil {
			return row, err
		}
		failed := store.SyncOfDeleted
		return row, tx.EndSync(ctx, dbq.EndSyncParams{Integration: row.Seq, Error: &failed})
	})
}

// changeIntegration changes one integration, and lets its drain look at once what that means for its tasks. The drain's
// row is locked first, as by everybody.
func (s *Store) changeIntegration(
	ctx context.Context, what, id string, change func(context.Context, *transaction) (dbq.Integration, error),
) (out store.Integration, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockDrainOf(ctx, id); err != nil {
			return err
		}
		row, err := change(ctx, tx)
		if err != nil {
			return missing(err)
		}
		out = integration(row)
		return tx.ReviveDrain(ctx, row.Seq)
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("%s integration %q: %w", what, id, err)
	}
	return out, nil
}

func environment(row dbq.Environment) store.Environment {
	return store.Environment{ID: row.ID, Name: row.Name, CreatedAt: row.CreatedAt.UTC()}
}

func key(row dbq.KeyByHashRow) store.Key {
	return store.Key{
		ID: row.ID, EnvironmentID: row.EnvironmentID, Name: row.Name, Prefix: row.Prefix,
		CreatedAt: row.CreatedAt.UTC(), RevokedAt: nullTime(row.RevokedAt),
		Scopes: store.Scopes(row.Scopes), Addresses: store.ParseAddresses(row.Addresses), CreatedBy: row.CreatedBy,
		ExpiresAt: nullTime(row.ExpiresAt), Expired: row.Expired, LastUsedAt: nullTime(row.LastUsedAt), LastUsedFrom: row.LastUsedFrom,
	}
}

func integration(row dbq.Integration) store.Integration {
	return store.Integration{
		ID:            row.ID,
		EnvironmentID: row.EnvironmentID,
		Tool:          row.Tool,
		EndUser: store.EndUser{
			OrganisationName: row.Name, CreatorEmail: text(row.EndUserEmail), OriginID: text(row.EndUserOriginID),
		},
		Settings:        row.Settings,
		Credentials:     row.Credentials,
		Policy:          store.Policy{Adopt: row.Adopt, RefuseInactive: row.RefuseInactive},
		SettingsVersion: row.SettingsVersion,
		Enabled:         row.Enabled,
		InvalidReason:   text(row.InvalidReason),
		InvalidAt:       nullTime(row.InvalidAt),
		CreatedAt:       row.CreatedAt.UTC(),
		DeletedAt:       nullTime(row.DeletedAt),
	}
}

func stateOf(row dbq.Integration) store.State {
	return state(row.Enabled, row.DeletedAt, row.InvalidReason, row.SettingsVersion)
}

func state(enabled bool, deleted *time.Time, invalid *string, version int64) store.State {
	return store.State{Enabled: enabled, Deleted: deleted != nil, InvalidReason: text(invalid), SettingsVersion: version}
}
