// Package interactions keeps the log of requests and their answers, in both directions: from callers to us and from us to
// tools. It is for people. Nothing waits for it and nothing fails because of it: what the database cannot take in time is
// dropped, and counted.
package interactions

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/redact"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Mode says what is kept.
type Mode string

// The modes.
const (
	// All keeps what changes something, and what failed.
	All Mode = "all"
	// Errors keeps what failed: requests that were refused, and calls of tools of which anything was.
	Errors Mode = "errors"
	// Off keeps nothing.
	Off Mode = "off"
)

// MostBody is how much of a body is kept.
const MostBody = 16 << 10

const (
	// flushEvery is how long an interaction waits for company; together ones are written at once.
	flushEvery = 200 * time.Millisecond
	together   = 128
	// mostWaiting and mostBytes bound what waits in memory.
	mostWaiting = 4096
	mostBytes   = 16 << 20
	// appendTime bounds one attempt to write, retryEvery the time between two; closeTime is for the last ones.
	appendTime = 5 * time.Second
	retryEvery = time.Second
	closeTime  = time.Second
	// mostURL and mostMethod are what is kept of texts that a stranger may send.
	mostURL    = 2000
	mostMethod = 20
	// Requests whose sender is not known are kept so many a second on average, and so many at once: anybody can send those.
	strangersRate  = 10
	strangersBurst = 200
)

// Store is what the log needs of a store.
type Store interface {
	AppendInteractions(ctx context.Context, list []store.Interaction) error
}

// Log takes interactions from everywhere and writes them. A nil *Log keeps nothing.
type Log struct {
	store   Store
	mode    Mode
	log     *slog.Logger
	metrics *metrics.Metrics
	redact  *redact.Redactor

	wake chan struct{} // something waits
	full chan struct{} // enough to write at once

	mu        sync.Mutex
	waiting   []entry
	bytes     int
	strangers float64 // how many more may be kept now
	strangeAt time.Time
}

// entry is an interaction that is not written yet, or the making of one.
type entry struct {
	store.Interaction
	// finish makes the record complete; nil if it is.
	finish func(*store.Interaction)
	bytes  int
}

// Config is what a Log is made of.
type Config struct {
	Store   Store
	Mode    Mode // All if empty
	Logger  *slog.Logger
	Metrics *metrics.Metrics // nil counts nothing
}

// New makes a log, which writes while Run runs. It is nil if nothing is to be kept.
func New(c Config) *Log {
	if c.Mode == Off {
		return nil
	}
	if c.Mode == "" {
		c.Mode = All
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Log{
		store: c.Store, mode: c.Mode, log: c.Logger, metrics: c.Metrics, redact: redact.New(),
		wake: make(chan struct{}, 1), full: make(chan struct{}, 1), strangers: strangersBurst,
	}
}

// Wants reports whether an interaction is kept that changes something, or that failed.
func (l *Log) Wants(changes, failed bool) bool {
	return l != nil && (failed || changes && l.mode == All)
}

// Inbound takes a request to us. What is secret in it is taken out later, its header and bodies may not be changed any more.
func (l *Log) Inbound(i store.Interaction) {
	if !l.Wants(true, i.Failed) {
		return
	}
	if i.EnvironmentID == "" && !l.admit() {
		l.metrics.InteractionsDropped(1)
		return
	}
	l.add(entry{
		Interaction: i, bytes: len(i.RequestBody) + len(i.AnswerBody),
		finish: func(i *store.Interaction) {
			i.URL = l.redact.Text(i.URL)
			i.RequestHeader, i.AnswerHeader = l.redact.Header(i.RequestHeader), l.redact.Header(i.AnswerHeader)
			i.RequestBody, i.RequestCut = head(l.redact, i.RequestBody, i.RequestCut)
			i.AnswerBody, i.AnswerCut = head(l.redact, i.AnswerBody, i.AnswerCut)
		},
	})
}

func head(r *redact.Redactor, body []byte, cut bool) ([]byte, bool) {
	if len(body) == 0 {
		return nil, cut
	}
	out, whole := r.Head(body, MostBody)
	return out, cut || !whole
}

// admit reports whether one more request of a stranger is kept.
func (l *Log) admit() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.strangeAt.IsZero() {
		l.strangers = min(strangersBurst, l.strangers+now.Sub(l.strangeAt).Seconds()*strangersRate)
	}
	l.strangeAt = now
	if l.strangers < 1 {
		return false
	}
	l.strangers--
	return true
}

// add puts entries in line, as far as there is room.
func (l *Log) add(entries ...entry) {
	dropped := 0
	l.mu.Lock()
	for _, e := range entries {
		if len(l.waiting) >= mostWaiting || l.bytes+e.bytes > mostBytes {
			dropped++
			continue
		}
		l.waiting = append(l.waiting, e)
		l.bytes += e.bytes
	}
	n := len(l.waiting)
	l.mu.Unlock()
	if dropped > 0 {
		l.metrics.InteractionsDropped(dropped)
	}
	if n > 0 {
		signal(l.wake)
	}
	if n >= together {
		signal(l.full)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take takes the next entries off the line.
func (l *Log) take() (batch []entry, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.waiting), together)
	batch = append(batch, l.waiting[:n]...)
	clear(l.waiting[:n])
	l.waiting = l.waiting[n:]
	if len(l.waiting) == 0 {
		l.waiting = nil
	}
	for _, e := range batch {
		l.bytes -= e.bytes
	}
	return batch, len(l.waiting) > 0
}

// Run writes until ctx ends, and then, for up to a second, what is left.
func (l *Log) Run(ctx context.Context) {
	if l == nil {
		return
	}
	writes, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	context.AfterFunc(ctx, func() { time.AfterFunc(closeTime, cancel) })
	failing := false
	for ended := false; !ended; {
		select {
		case <-l.wake:
			pause(ctx, flushEvery, l.full)
		case <-ctx.Done():
		}
		ended = ctx.Err() != nil
		for more := true; more; {
			var batch []entry
			if batch, more = l.take(); len(batch) > 0 {
				failing = !l.write(ctx, writes, batch, failing)
			}
		}
	}
}

// write writes entries, again and again while the database is away and ctx has not ended. It reports whether they are kept.
func (l *Log) write(ctx, writes context.Context, batch []entry, failing bool) bool {
	list := make([]store.Interaction, len(batch))
	for i := range batch {
		list[i] = batch[i].Interaction
		if finish := batch[i].finish; finish != nil {
			finish(&list[i])
		}
		list[i].URL, list[i].Method = plain(list[i].URL, mostURL), plain(list[i].Method, mostMethod)
	}
	for {
		attempt, cancel := context.WithTimeout(writes, appendTime)
		err := l.store.AppendInteractions(attempt, list)
		late := attempt.Err() != nil
		cancel()
		if err == nil {
			l.metrics.InteractionsKept(len(list))
			return true
		}
		if !failing {
			l.log.Warn("interactions could not be logged", "error", err)
		}
		failing = true
		if ctx.Err() != nil || !late && skill.KindOf(err) == skill.Internal { // it is the database's last word
			l.metrics.InteractionsDropped(len(list))
			return false
		}
		pause(ctx, retryEvery, nil)
	}
}

func pause(ctx context.Context, d time.Duration, early <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-early:
	case <-ctx.Done():
	}
}

// plain is a text that every database keeps.
func plain(text string, most int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\ufffd"), "\x00", "\ufffd")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + redact.Mark
}
