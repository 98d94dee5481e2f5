// Package connect is the page where a customer connects its tool: a link leads to it, nobody signs in. It shows what is
// needed in the tool, takes the credentials, has the tool asked whether they are good, makes the integration, and hands a token
// over with which the caller finds it. It works without scripts; only telling the page around it needs one.
package connect

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/clientaddr"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Store is what the page needs of a store.
type Store interface {
	store.Links
	Environment(ctx context.Context, nameOrID string) (store.Environment, error)
	Integration(ctx context.Context, environmentID, id string) (store.Integration, error)
}

// Config is what the page is made of.
type Config struct {
	Store      Store
	Connectors *connector.Registry
	// Keyring seals credentials; without one those who need it are told that it cannot be done now.
	Keyring *account.Keyring
	// HTTP makes the client through which a tool is asked, for an integration of an environment, or for one that is not made yet:
	// then without its id. Secrets are taken out of what is recorded of it.
	HTTP func(environmentID, integrationID string, secrets []string) *http.Client
	// PublicURL is where browsers reach this server, without a slash at its end.
	PublicURL string
	Clients   clientaddr.Resolver
	Logger    *slog.Logger
	Now       func() time.Time // for the limits of addresses; time.Now if nil
	// TestTime is how long a tool may take to say whether credentials are good. 20 s if zero.
	TestTime time.Duration
}

const (
	// tokenTime is how long the caller may ask for what was connected.
	tokenTime = 24 * time.Hour
	// storeTime is how long the database may take for one step.
	storeTime = 5 * time.Second
	// late is how much later than it should a connector may return before it is left behind.
	late = 5 * time.Second
	// mostForm is more than any form takes.
	mostForm = 1 << 20
	// mostTests of tools may be under way.
	mostTests = 16

	// A link may be tried so often, and an address may send so many forms, and ask for so many links that there are not,
	// within tryPeriod.
	mostTries  = 15
	mostForms  = 100
	mostMisses = 50
	tryPeriod  = 10 * time.Minute
)

//go:embed templates/*.html
var templates embed.FS

//go:embed static/*
var static embed.FS

// Pages serves the page.
type Pages struct {
	Config
	pages  map[string]*template.Template
	origin *http.CrossOriginProtection
	tests  *semaphore.Weighted
	// misses and forms are counted by address.
	misses, forms limiter
}

// New makes it. Its templates are part of the program: a mistake in them is a panic.
func New(c Config) *Pages {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TestTime == 0 {
		c.TestTime = 20 * time.Second
	}
	p := &Pages{
		Config: c, pages: map[string]*template.Template{}, origin: http.NewCrossOriginProtection(), tests: semaphore.NewWeighted(mostTests),
		misses: limiter{most: mostMisses, period: tryPeriod}, forms: limiter{most: mostForms, period: tryPeriod},
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Host != "" {
		_ = p.origin.AddTrustedOrigin(u.Scheme + "://" + u.Host) // one that is no origin is trusted no more than others
	}
	for _, name := range []string{"choose", "form", "done", "notice"} {
		p.pages[name] = template.Must(template.ParseFS(templates, "templates/frame.html", "templates/"+name+".html"))
	}
	return p
}

// Routes are the patterns that the page answers.
func (p *Pages) Routes() map[string]http.Handler {
	return map[string]http.Handler{
		"GET /connect/{token}":         p.visit(p.choose),
		"GET /connect/{token}/{tool}":  p.visit(p.ask),
		"POST /connect/{token}/{tool}": p.visit(p.submit),
		"GET /assets/connect/{file}":   http.HandlerFunc(p.asset),
	}
}

// visit is a request with a good link.
type visit struct {
	link     store.Link
	token    string
	hash     [32]byte
	brand    string // what the environment is called
	settings store.ConnectSettings
	words    words
	tools    map[string]toolText
}

type handler func(w http.ResponseWriter, r *http.Request, v *visit) error

// refusal is an answer that is a page with two sentences.
type refusal struct {
	status      int
	Title, Text string
	retry       string // Retry-After
}

func (e *refusal) Error() string { return e.Title }

// visit finds the link of a request. Whatever is wrong with it, the answer is the same.
func (p *Pages) visit(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{token: r.PathValue("token")}
		v.words, v.tools = inLanguage(preferred(r, ""))
		err := p.find(r, v)
		p.headers(w, v)
		if err == nil {
			err = h(w, r, v)
		}
		if err == nil {
			return
		}
		told, ok := errors.AsType[*refusal](err)
		if !ok {
			// Neither the path nor the form: they hold secrets.
			p.Logger.Error("page to connect failed", "client", p.Clients.Client(r).Addr, "error", err)
			told = &refusal{http.StatusInternalServerError, v.words.WrongTitle, v.words.WrongText, ""}
			if skill.KindOf(err) == skill.Unavailable || errors.Is(err, context.DeadlineExceeded) {
				told.status, told.retry = http.StatusServiceUnavailable, "30"
			}
		}
		if told.retry != "" {
			w.Header().Set("Retry-After", told.retry)
		}
		p.show(w, told.status, "notice", v, told)
	})
}

