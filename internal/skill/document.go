package skill

import (
	"fmt"

	"github.com/go-json-experiment/json"
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
			Data []struct {
				Data struct {
					ID string `json:"id"`
				} `json:"data"`
				Error *Failure `json:"error"`
			} `json:"data"`
			Error *Failure `json:"error"`
		} `json:"data"`
	}
	if err := json.Unmarshal(document, &in); err != nil {
		return Ended{}, fmt.Errorf("read the result of a task: %w", err)
	}
	out := Ended{Failure: in.Data.Error, Entries: make([]Entry, len(in.Data.Data))}
	for i, e := range in.Data.Data {
		out.Entries[i] = Entry{SkillID: e.Data.ID, Failure: e.Error}
	}
	return out, nil
}
