// Package queue carries background jobs through River, in the same database as the data, so that a job and the rows it
// is about are committed together. There are two kinds: the wake-up of a drain for other processes, and retention.
package queue

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/rivermigrate"
)

// Drain asks for an integration to be drained. Working it twice, late or never is harmless: the drains table says what
// there is to do, this only says it sooner. So it is never unique (River's unique states include running, and a job left
// running by a crash would block the next) and its attempts are few.
type Drain struct {
	Integration string `json:"integration"`
}

// Kind implements river.JobArgs.
func (Drain) Kind() string { return "drain" }

// Retain asks for what is too old to be removed. The leader of all processes adds one every so often; it is unique within
// that period alone, so one that a crash left running blocks nothing for longer.
type Retain struct{}

// Kind implements river.JobArgs.
func (Retain) Kind() string { return "retain" }

// Queue is River with this project's job kinds.
type Queue[TTx any] struct {
	client *river.Client[TTx]
	jobs   *Jobs
	log    *slog.Logger
}

// Jobs are what is done for the queue.
type Jobs struct {
	Drain func(ctx context.Context, integrationID string) error
	// Retain may be nil: then this process neither asks for it nor does it.
	Retain      func(ctx context.Context) error
	RetainEvery time.Duration
}

type drainWorker struct {
	river.WorkerDefaults[Drain]
	*Jobs
}

func (w *drainWorker) Work(ctx context.Context, job *river.Job[Drain]) error {
	return w.Drain(ctx, job.Args.Integration)
}

type retainWorker struct {
	river.WorkerDefaults[Retain]
	*Jobs
}

func (w *retainWorker) Work(ctx context.Context, _ *river.Job[Retain]) error {
	if w.Retain == nil {
		return nil // the next period's job finds another process
	}
	return w.Retain(ctx)
}

// Options of a Queue.
type Options struct {
	Logger *slog.Logger
	// PollEvery is how often the database is asked for jobs where it cannot notify.
	PollEvery time.Duration
	// PollOnly is for a database that cannot notify.
	PollOnly bool
}

// Migrate brings River's own tables up to date; tables of a newer River than this program's are refused. It costs a few
// reads when there is nothing to do.
func Migrate[TTx any](ctx context.Context, driver riverdriver.Driver[TTx], logger *slog.Logger) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet(logger)})
	if err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	// Migrating up looks at what is missing only.
	applied, err := driver.GetExecutor().MigrationGetByLine(ctx, &riverdriver.MigrationGetByLineParams{Line: riverdriver.MigrationLineMain})
	if err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	for _, m := range applied {
		if _, err := migrator.GetVersion(m.Version); err != nil {
			return fmt.Errorf("the queue's tables are at version %d, which this program does not know: run the newer program", m.Version)
		}
	}
	return nil
}

// New prepares the queue. Jobs can be inserted at once; they are worked while Run runs.
func New[TTx any](driver riverdriver.Driver[TTx], opts Options) (*Queue[TTx], error) {
	jobs := &Jobs{}
	workers := river.NewWorkers()
	river.AddWorker(workers, &drainWorker{Jobs: jobs})
	river.AddWorker(workers, &retainWorker{Jobs: jobs})
	client, err := river.NewClient(driver, &river.Config{
		Logger:            quiet(opts.Logger),
		Workers:           workers,
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 8}},
		PollOnly:          opts.PollOnly,
		FetchPollInterval: opts.PollEvery,
		JobTimeout:        -1, // ours is bounded by itself; River's rescue is not what correctness rests on
		MaxAttempts:       3,
		// A wake-up that was worked is of no interest to anybody.
		CompletedJobRetentionPeriod: time.Minute,
		// The tables are small, and never bloat on an embedded database.
		ReindexerSchedule: never{},
	})
	if err != nil {
		return nil, fmt.Errorf("open queue: %w", err)
	}
	return &Queue[TTx]{client: client, jobs: jobs, log: opts.Logger}, nil
}

// InsertDrain adds a wake-up to a transaction.
func (q *Queue[TTx]) InsertDrain(ctx context.Context, tx TTx, integrationID string) error {
	if _, err := q.client.InsertTx(ctx, tx, Drain{Integration: integrationID}, nil); err != nil {
		return fmt.Errorf("queue a drain: %w", err)
	}
	return nil
}

// startAgain is how long after a start that failed, for want of the database, the next one is tried.
const startAgain = time.Second

// Run does jobs until ctx ends, and as soon as the database is there. It is called once.
func (q *Queue[TTx]) Run(ctx context.Context, jobs Jobs) error {
	*q.jobs = jobs
	if jobs.Retain != nil {
		options := &river.InsertOpts{
			MaxAttempts: 1, // the next period's will do
			UniqueOpts:  river.UniqueOpts{ByPeriod: max(jobs.RetainEvery, time.Second)},
		}
		if _, err := q.client.PeriodicJobs().AddSafely(river.NewPeriodicJob(
			river.PeriodicInterval(jobs.RetainEvery),
			func() (river.JobArgs, *river.InsertOpts) { return Retain{}, options },
			// A process that is started anew more often than that would never come to it.
			&river.PeriodicJobOpts{RunOnStart: true},
		)); err != nil {
			return fmt.Errorf("start queue: %w", err)
		}
	}
	// River stops when the context it was started with ends, but then cuts jobs off; Stop lets them end.
	for failing := false; ; failing = true {
		err := q.client.Start(context.WithoutCancel(ctx))
		if err == nil {
			break
		}
		if !failing {
			q.log.Warn("the queue could not start; it is tried again until it can", "error", err)
		}
		select {
		case <-time.After(startAgain):
		case <-ctx.Done():
			return nil
		}
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := q.client.StopAndCancel(stop); err != nil {
		// Nothing rests on it: jobs are there for the next process.
		q.log.Warn("the queue did not stop in time", "error", err)
	}
	return nil
}

// quiet lets warnings and errors through: what River tells besides is about itself.
func quiet(logger *slog.Logger) *slog.Logger { return slog.New(warnings{logger.Handler()}) }

type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

func (w warnings) WithAttrs(attrs []slog.Attr) slog.Handler {
	return warnings{w.Handler.WithAttrs(attrs)}
}

func (w warnings) WithGroup(name string) slog.Handler { return warnings{w.Handler.WithGroup(name)} }

type never struct{}

func (never) Next(now time.Time) time.Time { return now.Add(math.MaxInt64) }
