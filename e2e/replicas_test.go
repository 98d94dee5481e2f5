package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
)

// Ten replicas start at once on a database in which there is nothing; one more joins them.
func TestTenReplicasStartAtOnce(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 10)
	f.exec(`DROP SCHEMA public CASCADE`)
	f.exec(`CREATE SCHEMA public`)
	f.start()
	for what, want := range map[string]struct {
		sql string
		n   int
	}{
		"versions that were made twice": {`SELECT count(*) FROM (SELECT FROM goose_db_version GROUP BY version_id HAVING count(*) > 1) twice`, 0},
		"environments":                  {`SELECT count(*) FROM environments`, 1},
	} {
		if n := query[int](f, want.sql); n != want.n {
			t.Errorf("%d %s, want %d", n, what, want.n)
		}
	}
	f.add().start()
	c := f.replicas[0].client()
	for n, r := range f.replicas {
		upsert(t, r.to(c), items(1, fmt.Sprint(n)))
	}
	f.terminate()
}

// A replica with another master key, or older than the tables, does not start, and says why.
func TestReplicasThatMustNotStart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	first, wrong, older := f.replicas[0], f.replicas[1], f.replicas[2]
	key, other := auth.NewMasterKey(), auth.NewMasterKey()
	first.env = []string{auth.MasterKeyVariable + "=" + key}
	first.start()
	c := first.client()
	wrong.env = []string{auth.MasterKeyVariable + "=" + other}
	if said := wrong.refuses(1); !strings.Contains(said, "master key") || strings.Contains(said, key) || strings.Contains(said, other) {
		t.Errorf("with another master key it says %q", said)
	}
	// What a newer program would have noted.
	f.exec(`INSERT INTO goose_db_version (version_id, is_applied) SELECT max(version_id) + 1, true FROM goose_db_version`)
	if said := older.refuses(2); !strings.Contains(said, "run the newer program") {
		t.Errorf("on newer tables it says %q", said)
	}
	// Those that run are not disturbed.
	upsert(t, c, items(1, ""))
	first.terminate()
}

// A replica that dies while it calls a tool is noticed, and another one goes on with its drain within 10 s, whichever
// replica it was.
func TestWorkMovesWithin10s(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3)
	f.start()
	const size = 200
	var clients []*client.Client
	var tasks []string
	for _, r := range f.replicas {
		c := r.client("latency=1s", "batch_limit=5")
		accepted, err := c.UpsertSkills(t.Context(), items(size, ""))
		if err != nil {
			t.Fatal(err)
		}
		clients, tasks = append(clients, c), append(tasks, accepted.TaskID)
	}
	for n, r := range f.replicas {
		// It has an integration of its own, and perhaps others that it took over.
		eventually(t, 20*time.Second, f.name(r)+" calls the tool", func() bool { return f.holder(clients[n].IntegrationID) == r && r.calls() > 0 })
		var before []drainState
		for _, c := range clients {
			before = append(before, f.drain(c.IntegrationID))
		}
		r.kill()
		killed := time.Now()
		called, committed := map[int]time.Duration{}, map[int]time.Duration{}
		eventually(t, 20*time.Second, "others go on", func() bool {
			left := 0
			for i, c := range clients {
				if before[i].owner != before[n].owner || committed[i] > 0 {
					continue
				}
				now := f.drain(c.IntegrationID)
				if now.epoch > before[i].epoch && now.calls > 0 && called[i] == 0 {
					called[i] = time.Since(killed)
				}
				if now.epoch > before[i].epoch && now.done > before[i].done {
					committed[i] = time.Since(killed)
				} else {
					left++
				}
			}
			return left == 0
		})
		for i, took := range committed {
			t.Logf("%s killed: the next call was under way after %v, its outcomes on disk after %v", f.name(r), called[i].Round(time.Millisecond), took.Round(time.Millisecond))
			if took > 10*time.Second {
				t.Errorf("the work went on only %v after %s had been killed", took, f.name(r))
			}
		}
		r.start()
	}
	for n, c := range clients {
		f.replicas[0].admin("id", "integrations", "update", c.IntegrationID, "--set", "latency=0s", "--set", "batch_limit=100")
		completed(t, c, tasks[n])
		if tool := f.replicas[0].tool(c.IntegrationID); len(tool) != size {
			t.Errorf("the tool holds %d skills", len(tool))
		}
	}
	f.terminate()
}

