// Package store says what Crosswalk keeps and how it may change: one interface, a package for each database behind it
// (sqlite, postgres), and one suite that all of them pass (storetest).
//
// A method that changes something does it in one transaction and returns once it is on disk. A change of a drain names
// its Lease and is refused with ErrLeaseLost when another drain has taken over since. Times that a store hands out come
// from the database's clock; what a caller passes in is always a duration. Every method may be called concurrently, gives
// up when its context ends, and does nothing by halves. An error that is not one of this package's, nor a *skill.Error,
// is a fault of the database.
package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

var (
	// ErrNotFound: no such object, or not in this environment. The two cannot be told apart.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken.
	ErrExists = errors.New("exists already")
	// ErrDisabled: the integration is switched off.
	ErrDisabled = errors.New("switched off")
	// ErrIdle: the integration has nothing to drain now, or a live lease holds it.
	ErrIdle = errors.New("nothing to drain")
	// ErrTaskEnded: the task has ended meanwhile, by its deadline; the step was not done.
	ErrTaskEnded = errors.New("task has ended")
	// ErrChanged: the integration's settings or credentials were changed since the lease was taken, so what is said of them says
	// nothing of the new ones; the step was not done.
	ErrChanged = errors.New("integration was changed")
	// ErrNoSkill: the integration has no such skill.
	ErrNoSkill = errors.New("no such skill")
	// ErrLeaseLost: another drain holds the lease; what the caller did since is not kept.
	ErrLeaseLost = errors.New("lease lost")
)

// FullError refuses a submission: the integration has as many items waiting as it may.
type FullError struct {
	Limit   int // Submission.MostWaiting
	Waiting int // items of its unfinished tasks
}

// Error implements error.
func (e *FullError) Error() string {
	return fmt.Sprintf("%d items are waiting, of %d that may", e.Waiting, e.Limit)
}

// ExpiredError says that a task was there and retention has removed it. It is an ErrNotFound.
type ExpiredError struct{ At time.Time }

// Error implements error.
func (e *ExpiredError) Error() string { return "expired at " + e.At.UTC().Format(time.RFC3339) }

// Is makes it an ErrNotFound for those who do not care.
func (*ExpiredError) Is(target error) bool { return target == ErrNotFound }

// DefaultEnvironment is the name of the environment that exists from the start.
const DefaultEnvironment = "default"

// Environment owns keys, integrations, skills and tasks. Nothing crosses it.
type Environment struct {
	ID        string
	Name      string
	CreatedAt time.Time
}

// Key is an API key without its secret, of which only the hash is kept.
type Key struct {
	ID            string
	EnvironmentID string
	Name          string
	Prefix        string
	CreatedAt     time.Time
	RevokedAt     time.Time // zero while the key is good
	Scopes        Scopes    // none, for CreateKey, is all
	// Addresses it may come from, as networks; none: from everywhere.
	Addresses []netip.Prefix
	CreatedBy string // a user's name; empty: the command line
	// Lives is how long CreateKey lets it live; 0: for ever.
	Lives        time.Duration
	ExpiresAt    time.Time // zero: never
	Expired      bool      // by the database's clock
	LastUsedAt   time.Time // zero: never, or not yet noted
	LastUsedFrom string
}

// EndUser is the customer behind an integration, as the caller knows it.
type EndUser struct {
	OrganisationName string
	CreatorEmail     string // empty: not told
	OriginID         string // empty: not told
}

// Integration is a customer's tool, linked to an environment.
type Integration struct {
	ID              string
	EnvironmentID   string
	Tool            string
	EndUser         EndUser
	Settings        []byte // a JSON object; the tool's connector knows its fields
	Credentials     []byte // the secret settings, sealed; nil: none
	Policy          Policy
	SettingsVersion int64 // of settings, credentials and policy
	Enabled         bool
	InvalidReason   string // the tool refused the credentials; empty while they are good
	InvalidAt       time.Time
	CreatedAt       time.Time
	DeletedAt       time.Time // zero while it exists
}

