package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/server"
)

// The list of tools says of each all that a program needs to make an integration: fields, limits, capabilities, the vendor's pages.
func TestToolsInJSON(t *testing.T) {
	t.Parallel()
	var out, trouble bytes.Buffer
	a := &app{ctx: t.Context(), in: &bytes.Buffer{}, out: &out, err: &trouble}
	if code := a.run([]string{"tools", "--json"}); code != exitOK {
		t.Fatalf("exit %d: %s", code, trouble.String())
	}
	var list struct{ Tools []toolJSON }
	decode := json.NewDecoder(&out)
	decode.DisallowUnknownFields()
	if err := decode.Decode(&list); err != nil {
		t.Fatal(err)
	}
	all := server.Connectors(nil).All()
	if len(list.Tools) != len(all) {
		t.Fatalf("%d tools, there are %d", len(list.Tools), len(all))
	}
	for i, d := range all {
		got := list.Tools[i]
		if got.ID != d.Slug || got.Label != d.Label || got.Category != string(d.Category) || got.Summary != d.Summary ||
			got.Batch != d.Limits.Batch || got.Concurrency != d.Limits.Concurrency || (got.CallsPerMinute > 0) != (d.Limits.Calls > 0) ||
			!slices.Equal(got.Capabilities, d.Capabilities) || got.Beta != d.Beta {
			t.Errorf("%+v, want %+v", got, d)
		}
		fields := make([]connector.Field, len(got.Settings))
		for i, f := range got.Settings {
			fields[i] = connector.Field{
				Name: f.Name, Type: connector.FieldType(f.Type), Choices: f.Choices, Label: f.Label, Help: f.Help, Default: f.Default,
				Example: f.Example, Secret: f.Secret, Required: f.Required, Shapes: f.Shapes, RefusesInactive: f.RefusesInactive,
			}
		}
		if diff := cmp.Diff(d.Settings, fields, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", d.Slug, diff)
		}
		links := each(got.Links, func(l linkJSON) connector.Link { return connector.Link(l) })
		if diff := cmp.Diff(d.Links, links, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: links (-want +got):\n%s", d.Slug, diff)
		}
	}
}
