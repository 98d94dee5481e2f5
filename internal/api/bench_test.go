package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// instant is what is behind the API for a submission, without any work.
type instant struct {
	api.Submitter
	api.Reader
	api.Authenticator
}

func (instant) Submit(_ context.Context, s store.Submission) (store.Accepted, error) {
	return store.Accepted{Task: skill.Task{ID: s.TaskID}}, nil
}

func (instant) Authenticate(context.Context, string) (auth.Principal, error) {
	return auth.Principal{EnvironmentID: "env", KeyID: "key"}, nil
}

func (instant) AppendInteractions(context.Context, []store.Interaction) error { return nil }

// What the log of interactions costs a submission of one skill, on its own way and in the log's goroutine.
func BenchmarkSubmit(b *testing.B) {
	for _, mode := range []interactions.Mode{interactions.Off, interactions.Errors, interactions.All} {
		b.Run(string(mode), func(b *testing.B) {
			log := interactions.New(interactions.Config{Store: instant{}, Mode: mode})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			go log.Run(ctx)
			handler := api.New(api.Config{Engine: instant{}, Store: instant{}, Keys: instant{}, Connectors: connector.NewRegistry(), Interactions: log})
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/hris/skills/bulk", strings.NewReader(`{"items":[{"origin_id":"1","skill":{"name":"Java"}}]}`))
				r.Header.Set("Authorization", "Bearer cw_live_abcdefGHIJKLMNOPQRSTUVWXYZabcdefghijkmnopqrst")
				r.Header.Set("X-Integration-Id", skill.NewIntegrationID("sandbox", time.Time{}))
				r.Header.Set("Content-Type", "application/json")
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
