package skill

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// TimeFormat is how the contract writes a time: ISO 8601, UTC, exactly three decimals. Format a time in UTC with it.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// The documents below are whole answers of the API to a poll. Those of ended tasks are made once, when the task ends,
// stored with it and served as they are.

// PendingDocument is the answer for a task that goes on.
func PendingDocument(task Task) []byte {
	return append(openDocument(task, Pending), `,"completed_at":null}}`...)
}

// LogPages is the address that the id of an interaction is appended to, for its page. Empty: there are no pages.
type LogPages string

// URL of the page of an interaction; empty if there is none.
func (p LogPages) URL(interaction string) string {
	if p == "" || interaction == "" {
		return ""
	}
	return string(p) + interaction
}

// FailedDocument is the answer for a task of which nothing was written; logURL is the page of what decided it, if there is
// one.
func FailedDocument(task Task, completedAt time.Time, code Code, message, logURL string) []byte {
	doc := append(openDocument(task, Failed), `,"error":`...)
	doc = AppendError(doc, code, message, logURL)
	return closeDocument(doc, completedAt)
}

// ResultDocument collects the answer for a task whose items have outcomes. Add the items in the order of the request.
type ResultDocument struct {
	doc   []byte
	items int
	pages LogPages
	// Items that fail alike make up most of a bad result: the error is rendered once for a run of them.
	last      Outcome
	lastError []byte
}

// NewResultDocument starts the answer; items is how many will be added.
func NewResultDocument(task Task, items int, pages LogPages) *ResultDocument {
	const perItem = 160
	r := &ResultDocument{doc: make([]byte, 0, 256+items*perItem), pages: pages}
	r.doc = append(append(r.doc, openDocument(task, Completed)...), `,"data":[`...)
	return r
}

// Add appends one item's entry.
func (r *ResultDocument) Add(originID string, o Outcome) {
	if r.items > 0 {
		r.doc = append(r.doc, ',')
	}
	r.items++
	r.doc = append(r.doc, `{"origin_id":`...)
	r.doc = appendQuoted(r.doc, originID)
	if o.Succeeded() {
		r.doc = append(r.doc, `,"status":"SUCCEEDED","data":{"id":"`...)
		r.doc = append(r.doc, o.SkillID...) // base 58: nothing to escape
		r.doc = append(r.doc, `"}}`...)
		return
	}
	if r.lastError == nil || o.Code != r.last.Code || o.Message != r.last.Message || o.Interaction != r.last.Interaction {
		r.last = o
		r.lastError = AppendError(r.lastError[:0], o.Code, o.Message, r.pages.URL(o.Interaction))
	}
	r.doc = append(r.doc, `,"status":"FAILED","error":`...)
	r.doc = append(append(r.doc, r.lastError...), '}')
}

// Bytes ends the document and returns it.
func (r *ResultDocument) Bytes(completedAt time.Time) []byte {
	return closeDocument(append(r.doc, ']'), completedAt)
}

// AppendError appends the contract's error object. An empty code, and a logURL that is not known, are null.
func AppendError(dst []byte, code Code, message, logURL string) []byte {
	dst = append(dst, `{"code":`...)
	dst = appendNullable(dst, string(code))
	dst = append(dst, `,"title":`...)
	dst = appendNullable(dst, code.Title())
	dst = append(dst, `,"message":`...)
	dst = appendQuoted(dst, message)
	dst = append(dst, `,"log_url":`...)
	dst = appendNullable(dst, logURL)
	return append(dst, '}')
}

func openDocument(task Task, status TaskStatus) []byte {
	doc := make([]byte, 0, 256)
	doc = append(doc, `{"status":"success","data":{"task_id":`...)
	doc = appendQuoted(doc, task.ID)
	doc = append(doc, `,"created_at":"`...)
	doc = task.CreatedAt.UTC().AppendFormat(doc, TimeFormat)
	doc = append(doc, `","status":"`...)
	doc = append(doc, status.String()...)
	return append(doc, '"')
}

func closeDocument(doc []byte, completedAt time.Time) []byte {
	doc = append(doc, `,"completed_at":"`...)
	doc = completedAt.UTC().AppendFormat(doc, TimeFormat)
	return append(doc, `"}}`...)
}

func appendNullable(dst []byte, text string) []byte {
	if text == "" {
		return append(dst, "null"...)
	}
	return appendQuoted(dst, text)
}

// appendQuoted writes a JSON string. Invalid UTF-8, which only a tool's own words could bring in, becomes U+FFFD.
func appendQuoted(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}
