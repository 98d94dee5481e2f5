// Package moodle is the connector to Moodle: skills are the competencies of one competency framework, through the functions
// core_competency_… of Moodle's web services and its REST protocol.
//
// Moodle identifies a competency by a number of its own, and within its framework by an ID number of up to 100 characters,
// which is the skill's origin id. One that is longer, holds a "<" (which look-ups refuse) or begins with "crosswalk:" has the
// ID number "crosswalk:sha256:" and the origin id's SHA-256 in hexadecimal digits; then the description of the competency holds
// the origin id, so that a list can tell it. The same is done when Moodle takes an ID number for that of another competency:
// databases may compare without regard to case, accents and blanks at the end.
//
// Moodle's own number is not enough to go by: it may be of another framework, or of another competency after a database was
// restored. So a skill is known by its ID number alone. Only a competency without one, that people made and that is to be managed
// from now on, is told by Moodle's number, and given an ID number with the same change.
//
// There is no upsert, and a request for each change. What is there must be known first: the framework is listed once in a
// session if that takes fewer requests than to look the skills up one by one, and what the session writes is kept up in the
// list. Others write as well. So an ID number that is in use after all, or a competency that is gone, is looked up again.
//
// The answers are HTTP 200 whatever became of a call; errors are objects with an errorcode. Those about the token, permission
// and the site as a whole are told apart by it. After any other error of a change Moodle is asked what it holds now, since
// neither the code nor the words, which are in the site's language, tell that.
//
// There is no retirement of a single competency. It can be deleted, and people's ratings with it, which is never done. By
// setting, an inactive skill is moved under a competency of its own and an active one out of it again, to the top.
//
// What the published sources of Moodle and exchanges recorded with Moodle 4.5 leave open, and what is done about it:
//
//   - Which databases tell "a" from "A": handled both ways, see above.
//   - Which scale a new framework shall have: a setting, with the scale that Moodle brings along as the default.
//   - Which of its codes a site without web services, in maintenance or half upgraded uses: those of the sources, and the status.
package moodle

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// Slug is the tool's id.
const Slug = "moodle"

const (
	// batch is how many skills a call takes, one request each, one after another: enough that a call is worth its checkpoint,
	// and few enough that it ends in seconds.
	batch = 50
	// concurrency is how many calls may be under way.
	concurrency = 4

	// archiveName is the name of the competency that archived ones are put under.
	archiveName = "Archived (Crosswalk)"

	// What becomes of inactive skills.
	refuse  = "refuse"
	archive = "archive"
)

// New returns the connector.
func New() connector.Connector { return moodle{} }

type moodle struct{}

// settings of an account.
type settings struct {
	Address       string `json:"address"`
	Token         string `json:"token"`
	Framework     string `json:"framework_idnumber"`
	FrameworkName string `json:"framework_name"`
	Context       int64  `json:"context_id"`
	Scale         int64  `json:"scale_id"`
	Inactive      string `json:"inactive"`
}

// Describe implements connector.Connector.
func (moodle) Describe() connector.Description {
	return connector.Description{
		Slug:     Slug,
		Label:    "Moodle",
		Category: connector.LMS,
		Summary:  "The learning platform Moodle, with the competencies of one competency framework.",
		Settings: []connector.Field{
			{Name: "address", Type: connector.Address, Label: "Address", Help: "The address of the Moodle site.", Example: "https://moodle.example.com", Required: true, Shapes: true},
			{Name: "token", Type: connector.Text, Label: "Token", Help: "A token of Moodle's web services.", Secret: true, Required: true},
			{Name: "framework_idnumber", Type: connector.Text, Label: "Framework", Help: "The ID number of the competency framework that the skills go to. It is made if there is none. Another one means other competencies.", Default: "crosswalk", Shapes: true},
			{Name: "framework_name", Type: connector.Text, Label: "Name of the framework", Help: "The name that the framework gets when it is made.", Default: "Crosswalk"},
			{Name: "context_id", Type: connector.Number, Label: "Context", Help: "The id of the context that the framework is in, or is made in: 1 is the whole site, a course category has another.", Default: "1"},
			{Name: "scale_id", Type: connector.Number, Label: "Scale", Help: "The id of the scale by which competencies of a new framework are rated: its first value is where people begin, with its last they are proficient. 2 is the competence scale of a new Moodle.", Default: "2"},
			{Name: "inactive", Type: connector.Choice, Choices: []string{refuse, archive}, Label: "Inactive skills", Help: "refuse: an inactive skill is refused, and its competency stays as it is. archive: it is moved under the competency \"" + archiveName + "\", and to the top of the framework when it is active again.", Default: refuse, RefusesInactive: refuse},
		},
		Limits: connector.Limits{Batch: batch, Concurrency: concurrency},
		Capabilities: []connector.Capability{
			connector.CanCheck, connector.CanList, connector.CanFind, connector.CanDeactivate, connector.CanReactivate, connector.CanAdopt,
			connector.CanTake,
		},
		AdoptsIdentified: true,
		Links: []connector.Link{
			{Label: "Competencies", URL: "https://docs.moodle.org/405/en/Competencies"},
			{Label: "Using web services", URL: "https://docs.moodle.org/405/en/Using_web_services", Guide: true},
			{Label: "Functions", URL: "https://docs.moodle.org/dev/Web_service_API_functions"},
		},
		Beta: true,
	}
}

