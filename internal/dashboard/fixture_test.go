package dashboard_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/alexedwards/argon2id"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
)

// site is a whole server with its dashboard.
type site struct {
	t   *testing.T
	srv *server.Server
	env store.Environment
	log *locked
}

// locked is a log that may be read while it is written.
type locked struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func open(t *testing.T, change ...func(*server.Config)) *site {
	t.Helper()
	c := server.Config{Listen: "127.0.0.1:0", Dashboard: true, Version: "test", Database: server.Database{Data: t.TempDir()}}
	c.Engine = engine.Settings{TaskTimeout: 24 * time.Hour, KeepTasks: 30 * 24 * time.Hour, KeepTombstones: 365 * 24 * time.Hour}
	s := &site{t: t, log: &locked{}}
	c.Logger = slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	for _, f := range change {
		f(&c)
	}
	if path, embedded := c.Database.File(); embedded {
		sqlitetest.Create(t, path)
	}
	srv, err := server.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	s.srv = srv
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.log.String())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if s.env, err = srv.Store.Environment(t.Context(), store.DefaultEnvironment); err != nil {
		t.Fatal(err)
	}
	return s
}

const password = "correct horse battery staple"

// user makes a user, and signs it in.
func (s *site) user(name string, role store.Role) *browser {
	s.t.Helper()
	s.addUser(name, role)
	b := s.visitor()
	if p := b.post("/sign-in", "name", name, "password", password); p.status != http.StatusOK || strings.HasSuffix(p.path, "/sign-in") {
		s.t.Fatalf("%s cannot sign in: %d %s: %s", name, p.status, p.path, p.text(".wrong"))
	}
	return b
}

