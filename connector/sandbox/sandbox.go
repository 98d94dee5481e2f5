// Package sandbox is a connector to a tool that does not exist: it keeps a catalogue of its own and behaves like a
// vendor, good days and bad days included. Every fault a real tool was seen to have can be switched on by a setting of
// the integration, while it runs. Integrators try their code against it, and the tests of the engine lean on it.
package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Row is one skill to be kept, found by its external id.
type Row struct {
	// Seq is the row's number if the caller knows it, else 0.
	Seq        int64
	ExternalID string
	Name       string
	Active     bool
}

// Record is one skill as it is kept.
type Record struct {
	Row
	// Writes is how often the row was written, the first time included.
	Writes int
}

// Catalogue keeps what the tool was sent. It belongs to the tool: its transactions have nothing to do with the server's
// own. Implementations may be called concurrently.
type Catalogue interface {
	// Write makes or replaces the rows in one transaction and returns their numbers in order.
	Write(ctx context.Context, account string, rows []Row) ([]int64, error)
	// Holders returns which external id bears each of the names that is taken.
	Holders(ctx context.Context, account string, names []string) (map[string]string, error)
	// List returns up to limit records with a number above after, by number.
	List(ctx context.Context, account string, after int64, limit int) ([]Record, error)
	// Page returns up to limit records with an external id above after, in the order of these.
	Page(ctx context.Context, account, after string, limit int) ([]Record, error)
	// Remove deletes records, as somebody at the tool's own screen does.
	Remove(ctx context.Context, account string, externalIDs []string) error
	// Admit counts a call. It returns 0, or how long to wait when the account had limit calls in the current window.
	Admit(ctx context.Context, account string, limit int, window time.Duration) (time.Duration, error)
	// Steps returns how often Steps was called for each external id before, and counts this time.
	Steps(ctx context.Context, account string, externalIDs []string) ([]int, error)
}

// Slug is the tool's id.
const Slug = "sandbox"

// New returns the connector. The catalogue is where the tool keeps its skills.
func New(catalogue Catalogue) connector.Connector { return &sandbox{catalogue} }

type sandbox struct{ catalogue Catalogue }

// Settings of an account. The zero value of each is a well-behaved tool, but for the batch limit.
type Settings struct {
	BatchLimit        int                 `json:"batch_limit"`
	Concurrency       int                 `json:"concurrency"`
	Latency           duration            `json:"latency"`
	LatencyPerSkill   duration            `json:"latency_per_skill"`
	RateLimit         int                 `json:"rate_limit"`
	RateWindow        duration            `json:"rate_window"`
	DeclareRate       bool                `json:"declare_rate"`
	HideRetryAfter    bool                `json:"hide_retry_after"`
	RefuseNames       string              `json:"refuse_names"`
	UniqueNames       bool                `json:"unique_names"`
	RefuseBatch       bool                `json:"refuse_batch"`
	Outage            bool                `json:"outage"`
	APIKey            string              `json:"api_key"`
	RefuseCredentials bool                `json:"refuse_credentials"`
	RefusePermission  bool                `json:"refuse_permission"`
	LoseAnswers       int                 `json:"lose_answers"`
	Scripts           map[string][]string `json:"scripts"`
}

type duration time.Duration

func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	v, err := time.ParseDuration(text)
	*d = duration(v)
	return err
}

const (
	defaultBatch = 2000
	// scriptHelp is shown with the field: what a step of a script may be.
	scriptHelp = `origin_id → steps, one a call that holds the skill, then "ok" for ever. Steps: ok, refuse, ` +
		`refuse: <words>, mute (no result for it), throttle, away, credentials, permission, unexpected, lose (written, ` +
		`but the answer is lost), hang (no answer until the caller gives up), late: <duration> (carried out so much later, ` +
		`even if the caller has given up)`
)

