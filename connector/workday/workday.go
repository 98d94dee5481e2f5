// Package workday is the connector to Workday: the skills that a tenant maintains, through the SOAP web service Talent.
//
// Workday writes one skill a request (Put_Skill) and reads many (Get_Skills). So a call of Write is one question for all
// its skills, by their reference id, and then one request for each skill that is not as it should be: a few at once, and no
// faster than the tenant allows. Whatever is wrong comes as a SOAP fault, mostly with HTTP 500: a Validation_Fault is the
// refusal of one skill, and what any other fault means its code and its words tell.
//
// What the public documentation leaves open, and what is done about it:
//
//   - The form of a skill. In the descriptions that are public its Name and Inactive are attributes; a setting makes them
//     elements. Answers are read in either form, whether or not the data stand in an element of their own.
//   - Which fields a tenant requires. The category is a setting; without one the category is left out of new skills, and
//     that of a skill which has one is sent back as it is. So is, in the versions that have it, whether candidates see it.
//   - Whether a question that names a skill which is not there is refused, or answered without it: both. A refusal names
//     the skills, in quotes or by their place, and the question is asked once more without them. What is still open then is
//     asked one by one, if the skill may be there.
//   - Whether a question shows inactive skills: new skills are sent as Add_Only, so nothing is overwritten. One that is
//     refused is then sent with a reference, and if Workday knows none the first refusal was meant.
//   - The words of a fault: a table, see kinds. A fault of Workday's own that is not in it leaves open what became of the
//     skill.
//   - How many requests a tenant takes: a setting.
//   - How long names and ids may be: what Workday says to it is passed on, as when a name is taken, which it does not permit.
package workday

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// Slug is the tool's id.
const Slug = "workday"

const (
	// batch is how many skills a call of Write takes. With more of them the question before costs less, and with fewer less
	// is done again after a crash. With these the questions and the engine's spacing take less than a tenth of the rate together.
	batch = 25
	// atOnce is how many requests may be under way: enough for the rate while an answer takes half a second.
	atOnce = 5
	// requests a second, unless the setting says otherwise, and the most that it may say.
	requests, mostRequests = 10, 100
	// pageSize is the most that Workday shows on a page. Nobody has as many skills as mostPages hold.
	pageSize, mostPages = 999, 10_000
)

// New returns the connector.
func New() connector.Connector { return workday{} }

type workday struct{}

// The forms that Name and Inactive of a skill may have.
const (
	attributes = "attributes"
	elements   = "elements"
)

// settings of an account.
type settings struct {
	Address       string `json:"address"`
	Tenant        string `json:"tenant"`
	Username      string `json:"username"`
	Password      string `json:"password"`
	Version       string `json:"version"`
	Form          string `json:"form"`
	ReferenceType string `json:"reference_type"`
	CategoryID    string `json:"category_id"`
	CategoryType  string `json:"category_type"`
	Requests      int    `json:"requests_per_second"`
}

// Describe implements connector.Connector.
func (workday) Describe() connector.Description {
	return connector.Description{
		Slug:     Slug,
		Label:    "Workday",
		Category: connector.HRIS,
		Summary:  "Workday HCM, with the skills that the tenant maintains.",
		Settings: []connector.Field{
			{Name: "address", Type: connector.Address, Label: "Address", Help: "The host of the tenant's web services, from View API Clients or the WSDL.", Example: "https://wd2-impl-services1.workday.com", Required: true, Shapes: true},
			{Name: "tenant", Type: connector.Text, Label: "Tenant", Help: "The tenant's name, as in its addresses.", Example: "acme_preview", Required: true, Shapes: true},
			{Name: "username", Type: connector.Text, Label: "User name", Help: "The integration system user, with or without @tenant.", Example: "ISU_Crosswalk", Required: true},
			{Name: "password", Type: connector.Text, Label: "Password", Help: "The user's password.", Secret: true, Required: true},
			{Name: "version", Type: connector.Text, Label: "Version", Help: "The version of the web service Talent.", Default: "v44.2"},
			{Name: "form", Type: connector.Choice, Choices: []string{attributes, elements}, Label: "Form", Help: "Whether Name and Inactive of Skill_Data are attributes or elements in that version's description.", Default: attributes, Shapes: true},
			{Name: "reference_type", Type: connector.Text, Label: "Reference type", Help: "The type of reference id that holds a skill's origin_id. Once skills were written it must stay as it is.", Default: "Skill_ID", Shapes: true},
			{Name: "category_id", Type: connector.Text, Label: "Category", Help: "The reference id of the category that skills belong to. Empty: new skills have none, others keep theirs.", Shapes: true},
			{Name: "category_type", Type: connector.Text, Label: "Category type", Help: "The type of that reference id.", Default: "Skill_Item_Category_ID", Shapes: true},
			{Name: "requests_per_second", Type: connector.Number, Label: "Requests a second", Help: "How many requests the tenant takes from this integration; 1 to 100.", Default: strconv.Itoa(requests)},
		},
		Limits:       limits(requests),
		Capabilities: []connector.Capability{connector.CanCheck, connector.CanList, connector.CanFind, connector.CanDeactivate, connector.CanReactivate},
		Links: []connector.Link{
			{Label: "Web services", URL: "https://community.workday.com/sites/default/files/file-hosting/productionapi/index.html"},
			{Label: "Get_Skills", URL: "https://community.workday.com/sites/default/files/file-hosting/productionapi/Talent/v32.1/Get_Skills.html"},
		},
		Beta: true,
	}
}

