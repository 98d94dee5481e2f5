// Package workdaytest is a tenant of Workday with the web service Talent as its descriptions say, in memory. It checks every
// request it is sent and reports what is wrong to the test.
package workdaytest

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/workday"
)

// Tenant is a tenant.
type Tenant struct {
	Name, User, Password, Version string
	// Elements: Name and Inactive of a skill are elements, and not attributes.
	Elements bool
	// ReferenceType is the type of a skill's reference ids.
	ReferenceType string
	// Category is the one that the integration is told to use; the tenant knows it and Another. Empty: it is told none.
	Category string
	// NeedsCategory: a skill must have one.
	NeedsCategory bool
	// MayGet and MayPut are what the user's security group permits.
	MayGet, MayPut bool
	// PerSecond is how many requests a second the tenant takes, over ten seconds; 0 is any number.
	PerSecond int
	// Refuse is a name that Workday does not take.
	Refuse string

	// What the documentation leaves open.

	// Missing is what becomes of a question for skills of which some are not there.
	Missing Missing
	// Unquoted: a fault tells the place of an id, but not its value.
	Unquoted bool
	// HidesInactive: a question does not show inactive skills.
	HidesInactive bool
	// StaysInactive: what is inactive cannot be made active.
	StaysInactive bool
	// TakenNames: a name may be used once.
	TakenNames bool
	// Flat: the data of a skill stand beside its reference.
	Flat bool
	// Short: the answer to a change is a reference and nothing else.
	Short bool
	// NoWID: references do not tell Workday's own id where there is another.
	NoWID bool
	// Hides: skills may be hidden from candidates, as later versions say.
	Hides bool
	// Timeless: an answer does not say which moment it shows.
	Timeless bool

	t      testing.TB
	mu     sync.Mutex
	skills []*Skill
	ids    map[string]*Skill // by reference id
	wids   map[string]*Skill
	names  map[string]*Skill
	recent []time.Time
	denied int
}

// Missing is what becomes of a question for skills of which some are not there.
type Missing int

// The possibilities.
const (
	AllRefused   Missing = iota // it is refused, and the fault names all of them
	FirstRefused                // it is refused, and the fault names the first
	LeftOut                     // it is answered with those that are there
)

// Another is a category that people have put skills in.
const Another = "SKILL_CATEGORY-another"

// CategoryType is the type of a category's reference ids.
const CategoryType = "Skill_Item_Category_ID"

// Skill is one skill of the tenant.
type Skill struct {
	WID, ID, Name, Category string
	Inactive, Hidden        bool
	entered                 time.Time
}

// New makes a tenant with a user who may do all.
func New(t testing.TB) *Tenant {
	const password = `p<a>&"ss' wörd]]>` //nolint:gosec // of a fake
	return &Tenant{
		Name: "acme_preview", User: "ISU_Crosswalk", Password: password, Version: "v44.2", ReferenceType: "Skill_ID",
		MayGet: true, MayPut: true, t: t, ids: map[string]*Skill{}, wids: map[string]*Skill{}, names: map[string]*Skill{},
	}
}

// Account is the tenant for the conformance suite. Its address is connectortest.Base.
func (c *Tenant) Account() connectortest.Account {
	return connectortest.Account{
		Account: connector.Account{ID: "workday:1", Settings: c.Settings(connectortest.Base)},
		Tool:    c,
		Records: func(*testing.T) []connector.Record { return c.Records() },
		MakeByHand: func(_ *testing.T, name string) string {
			return c.MakeByHand(name)
		},
	}
}

// Settings are those of an integration with the tenant at an address.
func (c *Tenant) Settings(address string) json.RawMessage {
	all := map[string]any{"address": address, "tenant": c.Name, "username": c.User, "password": c.Password, "category_id": c.Category}
	if c.Version != "v44.2" {
		all["version"] = c.Version
	}
	if c.Elements {
		all["form"] = "elements"
	}
	if c.ReferenceType != "Skill_ID" {
		all["reference_type"] = c.ReferenceType
	}
	settings, err := json.Marshal(all)
	if err != nil {
		c.t.Fatal(err)
	}
	return settings
}

