package engine

import (
	"context"
	"sync"
	"time"
)

// schedule gives integrations a place to be drained in, first come first served, each at most once at a time.
type schedule struct {
	drain func(ctx context.Context, id string, force bool) again

	mu     sync.Mutex
	all    int
	places int // free ones
	// lastEnd is when a drain ended last.
	lastEnd time.Time
	line    []string
	known   map[string]*entry
	// soft ends when drains should leave at the next occasion; hard when they must.
	soft, hard       context.Context //nolint:containedctx // the schedule's own life
	softEnd, hardEnd context.CancelFunc
	group            sync.WaitGroup
}

type entry struct {
	running bool
	again   bool // woken while it ran
	force   bool
	timer   *time.Timer // a wait is running; nil otherwise
}

// again says what a drain that ends wants next.
type again struct {
	more bool          // it left although there is more to do
	in   time.Duration // not before that
}

type softKey struct{}

// stopping ends when a drain that was started with ctx should leave at the next occasion.
func stopping(ctx context.Context) <-chan struct{} {
	return ctx.Value(softKey{}).(context.Context).Done()
}

func newSchedule(places int, drain func(context.Context, string, bool) again) *schedule {
	return &schedule{drain: drain, all: places, places: places, known: map[string]*entry{}}
}

func (s *schedule) start(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.soft, s.softEnd = context.WithCancel(ctx)
	s.hard, s.hardEnd = context.WithCancel(context.WithValue(ctx, softKey{}, s.soft))
	s.fill()
}

// stop begins nothing new and returns when all drains have ended: by themselves within grace, else cut off.
func (s *schedule) stop(grace time.Duration) {
	s.mu.Lock()
	s.softEnd()
	for _, e := range s.known {
		if e.timer != nil {
			e.timer.Stop()
		}
	}
	cut := time.AfterFunc(grace, s.hardEnd)
	s.mu.Unlock()
	s.group.Wait()
	cut.Stop()
	s.hardEnd()
}

// full reports whether an integration that is woken now would have to wait for a place, or gets none since nothing runs.
func (s *schedule) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places == 0 || s.soft == nil || s.soft.Err() != nil
}

// quiet reports whether nothing is drained, and nothing was for some time.
func (s *schedule) quiet(since time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.places == s.all && time.Since(s.lastEnd) > since
}

// reserve takes a place for an integration that this process does nothing for now, before it is known whether there is
// something to do. It returns nil if there is none; else the caller must call one of its methods.
func (s *schedule) reserve(id string) *place {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.places == 0 || s.soft == nil || s.soft.Err() != nil || s.known[id] != nil {
		return nil
	}
	p := &place{s: s, id: id, entry: &entry{running: true}}
	s.known[id] = p.entry
	s.places--
	s.group.Add(1)
	return p
}

// place is where an integration may be drained.
type place struct {
	s     *schedule
	id    string
	entry *entry
}

// start drains in it.
func (p *place) start(drain func(ctx context.Context) again) {
	go func() {
		defer p.s.group.Done()
		next := drain(p.s.hard)
		p.s.ended(p.id, p.entry, next)
	}()
}

// free gives it back.
func (p *place) free() {
	defer p.s.group.Done()
	p.s.ended(p.id, p.entry, again{})
}

// beside does something that takes no place, for a drain that ends: stop waits for it likewise.
func (s *schedule) beside(do func()) { s.group.Go(do) }

// urgency is how much a wake-up knows.
type urgency uint8

const (
	// whenever: there is something to do, once a wait that the tool asked for is over.
	whenever urgency = iota
	// due: the store says that no wait is left.
	due
	// overdue: a deadline has passed, wait or not.
	overdue
)

// wake puts an integration in line. It returns false if that changes nothing, since it is in line or being drained.
func (s *schedule) wake(id string, how urgency) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.known[id]
	if e == nil {
		e = &entry{}
		s.known[id] = e
	} else if e.timer == nil || how == whenever {
		e.again = e.again || e.running
		e.force = e.force || how == overdue
		return false
	} else {
		e.timer.Stop()
		e.timer = nil
	}
	e.force = e.force || how == overdue
	s.line = append(s.line, id)
	s.fill()
	return true
}

// fill starts drains while there are places. s.mu is held.
func (s *schedule) fill() {
	for s.soft != nil && s.soft.Err() == nil && s.places > 0 && len(s.line) > 0 {
		id := s.line[0]
		s.line = s.line[1:]
		e := s.known[id]
		e.running = true
		force := e.force
		e.force = false
		s.places--
		s.group.Go(func() {
			next := s.drain(s.hard, id, force)
			s.ended(id, e, next)
		})
	}
}

func (s *schedule) ended(id string, e *entry, next again) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.places++
	s.lastEnd = time.Now()
	e.running = false
	switch {
	case next.more && next.in > 0 && !e.force:
		if s.soft.Err() == nil {
			e.timer = time.AfterFunc(next.in, func() { s.waited(id, e) })
		}
	case next.more || e.again:
		s.line = append(s.line, id)
	default:
		delete(s.known, id)
	}
	e.again = false
	s.fill()
}

// waited puts an integration back in line after the wait its tool asked for.
func (s *schedule) waited(id string, e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.timer == nil {
		return // woken by force meanwhile
	}
	e.timer = nil
	s.line = append(s.line, id)
	s.fill()
}