// page is where the address of a site goes on to one of its pages, as copied from a browser, or to its web services.
var page = regexp.MustCompile(`([^/])(?:(?:/(?:login|my|admin|course|user|webservice)(?:/[^/]+)*)?/[a-z_]+\.php|/my)$`)

// Open implements connector.Connector.
func (m moodle) Open(account connector.Account) (connector.Session, error) {
	var set settings
	if err := m.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	for field, text := range map[string]string{"framework_idnumber": set.Framework, "framework_name": set.FrameworkName} {
		if n := utf8.RuneCountInString(text); strings.TrimSpace(text) == "" || n > mostText {
			return nil, fmt.Errorf("moodle settings: %s must have between 1 and %d characters", field, mostText)
		}
	}
	switch {
	case strings.Contains(set.FrameworkName, "<"):
		return nil, errors.New("moodle settings: framework_name must hold no \"<\"")
	case set.Context < 1:
		return nil, errors.New("moodle settings: context_id must be at least 1")
	case set.Scale < 1:
		return nil, errors.New("moodle settings: scale_id must be at least 1")
	}
	return &session{
		set: set,
		api: &rest.API{
			HTTP: account.HTTP, Base: page.ReplaceAllString(strings.TrimRight(set.Address, "/"), "$1"), Secrets: []string{set.Token},
		},
		knows:     account.Knows,
		preparing: make(chan struct{}, 1),
		known:     newCatalogue(),
		pageSize:  pageSize,
		sent:      map[string]bool{},
	}, nil
}

type session struct {
	set settings
	api *rest.API
	// knows is connector.Account.Knows.
	knows func(ctx context.Context, originIDs []string) ([]bool, error)

	// preparing is held by the call that looks for the framework, lists it, or makes what is missing.
	preparing chan struct{}

	mu    sync.Mutex
	known *catalogue
	// pageSize is how many competencies are asked for at once.
	pageSize int
	// sent are the ID numbers of skills that were to be written, while some may be taken over. Not all of them are known yet.
	sent map[string]bool
}

// Besides writing, the session can do this.
var (
	_ connector.Checker = (*session)(nil)
	_ connector.Lister  = (*session)(nil)
	_ connector.Finder  = (*session)(nil)
)

// Limits implements connector.Session.
func (s *session) Limits() connector.Limits {
	return connector.Limits{Batch: batch, Concurrency: concurrency}
}

