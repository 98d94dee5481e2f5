// Package moodletest is a site of Moodle's, as its sources and exchanges recorded with Moodle 4.5 describe it, in memory. It
// checks every request it is sent and reports what is wrong to the test.
package moodletest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
)

// Site is a site with one user of its web services.
type Site struct {
	Token string
	// Settings that the integration has besides address and token.
	Extra map[string]any
	// MayManage is the user's right to manage competencies.
	MayManage bool
	// Lacks are functions that the token's service does not have.
	Lacks []string
	// Refuse is a name that no function takes.
	Refuse string
	// Collates: the database takes texts that differ in case or in blanks at the end for equal.
	Collates bool
	// Foreign: messages are in another language than English.
	Foreign bool
	// Replays: requests are what they are, and wrong ones are answered and not reported.
	Replays bool
	// Expires: the token's time is over. Moodle says so once, and does not know it from then on.
	Expires bool
	// Requests are the functions that were called, with the token accepted.
	Requests []string

	t          testing.TB
	mu         sync.Mutex
	frameworks []*Framework
	all        []*Competency
	numbers    map[key]*Competency
	nextID     int64
	functions  map[string]map[string]string
	denied     int
}

// Framework is a competency framework.
type Framework struct {
	ID, Context, Scale            int64
	Name, IDNumber, Configuration string
	// More is how many competencies it has that cannot be seen.
	More     int
	modified int64
}

// Competency is one competency.
type Competency struct {
	ID, Framework, Parent       int64
	Name, IDNumber, Description string
	Path                        string
	SortOrder                   int
	created, modified           int64
}

type key struct {
	framework int64
	number    string
}

// New makes a site with a framework that the integration uses, and a user who may do all.
func New(t testing.TB) *Site {
	s := &Site{Token: "0a1b2c3d4e5f60718293a4b5c6d7e8f9", MayManage: true, t: t, numbers: map[key]*Competency{}, nextID: 1, functions: functions()}
	s.MakeFramework("Skills of another", "another")
	s.MakeFramework("Crosswalk", "crosswalk")
	return s
}

// NewEmpty is New without any framework; the first competency has this id.
func NewEmpty(t testing.TB, id int64) *Site {
	s := New(t)
	s.frameworks, s.nextID = nil, id
	return s
}

// MakeFramework makes a framework in the site's own context.
func (s *Site) MakeFramework(name, number string) *Framework {
	f := &Framework{
		ID: int64(len(s.frameworks) + 1), Context: 1, Scale: 2, Name: name, IDNumber: number, modified: time.Now().Unix(),
		Configuration: `[{"scaleid": "2"}, {"id": 1, "scaledefault": 1, "proficient": 0}, {"id": 2, "scaledefault": 0, "proficient": 1}]`,
	}
	s.frameworks = append(s.frameworks, f)
	return f
}

// Account is the site for the conformance suite. Its address is connectortest.Base.
func (s *Site) Account() connectortest.Account {
	return connectortest.Account{
		Account: connector.Account{ID: "moodle:1", Settings: s.Settings(connectortest.Base + "/lms")},
		Tool:    s,
		Records: func(*testing.T) []connector.Record { return s.Records() },
		MakeByHand: func(_ *testing.T, name string) string {
			return strconv.FormatInt(s.Make("", name).ID, 10)
		},
	}
}

// Settings are those of an integration with the site at an address.
func (s *Site) Settings(address string) json.RawMessage {
	all := map[string]any{"address": address, "token": s.Token, "inactive": "archive"}
	for name, value := range s.Extra {
		all[name] = value
	}
	settings, err := json.Marshal(all)
	if err != nil {
		s.t.Fatal(err)
	}
	return settings
}

