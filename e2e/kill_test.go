package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
)

// TestSIGKILL kills the server again and again while ten tasks of 2,000 skills are submitted and carried out. Afterwards
// every accepted task is COMPLETED with one outcome for each item in its order, a skill has one id for ever, and the tool
// holds the last accepted value of each skill.
func TestSIGKILL(t *testing.T) {
	t.Parallel()
	const size = 2000
	tasks := max(10, *kills*10/25)
	s := newSite(t)
	s.start()
	// Two integrations, so that one is submitted to while the other works. The calls are small and slow enough for kills
	// to hit them, before and after the tool has written.
	var senders []*sender
	for range 2 {
		senders = append(senders, &sender{t: t, c: s.client("batch_limit=100", "latency=60ms")})
	}
	var group sync.WaitGroup
	for n, snd := range senders {
		group.Go(func() {
			for round := range tasks / len(senders) {
				// Half of the skills change each time, and the order too.
				list := items(size, "")
				for i := range list {
					if (i+round)%2 == 0 {
						list[i].Name += fmt.Sprintf("round %d of %d", round, n)
					}
				}
				rand.Shuffle(size, func(i, j int) { list[i], list[j] = list[j], list[i] })
				snd.submit(list)
			}
		})
	}
	submitted := make(chan struct{})
	go func() {
		group.Wait()
		close(submitted)
	}()
	// The kills go on over the submissions and the work after them.
	for n := range *kills {
		// Nothing is waited for here: the moment is to be any moment, for every fifth one that of the start.
		<-time.After(time.Duration(rand.IntN(300)) * time.Millisecond)
		s.kill()
		if n%5 == 4 {
			s.reap(s.begin())
		} else {
			s.start()
		}
	}
	s.kill()
	s.start()
	select {
	case <-submitted:
		if senders[0].pending() == 0 && senders[1].pending() == 0 {
			t.Error("the work was done before the kills were: make it slower")
		}
	default:
	}
	select {
	case <-submitted:
	case <-time.After(2 * time.Minute):
		t.Fatal("the submissions do not come to an end")
	}
	for _, snd := range senders {
		snd.check(s)
	}
	s.terminate()
}

// sender submits tasks one after the other, each until it is accepted.
type sender struct {
	t        *testing.T
	c        *client.Client
	accepted []acceptedTask
	last     map[string]string // the last accepted name of each skill
}

type acceptedTask struct {
	id    string
	items []client.Item
}

