package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const logsTogether = 50

type logLine struct {
	store.Interaction
	Mark mark
	// Integrated names the integration: its tool and its customer. Empty where it is not there any more.
	Integrated string
}

// logLine says how an interaction went.
func lineOf(i store.Interaction) logLine {
	word := "no answer"
	if i.Status != 0 {
		word = strconv.Itoa(i.Status)
	}
	kind := "ok"
	switch {
	case i.Failed && i.Status >= 200 && i.Status < 300: // the exchange went well, and says that something was refused
		kind, word = "partly", word+", with refusals"
	case i.Failed:
		kind = "failed"
	}
	return logLine{Interaction: i, Mark: markOf(kind, word)}
}

type logFilter struct{ Q, Integration, Task, Item, Way, Status, Within, Sort, After string }

// Filtered reports whether the list is limited at all.
func (f logFilter) Filtered() bool {
	return f.Q != "" || f.Integration != "" || f.Task != "" || f.Way != "" || f.Status != "" || f.Within != ""
}

// The values of sort. Without one, the newest ones come first.
const (
	oldestLogs  = "began"
	slowestLogs = "-took"
)

// ByTime is how the list is sorted by when they began, and the way that comes next.
func (f logFilter) ByTime() sorting {
	switch f.Sort {
	case oldestLogs:
		return sorting{"", "ascending", "↑"}
	case slowestLogs:
		return sorting{"", "none", "↕"}
	}
	return sorting{oldestLogs, "descending", "↓"}
}

// ByTook is the same by duration. Nobody looks for the quickest.
func (f logFilter) ByTook() sorting {
	if f.Sort == slowestLogs {
		return sorting{"", "descending", "↓"}
	}
	return sorting{slowestLogs, "none", "↕"}
}

// logOrder is an order of the list, with words for what the first page begins with and for what comes on the next one.
type logOrder struct {
	by             store.InteractionOrder
	First, Further string
}

// Order is how the list is sorted.
func (f logFilter) Order() logOrder {
	switch f.Sort {
	case oldestLogs:
		return logOrder{store.OldestFirst, "Oldest", "Newer"}
	case slowestLogs:
		return logOrder{store.SlowestFirst, "Slowest", "Quicker"}
	default:
		return logOrder{store.NewestFirst, "Newest", "Older"}
	}
}

func ways() []choice {
	return []choice{{"", "Both ways"}, {"in", "To this server"}, {"out", "To the tools"}}
}

func answers() []choice {
	return []choice{{"", "All answers"}, {"failed", "Failed"}, {"2", "2xx"}, {"4", "4xx"}, {"5", "5xx"}}
}

func (d *Dashboard) logs(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	integration, err := d.chosen(r)
	if err != nil {
		return err
	}
	f := logFilter{
		Integration: integration, Task: clean(r.FormValue("task")), Item: r.FormValue("item"), Way: r.FormValue("way"),
		Status: r.FormValue("status"), Within: r.FormValue("within"), Sort: r.FormValue("sort"), After: r.FormValue("after"),
	}
	switch q := clean(r.FormValue("q")); { // one field for all of them
	case skill.IsID(q):
		return redirect(w, r, base(r)+"/logs/"+q)
	case skill.IsTaskID(q):
		f.Task = q
	default:
		f.Q = q
	}
	q := store.InteractionQuery{
		EnvironmentID: env(r).ID, IntegrationID: f.Integration, TaskID: f.Task, URL: f.Q, Inbound: f.Way == "in", Outbound: f.Way == "out",
		Failed: f.Status == "failed", After: logCursorOf(f.After), Limit: logsTogether,
	}
	if q.Order = f.Order().by; q.Order == store.NewestFirst {
		f.Sort = "" // whatever it was
	}
	q.Status, _ = strconv.Atoi(f.Status) // all, if it is no number
	if n, err := strconv.Atoi(f.Item); err == nil && f.Task != "" && n > 0 {
		n--
		q.Position = &n
	} else {
		f.Item = ""
	}
	if within, err := time.ParseDuration(f.Within); err == nil && within > 0 {
		q.From = d.Now().Add(-within)
	}
	page := struct {
		Lines        []logLine
		Filter       logFilter
		Integrations []store.IntegrationState
		Ways         []choice
		Answers      []choice
		Times        []choice
		Next         string
		First        bool
		Looked       int // it ended after that many, and there are more
		Mode         string
		Kept         time.Duration
	}{Mode: d.LogMode, Kept: d.KeepLogs, Filter: f, Ways: ways(), Answers: answers(), Times: times(), First: f.After == ""}
	list, err := d.Store.Interactions(ctx, q)
	if err != nil {
		return err
	}
	for _, one := range list.Interactions {
		page.Lines = append(page.Lines, lineOf(one))
	}
	if page.Looked = list.Looked; list.More {
		page.Next = logCursor(list.Next)
	}
	if page.Integrations, err = d.choices(ctx, env(r).ID); err != nil {
		return err
	}
	names := map[string]string{"": ""}
	for _, in := range page.Integrations {
		names[in.ID] = d.named(in.Integration)
	}
	for i := range page.Lines {
		line := &page.Lines[i]
		name, known := names[line.IntegrationID]
		if !known { // of more integrations than a filter offers
			name = d.integrated(ctx, line.EnvironmentID, line.IntegrationID)
			names[line.IntegrationID] = name
		}
		line.Integrated = name
	}
	v := d.view(r, "Logs")
	v.Nav, v.Data = "logs", page
	d.show(w, r, http.StatusOK, "logs", v)
	return nil
}

