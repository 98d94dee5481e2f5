package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type doctorCommand struct {
	database
	masterKey
	asJSON
}

func (c *doctorCommand) Help() string {
	return examplesOf("crosswalk doctor", "crosswalk doctor --database postgres://crosswalk@db.example.com/crosswalk --json")
}

const (
	// longPending is how old an unfinished task may be without a word about it.
	longPending = time.Hour
	// farClock is how far apart two clocks may be.
	farClock = time.Second
	// lookAgain is how long integrations are watched that nobody works on: a lease of a server that died runs out, and
	// somebody else takes it, well within that.
	lookAgain = 10 * time.Second
	lookEvery = 250 * time.Millisecond
	// answerWithin is how long a database may take to answer.
	answerWithin = 5 * time.Second
)

// Run ends with exitTrouble when something is wrong. What only deserves a warning is no trouble yet.
func (c *doctorCommand) Run(a *app) error {
	found, err := c.look(a.ctx)
	if err != nil {
		return err
	}
	worst := store.Fine
	for _, f := range found {
		worst = max(worst, f.Grade)
	}
	type check struct {
		Check string `json:"check"`
		State string `json:"state"`
		Found string `json:"found"`
		Do    string `json:"do,omitempty"`
	}
	out := struct {
		State  string  `json:"state"`
		Checks []check `json:"checks"`
	}{gradeWord(worst), each(found, func(f store.Finding) check { return check{f.Check, gradeWord(f.Grade), f.Found, f.Do} })}
	err = c.print(a, out, func(w io.Writer) {
		for _, f := range found {
			fmt.Fprintf(w, "%s %-7s  %-11s  %s\n", a.gradeMark(f.Grade), gradeWord(f.Grade), f.Check, f.Found)
			if f.Do != "" {
				fmt.Fprintf(w, "%24s%s\n", "", f.Do)
			}
		}
	})
	if err == nil && worst == store.Wrong {
		return &exitError{code: exitTrouble}
	}
	return err
}

func gradeWord(g store.Grade) string {
	return [...]string{store.Fine: "ok", store.Warning: "warning", store.Wrong: "wrong"}[g]
}

func (a *app) gradeMark(g store.Grade) string {
	switch g {
	case store.Fine:
		return a.colour("32", "✓")
	case store.Warning:
		return a.colour("33", "!")
	default:
		return a.colour("31", "✗")
	}
}

// look collects the findings. An error is a mistake of the user; what the database says of itself is a finding.
func (c *doctorCommand) look(ctx context.Context) ([]store.Finding, error) {
	asking, cancel := context.WithTimeout(ctx, answerWithin)
	have, known, err := c.where().Versions(asking)
	cancel()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []store.Finding{{
			Check: "database", Grade: store.Wrong, Found: "there is none at " + c.where().String(),
			Do: "Name another place with --data or --database. The first crosswalk serve makes one.",
		}}, nil
	case skill.KindOf(err) == skill.Invalid:
		return nil, err
	case err != nil:
		return []store.Finding{c.unreachable(err)}, nil
	case have != known:
		return []store.Finding{tables(have, known)}, nil
	}
	ctx, cancel = context.WithTimeout(ctx, lookAgain+4*answerWithin)
	defer cancel()
	s, err := c.where().Open(ctx, false, "", nil, nil)
	if err != nil {
		return []store.Finding{c.unreachable(err)}, nil
	}
	defer s.Close() //nolint:errcheck // nothing was written
	found, err := c.examine(ctx, s)
	if err != nil {
		return append(found, c.unreachable(err)), nil
	}
	return append(found[:1:1], append([]store.Finding{tables(have, known)}, found[1:]...)...), nil
}

func (c *doctorCommand) unreachable(err error) store.Finding {
	if e, ok := errors.AsType[*skill.Error](err); ok && e.Err != nil {
		err = e.Err // its message is for callers of the API
	}
	f := store.Finding{Check: "database", Grade: store.Wrong, Found: c.where().String() + ": " + strings.ReplaceAll(err.Error(), "\n\t", " ")}
	if c.where().IsPostgres() {
		f.Do = "See that the server runs, that this machine may reach it, and that user and password are right. Servers answer 503 meanwhile and go on by themselves."
	} else {
		f.Do = "See that the disk is well and that this user may read and write the file and its folder."
	}
	return f
}

