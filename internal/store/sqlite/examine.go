package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// littleRoom is when an operator should look after the disk, noRoom when it is nearly too late.
	littleRoom = 1_000_000_000
	noRoom     = 100_000_000
	// longLog is more than the checkpointer lets the log become (mostPages), unless somebody hinders it.
	longLog = 256_000_000
)

// Examine implements store.Upkeep.
func (s *Store) Examine(context.Context) ([]store.Finding, error) {
	var found []store.Finding
	folder := filepath.Dir(s.opts.Path)
	if free, known := freeBytes(folder); known {
		f := store.Finding{Check: "disk", Found: fmt.Sprintf("%s free in %s", store.Bytes(free), folder)}
		if free < littleRoom {
			f.Grade, f.Do = store.Warning, "Make room: without any, requests are answered with 503 until there is some again. Nothing that was accepted is lost."
		}
		if free < noRoom {
			f.Grade = store.Wrong
		}
		found = append(found, f)
	}
	log, err := sizeOf(s.opts.Path + "-wal")
	if err != nil {
		return nil, fmt.Errorf("examine: %w", err)
	}
	f := store.Finding{Check: "log", Found: "the write-ahead log has " + store.Bytes(log)}
	if log > longLog {
		f.Grade, f.Do = store.Warning, "A program that reads the file for long keeps the log from being copied: end it."
	}
	found = append(found, f)
	info, err := os.Stat(s.opts.Path)
	if err != nil {
		return nil, fmt.Errorf("examine: %w", err)
	}
	f = store.Finding{Check: "file", Found: fmt.Sprintf("%s, mode %04o", s.opts.Path, info.Mode().Perm())}
	if info.Mode().Perm()&0o077 != 0 {
		f.Grade, f.Do = store.Warning, "Others on this machine may read it: chmod 600 "+s.opts.Path
	}
	return append(found, f), nil
}

// sizeOf a file; one that does not exist has none.
func sizeOf(path string) (int64, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, nil
	case err != nil:
		return 0, err
	}
	return info.Size(), nil
}
