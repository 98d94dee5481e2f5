package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// outages is how often each way in which a database can be away is gone through; make soak asks for more.
var outages = flag.Int("outages", 1, "how often a database is away in each way")

const (
	// answeredIn is how long a request takes at most while the database fails.
	answeredIn = 5 * time.Second
	// goesOnIn is how long after the database's return the work has gone on.
	goesOnIn = 5 * time.Second
)

// load is what two processes are asked while their database fails: one integration has a task that takes long, and is
// polled; another gets small tasks, as fast as they are taken.
type load struct {
	t           *testing.T
	sites       []*site
	long, small *sender
	watch       *watch
	stop        context.CancelFunc
	group       sync.WaitGroup

	mu   sync.Mutex
	task string // the long one
}

// startLoad starts the processes, and asks them until end is called.
func startLoad(t *testing.T, sites ...*site) *load {
	t.Helper()
	for _, s := range sites {
		s.start()
	}
	l := &load{t: t, sites: sites, watch: newWatch(t)}
	l.long = &sender{t: t, c: l.watched(0, "batch_limit=50", "latency=20ms")}
	l.small = &sender{t: t, c: l.watched(len(sites)-1, "latency=5ms")}
	ctx, cancel := context.WithCancel(t.Context())
	l.stop = cancel
	l.submitLong(0)
	l.group.Go(func() {
		for round := 1; ctx.Err() == nil; {
			task, err := l.long.c.Task(ctx, l.current())
			if err == nil && task.Ended() {
				l.submitLong(round)
				round++
			}
			pause(ctx, 20*time.Millisecond)
		}
	})
	l.group.Go(func() {
		for round := 0; ctx.Err() == nil; round++ {
			l.small.submit(items(10, fmt.Sprint("round ", round)))
			pause(ctx, 20*time.Millisecond)
		}
	})
	return l
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (l *load) watched(site int, settings ...string) *client.Client {
	c := l.sites[site].client(settings...)
	c.HTTP = &http.Client{Transport: l.watch, Timeout: time.Minute}
	return c
}

func (l *load) submitLong(round int) {
	l.long.submit(items(4000, fmt.Sprint("round ", round)))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.task = l.long.accepted[len(l.long.accepted)-1].id
}

func (l *load) current() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.task
}

// progress is how far the long task is: it is another one when it began anew.
func (l *load) progress(ctx context.Context) (task string, done int, err error) {
	id := l.current()
	state, err := l.long.c.Task(ctx, id)
	return id, state.Progress.Done, err
}

// goesOn wants the long task to move, and a small one to be taken, in time.
func (l *load) goesOn(after string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), goesOnIn)
	defer cancel()
	began := time.Now()
	taken := l.watch.taken()
	var task string
	done := -1
	for {
		now, n, err := l.progress(ctx)
		switch {
		case ctx.Err() != nil:
			l.t.Errorf("after %s: the work does not go on within %v", after, goesOnIn)
			return
		case err != nil:
		case done < 0:
			task, done = now, n
		case (now != task || n > done) && l.watch.taken() > taken:
			l.t.Logf("after %s: the work goes on after %v", after, time.Since(began).Round(time.Millisecond))
			return
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// end stops asking, and wants everything that was accepted to be carried out.
func (l *load) end() {
	l.t.Helper()
	l.stop()
	l.group.Wait()
	l.watch.end()
	for _, snd := range []*sender{l.long, l.small} {
		snd.check(l.sites[0])
	}
	for _, s := range l.sites {
		s.terminate()
	}
}

// watch looks at each answer: it must come in time, and be 200 or 503 with the envelope and Retry-After.
type watch struct {
	t *testing.T

	mu       sync.Mutex
	accepted int // submissions
	refused  int
	slowest  time.Duration
	wrong    []string
}

func newWatch(t *testing.T) *watch { return &watch{t: t} }

func (w *watch) RoundTrip(request *http.Request) (*http.Response, error) {
	began := time.Now()
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		if request.Context().Err() == nil {
			w.note(fmt.Sprintf("%s: %v", request.Method, err))
		}
		return nil, err
	}
	content, err := io.ReadAll(response.Body)
	_ = response.Body.Close() // it was read
	response.Body = io.NopCloser(bytes.NewReader(content))
	if err != nil {
		w.note(fmt.Sprintf("%s: %v", request.Method, err))
		return response, nil
	}
	took := time.Since(began)
	var envelope struct {
		Status string `json:"status"`
		Error  struct {
			Code, Message string
		} `json:"error"`
	}
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusServiceUnavailable:
		if json.Unmarshal(content, &envelope) != nil || envelope.Status != "error" || envelope.Error.Message == "" || response.Header.Get("Retry-After") == "" {
			w.note(fmt.Sprintf("%s: 503 with Retry-After %q and %s", request.Method, response.Header.Get("Retry-After"), content))
		}
	default:
		w.note(fmt.Sprintf("%s: %s: %s", request.Method, response.Status, content))
	}
	if took > answeredIn {
		w.note(fmt.Sprintf("%s: %s after %v: %s", request.Method, response.Status, took, content[:min(200, len(content))]))
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.slowest = max(w.slowest, took)
	switch {
	case response.StatusCode != http.StatusOK:
		w.refused++
	case request.Method == http.MethodPost:
		w.accepted++
	}
	return response, nil
}

func (w *watch) note(wrong string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, wrong)
}

// refusals is how many requests were refused.
func (w *watch) refusals() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.refused
}

// taken is how many submissions were.
func (w *watch) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.accepted
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.t.Logf("%d submissions were taken, %d requests were refused, the slowest answer took %v", w.accepted, w.refused, w.slowest.Round(time.Millisecond))
	if w.refused == 0 {
		w.t.Error("no request was refused: the faults were none")
	}
	for i, wrong := range w.wrong {
		if i == 5 {
			w.t.Errorf("and %d more", len(w.wrong)-i)
			break
		}
		w.t.Error(wrong)
	}
}

