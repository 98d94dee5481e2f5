package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/metrics"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// A sync reads a tool's skills back, page by page: first what the tool lists, then what of the catalogue it has not listed. It
// works under the same lease as a drain, so the two never work on one integration at once, and gives it up after each step
// when a task is waiting. Where it is, is on disk with each step; any process goes on from there. It never calls a skill
// certain: all it does to a drain's knowledge is to doubt it. See docs/adr/0015.

const (
	// syncRows is how many rows of the catalogue are compared in one step.
	syncRows = 2000
	// syncPages bounds a list that does not end.
	syncPages = 100_000
	// mostRestarts bounds lists that a tool always refuses at the same place.
	mostRestarts = 3
	// goneMost is how long a skill that nobody manages is remembered after the tool has ceased to show it.
	goneMost = 365 * 24 * time.Hour
	// mostName and mostID are how much of a record's texts is kept, in bytes; mostCursor is likewise.
	mostName, mostID, mostCursor = 4000, 2000, 10_000
)

// dueSyncs are the integrations whose sync is to be looked at with their next turn.
type dueSyncs struct {
	mu    sync.Mutex
	known map[string]bool // true while its turn runs
}

// note returns false while its turn runs.
func (s *dueSyncs) note(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known[id] {
		return false
	}
	if s.known == nil {
		s.known = map[string]bool{}
	}
	s.known[id] = false
	return true
}

// begin reports whether there is one to begin.
func (s *dueSyncs) begin(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	running, due := s.known[id]
	if !due || running {
		return false
	}
	s.known[id] = true
	return true
}

func (s *dueSyncs) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
}

func (s *dueSyncs) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.known)
}

// RequestSync queues a sync. Errors are those of store.RequestSync.
func (e *Engine) RequestSync(ctx context.Context, r store.SyncRequest) (store.SyncQueued, error) {
	queued, err := e.store.RequestSync(ctx, r)
	if err == nil && !e.set.Passive && e.syncs.note(r.IntegrationID) {
		e.wake(r.IntegrationID, due, metrics.WokenBySubmit)
	}
	return queued, err
}

// Wish has one skill written as somebody asks: it is noted, and goes through the queue as a task of one item. Errors are those
// of store.Keep and store.Submit.
func (e *Engine) Wish(ctx context.Context, wish store.Wish, keyID string) (store.Skill, error) {
	wish.MostWaiting = e.set.MostWaiting
	kept, err := e.store.Keep(ctx, wish)
	if err != nil {
		return store.Skill{}, err
	}
	// If this is the last we do, the next sync submits it.
	_, err = e.Submit(ctx, store.Submission{
		EnvironmentID: wish.EnvironmentID, IntegrationID: wish.IntegrationID, KeyID: keyID, TaskID: skill.NewTaskID(time.Now()),
		Items: []skill.Item{{OriginID: kept.OriginID, Name: kept.Name, Status: kept.Status}},
	})
	return kept, err
}

// sweepSyncs looks for syncs whose time has come. An eighth of the places is the most they get.
func (e *Engine) sweepSyncs(ctx context.Context) error {
	free := max(1, e.set.Drains/8) - e.syncs.count()
	if free <= 0 {
		return nil
	}
	ids, err := e.store.DueSyncs(ctx, e.set.SyncEvery > 0, free)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if e.leftToOthers(id) <= 0 && e.syncs.note(id) {
			e.schedule.wake(id, due)
		}
	}
	return nil
}

// attend is a turn of an integration: its tasks, then its sync.
func (e *Engine) attend(ctx context.Context, integrationID string, force bool) again {
	then := e.drain(ctx, integrationID, force)
	if !e.syncs.begin(integrationID) {
		return then
	}
	wanted := false
	if then.in == 0 && ctx.Err() == nil { // else the tool is to be left alone
		wanted = e.sync(ctx, integrationID, then.more)
	}
	e.syncs.end(integrationID)
	if wanted {
		then.more = true
		e.syncs.note(integrationID) // it goes on behind the tasks
	}
	return then
}

// reading is one turn at a sync.
type reading struct {
	d    *drain
	sync store.Sync
	now  time.Time // the database's when the lease was taken
	seen *store.SeenIDs
	// unmanaged: the tool has skills without an external id.
	unmanaged *bool
}