// logCursor writes a place in the log for a query.
func logCursor(c store.InteractionCursor) string {
	return c.ID + "-" + strconv.FormatInt(c.Took.Microseconds(), 10)
}

// logCursorOf reads it; what is none is the beginning.
func logCursorOf(text string) store.InteractionCursor {
	id, took, _ := strings.Cut(text, "-")
	us, err := strconv.ParseInt(took, 10, 64)
	if err != nil || us < 0 || us > math.MaxInt64/1000 || !skill.IsID(id) {
		return store.InteractionCursor{}
	}
	return store.InteractionCursor{ID: id, Took: time.Duration(us) * time.Microsecond}
}

// header is a line of a request's or an answer's header.
type header struct{ Name, Value string }

// integrated names an integration, if there is one.
func (d *Dashboard) integrated(ctx context.Context, environmentID, integrationID string) string {
	in, err := d.Store.Integration(ctx, environmentID, integrationID)
	if err != nil {
		return "" // its id says more than an error would
	}
	return d.named(in)
}

// named names an integration as lists do.
func (d *Dashboard) named(in store.Integration) string {
	return d.Connectors.Label(in.Tool) + ", " + in.EndUser.OrganisationName
}

type logPage struct {
	logLine
	RequestHeaders, AnswerHeader []header
	Request, Answer              string
	RequestNote, AnswerNote      string
}

func headers(h http.Header) []header {
	var all []header
	for name, values := range h {
		for _, value := range values {
			all = append(all, header{name, value})
		}
	}
	slices.SortFunc(all, func(a, b header) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// readable is a body as people read it, and what there is to say about it.
func readable(body []byte, cut bool) (text, note string) {
	switch {
	case len(body) == 0:
		return "", "empty"
	case cut:
		note = "the first " + store.Bytes(int64(len(body)))
	}
	if !utf8.Valid(body) && !cut {
		return "", store.Bytes(int64(len(body))) + " that are no text"
	}
	var pretty bytes.Buffer
	if !cut && json.Indent(&pretty, body, "", "  ") == nil {
		return pretty.String(), note
	}
	return strings.ToValidUTF8(string(body), "�"), note
}

func (d *Dashboard) log(w http.ResponseWriter, r *http.Request) error {
	one, err := d.Store.Interaction(r.Context(), env(r).ID, r.PathValue("log"))
	if err != nil {
		return err
	}
	return d.showLog(w, r, one)
}

func (d *Dashboard) showLog(w http.ResponseWriter, r *http.Request, one store.Interaction) error {
	page := logPage{logLine: lineOf(one), RequestHeaders: headers(one.RequestHeader), AnswerHeader: headers(one.AnswerHeader)}
	page.Request, page.RequestNote = readable(one.RequestBody, one.RequestCut)
	page.Answer, page.AnswerNote = readable(one.AnswerBody, one.AnswerCut)
	if one.IntegrationID != "" && one.EnvironmentID != "" {
		page.Integrated = d.integrated(r.Context(), one.EnvironmentID, one.IntegrationID)
	}
	v := d.view(r, one.Method+" "+shorten(one.URL, 60))
	v.Nav, v.Data = "logs", page
	d.show(w, r, http.StatusOK, "log", v)
	return nil
}

// logAnywhere leads to an interaction whatever environment it is in: where log_url of an error points.
func (d *Dashboard) logAnywhere(w http.ResponseWriter, r *http.Request) error {
	one, err := d.Store.Interaction(r.Context(), "", r.PathValue("log"))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if err != nil {
		p := nowhere()
		p.title, p.text = "This exchange is not in the log", "It is too old, or the server was too busy to keep it: the log is kept for some days, and nothing waits for it."
		return p
	}
	if one.EnvironmentID == "" {
		return d.showLog(w, r, one) // nobody knows whose it is
	}
	return redirect(w, r, "/e/"+one.EnvironmentID+"/logs/"+one.ID)
}
