package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// oneKey is a store with one key. It tells the time by its own clock.
type oneKey struct {
	hash  [32]byte
	key   store.Key
	asked int
}

func (o *oneKey) KeyByHash(_ context.Context, hash [32]byte) (store.Key, error) {
	o.asked++
	if hash != o.hash {
		return store.Key{}, store.ErrNotFound
	}
	return o.key, nil
}

// A key is believed for as long as it may be and no longer, also by a process whose clock is an hour off: how long ago the
// store was asked is all that counts, not when it says that the key was revoked.
func TestKeysByAWrongClock(t *testing.T) {
	t.Parallel()
	for name, off := range map[string]time.Duration{"right": 0, "an hour ahead": time.Hour, "an hour behind": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				key, _, hash := NewKey()
				db := &oneKey{hash: hash, key: store.Key{ID: "key", EnvironmentID: "env", CreatedAt: time.Now()}}
				keys := &Keys{Store: db, Now: func() time.Time { return time.Now().Add(off) }}
				good := func() bool {
					t.Helper()
					who, err := keys.Authenticate(t.Context(), "Bearer "+key)
					if e := (*skill.Error)(nil); err != nil && !errors.As(err, &e) {
						t.Fatal(err)
					}
					return err == nil && who == Principal{EnvironmentID: "env", KeyID: "key"}
				}
				if !good() || db.asked != 1 {
					t.Fatalf("a good key is refused, or the store was asked %d times", db.asked)
				}
				db.key.RevokedAt = time.Now()
				<-time.After(500*time.Millisecond - 1)
				if !good() || db.asked != 1 {
					t.Errorf("within its time the key is not believed; the store was asked %d times", db.asked)
				}
				<-time.After(1)
				if good() || db.asked != 2 {
					t.Errorf("after its time the key is believed; the store was asked %d times", db.asked)
				}
			})
		})
	}
}
