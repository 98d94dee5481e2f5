package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// jobTool is the sandbox as a tool that takes jobs: it outlives the processes that write to it. Skills that are retired go
// by jobs of their own.
type jobTool struct {
	inner connector.Connector
	// takes is how long a job takes.
	takes time.Duration
	// fate has a say in what becomes of a request, by its number among those of its kind, from 1 on; nil: nothing special.
	fate func(op string, n int) fate
	// inOrder: jobs are carried out one after another.
	inOrder bool
	// polled is told of every question.
	polled func(receipt string)

	group   sync.WaitGroup // jobs that run
	mu      sync.Mutex
	jobs    []*remoteJob
	asked   map[string]int // requests of each kind
	polls   []time.Time
	running int
	most    int // that were running at once
}

type remoteJob struct {
	id      string
	retires bool
	began   time.Time
	skills  []connector.Skill
	ended   bool
	results []connector.Result
	err     *connector.Error
	fate    fate

	before, over chan struct{} // the end of the job before, and its own
}

// fate is what becomes of a request.
type fate struct {
	err    *connector.Error // instead of an answer
	undone bool             // with err: it was not carried out
	// of the job that it starts:
	endless, forgotten, mute bool
}

func newJobTool(f *fixture) *jobTool {
	j := &jobTool{inner: sandbox.New(f.store.Sandbox()), takes: 3 * time.Second, asked: map[string]int{}}
	f.rest = j.group.Wait
	return j
}

// as is the tool as a process reaches it; m may be nil.
func (j *jobTool) as(m *mortal) connector.Connector { return jobConnector{j.inner, j, m} }

// sent is how often each skill was in a job.
func (j *jobTool) sent() map[string]int {
	j.mu.Lock()
	defer j.mu.Unlock()
	sent := map[string]int{}
	for _, job := range j.jobs {
		for _, s := range job.skills {
			sent[s.OriginID]++
		}
	}
	return sent
}

func (j *jobTool) size() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.jobs)
}

type jobConnector struct {
	connector.Connector
	tool *jobTool
	m    *mortal
}

func (c jobConnector) Open(account connector.Account) (connector.Session, error) {
	s, err := c.Connector.Open(account)
	var set struct {
		RefuseCredentials bool `json:"refuse_credentials"`
	}
	if err == nil {
		err = json.Unmarshal(account.Settings, &set)
	}
	return &jobSession{s, c.tool, c.m, set.RefuseCredentials}, err
}

type jobSession struct {
	connector.Session
	tool *jobTool
	m    *mortal
	// stranger: the tool does not accept the credentials, and takes no job.
	stranger bool
}

var _ connector.Jobs = (*jobSession)(nil)

func (*jobSession) Write(context.Context, []connector.Skill) ([]connector.Result, error) {
	return nil, connector.Errorf(connector.Unsupported, "this tool takes jobs alone")
}

// reach lets a request pass, or not.
func (s *jobSession) reach(op string) (f fate, done func(error) error, err error) {
	done = func(err error) error { return err }
	if s.m != nil {
		if err := s.m.begin(op); err != nil {
			return fate{}, done, err
		}
		done = func(err error) error { return s.m.done(op, err) }
	}
	s.tool.mu.Lock()
	s.tool.asked[op]++
	n, fated := s.tool.asked[op], s.tool.fate
	s.tool.mu.Unlock()
	if fated != nil {
		f = fated(op, n)
	}
	return f, done, nil
}

func (s *jobSession) Start(ctx context.Context, skills []connector.Skill) (connector.Started, error) {
	if s.m != nil {
		s.m.asks.pass()
	}
	if err := connector.MaySend(ctx); err != nil {
		return connector.Started{}, &connector.Error{Kind: connector.Away, Err: err}
	}
	if s.m != nil {
		s.m.writes.pass() // it is on its way, whatever becomes of the process
	}
	f, done, err := s.reach("start")
	if err != nil {
		return connector.Started{}, err
	}
	if s.stranger {
		return connector.Started{}, done(connector.Errorf(connector.Credentials, "Invalid token"))
	}
	if f.undone {
		return connector.Started{}, done(f.err)
	}
	receipt, refused := s.tool.start(s.Session, skills, f)
	if f.err != nil {
		return connector.Started{}, done(f.err)
	}
	if refused != nil {
		return connector.Started{}, done(refused)
	}
	return connector.Started{Receipt: receipt}, done(nil)
}

// refusing is a name with which no job is taken.
const refusingName = "no job"

