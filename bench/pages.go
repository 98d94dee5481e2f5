package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

const (
	// pageWithin is what 95 of 100 requests of a page may take.
	pageWithin = 50 * time.Millisecond
	// pageRequests is how often each page is asked for.
	pageRequests = 60
)

// pages: the time of every page of the dashboard, with a million skills and a hundred thousand tasks. They are asked for one
// after the other, on one connection.
func (b *bench) pages() (figures []figure, err error) {
	s, _, err := b.start("pages")
	if err != nil {
		return nil, err
	}
	f := &filling{skills: b.skills, tasks: b.skills / 10, now: time.Now().UTC().Truncate(time.Millisecond)}
	if f.integrations, err = s.integrations(10); err != nil {
		return nil, err
	}
	// With another environment, what is found has to be told apart.
	if _, err := s.admin("id", "environments", "create", "--name", "staging"); err != nil {
		return nil, err
	}
	if _, err := s.admin("id", "integrations", "create", "--tool", "sandbox", "--name", "Bench Ltd.", "--environment", "staging"); err != nil {
		return nil, err
	}
	// Nothing is done for the last one: so its tasks wait.
	if _, err := s.admin("id", "integrations", "disable", f.idle()); err != nil {
		return nil, err
	}
	const name, password = "bench", "a password of the bench"
	create := exec.CommandContext(b.ctx, b.program, append([]string{"users", "create", name, "--role", "owner", "--password-file", "-"}, b.flags(s.database)...)...)
	create.Stdin = strings.NewReader(password)
	if err := create.Run(); err != nil {
		return nil, fmt.Errorf("create a user: %w", err)
	}
	if err := s.stop(); err != nil {
		return nil, err
	}
	if err := b.fill(s.database, f); err != nil {
		return nil, fmt.Errorf("fill the database: %w", err)
	}
	if s, _, err = b.start("pages"); err != nil {
		return nil, err
	}
	v, err := s.signIn(name, password)
	if err != nil {
		return nil, err
	}
	if err := v.indexed(b.ctx); err != nil {
		return nil, err
	}
	for _, p := range f.pages() {
		figure, err := v.measure(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		figures = append(figures, figure)
	}
	return figures, s.end()
}

// visitor is somebody who is signed in.
type visitor struct {
	client *http.Client
	home   string // the environment's pages
}

func (s *server) signIn(name, password string) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	v := &visitor{client: &http.Client{Jar: jar, Timeout: time.Minute}}
	answer, err := v.client.PostForm("http://"+s.address+"/sign-in", url.Values{"name": {name}, "password": {password}})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if at := answer.Request.URL; answer.StatusCode != http.StatusOK || !strings.HasPrefix(at.Path, "/e/") {
		return nil, fmt.Errorf("sign in: %s at %s", answer.Status, at)
	}
	v.home = strings.TrimSuffix(answer.Request.URL.String(), "/")
	return v, nil
}

// get asks for a page, which must have that on it.
func (v *visitor) get(path, has string) (time.Duration, error) {
	began := time.Now()
	answer, err := v.client.Get(v.home + path)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	if answer.StatusCode != http.StatusOK || !bytes.Contains(body, []byte(has)) {
		return 0, fmt.Errorf("%s: %s, %q should be on it", path, answer.Status, has)
	}
	return took, nil
}

