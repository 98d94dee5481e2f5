package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

func TestSetUpWorksOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	link := strings.TrimPrefix(s.srv.SetupLink, s.srv.URL)
	if !strings.HasPrefix(link, "/setup?token=") {
		t.Fatalf("the link is %q", s.srv.SetupLink)
	}
	token := strings.TrimPrefix(link, "/setup?token=")
	b := s.visitor()
	b.get("/").want(http.StatusOK, in("h1", "Sign in"), in("main", "Nobody can sign in yet"), not("form"))
	b.get("/setup?token=wrong").want(http.StatusNotFound, in("h1", "not good any more"))
	b.post("/setup", "token", "wrong", "name", "eve", "password", password).want(http.StatusNotFound)
	b.get(link).want(http.StatusOK, in("h1", "Welcome"), in("form label", "Name", "Password"))
	b.post("/setup", "token", token, "name", "ada", "password", "short").want(http.StatusUnprocessableEntity, in(".wrong", "12 at least"), not("main", "short"))
	b.post("/setup", "token", token, "name", "a b", "password", password).want(http.StatusUnprocessableEntity, in(".wrong", "no spaces"))
	b.post("/setup", "token", token, "name", " Ada@Example.com ", "password", password).want(http.StatusOK, in("h1", "Overview"), in(".who", "ada@example.com"))

	other := s.visitor()
	other.get(link).want(http.StatusNotFound)
	other.post("/setup", "token", token, "name", "eve", "password", password).want(http.StatusNotFound)
	users, err := s.srv.Store.Users(t.Context())
	if err != nil || len(users) != 1 || users[0].Role != store.Owner || !strings.HasPrefix(users[0].Password, "$argon2id$") {
		t.Errorf("users: %+v, %v", users, err)
	}
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody tr", "ada@example.com", "set the server up", "127.0.0.1"))
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.addUser("ada", store.Owner)
	b := s.visitor()
	b.get(s.at("/tasks?state=failures")).want(http.StatusOK, in("h1", "Sign in"))
	const wrong = "No user has this name and this password"
	b.post("/sign-in", "name", "ada", "password", "wrong password").want(http.StatusUnprocessableEntity, in(".wrong", wrong))
	b.post("/sign-in", "name", "nobody", "password", password).want(http.StatusUnprocessableEntity, in(".wrong", wrong))
	p := b.post("/sign-in", "name", " ADA ", "password", password, "next", s.at("/tasks?state=failures"))
	p.want(http.StatusOK, in("h1", "Tasks"), in(".who", "ada"))
	if p.path != s.at("/tasks?state=failures") {
		t.Errorf("signed in to %s", p.path)
	}
	for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "evil"} {
		if p := s.visitor().post("/sign-in", "name", "ada", "password", password, "next", to); p.path != s.at("/") {
			t.Errorf("next=%q led to %s", to, p.path)
		}
	}
	b.post("/sign-out").want(http.StatusOK, in("h1", "Sign in"))
	b.get(s.at("/tasks")).want(http.StatusOK, in("h1", "Sign in"))
}

// A token that somebody planted before is worth nothing after, nor is the one of a session that ended.
func TestSessionIsRenewedAtSignIn(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.addUser("ada", store.Owner)
	b := s.visitor()
	u, err := url.Parse(s.srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	token := func() string {
		for _, c := range b.client.Jar.Cookies(u) {
			if c.Name == "crosswalk" {
				return c.Value
			}
		}
		return ""
	}
	const planted = "cGxhbnRlZC1ieS1zb21lYm9keS1lbHNlLXBsYW50ZWQ"
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "crosswalk", Value: planted, Path: "/"}})
	b.post("/sign-in", "name", "ada", "password", password).want(http.StatusOK, in(".who", "ada"))
	first := token()
	if first == planted || first == "" {
		t.Fatalf("the token is %q", first)
	}
	thief := s.visitor()
	thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: "crosswalk", Value: planted, Path: "/"}})
	thief.get("/account/").want(http.StatusOK, in("h1", "Sign in"))
	// Signing in again within a session renews it, too.
	b.post("/sign-in", "name", "ada", "password", password).want(http.StatusOK)
	if token() == first {
		t.Error("the token stayed the same")
	}
	thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: "crosswalk", Value: first, Path: "/"}})
	thief.get("/account/").want(http.StatusOK, in("h1", "Sign in"))
	// The database holds hashes of tokens alone.
	if _, found, err := s.srv.Store.Session(t.Context(), token()); err != nil || found {
		t.Errorf("a token is kept as it is: %v, %v", found, err)
	}
	last := token()
	b.post("/sign-out")
	thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: "crosswalk", Value: last, Path: "/"}})
	thief.get("/account/").want(http.StatusOK, in("h1", "Sign in"))
}

