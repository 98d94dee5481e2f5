// Command crosswalk is the whole of Crosswalk in one program: the server, its administration, and a client for the command
// line. See README.md, and crosswalk --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// Exit codes, as documented in the help and in docs/cli.md.
const (
	exitOK          = 0
	exitMisuse      = 1   // used wrongly, or refused
	exitTrouble     = 2   // server, network or database
	exitSomeFailed  = 3   // some skills failed; skills diff: something would change
	exitTaskFailed  = 4   // the task failed
	exitInterrupted = 130 // by a signal; a task that was watched goes on
)

type cli struct {
	Serve        serveCommand        `cmd:"" help:"Serve the API and write skills into the tools."`
	Demo         demoCommand         `cmd:"" help:"Show the whole of it in a temporary folder: 12,944 real skills."`
	Skills       skillsCommand       `cmd:"" help:"Send skills to a server, and see what a tool holds."`
	Tasks        tasksCommand        `cmd:"" help:"Follow what became of skills that were sent."`
	Keys         keysCommand         `cmd:"" help:"Administer API keys."`
	Environments environmentsCommand `cmd:"" help:"Administer environments: nothing crosses from one to another."`
	Users        usersCommand        `cmd:"" help:"Administer who may sign in to the dashboard."`
	Integrations integrationsCommand `cmd:"" help:"Administer integrations: a customer's tool, linked to an environment."`
	Logs         logsCommand         `cmd:"" help:"Look at requests and answers: of callers, and of tools."`
	MasterKey    masterKeyCommand    `cmd:"" help:"Make a master key, and see which one a database has noted."`
	Backup       backupCommand       `cmd:"" help:"Copy the embedded database into a file, while a server runs."`
	Move         moveCommand         `cmd:"" help:"Copy an embedded database into PostgreSQL, for good."`
	Restore      restoreCommand      `cmd:"" help:"Put such a copy in the place of the embedded database."`
	Doctor       doctorCommand       `cmd:"" help:"Look whether the database and the queue are well, and say what to do where they are not."`
	Tools        toolsCommand        `cmd:"" help:"List the tools there are connectors for, and their settings."`
	Version      versionCommand      `cmd:"" help:"Print the version."`
}

// app is what commands work with besides their flags.
type app struct {
	ctx      context.Context //nolint:containedctx // kong calls Run without one
	in       io.Reader
	out      io.Writer // results
	err      io.Writer // progress, warnings, errors
	fancy    bool      // err is a terminal: bars
	coloured bool      // and colour
	asking   bool      // in is a terminal: somebody can be asked
}

// exitError is an error with an exit code. A nil err says nothing: everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func main() { os.Exit(run()) } //nolint:forbidigo // the one place

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// The second Ctrl-C is the default one: leave at once.
	context.AfterFunc(ctx, stop)
	terminal := term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb"
	a := &app{
		ctx: ctx, in: os.Stdin, out: os.Stdout, err: os.Stderr,
		fancy: terminal, coloured: terminal && os.Getenv("NO_COLOR") == "", asking: term.IsTerminal(int(os.Stdin.Fd())),
	}
	return a.run(os.Args[1:])
}

// exited carries an exit code out of kong, which wants to end the process itself.
type exited int

func (a *app) run(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(exited)
			if !ok {
				panic(p)
			}
			code = int(e)
		}
	}()
	var c cli
	parser, err := kong.New(&c,
		kong.Name("crosswalk"),
		kong.Description("Keeps skill catalogues in step across HR and learning systems. A flag with a variable beside it can "+
			"also be given as that variable.\n\nExit codes: 0 all in step; 1 used wrongly or refused; 2 server, network or database; 3 some "+
			"skills failed; 4 the task failed; 130 interrupted."),
		kong.Writers(a.out, a.err),
		kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.Bind(a),
		kong.ValueFormatter(helpText),
	)
	if err != nil {
		panic(err) // the flags above contradict each other
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(a.err, "crosswalk: %v\n", err)
		if e, ok := errors.AsType[*kong.ParseError](err); ok && e.Context != nil {
			fmt.Fprintf(a.err, "See %s --help.\n", commandPath(e.Context))
		}
		return exitMisuse
	}
	return a.report(command.Run())
}

// helpText tells a flag's default, which kong leaves out where there is a placeholder, and its variable.
func helpText(v *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(v)
	if v.Flag == nil || v.Flag.PlaceHolder == "" || v.Default == "" {
		return help
	}
	return strings.TrimSuffix(help, ".") + ", default " + v.Default + "."
}

func commandPath(c *kong.Context) string {
	names := []string{"crosswalk"}
	for _, p := range c.Path {
		if p.Command != nil {
			names = append(names, p.Command.Name)
		}
	}
	return strings.Join(names, " ")
}

// report tells an error and returns its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	code := exitTrouble
	if e, ok := errors.AsType[*exitError](err); ok {
		code = e.code
		if e.err == nil {
			return code
		}
	} else if a.ctx.Err() != nil && errors.Is(err, context.Canceled) {
		code, err = exitInterrupted, errors.New("interrupted")
	} else if kind := skill.KindOf(err); kind == skill.Invalid || kind == skill.NotFound || kind == skill.Conflict {
		code = exitMisuse
	} else if e, ok := errors.AsType[*client.Error](err); ok && e.HTTPStatus >= 400 && e.HTTPStatus < 500 {
		code = exitMisuse
	}
	fmt.Fprintf(a.err, "crosswalk: %v\n", err)
	return code
}

// misuse makes an error of the user's doing.
func misuse(format string, args ...any) error {
	return &exitError{exitMisuse, fmt.Errorf(format, args...)}
}