// limits counts calls of Write, each a question and a request for each skill. The requests of a session are spaced by its
// pace: so those that a call makes beyond that keep to the rate, and make the call longer.
func limits(requestsPerSecond int) connector.Limits {
	return connector.Limits{Batch: batch, Concurrency: 1, Calls: requestsPerSecond, Per: (batch + 1) * time.Second}
}

var (
	versions = regexp.MustCompile(`^v\d{1,3}\.\d{1,3}$`)
	tenants  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// Open implements connector.Connector.
func (w workday) Open(account connector.Account) (connector.Session, error) {
	var set settings
	if err := w.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	switch {
	case !tenants.MatchString(set.Tenant):
		return nil, errors.New("workday settings: tenant must be a name of letters, digits, _ and -")
	case !versions.MatchString(set.Version):
		return nil, fmt.Errorf("workday settings: version: %q is not a version such as %q", set.Version, "v44.2")
	case set.Requests < 1 || set.Requests > mostRequests:
		return nil, fmt.Errorf("workday settings: requests_per_second must be from 1 to %d", mostRequests)
	case strings.TrimSpace(set.ReferenceType) == "":
		return nil, errors.New("workday settings: reference_type must not be empty")
	case set.CategoryID != "" && strings.TrimSpace(set.CategoryType) == "":
		return nil, errors.New("workday settings: category_type must not be empty when there is a category_id")
	}
	for name, text := range map[string]string{
		"username": set.Username, "password": set.Password, "reference_type": set.ReferenceType, "category_id": set.CategoryID, "category_type": set.CategoryType,
	} {
		if !carried(text) {
			return nil, fmt.Errorf("workday settings: %s holds a character that XML cannot carry", name)
		}
	}
	if !strings.Contains(set.Username, "@") {
		set.Username += "@" + set.Tenant
	}
	return &session{
		set:  set,
		pace: &pace{every: (time.Second + time.Second/20) / time.Duration(set.Requests)},
		api: &rest.API{
			HTTP: account.HTTP, Base: set.Address,
			// The operations have no action; SOAP wants the header all the same.
			Header:  http.Header{"Accept": {"text/xml"}, "Soapaction": {`""`}},
			Secrets: []string{set.Password},
		},
	}, nil
}

type session struct {
	set  settings
	api  *rest.API
	pace *pace
}

// Besides writing, the session can do this.
var (
	_ connector.Checker = (*session)(nil)
	_ connector.Lister  = (*session)(nil)
	_ connector.Finder  = (*session)(nil)
)

// Limits implements connector.Session.
func (s *session) Limits() connector.Limits { return limits(s.set.Requests) }

// Check implements connector.Checker. That a user may put skills cannot be asked, so it tries to change one that does not
// exist, without any data: permission is looked at first, and there is nothing that Workday could make of it.
func (s *session) Check(ctx context.Context) error {
	got, err := s.call(ctx, nil, s.question(nil, &filter{Page: 1, Count: 1}), false)
	switch {
	case err != nil:
		return err
	case got.refused != nil:
		return got.refused.err
	}
	_, err = s.call(ctx, nil, &putSkill{Version: s.set.Version, Reference: s.reference("crosswalk: no skill, a question of permission")}, true)
	return err
}

// List implements connector.Lister. A cursor is a page's number and, if Workday told it, the moment at which the first page
// was read: with it all pages show the skills of that moment.
func (s *session) List(ctx context.Context, cursor string) (connector.Page, error) {
	number, moment, err := place(cursor)
	if err != nil {
		return connector.Page{}, err
	}
	got, err := s.call(ctx, nil, s.question(nil, &filter{Moment: moment, Page: number, Count: pageSize}), false)
	switch {
	case err != nil:
		return connector.Page{}, err
	case got.refused != nil:
		return connector.Page{}, got.refused.err
	}
	more, err := got.skills.whole(number)
	if err != nil {
		return connector.Page{}, err
	}
	page := connector.Page{Records: make([]connector.Record, 0, len(got.skills.Data.Skills))}
	for _, sk := range got.skills.Data.Skills {
		h := sk.held(s.set.ReferenceType)
		if h.RemoteID == "" || h.Name == "" {
			return connector.Page{}, connector.Errorf(connector.Unexpected, "Workday shows a skill without an id or a name")
		}
		page.Records = append(page.Records, h.Record)
	}
	if moment == "" {
		moment = got.skills.moment()
	}
	if more {
		page.Next = strconv.Itoa(number+1) + " " + moment
	}
	return page, nil
}

// place reads a cursor.
func place(cursor string) (number int, moment string, err error) {
	if cursor == "" {
		return 1, "", nil
	}
	first, moment, _ := strings.Cut(cursor, " ")
	if number, err = strconv.Atoi(first); err != nil || number < 2 {
		return 0, "", connector.Errorf(connector.Unexpected, "%q is no cursor", cursor)
	}
	return number, moment, nil
}

// Find implements connector.Finder.
func (s *session) Find(ctx context.Context, skills []connector.Skill) ([]connector.Record, error) {
	var ids []string
	for _, sk := range skills {
		if carried(sk.OriginID) { // or Workday cannot hold it
			ids = append(ids, sk.OriginID)
		}
	}
	found, unknown, err := s.lookUp(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !unknown[id] {
			continue
		}
		h, there, err := s.lookUpOne(ctx, nil, id)
		if err != nil {
			return nil, err
		}
		if there {
			found[id] = h
		}
	}
	records := make([]connector.Record, 0, len(found))
	for _, h := range found {
		records = append(records, h.Record)
	}
	return records, nil
}