// hashed is the password's hash, of a kind that takes no time: each sign-in is checked the way that the hash says.
var hashed = sync.OnceValues(func() (string, error) {
	return argon2id.CreateHash(password, &argon2id.Params{Memory: 64, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
})

func (s *site) addUser(name string, role store.Role) store.User {
	s.t.Helper()
	hash, err := hashed()
	if err != nil {
		s.t.Fatal(err)
	}
	u, err := s.srv.Store.CreateUser(s.t.Context(), store.User{Name: name, Role: role, Password: hash})
	if err != nil {
		s.t.Fatal(err)
	}
	return u
}

// audited is the audit log but for sign-ins, newest first.
func (s *site) audited() (entries []store.AuditEntry) {
	s.t.Helper()
	all, err := s.srv.Store.AuditLog(s.t.Context(), store.AuditFilter{Limit: 1000})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range all {
		if e.Action != "user.sign-in" {
			entries = append(entries, e)
		}
	}
	return entries
}

// at is an address within the environment.
func (s *site) at(path string) string { return "/e/" + s.env.ID + path }

// connect makes an integration with the sandbox.
func (s *site) connect(customer, settings string) store.Integration {
	s.t.Helper()
	in, err := s.srv.Store.CreateIntegration(s.t.Context(), store.Integration{
		EnvironmentID: s.env.ID, Tool: "sandbox", Settings: []byte(settings), EndUser: store.EndUser{OrganisationName: customer},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return in
}

// push sends skills as an API key does, without HTTP.
func (s *site) push(in store.Integration, list ...skill.Item) string {
	s.t.Helper()
	id := skill.NewTaskID(time.Now())
	if _, err := s.srv.Store.Submit(s.t.Context(), store.Submission{
		EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, KeyID: "key", TaskID: id, Items: list, Timeout: time.Hour,
	}); err != nil {
		s.t.Fatal(err)
	}
	return id
}

// ended waits for the end of a task.
func (s *site) ended(id string) store.TaskHead {
	s.t.Helper()
	for limit := time.Now().Add(30 * time.Second); ; {
		head, err := s.srv.Store.TaskHead(s.t.Context(), s.env.ID, id)
		if err != nil {
			s.t.Fatal(err)
		}
		if head.Status != skill.Pending {
			return head
		}
		if time.Now().After(limit) {
			s.t.Fatalf("task %s does not end", id)
		}
	}
}

func items(names ...string) []skill.Item {
	list := make([]skill.Item, len(names))
	for i, name := range names {
		list[i] = skill.Item{OriginID: fmt.Sprint("id-", i+1), Name: name, Status: skill.Active}
	}
	return list
}

// logged waits until so many exchanges are in the log, which is written beside the requests.
func (s *site) logged(q store.InteractionQuery, n int) {
	s.t.Helper()
	q.EnvironmentID, q.Limit = s.env.ID, n
	for limit := time.Now().Add(10 * time.Second); ; {
		list, err := s.srv.Store.Interactions(s.t.Context(), q)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(list.Interactions) >= n {
			return
		}
		if time.Now().After(limit) {
			s.t.Fatalf("%d exchanges are logged, want %d", len(list.Interactions), n)
		}
	}
}

func (s *site) apiKey(name string) (secret string, key store.Key) {
	s.t.Helper()
	secret, shown, hash := auth.NewKey()
	key, err := s.srv.Store.CreateKey(s.t.Context(), store.Key{EnvironmentID: s.env.ID, Name: name, Prefix: shown}, hash)
	if err != nil {
		s.t.Fatal(err)
	}
	return secret, key
}

// browser is somebody with cookies.
type browser struct {
	t      *testing.T
	base   string
	client *http.Client
}

func (s *site) visitor() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s.t, "http://" + s.srv.Address, &http.Client{Jar: jar, Timeout: 30 * time.Second}}
}

// page is what came back, after redirects.
type page struct {
	t      *testing.T
	status int
	path   string // with the query
	header http.Header
	body   string
	*goquery.Document
}

func (b *browser) do(r *http.Request) page {
	b.t.Helper()
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return page{b.t, response.StatusCode, response.Request.URL.RequestURI(), response.Header, string(body), doc}
}

func (b *browser) request(method, path string, form url.Values) *http.Request {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), method, b.base+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

func (b *browser) get(path string) page {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

// post sends a form of name and value pairs.
func (b *browser) post(path string, pairs ...string) page {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	return b.do(b.request(http.MethodPost, path, form))
}

// text is that of the elements, with single spaces.
func (p page) text(selector string) string {
	return strings.Join(strings.Fields(p.Find(selector).Text()), " ")
}

// A check looks at a page.
type check func(page) string

// in wants an element, and texts in it.
func in(selector string, texts ...string) check {
	return func(p page) string {
		if p.Find(selector).Length() == 0 {
			return fmt.Sprintf("there is no %s", selector)
		}
		got := p.text(selector)
		for _, want := range texts {
			if !strings.Contains(got, want) {
				return fmt.Sprintf("%s says %.600q, want %q", selector, got, want)
			}
		}
		return ""
	}
}

// not wants no such element or, with texts, none of them in it.
func not(selector string, texts ...string) check {
	return func(p page) string {
		if len(texts) == 0 && p.Find(selector).Length() > 0 {
			return fmt.Sprintf("there is a %s: %.200q", selector, p.text(selector))
		}
		for _, text := range texts {
			if strings.Contains(p.text(selector), text) {
				return fmt.Sprintf("%s says %q", selector, text)
			}
		}
		return ""
	}
}

// count wants so many elements.
func count(selector string, n int) check {
	return func(p page) string {
		if got := p.Find(selector).Length(); got != n {
			return fmt.Sprintf("there are %d %s, want %d", got, selector, n)
		}
		return ""
	}
}

// link wants an element that leads there.
func link(selector, to string) check {
	return func(p page) string {
		var got []string
		for _, e := range p.Find(selector).EachIter() {
			href := e.AttrOr("href", e.AttrOr("action", ""))
			if href == to {
				return ""
			}
			got = append(got, href)
		}
		return fmt.Sprintf("%s leads to %q, want %q", selector, got, to)
	}
}

// want checks the status and more.
func (p page) want(status int, checks ...check) page {
	p.t.Helper()
	if p.status != status {
		p.t.Errorf("%s answered %d, want %d: %s", p.path, p.status, status, p.text("main"))
	}
	for _, c := range checks {
		if wrong := c(p); wrong != "" {
			p.t.Errorf("%s: %s", p.path, wrong)
		}
	}
	return p
}
