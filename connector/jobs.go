package connector

import (
	"context"
	"time"
)

// Jobs is a Session whose tool takes a batch as a job of its own: it answers at once with something to ask by, works the
// batch off in its own time, and tells the results when it is asked again. The engine calls these methods and not Write. It
// keeps the receipt on disk before it polls, so that any process goes on from there; it decides when to poll, keeps at most
// Limits.Concurrency jobs under way, and gives up one that does not end. Write does the same in one go, with WriteByJobs.
//
// An error of Poll or Recover says nothing about the skills: the engine asks again later, unless the kind says that it
// should not (Credentials, Permission).
type Jobs interface {
	Session
	// Start makes one attempt to have the tool take a job for skills, at most Limits.Batch, in one request that changes
	// something. Its error is that of Write: only Ambiguous leaves open whether there is a job now, and Refused says that
	// the tool will not take a job with one of these skills in it.
	Start(ctx context.Context, skills []Skill) (Started, error)
	// Poll asks once what has become of a job. It may be asked by any session of the account, and again after the job has
	// ended. The skills are those that the job was started with, in their order, but for those whose end is known.
	Poll(ctx context.Context, receipt string, skills []Skill) (JobState, error)
	// Recover looks for a job whose receipt was lost: the tool may have taken it for these skills no longer than ago, as if
	// by Start. It returns its receipt, or none when there is no such job. A job that is not certainly the one must not be
	// taken for it; a receipt may stand for several of which one can be, as long as Poll gives results of that one alone.
	Recover(ctx context.Context, skills []Skill, ago time.Duration) (receipt string, err error)
}

// Started is what came of Jobs.Start.
type Started struct {
	// Receipt is what the job is asked after by, for every session of the account: text of at most MostReceipt bytes. Empty:
	// no job was needed, or possible, for any skill without a result.
	Receipt string
	// Results of skills that need no job, or that no job could help.
	Results []Result
}

// MostReceipt is how long a receipt may be.
const MostReceipt = 4 << 10

// JobState is what has become of a job.
type JobState struct {
	// Ended: the tool does nothing more for this job. Until then the rest is empty.
	Ended bool
	// Results of the job's skills, in any order.
	Results []Result
	// Apart are origin ids of skills that the job did not hold, for instance since the tool retires skills by jobs of
	// another kind. They are as they were, and want a job of their own.
	Apart []string
	// Err says what holds of skills that are in neither, as an error of Write; nil is Ambiguous if there are any. A job that
	// the tool does not know any more, or of which it has no results, is Ambiguous.
	Err *Error
	// AskIn is how long the tool wants to be left alone about a job that goes on; 0: it did not say.
	AskIn time.Duration
}

// The pauses between two polls of a job.
const (
	leastPause = time.Second
	mostPause  = 30 * time.Second
)

// PollPause is how long to wait before a job is asked after again that has been going on for a while: as long again, so that
// the pauses double, within bounds.
func PollPause(age time.Duration) time.Duration { return min(max(age, leastPause), mostPause) }

// WriteByJobs is Write by jobs: it starts as many as it takes, one after another, and waits for each until ctx ends.
func WriteByJobs(ctx context.Context, s Jobs, skills []Skill) ([]Result, error) {
	var results []Result
	for rest := skills; len(rest) > 0; {
		started, err := s.Start(ctx, rest)
		results = append(results, started.Results...)
		if err != nil {
			return results, err
		}
		if rest = without(rest, ids(started.Results)); started.Receipt == "" || len(rest) == 0 {
			if len(rest) > 0 {
				return results, Errorf(Ambiguous, "no job was started for %d skills", len(rest))
			}
			break
		}
		state, err := waitFor(ctx, s, started.Receipt, rest)
		if err != nil {
			return results, err
		}
		results = append(results, state.Results...)
		left := without(rest, ids(state.Results))
		lost := without(left, set(state.Apart))
		switch {
		case len(lost) > 0 && state.Err != nil:
			return results, state.Err
		case len(lost) > 0 || len(left) == len(rest):
			return results, Errorf(Ambiguous, "the job's results say nothing of %d skills", len(left))
		}
		rest = left
	}
	return results, nil
}

func set(ids []string) map[string]bool {
	set := make(map[string]bool, len(ids))
	for _, id := range ids {
		set[id] = true
	}
	return set
}

func ids(results []Result) map[string]bool {
	set := make(map[string]bool, len(results))
	for _, r := range results {
		set[r.OriginID] = true
	}
	return set
}

func without(skills []Skill, known map[string]bool) []Skill {
	rest := make([]Skill, 0, len(skills))
	for _, sk := range skills {
		if !known[sk.OriginID] {
			rest = append(rest, sk)
		}
	}
	return rest
}

// waitFor polls until a job has ended. When it cannot be seen to its end, nobody knows what becomes of the skills.
func waitFor(ctx context.Context, s Jobs, receipt string, skills []Skill) (JobState, error) {
	began := time.Now()
	for pause := PollPause(0); ; {
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return JobState{}, &Error{Kind: Ambiguous, Message: "the tool's job did not end in time", Err: context.Cause(ctx)}
		}
		state, err := s.Poll(ctx, receipt, skills)
		if e := AsError(err); e != nil {
			return JobState{}, &Error{Kind: Ambiguous, Message: e.Message, RetryAfter: e.RetryAfter, Err: e}
		}
		if state.Ended {
			return state, nil
		}
		pause = max(PollPause(time.Since(began)), state.AskIn)
	}
}
