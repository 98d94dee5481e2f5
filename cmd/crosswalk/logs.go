package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type logsCommand struct {
	List logsList `cmd:"" help:"List interactions, newest first."`
	Show logsShow `cmd:"" help:"Show one: headers and bodies, without secrets."`
}

type logsList struct {
	database
	asJSON
	Environment string        `help:"Only those of this environment (name or id)."`
	Integration string        `help:"Only those of this integration." placeholder:"ID"`
	Task        string        `help:"Only those of this task." placeholder:"ID"`
	Item        *int          `help:"With --task: only calls that may have been about the item at this position, counted from 0." placeholder:"N"`
	Direction   string        `help:"in (from callers), out (to tools) or both." enum:"in,out,both" default:"both" placeholder:"WHICH"`
	Failed      bool          `help:"Only those that failed, or refused something."`
	Status      string        `help:"Only those with this HTTP status, or of this class, such as 4xx." placeholder:"STATUS"`
	Since       time.Duration `help:"Only those that began so long ago at most." placeholder:"DURATION"`
	Before      string        `help:"Only those before this one: the next page." placeholder:"ID"`
	Limit       int           `help:"How many at most." default:"50" placeholder:"N"`
}

func (c *logsList) Help() string {
	return examplesOf("crosswalk logs list --failed --since 24h", "crosswalk logs list --task task_28KMdr68N8kG9EzLwjsN9aoz --direction out --json")
}

// status reads "404" and "4xx"; 0 is any.
func (c *logsList) status() (int, error) {
	if c.Status == "" {
		return 0, nil
	}
	text, class := strings.CutSuffix(strings.ToLower(c.Status), "xx")
	n, err := strconv.Atoi(text)
	if err != nil || class && (n < 1 || n > 5) || !class && (n < 100 || n > 599) {
		return 0, misuse("--status %q: give an HTTP status, such as 404, or a class of them, such as 4xx", c.Status)
	}
	return n, nil
}

func (c *logsList) query(envID string) (store.InteractionQuery, error) {
	q := store.InteractionQuery{
		EnvironmentID: envID, IntegrationID: c.Integration, TaskID: c.Task, Position: c.Item, Failed: c.Failed, Limit: c.Limit,
		Inbound: c.Direction == "in", Outbound: c.Direction == "out", After: store.InteractionCursor{ID: c.Before},
	}
	var err error
	if q.Status, err = c.status(); err != nil {
		return q, err
	}
	switch {
	case c.Limit < 1 || c.Limit > 1000:
		return q, misuse("--limit must be from 1 to 1000")
	case c.Item != nil && c.Task == "":
		return q, misuse("--item is a position in the task that --task names")
	case c.Before != "" && !skill.IsID(c.Before):
		return q, misuse("--before %q: give the id of an interaction, as crosswalk logs list shows it", c.Before)
	case c.Since < 0:
		return q, misuse("--since must not be negative")
	case c.Since > 0:
		q.From = time.Now().Add(-c.Since)
	}
	return q, nil
}

func (c *logsList) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		envID, _, err := environmentFilter(ctx, s, c.Environment)
		if err != nil {
			return err
		}
		q, err := c.query(envID)
		if err != nil {
			return err
		}
		var list []store.Interaction
		more := true
		for ; more && len(list) < c.Limit; q.Limit = c.Limit - len(list) {
			page, err := s.Interactions(ctx, q) // which looks at some thousands at most
			if err != nil {
				return err
			}
			list, more, q.After = append(list, page.Interactions...), page.More, page.Next
		}
		out := struct {
			Interactions []interactionJSON `json:"interactions"`
			Next         *string           `json:"next"` // for --before; null on the last page
		}{Interactions: each(list, interactionOut)}
		if more {
			out.Next = &list[len(list)-1].ID
		}
		return c.print(a, out, func(w io.Writer) {
			if len(list) == 0 {
				fmt.Fprintln(w, "There are no such interactions. serve --log-interactions says which are kept, --keep-logs for how long.")
				return
			}
			table(w, []string{"TIME", "", "STATUS", "TOOK", "REQUEST", "INTEGRATION", "TASK", "ID"}, each(list, func(i store.Interaction) []string {
				return []string{
					at(i.At()), direction(i), statusOf(i), took(i.Took), i.Method + " " + shortened(i.URL, 60), orDash(orNull(i.IntegrationID)),
					orDash(orNull(i.TaskID)), i.ID,
				}
			}))
			if out.Next != nil {
				fmt.Fprintf(a.err, "There may be more: --before %s\n", *out.Next)
			}
		})
	})
}

