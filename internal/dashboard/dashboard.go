// Package dashboard is the pages for people: who may sign in, API keys, integrations, tasks and what became of each skill.
//
// Every page is made on the server and works without a script; the one script there is makes copying and watching easier.
// Filters are in the query, and lists go on from the last row they showed. What changes something is a POST that only a user
// of the right role may send, from a page of this server, and an entry of the audit log is on disk before it is done.
package dashboard

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/alexedwards/scs/v2"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/clientaddr"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Store is what the dashboard needs of a store.
type Store interface {
	store.Admin
	store.Access
	store.Pages
	ConnectSettings(ctx context.Context, environmentID string) (store.ConnectSettings, error)
	SetConnectSettings(ctx context.Context, environmentID string, settings store.ConnectSettings) error
	Link(ctx context.Context, hash [32]byte) (store.Link, error)
	CreateLink(ctx context.Context, link store.Link, hash [32]byte, good time.Duration) (store.Link, error)
	Interactions(ctx context.Context, q store.InteractionQuery) (store.InteractionList, error)
	Interaction(ctx context.Context, environmentID, id string) (store.Interaction, error)
	Health(ctx context.Context) (store.Health, error)
	MasterKey(ctx context.Context) (store.MasterKey, error)
}

// Engine accepts tasks and cancels them, and reads tools back.
type Engine interface {
	Submit(ctx context.Context, s store.Submission) (store.Accepted, error)
	Cancel(ctx context.Context, environmentID, taskID string) (store.Cancelled, error)
	RequestSync(ctx context.Context, r store.SyncRequest) (store.SyncQueued, error)
}

// Config is what a dashboard is made of.
type Config struct {
	Store      Store
	Engine     Engine
	Connectors *connector.Registry
	// Account makes a connector's account of an integration, to test it.
	Account func(store.Integration) (connector.Account, error)
	// Keyring seals credentials; nil where there is no master key.
	Keyring *auth.Keyring
	// PublicURL is where clients reach this server, without a slash at its end. With https cookies are for TLS alone.
	PublicURL string
	Clients   clientaddr.Resolver
	OpenID    *OpenID // nil: people sign in with passwords alone
	// TaskTimeout, KeepTasks, KeepTombstones, KeepLogs, LogMode and Version are shown on the settings page.
	TaskTimeout, KeepTasks, KeepTombstones, KeepLogs time.Duration
	// LogMode is which requests and answers are logged: all, errors or off.
	LogMode string
	Version string
	Logger  *slog.Logger
	Now     func() time.Time // time.Now if nil
}

// Dashboard is the handler of its Paths.
type Dashboard struct {
	Config
	sessions *scs.SessionManager
	handler  http.Handler
	pages    map[string]*template.Template
	assets   map[string]asset
	hashing  chan struct{} // a place for each password that is hashed at the same time
	streams  chan struct{} // and for each page that is watched
	working  chan struct{} // and for each page that reads a whole task
	counts   counts
	closing  chan struct{}
}

// Paths are the patterns of all that it answers.
func Paths() []string {
	return []string{"/{$}", "/sign-in", "/sign-in/", "/sign-out", "/setup", "/account/", "/e/", "/tasks/", "/logs/", "/static/"}
}

const (
	// pageTime is how long a page may take: longer than a tool may, that is asked for one.
	pageTime = testTime + 10*time.Second
	// tidyTime is how long one step of tidying up may.
	tidyTime = 10 * time.Second
	// mostForm is more than any form takes.
	mostForm = 1 << 20
	// A password takes 32 MiB to hash, and a large task some MiB to show.
	mostHashing = 2
	mostWorking = 4
	mostStreams = 256
)

//go:embed templates/*.html
var templates embed.FS

