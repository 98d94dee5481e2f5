// Package server puts the parts together: one process that serves the API and drains integrations. The command line, the
// demo, the benchmarks and the end-to-end tests all start this same server.
package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/hibob"
	"github.com/crosswalk-hr/crosswalk/connector/learning360"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/connector/workday"
	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/clientaddr"
	"github.com/crosswalk-hr/crosswalk/internal/connect"
	"github.com/crosswalk-hr/crosswalk/internal/dashboard"
	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/outgoing"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/openapi"
)

// Connectors are all this program knows.
func Connectors(catalogue sandbox.Catalogue) *connector.Registry {
	return connector.NewRegistry(
		sandbox.New(catalogue),
		hibob.New(),
		learning360.New(),
		moodle.New(),
		odoo.New(),
		workday.New(),
	)
}

// Role is what a process does. A database of many processes may have any mixture of them.
type Role string

// The roles.
const (
	All    Role = "all"    // takes requests and works off tasks
	API    Role = "api"    // takes requests alone
	Worker Role = "worker" // works off tasks alone; it serves /healthz, /readyz and /metrics
)

// Config is what a Server is made of.
type Config struct {
	Role      Role   // All if empty
	Listen    string // host:port; port 0 takes a free one
	PublicURL string // made from the listening address if empty
	Database  Database
	// AllowPrivateTools lets tools be at private addresses.
	AllowPrivateTools bool
	// MasterKey is where the key is found; its Own is the server's to set.
	MasterKey auth.MasterKeySource
	MaxItems  int
	// MaxConnections of clients at a time. 4,096 if zero.
	MaxConnections int
	// TLSCert and TLSKey are PEM files; without them the server speaks plain HTTP.
	TLSCert, TLSKey string
	// TrustedProxies are the addresses and networks whose X-Forwarded-For is believed.
	TrustedProxies []string
	Engine         engine.Settings
	// Interactions says which requests and answers are logged. All if empty.
	Interactions interactions.Mode
	// Dashboard serves the pages for people, where there is an API. Errors carry the address of their interaction, under
	// PublicURL/logs/.
	Dashboard bool
	// OpenID lets people sign in there through a provider, too; nil: with passwords alone.
	OpenID *dashboard.OpenIDSettings
	// Version is shown there.
	Version string
	Logger  *slog.Logger
}

// Server is a running server.
type Server struct {
	// Store is the server's own; whoever starts a server in its process may administer it through this.
	Store store.Store
	// URL is where clients reach it.
	URL string
	// Address it listens on.
	Address string
	// SetupLink lets the first user of the dashboard be made; empty when there are users, or no dashboard.
	SetupLink string

	config  Config
	api     *api.API
	keys    *auth.Keys // nil without an API
	pages   *dashboard.Dashboard
	http    *http.Server
	listen  net.Listener
	engine  *engine.Engine
	log     *interactions.Log
	metrics *metrics.Metrics
	// certificate is nil for plain HTTP.
	certificate *certificate
	ready       atomic.Bool
}

const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	// answerTime covers the longest way of a large body: it arrives, stands in line twice, and is stored.
	answerTime = 4 * time.Minute
	// A connection of HTTP/2 may have so many requests under way, and so many bytes that nobody has read yet.
	streams      = 64
	streamMemory = 256 << 10
	// stopTime is how long a server takes at most to end once it is told to. Calls of tools get 8 s of it (Settings.Grace), and
	// what comes of them is written down before the last two parts: for the log of interactions, and for the database's connections.
	stopTime    = 9300 * time.Millisecond
	requestTime = 8 * time.Second
	logTime     = 300 * time.Millisecond
	closeTime   = 200 * time.Millisecond
)

