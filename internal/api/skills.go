package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const integrationHeader = "X-Integration-Id"

// The contract's bodies know no counts and no limits; clients that show or need them find them in headers.
const (
	totalHeader     = "Crosswalk-Items-Total"
	doneHeader      = "Crosswalk-Items-Done"
	writtenHeader   = "Crosswalk-Items-Written"
	unchangedHeader = "Crosswalk-Items-Unchanged"
	failedHeader    = "Crosswalk-Items-Failed"
	maxItemsHeader  = "Crosswalk-Max-Items"
	maxBodyHeader   = "Crosswalk-Max-Body"
	adoptHeader     = "Crosswalk-Adopt"
	inactiveHeader  = "Crosswalk-Inactive"
	awayHeader      = "Crosswalk-Away-Since"
)

// These two are the contract's own: how many items an integration may have waiting, and how many more there is room for.
const (
	limitHeader     = "Concurrency-Limit"
	remainingHeader = "Concurrency-Remaining"
)

// upsertSkills is POST /v1/hris/skills/bulk.
func (a *API) upsertSkills(w http.ResponseWriter, r *http.Request) error {
	who, integrationID, err := a.caller(r)
	if err != nil {
		return err
	}
	// Whoever may not submit is told so first, and before a large body is read. The store asks again, in the transaction: where
	// there is little to read that is soon enough.
	little := r.ContentLength >= 0 && r.ContentLength <= freeBody
	if !little {
		if err := a.mayReceive(r, who, integrationID); err != nil {
			return err
		}
	}
	request, leave, err := a.readBulk(w, r)
	if err != nil {
		if little {
			if refused := a.mayReceive(r, who, integrationID); refused != nil {
				return refused
			}
		}
		return err
	}
	defer leave()
	task, err := a.Engine.Submit(r.Context(), store.Submission{
		EnvironmentID: who.EnvironmentID, IntegrationID: integrationID, KeyID: who.KeyID,
		TaskID: skill.NewTaskID(time.Now()), Items: request.Items,
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noIntegration(integrationID)
	case errors.Is(err, store.ErrDisabled):
		return switchedOff()
	case err != nil:
		if e, ok := errors.AsType[*store.FullError](err); ok {
			return full(e, len(request.Items))
		}
		return err
	}
	concerns(w, task.ID)
	for name, values := range room(a.MostWaiting, task.Waiting) {
		w.Header()[name] = values
	}
	answer := append(make([]byte, 0, 256), `{"status":"success","data":{"task_id":"`...)
	answer = append(answer, task.ID...)
	answer = append(answer, `"},"warnings":[`...)
	for i, warning := range request.Warnings {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(answer, `{"message":`...)
		answer, _ = jsontext.AppendQuote(answer, warning)
		answer = append(answer, '}')
	}
	send(w, http.StatusOK, append(answer, `]}`...))
	return nil
}

// readBulk reads and decodes the body within the memory there is, and takes a desk, which leave gives back.
func (a *API) readBulk(w http.ResponseWriter, r *http.Request) (request bulkRequest, leave func(), err error) {
	body, release, err := a.bodies.read(w, r)
	if err != nil {
		return request, nil, err
	}
	defer release()
	if leave, err = a.bodies.desk(r.Context(), body); err != nil {
		return request, nil, err
	}
	if request, err = decodeBulk(body, a.MaxItems); err != nil {
		leave()
		return request, nil, err
	}
	return request, leave, nil
}

// room tells how much more may wait.
func room(limit, waiting int) http.Header {
	return http.Header{limitHeader: {strconv.Itoa(limit)}, remainingHeader: {strconv.Itoa(max(0, limit-waiting))}}
}

const (
	// drainRate, in items a second, is what a tool of middling speed takes. From it comes the guess when there is room again,
	// within soonest and latest: a guess that is wrong costs the caller another attempt.
	drainRate = 200
	soonest   = 5 * time.Second
	latest    = time.Minute
)

// full refuses a request for which its integration has no room.
func full(e *store.FullError, items int) error {
	over := e.Waiting + items - e.Limit
	return &httpError{
		status: http.StatusTooManyRequests, header: room(e.Limit, e.Waiting),
		err: &skill.Error{
			Kind: skill.TooMany, Code: skill.CodeConcurrencyLimit, Err: e,
			RetryAfter: min(max(time.Duration(over)*time.Second/drainRate, soonest), latest),
			Message: fmt.Sprintf("Items waiting for this integration: %d, of %d that may. There is no room for the %d of this request. "+
				"Nothing of it was kept: send it again later.", e.Waiting, e.Limit, items),
		},
	}
}

func (a *API) mayReceive(r *http.Request, who auth.Principal, integrationID string) error {
	in, err := a.Store.Integration(r.Context(), who.EnvironmentID, integrationID)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted():
		return noIntegration(integrationID)
	case err != nil:
		return err
	case !in.Enabled:
		return switchedOff()
	}
	return nil
}

