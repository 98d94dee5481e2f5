// Command bench measures what docs/performance.md claims: each figure of a real server process beside a yardstick taken in
// the same run, since machines differ and drift. Run it with make bench.
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
	only := flag.String("only", "", "run the figures whose name matches this regular expression")
	runs := flag.Int("runs", 9, "runs of each figure, of which the median counts")
	program := flag.String("program", "", "a built crosswalk; it is built if not given")
	asJSON := flag.Bool("json", false, "print one JSON object a figure")
	keep := flag.String("keep", "", "folder to work in, kept afterwards")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *runs, *program, *asJSON, *keep); err != nil {
		log.Fatal("bench: ", err)
	}
}

// figure is one line of the table.
type figure struct {
	Name      string  `json:"name"`
	Measured  string  `json:"measured"`
	Yardstick string  `json:"yardstick,omitempty"`
	Ratio     float64 `json:"ratio,omitempty"`
	Wanted    string  `json:"wanted"`
	Met       bool    `json:"met"`
}

type bench struct {
	ctx     context.Context
	dir     string
	program string
	runs    int
}

func run(ctx context.Context, only string, runs int, program string, asJSON bool, dir string) error {
	pattern, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if dir == "" {
		if dir, err = os.MkdirTemp("", "crosswalk-bench-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	}
	if program == "" {
		program = filepath.Join(dir, "crosswalk")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/crosswalk")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			return fmt.Errorf("build crosswalk: %w", err)
		}
	}
	b := &bench{ctx: ctx, dir: dir, program: program, runs: runs}
	table := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "FIGURE\tMEASURED\tYARDSTICK\tRATIO\tWANTED\t")
	missed := 0
	for _, part := range []struct {
		name string
		run  func() ([]figure, error)
	}{
		{"tasks of 10,000", b.largeTasks},
		{"tasks of 10", b.smallTasks},
		{"one skill", b.oneSkill},
		{"polls", b.polls},
		{"resources", b.resources},
		{"a million", b.million},
	} {
		if !pattern.MatchString(part.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s %s …\n", time.Now().UTC().Format("15:04:05"), part.name)
		figures, err := part.run()
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		for _, f := range figures {
			if !f.Met {
				missed++
			}
			if asJSON {
				if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
					return err
				}
				continue
			}
			ratio, verdict := "", ""
			if f.Ratio > 0 {
				ratio = fmt.Sprintf("%.2f", f.Ratio)
			}
			if !f.Met {
				verdict = "MISSED"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", f.Name, f.Measured, f.Yardstick, ratio, f.Wanted, verdict)
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if missed > 0 {
		return errors.New("figures were missed")
	}
	return nil
}

// atMost makes a figure of two times whose ratio should be small.
func atMost(name string, measured, yardstick time.Duration, most float64) figure {
	ratio := measured.Seconds() / yardstick.Seconds()
	return figure{name, ms(measured), ms(yardstick), ratio, fmt.Sprintf("≤ %.1f", most), ratio <= most}
}

// atLeast makes a figure of two rates whose ratio should be large.
func atLeast(name string, measured, yardstick, least float64) figure {
	ratio := measured / yardstick
	return figure{name, fmt.Sprintf("%.0f/s", measured), fmt.Sprintf("%.0f/s", yardstick), ratio, fmt.Sprintf("≥ %.3g", least), ratio >= least}
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