func (p *Pages) find(r *http.Request, v *visit) error {
	from, now := p.Clients.Client(r).Addr, p.Now()
	if p.misses.full(from, now) {
		return v.tooMany()
	}
	err := store.ErrNotFound
	var good bool
	if v.hash, good = auth.HashToken(v.token); good {
		ctx, cancel := context.WithTimeout(r.Context(), storeTime)
		defer cancel()
		v.link, err = p.Store.Link(ctx, v.hash)
		if err == nil {
			err = p.environment(ctx, v)
		}
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		p.misses.count(from, now)
		return v.gone()
	case err != nil:
		return err
	}
	v.words, v.tools = inLanguage(preferred(r, v.link.Language))
	if v.link.Used() && r.Method != http.MethodPost {
		return v.gone()
	}
	return nil
}

func (p *Pages) environment(ctx context.Context, v *visit) (err error) {
	env, err := p.Store.Environment(ctx, v.link.EnvironmentID)
	if err != nil {
		return err
	}
	v.brand = env.Name
	if u, err := url.Parse(p.PublicURL); env.Name == store.DefaultEnvironment && err == nil && u.Host != "" {
		v.brand = u.Hostname() // nobody has given it a name
	}
	v.settings, err = p.Store.ConnectSettings(ctx, v.link.EnvironmentID)
	return err
}

func (v *visit) gone() error {
	return &refusal{http.StatusNotFound, v.words.GoneTitle, v.words.GoneText, ""}
}

func (v *visit) tooMany() error {
	return &refusal{http.StatusTooManyRequests, v.words.ManyTitle, v.words.ManyText, "600"}
}

// preferred is the language that was asked for, else the link's, else the browser's.
func preferred(r *http.Request, link string) string {
	switch asked := r.URL.Query().Get("lang"); {
	case asked == "de" || asked == "en":
		return asked
	case link != "":
		return link
	}
	first, _, _ := strings.Cut(r.Header.Get("Accept-Language"), ",")
	if strings.HasPrefix(strings.ToLower(strings.TrimSpace(first)), "de") {
		return "de"
	}
	return "en"
}

// headers allow no more than the page needs. It may be framed by the environment's own pages alone. The address of the page is
// a secret, so no other site is told it; our own is, since without any referrer a browser does not say either where a form
// comes from.
func (p *Pages) headers(w http.ResponseWriter, v *visit) {
	action, frame := "'self'", "'none'"
	if o := originOf(v.settings.Redirect); o != "" {
		action += " " + o // a form may lead there in the end
	}
	h := w.Header()
	if len(v.settings.Origins) > 0 {
		frame = strings.Join(v.settings.Origins, " ")
	} else {
		h.Set("X-Frame-Options", "DENY")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; form-action "+
		action+"; frame-ancestors "+frame)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Robots-Tag", "noindex, nofollow")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=()")
}

