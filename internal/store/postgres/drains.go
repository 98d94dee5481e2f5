package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// held is a lease as one transaction sees it, with the drain's row locked.
type held struct {
	*transaction
	lease store.Lease
	row   dbq.DrainStateRow
}

// hold locks the drain's row, or finds that the lease is not held any more.
func (tx *transaction) hold(ctx context.Context, lease store.Lease) (*held, error) {
	row, err := tx.DrainState(ctx, dbq.DrainStateParams{Integration: lease.Ref, Owner: &lease.Owner, Epoch: lease.Epoch})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, store.ErrLeaseLost
	}
	if err != nil {
		return nil, err
	}
	return &held{tx, lease, row}, nil
}

// Claim implements store.Drains.
func (s *Store) Claim(ctx context.Context, c store.Claim) (lease store.Lease, next store.Next, err error) {
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		row, err := tx.ClaimDrain(ctx, dbq.ClaimDrainParams{ID: c.IntegrationID, Owner: &c.Owner, Ttl: c.TTL, Force: c.Force})
		if errors.Is(err, pgx.ErrNoRows) {
			return store.ErrIdle
		}
		if err != nil {
			return err
		}
		lease = store.Lease{Ref: row.Integration, Owner: c.Owner, Epoch: row.Epoch, Stolen: row.Stolen}
		// What there is to do is asked for in a statement of its own: the claim may have waited for a submission, and would
		// not see its task.
		h, err := tx.hold(ctx, lease)
		if err != nil {
			return err
		}
		lease.Integration = integration(h.row.Integration)
		h.lease = lease
		if row.OpenIntents {
			if err := h.abandonIntents(ctx); err != nil {
				return err
			}
		}
		next, err = h.next(ctx, stateOf(h.row.Integration), c.OpenUpTo)
		return err
	})
	if err != nil {
		return store.Lease{}, store.Next{}, fmt.Errorf("claim %s: %w", c.IntegrationID, err)
	}
	return lease, next, nil
}

// abandonIntents deals with what an earlier drain had on its way when it ended: every item without an outcome may have
// reached the tool.
func (h *held) abandonIntents(ctx context.Context) error {
	intents, err := h.IntentsOf(ctx, h.lease.Ref)
	if err != nil {
		return err
	}
	var tasks []int64
	var unsure []store.SkillUnsure
	for _, in := range intents {
		settled := make(map[int32]bool)
		outcomes, err := h.Outcomes(ctx, in.Task)
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			decoded, err := skill.DecodeOutcomes(o.Block)
			if err != nil {
				return err
			}
			for i := range decoded {
				settled[o.Start+int32(i)] = true
			}
		}
		for at := in.Start; at < in.Stop; {
			start, items, err := itemBlock(ctx, h.Queries, in.Task, at)
			if err != nil {
				return err
			}
			if len(items) == 0 {
				break
			}
			for ; at < in.Stop && at < start+int32(len(items)); at++ {
				if !settled[at] {
					unsure = append(unsure, store.SkillUnsure{Item: items[at-start]})
				}
			}
		}
		tasks = append(tasks, in.Task)
	}
	if err := h.markUnsure(ctx, unsure); err != nil {
		return err
	}
	return h.CloseIntentsOf(ctx, dbq.CloseIntentsOfParams{Integration: h.lease.Ref, Tasks: tasks})
}

// itemBlock reads the block that holds a position; no items when there is none.
func itemBlock(ctx context.Context, q *dbq.Queries, task int64, position int32) (start int32, items []skill.Item, err error) {
	row, err := q.ItemsFrom(ctx, dbq.ItemsFromParams{Task: task, Position: position})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	if items, err = skill.DecodeItems(row.Block); err != nil {
		return 0, nil, fmt.Errorf("task %d, items from %d: %w", task, row.Start, err)
	}
	if position >= row.Start+int32(len(items)) {
		return 0, nil, nil
	}
	return row.Start, items, nil
}

