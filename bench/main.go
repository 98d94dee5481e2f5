// Command bench measures what docs/performance.md claims: each figure of a real server process beside a yardstick taken in
// the same run on the same database, since machines differ and drift. Run it with make bench.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"sort"
	"text/tabwriter"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && os.Args[1] == "yardstick" {
		log.Fatal(serveYardstick(os.Args[2:]))
	}
	var o options
	flag.StringVar(&o.database, "database", "both", "sqlite, postgres or both")
	flag.StringVar(&o.server, "server", "", "PostgreSQL to make a database on, postgres://…; if not given that of TEST_DATABASE_URL, the local one, or a temporary one")
	flag.StringVar(&o.only, "only", "", "run the figures whose name matches this regular expression")
	flag.IntVar(&o.runs, "runs", 9, "runs of each figure, of which the median counts")
	flag.IntVar(&o.largest, "rows", 5_000_000, "rows of the largest tables in which PostgreSQL's reads are counted")
	flag.IntVar(&o.listed, "listed", 1_000_000, "skills of the tool that a sync reads back")
	flag.IntVar(&o.skills, "skills", 1_000_000, "skills with which the times of pages are taken; there are a tenth as many tasks")
	flag.StringVar(&o.program, "program", "", "a built crosswalk; it is built if not given")
	flag.BoolVar(&o.json, "json", false, "print one JSON object a figure")
	flag.StringVar(&o.dir, "keep", "", "folder to work in, kept afterwards")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		log.Fatal("bench: ", err)
	}
}

type options struct {
	database string
	server   string
	only     string
	runs     int
	largest  int
	listed   int
	skills   int
	program  string
	json     bool
	dir      string
}

// figure is one line of the table.
type figure struct {
	Name      string  `json:"name"`
	Database  string  `json:"database"`
	Measured  string  `json:"measured"`
	Yardstick string  `json:"yardstick,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
	Wanted    string  `json:"wanted,omitempty"`
	Met       bool    `json:"met"`
}

// bench measures on one kind of database.
type bench struct {
	options
	product

	ctx     context.Context
	servers []*server
}

// part is a group of figures.
type part struct {
	name string
	run  func() ([]figure, error)
}

func (b *bench) parts() []part {
	return []part{
		{"tasks of 10,000", b.largeTasks},
		{"tasks of 10", b.smallTasks},
		{"one skill", b.oneSkill},
		{"polls", b.polls},
		{"resources", b.resources},
		{"calls", b.calls},
		{"a million", b.million},
		{"syncs", b.syncs},
		{"rows", b.rows},
		{"pages", b.pages},
	}
}

func run(ctx context.Context, o options) (err error) {
	pattern, err := regexp.Compile(o.only)
	if err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "crosswalk-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	if o.program == "" {
		o.program = filepath.Join(o.dir, "crosswalk")
		build := exec.CommandContext(ctx, "go", "build", "-o", o.program, "./cmd/crosswalk")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build crosswalk: %w", err)
		}
	}
	products, err := products(ctx, o)
	if err != nil {
		return err
	}
	defer func() {
		for _, p := range products {
			err = errors.Join(err, p.drop())
		}
	}()
	t := newTable(o.json)
	for n := range (&bench{}).parts() {
		for _, p := range products {
			b := &bench{options: o, product: p, ctx: ctx}
			part := b.parts()[n]
			if !pattern.MatchString(part.name) {
				continue
			}
			fmt.Fprintf(os.Stderr, "%s %s, %s …\n", time.Now().UTC().Format("15:04:05"), part.name, p.name())
			figures, err := part.run()
			if err != nil {
				for _, s := range b.servers {
					_ = s.cmd.Process.Kill() // most have ended
				}
				return fmt.Errorf("%s, %s: %w", part.name, p.name(), err)
			}
			for _, f := range figures {
				f.Database = p.name()
				if err := t.add(f); err != nil {
					return err
				}
			}
		}
	}
	return t.end()
}

// table prints figures.
type table struct {
	json   *json.Encoder // nil: a table for people
	text   *tabwriter.Writer
	missed int
}

func newTable(asJSON bool) *table {
	t := &table{text: tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)}
	if asJSON {
		t.json = json.NewEncoder(os.Stdout)
	} else {
		fmt.Fprintln(t.text, "FIGURE\tDATABASE\tMEASURED\tYARDSTICK\tRATIO\tWANTED\t")
	}
	return t
}

func (t *table) add(f figure) error {
	if !f.Met {
		t.missed++
	}
	if t.json != nil {
		return t.json.Encode(f)
	}
	ratio, verdict := "", ""
	if f.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f", f.Ratio)
	}
	if !f.Met {
		verdict = "MISSED"
	}
	_, err := fmt.Fprintf(t.text, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Database, f.Measured, f.Yardstick, ratio, f.Wanted, verdict)
	return err
}

func (t *table) end() error {
	if err := t.text.Flush(); err != nil {
		return err
	}
	if t.missed > 0 {
		return errors.New("figures were missed")
	}
	return nil
}

// atMost makes a figure of two times whose ratio should be small.
func atMost(name string, measured, yardstick time.Duration, most float64) figure {
	ratio := measured.Seconds() / yardstick.Seconds()
	return figure{Name: name, Measured: ms(measured), Yardstick: ms(yardstick), Ratio: ratio, Wanted: fmt.Sprintf("≤ %.1f", most), Met: ratio <= most}
}

// atLeast makes a figure of two rates whose ratio should be large.
func atLeast(name string, measured, yardstick, least float64) figure {
	ratio := measured / yardstick
	return figure{
		Name: name, Measured: fmt.Sprintf("%.0f/s", measured), Yardstick: fmt.Sprintf("%.0f/s", yardstick), Ratio: ratio,
		Wanted: fmt.Sprintf("≥ %.3g", least), Met: ratio >= least,
	}
}

// within makes a figure that stands for itself.
func within(name string, measured, most time.Duration) figure {
	return figure{Name: name, Measured: ms(measured), Wanted: "≤ " + ms(most), Met: measured <= most}
}

func ms(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.2f ms", d.Seconds()*1000)
	}
	return fmt.Sprintf("%.0f ms", d.Seconds()*1000)
}

func median(d []time.Duration) time.Duration { return quantile(d, 0.5) }

func quantile(d []time.Duration, q float64) time.Duration {
	sorted := append([]time.Duration(nil), d...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i] < sorted[j] })
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func medianRate(rates []float64) float64 {
	sorted := append([]float64(nil), rates...)
	sort.Float64s(sorted)
	return sorted[len(sorted)/2]
}
