// Package engine takes accepted tasks to their end: accept, drain, checkpoint, finish. It knows no HTTP and no SQL.
//
// A drain works off the tasks of one integration, one at a time in the order they were accepted, under a lease that the
// store guards. Any number of integrations are drained side by side, in this and other processes. A drain plans a task
// (what must be written, what is unchanged), sends it in chunks of the size the tool takes, and after each chunk writes
// down what became of it. Before a chunk leaves, an intent on disk says so: whoever comes after a crash knows what may
// have reached the tool. See docs/architecture.md for the picture.
package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Store is what the engine needs of a store.
type Store interface {
	store.Drains
	store.Tasks
	store.Syncs
	Keep(ctx context.Context, wish store.Wish) (store.Skill, error)
	Work(ctx context.Context, jobs store.Jobs) error
	Expire(ctx context.Context, keep time.Duration, limit int) (int, error)
	Forget(ctx context.Context, keep time.Duration, limit int) (int, error)
	RemoveInteractions(ctx context.Context, keep time.Duration, limit int) (int, error)
	ForgetLinks(ctx context.Context, keep time.Duration, limit int) (int, error)
	EraseSome(ctx context.Context, limit int) (store.Erasing, error)
	Record(ctx context.Context, entry store.AuditEntry) (store.AuditEntry, error)
	IndexNames(ctx context.Context, limit int) (int, error)
}

// Settings of an Engine. Zero values mean the defaults named beside them.
type Settings struct {
	// TaskTimeout is how long after its acceptance a task ends, come what may. 24 h.
	TaskTimeout time.Duration
	// MostWaiting is how many items an integration's unfinished tasks may have together. 1,000,000.
	MostWaiting int
	// Passive is for a process that accepts tasks and leaves them to others: it drains nothing.
	Passive bool
	// Drains is how many integrations this process works on at once. 64.
	Drains int
	// Slice is how long a drain works before it yields its place to another integration that waits. 20 s.
	Slice time.Duration
	// LeaseTTL is how long a lease outlives the last sign of life of its holder; Heartbeat is the time between such
	// signs. 6 s and 2 s.
	LeaseTTL, Heartbeat time.Duration
	// Sweep is how often the safety net looks for work nobody was woken for. 1 s.
	Sweep time.Duration
	// Attempts is how often in a row a tool may be away or throttling before the task is given up. 10.
	Attempts int
	// Backoff is the wait after the first failed attempt; it doubles up to BackoffMost. 500 ms and 1 min: ten attempts
	// outlast an absence of about three minutes.
	Backoff, BackoffMost time.Duration
	// Patience is the longest wait during which a drain keeps its place. 2 s.
	Patience time.Duration
	// CallTimeout bounds one call of a tool. 2 min.
	CallTimeout time.Duration
	// JobTimeout is how long a tool may work on a job of its own before nobody asks after it any more. 1 h.
	JobTimeout time.Duration
	// Grace is how long calls may go on once the engine is told to stop. 8 s.
	Grace time.Duration
	// SyncEvery is how often each integration's tool is read back; 0 is only when somebody asks for it.
	SyncEvery time.Duration
	// KeepTasks is how long a task is kept after its end; for KeepTombstones after that it is known that there was one.
	// What is too old is looked for every RetainEvery. 30 d, 365 d and 1 h.
	KeepTasks, KeepTombstones, RetainEvery time.Duration
	// KeepLogs is how long interactions are kept. 14 d.
	KeepLogs time.Duration
}

func (s Settings) withDefaults() Settings {
	for _, d := range []struct {
		at        *time.Duration
		otherwise time.Duration
	}{
		{&s.TaskTimeout, 24 * time.Hour},
		{&s.Slice, 20 * time.Second},
		{&s.LeaseTTL, 6 * time.Second},
		{&s.Heartbeat, 2 * time.Second},
		{&s.Sweep, time.Second},
		{&s.Backoff, 500 * time.Millisecond},
		{&s.BackoffMost, time.Minute},
		{&s.Patience, 2 * time.Second},
		{&s.CallTimeout, 2 * time.Minute},
		{&s.JobTimeout, time.Hour},
		{&s.Grace, 8 * time.Second},
		{&s.KeepTasks, 30 * 24 * time.Hour},
		{&s.KeepTombstones, 365 * 24 * time.Hour},
		{&s.RetainEvery, time.Hour},
		{&s.KeepLogs, 14 * 24 * time.Hour},
	} {
		if *d.at == 0 {
			*d.at = d.otherwise
		}
	}
	if s.MostWaiting == 0 {
		s.MostWaiting = 1_000_000
	}
	if s.Drains == 0 {
		s.Drains = 64
	}
	if s.Attempts == 0 {
		s.Attempts = 10
	}
	return s
}

