package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// crowded is a server with room for three connections, whose requests to /wait last until told.
func crowded(t *testing.T) (address string, release chan struct{}) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, 3)
	release = make(chan struct{})
	s := &http.Server{ConnContext: c.context, ConnState: c.state, Handler: c.handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush() // the client sees that it has begun
			<-release
		}
		_, _ = io.WriteString(w, "ok")
	}))}
	done := make(chan error, 1)
	go func() { done <- s.Serve(c) }()
	t.Cleanup(func() {
		_ = s.Close() // the test has seen what it wanted
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return l.Addr().String(), release
}

type dialled struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, address string) *dialled {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // it may be closed already
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &dialled{conn, bufio.NewReader(conn)}
}

// ask sends a request and reads the head of its answer.
func (d *dialled) ask(path string) error {
	if _, err := fmt.Fprintf(d, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return err
	}
	line, err := d.r.ReadString('\n')
	if err == nil && line != "HTTP/1.1 200 OK\r\n" {
		err = fmt.Errorf("answered %q", line)
	}
	return err
}

// gone waits until the server has closed the connection.
func (d *dialled) gone() error {
	n, err := io.Copy(io.Discard, d.r)
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Errorf("still open after 20 s and %d bytes", n)
	}
	return nil
}

func TestCrowd(t *testing.T) {
	t.Parallel()
	address, release := crowded(t)
	// One that says nothing, one that drags its headers out, and one at work.
	silent, slow, busy := dial(t, address), dial(t, address), dial(t, address)
	if _, err := io.WriteString(slow, "GET / HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
		t.Fatal(err)
	}
	if err := busy.ask("/wait"); err != nil {
		t.Fatal(err)
	}
	// Whoever comes then takes the place of the one that has been without a request for the longest time.
	fourth := dial(t, address)
	if err := fourth.ask("/wait"); err != nil {
		t.Fatalf("a fourth connection: %v", err)
	}
	if err := silent.gone(); err != nil {
		t.Errorf("the silent one: %v", err)
	}
	fifth := dial(t, address)
	if err := fifth.ask("/wait"); err != nil {
		t.Fatalf("a fifth connection: %v", err)
	}
	if err := slow.gone(); err != nil {
		t.Errorf("the slow one: %v", err)
	}
	// Three are at work now, and none of them is closed for another. It waits, and is served when one has ended.
	sixth := dial(t, address)
	answered := make(chan error, 1)
	go func() { answered <- sixth.ask("/") }()
	select {
	case err := <-answered:
		t.Fatalf("served beyond the limit: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	release <- struct{}{}
	if err := <-answered; err != nil {
		t.Errorf("the sixth, when there is room: %v", err)
	}
	close(release)
	ended := 0
	for _, d := range []*dialled{busy, fourth, fifth} {
		// Chunked: the last chunk shows that the answer is whole.
		for line := ""; line != "0\r\n"; {
			var err error
			if line, err = d.r.ReadString('\n'); err != nil {
				break
			}
			if line == "ok\r\n" {
				ended++
			}
		}
	}
	if ended != 3 {
		t.Errorf("%d of 3 requests under way were answered", ended)
	}
}

// A server that stops does not wait for room.
func TestCrowdCloses(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(l, 1)
	dial(t, l.Addr().String())
	first, err := c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	first.(*member).begin()
	dial(t, l.Addr().String())
	ended := make(chan error, 1)
	go func() {
		_, err := c.Accept()
		ended <- err
	}()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("accepted by a closed listener")
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still accepting")
	}
	if err := errors.Join(first.Close(), ignoreClosed(first.Close())); err != nil || c.held != 0 {
		t.Errorf("%d held after the only one left twice: %v", c.held, err)
	}
	if ctx := c.context(context.Background(), nil); ctx == nil {
		t.Error("no context for a connection of another kind")
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
