package server

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Where there are pages for them, every error of the API and every item that failed leads to its interaction; elsewhere none.
func TestErrorsLeadToTheirPages(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dashboard bool
		mode      interactions.Mode
		pages     bool
	}{
		"with a dashboard": {true, "", true}, "errors alone": {true, interactions.Errors, true},
		"nothing is logged": {true, interactions.Off, false}, "without a dashboard": {false, interactions.All, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Start(t.Context(), Config{
				Listen: "127.0.0.1:0", PublicURL: "https://skills.example.com/", Database: Database{Data: t.TempDir()},
				Interactions: c.mode, Dashboard: c.dashboard,
			})
			if err != nil {
				t.Fatal(err)
			}
			run(t, s)
			template := integration(t, s)
			template.Settings = []byte(`{"refuse_names":"^bad"}`)
			in, err := s.Store.CreateIntegration(t.Context(), template)
			if err != nil {
				t.Fatal(err)
			}
			secret, shown, hash := auth.NewKey()
			if _, err := s.Store.CreateKey(t.Context(), store.Key{EnvironmentID: in.EnvironmentID, Name: "test", Prefix: shown}, hash); err != nil {
				t.Fatal(err)
			}
			api := client.New("http://"+s.Address, secret, in.ID)
			api.Retries = 0
			accepted, err := api.UpsertSkills(t.Context(), []client.Item{{OriginID: "1", Name: "good"}, {OriginID: "2", Name: "bad"}})
			if err != nil {
				t.Fatal(err)
			}
			var task client.Task
			eventually(t, "the task has ended", func() bool {
				task, err = api.Task(t.Context(), accepted.TaskID)
				return err != nil || task.Ended()
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = api.Task(t.Context(), "nonsense")
			refused, ok := errors.AsType[*client.Error](err)
			if !ok {
				t.Fatal(err)
			}
			for what, of := range map[string]*client.Error{"the item": task.Results[1].Error, "the answer": refused} {
				switch {
				case of == nil:
					t.Errorf("%s has no error", what)
				case !c.pages && of.LogURL != nil:
					t.Errorf("%s leads to %s", what, *of.LogURL)
				case c.pages:
					if of.LogURL == nil {
						t.Errorf("%s leads nowhere", what)
						break
					}
					id, ok := strings.CutPrefix(*of.LogURL, "https://skills.example.com/logs/")
					if !ok || !skill.IsID(id) {
						t.Errorf("%s leads to %s", what, *of.LogURL)
					}
					eventually(t, what+" is logged", func() bool {
						i, err := s.Store.Interaction(t.Context(), in.EnvironmentID, id)
						return err == nil && i.Failed && i.IntegrationID == in.ID
					})
				}
			}
		})
	}
}

// What the page to connect asks a tool is in the log of the link's environment, and nothing that the customer typed in secret.
func TestConnectingIsLogged(t *testing.T) {
	t.Parallel()
	company := hibobtest.New(t)
	tool := httptest.NewServer(company)
	defer tool.Close()
	s, err := Start(t.Context(), Config{Listen: "127.0.0.1:0", Database: Database{Data: t.TempDir()}, AllowPrivateTools: true})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	env := integration(t, s).EnvironmentID
	link := func(l store.Link) string {
		t.Helper()
		token := auth.NewLinkToken()
		hash, _ := auth.HashToken(token)
		l.EnvironmentID, l.Tool, l.Category, l.Language = env, "hibob", "HRIS", "en"
		if _, err := s.Store.CreateLink(t.Context(), l, hash, time.Hour); err != nil {
			t.Fatal(err)
		}
		return token
	}
	send := func(link, token string, want int) {
		t.Helper()
		form := url.Values{"form": {"1"}, "set.service_user_id": {company.User}, "set.token": {token}, "set.address": {tool.URL + "/v1"}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+s.Address+"/connect/"+link+"/hibob", strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != want {
			t.Fatalf("the form was answered with %d, want %d", answer.StatusCode, want)
		}
	}
	// logged waits for a call of the tool, and gives the newest.
	logged := func(q store.InteractionQuery, good bool) store.Interaction {
		t.Helper()
		q.EnvironmentID, q.Outbound, q.Limit = env, true, 10
		var found store.Interaction
		eventually(t, "the call of the tool is logged", func() bool {
			list, err := s.Store.Interactions(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			at := slices.IndexFunc(list.Interactions, func(i store.Interaction) bool { return i.Failed != good })
			if at >= 0 {
				found = list.Interactions[at]
			}
			return at >= 0
		})
		found, err := s.Store.Interaction(t.Context(), env, found.ID)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	const wrong = "not-this-one-at-all"
	first := link(store.Link{Purpose: store.Connect, EndUser: store.EndUser{OrganisationName: "Acme GmbH"}})
	send(first, wrong, http.StatusUnprocessableEntity)
	calls := []store.Interaction{logged(store.InteractionQuery{}, false)}
	if i := calls[0]; i.IntegrationID != "" || i.TaskID != "" || !strings.HasPrefix(i.URL, tool.URL) || i.Status != http.StatusUnauthorized && i.Status != http.StatusForbidden {
		t.Errorf("logged %+v", i)
	}
	send(first, company.Token, http.StatusOK)
	calls = append(calls, logged(store.InteractionQuery{}, true))
	made, err := s.Store.Integrations(t.Context(), env)
	if err != nil || len(made) != 1 {
		t.Fatalf("made %+v, %v", made, err)
	}
	again := link(store.Link{Purpose: store.Relink, IntegrationID: made[0].ID})
	send(again, company.Token, http.StatusOK)
	calls = append(calls, logged(store.InteractionQuery{IntegrationID: made[0].ID}, true))
	for _, i := range calls {
		text := fmt.Sprintf("%+v %s %s", i, i.RequestBody, i.AnswerBody)
		for _, token := range []string{wrong, company.Token, first, again} {
			for _, secret := range []string{token, base64.StdEncoding.EncodeToString([]byte(company.User + ":" + token))} {
				if strings.Contains(text, secret) {
					t.Errorf("the log holds %q: %s", secret, text)
				}
			}
		}
		if i.RequestHeader.Get("Authorization") == "" {
			t.Errorf("the call has no credentials: %s", text) // then this test would show nothing
		}
	}
}
