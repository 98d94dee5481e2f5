// Package connector says what a connector is: the code that writes skills into one kind of tool.
//
// A connector is a Connector value that describes its tool and opens a Session for one customer's account. The core is
// small on purpose: a Session must be able to write a batch of skills, and to say how large a batch may be; what else it can
// do are interfaces of their own. Everything about queues, retries, limits across processes and results is the engine's
// part, so a connector makes one attempt, says precisely what it knows of its end, and nothing more.
//
// The package imports nothing else of the project, and its types are its own: a connector can be written and tested
// without knowing the rest. The suite that every connector passes is package connectortest.
package connector

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// Skill is one skill to be written.
type Skill struct {
	// OriginID identifies the skill for ever; it is what the tool should keep as external id. Unique within a batch.
	OriginID string
	// RemoteID is the tool's own id, as an earlier Result told it. Empty: not known; the skill may exist all the same,
	// so a tool without upsert must be asked before a skill is made.
	RemoteID string
	Name     string
	// Active false asks for the tool's form of retirement.
	Active bool
	// Unsure: an earlier write of this skill had no answer. The tool may hold it already, in an earlier or in this form.
	Unsure bool
	// Adopt: if the tool holds no record of this skill, one of the same name that belongs to no other skill is taken over
	// instead of a second one made. For tools that cannot do it, it says nothing.
	Adopt bool
	// Taken: the record of that RemoteID was not made by Write. People made it in the tool, and since then it is to be managed
	// under OriginID, which the tool does not know yet. That very record is meant: it is changed, and gets OriginID as its
	// external id; or the skill is refused as Unsupported, with what people can do instead. It never becomes a second one,
	// and is not said to be retired while its record is active. That it has got the external id, and nothing else, no error
	// need tell: people do not see it, and the record is found by it the next time.
	Taken bool
}

// Result is the tool's answer for one skill.
type Result struct {
	OriginID string
	// RemoteID is the tool's own id of the skill. Set when Err is nil, but for an inactive skill of which the tool has no
	// record and needs none.
	RemoteID string
	// Err says why the tool did not take the skill; nil when it now holds it. An inactive skill need not be held: its record
	// is retired, keeping whatever name it had, or gone.
	Err *Error
}

// Session writes to one account of a tool. It may be used by several goroutines at once, up to Limits.Concurrency.
type Session interface {
	// Limits may depend on the account's settings.
	Limits() Limits
	// Write makes one attempt to upsert at most Limits.Batch skills. It returns a result for each skill whose end is
	// known, in any order. A nil error promises one for every skill. With an error, the skills without a result are
	// as the error's Kind says: only Ambiguous leaves open whether the tool took them. An error that is no *Error is
	// taken as Ambiguous. Write returns soon after ctx ends, and sends nothing from then on. It asks MaySend right before
	// the bytes of each request leave that changes something: another process may write to the account since.
	Write(ctx context.Context, skills []Skill) ([]Result, error)
}

// Limits is how a tool wants to be called.
type Limits struct {
	// Batch is the largest number of skills in one call, at least 1.
	Batch int
	// Concurrency is how many calls may be under way at once, at least 1.
	Concurrency int
	// Calls within Per is the tool's rate for an account, counted in calls of Write; 0 is none that is known. The engine
	// keeps to it over all processes: it spaces calls evenly, a little slower than that.
	Calls int
	Per   time.Duration
}

// Connector opens sessions. It holds no state of any account.
type Connector interface {
	Describe() Description
	// Open checks the settings and prepares a session without calling the tool. The session lives as long as one drain
	// of the engine: seconds. An error names the field that is wrong.
	Open(account Account) (Session, error)
}

// Account is a customer's account with a tool.
type Account struct {
	// ID is the integration's: stable, and unlike any other.
	ID string
	// Settings is a JSON object with the fields that the description declares, secret ones included. Absent fields have
	// their defaults.
	Settings json.RawMessage
	// HTTP is the client for all requests to the tool: bounded, guarded and recorded. A connector makes none of its own. Nil
	// where only the settings are checked.
	HTTP *http.Client
	// Knows reports which of some origin ids are those of skills that this account was ever sent, in their order. So a tool
	// that keeps one external id for a record can tell ours from those that people gave. Nil: nobody can tell.
	Knows func(ctx context.Context, originIDs []string) ([]bool, error)
}

// Category is the kind of system a tool is, in the contract's words.
type Category string

// The categories that take skills.
const (
	HRIS Category = "HRIS"
	LMS  Category = "LMS"
)

// Description is all that people and programs need to know about a connector. The list of tools in the API, the command
// line's help, the documentation and the forms of the dashboard are made from it.
type Description struct {
	// Slug is the tool's id in the contract, and the first part of its integrations' ids.
	Slug     string
	Label    string
	Category Category
	// Summary is one sentence about the tool.
	Summary string
	// Settings are the fields of an account, in the order a form shows them.
	Settings []Field
	// Limits with the default settings.
	Limits Limits
	// Capabilities are what it can do besides making and changing skills, where the settings allow.
	Capabilities []Capability
	// AdoptsIdentified: Skill.Adopt also takes over a record with an external id, if no skill was ever sent with that (Account.Knows).
	AdoptsIdentified bool
	// Links are the vendor's pages on what the connector uses.
	Links []Link
	// Beta: not yet tried by people other than its authors.
	Beta bool
}

// Can reports whether the connector has a capability.
func (d Description) Can(c Capability) bool { return slices.Contains(d.Capabilities, c) }

// Guide is the address of the page that says how to get credentials, empty if there is none.
func (d Description) Guide() string {
	for _, l := range d.Links {
		if l.Guide {
			return l.URL
		}
	}
	return ""
}

// Link is a page of the vendor's.
type Link struct {
	Label, URL string
	// Guide: it says how an account's credentials are made.
	Guide bool
}

// Registry is the connectors of a process, by slug.
type Registry struct {
	bySlug map[string]Connector
	slugs  []string
}

// NewRegistry makes a registry. Two connectors with one slug are a mistake of the program, hence a panic.
func NewRegistry(connectors ...Connector) *Registry {
	r := &Registry{bySlug: map[string]Connector{}}
	for _, c := range connectors {
		slug := c.Describe().Slug
		if _, twice := r.bySlug[slug]; twice {
			panic("connector: two connectors for " + slug)
		}
		r.bySlug[slug] = c
		r.slugs = append(r.slugs, slug)
	}
	slices.Sort(r.slugs)
	return r
}

// Find returns the connector of a tool.
func (r *Registry) Find(slug string) (Connector, bool) {
	c, ok := r.bySlug[slug]
	return c, ok
}

// Label is what people call a tool: its slug, if there is no connector of it.
func (r *Registry) Label(slug string) string {
	if c, ok := r.bySlug[slug]; ok {
		return c.Describe().Label
	}
	return slug
}

// All returns the descriptions, sorted by slug.
func (r *Registry) All() []Description {
	all := make([]Description, len(r.slugs))
	for i, slug := range r.slugs {
		all[i] = r.bySlug[slug].Describe()
	}
	return all
}
