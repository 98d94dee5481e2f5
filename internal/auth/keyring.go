package auth

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Keyring is the master keys of a process: the one that it seals with, and another one while the key is being changed.
type Keyring struct {
	Key *MasterKey
	// Other opens what was sealed under it; nil but in the middle of a change.
	Other *MasterKey
}

// Seal seals under Key.
func (k *Keyring) Seal(integrationID string, plain []byte) []byte {
	return k.Key.Seal(integrationID, plain)
}

// Open opens what either key has sealed.
func (k *Keyring) Open(integrationID string, sealed []byte) ([]byte, error) {
	under := SealedUnder(sealed)
	for _, key := range []*MasterKey{k.Key, k.Other} {
		if key != nil && key.id == under {
			return key.Open(integrationID, sealed)
		}
	}
	return nil, fmt.Errorf("sealed under the master key %s; this process has %s", under, k)
}

// String names the keys by their ids.
func (k *Keyring) String() string {
	if k.Other == nil {
		return k.Key.id
	}
	return k.Key.id + " and " + k.Other.id
}

// SealedUnder is the id of the key that something was sealed under; empty if it is not sealed at all.
func SealedUnder(sealed []byte) string {
	if len(sealed) == 0 || sealed[0] != sealedBy1 {
		return ""
	}
	id, _, _ := strings.Cut(string(sealed[1:]), "\x00")
	return id
}

// ownNext is where the next key of an embedded database waits while the key is being changed.
const ownNext = ".next"

// Other reads the second key; nil if there is none.
func (s MasterKeySource) Other() (*MasterKey, error) {
	switch {
	case s.OtherValue != "":
		key, err := ParseMasterKey(s.OtherValue)
		if err != nil {
			return nil, refuseKey(err, "%s is no master key; crosswalk master-key new makes one", OtherKeyVariable)
		}
		return key, nil
	case s.OtherFile != "":
		return readKey(s.OtherFile)
	case s.Own != "":
		key, err := readKey(s.Own + ownNext)
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return key, err
	default:
		return nil, nil
	}
}

// Ring is Take for a process that may have a second key: the one that the database has noted seals, both open. It is nil
// where there is no key.
func (s MasterKeySource) Ring(ctx context.Context, notes MasterKeyNotes) (*Keyring, error) {
	other, err := s.Other()
	if err != nil {
		return nil, err
	}
	if other != nil {
		key, _, err := s.Given()
		if err != nil {
			return nil, err
		}
		noted, err := notes.MasterKey(ctx)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("master key: %w", err)
		}
		if err == nil && other.Is(noted) {
			return &Keyring{Key: other, Other: key}, nil
		}
	}
	key, err := s.Take(ctx, notes)
	if err != nil || key == nil {
		return nil, err
	}
	return &Keyring{Key: key, Other: other}, nil
}

// MakeNext makes the next key of an embedded database and keeps it beside the one in use, unless there is one already.
func (s MasterKeySource) MakeNext() error {
	if _, err := os.Stat(s.Own + ownNext); err == nil {
		return nil
	}
	_, err := makeKey(s.Own + ownNext)
	return err
}

// UseNext puts the next key in the place of the one that was in use.
func (s MasterKeySource) UseNext() error {
	if err := os.Rename(s.Own+ownNext, s.Own); err != nil {
		return fmt.Errorf("put the new master key in place: %w", err)
	}
	return nil
}
