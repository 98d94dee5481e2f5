package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// fleet is a PostgreSQL with any number of processes that serve it.
type fleet struct {
	t        *testing.T
	url      string
	db       *pgxpool.Pool // the test's own way
	replicas []*site
}

// newFleet makes a database and replicas, of which none runs yet.
func newFleet(t *testing.T, replicas int) *fleet {
	t.Helper()
	f := &fleet{t: t, url: pgtest.Database(t)}
	config, err := pgxpool.ParseConfig(f.url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 2
	if f.db, err = pgxpool.NewWithConfig(context.Background(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.db.Close)
	for range replicas {
		f.add()
	}
	return f
}

// add makes one more replica. Its address is known before it runs.
func (f *fleet) add(flags ...string) *site {
	f.t.Helper()
	s := newSiteOn(f.t, f.url, f.url)
	s.url = "http://" + freeAddress(f.t)
	// Many tests share one server, which takes a hundred connections by default.
	s.database = slices.Concat(s.database, []string{"--database-connections", "4"}, flags)
	f.replicas = append(f.replicas, s)
	return s
}

// start starts all replicas at once and waits until they answer.
func (f *fleet) start() {
	f.t.Helper()
	var group sync.WaitGroup
	for _, r := range f.replicas {
		lines := r.begin()
		group.Go(func() { r.ready(lines) })
	}
	group.Wait()
	if f.t.Failed() {
		f.t.FailNow()
	}
}

// idle waits until nothing is left to do, and nothing left behind.
func (f *fleet) idle() {
	f.t.Helper()
	for _, left := range []string{
		"intents", "tasks", "task_items", "task_outcomes", "skills WHERE unsure",
		"drains WHERE wanted OR owner IS NOT NULL OR pending <> 0 OR waiting <> 0",
	} {
		eventually(f.t, time.Minute, "nothing is left in "+left, func() bool { return query[int](f, "SELECT count(*) FROM "+left) == 0 })
	}
}

// terminate ends all replicas when nothing is left to do.
func (f *fleet) terminate() {
	f.t.Helper()
	f.idle()
	for _, r := range f.replicas {
		r.terminate()
	}
}

// name tells replicas apart.
func (f *fleet) name(s *site) string { return fmt.Sprintf("replica %d", slices.Index(f.replicas, s)+1) }

// query reads one value behind the replicas' backs.
func query[T any](f *fleet, sql string, args ...any) T {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var value T
	if err := f.db.QueryRow(ctx, sql, args...).Scan(&value); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// exec changes something behind the replicas' backs.
func (f *fleet) exec(sql string, args ...any) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := f.db.Exec(ctx, sql, args...); err != nil {
		f.t.Fatalf("%s: %v", sql, err)
	}
}

// drainState is what the database says of a drain.
type drainState struct {
	owner string
	epoch int64
	calls int // intents of this epoch
	done  int // items of unfinished tasks that have an outcome
}

func (f *fleet) drain(integration string) drainState {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var d drainState
	err := f.db.QueryRow(ctx, `SELECT coalesce(d.owner, ''), d.epoch,
		(SELECT count(*) FROM intents n WHERE n.integration = d.integration AND n.epoch = d.epoch),
		(SELECT coalesce(sum(t.done), 0) FROM tasks t WHERE t.integration = d.integration)
		FROM drains d JOIN integrations i ON i.seq = d.integration WHERE i.id = $1`, integration).Scan(&d.owner, &d.epoch, &d.calls, &d.done)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

var owners = regexp.MustCompile(`"msg":"draining","owner":"([^"]+)"`)

// holder is the replica that holds the lease of an integration, or nil.
func (f *fleet) holder(integration string) *site {
	f.t.Helper()
	owner := f.drain(integration).owner
	for _, r := range f.replicas {
		if life := owners.FindStringSubmatch(r.log.at(r.born, 16<<10)); life != nil && life[1] == owner {
			return r
		}
	}
	return nil
}

// throttled counts the calls that the tool refused as too many, over all lives of all replicas.
func (f *fleet) throttled() int {
	n := 0
	for _, r := range f.replicas {
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, `"msg":"call failed"`) && strings.Contains(line, `"kind":"throttled"`) {
				n++
			}
		}
	}
	return n
}

// refuses starts a server that is to end at once with an exit code, and returns what it says.
func (s *site) refuses(code int) string {
	s.t.Helper()
	s.reap(s.begin())
	select {
	case err := <-s.done:
		if e := (&exec.ExitError{}); !errors.As(err, &e) || e.ExitCode() != code {
			s.t.Errorf("the server ended with %v; want exit code %d", err, code)
		}
	case <-time.After(20 * time.Second):
		s.t.Error("the server runs")
	}
	return s.log.String()
}

// upsert submits a task and waits for its end, which should be a good one.
func upsert(t *testing.T, c *client.Client, list []client.Item) client.Task {
	t.Helper()
	accepted, err := c.UpsertSkills(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	return completed(t, c, accepted.TaskID)
}

// completed waits for a task, which should come to a good end.
func completed(t *testing.T, c *client.Client, id string) client.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	task, err := c.Wait(ctx, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	if task.Status != client.Completed || task.Progress.Failed > 0 {
		t.Fatalf("task %s: %s, %+v, %+v", task.ID, task.Status, task.Progress, task.Error)
	}
	return task
}

// ports counts through those that are handed out, from a random one on. They lie below those that systems give to outgoing
// connections, which would take the address of a server that is down for a moment.
var ports = func() *atomic.Uint32 {
	p := &atomic.Uint32{}
	p.Store(rand.Uint32N(5000))
	return p
}()

// freeAddress finds an address for a server, which nobody else here is given.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(int(10_000+ports.Add(1)%5000)))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close() // nothing was accepted
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}
