package connect_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/hibob"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/connect"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
)

// fixture is the page on a real store and a real socket, with a fake company of HiBob behind it.
type fixture struct {
	*testing.T
	store   *sqlite.Store
	env     store.Environment
	ring    *auth.Keyring
	config  connect.Config
	server  *httptest.Server
	company *hibobtest.Company
	bob     string // the address of its API
	odd     *odd
	log     *logged
	clock   *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// odd is a tool that says what the test wants.
type odd struct {
	check func(context.Context) error // nil: it cannot be asked
	label string
	open  error
}

func (o *odd) Describe() connector.Description {
	return connector.Description{
		Slug: "odd", Label: o.label, Category: connector.HRIS, Summary: o.label, Limits: connector.Limits{Batch: 1, Concurrency: 1},
		Settings: []connector.Field{
			{Name: "name", Type: connector.Text, Label: o.label, Help: o.label, Example: o.label},
			{Name: "secret", Type: connector.Text, Label: "Secret", Secret: true, Required: true},
			{Name: "number", Type: connector.Number, Label: "Number", Default: "1"},
			{Name: "wait", Type: connector.Duration, Label: "Wait", Default: "1s"},
			{Name: "kind", Type: connector.Choice, Choices: []string{"a", "b"}, Label: "Kind", Default: "a"},
			{Name: "on", Type: connector.Switch, Label: "On", Default: "true"},
			{Name: "address", Type: connector.Address, Label: "Address"},
			{Name: "data", Type: connector.Data, Label: "Data"},
		},
		Links: []connector.Link{{Label: o.label, URL: "https://vendor.example/help"}},
	}
}

func (o *odd) Open(a connector.Account) (connector.Session, error) {
	if o.open != nil {
		return nil, o.open
	}
	if err := o.Describe().DecodeSettings(a.Settings, &map[string]any{}); err != nil {
		return nil, err
	}
	if o.check == nil {
		return oddSession{}, nil
	}
	return oddChecker{check: o.check}, nil
}

type oddSession struct{}

func (oddSession) Limits() connector.Limits { return connector.Limits{Batch: 1, Concurrency: 1} }
func (oddSession) Write(context.Context, []connector.Skill) ([]connector.Result, error) {
	return nil, nil
}

type oddChecker struct {
	oddSession
	check func(context.Context) error
}

func (c oddChecker) Check(ctx context.Context) error { return c.check(ctx) }

func setup(t *testing.T, change ...func(*fixture)) *fixture {
	t.Helper()
	t.Parallel()
	f := &fixture{T: t, company: hibobtest.New(t), odd: &odd{label: "Odd"}, log: &logged{}, clock: &clock{now: time.Now()}}
	f.store = sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db"), Now: f.clock.Now})
	t.Cleanup(func() {
		if err := f.store.Close(); err != nil {
			t.Error(err)
		}
	})
	key, err := auth.ParseMasterKey(auth.NewMasterKey())
	if err != nil {
		t.Fatal(err)
	}
	f.ring = &auth.Keyring{Key: key}
	if f.env, err = f.store.CreateEnvironment(t.Context(), "Talent Cloud"); err != nil {
		t.Fatal(err)
	}
	company := httptest.NewServer(f.company)
	t.Cleanup(company.Close)
	f.bob = company.URL + "/v1"
	f.config = connect.Config{
		Store: f.store, Keyring: f.ring, PublicURL: "https://skills.example.com", Logger: slog.New(slog.NewTextHandler(f.log, nil)), Now: f.clock.Now,
		Connectors: connector.NewRegistry(sandbox.New(f.store.Sandbox()), hibob.New(), moodle.New(), odoo.New(), f.odd),
		HTTP:       func(string, string, []string) *http.Client { return company.Client() },
	}
	for _, c := range change {
		c(f)
	}
	mux := http.NewServeMux()
	for pattern, h := range connect.New(f.config).Routes() {
		mux.Handle(pattern, h)
	}
	// The drawings of tools are the API's.
	mux.Handle("GET /assets/tools/", api.New(api.Config{Engine: struct{ api.Submitter }{}, Connectors: f.config.Connectors}))
	f.server = httptest.NewServer(mux)
	t.Cleanup(f.server.Close)
	return f
}

// link makes one, and returns its token.
func (f *fixture) link(change func(*store.Link)) string {
	f.Helper()
	token := auth.NewLinkToken()
	hash, _ := auth.HashToken(token)
	link := store.Link{
		EnvironmentID: f.env.ID, Purpose: store.Connect, Category: "HRIS", Language: "en",
		EndUser: store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "anna@acme.example", OriginID: "acme-1"},
	}
	if change != nil {
		change(&link)
	}
	if _, err := f.store.CreateLink(f.Context(), link, hash, time.Hour); err != nil {
		f.Fatal(err)
	}
	return token
}

