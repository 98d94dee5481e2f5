package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type environmentsCommand struct {
	Create environmentsCreate `cmd:"" help:"Make an environment."`
	List   environmentsList   `cmd:"" help:"List the environments."`
	Set    environmentsSet    `cmd:"" help:"Say how the page behaves where customers connect their tools. Without flags, show it."`
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