// Harness is the connector with such a site, for the conformance suite. The site is as change makes it.
func Harness(change func(*Site)) connectortest.Harness {
	return connectortest.Harness{
		Connector: moodle.New(),
		HTTP:      true,
		// A creation each.
		Fewest: func(skills int) int { return skills },
		// What a function takes for a tag.
		Refuses: func(sk connector.Skill) bool { return cleanText(sk.Name) != sk.Name },
		NewAccount: func(t *testing.T, situation connectortest.Situation) (connectortest.Account, bool) {
			s := New(t)
			change(s)
			account := s.Account()
			switch situation {
			case connectortest.Normal:
			case connectortest.RefusesOne:
				s.Refuse = connectortest.RefusedName
				account.Relax = func(*testing.T) connector.Account { s.Refuse = ""; return account.Account }
			case connectortest.Credentials:
				s.Token = "ffffffffffffffffffffffffffffffff"
				account.Relax = func(*testing.T) connector.Account {
					return connector.Account{ID: account.ID, Settings: s.Settings(connectortest.Base + "/lms")}
				}
			case connectortest.Permission:
				s.MayManage = false
				account.Relax = func(*testing.T) connector.Account { s.MayManage = true; return account.Account }
			default:
				return account, false
			}
			return account, true
		},
		BadSettings: map[string]string{
			`{}`:                                  "address is required",
			`{"address":"https://m.example.com"}`: "token is required",
			`{"address":"m.example.com","token":"t"}`:                                                                      "address",
			`{"address":"https://m.example.com","token":"t","framework_idnumber":" "}`:                                     "framework_idnumber",
			`{"address":"https://m.example.com","token":"t","framework_name":"` + strings.Repeat("n", 101) + `"}`:          "framework_name",
			`{"address":"https://m.example.com","token":"t","framework_name":"<b>"}`:                                       "framework_name",
			`{"address":"https://m.example.com","token":"t","context_id":0}`:                                               "context_id",
			`{"address":"https://m.example.com","token":"t","context_id":1.5}`:                                             "context_id",
			`{"address":"https://m.example.com","token":"t","scale_id":-1}`:                                                "scale_id",
			`{"address":"https://m.example.com","token":"t","inactive":"delete"}`:                                          "inactive",
			`{"address":"https://m.example.com/webservice/rest/server.php?wstoken=0123456789abcdef","token":"0123456789"}`: "address",
		},
	}
}

// extra is a setting of the integration.
func (s *Site) extra(name, otherwise string) string {
	if value, ok := s.Extra[name].(string); ok {
		return value
	}
	return otherwise
}

// framework is the one that the integration uses, nil if it is not there.
func (s *Site) framework() *Framework {
	number := s.extra("framework_idnumber", "crosswalk")
	at := slices.IndexFunc(s.frameworks, func(f *Framework) bool { return f.IDNumber == number })
	if at < 0 {
		return nil
	}
	return s.frameworks[at]
}

// Records are all skills in the integration's framework.
func (s *Site) Records() []connector.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.framework()
	if f == nil {
		return nil
	}
	archived := int64(-1)
	if a := s.numbers[s.key(f.ID, "crosswalk:archived")]; a != nil {
		archived = a.ID
	}
	records := []connector.Record{}
	for _, c := range s.all {
		if c.Framework != f.ID || c.ID == archived {
			continue
		}
		r := connector.Record{
			RemoteID: strconv.FormatInt(c.ID, 10), OriginID: c.IDNumber, Name: c.Name,
			Active: !slices.Contains(strings.Split(c.Path, "/"), strconv.FormatInt(archived, 10)),
		}
		if strings.HasPrefix(c.IDNumber, "crosswalk:sha256:") {
			if origin, err := url.QueryUnescape(strings.TrimPrefix(c.Description, "origin_id ")); err == nil {
				r.OriginID = origin
			}
		}
		records = append(records, r)
	}
	return records
}

// Make makes a competency as people do in Moodle's pages or by a file. They must give it an ID number there; a file need not, but
// no two of a framework have the same one, and be it empty.
func (s *Site) Make(number, name string) *Competency {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.framework()
	if f == nil {
		f = s.MakeFramework("by hand", s.extra("framework_idnumber", "crosswalk"))
		if context, ok := s.Extra["context_id"].(int); ok {
			f.Context = int64(context)
		}
	}
	if s.numbers[s.key(f.ID, number)] != nil {
		s.t.Fatalf("the framework has the ID number %q already", number)
	}
	return s.add(f.ID, 0, name, number, "")
}

// Get is a competency of the integration's framework by its ID number, nil if it is not there.
func (s *Site) Get(number string) *Competency {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.framework()
	if f == nil {
		return nil
	}
	return s.numbers[s.key(f.ID, number)]
}