// Policy is what people want of an integration besides its tool's settings.
type Policy struct {
	// Adopt: where the tool holds a skill of the same name already, it is taken over instead of a second one made.
	Adopt bool
	// RefuseInactive: inactive skills are refused, and nothing is retired in the tool.
	RefuseInactive bool
}

// Away is an integration whose tool has not answered for a while. Until it does, only single skills are tried.
type Away struct {
	IntegrationID string
	Failures      int       // calls in a row without an answer
	Since         time.Time // when the first of them had failed
	Next          time.Time // no call before that
}

// Deleted reports whether the integration was deleted. Its tasks can still be read.
func (i Integration) Deleted() bool { return !i.DeletedAt.IsZero() }

// Submission is a bulk request that was found valid.
type Submission struct {
	EnvironmentID string
	IntegrationID string
	KeyID         string
	TaskID        string
	Items         []skill.Item
	Timeout       time.Duration // from now to the task's deadline
	// MostWaiting is how many items the integration's unfinished tasks may have together with this one; 0 is no limit.
	MostWaiting int
	// Elsewhere: other processes are to be woken, since this one will not drain the integration at once.
	Elsewhere bool
	// Claim asks for the lease as well, if the integration rests: it is good, it waits for nothing, no task is waiting and
	// nobody holds or has left a lease. IntegrationID and Force are not looked at. Nil: only the task is wanted.
	Claim *Claim
}

// Accepted is a task that was accepted.
type Accepted struct {
	skill.Task
	// Waiting is the items of the integration's unfinished tasks, this one's included.
	Waiting int
	// Leased is what Claim would have returned right after, if Submission.Claim asked for it and the integration rested.
	Leased *Leased
}

// Leased is a lease that was taken, and what to do with it.
type Leased struct {
	Lease Lease
	Next  Next
}

// TaskView is what a poll sees.
type TaskView struct {
	skill.Task
	Status skill.TaskStatus
	Items  int
	Done   int
	Counts skill.Counts // of the items that are done
	// Document is the whole answer, once the task has ended.
	Document []byte
}

// Lease is the right to drain one integration until it runs out or is taken over.
type Lease struct {
	Ref         int64 // the store's own key of the integration
	Owner       string
	Epoch       int64
	Integration Integration
	// Stolen: an earlier lease had run out without being given back.
	Stolen bool
}

// SameAccount reports whether these are the settings and credentials that came with the lease.
func (l Lease) SameAccount(settings, credentials []byte) bool {
	return bytes.Equal(l.Integration.Settings, settings) && bytes.Equal(l.Integration.Credentials, credentials)
}

// State is what may have changed about an integration while it is drained.
type State struct {
	Enabled         bool
	Deleted         bool
	InvalidReason   string
	SettingsVersion int64
}

// DrainTask is a task as its drain sees it.
type DrainTask struct {
	skill.Task
	Ref      int64 // the store's own key of the task
	Items    int
	Counts   skill.Counts  // of the items that have outcomes on disk
	TimeLeft time.Duration // to the deadline; zero or less when it has passed
	Touched  bool          // an item was written, or may have been
	Attempt  int           // failed calls in a row, from a drain that yielded its place
	// Rewrite: the task was made by Doubt. What it writes is what the catalogue says when it runs (Contents), and nothing
	// of it is skipped as unchanged.
	Rewrite bool
	// Started: an earlier drain has taken it up, so there may be Jobs.
	Started bool
	// Cancelled: nothing more of it is to be sent. Its time is up.
	Cancelled bool
	// Last: no other task was waiting when it was brought. A store need not know.
	Last bool
}

// Job is an open intent of a remote job, as an earlier drain left it.
type Job struct {
	Range
	Receipt string        // what the tool calls the job; empty: it may have been started, and nobody knows its name
	Age     time.Duration // since the receipt was noted
}