// Describe implements connector.Connector.
func (*sandbox) Describe() connector.Description {
	return connector.Description{
		Slug:     Slug,
		Label:    "Sandbox",
		Category: connector.HRIS,
		Summary:  "A pretend tool with a catalogue of its own, which can be told to misbehave.",
		Settings: []connector.Field{
			{Name: "batch_limit", Type: connector.Number, Label: "Largest batch", Help: "Most skills it takes in one call.", Default: strconv.Itoa(defaultBatch)},
			{Name: "concurrency", Type: connector.Number, Label: "Calls at once", Help: "Calls it serves at the same time.", Default: "1"},
			{Name: "latency", Type: connector.Duration, Label: "Latency", Help: "How long a call takes; the write happens half-way.", Default: "0s", Example: "250ms"},
			{Name: "latency_per_skill", Type: connector.Duration, Label: "Latency per skill", Help: "Added for each skill of a call.", Default: "0s", Example: "2ms"},
			{Name: "rate_limit", Type: connector.Number, Label: "Rate limit", Help: "Calls per window; 0 is no limit.", Default: "0", Example: "60"},
			{Name: "rate_window", Type: connector.Duration, Label: "Rate window", Help: "Length of the rate limit's window.", Default: "1m"},
			{Name: "declare_rate", Type: connector.Switch, Label: "Declare the rate limit", Help: "Let the server know the rate limit, so that it keeps to it.", Default: "false"},
			{Name: "hide_retry_after", Type: connector.Switch, Label: "Hide Retry-After", Help: "Throttle without saying for how long.", Default: "false"},
			{Name: "refuse_names", Type: connector.Text, Label: "Refuse names", Help: "A regular expression; skills whose name matches are refused.", Example: "(?i)^test"},
			{Name: "unique_names", Type: connector.Switch, Label: "Unique names", Help: "Refuse a name that another skill bears.", Default: "false"},
			{Name: "refuse_batch", Type: connector.Switch, Label: "Refuse whole batches", Help: "Refuse the whole call if it would refuse one skill, without saying which.", Default: "false"},
			{Name: "outage", Type: connector.Switch, Label: "Outage", Help: "The tool cannot be reached.", Default: "false"},
			{Name: "api_key", Type: connector.Text, Label: "API key", Help: "Any is accepted, and so is none; but not one that begins with wrong.", Secret: true, Example: "sk_sandbox_123"},
			{Name: "refuse_credentials", Type: connector.Switch, Label: "Refuse credentials", Help: "Every call is refused as not signed in.", Default: "false"},
			{Name: "refuse_permission", Type: connector.Switch, Label: "Refuse permission", Help: "Every call is refused as not allowed.", Default: "false"},
			{Name: "lose_answers", Type: connector.Number, Label: "Lose answers", Help: "Every so-manieth call is carried out but its answer is lost; 0 is never.", Default: "0", Example: "3"},
			{Name: "scripts", Type: connector.Data, Label: "Scripts", Help: scriptHelp, Example: `{"skill-1":["throttle","refuse: too vague","ok"]}`},
		},
		Limits:       connector.Limits{Batch: defaultBatch, Concurrency: 1},
		Capabilities: []connector.Capability{connector.CanCheck, connector.CanList, connector.CanDeactivate, connector.CanReactivate},
	}
}

// Open implements connector.Connector.
func (s *sandbox) Open(account connector.Account) (connector.Session, error) {
	var set Settings
	if err := s.Describe().DecodeSettings(account.Settings, &set); err != nil {
		return nil, err
	}
	switch {
	case set.BatchLimit < 1:
		return nil, errors.New("sandbox settings: batch_limit must be at least 1")
	case set.Concurrency < 1:
		return nil, errors.New("sandbox settings: concurrency must be at least 1")
	case set.RateWindow < duration(time.Millisecond):
		return nil, errors.New("sandbox settings: rate_window must be at least 1ms")
	}
	for id, script := range set.Scripts {
		for _, step := range script {
			if _, err := lateness(step); err != nil {
				return nil, fmt.Errorf("sandbox settings: scripts: %s: %w", id, err)
			}
		}
	}
	refuse, err := regexp.Compile(set.RefuseNames)
	if err != nil {
		return nil, fmt.Errorf("sandbox settings: refuse_names: %w", err)
	}
	if set.RefuseNames == "" {
		refuse = nil
	}
	return &session{catalogue: s.catalogue, account: account.ID, set: set, refuse: refuse}, nil
}

type session struct {
	catalogue Catalogue
	account   string
	set       Settings
	refuse    *regexp.Regexp
}

// Limits implements connector.Session.
func (s *session) Limits() connector.Limits {
	limits := connector.Limits{Batch: s.set.BatchLimit, Concurrency: s.set.Concurrency}
	if s.set.DeclareRate && s.set.RateLimit > 0 {
		limits.Calls, limits.Per = s.set.RateLimit, time.Duration(s.set.RateWindow)
	}
	return limits
}

// The session can do this, besides writing.
var (
	_ connector.Checker = (*session)(nil)
	_ connector.Lister  = (*session)(nil)
)

// Check implements connector.Checker.
func (s *session) Check(context.Context) error { return s.door() }

// pageSize is how many skills the tool shows at once.
const pageSize = 500

