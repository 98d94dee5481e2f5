package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// Key implements store.Access.
func (s *Store) Key(ctx context.Context, environmentID, id string) (store.Key, error) {
	row, err := s.queries.KeyByID(ctx, dbq.KeyByIDParams{ID: id, Environment: environmentID})
	if err != nil {
		return store.Key{}, fmt.Errorf("key %q: %w", id, missing(err))
	}
	return s.key(dbq.KeyByHashRow(row)), nil
}

// ExpireKey implements store.Access.
func (s *Store) ExpireKey(ctx context.Context, environmentID, id string, in time.Duration) (k store.Key, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.ExpireKey(ctx, dbq.ExpireKeyParams{At: tx.now + in.Milliseconds(), ID: id, Environment: environmentID})
		k = s.key(dbq.KeyByHashRow(row))
		return absent(err)
	})
	if err != nil {
		return store.Key{}, fmt.Errorf("expire key %q: %w", id, err)
	}
	return k, nil
}

// NoteKeysUsed implements store.Access.
func (s *Store) NoteKeysUsed(ctx context.Context, used []store.KeyUse) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		for _, u := range used {
			if err := tx.NoteKeyUsed(ctx, dbq.NoteKeyUsedParams{At: tx.now - u.Ago.Milliseconds(), Address: address(u), ID: u.KeyID}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note the use of keys: %w", err)
	}
	return nil
}

func address(u store.KeyUse) string {
	if !u.From.IsValid() {
		return ""
	}
	return u.From.String()
}

// RenameEnvironment implements store.Access.
func (s *Store) RenameEnvironment(ctx context.Context, id, name string) (env store.Environment, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.RenameEnvironment(ctx, dbq.RenameEnvironmentParams{Name: name, ID: id})
		env = environment(row)
		return absent(taken(err))
	})
	if err != nil {
		return store.Environment{}, fmt.Errorf("rename environment %q: %w", id, err)
	}
	return env, nil
}

// DeleteEnvironment implements store.Access.
func (s *Store) DeleteEnvironment(ctx context.Context, id string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.there(ctx, id); err != nil {
			return err
		}
		used, err := tx.EnvironmentInUse(ctx, id)
		if err != nil {
			return err
		}
		if used.Bool {
			return refuse(store.ErrInUse)
		}
		if err := tx.DeleteKeysOf(ctx, id); err != nil {
			return err
		}
		_, err = tx.DeleteEnvironment(ctx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete environment %q: %w", id, err)
	}
	return nil
}

// KeepSetupLink implements store.Access.
func (s *Store) KeepSetupLink(ctx context.Context, hash [32]byte, ttl time.Duration) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		there, err := tx.AnyUser(ctx)
		if err != nil {
			return err
		}
		if there {
			return refuse(store.ErrExists)
		}
		return tx.InsertSetupLink(ctx, dbq.InsertSetupLinkParams{Hash: hash[:], ExpiresAt: tx.now + ttl.Milliseconds()})
	})
	if err != nil {
		return fmt.Errorf("keep set-up link: %w", err)
	}
	return nil
}

// SetupLink implements store.Access.
func (s *Store) SetupLink(ctx context.Context, hash [32]byte) (bool, error) {
	good, err := s.queries.SetupLinkGood(ctx, dbq.SetupLinkGoodParams{Hash: hash[:], Now: s.now().UnixMilli()})
	if err != nil {
		return false, fault(fmt.Errorf("set-up link: %w", err))
	}
	return good, nil
}

// CreateFirstUser implements store.Access.
func (s *Store) CreateFirstUser(ctx context.Context, link [32]byte, user store.User) (store.User, error) {
	return s.createUser(ctx, user, func(ctx context.Context, tx *transaction) error {
		good, err := tx.SetupLinkGood(ctx, dbq.SetupLinkGoodParams{Hash: link[:], Now: tx.now})
		if err != nil {
			return err
		}
		if !good {
			return refuse(store.ErrNotFound)
		}
		return nil
	}, nothingMore)
}

func nothingMore(context.Context, *transaction, string) error { return nil }

