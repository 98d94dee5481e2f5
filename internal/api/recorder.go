package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// recorder notes the status, whether anything was written, and what the log of interactions wants to know.
type recorder struct {
	http.ResponseWriter
	status int

	// failures: it is logged if it fails. wanted: also if it succeeds.
	failures, wanted bool

	id            string // of the interaction; empty while nobody asked for it
	environmentID string // once the sender is known
	taskID        string // that it is about
	// The first bytes of both bodies, copied where somebody may go on using them.
	sent, answer       []byte
	sentCut, answerCut bool
}

func (a *API) recorder(w http.ResponseWriter, r *http.Request) *recorder {
	rec := &recorder{ResponseWriter: w}
	if strings.HasPrefix(r.URL.Path, "/v1/") {
		rec.failures = a.Interactions.Wants(false, true)
		rec.wanted = a.Interactions.Wants(r.Method != http.MethodGet && r.Method != http.MethodHead, false)
	}
	return rec
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	if r.wanted || r.failures && r.status >= http.StatusBadRequest {
		head := p[:min(len(p), interactions.MostBody-len(r.answer))]
		r.answer = append(r.answer, head...)
		r.answerCut = r.answerCut || len(head) < len(p)
	}
	return r.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// received notes the body of a request. Whether it will be logged is not known yet, and the buffer is somebody else's soon.
func received(w http.ResponseWriter, body []byte) {
	rec, ok := w.(*recorder)
	if !ok || !rec.failures {
		return
	}
	head := body[:min(len(body), interactions.MostBody)]
	rec.sent, rec.sentCut = append(make([]byte, 0, len(head)), head...), len(head) < len(body)
}

// concerns notes the task that a request is about.
func concerns(w http.ResponseWriter, taskID string) {
	if rec, ok := w.(*recorder); ok {
		rec.taskID = taskID
	}
}

// knows notes who sent the request.
func (r *recorder) knows(who auth.Principal) {
	if r != nil {
		r.environmentID = who.EnvironmentID
	}
}

// interactionOf is the id under which a request that fails is logged; empty when it is not.
func interactionOf(w http.ResponseWriter) string {
	rec, ok := w.(*recorder)
	if !ok || !rec.failures {
		return ""
	}
	if rec.id == "" {
		rec.id = skill.NewID(time.Now())
	}
	return rec.id
}

// shownKey is how much of an API key is shown, to tell keys apart.
const shownKey = len("cw_live_") + 6

// log hands a request that has been answered to the log.
func (a *API) log(rec *recorder, r *http.Request, began time.Time, took time.Duration) {
	failed := rec.status >= http.StatusBadRequest || rec.status == 0
	if !rec.wanted && (!rec.failures || !failed) {
		return
	}
	if rec.id == "" {
		rec.id = skill.NewID(began)
	}
	i := store.Interaction{
		ID: rec.id, EnvironmentID: rec.environmentID, Method: r.Method, URL: r.URL.RequestURI(), Status: rec.status, Took: took, Failed: failed,
		Exchange: store.Exchange{
			RequestHeader: r.Header, AnswerHeader: rec.Header().Clone(), RequestBody: rec.sent, AnswerBody: rec.answer,
			RequestCut: rec.sentCut, AnswerCut: rec.answerCut,
		},
	}
	if client := a.Clients.Client(r); client.Addr.IsValid() {
		i.Peer = client.Addr.String()
	}
	if _, key, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.HasPrefix(key, "cw_live_") && len(key) > shownKey {
		i.Key = key[:shownKey]
	}
	for _, id := range []string{r.PathValue("integration_id"), r.Header.Get(integrationHeader)} {
		if rec.environmentID != "" && skill.IsIntegrationID(id) && len(id) < 100 {
			i.IntegrationID = id
			break
		}
	}
	if i.TaskID = rec.taskID; i.TaskID == "" && rec.environmentID != "" && skill.IsTaskID(r.PathValue("task_id")) {
		i.TaskID = r.PathValue("task_id")
	}
	a.Interactions.Inbound(i)
}
