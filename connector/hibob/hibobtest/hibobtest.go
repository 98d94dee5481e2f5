// Package hibobtest is a company in Bob, for tests: the Skills API with its semantics as documented, in memory. It holds
// every request against the published description of the API and reports what is wrong to the test.
package hibobtest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest/described"
	"github.com/crosswalk-hr/crosswalk/connector/hibob"
)

// types are names, types and limits of the description that HiBob publishes of its Skills API, as far as they were seen. See
// NOTICE.md.
//
//go:embed hibob.types.json
var types []byte

// Company is a company's account.
type Company struct {
	User, Token string
	// Source is the one that the integration uses.
	Source string
	// MayView and MayManage are the service user's permissions.
	MayView, MayManage bool
	// PerMinute is how many requests each endpoint takes in a minute; 0 is any number.
	PerMinute int
	// Refuse is a name that Bob does not take; RefuseBatch makes it refuse the whole request.
	Refuse      string
	RefuseBatch bool

	// What the documentation leaves open.

	// HidesArchived: a search does not show archived skills.
	HidesArchived bool
	// Archived is what becomes of a patch of an archived skill.
	Archived ArchivedPatch
	// PlainErrors: an item's errors are texts, not objects.
	PlainErrors bool
	// NumericIDs: ids are numbers.
	NumericIDs bool
	// FreesNames: another skill may have the name of one that is archived.
	FreesNames bool
	// Lag is how many searches a new skill stays unseen.
	Lag int
	// Conflicts: what is there already is refused with 409, not with 400.
	Conflicts bool
	// NotModified: a change that changes nothing has failed, with 304.
	NotModified bool
	// Denies401: a permission that is missing is told with 401, not with 403.
	Denies401 bool

	t         testing.TB
	described *described.Description
	mu        sync.Mutex
	skills    []*Skill
	places    map[locator]*Skill
	names     map[string]*Skill
	used      map[string]*window
	denied    int
}

// ArchivedPatch is what becomes of a patch of an archived skill.
type ArchivedPatch int

// The possibilities.
const (
	Fails   ArchivedPatch = iota // it is refused
	Ignored                      // it is taken, and the skill stays archived
	Revives                      // the skill is active again
)

// Skill is one skill of the catalogue.
type Skill struct {
	ID                       int64
	Name, Source, ExternalID string
	Archived                 bool
	unseen                   int
}

type locator struct{ source, externalID string }

type window struct {
	from time.Time
	used int
}

// New makes a company with a service user who may do all.
func New(t testing.TB) *Company {
	return &Company{
		User: "SERVICE-4711", Token: "t0ken/with+signs and blanks", Source: "crosswalk", MayView: true, MayManage: true,
		t: t, described: described.New(t, types),
		places: map[locator]*Skill{}, names: map[string]*Skill{}, used: map[string]*window{},
	}
}

// Account is the company for the conformance suite. Its address is connectortest.Base.
func (c *Company) Account() connectortest.Account {
	return connectortest.Account{
		Account: connector.Account{ID: "hibob:1", Settings: c.Settings(connectortest.Base + "/v1")},
		Tool:    c,
		Records: func(*testing.T) []connector.Record { return c.Records() },
		MakeByHand: func(_ *testing.T, name string) string {
			return c.MakeByHand(name)
		},
	}
}

// Settings are those of an integration with the company at an address.
func (c *Company) Settings(address string) json.RawMessage {
	settings, err := json.Marshal(map[string]any{"service_user_id": c.User, "token": c.Token, "address": address})
	if err != nil {
		c.t.Fatal(err)
	}
	return settings
}

