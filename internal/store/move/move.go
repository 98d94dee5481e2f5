// Package move copies an embedded database into an empty PostgreSQL, for those who outgrow the one: everything, with all
// identifiers, in one transaction that is compared with its source before it is committed.
package move

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// Options of a move.
type Options struct {
	// From is the SQLite file. Nobody may serve it.
	From string
	// To is PostgreSQL's address. The database holds nothing but tables, at most.
	To string
	// Progress is told how many rows are copied, of how many; it must not block.
	Progress func(done, all int)
	// Now names the file that is left behind; time.Now if nil.
	Now func() time.Time
}

// Table is what was copied of one.
type Table struct {
	Name string `json:"table"`
	Rows int    `json:"rows"`
}

// Result of a move.
type Result struct {
	Tables []Table
	// Left is what the SQLite file is called now.
	Left string
}

// kind is how a value is turned from SQLite's into PostgreSQL's.
type kind uint8

const (
	plain  kind = iota
	moment      // milliseconds
	truth       // 0 or 1
	words       // text of a tool: PostgreSQL takes no NUL and no invalid UTF-8
	blocks      // a task's items, gathered to one value
)

// column is one that is copied. From is what it is in SQLite, if that has another name.
type column struct {
	to   string
	from string
	kind kind
}

// table is how one of PostgreSQL's is filled.
type table struct {
	to      string
	from    string // a table, or one with a condition
	columns []column
	// id names a column whose values are summed up on both sides.
	id string
}

