package connect

import (
	"net/netip"
	"sync"
	"time"
)

// limiter counts what comes from each address within a period. Its memory is bounded.
type limiter struct {
	most   int
	period time.Duration

	mu    sync.Mutex
	seen  map[netip.Prefix]*window
	sweep time.Time
}

type window struct {
	since time.Time
	n     int
}

// mostAddresses bounds what is remembered; then it is forgotten.
const mostAddresses = 20_000

// network is what is taken for one address: of IPv6 a customer's smallest network.
func network(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // where there is no address all share one place
	return p
}

// full reports whether an address has used up what it may.
func (l *limiter) full(a netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.seen[network(a)]
	return w != nil && now.Sub(w.since) < l.period && w.n >= l.most
}

// count adds one.
func (l *limiter) count(a netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= mostAddresses || now.Sub(l.sweep) > l.period {
		for key, w := range l.seen {
			if now.Sub(w.since) >= l.period {
				delete(l.seen, key)
			}
		}
		l.sweep = now
		if len(l.seen) >= mostAddresses {
			clear(l.seen)
		}
	}
	if l.seen == nil {
		l.seen = map[netip.Prefix]*window{}
	}
	w := l.seen[network(a)]
	if w == nil || now.Sub(w.since) >= l.period {
		w = &window{since: now}
		l.seen[network(a)] = w
	}
	w.n++
}
