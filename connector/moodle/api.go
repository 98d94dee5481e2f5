package moodle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// path is where Moodle's REST protocol is, below the address of the site.
const path = "/webservice/rest/server.php"

// The functions of Moodle's web services that are called.
const (
	fnSite            = "core_webservice_get_site_info"
	fnFrameworks      = "core_competency_list_competency_frameworks"
	fnCreateFramework = "core_competency_create_competency_framework"
	fnScaleValues     = "core_competency_get_scale_values"
	fnList            = "core_competency_list_competencies"
	fnCreate          = "core_competency_create_competency"
	fnUpdate          = "core_competency_update_competency"
	fnMove            = "core_competency_set_parent_competency"
)

// exception is how Moodle says that a call failed. The status is 200 all the same.
type exception struct {
	Exception string `json:"exception"`
	Code      string `json:"errorcode"`
	Message   string `json:"message"`

	function string
	exchange string // the id under which the answer is recorded
}

// framework is a competency framework as Moodle tells of it.
type framework struct {
	ID       int64  `json:"id"`
	IDNumber string `json:"idnumber"`
	// Manages: the token's user may change it.
	Manages *bool `json:"canmanage"`
	// Count is how many competencies it holds.
	Count int `json:"competenciescount"`
}

// competency is one as Moodle tells of it.
type competency struct {
	ID          int64  `json:"id"`
	Name        string `json:"shortname"`
	Number      string `json:"idnumber"`
	Description string `json:"description"`
	Parent      int64  `json:"parentid"`
	// Path is the ids of all that it is under, "/0/12/".
	Path     string `json:"path"`
	Modified int64  `json:"timemodified"` // Unix seconds
}

// under reports whether it is below another one.
func (c competency) under(id int64) bool {
	return id != 0 && (c.Parent == id || strings.Contains(c.Path, "/"+strconv.FormatInt(id, 10)+"/"))
}

// record is the competency as a skill; archive is the id of the one that archived ones are under.
func (c competency) record(archive int64) connector.Record {
	return connector.Record{
		RemoteID: strconv.FormatInt(c.ID, 10), OriginID: originOf(c.Number, c.Description), Name: c.Name, Active: !c.under(archive),
		UpdatedAt: time.Unix(c.Modified, 0).UTC(),
	}
}

// call calls a function. Its result is decoded into the last argument. An exception is what Moodle itself says, an error that
// there is nothing from Moodle that can be read.
func (s *session) call(ctx context.Context, function string, arguments url.Values, changes bool, result any) (*exception, error) {
	form := url.Values{
		"wstoken": {s.set.Token}, "wsfunction": {function}, "moodlewsrestformat": {"json"},
		// Texts come as they are kept, not as they are shown: without it "R&D" comes back as "R&amp;D".
		"moodlewssettingraw": {"1"},
	}
	for name, values := range arguments {
		form[name] = values
	}
	answer, err := s.api.Send(ctx, rest.Request{Method: http.MethodPost, Path: path, Body: form, Changes: changes})
	if err != nil {
		return nil, err
	}
	if !answer.OK() {
		e := answer.Problem(answer.Said())
		switch {
		case answer.Status == http.StatusNotFound:
			e.Message = "404 Not Found: there is no Moodle with web services at this address"
		case answer.Status == http.StatusForbidden && len(bytes.TrimSpace(answer.Body)) == 0:
			e.Message = "403 Forbidden: web services or their REST protocol are switched off in this Moodle"
		case answer.Status/100 == 3 && answer.Header.Get("Location") != "":
			e.Message = s.api.Words(fmt.Sprintf("%s: the address of this Moodle is another one, as in %s", e.Message, answer.Header.Get("Location")))
		case e.Kind == connector.Refused && !changes:
			e.Kind = connector.Unexpected // there was no skill in the question
		}
		return nil, e
	}
	if body := bytes.TrimSpace(answer.Body); len(body) > 0 && body[0] == '{' {
		x := exception{function: function, exchange: answer.Exchange()}
		if err := answer.JSON(&x); err != nil {
			return nil, err
		}
		switch {
		case x.Code == "accessexception" && function != fnSite:
			return s.why(ctx, &x)
		case x.Exception != "" || x.Code != "":
			return &x, nil
		}
	}
	err = answer.JSON(result)
	if to := s.elsewhere(answer); err != nil && to != "" && !changes {
		e := connector.Errorf(connector.Unexpected, "Moodle answers with a page that leads elsewhere: the address of this Moodle is another one, as in %s", s.api.Words(to))
		e.Exchange = answer.Exchange()
		return nil, e
	}
	return nil, err
}

