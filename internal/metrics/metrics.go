// Package metrics is what the server counts about itself, in Prometheus' terms. A nil *Metrics counts nothing.
package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Queue is how the database and the queue were found when somebody looked.
type Queue struct {
	Pending       int           // unfinished tasks
	WaitingItems  int           // their items
	OldestPending time.Duration // since the oldest unfinished one was accepted; 0 without one
	Leases        int           // integrations at work
	Unattended    int           // integrations with work that nobody is at
	Overdue       int           // unfinished tasks whose time is up
	Away          int           // integrations whose tool does not answer
	Bytes         int64         // the database's size
	Syncs         int           // syncs that are queued or under way
	OldestSync    time.Duration // since the last good sync of the integration for which that is longest ago; 0 without one
}

// seen is the last look that succeeded.
type seen struct {
	Queue
	at time.Time
}

// Metrics holds the server's own counters.
type Metrics struct {
	seen      atomic.Pointer[seen]
	up        prometheus.Gauge
	held      *prometheus.CounterVec
	items     *prometheus.CounterVec
	tasks     *prometheus.CounterVec
	accepted  prometheus.Counter
	calls     *prometheus.HistogramVec
	calling   *prometheus.GaugeVec
	drains    prometheus.Histogram
	wakes     *prometheus.CounterVec
	lost      prometheus.Counter
	stolen    prometheus.Counter
	doubted   prometheus.Counter
	rewritten prometheus.Counter
	expired   prometheus.Counter
	syncs     *prometheus.CounterVec
	pages     *prometheus.CounterVec
	commits   prometheus.Counter
	together  prometheus.Counter
	responses *prometheus.HistogramVec
	logged    *prometheus.CounterVec
}

// Why a drain was started.
const (
	WokenBySubmit = "submit" // in this process, right after the commit
	WokenByQueue  = "queue"  // by another process, through the job queue
	WokenBySweep  = "sweep"  // by the safety net: should stay 0 but for starts and settings changed by commands
	WokenByTimer  = "timer"  // a wait that the tool asked for is over
)