// Remove deletes a competency.
func (s *Site) Remove(number string) {
	c := s.Get(number)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(c)
}

// Move puts a competency under another one, as people do.
func (s *Site) Move(number, under string) {
	c, parent := s.Get(number), s.Get(under)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(c, parent.ID)
}

// Describe changes a competency's description, as people do.
func (s *Site) Describe(remoteID, description string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.all {
		if strconv.FormatInt(c.ID, 10) == remoteID {
			c.Description = description
		}
	}
}

// HasFramework reports whether the integration's framework is there.
func (s *Site) HasFramework() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.framework() != nil
}

// RemoveFramework deletes the integration's framework with all that is in it.
func (s *Site) RemoveFramework() {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.framework()
	for _, c := range slices.Clone(s.all) {
		if c.Framework == f.ID {
			s.remove(c)
		}
	}
	s.frameworks = slices.DeleteFunc(s.frameworks, func(other *Framework) bool { return other == f })
}

func (s *Site) remove(c *Competency) {
	s.all = slices.DeleteFunc(s.all, func(other *Competency) bool { return other == c })
	delete(s.numbers, s.key(c.Framework, c.IDNumber))
}

func (s *Site) add(framework, parent int64, name, number, description string) *Competency {
	now := time.Now().Unix()
	c := &Competency{ID: s.nextID, Framework: framework, Name: name, IDNumber: number, Description: description, created: now, modified: now, SortOrder: len(s.all)}
	s.nextID++
	s.all = append(s.all, c)
	s.numbers[s.key(framework, number)] = c
	c.Parent, c.Path = parent, s.path(parent)
	return c
}

func (s *Site) path(parent int64) string {
	if p := s.byID(parent); p != nil {
		return fmt.Sprintf("%s%d/", p.Path, p.ID)
	}
	return "/0/"
}

// put places a competency, and what is under it, under another one.
func (s *Site) put(c *Competency, parent int64) {
	c.Parent, c.Path = parent, s.path(parent)
	for _, child := range s.all {
		if child.Parent == c.ID {
			s.put(child, c.ID)
		}
	}
}

func (s *Site) byID(id int64) *Competency {
	at, ok := slices.BinarySearchFunc(s.all, id, func(c *Competency, id int64) int { return cmp.Compare(c.ID, id) })
	if !ok {
		return nil
	}
	return s.all[at]
}

// key is an ID number as the database compares it.
func (s *Site) key(framework int64, number string) key {
	if s.Collates {
		number = strings.ToLower(strings.TrimRight(number, " "))
	}
	return key{framework, number}
}

// exception is an answer; the words may be in another language.
type exception struct {
	Exception string `json:"exception"`
	Code      string `json:"errorcode,omitempty"` // an error of PHP's has none
	Message   string `json:"message"`
}

func invalidParameter() *exception {
	return &exception{`core\exception\invalid_parameter_exception`, "invalidparameter", "Invalid parameter value detected"}
}

func noRecord(table string) *exception {
	return &exception{"dml_missing_record_exception", "invalidrecord", "Can't find data record in database table " + table + "."}
}

func noAccess() *exception {
	return &exception{"webservice_access_exception", "accessexception", "Access control exception"}
}

func invalid(words string) *exception {
	return &exception{`core\invalid_persistent_exception`, "invalidpersistenterror", "Error: " + words}
}

func unwritable() *exception {
	return &exception{"dml_write_exception", "dmlwriteexception", "Error writing to database"}
}

// ServeHTTP implements http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Method != http.MethodPost || strings.TrimPrefix(r.URL.Path, "/lms") != "/webservice/rest/server.php" || r.URL.RawQuery != "" {
		s.t.Errorf("%s %s", r.Method, r.URL)
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		s.t.Errorf("content type %q", r.Header.Get("Content-Type"))
	}
	if err := r.ParseForm(); err != nil {
		s.t.Error(err)
	}
	for name, values := range r.PostForm {
		if len(values) != 1 { // PHP would take the last
			s.t.Errorf("%s has the values %q", name, values)
		}
	}
	result, x := s.serve(parameters{values: r.PostForm})
	w.Header().Set("Content-Type", "application/json")
	if x != nil {
		if s.Foreign {
			x.Message = translated(x.Message)
		}
		result = x
	}
	encode := json.NewEncoder(w)
	encode.SetEscapeHTML(false)
	if err := encode.Encode(result); err != nil {
		s.t.Error(err)
	}
}

