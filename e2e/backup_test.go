package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// A backup of the embedded database is taken while tasks come in and are carried out. Restored elsewhere, everything that
// was accepted before goes on.
func TestBackupGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	from, to := newSite(t), newSite(t)
	file := filepath.Join(t.TempDir(), "backup.db")
	goesOn(t, from, to, func() {
		from.admin("file", "backup", file, "--with-master-key")
	}, func() {
		to.admin("database", "restore", file, "--with-master-key")
	})
}

// The same with PostgreSQL and its own programs.
func TestDumpGoesOnElsewhere(t *testing.T) {
	t.Parallel()
	cluster := pgtest.NewCluster(t, pgtest.Options{})
	url, again := cluster.Database("crosswalk"), cluster.URL("again")
	from, to := newSiteOn(t, url, url), newSiteOn(t, again, again)
	folder := filepath.Join(t.TempDir(), "dump")
	run := func(program string, args ...string) {
		t.Helper()
		if out, err := exec.Command(pgtest.Program(t, program), args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", program, err, out)
		}
	}
	goesOn(t, from, to, func() {
		run("pg_dump", "--format=directory", "--jobs=2", "--file="+folder, url)
	}, func() {
		run("createdb", "--maintenance-db="+cluster.URL("postgres"), "again")
		run("pg_restore", "--jobs=2", "--exit-on-error", "--no-owner", "--dbname="+again, folder)
		to.admin("", "integrations", "doubt", "--all")
	})
}

// goesOn has one site backed up under load and killed later, and its backup restored to another one.
func goesOn(t *testing.T, from, to *site, backup, restore func()) {
	t.Helper()
	from.start()
	pasts := []*past{{t: t, c: from.client()}, {t: t, c: from.client("batch_limit=50", "latency=40ms")}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var group sync.WaitGroup
	for _, p := range pasts {
		group.Go(func() { p.send(ctx) })
	}
	for _, p := range pasts {
		p.until(5)
	}
	if _, err := pasts[0].c.Wait(t.Context(), pasts[0].list()[4].id, nil); err != nil {
		t.Fatal(err)
	}
	before := make([][]acceptedTask, len(pasts))
	answers := map[string][]byte{}
	for i, p := range pasts {
		before[i] = p.list()
		for _, task := range before[i] {
			answers[task.id] = poll(t, p.c, task.id)
		}
	}
	backup()
	for i, p := range pasts {
		p.until(len(before[i]) + 3)
	}
	stop()
	group.Wait()
	from.kill()

	restore()
	// Meanwhile the tools have got something newer. The catalogue does not know.
	to.exec("UPDATE sandbox_skills SET name = 'newer ' || external_id")
	to.start()
	ended := 0
	for i, p := range pasts {
		p.c.BaseURL = to.url
		ids := map[string]string{}
		for _, task := range before[i] {
			got, err := p.c.Wait(t.Context(), task.id, nil)
			if err != nil || got.Status != client.Completed || len(got.Results) != len(task.items) {
				t.Fatalf("task %s, accepted before the backup: %+v, %v", task.id, got, err)
			}
			for n, r := range got.Results {
				if r.OriginID != task.items[n].OriginID || r.Status != client.Succeeded {
					t.Fatalf("task %s, result %d: %+v for %+v", task.id, n, r, task.items[n])
				}
				if known := ids[r.OriginID]; known != "" && known != r.Data.ID {
					t.Fatalf("%s had the id %s and has %s", r.OriginID, known, r.Data.ID)
				}
				ids[r.OriginID] = r.Data.ID
			}
			if was := answers[task.id]; !bytes.Contains(was, []byte("PENDING")) {
				ended++
				if is := poll(t, p.c, task.id); !bytes.Equal(was, is) {
					t.Errorf("the answer for task %s was %.300s, and is %.300s", task.id, was, is)
				}
			}
		}
	}
	if ended == 0 {
		t.Error("no task had ended before the backup")
	}

	// Nothing is skipped.
	for i, p := range pasts {
		list := before[i][len(before[i])-1].items
		accepted, err := p.c.UpsertSkills(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		if task, err := p.c.Wait(t.Context(), accepted.TaskID, nil); err != nil || task.Status != client.Completed {
			t.Fatalf("%+v, %v", task, err)
		}
		tool := to.tool(p.c.IntegrationID)
		for _, it := range list {
			if got := tool[it.OriginID].Name; got != it.Name {
				t.Fatalf("the tool holds %q as %s, want %q", got, it.OriginID, it.Name)
			}
		}
	}
	to.terminate()
}

// past is what an integration was sent.
type past struct {
	t *testing.T
	c *client.Client

	mu    sync.Mutex
	tasks []acceptedTask
}

// send sends tasks until ctx ends, in each of which half of the skills have changed.
func (p *past) send(ctx context.Context) {
	for round := 0; ctx.Err() == nil; round++ {
		list := items(300, "")
		for i := range list {
			if (i+round)%2 == 0 {
				list[i].Name += fmt.Sprint("round ", round)
			}
		}
		accepted, err := p.c.UpsertSkills(p.t.Context(), list)
		if err != nil {
			p.t.Errorf("submit: %v", err)
			return
		}
		p.mu.Lock()
		p.tasks = append(p.tasks, acceptedTask{accepted.TaskID, list})
		p.mu.Unlock()
		pause(ctx, 50*time.Millisecond)
	}
}

func (p *past) list() []acceptedTask {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]acceptedTask(nil), p.tasks...)
}

// until waits until so many tasks were accepted.
func (p *past) until(n int) {
	p.t.Helper()
	for limit := time.Now().Add(time.Minute); len(p.list()) < n; pause(p.t.Context(), 5*time.Millisecond) {
		if p.t.Failed() || time.Now().After(limit) {
			p.t.Fatalf("only %d tasks were accepted, want %d", len(p.list()), n)
		}
	}
}

// poll is the answer for a task, to the byte.
func poll(t *testing.T, c *client.Client, task string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.BaseURL+"/v1/hris/skills/bulk/"+task, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.APIKey)
	request.Header.Set("X-Integration-Id", c.IntegrationID)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("poll %s: %s, %v: %s", task, response.Status, err, content)
	}
	return content
}