// indexed waits until all names are in the search.
func (v *visitor) indexed(ctx context.Context) error {
	began := time.Now()
	for {
		if _, err := v.get("/skills?q=quokka", "not in the search yet"); err != nil {
			_, err = v.get("/skills?q=quokka", "No skill matches")
			fmt.Fprintf(os.Stderr, "the names were indexed after %s\n", time.Since(began).Round(time.Second))
			return err
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (v *visitor) measure(p page) (figure, error) {
	var took []time.Duration
	for n := range pageRequests + 2 {
		one, err := v.get(p.path, p.has)
		if err != nil {
			return figure{}, err
		}
		if n >= 2 { // those before may have been the first ones on cold tables
			took = append(took, one)
		}
	}
	p95 := quantile(took, 0.95)
	return figure{
		Name: "page: " + p.name, Measured: fmt.Sprintf("p50 %s, p95 %s", ms(quantile(took, 0.5)), ms(p95)), Wanted: "p95 ≤ " + ms(pageWithin), Met: p95 <= pageWithin,
	}, nil
}

// page is a page of the dashboard, and what must be on it.
type page struct{ name, path, has string }

// filling is what a database is filled with, as a function of each row's number.
type filling struct {
	skills, tasks int
	integrations  []string
	refs          []int64
	environment   string
	now           time.Time
	names         []string
	rare          string // a word that five skills have
	common, some  string // words of a tenth and of a hundredth
	blocks        [][]byte
	documents     [][]byte
	large         []byte // the document of a task of 10,000
}

func (f *filling) idle() string { return f.integrations[len(f.integrations)-1] }

// of says which integration a row is of: the first one has every second, the last one none.
func (f *filling) of(i int) int {
	if i%2 == 0 {
		return 0
	}
	return 1 + i/2%(len(f.integrations)-2)
}

const (
	crowded   = "Cumulus" // a word of a tenth of the skills that stand close together
	perTask   = 10
	largeTask = 10_000
)

func (f *filling) originID(i int) string { return fmt.Sprintf("product:skill:%08d", i) }

func (f *filling) name(i int) string {
	name := f.names[i%len(f.names)]
	if round := i / len(f.names); round > 0 {
		name += " – " + f.names[(i*7919+round*131)%len(f.names)]
	}
	if i%(f.skills/5) == 7 {
		name += " " + f.rare
	}
	if i > f.skills/2 && i < f.skills*6/10 {
		name += " " + crowded
	}
	return name
}

func (f *filling) skillID(i int) string {
	return skill.FirstID(f.now.Add(-time.Duration(f.skills-i)*time.Second)) + strings.ReplaceAll(fmt.Sprintf("%016d", i), "0", "Z")
}

func (f *filling) taskAt(i int) time.Time {
	return f.now.Add(-time.Duration(f.tasks-i) * (14 * 24 * time.Hour / time.Duration(f.tasks)))
}

// taskID has digits of base 58 alone.
func (f *filling) taskID(i int) string {
	return skill.FirstTaskID(f.taskAt(i)) + strings.ReplaceAll(fmt.Sprintf("%016d", i), "0", "Z")
}

func (f *filling) logID(i, of int) string {
	return skill.FirstID(f.now.Add(-time.Duration(of-i)*(7*24*time.Hour/time.Duration(of)))) + strings.ReplaceAll(fmt.Sprintf("%016d", i), "0", "Z")
}

// prepare makes what rows are made of.
func (f *filling) prepare() error {
	items, err := realItems(12_900)
	if err != nil {
		return err
	}
	for _, it := range items {
		f.names = append(f.names, it.Name)
	}
	f.rare = "Zymurgy"
	// How often words are in names, those that begin with them counted too, as a search does.
	const sample = 10_000
	words, beginnings := map[string]bool{}, map[string]int{}
	for n := range sample {
		begin := map[string]bool{}
		for _, w := range strings.Fields(f.name(n * 7919 % f.skills)) {
			words[w] = true
			for end := range w {
				begin[w[:end]] = true
			}
			begin[w] = true
		}
		for w := range begin {
			beginnings[w]++
		}
	}
	nearest := func(share float64) (best string) {
		distance := func(n int) float64 {
			return max(float64(n)/sample/share, share*sample/float64(n))
		}
		for _, w := range slices.Sorted(maps.Keys(words)) {
			if len(w) > 3 && strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") == "" && (best == "" || distance(beginnings[w]) < distance(beginnings[best])) {
				best = w
			}
		}
		return best
	}
	f.common, f.some = nearest(0.1), nearest(0.01)
	// A few tasks, over and over: what is in a task of another integration makes no difference to the time.
	for n := range 200 {
		document, block := f.task(n, n*perTask, perTask)
		f.documents, f.blocks = append(f.documents, document), append(f.blocks, block)
	}
	f.large, _ = f.task(7, 0, largeTask)
	return nil
}

func (f *filling) task(n, from, items int) (document, block []byte) {
	task := skill.Task{ID: f.taskID(n), CreatedAt: f.taskAt(n)}
	result := skill.NewResultDocument(task, items, "http://localhost:8080/logs/")
	var all []skill.Item
	for i := range items {
		it := skill.Item{OriginID: f.originID(from + i), Name: f.name(from + i), Status: skill.Active}
		all = append(all, it)
		o := skill.Outcome{Kind: skill.Written, SkillID: f.skillID(from + i)}
		if n%10 == 7 && i%10 == 3 {
			o = skill.Outcome{Kind: skill.Rejected, Code: skill.CodeRemoteInput, Message: fmt.Sprintf("The name is refused: rule %d", i%300), Interaction: f.logID(n, 200)}
		}
		result.Add(it.OriginID, o)
	}
	return result.Bytes(task.CreatedAt.Add(time.Second)), skill.AppendItems(nil, all)
}

// failed is how many items of a task failed.
func (f *filling) failed(i int) int {
	if i%200%10 == 7 {
		return 1
	}
	return 0
}

// cursor is the place behind a skill.
func (f *filling) cursor(i int) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(f.refs[f.of(i)], 36) + ":" + f.skillID(i) + ":" + f.originID(i)))
}

