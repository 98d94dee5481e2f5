package clientaddr

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"strings"
	"testing"
)

func TestParseTrusted(t *testing.T) {
	t.Parallel()
	for _, list := range [][]string{nil, {"10.0.0.0/8"}, {"192.0.2.1"}, {"::1", " fd00::/8"}, {"10.1.2.3/8"}} {
		if _, err := ParseTrusted(list); err != nil {
			t.Errorf("%q: %v", list, err)
		}
	}
	for _, text := range []string{"", "proxy", "10.0.0.0/33", "10.0.0", "fe80::1%eth0", "10.0.0.1:80", "*", "::ffff:10.0.0.0/104"} {
		if _, err := ParseTrusted([]string{"192.0.2.1", text}); err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
			t.Errorf("%q: %v; want a refusal that names it", text, err)
		}
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	proxies, err := ParseTrusted([]string{"10.0.0.0/8", "192.0.2.1", "fd00::/8"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		remote string
		tls    bool
		header http.Header
		want   string
		proto  bool
	}{
		"direct":                         {"203.0.113.9:1234", false, nil, "203.0.113.9", false},
		"direct over TLS":                {"203.0.113.9:1234", true, nil, "203.0.113.9", true},
		"a liar":                         {"203.0.113.9:1234", false, forwarded("198.51.100.1", "https"), "203.0.113.9", false},
		"a liar over TLS":                {"203.0.113.9:1234", true, forwarded("198.51.100.1", "http"), "203.0.113.9", true},
		"a proxy":                        {"10.1.2.3:80", false, forwarded("198.51.100.1", "https"), "198.51.100.1", true},
		"a proxy that speaks TLS to us":  {"10.1.2.3:80", true, forwarded("198.51.100.1", "http"), "198.51.100.1", false},
		"a proxy that says nothing":      {"10.1.2.3:80", false, nil, "10.1.2.3", false},
		"a single address":               {"192.0.2.1:80", false, forwarded("198.51.100.1", ""), "198.51.100.1", false},
		"its neighbour":                  {"192.0.2.2:80", false, forwarded("198.51.100.1", ""), "192.0.2.2", false},
		"a liar behind a proxy":          {"10.1.2.3:80", false, forwarded("1.1.1.1, 198.51.100.1", ""), "198.51.100.1", false},
		"a liar who names a proxy":       {"10.1.2.3:80", false, forwarded("1.1.1.1, 10.9.9.9, 198.51.100.1", ""), "198.51.100.1", false},
		"two proxies":                    {"10.1.2.3:80", false, forwarded("1.1.1.1, 198.51.100.1, 10.4.4.4", ""), "198.51.100.1", false},
		"proxies alone":                  {"10.1.2.3:80", false, forwarded("10.5.5.5, 10.4.4.4", ""), "10.5.5.5", false},
		"two lines":                      {"10.1.2.3:80", false, http.Header{"X-Forwarded-For": {"1.1.1.1, 198.51.100.1", "10.4.4.4"}}, "198.51.100.1", false},
		"nonsense":                       {"10.1.2.3:80", false, forwarded("1.1.1.1, unknown", ""), "10.1.2.3", false},
		"nonsense before a proxy":        {"10.1.2.3:80", false, forwarded("1.1.1.1, _hidden, 10.4.4.4", ""), "10.4.4.4", false},
		"nothing":                        {"10.1.2.3:80", false, forwarded("", ""), "10.1.2.3", false},
		"an empty entry":                 {"10.1.2.3:80", false, forwarded("1.1.1.1,", ""), "10.1.2.3", false},
		"a port":                         {"10.1.2.3:80", false, forwarded("198.51.100.1:4711", ""), "198.51.100.1", false},
		"IPv6":                           {"[fd00::1]:80", false, forwarded("2001:db8::1", ""), "2001:db8::1", false},
		"IPv6 in brackets":               {"[fd00::1]:80", false, forwarded("[2001:db8::1]", ""), "2001:db8::1", false},
		"IPv6 with a port":               {"[fd00::1]:80", false, forwarded("[2001:db8::1]:443", ""), "2001:db8::1", false},
		"IPv4 as IPv6, on a dual socket": {"[::ffff:10.1.2.3]:80", false, forwarded("::ffff:198.51.100.1", ""), "198.51.100.1", false},
		"a list of protocols":            {"10.1.2.3:80", false, forwarded("198.51.100.1", "https, http"), "198.51.100.1", false},
		"HTTPS":                          {"10.1.2.3:80", false, forwarded("198.51.100.1", " HTTPS"), "198.51.100.1", true},
		"no address":                     {"@", false, forwarded("198.51.100.1", "https"), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := &http.Request{RemoteAddr: test.remote, Header: test.header}
			if test.tls {
				q.TLS = &tls.ConnectionState{}
			}
			want := Client{TLS: test.proto}
			if test.want != "" {
				want.Addr = netip.MustParseAddr(test.want)
			}
			if got := proxies.Client(q); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
			// Without proxies no header is believed.
			if got, want := (Resolver{}).Client(q), (Client{Addr: peer(test.remote), TLS: test.tls}); got != want {
				t.Errorf("without proxies %+v, want %+v", got, want)
			}
		})
	}
}

func forwarded(addresses, proto string) http.Header {
	h := http.Header{"X-Forwarded-For": {addresses}}
	if proto != "" {
		h.Set("X-Forwarded-Proto", proto)
	}
	return h
}

// Whatever is written in front of what a proxy appended, the proxy's word stands; and nobody else's is taken.
func FuzzClient(f *testing.F) {
	f.Add("1.1.1.1, 10.0.0.1", "https", "198.51.100.1")
	f.Add("[::1]:8,,x%1", "", "2001:db8::1")
	proxies, err := ParseTrusted([]string{"10.0.0.0/8", "fd00::/8"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header, proto, client string) {
		q := &http.Request{RemoteAddr: "203.0.113.9:1", Header: forwarded(header, proto)}
		if got := proxies.Client(q); got.Addr != netip.MustParseAddr("203.0.113.9") || got.TLS {
			t.Fatalf("a header of nobody's proxy is believed: %+v", got)
		}
		q.RemoteAddr = "10.0.0.1:1"
		got := proxies.Client(q)
		if !got.Addr.IsValid() || got.Addr.Zone() != "" || got.Addr.Is4In6() {
			t.Fatalf("%q gives %v", header, got.Addr)
		}
		addr, err := netip.ParseAddr(client)
		if err != nil || proxies.trusts(addr.Unmap().WithZone("")) {
			return
		}
		q.Header = forwarded(header+","+client, proto)
		if got := proxies.Client(q); got.Addr != addr.Unmap().WithZone("") {
			t.Fatalf("behind %q the proxy's %s is taken for %s", header, addr, got.Addr)
		}
	})
}
