package connectortest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// fault is what happens to a request on its way.
type fault struct {
	name string
	// refused: nobody listens, nothing leaves.
	refused bool
	// carried: the tool gets the request and works it off, before what follows.
	carried bool
	// answer is what comes back, in place of the tool's own answer if there is one.
	answer func(w *wire, r *http.Request, its *http.Response) (*http.Response, error)
	// kills: the process ends here. What it learns or does after that does not count.
	kills bool
	// cancels: the call is given up while the request is under way; ends does it.
	cancels bool
	ends    func()
	// hangs: there is no answer until the call's time is up.
	hangs bool
	// kind and retryAfter are what an error must say when the first request already meets the fault, and so do all others.
	kind       *connector.Kind
	retryAfter time.Duration
}

const (
	otherHost  = "https://elsewhere.test/"
	longAnswer = 24 << 20 // more than anybody should read
	patience   = 7 * time.Second
)

// faults are all that the suite knows.
func faults() []fault {
	status := func(code int, header http.Header) func(*wire, *http.Request, *http.Response) (*http.Response, error) {
		return func(w *wire, r *http.Request, _ *http.Response) (*http.Response, error) {
			return w.says(r, code, header), nil
		}
	}
	broken := func(*wire, *http.Request, *http.Response) (*http.Response, error) { return nil, brokenConnection() }
	silent := func(_ *wire, r *http.Request, _ *http.Response) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return []fault{
		{name: "refused connection", refused: true, kind: new(connector.Away)},
		{name: "cut before the tool has the request", answer: broken},
		{name: "cut after it was carried out", carried: true, answer: broken},
		{name: "half an answer", carried: true, answer: changed(func(a *http.Response, whole []byte) {
			a.Body = io.NopCloser(io.MultiReader(strings.NewReader(string(whole[:len(whole)/2])), breaking{}))
		})},
		{name: "another content type", carried: true, answer: changed(func(a *http.Response, _ []byte) {
			a.Header.Set("Content-Type", "text/html; charset=utf-8")
			a.Body = io.NopCloser(strings.NewReader("<!doctype html><title>Please sign in</title>"))
		})},
		{name: "malformed", carried: true, answer: changed(func(a *http.Response, whole []byte) {
			a.Body = io.NopCloser(strings.NewReader(string(whole[:len(whole)/2]) + `{<"`))
		})},
		{name: "huge", carried: true, answer: func(w *wire, _ *http.Request, a *http.Response) (*http.Response, error) {
			// Most of them say how long they are: whoever looks need not read them.
			if a.ContentLength = longAnswer; w.count()%8 == 1 {
				a.ContentLength = -1
			}
			a.Body = io.NopCloser(&endless{w.t, bytes.Repeat([]byte{' '}, 64<<10), longAnswer})
			return a, nil
		}},
		{name: "500 before it was carried out", answer: status(http.StatusInternalServerError, nil)},
		{name: "500 after it was carried out", carried: true, answer: status(http.StatusInternalServerError, nil)},
		{name: "502 before it was carried out", answer: status(http.StatusBadGateway, nil)},
		{name: "502 after it was carried out", carried: true, answer: status(http.StatusBadGateway, nil)},
		{name: "503", answer: status(http.StatusServiceUnavailable, http.Header{"Retry-After": {fmt.Sprint(patience.Seconds())}}), kind: new(connector.Away), retryAfter: patience},
		{name: "401", answer: status(http.StatusUnauthorized, nil), kind: new(connector.Credentials)},
		{name: "403", answer: status(http.StatusForbidden, nil), kind: new(connector.Permission)},
		{name: "429", answer: status(http.StatusTooManyRequests, http.Header{"Retry-After": {fmt.Sprint(patience.Seconds())}}), kind: new(connector.Throttled), retryAfter: patience},
		{name: "429 without Retry-After", answer: status(http.StatusTooManyRequests, nil), kind: new(connector.Throttled)},
		{name: "418", answer: status(http.StatusTeapot, nil), kind: new(connector.Unexpected)},
		{name: "redirect to another host", answer: status(http.StatusTemporaryRedirect, http.Header{"Location": {otherHost}})},
		{name: "hangs before it was carried out", hangs: true, answer: silent},
		{name: "hangs after it was carried out", hangs: true, carried: true, answer: silent},
		{name: "given up before it was carried out", cancels: true, answer: silent},
		{name: "given up after it was carried out", cancels: true, carried: true, answer: silent},
		{name: "SIGKILL before the tool has the request", kills: true, answer: broken},
		{name: "SIGKILL after it was carried out", kills: true, carried: true, answer: broken},
	}
}

