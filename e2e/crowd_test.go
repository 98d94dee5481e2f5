package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

const (
	// crowdMemory is the most that the server may take at its peak while the crowds of these tests are on it.
	crowdMemory = 192 << 20
	// crowdP99 is the longest that 99 of 100 calls of a healthy client may take meanwhile.
	crowdP99 = 500 * time.Millisecond
)

// raw is a connection whose every byte is the test's.
type raw struct {
	net.Conn
	r *bufio.Reader
}

// crowd opens n connections, a few at a time: the system's own line of those that nobody has accepted yet is short.
func crowd(t *testing.T, s *site, n int) []*raw {
	t.Helper()
	conns := make([]*raw, n)
	next := make(chan int)
	var group sync.WaitGroup
	for range 32 {
		group.Go(func() {
			for i := range next {
				conn, err := net.DialTimeout("tcp", s.url[len("http://"):], 20*time.Second)
				if err != nil {
					t.Error(err)
					continue
				}
				conns[i] = &raw{conn, bufio.NewReaderSize(conn, 512)}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	t.Cleanup(func() { leave(conns) })
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

func leave(conns []*raw) {
	for _, c := range conns {
		if c != nil {
			_ = c.Close() // it may be closed
		}
	}
}

// each does something with every connection at once and counts what comes of it.
func each(conns []*raw, f func(i int, c *raw) string) map[string]int {
	var mu sync.Mutex
	var group sync.WaitGroup
	counts := map[string]int{}
	for i, c := range conns {
		group.Go(func() {
			outcome := f(i, c)
			mu.Lock()
			defer mu.Unlock()
			counts[outcome]++
		})
	}
	group.Wait()
	return counts
}

// head is the start of a request, up to the lines about its body.
func head(c *client.Client, method, path string) string {
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: crosswalk\r\nAuthorization: Bearer %s\r\nX-Integration-Id: %s\r\n", method, path, c.APIKey, c.IntegrationID)
}

func submission(c *client.Client, n int, round string) string {
	body, err := json.Marshal(map[string]any{"items": items(n, round)})
	if err != nil {
		panic(err) // strings
	}
	return fmt.Sprintf("%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", head(c, "POST", "/v1/hris/skills/bulk"), len(body), body)
}

// answer reads an answer whole. The text says what is wrong with it; accepted tasks and clean refusals are "200" and the like.
func (c *raw) answer(within time.Duration) string {
	_ = c.SetReadDeadline(time.Now().Add(within)) // a TCP connection has deadlines
	response, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return fmt.Sprintf("no answer: %v", short(err))
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Sprintf("half an answer: %v", short(err))
	}
	if response.StatusCode != http.StatusOK {
		var envelope struct {
			Status string
			Error  struct{ Code, Message string }
		}
		if json.Unmarshal(content, &envelope) != nil || envelope.Status != "error" || envelope.Error.Code == "" || response.Header.Get("Retry-After") == "" {
			return fmt.Sprintf("an unclean refusal: %d %s", response.StatusCode, content)
		}
	}
	return strconv.Itoa(response.StatusCode)
}

// short makes an error countable: without the addresses.
func short(err error) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "timed out"
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "closed"
	default:
		return err.Error()
	}
}

// peak is the most memory that the server ever had resident.
func (s *site) peak() int {
	s.t.Helper()
	if runtime.GOOS != "linux" {
		s.t.Log("memory is measured on Linux alone")
		return 0
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	match := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if match == nil {
		s.t.Fatalf("no VmHWM in %s", status)
	}
	kB, _ := strconv.Atoi(string(match[1])) // digits
	return kB << 10
}

// healthy calls the server like any client, until ctx ends: it submits a small task, polls it and checks its key. It
// returns how long each call took.
func healthy(ctx context.Context, t *testing.T, c *client.Client) (took []time.Duration) {
	t.Helper()
	call := func(f func() error) {
		began := time.Now()
		if err := f(); err != nil && ctx.Err() == nil {
			t.Errorf("a healthy client: %v", err)
		}
		took = append(took, time.Since(began))
	}
	for n := 0; ctx.Err() == nil; n++ {
		var id string
		call(func() error {
			accepted, err := c.UpsertSkills(context.WithoutCancel(ctx), items(3, strconv.Itoa(n)))
			id = accepted.TaskID
			return err
		})
		if id == "" {
			continue
		}
		call(func() error { _, err := c.Task(context.WithoutCancel(ctx), id); return err })
		call(func() error { _, err := c.Check(context.WithoutCancel(ctx)); return err })
	}
	return took
}

func percentile(took []time.Duration, p int) time.Duration {
	slices.Sort(took)
	if len(took) == 0 {
		return 0
	}
	return took[min(len(took)-1, len(took)*p/100)]
}

// TestCrowd lets 2,000 clients submit at the same moment. Each is accepted or cleanly refused, every accepted task is carried
// out, and the memory stays bounded.
func TestCrowd(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) { comeTogether(t, newSite(t)) })
	t.Run("PostgreSQL", func(t *testing.T) {
		url := pgtest.Database(t)
		comeTogether(t, newSiteOn(t, url, url))
	})
}

func comeTogether(t *testing.T, s *site) {
	t.Helper()
	const clients = 2000
	s.start()
	var integrations []*client.Client
	for range 5 {
		integrations = append(integrations, s.client())
	}
	conns := crowd(t, s, clients)
	requests := make([]string, len(conns))
	for i := range requests {
		requests[i] = submission(integrations[i%len(integrations)], 3, fmt.Sprintf("of client %d", i))
	}
	began := time.Now()
	counts := each(conns, func(i int, c *raw) string {
		if _, err := io.WriteString(c, requests[i]); err != nil {
			return "not sent: " + short(err)
		}
		return c.answer(30 * time.Second)
	})
	t.Logf("%d clients were answered within %s: %v; at most %d MiB", clients, time.Since(began).Round(time.Millisecond), counts, s.peak()>>20)
	if clean := counts["200"] + counts["429"] + counts["503"]; clean != clients || counts["200"] == 0 {
		t.Errorf("answers: %v; want each of %d accepted or cleanly refused", counts, clients)
	}
	if peak := s.peak(); peak > crowdMemory {
		t.Errorf("the server took %d MiB; want at most %d", peak>>20, crowdMemory>>20)
	}
	leave(conns)
	want := []string{
		fmt.Sprintf("crosswalk_tasks_ended_total{status=\"COMPLETED\"} %d\n", counts["200"]),
		fmt.Sprintf("crosswalk_items_total{outcome=\"written\"} %d\n", 3*counts["200"]),
	}
	for limit := time.Now().Add(time.Minute); ; {
		_, metrics := s.get("/metrics")
		if strings.Contains(metrics, want[0]) && strings.Contains(metrics, want[1]) {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("not within a minute: %q in\n%s", want, metrics)
		}
		<-time.After(50 * time.Millisecond) // the server has better things to do than to tell
	}
	s.terminate()
}

// TestNuisances has the server deal with clients that dribble their headers or their bodies, close their side, or never read
// what they asked for, 500 of each, while a healthy client goes on.
func TestNuisances(t *testing.T) {
	const each500 = 500
	s := newSite(t)
	s.start()
	c, well := s.client(), s.client()
	large, err := c.UpsertSkills(t.Context(), items(10_000, strings.Repeat("long ", 20)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), large.TaskID, nil); err != nil {
		t.Fatal(err)
	}
	before := s.peak()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	alone, stopAlone := context.WithTimeout(ctx, time.Second)
	quiet := healthy(alone, t, well)
	stopAlone()

	calls := make(chan []time.Duration, 1)
	go func() { calls <- healthy(ctx, t, well) }()
	conns := crowd(t, s, 4*each500)
	headers, bodies, halves, deaf := conns[:each500], conns[each500:2*each500], conns[2*each500:3*each500], conns[3*each500:]
	began := time.Now()
	var group sync.WaitGroup
	// Those who never read ask for a megabyte or two again and again, and take as little of it as the system lets them.
	group.Go(func() {
		for _, q := range deaf {
			_ = q.Conn.(*net.TCPConn).SetReadBuffer(1 << 10) // as little as the system allows
			_ = q.SetWriteDeadline(time.Now().Add(time.Second))
			_, _ = io.WriteString(q, strings.Repeat(head(c, "GET", "/v1/hris/skills/bulk/"+large.TaskID)+"\r\n", 20)) // as many as go
		}
	})
	group.Go(func() {
		counts := each(halves, func(i int, q *raw) string {
			if _, err := io.WriteString(q, submission(c, 3, fmt.Sprintf("of half a client %d", i))); err != nil {
				return "not sent: " + short(err)
			}
			if err := q.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				return "not closed: " + short(err)
			}
			return q.answer(30 * time.Second)
		})
		t.Logf("half-closed clients were answered within %s: %v", time.Since(began).Round(time.Millisecond), counts)
		if counts["200"]+counts["503"] != each500 || counts["200"] < each500/2 {
			t.Errorf("half-closed clients: %v; want each answered, and most accepted", counts)
		}
	})
	// The dribblers send a byte a second, until the server has had enough of it: of headers after 10 s, of bodies after a
	// minute, which is not waited for.
	enough := make(chan struct{})
	dribble := func(q *raw, start string) string {
		if _, err := io.WriteString(q, start); err != nil {
			return "closed"
		}
		for {
			select {
			case <-enough:
				return "open"
			default:
			}
			_ = q.SetReadDeadline(time.Now().Add(time.Second))
			if _, err := q.r.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
				return "closed"
			}
			if _, err := io.WriteString(q, " "); err != nil {
				return "closed"
			}
		}
	}
	group.Go(func() {
		give := time.AfterFunc(20*time.Second, func() { close(enough) })
		counts := each(headers, func(_ int, q *raw) string { return dribble(q, "GET / HTTP/1.1\r\nX-Slow: ") })
		if give.Stop() {
			close(enough)
		}
		t.Logf("clients that dribble their headers: %v after %s", counts, time.Since(began).Round(time.Millisecond))
		if counts["closed"] != each500 {
			t.Errorf("clients that dribble their headers: %v; want all closed after 10 s", counts)
		}
	})
	group.Go(func() {
		start := fmt.Sprintf("%sContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", head(c, "POST", "/v1/hris/skills/bulk"), 60<<10)
		counts := each(bodies, func(_ int, q *raw) string { return dribble(q, start+strings.Repeat(" ", 5<<10)) })
		if counts["open"] != each500 {
			t.Errorf("clients that dribble their bodies: %v; want all held for a minute", counts)
		}
	})
	group.Wait()
	stop()
	took := <-calls
	p99, p50, rested := percentile(took, 99), percentile(took, 50), percentile(quiet, 99)
	t.Logf("%d calls of a healthy client: p50 %s, p99 %s (alone %s)", len(took), p50, p99, rested)
	t.Logf("memory: at most %d MiB before, %d MiB at last", before>>20, s.peak()>>20)
	if len(took) < 100 || p99 > crowdP99 {
		t.Errorf("a healthy client made %d calls, p99 %s; want 100 at least, p99 at most %s", len(took), p99, crowdP99)
	}
	if peak := s.peak(); peak > crowdMemory {
		t.Errorf("the server took %d MiB; want at most %d", peak>>20, crowdMemory>>20)
	}
	leave(conns)
	s.terminate()
}
