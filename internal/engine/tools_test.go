package engine_test

import (
	"context"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
	"github.com/crosswalk-hr/crosswalk/connector/learning360/learning360test"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
	"github.com/crosswalk-hr/crosswalk/connector/workday/workdaytest"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// tools are the connectors to real tools, each with a fake of its tool.
func tools() []connectortest.Harness {
	return []connectortest.Harness{
		hibobtest.Harness(func(c *hibobtest.Company) { c.PerMinute = 50 }),
		learning360test.Harness(func(*learning360test.Company) {}),
		moodletest.Harness(func(*moodletest.Site) {}),
		odootest.Harness(19, func(*odootest.Server) {}),
		odootest.Harness(17, func(s *odootest.Server) { s.May.ReadExternalIDs = false }),
		workdaytest.Harness(func(c *workdaytest.Tenant) { c.PerSecond = 10 }),
	}
}

// ending is how a task of three skills ends: "a", connectortest.RefusedName and "c".
type ending struct {
	task  skill.Code // it is FAILED with this; else it is COMPLETED
	items []string   // the codes of the skills, "" for those that succeed; nil: nobody can say
}

func endings() map[connectortest.Situation]ending {
	none := string(skill.CodeRemoteUnknown)
	return map[connectortest.Situation]ending{
		connectortest.Normal:          {items: []string{"", "", ""}},
		connectortest.RefusesOne:      {items: []string{"", string(skill.CodeRemoteInput), ""}},
		connectortest.RefusesBatch:    {items: []string{"", string(skill.CodeRemoteInput), ""}},
		connectortest.Credentials:     {task: skill.CodeToolAuthentication},
		connectortest.Permission:      {task: skill.CodeToolPermission},
		connectortest.Throttling:      {task: skill.CodeRemoteRateLimit},
		connectortest.ThrottlingMute:  {task: skill.CodeRemoteRateLimit},
		connectortest.Away:            {task: skill.CodeRemoteUnavailable},
		connectortest.UnexpectedReply: {items: []string{none, none, none}},
		connectortest.LosesAnswer:     {},
		connectortest.Hangs:           {},
	}
}

// A task for each tool in each situation that it can be in: every skill has the outcome that the contract says, and what
// has succeeded is in the tool. Once the situation is over the same is sent again, and the tool holds each skill once.
func TestTools(t *testing.T) {
	t.Parallel()
	for _, h := range tools() {
		slug := h.Connector.Describe().Slug
		t.Run(slug, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				accounts := map[string]connector.Account{} // filled before a task of theirs is there, so no lock
				f.tools = []connector.Connector{h.Connector}
				f.account = func(in store.Integration) (connector.Account, error) { return accounts[in.ID], nil }
				tried := 0
				for _, situation := range slices.Sorted(maps.Keys(endings())) {
					account, ok := h.Given(t, situation)
					if !ok {
						t.Logf("%s has no such situation: it %s", slug, situation)
						continue
					}
					tried++
					f.start(settings())
					in := f.integrationWith(slug, "{}")
					accounts[in.ID] = connector.Account{ID: in.ID, Settings: account.Settings, HTTP: account.HTTP}
					items := active("a", connectortest.RefusedName, "c")
					r := f.ended(in, f.submit(in, items...))
					if want := endings()[situation]; want.task != "" {
						r.wantFailed(t, want.task)
					} else {
						r.want(t, "COMPLETED", want.items...)
					}
					held := map[string]bool{}
					for _, record := range account.Records(t) {
						held[record.OriginID] = record.Active
					}
					for _, it := range r.Items {
						if it.Code == "" && !held[it.OriginID] {
							t.Errorf("%s has succeeded, and the tool does not hold it", it.OriginID)
						}
					}
					f.stop()

					relaxed := account.Relax(t)
					accounts[in.ID] = connector.Account{ID: in.ID, Settings: relaxed.Settings, HTTP: relaxed.HTTP}
					f.start(settings())
					f.enable(in, true)
					f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", "", "", "")
					if n := len(account.Records(t)); n != len(items) {
						t.Errorf("the tool holds %d records: %+v", n, account.Records(t))
					}
					f.stop()
					if t.Failed() {
						t.Fatalf("when the tool %s", situation)
					}
				}
				if tried < 8 {
					t.Errorf("only %d situations were tried", tried)
				}
			})
		})
	}
}

