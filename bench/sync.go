package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
)

// syncFew is how many skills a small tool has.
const syncFew = 50_000

// syncs: reading a tool back that holds a million skills, against one that holds fifty thousand, for each skill: when all are
// new to the server, again when all is as it was, and when a tenth was renamed in the tool. And how much memory that takes.
func (b *bench) syncs() ([]figure, error) {
	s, _, err := b.start("syncs")
	if err != nil {
		return nil, err
	}
	small, _, err := b.readBack(s, syncFew)
	if err != nil {
		return nil, err
	}
	large, peak, err := b.readBack(s, b.listed)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for i, what := range []string{"all new", "nothing changed", "a tenth renamed"} {
		each := func(d time.Duration, n int) float64 { return d.Seconds() * 1e6 / float64(n) }
		ratio := each(large[i].took, b.listed) / each(small[i].took, syncFew)
		figures = append(figures, figure{
			Name: fmt.Sprintf("sync of a tool with %s skills, %s", thousands(b.listed), what), Measured: fmt.Sprintf("%.1f s, %.1f µs a skill, %.1f of processor", large[i].took.Seconds(), each(large[i].took, b.listed), each(large[i].busy, b.listed)),
			Yardstick: fmt.Sprintf("%.1f and %.1f µs with %s", each(small[i].took, syncFew), each(small[i].busy, syncFew), thousands(syncFew)), Ratio: ratio, Wanted: "≤ 1.5", Met: ratio <= 1.5,
		})
	}
	figures = append(figures, figure{
		Name: fmt.Sprintf("memory during these syncs of %s skills, resident at most", thousands(b.listed)), Measured: fmt.Sprintf("%d MiB", peak>>10), Wanted: "≤ 120 MiB", Met: peak <= 120<<10,
	})
	return figures, s.end()
}

// timedSync is how long a sync took, and how long the server was busy with it.
type timedSync struct{ took, busy time.Duration }

// readBack fills the tool of a fresh integration and times its syncs. Peak is in KiB.
func (b *bench) readBack(s *server, n int) (syncs []timedSync, peak int, err error) {
	id, err := s.integration()
	if err != nil {
		return nil, 0, err
	}
	tool, err := b.open(b.ctx, s.name)
	if err != nil {
		return nil, 0, err
	}
	fill := func(every int, name string) error {
		var rows []sandbox.Row
		for i := 0; i < n; i += every {
			rows = append(rows, sandbox.Row{ExternalID: fmt.Sprintf("product:skill:%08d", i), Name: fmt.Sprintf("Perform %s task number %d", name, i), Active: true})
			if len(rows) == 10_000 || i+every >= n {
				if _, err := tool.Sandbox().Write(b.ctx, id, rows); err != nil {
					return err
				}
				rows = rows[:0]
			}
		}
		return nil
	}
	if err := fill(1, "advanced"); err != nil {
		return nil, 0, err
	}
	// From here on the highest resident size counts anew.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", s.cmd.Process.Pid), []byte("5"), 0o600); err != nil {
		return nil, 0, err
	}
	for i := range 3 {
		if i == 2 {
			if err := fill(10, "difficult"); err != nil {
				return nil, 0, err
			}
		}
		before, err := s.ended("ok")
		if err != nil {
			return nil, 0, err
		}
		w, err := dial(b.ctx, s.address) // one at rest would have been closed
		if err != nil {
			return nil, 0, err
		}
		busy, err := s.processorTime()
		if err != nil {
			return nil, 0, err
		}
		began := time.Now()
		if _, err := w.do(fmt.Appendf(nil, "POST /v1/force-sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Integration-Id: %s\r\nContent-Length: 0\r\n\r\n", s.key, id)); err != nil {
			return nil, 0, err
		}
		for after := before; after == before; {
			time.Sleep(20 * time.Millisecond)
			if after, err = s.ended("ok"); err != nil {
				return nil, 0, err
			}
			if failed, err := s.ended("failed"); err != nil || failed > 0 {
				return nil, 0, errors.Join(errors.New("the sync failed"), err)
			}
		}
		took := time.Since(began)
		after, err := s.processorTime()
		if err != nil {
			return nil, 0, err
		}
		syncs = append(syncs, timedSync{took, after - busy})
	}
	peak, err = s.processField("VmHWM")
	return syncs, peak, errors.Join(err, tool.Close())
}

// ended is how many syncs of the sandbox have ended like that.
func (s *server) ended(result string) (int, error) {
	response, err := http.Get("http://" + s.address + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	match := regexp.MustCompile(`crosswalk_syncs_ended_total\{result="` + result + `",tool="sandbox"\} (\d+)`).FindSubmatch(text)
	if match == nil {
		return 0, nil
	}
	return strconv.Atoi(string(match[1]))
}
