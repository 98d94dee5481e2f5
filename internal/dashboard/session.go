package dashboard

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// A session ends after sessionTime, and after idleTime in which nothing was asked for.
	sessionTime = 7 * 24 * time.Hour
	idleTime    = 24 * time.Hour
	// seenEvery is how precisely the last request of a session is noted: each note is a commit.
	seenEvery = 10 * time.Minute
)

// What a session holds.
const (
	keyUser       = "user"
	keyGeneration = "generation"
	keySeen       = "seen"
	keyNotice     = "notice"
)

// session is somebody who is signed in.
type session struct{ User store.User }

type sessionKey struct{}

// keeper is a store of sessions. It sees hashes of their tokens alone.
type keeper struct{ Store }

func (k keeper) FindCtx(ctx context.Context, token string) ([]byte, bool, error) {
	return k.Session(ctx, token)
}

func (k keeper) CommitCtx(ctx context.Context, token string, data []byte, expiry time.Time) error {
	return k.KeepSession(ctx, token, data, time.Until(expiry))
}

func (k keeper) DeleteCtx(ctx context.Context, token string) error { return k.DropSession(ctx, token) }

// The library asks for these three as well, and calls none of them.
func (k keeper) Find(token string) ([]byte, bool, error) {
	return k.FindCtx(context.Background(), token)
}

func (k keeper) Commit(token string, data []byte, expiry time.Time) error {
	return k.CommitCtx(context.Background(), token, data, expiry)
}

func (k keeper) Delete(token string) error { return k.DeleteCtx(context.Background(), token) }

func (d *Dashboard) newSessions() *scs.SessionManager {
	name := "crosswalk"
	if d.secure() {
		name = "__Host-crosswalk" // no other host can have set it
	}
	return &scs.SessionManager{
		Lifetime: sessionTime, Store: keeper{d.Store}, Codec: scs.GobCodec{}, HashTokenInStore: true,
		Cookie: scs.SessionCookie{Name: name, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: d.secure(), Persist: true},
		ErrorFunc: func(w http.ResponseWriter, r *http.Request, err error) {
			d.Logger.Error("session", "path", r.URL.Path, "error", err)
			http.Error(w, "The session could not be read or kept: the database does not answer. Try again in a moment.", http.StatusServiceUnavailable)
		},
	}
}

// signedIn lets users of a role through, and asks others to sign in.
func (d *Dashboard) signedIn(role store.Role, h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		s, err := d.current(r)
		if err != nil {
			return err
		}
		if s == nil {
			to := "/sign-in"
			if r.Method == http.MethodGet && r.URL.Path != "/" {
				to += "?" + url.Values{"next": {r.URL.RequestURI()}}.Encode()
			}
			return redirect(w, r, to)
		}
		r = r.WithContext(context.WithValue(r.Context(), sessionKey{}, s))
		if s.User.Role < role {
			return &problem{
				http.StatusForbidden, "This takes more than a " + s.User.Role.String(),
				"Only " + role.String() + "s may do that. An owner can change your role on the page Settings.",
			}
		}
		return d.told(w, r, h)
	}
}

