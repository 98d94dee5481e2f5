package connectortest_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// jobToy is the toy for those who have a lot to write: it takes items as a job, and works that off a while later.
type jobToy struct {
	*toy
	situation connectortest.Situation
	jobs      []*toyJob
}

type toyJob struct {
	ID      string
	Items   []toyItem
	Started time.Time

	first   bool
	done    bool
	results []toyResult
}

// toyJobState is what the tool tells of a job. Results are null while there are none.
type toyJobState struct {
	State   string // running, done, failed
	Results []toyResult
}

// jobTakes is how long the tool works on a job.
const jobTakes = 3 * time.Second

func (x *jobToy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	x.work()
	x.mu.Unlock()
	if !strings.HasPrefix(r.URL.Path, "/jobs") {
		x.toy.ServeHTTP(w, r)
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+x.token {
		x.t.Errorf("authorization %q", r.Header.Get("Authorization"))
	}
	w.Header().Set("Content-Type", "application/json")
	switch r.Method + " " + r.URL.Path {
	case "POST /jobs":
		j := &toyJob{ID: fmt.Sprintf("job-%d-x", len(x.jobs)+1), Started: time.Now(), first: len(x.jobs) == 0}
		connectortest.Decode(x.t, r, &j.Items)
		if x.batch && slices.ContainsFunc(j.Items, func(i toyItem) bool { return i.Name == x.refuse }) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			return
		}
		x.jobs = append(x.jobs, j)
		x.say(w, map[string]string{"ID": j.ID})
	case "GET /jobs":
		x.say(w, x.jobs)
	default:
		at := slices.IndexFunc(x.jobs, func(j *toyJob) bool { return r.URL.Path == "/jobs/"+j.ID })
		if at < 0 || x.jobs[at].first && x.jobs[at].done && x.situation == connectortest.JobForgotten {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		x.say(w, x.state(x.jobs[at]))
	}
}

func (x *jobToy) state(j *toyJob) toyJobState {
	switch {
	case !j.done:
		return toyJobState{State: "running"}
	case j.first && x.situation == connectortest.JobFails:
		return toyJobState{State: "failed"}
	case j.first && x.situation == connectortest.JobLosesResults:
		return toyJobState{State: "done"}
	}
	return toyJobState{State: "done", Results: j.results}
}

// work works off what is due.
func (x *jobToy) work() {
	for _, j := range x.jobs {
		if j.done || time.Since(j.Started) < jobTakes || x.situation == connectortest.JobNeverEnds {
			continue
		}
		j.done = true
		if j.first && x.situation == connectortest.JobFails {
			continue
		}
		j.results = []toyResult{}
		for _, i := range j.Items {
			if x.refuse != "" && i.Name == x.refuse {
				j.results = append(j.results, toyResult{External: i.External, Error: "no such word"})
				continue
			}
			j.results = append(j.results, toyResult{External: i.External, ID: x.write(i)})
		}
	}
}

// jobConnector writes by jobs, and does everything right, but for what wrong names.
type jobConnector struct{ toyConnector }

// Describe says that its jobs know no ids of the tool's.
func (c jobConnector) Describe() connector.Description {
	d := c.toyConnector.Describe()
	d.Capabilities = slices.DeleteFunc(d.Capabilities, func(can connector.Capability) bool { return can == connector.CanTake })
	return d
}

func (c jobConnector) Open(account connector.Account) (connector.Session, error) {
	s, err := c.toyConnector.Open(account)
	if err != nil {
		return nil, err
	}
	return &jobSession{toySession: s.(*toySession)}, nil
}

type jobSession struct {
	*toySession
	mine sync.Map // of receipts
}

func (s *jobSession) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	return connector.WriteByJobs(ctx, s, skills)
}

func (s *jobSession) items(skills []connector.Skill) []toyItem {
	items := make([]toyItem, len(skills))
	for i, sk := range skills {
		items[i] = toyItem{sk.OriginID, sk.Name, sk.Active, sk.Adopt, ""}
	}
	return items
}

func (s *jobSession) Start(ctx context.Context, skills []connector.Skill) (connector.Started, error) {
	if skills[0].Taken {
		return connector.Started{Results: []connector.Result{{OriginID: skills[0].OriginID, Err: connector.Errorf(connector.Unsupported, "people made it")}}}, nil
	}
	var started struct{ ID string }
	post := func() error {
		answer, err := s.api.Send(ctx, rest.Request{Method: "POST", Path: "/jobs", Body: s.items(skills), Changes: true})
		if err != nil {
			return err
		}
		if !answer.OK() {
			return answer.Problem(string(answer.Body))
		}
		return answer.JSON(&started)
	}
	err := post()
	if e := connector.AsError(err); e != nil && e.Kind == connector.Ambiguous {
		switch s.wrong {
		case "starts a job again":
			err = post()
		case "takes silence for no job":
			e.Kind = connector.Away
		}
	}
	if err != nil {
		return connector.Started{}, err
	}
	s.mine.Store(started.ID, nil)
	if s.wrong == "has receipts that nobody can keep" {
		started.ID += strings.Repeat(" ", connector.MostReceipt)
	}
	return connector.Started{Receipt: started.ID}, nil
}

