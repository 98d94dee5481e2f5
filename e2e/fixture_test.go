package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/connector/learning360/learning360test"
)

const (
	linkCustomer = "Linked AG"
	linkOrigin   = "https://app.example.com"
)

// maker has a program make data.
type maker struct {
	*site
	f fixture
}

// makeFixture lets a program make data of every kind that it knows, and kills it. See the README beside the fixtures.
func (on engine) makeFixture(t *testing.T) {
	m := &maker{on.site(t), fixture{Tasks: map[string]fixtureTask{}, Catalogues: map[string]fixtureList{}, Single: map[string]string{}}}
	m.program, m.env = *fixtureWith, append(m.env, fixtureKey)
	flags := []string{"--attempts=3", "--backoff=10ms", "--backoff-most=20ms"}
	if m.knows("--allow-private-tools", "serve") {
		flags = append(flags, "--allow-private-tools")
	}
	if m.knows("--job-timeout", "serve") {
		flags = append(flags, "--job-timeout", forever)
	}

	// The deadline of these will be over.
	m.start(append(flags, "--task-timeout=3m")...)
	laptop := m.key("--name", "laptop")
	late := m.integration("batch_limit=2", `scripts={"late-3":["hang","hang","hang","hang"]}`)
	m.until(m.submit("late", laptop, late, numbered("late-", "Late", 6)), 2, "late-3")
	m.submit("late and not begun", laptop, late, numbered("later-", "Later", 3))
	m.kill()

	var person *provider
	if m.knows("--oidc-issuer", "serve") {
		person = newProvider(t)
		m.env = append(m.env, person.secret())
		flags = append(flags, person.flags()...)
	}
	m.start(append(flags, "--task-timeout", forever)...)
	m.tables()
	acme := m.integration(`refuse_names=(?i)^test`)
	three := []client.Item{
		{OriginID: "skill-1", Name: "TypeScript"},
		{OriginID: "skill-2", Name: "Welding", Status: client.Inactive},
		{OriginID: "skill-3", Name: "Test, please ignore"},
	}
	m.ended(m.submit("three", laptop, acme, three))
	changed := append([]client.Item{{OriginID: "skill-1", Name: "TypeScript 5"}}, three[1:]...)
	m.ended(m.submit("changed", laptop, acme, changed))
	m.ended(m.submit("refused credentials", laptop, m.integration("refuse_credentials=true"), numbered("x-", "X", 2)))
	m.ended(m.submit("unsure", laptop, m.integration(`scripts={"u-1":["lose","away","away"]}`), numbered("u-", "Unsure", 2)))
	var sealed []string
	if m.knows("--set-file", "integrations", "create") {
		secret := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(secret, []byte("sk_sandbox_123"), 0o600); err != nil {
			t.Fatal(err)
		}
		sealed = []string{"--set-file", "api_key=" + secret}
	}
	gone := m.create("sandbox", sealed...)
	m.ended(m.submit("of a deleted integration", laptop, gone, numbered("g-", "Gone", 40)))
	m.admin("id", "integrations", "delete", gone)

	m.admin("id", "environments", "create", "--name", "staging")
	m.key("--name", "nightly", "--environment", "staging")
	m.f.Revoked = m.admin("key", "keys", "create", "--name", "lost")
	var listed struct{ Keys []struct{ ID, Name string } }
	m.run(&listed, "keys", "list")
	for _, k := range listed.Keys {
		if k.Name == "lost" {
			m.admin("id", "keys", "revoke", k.ID)
		}
	}
	if len(sealed) > 0 {
		m.ended(m.submit("sealed", laptop, m.create("sandbox", sealed...), numbered("sealed-", "Sealed", 2)))
	}
	if m.f.has(withInteractions) && m.knows("list", "logs") {
		m.logged(m.f.Tasks["changed"].ID)
	}
	if m.f.has(withPolicies) {
		if m.knows("--inactive", "integrations", "create") {
			m.f.Refusing = m.create("sandbox", "--inactive", "refuse")
		}
		m.ended(m.submit("away", laptop, m.integration("outage=true"), numbered("away-", "Away", 3)))
	}
	if m.f.has(withUsers) {
		m.users(person)
	}
	if m.f.has(withLinks) {
		m.links(laptop)
	}
	if m.f.has(withReading) {
		m.readBack(laptop, on.hourAgo)
	}
	off := m.integration("latency=30s")
	m.submit("switched off", laptop, off, numbered("off-", "Off", 3))
	if m.f.has(withReading) {
		if _, err := m.as(laptop, off).CreateSkill(t.Context(), client.Item{OriginID: "single", Name: "Asked for"}); err != nil {
			t.Fatal(err)
		}
		m.f.Single[off] = "single"
	}
	m.admin("id", "integrations", "disable", off)
	m.admin("id", "integrations", "update", off, "--unset", "latency")

	// What is in the midst of something comes last.
	if m.offers("360learning") {
		m.job(laptop)
	}
	busy := m.integration("batch_limit=5", `scripts={"busy-12":["hang"]}`)
	m.until(m.submit("half done", laptop, busy, numbered("busy-", "Busy", 20)), 10, "busy-12")
	m.submit("large", laptop, busy, numbered("large-", "Large", 2100))
	m.submit("behind it", laptop, busy, numbered("busy-", "Busy again", 15))
	if m.f.has(withReading) {
		if _, err := m.as(laptop, busy).ForceSync(t.Context(), client.FullSync); err != nil {
			t.Fatal(err)
		}
	}
	for name, task := range m.f.Tasks {
		if got, err := task.client(m.site).Task(t.Context(), task.ID); err != nil && name != "of a deleted integration" {
			t.Fatalf("%s: %v", name, err)
		} else if got.Ended() {
			task.Answer = m.answer(task.Key, task.Integration, taskPath+task.ID)
			m.f.Tasks[name] = task
		}
	}
	m.kill()

	content, err := json.Marshal(m.f)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(on.folder, 0o755); err != nil {
		t.Fatal(err)
	}
	pack(t, on.folder+*fixtureName+".json.gz", content)
	pack(t, on.folder+*fixtureName+on.ext, on.dump(m.site))
}

