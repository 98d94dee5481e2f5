package store

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// Skill is one of an integration's catalogue, as it is read.
type Skill struct {
	ID       string // ours, for ever
	OriginID string // empty: the tool's own, and nobody manages it
	RemoteID string // empty: not known
	Name     string
	Status   skill.Status
	// ChangedAt is when the server last learnt of a change, or was asked for one.
	ChangedAt time.Time
	// GoneAt is since when the tool does not offer the skill any more: it shows it no more, or as retired. Zero while it does.
	GoneAt time.Time
	// Code and Message are why the last attempt to write it failed; empty if it did not.
	Code    skill.Code
	Message string
}

// Note is what was noted on a skill since it was last written.
type Note uint8

// The notes.
const (
	// AsWritten: nothing else was seen since, or it was and has gone back.
	AsWritten Note = iota
	// Seen: the tool shows another name or status.
	Seen
	// Asked: somebody asked for another name or status, which was not written yet.
	Asked
	// Gone: the tool shows it no more.
	Gone
)

// SkillRow is a row of the catalogue with all that is known of the skill.
type SkillRow struct {
	Ref           int64 // the store's own
	ID, OriginID  string
	RemoteID      string
	Name          string // as last written; as last asked for while nothing was written
	Status        skill.Status
	Hash          skill.Hash
	Known, Unsure bool // as in SkillState
	WrittenAt     time.Time
	Note          Note
	NotedAt       time.Time
	NotedName     string
	NotedStatus   skill.Status
	Code          skill.Code
	Message       string
	ErrorAt       time.Time
}

// note is the one that holds: a write ends it, and so does a refusal of what was asked for. Stores see to it that neither is of a
// time behind a wish that it knew nothing of. Who asks for what is there already asks for nothing.
func (r SkillRow) note() Note {
	if !r.NotedAt.After(r.WrittenAt) || r.refused() || r.Note == Asked && r.Known && !r.Unsure && r.NotedName == r.Name && r.NotedStatus == r.Status {
		return AsWritten
	}
	return r.Note
}

// refused reports whether what was asked for last was refused.
func (r SkillRow) refused() bool {
	return r.Note == Asked && r.NotedAt.After(r.WrittenAt) && !r.ErrorAt.IsZero() && !r.ErrorAt.Before(r.NotedAt)
}

// NextNote is when something asked for at a moment is noted: behind what is known, however quickly it was learnt.
func (r SkillRow) NextNote(now time.Time) time.Time {
	for _, known := range []time.Time{r.WrittenAt, r.ErrorAt} {
		if !now.After(known) {
			now = known.Add(time.Millisecond)
		}
	}
	return now
}

// Unsent reports whether something was asked for and neither written nor refused yet.
func (r SkillRow) Unsent() bool { return r.note() == Asked }

// Sent reports whether the skill was ever sent, or asked for. Otherwise it was only read in the tool.
func (r SkillRow) Sent() bool {
	return !r.WrittenAt.IsZero() || !r.ErrorAt.IsZero() || r.Unsure || r.Note == Asked
}

// View is the row as it is read.
func (r SkillRow) View() Skill {
	s := Skill{
		ID: r.ID, OriginID: r.OriginID, RemoteID: r.RemoteID, Name: r.Name, Status: r.Status, ChangedAt: r.WrittenAt, Code: r.Code, Message: r.Message,
	}
	if r.NotedAt.After(s.ChangedAt) {
		s.ChangedAt = r.NotedAt
	}
	// Then it is as before again, which whoever has read it meanwhile must see.
	if r.refused() {
		s.ChangedAt = r.NotedAt.Add(time.Millisecond)
		if r.ErrorAt.After(s.ChangedAt) {
			s.ChangedAt = r.ErrorAt
		}
	}
	if s.ChangedAt.IsZero() {
		s.ChangedAt = skill.TimeOf(r.ID)
	}
	switch r.note() {
	case Seen, Asked:
		s.Name, s.Status = r.NotedName, r.NotedStatus
	case Gone:
		s.GoneAt = r.NotedAt
	case AsWritten:
	}
	if s.Status == skill.Inactive && s.GoneAt.IsZero() {
		s.GoneAt = s.ChangedAt
	}
	return s
}

// Remote is a skill as a tool lists it.
type Remote struct {
	RemoteID string
	OriginID string // empty: the tool has none for it
	Name     string
	Status   skill.Status
	Apart    bool // none of the same name takes it over
}