// page is what every template gets.
type page struct {
	W        words
	Brand    string
	Customer string
	Tool     *connector.Description
	Path     string // of this page
	LangPath string // of this page in the other language
	Data     any
}

// shown is a field with what its template needs beside it.
type shown struct {
	Field field
	W     words
	Again bool
}

// FieldOf is for templates.
func (p page) FieldOf(f field, again bool) shown { return shown{f, p.W, again} }

// show writes a page whole, or not at all.
func (p *Pages) show(w http.ResponseWriter, status int, name string, v *visit, data any) {
	view := page{W: v.words, Brand: v.brand, Customer: v.link.EndUser.OrganisationName, Data: data}
	p.write(w, status, name, view)
}

func (p *Pages) write(w http.ResponseWriter, status int, name string, view page) {
	var out bytes.Buffer
	if err := p.pages[name].ExecuteTemplate(&out, "frame", view); err != nil {
		p.Logger.Error("page to connect failed", "page", name, "error", err)
		http.Error(w, "Something went wrong on this server. It was logged; try again later.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(out.Bytes()) // the client has gone: there is nobody to tell
}

// view is a page of a link.
func (v *visit) view(tool *connector.Description, data any) page {
	path := "/connect/" + v.token
	if tool != nil {
		path += "/" + url.PathEscape(tool.Slug)
	}
	other := "de"
	if v.words.Code == "de" {
		other = "en"
	}
	return page{
		W: v.words, Brand: v.brand, Customer: v.link.EndUser.OrganisationName, Tool: tool,
		Path: path + "?lang=" + v.words.Code, LangPath: path + "?lang=" + other, Data: data,
	}
}

// tile is a tool that may be chosen.
type tile struct {
	Label, Summary, Icon, Path string
}

// offered are the tools of the link's category. The sandbox is for developers: it has to be named.
func (p *Pages) offered(v *visit) (all []connector.Description) {
	for _, d := range p.Connectors.All() {
		if string(d.Category) == v.link.Category && d.Slug != sandbox.Slug {
			all = append(all, d)
		}
	}
	return all
}

// choose is the page on which a tool is chosen; where there is nothing to choose, it leads on.
func (p *Pages) choose(w http.ResponseWriter, r *http.Request, v *visit) error {
	path := func(slug string) string {
		return "/connect/" + v.token + "/" + url.PathEscape(slug) + "?lang=" + v.words.Code
	}
	if v.link.Tool != "" {
		http.Redirect(w, r, path(v.link.Tool), http.StatusSeeOther)
		return nil
	}
	var tiles []tile
	for _, d := range p.offered(v) {
		summary := d.Summary
		if t := v.tools[d.Slug]; t.Summary != "" {
			summary = t.Summary
		}
		tiles = append(tiles, tile{d.Label, summary, icon(d.Slug), path(d.Slug)})
	}
	p.write(w, http.StatusOK, "choose", v.view(nil, tiles))
	return nil
}

func icon(slug string) string { return "/assets/tools/" + url.PathEscape(slug) + "-icon.svg" }

// tool finds the connector of a request's path, if the link may be used for it.
func (p *Pages) tool(r *http.Request, v *visit) (connector.Connector, error) {
	slug := r.PathValue("tool")
	c, ok := p.Connectors.Find(slug)
	may := slug == v.link.Tool ||
		v.link.Tool == "" && slices.ContainsFunc(p.offered(v), func(d connector.Description) bool { return d.Slug == slug })
	if !ok || !may {
		return nil, v.gone()
	}
	return c, nil
}

// formPage is the form of a tool.
type formPage struct {
	Number      string // of the form: sent twice, it makes one integration
	Icon        string
	Title, Lede string
	Choose      string // where another tool is chosen; empty if it was given
	Needs       []string
	First, More []field
	MoreOpen    bool
	Secrets     bool
	Again       bool // it was sent before
	Submit      string
	Testing     string  // what stands there meanwhile
	Wrong       int     // fields
	Problem     problem // of the form as a whole
	Trial       *trial
}

// trial is a test that failed: in the page's words, and the tool's own.
type trial struct{ Title, Said string }

// ask shows the form.
func (p *Pages) ask(w http.ResponseWriter, r *http.Request, v *visit) error {
	c, err := p.tool(r, v)
	if err != nil {
		return err
	}
	in, err := p.integration(r.Context(), v)
	if err != nil {
		return err
	}
	kept := account.Values{}
	if in.ID != "" {
		if err := json.Unmarshal(in.Settings, &kept); err != nil {
			return fmt.Errorf("settings of %s: %w", in.ID, err)
		}
	}
	d := c.Describe()
	p.showForm(w, http.StatusOK, v, d, formPage{Number: rand.Text()}, form(asked(v.link.Purpose, d), kept, nil, nil, v.tools[d.Slug]))
	return nil
}

// showForm completes a form's page and writes it.
func (p *Pages) showForm(w http.ResponseWriter, status int, v *visit, d connector.Description, f formPage, fields []field) {
	t := v.words
	f.Icon = icon(d.Slug)
	f.Submit, f.Testing = t.SubmitTest, t.fill(t.Testing, d.Label)
	switch v.link.Purpose {
	case store.Relink:
		f.Title, f.Lede = t.fill(t.RelinkTitle, d.Label), t.fill(t.RelinkLede, v.brand, d.Label)
	case store.Setup:
		f.Title, f.Lede, f.Submit = t.fill(t.SetupTitle, d.Label), t.fill(t.SetupLede, v.brand, d.Label), t.SubmitSave
	default:
		f.Title, f.Lede = t.fill(t.ConnectTitle, d.Label), t.fill(t.ConnectLede, v.brand, d.Label)
	}
	if v.link.Tool == "" {
		f.Choose = "/connect/" + v.token + "?lang=" + t.Code
	}
	if v.link.Purpose != store.Setup {
		f.Needs = v.tools[d.Slug].Needs
	}
	for _, one := range fields {
		f.Secrets = f.Secrets || one.Secret
		if one.Error != "" {
			f.Wrong++
		}
		if one.First() || v.link.Purpose == store.Setup {
			f.First = append(f.First, one)
			continue
		}
		f.More = append(f.More, one)
		f.MoreOpen = f.MoreOpen || one.Error != "" || one.Value != one.Default && (one.Type != connector.Switch || one.On())
	}
	p.write(w, status, "form", v.view(&d, f))
}

// integration is the one that a link changes; an empty one for a link that makes one.
func (p *Pages) integration(ctx context.Context, v *visit) (in store.Integration, err error) {
	if v.link.Purpose == store.Connect {
		return in, nil
	}
	ctx, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	in, err = p.Store.Integration(ctx, v.link.EnvironmentID, v.link.IntegrationID)
	if errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted() {
		return in, v.gone()
	}
	return in, err
}

// submit tests what was typed, and connects.
func (p *Pages) submit(w http.ResponseWriter, r *http.Request, v *visit) error {
	if p.origin.Check(r) != nil {
		return &refusal{http.StatusForbidden, v.words.WrongTitle, v.words.CrossText, ""}
	}
	from, now := p.Clients.Client(r).Addr, p.Now()
	if p.forms.full(from, now) {
		return v.tooMany()
	}
	p.forms.count(from, now)
	c, err := p.tool(r, v)
	if err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, mostForm)
	if err := r.ParseForm(); err != nil {
		return &refusal{http.StatusBadRequest, v.words.WrongTitle, v.words.BusyText, ""}
	}
	number := r.PostFormValue("form")
	if number == "" || len(number) > 64 {
		number = rand.Text()
	}
	connect := auth.ConnectToken(v.token, number)
	if v.link.Used() {
		return p.again(w, r, v, c.Describe(), connect)
	}
	in, err := p.integration(r.Context(), v)
	if err != nil {
		return err
	}
	made, err := p.fill(w, r, v, c, in, number)
	if err != nil || made == nil {
		return err
	}
	token, _ := auth.HashToken(connect)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), storeTime)
	defer cancel()
	_, err = p.Store.UseLink(ctx, v.hash, store.LinkUse{
		Token: token, TokenFor: tokenTime, Integration: *made, Entry: entryOf(from, v, c.Describe(), made.ID),
	})
	if errors.Is(err, store.ErrNotFound) {
		// The same form, sent twice, may have come first.
		if v.link, err = p.Store.Link(ctx, v.hash); errors.Is(err, store.ErrNotFound) {
			return v.gone()
		} else if err != nil {
			return err
		}
		return p.again(w, r, v, c.Describe(), connect)
	}
	if err != nil {
		return err
	}
	p.Logger.Info("a customer has connected", "integration", made.ID, "environment", v.link.EnvironmentID, "purpose", v.link.Purpose.Action())
	return p.finish(w, r, v, c.Describe(), connect)
}

