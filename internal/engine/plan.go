package engine

import (
	"context"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// work is one item that must be written.
type work struct {
	at    int // position in the task
	item  skill.Item
	state store.SkillState // State.ID is set also for a skill that is new
	hash  skill.Hash
	// unsure: an earlier attempt had no answer.
	unsure bool
}

func (w *work) skill(adopt bool) connector.Skill {
	return connector.Skill{
		OriginID: w.item.OriginID, RemoteID: w.state.RemoteID, Name: w.item.Name,
		Active: w.item.Status == skill.Active, Unsure: w.unsure || w.state.Unsure,
		Adopt: adopt && w.state.RemoteID == "", Taken: w.state.Taken,
	}
}

// chunk is what one call takes: at most a batch of items that must be written, and the positions they span. The items in
// between are unchanged; their outcomes are written down with the chunk's.
type chunk struct {
	span store.Range
	work []*work
	// opened: an intent over the span is on disk.
	opened bool
	// sends is how many of work the call under way holds: all of it, or one while the tool is away.
	sends int
	// began: the call that is under way, or the one that started the job, was about to leave.
	began time.Time
	// job is the tool's, nil if it has none for the chunk.
	job *job
}

// sent is the work of the call under way.
func (c *chunk) sent() []*work { return c.work[:c.sends] }

// plan cuts a task into chunks: it reads the items block by block, looks them up, and sorts out what is unchanged. So a
// call is full whenever there is enough to write, however few of the items have changed.
type plan struct {
	store     Store
	lease     store.Lease
	rendering string
	batch     int
	// atOnce is how many chunks may be under way.
	atOnce int
	// refuse is asked about each item that would have to be written. True: it is settled, nothing is sent.
	refuse func(*work) bool

	task     *store.DrainTask
	outcomes []skill.Outcome    // of the whole task, by position; the plan sets the unchanged ones
	first    []skill.Item       // the items from the beginning on that are at hand
	known    []store.SkillState // those of first, if they were looked up
	held     []store.Range      // positions that are in chunks of jobs already, in order

	at    int     // next position to look at
	block int     // how many items the last block held
	ahead []*work // looked up, not yet in a chunk
	begin int     // where the next chunk's span begins
}

// next returns the next chunk; one without work at the end, when only unchanged items were left; nil when all is planned.
func (p *plan) next(ctx context.Context) (*chunk, error) {
	for len(p.ahead) < p.batch && p.at < p.task.Items {
		if err := p.lookUp(ctx); err != nil {
			return nil, err
		}
	}
	var stop int
	p.begin, stop = p.free(p.begin)
	if len(p.ahead) == 0 && p.begin >= p.task.Items {
		return nil, nil
	}
	n := 0
	for n < min(p.batch, len(p.ahead)) && p.ahead[n].at < stop {
		n++
	}
	c := &chunk{work: p.ahead[:n:n], span: store.Range{Start: p.begin, Stop: stop}}
	p.ahead = p.ahead[n:]
	// What is under way when the next block is looked up does not keep this one.
	if p.apart() && p.at < p.task.Items && len(p.ahead) < (p.atOnce+1)*p.batch {
		c.work = detached(c.work)
	}
	if len(p.ahead) > 0 && p.ahead[0].at < stop || len(p.ahead) == 0 && p.at < stop {
		c.span.Stop = c.work[n-1].at + 1
	}
	p.begin = c.span.Stop
	return c, nil
}

// atHand reports whether next has a chunk without a look-up.
func (p *plan) atHand() bool {
	return len(p.ahead) > 0 && (len(p.ahead) >= p.batch || p.at >= p.task.Items)
}

// free returns the first position from at on that is not held, and where the next held ones begin.
func (p *plan) free(at int) (from, stop int) {
	for _, r := range p.held {
		if at < r.Start {
			return at, r.Start
		}
		at = max(at, r.Stop)
	}
	return at, p.task.Items
}

// items returns the task's from a position on, as many as there are in a block. Those of a task of one block are read once.
func (p *plan) items(ctx context.Context, at int) (items []skill.Item, err error) {
	if at < len(p.first) {
		return p.first[at:], nil
	}
	if items, err = p.store.Items(ctx, p.task.Ref, at); err != nil {
		return nil, err
	}
	if len(items) == 0 {
		return nil, errShort
	}
	if len(items) == p.task.Items {
		p.first = items
	}
	return items, nil
}

// lookUp reads on by one block.
func (p *plan) lookUp(ctx context.Context) error {
	from, stop := p.free(p.at)
	if p.at = from; from >= stop {
		return nil
	}
	some, n, err := p.look(ctx, from, stop)
	if err != nil {
		return err
	}
	if p.apart() {
		p.ahead = detached(p.ahead)
	}
	for _, w := range some {
		if !p.refuse(w) {
			p.ahead = append(p.ahead, w)
		}
	}
	p.at, p.block = from+n, n
	return nil
}

// apart reports whether little of a block is left when the next one is looked up, so that it is worth a copy: then there is one
// block in memory beside what is under way, and not two.
func (p *plan) apart() bool { return (p.atOnce+1)*p.batch <= p.block }

// detached is work that does not keep the whole block in memory which it was read from.
func detached(some []*work) []*work {
	size := 0
	for _, w := range some {
		size += len(w.item.OriginID) + len(w.item.Name)
	}
	var texts strings.Builder
	texts.Grow(size)
	for _, w := range some {
		texts.WriteString(w.item.OriginID)
		texts.WriteString(w.item.Name)
	}
	all, own, at := texts.String(), make([]work, len(some)), 0
	apart := make([]*work, len(some))
	for i, w := range some {
		own[i], apart[i] = *w, &own[i]
		own[i].item.OriginID, at = all[at:at+len(w.item.OriginID)], at+len(w.item.OriginID)
		own[i].item.Name, at = all[at:at+len(w.item.Name)], at+len(w.item.Name)
	}
	return apart
}

// look reads from a position on, not beyond another one, and returns what must be written of that and how many items it was.
func (p *plan) look(ctx context.Context, from, stop int) (must []*work, n int, err error) {
	items, err := p.items(ctx, from)
	if err != nil {
		return nil, 0, err
	}
	items = items[:min(len(items), stop-from)]
	ids := make([]string, 0, len(items))
	open := make([]int, 0, len(items))
	for i, it := range items {
		if p.outcomes[from+i].Kind == 0 {
			ids = append(ids, it.OriginID)
			open = append(open, i)
		}
	}
	states := p.known
	if from > 0 || len(states) != len(ids) {
		if states, err = p.store.Skills(ctx, p.lease, ids); err != nil {
			return nil, 0, err
		}
	}
	if p.task.Rewrite {
		// What the task was made with may be older than what was written since.
		contents, err := p.store.Contents(ctx, p.lease, ids)
		if err != nil {
			return nil, 0, err
		}
		for n, i := range open {
			items[i] = contents[n]
		}
	}
	block := make([]work, 0, len(open))
	fresh := 0
	for n, i := range open {
		w := work{at: from + i, item: items[i], state: states[n], hash: skill.ContentHash(p.rendering, items[i])}
		unchanged := w.state.Known && !w.state.Unsure && w.state.Hash == w.hash
		if p.task.Rewrite {
			unchanged = w.item.Name == "" // nothing was ever confirmed, so there is nothing to restore: it stays unsure
		}
		if unchanged {
			p.outcomes[w.at] = skill.Outcome{Kind: skill.Unchanged, SkillID: w.state.ID}
			continue
		}
		if w.state.ID == "" {
			fresh++
		}
		block = append(block, w)
	}
	var newIDs []string
	if fresh > 0 {
		newIDs = skill.NewIDs(time.Now(), fresh)
	}
	for i := range block {
		w := &block[i]
		if w.state.ID == "" {
			w.state.ID, newIDs = newIDs[0], newIDs[1:]
		}
		must = append(must, w)
	}
	return must, len(items), nil
}
