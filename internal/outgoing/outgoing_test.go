package outgoing

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/redact"
)

func TestPublic(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:2800:220:1:248:1893:25c8:1946": true,
		"127.0.0.1": false, "127.9.9.9": false, "::1": false, "0.0.0.0": false, "::": false,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "fd00::1": false,
		"169.254.169.254": false, "fe80::1": false, "100.64.0.1": false, "198.18.0.1": false,
		"224.0.0.1": false, "ff02::1": false, "255.255.255.255": false, "240.0.0.1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false,
	} {
		if got := public(netip.MustParseAddr(address).Unmap()); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func get(t *testing.T, c *http.Client, address string) (*http.Response, string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// The address counts, whatever name it has, and also when a redirect leads there.
func TestPrivateAddressesAreNotReached(t *testing.T) {
	t.Parallel()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer server.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "https://"), ":")
	for _, address := range []string{server.URL, "https://localhost:" + port, "https://[::ffff:127.0.0.1]:" + port} {
		_, _, err := get(t, New(false).Client(Client{}), address)
		if e, ok := errors.AsType[*ForbiddenError](err); !ok || !e.Address.IsLoopback() || !strings.Contains(e.Forbidden(), "--allow-private-tools") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestNothingLeavesUnencrypted(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("reached") }))
	defer server.Close()
	for _, address := range []string{server.URL, "http://example.com/v1?token=hunter2"} {
		_, _, err := get(t, New(false).Client(Client{}), address)
		if e, ok := errors.AsType[*ForbiddenError](err); !ok || e.Address.IsValid() || strings.Contains(e.Forbidden(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestRedirectsStayOnTheHost(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed to another host") }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/away":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		case "/here":
			http.Redirect(w, r, "/there", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		default:
			fmt.Fprint(w, r.Method, " ", r.URL.Path)
		}
	}))
	defer server.Close()
	c := New(true).Client(Client{})
	defer c.CloseIdleConnections()
	if response, _, err := get(t, c, server.URL+"/away"); err != nil || response.StatusCode != http.StatusTemporaryRedirect {
		t.Errorf("to another host: %v", err)
	}
	if _, body, err := get(t, c, server.URL+"/here"); err != nil || body != "GET /there" {
		t.Errorf("on the host: %q, %v", body, err)
	}
	if _, _, err := get(t, c, server.URL+"/round"); err == nil {
		t.Error("redirects without an end")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/here", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusFound {
		t.Errorf("a change was redirected: %d", response.StatusCode)
	}
}

// recorder calls a function with every record, at once.
type recorder func(Exchange)

func (recorder) Begin(context.Context, time.Time) string { return "1" }

func (r recorder) End(_ context.Context, id string, status, _ int, exchange func() Exchange) {
	x := exchange()
	if id != "1" || status != x.Status {
		panic(fmt.Sprintf("exchange %s ended with %d, and tells of %d", id, status, x.Status))
	}
	r(x)
}

func TestExchangesAreRecordedWithoutSecrets(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Set-Cookie", "session=hunter2")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "fresh-from-the-tool", "echo":"hunter2", "rest":"`, strings.Repeat("x", mostBody), `"}`)
	}))
	defer server.Close()
	var mu sync.Mutex
	var all []Exchange
	c := New(true).Client(Client{Secrets: []string{"hunter2"}, Recorder: recorder(func(x Exchange) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, x)
	})})
	defer c.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+"/a?wstoken=abc&page=2&q=hunter2", strings.NewReader("user=u&pass=hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer hunter2")
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth("user", "hunter2")
	response, err := c.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if b, ok := response.Body.(interface{ Exchange() string }); !ok || b.Exchange() != "1" {
		t.Errorf("the answer does not know its exchange")
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || !bytes.Contains(body, []byte("fresh-from-the-tool")) {
		t.Fatalf("the client itself sees all: %v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(all) != 1 {
		t.Fatalf("%d exchanges", len(all))
	}
	x := all[0]
	told := fmt.Sprintf("%s %v %v %s %s", x.URL, x.RequestHeader, x.AnswerHeader, x.RequestBody, x.AnswerBody)
	for _, secret := range []string{"hunter2", "fresh-from", "abc", "aHVudGVyMg"} {
		if strings.Contains(told, secret) {
			t.Errorf("%q is told: %.400s", secret, told)
		}
	}
	if !strings.Contains(x.URL, "page=2") || x.Status != 200 || x.Took <= 0 || x.RequestCut || !x.AnswerCut || len(x.AnswerBody) > mostBody+8 {
		t.Errorf("exchange %s %d %v cut %v %v, %d bytes", x.URL, x.Status, x.Took, x.RequestCut, x.AnswerCut, len(x.AnswerBody))
	}
	if x.RequestHeader.Get("Content-Type") == redact.Mark || x.RequestHeader.Get("Authorization") != redact.Mark {
		t.Errorf("header %v", x.RequestHeader)
	}
}

func TestAFailureIsRecorded(t *testing.T) {
	t.Parallel()
	var x Exchange
	_, _, err := get(t, New(false).Client(Client{Recorder: recorder(func(e Exchange) { x = e })}), "http://127.0.0.1:1/a")
	if e, ok := errors.AsType[interface {
		error
		Exchange() string
	}](err); !ok || e.Exchange() != "1" {
		t.Errorf("the error does not know its exchange: %v", err)
	}
	if err == nil || x.Status != 0 || x.Error == "" || x.URL != "http://127.0.0.1:1/a" {
		t.Errorf("%v, recorded %+v", err, x)
	}
}
