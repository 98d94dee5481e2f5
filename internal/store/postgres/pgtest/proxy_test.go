package pgtest

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// short is how long nothing must happen, where nothing must.
const short = 200 * time.Millisecond

// network is a database with a table, reached through a proxy and past it.
func network(t *testing.T) (p *Proxy, through, past *pgx.Conn) {
	t.Helper()
	url := Database(t)
	p = NewProxy(t, url)
	past = open(t, url)
	exec1(t, past, `CREATE TABLE things (n int)`)
	return p, open(t, p.URL()), past
}

func TestProxyCut(t *testing.T) {
	t.Parallel()
	p, through, _ := network(t)
	p.Cut()
	if _, err := through.Exec(t.Context(), `SELECT 1`); err == nil {
		t.Error("a connection works after it was cut")
	}
	if n := count(t, open(t, p.URL()), `SELECT 1`); n != 1 {
		t.Error("a new connection does not work")
	}
}

func TestProxyRefuse(t *testing.T) {
	t.Parallel()
	p, through, _ := network(t)
	p.Refuse()
	if _, err := pgx.Connect(t.Context(), p.URL()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect: %v, want refused", err)
	}
	if n := count(t, through, `SELECT 1`); n != 1 {
		t.Error("a connection that was there does not work")
	}
	p.Restore()
	if n := count(t, open(t, p.URL()), `SELECT 1`); n != 1 {
		t.Error("a new connection does not work")
	}
}

func TestProxyDelay(t *testing.T) {
	t.Parallel()
	p, through, _ := network(t)
	p.Delay(short)
	began := time.Now()
	count(t, through, `SELECT length(repeat('x', 1000000))`)
	if took := time.Since(began); took < 2*short {
		t.Errorf("there and back took %v, want %v at least", took, 2*short)
	}
	p.Restore()
	if n := count(t, through, `SELECT 1`); n != 1 {
		t.Error("the connection does not work any more")
	}
}

// A statement that was on its way when its sender gave up arrives all the same.
func TestProxyHoldsRequests(t *testing.T) {
	t.Parallel()
	p, through, past := network(t)
	p.Hold(Requests)
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	batch := through.PgConn().Conn()
	if _, err := batch.Write(append([]byte{'Q', 0, 0, 0, 34}, "INSERT INTO things VALUES (1)\x00"...)); err != nil {
		t.Fatal(err)
	}
	if err := batch.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.Connect(ctx, p.URL()); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a new connection: %v, want none before the deadline", err)
	}
	if n := count(t, past, `SELECT count(*) FROM things`); n != 0 {
		t.Errorf("%d rows while requests are held", n)
	}
	p.Restore()
	wait(t, "the row is there", func() bool { return count(t, past, `SELECT count(*) FROM things`) == 1 })
}

func TestProxyHoldsAnswers(t *testing.T) {
	t.Parallel()
	p, through, past := network(t)
	p.Hold(Answers)
	answer := make(chan error, 1)
	go func() {
		_, err := through.Exec(context.Background(), `INSERT INTO things VALUES (1)`)
		answer <- err
	}()
	wait(t, "the row is there", func() bool { return count(t, past, `SELECT count(*) FROM things`) == 1 })
	select {
	case err := <-answer:
		t.Fatalf("an answer came: %v", err)
	case <-time.After(short):
	}
	p.Restore()
	if err := <-answer; err != nil {
		t.Errorf("the answer, late: %v", err)
	}
}

// A program that is stopped does not read. That must not keep the network from failing.
func TestProxyFailsWithAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	p, through, past := network(t)
	rows, err := through.Query(t.Context(), `SELECT repeat('x', 100000) FROM generate_series(1, 2000)`)
	if err != nil {
		t.Fatal(err)
	}
	wait(t, "the server cannot write any more", func() bool {
		return count(t, past, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'ClientWrite'`) == 1
	})
	for _, fault := range []func(){func() { p.Hold(Answers) }, p.Restore, p.Refuse, p.Cut} {
		done := make(chan struct{})
		go func() { fault(); close(done) }()
		select {
		case <-done:
		case <-time.After(limit):
			t.Fatal("a fault waits for the client")
		}
	}
	wait(t, "the server has given up", func() bool {
		return count(t, past, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`) == 0
	})
	rows.Close() // it was broken on purpose
}

