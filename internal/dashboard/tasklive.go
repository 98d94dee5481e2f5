package dashboard

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

const (
	watchEvery = time.Second
	// watchMost bounds how long a page is watched; the browser asks again.
	watchMost = 5 * time.Minute
	// rateOver is over which time the rate is taken.
	rateOver = 10
)

// taskEvents tells a page how far its task is, as server-sent events, until it ends.
func (d *Dashboard) taskEvents(w http.ResponseWriter, r *http.Request) error {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		return &problem{http.StatusServiceUnavailable, "Too many pages are watched", "Load the page to see how far the task is."}
	}
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for proxies that hold answers back
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithTimeout(r.Context(), watchMost)
	defer cancel()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var seen []int
	for {
		seen = append(seen, head.Done)
		if len(seen) > rateOver+1 {
			seen = seen[1:]
		}
		rate := 0.0
		if n := len(seen) - 1; n > 0 {
			rate = float64(seen[n]-seen[0]) / (float64(n) * watchEvery.Seconds())
		}
		in, err := d.Store.IntegrationState(ctx, env(r).ID, head.IntegrationID)
		if err != nil {
			return nil // the page asks again
		}
		var part bytes.Buffer
		if err := d.pages["task"].ExecuteTemplate(&part, "progress", d.progressOf(head, in, rate)); err != nil {
			d.Logger.Error("progress could not be shown", "error", err)
			return nil
		}
		event := "progress"
		if head.Status != skill.Pending {
			event = "ended"
		}
		_ = control.SetWriteDeadline(time.Now().Add(10 * time.Second)) // not every connection has deadlines
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, strings.ReplaceAll(part.String(), "\n", "\ndata: ")); err != nil {
			return nil
		}
		if err := control.Flush(); err != nil || event == "ended" {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		case <-d.closing:
			return nil
		}
		// A session that ended meanwhile sees no more.
		if s, err := d.current(r); err != nil || s == nil {
			return nil
		}
		if head, err = d.taskOf(r); err != nil {
			return nil
		}
	}
}