// changed answers with what the tool has answered, otherwise.
func changed(change func(its *http.Response, body []byte)) func(*wire, *http.Request, *http.Response) (*http.Response, error) {
	return func(_ *wire, _ *http.Request, its *http.Response) (*http.Response, error) {
		whole, err := io.ReadAll(its.Body)
		if err != nil {
			return nil, err
		}
		its.ContentLength = -1
		its.Header.Del("Content-Length")
		change(its, whole)
		return its, nil
	}
}

// named is the fault of that name.
func named(name string) *fault {
	for _, f := range faults() {
		if f.name == name {
			return &f
		}
	}
	return nil
}

type breaking struct{}

func (breaking) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// endless is more blanks than anybody should read.
type endless struct {
	t      testing.TB
	blanks []byte
	left   int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		e.t.Errorf("an answer of %d bytes was read to its end", longAnswer)
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), e.left)], e.blanks)
	e.left -= n
	return n, nil
}

// scene is an account with some skills, and what shall become of them in one go: created, changed, retired, revived, left
// alone; and one that people made, taken over by its remote id.
type scene struct {
	*subject
	wanted []connector.Skill
	// forbids: the tool says that something is not permitted. To take a skill over may want a permission of its own.
	forbids bool
}

func newScene(t *testing.T, h Harness) *scene {
	t.Helper()
	d := h.Connector.Describe()
	s := &scene{subject: h.subject(t, Normal)}
	first := skills("kept", "changed", "forgotten", "retired", "revived")
	session := s.open(t)
	ids := s.writeAll(t, session, first)
	if d.Can(connector.CanDeactivate) {
		first[4].Active = false
		s.writeAll(t, session, first[4:])
	}
	s.wanted = skills("kept", "changed", "forgotten", "retired", "revived", "new", "newer")
	for i := range first {
		s.wanted[i].RemoteID = ids[s.wanted[i].OriginID].RemoteID
	}
	s.wanted[1].Name = "changed, indeed"
	s.wanted[2].RemoteID = "" // the database was restored from before it was made
	s.wanted[3].Active = !d.Can(connector.CanDeactivate)
	if d.Can(connector.CanDeactivate) && !d.Can(connector.CanReactivate) {
		s.wanted[4].Active = false
	}
	if d.Can(connector.CanTake) {
		s.takes(t, true)
	}
	return s
}

// newTakingScene is an account with nothing but a skill that people made, which shall be taken over and retired.
func newTakingScene(t *testing.T, h Harness) *scene {
	t.Helper()
	s := &scene{subject: h.subject(t, Normal)}
	s.takes(t, false)
	return s
}

// takes has people make a skill, and wants it.
func (s *scene) takes(t *testing.T, active bool) {
	t.Helper()
	id := s.MakeByHand(t, "made by hand")
	s.wanted = append(s.wanted, connector.Skill{OriginID: "id/taken", RemoteID: id, Name: "taken", Active: active, Taken: true})
}

// state is what the tool holds of the wanted skills by their origin ids. Of one that people made it is that very record, and no matter
// whether it has got its origin id: that alone is nothing that people see, and how it is found the next time.
func (s *scene) state(t *testing.T) map[string]connector.Record {
	t.Helper()
	state := s.byOrigin(t)
	for _, r := range s.Records(t) {
		for _, sk := range s.wanted {
			if sk.Taken && r.RemoteID == sk.RemoteID {
				r.OriginID, r.UpdatedAt = "", time.Time{}
				state[sk.OriginID] = r
			}
		}
	}
	return state
}

// isAsWanted checks that the tool holds what is wanted and nothing else: no twin of what people made.
func (s *scene) isAsWanted(t *testing.T) {
	t.Helper()
	s.holds(t, s.wanted)
	for _, r := range s.Records(t) {
		if r.OriginID == "" {
			t.Errorf("the tool also holds %+v", r)
		}
	}
}

// attempt writes what is wanted the way the engine does: in batches, up to the first that fails. It returns how many skills
// were not tried at all.
func (s *scene) attempt(ctx context.Context, t *testing.T, session connector.Session) (results map[string]connector.Result, left int, err *connector.Error) {
	t.Helper()
	results, left = map[string]connector.Result{}, len(s.wanted)
	for batch := range slices.Chunk(s.wanted, session.Limits().Batch) {
		left -= len(batch)
		by, err := s.write(ctx, t, session, batch)
		maps.Copy(results, by)
		if err != nil {
			return results, left, err
		}
	}
	return results, left, nil
}