func TestProxyWithoutADatabase(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close() // so that nobody is there
	p := NewProxy(t, "postgres://"+listener.Addr().String()+"/postgres")
	if _, err := pgx.Connect(t.Context(), p.URL()); err == nil {
		t.Error("connected to nobody")
	}
}

func TestCutCommitAnswer(t *testing.T) {
	t.Parallel()
	const insert = `INSERT INTO things SELECT $1::int`
	begun := func(finish string, statements ...string) func(ctx context.Context, conn *pgx.Conn) error {
		return func(ctx context.Context, conn *pgx.Conn) error {
			tx, err := conn.Begin(ctx)
			if err != nil {
				return err
			}
			for _, statement := range statements {
				var args []any
				if strings.Contains(statement, "$1") {
					args = append(args, 1)
				}
				if _, err := tx.Exec(ctx, statement, args...); err != nil {
					return errors.Join(err, tx.Rollback(ctx))
				}
			}
			_, err = tx.Exec(ctx, finish)
			return err
		}
	}
	tests := []struct {
		name string
		do   func(ctx context.Context, conn *pgx.Conn) error
		cut  bool
		rows int
	}{
		{"a transaction", begun("commit", insert), true, 1},
		{"more before and after", begun("commit", `SELECT 1`, insert, `SELECT repeat('x', 300000)`), true, 1},
		{"a statement without parameters", begun("commit", `INSERT INTO things VALUES (1)`), true, 1},
		{"another transaction", begun("commit", `SELECT 1`), false, 0},
		{"rolled back", begun("rollback", insert), false, 0},
		{"failed", begun("commit", insert, `SELECT 1/0`), false, 0},
		{"a savepoint given up", begun("commit", insert, `SAVEPOINT s`, `ROLLBACK TO SAVEPOINT s`), true, 1},
		{"a statement by itself", func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, insert, 1)
			return err
		}, true, 1},
		{"a batch by itself", func(ctx context.Context, conn *pgx.Conn) error {
			batch := new(pgx.Batch)
			batch.Queue(`SELECT 1`)
			batch.Queue(insert, 1)
			batch.Queue(insert, 2)
			return conn.SendBatch(ctx, batch).Close()
		}, true, 2},
		{"a batch that fails", func(ctx context.Context, conn *pgx.Conn) error {
			batch := new(pgx.Batch)
			batch.Queue(insert, 1)
			batch.Queue(`SELECT 1/$1::int`, 0)
			return conn.SendBatch(ctx, batch).Close()
		}, false, 0},
		{"copied", func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.CopyFrom(ctx, pgx.Identifier{"things"}, []string{"n"}, pgx.CopyFromSlice(50_000, func(n int) ([]any, error) { return []any{n}, nil }))
			return err
		}, true, 50_000},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p, through, past := network(t)
			bystander := open(t, p.URL())
			done := p.CutCommitAnswer(func(statement string) bool {
				return strings.HasPrefix(strings.ToLower(statement), "insert into things") || strings.HasPrefix(statement, "copy ")
			})
			err := test.do(t.Context(), through)
			cut := false
			select {
			case <-done:
				cut = true
			default:
			}
			var told *pgconn.PgError
			switch {
			case cut != test.cut:
				t.Errorf("cut %v, want %v (%v)", cut, test.cut, err)
			case cut && (err == nil || errors.As(err, &told)):
				t.Errorf("the program was told %v, want a broken connection", err)
			}
			if n := count(t, past, `SELECT count(*) FROM things`); n != test.rows {
				t.Errorf("%d rows, want %d", n, test.rows)
			}
			if n := count(t, bystander, `SELECT 1`); n != 1 {
				t.Error("another connection was cut")
			}
			if !cut {
				return
			}
			again := open(t, p.URL())
			if err := test.do(t.Context(), again); err != nil {
				t.Errorf("the next one was cut as well: %v", err)
			}
		})
	}
}

