package pgtest

import (
	"context"
	"net"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Proxy is the network between a program and its database, which can fail. Faults add up until Restore. The methods may
// be called concurrently, and none of them waits for either end: toxiproxy, which does most of this, cannot add a fault to
// a connection whose client has stopped reading, and a stopped client is what some tests are about.
type Proxy struct {
	tb     testing.TB
	url    url.URL
	target string
	group  sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener // nil while new connections are refused
	links    map[*link]struct{}
	delay    time.Duration
	held     map[Direction]bool
	changed  chan struct{} // closed when delay or held have changed
	commit   *commitCut    // nil: not armed
}

// Direction is a direction of a connection.
type Direction string

// The directions: what the program asks, and what the database answers.
const (
	Requests Direction = "requests"
	Answers  Direction = "answers"
)

// NewProxy makes a network that works, to the server of a database. It ends with the test.
func NewProxy(tb testing.TB, databaseURL string) *Proxy {
	tb.Helper()
	address, err := url.Parse(databaseURL)
	if err != nil || address.Host == "" {
		tb.Fatal("pgtest: a proxy wants a URL like postgres://user:password@host:5432/database") // nothing more, for the password
	}
	p := &Proxy{
		tb: tb, url: *address, target: address.Host,
		links: map[*link]struct{}{}, held: map[Direction]bool{}, changed: make(chan struct{}),
	}
	if address.Port() == "" {
		p.target = net.JoinHostPort(address.Hostname(), "5432")
	}
	p.url.Host = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort()))
	query := p.url.Query()
	query.Set("sslmode", "disable") // CutCommitAnswer reads along
	p.url.RawQuery = query.Encode()
	p.Restore()
	tb.Cleanup(func() {
		p.Refuse()
		p.Cut()
		p.group.Wait()
	})
	return p
}

// URL is the address of the database, through the proxy.
func (p *Proxy) URL() string { return p.url.String() }

// Cut closes all connections, in the middle of whatever they do.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
	}
}

// Refuse refuses new connections. Those that are there stay.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close() // it is given up anyway
		p.listener = nil
	}
}

// Delay makes everything arrive later by that much, in both directions.
func (p *Proxy) Delay(by time.Duration) {
	p.change(func() { p.delay = by })
}

// Hold accepts connections, but lets nothing through in the given directions, not even that a connection was closed: each
// end waits for the other. What is held arrives with Restore, late, as it does when a network comes back.
func (p *Proxy) Hold(directions ...Direction) {
	p.change(func() {
		for _, direction := range directions {
			p.held[direction] = true
		}
	})
}

// Restore makes the network work again.
func (p *Proxy) Restore() {
	p.tb.Helper()
	p.change(func() {
		p.delay = 0
		clear(p.held)
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", p.url.Host)
	if err != nil {
		p.tb.Errorf("pgtest: proxy: %v", err)
		return
	}
	p.listener = listener
	p.group.Go(func() { p.accept(listener) })
}

func (p *Proxy) change(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed by Refuse
		}
		p.group.Go(func() { p.connect(client, listener) })
	}
}

func (p *Proxy) connect(client net.Conn, by net.Listener) {
	server, err := (&net.Dialer{Timeout: 10 * time.Second}).Dial("tcp", p.target)
	if err != nil {
		_ = client.Close() // the client learns what there is to know
		return
	}
	l := &link{proxy: p, client: client, server: server, done: make(chan struct{}), conversation: newConversation()}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != by { // refused meanwhile
		l.reset()
		return
	}
	p.links[l] = struct{}{}
	p.group.Go(func() { l.pump(client, server, Requests, l.conversation.asked) })
	p.group.Go(func() { l.pump(server, client, Answers, l.conversation.answered) })
	p.group.Go(func() {
		<-l.done
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	})
}

// link is a connection, in two parts.
type link struct {
	proxy          *Proxy
	client, server net.Conn
	conversation   conversation

	once sync.Once
	done chan struct{}
}

// piece is some bytes on their way.
type piece struct {
	content []byte
	since   time.Time
}

// pump carries bytes from one end to the other. see is shown them right before they go on; it says what of them does, and
// whether the connection is cut instead.
func (l *link) pump(from, to net.Conn, direction Direction, see func(cut *commitCut, content []byte) (pass []byte, end bool)) {
	pieces := make(chan piece, 256) // many, so that a delay is not a limit of the rate
	l.proxy.group.Go(func() {
		defer close(pieces)
		for {
			content := make([]byte, 16<<10)
			n, err := from.Read(content)
			if err != nil {
				return
			}
			select {
			case pieces <- piece{content[:n], time.Now()}:
			case <-l.done:
				return
			}
		}
	})
	for next := range pieces {
		if !l.wait(direction, next.since) {
			return
		}
		pass, end := see(l.proxy.armed(), next.content)
		if end && direction == Answers && len(pass) > 0 { // the last words
			_, _ = to.Write(pass) // whoever has gone does not hear them
			l.close()
			return
		}
		if end { // even what would pass: it is one message of many
			l.reset()
			return
		}
		if _, err := to.Write(pass); err != nil {
			break
		}
	}
	if l.wait(direction, time.Now()) {
		l.close()
	}
}

// wait waits as long as the network takes, and is false if the connection was cut meanwhile.
func (l *link) wait(direction Direction, since time.Time) bool {
	for {
		l.proxy.mu.Lock()
		held, changed, left := l.proxy.held[direction], l.proxy.changed, time.Until(since.Add(l.proxy.delay))
		l.proxy.mu.Unlock()
		if !held && left <= 0 {
			select {
			case <-l.done:
				return false
			default:
				return true
			}
		}
		var over <-chan time.Time
		if !held {
			over = time.After(left)
		}
		select {
		case <-over:
		case <-changed:
		case <-l.done:
			return false
		}
	}
}

// close closes both parts; what was written still arrives.
func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		_ = l.client.Close() // both are given up
		_ = l.server.Close()
	})
}

// reset closes both parts at once, and what has not arrived is lost.
func (l *link) reset() {
	for _, conn := range []net.Conn{l.client, l.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // it may be closed already
		}
	}
	l.close()
}
