package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"github.com/crosswalk-hr/crosswalk/client"
)

type skillsList struct {
	remote
	asJSON
	Name         string    `help:"Skills whose name holds this text, whatever the case." placeholder:"TEXT"`
	UpdatedAfter time.Time `help:"Skills that changed after this moment, such as 2026-11-25T14:00:00Z." placeholder:"TIME"`
	Deleted      bool      `help:"Also those that the tool does not offer any more."`
	ID           []string  `name:"id" help:"Skills with these ids." placeholder:"ID"`
	RemoteID     []string  `help:"Skills with these ids of the tool's." placeholder:"ID"`
	Limit        int       `help:"At most so many; 0 is all." default:"0" placeholder:"N"`
}

func (c *skillsList) Help() string {
	return `Skills that were sent through the server are shown at once, others as the last sync has seen them. STATE is active, retired,
gone (the tool shows it no more), or the code of the last attempt to write it, if that failed.

` + examplesOf("crosswalk skills list --name typescript", "crosswalk skills list --updated-after 2026-11-25T00:00:00Z --deleted --json")
}

// errEnough ends a list.
var errEnough = errors.New("enough")

// listedSkill is a skill in the output.
type listedSkill struct {
	ID        string        `json:"id"`
	OriginID  *string       `json:"origin_id"`
	RemoteID  string        `json:"remote_id"`
	Name      string        `json:"name"`
	Status    string        `json:"status"`
	ChangedAt *string       `json:"changed_at"`
	DeletedAt *string       `json:"remote_deleted_at"`
	Error     *client.Error `json:"error,omitempty"`
}

func (c *skillsList) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if c.Limit < 0 {
		return misuse("--limit must be at least 0")
	}
	list := []listedSkill{}
	var rows [][]string
	err = cl.EachSkill(a.ctx, client.SkillsQuery{
		PageSize: 250, UpdatedAfter: c.UpdatedAfter, IncludeDeleted: c.Deleted, IDs: c.ID, RemoteIDs: c.RemoteID, NameContains: c.Name, Details: true,
	}, func(s client.CatalogueSkill) error {
		if c.Limit > 0 && len(list) == c.Limit {
			return errEnough
		}
		one := listedSkill{ID: s.ID, RemoteID: s.RemoteID, Name: s.Name, ChangedAt: atJSON(s.ChangedAt)}
		origin, state := "–", "active"
		if d := s.Details; d != nil {
			one.OriginID, one.Status, one.Error = d.OriginID, d.Status, d.Error
			if d.OriginID != nil {
				origin = *d.OriginID
			}
		}
		if s.RemoteDeletedAt != nil {
			one.DeletedAt, state = atJSON(*s.RemoteDeletedAt), "gone"
			if one.Status == client.Inactive {
				state = "retired"
			}
		}
		if one.Error != nil {
			state = one.Error.Code
		}
		list = append(list, one)
		rows = append(rows, []string{s.ID, oneLine(origin), oneLine(s.RemoteID), state, at(s.ChangedAt), oneLine(s.Name)})
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return c.print(a, struct {
		Skills []listedSkill `json:"skills"`
	}{list}, func(w io.Writer) {
		table(w, []string{"ID", "ORIGIN ID", "REMOTE ID", "STATE", "CHANGED", "NAME"}, rows)
	})
}

// oneLine is a text on one line of a terminal: what a tool holds may be anything.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '�'
		}
		return r
	}, text)
}

type skillsDiff struct {
	remote
	asJSON
	skillFiles
}

func (c *skillsDiff) Help() string {
	return `Nothing is written, neither into the tool nor by the server. What it shows rests on what the server knows of the tool: skills
that people changed there are known after the next sync. It ends with 0 if an upload would change nothing, and with 3 if it
would.

` + examplesOf("crosswalk skills diff skills.csv", "export-skills | crosswalk skills diff - --format ndjson --json")
}

// diffSummary is what an upload would do.
type diffSummary struct {
	Create     int             `json:"create"`
	Adopt      int             `json:"adopt"`
	Update     int             `json:"update"`
	Deactivate int             `json:"deactivate"`
	Refuse     int             `json:"refuse"`
	Unchanged  int             `json:"unchanged"`
	Changes    []client.Change `json:"changes"` // without the unchanged ones
}

func (c *skillsDiff) Run(a *app) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	sources, _, err := c.read(a)
	if err != nil {
		return err
	}
	limits, err := cl.Check(a.ctx)
	if err != nil {
		return err
	}
	sum := diffSummary{Changes: []client.Change{}}
	for _, s := range sources {
		for rows := s.rows; len(rows) > 0; {
			items := part(rows, limits)
			rows = rows[len(items):]
			changes, err := cl.Diff(a.ctx, items)
			if err != nil {
				return err
			}
			sum.add(changes)
		}
	}
	if err := c.print(a, sum, sum.tell); err != nil {
		return err
	}
	if len(sum.Changes) > 0 {
		return &exitError{code: exitSomeFailed}
	}
	return nil
}

func (s *diffSummary) add(changes []client.Change) {
	for _, ch := range changes {
		switch ch.Change {
		case client.None:
			s.Unchanged++
			continue
		case client.Create:
			s.Create++
		case client.Adopt:
			s.Adopt++
		case client.Deactivate:
			s.Deactivate++
		case client.Refuse:
			s.Refuse++
		default:
			s.Update++
		}
		s.Changes = append(s.Changes, ch)
	}
}

// tell prints a line for each change, and what they come to.
func (s *diffSummary) tell(w io.Writer) {
	var rows [][]string
	for _, ch := range s.Changes {
		what := oneLine(ch.To.Name)
		sign := "~"
		switch {
		case ch.Change == client.Create:
			sign = "+"
		case ch.Change == client.Adopt:
			what += "   (taken over: people made one of that name in the tool)"
		case ch.Change == client.Deactivate:
			sign = "-"
		case ch.Change == client.Refuse:
			sign = "!"
			what += "   (refused: inactive)"
		case ch.From != nil && *ch.From == ch.To:
			what += "   (again: it is not certain that the tool holds it)"
		case ch.From != nil && ch.From.Name != ch.To.Name:
			what = oneLine(ch.From.Name) + " → " + what
		}
		if ch.Change != client.Refuse && ch.From != nil && ch.From.Status != ch.To.Status {
			what += "   (" + ch.From.Status + " → " + ch.To.Status + ")"
		}
		rows = append(rows, []string{sign, oneLine(ch.OriginID), what})
	}
	if len(rows) > 0 {
		columns(w, rows)
	}
	adopted, refused := "", ""
	if s.Adopt > 0 {
		adopted = count(s.Adopt) + " to take over, "
	}
	if s.Refuse > 0 {
		refused = count(s.Refuse) + " refused, "
	}
	fmt.Fprintf(w, "%s to create, %s%s to update, %s to deactivate, %s%s unchanged\n",
		count(s.Create), adopted, count(s.Update), count(s.Deactivate), refused, count(s.Unchanged))
}