// entryOf is what the audit log keeps of a customer who connects.
func entryOf(from netip.Addr, v *visit, d connector.Description, id string) store.AuditEntry {
	entry := store.AuditEntry{
		EnvironmentID: v.link.EnvironmentID, UserName: "the customer, by a link", Target: id,
		Action: map[store.Purpose]string{
			store.Connect: "integration.create", store.Relink: "integration.settings", store.Setup: "integration.settings",
		}[v.link.Purpose],
		Detail: d.Label + " of " + v.link.EndUser.OrganisationName + ", by a link",
	}
	if v.link.EndUser.CreatorEmail != "" {
		entry.Detail += " for " + v.link.EndUser.CreatorEmail
	}
	if from.IsValid() {
		entry.Address = from.String()
	}
	return entry
}

// again answers a form of a used link: the one that it was used by ends where it ended.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, v *visit, d connector.Description, connect string) error {
	if token, _ := auth.HashToken(connect); !v.link.Used() || token != v.link.Token {
		return v.gone()
	}
	return p.finish(w, r, v, d, connect)
}

// fill makes the integration that a form describes, once the tool has accepted it. It is nil when the form was shown again.
func (p *Pages) fill(
	w http.ResponseWriter, r *http.Request, v *visit, c connector.Connector, in store.Integration, number string,
) (*store.Integration, error) {
	d, t := c.Describe(), v.words
	values := account.Values{}
	switch v.link.Purpose {
	case store.Setup:
		kept, err := account.Open(p.Keyring, in)
		if err != nil {
			return nil, err
		}
		values = kept
	case store.Relink:
	default:
		in = store.Integration{
			ID: skill.NewIntegrationID(d.Slug, p.Now()), EnvironmentID: v.link.EnvironmentID, Tool: d.Slug, EndUser: v.link.EndUser,
		}
	}
	list := asked(v.link.Purpose, d)
	typed, wrong := read(r, d, list, values, t)
	again := func(status int, f formPage) (*store.Integration, error) {
		f.Number, f.Again = number, true
		p.showForm(w, status, v, d, f, form(list, nil, typed, wrong, v.tools[d.Slug]))
		return nil, nil
	}
	if len(wrong) > 0 {
		return again(http.StatusUnprocessableEntity, formPage{})
	}
	settings, err := json.Marshal(values)
	if err != nil {
		return nil, err
	}
	secrets := account.Secrets(d, values)
	if p.Keyring == nil && len(secrets) > 0 {
		p.Logger.Error("credentials of a customer cannot be stored without a master key", "variable", auth.MasterKeyVariable)
		return again(http.StatusServiceUnavailable, formPage{Problem: problem{Text: t.fill(t.NoPlace, v.brand)}})
	}
	session, err := c.Open(connector.Account{ID: in.ID, Settings: settings, HTTP: p.HTTP(v.link.EnvironmentID, v.link.IntegrationID, secrets)})
	if err != nil {
		name, said := refused(err, d)
		if slices.ContainsFunc(list, func(f connector.Field) bool { return f.Name == name }) {
			wrong[name] = problem{t.NotTaken, said}
			return again(http.StatusUnprocessableEntity, formPage{})
		}
		return again(http.StatusUnprocessableEntity, formPage{Problem: problem{t.NotTaken, said}})
	}
	failed, err := p.test(r.Context(), v, d, session)
	if err != nil {
		return nil, err
	}
	if failed != nil {
		return again(http.StatusUnprocessableEntity, formPage{Trial: failed})
	}
	in.Settings, in.Credentials, err = account.Keep(d, p.Keyring, in.ID, values)
	return &in, err
}

