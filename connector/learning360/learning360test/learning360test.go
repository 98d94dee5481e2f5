// Package learning360test is a company in 360Learning, for tests: the parts of the API v2 that have to do with skills, with
// their semantics as documented, in memory. It holds every request against the published description of the API and
// reports what is wrong to the test.
package learning360test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest/described"
	"github.com/crosswalk-hr/crosswalk/connector/learning360"
)

// types are names, types and codes of the description that 360Learning publishes of its API, of the parts that have to do
// with skills. See NOTICE.md.
//
//go:embed 360learning.types.json
var types []byte

// Company is a company's account.
type Company struct {
	ClientID, Secret string
	// Library is the external id of the library that skills belong to.
	Library string
	// MayWrite, MayRead and MayAsk are the scopes skills:bulk, skills:read and bulkOperations:read.
	MayWrite, MayRead, MayAsk bool
	// NoSkills: the company has not bought the skills solution.
	NoSkills bool
	// AtOnce is how many operations there may be at once.
	AtOnce int
	// Takes is how long an operation takes that many skills.
	Takes func(skills int) time.Duration
	// TokenLife is how long a token is good, and TokenUses for how many requests; 0 is any number.
	TokenLife time.Duration
	TokenUses int
	// Refuse is a name that an operation refuses; RefuseBatch makes it refuse the whole request.
	Refuse      string
	RefuseBatch bool
	// TakesNothing: a request without any skill is taken, as an operation.
	TakesNothing bool
	// Archives: a deletion archives.
	Archives bool
	// HidesArchived: the list does not show archived skills.
	HidesArchived bool
	// Fate is what becomes of operations; it counts from 1.
	Fate func(operation int) Fate
	// Elsewhere is the host of the addresses that answers name; the one that was asked if empty.
	Elsewhere string
	// PlainErrors: an error that is an object by the description is a text.
	PlainErrors bool

	t          testing.TB
	described  *described.Description
	mu         sync.Mutex
	skills     []*Skill
	made       int
	operations []*operation
	tokens     map[string]*token
	asked      map[string]int
}

// Fate is what becomes of an operation.
type Fate int

// The possibilities.
const (
	Completes    Fate = iota
	Fails             // it ends with an error, and has done nothing
	FailsHalfway      // it ends with an error, and has done the first half
	NeverEnds         // it runs for ever
	LosesResults      // it has no results
	LosesSome         // its results lack the first skill
	IsForgotten       // it is not known any more
	NeverRuns         // it ends with an error without having run
)

// Skill is one skill of the catalogue.
type Skill struct {
	ID, Name, ExternalID, Description string
	Parents                           []string
	Archived                          bool
	UpdatedAt                         time.Time
}

type token struct {
	until time.Time
	uses  int
}

type upsert struct {
	ExternalID   string          `json:"externalId"`
	Name         string          `json:"name"`
	Parents      []string        `json:"parentExternalIds"`
	Description  string          `json:"description,omitempty"`
	Translations json.RawMessage `json:"translations,omitempty"`
}

type operation struct {
	id, kind string
	created  time.Time
	fate     Fate
	input    []upsert
	ends     time.Time
	applied  bool
	results  []map[string]any
}

// New makes a company with credentials that may do all.
func New(t testing.TB) *Company {
	return &Company{
		ClientID: "65f1c0ffee65f1c0ffee65f1", Secret: "s3cret/with+signs and blanks", Library: "crosswalk-library", MayWrite: true, MayRead: true,
		MayAsk: true, AtOnce: 3, Takes: func(int) time.Duration { return 700 * time.Millisecond }, TokenLife: time.Hour,
		t: t, described: described.New(t, types), tokens: map[string]*token{}, asked: map[string]int{},
	}
}

// Account is the company for the conformance suite. Its address is connectortest.Base.
func (c *Company) Account() connectortest.Account {
	return connectortest.Account{
		Account:    connector.Account{ID: "360learning:1", Settings: c.Settings(connectortest.Base, "delete")},
		Tool:       c,
		Records:    func(*testing.T) []connector.Record { return c.Records() },
		MakeByHand: func(_ *testing.T, name string) string { return c.MakeByHand(name) },
	}
}

