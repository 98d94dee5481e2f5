// Package api speaks the contract: /v1 over HTTP. openapi/openapi.yaml describes it, and the tests hold every answer
// against that file.
package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/clientaddr"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Submitter accepts tasks.
type Submitter interface {
	Submit(ctx context.Context, s store.Submission) (store.Accepted, error)
	Wish(ctx context.Context, wish store.Wish, keyID string) (store.Skill, error)
	RequestSync(ctx context.Context, r store.SyncRequest) (store.SyncQueued, error)
}

// Reader finds what polls ask for, and administers integrations.
type Reader interface {
	Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error)
	Integration(ctx context.Context, environmentID, id string) (store.Integration, error)
	Away(ctx context.Context, environmentID string) ([]store.Away, error)
	ReadSkills(ctx context.Context, q store.SkillQuery) (store.SkillPage, error)
	SkillsByOrigin(ctx context.Context, environmentID, integrationID string, originIDs []string) ([]store.SkillRow, error)
	RemoteByName(ctx context.Context, environmentID, integrationID string, names []string) ([]store.RemoteSkill, error)
	ReadByName(ctx context.Context, environmentID, integrationID string, names []string) ([]store.SkillRow, error)
	SetEnabled(ctx context.Context, id string, enabled bool) (store.Integration, error)
	DeleteIntegration(ctx context.Context, id string) (store.Integration, error)
	CreateLink(ctx context.Context, link store.Link, hash [32]byte, good time.Duration) (store.Link, error)
	IntegrationByToken(ctx context.Context, environmentID string, token [32]byte) (store.Integration, error)
	store.Recorder
}

// Authenticator tells who sent a request.
type Authenticator interface {
	Authenticate(ctx context.Context, authorization string) (auth.Principal, error)
}

// Config is what the API is made of.
type Config struct {
	// Engine, Store and Keys are nil in a process that only works off tasks: then there is no API, and requests for it are
	// told so.
	Engine     Submitter
	Store      Reader
	Keys       Authenticator
	Connectors *connector.Registry
	// PublicURL is where clients reach this server, without a slash at its end.
	PublicURL string
	// Spec is the OpenAPI document, served as it is.
	Spec []byte
	// MaxItems of one request. 10,000 if zero.
	MaxItems int
	// MostWaiting is how many items an integration may have waiting, as the engine has it. 1,000,000 if zero.
	MostWaiting int
	// MaxBody is the largest body in bytes, after decompression. 16 MiB if zero.
	MaxBody int
	// BodyMemory bounds the bytes that bodies being read may take together. 16 MiB if zero; at least MaxBody.
	BodyMemory int
	// AnswerMemory bounds the bytes that large answers being sent may take together. 16 MiB if zero.
	AnswerMemory int
	// StoreTime is how long the store may take for one request in all; then the answer is 503. 4 s if zero.
	StoreTime time.Duration
	// Clients tells where requests come from.
	Clients clientaddr.Resolver
	// Interactions logs requests; nil logs none. LogPages is where people look at one.
	Interactions *interactions.Log
	LogPages     skill.LogPages
	Logger       *slog.Logger
	Metrics      *metrics.Metrics // nil counts nothing
}

// API is the handler of everything under /v1 and of /openapi.yaml. Other handlers may be added before it serves: what
// none of them matches is answered in the contract's envelope.
type API struct {
	Config
	mux     *http.ServeMux
	bodies  *bodies
	answers *answers
}

// New makes the handler.
func New(c Config) *API {
	if c.MaxItems == 0 {
		c.MaxItems = 10_000
	}
	if c.MostWaiting == 0 {
		c.MostWaiting = 1_000_000
	}
	if c.MaxBody == 0 {
		c.MaxBody = 16 << 20
	}
	if c.BodyMemory == 0 {
		c.BodyMemory = 16 << 20
	}
	if c.AnswerMemory == 0 {
		c.AnswerMemory = 16 << 20
	}
	if c.StoreTime == 0 {
		c.StoreTime = 4 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	a := &API{Config: c, mux: http.NewServeMux(), bodies: newBodies(c.MaxBody, c.BodyMemory), answers: newAnswers(c.AnswerMemory)}
	if c.Engine == nil {
		return a
	}
	p := patient{c.Engine, c.Store, c.Keys}
	a.Engine, a.Store, a.Keys = p, p, p
	for pattern, h := range map[string]handler{
		"POST /v1/hris/skills/bulk":             a.upsertSkills,
		"GET /v1/hris/skills/bulk/{task_id}":    a.skillsTask,
		"POST /v1/hris/skills/bulk/diff":        a.diff,
		"GET /v1/hris/skills":                   a.skills,
		"POST /v1/hris/skills":                  a.createSkill,
		"PATCH /v1/hris/skills/{skill_id}":      a.updateSkill,
		"DELETE /v1/hris/skills/{skill_id}":     a.deleteSkill,
		"POST /v1/force-sync":                   a.forceSync,
		"GET /v1/check-api-key":                 a.checkKey,
		"GET /v1/integrations/{integration_id}": a.integration,
		"GET /v1/tools/{category}":              a.tools,

		"DELETE /v1/integrations/{integration_id}":          a.deleteIntegration,
		"PUT /v1/integrations/{integration_id}/enabled":     a.setEnabled,
		"POST /v1/integrations/{integration_id}/relink":     a.relink,
		"POST /v1/integrations/{integration_id}/setup-link": a.setupLink,
		"POST /v1/connect/create-link":                      a.createLink,
		"GET /v1/connect/integration-by-token/{token}":      a.integrationByToken,
		"POST /v1/connect/activate-integration":             a.activateIntegration,

		"GET /openapi.yaml":        a.spec,
		"GET /assets/tools/{file}": a.toolAsset,
	} {
		a.mux.Handle(pattern, a.wrap(pattern, h))
	}
	return a
}

// Handle adds a route beside the contract's.
func (a *API) Handle(pattern string, h http.Handler) { a.mux.Handle(pattern, h) }

// handler answers a request or says why not; then nothing may have been written yet.
type handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	rec := a.recorder(w, r)
	route := "none"
	defer func() {
		if p := recover(); p != nil {
			if p == http.ErrAbortHandler { //nolint:errorlint // net/http compares the value itself
				panic(p)
			}
			a.fail(rec, r, fmt.Errorf("panic: %v", p))
		}
		took := time.Since(began)
		a.Metrics.Response(route, strconv.Itoa(rec.status), took)
		a.log(rec, r, began, took)
	}()
	h, pattern := a.mux.Handler(r)
	if pattern == "" {
		a.fail(rec, r, a.nowhere(h, r))
		return
	}
	route = pattern
	// ServeMux sets the path values only itself.
	a.mux.ServeHTTP(rec, r)
}

