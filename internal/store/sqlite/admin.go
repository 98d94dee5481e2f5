package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// CreateEnvironment implements store.Admin.
func (s *Store) CreateEnvironment(ctx context.Context, name string) (env store.Environment, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		env = store.Environment{ID: skill.NewID(fromMillis(tx.now)), Name: name, CreatedAt: fromMillis(tx.now)}
		return taken(tx.InsertEnvironment(ctx, dbq.InsertEnvironmentParams{ID: env.ID, Name: name, CreatedAt: tx.now}))
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
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.there(ctx, key.EnvironmentID); err != nil {
			return err
		}
		key.ID, key.CreatedAt = skill.NewID(fromMillis(tx.now)), fromMillis(tx.now)
		var expires sql.NullInt64
		if key.Lives > 0 {
			expires = sql.NullInt64{Int64: tx.now + key.Lives.Milliseconds(), Valid: true}
		}
		key.ExpiresAt, key.Scopes = fromNullMillis(expires), cmp.Or(key.Scopes, store.AllScopes)
		return tx.InsertKey(ctx, dbq.InsertKeyParams{
			ID: key.ID, EnvironmentID: key.EnvironmentID, Name: key.Name, Prefix: key.Prefix, Hash: hash[:], CreatedAt: tx.now,
			Scopes: int64(key.Scopes), Addresses: store.FormatAddresses(key.Addresses), CreatedBy: key.CreatedBy, ExpiresAt: expires,
		})
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
	return collect(rows, func(k dbq.KeysRow) store.Key { return s.key(dbq.KeyByHashRow(k)) }), nil
}

// KeyByHash implements store.Admin.
func (s *Store) KeyByHash(ctx context.Context, hash [32]byte) (store.Key, error) {
	row, err := s.queries.KeyByHash(ctx, hash[:])
	if err != nil {
		return store.Key{}, fmt.Errorf("key by hash: %w", missing(err))
	}
	return s.key(row), nil
}

// RevokeKey implements store.Admin.
func (s *Store) RevokeKey(ctx context.Context, id string) (k store.Key, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.RevokeKey(ctx, dbq.RevokeKeyParams{Now: sql.NullInt64{Int64: tx.now, Valid: true}, ID: id})
		k = s.key(dbq.KeyByHashRow(row))
		return absent(err)
	})
	if err != nil {
		return store.Key{}, fmt.Errorf("revoke key %q: %w", id, err)
	}
	return k, nil
}

// firstSync is how long after an integration is made its first periodic sync is due, in ms: its customer's catalogue comes first.
const firstSync = 600_000

// CreateIntegration implements store.Admin.
func (s *Store) CreateIntegration(ctx context.Context, in store.Integration) (out store.Integration, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
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
	row, err := tx.InsertIntegration(ctx, dbq.InsertIntegrationParams{
		ID:              cmp.Or(in.ID, skill.NewIntegrationID(in.Tool, fromMillis(tx.now))),
		EnvironmentID:   in.EnvironmentID,
		Tool:            in.Tool,
		Name:            in.EndUser.OrganisationName,
		EndUserEmail:    nullText(in.EndUser.CreatorEmail),
		EndUserOriginID: nullText(in.EndUser.OriginID),
		Settings:        string(in.Settings),
		Credentials:     in.Credentials,
		CreatedAt:       tx.now,
		Adopt:           flag(in.Policy.Adopt),
		RefuseInactive:  flag(in.Policy.RefuseInactive),
	})
	if err != nil {
		return store.Integration{}, err
	}
	if err := tx.InsertDrain(ctx, row.Seq); err != nil {
		return store.Integration{}, err
	}
	return integration(row), tx.InsertSync(ctx, dbq.InsertSyncParams{Integration: row.Seq, DueAt: tx.now + firstSync})
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
		return tx.SetIntegrationEnabled(ctx, dbq.SetIntegrationEnabledParams{ID: id, Enabled: flag(enabled)})
	})
}

// SetSettings implements store.Admin.
func (s *Store) SetSettings(ctx context.Context, id string, settings []byte) (store.Integration, error) {
	return s.changeIntegration(ctx, "change settings of", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		if err := tx.ForgetListing(ctx, dbq.ForgetListingParams{ID: id, Settings: string(settings)}); err != nil {
			return dbq.Integration{}, err
		}
		return tx.SetIntegrationSettings(ctx, dbq.SetIntegrationSettingsParams{ID: id, Settings: string(settings)})
	})
}

// SetAccount implements store.Admin.
func (s *Store) SetAccount(ctx context.Context, id string, settings, credentials []byte) (store.Integration, error) {
	return s.changeIntegration(ctx, "change settings of", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		return tx.setAccount(ctx, id, settings, credentials)
	})
}

// setAccount links an integration to an account.
func (tx *transaction) setAccount(ctx context.Context, id string, settings, credentials []byte) (dbq.Integration, error) {
	if err := tx.ForgetListing(ctx, dbq.ForgetListingParams{ID: id, Settings: string(settings)}); err != nil {
		return dbq.Integration{}, err
	}
	return tx.SetIntegrationAccount(ctx, dbq.SetIntegrationAccountParams{ID: id, Settings: string(settings), Credentials: credentials})
}

