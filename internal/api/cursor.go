package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A cursor is the last id of a page, and a sum over it and over what was asked for: one that was cut, changed, or is used with
// another integration or other filters is told apart. It is no secret: what an integration's list holds is its environment's.
const (
	cursorVersion = 1
	cursorSum     = 8
)

// cursorOf writes the cursor of the page behind an id.
func cursorOf(q store.SkillQuery, last string) string {
	if last == "" {
		return ""
	}
	sum := cursorCheck(q, last)
	b := append([]byte{cursorVersion}, last...)
	return base64.RawURLEncoding.EncodeToString(append(b, sum[:]...))
}

// readCursor returns the id that a cursor stands for.
func readCursor(q store.SkillQuery, text string) (last string, ok bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 1+skill.IDLength+cursorSum || b[0] != cursorVersion {
		return "", false
	}
	last = string(b[1 : 1+skill.IDLength])
	sum := cursorCheck(q, last)
	return last, skill.IsID(last) && subtle.ConstantTimeCompare(sum[:], b[1+skill.IDLength:]) == 1
}

func cursorCheck(q store.SkillQuery, last string) (sum [cursorSum]byte) {
	asked, _ := json.Marshal(struct { //nolint:errchkjson // texts always can be
		Integration, Last string
		ChangedAfter      string
		IncludeGone       bool
		IDs, RemoteIDs    []string
		Name              string
	}{q.IntegrationID, last, q.ChangedAfter.UTC().Format(time.RFC3339Nano), q.IncludeGone, q.IDs, q.RemoteIDs, q.NameContains})
	all := sha256.Sum256(asked)
	copy(sum[:], all[:])
	return sum
}
