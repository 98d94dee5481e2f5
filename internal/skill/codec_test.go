package skill_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

var items = rapid.SliceOf(rapid.Custom(func(t *rapid.T) skill.Item {
	return skill.Item{
		OriginID: rapid.String().Draw(t, "origin_id"),
		Name:     rapid.String().Draw(t, "name"),
		Status:   rapid.SampledFrom([]skill.Status{skill.Active, skill.Inactive}).Draw(t, "status"),
	}
}))

var outcomes = rapid.SliceOf(rapid.Custom(func(t *rapid.T) skill.Outcome {
	o := skill.Outcome{Kind: skill.OutcomeKind(rapid.IntRange(int(skill.Written), int(skill.Unknown)).Draw(t, "kind"))}
	if o.Succeeded() {
		o.SkillID = rapid.StringN(0, 24, -1).Draw(t, "id")
	} else {
		o.Code = rapid.SampledFrom([]skill.Code{skill.CodeRemoteInput, skill.CodeTaskTimedOut}).Draw(t, "code")
		o.Message = rapid.StringN(0, 3, -1).Draw(t, "message")
		o.Interaction = rapid.SampledFrom([]string{"", "28KMdr68N8kG9EzLwjsN9aoz", "28KMdr68N8kG9EzLwjsN9aox"}).Draw(t, "interaction")
	}
	return o
}))

func TestItemsSurviveTheirBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := items.Draw(t, "items")
		got, err := skill.DecodeItems(skill.AppendItems(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestOutcomesSurviveTheirBlock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := outcomes.Draw(t, "outcomes")
		got, err := skill.DecodeOutcomes(skill.AppendOutcomes(nil, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Unfinished tasks of an earlier version have blocks without interactions.
func TestOldOutcomesAreRead(t *testing.T) {
	block := []byte{1, 3, 1, 1, 'C', 2, 'n', 'o'}
	block = append(block, byte(skill.Rejected), 0, byte(skill.Written), 2, 'i', 'd', byte(skill.Unknown), 0)
	got, err := skill.DecodeOutcomes(block)
	if err != nil {
		t.Fatal(err)
	}
	want := []skill.Outcome{
		{Kind: skill.Rejected, Code: "C", Message: "no"}, {Kind: skill.Written, SkillID: "id"}, {Kind: skill.Unknown, Code: "C", Message: "no"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A damaged block is an error: never a panic, never a huge allocation, never something else's content.
func FuzzDecodeItems(f *testing.F) {
	f.Add(skill.AppendItems(nil, []skill.Item{{OriginID: "skill-1", Name: "Go", Status: skill.Active}}))
	f.Add([]byte{})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, block []byte) {
		got, err := skill.DecodeItems(block)
		if err != nil {
			return
		}
		again, err := skill.DecodeItems(skill.AppendItems(nil, got))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
		for _, wanted := range append(got, skill.Item{OriginID: "in none of them"}) {
			at := slices.IndexFunc(got, func(it skill.Item) bool { return it.OriginID == wanted.OriginID })
			found, place, n, err := skill.FindItem(block, wanted.OriginID)
			if err != nil || place != at || n != len(got) || at >= 0 && found != got[at] {
				t.Fatalf("%q is said to be at %d of %d, %v; it is at %d of %d", wanted.OriginID, place, n, err, at, len(got))
			}
		}
	})
}

func FuzzDecodeOutcomes(f *testing.F) {
	f.Add(skill.AppendOutcomes(nil, []skill.Outcome{
		{Kind: skill.Written, SkillID: "28KMdr68N8kG9EzLwjsN9aoz"},
		{Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: "no"},
	}))
	f.Add([]byte{1, 2, 0})
	f.Add([]byte{1, 1, 1, 1, 'C', 0, byte(skill.Rejected), 0})
	f.Fuzz(func(t *testing.T, block []byte) {
		got, err := skill.DecodeOutcomes(block)
		if err != nil {
			return
		}
		again, err := skill.DecodeOutcomes(skill.AppendOutcomes(nil, got))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatal(diff)
		}
	})
}
