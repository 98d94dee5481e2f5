package e2e

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
	"github.com/crosswalk-hr/crosswalk/connector/learning360/learning360test"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
	"github.com/crosswalk-hr/crosswalk/connector/workday/workdaytest"
	"github.com/crosswalk-hr/crosswalk/examples"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// realTool is a tool that people use, with a fake of it.
type realTool struct {
	name string
	fake connectortest.Harness
	// words are of what the fake says to a skill named connectortest.RefusedName.
	words string
	// quick are settings that let the test be quick, and make a push many requests.
	quick map[string]any
	// unseen: what people make in the tool's own pages cannot be seen from outside.
	unseen bool
	// onPostgreSQL: tried there too.
	onPostgreSQL bool
}

func realTools() []realTool {
	return []realTool{
		{name: "360learning", fake: learning360test.Harness(func(*learning360test.Company) {}), words: "not allowed"},
		{name: "hibob", fake: hibobtest.Harness(func(*hibobtest.Company) {}), words: "not allowed", quick: map[string]any{"requests_per_minute": 6000}, unseen: true},
		{name: "moodle", fake: moodletest.Harness(func(*moodletest.Site) {}), words: "Invalid parameter value detected"},
		{name: "odoo 19", fake: odootest.Harness(19, func(*odootest.Server) {}), words: "not allowed", quick: map[string]any{"batch_size": 40}, onPostgreSQL: true},
		{name: "odoo 17", fake: odootest.Harness(17, func(*odootest.Server) {}), words: "not allowed", quick: map[string]any{"batch_size": 40}},
		{name: "workday", fake: workdaytest.Harness(func(*workdaytest.Tenant) {}), words: "not allowed", quick: map[string]any{"requests_per_second": 100}},
	}
}

// TestRealTools is the way of somebody who links a tool, with real processes and sockets: the command line makes the
// integration and checks it, a file is pushed with a row that the tool refuses, and pushed again, skills are retired, the
// catalogue is read back, and servers are killed in the midst of it all. The tool holds what was sent, each skill once.
func TestRealTools(t *testing.T) {
	t.Parallel()
	tried := map[string]bool{"sandbox": true}
	for _, tool := range realTools() {
		tried[tool.fake.Connector.Describe().Slug] = true
		t.Run(tool.name, func(t *testing.T) {
			t.Parallel()
			tool.test(t, newSite(t), 3)
		})
		if tool.onPostgreSQL {
			t.Run(tool.name+" on PostgreSQL", func(t *testing.T) {
				t.Parallel()
				url := pgtest.Database(t)
				tool.test(t, newSiteOn(t, url, url), 1) // the lease of who was killed has to run out
			})
		}
	}
	for _, d := range server.Connectors(nil).All() {
		if !tried[d.Slug] {
			t.Errorf("%s is not tried", d.Slug)
		}
	}
}

