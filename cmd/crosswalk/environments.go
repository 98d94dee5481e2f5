package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/engine"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type environmentsCommand struct {
	Create environmentsCreate `cmd:"" help:"Make an environment."`
	List   environmentsList   `cmd:"" help:"List the environments."`
	Set    environmentsSet    `cmd:"" help:"Say how the page behaves where customers connect their tools. Without flags, show it."`
	Rename environmentsRename `cmd:"" help:"Call an environment something else. Its id stays."`
	Delete environmentsDelete `cmd:"" help:"Delete an empty environment."`
	Erase  environmentsErase  `cmd:"" help:"Erase an environment with all it holds, for ever."`
}

type environmentsCreate struct {
	database
	asJSON
	Name string `help:"What people call it." required:""`
}

func (c *environmentsCreate) Help() string {
	return examplesOf("crosswalk environments create --name staging", "crosswalk environments create --name staging --json")
}

type environmentJSON struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	CreatedAt *string `json:"created_at"`
}

func environmentOut(e store.Environment) environmentJSON {
	return environmentJSON{e.ID, e.Name, atJSON(e.CreatedAt)}
}

func (c *environmentsCreate) Run(a *app) error {
	if strings.TrimSpace(c.Name) == "" {
		return misuse("--name is blank")
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		var env store.Environment
		err := recorded(ctx, s, "", "environment.create", "", "“"+c.Name+"”", func() (err error) {
			env, err = s.CreateEnvironment(ctx, c.Name)
			return err
		})
		if err != nil {
			return err
		}
		return c.print(a, environmentOut(env), func(w io.Writer) { fmt.Fprintf(w, "environment %s, id %s\n", env.Name, env.ID) })
	})
}

type environmentsList struct {
	database
	asJSON
}

func (c *environmentsList) Help() string {
	return examplesOf("crosswalk environments list", "crosswalk environments list --data /var/lib/crosswalk --json")
}

func (c *environmentsList) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		envs, err := s.Environments(ctx)
		if err != nil {
			return err
		}
		out := struct {
			Environments []environmentJSON `json:"environments"`
		}{each(envs, environmentOut)}
		return c.print(a, out, func(w io.Writer) {
			table(w, []string{"NAME", "ID", "CREATED"}, each(envs, func(e store.Environment) []string {
				return []string{e.Name, e.ID, at(e.CreatedAt)}
			}))
		})
	})
}

type environmentsSet struct {
	database
	asJSON
	Name            string  `arg:"" help:"Name or id of the environment."`
	ConnectOrigins  *string `help:"Origins of your pages that may embed or open the page, and are told the token, with commas between them; empty for none." placeholder:"ORIGIN,…"`
	ConnectRedirect *string `help:"Where the page leads to in the end, with the token as ?token=…; empty for nowhere." placeholder:"URL"`
}

func (c *environmentsSet) Help() string {
	return examplesOf(
		"crosswalk environments set default --connect-origins https://app.example.com",
		"crosswalk environments set staging --connect-redirect https://app.example.com/connected --json",
	)
}

type connectJSON struct {
	ID       string   `json:"id"`
	Name     string   `json:"name"`
	Origins  []string `json:"connect_origins"`
	Redirect *string  `json:"connect_redirect"`
}

func (c *environmentsSet) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := s.Environment(ctx, c.Name)
		if err != nil {
			return err
		}
		settings, err := s.ConnectSettings(ctx, env.ID)
		if err != nil {
			return err
		}
		if c.ConnectOrigins != nil {
			list := strings.FieldsFunc(*c.ConnectOrigins, func(r rune) bool { return r == ',' || r == ' ' })
			parsed, err := store.ParseConnectSettings(list, "")
			if err != nil {
				return misuse("--connect-origins: %w", err)
			}
			settings.Origins = parsed.Origins
		}
		if c.ConnectRedirect != nil {
			parsed, err := store.ParseConnectSettings(nil, *c.ConnectRedirect)
			if err != nil {
				return misuse("--connect-redirect: %w", err)
			}
			settings.Redirect = parsed.Redirect
		}
		if c.ConnectOrigins != nil || c.ConnectRedirect != nil {
			if err := recorded(ctx, s, env.ID, "environment.connect", env.ID, "“"+env.Name+"”", func() error {
				return s.SetConnectSettings(ctx, env.ID, settings)
			}); err != nil {
				return err
			}
		}
		out := connectJSON{ID: env.ID, Name: env.Name, Origins: append([]string{}, settings.Origins...)}
		if settings.Redirect != "" {
			out.Redirect = &settings.Redirect
		}
		return c.print(a, out, func(w io.Writer) {
			table(w, []string{"environment", env.Name}, [][]string{
				{"may embed the page", cmp.Or(strings.Join(settings.Origins, ", "), "nobody")},
				{"the page leads to", cmp.Or(settings.Redirect, "nowhere")},
			})
		})
	})
}

