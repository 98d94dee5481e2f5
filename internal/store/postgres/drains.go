package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// held is a lease as one transaction sees it.
type held struct {
	*batches
	lease store.Lease
	row   dbq.HoldLeaseRow
}

// holdLease locks the drain's row, or ends the batch with ErrLeaseLost when the lease is not held any more.
func (h *held) holdLease(ctx context.Context, q *dbq.Queries) (err error) {
	h.row, err = q.HoldLease(ctx, dbq.HoldLeaseParams{Integration: h.lease.Ref, Owner: &h.lease.Owner, Epoch: h.lease.Epoch})
	if errors.Is(err, pgx.ErrNoRows) { // it was erased altogether
		return store.ErrLeaseLost
	}
	return err
}

// sameAccount reports whether the integration has the settings and credentials that came with the lease. Once the drain's row is
// locked, a change of them has either been seen or comes after the step, and forgets then what the step kept.
func (h *held) sameAccount(ctx context.Context) (same bool, err error) {
	err = h.send(ctx, func(ctx context.Context, q *dbq.Queries) error {
		if err := h.holdLease(ctx, q); err != nil {
			return err
		}
		now, err := q.AccountOf(ctx, h.lease.Ref)
		same = h.lease.SameAccount(now.Settings, now.Credentials)
		return err
	})
	return same, err
}

// Claim implements store.Drains.
func (s *Store) Claim(ctx context.Context, c store.Claim) (lease store.Lease, next store.Next, err error) {
	err = s.inBatches(ctx, func(ctx context.Context, b *batches) error {
		var row dbq.ClaimDrainRow
		if err := b.send(ctx, func(ctx context.Context, q *dbq.Queries) (err error) {
			// What there is to claim is asked for in a statement of its own: one that waits for the lock would not see what a
			// submission or another drain did meanwhile.
			if err := q.LockDrainOf(ctx, c.IntegrationID); err != nil {
				return err
			}
			row, err = q.ClaimDrain(ctx, dbq.ClaimDrainParams{ID: c.IntegrationID, Owner: &c.Owner, Ttl: c.TTL, Force: c.Force})
			return err
		}); err != nil {
			if errors.Is(err, pgx.ErrNoRows) {
				return store.ErrIdle
			}
			return err
		}
		lease = store.Lease{
			Ref: row.Integration.Seq, Owner: c.Owner, Epoch: row.Epoch, Integration: integration(row.Integration), Stolen: row.Stolen,
		}
		h := &held{b, lease, dbq.HoldLeaseRow{Integration: row.Integration, Now: row.Now, Hold: row.Hold, Paced: row.Paced, Failures: row.Failures}}
		if row.OpenIntents {
			if err := h.abandonIntents(ctx); err != nil {
				return err
			}
		}
		return h.end(ctx, func(ctx context.Context, q *dbq.Queries) (err error) {
			next, err = h.next(ctx, q, stateOf(h.row.Integration), c.OpenUpTo)
			return err
		})
	})
	if err != nil {
		return store.Lease{}, store.Next{}, fmt.Errorf("claim %s: %w", c.IntegrationID, err)
	}
	return lease, next, nil
}

