package engine

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Some tools take a chunk as a job of their own (connector.Jobs). The intent of such a chunk has a receipt on disk: an empty
// one before the request leaves, then what the tool calls the job, before anybody asks after it. So whoever drains next goes
// on asking, or looks for a job whose name nobody has heard. See docs/adr/0014.

// job is the tool's job for a chunk.
type job struct {
	receipt string    // empty: it may have been started, and nobody knows under which name
	since   time.Time // the request that starts it was about to leave, or the receipt was noted
	due     time.Time // when to ask next
	failing bool      // it was asked after last without an answer
	kept    bool      // the receipt is on disk
}

// asked is what a call about a job was for, and what it brought beside results.
type asked struct {
	what    question
	receipt string
	state   connector.JobState
	apart   map[string]bool // JobState.Apart
}

type question uint8

const (
	toStart question = iota
	toRecover
	toPoll
)

// rounding is what a database may leave off a moment, and some more.
const rounding = 100 * time.Millisecond

// ask makes the call that a chunk needs next.
func (d *drain) ask(ctx context.Context, c *chunk) answer {
	if d.jobs == nil {
		return d.call(ctx, c)
	}
	ctx, trail := d.e.interactions.Follow(ctx, d.turn.task.ID, c.span)
	defer trail.End()
	a := answer{chunk: c, results: make([]*connector.Result, len(c.work)), job: &asked{}}
	skills, note := a.skills(c.work, d.adopt)
	if err := d.lease.check(); err != nil {
		a.err = notSent(err)
		return a
	}
	switch {
	case c.job == nil:
		started, err := attempt(ctx, d, skills, func(ctx context.Context) (connector.Started, error) {
			return d.jobs.Start(ctx, skills)
		}, func(s connector.Started) []connector.Result { return s.Results })
		note(started.Results)
		a.job.receipt, a.err = started.Receipt, err
		if err == nil && !storable(started.Receipt) {
			a.job.receipt, a.err = "", connector.Errorf(connector.Ambiguous, "the receipt of the tool's job cannot be kept")
		}
	case c.job.receipt == "":
		a.job.what = toRecover
		a.job.receipt, a.err = attempt(ctx, d, skills, func(ctx context.Context) (string, error) {
			return d.jobs.Recover(ctx, skills, time.Since(c.job.since)+rounding)
		}, func(string) []connector.Result { return nil })
		if !storable(a.job.receipt) {
			a.job.receipt = ""
		}
	default:
		a.job.what = toPoll
		a.job.state, a.err = attempt(ctx, d, skills, func(ctx context.Context) (connector.JobState, error) {
			return d.jobs.Poll(ctx, c.job.receipt, skills)
		}, func(s connector.JobState) []connector.Result { return s.Results })
		if a.err == nil && a.job.state.Ended {
			note(a.job.state.Results)
			a.err = blame(ctx, nil, a.job.state.Err)
			a.job.apart = make(map[string]bool, len(a.job.state.Apart))
			for _, id := range a.job.state.Apart {
				a.job.apart[id] = true
			}
		}
	}
	if d.adopt {
		d.adopted(ctx, c.work, a.results)
	}
	return a
}

// leftOut reports whether the job did not hold a skill.
func (a *answer) leftOut(w *work) bool { return a.job != nil && a.job.apart[w.item.OriginID] }

// cause is the error there was, as a cause.
func (a *answer) cause() error {
	if a.err == nil {
		return nil
	}
	return a.err
}

func storable(receipt string) bool {
	return len(receipt) <= connector.MostReceipt && utf8.ValidString(receipt) && !strings.Contains(receipt, "\x00")
}

// busy is how many chunks the tool has, as calls or as jobs.
func (t *turn) busy() int { return t.flying + len(t.jobs) }

// due takes the chunks whose jobs are to be asked after now.
func (t *turn) due() (due []*chunk) {
	now := time.Now()
	if len(t.jobs) == 0 || now.Before(t.notYet) {
		return nil
	}
	t.jobs = slices.DeleteFunc(t.jobs, func(c *chunk) bool {
		if now.Before(c.job.due) || !c.job.kept {
			return false
		}
		c.sends = len(c.work)
		due = append(due, c)
		return true
	})
	return due
}

// idle is how long there is nothing to do but to wait for answers.
func (t *turn) idle() time.Duration {
	var pauses []time.Duration
	if len(t.jobs) == 0 || len(t.waiting) > 0 && t.busy() < t.room() {
		pauses = append(pauses, t.rest())
	}
	for _, c := range t.jobs {
		pauses = append(pauses, max(0, time.Until(c.job.due), time.Until(t.notYet)))
	}
	return slices.Min(pauses)
}

// line puts a chunk where it is taken up next.
func (t *turn) line(c *chunk) {
	switch {
	case c.job != nil:
		t.jobs = append(t.jobs, c)
	case len(c.work) > max(t.d.limits.Batch, 1): // the settings have changed since it was cut
		t.split(c, max(t.d.limits.Batch, 1), max(t.d.limits.Batch, 1))
	default:
		t.waiting = append([]*chunk{c}, t.waiting...)
	}
}

// doubt writes down which skills an earlier job may have written, or an earlier call: the intent tells of the next job alone.
func (t *turn) doubt(c *chunk) {
	for _, w := range c.work {
		if w.unsure && !w.state.Unsure {
			w.state.Unsure = true
			t.step.Unsure = append(t.step.Unsure, store.SkillUnsure{ID: w.state.ID, Item: w.item})
		}
	}
}

