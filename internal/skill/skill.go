// Package skill is the domain of Crosswalk: what a skill, a task and an outcome are, which requests are valid, which
// errors exist, and how a finished task reads. It does no I/O and imports nothing else of the project.
package skill

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the contract, in characters (Unicode code points), not bytes.
const (
	MaxOriginIDLength = 512
	MaxNameLength     = 1000
)

// Status says whether a skill is in use in the tool.
type Status uint8

// The two states a caller can ask for. The zero Status is neither: a decoder that forgot to set one is noticed.
const (
	Active Status = iota + 1
	Inactive
)

// String returns the contract's word.
func (s Status) String() string {
	switch s {
	case Active:
		return "ACTIVE"
	case Inactive:
		return "INACTIVE"
	default:
		return fmt.Sprintf("Status(%d)", uint8(s))
	}
}

// ParseStatus reads the contract's word, exactly as it is written there.
func ParseStatus(word string) (Status, bool) {
	switch word {
	case "ACTIVE":
		return Active, true
	case "INACTIVE":
		return Inactive, true
	default:
		return 0, false
	}
}

// Item is one skill of a bulk request: what the caller wants the tool to hold.
type Item struct {
	OriginID string // the caller's identifier, compared byte by byte
	Name     string // as sent, untrimmed
	Status   Status
}

// CheckOriginID says what is wrong with an origin_id, or nothing.
func CheckOriginID(originID string) string {
	if originID == "" {
		return "is empty"
	}
	return checkText(originID, MaxOriginIDLength)
}

// CheckName says what is wrong with a name, or nothing.
func CheckName(name string) string {
	if strings.TrimSpace(name) == "" {
		return "is blank"
	}
	return checkText(name, MaxNameLength)
}

func checkText(text string, most int) string {
	// A byte is at most one character, so the count is only worth taking for a text that may be too long.
	if len(text) > most {
		if n := utf8.RuneCountInString(text); n > most {
			return fmt.Sprintf("is %d characters long, at most %d are allowed", n, most)
		}
	}
	if strings.IndexByte(text, 0) >= 0 {
		return "holds a NUL character"
	}
	return ""
}

// Hash identifies the content of a skill as it was written into a tool. Two items with the same Hash would be written
// the same way, which is what lets the second be skipped.
type Hash [16]byte

// ContentHash is taken over the item's name and status and over the rendering: whatever else shapes what the tool gets
// (the tool, settings of the integration). The origin_id is the key it is stored under, so it is left out.
func ContentHash(rendering string, item Item) Hash {
	var buf [512]byte
	b := binary.AppendUvarint(buf[:0], uint64(len(rendering)))
	b = append(b, rendering...)
	b = append(b, byte(item.Status))
	b = append(b, item.Name...)
	sum := sha256.Sum256(b)
	return Hash(sum[:16])
}

// TaskStatus is the state of a task as the contract names it.
type TaskStatus uint8

// A task is Pending until it ends, once, in one of the other two.
const (
	Pending TaskStatus = iota
	Completed
	Failed
)

// String returns the contract's word.
func (s TaskStatus) String() string {
	switch s {
	case Pending:
		return "PENDING"
	case Completed:
		return "COMPLETED"
	case Failed:
		return "FAILED"
	default:
		return fmt.Sprintf("TaskStatus(%d)", uint8(s))
	}
}

// Task is the head of a bulk request that was accepted.
type Task struct {
	ID        string
	CreatedAt time.Time
}

// OutcomeKind closes the set of things that can have happened to an item.
type OutcomeKind uint8

// Every item of a finished task has exactly one of these.
const (
	// Written: the tool confirmed the skill.
	Written OutcomeKind = iota + 1
	// Unchanged: the tool already holds exactly this content, no call was made.
	Unchanged
	// Rejected: the tool was asked and did not take the item; what it holds is known to be what it held before.
	Rejected
	// NotAttempted: the task ended before the item was sent.
	NotAttempted
	// Unknown: the item left for the tool and no answer told what became of it.
	Unknown
)

// String returns the word used in logs and metrics.
func (k OutcomeKind) String() string {
	switch k {
	case Written:
		return "written"
	case Unchanged:
		return "unchanged"
	case Rejected:
		return "rejected"
	case NotAttempted:
		return "not_attempted"
	case Unknown:
		return "unknown"
	default:
		return fmt.Sprintf("OutcomeKind(%d)", uint8(k))
	}
}

// Outcome is what became of one item.
type Outcome struct {
	Kind    OutcomeKind
	SkillID string // our id of the skill; set when the item succeeded
	Code    Code   // set when it did not
	Message string // likewise
	// Interaction is the id of the logged exchange that decided it; empty when there is none, as always for success.
	Interaction string
}

// Succeeded reports whether the tool is known to hold the item as asked.
func (o Outcome) Succeeded() bool { return o.Kind == Written || o.Kind == Unchanged }

// Counts sums the outcomes of a task.
type Counts struct {
	Written   int
	Unchanged int
	Failed    int
}

// Add counts one outcome.
func (c *Counts) Add(o Outcome) {
	switch o.Kind {
	case Written:
		c.Written++
	case Unchanged:
		c.Unchanged++
	default:
		c.Failed++
	}
}

// Total is the number of items counted.
func (c Counts) Total() int { return c.Written + c.Unchanged + c.Failed }

// Plus adds two counts.
func (c Counts) Plus(d Counts) Counts {
	return Counts{Written: c.Written + d.Written, Unchanged: c.Unchanged + d.Unchanged, Failed: c.Failed + d.Failed}
}
