package interactions_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// exchange makes an exchange with a tool.
func exchange(ctx context.Context, l *interactions.Log, status int) string {
	id := l.Begin(ctx, time.Now())
	l.Outbound(ctx, store.Interaction{ID: id, EnvironmentID: "env", Status: status}, 100, func(i *store.Interaction) { i.Method = "PUT" })
	return id
}

func TestTrails(t *testing.T) {
	t.Parallel()
	for _, mode := range []interactions.Mode{interactions.All, interactions.Errors} {
		for name, c := range map[string]struct {
			work        func(ctx context.Context, l *interactions.Log, trail *interactions.Trail)
			all, errors string // status and F for failed, as kept
		}{
			"nothing failed": {
				func(ctx context.Context, l *interactions.Log, _ *interactions.Trail) {
					exchange(ctx, l, 200)
					exchange(ctx, l, 201)
				}, "200 201", "",
			},
			"an exchange failed": {
				func(ctx context.Context, l *interactions.Log, _ *interactions.Trail) {
					exchange(ctx, l, 200)
					exchange(ctx, l, 503)
				}, "200 503F", "200 503F",
			},
			"no answer": {
				func(ctx context.Context, l *interactions.Log, _ *interactions.Trail) { exchange(ctx, l, 0) }, "0F", "0F",
			},
			"an answer of 200 refused something": {
				func(ctx context.Context, l *interactions.Log, trail *interactions.Trail) {
					id := exchange(ctx, l, 200)
					exchange(ctx, l, 201)
					trail.Blame(id)
				}, "200F 201", "200F 201",
			},
			"one comes late": {
				func(ctx context.Context, l *interactions.Log, trail *interactions.Trail) {
					exchange(ctx, l, 500)
					trail.End()
					exchange(ctx, l, 200)
				}, "500F 200", "500F 200",
			},
		} {
			t.Run(fmt.Sprint(mode, " ", name), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					k := &kept{}
					l, _, stop := start(t, k, mode)
					ctx, trail := l.Follow(t.Context(), "task_1", store.Range{Start: 5, Stop: 7})
					c.work(ctx, l, trail)
					trail.End()
					stop()
					var got []string
					for _, i := range k.all() {
						if i.TaskID != "task_1" || i.Items != (store.Range{Start: 5, Stop: 7}) || !i.Outbound || i.Method != http.MethodPut {
							t.Errorf("%+v", i)
						}
						text := fmt.Sprint(i.Status)
						if i.Failed {
							text += "F"
						}
						got = append(got, text)
					}
					want := c.all
					if mode == interactions.Errors {
						want = c.errors
					}
					if strings.Join(got, " ") != want {
						t.Errorf("kept %v, not %s", got, want)
					}
				})
			})
		}
	}
}

func TestTheLastExchangeOfATrail(t *testing.T) {
	t.Parallel()
	l := interactions.New(interactions.Config{})
	ctx, trail := l.Follow(t.Context(), "task_1", store.Range{})
	if trail.Last() != "" || interactions.TrailOf(ctx) != trail || interactions.TrailOf(t.Context()) != nil {
		t.Error("a fresh trail")
	}
	first, second := exchange(ctx, l, 200), l.Begin(ctx, time.Now()) // one that has no answer yet counts
	if got := trail.Last(); got != second || got == first {
		t.Errorf("%s", got)
	}
}

// What a long trail holds back is bounded.
func TestALongTrail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		l, _, stop := start(t, k, interactions.Errors)
		ctx, trail := l.Follow(t.Context(), "task_1", store.Range{})
		var ids []string
		for range 100 {
			ids = append(ids, exchange(ctx, l, 200))
		}
		trail.Blame("")
		trail.End()
		stop()
		var got []string
		for _, i := range k.all() {
			got = append(got, i.ID)
		}
		if !slices.Equal(got, ids[36:]) {
			t.Errorf("%d are kept", len(got))
		}
	})
}

func TestWithoutALog(t *testing.T) {
	t.Parallel()
	l := interactions.New(interactions.Config{Mode: interactions.Off})
	ctx, trail := l.Follow(t.Context(), "task_1", store.Range{})
	trail.Blame(exchange(ctx, l, 500))
	trail.End()
	l.Inbound(store.Interaction{})
	l.Run(ctx)
	if trail.Last() != "" {
		t.Error("there is a last one")
	}
}