type environmentsRename struct {
	database
	asJSON
	Name string `arg:"" help:"Name or id of the environment."`
	To   string `arg:"" help:"What people call it from now on."`
}

func (c *environmentsRename) Help() string {
	return examplesOf("crosswalk environments rename staging acceptance", "crosswalk environments rename 1pAYpoxj1NKa8JbTQEeSevcP acceptance --json")
}

func (c *environmentsRename) Run(a *app) error {
	if strings.TrimSpace(c.To) == "" {
		return misuse("the new name is blank")
	}
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := s.Environment(ctx, c.Name)
		if err != nil {
			return err
		}
		if err := recorded(ctx, s, env.ID, "environment.rename", env.ID, "“"+env.Name+"” is called “"+c.To+"”", func() (err error) {
			env, err = s.RenameEnvironment(ctx, env.ID, c.To)
			return err
		}); err != nil {
			return err
		}
		return c.print(a, environmentOut(env), func(w io.Writer) { fmt.Fprintf(w, "environment %s, id %s\n", env.Name, env.ID) })
	})
}

type environmentsDelete struct {
	database
	asJSON
	Name string `arg:"" help:"Name or id of the environment."`
	Yes  bool   `help:"Do not ask on a terminal."`
}

func (c *environmentsDelete) Help() string {
	return examplesOf("crosswalk environments delete staging", "crosswalk environments delete staging --yes --json")
}

func (c *environmentsDelete) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := dispensable(ctx, s, c.Name)
		if err != nil {
			return err
		}
		if a.asking && !c.Yes {
			if err := a.confirm("its name", env.Name, "delete", "it"); err != nil {
				return err
			}
		}
		err = recorded(ctx, s, "", "environment.delete", env.ID, "“"+env.Name+"”", func() error { return s.DeleteEnvironment(ctx, env.ID) })
		if errors.Is(err, store.ErrInUse) {
			return misuse("%s is not empty: it has integrations, or had some whose tasks can still be read, or API keys that are good. "+
				"crosswalk environments erase takes all of it away", env.Name)
		}
		if err != nil {
			return err
		}
		return c.print(a, environmentOut(env), func(w io.Writer) { fmt.Fprintf(w, "%s is deleted\n", env.Name) })
	})
}

// dispensable finds an environment that may be done away with. There is one that may not.
func dispensable(ctx context.Context, s store.Store, name string) (store.Environment, error) {
	env, err := s.Environment(ctx, name)
	if err == nil && env.Name == store.DefaultEnvironment {
		err = misuse("the environment %s is the one that a server makes for itself: it stays. It can be renamed", env.Name)
	}
	return env, err
}

type environmentsErase struct {
	database
	asJSON
	Name string `arg:"" help:"Name or id of the environment."`
	Yes  string `help:"Its name once more: nothing is asked. Needed where there is no terminal." placeholder:"NAME"`
}

func (c *environmentsErase) Help() string {
	return "Keys, integrations, tasks with their skills and results, the catalogue with all ids, links and logs. From that moment on every " +
		"request to it is answered as if it had never been there; work under way ends. What was written into the customers' tools stays " +
		"there, and the audit log stays for a year. Interrupted, it is erased all the same: a server removes what is left.\n\n" +
		examplesOf("crosswalk environments erase staging", "crosswalk environments erase staging --yes staging --json")
}

func (c *environmentsErase) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		env, err := dispensable(ctx, s, c.Name)
		if err != nil {
			return err
		}
		switch {
		case c.Yes == "" && !a.asking:
			err = misuse("this cannot be undone: give the name of the environment once more, as --yes NAME")
		case c.Yes == "":
			err = a.confirm("its name", env.Name, "erase", "it with all it holds")
		case c.Yes != env.Name:
			err = misuse("that is not its name, which is %s; nothing was erased", env.Name)
		}
		if err != nil {
			return err
		}
		if err := recorded(ctx, s, "", "environment.erase", env.ID, "“"+env.Name+"” with all it held", func() error {
			return s.EraseEnvironment(ctx, env.ID)
		}); err != nil {
			return err
		}
		bar, removed := newProgress(a, "erasing", unknown), 0
		err = engine.Erase(ctx, s, commandLine, func(some store.Erasing) {
			removed += some.Removed
			bar.set(removed)
		})
		bar.finish()
		if err != nil {
			fmt.Fprintf(a.err, "%s is erased for everybody; a server removes what is left of it\n", env.Name)
			return err
		}
		out := struct {
			ID      string `json:"id"`
			Name    string `json:"name"`
			Removed int    `json:"removed"`
		}{env.ID, env.Name, removed}
		return c.print(a, out, func(w io.Writer) {
			fmt.Fprintf(w, "%s is erased, %s removed. What was in use until now, a server removes within minutes.\n", env.Name, counted(removed, "row"))
		})
	})
}
