// Package hibob is the connector to HiBob: skills of the company's skills catalogue, through Bob's public Skills API.
//
// Bob identifies a skill that came through the API by a source and an external id. There is no upsert: a batch is searched,
// then the inactive skills are archived, the changed ones patched and the missing ones created, each with one request of
// up to 100 skills, so that a name is given up before another skill takes it. The answers are HTTP 200 whatever became of the
// skills; each has its own result, told by its place.
// Skills that were made in Bob's pages cannot be seen or changed through the API, but their names are taken.
//
// What the public documentation leaves open, and what is done about it:
//
//   - The form of an error: its words are found in whatever form it has, its kind is taken from the status. What is there already
//     is 400 by the page on errors, and may be 409; a change that changes nothing may be told as 304, which is no failure; and a
//     permission that is missing is 401 in others of Bob's APIs, told from bad credentials by the words alone.
//   - Whether a creation was refused for its name or its external id: such a skill is patched. Bob finds it only by its
//     external id, so a name that another skill bears ends as the refusal it was.
//   - How a search is filtered: like Bob's other searches of the same form, by fieldId, operator and values. What comes
//     back is looked at again. A page may hold 200 skills by the page on pagination; no more are asked for than a batch holds.
//   - The words for a status, which can be written as well: "archived" and "inactive" are retired, all others are not.
//   - Whether a search shows archived skills: handled both ways.
//   - Whether an archived skill can be brought back: it is patched to "active" and looked at again. If it is still
//     archived, the skill is refused as Unsupported.
//   - Whether a name that one skill of a request gives up is free for another of it: they are sent in that order, and what is
//     refused is taken when it comes again. Of names that go round in a circle one or all are refused.
//   - Whether the name of an archived skill is free: it is archived before another may take its name.
//   - Which status a skill gets that is created without one, and whether it must have one: none is sent, for the words for a
//     status are not known. One that comes out as archived or inactive is patched when the skill is written again.
//   - How many requests a minute each endpoint takes, from 10 to 100 in others of Bob's APIs: a setting, and the headers of the
//     answers are heeded.
package hibob

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// Slug is the tool's id.
const Slug = "hibob"

const (
	// batch is the most items of a request.
	batch = 100
	// requests a minute, unless the setting says otherwise: the least that Bob documents for any of its searches.
	requests = 50
	// leastRequests: a call may have to make two of one endpoint.
	leastRequests = 2
)

// New returns the connector.
func New() connector.Connector { return hibob{} }

type hibob struct{}

// settings of an account.
type settings struct {
	ServiceUser string `json:"service_user_id"`
	Token       string `json:"token"`
	Source      string `json:"source"`
	Address     string `json:"address"`
	Requests    int    `json:"requests_per_minute"`
}

// Describe implements connector.Connector.
func (hibob) Describe() connector.Description {
	return connector.Description{
		Slug:     Slug,
		Label:    "HiBob",
		Category: connector.HRIS,
		Summary:  "Bob, the HR platform of HiBob, with its skills catalogue.",
		Settings: []connector.Field{
			{Name: "service_user_id", Type: connector.Text, Label: "Service user ID", Help: "The id of an API service user.", Example: "SERVICE-12345", Required: true, Shapes: true},
			{Name: "token", Type: connector.Text, Label: "Token", Help: "The service user's token.", Secret: true, Required: true},
			{Name: "source", Type: connector.Text, Label: "Source", Help: "The name under which Bob keeps the skills of this integration apart. Once skills were written it must stay as it is.", Default: "crosswalk", Shapes: true},
			{Name: "address", Type: connector.Address, Label: "Address", Help: "Where Bob's API is; a sandbox company has another.", Default: "https://api.hibob.com/v1", Example: "https://api.sandbox.hibob.com/v1", Shapes: true},
			{Name: "requests_per_minute", Type: connector.Number, Label: "Requests a minute", Help: "How many requests Bob allows the service user for each endpoint; at least 2.", Default: "50"},
		},
		Limits:       limits(requests),
		Capabilities: []connector.Capability{connector.CanCheck, connector.CanList, connector.CanFind, connector.CanDeactivate},
		Links: []connector.Link{
			{Label: "Skills API", URL: "https://apidocs.hibob.com/docs/explore-skills-api"},
			{Label: "Permissions", URL: "https://apidocs.hibob.com/reference/skills"},
			{Label: "Rate limits", URL: "https://apidocs.hibob.com/reference/rate-limiting"},
		},
		Beta: true,
	}
}

