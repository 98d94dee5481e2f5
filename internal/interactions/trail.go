package interactions

import (
	"context"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Trail is the exchanges with a tool that one piece of work leads to. They are held back until it is known what came of it,
// so that an exchange which refused something is kept as such, whatever its status. A nil *Trail has none. It may be used by
// several goroutines at once.
type Trail struct {
	log *Log
	of  store.Interaction // the fields that all of them have

	mu     sync.Mutex
	last   string // the one that began last
	held   []entry
	failed bool // some part of the work
	ended  bool
}

// mostHeld is how many are held back; then the first ones are let go.
const mostHeld = 64

type trailKey struct{}

// Follow begins a trail: the exchanges of requests that are made with the context are about the task's items.
func (l *Log) Follow(ctx context.Context, taskID string, items store.Range) (context.Context, *Trail) {
	if l == nil {
		return ctx, nil
	}
	t := &Trail{log: l, of: store.Interaction{TaskID: taskID, Items: items}}
	return context.WithValue(ctx, trailKey{}, t), t
}

// TrailOf is the trail that a context belongs to, or nil.
func TrailOf(ctx context.Context) *Trail {
	t, _ := ctx.Value(trailKey{}).(*Trail)
	return t
}

// Last is the id of the exchange that began last, or nothing.
func (t *Trail) Last() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Blame says that an exchange refused something.
func (t *Trail) Blame(id string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failed = true
	for i := range t.held {
		if t.held[i].ID == id {
			t.held[i].Failed = true
		}
	}
}

// End lets the exchanges go. What comes later is kept at once.
func (t *Trail) End() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.release(len(t.held))
}

// release lets the first n go.
func (t *Trail) release(n int) {
	if t.log.Wants(true, t.failed) {
		t.log.add(t.held[:n]...)
	}
	t.held = t.held[n:]
}

func (t *Trail) hold(e entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e.TaskID, e.Items = t.of.TaskID, t.of.Items
	t.failed = t.failed || e.Failed
	t.held = append(t.held, e)
	switch {
	case t.ended:
		t.release(len(t.held))
	case len(t.held) > mostHeld:
		t.release(1)
	}
}

// Begin gives an exchange with a tool its id.
func (l *Log) Begin(ctx context.Context, at time.Time) string {
	id := skill.NewID(at)
	if t := TrailOf(ctx); t != nil {
		t.mu.Lock()
		t.last = id
		t.mu.Unlock()
	}
	return id
}

// Outbound takes an exchange with a tool, of which the id, whose it is and the status are known; finish adds the rest, when
// it is written. bytes is how much it may hold in memory until then.
func (l *Log) Outbound(ctx context.Context, i store.Interaction, bytes int, finish func(*store.Interaction)) {
	if l == nil {
		return
	}
	i.Outbound = true
	i.Failed = i.Status == 0 || i.Status >= 400
	e := entry{Interaction: i, finish: finish, bytes: bytes}
	if t := TrailOf(ctx); t != nil {
		t.hold(e)
	} else if l.Wants(true, i.Failed) {
		l.add(e)
	}
}
