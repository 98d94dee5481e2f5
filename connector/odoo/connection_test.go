package odoo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
)

// The address may be one that was copied from a browser.
func TestAddresses(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	for _, address := range []string{"", "/", "/odoo", "/odoo/action-512/3", "/web", "/web/login", "/json/2", "/jsonrpc", "/xmlrpc/2/common"} {
		s, err := odoo.New().Open(connector.Account{Settings: fake.Settings(connectortest.Base + address), HTTP: (&direct{t: t, handler: fake}).client()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.(connector.Checker).Check(t.Context()); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	// A part of a host's name, or of another path, is none of it.
	for address, want := range map[string]string{
		"https://odoo": "https://odoo/json/2/", "https://web.example.com": "https://web.example.com/json/2/", "https://example.com/webshop": "https://example.com/webshop/json/2/",
	} {
		asked := ""
		s, err := odoo.New().Open(connector.Account{Settings: fake.Settings(address), HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, errors.New("not there")
		})}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.(connector.Checker).Check(t.Context()); err == nil || !strings.HasPrefix(asked, want) {
			t.Errorf("%s: asked %s, %v", address, asked, err)
		}
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What is at the address may be no Odoo.
func TestNoOdoo(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.API, fake.Several = "auto", true
		s, _ := open(t, fake, http.NotFoundHandler())
		err := s.(connector.Checker).Check(t.Context())
		if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "no Odoo at this address") {
			t.Errorf("Check = %v", err)
		}
	})
}

// An Odoo that does not know /json/2 is spoken to through /jsonrpc, from then on. It needs more settings; without them an error
// names them.
func TestAuto(t *testing.T) {
	t.Parallel()
	login := func(w http.ResponseWriter) { // Odoo 18 has pages under /json, for people
		w.Header().Set("Location", "/web/login?redirect=%2Fjson%2F2%2Fhr.skill.type%2Fsearch_read")
		w.WriteHeader(http.StatusSeeOther)
	}
	for name, before := range map[string]func(http.ResponseWriter){"404": nil, "sign in": login} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, 17)
			fake.API = "auto"
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if before != nil && strings.HasPrefix(r.URL.Path, "/json/2/") {
					before(w)
					return
				}
				fake.ServeHTTP(w, r)
			})
			s, d := open(t, fake, handler)
			write(t, s, skills("a"))
			want := []string{"hr.skill.type.search_read", "common.authenticate", "hr.skill.type.search_read", "hr.skill.type.load", "hr.skill.load"}
			if diff := cmp.Diff(want, d.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Without a login there is only /json/2. Why there is none is told, and a database that is away for a moment is waited for.
func TestWithoutALogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version  int
		change   func(*odootest.Server)
		database string
		kind     connector.Kind
		words    string
	}{
		"an older Odoo":                {17, func(*odootest.Server) {}, "", connector.Credentials, "the settings database and login are needed"},
		"several databases":            {19, func(s *odootest.Server) { s.Several = true }, "", connector.Credentials, "the setting database is needed"},
		"no such database":             {19, func(*odootest.Server) {}, "amce", connector.Credentials, `no database "amce"`},
		"an outage":                    {19, func(s *odootest.Server) { s.Outage = true }, "", connector.Away, "cannot use its database"},
		"an outage of a named one":     {19, func(s *odootest.Server) { s.Outage = true }, "acme", connector.Away, "cannot use its database"},
		"nobody may ask for databases": {19, func(s *odootest.Server) { s.Several, s.Discreet = true, true }, "", connector.Away, "has several of which"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, test.version)
			test.change(fake)
			settings := fmt.Sprintf(`{"address":%q,"api_key":%q,"database":%q}`, connectortest.Base, fake.Key, test.database)
			s, err := odoo.New().Open(connector.Account{Settings: json.RawMessage(settings), HTTP: (&direct{t: t, handler: fake}).client()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Write(t.Context(), skills("a"))
			if e := connector.AsError(err); e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.words) {
				t.Errorf("Write = %v", err)
			}
			if fake.Outage { // and when it is over, /json/2 is there
				fake.Outage = false
				write(t, s, skills("a"))
			}
		})
	}
	// With the database's name, /json/2 knows which is meant.
	fake := odootest.New(t, 19)
	fake.Several = true
	s, _ := open(t, fake, fake)
	write(t, s, skills("a"))
}