// next finds what to do next, and gives the lease back when there is nothing.
func (h *held) next(ctx context.Context, state store.State, openUpTo int) (store.Next, error) {
	next := h.standing(state)
	var row dbq.OldestTaskRow
	var err error
	if state.Enabled || state.Deleted {
		row, err = h.OldestTask(ctx, h.lease.Ref)
	} else { // paused: only what is past its deadline is ended
		var overdue dbq.OldestOverdueTaskRow
		overdue, err = h.OldestOverdueTask(ctx, h.lease.Ref)
		row = dbq.OldestTaskRow(overdue)
	}
	if errors.Is(err, pgx.ErrNoRows) {
		left := false
		if !state.Enabled && !state.Deleted {
			if left, err = h.AnyPendingTask(ctx, h.lease.Ref); err != nil {
				return store.Next{}, err
			}
		}
		return next, h.ReleaseDrain(ctx, dbq.ReleaseDrainParams{Integration: h.lease.Ref, Wanted: left})
	}
	if err != nil {
		return store.Next{}, err
	}
	next.Task = &store.DrainTask{
		Task:     skill.Task{ID: row.ID, CreatedAt: row.CreatedAt.UTC()},
		Ref:      row.Seq,
		Items:    int(row.Items),
		Counts:   skill.Counts{Written: int(row.Written), Unchanged: int(row.Unchanged), Failed: int(row.Failed)},
		TimeLeft: row.TimeLeft,
		Touched:  row.Touched,
		Attempt:  int(row.Attempt),
		Rewrite:  row.Rewrite,
	}
	sendable := state.Enabled && !state.Deleted && state.InvalidReason == "" && row.TimeLeft > 0
	if sendable && row.Done == 0 && int(row.Items) <= openUpTo {
		next.Opened = true
		return next, h.open(ctx, row.Seq, []store.Range{{Start: 0, Stop: int(row.Items)}})
	}
	return next, nil
}

// standing is what is known without looking for a task.
func (h *held) standing(state store.State) store.Next {
	return store.Next{Now: h.row.Now.UTC(), State: state, Hold: h.row.Hold, Paced: h.row.Paced}
}

func (h *held) open(ctx context.Context, task int64, ranges []store.Range) error {
	p := dbq.OpenIntentsParams{Task: task, Integration: h.lease.Ref, Epoch: h.lease.Epoch}
	for _, r := range ranges {
		p.Starts, p.Stops = append(p.Starts, int32(r.Start)), append(p.Stops, int32(r.Stop))
	}
	n, err := h.OpenIntents(ctx, p)
	if err == nil && n == 0 {
		err = store.ErrTaskEnded
	}
	if err != nil {
		return fmt.Errorf("open intents: %w", err)
	}
	return nil
}

// Extend implements store.Drains.
func (s *Store) Extend(ctx context.Context, owner string, leases []store.Held, ttl time.Duration) (map[int64]store.State, error) {
	states, err := s.extend(ctx, owner, leases, ttl)
	if codeOf(err) == "55P03" && len(leases) > 1 {
		// A connection that died within a transaction holds one of the rows until the database gives it up. The others must
		// not lose their leases over it.
		states = make(map[int64]store.State, len(leases))
		for _, l := range leases {
			one, err := s.extend(ctx, owner, []store.Held{l}, ttl)
			if err != nil && codeOf(err) != "55P03" {
				return nil, fault(fmt.Errorf("extend leases: %w", err))
			}
			for ref, state := range one {
				states[ref] = state
			}
		}
		return states, nil
	}
	if err != nil {
		return nil, fault(fmt.Errorf("extend leases: %w", err))
	}
	return states, nil
}

