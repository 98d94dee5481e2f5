package connector_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
)

func TestMaySend(t *testing.T) {
	refused := errors.New("no")
	cause := errors.New("stopped")
	for name, test := range map[string]struct {
		ctx  func(context.Context) context.Context
		want error
	}{
		"without an engine": {func(ctx context.Context) context.Context { return ctx }, nil},
		"allowed": {func(ctx context.Context) context.Context {
			return connector.WithSendCheck(ctx, func() error { return nil })
		}, nil},
		"refused": {func(ctx context.Context) context.Context {
			return connector.WithSendCheck(ctx, func() error { return refused })
		}, refused},
		"refused, with other values on top": {func(ctx context.Context) context.Context {
			ctx = connector.WithSendCheck(ctx, func() error { return refused })
			return context.WithoutCancel(ctx)
		}, refused},
		"ended": {func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancelCause(connector.WithSendCheck(ctx, func() error { return refused }))
			cancel(cause)
			return ctx
		}, cause},
		"the timer is late": {func(ctx context.Context) context.Context { return late{ctx} }, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := connector.MaySend(test.ctx(t.Context())); !errors.Is(err, test.want) {
					t.Errorf("MaySend = %v, want %v", err, test.want)
				}
			})
		})
	}
}

// late is a context whose deadline has passed and whose timer has not fired yet.
type late struct{ context.Context }

func (late) Deadline() (time.Time, bool) { return time.Now(), true }
