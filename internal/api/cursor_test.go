package api

import (
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// What is read as a cursor is one that was written, and nothing else is.
func FuzzCursor(f *testing.F) {
	q := store.SkillQuery{IntegrationID: "sandbox:1", NameContains: "x"}
	f.Add(cursorOf(q, skill.NewID(time.Unix(1_700_000_000, 0))))
	f.Add("")
	f.Add("AQ")
	f.Add("AQ==")
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, text string) {
		last, ok := readCursor(q, text)
		if !ok {
			return
		}
		if got := cursorOf(q, last); !skill.IsID(last) || got != text {
			t.Errorf("%q is read as %q, which is written %q", text, last, got)
		}
		other := q
		other.IntegrationID = "sandbox:2"
		if _, ok := readCursor(other, text); ok {
			t.Errorf("%q is good for another integration", text)
		}
	})
}
