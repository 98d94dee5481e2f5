// Package client is the Go client of a Crosswalk server, and of any server that speaks the same contract.
//
//	c := client.New("http://localhost:8080", os.Getenv("CROSSWALK_API_KEY"), "sandbox:28KMdr68N8kG9EzLwjsN9aoz")
//	accepted, err := c.UpsertSkills(ctx, []client.Item{{OriginID: "skill-1", Name: "TypeScript"}})
//	task, err := c.Wait(ctx, accepted.TaskID, nil)
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client speaks to one server for one integration. Its fields may be set before first use; it is then safe for
// concurrent use.
type Client struct {
	// BaseURL is the server's address, without /v1.
	BaseURL       string
	APIKey        string
	IntegrationID string
	// HTTP sends the requests; one with a limit of a minute a request if nil.
	HTTP *http.Client
	// Retries is how often a request is sent again when the server asks for patience (429, 503) or cannot be reached, after
	// the time it asked for. An upsert that arrives twice does no harm: the second finds nothing changed.
	Retries int
	// Patience is the longest wait between two attempts; a server that asks for more gets none, and the error tells how much
	// it asked for. 2 min if zero.
	Patience time.Duration
}

// New makes a client that tries a request up to five times.
func New(baseURL, apiKey, integrationID string) *Client {
	return &Client{
		BaseURL: baseURL, APIKey: apiKey, IntegrationID: integrationID,
		HTTP: &http.Client{Timeout: time.Minute}, Retries: 4,
	}
}

// The states of a skill, of a task and of an item's result.
const (
	Active    = "ACTIVE"
	Inactive  = "INACTIVE"
	Pending   = "PENDING"
	Completed = "COMPLETED"
	Failed    = "FAILED"
	Succeeded = "SUCCEEDED"
)

// Item is one skill to be upserted.
type Item struct {
	OriginID string
	Name     string
	Status   string // Active if empty
}

// MarshalJSON writes the contract's form.
func (i Item) MarshalJSON() ([]byte, error) {
	type skill struct {
		Name   string `json:"name"`
		Status string `json:"status,omitempty"`
	}
	return json.Marshal(struct {
		OriginID string `json:"origin_id"`
		Skill    skill  `json:"skill"`
	}{i.OriginID, skill{i.Name, i.Status}})
}

// Accepted is the answer to an upsert.
type Accepted struct {
	TaskID   string
	Warnings []string
}

// Task is the state of an upsert.
type Task struct {
	ID          string     `json:"task_id"`
	Status      string     `json:"status"`
	CreatedAt   time.Time  `json:"created_at"`
	CompletedAt *time.Time `json:"completed_at"`
	// Results has an entry for each item, in their order, once the task is COMPLETED.
	Results []Result `json:"data,omitempty"`
	// Error says why the task FAILED.
	Error *Error `json:"error,omitempty"`
	// Progress is what a Crosswalk server tells beside the contract.
	Progress Progress `json:"-"`
}

// Ended reports whether the task is over.
func (t Task) Ended() bool { return t.Status == Completed || t.Status == Failed }

// Progress counts a task's items. All are 0 from a server that does not tell.
type Progress struct {
	Total, Done                int
	Written, Unchanged, Failed int
}

// Result is what became of one item.
type Result struct {
	OriginID string `json:"origin_id"`
	Status   string `json:"status"`
	Data     *Skill `json:"data,omitempty"`
	Error    *Error `json:"error,omitempty"`
}

// Skill names a skill by the server's id.
type Skill struct {
	ID string `json:"id"`
}

// Error is an error in the contract's form.
type Error struct {
	Code    string `json:"code"`
	Title   string `json:"title"`
	Message string `json:"message"`
	// LogURL is nil where the server keeps no log of it.
	LogURL *string `json:"log_url"`
	// HTTPStatus of the answer; 0 for the error of a task or item.
	HTTPStatus int `json:"-"`
	// RetryAfter is how long the server asked for patience.
	RetryAfter time.Duration `json:"-"`
}

// Error implements error.
func (e *Error) Error() string {
	if e.Code == "" {
		return e.Message
	}
	return e.Code + ": " + e.Message
}

// Integration is what the server tells about the integration.
type Integration struct {
	ID   string `json:"id"`
	Tool struct {
		ID    string `json:"id"`
		Label string `json:"label"`
	} `json:"tool"`
	Status  string `json:"status"`
	EndUser struct {
		OrganizationName string `json:"organization_name"`
	} `json:"end_user"`
}

// Server is what the server tells about itself and the key.
type Server struct {
	EnvironmentID string
	// MaxItems and MaxBody bound an upsert; 0 from a server that does not tell.
	MaxItems int
	MaxBody  int
}

// Check asks whether the key is good.
func (c *Client) Check(ctx context.Context) (Server, error) {
	var data struct {
		EnvironmentID string `json:"environment_id"`
	}
	header, err := c.do(ctx, http.MethodGet, "/v1/check-api-key", nil, &data, nil)
	if err != nil {
		return Server{}, fmt.Errorf("check API key: %w", err)
	}
	return Server{
		EnvironmentID: data.EnvironmentID,
		MaxItems:      number(header, "Crosswalk-Max-Items"), MaxBody: number(header, "Crosswalk-Max-Body"),
	}, nil
}

