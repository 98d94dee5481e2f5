package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// usersLock lets one at a time make a first user, or take an owner away.
const usersLock = migrationLock + 2

// Key implements store.Access.
func (s *Store) Key(ctx context.Context, environmentID, id string) (store.Key, error) {
	row, err := s.queries.KeyByID(ctx, dbq.KeyByIDParams{ID: id, Environment: environmentID})
	if err != nil {
		return store.Key{}, fmt.Errorf("key %q: %w", id, missing(err))
	}
	return key(dbq.KeyByHashRow(row)), nil
}

// ExpireKey implements store.Access.
func (s *Store) ExpireKey(ctx context.Context, environmentID, id string, in time.Duration) (store.Key, error) {
	row, err := s.queries.ExpireKey(ctx, dbq.ExpireKeyParams{Lives: in, ID: id, Environment: environmentID})
	if err != nil {
		return store.Key{}, fmt.Errorf("expire key %q: %w", id, missing(alone(err)))
	}
	return key(dbq.KeyByHashRow(row)), nil
}

// NoteKeysUsed implements store.Access.
func (s *Store) NoteKeysUsed(ctx context.Context, used []store.KeyUse) error {
	used = slices.SortedFunc(slices.Values(used), func(a, b store.KeyUse) int { return cmp.Compare(a.KeyID, b.KeyID) })
	var p dbq.NoteKeysUsedParams
	for _, u := range used {
		address := ""
		if u.From.IsValid() {
			address = u.From.String()
		}
		p.Ids, p.Agos, p.Addresses = append(p.Ids, u.KeyID), append(p.Agos, u.Ago), append(p.Addresses, address)
	}
	if err := s.change(ctx, func(ctx context.Context, tx *transaction) error { return tx.NoteKeysUsed(ctx, p) }); err != nil {
		return fmt.Errorf("note the use of keys: %w", err)
	}
	return nil
}

// RenameEnvironment implements store.Access.
func (s *Store) RenameEnvironment(ctx context.Context, id, name string) (store.Environment, error) {
	row, err := s.queries.RenameEnvironment(ctx, dbq.RenameEnvironmentParams{Name: name, ID: id})
	if err != nil {
		return store.Environment{}, fmt.Errorf("rename environment %q: %w", id, missing(alone(taken(err))))
	}
	return environment(row), nil
}

// DeleteEnvironment implements store.Access.
func (s *Store) DeleteEnvironment(ctx context.Context, id string) error {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.LockEnvironment(ctx, id); err != nil { // what is added meanwhile refers to it, and waits
			return missing(err)
		}
		used, err := tx.EnvironmentInUse(ctx, id)
		if err != nil {
			return err
		}
		if used {
			return store.ErrInUse
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
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockUsers(ctx, usersLock); err != nil {
			return err
		}
		there, err := tx.AnyUser(ctx)
		if err != nil {
			return err
		}
		if there {
			return store.ErrExists
		}
		return tx.InsertSetupLink(ctx, dbq.InsertSetupLinkParams{Hash: hash[:], Lives: ttl})
	})
	if err != nil {
		return fmt.Errorf("keep set-up link: %w", err)
	}
	return nil
}

// SetupLink implements store.Access.
func (s *Store) SetupLink(ctx context.Context, hash [32]byte) (bool, error) {
	good, err := s.queries.SetupLinkGood(ctx, hash[:])
	if err != nil {
		return false, fault(fmt.Errorf("set-up link: %w", err))
	}
	return good, nil
}

// CreateFirstUser implements store.Access.
func (s *Store) CreateFirstUser(ctx context.Context, link [32]byte, u store.User) (store.User, error) {
	return s.createUser(ctx, u, func(ctx context.Context, tx *transaction) error {
		good, err := tx.SetupLinkGood(ctx, link[:])
		if err == nil && !good {
			return store.ErrNotFound
		}
		return err
	}, nothingMore)
}

func nothingMore(context.Context, *transaction, string) error { return nil }

// CreateUser implements store.Access.
func (s *Store) CreateUser(ctx context.Context, u store.User) (store.User, error) {
	return s.createUser(ctx, u, func(context.Context, *transaction) error { return nil }, nothingMore)
}