// One process takes the requests and another one works. It is told at once by PostgreSQL; behind a pooler in transaction
// mode, where nothing can be told, it asks every second.
func TestRoles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		pooled bool
		median time.Duration // from the request to the end of the task
	}{
		{"notified", false, 500 * time.Millisecond},
		{"behind pgbouncer", true, 2500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFleet(t, 0)
			var pooled []string
			if c.pooled {
				pooled = []string{"--database-pooler", "--database", pgbouncer(t, f.url)}
			}
			front, back := f.add(append(pooled, "--role", "api")...), f.add(append(pooled, "--role", "worker")...)
			f.start()
			caller := front.client()
			var took []time.Duration
			for n := range 15 {
				began := time.Now()
				upsert(t, caller, items(10, fmt.Sprint(n)))
				took = append(took, time.Since(began))
				// Not in step with anything.
				<-time.After(time.Duration(n*37%150) * time.Millisecond)
			}
			slices.Sort(took)
			median, most := took[len(took)/2], took[len(took)-1]
			t.Logf("submitted here, completed there: median %v, most %v; woken by the queue %v times, by the sweep %v times",
				median.Round(time.Millisecond), most.Round(time.Millisecond),
				back.metric(`crosswalk_drains_woken_total{by="queue"}`), back.metric(`crosswalk_drains_woken_total{by="sweep"}`))
			if median > c.median {
				t.Errorf("the median is %v; want at most %v", median, c.median)
			}
			if drains := front.metric("crosswalk_drain_seconds_count"); drains != 0 {
				t.Errorf("the front has drained %v times", drains)
			}
			f.terminate()
		})
	}
}

// pgbouncer starts a pooler in transaction mode before a database and returns the address behind it.
func pgbouncer(t *testing.T, database string) string {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer" // where Debian puts it, off the path of users
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("pgbouncer is missing: %v. Install it with: sudo apt-get install -y pgbouncer", err)
	}
	config, err := pgx.ParseConfig(database)
	if err != nil {
		t.Fatal(err)
	}
	host, port, err := net.SplitHostPort(freeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	// Whoever comes is let in, as the user that the tests are.
	target := fmt.Sprintf("host=%s port=%d dbname=%s user=%s", config.Host, config.Port, config.Database, config.User)
	if config.Password != "" {
		target += " password=" + config.Password
	}
	file := filepath.Join(t.TempDir(), "pgbouncer.ini")
	if err := os.WriteFile(file, []byte("[databases]\n* = "+target+`
[pgbouncer]
listen_addr = `+host+`
listen_port = `+port+`
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
`), 0o644); err != nil {
		t.Fatal(err)
	}
	var args []string
	if os.Geteuid() == 0 { // it refuses to be root; the file must be read all the same
		args = []string{"-u", "nobody"}
		for dir := filepath.Dir(file); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	log := &lockedBuffer{}
	cmd := exec.Command(path, append(args, file)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // likewise
		if t.Failed() {
			t.Logf("pgbouncer says:\n%s", log)
		}
	})
	pooled := fmt.Sprintf("postgres://pooled@%s/%s?sslmode=disable", net.JoinHostPort(host, port), config.Database)
	eventually(t, 10*time.Second, "pgbouncer answers", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, pooled)
		if err != nil {
			return false
		}
		return conn.Close(ctx) == nil
	})
	return pooled
}
