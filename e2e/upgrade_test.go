package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

var (
	fixtureName = flag.String("fixture-name", "", "make upgrade fixtures of that name instead of trying those there are")
	fixtureWith = flag.String("fixture-with", "", "the program that makes them")
)

// engine is a database that an earlier program was killed on. Its fixtures stand in the package of its store: what the
// database held, and what the program had told of it.
type engine struct {
	name, folder, ext string
	site              func(t *testing.T) *site // an empty database
	dump              func(s *site) []byte
	restore           func(s *site, content []byte)
	// earlier and later are literals for times long ago and far away; hourAgo is an expression for an hour before written_at.
	earlier, later, hourAgo string
	move                    string // a statement that puts another address of a tool for one
}

func engines() []engine {
	return []engine{
		{
			name: "SQLite", folder: "../internal/store/sqlite/testdata/upgrade/", ext: ".db.gz",
			earlier: "1577836800000", later: "4102444800000", hourAgo: "written_at - 3600000",
			move: "UPDATE integrations SET settings = replace(settings, $1, $2)",
			site: newSite,
			dump: func(s *site) []byte {
				// Whoever closes the database last copies the log into it.
				s.run(&struct{}{}, "keys", "list")
				content, err := os.ReadFile(s.source)
				if err != nil {
					s.t.Fatal(err)
				}
				return content
			},
			restore: func(s *site, content []byte) {
				if err := os.MkdirAll(s.data, 0o700); err != nil {
					s.t.Fatal(err)
				}
				if err := os.WriteFile(s.source, content, 0o600); err != nil {
					s.t.Fatal(err)
				}
			},
		},
		{
			name: "PostgreSQL", folder: "../internal/store/postgres/testdata/upgrade/", ext: ".sql.gz",
			earlier: "'2020-01-01'", later: "'2100-01-01'", hourAgo: "written_at - interval '1 hour'",
			move: "UPDATE integrations SET settings = replace(settings::text, $1, $2)::json",
			site: func(t *testing.T) *site {
				url := pgtest.Empty(t)
				s := newSiteOn(t, url, url)
				// No program ever knew fewer flags.
				s.database = []string{"--database", url, "--data", s.data}
				return s
			},
			dump: func(s *site) []byte {
				dump := exec.Command(pgtest.Program(s.t, "pg_dump"), "--inserts", "--rows-per-insert=500", "--no-owner", "--no-privileges", s.source)
				var stderr bytes.Buffer
				dump.Stderr = &stderr
				content, err := dump.Output()
				if err != nil {
					s.t.Fatalf("pg_dump: %v: %s", err, &stderr)
				}
				// Lines that speak to psql alone.
				return regexp.MustCompile(`(?m)^\\.*\n`).ReplaceAll(content, nil)
			},
			restore: func(s *site, content []byte) {
				conn, err := pgx.Connect(s.t.Context(), s.source)
				if err != nil {
					s.t.Fatal(err)
				}
				_, err = conn.PgConn().Exec(s.t.Context(), string(content)).ReadAll()
				if err := errors.Join(err, conn.Close(s.t.Context())); err != nil {
					s.t.Fatalf("restore: %v", err)
				}
			},
		},
	}
}

// fixture is what a server told of its data before it was killed. What its program did not know yet is empty.
type fixture struct {
	Tables  []int    // the changes of the tables that were made
	Good    []string // API keys
	Revoked string
	Limited string // an API key that may read alone, from elsewhere
	Tasks   map[string]fixtureTask
	// Catalogues are the skills of integrations, as they were listed.
	Catalogues map[string]fixtureList
	Single     map[string]string // skills that were asked for one by one, and wait: integration and origin_id
	// Logged are interactions, as they were shown.
	Logged []fixtureExchange
	User   string // who may sign in with fixturePassword
	Person string // who may sign in through an OpenID provider, and has another address there now
	// Link is the path of a link that was not used. The token of another one led to Connected.
	Link, Token, Connected string
	Company                string // the address of the tool with jobs
	Refusing               string // an integration that wants no inactive skills
}

