package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
)

// product is a kind of database that a server runs on, and what is wanted of it.
type product struct {
	wanted
	dir string // SQLite's folders are in it
	// admin is connected to the PostgreSQL server on which the databases are made; nil: SQLite.
	admin  *pgx.Conn
	server *url.URL
	prefix string
}

// wanted are the limits that differ.
type wanted struct {
	large, unchanged, small, smallPolls, largePolls, atMillion float64
	p50, p99                                                   time.Duration
}

// rawDatabase is what the database alone does on this machine at this moment.
type rawDatabase interface {
	// upsert writes the items in one transaction.
	upsert(ctx context.Context, integration int, items []skill.Item) (time.Duration, error)
	// transactions runs bare insert+update transactions for a while and returns how many a second.
	transactions(ctx context.Context, d time.Duration) (float64, error)
	close() error
}

// products are those that are asked for, ready to be used.
func products(ctx context.Context, o options) ([]product, error) {
	var products []product
	if o.database == "sqlite" || o.database == "both" {
		products = append(products, product{dir: o.dir, wanted: wanted{
			large: 5, unchanged: 2.5, small: 0.125, p50: 5 * time.Millisecond, p99: 25 * time.Millisecond, smallPolls: 0.6, largePolls: 0.7, atMillion: 1.4,
		}})
	}
	if o.database == "postgres" || o.database == "both" {
		p, err := openPostgres(ctx, o.server)
		if err != nil {
			return nil, err
		}
		p.dir = o.dir
		products = append(products, p)
	}
	if len(products) == 0 {
		return nil, fmt.Errorf("-database %s: give sqlite, postgres or both", o.database)
	}
	return products, nil
}

func openPostgres(ctx context.Context, server string) (p product, err error) {
	p.wanted = wanted{
		large: 3.5, unchanged: 1.5, small: 0.125, p50: 12 * time.Millisecond, p99: 50 * time.Millisecond, smallPolls: 0.6, largePolls: 0.6, atMillion: 1.3,
	}
	if server == "" {
		if server, err = pgtest.Server(pgtest.Options{Settings: map[string]string{"shared_buffers": "128MB"}}); err != nil {
			return p, err
		}
	}
	if p.server, err = url.Parse(server); err != nil {
		return p, errors.New("-server is not an address like postgres://user:password@host:5432/postgres")
	}
	if p.admin, err = pgx.Connect(ctx, server); err != nil {
		return p, err
	}
	p.prefix = fmt.Sprintf("crosswalk_bench_%s_%d_", time.Now().UTC().Format("20060102t150405"), os.Getpid())
	return p, nil
}

func (p product) name() string {
	if p.admin == nil {
		return "SQLite"
	}
	return "PostgreSQL"
}

// drop removes the databases of this run from the server.
func (p product) drop() error {
	if p.admin == nil {
		return nil
	}
	ctx := context.Background() // also after Ctrl-C
	defer p.admin.Close(ctx)    //nolint:errcheck // the program ends
	rows, err := p.admin.Query(ctx, `SELECT datname FROM pg_database WHERE starts_with(datname, $1)`, p.prefix)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, name := range names {
		_, e := p.admin.Exec(ctx, "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
		err = errors.Join(err, e)
	}
	return err
}

// forget removes a database that is not used any more, since a full disk would spoil what comes after.
func (p product) forget(name string) error {
	if p.admin == nil {
		return os.RemoveAll(filepath.Join(p.dir, name))
	}
	_, err := p.admin.Exec(context.Background(), "DROP DATABASE IF EXISTS "+pgx.Identifier{p.databaseName(name)}.Sanitize()+" WITH (FORCE)")
	return err
}

func (p product) databaseName(name string) string {
	return p.prefix + strings.ReplaceAll(name, " ", "_")
}

// database makes sure that the database of that name exists, and returns its address, for PostgreSQL, or its file.
func (p product) database(ctx context.Context, name string) (string, error) {
	if p.admin == nil {
		return filepath.Join(p.dir, name, "crosswalk.db"), nil
	}
	name = p.databaseName(name)
	var exists bool
	if err := p.admin.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		return "", err
	}
	if !exists {
		if _, err := p.admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
			return "", err
		}
	}
	at := *p.server
	at.Path = "/" + name
	return at.String(), nil
}

// flags are those with which crosswalk finds a database.
func (p product) flags(database string) []string {
	if p.admin == nil {
		return []string{"--data", filepath.Dir(database)}
	}
	return []string{"--database", database}
}

// raw opens a database for the yardsticks.
func (p product) raw(ctx context.Context, name string) (rawDatabase, error) {
	database, err := p.database(ctx, name)
	if err != nil {
		return nil, err
	}
	if p.admin == nil {
		if err := os.MkdirAll(filepath.Dir(database), 0o700); err != nil {
			return nil, err
		}
		return openRawSQLite(ctx, database)
	}
	return openRawPostgres(ctx, database)
}