func (s *sender) submit(list []client.Item) {
	for limit := time.Now().Add(2 * time.Minute); ; {
		answer, err := s.c.UpsertSkills(s.t.Context(), list)
		if err == nil {
			s.accepted = append(s.accepted, acceptedTask{answer.TaskID, list})
			break
		}
		// The server may have accepted it and died before it said so. The same again comes to the same.
		if time.Now().After(limit) {
			s.t.Errorf("a submission is never accepted: %v", err)
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	if s.last == nil {
		s.last = map[string]string{}
	}
	for _, it := range list {
		s.last[it.OriginID] = it.Name
	}
}

// pending counts the accepted tasks that go on.
func (s *sender) pending() int {
	n := 0
	for _, accepted := range s.accepted {
		task, err := s.c.Task(s.t.Context(), accepted.id)
		if err != nil {
			s.t.Fatal(err)
		}
		if !task.Ended() {
			n++
		}
	}
	return n
}

func (s *sender) check(site *site) {
	ids := map[string]string{}
	for _, accepted := range s.accepted {
		task, err := s.c.Wait(s.t.Context(), accepted.id, nil)
		if err != nil {
			s.t.Fatalf("an accepted task: %v", err)
		}
		if task.Status != client.Completed || len(task.Results) != len(accepted.items) {
			s.t.Fatalf("task %s: %s with %d results, %+v", task.ID, task.Status, len(task.Results), task.Error)
		}
		for i, r := range task.Results {
			if r.OriginID != accepted.items[i].OriginID || r.Status != client.Succeeded {
				s.t.Fatalf("task %s, result %d: %+v for %+v", task.ID, i, r, accepted.items[i])
			}
			if before, known := ids[r.OriginID]; known && before != r.Data.ID {
				s.t.Fatalf("%s had the id %s and has %s", r.OriginID, before, r.Data.ID)
			}
			ids[r.OriginID] = r.Data.ID
		}
	}
	tool := site.tool(s.c.IntegrationID)
	if len(tool) != len(s.last) {
		s.t.Errorf("the tool holds %d skills, want %d", len(tool), len(s.last))
	}
	wrong := 0
	for id, want := range s.last {
		if got := tool[id].Name; got != want {
			if wrong++; wrong < 5 {
				s.t.Errorf("the tool holds %q as %s, want %q", got, id, want)
			}
		}
	}
	if wrong > 0 {
		s.t.Errorf("%d skills are wrong", wrong)
	}
}

// A call that is answered within 8 s of SIGTERM is written down and not repeated.
func TestSIGTERMChecksPoints(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	c := s.client("latency=3s", "batch_limit=5")
	accepted, err := c.UpsertSkills(t.Context(), items(10, ""))
	if err != nil {
		t.Fatal(err)
	}
	s.untilWritten(c.IntegrationID, 5)
	if took := s.terminate(); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	s.start()
	task, err := c.Wait(t.Context(), accepted.TaskID, nil)
	if err != nil || task.Status != client.Completed {
		t.Fatalf("%+v, %v", task, err)
	}
	for id, r := range s.tool(c.IntegrationID) {
		if r.Writes != 1 {
			t.Errorf("%s was written %d times", id, r.Writes)
		}
	}
	s.terminate()
}

// A longer call is cut within 10 s, and looked at first by the next process.
func TestSIGTERMLeavesALongCall(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	c := s.client("latency=40s", "batch_limit=5")
	accepted, err := c.UpsertSkills(t.Context(), items(5, ""))
	if err != nil {
		t.Fatal(err)
	}
	s.untilCalling()
	if took := s.terminate(); took < 7*time.Second {
		t.Errorf("the call had only %v to be answered", took)
	}
	s.admin("id", "integrations", "update", c.IntegrationID, "--unset", "latency")
	began := time.Now()
	s.start()
	task, err := c.Wait(t.Context(), accepted.TaskID, nil)
	if err != nil || task.Status != client.Completed {
		t.Fatalf("%+v, %v", task, err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the next process took %v", took)
	}
	s.terminate()
}

// untilWritten waits until the tool holds n skills.
func (s *site) untilWritten(integration string, n int) {
	s.t.Helper()
	for limit := time.Now().Add(20 * time.Second); len(s.tool(integration)) < n; {
		if time.Now().After(limit) {
			s.t.Fatalf("the tool does not get %d skills", n)
		}
	}
}

// untilCalling waits until a call of the tool is under way.
func (s *site) untilCalling() {
	s.t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; {
		response, err := http.Get(s.url + "/metrics")
		if err != nil {
			s.t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // it was read
		if err != nil {
			s.t.Fatal(err)
		}
		if strings.Contains(string(content), `crosswalk_tool_calls_in_flight{tool="sandbox"} 1`) {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatal("the tool is never called")
		}
	}
}

// What a command changes is noticed by a running server within a second.
func TestCommandsAreNoticedWithinASecond(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.start()
	c := s.client()
	within := func(what string, done func() bool) {
		t.Helper()
		for began := time.Now(); !done(); {
			if time.Since(began) > time.Second {
				t.Fatalf("%s: not noticed within a second", what)
			}
		}
	}
	submits := func() bool {
		_, err := c.UpsertSkills(t.Context(), items(1, ""))
		return err == nil
	}
	within("a new key and integration", submits)
	s.admin("id", "integrations", "disable", c.IntegrationID)
	within("disabled", func() bool { return !submits() })
	s.admin("id", "integrations", "update", c.IntegrationID, "--set", "latency=1ms")
	s.admin("id", "integrations", "enable", c.IntegrationID)
	within("enabled", submits)

	// A paused task goes on within a second, too.
	s.admin("id", "integrations", "update", c.IntegrationID, "--set", "batch_limit=1", "--set", "latency=300ms")
	accepted, err := c.UpsertSkills(t.Context(), items(4, "again"))
	if err != nil {
		t.Fatal(err)
	}
	done := func() int {
		task, err := c.Task(t.Context(), accepted.TaskID)
		if err != nil {
			t.Fatal(err)
		}
		return task.Progress.Done
	}
	s.admin("id", "integrations", "disable", c.IntegrationID)
	before := -1
	within("paused", func() bool {
		now := done()
		<-time.After(400 * time.Millisecond)
		same := now == before
		before = now
		return same && now < 4
	})
	s.admin("id", "integrations", "update", c.IntegrationID, "--unset", "latency")
	s.admin("id", "integrations", "enable", c.IntegrationID)
	within("resumed", func() bool { return done() == 4 })

	key := s.admin("id", "keys", "create", "--name", "other")
	s.admin("id", "keys", "revoke", key)
	s.terminate()
}