// CreateUser implements store.Access.
func (s *Store) CreateUser(ctx context.Context, user store.User) (store.User, error) {
	return s.createUser(ctx, user, func(context.Context, *transaction) error { return nil }, nothingMore)
}

// createUser makes a user between what is first asked and what belongs to it.
func (s *Store) createUser(
	ctx context.Context, user store.User, first change, then func(ctx context.Context, tx *transaction, id string) error,
) (store.User, error) {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if err := first(ctx, tx); err != nil {
			return err
		}
		user.ID, user.CreatedAt, user.Generation = skill.NewID(fromMillis(tx.now)), fromMillis(tx.now), 1
		if err := taken(tx.InsertUser(ctx, dbq.InsertUserParams{
			ID: user.ID, Name: user.Name, Role: int64(user.Role), Password: user.Password, CreatedAt: tx.now,
		})); err != nil {
			return err
		}
		if err := then(ctx, tx, user.ID); err != nil {
			return err
		}
		return tx.DeleteSetupLinks(ctx)
	})
	if err != nil {
		return store.User{}, fmt.Errorf("create user %q: %w", user.Name, err)
	}
	return user, nil
}

// Users implements store.Access.
func (s *Store) Users(ctx context.Context) ([]store.User, error) {
	rows, err := s.queries.Users(ctx)
	if err != nil {
		return nil, fault(fmt.Errorf("list users: %w", err))
	}
	return collect(rows, user), nil
}

// User implements store.Access.
func (s *Store) User(ctx context.Context, id string) (store.User, error) {
	row, err := s.queries.UserByID(ctx, id)
	if err != nil {
		return store.User{}, fmt.Errorf("user %q: %w", id, missing(err))
	}
	return user(row), nil
}

// UserByName implements store.Access.
func (s *Store) UserByName(ctx context.Context, name string) (store.User, error) {
	row, err := s.queries.UserByName(ctx, name)
	if err != nil {
		return store.User{}, fmt.Errorf("user %q: %w", name, missing(err))
	}
	return user(row), nil
}

// UserByIdentity implements store.Access.
func (s *Store) UserByIdentity(ctx context.Context, identity store.Identity) (store.User, error) {
	id, err := s.queries.IdentityUser(ctx, dbq.IdentityUserParams{Issuer: identity.Issuer, Subject: identity.Subject})
	if err != nil {
		return store.User{}, fmt.Errorf("identity at %s: %w", identity.Issuer, missing(err))
	}
	found, err := s.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return store.User{}, fmt.Errorf("identity at %s: %w", identity.Issuer, store.ErrUserDeleted)
	}
	return found, err
}

// LinkIdentity implements store.Access.
func (s *Store) LinkIdentity(ctx context.Context, id string, identity store.Identity) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.UserByID(ctx, id); err != nil {
			return absent(err)
		}
		return tx.link(ctx, id, identity)
	})
	if err != nil {
		return fmt.Errorf("link user %q with an identity at %s: %w", id, identity.Issuer, err)
	}
	return nil
}

func (tx *transaction) link(ctx context.Context, id string, identity store.Identity) error {
	n, err := tx.LinkIdentity(ctx, dbq.LinkIdentityParams{Issuer: identity.Issuer, Subject: identity.Subject, UserID: id, LinkedAt: tx.now})
	if err == nil && n == 0 {
		return refuse(store.ErrExists)
	}
	return taken(err)
}

// CreateUserWithIdentity implements store.Access.
func (s *Store) CreateUserWithIdentity(ctx context.Context, user store.User, identity store.Identity) (store.User, error) {
	return s.createUser(ctx, user, func(ctx context.Context, tx *transaction) error {
		there, err := tx.AnyUser(ctx)
		if err == nil && !there {
			return refuse(store.ErrNotFound)
		}
		if err != nil {
			return err
		}
		// What may be refused is looked at before anything is written.
		id, err := tx.IdentityUser(ctx, dbq.IdentityUserParams{Issuer: identity.Issuer, Subject: identity.Subject})
		if err == nil {
			_, err = tx.UserByID(ctx, id)
		}
		if err == nil {
			return refuse(store.ErrExists)
		}
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		return nil
	}, func(ctx context.Context, tx *transaction, id string) error {
		_, err := tx.LinkIdentity(ctx, dbq.LinkIdentityParams{Issuer: identity.Issuer, Subject: identity.Subject, UserID: id, LinkedAt: tx.now})
		return err
	})
}

