package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// OpenIDSettings say who else may vouch for people.
type OpenIDSettings struct {
	// Issuer is the provider, exactly as it calls itself: an https URL, or http on this machine.
	Issuer                 string
	ClientID, ClientSecret string
	// Name is what people call it; the issuer's host if empty.
	Name string
	// AllowedDomains are those of e-mail addresses whose owners get an account when they first come. None: nobody does.
	AllowedDomains []string
	// Role of such accounts.
	Role store.Role
}

// OpenID is a provider. It is first asked when somebody signs in: the server starts while it is away.
type OpenID struct {
	OpenIDSettings
	client *http.Client
	places chan struct{} // one for each sign-in that asks the provider at the same time
	turn   chan struct{} // held by whoever reads or writes found
	found  *provider
}

// provider is what it says about itself.
type provider struct {
	*oidc.Provider
	oauth oauth2.Config // without the address that people come back to
}

const (
	// openIDTime is how long the provider may take for one step, all its answers together.
	openIDTime = 10 * time.Second
	// mostOpenID bounds an answer, and its header.
	mostOpenID = 1 << 20
	// mostAsking sign-ins ask the provider at the same time.
	mostAsking = 8
	// flightTime is how long people may take at the provider.
	flightTime = 10 * time.Minute
	// Sizes of what comes back.
	longestFlight  = 4000
	longestCode    = 4096
	longestSubject = 255
	longestNext    = 2000
	longestWhy     = 300
	// mostOpenIDAttempts of an address that came to nothing, within attemptTime.
	mostOpenIDAttempts = 30
)

// NewOpenID checks settings. It asks nobody.
func NewOpenID(c OpenIDSettings) (*OpenID, error) {
	u, err := url.Parse(c.Issuer)
	switch {
	case err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
		return nil, invalid("The OpenID issuer %q is no https URL without a query.", c.Issuer)
	case !safe(u):
		return nil, invalid("The OpenID issuer %q is not https: what it says could be changed on the way.", c.Issuer)
	case c.ClientID == "" || c.ClientSecret == "":
		return nil, invalid("OpenID sign-in takes a client id and a client secret: the provider gives both when Crosswalk is registered there.")
	case c.Role != store.Viewer && c.Role != store.Member:
		return nil, invalid("Accounts that OpenID sign-in makes are viewers or members; owners are made by owners.")
	}
	domains := make([]string, len(c.AllowedDomains))
	for i, d := range c.AllowedDomains {
		domains[i] = strings.ToLower(strings.TrimSpace(d))
		if domains[i] == "" || strings.ContainsAny(domains[i], "@*/: ") {
			return nil, invalid("%q is no domain of e-mail addresses; one looks like example.com.", d)
		}
	}
	c.AllowedDomains = domains
	if c.Name == "" {
		c.Name = u.Hostname()
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: openIDTime}).DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: openIDTime, ResponseHeaderTimeout: openIDTime, IdleConnTimeout: time.Minute,
		MaxResponseHeaderBytes: mostOpenID, MaxConnsPerHost: mostAsking,
	}
	return &OpenID{
		OpenIDSettings: c, places: make(chan struct{}, mostAsking), turn: make(chan struct{}, 1),
		client: &http.Client{
			Timeout: openIDTime, Transport: limited{transport},
			// A redirect could lead the client secret elsewhere.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// safe reports whether what comes from there cannot be changed on the way.
func safe(u *url.URL) bool {
	if u.Scheme == "https" {
		return true
	}
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// limited bounds bodies of answers.
type limited struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t limited) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, mostOpenID)
	return response, nil
}

// provider asks it about itself, once.
func (o *OpenID) provider(ctx context.Context) (*provider, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if o.found != nil {
		return o.found, nil
	}
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask the provider about itself: %w", err)
	}
	var more struct {
		Keys    string   `json:"jwks_uri"`
		Methods []string `json:"token_endpoint_auth_methods_supported"`
	}
	if err := p.Claims(&more); err != nil {
		return nil, fmt.Errorf("read what the provider says about itself: %w", err)
	}
	endpoint := p.Endpoint()
	for _, address := range []string{endpoint.AuthURL, endpoint.TokenURL, more.Keys} {
		if u, err := url.Parse(address); err != nil || !safe(u) {
			return nil, errors.New("an address that the provider names is not https")
		}
	}
	// The default of the standard is basic; trying both would show a code twice.
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	if len(more.Methods) > 0 && !slices.Contains(more.Methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	o.found = &provider{p, oauth2.Config{
		ClientID: o.ClientID, ClientSecret: o.ClientSecret, Endpoint: endpoint, Scopes: []string{oidc.ScopeOpenID, "email"},
	}}
	return o.found, nil
}