func (a *API) wrap(pattern string, h handler) http.Handler {
	needs := needed(pattern)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := impatient(r.Context(), a.StoreTime)
		if rec, ok := w.(*recorder); ok {
			ctx.Value(patienceKey{}).(*patience).rec = rec
		}
		asked := needs
		asked.From = a.Clients.Client(r).Addr
		r = r.WithContext(auth.WithRequest(ctx, asked))
		if err := h(w, r); err != nil {
			a.fail(w, r, err)
		}
	})
}

// nowhere asks the mux's own handler what is wrong with a path that no route matches.
func (a *API) nowhere(h http.Handler, r *http.Request) error {
	probe := &recorder{ResponseWriter: discard{http.Header{}}}
	h.ServeHTTP(probe, r)
	if probe.status == http.StatusMethodNotAllowed {
		allow := probe.Header().Get("Allow")
		return &httpError{
			status: http.StatusMethodNotAllowed, header: http.Header{"Allow": {allow}},
			err: invalid("%s is not allowed here; %s is.", r.Method, allow),
		}
	}
	if a.Engine == nil {
		return skill.Errorf(skill.NotFound, skill.CodeInputInvalid, "This process works off tasks and serves no API; send requests to one that does.")
	}
	return skill.Errorf(skill.NotFound, skill.CodeInputInvalid, "There is nothing at %s. The paths are described at /openapi.yaml.", quote(r.URL.Path))
}

type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// httpError is an error with a status that only HTTP knows.
type httpError struct {
	status int
	header http.Header
	err    error
}

func (e *httpError) Error() string { return e.err.Error() }
func (e *httpError) Unwrap() error { return e.err }

// statuses is the table from kinds of errors to HTTP.
//
//nolint:gochecknoglobals // a constant, were maps allowed to be
var statuses = map[skill.Kind]int{
	skill.Internal:        http.StatusInternalServerError,
	skill.Invalid:         http.StatusBadRequest,
	skill.Unauthenticated: http.StatusUnauthorized,
	skill.Forbidden:       http.StatusForbidden,
	skill.NotFound:        http.StatusNotFound,
	skill.Conflict:        http.StatusConflict,
	skill.TooMany:         http.StatusTooManyRequests,
	skill.Unavailable:     http.StatusServiceUnavailable,
}

// fail answers with the error's envelope. What is not meant for the caller goes to the log alone.
func (a *API) fail(w http.ResponseWriter, r *http.Request, err error) {
	told := &skill.Error{Kind: skill.Internal, Code: skill.CodeUnknown, Message: "Something went wrong on this server. It was logged; try again later."}
	if e, ok := errors.AsType[*skill.Error](err); ok {
		told = e
	}
	status := statuses[told.Kind]
	header := w.Header()
	if e, ok := errors.AsType[*httpError](err); ok {
		status = e.status
		for name, values := range e.header {
			header[name] = values
		}
	}
	if status >= 500 {
		client := a.Clients.Client(r)
		a.Logger.Error("request failed", "method", r.Method, "path", shownPath(r), "status", status, "client", client.Addr, "tls", client.TLS, "error", err)
	}
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		return // too late to say anything
	}
	if told.Kind == skill.Unauthenticated {
		header.Set("WWW-Authenticate", "Bearer")
	}
	if told.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int((told.RetryAfter+time.Second-1)/time.Second)))
	}
	swallow(w, r)
	body := append([]byte(nil), `{"status":"error","error":`...)
	body = skill.AppendError(body, told.Code, told.Message, a.LogPages.URL(interactionOf(w)))
	send(w, status, append(body, '}'))
}

// shownPath is a request's path without the token that some hold.
func shownPath(r *http.Request) string {
	for _, before := range []string{"/v1/connect/integration-by-token/", "/connect/"} {
		if strings.HasPrefix(r.URL.Path, before) {
			return before + "…"
		}
	}
	return r.URL.Path
}

const (
	// A refused body is read to its end within these bounds, so that a client that sends before it reads gets to read.
	swallowBytes = 64 << 20
	swallowTime  = 5 * time.Second
)

// swallow reads the rest of a body, unless the client waits for a word before it sends any.
func swallow(w http.ResponseWriter, r *http.Request) {
	if r.Body == nil || r.Body == http.NoBody || strings.EqualFold(r.Header.Get("Expect"), "100-continue") {
		return
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(swallowTime)) // not every connection has deadlines
	n, err := io.CopyN(io.Discard, r.Body, swallowBytes)
	if n == swallowBytes || err != nil && !errors.Is(err, io.EOF) {
		w.Header().Set("Connection", "close")
		return
	}
	_ = control.SetReadDeadline(time.Time{})
}