// abandonIntents deals with what an earlier drain had on its way when it ended: every item without an outcome may have
// reached the tool.
func (h *held) abandonIntents(ctx context.Context) error {
	q := dbq.New(h.conn)
	intents, err := q.IntentsOf(ctx, h.lease.Ref)
	if err != nil {
		return err
	}
	var tasks []int64
	var unsure []store.SkillUnsure
	for _, in := range intents {
		settled := make(map[int32]bool)
		outcomes, err := q.Outcomes(ctx, in.Task)
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
			start, items, err := itemBlock(ctx, q, in.Task, at)
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
	if err := h.markUnsure(ctx, q, unsure); err != nil {
		return err
	}
	return q.CloseIntentsOf(ctx, dbq.CloseIntentsOfParams{Integration: h.lease.Ref, Tasks: tasks})
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
	if items, err = itemsOf(row.Block); err != nil {
		return 0, nil, fmt.Errorf("task %d, items from %d: %w", task, row.Start, err)
	}
	if position >= row.Start+int32(len(items)) {
		return 0, nil, nil
	}
	return row.Start, items, nil
}

// next finds what to do next, and gives the lease back when there is nothing.
func (h *held) next(ctx context.Context, q *dbq.Queries, state store.State, openUpTo int) (store.Next, error) {
	next := h.standing(state)
	row, err := q.NextTask(ctx, dbq.NextTaskParams{Integration: h.lease.Ref, Epoch: h.lease.Epoch, OpenUpTo: int32(openUpTo)})
	if errors.Is(err, pgx.ErrNoRows) {
		return next, nil
	}
	next.Opened = row.Opened
	next.Task = &store.DrainTask{
		Task:     skill.Task{ID: row.ID, CreatedAt: row.CreatedAt.UTC()},
		Ref:      row.Seq,
		Items:    int(row.Items),
		Counts:   skill.Counts{Written: int(row.Written), Unchanged: int(row.Unchanged), Failed: int(row.Failed)},
		TimeLeft: row.TimeLeft,
		Touched:  row.Touched,
		Attempt:  int(row.Attempt),
		Rewrite:  row.Rewrite,
		Started:  row.Started, Cancelled: row.Cancelled,
	}
	if err == nil && len(row.Block) > 0 {
		if next.Items, err = itemsOf(row.Block); err != nil {
			return store.Next{}, fmt.Errorf("task %d, items: %w", row.Seq, err)
		}
	}
	return next, err
}

// standing is what is known without looking for a task.
func (h *held) standing(state store.State) store.Next {
	return store.Next{Now: h.row.Now.UTC(), State: state, Hold: h.row.Hold, Failures: int(h.row.Failures), Paced: h.row.Paced}
}

const (
	// lockBeat is how long a heartbeat waits for one row. A row that is merely in demand is had in that time.
	lockBeat = 300 * time.Millisecond
	// lockBeats bounds what it waits for all of them: less than the time between two heartbeats.
	lockBeats = time.Second
)

// Extend implements store.Drains. It does not wait for rows that others keep locked (a transaction that writes much, a
// connection that died within one) until all other leases are prolonged, and then not for long.
func (s *Store) Extend(ctx context.Context, owner string, leases []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	began := time.Now()
	states, err := extend(ctx, dbq.New(s.beats), owner, leases, ttl)
	if err != nil {
		return nil, fault(fmt.Errorf("extend leases: %w", err))
	}
	locked := slices.DeleteFunc(slices.Clone(leases), func(h store.Held) bool { return !states[h.Ref].Locked })
	// In another order each time: one that is stuck for long does not keep the same ones waiting.
	rand.Shuffle(len(locked), func(i, j int) { locked[i], locked[j] = locked[j], locked[i] })
	for _, h := range locked {
		if time.Since(began) > lockBeats {
			break
		}
		one, err := s.extendLocked(ctx, owner, h, ttl)
		switch {
		case codeOf(err) == lockTimedOut:
			continue
		case err != nil:
			// The others were prolonged. If it is more than the row, the next heartbeat says so.
			s.log.Debug("a lease whose row was locked could not be prolonged", "error", err)
			return states, nil
		}
		delete(states, h.Ref)
		maps.Copy(states, one)
	}
	return states, nil
}

// extendLocked waits for the row of a lease.
func (s *Store) extendLocked(ctx context.Context, owner string, h store.Held, ttl time.Duration) (states map[int64]store.Extended, err error) {
	err = s.onceOn(ctx, s.beats, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.sql.Exec(ctx, "SELECT set_config('lock_timeout', $1, true)", strconv.FormatInt(lockBeat.Milliseconds(), 10)); err != nil {
			return err
		}
		if _, err := tx.LockDrain(ctx, h.Ref); err != nil && !errors.Is(err, pgx.ErrNoRows) { // or erased altogether
			return err
		}
		states, err = extend(ctx, tx.Queries, owner, []store.Held{h}, ttl)
		return err
	})
	return states, err
}