// knows reports whether the help for a command has a word.
func (m *maker) knows(word string, command ...string) bool {
	m.t.Helper()
	help, err := exec.CommandContext(m.t.Context(), m.program, append(command, "--help")...).CombinedOutput()
	return err == nil && bytes.Contains(help, []byte(word)) // a command that it does not know is an error
}

// offers reports whether the program has a connector.
func (m *maker) offers(tool string) bool {
	m.t.Helper()
	out, err := exec.CommandContext(m.t.Context(), m.program, "tools").Output()
	return err == nil && bytes.Contains(out, []byte(tool))
}

// tables notes which changes of the tables the program has made.
func (m *maker) tables() {
	m.t.Helper()
	m.sql(func(ctx context.Context, db *sql.DB) error {
		rows, err := db.QueryContext(ctx, "SELECT version_id FROM goose_db_version WHERE version_id > 0 ORDER BY version_id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var change int
			if err := rows.Scan(&change); err != nil {
				return err
			}
			m.f.Tables = append(m.f.Tables, change)
		}
		return rows.Err()
	})
}

func (m *maker) key(args ...string) string {
	key := m.admin("key", append([]string{"keys", "create"}, args...)...)
	m.f.Good = append(m.f.Good, key)
	return key
}

func (m *maker) create(tool string, args ...string) string {
	return m.admin("id", append([]string{"integrations", "create", "--tool", tool, "--name", "Acme GmbH"}, args...)...)
}

func (m *maker) integration(settings ...string) string {
	var args []string
	for _, set := range settings {
		args = append(args, "--set", set)
	}
	return m.create("sandbox", args...)
}