// sync runs a turn and reports whether tasks are waiting.
func (e *Engine) sync(ctx context.Context, integrationID string, beside bool) (wanted bool) {
	asked := time.Now()
	leased, err := e.store.ClaimSync(ctx, store.SyncClaim{
		IntegrationID: integrationID, Owner: e.owner, TTL: e.set.LeaseTTL, ID: skill.NewID(asked), Periodic: e.set.SyncEvery > 0, Beside: beside,
	})
	if err != nil {
		if !errors.Is(err, store.ErrIdle) && ctx.Err() == nil {
			e.log.Warn("sync could not begin; the sweep will try again", "integration", integrationID, "error", err)
		}
		return false
	}
	d := &drain{
		e: e, lease: e.leases.add(ctx, leased.Lease, asked, e.set.LeaseTTL), began: asked,
		log: e.log.With("integration", integrationID, "sync", leased.Sync.ID),
	}
	d.pace.notBefore(time.Now().Add(leased.Paced))
	r := &reading{d: d, sync: leased.Sync, now: leased.Now}
	wanted, err = r.run(d.lease.ctx)
	e.leases.drop(d.lease)
	if err == nil {
		return wanted
	}
	const interrupted = "sync was interrupted; it goes on from where it was"
	switch quiet := context.WithoutCancel(ctx); {
	case ctx.Err() != nil:
		d.log.DebugContext(quiet, interrupted, "error", err)
	case errors.Is(err, store.ErrChanged):
		d.log.InfoContext(quiet, "settings or credentials were changed during a sync, or a whole one was asked for; with another account, or as a whole one, it begins anew")
	default:
		d.log.WarnContext(quiet, interrupted, "error", err)
	}
	e.remember(d)
	e.schedule.beside(func() { d.afterwards(ctx, errors.Is(err, store.ErrLeaseLost)) })
	return true // perhaps
}

// run goes from step to step.
func (r *reading) run(ctx context.Context) (wanted bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	lister, err := r.open()
	switch {
	case errors.Is(err, ErrNotHere):
		r.d.log.Error("this process cannot work on the integration; it is left to others for a while", "error", err)
		r.d.e.away.Store(r.d.lease.Integration.ID, time.Now().Add(notHere))
		return r.leave(ctx, 0)
	case err != nil:
		return r.fail(ctx, "The integration cannot be used: "+err.Error())
	case lister == nil:
		return r.fail(ctx, "The connector cannot list the tool's skills.")
	}
	if wait := r.d.e.leftAlone(r.d.lease.Integration); wait > 0 {
		return r.leave(ctx, wait)
	}
	for {
		if r.d.over() || r.d.lease.stale() {
			return r.leave(ctx, 0)
		}
		var next store.SyncNext
		switch r.sync.Phase {
		case store.Listing:
			next, err = r.page(ctx, lister)
		case store.Comparing:
			next, err = r.compare(ctx)
		default:
			next, err = r.settle(ctx)
		}
		if err != nil || next.Left {
			return next.Wanted, err
		}
	}
}

func (r *reading) open() (connector.Lister, error) {
	if err := r.d.open(); err != nil {
		return nil, err
	}
	lister, _ := r.d.session.(connector.Lister)
	return lister, nil
}

// leave gives the lease back; the sync goes on after a while.
func (r *reading) leave(ctx context.Context, in time.Duration) (bool, error) {
	next, err := r.d.e.store.AdvanceSync(ctx, r.d.lease.Lease, store.SyncStep{Sync: r.sync, Then: store.SyncLeave, ResumeIn: in})
	return next.Wanted, err
}

// fail ends the sync.
func (r *reading) fail(ctx context.Context, why string) (bool, error) {
	next, err := r.end(ctx, store.SyncStep{Failed: why})
	return next.Wanted, err
}

