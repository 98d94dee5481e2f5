package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// oldest is the first version of PostgreSQL that is good enough, as server_version_num.
const oldest = 15_00_00

// fewest is how many connections a server on this machine must take. Whoever is named is taken as it is.
//
//nolint:gochecknoglobals // what a test binary needs is known before its first test
var fewest = 1

// NeedConnections is for a TestMain whose tests start many processes: Database then passes over a server on this machine
// that takes fewer connections, and starts one that takes so many.
func NeedConnections(n int) { fewest = n }

// server is a PostgreSQL on which databases may be made.
type server struct {
	address url.URL // of any of its databases
	fewest  int
	started *cluster // by us, or nil. A cluster that nothing refers to ends: the pipe to its watchdog is collected
}

// url is the address of a database on the server; of the one the server was found by if the name is empty.
func (s server) url(database string) string {
	address := s.address
	if database != "" {
		address.Path = "/" + database
	}
	return address.String()
}

// connect opens a connection to a database, see url. Statements end by themselves: in a bubble, the end of a context may never come.
func (s server) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(s.url(database))
	if err != nil {
		return nil, err
	}
	config.RuntimeParams["application_name"] = "pgtest"
	config.RuntimeParams["statement_timeout"] = strconv.FormatInt(limit.Milliseconds(), 10)
	return pgx.ConnectConfig(ctx, config)
}

// check says why the server is of no use, if so.
func (s server) check() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := s.connect(ctx, "")
	if err != nil {
		return err
	}
	var version, most int
	var may bool
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('max_connections')::int, rolcreatedb OR rolsuper
		FROM pg_roles WHERE rolname = current_user`).Scan(&version, &most, &may)
	switch err = errors.Join(err, conn.Close(ctx)); {
	case err != nil:
		return err
	case version < oldest:
		return fmt.Errorf("it is PostgreSQL %d, and %d is the oldest that will do", version/10000, oldest/10000)
	case most < s.fewest:
		return fmt.Errorf("it takes %d connections, and these tests need %d", most, s.fewest)
	case !may:
		return errors.New("its user may not make databases; run in psql: ALTER ROLE " + conn.Config().User + " CREATEDB")
	}
	return nil
}

// Server finds the server on which Database makes its databases, or starts one with these options, which ends with the
// process. It returns the address of a database that is there already. It is for the benchmarks, which are no tests and
// make their databases themselves.
func Server(options Options) (string, error) {
	s, err := find(options)
	if err != nil {
		return "", err
	}
	return s.url(""), nil
}

// find finds the server for the fresh databases, or starts one, which ends with the process.
func find(otherwise Options) (server, error) {
	if named := os.Getenv("TEST_DATABASE_URL"); named != "" {
		address, err := url.Parse(named)
		if err != nil || address.Scheme != "postgres" && address.Scheme != "postgresql" {
			return server{}, errors.New("pgtest: TEST_DATABASE_URL must be like postgres://user:password@host:5432/postgres")
		}
		s := server{address: *address}
		if err := s.check(); err != nil {
			return server{}, fmt.Errorf("pgtest: the server of TEST_DATABASE_URL cannot be used: %w", err)
		}
		return s, nil
	}
	local, notLocal := findLocal()
	if notLocal == nil {
		return local, nil
	}
	c, err := newCluster(otherwise)
	if err != nil {
		return server{}, fmt.Errorf("pgtest: no PostgreSQL for the tests. Install one with: sudo apt-get install -y postgresql. "+
			"Or name one: TEST_DATABASE_URL=postgres://user:password@host:5432/postgres. "+
			"No local server: %w. No temporary one: %w", notLocal, err)
	}
	return c.server("postgres"), nil
}

// findLocal tries the server on this machine, or where the PG* variables point.
func findLocal() (server, error) {
	var settings []string
	if os.Getenv("PGHOST") == "" && os.Getenv("PGSERVICE") == "" {
		settings = append(settings, "host=127.0.0.1")
	}
	if os.Getenv("PGDATABASE") == "" {
		settings = append(settings, "dbname=postgres")
	}
	users := []string{""}
	if os.Getenv("PGUSER") == "" && os.Getenv("PGSERVICE") == "" {
		users = []string{"user=postgres"}
		if u, err := user.Current(); err == nil && u.Username != "postgres" {
			users = append(users, "user="+u.Username)
		}
	}
	var refused []error
	for _, as := range users {
		config, err := pgx.ParseConfig(strings.Join(append(settings, as), " "))
		if err != nil {
			return server{}, err
		}
		// A password is where pgx finds it again.
		s := server{address: url.URL{Scheme: "postgres", User: url.User(config.User), Path: "/" + config.Database}, fewest: fewest}
		port := strconv.Itoa(int(config.Port))
		if strings.HasPrefix(config.Host, "/") {
			s.address.RawQuery = url.Values{"host": {config.Host}, "port": {port}}.Encode()
		} else {
			s.address.Host = net.JoinHostPort(config.Host, port)
			if os.Getenv("PGHOST") == "" && os.Getenv("PGSERVICE") == "" && os.Getenv("PGSSLMODE") == "" {
				s.address.RawQuery = "sslmode=disable" // on this machine. To encrypt takes a third of the time of tests that ask much
			}
		}
		if err := s.check(); err != nil {
			refused = append(refused, err)
			continue
		}
		return s, nil
	}
	return server{}, errors.Join(refused...)
}