// Harness is the connector with such a company, for the conformance suite. The company is as change makes it.
func Harness(change func(*Company)) connectortest.Harness {
	return connectortest.Harness{
		Connector: hibob.New(),
		HTTP:      true,
		// A search and a creation for each hundred.
		Fewest: func(skills int) int { return 2 * ((skills + 99) / 100) },
		// Each endpoint takes fifty requests a minute.
		FewestTime: func(skills int) time.Duration { return time.Duration((skills+99)/100) * time.Minute / 50 },
		NewAccount: func(t *testing.T, s connectortest.Situation) (connectortest.Account, bool) {
			c := New(t)
			change(c)
			account := c.Account()
			switch s {
			case connectortest.Normal:
			case connectortest.RefusesOne, connectortest.RefusesBatch:
				c.Refuse, c.RefuseBatch = connectortest.RefusedName, s == connectortest.RefusesBatch
				account.Relax = func(*testing.T) connector.Account { c.Refuse = ""; return account.Account }
			case connectortest.Credentials:
				c.Token = "another"
				account.Relax = func(*testing.T) connector.Account {
					return connector.Account{ID: account.ID, Settings: c.Settings(connectortest.Base + "/v1")}
				}
			case connectortest.Permission:
				c.MayManage = false
				account.Relax = func(*testing.T) connector.Account { c.MayManage = true; return account.Account }
			default:
				return account, false
			}
			return account, true
		},
		BadSettings: map[string]string{
			`{}`: "service_user_id is required",
			`{"service_user_id":"u","token":"t","source":" "}`:                          "source",
			`{"service_user_id":"u","token":"t","requests_per_minute":1}`:               "requests_per_minute",
			`{"service_user_id":"u","token":"t","address":"api.hibob.com"}`:             "address",
			`{"service_user_id":"u","token":"t","address":"https://u:p@api.hibob.com"}`: "address",
			`{"service_user_id":"u","token":4711}`:                                      "token",
		},
	}
}

// Records are all skills.
func (c *Company) Records() []connector.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	records := make([]connector.Record, len(c.skills))
	for i, s := range c.skills {
		records[i] = connector.Record{RemoteID: strconv.FormatInt(s.ID, 10), Name: s.Name, Active: !s.Archived}
		if s.Source == c.Source {
			records[i].OriginID = s.ExternalID
		}
	}
	return records
}

// MakeByHand makes a skill in Bob's pages. The API shows nothing of it, but its name is taken.
func (c *Company) MakeByHand(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.FormatInt(c.add(name, locator{}).ID, 10)
}

// Import makes a skill through the API for another source.
func (c *Company) Import(source, externalID, name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strconv.FormatInt(c.add(name, locator{source, externalID}).ID, 10)
}

func (c *Company) add(name string, at locator) *Skill {
	// Ids beyond what a float keeps.
	s := &Skill{ID: 9_007_199_254_740_993 + int64(len(c.skills)), Name: name, Source: at.source, ExternalID: at.externalID, unseen: c.Lag}
	c.skills = append(c.skills, s)
	c.names[name] = s
	if at.externalID != "" {
		c.places[at] = s
	}
	return s
}

// ServeHTTP implements http.Handler.
func (c *Company) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.described.Serve(w, r, func(w http.ResponseWriter, path string) { c.serve(w, r, path) })
}

func (c *Company) serve(w http.ResponseWriter, r *http.Request, path string) {
	endpoint := r.Method + " " + path
	if accept := r.Header.Get("Accept"); accept != "application/json" {
		c.t.Errorf("%s: accept %q", endpoint, accept)
	}
	if user, token, ok := r.BasicAuth(); !ok || user != c.User || token != c.Token {
		// Who goes on is locked out.
		if c.denied++; c.denied > 1 {
			c.t.Errorf("request %d with credentials that Bob does not accept", c.denied)
		}
		c.say(w, http.StatusUnauthorized, problem("Unauthorized", "The service user is not known."))
		return
	}
	if !c.admit(w, endpoint) {
		c.say(w, http.StatusTooManyRequests, problem("rateLimit", "Too many requests."))
		return
	}
	if may := c.MayView && (c.MayManage || path == "/skills/search"); !may {
		if c.Denies401 {
			c.say(w, http.StatusUnauthorized, map[string]string{"errorMessage": "No permissions to the skills catalog"})
			return
		}
		c.say(w, http.StatusForbidden, problem("Forbidden", "The user has no permission for the skills catalog."))
		return
	}
	switch endpoint {
	case "POST /skills/search":
		c.search(w, r)
	case "POST /skills":
		c.bulk(w, r, []string{"/skill/name", "/skill/source", "/skill/externalId"}, []string{"/skill/status"}, c.create)
	case "PATCH /skills":
		c.bulk(w, r, []string{"/skill/source", "/skill/externalId"}, []string{"/skill/name", "/skill/status"}, c.update)
	case "PATCH /skills/archive":
		c.bulk(w, r, []string{"/skill/source", "/skill/externalId"}, nil, c.archive)
	default: // and the description has said that there is none
		c.say(w, http.StatusNotFound, problem("notFound", "No such endpoint."))
	}
}

