package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/dbq"
)

// AppendInteractions implements store.Interactions.
func (s *Store) AppendInteractions(ctx context.Context, list []store.Interaction) error {
	var p dbq.AppendInteractionsParams
	for i := range list {
		x := &list[i]
		p.Ids, p.Environments = append(p.Ids, x.ID), append(p.Environments, x.EnvironmentID)
		p.Integrations, p.Tasks = append(p.Integrations, x.IntegrationID), append(p.Tasks, x.TaskID)
		p.Starts, p.Stops = append(p.Starts, int32(x.Items.Start)), append(p.Stops, int32(x.Items.Stop))
		p.Outbounds, p.Faileds = append(p.Outbounds, x.Outbound), append(p.Faileds, x.Failed)
		p.Statuses, p.Tooks = append(p.Statuses, int16(x.Status)), append(p.Tooks, x.Took.Microseconds())
		p.ApiKeys, p.Peers = append(p.ApiKeys, x.Key), append(p.Peers, x.Peer)
		p.Methods, p.Urls = append(p.Methods, x.Method), append(p.Urls, x.URL)
		p.Exchanges = append(p.Exchanges, x.Pack())
	}
	err := s.change(ctx, func(ctx context.Context, tx *transaction) error { return tx.AppendInteractions(ctx, p) })
	if err != nil {
		return fmt.Errorf("append %d interactions: %w", len(list), err)
	}
	return nil
}

// Interactions implements store.Interactions.
func (s *Store) Interactions(ctx context.Context, q store.InteractionQuery) ([]store.Interaction, error) {
	query, args := interactionsQuery(q)
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return nil, fault(fmt.Errorf("list interactions: %w", err))
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (store.Interaction, error) {
		var r dbq.Interaction
		err := row.Scan(&r.ID, &r.Environment, &r.Integration, &r.Task, &r.Start, &r.Stop, &r.Outbound, &r.Failed, &r.Status,
			&r.Took, &r.ApiKey, &r.Peer, &r.Method, &r.Url)
		return interaction(r), err
	})
	if err != nil {
		return nil, fault(fmt.Errorf("list interactions: %w", err))
	}
	return list, nil
}

func interactionsQuery(q store.InteractionQuery) (query string, args []any) {
	where := []string{"true"}
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		where = append(where, condition)
	}
	for _, text := range []struct{ condition, value string }{
		{"environment = ?", q.EnvironmentID}, {"integration = ?", q.IntegrationID}, {"task = ?", q.TaskID}, {"id < ?", q.Before},
	} {
		if text.value != "" {
			add(text.condition, text.value)
		}
	}
	q.Failed = q.Failed || q.Refused()
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
		add("failed")
	}
	if !q.From.IsZero() {
		add("id >= ?", skill.FirstID(q.From))
	}
	if !q.Until.IsZero() {
		add("id < ?", skill.FirstID(q.Until))
	}
	args = append(args, q.Limit)
	return `SELECT id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url FROM interactions WHERE ` +
		strings.Join(where, " AND ") + ` ORDER BY id DESC LIMIT $` + strconv.Itoa(len(args)), args
}

// Interaction implements store.Interactions.
func (s *Store) Interaction(ctx context.Context, environmentID, id string) (store.Interaction, error) {
	if !skill.IsID(id) { // which may be what PostgreSQL takes for no text
		return store.Interaction{}, fmt.Errorf("interaction %q: %w", id, store.ErrNotFound)
	}
	row, err := s.queries.Interaction(ctx, dbq.InteractionParams{ID: id, Environment: environmentID})
	if err != nil {
		return store.Interaction{}, fmt.Errorf("interaction %q: %w", id, missing(err))
	}
	i := interaction(row)
	if i.Exchange, err = store.UnpackExchange(row.Exchange); err != nil {
		return store.Interaction{}, fmt.Errorf("interaction %q: %w", id, err)
	}
	return i, nil
}

func interaction(r dbq.Interaction) store.Interaction {
	return store.Interaction{
		ID: r.ID, Outbound: r.Outbound, EnvironmentID: text(r.Environment), IntegrationID: text(r.Integration), TaskID: text(r.Task),
		Items: store.Range{Start: int(r.Start), Stop: int(r.Stop)}, Key: text(r.ApiKey), Peer: text(r.Peer), Method: r.Method, URL: r.Url,
		Status: int(r.Status), Took: time.Duration(r.Took) * time.Microsecond, Failed: r.Failed,
	}
}

// RemoveInteractions implements store.Interactions: it drops the days that have come of age.
func (s *Store) RemoveInteractions(ctx context.Context, keep time.Duration, limit int) (int, error) {
	n, err := s.removeInteractions(ctx, keep, limit)
	if err != nil {
		return 0, fault(fmt.Errorf("remove interactions: %w", err))
	}
	return n, nil
}

func (s *Store) removeInteractions(ctx context.Context, keep time.Duration, limit int) (n int, err error) {
	now, err := s.queries.Now(ctx)
	if err != nil {
		return 0, err
	}
	before := now.UTC().Add(-keep)
	err = s.change(ctx, func(ctx context.Context, tx *transaction) error {
		removed, err := tx.RemoveStrayInteractions(ctx, dbq.RemoveStrayInteractionsParams{Before: skill.FirstID(before), Most: int32(limit)})
		n = int(removed)
		return err
	})
	if n > 0 || err != nil {
		return n, err
	}
	days, err := interactions().made(ctx, s)
	if err != nil {
		return 0, err
	}
	for _, day := range days {
		if day.end.After(before) {
			break
		}
		if err := s.drop(ctx, day.name); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
