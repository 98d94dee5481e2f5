package workday

import (
	"context"
	"encoding/xml"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// The namespaces of a request, and how a password is sent.
const (
	envelopes    = "http://schemas.xmlsoap.org/soap/envelope/"
	security     = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
	passwordText = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText" //nolint:gosec // the name of a form
	services     = "urn:com.workday/bsvc"
)

// envelope is a request. The prefixes are written out, since encoding/xml would declare a namespace anew on each element.
type envelope struct {
	XMLName  xml.Name `xml:"env:Envelope"`
	Env      string   `xml:"xmlns:env,attr"`
	Services string   `xml:"xmlns:wd,attr"`
	Security struct {
		Namespace string `xml:"xmlns:wsse,attr"`
		Must      string `xml:"env:mustUnderstand,attr"`
		Username  string `xml:"wsse:UsernameToken>wsse:Username"`
		Password  struct {
			Type string `xml:"Type,attr"`
			Text string `xml:",chardata"`
		} `xml:"wsse:UsernameToken>wsse:Password"`
	} `xml:"env:Header>wsse:Security"`
	Body struct {
		Request any
	} `xml:"env:Body"`
}

// getSkills is a question for skills, by reference or by page.
type getSkills struct {
	XMLName    xml.Name    `xml:"wd:Get_Skills_Request"`
	Version    string      `xml:"wd:version,attr"`
	References *references `xml:"wd:Request_References"`
	Filter     *filter     `xml:"wd:Response_Filter"`
}

type references struct {
	Skills []*reference `xml:"wd:Skill_Reference"`
}

type filter struct {
	Moment string `xml:"wd:As_Of_Entry_DateTime,omitempty"`
	Page   int    `xml:"wd:Page"`
	Count  int    `xml:"wd:Count"`
}

// putSkill adds a skill, or changes the one that it names.
type putSkill struct {
	XMLName   xml.Name   `xml:"wd:Put_Skill_Request"`
	AddOnly   bool       `xml:"wd:Add_Only,attr,omitempty"`
	Version   string     `xml:"wd:version,attr"`
	Reference *reference `xml:"wd:Skill_Reference"`
	Data      *skillData `xml:"wd:Skill_Data"`
}

type reference struct {
	IDs []id `xml:"wd:ID"`
}

type id struct {
	Type  string `xml:"wd:type,attr"`
	Value string `xml:",chardata"`
}

// skillData has Name and Inactive in one of two forms.
type skillData struct {
	NameAttribute     *string    `xml:"wd:Name,attr"`
	InactiveAttribute *bool      `xml:"wd:Inactive,attr"`
	Category          *reference `xml:"wd:Category_Reference"`
	ID                string     `xml:"wd:ID"`
	Hidden            string     `xml:"wd:Hide_from_Candidates,omitempty"`
	Name              *string    `xml:"wd:Name"`
	Inactive          *bool      `xml:"wd:Inactive"`
}

// question asks for skills by their reference ids, or for a page of all.
func (s *session) question(ids []string, f *filter) *getSkills {
	q := &getSkills{Version: s.set.Version, Filter: f}
	if len(ids) > 0 {
		q.References = &references{}
	}
	for _, id := range ids {
		q.References.Skills = append(q.References.Skills, s.reference(id))
	}
	return q
}

func (s *session) reference(value string) *reference {
	return &reference{[]id{{s.set.ReferenceType, value}}}
}

// data is what Workday is to hold of a skill. The category is that of the settings, else the one it has; what else is not ours
// is sent back as it was shown, for what is left out may be taken as empty.
func (s *session) data(originID, name string, active bool, has held) *skillData {
	d := &skillData{ID: originID, Category: has.category, Hidden: has.hidden}
	if s.set.CategoryID != "" {
		d.Category = &reference{[]id{{s.set.CategoryType, s.set.CategoryID}}}
	}
	if s.set.Form == elements {
		d.Name, d.Inactive = &name, new(!active)
	} else {
		d.NameAttribute, d.InactiveAttribute = &name, new(!active)
	}
	return d
}

// carried reports whether XML 1.0 can carry a text: it has no way to write most control characters.
func carried(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool {
		return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == '\uFFFE' || r == '\uFFFF'
	})
}