// Receipt says of an open intent that it belongs to a remote job.
type Receipt struct {
	Start int    // of the intent
	Text  string // as in Job; empty when the request that starts the job is about to leave
}

// Range is the positions [Start, Stop) of a task's items.
type Range struct{ Start, Stop int }

// Next is what a drain does next.
type Next struct {
	Now   time.Time
	State State
	// Hold is how long the tool asked to be left alone from now on; 0 when it did not, or that time is over. Only a forced
	// claim meets one.
	Hold time.Duration
	// Failures is the Step.Failures that was kept last; 0 when the tool has answered since.
	Failures int
	// Paced is the Step.Pace that was kept last, as of now; 0 when that moment has passed.
	Paced time.Duration
	// Task is the oldest unfinished task, or nil: then the lease has been given back.
	Task *DrainTask
	// Opened: an intent over the whole task is on disk already, so its items may be sent without another step.
	Opened bool
	// Items are what Drains.Items would return of the task from its beginning, if the store had them at hand.
	Items []skill.Item
	// States are what Drains.Skills would return of all Items, if the store has looked already; else nil.
	States []SkillState
}

// Run is the outcomes of consecutive items, from position Start on.
type Run struct {
	Start    int
	Outcomes []skill.Outcome
}

// SkillWritten is a catalogue row to be: the tool confirmed this content.
type SkillWritten struct {
	Ref      int64 // of the known row; 0 makes one
	ID       string
	RemoteID string
	Item     skill.Item
	Hash     skill.Hash
}

// SkillRefused notes a failed attempt. What the tool holds did not change.
type SkillRefused struct {
	Ref     int64 // of the known row; 0 makes one, so that the skill has its id from now on
	ID      string
	Item    skill.Item
	Code    skill.Code
	Message string
}

// SkillUnsure is a skill that left for the tool without an answer. One that was not known gets its row, and its id.
type SkillUnsure struct {
	ID   string
	Item skill.Item
}

// Step is one transaction of a drain: any parts of it, all or nothing.
type Step struct {
	Task int64 // DrainTask.Ref; 0 when no part speaks of a task

	// Closed intents: the items' outcomes follow in Outcomes, or they never left.
	Close []Range
	// Open intents, before the items leave.
	Open []Range
	// Receipts of open intents, those that are opened with the step included. Such an intent outlives its drain: the next one
	// asks for the Jobs of its task.
	Receipts []Receipt

	Outcomes []Run
	Written  []SkillWritten
	Refused  []SkillRefused
	// Unsure skills left for the tool and nobody told what became of them: they will be looked up or written again,
	// never skipped.
	Unsure []SkillUnsure

	// Hold is how long from now the tool asked to be left alone. A drain that takes over meanwhile waits for it too. It
	// never shortens what is kept; a change of the integration ends it. When the settings or credentials are others than those
	// of the lease, Hold, Answered, Failures, Attempt and ResumeIn say nothing of the new ones, and are not kept.
	Hold time.Duration
	// Answered: the tool has answered, so that calls it left without an answer before are forgotten. Failures is how many in
	// a row it has left so (since, with Answered), over all tasks and drains; 0 leaves what is kept. Away: they are so many
	// that only single skills are tried.
	Answered bool
	Failures int
	Away     bool
	// Pace is how far from now the next call may come at the tool's rate, for whoever drains then. 0 leaves what is kept.
	Pace time.Duration

	// Touched: the tool may have taken something of the task, whatever is said of it later.
	Touched bool
	// Attempt is kept for the next drain of the task; a change of the integration sets it back, as it does Failures.
	Attempt int

	// Finish ends the task, if it is not nil.
	Finish *Finish
	// Invalid marks the integration: the tool refused its credentials, in these words. ErrChanged if they are others by now.
	Invalid string

	// Then says how the drain goes on.
	Then Then
	// Last is DrainTask.Last of the task that ends. It promises nothing: a store may try the short way.
	Last bool
	// OpenUpTo, with Proceed: open an intent over the next task if it has at most so many items and none has an outcome.
	OpenUpTo int
	// ResumeIn, with Leave: no drain before that, nor before a Hold is over.
	ResumeIn time.Duration
}