// limits counts calls of Write. As a rule each makes one request of an endpoint, and Bob counts those of each endpoint for itself. One
// that has to make a second one, to see what became of archived skills, waits where none is left.
func limits(requestsPerMinute int) connector.Limits {
	return connector.Limits{Batch: batch, Concurrency: 1, Calls: requestsPerMinute, Per: time.Minute}
}

// Open implements connector.Connector.
func (h hibob) Open(account connector.Account) (connector.Session, error) {
	var set settings
	if err := h.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	switch {
	case set.Requests < leastRequests:
		return nil, errors.New("hibob settings: requests_per_minute must be at least 2")
	case strings.TrimSpace(set.Source) == "":
		return nil, errors.New("hibob settings: source must not be empty")
	}
	signer := http.Request{Header: http.Header{}}
	signer.SetBasicAuth(set.ServiceUser, set.Token)
	authorization := signer.Header.Get("Authorization")
	return &session{
		set:   set,
		until: map[endpoint]time.Time{},
		api: &rest.API{
			HTTP: account.HTTP, Base: set.Address, Header: http.Header{"Accept": {"application/json"}},
			Sign: func(_ context.Context, r *http.Request) error {
				r.Header.Set("Authorization", authorization)
				return nil
			},
			Secrets: []string{set.Token, strings.TrimPrefix(authorization, "Basic ")},
		},
	}, nil
}

type session struct {
	set settings
	api *rest.API

	mu sync.Mutex
	// until is, by endpoint, when Bob takes requests again.
	until map[endpoint]time.Time
}

// Besides writing, the session can do this.
var (
	_ connector.Checker = (*session)(nil)
	_ connector.Lister  = (*session)(nil)
	_ connector.Finder  = (*session)(nil)
)

// Limits implements connector.Session.
func (s *session) Limits() connector.Limits { return limits(s.set.Requests) }

// Check implements connector.Checker. That a service user may change skills cannot be asked, so it tries to archive one that
// does not exist.
func (s *session) Check(ctx context.Context) error {
	if _, err := s.page(ctx, searchBody{Fields: fields(), Filters: []filter{equals(fieldSource, s.set.Source)}, Limit: 1}); err != nil {
		return err
	}
	_, err := s.change(ctx, archive, []fieldValues{{fieldSource: s.set.Source, fieldExternalID: "crosswalk: no skill, a question of permission"}})
	return err
}

// List implements connector.Lister. Skills of other sources have no origin id.
func (s *session) List(ctx context.Context, cursor string) (connector.Page, error) {
	answer, err := s.page(ctx, searchBody{Fields: fields(), Filters: []filter{}, Limit: batch, Cursor: cursor})
	if err != nil {
		return connector.Page{}, err
	}
	page := connector.Page{Next: answer.Metadata.NextCursor}
	for _, item := range answer.Items {
		page.Records = append(page.Records, s.record(item))
	}
	return page, nil
}

// Find implements connector.Finder.
func (s *session) Find(ctx context.Context, skills []connector.Skill) ([]connector.Record, error) {
	held, err := s.search(ctx, skills)
	if err != nil {
		return nil, err
	}
	records := make([]connector.Record, 0, len(held))
	for _, r := range held {
		records = append(records, r)
	}
	return records, nil
}
