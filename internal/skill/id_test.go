package skill_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

func TestIDOf(t *testing.T) {
	at := time.UnixMilli(1_700_000_000_123).UTC()
	first := skill.IDOf(at, [32]byte{1})
	if !skill.IsID(first) || skill.TimeOf(first) != at || skill.IDOf(at, [32]byte{1}) != first || !strings.HasPrefix(first, skill.FirstID(at)) {
		t.Errorf("made %q, and then %q", first, skill.IDOf(at, [32]byte{1}))
	}
	if skill.IDOf(at, [32]byte{2}) == first {
		t.Error("another seed makes the same")
	}
	none := [32]byte(bytes.Repeat([]byte{63}, 32)) // nothing in it is a letter
	if id := skill.IDOf(at, none); !skill.IsID(id) {
		t.Errorf("made %q", id)
	}
}
