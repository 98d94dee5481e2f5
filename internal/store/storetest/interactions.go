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
		i.ID, i.Method, i.URL = skill.NewID(start.Add(time.Duration(n)*time.Second)), "POST", fmt.Sprintf("/%d", n)
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
		{"from", store.InteractionQuery{From: start.Add(5 * time.Second)}, []int{7, 6, 5}},
		{"until", store.InteractionQuery{Until: start.Add(2 * time.Second)}, []int{1, 0}},
		{"a span", store.InteractionQuery{EnvironmentID: f.env, From: start.Add(time.Second), Until: start.Add(4 * time.Second)}, []int{3, 2, 1}},
	} {
		for size := 1; size <= 9; size += 4 {
			var got []store.Interaction
			for q := c.q; ; {
				q.Limit = size
				page, err := f.Interactions(t.Context(), q)
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				got = append(got, page...)
				if len(page) < size {
					break
				}
				q.Before = page[len(page)-1].ID
			}
			want := make([]store.Interaction, 0, len(c.want))
			for _, n := range c.want {
				want = append(want, list[n])
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b []store.Interaction) bool {
				return slices.EqualFunc(a, b, func(a, b store.Interaction) bool { return cmp.Equal(a, b) })
			})); diff != "" {
				t.Errorf("%s in pages of %d (-want +got)\n%s", c.name, size, diff)
			}
		}
	}
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
	if err != nil || len(left) < 14*24 || len(left) > 15*24 {
		t.Fatalf("%d are left: %v", len(left), err)
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
		if left, err = f.Interactions(t.Context(), store.InteractionQuery{Limit: 1000}); err != nil || len(left) != want {
			t.Fatalf("%d are left, not %d: %v", len(left), want, err)
		}
		f.clock.advance(2 * day)
	}
}