// AboutTool reports whether the step says of the tool whether and when it answers.
func (s Step) AboutTool() bool {
	return s.Hold > 0 || s.Answered || s.Failures > 0 || s.ResumeIn > 0 || s.Attempt > 0
}

// NotAboutTool is the step without that.
func (s Step) NotAboutTool() Step {
	s.Hold, s.Answered, s.Failures, s.Away, s.ResumeIn, s.Attempt = 0, false, 0, false, 0, 0
	return s
}

// Finish ends a task.
type Finish struct {
	Status      skill.TaskStatus
	Counts      skill.Counts
	CompletedAt time.Time
	Document    []byte
}

// Then says what a drain does after a step.
type Then uint8

const (
	// Stay keeps the lease and goes on with the task.
	Stay Then = iota
	// Proceed asks for the next task, and gives the lease back if there is none.
	Proceed
	// Leave gives the lease back although there is more to do.
	Leave
)

// SkillState is a catalogue row as a drain needs it.
type SkillState struct {
	Ref      int64 // 0: not known yet
	ID       string
	RemoteID string
	Hash     skill.Hash
	Known    bool // Hash is what the tool holds
	Unsure   bool
	// Taken: it was a skill of the tool's own, of that remote id, and was never written since it became a managed one.
	Taken bool
}

// Claim asks for a lease.
type Claim struct {
	IntegrationID string
	Owner         string // the process
	TTL           time.Duration
	OpenUpTo      int  // as in Step
	Force         bool // before the wait that the tool asked for is over
}

// DueDrain is an integration with work and no live lease.
type DueDrain struct {
	IntegrationID string
	// Overdue: a task that was begun is past its deadline, so it is time even while the integration waits or is off.
	Overdue bool
}

// Held names a lease that a process believes it holds.
type Held struct {
	Ref   int64
	Epoch int64
}

// Extended is what became of a lease that was to be prolonged.
type Extended struct {
	State
	// Locked: somebody is at it and did not end in time, so it was neither prolonged nor ended, and may be lost.
	Locked bool
}

// WaitingTask is a task that no drain has taken up.
type WaitingTask struct {
	skill.Task
	Ref   int64
	Items int
}

// Doubt says that calls of a lease which had ended may have reached the tool all the same, behind the back of whoever
// held the next one.
type Doubt struct {
	Lease     Lease // the one that had ended
	OriginIDs []string
	Timeout   time.Duration // of the task that writes them again
}

// Jobs are what a process does for the job queue. None of them may rest on being called once, or in time.
type Jobs struct {
	// Wake starts the drain of an integration. It must not block.
	Wake func(integrationID string)
	// Retain removes what is too old. One process at a time is asked to, every RetainEvery, and soon after the first of
	// them has started. Nil: not this one.
	Retain      func(ctx context.Context) error
	RetainEvery time.Duration
}

// Health is what the database tells of itself and of the queue.
type Health struct {
	Product string    // for example "PostgreSQL 15.19"
	Now     time.Time // the database's clock
	Schema  int64     // version of the tables
	Bytes   int64     // the database's size

	Pending       int       // unfinished tasks
	WaitingItems  int       // their items
	OldestPending time.Time // when the oldest of them was accepted; zero without one
	Leases        int       // live ones
	// Unattended integrations have work, no wait left and no live lease. A few that are gone at the next look are normal.
	Unattended int
	Stale      int // those of them whose last lease ran out: its holder has died, or is suspended
	// Overdue are unfinished tasks whose time was up more than 10 s ago. One that was cancelled has none any more, and is waited
	// for while its calls are under way: it counts when no lease was live for 10 s.
	Overdue int
	Away    int // integrations whose tool has not answered for a while

	Syncs int // queued or under way
	// OldestSync is when the last good sync of that integration ended, or the integration was made, for which it is longest ago;
	// zero without integrations that are on.
	OldestSync time.Time
}