func (tool realTool) test(t *testing.T, s *site, kills int) {
	account, ok := tool.fake.NewAccount(t, connectortest.RefusesOne)
	if !ok {
		t.Fatal("the fake refuses no skill")
	}
	network := &tapped{tool: account.Tool}
	fake := httptest.NewTLSServer(network)
	t.Cleanup(fake.Close)
	t.Cleanup(network.mend) // before it is closed, which waits
	authority := filepath.Join(t.TempDir(), "authority.pem")
	s.env = append(s.env, "SSL_CERT_FILE="+authority)
	u := &linked{t: t, s: s, account: account, gone: tool.fake.Deletes, env: slices.Clone(s.env)}
	u.write(authority, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: fake.Certificate().Raw})))
	tool.link(u, fake.URL)

	// Some hundred skills, of which the tool refuses one.
	sent := realSkills(t, 240, tool.fake.Refuses)
	const bad = 17 // the log of interactions keeps the first 16 KiB of what is said
	good := sent[bad].Name
	sent[bad].Name = connectortest.RefusedName
	failed := filepath.Join(t.TempDir(), "failed.csv")
	out := u.run(3, "skills", "push", u.file(sent), "--wait", "--failed", failed, "--json")
	var pushed struct {
		Tasks []struct {
			TaskID string `json:"task_id"`
		}
	}
	u.decode(out, &pushed)
	rows := readCSV(t, failed)
	if len(rows) != 2 || rows[1][0] != sent[bad].OriginID || rows[1][3] != "REMOTE.INPUT_INVALID" || !strings.Contains(rows[1][4], tool.words) {
		t.Errorf("the failed rows are %q, want %s with %q", rows, sent[bad].OriginID, tool.words)
	}
	u.holds(slices.Delete(slices.Clone(sent), bad, bad+1))
	u.leadsToExchange(pushed.Tasks[0].TaskID, bad, sent[bad].OriginID, tool.words)

	// The mended file: one skill is written. Then there is nothing left to write, nor to ask.
	sent[bad].Name = good
	u.pushes(sent, "240 in step (1 written, 239 unchanged), 0 failed")
	u.holds(sent)
	before := network.count()
	u.pushes(sent, "240 in step (0 written, 240 unchanged), 0 failed")
	if n := network.count() - before; n != 0 {
		t.Errorf("the tool was sent %d requests for skills that have not changed", n)
	}

	// Some are retired.
	for i := range 3 {
		sent[50+i].Status = client.Inactive
	}
	u.pushes(sent, "240 in step (3 written, 237 unchanged), 0 failed")
	u.holds(sent)

	// A sync reads what people have made in the tool, too.
	var made []string
	if account.MakeByHand != nil && !tool.unseen {
		account.MakeByHand(t, "Made by hand")
		made = append(made, "Made by hand")
	}
	u.syncs(sent, made)

	// Everything changes, and there is more of it, while the server is killed at any request of the push, before the tool
	// has carried it out and after. The same process that pushes sees it through.
	for i := range sent {
		sent[i].Name += " II"
		if sent[i].Status == client.Inactive {
			sent[i].Status, sent[i].Name = client.Inactive, strings.TrimSuffix(sent[i].Name, " II")
		}
	}
	more := realSkills(t, 300, tool.fake.Refuses)
	sent = append(sent, more[len(sent):]...)
	push := u.command("skills", "push", u.file(sent), "--wait")
	var words bytes.Buffer
	push.Stdout, push.Stderr = &words, &words
	ended := make(chan error, 1)
	reached := network.cut()
	if err := push.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = push.Process.Kill() }) // it may have ended
	go func() { ended <- push.Wait() }()
	for n := range kills {
		select {
		case <-reached:
		case err := <-ended:
			t.Fatalf("the push has ended before kill %d: %v\n%s", n+1, err, &words)
		case <-time.After(30 * time.Second):
			t.Fatalf("kill %d: the tool is not called", n+1)
		}
		s.kill()
		if n < kills-1 {
			reached = network.cut()
		} else {
			network.mend()
		}
		u.start()
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the push: %v\n%s", err, &words)
		}
	case <-time.After(time.Minute):
		t.Fatal("the push does not end")
	}
	if want := "300 in step"; !strings.Contains(words.String(), want) {
		t.Errorf("the push says, without %q:\n%s", want, &words)
	}
	u.made = len(made)
	u.holds(sent)
	u.pushes(sent, "300 in step (0 written, 300 unchanged), 0 failed")
	s.terminate()
	for name, text := range map[string]string{"the server's log": s.log.String(), "the push": words.String()} {
		for _, secret := range u.secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret", name)
			}
		}
	}
}

// linked is an integration with a tool.
type linked struct {
	t       *testing.T
	s       *site
	account connectortest.Account
	gone    bool // what is retired leaves the tool
	made    int  // skills that people have made there
	env     []string
	secrets []string
	c       *client.Client
}

