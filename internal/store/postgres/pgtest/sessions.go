package pgtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// sessions keeps connections to databases when their clients close them, and gives them to the next client that asks for the
// same. To begin a session, and to learn what the schema is, takes PostgreSQL longer than most tests have it work for. The
// session forgets all that it was told: DISCARD ALL. It is the network's connection that is kept, of which no bubble knows.
type sessions struct {
	mu   sync.Mutex
	idle map[string][]*session // by database
}

// session is what the server knows as one.
type session struct {
	conn     net.Conn
	database string
	asked    string // what its clients say first, in order
	greeting []byte // what they are answered
	pid      uint32
}

// line is a client's connection. Which session it needs is known by the first thing that the client says. It reads the protocol
// without TLS; with it, it is a connection like any other.
type line struct {
	all              *sessions
	network, address string

	mu      sync.Mutex
	conn    net.Conn // nil: nothing was said yet, or the session is kept
	limits  [2]time.Time
	hurried bool // a deadline was set: somebody may have given up what is under way
	kept    bool

	// For whoever reads and writes, as of any connection.
	session  *session // nil: none that could be kept
	unread   []byte   // of the greeting
	greeting *scanner // while the server greets
}

var errClosed = errors.New("pgtest: the session was given back")

// dial is for pgconn.Config.
func (s *sessions) dial(_ context.Context, network, address string) (net.Conn, error) {
	return &line{all: s, network: network, address: address}, nil
}

// Write takes an idle session when the client introduces itself, and keeps it when the client says goodbye.
func (l *line) Write(p []byte) (int, error) {
	conn, kept := l.current()
	switch {
	case kept:
		return 0, errClosed
	case conn == nil:
		return l.begin(p)
	case bytes.Equal(p, []byte("X\x00\x00\x00\x04")) && l.keep(conn):
		return len(p), nil
	}
	return conn.Write(p)
}

func (l *line) current() (conn net.Conn, kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.conn, l.kept
}

func (l *line) begin(p []byte) (int, error) {
	const version3 = 3 << 16
	if len(p) > 8 && int(binary.BigEndian.Uint32(p)) == len(p) && binary.BigEndian.Uint32(p[4:])&^0xffff == version3 {
		database, asked := introduction(p[4:])
		if l.session = l.all.take(database, asked+l.address); l.session != nil {
			l.unread = l.session.greeting
			l.connected(l.session.conn)
			return len(p), nil
		}
		l.session = &session{database: database, asked: asked + l.address}
		l.greeting = &scanner{}
	}
	dialer := net.Dialer{Timeout: 10 * time.Second}
	conn, err := dialer.DialContext(context.Background(), l.network, l.address)
	if err != nil {
		return 0, err
	}
	l.connected(conn)
	return conn.Write(p)
}

// introduction reads what a client says first: the version, then names and values.
func introduction(p []byte) (database, asked string) {
	params := map[string]string{}
	words := strings.Split(string(p[4:]), "\x00")
	for i := 0; i+1 < len(words) && words[i] != ""; i += 2 {
		params[words[i]] = words[i+1]
	}
	var text strings.Builder
	text.Write(p[:4])
	for _, name := range slices.Sorted(maps.Keys(params)) {
		text.WriteString(name + "\x00" + params[name] + "\x00")
	}
	return params["database"], text.String()
}

func (l *line) connected(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conn = conn
	_ = conn.SetReadDeadline(l.limits[0]) // a connection that is broken says so when it is used
	_ = conn.SetWriteDeadline(l.limits[1])
}

func (l *line) Read(p []byte) (int, error) {
	if len(l.unread) > 0 {
		n := copy(p, l.unread)
		l.unread = l.unread[n:]
		return n, nil
	}
	conn, _ := l.current()
	if conn == nil {
		return 0, io.EOF
	}
	n, err := conn.Read(p)
	if l.greeting != nil {
		l.listen(p[:n])
	}
	return n, err
}

// listen notes what the server says until it is ready.
func (l *line) listen(p []byte) {
	l.greeting.read(p, func(kind byte, body []byte) {
		s := l.session
		switch kind {
		case 'S', 'K': // a parameter; the key for requests to cancel
			s.greeting = say(s.greeting, kind, body)
			if kind == 'K' {
				s.pid = binary.BigEndian.Uint32(body)
			}
		case messageReady:
			accepted := say(nil, 'R', make([]byte, 4))
			s.greeting = say(append(accepted, s.greeting...), kind, body)
			l.greeting = nil
		}
	})
}