func extend(ctx context.Context, q *dbq.Queries, owner string, leases []store.Held, ttl time.Duration) (map[int64]store.Extended, error) {
	p := dbq.ExtendLeasesParams{Owner: &owner, Ttl: ttl}
	for _, l := range leases {
		p.Refs, p.Epochs = append(p.Refs, l.Ref), append(p.Epochs, l.Epoch)
	}
	rows, err := q.ExtendLeases(ctx, p)
	if err != nil {
		return nil, err
	}
	states := make(map[int64]store.Extended, len(rows))
	for _, r := range rows {
		states[r.Seq] = store.Extended{State: state(r.Enabled, r.DeletedAt, r.InvalidReason, r.SettingsVersion), Locked: r.Locked}
	}
	return states, nil
}

// Advance implements store.Drains.
func (s *Store) Advance(ctx context.Context, lease store.Lease, step store.Step) (next store.Next, err error) {
	blocks := make([][]byte, len(step.Outcomes))
	if step.Finish != nil { // it needs its document alone. Batches call for their statements twice
		ended := *step.Finish
		ended.Document, step.Finish = store.Pack(ended.Document), &ended
	} else {
		for i, run := range step.Outcomes {
			blocks[i] = skill.AppendOutcomes(nil, run.Outcomes)
		}
	}
	made, known := sorted(step.Written)
	copied := len(made) >= copyFrom
	if endsLast(step) && !copied {
		if next, err = s.endLast(ctx, lease, step, append(slices.Clip(known), made...)); err != nil {
			return store.Next{}, fmt.Errorf("advance %s: %w", lease.Integration.ID, err)
		}
		return next, nil
	}
	for {
		if next, err = s.advance(ctx, lease, step, blocks, made, known, copied); codeOf(err) != "23505" || !copied {
			break
		}
		copied = false // a row was there against expectation: then it is replaced
	}
	if err != nil {
		return store.Next{}, fmt.Errorf("advance %s: %w", lease.Integration.ID, err)
	}
	return next, nil
}

// advance is one transaction, and one round trip unless something has to be known before: new skills are copied, or something is
// said of the tool.
func (s *Store) advance(
	ctx context.Context, lease store.Lease, step store.Step, blocks [][]byte, made, known []store.SkillWritten, copied bool,
) (next store.Next, err error) {
	err = s.inBatches(ctx, func(ctx context.Context, b *batches) error {
		h, step := &held{batches: b, lease: lease}, step
		ahead := copied || step.AboutTool()
		if ahead {
			same, err := h.sameAccount(ctx)
			if err != nil {
				return err
			}
			if !same {
				step = step.NotAboutTool()
			}
		}
		if copied {
			if err := h.copySkills(ctx, step.Task, made); err != nil {
				return err
			}
		}
		return h.end(ctx, func(ctx context.Context, q *dbq.Queries) (err error) {
			if !ahead {
				if err := h.holdLease(ctx, q); err != nil {
					return err
				}
			}
			written := known
			if copied {
				err = q.SetHasSkills(ctx, lease.Ref)
			} else {
				written = append(slices.Clip(known), made...)
			}
			if err != nil {
				return err
			}
			if err := h.upsertSkills(ctx, q, step.Task, written); err != nil {
				return err
			}
			if err := h.noteSkills(ctx, q, step); err != nil {
				return err
			}
			if err := h.checkpoint(ctx, q, step, blocks); err != nil {
				return err
			}
			next, err = h.goOn(ctx, q, step)
			return err
		})
	})
	return next, err
}

// endsLast reports whether a step ends a task behind which none was waiting, and does nothing beside it.
func endsLast(s store.Step) bool {
	return s.Last && s.Finish != nil && s.Then == store.Proceed && len(s.Refused)+len(s.Unsure) == 0 &&
		s.Hold == 0 && s.Pace == 0 && s.Invalid == "" && !s.Answered && s.Failures == 0
}

