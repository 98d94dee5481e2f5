package skill

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDocumentsCanBeReadBack(t *testing.T) {
	t.Parallel()
	task := Task{ID: "task_1", CreatedAt: time.Unix(1, 0)}
	doc := NewResultDocument(task, 3, "")
	doc.Add("a", Outcome{Kind: Written, SkillID: "id-a"})
	doc.Add("b", Outcome{Kind: Rejected, Code: CodeRemoteInput, Message: "no \"quotes\" \xff"})
	doc.Add("c", Outcome{Kind: Unchanged, SkillID: "id-c"})
	got, err := ParseDocument(doc.Bytes(time.Unix(2, 0)))
	want := Ended{Entries: []Entry{
		{SkillID: "id-a"},
		{Failure: &Failure{Code: CodeRemoteInput, Title: CodeRemoteInput.Title(), Message: "no \"quotes\" �"}},
		{SkillID: "id-c"},
	}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	got, err = ParseDocument(FailedDocument(task, time.Unix(2, 0), CodeTaskTimedOut, "late", ""))
	if err != nil || len(got.Entries) != 0 || got.Failure == nil || got.Failure.Code != CodeTaskTimedOut || got.Failure.Message != "late" {
		t.Errorf("a failed task: %+v, %v", got, err)
	}
	if _, err := ParseDocument([]byte("{")); err == nil {
		t.Error("half a document was read")
	}
}

func TestOneEntryOfADocument(t *testing.T) {
	t.Parallel()
	task := Task{ID: "task_1", CreatedAt: time.Unix(1, 0)}
	doc := NewResultDocument(task, 3, "https://example.com/logs/")
	doc.Add("a", Outcome{Kind: Written, SkillID: "id-a"})
	doc.Add("b", Outcome{Kind: Rejected, Code: CodeRemoteInput, Message: "no", Interaction: "x"})
	doc.Add("c", Outcome{Kind: Unchanged, SkillID: "id-c"})
	document := doc.Bytes(time.Unix(2, 0))
	all, err := ParseDocument(document)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range all.Entries {
		got, whole, err := ParseEntry(document, i)
		if diff := cmp.Diff(want, got); err != nil || whole || diff != "" {
			t.Errorf("%d: %v, %v (-want +got):\n%s", i, whole, err, diff)
		}
	}
	failed := FailedDocument(task, time.Unix(2, 0), CodeTaskTimedOut, "late", "")
	all, err = ParseDocument(failed)
	if err != nil {
		t.Fatal(err)
	}
	got, whole, err := ParseEntry(failed, 5)
	if diff := cmp.Diff(Entry{Failure: all.Failure}, got); err != nil || !whole || diff != "" {
		t.Errorf("a failed task: %v, %v (-want +got):\n%s", whole, err, diff)
	}
	for _, damaged := range []string{"", "{", "[]", "{}", `{"data":{}}`, `{"data":{"data":[{}`, `{"data":{"data":{}}}`, string(document[:len(document)/2]), string(document)} {
		if e, _, err := ParseEntry([]byte(damaged), 3); err == nil {
			t.Errorf("%q was read as %+v", damaged, e)
		}
	}
}

func FuzzParseDocument(f *testing.F) {
	f.Add(FailedDocument(Task{ID: "task_1"}, time.Unix(2, 0), CodeTaskTimedOut, "late", ""))
	f.Add([]byte(`{"data":{"data":[{"data":{"id":"a"}},{"error":{"code":"b"}}]}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		all, err := ParseDocument(document)
		if err != nil || all.Failure != nil {
			_, _, _ = ParseEntry(document, 0)
			return
		}
		for i, want := range all.Entries {
			// A null is an entry for one of them, and nothing for the other.
			if got, whole, err := ParseEntry(document, i); err == nil && !whole && !cmp.Equal(want, got) {
				t.Fatalf("entry %d: %+v, not %+v", i, got, want)
			}
		}
	})
}

func BenchmarkParseDocument(b *testing.B) {
	doc := NewResultDocument(Task{ID: "task_1"}, 10_000, "")
	for range 10_000 {
		doc.Add("a-skill-with-an-origin-id-of-a-usual-length", Outcome{Kind: Written, SkillID: "1pAhxTvN6BLe6egjeUoeH226"})
	}
	bytes := doc.Bytes(time.Unix(2, 0))
	for b.Loop() {
		if _, err := ParseDocument(bytes); err != nil {
			b.Fatal(err)
		}
	}
}
