package connectortest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// The suite is tried on a connector to a tool that was made for it, and on connectors that do one thing wrong each.

// toy is a tool that can do everything: an upsert by external id, item by item.
type toy struct {
	t      testing.TB
	token  string
	mu     sync.Mutex
	skills []toySkill
	at     map[string]int // by external id
	refuse string         // the name that is refused
	batch  bool           // with the whole batch
	byHand int
}

type toySkill struct {
	ID, External, Name string
	Active             bool
}

type toyItem struct {
	External, Name string
	Active, Adopt  bool
	Taken          string // the id of the skill that it is, whoever made that
}

type toyResult struct{ External, ID, Error string }

func (x *toy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+x.token {
		x.t.Errorf("authorization %q", r.Header.Get("Authorization"))
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.Method + " " + r.URL.Path {
	case "GET /skills":
		from, _ := strconv.Atoi(r.URL.Query().Get("from"))
		to := min(from+500, len(x.skills))
		x.say(w, map[string]any{"skills": append([]toySkill{}, x.skills[min(from, to):to]...), "from": from, "more": to < len(x.skills)})
	case "POST /find":
		var names struct{ External, Adopt []string }
		connectortest.Decode(x.t, r, &names)
		found := []toySkill{}
		for _, s := range x.skills {
			if slices.Contains(names.External, s.External) || s.External == "" && slices.Contains(names.Adopt, s.Name) {
				found = append(found, s)
			}
		}
		x.say(w, found)
	case "POST /write":
		var items []toyItem
		connectortest.Decode(x.t, r, &items)
		results := []toyResult{}
		if x.batch && slices.ContainsFunc(items, func(i toyItem) bool { return i.Name == x.refuse }) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		for _, i := range items {
			if x.refuse != "" && i.Name == x.refuse {
				results = append(results, toyResult{External: i.External, Error: "no such word"})
				continue
			}
			if id := x.write(i); id != "" {
				results = append(results, toyResult{External: i.External, ID: id})
			} else {
				results = append(results, toyResult{External: i.External, Error: anothers})
			}
		}
		x.say(w, results)
	default:
		x.t.Errorf("%s %s", r.Method, r.URL)
	}
}

func (x *toy) say(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		x.t.Error(err)
	}
}

const anothers = "it is another's"

// write returns the id, empty for a skill that is another's.
func (x *toy) write(i toyItem) string {
	at, known := x.at[i.External]
	if !known {
		at = -1
		if i.Taken != "" {
			at = slices.IndexFunc(x.skills, func(s toySkill) bool { return s.ID == i.Taken })
			if at >= 0 && x.skills[at].External != "" {
				return ""
			}
		}
		if i.Adopt {
			at = slices.IndexFunc(x.skills, func(s toySkill) bool { return s.External == "" && s.Name == i.Name })
		}
		if at < 0 {
			at = len(x.skills)
			x.skills = append(x.skills, toySkill{ID: fmt.Sprint("T", at)})
		}
		x.at[i.External] = at
	}
	s := &x.skills[at]
	s.External, s.Name, s.Active = i.External, i.Name, i.Active
	return s.ID
}

func (x *toy) account(token string) connectortest.Account {
	settings, err := json.Marshal(map[string]string{"token": token})
	if err != nil {
		x.t.Fatal(err)
	}
	return connectortest.Account{
		Account: connector.Account{ID: "toy:1", Settings: settings},
		Tool:    x,
		Records: func(*testing.T) []connector.Record {
			x.mu.Lock()
			defer x.mu.Unlock()
			records := make([]connector.Record, len(x.skills))
			for i, s := range x.skills {
				records[i] = connector.Record{RemoteID: s.ID, OriginID: s.External, Name: s.Name, Active: s.Active}
			}
			return records
		},
		MakeByHand: func(_ *testing.T, name string) string {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.byHand++
			x.skills = append(x.skills, toySkill{ID: fmt.Sprint("H", x.byHand), Name: name, Active: true})
			return fmt.Sprint("H", x.byHand)
		},
	}
}