func (s *Store) extend(ctx context.Context, owner string, leases []store.Held, ttl time.Duration) (map[int64]store.State, error) {
	p := dbq.ExtendLeasesParams{Owner: &owner, Ttl: ttl}
	for _, l := range leases {
		p.Refs, p.Epochs = append(p.Refs, l.Ref), append(p.Epochs, l.Epoch)
	}
	rows, err := s.queries.ExtendLeases(ctx, p)
	if err != nil {
		return nil, err
	}
	states := make(map[int64]store.State, len(rows))
	for _, r := range rows {
		states[r.Seq] = state(r.Enabled, r.DeletedAt, r.InvalidReason, r.SettingsVersion)
	}
	return states, nil
}

// Advance implements store.Drains.
func (s *Store) Advance(ctx context.Context, lease store.Lease, step store.Step) (next store.Next, err error) {
	blocks := make([][]byte, len(step.Outcomes))
	if step.Finish == nil { // a task that ends needs its document alone
		for i, run := range step.Outcomes {
			blocks[i] = skill.AppendOutcomes(nil, run.Outcomes)
		}
	}
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		h, err := tx.hold(ctx, lease)
		if err != nil {
			return err
		}
		if err := h.settleSkills(ctx, step); err != nil {
			return err
		}
		if err := h.checkpoint(ctx, step, blocks); err != nil {
			return err
		}
		next, err = h.goOn(ctx, step)
		return err
	})
	if err != nil {
		return store.Next{}, fmt.Errorf("advance %s: %w", lease.Integration.ID, err)
	}
	return next, nil
}

// goOn is the part of a step that concerns the integration, and what comes after.
func (h *held) goOn(ctx context.Context, step store.Step) (store.Next, error) {
	state := stateOf(h.row.Integration)
	if step.Invalid != "" {
		state.InvalidReason = step.Invalid
		err := h.MarkIntegrationInvalid(ctx, dbq.MarkIntegrationInvalidParams{Seq: h.lease.Ref, Reason: &step.Invalid})
		if err != nil {
			return store.Next{}, err
		}
	}
	if step.Hold > 0 || step.Pace > 0 {
		if err := h.HoldDrain(ctx, dbq.HoldDrainParams{Integration: h.lease.Ref, Hold: step.Hold, Pace: step.Pace}); err != nil {
			return store.Next{}, err
		}
		h.row.Hold = max(h.row.Hold, step.Hold)
		if step.Pace > 0 {
			h.row.Paced = step.Pace
		}
	}
	switch step.Then {
	case store.Proceed:
		return h.next(ctx, state, step.OpenUpTo)
	case store.Leave:
		err := h.ReleaseDrain(ctx, dbq.ReleaseDrainParams{Integration: h.lease.Ref, Wanted: true, ResumeIn: step.ResumeIn})
		return h.standing(state), err
	default:
		return h.standing(state), nil
	}
}

