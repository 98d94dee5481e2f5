package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// Claim implements store.Drains.
func (s *Store) Claim(ctx context.Context, c store.Claim) (lease store.Lease, next store.Next, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.ClaimableDrain(ctx, dbq.ClaimableDrainParams{ID: c.IntegrationID, Now: tx.now, Force: c.Force})
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(store.ErrIdle)
		}
		if err != nil {
			return err
		}
		lease, next, err = tx.claim(ctx, row, c)
		return err
	})
	if err != nil {
		return store.Lease{}, store.Next{}, fmt.Errorf("claim %s: %w", c.IntegrationID, err)
	}
	return lease, next, nil
}

// claim takes the lease of a drain that may be claimed.
func (tx *transaction) claim(ctx context.Context, row dbq.ClaimableDrainRow, c store.Claim) (store.Lease, store.Next, error) {
	in := row.Integration
	lease := store.Lease{
		Ref: in.Seq, Owner: c.Owner, Epoch: row.Epoch + 1, Integration: integration(in), Stolen: row.Owner.Valid,
	}
	if err := tx.ClaimDrain(ctx, dbq.ClaimDrainParams{
		Integration: in.Seq, Owner: nullText(c.Owner), Until: tx.now + c.TTL.Milliseconds(),
	}); err != nil {
		return lease, store.Next{}, err
	}
	if err := tx.abandonIntents(ctx, in.Seq); err != nil {
		return lease, store.Next{}, err
	}
	next, err := tx.next(ctx, lease, standing{
		State:    stateOf(in.Enabled, in.DeletedAt, in.InvalidReason, in.SettingsVersion),
		resumeAt: row.ResumeAt, pacedUntil: row.PacedUntil, failures: row.Failures,
	}, c.OpenUpTo)
	return lease, next, err
}

// abandonIntents deals with what an earlier drain had on its way when it ended: every item without an outcome may have
// reached the tool.
func (tx *transaction) abandonIntents(ctx context.Context, integration int64) error {
	intents, err := tx.OpenIntents(ctx, integration)
	if err != nil || len(intents) == 0 {
		return err
	}
	var unsure []store.SkillUnsure
	for _, in := range intents {
		if err := tx.TouchTask(ctx, in.Task); err != nil {
			return err
		}
		settled := make(map[int64]bool)
		outcomes, err := tx.Outcomes(ctx, in.Task)
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			decoded, err := skill.DecodeOutcomes(o.Block)
			if err != nil {
				return err
			}
			for i := range decoded {
				settled[o.Start+int64(i)] = true
			}
		}
		for at := in.Start; at < in.Stop; {
			start, items, err := tx.itemBlock(ctx, in.Task, at)
			if err != nil {
				return err
			}
			if len(items) == 0 {
				break
			}
			for ; at < in.Stop && at < start+int64(len(items)); at++ {
				if settled[at] {
					continue
				}
				unsure = append(unsure, store.SkillUnsure{Item: items[at-start]})
			}
		}
	}
	if err := tx.markUnsure(ctx, integration, unsure); err != nil {
		return err
	}
	return tx.CloseOpenIntents(ctx, integration)
}

func (tx *transaction) itemBlock(ctx context.Context, task, position int64) (start int64, items []skill.Item, err error) {
	return itemBlock(ctx, tx.Queries, task, position)
}

// itemBlock reads the block that holds a position; no items when there is none.
func itemBlock(ctx context.Context, q *dbq.Queries, task, position int64) (start int64, items []skill.Item, err error) {
	row, err := q.ItemsFrom(ctx, dbq.ItemsFromParams{Task: task, Position: position})
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	block, err := store.Unpack(row.Block)
	if err == nil {
		items, err = skill.DecodeItems(block)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("task %d, items from %d: %w", task, row.Start, err)
	}
	if position >= row.Start+int64(len(items)) {
		return 0, nil, nil
	}
	return row.Start, items, nil
}

