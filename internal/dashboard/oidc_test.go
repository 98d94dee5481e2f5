package dashboard_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"

	"github.com/crosswalk-hr/crosswalk/internal/dashboard"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const callback = "/sign-in/oidc/callback"

// signingKey is made once, since that takes time.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// idp is an OpenID provider of the test's own.
type idp struct {
	*mockoidc.MockOIDC
	// bent takes over an answer, if it reports so.
	bent atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
}

func openIDP(t *testing.T) *idp {
	t.Helper()
	key, err := signingKey()
	if err != nil {
		t.Fatal(err)
	}
	m, err := mockoidc.NewServer(key)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{MockOIDC: m}
	if err := m.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if bent := p.bent.Load(); bent != nil && (*bent)(w, r) {
				return
			}
			if id, secret, ok := r.BasicAuth(); ok { // it says it takes this, but reads the form alone
				_ = r.ParseForm()
				r.Form.Set("client_id", id)
				r.Form.Set("client_secret", secret)
			}
			next.ServeHTTP(w, r)
		})
	}); err != nil {
		t.Fatal(err)
	}
	listen, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(listen, nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Server.Close() })
	return p
}

func (p *idp) bend(f func(http.ResponseWriter, *http.Request) bool) { p.bent.Store(&f) }

func (p *idp) settings() *dashboard.OpenIDSettings {
	return &dashboard.OpenIDSettings{
		Issuer: p.Issuer(), ClientID: p.ClientID, ClientSecret: p.ClientSecret, Name: "Acme ID", AllowedDomains: []string{"Example.com"}, Role: store.Viewer,
	}
}

func openWith(t *testing.T, p *idp, change ...func(*dashboard.OpenIDSettings)) *site {
	t.Helper()
	settings := p.settings()
	for _, f := range change {
		f(settings)
	}
	s := open(t, func(c *server.Config) { c.OpenID = settings })
	t.Cleanup(func() {
		if log := s.log.String(); strings.Contains(log, p.ClientSecret) {
			t.Errorf("the client secret is in the log: %s", log)
		}
	})
	s.addUser("root", store.Owner)
	return s
}

// someone is whom the provider vouches for. bend changes the ID token before it is signed.
type someone struct {
	*mockoidc.MockUser
	bend func(*mockoidc.IDTokenClaims)
}

func (s someone) Claims(scopes []string, c *mockoidc.IDTokenClaims) (jwt.Claims, error) {
	if s.bend != nil {
		s.bend(c)
	}
	return s.MockUser.Claims(scopes, c)
}

func verified(subject, email string) *mockoidc.MockUser {
	return &mockoidc.MockUser{Subject: subject, Email: email, EmailVerified: true}
}

// fly signs in at the provider, and gives the way back.
func (b *browser) fly(path string) *url.URL {
	b.t.Helper()
	b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
		if r.URL.Path == callback {
			return http.ErrUseLastResponse
		}
		return nil
	}
	p := b.get(path)
	b.client.CheckRedirect = nil
	back, err := url.Parse(p.header.Get("Location"))
	if err != nil || back.Path != callback {
		b.t.Fatalf("%s led to %d %s, not back: %s", path, p.status, p.path, p.text("main"))
	}
	return back
}

// stranger wants that nobody is signed in, and that a password still does it.
func (s *site) stranger(b *browser) {
	s.t.Helper()
	b.get("/account/").want(http.StatusOK, in("h1", "Sign in"), link("#provider", "/sign-in/oidc?next=%2faccount%2f"))
	b.post("/sign-in", "name", "root", "password", password).want(http.StatusOK, in(".who", "root"))
}