// Start opens everything and listens; it answers once Run runs.
func Start(ctx context.Context, c Config) (_ *Server, err error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Role == "" {
		c.Role = All
	}
	if path, embedded := c.Database.File(); embedded && c.Role != All {
		return nil, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
			"--role %s is for PostgreSQL: one process owns the SQLite file %s, and has to take requests and work off tasks. Leave the role out, or give --database postgres://…",
			c.Role, path)
	}
	c.Engine.Passive = c.Role == API
	clients, err := clientaddr.ParseTrusted(c.TrustedProxies)
	if err != nil {
		return nil, skill.Errorf(skill.Invalid, skill.CodeInputInvalid, "--trusted-proxies: %v", err)
	}
	var provider *dashboard.OpenID
	if c.OpenID != nil {
		if provider, err = dashboard.NewOpenID(*c.OpenID); err != nil {
			return nil, err
		}
	}
	scheme := "http://"
	var own *certificate
	if c.TLSCert != "" || c.TLSKey != "" {
		scheme = "https://"
		if own, err = loadCertificate(c.TLSCert, c.TLSKey, c.Logger); err != nil {
			return nil, err
		}
	}
	// Listening comes first: an address that is taken is the mistake to tell before any file is touched.
	listen, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	defer func() {
		if err != nil {
			_ = listen.Close() // the first error is the one to tell
		}
	}()
	if c.MaxConnections == 0 {
		c.MaxConnections = 4096
	}
	crowd := newCrowd(listen, c.MaxConnections)
	s := &Server{config: c, listen: crowd, Address: listen.Addr().String(), certificate: own}
	s.URL = strings.TrimRight(c.PublicURL, "/")
	if s.URL == "" {
		s.URL = scheme + reachable(s.Address)
	}
	registry := prometheus.NewRegistry()
	m := metrics.New(registry)
	s.metrics = m
	if s.Store, err = c.Database.Open(ctx, true, "listening on "+s.Address, c.Logger, m); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = s.Store.Close() // likewise
		}
	}()
	c.MasterKey.Own = c.Database.MasterKeyFile()
	keys, err := c.MasterKey.Ring(ctx, s.Store)
	switch {
	case err != nil:
		return nil, err
	case keys == nil:
		c.Logger.Warn("no master key is given: credentials of tools can be neither stored nor used", "variable", auth.MasterKeyVariable)
	}
	s.log = interactions.New(interactions.Config{Store: s.Store, Mode: c.Interactions, Logger: c.Logger, Metrics: m})
	var pages skill.LogPages
	if c.Dashboard && s.log != nil {
		pages = skill.LogPages(s.URL + "/logs/")
	}
	connectors := Connectors(s.Store.Sandbox())
	network := outgoing.New(c.AllowPrivateTools)
	account := accounts(connectors, keys, network, s.log)
	s.engine = engine.New(engine.Config{
		Store: s.Store, Connectors: connectors, Logger: c.Logger, Metrics: m, Settings: c.Engine,
		Account: account, Interactions: s.log, LogPages: pages,
	})
	served := api.Config{
		Connectors: connectors, PublicURL: s.URL, Spec: openapi.Spec,
		MaxItems: c.MaxItems, MostWaiting: c.Engine.MostWaiting, Clients: clients, Logger: c.Logger, Metrics: m,
		Interactions: s.log, LogPages: pages,
	}
	if c.Role != Worker {
		s.keys = &auth.Keys{Store: s.Store}
		served.Engine, served.Store, served.Keys = s.engine, reader{s.Store, s.engine}, s.keys
	}
	s.api = api.New(served)
	if c.Role != Worker {
		page := connect.New(connect.Config{
			Store: s.Store, Connectors: connectors, Keyring: keys, PublicURL: s.URL, Clients: clients, Logger: c.Logger,
			HTTP: func(environmentID, integrationID string, secrets []string) *http.Client {
				return network.Client(outgoing.Client{Secrets: secrets, Recorder: recorderOf(s.log, environmentID, integrationID)})
			},
		})
		for pattern, h := range page.Routes() {
			s.api.Handle(pattern, h)
		}
	}
	if c.Dashboard && c.Role != Worker {
		s.pages = dashboard.New(dashboard.Config{
			Store: s.Store, Engine: s.engine, Connectors: connectors, Account: account, Keyring: keys, PublicURL: s.URL, Clients: clients, OpenID: provider,
			TaskTimeout: c.Engine.TaskTimeout, KeepTasks: c.Engine.KeepTasks, KeepTombstones: c.Engine.KeepTombstones, Version: c.Version, Logger: c.Logger,
			KeepLogs: c.Engine.KeepLogs, LogMode: string(cmp.Or(c.Interactions, interactions.All)),
		})
		for _, pattern := range dashboard.Paths() {
			s.api.Handle(pattern, s.pages)
		}
		if s.SetupLink, err = s.pages.SetupLink(ctx); err != nil {
			return nil, err
		}
	}
	s.api.Handle("GET /healthz", plain(func(*http.Request) error { return nil }))
	s.api.Handle("GET /readyz", plain(s.readiness))
	s.api.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	s.http = &http.Server{
		Handler: crowd.handler(s.api), ConnContext: crowd.context, ConnState: crowd.state, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, WriteTimeout: answerTime,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: streams, MaxReceiveBufferPerConnection: streamMemory, MaxReceiveBufferPerStream: streamMemory,
			SendPingTimeout: idleTime / 4, WriteByteTimeout: idleTime / 4,
		},
	}
	if own != nil {
		s.http.TLSConfig = own.config()
	}
	return s, nil
}