// tables compares the versions of the tables.
func tables(have, known int64) store.Finding {
	f := store.Finding{Check: "tables", Grade: store.Warning, Found: fmt.Sprintf("at version %d, as this program wants them", have)}
	switch {
	case have == 0:
		f.Found, f.Do = "there are none yet", "The first crosswalk serve makes them."
	case have < known:
		f.Found = fmt.Sprintf("at version %d; this program brings version %d", have, known)
		f.Do = "crosswalk serve brings them up to date. Programs that are older than the tables do not start any more: update all. Nothing else was looked at."
	case have > known:
		f.Grade = store.Wrong
		f.Found = fmt.Sprintf("at version %d; this program knows only version %d", have, known)
		f.Do = "Run the newer program. Nothing else was looked at."
	default:
		f.Grade = store.Fine
	}
	return f
}

func (c *doctorCommand) examine(ctx context.Context, s store.Store) ([]store.Finding, error) {
	before := time.Now()
	h, err := s.Health(ctx)
	if err != nil {
		return nil, err
	}
	took := time.Since(before)
	found := []store.Finding{{
		Check: "database", Found: fmt.Sprintf("%s, %s, answers in %s", h.Product, store.Bytes(h.Bytes), took.Round(100*time.Microsecond)),
	}, clock(before, took, h.Now)}
	special, err := s.Examine(ctx)
	if err != nil {
		return found, err
	}
	found = append(found, special...)
	least, err := watch(ctx, s, h)
	if err != nil {
		return found, err
	}
	key, err := c.examineKey(ctx, s)
	if err != nil {
		return found, err
	}
	away, err := s.Away(ctx, "")
	if err != nil {
		return found, err
	}
	return append(append(found, queue(h, least)...), tools(away), key), nil
}

// clock compares this machine's clock with the database's.
func clock(before time.Time, took time.Duration, database time.Time) store.Finding {
	apart := database.Sub(before)
	if apart > 0 { // it was read at some moment until the answer came
		apart = max(0, apart-took)
	}
	f := store.Finding{Check: "clock", Found: "this machine's and the database's are together"}
	if apart.Abs() > farClock {
		f.Grade = store.Warning
		f.Found = fmt.Sprintf("this machine's is %s %s the database's", apart.Abs().Round(100*time.Millisecond), map[bool]string{true: "behind", false: "ahead of"}[apart > 0])
		f.Do = "Set it. Leases and deadlines go by the database's clock alone; logs and the ids of new tasks tell the wrong time."
	}
	return f
}

// watch looks again at what is normal for a moment only, until it is gone or has stayed too long, and returns the least.
func watch(ctx context.Context, s store.Store, h store.Health) (store.Health, error) {
	least := h
	for end := time.Now().Add(lookAgain); least.Unattended+least.Overdue > 0 && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return least, ctx.Err()
		case <-time.After(lookEvery):
		}
		now, err := s.Health(ctx)
		if err != nil {
			return least, err
		}
		least.Unattended, least.Stale = min(least.Unattended, now.Unattended), min(least.Stale, now.Stale)
		least.Overdue, least.Leases = min(least.Overdue, now.Overdue), max(least.Leases, now.Leases)
	}
	return least, nil
}