// standing is how a drain's integration stands.
type standing struct {
	store.State
	resumeAt, pacedUntil, failures int64
}

// plain is what every drain is told, whatever it does next.
func (tx *transaction) plain(st standing) store.Next {
	left := func(moment int64) time.Duration { return time.Duration(max(0, moment-tx.now)) * time.Millisecond }
	return store.Next{
		Now: fromMillis(tx.now), State: st.State, Hold: left(st.resumeAt), Failures: int(st.failures), Paced: left(st.pacedUntil),
	}
}

// next finds what to do next, and gives the lease back when there is nothing.
func (tx *transaction) next(ctx context.Context, lease store.Lease, st standing, openUpTo int) (store.Next, error) {
	next, state := tx.plain(st), st.State
	row, err := tx.OldestTask(ctx, lease.Ref)
	if !state.Enabled && !state.Deleted {
		// Paused: only what is past its deadline is ended.
		var overdue dbq.OldestOverdueTaskRow
		overdue, err = tx.OldestOverdueTask(ctx, dbq.OldestOverdueTaskParams{Integration: lease.Ref, Now: tx.now})
		row = dbq.OldestTaskRow(overdue)
	}
	if errors.Is(err, sql.ErrNoRows) {
		left, err := tx.AnyPendingTask(ctx, lease.Ref)
		if err != nil {
			return store.Next{}, err
		}
		return next, tx.ReleaseDrain(ctx, dbq.ReleaseDrainParams{Integration: lease.Ref, Wanted: flag(left)})
	}
	if err != nil {
		return store.Next{}, err
	}
	next.Task = &store.DrainTask{
		Task:     skill.Task{ID: row.ID, CreatedAt: fromMillis(row.CreatedAt)},
		Ref:      row.Seq,
		Items:    int(row.Items),
		Counts:   skill.Counts{Written: int(row.Written), Unchanged: int(row.Unchanged), Failed: int(row.Failed)},
		TimeLeft: time.Duration(row.Deadline-tx.now) * time.Millisecond,
		Touched:  row.Touched != 0,
		Attempt:  int(row.Attempt),
		Rewrite:  row.Rewrite != 0,
		Started:  row.Started != 0, Cancelled: row.Deadline == cancelled,
	}
	sendable := state.Enabled && !state.Deleted && state.InvalidReason == "" && row.Deadline > tx.now
	if !sendable || row.Done != 0 || row.Items > int64(openUpTo) {
		return next, nil
	}
	underway := false // as a remote job
	if next.Task.Started {
		if underway, err = tx.AnyIntent(ctx, dbq.AnyIntentParams{Integration: lease.Ref, Task: row.Seq}); err != nil {
			return store.Next{}, err
		}
	}
	if !underway {
		next.Opened = true
		return next, tx.openIntent(ctx, lease, row.Seq, store.Range{Start: 0, Stop: int(row.Items)})
	}
	return next, nil
}

func (tx *transaction) openIntent(ctx context.Context, lease store.Lease, task int64, r store.Range) error {
	n, err := tx.StartTask(ctx, task)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("open intent: %w", store.ErrTaskEnded)
	}
	return tx.OpenIntent(ctx, dbq.OpenIntentParams{
		Integration: lease.Ref, Task: task, Start: int64(r.Start), Stop: int64(r.Stop), Epoch: lease.Epoch, OpenedAt: tx.now,
	})
}

// Extend implements store.Drains.
func (s *Store) Extend(ctx context.Context, owner string, held []store.Held, ttl time.Duration) (states map[int64]store.Extended, err error) {
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		states = make(map[int64]store.Extended, len(held))
		until := int64(0)
		if ttl > 0 {
			until = tx.now + ttl.Milliseconds()
		}
		for _, h := range held {
			n, err := tx.ExtendLease(ctx, dbq.ExtendLeaseParams{
				Integration: h.Ref, Owner: nullText(owner), Epoch: h.Epoch, Until: until,
			})
			if err != nil {
				return err
			}
			if n == 0 {
				continue
			}
			st, err := tx.standing(ctx, store.Lease{Ref: h.Ref, Owner: owner, Epoch: h.Epoch})
			if err != nil {
				return err
			}
			states[h.Ref] = store.Extended{State: st.State}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("extend leases: %w", err)
	}
	return states, nil
}

