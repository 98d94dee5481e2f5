package dashboard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

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
		t.Lines[i] = waiting(i, it)
	}
	if len(content.Document) > 0 {
		ended, err := skill.ParseDocument(content.Document)
		if err != nil {
			return whole{}, fmt.Errorf("task %s: %w", head.ID, err)
		}
		t.Failure = ended.Failure
		for i := range t.Lines {
			if ended.Failure != nil {
				t.Lines[i].ended(head, skill.Entry{Failure: ended.Failure}, true)
			} else if i < len(ended.Entries) {
				t.Lines[i].ended(head, ended.Entries[i], false)
			}
		}
	} else {
		for _, run := range content.Runs {
			for i, o := range run.Outcomes {
				if at := run.Start + i; at < len(t.Lines) {
					t.Lines[at].became(o)
				}
			}
		}
	}
	t.Groups = grouped(t.Lines)
	return t, nil
}

// grouped are the failures among some lines, the most frequent ones first. Each line is told its own.
func grouped(lines []item) (all []group) {
	known := map[skill.Failure]int{}
	for i, l := range lines {
		if l.Failure == nil {
			continue
		}
		key := skill.Failure{Code: l.Code, Title: l.Title, Message: l.Message}
		at, ok := known[key]
		if !ok {
			at = len(all)
			known[key] = at
			all = append(all, group{Failure: key, Why: why(key)})
		}
		all[at].Count++
		lines[i].Why = all[at].Why
	}
	slices.SortStableFunc(all, func(a, b group) int { return b.Count - a.Count })
	return all
}

// foundLine is one line of a task.
func foundLine(f store.FoundItem, content store.TaskContent) (item, error) {
	line := waiting(f.At, f.Item)
	if len(content.Document) > 0 {
		entry, all, err := skill.ParseEntry(content.Document, f.At)
		if err != nil {
			return item{}, fmt.Errorf("task %s: %w", f.ID, err)
		}
		line.ended(f.TaskHead, entry, all)
		return line, nil
	}
	for _, run := range content.Runs {
		if i := f.At - run.Start; i >= 0 && i < len(run.Outcomes) {
			line.became(run.Outcomes[i])
		}
	}
	return line, nil
}

func waiting(at int, it skill.Item) item {
	return item{N: at + 1, Item: it, Outcome: "waiting", Word: "waiting"}
}

// ended is what the result of a task says of an item, or of all.
func (i *item) ended(head store.TaskHead, e skill.Entry, all bool) {
	switch {
	case all:
		i.Outcome, i.Word, i.Failure = "failed", "not written", e.Failure
	case e.Failure != nil:
		i.Outcome, i.Word, i.Failure = "failed", "failed", e.Failure
	default:
		i.Outcome, i.Word, i.SkillID = "ok", succeededIn(head), e.SkillID
	}
}

// became is what has become of an item while its task goes on.
func (i *item) became(o skill.Outcome) {
	if o.Succeeded() {
		i.Outcome, i.Word, i.SkillID = "ok", o.Kind.String(), o.SkillID
		return
	}
	i.Outcome, i.Word, i.Failure = "failed", "failed", &skill.Failure{Code: o.Code, Title: o.Code.Title(), Message: o.Message}
	if o.Interaction != "" {
		i.LogURL = "/logs/" + o.Interaction
	}
}

// succeededIn is the word for a success of a task that has ended. Its document does not tell the kinds apart, but the counts do
// where there is one kind alone.
func succeededIn(head store.TaskHead) string {
	switch {
	case head.Counts.Unchanged == 0:
		return skill.Written.String()
	case head.Counts.Written == 0:
		return skill.Unchanged.String()
	}
	return "in step"
}

type taskPage struct {
	store.TaskHead
	State       mark
	Progress    progress
	Failure     *skill.Failure
	Groups      []group
	MoreGroups  int // that are not shown
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
	const mostGroups = 12                          // unless all are asked for
	after, _ := strconv.Atoi(r.FormValue("after")) // the first page, if it is no number
	page := taskPage{
		TaskHead: head, State: taskState(head), Failure: t.Failure, Groups: t.Groups, Outcomes: outcomes(),
		Filter: itemFilter{Outcome: r.FormValue("outcome"), Q: clean(r.FormValue("q")), Why: r.FormValue("why"), After: max(0, after)},
	}
	if n := len(page.Groups); n > mostGroups && r.FormValue("reasons") != "all" {
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