// TestPostgreSQLRestarts stops PostgreSQL in every way while it is used, and starts it again.
func TestPostgreSQLRestarts(t *testing.T) {
	t.Parallel()
	c := pgtest.NewCluster(t, pgtest.Options{})
	url := c.Database("crosswalk")
	l := startLoad(t, newSiteOn(t, url, url), newSiteOn(t, url, url))
	faults := []struct {
		name string
		stop func()
		away time.Duration
	}{
		{"a fast restart", func() { c.Stop(pgtest.Fast) }, 0},
		{"an immediate restart", func() { c.Stop(pgtest.Immediate) }, time.Second},
		{"a kill", c.Kill, 0},
		// Longer than a lease.
		{"a long absence", func() { c.Stop(pgtest.Fast) }, 7 * time.Second},
	}
	for range *outages {
		for _, fault := range faults {
			l.goesOn("nothing, before " + fault.name)
			fault.stop()
			pause(t.Context(), fault.away)
			c.Start()
			l.goesOn(fault.name)
		}
		rand.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	}
	l.end()
}

// TestTheNetworkToPostgreSQLFails breaks the connections to PostgreSQL in every way while they are used. It is not beside the other
// tests: what it promises is within some seconds by the clock, whatever the machine.
func TestTheNetworkToPostgreSQLFails(t *testing.T) {
	url := pgtest.Database(t)
	p := pgtest.NewProxy(t, url)
	l := startLoad(t, newSiteOn(t, url, p.URL()), newSiteOn(t, url, p.URL()))
	faults := []struct {
		name  string
		begin func()
		last  time.Duration
	}{
		{"a cut", p.Cut, 0},
		{"a refusal", func() { p.Refuse(); p.Cut() }, 2 * time.Second},
		{"a delay", func() { p.Delay(300 * time.Millisecond) }, 2 * time.Second},
		// Half-open: nobody is told. Longer than a lease, and what was held arrives late.
		{"lost requests", func() { p.Hold(pgtest.Requests) }, 7 * time.Second},
		{"lost answers", func() { p.Hold(pgtest.Answers) }, 7 * time.Second},
		{"silence", func() { p.Hold(pgtest.Requests, pgtest.Answers) }, 7 * time.Second},
		{"a silence that ends in a cut", func() { p.Hold(pgtest.Requests, pgtest.Answers); pause(t.Context(), 3*time.Second); p.Cut() }, 0},
	}
	for range *outages {
		for _, fault := range faults {
			l.goesOn("nothing, before " + fault.name)
			fault.begin()
			pause(t.Context(), fault.last)
			p.Restore()
			l.goesOn(fault.name)
		}
		rand.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	}
	l.end()
}

// TestTheAnswerToCOMMITIsLost cuts the connection right before the COMMIT of a submission, and right after PostgreSQL has
// carried it out. The caller sees an error both times; the task does not exist in the first case, and is there as a whole
// in the second. A process that drains submits with one statement that commits by itself; one that wakes others has a COMMIT.
func TestTheAnswerToCOMMITIsLost(t *testing.T) {
	t.Parallel()
	type cut struct {
		name string
		arm  func(p *pgtest.Proxy, is func(string) bool) <-chan struct{}
		kept bool
	}
	before := cut{"the COMMIT is lost", (*pgtest.Proxy).CutCommit, false}
	after := cut{"its answer is lost", (*pgtest.Proxy).CutCommitAnswer, true}
	for _, c := range []struct {
		role string
		cuts []cut
	}{
		{"api", []cut{before, after, before, after, before, after}},
		{"all", []cut{after, after, after}},
	} {
		t.Run(c.role, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			p := pgtest.NewProxy(t, url)
			s := newSiteOn(t, url, p.URL())
			s.start("--role", c.role)
			if c.role == "api" {
				worker := newSiteOn(t, url, url)
				worker.start("--role", "worker")
				defer worker.terminate()
			}
			caller := s.client()
			const size = 3000 // more than a block
			name := func(round, i int) string { return fmt.Sprintf("skill-%d-%d", round, i) }
			for round, cut := range c.cuts {
				happened := cut.arm(p, func(statement string) bool { return strings.Contains(statement, "INSERT INTO tasks") })
				list := items(size, "")
				for i := range list {
					list[i].OriginID = name(round, i)
				}
				_, err := caller.UpsertSkills(t.Context(), list)
				var told *client.Error
				if !errors.As(err, &told) || told.HTTPStatus != http.StatusServiceUnavailable || told.RetryAfter == 0 {
					t.Fatalf("%s: %v, want 503 and Retry-After", cut.name, err)
				}
				select {
				case <-happened:
				default:
					t.Fatalf("%s: refused, but not for the cut: %v", cut.name, err)
				}
			}
			// Tasks are worked off in their order: after this one all are.
			last, err := caller.UpsertSkills(t.Context(), []client.Item{{OriginID: "last", Name: "Last"}})
			if err != nil {
				t.Fatal(err)
			}
			if task, err := caller.Wait(t.Context(), last.TaskID, nil); err != nil || task.Status != client.Completed {
				t.Fatalf("%+v, %v", task, err)
			}
			tool := s.tool(caller.IntegrationID)
			for round, cut := range c.cuts {
				there, want := 0, 0
				if cut.kept {
					want = size
				}
				for i := range size {
					if r, ok := tool[name(round, i)]; ok {
						there += r.Writes
					}
				}
				if there != want {
					t.Errorf("round %d, %s: %d of %d skills were written, want %d", round, cut.name, there, size, want)
				}
			}
			s.terminate()
		})
	}
}