// Integration asks about the client's integration.
func (c *Client) Integration(ctx context.Context) (Integration, error) {
	var data Integration
	_, err := c.do(ctx, http.MethodGet, "/v1/integrations/"+url.PathEscape(c.IntegrationID), nil, &data, nil)
	if err != nil {
		return data, fmt.Errorf("get integration: %w", err)
	}
	return data, nil
}

// UpsertSkills submits items as one task. When it returns, the server has them on disk.
func (c *Client) UpsertSkills(ctx context.Context, items []Item) (Accepted, error) {
	body, err := json.Marshal(struct {
		Items []Item `json:"items"`
	}{items})
	if err != nil {
		return Accepted{}, fmt.Errorf("upsert skills: %w", err)
	}
	var data struct {
		TaskID string `json:"task_id"`
	}
	var warnings []struct {
		Message string `json:"message"`
	}
	if _, err := c.do(ctx, http.MethodPost, "/v1/hris/skills/bulk", body, &data, &warnings); err != nil {
		return Accepted{}, fmt.Errorf("upsert skills: %w", err)
	}
	accepted := Accepted{TaskID: data.TaskID}
	for _, w := range warnings {
		accepted.Warnings = append(accepted.Warnings, w.Message)
	}
	return accepted, nil
}

// Task asks for the state of a task.
func (c *Client) Task(ctx context.Context, id string) (Task, error) {
	var task Task
	header, err := c.do(ctx, http.MethodGet, "/v1/hris/skills/bulk/"+url.PathEscape(id), nil, &task, nil)
	if err != nil {
		return task, fmt.Errorf("get task: %w", err)
	}
	task.Progress = Progress{
		Total: number(header, "Crosswalk-Items-Total"), Done: number(header, "Crosswalk-Items-Done"),
		Written: number(header, "Crosswalk-Items-Written"), Unchanged: number(header, "Crosswalk-Items-Unchanged"),
		Failed: number(header, "Crosswalk-Items-Failed"),
	}
	return task, nil
}

// Wait polls a task until it has ended: soon at first, then ever less often, every two seconds at last. seen, if not nil,
// is called with every state on the way.
func (c *Client) Wait(ctx context.Context, id string, seen func(Task)) (Task, error) {
	const first, last = 5 * time.Millisecond, 2 * time.Second
	for pause := first; ; pause = min(pause*5/4, last) {
		task, err := c.Task(ctx, id)
		if err != nil {
			return task, err
		}
		if seen != nil {
			seen(task)
		}
		if task.Ended() {
			return task, nil
		}
		if err := sleep(ctx, pause); err != nil {
			return task, fmt.Errorf("wait for task %s: %w", id, err)
		}
	}
}

// do sends a request, again where that may help.
func (c *Client) do(ctx context.Context, method, path string, body []byte, data, warnings any) (http.Header, error) {
	for attempt := 0; ; attempt++ {
		header, err := c.once(ctx, method, path, body, data, warnings)
		if err == nil || ctx.Err() != nil || attempt >= c.Retries {
			return header, err
		}
		pause, ok := c.pause(err, attempt)
		if !ok || sleep(ctx, pause) != nil {
			return header, err
		}
	}
}

// pause is how long to wait after a failed attempt, if another one may help.
func (c *Client) pause(err error, attempt int) (time.Duration, bool) {
	patience := c.Patience
	if patience == 0 {
		patience = 2 * time.Minute
	}
	pause := min(200*time.Millisecond<<min(attempt, 20), patience)
	if e, ok := errors.AsType[*Error](err); ok {
		if e.HTTPStatus != http.StatusTooManyRequests && e.HTTPStatus != http.StatusServiceUnavailable || e.RetryAfter > patience {
			return 0, false
		}
		pause = max(pause, e.RetryAfter)
	}
	// Clients that were sent away together should not come back together.
	return pause + rand.N(pause/4+1), true
}

// mostAnswer bounds what is read of an answer.
const mostAnswer = 256 << 20

func (c *Client) once(ctx context.Context, method, path string, body []byte, data, warnings any) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.BaseURL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.APIKey)
	if c.IntegrationID != "" {
		request.Header.Set("X-Integration-Id", c.IntegrationID)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	sender := c.HTTP
	if sender == nil {
		sender = &http.Client{Timeout: time.Minute}
	}
	response, err := sender.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return response.Header, refusal(response, content)
	}
	answer := struct {
		Data     any `json:"data"`
		Warnings any `json:"warnings"`
	}{data, warnings}
	if err := json.Unmarshal(content, &answer); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	return response.Header, nil
}

func refusal(response *http.Response, content []byte) error {
	var envelope struct {
		Error Error `json:"error"`
	}
	if json.Unmarshal(content, &envelope) != nil || envelope.Error.Message == "" {
		envelope.Error = Error{Message: "the server answered " + response.Status}
	}
	e := envelope.Error
	e.HTTPStatus = response.StatusCode
	e.RetryAfter = retryAfter(response.Header.Get("Retry-After"), time.Now())
	return &e
}

// retryAfter reads either form of the header: seconds, or the moment, which proxies like.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(text); err == nil && seconds >= 0 {
		return time.Duration(min(seconds, math.MaxInt32)) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, at.Sub(now))
}

func number(h http.Header, name string) int {
	n, _ := strconv.Atoi(h.Get(name)) // absent, or not ours
	return n
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