// standing tells how the integration stands, or that the lease is not held any more.
func (tx *transaction) standing(ctx context.Context, lease store.Lease) (standing, error) {
	row, err := tx.LeaseState(ctx, dbq.LeaseStateParams{Integration: lease.Ref, Owner: nullText(lease.Owner), Epoch: lease.Epoch})
	if errors.Is(err, sql.ErrNoRows) {
		return standing{}, refuse(store.ErrLeaseLost)
	}
	if err != nil {
		return standing{}, err
	}
	return standing{
		State:    stateOf(row.Enabled, row.DeletedAt, row.InvalidReason, row.SettingsVersion),
		resumeAt: row.ResumeAt, pacedUntil: row.PacedUntil, failures: row.Failures,
	}, nil
}

func stateOf(enabled int64, deleted sql.NullInt64, invalid sql.NullString, version int64) store.State {
	return store.State{Enabled: enabled != 0, Deleted: deleted.Valid, InvalidReason: invalid.String, SettingsVersion: version}
}

// Advance implements store.Drains.
func (s *Store) Advance(ctx context.Context, lease store.Lease, step store.Step) (next store.Next, err error) {
	encoded := encodeStep(step) // before the transaction: the writer is everybody's
	err = s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		st, err := tx.standing(ctx, lease)
		if err != nil {
			return err
		}
		step := step
		if step.AboutTool() {
			same, err := tx.sameAccount(ctx, lease, st)
			if err != nil {
				return err
			}
			if !same {
				step = step.NotAboutTool()
			}
		}
		if err := tx.hold(ctx, lease, step, &st); err != nil {
			return err
		}
		if err := tx.noteFailures(ctx, lease, step, &st); err != nil {
			return err
		}
		if err := s.settleSkills(ctx, tx, lease, step); err != nil {
			return err
		}
		if err := tx.checkpoint(ctx, lease, step, encoded); err != nil {
			return err
		}
		if err := tx.markInvalid(ctx, lease, step.Invalid, &st); err != nil {
			return err
		}
		switch step.Then {
		case store.Stay:
		case store.Proceed:
			next, err = tx.next(ctx, lease, st, step.OpenUpTo)
			return err
		case store.Leave:
			err = tx.ReleaseDrain(ctx, dbq.ReleaseDrainParams{
				Integration: lease.Ref, Wanted: 1, ResumeAt: tx.now + millis(step.ResumeIn),
			})
		}
		next = tx.plain(st)
		return err
	})
	if err != nil {
		return store.Next{}, fmt.Errorf("advance %s: %w", lease.Integration.ID, err)
	}
	return next, nil
}

// sameAccount reports whether the integration has the settings and credentials that came with the lease.
func (tx *transaction) sameAccount(ctx context.Context, lease store.Lease, st standing) (bool, error) {
	if st.SettingsVersion == lease.Integration.SettingsVersion {
		return true, nil
	}
	now, err := tx.AccountOf(ctx, lease.Ref) // it may be the policy that was changed
	return lease.SameAccount([]byte(now.Settings), now.Credentials), err
}

// hold keeps what the tool said about its patience.
func (tx *transaction) hold(ctx context.Context, lease store.Lease, step store.Step, st *standing) error {
	if step.Hold <= 0 && step.Pace <= 0 {
		return nil
	}
	if step.Hold > 0 {
		st.resumeAt = max(st.resumeAt, tx.now+millis(step.Hold))
	}
	if step.Pace > 0 {
		st.pacedUntil = tx.now + millis(step.Pace)
	}
	return tx.HoldDrain(ctx, dbq.HoldDrainParams{Integration: lease.Ref, ResumeAt: st.resumeAt, PacedUntil: st.pacedUntil})
}