// endLast is advance for such a step.
func (s *Store) endLast(ctx context.Context, lease store.Lease, step store.Step, written []store.SkillWritten) (next store.Next, err error) {
	f := step.Finish
	p := dbq.EndLastTaskParams{
		Task: step.Task, Integration: lease.Ref, Owner: &lease.Owner, Epoch: lease.Epoch, Items: int32(f.Counts.Total()),
		Status: int16(f.Status), CompletedAt: f.CompletedAt, Document: f.Document,
		Written: int32(f.Counts.Written), Unchanged: int32(f.Counts.Unchanged), Failed: int32(f.Counts.Failed),
	}
	if len(written) > 0 {
		p.Named = store.PackTexts(step.Named())
	}
	u := upserted(lease, step.Task, written)
	p.OriginIds, p.Ids, p.RemoteIds, p.Names, p.Statuses, p.Hashes = u.OriginIds, u.Ids, u.RemoteIds, u.Names, u.Statuses, u.Hashes
	var pending int64
	if err := s.inBatches(ctx, func(ctx context.Context, b *batches) error {
		h := &held{batches: b, lease: lease}
		return b.end(ctx, func(ctx context.Context, q *dbq.Queries) error {
			row, err := q.EndLastTask(ctx, p)
			if errors.Is(err, pgx.ErrNoRows) { // it was erased altogether
				err = store.ErrLeaseLost
			}
			h.row = dbq.HoldLeaseRow{Integration: row.Integration, Now: row.Now, Hold: row.Hold, Paced: row.Paced, Failures: row.Failures}
			next, pending = h.standing(stateOf(row.Integration)), row.Pending
			return err
		})
	}); err != nil || pending == 0 {
		return next, err
	}
	// One has come meanwhile.
	if err := s.inBatches(ctx, func(ctx context.Context, b *batches) error {
		h := &held{batches: b, lease: lease}
		return h.end(ctx, func(ctx context.Context, q *dbq.Queries) (err error) {
			if err = h.holdLease(ctx, q); err == nil {
				next, err = h.next(ctx, q, stateOf(h.row.Integration), step.OpenUpTo)
			}
			return err
		})
	}); err != nil {
		// The step is done. What has come is drained once the lease has run out.
		s.log.Warn("the next task could not be had", "integration", lease.Integration.ID, "error", err)
		next.Task = nil
	}
	return next, nil
}

// goOn is the part of a step that concerns the integration, and what comes after.
func (h *held) goOn(ctx context.Context, q *dbq.Queries, step store.Step) (store.Next, error) {
	state := stateOf(h.row.Integration)
	if step.Invalid != "" {
		state.InvalidReason = step.Invalid
		_, err := q.MarkIntegrationInvalid(ctx, invalid(h.lease, step.Invalid))
		if err != nil {
			return store.Next{}, err
		}
	}
	if step.Hold > 0 || step.Pace > 0 {
		if err := q.HoldDrain(ctx, dbq.HoldDrainParams{Integration: h.lease.Ref, Hold: step.Hold, Pace: step.Pace}); err != nil {
			return store.Next{}, err
		}
		h.row.Hold = max(h.row.Hold, step.Hold)
		if step.Pace > 0 {
			h.row.Paced = step.Pace
		}
	}
	if err := h.noteFailures(ctx, q, step); err != nil {
		return store.Next{}, err
	}
	switch step.Then {
	case store.Proceed:
		return h.next(ctx, q, state, step.OpenUpTo)
	case store.Leave:
		err := q.ReleaseDrain(ctx, dbq.ReleaseDrainParams{Integration: h.lease.Ref, Wanted: true, ResumeIn: step.ResumeIn})
		return h.standing(state), err
	default:
		return h.standing(state), nil
	}
}

// invalid says that the tool refused the credentials that came with the lease.
func invalid(lease store.Lease, reason string) dbq.MarkIntegrationInvalidParams {
	return dbq.MarkIntegrationInvalidParams{Seq: lease.Ref, Reason: &reason, SettingsVersion: lease.Integration.SettingsVersion}
}

