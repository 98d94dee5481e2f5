package engine

import (
	"context"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// The operations of a sync are bounded like those of a drain.

func (b bounded) DueSyncs(ctx context.Context, periodic bool, limit int) ([]string, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.DueSyncs(ctx, periodic, limit)
}

func (b bounded) ClaimSync(ctx context.Context, c store.SyncClaim) (store.SyncLease, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.ClaimSync(ctx, c)
}

func (b bounded) AdvanceSync(ctx context.Context, lease store.Lease, step store.SyncStep) (store.SyncNext, error) {
	rows := len(step.Notes) + len(step.New) + len(step.Remote) + len(step.DropRemote)
	ctx, cancel := within(ctx, storeMost+time.Duration(rows)*storeMostEach)
	defer cancel()
	return b.Store.AdvanceSync(ctx, lease, step)
}

func (b bounded) SyncSeen(ctx context.Context, lease store.Lease) ([][]byte, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.SyncSeen(ctx, lease)
}

func (b bounded) RowsByOrigin(ctx context.Context, lease store.Lease, originIDs []string) ([]store.SkillRow, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.RowsByOrigin(ctx, lease, originIDs)
}

func (b bounded) RowsAfter(ctx context.Context, lease store.Lease, after string, limit int) ([]store.SkillRow, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.RowsAfter(ctx, lease, after, limit)
}

func (b bounded) RemoteByID(ctx context.Context, lease store.Lease, remoteIDs []string) ([]store.RemoteSkill, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.RemoteByID(ctx, lease, remoteIDs)
}

func (b bounded) RemoteAfter(ctx context.Context, lease store.Lease, after string, limit int) ([]store.RemoteSkill, error) {
	ctx, cancel := within(ctx, storeMost)
	defer cancel()
	return b.Store.RemoteAfter(ctx, lease, after, limit)
}