// say appends a message.
func say(to []byte, kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32(append(to, kind), uint32(4+len(body))), body...)
}

// keep has the session forget, and keeps it if it was at rest.
func (l *line) keep(conn net.Conn) bool {
	l.mu.Lock()
	hurried := l.hurried
	l.mu.Unlock()
	if l.session == nil || l.greeting != nil || hurried || !discarded(conn) {
		return false
	}
	l.session.conn = conn
	l.mu.Lock()
	l.conn, l.kept = nil, true
	l.mu.Unlock()
	l.all.put(l.session)
	return true
}

// discarded reports whether the session has nothing in mind any more, and nothing else to say.
func discarded(conn net.Conn) bool {
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return false
	}
	if _, err := conn.Write(say(nil, messageQuery, []byte("DISCARD ALL\x00"))); err != nil {
		return false
	}
	answers, done, ready, clean := &scanner{}, false, false, true
	for buf := make([]byte, 4096); !ready; {
		n, err := conn.Read(buf)
		if n > 0 && len(answers.head)+len(answers.body) == 0 { // of an answer to something else there may be the rest of a message
			clean = strings.IndexByte("CZSNA", buf[0]) >= 0
		}
		answers.read(buf[:n], func(kind byte, body []byte) {
			switch {
			case kind == messageComplete && string(body) == "DISCARD ALL\x00":
				done = true
			case kind == messageReady && string(body) == "I":
				ready = true
			case kind != 'S' && kind != 'N' && kind != 'A': // parameters, notices, notifications
				clean = false
			}
		})
		if err != nil || !clean {
			return false
		}
	}
	return done && conn.SetDeadline(time.Time{}) == nil
}

func (s *sessions) put(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = map[string][]*session{}
	}
	s.idle[one.database] = append(s.idle[one.database], one)
}

// take is an idle session that still lives, or nil.
func (s *sessions) take(database, asked string) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.idle[database]) - 1; i >= 0; i-- {
		one := s.idle[database][i]
		if one.asked != asked {
			continue
		}
		s.idle[database] = slices.Delete(s.idle[database], i, i+1)
		if quiet(one.conn) {
			return one
		}
		_ = one.conn.Close() // its server has gone
	}
	return nil
}

// quiet reports whether there is nothing to read, not even the connection's end.
func quiet(conn net.Conn) bool {
	raw, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	c, err := raw.SyscallConn()
	if err != nil {
		return false
	}
	still := false
	err = c.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		still = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && still
}

// pids are the server's processes of idle sessions.
func (s *sessions) pids(database string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	pids := []int{}
	for _, one := range s.idle[database] {
		pids = append(pids, int(one.pid))
	}
	return pids
}

// end ends the idle sessions of a database.
func (s *sessions) end(database string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.idle[database] {
		_ = one.conn.Close() // the server notices
	}
	delete(s.idle, database)
}

// Close closes the connection, unless the session was kept.
func (l *line) Close() error {
	conn, _ := l.current()
	if conn == nil {
		return nil
	}
	return conn.Close()
}

func (l *line) LocalAddr() net.Addr {
	if conn, _ := l.current(); conn != nil {
		return conn.LocalAddr()
	}
	return &net.TCPAddr{}
}

func (l *line) RemoteAddr() net.Addr {
	if conn, _ := l.current(); conn != nil {
		return conn.RemoteAddr()
	}
	return &net.TCPAddr{}
}

func (l *line) SetDeadline(t time.Time) error {
	return errors.Join(l.SetReadDeadline(t), l.SetWriteDeadline(t))
}

func (l *line) SetReadDeadline(t time.Time) error {
	return l.limit(0, t, net.Conn.SetReadDeadline)
}

func (l *line) SetWriteDeadline(t time.Time) error {
	return l.limit(1, t, net.Conn.SetWriteDeadline)
}

func (l *line) limit(which int, t time.Time, set func(net.Conn, time.Time) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hurried = l.hurried || !t.IsZero()
	l.limits[which] = t
	if l.conn == nil {
		return nil
	}
	return set(l.conn, t)
}

// has reports whether a database is one of the owner's, and on the way there is nobody in between.
func (o *owner) has(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host == o.server.address.Host && strings.HasPrefix(u.Path, "/"+o.name)
}
