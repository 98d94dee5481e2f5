package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/skillfile"
)

// remote is embedded in commands that speak to a server.
type remote struct {
	URL         string `help:"The server." default:"http://127.0.0.1:8080" env:"CROSSWALK_URL" placeholder:"URL"`
	APIKey      string `name:"api-key" help:"API key. Better given as the variable: other users of this machine can see flags." env:"CROSSWALK_API_KEY" placeholder:"KEY"`
	Integration string `help:"The integration's id." env:"CROSSWALK_INTEGRATION" placeholder:"ID"`
}

func (r remote) client() (*client.Client, error) {
	switch {
	case r.APIKey == "":
		return nil, misuse("no API key: set CROSSWALK_API_KEY (crosswalk keys create makes one)")
	case r.Integration == "":
		return nil, misuse("no integration: set CROSSWALK_INTEGRATION (crosswalk integrations list shows them)")
	}
	return client.New(r.URL, r.APIKey, r.Integration), nil
}

type skillsCommand struct {
	Push skillsPush `cmd:"" help:"Send the skills of files to the integration's tool."`
	List skillsList `cmd:"" help:"List the skills that the integration's tool holds."`
	Diff skillsDiff `cmd:"" help:"Show what an upload of files would change, without writing."`
}

type skillsPush struct {
	remote
	asJSON
	skillFiles
	Wait   bool   `help:"Wait until the skills are written, and tell what became of them."`
	Failed string `help:"Write the refused rows to this CSV file with code and message, to be mended and pushed again. Implies --wait." placeholder:"FILE"`
}

func (c *skillsPush) Help() string {
	return `A CSV file has the columns origin_id and name, and may have status (ACTIVE or INACTIVE). JSON is an array of items, or an
object with items; NDJSON is one item a line. An item is {"origin_id":"skill-1","skill":{"name":"TypeScript"}} or
{"origin_id":"skill-1","name":"TypeScript"}.

` + examplesOf("crosswalk skills push skills.csv --wait --failed skills.failed.csv", "export-skills | crosswalk skills push - --format ndjson --json")
}

// skillFiles is embedded in commands that read skills from files.
type skillFiles struct {
	Files  []string `arg:"" help:"CSV with a header, JSON or NDJSON; - reads standard input." placeholder:"FILE"`
	Format string   `help:"csv, json or ndjson; told from the file's name if not given." enum:",csv,json,ndjson" default:""`
}

// source is what one file brings.
type source struct {
	name string
	rows []skillfile.Row
}

func (c *skillFiles) read(a *app) ([]source, int, error) {
	var sources []source
	total := 0
	for _, file := range c.Files {
		format := skillfile.Format(c.Format)
		name := filepath.Base(file)
		in := a.in
		if file == "-" {
			name = "standard input"
			if format == "" {
				return nil, 0, misuse("standard input has no name to tell the format from; give --format csv, json or ndjson")
			}
		} else {
			if format == "" {
				var err error
				if format, err = skillfile.FormatOf(file); err != nil {
					return nil, 0, &exitError{exitMisuse, err}
				}
			}
			f, err := os.Open(file)
			if err != nil {
				return nil, 0, &exitError{exitMisuse, err}
			}
			defer f.Close()
			in = f
		}
		result, err := skillfile.Read(name, in, format)
		if bad, ok := errors.AsType[*skillfile.Error](err); ok {
			return nil, 0, misuse("%w\nNothing was sent; crosswalk skills push --help shows the format.", bad)
		}
		if err != nil {
			return nil, 0, &exitError{exitMisuse, err}
		}
		if len(result.Ignored) > 0 {
			fmt.Fprintf(a.err, "%s: not used: %s\n", name, strings.Join(result.Ignored, ", "))
		}
		sources = append(sources, source{name, result.Rows})
		total += len(result.Rows)
	}
	return sources, total, nil
}