// queue judges what waits, and who works on it.
func queue(h, least store.Health) []store.Finding {
	tasks := store.Finding{Check: "tasks", Found: "none is unfinished"}
	if h.Pending > 0 {
		age := h.Now.Sub(h.OldestPending).Round(time.Second)
		tasks.Found = fmt.Sprintf("%s unfinished, with %s; the oldest was accepted %s ago", count(h.Pending), counted(h.WaitingItems, "item"), age)
		if age > longPending {
			tasks.Grade, tasks.Do = store.Warning, "See whether its tool is slow, away or throttles: crosswalk_tool_call_seconds in /metrics. It ends at its deadline in any case."
		}
	}
	if least.Overdue > 0 {
		tasks.Grade = store.Wrong
		tasks.Found += fmt.Sprintf("; %s past their deadline", count(least.Overdue))
		tasks.Do = "No server ends them: start one. If one runs, its log says what it fails at."
	}
	leases := store.Finding{Check: "leases", Found: counted(h.Leases, "integration") + " at work"}
	if least.Unattended > 0 {
		leases.Grade = store.Warning
		leases.Found = fmt.Sprintf("%s; for %s never fewer than %s had work and nobody at it", leases.Found, lookAgain, count(least.Unattended))
		leases.Do = "All places are taken: raise --drains, or add servers."
		if least.Leases == 0 {
			leases.Grade, leases.Do = store.Wrong, "No server works on tasks: start crosswalk serve, with --role all or worker. If one runs, its log says what it fails at."
		}
		if least.Stale > 0 {
			leases.Found += fmt.Sprintf(", %s of them with a lease that ran out", count(least.Stale))
		}
	}
	return []store.Finding{tasks, leases}
}

// mostNamed is how many integrations a finding names.
const mostNamed = 5

// tools tells of those that do not answer.
func tools(away []store.Away) store.Finding {
	f := store.Finding{Check: "tools", Found: "all answer, as far as they were asked"}
	if len(away) == 0 {
		return f
	}
	f.Grade = store.Warning
	f.Found = "the tools of " + counted(len(away), "integration") + " do not answer"
	if len(away) == 1 {
		f.Found = "the tool of 1 integration does not answer"
	}
	for i, w := range away {
		if i == mostNamed {
			f.Found += fmt.Sprintf("; and %s more", count(len(away)-i))
			break
		}
		f.Found += "; " + w.IntegrationID + " " + awayText(w)
	}
	f.Do = "Nothing has to be done here: each is tried with a single skill until it answers. crosswalk integrations check asks one now; crosswalk integrations enable has it tried at once."
	return f
}

// examineKey compares the given master key with the one that is noted.
func (c *doctorCommand) examineKey(ctx context.Context, s store.Store) (store.Finding, error) {
	f := store.Finding{Check: "master key", Grade: store.Warning}
	source := c.source()
	source.Own = c.where().MasterKeyFile()
	key, from, err := source.Given()
	if err != nil {
		f.Grade, f.Found, f.Do = store.Wrong, err.Error(), "A server refuses to start with it."
		return f, nil //nolint:nilerr // it is the finding
	}
	noted, err := s.MasterKey(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return f, err
	}
	switch {
	case key == nil && noted.ID == "" && source.Own != "":
		f.Grade, f.Found = store.Fine, "none yet: the first crosswalk serve makes one"
	case key == nil && noted.ID == "":
		f.Found, f.Do = "there is none: credentials of tools can be neither stored nor used", "Make one with crosswalk master-key new, and give it to every server."
	case key == nil && source.Own != "":
		f.Grade, f.Found = store.Wrong, fmt.Sprintf("%s is noted, and %s is missing", noted.ID, source.Own)
		f.Do = "Put the file back, or give the key to crosswalk serve: without it no server starts."
	case key == nil:
		f.Grade, f.Found = store.Fine, noted.ID+" is noted; none was given to this command to compare"
	case noted.ID == "":
		f.Grade, f.Found = store.Fine, fmt.Sprintf("none is noted yet: the next server notes %s, of %s", key.ID(), from)
	case !key.Is(noted):
		f.Grade, f.Found = store.Wrong, fmt.Sprintf("%s is noted, and %s holds %s", noted.ID, from, key.ID())
		f.Do = "Give the noted one: a server refuses to start with another."
	default:
		f.Grade, f.Found = store.Fine, fmt.Sprintf("%s, as noted, from %s", key.ID(), from)
		if info, err := os.Stat(from); err == nil && info.Mode().Perm()&0o077 != 0 {
			f.Grade, f.Do = store.Warning, "Others on this machine may read it: chmod 600 "+from
		}
	}
	return f, nil
}
