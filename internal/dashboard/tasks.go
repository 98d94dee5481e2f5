package dashboard

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	tasksTogether = 50
	itemsTogether = 100
	// searchedItems is how many items a search for an origin_id looks at, in the newest tasks.
	searchedItems = 100_000
	searchedTasks = 200
)

type tasksPage struct {
	Tasks        []store.TaskHead
	Filter       taskFilter
	Integrations []store.IntegrationState
	Next         string // where the next page begins
	First        bool
	Any          bool // the environment has tasks at all, or may have
	// Searched is what a search for an origin_id looked at.
	Searched, SearchedItems int
	Cut                     bool
	States                  []choice
	Times                   []choice
}

// taskFilter is the query of the list.
type taskFilter struct{ State, Integration, Within, Q, Sort, Before, After string }

// oldestFirst is the value of sort that is not the order without one.
const oldestFirst = "received"

// ByTime is how the list is sorted by its one indexed column, and the other way.
func (f taskFilter) ByTime() sorting {
	if f.Sort == oldestFirst {
		return sorting{"", "ascending", "↑"}
	}
	return sorting{oldestFirst, "descending", "↓"}
}

// Words say what the list is limited to.
func (f taskFilter) Words() string {
	var words []string
	for _, c := range taskStates() {
		if c.Value == f.State && c.Value != "" {
			words = append(words, strings.ToLower(c.Label))
		}
	}
	for _, c := range times() {
		if c.Value == f.Within && c.Value != "" {
			words = append(words, "received in "+strings.ToLower(c.Label))
		}
	}
	if f.Integration != "" {
		words = append(words, "of "+f.Integration)
	}
	if f.Q != "" {
		words = append(words, "with “"+f.Q+"”")
	}
	return strings.Join(words, ", ")
}

func taskStates() []choice {
	return []choice{{"", "All"}, {"failures", "With failures"}, {"going-on", "Going on"}, {"completed", "Completed"}, {"failed", "Failed"}}
}

func times() []choice {
	return []choice{{"", "Any time"}, {"1h", "The last hour"}, {"24h", "The last 24 hours"}, {"168h", "The last 7 days"}}
}

func (d *Dashboard) tasks(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	integration, err := d.chosen(r)
	if err != nil {
		return err
	}
	f := taskFilter{
		State: r.FormValue("state"), Integration: integration, Within: r.FormValue("within"),
		Q: clean(r.FormValue("q")), Sort: r.FormValue("sort"), Before: r.FormValue("before"), After: r.FormValue("after"),
	}
	if skill.IsTaskID(f.Q) {
		return redirect(w, r, base(r)+"/tasks/"+f.Q)
	}
	ask := store.TaskFilter{EnvironmentID: env(r).ID, IntegrationID: f.Integration, Before: clean(f.Before), OldestFirst: f.Sort == oldestFirst, After: clean(f.After), Limit: tasksTogether + 1, State: map[string]store.TaskState{
		"failures": store.WithFailures, "going-on": store.GoingOn, "completed": store.Done, "failed": store.AllFailed,
	}[f.State]}
	if within, err := time.ParseDuration(f.Within); err == nil && within > 0 {
		ask.From = skill.FirstTaskID(d.Now().Add(-within))
	}
	page := tasksPage{Filter: f, First: f.Before == "" && f.After == "", States: taskStates(), Times: times()}
	if page.Integrations, err = d.choices(ctx, env(r).ID); err != nil {
		return err
	}
	if f.Q != "" {
		err = d.searchTasks(ctx, ask, f.Q, &page)
	} else if page.Tasks, err = d.Store.ListTasks(ctx, ask); err == nil && len(page.Tasks) > tasksTogether {
		page.Tasks = page.Tasks[:tasksTogether]
		page.Next = page.Tasks[tasksTogether-1].ID
	}
	if err != nil {
		return err
	}
	page.Any = len(page.Tasks) > 0 || f.Words() != "" || !page.First
	v := d.view(r, "Tasks")
	v.Nav, v.Data = "tasks", page
	d.show(w, r, http.StatusOK, "tasks", v)
	return nil
}

// mostChoices is how many integrations a filter offers as a list; with more, it is a field to type into.
const mostChoices = 200

// choices are the integrations that a filter offers: one more than a list may have, if there are more.
func (d *Dashboard) choices(ctx context.Context, environmentID string) ([]store.IntegrationState, error) {
	return d.Store.IntegrationStates(ctx, store.IntegrationFilter{EnvironmentID: environmentID, Limit: mostChoices + 1})
}

// chosen is the id of the integration that a filter names: by its id or, where it is typed, by a customer that can be no other.
// A text that names none is returned as it is, and nothing is found with it.
func (d *Dashboard) chosen(r *http.Request) (string, error) {
	text := clean(r.FormValue("integration"))
	if text == "" || skill.IsIntegrationID(text) {
		return text, nil
	}
	list, err := d.Store.IntegrationStates(r.Context(), store.IntegrationFilter{EnvironmentID: env(r).ID, Text: text, Limit: mostChoices})
	if err != nil {
		return "", err
	}
	if exact := slices.DeleteFunc(slices.Clone(list), func(s store.IntegrationState) bool { return !strings.EqualFold(s.EndUser.OrganisationName, text) }); len(exact) > 0 {
		list = exact
	}
	if len(list) == 1 {
		return list[0].ID, nil
	}
	return text, nil
}

// clean is a text as the databases take it.
func clean(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", ""))
}

// searchTasks looks for an origin_id in the newest tasks. No index knows which tasks an item was in.
func (d *Dashboard) searchTasks(ctx context.Context, ask store.TaskFilter, originID string, page *tasksPage) error {
	leave, err := d.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ask.Limit = searchedTasks
	list, err := d.Store.ListTasks(ctx, ask)
	if err != nil {
		return err
	}
	within, items := firstTasks(list, searchedItems)
	found, err := d.Store.FindItem(ctx, within, originID)
	if err != nil {
		return err
	}
	page.Searched, page.SearchedItems, page.Cut = len(within), items, len(within) < len(list) || len(list) == searchedTasks
	if len(found) > tasksTogether {
		found, page.Cut = found[:tasksTogether], true
		within = within[:1+slices.IndexFunc(within, func(h store.TaskHead) bool { return h.ID == found[tasksTogether-1].ID })]
		page.Searched, page.SearchedItems = len(within), itemsOf(within)
	}
	for _, f := range found {
		page.Tasks = append(page.Tasks, f.TaskHead)
	}
	if page.Cut {
		page.Next = within[len(within)-1].ID
	}
	return nil
}

// firstTasks are the first tasks of a list that have no more items together than that, but at least one.
func firstTasks(list []store.TaskHead, most int) (first []store.TaskHead, items int) {
	for i, h := range list {
		if items+h.Items > most && i > 0 {
			return list[:i], items
		}
		items += h.Items
	}
	return list, items
}

func itemsOf(tasks []store.TaskHead) (n int) {
	for _, t := range tasks {
		n += t.Items
	}
	return n
}

// work takes one of the places for pages that read whole tasks.
func (d *Dashboard) work(ctx context.Context) (leave func(), err error) {
	select {
	case d.working <- struct{}{}:
		return func() { <-d.working }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// taskAnywhere leads to a task whatever environment it is in.
func (d *Dashboard) taskAnywhere(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("task")
	if !skill.IsTaskID(id) {
		return notFound()
	}
	in, err := d.Store.TaskEnvironment(r.Context(), id)
	if err != nil {
		return err
	}
	return redirect(w, r, "/e/"+in+"/tasks/"+id)
}