// New makes the dashboard. Its templates are part of the program: a mistake in them is a panic.
func New(c Config) *Dashboard {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Dashboard{
		Config: c, assets: loadAssets(), hashing: make(chan struct{}, mostHashing), streams: make(chan struct{}, mostStreams),
		working: make(chan struct{}, mostWorking), closing: make(chan struct{}),
	}
	d.counts.known, d.counts.activity = map[string]counted{}, map[string]seenActivity{}
	d.sessions = d.newSessions()
	d.pages = d.parse()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /static/{name}", d.static)
	d.route(mux)
	csrf := http.NewCrossOriginProtection()
	if err := csrf.AddTrustedOrigin(c.PublicURL); err != nil {
		c.Logger.Warn("the public URL is no origin: forms are accepted from the address that the browser asked for alone", "url", c.PublicURL, "error", err)
	}
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, &problem{http.StatusForbidden, "This form was not sent from a page of this server", "Nothing was changed. Open the page here and send the form again. Behind a proxy, start the server with --public-url."})
	}))
	d.handler = d.headers(csrf.Handler(d.sessions.LoadAndSave(mux)))
	return d
}

// Close ends the pages that are watched, so that the server can stop. It is called once.
func (d *Dashboard) Close() { close(d.closing) }

// ServeHTTP implements http.Handler.
func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// handler answers a request or says why not; then nothing may have been written yet.
type handler func(w http.ResponseWriter, r *http.Request) error

// route lists the pages, with the role that each asks for.
func (d *Dashboard) route(mux *http.ServeMux) {
	anybody := func(pattern string, h handler) { mux.Handle(pattern, d.wrap(h)) }
	anybody("GET /{$}", d.home)
	anybody("GET /sign-in", d.signInPage)
	anybody("POST /sign-in", d.signIn)
	anybody("GET /sign-in/oidc", d.beginOpenID)
	anybody("GET /sign-in/oidc/callback", d.endOpenID)
	anybody("POST /sign-out", d.signOut)
	anybody("GET /setup", d.setupPage)
	anybody("POST /setup", d.setup)
	anybody("/", func(http.ResponseWriter, *http.Request) error { return notFound() })

	user := func(pattern string, h handler) { mux.Handle(pattern, d.wrap(d.signedIn(store.Viewer, h))) }
	user("GET /account/{$}", d.account)
	user("POST /account/password", d.changePassword)
	user("POST /account/sign-out-everywhere", d.signOutEverywhere)
	user("GET /tasks/{task}", d.taskAnywhere)
	user("GET /logs/{log}", d.logAnywhere)

	in := func(role store.Role, method, path string, h handler) {
		mux.Handle(method+" /e/{env}"+path, d.wrap(d.signedIn(role, d.inEnvironment(h))))
	}
	in(store.Viewer, "GET", "/{$}", d.overview)
	in(store.Viewer, "GET", "/tasks", d.tasks)
	in(store.Viewer, "GET", "/tasks/{task}", d.task)
	in(store.Viewer, "GET", "/tasks/{task}/events", d.taskEvents)
	in(store.Viewer, "GET", "/tasks/{task}/{file}", d.taskDownload)
	in(store.Member, "POST", "/tasks/{task}/retry", d.retryTask)
	in(store.Member, "POST", "/tasks/{task}/cancel", d.cancelTask)
	in(store.Viewer, "GET", "/skills", d.skills)
	in(store.Viewer, "GET", "/skills/one", d.skill)
	in(store.Viewer, "GET", "/integrations", d.integrations)
	in(store.Member, "GET", "/integrations/new", d.newIntegration)
	in(store.Member, "POST", "/integrations/new", d.createIntegration)
	in(store.Member, "GET", "/integrations/link", d.newLink)
	in(store.Member, "POST", "/integrations/link", d.createLink)
	in(store.Viewer, "GET", "/integrations/{integration}", d.integration)
	in(store.Member, "POST", "/integrations/{integration}/link", d.relink)
	in(store.Member, "POST", "/integrations/{integration}/settings", d.changeSettings)
	in(store.Member, "POST", "/integrations/{integration}/test", d.testIntegration)
	in(store.Member, "POST", "/integrations/{integration}/enabled", d.switchIntegration)
	in(store.Member, "POST", "/integrations/{integration}/sync", d.syncIntegration)
	in(store.Member, "POST", "/integrations/{integration}/delete", d.deleteIntegration)
	in(store.Viewer, "GET", "/secrets", d.secrets)
	in(store.Member, "GET", "/secrets/new", d.newKey)
	in(store.Member, "POST", "/secrets/new", d.createKey)
	in(store.Viewer, "GET", "/secrets/{key}", d.key)
	in(store.Member, "POST", "/secrets/{key}/rotate", d.rotateKey)
	in(store.Member, "POST", "/secrets/{key}/revoke", d.revokeKey)
	in(store.Viewer, "GET", "/logs", d.logs)
	in(store.Viewer, "GET", "/logs/{log}", d.log)
	in(store.Viewer, "GET", "/settings", d.settings)
	in(store.Viewer, "GET", "/audit", d.audit)
	in(store.Owner, "POST", "/settings/environments", d.createEnvironment)
	in(store.Owner, "POST", "/settings/rename", d.renameEnvironment)
	in(store.Owner, "POST", "/settings/connect", d.setConnect)
	in(store.Owner, "POST", "/settings/delete", d.deleteEnvironment)
	in(store.Owner, "POST", "/settings/erase", d.eraseEnvironment)
	in(store.Owner, "POST", "/settings/users", d.createUser)
	in(store.Owner, "POST", "/settings/users/{user}/role", d.changeRole)
	in(store.Owner, "POST", "/settings/users/{user}/password", d.resetPassword)
	in(store.Owner, "POST", "/settings/users/{user}/sign-out", d.signOutUser)
	in(store.Owner, "POST", "/settings/users/{user}/delete", d.deleteUser)
}

