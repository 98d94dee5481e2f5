package dashboard_test

import (
	"database/sql"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// A form that is sent twice, as by a double click, makes one, and both answers lead there: the browser shows the second one.
func TestFormsSentTwice(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*server.Config){
		"SQLite": func(*server.Config) {},
		"PostgreSQL": func(c *server.Config) {
			c.Database, c.MasterKey = server.Database{URL: pgtest.Reused(t), Conns: 4}, auth.MasterKeySource{Value: auth.NewMasterKey()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, database)
			b, eve := s.user("ada", store.Member), s.user("eve", store.Member)
			number := func(path string) string {
				t.Helper()
				n := b.get(s.at(path)).Find("input[name=form]").AttrOr("value", "")
				if !skill.IsID(n) {
					t.Fatalf("%s: the form's number is %q", path, n)
				}
				return n
			}
			// twice sends a form two times at once, and tells what the answers show.
			twice := func(path, selector string, pairs ...string) string {
				t.Helper()
				var answers [2]page
				var both sync.WaitGroup
				for i := range answers {
					both.Go(func() { answers[i] = b.post(s.at(path), pairs...) })
				}
				both.Wait()
				first, second := answers[0].want(http.StatusOK, in(selector)).text(selector), answers[1].want(http.StatusOK).text(selector)
				if first == "" || first != second {
					t.Errorf("%s leads to %q and %q", path, first, second)
				}
				if third := b.post(s.at(path), pairs...).want(http.StatusOK).text(selector); third != first {
					t.Errorf("%s leads to %q and later to %q", path, first, third)
				}
				return first
			}
			keys := func(n int) []store.Key {
				t.Helper()
				list, err := s.srv.Store.Keys(t.Context(), s.env.ID)
				if err != nil || len(list) != n {
					t.Fatalf("there are %d keys, want %d: %v", len(list), n, err)
				}
				return list
			}
			integrations := func(n int) {
				t.Helper()
				if list, err := s.srv.Store.Integrations(t.Context(), s.env.ID); err != nil || len(list) != n {
					t.Fatalf("there are %d integrations, want %d: %v", len(list), n, err)
				}
			}

			form := []string{"form", number("/secrets/new"), "name", "nightly", "read", "1"}
			secret := twice("/secrets/new", "#key", form...)
			made := keys(1)[0]
			r := b.request(http.MethodGet, "/v1/check-api-key", nil)
			r.Header.Set("Authorization", "Bearer "+secret)
			b.do(r).want(http.StatusOK)
			// Another content is another key, and so is another's form, one without a number, and one with an old number.
			b.post(s.at("/secrets/new"), append(form, "write", "1")...).want(http.StatusOK, in("#key"))
			if other := eve.post(s.at("/secrets/new"), form...).want(http.StatusOK).text("#key"); other == secret {
				t.Error("somebody else is shown the key")
			}
			for range 2 {
				b.post(s.at("/secrets/new"), "name", "nightly", "read", "1").want(http.StatusOK, in("#key"))
				b.post(s.at("/secrets/new"), "form", skill.NewID(time.Now().Add(-25*time.Hour)), "name", "nightly", "read", "1").want(http.StatusOK, in("#key"))
			}
			keys(7)
			rotate := "/secrets/" + made.ID
			twice(rotate+"/rotate", "#key", "form", number(rotate), "overlap", "0s")
			if list := keys(8); !slices.ContainsFunc(list, func(k store.Key) bool { return k.ID == made.ID && !k.ExpiresAt.IsZero() }) {
				t.Errorf("the old key does not end: %+v", list)
			}
			// A key that is over is not shown.
			b.post(s.at(rotate+"/revoke"), "name", "nightly").want(http.StatusOK)
			b.post(s.at("/secrets/new"), form...).want(http.StatusOK, in("h1", "nightly"), in(".notice", "has made this key already"), not("body", secret))

			form = []string{"form", number("/integrations/new?tool=sandbox"), "tool", "sandbox", "customer", "Acme GmbH", "set.api_key", "good"}
			id := twice("/integrations/new", ".lede .id", form...)
			integrations(1)
			b.get(s.at("/integrations/"+id)).want(http.StatusOK, in("h1", "Acme GmbH"))
			b.post(s.at("/integrations/"+id+"/settings"), "set.latency", "1ms").want(http.StatusOK) // the credentials can be opened
			b.post(s.at("/integrations/new"), append(form, "set.latency", "2ms")...).want(http.StatusOK, in("h1", "Acme GmbH"))
			integrations(2)

			links := func() (n int) {
				t.Helper()
				all, err := s.srv.Store.AuditLog(t.Context(), store.AuditFilter{Limit: 1000})
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range all {
					if e.Failed == "" && (e.Action == store.Connect.Action() || e.Action == store.Relink.Action()) {
						n++
					}
				}
				return n
			}
			form = []string{"form", number("/integrations/link"), "customer", "Globex", "email", "anna@globex.example", "tool", "HRIS"}
			address := twice("/integrations/link", "#link", form...)
			s.visitor().get(strings.TrimPrefix(address, s.srv.URL)).want(http.StatusOK, in("body", "Globex"))
			twice("/integrations/"+id+"/link", "#link", "form", number("/integrations/"+id))
			b.post(s.at("/integrations/link"), append(form, "language", "de")...).want(http.StatusOK, in("#link"))
			if n := links(); n != 3 {
				t.Errorf("%d links were made, want 3", n)
			}

			refusing := s.connect("Initech", `{"refuse_names":"^Weld"}`)
			failed := s.push(refusing, items("Welding", "Go")...)
			s.ended(failed)
			again := twice("/tasks/"+failed+"/retry", "h1", "form", number("/tasks/"+failed))
			// From a page that was loaded anew they are sent anew, also when the first form was.
			b.post(s.at("/tasks/"+failed+"/retry"), "form", number("/tasks/"+failed)).want(http.StatusOK, in(".notice", "sent again"), not("h1", again))
			list, err := s.srv.Store.ListTasks(t.Context(), store.TaskFilter{EnvironmentID: s.env.ID, IntegrationID: refusing.ID, Limit: 10})
			if err != nil || len(list) != 3 {
				t.Errorf("there are %d tasks, want 3: %v", len(list), err)
			}
			// What could not be sent can be, from the same page, when it is mended.
			late := number("/tasks/" + failed)
			b.post(s.at("/integrations/"+refusing.ID+"/enabled"), "value", "false").want(http.StatusOK)
			b.post(s.at("/tasks/"+failed+"/retry"), "form", late).want(http.StatusConflict, in("h1", "switched off"))
			b.post(s.at("/integrations/"+refusing.ID+"/enabled"), "value", "true").want(http.StatusOK)
			twice("/tasks/"+failed+"/retry", "h1", "form", late)
		})
	}
}

// A form that is sent again when its link has expired leads on: it makes no other link, and is no fault of the server's.
func TestLinkFormSentLate(t *testing.T) {
	t.Parallel()
	var data string
	s := open(t, func(c *server.Config) { data = c.Database.Data })
	b := s.user("ada", store.Member)
	id := s.connect("Acme GmbH", "{}").ID
	db, err := sql.Open("sqlite", sqlite.DSN(filepath.Join(data, "crosswalk.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for path, to := range map[string]string{"/integrations/link": "Integrations", "/integrations/" + id: "Acme GmbH"} {
		form := []string{
			"form", b.get(s.at(path)).Find("input[name=form]").AttrOr("value", ""), "customer", "Globex", "email", "anna@globex.example", "tool", "HRIS",
		}
		if path != "/integrations/link" {
			path += "/link"
		}
		b.post(s.at(path), form...).want(http.StatusOK, in("#link"))
		if _, err := db.ExecContext(t.Context(), "UPDATE connect_links SET created_at = 1, expires_at = 2"); err != nil {
			t.Fatal(err)
		}
		b.post(s.at(path), form...).want(http.StatusOK, in("h1", to), in(".notice", "has made its link already"), not("body", s.srv.URL+"/connect/"))
	}
}
