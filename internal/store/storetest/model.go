package storetest

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// RunModel drives a store through random histories of submissions, drains, takeovers, late calls, switches, doubts and
// retention, and after each step holds everything that can be asked of it against a model in plain Go. So, among others:
//
//   - what waits is the items of the unfinished tasks, and what is done is the outcomes on disk;
//   - a task has one end, which never changes, and its tombstone comes no sooner than it may;
//   - tasks come up in the order of their acceptance;
//   - a step of a lease that was lost leaves nothing, and what it had on its way is unsure, unless it is a remote job;
//   - a content that is known is what the tool holds: that alone may be skipped.
//
// -rapid.checks says how many histories, -rapid.steps how long they are, about: half of that. Unless it says something, there
// are few: 25.
func RunModel(t *testing.T, open Opener) {
	few := 25
	if f := flag.Lookup("rapid.checks"); f == nil || f.Value.String() != f.DefValue {
		few = math.MaxInt
	}
	clock := &clock{now: time.Date(2026, 11, 23, 14, 1, 29, 0, time.UTC)}
	s := open(t, clock.Now)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	env, err := s.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(r *rapid.T) {
		if few--; few < 0 {
			return
		}
		m := &model{r: r, Store: s, clock: clock}
		defer m.leave()
		// Two of them, to see that nothing passes between.
		for range 2 {
			in, err := s.CreateIntegration(m.ctx(), store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`)})
			if err != nil {
				r.Fatal(err)
			}
			m.sides = append(m.sides, &side{
				model: m, in: in, state: store.State{Enabled: true, SettingsVersion: 1}, settings: in.Settings, skills: map[string]*heldSkill{}, tool: map[string]skill.Item{},
			})
		}
		actions := map[string]func(*rapid.T){
			"time passes": m.passTime, "time passes again": m.passTime, "time goes by": m.passTime,
			"retain": m.retain,
			"":       func(*rapid.T) { m.check() },
		}
		for name, action := range map[string]func(*side){
			"submit": (*side).submit, "claim": (*side).claim, "extend": (*side).extend, "send": (*side).send, "arrive": (*side).arrive,
			"answer": (*side).answer, "skip": (*side).skip, "finish": (*side).finish, "hand back": (*side).handBack,
			"ask for patience": (*side).askForPatience, "change": (*side).change, "fail": (*side).fail, "arrive late": (*side).arriveLate,
			"note a receipt": (*side).note, "cancel": (*side).cancel,
		} {
			for n, label := range []string{name, name + " again", name + " on the other side"} {
				actions[label] = func(r *rapid.T) {
					m.r = r
					action(m.sides[n/2])
				}
			}
		}
		for range 2 { // the interesting is deep
			r.Repeat(actions)
		}
		m.end()
	})
}

// model is what must be true of a store.
type model struct {
	store.Store
	r     *rapid.T
	clock *clock
	sides []*side
	made  int // counts whatever needs a name of its own
}

// side is one integration.
type side struct {
	*model
	in       store.Integration
	ref      int64 // once it was claimed
	state    store.State
	settings []byte
	tasks    []*heldTask // in the order of acceptance
	skills   map[string]*heldSkill
	tool     map[string]skill.Item // what the tool really holds
	wanted   bool
	owner    string
	epoch    int64
	until    time.Time
	resumeAt time.Time
	pacedTo  time.Time
	failures int
	leases   []*heldLease // the last ones, good or not
}

type heldTask struct {
	skill.Task
	ref      int64 // once it was seen
	items    []skill.Item
	deadline time.Time
	rewrite  bool

	started, touched bool
	cancelled        bool
	attempt          int
	outcomes         []skill.Outcome
	open             []store.Range // intents
	jobs             []store.Job   // those of them that have a receipt
	noted            []time.Time   // when each has got it

	status      skill.TaskStatus
	counts      skill.Counts
	document    []byte
	completedAt time.Time
	mayExpire   bool // when it does is a store's own affair
	expired     bool
}

type heldSkill struct {
	id      string // empty: the store made one that was not seen yet
	remote  string
	content skill.Item
	written bool // once
	hash    skill.Hash
	known   bool
	unsure  bool
}

type heldLease struct {
	store.Lease
	task  *heldTask
	calls []heldCall
}

// heldCall left for the tool, and was not answered.
type heldCall struct {
	task  *heldTask
	span  store.Range
	items []skill.Item
}

func (*model) ctx() context.Context { return context.Background() }

func (m *model) now() time.Time { return m.clock.Now() }

func (m *model) number() int {
	m.made++
	return m.made
}

// pick draws one of a list, or gives the action up: nothing may have been drawn before that.
func pick[T any](r *rapid.T, label string, list []T) T {
	if len(list) == 0 {
		r.Skip("none")
	}
	return rapid.SampledFrom(list).Draw(r, label)
}

// lease draws one of the leases that are fit, most often the last one.
func (s *side) lease(fit func(*heldLease) bool) *heldLease {
	list := slices.DeleteFunc(slices.Clone(s.leases), func(l *heldLease) bool { return !fit(l) })
	for range len(list) {
		list = append(list, list[len(list)-1])
	}
	return pick(s.r, "lease", list)
}

func (m *model) must(err error) {
	if err != nil {
		m.r.Helper()
		m.r.Fatal(err)
	}
}

func (m *model) want(err, want error) {
	if !errors.Is(err, want) || (want == nil && err != nil) {
		m.r.Helper()
		m.r.Fatalf("error = %v, want %v", err, want)
	}
}

func (m *model) equal(what string, want, got any) {
	if diff := cmp.Diff(want, got); diff != "" {
		m.r.Helper()
		m.r.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// origins are the skills there can be.
var origins = []string{"s0", "s1", "s2", "s3", "s4", "s5"} //nolint:gochecknoglobals // a constant, were arrays allowed to be

func (s *side) submit() {
	r := s.r
	sub := store.Submission{
		EnvironmentID: s.in.EnvironmentID, IntegrationID: s.in.ID, KeyID: "key", TaskID: skill.NewTaskID(s.now()),
		Timeout:     rapid.SampledFrom([]time.Duration{10 * time.Second, time.Hour, time.Hour}).Draw(r, "timeout"),
		MostWaiting: rapid.SampledFrom([]int{0, 0, 6}).Draw(r, "most"),
	}
	for _, origin := range rapid.SliceOfNDistinct(rapid.SampledFrom(origins), 1, 5, rapid.ID).Draw(r, "items") {
		sub.Items = append(sub.Items, skill.Item{
			OriginID: origin, Name: fmt.Sprint("name ", rapid.IntRange(0, 1).Draw(r, "name")), Status: skill.Active,
		})
	}
	got, err := s.Submit(s.ctx(), sub)
	waiting := s.waiting()
	switch {
	case s.state.Deleted:
		s.want(err, store.ErrNotFound)
	case !s.state.Enabled:
		s.want(err, store.ErrDisabled)
	case sub.MostWaiting > 0 && waiting+len(sub.Items) > sub.MostWaiting:
		full, _ := errors.AsType[*store.FullError](err)
		s.equal("full", &store.FullError{Limit: sub.MostWaiting, Waiting: waiting}, full)
	default:
		s.must(err)
		task := s.accept(sub.TaskID, sub.Items, sub.Timeout)
		s.equal("accepted", store.Accepted{Task: task.Task, Waiting: waiting + len(sub.Items)}, got)
	}
}

func (s *side) accept(id string, items []skill.Item, timeout time.Duration) *heldTask {
	task := &heldTask{
		Task: skill.Task{ID: id, CreatedAt: s.now()}, items: items, deadline: s.now().Add(timeout), status: skill.Pending,
		outcomes: make([]skill.Outcome, len(items)),
	}
	s.tasks = append(s.tasks, task)
	s.wanted = true
	return task
}

func (s *side) pending() []*heldTask {
	return slices.DeleteFunc(slices.Clone(s.tasks), func(t *heldTask) bool { return t.status != skill.Pending })
}

func (s *side) waiting() int {
	n := 0
	for _, t := range s.pending() {
		n += len(t.items)
	}
	return n
}

func (s *side) claim() {
	r := s.r
	s.claimAs(store.Claim{
		IntegrationID: s.in.ID, Owner: rapid.SampledFrom([]string{"a", "b"}).Draw(r, "owner"), TTL: ttl,
		OpenUpTo: rapid.SampledFrom([]int{0, 2, 10}).Draw(r, "open up to"), Force: rapid.IntRange(0, 3).Draw(r, "force") == 0,
	})
}

func (s *side) claimAs(c store.Claim) *heldLease {
	lease, next, err := s.Claim(s.ctx(), c)
	if !s.wanted || s.until.After(s.now()) || s.resumeAt.After(s.now()) && !c.Force {
		s.want(err, store.ErrIdle)
		return nil
	}
	s.must(err)
	s.epoch++
	if lease.Epoch <= s.epoch-1 || lease.Owner != c.Owner || lease.Stolen != (s.owner != "") || lease.Integration.SettingsVersion != s.state.SettingsVersion {
		s.r.Fatalf("lease = %+v; the one before was epoch %d of %q", lease, s.epoch-1, s.owner)
	}
	s.owner, s.epoch, s.until, s.ref = c.Owner, lease.Epoch, s.now().Add(c.TTL), lease.Ref
	// What an earlier drain had on its way may have reached the tool.
	for _, task := range s.tasks {
		for _, r := range task.open {
			if task.job(r) >= 0 {
				continue
			}
			task.touched = true
			for at := r.Start; at < r.Stop; at++ {
				if task.outcomes[at].Kind == 0 {
					s.unsure(task.items[at], "")
				}
			}
		}
		task.open = slices.DeleteFunc(task.open, func(r store.Range) bool { return task.job(r) < 0 })
	}
	l := &heldLease{Lease: lease}
	s.leases = append(s.leases, l)
	s.leases = s.leases[max(0, len(s.leases)-4):]
	s.comesNext(l, next, c.OpenUpTo)
	return l
}

// comesNext checks what a store says comes next, and does in the model what it implies.
func (s *side) comesNext(l *heldLease, got store.Next, openUpTo int) {
	s.r.Helper()
	want := s.plain()
	var task *heldTask
	for _, t := range s.pending() {
		if s.state.Enabled || s.state.Deleted || !t.deadline.After(s.now()) {
			task = t
			break
		}
	}
	if task != nil {
		if got.Task == nil {
			s.r.Fatalf("nothing comes next, want %+v", task)
		}
		s.learn(task, got.Task.ID, got.Task.Ref)
		want.Task = &store.DrainTask{
			Task: task.Task, Ref: task.ref, Items: len(task.items), Counts: count(task.outcomes), TimeLeft: task.deadline.Sub(s.now()),
			Touched: task.touched, Attempt: task.attempt, Rewrite: task.rewrite, Started: task.started,
			Cancelled: task.cancelled,
		}
		want.Opened = s.state.Enabled && !s.state.Deleted && s.state.InvalidReason == "" && task.deadline.After(s.now()) &&
			want.Task.Counts.Total() == 0 && len(task.items) <= openUpTo && len(task.open) == 0
	}
	if got.Items != nil && task != nil { // the store had them at hand
		want.Items = task.items[:min(len(got.Items), len(task.items))]
	}
	s.equal("next", want, got)
	l.task = task
	if task == nil {
		s.release(len(s.pending()) > 0, 0)
		return
	}
	for _, r := range task.open { // jobs that go on
		l.calls = append(l.calls, heldCall{task, r, slices.Clone(task.items[r.Start:r.Stop])})
	}
	if want.Opened {
		s.opened(l, store.Range{Start: 0, Stop: len(task.items)})
	}
}

// job is which of the task's jobs an intent belongs to, or -1.
func (t *heldTask) job(r store.Range) int {
	return slices.IndexFunc(t.jobs, func(j store.Job) bool { return j.Range == r })
}

// note gives an intent its receipt, or another one.
func (s *side) note() {
	r := s.r
	l := s.lease(func(l *heldLease) bool { return l.task != nil && len(l.task.open) > 0 })
	intent := pick(r, "intent", l.task.open)
	s.advance(l, store.Step{Task: l.task.ref, Attempt: l.task.attempt, Receipts: []store.Receipt{
		{Start: intent.Start, Text: rapid.SampledFrom([]string{"", "job/1", "„2“"}).Draw(r, "receipt")},
	}})
}

// learn notes what a store calls a task, and holds it to it.
func (s *side) learn(task *heldTask, id string, ref int64) {
	if task.ID == "" { // the store's own
		task.ID = id
	}
	if task.ref == 0 {
		task.ref = ref
	}
	if task.ID != id || task.ref != ref {
		s.r.Fatalf("a task was %s (%d) and is %s (%d)", task.ID, task.ref, id, ref)
	}
}

func (s *side) plain() store.Next {
	return store.Next{
		Now: s.now(), State: s.state, Hold: max(0, s.resumeAt.Sub(s.now())), Failures: s.failures, Paced: max(0, s.pacedTo.Sub(s.now())),
	}
}

func (s *side) opened(l *heldLease, r store.Range) {
	l.task.started = true
	l.task.open = append(l.task.open, r)
	l.calls = append(l.calls, heldCall{l.task, r, slices.Clone(l.task.items[r.Start:r.Stop])})
}

func (s *side) release(wanted bool, resumeIn time.Duration) {
	s.owner, s.until, s.wanted = "", time.Time{}, wanted
	if resume := s.now().Add(resumeIn); resumeIn > 0 && resume.After(s.resumeAt) {
		s.resumeAt = resume
	}
}

func (s *side) holds(l *heldLease) bool { return s.owner == l.Owner && s.epoch == l.Epoch }

func count(outcomes []skill.Outcome) (c skill.Counts) {
	for _, o := range outcomes {
		if o.Kind != 0 {
			c.Add(o)
		}
	}
	return c
}

// unsure: the skill left for the tool and nobody told what became of it.
func (s *side) unsure(it skill.Item, id string) {
	k := s.skills[it.OriginID]
	if k == nil {
		k = &heldSkill{id: id}
		s.skills[it.OriginID] = k
	}
	k.known, k.unsure = false, true
	if !k.written {
		k.content = it
	}
}

func (s *side) extend() {
	l := s.lease(func(*heldLease) bool { return true })
	states, err := s.Extend(s.ctx(), l.Owner, []store.Held{{Ref: l.Ref, Epoch: l.Epoch}}, ttl)
	s.must(err)
	want := map[int64]store.Extended{}
	if s.holds(l) {
		want[l.Ref] = store.Extended{State: s.state}
		s.until = s.now().Add(ttl)
	}
	s.equal("extended", want, states)
}

// advance does a step, of a lease that may be lost and a task that may have ended.
func (s *side) advance(l *heldLease, step store.Step) {
	s.r.Helper()
	next, err := s.Advance(s.ctx(), l.Lease, step)
	if !s.holds(l) {
		s.want(err, store.ErrLeaseLost)
		return
	}
	task := l.task
	if step.Task != 0 && task.status != skill.Pending {
		s.want(err, store.ErrTaskEnded)
		return
	}
	if step.Invalid != "" && l.Integration.SettingsVersion != s.state.SettingsVersion {
		s.want(err, store.ErrChanged)
		return
	}
	s.must(err)
	if !bytes.Equal(l.Integration.Settings, s.settings) {
		step.Hold, step.ResumeIn, step.Answered, step.Failures, step.Attempt = 0, 0, false, 0, 0
	}
	if step.Hold > 0 && s.now().Add(step.Hold).After(s.resumeAt) {
		s.resumeAt = s.now().Add(step.Hold)
	}
	if step.Pace > 0 {
		s.pacedTo = s.now().Add(step.Pace)
	}
	if step.Answered {
		s.failures = 0
	}
	if step.Failures > 0 {
		s.failures = step.Failures
	}
	if step.Invalid != "" {
		s.state.InvalidReason = step.Invalid
	}
	if step.Task != 0 {
		s.progress(l, step)
	}
	switch step.Then {
	case store.Stay:
		s.equal("next", s.plain(), next)
	case store.Proceed:
		s.comesNext(l, next, step.OpenUpTo)
	case store.Leave:
		s.release(true, step.ResumeIn)
	}
}

// progress does a step's part about skills and the task in the model.
func (s *side) progress(l *heldLease, step store.Step) {
	task := l.task
	for _, w := range step.Written {
		k := s.skills[w.Item.OriginID]
		if k == nil {
			k = &heldSkill{id: w.ID}
			s.skills[w.Item.OriginID] = k
		}
		k.remote, k.content, k.hash, k.written, k.known, k.unsure = w.RemoteID, w.Item, w.Hash, true, true, false
	}
	for _, r := range step.Refused {
		k := s.skills[r.Item.OriginID]
		if k == nil {
			k = &heldSkill{id: r.ID}
			s.skills[r.Item.OriginID] = k
		}
		if !k.written {
			k.content = r.Item
		}
	}
	for _, u := range step.Unsure {
		task.touched = true
		s.unsure(u.Item, u.ID)
	}
	for _, c := range step.Close {
		if at := task.job(c); at >= 0 {
			task.jobs, task.noted = slices.Delete(task.jobs, at, at+1), slices.Delete(task.noted, at, at+1)
		}
		task.open = slices.DeleteFunc(task.open, func(r store.Range) bool { return r == c })
		l.calls = slices.DeleteFunc(l.calls, func(call heldCall) bool { return call.task == task && call.span == c })
	}
	if f := step.Finish; f != nil {
		task.status, task.counts, task.document, task.completedAt = f.Status, f.Counts, f.Document, f.CompletedAt
		task.open, task.jobs, task.noted, l.calls = nil, nil, nil, nil
		return
	}
	task.started, task.attempt, task.touched = true, step.Attempt, task.touched || step.Touched
	for _, run := range step.Outcomes {
		for i, o := range run.Outcomes {
			task.outcomes[run.Start+i] = o
			for n, call := range l.calls {
				if call.task == task {
					l.calls[n].items = slices.DeleteFunc(call.items, func(it skill.Item) bool { return it == task.items[run.Start+i] })
				}
			}
			task.touched = task.touched || o.Kind == skill.Written || o.Kind == skill.Unknown
		}
	}
	for _, r := range step.Open {
		s.opened(l, r)
	}
	for _, n := range step.Receipts {
		r := task.open[slices.IndexFunc(task.open, func(r store.Range) bool { return r.Start == n.Start })]
		at := task.job(r)
		if at < 0 {
			at = len(task.jobs)
			task.jobs, task.noted = append(task.jobs, store.Job{Range: r}), append(task.noted, time.Time{})
		}
		task.jobs[at].Receipt, task.noted[at] = n.Text, s.now()
	}
}

// free are the positions of a task that have no outcome and are not on their way.
func (t *heldTask) free(at int) bool {
	return t.outcomes[at].Kind == 0 && !slices.ContainsFunc(t.open, func(r store.Range) bool { return r.Start <= at && at < r.Stop })
}

// send opens an intent.
func (s *side) send() {
	r := s.r
	starts := func(l *heldLease) (list []int) {
		for at := 0; l.task != nil && at < len(l.task.items); at++ {
			if l.task.free(at) {
				list = append(list, at)
			}
		}
		return list
	}
	l := s.lease(func(l *heldLease) bool { return len(starts(l)) > 0 })
	start := pick(r, "start", starts(l))
	stop := start + 1
	for most := rapid.IntRange(1, 3).Draw(r, "most"); stop < len(l.task.items) && l.task.free(stop) && stop-start < most; {
		stop++
	}
	step := store.Step{Task: l.task.ref, Open: []store.Range{{Start: start, Stop: stop}}}
	if rapid.IntRange(0, 2).Draw(r, "job") == 0 {
		step.Receipts = []store.Receipt{{Start: start}}
	}
	s.advance(l, step)
}

// arrive lets the tool carry out what is on its way; nobody knows yet.
func (s *side) arrive() {
	r := s.r
	l := s.lease(func(l *heldLease) bool { return s.holds(l) && len(l.calls) > 0 })
	for _, it := range pick(r, "call", l.calls).items {
		s.tool[it.OriginID] = it
	}
}

// arriveLate lets a call reach the tool behind the back of whoever drains now, and whoever sent it say so.
func (s *side) arriveLate() {
	r := s.r
	l := s.lease(func(l *heldLease) bool { return !s.holds(l) && len(l.calls) > 0 })
	call := pick(r, "call", l.calls).items
	if rapid.Bool().Draw(r, "carried out") {
		for _, it := range call {
			s.tool[it.OriginID] = it
		}
	}
	ids := append(each(call, func(it skill.Item) string { return it.OriginID }), "never heard of")
	s.must(s.Doubt(s.ctx(), store.Doubt{Lease: l.Lease, OriginIDs: ids, Timeout: time.Hour}))
	if s.state.Deleted {
		return
	}
	var items []skill.Item
	for _, id := range ids {
		if k := s.skills[id]; k != nil {
			k.known, k.unsure = false, true
			items = append(items, k.content)
		}
	}
	if len(items) > 0 {
		task := s.accept("", items, time.Hour)
		task.rewrite, task.started = true, true // only a drain may end it
	}
}

// answer closes an intent, or tells a part of it.
func (s *side) answer() {
	r := s.r
	l := s.lease(func(l *heldLease) bool { return l.task != nil && len(l.task.open) > 0 })
	intent := pick(r, "intent", l.task.open)
	step := store.Step{
		Task: l.task.ref, Close: []store.Range{intent}, Attempt: rapid.IntRange(0, 3).Draw(r, "attempt"),
		Then: rapid.SampledFrom([]store.Then{store.Stay, store.Stay, store.Leave}).Draw(r, "then"),
	}
	partly := rapid.IntRange(0, 4).Draw(r, "partly") == 0
	if partly {
		step.Close = nil
	}
	if step.Then == store.Leave && (partly || len(l.task.open) > 1) {
		step.Then = store.Stay
	}
	items := l.task.items[intent.Start:intent.Stop]
	states, err := s.Skills(s.ctx(), l.Lease, each(items, func(it skill.Item) string { return it.OriginID }))
	s.must(err)
	arrives := s.holds(l) && l.task.status == skill.Pending
	for i, it := range items {
		st := states[i]
		if st.ID == "" {
			st.ID = id(s.number())
		}
		if rapid.IntRange(0, 4).Draw(r, "looked up too early") == 0 {
			st.Ref = 0
		}
		at := intent.Start + i
		if l.task.outcomes[at].Kind != 0 || partly && rapid.Bool().Draw(r, "not yet") {
			continue
		}
		outcome := func(o skill.Outcome) {
			step.Outcomes = append(step.Outcomes, store.Run{Start: at, Outcomes: []skill.Outcome{o}})
		}
		switch rapid.SampledFrom([]string{"written", "written", "refused", "unsure", "not sent"}).Draw(r, "answer") {
		case "written":
			if arrives {
				s.tool[it.OriginID] = it
			}
			w := written(it, st.Ref, st.ID)
			step.Written = append(step.Written, w)
			outcome(skill.Outcome{Kind: skill.Written, SkillID: st.ID})
		case "refused":
			if arrives && s.tool[it.OriginID] == it {
				// It may just have been carried out, and then the answer is no refusal.
				step.Unsure = append(step.Unsure, store.SkillUnsure{ID: st.ID, Item: it})
				continue
			}
			step.Refused = append(step.Refused, store.SkillRefused{Ref: st.Ref, ID: st.ID, Item: it, Code: skill.CodeRemoteInput, Message: "no"})
			outcome(skill.Outcome{Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: "no"})
		case "unsure":
			if arrives && rapid.Bool().Draw(r, "arrived") {
				s.tool[it.OriginID] = it
			}
			step.Unsure = append(step.Unsure, store.SkillUnsure{ID: st.ID, Item: it})
		case "not sent":
			if arrives && s.tool[it.OriginID] == it {
				step.Unsure = append(step.Unsure, store.SkillUnsure{ID: st.ID, Item: it})
			}
		}
	}
	s.advance(l, step)
}

// skip gives items that the tool holds already their outcome.
func (s *side) skip() {
	same := func(l *heldLease) (list []int) {
		for at := 0; l.task != nil && !l.task.rewrite && at < len(l.task.items); at++ {
			k := s.skills[l.task.items[at].OriginID]
			if k != nil && k.known && k.hash == skill.ContentHash("", l.task.items[at]) && l.task.free(at) {
				list = append(list, at)
			}
		}
		return list
	}
	l := s.lease(func(l *heldLease) bool { return len(same(l)) > 0 })
	step := store.Step{Task: l.task.ref}
	for _, at := range same(l) {
		it := l.task.items[at]
		if s.tool[it.OriginID] != it && !s.state.Deleted {
			s.r.Fatalf("%+v would be skipped, and the tool holds %+v", it, s.tool[it.OriginID])
		}
		step.Outcomes = append(step.Outcomes, store.Run{
			Start: at, Outcomes: []skill.Outcome{{Kind: skill.Unchanged, SkillID: s.skills[it.OriginID].id}},
		})
	}
	s.advance(l, step)
}

func (s *side) finish() {
	r := s.r
	l := s.lease(func(l *heldLease) bool { return l.task != nil })
	s.end(l, store.Step{
		Then:     rapid.SampledFrom([]store.Then{store.Stay, store.Proceed, store.Proceed, store.Leave}).Draw(r, "then"),
		OpenUpTo: rapid.SampledFrom([]int{0, 2, 10}).Draw(r, "open up to"),
		ResumeIn: rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(r, "resume in"),
		Invalid:  rapid.SampledFrom([]string{"", "", "", "wrong password"}).Draw(r, "invalid"),
	})
}

// end ends the task: what is on its way is unknown, what else is left was not attempted.
func (s *side) end(l *heldLease, step store.Step) {
	s.r.Helper()
	task := l.task
	step.Task = task.ref
	outcomes := slices.Clone(task.outcomes)
	for at := range outcomes {
		switch {
		case outcomes[at].Kind != 0:
		case task.free(at):
			outcomes[at] = skill.Outcome{Kind: skill.NotAttempted}
		default:
			outcomes[at] = skill.Outcome{Kind: skill.Unknown}
			step.Unsure = append(step.Unsure, store.SkillUnsure{ID: id(s.number()), Item: task.items[at]})
		}
	}
	step.Finish = &store.Finish{
		Status: skill.Completed, Counts: count(outcomes), CompletedAt: s.now(), Document: fmt.Append(nil, "document ", s.number()),
	}
	s.advance(l, step)
}

// handBack gives the lease back, or asks for the next task without having done this one.
func (s *side) handBack() {
	r := s.r
	l := s.lease(func(l *heldLease) bool { return l.task != nil && len(l.task.open) == len(l.task.jobs) })
	s.advance(l, store.Step{
		Task: l.task.ref, Attempt: rapid.IntRange(0, 3).Draw(r, "attempt"), Touched: rapid.IntRange(0, 3).Draw(r, "touched") == 0,
		Then:     rapid.SampledFrom([]store.Then{store.Leave, store.Proceed}).Draw(r, "then"),
		OpenUpTo: rapid.SampledFrom([]int{0, 10}).Draw(r, "open up to"),
		ResumeIn: rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute}).Draw(r, "resume in"),
	})
}

func (s *side) askForPatience() {
	r := s.r
	waits := rapid.SampledFrom([]time.Duration{0, time.Millisecond, 5 * time.Second, time.Minute})
	l := s.lease(func(*heldLease) bool { return true })
	s.advance(l, store.Step{
		Hold: waits.Draw(r, "hold"), Pace: waits.Draw(r, "pace"),
		Answered: rapid.Bool().Draw(r, "answered"), Failures: rapid.IntRange(0, 3).Draw(r, "failures"),
	})
}

// change changes the integration, and lets its drain look at once what that means.
func (s *side) change() {
	r := s.r
	var err error
	settings := rapid.SampledFrom([][]byte{[]byte(`{}`), []byte(`{"a":1}`)}).Draw(r, "settings")
	what := rapid.SampledFrom([]string{
		"disable", "disable", "enable", "enable", "enable", "settings", "settings", "delete",
	}).Draw(r, "what")
	switch what {
	case "disable", "enable":
		_, err = s.SetEnabled(s.ctx(), s.in.ID, what == "enable")
	case "settings":
		_, err = s.SetSettings(s.ctx(), s.in.ID, settings)
	case "delete":
		_, err = s.DeleteIntegration(s.ctx(), s.in.ID)
	}
	if s.state.Deleted {
		s.want(err, store.ErrNotFound)
		return
	}
	s.must(err)
	switch what {
	case "disable":
		s.state.Enabled = false
	case "enable":
		s.state.Enabled, s.state.InvalidReason = true, ""
	case "settings":
		s.state.InvalidReason = ""
		s.state.SettingsVersion++
		s.settings = settings
	case "delete":
		s.state.Deleted = true
	}
	s.resumeAt, s.failures, s.wanted = time.Time{}, 0, len(s.pending()) > 0
	for _, t := range s.pending() {
		t.attempt = 0
	}
}

// fail ends tasks in bulk, among them some that were taken up or have ended.
func (s *side) fail() {
	r := s.r
	if s.ref == 0 || len(s.tasks) == 0 {
		r.Skip("none")
	}
	waiting, err := s.Waiting(s.ctx(), store.Lease{Ref: s.ref}, 1000)
	s.must(err)
	unstarted := slices.DeleteFunc(s.pending(), func(t *heldTask) bool { return t.started })
	s.sameTasks("waiting", unstarted, waiting)
	var known []*heldTask
	for _, t := range s.tasks {
		if t.ref != 0 {
			known = append(known, t)
		}
	}
	if len(known) == 0 {
		return
	}
	var failed []store.FailedTask
	want := []int64{}
	for _, t := range rapid.SliceOfNDistinct(rapid.SampledFrom(known), 1, 2, func(t *heldTask) int64 { return t.ref }).Draw(r, "tasks") {
		f := store.FailedTask{Ref: t.ref, CompletedAt: s.now(), Document: fmt.Append(nil, "failed ", s.number())}
		failed = append(failed, f)
		if t.status == skill.Pending && !t.started {
			want = append(want, t.ref)
			t.status, t.counts, t.document, t.completedAt = skill.Failed, skill.Counts{Failed: len(t.items)}, f.Document, f.CompletedAt
		}
	}
	ended, err := s.FailTasks(s.ctx(), failed)
	s.must(err)
	slices.Sort(want)
	slices.Sort(ended)
	s.equal("failed tasks", want, append([]int64{}, ended...))
}

// cancel cancels a task, which may be waiting, under way, cancelled or ended.
func (s *side) cancel() {
	r := s.r
	task := pick(r, "task", slices.DeleteFunc(slices.Clone(s.tasks), func(t *heldTask) bool { return t.ID == "" || t.mayExpire }))
	document := fmt.Append(nil, "cancelled ", s.number())
	got, err := s.CancelTask(s.ctx(), s.in.EnvironmentID, task.ID, func(of skill.Task, at time.Time) []byte {
		s.equal("the task", task.Task, of)
		s.equal("the time", s.now(), at)
		return document
	})
	if task.status != skill.Pending {
		s.want(err, store.ErrTaskEnded)
		return
	}
	s.must(err)
	s.equal("cancelled", store.Cancelled{IntegrationID: s.in.ID, Items: len(task.items), Ended: !task.started}, got)
	switch {
	case !task.started:
		task.status, task.counts, task.document, task.completedAt = skill.Failed, skill.Counts{Failed: len(task.items)}, document, s.now()
	case !task.cancelled:
		task.cancelled, task.deadline = true, time.Unix(0, 0)
		s.state.SettingsVersion++
	}
}

func (s *side) sameTasks(what string, want []*heldTask, got []store.WaitingTask) {
	s.r.Helper()
	if len(want) != len(got) {
		s.r.Fatalf("%s: %d tasks, want %d", what, len(got), len(want))
	}
	for i, t := range want {
		s.learn(t, got[i].ID, got[i].Ref)
		s.equal(what, store.WaitingTask{Task: t.Task, Ref: t.ref, Items: len(t.items)}, got[i])
	}
}

func (m *model) passTime(r *rapid.T) {
	m.clock.advance(rapid.SampledFrom([]time.Duration{
		time.Millisecond, time.Second, ttl - time.Millisecond, ttl, ttl, time.Minute, time.Hour, 26 * time.Hour,
	}).Draw(r, "for"))
}

func (m *model) retain(r *rapid.T) {
	m.r = r
	const keep = time.Hour
	limit := rapid.SampledFrom([]int{1, 100}).Draw(r, "limit")
	for n := 1; n > 0; { // how often is up to what other histories left
		var err error
		n, err = m.Expire(m.ctx(), keep, limit)
		m.must(err)
	}
	for _, s := range m.sides {
		for _, t := range s.tasks {
			if t.status != skill.Pending {
				t.mayExpire = t.mayExpire || m.now().Sub(t.completedAt) > keep
			}
		}
	}
}

// check asks for everything there is.
func (m *model) check() {
	due, err := m.Due(m.ctx(), 1000)
	m.must(err)
	overdue, now, err := m.Overdue(m.ctx(), 1000)
	m.must(err)
	if len(overdue) > 0 {
		m.equal("the time", m.now(), now)
	}
	for _, s := range m.sides {
		s.checkTasks()
		s.checkQueue(due, overdue)
		s.checkSkills()
	}
}

func (s *side) checkTasks() {
	for _, t := range s.tasks {
		if t.ID == "" {
			continue // the store's own, not seen yet
		}
		view, err := s.Task(s.ctx(), s.in.EnvironmentID, s.in.ID, t.ID)
		if gone, ok := errors.AsType[*store.ExpiredError](err); ok && t.mayExpire && !gone.At.After(s.now()) {
			t.expired = true
			continue
		}
		s.must(err)
		if t.expired {
			s.r.Fatalf("task %s is there again", t.ID)
		}
		want := store.TaskView{Task: t.Task, Status: t.status, Items: len(t.items), Done: len(t.items), Counts: t.counts, Document: t.document}
		if t.status == skill.Pending {
			want.Counts = count(t.outcomes)
			want.Done = want.Counts.Total()
		}
		s.equal("task", want, view)
		if t.status != skill.Pending || t.ref == 0 {
			continue
		}
		runs, err := s.Outcomes(s.ctx(), t.ref)
		s.must(err)
		got := make([]skill.Outcome, len(t.items))
		for _, run := range runs {
			copy(got[run.Start:], run.Outcomes)
		}
		s.equal("outcomes", t.outcomes, got)
		items, err := s.Items(s.ctx(), t.ref, 0)
		s.must(err)
		s.equal("items", t.items, items)
		jobs, err := s.Jobs(s.ctx(), store.Lease{Ref: s.ref}, t.ref)
		s.must(err)
		underway := append([]store.Job(nil), t.jobs...)
		for i := range underway {
			underway[i].Age = s.now().Sub(t.noted[i])
		}
		slices.SortFunc(underway, func(a, b store.Job) int { return a.Start - b.Start })
		s.equal("jobs", underway, append([]store.Job(nil), jobs...))
	}
}

func (s *side) checkQueue(due []store.DueDrain, overdue []store.WaitingTask) {
	if s.state.Enabled && !s.state.Deleted {
		_, err := s.Submit(s.ctx(), store.Submission{
			EnvironmentID: s.in.EnvironmentID, IntegrationID: s.in.ID, TaskID: skill.NewTaskID(s.now()), Items: make([]skill.Item, 2),
			MostWaiting: 1, // never enough
		})
		full, ok := errors.AsType[*store.FullError](err)
		if !ok {
			s.r.Fatal(err)
		}
		s.equal("what waits", s.waiting(), full.Waiting)
	}
	var late []*heldTask
	free := !s.until.After(s.now())
	wantDue := s.wanted && free && !s.resumeAt.After(s.now()) && (s.state.Enabled || s.state.Deleted)
	wantOverdue := false
	for _, t := range s.pending() {
		if t.deadline.After(s.now()) {
			continue
		}
		if t.started {
			wantOverdue = wantOverdue || free
		} else {
			late = append(late, t)
		}
	}
	for _, d := range []store.DueDrain{{IntegrationID: s.in.ID}, {IntegrationID: s.in.ID, Overdue: true}} {
		if want := wantDue && !d.Overdue || wantOverdue && d.Overdue; slices.Contains(due, d) != want {
			s.r.Fatalf("due (overdue: %v) is %v, want %v", d.Overdue, !want, want)
		}
	}
	for _, t := range late {
		if !slices.ContainsFunc(overdue, func(o store.WaitingTask) bool { return o.ID == t.ID }) && t.ID != "" {
			s.r.Fatalf("task %s is not overdue", t.ID)
		}
	}
	for _, o := range overdue {
		for _, t := range s.tasks {
			if t.ID == o.ID && !slices.Contains(late, t) {
				s.r.Fatalf("task %s is overdue", t.ID)
			}
		}
	}
}

// underway reports whether an open intent holds the skill: until it is closed, nobody goes by what is known.
func (s *side) underway(origin string) bool {
	for _, t := range s.pending() {
		for at, it := range t.items {
			if it.OriginID == origin && t.outcomes[at].Kind == 0 && !t.free(at) {
				return true
			}
		}
	}
	return false
}

func (s *side) checkSkills() {
	if s.ref == 0 {
		return
	}
	states, err := s.Skills(s.ctx(), store.Lease{Ref: s.ref}, origins)
	s.must(err)
	contents, err := s.Contents(s.ctx(), store.Lease{Ref: s.ref}, origins)
	s.must(err)
	for i, origin := range origins {
		k, got := s.skills[origin], states[i]
		if k == nil {
			s.equal("a skill nobody wrote", store.SkillState{}, got)
			s.equal("its content", skill.Item{OriginID: origin}, contents[i])
			continue
		}
		if k.id == "" {
			k.id = got.ID // from now on
		}
		want := store.SkillState{Ref: got.Ref, ID: k.id, RemoteID: k.remote, Known: k.known, Unsure: k.unsure}
		if k.known {
			want.Hash = k.hash
			if it := s.tool[origin]; !s.state.Deleted && !s.underway(origin) && skill.ContentHash("", it) != got.Hash {
				s.r.Fatalf("%s is known, and the tool holds %+v", origin, it)
			}
		}
		s.equal("skill "+origin, want, got)
		confirmed := skill.Item{OriginID: origin}
		if k.written {
			confirmed = k.content
		}
		s.equal("content", confirmed, contents[i])
		if got.Ref == 0 || got.ID == "" {
			s.r.Fatalf("%s has no row: %+v", origin, got)
		}
	}
}

// end lets everything come to its end.
func (m *model) end() {
	m.clock.advance(ttl)
	for _, s := range m.sides {
		for len(s.pending()) > 0 {
			if !s.state.Enabled && !s.state.Deleted {
				_, err := s.SetEnabled(s.ctx(), s.in.ID, true)
				s.must(err)
				s.state.Enabled, s.state.InvalidReason, s.resumeAt, s.failures, s.wanted = true, "", time.Time{}, 0, true
				for _, t := range s.pending() {
					t.attempt = 0
				}
			}
			l := s.claimAs(store.Claim{IntegrationID: s.in.ID, Owner: "last", TTL: ttl, Force: true})
			if l == nil {
				m.r.Fatalf("%d tasks are pending and nobody is wanted", len(s.pending()))
			}
			for l.task != nil {
				s.end(l, store.Step{Then: store.Proceed})
			}
		}
	}
	m.check()
}

// leave leaves nothing to do behind for the next history, even when this one failed.
func (m *model) leave() {
	m.clock.advance(ttl)
	for _, s := range m.sides {
		_, _ = s.DeleteIntegration(m.ctx(), s.in.ID) // it may be deleted already
		lease, next, err := s.Claim(m.ctx(), store.Claim{IntegrationID: s.in.ID, Owner: "last", TTL: ttl, Force: true})
		for range 1000 {
			if err != nil || next.Task == nil {
				break
			}
			next, err = s.Advance(m.ctx(), lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed})
		}
	}
}