// SkillNote changes a row of the catalogue that is still as it was when it was read, and does nothing to another.
type SkillNote struct {
	Row      SkillRow
	RemoteID string // from now on; empty: not known
	// Doubt: the row's hash does not hold any more, so the next upsert writes.
	Doubt bool
	// Noted: the rest is a note, as of now. Else the row's note stays.
	Noted  bool
	Note   Note
	Name   string
	Status skill.Status
}

// See compares a row with a record of the same skill, and says what there is to be noted, if anything.
func (r SkillRow) See(rec Remote) (n SkillNote, changes bool) {
	if r.RemoteID != "" && r.RemoteID != rec.RemoteID {
		return n, false // it is another record's word; whether ours is still there shows at the end
	}
	n = SkillNote{Row: r, RemoteID: rec.RemoteID}
	linked := r.RemoteID == ""
	note := r.note()
	same := r.Status == rec.Status && (r.Status == skill.Inactive || sameName(r.Name, rec.Name))
	switch {
	case note == Asked:
		return n, linked
	case note == AsWritten && same:
		n.Noted, n.Note = linked, AsWritten // noted once more: the remote id is a change, too
		return n, linked
	case note == Seen && r.NotedName == rec.Name && r.NotedStatus == rec.Status:
		n.Noted, n.Note, n.Name, n.Status = linked, Seen, rec.Name, rec.Status
		return n, linked
	case same:
		n.Note = AsWritten
	default:
		n.Note, n.Name, n.Status = Seen, rec.Name, rec.Status
	}
	n.Noted, n.Doubt = true, true
	return n, true
}

// Miss says what there is to be noted of a row of which a whole sync, that started then, has seen no record, if anything.
func (r SkillRow) Miss(started time.Time) (n SkillNote, changes bool) {
	switch note := r.note(); {
	case note == Gone || note == Asked:
	case r.WrittenAt.IsZero() && r.RemoteID == "": // it was never there
	case !r.WrittenAt.Before(started.Add(-listLag)) || r.NotedAt.After(started):
	case r.View().Status == skill.Inactive: // tools need not show what is retired
	default:
		return SkillNote{Row: r, Doubt: true, Noted: true, Note: Gone}, true
	}
	return n, false
}

// Unlink says what there is to be noted of a row whose record bears another skill's id by now: the next write asks the tool which.
func (r SkillRow) Unlink() SkillNote {
	n := SkillNote{Row: r, Doubt: true}
	switch note := r.note(); note {
	case AsWritten, Seen: // noted once more: the remote id is a change, too
		n.Noted, n.Note = true, note
		if note == Seen {
			n.Name, n.Status = r.NotedName, r.NotedStatus
		}
	case Asked, Gone: // the time of these says more
	}
	return n
}

// listLag is how far a tool's list may be behind what it has confirmed.
const listLag = time.Minute

// sameName compares names as tools do that tidy them up: but for white space around them, and how much there is within.
func sameName(a, b string) bool {
	return a == b || slices.Equal(strings.FieldsFunc(a, unicode.IsSpace), strings.FieldsFunc(b, unicode.IsSpace))
}

// RemoteSkill is a skill of a tool that nobody manages.
type RemoteSkill struct {
	RemoteID string
	ID       string // empty until it is known to be none of the catalogue
	Name     string
	Status   skill.Status
	Apart    bool // none of the same name takes it over
	// ChangedAt and GoneAt are set by the store; whoever writes one says with Gone whether the tool shows it.
	ChangedAt, GoneAt time.Time
	Gone              bool
}

// View is the skill as it is read.
func (r RemoteSkill) View() Skill {
	s := Skill{ID: r.ID, RemoteID: r.RemoteID, Name: r.Name, Status: r.Status, ChangedAt: r.ChangedAt, GoneAt: r.GoneAt}
	if s.Status == skill.Inactive && s.GoneAt.IsZero() {
		s.GoneAt = s.ChangedAt
	}
	return s
}

// NewSkill is a row of the catalogue to be made for a skill that the tool lists with an external id, and that is not known.
type NewSkill struct {
	ID string
	Remote
}

// SkillQuery asks for a page of an integration's catalogue, in the order of the ids. Conditions that are zero ask for nothing.
type SkillQuery struct {
	EnvironmentID, IntegrationID string
	After                        string // the last id of the page before
	Limit                        int
	ChangedAfter                 time.Time
	IncludeGone                  bool
	IDs                          []string
	RemoteIDs                    []string // as they are shown: the origin_id of a skill whose remote id is not known
	NameContains                 string   // whatever the case
	// MostRows is how many rows may be looked at. A page that is not full by then ends all the same.
	MostRows int
}

