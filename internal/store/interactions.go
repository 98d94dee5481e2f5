package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/flate"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// Interaction is one request and its answer, kept for people: one of a caller to us, or one of ours to a tool. Secrets
// are not in it.
type Interaction struct {
	// ID is made when the interaction begins, and begins with that time.
	ID string
	// Outbound: from us to a tool. Otherwise it is a request to us.
	Outbound bool
	// EnvironmentID is empty for a request whose sender is not known.
	EnvironmentID string
	IntegrationID string // empty: about none, or about one that there may not be
	TaskID        string // empty: about none
	// Items are the positions of the task that the call may have been about; of a request to us none.
	Items  Range
	Key    string // the readable start of the API key; of a request to us
	Peer   string // the address it came from; of a request to us
	Method string
	URL    string // of a request to us its path and query
	Status int    // 0: there was no answer
	Took   time.Duration
	// Failed: no answer, one of 400 or more, or one that refused something.
	Failed bool

	Exchange
}

// At is when it began.
func (i Interaction) At() time.Time { return skill.TimeOfID(i.ID) }

// Exchange is what an Interaction consists of in detail. A list leaves it out.
type Exchange struct {
	Error                       string // why there was no answer, or why it broke off
	RequestHeader, AnswerHeader http.Header
	// The first bytes of both bodies. Cut says whether there was more.
	RequestBody, AnswerBody []byte
	RequestCut, AnswerCut   bool
}

// InteractionOrder is how a list of interactions is sorted.
type InteractionOrder uint8

// The orders.
const (
	NewestFirst InteractionOrder = iota
	OldestFirst
	SlowestFirst // of one environment; of those that took as long, the newest first
)

// InteractionCursor is a place in a list of interactions: that of one. The zero one is its beginning.
type InteractionCursor struct {
	ID   string
	Took time.Duration // where the list is sorted by it
}

// InteractionQuery chooses interactions. A zero field chooses all.
type InteractionQuery struct {
	EnvironmentID string
	IntegrationID string
	TaskID        string
	// Position of an item of the task.
	Position *int
	// Inbound and Outbound leave the other direction out.
	Inbound, Outbound bool
	// Status is an HTTP status, or its first digit.
	Status int
	Failed bool
	// URL is a part of it, letter by letter. No index knows it.
	URL string
	// From and Until bound when it began: not before From, before Until. To the millisecond.
	From, Until time.Time
	Order       InteractionOrder
	// After is where the last page ended.
	After InteractionCursor
	// Limit is how many at most.
	Limit int
	// Looked is how many are looked at for one page at most, some ten milliseconds of work. Zero: 5,000; 2,500 by duration, which
	// stand far from each other.
	Looked int
}

func (q InteractionQuery) looked() int {
	if q.Order == SlowestFirst {
		return cmp.Or(q.Looked, 2500)
	}
	return cmp.Or(q.Looked, 5000)
}

// InteractionList is a part of the log.
type InteractionList struct {
	Interactions []Interaction
	// Next is where to go on, if there may be more.
	Next InteractionCursor
	More bool
	// Looked: it ended because that many were looked at, not because the page was full. Zero: it did not.
	Looked int
}

// LogPath is a way through the log, in the order of an index.
type LogPath uint8

// The paths. All but the last one are by time.
const (
	WholeLog LogPath = iota
	EnvironmentLog
	FailedLog // what failed in an environment
	IntegrationLog
	TaskLog
	DurationLog // an environment's, by how long they took
)

// path is the narrowest one by time.
func (q InteractionQuery) path() LogPath {
	switch {
	case q.TaskID != "":
		return TaskLog
	case q.IntegrationID != "":
		return IntegrationLog
	case q.EnvironmentID != "" && q.Failed:
		return FailedLog
	case q.EnvironmentID != "":
		return EnvironmentLog
	}
	return WholeLog
}

// passes reports whether some of a path may not be what the query asks for.
func (q InteractionQuery) passes(path LogPath) bool {
	switch {
	case q.Position != nil, q.URL != "", q.Inbound != q.Outbound, q.Status != 0, q.Failed && path != FailedLog:
		return true
	case path == TaskLog:
		return q.IntegrationID != "" || q.EnvironmentID != ""
	case path == IntegrationLog:
		return q.EnvironmentID != ""
	case path == DurationLog:
		return q.TaskID != "" || q.IntegrationID != "" || q.bounded()
	}
	return false
}

