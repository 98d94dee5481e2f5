package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// open opens a database beside its server, or without one.
func (p product) open(ctx context.Context, name string) (store.Store, error) {
	database, err := p.database(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.admin == nil {
		return sqlite.Open(ctx, sqlite.Options{Path: filepath.Clean(database)})
	}
	return postgres.Open(ctx, postgres.Options{URL: database, Conns: 8})
}

// callsOf is how many calls a task of calls is made of; callsRuns how often it is run at most.
const (
	callsOf   = 500
	callsRuns = 5
)

// calls: what a task takes for each call of its tool, POST sent to COMPLETED read, beyond the same calls made bare through the
// connector, as many at once. The tool is the sandbox, which keeps its catalogue in a database of the same kind; bare, that is
// all there is in it. With a latency it is like a tool at the end of a line; without one the two take turns at the same disk.
func (b *bench) calls() ([]figure, error) {
	s, _, err := b.start("calls")
	if err != nil {
		return nil, err
	}
	alone, err := b.open(b.ctx, "bare calls")
	if err != nil {
		return nil, err
	}
	w, err := dial(b.ctx, s.address)
	if err != nil {
		return nil, err
	}
	var figures []figure
	for _, l := range []callsOn{
		{batch: 1, atOnce: 1, latency: "5ms"},
		{batch: 1, atOnce: 4, latency: "5ms"},
		{batch: 10, atOnce: 1, latency: "5ms"},
		{batch: 10, atOnce: 4, latency: "5ms"},
		{batch: 1, atOnce: 1, latency: "0s"},
		{batch: 1, atOnce: 4, latency: "0s"},
	} {
		items := make([]skill.Item, callsOf*l.batch)
		for i := range items {
			items[i] = skill.Item{OriginID: fmt.Sprintf("product:skill:%08d", i), Name: fmt.Sprintf("Perform advanced task number %d", i), Status: skill.Active}
		}
		body := bodyOf(items)
		var with, bare []time.Duration
		for run := range min(b.runs, callsRuns) {
			id, err := s.admin("id", "integrations", "create", "--tool", "sandbox", "--name", "Bench Ltd.",
				"--set", fmt.Sprint("batch_limit=", l.batch), "--set", fmt.Sprint("concurrency=", l.atOnce), "--set", "latency="+l.latency)
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if _, err := s.push(w, id, s.post(id, body), 2*time.Millisecond); err != nil {
				return nil, err
			}
			with = append(with, time.Since(began))
			took, err := bareCalls(b.ctx, alone, fmt.Sprint(l, run), l, items)
			if err != nil {
				return nil, err
			}
			bare = append(bare, took)
		}
		each := func(d time.Duration) time.Duration { return d / callsOf }
		what := fmt.Sprintf("engine, for each call: %d skills, %d at once, latency %s", l.batch, l.atOnce, l.latency)
		f := within(what, each(median(with)-median(bare)), time.Millisecond)
		if l.latency == "0s" { // then it is commits of two kinds in turn
			f.Wanted, f.Met = "", true
		}
		f.Yardstick = ms(each(median(bare))) + " the call alone"
		figures = append(figures, f)
	}
	return figures, errors.Join(s.end(), alone.Close(), b.forget("bare calls"))
}

// callsOn is how a tool is called.
type callsOn struct {
	batch, atOnce int
	latency       string
}

// bareCalls writes the skills through the connector alone.
func bareCalls(ctx context.Context, s store.Store, account string, l callsOn, items []skill.Item) (time.Duration, error) {
	settings, err := json.Marshal(map[string]any{"batch_limit": l.batch, "concurrency": l.atOnce, "latency": l.latency})
	if err != nil {
		return 0, err
	}
	session, err := sandbox.New(s.Sandbox()).Open(connector.Account{ID: account, Settings: settings})
	if err != nil {
		return 0, err
	}
	batches := make(chan []connector.Skill, len(items)/l.batch)
	for at := 0; at < len(items); at += l.batch {
		batch := make([]connector.Skill, l.batch)
		for i, it := range items[at : at+l.batch] {
			batch[i] = connector.Skill{OriginID: it.OriginID, Name: it.Name, Active: true}
		}
		batches <- batch
	}
	close(batches)
	var mu sync.Mutex
	var all error
	var group sync.WaitGroup
	began := time.Now()
	for range l.atOnce {
		group.Go(func() {
			for batch := range batches {
				if _, err := session.Write(ctx, batch); err != nil {
					mu.Lock()
					all = errors.Join(all, err)
					mu.Unlock()
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(began), all
}