// end ends the sync, well or not.
func (r *reading) end(ctx context.Context, step store.SyncStep) (store.SyncNext, error) {
	every := r.d.e.set.SyncEvery
	result := "ok"
	if every == 0 {
		every = 24 * time.Hour // for when it is switched on
	}
	if step.Failed != "" {
		every, result = every/8, "failed"
	}
	step.Sync, step.Then = r.sync, store.SyncEnd
	step.Next = every*9/10 + rand.N(every/5+1) // integrations of one time must not stay together
	next, err := r.d.e.store.AdvanceSync(ctx, r.d.lease.Lease, step)
	if err != nil {
		return next, err
	}
	r.d.e.metrics.SyncEnded(r.d.lease.Integration.Tool, result)
	if step.Failed != "" {
		r.d.log.Warn("sync failed", "reason", step.Failed, "records", r.sync.Records)
	} else {
		r.d.log.Info("sync ended", "records", r.sync.Records, "changed", r.sync.Changed, "gone", r.sync.Gone)
	}
	return next, nil
}

// page takes one page from the tool.
func (r *reading) page(ctx context.Context, lister connector.Lister) (store.SyncNext, error) {
	if wait := r.d.pace.left(); wait > r.d.e.set.Patience {
		wanted, err := r.leave(ctx, wait)
		return store.SyncNext{Wanted: wanted, Left: true}, err
	}
	if err := r.d.another(ctx); err != nil {
		return store.SyncNext{}, err
	}
	page, failure := r.list(ctx, lister)
	if failure != nil {
		return r.failed(ctx, failure)
	}
	r.d.e.metrics.SyncPage(r.d.lease.Integration.Tool)
	if !keepable(page.Next, mostCursor) {
		return r.end(ctx, store.SyncStep{Failed: "The tool's list cannot be gone on with: where it goes on is told by no text that can be kept."})
	}
	records := clean(page.Records)
	step := store.SyncStep{}
	if err := r.sort(ctx, records, &step); err != nil {
		return store.SyncNext{}, err
	}
	if r.sync.Whole {
		step.Seen = make([]byte, 0, 16*len(records))
		for _, rec := range records {
			step.Seen = store.AppendSeen(step.Seen, rec)
		}
	}
	repeated := page.Next != "" && page.Next == r.sync.Position
	r.sync.Attempt = 0
	r.sync.Records += len(records)
	r.sync.Changed += len(step.Notes) + len(step.New) + len(step.Remote)
	r.sync.Position = page.Next
	step.Sync = r.sync
	r.sync.Pages++
	step.Sync.Pages = r.sync.Pages
	if page.Next == "" {
		r.sync.Phase, step.Sync.Phase = store.Comparing, store.Comparing
	}
	next, err := r.d.e.store.AdvanceSync(ctx, r.d.lease.Lease, step)
	if err != nil || next.Left {
		return next, err
	}
	if repeated || r.sync.Pages >= syncPages {
		return r.end(ctx, store.SyncStep{Failed: "The tool's list does not end."})
	}
	return next, nil
}

// list is one call of the connector. It returns in time even if the connector does not.
func (r *reading) list(ctx context.Context, lister connector.Lister) (connector.Page, *connector.Error) {
	type outcome struct {
		page connector.Page
		err  *connector.Error
	}
	d := r.d
	if err := d.lease.check(); err != nil {
		return connector.Page{}, notSent(err)
	}
	ctx, cancel := context.WithTimeout(connector.WithSendCheck(ctx, d.lease.check), d.e.set.CallTimeout)
	defer cancel()
	ended := d.e.metrics.Call(d.lease.Integration.Tool)
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o = outcome{err: &connector.Error{Kind: connector.Unexpected, Message: "the connector failed", Err: fmt.Errorf("panic: %v", p)}}
			}
			done <- o
		}()
		page, err := lister.List(ctx, r.sync.Position)
		o = outcome{page, connector.AsError(err)}
	}()
	var o outcome
	select {
	case o = <-done:
	case <-ctx.Done():
		select {
		case o = <-done:
		case <-time.After(lateAnswer):
			o.err = &connector.Error{Kind: connector.Ambiguous, Message: "the tool did not answer in time", Err: context.Cause(ctx)}
		}
	}
	kind := "ok"
	if o.err != nil {
		kind = o.err.Kind.String()
	}
	ended(kind)
	return o.page, o.err
}

