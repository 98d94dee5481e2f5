package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/server"
)

type serveCommand struct {
	database
	masterKey
	openID
	Role              string        `help:"all, api (takes requests alone) or worker (works off tasks alone)." enum:"all,api,worker" default:"all" env:"CROSSWALK_ROLE" placeholder:"ROLE"`
	Listen            string        `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:8080" env:"CROSSWALK_LISTEN" placeholder:"HOST:PORT"`
	PublicURL         string        `help:"Where clients reach this server; made from --listen if not given." env:"CROSSWALK_PUBLIC_URL" placeholder:"URL"`
	TLSCert           string        `name:"tls-cert" help:"PEM file with the certificate and its chain; with it the server speaks HTTPS. Read again when it changes." env:"CROSSWALK_TLS_CERT" type:"path" placeholder:"FILE"`
	TLSKey            string        `name:"tls-key" help:"PEM file with the certificate's private key." env:"CROSSWALK_TLS_KEY" type:"path" placeholder:"FILE"`
	TrustedProxies    []string      `help:"Addresses and networks of proxies; the X-Forwarded-For of nobody else is believed." env:"CROSSWALK_TRUSTED_PROXIES" placeholder:"CIDR"`
	Dashboard         bool          `help:"Serve the dashboard, the pages for people; --no-dashboard leaves it out." default:"true" negatable:"" env:"CROSSWALK_DASHBOARD"`
	MaxConnections    int           `help:"Most connections of clients; beyond it those without a request are closed." default:"4096" env:"CROSSWALK_MAX_CONNECTIONS" placeholder:"N"`
	MaxItems          int           `help:"Most items of one request." default:"10000" env:"CROSSWALK_MAX_ITEMS" placeholder:"N"`
	MaxWaiting        int           `help:"Most items that wait for one integration; beyond it requests get 429." default:"1000000" env:"CROSSWALK_MAX_WAITING" placeholder:"N"`
	TaskTimeout       time.Duration `help:"How long after its submission a task ends, come what may." default:"24h" env:"CROSSWALK_TASK_TIMEOUT"`
	Drains            int           `help:"Integrations worked on at once." default:"64" env:"CROSSWALK_DRAINS" placeholder:"N"`
	Attempts          int           `help:"Failed calls in a row after which a task is given up." default:"10" env:"CROSSWALK_ATTEMPTS" placeholder:"N"`
	Backoff           time.Duration `help:"Wait after the first failed call; it doubles, up to --backoff-most." default:"500ms" env:"CROSSWALK_BACKOFF"`
	BackoffMost       time.Duration `help:"Longest wait between two calls, unless the tool asks for more." default:"1m" env:"CROSSWALK_BACKOFF_MOST"`
	CallTimeout       time.Duration `help:"Longest call of a tool." default:"2m" env:"CROSSWALK_CALL_TIMEOUT"`
	JobTimeout        time.Duration `help:"How long a tool may work on a job of its own." default:"1h" env:"CROSSWALK_JOB_TIMEOUT"`
	AllowPrivateTools bool          `help:"Let tools be at private and loopback addresses, on one's own network." env:"CROSSWALK_ALLOW_PRIVATE_TOOLS"`
	SyncEvery         time.Duration `help:"How often each tool's skills are read back; 0 is only when somebody asks for it." default:"24h" env:"CROSSWALK_SYNC_EVERY"`
	KeepTasks         time.Duration `help:"How long a task is kept after its end." default:"720h" env:"CROSSWALK_KEEP_TASKS"`
	KeepTombstones    time.Duration `help:"For how long it is known after that that there was one." default:"8760h" env:"CROSSWALK_KEEP_TOMBSTONES"`
	LogInteractions   string        `help:"Which requests and answers are kept for people, without secrets: all that change something or fail, errors alone, or off." enum:"all,errors,off" default:"all" env:"CROSSWALK_LOG_INTERACTIONS" placeholder:"WHICH"`
	KeepLogs          time.Duration `help:"How long they are kept." default:"336h" env:"CROSSWALK_KEEP_LOGS"`
	LogLevel          slog.Level    `help:"debug, info, warn or error." default:"info" env:"CROSSWALK_LOG_LEVEL" placeholder:"LEVEL"`
	LogFormat         string        `help:"text, json, or auto: text on a terminal." enum:"auto,text,json" default:"auto" env:"CROSSWALK_LOG_FORMAT"`
}

func (c *serveCommand) Help() string {
	return examplesOf("crosswalk serve", "crosswalk serve --listen :8080 --public-url https://skills.example.com --database postgres://crosswalk@db.example.com/crosswalk")
}

