// Package learning360 is the connector to 360Learning: skills of a company's skills catalogue, through the public API v2.
//
// 360Learning takes skills in bulk alone: a request of up to 10,000 starts an operation of its own, whose state and results
// are asked for by its id. So the session is a connector.Jobs, and its receipts name operations. A skill is identified by its
// external id; there is an upsert. Active skills are put, and inactive ones deleted if the integration's setting says so, by
// operations of another kind. A company may have three operations at once.
//
// An upsert replaces the skill: a description, translations and parents that people gave it in 360Learning are lost when its
// name or status changes here. The parents, a library as a rule, are a setting, since every upsert must name them.
//
// A receipt that was lost is looked for in the list of operations: those of its kind that were made since. Which of them it
// is, if any, is told by what their results repeat of the request: all of the skills, and for an upsert their names. So an
// operation is only ever taken for ours if it did what ours was to do.
//
// What the public documentation leaves open, and what is done about it:
//
//   - Whether a deleted skill is gone or archived: either is retired, and an upsert brings it back.
//   - What a deletion says of a skill that is not there: words such as "not found" count as done.
//   - What an operation that ended with an error has done: what its results say; of the rest nobody knows.
//   - For how long results are kept: an operation or results that are not there any more tell nothing.
//   - The order of the list of operations: all its pages are read, up to five.
//   - Whether the list of skills shows archived ones: handled both ways.
//   - What an upsert without any skill is answered with, by which the permission to write is asked: it may be refused, or taken as
//     an operation that has nothing to do. Either says that the credentials may write.
//   - Whether a bulk request is ever taken with another status than 202: a receipt is whatever names an operation, and of a
//     success that names none nobody knows what becomes of the skills.
package learning360

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// Slug is the tool's id.
const Slug = "360learning"

const (
	// batch is the most skills of an operation.
	batch = 10_000
	// operations is how many a company may have at once.
	operations = 3
	// mostParents is how many a skill may have.
	mostParents = 10
)

// New returns the connector.
func New() connector.Connector { return learning360{} }

type learning360 struct{}

// settings of an account.
type settings struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	Parents      string `json:"parents"`
	Inactive     string `json:"inactive"`
	AtOnce       int    `json:"operations_at_once"`
	Address      string `json:"address"`
}

// What becomes of inactive skills.
const (
	refuse  = "refuse"
	deletes = "delete"
)

// Describe implements connector.Connector.
func (learning360) Describe() connector.Description {
	return connector.Description{
		Slug:     Slug,
		Label:    "360Learning",
		Category: connector.LMS,
		Summary:  "360Learning, a learning platform, with its skills catalogue.",
		Settings: []connector.Field{
			{Name: "client_id", Type: connector.Text, Label: "Client ID", Help: "Of API v2 credentials with the scopes skills:bulk, skills:read and bulkOperations:read.", Example: "65f1c0ffee65f1c0ffee65f1", Required: true, Shapes: true},
			{Name: "client_secret", Type: connector.Text, Label: "Client secret", Help: "The secret of the API credentials.", Secret: true, Required: true},
			{Name: "parents", Type: connector.Text, Label: "Parents", Help: "The external id of the library that managed skills belong to, or of up to 10 libraries and skills, with commas between.", Example: "crosswalk-library", Required: true, Shapes: true},
			{Name: "inactive", Type: connector.Choice, Choices: []string{refuse, deletes}, Label: "Inactive skills", Help: "What becomes of them: 360Learning can only delete a skill, with all that refers to it.", Default: refuse, RefusesInactive: refuse},
			{Name: "operations_at_once", Type: connector.Number, Label: "Operations at once", Help: "How many bulk operations may be under way, 1 to 3. A company may have 3 in all.", Default: "3"},
			{Name: "address", Type: connector.Address, Label: "Address", Help: "Where the company is: in the US it is https://app.us.360learning.com.", Default: "https://app.360learning.com", Example: "https://app.us.360learning.com", Shapes: true},
		},
		Limits: limits(operations),
		Capabilities: []connector.Capability{
			connector.CanCheck, connector.CanList, connector.CanDeactivate, connector.CanReactivate,
		},
		Links: []connector.Link{
			{Label: "Bulk operations", URL: "https://360learning.readme.io/docs/bulk-operations-1"},
			{Label: "Upsert skills", URL: "https://360learning.readme.io/reference/v2bulkskillsupsertskillscontroller_upsertskills"},
			{Label: "API credentials", URL: "https://360learning.readme.io/docs/manage-api-keys", Guide: true},
			{Label: "Scopes", URL: "https://360learning.readme.io/docs/oauth-scopes"},
		},
		Beta: true,
	}
}