// content is the answer to a request: one of its fields.
type content struct {
	skills  *skillsAnswer
	put     *foundSkill
	refused *refusal
}

// answered is an answer as it is read.
type answered struct {
	XMLName xml.Name `xml:"http://schemas.xmlsoap.org/soap/envelope/ Envelope"`
	Body    struct {
		Fault  *fault        `xml:"http://schemas.xmlsoap.org/soap/envelope/ Fault"`
		Skills *skillsAnswer `xml:"urn:com.workday/bsvc Get_Skills_Response"`
		Put    *foundSkill   `xml:"urn:com.workday/bsvc Put_Skill_Response"`
	} `xml:"http://schemas.xmlsoap.org/soap/envelope/ Body"`
}

type skillsAnswer struct {
	Moment  string `xml:"Response_Filter>As_Of_Entry_DateTime"`
	Results struct {
		Pages  string `xml:"Total_Pages"`
		OnPage string `xml:"Page_Results"`
		Number string `xml:"Page"`
	} `xml:"Response_Results"`
	Data struct {
		Skills []foundSkill `xml:",any"` // whatever they are called
	} `xml:"Response_Data"`
}

// moment is the one that the answer shows the skills of; empty if it does not say so.
func (a *skillsAnswer) moment() string {
	if len(a.Moment) > 100 || strings.TrimSpace(a.Moment) != a.Moment {
		return ""
	}
	return a.Moment
}

// whole reports whether there is a page behind this one. It is an error if the page does not hold what it says it holds: a
// skill that is missing in a list counts as deleted, so a list must not be shorter than it is for want of understanding.
func (a *skillsAnswer) whole(number int) (more bool, err error) {
	shown := len(a.Data.Skills)
	onPage, noneOnPage := strconv.ParseFloat(a.Results.OnPage, 64)
	pages, noPages := strconv.ParseFloat(a.Results.Pages, 64)
	is, noNumber := strconv.ParseFloat(a.Results.Number, 64)
	switch {
	case shown == 0 && noneOnPage != nil && noPages != nil:
		return false, connector.Errorf(connector.Unexpected, "Workday's answer says neither which skills there are nor how many")
	case noneOnPage == nil && onPage != float64(shown):
		return false, connector.Errorf(connector.Unexpected, "Workday says that page %d holds %s skills, and shows %d", number, a.Results.OnPage, shown)
	case noNumber == nil && shown > 0 && is != float64(number):
		return false, connector.Errorf(connector.Unexpected, "Workday was asked for page %d, and shows page %s", number, a.Results.Number)
	case noPages != nil:
		return shown >= pageSize, nil //nolint:nilerr // it does not say
	case float64(number) >= pages:
		return false, nil
	case shown == 0 || number >= mostPages:
		return false, connector.Errorf(connector.Unexpected, "Workday's page %d of %s holds %d skills", number, a.Results.Pages, shown)
	default:
		return true, nil
	}
}

// foundSkill is a skill as Workday shows it. The data stand in an element of their own or beside the reference.
type foundSkill struct {
	IDs   []foundID `xml:"Skill_Reference>ID"`
	Parts []part    `xml:",any"`
	fields
}

// part is an element of a skill; one whose name ends with _Data holds its fields.
type part struct {
	XMLName xml.Name
	fields
}

type foundID struct {
	Type  string `xml:"type,attr"`
	Value string `xml:",chardata"`
}

// fields may be attributes or elements.
type fields struct {
	ID                string    `xml:"ID"`
	NameAttribute     string    `xml:"Name,attr"`
	InactiveAttribute string    `xml:"Inactive,attr"`
	Name              string    `xml:"Name"`
	Inactive          string    `xml:"Inactive"`
	Hidden            string    `xml:"Hide_from_Candidates"`
	Category          []foundID `xml:"Category_Reference>ID"`
	ItemCategory      []foundID `xml:"Skill_Item_Category_Reference>ID"`
}

// held is a skill that Workday holds, with its category, and with whether candidates do not see it: "1" or "0", empty where
// Workday does not say.
type held struct {
	connector.Record
	category *reference
	hidden   string
}

// workdayID is the type of the ids that Workday itself gives.
const workdayID = "WID"

