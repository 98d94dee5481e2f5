package interactions_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// kept is a store that can be slow and can fail.
type kept struct {
	mu      sync.Mutex
	batches [][]store.Interaction
	err     error
	slow    time.Duration
	asked   int
}

func (k *kept) AppendInteractions(ctx context.Context, list []store.Interaction) error {
	k.mu.Lock()
	slow, err := k.slow, k.err
	k.asked++
	k.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.batches = append(k.batches, list)
	return nil
}

func (k *kept) all() []store.Interaction {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Concat(k.batches...)
}

// counts are how often it was asked, and how many batches it took.
func (k *kept) counts() (asked, batches int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked, len(k.batches)
}

func (k *kept) set(err error, slow time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.slow = err, slow
}

// start runs a log in a bubble; stop ends it.
func start(t *testing.T, k *kept, mode interactions.Mode) (l *interactions.Log, dropped func() int, stop func()) {
	t.Helper()
	registry := prometheus.NewRegistry()
	l = interactions.New(interactions.Config{Store: k, Mode: mode, Metrics: metrics.New(registry)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx)
	}()
	return l, func() int {
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.GetMetric() {
					if f.GetName() == "crosswalk_interactions_total" && m.GetLabel()[0].GetValue() == "dropped" {
						return int(m.GetCounter().GetValue())
					}
				}
			}
			return 0
		}, func() {
			cancel()
			<-done
		}
}

func inbound(n int) store.Interaction {
	return store.Interaction{ID: skill.NewID(time.Now()), EnvironmentID: "env", Method: "POST", URL: fmt.Sprint("/", n), Status: 200}
}

func TestInteractionsAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		l, dropped, stop := start(t, k, interactions.All)
		began := time.Now()
		for n := range 100 {
			l.Inbound(inbound(n))
		}
		synctest.Wait()
		if asked, _ := k.counts(); asked != 0 {
			t.Error("it did not wait for company")
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if _, batches := k.counts(); batches != 1 || len(k.all()) != 100 {
			t.Errorf("%d batches of %d", batches, len(k.all()))
		}
		for n := range 300 { // enough to be written at once
			l.Inbound(inbound(n))
		}
		synctest.Wait()
		if len(k.all()) < 100+128 || time.Since(began) != 200*time.Millisecond {
			t.Errorf("%d are there after %v", len(k.all()), time.Since(began))
		}
		l.Inbound(inbound(1))
		stop() // the last ones are not lost
		if len(k.all()) != 401 || dropped() != 0 {
			t.Errorf("%d are there in the end, %d were dropped", len(k.all()), dropped())
		}
	})
}

func TestASlowDatabaseIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		k.set(nil, time.Hour)
		l, dropped, stop := start(t, k, interactions.All)
		began := time.Now()
		for n := range 10_000 {
			i := inbound(n)
			i.RequestBody = make([]byte, 1000)
			l.Inbound(i)
		}
		if time.Since(began) != 0 {
			t.Errorf("it took %v", time.Since(began))
		}
		if n := dropped(); n < 5700 {
			t.Errorf("%d were dropped", n)
		}
		for n := range 1000 { // by their bytes, too
			i := inbound(n)
			i.RequestBody = make([]byte, 16<<10)
			l.Inbound(i)
		}
		stop()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it stopped after %v", took)
		}
		if n := dropped(); n != 11_000 {
			t.Errorf("%d were dropped in the end", n)
		}
	})
}

func TestADatabaseThatIsAwayIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		k.set(&skill.Error{Kind: skill.Unavailable, Message: "away"}, 0)
		l, dropped, stop := start(t, k, interactions.All)
		defer stop()
		l.Inbound(inbound(1))
		time.Sleep(time.Minute)
		k.set(nil, 0)
		time.Sleep(2 * time.Second)
		if len(k.all()) != 1 || dropped() != 0 {
			t.Errorf("%d are there, %d dropped", len(k.all()), dropped())
		}
		// What a database will never take is not tried for ever.
		k.set(errors.New("no such column"), 0)
		l.Inbound(inbound(2))
		time.Sleep(time.Second)
		k.set(nil, 0)
		l.Inbound(inbound(3))
		time.Sleep(time.Second)
		if len(k.all()) != 2 || dropped() != 1 {
			t.Errorf("%d are there, %d dropped", len(k.all()), dropped())
		}
	})
}

func TestStrangersCannotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		l, dropped, stop := start(t, k, interactions.Errors)
		for range 10 {
			for range 1000 {
				l.Inbound(store.Interaction{ID: skill.NewID(time.Now()), Method: "GET", URL: "/", Status: 401, Failed: true})
			}
			time.Sleep(time.Second)
		}
		stop()
		if n := len(k.all()); n < 280 || n > 300 || dropped() != 10_000-n {
			t.Errorf("%d are there, %d dropped", n, dropped())
		}
	})
}

func TestModes(t *testing.T) {
	t.Parallel()
	if l := interactions.New(interactions.Config{Mode: interactions.Off}); l != nil || l.Wants(true, true) {
		t.Error("off is not off")
	}
	synctest.Test(t, func(t *testing.T) {
		k := &kept{}
		l, _, stop := start(t, k, interactions.Errors)
		l.Inbound(inbound(1))
		failed := inbound(2)
		failed.Failed = true
		l.Inbound(failed)
		stop()
		if len(k.all()) != 1 || k.all()[0].URL != "/2" {
			t.Errorf("%+v", k.all())
		}
	})
}

func TestInboundSecrets(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const key = "cw_live_abcdefGHIJKLMNOPQRSTUVWXYZabcdefghijkmnopqrst"
		k := &kept{}
		l, _, stop := start(t, k, interactions.All)
		i := inbound(1)
		i.URL = "/v1/x?token=s3cr3t&page=2&k=" + key + strings.Repeat("ü", 2000) + "\x00\xff"
		i.RequestHeader = http.Header{"Authorization": {"Bearer " + key}, "Cookie": {"s3cr3t"}, "User-Agent": {"curl " + key}}
		i.RequestBody = []byte(`{"password":"s3cr3t","key":"` + key + `","name":"Java"}`)
		i.AnswerBody = []byte(strings.Repeat("x", 20<<10))
		l.Inbound(i)
		stop()
		got := k.all()[0]
		if text := fmt.Sprintf("%+v %s %s", got, got.RequestBody, got.AnswerBody); strings.Contains(text, "s3cr3t") || strings.Contains(text, key) {
			t.Errorf("a secret is in %.900s", text)
		}
		if got.RequestHeader.Get("User-Agent") != "curl cw_live_abcdef…" || !strings.Contains(string(got.RequestBody), `"name":"Java"`) {
			t.Errorf("%v %s", got.RequestHeader, got.RequestBody)
		}
		if len(got.AnswerBody) != interactions.MostBody || !got.AnswerCut || got.RequestCut || len(got.URL) > 2010 || strings.ContainsAny(got.URL, "\x00") {
			t.Errorf("%d bytes, cut %v %v, %q", len(got.AnswerBody), got.AnswerCut, got.RequestCut, got.URL)
		}
	})
}
