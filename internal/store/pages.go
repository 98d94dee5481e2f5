package store

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// TaskHead is a task without its items and results.
type TaskHead struct {
	skill.Task
	Ref           int64 // the store's own key; 0 of a task that has ended, on some
	IntegrationID string
	Tool          string
	Customer      string
	KeyID         string // the API key that sent it, or "user:" and a user's id
	Status        skill.TaskStatus
	Items         int
	Done          int
	Counts        skill.Counts
	Started       bool
	Attempt       int
	Rewrite       bool
	Deadline      time.Time // zero where it is not known any more, and of a cancelled task
	CompletedAt   time.Time // zero while it goes on
}

// Cancelled reports whether the task was cancelled and is about to end.
func (h TaskHead) Cancelled() bool { return h.Status == skill.Pending && h.Deadline.IsZero() }

// TaskState is what a list of tasks may be limited to.
type TaskState uint8

// The states.
const (
	AnyTask      TaskState = iota
	GoingOn                // not ended
	Done                   // ended as COMPLETED, with failures or without
	WithFailures           // at least one item failed
	AllFailed              // ended as FAILED
)

// TaskFilter asks for a part of the tasks, newest first unless it says otherwise.
type TaskFilter struct {
	EnvironmentID string
	IntegrationID string // empty: all
	State         TaskState
	// Before and From are bounds by id, which begins with the time: older than Before, not older than From. Empty: none.
	Before, From string
	// OldestFirst begins at the other end, behind After; Before is of no meaning then.
	OldestFirst bool
	After       string
	Limit       int
}

// TaskContent is what a task was about. Of a task that goes on there are the outcomes so far, of an ended one its document.
type TaskContent struct {
	Items    []skill.Item
	Runs     []Run
	Document []byte
}

// FoundItem is an item of a task.
type FoundItem struct {
	TaskHead
	At   int // its place in the task
	Item skill.Item
}

// readTogether is how many items of several tasks are read in one statement.
const readTogether = 10_000

// FindItem is Pages.FindItem, for a store that reads the stored items of several tasks; those of one that is no more are nil.
func FindItem(heads []TaskHead, originID string, read func([]TaskHead) ([][][]byte, error)) (found []FoundItem, err error) {
	for len(heads) > 0 {
		n, items := 1, heads[0].Items
		for n < len(heads) && items+heads[n].Items <= readTogether {
			items += heads[n].Items
			n++
		}
		tasks, err := read(heads[:n])
		if err != nil {
			return nil, err
		}
		for i, blocks := range tasks {
			before := 0
			for _, block := range blocks {
				it, at, items, err := skill.FindItem(block, originID)
				if err != nil {
					return nil, fmt.Errorf("task %s: %w", heads[i].ID, err)
				}
				if at >= 0 {
					found = append(found, FoundItem{heads[i], before + at, it})
					break
				}
				before += items
			}
		}
		heads = heads[n:]
	}
	return found, nil
}

// ListedSkill is a skill of the catalogue.
type ListedSkill struct {
	ID            string
	IntegrationID string
	Tool          string
	Customer      string
	OriginID      string
	RemoteID      string
	Name          string
	Status        skill.Status
	Known         bool // what the tool holds is known, and as it was asked for
	Unsure        bool
	WrittenAt     time.Time // zero: never
	WrittenBy     string    // the task; empty: none, or one that is not kept any more
	ErrorCode     skill.Code
	ErrorMessage  string
	ErrorAt       time.Time // zero: the last attempt did not fail
	Noted         Noted     // since it was last written
}

// Noted is what was noted of a skill since it was last written.
type Noted struct {
	Note   Note
	At     time.Time
	Name   string // with Seen and Asked
	Status skill.Status
}

// NotedOf is what was noted of a skill, if it still holds.
func NotedOf(s ListedSkill, n Noted) Noted {
	row := SkillRow{
		Name: s.Name, Status: s.Status, Known: s.Known, Unsure: s.Unsure, WrittenAt: s.WrittenAt, ErrorAt: s.ErrorAt,
		Note: n.Note, NotedAt: n.At, NotedName: n.Name, NotedStatus: n.Status,
	}
	if row.note() == AsWritten {
		return Noted{}
	}
	return n
}

// Added is when its row was made.
func (s ListedSkill) Added() time.Time { return skill.TimeOf(s.ID) }

// CatalogueCount is how an integration's catalogue is.
type CatalogueCount struct{ Total, InStep, Refused, Unsure int }

