package engine

import (
	"context"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// recentBytes bounds the answers that are kept at hand, recentAnswer each of them, and recentTime how long: a client that
	// polls asks within moments.
	recentBytes  = 1 << 20
	recentAnswer = 64 << 10
	recentTime   = 5 * time.Second
	// recentEach is what an entry takes beside its answer, roughly.
	recentEach = 300
	// recentWait is how long after it began a task may keep those waiting who ask for it: most small ones have ended by then, and
	// whoever is answered earlier only asks again. Each task does so once in all, however often it is asked for.
	recentWait = 100 * time.Millisecond
)

// recent are tasks of which this process knows as much as the database: small ones that it has taken up as they came and
// written nothing down of since, and those that it has just ended, which nothing changes any more.
type recent struct {
	mu    sync.Mutex
	tasks map[string]recentTask
	// ended are those that have ended, the oldest first.
	ended []string
	bytes int
}

type recentTask struct {
	environmentID, integrationID string
	view                         store.TaskView
	until                        time.Time // zero while it has not ended
	// news is closed when a task that has not ended yet ends or is forgotten; worth is how long it is waited for.
	news  chan struct{}
	worth time.Time
	// ending: its last step is on the way to the database, which may know more than the view.
	ending bool
}

func (r *recent) began(environmentID, integrationID string, view store.TaskView) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tasks[view.ID] = recentTask{
		environmentID: environmentID, integrationID: integrationID, view: view, news: make(chan struct{}), worth: time.Now().Add(recentWait),
	}
}

// ends notes that the last step of a task begins.
func (r *recent) ends(taskID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.tasks[taskID]; ok {
		t.ending = true
		r.tasks[taskID] = t
	}
}

// stale forgets a task, unless it has ended.
func (r *recent) stale(taskID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, ok := r.tasks[taskID]; ok && t.until.IsZero() {
		close(t.news)
		delete(r.tasks, taskID)
	}
}

func (r *recent) end(environmentID, integrationID string, view store.TaskView) {
	if len(view.Document) > recentAnswer {
		r.stale(view.ID)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bytes += len(view.Document) + recentEach
	for len(r.ended) > 0 && r.bytes > recentBytes {
		r.drop()
	}
	if t, ok := r.tasks[view.ID]; ok && t.until.IsZero() {
		close(t.news)
	}
	r.tasks[view.ID] = recentTask{
		environmentID: environmentID, integrationID: integrationID, view: view, until: time.Now().Add(recentTime),
	}
	r.ended = append(r.ended, view.ID)
}

// drop forgets the oldest that has ended. r.mu is held.
func (r *recent) drop() {
	r.bytes -= len(r.tasks[r.ended[0]].view.Document) + recentEach
	delete(r.tasks, r.ended[0])
	r.ended = r.ended[1:]
}

func (r *recent) find(environmentID, integrationID, taskID string) (recentTask, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.ended) > 0 && !time.Now().Before(r.tasks[r.ended[0]].until) {
		r.drop()
	}
	t, ok := r.tasks[taskID]
	if !ok || t.environmentID != environmentID || t.integrationID != integrationID {
		return recentTask{}, false
	}
	return t, true
}

// Task is store.Tasks.Task. Clients ask for a small task while it is under way and right after its end: as long as the database
// could tell nothing new of it, it is not asked. One that has just begun is waited for, for a moment.
func (e *Engine) Task(ctx context.Context, environmentID, integrationID, taskID string) (store.TaskView, error) {
	t, ok := e.recent.find(environmentID, integrationID, taskID)
	if ok && t.until.IsZero() {
		if wait := time.Until(t.worth); wait > 0 {
			timer := time.NewTimer(wait)
			defer timer.Stop()
			select {
			case <-t.news:
			case <-timer.C:
			case <-ctx.Done():
			}
			t, ok = e.recent.find(environmentID, integrationID, taskID)
		}
	}
	if ok && !t.ending {
		return t.view, nil
	}
	return e.store.Task(ctx, environmentID, integrationID, taskID)
}
