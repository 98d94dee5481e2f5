// Package odoo is the connector to Odoo 16 and later: skills of the app Skills Management (module hr_skills), written with the
// method load that Odoo's own import uses.
//
// A skill is identified by its external id, "module.name": the module is a setting, the name is the origin id with blanks and
// control characters escaped. load makes what is not there and changes what is, up to some hundred skills in one request,
// all or nothing: one bad row, and everything is rolled back. Those that Odoo names are taken out as refused, and the rest
// is sent again. So of the requests of a call at most the last load changes skills. Skills belong to a skill type, which a
// setting names and the first write makes.
//
// Odoo 19 is spoken to through /json/2, with the key in a header; earlier ones, which do not know it, through /jsonrpc, where
// a login and a database are needed too. The language of every request is English, which Odoo always has: texts that
// people translated stay, and messages can be understood.
//
// What was tried on running servers, and what is done about it:
//
//   - A skill has no flag for being inactive, and deleting one takes it from the employees who have it. So nothing is ever
//     deleted: inactive skills are refused or moved to a skill type of their own, as a setting says.
//   - A row that was not changed has a new date all the same. So skills whose id is known are read first, and left out when
//     they are as they should be.
//   - No answer means that nobody knows: a load that was given up is still carried out. The same external ids can be sent
//     again without making anything twice.
//   - Missing rights and changes at the same time are told as messages of rows. They are told apart by their words. PostgreSQL's
//     may be in its own language, so what is refused in words that name no field is tried once more.
//   - When a rule of Odoo's own refuses a row, the same message also names the first row of the batch. While others are
//     named, a first message without a field proves nothing against its row.
//   - External ids lie in a table that ordinary users may not read. Where it is refused, the catalogue is read instead.
//
// What was not tried, but stands in Odoo's source: the skills of a type that is deleted leave their external ids behind, which
// load gives to new skills; skill types that are archived are found by their numbers only where the context asks for them; /json/2
// answers 404 with a page while the database cannot be used; rights are asked for with has_access, before Odoo 18 with
// check_access_rights; a skill type without an external id goes into the column skill_type_id/.id; adopting a skill needs the
// right to create external ids, which is asked for by doing it; Odoo 18 answers a request to /json/2 with a page to sign in.
package odoo

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// Slug is the tool's id.
const Slug = "odoo"

const (
	// batch is how many skills a load holds unless the setting says otherwise: when a row is bad, Odoo tries them one by one.
	batch = 500
	// mostBatch is the largest that the setting may say.
	mostBatch = 1000
)

// The ways to speak to Odoo.
const (
	auto    = "auto"
	json2   = "json2"
	jsonrpc = "jsonrpc"
)

// What becomes of inactive skills.
const (
	refuse = "refuse"
	move   = "move"
)

// New returns the connector.
func New() connector.Connector { return odoo{} }

type odoo struct{}

// settings of an account.
type settings struct {
	Address      string `json:"address"`
	Database     string `json:"database"`
	Login        string `json:"login"`
	Key          string `json:"api_key"`
	SkillType    string `json:"skill_type"`
	Inactive     string `json:"inactive"`
	ArchivedType string `json:"archived_skill_type"`
	API          string `json:"api"`
	Module       string `json:"external_id_module"`
	Batch        int    `json:"batch_size"`
}