func TestOpenIDSignIn(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	s := openWith(t, p)
	ada := s.addUser("ada@example.org", store.Member)

	// By the address of a user, whatever its domain.
	p.QueueUser(verified("1", "Ada@Example.org"))
	b := s.visitor()
	b.get("/sign-in").want(http.StatusOK, in("#provider", "Sign in with Acme ID"), in("form", "Password"))
	b.get("/sign-in/oidc?next="+url.QueryEscape(s.at("/tasks?state=failures"))).want(http.StatusOK, in("h1", "Tasks"), in(".who", "ada@example.org"))
	// By the subject, whatever the address is now.
	p.QueueUser(verified("1", "ada.lovelace@elsewhere.example"))
	s.visitor().get("/sign-in/oidc").want(http.StatusOK, in("h1", "Overview"), in(".who", "ada@example.org"))
	// Somebody new.
	p.QueueUser(verified("2", "Bob@EXAMPLE.com"))
	bob := s.visitor()
	bob.get("/sign-in/oidc").want(http.StatusOK, in(".who", "bob@example.com"))
	bob.get(s.at("/secrets/new")).want(http.StatusForbidden)
	user, err := s.srv.Store.UserByName(t.Context(), "bob@example.com")
	if err != nil || user.Role != store.Viewer || user.Password != "" || user.SignedInAt.IsZero() {
		t.Errorf("made %+v, %v", user, err)
	}
	for _, guess := range []string{"", password} { // nobody signs in with a password that is none
		s.visitor().post("/sign-in", "name", "bob@example.com", "password", guess).want(http.StatusUnprocessableEntity)
	}
	if again, err := s.srv.Store.User(t.Context(), ada.ID); err != nil || again.Role != store.Member || again.Password != ada.Password {
		t.Errorf("ada is %+v, %v", again, err)
	}
	log, err := s.srv.Store.AuditLog(t.Context(), store.AuditFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range log {
		got = append(got, e.UserName+" "+e.Action)
		if e.Address != "127.0.0.1" || e.Failed != "" {
			t.Errorf("entry %+v", e)
		}
	}
	want := "bob@example.com user.sign-in, bob@example.com user.create, ada@example.org user.sign-in, ada@example.org user.sign-in, ada@example.org user.link"
	if strings.Join(got, ", ") != want {
		t.Errorf("the audit log has %q, want %q", got, want)
	}
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody", "signed in", "through Acme ID", "linked a sign-in"))
}

func TestOpenIDRefuses(t *testing.T) {
	t.Parallel()
	const bad = "Acme ID does not answer as it should"
	bent := func(f func(*mockoidc.IDTokenClaims)) someone { return someone{verified("1", "ada@example.com"), f} }
	for name, test := range map[string]struct {
		user   mockoidc.User
		status int
		text   string
		before func(*testing.T, *site, *idp)
	}{
		"an unverified address":      {user: &mockoidc.MockUser{Subject: "1", Email: "ada@example.com"}, status: 403, text: "verified"},
		"unverified, of a user":      {user: &mockoidc.MockUser{Subject: "1", Email: "root"}, status: 403, text: "verified"},
		"a name that is no address":  {user: verified("1", "root"), status: 403, text: "verified"},
		"no address":                 {user: &mockoidc.MockUser{Subject: "1", EmailVerified: true}, status: 403, text: "verified"},
		"a foreign domain":           {user: verified("1", "ada@evil.example"), status: 403, text: "An owner can make one"},
		"a domain beneath":           {user: verified("1", "ada@sub.example.com"), status: 403, text: "An owner can make one"},
		"a domain that begins so":    {user: verified("1", "ada@example.com.evil.example"), status: 403, text: "An owner can make one"},
		"two domains":                {user: verified("1", "ada@example.com@evil.example"), status: 403, text: "An owner can make one"},
		"a domain alone":             {user: verified("1", "example.com"), status: 403, text: "verified"},
		"an address that is no name": {user: verified("1", "a b@example.com"), status: 403, text: "no name"},
		"another nonce":              {user: bent(func(c *mockoidc.IDTokenClaims) { c.Nonce = "another" }), status: 502, text: bad},
		"no nonce":                   {user: bent(func(c *mockoidc.IDTokenClaims) { c.Nonce = "" }), status: 502, text: bad},
		"another issuer's token":     {user: bent(func(c *mockoidc.IDTokenClaims) { c.Issuer = "https://evil.example" }), status: 502, text: bad},
		"another client's token":     {user: bent(func(c *mockoidc.IDTokenClaims) { c.Audience = jwt.ClaimStrings{"other"} }), status: 502, text: bad},
		"a token for two":            {user: bent(func(c *mockoidc.IDTokenClaims) { c.Audience = append(c.Audience, "other") }), status: 502, text: bad},
		"a token for nobody":         {user: someone{MockUser: verified("", "ada@example.com")}, status: 502, text: bad},
		"an expired token": {
			user: verified("1", "ada@example.com"), status: 502, text: bad,
			before: func(_ *testing.T, _ *site, p *idp) { p.FastForward(-time.Hour) },
		},
		"a key that is not the provider's": {
			user: verified("1", "ada@example.com"), status: 502, text: bad,
			before: func(t *testing.T, _ *site, p *idp) {
				old := *p.Keypair
				p.bend(func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != mockoidc.JWKSEndpoint {
						return false
					}
					keys, _ := old.JWKS()
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write(keys)
					return true
				})
				other, err := mockoidc.RandomKeypair(2048)
				if err != nil {
					t.Fatal(err)
				}
				other.Kid = old.Kid
				p.Keypair = other
			},
		},
		"a deleted user": {
			user: verified("1", "ada@example.com"), status: 403, text: "deleted",
			before: func(t *testing.T, s *site, p *idp) {
				p.UserQueue.Queue = nil
				p.QueueUser(verified("1", "ada@example.com"))
				b := s.visitor()
				b.get("/sign-in/oidc").want(http.StatusOK, in(".who", "ada@example.com"))
				u, err := s.srv.Store.UserByName(t.Context(), "ada@example.com")
				if err == nil {
					err = s.srv.Store.DeleteUser(t.Context(), u.ID)
				}
				if err != nil {
					t.Fatal(err)
				}
				b.get("/account/").want(http.StatusOK, in("h1", "Sign in")) // what they had is over, too
				p.QueueUser(verified("1", "ada@example.com"))
			},
		},
		"an address that was given to somebody else": {
			user: verified("2", "eve@example.com"), status: 403, text: "another account at Acme ID",
			before: func(t *testing.T, s *site, p *idp) {
				u := s.addUser("eve@example.com", store.Owner)
				if err := s.srv.Store.LinkIdentity(t.Context(), u.ID, store.Identity{Issuer: p.Issuer(), Subject: "1"}); err != nil {
					t.Fatal(err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openIDP(t)
			s := openWith(t, p)
			p.QueueUser(test.user)
			if test.before != nil {
				test.before(t, s, p)
			}
			before, err := s.srv.Store.Users(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b := s.visitor()
			page := b.get("/sign-in/oidc").want(test.status, in("h1", "Sign in"), in(".wrong", test.text), in("form", "Password"))
			if strings.Contains(page.body, p.ClientSecret) {
				t.Error("the page shows the client secret")
			}
			if after, err := s.srv.Store.Users(t.Context()); err != nil || len(after) != len(before) {
				t.Errorf("users are %+v, %v", after, err)
			}
			s.stranger(b)
		})
	}
}

// Some providers tell the address at their userinfo endpoint alone.
func TestOpenIDUserinfo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		info   string
		status int
		text   string
	}{
		"verified":       {`{"sub":"1","email":"ada@example.com","email_verified":"true"}`, 200, ""},
		"not verified":   {`{"sub":"1","email":"ada@example.com","email_verified":false}`, 403, "verified"},
		"somebody else":  {`{"sub":"2","email":"ada@example.com","email_verified":true}`, 502, "does not answer as it should"},
		"nobody":         {`{"email":"ada@example.com","email_verified":true}`, 502, "does not answer as it should"},
		"no good answer": {`[`, 502, "does not answer as it should"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openIDP(t)
			p.bend(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == mockoidc.UserinfoEndpoint {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(test.info))
					return true
				}
				return false
			})
			s := openWith(t, p)
			p.QueueUser(&mockoidc.MockUser{Subject: "1"})
			page := s.visitor().get("/sign-in/oidc")
			if test.status == http.StatusOK {
				page.want(http.StatusOK, in(".who", "ada@example.com"))
			} else {
				page.want(test.status, in(".wrong", test.text))
			}
		})
	}
}