func (q InteractionQuery) bounded() bool { return !q.From.IsZero() || !q.Until.IsZero() }

// refused reports whether it asks for answers that say no: those have all failed, which an index knows.
func (q InteractionQuery) refused() bool { return q.Status >= 400 || q.Status >= 4 && q.Status < 10 }

// lastInteraction sorts behind all ids.
const lastInteraction = "~"

// IDs are the bounds of a query that goes by time, up to the last one that it may come to, if that is not zero: from the first
// id to below the second.
func (q InteractionQuery) IDs(last InteractionCursor) (from, until string) {
	from, until = "", lastInteraction
	if !q.From.IsZero() {
		from = skill.FirstID(q.From)
	}
	if !q.Until.IsZero() {
		until = skill.FirstID(q.Until)
	}
	const next = "\x01" // behind an id: the next one at the earliest
	switch q.Order {
	case NewestFirst:
		from = max(from, last.ID)
		if q.After.ID != "" {
			until = min(until, q.After.ID)
		}
	case OldestFirst:
		if q.After.ID != "" {
			from = max(from, q.After.ID+next)
		}
		if last.ID != "" {
			until = min(until, last.ID+next)
		}
	case SlowestFirst:
	}
	return from, until
}

// Durations are the bounds of a query that goes by duration: from the first place to below the second.
func (q InteractionQuery) Durations(last InteractionCursor) (from, until InteractionCursor) {
	if until = q.After; until.ID == "" {
		until = InteractionCursor{ID: lastInteraction, Took: math.MaxInt64}
	}
	return last, until
}

// InteractionFinder is what a store does for FindInteractions.
type InteractionFinder interface {
	// Nth is the place of an interaction on a path, counted from 1 behind the query's place, whatever else the query asks for. The
	// zero one if there are fewer.
	Nth(ctx context.Context, path LogPath, q InteractionQuery, n int) (InteractionCursor, error)
	// Along are the interactions on a path that the query asks for, up to the last place, if that is not zero, which is the nth.
	Along(ctx context.Context, path LogPath, q InteractionQuery, last InteractionCursor, n int) ([]Interaction, error)
}

// FindInteractions reads a part of the log.
func FindInteractions(ctx context.Context, finder InteractionFinder, q InteractionQuery) (list InteractionList, err error) {
	q.Failed = q.Failed || q.refused()
	looked, path, sorted := q.looked(), q.path(), false
	if q.Order == SlowestFirst {
		// What is few is sorted. Of what is many, some are among the slowest of all.
		if sorted, err = few(ctx, finder, q, looked); err != nil {
			return list, err
		}
		if !sorted {
			path = DurationLog
		}
	}
	limit := q.Limit
	q.Limit++
	n, last := q.Limit, InteractionCursor{}
	switch {
	case sorted:
		n = looked
	case q.passes(path):
		n = looked
		if last, err = finder.Nth(ctx, path, q, n); err != nil {
			return list, err
		}
	}
	if list.Interactions, err = finder.Along(ctx, path, q, last, n); err != nil {
		return list, err
	}
	if len(list.Interactions) > limit {
		list.Interactions, list.More = list.Interactions[:limit], true
		end := list.Interactions[limit-1]
		list.Next = InteractionCursor{ID: end.ID, Took: end.Took}
	} else if last != (InteractionCursor{}) {
		list.More, list.Next, list.Looked = true, last, looked
	}
	return list, nil
}

// few reports whether a query's path by time has no more than may be looked at. That of a whole environment is not asked for.
func few(ctx context.Context, finder InteractionFinder, q InteractionQuery, looked int) (bool, error) {
	path := q.path()
	if path == EnvironmentLog && !q.bounded() {
		return false, nil
	}
	q.Order, q.After = NewestFirst, InteractionCursor{}
	more, err := finder.Nth(ctx, path, q, looked+1)
	return more == (InteractionCursor{}), err
}

