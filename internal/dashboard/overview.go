package dashboard

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// alarm is something that needs somebody.
type alarm struct {
	State mark
	Text  string
	Words string // of the tool
	Link  string
}

// bar is an hour of the chart.
type bar struct {
	X, OK, OKY, Failed, FailedY float64
	Label                       string
}

// tasksEnded are tasks by how they ended.
type tasksEnded struct{ All, PartlyFailed, AllFailed int }

// Good is how many had no failure.
func (t tasksEnded) Good() int { return t.All - t.PartlyFailed - t.AllFailed }

func (t tasksEnded) with(h store.ActivityHour) tasksEnded {
	return tasksEnded{t.All + h.Tasks, t.PartlyFailed + h.PartlyFailed, t.AllFailed + h.AllFailed}
}

// hourRow is an hour of all integrations.
type hourRow struct {
	Hour   time.Time
	Tasks  tasksEnded
	Counts skill.Counts
}

type chart struct {
	Bars    []bar
	Most    int
	Sum     skill.Counts
	Tasks   tasksEnded
	Begins  string
	Ends    string
	Hours   []hourRow // with something in them, for those who read a table
	HasData bool
}

const (
	chartHeight = 96.0
	chartStep   = 24.0
	chartHours  = 24
)

// drawing turns hours into bars: what is in step at the bottom, failures on top of it.
func drawing(hours []store.ActivityHour, now time.Time) chart {
	last := now.UTC().Truncate(time.Hour)
	first := last.Add(-(chartHours - 1) * time.Hour)
	byHour := make([]skill.Counts, chartHours)
	tasks := make([]tasksEnded, chartHours)
	var c chart
	for _, h := range hours {
		if at := int(h.Hour.Sub(first) / time.Hour); at >= 0 && at < chartHours {
			byHour[at] = byHour[at].Plus(h.Counts)
			tasks[at] = tasks[at].with(h)
			c.Tasks = c.Tasks.with(h)
			c.Sum = c.Sum.Plus(h.Counts)
		}
	}
	for _, n := range byHour {
		c.Most = max(c.Most, n.Total())
	}
	c.HasData = c.Most > 0
	for i, n := range byHour {
		hour := first.Add(time.Duration(i) * time.Hour)
		b := bar{X: float64(i) * chartStep, Label: hour.Format("2 Jan, 15:04") + " UTC: " + number(n.Written+n.Unchanged) + " in step, " + number(n.Failed) + " failed"}
		if c.Most > 0 {
			b.OK = chartHeight * float64(n.Written+n.Unchanged) / float64(c.Most)
			b.Failed = chartHeight * float64(n.Failed) / float64(c.Most)
			if n.Failed > 0 {
				b.Failed = max(b.Failed, 2) // a few among many are to be seen
			}
			if n.Written+n.Unchanged > 0 {
				b.OK = max(b.OK, 1)
			}
		}
		b.OKY = chartHeight - b.OK
		b.FailedY = max(0, b.OKY-b.Failed)
		c.Bars = append(c.Bars, b)
		if n.Total() > 0 {
			c.Hours = append(c.Hours, hourRow{Hour: hour, Counts: n, Tasks: tasks[i]})
		}
	}
	c.Begins, c.Ends = first.Format("2 Jan, 15:04"), last.Add(time.Hour).Format("15:04 UTC")
	return c
}

type overviewPage struct {
	Alarms       []alarm
	MoreAlarms   int
	Cut          bool // there may be more integrations, and nobody looked at those
	Chart        chart
	Waiting      []integrationRow
	Skills       *store.CatalogueCount
	Integrations int
	Integration  string // the id of the first one
	Keys         int
	Health       store.Health
	Version      string
	Empty        bool
}

const (
	mostAlarms = 10
	// mostLooked is how many integrations the overview looks at.
	mostLooked = 2000
)

