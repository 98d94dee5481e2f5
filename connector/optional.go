package connector

import (
	"context"
	"time"
)

// What a Session may be able to do besides writing is found out once, when it is opened, by asking whether it is one of the
// interfaces below. A connector asserts those it has where it defines its session, so that they can be read there; its
// Description says the same to people.

// Checker is a Session that can tell whether its account is good.
type Checker interface {
	// Check asks the tool whether it accepts the credentials and lets them write skills, as far as a tool can be asked that
	// without writing; it changes nothing. An error is an *Error in the tool's words.
	Check(ctx context.Context) error
}

// Lister is a Session that can read the tool's whole catalogue.
type Lister interface {
	// List returns a page of the skills that the tool shows: at most some thousand, retired ones included if it shows those.
	// An empty cursor asks for the first page, Page.Next for the one behind. A cursor is good for every session of the
	// account and while skills change: one that changes meanwhile may come twice or in either form, and one that does
	// not comes once.
	List(ctx context.Context, cursor string) (Page, error)
}

// Finder is a Session that can look skills up.
type Finder interface {
	// Find returns the records that the tool holds for at most Limits.Batch skills, in any order: those with their remote or
	// external id and, for a skill with Adopt, one of the same name that no external id claims. A skill that the tool does
	// not hold has no record.
	Find(ctx context.Context, skills []Skill) ([]Record, error)
}

// Record is a skill as the tool holds it.
type Record struct {
	RemoteID string
	// OriginID is the external id that an earlier Write gave it; empty for a skill that was made otherwise.
	OriginID string
	Name     string
	Active   bool
	// Apart: no skill of this name with Adopt takes it over, for the tool keeps it apart from those of the account. List says so.
	Apart bool
	// UpdatedAt is zero if the tool does not tell.
	UpdatedAt time.Time
}

// Page is a part of a catalogue.
type Page struct {
	Records []Record
	// Next is the cursor of the next page; empty on the last one.
	Next string
}

// Capability is something not every tool can do, or not every connector makes use of.
type Capability string

// The capabilities, in the order they are shown.
const (
	// CanCheck, CanList, CanFind: sessions are a Checker, a Lister, a Finder.
	CanCheck Capability = "check"
	CanList  Capability = "list"
	CanFind  Capability = "find"
	// CanDeactivate: an inactive skill is retired in the tool, unless a setting says otherwise (Field.RefusesInactive). Otherwise
	// it is refused as Unsupported.
	CanDeactivate Capability = "deactivate"
	// CanReactivate: a retired skill can be made active again. Otherwise that is refused as Unsupported.
	CanReactivate Capability = "reactivate"
	// CanAdopt: Skill.Adopt is heeded.
	CanAdopt Capability = "adopt"
	// CanTake: Skill.Taken is heeded. Otherwise such a skill is refused as Unsupported.
	CanTake Capability = "take"
)

// Capabilities are all there are.
func Capabilities() []Capability {
	return []Capability{CanCheck, CanList, CanFind, CanDeactivate, CanReactivate, CanAdopt, CanTake}
}

// Meaning says in a few words what a connector can do that has the capability.
func (c Capability) Meaning() string {
	switch c {
	case CanCheck:
		return "checks credentials and permission"
	case CanList:
		return "lists the catalogue"
	case CanFind:
		return "looks skills up"
	case CanDeactivate:
		return "retires inactive skills"
	case CanReactivate:
		return "makes retired skills active again"
	case CanAdopt:
		return "takes over skills of the same name"
	case CanTake:
		return "changes single skills that people made in the tool"
	default:
		return string(c)
	}
}