// Interactions is the log of requests and their answers. It is for people, and nothing else rests on it: an interaction may
// be missing. What it holds is old after KeepLogs of the server.
type Interactions interface {
	// AppendInteractions adds interactions in one statement. One that is there already is left as it is.
	AppendInteractions(ctx context.Context, list []Interaction) error
	// Interactions lists them without their Exchange, as FindInteractions says.
	Interactions(ctx context.Context, q InteractionQuery) (InteractionList, error)
	// Interaction of that environment, or of any when it is empty.
	Interaction(ctx context.Context, environmentID, id string) (Interaction, error)
	// RemoveInteractions removes those that began longer than keep ago, up to limit of them, and returns how many: call it until it
	// returns 0. A store that removes by the day keeps one until all of its day are old enough, and need not count them.
	RemoveInteractions(ctx context.Context, keep time.Duration, limit int) (int, error)
}

// The forms of a packed Exchange: its first byte.
const (
	exchangePlain  = 1
	exchangePacked = 2
)

var errExchange = errors.New("damaged exchange")

// exchangeHead is what is written of an exchange besides its bodies.
type exchangeHead struct {
	Error   string      `json:"error,omitzero"`
	Request http.Header `json:"request,omitzero"`
	Answer  http.Header `json:"answer,omitzero"`
	Cut     int         `json:"cut,omitzero"` // 1 the request, 2 the answer
}

// Pack encodes and compresses an exchange, alike for every database.
func (x Exchange) Pack() []byte {
	head := exchangeHead{Error: x.Error, Request: x.RequestHeader, Answer: x.AnswerHeader}
	if x.RequestCut {
		head.Cut |= 1
	}
	if x.AnswerCut {
		head.Cut |= 2
	}
	encoded, err := json.Marshal(head)
	if err != nil { // texts and a number
		encoded = []byte("{}")
	}
	plain := make([]byte, 0, 16+len(encoded)+len(x.RequestBody)+len(x.AnswerBody))
	plain = append(plain, exchangePlain)
	for _, part := range [][]byte{encoded, x.RequestBody, x.AnswerBody} {
		plain = append(binary.AppendUvarint(plain, uint64(len(part))), part...)
	}
	packed := bytes.NewBuffer(make([]byte, 0, len(plain)))
	packed.WriteByte(exchangePacked)
	w, _ := deflaters.Get().(*flate.Writer)
	if w == nil {
		w, err = flate.NewWriter(packed, deflateLevel)
	} else {
		w.Reset(packed)
	}
	if err == nil {
		_, err = w.Write(plain[1:])
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil { // memory is all that is written to
		return plain
	}
	deflaters.Put(w)
	if packed.Len() >= len(plain) {
		return plain
	}
	return packed.Bytes()
}

// deflateLevel takes a third less room than s2, in 8 µs for 1.7 kB. zstd does no better on so little.
const deflateLevel = 3

// deflaters are writers that are used again: making one takes longer than what it is made for.
//
//nolint:gochecknoglobals // a cache without any state
var deflaters sync.Pool

// mostExchange is what a damaged length may not exceed.
const mostExchange = 1 << 20

// UnpackExchange reads what Pack wrote.
func UnpackExchange(packed []byte) (Exchange, error) {
	if len(packed) == 0 {
		return Exchange{}, errExchange
	}
	plain := packed[1:]
	switch packed[0] {
	case exchangePlain:
	case exchangePacked:
		var err error
		if plain, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(plain)), mostExchange)); err != nil {
			return Exchange{}, fmt.Errorf("%w: %w", errExchange, err)
		}
	default:
		return Exchange{}, fmt.Errorf("%w: form %d", errExchange, packed[0])
	}
	var parts [3][]byte
	for i := range parts {
		n, size := binary.Uvarint(plain)
		if size <= 0 || n > uint64(len(plain)-size) {
			return Exchange{}, fmt.Errorf("%w: cut short", errExchange)
		}
		if plain = plain[size:]; n > 0 {
			parts[i] = plain[:n:n]
		}
		plain = plain[n:]
	}
	if len(plain) > 0 {
		return Exchange{}, fmt.Errorf("%w: %d bytes too many", errExchange, len(plain))
	}
	var head exchangeHead
	if err := json.Unmarshal(parts[0], &head); err != nil {
		return Exchange{}, fmt.Errorf("%w: %w", errExchange, err)
	}
	return Exchange{
		Error: head.Error, RequestHeader: head.Request, AnswerHeader: head.Answer, RequestBody: parts[1], AnswerBody: parts[2],
		RequestCut: head.Cut&1 != 0, AnswerCut: head.Cut&2 != 0,
	}, nil
}