// translated keeps what is no word: names of tables.
func translated(words string) string {
	if _, table, ok := strings.Cut(words, "database table "); ok {
		return "Datensatz kann in der Datenbanktabelle " + table + " nicht gefunden werden"
	}
	return "Fehler"
}

// functions are those that there are, with what they take: the type of each parameter, "!" in front if it must be there.
func functions() map[string]map[string]string {
	filters := map[string]string{"sort": "word", "order": "word", "skip": "int", "limit": "int"}
	with := func(more map[string]string) map[string]string {
		for name, kind := range filters {
			if more[name] == "" {
				more[name] = kind
			}
		}
		return more
	}
	return map[string]map[string]string{
		"core_webservice_get_site_info": {},
		"core_competency_list_competency_frameworks": with(map[string]string{
			"context[contextid]": "int", "context[contextlevel]": "word", "context[instanceid]": "int", "includes": "word", "onlyvisible": "int", "query": "raw",
		}),
		"core_competency_create_competency_framework": {
			"competencyframework[shortname]": "!text", "competencyframework[idnumber]": "!raw", "competencyframework[scaleid]": "!int",
			"competencyframework[scaleconfiguration]": "!raw", "competencyframework[contextid]": "int", "competencyframework[visible]": "int",
			"competencyframework[description]": "raw", "competencyframework[taxonomies]": "raw",
		},
		"core_competency_get_scale_values":  {"scaleid": "!int"},
		"core_competency_list_competencies": with(map[string]string{"filters[][column]": "word", "filters[][value]": "text"}),
		"core_competency_create_competency": {
			"competency[shortname]": "!text", "competency[idnumber]": "!raw", "competency[competencyframeworkid]": "int", "competency[parentid]": "int",
			"competency[description]": "html", "competency[descriptionformat]": "int",
		},
		"core_competency_update_competency": {
			"competency[id]": "!int", "competency[shortname]": "text", "competency[idnumber]": "raw", "competency[description]": "html",
		},
		"core_competency_set_parent_competency": {"competencyid": "!int", "parentid": "!int"},
		"core_competency_read_competency":       {"id": "!int"},
		"core_competency_delete_competency":     {"id": "!int"},
	}
}

// parameters are the arguments of a call.
type parameters struct{ values url.Values }

func (p parameters) has(name string) bool { return p.values.Has(name) }

func (p parameters) text(name string) string { return p.values.Get(name) }

func (p parameters) int(name string) int64 {
	n, _ := strconv.ParseInt(p.values.Get(name), 10, 64) // it was checked
	return n
}

// serve is the REST server: the token, then the function, then its parameters.
func (s *Site) serve(p parameters) (any, *exception) {
	token, function, format, raw := p.text("wstoken"), p.text("wsfunction"), p.text("moodlewsrestformat"), p.text("moodlewssettingraw") == "1"
	for _, name := range []string{"wstoken", "wsfunction", "moodlewsrestformat", "moodlewssettingraw"} {
		p.values.Del(name)
	}
	if format != "json" {
		s.t.Errorf("format %q", format)
	}
	if token == s.Token && s.Expires {
		s.Token, s.Expires, s.denied = "", false, -1
		return nil, noAccess()
	}
	if token != s.Token {
		if s.denied++; s.denied > 1 {
			s.t.Errorf("request %d with a token that does not exist", s.denied)
		}
		return nil, &exception{`core\exception\moodle_exception`, "invalidtoken", "Invalid token - token not found"}
	}
	s.Requests = append(s.Requests, function)
	takes, exists := s.functions[function]
	if !exists {
		return nil, noRecord("external_functions")
	}
	if slices.Contains(s.Lacks, function) {
		return nil, noAccess()
	}
	if err := check(p, takes); err != nil {
		if !s.Replays && !strings.HasSuffix(err.Error(), "]: a tag") { // a name is the caller's own
			s.t.Errorf("%s: %v", function, err)
		}
		return nil, invalidParameter()
	}
	switch function {
	case "core_webservice_get_site_info":
		return s.siteInfo(), nil
	case "core_competency_list_competency_frameworks":
		return s.listFrameworks(p)
	case "core_competency_create_competency_framework":
		return s.createFramework(p)
	case "core_competency_get_scale_values":
		return s.scaleValues(p)
	case "core_competency_list_competencies":
		return s.list(p, raw)
	case "core_competency_create_competency":
		return s.create(p, raw)
	case "core_competency_update_competency":
		return s.update(p)
	case "core_competency_set_parent_competency":
		return s.setParent(p)
	default: // read, delete
		c := s.byID(p.int("id"))
		switch {
		case c == nil:
			return nil, noRecord("competency")
		case function == "core_competency_read_competency":
			return tell(c, raw), nil
		}
		s.remove(c)
		return true, nil
	}
}

