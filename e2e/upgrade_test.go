package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

var (
	fixtureOut  = flag.String("fixture-out", "", "make an upgrade fixture, NAME.db.gz and NAME.json.gz, instead of trying those there are")
	fixtureWith = flag.String("fixture-with", "", "the program that makes it")
)

const fixtures = "../internal/store/sqlite/testdata/upgrade"

// fixture is what a server told of its data before it was killed.
type fixture struct {
	Good    []string // API keys
	Revoked string
	Tasks   map[string]fixtureTask
}

type fixtureTask struct {
	Key, Integration, ID string
	Items                [][3]string // origin_id, name, status
	Answer               string      // to a poll; empty while the task was not ended
}

func (f fixtureTask) items() []client.Item {
	list := make([]client.Item, len(f.Items))
	for i, it := range f.Items {
		list[i] = client.Item{OriginID: it[0], Name: it[1], Status: it[2]}
	}
	return list
}

func (f fixtureTask) client(s *site) *client.Client {
	c := client.New(s.url, f.Key, f.Integration)
	c.Retries = 0
	return c
}

// TestUpgrade opens databases that earlier versions were killed on, and goes on with them: everything that was there is
// there, and what was accepted comes to its end.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	if *fixtureOut != "" {
		makeFixture(t)
		return
	}
	files, err := filepath.Glob(fixtures + "/*.db.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures in %s: %v", fixtures, err)
	}
	for _, file := range files {
		name, _ := strings.CutSuffix(filepath.Base(file), ".db.gz")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upgrade(t, strings.TrimSuffix(file, ".db.gz"))
		})
	}
}

// fixtureKey is the fixtures' master key.
const fixtureKey = "CROSSWALK_MASTER_KEY=dGhlIGtleSBvZiB0aGUgdXBncmFkZSBmaXh0dXJlcy4="

func upgrade(t *testing.T, path string) {
	s := newSite(t)
	s.env = append(s.env, fixtureKey)
	var had fixture
	if err := json.Unmarshal(unpack(t, path+".json.gz"), &had); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.data, "crosswalk.db"), unpack(t, path+".db.gz"), 0o600); err != nil {
		t.Fatal(err)
	}
	pending, waiting := 0, 0
	for _, task := range had.Tasks {
		if task.Answer == "" {
			pending, waiting = pending+1, waiting+len(task.Items)
		}
	}
	if pending < 5 {
		t.Fatalf("the fixture has only %d unfinished tasks", pending)
	}
	if gotPending, gotWaiting := s.pending(); gotPending != pending || gotWaiting != waiting {
		t.Errorf("%d tasks with %d items are unfinished, want %d with %d", gotPending, gotWaiting, pending, waiting)
	}

	s.start()
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
			if got := s.answer(task); got != task.Answer {
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
	// Past their time: of one it is known what was sent, of the other that nothing was.
	late := wait("late")
	if late.Status != client.Completed || len(late.Results) != 6 {
		t.Fatalf("late: %+v", late)
	}
	for i, r := range late.Results {
		switch {
		case i < 2 && r.Status == client.Succeeded:
		case i >= 2 && r.Error != nil && r.Error.Code == "PLATFORM.TASK_TIMED_OUT" && strings.Contains(r.Error.Message, "may have reached") == (i < 4):
		default:
			t.Errorf("late, result %d: %+v, %+v", i, r, r.Error)
		}
	}
	if task := wait("late and not begun"); task.Status != client.Failed || task.Error.Code != "PLATFORM.TASK_TIMED_OUT" {
		t.Errorf("late and not begun: %+v", task)
	}
	// A switched-off integration waits on.
	off := had.Tasks["switched off"]
	if task, err := off.client(s).Task(t.Context(), off.ID); err != nil || task.Ended() {
		t.Errorf("switched off: %+v, %v", task, err)
	}
	s.admin("id", "integrations", "enable", off.Integration)
	succeeded("switched off")

	// The catalogue: what the tool holds is known, under its ids, and what is not known is not believed to be.
	again := func(name string) client.Task {
		t.Helper()
		c := had.Tasks[name].client(s)
		accepted, err := c.UpsertSkills(t.Context(), had.Tasks[name].items())
		if err != nil {
			t.Fatalf("%s again: %v", name, err)
		}
		task, err := c.Wait(t.Context(), accepted.TaskID, nil)
		if err != nil {
			t.Fatalf("%s again: %v", name, err)
		}
		return task
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
	s.terminate()
	if pending, waiting := s.pending(); pending != 0 || waiting != 0 {
		t.Errorf("%d tasks with %d items are still unfinished", pending, waiting)
	}
}

// pending is what the database knows of the queue: this also upgrades it.
func (s *site) pending() (tasks, items int) {
	s.t.Helper()
	db, err := sqlite.Open(s.t.Context(), sqlite.Options{Path: filepath.Join(s.data, "crosswalk.db")})
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

// answer is that to a poll, as it comes.
func (s *site) answer(task fixtureTask) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+"/v1/hris/skills/bulk/"+task.ID, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+task.Key)
	request.Header.Set("X-Integration-Id", task.Integration)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Errorf("task %s: %s, %v", task.ID, response.Status, err)
	}
	return string(content)
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

