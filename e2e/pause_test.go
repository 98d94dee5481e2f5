package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/client"
)

// pauseTime is how long a process is suspended: five leases.
const pauseTime = 30 * time.Second

// TestPaused suspends a process with SIGSTOP at a certain moment of a task of two calls. Meanwhile another replica takes over,
// ends the task and a second one with newer values for the same skills. Then the first process goes on, believing that it
// holds the lease and that no time has passed. Its writes are refused by the database, what it may have sent is written
// again, and the tool ends with the newer values.
func TestPaused(t *testing.T) {
	t.Parallel()
	const batch = 10
	for _, c := range []struct {
		name     string
		settings []string
		// gate is where a transaction of the process is to wait until it is suspended; pg_sleep would do, were it not for time.
		gate string
		// until waits for the moment.
		until func(t *testing.T, f *fleet, paused *site, integration string)
		// first and second are how often the tool gets the skills of the first and of the second call, at least and at most.
		first, second [2]int
	}{
		{
			// Nothing has left; the tool says so or, if its connector looks at the time first, that it cannot tell.
			name: "a request is built and not sent", settings: []string{"latency=4s"},
			until: func(t *testing.T, _ *fleet, paused *site, _ string) {
				eventually(t, 20*time.Second, "the call is under way", func() bool { return paused.calls() > 0 })
			},
			first: [2]int{2, 3}, second: [2]int{2, 2},
		},
		{
			// The successor cannot know what was written when, so it writes the first call's skills again; the process that goes on
			// cannot know when what it sent has arrived, so it has them written once more.
			name: "a request is sent and not answered", settings: []string{"latency=4s"},
			until: func(t *testing.T, _ *fleet, paused *site, integration string) {
				eventually(t, 20*time.Second, "the tool has written", func() bool { return len(paused.tool(integration)) == batch })
			},
			first: [2]int{4, 4}, second: [2]int{2, 2},
		},
		{
			// The bytes leave when the process goes on, or lay in the network for as long.
			name: "a request is sent late", settings: []string{`scripts={"skill-3":["late: 20s"]}`},
			until: func(t *testing.T, f *fleet, _ *site, _ string) {
				eventually(t, 20*time.Second, "the tool has the request", func() bool {
					return query[int](f, `SELECT count(*) FROM sandbox_scripts`) == 1
				})
			},
			first: [2]int{4, 4}, second: [2]int{2, 2},
		},
		{
			name: "the intent is committed, and the process does not know", settings: []string{"latency=200ms"},
			gate:  `CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON intents DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gate()`,
			first: [2]int{2, 3}, second: [2]int{2, 2},
		},
		{
			name: "within the checkpoint", settings: []string{"latency=200ms"},
			gate: `CREATE TRIGGER gate AFTER INSERT ON task_outcomes FOR EACH ROW EXECUTE FUNCTION gate()`,
			// Its COMMIT is on the way already: whichever the database does first. When it was kept, the second call may have begun
			// before the process knows what time it is.
			first: [2]int{2, 4}, second: [2]int{2, 4},
		},
		{
			name: "the checkpoint is committed, and the process does not know", settings: []string{"latency=200ms"},
			gate:  `CREATE CONSTRAINT TRIGGER gate AFTER INSERT ON task_outcomes DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION gate()`,
			first: [2]int{2, 3}, second: [2]int{2, 4},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 2)
			f.start()
			paused, successor := f.replicas[0], f.replicas[1]
			caller := paused.client(append(c.settings, fmt.Sprint("batch_limit=", batch))...)
			other := successor.to(caller)
			var opened func()
			if c.gate != "" {
				// From then on the server knows how many skills a call takes, and the submission does not open the intent.
				upsert(t, caller, items(2*batch, "oldest")[2*batch-1:])
				opened = f.shut(c.gate)
			}
			older, newer := items(2*batch, "older"), items(2*batch, "newer")
			first, err := caller.UpsertSkills(t.Context(), older)
			if err != nil {
				t.Fatal(err)
			}
			if c.until != nil {
				c.until(t, f, paused, caller.IntegrationID)
			} else {
				eventually(t, 20*time.Second, "the transaction waits", f.waiting)
			}
			paused.signal(syscall.SIGSTOP)
			began := time.Now()
			if opened != nil {
				opened()
			}
			eventually(t, time.Second, "it has the lease", func() bool { return f.holder(caller.IntegrationID) == paused })
			before := f.drain(caller.IntegrationID)
			eventually(t, 20*time.Second, "another replica takes over", func() bool { return f.drain(caller.IntegrationID).epoch > before.epoch })
			took := time.Since(began)
			if took > 10*time.Second {
				t.Errorf("that took %v", took)
			}
			one := completed(t, other, first.TaskID)
			two := upsert(t, other, newer)
			if took := time.Since(began); took > pauseTime {
				t.Fatalf("the successor took %v: this shows nothing", took)
			}
			<-time.After(pauseTime - time.Since(began))
			paused.signal(syscall.SIGCONT)
			eventually(t, 20*time.Second, "the process finds out", func() bool {
				return paused.found() > 0 || strings.Contains(paused.log.String(), "drain could not begin")
			})
			writes := func(i int) int { return paused.tool(caller.IntegrationID)[fmt.Sprint("skill-", i)].Writes }
			eventually(t, 20*time.Second, fmt.Sprintf("the first call's skills are written %d times", c.first[0]), func() bool { return writes(0) >= c.first[0] })
			f.idle()
			t.Logf("another replica took over %v after the pause; the paused one marked %v skills unsure; the first call's skills were written %d times, the second's %d times",
				took.Round(time.Millisecond), paused.metric("crosswalk_skills_doubted_total"), writes(0), writes(batch))
			if got := writes(0); got > c.first[1] {
				t.Errorf("the first call's skills were written %d times, want at most %d", got, c.first[1])
			}
			if got := writes(batch); got < c.second[0] || got > c.second[1] {
				t.Errorf("the second call's skills were written %d times, want %d to %d", got, c.second[0], c.second[1])
			}
			// What the callers were told, and what the tool holds.
			for n, task := range []client.Task{one, two} {
				for i, r := range task.Results {
					if r.OriginID != older[i].OriginID || r.Status != client.Succeeded || r.Data.ID != one.Results[i].Data.ID {
						t.Errorf("task %d, result %d: %+v", n+1, i, r)
					}
				}
			}
			tool := paused.tool(caller.IntegrationID)
			if len(tool) != len(newer) {
				t.Errorf("the tool holds %d skills, want %d", len(tool), len(newer))
			}
			for _, it := range newer {
				if got := tool[it.OriginID].Name; got != it.Name {
					t.Errorf("the tool holds %q as %s, want %q", got, it.OriginID, it.Name)
				}
			}
			// What we believe of the tool is true, so the same again has nothing to do; the paused process serves like any.
			if task := upsert(t, caller, newer); task.Progress.Unchanged != len(newer) {
				t.Errorf("the same again: %+v", task.Progress)
			}
			f.terminate()
		})
	}
}