// current is who sent a request; nil: nobody who is signed in.
func (d *Dashboard) current(r *http.Request) (*session, error) {
	ctx := r.Context()
	id := d.sessions.GetString(ctx, keyUser)
	if id == "" {
		return nil, nil //nolint:nilnil // nobody is no error
	}
	now := d.Now()
	seen := time.Unix(d.sessions.GetInt64(ctx, keySeen), 0)
	if now.Sub(seen) > idleTime {
		return nil, d.sessions.Destroy(ctx)
	}
	user, err := d.Store.User(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && user.Generation != d.sessions.GetInt64(ctx, keyGeneration) {
		return nil, d.sessions.Destroy(ctx) // deleted, signed out everywhere, or a new password
	}
	if err != nil {
		return nil, err
	}
	if now.Sub(seen) > seenEvery {
		d.sessions.Put(ctx, keySeen, now.Unix())
	}
	return &session{user}, nil
}

func who(r *http.Request) store.User { return r.Context().Value(sessionKey{}).(*session).User }

// begin starts a session, under a new token: one that somebody else may have planted is worth nothing.
func (d *Dashboard) begin(r *http.Request, user store.User) error {
	ctx := r.Context()
	if err := d.sessions.RenewToken(ctx); err != nil {
		return err
	}
	d.sessions.Put(ctx, keyUser, user.ID)
	d.sessions.Put(ctx, keyGeneration, user.Generation)
	d.sessions.Put(ctx, keySeen, d.Now().Unix())
	return d.Store.NoteSignIn(ctx, user.ID)
}

// notice is shown on the next page.
func (d *Dashboard) notice(r *http.Request, text string) {
	d.sessions.Put(r.Context(), keyNotice, text)
}

func (d *Dashboard) takeNotice(r *http.Request) string {
	return d.sessions.PopString(r.Context(), keyNotice)
}

// Limits of attempts to sign in, within attemptTime. An account's own is for those that are tried from many addresses: it is
// so high that nobody is easily locked out.
const (
	attemptTime    = 15 * time.Minute
	mostOfPair     = 5
	mostOfAddress  = 30
	mostOfAccount  = 100
	shortestPasswd = 12
	longestPasswd  = 256
	longestName    = 100
)

// subjects are what attempts are counted by.
func subjects(name string, addr netip.Addr) (names []string, limits []int) {
	from := "unknown"
	if addr.IsValid() {
		bits := 32
		if addr.Is6() {
			bits = 64 // whoever has one address there has them all
		}
		if p, err := addr.Prefix(bits); err == nil {
			from = p.String()
		}
	}
	return []string{"pair:" + from + " " + name, "address:" + from, "account:" + name}, []int{mostOfPair, mostOfAddress, mostOfAccount}
}

type signInForm struct {
	Name, Next, Error string
	Setup             bool   // nobody can sign in yet
	Provider          string // through which people may sign in, too
}

func (d *Dashboard) signInPage(w http.ResponseWriter, r *http.Request) error {
	s, err := d.current(r)
	if err != nil {
		return err
	}
	if s != nil {
		return redirect(w, r, local(r.FormValue("next")))
	}
	users, err := d.Store.Users(r.Context())
	if err != nil {
		return err
	}
	v := d.view(r, "Sign in")
	v.Data = signInForm{Next: r.FormValue("next"), Setup: len(users) == 0, Provider: d.providerName()}
	d.show(w, r, http.StatusOK, "sign-in", v)
	return nil
}

// local keeps a redirect on this server.
func local(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.Contains(to, `\`) {
		return "/"
	}
	return to
}

func (d *Dashboard) signIn(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	if err := r.ParseForm(); err != nil {
		return err
	}
	name, password := normalName(r.PostFormValue("name")), r.PostFormValue("password")
	refuse := func(status int, why string) error {
		v := d.view(r, "Sign in")
		v.Data = signInForm{Name: r.PostFormValue("name"), Next: r.PostFormValue("next"), Error: why, Provider: d.providerName()}
		d.show(w, r, status, "sign-in", v)
		return nil
	}
	const wrong = "No user has this name and this password. Check both; an owner can set a new password."
	if len(name) > longestName || clean(name) != name || len(password) > longestPasswd {
		return refuse(http.StatusUnprocessableEntity, wrong)
	}
	addr := d.Clients.Client(r).Addr
	names, limits := subjects(name, addr)
	may, err := d.Store.Attempt(ctx, names, limits, attemptTime)
	if err != nil {
		return err
	}
	if !may {
		w.Header().Set("Retry-After", "900")
		return refuse(http.StatusTooManyRequests, "Too many attempts. Try again in 15 minutes.")
	}
	user, err := d.Store.UserByName(ctx, name)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	// Whether there is such a user is not told by the time it takes either.
	good, err := d.passwordIs(ctx, password, user.Password)
	if err != nil {
		return err
	}
	if !good {
		d.Logger.Warn("a sign-in was refused", "client", addr)
		return refuse(http.StatusUnprocessableEntity, wrong)
	}
	if err := d.Store.ForgetAttempts(ctx, names[0]); err != nil {
		return err
	}
	if err := d.signedInBy(r, user, "with a password"); err != nil {
		return err
	}
	return redirect(w, r, local(r.PostFormValue("next")))
}

// signedInBy begins a session, once it is on disk that somebody signed in and how.
func (d *Dashboard) signedInBy(r *http.Request, user store.User, how string) error {
	if _, err := d.Store.Record(r.Context(), store.AuditEntry{
		UserID: user.ID, UserName: user.Name, Address: d.from(r), Action: "user.sign-in", Target: user.ID, Detail: how,
	}); err != nil {
		return err
	}
	return d.begin(r, user)
}

// normalName is how a name is kept and looked up.
func normalName(name string) string { return strings.ToLower(strings.TrimSpace(name)) }

func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := d.sessions.Destroy(r.Context()); err != nil {
		return err
	}
	return redirect(w, r, "/sign-in")
}

type setupForm struct{ Token, Name, Error string }

func (d *Dashboard) setupPage(w http.ResponseWriter, r *http.Request) error {
	token := r.FormValue("token")
	good, err := d.Store.SetupLink(r.Context(), hashOf(token))
	if err != nil {
		return err
	}
	if !good {
		return &problem{
			http.StatusNotFound, "This set-up link is not good any more",
			"It was used, or is older than a day. If nobody can sign in yet, start the server again: it prints a new one. Or run: crosswalk users create NAME --role owner",
		}
	}
	v := d.view(r, "Set up")
	v.Data = setupForm{Token: token}
	d.show(w, r, http.StatusOK, "setup", v)
	return nil
}

func (d *Dashboard) setup(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	ctx := r.Context()
	token, name, password := r.PostFormValue("token"), r.PostFormValue("name"), r.PostFormValue("password")
	refuse := func(why string) error {
		v := d.view(r, "Set up")
		v.Data = setupForm{Token: token, Name: name, Error: why}
		d.show(w, r, http.StatusUnprocessableEntity, "setup", v)
		return nil
	}
	good, err := d.Store.SetupLink(ctx, hashOf(token))
	if err != nil {
		return err
	}
	if !good {
		return d.setupPage(w, r)
	}
	user, err := d.newUser(ctx, name, password, store.Owner)
	if told, ok := errors.AsType[*skill.Error](err); ok && told.Kind == skill.Invalid {
		return refuse(told.Message)
	}
	if err != nil {
		return err
	}
	user, err = d.Store.CreateFirstUser(ctx, hashOf(token), user)
	if errors.Is(err, store.ErrNotFound) {
		return d.setupPage(w, r)
	}
	if err != nil {
		return err
	}
	if err := d.begin(r, user); err != nil {
		return err
	}
	if _, err := d.Store.Record(ctx, store.AuditEntry{
		UserID: user.ID, UserName: user.Name, Address: d.from(r), Action: "user.setup", Target: user.ID, Detail: user.Name + " became the first owner",
	}); err != nil {
		return err
	}
	return redirect(w, r, "/")
}

// from is where a request comes from, for the audit log.
func (d *Dashboard) from(r *http.Request) string {
	if a := d.Clients.Client(r).Addr; a.IsValid() {
		return a.String()
	}
	return ""
}

// act does what a user asked for, once it is on disk that they did.
func (d *Dashboard) act(r *http.Request, environmentID, action, target, detail string, do func(ctx context.Context) error) error {
	user := who(r)
	return d.recorded(r, store.AuditEntry{
		EnvironmentID: environmentID, UserID: user.ID, UserName: user.Name, Action: action, Target: target, Detail: detail,
	}, do)
}

// recorded is act, also for somebody who is not signed in yet.
func (d *Dashboard) recorded(r *http.Request, entry store.AuditEntry, do func(ctx context.Context) error) error {
	entry.Address = d.from(r)
	return store.Act(r.Context(), d.Store, entry, do, func(id string, err error) {
		d.Logger.Error("the audit log could not be told that nothing came of an act", "entry", id, "error", err)
	})
}