// largeID is the task of 10,000 items.
func (f *filling) largeID() string {
	return skill.FirstTaskID(f.now.Add(-time.Minute)) + "LargeLargeLargeL"
}

func (f *filling) pages() []page {
	first, middle := url.QueryEscape(f.integrations[0]), f.skills/2
	small := url.QueryEscape(f.integrations[3])
	logs := f.skills / 5
	large := "/tasks/" + f.largeID()
	const shown, lookedAt = "</h1>", "exchanges were looked at"
	return []page{
		{"overview", "/", shown},
		{"tasks", "/tasks", "task_"},
		{"tasks, deep in the list", "/tasks?before=" + f.taskID(f.tasks/2), "task_"},
		{"tasks of one integration", "/tasks?integration=" + first, "task_"},
		{"tasks of one integration, deep", "/tasks?integration=" + small + "&before=" + f.taskID(f.tasks/2), "task_"},
		{"tasks with failures", "/tasks?state=failures", "task_"},
		{"tasks with failures, deep", "/tasks?state=failures&before=" + f.taskID(f.tasks/2), "task_"},
		{"tasks going on", "/tasks?state=going-on", "task_"},
		{"tasks completed", "/tasks?state=completed", "task_"},
		{"tasks failed", "/tasks?state=failed", "task_"},
		{"tasks of the last day", "/tasks?within=24h", "task_"},
		{"tasks with an origin_id", "/tasks?q=" + f.originID(77), shown},
		{"tasks with an origin_id that none has", "/tasks?q=nothing-has-this", shown},
		{"a task of 10", "/tasks/" + f.taskID(f.tasks-100), shown},
		{"a task of 10,000", large, shown},
		{"a task of 10,000, its last page", large + "?after=9900", shown},
		{"a task of 10,000, its failures", large + "?outcome=failed", shown},
		{"a task of 10,000, by a word", large + "?q=" + f.some, shown},
		{"skills", "/skills", "product:skill"},
		{"skills, deep in the list", "/skills?after=" + f.cursor(middle), "product:skill"},
		{"skills of one integration", "/skills?integration=" + small, "product:skill"},
		{"skills of one integration, deep", "/skills?integration=" + first + "&after=" + f.cursor(middle), "product:skill"},
		{"skills by origin_id, the last ones first", "/skills?sort=-origin_id", "product:skill"},
		{"skills by age, the newest ones first", "/skills?sort=-added", "product:skill"},
		{"skills by age, deep", "/skills?sort=added&after=" + f.cursor(middle), "product:skill"},
		{"skills, refused", "/skills?state=refused", "product:skill"},
		{"skills, unsure", "/skills?state=unsure", "product:skill"},
		{"skills, inactive", "/skills?state=inactive", "product:skill"},
		{"skills, inactive, deep", "/skills?state=inactive&after=" + f.cursor(middle), "product:skill"},
		{"skills by the beginning of an origin_id", "/skills?origin_id=" + f.originID(middle)[:18], "product:skill"},
		{"the same in one integration", "/skills?origin_id=" + f.originID(middle)[:18] + "&integration=" + first, "product:skill"},
		{"skills by a rare word", "/skills?q=zymurgy", f.rare},
		{"skills by a rare word in one integration", "/skills?q=zymurgy&integration=" + first, shown},
		{"skills by the beginning of a rare word", "/skills?q=zym", f.rare},
		{"skills by a word of a hundredth", "/skills?q=" + f.some, f.some},
		{"skills by a word of a hundredth, deep", "/skills?q=" + f.some + "&after=" + f.cursor(middle), f.some},
		{"skills by a word of a tenth", "/skills?q=" + f.common, f.common},
		{"skills by a word of a tenth, in one integration, deep", "/skills?q=" + f.common + "&integration=" + first + "&after=" + f.cursor(middle), f.common},
		{"skills by a word of a tenth that stand close together", "/skills?q=" + crowded, "some of many that match"},
		{"skills by two words", "/skills?q=" + f.common + "+" + f.some, shown},
		{"skills by a common and a rare word", "/skills?q=" + f.common + "+zymurgy", shown},
		{"skills by one letter", "/skills?q=q", shown},
		{"skills by a word that none has", "/skills?q=quokka", "No skill matches"},
		{"skills by a word and a state", "/skills?state=inactive&q=" + f.some, shown},
		{"a skill with its history", "/skills/one?integration=" + first + "&origin_id=" + f.originID(1000), "In tasks"},
		{"integrations", "/integrations", shown},
		{"integrations by a text", "/integrations?q=bench", shown},
		{"integrations by customer", "/integrations?sort=-customer", "Bench Ltd."},
		{"an integration", "/integrations/" + f.integrations[0], shown},
		{"connecting a tool", "/integrations/new", shown},
		{"secrets", "/secrets", shown},
		{"logs", "/logs", "/logs/"},
		{"logs, deep in the list", "/logs?after=" + f.logID(logs/2, logs) + "-0", "/logs/"},
		{"logs of one integration", "/logs?integration=" + first, "/logs/"},
		{"logs of a task", "/logs?task=" + f.taskID(1000), shown},
		{"logs, failed", "/logs?status=failed", "/logs/"},
		{"logs, answers of 5xx", "/logs?status=5", "/logs/"},
		{"logs, answers of 5xx of one integration, to the tool", "/logs?status=5&way=out&integration=" + small, shown},
		{"logs, answers of 4xx, of which there are none", "/logs?status=4", shown},
		{"logs, answers of 418, of which there are none, to this server", "/logs?status=4&way=in&within=168h", shown},
		{"logs of the last hour", "/logs?within=1h", shown},
		{"logs, to the tools", "/logs?way=out", "/logs/"},
		{"logs of one integration, to the tool, of which there are none", "/logs?way=out&integration=" + first, lookedAt},
		{"the same, the oldest ones first, deep", "/logs?sort=began&way=out&integration=" + first + "&after=" + f.logID(logs/4, logs) + "-0", lookedAt},
		{"logs, answers of 3xx, of which there are none", "/logs?status=3", lookedAt},
		{"logs, the oldest ones first", "/logs?sort=began", "/logs/"},
		{"logs, the oldest ones first, deep", "/logs?sort=began&after=" + f.logID(logs/2, logs) + "-0", "/logs/"},
		{"logs, the slowest ones first", "/logs?sort=-took", "/logs/"},
		{"logs, the slowest ones first, deep", "/logs?sort=-took&after=" + f.logID(logs/2, logs) + "-25000", "/logs/"},
		{"logs of one integration, the slowest ones first", "/logs?sort=-took&integration=" + small, "/logs/"},
		{"the slowest ones to the tool of an integration, of which there are none", "/logs?sort=-took&way=out&integration=" + first, lookedAt},
		{"logs of a task, the slowest ones first", "/logs?sort=-took&task=" + f.taskID(1000), "/logs/"},
		{"logs, failed, the slowest ones first", "/logs?sort=-took&status=failed", "/logs/"},
		{"logs of the last hours, the slowest ones first", "/logs?sort=-took&within=3h", "/logs/"},
		{"an exchange", "/logs/" + f.logID(logs/2, logs), shown},
		{"settings", "/settings", shown},
		{"audit log", "/audit", shown},
	}
}