// link makes an integration as its owner would: it is told the address and the secrets, a wrong one first.
func (tool realTool) link(u *linked, address string) {
	t, s := u.t, u.s
	t.Helper()
	key := filepath.Join(t.TempDir(), "master.key")
	u.write(key, u.run(0, "master-key", "new"))
	u.env = append(u.env, "CROSSWALK_MASTER_KEY_FILE="+key)
	s.env = slices.Clone(u.env)
	u.start()

	var tools struct {
		Tools []struct {
			ID       string
			Settings []struct {
				Name   string
				Secret bool
			}
		}
	}
	slug := tool.fake.Connector.Describe().Slug
	u.decode(u.run(0, "tools", "--json"), &tools)
	secret := map[string]bool{}
	for _, d := range tools.Tools {
		for _, f := range d.Settings {
			if d.ID == slug {
				secret[f.Name] = f.Secret
			}
		}
	}
	// The suite's fakes are at an address without sockets; here they have a real one.
	settings := map[string]any{}
	u.decode(strings.ReplaceAll(string(u.account.Settings), connectortest.Base, address), &settings)
	for name, value := range tool.quick {
		settings[name] = value
	}
	args, files := []string{"integrations", "create", "--tool", slug, "--name", "Acme GmbH", "--json"}, []string{}
	for name, value := range settings {
		isSecret, known := secret[name]
		switch text := fmt.Sprint(value); {
		case !known:
			t.Errorf("crosswalk tools does not know the setting %s of %s", name, slug)
		case isSecret:
			file := filepath.Join(t.TempDir(), name)
			u.write(file, text+"\n")
			u.secrets = append(u.secrets, text)
			files = append(files, name+"="+file)
		case text != "":
			args = append(args, "--set", name+"="+text)
		}
	}
	if len(files) == 0 {
		t.Fatalf("%s has no secret", slug)
	}
	slices.Sort(files)
	name, file, _ := strings.Cut(files[0], "=")
	wrong := filepath.Join(t.TempDir(), "wrong")
	u.write(wrong, "wrong")
	for _, f := range append(files[1:], name+"="+wrong) {
		args = append(args, "--set-file", f)
	}
	var in, apiKey, check struct {
		ID, Key, Kind string
		OK            bool
	}
	u.decode(u.run(0, args...), &in)
	u.decode(u.run(1, "integrations", "check", in.ID, "--allow-private-tools", "--json"), &check)
	if check.OK || check.Kind != "credentials" {
		t.Errorf("a check with a wrong secret: %+v", check)
	}
	update := u.command(append([]string{"integrations", "update", in.ID, "--set-file", name + "=-"}, s.admins...)...)
	stdin, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	update.Stdin = stdin
	if text, err := update.CombinedOutput(); err != nil {
		t.Fatalf("a new secret: %v: %s", err, text)
	}
	u.decode(u.run(0, "integrations", "check", in.ID, "--allow-private-tools", "--json"), &check)
	if !check.OK {
		t.Errorf("a check with the right secret: %+v", check)
	}
	if text := u.run(0, "integrations", "check", in.ID, "--allow-private-tools"); !strings.Contains(text, "accepts the credentials") {
		t.Errorf("a check says %q", text)
	}
	if text := u.run(2, "integrations", "check", in.ID); !strings.Contains(text, "was not asked: 127.0.0.1 is a private address") {
		t.Errorf("a check that may not go to this machine says %q", text)
	}
	u.decode(u.run(0, "keys", "create", "--name", "e2e", "--json"), &apiKey)
	u.env = append(u.env, "CROSSWALK_URL="+s.url, "CROSSWALK_API_KEY="+apiKey.Key, "CROSSWALK_INTEGRATION="+in.ID)
	u.c = client.New(s.url, apiKey.Key, in.ID)
}

// start starts the server.
func (u *linked) start() {
	u.t.Helper()
	u.s.start("--allow-private-tools")
}

// command is the program with arguments; those of the database have to be among them.
func (u *linked) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(u.t.Context(), u.s.program, args...)
	cmd.Env = append(environment(), u.env...)
	return cmd
}

