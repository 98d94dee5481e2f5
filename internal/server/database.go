package server

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// Database says where everything is kept.
type Database struct {
	// Data is the folder of the embedded database.
	Data string
	// URL is "" for the SQLite file in Data, "sqlite:FILE" for another one, or "postgres://…".
	URL string
	// Pooler and Conns are those of postgres.Options; they mean nothing to SQLite.
	Pooler bool
	Conns  int
}

// File is where the embedded database lies, if it is one.
func (d Database) File() (path string, embedded bool) {
	if d.URL == "" {
		return filepath.Join(d.Data, "crosswalk.db"), true
	}
	return strings.CutPrefix(d.URL, "sqlite:")
}

// MasterKeyFile is where the embedded database keeps its master key if none is given; empty for another database.
func (d Database) MasterKeyFile() string {
	path, embedded := d.File()
	if !embedded {
		return ""
	}
	return filepath.Join(filepath.Dir(path), "master.key")
}

// String names it for people, without a password.
func (d Database) String() string {
	if path, embedded := d.File(); embedded {
		return path
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		return "…"
	}
	u.RawQuery = "" // a password may stand there, too
	return u.Redacted()
}

// Open opens the database. serve takes it for this process as far as it can be taken, and label is what a second server on
// an embedded one is told about this one.
func (d Database) Open(ctx context.Context, serve bool, label string, log *slog.Logger, m *metrics.Metrics) (store.Store, error) {
	if path, embedded := d.File(); embedded && path != "" {
		return sqlite.Open(ctx, sqlite.Options{Path: path, Serve: serve, Label: label, Logger: log, Committed: m.Committed})
	}
	if d.IsPostgres() {
		return postgres.Open(ctx, postgres.Options{URL: d.URL, Serve: serve, Pooler: d.Pooler, Conns: d.Conns, Logger: log})
	}
	return nil, d.unknown()
}

// IsPostgres reports whether the URL is that of a PostgreSQL.
func (d Database) IsPostgres() bool {
	return strings.HasPrefix(d.URL, "postgres://") || strings.HasPrefix(d.URL, "postgresql://")
}

func (d Database) unknown() error {
	return skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
		"--database %q: give postgres://USER:PASSWORD@HOST/DATABASE, sqlite:FILE, or nothing for the file in --data", d)
}

// Versions tells at which version the tables are, 0 if there are none, and which one this program knows. It changes
// nothing; the error of an embedded database that does not exist is an fs.ErrNotExist.
func (d Database) Versions(ctx context.Context) (have, known int64, err error) {
	if path, embedded := d.File(); embedded && path != "" {
		return sqlite.Versions(ctx, path)
	}
	if d.IsPostgres() {
		return postgres.Versions(ctx, postgres.Options{URL: d.URL, Pooler: d.Pooler})
	}
	return 0, 0, d.unknown()
}