// flight is a sign-in under way at the provider. The browser that began it holds it, and nobody else.
type flight struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Next     string `json:"next"`
	At       int64  `json:"at"`
}

func (d *Dashboard) flightCookie(value string, age time.Duration) *http.Cookie {
	name := "crosswalk-oidc"
	if d.secure() {
		name = "__Host-crosswalk-oidc"
	}
	c := &http.Cookie{ //nolint:gosec // without TLS it cannot be Secure
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()), HttpOnly: true, Secure: d.secure(), SameSite: http.SameSiteLaxMode,
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// flightOf is the one that a browser holds; false: none, or one that is too old.
func (d *Dashboard) flightOf(r *http.Request) (flight, bool) {
	var f flight
	cookie, err := r.Cookie(d.flightCookie("", 0).Name)
	if err != nil || len(cookie.Value) > longestFlight {
		return f, false
	}
	text, err := base64.RawURLEncoding.DecodeString(cookie.Value)
	if err != nil || json.Unmarshal(text, &f) != nil {
		return flight{}, false
	}
	age := d.Now().Sub(time.Unix(f.At, 0))
	return f, f.State != "" && f.Nonce != "" && f.Verifier != "" && age < flightTime && age > -time.Minute
}

// refusal is why somebody is not let in, shown on the page where they can try otherwise.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

// providerName is on the button of the sign-in page; empty: there is none.
func (d *Dashboard) providerName() string {
	if d.OpenID == nil {
		return ""
	}
	return d.OpenID.Name
}

// refused shows why not, or hands on an error that is none of people's.
func (d *Dashboard) refused(w http.ResponseWriter, r *http.Request, next string, err error) error {
	why, ok := errors.AsType[*refusal](err)
	if !ok {
		return err
	}
	v := d.view(r, "Sign in")
	v.Data = signInForm{Next: next, Error: why.text, Provider: d.providerName()}
	d.show(w, r, why.status, "sign-in", v)
	return nil
}

// away is that the provider could not be asked, or did not answer as it should. The log says more, but no secret.
func (d *Dashboard) away(err error) error {
	why := err.Error()
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		why = "it refused the code: " + word(refused.ErrorCode) // its body may repeat what was sent
	}
	d.Logger.Warn("a sign-in through the OpenID provider failed", "issuer", d.OpenID.Issuer, "error", shorten(why, longestWhy))
	return &refusal{http.StatusBadGateway, d.OpenID.Name + " does not answer as it should. Try again in a moment; a password works meanwhile. The server's log says more."}
}

// word keeps an error code of a provider to what the standard lets it be made of.
func word(code string) string {
	if code == "" || len(code) > 60 || strings.ContainsFunc(code, func(c rune) bool { return (c < 'a' || c > 'z') && c != '_' }) {
		return "unknown"
	}
	return code
}

// beginOpenID leads to the provider.
func (d *Dashboard) beginOpenID(w http.ResponseWriter, r *http.Request) error {
	if d.OpenID == nil {
		return notFound()
	}
	next := local(r.FormValue("next"))
	if len(next) > longestNext {
		next = "/"
	}
	s, err := d.current(r)
	if err != nil {
		return err
	}
	if s != nil {
		return redirect(w, r, local(r.FormValue("next")))
	}
	ctx, cancel := context.WithTimeout(r.Context(), openIDTime)
	defer cancel()
	p, err := d.OpenID.provider(ctx)
	if err != nil {
		return d.refused(w, r, next, d.away(err))
	}
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	text, err := json.Marshal(flight{State: state, Nonce: nonce, Verifier: verifier, Next: next, At: d.Now().Unix()})
	if err != nil {
		return err
	}
	http.SetCookie(w, d.flightCookie(base64.RawURLEncoding.EncodeToString(text), flightTime))
	return redirect(w, r, d.oauth(p).AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)))
}

func (d *Dashboard) oauth(p *provider) *oauth2.Config {
	c := p.oauth
	c.RedirectURL = d.PublicURL + "/sign-in/oidc/callback"
	return &c
}