var refresh = regexp.MustCompile(`(?i)<meta http-equiv="?refresh"? content="[^"]*url=([^"]+)"`)

// elsewhere is the address that a page leads to, if it is not on this host: so Moodle answers who calls it by another address than
// its own.
func (s *session) elsewhere(a *rest.Answer) string {
	found := refresh.FindSubmatch(a.Body[:min(len(a.Body), 4096)])
	if found == nil {
		return ""
	}
	to, err := url.Parse(html.UnescapeString(string(found[1])))
	base, err2 := url.Parse(s.api.Base)
	if err != nil || err2 != nil || to.Host == "" || to.Scheme == base.Scheme && strings.EqualFold(to.Host, base.Host) {
		return ""
	}
	return to.String()
}

// why asks what is behind "accessexception", which Moodle says of a function that the service lacks, of a user who may not use
// it, and once, when it removes it, of a token whose time is over.
func (s *session) why(ctx context.Context, x *exception) (*exception, error) {
	functions, now, err := s.site(ctx)
	switch {
	case err != nil:
		return x, nil //nolint:nilerr // then it is not known
	case now != nil && now.Code == "invalidtoken":
		return now, nil
	case now == nil && !slices.Contains(functions, x.function):
		x.Message = "The token's service lacks the function " + x.function
	case now != nil:
		x.Message = fmt.Sprintf("%s (%s; the token's service must have this function, and its user be active and may use REST)", x.words(), x.function)
	}
	return x, nil
}

// missing reports whether Moodle has not found something: a competency, a framework, or the function itself.
func (x *exception) missing() bool { return x.Code == "invalidrecord" }

// database reports whether Moodle's database has a bad moment.
func (x *exception) database() bool {
	return strings.HasPrefix(x.Code, "dml") && x.Code != "dmlwriteexception"
}

// missingFunction reports whether this Moodle has no such function. The name of the table is in the message in all languages.
func (x *exception) missingFunction() bool {
	return x.missing() && strings.Contains(x.Message, "external_functions")
}

// general makes an error of an exception that is about more than the one skill of a call; nil if it is not.
func (s *session) general(x *exception) *connector.Error {
	words := x.words()
	var kind connector.Kind
	switch code := x.Code; {
	case code == "invalidtoken", code == "invalidtimedtoken", code == "expiredtoken", code == "invalidiptoken", code == "invaliduser", strings.HasPrefix(code, "wsaccessuser"):
		kind = connector.Credentials
	case x.missingFunction():
		kind = connector.Permission
		words = "This Moodle has no function " + x.function
	case code == "accessexception", strings.HasPrefix(code, "nopermission"), code == "restrictedcontextexception", code == "requireloginerror",
		code == "competenciesarenotenabled", code == "sitepolicynotagreed", code == "usernotfullysetup", code == "forcepasswordchangenotice":
		kind = connector.Permission
	case code == "sitemaintenance", code == "upgraderequired", code == "upgraderunning", code == "dbconnectionfailed":
		kind = connector.Away
	default:
		return nil
	}
	return x.error(kind, s.api.Words(words))
}

// failure makes an error of an exception to a call that is not about one skill. It changed nothing.
func (s *session) failure(x *exception, what string) *connector.Error {
	if e := s.general(x); e != nil {
		return e
	}
	if x.database() {
		return x.error(connector.Away, what+": "+s.api.Words(x.words()))
	}
	return x.error(connector.Unexpected, what+": "+s.api.Words(x.words()))
}

// error makes an error of the exception, which knows where it was said.
func (x *exception) error(kind connector.Kind, words string) *connector.Error {
	return &connector.Error{Kind: kind, Message: words, Exchange: x.exchange}
}

// words are for people; a message may be missing.
func (x *exception) words() string {
	if x.Message == "" {
		return x.Code
	}
	return x.Message
}

// site tells the functions that the token may call.
func (s *session) site(ctx context.Context) (functions []string, x *exception, err error) {
	var site struct {
		Functions []struct {
			Name string `json:"name"`
		} `json:"functions"`
	}
	if x, err = s.call(ctx, fnSite, nil, false, &site); err != nil || x != nil {
		return nil, x, err
	}
	for _, f := range site.Functions {
		functions = append(functions, f.Name)
	}
	return functions, nil, nil
}