// createUser makes a user between what is first asked and what belongs to it.
func (s *Store) createUser(
	ctx context.Context, u store.User, first func(context.Context, *transaction) error, then func(ctx context.Context, tx *transaction, id string) error,
) (out store.User, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockUsers(ctx, usersLock); err != nil {
			return err
		}
		if err := first(ctx, tx); err != nil {
			return err
		}
		id, err := newID(ctx, tx)
		if err != nil {
			return err
		}
		row, err := tx.InsertUser(ctx, dbq.InsertUserParams{ID: id, Name: u.Name, Role: int16(u.Role), Password: u.Password})
		if err != nil {
			return taken(err)
		}
		if err := then(ctx, tx, id); err != nil {
			return err
		}
		out = user(row)
		return tx.DeleteSetupLinks(ctx)
	})
	if err != nil {
		return store.User{}, fmt.Errorf("create user %q: %w", u.Name, err)
	}
	return out, nil
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
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if err := tx.LockUsers(ctx, usersLock); err != nil {
			return err
		}
		if _, err := tx.UserByID(ctx, id); err != nil {
			return missing(err)
		}
		return tx.link(ctx, id, identity)
	})
	if err != nil {
		return fmt.Errorf("link user %q with an identity at %s: %w", id, identity.Issuer, err)
	}
	return nil
}

func (tx *transaction) link(ctx context.Context, id string, identity store.Identity) error {
	n, err := tx.LinkIdentity(ctx, dbq.LinkIdentityParams{Issuer: identity.Issuer, Subject: identity.Subject, UserID: id})
	if err == nil && n == 0 {
		return store.ErrExists
	}
	return taken(err)
}

// CreateUserWithIdentity implements store.Access.
func (s *Store) CreateUserWithIdentity(ctx context.Context, u store.User, identity store.Identity) (store.User, error) {
	return s.createUser(ctx, u, func(ctx context.Context, tx *transaction) error {
		there, err := tx.AnyUser(ctx)
		if err == nil && !there {
			return store.ErrNotFound
		}
		return err
	}, func(ctx context.Context, tx *transaction, id string) error { return tx.link(ctx, id, identity) })
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
		return tx.SetUserRole(ctx, dbq.SetUserRoleParams{Role: int16(role), ID: id})
	})
}

// anotherOwner refuses where there is none, and keeps others from taking theirs away meanwhile.
func (tx *transaction) anotherOwner(ctx context.Context, id string) error {
	if err := tx.LockUsers(ctx, usersLock); err != nil {
		return err
	}
	there, err := tx.OtherOwner(ctx, id)
	if err == nil && !there {
		return store.ErrLastOwner
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
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := change(ctx, tx)
		if err != nil {
			return missing(err)
		}
		out = user(row)
		return nil
	})
	if err != nil {
		return store.User{}, fmt.Errorf("%s user %q: %w", what, id, err)
	}
	return out, nil
}

// NoteSignIn implements store.Access.
func (s *Store) NoteSignIn(ctx context.Context, id string) error {
	if err := s.queries.NoteSignIn(ctx, id); err != nil {
		return fault(fmt.Errorf("note the sign-in of %q: %w", id, alone(err)))
	}
	return nil
}

// DeleteUser implements store.Access.
func (s *Store) DeleteUser(ctx context.Context, id string) error {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.UserByID(ctx, id); err != nil {
			return missing(err)
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
		CreatedAt: row.CreatedAt.UTC(), SignedInAt: nullTime(row.SignedInAt),
	}
}

// Session implements store.Access.
func (s *Store) Session(ctx context.Context, token string) (data []byte, found bool, err error) {
	data, err = s.queries.Session(ctx, token)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fault(fmt.Errorf("session: %w", err))
	}
	return data, true, nil
}

// KeepSession implements store.Access.
func (s *Store) KeepSession(ctx context.Context, token string, data []byte, ttl time.Duration) error {
	if err := s.queries.KeepSession(ctx, dbq.KeepSessionParams{Token: token, Data: data, Lives: ttl}); err != nil {
		return fault(fmt.Errorf("keep session: %w", alone(err)))
	}
	return nil
}