func (c *skillsPush) Run(a *app) error {
	if c.Failed != "" {
		c.Wait = true
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	sources, total, err := c.read(a)
	if err != nil {
		return err
	}
	about, err := cl.Check(a.ctx)
	if err != nil {
		return err
	}
	in, err := cl.Integration(a.ctx)
	if err != nil {
		return err
	}
	for _, s := range sources {
		fmt.Fprintf(a.err, "%s   %s → %s, %s\n", s.name, skills(len(s.rows)), in.Tool.Label, in.EndUser.OrganizationName)
	}
	p := &push{a: a, client: cl, limits: about, began: time.Now()}
	for _, s := range sources {
		if err := p.submit(a.ctx, s.rows); err != nil {
			p.comeBack()
			return p.interrupted(err)
		}
	}
	if !c.Wait {
		return c.print(a, p.summary(false), func(w io.Writer) {
			for _, t := range p.tasks {
				fmt.Fprintf(w, "%s\n", t.id)
			}
		})
	}
	if err := p.wait(a.ctx, total); err != nil {
		p.comeBack()
		return p.interrupted(err)
	}
	if c.Failed != "" {
		if err := p.writeFailed(c.Failed); err != nil {
			return err
		}
	}
	if err := c.print(a, p.summary(true), func(w io.Writer) { p.tell(w, c.Failed) }); err != nil {
		return err
	}
	return p.exit()
}

// push sends rows as as many tasks as they take, and follows these.
type push struct {
	a      *app
	client *client.Client
	limits client.Server
	began  time.Time
	took   time.Duration
	tasks  []*pushed
}

type pushed struct {
	id   string
	rows []skillfile.Row
	done client.Task
}

const (
	// defaultItems and defaultBody are the contract's limits, for a server that does not tell its own.
	defaultItems = 10_000
	defaultBody  = 16 << 20
	// perItem is what an item takes in JSON beside its texts, escapes not counted.
	perItem = 64
)

// part takes as many of the rows as a server takes in one request.
func part(rows []skillfile.Row, limits client.Server) (items []client.Item) {
	mostItems, mostBody := limits.MaxItems, limits.MaxBody
	if mostItems == 0 {
		mostItems = defaultItems
	}
	if mostBody == 0 {
		mostBody = defaultBody
	}
	size := 1024
	for n := 0; n < len(rows) && n < mostItems; n++ {
		it := rows[n].Item
		// JSON escapes a byte into six at most.
		if size += perItem + 6*(len(it.OriginID)+len(it.Name)); size > mostBody && n > 0 {
			break
		}
		items = append(items, client.Item{OriginID: it.OriginID, Name: it.Name, Status: it.Status.String()})
	}
	return items
}

// submit sends rows, split at the server's limits.
func (p *push) submit(ctx context.Context, rows []skillfile.Row) error {
	for len(rows) > 0 {
		items := part(rows, p.limits)
		n := len(items)
		accepted, err := p.client.UpsertSkills(ctx, items)
		if err != nil {
			return err
		}
		for _, w := range accepted.Warnings {
			fmt.Fprintf(p.a.err, "warning: %s\n", w)
		}
		p.tasks = append(p.tasks, &pushed{id: accepted.TaskID, rows: rows[:n]})
		rows = rows[n:]
	}
	return nil
}

// wait follows all tasks to their end.
func (p *push) wait(ctx context.Context, total int) error {
	label := p.tasks[0].id
	if len(p.tasks) > 1 {
		label = fmt.Sprintf("%d tasks", len(p.tasks))
	}
	bar := newProgress(p.a, label, total)
	defer bar.finish()
	before := 0
	for _, t := range p.tasks {
		var err error
		t.done, err = p.client.Wait(ctx, t.id, func(now client.Task) { bar.set(before + now.Progress.Done) })
		if err != nil {
			return err
		}
		before += len(t.rows)
		bar.set(before)
	}
	p.took = time.Since(p.began)
	return nil
}

// comeBack says how to go on watching what was sent already.
func (p *push) comeBack() {
	for _, t := range p.tasks {
		if !t.done.Ended() {
			fmt.Fprintf(p.a.err, "%s goes on; watch it with: crosswalk tasks wait %s\n", t.id, t.id)
		}
	}
}

// interrupted turns the end of a watch by Ctrl-C into its exit code.
func (p *push) interrupted(err error) error {
	if p.a.ctx.Err() != nil {
		return &exitError{code: exitInterrupted}
	}
	return err
}

// counts sums up what became of the skills.
func (p *push) counts() (succeeded, failed int, progress client.Progress) {
	for _, t := range p.tasks {
		progress.Written += t.done.Progress.Written
		progress.Unchanged += t.done.Progress.Unchanged
		if t.done.Status == client.Failed {
			failed += len(t.rows)
			continue
		}
		for _, r := range t.done.Results {
			if r.Status == client.Succeeded {
				succeeded++
			} else {
				failed++
			}
		}
	}
	return succeeded, failed, progress
}

type pushSummary struct {
	Tasks     []taskSummary `json:"tasks"`
	Succeeded *int          `json:"succeeded,omitempty"`
	Failed    *int          `json:"failed,omitempty"`
	Seconds   float64       `json:"seconds,omitempty"`
}

type taskSummary struct {
	TaskID string        `json:"task_id"`
	Items  int           `json:"items"`
	Status string        `json:"status"`
	Error  *client.Error `json:"error,omitempty"`
}

func (p *push) summary(waited bool) pushSummary {
	var out pushSummary
	for _, t := range p.tasks {
		status := client.Pending
		if waited {
			status = t.done.Status
		}
		out.Tasks = append(out.Tasks, taskSummary{t.id, len(t.rows), status, t.done.Error})
	}
	if waited {
		succeeded, failed, _ := p.counts()
		out.Succeeded, out.Failed, out.Seconds = &succeeded, &failed, p.took.Seconds()
	}
	return out
}

// tell prints what became of the skills.
func (p *push) tell(w io.Writer, failedFile string) {
	succeeded, failed, progress := p.counts()
	detail := ""
	if progress.Written+progress.Unchanged > 0 {
		detail = fmt.Sprintf(" (%s written, %s unchanged)", count(progress.Written), count(progress.Unchanged))
	}
	fmt.Fprintf(w, "%s %s in step%s, %s failed in %s\n", p.a.mark(failed, succeeded+failed), count(succeeded), detail, count(failed), seconds(p.took))
	for _, r := range p.reasons() {
		fmt.Fprintf(w, "%6s  %s  %s\n", count(r.n), r.code, r.message)
	}
	if failed > 0 && failedFile != "" {
		fmt.Fprintf(w, "failed rows: %s   (mend and push again)\n", failedFile)
	}
}

type reason struct {
	code, message string
	n             int
}

// reasons groups the failures, most frequent first.
func (p *push) reasons() []reason {
	index := map[[2]string]int{}
	var all []reason
	add := func(e *client.Error, n int) {
		if e == nil {
			e = &client.Error{Message: "the server gave no reason"}
		}
		key := [2]string{e.Code, e.Message}
		at, known := index[key]
		if !known {
			at = len(all)
			index[key] = at
			all = append(all, reason{code: e.Code, message: e.Message})
		}
		all[at].n += n
	}
	for _, t := range p.tasks {
		if t.done.Status == client.Failed {
			add(t.done.Error, len(t.rows))
		}
		for _, r := range t.done.Results {
			if r.Status != client.Succeeded {
				add(r.Error, 1)
			}
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].n > all[j].n })
	return all
}

