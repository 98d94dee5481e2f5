package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store/postgres"
)

// migrate gives the database the newest schema.
func migrate(ctx context.Context, url string) error {
	s, err := postgres.Open(ctx, postgres.Options{URL: url, Serve: true, Conns: 4})
	if err != nil {
		return err
	}
	return s.Close()
}

// Open opens the store of a fresh database, to serve, with few connections: many tests share one server. Whoever opens it
// closes it.
func Open(tb testing.TB, url string, now func() time.Time) *postgres.Store {
	tb.Helper()
	s, err := postgres.Open(context.Background(), postgres.Options{URL: url, Serve: true, Conns: 4, Now: now})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
