// Package queue carries background jobs through River, in the same database as the data, so that a job and the rows it
// is about are committed together. So far there is one kind: the wake-up of a drain for other processes.
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

// Queue is River with this project's job kinds.
type Queue[TTx any] struct {
	client *river.Client[TTx]
	worker *drainWorker
}

type drainWorker struct {
	river.WorkerDefaults[Drain]
	wake func(ctx context.Context, integrationID string) error
}

func (w *drainWorker) Work(ctx context.Context, job *river.Job[Drain]) error {
	return w.wake(ctx, job.Args.Integration)
}

// Options of a Queue.
type Options struct {
	Logger *slog.Logger
	// PollEvery is how often the database is asked for jobs where it cannot notify.
	PollEvery time.Duration
	// PollOnly is for a database that cannot notify.
	PollOnly bool
}

// Migrate brings River's own tables up to date.
func Migrate[TTx any](ctx context.Context, driver riverdriver.Driver[TTx], logger *slog.Logger) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: quiet(logger)})
	if err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return fmt.Errorf("migrate queue: %w", err)
	}
	return nil
}

// New prepares the queue. Jobs can be inserted at once; they are worked while Run runs.
func New[TTx any](driver riverdriver.Driver[TTx], opts Options) (*Queue[TTx], error) {
	worker := &drainWorker{}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
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
	return &Queue[TTx]{client: client, worker: worker}, nil
}

// InsertDrain adds a wake-up to a transaction.
func (q *Queue[TTx]) InsertDrain(ctx context.Context, tx TTx, integrationID string) error {
	if _, err := q.client.InsertTx(ctx, tx, Drain{Integration: integrationID}, nil); err != nil {
		return fmt.Errorf("queue a drain: %w", err)
	}
	return nil
}

// Run hands wake-ups to wake until ctx ends.
func (q *Queue[TTx]) Run(ctx context.Context, wake func(ctx context.Context, integrationID string) error) error {
	q.worker.wake = wake
	// River stops when the context it was started with ends, but then cuts jobs off; Stop lets them end.
	if err := q.client.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start queue: %w", err)
	}
	<-ctx.Done()
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := q.client.StopAndCancel(stop); err != nil {
		return fmt.Errorf("stop queue: %w", err)
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