// endOpenID is where the provider sends people back to.
func (d *Dashboard) endOpenID(w http.ResponseWriter, r *http.Request) error {
	if d.OpenID == nil {
		return notFound()
	}
	f, ok := d.flightOf(r)
	http.SetCookie(w, d.flightCookie("", 0)) // it is good for one way back
	if !ok || subtle.ConstantTimeCompare([]byte(f.State), []byte(r.FormValue("state"))) != 1 {
		return d.refused(w, r, "", &refusal{
			http.StatusBadRequest, "This sign-in was not begun in this browser, or is older than 10 minutes. Begin it again here.",
		})
	}
	next := local(f.Next)
	user, err := d.vouched(r, f)
	if err != nil {
		return d.refused(w, r, next, err)
	}
	if err := d.signedInBy(r, user, "through "+d.OpenID.Name); err != nil {
		return err
	}
	return redirect(w, r, local(f.Next))
}

// vouched is the user that the provider vouches for.
func (d *Dashboard) vouched(r *http.Request, f flight) (store.User, error) {
	name := d.OpenID.Name
	code := r.FormValue("code")
	switch iss, wrong := r.FormValue("iss"), r.FormValue("error"); {
	case iss != "" && iss != d.OpenID.Issuer:
		return store.User{}, d.away(errors.New("the answer came from another issuer"))
	case wrong == "access_denied":
		return store.User{}, &refusal{http.StatusForbidden, name + " did not let you in, or you went back. Begin again, or sign in with a password."}
	case wrong != "":
		return store.User{}, d.away(errors.New("it answered " + word(wrong)))
	case code == "" || len(code) > longestCode:
		return store.User{}, d.away(errors.New("the answer has no code"))
	}
	names, _ := subjects("", d.Clients.Client(r).Addr)
	from := "openid " + names[1]
	may, err := d.Store.Attempt(r.Context(), []string{from}, []int{mostOpenIDAttempts}, attemptTime)
	if err != nil {
		return store.User{}, err
	}
	if !may {
		return store.User{}, &refusal{http.StatusTooManyRequests, "Too many attempts. Try again in 15 minutes."}
	}
	who, err := d.exchange(r.Context(), f, code)
	if err != nil {
		return store.User{}, err
	}
	user, err := d.userOf(r, who)
	if err != nil {
		return store.User{}, err
	}
	return user, d.Store.ForgetAttempts(r.Context(), from)
}

// person is whom a provider vouches for.
type person struct {
	store.Identity
	email string // verified, in small letters
}