func (c *serveCommand) Validate() error {
	switch {
	case c.MaxConnections < 1:
		return errors.New("--max-connections must be at least 1")
	case c.MaxItems < 1:
		return errors.New("--max-items must be at least 1")
	case c.MaxWaiting < c.MaxItems:
		return errors.New("--max-waiting must be at least --max-items, or no full request would ever be taken")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return errors.New("--tls-cert and --tls-key are given together")
	case c.Drains < 1:
		return errors.New("--drains must be at least 1")
	case c.Attempts < 1:
		return errors.New("--attempts must be at least 1")
	case c.TaskTimeout < time.Second:
		return errors.New("--task-timeout must be at least 1s")
	case c.Backoff <= 0 || c.BackoffMost < c.Backoff:
		return errors.New("--backoff must be above 0, and --backoff-most not below it")
	case c.CallTimeout <= 0:
		return errors.New("--call-timeout must be above 0")
	case c.JobTimeout <= 0:
		return errors.New("--job-timeout must be above 0")
	case c.SyncEvery != 0 && c.SyncEvery < time.Minute:
		return errors.New("--sync-every must be at least 1m, or 0")
	case c.KeepTasks < time.Minute || c.KeepTombstones < time.Minute:
		return errors.New("--keep-tasks and --keep-tombstones must be at least 1m")
	case c.KeepLogs < time.Minute:
		return errors.New("--keep-logs must be at least 1m")
	}
	return nil
}

func (c *serveCommand) Run(a *app) error {
	log := c.logger(a.err)
	provider, err := c.settings()
	if err != nil {
		return err
	}
	s, err := server.Start(a.ctx, server.Config{
		Role: server.Role(c.Role), Listen: c.Listen, PublicURL: c.PublicURL, Database: c.where(), MasterKey: c.source(), MaxItems: c.MaxItems,
		MaxConnections: c.MaxConnections, AllowPrivateTools: c.AllowPrivateTools, TLSCert: c.TLSCert, TLSKey: c.TLSKey, TrustedProxies: c.TrustedProxies, Logger: log,
		Dashboard: c.Dashboard, OpenID: provider, Version: version(),
		Engine: engine.Settings{
			TaskTimeout: c.TaskTimeout, Drains: c.Drains, Attempts: c.Attempts, Backoff: c.Backoff, BackoffMost: c.BackoffMost,
			CallTimeout: c.CallTimeout, JobTimeout: c.JobTimeout, SyncEvery: c.SyncEvery, MostWaiting: c.MaxWaiting, KeepTasks: c.KeepTasks, KeepTombstones: c.KeepTombstones,
			KeepLogs: c.KeepLogs,
		},
		Interactions: interactions.Mode(c.LogInteractions),
	})
	if err != nil {
		return err
	}
	where := c.where().String()
	fmt.Fprintf(a.out, "Crosswalk %s serves %s\n  data        %s\n", version(), s.URL, where)
	if server.Role(c.Role) == server.Worker {
		fmt.Fprint(a.out, "  role        worker: no API here, but /healthz, /readyz and /metrics\n")
	} else {
		fmt.Fprintf(a.out, "  make a key  crosswalk keys create --name NAME%s\n  the API     %s/openapi.yaml\n", c.dataFlag(), s.URL)
	}
	if s.SetupLink != "" {
		fmt.Fprintf(a.out, "  set up      %s\n              makes the dashboard's first user; it works once, until tomorrow\n", s.SetupLink)
	} else if s.HasDashboard() {
		fmt.Fprintf(a.out, "  dashboard   %s/\n", s.URL)
	}
	log.Info("serving", "role", c.Role, "url", s.URL, "address", s.Address, "database", where, "version", version())
	err = s.Run(a.ctx)
	log.Info("stopped")
	return err
}

// dataFlag repeats where the data lies, for a command that can be pasted.
func (c *serveCommand) dataFlag() string {
	switch {
	case os.Getenv("CROSSWALK_DATABASE") != "", c.Database == "" && os.Getenv("CROSSWALK_DATA") != "":
		return ""
	case strings.HasPrefix(c.Database, "sqlite:"):
		return " --database " + c.Database
	case c.Database != "":
		return " --database " + c.where().String() // its password is not for the screen
	default:
		return " --data " + c.Data
	}
}

func (c *serveCommand) logger(w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	text := c.LogFormat == "text" || c.LogFormat == "auto" && term.IsTerminal(int(os.Stderr.Fd()))
	if text {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

type versionCommand struct{ asJSON }

func (c *versionCommand) Help() string {
	return examplesOf("crosswalk version", "crosswalk version --json")
}

func (c *versionCommand) Run(a *app) error {
	out := struct {
		Version string `json:"version"`
	}{version()}
	return c.print(a, out, func(w io.Writer) { fmt.Fprintln(w, "crosswalk", out.Version) })
}

// version is the module's, or that of the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}