// SkillPage is the answer.
type SkillPage struct {
	Skills []Skill
	// Next is where the next page begins; empty at the end.
	Next string
}

// ShownRemoteID is never empty: a skill of which the tool has told none shows its origin_id.
func (s Skill) ShownRemoteID() string {
	switch {
	case s.RemoteID != "":
		return s.RemoteID
	case s.OriginID != "":
		return s.OriginID
	default:
		return s.ID
	}
}

// Matches reports whether a skill is asked for. Stores leave out what they can cheaply tell; this decides.
func (q SkillQuery) Matches(s Skill) bool {
	return s.ID > q.After &&
		(q.IncludeGone || s.GoneAt.IsZero()) &&
		(q.ChangedAfter.IsZero() || s.ChangedAt.After(q.ChangedAfter)) &&
		(q.IDs == nil || slices.Contains(q.IDs, s.ID)) &&
		(q.RemoteIDs == nil || slices.Contains(q.RemoteIDs, s.ShownRemoteID())) &&
		(q.NameContains == "" || strings.Contains(strings.ToLower(s.Name), strings.ToLower(q.NameContains)))
}

// Filters reports whether few of many rows may match, so that they are looked at in windows.
func (q SkillQuery) Filters() bool {
	return q.RemoteIDs != nil || q.NameContains != "" || !q.ChangedAfter.IsZero()
}

