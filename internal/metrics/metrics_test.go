package metrics_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/crosswalk-hr/crosswalk/internal/metrics"
)

// The gauges are those of the last look; an age goes on while nobody can look.
func TestQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		m := metrics.New(reg)
		want := func(up, pending, age float64) {
			t.Helper()
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]float64{}
			for _, f := range families {
				switch f.GetName() {
				case "crosswalk_database_up", "crosswalk_tasks_pending", "crosswalk_task_oldest_pending_seconds":
					got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
				}
			}
			wanted := map[string]float64{
				"crosswalk_database_up": up, "crosswalk_tasks_pending": pending, "crosswalk_task_oldest_pending_seconds": age,
			}
			if diff := cmp.Diff(wanted, got); diff != "" {
				t.Errorf("gauges (-want +got):\n%s", diff)
			}
		}
		want(0, 0, 0)
		m.Seen(metrics.Queue{Pending: 3, OldestPending: time.Minute})
		want(1, 3, 60)
		<-time.After(time.Hour)
		m.Unseen()
		want(0, 3, 3660)
		m.Seen(metrics.Queue{})
		<-time.After(time.Hour)
		want(1, 0, 0)
	})
}

// Nothing is counted without metrics.
func TestNil(*testing.T) {
	var m *metrics.Metrics
	m.Seen(metrics.Queue{})
	m.Unseen()
	m.Held("sandbox", "throttled")
	m.LeaseLost()
	m.LeaseStolen()
	m.Doubted(1)
	m.Rewritten(1)
	m.TasksExpired(1)
	m.Call("sandbox")("ok")
}