// noteFailures keeps whether the tool answers.
func (tx *transaction) noteFailures(ctx context.Context, lease store.Lease, step store.Step, st *standing) error {
	if step.Answered {
		st.failures = 0
		if err := tx.ForgetFailures(ctx, lease.Ref); err != nil {
			return err
		}
	}
	if step.Failures == 0 {
		return nil
	}
	st.failures = int64(step.Failures)
	return tx.NoteFailures(ctx, dbq.NoteFailuresParams{
		Integration: lease.Ref, Failures: st.failures, Away: flag(step.Away), Now: sql.NullInt64{Int64: tx.now, Valid: true},
	})
}

// markInvalid keeps that the tool refused the credentials that came with the lease.
func (tx *transaction) markInvalid(ctx context.Context, lease store.Lease, reason string, st *standing) error {
	if reason == "" {
		return nil
	}
	if st.SettingsVersion != lease.Integration.SettingsVersion {
		return fmt.Errorf("mark invalid: %w", store.ErrChanged)
	}
	st.InvalidReason = reason
	return tx.MarkIntegrationInvalid(ctx, dbq.MarkIntegrationInvalidParams{
		Seq: lease.Ref, Reason: nullText(reason), Now: sql.NullInt64{Int64: tx.now, Valid: true},
	})
}

// millis rounds up: a wait is never shortened.
func millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// encodedStep is what of a step is stored encoded.
type encodedStep struct {
	outcomes [][]byte // of each run
	document []byte
}

func encodeStep(step store.Step) (e encodedStep) {
	if step.Finish != nil { // a task that ends needs its document alone
		e.document = packDocument(step.Finish.Document)
		return e
	}
	for _, run := range step.Outcomes {
		e.outcomes = append(e.outcomes, skill.AppendOutcomes(nil, run.Outcomes))
	}
	return e
}

// checkpoint moves a task on: intents, outcomes, its end.
func (tx *transaction) checkpoint(ctx context.Context, lease store.Lease, step store.Step, encoded encodedStep) error {
	if step.Task == 0 {
		return nil
	}
	for _, r := range step.Close {
		if err := tx.CloseIntent(ctx, dbq.CloseIntentParams{Integration: lease.Ref, Task: step.Task, Start: int64(r.Start)}); err != nil {
			return err
		}
	}
	if f := step.Finish; f != nil {
		return tx.finish(ctx, lease, step.Task, f, encoded.document)
	}
	var counts skill.Counts
	touched := step.Touched || len(step.Unsure) > 0
	for _, run := range step.Outcomes {
		for _, o := range run.Outcomes {
			counts.Add(o)
			touched = touched || o.Kind == skill.Written || o.Kind == skill.Unknown
		}
	}
	n, err := tx.CheckpointTask(ctx, dbq.CheckpointTaskParams{
		Seq: step.Task, Done: int64(counts.Total()), Written: int64(counts.Written), Unchanged: int64(counts.Unchanged),
		Failed: int64(counts.Failed), Touched: flag(touched), Attempt: int64(step.Attempt),
	})
	if err != nil {
		return err
	}
	if n == 0 { // or it is gone altogether
		return fmt.Errorf("checkpoint: %w", store.ErrTaskEnded)
	}
	for i, run := range step.Outcomes {
		if err := tx.InsertOutcomes(ctx, dbq.InsertOutcomesParams{Task: step.Task, Start: int64(run.Start), Block: encoded.outcomes[i]}); err != nil {
			return err
		}
	}
	for _, r := range step.Open {
		if err := tx.openIntent(ctx, lease, step.Task, r); err != nil {
			return err
		}
	}
	for _, r := range step.Receipts {
		if err := tx.NoteReceipt(ctx, dbq.NoteReceiptParams{
			Receipt: sql.NullString{String: r.Text, Valid: true}, Now: sql.NullInt64{Int64: tx.now, Valid: true}, Integration: lease.Ref, Task: step.Task, Start: int64(r.Start),
		}); err != nil {
			return err
		}
	}
	return nil
}