// Harness is the connector with such a tenant, for the conformance suite. The tenant is as change makes it.
func Harness(change func(*Tenant)) connectortest.Harness {
	return connectortest.Harness{
		Connector: workday.New(),
		HTTP:      true,
		// Workday writes one skill a request.
		Fewest: func(skills int) int { return skills },
		// At ten requests a second.
		FewestTime: func(skills int) time.Duration { return time.Duration(skills) * time.Second / 10 },
		NewAccount: func(t *testing.T, s connectortest.Situation) (connectortest.Account, bool) {
			c := New(t)
			change(c)
			account := c.Account()
			switch s {
			case connectortest.Normal:
			case connectortest.RefusesOne:
				c.Refuse = connectortest.RefusedName
				account.Relax = func(*testing.T) connector.Account { c.Refuse = ""; return account.Account }
			case connectortest.Credentials:
				c.Password = "another"
				account.Relax = func(*testing.T) connector.Account {
					return connector.Account{ID: account.ID, Settings: c.Settings(connectortest.Base)}
				}
			case connectortest.Permission:
				c.MayPut = false
				account.Relax = func(*testing.T) connector.Account { c.MayPut = true; return account.Account }
			default:
				return account, false
			}
			return account, true
		},
		BadSettings: map[string]string{
			`{}`: "address is required",
			`{"address":"https://a.example","tenant":"a/../b","username":"u","password":"p"}`:                                 "tenant",
			`{"address":"https://u:p@a.example","tenant":"a","username":"u","password":"p"}`:                                  "address",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p","version":"44"}`:                       "version",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p","form":"both"}`:                        "form",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p\u0001"}`:                                "password holds a character",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p","reference_type":" "}`:                 "reference_type",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p","category_id":"c","category_type":""}`: "category_type",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p","requests_per_second":0}`:              "requests_per_second",
			`{"address":"https://a.example","tenant":"a","username":"u","password":"p","requests_per_second":1000}`:           "requests_per_second",
			`{"address":"https://a.example","tenant":"a","username":"u","password":4711}`:                                     "password",
		},
	}
}

// Records are all skills.
func (c *Tenant) Records() []connector.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	records := make([]connector.Record, len(c.skills))
	for i, s := range c.skills {
		records[i] = connector.Record{RemoteID: s.WID, OriginID: s.ID, Name: s.Name, Active: !s.Inactive}
		if c.NoWID && s.ID != "" {
			records[i].RemoteID = s.ID
		}
	}
	return records
}

// Find returns a copy of the skill with that reference id; empty if there is none.
func (c *Tenant) Find(id string) Skill {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.ids[id]; s != nil {
		return *s
	}
	return Skill{}
}

// MakeByHand makes a skill in Workday's pages. It has no reference id.
func (c *Tenant) MakeByHand(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.add("", name).WID
}

// Hide hides a skill from candidates, as people do.
func (c *Tenant) Hide(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[id].Hidden = true
}

// SetCategory puts a skill into a category, as people do.
func (c *Tenant) SetCategory(id, category string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[id].Category = category
}

func (c *Tenant) add(id, name string) *Skill {
	s := &Skill{WID: fmt.Sprintf("a0bd6531976a4eb888b3%012x", 4711+len(c.skills)), ID: id, Name: name, entered: time.Now()}
	c.skills = append(c.skills, s)
	c.wids[s.WID] = s
	c.names[name] = s
	if id != "" {
		c.ids[id] = s
	}
	return s
}

