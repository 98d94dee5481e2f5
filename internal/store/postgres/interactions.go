package postgres

import (
	"context"
	"fmt"
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
func (s *Store) Interactions(ctx context.Context, q store.InteractionQuery) (store.InteractionList, error) {
	list, err := store.FindInteractions(ctx, logFinder{s}, q)
	if err != nil {
		return store.InteractionList{}, fault(fmt.Errorf("list interactions: %w", err))
	}
	return list, nil
}

// logFinder implements store.InteractionFinder.
type logFinder struct{ *Store }

// logWay is what a statement goes along a path by, in the order of its index. With a plain condition on what the index begins
// with, the planner might go through the log of everybody by its ids; with a comparison of rows, it would not end where they do.
type logWay struct {
	asked
	where, by string
}

func wayOf(path store.LogPath, q store.InteractionQuery, last store.InteractionCursor) *logWay {
	w := &logWay{}
	key, value, also := "environment", q.EnvironmentID, ""
	switch path {
	case store.WholeLog:
		w.where, w.by = w.within(q, last), "id DESC"
		if q.Order == store.OldestFirst {
			w.by = "id"
		}
		return w
	case store.EnvironmentLog, store.DurationLog:
	case store.FailedLog:
		also = " AND failed"
	case store.IntegrationLog:
		key, value, also = "integration", q.IntegrationID, " AND integration IS NOT NULL"
	case store.TaskLog:
		key, value, also = "task", q.TaskID, " AND task IS NOT NULL"
	}
	w.where = key + " = ANY (ARRAY[" + w.arg(value) + "]::text[])" + also + " AND "
	switch {
	case path == store.DurationLog:
		w.where, w.by = w.where+w.behind(q, last), "environment DESC, took DESC, id DESC"
	case q.Order == store.OldestFirst:
		w.where, w.by = w.where+w.within(q, last), key+", id"
	default:
		w.where, w.by = w.where+w.within(q, last), key+" DESC, id DESC"
	}
	return w
}

// within the bounds of the ids.
func (w *logWay) within(q store.InteractionQuery, last store.InteractionCursor) string {
	from, until := q.IDs(last)
	return "id >= " + w.arg(from) + " AND id < " + w.arg(until)
}

// behind the place in a list by duration.
func (w *logWay) behind(q store.InteractionQuery, last store.InteractionCursor) string {
	from, until := q.Durations(last)
	return "(took, id) >= (" + w.arg(from.Took.Microseconds()) + ", " + w.arg(from.ID) + ") AND (took, id) < (" +
		w.arg(until.Took.Microseconds()) + ", " + w.arg(until.ID) + ")"
}

// Nth implements store.InteractionFinder.
func (fi logFinder) Nth(ctx context.Context, path store.LogPath, q store.InteractionQuery, n int) (store.InteractionCursor, error) {
	w := wayOf(path, q, store.InteractionCursor{})
	took := "0::bigint" // which an index by time does not have
	if path == store.DurationLog {
		took = "took"
	}
	places, err := gather(ctx, fi.pool, func(row pgx.CollectableRow) (c store.InteractionCursor, err error) {
		var took int64
		err = row.Scan(&c.ID, &took)
		c.Took = time.Duration(took) * time.Microsecond
		return c, err
	}, `SELECT id, `+took+` FROM interactions WHERE `+w.where+` ORDER BY `+w.by+` LIMIT 1 OFFSET `+w.arg(n-1), w.args...)
	if err != nil || len(places) == 0 {
		return store.InteractionCursor{}, err
	}
	return places[0], nil
}

// Along implements store.InteractionFinder.
func (fi logFinder) Along(ctx context.Context, path store.LogPath, q store.InteractionQuery, last store.InteractionCursor, n int) ([]store.Interaction, error) {
	w := wayOf(path, q, last)
	where, by := []string{"true"}, w.by
	add := func(condition string, values ...any) {
		for _, v := range values {
			condition = strings.Replace(condition, "?", w.arg(v), 1)
		}
		where = append(where, condition)
	}
	for _, text := range []struct{ condition, value string }{
		{"environment = ?", q.EnvironmentID}, {"integration = ?", q.IntegrationID}, {"task = ?", q.TaskID},
	} {
		if text.value != "" {
			add(text.condition, text.value)
		}
	}
	if q.Position != nil {
		add("start <= ? AND stop > ?", *q.Position, *q.Position)
	}
	if q.URL != "" {
		add("strpos(url, ?) > 0", q.URL)
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
	if q.Order == store.SlowestFirst {
		// Of what is sorted, the path says nothing of the durations; of what is by duration, nothing of the time.
		where, by = append(where, w.behind(q, last), w.within(q, last)), "took DESC, id DESC"
	}
	// With its own limit, the way along the path is never cheaper by what else is asked for.
	const columns = "id, environment, integration, task, start, stop, outbound, failed, status, took, api_key, peer, method, url"
	return gather(ctx, fi.pool, func(row pgx.CollectableRow) (store.Interaction, error) {
		var r dbq.Interaction
		err := row.Scan(&r.ID, &r.Environment, &r.Integration, &r.Task, &r.Start, &r.Stop, &r.Outbound, &r.Failed, &r.Status,
			&r.Took, &r.ApiKey, &r.Peer, &r.Method, &r.Url)
		return interaction(r), err
	}, `SELECT * FROM (SELECT `+columns+` FROM interactions WHERE `+w.where+` ORDER BY `+w.by+` LIMIT `+w.arg(n)+`) i
		WHERE `+strings.Join(where, " AND ")+` ORDER BY `+by+` LIMIT `+w.arg(q.Limit), w.args...)
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
		if err := s.drop(ctx, "interactions", day, "", keep); err != nil {
			return 0, err
		}
	}
	return 0, nil
}