func TestCookies(t *testing.T) {
	t.Parallel()
	for public, want := range map[string][]string{
		"":                           {"crosswalk=", "Path=/", "HttpOnly", "SameSite=Lax"},
		"https://skills.example.com": {"__Host-crosswalk=", "Path=/", "HttpOnly", "SameSite=Lax", "Secure"},
	} {
		t.Run(public, func(t *testing.T) {
			t.Parallel()
			s := open(t, func(c *server.Config) { c.PublicURL = public })
			s.addUser("ada", store.Owner)
			b := s.visitor()
			b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			p := b.post("/sign-in", "name", "ada", "password", password)
			cookie := p.header.Get("Set-Cookie")
			for _, w := range want {
				if !strings.Contains(cookie, w) {
					t.Errorf("the cookie is %q, want %q in it", cookie, w)
				}
			}
			if strings.Contains(cookie, "Secure") != (public != "") || strings.Contains(cookie, "Domain") {
				t.Errorf("the cookie is %q", cookie)
			}
			if hsts := p.header.Get("Strict-Transport-Security"); (hsts != "") != (public != "") {
				t.Errorf("Strict-Transport-Security is %q", hsts)
			}
		})
	}
}

func TestAttemptsAreLimited(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.addUser("ada", store.Owner)
	s.addUser("bob", store.Owner)
	b := s.visitor()
	for range 5 {
		b.post("/sign-in", "name", "ada", "password", "wrong password").want(http.StatusUnprocessableEntity)
	}
	p := b.post("/sign-in", "name", "ada", "password", password).want(http.StatusTooManyRequests, in(".wrong", "15 minutes"))
	if p.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	b.post("/sign-in", "name", "bob", "password", password).want(http.StatusOK, in(".who", "bob"))
	for n := range 30 { // those of an address, whatever they try
		if p := s.visitor().post("/sign-in", "name", strings.Repeat("x", n+1), "password", password); p.status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("an address may try for ever")
}

func TestEndOfSessions(t *testing.T) {
	t.Parallel()
	s := open(t)
	owner := s.user("ada", store.Owner)
	for name, end := range map[string]func(id string, b *browser){
		"signed out everywhere": func(_ string, b *browser) { b.post("/account/sign-out-everywhere").want(http.StatusOK) },
		"signed out by an owner": func(id string, _ *browser) {
			owner.post(s.at("/settings/users/"+id+"/sign-out")).want(http.StatusOK, in(".notice", "signed out everywhere"))
		},
		"a new password from an owner": func(id string, _ *browser) {
			owner.post(s.at("/settings/users/"+id+"/password"), "password", "another "+password).want(http.StatusOK, in(".notice", "changed"))
		},
		"deleted": func(id string, _ *browser) {
			u, err := s.srv.Store.User(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			owner.post(s.at("/settings/users/"+id+"/delete"), "name", u.Name).want(http.StatusOK, in(".notice", "deleted"))
		},
	} {
		user := strings.ReplaceAll(name, " ", "-")
		one := s.user(user, store.Member)
		u, err := s.srv.Store.UserByName(t.Context(), user)
		if err != nil {
			t.Fatal(err)
		}
		two := s.visitor()
		two.post("/sign-in", "name", user, "password", password).want(http.StatusOK, in(".who", user))
		end(u.ID, one)
		for _, b := range []*browser{one, two} {
			b.get("/account/").want(http.StatusOK, in("h1", "Sign in"))
		}
	}
}

// A sign-in is on disk before the session begins.
func TestSignInsAreRecorded(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	s.visitor().post("/sign-in", "name", "ada", "password", "wrong wrong wrong").want(http.StatusUnprocessableEntity)
	b.get(s.at("/audit")).want(http.StatusOK, count("tbody tr", 1), in("tbody tr", "ada", "signed in: with a password", "127.0.0.1"))
}

func TestChangeOfPassword(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	other := s.visitor()
	other.post("/sign-in", "name", "ada", "password", password)
	b.post("/account/password", "old-password", "wrong", "new-password", "a new "+password).want(http.StatusUnprocessableEntity, in(".wrong", "not your password"))
	b.post("/account/password", "old-password", password, "new-password", "short").want(http.StatusUnprocessableEntity, in(".wrong", "12 at least"))
	b.post("/account/password", "old-password", password, "new-password", "a new "+password).want(http.StatusOK, in(".notice", "is changed"), in(".who", "ada"))
	other.get("/account/").want(http.StatusOK, in("h1", "Sign in"))
	s.visitor().post("/sign-in", "name", "ada", "password", password).want(http.StatusUnprocessableEntity)
	s.visitor().post("/sign-in", "name", "ada", "password", "a new "+password).want(http.StatusOK, in(".who", "ada"))
}

// routes are all that change something, with what they need to be found.
func routes(s *site, integration, task, key, user string) map[string]store.Role {
	return map[string]store.Role{
		s.at("/secrets/new"):                               store.Member,
		s.at("/secrets/" + key + "/rotate"):                store.Member,
		s.at("/secrets/" + key + "/revoke"):                store.Member,
		s.at("/integrations/new"):                          store.Member,
		s.at("/integrations/" + integration + "/settings"): store.Member,
		s.at("/integrations/" + integration + "/test"):     store.Member,
		s.at("/integrations/" + integration + "/enabled"):  store.Member,
		s.at("/integrations/" + integration + "/delete"):   store.Member,
		s.at("/tasks/" + task + "/retry"):                  store.Member,
		s.at("/tasks/" + task + "/cancel"):                 store.Member,
		s.at("/integrations/link"):                         store.Member,
		s.at("/integrations/" + integration + "/link"):     store.Member,
		s.at("/settings/environments"):                     store.Owner,
		s.at("/settings/connect"):                          store.Owner,
		s.at("/settings/rename"):                           store.Owner,
		s.at("/settings/delete"):                           store.Owner,
		s.at("/settings/erase"):                            store.Owner,
		s.at("/settings/users"):                            store.Owner,
		s.at("/settings/users/" + user + "/role"):          store.Owner,
		s.at("/settings/users/" + user + "/password"):      store.Owner,
		s.at("/settings/users/" + user + "/sign-out"):      store.Owner,
		s.at("/settings/users/" + user + "/delete"):        store.Owner,
	}
}

func TestRoles(t *testing.T) {
	t.Parallel()
	s := open(t)
	in1 := s.connect("Acme GmbH", `{"refuse_names":"Welding"}`)
	task := s.push(in1, items("Go", "Welding")...)
	s.ended(task)
	_, key := s.apiKey("nightly")
	ada := s.addUser("ada", store.Owner)
	users := map[store.Role]*browser{store.Viewer: s.user("vera", store.Viewer), store.Member: s.user("mo", store.Member)}
	for role, b := range users {
		for path, needs := range routes(s, in1.ID, task, key.ID, ada.ID) {
			if role < needs {
				b.post(path, "name", "x", "role", "owner", "password", password, "overlap", "24h").want(http.StatusForbidden, in("h1", "more than a "+role.String()))
			}
		}
	}
	// Nothing of it was done.
	if entries := s.audited(); len(entries) != 0 {
		t.Errorf("the audit log: %+v", entries)
	}
	viewer := users[store.Viewer]
	for _, path := range []string{"/", "/tasks", "/tasks/" + task, "/skills", "/integrations", "/integrations/" + in1.ID, "/secrets", "/secrets/" + key.ID, "/settings", "/audit"} {
		viewer.get(s.at(path)).want(http.StatusOK, not("main form[method=post]"), not("main a.primary"))
	}
	for _, path := range []string{"/secrets/new", "/integrations/new", "/integrations/link"} {
		viewer.get(s.at(path)).want(http.StatusForbidden)
	}
	// Whoever is not signed in changes nothing either.
	for path := range routes(s, in1.ID, task, key.ID, ada.ID) {
		s.visitor().post(path, "name", "x").want(http.StatusOK, in("h1", "Sign in"))
	}
}

// A viewer who follows every link of every page, in an environment that is in use and in an empty one, is never told that it may not.
func TestViewerIsLedNowhereForbidden(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("vera", store.Viewer)
	acme, broken := s.connect("Acme GmbH", `{"refuse_names":"Welding"}`), s.connect("Globex", `{"refuse_credentials":true}`)
	s.ended(s.push(acme, items("Go", "Welding")...))
	s.ended(s.push(broken, items("Go")...))
	s.logged(store.InteractionQuery{Outbound: true, Failed: true}, 2) // pages lead to them
	s.apiKey("nightly")
	empty, err := s.srv.Store.CreateEnvironment(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, from := range []string{s.at("/"), "/e/" + empty.ID + "/"} {
		for todo := []string{from}; len(todo) > 0; todo = todo[1:] {
			at, _, _ := strings.Cut(todo[0], "#")
			here, err := url.Parse(at)
			if err != nil {
				t.Fatal(err)
			}
			if seen[at] || strings.HasPrefix(here.Path, "/static/") {
				continue
			}
			seen[at] = true
			p := b.get(at)
			if p.status != http.StatusOK {
				t.Errorf("%s answers %d: %s", at, p.status, p.text("h1"))
			}
			for _, e := range p.Find("a[href]").EachIter() {
				to, err := here.Parse(e.AttrOr("href", ""))
				if err != nil {
					t.Errorf("%s: %v", at, err)
				} else if to.Host == "" {
					todo = append(todo, to.RequestURI())
				}
			}
		}
	}
	for _, path := range []string{"/", "/tasks", "/skills", "/integrations", "/logs", "/secrets", "/settings", "/audit"} {
		if !seen[s.at(path)] || !seen["/e/"+empty.ID+path] {
			t.Errorf("no link leads to %s", path)
		}
	}
}

// What no database takes as a text is in none: there is nothing at such an address, and such a filter finds nothing or is passed over.
func TestTextsThatNoDatabaseTakes(t *testing.T) {
	t.Parallel()
	for name, database := range map[string]func(*server.Config){
		"SQLite":     func(*server.Config) {},
		"PostgreSQL": func(c *server.Config) { c.Database = server.Database{URL: pgtest.Reused(t), Conns: 4} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, database)
			b := s.user("ada", store.Owner)
			acme := s.connect("Acme GmbH", `{}`)
			for _, bad := range []string{"a%00", "a%FF"} {
				for _, path := range []string{
					"/tasks/" + bad, "/logs/" + bad, "/e/" + bad + "/", s.at("/tasks/" + bad), s.at("/tasks/" + bad + "/events"), s.at("/tasks/" + bad + "/items.csv"),
					s.at("/integrations/" + bad), s.at("/secrets/" + bad), s.at("/logs/" + bad),
				} {
					b.get(path).want(http.StatusNotFound)
				}
				for path := range routes(s, bad, bad, bad, bad) {
					if strings.Contains(path, bad) {
						b.post(path, "name", "x", "role", "viewer", "password", password, "overlap", "24h").want(http.StatusNotFound)
					}
				}
				all := ""
				for _, name := range []string{"q", "state", "integration", "within", "sort", "before", "after", "origin_id", "task", "item", "way", "status", "of", "all", "next", "tool"} {
					all += "&" + name + "=" + bad
				}
				for _, path := range []string{"/", "/tasks", "/tasks?sort=received", "/skills", "/integrations", "/integrations/new", "/logs", "/audit", "/secrets", "/settings"} {
					if path, query, _ := strings.Cut(path, "?"); b.get(s.at(path)+"?"+query+all).status >= 500 {
						t.Errorf("%s fails with a filter that is no text", path)
					}
				}
				b.get(s.at("/audit?before=" + bad)).want(http.StatusOK)
				b.get(s.at("/skills/one?integration=" + acme.ID + "&origin_id=" + bad)).want(http.StatusNotFound)
				text, err := url.QueryUnescape(bad)
				if err != nil {
					t.Fatal(err)
				}
				b.post(s.at("/integrations/new"), "tool", "sandbox", "customer", text).want(http.StatusUnprocessableEntity)
				b.post(s.at("/secrets/new"), "name", text, "read", "1").want(http.StatusUnprocessableEntity)
				if p := s.visitor().post("/sign-in", "name", text, "password", password); p.status >= 500 {
					t.Errorf("signing in with a name that is no text answers %d", p.status)
				}
				if p := b.post(s.at("/settings/users"), "name", text, "role", "viewer", "password", password); p.status >= 500 {
					t.Errorf("a user whose name is no text is answered with %d", p.status)
				}
				for _, path := range []string{"/integrations/new", "/integrations/" + acme.ID + "/settings"} {
					if p := b.post(s.at(path), "tool", "sandbox", "customer", "Acme GmbH", "email", text, "origin_id", text, "set.refuse_names", text, "set.api_key", text); p.status >= 500 {
						t.Errorf("%s answers %d to settings that are no text", path, p.status)
					}
				}
			}
		})
	}
}

// A form that another site sends does nothing, whatever cookies come with it.
func TestFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	s := open(t)
	owner := s.user("ada", store.Owner)
	bob := s.addUser("bob", store.Viewer)
	in1 := s.connect("Acme GmbH", `{"refuse_names":"Welding"}`)
	task := s.push(in1, items("Welding")...)
	s.ended(task)
	_, key := s.apiKey("nightly")
	paths := routes(s, in1.ID, task, key.ID, bob.ID)
	for _, path := range []string{"/sign-in", "/sign-out", "/setup", "/account/password", "/account/sign-out-everywhere"} {
		paths[path] = store.Owner
	}
	for path := range paths {
		for name, header := range map[string]http.Header{
			"another site":        {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}},
			"another port":        {"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://127.0.0.1:1"}},
			"an old browser":      {"Origin": {"https://evil.example"}},
			"a page of no origin": {"Sec-Fetch-Site": {"cross-site"}, "Origin": {"null"}},
		} {
			r := owner.request(http.MethodPost, path, url.Values{"name": {"nightly"}, "role": {"owner"}, "password": {password}})
			r.Header.Del("Sec-Fetch-Site")
			for k, v := range header {
				r.Header[k] = v
			}
			if p := owner.do(r); p.status != http.StatusForbidden || !strings.Contains(p.text("h1"), "not sent from a page of this server") {
				t.Errorf("%s to %s: %d %s", name, path, p.status, p.text("h1"))
			}
		}
	}
	if entries := s.audited(); len(entries) != 0 {
		t.Errorf("the audit log: %+v", entries)
	}
	owner.get("/account/").want(http.StatusOK, in(".who", "ada"))
}