// faultMatrix lets every request of a call meet every fault, once and from then on.
func faultMatrix(t *testing.T, h Harness) {
	if !h.HTTP {
		t.Skipf("%s does not speak HTTP", h.Connector.Describe().Slug)
	}
	meetAll(t, h, newScene, faults())
	if d := h.Connector.Describe(); d.Can(connector.CanTake) && d.Can(connector.CanDeactivate) {
		t.Run("a skill made by hand is retired", func(t *testing.T) {
			meetAll(t, h, newTakingScene, slices.DeleteFunc(faults(), func(f fault) bool {
				return !slices.Contains([]string{
					"refused connection", "cut before the tool has the request", "cut after it was carried out", "503", "429",
					"SIGKILL before the tool has the request", "SIGKILL after it was carried out",
				}, f.name)
			}))
		})
	}
}

func meetAll(t *testing.T, h Harness, begin func(*testing.T, Harness) *scene, faults []fault) {
	requests := 0
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, h)
		s.asksBeforeItChanges(t)
		s.wire.set(nil)
		if _, _, err := s.attempt(t.Context(), t, s.open(t)); err != nil {
			t.Fatal(err)
		}
		requests = s.wire.count()
		s.isAsWanted(t)
	})
	if requests == 0 && !t.Failed() {
		t.Error("the connector does without its account's HTTP client")
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			for at := 1; at <= requests; at++ {
				for _, lasting := range []bool{false, true} {
					if lasting && f.kills {
						continue
					}
					name := fmt.Sprintf("request %d", at)
					if lasting {
						name += " and all that follow"
					}
					t.Run(name, func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) { meet(t, begin(t, h), f, at, lasting) })
					})
				}
			}
		})
	}
}

// asksBeforeItChanges watches that MaySend was asked before each request that changed something.
func (s *scene) asksBeforeItChanges(t *testing.T) {
	if _, ok := s.open(t).(connector.Jobs); ok {
		return // a job changes something when nothing is sent
	}
	before := s.Records(t)
	s.wire.carried = func(n int, changes bool) {
		after := s.Records(t)
		if diff := cmp.Diff(before, after); diff != "" && !changes {
			t.Errorf("request %d changes something, and MaySend was not asked before it left (-before +after):\n%s", n, diff)
		}
		before = after
	}
}