// findFramework looks for the framework in the settings' context and those below it; nil if it is not there.
func (s *session) findFramework(ctx context.Context) (*framework, error) {
	var all []framework
	x, err := s.call(ctx, fnFrameworks, url.Values{
		"sort": {"id"}, "order": {"ASC"}, "skip": {"0"}, "limit": {"0"}, "context[contextid]": {number(s.set.Context)},
		"includes": {"children"}, "onlyvisible": {"0"}, "query": {s.set.Framework},
	}, false, &all)
	switch {
	case err != nil:
		return nil, err
	case x != nil:
		return nil, s.failure(x, fmt.Sprintf("The competency frameworks in the context %d (context_id) cannot be listed", s.set.Context))
	case all == nil, slices.ContainsFunc(all, func(f framework) bool { return f.ID == 0 }):
		return nil, connector.Errorf(connector.Unexpected, "Moodle's answer does not say which competency frameworks there are")
	}
	// The query finds it in names too, and in parts of ID numbers.
	at := slices.IndexFunc(all, func(f framework) bool { return f.IDNumber == s.set.Framework })
	if at < 0 { // most databases would not take another one that differs in case alone
		at = slices.IndexFunc(all, func(f framework) bool { return strings.EqualFold(f.IDNumber, s.set.Framework) })
	}
	if at < 0 {
		return nil, nil
	}
	return &all[at], nil
}

// createFramework makes it. Another process may do so at the same time.
func (s *session) createFramework(ctx context.Context) (*framework, error) {
	scale, err := s.scale(ctx)
	if err != nil {
		return nil, err
	}
	var made framework
	x, err := s.call(ctx, fnCreateFramework, s.newFramework(s.set.Scale, scale), true, &made)
	if err != nil {
		return nil, err
	}
	if x == nil && made.ID == 0 {
		return nil, connector.Errorf(connector.Ambiguous, "Moodle did not tell the id of the new competency framework")
	}
	if x == nil {
		return &made, nil
	}
	if e := s.general(x); e != nil {
		return nil, e
	}
	if there, err := s.findFramework(ctx); err != nil || there != nil {
		return there, err
	}
	return nil, connector.Errorf(connector.Unexpected, "Moodle does not make the competency framework %q: %s. scale_id must be a scale of "+
		"the site and context_id a context where the token's user may manage competencies; if the framework is elsewhere already, context_id must be there",
		s.set.Framework, strings.TrimRight(s.api.Words(x.words()), "."))
}

func (s *session) newFramework(scale int64, configuration string) url.Values {
	return url.Values{
		"competencyframework[shortname]": {s.set.FrameworkName}, "competencyframework[idnumber]": {s.set.Framework},
		"competencyframework[scaleid]": {number(scale)}, "competencyframework[scaleconfiguration]": {configuration},
		"competencyframework[contextid]": {number(s.set.Context)}, "competencyframework[visible]": {"1"},
	}
}

