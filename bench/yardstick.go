package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	sqlitestore "github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// rawSQLite uses the store's own driver and pragmas.
type rawSQLite struct {
	db   *sql.DB
	rows int // of a statement: the fastest
	bulk *sql.Stmt

	insert *sql.Stmt
	update *sql.Stmt
}

func openRawSQLite(ctx context.Context, path string) (*rawSQLite, error) {
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, err
	}
	db, err := sql.Open("sqlite", sqlitestore.DSN(path, sqlitestore.WriterPragmas()...))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, ddl := range []string{
		`CREATE TABLE skills (
		  seq INTEGER NOT NULL PRIMARY KEY, integration INTEGER NOT NULL, origin_id TEXT NOT NULL, id TEXT NOT NULL,
		  remote_id TEXT, name TEXT NOT NULL, status INTEGER NOT NULL, hash BLOB, written_at INTEGER, written_by INTEGER,
		  UNIQUE (integration, origin_id)) STRICT`,
		`CREATE TABLE tasks (seq INTEGER NOT NULL PRIMARY KEY, id TEXT NOT NULL, body TEXT NOT NULL) STRICT`,
		`CREATE TABLE queues (id INTEGER NOT NULL PRIMARY KEY, wanted INTEGER NOT NULL) STRICT`,
		`INSERT INTO queues VALUES (1, 0)`,
	} {
		if _, err := db.ExecContext(ctx, ddl); err != nil {
			return nil, err
		}
	}
	r := &rawSQLite{db: db}
	if r.insert, err = db.PrepareContext(ctx, `INSERT INTO tasks (id, body) VALUES (?, ?)`); err != nil {
		return nil, err
	}
	if r.update, err = db.PrepareContext(ctx, `UPDATE queues SET wanted = wanted + 1 WHERE id = 1`); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *rawSQLite) prepare(ctx context.Context, rows int) error {
	values := strings.TrimSuffix(strings.Repeat("(?,?,?,?,?,?),", rows), ",")
	stmt, err := r.db.PrepareContext(ctx, `INSERT INTO skills (integration, written_at, written_by, origin_id, id, remote_id, name, status, hash)
		SELECT ?, ?, ?, column1, column2, column3, column4, column5, column6 FROM (VALUES `+values+`) WHERE true
		ON CONFLICT (integration, origin_id) DO UPDATE SET written_at = excluded.written_at, written_by = excluded.written_by,
		remote_id = excluded.remote_id, name = excluded.name, status = excluded.status, hash = excluded.hash`)
	r.rows, r.bulk = rows, stmt
	return err
}

// fastest finds the number of rows a statement that this machine likes best.
func (r *rawSQLite) fastest(ctx context.Context, items []skill.Item) error {
	best, bestTime := 0, time.Hour
	for _, rows := range []int{50, 100, 200, 500} {
		if err := r.prepare(ctx, rows); err != nil {
			return err
		}
		var times []time.Duration
		for run := range 5 {
			took, err := r.upsert(ctx, -rows-run, items) // the rows are new
			if err != nil {
				return err
			}
			times = append(times, took)
		}
		if m := median(times); m < bestTime {
			best, bestTime = rows, m
		}
	}
	return r.prepare(ctx, best)
}

func (r *rawSQLite) close() error { return r.db.Close() }

func (r *rawSQLite) upsert(ctx context.Context, integration int, items []skill.Item) (time.Duration, error) {
	if r.bulk == nil {
		if err := r.fastest(ctx, items); err != nil {
			return 0, err
		}
	}
	ids := skill.NewIDs(time.Now(), len(items))
	began := time.Now()
	tx, err := r.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // after the commit it does nothing
	stmt := tx.StmtContext(ctx, r.bulk)
	args := make([]any, 0, r.rows*6+3)
	for at := 0; at < len(items); at += r.rows {
		args = append(args[:0], integration, began.UnixMilli(), 1)
		for i, it := range items[at : at+r.rows] {
			hash := skill.ContentHash("sandbox", it)
			args = append(args, it.OriginID, ids[at+i], "SKL-"+strconv.Itoa(at+i), it.Name, int64(it.Status), hash[:])
		}
		if _, err := stmt.ExecContext(ctx, args...); err != nil {
			return 0, err
		}
	}
	if err := tx.Commit(); err != nil {
		return 0, err
	}
	took := time.Since(began)
	_, err = r.db.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)") // not timed, as the server's is not in its commits
	return took, err
}

func (r *rawSQLite) transactions(ctx context.Context, d time.Duration) (float64, error) {
	body := strings.Repeat("x", 700) // ten skills
	began := time.Now()
	n := 0
	for ; time.Since(began) < d; n++ {
		tx, err := r.db.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		if _, err := tx.StmtContext(ctx, r.insert).ExecContext(ctx, "task_28KMdr68N8kG9EzLwjsN9aoz", body); err != nil {
			return 0, errors.Join(err, tx.Rollback())
		}
		if _, err := tx.StmtContext(ctx, r.update).ExecContext(ctx); err != nil {
			return 0, errors.Join(err, tx.Rollback())
		}
		if err := tx.Commit(); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// serveYardstick is the bare handler: it looks the same row up with the same statement and writes the same bytes, and
// does nothing else. It runs in a process of its own, as the server does.
func serveYardstick(args []string) error {
	database, environment := args[0], args[1]
	open := openSQLiteLookUp
	if strings.HasPrefix(database, "postgres") {
		open = openPostgresLookUp
	}
	find, err := open(database)
	if err != nil {
		return err
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "serves http://%s\n", listen.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/hris/skills/bulk/{task_id}", func(w http.ResponseWriter, r *http.Request) {
		document, err := find(r.Context(), r.PathValue("task_id"), r.Header.Get("X-Integration-Id"), environment)
		if err == nil {
			document, err = store.Unpack(document)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(document)))
		_, _ = w.Write(document) // the client has gone: there is nobody to tell
	})
	return http.Serve(listen, mux)
}

// lookUp finds the document of an ended task.
type lookUp func(ctx context.Context, task, integration, environment string) ([]byte, error)

func openSQLiteLookUp(path string) (lookUp, error) {
	db, err := sql.Open("sqlite", sqlitestore.DSN(path, "query_only(1)", "cache_size(-2048)"))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	stmt, err := db.Prepare(`SELECT t.id, t.status, t.items, t.done, t.written, t.unchanged, t.failed, t.created_at, t.document
		FROM tasks t JOIN integrations i ON i.seq = t.integration
		WHERE t.id = ? AND i.id = ? AND i.environment_id = ?`)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, task, integration, environment string) (document []byte, err error) {
		var id string
		var status, items, done, written, unchanged, failed, created int64
		row := stmt.QueryRowContext(ctx, task, integration, environment)
		return document, row.Scan(&id, &status, &items, &done, &written, &unchanged, &failed, &created, &document)
	}, nil
}
