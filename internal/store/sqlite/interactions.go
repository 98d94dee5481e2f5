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
func (s *Store) Interactions(ctx context.Context, q store.InteractionQuery) ([]store.Interaction, error) {
	query, args := interactionsQuery(q)
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fault(fmt.Errorf("list interactions: %w", err))
	}
	defer rows.Close()
	var list []store.Interaction
	for rows.Next() {
		var r dbq.InteractionRow
		if err := rows.Scan(&r.ID, &r.Environment, &r.Integration, &r.Task, &r.Start, &r.Stop, &r.Outbound, &r.Failed, &r.Status,
			&r.Took, &r.ApiKey, &r.Peer, &r.Method, &r.Url); err != nil {
			return nil, fault(fmt.Errorf("list interactions: %w", err))
		}
		list = append(list, interaction(r))
	}
	if err := rows.Err(); err != nil {
		return nil, fault(fmt.Errorf("list interactions: %w", err))
	}
	return list, nil
}

// interactionsQuery says by which index the rows are found: without statistics SQLite would take any that has a condition.
func interactionsQuery(q store.InteractionQuery) (query string, args []any) {
	var index string
	q.Failed = q.Failed || q.Refused()
	switch {
	case q.TaskID != "":
		index = " INDEXED BY interactions_task"
	case q.IntegrationID != "":
		index = " INDEXED BY interactions_integration"
	case q.EnvironmentID != "" && q.Failed:
		index = " INDEXED BY interactions_failed"
	case q.EnvironmentID != "":
		index = " INDEXED BY interactions_environment"
	}
	where := []string{"true"}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	for _, text := range []struct{ condition, value string }{
		{"environment = ?", q.EnvironmentID}, {"integration = ?", q.IntegrationID}, {"task = ?", q.TaskID}, {"id < ?", q.Before},
	} {
		if text.value != "" {
			add(text.condition, text.value)
		}
	}
	if q.Position != nil {
		add("start <= ? AND stop > ?", *q.Position, *q.Position)
	}
	if q.Inbound != q.Outbound {
		add("outbound = ?", q.Outbound)
	}
	switch {
	case q.Status >= 100:
		add("status = ?", q.Status)
	case q.Status > 0:
		add("status BETWEEN ? AND ?", q.Status*100, q.Status*100+99)
	}
	if q.Failed {
		add("failed = 1")
	}
	if !q.From.IsZero() {
		add("id >= ?", skill.FirstID(q.From))
	}
	if !q.Until.IsZero() {
		add("id < ?", skill.FirstID(q.Until))
	}
	return `SELECT id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url FROM interactions` +
		index + ` WHERE ` + strings.Join(where, " AND ") + ` ORDER BY id DESC LIMIT ?`, append(args, q.Limit)
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
