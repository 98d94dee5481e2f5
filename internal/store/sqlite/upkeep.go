package sqlite

import (
	"context"
	"errors"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Contents implements store.Drains.
func (*Store) Contents(context.Context, store.Lease, []string) ([]skill.Item, error) {
	return nil, errors.ErrUnsupported
}

// Doubt implements store.Drains.
func (*Store) Doubt(context.Context, store.Doubt) error { return errors.ErrUnsupported }

// Expire implements store.Upkeep.
func (*Store) Expire(context.Context, time.Duration, int) (int, error) { return 0, errors.ErrUnsupported }

// Forget implements store.Upkeep.
func (*Store) Forget(context.Context, time.Duration, int) (int, error) { return 0, errors.ErrUnsupported }

// Health implements store.Upkeep.
func (*Store) Health(context.Context) (store.Health, error) {
	return store.Health{}, errors.ErrUnsupported
}

// KeepMasterKey implements store.Upkeep.
func (*Store) KeepMasterKey(context.Context, store.MasterKey) (store.MasterKey, error) {
	return store.MasterKey{}, errors.ErrUnsupported
}

// MasterKey implements store.Upkeep.
func (*Store) MasterKey(context.Context) (store.MasterKey, error) {
	return store.MasterKey{}, errors.ErrUnsupported
}