// exchange turns a code into a person.
func (d *Dashboard) exchange(ctx context.Context, f flight, code string) (person, error) {
	o := d.OpenID
	ctx, cancel := context.WithTimeout(ctx, openIDTime)
	defer cancel()
	select {
	case o.places <- struct{}{}:
		defer func() { <-o.places }()
	case <-ctx.Done():
		return person{}, d.away(context.Cause(ctx))
	}
	p, err := o.provider(ctx)
	if err != nil {
		return person{}, d.away(err)
	}
	ctx = oidc.ClientContext(ctx, o.client) // oauth2 takes it from there, too
	tokens, err := d.oauth(p).Exchange(ctx, code, oauth2.VerifierOption(f.Verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok && refused.ErrorCode == "invalid_grant" {
		d.Logger.Warn("the OpenID provider refused a code: it was used, or is too old", "issuer", o.Issuer)
		return person{}, &refusal{http.StatusBadRequest, "This sign-in was used already, or took too long. Begin it again here."}
	}
	if err != nil {
		return person{}, d.away(err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return person{}, d.away(errors.New("its answer has no ID token"))
	}
	token, err := p.Verifier(&oidc.Config{ClientID: o.ClientID, Now: d.Now}).Verify(ctx, raw)
	if err != nil {
		return person{}, d.away(fmt.Errorf("verify the ID token: %w", err))
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(f.Nonce)) != 1 {
		return person{}, d.away(errors.New("the ID token has another nonce: it was made for another sign-in"))
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return person{}, d.away(fmt.Errorf("compare the tokens: %w", err))
		}
	}
	var claims struct {
		Party    string `json:"azp"`
		Email    string `json:"email"`
		Verified yes    `json:"email_verified"`
	}
	if err := token.Claims(&claims); err != nil {
		return person{}, d.away(fmt.Errorf("read the ID token: %w", err))
	}
	switch {
	case claims.Party != "" && claims.Party != o.ClientID, claims.Party == "" && len(token.Audience) > 1:
		return person{}, d.away(errors.New("the ID token was made for another client"))
	case token.Subject == "" || len(token.Subject) > longestSubject:
		return person{}, d.away(errors.New("the ID token names nobody"))
	}
	if claims.Email == "" && p.UserInfoEndpoint() != "" { // some tell it there alone
		info, err := p.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
		if err != nil {
			return person{}, d.away(errors.New("ask for the e-mail address: it is in neither the ID token nor a good answer of the userinfo endpoint"))
		}
		if info.Subject != token.Subject {
			return person{}, d.away(errors.New("the userinfo is somebody else's"))
		}
		claims.Email, claims.Verified = info.Email, yes(info.EmailVerified)
	}
	// A user's name that is no address is nothing that a provider can vouch for.
	if !strings.Contains(claims.Email, "@") || !bool(claims.Verified) {
		return person{}, &refusal{http.StatusForbidden, o.Name + " does not say that your e-mail address is verified. Verify it there, or sign in with a password."}
	}
	return person{store.Identity{Issuer: o.Issuer, Subject: token.Subject}, normalName(claims.Email)}, nil
}

// yes is true, or "true": some providers write it so.
type yes bool

// UnmarshalJSON implements json.Unmarshaler.
func (y *yes) UnmarshalJSON(text []byte) error {
	*y = string(text) == "true" || string(text) == `"true"`
	return nil
}

// userOf finds the user of a person by the identity, else by the address, else makes one.
func (d *Dashboard) userOf(r *http.Request, who person) (store.User, error) {
	ctx := r.Context()
	user, err := d.Store.UserByIdentity(ctx, who.Identity)
	if err == nil {
		return user, nil
	}
	deleted := errors.Is(err, store.ErrUserDeleted)
	if !deleted && !errors.Is(err, store.ErrNotFound) {
		return store.User{}, err
	}
	user, err = d.Store.UserByName(ctx, who.email)
	if err == nil {
		return user, d.link(r, user, who)
	}
	if !errors.Is(err, store.ErrNotFound) {
		return store.User{}, err
	}
	if deleted {
		return store.User{}, &refusal{http.StatusForbidden, "Your user here was deleted. An owner can make it again, with your e-mail address as its name."}
	}
	if domain := who.email[strings.LastIndex(who.email, "@")+1:]; !slices.Contains(d.OpenID.AllowedDomains, domain) {
		return store.User{}, &refusal{http.StatusForbidden, "No user here has your e-mail address. An owner can make one, with the address as its name."}
	}
	if _, err := UserName(who.email); err != nil {
		return store.User{}, &refusal{http.StatusForbidden, "Your e-mail address is no name that a user can have here."}
	}
	role := d.OpenID.Role
	err = d.recorded(r, store.AuditEntry{
		UserName: who.email, Action: "user.create", Target: who.email, Detail: who.email + ", " + role.String() + ", through " + d.OpenID.Name,
	}, func(ctx context.Context) (err error) {
		user, err = d.Store.CreateUserWithIdentity(ctx, store.User{Name: who.email, Role: role}, who.Identity)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return store.User{}, &refusal{http.StatusForbidden, "Nobody has set this server up yet. The first user is made with the link that crosswalk serve printed."}
	case errors.Is(err, store.ErrExists): // another request of the same person was faster
		return d.Store.UserByIdentity(ctx, who.Identity)
	}
	return user, err
}

// link lets a person sign in as the user who has their address.
func (d *Dashboard) link(r *http.Request, user store.User, who person) error {
	err := d.recorded(r, store.AuditEntry{
		UserID: user.ID, UserName: user.Name, Action: "user.link", Target: user.ID, Detail: user.Name + " signs in through " + d.OpenID.Name,
	}, func(ctx context.Context) error { return d.Store.LinkIdentity(ctx, user.ID, who.Identity) })
	if errors.Is(err, store.ErrExists) {
		// Addresses are given to others. Whoever has one now is not who had it then.
		return &refusal{http.StatusForbidden, "The user with your e-mail address belongs to another account at " + d.OpenID.Name + ". An owner can delete that user and make it again."}
	}
	return err
}