// test asks the tool whether it accepts an account; nil if it does, or cannot be asked.
func (p *Pages) test(ctx context.Context, v *visit, d connector.Description, session connector.Session) (*trial, error) {
	counting, cancel := context.WithTimeout(ctx, storeTime)
	may, err := p.Store.TryLink(counting, v.hash, mostTries, tryPeriod)
	cancel()
	switch {
	case errors.Is(err, store.ErrNotFound): // used or expired meanwhile: UseLink finds out
	case err != nil:
		return nil, err
	case !may:
		return nil, v.tooMany()
	}
	checker, ok := session.(connector.Checker)
	if !ok {
		return nil, nil
	}
	if !p.tests.TryAcquire(1) {
		return nil, &refusal{http.StatusServiceUnavailable, v.words.BusyTitle, v.words.BusyText, "60"}
	}
	ctx, cancel = context.WithTimeout(ctx, p.TestTime)
	answer := make(chan error, 1)
	go func() {
		defer p.tests.Release(1)
		defer cancel()
		answer <- checker.Check(ctx)
	}()
	select {
	case err = <-answer:
	case <-time.After(p.TestTime + late):
		err = connector.Errorf(connector.Away, "")
	}
	e := connector.AsError(err)
	if e == nil {
		return nil, nil
	}
	t := v.words
	title := map[connector.Kind]string{
		connector.Credentials: t.Credentials, connector.Permission: t.Permission, connector.Throttled: t.Throttled,
		connector.Away: t.Away, connector.Ambiguous: t.Away,
	}[e.Kind]
	if title == "" {
		title = t.Unexpected
	}
	return &trial{t.fill(title, d.Label), e.Message}, nil
}