type fixtureTask struct {
	Key, Integration, ID string
	Items                [][3]string // origin_id, name, status
	Answer               string      // to a poll; empty while the task was not ended
}

type fixtureList struct{ Key, Integration, Answer string }

type fixtureExchange struct {
	ID, Direction, Method, URL string
	Task                       string  `json:"task_id"`
	Took                       float64 `json:"took_ms"`
	Status                     int
	Failed                     bool
	Request, Answer            struct {
		Header map[string][]string
		Body   string
	}
}

func (f fixtureTask) items() []client.Item {
	list := make([]client.Item, len(f.Items))
	for i, it := range f.Items {
		list[i] = client.Item{OriginID: it[0], Name: it[1], Status: it[2]}
	}
	return list
}

func (s *site) as(key, integration string) *client.Client {
	c := client.New(s.url, key, integration)
	c.Retries = 0
	return c
}

func (f fixtureTask) client(s *site) *client.Client { return s.as(f.Key, f.Integration) }

// has reports whether the fixture's program had made a change of the tables.
func (f *fixture) has(change int) bool { return slices.Contains(f.Tables, change) }

// The changes of the tables that bring something to look at.
const (
	withReading      = 6
	withInteractions = 7
	withPolicies     = 8
	withUsers        = 9
	withLinks        = 10
	withIdentities   = 11
)

// TestUpgrade opens databases that earlier versions were killed on, and goes on with them: everything that was there is
// there, and what was accepted comes to its end.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, on := range engines() {
		t.Run(on.name, func(t *testing.T) {
			t.Parallel()
			if *fixtureName != "" {
				on.makeFixture(t)
				return
			}
			files, err := filepath.Glob(on.folder + "*" + on.ext)
			if err != nil || len(files) == 0 {
				t.Fatalf("no fixtures in %s: %v", on.folder, err)
			}
			for _, file := range files {
				path := strings.TrimSuffix(file, on.ext)
				t.Run(filepath.Base(path), func(t *testing.T) {
					t.Parallel()
					on.upgrade(t, path)
				})
			}
		})
	}
}

const (
	// fixtureKey is the fixtures' master key.
	fixtureKey = "CROSSWALK_MASTER_KEY=dGhlIGtleSBvZiB0aGUgdXBncmFkZSBmaXh0dXJlcy4="
	// fixturePassword is that of their user, and fixtureSubject is what the OpenID provider calls somebody.
	fixturePassword = "correct horse battery staple"
	fixtureSubject  = "4711"
	// forever is longer than a fixture gets old.
	forever = "876000h"
)

