package pgtest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
)

// CutCommitAnswer arms the proxy: of the next transaction that commits and holds a statement of which is is true, the
// answer is lost. The database has committed and said so; then the connection is cut, and the program is not told. The
// channel is closed when that has happened. It makes no difference whether the commit is a statement of its own or
// follows from the end of a batch.
func (p *Proxy) CutCommitAnswer(is func(statement string) bool) <-chan struct{} {
	return p.arm(&commitCut{is: is})
}

// CutCommit arms the proxy likewise, but it is the COMMIT itself that is lost: the database never sees it. Only one that
// is a statement of its own can be.
func (p *Proxy) CutCommit(is func(statement string) bool) <-chan struct{} {
	return p.arm(&commitCut{is: is, before: true})
}

// StopAfterCommit arms the proxy likewise: the database has committed, says that of each statement, and then, instead of being
// ready for more, that it is shut down.
func (p *Proxy) StopAfterCommit(is func(statement string) bool) <-chan struct{} {
	return p.arm(&commitCut{is: is, last: Fatal("57P01", "terminating connection due to administrator command")})
}

// Fatal is what a database says when it ends a connection.
func Fatal(code, message string) []byte {
	var body []byte
	for _, field := range []string{"SFATAL", "VFATAL", "C" + code, "M" + message, ""} {
		body = append(append(body, field...), 0)
	}
	return append(binary.BigEndian.AppendUint32([]byte{messageError}, uint32(len(body)+4)), body...)
}

func (p *Proxy) arm(cut *commitCut) <-chan struct{} {
	cut.proxy, cut.done = p, make(chan struct{})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commit = cut
	return cut.done
}

func (p *Proxy) armed() *commitCut {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.commit
}

// commitCut is a cut that waits for its commit.
type commitCut struct {
	proxy  *Proxy
	is     func(statement string) bool
	before bool   // the COMMIT is cut, else its answer
	last   []byte // the answer passes, but for its end: this comes in its place
	done   chan struct{}
}

// take is true for the first that comes.
func (c *commitCut) take() bool {
	c.proxy.mu.Lock()
	defer c.proxy.mu.Unlock()
	if c.proxy.commit != c {
		return false
	}
	c.proxy.commit = nil
	close(c.done)
	return true
}

// conversation follows what is said on a connection: PostgreSQL's protocol, version 3, without TLS. Requests come in
// rounds, each of which the database ends with ReadyForQuery; more than one may be under way.
type conversation struct {
	mu       *sync.Mutex
	requests scanner
	answers  scanner
	prepared map[string]string // statements by name
	asking   []string          // statements of the round that is being asked
	rounds   [][]string        // asked, and not answered to the end
	done     []string          // statements of the open transaction whose round has ended
	undone   bool              // the round's last word is an error or a rollback
	pending  []byte            // answers that are held until it is known how the round ends
}

func newConversation() conversation {
	return conversation{mu: new(sync.Mutex), requests: scanner{untyped: true}, prepared: map[string]string{}}
}

// The types of messages, as the protocol has them.
const (
	messageQuery    = 'Q'
	messageParse    = 'P'
	messageBind     = 'B'
	messageSync     = 'S'
	messageError    = 'E'
	messageComplete = 'C'
	messageReady    = 'Z'
)

// asked follows the requests. They go on, but for a COMMIT that is to be lost.
func (c *conversation) asked(cut *commitCut, content []byte) (pass []byte, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := func(statement string) bool { // a COMMIT that must not arrive
		return strings.EqualFold(statement, "commit") && cut != nil && cut.before && slices.ContainsFunc(c.done, cut.is) && cut.take()
	}
	c.requests.read(content, func(kind byte, body []byte) {
		first, rest, _ := bytes.Cut(body, []byte{0})
		second, _, _ := bytes.Cut(rest, []byte{0})
		switch kind {
		case messageQuery:
			end = end || lost(string(first))
			c.rounds, c.asking = append(c.rounds, append(c.asking, string(first))), nil
		case messageParse:
			c.prepared[string(first)] = string(second)
		case messageBind:
			end = end || lost(c.prepared[string(second)])
			c.asking = append(c.asking, c.prepared[string(second)])
		case messageSync:
			c.rounds, c.asking = append(c.rounds, c.asking), nil
		}
	})
	return content, end
}

// answered follows the answers. Those that may tell of the commit are held.
func (c *conversation) answered(cut *commitCut, content []byte) (pass []byte, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pending = append(c.pending, content...)
	c.answers.read(content, func(kind byte, body []byte) {
		switch kind {
		case messageError:
			c.undone = true
		case messageComplete:
			c.undone = bytes.Equal(body, []byte("ROLLBACK\x00"))
		case messageReady:
			idle := bytes.Equal(body, []byte("I"))
			end = end || idle && !c.undone && c.meant(cut) && cut.take()
			c.done, c.undone = append(c.done, c.round()...), false
			c.rounds = c.rounds[min(1, len(c.rounds)):]
			if idle {
				c.done = nil
			}
		}
	})
	if end && cut.last != nil {
		return append(bytes.TrimSuffix(c.pending, []byte{messageReady, 0, 0, 0, 5, 'I'}), cut.last...), true
	}
	if end || len(c.rounds)+len(c.asking) > 0 && c.meant(cut) {
		return nil, end
	}
	pass, c.pending = c.pending, nil
	return pass, false
}

// round is what is being answered.
func (c *conversation) round() []string {
	if len(c.rounds) == 0 {
		return nil
	}
	return c.rounds[0]
}

// meant says whether the transaction is one that the cut waits for.
func (c *conversation) meant(cut *commitCut) bool {
	return cut != nil && !cut.before && (slices.ContainsFunc(c.done, cut.is) || slices.ContainsFunc(c.round(), cut.is))
}

// scanner splits one direction of a connection into messages.
type scanner struct {
	untyped bool // the next message has no type
	head    []byte
	left    int // of the body
	body    []byte
	inBody  bool
}

// most is how much of a message's body is looked at.
const most = 64 << 10

// read calls message for each message that ends in the content.
func (s *scanner) read(content []byte, message func(kind byte, body []byte)) {
	for len(content) > 0 {
		if !s.inBody {
			size := 5
			if s.untyped {
				size = 4
			}
			n := min(size-len(s.head), len(content))
			s.head, content = append(s.head, content[:n]...), content[n:]
			if len(s.head) < size {
				return
			}
			s.left, s.inBody = int(binary.BigEndian.Uint32(s.head[size-4:]))-4, true
		}
		n := min(s.left, len(content))
		s.body = append(s.body, content[:min(n, most-len(s.body))]...)
		s.left, content = s.left-n, content[n:]
		if s.left > 0 {
			return
		}
		kind := s.head[0]
		if s.untyped {
			kind = 0
		}
		message(kind, s.body)
		*s = scanner{head: s.head[:0], body: s.body[:0]}
	}
}