// failed deals with a call that brought no page.
func (r *reading) failed(ctx context.Context, e *connector.Error) (store.SyncNext, error) {
	if err := context.Cause(ctx); err != nil {
		return store.SyncNext{}, err
	}
	if errors.Is(e, errNotSent) || errors.Is(e, errLeaseOver) {
		return store.SyncNext{}, e
	}
	d := r.d
	d.log.Info("list failed", "kind", e.Kind.String(), "error", e)
	r.sync.Attempt++
	step := store.SyncStep{Then: store.SyncLeave}
	switch e.Kind {
	case connector.Credentials:
		told := words(e, "not accepted")
		return r.end(ctx, store.SyncStep{Invalid: told, Failed: refusedCredentials(told)})
	case connector.Throttled, connector.Away, connector.Ambiguous: // time heals it
	case connector.Refused, connector.Unexpected:
		if r.sync.Position == "" || r.sync.Restarts >= mostRestarts {
			return r.end(ctx, store.SyncStep{Failed: "The tool did not list its skills: " + words(e, "refused")})
		}
		r.sync.Position, r.sync.Pages = "", 0 // it may not know the cursor any more
		r.sync.Restarts++
	case connector.Permission, connector.Unsupported:
		return r.end(ctx, store.SyncStep{Failed: "The tool did not list its skills: " + words(e, "not allowed")})
	}
	if r.sync.Attempt >= d.e.set.Attempts {
		return r.end(ctx, store.SyncStep{Failed: fmt.Sprintf("The tool did not list its skills, after %d attempts: %s", r.sync.Attempt, words(e, "no answer"))})
	}
	step.ResumeIn = d.backoff(e, r.sync.Attempt)
	if e.Kind == connector.Throttled || e.RetryAfter > 0 {
		step.Hold, d.alone = step.ResumeIn, time.Now().Add(step.ResumeIn)
		d.e.metrics.Held(d.lease.Integration.Tool, e.Kind.String())
	}
	step.Sync = r.sync
	next, err := d.e.store.AdvanceSync(ctx, d.lease.Lease, step)
	if err == nil {
		d.alone = time.Time{}
	}
	return next, err
}

// backoff is how long to wait after so many failed calls in a row.
func (d *drain) backoff(e *connector.Error, attempt int) time.Duration {
	if e.RetryAfter > 0 {
		return e.RetryAfter
	}
	wait := d.e.set.Backoff << min(attempt-1, 20)
	if wait <= 0 || wait > d.e.set.BackoffMost {
		wait = d.e.set.BackoffMost
	}
	return wait/2 + rand.N(wait/2+1)
}

// clean takes what can be kept of a page, each record once.
func clean(records []connector.Record) []store.Remote {
	good := make([]store.Remote, 0, len(records))
	ids, origins := make(map[string]bool, len(records)), map[string]bool{}
	for _, rec := range records {
		if !keepable(rec.RemoteID, mostID) || rec.RemoteID == "" || ids[rec.RemoteID] {
			continue // no tool would know it again
		}
		ids[rec.RemoteID] = true
		r := store.Remote{RemoteID: rec.RemoteID, OriginID: rec.OriginID, Name: strings.ReplaceAll(strings.ToValidUTF8(rec.Name, "\ufffd"), "\x00", "\ufffd"), Status: skill.Inactive, Apart: rec.Apart}
		if rec.Active {
			r.Status = skill.Active
		}
		if len(r.Name) > mostName {
			r.Name = strings.ToValidUTF8(r.Name[:mostName], "")
		}
		if !keepable(r.OriginID, mostID) || skill.CheckOriginID(r.OriginID) != "" || origins[r.OriginID] {
			r.OriginID = ""
		}
		if r.OriginID != "" {
			origins[r.OriginID] = true
		}
		good = append(good, r)
	}
	return good
}

func keepable(text string, most int) bool {
	return len(text) <= most && utf8.ValidString(text) && !strings.Contains(text, "\x00")
}

