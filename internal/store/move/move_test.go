package move_test

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/move"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// filled is an embedded database with something of everything.
type filled struct {
	store.Store
	path    string
	env     string
	in, off store.Integration
	tasks   map[string]string // of each kind
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func items(n int, round string) []skill.Item {
	list := make([]skill.Item, n)
	for i := range list {
		list[i] = skill.Item{OriginID: fmt.Sprintf("http://data.europa.eu/esco/skill/%05d", i), Name: fmt.Sprintf("Fähigkeit %d %s", i, round), Status: skill.Active}
	}
	return list
}

func (f *filled) submit(t *testing.T, in store.Integration, list []skill.Item) string {
	t.Helper()
	return must[store.Accepted](t)(f.Submit(t.Context(), store.Submission{
		EnvironmentID: f.env, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: list, Timeout: time.Hour,
	})).ID
}

func written(list []skill.Item) (w []store.SkillWritten) {
	for i, it := range list {
		w = append(w, store.SkillWritten{ID: skill.NewID(time.Now()), RemoteID: fmt.Sprint("r", i), Item: it, Hash: skill.ContentHash("sandbox", it)})
	}
	return w
}

// logged are interactions, one with everything and one with next to nothing.
func (f *filled) logged() []store.Interaction {
	at := time.Date(2026, 11, 23, 14, 1, 29, 0, time.UTC)
	return []store.Interaction{
		{
			ID: skill.FirstID(at) + "aaaaaaaaaaaaaaaa", Outbound: true, EnvironmentID: f.env, IntegrationID: "hibob:1", TaskID: "task_1",
			Items: store.Range{Start: 1, Stop: 2}, Key: "cw_live_abcdef", Peer: "::1", Method: "PUT", URL: "/ä", Status: 409, Took: time.Second, Failed: true,
			Exchange: store.Exchange{Error: "x", RequestBody: []byte(strings.Repeat("ab", 1000)), AnswerBody: []byte{0, 0xff}, AnswerCut: true},
		},
		{ID: skill.FirstID(at) + "bbbbbbbbbbbbbbbb", Method: "GET", URL: "/"},
	}
}

func fill(t *testing.T) *filled {
	t.Helper()
	ctx := t.Context()
	f := &filled{path: filepath.Join(t.TempDir(), "crosswalk.db"), tasks: map[string]string{}}
	clock := time.Now()
	f.Store = must[*sqlite.Store](t)(sqlite.Open(ctx, sqlite.Options{Path: f.path, Serve: true, Now: func() time.Time { return clock }}))
	f.env = must[store.Environment](t)(f.Environment(ctx, store.DefaultEnvironment)).ID
	must[store.Environment](t)(f.CreateEnvironment(ctx, "staging"))
	must[store.Key](t)(f.CreateKey(ctx, store.Key{EnvironmentID: f.env, Name: "nightly", Prefix: "cw_live_abc"}, [32]byte{7}))
	create := func(credentials []byte) store.Integration {
		return must[store.Integration](t)(f.CreateIntegration(ctx, store.Integration{
			EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{"latency":"1ms"}`), Credentials: credentials, EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
		}))
	}
	f.in, f.off = create([]byte("sealed")), create(nil)
	must[store.MasterKey](t)(f.KeepMasterKey(ctx, store.MasterKey{ID: "first", Check: []byte{1, 2}}))
	must[store.Link](t)(f.CreateLink(ctx, store.Link{
		EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "de", EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
	}, [32]byte{5}, 365*24*time.Hour))
	if err := f.SetConnectSettings(ctx, f.env, store.ConnectSettings{Origins: []string{"https://app.example"}}); err != nil {
		t.Fatal(err)
	}
	must[[]int64](t)(f.Sandbox().Write(ctx, f.in.ID, []sandbox.Row{{ExternalID: "a", Name: "A", Active: true}, {ExternalID: "b", Name: "B"}}))

	if err := f.AppendInteractions(ctx, f.logged()); err != nil {
		t.Fatal(err)
	}

	// One that has expired, one that has ended well, one that was refused in part and left doubts, one that goes on with
	// something on its way, one that waits, and one of an integration that is off.
	f.tasks["expired"] = f.submit(t, f.in, items(3, "first"))
	lease, next, err := f.Claim(ctx, store.Claim{IntegrationID: f.in.ID, Owner: "x", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	end := func(list []skill.Item, step store.Step) {
		t.Helper()
		step.Task, step.Then = next.Task.Ref, store.Proceed
		step.Finish = &store.Finish{
			Status: skill.Completed, Counts: skill.Counts{Written: len(list)}, CompletedAt: clock, Document: []byte(`{"data":"` + strings.Repeat("ä", len(list)) + `"}`),
		}
		next = must[store.Next](t)(f.Advance(ctx, lease, step))
	}
	end(items(3, "first"), store.Step{Written: written(items(3, "first"))})
	clock = clock.Add(2 * time.Hour)
	if n := must[int](t)(f.Expire(ctx, time.Hour, 10)); n != 1 {
		t.Fatalf("%d expired", n)
	}
	f.tasks["ended"] = f.submit(t, f.in, items(5000, "second"))
	f.tasks["refused"] = f.submit(t, f.in, items(4, "third"))
	f.tasks["going on"] = f.submit(t, f.in, items(4500, "fourth"))
	f.tasks["waiting"] = f.submit(t, f.in, items(10, "fifth"))
	f.tasks["off"] = f.submit(t, f.off, items(1, ""))
	must[store.Integration](t)(f.SetEnabled(ctx, f.off.ID, false))
	if lease, next, err = f.Claim(ctx, store.Claim{IntegrationID: f.in.ID, Owner: "x", TTL: time.Minute}); err != nil {
		t.Fatal(err)
	}
	end(items(5000, "second"), store.Step{Written: written(items(5000, "second"))})
	third := items(4, "third")
	end(third, store.Step{
		Refused: []store.SkillRefused{{ID: skill.NewID(clock), Item: third[0], Code: skill.CodeRemoteInput, Message: "not \xff this \x00 one"}},
		Unsure:  []store.SkillUnsure{{Item: third[1]}},
	})
	fourth := items(4500, "fourth")
	outcomes := make([]skill.Outcome, 2000)
	for i := range outcomes {
		outcomes[i] = skill.Outcome{Kind: skill.Written, SkillID: skill.NewID(clock)}
	}
	must[store.Next](t)(f.Advance(ctx, lease, store.Step{
		Task: next.Task.Ref, Outcomes: []store.Run{{Outcomes: outcomes}}, Written: written(fourth[:2000]), Open: []store.Range{{Start: 2000, Stop: 2010}, {Start: 2010, Stop: 2020}},
		Receipts: []store.Receipt{{Start: 2010, Text: "job/1"}},
	}))
	return f
}

func TestMove(t *testing.T) {
	t.Parallel()
	f := fill(t)
	ctx := t.Context()
	to := pgtest.Database(t)
	if _, err := move.Run(ctx, move.Options{From: f.path, To: to}); err == nil {
		t.Error("moved under a server")
	} else if _, taken := errors.AsType[*sqlite.TakenError](err); !taken {
		t.Errorf("under a server: %v", err)
	}
	views := map[string]store.TaskView{}
	for kind, id := range f.tasks {
		if kind != "expired" {
			in := f.in.ID
			if kind == "off" {
				in = f.off.ID
			}
			views[kind] = must[store.TaskView](t)(f.Task(ctx, f.env, in, id))
		}
	}
	keys, integrations := must[[]store.Key](t)(f.Keys(ctx, "")), must[[]store.Integration](t)(f.Integrations(ctx, ""))
	link := must[store.Link](t)(f.Link(ctx, [32]byte{5}))
	page := must[store.ConnectSettings](t)(f.ConnectSettings(ctx, f.env))
	records := must[[]sandbox.Record](t)(f.Sandbox().List(ctx, f.in.ID, 0, 10))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	last, all := 0, 0
	r, err := move.Run(ctx, move.Options{From: f.path, To: to, Progress: func(done, of int) { last, all = done, of }})
	if err != nil {
		t.Fatal(err)
	}
	if last != all || all < 5000 {
		t.Errorf("progress ended at %d of %d", last, all)
	}
	if _, err := os.Stat(f.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old file is still there: %v", err)
	}
	if _, err := os.Stat(r.Left); err != nil {
		t.Error(err)
	}

	s := pgtest.Open(t, to, nil)
	defer s.Close() //nolint:errcheck // the test is over
	if diff := cmp.Diff(keys, must[[]store.Key](t)(s.Keys(ctx, ""))); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if k, err := s.KeyByHash(ctx, [32]byte{7}); err != nil || k.Name != "nightly" {
		t.Errorf("the key by its hash: %+v, %v", k, err)
	}
	if diff := cmp.Diff(integrations, must[[]store.Integration](t)(s.Integrations(ctx, ""))); diff != "" {
		t.Errorf("integrations (-want +got):\n%s", diff)
	}
	if got := must[store.Link](t)(s.Link(ctx, [32]byte{5})); got != link {
		t.Errorf("link %+v, want %+v", got, link)
	}
	if diff := cmp.Diff(page, must[store.ConnectSettings](t)(s.ConnectSettings(ctx, f.env))); diff != "" {
		t.Errorf("connect settings (-want +got):\n%s", diff)
	}
	for kind, want := range views {
		in := f.in.ID
		if kind == "off" {
			in = f.off.ID
		}
		if diff := cmp.Diff(want, must[store.TaskView](t)(s.Task(ctx, f.env, in, f.tasks[kind]))); diff != "" {
			t.Errorf("the task %s (-want +got):\n%s", kind, diff)
		}
	}
	_, err = s.Task(ctx, f.env, f.in.ID, f.tasks["expired"])
	if _, ok := errors.AsType[*store.ExpiredError](err); !ok {
		t.Errorf("the expired task: %v", err)
	}
	if diff := cmp.Diff(records, must[[]sandbox.Record](t)(s.Sandbox().List(ctx, f.in.ID, 0, 10))); diff != "" {
		t.Errorf("the sandbox's catalogue (-want +got):\n%s", diff)
	}
	for _, want := range f.logged() {
		if diff := cmp.Diff(want, must[store.Interaction](t)(s.Interaction(ctx, "", want.ID))); diff != "" {
			t.Errorf("an interaction (-want +got):\n%s", diff)
		}
	}
	if key := must[store.MasterKey](t)(s.MasterKey(ctx)); key.ID != "first" {
		t.Errorf("master key %+v", key)
	}
	if h := must[store.Health](t)(s.Health(ctx)); h.Pending != 3 || h.WaitingItems != 4500+10+1 || h.Leases != 0 {
		t.Errorf("health %+v", h)
	}
	for n := 1; n > 0; {
		n = must[int](t)(s.IndexNames(ctx, 1000))
	}
	// By the index: the first skill alone is looked at.
	search := store.SkillFilter{EnvironmentID: f.env, Search: store.NewSearch("FAHIGKEIT 1999"), Limit: 10, Bounds: store.SearchBounds{First: 1, Looked: 1}}
	if found := must[store.SkillList](t)(s.ListSkills(ctx, search)); len(found.Skills) == 0 || found.Behind {
		t.Errorf("found %+v", found)
	}
	goesOn(t, f, s)

	// A second time there is something.
	other := fill(t)
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := move.Run(ctx, move.Options{From: other.path, To: to}); skill.KindOf(err) != skill.Conflict {
		t.Errorf("onto what is there: %v", err)
	}
	if _, err := os.Stat(other.path); err != nil {
		t.Errorf("a move that was refused took the file away: %v", err)
	}
}

// A sync that is under way goes on after the move from where it was, with all that it has seen, noted and kept; what is read of
// the catalogue is what was read before.
func TestMoveDuringASync(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "crosswalk.db")
	from := must[*sqlite.Store](t)(sqlite.Open(ctx, sqlite.Options{Path: path, Serve: true}))
	env := must[store.Environment](t)(from.Environment(ctx, store.DefaultEnvironment)).ID
	in := must[store.Integration](t)(from.CreateIntegration(ctx, store.Integration{EnvironmentID: env, Tool: "sandbox", Settings: []byte(`{}`)}))
	f := &filled{Store: from, env: env}
	f.submit(t, in, items(4, "sent"))
	lease, next, err := from.Claim(ctx, store.Claim{IntegrationID: in.ID, Owner: "x", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	must[store.Next](t)(from.Advance(ctx, lease, store.Step{
		Task: next.Task.Ref, Written: written(items(4, "sent")), Then: store.Proceed,
		Finish: &store.Finish{Status: skill.Completed, Counts: skill.Counts{Written: 4}, CompletedAt: next.Now, Document: []byte("{}")},
	}))
	// What somebody wants of a skill, beside what a sync has noted of others.
	must[store.Skill](t)(from.Keep(ctx, store.Wish{EnvironmentID: env, IntegrationID: in.ID, OriginID: "wanted", Name: "Wanted", Status: skill.Active}))
	must[store.SyncQueued](t)(from.RequestSync(ctx, store.SyncRequest{EnvironmentID: env, IntegrationID: in.ID, ID: skill.NewID(time.Now()), Whole: true}))
	claim := func(s store.Store) store.SyncLease {
		t.Helper()
		return must[store.SyncLease](t)(s.ClaimSync(ctx, store.SyncClaim{IntegrationID: in.ID, Owner: "y", TTL: time.Minute, ID: skill.NewID(time.Now())}))
	}
	held := claim(from)
	rows := must[[]store.SkillRow](t)(from.RowsAfter(ctx, held.Lease, "", 10))
	gone, _ := rows[0].Miss(held.Now.Add(time.Hour))
	changed, _ := rows[1].See(store.Remote{RemoteID: rows[1].RemoteID, OriginID: rows[1].OriginID, Name: "renamed in the tool", Status: skill.Inactive})
	sync := held.Sync
	sync.Position, sync.Pages, sync.Records, sync.Changed = "page 2", 1, 7, 3
	must[store.SyncNext](t)(from.AdvanceSync(ctx, held.Lease, store.SyncStep{
		Sync: sync, Notes: []store.SkillNote{gone, changed}, Seen: []byte("12345678"), Then: store.SyncLeave,
		New: []store.NewSkill{{ID: skill.NewID(time.Now()), Remote: store.Remote{RemoteID: "r7", OriginID: "by hand", Name: "Found", Status: skill.Active}}},
		Remote: []store.RemoteSkill{
			{RemoteID: "r8", Name: "nobody's \x00 yet", Status: skill.Active},
			{RemoteID: "r9", ID: skill.NewID(time.Now()), Name: "nobody's, and gone", Status: skill.Active, Gone: true},
		},
	}))
	read := func(s store.Store) store.SkillPage {
		t.Helper()
		return must[store.SkillPage](t)(s.ReadSkills(ctx, store.SkillQuery{EnvironmentID: env, IntegrationID: in.ID, IncludeGone: true, Limit: 100, MostRows: 1000}))
	}
	want := read(from)
	if len(want.Skills) != 7 {
		t.Fatalf("%d skills are read: %+v", len(want.Skills), want.Skills)
	}
	if err := from.Close(); err != nil {
		t.Fatal(err)
	}
	to := pgtest.Database(t)
	must[move.Result](t)(move.Run(ctx, move.Options{From: path, To: to}))

	s := pgtest.Open(t, to, nil)
	defer s.Close() //nolint:errcheck // the test is over
	if diff := cmp.Diff(want, read(s)); diff != "" {
		t.Errorf("what is read (-want +got):\n%s", diff)
	}
	again := claim(s)
	if diff := cmp.Diff(sync, again.Sync); diff != "" {
		t.Errorf("it goes on (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([][]byte{[]byte("12345678")}, must[[][]byte](t)(s.SyncSeen(ctx, again.Lease))); diff != "" {
		t.Errorf("what it has seen (-want +got):\n%s", diff)
	}
	remote := must[[]store.RemoteSkill](t)(s.RemoteAfter(ctx, again.Lease, "", 10))
	if len(remote) != 2 || remote[0].ID != "" || remote[0].Name != "nobody's \ufffd yet" || !remote[1].Gone || remote[1].ID == "" {
		t.Errorf("skills that nobody manages: %+v", remote)
	}
	for _, row := range must[[]store.SkillRow](t)(s.RowsAfter(ctx, again.Lease, "", 10)) {
		doubted := row.OriginID == rows[0].OriginID || row.OriginID == rows[1].OriginID
		if want := !row.WrittenAt.IsZero() && !doubted; row.Known != want {
			t.Errorf("what is certain: %+v", row)
		}
	}
	if due := must[[]string](t)(s.DueSyncs(ctx, false, 10)); len(due) != 0 {
		t.Errorf("due while it is held: %q", due)
	}
}

// goesOn works off what was unfinished.
func goesOn(t *testing.T, f *filled, s store.Store) {
	t.Helper()
	ctx := t.Context()
	lease, next, err := s.Claim(ctx, store.Claim{IntegrationID: f.in.ID, Owner: "y", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	fourth := items(4500, "fourth")
	if next.Task == nil || next.Task.ID != f.tasks["going on"] || next.Task.Counts.Written != 2000 || !next.Task.Touched {
		t.Fatalf("next = %+v", next.Task)
	}
	job := store.Job{Range: store.Range{Start: 2010, Stop: 2020}, Receipt: "job/1"}
	if jobs := must[[]store.Job](t)(s.Jobs(ctx, lease, next.Task.Ref)); len(jobs) != 1 || jobs[0].Range != job.Range || jobs[0].Receipt != job.Receipt {
		t.Errorf("jobs = %+v, want %+v", jobs, job)
	}
	var got []skill.Item
	for len(got) < 4500 {
		block := must[[]skill.Item](t)(s.Items(ctx, next.Task.Ref, len(got)))
		if len(block) == 0 {
			t.Fatalf("items end at %d", len(got))
		}
		got = append(got, block...)
	}
	if diff := cmp.Diff(fourth, got); diff != "" {
		t.Errorf("items:\n%s", diff)
	}
	if runs := must[[]store.Run](t)(s.Outcomes(ctx, next.Task.Ref)); len(runs) != 1 || len(runs[0].Outcomes) != 2000 {
		t.Errorf("outcomes %d", len(runs))
	}
	ids := []string{fourth[0].OriginID, fourth[2005].OriginID, fourth[1].OriginID}
	states := must[[]store.SkillState](t)(s.Skills(ctx, lease, ids))
	if !states[0].Known || states[0].Hash != skill.ContentHash("sandbox", fourth[0]) || !states[1].Unsure || states[1].Known || states[1].ID == "" {
		t.Errorf("skills %+v", states)
	}
	before := next.Task.Ref
	for next.Task != nil {
		next = must[store.Next](t)(s.Advance(ctx, lease, store.Step{Task: next.Task.Ref, Then: store.Proceed, Finish: &store.Finish{
			Status: skill.Completed, Counts: skill.Counts{Written: next.Task.Items}, CompletedAt: next.Now, Document: []byte("{}"),
		}}))
	}
	must[store.Accepted](t)(s.Submit(ctx, store.Submission{
		EnvironmentID: f.env, IntegrationID: f.in.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: items(1, "new"), Timeout: time.Hour,
	}))
	if _, next, err = s.Claim(ctx, store.Claim{IntegrationID: f.in.ID, Owner: "y", TTL: time.Minute}); err != nil || next.Task.Ref <= before+1 {
		t.Errorf("a new task: %+v, %v, after %d", next.Task, err, before)
	}
	if in, err := s.CreateIntegration(ctx, store.Integration{EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{}`)}); err != nil || in.ID == "" {
		t.Errorf("a new integration: %v", err)
	}
}

// Every column of SQLite is copied, or left out for a reason: a new one cannot be forgotten.
func TestEveryColumnIsThoughtOf(t *testing.T) {
	t.Parallel()
	f := fill(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", sqlite.DSN(f.path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(t.Context(), `SELECT t.name || '.' || c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
		WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%' AND t.name NOT LIKE 'river_%' AND t.name NOT LIKE 'goose_%'`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	known := move.Columns()
	n := 0
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		if n++; !known[name] {
			t.Errorf("%s is neither copied nor left out", name)
		}
	}
	if err := rows.Err(); err != nil || n < 60 {
		t.Errorf("%d columns, %v", n, err)
	}
}

// A COMMIT without an answer may have been carried out or not: the database is asked, and the source put aside in the first
// case alone.
func TestTheAnswerToTheCommitIsLost(t *testing.T) {
	t.Parallel()
	copied := func(statement string) bool { return strings.Contains(statement, "setval") }
	for name, test := range map[string]struct {
		arm   func(p *pgtest.Proxy)
		moved bool
		words string
	}{
		"its answer": {func(p *pgtest.Proxy) { p.CutCommitAnswer(copied) }, true, ""},
		"itself":     {func(p *pgtest.Proxy) { p.CutCommit(copied) }, false, "nothing was moved"},
		"and the database": {func(p *pgtest.Proxy) {
			p.CutCommitAnswer(func(statement string) bool {
				if copied(statement) {
					p.Refuse()
				}
				return copied(statement)
			})
		}, false, "move again. If the database is then not empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := small(t)
			p := pgtest.NewProxy(t, pgtest.Empty(t))
			test.arm(p)
			result, err := move.Run(t.Context(), move.Options{From: f, To: p.URL()})
			if test.moved != (err == nil) || err != nil && !strings.Contains(err.Error(), test.words) {
				t.Fatalf("error = %v, want %q in it", err, test.words)
			}
			if _, err := os.Stat(f); errors.Is(err, os.ErrNotExist) != test.moved {
				t.Errorf("where it was: %v; moved: %v", err, test.moved)
			}
			if test.moved {
				if _, err := os.Stat(result.Left); err != nil {
					t.Error(err)
				}
				return
			}
			p.Restore()
			_, err = move.Run(t.Context(), move.Options{From: f, To: p.URL()})
			if there := skill.KindOf(err) == skill.Conflict; there != strings.Contains(test.words, "not empty") || !there && err != nil {
				t.Errorf("once more: %v", err)
			}
		})
	}
}

// small is an embedded database with one integration.
func small(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "crosswalk.db")
	s := must[*sqlite.Store](t)(sqlite.Open(t.Context(), sqlite.Options{Path: path, Serve: true}))
	env := must[store.Environment](t)(s.Environment(t.Context(), store.DefaultEnvironment)).ID
	must[store.Integration](t)(s.CreateIntegration(t.Context(), store.Integration{EnvironmentID: env, Tool: "sandbox", Settings: []byte("{}")}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// Whoever made the first owner of the target would stay one.
func TestATargetWithAUserIsNotEmpty(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	target := pgtest.Open(t, url, time.Now)
	must[store.User](t)(target.CreateUser(t.Context(), store.User{Name: "eve@example.com", Role: store.Owner}))
	path := small(t)
	if _, err := move.Run(t.Context(), move.Options{From: path, To: url}); skill.KindOf(err) != skill.Conflict {
		t.Errorf("error = %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
