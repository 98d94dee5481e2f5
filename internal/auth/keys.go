// Package auth knows who is asking, and keeps what is secret: API keys, and the master key that seals the credentials of
// tools.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/mr-tron/base58"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	keyPrefix = "cw_live_"
	// keyBytes of randomness make a key that nobody guesses, so one round of SHA-256 is enough to keep it.
	keyBytes = 32
	// shownLength is how much of a key is kept readable, to tell keys apart.
	shownLength = len(keyPrefix) + 6
	// keyMost is longer than any key: base 58 of 32 bytes has 43 or 44 characters.
	keyMost = len(keyPrefix) + 44
)

// NewKey returns a fresh API key, the start of it that may be shown, and the hash that is kept.
func NewKey() (key, shown string, hash [32]byte) {
	var secret [keyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the process instead
	return KeyOf(secret)
}

// KeyOf is NewKey for a secret that the caller has: as hard to guess as random bytes, and always the same key.
func KeyOf(secret [keyBytes]byte) (key, shown string, hash [32]byte) {
	key = keyPrefix + base58.Encode(secret[:])
	return key, key[:shownLength], sha256.Sum256([]byte(key))
}

// Principal is who sent a request.
type Principal struct {
	EnvironmentID string
	KeyID         string
	KeyName       string
}

// KeyStore finds keys by their hash.
type KeyStore interface {
	KeyByHash(ctx context.Context, hash [32]byte) (store.Key, error)
}

// Keys checks API keys. A good key is believed for Fresh without asking the store, so a revoked one is refused by then in
// every process.
type Keys struct {
	Store KeyStore
	Fresh time.Duration    // 500 ms if zero
	Now   func() time.Time // time.Now if nil

	mu    sync.RWMutex
	known map[[32]byte]knownKey

	useMu sync.Mutex
	uses  map[string]use // by key, since they were written down
}

type knownKey struct {
	principal Principal
	until     time.Time
	scopes    store.Scopes
	addresses []netip.Prefix
}

// errRefused does not say what is wrong with a key: that is nobody's business who does not have it.
func errRefused() error {
	return skill.Errorf(skill.Unauthenticated, skill.CodeAuthenticationInvalid,
		"The API key is missing, malformed, unknown, expired or revoked. Send a valid one as \"Authorization: Bearer %s…\".", keyPrefix)
}

// Authenticate reads an Authorization header. What the key must be good for, and where the request comes from, is told by its
// context (WithRequest).
func (k *Keys) Authenticate(ctx context.Context, authorization string) (Principal, error) {
	scheme, key, _ := strings.Cut(authorization, " ")
	if !strings.EqualFold(scheme, "Bearer") || !strings.HasPrefix(key, keyPrefix) || len(key) > keyMost {
		return Principal{}, errRefused()
	}
	now := time.Now
	if k.Now != nil {
		now = k.Now
	}
	hash := sha256.Sum256([]byte(key))
	k.mu.RLock()
	known, ok := k.known[hash]
	k.mu.RUnlock()
	if at := now(); ok && at.Before(known.until) {
		return k.admit(ctx, known, at)
	}
	asked := now()
	row, err := k.Store.KeyByHash(ctx, hash)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Principal{}, fmt.Errorf("authenticate: %w", err)
	}
	if err != nil || !row.RevokedAt.IsZero() || row.Expired {
		k.mu.Lock()
		delete(k.known, hash)
		k.mu.Unlock()
		return Principal{}, errRefused()
	}
	fresh := k.Fresh
	if fresh == 0 {
		fresh = 500 * time.Millisecond
	}
	known = knownKey{Principal{EnvironmentID: row.EnvironmentID, KeyID: row.ID, KeyName: row.Name}, asked.Add(fresh), row.Scopes, row.Addresses}
	k.mu.Lock()
	if k.known == nil {
		k.known = map[[32]byte]knownKey{}
	}
	k.known[hash] = known
	k.mu.Unlock()
	return k.admit(ctx, known, asked)
}