func (on engine) upgrade(t *testing.T, path string) {
	s := on.site(t)
	s.env = append(s.env, fixtureKey)
	var had fixture
	if err := json.Unmarshal(unpack(t, path+".json.gz"), &had); err != nil {
		t.Fatal(err)
	}
	on.restore(s, unpack(t, path+on.ext))
	flags := []string{
		"--keep-tasks", forever, "--keep-logs", forever, "--job-timeout", forever, "--sync-every=0", "--allow-private-tools",
		"--attempts=3", "--backoff=10ms", "--backoff-most=20ms",
	}
	for _, name := range []string{"late", "late and not begun"} {
		s.exec("UPDATE tasks SET deadline = "+on.earlier+" WHERE id = $1", had.Tasks[name].ID)
	}
	if had.has(withLinks) {
		s.exec("UPDATE connect_links SET expires_at = " + on.later)
		s.exec("UPDATE connect_links SET token_expires_at = " + on.later + " WHERE token_expires_at IS NOT NULL")
	}
	var lms *company
	job, jobs := had.Tasks["as a job"]
	if jobs {
		lms = newCompany(t)
		lms.upsert(job.items()) // as that program did
		s.exec(on.move, had.Company, lms.url)
	}
	var person *provider
	if had.has(withIdentities) {
		person = newProvider(t)
		s.exec("UPDATE identities SET issuer = $1", person.Issuer())
		s.env = append(s.env, person.secret())
		flags = append(flags, person.flags()...)
	}
	pending, waiting := 0, 0
	for _, task := range had.Tasks {
		if task.Answer == "" {
			pending, waiting = pending+1, waiting+len(task.Items)
		}
	}
	pending, waiting = pending+len(had.Single), waiting+len(had.Single)
	if pending < 5 {
		t.Fatalf("the fixture has only %d unfinished tasks", pending)
	}
	if gotPending, gotWaiting := s.pending(); gotPending != pending || gotWaiting != waiting {
		t.Errorf("%d tasks with %d items are unfinished, want %d with %d", gotPending, gotWaiting, pending, waiting)
	}

	if had.has(withUsers) {
		s.recorded(had.User)
	}
	syncs := had.has(withReading) && s.number("SELECT count(*) FROM syncs WHERE active") > 0
	if had.has(withReading) && !syncs {
		t.Error("the fixture has no sync under way")
	}

	began := time.Now()
	s.start(flags...)
	for _, key := range had.Good {
		if _, err := client.New(s.url, key, "").Check(t.Context()); err != nil {
			t.Errorf("a key: %v", err)
		}
	}
	if _, err := client.New(s.url, had.Revoked, "").Check(t.Context()); err == nil {
		t.Error("a revoked key is good again")
	}
	for name, task := range had.Tasks {
		if task.Answer != "" {
			if got := s.answer(task.Key, task.Integration, taskPath+task.ID); got != task.Answer {
				t.Errorf("%s is answered with\n%s\nand was with\n%s", name, got, task.Answer)
			}
		}
	}
	wait := func(name string) client.Task {
		t.Helper()
		task, err := had.Tasks[name].client(s).Wait(t.Context(), had.Tasks[name].ID, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return task
	}
	succeeded := func(name string) client.Task {
		t.Helper()
		task := wait(name)
		list := had.Tasks[name].items()
		if task.Status != client.Completed || len(task.Results) != len(list) {
			t.Fatalf("%s: %s with %d results, %+v", name, task.Status, len(task.Results), task.Error)
		}
		for i, r := range task.Results {
			if r.OriginID != list[i].OriginID || r.Status != client.Succeeded {
				t.Fatalf("%s, result %d: %+v for %+v", name, i, r, list[i])
			}
		}
		return task
	}

	// What was half done is done, in its order: the tool holds what was asked for last.
	succeeded("half done")
	succeeded("behind it")
	succeeded("large")
	tool := s.tool(had.Tasks["half done"].Integration)
	for _, name := range []string{"half done", "large", "behind it"} {
		for _, it := range had.Tasks[name].items() {
			want := it.Name
			for _, later := range had.Tasks["behind it"].items() {
				if later.OriginID == it.OriginID {
					want = later.Name
				}
			}
			if got := tool[it.OriginID].Name; got != want {
				t.Fatalf("the tool holds %q as %s, want %q", got, it.OriginID, want)
			}
		}
	}
	// Past their time: of one it is known what was sent, of the other that nothing was. The last two were not, but a program that
	// writes down the intents of two calls at once cannot know that after a crash.
	late := wait("late")
	if late.Status != client.Completed || len(late.Results) != 6 {
		t.Fatalf("late: %+v", late)
	}
	for i, r := range late.Results {
		switch {
		case i < 2 && r.Status == client.Succeeded:
		case i >= 2 && r.Error != nil && r.Error.Code == "PLATFORM.TASK_TIMED_OUT" && (i >= 4 || strings.Contains(r.Error.Message, "may have reached")):
		default:
			t.Errorf("late, result %d: %+v, %+v", i, r, r.Error)
		}
	}
	if task := wait("late and not begun"); task.Status != client.Failed || task.Error.Code != "PLATFORM.TASK_TIMED_OUT" {
		t.Errorf("late and not begun: %+v", task)
	}
	// What was read back and noted is shown as it was.
	for name, was := range had.Catalogues {
		if diff := cmp.Diff(skillsOf(t, was.Answer), skillsOf(t, s.answer(was.Key, was.Integration, skillsPath))); diff != "" {
			t.Errorf("the skills of %s (-was +is):\n%s", name, diff)
		}
	}
	if had.has(withInteractions) && len(had.Logged) == 0 {
		t.Error("the fixture has no interactions")
	}
	for _, was := range had.Logged {
		var is fixtureExchange
		s.run(&is, "logs", "show", was.ID)
		if diff := cmp.Diff(was, is); diff != "" {
			t.Errorf("the interaction %s (-was +is):\n%s", was.ID, diff)
		}
	}
	if had.has(withUsers) {
		s.people(had, person)
	}
	if had.Link != "" {
		s.connects(had)
	} else if had.has(withLinks) {
		t.Error("the fixture has no link")
	}

	// The receipt of a job leads to what it has done: nothing is sent again.
	if jobs {
		succeeded("as a job")
		if n := lms.Operations(); n != 1 {
			t.Errorf("the tool got %d operations for the job, want the first alone", n)
		}
		lms.holds(job.items())
	} else if had.has(withIdentities) {
		t.Error("the fixture has no job under way")
	}
	// A tool that did not answer does so again.
	if away, ok := had.Tasks["away"]; ok {
		var shown struct{ Away *struct{ Since time.Time } }
		s.run(&shown, "integrations", "show", away.Integration)
		if shown.Away == nil || shown.Away.Since.After(began) {
			t.Errorf("away: %+v", shown)
		}
		s.admin("id", "integrations", "update", away.Integration, "--unset", "outage")
		if task := sent(t, away.client(s), away.items()); task.Progress.Written != len(away.Items) {
			t.Errorf("a tool that answers again: %+v", task)
		}
	} else if had.has(withPolicies) {
		t.Error("the fixture has no tool that is away")
	}
	// What an integration wants is heeded.
	if had.Refusing != "" {
		task := sent(t, s.as(had.Good[0], had.Refusing), []client.Item{{OriginID: "r-1", Name: "Retired", Status: client.Inactive}})
		if r := task.Results[0]; r.Error == nil || r.Error.Code != "INTEGRATION.ACTION_NOT_AVAILABLE" {
			t.Errorf("an inactive skill, which is to be refused: %+v", r)
		}
	}
	// A switched-off integration waits on.
	off := had.Tasks["switched off"]
	if task, err := off.client(s).Task(t.Context(), off.ID); err != nil || task.Ended() {
		t.Errorf("switched off: %+v, %v", task, err)
	}
	s.admin("id", "integrations", "enable", off.Integration)
	succeeded("switched off")
	for integration, originID := range had.Single {
		eventually(t, 20*time.Second, "the tool has the skill that was asked for alone", func() bool { _, ok := s.tool(integration)[originID]; return ok })
	}
	if syncs {
		eventually(t, 20*time.Second, "the sync ends", func() bool { return s.number("SELECT count(*) FROM syncs WHERE active") == 0 })
	}

	// The catalogue: what the tool holds is known, under its ids, and what is not known is not believed to be.
	again := func(name string) client.Task {
		t.Helper()
		c := had.Tasks[name].client(s)
		return sent(t, c, had.Tasks[name].items())
	}
	before := wait("changed")
	if task := again("changed"); task.Progress.Unchanged != 2 || task.Progress.Failed != 1 {
		t.Errorf("the same again: %+v", task.Progress)
	} else {
		for i, r := range task.Results {
			if was := before.Results[i]; r.Status != was.Status || r.Data != nil && r.Data.ID != was.Data.ID {
				t.Errorf("result %d is %+v and was %+v", i, r, was)
			}
		}
	}
	if task := again("unsure"); task.Progress.Written != 2 {
		t.Errorf("what may have reached the tool, again: %+v", task.Progress)
	}
	// Credentials that were sealed can be opened, and none are kept of what was deleted.
	if sealed, ok := had.Tasks["sealed"]; ok {
		if task := sent(t, sealed.client(s), []client.Item{{OriginID: "sealed-0", Name: "Opened"}}); task.Progress.Written != 1 {
			t.Errorf("with credentials: %+v", task)
		}
	}
	if n := s.number("SELECT count(*) FROM integrations WHERE deleted_at IS NOT NULL AND credentials IS NOT NULL"); n != 0 {
		t.Errorf("credentials of %d deleted integrations are left", n)
	}
	s.terminate()
	if pending, waiting := s.pending(); pending != 0 || waiting != 0 {
		t.Errorf("%d tasks with %d items are still unfinished", pending, waiting)
	}
}

// pending is what the database knows of the queue: this also upgrades it.
func (s *site) pending() (tasks, items int) {
	s.t.Helper()
	db, err := s.open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	health, err := db.Health(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return health.Pending, health.WaitingItems
}

const (
	taskPath   = "/v1/hris/skills/bulk/"
	skillsPath = "/v1/hris/skills?include_deleted=true&include_remote_data=true&page_size=250"
)

// answer is that to a question, as it comes.
func (s *site) answer(key, integration, path string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("X-Integration-Id", integration)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Errorf("%s: %s, %v", path, response.Status, err)
	}
	return string(content)
}

// skillsOf reads a list of skills.
func skillsOf(t *testing.T, answer string) []client.CatalogueSkill {
	t.Helper()
	var list struct{ Data client.SkillsPage }
	if err := json.Unmarshal([]byte(answer), &list); err != nil {
		t.Fatalf("%v: %s", err, answer)
	}
	if len(list.Data.Skills) == 0 || list.Data.Next != "" {
		t.Errorf("a list of skills is empty, or goes on: %s", answer)
	}
	return list.Data.Skills
}

// sent sends skills and waits for what becomes of them.
func sent(t *testing.T, c *client.Client, list []client.Item) client.Task {
	t.Helper()
	accepted, err := c.UpsertSkills(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	task, err := c.Wait(t.Context(), accepted.TaskID, nil)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// recorded wants the audit log to say who made a user.
func (s *site) recorded(user string) {
	s.t.Helper()
	db, err := s.open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it was only read
	entries, err := db.AuditLog(s.t.Context(), store.AuditFilter{Limit: 100})
	if err != nil || !slices.ContainsFunc(entries, func(e store.AuditEntry) bool { return e.Action == "user.create" && e.Target == user }) {
		s.t.Errorf("the audit log does not tell of %q: %+v, %v", user, entries, err)
	}
}

// people signs in whoever could before, and holds that keys are limited as they were.
func (s *site) people(had fixture, person *provider) {
	s.t.Helper()
	if page := s.signIn(had.User); !strings.Contains(page, had.User) {
		s.t.Errorf("%s cannot sign in: %s", had.User, page)
	}
	var refused *client.Error
	if _, err := s.as(had.Limited, "").Check(s.t.Context()); !errors.As(err, &refused) || refused.HTTPStatus != http.StatusForbidden {
		s.t.Errorf("a key from where it may not come: %v, want 403", err)
	}
	if person == nil {
		return
	}
	if page := s.signInThrough(person, "ada.lovelace@elsewhere.example"); had.Person == "" || !strings.Contains(page, had.Person) {
		s.t.Errorf("%q cannot sign in through the provider: %s", had.Person, page)
	}
}

// connects uses a link to connect a tool, and asks what an earlier one has led to.
func (s *site) connects(had fixture) {
	s.t.Helper()
	c := s.as(had.Good[0], "")
	if got, err := c.IntegrationByToken(s.t.Context(), had.Token); err != nil || got.ID != had.Connected {
		s.t.Errorf("the token of a link that was used leads to %+v, %v, want %s", got, err, had.Connected)
	}
	page, header := s.get200(http.DefaultClient, had.Link)
	if !strings.Contains(page, linkCustomer) || !strings.Contains(header.Get("Content-Security-Policy"), "frame-ancestors "+linkOrigin) {
		s.t.Errorf("a link leads to %s with %v", page, header)
	}
	if got, err := c.IntegrationByToken(s.t.Context(), s.useLink(had.Link)); err != nil || got.OrganizationName != linkCustomer {
		s.t.Errorf("a link was used for %+v, %v", got, err)
	}
}
