package store

import (
	"context"
	"errors"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// Recorder keeps the audit log: who changed what.
type Recorder interface {
	// Record keeps an entry; ID and At are set by the store.
	Record(ctx context.Context, entry AuditEntry) (AuditEntry, error)
	// RecordFailed notes why nothing came of what was recorded.
	RecordFailed(ctx context.Context, id, why string) error
}

// Act does something once the audit log has an entry of it on disk. If nothing comes of it, the entry says why; untold is called
// if that cannot be kept.
func Act(ctx context.Context, log Recorder, entry AuditEntry, do func(ctx context.Context) error, untold func(entryID string, err error)) error {
	entry, err := log.Record(ctx, entry)
	if err != nil {
		return err
	}
	if err = do(ctx); err == nil {
		return nil
	}
	if e := log.RecordFailed(context.WithoutCancel(ctx), entry.ID, whyNot(err)); e != nil {
		untold(entry.ID, e)
	}
	return err
}

// whyNot is what the audit log says of an error: nothing that is not meant for people.
func whyNot(err error) string {
	if told, ok := errors.AsType[*skill.Error](err); ok {
		return told.Message
	}
	if page, ok := errors.AsType[interface {
		error
		Title() string
	}](err); ok {
		return page.Title()
	}
	for _, refusal := range []error{ErrExists, ErrInUse, ErrLastOwner, ErrNotFound, ErrTaskEnded} {
		if errors.Is(err, refusal) {
			return "refused"
		}
	}
	return "it failed"
}
