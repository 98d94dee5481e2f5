package engine_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
)

// The tests run in a bubble of package synctest: the store is real, the time is not. A wait of an hour takes no time, and
// "nothing happens within ten minutes" can be said.

// fixture is a store with an environment, and the engine that runs on it.
type fixture struct {
	t     *testing.T
	store store.Store
	env   string
	// tools are the connectors of engines started from now on; the sandbox if nil.
	tools []connector.Connector
	// around wraps the store for engines started from now on.
	around func(engine.Store) engine.Store
	// account is engine.Config.Account of engines started from now on.
	account func(store.Integration) (connector.Account, error)

	// log is where engines started from now on log to; the test's output if nil.
	log io.Writer
	// metrics of engines started from now on; may be nil.
	metrics *metrics.Metrics
	// interactions and pages of engines started from now on; nothing is logged if nil.
	interactions *interactions.Log
	pages        skill.LogPages

	engine *engine.Engine
	stop   func()
	// rest waits for what still uses the store; may be nil.
	rest func()
}

// quiet settings: no waiting in real life, and few enough wake-ups that hours pass quickly.
func settings() engine.Settings {
	return engine.Settings{
		TaskTimeout: time.Hour, Sweep: 5 * time.Second, Attempts: 4, Backoff: time.Second, BackoffMost: 10 * time.Second,
		CallTimeout: time.Minute,
	}
}

// backend is a kind of store that the tests run on.
type backend struct {
	name string
	// prepare is called in real time, before a test's bubble begins. What it returns opens fresh and empty stores in the
	// bubble, whose clock is now; whoever opens one closes it.
	prepare func(t testing.TB) func(t testing.TB, now func() time.Time) store.Store
}

func backends() []backend {
	return []backend{
		{"sqlite", func(t testing.TB) func(testing.TB, func() time.Time) store.Store {
			sqlitetest.Prepare(t)
			dir, n := t.TempDir(), 0
			return func(t testing.TB, now func() time.Time) store.Store {
				n++
				return sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(dir, fmt.Sprint(n, ".db")), Now: now})
			}
		}},
		{"postgres", func(t testing.TB) func(testing.TB, func() time.Time) store.Store {
			pgtest.Prepare(t)
			return func(t testing.TB, now func() time.Time) store.Store { return pgtest.Open(t, pgtest.Reused(t), now) }
		}},
	}
}

// onEach runs a test in a bubble on each kind of store, as a subtest of its name.
func onEach(t *testing.T, test func(t *testing.T, open func(testing.TB, func() time.Time) store.Store)) {
	t.Parallel()
	for _, b := range backends() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			open := b.prepare(t)
			synctest.Test(t, func(t *testing.T) { test(t, open) })
		})
	}
}

// run runs a test in a bubble on each kind of store, with an engine unless set is nil.
func run(t *testing.T, set *engine.Settings, test func(t *testing.T, f *fixture)) {
	runBy(t, time.Now, set, test)
}

// runBy is run with a clock of the database's own.
func runBy(t *testing.T, now func() time.Time, set *engine.Settings, test func(t *testing.T, f *fixture)) {
	onEach(t, func(t *testing.T, open func(testing.TB, func() time.Time) store.Store) {
		f := &fixture{t: t, store: open(t, now)}
		env, err := f.store.Environment(t.Context(), store.DefaultEnvironment)
		if err != nil {
			t.Fatal(err)
		}
		f.env = env.ID
		defer func() {
			if f.stop != nil {
				f.stop()
			}
			if f.rest != nil {
				f.rest()
			}
			if err := f.store.Close(); err != nil {
				t.Error(err)
			}
		}()
		if set != nil {
			f.start(*set)
		}
		test(t, f)
	})
}

// deaf is a store without the job queue: its polling would fill the hours of a bubble, and correctness must not rest on
// it anyway.
type deaf struct{ engine.Store }

func (deaf) Work(ctx context.Context, _ store.Jobs) error {
	<-ctx.Done()
	return nil
}

// start starts an engine; f.stop stops it.
func (f *fixture) start(set engine.Settings) {
	f.t.Helper()
	tools := f.tools
	if tools == nil {
		tools = []connector.Connector{sandbox.New(f.store.Sandbox())}
	}
	var st engine.Store = deaf{f.store}
	if f.around != nil {
		st = f.around(st)
	}
	log := f.log
	if log == nil {
		log = f.t.Output()
	}
	e := engine.New(engine.Config{
		Store: st, Connectors: connector.NewRegistry(tools...), Settings: set, Metrics: f.metrics, Account: f.account,
		Interactions: f.interactions, LogPages: f.pages,
		Logger: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var once sync.Once
	f.engine = e
	f.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				f.t.Errorf("engine: %v", err)
			}
		})
	}
	synctest.Wait()
}