var index = regexp.MustCompile(`\[\d+\]`)

// check holds parameters against what a function takes.
func check(p parameters, takes map[string]string) error {
	for name := range p.values {
		kind, known := takes[name]
		if !known {
			kind, known = takes[index.ReplaceAllString(name, "[]")]
		}
		text := p.text(name)
		switch kind = strings.TrimPrefix(kind, "!"); {
		case !known:
			return fmt.Errorf("there is no parameter %q", name)
		case kind == "int":
			if n, err := strconv.ParseInt(text, 10, 64); err != nil || strconv.FormatInt(n, 10) != text {
				return fmt.Errorf("%s: %q is no number", name, text)
			}
		case kind == "word":
			if strings.ContainsFunc(text, func(r rune) bool { return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
				return fmt.Errorf("%s: %q is no word", name, text)
			}
		case kind == "text" && cleanText(text) != text:
			return fmt.Errorf("%s: a tag", name)
		case kind == "html" && strings.ContainsAny(text, "<>&"): // which a filter may change
			return fmt.Errorf("%s: %q may come out of a filter as another text", name, text)
		}
	}
	for name, kind := range takes {
		if strings.HasPrefix(kind, "!") && !p.has(name) {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return nil
}

// cleanText takes out what PHP's strip_tags takes for a tag: whatever follows a "<" that no blank follows.
func cleanText(text string) string {
	for i := range len(text) {
		if text[i] == '<' && (i+1 == len(text) || !strings.ContainsRune(" \t\n\v\f\r", rune(text[i+1]))) {
			_, after, _ := strings.Cut(text[i:], ">")
			return text[:i] + cleanText(after)
		}
	}
	return text
}

var entity = regexp.MustCompile(`&([a-zA-Z0-9#]{1,8};)?`)

// shown is a text as a page shows it.
func shown(text string, raw bool) string {
	if raw {
		return text
	}
	text = entity.ReplaceAllStringFunc(text, func(found string) string {
		if found == "&" {
			return "&amp;"
		}
		return found
	})
	return strings.NewReplacer("<", "&lt;", ">", "&gt;").Replace(text)
}

func (s *Site) siteInfo() any {
	list := []map[string]string{}
	for name := range s.functions {
		if !slices.Contains(s.Lacks, name) {
			list = append(list, map[string]string{"name": name, "version": "2024100706"})
		}
	}
	return map[string]any{
		"sitename": "A site", "username": "crosswalk", "userid": 3, "siteurl": connectortest.Base + "/lms", "release": "4.5.6 (Build: 20250811)",
		"functions": list,
	}
}

func noPermission() *exception {
	return &exception{
		`core\exception\required_capability_exception`, "nopermissions",
		"Sorry, but you do not currently have permissions to do that (Manage competency frameworks).",
	}
}

func (s *Site) tellFramework(f *Framework) map[string]any {
	count := f.More
	for _, c := range s.all {
		if c.Framework == f.ID {
			count++
		}
	}
	return map[string]any{
		"shortname": f.Name, "idnumber": f.IDNumber, "description": "", "descriptionformat": 1, "visible": true, "scaleid": f.Scale,
		"scaleconfiguration": f.Configuration, "contextid": f.Context, "taxonomies": "", "id": f.ID, "timecreated": f.modified,
		"timemodified": f.modified, "usermodified": 3, "canmanage": s.MayManage, "competenciescount": count, "contextname": "System",
		"contextnamenoprefix": "System",
	}
}

func (s *Site) listFrameworks(p parameters) (any, *exception) {
	context := p.int("context[contextid]")
	if context != 1 && context != 40 {
		return nil, invalidParameter()
	}
	list := []map[string]any{}
	query := strings.ToLower(p.text("query"))
	for _, f := range s.frameworks {
		seen := f.Context == context || context == 1 && p.text("includes") != "self"
		if seen && (strings.Contains(strings.ToLower(f.Name), query) || strings.Contains(strings.ToLower(f.IDNumber), query)) {
			list = append(list, s.tellFramework(f))
		}
	}
	if p.text("sort") == "shortname" {
		slices.SortFunc(list, func(a, b map[string]any) int {
			return strings.Compare(a["shortname"].(string), b["shortname"].(string))
		})
	}
	return list, nil
}

// scales are the numbers of values of the scales that there are.
func scales() map[int64]int { return map[int64]int{1: 3, 2: 2, 5: 4} }

func (s *Site) createFramework(p parameters) (any, *exception) {
	name, number, scale := p.text("competencyframework[shortname]"), p.text("competencyframework[idnumber]"), p.int("competencyframework[scaleid]")
	var configuration []struct {
		ScaleID    string `json:"scaleid"`
		ID         int    `json:"id"`
		Default    int    `json:"scaledefault"`
		Proficient int    `json:"proficient"`
	}
	isDefault, proficient := 0, 0
	if json.Unmarshal([]byte(p.text("competencyframework[scaleconfiguration]")), &configuration) == nil {
		for _, c := range configuration {
			isDefault += c.Default
			proficient += c.Proficient
		}
	}
	switch context := p.int("competencyframework[contextid]"); {
	case context != 1 && context != 40:
		return nil, invalidParameter()
	case !s.MayManage:
		return nil, noPermission()
	case slices.ContainsFunc(s.frameworks, func(f *Framework) bool { return s.key(0, f.IDNumber) == s.key(0, number) }):
		return nil, invalid("This ID number is already in use")
	case scales()[scale] == 0:
		return nil, invalid("The scale ID is not valid")
	case len(configuration) < 2 || configuration[0].ScaleID != strconv.FormatInt(scale, 10) || isDefault != 1 || proficient == 0:
		return nil, invalid("The scale configuration is not valid")
	case utf8.RuneCountInString(name) > 100 || utf8.RuneCountInString(number) > 100:
		return nil, unwritable()
	}
	f := s.MakeFramework(name, number)
	f.Scale, f.Configuration, f.Context = scale, p.text("competencyframework[scaleconfiguration]"), p.int("competencyframework[contextid]")
	return s.tellFramework(f), nil
}

func (s *Site) scaleValues(p parameters) (any, *exception) {
	list := []map[string]any{}
	if scales()[p.int("scaleid")] == 0 { // which nobody looked for in Moodle
		return nil, &exception{Exception: "Error", Message: "Call to a member function load_items() on false"}
	}
	for i := range scales()[p.int("scaleid")] {
		list = append(list, map[string]any{"id": i + 1, "name": fmt.Sprint("Value ", i+1)})
	}
	return list, nil
}

// tell is a competency as a function returns it.
func tell(c *Competency, raw bool) map[string]any {
	return map[string]any{
		"shortname": shown(c.Name, raw), "idnumber": c.IDNumber, "description": c.Description, "descriptionformat": 1, "sortorder": c.SortOrder,
		"parentid": c.Parent, "path": c.Path, "ruleoutcome": 0, "ruletype": nil, "ruleconfig": nil, "scaleid": nil, "scaleconfiguration": nil,
		"competencyframeworkid": c.Framework, "id": c.ID, "timecreated": c.created, "timemodified": c.modified, "usermodified": 3,
	}
}

func (s *Site) list(p parameters, raw bool) (any, *exception) {
	candidates := s.all
	for i := 0; p.has(fmt.Sprintf("filters[%d][column]", i)); i++ {
		column, value := p.text(fmt.Sprintf("filters[%d][column]", i)), p.text(fmt.Sprintf("filters[%d][value]", i))
		id, _ := strconv.ParseInt(value, 10, 64) // a text is 0 for the database too
		var passes func(*Competency) bool
		switch column {
		case "competencyframeworkid":
			if !slices.ContainsFunc(s.frameworks, func(f *Framework) bool { return f.ID == id }) {
				return nil, noRecord("competency_framework")
			}
			passes = func(c *Competency) bool { return c.Framework == id }
		case "id":
			passes = func(c *Competency) bool { return c.ID == id }
		case "idnumber":
			passes = func(c *Competency) bool { return s.key(0, c.IDNumber) == s.key(0, value) }
		case "shortname":
			passes = func(c *Competency) bool { return s.key(0, c.Name) == s.key(0, value) }
		default:
			s.t.Errorf("filter by %q", column)
			return nil, invalidParameter()
		}
		candidates = slices.DeleteFunc(slices.Clone(candidates), func(c *Competency) bool { return !passes(c) })
	}
	if sort := p.text("sort"); sort != "id" && sort != "" || p.text("order") == "DESC" {
		s.t.Errorf("sorted by %q", sort)
	}
	candidates = candidates[min(len(candidates), int(p.int("skip"))):]
	if limit := int(p.int("limit")); limit > 0 {
		candidates = candidates[:min(len(candidates), limit)]
	}
	list := []map[string]any{}
	for _, c := range candidates {
		list = append(list, tell(c, raw))
	}
	return list, nil
}

// refusal is why a competency cannot be written with a name and an ID number. An empty name is fine.
func (s *Site) refusal(c *Competency, framework int64, name, number string) *exception {
	other := s.numbers[s.key(framework, number)]
	switch {
	case s.Refuse != "" && name == s.Refuse:
		return invalidParameter()
	case !s.MayManage:
		return noPermission()
	case other != nil && other != c:
		return invalid("This ID number is already in use")
	case utf8.RuneCountInString(name) > 100 || utf8.RuneCountInString(number) > 100:
		return unwritable()
	}
	return nil
}

func (s *Site) create(p parameters, raw bool) (any, *exception) {
	framework := p.int("competency[competencyframeworkid]")
	if !slices.ContainsFunc(s.frameworks, func(f *Framework) bool { return f.ID == framework }) {
		return nil, noRecord("competency_framework")
	}
	name, number, parent := p.text("competency[shortname]"), p.text("competency[idnumber]"), p.int("competency[parentid]")
	if x := s.refusal(nil, framework, name, number); x != nil {
		return nil, x
	}
	if parent != 0 && s.byID(parent) == nil {
		return nil, noRecord("competency")
	}
	return tell(s.add(framework, parent, name, number, p.text("competency[description]")), raw), nil
}

func (s *Site) update(p parameters) (any, *exception) {
	c := s.byID(p.int("competency[id]"))
	if c == nil {
		return nil, noRecord("competency")
	}
	name, number := c.Name, c.IDNumber
	if p.has("competency[shortname]") {
		name = p.text("competency[shortname]")
	}
	if p.has("competency[idnumber]") {
		number = p.text("competency[idnumber]")
	}
	if x := s.refusal(c, c.Framework, name, number); x != nil {
		return nil, x
	}
	delete(s.numbers, s.key(c.Framework, c.IDNumber))
	c.Name, c.IDNumber, c.modified = name, number, time.Now().Unix()
	if p.has("competency[description]") {
		c.Description = p.text("competency[description]")
	}
	s.numbers[s.key(c.Framework, number)] = c
	return true, nil
}

func (s *Site) setParent(p parameters) (any, *exception) {
	c, parent := s.byID(p.int("competencyid")), p.int("parentid")
	switch {
	case c == nil || parent != 0 && s.byID(parent) == nil:
		return nil, noRecord("competency")
	case !s.MayManage:
		return nil, noPermission()
	case c.Parent == parent || c.ID == parent:
		return nil, &exception{
			`core\exception\coding_exception`, "codingerror",
			"Coding error detected, it must be fixed by a programmer: Can not move a competency to the same location.",
		}
	}
	s.put(c, parent)
	c.modified = time.Now().Unix()
	return true, nil
}