// Check implements connector.Checker: the functions that the token may call, and whether its user may manage the framework. While
// there is none, it tries to make one with a scale that cannot exist: Moodle looks at the permission first.
func (s *session) Check(ctx context.Context) error {
	functions, x, err := s.site(ctx)
	if err != nil {
		return err
	}
	asked := x == nil
	if x != nil {
		// A service without this function may be good for all the rest.
		if e := s.failure(x, "The site says nothing of itself"); x.Code != "accessexception" {
			return e
		}
	}
	f, err := s.findFramework(ctx)
	if err != nil {
		return err
	}
	need := []string{fnList, fnCreate, fnUpdate}
	if f == nil {
		need = append(need, fnCreateFramework)
	}
	if s.set.Inactive == archive {
		need = append(need, fnMove)
	}
	need = slices.DeleteFunc(need, func(function string) bool { return slices.Contains(functions, function) })
	switch {
	case asked && len(need) > 0:
		return connector.Errorf(connector.Permission, "The token's service lacks the functions %s", strings.Join(need, ", "))
	case f != nil && f.Manages != nil && !*f.Manages:
		return connector.Errorf(connector.Permission, "The token's user may not manage the competency framework %q (moodle/competency:competencymanage)", s.set.Framework)
	case f != nil:
		_, err = s.query(ctx, f.ID, 0, 1)
		return err
	}
	x, err = s.call(ctx, fnCreateFramework, s.newFramework(0, "[]"), false, &struct{}{})
	if err == nil && x != nil {
		if e := s.general(x); e != nil {
			return e
		}
	}
	if err != nil || !slices.Contains(functions, fnScaleValues) {
		return err
	}
	// Of a scale that there is not, Moodle has an error of PHP's, which has no code.
	x, err = s.call(ctx, fnScaleValues, url.Values{"scaleid": {number(s.set.Scale)}}, false, &[]struct{}{})
	if err == nil && x != nil && (x.Code == "" || x.missing()) {
		return x.error(connector.Unexpected, fmt.Sprintf("The competency framework %q has to be made, and this Moodle seems to have no scale %d (scale_id): %s",
			s.set.Framework, s.set.Scale, s.api.Words(x.words())))
	}
	return err
}

// List implements connector.Lister. A cursor names the framework, the place in it, and the competency that archived ones are
// under.
func (s *session) List(ctx context.Context, cursor string) (connector.Page, error) {
	var at struct {
		framework, last, archive int64
		skip                     int
	}
	if cursor == "" {
		f, err := s.findFramework(ctx)
		if err != nil || f == nil {
			return connector.Page{}, err
		}
		under, _, err := s.look(ctx, f.ID, archiveNumber)
		if err != nil {
			return connector.Page{}, err
		}
		at.framework, at.archive = f.ID, under.ID
	} else if n, err := fmt.Sscanf(cursor, "%d.%d.%d.%d", &at.framework, &at.archive, &at.skip, &at.last); n != 4 || err != nil {
		return connector.Page{}, connector.Errorf(connector.Unexpected, "There is no such cursor: %q", cursor)
	}
	listed, next, full, err := s.after(ctx, at.framework, at.skip, at.last)
	if err != nil {
		return connector.Page{}, err
	}
	var page connector.Page
	for _, c := range listed {
		at.last = c.ID
		if c.Number != archiveNumber {
			page.Records = append(page.Records, c.record(at.archive))
		}
	}
	if full {
		page.Next = fmt.Sprintf("%d.%d.%d.%d", at.framework, at.archive, next, at.last)
	}
	return page, nil
}

// Find implements connector.Finder.
func (s *session) Find(ctx context.Context, skills []connector.Skill) ([]connector.Record, error) {
	framework, err := s.prepare(ctx, len(skills), false)
	if err != nil || framework == 0 {
		return nil, err
	}
	seen := map[int64]bool{}
	var records []connector.Record
	add := func(c competency, originID string) error {
		if seen[c.ID] || c.Number == archiveNumber {
			return nil
		}
		seen[c.ID] = true
		under, err := s.archivedUnder(ctx, framework, c)
		if err != nil {
			return err
		}
		r := c.record(under)
		r.OriginID = originID
		records = append(records, r)
		return nil
	}
	for _, sk := range skills {
		c, held, err := s.find(ctx, framework, sk)
		if err != nil {
			return nil, err
		}
		if held {
			if err := add(c, sk.OriginID); err != nil {
				return nil, err
			}
			continue
		}
		if !sk.Adopt {
			continue
		}
		free, err := s.unclaimed(ctx, framework, sk.Name, true)
		if err != nil {
			return nil, err
		}
		if len(free) > 0 {
			if err := add(free[0], ""); err != nil {
				return nil, err
			}
		}
	}
	return records, nil
}

// archivedUnder returns the id of the competency that archived ones are under, if it matters for c.
func (s *session) archivedUnder(ctx context.Context, framework int64, c competency) (int64, error) {
	if c.Parent == 0 {
		return 0, nil
	}
	return s.archive(ctx, framework, false)
}

func remoteID(c competency) string { return strconv.FormatInt(c.ID, 10) }
