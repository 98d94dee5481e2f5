// Package clientaddr tells where a request comes from, also behind proxies. X-Forwarded-For and X-Forwarded-Proto can be
// written by anybody, so only what proxies of the operator's own wrote is believed.
package clientaddr

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
)

// Client is who sent a request.
type Client struct {
	// Addr is invalid where a connection has no address, as in tests.
	Addr netip.Addr
	// TLS: the client speaks TLS, to this server or to the proxies in front of it.
	TLS bool
}

// Resolver knows which addresses are proxies. The zero value knows none, and believes no header.
type Resolver struct{ trusted []netip.Prefix }

// ParseTrusted makes a resolver of proxies' addresses: single ones, or networks in CIDR form.
func ParseTrusted(proxies []string) (Resolver, error) {
	var r Resolver
	for _, text := range proxies {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if addr, e := netip.ParseAddr(text); err != nil && e == nil && addr.Zone() == "" {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return Resolver{}, fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8 or fd00::/8", text)
		}
		if prefix.Addr().Is4In6() {
			return Resolver{}, fmt.Errorf("%q: write IPv4 networks in their own form, such as 10.0.0.0/8", text)
		}
		r.trusted = append(r.trusted, prefix.Masked())
	}
	return r, nil
}

func (r Resolver) trusts(a netip.Addr) bool {
	for _, p := range r.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Client finds who sent a request. Behind trusted proxies it is the last address in X-Forwarded-For that is not a trusted
// proxy: each of them has appended whom it heard from, and what stands before may be anything. An entry that is no address
// ends the search at the proxy that wrote it.
func (r Resolver) Client(q *http.Request) Client {
	c := Client{Addr: peer(q.RemoteAddr), TLS: q.TLS != nil}
	if !r.trusts(c.Addr) {
		return c
	}
	// A proxy that does not say speaks to the client as it does to us.
	if proto := last(q.Header.Values("X-Forwarded-Proto")); proto != "" {
		c.TLS = strings.EqualFold(proto, "https")
	}
	lines := q.Header.Values("X-Forwarded-For")
	for i := len(lines) - 1; i >= 0; i-- {
		rest := lines[i]
		for more := true; more; {
			var entry string
			rest, entry, more = cutLast(rest)
			addr, ok := parse(entry)
			if !ok {
				return c
			}
			c.Addr = addr
			if !r.trusts(addr) {
				return c
			}
		}
	}
	return c
}

// last is the last value of a header that is a list.
func last(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	_, entry, _ := cutLast(lines[len(lines)-1])
	return strings.TrimSpace(entry)
}

func cutLast(list string) (before, entry string, more bool) {
	if i := strings.LastIndexByte(list, ','); i >= 0 {
		return list[:i], list[i+1:], true
	}
	return "", list, false
}

// parse reads an entry of X-Forwarded-For: an address, which some proxies give a port, and IPv6 brackets.
func parse(entry string) (netip.Addr, bool) {
	entry = strings.TrimSpace(entry)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(entry, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(entry)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}

// peer is the other end of a connection.
func peer(remote string) netip.Addr {
	p, _ := netip.ParseAddrPort(remote) // invalid where there is none
	return p.Addr().Unmap().WithZone("")
}