// SetPolicy implements store.Admin.
func (s *Store) SetPolicy(ctx context.Context, id string, policy store.Policy) (out store.Integration, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.SetIntegrationPolicy(ctx, dbq.SetIntegrationPolicyParams{
			ID: id, Adopt: flag(policy.Adopt), RefuseInactive: flag(policy.RefuseInactive),
		})
		out = integration(row)
		return absent(err)
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("change policy of integration %q: %w", id, err)
	}
	return out, nil
}

// Away implements store.Admin.
func (s *Store) Away(ctx context.Context, environmentID string) ([]store.Away, error) {
	rows, err := s.queries.Away(ctx, environmentID)
	if err != nil {
		return nil, fault(fmt.Errorf("list tools that are away: %w", err))
	}
	return collect(rows, func(r dbq.AwayRow) store.Away {
		return store.Away{
			IntegrationID: r.ID, Failures: int(r.Failures), Since: fromNullMillis(r.AwaySince), Next: fromMillis(r.ResumeAt),
		}
	}), nil
}

// DeleteIntegration implements store.Admin.
func (s *Store) DeleteIntegration(ctx context.Context, id string) (store.Integration, error) {
	return s.changeIntegration(ctx, "delete", id, func(ctx context.Context, tx *transaction) (dbq.Integration, error) {
		row, err := tx.DeleteIntegration(ctx, dbq.DeleteIntegrationParams{ID: id, Now: sql.NullInt64{Int64: tx.now, Valid: true}})
		if err != nil {
			return row, err
		}
		return row, tx.endSync(ctx, row.Seq, store.SyncOfDeleted, 0)
	})
}

// changeIntegration changes one integration, and lets its drain look at once what that means for its tasks.
func (s *Store) changeIntegration(
	ctx context.Context, what, id string, change func(context.Context, *transaction) (dbq.Integration, error),
) (out store.Integration, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := change(ctx, tx)
		if err != nil {
			return absent(err)
		}
		out = integration(row)
		return tx.revive(ctx, row.Seq)
	})
	if err != nil {
		return store.Integration{}, fmt.Errorf("%s integration %q: %w", what, id, err)
	}
	return out, nil
}

// revive has the drain and the sync of an integration begin with a clean slate, at once.
func (tx *transaction) revive(ctx context.Context, ref int64) error {
	if err := tx.ReviveTasks(ctx, ref); err != nil {
		return err
	}
	if err := tx.ReviveSync(ctx, dbq.ReviveSyncParams{Now: tx.now, Integration: ref}); err != nil {
		return err
	}
	return tx.ReviveDrain(ctx, ref)
}

func environment(row dbq.Environment) store.Environment {
	return store.Environment{ID: row.ID, Name: row.Name, CreatedAt: fromMillis(row.CreatedAt)}
}

func (s *Store) key(row dbq.KeyByHashRow) store.Key {
	return store.Key{
		ID: row.ID, EnvironmentID: row.EnvironmentID, Name: row.Name, Prefix: row.Prefix,
		CreatedAt: fromMillis(row.CreatedAt), RevokedAt: fromNullMillis(row.RevokedAt),
		Scopes: store.Scopes(row.Scopes), Addresses: store.ParseAddresses(row.Addresses), CreatedBy: row.CreatedBy,
		ExpiresAt: fromNullMillis(row.ExpiresAt), Expired: row.ExpiresAt.Valid && row.ExpiresAt.Int64 <= s.now().UnixMilli(),
		LastUsedAt: fromNullMillis(row.LastUsedAt), LastUsedFrom: row.LastUsedFrom,
	}
}

func integration(row dbq.Integration) store.Integration {
	return store.Integration{
		ID:            row.ID,
		EnvironmentID: row.EnvironmentID,
		Tool:          row.Tool,
		EndUser: store.EndUser{
			OrganisationName: row.Name, CreatorEmail: row.EndUserEmail.String, OriginID: row.EndUserOriginID.String,
		},
		Settings:        []byte(row.Settings),
		Credentials:     row.Credentials,
		Policy:          store.Policy{Adopt: row.Adopt != 0, RefuseInactive: row.RefuseInactive != 0},
		SettingsVersion: row.SettingsVersion,
		Enabled:         row.Enabled != 0,
		InvalidReason:   row.InvalidReason.String,
		InvalidAt:       fromNullMillis(row.InvalidAt),
		CreatedAt:       fromMillis(row.CreatedAt),
		DeletedAt:       fromNullMillis(row.DeletedAt),
	}
}

func collect[In, Out any](rows []In, f func(In) Out) []Out {
	out := make([]Out, len(rows))
	for i, row := range rows {
		out[i] = f(row)
	}
	return out
}

// missing turns "no rows" of a query into ErrNotFound.
func missing(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return store.ErrNotFound
	}
	return fault(err)
}

// absent is missing for the first statement of a change: nothing was written yet.
func absent(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return refuse(store.ErrNotFound)
	}
	return err
}

// taken turns a violated uniqueness into ErrExists. The failed statement has undone itself.
func taken(err error) error {
	if isUnique(err) {
		return refuse(store.ErrExists)
	}
	return err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
