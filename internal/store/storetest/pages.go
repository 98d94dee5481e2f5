package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// end takes an integration's oldest task to its end.
func (f *fixture) end(t *testing.T, in store.Integration, status skill.TaskStatus, counts skill.Counts) {
	t.Helper()
	lease, next := f.claim(t, in, "x", 0)
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Then: store.Leave,
		Finish: &store.Finish{Status: status, Counts: counts, CompletedAt: f.clock.Now(), Document: []byte(`{"of":"` + next.Task.ID + `"}`)},
	})
}

// another is an environment with an integration of its own.
func (f *fixture) another(t *testing.T) (store.Environment, store.Integration) {
	t.Helper()
	env, err := f.CreateEnvironment(t.Context(), "another")
	if err != nil {
		t.Fatal(err)
	}
	in, err := f.CreateIntegration(t.Context(), store.Integration{
		EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`), EndUser: store.EndUser{OrganisationName: "Zeta"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return env, in
}

// accept submits a task whose id has the clock's time.
func (f *fixture) accept(t *testing.T, in store.Integration, list ...skill.Item) skill.Task {
	t.Helper()
	task, err := f.Submit(t.Context(), store.Submission{
		EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, KeyID: "key", TaskID: skill.NewTaskID(f.clock.Now()), Items: list, Timeout: timeout,
	})
	if err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Second)
	return task.Task
}

func tasksListed(t *testing.T, f *fixture) {
	a, b := f.integration(t), f.integration(t)
	env, strange := f.another(t)
	began := f.clock.Now()
	var all []string // ids, oldest first
	for n := range 12 {
		in := a
		if n%3 == 2 {
			in = b
		}
		all = append(all, f.accept(t, in, items("Go", "Rust")...).ID)
		f.accept(t, strange, items("x")...)
	}
	// By their number: of a 0 1 3 4 6 7 9 10, of b 2 5 8 11.
	f.end(t, a, skill.Completed, skill.Counts{Written: 2})            // 0
	f.end(t, a, skill.Completed, skill.Counts{Written: 1, Failed: 1}) // 1
	f.end(t, a, skill.Failed, skill.Counts{Failed: 2})                // 3
	f.end(t, b, skill.Completed, skill.Counts{Unchanged: 2})          // 2
	f.end(t, b, skill.Failed, skill.Counts{Failed: 2})                // 5
	lease, next := f.claim(t, b, "x", 0)                              // 8
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Outcomes: []store.Run{{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Rejected, Code: skill.CodeRemoteInput}}}}})

	for _, c := range []struct {
		name   string
		filter store.TaskFilter
		want   []int
	}{
		{"all", store.TaskFilter{Limit: 100}, []int{11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0}},
		{"a page", store.TaskFilter{Limit: 3}, []int{11, 10, 9}},
		{"the next page", store.TaskFilter{Limit: 3, Before: all[9]}, []int{8, 7, 6}},
		{"of an integration", store.TaskFilter{IntegrationID: b.ID, Limit: 100}, []int{11, 8, 5, 2}},
		{"the next page of an integration", store.TaskFilter{IntegrationID: b.ID, Limit: 2, Before: all[8]}, []int{5, 2}},
		{"of another's integration", store.TaskFilter{IntegrationID: strange.ID, Limit: 100}, nil},
		{"going on", store.TaskFilter{State: store.GoingOn, Limit: 100}, []int{11, 10, 9, 8, 7, 6, 4}},
		{"going on, the next page", store.TaskFilter{State: store.GoingOn, Limit: 2, Before: all[7]}, []int{6, 4}},
		{"done", store.TaskFilter{State: store.Done, Limit: 100}, []int{2, 1, 0}},
		{"with failures", store.TaskFilter{State: store.WithFailures, Limit: 100}, []int{8, 5, 3, 1}},
		{"with failures, the next page", store.TaskFilter{State: store.WithFailures, Limit: 1, Before: all[5]}, []int{3}},
		{"failed", store.TaskFilter{State: store.AllFailed, Limit: 100}, []int{5, 3}},
		{"of a time", store.TaskFilter{
			From: skill.FirstTaskID(began.Add(4 * time.Second)), Before: skill.FirstTaskID(began.Add(8 * time.Second)), Limit: 100,
		}, []int{3, 2}},
		{"the oldest ones first", store.TaskFilter{OldestFirst: true, Limit: 100}, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}},
		{"a page of the oldest", store.TaskFilter{OldestFirst: true, Limit: 3}, []int{0, 1, 2}},
		{"the next page of the oldest", store.TaskFilter{OldestFirst: true, After: all[2], Limit: 4}, []int{3, 4, 5, 6}},
		{"the oldest of an integration", store.TaskFilter{OldestFirst: true, IntegrationID: b.ID, After: all[2], Limit: 2}, []int{5, 8}},
		{"the oldest going on", store.TaskFilter{OldestFirst: true, State: store.GoingOn, Limit: 2}, []int{4, 6}},
		{"the next page of the oldest going on", store.TaskFilter{OldestFirst: true, State: store.GoingOn, After: all[6], Limit: 3}, []int{7, 8, 9}},
		{"the oldest with failures", store.TaskFilter{OldestFirst: true, State: store.WithFailures, After: all[1], Limit: 100}, []int{3, 5, 8}},
		{"the oldest of a time", store.TaskFilter{OldestFirst: true, From: skill.FirstTaskID(began.Add(4 * time.Second)), Limit: 2}, []int{2, 3}},
		{"the next page of the oldest of a time", store.TaskFilter{OldestFirst: true, From: skill.FirstTaskID(began.Add(4 * time.Second)), After: all[3], Limit: 2}, []int{4, 5}},
	} {
		c.filter.EnvironmentID = f.env
		got, err := f.ListTasks(t.Context(), c.filter)
		want := each(c.want, func(n int) string { return all[n] })
		ids := each(got, func(h store.TaskHead) string { return h.ID })
		if err != nil || !slices.Equal(ids, want) {
			t.Errorf("%s: %v, %v; want %v", c.name, ids, err, c.want)
		}
		for _, h := range got { // the list says what the page of the task says
			if head, err := f.TaskHead(t.Context(), f.env, h.ID); err != nil || cmp.Diff(head, h) != "" {
				t.Errorf("%s: in the list %+v, alone %+v, %v", c.name, h, head, err)
			}
		}
	}
	head, err := f.TaskHead(t.Context(), f.env, all[1])
	want := store.TaskHead{
		Task: skill.Task{ID: all[1], CreatedAt: began.Add(2 * time.Second)}, IntegrationID: a.ID, Tool: "sandbox", Customer: "Acme GmbH", KeyID: "key",
		Status: skill.Completed, Items: 2, Done: 2, Counts: skill.Counts{Written: 1, Failed: 1}, CompletedAt: f.clock.Now(),
	}
	head.Ref, head.Started, head.Deadline = 0, false, time.Time{} // of an ended task, they may be forgotten
	if diff := cmp.Diff(want, head); err != nil || diff != "" {
		t.Errorf("an ended task: %v (-want +got):\n%s", err, diff)
	}
	_, err = f.TaskHead(t.Context(), env.ID, all[1])
	wantError(t, err, store.ErrNotFound)
	_, err = f.TaskHead(t.Context(), f.env, "task_none")
	wantError(t, err, store.ErrNotFound)
	for _, n := range []int{1, 11} {
		if id, err := f.TaskEnvironment(t.Context(), all[n]); err != nil || id != f.env {
			t.Errorf("environment of %d: %q, %v", n, id, err)
		}
	}
	_, err = f.TaskEnvironment(t.Context(), "task_none")
	wantError(t, err, store.ErrNotFound)

	f.clock.advance(10 * 24 * time.Hour)
	f.expireAll(t, 24*time.Hour, 100)
	_, err = f.TaskHead(t.Context(), f.env, all[1])
	if _, ok := errors.AsType[*store.ExpiredError](err); !ok {
		t.Errorf("an expired task: %v", err)
	}
}

func taskContent(t *testing.T, f *fixture) {
	in := f.integration(t)
	list := make([]skill.Item, 4500) // several blocks
	for i := range list {
		list[i] = skill.Item{OriginID: fmt.Sprintf("id-%04d", i), Name: fmt.Sprintf("Skill %d", i), Status: skill.Active}
	}
	task := f.accept(t, in, list...)
	content := func() store.TaskContent {
		t.Helper()
		head, err := f.TaskHead(t.Context(), f.env, task.ID)
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.TaskContent(t.Context(), head)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Items, list) {
			t.Errorf("%d items, not those that were sent", len(c.Items))
		}
		return c
	}
	if c := content(); len(c.Runs) != 0 || len(c.Document) != 0 {
		t.Errorf("of a fresh task: %+v, %q", c.Runs, c.Document)
	}
	old, err := f.TaskHead(t.Context(), f.env, task.ID)
	if err != nil {
		t.Fatal(err)
	}
	lease, next := f.claim(t, in, "x", 0)
	runs := []store.Run{{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}, {Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: "no"}}}}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Outcomes: runs})
	if c := content(); cmp.Diff(runs, c.Runs) != "" || len(c.Document) != 0 {
		t.Errorf("of a task that goes on: %+v, %q", c.Runs, c.Document)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "the document"), Then: store.Proceed})
	ended := content()
	if len(ended.Runs) != 0 || len(ended.Document) == 0 {
		t.Errorf("of an ended task: %+v, %q", ended.Runs, ended.Document)
	}
	// It ended between the two questions.
	c, err := f.TaskContent(t.Context(), old)
	ended.Runs, c.Runs = nil, nil
	if diff := cmp.Diff(ended, c); err != nil || diff != "" {
		t.Errorf("content of a task that was going on: %v (-want +got):\n%.400s", err, diff)
	}
}

func itemInTasks(t *testing.T, f *fixture) {
	in := f.integration(t)
	var tasks []skill.Task
	send := func(items ...skill.Item) { tasks = append(tasks, f.accept(t, in, items...)) }
	send(skill.Item{OriginID: "go", Name: "Go", Status: skill.Active}, skill.Item{OriginID: "sql", Name: "SQL", Status: skill.Active})
	send(skill.Item{OriginID: "golang", Name: "its name has go in it", Status: skill.Active})
	large := make([]skill.Item, 9000) // several blocks
	for i := range large {
		large[i] = skill.Item{OriginID: fmt.Sprintf("id-%04d", i), Name: fmt.Sprintf("Skill %d", i), Status: skill.Active}
	}
	large[4321] = skill.Item{OriginID: "go", Name: "Go, at last", Status: skill.Inactive}
	send(large...)
	send(skill.Item{OriginID: "sql", Name: "SQL", Status: skill.Active}, skill.Item{OriginID: "go", Name: "Go 2", Status: skill.Active})
	listed := func() []store.TaskHead {
		t.Helper()
		heads, err := f.ListTasks(t.Context(), store.TaskFilter{EnvironmentID: f.env, IntegrationID: in.ID, OldestFirst: true, Limit: 10})
		if err != nil || len(heads) != len(tasks) {
			t.Fatalf("%d tasks, %v", len(heads), err)
		}
		return heads
	}
	check := func(what string, heads []store.TaskHead) {
		t.Helper()
		found, err := f.FindItem(t.Context(), heads, "go")
		want := []store.FoundItem{
			{TaskHead: heads[0], At: 0, Item: skill.Item{OriginID: "go", Name: "Go", Status: skill.Active}},
			{TaskHead: heads[2], At: 4321, Item: large[4321]},
			{TaskHead: heads[3], At: 1, Item: skill.Item{OriginID: "go", Name: "Go 2", Status: skill.Active}},
		}
		if diff := cmp.Diff(want, found); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", what, err, diff)
		}
		for i, h := range heads {
			c, err := f.TaskContent(t.Context(), h)
			if err != nil || len(c.Items) != h.Items {
				t.Errorf("%s: task %d has %d items, %v", what, i, len(c.Items), err)
			}
		}
	}
	waiting := listed()
	check("while they wait", waiting)

	lease, next := f.claim(t, in, "x", 0)
	for _, document := range []string{"the first", "the second"} {
		next = f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, document), Then: store.Proceed})
	}
	run := store.Run{Start: 0, Outcomes: []skill.Outcome{{Kind: skill.Written, SkillID: id(1)}}}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Outcomes: []store.Run{run}})
	some := listed()
	check("while one goes on", some)
	check("when some have ended since they were listed", waiting)
	got, err := f.TaskOutcomes(t.Context(), append(slices.Clone(some), store.TaskHead{Task: skill.Task{ID: "task_that_is_no_more"}, Status: skill.Completed}))
	want := []store.TaskContent{{Document: []byte("the first")}, {Document: []byte("the second")}, {Runs: []store.Run{run}}, {}, {}}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("outcomes: %v (-want +got):\n%s", err, diff)
	}
	if found, err := f.FindItem(t.Context(), some, "nobody's"); err != nil || len(found) != 0 {
		t.Errorf("what is in none of them: %+v, %v", found, err)
	}
}

func catalogueListed(t *testing.T, f *fixture) {
	a, b := f.integration(t), f.integration(t)
	_, strange := f.another(t)
	made := 0
	fill := func(in store.Integration, names ...string) {
		list := items(names...)
		task := f.accept(t, in, list...)
		lease, next := f.claim(t, in, "x", 0)
		step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
		for _, it := range list {
			i := made
			made++
			if it.Name == "Welding" {
				step.Refused = append(step.Refused, store.SkillRefused{ID: id(i), Item: it, Code: skill.CodeRemoteInput, Message: "no"})
				continue
			}
			if it.Name == "Go" {
				it.Status = skill.Inactive
			}
			w := written(it, 0, id(i))
			w.RemoteID = "remote-" + it.Name
			step.Written = append(step.Written, w)
		}
		f.advance(t, lease, step)
		_ = task
	}
	fill(a, "Ada", "C 100%", "Go", "Rust", "TypeScript", "Welding")
	fill(b, "Basic", "TypeScript in practice")
	fill(strange, "Go")
	all := func(filter store.SkillFilter) (names []string, pages int) {
		t.Helper()
		filter.EnvironmentID = f.env
		for {
			page, err := f.ListSkills(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			pages++
			for _, s := range page.Skills {
				if !page.Some { // those are from anywhere, and come again
					names = append(names, s.Name)
				}
			}
			if !page.More {
				return names, pages
			}
			if len(page.Skills) == 0 && page.Looked == 0 || pages > 100 {
				t.Fatalf("%+v: no end", filter)
			}
			filter.After = page.Next
		}
	}
	every := []string{"Ada", "C 100%", "Go", "Rust", "TypeScript", "Welding", "Basic", "TypeScript in practice"}
	down := slices.Clone(every)
	slices.Reverse(down)
	for _, c := range []struct {
		name   string
		filter store.SkillFilter
		want   []string
	}{
		{"all", store.SkillFilter{}, every},
		{"of one", store.SkillFilter{IntegrationID: b.ID}, every[6:]},
		{"of another's", store.SkillFilter{IntegrationID: strange.ID}, nil},
		{"by the beginning of the origin_id", store.SkillFilter{IntegrationID: a.ID, OriginID: "id-T"}, []string{"TypeScript"}},
		{"by that in all", store.SkillFilter{OriginID: "id-T"}, []string{"TypeScript", "TypeScript in practice"}},
		{"by an origin_id that nothing has", store.SkillFilter{IntegrationID: a.ID, OriginID: "id-Z"}, nil},
		{"by a word", store.SkillFilter{Search: store.NewSearch("typescript")}, []string{"TypeScript", "TypeScript in practice"}},
		{"by two words", store.SkillFilter{Search: store.NewSearch("typescript PRACT")}, []string{"TypeScript in practice"}},
		{"by one letter", store.SkillFilter{Search: store.NewSearch("r")}, []string{"Rust"}},
		{"by what is no word", store.SkillFilter{Search: store.NewSearch("%_'\"*")}, every},
		{"by a word and the beginning of the origin_id", store.SkillFilter{Search: store.NewSearch("typescript"), OriginID: "id-TypeScript "}, []string{"TypeScript in practice"}},
		{"refused", store.SkillFilter{State: store.Refused}, []string{"Welding"}},
		{"refused, by a word", store.SkillFilter{State: store.Refused, Search: store.NewSearch("weld")}, []string{"Welding"}},
		{"inactive", store.SkillFilter{State: store.Retired}, []string{"Go"}},
		{"inactive, by a word", store.SkillFilter{State: store.Retired, Search: store.NewSearch("rust")}, nil},
		{"unsure", store.SkillFilter{State: store.Unsure}, nil},
		{"by origin_id", store.SkillFilter{Order: store.ByOriginID}, []string{"Ada", "Basic", "C 100%", "Go", "Rust", "TypeScript", "TypeScript in practice", "Welding"}},
		{"by origin_id, the last first", store.SkillFilter{Order: store.ByOriginIDDown}, []string{"Welding", "TypeScript in practice", "TypeScript", "Rust", "Go", "C 100%", "Basic", "Ada"}},
		{"by age", store.SkillFilter{Order: store.ByAge}, every},
		{"by age, the newest first", store.SkillFilter{Order: store.ByAgeDown}, down},
		{"by age, a word", store.SkillFilter{Order: store.ByAgeDown, Search: store.NewSearch("type")}, []string{"TypeScript in practice", "TypeScript"}},
		{"by age, of one in a state", store.SkillFilter{Order: store.ByAgeDown, IntegrationID: a.ID, State: store.Refused}, []string{"Welding"}},
	} {
		for _, limit := range []int{1, 3, 100} {
			for _, bounds := range []store.SearchBounds{{}, {First: 1, Looked: 4}, {First: 1, Indexed: 1, Looked: 3}, {First: 1, Unsearched: 1, Looked: 1}} {
				c.filter.Limit, c.filter.Bounds = limit, bounds
				if got, pages := all(c.filter); bounds.Unsearched == 0 && !slices.Equal(got, c.want) {
					t.Errorf("%s, by %d, within %+v: %q on %d pages, want %q", c.name, limit, bounds, got, pages, c.want)
				}
			}
		}
	}
	// The index is asked, and knows the names that came.
	found := func(text string, bounds store.SearchBounds) store.SkillList {
		t.Helper()
		page, err := f.ListSkills(t.Context(), store.SkillFilter{EnvironmentID: f.env, Search: store.NewSearch(text), Limit: 10, Bounds: bounds})
		if err != nil {
			t.Fatal(err)
		}
		return page
	}
	few := store.SearchBounds{First: 1, Indexed: 2, Unsearched: 1, Looked: 2}
	if page := found("practice", few); len(page.Skills) != 0 || !page.Behind {
		t.Errorf("a name that is not indexed yet: %+v", page)
	}
	f.indexAll(t)
	if page := found("practice", few); len(page.Skills) != 1 || page.Behind || page.More || page.Looked > 0 {
		t.Errorf("an indexed name: %+v", page)
	}
	if page := found("nothing", few); len(page.Skills) != 0 || page.Behind || page.More {
		t.Errorf("a name that nothing has: %+v", page)
	}
	// One letter is looked for in the names themselves, and so is what more have than the index may name: of that there are some.
	for text, some := range map[string]bool{"z": false, "typescript": true} {
		page := found(text, store.SearchBounds{First: 1, Indexed: 1, Looked: 2})
		if page.Looked != 2 || !page.More || page.Some != some || some != (len(page.Skills) == 1) {
			t.Errorf("%q, looked for in a part: %+v", text, page)
		}
		for _, s := range page.Skills {
			if !strings.HasPrefix(s.Name, "TypeScript") {
				t.Errorf("%q is some of %q", s.Name, text)
			}
		}
	}
	// Where they would come next, they are not told twice.
	if page := found("typescript", store.SearchBounds{First: 1, Indexed: 1, Looked: 5}); page.Some || len(page.Skills) != 1 || page.Looked != 5 {
		t.Errorf("some are met: %+v", page)
	}

	got, err := f.FindSkill(t.Context(), f.env, a.ID, "id-Welding")
	want := store.ListedSkill{
		ID: id(5), IntegrationID: a.ID, Tool: "sandbox", Customer: "Acme GmbH", OriginID: "id-Welding", Name: "Welding", Status: skill.Active,
		ErrorCode: skill.CodeRemoteInput, ErrorMessage: "no", ErrorAt: got.ErrorAt,
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" || got.ErrorAt.IsZero() {
		t.Errorf("a refused skill: %v (-want +got):\n%s", err, diff)
	}
	got, err = f.FindSkill(t.Context(), f.env, a.ID, "id-Rust")
	if err != nil || !got.Known || got.Unsure || got.WrittenAt.IsZero() || got.RemoteID != "remote-Rust" || got.Name != "Rust" {
		t.Errorf("a written skill: %+v, %v", got, err)
	}
	if in, origin, err := f.SkillByID(t.Context(), f.env, id(5)); err != nil || in != a.ID || origin != "id-Welding" {
		t.Errorf("by its id: %s %s, %v", in, origin, err)
	}
	_, _, err = f.SkillByID(t.Context(), f.env, id(999_999))
	wantError(t, err, store.ErrNotFound)
	_, _, err = f.SkillByID(t.Context(), strange.EnvironmentID, id(5))
	wantError(t, err, store.ErrNotFound)
	_, err = f.FindSkill(t.Context(), f.env, strange.ID, "id-Go")
	wantError(t, err, store.ErrNotFound)
	_, err = f.FindSkill(t.Context(), f.env, a.ID, "id-none")
	wantError(t, err, store.ErrNotFound)
}

func catalogueCounted(t *testing.T, f *fixture) {
	in := f.integration(t)
	_, strange := f.another(t)
	f.fill(t, in, items("a", "b", "c")...)
	f.fill(t, strange, items("a")...)
	f.accept(t, in, items("c", "d", "e")...)
	lease, next := f.claim(t, in, "x", 0)
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed,
		Refused: []store.SkillRefused{{ID: id(9), Item: items("d")[0], Code: skill.CodeRemoteInput, Message: "no"}},
		Unsure:  []store.SkillUnsure{{ID: id(8), Item: items("e")[0]}},
	})
	got, err := f.CountCatalogue(t.Context(), f.env)
	want := map[string]store.CatalogueCount{in.ID: {Total: 5, InStep: 3, Refused: 1, Unsure: 1}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("counts: %v (-want +got):\n%s", err, diff)
	}
}

func activity(t *testing.T, f *fixture) {
	a, b := f.integration(t), f.integration(t)
	_, strange := f.another(t)
	hour := func() time.Time { return f.clock.Now().Truncate(time.Hour) }
	end := func(in store.Integration, status skill.TaskStatus, counts skill.Counts) time.Time {
		f.accept(t, in, items("x")...)
		f.end(t, in, status, counts)
		return f.clock.Now()
	}
	end(a, skill.Completed, skill.Counts{Written: 100})
	f.clock.advance(48 * time.Hour)
	first := hour()
	end(a, skill.Completed, skill.Counts{Written: 1})
	at := end(a, skill.Completed, skill.Counts{Unchanged: 2, Failed: 3})
	end(a, skill.Failed, skill.Counts{Failed: 10})
	end(b, skill.Failed, skill.Counts{Failed: 20})
	end(strange, skill.Completed, skill.Counts{Written: 1000})
	f.clock.advance(2 * time.Hour)
	second, later := hour(), end(b, skill.Completed, skill.Counts{Written: 4})
	f.accept(t, a, items("y")...)

	want := []store.ActivityHour{
		{IntegrationID: a.ID, Hour: first, Tasks: 3, PartlyFailed: 1, AllFailed: 1, Counts: skill.Counts{Written: 1, Unchanged: 2, Failed: 13}, SucceededAt: at},
		{IntegrationID: b.ID, Hour: first, Tasks: 1, AllFailed: 1, Counts: skill.Counts{Failed: 20}},
		{IntegrationID: b.ID, Hour: second, Tasks: 1, Counts: skill.Counts{Written: 4}, SucceededAt: later},
	}
	got, err := f.Activity(t.Context(), f.env, 24*time.Hour)
	slices.SortFunc(got, func(x, y store.ActivityHour) int {
		if c := x.Hour.Compare(y.Hour); c != 0 {
			return c
		}
		if x.IntegrationID == a.ID {
			return -1
		}
		return 1
	})
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("activity: %v (-want +got):\n%s", err, diff)
	}
}

func integrationStates(t *testing.T, f *fixture) {
	a, b := f.integration(t), f.integration(t)
	env, strange := f.another(t)
	f.accept(t, strange, items("x")...)
	f.accept(t, a, items("Go", "Rust")...)
	oldest, err := f.ListTasks(t.Context(), store.TaskFilter{EnvironmentID: f.env, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	f.accept(t, a, items("C")...)
	f.accept(t, b, items("C")...)
	lease, next := f.claim(t, b, "x", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Hold: time.Minute, Pace: 2 * time.Second})

	got, err := f.IntegrationStates(t.Context(), store.IntegrationFilter{EnvironmentID: f.env, Limit: 10})
	if err != nil || len(got) != 2 {
		t.Fatalf("states: %+v, %v", got, err)
	}
	want := store.IntegrationState{Integration: a, Ref: got[0].Ref, Pending: 2, Waiting: 3, Oldest: &oldest[0]}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("one that waits for its turn (-want +got):\n%s", diff)
	}
	if s := got[1]; s.ID != b.ID || !s.Leased || s.Hold != time.Minute || s.Paced != 2*time.Second || s.Oldest == nil || !s.Oldest.Started {
		t.Errorf("one that is worked on: %+v", s)
	}
	for text, want := range map[string]int{"acme": 2, "ACME g": 2, b.ID: 1, "zeta": 0, "%": 0} {
		if list, err := f.IntegrationStates(t.Context(), store.IntegrationFilter{EnvironmentID: f.env, Text: text, Limit: 10}); err != nil || len(list) != want {
			t.Errorf("with %q: %d, %v; want %d", text, len(list), err, want)
		}
	}
	if list, err := f.IntegrationStates(t.Context(), store.IntegrationFilter{EnvironmentID: f.env, After: got[0].Cursor(), Limit: 10}); err != nil || len(list) != 1 || list[0].ID != b.ID {
		t.Errorf("the next page: %+v, %v", list, err)
	}
	if one, err := f.IntegrationState(t.Context(), f.env, a.ID); err != nil || cmp.Diff(want, one) != "" {
		t.Errorf("one alone: %+v, %v", one, err)
	}
	_, err = f.IntegrationState(t.Context(), env.ID, a.ID)
	wantError(t, err, store.ErrNotFound)
	if _, err := f.DeleteIntegration(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if list, err := f.IntegrationStates(t.Context(), store.IntegrationFilter{EnvironmentID: f.env, Limit: 10}); err != nil || len(list) != 1 {
		t.Errorf("a deleted one is not listed: %+v, %v", list, err)
	}
	if one, err := f.IntegrationState(t.Context(), f.env, a.ID); err != nil || !one.Deleted() {
		t.Errorf("a deleted one is found: %+v, %v", one, err)
	}
}

func integrationsSorted(t *testing.T, f *fixture) {
	// Bytewise, but for the large letters of ASCII; of one name, in the order in which they were connected.
	names := []string{"beta", "Öl GmbH", "Acme", "acme", "Zeta", "_under", "zeta GmbH", "acme 2", "beta"}
	for _, name := range names {
		if _, err := f.CreateIntegration(t.Context(), store.Integration{
			EnvironmentID: f.env, Tool: "sandbox", Settings: []byte(`{}`), EndUser: store.EndUser{OrganisationName: name},
		}); err != nil {
			t.Fatal(err)
		}
	}
	f.another(t)
	sorted := []int{5, 2, 3, 7, 0, 8, 4, 6, 1}
	down := func(list []int) []int {
		list = slices.Clone(list)
		slices.Reverse(list)
		return list
	}
	connected := []int{0, 1, 2, 3, 4, 5, 6, 7, 8}
	for _, c := range []struct {
		name  string
		order store.IntegrationOrder
		text  string
		want  []int
	}{
		{"as they were connected", store.ByConnection, "", connected},
		{"the last ones first", store.ByConnectionDown, "", down(connected)},
		{"by customer", store.ByCustomer, "", sorted},
		{"by customer, the other way", store.ByCustomerDown, "", down(sorted)},
		{"by customer, of some", store.ByCustomer, "ETA", []int{0, 8, 4, 6}},
		{"by customer, the other way, of some", store.ByCustomerDown, "eta", []int{6, 4, 8, 0}},
		{"the last ones first, of some", store.ByConnectionDown, "acme", []int{7, 3, 2}},
	} {
		for size := 1; size <= 10; size += 3 {
			q := store.IntegrationFilter{EnvironmentID: f.env, Text: c.text, Order: c.order, Limit: size}
			var got []store.IntegrationState
			for {
				page, err := f.IntegrationStates(t.Context(), q)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if got = append(got, page...); len(page) < size {
					break
				}
				q.After = page[len(page)-1].Cursor()
			}
			first := got[0].Ref
			for _, s := range got {
				first = min(first, s.Ref)
			}
			if of := each(got, func(s store.IntegrationState) string { return s.EndUser.OrganisationName }); !slices.Equal(of, each(c.want, func(n int) string { return names[n] })) {
				t.Errorf("%s, by %d: %q", c.name, size, of)
			}
			// Two have one name: these are told apart by their numbers.
			if refs := each(got, func(s store.IntegrationState) int { return int(s.Ref-first) + slices.Min(c.want) }); !slices.Equal(refs, c.want) {
				t.Errorf("%s, by %d: %v, want %v", c.name, size, refs, c.want)
			}
		}
	}
}

// indexAll takes all names into the search, a few at a time.
func (f *fixture) indexAll(t *testing.T) {
	t.Helper()
	for range 1000 {
		n, err := f.IndexNames(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	t.Fatal("names to be indexed have no end")
}

// namesLookedAt: what is found does not depend on who compares, the database or the program.
func namesLookedAt(t *testing.T, f *fixture) {
	in := f.integration(t)
	names := []string{"Café au lait", "CAFE", "Strasse", "ＦＵＬＬ width", "full", "C++ and C#", "c + +", "naïveté 100%", "under_score", "日本語", "plain"}
	list := items(names...)
	f.accept(t, in, list...)
	lease, next := f.claim(t, in, "x", 0)
	step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
	for i, it := range list {
		step.Written = append(step.Written, written(it, 0, id(i)))
	}
	f.advance(t, lease, step)
	// There is one environment alone, which the index has no mark of then.
	f.indexAll(t)
	for text, want := range map[string][]string{
		"cafe": {"CAFE", "Café au lait"}, "CAFÉ": {"CAFE", "Café au lait"}, "straße": {"Strasse"}, "full": {"full", "ＦＵＬＬ width"},
		"ｆｕ": {"full", "ＦＵＬＬ width"}, "c++": {"C++ and C#"}, "c# c++": {"C++ and C#"}, "naivete 100": {"naïveté 100%"}, "under_sc": {"under_score"},
		"score": {"under_score"}, "本": {"日本語"}, "café lait": {"Café au lait"}, "lai": {"Café au lait"}, "afe": nil, "caf nothing": nil,
	} {
		for _, filter := range []store.SkillFilter{
			{Limit: 1, Bounds: store.SearchBounds{First: 1000}},
			{Limit: 3, Bounds: store.SearchBounds{First: 1000}},
			{Limit: 100, Bounds: store.SearchBounds{First: 1000}},
			{Limit: 3, Bounds: store.SearchBounds{First: 1, Looked: 1}},
			{Limit: 3, IntegrationID: in.ID, Bounds: store.SearchBounds{First: 1, Looked: 1}},
		} {
			filter.EnvironmentID, filter.Search = f.env, store.NewSearch(text)
			asked := fmt.Sprintf("%d at once, %+v", filter.Limit, filter.Bounds)
			var got []string
			for more := true; more; {
				page, err := f.ListSkills(t.Context(), filter)
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range page.Skills {
					got = append(got, s.Name)
				}
				filter.After, more = page.Next, page.More
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("%q, %s: %q, want %q", text, asked, got, want)
			}
		}
	}
}

// namesElsewhere: of words that names of other environments have as well, those here are found, however many the others are.
func namesElsewhere(t *testing.T, f *fixture) {
	in := f.integration(t)
	another, strange := f.another(t)
	fill := func(in store.Integration, names ...string) {
		t.Helper()
		f.accept(t, in, items(names...)...)
		lease, next := f.claim(t, in, "x", 0)
		step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
		for _, it := range items(names...) {
			step.Written = append(step.Written, written(it, 0, skill.NewID(time.Now())))
		}
		f.advance(t, lease, step)
	}
	// Where it begins is looked at anyway: so one stands in front.
	fill(in, "A first one", "Welding robots", "Welding of robotic arms", "Robots and welding")
	fill(strange, "A first one", "Welding", "Robots", "Others", "More others", "Welding robots")
	for _, others := range []int{0, 4, 5, 6, 50} { // with the one that is there, within three, within twice as many, and beyond that
		var names []string
		for n := range others {
			names = append(names, fmt.Sprintf("Robots for welding %d of %d", n, others))
		}
		if others > 0 {
			fill(strange, names...)
		}
		f.indexAll(t)
		for text, want := range map[string]int{"welding robots": 2, "welding robot": 3, "robots weld": 2, "welding arms": 1, "welding nothing": 0} {
			q := store.SkillFilter{EnvironmentID: f.env, Search: store.NewSearch(text), Limit: 10, Bounds: store.SearchBounds{First: 1, Indexed: 3, Looked: 1}}
			for _, q.IntegrationID = range []string{"", in.ID} {
				page, err := f.ListSkills(t.Context(), q)
				if err != nil || len(page.Skills) != want || page.More || page.Looked > 0 || page.Some {
					t.Errorf("%q in %q, with %d elsewhere: %+v, %v; want %d", text, q.IntegrationID, others, page, err, want)
				}
				for _, s := range page.Skills {
					if s.IntegrationID != in.ID {
						t.Errorf("%q is of %s", s.Name, s.IntegrationID)
					}
				}
			}
		}
		// Of more than it may name here, there are some.
		page, err := f.ListSkills(t.Context(), store.SkillFilter{
			EnvironmentID: f.env, Search: store.NewSearch("welding robot"), Limit: 10, Bounds: store.SearchBounds{First: 1, Indexed: 2, Looked: 1},
		})
		if err != nil || len(page.Skills) == 0 || !page.Some || !page.More {
			t.Errorf("more than two, with %d elsewhere: %+v, %v", others, page, err)
		}
	}
	page, err := f.ListSkills(t.Context(), store.SkillFilter{
		EnvironmentID: another.ID, Search: store.NewSearch("welding robots"), Limit: 10, Bounds: store.SearchBounds{First: 1, Indexed: 100, Looked: 1},
	})
	if err != nil || len(page.Skills) != 10 || !page.More {
		t.Errorf("in the other one: %+v, %v", page, err)
	}
}

// namesIndexed: whatever changes a name, the index follows.
func namesIndexed(t *testing.T, f *fixture) {
	in := f.integration(t)
	another, strange := f.another(t)
	other := another.ID
	found := func(environment, text string) (names []string) {
		t.Helper()
		page, err := f.ListSkills(t.Context(), store.SkillFilter{
			EnvironmentID: environment, Search: store.NewSearch(text), Limit: 10, Bounds: store.SearchBounds{First: 1, Looked: 1},
		})
		if err != nil || page.Behind {
			t.Fatalf("%q: %+v, %v", text, page, err)
		}
		for _, s := range page.Skills {
			names = append(names, s.Name)
		}
		return names
	}
	wantFound := func(text string, names ...string) {
		t.Helper()
		for _, when := range []string{"before it is indexed", "indexed"} {
			if got := found(f.env, text); !slices.Equal(got, names) {
				t.Errorf("%q, %s: found %q, want %q", text, when, got, names)
			}
			f.indexAll(t)
		}
	}
	item := func(id, name string) skill.Item { return skill.Item{OriginID: id, Name: name, Status: skill.Active} }
	write := func(in store.Integration, list ...skill.Item) {
		t.Helper()
		f.accept(t, in, list...)
		lease, next := f.claim(t, in, "x", 0)
		ids := make([]string, len(list))
		for i := range list {
			ids[i] = list[i].OriginID
		}
		rows, err := f.Skills(t.Context(), lease, ids)
		if err != nil {
			t.Fatal(err)
		}
		step := store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed}
		for i, it := range list {
			id := rows[i].ID
			if id == "" {
				id = skill.NewID(time.Now())
			}
			step.Written = append(step.Written, written(it, rows[i].Ref, id))
		}
		f.advance(t, lease, step)
	}
	write(strange, item("1", "Zebra"), item("2", "Okapi"))
	// Where it begins is looked at anyway: so these stand in front.
	write(in, item("0", "First"), item("00", "Second"), item("1", "Café au lait"), item("2", "C++ für Fortgeschrittene"), item("3", "项目管理"))
	wantFound("cafe", "Café au lait")
	wantFound("C++", "C++ für Fortgeschrittene")
	wantFound("fur fortgeschr", "C++ für Fortgeschrittene")
	wantFound("管理", "项目管理")
	wantFound("理管")
	wantFound("zebra")
	if got := found(other, "zebra"); !slices.Equal(got, []string{"Zebra"}) {
		t.Errorf("in its own environment: %q", got)
	}

	// By an upsert, with another status alone, by many at once.
	write(in, item("1", "Espresso"))
	wantFound("cafe")
	wantFound("espresso", "Espresso")
	var many []skill.Item
	for i := range 1000 {
		many = append(many, item(fmt.Sprintf("many-%04d", i), fmt.Sprintf("Number %d of a thousand", i)))
	}
	write(in, many...)
	wantFound("number 777", "Number 777 of a thousand")

	// By a refusal of a new one, and not by that of one that was written.
	f.accept(t, in, item("4", "Refused at once"), item("1", "Refused later"), item("5", "Nobody knows"))
	lease, next := f.claim(t, in, "x", 0)
	rows, err := f.Skills(t.Context(), lease, []string{"1"})
	if err != nil {
		t.Fatal(err)
	}
	f.advance(t, lease, store.Step{
		Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Proceed,
		Refused: []store.SkillRefused{
			{ID: skill.NewID(time.Now()), Item: item("4", "Refused at once"), Code: skill.CodeRemoteInput, Message: "no"},
			{Ref: rows[0].Ref, ID: rows[0].ID, Item: item("1", "Refused later"), Code: skill.CodeRemoteInput, Message: "no"},
		},
		Unsure: []store.SkillUnsure{{ID: skill.NewID(time.Now()), Item: item("5", "Nobody knows")}},
	})
	wantFound("refused", "Refused at once")
	wantFound("espresso", "Espresso")
	wantFound("nobody", "Nobody knows")

	// By somebody who manages a single one.
	if _, err := f.Keep(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, OriginID: "6", Name: "Wished for", Status: skill.Active}); err != nil {
		t.Fatal(err)
	}
	wantFound("wished", "Wished for")
}

// namesIndexedTogether: two processes take names into the search at once.
func namesIndexedTogether(t *testing.T, f *fixture) {
	in := f.integration(t)
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("Name %d", i))
	}
	f.fill(t, in, items(names...)...)
	var group errgroup.Group
	for range 2 {
		group.Go(func() error {
			for range 100 {
				if _, err := f.IndexNames(t.Context(), 7); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	f.indexAll(t)
	page, err := f.ListSkills(t.Context(), store.SkillFilter{
		EnvironmentID: f.env, Search: store.NewSearch("name"), Limit: 300, Bounds: store.SearchBounds{First: 1, Looked: 1},
	})
	if err != nil || len(page.Skills) != 200 || page.Behind || page.More {
		t.Errorf("found %d of 200, behind %v, more %v: %v", len(page.Skills), page.Behind, page.More, err)
	}
}

// Which task wrote a skill last is known while the task goes on, when it has ended, and until it has expired.
func writers(t *testing.T, f *fixture) {
	in, other := f.integration(t), f.integration(t)
	var tasks []skill.Task
	for range 3 { // the first has another behind it when it ends, the second has none that could be ended so, the third goes on
		tasks = append(tasks, f.accept(t, in, items("Go", "Rust", "Zig")...))
	}
	f.write(t, other, items("Go"), id(90))
	lease, next := f.claim(t, in, "x", 0)
	for i, name := range []string{"Go", "Rust", "Zig"} {
		step := store.Step{Task: next.Task.Ref, Written: []store.SkillWritten{written(items(name)[0], 0, id(i+1))}, Then: store.Proceed}
		if i < 2 {
			step.Finish = finish(next.Task, "x")
			step.Finish.Counts = skill.Counts{Written: 3}
		}
		next = f.advance(t, lease, step)
	}
	by := func(in store.Integration) (got []string) {
		t.Helper()
		list, err := f.ListSkills(t.Context(), store.SkillFilter{EnvironmentID: f.env, IntegrationID: in.ID, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Skills {
			one, err := f.FindSkill(t.Context(), f.env, in.ID, s.OriginID)
			if err != nil || one.WrittenBy != s.WrittenBy {
				t.Errorf("%s was written by %q, or by %q, %v", s.OriginID, s.WrittenBy, one.WrittenBy, err)
			}
			got = append(got, s.WrittenBy)
		}
		return got
	}
	want := []string{tasks[0].ID, tasks[1].ID, tasks[2].ID}
	if diff := cmp.Diff(want, by(in)); diff != "" {
		t.Errorf("written by (-want +got):\n%s", diff)
	}
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Finish: finish(next.Task, "x"), Then: store.Leave})
	if diff := cmp.Diff(want, by(in)); diff != "" {
		t.Errorf("when all have ended, written by (-want +got):\n%s", diff)
	}
	if got := by(other); len(got) != 1 || got[0] == "" || slices.Contains(want, got[0]) {
		t.Errorf("the other integration's skill was written by %q", got)
	}
}