func TestCutCommit(t *testing.T) {
	t.Parallel()
	p, through, past := network(t)
	is := func(statement string) bool { return strings.HasPrefix(statement, "INSERT") }
	done := p.CutCommit(is)
	for _, statement := range []string{`BEGIN`, `COMMIT`, `BEGIN`, `INSERT INTO things VALUES (1)`, `ROLLBACK`, `BEGIN`, `INSERT INTO things VALUES (2)`} {
		exec1(t, through, statement)
	}
	select {
	case <-done:
		t.Fatal("cut before the commit")
	default:
	}
	if _, err := through.Exec(t.Context(), `COMMIT`); err == nil {
		t.Error("the commit was answered")
	}
	<-done
	again := open(t, p.URL())
	for _, statement := range []string{`BEGIN`, `INSERT INTO things VALUES (3)`, `COMMIT`} {
		exec1(t, again, statement)
	}
	if n := count(t, past, `SELECT sum(n) FROM things`); n != 3 {
		t.Errorf("the rows come to %d, want the last one alone", n)
	}
}

// Whatever pieces the network makes of them, messages are the same.
func TestScanner(t *testing.T) {
	t.Parallel()
	said := "\x00\x00\x00\x08abcd" + "Q\x00\x00\x00\x0dSELECT 1\x00" + "S\x00\x00\x00\x04" + "P\x00\x01\x86\xa4" + strings.Repeat("x", 100_000) + "X\x00\x00\x00\x04"
	want := "0:4 Q:9 S:0 P:65536 X:0"
	for _, size := range []int{1, 2, 3, 7, 100, len(said)} {
		s := scanner{untyped: true}
		var got []string
		for rest := []byte(said); len(rest) > 0; {
			n := min(size, len(rest))
			s.read(rest[:n], func(kind byte, body []byte) {
				name := "0"
				if kind != 0 {
					name = string(kind)
				}
				got = append(got, name+":"+strconv.Itoa(len(body)))
			})
			rest = rest[n:]
		}
		if strings.Join(got, " ") != want {
			t.Errorf("in pieces of %d: %v, want %s", size, got, want)
		}
	}
}

// Answers arrive in any pieces. Of the round that commits, not a byte goes on.
func TestCutCommitAnswerHoldsTheWholeRound(t *testing.T) {
	t.Parallel()
	say := func(kind, body string) string {
		return kind + string(binary.BigEndian.AppendUint32(nil, uint32(4+len(body)))) + body
	}
	complete := func(tag, status string) string { return say("C", tag+"\x00") + say("Z", status) }
	p := &Proxy{}
	done := p.CutCommitAnswer(func(statement string) bool { return statement == "insert" })
	c := newConversation()
	c.asked(nil, []byte("\x00\x00\x00\x08abcd"))
	rounds := []struct {
		asks, answers string
		goesOn, cut   bool
	}{
		{"", say("R", "\x00\x00\x00\x00") + say("Z", "I"), true, false},
		{say("Q", "begin\x00"), complete("BEGIN", "T"), true, false},
		{say("Q", "insert\x00"), complete("INSERT 0 1", "T"), true, false},
		{say("Q", "commit\x00"), complete("COMMIT", "I"), false, true},
	}
	for _, round := range rounds {
		c.asked(p.armed(), []byte(round.asks))
		passed, cut := "", false
		for i := range len(round.answers) {
			pass, end := c.answered(p.armed(), []byte(round.answers[i:i+1]))
			passed, cut = passed+string(pass), cut || end
		}
		want := ""
		if round.goesOn {
			want = round.answers
		}
		if passed != want || cut != round.cut {
			t.Errorf("%q: %q went on and cut is %v; want %q and %v", round.asks, passed, cut, want, round.cut)
		}
	}
	<-done
}