// tables are all there is, in an order in which what is referred to comes first.
func tables() []table {
	task := []column{{to: "id"}, {to: "integration"}, {to: "key_id"}, {to: "items"}, {to: "written"}, {to: "unchanged"}, {to: "failed"}, {to: "rewrite", kind: truth}, {to: "created_at", kind: moment}}
	return []table{
		{to: "environments", id: "id", columns: []column{{to: "id"}, {to: "name"}, {to: "created_at", kind: moment}, {to: "erased_at", kind: moment}}},
		{to: "api_keys", id: "id", columns: []column{
			{to: "id"},
			{to: "environment_id"},
			{to: "name"},
			{to: "prefix"},
			{to: "hash"},
			{to: "created_at", kind: moment},
			{to: "revoked_at", kind: moment},
			{to: "scopes"},
			{to: "addresses"},
			{to: "created_by"},
			{to: "expires_at", kind: moment},
			{to: "last_used_at", kind: moment},
			{to: "last_used_from"},
		}},
		// Sessions stay behind: people sign in again.
		{to: "users", id: "id", columns: []column{
			{to: "id"}, {to: "name"}, {to: "role"}, {to: "password"}, {to: "generation"}, {to: "created_at", kind: moment}, {to: "signed_in_at", kind: moment},
		}},
		{to: "identities", id: "user_id", columns: []column{{to: "issuer"}, {to: "subject"}, {to: "user_id"}, {to: "linked_at", kind: moment}}},
		{to: "audit", id: "id", columns: []column{
			{to: "id"},
			{to: "environment_id"},
			{to: "at", kind: moment},
			{to: "user_id"},
			{to: "user_name"},
			{to: "address"},
			{to: "action"},
			{to: "target"},
			{to: "detail", kind: words},
			{to: "failed", kind: words},
		}},
		{to: "integrations", id: "id", columns: []column{
			{to: "seq"},
			{to: "id"},
			{to: "environment_id"},
			{to: "tool"},
			{to: "name"},
			{to: "end_user_email"},
			{to: "end_user_origin_id"},
			{to: "settings"},
			{to: "credentials"},
			{to: "settings_version"},
			{to: "enabled", kind: truth},
			{to: "invalid_reason", kind: words},
			{to: "invalid_at", kind: moment},
			{to: "created_at", kind: moment},
			{to: "deleted_at", kind: moment},
			{to: "adopt", kind: truth},
			{to: "refuse_inactive", kind: truth},
		}},
		{to: "connect_settings", id: "environment_id", columns: []column{{to: "environment_id"}, {to: "origins"}, {to: "redirect"}}},
		// Customers have their links already, some of them for a year.
		{to: "connect_links", columns: []column{
			{to: "hash"},
			{to: "environment_id"},
			{to: "purpose"},
			{to: "integration_id"},
			{to: "tool"},
			{to: "category"},
			{to: "language"},
			{to: "organisation", kind: words},
			{to: "email"},
			{to: "origin_id", kind: words},
			{to: "created_at", kind: moment},
			{to: "expires_at", kind: moment},
			{to: "tries"},
			{to: "tries_since", kind: moment},
			{to: "used_at", kind: moment},
			{to: "token"},
			{to: "token_expires_at", kind: moment},
		}},
		// Leases end here: the number of the next one is higher, so whoever holds one is refused.
		{to: "drains", columns: []column{
			{to: "integration"},
			{to: "wanted", kind: truth},
			{to: "resume_at", kind: moment},
			{to: "paced_until", kind: moment},
			{to: "epoch", from: "epoch + 1"},
			{to: "has_skills", from: "skills > 0", kind: truth},
			{to: "pending"},
			{to: "waiting"},
			{to: "failures"},
			{to: "away_since", kind: moment},
			{to: "away", kind: truth},
		}},
		{to: "tasks", from: "tasks WHERE status = 0", id: "id", columns: append([]column{
			{to: "seq"}, {to: "done"}, {to: "started", kind: truth}, {to: "touched", kind: truth}, {to: "attempt"}, {to: "deadline", kind: moment},
		}, task...)},
		{to: "task_items", from: "task_items WHERE task IN (SELECT seq FROM tasks WHERE status = 0)", columns: []column{
			{to: "task"}, {to: "start"}, {to: "block"},
		}},
		{to: "task_outcomes", columns: []column{{to: "task"}, {to: "start"}, {to: "block"}}},
		// Open intents stay open: the first drain takes what they name as what may have reached the tool, or asks after the job.
		{to: "intents", columns: []column{
			{to: "integration"},
			{to: "task"},
			{to: "start"},
			{to: "stop"},
			{to: "epoch"},
			{to: "opened_at", kind: moment},
			{to: "receipt"},
			{to: "receipt_at", kind: moment},
		}},
		{to: "results", from: "tasks WHERE status <> 0", id: "id", columns: append([]column{
			{to: "seq"}, {to: "status"}, {to: "completed_at", kind: moment}, {to: "document"}, {to: "blocks", from: "seq", kind: blocks},
		}, task...)},
		{to: "expired", from: "expired_tasks", id: "id", columns: []column{{to: "id"}, {to: "integration"}, {to: "expired_at", kind: moment}}},
		{to: "skills", id: "id", columns: []column{
			{to: "integration"},
			{to: "origin_id"},
			{to: "id"},
			{to: "remote_id"},
			{to: "name"},
			{to: "status"},
			{to: "hash"},
			{to: "unsure", kind: truth},
			{to: "written_at", kind: moment},
			{to: "written_by"},
			{to: "error_code"},
			{to: "error_message", kind: words},
			{to: "error_at", kind: moment},
			{to: "noted"},
			{to: "noted_at", kind: moment},
			{to: "noted_name", kind: words},
			{to: "noted_status"},
		}},
		{to: "interactions", id: "id", columns: []column{
			{to: "id"},
			{to: "environment"},
			{to: "integration"},
			{to: "task"},
			{to: "start"},
			{to: "stop"},
			{to: "outbound", kind: truth},
			{to: "failed", kind: truth},
			{to: "status"},
			{to: "took"},
			{to: "api_key"},
			{to: "peer"},
			{to: "method"},
			{to: "url"},
			{to: "exchange"},
		}},
		{to: "remote_skills", columns: []column{
			{to: "integration"},
			{to: "remote_id"},
			{to: "id"},
			{to: "name", kind: words},
			{to: "status"},
			{to: "changed_at", kind: moment},
			{to: "gone_at", kind: moment},
			{to: "apart", kind: truth},
		}},
		{to: "syncs", columns: []column{
			{to: "integration"},
			{to: "due_at", kind: moment},
			{to: "active", kind: truth},
			{to: "id"},
			{to: "whole", kind: truth},
			{to: "started_at", kind: moment},
			{to: "phase"},
			{to: "position"},
			{to: "pages"},
			{to: "attempt"},
			{to: "restarts"},
			{to: "records"},
			{to: "changed"},
			{to: "gone"},
			{to: "ended_at", kind: moment},
			{to: "succeeded_at", kind: moment},
			{to: "error", kind: words},
		}},
		{to: "sync_seen", columns: []column{{to: "integration"}, {to: "page"}, {to: "block"}}},
		{to: "master_key", columns: []column{{to: "one", kind: truth}, {to: "id"}, {to: "check_value", from: "evidence"}, {to: "noted_at", from: "0", kind: moment}}},
		{to: "sandbox_accounts", columns: []column{{to: "seq"}, {to: "name"}, {to: "window_start", kind: moment}, {to: "window_calls"}}},
		{to: "sandbox_skills", columns: []column{
			{to: "seq"}, {to: "account"}, {to: "external_id"}, {to: "name"}, {to: "active", kind: truth}, {to: "writes"}, {to: "updated_at", kind: moment},
		}},
		{to: "sandbox_scripts", columns: []column{{to: "account"}, {to: "external_id"}, {to: "step"}}},
	}
}