// filled is what one table is filled with.
type filled struct {
	table   string
	columns string
	rows    int
	row     func(i int) []any
}

// tables are the rows, of either kind of database.
func (f *filling) tables(embedded bool) []filled {
	hash := bytes.Repeat([]byte{7}, len(skill.Hash{}))
	logs := f.skills / 5
	exchange := store.Exchange{
		RequestHeader: http.Header{"Content-Type": {"application/json"}}, AnswerHeader: http.Header{"Content-Type": {"application/json"}},
		RequestBody: bytes.Repeat([]byte(`{"name":"a skill"},`), 60), AnswerBody: bytes.Repeat([]byte(`{"id":"4711"},`), 40),
	}.Pack()
	all := []filled{
		{"skills", "integration, origin_id, id, remote_id, name, status, hash, unsure, written_at, written_by, error_code, error_message, error_at", f.skills, func(i int) []any {
			row := []any{f.refs[f.of(i)], f.originID(i), f.skillID(i), "SKL-" + strconv.Itoa(i), f.name(i), int16(skill.Active), hash, false, f.taskAt(i / perTask), int64(i/perTask + 1), nil, nil, nil}
			switch {
			case i%1000 == 3:
				row[10], row[11], row[12] = string(skill.CodeRemoteInput), "The name is refused", f.taskAt(i/perTask)
			case i%2000 == 5:
				row[6], row[7] = nil, true
			case i%50 == 9:
				row[5] = int16(skill.Inactive)
			}
			return row
		}},
		{"audit", "id, environment_id, at, user_id, user_name, address, action, target, detail", f.tasks / 5, func(i int) []any {
			return []any{f.logID(i, f.tasks/5), f.environment, f.now, "", "bench", "127.0.0.1", "task.retry", f.taskID(i), "one of many"}
		}},
		{"interactions", "id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url, exchange", logs, func(i int) []any {
			status := int16(200)
			if i%100 == 13 {
				status = 503
			}
			return []any{f.logID(i, logs), f.environment, f.integrations[f.of(i)], f.taskID(i % f.tasks), 0, perTask, i%2 == 1, status != 200, status, int64(1_000 + i*7919%50_000), nil, nil, "POST", "https://tool.example/skills", exchange}
		}},
	}
	// Ended tasks, and one of 10,000 that is the newest.
	document, items := func(i int) []byte { return f.documents[i%len(f.documents)] }, func(int) int { return perTask }
	const counts = "key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at, document"
	head := func(i int) []any {
		if i == f.tasks {
			failures := largeTask / perTask
			return []any{"", int16(skill.Completed), largeTask, largeTask - failures, 0, failures, false, f.now.Add(-time.Minute), f.now, f.large}
		}
		status := int16(skill.Completed)
		if i%500 == 7 {
			status = int16(skill.Failed)
		}
		return []any{"", status, items(i), perTask - f.failed(i), 0, f.failed(i), false, f.taskAt(i), f.taskAt(i).Add(time.Second), document(i)}
	}
	id := func(i int) string {
		if i == f.tasks {
			return f.largeID()
		}
		return f.taskID(i)
	}
	in := func(i int) int64 {
		if i == f.tasks {
			return f.refs[0]
		}
		return f.refs[f.of(i)]
	}
	_, whole := f.task(7, 0, largeTask)
	const waiting = 200
	idle := f.refs[len(f.refs)-1]
	later := f.now.Add(20 * time.Hour)
	waitingID := func(i int) string {
		return skill.FirstTaskID(f.now.Add(time.Duration(i-waiting)*10*time.Millisecond)) + "WaitWaitWaitWait"
	}
	if embedded {
		return append(all,
			filled{"tasks", "seq, id, integration, done, deadline, " + counts, f.tasks + 1, func(i int) []any {
				row := head(i)
				return append([]any{int64(i + 1), id(i), in(i), row[2], later}, row...)
			}},
			filled{"task_items", "task, start, block", f.tasks + 1, func(i int) []any {
				if i == f.tasks {
					return []any{int64(i + 1), 0, whole}
				}
				return []any{int64(i + 1), 0, f.blocks[i%len(f.blocks)]}
			}},
			filled{"tasks", "seq, id, integration, key_id, items, created_at, deadline", waiting, func(i int) []any {
				return []any{int64(f.tasks + 2 + i), waitingID(i), idle, "", perTask, f.now, later}
			}},
			filled{"task_items", "task, start, block", waiting, func(i int) []any { return []any{int64(f.tasks + 2 + i), 0, f.blocks[i]} }},
		)
	}
	return append(all,
		filled{"results", "id, integration, " + counts + ", blocks", f.tasks + 1, func(i int) []any {
			blocks := [][]byte{f.blocks[i%len(f.blocks)]}
			if i == f.tasks {
				blocks = [][]byte{whole}
			}
			return append(append([]any{id(i), in(i)}, head(i)...), blocks)
		}},
		filled{"tasks", "id, integration, key_id, items, created_at, deadline, block", waiting, func(i int) []any {
			return []any{waitingID(i), idle, "", perTask, f.now, later, f.blocks[i]}
		}},
	)
}