// Finding is what a look at a database has found.
type Finding struct {
	Check string // what was looked at, in a word
	Grade Grade
	Found string
	Do    string // what to do about it; empty when it is Fine
}

// Grade of a Finding.
type Grade uint8

// The grades.
const (
	Fine    Grade = iota
	Warning       // it works, and may not for long, or not as it should
	Wrong         // a promise is broken, or about to be
)

// Bytes writes a size for people.
func Bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	at, size := 0, float64(n)
	for ; size >= 999.95 && at < len(units)-1; at++ {
		size /= 1000
	}
	return strings.TrimSuffix(strconv.FormatFloat(size, 'f', 1, 64), ".0") + " " + units[at]
}

// MasterKey identifies the key that credentials are sealed under, without saying what it is.
type MasterKey struct {
	ID    string
	Check []byte // what the key alone can have made
}

// Erasing is how far environments that are erased have got.
type Erasing struct {
	Removed int      // rows that people would miss
	Left    bool     // there is more, now or later
	Ended   []string // environments of which nothing is left
}

// EraseEach removes some of what each of these environments held, and adds up.
func EraseEach(environments []string, some func(id string) (removed int64, ended bool, err error)) (e Erasing, err error) {
	for _, id := range environments {
		n, ended, err := some(id)
		if err != nil {
			return e, fmt.Errorf("erase environment %q: %w", id, err)
		}
		e.Removed += int(n)
		if e.Left = e.Left || !ended; ended {
			e.Ended = append(e.Ended, id)
		}
	}
	return e, nil
}

// EraseLag is how long after it was erased an environment is forgotten at the soonest: longer than a lease, or than what a
// process has yet to write down.
const EraseLag = time.Minute

// FailedTask ends a task that no drain has taken up.
type FailedTask struct {
	Ref         int64
	CompletedAt time.Time
	Document    []byte
}

// Store is everything. The parts below say who uses what.
type Store interface {
	Admin
	Access
	Pages
	Links
	Tasks
	Drains
	Catalogue
	Syncs
	Upkeep
	Interactions
	// Sandbox is the catalogue of the sandbox tool, kept apart from ours.
	Sandbox() sandbox.Catalogue
	// Ping reports whether the database answers.
	Ping(ctx context.Context) error
	// Work does jobs until ctx ends.
	Work(ctx context.Context, jobs Jobs) error
	// Close waits for what is under way and gives the database back.
	Close() error
}

