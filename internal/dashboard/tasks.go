package dashboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

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
	f := taskFilter{
		State: r.FormValue("state"), Integration: strings.TrimSpace(r.FormValue("integration")), Within: r.FormValue("within"),
		Q: clean(r.FormValue("q")), Sort: r.FormValue("sort"), Before: r.FormValue("before"), After: r.FormValue("after"),
	}
	if skill.IsTaskID(f.Q) {
		return redirect(w, r, base(r)+"/tasks/"+f.Q)
	}
	ask := store.TaskFilter{EnvironmentID: env(r).ID, IntegrationID: clean(f.Integration), Before: clean(f.Before), OldestFirst: f.Sort == oldestFirst, After: clean(f.After), Limit: tasksTogether + 1, State: map[string]store.TaskState{
		"failures": store.WithFailures, "going-on": store.GoingOn, "completed": store.Done, "failed": store.AllFailed,
	}[f.State]}
	if within, err := time.ParseDuration(f.Within); err == nil && within > 0 {
		ask.From = skill.FirstTaskID(d.Now().Add(-within))
	}
	page := tasksPage{Filter: f, First: f.Before == "" && f.After == "", States: taskStates(), Times: times()}
	var err error
	if page.Integrations, err = d.Store.IntegrationStates(ctx, store.IntegrationFilter{EnvironmentID: env(r).ID, Limit: mostChoices}); err != nil {
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

// mostChoices is how many integrations a field offers; of more, the id is typed.
const mostChoices = 200

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
	for _, head := range list {
		if page.SearchedItems+head.Items > searchedItems && page.Searched > 0 || len(page.Tasks) == tasksTogether {
			page.Cut = true
			return nil
		}
		content, err := d.Store.TaskContent(ctx, head)
		if errors.Is(err, store.ErrNotFound) {
			continue // expired meanwhile
		}
		if err != nil {
			return err
		}
		page.Searched++
		page.SearchedItems += len(content.Items)
		page.Next = head.ID
		if slices.ContainsFunc(content.Items, func(it skill.Item) bool { return it.OriginID == originID }) {
			page.Tasks = append(page.Tasks, head)
		}
	}
	page.Cut = len(list) == searchedTasks
	if !page.Cut {
		page.Next = ""
	}
	return nil
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

// item is a line of a task.
type item struct {
	N int // from 1
	skill.Item
	Outcome string // ok, failed or waiting
	Word    string
	SkillID string
	*skill.Failure
	Why string // of the group of its failure
}

// Log is where the exchange is that decided it. The address in the result may be one that the server had before.
func (i item) Log() string {
	if i.Failure == nil || i.LogURL == "" {
		return ""
	}
	if id := i.LogURL[strings.LastIndexByte(i.LogURL, '/')+1:]; skill.IsID(id) {
		return "/logs/" + id
	}
	return ""
}

// group is failures that read alike.
type group struct {
	skill.Failure
	Count int
	Why   string
}

// whole is a task with its items and what became of them.
type whole struct {
	store.TaskHead
	Lines   []item
	Groups  []group
	Failure *skill.Failure // of a task that failed as a whole
}

// why names a group of failures.
func why(f skill.Failure) string {
	sum := sha256.Sum256([]byte(string(f.Code) + "\x00" + f.Message))
	return hexed(sum[:5])
}

// wholeTask reads all of a task. The caller has a place to work.
func (d *Dashboard) wholeTask(ctx context.Context, head store.TaskHead) (whole, error) {
	content, err := d.Store.TaskContent(ctx, head)
	if err != nil {
		return whole{}, err
	}
	return d.wholeOf(head, content)
}

// wholeOf puts a task's parts together.
func (d *Dashboard) wholeOf(head store.TaskHead, content store.TaskContent) (whole, error) {
	t := whole{TaskHead: head, Lines: make([]item, len(content.Items))}
	for i, it := range content.Items {
		t.Lines[i] = item{N: i + 1, Item: it, Outcome: "waiting", Word: "waiting"}
	}
	groups := map[skill.Failure]int{}
	fail := func(i int, f *skill.Failure, word string) {
		key := skill.Failure{Code: f.Code, Title: f.Title, Message: f.Message}
		at, known := groups[key]
		if !known {
			at = len(t.Groups)
			groups[key] = at
			t.Groups = append(t.Groups, group{Failure: key, Why: why(key)})
		}
		t.Groups[at].Count++
		line := &t.Lines[i]
		line.Outcome, line.Word, line.Failure, line.Why = "failed", word, f, t.Groups[at].Why
	}
	switch {
	case len(content.Document) > 0:
		ended, err := skill.ParseDocument(content.Document)
		if err != nil {
			return whole{}, fmt.Errorf("task %s: %w", head.ID, err)
		}
		t.Failure = ended.Failure
		// The document does not tell them apart, but the counts do where there is one kind alone.
		succeeded := "in step"
		switch {
		case head.Counts.Unchanged == 0:
			succeeded = skill.Written.String()
		case head.Counts.Written == 0:
			succeeded = skill.Unchanged.String()
		}
		for i := range t.Lines {
			switch {
			case ended.Failure != nil:
				fail(i, ended.Failure, "not written")
			case i >= len(ended.Entries):
			case ended.Entries[i].Failure != nil:
				fail(i, ended.Entries[i].Failure, "failed")
			default:
				t.Lines[i].Outcome, t.Lines[i].Word, t.Lines[i].SkillID = "ok", succeeded, ended.Entries[i].SkillID
			}
		}
	default:
		for _, run := range content.Runs {
			for i, o := range run.Outcomes {
				if at := run.Start + i; at >= len(t.Lines) {
					break
				} else if o.Succeeded() {
					t.Lines[at].Outcome, t.Lines[at].Word, t.Lines[at].SkillID = "ok", o.Kind.String(), o.SkillID
				} else {
					f := &skill.Failure{Code: o.Code, Title: o.Code.Title(), Message: o.Message}
					if o.Interaction != "" {
						f.LogURL = "/logs/" + o.Interaction
					}
					fail(at, f, "failed")
				}
			}
		}
	}
	slices.SortStableFunc(t.Groups, func(a, b group) int { return b.Count - a.Count })
	return t, nil
}

type taskPage struct {
	store.TaskHead
	State       mark
	Progress    progress
	Failure     *skill.Failure
	Groups      []group
	MoreGroups  int
	Lines       []item
	Matching    int
	Filter      itemFilter
	Outcomes    []choice
	Next, First int
	Key         string // what sent it
	Integration store.IntegrationState
	CanRetry    bool
	CanCancel   bool
}

type itemFilter struct {
	Outcome, Q, Why string
	After           int
}

func outcomes() []choice {
	return []choice{{"", "All"}, {"failed", "Failed"}, {"ok", "In step"}, {"waiting", "Waiting"}}
}

// taskOf finds the task that an address names.
func (d *Dashboard) taskOf(r *http.Request) (store.TaskHead, error) {
	id := r.PathValue("task")
	if !skill.IsTaskID(id) {
		return store.TaskHead{}, notFound()
	}
	head, err := d.Store.TaskHead(r.Context(), env(r).ID, id)
	if expired, ok := errors.AsType[*store.ExpiredError](err); ok {
		return head, &problem{
			http.StatusGone, "This task is gone",
			"It ended, was kept for its time, and was removed on " + expired.At.UTC().Format("2 January 2006") + ". What it wrote is not undone.",
		}
	}
	return head, err
}

func (d *Dashboard) task(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	leave, err := d.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	t, err := d.wholeTask(ctx, head)
	if err != nil {
		return err
	}
	const mostGroups = 12
	after, _ := strconv.Atoi(r.FormValue("after")) // the first page, if it is no number
	page := taskPage{
		TaskHead: head, State: taskState(head), Failure: t.Failure, Groups: t.Groups, Outcomes: outcomes(),
		Filter: itemFilter{Outcome: r.FormValue("outcome"), Q: clean(r.FormValue("q")), Why: r.FormValue("why"), After: max(0, after)},
	}
	if n := len(page.Groups); n > mostGroups {
		page.Groups, page.MoreGroups = page.Groups[:mostGroups], n-mostGroups
	}
	q := strings.ToLower(page.Filter.Q)
	for _, line := range t.Lines {
		if page.Filter.Outcome != "" && line.Outcome != page.Filter.Outcome || page.Filter.Why != "" && line.Why != page.Filter.Why ||
			q != "" && !strings.Contains(strings.ToLower(line.OriginID), q) && !strings.Contains(strings.ToLower(line.Name), q) {
			continue
		}
		page.Matching++
		switch {
		case line.N <= page.Filter.After:
		case len(page.Lines) < itemsTogether:
			page.Lines = append(page.Lines, line)
		case page.Next == 0:
			page.Next = page.Lines[len(page.Lines)-1].N
		}
	}
	if page.Integration, err = d.Store.IntegrationState(ctx, env(r).ID, head.IntegrationID); err != nil {
		return err
	}
	if page.Key, err = d.senderOf(ctx, env(r).ID, head.KeyID); err != nil {
		return err
	}
	page.Progress = d.progressOf(head, page.Integration, 0)
	page.CanRetry = head.Status != skill.Pending && head.Counts.Failed > 0 && !page.Integration.Deleted()
	page.CanCancel = head.Status == skill.Pending && !head.Cancelled()
	v := d.view(r, head.ID)
	v.Nav, v.Data = "tasks", page
	d.show(w, r, http.StatusOK, "task", v)
	return nil
}

// byUser begins the key id of a task that a user sent from here.
const byUser = "user:"

// senderOf says who sent a task.
func (d *Dashboard) senderOf(ctx context.Context, environmentID, keyID string) (string, error) {
	if id, ok := strings.CutPrefix(keyID, byUser); ok {
		user, err := d.Store.User(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return "a user who was deleted", nil
		}
		return user.Name, err
	}
	if keyID == "" {
		return "the server itself", nil
	}
	key, err := d.Store.Key(ctx, environmentID, keyID)
	if errors.Is(err, store.ErrNotFound) {
		return "a key that is gone", nil
	}
	return "key “" + key.Name + "”", err
}

// progress is how far a task is.
type progress struct {
	store.TaskHead
	State mark
	Rate  float64       // items a second, where it is known
	Left  time.Duration // at that rate
	Doing string        // what it waits for
	Live  bool
}

// InStep is how many items are in the tool as they should be.
func (p progress) InStep() int { return p.Counts.Written + p.Counts.Unchanged }

// progressOf says how far a task is, at a rate that was seen; 0: none was.
func (d *Dashboard) progressOf(head store.TaskHead, in store.IntegrationState, rate float64) progress {
	p := progress{TaskHead: head, State: taskState(head), Rate: rate, Live: head.Status == skill.Pending}
	if !p.Live {
		return p
	}
	if rate > 0 {
		p.Left = time.Duration(float64(head.Items-head.Done) / rate * float64(time.Second))
	}
	tool := d.Connectors.Label(head.Tool)
	switch {
	case head.Cancelled():
		p.Doing = "It was cancelled, and ends once the calls under way are over."
	case in.Deleted():
		p.Doing = "The integration was deleted: the task ends soon."
	case !in.Enabled:
		p.Doing = "The integration is switched off: the task waits until it is switched on, or until its time is up at " + clockTime(head.Deadline, d.Now()) + "."
	case in.InvalidReason != "":
		p.Doing = tool + " refused the credentials."
	case in.Oldest != nil && in.Oldest.ID != head.ID:
		p.Doing = "Waits for its turn: tasks of an integration go one after the other, and " + plural(in.Pending-1, "other task") + " of this one " + isAre(in.Pending-1) + " not done."
	case in.Hold > 0:
		p.Doing = "Waits for " + tool + " until " + clockTime(d.Now().Add(in.Hold), d.Now()) + ": it asked to be left alone."
	case head.Attempt > 0:
		p.Doing = tool + " did not answer as it should " + plural(head.Attempt, "time") + " in a row; it is tried again."
	case !in.Leased:
		p.Doing = "Waits for a process to take it up."
	}
	return p
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

const (
	watchEvery = time.Second
	// watchMost bounds how long a page is watched; the browser asks again.
	watchMost = 5 * time.Minute
	// rateOver is over which time the rate is taken.
	rateOver = 10
)

// taskEvents tells a page how far its task is, as server-sent events, until it ends.
func (d *Dashboard) taskEvents(w http.ResponseWriter, r *http.Request) error {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		return &problem{http.StatusServiceUnavailable, "Too many pages are watched", "Load the page to see how far the task is."}
	}
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for proxies that hold answers back
	w.WriteHeader(http.StatusOK)
	ctx, cancel := context.WithTimeout(r.Context(), watchMost)
	defer cancel()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	var seen []int
	for {
		seen = append(seen, head.Done)
		if len(seen) > rateOver+1 {
			seen = seen[1:]
		}
		rate := 0.0
		if n := len(seen) - 1; n > 0 {
			rate = float64(seen[n]-seen[0]) / (float64(n) * watchEvery.Seconds())
		}
		in, err := d.Store.IntegrationState(ctx, env(r).ID, head.IntegrationID)
		if err != nil {
			return nil // the page asks again
		}
		var part bytes.Buffer
		if err := d.pages["task"].ExecuteTemplate(&part, "progress", d.progressOf(head, in, rate)); err != nil {
			d.Logger.Error("progress could not be shown", "error", err)
			return nil
		}
		event := "progress"
		if head.Status != skill.Pending {
			event = "ended"
		}
		_ = control.SetWriteDeadline(time.Now().Add(10 * time.Second)) // not every connection has deadlines
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, strings.ReplaceAll(part.String(), "\n", "\ndata: ")); err != nil {
			return nil
		}
		if err := control.Flush(); err != nil || event == "ended" {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		case <-d.closing:
			return nil
		}
		// A session that ended meanwhile sees no more.
		if s, err := d.current(r); err != nil || s == nil {
			return nil
		}
		if head, err = d.taskOf(r); err != nil {
			return nil
		}
	}
}