// LikePattern is a LIKE pattern, with the escape \, for names in lower case (of ASCII) that may contain the text: what is
// beyond ASCII has a case that databases do not agree on, so it stands for any character.
func LikePattern(text string) string {
	var b strings.Builder
	b.WriteByte('%')
	for _, r := range strings.ToLower(text) {
		switch {
		case r > unicode.MaxASCII || r == 'k' || r == 's': // the lower case of the signs for Kelvin and long s
			b.WriteByte('_')
		case r == '%' || r == '_' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('%')
	return b.String()
}

// SkillWindow is what may match of the next rows of a catalogue, by id, and no more than the query's limit and one.
type SkillWindow struct {
	Rows   []SkillRow
	Remote []RemoteSkill
	// UpTo is the last id that was looked at; empty if that is the last one, or of the last row.
	UpTo string
}

// ReadWindows makes a page of windows, each of so many rows. It is for stores.
func ReadWindows(q SkillQuery, rows int, read func(q SkillQuery, rows int) (SkillWindow, error)) (page SkillPage, err error) {
	left := q.MostRows
	for {
		w, err := read(q, rows)
		if err != nil {
			return SkillPage{}, err
		}
		all := make([]Skill, 0, len(w.Rows)+len(w.Remote))
		upTo := w.UpTo
		// A list that is full goes on behind its last one.
		for _, r := range w.Rows {
			all = append(all, r.View())
		}
		if len(w.Rows) > q.Limit {
			upTo = w.Rows[q.Limit].ID
		}
		for _, r := range w.Remote {
			all = append(all, r.View())
		}
		if len(w.Remote) > q.Limit && (upTo == "" || w.Remote[q.Limit].ID < upTo) {
			upTo = w.Remote[q.Limit].ID
		}
		slices.SortFunc(all, func(a, b Skill) int { return strings.Compare(a.ID, b.ID) })
		for _, s := range all {
			if upTo != "" && s.ID > upTo || !q.Matches(s) {
				continue
			}
			if len(page.Skills) == q.Limit {
				page.Next = page.Skills[q.Limit-1].ID
				return page, nil
			}
			page.Skills = append(page.Skills, s)
		}
		left -= rows
		switch {
		case upTo == "":
			return page, nil
		case left <= 0:
			page.Next = upTo
			return page, nil
		}
		q.After = upTo
	}
}

// Wish asks for one skill to be as it says.
type Wish struct {
	EnvironmentID, IntegrationID string
	// ID of a skill that exists; empty: the one of that OriginID, which is made if it does not exist.
	ID       string
	OriginID string // empty with an ID, or: the new skill's own id
	Name     string // empty: as it is
	Status   skill.Status
	// MostWaiting as in Submission.
	MostWaiting int
}

// Catalogue is what the API needs to read an integration's skills, and to manage single ones.
type Catalogue interface {
	// ReadSkills returns a page. ErrNotFound when there is no such integration, or it was deleted. What a task brought and the
	// tool refused, before it was ever written or asked for by itself, is none of its skills.
	ReadSkills(ctx context.Context, q SkillQuery) (SkillPage, error)
	// SkillsByOrigin are the rows of these skills, in any order; those that are not known are missing. Errors likewise.
	SkillsByOrigin(ctx context.Context, environmentID, integrationID string, originIDs []string) ([]SkillRow, error)
	// RemoteByName are the skills without a manager that bear one of these names, that the tool shows, retired ones included, and
	// that are not kept apart, in no order. Errors likewise.
	RemoteByName(ctx context.Context, environmentID, integrationID string, names []string) ([]RemoteSkill, error)
	// ReadByName are the skills that bear one of these names, and that were read in the tool with their origin_id and never sent
	// or asked for, in no order; none that is gone. It goes through all skills of the integration. Errors likewise.
	ReadByName(ctx context.Context, environmentID, integrationID string, names []string) ([]SkillRow, error)
	// Keep notes what is asked for and returns the skill as it is read from now on, with its origin_id: the caller submits the
	// item. It does what Submit does with an integration that is not there, is off or full. A skill of the tool's own
	// becomes a managed one, whose origin_id is its id. ErrNoSkill when there is none with the ID.
	Keep(ctx context.Context, wish Wish) (Skill, error)
}

// SyncRequest asks for a sync.
type SyncRequest struct {
	EnvironmentID, IntegrationID string
	ID                           string // of the new one
	Whole                        bool
}

// Sync is a sync that is queued or under way.
type Sync struct {
	ID        string
	Whole     bool // it also looks for what is gone
	StartedAt time.Time
	Phase     SyncPhase
	// Position is where to go on in the phase: the tool's cursor, the last id, the last remote id.
	Position string
	Pages    int
	Attempt  int // failed calls in a row
	Restarts int // how often the list was begun anew
	// Records, Changed and Gone count what it has seen so far.
	Records, Changed, Gone int
}

// SyncState is how the reading of an integration's tool stands, for people.
type SyncState struct {
	// Sync is what is queued or under way, else the last one. Before the first, and until one that is queued begins, its StartedAt
	// is zero.
	Sync
	Active bool // queued or under way
	// DueAt is when the next periodic one may begin; while one is active, not before when it goes on.
	DueAt time.Time
	// EndedAt is when the last one ended, Error why it failed, and SucceededAt when the last good one ended.
	EndedAt, SucceededAt time.Time
	Error                string
}

// SyncPhase is how far a sync is.
type SyncPhase uint8

// The phases, in their order.
const (
	// Listing takes page after page from the tool.
	Listing SyncPhase = iota
	// Comparing goes through the catalogue: what was not listed is gone.
	Comparing
	// Settling goes through the skills that nobody manages, likewise.
	Settling
)

// SyncClaim asks for the lease of an integration for its sync.
type SyncClaim struct {
	IntegrationID string
	Owner         string
	TTL           time.Duration
	// ID of the sync, if it is a periodic one that starts now.
	ID string
	// Periodic: it may start because its time has come.
	Periodic bool
	// Beside: tasks may be waiting. Else they go first.
	Beside bool
}

// SyncLease is a lease for a sync. Everything that holds for a drain's lease holds for it; the two exclude each other.
type SyncLease struct {
	Lease
	Sync  Sync
	Now   time.Time
	Paced time.Duration // as in Next
}

// SyncStep is one transaction of a sync.
type SyncStep struct {
	Notes []SkillNote
	New   []NewSkill
	// Remote are kept by their remote id. DropRemote are those that turned out to be in the catalogue, or are long gone.
	Remote     []RemoteSkill
	DropRemote []string
	// Seen is a block of what a page showed.
	Seen []byte

	// Sync is how far it is from now on. Its ID, Whole and StartedAt are not looked at.
	Sync Sync

	Hold, Pace time.Duration // as in Step
	Invalid    string        // as in Step

	Then SyncThen
	// ResumeIn, with SyncLeave: not before that.
	ResumeIn time.Duration
	// Failed, with SyncEnd: why. ErrChanged if the settings or credentials are others by now: the sync goes on with them.
	Failed string
	// Next, with SyncEnd: until the next periodic one.
	Next time.Duration
}

// AboutTool reports whether the step says of the tool how it answers.
func (s SyncStep) AboutTool() bool {
	return s.Hold > 0 || s.ResumeIn > 0 || s.Failed != "" || s.Sync.Attempt > 0
}

// By is the step as it is kept: what was said to other settings or credentials than those of the lease says nothing of the new
// ones.
func (s SyncStep) By(same bool) (SyncStep, error) {
	if same {
		return s, nil
	}
	if s.Failed != "" {
		return s, ErrChanged
	}
	s.Hold, s.ResumeIn, s.Sync.Attempt = 0, 0, 0
	return s, nil
}

// SyncOfDeleted is why a sync failed whose integration was deleted.
const SyncOfDeleted = "The integration was deleted."

// SyncThen says how a sync goes on after a step.
type SyncThen uint8

const (
	// SyncStay goes on, unless a task is waiting: then the lease has been given back.
	SyncStay SyncThen = iota
	// SyncLeave gives the lease back.
	SyncLeave
	// SyncEnd ends the sync, and gives the lease back.
	SyncEnd
)

// SyncNext is how things are after a step.
type SyncNext struct {
	State State
	// Wanted: tasks are waiting.
	Wanted bool
	// Left: the lease has been given back.
	Left bool
}

// SyncQueued is a sync that was asked for.
type SyncQueued struct {
	ID    string
	Whole bool
	// Already: it was queued, or under way, before.
	Already bool
}

// Syncs is what the engine needs to read a tool's skills.
type Syncs interface {
	// RequestSync queues a sync; there is one of an integration at a time. One that is not whole becomes so when a whole one is
	// asked for: if it is under way, it begins anew. ErrNotFound, ErrDisabled.
	RequestSync(ctx context.Context, r SyncRequest) (SyncQueued, error)
	// DueSyncs names integrations whose sync could be claimed, those that have waited longest first; with periodic also those
	// whose time has come.
	DueSyncs(ctx context.Context, periodic bool, limit int) ([]string, error)
	// ClaimSync takes the lease of an integration whose sync is due, as Claim does. ErrIdle when there is nothing to do, not
	// yet, or somebody else has the lease, also while calls of an earlier drain are not accounted for.
	ClaimSync(ctx context.Context, c SyncClaim) (SyncLease, error)
	// AdvanceSync does a step, or nothing of it: ErrLeaseLost when the lease is not held any more; ErrChanged, also when the sync
	// begins anew because the settings were changed, and so perhaps whose skills are listed, or because a whole one was asked
	// for. The step ends the sync if the integration was deleted.
	AdvanceSync(ctx context.Context, lease Lease, step SyncStep) (SyncNext, error)
	// SyncSeen are the blocks of the sync so far.
	SyncSeen(ctx context.Context, lease Lease) ([][]byte, error)
	// RowsByOrigin are the rows of these skills, in any order; those that are not known are missing.
	RowsByOrigin(ctx context.Context, lease Lease, originIDs []string) ([]SkillRow, error)
	// RowsAfter are the rows behind an id, in the order of their ids.
	RowsAfter(ctx context.Context, lease Lease, after string, limit int) ([]SkillRow, error)
	// RemoteByID are the skills without a manager that have these remote ids, in any order.
	RemoteByID(ctx context.Context, lease Lease, remoteIDs []string) ([]RemoteSkill, error)
	// RemoteAfter are those behind a remote id, in the order of these.
	RemoteAfter(ctx context.Context, lease Lease, after string, limit int) ([]RemoteSkill, error)
}

// SeenIDs is what a sync has seen of a tool: identifiers by their hashes, of 64 bits, so that a million of them take little room.
type SeenIDs struct{ hashes []uint64 }

// AppendSeen adds a record to a block.
func AppendSeen(block []byte, rec Remote) []byte {
	block = binary.BigEndian.AppendUint64(block, seenHash('r', rec.RemoteID))
	if rec.OriginID != "" {
		block = binary.BigEndian.AppendUint64(block, seenHash('o', rec.OriginID))
	}
	return block
}

// NewSeenIDs gathers blocks.
func NewSeenIDs(blocks [][]byte) *SeenIDs {
	n := 0
	for _, b := range blocks {
		n += len(b) / 8
	}
	s := &SeenIDs{hashes: make([]uint64, 0, n)}
	for _, b := range blocks {
		for ; len(b) >= 8; b = b[8:] {
			s.hashes = append(s.hashes, binary.BigEndian.Uint64(b))
		}
	}
	slices.Sort(s.hashes)
	return s
}

// Remote reports whether a record of that remote id was seen.
func (s *SeenIDs) Remote(id string) bool { return s.has(seenHash('r', id)) }

// Origin reports whether a record of that external id was seen.
func (s *SeenIDs) Origin(id string) bool { return s.has(seenHash('o', id)) }

func (s *SeenIDs) has(h uint64) bool {
	_, found := slices.BinarySearch(s.hashes, h)
	return found
}

func seenHash(kind byte, id string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte{kind}) // never fails
	_, _ = h.Write([]byte(id))   // likewise
	return h.Sum64()
}