// meet is one case of the matrix.
func meet(t *testing.T, s *scene, f fault, at int, lasting bool) {
	s.forbids = f.kind != nil && *f.kind == connector.Permission
	before := s.state(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var over time.Time // when the call should have ended
	f.ends = func() {
		if f.cancels {
			over = time.Now()
			cancel()
		}
	}
	s.wire.set(func(n int, _ bool) *fault {
		if n == at || lasting && n > at {
			return &f
		}
		return nil
	})
	results, left, err := s.attempt(ctx, t, s.open(t))
	if deadline, _ := ctx.Deadline(); f.hangs && err != nil {
		over = deadline
	}
	if !over.IsZero() && time.Since(over) > soon {
		t.Errorf("Write returned %v after its context had ended", time.Since(over))
	}
	unsure := map[string]bool{}
	if f.kills {
		// Nobody heard of any result, and the intent is open.
		results = nil
		for _, sk := range s.wanted {
			unsure[sk.OriginID] = true
		}
	} else {
		s.check(t, before, results, left, err, unsure)
		s.checkError(t, f, at, lasting, err)
	}
	if t.Failed() {
		return
	}

	// Somebody else goes on.
	s.wire.set(nil)
	if err != nil {
		time.Sleep(max(err.RetryAfter, patience))
	}
	var rest []connector.Skill
	for _, sk := range s.wanted {
		if r, ok := results[sk.OriginID]; ok && r.Err == nil {
			continue
		}
		sk.Unsure = unsure[sk.OriginID]
		rest = append(rest, sk)
	}
	s.writeAll(t, s.open(t), rest)
	s.isAsWanted(t)
}

// check holds what a call said against what the tool holds, and collects the skills of which it leaves open what became of
// them.
func (s *scene) check(t *testing.T, before map[string]connector.Record, results map[string]connector.Result, left int, err *connector.Error, unsure map[string]bool) {
	t.Helper()
	held, after := s.byOrigin(t), s.state(t)
	for i, sk := range s.wanted {
		tried := i < len(s.wanted)-left
		r, ok := results[sk.OriginID]
		switch {
		case ok && r.Err == nil:
			s.isTrue(t, sk, r, held)
		case ok && r.Err.Kind == connector.Ambiguous, !ok && tried && err != nil && err.Kind == connector.Ambiguous:
			unsure[sk.OriginID] = true
		default:
			own := sk.Taken && s.forbids && ok && r.Err.Kind == connector.Unsupported
			if ok && !own && (r.Err.Kind == connector.Refused || r.Err.Kind == connector.Unsupported) {
				t.Errorf("%s: the tool has not refused the skill, but %v", sk.OriginID, r.Err)
			}
			if diff := cmp.Diff(before[sk.OriginID], after[sk.OriginID]); diff != "" {
				t.Errorf("%s: Write said %v (result %+v), so nothing became of it, but (-before +after):\n%s", sk.OriginID, err, r, diff)
			}
		}
		if ok && r.Err != nil {
			s.tellsNoSecret(t, r.Err)
		}
	}
}

func (s *scene) checkError(t *testing.T, f fault, at int, lasting bool, err *connector.Error) {
	t.Helper()
	if err == nil {
		if lasting && at == 1 {
			t.Error("no request was answered as it should, and Write has no error")
		}
		return
	}
	s.tellsNoSecret(t, err)
	if lasting && at == 1 && f.kind != nil && (err.Kind != *f.kind || err.RetryAfter != f.retryAfter) {
		t.Errorf("Write = %v, retry after %v, want the kind %s and %v", err, err.RetryAfter, *f.kind, f.retryAfter)
	}
	if err.Kind == connector.Refused || err.Kind == connector.Unsupported {
		t.Errorf("the tool has not refused the batch, but Write = %v", err)
	}
	// One answer may mean that a token has expired; a second one is the last, but for that about a permission of its own.
	most := 2
	if s.forbids && slices.ContainsFunc(s.wanted, func(sk connector.Skill) bool { return sk.Taken }) {
		most++
	}
	if refused := s.wire.count() - at + 1; lasting && f.kind != nil && (*f.kind == connector.Credentials || *f.kind == connector.Permission) && refused > most {
		t.Errorf("%d more requests although the tool had refused the credentials", refused-1)
	}
}

// mayNotSend lets the account pass to another process while a call is prepared or under way: at the first request that
// changes something, at the second, and so on.
func mayNotSend(t *testing.T, h Harness) {
	passed := errors.New("somebody else writes to this account now")
	for last := 1; ; last++ {
		s := newScene(t, h)
		before := s.state(t)
		if s.wire != nil {
			s.wire.set(nil)
		}
		asks, late := 0, 0
		ctx := connector.WithSendCheck(t.Context(), func() error {
			if asks++; asks < last {
				return nil
			}
			late++
			return passed
		})
		if s.wire != nil {
			s.wire.carried = func(n int, _ bool) {
				if late > 0 {
					t.Errorf("request %d left although MaySend had said no", n)
				}
			}
		}
		results, left, err := s.attempt(ctx, t, s.open(t))
		if late == 0 {
			if last == 1 {
				t.Error("MaySend was never asked")
			}
			return
		}
		// A request that only reads may still fail of itself, so the cause is what counts.
		if err == nil || err.Kind != connector.Away && err.Kind != connector.Ambiguous || !errors.Is(err, passed) || last == 1 && err.Kind != connector.Away {
			t.Errorf("Write = %v, want the kind %s with what MaySend said as its cause", err, connector.Away)
		}
		unsure := map[string]bool{}
		s.check(t, before, results, left, err, unsure)
		if s.wire != nil {
			s.wire.carried = nil
		}
		var rest []connector.Skill
		for _, sk := range s.wanted {
			if r, ok := results[sk.OriginID]; !ok || r.Err != nil {
				sk.Unsure = unsure[sk.OriginID]
				rest = append(rest, sk)
			}
		}
		s.writeAll(t, s.open(t), rest)
		s.isAsWanted(t)
		if t.Failed() {
			return
		}
	}
}

// tellsNoSecret checks all that an error has to say.
func (s *subject) tellsNoSecret(t *testing.T, err *connector.Error) {
	t.Helper()
	if err.Message == "" {
		t.Errorf("an error without words: %v", err)
	}
	told := err.Message + "\n" + err.Error()
	for next := error(err); next != nil; next = errors.Unwrap(next) {
		told += "\n" + next.Error()
	}
	if s.wire == nil {
		return
	}
	for _, secret := range s.wire.secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), base64.StdEncoding.EncodeToString([]byte(secret))} {
			if strings.Contains(told, form) {
				t.Errorf("an error tells the secret %q: %s", secret, told)
			}
		}
	}
}