// leftOut are SQLite's columns that have no place in PostgreSQL, and why.
func leftOut() map[string]string {
	return map[string]string{
		"drains.owner": "leases end", "drains.until": "leases end", "drains.notified_at": "jobs are not copied: the sweep finds all work",
		"skills.seq": "rows are found by their key", "interactions.seq": "rows are found by their key", "tasks.seq": "of ended tasks; the numbers go on behind the highest",
		"tasks.completed_at": "of unfinished tasks", "tasks.document": "of unfinished tasks", "tasks.done": "of ended tasks it is all",
		"tasks.started": "of ended tasks", "tasks.touched": "of ended tasks", "tasks.attempt": "of ended tasks", "tasks.deadline": "of ended tasks",
		"sessions.token": "people sign in again", "sessions.data": "people sign in again", "sessions.expires_at": "people sign in again",
		"setup_links.hash": "a server makes new ones", "setup_links.expires_at": "a server makes new ones",
		"sign_in_attempts.subject": "they are forgotten soon", "sign_in_attempts.at": "they are forgotten soon",
		"skill_words.words": "made anew from skills", "skill_words_data.id": "likewise", "skill_words_data.block": "likewise", "skill_words_idx.segid": "likewise",
		"skill_words_idx.term": "likewise", "skill_words_idx.pgno": "likewise", "skill_words_docsize.id": "likewise", "skill_words_docsize.sz": "likewise",
		"skill_words_docsize.origin": "likewise", "skill_words_config.k": "likewise", "skill_words_config.v": "likewise",
		"unsearched.seq": "all names are indexed anew", "unsearched.integration": "likewise", "unsearched.origin_ids": "likewise", "unsearched.after": "likewise",
		"task_numbers.one": "", "task_numbers.used": "the numbers go on behind it", "sandbox_accounts.calls": "is not used",
	}
}

// Run moves. An error says whether everything is in PostgreSQL, which is not so as a rule: then the source is as it was.
func Run(ctx context.Context, o Options) (Result, error) {
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if _, err := os.Stat(o.From); err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	// Opened to serve, it is ours alone, and its tables are the newest.
	source, err := sqlite.Open(ctx, sqlite.Options{Path: o.From, Serve: true, Label: "moves it to PostgreSQL"})
	if err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	defer source.Close() //nolint:errcheck // closed below, where it counts
	target, err := postgres.Open(ctx, postgres.Options{URL: o.To, Serve: true, Conns: 4})
	if err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	if err := target.Close(); err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	m := &mover{Options: o}
	if m.from, err = sql.Open("sqlite", sqlite.DSN(o.From, "query_only(1)")); err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	defer m.from.Close()
	if m.to, err = pgx.Connect(ctx, o.To); err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	defer m.to.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what counts was committed
	done, err := m.transfer(ctx)
	if err != nil {
		return Result{}, fmt.Errorf("move: %w", err)
	}
	left, err := m.putAside(source)
	if err != nil {
		return Result{Tables: done}, fmt.Errorf("everything is in PostgreSQL, but %s could not be put aside, so that nobody serves it any more: %w", o.From, err)
	}
	return Result{Tables: done, Left: left}, nil
}

type mover struct {
	Options
	from      *sql.DB
	to        *pgx.Conn
	done, all int
}

// source is the table, or a part of it, that is read.
func (t table) source() string {
	if t.from == "" {
		return t.to
	}
	return t.from
}