// New registers the counters, and those of the Go runtime and the process.
func New(reg prometheus.Registerer) *Metrics {
	quick := []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	m := &Metrics{
		items: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crosswalk_items_total", Help: "Items of ended tasks, by outcome.",
		}, []string{"outcome"}),
		tasks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crosswalk_tasks_ended_total", Help: "Ended tasks, by status.",
		}, []string{"status"}),
		accepted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_tasks_accepted_total", Help: "Accepted tasks.",
		}),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crosswalk_tool_call_seconds", Help: "Calls of tools, by tool and kind of answer.", Buckets: quick,
		}, []string{"tool", "answer"}),
		calling: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "crosswalk_tool_calls_in_flight", Help: "Calls of tools under way, by tool.",
		}, []string{"tool"}),
		drains: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "crosswalk_drain_seconds", Help: "How long a drain kept its place.", Buckets: quick,
		}),
		wakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "crosswalk_drains_woken_total", Help: "Drains started, by what woke them. A growing number of sweeps means that wake-ups are lost.",
		}, []string{"by"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_leases_lost_total", Help: "Drains that found their lease taken over or run out.",
		}),
		stolen: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_leases_stolen_total", Help: "Drains that took over from one that had not given its lease back.",
		}),
		doubted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_skills_doubted_total", Help: "Skills that may have reached a tool after another drain had taken over, so they are written once more.",
		}),
		rewritten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_skills_rewritten_total", Help: "Of these, the ones that were written once more.",
		}),
		expired: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_tasks_expired_total", Help: "Tasks removed since they ended long ago.",
		}),
		commits: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_commits_total", Help: "Commits of the embedded database.",
		}),
		together: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "crosswalk_committed_changes_total", Help: "Changes in these commits; divided by the commits, how well they share the wait for the disk.",
		}),
		responses: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "crosswalk_http_response_seconds", Help: "Answered requests, by route and HTTP status.", Buckets: quick,
		}, []string{"route", "status"}),
	}
	m.logged = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crosswalk_interactions_total", Help: "Interactions for the log, kept or dropped: the database was too slow for them, or strangers sent too many.",
	}, []string{"fate"})
	m.up = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "crosswalk_database_up", Help: "1 if the database answered when it was last asked, every 15 s; else 0, and the gauges of the queue are old.",
	})
	m.held = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crosswalk_tool_holds_total", Help: "Times a tool was to be left alone for a while, by tool and kind of answer.",
	}, []string{"tool", "answer"})
	m.syncs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crosswalk_syncs_ended_total", Help: "Ended syncs, by tool and result.",
	}, []string{"tool", "result"})
	m.pages = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "crosswalk_sync_pages_total", Help: "Pages of tools' lists that syncs have read, by tool.",
	}, []string{"tool"})
	for _, g := range []struct {
		name, help string
		value      func(s *seen) float64
	}{
		{"crosswalk_tasks_pending", "Unfinished tasks.", func(s *seen) float64 { return float64(s.Pending) }},
		{"crosswalk_items_waiting", "Items of unfinished tasks.", func(s *seen) float64 { return float64(s.WaitingItems) }},
		{"crosswalk_task_oldest_pending_seconds", "Age of the oldest unfinished task; 0 without one.", func(s *seen) float64 {
			if s.Pending == 0 {
				return 0
			}
			return (s.OldestPending + time.Since(s.at)).Seconds()
		}},
		{"crosswalk_tasks_overdue", "Unfinished tasks whose time was up more than 10 s ago. Should be 0.", func(s *seen) float64 { return float64(s.Overdue) }},
		{"crosswalk_leases", "Integrations at work, in all processes.", func(s *seen) float64 { return float64(s.Leases) }},
		{"crosswalk_integrations_unattended", "Integrations with work that no process is at. A few for a moment are normal.", func(s *seen) float64 { return float64(s.Unattended) }},
		{"crosswalk_integrations_away", "Integrations whose tool has not answered for a while, so that only single skills are tried.", func(s *seen) float64 { return float64(s.Away) }},
		{"crosswalk_syncs_active", "Syncs that are queued or under way.", func(s *seen) float64 { return float64(s.Syncs) }},
		{"crosswalk_sync_oldest_seconds", "Time since the last good sync of the integration for which that is longest ago, or since it was made; 0 without one.", func(s *seen) float64 {
			if s.OldestSync == 0 {
				return 0
			}
			return (s.OldestSync + time.Since(s.at)).Seconds()
		}},
		{"crosswalk_database_bytes", "Size of the database.", func(s *seen) float64 { return float64(s.Bytes) }},
	} {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: g.name, Help: g.help}, func() float64 {
			if s := m.seen.Load(); s != nil {
				return g.value(s)
			}
			return 0
		}))
	}
	reg.MustRegister(
		m.up, m.held, m.items, m.tasks, m.accepted, m.calls, m.calling, m.drains, m.wakes, m.lost, m.stolen, m.doubted, m.rewritten, m.expired, m.syncs, m.pages, m.commits, m.together, m.responses,
		m.logged,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Items counts items of an ended task.
func (m *Metrics) Items(outcome string, n int) {
	if m != nil && n > 0 {
		m.items.WithLabelValues(outcome).Add(float64(n))
	}
}

// TaskEnded counts n ended tasks.
func (m *Metrics) TaskEnded(status string, n int) {
	if m != nil && n > 0 {
		m.tasks.WithLabelValues(status).Add(float64(n))
	}
}

// TaskAccepted counts an accepted task.
func (m *Metrics) TaskAccepted() {
	if m != nil {
		m.accepted.Inc()
	}
}

// Call counts a call of a tool; the returned function counts its end.
func (m *Metrics) Call(tool string) func(answer string) {
	if m == nil {
		return func(string) {}
	}
	began := time.Now()
	m.calling.WithLabelValues(tool).Inc()
	return func(answer string) {
		m.calling.WithLabelValues(tool).Dec()
		m.calls.WithLabelValues(tool, answer).Observe(time.Since(began).Seconds())
	}
}

// Drained counts the end of a drain.
func (m *Metrics) Drained(took time.Duration) {
	if m != nil {
		m.drains.Observe(took.Seconds())
	}
}

// Woken counts what woke a drain.
func (m *Metrics) Woken(by string) {
	if m != nil {
		m.wakes.WithLabelValues(by).Inc()
	}
}

// LeaseLost counts a drain that could not go on.
func (m *Metrics) LeaseLost() {
	if m != nil {
		m.lost.Inc()
	}
}

// LeaseStolen counts a drain that took over from one that had not ended as it should.
func (m *Metrics) LeaseStolen() {
	if m != nil {
		m.stolen.Inc()
	}
}

// Doubted counts skills that are written once more.
func (m *Metrics) Doubted(skills int) {
	if m != nil {
		m.doubted.Add(float64(skills))
	}
}

// Rewritten counts skills that were written once more.
func (m *Metrics) Rewritten(skills int) {
	if m != nil {
		m.rewritten.Add(float64(skills))
	}
}

// TasksExpired counts removed tasks.
func (m *Metrics) TasksExpired(n int) {
	if m != nil {
		m.expired.Add(float64(n))
	}
}

// SyncEnded counts the end of a sync.
func (m *Metrics) SyncEnded(tool, result string) {
	if m != nil {
		m.syncs.WithLabelValues(tool, result).Inc()
	}
}

// SyncPage counts a page that a sync has read.
func (m *Metrics) SyncPage(tool string) {
	if m != nil {
		m.pages.WithLabelValues(tool).Inc()
	}
}

// Held counts a wait that a tool's answer asks for.
func (m *Metrics) Held(tool, answer string) {
	if m != nil {
		m.held.WithLabelValues(tool, answer).Inc()
	}
}

// Seen tells how the queue is.
func (m *Metrics) Seen(q Queue) {
	if m != nil {
		m.seen.Store(&seen{Queue: q, at: time.Now()})
		m.up.Set(1)
	}
}

// Unseen tells that the database did not answer.
func (m *Metrics) Unseen() {
	if m != nil {
		m.up.Set(0)
	}
}

// Committed counts a commit and the changes that shared it.
func (m *Metrics) Committed(changes int) {
	if m != nil {
		m.commits.Inc()
		m.together.Add(float64(changes))
	}
}

// Response counts an answered request.
func (m *Metrics) Response(route, status string, took time.Duration) {
	if m != nil {
		m.responses.WithLabelValues(route, status).Observe(took.Seconds())
	}
}

// InteractionsKept counts interactions that were logged.
func (m *Metrics) InteractionsKept(n int) {
	if m != nil {
		m.logged.WithLabelValues("kept").Add(float64(n))
	}
}

// InteractionsDropped counts interactions that were not.
func (m *Metrics) InteractionsDropped(n int) {
	if m != nil {
		m.logged.WithLabelValues("dropped").Add(float64(n))
	}
}
