package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// logged runs a connector that says of each request what it was answered with, and whose exchanges are logged.
func logged(t *testing.T, f *fixture, mode interactions.Mode, write func(request func(context.Context, int) string) func(context.Context, []connector.Skill) ([]connector.Result, error)) {
	t.Helper()
	log := interactions.New(interactions.Config{Store: f.store, Mode: mode})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	f.interactions, f.pages = log, "https://example.com/logs/"
	f.tools = []connector.Connector{odd{write(func(ctx context.Context, status int) string {
		wait(2 * time.Millisecond) // ids sort by it
		id := log.Begin(ctx, time.Now())
		log.Outbound(ctx, store.Interaction{ID: id, EnvironmentID: f.env, IntegrationID: "odd", Status: status}, 0, func(i *store.Interaction) {
			i.Method, i.URL = http.MethodPut, "https://tool.example.com/"
		})
		return id
	})}}
	f.start(settings())
}

// pagesOf are the interactions that a result leads to: of the task, and of each item; nothing where there is none.
func pagesOf(t *testing.T, view store.TaskView) (task string, items []string) {
	t.Helper()
	type problem struct {
		LogURL *string `json:"log_url"`
	}
	var doc struct {
		Data struct {
			Error *problem
			Data  []struct{ Error *problem }
		}
	}
	if err := json.Unmarshal(view.Document, &doc); err != nil {
		t.Fatal(err)
	}
	id := func(p *problem) string {
		if p == nil || p.LogURL == nil {
			return ""
		}
		id, ok := strings.CutPrefix(*p.LogURL, "https://example.com/logs/")
		if !ok || !skill.IsID(id) {
			t.Errorf("log_url %s", *p.LogURL)
		}
		return id
	}
	for _, it := range doc.Data.Data {
		items = append(items, id(it.Error))
	}
	return id(doc.Data.Error), items
}

// From an item that failed one gets to the very exchange that refused it.
func TestInteractionsOfItems(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		var ids []string
		logged(t, f, interactions.Errors, func(request func(context.Context, int) string) func(context.Context, []connector.Skill) ([]connector.Result, error) {
			return func(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
				found, written := request(ctx, 200), request(ctx, 200)
				last := request(ctx, 204)
				ids = append(ids, found, written, last)
				same := connector.Errorf(connector.Refused, "no")
				var results []connector.Result
				for _, s := range skills {
					r := connector.Result{OriginID: s.OriginID}
					switch s.Name {
					case "precise":
						r.Err = &connector.Error{Kind: connector.Refused, Message: "no", Exchange: written}
					case "vague":
						r.Err = same
					}
					results = append(results, r)
				}
				return results, nil
			}
		})
		in := f.integrationWith("odd", `{}`)
		task := f.submit(in, active("a", "precise", "vague", "b")...)
		f.ended(in, task)
		_, items := pagesOf(t, f.view(in, task))
		if len(ids) != 3 || !slices.Equal(items, []string{"", ids[1], ids[2], ""}) {
			t.Errorf("%v lead to %v", ids, items)
		}
		wait(time.Second)
		list, err := f.store.Interactions(t.Context(), store.InteractionQuery{TaskID: task, Limit: 10})
		if err != nil || len(list.Interactions) != 3 {
			t.Fatalf("%+v, %v", list, err)
		}
		for n, i := range list.Interactions { // newest first
			if failed := n != 2; i.Failed != failed || i.Items != (store.Range{Start: 0, Stop: 4}) || !i.Outbound || i.EnvironmentID != f.env {
				t.Errorf("%d: %+v", n, i)
			}
		}
	})
}

// What was not attempted leads to what kept it from being.
func TestInteractionsOfWhatEndedATask(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		kind   connector.Kind
		failed bool
	}{
		"credentials":    {401, connector.Credentials, true},
		"permission":     {403, connector.Permission, true},
		"away":           {503, connector.Away, true},
		"unanswered":     {0, connector.Ambiguous, false},
		"refused anyway": {422, connector.Unexpected, false},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				var last string
				logged(t, f, interactions.All, func(request func(context.Context, int) string) func(context.Context, []connector.Skill) ([]connector.Result, error) {
					return func(ctx context.Context, _ []connector.Skill) ([]connector.Result, error) {
						last = request(ctx, c.status)
						return nil, connector.Errorf(c.kind, "not now")
					}
				})
				in := f.integrationWith("odd", `{}`)
				task := f.submit(in, many(12)...)
				f.ended(in, task)
				failed, items := pagesOf(t, f.view(in, task))
				if c.failed {
					items = append(items, failed)
				}
				if slices.Contains(items, "") || c.kind != connector.Unexpected && slices.ContainsFunc(items, func(id string) bool { return id != last }) {
					t.Errorf("%v, the last one was %s", items, last)
				}
				wait(time.Second)
				for _, id := range items {
					if i, err := f.store.Interaction(t.Context(), f.env, id); err != nil || !i.Failed || i.Status != c.status || i.TaskID != task {
						t.Errorf("%+v, %v", i, err)
					}
				}
			})
		})
	}
}

// Where nobody can look at an interaction, no error leads to one.
func TestInteractionsWithoutPages(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		logged(t, f, interactions.All, func(request func(context.Context, int) string) func(context.Context, []connector.Skill) ([]connector.Result, error) {
			return func(ctx context.Context, _ []connector.Skill) ([]connector.Result, error) {
				request(ctx, 422)
				return nil, connector.Errorf(connector.Unexpected, "no")
			}
		})
		f.stop()
		f.pages = ""
		f.start(settings())
		in := f.integrationWith("odd", `{}`)
		task := f.submit(in, many(3)...)
		f.ended(in, task)
		if _, items := pagesOf(t, f.view(in, task)); !slices.Equal(items, []string{"", "", ""}) {
			t.Errorf("there are no pages: %v", items)
		}
	})
}

