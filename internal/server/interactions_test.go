package server

import (
	"errors"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/client"
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