// headers are those of every answer. Nothing comes from elsewhere, nothing stands within a page, and no page stands within
// another one's.
func (d *Dashboard) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "+
			"form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if d.secure() {
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		next.ServeHTTP(w, r)
	})
}

func (d *Dashboard) secure() bool { return strings.HasPrefix(d.PublicURL, "https://") }

func (d *Dashboard) wrap(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, mostForm)
		if clean(r.URL.Path) != r.URL.Path { // no id, and no text for the databases
			d.fail(w, r, notFound())
			return
		}
		if !strings.HasSuffix(r.URL.Path, "/events") { // those are watched for minutes
			ctx, cancel := context.WithTimeout(r.Context(), pageTime)
			defer cancel()
			r = r.WithContext(ctx)
		}
		if err := h(w, r); err != nil {
			d.fail(w, r, err)
		}
	})
}

// told carries out a request of which more is known than its caller knows: an error's page says where one is and leads on.
func (d *Dashboard) told(w http.ResponseWriter, r *http.Request, h handler) error {
	if err := h(w, r); err != nil {
		d.fail(w, r, err)
	}
	return nil
}

// problem is an error that a person may read.
type problem struct {
	status int
	title  string
	text   string
}

func (p *problem) Error() string { return p.title + ": " + p.text }

// Title and Text are for the page.
func (p *problem) Title() string { return p.title }

// Text says what to do.
func (p *problem) Text() string { return p.text }

func notFound() error { return nowhere() }

func nowhere() *problem {
	return &problem{http.StatusNotFound, "There is nothing here", "The address is mistyped, or what was here is gone."}
}