func (tx *transaction) finish(ctx context.Context, lease store.Lease, task int64, f *store.Finish, document []byte) error {
	items, err := tx.FinishTask(ctx, dbq.FinishTaskParams{
		Seq: task, Status: int64(f.Status), Written: int64(f.Counts.Written), Unchanged: int64(f.Counts.Unchanged),
		Failed: int64(f.Counts.Failed), Document: document,
		CompletedAt: sql.NullInt64{Int64: f.CompletedAt.UnixMilli(), Valid: true},
	})
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("finish: %w", store.ErrTaskEnded)
	}
	if err != nil {
		return err
	}
	if err := tx.AddWaiting(ctx, dbq.AddWaitingParams{Integration: lease.Ref, Items: -items, Tasks: -1}); err != nil {
		return err
	}
	if err := tx.DeleteOutcomes(ctx, task); err != nil {
		return err
	}
	return tx.CloseTaskIntents(ctx, dbq.CloseTaskIntentsParams{Integration: lease.Ref, Task: task})
}

// Items implements store.Drains.
func (s *Store) Items(ctx context.Context, task int64, start int) ([]skill.Item, error) {
	first, items, err := itemBlock(ctx, s.queries, task, int64(start))
	if err != nil {
		return nil, fault(fmt.Errorf("items: %w", err))
	}
	if len(items) == 0 {
		return nil, nil
	}
	return items[int64(start)-first:], nil
}

// Jobs implements store.Drains.
func (s *Store) Jobs(ctx context.Context, lease store.Lease, task int64) ([]store.Job, error) {
	rows, err := s.queries.Jobs(ctx, dbq.JobsParams{Integration: lease.Ref, Task: task})
	if err != nil {
		return nil, fault(fmt.Errorf("jobs: %w", err))
	}
	now := s.now().UnixMilli()
	jobs := make([]store.Job, len(rows))
	for i, row := range rows {
		jobs[i] = store.Job{
			Range: store.Range{Start: int(row.Start), Stop: int(row.Stop)}, Receipt: row.Receipt.String,
			Age: time.Duration(now-row.ReceiptAt.Int64) * time.Millisecond,
		}
	}
	return jobs, nil
}

// Outcomes implements store.Drains.
func (s *Store) Outcomes(ctx context.Context, task int64) ([]store.Run, error) {
	rows, err := s.queries.Outcomes(ctx, task)
	if err != nil {
		return nil, fault(fmt.Errorf("outcomes: %w", err))
	}
	runs := make([]store.Run, len(rows))
	for i, row := range rows {
		outcomes, err := skill.DecodeOutcomes(row.Block)
		if err != nil {
			return nil, fmt.Errorf("task %d, outcomes from %d: %w", task, row.Start, err)
		}
		runs[i] = store.Run{Start: int(row.Start), Outcomes: outcomes}
	}
	return runs, nil
}

// Due implements store.Drains.
func (s *Store) Due(ctx context.Context, limit int) ([]store.DueDrain, error) {
	now := s.now().UnixMilli()
	ids, err := s.queries.DueDrains(ctx, dbq.DueDrainsParams{Now: now, Most: int64(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("due drains: %w", err))
	}
	overdue, err := s.queries.OverdueDrains(ctx, dbq.OverdueDrainsParams{Now: now, Most: int64(limit)})
	if err != nil {
		return nil, fault(fmt.Errorf("overdue drains: %w", err))
	}
	due := make([]store.DueDrain, 0, len(ids)+len(overdue))
	for _, id := range ids {
		due = append(due, store.DueDrain{IntegrationID: id})
	}
	for _, id := range overdue {
		due = append(due, store.DueDrain{IntegrationID: id, Overdue: true})
	}
	return due, nil
}
