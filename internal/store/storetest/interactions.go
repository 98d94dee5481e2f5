package storetest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// exchanged is an interaction with everything in it.
func (f *fixture) exchanged(at time.Time) store.Interaction {
	return store.Interaction{
		ID: skill.NewID(at), Outbound: true, EnvironmentID: f.env, IntegrationID: "hibob:1", TaskID: "task_1",
		Items: store.Range{Start: 100, Stop: 200}, Key: "cw_live_abcdef", Peer: "192.0.2.1", Method: "POST",
		URL: "https://api.example.com/v1?q=größe", Status: 422, Took: 1234567 * time.Microsecond, Failed: true,
		Exchange: store.Exchange{
			Error:         "it broke off",
			RequestHeader: http.Header{"Content-Type": {"application/json"}, "Accept": {"a", "b"}}, AnswerHeader: http.Header{"Date": {"today"}},
			RequestBody: []byte(`{"name":"Größe"}`), AnswerBody: []byte("\x00\xff no text"), RequestCut: true, AnswerCut: true,
		},
	}
}

func interactionKept(t *testing.T, f *fixture) {
	whole := f.exchanged(f.clock.Now())
	bare := store.Interaction{ID: skill.NewID(f.clock.Now().Add(time.Second)), Method: "GET", URL: "/v1/x", Status: 401}
	list := []store.Interaction{whole, bare}
	for range 2 { // the second time they are there
		if err := f.AppendInteractions(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range list {
		got, err := f.Interaction(t.Context(), "", want.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
		if !got.At().Equal(skill.TimeOfID(want.ID)) || got.At().IsZero() {
			t.Errorf("it began at %v", got.At())
		}
	}
	if _, err := f.Interaction(t.Context(), f.env, whole.ID); err != nil {
		t.Errorf("in its environment: %v", err)
	}
	for _, of := range [][2]string{{"another", whole.ID}, {f.env, bare.ID}, {"", skill.NewID(f.clock.Now())}, {"", "x\x00"}, {"", ""}} {
		if got, err := f.Interaction(t.Context(), of[0], of[1]); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v, %v", of, got, err)
		}
	}
	if err := f.AppendInteractions(t.Context(), nil); err != nil {
		t.Errorf("none: %v", err)
	}
}

func interactionsListed(t *testing.T, f *fixture) {
	other, err := f.CreateEnvironment(t.Context(), "other")
	if err != nil {
		t.Fatal(err)
	}
	start := f.clock.Now()
	all := map[string]store.Interaction{}
	var list []store.Interaction
	for n, i := range []store.Interaction{
		{EnvironmentID: f.env, IntegrationID: "hibob:1", TaskID: "task_1", Status: 200},
		{EnvironmentID: f.env, IntegrationID: "hibob:1", TaskID: "task_1", Status: 200, Outbound: true, Items: store.Range{Start: 0, Stop: 100}},
		{EnvironmentID: f.env, IntegrationID: "hibob:1", TaskID: "task_1", Status: 409, Outbound: true, Failed: true, Items: store.Range{Start: 100, Stop: 150}},
		{EnvironmentID: f.env, IntegrationID: "hibob:2", TaskID: "task_2", Status: 0, Outbound: true, Failed: true, Items: store.Range{Start: 0, Stop: 10}},
		{EnvironmentID: f.env, Status: 404, Failed: true},
		{EnvironmentID: other.ID, IntegrationID: "moodle:1", TaskID: "task_3", Status: 200},
		{EnvironmentID: other.ID, IntegrationID: "moodle:1", Status: 503, Failed: true},
		{Status: 401, Failed: true},
	} {
		i.Took = time.Duration([]int{3, 1, 3, 5, 1, 2, 3, 0}[n]) * time.Millisecond // some took as long as others
		i.ID, i.Method, i.URL = skill.NewID(start.Add(time.Duration(n)*time.Second)), "POST", fmt.Sprintf("/A_%d%%", n)
		list, all[i.ID] = append(list, i), i
	}
	if err := f.AppendInteractions(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	at := func(n int) *int { return &n }
	for _, c := range []struct {
		name string
		q    store.InteractionQuery
		want []int
	}{
		{"all", store.InteractionQuery{}, []int{7, 6, 5, 4, 3, 2, 1, 0}},
		{"an environment", store.InteractionQuery{EnvironmentID: f.env}, []int{4, 3, 2, 1, 0}},
		{"an integration", store.InteractionQuery{EnvironmentID: f.env, IntegrationID: "hibob:1"}, []int{2, 1, 0}},
		{"an integration of another environment", store.InteractionQuery{EnvironmentID: f.env, IntegrationID: "moodle:1"}, nil},
		{"a task", store.InteractionQuery{TaskID: "task_1"}, []int{2, 1, 0}},
		{"a task of another integration", store.InteractionQuery{TaskID: "task_1", IntegrationID: "hibob:2"}, nil},
		{"an item", store.InteractionQuery{TaskID: "task_1", Position: at(100)}, []int{2}},
		{"the first item", store.InteractionQuery{TaskID: "task_1", Position: at(0)}, []int{1}},
		{"inbound", store.InteractionQuery{EnvironmentID: f.env, Inbound: true}, []int{4, 0}},
		{"outbound", store.InteractionQuery{Outbound: true}, []int{3, 2, 1}},
		{"both", store.InteractionQuery{Outbound: true, Inbound: true, TaskID: "task_2"}, []int{3}},
		{"failed", store.InteractionQuery{Failed: true}, []int{7, 6, 4, 3, 2}},
		{"failed of an environment", store.InteractionQuery{EnvironmentID: other.ID, Failed: true}, []int{6}},
		{"failed of an integration", store.InteractionQuery{EnvironmentID: f.env, IntegrationID: "hibob:1", Failed: true}, []int{2}},
		{"a status", store.InteractionQuery{Status: 404}, []int{4}},
		{"a class", store.InteractionQuery{Status: 4}, []int{7, 4, 2}},
		{"a part of the address", store.InteractionQuery{EnvironmentID: f.env, URL: "A_3%"}, []int{3}},
		{"a part of another one's address", store.InteractionQuery{EnvironmentID: f.env, URL: "A_6"}, nil},
		{"letter by letter", store.InteractionQuery{EnvironmentID: f.env, URL: "a_3"}, nil},
		{"no pattern", store.InteractionQuery{EnvironmentID: f.env, IntegrationID: "hibob:1", URL: "A%"}, nil},
		{"from", store.InteractionQuery{From: start.Add(5 * time.Second)}, []int{7, 6, 5}},
		{"until", store.InteractionQuery{Until: start.Add(2 * time.Second)}, []int{1, 0}},
		{"a span", store.InteractionQuery{EnvironmentID: f.env, From: start.Add(time.Second), Until: start.Add(4 * time.Second)}, []int{3, 2, 1}},
	} {
		for order, want := range map[store.InteractionOrder][]int{
			store.NewestFirst: c.want, store.OldestFirst: sorted(c.want, func(a, b int) int { return a - b }),
			store.SlowestFirst: sorted(c.want, func(a, b int) int {
				if longer := list[b].Took - list[a].Took; longer != 0 {
					return int(longer)
				}
				return b - a
			}),
		} {
			if order == store.SlowestFirst && c.q.EnvironmentID == "" {
				continue
			}
			for size := 1; size <= 9; size += 4 {
				for _, looked := range []int{0, 1, 2, 3, 9} {
					q := c.q
					q.Order, q.Limit, q.Looked = order, size, looked
					got := f.pagesOfInteractions(t, q)
					if ids := each(want, func(n int) string { return list[n].ID }); !slices.Equal(each(got, func(i store.Interaction) string { return i.ID }), ids) {
						t.Errorf("%s, order %d, in pages of %d, of %d: %v, want %v", c.name, order, size, looked, each(got, func(i store.Interaction) string { return i.URL }), want)
					}
					for _, i := range got {
						if diff := cmp.Diff(all[i.ID], i); diff != "" {
							t.Errorf("%s (-want +got)\n%s", c.name, diff)
						}
					}
				}
			}
		}
	}
}

// pagesOfInteractions goes through all pages.
func (f *fixture) pagesOfInteractions(t *testing.T, q store.InteractionQuery) (all []store.Interaction) {
	t.Helper()
	for range 100 {
		page, err := f.Interactions(t.Context(), q)
		if err != nil {
			t.Fatalf("%+v: %v", q, err)
		}
		all = append(all, page.Interactions...)
		if len(page.Interactions) > q.Limit || page.Looked > 0 && (page.Looked != q.Looked || !page.More) || page.More && page.Looked == 0 && len(page.Interactions) < q.Limit {
			t.Fatalf("%+v: a page of %d: %+v", q, len(page.Interactions), page)
		}
		if !page.More {
			return all
		}
		q.After = page.Next
	}
	t.Fatalf("%+v: the pages have no end", q)
	return nil
}

// A page that finds little ends when it has looked at enough, and the next one goes on behind what was looked at.
func interactionsLookedAt(t *testing.T, f *fixture) {
	var list []store.Interaction
	for n := range 100 {
		list = append(list, store.Interaction{
			ID: skill.NewID(f.clock.Now().Add(time.Duration(n) * time.Second)), EnvironmentID: f.env, IntegrationID: "hibob:1", Method: "POST", URL: fmt.Sprintf("/%d", n),
			Status: 200, Outbound: n != 10 && n != 95, Took: time.Duration(n%7) * time.Millisecond,
		})
	}
	if err := f.AppendInteractions(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	in := store.InteractionQuery{EnvironmentID: f.env, Inbound: true, Limit: 2, Looked: 30}
	of := func(q store.InteractionQuery, change func(*store.InteractionQuery)) store.InteractionQuery {
		change(&q)
		return q
	}
	for _, c := range []struct {
		name string
		q    store.InteractionQuery
		want [][]int // what is on each page
		full bool    // the first page ends since it is full
	}{
		{"newest first", in, [][]int{{95}, {}, {10}, {}}, false},
		{"oldest first", of(in, func(q *store.InteractionQuery) { q.Order = store.OldestFirst }), [][]int{{10}, {}, {}, {95}}, false},
		// 95 took 4 ms, as 13 others, behind two times 14; 10 took 3.
		{"slowest first", of(in, func(q *store.InteractionQuery) { q.Order = store.SlowestFirst }), [][]int{{95}, {10}, {}, {}}, false},
		{"of an integration", of(in, func(q *store.InteractionQuery) { q.IntegrationID = "hibob:1" }), [][]int{{95}, {}, {10}, {}}, false},
		{"slowest first of an integration of many", of(in, func(q *store.InteractionQuery) { q.IntegrationID, q.Order = "hibob:1", store.SlowestFirst }), [][]int{{95}, {10}, {}, {}}, false},
		{"slowest first of few", of(in, func(q *store.InteractionQuery) {
			q.From, q.Order = f.clock.Now().Add(80*time.Second), store.SlowestFirst
		}), [][]int{{95}}, false},
		{"a status that none has", of(in, func(q *store.InteractionQuery) { q.Status = 404 }), [][]int{{}}, false},
		{"a status below 400 that none has", of(in, func(q *store.InteractionQuery) { q.Status, q.Looked = 3, 60 }), [][]int{{}, {}}, false},
		{"a page that is full", of(in, func(q *store.InteractionQuery) { q.Inbound, q.Status, q.Limit = false, 2, 20 }), [][]int{
			seq(99, 80), seq(79, 60), seq(59, 40), seq(39, 20), seq(19, 0),
		}, true},
	} {
		for n, want := range c.want {
			page, err := f.Interactions(t.Context(), c.q)
			if err != nil {
				t.Fatal(err)
			}
			if got := each(page.Interactions, func(i store.Interaction) string { return i.URL }); !slices.Equal(got, each(want, func(n int) string { return list[n].URL })) {
				t.Errorf("%s, page %d: %v, want %v", c.name, n, got, want)
			}
			if last := n == len(c.want)-1; page.More == last || page.Looked > 0 != (!c.full && !last) {
				t.Errorf("%s, page %d: more %v, looked at %d", c.name, n, page.More, page.Looked)
			}
			c.q.After = page.Next
		}
	}
}

// seq counts down.
func seq(from, to int) (all []int) {
	for n := from; n >= to; n-- {
		all = append(all, n)
	}
	return all
}

func sorted(list []int, by func(a, b int) int) []int {
	return slices.SortedFunc(slices.Values(list), by)
}

func interactionsRemoved(t *testing.T, f *fixture) {
	const day = 24 * time.Hour
	var list []store.Interaction
	for n := range 700 {
		i := f.exchanged(f.clock.Now().Add(-time.Duration(n) * time.Hour))
		list = append(list, i)
	}
	if err := f.AppendInteractions(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := f.RemoveInteractions(t.Context(), 14*day, 150)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		if n > 150 {
			t.Fatalf("%d were removed at once", n)
		}
	}
	left, err := f.Interactions(t.Context(), store.InteractionQuery{Limit: 1000})
	if err != nil || len(left.Interactions) < 14*24 || len(left.Interactions) > 15*24 {
		t.Fatalf("%d are left: %v", len(left.Interactions), err)
	}
	// A day that had its partition.
	f.clock.advance(3 * day)
	fresh := f.exchanged(f.clock.Now())
	if err := f.AppendInteractions(t.Context(), []store.Interaction{fresh}); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(2 * day)
	for want := 1; want >= 0; want-- {
		for n := 1; n > 0; {
			if n, err = f.RemoveInteractions(t.Context(), 3*day, 1000); err != nil {
				t.Fatal(err)
			}
		}
		if left, err = f.Interactions(t.Context(), store.InteractionQuery{Limit: 1000}); err != nil || len(left.Interactions) != want {
			t.Fatalf("%d are left, not %d: %v", len(left.Interactions), want, err)
		}
		f.clock.advance(2 * day)
	}
}