// split cuts a chunk into one of so many skills and others of at most so many.
func (t *turn) split(c *chunk, first, most int) {
	t.doubt(c) // its intent ends here
	t.settle(c)
	slices.SortFunc(c.work, func(a, b *work) int { return cmp.Compare(a.at, b.at) })
	var parts []*chunk
	for n, at := first, 0; at < len(c.work); n, at = most, at+n {
		stop := min(at+n, len(c.work))
		work := c.work[at:stop:stop]
		part := &chunk{work: work, span: store.Range{Start: work[0].at, Stop: c.span.Stop}}
		if len(parts) == 0 {
			part.span.Start = c.span.Start
		} else {
			parts[len(parts)-1].span.Stop = part.span.Start
		}
		parts = append(parts, part)
	}
	t.waiting = append(parts, t.waiting...)
}

// goesOn deals with an answer that leaves its chunk with the tool, or about which there is something to be found out. It
// returns false when the answer is like that of a call: results, and an error for the rest.
func (t *turn) goesOn(a *answer) bool {
	c := a.chunk
	if a.err != nil && (errors.Is(a.err, errNotSent) || errors.Is(a.err, errLeaseOver)) {
		return false
	}
	switch a.job.what {
	case toStart:
		switch {
		case a.err == nil && a.job.receipt != "":
			return t.started(a)
		case a.err != nil && a.err.Kind == connector.Ambiguous:
			c.job = &job{since: c.began, kept: true} // perhaps
		}
		return false
	case toRecover:
		if a.err != nil {
			t.unanswered(a)
			return false
		}
		if a.job.receipt == "" { // there is none, as far as anybody can tell
			c.job, t.touched = nil, true
			for _, w := range c.work {
				w.unsure = true
			}
			t.answered()
			t.line(c)
			return true
		}
		c.job.receipt = a.job.receipt
		t.step.Receipts = append(t.step.Receipts, store.Receipt{Start: c.span.Start, Text: c.job.receipt})
	case toPoll:
		switch age := time.Since(c.job.since); {
		case a.err != nil && !a.job.state.Ended:
			t.unanswered(a)
			return false
		case a.job.state.Ended:
			t.answered()
			c.job = nil
			return false
		case age >= t.d.e.set.JobTimeout:
			t.unanswered(a)
			return false
		default:
			pause := connector.PollPause(age)
			pause = max(pause+rand.N(pause/4+1), a.job.state.AskIn) // jitter: as in pause
			c.job.due = time.Now().Add(max(0, min(pause, t.d.e.set.JobTimeout-age)))
		}
	}
	t.answered()
	if c.job.failing {
		t.attempt, c.job.failing = 0, false
	}
	t.line(c)
	return true
}

// started notes the receipt of a job. Skills that have results already are no part of it.
func (t *turn) started(a *answer) bool {
	c := a.chunk
	t.answered()
	c.job = &job{receipt: a.job.receipt, since: c.began, due: time.Now().Add(connector.PollPause(0))}
	var rest []*work
	for i, w := range c.work {
		if !t.sorted(w, a.results[i]) {
			rest = append(rest, w)
		}
	}
	if c.work = rest; len(rest) == 0 {
		t.settle(c)
		return true
	}
	t.save(c.span)
	t.step.Receipts = append(t.step.Receipts, store.Receipt{Start: c.span.Start, Text: c.job.receipt})
	t.line(c)
	return true
}

// unanswered makes an error of a question that had no answer, or of a job that has none for too long: then nobody asks again.
func (t *turn) unanswered(a *answer) {
	c := a.chunk
	c.job.failing = true
	switch {
	case time.Since(c.job.since) >= t.d.e.set.JobTimeout:
		c.job = nil
		a.err = &connector.Error{
			Kind: connector.Ambiguous, Err: a.cause(),
			Message: "the tool's job did not end within " + readable(t.d.e.set.JobTimeout),
		}
	case a.err.Kind == connector.Refused || a.err.Kind == connector.Unsupported || a.err.Kind == connector.Unexpected:
		// It was a question: no word on the skills.
		a.err = &connector.Error{Kind: connector.Ambiguous, Message: a.err.Message, RetryAfter: a.err.RetryAfter, Err: a.err}
	}
}

// adopt takes up the jobs that an earlier drain left.
func (t *turn) adopt(ctx context.Context) error {
	jobs, err := t.d.e.store.Jobs(ctx, t.d.lease.Lease, t.task.Ref)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		t.plan.held = append(t.plan.held, j.Range)
	}
	for _, j := range jobs {
		c := &chunk{span: j.Range, opened: true, job: &job{receipt: j.Receipt, since: t.at.Add(-j.Age), due: t.at, kept: true}}
		for at := j.Start; at < j.Stop; {
			some, n, err := t.plan.look(ctx, at, j.Stop)
			if err != nil {
				return err
			}
			c.work = append(c.work, some...)
			at += n
		}
		if len(c.work) == 0 {
			t.settle(c)
			continue
		}
		t.jobs = append(t.jobs, c)
	}
	return nil
}

// disown makes plain chunks of jobs that an earlier drain left, for a session that knows no jobs: the tool may have them.
func (t *turn) disown() {
	if t.d.jobs != nil {
		return
	}
	jobs := t.jobs
	t.jobs = nil
	for _, c := range jobs {
		c.job, t.touched = nil, true
		for _, w := range c.work {
			w.unsure = true
		}
		t.line(c)
	}
}