// A page that is missing once /json/2 has answered is no older Odoo: so Odoo 19 answers while it cannot use its database.
func TestNoFallbackLater(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	gone := true
	fake.API = "json2"
	never, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
	}))
	_, err := never.Write(t.Context(), skills("a"))
	if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "there is no /json/2 here") {
		t.Errorf("Write = %v", err)
	}
	fake.API, gone = "auto", false
	s, d := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	write(t, s, skills("a"))
	gone = true
	_, err = s.Write(t.Context(), skills("b"))
	if e := connector.AsError(err); e == nil || e.Kind != connector.Away || slices.Contains(d.calls, "common.authenticate") {
		t.Errorf("Write = %v; calls %v", err, d.calls)
	}
	gone = false
	write(t, s, skills("b"))
}

// An address that has moved is said to have moved, and where to.
func TestMoved(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://erp.example.com"+r.URL.Path, http.StatusMovedPermanently)
		}))
		err := s.(connector.Checker).Check(t.Context())
		if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "https://erp.example.com/json") {
			t.Errorf("Check = %v", err)
		}
	})
}

// The app may not be installed.
func TestWithoutTheApp(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		version int
		answer  string
	}{
		// In the language of the user.
		{17, `{"jsonrpc":"2.0","id":1,"error":{"code":200,"message":"Odoo Server Error","data":{"name":"odoo.exceptions.UserError","message":"L'objet hr.skill.type n'existe pas"}}}`},
		{17, `{"jsonrpc":"2.0","id":1,"error":{"code":200,"message":"Odoo Server Error","data":{"name":"odoo.exceptions.UserError","message":"Object hr.skill.type doesn't exist"}}}`},
		{19, `{"name":"werkzeug.exceptions.NotFound","message":"the model 'hr.skill.type' does not exist","arguments":[],"context":{}}`},
	} {
		version, answer := of.version, of.answer
		t.Run(fmt.Sprint(version, " ", answer), func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, version)
			s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if methodOf(t, r) == "common.authenticate" {
					fake.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json; charset=utf-8")
				if version == 19 {
					w.WriteHeader(http.StatusNotFound)
				}
				fmt.Fprint(w, answer)
			}))
			for what, err := range map[string]error{
				"Write": func() error { _, err := s.Write(t.Context(), skills("a")); return err }(),
				"Check": s.(connector.Checker).Check(t.Context()),
			} {
				if e := connector.AsError(err); e == nil || e.Kind != connector.Unsupported || !strings.Contains(e.Message, "Skills Management (module hr_skills) is not installed") {
					t.Errorf("%s = %v", what, err)
				}
			}
		})
	}
}

