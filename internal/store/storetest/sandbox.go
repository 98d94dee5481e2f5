package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
)

func rows(list ...string) []sandbox.Row {
	return each(list, func(name string) sandbox.Row { return sandbox.Row{ExternalID: "x-" + name, Name: name, Active: true} })
}

func sandboxCatalogue(t *testing.T, f *fixture) {
	ctx := t.Context()
	c := f.Sandbox()
	first, err := c.Write(ctx, "acme", rows("a", "b", "c"))
	if err != nil || len(first) != 3 {
		t.Fatalf("Write = %v, %v", first, err)
	}
	if _, err := c.Write(ctx, "other", rows("a", "z")); err != nil {
		t.Fatal(err)
	}
	// Some known by number, some by external id only, some new: each keeps its number, none is made twice.
	mixed := rows("b", "d", "a", "e")
	mixed[2].Seq, mixed[2].Active = first[0], false
	second, err := c.Write(ctx, "acme", mixed)
	if err != nil || second[0] != first[1] || second[2] != first[0] || second[1] == second[3] {
		t.Fatalf("Write = %v, %v after %v", second, err, first)
	}
	want := []sandbox.Record{
		{Row: sandbox.Row{Seq: first[0], ExternalID: "x-a", Name: "a"}, Writes: 2},
		{Row: sandbox.Row{Seq: first[1], ExternalID: "x-b", Name: "b", Active: true}, Writes: 2},
		{Row: sandbox.Row{Seq: first[2], ExternalID: "x-c", Name: "c", Active: true}, Writes: 1},
		{Row: sandbox.Row{Seq: second[1], ExternalID: "x-d", Name: "d", Active: true}, Writes: 1},
		{Row: sandbox.Row{Seq: second[3], ExternalID: "x-e", Name: "e", Active: true}, Writes: 1},
	}
	got, err := c.List(ctx, "acme", 0, 100)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("List: %v (-want +got):\n%s", err, diff)
	}
	if got, err = c.List(ctx, "acme", first[2], 1); err != nil || cmp.Diff(want[3:4], got) != "" {
		t.Errorf("the page after %d = %+v, %v", first[2], got, err)
	}
	if got, err = c.Page(ctx, "acme", "x-b", 2); err != nil || cmp.Diff(want[2:4], got) != "" {
		t.Errorf("the page after x-b = %+v, %v", got, err)
	}
	if err := c.Remove(ctx, "other", []string{"x-z", "nowhere"}); err != nil {
		t.Error(err)
	}
	if got, err = c.Page(ctx, "other", "", 10); err != nil || len(got) != 1 || got[0].ExternalID != "x-a" {
		t.Errorf("after one was removed: %+v, %v", got, err)
	}
	if got, err = c.List(ctx, "nobody", 0, 10); err != nil || len(got) != 0 {
		t.Errorf("another account's list = %+v, %v", got, err)
	}
	holders, err := c.Holders(ctx, "acme", []string{"a", "z", "e"})
	if diff := cmp.Diff(map[string]string{"a": "x-a", "e": "x-e"}, holders); err != nil || diff != "" {
		t.Errorf("Holders: %v (-want +got):\n%s", err, diff)
	}
	var many []sandbox.Row
	for i := range 1000 {
		many = append(many, rows(fmt.Sprint(i))...)
	}
	for range 2 {
		if seqs, err := c.Write(ctx, "many", many); err != nil || len(seqs) != len(many) {
			t.Fatalf("Write of many: %d, %v", len(seqs), err)
		}
	}
	if got, err = c.List(ctx, "many", 0, 2000); err != nil || len(got) != len(many) || got[0].Writes != 2 {
		t.Errorf("many: %d, %v", len(got), err)
	}
	if seqs, err := c.Write(ctx, "acme", nil); err != nil || len(seqs) != 0 {
		t.Errorf("Write of nothing = %v, %v", seqs, err)
	}
}

func sandboxTraffic(t *testing.T, f *fixture) {
	ctx := t.Context()
	c := f.Sandbox()
	for i, want := range []time.Duration{0, 0, time.Minute, 50 * time.Second, 0, 0, time.Minute} {
		switch i {
		case 3:
			f.clock.advance(10 * time.Second)
		case 4:
			f.clock.advance(50 * time.Second)
		}
		if wait, err := c.Admit(ctx, "acme", 2, time.Minute); err != nil || wait != want {
			t.Errorf("call %d: wait %v, %v, want %v", i, wait, err, want)
		}
	}
	if wait, err := c.Admit(ctx, "other", 2, time.Minute); err != nil || wait != 0 {
		t.Errorf("another account waits %v, %v", wait, err)
	}
	for i, want := range [][]int{{0, 0}, {1, 1}, {2, 2}} {
		if got, err := c.Steps(ctx, "acme", []string{"a", "b"}); err != nil || cmp.Diff(want, got) != "" {
			t.Errorf("steps %d = %v, %v, want %v", i, got, err, want)
		}
	}
	if got, err := c.Steps(ctx, "other", []string{"a"}); err != nil || got[0] != 0 {
		t.Errorf("another account's steps = %v, %v", got, err)
	}
}