// noteFailures keeps whether the tool answers.
func (h *held) noteFailures(ctx context.Context, q *dbq.Queries, step store.Step) error {
	if step.Answered {
		h.row.Failures = 0
		if err := q.ForgetFailures(ctx, h.lease.Ref); err != nil {
			return err
		}
	}
	if step.Failures == 0 {
		return nil
	}
	h.row.Failures = int32(step.Failures)
	return q.NoteFailures(ctx, dbq.NoteFailuresParams{Integration: h.lease.Ref, Failures: h.row.Failures, Away: step.Away})
}

// checkpoint moves a task on: intents, outcomes, its end.
func (h *held) checkpoint(ctx context.Context, q *dbq.Queries, step store.Step, blocks [][]byte) error {
	if step.Task == 0 {
		return nil
	}
	if f := step.Finish; f != nil {
		_, err := q.FinishTask(ctx, dbq.FinishTaskParams{
			Task: step.Task, Integration: h.lease.Ref, Status: int16(f.Status), CompletedAt: f.CompletedAt, Document: f.Document,
			Written: int32(f.Counts.Written), Unchanged: int32(f.Counts.Unchanged), Failed: int32(f.Counts.Failed),
		})
		return err
	}
	p := dbq.CheckpointTaskParams{
		Task: step.Task, Integration: h.lease.Ref, Attempt: int32(step.Attempt), Blocks: blocks, Touched: step.Touched || len(step.Unsure) > 0,
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
	if _, err := q.CheckpointTask(ctx, p); err != nil {
		return err
	}
	if err := h.openIntents(ctx, q, step); err != nil || len(step.Receipts) == 0 {
		return err
	}
	n := dbq.NoteReceiptsParams{Task: step.Task, Integration: h.lease.Ref}
	for _, r := range step.Receipts {
		n.Starts, n.Receipts = append(n.Starts, int32(r.Start)), append(n.Receipts, r.Text)
	}
	return q.NoteReceipts(ctx, n)
}

func (h *held) openIntents(ctx context.Context, q *dbq.Queries, step store.Step) error {
	if len(step.Open) == 0 {
		return nil
	}
	open := dbq.OpenIntentsParams{Task: step.Task, Integration: h.lease.Ref, Epoch: h.lease.Epoch}
	for _, r := range step.Open {
		open.Starts, open.Stops = append(open.Starts, int32(r.Start)), append(open.Stops, int32(r.Stop))
	}
	return q.OpenIntents(ctx, open)
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

// Jobs implements store.Drains.
func (s *Store) Jobs(ctx context.Context, lease store.Lease, task int64) ([]store.Job, error) {
	rows, err := s.queries.Jobs(ctx, dbq.JobsParams{Integration: lease.Ref, Task: task})
	if err != nil {
		return nil, fault(fmt.Errorf("jobs: %w", err))
	}
	jobs := make([]store.Job, len(rows))
	for i, row := range rows {
		jobs[i] = store.Job{Range: store.Range{Start: int(row.Start), Stop: int(row.Stop)}, Receipt: row.Receipt, Age: row.Age}
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

// Doubt implements store.Drains.
func (s *Store) Doubt(ctx context.Context, d store.Doubt) error {
	// In order, as everybody locks rows of the catalogue.
	ids := slices.Sorted(slices.Values(d.OriginIDs))
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error {
		drain, err := tx.LockDrain(ctx, d.Lease.Ref)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && drain.Deleted { // or erased altogether
			return nil
		}
		if err != nil {
			return err
		}
		rows, err := tx.DoubtSkills(ctx, dbq.DoubtSkillsParams{Integration: d.Lease.Ref, OriginIds: ids})
		if err != nil || len(rows) == 0 {
			return err
		}
		// They come as the plan of the day finds them.
		known := make(map[string]dbq.DoubtSkillsRow, len(rows))
		for _, r := range rows {
			known[r.OriginID] = r
		}
		items := make([]skill.Item, 0, len(rows))
		for _, id := range d.OriginIDs {
			if r, ok := known[id]; ok {
				items = append(items, skill.Item{OriginID: id, Name: r.Name, Status: skill.Status(r.Status)})
				delete(known, id) // it may be doubted twice
			}
		}
		starts, blocks := blocksOf(items)
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
				if err := tx.ForgetReceipts(ctx, ref); err != nil {
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