// transfer copies everything in one transaction.
func (m *mover) transfer(ctx context.Context) (done []Table, err error) {
	tx, err := m.to.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit it does nothing; without one the connection's end does it too
	var number string
	if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&number); err != nil {
		return nil, err
	}
	if done, err = m.copy(ctx, tx); err != nil {
		return nil, err
	}
	err = tx.Commit(ctx)
	if _, told := errors.AsType[*pgconn.PgError](err); err == nil || told || errors.Is(err, pgx.ErrTxCommitRollback) {
		return done, err
	}
	// No word from the database: it was committed or not, as a whole.
	state, e := m.outcome(context.WithoutCancel(ctx), number)
	switch state {
	case "committed":
		return done, nil
	case "aborted":
		return nil, fmt.Errorf("nothing was moved, move again: the database did not commit: %w", err)
	default:
		return nil, fmt.Errorf("the database did not answer to the COMMIT, and could not be asked what became of it. Do not serve %s before that is known: "+
			"move again. If the database is then not empty, everything is in it; else it is moved now: %w", m.From, errors.Join(err, e))
	}
}

const (
	// outcomeTime is how long PostgreSQL is asked what became of a transaction, outcomeEvery the time between two questions.
	outcomeTime  = 15 * time.Second
	outcomeEvery = 250 * time.Millisecond
)

// outcome asks on a new connection what became of a transaction: committed or aborted. One whose connection is gone is in
// progress until the server notices.
func (m *mover) outcome(ctx context.Context, number string) (state string, err error) {
	ctx, cancel := context.WithTimeout(ctx, outcomeTime)
	defer cancel()
	for {
		if state, err = m.ask(ctx, number); err == nil && state != "in progress" {
			return state, nil
		}
		select {
		case <-ctx.Done():
			return "", errors.Join(err, ctx.Err())
		case <-time.After(outcomeEvery):
		}
	}
}

func (m *mover) ask(ctx context.Context, number string) (state string, err error) {
	conn, err := pgx.Connect(ctx, m.To)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx) //nolint:errcheck // it only read
	err = conn.QueryRow(ctx, "SELECT coalesce(pg_xact_status($1::text::xid8), '')", number).Scan(&state)
	return state, err
}

func (m *mover) copy(ctx context.Context, tx pgx.Tx) (done []Table, err error) {
	var used int
	if err := tx.QueryRow(ctx, `SELECT (SELECT count(*) FROM integrations) + (SELECT count(*) FROM api_keys) + (SELECT count(*) FROM results) +
		(SELECT count(*) FROM users) + (SELECT count(*) FROM environments WHERE name <> 'default')`).Scan(&used); err != nil {
		return nil, err
	}
	if used > 0 {
		return nil, skill.Errorf(skill.Conflict, skill.CodeInputInvalid, "the database is not empty: give one in which nothing was made yet")
	}
	if _, err := tx.Exec(ctx, "DELETE FROM environments; DELETE FROM master_key"); err != nil {
		return nil, err
	}
	for _, t := range tables() {
		var n int
		if err := m.from.QueryRowContext(ctx, "SELECT count(*) FROM "+t.source()).Scan(&n); err != nil {
			return nil, err
		}
		m.all += n
	}
	for _, t := range tables() {
		rows, sum, err := m.fill(ctx, tx, t)
		if err == nil {
			err = compare(ctx, tx, t, rows, sum)
		}
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.to, err)
		}
		done = append(done, Table{t.to, rows})
	}
	// All names come into the search anew, behind the first start.
	if _, err := tx.Exec(ctx, "INSERT INTO unsearched (integration) SELECT integration FROM drains WHERE has_skills"); err != nil {
		return nil, err
	}
	return done, m.number(ctx, tx)
}

// fill copies one table row by row, without keeping any.
func (m *mover) fill(ctx context.Context, tx pgx.Tx, t table) (rows int, sum uint64, err error) {
	var from, to []string
	id := -1
	for i, c := range t.columns {
		name := c.from
		if name == "" {
			name = c.to
		}
		if c.to == t.id && t.id != "" {
			id = i
		}
		from, to = append(from, name), append(to, c.to)
	}
	list, err := m.from.QueryContext(ctx, "SELECT "+strings.Join(from, ", ")+" FROM "+t.source()) //nolint:gosec // names of this package
	if err != nil {
		return 0, 0, err
	}
	defer list.Close()
	values := make([]any, len(from))
	targets := make([]any, len(from))
	for i := range values {
		targets[i] = &values[i]
	}
	copied, err := tx.CopyFrom(ctx, pgx.Identifier{t.to}, to, pgx.CopyFromFunc(func() ([]any, error) {
		if !list.Next() {
			return nil, list.Err()
		}
		if err := list.Scan(targets...); err != nil {
			return nil, err
		}
		row := make([]any, len(values))
		for i, v := range values {
			if row[i], err = m.value(ctx, t.columns[i].kind, v); err != nil {
				return nil, fmt.Errorf("column %s: %w", to[i], err)
			}
		}
		if id >= 0 {
			sum += hashed(row[id])
		}
		rows++
		if m.done++; m.done%1000 == 0 {
			m.Progress(m.done, m.all)
		}
		return row, nil
	}))
	m.Progress(m.done, m.all)
	if err == nil && int(copied) != rows {
		err = fmt.Errorf("%d rows were copied of %d", copied, rows)
	}
	return rows, sum, err
}