// Admin is what the command line, the dashboard and authentication need.
type Admin interface {
	CreateEnvironment(ctx context.Context, name string) (Environment, error) // ErrExists
	Environments(ctx context.Context) ([]Environment, error)
	// Environment finds one by name or id.
	Environment(ctx context.Context, nameOrID string) (Environment, error)

	// CreateKey keeps a key; ID, CreatedAt are set by the store.
	CreateKey(ctx context.Context, key Key, hash [32]byte) (Key, error)
	// Keys of one environment, or of all when it is empty, oldest first.
	Keys(ctx context.Context, environmentID string) ([]Key, error)
	KeyByHash(ctx context.Context, hash [32]byte) (Key, error)
	// RevokeKey is idempotent: a revoked key keeps its first date.
	RevokeKey(ctx context.Context, id string) (Key, error)

	// CreateIntegration keeps an integration; SettingsVersion, CreatedAt are set by the store, and the ID if it is empty:
	// whoever seals credentials needs it before.
	CreateIntegration(ctx context.Context, integration Integration) (Integration, error)
	// Integrations of one environment, or of all when it is empty, oldest first, without the deleted ones.
	Integrations(ctx context.Context, environmentID string) ([]Integration, error)
	// Integration of that environment, or of any when it is empty; also a deleted one.
	Integration(ctx context.Context, environmentID, id string) (Integration, error)
	// SetEnabled switches an integration. Switching on also forgets that credentials were refused. Like SetSettings and
	// SetAccount it ends a wait for the tool, and forgets that it did not answer, the attempts of tasks and of a sync included.
	SetEnabled(ctx context.Context, id string, enabled bool) (Integration, error)
	// SetSettings replaces the settings, and forgets that credentials were refused. If they are others, a sync begins anew.
	SetSettings(ctx context.Context, id string, settings []byte) (Integration, error)
	// SetAccount is SetSettings for the credentials, too.
	SetAccount(ctx context.Context, id string, settings, credentials []byte) (Integration, error)
	// SetPolicy replaces the policy. A drain that is under way begins anew with it.
	SetPolicy(ctx context.Context, id string, policy Policy) (Integration, error)
	// Away lists the integrations of one environment, or of all when it is empty, whose tool does not answer.
	Away(ctx context.Context, environmentID string) ([]Away, error)
	// DeleteIntegration is for ever. Its sync ends, and its waiting tasks are ended by the next drain.
	DeleteIntegration(ctx context.Context, id string) (Integration, error)
}

// Tasks is what the API needs.
type Tasks interface {
	// Submit accepts a task whole: when it returns, the task is on disk and its drain is wanted. ErrNotFound when the
	// integration does not exist (any more), ErrDisabled when it is off, a *FullError when too much is waiting.
	Submit(ctx context.Context, s Submission) (Accepted, error)
	// Task finds a task of that integration of that environment, or gives ErrNotFound: an *ExpiredError if it was removed
	// by retention and its tombstone is still there.
	Task(ctx context.Context, environmentID, integrationID, taskID string) (TaskView, error)
}

// Cancelled is a task that was cancelled.
type Cancelled struct {
	IntegrationID string
	Items         int
	Ended         bool // else it does soon
}

// Drains is what the engine needs.
type Drains interface {
	// Claim takes the lease of an integration that has work. Intents that an earlier drain left open become unsure
	// skills, but for those that have a receipt. ErrIdle when there is nothing to do, not yet, or somebody else does it.
	Claim(ctx context.Context, claim Claim) (Lease, Next, error)
	// Extend prolongs leases of one owner by ttl from now, and tells the state of each that is still held. A ttl of 0 ends
	// them for good: one that was on its way meanwhile and arrives late does not bring them back. One that somebody keeps
	// locked (Extended.Locked) holds up the others for a second at most.
	Extend(ctx context.Context, owner string, held []Held, ttl time.Duration) (map[int64]Extended, error)
	// Advance does a step, or nothing of it: ErrLeaseLost when the lease is not held any more, ErrTaskEnded, ErrChanged.
	Advance(ctx context.Context, lease Lease, step Step) (Next, error)

	// Items of a task from position start to the end of the block that holds it; none past the end.
	Items(ctx context.Context, task int64, start int) ([]skill.Item, error)
	// Outcomes that are on disk for a task that goes on.
	Outcomes(ctx context.Context, task int64) ([]Run, error)
	// Jobs are the open intents of a task that have a receipt, by their positions. Their skills are neither sure nor unsure:
	// whoever asks finds out what became of them.
	Jobs(ctx context.Context, lease Lease, task int64) ([]Job, error)
	// Skills looks the origin_ids of one integration up, in their order.
	Skills(ctx context.Context, lease Lease, originIDs []string) ([]SkillState, error)

	// Contents are what the catalogue says that the tool holds, in the order of the origin_ids: the content that the tool
	// confirmed last. A skill of which it never confirmed any gives an Item without a name.
	Contents(ctx context.Context, lease Lease, originIDs []string) ([]skill.Item, error)
	// Doubt makes the skills unsure that have a row, and adds a task that writes them again (DrainTask.Rewrite), which only a
	// drain may end: FailTasks leaves it alone. It needs no lease.
	Doubt(ctx context.Context, d Doubt) error

	// Due names integrations with work and no live lease: the safety net.
	Due(ctx context.Context, limit int) ([]DueDrain, error)
	// Overdue tasks that no drain has taken up, by the database's time, which comes with them.
	Overdue(ctx context.Context, limit int) ([]WaitingTask, time.Time, error)
	// Waiting tasks of a leased integration that no drain has taken up, oldest first.
	Waiting(ctx context.Context, lease Lease, limit int) ([]WaitingTask, error)
	// FailTasks ends such tasks and returns the refs of those it ended; one that was taken up or has ended meanwhile is
	// left alone.
	FailTasks(ctx context.Context, tasks []FailedTask) ([]int64, error)
	// CancelTask ends a task of that environment at once, as FAILED and with the document that it is given, if no drain has
	// taken it up. Else its time is up from now on (DrainTask.Cancelled), and its drain begins anew, which finds that out.
	// ErrNotFound, which is an *ExpiredError if retention removed it; ErrTaskEnded.
	CancelTask(ctx context.Context, environmentID, taskID string, document func(task skill.Task, at time.Time) []byte) (Cancelled, error)
}

