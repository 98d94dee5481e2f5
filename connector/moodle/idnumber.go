package moodle

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strings"
	"unicode/utf8"
)

const (
	// mostText is how many characters Moodle keeps of a name and of an ID number.
	mostText = 100

	// reserved is how the ID numbers begin that are no origin id.
	reserved  = "crosswalk:"
	shortened = reserved + "sha256:"
	// archiveNumber is the ID number of the competency that archived ones are moved under.
	archiveNumber = reserved + "archived"

	// described stands before the origin id in the description of a competency whose ID number is a shortened one.
	described = "origin_id "
)

// plain reports whether an origin id can be an ID number as it is. Look-ups take no text with a tag in it, hence the "<".
func plain(originID string) bool {
	return utf8.RuneCountInString(originID) <= mostText && !strings.Contains(originID, "<") && !strings.HasPrefix(originID, reserved)
}

// short is the ID number of an origin id that cannot be one itself, or that Moodle takes for another: databases may compare
// without regard to case, accents and blanks at the end. It depends on the origin id alone.
func short(originID string) string {
	sum := sha256.Sum256([]byte(originID))
	return shortened + hex.EncodeToString(sum[:])
}

// idNumber is the ID number that a new competency gets.
func idNumber(originID string) string {
	if plain(originID) {
		return originID
	}
	return short(originID)
}

// description is what a new competency is described by: nothing, or the origin id that its ID number does not tell, written
// so that no filter of Moodle's changes it.
func description(originID, number string) string {
	if number == originID {
		return ""
	}
	return described + url.QueryEscape(originID)
}

// originOf is the origin id of a competency; none if its ID number is shortened and people have changed the description.
func originOf(number, description string) string {
	if !strings.HasPrefix(number, shortened) {
		return number
	}
	if _, escaped, ok := strings.Cut(description, described); ok {
		escaped, _, _ = strings.Cut(escaped, "<") // an editor may have put it into a paragraph
		if originID, err := url.QueryUnescape(strings.TrimSpace(escaped)); err == nil && short(originID) == number {
			return originID
		}
	}
	return ""
}