// SetPassword implements store.Access.
func (s *Store) SetPassword(ctx context.Context, id, hash string) (store.User, error) {
	return s.changeUser(ctx, "change the password of", id, func(ctx context.Context, tx *transaction) (dbq.User, error) {
		return tx.SetUserPassword(ctx, dbq.SetUserPasswordParams{Password: hash, ID: id})
	})
}

// SetRole implements store.Access.
func (s *Store) SetRole(ctx context.Context, id string, role store.Role) (store.User, error) {
	return s.changeUser(ctx, "change the role of", id, func(ctx context.Context, tx *transaction) (dbq.User, error) {
		if role != store.Owner {
			if err := tx.anotherOwner(ctx, id); err != nil {
				return dbq.User{}, err
			}
		}
		return tx.SetUserRole(ctx, dbq.SetUserRoleParams{Role: int64(role), ID: id})
	})
}

// anotherOwner refuses where there is none.
func (tx *transaction) anotherOwner(ctx context.Context, id string) error {
	there, err := tx.OtherOwner(ctx, id)
	if err == nil && !there {
		return refuse(store.ErrLastOwner)
	}
	return err
}

// EndSessions implements store.Access.
func (s *Store) EndSessions(ctx context.Context, id string) (store.User, error) {
	return s.changeUser(ctx, "sign out", id, func(ctx context.Context, tx *transaction) (dbq.User, error) {
		return tx.EndSessions(ctx, id)
	})
}

func (s *Store) changeUser(
	ctx context.Context, what, id string, change func(context.Context, *transaction) (dbq.User, error),
) (out store.User, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := change(ctx, tx)
		out = user(row)
		return absent(err)
	})
	if err != nil {
		return store.User{}, fmt.Errorf("%s user %q: %w", what, id, err)
	}
	return out, nil
}

// NoteSignIn implements store.Access.
func (s *Store) NoteSignIn(ctx context.Context, id string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		return tx.NoteSignIn(ctx, dbq.NoteSignInParams{Now: sql.NullInt64{Int64: tx.now, Valid: true}, ID: id})
	})
	if err != nil {
		return fmt.Errorf("note the sign-in of %q: %w", id, err)
	}
	return nil
}

// DeleteUser implements store.Access.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.UserByID(ctx, id); err != nil {
			return absent(err)
		}
		if err := tx.anotherOwner(ctx, id); err != nil {
			return err
		}
		_, err := tx.DeleteUser(ctx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("delete user %q: %w", id, err)
	}
	return nil
}

func user(row dbq.User) store.User {
	return store.User{
		ID: row.ID, Name: row.Name, Role: store.Role(row.Role), Password: row.Password, Generation: row.Generation,
		CreatedAt: fromMillis(row.CreatedAt), SignedInAt: fromNullMillis(row.SignedInAt),
	}
}

// Session implements store.Access.
func (s *Store) Session(ctx context.Context, token string) (data []byte, found bool, err error) {
	data, err = s.queries.Session(ctx, dbq.SessionParams{Token: token, Now: s.now().UnixMilli()})
	if errors.Is(err, sql.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fault(fmt.Errorf("session: %w", err))
	}
	return data, true, nil
}

// KeepSession implements store.Access.
func (s *Store) KeepSession(ctx context.Context, token string, data []byte, ttl time.Duration) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		return tx.KeepSession(ctx, dbq.KeepSessionParams{Token: token, Data: data, ExpiresAt: tx.now + ttl.Milliseconds()})
	})
	if err != nil {
		return fmt.Errorf("keep session: %w", err)
	}
	return nil
}

// DropSession implements store.Access.
func (s *Store) DropSession(ctx context.Context, token string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error { return tx.DropSession(ctx, token) })
	if err != nil {
		return fmt.Errorf("drop session: %w", err)
	}
	return nil
}

