package skill

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Ended is what the answer of an ended task says.
type Ended struct {
	// Entries are one for each item, in the order of the request; none of a task that failed as a whole.
	Entries []Entry
	// Failure is why a task failed as a whole; nil otherwise.
	Failure *Failure
}

// Entry is one item's. That of a success has an id alone, that of a failure all but that.
type Entry struct {
	SkillID string
	Failure *Failure
}

// Failure is the contract's error object.
type Failure struct {
	Code    Code   `json:"code"`
	Title   string `json:"title"`
	Message string `json:"message"`
	LogURL  string `json:"log_url"`
}

// ParseDocument reads what ResultDocument or FailedDocument wrote.
func ParseDocument(document []byte) (Ended, error) {
	var in struct {
		Data struct {
			Data  []documentEntry `json:"data"`
			Error *Failure        `json:"error"`
		} `json:"data"`
	}
	if err := json.Unmarshal(document, &in); err != nil {
		return Ended{}, fmt.Errorf("read the result of a task: %w", err)
	}
	out := Ended{Failure: in.Data.Error, Entries: make([]Entry, len(in.Data.Data))}
	for i, e := range in.Data.Data {
		out.Entries[i] = e.entry()
	}
	return out, nil
}

type documentEntry struct {
	Data struct {
		ID string `json:"id"`
	} `json:"data"`
	Error *Failure `json:"error"`
}

func (e documentEntry) entry() Entry { return Entry{SkillID: e.Data.ID, Failure: e.Error} }

var errDocument = errors.New("damaged result of a task")

// ParseEntry reads what a document says of the item at that place, and whether that is what it says of the whole task. Nothing
// behind the item is looked at.
func ParseEntry(document []byte, at int) (e Entry, whole bool, err error) {
	d := jsontext.NewDecoder(bytes.NewBuffer(document))
	key, err := firstField(d, "data")
	if err == nil && key != "" {
		key, err = firstField(d, "data", "error")
	}
	switch {
	case err != nil:
	case key == "error":
		err = json.UnmarshalDecode(d, &e.Failure)
		whole = true
	case key == "data":
		_, err = d.ReadToken()
		for n := 0; n < at && err == nil && d.PeekKind() == jsontext.KindBeginObject; n++ {
			err = d.SkipValue()
		}
		var entry documentEntry
		switch {
		case err != nil:
		case d.PeekKind() != jsontext.KindBeginObject:
			err = fmt.Errorf("%w: it has nothing of item %d", errDocument, at)
		default:
			err = json.UnmarshalDecode(d, &entry)
			e = entry.entry()
		}
	default:
		err = errDocument
	}
	if err != nil {
		return Entry{}, false, fmt.Errorf("read an item's result: %w", err)
	}
	return e, whole, nil
}

// firstField begins an object and goes to the value of the first field that has one of these names; "": there is none.
func firstField(d *jsontext.Decoder, names ...string) (string, error) {
	if t, err := d.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginObject {
		return "", cmp.Or(err, errDocument)
	}
	for d.PeekKind() == jsontext.KindString {
		t, err := d.ReadToken()
		if err != nil {
			return "", err
		}
		if key := t.String(); slices.Contains(names, key) {
			return key, nil
		}
		if err := d.SkipValue(); err != nil {
			return "", err
		}
	}
	return "", nil
}