func limits(atOnce int) connector.Limits { return connector.Limits{Batch: batch, Concurrency: atOnce} }

// Open implements connector.Connector.
func (l learning360) Open(account connector.Account) (connector.Session, error) {
	var set settings
	if err := l.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	var parents []string
	for parent := range strings.SplitSeq(set.Parents, ",") {
		if parent = strings.TrimSpace(parent); parent != "" {
			parents = append(parents, parent)
		}
	}
	switch {
	case len(parents) == 0 || len(parents) > mostParents:
		return nil, fmt.Errorf("360learning settings: parents must name 1 to %d external ids", mostParents)
	case set.AtOnce < 1 || set.AtOnce > operations:
		return nil, fmt.Errorf("360learning settings: operations_at_once must be 1 to %d", operations)
	}
	return &session{set: set, parents: parents, api: &rest.API{
		HTTP: account.HTTP, Base: set.Address, Secrets: []string{set.ClientSecret},
		Header: http.Header{"Accept": {"application/json"}, "360-Api-Version": {"v2.0"}},
	}}, nil
}

type session struct {
	set     settings
	parents []string
	api     *rest.API // without a token
	token   token
}

// Besides writing, the session can do this.
var (
	_ connector.Jobs    = (*session)(nil)
	_ connector.Checker = (*session)(nil)
	_ connector.Lister  = (*session)(nil)
)

// Limits implements connector.Session.
func (s *session) Limits() connector.Limits { return limits(s.set.AtOnce) }

// Write implements connector.Session.
func (s *session) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	return connector.WriteByJobs(ctx, s, skills)
}

// Check implements connector.Checker. Whether the credentials may write is asked by an operation without any skill.
func (s *session) Check(ctx context.Context) error {
	if _, err := s.List(ctx, ""); err != nil {
		return err
	}
	if _, err := s.get(ctx, "/api/v2/bulk/operations", nil); err != nil {
		return err
	}
	answer, err := s.send(ctx, rest.Request{Method: http.MethodPut, Path: bulkSkills, Body: input[upsert]{[]upsert{}}, Changes: true})
	if err != nil {
		return err
	}
	if answer.OK() {
		return nil
	}
	// Refused for having no skill, or for the number of operations: the credentials were good.
	if e := problem(answer); e.Kind != connector.Refused && e.Kind != connector.Throttled {
		return e
	}
	return nil
}

// List implements connector.Lister.
func (s *session) List(ctx context.Context, cursor string) (connector.Page, error) {
	path := "/api/v2/skills"
	if cursor != "" {
		if !strings.HasPrefix(cursor, path+"?") {
			return connector.Page{}, connector.Errorf(connector.Unexpected, "this is no cursor of 360Learning's list of skills")
		}
		path = cursor
	}
	answer, err := s.get(ctx, path, nil)
	if err != nil {
		return connector.Page{}, err
	}
	var skills []skill
	if err := answer.JSON(&skills); err != nil {
		return connector.Page{}, err
	}
	// What the list does not hold counts as deleted, so an answer must say which skills there are.
	unexpected := func(message string) (connector.Page, error) {
		return connector.Page{}, &connector.Error{Kind: connector.Unexpected, Message: message, Exchange: answer.Exchange()}
	}
	if skills == nil {
		return unexpected("360Learning's answer does not say which skills there are")
	}
	page := connector.Page{Records: make([]connector.Record, len(skills))}
	for i, sk := range skills {
		if sk.ID == "" {
			return unexpected("360Learning shows a skill without an id")
		}
		page.Records[i] = connector.Record{
			RemoteID: sk.ID, OriginID: sk.ExternalID, Name: sk.Name, Active: sk.Status != "archived", UpdatedAt: sk.UpdatedAt.Time,
		}
	}
	if page.Next, err = s.next(answer); err != nil {
		return connector.Page{}, err
	}
	if cursor != "" && page.Next == cursor {
		return unexpected("360Learning's list does not go on: after a page it names the same page again")
	}
	return page, nil
}
