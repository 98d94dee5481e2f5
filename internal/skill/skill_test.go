package skill_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

func TestCheckOriginID(t *testing.T) {
	for name, c := range map[string]struct{ id, want string }{
		"plain":             {"skill-1", ""},
		"an ESCO URI":       {"http://data.europa.eu/esco/skill/00090cc1-1f27-439e-a4e0-19a87a501bfc", ""},
		"a space":           {" ", ""},
		"512 characters":    {strings.Repeat("ß", 512), ""},
		"513 characters":    {strings.Repeat("ß", 513), "is 513 characters long, at most 512 are allowed"},
		"empty":             {"", "is empty"},
		"with NUL":          {"a\x00b", "holds a NUL character"},
		"513 bytes, 1 rune": {strings.Repeat("a", 510) + "€", ""},
	} {
		if got := skill.CheckOriginID(c.id); got != c.want {
			t.Errorf("%s: CheckOriginID = %q, want %q", name, got, c.want)
		}
	}
}

func TestCheckName(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"plain":           {"C++", ""},
		"untrimmed":       {"  Go ", ""},
		"1000 characters": {strings.Repeat("²", 1000), ""},
		"1001 characters": {strings.Repeat("²", 1001), "is 1001 characters long, at most 1000 are allowed"},
		"empty":           {"", "is blank"},
		"spaces":          {" \t\n", "is blank"},
		"no-break space":  {"\u00a0", "is blank"},
		"with NUL":        {"Go\x00", "holds a NUL character"},
	} {
		if got := skill.CheckName(c.text); got != c.want {
			t.Errorf("%s: CheckName = %q, want %q", name, got, c.want)
		}
	}
}

func TestStatusWords(t *testing.T) {
	for _, s := range []skill.Status{skill.Active, skill.Inactive} {
		if got, ok := skill.ParseStatus(s.String()); !ok || got != s {
			t.Errorf("ParseStatus(%q) = %v, %v", s.String(), got, ok)
		}
	}
	for _, word := range []string{"", "active", "ACTIVE ", "DELETED"} {
		if got, ok := skill.ParseStatus(word); ok {
			t.Errorf("ParseStatus(%q) = %v, want it refused", word, got)
		}
	}
}

// Two items share a hash only if the tool would get the same: this is what "unchanged" rests on.
func TestContentHashTellsContentsApart(t *testing.T) {
	gen := rapid.Custom(func(t *rapid.T) skill.Item {
		return skill.Item{
			OriginID: rapid.String().Draw(t, "origin_id"),
			Name:     rapid.OneOf(rapid.SampledFrom([]string{"", "Go", "Go ", "o"}), rapid.String()).Draw(t, "name"),
			Status:   rapid.SampledFrom([]skill.Status{skill.Active, skill.Inactive}).Draw(t, "status"),
		}
	})
	rendering := rapid.SampledFrom([]string{"", "a", "aG", "sandbox", "sandbox\x01"})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		ra, rb := rendering.Draw(t, "rendering a"), rendering.Draw(t, "rendering b")
		same := a.Name == b.Name && a.Status == b.Status && ra == rb
		if got := skill.ContentHash(ra, a) == skill.ContentHash(rb, b); got != same {
			t.Fatalf("hashes equal: %v, contents equal: %v", got, same)
		}
	})
}

func TestIDs(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 1, 29, 0, time.UTC)
	ids := skill.NewIDs(now, 10_000)
	seen := map[string]bool{}
	for _, id := range ids {
		if !skill.IsID(id) {
			t.Fatalf("%q is not an id", id)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
	if later := skill.NewID(now.Add(time.Millisecond)); later <= ids[0][:8] {
		t.Errorf("id %q of a later moment sorts before %q", later, ids[0])
	}
	for id, want := range map[string]bool{
		"28KMdr68N8kG9EzLwjsN9aoz":  true,
		"28KMdr68N8kG9EzLwjsN9ao":   false, // short
		"28KMdr68N8kG9EzLwjsN9aozz": false, // long
		"28KMdr68N8kG9EzLwjsN9ao0":  false, // no 0 in the alphabet
		"28KMdr68N8kG9EzLwjsN9ao/":  false,
		"":                          false,
	} {
		if got := skill.IsID(id); got != want {
			t.Errorf("IsID(%q) = %v", id, got)
		}
		if got := skill.IsTaskID("task_" + id); got != want {
			t.Errorf("IsTaskID(task_%s) = %v", id, got)
		}
		if got := skill.IsIntegrationID("sandbox:" + id); got != want {
			t.Errorf("IsIntegrationID(sandbox:%s) = %v", id, got)
		}
		if skill.IsTaskID(id) || skill.IsIntegrationID(id) || skill.IsIntegrationID(":"+id) {
			t.Errorf("%q without its prefix is taken", id)
		}
	}
	if id := skill.NewTaskID(now); !skill.IsTaskID(id) {
		t.Errorf("NewTaskID = %q", id)
	}
	if id := skill.NewIntegrationID("hibob", now); !skill.IsIntegrationID(id) {
		t.Errorf("NewIntegrationID = %q", id)
	}
}

func TestKindOf(t *testing.T) {
	notFound := skill.Errorf(skill.NotFound, skill.CodeInputInvalid, "no %s", "task")
	for name, c := range map[string]struct {
		err  error
		want skill.Kind
	}{
		"ours":    {notFound, skill.NotFound},
		"wrapped": {fmt.Errorf("get: %w", notFound), skill.NotFound},
		"foreign": {errors.New("disk"), skill.Internal},
		"none":    {nil, skill.Internal},
	} {
		if got := skill.KindOf(c.err); got != c.want {
			t.Errorf("%s: KindOf = %v, want %v", name, got, c.want)
		}
	}
	if got := notFound.Error(); got != "no task" {
		t.Errorf("Error() = %q", got)
	}
}

func TestEveryCodeHasATitle(t *testing.T) {
	for _, code := range []skill.Code{
		skill.CodeAuthenticationInvalid, skill.CodeIntegrationNotFound, skill.CodeInputInvalid, skill.CodeRateLimitExceeded,
		skill.CodeConcurrencyLimit, skill.CodeTaskTimedOut, skill.CodeIPNotWhitelisted, skill.CodeUnknown,
		skill.CodeToolAuthentication, skill.CodeToolPermission, skill.CodeIntegrationOff, skill.CodeSetupIncomplete,
		skill.CodeActionNotAvailable, skill.CodeRemoteUnavailable, skill.CodeRemoteRateLimit, skill.CodeRemoteInput,
		skill.CodeRemoteUnknown,
	} {
		if code.Title() == "" {
			t.Errorf("%s has no title", code)
		}
	}
}
