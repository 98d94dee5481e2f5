package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// pair is a certificate and its key in PEM; its serial number is its name.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, serial int64, until time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "crosswalk"},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}
}

// replace puts a file in the place of another in one step.
func replace(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// lines is a log that can be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// run runs a server until the test ends.
func run(t *testing.T, s *Server) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// serial connects anew and returns the serial number of the certificate that it is shown.
func serial(t *testing.T, s *Server) int64 {
	t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", s.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !ok(); {
		if time.Now().After(limit) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := newPair(t, 1, time.Now().Add(time.Hour))
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	replace(t, cert, first.cert)
	replace(t, key, first.key)
	log := &lines{}
	s, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Database: Database{Data: filepath.Join(dir, "data")}, TLSCert: cert, TLSKey: key, Logger: log.logger()})
	if err != nil {
		t.Fatal(err)
	}
	s.certificate.every = 10 * time.Millisecond
	run(t, s)

	if !strings.HasPrefix(s.URL, "https://127.0.0.1:") {
		t.Errorf("the server calls itself %s", s.URL)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(first.cert)
	for name, test := range map[string]struct {
		config *tls.Config
		http2  bool
		want   int // the version of HTTP; 0: refused
	}{
		"HTTP/2":           {&tls.Config{RootCAs: roots}, true, 2},
		"HTTP/1.1":         {&tls.Config{RootCAs: roots}, false, 1},
		"TLS 1.2":          {&tls.Config{RootCAs: roots, MaxVersion: tls.VersionTLS12}, true, 2},
		"TLS 1.1":          {&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true, 0},
		"an unknown issue": {&tls.Config{RootCAs: x509.NewCertPool()}, true, 0},
	} {
		client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: test.config, ForceAttemptHTTP2: test.http2}}
		response, err := client.Do(request(t, s, "/healthz"))
		if err != nil {
			if test.want != 0 {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		_ = response.Body.Close() // nothing is read of it
		if response.StatusCode != http.StatusOK || response.ProtoMajor != test.want {
			t.Errorf("%s: %d over %s", name, response.StatusCode, response.Proto)
		}
		client.CloseIdleConnections()
	}

	// One file after the other, each in one step: between the two they do not fit together.
	second := newPair(t, 2, time.Now().Add(time.Hour))
	replace(t, cert, second.cert)
	eventually(t, "a warning of a key that does not fit", func() bool { return log.count("the changed certificate cannot be used") == 1 })
	if got := serial(t, s); got != 1 {
		t.Errorf("serves certificate %d while the files do not fit together", got)
	}
	replace(t, key, second.key)
	eventually(t, "the second certificate", func() bool { return serial(t, s) == 2 })

	// What is unreadable or gone is complained of once each, and the old one kept.
	replace(t, cert, []byte("no certificate"))
	eventually(t, "a warning of a bad file", func() bool { return log.count("the changed certificate cannot be used") == 2 })
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a warning of a missing file", func() bool { return log.count("the changed certificate cannot be used") == 3 })
	if got := serial(t, s); got != 2 {
		t.Errorf("serves certificate %d while there is no other", got)
	}
	expired := newPair(t, 3, time.Now().Add(-time.Hour))
	replace(t, cert, expired.cert)
	replace(t, key, expired.key)
	eventually(t, "the third certificate", func() bool { return serial(t, s) == 3 })
	eventually(t, "a word in the log of each certificate", func() bool {
		return log.count("not valid now") == 1 && log.count("the certificate was replaced") == 2
	})
	if log.count("PRIVATE KEY") > 0 {
		t.Error("the log holds a key")
	}
}