// value turns one.
func (m *mover) value(ctx context.Context, k kind, v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	switch k {
	case moment:
		ms, ok := v.(int64)
		if !ok {
			return nil, fmt.Errorf("%T is no time", v)
		}
		return time.UnixMilli(ms).UTC(), nil
	case truth:
		n, ok := v.(int64)
		if !ok {
			return nil, fmt.Errorf("%T is no truth", v)
		}
		return n != 0, nil
	case words:
		text, _ := v.(string)
		return strings.ReplaceAll(strings.ToValidUTF8(text, "�"), "\x00", "�"), nil
	case blocks:
		return m.blocks(ctx, v)
	default:
		return v, nil
	}
}

// blocks gathers a task's items.
func (m *mover) blocks(ctx context.Context, task any) (any, error) {
	rows, err := m.from.QueryContext(ctx, "SELECT block FROM task_items WHERE task = ? ORDER BY start", task)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all [][]byte
	for rows.Next() {
		var block []byte
		if err := rows.Scan(&block); err != nil {
			return nil, err
		}
		all = append(all, block)
	}
	return all, rows.Err()
}

func hashed(v any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, v)
	return h.Sum64()
}

// compare counts what is there, and sums its identifiers up.
func compare(ctx context.Context, tx pgx.Tx, t table, rows int, sum uint64) error {
	name := pgx.Identifier{t.to}.Sanitize()
	if t.id == "" {
		var n int
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+name).Scan(&n); err != nil {
			return err
		}
		if n != rows {
			return fmt.Errorf("%d rows are there, of %d", n, rows)
		}
		return nil
	}
	list, err := tx.Query(ctx, "SELECT "+pgx.Identifier{t.id}.Sanitize()+" FROM "+name)
	if err != nil {
		return err
	}
	var id string
	n, got := 0, uint64(0)
	if _, err := pgx.ForEachRow(list, []any{&id}, func() error {
		n, got = n+1, got+hashed(id)
		return nil
	}); err != nil {
		return err
	}
	if n != rows || got != sum {
		return fmt.Errorf("%d rows are there, of %d, or they are others", n, rows)
	}
	return nil
}

// number lets new rows be numbered behind the copied ones.
func (m *mover) number(ctx context.Context, tx pgx.Tx) error {
	for table, highest := range map[string]string{
		"integrations":     "SELECT coalesce(max(seq), 0) FROM integrations",
		"tasks":            "SELECT max(n) FROM (SELECT max(seq) AS n FROM tasks UNION ALL SELECT max(used) FROM task_numbers UNION ALL SELECT 0)",
		"sandbox_accounts": "SELECT coalesce(max(seq), 0) FROM sandbox_accounts",
		"sandbox_skills":   "SELECT coalesce(max(seq), 0) FROM sandbox_skills",
	} {
		var n int64
		if err := m.from.QueryRowContext(ctx, highest).Scan(&n); err != nil {
			return fmt.Errorf("numbers of %s: %w", table, err)
		}
		if _, err := tx.Exec(ctx, "SELECT setval(pg_get_serial_sequence($1, 'seq'), $2, false)", table, n+1); err != nil {
			return fmt.Errorf("numbers of %s: %w", table, err)
		}
	}
	return nil
}

// putAside renames the source, once it is one file.
func (m *mover) putAside(source *sqlite.Store) (left string, err error) {
	if err := errors.Join(m.from.Close(), source.Close()); err != nil {
		return "", err
	}
	left = m.From + ".moved-" + m.Now().UTC().Format("20060102T150405Z")
	for _, suffix := range []string{"-wal", ""} { // the log is empty or gone, now that nobody has the file open
		if err := os.Rename(m.From+suffix, left+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
	}
	return left, nil
}
