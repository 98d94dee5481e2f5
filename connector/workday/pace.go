package workday

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// pace spaces the requests of a session evenly: the engine counts calls, and each is many requests.
type pace struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time // no request before that
}

var errOver = errors.New("another request of the call has failed")

// wait returns when a request may leave. It returns early when the context ends or over is closed, and then an error:
// nothing may leave.
func (p *pace) wait(ctx context.Context, over <-chan struct{}) *connector.Error {
	p.mu.Lock()
	now := time.Now()
	at := now
	if p.next.After(now) {
		at = p.next
	}
	p.next = at.Add(p.every)
	p.mu.Unlock()
	if at.After(now) {
		timer := time.NewTimer(at.Sub(now))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		case <-over:
		}
	}
	select {
	case <-over:
		return givenUp(errOver)
	default:
	}
	if ctx.Err() != nil {
		return givenUp(context.Cause(ctx))
	}
	return nil
}

func givenUp(err error) *connector.Error {
	return &connector.Error{Kind: connector.Away, Message: "the call was given up before it was sent", Err: err}
}