// The way Kubernetes replaces a secret: the files are links into a folder that is itself a link, which is swapped.
func TestTLSThroughLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	publish := func(version string, serial int64) {
		p := newPair(t, serial, time.Now().Add(time.Hour))
		folder := filepath.Join(dir, version)
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		replace(t, filepath.Join(folder, "tls.crt"), p.cert)
		replace(t, filepath.Join(folder, "tls.key"), p.key)
		if err := os.Symlink(version, filepath.Join(dir, "..data.new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "..data.new"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
	}
	publish("..1", 1)
	for _, name := range []string{"tls.crt", "tls.key"} {
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, err := Start(t.Context(), Config{
		Listen: "127.0.0.1:0", Database: Database{Data: filepath.Join(dir, "data")}, TLSCert: filepath.Join(dir, "tls.crt"), TLSKey: filepath.Join(dir, "tls.key"),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.certificate.every = 10 * time.Millisecond
	run(t, s)
	if got := serial(t, s); got != 1 {
		t.Errorf("serves certificate %d", got)
	}
	publish("..2", 2)
	if err := os.RemoveAll(filepath.Join(dir, "..1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second certificate", func() bool { return serial(t, s) == 2 })
}

// A pair that is no good at the start is refused, with what to do, before anything is made.
func TestBadTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, content []byte) string {
		name = filepath.Join(dir, name)
		replace(t, name, content)
		return name
	}
	a, b := newPair(t, 1, time.Now().Add(time.Hour)), newPair(t, 2, time.Now().Add(time.Hour))
	certA, keyA, keyB := file("a.crt", a.cert), file("a.key", a.key), file("b.key", b.key)
	for name, test := range map[string]struct{ cert, key, words string }{
		"another's key": {certA, keyB, "does not match"},
		"swapped":       {keyA, certA, "a.key"},
		"no file":       {certA, filepath.Join(dir, "none"), "no such file"},
		"no key":        {certA, "", "no such file"},
		"a folder":      {dir, keyA, "is a directory"},
		"nothing in it": {file("empty", nil), keyA, "empty"},
		"no end to it":  {"/dev/zero", keyA, "larger than"},
	} {
		data := filepath.Join(dir, "data")
		_, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Database: Database{Data: data}, TLSCert: test.cert, TLSKey: test.key})
		if err == nil || skill.KindOf(err) != skill.Invalid || !strings.Contains(err.Error(), test.words) || !strings.Contains(err.Error(), "give --tls-cert a PEM file") {
			t.Errorf("%s: %v; want a refusal with %q", name, err, test.words)
		}
		if _, err := os.Stat(data); err == nil {
			t.Fatalf("%s: the data folder was made", name)
		}
	}
}

// Behind a proxy the log names the client; without one it does not believe what the client says of itself.
func TestFailedRequestNamesItsClient(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		proxies []string
		want    string
	}{
		"a proxy of ours": {[]string{"127.0.0.0/8"}, "client=198.51.100.7 tls=true"},
		"nobody's":        {nil, "client=127.0.0.1 tls=false"},
		"another one's":   {[]string{"10.0.0.0/8", "::1"}, "client=127.0.0.1 tls=false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			s, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Database: Database{Data: t.TempDir()}, TrustedProxies: test.proxies, Logger: log.logger()})
			if err != nil {
				t.Fatal(err)
			}
			s.api.Handle("GET /fails", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("on purpose") }))
			run(t, s)
			r := request(t, s, "/fails")
			r.Header.Set("X-Forwarded-For", "1.1.1.1, 198.51.100.7")
			r.Header.Set("X-Forwarded-Proto", "https")
			response, err := (&http.Client{Timeout: 20 * time.Second}).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close() // its status is enough
			if response.StatusCode < 500 || log.count(test.want) != 1 {
				t.Errorf("answered %d, and the log says:\n%s", response.StatusCode, log.b.String())
			}
		})
	}
	if _, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Database: Database{Data: t.TempDir()}, TrustedProxies: []string{"proxy"}}); err == nil || !strings.Contains(err.Error(), `--trusted-proxies: "proxy" is neither`) {
		t.Errorf("%v", err)
	}
}