func (s *jobSession) Poll(ctx context.Context, receipt string, skills []connector.Skill) (connector.JobState, error) {
	gone := connector.JobState{Ended: true, Err: connector.Errorf(connector.Ambiguous, "the job is not known any more")}
	if _, mine := s.mine.Load(receipt); !mine && s.wrong == "knows its own jobs only" {
		return gone, nil
	}
	answer, err := s.api.Send(ctx, rest.Request{Method: "GET", Path: "/jobs/" + receipt})
	switch {
	case err != nil:
		return connector.JobState{}, err
	case answer.Status == http.StatusNotFound:
		if s.wrong == "takes a forgotten job for none" {
			gone.Err.Kind = connector.Away
		}
		return gone, nil
	case !answer.OK():
		return connector.JobState{}, answer.Problem(string(answer.Body))
	}
	var job toyJobState
	if err := answer.JSON(&job); err != nil {
		return connector.JobState{}, err
	}
	return s.judge(job, skills)
}

// judge says what holds of a job that the tool knows.
func (s *jobSession) judge(job toyJobState, skills []connector.Skill) (connector.JobState, error) {
	state := connector.JobState{Ended: job.State != "running"}
	switch {
	case !state.Ended && s.wrong == "takes a job that goes on for one that has ended":
		state.Ended = true
	case !state.Ended && s.wrong == "tells of a job that goes on":
		state.Apart = []string{skills[0].OriginID}
	case !state.Ended && s.wrong == "cannot wait":
		return state, connector.Errorf(connector.Unexpected, "the job goes on")
	case !state.Ended:
	case job.State == "failed" && s.wrong == "takes a failed job for a good one":
		for _, sk := range skills {
			state.Results = append(state.Results, connector.Result{OriginID: sk.OriginID, RemoteID: "T0"})
		}
	case job.State == "failed":
		state.Err = connector.Errorf(connector.Unexpected, "the job failed")
	case job.Results == nil && s.wrong == "takes lost results for refusals":
		state.Err = connector.Errorf(connector.Refused, "no results")
	case job.Results == nil:
		state.Err = connector.Errorf(connector.Ambiguous, "the job has no results")
	}
	for _, r := range job.Results {
		asked := slices.ContainsFunc(skills, func(sk connector.Skill) bool { return sk.OriginID == r.External })
		if !asked && s.wrong != "tells what nobody asked for" {
			continue
		}
		result := connector.Result{OriginID: r.External, RemoteID: r.ID}
		if r.Error != "" {
			result.Err = connector.Errorf(connector.Refused, "%s", r.Error)
		}
		state.Results = append(state.Results, result)
	}
	return state, nil
}

func (s *jobSession) Recover(ctx context.Context, skills []connector.Skill, ago time.Duration) (string, error) {
	var jobs []toyJob
	if err := s.send(ctx, "GET", "/jobs", nil, &jobs); err != nil {
		return "", err
	}
	items := s.items(skills)
	for _, j := range slices.Backward(jobs) {
		ours, old := slices.Equal(j.Items, items), time.Since(j.Started) > ago
		switch s.wrong {
		case "takes any job for its own":
			ours = true
		case "takes an old job for its own":
			old = false
		case "does not find its job":
			ours = false
		}
		if ours && !old {
			return j.ID, nil
		}
	}
	return "", nil
}

func TestJobToy(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{
		Connector: jobConnector{toyConnector{os.Getenv(wrongVariable)}},
		HTTP:      true,
		NewAccount: func(t *testing.T, s connectortest.Situation) (connectortest.Account, bool) {
			x := &jobToy{toy: &toy{t: t, at: map[string]int{}, token: "s3cret/of+the toy"}, situation: s}
			switch s {
			case connectortest.Normal, connectortest.JobFails, connectortest.JobNeverEnds, connectortest.JobLosesResults, connectortest.JobForgotten:
			case connectortest.RefusesOne:
				x.refuse = connectortest.RefusedName
			case connectortest.RefusesBatch:
				x.refuse, x.batch = connectortest.RefusedName, true
			default:
				return connectortest.Account{}, false
			}
			account := x.account(x.token)
			account.Tool = x
			records := account.Records
			account.Records = func(t *testing.T) []connector.Record {
				x.mu.Lock()
				x.work()
				x.mu.Unlock()
				return records(t)
			}
			account.Relax = func(*testing.T) connector.Account {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.refuse, x.situation = "", connectortest.Normal
				return account.Account
			}
			return account, true
		},
		BadSettings: map[string]string{`{}`: "token"},
	})
}
