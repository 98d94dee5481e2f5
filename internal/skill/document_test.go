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

func FuzzParseDocument(f *testing.F) {
	f.Add(FailedDocument(Task{ID: "task_1"}, time.Unix(2, 0), CodeTaskTimedOut, "late", ""))
	f.Fuzz(func(_ *testing.T, document []byte) { _, _ = ParseDocument(document) })
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