// sort compares a page with what is known, and adds what there is to be written down to the step.
func (r *reading) sort(ctx context.Context, records []store.Remote, step *store.SyncStep) error {
	var origins, remotes []string
	for _, rec := range records {
		if rec.OriginID != "" {
			origins = append(origins, rec.OriginID)
		} else {
			remotes = append(remotes, rec.RemoteID)
		}
	}
	rows := map[string]store.SkillRow{}
	if len(origins) > 0 {
		list, err := r.d.e.store.RowsByOrigin(ctx, r.d.lease.Lease, origins)
		if err != nil {
			return err
		}
		for _, row := range list {
			rows[row.OriginID] = row
		}
	}
	known := map[string]store.RemoteSkill{}
	if len(remotes) > 0 {
		list, err := r.d.e.store.RemoteByID(ctx, r.d.lease.Lease, remotes)
		if err != nil {
			return err
		}
		for _, remote := range list {
			known[remote.RemoteID] = remote
		}
	}
	var made []string
	if fresh := len(origins) - len(rows); fresh > 0 {
		made = skill.NewIDs(time.Now(), fresh)
	}
	for _, rec := range records {
		if rec.OriginID == "" {
			was, ok := known[rec.RemoteID]
			if !ok || was.Name != rec.Name || was.Status != rec.Status || was.Apart != rec.Apart || was.Gone {
				step.Remote = append(step.Remote, store.RemoteSkill{RemoteID: rec.RemoteID, Name: rec.Name, Status: rec.Status, Apart: rec.Apart})
			}
			continue
		}
		row, ok := rows[rec.OriginID]
		if !ok {
			step.New = append(step.New, store.NewSkill{ID: made[0], Remote: rec})
			made = made[1:]
			continue
		}
		if row.RemoteID != rec.RemoteID && r.elsewhere(row) {
			row.RemoteID = ""
		}
		if note, changes := row.See(rec); changes {
			step.Notes = append(step.Notes, note)
		}
	}
	return nil
}

// elsewhere reports whether a row was written with other settings of those that shape skills, and so perhaps to another account. Its
// remote id may be that of any other skill there: tools count.
func (r *reading) elsewhere(row store.SkillRow) bool {
	return row.Known && row.Hash != skill.ContentHash(r.d.rendering, skill.Item{OriginID: row.OriginID, Name: row.Name, Status: row.Status})
}

// look loads what the sync has seen, once a turn.
func (r *reading) look(ctx context.Context) error {
	if r.seen != nil {
		return nil
	}
	blocks, err := r.d.e.store.SyncSeen(ctx, r.d.lease.Lease)
	if err != nil {
		return err
	}
	r.seen = store.NewSeenIDs(blocks)
	some, err := r.d.e.store.RemoteAfter(ctx, r.d.lease.Lease, "", 1)
	unmanaged := len(some) > 0
	r.unmanaged = &unmanaged
	return err
}

// compare goes through a part of the catalogue: what the tool has not listed is gone, and what it has listed without an
// external id may be one of ours.
func (r *reading) compare(ctx context.Context) (store.SyncNext, error) {
	if err := r.look(ctx); err != nil {
		return store.SyncNext{}, err
	}
	rows, err := r.d.e.store.RowsAfter(ctx, r.d.lease.Lease, r.sync.Position, syncRows)
	if err != nil {
		return store.SyncNext{}, err
	}
	known := map[string]store.RemoteSkill{}
	if *r.unmanaged && len(rows) > 0 {
		ids := make([]string, 0, len(rows))
		for _, row := range rows {
			if row.RemoteID != "" {
				ids = append(ids, row.RemoteID)
			}
		}
		list, err := r.d.e.store.RemoteByID(ctx, r.d.lease.Lease, ids)
		if err != nil {
			return store.SyncNext{}, err
		}
		for _, remote := range list {
			known[remote.RemoteID] = remote
		}
	}
	step := store.SyncStep{}
	var unsent []skill.Item
	for _, row := range rows {
		note, changes := r.verdict(row, known, &step)
		if changes {
			step.Notes = append(step.Notes, note)
			r.sync.Changed++
		}
		if row.Unsent() && row.NotedAt.Before(r.sync.StartedAt) {
			asked := row.View()
			unsent = append(unsent, skill.Item{OriginID: asked.OriginID, Name: asked.Name, Status: asked.Status})
		}
	}
	if len(rows) > 0 {
		r.sync.Position = rows[len(rows)-1].ID
	}
	if len(rows) < syncRows {
		r.sync.Phase, r.sync.Position = store.Settling, ""
	}
	step.Sync = r.sync
	if len(unsent) > 0 {
		// Before the step: what is submitted twice is unchanged the second time.
		if _, err := r.d.e.Submit(ctx, store.Submission{
			EnvironmentID: r.d.lease.Integration.EnvironmentID, IntegrationID: r.d.lease.Integration.ID, TaskID: skill.NewTaskID(time.Now()), Items: unsent,
		}); err != nil {
			r.d.log.Warn("skills that were asked for could not be submitted; the next sync tries again", "skills", len(unsent), "error", err)
		}
	}
	return r.d.e.store.AdvanceSync(ctx, r.d.lease.Lease, step)
}