// Settings are those of an integration with the company at an address.
func (c *Company) Settings(address, inactive string) json.RawMessage {
	settings, err := json.Marshal(map[string]any{
		"client_id": c.ClientID, "client_secret": c.Secret, "parents": c.Library, "address": address, "inactive": inactive,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return settings
}

// Harness is the connector with such a company, for the conformance suite. The company is as change makes it.
func Harness(change func(*Company)) connectortest.Harness {
	archives := &Company{}
	change(archives)
	return connectortest.Harness{
		Connector: learning360.New(),
		HTTP:      true,
		Deletes:   !archives.Archives,
		// A token, an operation for each ten thousand, one question when it has ended, and its results.
		Fewest: func(skills int) int { return 1 + 3*((skills+9999)/10_000) },
		NewAccount: func(t *testing.T, s connectortest.Situation) (connectortest.Account, bool) {
			c := New(t)
			change(c)
			account := c.Account()
			relax := func(f func()) {
				account.Relax = func(*testing.T) connector.Account { f(); return account.Account }
			}
			first := func(f Fate) {
				c.Fate = func(n int) Fate {
					if n == 1 {
						return f
					}
					return Completes
				}
			}
			switch s {
			case connectortest.Normal:
			case connectortest.RefusesOne, connectortest.RefusesBatch:
				c.Refuse, c.RefuseBatch = connectortest.RefusedName, s == connectortest.RefusesBatch
				relax(func() { c.Refuse = "" })
			case connectortest.Credentials:
				c.Secret = "another secret"
				account.Relax = func(*testing.T) connector.Account {
					return connector.Account{ID: account.ID, Settings: c.Settings(connectortest.Base, "delete")}
				}
			case connectortest.Permission:
				c.MayWrite = false
				relax(func() { c.MayWrite = true })
			case connectortest.JobFails:
				first(Fails)
			case connectortest.JobNeverEnds:
				c.Fate = func(int) Fate { return NeverEnds }
			case connectortest.JobLosesResults:
				first(LosesResults)
			case connectortest.JobForgotten:
				first(IsForgotten)
			default:
				return account, false
			}
			return account, true
		},
		BadSettings: map[string]string{ //nolint:gosec // no credentials
			`{}`:                                    "client_id is required",
			`{"client_id":"a","client_secret":"b"}`: "parents is required",
			`{"client_id":"a","client_secret":"b","parents":" , "}`:                                           "parents",
			`{"client_id":"a","client_secret":"b","parents":"1,2,3,4,5,6,7,8,9,10,11"}`:                       "parents",
			`{"client_id":"a","client_secret":"b","parents":"l","operations_at_once":4}`:                      "operations_at_once",
			`{"client_id":"a","client_secret":"b","parents":"l","operations_at_once":0}`:                      "operations_at_once",
			`{"client_id":"a","client_secret":"b","parents":"l","inactive":"archive"}`:                        "inactive",
			`{"client_id":"a","client_secret":"b","parents":"l","address":"app.360learning.com"}`:             "address",
			`{"client_id":"a","client_secret":"b","parents":"l","address":"https://u:p@app.360learning.com"}`: "address",
			`{"client_id":"a","client_secret":4711,"parents":"l"}`:                                            "client_secret",
		},
	}
}

// Records are all skills.
func (c *Company) Records() []connector.Record {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work()
	records := make([]connector.Record, len(c.skills))
	for i, sk := range c.skills {
		records[i] = connector.Record{RemoteID: sk.ID, OriginID: sk.ExternalID, Name: sk.Name, Active: !sk.Archived, UpdatedAt: sk.UpdatedAt}
	}
	return records
}

// Skills are all skills, as they are.
func (c *Company) Skills() []Skill {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work()
	skills := make([]Skill, len(c.skills))
	for i, sk := range c.skills {
		skills[i] = *sk
	}
	return skills
}

// MakeByHand makes a skill as people do, and returns its id.
func (c *Company) MakeByHand(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	sk := &Skill{ID: c.newID(), Name: name, UpdatedAt: now()}
	c.skills = append(c.skills, sk)
	return sk.ID
}

// Describe gives a skill a description, as people do.
func (c *Company) Describe(externalID, description string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work()
	c.find(externalID).Description = description
}

// Operations is how many bulk operations there were.
func (c *Company) Operations() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.operations)
}