func (f *fixture) integration(settings string) store.Integration {
	return f.integrationWith("sandbox", settings)
}

func (f *fixture) integrationWith(tool, settings string) store.Integration {
	f.t.Helper()
	in, err := f.store.CreateIntegration(f.t.Context(), store.Integration{
		EnvironmentID: f.env, Tool: tool, Settings: []byte(settings), EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return in
}

func (f *fixture) change(in store.Integration, settings string) {
	f.t.Helper()
	if _, err := f.store.SetSettings(f.t.Context(), in.ID, []byte(settings)); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) enable(in store.Integration, on bool) {
	f.t.Helper()
	if _, err := f.store.SetEnabled(f.t.Context(), in.ID, on); err != nil {
		f.t.Fatal(err)
	}
}

func active(names ...string) []skill.Item {
	list := make([]skill.Item, len(names))
	for i, name := range names {
		list[i] = skill.Item{OriginID: "id-" + name, Name: name, Status: skill.Active}
	}
	return list
}

func many(n int) []skill.Item {
	list := make([]skill.Item, n)
	for i := range list {
		list[i] = skill.Item{OriginID: fmt.Sprintf("skill-%d", i), Name: fmt.Sprintf("Skill %d", i), Status: skill.Active}
	}
	return list
}

func (f *fixture) submit(in store.Integration, items ...skill.Item) string {
	f.t.Helper()
	task, err := f.engine.Submit(f.t.Context(), store.Submission{
		EnvironmentID: f.env, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: items,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return task.ID
}

func (f *fixture) view(in store.Integration, taskID string) store.TaskView {
	f.t.Helper()
	view, err := f.store.Task(f.t.Context(), f.env, in.ID, taskID)
	if err != nil {
		f.t.Fatal(err)
	}
	return view
}

// ended waits for a task's end, in the bubble's time.
func (f *fixture) ended(in store.Integration, taskID string) result {
	f.t.Helper()
	limit := time.Now().Add(26 * time.Hour)
	for step := time.Millisecond; ; step = min(2*step, time.Minute) {
		view := f.view(in, taskID)
		if view.Status != skill.Pending {
			return parse(f.t, view)
		}
		if time.Now().After(limit) {
			f.t.Fatalf("task %s is pending for ever: %+v", taskID, view)
		}
		wait(step)
	}
}

func wait(d time.Duration) { <-time.After(d) }

// result is a task's document, taken apart.
type result struct {
	Status string
	Code   string // of a failed task
	Text   string
	Items  []item
	Took   time.Duration
}

type item struct{ OriginID, ID, Code, Text string }

func parse(t *testing.T, view store.TaskView) result {
	t.Helper()
	return parseDocument(t, view)
}

// failer is what *testing.T and *rapid.T have in common.
type failer interface {
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func parseDocument(t failer, view store.TaskView) result {
	var doc struct {
		Data struct {
			Status      string    `json:"status"`
			CreatedAt   time.Time `json:"created_at"`
			CompletedAt time.Time `json:"completed_at"`
			Error       struct{ Code, Message string }
			Data        []struct {
				OriginID string `json:"origin_id"`
				Status   string
				Data     struct{ ID string }
				Error    struct{ Code, Message string }
			}
		}
	}
	if err := json.Unmarshal(view.Document, &doc); err != nil {
		t.Fatalf("%v: %s", err, view.Document)
	}
	d := doc.Data
	if d.Status != view.Status.String() {
		t.Errorf("the document says %s, the task is %s", d.Status, view.Status)
	}
	r := result{Status: d.Status, Code: d.Error.Code, Text: d.Error.Message, Took: d.CompletedAt.Sub(d.CreatedAt)}
	var counts skill.Counts
	for _, it := range d.Data {
		r.Items = append(r.Items, item{it.OriginID, it.Data.ID, it.Error.Code, it.Error.Message})
		if (it.Status == "SUCCEEDED") != skill.IsID(it.Data.ID) || (it.Status == "FAILED") != (it.Error.Code != "") {
			t.Errorf("entry %+v", it)
		}
		if it.Status == "FAILED" {
			counts.Failed++
		}
	}
	if d.Status == "COMPLETED" && (len(r.Items) != view.Items || counts.Failed != view.Counts.Failed) {
		t.Errorf("%d entries with %d failures, the task counts %d with %+v", len(r.Items), counts.Failed, view.Items, view.Counts)
	}
	return r
}

// codes are the items' error codes in order; "" for those that succeeded.
func (r result) codes() []string {
	codes := make([]string, len(r.Items))
	for i, it := range r.Items {
		codes[i] = it.Code
	}
	return codes
}

func (r result) want(t *testing.T, status string, codes ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %s (%s %s), want %s", r.Status, r.Code, r.Text, status)
	}
	if diff := cmp.Diff(codes, r.codes()); len(codes) > 0 && diff != "" {
		t.Errorf("codes (-want +got):\n%s%+v", diff, r.Items)
	}
}

func (r result) wantFailed(t *testing.T, code skill.Code) {
	t.Helper()
	if r.Status != "FAILED" || r.Code != string(code) || r.Text == "" {
		t.Errorf("%s %s %q, want FAILED %s", r.Status, r.Code, r.Text, code)
	}
}

// tool reads the sandbox's own catalogue.
func (f *fixture) tool(in store.Integration) map[string]sandbox.Record {
	f.t.Helper()
	list, err := f.store.Sandbox().List(f.t.Context(), in.ID, 0, 1_000_000)
	if err != nil {
		f.t.Fatal(err)
	}
	by := map[string]sandbox.Record{}
	for _, r := range list {
		by[r.ExternalID] = r
	}
	if len(by) != len(list) {
		f.t.Errorf("the tool holds a skill twice: %d records of %d", len(list), len(by))
	}
	return by
}

// holds checks that the tool holds exactly these items.
func (f *fixture) holds(in store.Integration, items []skill.Item) {
	f.t.Helper()
	got := map[string]skill.Item{}
	for id, r := range f.tool(in) {
		status := skill.Inactive
		if r.Active {
			status = skill.Active
		}
		got[id] = skill.Item{OriginID: id, Name: r.Name, Status: status}
	}
	want := map[string]skill.Item{}
	for _, it := range items {
		want[it.OriginID] = it
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.t.Errorf("what the tool holds (-want +got):\n%s", diff)
	}
}

// writes sums how often the tool wrote a skill.
func (f *fixture) writes(in store.Integration) int {
	n := 0
	for _, r := range f.tool(in) {
		n += r.Writes
	}
	return n
}

// gate lets everybody pass until it is closed; who comes then waits, whatever its context says.
type gate struct {
	mu     sync.Mutex
	closed chan struct{}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed == nil {
		g.closed = make(chan struct{})
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	closed := g.closed
	g.mu.Unlock()
	if closed != nil {
		<-closed
	}
}

// mortal is a store that its engine loses at some point, as if the process had died: from then on nothing works. It may
// also be suspended for a while.
type mortal struct {
	engine.Store
	dead atomic.Bool
	// before is asked before every operation; true kills.
	before atomic.Pointer[func(op string) bool]
	// after is asked after every operation that was done; true kills, and the caller never learns of it.
	after atomic.Pointer[func(op string) bool]

	// suspended holds up whatever the process does; asks what a connector asks its tool before it checks whether it may
	// send; writes what it is sending, the check being behind it.
	suspended, asks, writes gate
}

var errDead = errors.New("this process is dead")

// suspend stops the process where it is: SIGSTOP.
func (m *mortal) suspend() {
	m.suspended.close()
	m.asks.close()
	m.writes.close()
}

// resume has the process go on: what was about to be written is, then come all the timers that are late.
func (m *mortal) resume() {
	m.writes.open()
	m.asks.open()
	synctest.Wait()
	m.suspended.open()
}

func (m *mortal) alive(op string) error {
	m.suspended.pass()
	return m.begin(op)
}

func (m *mortal) begin(op string) error {
	if f := m.before.Load(); f != nil && (*f)(op) {
		m.dead.Store(true)
	}
	if m.dead.Load() {
		return errDead
	}
	return nil
}

func (m *mortal) done(op string, err error) error {
	if f := m.after.Load(); err == nil && f != nil && (*f)(op) {
		m.dead.Store(true)
	}
	if m.dead.Load() {
		return errDead
	}
	return err
}

func (m *mortal) Claim(ctx context.Context, c store.Claim) (store.Lease, store.Next, error) {
	if err := m.alive("claim"); err != nil {
		return store.Lease{}, store.Next{}, err
	}
	lease, next, err := m.Store.Claim(ctx, c)
	return lease, next, m.done("claim", err)
}

func (m *mortal) Extend(ctx context.Context, owner string, held []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	if err := m.alive("extend"); err != nil {
		return nil, err
	}
	states, err := m.Store.Extend(ctx, owner, held, ttl)
	return states, m.done("extend", err)
}

func (m *mortal) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	if err := m.alive("advance"); err != nil {
		return store.Next{}, err
	}
	next, err := m.Store.Advance(ctx, lease, step)
	return next, m.done("advance", err)
}

func (m *mortal) Items(ctx context.Context, task int64, start int) ([]skill.Item, error) {
	if err := m.alive("items"); err != nil {
		return nil, err
	}
	return m.Store.Items(ctx, task, start)
}

func (m *mortal) Outcomes(ctx context.Context, task int64) ([]store.Run, error) {
	if err := m.alive("outcomes"); err != nil {
		return nil, err
	}
	return m.Store.Outcomes(ctx, task)
}

func (m *mortal) Skills(ctx context.Context, lease store.Lease, ids []string) ([]store.SkillState, error) {
	if err := m.alive("skills"); err != nil {
		return nil, err
	}
	return m.Store.Skills(ctx, lease, ids)
}

func (m *mortal) Contents(ctx context.Context, lease store.Lease, ids []string) ([]skill.Item, error) {
	if err := m.alive("contents"); err != nil {
		return nil, err
	}
	return m.Store.Contents(ctx, lease, ids)
}

func (m *mortal) Doubt(ctx context.Context, d store.Doubt) error {
	if err := m.alive("doubt"); err != nil {
		return err
	}
	return m.done("doubt", m.Store.Doubt(ctx, d))
}

func (m *mortal) Due(ctx context.Context, limit int) ([]store.DueDrain, error) {
	if err := m.alive("due"); err != nil {
		return nil, err
	}
	return m.Store.Due(ctx, limit)
}

func (m *mortal) Overdue(ctx context.Context, limit int) ([]store.WaitingTask, time.Time, error) {
	if err := m.alive("overdue"); err != nil {
		return nil, time.Time{}, err
	}
	return m.Store.Overdue(ctx, limit)
}

func (m *mortal) Waiting(ctx context.Context, lease store.Lease, limit int) ([]store.WaitingTask, error) {
	if err := m.alive("waiting"); err != nil {
		return nil, err
	}
	return m.Store.Waiting(ctx, lease, limit)
}

func (m *mortal) FailTasks(ctx context.Context, tasks []store.FailedTask) ([]int64, error) {
	if err := m.alive("fail"); err != nil {
		return nil, err
	}
	return m.Store.FailTasks(ctx, tasks)
}

func (m *mortal) CancelTask(
	ctx context.Context, environmentID, taskID string, document func(skill.Task, time.Time) []byte,
) (store.Cancelled, error) {
	if err := m.alive("cancel"); err != nil {
		return store.Cancelled{}, err
	}
	c, err := m.Store.CancelTask(ctx, environmentID, taskID, document)
	return c, m.done("cancel", err)
}

// reach is the sandbox's catalogue as a mortal process gets at it.
type reach struct {
	sandbox.Catalogue
	m *mortal
	// note is told what was written.
	note func(rows []sandbox.Row)
}

func (c *reach) Write(ctx context.Context, account string, rows []sandbox.Row) ([]int64, error) {
	c.m.writes.pass() // the request is on its way, whatever the context says now
	if err := c.m.begin("write"); err != nil {
		return nil, err
	}
	seqs, err := c.Catalogue.Write(context.WithoutCancel(ctx), account, rows)
	c.note(rows)
	return seqs, c.m.done("write", err)
}

func (c *reach) Holders(ctx context.Context, account string, names []string) (map[string]string, error) {
	c.m.asks.pass()
	return c.Catalogue.Holders(ctx, account, names)
}

func (c *reach) Admit(ctx context.Context, account string, limit int, window time.Duration) (time.Duration, error) {
	c.m.asks.pass()
	return c.Catalogue.Admit(ctx, account, limit, window)
}

func (c *reach) Steps(ctx context.Context, account string, ids []string) ([]int, error) {
	c.m.asks.pass()
	return c.Catalogue.Steps(ctx, account, ids)
}

type engineStore = engine.Store

// flaky is a store whose nth operation of a kind fails, once.
type flaky struct {
	mortal
	op  string
	nth int

	mu   sync.Mutex
	seen int
}

var errFlaky = errors.New("the database hiccups")

func (f *flaky) hiccup(op string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != f.op {
		return nil
	}
	f.seen++
	if f.seen == f.nth+1 {
		return errFlaky
	}
	return nil
}

func (f *flaky) Claim(ctx context.Context, c store.Claim) (store.Lease, store.Next, error) {
	if err := f.hiccup("claim"); err != nil {
		return store.Lease{}, store.Next{}, err
	}
	return f.Store.Claim(ctx, c)
}

func (f *flaky) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	if err := f.hiccup("advance"); err != nil {
		return store.Next{}, err
	}
	return f.Store.Advance(ctx, lease, step)
}

func (f *flaky) Extend(ctx context.Context, owner string, held []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	if err := f.hiccup("extend"); err != nil {
		return nil, err
	}
	return f.Store.Extend(ctx, owner, held, ttl)
}

func (f *flaky) Items(ctx context.Context, task int64, start int) ([]skill.Item, error) {
	if err := f.hiccup("items"); err != nil {
		return nil, err
	}
	return f.Store.Items(ctx, task, start)
}

func (f *flaky) Skills(ctx context.Context, lease store.Lease, ids []string) ([]store.SkillState, error) {
	if err := f.hiccup("skills"); err != nil {
		return nil, err
	}
	return f.Store.Skills(ctx, lease, ids)
}
