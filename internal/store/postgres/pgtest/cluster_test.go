package pgtest

import (
	"os"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/testdisk"
)

func TestClusterKeepsWhatWasCommitted(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(c *Cluster)
	}{
		{"fast", func(c *Cluster) { c.Stop(Fast) }},
		{"immediate", func(c *Cluster) { c.Stop(Immediate) }},
		{"killed", (*Cluster).Kill},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := NewCluster(t, Options{})
			url := c.Database("crosswalk")
			conn := open(t, url)
			exec1(t, conn, `CREATE TABLE things (n int)`)
			exec1(t, conn, `INSERT INTO things VALUES (1)`)
			exec1(t, conn, `BEGIN`)
			exec1(t, conn, `INSERT INTO things VALUES (2)`)
			process := c.c.process.Process.Pid
			children := childrenOf(process)

			test.end(c)

			if len(children) < 3 {
				t.Errorf("the server had %d children, want a session and some helpers", len(children))
			}
			for _, pid := range append(children, process) {
				if lives(pid) {
					t.Errorf("process %d still lives", pid)
				}
			}
			if conn, err := pgx.Connect(t.Context(), url); err == nil {
				_ = conn.Close(t.Context()) // the test has failed
				t.Fatal("somebody still answers")
			}
			c.Start()
			if n := count(t, open(t, url), `SELECT count(*) FROM things`); n != 1 {
				t.Errorf("%d rows, want the committed one", n)
			}
		})
	}
}

func TestClusterHasItsSettingsAndFolder(t *testing.T) {
	dir := openFolder(t)
	var c *Cluster
	t.Run("test", func(t *testing.T) {
		c = NewCluster(t, Options{Dir: dir, Settings: map[string]string{"fsync": "off", "work_mem": "3MB", "cluster_name": "it's"}})
		conn := open(t, c.URL("postgres"))
		for name, want := range map[string]string{"fsync": "off", "work_mem": "3MB", "cluster_name": "it's", "full_page_writes": "on"} {
			var got string
			if err := conn.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&got); err != nil || got != want {
				t.Errorf("%s is %q, want %q (%v)", name, got, want, err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%v in the folder, want that of the data (%v)", entries, err)
		}
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v in the folder after the test (%v)", entries, err)
	}
	if _, err := os.Stat(c.c.run); err == nil {
		t.Errorf("%s is still there after the test", c.c.run)
	}
	if err := c.c.watchdog.Process.Signal(syscall.Signal(0)); err == nil {
		t.Error("the watchdog still runs")
	}
}

func TestClusterOnAFullDisk(t *testing.T) {
	t.Parallel()
	testdisk.Run(t, 128<<20, func(t *testing.T, disk *testdisk.Disk) {
		c := NewCluster(t, Options{Dir: disk.Path})
		conn := open(t, c.URL("postgres"))
		exec1(t, conn, `CREATE TABLE things (content text)`)
		exec1(t, conn, `INSERT INTO things VALUES ('accepted')`)
		disk.Fill()
		var full error
		for n := 0; full == nil && n < 1000; n++ {
			_, full = conn.Exec(t.Context(), `INSERT INTO things SELECT string_agg(md5(n::text), '') FROM generate_series(1, 10000) n`)
		}
		if full == nil {
			t.Error("a full disk takes everything")
		}
		disk.Free()
		c.Recover()
		if n := count(t, open(t, c.URL("postgres")), `SELECT count(*) FROM things WHERE content = 'accepted'`); n != 1 {
			t.Errorf("%d rows, want the one that was accepted", n)
		}
	})
}

func TestClusterTakesAnotherPort(t *testing.T) {
	c := NewCluster(t, Options{Settings: map[string]string{"fsync": "off"}})
	p, err := findPrograms()
	if err != nil {
		t.Fatal(err)
	}
	if p.bin != c.c.bin {
		t.Errorf("two searches find %s and %s", p.bin, c.c.bin)
	}
	if port := freePort(); port == c.c.port {
		t.Errorf("port %d is called free while a server listens there", port)
	}
}