func (d *Dashboard) overview(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	states, err := d.Store.IntegrationStates(ctx, store.IntegrationFilter{EnvironmentID: env(r).ID, Limit: mostLooked})
	if err != nil {
		return err
	}
	sums, hours, err := d.recent(ctx, env(r).ID)
	if err != nil {
		return err
	}
	keys, err := d.Store.Keys(ctx, env(r).ID)
	if err != nil {
		return err
	}
	page := overviewPage{Chart: drawing(hours, d.Now()), Integrations: len(states), Version: d.Version}
	if page.Health, err = d.Store.Health(ctx); err != nil {
		return err
	}
	for _, k := range keys {
		if (keyRow{Key: k}).Good() {
			page.Keys++
		}
	}
	page.Cut = len(states) == mostLooked
	for _, s := range states {
		page.Integration = cmp.Or(page.Integration, s.ID)
		row := d.integrationRow(s, sums[s.ID])
		if a, needs := d.alarmOf(row, base(r)); needs {
			page.Alarms = append(page.Alarms, a)
		}
		if s.Oldest != nil {
			page.Waiting = append(page.Waiting, row)
		}
	}
	for _, k := range keys {
		if row := (keyRow{k, keyState(k, d.Now())}); row.Good() && row.State.Kind == "partly" {
			page.Alarms = append(page.Alarms, alarm{State: row.State, Text: "The API key “" + k.Name + "” expires " + ago(d.Now().Sub(k.ExpiresAt)), Link: base(r) + "/secrets/" + k.ID})
		}
	}
	slices.SortStableFunc(page.Alarms, func(a, b alarm) int { return rank(a.State.Kind) - rank(b.State.Kind) })
	if n := len(page.Alarms); n > mostAlarms {
		page.Alarms, page.MoreAlarms = page.Alarms[:mostAlarms], n-mostAlarms
	}
	slices.SortStableFunc(page.Waiting, func(a, b integrationRow) int { return a.Oldest.CreatedAt.Compare(b.Oldest.CreatedAt) })
	page.Waiting = page.Waiting[:min(len(page.Waiting), 8)]
	if counts, ok := d.catalogueCounts(env(r).ID); ok {
		var sum store.CatalogueCount
		for _, c := range counts {
			sum.Total, sum.InStep, sum.Refused, sum.Unsure = sum.Total+c.Total, sum.InStep+c.InStep, sum.Refused+c.Refused, sum.Unsure+c.Unsure
		}
		page.Skills = &sum
	}
	page.Empty = page.Integrations == 0 || page.Keys == 0 || !page.Chart.HasData && len(page.Waiting) == 0 && (page.Skills == nil || page.Skills.Total == 0)
	v := d.view(r, "Overview")
	v.Nav, v.Data = "overview", page
	d.show(w, r, http.StatusOK, "overview", v)
	return nil
}

func rank(kind string) int { return map[string]int{"failed": 0, "partly": 1, "waiting": 2}[kind] }

// alarmOf says whether somebody should look at an integration.
func (d *Dashboard) alarmOf(row integrationRow, base string) (alarm, bool) {
	link := base + "/integrations/" + row.ID
	label := d.label(row.Integration)
	switch {
	case row.InvalidReason != "":
		return alarm{markOf("failed", "Credentials refused"), label + " refused the credentials", row.InvalidReason, link}, true
	case row.Oldest != nil && d.Now().Sub(row.Oldest.CreatedAt) > row.Oldest.Deadline.Sub(row.Oldest.CreatedAt)/2:
		return alarm{
			markOf("partly", "Late"), label + " has a task that has used up half of its time; it ends at " + clockTime(row.Oldest.Deadline, d.Now()), "",
			base + "/tasks/" + row.Oldest.ID,
		}, true
	case !row.Enabled && row.Pending > 0:
		return alarm{markOf("partly", "Switched off"), label + " is switched off, and " + plural(row.Waiting, "skill") + " " + waits(row.Waiting), "", link}, true
	case row.Lately.Counts.Failed > 0 && row.Lately.Counts.Written+row.Lately.Counts.Unchanged == 0:
		return alarm{markOf("partly", "Nothing succeeds"), "Nothing that was sent to " + label + " in the last 24 hours succeeded", "", base + "/tasks?state=failures&integration=" + row.ID}, true
	}
	return alarm{}, false
}

// counts are the sizes of catalogues. Counting reads all of one, so it is done beside the pages, and now and then.
type counts struct {
	group sync.WaitGroup // of counts under way

	mu    sync.Mutex
	known map[string]counted // by environment
	// activity likewise.
	activity map[string]seenActivity
}

type counted struct {
	at       time.Time
	took     time.Duration
	counts   map[string]store.CatalogueCount // nil: not yet
	counting bool
}

const (
	// countTimes is how much longer than the count itself it is good: so counting takes a fiftieth of the time at most.
	countTimes = 50
	countTime  = 2 * time.Minute
	// countPatience is how long a page waits for a count: that of a small catalogue takes less.
	countPatience = 50 * time.Millisecond
)

// catalogueCounts are those of an environment, as of a moment ago; none while they are counted for the first time.
func (d *Dashboard) catalogueCounts(environmentID string) (map[string]store.CatalogueCount, bool) {
	d.counts.mu.Lock()
	c := d.counts.known[environmentID]
	if c.counting || c.counts != nil && time.Since(c.at) < countTimes*c.took {
		d.counts.mu.Unlock()
		return c.counts, c.counts != nil
	}
	c.counting = true
	d.counts.known[environmentID] = c
	d.counts.mu.Unlock()
	done := make(chan map[string]store.CatalogueCount, 1)
	d.counts.group.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), countTime)
		defer cancel()
		finished := make(chan struct{})
		defer close(finished)
		go func() {
			select {
			case <-d.closing:
				cancel()
			case <-finished:
			}
		}()
		began := time.Now()
		fresh, err := d.Store.CountCatalogue(ctx, environmentID)
		d.counts.mu.Lock()
		defer d.counts.mu.Unlock()
		if err != nil {
			d.Logger.Warn("skills could not be counted", "environment", environmentID, "error", err)
			fresh = c.counts
		}
		d.counts.known[environmentID] = counted{at: time.Now(), took: time.Since(began), counts: fresh}
		done <- fresh
	})
	select {
	case fresh := <-done:
		return fresh, fresh != nil
	case <-time.After(countPatience):
		return c.counts, c.counts != nil
	}
}