func TestOldInteractionsAreRemoved(t *testing.T) {
	set := settings()
	set.Sweep, set.Heartbeat, set.LeaseTTL = day, day, 3*day
	set.KeepLogs, set.RetainEvery = 3*day, day
	run(t, nil, func(t *testing.T, f *fixture) {
		errs := make(chan error, 100)
		f.around = func(s engineStore) engineStore { return &hourly{s, errs} }
		f.start(set)
		old := skill.NewID(time.Now())
		if err := f.store.AppendInteractions(t.Context(), []store.Interaction{{ID: old}}); err != nil {
			t.Fatal(err)
		}
		wait(3*day - time.Hour)
		young := skill.NewID(time.Now())
		if err := f.store.AppendInteractions(t.Context(), []store.Interaction{{ID: young}}); err != nil {
			t.Fatal(err)
		}
		wait(2*day + 2*time.Hour)
		for id, there := range map[string]bool{old: false, young: true} {
			if _, err := f.store.Interaction(t.Context(), "", id); (err == nil) != there {
				t.Errorf("%s: %v", id, err)
			}
		}
		for range len(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// answers is what was sent and received, by the id of the exchange.
type answers struct {
	next http.RoundTripper
	log  *interactions.Log

	mu    sync.Mutex
	texts map[string]string
}

// RoundTrip implements http.RoundTripper, and records as package outgoing does.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	wait(time.Millisecond) // ids sort by it
	id := a.log.Begin(r.Context(), time.Now())
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	response, err := a.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil {
		return nil, err
	}
	text, _ := url.QueryUnescape(string(sent))
	a.mu.Lock()
	a.texts[id] = text + "\n" + string(got)
	a.mu.Unlock()
	a.log.Outbound(r.Context(), store.Interaction{ID: id, Status: response.StatusCode}, 0, nil)
	response.Body = recordedBody{io.NopCloser(bytes.NewReader(got)), id}
	return response, nil
}

type recordedBody struct {
	io.ReadCloser
	id string
}

func (b recordedBody) Exchange() string { return b.id }

// Whatever a connector does in a call, and in which order: a skill that was refused leads to the request that had it.
func TestRefusedSkillsLeadToTheirRequest(t *testing.T) {
	t.Parallel()
	for _, h := range tools() {
		slug := h.Connector.Describe().Slug
		t.Run(slug, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				account, ok := h.Given(t, connectortest.RefusesOne)
				if !ok {
					t.Logf("%s has no such situation", slug)
					return
				}
				log := interactions.New(interactions.Config{Store: f.store})
				a := &answers{next: account.HTTP.Transport, log: log, texts: map[string]string{}}
				client := *account.HTTP
				client.Transport = a
				f.interactions, f.pages = log, "https://example.com/logs/"
				f.tools = []connector.Connector{h.Connector}
				f.account = func(in store.Integration) (connector.Account, error) {
					return connector.Account{ID: in.ID, Settings: account.Settings, HTTP: &client}, nil
				}
				f.start(settings())
				in := f.integrationWith(slug, "{}")
				task := f.submit(in, active("a", connectortest.RefusedName, "c")...)
				f.ended(in, task).want(t, "COMPLETED", "", string(skill.CodeRemoteInput), "")
				_, items := pagesOf(t, f.view(in, task))
				a.mu.Lock()
				defer a.mu.Unlock()
				text := a.texts[items[1]]
				if !strings.Contains(text, connectortest.RefusedName) {
					t.Errorf("%q leads to %q, of %d exchanges", items, text, len(a.texts))
				}
			})
		})
	}
}

// A tool that makes no requests, as the sandbox, still shows what it was asked and what it said.
func TestCallsWithoutRequests(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		logged(t, f, interactions.All, func(func(context.Context, int) string) func(context.Context, []connector.Skill) ([]connector.Result, error) {
			return nil
		})
		f.stop()
		f.tools = nil
		f.start(settings())
		in := f.integration(`{"refuse_names":"^bad"}`)
		task := f.submit(in, active("a", "bad one", "c")...)
		f.ended(in, task)
		_, items := pagesOf(t, f.view(in, task))
		if !skill.IsID(items[1]) || items[0]+items[2] != "" {
			t.Fatalf("%q", items)
		}
		well := f.submit(in, active("d")...)
		f.ended(in, well)
		wait(time.Second)
		i, err := f.store.Interaction(t.Context(), f.env, items[1])
		if err != nil {
			t.Fatal(err)
		}
		if !i.Outbound || !i.Failed || i.IntegrationID != in.ID || i.TaskID != task || i.Method != "CALL" || i.URL != "sandbox" || i.Status != 200 {
			t.Errorf("%+v", i)
		}
		if !strings.Contains(string(i.RequestBody), `{"origin_id":"id-bad one","name":"bad one","active":true}`) ||
			!strings.Contains(string(i.AnswerBody), `{"origin_id":"id-bad one","error":"refused: `) {
			t.Errorf("%s %s", i.RequestBody, i.AnswerBody)
		}
		// What went well is not told: it would say nothing.
		if list, err := f.store.Interactions(t.Context(), store.InteractionQuery{TaskID: well, Limit: 10}); err != nil || len(list.Interactions) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		// A call without any answer is.
		away := f.integration(`{"outage":true}`)
		task = f.submit(away, active("e")...)
		f.ended(away, task)
		failed, _ := pagesOf(t, f.view(away, task))
		wait(time.Second)
		if i, err = f.store.Interaction(t.Context(), f.env, failed); err != nil || i.Status != 0 || !strings.Contains(i.Error, "away") || i.TaskID != task {
			t.Errorf("%+v, %v", i, err)
		}
	})
}
