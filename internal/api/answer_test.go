package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	largeTask = "task_28KMdr68N8kG9EzLwjsN9aoz"
	otherTask = "task_28KMdr68N8kG9EzLwjsN9aoy"
	smallTask = "task_28KMdr68N8kG9EzLwjsN9aox"
	largeSize = 600 << 10
)

// shelf has two large documents and a small one.
type shelf struct {
	slow
	read map[string]int
}

func (s *shelf) Task(_ context.Context, _, _, id string) (store.TaskView, error) {
	s.read[id]++
	size := largeSize
	if id == smallTask {
		size = 100
	}
	return store.TaskView{Task: skill.Task{ID: id}, Status: skill.Completed, Document: make([]byte, size)}, nil
}

func newShelf() (*API, *shelf) {
	s := &shelf{read: map[string]int{}}
	return New(Config{Engine: s, Store: s, Keys: s, Connectors: connector.NewRegistry(), AnswerMemory: 1 << 20}), s
}

// deaf is a client that reads when it is told to.
type deaf struct {
	*httptest.ResponseRecorder
	reads chan struct{}
}

func (d *deaf) Write(p []byte) (int, error) {
	<-d.reads
	return d.ResponseRecorder.Write(p)
}

func ask(t *testing.T, a *API, task string, w http.ResponseWriter) {
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/hris/skills/bulk/"+task, http.NoBody)
	r.Header.Set("X-Integration-Id", "sandbox:28KMdr68N8kG9EzLwjsN9aoz")
	a.ServeHTTP(w, r)
}

// Large answers that nobody reads hold up other large ones, for a while, and no small ones; who stands in line is not read
// from the database.
func TestLargeAnswersStandInLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, s := newShelf()
		first := &deaf{httptest.NewRecorder(), make(chan struct{})}
		go ask(t, a, largeTask, first)
		synctest.Wait()

		small := httptest.NewRecorder()
		if ask(t, a, smallTask, small); small.Code != http.StatusOK {
			t.Errorf("a small answer: %d %s", small.Code, small.Body)
		}
		// The second time it is known before it is read that it is large; the other one is read to learn it.
		for _, task := range []string{largeTask, otherTask} {
			w, began := httptest.NewRecorder(), time.Now()
			ask(t, a, task, w)
			if took := time.Since(began); w.Code != http.StatusServiceUnavailable || took != lineTime || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "large answers") {
				t.Errorf("without memory: %d after %s: %.200s", w.Code, took, w.Body)
			}
		}
		if s.read[largeTask] != 1 || s.read[otherTask] != 1 {
			t.Errorf("read while there was no memory for it: %v", s.read)
		}
		waits := httptest.NewRecorder()
		go ask(t, a, largeTask, waits)
		synctest.Wait()
		close(first.reads)
		synctest.Wait()
		for name, w := range map[string]*httptest.ResponseRecorder{"the first": first.ResponseRecorder, "who waited": waits} {
			if w.Code != http.StatusOK || w.Body.Len() != largeSize {
				t.Errorf("%s: %d, %d bytes", name, w.Code, w.Body.Len())
			}
		}
		if !a.answers.memory.TryAcquire(1 << 20) {
			t.Error("memory was not given back")
		}
	})
}

// An answer that is larger than all the memory for answers is sent alone.
func TestAnswerLargerThanTheMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{read: map[string]int{}}
		a := New(Config{Engine: s, Store: s, Keys: s, Connectors: connector.NewRegistry(), AnswerMemory: 100 << 10})
		for range 2 {
			w := httptest.NewRecorder()
			if ask(t, a, largeTask, w); w.Code != http.StatusOK || w.Body.Len() != largeSize {
				t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
			}
		}
		if !a.answers.memory.TryAcquire(100 << 10) {
			t.Error("memory was not given back")
		}
	})
}

// What is remembered of sizes is bounded.
func TestSizesAreBounded(t *testing.T) {
	t.Parallel()
	a := newAnswers(1)
	for i := range 3 * mostSizes {
		a.learn(answerKey{task: fmt.Sprint(i)}, 1)
		if len(a.sizes) > mostSizes {
			t.Fatalf("%d are remembered", len(a.sizes))
		}
	}
	if a.size(answerKey{task: fmt.Sprint(3*mostSizes - 1)}) != 1 {
		t.Error("the last one is not remembered")
	}
}

// oneConn is a listener with one connection.
type oneConn struct {
	conn   chan net.Conn
	closed chan struct{}
}

func (l oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}
func (l oneConn) Close() error { close(l.closed); return nil }
func (oneConn) Addr() net.Addr { return &net.TCPAddr{} }

// A client that does not read is cut off, later the more there is to read.
func TestDeafClientIsCutOff(t *testing.T) {
	t.Parallel()
	for task, size := range map[string]int{largeTask: largeSize, smallTask: 100} {
		synctest.Test(t, func(t *testing.T) {
			a, _ := newShelf()
			here, there := net.Pipe()
			l := oneConn{make(chan net.Conn, 1), make(chan struct{})}
			l.conn <- there
			s := &http.Server{Handler: a, WriteTimeout: time.Hour, ReadHeaderTimeout: time.Hour}
			done := make(chan error, 1)
			go func() { done <- s.Serve(l) }()
			began := time.Now()
			if _, err := fmt.Fprintf(here, "GET /v1/hris/skills/bulk/%s HTTP/1.1\r\nHost: x\r\nX-Integration-Id: sandbox:1\r\n\r\n", task); err != nil {
				t.Fatal(err)
			}
			time.Sleep(largeTime + time.Duration(size)*time.Second/slowest - time.Millisecond) // of the bubble's clock
			synctest.Wait()
			if !inUse(a) && task == largeTask {
				t.Error("cut off before its time")
			}
			time.Sleep(2 * time.Millisecond)
			synctest.Wait()
			// Nothing was taken, so nothing comes any more.
			_ = here.SetReadDeadline(time.Now().Add(time.Minute))
			if n, err := io.Copy(io.Discard, here); err != nil || n != 0 {
				t.Errorf("%s: %d bytes, %v, after %s; want the connection closed", task, n, err, time.Since(began))
			}
			if inUse(a) {
				t.Error("memory was not given back")
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-done; !errors.Is(err, http.ErrServerClosed) {
				t.Error(err)
			}
		})
	}
}

func inUse(a *API) bool {
	if !a.answers.memory.TryAcquire(1 << 20) {
		return true
	}
	a.answers.memory.Release(1 << 20)
	return false
}
