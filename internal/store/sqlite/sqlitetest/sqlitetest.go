// Package sqlitetest opens fresh embedded databases for tests, quickly: the tables are made once a process and copied.
package sqlitetest

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

//nolint:gochecknoglobals // made once a test binary
var template = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "crosswalk-template-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "crosswalk.db")
	s, err := sqlite.Open(context.Background(), sqlite.Options{Path: path})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Prepare makes the template. A test whose time is not real must call it before its bubble begins.
func Prepare(tb testing.TB) {
	tb.Helper()
	if _, err := template(); err != nil {
		tb.Fatal(err)
	}
}

// Create makes a fresh database at that path, for a program that opens it itself.
func Create(tb testing.TB, path string) {
	tb.Helper()
	content, err := template()
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		tb.Fatal(err)
	}
}

// Open opens a fresh database at options.Path, to serve. Whoever opens it closes it.
func Open(tb testing.TB, options sqlite.Options) *sqlite.Store {
	tb.Helper()
	Create(tb, options.Path)
	options.Serve = true
	s, err := sqlite.Open(context.Background(), options)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