// makeFixture lets a program make data of every kind and kills it. See the README beside the fixtures.
func makeFixture(t *testing.T) {
	s := newSite(t)
	s.program, s.env = *fixtureWith, append(s.env, fixtureKey)
	f := fixture{Tasks: map[string]fixtureTask{}}
	key := func(args ...string) string {
		key := s.admin("key", append([]string{"keys", "create"}, args...)...)
		f.Good = append(f.Good, key)
		return key
	}
	integration := func(settings ...string) string {
		args := []string{"integrations", "create", "--tool", "sandbox", "--name", "Acme GmbH"}
		for _, set := range settings {
			args = append(args, "--set", set)
		}
		return s.admin("id", args...)
	}
	list := func(prefix, name string, n int) []client.Item {
		list := make([]client.Item, n)
		for i := range list {
			list[i] = client.Item{OriginID: fmt.Sprint(prefix, i), Name: fmt.Sprintf("%s %d", name, i)}
		}
		return list
	}
	submit := func(name, key, integration string, items []client.Item) fixtureTask {
		t.Helper()
		task := fixtureTask{Key: key, Integration: integration}
		for _, it := range items {
			task.Items = append(task.Items, [3]string{it.OriginID, it.Name, it.Status})
		}
		accepted, err := task.client(s).UpsertSkills(t.Context(), items)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		task.ID = accepted.TaskID
		f.Tasks[name] = task
		return task
	}
	ended := func(task fixtureTask) {
		t.Helper()
		if _, err := task.client(s).Wait(t.Context(), task.ID, nil); err != nil {
			t.Fatal(err)
		}
	}
	// until waits for checkpoints: the intent of the next call is on disk together with them.
	until := func(task fixtureTask, done int) {
		t.Helper()
		for limit := time.Now().Add(20 * time.Second); ; {
			got, err := task.client(s).Task(t.Context(), task.ID)
			if err == nil && got.Progress.Done == done {
				return
			}
			if time.Now().After(limit) {
				t.Fatalf("%+v, %v; want %d done", got, err, done)
			}
		}
	}
	flags := []string{"--attempts=3", "--backoff=10ms", "--backoff-most=20ms"}

	// The deadline of these will be over.
	s.start(append(flags, "--task-timeout=3m")...)
	laptop := key("--name", "laptop")
	late := integration("batch_limit=2", `scripts={"late-3":["hang","hang","hang","hang"]}`)
	until(submit("late", laptop, late, list("late-", "Late", 6)), 2)
	submit("late and not begun", laptop, late, list("later-", "Later", 3))
	s.kill()

	s.start(append(flags, "--task-timeout=876000h")...)
	acme := integration(`refuse_names=(?i)^test`)
	three := []client.Item{
		{OriginID: "skill-1", Name: "TypeScript"},
		{OriginID: "skill-2", Name: "Welding", Status: client.Inactive},
		{OriginID: "skill-3", Name: "Test, please ignore"},
	}
	ended(submit("three", laptop, acme, three))
	changed := append([]client.Item{{OriginID: "skill-1", Name: "TypeScript 5"}}, three[1:]...)
	ended(submit("changed", laptop, acme, changed))
	ended(submit("refused credentials", laptop, integration("refuse_credentials=true"), list("x-", "X", 2)))
	ended(submit("unsure", laptop, integration(`scripts={"u-1":["lose","away","away"]}`), list("u-", "Unsure", 2)))
	gone := integration()
	ended(submit("of a deleted integration", laptop, gone, list("g-", "Gone", 40)))
	s.admin("id", "integrations", "delete", gone)

	s.admin("id", "environments", "create", "--name", "staging")
	key("--name", "nightly", "--environment", "staging")
	f.Revoked = s.admin("key", "keys", "create", "--name", "lost")
	var listed struct{ Keys []struct{ ID, Name string } }
	if err := json.Unmarshal(s.run("keys", "list"), &listed); err != nil {
		t.Fatal(err)
	}
	for _, k := range listed.Keys {
		if k.Name == "lost" {
			s.admin("id", "keys", "revoke", k.ID)
		}
	}
	off := integration("latency=30s")
	submit("switched off", laptop, off, list("off-", "Off", 3))
	s.admin("id", "integrations", "disable", off)
	s.admin("id", "integrations", "update", off, "--unset", "latency")

	busy := integration("batch_limit=5", `scripts={"busy-12":["hang"]}`)
	half := submit("half done", laptop, busy, list("busy-", "Busy", 20))
	until(half, 10)
	submit("large", laptop, busy, list("large-", "Large", 2100))
	submit("behind it", laptop, busy, list("busy-", "Busy again", 15))
	for name, task := range f.Tasks {
		if got, err := task.client(s).Task(t.Context(), task.ID); err != nil && name != "of a deleted integration" {
			t.Fatalf("%s: %v", name, err)
		} else if got.Ended() {
			task.Answer = s.answer(task)
			f.Tasks[name] = task
		}
	}
	s.kill()
	s.run("keys", "list") // whoever closes the database last copies the log into it

	content, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	pack(t, *fixtureOut+".json.gz", content)
	if content, err = os.ReadFile(filepath.Join(s.data, "crosswalk.db")); err != nil {
		t.Fatal(err)
	}
	pack(t, *fixtureOut+".db.gz", content)
}

// run runs a command on the database and returns what it prints.
func (s *site) run(args ...string) []byte {
	s.t.Helper()
	cmd := exec.Command(s.program, slices.Concat(args, s.admins, []string{"--json"})...)
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%v: %v", args, err)
	}
	return out
}