type interactionJSON struct {
	ID            string  `json:"id"`
	At            *string `json:"at"`
	Direction     string  `json:"direction"`
	EnvironmentID *string `json:"environment_id"`
	IntegrationID *string `json:"integration_id"`
	TaskID        *string `json:"task_id"`
	ItemsFrom     *int    `json:"items_from"`
	ItemsTo       *int    `json:"items_to"` // that one not included
	Key           *string `json:"key"`
	Client        *string `json:"client"`
	Method        string  `json:"method"`
	URL           string  `json:"url"`
	Status        *int    `json:"status"`
	Took          float64 `json:"took_ms"`
	Failed        bool    `json:"failed"`
}

func interactionOut(i store.Interaction) interactionJSON {
	out := interactionJSON{
		ID: i.ID, At: atJSON(i.At()), Direction: direction(i), EnvironmentID: orNull(i.EnvironmentID), IntegrationID: orNull(i.IntegrationID),
		TaskID: orNull(i.TaskID), Key: orNull(i.Key), Client: orNull(i.Peer), Method: i.Method, URL: i.URL,
		Took: float64(i.Took.Microseconds()) / 1000, Failed: i.Failed,
	}
	if i.Items.Stop > 0 {
		out.ItemsFrom, out.ItemsTo = &i.Items.Start, &i.Items.Stop
	}
	if i.Status != 0 {
		out.Status = &i.Status
	}
	return out
}

type logsShow struct {
	database
	asJSON
	ID string `arg:"" help:"The interaction's id: the end of a log_url, or as crosswalk logs list shows it."`
}

func (c *logsShow) Help() string {
	return examplesOf("crosswalk logs show 28KMdr68N8kG9EzLwjsN9aoz", "crosswalk logs show 28KMdr68N8kG9EzLwjsN9aoz --json")
}

func (c *logsShow) Run(a *app) error {
	return c.with(a, func(ctx context.Context, s store.Store) error {
		i, err := s.Interaction(ctx, "", c.ID)
		if err != nil {
			return err
		}
		out := struct {
			interactionJSON
			Error   *string     `json:"error"`
			Request messageJSON `json:"request"`
			Answer  messageJSON `json:"answer"`
		}{
			interactionJSON: interactionOut(i), Error: orNull(i.Error),
			Request: messageJSON{i.RequestHeader, string(i.RequestBody), i.RequestCut},
			Answer:  messageJSON{i.AnswerHeader, string(i.AnswerBody), i.AnswerCut},
		}
		return c.print(a, out, func(w io.Writer) {
			rows := [][2]string{
				{"interaction", i.ID},
				{"time", at(i.At())},
				{"direction", map[bool]string{true: "to a tool", false: "from a caller"}[i.Outbound]},
				{"status", statusOf(i)},
				{"took", took(i.Took)},
				{"integration", orDash(orNull(i.IntegrationID))},
				{"task", orDash(orNull(i.TaskID))},
			}
			if i.Items.Stop > 0 {
				rows = append(rows, [2]string{"items", fmt.Sprintf("%d to %d", i.Items.Start, i.Items.Stop-1)})
			}
			if !i.Outbound {
				rows = append(rows, [2]string{"key", orDash(orNull(i.Key))}, [2]string{"client", orDash(orNull(i.Peer))})
			}
			if i.Error != "" {
				rows = append(rows, [2]string{"error", printable(i.Error)})
			}
			for _, row := range rows {
				fmt.Fprintf(w, "%-12s %s\n", row[0], row[1])
			}
			fmt.Fprintf(w, "\n%s %s\n", i.Method, printable(i.URL))
			message(w, i.RequestHeader, i.RequestBody, i.RequestCut)
			if i.Status != 0 {
				fmt.Fprintf(w, "\n%d %s\n", i.Status, http.StatusText(i.Status))
				message(w, i.AnswerHeader, i.AnswerBody, i.AnswerCut)
			}
		})
	})
}

type messageJSON struct {
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
	Cut    bool        `json:"cut"`
}

// message writes a header and a body, JSON indented.
func message(w io.Writer, header http.Header, body []byte, cut bool) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			fmt.Fprintf(w, "%s: %s\n", name, printable(value))
		}
	}
	if len(body) == 0 {
		return
	}
	var indented bytes.Buffer
	if json.Indent(&indented, body, "", "  ") == nil {
		body = indented.Bytes()
	}
	fmt.Fprintf(w, "\n%s\n", printable(string(body)))
	if cut {
		fmt.Fprintln(w, "(cut here)")
	}
}

// printable takes out what a terminal would understand as a command: a tool may have said anything.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, text)
}

func direction(i store.Interaction) string {
	if i.Outbound {
		return "out"
	}
	return "in"
}

func statusOf(i store.Interaction) string {
	text := strconv.Itoa(i.Status)
	switch {
	case i.Status == 0:
		text = "no answer"
	case i.Failed && i.Status < 400:
		text += ", refused"
	}
	return text
}

// took writes how long something took, to the millisecond.
func took(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func shortened(text string, most int) string {
	text = printable(text)
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}
