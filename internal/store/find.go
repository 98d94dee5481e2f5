package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"github.com/klauspost/compress/s2"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// CatalogueState is what a list of skills may be limited to.
type CatalogueState uint8

// The states.
const (
	AnySkill CatalogueState = iota
	Refused                 // the last attempt failed
	Unsure                  // nobody told what became of the last attempt
	Retired                 // inactive
)

// SkillOrder is how a list of skills is sorted.
type SkillOrder uint8

// The orders. All but the first go through the integrations side by side: they are for few of them.
const (
	ByIntegration SkillOrder = iota // and within each by origin_id
	ByOriginID
	ByOriginIDDown
	ByAge     // those that were made first come first
	ByAgeDown // those that were made last do
)

// MostSorted is how many integrations an order may go through side by side.
const MostSorted = 64

// SkillFilter asks for a part of the catalogue.
type SkillFilter struct {
	EnvironmentID string
	IntegrationID string // empty: all
	State         CatalogueState
	// OriginID is the beginning of the origin_id.
	OriginID string
	Search   Search
	Order    SkillOrder
	// After is where the last page ended.
	After  SkillCursor
	Limit  int
	Bounds SearchBounds
}

// SearchBounds are what a search may cost, each some ten milliseconds of work at most. Zero: the defaults beside them.
type SearchBounds struct {
	// First is how many skills are looked at before the index is asked: what many names have is found there, and so is
	// everything in a small catalogue. 1,000.
	First int
	// Indexed is how many the index may name. Of what more have than that, some are met soon. 2,000.
	Indexed int
	// Gathered is how many the index may have of it, by the database's own guess, to be asked at all, where it gathers all of them
	// before the first one is told. 40,000.
	Gathered int
	// Unsearched is how many that are not in the index yet are looked at. 2,000.
	Unsearched int
	// Looked is how many skills are looked at where the index is of no use. 3,000; 2,000 of those in a state, which stand far from
	// each other.
	Looked int
}

func (f SkillFilter) bounds() SearchBounds {
	b, looked := f.Bounds, 3000
	if f.State != AnySkill {
		looked = 2000
	}
	return SearchBounds{
		First: cmp.Or(b.First, 1000), Indexed: cmp.Or(b.Indexed, 2000), Gathered: cmp.Or(b.Gathered, 40_000),
		Unsearched: cmp.Or(b.Unsearched, 2000), Looked: cmp.Or(b.Looked, looked),
	}
}

// SkillCursor is a place in the catalogue: that of a skill. The zero one is its beginning.
type SkillCursor struct {
	Ref      int64 // the store's own key of the integration
	OriginID string
	ID       string
}

// Compare says which of two places comes first.
func (o SkillOrder) Compare(a, b SkillCursor) int {
	switch o {
	case ByOriginID:
		return cmp.Or(strings.Compare(a.OriginID, b.OriginID), cmp.Compare(a.Ref, b.Ref))
	case ByOriginIDDown:
		return ByOriginID.Compare(b, a)
	case ByAge:
		return strings.Compare(a.ID, b.ID)
	case ByAgeDown:
		return strings.Compare(b.ID, a.ID)
	case ByIntegration:
	}
	return cmp.Or(cmp.Compare(a.Ref, b.Ref), strings.Compare(a.OriginID, b.OriginID))
}

// SkillList is a part of the catalogue.
type SkillList struct {
	Skills []ListedSkill
	// Next is where to go on, if there may be more.
	Next SkillCursor
	More bool
	// Looked: it ended because that many skills were looked at, not because the page was full. Zero: it did not.
	Looked int
	// Some: none of those that were looked at matches, but more do than the index may name. Skills are some of them, from
	// anywhere.
	Some bool
	// Behind: some names that changed lately were not searched.
	Behind bool
}

// NamedSkill is a skill whose name is looked at.
type NamedSkill struct {
	SkillCursor
	Name string
}

// LookedAt are skills that stand one behind the other.
type LookedAt struct {
	// Names of them, in their order; those that cannot match the search may be left out.
	Names []NamedSkill
	// Skills is how many they are, and Last the last of them.
	Skills int
	Last   SkillCursor
}

// LookedAtAll are skills of which none is left out.
func LookedAtAll(names []NamedSkill) LookedAt {
	l := LookedAt{Names: names, Skills: len(names)}
	if len(names) > 0 {
		l.Last = names[len(names)-1].SkillCursor
	}
	return l
}

// SkillFinder is what a store does for FindSkills. What it finds by the filter's Search need not all match.
type SkillFinder interface {
	// Look at the next skills behind a place, in the filter's order.
	Look(ctx context.Context, f SkillFilter, after SkillCursor, limit int) (LookedAt, error)
	// Indexed are the skills that the index has for the filter's search, wherever they are in the order: all of them, or if the
	// index has more than the limit, some, as many as a page takes at most.
	Indexed(ctx context.Context, f SkillFilter, limit int) (names []NamedSkill, more bool, err error)
	// Unsearched are skills of the filter that are not in the index yet as they are now, up to a limit.
	Unsearched(ctx context.Context, f SkillFilter, limit int) (names []NamedSkill, more bool, err error)
	// Listed are the skills at these places, in any order.
	Listed(ctx context.Context, at []SkillCursor) ([]ListedSkill, error)
}