// taskDownload is a task with all its items, as CSV or NDJSON. The first columns are those of a file to push.
func (d *Dashboard) taskDownload(w http.ResponseWriter, r *http.Request) error {
	file := r.PathValue("file")
	if file != "items.csv" && file != "items.ndjson" {
		return notFound()
	}
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	leave, err := d.work(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	t, err := d.wholeTask(r.Context(), head)
	if err != nil {
		return err
	}
	only := r.FormValue("outcome")
	lines := slices.DeleteFunc(t.Lines, func(l item) bool { return only != "" && l.Outcome != only })
	var out bytes.Buffer
	if file == "items.csv" {
		err = writeCSV(&out, lines)
	} else {
		err = writeNDJSON(&out, lines)
	}
	if err != nil {
		return err
	}
	kind := map[bool]string{true: "text/csv; charset=utf-8", false: "application/x-ndjson"}[file == "items.csv"]
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+head.ID+strings.TrimPrefix(file, "items")+`"`)
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes()) // the client has gone: there is nobody to tell
	return nil
}

func writeCSV(out *bytes.Buffer, lines []item) error {
	c := csv.NewWriter(out)
	_ = c.Write([]string{"origin_id", "name", "status", "outcome", "id", "code", "message"}) // its errors come with Error
	for _, l := range lines {
		row := []string{l.OriginID, l.Name, l.Status.String(), l.Word, l.SkillID, "", ""}
		if l.Failure != nil {
			row[5], row[6] = string(l.Code), l.Message
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}

func writeNDJSON(out *bytes.Buffer, lines []item) error {
	type row struct {
		OriginID string `json:"origin_id"`
		Name     string `json:"name"`
		Status   string `json:"status"`
		Outcome  string `json:"outcome"`
		ID       string `json:"id,omitempty"`
		Code     string `json:"code,omitempty"`
		Message  string `json:"message,omitempty"`
	}
	for _, l := range lines {
		one := row{OriginID: l.OriginID, Name: l.Name, Status: l.Status.String(), Outcome: l.Word, ID: l.SkillID}
		if l.Failure != nil {
			one.Code, one.Message = string(l.Code), l.Message
		}
		if err := json.MarshalWrite(out, one); err != nil {
			return err
		}
		out.WriteByte('\n')
	}
	return nil
}

// retryTask sends the failed skills of a task again, as a task of its own.
func (d *Dashboard) retryTask(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	if head.Status == skill.Pending {
		return &problem{http.StatusConflict, "This task goes on", "What fails in it can be sent again once it has ended."}
	}
	leave, err := d.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	t, err := d.wholeTask(ctx, head)
	if err != nil {
		return err
	}
	var again []skill.Item
	for _, l := range t.Lines {
		if l.Outcome == "failed" {
			again = append(again, l.Item)
		}
	}
	if len(again) == 0 {
		return &problem{http.StatusConflict, "Nothing of this task failed", "There is nothing to send again."}
	}
	id := skill.NewTaskID(d.Now())
	err = d.act(r, env(r).ID, "task.retry", head.ID, plural(len(again), "skill")+" of "+head.ID+" as "+id, func(ctx context.Context) error {
		_, err := d.Engine.Submit(ctx, store.Submission{
			EnvironmentID: env(r).ID, IntegrationID: head.IntegrationID, KeyID: byUser + who(r).ID, TaskID: id, Items: again,
		})
		return err
	})
	full, isFull := errors.AsType[*store.FullError](err)
	switch {
	case isFull:
		return &problem{
			http.StatusConflict, "Too much is waiting for this integration",
			number(full.Waiting) + " skills wait, of " + number(full.Limit) + " that may. Nothing was sent: try again later.",
		}
	case errors.Is(err, store.ErrDisabled):
		return &problem{http.StatusConflict, "The integration is switched off", "Switch it on, then send the skills again."}
	case errors.Is(err, store.ErrNotFound):
		return &problem{http.StatusConflict, "The integration was deleted", "Its tasks can still be read, but nothing is sent any more."}
	case err != nil:
		return err
	}
	d.notice(r, plural(len(again), "skill")+" "+isAre(len(again))+" sent again, as this task.")
	return redirect(w, r, base(r)+"/tasks/"+id)
}

// cancelTask ends a task that waits, or has its drain end it.
func (d *Dashboard) cancelTask(w http.ResponseWriter, r *http.Request) error {
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	var done store.Cancelled
	err = d.act(r, env(r).ID, "task.cancel", head.ID, plural(head.Items, "skill")+" for "+d.Connectors.Label(head.Tool)+" of "+head.Customer, func(ctx context.Context) (err error) {
		done, err = d.Engine.Cancel(ctx, env(r).ID, head.ID)
		return err
	})
	if errors.Is(err, store.ErrTaskEnded) {
		return &problem{http.StatusConflict, "This task has ended", "There is nothing left of it that could be cancelled."}
	}
	if err != nil {
		return err
	}
	said := "It is cancelled. Nothing of it was sent."
	if !done.Ended {
		said = "It is cancelled: it ends once the calls under way are over."
	}
	d.notice(r, said)
	return redirect(w, r, base(r)+"/tasks/"+head.ID)
}