func (j *jobTool) start(inner connector.Session, skills []connector.Skill, f fate) (string, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.running >= inner.Limits().Concurrency {
		return "", connector.Errorf(connector.Throttled, "too many jobs at once")
	}
	job := &remoteJob{id: fmt.Sprint("job/", len(j.jobs)+1), began: time.Now(), retires: !skills[0].Active, fate: f}
	for _, s := range skills {
		if s.Active == !job.retires {
			job.skills = append(job.skills, s)
			if s.Name == refusingName {
				return "", connector.Errorf(connector.Refused, "no job with such a name")
			}
		}
	}
	if job.over = make(chan struct{}); j.inOrder {
		for _, b := range slices.Backward(j.jobs) {
			if !b.fate.endless {
				job.before = b.over
				break
			}
		}
	}
	j.jobs = append(j.jobs, job)
	j.running++
	j.most = max(j.most, j.running)
	if f.endless {
		return job.id, nil
	}
	takes := j.takes
	j.group.Go(func() {
		wait(takes)
		if job.before != nil {
			<-job.before
		}
		defer close(job.over)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		results, err := inner.Write(ctx, job.skills)
		j.mu.Lock()
		defer j.mu.Unlock()
		job.results, job.err, job.ended = results, connector.AsError(err), true
		j.running--
	})
	return job.id, nil
}

func (s *jobSession) Poll(_ context.Context, receipt string, skills []connector.Skill) (connector.JobState, error) {
	f, done, err := s.reach("poll")
	if err != nil {
		return connector.JobState{}, err
	}
	if f.err != nil {
		return connector.JobState{}, done(f.err)
	}
	s.tool.mu.Lock()
	defer s.tool.mu.Unlock()
	s.tool.polls = append(s.tool.polls, time.Now())
	if s.tool.polled != nil {
		s.tool.polled(receipt)
	}
	at := slices.IndexFunc(s.tool.jobs, func(j *remoteJob) bool { return j.id == receipt })
	if at < 0 || s.tool.jobs[at].fate.forgotten {
		return connector.JobState{Ended: true, Err: connector.Errorf(connector.Ambiguous, "there is no such job")}, done(nil)
	}
	job := s.tool.jobs[at]
	if !job.ended {
		return connector.JobState{}, done(nil)
	}
	state := connector.JobState{Ended: true, Results: slices.Clone(job.results), Err: job.err}
	if job.fate.mute {
		state = connector.JobState{Ended: true, Err: connector.Errorf(connector.Ambiguous, "the results are lost")}
	}
	for _, sk := range skills {
		if sk.Active == job.retires {
			state.Apart = append(state.Apart, sk.OriginID)
		}
	}
	return state, done(nil)
}

func (s *jobSession) Recover(_ context.Context, skills []connector.Skill, ago time.Duration) (string, error) {
	f, done, err := s.reach("recover")
	if err != nil {
		return "", err
	}
	if f.err != nil {
		return "", done(f.err)
	}
	s.tool.mu.Lock()
	defer s.tool.mu.Unlock()
	for _, job := range slices.Backward(s.tool.jobs) {
		if time.Since(job.began) <= ago && job.retires == !skills[0].Active && job.skills[0].OriginID == skills[0].OriginID && job.skills[0].Name == skills[0].Name {
			return job.id, done(nil)
		}
	}
	return "", done(nil)
}

// receipts is a store that notes which receipts are on disk.
type receipts struct {
	engineStore
	mu    sync.Mutex
	known map[string]bool
}

func (n *receipts) Advance(ctx context.Context, lease store.Lease, step store.Step) (store.Next, error) {
	next, err := n.engineStore.Advance(ctx, lease, step)
	if err == nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, r := range step.Receipts {
			n.known[r.Text] = true
		}
	}
	return next, err
}

// mortalOn starts an engine that may die, on a tool of jobs.
func (f *fixture) mortalOn(tool *jobTool) *mortal {
	m := &mortal{Store: deaf{f.store}}
	f.around = func(engineStore) engineStore { return m }
	f.tools = []connector.Connector{tool.as(m)}
	f.start(jobSettings())
	return m
}

// fails makes the requests of a kind fail, from the nth on, so many of them.
func fails(kind string, from, so int, f fate) func(string, int) fate {
	return func(op string, n int) fate {
		if op == kind && n >= from && n < from+so {
			return f
		}
		return fate{}
	}
}

func (j *jobTool) onceEach(t *testing.T, n int) {
	t.Helper()
	sent := j.sent()
	for id, times := range sent {
		if times != 1 {
			t.Errorf("%s was in %d jobs", id, times)
		}
	}
	if len(sent) != n {
		t.Errorf("%d skills were in jobs, want %d", len(sent), n)
	}
}
