package skill

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Items and outcomes are stored as encoded blocks: one value for many, written and read whole. The first byte is the
// version of the form, so that a later form can be told apart from rows that are already on disk.
const (
	itemsForm    = 1
	outcomesForm = 2
	// oldOutcomesForm knew no interactions. Unfinished tasks of an earlier version have such blocks.
	oldOutcomesForm = 1
)

// errBlock is wrapped by every decoder's error: the bytes are not a block this version can read.
var errBlock = errors.New("damaged block")

// AppendItems encodes items behind dst.
func AppendItems(dst []byte, items []Item) []byte {
	dst = append(dst, itemsForm)
	dst = binary.AppendUvarint(dst, uint64(len(items)))
	for _, it := range items {
		dst = appendText(dst, it.OriginID)
		dst = appendText(dst, it.Name)
		dst = append(dst, byte(it.Status))
	}
	return dst
}

// DecodeItems reads what AppendItems wrote. The items' texts are copies: the block may be reused.
func DecodeItems(block []byte) ([]Item, error) {
	r, n, err := openBlock(block, itemsForm, 3)
	if err != nil {
		return nil, fmt.Errorf("decode items: %w", err)
	}
	// One copy serves all texts: the items of a block live and die together.
	r.shared = string(block)
	items := make([]Item, n)
	for i := range items {
		items[i] = Item{OriginID: r.text(), Name: r.text(), Status: Status(r.byte())}
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("decode items: %w", err)
	}
	return items, nil
}

// DecodeBlocks reads several blocks, which hold some that many items together.
func DecodeBlocks(blocks [][]byte, about int) ([]Item, error) {
	all := make([]Item, 0, about)
	for _, block := range blocks {
		items, err := DecodeItems(block)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
	}
	return all, nil
}

// FindItem looks for an origin_id among the items of a block, and tells the position of the first that has it, or -1, and how many
// items there are. Most blocks that do not have it are not read item by item.
func FindItem(block []byte, originID string) (found Item, at, items int, err error) {
	r, n, err := openBlock(block, itemsForm, 3)
	if err != nil {
		return Item{}, 0, 0, fmt.Errorf("find an item: %w", err)
	}
	at = -1
	if !bytes.Contains(block, []byte(originID)) {
		return Item{}, at, n, nil
	}
	r.shared = string(block)
	for i := range n {
		if it := (Item{OriginID: r.text(), Name: r.text(), Status: Status(r.byte())}); at < 0 && it.OriginID == originID {
			found, at = it, i
		}
	}
	if err := r.end(); err != nil {
		return Item{}, 0, 0, fmt.Errorf("find an item: %w", err)
	}
	return found, at, n, nil
}

// AppendOutcomes encodes outcomes behind dst. Equal refusals are stored once.
func AppendOutcomes(dst []byte, outcomes []Outcome) []byte {
	type refusal struct {
		code                 Code
		message, interaction string
	}
	var refusals []refusal
	index := map[refusal]uint64{}
	for _, o := range outcomes {
		if o.Succeeded() {
			continue
		}
		key := refusal{o.Code, o.Message, o.Interaction}
		if _, known := index[key]; !known {
			index[key] = uint64(len(refusals))
			refusals = append(refusals, key)
		}
	}
	dst = append(dst, outcomesForm)
	dst = binary.AppendUvarint(dst, uint64(len(outcomes)))
	dst = binary.AppendUvarint(dst, uint64(len(refusals)))
	for _, r := range refusals {
		dst = appendText(dst, string(r.code))
		dst = appendText(dst, r.message)
		dst = appendText(dst, r.interaction)
	}
	for _, o := range outcomes {
		dst = append(dst, byte(o.Kind))
		if o.Succeeded() {
			dst = appendText(dst, o.SkillID)
		} else {
			dst = binary.AppendUvarint(dst, index[refusal{o.Code, o.Message, o.Interaction}])
		}
	}
	return dst
}

// DecodeOutcomes reads what AppendOutcomes wrote.
func DecodeOutcomes(block []byte) ([]Outcome, error) {
	form := byte(outcomesForm)
	if len(block) > 0 && block[0] == oldOutcomesForm {
		form = oldOutcomesForm
	}
	r, n, err := openBlock(block, form, 2)
	if err != nil {
		return nil, fmt.Errorf("decode outcomes: %w", err)
	}
	r.shared = string(block)
	refusals := make([]Outcome, r.count(2))
	for i := range refusals {
		refusals[i] = Outcome{Code: Code(r.text()), Message: r.text()}
		if form == outcomesForm {
			refusals[i].Interaction = r.text()
		}
	}
	outcomes := make([]Outcome, n)
	for i := range outcomes {
		o := Outcome{Kind: OutcomeKind(r.byte())}
		if o.Succeeded() {
			o.SkillID = r.text()
		} else if at := r.uvarint(); at < uint64(len(refusals)) {
			o.Code, o.Message, o.Interaction = refusals[at].Code, refusals[at].Message, refusals[at].Interaction
		} else {
			r.broken = true
		}
		outcomes[i] = o
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("decode outcomes: %w", err)
	}
	return outcomes, nil
}

func appendText(dst []byte, text string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(text)))
	return append(dst, text...)
}

// blockReader reads on after the first fault without doing harm; end tells of it.
type blockReader struct {
	rest   []byte
	shared string // the whole block as a string, of which the texts are parts
	broken bool
}

// openBlock checks the form and reads the count; least is the fewest bytes an entry can take, which keeps a damaged
// count from reserving memory that the block could never fill.
func openBlock(block []byte, form byte, least int) (*blockReader, int, error) {
	if len(block) == 0 {
		return nil, 0, fmt.Errorf("%w: empty", errBlock)
	}
	if block[0] != form {
		return nil, 0, fmt.Errorf("%w: form %d, this version reads form %d", errBlock, block[0], form)
	}
	r := &blockReader{rest: block[1:]}
	n := r.count(least)
	if r.broken {
		return nil, 0, fmt.Errorf("%w: bad count", errBlock)
	}
	return r, n, nil
}

func (r *blockReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.broken, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *blockReader) count(least int) int {
	v := r.uvarint()
	if v > uint64(len(r.rest)/least) {
		r.broken, r.rest = true, nil
		return 0
	}
	return int(v)
}

func (r *blockReader) byte() byte {
	if len(r.rest) == 0 {
		r.broken = true
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *blockReader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.broken, r.rest = true, nil
		return ""
	}
	at := len(r.shared) - len(r.rest)
	r.rest = r.rest[n:]
	return r.shared[at : at+int(n)]
}

func (r *blockReader) end() error {
	switch {
	case r.broken:
		return fmt.Errorf("%w: cut short", errBlock)
	case len(r.rest) != 0:
		return fmt.Errorf("%w: %d bytes too many", errBlock, len(r.rest))
	default:
		return nil
	}
}