// run runs a command, which is to end with a code, and returns what it prints.
func (u *linked) run(code int, args ...string) string {
	u.t.Helper()
	if slices.Contains([]string{"integrations", "keys", "logs", "doctor"}, args[0]) {
		args = slices.Concat(args, u.s.admins)
	}
	cmd := u.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if e := (&exec.ExitError{}); err != nil && !errors.As(err, &e) || cmd.ProcessState.ExitCode() != code {
		u.t.Fatalf("%v: %v, want exit code %d\n%s%s", args, err, code, &stdout, &stderr)
	}
	for _, secret := range u.secrets {
		if strings.Contains(stdout.String()+stderr.String(), secret) {
			u.t.Errorf("%v prints a secret", args[:2])
		}
	}
	return stdout.String()
}

func (u *linked) decode(text string, into any) {
	u.t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		u.t.Fatalf("%v: %s", err, text)
	}
}

func (u *linked) write(file, text string) {
	u.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

// file is a CSV file of skills.
func (u *linked) file(list []client.Item) string {
	u.t.Helper()
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	rows := [][]string{{"origin_id", "name", "status"}}
	for _, it := range list {
		rows = append(rows, []string{it.OriginID, it.Name, it.Status})
	}
	if err := w.WriteAll(rows); err != nil {
		u.t.Fatal(err)
	}
	name := filepath.Join(u.t.TempDir(), "skills.csv")
	u.write(name, text.String())
	return name
}

// pushes pushes skills, all of which are to succeed.
func (u *linked) pushes(list []client.Item, says string) {
	u.t.Helper()
	if text := u.run(0, "skills", "push", u.file(list), "--wait"); !strings.Contains(text, says) {
		u.t.Errorf("a push says %q, want %q", text, says)
	}
}

// holds compares the tool's own catalogue with what was sent.
func (u *linked) holds(sent []client.Item) {
	u.t.Helper()
	type held struct {
		Name   string
		Active bool
	}
	want, got, others := map[string]held{}, map[string]held{}, 0
	for _, it := range sent {
		if it.Status != client.Inactive || !u.gone {
			want[it.OriginID] = held{it.Name, it.Status != client.Inactive}
		}
	}
	for _, r := range u.account.Records(u.t) {
		if r.OriginID == "" {
			others++
			continue
		}
		if _, twice := got[r.OriginID]; twice {
			u.t.Errorf("the tool holds %s twice", r.OriginID)
		}
		got[r.OriginID] = held{r.Name, r.Active}
	}
	if others != u.made {
		u.t.Errorf("the tool holds %d skills that nobody sent, want %d", others, u.made)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		u.t.Errorf("the tool's catalogue (-want +got):\n%s", diff)
	}
}

type logged struct {
	ID        string `json:"id"`
	Direction string `json:"direction"`
	Task      string `json:"task_id"`
	Failed    bool   `json:"failed"`
	Answer    struct{ Body string }
}

// leadsToExchange holds that the log of interactions shows what the tool said of a skill that it refused, and that
// the result's log_url leads there.
func (u *linked) leadsToExchange(task string, position int, originID, words string) {
	u.t.Helper()
	result, err := u.c.Task(u.t.Context(), task)
	if err != nil {
		u.t.Fatal(err)
	}
	r := result.Results[position]
	if r.OriginID != originID || r.Error == nil || r.Error.LogURL == nil {
		u.t.Fatalf("result %d: %+v", position, r)
	}
	var said []string
	// The log is written a moment later.
	eventually(u.t, 10*time.Second, "the log shows what was said of the failed row", func() bool {
		var list struct{ Interactions []logged }
		u.decode(u.run(0, "logs", "list", "--task", task, "--item", strconv.Itoa(position), "--direction", "out", "--failed", "--json"), &list)
		for _, i := range list.Interactions {
			var shown logged
			u.decode(u.run(0, "logs", "show", i.ID, "--json"), &shown)
			if shown.ID != i.ID || shown.Direction != "out" || shown.Task != task || !shown.Failed {
				u.t.Fatalf("the exchange %+v: %+v", i, shown)
			}
			if strings.Contains(shown.Answer.Body, words) {
				said = append(said, shown.ID)
			}
		}
		return len(said) > 0
	})
	id, found := strings.CutPrefix(*r.Error.LogURL, u.s.url+"/logs/")
	if !found || !slices.Contains(said, id) {
		u.t.Errorf("the result leads to %s, want one of %v", *r.Error.LogURL, said)
	}
}

// syncs has the tool read back, and waits until the skills that it offers are listed.
func (u *linked) syncs(sent []client.Item, made []string) {
	u.t.Helper()
	if _, err := u.c.ForceSync(u.t.Context(), client.FullSync); err != nil {
		u.t.Fatal(err)
	}
	want := map[string]string{}
	for _, it := range sent {
		if it.Status != client.Inactive {
			want[it.Name] = it.OriginID
		}
	}
	for _, name := range made {
		want[name] = ""
	}
	u.made = len(made)
	got := map[string]string{}
	eventually(u.t, 20*time.Second, "skills list shows what the tool holds", func() bool {
		var list struct {
			Skills []struct {
				Name     string
				OriginID string `json:"origin_id"`
			}
		}
		u.decode(u.run(0, "skills", "list", "--json"), &list)
		clear(got)
		for _, sk := range list.Skills {
			got[sk.Name] = sk.OriginID
		}
		return len(list.Skills) == len(want)
	})
	if diff := cmp.Diff(want, got); diff != "" {
		u.t.Errorf("skills list (-want +got):\n%s", diff)
	}
}

// tapped is the network before a tool, which can be cut in the midst of a request.
type tapped struct {
	tool http.Handler

	mu       sync.Mutex
	requests int
	left     int  // requests until the one that is cut; 0: none is
	carried  bool // that one reaches the tool, and its answer nobody
	reached  chan struct{}
	mended   chan struct{}
}

// cut has one of the next requests hang, before the tool carries it out or after. The channel is closed when it does.
// What hung before is over.
func (n *tapped) cut() <-chan struct{} {
	n.mend()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left, n.carried, n.reached, n.mended = 1+rand.IntN(3), rand.IntN(2) == 0, make(chan struct{}), make(chan struct{})
	return n.reached
}

// mend lets all requests through.
func (n *tapped) mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = 0
	if n.mended != nil {
		close(n.mended)
		n.mended = nil
	}
}