// List implements connector.Lister.
func (s *session) List(ctx context.Context, cursor string) (connector.Page, error) {
	if err := s.door(); err != nil {
		return connector.Page{}, err
	}
	records, err := s.catalogue.Page(ctx, s.account, cursor, pageSize)
	if err != nil {
		return connector.Page{}, silent(connector.Away, err)
	}
	page := connector.Page{Records: make([]connector.Record, len(records))}
	for i, r := range records {
		page.Records[i] = connector.Record{RemoteID: remoteID(r.Seq), OriginID: r.ExternalID, Name: r.Name, Active: r.Active}
	}
	if len(records) == pageSize {
		page.Next = page.Records[pageSize-1].OriginID
	}
	return page, nil
}

// loses is the step that writes and then loses the answer.
const loses = "lose"

// Write implements connector.Session.
func (s *session) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	if len(skills) > s.set.BatchLimit {
		return nil, connector.Errorf(connector.Refused, "A call may hold at most %d skills, this one holds %d", s.set.BatchLimit, len(skills))
	}
	latency := time.Duration(s.set.Latency) + time.Duration(len(skills))*time.Duration(s.set.LatencyPerSkill)
	if err := sleep(ctx, latency/2); err != nil {
		return nil, err
	}
	steps, lose, err := s.traffic(ctx, skills)
	if err != nil {
		return nil, err
	}
	results, rows, err := s.sort(ctx, skills, steps)
	if err != nil {
		return nil, err
	}
	// From here on the tool has the request: whatever goes wrong leaves open whether it was carried out.
	if err := connector.MaySend(ctx); err != nil {
		return nil, &connector.Error{Kind: connector.Away, Message: "the call was given up before it was sent", Err: err}
	}
	if len(rows) > 0 {
		seqs, err := s.keep(ctx, rows, steps)
		if err != nil {
			return nil, silent(connector.Ambiguous, err)
		}
		for i, row := range rows {
			results = append(results, connector.Result{OriginID: row.ExternalID, RemoteID: remoteID(seqs[i])})
		}
	}
	if err := sleep(ctx, latency/2); err != nil {
		return nil, err
	}
	if lose {
		return nil, connector.Errorf(connector.Ambiguous, "the connection broke before the answer came")
	}
	return results, nil
}