func numbered(prefix, name string, n int) []client.Item {
	list := make([]client.Item, n)
	for i := range list {
		list[i] = client.Item{OriginID: fmt.Sprint(prefix, i), Name: fmt.Sprintf("%s %d", name, i)}
	}
	return list
}

func (m *maker) submit(name, key, integration string, items []client.Item) fixtureTask {
	m.t.Helper()
	task := fixtureTask{Key: key, Integration: integration}
	for _, it := range items {
		task.Items = append(task.Items, [3]string{it.OriginID, it.Name, it.Status})
	}
	accepted, err := task.client(m.site).UpsertSkills(m.t.Context(), items)
	if err != nil {
		m.t.Fatalf("%s: %v", name, err)
	}
	task.ID = accepted.TaskID
	m.f.Tasks[name] = task
	return task
}

func (m *maker) ended(task fixtureTask) {
	m.t.Helper()
	if _, err := task.client(m.site).Wait(m.t.Context(), task.ID, nil); err != nil {
		m.t.Fatal(err)
	}
}

// until waits until so many are done, and the next call hangs for a skill: its intent is on disk, and the step of the script.
func (m *maker) until(task fixtureTask, done int, hangs string) {
	m.t.Helper()
	eventually(m.t, 20*time.Second, fmt.Sprintf("%d are done, and the call for %s hangs", done, hangs), func() bool {
		got, err := task.client(m.site).Task(m.t.Context(), task.ID)
		return err == nil && got.Progress.Done == done && m.number("SELECT count(*) FROM sandbox_scripts WHERE external_id = '"+hangs+"'") == 1
	})
}

// logged notes the interactions of a task.
func (m *maker) logged(task string) {
	m.t.Helper()
	var list struct{ Interactions []struct{ ID string } }
	eventually(m.t, 20*time.Second, "the log has the submission", func() bool {
		m.run(&list, "logs", "list", "--task", task)
		return len(list.Interactions) > 0
	})
	for _, i := range list.Interactions {
		var shown fixtureExchange
		m.run(&shown, "logs", "show", i.ID)
		m.f.Logged = append(m.f.Logged, shown)
	}
}

// users makes one with a password, one through a provider, and a key with limits.
func (m *maker) users(person *provider) {
	m.t.Helper()
	m.f.User = "grace@example.org"
	file := filepath.Join(m.t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(fixturePassword), 0o600); err != nil {
		m.t.Fatal(err)
	}
	m.admin("id", "users", "create", m.f.User, "--role", "owner", "--password-file", file)
	if page := m.signIn(m.f.User); !strings.Contains(page, m.f.User) {
		m.t.Fatalf("%s cannot sign in: %s", m.f.User, page)
	}
	m.f.Limited = m.admin("key", "keys", "create", "--name", "reports", "--scope", "read", "--expires", forever, "--address", "192.0.2.0/24")
	if person == nil {
		return
	}
	m.f.Person = "ada@example.com"
	if page := m.signInThrough(person, m.f.Person); !strings.Contains(page, m.f.Person) {
		m.t.Fatalf("%s cannot sign in: %s", m.f.Person, page)
	}
}

// links makes two, and uses one of them.
func (m *maker) links(key string) {
	m.t.Helper()
	m.run(&struct{}{}, "environments", "set", "default", "--connect-origins", linkOrigin)
	c := m.as(key, "")
	for _, path := range []*string{&m.f.Link, &m.f.Token} {
		address, err := c.CreateLink(m.t.Context(), client.Link{
			Email: "anna@linked.example", OrganizationName: linkCustomer, Tool: "sandbox", Type: client.MagicLink,
		})
		if err != nil {
			m.t.Fatal(err)
		}
		*path = strings.TrimPrefix(address, m.url)
	}
	m.f.Token = m.useLink(m.f.Token)
	connected, err := c.IntegrationByToken(m.t.Context(), m.f.Token)
	if err != nil {
		m.t.Fatal(err)
	}
	m.f.Connected = connected.ID
}