// Describe implements connector.Connector.
func (odoo) Describe() connector.Description {
	return connector.Description{
		Slug:     Slug,
		Label:    "Odoo",
		Category: connector.HRIS,
		Summary:  "Odoo 16 and later, with the app Skills Management.",
		Settings: []connector.Field{
			{Name: "address", Type: connector.Address, Label: "Address", Help: "Where Odoo is, without a path.", Example: "https://acme.odoo.com", Required: true, Shapes: true},
			{Name: "database", Type: connector.Text, Label: "Database", Help: "The name of Odoo's database. Odoo 19 needs it only where one server has several; 16 to 18 always.", Example: "acme", Shapes: true},
			{Name: "login", Type: connector.Text, Label: "Login", Help: "The login of the user whose key it is. Odoo 19 does without.", Example: "crosswalk@example.com"},
			{Name: "api_key", Type: connector.Text, Label: "API key", Help: "An API key of that user. Those of ordinary users expire within 90 days.", Secret: true, Required: true},
			{Name: "skill_type", Type: connector.Text, Label: "Skill type", Help: "The skill type that the skills belong to. It is made if there is none of that name.", Default: "Skills", Shapes: true},
			{Name: "inactive", Type: connector.Choice, Choices: []string{refuse, move}, Label: "Inactive skills", Help: "Odoo cannot deactivate a skill: refuse inactive ones, or move them to a skill type of their own.", Default: refuse, RefusesInactive: refuse, Shapes: true},
			{Name: "archived_skill_type", Type: connector.Text, Label: "Skill type of inactive skills", Help: "Where inactive skills are moved to. It is made if there is none of that name.", Default: "Archived skills", Shapes: true},
			{Name: "api", Type: connector.Choice, Choices: []string{auto, json2, jsonrpc}, Label: "API", Help: "How to speak to Odoo: json2 is for 19 and later, jsonrpc for 16 to 18; auto finds out.", Default: auto},
			{Name: "external_id_module", Type: connector.Text, Label: "Module of external ids", Help: "The part of the skills' external ids before the dot: lower case letters, digits and underscores, and no name of a module of Odoo's. Integrations that share it share their skills. Once skills were written it must stay as it is.", Default: "crosswalk", Shapes: true},
			{Name: "batch_size", Type: connector.Number, Label: "Skills in a request", Help: "At most 1000.", Default: strconv.Itoa(batch)},
		},
		Limits: limits(batch),
		Capabilities: []connector.Capability{
			connector.CanCheck, connector.CanList, connector.CanFind, connector.CanDeactivate, connector.CanReactivate, connector.CanAdopt,
			connector.CanTake,
		},
		Links: []connector.Link{
			{Label: "API of Odoo 19", URL: "https://www.odoo.com/documentation/19.0/developer/reference/external_api.html", Guide: true},
			{Label: "API of Odoo 17", URL: "https://www.odoo.com/documentation/17.0/developer/reference/external_api.html"},
			{Label: "Skills", URL: "https://www.odoo.com/documentation/19.0/applications/hr/employees/new_employee.html"},
		},
		Beta: true,
	}
}

// limits: Odoo knows no rate. Loads at the same time only get into each other's way.
func limits(batch int) connector.Limits { return connector.Limits{Batch: batch, Concurrency: 1} }

var modulePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,59}$`)

// page is where an address goes on to a page of Odoo's, as copied from a browser, or to one of its APIs.
var page = regexp.MustCompile(`[^/]/(?:odoo|web|json|jsonrpc|xmlrpc)(?:/.*)?$`)

// Open implements connector.Connector.
func (o odoo) Open(account connector.Account) (connector.Session, error) {
	var set settings
	if err := o.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	switch {
	case set.API == jsonrpc && (set.Database == "" || set.Login == ""):
		return nil, errors.New("odoo settings: with the api jsonrpc, database and login are required")
	case strings.TrimSpace(set.SkillType) == "":
		return nil, errors.New("odoo settings: skill_type must not be empty")
	case strings.TrimSpace(set.ArchivedType) == "" || set.ArchivedType == set.SkillType:
		return nil, errors.New("odoo settings: archived_skill_type must not be empty, nor the same as skill_type")
	case !modulePattern.MatchString(set.Module):
		return nil, errors.New("odoo settings: external_id_module must be lower case letters, digits and underscores, and begin with a letter")
	case set.Batch < 1 || set.Batch > mostBatch:
		return nil, errors.New("odoo settings: batch_size must be between 1 and 1000")
	}
	address := set.Address
	if at := page.FindStringIndex(address); at != nil {
		address = address[:at[0]+1]
	}
	header := http.Header{"Authorization": {"bearer " + set.Key}}
	if set.Database != "" {
		header.Set("X-Odoo-Database", set.Database)
	}
	s := &session{
		set: set, header: header, speaks: set.API, types: map[string]skillType{},
		api: &rest.API{
			HTTP: account.HTTP, Base: address, Header: http.Header{"Accept": {"application/json"}}, Secrets: []string{set.Key},
		},
	}
	return s, nil
}

type session struct {
	set    settings
	api    *rest.API
	header http.Header // of /json/2

	mu sync.Mutex
	// speaks is how to speak to Odoo; auto until that is known.
	speaks string
	// answered: /json/2 has answered.
	answered bool
	// user is the id of the login's user, once signed in through /jsonrpc.
	user int64
	// types are the skill types that are known, by name.
	types map[string]skillType
	// denied: the user may not read the table of external ids.
	denied bool
}

// Besides writing, the session can do this.
var (
	_ connector.Checker = (*session)(nil)
	_ connector.Lister  = (*session)(nil)
	_ connector.Finder  = (*session)(nil)
)

// Limits implements connector.Session.
func (s *session) Limits() connector.Limits { return limits(s.set.Batch) }

// Check implements connector.Checker.
func (s *session) Check(ctx context.Context) error {
	for _, right := range []string{"create", "write"} { // an ordinary employee may create skills, but not change them
		if err := s.may(ctx, modelSkill, right); err != nil {
			return err
		}
	}
	names := []string{s.set.SkillType}
	if s.set.Inactive == move {
		names = append(names, s.set.ArchivedType)
	}
	for _, name := range names {
		_, there, err := s.findType(ctx, name)
		if err == nil && !there {
			err = s.may(ctx, modelType, "create")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// may asks for a right.
func (s *session) may(ctx context.Context, model, right string) error {
	yes, err := s.hasAccess(ctx, model, right)
	if err == nil && !yes {
		err = connector.Errorf(connector.Permission, "The user may not %s records of %s in Odoo; it needs the role %q of the app Employees", right, model, "Officer: Manage all employees")
	}
	return err
}

// listed is how many skills are in a page of the list, scanned in one of a search for external ids.
const (
	listed  = 1000
	scanned = 5000
)

// List implements connector.Lister. It shows the skills of all types; those with no external id of the module have no origin
// id. The cursor is the last id.
func (s *session) List(ctx context.Context, cursor string) (connector.Page, error) {
	var after int64
	if cursor != "" {
		var err error
		if after, err = strconv.ParseInt(cursor, 10, 64); err != nil {
			return connector.Page{}, connector.Errorf(connector.Unexpected, "%q is no cursor", cursor)
		}
	}
	archived, err := s.archivedType(ctx)
	if err != nil {
		return connector.Page{}, err
	}
	home, _, err := s.findType(ctx, s.set.SkillType)
	if err != nil {
		return connector.Page{}, err
	}
	records, owners, err := s.scan(ctx, after, listed)
	if err != nil {
		return connector.Page{}, err
	}
	var page connector.Page
	for _, r := range records {
		shown := r.public(owners[r.ID], archived)
		shown.Apart = int64(r.Type) != home.id // see unclaimed
		page.Records = append(page.Records, shown)
	}
	if len(records) == listed {
		page.Next = strconv.FormatInt(records[len(records)-1].ID, 10)
	}
	return page, nil
}

// Find implements connector.Finder.
func (s *session) Find(ctx context.Context, skills []connector.Skill) ([]connector.Record, error) {
	archived, err := s.archivedType(ctx)
	if err != nil {
		return nil, err
	}
	held, err := s.locate(ctx, skills)
	if err != nil {
		return nil, err
	}
	found := make([]connector.Record, 0, len(held))
	var adopts []connector.Skill
	for _, sk := range skills {
		if r, ok := held[sk.OriginID]; ok {
			found = append(found, r.public(sk.OriginID, archived))
		} else if sk.Adopt {
			adopts = append(adopts, sk)
		}
	}
	if len(adopts) == 0 {
		return found, nil
	}
	home, there, err := s.findType(ctx, s.set.SkillType)
	if err != nil || !there {
		return found, err
	}
	free, err := s.unclaimed(ctx, adopts, home)
	if err != nil {
		return nil, err
	}
	for _, r := range free {
		found = append(found, r.public("", archived))
	}
	return found, nil
}

// archivedType is the id of the skill type of inactive skills, 0 if there is none.
func (s *session) archivedType(ctx context.Context) (int64, error) {
	if s.set.Inactive != move {
		return 0, nil
	}
	t, _, err := s.findType(ctx, s.set.ArchivedType)
	return t.id, err
}