// ServeHTTP implements http.Handler.
func (c *Tenant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if want := "/ccx/service/" + c.Name + "/Talent/" + c.Version; r.Method != http.MethodPost || r.URL.Path != want || r.URL.RawQuery != "" {
		c.t.Errorf("%s %s, want POST %s", r.Method, r.URL, want)
	}
	if kind, is, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "text/xml" || is["charset"] != "utf-8" {
		c.t.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	if r.Header["Soapaction"] == nil || r.Header.Get("Accept") != "text/xml" || r.Header.Get("Authorization") != "" {
		c.t.Errorf("header %v", r.Header)
	}
	request, err := c.request(r)
	if err != nil {
		c.t.Error(err)
		c.fault(w, faultAnswer{Code: "SOAP-ENV:Client", Text: "The request is not valid: " + err.Error()})
		return
	}
	if request == nil {
		if c.denied++; c.denied > 1 { // who goes on is locked out
			c.t.Errorf("request %d with credentials that Workday does not accept", c.denied)
		}
		c.fault(w, faultAnswer{Code: "SOAP-ENV:Client.authenticationError", Text: "invalid username or password"})
		return
	}
	if !c.admit() {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Too many requests", http.StatusTooManyRequests)
		return
	}
	gets := short(request.name) == "wd:Get_Skills_Request"
	if !c.MayGet || !gets && !c.MayPut {
		const text = "The task submitted is not authorized."
		c.fault(w, faultAnswer{Code: "SOAP-ENV:Server.processingError", Text: "Processing error occurred. " + text, Processing: text})
		return
	}
	if gets {
		err = c.get(w, request)
	} else {
		err = c.put(w, request)
	}
	if err != nil {
		c.t.Error(err)
		c.fault(w, faultAnswer{Code: "SOAP-ENV:Client", Text: "The request is not valid: " + err.Error()})
	}
}

// request takes the request out of its envelope. Nil: the credentials are not good.
func (c *Tenant) request(r *http.Request) (*node, error) {
	envelope, err := parse(r.Body)
	if err != nil {
		return nil, err
	}
	if err := envelope.is("env:Envelope", nil, []string{"env:Header", "env:Body"}); err != nil {
		return nil, err
	}
	header, body := envelope.nodes[0], envelope.nodes[1]
	if err := header.is("env:Header", nil, []string{"wsse:Security"}); err != nil {
		return nil, err
	}
	if err := header.nodes[0].is("wsse:Security", []string{"env:mustUnderstand"}, []string{"wsse:UsernameToken"}); err != nil {
		return nil, err
	}
	token := header.nodes[0].nodes[0]
	if err := token.is("wsse:UsernameToken", nil, []string{"wsse:Username", "wsse:Password"}); err != nil {
		return nil, err
	}
	if err := token.nodes[1].is("wsse:Password", []string{"Type"}, nil); err != nil {
		return nil, err
	}
	if kind, _ := token.nodes[1].attr("Type"); !strings.HasSuffix(kind, "username-token-profile-1.0#PasswordText") {
		return nil, fmt.Errorf("a password of type %q", kind)
	}
	if err := body.is("env:Body", nil, []string{"wd:Get_Skills_Request?", "wd:Put_Skill_Request?"}); err != nil {
		return nil, err
	}
	if len(body.nodes) != 1 {
		return nil, fmt.Errorf("%d requests", len(body.nodes))
	}
	if version, _ := body.nodes[0].attr("wd:version"); version != c.Version {
		return nil, fmt.Errorf("version %q", version)
	}
	if token.nodes[0].text != c.User+"@"+c.Name || token.nodes[1].text != c.Password {
		return nil, nil //nolint:nilnil // as said
	}
	return body.nodes[0], nil
}

// admit counts a request.
func (c *Tenant) admit() bool {
	if c.PerSecond == 0 {
		return true
	}
	now := time.Now()
	for len(c.recent) > 0 && now.Sub(c.recent[0]) >= 10*time.Second {
		c.recent = c.recent[1:]
	}
	c.recent = append(c.recent, now)
	return len(c.recent) <= 10*c.PerSecond
}

func (c *Tenant) say(w http.ResponseWriter, status int, content any) {
	a := answer{Env: "http://schemas.xmlsoap.org/soap/envelope/", Services: "urn:com.workday/bsvc"}
	a.Body.Content = content
	text, err := xml.Marshal(a)
	if err != nil {
		c.t.Error(err)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(status)
	_, _ = w.Write(append([]byte(xml.Header), text...))
}

// fault says no. Whatever is wrong, the status is 500.
func (c *Tenant) fault(w http.ResponseWriter, f faultAnswer) {
	c.say(w, http.StatusInternalServerError, f)
}

// refuse says that a request is not valid.
func (c *Tenant) refuse(w http.ResponseWriter, all ...validation) {
	c.fault(w, faultAnswer{Code: "SOAP-ENV:Client.validationError", Text: "Validation error occurred. " + all[0].Message, Validation: all})
}

func (c *Tenant) invalid(kind, value, path string) validation {
	text := fmt.Sprintf("Invalid ID value.  '%s' is not a valid ID value for type = '%s'", value, kind)
	if c.Unquoted {
		text = "Invalid ID value."
	}
	return validation{Message: text, Detail: text, Path: path}
}

// referred reads a reference, which has one id.
func referred(n *node) (kind, value string, err error) {
	if err := n.is(short(n.name), nil, []string{"wd:ID"}); err != nil {
		return "", "", err
	}
	if err := n.nodes[0].is("wd:ID", []string{"wd:type"}, nil); err != nil {
		return "", "", err
	}
	kind, _ = n.nodes[0].attr("wd:type")
	return kind, n.nodes[0].text, nil
}

// at finds the skill that a reference means.
func (c *Tenant) at(kind, value string) *Skill {
	switch kind {
	case "WID":
		return c.wids[value]
	case c.ReferenceType:
		return c.ids[value]
	default:
		return nil
	}
}

func (c *Tenant) get(w http.ResponseWriter, n *node) error {
	if err := n.is("wd:Get_Skills_Request", []string{"wd:version"}, []string{"wd:Request_References?", "wd:Response_Filter"}); err != nil {
		return err
	}
	f := n.child("wd:Response_Filter")
	if err := f.is("wd:Response_Filter", nil, []string{"wd:As_Of_Entry_DateTime?", "wd:Page", "wd:Count"}); err != nil {
		return err
	}
	page, err := strconv.Atoi(f.child("wd:Page").text)
	if err != nil || page < 1 {
		return fmt.Errorf("page %q", f.child("wd:Page").text)
	}
	count, err := strconv.Atoi(f.child("wd:Count").text)
	if err != nil || count < 1 || count > 999 {
		return fmt.Errorf("count %q", f.child("wd:Count").text)
	}
	as := time.Now()
	if m := f.child("wd:As_Of_Entry_DateTime"); m != nil {
		if as, err = time.Parse(time.RFC3339Nano, m.text); err != nil {
			return err
		}
	}
	candidates := c.skills
	if refs := n.child("wd:Request_References"); refs != nil {
		if err := refs.is("wd:Request_References", nil, []string{"wd:Skill_Reference*"}); err != nil {
			return err
		}
		candidates = nil
		var none []validation
		for i, ref := range refs.nodes {
			kind, value, err := referred(ref)
			if err != nil {
				return err
			}
			if s := c.at(kind, value); s != nil {
				candidates = append(candidates, s)
				continue
			}
			none = append(none, c.invalid(kind, value, fmt.Sprintf("/wd:Get_Skills_Request[1]/wd:Request_References[1]/wd:Skill_Reference[%d]/wd:ID[1]", i+1)))
		}
		if len(none) > 0 && c.Missing != LeftOut {
			if c.Missing == FirstRefused {
				none = none[:1]
			}
			c.refuse(w, none...)
			return nil
		}
	}
	var a getAnswer
	a.Version = c.Version
	if a.Filter.Page, a.Filter.Count = page, count; !c.Timeless {
		a.Filter.Moment = as.Format(time.RFC3339Nano)
	}
	for _, s := range candidates {
		if s.entered.After(as) || s.Inactive && c.HidesInactive {
			continue
		}
		if a.Results.All++; a.Results.All > (page-1)*count && a.Results.All <= page*count {
			a.Skills = append(a.Skills, c.shown(s))
		}
	}
	a.Results.Pages, a.Results.OnPage, a.Results.ThisPage = (a.Results.All+count-1)/count, len(a.Skills), page
	c.say(w, http.StatusOK, a)
	return nil
}

func (c *Tenant) reference(s *Skill) reference {
	ref := reference{Descriptor: s.Name}
	if !c.NoWID || s.ID == "" {
		ref.IDs = append(ref.IDs, id{"WID", s.WID})
	}
	if s.ID != "" {
		ref.IDs = append(ref.IDs, id{c.ReferenceType, s.ID})
	}
	return ref
}

func (c *Tenant) data(s *Skill) *data {
	inactive := 0
	if s.Inactive {
		inactive = 1
	}
	d := &data{ID: s.ID}
	if c.Hides {
		d.Hidden = strconv.FormatBool(s.Hidden)
	}
	var category *reference
	if s.Category != "" {
		category = &reference{IDs: []id{{"WID", "c0ffee00000000000000000000000001"}, {CategoryType, s.Category}}}
	}
	if c.Elements {
		d.Name, d.Inactive, d.ItemCategory = s.Name, &inactive, category
	} else {
		d.NameAttribute, d.InactiveAttribute, d.Category = s.Name, &inactive, category
	}
	return d
}

func (c *Tenant) shown(s *Skill) skillAnswer {
	a := skillAnswer{Reference: c.reference(s)}
	if c.Flat {
		a.data = *c.data(s)
	} else {
		a.Data = c.data(s)
	}
	return a
}

// wanted is what a request says of a skill.
type wanted struct {
	id, name, category string
	inactive, hidden   bool
}

// described reads Skill_Data in the tenant's form.
func (c *Tenant) described(n *node) (w wanted, err error) {
	attrs, nodes := []string{"wd:Inactive", "wd:Name"}, []string{"wd:Category_Reference?", "wd:ID"}
	if c.Hides {
		nodes = append(nodes, "wd:Hide_from_Candidates?")
	}
	if c.Elements {
		attrs, nodes = nil, append(nodes, "wd:Name", "wd:Inactive")
	}
	if err := n.is("wd:Skill_Data", attrs, nodes); err != nil {
		return w, err
	}
	w.id = n.child("wd:ID").text
	var inactive string
	if c.Elements {
		w.name, inactive = n.child("wd:Name").text, n.child("wd:Inactive").text
	} else {
		w.name, _ = n.attr("wd:Name")
		inactive, _ = n.attr("wd:Inactive")
	}
	if w.inactive, err = strconv.ParseBool(inactive); err != nil {
		return w, err
	}
	if hidden := n.child("wd:Hide_from_Candidates"); hidden != nil {
		if w.hidden, err = strconv.ParseBool(hidden.text); err != nil {
			return w, err
		}
	}
	if ref := n.child("wd:Category_Reference"); ref != nil {
		// It comes back with all its ids.
		if err := ref.is("wd:Category_Reference", nil, []string{"wd:ID*"}); err != nil {
			return w, err
		}
		for _, i := range ref.nodes {
			if kind, _ := i.attr("wd:type"); kind == CategoryType {
				w.category = i.text
			}
		}
	}
	return w, nil
}

func (c *Tenant) put(w http.ResponseWriter, n *node) error {
	if err := n.is("wd:Put_Skill_Request", []string{"wd:Add_Only?", "wd:version"}, []string{"wd:Skill_Reference?", "wd:Skill_Data?"}); err != nil {
		return err
	}
	adds := false
	if text, there := n.attr("wd:Add_Only"); there {
		var err error
		if adds, err = strconv.ParseBool(text); err != nil {
			return err
		}
	}
	var s *Skill
	if ref := n.child("wd:Skill_Reference"); ref != nil {
		if adds {
			return errors.New("a reference, and Add_Only")
		}
		kind, value, err := referred(ref)
		if err != nil {
			return err
		}
		if s = c.at(kind, value); s == nil {
			c.refuse(w, c.invalid(kind, value, "/wd:Put_Skill_Request[1]/wd:Skill_Reference[1]/wd:ID[1]"))
			return nil
		}
	} else if !adds {
		return errors.New("neither a reference nor Add_Only: it may change what was not meant")
	}
	if n.child("wd:Skill_Data") == nil {
		c.refuse(w, validation{Message: "Skill_Data is required."})
		return nil
	}
	want, err := c.described(n.child("wd:Skill_Data"))
	if err != nil {
		return err
	}
	if no := c.judge(s, want); no != "" {
		c.refuse(w, validation{Message: no, Detail: no, Path: "/wd:Put_Skill_Request[1]/wd:Skill_Data[1]"})
		return nil
	}
	if s == nil {
		s = c.add(want.id, want.name)
	}
	if c.names[s.Name] == s {
		delete(c.names, s.Name)
	}
	c.names[want.name] = s
	s.Name, s.Category, s.Hidden = want.name, want.category, want.hidden // what is left out is empty
	if !c.StaysInactive || !s.Inactive {
		s.Inactive = want.inactive
	}
	a := putAnswer{Version: c.Version, Reference: c.reference(s)}
	if !c.Short {
		a.data = *c.data(s)
	}
	c.say(w, http.StatusOK, a)
	return nil
}

// judge says what is wrong with a skill; s is the one that is to become so, if there is one.
func (c *Tenant) judge(s *Skill, want wanted) string {
	named := c.names[want.name]
	switch {
	case strings.TrimSpace(want.name) == "":
		return "Name is required."
	case c.Refuse != "" && want.name == c.Refuse:
		return "This name is not allowed."
	case want.id == "" || s != nil && s.ID != want.id:
		return "The ID cannot be changed."
	case s == nil && c.ids[want.id] != nil:
		return "The ID is in use already."
	case c.TakenNames && named != nil && named != s:
		return "A skill of this name is there already."
	case want.category != "" && want.category != c.Category && want.category != Another:
		return fmt.Sprintf("Invalid ID value.  '%s' is not a valid ID value for type = '%s'", want.category, CategoryType)
	case c.NeedsCategory && want.category == "":
		return "Skill Category is required."
	}
	return ""
}