// toyConnector does everything right, but for what wrong names.
type toyConnector struct{ wrong string }

func (c toyConnector) Describe() connector.Description {
	d := connector.Description{
		Slug: "toy", Label: "Toy", Category: connector.LMS, Summary: "A toy.",
		Settings:     []connector.Field{{Name: "token", Type: connector.Text, Label: "Token", Help: "The token.", Secret: true, Required: true}},
		Limits:       connector.Limits{Batch: 20, Concurrency: 2, Calls: 60, Per: time.Minute},
		Capabilities: connector.Capabilities(),
	}
	switch c.wrong {
	case "describes what it is not":
		d.Capabilities = d.Capabilities[1:]
	case "takes its time":
		d.Limits.Calls /= 2
	}
	return d
}

type toySettings struct {
	Token string `json:"token"`
}

func (c toyConnector) Open(account connector.Account) (connector.Session, error) {
	var set toySettings
	if err := c.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	s := &toySession{toyConnector: c, token: set.Token}
	s.api = &rest.API{HTTP: account.HTTP, Base: connectortest.Base, Secrets: []string{set.Token}, Sign: func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+set.Token)
		return nil
	}}
	switch c.wrong {
	case "tells secrets":
		s.api.Secrets = nil
	case "reads all of a huge answer":
		s.api.MostBytes = 1 << 30
	}
	return s, nil
}

type toySession struct {
	toyConnector
	api   *rest.API
	token string
}

func (s *toySession) Limits() connector.Limits { return s.Describe().Limits }

func (s *toySession) send(ctx context.Context, method, path string, body, into any) error {
	switch s.wrong {
	case "does not heed the context":
		ctx = context.WithoutCancel(ctx)
	case "forgets to ask":
		ctx = connector.WithSendCheck(ctx, func() error { return nil })
	}
	changes := path == "/write" && s.wrong != "takes a write for a read"
	answer, err := s.api.Send(ctx, rest.Request{Method: method, Path: path, Body: body, Changes: changes})
	if err != nil {
		return err
	}
	switch {
	case answer.OK():
		return answer.JSON(into)
	case s.wrong == "takes 500 for a refusal" && answer.Status >= 500:
		return connector.Errorf(connector.Refused, "no")
	case s.wrong == "goes on after 401" && answer.Status == http.StatusUnauthorized:
		for range 3 {
			if answer, err = s.api.Send(ctx, rest.Request{Method: method, Path: path, Body: body}); err != nil {
				return err
			}
		}
	case s.wrong == "follows to another host" && answer.Header.Get("Location") != "":
		request, err := http.NewRequestWithContext(ctx, method, answer.Header.Get("Location"), http.NoBody)
		if err != nil {
			return err
		}
		if response, err := s.api.HTTP.Do(request); err == nil {
			return response.Body.Close()
		}
	}
	return answer.Problem(string(answer.Body))
}