func (n *tapped) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requests
}

// ServeHTTP implements http.Handler.
func (n *tapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	n.requests++
	cut := n.left == 1
	if n.left > 0 {
		n.left--
	}
	carried, reached, mended := n.carried, n.reached, n.mended
	n.mu.Unlock()
	if !cut {
		n.tool.ServeHTTP(w, r)
		return
	}
	if carried {
		n.tool.ServeHTTP(httptest.NewRecorder(), r)
	}
	close(reached)
	<-mended
}

// realSkills are the first of the examples that a tool takes.
func realSkills(t *testing.T, n int, refuses func(connector.Skill) bool) []client.Item {
	t.Helper()
	file, err := examples.Skills.Open("skills/onet-technology-skills.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	rows := csv.NewReader(file)
	if _, err := rows.Read(); err != nil {
		t.Fatal(err)
	}
	var list []client.Item
	for len(list) < n {
		row, err := rows.Read()
		if err != nil {
			t.Fatalf("there are %d examples only: %v", len(list), err)
		}
		if refuses == nil || !refuses(connector.Skill{OriginID: row[0], Name: row[1], Active: true}) {
			list = append(list, client.Item{OriginID: row[0], Name: row[1], Status: client.Active})
		}
	}
	return list
}

func readCSV(t *testing.T, name string) [][]string {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return rows
}
