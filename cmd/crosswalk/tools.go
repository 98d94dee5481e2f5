package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/server"
)

type toolsCommand struct {
	asJSON
	Tool string `arg:"" optional:"" help:"Only this one."`
}

func (c *toolsCommand) Help() string {
	return examplesOf("crosswalk tools", "crosswalk tools sandbox --json")
}

type fieldJSON struct {
	Name     string   `json:"name"`
	Type     string   `json:"type"`
	Choices  []string `json:"choices,omitempty"`
	Label    string   `json:"label"`
	Help     string   `json:"help"`
	Default  string   `json:"default,omitempty"`
	Example  string   `json:"example,omitempty"`
	Secret   bool     `json:"secret"`
	Required bool     `json:"required"`
	Shapes   bool     `json:"shapes"`
	// RefusesInactive is the choice with which inactive skills are refused.
	RefusesInactive string `json:"refuses_inactive,omitempty"`
}

type linkJSON struct {
	Label string `json:"label"`
	URL   string `json:"url"`
	Guide bool   `json:"guide"`
}

type toolJSON struct {
	ID             string                 `json:"id"`
	Label          string                 `json:"label"`
	Category       string                 `json:"category"`
	Summary        string                 `json:"summary"`
	Batch          int                    `json:"batch"`
	Concurrency    int                    `json:"concurrency"`
	CallsPerMinute float64                `json:"calls_per_minute,omitempty"`
	Capabilities   []connector.Capability `json:"capabilities"`
	Settings       []fieldJSON            `json:"settings"`
	Links          []linkJSON             `json:"links"`
	Beta           bool                   `json:"beta"`
}

func (c *toolsCommand) Run(a *app) error {
	// Descriptions need no database.
	list := server.Connectors(nil).All()
	if c.Tool != "" {
		list = slices.DeleteFunc(list, func(d connector.Description) bool { return d.Slug != c.Tool })
		if len(list) == 0 {
			return misuse("there is no connector for %q; crosswalk tools lists those there are", c.Tool)
		}
	}
	out := struct {
		Tools []toolJSON `json:"tools"`
	}{each(list, func(d connector.Description) toolJSON {
		return toolJSON{
			d.Slug, d.Label, string(d.Category), d.Summary, d.Limits.Batch, d.Limits.Concurrency, perMinute(d.Limits), d.Capabilities,
			each(d.Settings, func(f connector.Field) fieldJSON {
				return fieldJSON{f.Name, string(f.Type), f.Choices, f.Label, f.Help, f.Default, f.Example, f.Secret, f.Required, f.Shapes, f.RefusesInactive}
			}),
			each(d.Links, func(l connector.Link) linkJSON { return linkJSON(l) }), d.Beta,
		}
	})}
	return c.print(a, out, func(w io.Writer) {
		for i, d := range list {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "%s: %s, %s. %s\n", d.Slug, d.Label, d.Category, d.Summary)
			fmt.Fprintf(w, "It %s.\n\n", strings.Join(each(d.Capabilities, connector.Capability.Meaning), ", "))
			table(w, []string{"SETTING", "TYPE", "DEFAULT", "MEANING"}, each(d.Settings, func(f connector.Field) []string {
				return []string{f.Name, string(f.Type), f.Default, f.Help}
			}))
			for _, l := range d.Links {
				fmt.Fprintf(w, "%s: %s\n", l.Label, l.URL)
			}
		}
	})
}

func perMinute(l connector.Limits) float64 {
	if l.Per <= 0 {
		return 0
	}
	return float64(l.Calls) / l.Per.Minutes()
}
