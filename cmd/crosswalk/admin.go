package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// database is embedded in commands that work on the database directly, also while a server runs on it.
type database struct {
	Data                string `help:"Folder of the embedded database." default:"./crosswalk-data" env:"CROSSWALK_DATA" type:"path" placeholder:"DIR"`
	Database            string `help:"Database: postgres://USER@HOST/NAME, sqlite:FILE, or nothing for the SQLite file in --data." env:"CROSSWALK_DATABASE" placeholder:"URL"`
	DatabasePooler      bool   `help:"A pooler in transaction mode stands before PostgreSQL: rely on nothing of a session, and poll for jobs." env:"CROSSWALK_DATABASE_POOLER"`
	DatabaseConnections int    `help:"Most connections of this process to PostgreSQL." default:"16" env:"CROSSWALK_DATABASE_CONNECTIONS" placeholder:"N"`
}

func (d database) where() server.Database {
	return server.Database{Data: d.Data, URL: d.Database, Pooler: d.DatabasePooler, Conns: d.DatabaseConnections}
}

// with opens the database for f.
func (d database) with(a *app, f func(ctx context.Context, s store.Store) error) error {
	if path, embedded := d.where().File(); embedded {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			fmt.Fprintf(a.err, "a new database is made in %s\n", filepath.Dir(path))
		}
	}
	return d.withAlone(a, false, f)
}

// withAlone is with for what a server must not run beside, if alone: then it is refused while one has the embedded database.
func (d database) withAlone(a *app, alone bool, f func(ctx context.Context, s store.Store) error) error {
	s, err := d.where().Open(a.ctx, alone, "administers it", nil, nil)
	if err != nil {
		return err
	}
	return errors.Join(explain(f(a.ctx, s)), s.Close())
}

// explain turns the store's plain errors into ones a user can act on.
func explain(err error) error {
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrExists):
		return &exitError{exitMisuse, err}
	default:
		return err
	}
}

// commandLine is whom the audit log names for what commands do.
const commandLine = "the command line"

// recorded notes in the audit log what the command line is about to do.
func recorded(ctx context.Context, s store.Recorder, environmentID, action, target, detail string, do func() error) error {
	var untold error
	err := store.Act(ctx, s, store.AuditEntry{
		EnvironmentID: environmentID, UserName: commandLine, Action: action, Target: target, Detail: detail,
	}, func(context.Context) error { return do() }, func(_ string, err error) { untold = err })
	return errors.Join(err, untold)
}

// labelOf names an integration in the audit log.
func labelOf(in store.Integration) string {
	return describe(in.Tool).Label + " of " + in.EndUser.OrganisationName
}

// environmentFilter resolves an optional environment, and gives the names of all.
func environmentFilter(ctx context.Context, s store.Store, nameOrID string) (id string, names map[string]string, err error) {
	envs, err := s.Environments(ctx)
	if err != nil {
		return "", nil, err
	}
	names = make(map[string]string, len(envs))
	for _, e := range envs {
		names[e.ID] = e.Name
	}
	if nameOrID == "" {
		return "", names, nil
	}
	env, err := s.Environment(ctx, nameOrID)
	return env.ID, names, err
}

// examples is the end of a command's help.
func examplesOf(lines ...string) string { return "Examples:\n\n  " + strings.Join(lines, "\n  ") }

func each[In, Out any](in []In, f func(In) Out) []Out {
	out := make([]Out, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// confirm has a name typed before something is deleted or erased for ever: verb says which.
func (a *app) confirm(whose, name, verb, what string) error {
	fmt.Fprintf(a.err, "This cannot be undone. Type %s (%s) to %s %s: ", whose, name, verb, what)
	if readLine(a.in) != name {
		return misuse("that is not its name; nothing was %sd", verb)
	}
	return nil
}

// readLine reads up to the end of a line, byte by byte: what follows is not ours.
func readLine(in io.Reader) string {
	var line []byte
	for b := make([]byte, 1); ; {
		if n, err := in.Read(b); n == 0 || err != nil || b[0] == '\n' {
			return strings.TrimRight(string(line), "\r")
		}
		line = append(line, b[0])
	}
}