// skillsTask is GET /v1/hris/skills/bulk/{task_id}.
func (a *API) skillsTask(w http.ResponseWriter, r *http.Request) error {
	who, integrationID, err := a.caller(r)
	if err != nil {
		return err
	}
	taskID := r.PathValue("task_id")
	if !skill.IsTaskID(taskID) {
		return a.noTask(r, who, integrationID, taskID)
	}
	view, release, err := a.task(r, who, integrationID, taskID)
	defer release()
	if expired, ok := errors.AsType[*store.ExpiredError](err); ok {
		return skill.Errorf(skill.NotFound, skill.CodeInputInvalid,
			"The task %s expired at %s: ended tasks are kept for a time, and then removed with their results. What it wrote is not undone.",
			taskID, expired.At.UTC().Format(skill.TimeFormat))
	}
	switch {
	case errors.Is(err, store.ErrNotFound):
		return a.noTask(r, who, integrationID, taskID)
	case err != nil:
		return err
	}
	h := w.Header()
	h.Set(totalHeader, strconv.Itoa(view.Items))
	h.Set(doneHeader, strconv.Itoa(view.Done))
	h.Set(writtenHeader, strconv.Itoa(view.Counts.Written))
	h.Set(unchangedHeader, strconv.Itoa(view.Counts.Unchanged))
	h.Set(failedHeader, strconv.Itoa(view.Counts.Failed))
	if view.Status == skill.Pending {
		view.Document = skill.PendingDocument(view.Task)
	}
	send(w, http.StatusOK, view.Document)
	return nil
}

// noTask tells a wrong integration from a wrong task, as far as the caller may know.
func (a *API) noTask(r *http.Request, who auth.Principal, integrationID, taskID string) error {
	_, err := a.Store.Integration(r.Context(), who.EnvironmentID, integrationID)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noIntegration(integrationID)
	case err != nil:
		return err
	}
	return skill.Errorf(skill.NotFound, skill.CodeInputInvalid, "This integration has no task %s.", quote(taskID))
}

// caller authenticates, and reads the integration header.
func (a *API) caller(r *http.Request) (auth.Principal, string, error) {
	who, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return who, "", err
	}
	id := r.Header.Get(integrationHeader)
	if id == "" {
		return who, "", skill.Errorf(skill.Invalid, skill.CodeIntegrationNotFound,
			"The header %s is missing. It names the integration, for example \"hibob:28KMdr68N8kG9EzLwjsN9aoz\".", integrationHeader)
	}
	return who, id, nil
}

func noIntegration(id string) error {
	return skill.Errorf(skill.NotFound, skill.CodeIntegrationNotFound, "There is no integration %s in the environment of this API key.", quote(id))
}

func switchedOff() error {
	return skill.Errorf(skill.Conflict, skill.CodeIntegrationOff, "The integration is switched off. Enable it, then submit again.")
}