// HasDashboard reports whether pages for people are served.
func (s *Server) HasDashboard() bool { return s.pages != nil }

// reachable turns an address that listens everywhere into one that can be opened.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return address
	}
	return net.JoinHostPort("localhost", port)
}

// plain answers a question of the machinery: 200 "ok", or 503 and what is wrong.
func plain(ask func(*http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := ask(r); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, err.Error()+"\n") // the client has gone: there is nobody to tell
			return
		}
		_, _ = io.WriteString(w, "ok\n") // likewise
	})
}

func (s *Server) readiness(r *http.Request) error {
	if !s.ready.Load() {
		return errors.New("starting or stopping")
	}
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.Store.Ping(ctx); err != nil {
		s.config.Logger.Warn("the database does not answer", "error", err)
		return errors.New("the database does not answer")
	}
	return nil
}

// serve answers connections. A certificate is looked after until ctx ends.
func (s *Server) serve(ctx context.Context) error {
	if s.certificate == nil {
		return s.http.Serve(s.listen)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go s.certificate.watch(ctx)
	return s.http.ServeTLS(s.listen, "", "")
}

// Run serves until ctx ends, then stops: no new connections or requests, calls of tools get Settings.Grace to be answered
// and checkpointed, and it returns within 10 seconds. What is not done by then, for a database that does not answer, is left to
// others as after a crash, and is no error.
func (s *Server) Run(ctx context.Context) error {
	var group sync.WaitGroup
	engineContext, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	var engineErr error
	engineDone := make(chan struct{})
	go func() {
		defer close(engineDone)
		engineErr = s.engine.Run(engineContext)
	}()
	logContext, stopLog := context.WithCancel(context.WithoutCancel(ctx))
	defer stopLog()
	logDone := make(chan struct{})
	go func() {
		defer close(logDone)
		s.log.Run(logContext)
	}()
	serveErr := make(chan error, 1)
	group.Go(func() { serveErr <- s.serve(engineContext) })
	group.Go(func() { tuneMemory(engineContext) })
	group.Go(func() { s.watchQueue(engineContext) })
	if s.pages != nil {
		group.Go(func() { s.pages.Run(engineContext) })
	}
	if s.keys != nil {
		group.Go(func() {
			s.keys.NoteUses(engineContext, s.Store, func(err error) { s.config.Logger.Warn("the use of API keys could not be noted", "error", err) })
		})
	}
	s.ready.Store(true)

	var err error
	select {
	case <-ctx.Done():
	case <-engineDone:
		err = fmt.Errorf("the engine stopped: %w", engineErr)
	case err = <-serveErr:
	}
	s.ready.Store(false)
	told := time.Now()
	limit := told.Add(stopTime)
	stopEngine()
	shutdown, cancel := context.WithDeadline(context.WithoutCancel(ctx), told.Add(requestTime))
	defer cancel()
	if s.http.Shutdown(shutdown) != nil {
		_ = s.http.Close() // requests that do not end are cut
	}
	late := s.config.Logger.With("after", stopTime)
	if !by(limit.Add(-logTime-closeTime), ended(group.Wait)) {
		late.Warn("requests, or what goes on beside them, did not end in time")
	}
	if by(limit.Add(-logTime-closeTime), engineDone) {
		err = errors.Join(err, engineErr)
	} else {
		late.Warn("the engine did not stop in time: what it was about is taken up when its leases have run out")
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	stopLog()
	if !by(limit.Add(-closeTime), logDone) {
		late.Warn("the last interactions could not be written down in time")
	}
	var closed error
	if !by(limit, ended(func() { closed = s.Store.Close() })) {
		late.Warn("the database could not be closed in time")
		return err
	}
	return errors.Join(err, closed)
}

// ended is closed when f has returned.
func ended(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// by waits for something until a moment at most, and reports whether it has come to pass.
func by(limit time.Time, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
	}
	select {
	case <-done:
		return true
	case <-time.After(time.Until(limit)):
		return false
	}
}

// reader answers polls from the engine, and all else from the store.
type reader struct {
	store.Store
	tasks store.Tasks
}

// Task implements api.Reader.
func (r reader) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	return r.tasks.Task(ctx, environmentID, integrationID, taskID)
}
