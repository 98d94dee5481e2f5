package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

const (
	// rowsMost and pagesMost are how much more PostgreSQL may read for the same work in tables a hundred times as large: rows
	// are the same ones, an index may be a level deeper.
	rowsMost, pagesMost = 1.2, 3
	// reported is how long it takes a session at rest to tell what it has read.
	reported = 11 * time.Second
)

// rows shows what PostgreSQL reads, by its own count, for a poll and for a task of ten skills while its tables grow.
func (b *bench) rows() ([]figure, error) {
	if b.admin == nil {
		return nil, nil // SQLite does not count
	}
	s, _, err := b.start("rows")
	if err != nil {
		return nil, err
	}
	conn, err := pgx.Connect(b.ctx, s.database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.Background()) //nolint:errcheck // the database is dropped
	// The integrations that the rows belong to are switched off, so that waiting tasks of theirs wait.
	others, err := s.integrations(20)
	if err != nil {
		return nil, err
	}
	for _, id := range others {
		if _, err := s.admin("id", "integrations", "disable", id); err != nil {
			return nil, err
		}
	}
	m := &meter{server: s, conn: conn}
	if m.integration, err = s.integration(); err != nil {
		return nil, err
	}
	var sizes []int
	for n := b.largest / 100; n < b.largest; n *= 10 {
		sizes = append(sizes, n)
	}
	sizes = append(sizes, b.largest)
	var polls, tasks []reads
	filled := 0
	for _, size := range sizes {
		if err := fillTables(b.ctx, conn, filled, size); err != nil {
			return nil, fmt.Errorf("fill tables: %w", err)
		}
		filled = size
		task, poll, err := m.measure(b.ctx)
		if err != nil {
			return nil, err
		}
		polls, tasks = append(polls, poll), append(tasks, task)
	}
	figures := append(grown("a poll", sizes, polls), grown("a task of 10 skills", sizes, tasks)...)
	return figures, s.end()
}

// reads is what was read of tables and their indexes.
type reads struct{ rows, pages float64 }

func (r reads) less(o reads, times float64) reads {
	return reads{r.rows - o.rows*times, r.pages - o.pages*times}
}

func (r reads) over(n float64) reads { return reads{r.rows / n, r.pages / n} }

// grown makes figures of what was read in tables of those sizes.
func grown(what string, sizes []int, read []reads) []figure {
	growth := func(unit string, of func(reads) float64, most float64) figure {
		var all []string
		for i, r := range read {
			all = append(all, fmt.Sprintf("%.1f at %s", of(r), thousands(sizes[i])))
		}
		first, last := of(read[0]), of(read[len(read)-1])
		ratio := last / first
		return figure{
			Name: fmt.Sprintf("%s read for %s as tables grow", unit, what), Measured: strings.Join(all, ", "),
			Ratio: ratio, Wanted: fmt.Sprintf("≤ %.1f", most), Met: ratio <= most,
		}
	}
	return []figure{
		growth("rows", func(r reads) float64 { return r.rows }, rowsMost),
		growth("pages", func(r reads) float64 { return r.pages }, pagesMost),
	}
}