// Asked is how many requests of a kind there were: "PUT /api/v2/bulk/skills", ids left out.
func (c *Company) Asked(kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked[kind]
}

// Expire ends all tokens.
func (c *Company) Expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens = map[string]*token{}
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (c *Company) newID() string {
	c.made++
	return fmt.Sprintf("65a0%020x", c.made)
}

func (c *Company) find(externalID string) *Skill {
	at := slices.IndexFunc(c.skills, func(sk *Skill) bool { return sk.ExternalID == externalID })
	if at < 0 {
		return nil
	}
	return c.skills[at]
}

// work does what has become due. c.mu is held.
func (c *Company) work() {
	for _, op := range c.operations {
		if op.applied || op.fate == NeverEnds || time.Now().Before(op.ends) {
			continue
		}
		op.applied = true
		input := op.input
		switch op.fate {
		case Fails, NeverRuns:
			input = nil
		case FailsHalfway:
			input = input[:len(input)/2]
		case Completes, LosesResults, LosesSome, IsForgotten, NeverEnds:
		}
		known := make(map[string]*Skill, len(c.skills))
		for _, sk := range c.skills {
			known[sk.ExternalID] = sk
		}
		gone := map[*Skill]bool{}
		for _, in := range input {
			id, err := c.apply(op, in, known, gone)
			switch {
			case err != "":
				op.results = append(op.results, map[string]any{"status": "error", "input": in, "errorMessage": err})
			case op.kind == "deleteSkills":
				op.results = append(op.results, map[string]any{"status": "success", "input": map[string]string{"externalId": in.ExternalID}, "resourceId": id})
			default:
				op.results = append(op.results, map[string]any{"status": "success", "input": in, "resourceId": id})
			}
		}
		c.skills = slices.DeleteFunc(c.skills, func(sk *Skill) bool { return gone[sk] })
		if op.fate == LosesSome {
			op.results = op.results[1:]
		}
	}
}

func (c *Company) apply(op *operation, in upsert, known map[string]*Skill, gone map[*Skill]bool) (id, failure string) {
	sk := known[in.ExternalID]
	if op.kind == "deleteSkills" {
		switch {
		case sk == nil || sk.Archived:
			return "", "Skill not found"
		case c.Archives:
			sk.Archived, sk.UpdatedAt = true, now()
		default:
			gone[sk] = true
			delete(known, in.ExternalID)
		}
		return sk.ID, ""
	}
	if c.Refuse != "" && in.Name == c.Refuse {
		return "", "This name is not allowed"
	}
	for _, parent := range in.Parents {
		if parent != c.Library {
			return "", "Parent " + parent + " does not exist"
		}
	}
	if sk == nil {
		sk = &Skill{ID: c.newID(), ExternalID: in.ExternalID}
		c.skills, known[in.ExternalID] = append(c.skills, sk), sk
	}
	// The whole skill is replaced.
	sk.Name, sk.Description, sk.Parents, sk.Archived, sk.UpdatedAt = in.Name, in.Description, in.Parents, false, now()
	return sk.ID, ""
}

// ServeHTTP implements http.Handler.
func (c *Company) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work()
	w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	c.described.Also, c.described.OtherErrors = []string{"next"}, c.PlainErrors
	c.described.Serve(w, r, func(w http.ResponseWriter, path string) {
		c.asked[r.Method+" "+path]++
		c.serve(w, r, path)
	})
}

