package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite/dbq"
)

// AppendInteractions implements store.Interactions.
func (s *Store) AppendInteractions(ctx context.Context, list []store.Interaction) error {
	packed := make([][]byte, len(list)) // before the writer waits for it
	for i := range list {
		packed[i] = list[i].Pack()
	}
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := s.bulk.appendInteractions.exec(ctx, tx.sql, values{
			rows: len(list),
			row: func(args []any, n int) []any {
				i := &list[n]
				return append(args, i.ID, nullText(i.EnvironmentID), nullText(i.IntegrationID), nullText(i.TaskID), i.Items.Start, i.Items.Stop,
					i.Outbound, i.Failed, i.Status, i.Took.Microseconds(), nullText(i.Key), nullText(i.Peer), i.Method, i.URL, packed[n])
			},
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("append %d interactions: %w", len(list), err)
	}
	return nil
}

// Interactions implements store.Interactions.
func (s *Store) Interactions(ctx context.Context, q store.InteractionQuery) (store.InteractionList, error) {
	list, err := store.FindInteractions(ctx, logFinder{s}, q)
	if err != nil {
		return store.InteractionList{}, fault(fmt.Errorf("list interactions: %w", err))
	}
	return list, nil
}

// logFinder implements store.InteractionFinder.
type logFinder struct{ *Store }

// logWay is what a statement goes along a path by. It says by which index: without statistics SQLite would take any that has a
// condition.
type logWay struct {
	index, by string
	where     []string
	args      []any
}

func (w *logWay) add(condition string, values ...any) {
	w.where, w.args = append(w.where, condition), append(w.args, values...)
}

func wayOf(path store.LogPath, q store.InteractionQuery, last store.InteractionCursor) *logWay {
	w := &logWay{}
	switch path {
	case store.WholeLog:
	case store.EnvironmentLog:
		w.index = " INDEXED BY interactions_environment"
		w.add("environment = ?", q.EnvironmentID)
	case store.FailedLog:
		w.index = " INDEXED BY interactions_failed"
		w.add("environment = ? AND failed = 1", q.EnvironmentID)
	case store.IntegrationLog:
		w.index = " INDEXED BY interactions_integration"
		w.add("integration = ?", q.IntegrationID)
	case store.TaskLog:
		w.index = " INDEXED BY interactions_task"
		w.add("task = ?", q.TaskID)
	case store.DurationLog:
		w.index = " INDEXED BY interactions_took"
		w.add("environment = ?", q.EnvironmentID)
	}
	switch {
	case path == store.DurationLog:
		w.by = "took DESC, id DESC"
		w.behind(q, last)
	case q.Order == store.OldestFirst:
		w.by = "id"
		w.within(q, last)
	default:
		w.by = "id DESC"
		w.within(q, last)
	}
	return w
}

// within the bounds of the ids.
func (w *logWay) within(q store.InteractionQuery, last store.InteractionCursor) {
	from, until := q.IDs(last)
	w.add("id >= ? AND id < ?", from, until)
}

// behind the place in a list by duration.
func (w *logWay) behind(q store.InteractionQuery, last store.InteractionCursor) {
	from, until := q.Durations(last)
	w.add("(took, id) >= (?, ?) AND (took, id) < (?, ?)", from.Took.Microseconds(), from.ID, until.Took.Microseconds(), until.ID)
}

// Nth implements store.InteractionFinder.
func (fi logFinder) Nth(ctx context.Context, path store.LogPath, q store.InteractionQuery, n int) (store.InteractionCursor, error) {
	w := wayOf(path, q, store.InteractionCursor{})
	took := "0" // which an index by time does not have
	if path == store.DurationLog {
		took = "took"
	}
	places, err := gather(ctx, fi.read, func(rows *sql.Rows) (c store.InteractionCursor, err error) {
		var took int64
		err = rows.Scan(&c.ID, &took)
		c.Took = time.Duration(took) * time.Microsecond
		return c, err
	}, `SELECT id, `+took+` FROM interactions`+w.index+` WHERE `+strings.Join(w.where, " AND ")+` ORDER BY `+w.by+` LIMIT 1 OFFSET ?`, append(w.args, n-1)...)
	if err != nil || len(places) == 0 {
		return store.InteractionCursor{}, err
	}
	return places[0], nil
}

// Along implements store.InteractionFinder.
func (fi logFinder) Along(ctx context.Context, path store.LogPath, q store.InteractionQuery, last store.InteractionCursor, _ int) ([]store.Interaction, error) {
	w := wayOf(path, q, last)
	for _, text := range []struct{ condition, value string }{
		{"environment = ?", q.EnvironmentID}, {"integration = ?", q.IntegrationID}, {"task = ?", q.TaskID},
	} {
		if text.value != "" {
			w.add(text.condition, text.value)
		}
	}
	if q.Position != nil {
		w.add("start <= ? AND stop > ?", *q.Position, *q.Position)
	}
	if q.URL != "" {
		w.add("instr(url, ?) > 0", q.URL)
	}
	if q.Inbound != q.Outbound {
		w.add("outbound = ?", q.Outbound)
	}
	switch {
	case q.Status >= 100:
		w.add("status = ?", q.Status)
	case q.Status > 0:
		w.add("status BETWEEN ? AND ?", q.Status*100, q.Status*100+99)
	}
	if q.Failed {
		w.add("failed = 1")
	}
	if q.Order == store.SlowestFirst {
		w.by = "took DESC, id DESC"
		if path == store.DurationLog {
			w.within(q, last)
		} else {
			w.behind(q, last)
		}
	}
	return gather(ctx, fi.read, func(rows *sql.Rows) (store.Interaction, error) {
		var r dbq.InteractionRow
		err := rows.Scan(&r.ID, &r.Environment, &r.Integration, &r.Task, &r.Start, &r.Stop, &r.Outbound, &r.Failed, &r.Status,
			&r.Took, &r.ApiKey, &r.Peer, &r.Method, &r.Url)
		return interaction(r), err
	}, `SELECT id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url FROM interactions`+
		w.index+` WHERE `+strings.Join(w.where, " AND ")+` ORDER BY `+w.by+` LIMIT ?`, append(w.args, q.Limit)...)
}

// Interaction implements store.Interactions.
func (s *Store) Interaction(ctx context.Context, environmentID, id string) (store.Interaction, error) {
	row, err := s.queries.Interaction(ctx, id)
	if err == nil && environmentID != "" && row.Environment.String != environmentID {
		err = sql.ErrNoRows
	}
	if err != nil {
		return store.Interaction{}, fmt.Errorf("interaction %q: %w", id, missing(err))
	}
	i := interaction(row)
	if i.Exchange, err = store.UnpackExchange(row.Exchange); err != nil {
		return store.Interaction{}, fmt.Errorf("interaction %q: %w", id, err)
	}
	return i, nil
}

func interaction(r dbq.InteractionRow) store.Interaction {
	return store.Interaction{
		ID: r.ID, Outbound: r.Outbound != 0, EnvironmentID: r.Environment.String, IntegrationID: r.Integration.String, TaskID: r.Task.String,
		Items: store.Range{Start: int(r.Start), Stop: int(r.Stop)}, Key: r.ApiKey.String, Peer: r.Peer.String, Method: r.Method, URL: r.Url,
		Status: int(r.Status), Took: time.Duration(r.Took) * time.Microsecond, Failed: r.Failed != 0,
	}
}

// removeInteractions is how many are removed at once, while others wait for the writer: some 10 ms.
const removeInteractions = 500

// RemoveInteractions implements store.Interactions.
func (s *Store) RemoveInteractions(ctx context.Context, keep time.Duration, limit int) (int, error) {
	var n int64
	err := s.writer.do(ctx, func(ctx context.Context, tx *transaction) (err error) {
		n, err = tx.RemoveInteractions(ctx, dbq.RemoveInteractionsParams{
			Before: skill.FirstID(fromMillis(tx.now).Add(-keep)), Most: int64(min(limit, removeInteractions)),
		})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("remove interactions: %w", err)
	}
	return int(n), nil
}