// fail shows what went wrong. What is not meant for people goes to the log alone.
func (d *Dashboard) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, ok := errors.AsType[*problem](err)
	told, isTold := errors.AsType[*skill.Error](err)
	tooLarge, isTooLarge := errors.AsType[*http.MaxBytesError](err)
	switch {
	case ok:
	case isTooLarge:
		p = &problem{http.StatusRequestEntityTooLarge, "That is too much", fmt.Sprintf("A form may have %s.", store.Bytes(tooLarge.Limit))}
	case isTold && told.Kind == skill.Unavailable, errors.Is(err, context.DeadlineExceeded):
		p = &problem{http.StatusServiceUnavailable, "The database does not answer", "Nothing was changed that is not shown as changed. Load the page again in a moment."}
	case errors.Is(err, store.ErrNotFound):
		p = nowhere()
	default:
		p = &problem{http.StatusInternalServerError, "Something went wrong on this server", "It was logged. Try again; if it comes back, the log says more."}
	}
	if p.status >= 500 && r.Context().Err() == nil {
		client := d.Clients.Client(r)
		d.Logger.Error("page failed", "method", r.Method, "path", r.URL.Path, "status", p.status, "client", client.Addr, "error", err)
	}
	v := d.view(r, p.title)
	v.Data = p
	d.show(w, r, p.status, "problem", v)
}

// view is what every template gets.
type view struct {
	Title   string
	Nav     string // the entry of the navigation that is the current one
	Session *session
	Env     *store.Environment
	Envs    []store.Environment
	Notice  string // what was just done
	Assets  map[string]asset
	Path    string
	Now     time.Time
	// PublicURL is where clients reach the server.
	PublicURL string
	Data      any
}

// Base is the beginning of the environment's addresses.
func (v view) Base() string {
	if v.Env == nil {
		return ""
	}
	return "/e/" + v.Env.ID
}

// May reports whether the user has the role.
func (v view) May(role string) bool {
	want, ok := store.ParseRole(role)
	return ok && v.Session != nil && v.Session.User.Role >= want
}

func (d *Dashboard) view(r *http.Request, title string) view {
	v := view{Title: title, Assets: d.assets, Path: r.URL.Path, Now: d.Now().UTC(), PublicURL: d.PublicURL}
	if s, ok := r.Context().Value(sessionKey{}).(*session); ok {
		v.Session = s
		v.Notice = d.takeNotice(r)
	}
	if at, ok := r.Context().Value(placeKey{}).(*place); ok {
		v.Env, v.Envs = &at.env, at.all
	}
	return v
}

// show writes a page.
func (d *Dashboard) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	var page bytes.Buffer
	if err := d.pages[name].ExecuteTemplate(&page, "page", v); err != nil {
		d.Logger.Error("page could not be made", "page", name, "path", r.URL.Path, "error", err)
		http.Error(w, "This page could not be made. It was logged.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the client has gone: there is nobody to tell
}

type placeKey struct{}

// place is the environment that an address is in, and those there are.
type place struct {
	env store.Environment
	all []store.Environment
}

func env(r *http.Request) store.Environment { return r.Context().Value(placeKey{}).(*place).env }

// base is the beginning of the addresses of the environment.
func base(r *http.Request) string { return "/e/" + env(r).ID }

func (d *Dashboard) inEnvironment(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		all, err := d.Store.Environments(r.Context())
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.ID == r.PathValue("env") {
				return d.told(w, r.WithContext(context.WithValue(r.Context(), placeKey{}, &place{e, all})), h)
			}
		}
		return notFound()
	}
}

// home leads to the environment that was looked at last, or the first one.
func (d *Dashboard) home(w http.ResponseWriter, r *http.Request) error {
	return d.signedIn(store.Viewer, func(w http.ResponseWriter, r *http.Request) error {
		all, err := d.Store.Environments(r.Context())
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return notFound()
		}
		to := all[0].ID
		for _, e := range all {
			if e.Name == store.DefaultEnvironment {
				to = e.ID
			}
		}
		return redirect(w, r, "/e/"+to+"/")
	})(w, r)
}

// redirect leads to another page, after a form too: one of this server, as local sees to where a browser says which, or the
// provider's.
func redirect(w http.ResponseWriter, r *http.Request, to string) error {
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}