// readBack has a sync notice what people did in the tool.
func (m *maker) readBack(key, hourAgo string) {
	m.t.Helper()
	in := m.integration()
	m.ended(m.submit("read back", key, in, numbered("read-", "Read", 4)))
	m.exec("UPDATE sandbox_skills SET name = 'Renamed by hand' WHERE external_id = 'read-1'")
	m.exec("DELETE FROM sandbox_skills WHERE external_id = 'read-2'")
	m.exec("UPDATE skills SET written_at = " + hourAgo + " WHERE origin_id = 'read-2'") // a list may be a minute late
	m.synced("read back", key, in, func(list []client.CatalogueSkill) bool {
		gone := 0
		for _, sk := range list {
			if sk.RemoteDeletedAt != nil {
				gone++
			}
		}
		return gone == 1
	})
}

// synced has a tool read, and notes what is shown once it is as it should be.
func (m *maker) synced(name, key, integration string, good func([]client.CatalogueSkill) bool) {
	m.t.Helper()
	if _, err := m.as(key, integration).ForceSync(m.t.Context(), client.FullSync); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, 20*time.Second, "the tool was read", func() bool {
		var answer struct{ Data client.SkillsPage }
		text := m.answer(key, integration, skillsPath)
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			m.t.Fatalf("%v: %s", err, text)
		}
		m.f.Catalogues[name] = fixtureList{key, integration, text}
		return good(answer.Data.Skills) && m.number("SELECT count(*) FROM syncs WHERE active") == 0
	})
}

// job leaves a job of the tool's under way, beside a skill that people made there.
func (m *maker) job(key string) {
	m.t.Helper()
	lms := newCompany(m.t)
	lms.Takes = func(int) time.Duration { return 24 * time.Hour }
	m.f.Company = lms.url
	secret := filepath.Join(m.t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(lms.Secret), 0o600); err != nil {
		m.t.Fatal(err)
	}
	in := m.create("360learning", "--set", "client_id="+lms.ClientID, "--set", "parents="+lms.Library, "--set", "address="+lms.url,
		"--set-file", "client_secret="+secret)
	m.submit("as a job", key, in, numbered("job-", "Job", 20))
	eventually(m.t, 20*time.Second, "the job is under way", func() bool { return m.number("SELECT count(*) FROM intents WHERE receipt <> ''") == 1 })

	// A second integration with the same tool, since a sync waits for what is to be written.
	reads := m.create("360learning", "--set", "client_id="+lms.ClientID, "--set", "parents="+lms.Library, "--set", "address="+lms.url,
		"--set-file", "client_secret="+secret)
	lms.MakeByHand("Made by hand")
	m.synced("made by hand", key, reads, func(list []client.CatalogueSkill) bool { return len(list) == 1 })
}

// company is a tool that takes jobs.
type company struct {
	*learning360test.Company
	t   *testing.T
	url string
}

func newCompany(t *testing.T) *company {
	c := &company{Company: learning360test.New(t), t: t}
	s := httptest.NewServer(c)
	t.Cleanup(s.Close)
	c.url, c.Elsewhere = s.URL, s.URL
	c.Takes = func(int) time.Duration { return 0 }
	return c
}

// upsert starts a job by hand.
func (c *company) upsert(list []client.Item) {
	c.t.Helper()
	var token struct {
		Token string `json:"access_token"`
	}
	c.ask(http.MethodPost, "/api/v2/oauth2/token", "", map[string]string{"grant_type": "client_credentials", "client_id": c.ClientID, "client_secret": c.Secret}, &token)
	var input []map[string]any
	for _, it := range list {
		input = append(input, map[string]any{"externalId": it.OriginID, "name": it.Name, "parentExternalIds": []string{c.Library}})
	}
	c.ask(http.MethodPut, "/api/v2/bulk/skills", token.Token, map[string]any{"input": input}, nil)
}

