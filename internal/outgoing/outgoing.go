// Package outgoing makes the HTTP clients through which this server speaks to tools: bounded in time and size, kept away from
// the network behind it, and written down for those who must explain what happened.
package outgoing

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/redact"
)

// Network is the way to all tools. Its connections are shared by the clients of all accounts, and kept open between
// requests; CloseIdleConnections of any client ends those.
type Network struct {
	transport http.RoundTripper
}

// Client is what one account's client is made of.
type Client struct {
	// Recorder is told of every exchange, if it is not nil.
	Recorder Recorder
	// Secrets are taken out of what is recorded.
	Secrets []string
}

const (
	connectTime = 10 * time.Second
	// headerTime is longer than tools take for a batch; the engine bounds a call as a whole.
	headerTime = 2 * time.Minute
	idleTime   = 30 * time.Second
	// mostHeader bounds an answer's header.
	mostHeader = 256 << 10
)

// ForbiddenError says that an address may not be reached.
type ForbiddenError struct {
	// Address is private. Otherwise the way to Host is not encrypted.
	Address netip.Addr
	Host    string
}

// Error implements error.
func (e *ForbiddenError) Error() string { return e.Forbidden() }

// Forbidden is for people: what is forbidden, and who may allow it. It is how package rest, which does not know this one,
// tells such an error from the network's.
func (e *ForbiddenError) Forbidden() string {
	if e.Address.IsValid() {
		return fmt.Sprintf("%s is a private address; serve --allow-private-tools lets tools be there", e.Address)
	}
	return fmt.Sprintf("the address of %s begins with http://; serve --allow-private-tools lets tools be reached without encryption", e.Host)
}

// encrypted lets nothing leave that others could read on its way.
type encrypted struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t encrypted) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Scheme != "https" {
		if r.Body != nil {
			_ = r.Body.Close() // as a RoundTripper must
		}
		return nil, &ForbiddenError{Host: r.URL.Host}
	}
	return t.Transport.RoundTrip(r)
}

// New makes a network. allowPrivate lets it reach private, loopback and link-local addresses, and speak without encryption,
// for tools on one's own.
func New(allowPrivate bool) *Network {
	dialer := &net.Dialer{Timeout: connectTime, KeepAlive: 15 * time.Second}
	if !allowPrivate {
		// Asked with the address that is connected to, after names were resolved: a name may mean something else by now.
		dialer.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
			to, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if ip := to.Addr().Unmap(); !public(ip) {
				return &ForbiddenError{Address: ip}
			}
			return nil
		}
	}
	transport := &http.Transport{
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    connectTime,
		ResponseHeaderTimeout:  headerTime,
		IdleConnTimeout:        idleTime,
		MaxIdleConnsPerHost:    8,
		MaxResponseHeaderBytes: mostHeader,
		ForceAttemptHTTP2:      true,
	}
	if allowPrivate {
		return &Network{transport}
	}
	return &Network{encrypted{transport}}
}

// Client makes the client of one account.
func (n *Network) Client(c Client) *http.Client {
	return &http.Client{
		Transport: &recording{to: c.Recorder, redact: redact.New(c.Secrets...), next: n.transport},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			// Credentials must not follow to another host, nor a change be made twice.
			from := via[len(via)-1]
			if r.URL.Host != from.URL.Host || r.URL.Scheme != from.URL.Scheme || from.Method != http.MethodGet {
				return http.ErrUseLastResponse
			}
			if len(via) >= 5 {
				return errors.New("too many redirects")
			}
			return nil
		},
	}
}

// special are networks that are not the public internet and that netip does not know as such.
func special() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),
		netip.MustParsePrefix("100.64.0.0/10"),   // shared by carriers
		netip.MustParsePrefix("192.0.0.0/24"),    // protocol assignments
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
		netip.MustParsePrefix("64:ff9b::/96"),    // IPv4 behind a translator: anything may be there
		netip.MustParsePrefix("64:ff9b:1::/48"),
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // IPv4 in IPv6
	}
}

// public reports whether an address is on the public internet.
func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range special() {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