func problem(key, text string) map[string]string { return map[string]string{"key": key, "error": text} }

func (c *Company) say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		c.t.Error(err)
	}
}

// admit counts a request of an endpoint in its minute, and says in the header how many are left.
func (c *Company) admit(w http.ResponseWriter, endpoint string) bool {
	if c.PerMinute == 0 {
		return true
	}
	now := time.Now()
	at := c.used[endpoint]
	if at == nil || now.Sub(at.from) >= time.Minute {
		at = &window{from: now}
		c.used[endpoint] = at
	}
	at.used++
	w.Header().Set("X-RateLimit-Limit", strconv.Itoa(c.PerMinute))
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(max(0, c.PerMinute-at.used)))
	w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(at.from.Add(time.Minute+time.Second-1).Unix(), 10))
	return at.used <= c.PerMinute
}

type filter struct {
	FieldID  string   `json:"fieldId"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

func (c *Company) search(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Fields  []string `json:"fields"`
		Filters []filter `json:"filters"`
		Limit   int      `json:"limit"`
		Cursor  string   `json:"cursor"`
	}
	connectortest.Decode(c.t, r, &body)
	if body.Filters == nil || body.Fields == nil || body.Limit == 0 {
		c.t.Errorf("search %+v leaves something to Bob", body)
	}
	candidates := c.skills
	for _, f := range body.Filters {
		if f.Operator != "equals" || len(f.Values) == 0 || len(f.Values) > 100 {
			c.t.Errorf("filter %+v", f)
		}
		if f.FieldID == "/skill/externalId" { // do not walk the whole catalogue for each batch
			candidates = nil
			for _, id := range f.Values {
				if s := c.places[locator{c.Source, id}]; s != nil {
					candidates = append(candidates, s)
				}
			}
		}
	}
	from := 0
	if body.Cursor != "" {
		if _, err := fmt.Sscanf(body.Cursor, "after-%d", &from); err != nil {
			c.t.Errorf("cursor %q", body.Cursor)
		}
	}
	items := []map[string]any{}
	next := ""
	for i := from; i < len(candidates); i++ {
		s := candidates[i]
		if s.Source == "" || s.Archived && c.HidesArchived {
			continue
		}
		if s.unseen > 0 {
			s.unseen--
			continue
		}
		all := map[string]any{"/skill/name": s.Name, "/skill/source": s.Source, "/skill/externalId": s.ExternalID, "/skill/status": status(s), "/skill/id": c.id(s)}
		matches := true
		for _, f := range body.Filters {
			value, ours := all[f.FieldID].(string)
			if !ours {
				c.t.Errorf("filter by %q", f.FieldID)
			}
			matches = matches && slices.Contains(f.Values, value)
		}
		if !matches {
			continue
		}
		if len(items) == body.Limit {
			next = fmt.Sprintf("after-%d", i)
			break
		}
		item := map[string]any{}
		for _, f := range body.Fields {
			item[f] = all[f]
		}
		items = append(items, item)
	}
	answer := map[string]any{"items": items}
	if next != "" {
		answer["response_metadata"] = map[string]any{"next_cursor": next}
	}
	c.say(w, http.StatusOK, answer)
}

func status(s *Skill) string {
	if s.Archived {
		return "archived"
	}
	return "active"
}

func (c *Company) id(s *Skill) any {
	if c.NumericIDs {
		return s.ID
	}
	return strconv.FormatInt(s.ID, 10)
}

// refusal is why an item failed.
type refusal struct {
	status int
	text   string
}

// bulk is what the endpoints that change skills have in common: whatever becomes of the items, the answer is 200.
func (c *Company) bulk(w http.ResponseWriter, r *http.Request, required, optional []string, do func(map[string]string) (*Skill, *refusal)) {
	var body struct {
		Items []map[string]string `json:"items"`
	}
	connectortest.Decode(c.t, r, &body)
	if n := len(body.Items); n < 1 || n > 100 { // and the description has said so
		c.say(w, http.StatusBadRequest, problem("validation", "items must have between 1 and 100 entries"))
		return
	}
	seen := map[locator]bool{}
	for _, item := range body.Items {
		at := locator{item["/skill/source"], item["/skill/externalId"]}
		if seen[at] {
			c.t.Errorf("%s %s names %v twice", r.Method, r.URL.Path, at)
		}
		seen[at] = true
		for field := range item {
			if !slices.Contains(required, field) && !slices.Contains(optional, field) {
				c.t.Errorf("%s %s: field %q", r.Method, r.URL.Path, field)
			}
		}
		if c.RefuseBatch && item["/skill/name"] == c.Refuse {
			c.say(w, http.StatusBadRequest, problem("validation", "Some items are not valid."))
			return
		}
	}
	results := []map[string]any{}
	for i, item := range body.Items {
		var skill *Skill
		var no *refusal
		for _, field := range required {
			if item[field] == "" {
				no = &refusal{http.StatusBadRequest, field + " is required"}
			}
		}
		if c.Refuse != "" && item["/skill/name"] == c.Refuse {
			no = &refusal{http.StatusBadRequest, "This name is not allowed"}
		}
		if no == nil {
			skill, no = do(item)
		}
		result := map[string]any{"index": i, "status": "succeeded", "httpStatus": http.StatusOK}
		if no != nil {
			result["status"], result["httpStatus"] = "failed", no.status
			if c.PlainErrors {
				result["errors"] = []string{no.text}
			} else {
				result["errors"] = []map[string]string{{"code": "itemFailed", "message": no.text}}
			}
		} else {
			result["resource"] = map[string]any{"/skill/id": c.id(skill)}
		}
		results = append(results, result)
	}
	// Results come in any order: their place is told.
	slices.Reverse(results)
	c.say(w, http.StatusOK, map[string]any{"results": results})
}

// inUse is the status for what is there already.
func (c *Company) inUse() int {
	if c.Conflicts {
		return http.StatusConflict
	}
	return http.StatusBadRequest
}

func (c *Company) create(item map[string]string) (*Skill, *refusal) {
	at := locator{item["/skill/source"], item["/skill/externalId"]}
	switch {
	case c.names[item["/skill/name"]] != nil:
		return nil, &refusal{c.inUse(), "A skill with this name already exists"}
	case c.places[at] != nil:
		return nil, &refusal{c.inUse(), "A skill with this source and externalId already exists"}
	}
	return c.add(item["/skill/name"], at), nil
}

func (c *Company) update(item map[string]string) (*Skill, *refusal) {
	s := c.places[locator{item["/skill/source"], item["/skill/externalId"]}]
	name, renames := item["/skill/name"]
	state, changes := item["/skill/status"]
	switch {
	case s == nil:
		return nil, &refusal{http.StatusNotFound, "Skill not found"}
	case !renames && !changes:
		return nil, &refusal{http.StatusBadRequest, "No writable field"}
	case s.Archived && c.Archived == Fails:
		return nil, &refusal{http.StatusBadRequest, "An archived skill cannot be changed"}
	case renames && c.names[name] != nil && c.names[name] != s:
		return nil, &refusal{c.inUse(), "A skill with this name already exists"}
	case c.NotModified && (!renames || name == s.Name) && (state != "active" || !s.Archived || c.Archived != Revives):
		return nil, &refusal{http.StatusNotModified, "Nothing was changed"}
	}
	if c.names[s.Name] == s {
		delete(c.names, s.Name)
	}
	if renames {
		s.Name = name
	}
	if state == "active" && c.Archived == Revives {
		s.Archived = false
	}
	if !s.Archived || !c.FreesNames {
		c.names[s.Name] = s
	}
	return s, nil
}

func (c *Company) archive(item map[string]string) (*Skill, *refusal) {
	s := c.places[locator{item["/skill/source"], item["/skill/externalId"]}]
	switch {
	case s == nil:
		return nil, &refusal{http.StatusNotFound, "Skill not found"}
	case s.Archived && c.NotModified:
		return nil, &refusal{http.StatusNotModified, "Nothing was changed"}
	case s.Archived:
		return nil, &refusal{http.StatusBadRequest, "The skill is archived already"}
	}
	s.Archived = true
	if c.FreesNames {
		delete(c.names, s.Name)
	}
	return s, nil
}