// FindSkills reads a part of the catalogue.
func FindSkills(ctx context.Context, finder SkillFinder, f SkillFilter) (list SkillList, err error) {
	f.Bounds = f.bounds()
	var found []NamedSkill
	at := f.After
	looked, ended := 0, false
	look := func(upTo int) error {
		for !ended && looked < upTo && len(found) <= f.Limit {
			// Small steps first: a page is often full soon.
			limit := min(max(2*looked, f.Limit+1), upTo-looked)
			next, err := finder.Look(ctx, f, at, limit)
			if err != nil {
				return err
			}
			looked += next.Skills
			for _, n := range next.Names {
				if f.Search.Matches(n.Name) {
					found = append(found, n)
				}
			}
			if ended = next.Skills < limit; !ended {
				at = next.Last
			}
		}
		return nil
	}
	first := f.Bounds.First
	if f.Search.Empty() {
		first = f.Limit + 1
	}
	if err := look(first); err != nil {
		return list, err
	}
	// Of what is met this often, the index has more than it may name, and takes its time to find that out.
	if often := len(found)*f.Bounds.Looked > f.Limit*looked; often {
		if err := look(f.Bounds.Looked); err != nil {
			return list, err
		}
	}
	if !ended && len(found) <= f.Limit {
		known, complete := []NamedSkill(nil), false
		if f.Search.Telling() {
			if known, list.Behind, complete, err = indexed(ctx, finder, f); err != nil {
				return list, err
			}
		}
		if complete {
			found, ended = known, true
		} else if err := look(f.Bounds.Looked); err != nil {
			return list, err
		}
		if len(found) == 0 && len(known) > 0 && !ended {
			list.Some, list.More, list.Next, list.Looked = true, true, at, looked
			list.Skills, err = listed(ctx, finder, known[:min(len(known), f.Limit)])
			return list, err
		}
	}
	if len(found) > f.Limit {
		found, list.More = found[:f.Limit], true
		list.Next = found[f.Limit-1].SkillCursor
	} else if !ended {
		list.More, list.Next, list.Looked = true, at, looked
	}
	list.Skills, err = listed(ctx, finder, found)
	return list, err
}

// indexed are all skills behind the filter's place that match, if the index names them; else it is not complete.
func indexed(ctx context.Context, finder SkillFinder, f SkillFilter) (found []NamedSkill, behind, complete bool, err error) {
	// First those that are not in it: one that comes into it meanwhile is found twice rather than never.
	late, behind, err := finder.Unsearched(ctx, f, f.Bounds.Unsearched)
	if err != nil {
		return nil, false, false, err
	}
	names, more, err := finder.Indexed(ctx, f, f.Bounds.Indexed)
	if err != nil {
		return nil, false, false, err
	}
	for _, n := range append(names, late...) {
		if (f.After == SkillCursor{} || f.Order.Compare(n.SkillCursor, f.After) > 0) && f.Search.Matches(n.Name) {
			found = append(found, n)
		}
	}
	slices.SortFunc(found, func(a, b NamedSkill) int { return f.Order.Compare(a.SkillCursor, b.SkillCursor) })
	return slices.CompactFunc(found, func(a, b NamedSkill) bool { return a.SkillCursor == b.SkillCursor }), behind && !more, !more, nil
}

func listed(ctx context.Context, finder SkillFinder, found []NamedSkill) ([]ListedSkill, error) {
	if len(found) == 0 {
		return nil, nil
	}
	at := make([]SkillCursor, len(found))
	place := make(map[string]int, len(found))
	for i, n := range found {
		at[i], place[n.ID] = n.SkillCursor, i
	}
	list, err := finder.Listed(ctx, at)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b ListedSkill) int { return place[a.ID] - place[b.ID] })
	return list, nil
}

// Condition is what a row of skills fulfils in a state, as both databases say it and as their indexes do; empty: nothing.
func (s CatalogueState) Condition() string {
	switch s {
	case Refused:
		return "s.error_at IS NOT NULL"
	case Unsure:
		return "s.unsure"
	case Retired:
		return "s.status = " + strconv.Itoa(int(skill.Inactive))
	case AnySkill:
	}
	return ""
}

// IndexedWords is a name as the index has it, with a mark of its environment.
func IndexedWords(name, environmentID string) string {
	words := Words(name)
	slices.Sort(words)
	return strings.Join(append(slices.Compact(words), inEnvironment(environmentID)), " ")
}

// InIntegration is the mark of an integration in the index.
func InIntegration(ref int64) string { return "=" + strconv.FormatInt(ref, 10) }

// inEnvironment is the mark of an environment. Two may have the same: what is found is looked at.
func inEnvironment(id string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return "@" + strconv.FormatUint(uint64(h.Sum32()), 36)
}

