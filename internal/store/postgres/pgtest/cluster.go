package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Options of a Cluster.
type Options struct {
	// Settings go into postgresql.conf. Everything is as safe as by default, fsync too, unless they say otherwise.
	Settings map[string]string
	// Dir is an existing folder for the data, for example on a small disk; the system's temporary folder if empty. If the
	// tests run as root it must be open to others, since PostgreSQL then runs as another user.
	Dir string
}

// Cluster is a PostgreSQL server of a test's own. Its address stays the same when it is stopped and started. The methods
// are for one goroutine, except URL.
type Cluster struct {
	tb testing.TB
	c  *cluster
}

// NewCluster makes a server and starts it. It is removed when the test ends, and also when the test binary is killed.
func NewCluster(tb testing.TB, options Options) *Cluster {
	tb.Helper()
	c, err := newCluster(options)
	if err != nil {
		tb.Fatal(fmt.Errorf("pgtest: %w. PostgreSQL is installed with: sudo apt-get install -y postgresql", err))
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the end of PostgreSQL's log:\n%s", c.logged())
		}
		if err := c.remove(); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return &Cluster{tb: tb, c: c}
}

// URL is the address of a database: postgres is there from the start.
func (c *Cluster) URL(database string) string {
	s := c.c.server(database)
	return s.url("")
}

// Addr is the host and port the server listens on.
func (c *Cluster) Addr() string { return c.c.addr() }