// verdict is what becomes of a row of the catalogue.
func (r *reading) verdict(row store.SkillRow, known map[string]store.RemoteSkill, step *store.SyncStep) (store.SkillNote, bool) {
	remote, bare := known[row.RemoteID]
	if row.RemoteID != "" && !r.seen.Origin(row.OriginID) && r.elsewhere(row) && (!bare || remote.Name != row.Name) {
		row.RemoteID = ""
	}
	if bare = bare && row.RemoteID != ""; bare {
		// A record that this sync has written was listed without its external id. An older one is a leftover of an adoption.
		fresh := !remote.ChangedAt.Before(r.sync.StartedAt)
		if fresh || r.sync.Whole {
			step.DropRemote = append(step.DropRemote, remote.RemoteID)
		}
		if fresh {
			return row.See(store.Remote{RemoteID: remote.RemoteID, Name: remote.Name, Status: remote.Status})
		}
	}
	// What was only read is known by its external id alone: when its record bears another one by now, it is gone.
	another := !row.Sent() && !bare && !r.seen.Origin(row.OriginID)
	if !r.sync.Whole || row.RemoteID != "" && r.seen.Remote(row.RemoteID) && !another {
		return store.SkillNote{}, false
	}
	if !r.seen.Origin(row.OriginID) {
		note, gone := row.Miss(r.sync.StartedAt)
		if gone {
			r.sync.Gone++
		}
		return note, gone
	}
	if row.RemoteID != "" && row.WrittenAt.Before(r.sync.StartedAt) {
		return row.Unlink(), true
	}
	return store.SkillNote{}, false
}

// adopted gives skills that the tool took over, of those that people made there, the ids under which they were read.
func (d *drain) adopted(ctx context.Context, made []*work, results []*connector.Result) {
	by := map[string]*work{}
	for i, w := range made {
		if r := results[i]; w.state.Ref == 0 && r != nil && r.Err == nil && r.RemoteID != "" {
			by[r.RemoteID] = w
		}
	}
	if len(by) == 0 {
		return
	}
	theirs, err := d.e.store.RemoteByID(ctx, d.lease.Lease, slices.Collect(maps.Keys(by)))
	if err != nil {
		d.log.Warn("skills that were taken over may get another id than they were read with", "error", err)
	}
	for _, remote := range theirs {
		if remote.ID != "" {
			by[remote.RemoteID].state.ID = remote.ID
		}
	}
}

// settle goes through a part of the skills that nobody manages.
func (r *reading) settle(ctx context.Context) (store.SyncNext, error) {
	if err := r.look(ctx); err != nil {
		return store.SyncNext{}, err
	}
	list, err := r.d.e.store.RemoteAfter(ctx, r.d.lease.Lease, r.sync.Position, syncRows)
	if err != nil {
		return store.SyncNext{}, err
	}
	step := store.SyncStep{}
	ids := skill.NewIDs(time.Now(), len(list))
	for i, remote := range list {
		switch here := !r.sync.Whole || r.seen.Remote(remote.RemoteID); {
		case here && remote.ID == "" && r.sync.Whole:
			remote.ID = ids[i]
			step.Remote = append(step.Remote, remote)
		case here:
		case remote.ID == "" || remote.Gone && remote.GoneAt.Before(r.now.Add(-goneMost)):
			step.DropRemote = append(step.DropRemote, remote.RemoteID)
		case !remote.Gone:
			remote.Gone = true
			r.sync.Gone++
			step.Remote = append(step.Remote, remote)
		}
	}
	if len(list) < syncRows {
		return r.end(ctx, step)
	}
	r.sync.Position = list[len(list)-1].RemoteID
	step.Sync = r.sync
	return r.d.e.store.AdvanceSync(ctx, r.d.lease.Lease, step)
}