// writeFailed writes the rows that failed, in the form that can be pushed.
func (p *push) writeFailed(file string) error {
	if _, failed, _ := p.counts(); failed == 0 {
		// An older file would be pushed again by mistake.
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			return &exitError{exitMisuse, err}
		}
		return nil
	}
	f, err := os.Create(file)
	if err != nil {
		return &exitError{exitMisuse, err}
	}
	out := csv.NewWriter(f)
	_ = out.Write([]string{"origin_id", "name", "status", "code", "message"}) // Error tells at the end
	row := func(r skillfile.Row, e *client.Error) {
		if e == nil {
			e = &client.Error{}
		}
		_ = out.Write([]string{r.Item.OriginID, r.Item.Name, r.Item.Status.String(), e.Code, e.Message}) // likewise
	}
	for _, t := range p.tasks {
		for i, r := range t.rows {
			switch {
			case t.done.Status == client.Failed:
				row(r, t.done.Error)
			case i < len(t.done.Results) && t.done.Results[i].Status != client.Succeeded:
				row(r, t.done.Results[i].Error)
			}
		}
	}
	out.Flush()
	if err := errors.Join(out.Error(), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

func (p *push) exit() error {
	code := exitOK
	for _, t := range p.tasks {
		if t.done.Status == client.Failed {
			return &exitError{code: exitTaskFailed}
		}
		if _, failed, _ := p.counts(); failed > 0 {
			code = exitSomeFailed
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}
