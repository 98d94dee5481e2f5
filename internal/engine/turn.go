package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// turn takes one task as far as it goes in this drain: to its end, or to where the drain must leave it.
type turn struct {
	d    *drain
	task *store.DrainTask
	now  time.Time // the database's time when next was asked for
	at   time.Time // our clock at that moment

	plan     *plan
	outcomes []skill.Outcome // by position; a zero Kind is none yet
	saved    []bool          // the outcome is on disk

	step    store.Step // what is not written down yet
	flying  int        // calls under way
	waiting []*chunk   // to be sent again, or for the first time
	jobs    []*chunk   // with the tool, to be asked after
	answers chan answer
	attempt int       // failed calls in a row
	touched bool      // a call was not answered, or a job: the tool may have taken something, even if it refused it later
	notYet  time.Time // no call before that: the tool asked for patience, or deserves some
	lapsed  bool      // a call was not sent, and not for the tool's sake
	quick   bool      // the last call took less than quickCall

	// code and message say why the task ends although not everything was sent; no code while it goes on.
	code    skill.Code
	message string
	// blamed is the interaction of the last failure, up to that which ended the task.
	blamed  string
	invalid string // the tool refused the credentials, in these words
}

func (d *drain) newTurn(ctx context.Context, next store.Next) (*turn, error) {
	task := next.Task
	t := &turn{
		d: d, task: task, now: next.Now, at: time.Now(),
		outcomes: make([]skill.Outcome, task.Items), saved: make([]bool, task.Items),
		attempt: task.Attempt,
	}
	d.turn = t
	t.step.Task = task.Ref
	t.notYet = t.at.Add(next.Hold)
	if task.Counts.Total() > 0 {
		runs, err := d.e.store.Outcomes(ctx, task.Ref)
		if err != nil {
			return nil, err
		}
		for _, run := range runs {
			copy(t.outcomes[run.Start:], run.Outcomes)
			for i := range run.Outcomes {
				t.saved[run.Start+i] = true
			}
		}
	}
	t.plan = &plan{
		store: d.e.store, lease: d.lease.Lease, rendering: d.rendering, batch: max(d.limits.Batch, 1), atOnce: max(d.limits.Concurrency, 1),
		task: task, outcomes: t.outcomes, first: next.Items, known: next.States, refuse: t.refuses,
	}
	t.answers = make(chan answer, max(d.limits.Concurrency, 1))
	if task.Started {
		if err := t.adopt(ctx); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// work sends a task.
func (d *drain) work(ctx context.Context, next store.Next) (store.Next, again, error) {
	t, err := d.newTurn(ctx, next)
	if err != nil {
		return next, again{}, err
	}
	first, err := t.plan.next(ctx)
	if err != nil {
		return next, again{}, err
	}
	if first != nil {
		first.opened = next.Opened
		t.waiting = append(t.waiting, first)
	}
	if next.Opened && d.jobs != nil { // by a claim that did not know of jobs: over the whole task
		t.step.Close = append(t.step.Close, store.Range{Start: 0, Stop: t.task.Items})
		first.opened = false
	}
	t.disown()
	// A call ends with the task's time, at the latest.
	calls, cancel := context.WithTimeout(ctx, next.Task.TimeLeft)
	defer cancel()
	return t.run(ctx, calls)
}

// run is the loop of a turn: send what may be sent, plan ahead while calls are under way, write down what came back.
func (t *turn) run(ctx, calls context.Context) (store.Next, again, error) {
	leaving := false
	for {
		leaving = leaving || t.lapsed || t.d.over() || t.d.lease.stale()
		var ready []*chunk
		if !leaving && t.code == "" {
			if err := t.stock(ctx, t.room()-t.busy()); err != nil {
				return store.Next{}, again{}, err
			}
			ready = t.ready()
		}
		if t.flying == 0 && len(ready) == 0 && !t.more() {
			after, err := t.finish(ctx)
			return after, again{}, err
		}
		if t.flying == 0 && len(ready) == 0 && (leaving || t.code == "" && t.idle() > t.d.e.set.Patience) {
			return t.leave(ctx)
		}
		// A call whose intent is on disk need not wait until the outcomes of those before it are.
		if t.early() {
			ready = slices.DeleteFunc(ready, func(c *chunk) bool {
				if c.opened {
					t.launch(calls, c)
				}
				return c.opened
			})
		}
		if dirty(t.step) {
			ahead, err := t.openAhead(ctx, leaving)
			if err != nil {
				return store.Next{}, again{}, err
			}
			after, err := t.advance(ctx)
			if err != nil {
				return after, again{}, err
			}
			for _, c := range slices.Concat(ready, ahead) {
				c.opened = true
			}
			if stale(t.d.lease.Lease, after.State) {
				leaving = true
				for _, c := range slices.Backward(ready) {
					t.line(c)
				}
				ready = nil
			}
		}
		for _, c := range ready {
			t.launch(calls, c)
		}
		// While the tool works, the next chunk is looked up.
		if len(t.waiting) == 0 && t.code == "" && !leaving {
			c, err := t.plan.next(ctx)
			if err != nil {
				return store.Next{}, again{}, err
			}
			if c != nil {
				t.waiting = append(t.waiting, c)
				if t.busy() < t.room() {
					continue
				}
			}
		}
		switch err := t.wait(ctx, calls, leaving); {
		case errors.Is(err, errLeave):
			leaving = true
		case err != nil:
			return store.Next{}, again{}, err
		}
	}
}

// launch makes the call that a chunk needs next.
func (t *turn) launch(calls context.Context, c *chunk) {
	if c.job == nil {
		t.d.pace.leaves()
	}
	t.flying++
	go func() { t.answers <- t.d.ask(calls, c) }()
}

// early reports whether calls may leave before the step that follows on an answer. Where a rate is declared, that step has to
// keep the pace; that of a job notes its receipt.
func (t *turn) early() bool { return t.d.limits.Calls == 0 && t.d.jobs == nil }

// quickCall is how quick a tool must be that the time of a step beside its calls counts.
const quickCall = 50 * time.Millisecond

// openAhead adds the intents of the chunks that come next to a step that is on its way anyway: as many as may be under way
// at once. So while the tool is called, what it has answered is written down. After a crash these chunks are in doubt although
// none of them was sent; where a call takes its time, that would be a poor bargain.
func (t *turn) openAhead(ctx context.Context, leaving bool) (ahead []*chunk, err error) {
	if leaving || t.code != "" || !t.quick || !t.early() || t.d.away() || t.rest() > 0 {
		return nil, nil
	}
	if err := t.stock(ctx, t.room()); err != nil {
		return nil, err
	}
	for _, c := range t.waiting[:min(len(t.waiting), t.room())] {
		if !c.opened && len(c.work) > 0 {
			t.step.Open = append(t.step.Open, c.span)
			ahead = append(ahead, c)
		}
	}
	return ahead, nil
}

// stock puts up to so many chunks in line, if that takes no look-up: their intents are then one step.
func (t *turn) stock(ctx context.Context, most int) error {
	for len(t.waiting) < most && t.plan.atHand() {
		c, err := t.plan.next(ctx)
		if err != nil || c == nil {
			return err
		}
		t.waiting = append(t.waiting, c)
	}
	return nil
}

// ready takes chunks off the line, up to what the tool takes at once and as fast as it takes them, and adds their intents
// to the step. Chunks with nothing to send are settled here. Jobs that are to be asked after come with them.
func (t *turn) ready() []*chunk {
	ready := t.due()
	for len(t.waiting) > 0 {
		c := t.waiting[0]
		if len(c.work) == 0 {
			t.waiting = t.waiting[1:]
			t.settle(c)
			continue
		}
		if t.busy()+len(ready) >= t.room() || t.rest() > 0 {
			break
		}
		if t.d.jobs != nil && t.d.away() && len(c.work) > 1 { // the one that is tried is a job of its own
			t.waiting = t.waiting[1:]
			t.split(c, 1, len(c.work))
			continue
		}
		every, taken := t.d.pace.take()
		if !taken {
			break
		}
		t.step.Pace = every
		t.waiting = t.waiting[1:]
		if !c.opened {
			t.step.Open = append(t.step.Open, c.span)
		}
		c.sends = len(c.work)
		if t.d.away() {
			c.sends = 1
		}
		if c.began = time.Now(); t.d.jobs != nil {
			t.step.Receipts = append(t.step.Receipts, store.Receipt{Start: c.span.Start})
			t.doubt(c)
		}
		ready = append(ready, c)
	}
	return ready
}

// room is how many calls may be under way at once.
func (t *turn) room() int {
	if t.d.away() {
		return 1
	}
	return cap(t.answers)
}

// rest is how long the tool is to be left alone now.
func (t *turn) rest() time.Duration { return max(time.Until(t.notYet), t.d.pace.left()) }

// advance does the step. A wait that the tool asked for since the last one is on disk with it, for whoever drains next.
func (t *turn) advance(ctx context.Context) (store.Next, error) {
	if t.step.Hold > 0 { // some of it has passed
		t.step.Hold = max(0, time.Until(t.notYet))
	}
	t.step.Attempt, t.step.Touched = t.attempt, t.touched
	if t.step.Finish != nil {
		t.d.e.recent.ends(t.task.ID)
	} else {
		t.d.e.recent.stale(t.task.ID)
	}
	next, err := t.d.advance(ctx, t.step)
	if err == nil {
		t.step, t.d.alone = store.Step{Task: t.task.Ref}, time.Time{}
		t.d.failures = next.Failures // a person may have set them back
		for _, c := range t.jobs {
			c.job.kept = true
		}
	}
	return next, err
}

// more reports whether anything is left to be sent.
func (t *turn) more() bool {
	return t.code == "" && (len(t.waiting)+len(t.jobs) > 0 || t.plan.begin < t.task.Items)
}

func dirty(step store.Step) bool {
	return len(step.Open)+len(step.Receipts)+len(step.Close)+len(step.Outcomes)+len(step.Written)+len(step.Refused)+len(step.Unsure) > 0 ||
		step.Hold > 0 || step.Pace > 0 || step.Invalid != "" || step.Answered || step.Failures > 0
}

var errLeave = errors.New("leave")

// wait returns when something has happened: answers have come and are in the step, a wait is over, the task's time is
// up, or the drain should leave.
func (t *turn) wait(ctx, calls context.Context, leaving bool) error {
	var patience <-chan time.Time
	soft := stopping(ctx)
	var deadline <-chan struct{}
	if t.flying == 0 {
		deadline = calls.Done()
	}
	// The next call waits for the tool, not for an answer.
	if t.flying == 0 || !leaving && t.code == "" && (len(t.waiting) > 0 && t.busy() < t.room() || len(t.jobs) > 0) {
		timer := time.NewTimer(t.idle())
		defer timer.Stop()
		patience = timer.C
	}
	for {
		select {
		case a := <-t.answers:
			t.take(a)
			for { // whatever else has come is written down with it
				select {
				case a := <-t.answers:
					t.take(a)
				default:
					return nil
				}
			}
		case <-patience:
			return nil
		case <-deadline:
			if ctx.Err() == nil {
				t.end(skill.CodeTaskTimedOut, t.d.e.timedOut())
				return nil
			}
			return t.cut(ctx)
		case <-ctx.Done():
			return t.cut(ctx)
		case <-soft:
			if t.flying == 0 {
				return errLeave
			}
			soft = nil // the calls may still be answered
		}
	}
}

// cut is the end of a turn that may not write anything down any more.
func (t *turn) cut(ctx context.Context) error {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errCut
}

// take sorts an answer into outcomes. What may still succeed goes back in line.
func (t *turn) take(a answer) {
	t.flying--
	t.quick = time.Since(a.chunk.began) < quickCall
	if a.job != nil && t.goesOn(&a) {
		return
	}
	c := a.chunk
	progress := false
	var rest, apart []*work
	failure := a.err
	sent := c.sent()
	c.work = c.work[c.sends:]
	for i, w := range sent {
		r := a.results[i]
		switch {
		case t.sorted(w, r):
			progress = true
		case r == nil && a.leftOut(w):
			apart = append(apart, w)
		case r == nil:
			rest = append(rest, w)
		default:
			// Something is wrong beyond this item; the tool told it item by item.
			failure = r.Err
			rest = append(rest, w)
		}
	}
	if progress {
		t.attempt = 0
		t.answered()
	} else if len(apart) == len(sent) { // it would never end
		rest, apart = apart, nil
	}
	c.work = append(apart, c.work...)
	if len(rest) == 0 {
		t.proceed(c)
		return
	}
	if failure == nil {
		failure = connector.Errorf(connector.Ambiguous, "the tool's answer says nothing of this item")
	}
	if a.job != nil && failure.Kind == connector.Refused && len(rest) > 1 {
		// A call halves by itself; the halves of a job are jobs of their own.
		c.work = append(rest, c.work...)
		half := (len(c.work) + 1) / 2
		t.split(c, half, half)
		return
	}
	t.failed(c, rest, failure)
}

// proceed deals with a chunk whose call is over: the skills that it did not hold come next.
func (t *turn) proceed(c *chunk) {
	if len(c.work) == 0 {
		t.settle(c)
		return
	}
	t.save(c.span)
	t.line(c)
}

// sorted makes an outcome of a result that is one.
func (t *turn) sorted(w *work, r *connector.Result) bool {
	switch {
	case r == nil:
		return false
	case r.Err == nil:
		t.written(w, r.RemoteID)
	case isFinal(r.Err.Kind):
		t.refused(w, r.Err)
	default:
		return false
	}
	return true
}

// isFinal: the tool's word on one item, which no repetition would change.
func isFinal(k connector.Kind) bool {
	return k == connector.Refused || k == connector.Unsupported || k == connector.Unexpected
}

func (t *turn) written(w *work, remoteID string) {
	if !utf8.ValidString(remoteID) || strings.Contains(remoteID, "\x00") {
		remoteID = "" // not every database keeps such an id, and no tool would know it again
	}
	t.outcomes[w.at] = skill.Outcome{Kind: skill.Written, SkillID: w.state.ID}
	t.step.Written = append(t.step.Written, store.SkillWritten{
		Ref: w.state.Ref, ID: w.state.ID, RemoteID: remoteID, Item: w.item, Hash: w.hash,
	})
}

func (t *turn) refused(w *work, e *connector.Error) {
	code := skill.CodeRemoteInput
	switch e.Kind { //nolint:exhaustive // the others are the tool's plain refusal
	case connector.Unsupported:
		code = skill.CodeActionNotAvailable
	case connector.Unexpected:
		code = skill.CodeRemoteUnknown
	}
	message := words(e, "The tool refused this item.")
	t.outcomes[w.at] = skill.Outcome{Kind: skill.Rejected, Code: code, Message: message, Interaction: e.Exchange}
	t.step.Refused = append(t.step.Refused, store.SkillRefused{Ref: w.state.Ref, ID: w.state.ID, Item: w.item, Code: code, Message: message})
}

// refuses settles what the integration's policy does not let through.
func (t *turn) refuses(w *work) bool {
	if w.item.Status != skill.Inactive || !t.d.lease.Integration.Policy.RefuseInactive {
		return false
	}
	t.refused(w, connector.Errorf(connector.Unsupported, "This integration refuses inactive skills: nothing was changed in the tool."))
	return true
}

// unsure returns what is in line and may have reached the tool already. Jobs are not among it: they go on.
func (t *turn) unsure() []*work {
	var unsure []*work
	for _, c := range t.waiting {
		for _, w := range c.work {
			if w.unsure {
				unsure = append(unsure, w)
			}
		}
	}
	return unsure
}

// failed deals with items that have no result of their own.
func (t *turn) failed(c *chunk, rest []*work, e *connector.Error) {
	if errors.Is(e, errNotSent) || errors.Is(e, errLeaseOver) { // no fault of the tool's
		t.lapsed = true
		c.work = append(rest, c.work...)
		t.line(c)
		return
	}
	if t.code == "" && e.Exchange != "" {
		t.blamed = e.Exchange
	}
	switch e.Kind {
	case connector.Throttled, connector.Away: // time heals it
	case connector.Refused, connector.Unsupported, connector.Unexpected:
		for _, w := range rest {
			t.refused(w, e)
		}
		t.answered()
		t.proceed(c)
		return
	case connector.Credentials:
		t.invalid = words(e, "not accepted")
		t.end(skill.CodeToolAuthentication, refusedCredentials(t.invalid))
	case connector.Permission:
		t.end(skill.CodeToolPermission, "The tool's user may not write skills: "+words(e, "no permission"))
	case connector.Ambiguous:
		t.touched = true
		for _, w := range rest {
			w.unsure = true
		}
	}
	t.attempt++
	switch {
	case e.Kind != connector.Away && e.Kind != connector.Ambiguous:
		t.answered()
	case t.timeLeft() > 0: // else it is we who did not wait for an answer
		t.silent(e)
	}
	switch {
	case t.timeLeft() <= 0:
		t.end(skill.CodeTaskTimedOut, t.d.e.timedOut())
	case t.attempt >= t.d.e.set.Attempts && !t.d.lease.stale(): // else they say nothing of the account that it is now
		t.giveUp(e)
	}
	if e.Kind != connector.Credentials && e.Kind != connector.Permission {
		t.hold(t.pause(e))
		t.d.e.metrics.Held(t.d.lease.Integration.Tool, e.Kind.String())
	}
	c.work = append(rest, c.work...)
	t.line(c)
}

// away reports whether the tool has left so many calls in a row without an answer that it is tried with single skills only,
// one at a time. See docs/adr/0017.
func (d *drain) away() bool { return d.failures >= d.e.set.Attempts }

// silent counts a call without an answer, for whoever drains next too.
func (t *turn) silent(e *connector.Error) {
	before := t.d.away()
	t.d.failures++
	t.step.Failures, t.step.Away = t.d.failures, t.d.away()
	if t.step.Away && !before {
		t.d.log.Warn("the tool does not answer; until it does, single skills are tried", "failures", t.d.failures, "error", e)
	}
}

// answered forgets such calls.
func (t *turn) answered() {
	if t.d.failures == 0 {
		return
	}
	if t.d.away() {
		t.d.log.Info("the tool answers again", "failures", t.d.failures)
	}
	t.d.failures = 0
	t.step.Answered, t.step.Failures, t.step.Away = true, 0, false
}

// giveUp ends the task after too many failed calls in a row.
func (t *turn) giveUp(e *connector.Error) {
	tries := fmt.Sprintf("after %d attempts", t.attempt)
	switch e.Kind {
	case connector.Throttled:
		t.end(skill.CodeRemoteRateLimit, "The tool was still throttling "+tries+": "+words(e, "too many requests"))
	case connector.Away:
		t.end(skill.CodeRemoteUnavailable, "The tool could still not be reached "+tries+": "+words(e, "no answer"))
	default:
		t.end(skill.CodeRemoteUnavailable, "The tool had still not answered as it should "+tries+": "+words(e, "no answer"))
	}
}

// end says why nothing more of the task is sent. The first reason stands.
func (t *turn) end(code skill.Code, message string) {
	if t.code == "" {
		t.code, t.message = code, message
	}
}

// hold leaves the tool alone for a while, whoever drains then. A wait that is longer already stands.
func (t *turn) hold(pause time.Duration) {
	if until := time.Now().Add(pause); until.After(t.notYet) {
		t.notYet, t.d.alone = until, until
		t.step.Hold = pause
	}
}

// leastThrottled is what to begin with after a tool has said that it is too much, and not for how long.
const leastThrottled = time.Second

// pause is how long to leave the tool alone after a failed call.
func (t *turn) pause(e *connector.Error) time.Duration {
	if e.RetryAfter > 0 {
		return e.RetryAfter
	}
	first := t.d.e.set.Backoff
	if e.Kind == connector.Throttled {
		first = max(first, leastThrottled)
	}
	wait := first << min(max(t.attempt, t.d.failures)-1, 20)
	if wait <= 0 || wait > t.d.e.set.BackoffMost {
		wait = t.d.e.set.BackoffMost
	}
	return wait/2 + rand.N(wait/2+1) // jitter: integrations with one tool must not come back in step
}

func (t *turn) timeLeft() time.Duration { return t.task.TimeLeft - time.Since(t.at) }

// settle adds a chunk's new outcomes to the step and closes its intent.
func (t *turn) settle(c *chunk) {
	if c.opened {
		t.step.Close = append(t.step.Close, c.span)
		c.opened = false
	}
	t.save(c.span)
}

// save adds the outcomes within a span that are not on disk yet.
func (t *turn) save(span store.Range) {
	for at := span.Start; at < span.Stop; {
		from := at
		for at < span.Stop && t.outcomes[at].Kind != 0 && !t.saved[at] {
			t.saved[at] = true
			at++
		}
		if at > from {
			t.step.Outcomes = append(t.step.Outcomes, store.Run{Start: from, Outcomes: t.outcomes[from:at]})
		} else {
			at++
		}
	}
}

// leave gives the lease back with the task unfinished. What is not certain is written down as such.
func (t *turn) leave(ctx context.Context) (store.Next, again, error) {
	for _, w := range t.unsure() {
		t.step.Unsure = append(t.step.Unsure, store.SkillUnsure{ID: w.state.ID, Item: w.item})
	}
	for _, c := range t.waiting {
		t.settle(c)
	}
	for _, c := range t.jobs { // their intents stay
		t.save(c.span)
	}
	// Not past the deadline: somebody has to be there to end the task.
	in := max(0, min(t.idle(), t.timeLeft()))
	t.step.Then, t.step.ResumeIn, t.step.Pace = store.Leave, in, t.d.pace.left()
	after, err := t.advance(ctx)
	after.Task = nil
	then := again{more: after.State.Enabled || after.State.Deleted}
	if in > 0 { // the database keeps milliseconds, rounded up
		then.in = in + 2*time.Millisecond
	}
	return after, then, err
}

// finish ends the task: of an item that has no outcome yet either nobody can say whether the tool has it, or it was not
// attempted.
func (t *turn) finish(ctx context.Context) (store.Next, error) {
	unsure := t.unsure()
	for _, c := range t.jobs {
		unsure = append(unsure, c.work...)
	}
	for _, w := range unsure {
		t.outcomes[w.at] = t.unknown()
		t.step.Unsure = append(t.step.Unsure, store.SkillUnsure{ID: w.state.ID, Item: w.item})
	}
	if t.code != "" && t.task.Touched {
		if err := t.doubts(ctx); err != nil {
			return store.Next{}, err
		}
	}
	written := t.task.Touched || t.touched
	for i := range t.outcomes {
		switch o := &t.outcomes[i]; o.Kind {
		case 0:
			*o = skill.Outcome{Kind: skill.NotAttempted, Code: t.code, Message: t.message, Interaction: t.blamed}
		case skill.Written, skill.Unknown:
			written = true
		case skill.Unchanged, skill.Rejected, skill.NotAttempted:
		}
	}
	if t.task.Rewrite {
		if err := t.doubtAgain(ctx); err != nil {
			return store.Next{}, err
		}
	}
	f := &store.Finish{Status: skill.Completed, CompletedAt: t.now.Add(time.Since(t.at))}
	kinds := map[skill.OutcomeKind]int{}
	for _, o := range t.outcomes {
		f.Counts.Add(o)
		kinds[o.Kind]++
	}
	if t.code != "" && !written {
		// It is known that nothing was written: the task as a whole failed.
		f.Status = skill.Failed
		f.Document = skill.FailedDocument(t.task.Task, f.CompletedAt, t.code, t.message, t.d.e.pages.URL(t.blamed))
	} else {
		var err error
		if f.Document, err = t.document(ctx, f.CompletedAt); err != nil {
			return store.Next{}, err
		}
	}
	t.step.Finish, t.step.Invalid, t.step.Then, t.step.Last = f, t.invalid, store.Proceed, t.task.Last
	if !t.d.over() && t.rest() <= 0 {
		t.step.OpenUpTo = t.d.openUpTo()
	}
	next, err := t.advance(ctx)
	if err != nil {
		return next, err
	}
	in := t.d.lease.Integration
	t.d.e.recent.end(in.EnvironmentID, in.ID, store.TaskView{
		Task: t.task.Task, Status: f.Status, Items: t.task.Items, Done: t.task.Items, Counts: f.Counts, Document: f.Document,
	})
	if t.task.Rewrite { // nobody asked for it, so nobody should count it
		t.d.e.metrics.Rewritten(f.Counts.Written)
	} else {
		t.d.e.metrics.TaskEnded(f.Status.String(), 1)
		for kind, n := range kinds {
			t.d.e.metrics.Items(kind.String(), n)
		}
	}
	t.d.log.Info("task ended", "task", t.task.ID, "status", f.Status.String(), "items", t.task.Items,
		"written", f.Counts.Written, "unchanged", f.Counts.Unchanged, "failed", f.Counts.Failed)
	return next, nil
}

func (t *turn) unknown() skill.Outcome {
	why := strings.TrimSuffix(t.message, ".") // the tool's words end as the tool likes
	return skill.Outcome{Kind: skill.Unknown, Code: t.code, Message: why + ". It may have reached the tool all the same.", Interaction: t.blamed}
}

// doubts finds, among the items this drain did not come to, those that left for the tool with an earlier one.
func (t *turn) doubts(ctx context.Context) error {
	for at := 0; at < t.task.Items; {
		items, err := t.plan.items(ctx, at)
		if err != nil {
			return err
		}
		var open []int
		var ids []string
		for i, it := range items {
			if t.outcomes[at+i].Kind == 0 {
				open, ids = append(open, at+i), append(ids, it.OriginID)
			}
		}
		if len(ids) > 0 {
			states, err := t.d.e.store.Skills(ctx, t.d.lease.Lease, ids)
			if err != nil {
				return err
			}
			for n, state := range states {
				if state.Unsure {
					t.outcomes[open[n]] = t.unknown()
				}
			}
		}
		at += len(items)
	}
	return nil
}

// doubtAgain makes unsure, as a rewrite ends, what it should have written and has not: a step of the drain that was under
// way when the doubt came may have ended it.
func (t *turn) doubtAgain(ctx context.Context) error {
	for at := 0; at < t.task.Items; {
		items, err := t.plan.items(ctx, at)
		if err != nil {
			return err
		}
		for _, it := range items {
			if o := t.outcomes[at]; !o.Succeeded() {
				t.step.Unsure = append(t.step.Unsure, store.SkillUnsure{Item: it})
			}
			at++
		}
	}
	return nil
}

// document serialises the result, once and for all.
func (t *turn) document(ctx context.Context, completedAt time.Time) ([]byte, error) {
	doc := skill.NewResultDocument(t.task.Task, t.task.Items, t.d.e.pages)
	for at := 0; at < t.task.Items; {
		items, err := t.plan.items(ctx, at)
		if err != nil {
			return nil, err
		}
		for _, it := range items {
			doc.Add(it.OriginID, t.outcomes[at])
			at++
		}
	}
	return doc.Bytes(completedAt), nil
}

// words are the tool's, or ours where it had none. A tool may say what is no text; not every database keeps that.
func words(e *connector.Error, otherwise string) string {
	if e.Message == "" {
		return otherwise
	}
	return strings.ReplaceAll(strings.ToValidUTF8(e.Message, "\ufffd"), "\x00", "\ufffd")
}