func (c *Company) serve(w http.ResponseWriter, r *http.Request, path string) {
	if path == "/api/v2/oauth2/token" {
		c.authorize(w, r)
		return
	}
	if r.Header.Get("360-Api-Version") != "v2.0" {
		c.t.Errorf("%s %s: version %q", r.Method, path, r.Header.Get("360-Api-Version"))
	}
	if !c.isGood(r.Header.Get("Authorization")) {
		c.say(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	scope, may := "bulkOperations:read", c.MayAsk
	switch path {
	case "/api/v2/bulk/skills":
		scope, may = "skills:bulk", c.MayWrite
	case "/api/v2/skills":
		scope, may = "skills:read", c.MayRead
	}
	if !may {
		c.fail(w, http.StatusForbidden, "invalid_scope", "The scope "+scope+" is missing")
		return
	}
	if c.NoSkills && strings.HasSuffix(path, "/skills") {
		c.fail(w, http.StatusBadRequest, "skillSolutionNotEnabled", "The skill solution is not enabled")
		return
	}
	switch r.Method + " " + path {
	case "PUT /api/v2/bulk/skills":
		var body struct {
			Input []upsert `json:"input"`
		}
		connectortest.Decode(c.t, r, &body)
		c.begin(w, r, "upsertSkills", body.Input)
	case "DELETE /api/v2/bulk/skills":
		var body struct {
			Input []struct {
				ExternalID string `json:"externalId"`
			} `json:"input"`
		}
		connectortest.Decode(c.t, r, &body)
		input := make([]upsert, len(body.Input))
		for i, in := range body.Input {
			input[i].ExternalID = in.ExternalID
		}
		c.begin(w, r, "deleteSkills", input)
	case "GET /api/v2/bulk/operations":
		c.list(w, r)
	case "GET /api/v2/bulk/operations/{bulkOperationId}", "GET /api/v2/bulk/operations/{bulkOperationId}/results":
		c.tell(w, strings.Split(r.URL.Path, "/")[5], strings.HasSuffix(path, "/results"))
	case "GET /api/v2/skills":
		c.page(w, r)
	default:
		c.t.Errorf("%s %s", r.Method, r.URL)
	}
}

func (c *Company) say(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(v); err != nil {
		c.t.Error(err)
	}
}

func (c *Company) fail(w http.ResponseWriter, status int, code, message string) {
	if c.PlainErrors {
		c.say(w, status, map[string]any{"error": code})
		return
	}
	c.say(w, status, map[string]any{"error": map[string]string{"code": code, "message": message}})
}

func (c *Company) authorize(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Grant  string `json:"grant_type"`
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	connectortest.Decode(c.t, r, &body)
	if body.ID != c.ClientID || body.Secret != c.Secret {
		c.say(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	value := fmt.Sprintf("token-%d", len(c.tokens)+1000)
	c.tokens[value] = &token{until: time.Now().Add(c.TokenLife)}
	c.say(w, http.StatusOK, map[string]any{"token_type": "Bearer", "access_token": value, "expires_in": c.TokenLife.Seconds()})
}

func (c *Company) isGood(authorization string) bool {
	value, _ := strings.CutPrefix(authorization, "Bearer ")
	t := c.tokens[value]
	if t == nil || time.Now().After(t.until) || c.TokenUses > 0 && t.uses >= c.TokenUses {
		return false
	}
	t.uses++
	return true
}

func (c *Company) running() int {
	n := 0
	for _, op := range c.operations {
		if !op.applied {
			n++
		}
	}
	return n
}

func (c *Company) begin(w http.ResponseWriter, r *http.Request, kind string, input []upsert) {
	if len(input) == 0 && !c.TakesNothing {
		c.fail(w, http.StatusBadRequest, "invalidInput", "input must contain at least 1 element")
		return
	}
	if len(input) > 10_000 {
		c.fail(w, http.StatusBadRequest, "inputTooLong", "input must contain at most 10000 elements")
		return
	}
	seen := map[string]bool{}
	for _, in := range input {
		if seen[in.ExternalID] {
			c.t.Errorf("%s is in one request twice", in.ExternalID)
		}
		seen[in.ExternalID] = true
		if c.RefuseBatch && c.Refuse != "" && in.Name == c.Refuse {
			c.fail(w, http.StatusBadRequest, "invalidInput", "input holds a name that is not allowed")
			return
		}
	}
	if c.running() >= c.AtOnce {
		c.fail(w, http.StatusTooManyRequests, "bulkOperationsConcurrencyLimitReached", "Too many bulk operations")
		return
	}
	op := &operation{id: c.newID(), kind: kind, created: now(), input: input, ends: time.Now().Add(c.Takes(len(input)))}
	c.operations = append(c.operations, op)
	if c.Fate != nil {
		op.fate = c.Fate(len(c.operations))
	}
	w.Header().Set("Location", c.address(r)+"/api/v2/bulk/operations/"+op.id)
	w.WriteHeader(http.StatusAccepted)
}

func (c *Company) address(r *http.Request) string {
	if c.Elsewhere != "" {
		return c.Elsewhere
	}
	return "https://" + r.Host
}

// shown is an operation as the API shows it.
func (op *operation) shown() map[string]any {
	time := func(t time.Time) string { return t.Format("2006-01-02T15:04:05.000Z") }
	v := map[string]any{"_id": op.id, "type": op.kind, "createdAt": time(op.created), "status": "pending"}
	progress := map[string]any{"index": 0, "updatedAt": time(op.created)}
	began := func() {
		v["queuedAt"], v["startedAt"], v["progress"] = time(op.created), time(op.created), progress
	}
	switch {
	case op.applied:
		began()
		v["endedAt"], v["status"] = time(op.ends), "completed"
		if op.fate == Fails || op.fate == FailsHalfway || op.fate == NeverRuns {
			v["status"], v["errorMessage"] = "error", "Something went wrong"
		}
	case now().Sub(op.created) > 50*1e6:
		began()
		v["status"] = "running"
	}
	return v
}

func (c *Company) tell(w http.ResponseWriter, id string, results bool) {
	at := slices.IndexFunc(c.operations, func(op *operation) bool { return op.id == id })
	if at < 0 || c.operations[at].fate == IsForgotten || results && c.operations[at].fate == LosesResults {
		c.fail(w, http.StatusNotFound, "bulkOperationNotFound", "There is no such bulk operation")
		return
	}
	op := c.operations[at]
	switch {
	case !results:
		c.say(w, http.StatusOK, op.shown())
	case !op.applied || op.fate == NeverRuns:
		c.fail(w, http.StatusBadRequest, "bulkOperationNotRun", "The bulk operation has not run yet")
	default:
		c.say(w, http.StatusOK, append([]map[string]any{}, op.results...))
	}
}

// list is twenty operations a page, the last ones first.
func (c *Company) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	from, _ := strconv.Atoi(query.Get("next"))
	since, err := time.Parse(time.RFC3339, query.Get("createdAt[gte]"))
	if given := query.Get("createdAt[gte]"); given != "" && err != nil {
		c.t.Errorf("createdAt[gte]=%q", given)
	}
	shown := []map[string]any{}
	for _, op := range slices.Backward(c.operations) {
		if (query.Get("type[eq]") == "" || query.Get("type[eq]") == op.kind) && !op.created.Before(since) {
			shown = append(shown, op.shown())
		}
	}
	c.link(w, r, from, 20, len(shown))
	c.say(w, http.StatusOK, shown[min(from, len(shown)):min(from+20, len(shown))])
}

// page is five hundred skills.
func (c *Company) page(w http.ResponseWriter, r *http.Request) {
	from, _ := strconv.Atoi(r.URL.Query().Get("next"))
	shown := []map[string]any{}
	for _, sk := range c.skills {
		if sk.Archived && c.HidesArchived {
			continue
		}
		v := map[string]any{
			"_id": sk.ID, "name": sk.Name, "parents": []any{}, "status": "published", "translations": []any{},
			"updatedAt": sk.UpdatedAt.Format("2006-01-02T15:04:05.000Z"),
		}
		if sk.ExternalID != "" {
			v["externalId"] = sk.ExternalID
		}
		if sk.Archived {
			v["status"] = "archived"
		}
		shown = append(shown, v)
	}
	c.link(w, r, from, 500, len(shown))
	c.say(w, http.StatusOK, shown[min(from, len(shown)):min(from+500, len(shown))])
}

func (c *Company) link(w http.ResponseWriter, r *http.Request, from, size, all int) {
	if from+size >= all {
		return
	}
	query := r.URL.Query()
	query.Set("next", strconv.Itoa(from+size))
	w.Header().Set("Link", "<"+c.address(r)+r.URL.Path+"?"+query.Encode()+`>; rel="next"`)
}