type answer struct {
	*goquery.Document
	status int
	header http.Header
	body   string
}

// do sends a request as a browser that follows nothing.
func (f *fixture) do(method, path string, form url.Values, header ...string) answer {
	f.Helper()
	r, err := http.NewRequestWithContext(f.Context(), method, f.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		f.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if err != nil {
		f.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.Fatal(err)
	}
	doc, err := goquery.NewDocumentFromReader(bytes.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	return answer{doc, response.StatusCode, response.Header, string(body)}
}

func (f *fixture) get(path string, header ...string) answer {
	f.Helper()
	return f.do(http.MethodGet, path, nil, header...)
}

// form is what a browser would send of a page's form, with some values of its own.
func (f *fixture) form(a answer, values ...string) url.Values {
	f.Helper()
	form := url.Values{}
	a.Find("form [name]").Each(func(_ int, s *goquery.Selection) {
		name, _ := s.Attr("name")
		value, _ := s.Attr("value")
		switch goquery.NodeName(s) {
		case "select":
			value, _ = s.Find("option[selected]").Attr("value")
		case "textarea":
			value = s.Text()
		default:
			if kind, _ := s.Attr("type"); kind == "checkbox" {
				if _, on := s.Attr("checked"); !on {
					return
				}
			}
		}
		form.Set(name, value)
	})
	for i := 0; i+1 < len(values); i += 2 {
		form.Set(values[i], values[i+1])
	}
	return form
}

// bobs are the values of the company's account.
func (f *fixture) bobs() []string {
	return []string{"set.service_user_id", f.company.User, "set.token", f.company.Token, "set.address", f.bob}
}

// send fills in the form of a page and sends it.
func (f *fixture) send(path string, values ...string) answer {
	f.Helper()
	page := f.get(path)
	if page.status != http.StatusOK {
		f.Fatalf("%s: %d %s", path, page.status, page.body)
	}
	return f.do(http.MethodPost, path, f.form(page, values...))
}

func (f *fixture) integrations() []store.Integration {
	f.Helper()
	list, err := f.store.Integrations(f.Context(), f.env.ID)
	if err != nil {
		f.Fatal(err)
	}
	return list
}

// made is the integration that a page's token stands for.
func (f *fixture) made(token string) store.Integration {
	f.Helper()
	hash, _ := auth.HashToken(token)
	in, err := f.store.IntegrationByToken(f.Context(), f.env.ID, hash)
	if err != nil {
		f.Fatalf("token %q: %v", token, err)
	}
	return in
}

func (a answer) token() string {
	token, _ := a.Find("#done").Attr("data-token")
	return token
}

func (a answer) text(selector string) string {
	return strings.Join(strings.Fields(a.Find(selector).Text()), " ")
}

func settingsOf(t *testing.T, in store.Integration) map[string]any {
	t.Helper()
	all := map[string]any{}
	if err := json.Unmarshal(in.Settings, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