// ActivityHour is what became of items of an integration within an hour, by the tasks that ended in it.
type ActivityHour struct {
	IntegrationID string
	Hour          time.Time
	Tasks         int
	PartlyFailed  int // of the tasks: some of its items failed, and some are in the tool
	AllFailed     int // likewise: nothing of it is in the tool
	Counts        skill.Counts
	SucceededAt   time.Time // when the last task ended of which something is in the tool; zero: none
}

// IntegrationState is an integration and what it is doing.
type IntegrationState struct {
	Integration
	Ref     int64 // the store's own key
	Pending int   // unfinished tasks
	Waiting int   // their items
	Leased  bool  // a process works on it
	// Hold is how long the tool asked to be left alone from now on, Paced until when the next call may come at its rate.
	Hold, Paced time.Duration
	Oldest      *TaskHead // of the unfinished tasks; nil: none
}

// IntegrationOrder is how a list of integrations is sorted.
type IntegrationOrder uint8

// The orders.
const (
	ByConnection     IntegrationOrder = iota // those that were connected first come first
	ByConnectionDown                         // those that were connected last do
	ByCustomer                               // by name, in which large and small letters of ASCII are the same
	ByCustomerDown
)

// IntegrationCursor is a place in a list of integrations: that of one. The zero one is its beginning.
type IntegrationCursor struct {
	Ref      int64 // IntegrationState.Ref
	Customer string
}

// IntegrationFilter asks for a part of the integrations.
type IntegrationFilter struct {
	EnvironmentID string
	Text          string // in the customer's name or the id; empty: all
	Order         IntegrationOrder
	After         IntegrationCursor // where the last page ended
	Limit         int
}

// Pages is what the dashboard shows.
type Pages interface {
	// ListTasks of an environment. A filter that few tasks pass is answered by an index of its own.
	ListTasks(ctx context.Context, f TaskFilter) ([]TaskHead, error)
	// TaskHead finds a task of that environment, or gives ErrNotFound, which is an *ExpiredError if retention removed it.
	TaskHead(ctx context.Context, environmentID, taskID string) (TaskHead, error)
	// TaskEnvironment tells in which environment a task is.
	TaskEnvironment(ctx context.Context, taskID string) (string, error)
	// TaskContent of a task that TaskHead found.
	TaskContent(ctx context.Context, head TaskHead) (TaskContent, error)
	// FindItem looks for an origin_id in tasks that a list found, and tells which of them have it, in their order. All of their
	// items are read.
	FindItem(ctx context.Context, heads []TaskHead, originID string) ([]FoundItem, error)
	// TaskOutcomes are the contents of tasks but for their items. Those of one that is no more are empty.
	TaskOutcomes(ctx context.Context, heads []TaskHead) ([]TaskContent, error)

	// ListSkills reads a part of the catalogue, as FindSkills says.
	ListSkills(ctx context.Context, f SkillFilter) (SkillList, error)
	// FindSkill finds one skill of that environment.
	FindSkill(ctx context.Context, environmentID, integrationID, originID string) (ListedSkill, error)
	// SkillByID tells which skill of that environment has that id.
	SkillByID(ctx context.Context, environmentID, id string) (integrationID, originID string, err error)
	// CountCatalogue counts by integration. It reads the whole catalogue: seconds, for millions of skills.
	CountCatalogue(ctx context.Context, environmentID string) (map[string]CatalogueCount, error)

	// Activity of an environment from that long ago on.
	Activity(ctx context.Context, environmentID string, within time.Duration) ([]ActivityHour, error)
	IntegrationStates(ctx context.Context, f IntegrationFilter) ([]IntegrationState, error)
	// IntegrationState of that environment; also of a deleted one.
	IntegrationState(ctx context.Context, environmentID, id string) (IntegrationState, error)
	// SyncState of an integration of that environment; also of a deleted one.
	SyncState(ctx context.Context, environmentID, integrationID string) (SyncState, error)
}

// Cursor is its place in a list.
func (s IntegrationState) Cursor() IntegrationCursor {
	return IntegrationCursor{Ref: s.Ref, Customer: s.EndUser.OrganisationName}
}

// Behind is a text that sorts, bytewise, behind everything that begins so, and before everything else that is behind it.
func Behind(prefix string) string {
	runes := []rune(prefix)
	for i := len(runes) - 1; i >= 0; i-- {
		if next := runes[i] + 1; next <= unicode.MaxRune {
			if next == 0xd800 { // these are no characters
				next = 0xe000
			}
			return string(append(runes[:i:i], next))
		}
	}
	return string(unicode.MaxRune) + prefix
}

// EscapeLike lets a text stand for itself in a LIKE whose escape is a backslash.
func EscapeLike(text string) string {
	return strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text)
}