// checkpoint moves a task on: intents, outcomes, its end.
func (h *held) checkpoint(ctx context.Context, step store.Step, blocks [][]byte) error {
	if step.Task == 0 {
		return nil
	}
	if f := step.Finish; f != nil {
		n, err := h.FinishTask(ctx, dbq.FinishTaskParams{
			Task: step.Task, Integration: h.lease.Ref, Status: int16(f.Status), CompletedAt: f.CompletedAt, Document: f.Document,
			Written: int32(f.Counts.Written), Unchanged: int32(f.Counts.Unchanged), Failed: int32(f.Counts.Failed),
		})
		if err == nil && n == 0 {
			err = store.ErrTaskEnded
		}
		if err != nil {
			return fmt.Errorf("finish: %w", err)
		}
		return nil
	}
	p := dbq.CheckpointTaskParams{
		Task: step.Task, Integration: h.lease.Ref, Attempt: int32(step.Attempt), Blocks: blocks, Touched: len(step.Unsure) > 0,
	}
	for _, r := range step.Close {
		p.Closed = append(p.Closed, int32(r.Start))
	}
	var counts skill.Counts
	for _, run := range step.Outcomes {
		p.Starts = append(p.Starts, int32(run.Start))
		for _, o := range run.Outcomes {
			counts.Add(o)
			p.Touched = p.Touched || o.Kind == skill.Written || o.Kind == skill.Unknown
		}
	}
	p.Done, p.Written = int32(counts.Total()), int32(counts.Written)
	p.Unchanged, p.Failed = int32(counts.Unchanged), int32(counts.Failed)
	n, err := h.CheckpointTask(ctx, p)
	if err == nil && n == 0 {
		err = store.ErrTaskEnded
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if len(step.Open) == 0 {
		return nil
	}
	return h.open(ctx, step.Task, step.Open)
}

// Items implements store.Drains.
func (s *Store) Items(ctx context.Context, task int64, start int) ([]skill.Item, error) {
	first, items, err := itemBlock(ctx, s.queries, task, int32(start))
	if err != nil {
		return nil, fault(fmt.Errorf("items: %w", err))
	}
	if len(items) == 0 {
		return nil, nil
	}
	return items[int32(start)-first:], nil
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

// Doubt implements store.Drains.
func (s *Store) Doubt(ctx context.Context, d store.Doubt) error {
	// In order, as everybody locks rows of the catalogue.
	ids := slices.Sorted(slices.Values(d.OriginIDs))
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		drain, err := tx.LockDrain(ctx, d.Lease.Ref)
		if err != nil || drain.Deleted {
			return err
		}
		rows, err := tx.DoubtSkills(ctx, dbq.DoubtSkillsParams{Integration: d.Lease.Ref, OriginIds: ids})
		if err != nil || len(rows) == 0 {
			return err
		}
		starts, blocks := blocksOf(collect(rows, func(r dbq.DoubtSkillsRow) skill.Item {
			return skill.Item{OriginID: r.OriginID, Name: r.Name, Status: skill.Status(r.Status)}
		}))
		return tx.InsertRewrite(ctx, dbq.InsertRewriteParams{
			Integration: d.Lease.Ref, ID: skill.NewTaskID(drain.Now), Items: int32(len(rows)), Starts: starts, Blocks: blocks, Timeout: d.Timeout,
		})
	})
	if err != nil {
		return fmt.Errorf("doubt skills of %s: %w", d.Lease.Integration.ID, err)
	}
	return nil
}

// doubtRows is how many skills DoubtAll takes on in one transaction.
const doubtRows = 5000

// DoubtAll implements store.Upkeep.
func (s *Store) DoubtAll(ctx context.Context, integrationID string) (int, error) {
	all, done := 0, false
	for after := ""; !done; {
		var n int64
		var last string
		err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
			ref, err := tx.LockDrainByID(ctx, integrationID)
			if err != nil {
				return missing(err)
			}
			last, err = tx.NthSkill(ctx, dbq.NthSkillParams{Integration: ref, After: after, N: doubtRows - 1})
			if done = errors.Is(err, pgx.ErrNoRows); done { // fewer are left
				if n, err = tx.DoubtSkillsAfter(ctx, dbq.DoubtSkillsAfterParams{Integration: ref, After: after}); err != nil {
					return err
				}
				return tx.RevokeLease(ctx, ref)
			}
			if err != nil {
				return err
			}
			n, err = tx.DoubtSkillsUpTo(ctx, dbq.DoubtSkillsUpToParams{Integration: ref, After: after, Last: last})
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("doubt the skills of %q: %w", integrationID, err)
		}
		after = last
		all += int(n)
	}
	return all, nil
}

// Due implements store.Drains.
func (s *Store) Due(ctx context.Context, limit int) ([]store.DueDrain, error) {
	ids, err := s.queries.DueDrains(ctx, int32(limit))
	if err != nil {
		return nil, fault(fmt.Errorf("due drains: %w", err))
	}
	overdue, err := s.queries.OverdueDrains(ctx, int32(limit))
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