func thousands(n int) string {
	text := strconv.Itoa(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// meter measures what PostgreSQL reads for a server.
type meter struct {
	*server
	conn        *pgx.Conn
	integration string
	done        int
}

// measure returns what a task of ten skills and a poll of it read, without what the server reads when nobody asks.
func (m *meter) measure(ctx context.Context) (task, poll reads, err error) {
	const tasks, polls = 500, 5000
	idle, took, err := m.around(ctx, func() error { return nil })
	if err != nil {
		return task, poll, err
	}
	idle = idle.over(took.Seconds())
	var last string
	var w *wire
	got, took, err := m.around(ctx, func() (err error) {
		if w, err = dial(ctx, m.address); err != nil { // one at rest would have been closed
			return err
		}
		for range tasks {
			m.done++
			items := make([]skill.Item, 10)
			for i := range items { // those of fifty tasks, again and again
				items[i] = skill.Item{OriginID: fmt.Sprintf("skill-%d-%d", m.done%50, i), Name: fmt.Sprintf("Skill %d of %d", i, m.done), Status: skill.Active}
			}
			// Polls of a task under way would be counted too, a different number each time.
			task, err := m.push(w, m.integration, m.post(m.integration, bodyOf(items)), 20*time.Millisecond)
			if err != nil {
				return err
			}
			last = task
		}
		return nil
	})
	if err != nil {
		return task, poll, err
	}
	task = got.less(idle, took.Seconds()).over(tasks)
	request := m.get(m.integration, last)
	got, took, err = m.around(ctx, func() (err error) {
		if w, err = dial(ctx, m.address); err != nil {
			return err
		}
		for range polls {
			if _, err := w.do(request); err != nil {
				return err
			}
		}
		return nil
	})
	poll = got.less(idle, took.Seconds()).over(polls)
	return task, poll, err
}

// around returns what is read while f runs, and until that is known, and how long that takes.
func (m *meter) around(ctx context.Context, f func() error) (reads, time.Duration, error) {
	before, err := m.counted(ctx)
	if err != nil {
		return reads{}, 0, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return reads{}, 0, err
	}
	time.Sleep(reported)
	took := time.Since(began)
	after, err := m.counted(ctx)
	return after.less(before, 1), took, err
}

// counted is what was read so far.
func (m *meter) counted(ctx context.Context) (r reads, err error) {
	err = m.conn.QueryRow(ctx, `SELECT
		(SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE relname NOT LIKE 'river%')::float8,
		(SELECT sum(coalesce(heap_blks_read, 0) + coalesce(heap_blks_hit, 0) + coalesce(idx_blks_read, 0) + coalesce(idx_blks_hit, 0)
			+ coalesce(toast_blks_read, 0) + coalesce(toast_blks_hit, 0)) FROM pg_statio_user_tables WHERE relname NOT LIKE 'river%')::float8`).
		Scan(&r.rows, &r.pages)
	return r, err
}

// fillTables adds rows until there are as many skills and results, a hundredth as many waiting tasks, and as many tombstones
// as tasks. They belong to integrations that are switched off.
func fillTables(ctx context.Context, conn *pgx.Conn, from, to int) error {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	id := func(at time.Time) string { return skill.FirstTaskID(at) }
	for _, fill := range []struct {
		rows int // one in so many
		sql  string
		args []any
	}{
		{1, `INSERT INTO skills (integration, origin_id, id, remote_id, name, status, hash, written_at, written_by)
			SELECT o.seq, 'urn:skill:' || g, lpad(g::text, 24, 'z'), g::text, 'Perform advanced task number ' || g, 1, decode(md5(g::text), 'hex'), now(), 1
			FROM generate_series($1::bigint, $2::bigint) g JOIN off o ON o.n = g % 20`, nil},
		{1, `INSERT INTO results (id, integration, key_id, status, items, written, unchanged, failed, rewrite, created_at, completed_at, document)
			SELECT $3 || lpad(g::text, 16, 'z'), o.seq, 'key', 1, 1, 1, 0, 0, false, now(), now(), '{}'
			FROM generate_series($1::bigint, $2::bigint) g JOIN off o ON o.n = g % 20`, []any{id(today)}},
		{100, `INSERT INTO tasks (id, integration, key_id, items, created_at, deadline, block)
			SELECT $3 || lpad(g::text, 16, 'z'), o.seq, 'key', 1, now(), now() + interval '1 day', '\x00'
			FROM generate_series($1::bigint, $2::bigint) g JOIN off o ON o.n = g % 20`, []any{id(today)}},
		{100, `INSERT INTO expired (id, integration, expired_at)
			SELECT $3 || lpad(g::text, 16, 'z'), o.seq, now()
			FROM generate_series($1::bigint, $2::bigint) g JOIN off o ON o.n = g % 20`, []any{id(today)}},
	} {
		sql := `WITH off AS (SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS n FROM integrations WHERE NOT enabled) ` + fill.sql
		if _, err := conn.Exec(ctx, sql, append([]any{from / fill.rows, to/fill.rows - 1}, fill.args...)...); err != nil {
			return err
		}
	}
	_, err := conn.Exec(ctx, `UPDATE drains d SET wanted = true, has_skills = true, pending = t.n, waiting = t.n
		FROM (SELECT integration, count(*) AS n FROM tasks GROUP BY integration) t WHERE t.integration = d.integration`)
	for _, sql := range []string{"VACUUM ANALYZE", "SELECT pg_stat_force_next_flush()"} {
		if err == nil {
			_, err = conn.Exec(ctx, sql)
		}
	}
	return errors.Join(err, ctx.Err())
}