// Attempt implements store.Access.
func (s *Store) Attempt(ctx context.Context, subjects []string, limits []int, within time.Duration) (may bool, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		may = false
		for i, subject := range subjects {
			n, err := tx.CountAttempts(ctx, dbq.CountAttemptsParams{Subject: subject, Since: tx.now - within.Milliseconds()})
			if err != nil {
				return err
			}
			if int(n) >= limits[i] {
				return nil
			}
		}
		for _, subject := range subjects {
			if err := tx.AddAttempt(ctx, dbq.AddAttemptParams{Subject: subject, At: tx.now}); err != nil {
				return err
			}
		}
		may = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("count attempts: %w", err)
	}
	return may, nil
}

// ForgetAttempts implements store.Access.
func (s *Store) ForgetAttempts(ctx context.Context, subject string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error { return tx.ForgetAttempts(ctx, subject) })
	if err != nil {
		return fmt.Errorf("forget attempts: %w", err)
	}
	return nil
}

// Record implements store.Recorder.
func (s *Store) Record(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
		e, err = tx.record(ctx, e)
		return err
	})
	if err != nil {
		return store.AuditEntry{}, fmt.Errorf("record %s: %w", e.Action, err)
	}
	return e, nil
}

// record keeps an entry of the audit log.
func (tx *transaction) record(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	e.ID, e.At = skill.NewID(fromMillis(tx.now)), fromMillis(tx.now)
	return e, tx.InsertAudit(ctx, dbq.InsertAuditParams{
		ID: e.ID, EnvironmentID: e.EnvironmentID, At: tx.now, UserID: e.UserID, UserName: e.UserName, Address: e.Address,
		Action: e.Action, Target: e.Target, Detail: e.Detail,
	})
}

// RecordFailed implements store.Recorder.
func (s *Store) RecordFailed(ctx context.Context, id, why string) error {
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		return tx.FailAudit(ctx, dbq.FailAuditParams{Failed: why, ID: id})
	})
	if err != nil {
		return fmt.Errorf("record that nothing came of %s: %w", id, err)
	}
	return nil
}

// lastID sorts behind all ids.
const lastID = "~"

// AuditLog implements store.Access.
func (s *Store) AuditLog(ctx context.Context, f store.AuditFilter) ([]store.AuditEntry, error) {
	before := f.Before
	if before == "" {
		before = lastID
	}
	var rows []dbq.Audit
	var err error
	if f.EnvironmentID == "" {
		rows, err = s.queries.Audit(ctx, dbq.AuditParams{Before: before, Most: int64(f.Limit)})
	} else {
		rows, err = s.queries.AuditOf(ctx, dbq.AuditOfParams{Environment: f.EnvironmentID, Before: before, Most: int64(f.Limit)})
	}
	if err != nil {
		return nil, fault(fmt.Errorf("audit log: %w", err))
	}
	return collect(rows, func(r dbq.Audit) store.AuditEntry {
		return store.AuditEntry{
			ID: r.ID, EnvironmentID: r.EnvironmentID, At: fromMillis(r.At), UserID: r.UserID, UserName: r.UserName, Address: r.Address,
			Action: r.Action, Target: r.Target, Detail: r.Detail, Failed: r.Failed,
		}
	}), nil
}

// Tidy implements store.Access.
func (s *Store) Tidy(ctx context.Context, keepAttempts, keepAudit time.Duration, limit int) (n int, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		n = 0
		most := int64(min(limit, upkeepRows))
		for _, step := range []func() (int64, error){
			func() (int64, error) { return tx.DropSessions(ctx, dbq.DropSessionsParams{Now: tx.now, Most: most}) },
			func() (int64, error) { return tx.DropSetupLinks(ctx, tx.now) },
			func() (int64, error) {
				return tx.DropAttempts(ctx, dbq.DropAttemptsParams{Before: tx.now - keepAttempts.Milliseconds(), Most: most})
			},
			func() (int64, error) {
				return tx.DropAudit(ctx, dbq.DropAuditParams{Before: skill.FirstID(fromMillis(tx.now).Add(-keepAudit)), Most: most})
			},
		} {
			dropped, err := step()
			if err != nil {
				return err
			}
			n += int(dropped)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("tidy up: %w", err)
	}
	return n, nil
}
