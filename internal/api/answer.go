package api

import (
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// send writes a JSON answer, to a client that has to read it in time.
func send(w http.ResponseWriter, status int, body []byte) {
	within := largeTime + time.Duration(len(body))*time.Second/slowest
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(within)) // not every connection has deadlines
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client has gone: there is nobody to tell
}

// answers bounds the memory that large answers take together. A client that does not read keeps its answer in memory until
// it is cut off, and reading a large one is work for the database: so they stand in line before they are read.
type answers struct {
	most   int64
	memory *semaphore.Weighted

	mu sync.Mutex
	// sizes of large answers that were given before: an ended task's does not change.
	sizes map[answerKey]int64
}

// answerKey names a task as its owner does: nobody else learns from the line that it exists.
type answerKey struct{ environment, integration, task string }

const (
	// freeAnswer is what an answer may take without standing in line.
	freeAnswer = 64 << 10
	// mostSizes bounds what is remembered; then it is learnt again.
	mostSizes = 10_000

	fullOfAnswers = "The server sends as many large answers as it has memory for."
)

func newAnswers(memory int) *answers {
	return &answers{most: int64(memory), memory: semaphore.NewWeighted(int64(memory)), sizes: map[answerKey]int64{}}
}

func (a *answers) size(key answerKey) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.sizes[key]
}

func (a *answers) learn(key answerKey, size int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.sizes) >= mostSizes {
		clear(a.sizes)
	}
	a.sizes[key] = size
}

// task finds a task for an answer; release gives the memory of its document back.
func (a *API) task(r *http.Request, who auth.Principal, integrationID, taskID string) (view store.TaskView, release func(), err error) {
	key := answerKey{who.EnvironmentID, integrationID, taskID}
	reserved := a.answers.size(key)
	if reserved > 0 {
		if err := wait(r.Context(), a.answers.memory, reserved, fullOfAnswers); err != nil {
			return view, func() {}, err
		}
	}
	for {
		view, err = a.Store.Task(r.Context(), who.EnvironmentID, integrationID, taskID)
		size := min(int64(len(view.Document)), a.answers.most)
		if size <= freeAnswer || size <= reserved {
			return view, func() { a.answers.memory.Release(reserved) }, err
		}
		// It is large, which nobody knew.
		a.answers.learn(key, size)
		if a.answers.memory.TryAcquire(size - reserved) {
			return view, func() { a.answers.memory.Release(size) }, err
		}
		a.answers.memory.Release(reserved)
		view = store.TaskView{}
		if err := wait(r.Context(), a.answers.memory, size, fullOfAnswers); err != nil {
			return view, func() {}, err
		}
		reserved = size
	}
}