func (s *toySession) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	items := make([]toyItem, len(skills))
	for i, sk := range skills {
		items[i] = toyItem{sk.OriginID, sk.Name, sk.Active, sk.Adopt && s.wrong != "does not adopt", ""}
		if sk.Taken && s.wrong != "makes twins of what people made" && (!sk.Unsure || s.wrong != "makes twins where it is not sure") {
			items[i].Taken = sk.RemoteID
		}
		switch s.wrong {
		case "makes twins":
			items[i].External += strings.Repeat(" ", len(sk.RemoteID))
		case "does not retire":
			items[i].Active = true
		case "mends names":
			items[i].Name = strings.TrimSpace(strings.ToLower(sk.Name))
		}
	}
	var results []toyResult
	err := s.send(ctx, "POST", "/write", items, &results)
	if err == nil && s.wrong == "writes item by item, and forgets the first" {
		err = s.send(ctx, "POST", "/write", items[:1], &results)
	}
	if s.wrong == "is sure of success" {
		err = nil
		for _, sk := range skills {
			if !slices.ContainsFunc(results, func(r toyResult) bool { return r.External == sk.OriginID }) {
				results = append(results, toyResult{External: sk.OriginID, ID: "T0"})
			}
		}
	}
	if e, ok := errors.AsType[*connector.Error](err); ok && s.wrong == "takes silence for absence" {
		e.Kind = connector.Away
	}
	if err != nil {
		return nil, err
	}
	out := make([]connector.Result, 0, len(results))
	for _, r := range results {
		result := connector.Result{OriginID: r.External, RemoteID: r.ID}
		if r.Error != "" {
			result.Err = connector.Errorf(connector.Refused, "%s", r.Error)
			if r.Error == anothers {
				result.Err.Kind = connector.Unsupported
			}
		}
		out = append(out, result)
	}
	if s.wrong == "makes twins" {
		for i := range out {
			out[i].OriginID = strings.TrimSpace(out[i].OriginID)
		}
	}
	return out, nil
}

func (s *toySession) Check(ctx context.Context) error {
	if s.wrong == "finds every account good" {
		return nil
	}
	_, err := s.List(ctx, "0")
	return err
}

func (s *toySession) List(ctx context.Context, cursor string) (connector.Page, error) {
	from, _ := strconv.Atoi(cursor)
	var answer struct {
		Skills []toySkill
		From   int
		More   bool
	}
	if err := s.send(ctx, "GET", "/skills?from="+strconv.Itoa(from), nil, &answer); err != nil {
		return connector.Page{}, err
	}
	nameless := slices.ContainsFunc(answer.Skills, func(sk toySkill) bool { return sk.ID == "" })
	if (answer.Skills == nil || nameless) && s.wrong != "takes nothing for an empty list" {
		return connector.Page{}, connector.Errorf(connector.Unexpected, "the answer does not say which skills there are")
	}
	if answer.From != from && s.wrong != "lists a page again and again" {
		return connector.Page{}, connector.Errorf(connector.Unexpected, "the list does not go on")
	}
	page := connector.Page{Records: toyRecords(answer.Skills)}
	if answer.More && s.wrong != "lists the first page" {
		page.Next = strconv.Itoa(from + len(answer.Skills))
	}
	return page, nil
}

func (s *toySession) Find(ctx context.Context, skills []connector.Skill) ([]connector.Record, error) {
	names := struct{ External, Adopt []string }{[]string{}, []string{}}
	for _, sk := range skills {
		names.External = append(names.External, sk.OriginID)
		if sk.Adopt {
			names.Adopt = append(names.Adopt, sk.Name)
		}
	}
	if s.wrong == "finds nothing" {
		names.External = nil
	}
	var found []toySkill
	err := s.send(ctx, "POST", "/find", names, &found)
	return toyRecords(found), err
}

func toyRecords(skills []toySkill) []connector.Record {
	records := make([]connector.Record, len(skills))
	for i, s := range skills {
		records[i] = connector.Record{RemoteID: s.ID, OriginID: s.External, Name: s.Name, Active: s.Active}
	}
	return records
}

// wrongVariable says what the toy's connector does wrong in this process.
const wrongVariable = "CROSSWALK_TEST_WRONG"

func TestToy(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		Connector: toyConnector{os.Getenv(wrongVariable)},
		HTTP:      true,
		Fewest:    func(skills int) int { return (skills + 19) / 20 },
		// A request a second.
		FewestTime: func(skills int) time.Duration { return time.Duration((skills+19)/20) * time.Second },
		NewAccount: func(t *testing.T, s connectortest.Situation) (connectortest.Account, bool) {
			x := &toy{t: t, at: map[string]int{}, token: "s3cret/of+the toy"}
			switch s {
			case connectortest.Normal:
			case connectortest.RefusesOne:
				x.refuse = connectortest.RefusedName
			case connectortest.RefusesBatch:
				x.refuse, x.batch = connectortest.RefusedName, true
			default:
				return connectortest.Account{}, false
			}
			account := x.account(x.token)
			account.Relax = func(*testing.T) connector.Account { x.refuse = ""; return account.Account }
			return account, true
		},
		BadSettings: map[string]string{`{}`: "token", `{"token":1}`: "token", `{"token":"x","more":1}`: "more", `[]`: "object"},
	})
}