// keep writes the rows, late if a script says so: then the request lies somewhere on the way, and no caller can take it back.
func (s *session) keep(ctx context.Context, rows []Row, steps map[string]string) ([]int64, error) {
	var late time.Duration
	for _, step := range steps {
		d, _ := lateness(step) // Open has looked
		late = max(late, d)
	}
	if late == 0 {
		return s.catalogue.Write(ctx, s.account, rows)
	}
	type answer struct {
		seqs []int64
		err  error
	}
	done := make(chan answer, 1)
	time.AfterFunc(late, func() {
		seqs, err := s.catalogue.Write(context.WithoutCancel(ctx), s.account, rows)
		done <- answer{seqs, err}
	})
	select {
	case a := <-done:
		return a.seqs, a.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// lateness is how much later a step carries the call out.
func lateness(step string) (time.Duration, error) {
	words, late := strings.CutPrefix(step, "late:")
	if !late {
		return 0, nil
	}
	return time.ParseDuration(strings.TrimSpace(words))
}

// silent is what is known when the catalogue does not answer.
func silent(kind connector.Kind, err error) error {
	return &connector.Error{Kind: kind, Message: "the sandbox's catalogue did not answer", Err: err}
}

// door is the tool's front door: outage and sign-in.
func (s *session) door() error {
	switch {
	case s.set.Outage:
		return connector.Errorf(connector.Away, "The sandbox is down for maintenance")
	case s.set.RefuseCredentials, strings.HasPrefix(s.set.APIKey, "wrong"):
		return connector.Errorf(connector.Credentials, "Invalid token")
	case s.set.RefusePermission:
		return connector.Errorf(connector.Permission, "This user may not change skills")
	default:
		return nil
	}
}

// traffic is what a call meets before its skills are looked at: the front door, the rate limit and the scripts' steps.
func (s *session) traffic(ctx context.Context, skills []connector.Skill) (steps map[string]string, lose bool, err error) {
	if err := s.door(); err != nil {
		return nil, false, err
	}
	if s.set.RateLimit > 0 {
		wait, err := s.catalogue.Admit(ctx, s.account, s.set.RateLimit, time.Duration(s.set.RateWindow))
		if err != nil {
			return nil, false, silent(connector.Away, err)
		}
		if wait > 0 {
			return nil, false, s.throttled(wait)
		}
	}
	if n := s.set.LoseAnswers; n > 0 {
		// The account counts its calls under an id no skill can have.
		counts, err := s.catalogue.Steps(ctx, s.account, []string{""})
		if err != nil {
			return nil, false, silent(connector.Away, err)
		}
		lose = (counts[0]+1)%n == 0
	}
	steps, err = s.scripted(ctx, skills)
	if err != nil {
		return nil, false, err
	}
	for _, step := range steps {
		switch step {
		case "throttle":
			return nil, false, s.throttled(time.Second)
		case "away":
			return nil, false, connector.Errorf(connector.Away, "Service unavailable")
		case "credentials":
			return nil, false, connector.Errorf(connector.Credentials, "Invalid token")
		case "permission":
			return nil, false, connector.Errorf(connector.Permission, "This user may not change skills")
		case "unexpected":
			return nil, false, connector.Errorf(connector.Unexpected, "418 I'm a teapot")
		case "hang":
			<-ctx.Done()
			return nil, false, gaveUp(ctx)
		case loses:
			lose = true
		}
	}
	return steps, lose, nil
}

func (s *session) throttled(wait time.Duration) error {
	e := connector.Errorf(connector.Throttled, "Too many requests")
	if !s.set.HideRetryAfter {
		e.RetryAfter = wait
	}
	return e
}

// scripted takes the next step of each script that this call touches.
func (s *session) scripted(ctx context.Context, skills []connector.Skill) (map[string]string, error) {
	if len(s.set.Scripts) == 0 {
		return nil, nil
	}
	var ids []string
	for _, sk := range skills {
		if _, has := s.set.Scripts[sk.OriginID]; has {
			ids = append(ids, sk.OriginID)
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	at, err := s.catalogue.Steps(ctx, s.account, ids)
	if err != nil {
		return nil, silent(connector.Away, err)
	}
	steps := map[string]string{}
	for i, id := range ids {
		if script := s.set.Scripts[id]; at[i] < len(script) {
			steps[id] = script[at[i]]
		}
	}
	return steps, nil
}

// sort tells the skills that will be written from those the tool refuses.
func (s *session) sort(ctx context.Context, skills []connector.Skill, steps map[string]string) ([]connector.Result, []Row, error) {
	holders := map[string]string{}
	if s.set.UniqueNames {
		names := make([]string, len(skills))
		for i, sk := range skills {
			names[i] = sk.Name
		}
		var err error
		if holders, err = s.catalogue.Holders(ctx, s.account, names); err != nil {
			return nil, nil, silent(connector.Away, err)
		}
	}
	results := make([]connector.Result, 0, len(skills))
	rows := make([]Row, 0, len(skills))
	for _, sk := range skills {
		refusal := ""
		step := steps[sk.OriginID]
		switch words, scripted := strings.CutPrefix(step, "refuse"); {
		case step == "mute":
			continue
		case scripted:
			refusal = strings.TrimSpace(strings.TrimPrefix(words, ":"))
			if refusal == "" {
				refusal = "Not accepted"
			}
		case s.refuse != nil && s.refuse.MatchString(sk.Name):
			refusal = "This name is not allowed"
		case s.set.UniqueNames:
			if holder, taken := holders[sk.Name]; taken && holder != sk.OriginID {
				refusal = "A skill with this name already exists"
			} else {
				holders[sk.Name] = sk.OriginID
			}
		}
		if refusal == "" {
			rows = append(rows, Row{Seq: seqOf(sk.RemoteID), ExternalID: sk.OriginID, Name: sk.Name, Active: sk.Active})
			continue
		}
		if s.set.RefuseBatch && len(skills) > 1 {
			return nil, nil, connector.Errorf(connector.Refused, "The batch was refused")
		}
		results = append(results, connector.Result{OriginID: sk.OriginID, Err: connector.Errorf(connector.Refused, "%s", refusal)})
	}
	return results, rows, nil
}

const remotePrefix = "SKL-"

func remoteID(seq int64) string { return remotePrefix + strconv.FormatInt(seq, 10) }

func seqOf(remoteID string) int64 {
	seq, _ := strconv.ParseInt(strings.TrimPrefix(remoteID, remotePrefix), 10, 64)
	return seq
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return gaveUp(ctx)
	}
}

func gaveUp(ctx context.Context) error {
	return &connector.Error{Kind: connector.Ambiguous, Message: "the sandbox did not answer in time", Err: context.Cause(ctx)}
}