// scale is the configuration of the scale that competencies of a new framework are rated by: people begin with its first
// value, and are proficient with its last.
func (s *session) scale(ctx context.Context) (string, error) {
	var values []struct {
		ID int64 `json:"id"`
	}
	x, err := s.call(ctx, fnScaleValues, url.Values{"scaleid": {number(s.set.Scale)}}, false, &values)
	if err != nil {
		return "", err
	}
	most := len(values)
	if x != nil {
		if e := s.general(x); e != nil && e.Kind != connector.Permission {
			return "", e
		}
		most = 2 // as the scale has that Moodle brings along; not everybody may ask
	}
	configuration := []map[string]any{{"scaleid": number(s.set.Scale)}}
	for i := range most {
		configuration = append(configuration, map[string]any{"id": i + 1, "scaledefault": bit(i == 0), "proficient": bit(i == most-1)})
	}
	text, err := json.Marshal(configuration)
	return string(text), err
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// filter is a column of the competencies and the value that it must have.
type filter struct{ column, value string }

// query lists the competencies of a framework that pass filters, by id.
func (s *session) query(ctx context.Context, framework int64, skip, limit int, filters ...filter) ([]competency, error) {
	arguments := url.Values{"sort": {"id"}, "order": {"ASC"}, "skip": {strconv.Itoa(skip)}, "limit": {strconv.Itoa(limit)}}
	for i, f := range append([]filter{{"competencyframeworkid", number(framework)}}, filters...) {
		arguments.Set(fmt.Sprintf("filters[%d][column]", i), f.column)
		arguments.Set(fmt.Sprintf("filters[%d][value]", i), f.value)
	}
	var found []competency
	x, err := s.call(ctx, fnList, arguments, false, &found)
	switch {
	case err != nil:
		return nil, err
	case x != nil && x.missing() && !x.missingFunction():
		s.forget()
		return nil, connector.Errorf(connector.Away, "The competency framework %q is gone", s.set.Framework)
	case x != nil:
		return nil, s.failure(x, "The competencies cannot be listed")
	case found == nil, slices.ContainsFunc(found, func(c competency) bool { return c.ID == 0 }):
		// What a list does not hold counts as deleted, so an answer must say which there are.
		return nil, connector.Errorf(connector.Unexpected, "Moodle's answer does not say which competencies there are")
	}
	return found, nil
}

// after is a page of the competencies behind the one with the id last, which was the skip-th. It also holds when some before
// that were deleted meanwhile. The page may be the last one if it is not full.
func (s *session) after(ctx context.Context, framework int64, skip int, last int64) (page []competency, next int, full bool, err error) {
	shown := int64(0) // the first of a page that held nothing new
	for from := max(0, skip-1); ; {
		if page, full, err = s.page(ctx, framework, from); err != nil {
			return nil, 0, false, err
		}
		if from > 0 && (len(page) == 0 || page[0].ID > last) {
			from, shown = max(0, from-pageSize/2), 0
			continue
		}
		next = from + len(page)
		if !full || len(page) == 0 || page[len(page)-1].ID > last {
			return slices.DeleteFunc(page, func(c competency) bool { return c.ID <= last }), next, full, nil
		}
		if page[0].ID == shown {
			return nil, 0, false, connector.Errorf(connector.Unexpected, "Moodle's list of competencies does not go on: it shows the same ones wherever it is to begin")
		}
		from, shown = max(next-1, from+1), page[0].ID
	}
}

// page is a page of a framework, at least two competencies if there are as many. Descriptions may hold pictures: when an answer is
// larger than we read, half as many are asked for, and a few more from page to page afterwards.
func (s *session) page(ctx context.Context, framework int64, from int) (page []competency, full bool, err error) {
	s.mu.Lock()
	size := s.pageSize
	s.mu.Unlock()
	for ; size > 1; size /= 2 {
		page, err = s.query(ctx, framework, from, size)
		if !errors.Is(err, rest.ErrTooLarge) {
			s.resize(size + size/8 + 1)
			return page, len(page) >= size, err
		}
	}
	s.resize(2)
	// The second one first: when one before it is deleted meanwhile, the first is it, or one behind it.
	second, err := s.query(ctx, framework, from+1, 1)
	if err == nil {
		page, err = s.query(ctx, framework, from, 1)
	}
	if errors.Is(err, rest.ErrTooLarge) {
		return nil, false, &connector.Error{Kind: connector.Unexpected, Message: fmt.Sprintf(
			"A competency of the framework %q, the %d. or %d. by id, is too large to be read: shorten its description in Moodle", s.set.Framework, from+1, from+2), Err: err}
	}
	full = len(second) > 0
	if full && len(page) > 0 && page[0].ID < second[0].ID {
		page = append(page, second[0])
	}
	return page, full, err
}

func (s *session) resize(size int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = min(size, pageSize)
}

// create makes a competency at the top of the framework.
func (s *session) create(ctx context.Context, framework int64, name, number, description string) (competency, *exception, error) {
	arguments := url.Values{
		"competency[shortname]": {name}, "competency[idnumber]": {number}, "competency[competencyframeworkid]": {strconv.FormatInt(framework, 10)},
	}
	if description != "" {
		arguments.Set("competency[description]", description)
	}
	var made competency
	x, err := s.call(ctx, fnCreate, arguments, true, &made)
	if err == nil && x == nil && made.ID == 0 {
		err = connector.Errorf(connector.Ambiguous, "Moodle did not tell the id of a new competency")
	}
	return made, x, err
}

// update changes the name and the ID number, if they are to change. An ID number that does not tell the origin id leaves that in
// the description, unless people wrote one.
func (s *session) update(ctx context.Context, c competency, sk connector.Skill, idnumber string) (*exception, error) {
	arguments := url.Values{"competency[id]": {number(c.ID)}}
	if c.Name != sk.Name {
		arguments.Set("competency[shortname]", sk.Name)
	}
	if c.Number != idnumber {
		arguments.Set("competency[idnumber]", idnumber)
		if text := description(sk.OriginID, idnumber); text != "" && c.Description == "" {
			arguments.Set("competency[description]", text)
		}
	}
	return s.change(ctx, fnUpdate, arguments)
}

// move puts a competency under another one, or at the top with 0.
func (s *session) move(ctx context.Context, id, parent int64) (*exception, error) {
	return s.change(ctx, fnMove, url.Values{"competencyid": {number(id)}, "parentid": {number(parent)}})
}

// change calls a function that answers with true.
func (s *session) change(ctx context.Context, function string, arguments url.Values) (*exception, error) {
	var done bool
	x, err := s.call(ctx, function, arguments, true, &done)
	if err == nil && x == nil && !done {
		x = &exception{Code: "false", Message: "Moodle did not do it, and does not say why", function: function}
	}
	return x, err
}