// Database makes a fresh database with the newest schema and returns its URL.
func (c *Cluster) Database(name string) string {
	c.tb.Helper()
	o := &owner{server: c.c.server("postgres")}
	if err := o.run(`CREATE DATABASE ` + name + ` TEMPLATE template0 ENCODING 'UTF8'`); err != nil {
		c.tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if err := migrate(ctx, c.URL(name)); err != nil {
		c.tb.Fatal(fmt.Errorf("pgtest: migrate %s: %w", name, err))
	}
	return c.URL(name)
}

// How a server stops.
const (
	// Fast ends all sessions, rolls back what they did, and shuts down in order.
	Fast = syscall.SIGINT
	// Immediate ends at once, without a checkpoint: the next start recovers from the log.
	Immediate = syscall.SIGQUIT
)

// Stop stops the server, Fast or Immediate, and returns when it is gone.
func (c *Cluster) Stop(how syscall.Signal) {
	c.tb.Helper()
	if err := c.c.stop(how); err != nil {
		c.tb.Fatal(fmt.Errorf("pgtest: %w", err))
	}
}

// Recover waits until a server answers that went through something; if that ended it, it is started again. One that has no
// space left for its log ends.
func (c *Cluster) Recover() {
	c.tb.Helper()
	if err := c.c.recover(); err != nil {
		c.tb.Fatal(fmt.Errorf("pgtest: %w", err))
	}
}

// Start starts a server that was stopped or killed, and returns when it answers.
func (c *Cluster) Start() {
	c.tb.Helper()
	if err := c.c.start(); err != nil {
		c.tb.Fatal(fmt.Errorf("pgtest: %w", err))
	}
}

// Kill ends the server and all of its processes with SIGKILL, and returns when they are gone.
func (c *Cluster) Kill() {
	c.tb.Helper()
	if err := c.c.kill(); err != nil {
		c.tb.Fatal(fmt.Errorf("pgtest: %w", err))
	}
}

// cluster is a Cluster without a test.
type cluster struct {
	programs
	run  string // the folder of log and sockets; its path is short, since that of a socket must be
	data string
	port int

	watchdog *exec.Cmd
	alive    io.Closer     // closed, also by our end: the watchdog removes everything
	process  *exec.Cmd     // nil: not started
	gone     chan struct{} // closed when it has ended
}

// newCluster makes a cluster and starts it.
func newCluster(options Options) (_ *cluster, err error) {
	p, err := findPrograms()
	if err != nil {
		return nil, err
	}
	c := &cluster{programs: p}
	defer func() {
		if err != nil {
			_ = c.remove() // the first error tells more
		}
	}()
	if c.run, err = p.folder(""); err != nil {
		return nil, err
	}
	home := c.run
	if options.Dir != "" {
		if home, err = p.folder(options.Dir); err != nil {
			return nil, err
		}
	}
	c.data = filepath.Join(home, "data")
	if err := c.watch(home); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	if out, err := p.command(ctx, "initdb", "--pgdata="+c.data, "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, bytes.TrimSpace(out))
	}
	for range 10 {
		c.port = freePort()
		if err := c.configure(options.Settings); err != nil {
			return nil, err
		}
		if err = c.start(); err == nil || !strings.Contains(c.logged(), "ddress already in use") {
			return c, err
		}
	}
	return nil, err
}

// watch starts a process that removes the cluster when this one ends, however it ends.
func (c *cluster) watch(home string) error {
	c.watchdog = exec.CommandContext(context.Background(), "/bin/sh", "-c", `
		cat >/dev/null
		[ ! -e "$2/data/postmaster.pid" ] || "$0/pg_ctl" stop -s -m immediate -t 20 -D "$2/data"
		rm -rf "$1" "$2" || exit 0 # the folder around them may be of somebody else`, c.bin, c.run, home)
	c.watchdog.Dir = "/"
	// A group of its own: Ctrl-C is for us alone.
	c.watchdog.SysProcAttr = &syscall.SysProcAttr{Credential: c.as, Setpgid: true}
	alive, err := c.watchdog.StdinPipe()
	if err != nil {
		return err
	}
	if err := c.watchdog.Start(); err != nil {
		return fmt.Errorf("start the watchdog: %w", err)
	}
	c.alive = alive
	return nil
}

// configure writes the settings. What stands last in the file holds.
func (c *cluster) configure(settings map[string]string) error {
	all := map[string]string{
		"listen_addresses": "127.0.0.1", "port": strconv.Itoa(c.port), "unix_socket_directories": c.run,
		"shared_buffers": "32MB", "logging_collector": "off", "log_destination": "stderr",
	}
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	file, err := os.OpenFile(filepath.Join(c.data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text.String())
	return errors.Join(err, file.Close())
}

// start starts the server and waits until it answers.
func (c *cluster) start() error {
	if c.running() {
		return errors.New("start PostgreSQL: it runs")
	}
	log, err := os.OpenFile(c.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := c.command(context.Background(), "postgres", "-D", c.data)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	gone := make(chan struct{})
	c.process, c.gone = cmd, gone
	go func() {
		defer close(gone)
		_ = cmd.Wait() // the log says how it ended
	}()
	return c.await()
}

// await waits until the server answers.
func (c *cluster) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for {
		err := c.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-c.gone:
			return fmt.Errorf("start PostgreSQL: it has ended: %s", c.logged())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("start PostgreSQL: it does not answer within %v: %w", limit, err), c.stop(Immediate))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (c *cluster) recover() error {
	if c.running() && c.await() == nil {
		return nil
	}
	return c.start()
}

func (c *cluster) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := c.server("postgres").connect(ctx, "")
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (c *cluster) running() bool {
	if c.process == nil {
		return false
	}
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// stop signals the server and waits for its end; after half a minute it is killed, which is an error.
func (c *cluster) stop(how syscall.Signal) error {
	if !c.running() {
		return nil
	}
	if err := c.process.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	select {
	case <-c.gone:
		return nil
	case <-time.After(limit / 2):
		return errors.Join(fmt.Errorf("stop PostgreSQL: %v did not end it within %v", how, limit/2), c.kill())
	}
}

// kill kills the server and its children.
func (c *cluster) kill() error {
	if !c.running() {
		return nil
	}
	// It is stopped first, so that it makes no more children while they are looked for.
	server := c.process.Process
	if err := server.Signal(syscall.SIGSTOP); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	children := childrenOf(server.Pid)
	if err := server.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill PostgreSQL: %w", err)
	}
	for _, child := range children {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended by itself
	}
	deadline := time.After(limit / 2)
	select {
	case <-c.gone:
	case <-deadline:
		return errors.New("kill PostgreSQL: it does not end")
	}
	for slices.ContainsFunc(children, lives) {
		select {
		case <-deadline:
			return errors.New("kill PostgreSQL: its children do not end")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// remove ends the server, and everything on disk.
func (c *cluster) remove() error {
	err := c.stop(Immediate)
	if c.alive == nil {
		return errors.Join(err, os.RemoveAll(c.run))
	}
	_ = os.Remove(filepath.Join(c.data, "postmaster.pid")) // after a kill it names a process that may be anybody's by now
	return errors.Join(err, c.alive.Close(), c.watchdog.Wait(), os.RemoveAll(filepath.Dir(c.data)), os.RemoveAll(c.run))
}

func (c *cluster) addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)) }

func (c *cluster) server(database string) server {
	address := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: c.addr(), Path: "/" + database, RawQuery: "sslmode=disable"}
	return server{address: address, started: c}
}

func (c *cluster) log() string { return filepath.Join(c.run, "log") }

// logged is the end of the server's log.
func (c *cluster) logged() string {
	const most = 4 << 10
	content, err := os.ReadFile(c.log())
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(content[max(0, len(content)-most):]))
}

// freePort finds a port for a server. It lies below those that systems give to outgoing connections, which would take it
// while the server is down.
func freePort() int {
	for {
		port := 15_000 + rand.IntN(15_000)
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))) //nolint:noctx // closed at once
		if err == nil {
			_ = listener.Close() // nothing was accepted
			return port
		}
	}
}