// punctual notes when requests leave, and makes answers take a while.
type punctual struct {
	next  http.RoundTripper
	takes time.Duration

	mu   sync.Mutex
	left []time.Time
}

func (p *punctual) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.left = append(p.left, time.Now())
	p.mu.Unlock()
	wait(p.takes)
	return p.next.RoundTrip(r)
}

// Where a call is many requests, the rate of those holds from call to call, from drain to drain and from process to process.
func TestRateOfRequests(t *testing.T) {
	t.Parallel()
	const perSecond, each = 10, 150
	for name, missing := range map[string]workdaytest.Missing{"as declared": workdaytest.AllRefused, "more than is declared": workdaytest.FirstRefused} {
		t.Run(name, func(t *testing.T) {
			h := workdaytest.Harness(func(c *workdaytest.Tenant) { c.Missing = missing })
			run(t, nil, func(t *testing.T, f *fixture) {
				account, ok := h.Given(t, connectortest.Normal)
				if !ok {
					t.Fatal("no account")
				}
				way := &punctual{next: account.HTTP.Transport, takes: 80 * time.Millisecond}
				account.HTTP.Transport = way
				f.tools = []connector.Connector{h.Connector}
				f.account = func(in store.Integration) (connector.Account, error) {
					return connector.Account{ID: in.ID, Settings: account.Settings, HTTP: account.HTTP}, nil
				}
				f.start(settings())
				in := f.integrationWith("workday", "{}")
				var tasks []string
				began := time.Now()
				for i := range 3 {
					tasks = append(tasks, f.submit(in, many(3 * each)[i*each:(i+1)*each]...))
				}
				for range 4 { // in the midst of calls
					wait(7300 * time.Millisecond)
					f.stop()
					f.start(settings())
				}
				for i, task := range tasks {
					if r := f.ended(in, task); r.Status != "COMPLETED" || slices.ContainsFunc(r.Items, func(it item) bool { return it.Code != "" }) {
						t.Errorf("task %d: %+v", i, r)
					}
				}
				took, least := time.Since(began), 3*each*time.Second/perSecond
				if n := len(account.Records(t)); n != 3*each {
					t.Errorf("the tool holds %d skills", n)
				}
				if took > least*22/10 { // questions take a part of it, and calls that were broken off are made again
					t.Errorf("it took %v; %v is the least", took, least)
				}
				for i := perSecond; i < len(way.left); i++ {
					if d := way.left[i].Sub(way.left[i-perSecond]); d < time.Second {
						t.Fatalf("%d requests within %v, %v after the beginning", perSecond+1, d, way.left[i].Sub(began))
					}
				}
			})
		})
	}
}

// served is a client that hands requests to a handler.
type served struct{ http.Handler }

func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r.Clone(context.WithoutCancel(r.Context())))
	return w.Result(), nil
}