// Config is what an Engine is made of.
type Config struct {
	Store      Store
	Connectors *connector.Registry
	Logger     *slog.Logger
	Metrics    *metrics.Metrics // nil counts nothing
	Settings   Settings
	// Account makes a connector's account of an integration: its credentials opened, a client for its requests. The settings
	// as they are if nil. ErrNotHere leaves the integration to another process.
	Account func(in store.Integration) (connector.Account, error)
	// Interactions follows what calls of tools lead to; nil keeps nothing of it. LogPages is where people look at one.
	Interactions *interactions.Log
	LogPages     skill.LogPages
}

// ErrNotHere: this process cannot work on the integration, and another one may.
var ErrNotHere = errors.New("not in this process")

// Engine accepts tasks and drains integrations.
type Engine struct {
	store        Store
	connectors   *connector.Registry
	log          *slog.Logger
	metrics      *metrics.Metrics
	set          Settings
	account      func(in store.Integration) (connector.Account, error)
	interactions *interactions.Log
	pages        skill.LogPages
	owner        string // this process, in leases

	schedule *schedule
	leases   *leases
	// batches remembers how many skills each integration takes in a call, as a hint for the next claim.
	batches sync.Map
	// away says until when an integration is left to other processes (ErrNotHere).
	away sync.Map
	// alone says how long tools asked to be left alone, as far as the database was not told (*alone by integration).
	alone sync.Map
	// recent tasks are answered for without the database.
	recent *recent
	// syncs are those whose time has come.
	syncs dueSyncs
}

