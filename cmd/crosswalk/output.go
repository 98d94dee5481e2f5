package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// asJSON is embedded in commands that print something.
type asJSON struct {
	JSON bool `help:"Print one JSON object instead of text."`
}

// print writes value as JSON, or calls text.
func (j asJSON) print(a *app, value any, text func(w io.Writer)) error {
	if !j.JSON {
		text(a.out)
		return nil
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(value)
}

// table writes rows in aligned columns.
func table(w io.Writer, header []string, rows [][]string) {
	columns(w, append([][]string{header}, rows...))
}

// columns is table without a header.
func columns(w io.Writer, rows [][]string) {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	_ = t.Flush() // of a writer whose errors nobody can be told
}

// at writes a time for people.
func at(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// atJSON writes a time for programs; null when there is none.
func atJSON(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &text
}

// count writes a number with thousands separators.
func count(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// skills writes "1 skill", "2 skills".
func skills(n int) string { return counted(n, "skill") }

// counted writes a number with what it counts.
func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

// seconds writes a duration as people time things.
func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// perSecond writes a rate with two significant digits: the third is noise.
func perSecond(n int, d time.Duration) string {
	rate := float64(n) / max(d.Seconds(), 1e-6)
	step := 1.0
	for rate/step >= 100 {
		step *= 10
	}
	return count(int(rate/step+0.5) * int(step))
}

// progress shows how far long work is: a bar on a terminal, elsewhere a line every few seconds.
type progress struct {
	a     *app
	label string
	total int
	began time.Time

	bars *mpb.Progress
	bar  *mpb.Bar
	said time.Time
	done int
}

const (
	// sayEvery is the time between lines where there is no terminal; the first one comes after firstSaid.
	sayEvery  = 5 * time.Second
	firstSaid = time.Second
)

// unknown is a total that is not known before the end.
const unknown = -1

func newProgress(a *app, label string, total int) *progress {
	p := &progress{a: a, label: label, total: total, began: time.Now(), said: time.Now().Add(firstSaid - sayEvery)}
	if !a.fancy {
		return p
	}
	p.bars = mpb.New(mpb.WithOutput(a.err), mpb.WithWidth(32), mpb.WithRefreshRate(100*time.Millisecond))
	style := mpb.BarFillerBuilder(mpb.BarStyle().Lbound("").Filler("█").Tip("█").Padding("░").Rbound(""))
	if total == unknown {
		style = mpb.NopStyle()
	}
	p.bar = p.bars.New(int64(total), style,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(label+"  ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return "  " + p.state() })),
	)
	return p
}

func (p *progress) state() string {
	elapsed := time.Since(p.began)
	text := count(p.done)
	if p.total != unknown {
		text += " of " + count(p.total)
	}
	if p.done > 0 && elapsed > time.Second {
		text += "   " + perSecond(p.done, elapsed) + "/s"
		if p.done < p.total {
			left := time.Duration(float64(elapsed) / float64(p.done) * float64(p.total-p.done)).Round(time.Second)
			text += fmt.Sprintf("   %d:%02d left", int(left.Minutes()), int(left.Seconds())%60)
		}
	}
	return text
}

// of says how much there is to do, where that is not known from the start.
func (p *progress) of(total int) {
	p.total = total
	if p.bar != nil {
		p.bar.SetTotal(int64(total), false)
	}
}

// set says how much is done. It may be called by one goroutine only.
func (p *progress) set(done int) {
	p.done = done
	switch {
	case p.bar != nil:
		if p.total != unknown {
			done = min(done, p.total-1) // the end is finish's
		}
		p.bar.SetCurrent(int64(done))
	case time.Since(p.said) >= sayEvery:
		p.said = time.Now()
		fmt.Fprintf(p.a.err, "%s  %s\n", p.label, p.state())
	}
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar != nil {
		p.bar.Abort(true)
		p.bars.Wait()
	}
}

// colour wraps text in an ANSI colour on a terminal that wants it.
func (a *app) colour(code, text string) string {
	if !a.coloured {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// mark is the state of a finished upsert as a shape.
func (a *app) mark(failed, total int) string {
	switch {
	case failed == 0:
		return a.colour("32", "●")
	case failed < total:
		return a.colour("33", "▲")
	default:
		return a.colour("31", "■")
	}
}