// donePage is the end of it.
type donePage struct {
	Title, Lede, Icon, Token string
	Origins                  string // of pages that the script may tell the token
}

// finish hands the token over: in the address that the environment leads to, unless the page stands in a frame; else to the page
// around this one, by a script, and to whoever reads it.
func (p *Pages) finish(w http.ResponseWriter, r *http.Request, v *visit, d connector.Description, connect string) error {
	if to, err := url.Parse(v.settings.Redirect); v.settings.Redirect != "" && err == nil && r.Header.Get("Sec-Fetch-Dest") != "iframe" {
		query := to.Query()
		query.Set("token", connect)
		to.RawQuery = query.Encode()
		http.Redirect(w, r, to.String(), http.StatusSeeOther)
		return nil
	}
	t := v.words
	title := map[store.Purpose]string{store.Connect: t.DoneTitle, store.Relink: t.DoneAnew, store.Setup: t.DoneSetup}[v.link.Purpose]
	view := v.view(&d, donePage{
		Title: t.fill(title, d.Label), Lede: t.fill(t.DoneLede, v.brand), Icon: icon(d.Slug), Token: connect,
		Origins: strings.Join(v.settings.Origins, " "),
	})
	view.LangPath = "" // it cannot be shown again
	p.write(w, http.StatusOK, "done", view)
	return nil
}

// originOf is the origin of an address; empty if it has none.
func originOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// kinds are the types of the files that pages refer to.
func kinds() map[string]string {
	return map[string]string{
		"connect.css": "text/css; charset=utf-8", "connect.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	}
}

func (p *Pages) asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	kind, ok := kinds()[name]
	content, err := static.ReadFile("static/" + name)
	if !ok || err != nil {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "public, max-age=300")
	_, _ = w.Write(content) //nolint:gosec // one of our own files; and if the client has gone, there is nobody to tell
}