func TestOpenIDWayBack(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	s := openWith(t, p)
	for name, test := range map[string]struct {
		change func(t *testing.T, b *browser, back url.Values)
		status int
		text   string
	}{
		"another state":   {func(_ *testing.T, _ *browser, back url.Values) { back.Set("state", "another") }, 400, "not begun in this browser"},
		"no state":        {func(_ *testing.T, _ *browser, back url.Values) { back.Del("state") }, 400, "not begun in this browser"},
		"another browser": {func(_ *testing.T, b *browser, _ url.Values) { b.client.Jar = s.visitor().client.Jar }, 400, "not begun in this browser"},
		"a code of somebody else's sign-in": {func(_ *testing.T, _ *browser, back url.Values) {
			p.QueueUser(verified("9", "eve@example.com"))
			back.Set("code", s.visitor().fly("/sign-in/oidc").Query().Get("code"))
		}, 400, "used already"},
		"an unknown code": {func(_ *testing.T, _ *browser, back url.Values) { back.Set("code", "unknown") }, 400, "used already"},
		"a replayed code": {func(_ *testing.T, b *browser, back url.Values) {
			jar := b.client.Jar
			u, _ := url.Parse(s.srv.URL)
			kept := jar.Cookies(u)
			b.get(callback+"?"+back.Encode()).want(http.StatusOK, in(".who", "ada@example.com"))
			b.post("/sign-out")
			jar.SetCookies(u, kept)
		}, 400, "used already"},
		"no code":        {func(_ *testing.T, _ *browser, back url.Values) { back.Del("code") }, 502, "does not answer as it should"},
		"another issuer": {func(_ *testing.T, _ *browser, back url.Values) { back.Set("iss", "https://evil.example") }, 502, "does not answer as it should"},
		"refused there":  {func(_ *testing.T, _ *browser, back url.Values) { back.Set("error", "access_denied") }, 403, "did not let you in"},
		"a failure there, with a text": {func(_ *testing.T, _ *browser, back url.Values) {
			back.Set("error", "<b>INJECTED</b>")
			back.Set("error_description", "INJECTED")
		}, 502, "does not answer as it should"},
	} {
		t.Run(name, func(t *testing.T) {
			p.QueueUser(verified("1", "ada@example.com"))
			b := s.visitor()
			back := b.fly("/sign-in/oidc").Query()
			test.change(t, b, back)
			page := b.get(callback+"?"+back.Encode()).want(test.status, in("h1", "Sign in"), in(".wrong", test.text))
			if strings.Contains(page.body+s.log.String(), "INJECTED") {
				t.Error("what came back is repeated")
			}
			s.stranger(b)
		})
	}
	// A way back is good once, also when it led nowhere.
	p.QueueUser(verified("1", "ada@example.com"))
	b := s.visitor()
	back := b.fly("/sign-in/oidc")
	b.get(callback + "?state=wrong").want(http.StatusBadRequest)
	b.get(back.RequestURI()).want(http.StatusBadRequest, in(".wrong", "not begun in this browser"))
}

