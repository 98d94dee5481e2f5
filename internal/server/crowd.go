package server

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"
)

// sendBuffer bounds what the system keeps of answers that a client does not read. Left to itself it takes megabytes for
// each connection.
const sendBuffer = 128 << 10

// crowd is a listener that holds a bounded number of connections. When one more comes, it closes the one that has been
// without a request for the longest time: it is idle, or drags its request's headers out. While all of them have a request
// under way, which is bounded in time, the next one waits.
type crowd struct {
	net.Listener
	most int

	mu     sync.Mutex
	held   int
	idle   *list.List // of *member, longest first
	closed bool
	change *sync.Cond // one left or became idle, or closed
}

func newCrowd(l net.Listener, most int) *crowd {
	c := &crowd{Listener: l, most: most, idle: list.New()}
	c.change = sync.NewCond(&c.mu)
	return c
}

// Accept implements net.Listener.
func (c *crowd) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.held >= c.most && c.idle.Len() == 0 && !c.closed {
		c.change.Wait()
	}
	if c.closed {
		_ = conn.Close() // it was never served
		return nil, net.ErrClosed
	}
	if c.held >= c.most {
		longest := c.idle.Front().Value.(*member)
		c.leave(longest)
		_ = longest.Conn.Close() // nobody waits for an answer on it
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer) // else the system's own is kept
	}
	m := &member{Conn: conn, crowd: c}
	m.place = c.idle.PushBack(m)
	c.held++
	return m, nil
}

// Close implements net.Listener. Connections that were accepted stay.
func (c *crowd) Close() error {
	c.mu.Lock()
	c.closed = true
	c.change.Broadcast()
	c.mu.Unlock()
	return c.Listener.Close()
}

// leave takes a member out, once. c.mu is held.
func (c *crowd) leave(m *member) {
	if m.left {
		return
	}
	m.left = true
	if m.place != nil {
		c.idle.Remove(m.place)
		m.place = nil
	}
	c.held--
	c.change.Signal()
}

type memberKey struct{}

// memberOf is nil for a connection of another kind.
func memberOf(conn net.Conn) *member {
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = over.NetConn()
	}
	m, _ := conn.(*member)
	return m
}

// context notes the connection in the context of its requests.
func (*crowd) context(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, memberKey{}, memberOf(conn))
}

// state is the server's ConnState. A handler that has returned may have left the end of its answer in a buffer; only the
// server knows when that is sent.
func (*crowd) state(conn net.Conn, state http.ConnState) {
	if m := memberOf(conn); m != nil && state == http.StateIdle {
		m.answered()
	}
}

// handler notes when a connection has requests under way.
func (*crowd) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m, _ := r.Context().Value(memberKey{}).(*member); m != nil {
			m.begin()
			defer m.end()
		}
		next.ServeHTTP(w, r)
	})
}

// member is a connection of the crowd.
type member struct {
	net.Conn
	crowd *crowd
	// Under crowd.mu:
	requests int           // handlers at work; HTTP/2 has several
	open     bool          // a request has begun since all answers were sent
	place    *list.Element // in crowd.idle; nil while a request is under way, or it has left
	left     bool
}

func (m *member) begin() {
	c := m.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	m.requests++
	m.open = true
	if m.place != nil {
		c.idle.Remove(m.place)
		m.place = nil
	}
}

func (m *member) end() {
	m.crowd.mu.Lock()
	defer m.crowd.mu.Unlock()
	m.requests--
	m.rest()
}

func (m *member) answered() {
	m.crowd.mu.Lock()
	defer m.crowd.mu.Unlock()
	m.open = false
	m.rest()
}

// rest notes that nothing is under way, if so. A client of HTTP/2 may give up a request whose handler goes on.
func (m *member) rest() {
	if m.requests == 0 && !m.open && !m.left && m.place == nil {
		m.place = m.crowd.idle.PushBack(m)
		m.crowd.change.Signal()
	}
}

// Close implements net.Conn.
func (m *member) Close() error {
	m.crowd.mu.Lock()
	m.crowd.leave(m)
	m.crowd.mu.Unlock()
	return m.Conn.Close()
}

// CloseWrite lets the server take leave of a client that still sends.
func (m *member) CloseWrite() error {
	if half, ok := m.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