func (c *company) ask(method, path, token string, body, into any) {
	c.t.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(content))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("360-Api-Version", "v2.0")
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(answer, into)
	}
	if err != nil || response.StatusCode >= 300 {
		c.t.Fatalf("%s %s: %s, %v: %s", method, path, response.Status, err, answer)
	}
}

// holds wants the tool to hold these skills, and no other.
func (c *company) holds(list []client.Item) {
	c.t.Helper()
	want, got := map[string]string{}, map[string]string{}
	for _, it := range list {
		want[it.OriginID] = it.Name
	}
	for _, r := range c.Records() {
		got[r.OriginID] = r.Name
	}
	if diff := cmp.Diff(want, got); diff != "" {
		c.t.Errorf("the tool's catalogue (-want +got):\n%s", diff)
	}
}

// provider is an OpenID provider.
type provider struct{ *mockoidc.MockOIDC }

func newProvider(t *testing.T) *provider {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mockoidc.NewServer(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if id, secret, ok := r.BasicAuth(); ok { // it says it takes this, but reads the form alone
				_ = r.ParseForm()
				r.Form.Set("client_id", id)
				r.Form.Set("client_secret", secret)
			}
			next.ServeHTTP(w, r)
		})
	}); err != nil {
		t.Fatal(err)
	}
	listen, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(listen, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Server.Close() })
	return &provider{m}
}

func (p *provider) secret() string { return "CROSSWALK_OIDC_CLIENT_SECRET=" + p.ClientSecret }

func (p *provider) flags() []string {
	return []string{"--oidc-issuer", p.Issuer(), "--oidc-client-id=" + p.ClientID, "--oidc-allowed-domains", "example.com"}
}

// visitor is a browser without a script.
func visitor(t *testing.T) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 20 * time.Second}
}

// signIn signs in with fixturePassword, and returns the page that follows.
func (s *site) signIn(name string) string {
	s.t.Helper()
	v := visitor(s.t)
	s.postForm(v, "/sign-in", url.Values{"name": {name}, "password": {fixturePassword}})
	page, _ := s.get200(v, "/account/")
	return page
}

// signInThrough signs in somebody for whom the provider vouches under an address, and returns the page that follows.
func (s *site) signInThrough(p *provider, address string) string {
	s.t.Helper()
	p.QueueUser(&mockoidc.MockUser{Subject: fixtureSubject, Email: address, EmailVerified: true})
	page, _ := s.get200(visitor(s.t), "/sign-in/oidc?next=%2Faccount%2F")
	return page
}

var connectToken = regexp.MustCompile(`data-token="([^"]+)"`)

// useLink connects a sandbox by a link, and returns the token that it ends with.
func (s *site) useLink(path string) string {
	s.t.Helper()
	page := s.postForm(http.DefaultClient, path+"/sandbox", url.Values{"form": {rand.Text()}})
	match := connectToken.FindStringSubmatch(page)
	if match == nil {
		s.t.Fatalf("a link to connect led to %s", page)
	}
	return match[1]
}

func (s *site) get200(c *http.Client, path string) (string, http.Header) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.page(c, request)
}

func (s *site) postForm(c *http.Client, path string, form url.Values) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	page, _ := s.page(c, request)
	return page
}

func (s *site) page(c *http.Client, request *http.Request) (string, http.Header) {
	s.t.Helper()
	response, err := c.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s %s: %s, %v: %s", request.Method, request.URL.Path, response.Status, err, content)
	}
	return string(content), response.Header
}

func unpack(t *testing.T, path string) []byte {
	t.Helper()
	packed, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer packed.Close()
	plain, err := gzip.NewReader(packed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(plain)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func pack(t *testing.T, path string, content []byte) {
	t.Helper()
	var packed bytes.Buffer
	w, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = os.WriteFile(path, packed.Bytes(), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
