package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/examples"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/skillfile"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// server is a crosswalk process with a key.
type server struct {
	b        *bench
	name     string // of its database, within the run
	database string // its address, or file
	address  string
	key      string
	cmd      *exec.Cmd
}

var serves = regexp.MustCompile(`serves http://(\S+)`)

// start starts a process on a database, made if it is not there, and returns how long it took to be ready.
func (b *bench) start(name string) (*server, time.Duration, error) {
	database, err := b.product.database(b.ctx, name)
	if err != nil {
		return nil, 0, err
	}
	s := &server{b: b, name: name, database: database}
	began := time.Now()
	s.cmd = exec.CommandContext(b.ctx, b.program, append([]string{"serve", "--listen", "127.0.0.1:0", "--log-level", "warn"}, b.flags(database)...)...)
	s.cmd.Stderr = os.Stderr
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, 0, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, 0, err
	}
	b.servers = append(b.servers, s)
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	match := serves.FindStringSubmatch(line)
	if err != nil || match == nil {
		return nil, 0, fmt.Errorf("the server did not start: %q, %w", line, err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }() // it must not wait for a reader
	s.address = match[1]
	for {
		response, err := http.Get("http://" + s.address + "/readyz")
		if err == nil {
			_ = response.Body.Close() // nothing is read of it
			if response.StatusCode == http.StatusOK {
				break
			}
		}
		if time.Since(began) > 10*time.Second {
			return nil, 0, errors.New("the server is not ready after 10 s")
		}
	}
	took := time.Since(began)
	s.key, err = s.admin("key", "keys", "create", "--name", "bench")
	return s, took, err
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.cmd.Wait()
}

// end stops the server and removes its database.
func (s *server) end() error { return errors.Join(s.stop(), s.b.forget(s.name)) }

func (s *server) admin(field string, args ...string) (string, error) {
	out, err := exec.CommandContext(s.b.ctx, s.b.program, append(append(args, "--json"), s.b.flags(s.database)...)...).Output()
	if err != nil {
		return "", fmt.Errorf("%v: %w", args, err)
	}
	var object map[string]any
	if err := json.Unmarshal(out, &object); err != nil {
		return "", err
	}
	text, _ := object[field].(string)
	return text, nil
}

func (s *server) integration() (string, error) {
	return s.admin("id", "integrations", "create", "--tool", "sandbox", "--name", "Bench Ltd.")
}

func (s *server) integrations(n int) ([]string, error) {
	ids := make([]string, n)
	for i := range ids {
		var err error
		if ids[i], err = s.integration(); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// wire is one connection to a server that costs its driver as little as possible: requests are bytes made beforehand.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

func dial(ctx context.Context, address string) (*wire, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &wire{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// do sends a request and returns the answer's body, which is good until the next one.
func (w *wire) do(request []byte) ([]byte, error) {
	if _, err := w.conn.Write(request); err != nil {
		return nil, err
	}
	status, err := w.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	ok := bytes.HasPrefix(status, []byte("HTTP/1.1 200"))
	length := -1
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return nil, err
			}
		}
	}
	if length < 0 {
		return nil, errors.New("an answer without Content-Length")
	}
	if cap(w.body) < length {
		w.body = make([]byte, length)
	}
	w.body = w.body[:length]
	if _, err := io.ReadFull(w.in, w.body); err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("answer: %s", w.body)
	}
	return w.body, nil
}

func (s *server) post(integration string, body []byte) []byte {
	return append(fmt.Appendf(nil, "POST /v1/hris/skills/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Integration-Id: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", s.key, integration, len(body)), body...)
}

func (s *server) get(integration, task string) []byte {
	return fmt.Appendf(nil, "GET /v1/hris/skills/bulk/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Integration-Id: %s\r\n\r\n", task, s.key, integration)
}

// push submits a task and waits until it has ended, looking every pause. It returns the task's id.
func (s *server) push(w *wire, integration string, request []byte, pause time.Duration) (string, error) {
	body, err := w.do(request)
	if err != nil {
		return "", err
	}
	_, rest, _ := bytes.Cut(body, []byte(`"task_id":"`))
	task, _, _ := strings.Cut(string(rest), `"`)
	poll := s.get(integration, task)
	for {
		if body, err = w.do(poll); err != nil {
			return "", err
		}
		if !bytes.Contains(body[:min(len(body), 200)], []byte(`"PENDING"`)) {
			break
		}
		time.Sleep(pause)
	}
	if bytes.Contains(body, []byte(`"FAILED"`)) {
		return "", fmt.Errorf("the task failed: %.300s", body)
	}
	return task, nil
}

// realItems are the first n of the example skills.
func realItems(n int) ([]skill.Item, error) {
	var items []skill.Item
	for _, name := range []string{"skills/esco-cross-sector-en.csv", "skills/onet-technology-skills.csv"} {
		content, err := examples.Skills.ReadFile(name)
		if err != nil {
			return nil, err
		}
		result, err := skillfile.Read(name, bytes.NewReader(content), skillfile.CSV)
		if err != nil {
			return nil, err
		}
		for _, row := range result.Rows {
			items = append(items, row.Item)
		}
	}
	return items[:n], nil
}

func bodyOf(items []skill.Item) []byte {
	type inner struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	type outer struct {
		OriginID string `json:"origin_id"`
		Skill    inner  `json:"skill"`
	}
	list := make([]outer, len(items))
	for i, it := range items {
		list[i] = outer{it.OriginID, inner{it.Name, it.Status.String()}}
	}
	body, err := json.Marshal(map[string]any{"items": list})
	if err != nil {
		panic(err) // texts and lists always encode
	}
	return body
}

// processField reads a line of /proc/PID/status in KiB.
func (s *server) processField(name string) (int, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, line := range strings.Split(string(content), "\n") {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.Atoi(strings.Fields(rest)[0])
		}
	}
	return 0, fmt.Errorf("no %s in the process's status", name)
}

// processorTime is what the process has used so far.
func (s *server) processorTime() (time.Duration, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	const ticks = 100 // a second, on every Linux
	return time.Duration(user+system) * time.Second / ticks, err
}

// searched waits until the names of all skills are in the search, which goes on behind the tasks that wrote them.
func (s *server) searched() error {
	ctx, cancel := context.WithTimeout(s.b.ctx, 10*time.Minute)
	defer cancel()
	const query = "SELECT EXISTS (SELECT 1 FROM unsearched)"
	var some func() (bool, error)
	if s.b.admin == nil {
		db, err := sql.Open("sqlite", sqlite.DSN(s.database, "query_only(1)"))
		if err != nil {
			return err
		}
		defer db.Close()
		some = func() (some bool, err error) { return some, db.QueryRowContext(ctx, query).Scan(&some) }
	} else {
		db, err := pgx.Connect(ctx, s.database)
		if err != nil {
			return err
		}
		defer db.Close(context.Background()) //nolint:errcheck // nothing is under way
		some = func() (some bool, err error) { return some, db.QueryRow(ctx, query).Scan(&some) }
	}
	for {
		more, err := some()
		if err != nil || !more {
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
}
