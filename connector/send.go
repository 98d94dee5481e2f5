package connector

import (
	"context"
	"time"
)

type sendKey struct{}

// MaySend reports whether a request may leave for the tool now. A connector asks it right before the bytes of each request
// that changes something, whatever it asked or waited for before, and when it gets an error sends nothing more: it returns
// an *Error of kind Away that wraps it.
//
// Somebody else may write to the account by then. The end of a context alone cannot be trusted to tell: in a process that
// was suspended, timers fire late and in any order, so here the clock is asked.
func MaySend(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	if check, ok := ctx.Value(sendKey{}).(func() error); ok {
		return check()
	}
	return nil
}

// WithSendCheck returns a context in which MaySend asks check too. The engine puts the check of its lease there.
func WithSendCheck(ctx context.Context, check func() error) context.Context {
	return context.WithValue(ctx, sendKey{}, check)
}