// Each of these is caught, and by the test that is there for it.
func TestWrongConnectorsAreCaught(t *testing.T) {
	t.Parallel()
	if os.Getenv(wrongVariable) != "" {
		return
	}
	caught(t, "TestToy", map[string]string{
		"describes what it is not":                   "the_description_is_complete",
		"makes twins":                                "create,_update,_repeat",
		"mends names":                                "texts_arrive_as_they_are",
		"does not retire":                            "deactivate_and_reactivate",
		"does not adopt":                             "adopt",
		"makes twins of what people made":            "a_skill_made_by_hand_that_is_to_be_managed",
		"makes twins where it is not sure":           "faults/cut_before_the_tool_has_the_request",
		"forgets to ask":                             "what_may_not_be_sent_any_more_is_not_sent",
		"takes a write for a read":                   "faults",
		"takes silence for absence":                  "faults/hangs_after_it_was_carried_out",
		"takes 500 for a refusal":                    "faults/500_before_it_was_carried_out",
		"is sure of success":                         "faults/503",
		"goes on after 401":                          "faults/401",
		"follows to another host":                    "faults/redirect_to_another_host",
		"tells secrets":                              "faults/403",
		"reads all of a huge answer":                 "faults/huge",
		"does not heed the context":                  "faults/hangs_before_it_was_carried_out",
		"writes item by item, and forgets the first": "create,_update,_repeat",
		"finds every account good":                   "check",
		"lists the first page":                       "list",
		"finds nothing":                              "find",
		"takes its time":                             "10,000_skills",
		"takes nothing for an empty list":            "answers_to_a_list_that_say_nothing",
		"lists a page again and again":               "a_list_that_stands_still",
	})
	caught(t, "TestJobToy", map[string]string{
		"knows its own jobs only":                         "a_job",
		"has receipts that nobody can keep":               "a_job",
		"takes a job that goes on for one that has ended": "a_job",
		"tells of a job that goes on":                     "a_job",
		"tells what nobody asked for":                     "a_job",
		"takes a failed job for a good one":               "a_job_that_fails",
		"takes lost results for refusals":                 "a_job_that_loses_its_results",
		"takes a forgotten job for none":                  "a_job_that_is_forgotten",
		"cannot wait":                                     "a_job_that_never_ends",
		"takes any job for its own":                       "a_job_whose_receipt_is_lost",
		"takes an old job for its own":                    "a_job_whose_receipt_is_lost",
		"does not find its job":                           "faults_of_jobs",
		"starts a job again":                              "faults_of_jobs",
		"takes silence for no job":                        "faults_of_jobs",
	})
}

// caught runs the suite on connectors that do one thing wrong each, in processes of their own.
func caught(t *testing.T, suite string, by map[string]string) {
	t.Helper()
	for wrong, caughtBy := range by {
		t.Run(wrong, func(t *testing.T) {
			t.Parallel()
			pattern := "^" + suite + "$"
			for part := range strings.SplitSeq(caughtBy, "/") {
				pattern += "/^" + part + "$"
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			command := exec.CommandContext(ctx, os.Args[0], "-test.run", pattern, "-test.v")
			command.Env = append(os.Environ(), wrongVariable+"="+wrong)
			out, err := command.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: "+suite+"/"+caughtBy)) && !bytes.Contains(out, []byte("deadlock")) {
				t.Errorf("%q was not caught by %s: %v\n%s", wrong, caughtBy, err, out)
			}
		})
	}
}