// In Moodle people give their competencies ID numbers, which are read as external ids. A skill takes one over by its name all the
// same, once, and not from another skill.
func TestAdoptWhatWasReadWithAnExternalID(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		site := moodletest.New(t)
		theirs := site.Make("COMP-1", "a")
		site.Make("COMP-2", "b")
		f.tools = []connector.Connector{moodle.New()}
		f.account = func(in store.Integration) (connector.Account, error) {
			return connector.Account{ID: in.ID, Settings: site.Settings(connectortest.Base), HTTP: &http.Client{Transport: served{site}}}, nil
		}
		f.start(settings())
		in := f.integrationWith("moodle", "{}")
		f.policy(in, store.Policy{Adopt: true})
		f.sync(in, true)
		list := active("a", "twin")
		list[1].Name = "a"
		for range 2 {
			f.ended(in, f.submit(in, list...)).want(t, "COMPLETED", "", "")
			if c := site.Get("id-a"); c == nil || c.ID != theirs.ID || len(site.Records()) != 3 {
				t.Errorf("Moodle holds %+v", site.Records())
			}
			f.sync(in, true)
			want := map[string]string{"id-a": "a", "id-twin": "a", "COMP-1": "a (gone)", "COMP-2": "b"}
			if diff := cmp.Diff(want, f.shown(in)); diff != "" {
				t.Errorf("shown (-want +got):\n%s", diff)
			}
		}
	})
}

// troubled is the way to a tool on which one request meets something.
type troubled struct {
	next http.RoundTripper
	// at is which request that is, counted from 0; meets says what: before, and when, the tool has it.
	at, requests int
	meets        func(next func() (*http.Response, error)) (*http.Response, error)
}

func (w *troubled) RoundTrip(r *http.Request) (*http.Response, error) {
	next := func() (*http.Response, error) { return w.next.RoundTrip(r) }
	if w.meets == nil {
		return next()
	}
	if w.requests++; w.requests-1 != w.at {
		return next()
	}
	return w.meets(next)
}

// says answers in the tool's place.
func says(status int) func(func() (*http.Response, error)) (*http.Response, error) {
	return func(func() (*http.Response, error)) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
		return w.Result(), nil
	}
}

// A skill that people made in the tool is renamed through the API. Whatever each request of that meets, the very record is renamed,
// and there is no second one, in the tool or in what is read of it.
func TestWhatPeopleMadeIsTakenOnce(t *testing.T) {
	t.Parallel()
	cut := func(after bool) func(func() (*http.Response, error)) (*http.Response, error) {
		return func(next func() (*http.Response, error)) (*http.Response, error) {
			if after {
				if answer, err := next(); err == nil {
					answer.Body.Close()
				}
			}
			return nil, &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}
		}
	}
	meets := map[string]func(func() (*http.Response, error)) (*http.Response, error){
		"a cut before it has arrived":        cut(false),
		"a cut after it was carried out":     cut(true),
		"the answer that it shall wait":      says(http.StatusTooManyRequests),
		"the answer that the tool is away":   says(http.StatusServiceUnavailable),
		"the answer that the tool is broken": says(http.StatusInternalServerError),
	}
	for _, h := range tools() {
		d := h.Connector.Describe()
		if !d.Can(connector.CanTake) {
			continue
		}
		t.Run(d.Slug, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				accounts := map[string]connector.Account{} // filled before a task of theirs is there, so no lock
				f.tools = []connector.Connector{h.Connector}
				f.account = func(in store.Integration) (connector.Account, error) { return accounts[in.ID], nil }
				f.start(settings())
				for _, name := range slices.Sorted(maps.Keys(meets)) {
					for at, all := 0, 1; at < all; at++ {
						account, ok := h.Given(t, connectortest.Normal)
						if !ok {
							t.Fatal("no account")
						}
						way := &troubled{next: account.HTTP.Transport, at: at}
						account.HTTP.Transport = way
						remote := account.MakeByHand(t, "Welding")
						in := f.integrationWith(d.Slug, "{}")
						accounts[in.ID] = connector.Account{ID: in.ID, Settings: account.Settings, HTTP: account.HTTP}
						f.sync(in, true)
						id := f.read(in)[remote].ID
						kept, err := f.store.Keep(t.Context(), store.Wish{EnvironmentID: f.env, IntegrationID: in.ID, ID: id, Name: "Brazing", Status: skill.Active})
						if err != nil {
							t.Fatal(err)
						}
						way.meets = meets[name]
						f.ended(in, f.submit(in, skill.Item{OriginID: kept.OriginID, Name: "Brazing", Status: skill.Active})).want(t, "COMPLETED", "")
						all = way.requests
						f.sync(in, true)
						want := []connector.Record{{RemoteID: remote, OriginID: kept.OriginID, Name: "Brazing", Active: true}}
						records := account.Records(t)
						for i := range records {
							records[i].UpdatedAt = time.Time{}
						}
						if diff := cmp.Diff(want, records); diff != "" {
							t.Errorf("the tool holds (-want +got):\n%s", diff)
						}
						if diff := cmp.Diff(map[string]string{kept.OriginID: "Brazing"}, f.shown(in)); diff != "" {
							t.Errorf("shown (-want +got):\n%s", diff)
						}
						if t.Failed() {
							t.Fatalf("request %d meets %s", at, name)
						}
					}
				}
			})
		})
	}
}