// Marks are where a filter looks, in the index; ref is the integration's own key if it names one. There are none where all that
// the store has is in the filter's environment, or most of it: most names would have the mark.
func (f SkillFilter) Marks(ref int64, most bool) []string {
	switch {
	case f.IntegrationID != "":
		return []string{InIntegration(ref)}
	case most:
		return nil
	}
	return []string{inEnvironment(f.EnvironmentID)}
}

// Unsearched is a note that the names of some skills may have changed.
type Unsearched struct {
	Seq       int64
	Ref       int64
	OriginIDs []string // nil: the whole catalogue behind After
	After     string
}

// LateNames are the skills of some notes, up to a limit, and whether there are more.
func LateNames(notes []Unsearched, limit int) (at []SkillCursor, more bool) {
	for _, n := range notes {
		ids := n.OriginIDs
		if left := limit - len(at); ids == nil || len(ids) > left {
			ids, more = ids[:min(len(ids), left)], true
		}
		for _, id := range ids {
			at = append(at, SkillCursor{Ref: n.Ref, OriginID: id})
		}
	}
	return at, more
}

// Packed is OriginIDs as they are kept.
func (n Unsearched) Packed() []byte {
	if n.OriginIDs == nil {
		return nil
	}
	return PackTexts(n.OriginIDs)
}

// NamesTurn is what is taken into the index at once.
type NamesTurn struct {
	// At are skills, each named once; or, with Whole, the one place behind which the next Limit skills are taken.
	At    []SkillCursor
	Whole bool
	Limit int
	Done  []int64     // notes that are done with then
	Rest  *Unsearched // one that goes on
}

// Took says which skill of a whole catalogue was the last one that was there to be taken.
func (t *NamesTurn) Took(n int, last string) {
	switch {
	case !t.Whole:
	case n < t.Limit:
		t.Done, t.Rest = []int64{t.Rest.Seq}, nil
	default:
		t.Rest.After = last
	}
}

// NextNames takes some of the notes, the first ones first, with about as many names as the limit.
func NextNames(notes []Unsearched, limit int) NamesTurn {
	var t NamesTurn
	seen := map[SkillCursor]bool{}
	for _, n := range notes {
		if n.OriginIDs == nil {
			if len(t.Done) > 0 {
				break
			}
			return NamesTurn{At: []SkillCursor{{Ref: n.Ref, OriginID: n.After}}, Whole: true, Limit: limit, Rest: &n}
		}
		for i, id := range n.OriginIDs {
			if len(t.At) >= limit {
				n.OriginIDs = n.OriginIDs[i:]
				t.Rest = &n
				return t
			}
			if at := (SkillCursor{Ref: n.Ref, OriginID: id}); !seen[at] {
				seen[at] = true
				t.At = append(t.At, at)
			}
		}
		t.Done = append(t.Done, n.Seq)
	}
	return t
}

// Named are the skills of a step whose names may be new, but for those that are unsure.
func (s Step) Named() []string {
	ids := make([]string, 0, len(s.Written)+len(s.Refused))
	for i := range s.Written {
		ids = append(ids, s.Written[i].Item.OriginID)
	}
	for i := range s.Refused {
		ids = append(ids, s.Refused[i].Item.OriginID)
	}
	return ids
}

// OriginIDs are those of new skills.
func OriginIDs(list []NewSkill) []string {
	ids := make([]string, len(list))
	for i := range list {
		ids[i] = list[i].OriginID
	}
	return ids
}

const mostTexts = 256 << 20 // what a damaged length may not exceed

var errTexts = errors.New("damaged list of texts")

// PackTexts packs a list.
func PackTexts(texts []string) []byte {
	size := binary.MaxVarintLen64
	for _, t := range texts {
		size += binary.MaxVarintLen32 + len(t)
	}
	plain := binary.AppendUvarint(make([]byte, 0, size), uint64(len(texts)))
	for _, t := range texts {
		plain = append(binary.AppendUvarint(plain, uint64(len(t))), t...)
	}
	return s2.Encode(nil, plain)
}

// UnpackTexts gives back what PackTexts made; an empty list is not nil.
func UnpackTexts(block []byte) ([]string, error) {
	size, err := s2.DecodedLen(block)
	if err == nil && size > mostTexts {
		err = errTexts
	}
	var plain []byte
	if err == nil {
		plain, err = s2.Decode(nil, block)
	}
	if err != nil {
		return nil, fmt.Errorf("unpack texts: %w", err)
	}
	count, n := binary.Uvarint(plain)
	if n <= 0 || count > uint64(len(plain)) {
		return nil, errTexts
	}
	plain = plain[n:]
	texts := make([]string, 0, count)
	for range count {
		length, n := binary.Uvarint(plain)
		if n <= 0 || length > uint64(len(plain)-n) {
			return nil, errTexts
		}
		texts = append(texts, string(plain[n:n+int(length)]))
		plain = plain[n+int(length):]
	}
	if len(plain) > 0 {
		return nil, errTexts
	}
	return texts, nil
}