// Nothing of one environment is found under another's address.
func TestOtherEnvironments(t *testing.T) {
	t.Parallel()
	s := open(t)
	owner := s.user("ada", store.Owner)
	in1 := s.connect("Zenith AG", `{"refuse_names":"Welding"}`)
	task := s.push(in1, items("Go", "Welding")...)
	s.ended(task)
	_, key := s.apiKey("nightly")
	other, err := s.srv.Store.CreateEnvironment(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	there := func(path string) string { return "/e/" + other.ID + path }
	for _, path := range []string{
		"/tasks/" + task, "/tasks/" + task + "/items.csv", "/tasks/" + task + "/events", "/integrations/" + in1.ID, "/secrets/" + key.ID,
		"/skills/one?integration=" + url.QueryEscape(in1.ID) + "&origin_id=id-1",
	} {
		owner.get(s.at(path))
		owner.get(there(path)).want(http.StatusNotFound, not("main", "Zenith"), not("main", "nightly"))
	}
	for _, path := range []string{
		"/tasks/" + task + "/retry", "/tasks/" + task + "/cancel", "/integrations/" + in1.ID + "/settings", "/integrations/" + in1.ID + "/test", "/integrations/" + in1.ID + "/enabled",
		"/integrations/" + in1.ID + "/delete", "/integrations/" + in1.ID + "/link", "/secrets/" + key.ID + "/rotate", "/secrets/" + key.ID + "/revoke",
	} {
		owner.post(there(path), "name", "nightly", "overlap", "0s", "value", "false").want(http.StatusNotFound)
	}
	for _, path := range []string{"/", "/tasks", "/skills", "/integrations", "/secrets", "/tasks?integration=" + in1.ID, "/skills?integration=" + in1.ID} {
		owner.get(there(path)).want(http.StatusOK, not("main tbody"), not("main", "Zenith"))
	}
	owner.get("/e/none/").want(http.StatusNotFound)
	owner.get("/e/none/tasks").want(http.StatusNotFound)
	if p := owner.get("/tasks/" + task).want(http.StatusOK); p.path != s.at("/tasks/"+task) {
		t.Errorf("a task's short address leads to %s", p.path)
	}
	owner.get("/tasks/" + skill.NewTaskID(s.env.CreatedAt)).want(http.StatusNotFound)
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Owner)
	p := b.get(s.at("/"))
	csp := p.header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "form-action 'self'"} {
		if !strings.Contains(csp, want) {
			t.Errorf("the policy is %q, want %q in it", csp, want)
		}
	}
	if strings.Contains(csp, "unsafe") || p.header.Get("Cache-Control") == "" || p.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("headers: %v", p.header)
	}
	for _, selector := range []string{"link[rel=stylesheet]", "script", "link[rel=icon]"} {
		e := p.Find(selector)
		file := b.get(e.AttrOr("href", e.AttrOr("src", "")))
		if file.status != http.StatusOK || !strings.Contains(file.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", selector, file.status, file.header)
		}
	}
	b.get("/static/app.css").want(http.StatusNotFound)
}

func TestWithoutADashboard(t *testing.T) {
	t.Parallel()
	s := open(t, func(c *server.Config) { c.Dashboard = false })
	for _, path := range []string{"/", "/sign-in", s.at("/")} {
		if p := s.visitor().get(path); p.status != http.StatusNotFound || p.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, p.status, p.header.Get("Content-Type"))
		}
	}
	if s.srv.SetupLink != "" {
		t.Error("a set-up link was made")
	}
}