// DropSession implements store.Access.
func (s *Store) DropSession(ctx context.Context, token string) error {
	if err := s.queries.DropSession(ctx, token); err != nil {
		return fault(fmt.Errorf("drop session: %w", alone(err)))
	}
	return nil
}

// attemptsLock lets attempts be counted one after the other: those that come at once must not all be within the limit.
const attemptsLock = migrationLock + 3

// Attempt implements store.Access.
func (s *Store) Attempt(ctx context.Context, subjects []string, limits []int, within time.Duration) (may bool, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		may = false
		if err := tx.LockUsers(ctx, attemptsLock); err != nil {
			return err
		}
		counts, err := tx.CountAttempts(ctx, dbq.CountAttemptsParams{Within: within, Subjects: subjects})
		if err != nil {
			return err
		}
		for i, n := range counts {
			if int(n) >= limits[i] {
				return nil
			}
		}
		may = true
		return tx.AddAttempts(ctx, subjects)
	})
	if err != nil {
		return false, fmt.Errorf("count attempts: %w", err)
	}
	return may, nil
}

// ForgetAttempts implements store.Access.
func (s *Store) ForgetAttempts(ctx context.Context, subject string) error {
	if err := s.queries.ForgetAttempts(ctx, subject); err != nil {
		return fault(fmt.Errorf("forget attempts: %w", alone(err)))
	}
	return nil
}

// Record implements store.Recorder.
func (s *Store) Record(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	err := s.change(ctx, func(ctx context.Context, tx *transaction) (err error) {
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
	id, err := newID(ctx, tx)
	if err != nil {
		return e, err
	}
	at, err := tx.InsertAudit(ctx, dbq.InsertAuditParams{
		ID: id, EnvironmentID: e.EnvironmentID, UserID: e.UserID, UserName: e.UserName, Address: e.Address,
		Action: e.Action, Target: e.Target, Detail: e.Detail,
	})
	e.ID, e.At = id, at.UTC()
	return e, err
}

// RecordFailed implements store.Recorder.
func (s *Store) RecordFailed(ctx context.Context, id, why string) error {
	if err := s.queries.FailAudit(ctx, dbq.FailAuditParams{Failed: why, ID: id}); err != nil {
		return fault(fmt.Errorf("record that nothing came of %s: %w", id, alone(err)))
	}
	return nil
}

// lastID sorts behind all ids.
const lastID = "~"

// AuditLog implements store.Access.
func (s *Store) AuditLog(ctx context.Context, f store.AuditFilter) ([]store.AuditEntry, error) {
	before := cmp.Or(f.Before, lastID)
	var rows []dbq.Audit
	var err error
	if f.EnvironmentID == "" {
		rows, err = s.queries.Audit(ctx, dbq.AuditParams{Before: before, Most: int32(f.Limit)})
	} else {
		rows, err = s.queries.AuditOf(ctx, dbq.AuditOfParams{Environment: f.EnvironmentID, Before: before, Most: int32(f.Limit)})
	}
	if err != nil {
		return nil, fault(fmt.Errorf("audit log: %w", err))
	}
	return collect(rows, func(r dbq.Audit) store.AuditEntry {
		return store.AuditEntry{
			ID: r.ID, EnvironmentID: r.EnvironmentID, At: r.At.UTC(), UserID: r.UserID, UserName: r.UserName, Address: r.Address,
			Action: r.Action, Target: r.Target, Detail: r.Detail, Failed: r.Failed,
		}
	}), nil
}

// Tidy implements store.Access.
func (s *Store) Tidy(ctx context.Context, keepAttempts, keepAudit time.Duration, limit int) (n int, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		n = 0
		now, err := tx.Now(ctx)
		if err != nil {
			return err
		}
		for _, step := range []func() (int64, error){
			func() (int64, error) { return tx.DropSessions(ctx, int32(limit)) },
			func() (int64, error) { return tx.DropSetupLinks(ctx) },
			func() (int64, error) { return tx.DropAttempts(ctx, keepAttempts) },
			func() (int64, error) {
				return tx.DropAudit(ctx, dbq.DropAuditParams{Before: skill.FirstID(now.Add(-keepAudit)), Most: int32(limit)})
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
