package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// How a master key is given. The key itself is no flag: other users of the machine can see flags.
const (
	MasterKeyVariable     = "CROSSWALK_MASTER_KEY"
	MasterKeyFileVariable = "CROSSWALK_MASTER_KEY_FILE"
	// The second key, while the key is being changed.
	OtherKeyVariable     = "CROSSWALK_MASTER_KEY_OTHER"
	OtherKeyFileVariable = "CROSSWALK_MASTER_KEY_OTHER_FILE"
)

// MasterKeySource says where a process finds its master key.
type MasterKeySource struct {
	// Value is the key itself, from the variable.
	Value string
	// File holds the key.
	File string
	// OtherValue and OtherFile are the second key, while the key is being changed.
	OtherValue string
	OtherFile  string
	// Own is the file in which an embedded database keeps its key if none is given; empty where there is none.
	Own string
}

// MasterKeyNotes is what a database knows of its key.
type MasterKeyNotes interface {
	KeepMasterKey(ctx context.Context, key store.MasterKey) (store.MasterKey, error)
	MasterKey(ctx context.Context) (store.MasterKey, error)
}

// Given reads the key, and says where it came from. It is nil if there is none.
func (s MasterKeySource) Given() (key *MasterKey, from string, err error) {
	switch {
	case s.Value != "" && s.File != "":
		return nil, "", refuseKey(nil, "a master key is given twice, as %s and as the file %s: give one of them", MasterKeyVariable, s.File)
	case s.Value != "":
		if key, err = ParseMasterKey(s.Value); err != nil {
			return nil, "", refuseKey(err, "%s is no master key; crosswalk master-key new makes one", MasterKeyVariable)
		}
		return key, MasterKeyVariable, nil
	case s.File != "":
		key, err = readKey(s.File)
		return key, s.File, err
	case s.Own != "":
		key, err = readKey(s.Own)
		if errors.Is(err, os.ErrNotExist) {
			return nil, "", nil
		}
		return key, s.Own, err
	default:
		return nil, "", nil
	}
}

// Take returns the key that a database's credentials are sealed under, and refuses another one. A database that has none
// yet takes the one that is given; an embedded one makes its own if none is, and nobody else may do so at the same time.
// Without any, the key is nil: nothing can be sealed.
func (s MasterKeySource) Take(ctx context.Context, notes MasterKeyNotes) (*MasterKey, error) {
	key, from, err := s.Given()
	if err != nil {
		return nil, err
	}
	if key == nil {
		noted, err := notes.MasterKey(ctx)
		switch {
		case err == nil && s.Own != "":
			return nil, refuseKey(nil, "the master key %s of this database is missing: it was in %s. Put the file back, or give the key as %s or %s",
				noted.ID, s.Own, MasterKeyVariable, MasterKeyFileVariable)
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return nil, fmt.Errorf("master key: %w", err)
		case s.Own == "":
			return nil, nil
		}
		if key, err = makeKey(s.Own); err != nil {
			return nil, fmt.Errorf("make a master key: %w", err)
		}
		from = s.Own
	}
	noted, err := notes.KeepMasterKey(ctx, key.Noted())
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	if !key.Is(noted) {
		return nil, refuseKey(nil, "this database's credentials are sealed under the master key %s, and %s holds another one, %s. Give the first, as %s or %s",
			noted.ID, from, key.ID(), MasterKeyVariable, MasterKeyFileVariable)
	}
	return key, nil
}

func refuseKey(cause error, format string, args ...any) error {
	e := skill.Errorf(skill.Invalid, skill.CodeInputInvalid, format, args...)
	e.Err = cause
	return e
}

// mostKeyFile is more than any key takes.
const mostKeyFile = 4096

func readKey(name string) (*MasterKey, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, refuseKey(err, "the file of the master key cannot be read")
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostKeyFile))
	if err != nil {
		return nil, refuseKey(err, "the file of the master key cannot be read")
	}
	key, err := ParseMasterKey(string(text))
	if err != nil {
		return nil, refuseKey(err, "%s holds no master key; crosswalk master-key new makes one", name)
	}
	return key, nil
}

// makeKey writes a fresh key to a file that is whole, on disk and readable to its owner alone, or not there.
func makeKey(name string) (_ *MasterKey, err error) {
	text := NewMasterKey()
	dir := filepath.Dir(name)
	file, err := os.CreateTemp(dir, ".master-*.key") // 0600
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name()) // the first error is the one to tell
		}
	}()
	_, err = file.WriteString(text + "\n")
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, err
	}
	if err = os.Rename(file.Name(), name); err != nil {
		return nil, err
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err = errors.Join(folder.Sync(), folder.Close()); err != nil {
		return nil, err
	}
	return ParseMasterKey(text)
}