func TestOpenIDCookiesAndSession(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	for public, name := range map[string]string{"": "crosswalk-oidc=", "https://skills.example.com": "__Host-crosswalk-oidc="} {
		s := open(t, func(c *server.Config) { c.PublicURL, c.OpenID = public, p.settings() })
		b := s.visitor()
		b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		page := b.get("/sign-in/oidc").want(http.StatusSeeOther)
		cookie := page.header.Get("Set-Cookie")
		for _, want := range []string{name, "Path=/", "Max-Age=600", "HttpOnly", "SameSite=Lax"} {
			if !strings.Contains(cookie, want) {
				t.Errorf("the cookie is %q, want %q in it", cookie, want)
			}
		}
		if strings.Contains(cookie, "Secure") != (public != "") {
			t.Errorf("the cookie is %q", cookie)
		}
		to, err := url.Parse(page.header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		q := to.Query()
		if q.Get("code_challenge_method") != "S256" || q.Get("code_challenge") == "" || q.Get("nonce") == "" || q.Get("state") == "" ||
			q.Get("scope") != "openid email" || q.Get("redirect_uri") != s.srv.URL+callback {
			t.Errorf("leads to %s", to)
		}
	}
	// A session that somebody planted is worth nothing after.
	s := openWith(t, p)
	u, err := url.Parse(s.srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	const planted = "cGxhbnRlZC1ieS1zb21lYm9keS1lbHNlLXBsYW50ZWQ"
	b, thief := s.visitor(), s.visitor()
	for _, one := range []*browser{b, thief} {
		one.client.Jar.SetCookies(u, []*http.Cookie{{Name: "crosswalk", Value: planted, Path: "/"}})
	}
	p.QueueUser(verified("1", "ada@example.com"))
	b.get("/sign-in/oidc").want(http.StatusOK, in(".who", "ada@example.com"))
	thief.get("/account/").want(http.StatusOK, in("h1", "Sign in"))
}

func TestOpenIDStaysHere(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	s := openWith(t, p)
	for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example`, "javascript:alert(1)", "evil", "/" + strings.Repeat("x", 3000)} {
		p.QueueUser(verified("1", "ada@example.com"))
		if page := s.visitor().get("/sign-in/oidc?next=" + url.QueryEscape(to)); page.path != s.at("/") {
			t.Errorf("next=%.40q led to %s", to, page.path)
		}
	}
}

func TestOpenIDProviderAway(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"an error":  func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) },
		"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"too much":  func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte(" "), 2<<20)) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"not the text": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := openIDP(t)
			p.bend(func(w http.ResponseWriter, r *http.Request) bool { answer(w, r); return true })
			s := openWith(t, p)
			b := s.visitor()
			b.get("/sign-in/oidc").want(http.StatusBadGateway, in(".wrong", "Acme ID does not answer", "a password works"))
			s.stranger(b)
			// It is asked again, and fails at the next step.
			p.bend(func(w http.ResponseWriter, r *http.Request) bool {
				if r.URL.Path == mockoidc.TokenEndpoint {
					answer(w, r)
					return true
				}
				return false
			})
			p.QueueUser(verified("1", "ada@example.com"))
			s.visitor().get("/sign-in/oidc").want(http.StatusBadGateway, in(".wrong", "Acme ID does not answer"))
			p.bend(func(http.ResponseWriter, *http.Request) bool { return false })
			p.QueueUser(verified("1", "ada@example.com"))
			s.visitor().get("/sign-in/oidc").want(http.StatusOK, in(".who", "ada@example.com"))
		})
	}
}

func TestOpenIDIssuerMismatch(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	s := openWith(t, p, func(o *dashboard.OpenIDSettings) { o.Issuer = strings.Replace(o.Issuer, "127.0.0.1", "localhost", 1) })
	b := s.visitor()
	b.get("/sign-in/oidc").want(http.StatusBadGateway, in(".wrong", "Acme ID does not answer as it should"))
	if log := s.log.String(); !strings.Contains(log, "did not match the issuer") {
		t.Errorf("the log does not say why: %s", log)
	}
	s.stranger(b)
}

func TestOpenIDMakesNoFirstUser(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	s := open(t, func(c *server.Config) { c.OpenID = p.settings() })
	p.QueueUser(verified("1", "ada@example.com"))
	s.visitor().get("/sign-in/oidc").want(http.StatusForbidden, in(".wrong", "Nobody has set this server up"))
	s.visitor().get(strings.TrimPrefix(s.srv.SetupLink, s.srv.URL)).want(http.StatusOK, in("h1", "Welcome"))
}

func TestOpenIDAttemptsAreLimited(t *testing.T) {
	t.Parallel()
	p := openIDP(t)
	s := openWith(t, p)
	for range 31 {
		b := s.visitor()
		back := b.fly("/sign-in/oidc").Query()
		back.Set("code", "unknown")
		if b.get(callback+"?"+back.Encode()).status == http.StatusTooManyRequests {
			s.stranger(b) // passwords are counted apart
			return
		}
	}
	t.Error("an address may try for ever")
}

func TestNoOpenID(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.addUser("ada", store.Owner)
	s.visitor().get("/sign-in").want(http.StatusOK, not("#provider"), in("form", "Password"))
	s.visitor().get("/sign-in/oidc").want(http.StatusNotFound)
	s.visitor().get(callback).want(http.StatusNotFound)
}

func TestOpenIDSettings(t *testing.T) {
	t.Parallel()
	good := dashboard.OpenIDSettings{Issuer: "https://id.example.com/realm", ClientID: "crosswalk", ClientSecret: "hush", Role: store.Member}
	if o, err := dashboard.NewOpenID(good); err != nil || o.Name != "id.example.com" {
		t.Errorf("%+v, %v", o, err)
	}
	for want, change := range map[string]func(*dashboard.OpenIDSettings){
		"is not https":              func(o *dashboard.OpenIDSettings) { o.Issuer = "http://id.example.com" },
		"no https URL":              func(o *dashboard.OpenIDSettings) { o.Issuer = "id.example.com" },
		"without a query":           func(o *dashboard.OpenIDSettings) { o.Issuer = "https://id.example.com/?a=b" },
		"a client secret":           func(o *dashboard.OpenIDSettings) { o.ClientSecret = "" },
		"takes a client id":         func(o *dashboard.OpenIDSettings) { o.ClientID = "" },
		"owners are made by owners": func(o *dashboard.OpenIDSettings) { o.Role = store.Owner },
		`"" is no domain`:           func(o *dashboard.OpenIDSettings) { o.AllowedDomains = []string{""} },
		`"@example.com" is no`:      func(o *dashboard.OpenIDSettings) { o.AllowedDomains = []string{"@example.com"} },
		`"*" is no domain`:          func(o *dashboard.OpenIDSettings) { o.AllowedDomains = []string{"*"} },
	} {
		c := good
		change(&c)
		if _, err := dashboard.NewOpenID(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}
