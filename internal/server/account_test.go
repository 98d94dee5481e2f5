package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/outgoing"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/sqlitetest"
)

// guarded is a connector with a secret.
type guarded struct{}

func (guarded) Describe() connector.Description {
	return connector.Description{Slug: "guarded", Settings: []connector.Field{{Name: "token", Secret: true}}}
}
func (guarded) Open(connector.Account) (connector.Session, error) { return nil, io.EOF }

// What a connector sends and gets through its account's client is in the log, with what it was about and without secrets.
func TestExchangesWithToolsAreLogged(t *testing.T) {
	t.Parallel()
	tool := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(http.StatusUnprocessableEntity)
		fmt.Fprintf(w, `{"echo":%q}`, body)
	}))
	defer tool.Close()
	s := sqlitetest.Open(t, sqlite.Options{Path: filepath.Join(t.TempDir(), "crosswalk.db")})
	defer s.Close() //nolint:errcheck // the test is over
	log := interactions.New(interactions.Config{Store: s})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		log.Run(ctx)
	}()
	in := store.Integration{ID: "guarded:1", EnvironmentID: "env", Tool: "guarded", Settings: []byte(`{"token":"hunter2hunter2"}`)}
	account, err := accounts(connector.NewRegistry(guarded{}), nil, outgoing.New(true), log)(in)
	if err != nil {
		t.Fatal(err)
	}
	defer account.HTTP.CloseIdleConnections()
	about, trail := log.Follow(t.Context(), "task_1", store.Range{Start: 3, Stop: 5})
	send := func(ctx context.Context) {
		t.Helper()
		request, err := http.NewRequestWithContext(ctx, http.MethodPut, tool.URL+"/skills?wstoken=hunter2hunter2&page=1", strings.NewReader("name=Java&p=hunter2hunter2"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer hunter2hunter2")
		response, err := account.HTTP.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
	send(about)
	trail.End()
	send(t.Context()) // outside of any task
	cancel()
	<-done
	list, err := s.Interactions(t.Context(), store.InteractionQuery{EnvironmentID: "env", IntegrationID: in.ID, Limit: 10})
	if err != nil || len(list.Interactions) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	i, err := s.Interaction(t.Context(), "env", trail.Last())
	if err != nil {
		t.Fatal(err)
	}
	if !i.Outbound || i.TaskID != "task_1" || i.Items != (store.Range{Start: 3, Stop: 5}) || i.Method != http.MethodPut || i.Status != 422 || !i.Failed || i.Took <= 0 ||
		!skill.IsID(i.ID) || i.URL != tool.URL+"/skills?wstoken=…&page=1" {
		t.Errorf("%+v", i)
	}
	if string(i.RequestBody) != "name=Java&p=…" || string(i.AnswerBody) != `{"echo":"name=Java&p=…"}` || strings.Contains(fmt.Sprintf("%+v", i), "hunter2") {
		t.Errorf("%s %s %v", i.RequestBody, i.AnswerBody, i.RequestHeader)
	}
}