const gateKey = 4711

// shut lets transactions that meet a trigger wait until the returned function is called.
func (f *fleet) shut(trigger string) (open func()) {
	f.t.Helper()
	f.exec(fmt.Sprintf(`CREATE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM pg_advisory_xact_lock_shared(%d); RETURN NULL; END $$`, gateKey))
	f.exec(trigger)
	conn, err := pgx.Connect(f.t.Context(), f.url)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may be closed
	if _, err := conn.Exec(f.t.Context(), `SELECT pg_advisory_lock($1)`, gateKey); err != nil {
		f.t.Fatal(err)
	}
	return func() {
		if err := conn.Close(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
}

// waiting reports whether a transaction waits at the gate.
func (f *fleet) waiting() bool {
	return query[int](f, `SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
		WHERE d.datname = current_database() AND locktype = 'advisory' AND objid = $1 AND NOT granted`, gateKey) > 0
}

// TestPausedAtAnyMoment suspends one of two processes at random moments of its work, while callers go on with the other.
func TestPausedAtAnyMoment(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2)
	f.start()
	var senders senders
	for range 8 {
		senders = append(senders, newSender(f.replicas, "batch_limit=20", "latency=100ms"))
	}
	for n := range *pauses {
		paused, other := f.replicas[n%2], f.replicas[1-n%2]
		// Whoever is sent a task begins it.
		<-senders.via(paused).start(t.Context(), 1, 200, 0)
		<-time.After(rand.N(700 * time.Millisecond)) // any moment
		paused.signal(syscall.SIGSTOP)
		submitted := senders.via(other).start(t.Context(), 2, 200, time.Second)
		<-time.After(time.Second) // what it had sent to the database is done
		held, before := f.held(paused), paused.found()
		<-time.After(pauseTime - time.Second)
		paused.signal(syscall.SIGCONT)
		eventually(t, 20*time.Second, fmt.Sprintf("the process finds out that it has lost %d leases", held), func() bool { return paused.found() >= before+held })
		// Once it has ended, what it sent late has arrived, and is marked. The tool holds older values until that is written again.
		paused.terminate()
		f.idle()
		senders.check(other, submitted)
		t.Logf("pause %d: %d leases lost", n+1, held)
		paused.start()
	}
	f.terminate()
}

// via has all of them speak to one server.
func (all senders) via(s *site) senders {
	for _, snd := range all {
		snd.others = []*client.Client{s.to(snd.c)}
	}
	return all
}

// held counts the leases of a process.
func (f *fleet) held(s *site) int {
	f.t.Helper()
	lives := owners.FindAllStringSubmatch(s.log.String(), -1)
	return query[int](f, "SELECT count(*) FROM drains WHERE owner = $1", lives[len(lives)-1][1])
}

// found counts the drains, over all lives of a process, that found that their lease was not theirs any more.
func (s *site) found() int {
	log := s.log.String()
	return strings.Count(log, "drain lost its lease") + strings.Count(log, "drain failed")
}