// fill fills a database that nobody serves.
func (b *bench) fill(database string, f *filling) error {
	if err := f.prepare(); err != nil {
		return err
	}
	if b.admin == nil {
		return fillSQLite(b.ctx, database, f)
	}
	return fillPostgres(b.ctx, database, f)
}

// known asks for what the program has made of the integrations.
func (f *filling) known(query func(id string) (int64, string, error)) (err error) {
	f.refs = make([]int64, len(f.integrations))
	for i, id := range f.integrations {
		if f.refs[i], f.environment, err = query(id); err != nil {
			return err
		}
	}
	return nil
}

func fillSQLite(ctx context.Context, database string, f *filling) (err error) {
	db, err := sql.Open("sqlite", sqlite.DSN(database, sqlite.WriterPragmas()...))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := f.known(func(id string) (ref int64, environment string, err error) {
		err = db.QueryRowContext(ctx, `SELECT seq, environment_id FROM integrations WHERE id = ?`, id).Scan(&ref, &environment)
		return ref, environment, err
	}); err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo
	for _, t := range f.tables(true) {
		if err := insertAll(ctx, tx, t); err != nil {
			return fmt.Errorf("%s: %w", t.table, err)
		}
	}
	for _, query := range []string{
		`INSERT INTO unsearched (integration) SELECT seq FROM integrations`,
		`UPDATE drains SET skills = (SELECT count(*) FROM skills s WHERE s.integration = drains.integration)`,
		// As if most skills were in the other environment: then it is asked where those are that are found.
		`UPDATE drains SET skills = ` + strconv.Itoa(2*f.skills) + ` WHERE integration IN (SELECT seq FROM integrations WHERE environment_id <> '` + f.environment + `')`,
		`UPDATE drains SET (wanted, pending, waiting) = (SELECT count(*) > 0, count(*), coalesce(sum(items), 0) FROM tasks t WHERE t.integration = drains.integration AND t.status = 0)`,
	} {
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func insertAll(ctx context.Context, tx *sql.Tx, t filled) error {
	places := strings.TrimSuffix(strings.Repeat("?, ", strings.Count(t.columns, ",")+1), ", ")
	insert, err := tx.PrepareContext(ctx, "INSERT INTO "+t.table+" ("+t.columns+") VALUES ("+places+")")
	if err != nil {
		return err
	}
	for i := range t.rows {
		row := t.row(i)
		for n, v := range row {
			if at, ok := v.(time.Time); ok {
				row[n] = at.UnixMilli()
			}
		}
		if _, err := insert.ExecContext(ctx, row...); err != nil {
			return err
		}
	}
	return insert.Close()
}

func fillPostgres(ctx context.Context, database string, f *filling) error {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the database is dropped
	if err := f.known(func(id string) (ref int64, environment string, err error) {
		err = conn.QueryRow(ctx, `SELECT seq, environment_id FROM integrations WHERE id = $1`, id).Scan(&ref, &environment)
		return ref, environment, err
	}); err != nil {
		return err
	}
	for _, t := range f.tables(false) {
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{t.table}, strings.Split(t.columns, ", "), pgx.CopyFromSlice(t.rows, func(i int) ([]any, error) {
			return t.row(i), nil
		})); err != nil {
			return fmt.Errorf("%s: %w", t.table, err)
		}
	}
	for _, query := range []string{
		`INSERT INTO unsearched (integration) SELECT seq FROM integrations`,
		`UPDATE drains d SET has_skills = EXISTS (SELECT 1 FROM skills s WHERE s.integration = d.integration)`,
		`UPDATE drains d SET wanted = true, pending = t.n, waiting = t.items FROM (SELECT integration, count(*) AS n, sum(items) AS items FROM tasks GROUP BY integration) t WHERE t.integration = d.integration`,
		`VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(ctx, query); err != nil {
			return err
		}
	}
	return nil
}