// New makes an engine. It accepts tasks at once and drains while Run runs.
func New(c Config) *Engine {
	e := &Engine{
		store: bounded{c.Store}, connectors: c.Connectors, log: c.Logger, metrics: c.Metrics, set: c.Settings.withDefaults(),
		account: c.Account, interactions: c.Interactions, pages: c.LogPages, owner: skill.NewID(time.Now()),
	}
	if e.account == nil {
		e.account = func(in store.Integration) (connector.Account, error) {
			return connector.Account{ID: in.ID, Settings: in.Settings}, nil
		}
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.schedule = newSchedule(e.set.Drains, e.attend)
	e.leases = &leases{held: map[int64]*lease{}}
	e.recent = &recent{tasks: map[string]recentTask{}}
	return e
}

// Submit accepts a task: when it returns, the task is on disk. Errors are those of store.Submit.
func (e *Engine) Submit(ctx context.Context, s store.Submission) (store.Accepted, error) {
	s.Timeout, s.MostWaiting = e.set.TaskTimeout, e.set.MostWaiting
	s.Elsewhere = e.set.Passive || e.schedule.full()
	// A place of its own lets an integration that rests be leased with the same transaction.
	var place *place
	if !s.Elsewhere && e.leftToOthers(s.IntegrationID) <= 0 {
		place = e.schedule.reserve(s.IntegrationID)
	}
	if place != nil {
		s.Claim = &store.Claim{Owner: e.owner, TTL: e.set.LeaseTTL, OpenUpTo: e.batchHint(s.IntegrationID)}
	}
	asked, kept := time.Now(), false
	// A place is not lost to a store that panics. A lease of which no answer came is nobody's until it runs out.
	defer func() {
		if place != nil && !kept {
			place.free()
		}
	}()
	task, err := e.store.Submit(ctx, s)
	if err != nil {
		return store.Accepted{}, err
	}
	kept = true
	e.metrics.TaskAccepted()
	switch {
	case place == nil:
		e.wake(s.IntegrationID, whenever, metrics.WokenBySubmit)
	case task.Leased == nil:
		e.metrics.Woken(metrics.WokenBySubmit)
		place.start(func(ctx context.Context) again { return e.drain(ctx, s.IntegrationID, false) })
	default:
		e.metrics.Woken(metrics.WokenBySubmit)
		if task.Leased.Next.Opened {
			e.recent.began(s.EnvironmentID, s.IntegrationID, store.TaskView{Task: task.Task, Items: len(s.Items)})
		}
		place.start(func(ctx context.Context) again {
			defer e.recent.stale(task.ID)
			return e.drainLeased(ctx, *task.Leased, asked)
		})
	}
	return task, nil
}

func (e *Engine) wake(integrationID string, how urgency, by string) {
	if !e.set.Passive && e.schedule.wake(integrationID, how) {
		e.metrics.Woken(by)
	}
}

// Run drains until ctx ends. Then it begins nothing new, gives calls that are under way Settings.Grace to be answered and
// checkpointed, and cuts the rest: their intents stay open on disk for the next process. A passive engine only waits.
func (e *Engine) Run(ctx context.Context) error {
	if e.set.Passive {
		<-ctx.Done()
		return nil
	}
	// Who it is that leases in the database name.
	e.log.Info("draining", "owner", e.owner)
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var group sync.WaitGroup
	var listening error
	e.schedule.start(background)
	for _, part := range []func(){
		func() { e.heartbeats(background) },
		func() { e.sweeps(background) },
		func() { e.erases(background) },
		func() { e.indexNames(background) },
		func() {
			// What it would wake begins nothing any more once ctx has ended, so it ends beside the last calls.
			listening = e.store.Work(ctx, store.Jobs{
				Wake:   func(id string) { e.wake(id, whenever, metrics.WokenByQueue) },
				Retain: e.retain, RetainEvery: e.set.RetainEvery,
			})
		},
	} {
		group.Go(part)
	}
	<-ctx.Done()
	e.schedule.stop(e.set.Grace)
	stop()
	group.Wait()
	if listening != nil && !errors.Is(listening, context.Canceled) {
		return fmt.Errorf("engine: %w", listening)
	}
	return nil
}

// sweeps is the safety net under all wake-ups, and ends tasks whose time is up while no drain has them.
func (e *Engine) sweeps(ctx context.Context) {
	trouble := trouble{log: e.log, begins: "sweep failed; it is tried again until it does not", ends: "sweep succeeded again"}
	for {
		trouble.note(ctx, e.sweep(ctx))
		// Jitter keeps replicas from asking in step.
		if !sleep(ctx, e.set.Sweep-rand.N(e.set.Sweep/4+1)) {
			return
		}
	}
}

// trouble is something that is tried again and again. The log is told when it begins to fail and when that is over.
type trouble struct {
	log          *slog.Logger
	begins, ends string
	failing      bool
}

// note takes how one try went. What fails because the process stops says nothing.
func (t *trouble) note(ctx context.Context, err error, more ...any) {
	switch {
	case ctx.Err() != nil:
	case err != nil && !t.failing:
		t.failing = true
		t.log.Warn(t.begins, append(more, "error", err)...) //nolint:sloglint // its owner has a constant
	case err == nil && t.failing:
		t.failing = false
		t.log.Info(t.ends) //nolint:sloglint // likewise
	}
}

// sweepMost bounds what one sweep takes on; the next one goes on.
const sweepMost = 1000

func (e *Engine) sweep(ctx context.Context) error {
	drains, err := e.store.Due(ctx, sweepMost)
	if err != nil {
		return err
	}
	for _, d := range drains {
		how := due
		if d.Overdue {
			how = overdue
		}
		e.wake(d.IntegrationID, how, metrics.WokenBySweep)
	}
	if err := e.sweepSyncs(ctx); err != nil {
		return err
	}
	tasks, now, err := e.store.Overdue(ctx, sweepMost)
	if err != nil || len(tasks) == 0 {
		return err
	}
	return e.failTasks(ctx, tasks, now, skill.CodeTaskTimedOut, e.timedOut())
}

func (e *Engine) timedOut() string {
	return fmt.Sprintf("The task was not finished within %s of its submission.", readable(e.set.TaskTimeout))
}

// failTasks ends tasks that no drain has taken up.
func (e *Engine) failTasks(ctx context.Context, tasks []store.WaitingTask, now time.Time, code skill.Code, message string) error {
	failed := make([]store.FailedTask, len(tasks))
	for i, t := range tasks {
		failed[i] = store.FailedTask{Ref: t.Ref, CompletedAt: now, Document: skill.FailedDocument(t.Task, now, code, message, "")}
	}
	ended, err := e.store.FailTasks(ctx, failed)
	if err != nil {
		return err
	}
	items := 0
	for _, t := range tasks {
		if slices.Contains(ended, t.Ref) {
			items += t.Items
		}
	}
	e.metrics.TaskEnded(skill.Failed.String(), len(ended))
	e.metrics.Items(skill.NotAttempted.String(), items)
	return nil
}

// sleep waits, unless ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// readable writes a duration for people: no "0s" behind whole hours and minutes.
func readable(d time.Duration) string {
	switch {
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	default:
		return d.String()
	}
}