// What the store says that a skill may take over is what it takes over: the answer to what an upsert would do rests on it.
func TestWhatMayBeAdoptedIsAdopted(t *testing.T) {
	t.Parallel()
	const free, apart, retired, numbered = "free", "apart", "retired", "numbered"
	names := []string{free, apart, retired, numbered}
	odooAt := func(version int) func(*testing.T) (http.Handler, []byte, func() []connector.Record) {
		return func(t *testing.T) (http.Handler, []byte, func() []connector.Record) {
			server := odootest.New(t, version)
			server.MakeByHand(free)
			server.Make("Languages", apart)
			server.Make(server.ArchivedType, retired)
			return server, server.Settings(connectortest.Base), server.Records
		}
	}
	for name, test := range map[string]struct {
		connector connector.Connector
		tool      func(*testing.T) (http.Handler, []byte, func() []connector.Record)
		want      []string
	}{
		"odoo 19": {odoo.New(), odooAt(19), []string{free}},
		"odoo 17": {odoo.New(), odooAt(17), []string{free}},
		"moodle": {moodle.New(), func(t *testing.T) (http.Handler, []byte, func() []connector.Record) {
			site := moodletest.New(t)
			site.Make("", free)
			site.Make("COMP-1", numbered)
			return site, site.Settings(connectortest.Base), site.Records
		}, []string{free, numbered}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				tool, set, records := test.tool(t)
				d := test.connector.Describe()
				f.tools = []connector.Connector{test.connector}
				f.account = func(in store.Integration) (connector.Account, error) {
					return connector.Account{ID: in.ID, Settings: set, HTTP: &http.Client{Transport: served{tool}}}, nil
				}
				f.start(settings())
				in := f.integrationWith(d.Slug, "{}")
				f.policy(in, store.Policy{Adopt: true})
				f.sync(in, true)
				var told []string
				remote, err := f.store.RemoteByName(t.Context(), f.env, in.ID, names)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range remote {
					told = append(told, r.Name)
				}
				if d.AdoptsIdentified {
					rows, err := f.store.ReadByName(t.Context(), f.env, in.ID, names)
					if err != nil {
						t.Fatal(err)
					}
					for _, row := range rows {
						told = append(told, row.View().Name)
					}
				}
				before := map[string]string{} // names by remote ids
				for _, r := range records() {
					before[r.RemoteID] = r.Name
				}
				f.ended(in, f.submit(in, active(names...)...)).want(t, "COMPLETED", "", "", "", "")
				var taken []string
				for _, r := range records() {
					if name, was := before[r.RemoteID]; was && r.OriginID == "id-"+name {
						taken = append(taken, name)
					}
				}
				slices.Sort(told)
				slices.Sort(taken)
				if !slices.Equal(told, test.want) || !slices.Equal(taken, test.want) {
					t.Errorf("told of %q, took over %q, want %q", told, taken, test.want)
				}
			})
		})
	}
}