// Upkeep is what keeps a database in order, and tells of it.
type Upkeep interface {
	// Expire removes tasks that ended longer than keep ago with all that belongs to them, leaves a tombstone of each, and
	// returns how many. It takes on up to limit of them, and fewer when that would keep others waiting: call it until it
	// returns 0. A store that removes by the day keeps a task until all that came on its day are old enough.
	// Catalogue rows are never removed.
	Expire(ctx context.Context, keep time.Duration, limit int) (int, error)
	// Forget removes tombstones of tasks that expired longer than keep ago, likewise; a store may keep them up to a month
	// longer, and need not count what it removes by the month.
	Forget(ctx context.Context, keep time.Duration, limit int) (int, error)
	// EraseSome removes some of what erased environments held, up to about limit rows in one transaction that keeps nobody
	// waiting for long. What a lease still protects stays until that has run out, and an environment is forgotten a while after
	// it was erased, with what stragglers have left. Call it until it removes nothing, and again later: by any process, and
	// after any crash.
	EraseSome(ctx context.Context, limit int) (Erasing, error)
	// DoubtAll makes all skills of an integration unsure, forgets the receipts of its remote jobs, and then takes its lease away, so that nothing that is decided from
	// then on rests on what was known before. It returns how many skills there are. It works in steps that disturb nobody
	// for long; one that failed halfway may be repeated.
	DoubtAll(ctx context.Context, integrationID string) (int, error)
	// IndexNames takes names that may have changed into the search, some limit of them, and returns how many it took: 0 when
	// there are none, or another process is at it.
	IndexNames(ctx context.Context, limit int) (int, error)
	// Health tells how the database and the queue are.
	Health(ctx context.Context) (Health, error)
	// Examine looks at what is particular to this kind of database: its settings, its disk, the state of its tables.
	Examine(ctx context.Context) ([]Finding, error)
	// KeepMasterKey notes which master key this database's credentials are sealed under, if none was noted yet, and returns
	// the one that is noted.
	KeepMasterKey(ctx context.Context, key MasterKey) (MasterKey, error)
	// MasterKey returns the one that is noted, or ErrNotFound.
	MasterKey(ctx context.Context) (MasterKey, error)
	// Reseal hands all credentials there are to reseal, keeps what it returns, and notes the key that they are sealed under
	// from now on: all or nothing. It returns how many there were.
	Reseal(ctx context.Context, under MasterKey, reseal func(integrationID string, sealed []byte) ([]byte, error)) (int, error)
}