// loads answers a load in the place of Odoo: version 17 with that member of its envelope, a later one with that body and status.
func loads(t *testing.T, fake *odootest.Server, version, status int, member, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if methodOf(t, r) != "hr.skill.load" {
			fake.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if version == 17 {
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,%s}`, member)
			return
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

// Exceptions of a database in trouble: what was begun is forgotten, and later it will go.
func TestExceptions(t *testing.T) {
	t.Parallel()
	for exception, want := range map[string]connector.Kind{
		`"psycopg2.errors.SerializationFailure","message":"could not serialize access due to concurrent update"`: connector.Away,
		`"psycopg2.OperationalError","message":"connection to server failed: Connection refused"`:                connector.Away,
		`"psycopg2.pool.PoolError","message":"The Connection Pool Is Full"`:                                      connector.Away,
		`"odoo.exceptions.ConcurrencyError","message":"Record was modified"`:                                     connector.Away,
		`"odoo.exceptions.LockError","message":"Cannot grab a lock on records"`:                                  connector.Away,
		`"psycopg2.errors.DeadlockDetected","message":"deadlock detected"`:                                       connector.Away,
		`"odoo.exceptions.AccessDenied","message":"Access Denied"`:                                               connector.Credentials,
		`"odoo.exceptions.AccessError","message":"no"`:                                                           connector.Permission,
		`"odoo.exceptions.ValidationError","message":"no"`:                                                       connector.Refused,
		`"builtins.ZeroDivisionError","message":"division by zero"`:                                              connector.Unexpected,
	} {
		for _, version := range []int{17, 19} {
			t.Run(fmt.Sprint(version, " ", exception), func(t *testing.T) {
				t.Parallel()
				fake := odootest.New(t, version)
				s, _ := open(t, fake, loads(t, fake, version, http.StatusInternalServerError,
					fmt.Sprintf(`"error":{"code":200,"message":"Odoo Server Error","data":{"name":%s,"debug":"password"}}`, exception),
					fmt.Sprintf(`{"name":%s,"debug":"password"}`, exception)))
				_, err := s.Write(t.Context(), skills("a"))
				if e := connector.AsError(err); e == nil || e.Kind != want || e.Message == "" || strings.Contains(err.Error(), "password") {
					t.Errorf("Write = %v, want the kind %s", err, want)
				}
			})
		}
	}
}

// Answers of a load that leave something open.
func TestUnclearAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]connector.Kind{
		`{"ids":[1],"messages":[]}`:       connector.Ambiguous,
		`{"ids":[1,2,3],"messages":[]}`:   connector.Ambiguous,
		`{"ids":[1,0],"messages":[]}`:     connector.Ambiguous,
		`{"ids":[1,false],"messages":[]}`: connector.Ambiguous,
		`{"ids":null}`:                    connector.Ambiguous,
		`{}`:                              connector.Ambiguous,
		`null`:                            connector.Ambiguous,
		`[]`:                              connector.Ambiguous,
		`{"ids":false,"messages":[]}`:     connector.Refused, // nothing was done, and nobody says why
		`{"ids":false}`:                   connector.Refused,
		`{"ids":false,"messages":[{"type":"error","message":"no"}]}`:                                                                                                                                                          connector.Refused,
		`{"ids":false,"messages":[{"type":"error","record":7,"message":"no"}]}`:                                                                                                                                               connector.Refused,
		`{"ids":false,"messages":[{"type":"warning","record":0,"message":"no"}]}`:                                                                                                                                             connector.Refused,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"Unknown database error: 'x'"}]}`:                                                                                                                      connector.Refused,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"Due to security restrictions, you are not allowed to modify 'Skill' (hr.skill) records."}]}`:                                                          connector.Permission,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"deadlock detected"}]}`:                                                                                                                                connector.Away,
		`{"ids":false,"messages":[{"type":"error","record":1,"message":"x","field":"name"},{"type":"error","record":0,"message":"duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\""}]}`: connector.Away,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"Uh-oh! Looks like you have stumbled upon some top-secret records.\n\nSorry, HR (id=6) doesn't have 'write' access to:\n- Skill (hr.skill)"}]}`:        connector.Permission,
	} {
		for _, version := range []int{17, 19} {
			t.Run(fmt.Sprint(version, " ", answer), func(t *testing.T) {
				t.Parallel()
				fake := odootest.New(t, version)
				s, _ := open(t, fake, loads(t, fake, version, http.StatusOK, `"result":`+answer, answer))
				results, err := s.Write(t.Context(), skills("a", "b"))
				if e := connector.AsError(err); e == nil || e.Kind != want || e.Message == "" || len(results) != 0 {
					t.Errorf("Write = %+v, %v, want the kind %s", results, err, want)
				}
			})
		}
	}
}

// Two integrations with one module share their skills; with two they know nothing of each other.
func TestModules(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		of := func(module string) connector.Session {
			t.Helper()
			var set map[string]any
			if err := json.Unmarshal(fake.Settings(connectortest.Base), &set); err != nil {
				t.Fatal(err)
			}
			set["external_id_module"] = module
			raw, err := json.Marshal(set)
			if err != nil {
				t.Fatal(err)
			}
			s, err := odoo.New().Open(connector.Account{Settings: raw, HTTP: (&direct{t: t, handler: fake}).client()})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first := write(t, of("crosswalk"), skills("a"))["id/a"].RemoteID
		if got := write(t, of("crosswalk"), skills("a"))["id/a"].RemoteID; got != first {
			t.Errorf("the same module: %s and %s", first, got)
		}
		if got := write(t, of("staging"), skills("a"))["id/a"].RemoteID; got == first {
			t.Errorf("another module: %s as well", got)
		}
		found, err := of("staging").(connector.Finder).Find(t.Context(), skills("a"))
		if err != nil || len(found) != 1 || found[0].RemoteID == first {
			t.Errorf("Find = %+v, %v", found, err)
		}
	})
}
