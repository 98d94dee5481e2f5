package store

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// ErrLastOwner: somebody must be left who may administer the server.
var ErrLastOwner = errors.New("the last owner")

// ErrInUse: the environment holds integrations or keys.
var ErrInUse = errors.New("in use")

// ErrUserDeleted: an identity is known, but its user was deleted.
var ErrUserDeleted = errors.New("the user was deleted")

// Scopes are what an API key may do. The numbers are on disk.
type Scopes uint8

// The scopes.
const (
	WriteSkills Scopes = 1 << iota
	ReadSkills
	ManageIntegrations

	AllScopes = WriteSkills | ReadSkills | ManageIntegrations
)

// Each returns the single scopes of a set, in their order.
func (s Scopes) Each() []Scopes {
	var all []Scopes
	for one := WriteSkills; one <= ManageIntegrations; one <<= 1 {
		if s&one != 0 {
			all = append(all, one)
		}
	}
	return all
}

// String names scopes for people.
func (s Scopes) String() string {
	var words []string
	for _, one := range s.Each() {
		switch one {
		case WriteSkills:
			words = append(words, "write skills")
		case ReadSkills:
			words = append(words, "read")
		default:
			words = append(words, "manage integrations")
		}
	}
	return strings.Join(words, ", ")
}

// KeyUse is that an API key was used.
type KeyUse struct {
	KeyID string
	Ago   time.Duration
	From  netip.Addr
}

// Role is what a user may do. The numbers are on disk, and each may do what those below may.
type Role uint8

// The roles.
const (
	Viewer Role = iota + 1 // looks at everything and changes nothing
	Member                 // administers keys and integrations, and repeats tasks
	Owner                  // administers users, environments and the server
)

// String returns the word for it.
func (r Role) String() string {
	switch r {
	case Viewer:
		return "viewer"
	case Member:
		return "member"
	case Owner:
		return "owner"
	default:
		return ""
	}
}

// ParseRole reads the word.
func ParseRole(word string) (Role, bool) {
	for r := Viewer; r <= Owner; r++ {
		if r.String() == word {
			return r, true
		}
	}
	return 0, false
}

// User is somebody who may sign in.
type User struct {
	ID       string
	Name     string // in small letters
	Role     Role
	Password string // its argon2id hash
	// Generation grows when all sessions of the user end: one that began in an earlier one is over.
	Generation int64
	CreatedAt  time.Time
	SignedInAt time.Time // zero: never
}

// Identity is a person as an OpenID provider knows it.
type Identity struct{ Issuer, Subject string }

// AuditEntry is something that somebody changed, or tried to.
type AuditEntry struct {
	ID            string
	EnvironmentID string // empty: the server's own
	At            time.Time
	UserID        string // empty: the command line, or the server itself; ByKey and an id: an API key
	UserName      string
	Address       string
	Action        string // for example "key.create"
	Target        string // the id of what was changed
	Detail        string // for people
	Failed        string // why nothing came of it; empty if it was done
}

// ByKey begins an AuditEntry's UserID where an API key has done it.
const ByKey = "key:"

// AuditFilter asks for a part of the audit log.
type AuditFilter struct {
	EnvironmentID string // empty: everything
	Before        string // entries before that id; empty: the newest
	Limit         int
}

// Access is who may do what, and what they did.
type Access interface {
	// Key of that environment.
	Key(ctx context.Context, environmentID, id string) (Key, error)
	// ExpireKey lets a key end after that time, or before if it would anyway.
	ExpireKey(ctx context.Context, environmentID, id string, in time.Duration) (Key, error)
	// NoteKeysUsed keeps when keys were last used. Keys that do not exist are left out.
	NoteKeysUsed(ctx context.Context, used []KeyUse) error

	RenameEnvironment(ctx context.Context, id, name string) (Environment, error) // ErrExists
	// DeleteEnvironment removes one that never had integrations, with its revoked keys; else it gives ErrInUse.
	DeleteEnvironment(ctx context.Context, id string) error
	// EraseEnvironment takes an environment away from everybody, with its name, keys, links and integrations: whoever drains
	// one is refused from now on. What it held is removed by EraseSome.
	EraseEnvironment(ctx context.Context, id string) error // ErrNotFound

	// KeepSetupLink keeps the hash of a link that makes the first user, or gives ErrExists when there are users.
	KeepSetupLink(ctx context.Context, hash [32]byte, ttl time.Duration) error
	// SetupLink reports whether a link is good.
	SetupLink(ctx context.Context, hash [32]byte) (bool, error)
	// CreateFirstUser makes a user with a link, once: ErrNotFound when the link is not good.
	CreateFirstUser(ctx context.Context, link [32]byte, user User) (User, error)
	// CreateUser keeps a user; ID, Generation and CreatedAt are set by the store. ErrExists when the name is taken.
	CreateUser(ctx context.Context, user User) (User, error)
	Users(ctx context.Context) ([]User, error)
	User(ctx context.Context, id string) (User, error)
	UserByName(ctx context.Context, name string) (User, error)
	// UserByIdentity finds whose an identity is: ErrNotFound when it is nobody's, ErrUserDeleted when its user was deleted.
	UserByIdentity(ctx context.Context, identity Identity) (User, error)
	// LinkIdentity makes an identity the user's: ErrExists when it is another user's, or the user has another one of that issuer.
	LinkIdentity(ctx context.Context, id string, identity Identity) error
	// CreateUserWithIdentity is both at once. ErrNotFound where there is no user at all: the first one is made with a link, or
	// by hand.
	CreateUserWithIdentity(ctx context.Context, user User, identity Identity) (User, error)
	// SetPassword ends all sessions of the user.
	SetPassword(ctx context.Context, id, hash string) (User, error)
	SetRole(ctx context.Context, id string, role Role) (User, error) // ErrLastOwner
	// EndSessions begins a new generation.
	EndSessions(ctx context.Context, id string) (User, error)
	NoteSignIn(ctx context.Context, id string) error
	DeleteUser(ctx context.Context, id string) error // ErrLastOwner

	// Session finds what is kept under a token's hash, unless its time is up.
	Session(ctx context.Context, token string) (data []byte, found bool, err error)
	KeepSession(ctx context.Context, token string, data []byte, ttl time.Duration) error
	DropSession(ctx context.Context, token string) error
	// Attempt counts the attempts of each subject within that time and, unless one of them has reached its limit, adds one to
	// each. It reports whether it did.
	Attempt(ctx context.Context, subjects []string, limits []int, within time.Duration) (bool, error)
	// ForgetAttempts of a subject that has succeeded.
	ForgetAttempts(ctx context.Context, subject string) error

	Recorder
	AuditLog(ctx context.Context, f AuditFilter) ([]AuditEntry, error)

	// Tidy removes sessions that are over, attempts and links that are too old, and entries of the audit log from before that
	// time, up to limit of each, and returns how many.
	Tidy(ctx context.Context, keepAttempts, keepAudit time.Duration, limit int) (int, error)
}

// FormatAddresses writes networks as they are kept.
func FormatAddresses(networks []netip.Prefix) string {
	words := make([]string, len(networks))
	for i, n := range networks {
		words[i] = n.String()
	}
	return strings.Join(words, " ")
}

// ParseAddresses reads networks as FormatAddresses wrote them. A damaged one allows nobody, rather than everybody.
func ParseAddresses(kept string) []netip.Prefix {
	var networks []netip.Prefix
	for word := range strings.FieldsSeq(kept) {
		n, _ := netip.ParsePrefix(word) // the zero prefix holds no address
		networks = append(networks, n)
	}
	return networks
}
