package postgres_test

import (
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return pgtest.Open(t, pgtest.Database(t), now)
	})
}