func (f *foundSkill) held(referenceType string) held {
	all := []fields{f.fields}
	for _, p := range f.Parts {
		if strings.HasSuffix(p.XMLName.Local, "_Data") {
			all = append(all, p.fields)
		}
	}
	var h held
	h.Active = true
	var category []foundID
	for _, is := range all {
		h.Name = first(h.Name, is.Name, is.NameAttribute)
		h.OriginID = first(h.OriginID, is.ID)
		for _, flag := range []string{is.Inactive, is.InactiveAttribute} {
			if isTrue(flag) {
				h.Active = false
			}
		}
		if is.Hidden != "" {
			if h.hidden = "0"; isTrue(is.Hidden) {
				h.hidden = "1"
			}
		}
		category = append(append(category, is.Category...), is.ItemCategory...)
	}
	for _, i := range f.IDs {
		switch i.Type {
		case workdayID:
			h.RemoteID = i.Value
		case referenceType:
			h.OriginID = i.Value
		}
	}
	h.RemoteID = first(h.RemoteID, h.OriginID)
	if len(category) > 0 {
		h.category = &reference{}
		for _, i := range category {
			h.category.IDs = append(h.category.IDs, id(i))
		}
	}
	return h
}

// isTrue reads a flag.
func isTrue(flag string) bool {
	flag = strings.TrimSpace(flag)
	return flag == "1" || strings.EqualFold(flag, "true")
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// fault is how Workday says that something is wrong.
type fault struct {
	Code       string       `xml:"faultcode"`
	Text       string       `xml:"faultstring"`
	Validation []validation `xml:"detail>Validation_Fault>Validation_Error"`
	Processing []string     `xml:"detail>Processing_Fault>Detail_Message"`
}

type validation struct {
	Message string `xml:"Message"`
	Detail  string `xml:"Detail_Message"`
	Path    string `xml:"Xpath"`
}

// words are all that a fault has to say to people.
func (f *fault) words() string {
	var all []string
	add := func(text string) {
		if text = strings.TrimSpace(text); text != "" && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, v := range f.Validation {
		add(v.Message)
		add(v.Detail)
	}
	for _, text := range f.Processing {
		add(text)
	}
	if len(all) == 0 {
		add(f.Text)
	}
	return strings.Join(all, "; ")
}

// refusal is a fault that says that Workday will not take what it was sent.
type refusal struct {
	err   *connector.Error
	fault *fault
}

var places = regexp.MustCompile(`Skill_Reference\[(\d{1,4})\]`)

// unknown returns those of the ids a question was for that the refusal says are none: Workday quotes them, or tells their
// place.
func (r *refusal) unknown(ids []string) map[string]bool {
	none := map[string]bool{}
	for _, v := range r.fault.Validation {
		for _, id := range ids {
			if quotes(v.Message+"\n"+v.Detail, id) {
				none[id] = true
			}
		}
	}
	if len(none) > 0 {
		return none
	}
	for _, v := range r.fault.Validation {
		if at := places.FindStringSubmatch(v.Path); at != nil {
			if n, err := strconv.Atoi(at[1]); err == nil && n >= 1 && n <= len(ids) {
				none[ids[n-1]] = true
			}
		}
	}
	return none
}

func quotes(text, id string) bool {
	return strings.Contains(text, "'"+id+"'") || strings.Contains(text, `"`+id+`"`)
}

// call sends a request when its time has come, and returns what Workday answers: an answer or a refusal, for what it means
// depends on what was asked. All else is an error. It gives up waiting when over is closed.
func (s *session) call(ctx context.Context, over <-chan struct{}, request any, changes bool) (content, error) {
	var e envelope
	e.Env, e.Services = envelopes, services
	e.Security.Namespace, e.Security.Must, e.Security.Username = security, "1", s.set.Username
	e.Security.Password.Type, e.Security.Password.Text = passwordText, s.set.Password
	e.Body.Request = request
	body, err := xml.Marshal(e)
	if err != nil {
		return content{}, &connector.Error{Kind: connector.Away, Message: "the request could not be written", Err: err}
	}
	if err := s.pace.wait(ctx, over); err != nil {
		return content{}, err
	}
	answer, err := s.api.Send(ctx, rest.Request{
		Method: http.MethodPost, Path: "/ccx/service/" + s.set.Tenant + "/Talent/" + s.set.Version,
		Body: append([]byte(xml.Header), body...), ContentType: "text/xml; charset=utf-8", Changes: changes,
	})
	if err != nil {
		return content{}, err
	}
	return s.read(answer, changes)
}

// read reads an answer.
func (s *session) read(answer *rest.Answer, changes bool) (content, error) {
	var is answered
	if err := answer.XML(&is); err != nil {
		if !answer.OK() { // the page of a proxy
			return content{}, answer.Problem(answer.Said())
		}
		return content{}, err
	}
	switch b := is.Body; {
	case b.Fault != nil:
		err := s.problem(answer, b.Fault)
		if err.Kind == connector.Refused {
			return content{refused: &refusal{err, b.Fault}}, nil
		}
		return content{}, err
	case !answer.OK():
		return content{}, answer.Problem("")
	case changes && b.Put != nil:
		return content{put: b.Put}, nil
	case !changes && b.Skills != nil:
		return content{skills: b.Skills}, nil
	case changes:
		return content{}, connector.Errorf(connector.Ambiguous, "Workday's answer is none to this request")
	default:
		return content{}, connector.Errorf(connector.Away, "Workday's answer is none to this request")
	}
}

// meaning is what words of a fault mean.
type meaning struct {
	words string // in lower case
	kind  connector.Kind
}

// kinds are the words by which faults are told apart, the most telling first. What follows Processing error occurred
// differs by release, so only the heart of each phrase is here.
func kinds() []meaning {
	return []meaning{
		{"invalid username or password", connector.Credentials},
		{"authentication failed", connector.Credentials},
		{"authentication error", connector.Credentials},
		{"password has expired", connector.Credentials},
		{"password is expired", connector.Credentials},
		{"account is locked", connector.Credentials},
		{"account has been locked", connector.Credentials},
		{"account is disabled", connector.Credentials},
		{"account has been disabled", connector.Credentials},
		{"invalid tenant", connector.Credentials},
		{"not authorized", connector.Permission},
		{"not authorised", connector.Permission},
		{"authorization failed", connector.Permission},
		{"insufficient permission", connector.Permission},
		{"insufficient privileges", connector.Permission},
		{"does not have permission", connector.Permission},
		{"permission denied", connector.Permission},
		{"access denied", connector.Permission},
		{"too many requests", connector.Throttled},
		{"rate limit", connector.Throttled},
		{"throttl", connector.Throttled},
		{"concurrent request", connector.Throttled},
		{"service unavailable", connector.Away},
		{"temporarily unavailable", connector.Away},
		{"currently unavailable", connector.Away},
		{"undergoing maintenance", connector.Away},
		{"version is invalid", connector.Unexpected},
		{"invalid version", connector.Unexpected},
	}
}

// problem makes an error of a fault. First its code counts, if it is one of those that are documented, then its words, then
// the status.
func (s *session) problem(answer *rest.Answer, f *fault) *connector.Error {
	words := f.words()
	e := answer.Problem(words)
	_, code, _ := strings.Cut(strings.TrimSpace(f.Code), ":")
	code = strings.ToLower(code)
	set := func(kind connector.Kind) *connector.Error {
		e.Kind, e.RetryAfter = kind, 0
		if kind == connector.Throttled || kind == connector.Away {
			e.RetryAfter = answer.RetryAfter()
		}
		return e
	}
	switch {
	case strings.Contains(code, "authenticationerror"):
		return set(connector.Credentials)
	case strings.Contains(code, "validationerror") || len(f.Validation) > 0:
		return set(connector.Refused)
	}
	said := strings.ToLower(f.Text + "\n" + words)
	for _, m := range kinds() {
		if !strings.Contains(said, m.words) {
			continue
		}
		if m.kind == connector.Unexpected {
			e.Message = s.api.Words(words + " (the setting version is " + s.set.Version + ")")
		}
		return set(m.kind)
	}
	switch answer.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusTooEarly, http.StatusServiceUnavailable:
		return e
	}
	if strings.HasPrefix(code, "client") { // something is wrong with the request, and that will not change
		return set(connector.Unexpected)
	}
	return answer.ProblemOf(http.StatusInternalServerError, words)
}
