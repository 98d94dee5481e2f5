package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres"
	"github.com/crosswalk-hr/crosswalk/internal/store/postgres/pgtest"
	"github.com/crosswalk-hr/crosswalk/internal/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return pgtest.Open(t, pgtest.Reused(t), now)
	})
}

func TestStoreHistories(t *testing.T) {
	t.Parallel()
	storetest.RunModel(t, func(t *testing.T, now func() time.Time) store.Store {
		return pgtest.Open(t, pgtest.Reused(t), now)
	})
}

// Behind a pooler nothing of a session may be relied on; what the store does is the same.
func TestStoreForAPooler(t *testing.T) {
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return open(t, postgres.Options{URL: pgtest.Reused(t), Serve: true, Pooler: true, Conns: 4, Now: now})
	})
}

func open(t *testing.T, o postgres.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// with is an address with one parameter more.
func with(t *testing.T, address, parameter, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(parameter, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// closing opens a store that the test's end closes.
func closing(t *testing.T, o postgres.Options) *postgres.Store {
	t.Helper()
	s := open(t, o)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// raw is a connection beside the store's.
func raw(t *testing.T, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, query string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), query, args...); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

func number(t *testing.T, conn *pgx.Conn, query string, args ...any) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func TestTenStartAtOnceOnAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	address := pgtest.Empty(t)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			s, err := postgres.Open(t.Context(), postgres.Options{URL: address, Serve: true, Conns: 4})
			if err != nil {
				t.Error(err)
				return
			}
			if list, err := s.Environments(t.Context()); err != nil || len(list) != 1 {
				t.Errorf("environments = %v, %v", list, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
}

func TestNewerTablesAreRefused(t *testing.T) {
	t.Parallel()
	for what, newer := range map[string]string{
		"ours":        "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)",
		"the queue's": "INSERT INTO river_migration (line, version) VALUES ('main', 9999)",
	} {
		address := pgtest.Database(t)
		exec(t, raw(t, address), newer)
		_, err := postgres.Open(t.Context(), postgres.Options{URL: address, Serve: true, Conns: 4})
		if err == nil || !strings.Contains(err.Error(), "version 9999") {
			t.Errorf("%s: error = %v", what, err)
		}
	}
}

// Changes of the tables come from several people: one may come to be after one with a higher number was made.
func TestAChangeOfTheTablesThatComesLate(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	conn := raw(t, address)
	exec(t, conn, "DROP TABLE connect_links, connect_settings")
	exec(t, conn, "DELETE FROM goose_db_version WHERE version_id = 10")
	s, err := postgres.Open(t.Context(), postgres.Options{URL: address, Conns: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if n := number(t, conn, "SELECT count(*) FROM connect_links"); n != 0 {
		t.Errorf("%d links, want an empty table", n)
	}
}

// Integrations that were deleted by an earlier program lose their credentials with the upgrade.
func TestDeletedBeforeTheUpgrade(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := pgtest.Open(t, address, time.Now)
	defer s.Close() //nolint:errcheck // nothing rests on it
	ids := storetest.Deleted(t, s)
	conn := raw(t, address)
	exec(t, conn, "UPDATE integrations SET credentials = '\\x01' WHERE deleted_at IS NOT NULL")
	exec(t, conn, storetest.Migration(t, "00013_deleted_credentials.sql"))
	ids.Check(t, s)
}

// Whatever goes wrong with an address, its password is not told.
func TestPasswordsStaySecret(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"postgres://user:hunter2@127.0.0.1:1/none",
		"postgres://user:hunter2@127.0.0.1:port/none",
		"postgres://user:hunter2%zz@127.0.0.1/none",
		"postgres://127.0.0.1:1/none?user=u&password=hunter2",
		"postgres://user:hunter2@127.0.0.1/none?sslmode=hunter2",
	} {
		_, err := postgres.Open(t.Context(), postgres.Options{URL: address})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// With a single connection, opening would wait for itself.
func TestTooFewConnections(t *testing.T) {
	t.Parallel()
	for _, o := range []postgres.Options{{URL: "postgres://127.0.0.1:1/none", Conns: 1}, {URL: "postgres://127.0.0.1:1/none?pool_max_conns=1"}} {
		if _, err := postgres.Open(t.Context(), o); skill.KindOf(err) != skill.Invalid || !strings.Contains(err.Error(), "at least 2") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestEverySessionHasLimits(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := closing(t, postgres.Options{URL: address, Conns: 4})
	if err := s.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := raw(t, address)
	// As the sessions themselves have them.
	for name, want := range map[string]string{"statement_timeout": "20s", "lock_timeout": "3s", "idle_in_transaction_session_timeout": "5s"} {
		for _, pooler := range []bool{false, true} {
			got, err := postgres.Setting(t.Context(), closing(t, postgres.Options{URL: address, Conns: 4, Pooler: pooler}), name)
			if err != nil || got != want {
				t.Errorf("%s, pooler %v: %q, %v; want %q", name, pooler, got, err, want)
			}
		}
	}
	// Somebody holds the row that a submission needs: it gives up in good time, says so, and nothing of it stays.
	env, in := integration(t, s)
	exec(t, other, "BEGIN; SELECT 1 FROM drains FOR UPDATE")
	began := time.Now()
	_, err := submit(t.Context(), s, env, in, 1)
	if skill.KindOf(err) != skill.Unavailable || !strings.Contains(err.Error(), "Nothing of this request was kept.") {
		t.Errorf("error = %v", err)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("it waited %v", took)
	}
	exec(t, other, "ROLLBACK")
	if n := number(t, other, "SELECT count(*) FROM tasks"); n != 0 {
		t.Errorf("%d tasks are there", n)
	}
}

// Behind a pooler single statements have the limits that the database gives them. doctor tells when it gives none.
func TestLimitsBehindAPooler(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	look := func() (f store.Finding) {
		t.Helper()
		found, err := closing(t, postgres.Options{URL: address, Conns: 4, Pooler: true}).Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Check == "limits" {
				return f
			}
		}
		t.Fatal("nothing is said of limits")
		return f
	}
	conn := raw(t, address)
	var database string
	if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&database); err != nil {
		t.Fatal(err)
	}
	name := pgx.Identifier{database}.Sanitize()
	// Whatever the server that the tests run on has.
	exec(t, conn, "ALTER DATABASE "+name+" SET statement_timeout = 0; ALTER DATABASE "+name+" SET lock_timeout = '3s'; ALTER DATABASE "+name+" SET idle_in_transaction_session_timeout = 0")
	f := look()
	for _, want := range []string{`SET idle_in_transaction_session_timeout = '5s';`, `IN DATABASE ` + database + ` SET statement_timeout = '20s';`} {
		if f.Grade != store.Warning || !strings.Contains(f.Do, want) {
			t.Errorf("%+v, want %q in it", f, want)
		}
	}
	if strings.Contains(f.Do, "lock_timeout") {
		t.Errorf("%+v: that one is set", f)
	}
	exec(t, conn, "ALTER DATABASE "+name+" SET statement_timeout = '20s'; ALTER DATABASE "+name+" SET idle_in_transaction_session_timeout = '5s'")
	if f := look(); f.Grade != store.Fine {
		t.Errorf("%+v", f)
	}
}

// A server that is stopped may have committed before it says so. Then nobody is told that nothing was kept: neither of a
// transaction, be it one that commits by itself, nor of a single statement.
func TestStoppedAfterTheCommit(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	p := pgtest.NewProxy(t, address)
	s := closing(t, postgres.Options{URL: p.URL(), Serve: true, Conns: 4})
	env, id := integration(t, s)
	conn := raw(t, address)
	tasks := func(elsewhere bool) func() error {
		return func() error {
			_, err := s.Submit(t.Context(), store.Submission{
				EnvironmentID: env, IntegrationID: id, TaskID: skill.NewTaskID(time.Now()), Timeout: time.Hour, Elsewhere: elsewhere,
				Items: []skill.Item{{OriginID: "a", Name: "A", Status: skill.Active}},
			})
			return err
		}
	}
	for _, c := range []struct {
		name, statement string
		write           func() error
		kept            string // is true afterwards
	}{
		{"one batch", "INSERT INTO tasks", tasks(false), "SELECT count(*) FROM tasks"},
		{"batches", "INSERT INTO tasks", tasks(true), "SELECT count(*) - 1 FROM tasks"},
		{"a transaction", "UPDATE integrations", func() error {
			_, err := s.SetSettings(t.Context(), id, []byte(`{"a":1}`))
			return err
		}, "SELECT count(*) FROM integrations WHERE settings::text <> '{}'"},
		{"a statement", "UPDATE integrations", func() error {
			_, err := s.SetPolicy(t.Context(), id, store.Policy{Adopt: true})
			return err
		}, "SELECT count(*) FROM integrations WHERE adopt"},
	} {
		stopped := p.StopAfterCommit(func(statement string) bool { return strings.Contains(statement, c.statement) })
		err := c.write()
		select {
		case <-stopped:
		default:
			t.Fatalf("%s: it was not stopped: %v", c.name, err)
		}
		if skill.KindOf(err) != skill.Unavailable || strings.Contains(err.Error(), "Nothing of this request") || !strings.Contains(err.Error(), "57P01") {
			t.Errorf("%s: %v", c.name, err)
		}
		if number(t, conn, c.kept) != 1 {
			t.Errorf("%s: it was not kept: this shows nothing", c.name)
		}
	}
}

// The password was changed, or the database is not there (yet): that passes, and the log says what it is.
func TestTheDatabaseLetsNobodyIn(t *testing.T) {
	t.Parallel()
	p := pgtest.NewProxy(t, pgtest.Database(t))
	s := closing(t, postgres.Options{URL: p.URL(), Serve: true, Conns: 4})
	env, id := integration(t, s)
	p.Refuse()
	p.Cut()
	at, err := url.Parse(p.URL())
	if err != nil {
		t.Fatal(err)
	}
	door, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer door.Close()
	var code atomic.Value
	code.Store("28P01")
	go func() {
		for {
			guest, err := door.Accept()
			if err != nil {
				return
			}
			_, _ = guest.Read(make([]byte, 1024)) // whatever it asks for
			_, _ = guest.Write(pgtest.Fatal(code.Load().(string), "the reason"))
			_ = guest.Close()
		}
	}()
	for _, why := range []string{"28P01", "28000", "3D000"} {
		code.Store(why)
		for range 5 { // connections that were cut may be met first
			_, err = submit(t.Context(), s, env, id, 1)
		}
		told, ok := errors.AsType[*skill.Error](err)
		if !ok || told.Kind != skill.Unavailable || told.RetryAfter == 0 || !strings.Contains(told.Message, "does not let") {
			t.Errorf("%s: %v", why, err)
			continue
		}
		if strings.Contains(told.Message, "the reason") || !strings.Contains(err.Error(), "the reason") || !strings.Contains(err.Error(), why) {
			t.Errorf("%s is told as %q, and logged as %v", why, told.Message, err)
		}
	}
}

func integration(t *testing.T, s store.Store) (environment, id string) {
	t.Helper()
	env, err := s.Environment(t.Context(), store.DefaultEnvironment)
	if err != nil {
		t.Fatal(err)
	}
	in, err := s.CreateIntegration(t.Context(), store.Integration{EnvironmentID: env.ID, Tool: "sandbox", Settings: []byte(`{}`)})
	if err != nil {
		t.Fatal(err)
	}
	return env.ID, in.ID
}

// leased makes an integration with a task, whose lease is "me"'s for a minute.
func leased(t *testing.T, s store.Store) (environment, id string, held store.Held) {
	t.Helper()
	environment, id = integration(t, s)
	if _, err := submit(t.Context(), s, environment, id, 1); err != nil {
		t.Fatal(err)
	}
	lease, _, err := s.Claim(t.Context(), store.Claim{IntegrationID: id, Owner: "me", TTL: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return environment, id, store.Held{Ref: lease.Ref, Epoch: lease.Epoch}
}

func submit(ctx context.Context, s store.Store, environment, id string, n int) (store.Accepted, error) {
	items := make([]skill.Item, n)
	for i := range items {
		items[i] = skill.Item{OriginID: fmt.Sprint("skill-", i), Name: fmt.Sprint("Skill ", i), Status: skill.Active}
	}
	return s.Submit(ctx, store.Submission{
		EnvironmentID: environment, IntegrationID: id, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: items, Timeout: time.Hour,
	})
}

// drain takes the oldest task of an integration to its end, writing everything.
func drain(ctx context.Context, s store.Store, id, owner string) error {
	lease, next, err := s.Claim(ctx, store.Claim{IntegrationID: id, Owner: owner, TTL: time.Minute, OpenUpTo: 100})
	for err == nil && next.Task != nil {
		var items []skill.Item
		if items, err = s.Items(ctx, next.Task.Ref, 0); err != nil {
			break
		}
		var ids []string
		for _, it := range items {
			ids = append(ids, it.OriginID)
		}
		if _, err = s.Skills(ctx, lease, ids); err != nil {
			break
		}
		step := store.Step{Task: next.Task.Ref, Then: store.Proceed, OpenUpTo: 100, Finish: &store.Finish{
			Status: skill.Completed, Counts: skill.Counts{Written: len(items)}, CompletedAt: next.Now, Document: []byte("{}"),
		}}
		for i, it := range items {
			step.Written = append(step.Written, store.SkillWritten{ID: skill.NewID(next.Now), RemoteID: fmt.Sprint(i), Item: it})
		}
		next, err = s.Advance(ctx, lease, step)
	}
	return err
}

// A small task that is leased as it is submitted needs one way to the database before its call, not two.
func TestALeaseBringsWhatIsKnown(t *testing.T) {
	t.Parallel()
	s := closing(t, postgres.Options{URL: pgtest.Reused(t), Serve: true, Conns: 4})
	env, id := integration(t, s)
	for _, items := range [][]skill.Item{{{OriginID: "a", Name: "A"}}, {{OriginID: "a", Name: "A"}, {OriginID: "b", Name: "B"}}} {
		accepted, err := s.Submit(t.Context(), store.Submission{
			EnvironmentID: env, IntegrationID: id, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Timeout: time.Hour, Items: items,
			Claim: &store.Claim{Owner: "me", TTL: time.Minute, OpenUpTo: 10},
		})
		if err != nil || accepted.Leased == nil {
			t.Fatal(accepted, err)
		}
		next := accepted.Leased.Next
		if known := len(items) - 1; len(next.States) != len(items) || next.States[0].Known != (known == 1) {
			t.Errorf("of %d skills, %d of them known: %+v", len(items), known, next.States)
		}
		if _, err := s.Advance(t.Context(), accepted.Leased.Lease, store.Step{
			Task: next.Task.Ref, Then: store.Proceed,
			Written: []store.SkillWritten{{ID: skill.NewID(time.Now()), RemoteID: "r", Item: items[0]}},
			Finish:  &store.Finish{Status: skill.Completed, CompletedAt: next.Now, Document: []byte("{}")},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Two stores on one database, everybody at once on a few integrations: nobody waits for somebody who waits for him, and
// afterwards the counters say what is there.
func TestNoDeadlocks(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	stores := []*postgres.Store{
		closing(t, postgres.Options{URL: address, Serve: true, Conns: 10}), closing(t, postgres.Options{URL: address, Serve: true, Conns: 10}),
	}
	conn := raw(t, address)
	const integrations = 6
	var ids []string
	var refs []int64
	var env string
	for range integrations {
		var id string
		env, id = integration(t, stores[0])
		ids, refs = append(ids, id), append(refs, int64(number(t, conn, "SELECT seq FROM integrations WHERE id = $1", id)))
	}
	exec(t, conn, "SELECT pg_stat_reset()")
	var failed, extended atomic.Int64 // by calls that took several integrations on
	// failMany does what a deadline does, to some tasks of all integrations.
	failMany := func(ctx context.Context, s store.Store) error {
		if _, _, err := s.Overdue(ctx, 10); err != nil {
			return err
		}
		if _, err := s.Due(ctx, 10); err != nil {
			return err
		}
		var tasks []store.FailedTask
		of := map[int64]bool{}
		for _, i := range rand.Perm(integrations) {
			waiting, err := s.Waiting(ctx, store.Lease{Ref: refs[i]}, 3)
			if err != nil {
				return err
			}
			for _, w := range waiting {
				of[refs[i]] = true
				tasks = append(tasks, store.FailedTask{Ref: w.Ref, CompletedAt: time.Now(), Document: []byte("{}")})
			}
		}
		_, err := s.FailTasks(ctx, tasks)
		if err == nil && len(of) > 1 {
			failed.Add(1)
		}
		return err
	}
	// extendAll is the heartbeat of an owner who drains several.
	extendAll := func(ctx context.Context, s store.Store, leases map[int]store.Lease) error {
		for i, id := range ids {
			if _, held := leases[i]; held {
				continue
			}
			lease, next, err := s.Claim(ctx, store.Claim{IntegrationID: id, Owner: "beat", TTL: time.Minute})
			if err != nil && !errors.Is(err, store.ErrIdle) {
				return err
			}
			if next.Task != nil { // else it was given back
				leases[i] = lease
			}
		}
		var held []store.Held
		for _, i := range rand.Perm(integrations) {
			if l, ok := leases[i]; ok {
				held = append(held, store.Held{Ref: l.Ref, Epoch: l.Epoch})
			}
		}
		states, err := s.Extend(ctx, "beat", held, time.Minute)
		if len(states) > 1 {
			extended.Add(1)
		}
		for i, l := range leases { // and gives one back
			if err == nil {
				_, err = s.Advance(ctx, l, store.Step{Then: store.Leave})
				delete(leases, i)
			}
			break
		}
		return err
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	enough := func() bool { return time.Since(began) > 3*time.Second && failed.Load() >= 5 && extended.Load() >= 5 }
	var group sync.WaitGroup
	for n := range 16 {
		group.Go(func() {
			s, owner, leases := stores[n%2], fmt.Sprint("owner-", n), map[int]store.Lease{}
			for ctx.Err() == nil && !enough() {
				id := ids[rand.IntN(len(ids))]
				var err error
				switch n / 2 % 8 {
				case 0, 1:
					_, err = submit(ctx, s, env, id, 1+rand.IntN(5))
				case 2, 3:
					err = drain(ctx, s, id, owner)
				case 4:
					_, err = s.SetEnabled(ctx, id, rand.IntN(4) > 0)
				case 5, 6:
					err = failMany(ctx, s)
				case 7:
					err = extendAll(ctx, s, leases)
				}
				switch {
				case err == nil, ctx.Err() != nil, errors.Is(err, store.ErrIdle), errors.Is(err, store.ErrDisabled), errors.Is(err, store.ErrTaskEnded):
				case skill.KindOf(err) == skill.Unavailable:
					t.Errorf("somebody waited for too long: %v", err)
				default:
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := number(t, conn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"); n > 0 {
		t.Errorf("%d deadlocks", n)
	}
	if n := number(t, conn, "SELECT count(*) FROM results"); n < 10 || failed.Load() < 5 || extended.Load() < 5 {
		t.Errorf("only %d tasks ended, %d and %d calls locked several: this shows nothing", n, failed.Load(), extended.Load())
	}
	wrong := number(t, conn, `SELECT count(*) FROM drains d WHERE
		(d.pending, d.waiting) <> (SELECT count(*), coalesce(sum(items), 0) FROM tasks t WHERE t.integration = d.integration)`)
	orphans := number(t, conn, "SELECT count(*) FROM task_items i WHERE NOT EXISTS (SELECT 1 FROM tasks t WHERE t.seq = i.task)")
	if wrong+orphans > 0 {
		t.Errorf("%d wrong counters, %d blocks without a task", wrong, orphans)
	}
}

// One drain's row is stuck, since its transaction died on the way or takes its time. The leases of the others are prolonged
// all the same, in the time that the engine gives a heartbeat; the stuck one is not told as lost. One that is merely in demand
// is waited for.
func TestOneStuckDrainDoesNotStopTheHeartbeat(t *testing.T) {
	t.Parallel()
	for _, pooler := range []bool{false, true} {
		t.Run(fmt.Sprint("pooler ", pooler), func(t *testing.T) {
			t.Parallel()
			address := pgtest.Database(t)
			s := closing(t, postgres.Options{URL: address, Serve: true, Pooler: pooler, Conns: 4})
			var held []store.Held
			for range 4 {
				_, _, lease := leased(t, s)
				held = append(held, lease)
			}
			stuck, taken := held[1].Ref, held[3].Ref
			held[3].Epoch-- // somebody has taken it over
			conn := raw(t, address)
			extend := func(ttl time.Duration, held ...store.Held) map[int64]store.Extended {
				t.Helper()
				began := time.Now()
				beat, cancel := context.WithTimeout(t.Context(), 2*time.Second) // engine.Settings.Heartbeat
				defer cancel()
				states, err := s.Extend(beat, "me", held, ttl)
				if took := time.Since(began); err != nil || took > 1700*time.Millisecond {
					t.Errorf("extended %v, %v, in %v", states, err, took)
				}
				return states
			}
			prolonged := func() int {
				t.Helper()
				return number(t, conn, "SELECT count(*) FROM drains WHERE until > clock() + interval '2 minutes'")
			}
			stick := func() *pgx.Conn {
				t.Helper()
				other := raw(t, address)
				exec(t, other, "BEGIN")
				exec(t, other, "SELECT 1 FROM drains WHERE integration = $1 FOR UPDATE", stuck)
				return other
			}
			other := stick()
			states := extend(time.Hour, held...)
			if _, ours := states[taken]; ours || len(states) != 3 {
				t.Errorf("extended %v", states)
			}
			for ref, now := range states {
				if now.Locked != (ref == stuck) || !now.Enabled {
					t.Errorf("%d: %+v", ref, now)
				}
			}
			if n := prolonged(); n != 2 {
				t.Errorf("%d leases were prolonged, want the 2 others", n)
			}
			if states := extend(0, held[1]); !states[stuck].Locked {
				t.Errorf("ended %v", states)
			}
			exec(t, other, "ROLLBACK")

			other = stick()
			freed := make(chan error, 1)
			time.AfterFunc(100*time.Millisecond, func() {
				_, err := other.Exec(t.Context(), "COMMIT")
				freed <- err
			})
			if states := extend(time.Hour, held...); len(states) != 3 || states[stuck].Locked {
				t.Errorf("extended %v", states)
			}
			if err := <-freed; err != nil {
				t.Error(err)
			}
			if n := prolonged(); n != 3 {
				t.Errorf("%d leases were prolonged, want 3", n)
			}
		})
	}
}

// Whoever is waited for keeps all connections busy but one: the leases of a server that is overrun do not run out.
func TestHeartbeatsDoNotStandInLine(t *testing.T) {
	t.Parallel()
	const conns = 5
	address := pgtest.Database(t)
	s := closing(t, postgres.Options{URL: address, Serve: true, Conns: conns})
	env, id, lease := leased(t, s)
	locked, conn := raw(t, address), raw(t, address)
	exec(t, locked, "BEGIN")
	exec(t, locked, "LOCK TABLE tasks")
	overrun, end := context.WithCancel(t.Context())
	var line sync.WaitGroup
	for range 4 * conns {
		line.Go(func() {
			for overrun.Err() == nil {
				submit(overrun, s, env, id, 1) //nolint:errcheck // none of them can be had
			}
		})
	}
	defer line.Wait()
	defer end()
	waits := func() bool {
		return number(t, conn, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`) == conns-1
	}
	for since := time.Now(); !waits(); {
		if time.Since(since) > 10*time.Second {
			t.Fatal("the connections are not busy: this shows nothing")
		}
	}
	beat, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	states, err := s.Extend(beat, "me", []store.Held{lease}, time.Hour)
	if err != nil || len(states) != 1 || states[lease.Ref].Locked {
		t.Errorf("extended %v, %v, while all other connections were busy: %v", states, err, waits())
	}
}

// A first load is copied. Where a row is there against expectation, the load becomes an upsert and nothing fails.
func TestCopyMeetsAnExistingRow(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := closing(t, postgres.Options{URL: address, Serve: true, Conns: 4})
	env, id := integration(t, s)
	if _, err := submit(t.Context(), s, env, id, 1000); err != nil {
		t.Fatal(err)
	}
	conn := raw(t, address)
	exec(t, conn, "INSERT INTO skills (integration, origin_id, id, name, status) SELECT seq, 'skill-7', 'kept', 'Old', 1 FROM integrations")
	if err := drain(t.Context(), s, id, "me"); err != nil {
		t.Fatal(err)
	}
	if n := number(t, conn, "SELECT count(*) FROM skills"); n != 1000 {
		t.Errorf("%d rows", n)
	}
	if n := number(t, conn, "SELECT count(*) FROM skills WHERE id = 'kept' AND name = 'Skill 7'"); n != 1 {
		t.Error("the row that was there lost its id, or was not written")
	}
}

// Plans are made on small tables and kept. What a task and a poll read must not grow with the tables all the same, before
// anybody has looked how large they are.
func TestPlansOutliveSmallTables(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := open(t, postgres.Options{URL: address, Serve: true, Conns: 3})
	env, id := integration(t, s)
	_, other := integration(t, s)
	const times, rows, polls = 10, 20_000, 3
	round := func() {
		t.Helper()
		for range times {
			task, err := submit(t.Context(), s, env, id, 5)
			if err != nil {
				t.Fatal(err)
			}
			if err := drain(t.Context(), s, id, "me"); err != nil {
				t.Fatal(err)
			}
			for range polls {
				if _, err := s.Task(t.Context(), env, id, task.ID); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	round()
	conn := raw(t, address)
	for _, fill := range []string{
		`INSERT INTO skills (integration, origin_id, id, name, status) SELECT i.seq, 'filled-' || n, n, 'x', 1 FROM integrations i, generate_series(1, $1) n WHERE i.id = $2`,
		`INSERT INTO tasks (id, integration, key_id, items, created_at, deadline)
		 SELECT 'task_' || n, i.seq, 'k', 1, now(), now() + interval '1 d' FROM integrations i, generate_series(1, $1) n WHERE i.id = $3`,
		`INSERT INTO results SELECT (SELECT left(max(id), -6) FROM results) || n, integration, key_id, status, items, written, unchanged, failed, rewrite,
		 created_at, completed_at, document, blocks FROM (SELECT * FROM results LIMIT 1) r, generate_series(100000, 99999 + $1) n`,
	} {
		_, err := conn.Exec(t.Context(), strings.NewReplacer("$1", fmt.Sprint(rows), "$2", "'"+id+"'", "$3", "'"+other+"'").Replace(fill))
		if err != nil {
			t.Fatalf("%s: %v", fill, err)
		}
	}
	exec(t, conn, "SELECT pg_stat_reset()")
	round()
	// Plans that know what is in the tables are made too, and none of them may rest on whose rows are in the majority.
	exec(t, conn, "ANALYZE")
	round()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const read = `SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_user_tables WHERE relname ~ '^(skills|tasks|results.*)$'`
	for limit := time.Now().Add(time.Minute); number(t, conn, "SELECT coalesce(sum(n_tup_ins), 0) FROM pg_stat_user_tables WHERE relname ~ '^results'") < 2*times; {
		if time.Now().After(limit) {
			t.Fatal("the database does not tell what was read")
		}
	}
	if n := number(t, conn, read); n > 2*times*100 {
		t.Errorf("%d rows were read for %d tasks", n, 2*times)
	}
}

// A list of tasks since a time ends there, whatever lies before, and however small the tables were when it was planned.
func TestTasksSinceATimeReadNoOthers(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := open(t, postgres.Options{URL: address, Serve: true, Conns: 3})
	env, id := integration(t, s)
	_, other := integration(t, s)
	conn := raw(t, address)
	// What is counted is what lists read.
	exec(t, conn, `DO $$ DECLARE day regclass; BEGIN
		FOR day IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'results'::regclass LOOP EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', day); END LOOP;
	END $$`)
	// What a connection has read is told once it has gone, at the latest.
	gone := func(s *postgres.Store, name string) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		const connections = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1"
		for limit := time.Now().Add(time.Minute); number(t, conn, connections, name) > 0; {
			if time.Now().After(limit) {
				t.Fatal("connections stay")
			}
		}
	}
	last, err := submit(t.Context(), s, env, id, 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(t.Context(), s, id, "me"); err != nil {
		t.Fatal(err)
	}
	fill := func(of, mark string) { // beside the last one, in its day
		t.Helper()
		exec(t, conn, `INSERT INTO results SELECT left(r.id, -6) || $2 || n, i.seq, key_id, 1 + n % 2, items, written, unchanged, 1, rewrite, r.created_at,
			completed_at, '' FROM results r, integrations i, generate_series(10000, 29999) n
			WHERE r.id = $3 AND i.id = $1`, of, mark, last.ID)
	}
	// While all is of one integration, their key looks no worse than the index that was made for lists.
	const before, after = "!", "~"
	fill(id, before)
	exec(t, conn, "ANALYZE")
	reader := open(t, postgres.Options{URL: with(t, address, "application_name", "reader"), Conns: 3})
	states := []store.TaskState{store.AnyTask, store.Done, store.WithFailures, store.AllFailed}
	list := func() {
		t.Helper()
		for _, state := range states {
			for _, oldest := range []bool{false, true} {
				f := store.TaskFilter{EnvironmentID: env, IntegrationID: id, State: state, From: last.ID, OldestFirst: oldest, Limit: 51}
				got, err := reader.ListTasks(t.Context(), f)
				if want := state == store.AnyTask || state == store.Done; err != nil || (len(got) == 1) != want {
					t.Errorf("state %d, oldest first %v: %d tasks, %v", state, oldest, len(got), err)
				}
			}
		}
	}
	list()
	fill(other, after)
	gone(s, "crosswalk")
	exec(t, conn, "SELECT pg_stat_force_next_flush()")
	exec(t, conn, "SELECT pg_stat_reset()")
	list()
	gone(reader, "reader")
	n := number(t, conn, "SELECT sum(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit) FROM pg_statio_user_tables WHERE relname ~ '^results'")
	const pages = 50 // days ahead are looked into, too
	if lists := 2 * 2 * len(states); n < lists || n > lists*pages {
		t.Errorf("%d pages were read for %d lists", n, lists)
	}
}

// withEnded is a database with an integration whose one task has ended.
func withEnded(t *testing.T) (s *postgres.Store, address, env, id string, task store.Accepted) {
	t.Helper()
	address = pgtest.Database(t)
	s = closing(t, postgres.Options{URL: address, Serve: true, Conns: 4})
	env, id = integration(t, s)
	task, err := submit(t.Context(), s, env, id, 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(t.Context(), s, id, "me"); err != nil {
		t.Fatal(err)
	}
	return s, address, env, id, task
}

// A task may end while its day is dropped, if it took longer than tasks are kept: it stays, and gets its tombstone later.
func TestATaskThatEndsWhileItsDayIsDropped(t *testing.T) {
	t.Parallel()
	s, address, env, id, task := withEnded(t)
	conn, other := raw(t, address), raw(t, address)
	day := time.Now().UTC().AddDate(0, 0, -40).Truncate(24 * time.Hour)
	name := "results_" + day.Format("20060102")
	exec(t, conn, fmt.Sprintf("CREATE TABLE %s PARTITION OF results FOR VALUES FROM ('%s') TO ('%s')",
		name, skill.FirstTaskID(day), skill.FirstTaskID(day.AddDate(0, 0, 1))))
	ended := func(on *pgx.Conn, at time.Time, ago string) (made string) {
		made = skill.NewTaskID(at)
		exec(t, on, `INSERT INTO results SELECT $1, integration, key_id, status, items, written, unchanged, failed, rewrite, created_at - interval '40 d',
			clock() - $3::interval, document, blocks FROM results WHERE id = $2`, made, task.ID, ago)
		return made
	}
	old := []string{ended(conn, day.Add(time.Hour), "40 d"), ended(conn, day.Add(3*time.Hour), "40 d")}
	exec(t, other, "BEGIN")
	late := ended(other, day.Add(2*time.Hour), "0 d")
	const keep = 30 * 24 * time.Hour
	ctx, stop := context.WithCancel(t.Context())
	expired := make(chan error, 1)
	go func() { // again and again, as a server does
		for ctx.Err() == nil {
			if _, err := s.Expire(t.Context(), keep, 10); err != nil {
				expired <- err
				return
			}
		}
		expired <- nil
	}()
	waits := func() bool {
		return number(t, conn, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IN ('results'::regclass, to_regclass($1))", name) > 0
	}
	for until := time.Now().Add(30 * time.Second); !waits(); {
		if time.Now().After(until) {
			t.Fatal("nobody is about to drop the day")
		}
	}
	exec(t, other, "COMMIT")
	stop()
	if err := <-expired; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Expire(t.Context(), keep, 10); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Task(t.Context(), env, id, late); err != nil {
		t.Errorf("a task that has just ended: %v", err)
	}
	if _, err := s.Expire(t.Context(), time.Millisecond, 10); err != nil {
		t.Fatal(err)
	}
	if n := number(t, conn, "SELECT count(*) FROM pg_class WHERE relname = $1", name); n != 0 {
		t.Error("the day is still there")
	}
	for _, task := range append(old, late) {
		if _, err := s.Task(t.Context(), env, id, task); !isExpired(err) {
			t.Errorf("once all are old: %v", err)
		}
	}
}

func isExpired(err error) bool {
	_, ok := errors.AsType[*store.ExpiredError](err)
	return ok
}

// Ended tasks lie in the partition of their day. A day that has come of age is dropped whole, and its tasks leave tombstones.
func TestDaysAreDroppedWhole(t *testing.T) {
	t.Parallel()
	s, address, env, id, task := withEnded(t)
	conn := raw(t, address)
	day := "results_" + time.Now().UTC().Format("20060102")
	if n := number(t, conn, "SELECT count(*) FROM "+day); n != 1 {
		t.Fatalf("%d tasks in %s", n, day)
	}
	// A day of long ago, with enough tasks for several calls, and one stray.
	old := time.Now().UTC().AddDate(0, 0, -40)
	lo, hi := skill.FirstTaskID(old.Truncate(24*time.Hour)), skill.FirstTaskID(old.Truncate(24*time.Hour).AddDate(0, 0, 1))
	name := "results_" + old.Format("20060102")
	exec(t, conn, fmt.Sprintf("CREATE TABLE %s PARTITION OF results FOR VALUES FROM ('%s') TO ('%s')", name, lo, hi))
	const tasks = 25
	for i := range tasks + 1 {
		made := skill.NewTaskID(old)
		if i == tasks {
			made = skill.NewTaskID(old.AddDate(-1, 0, 0))
		}
		exec(t, conn, `INSERT INTO results SELECT $1, integration, key_id, status, items, written, unchanged, failed, rewrite, created_at - interval '40 d',
			completed_at - interval '40 d', document, blocks FROM results WHERE id = $2`, made, task.ID)
	}
	const keep = 30 * 24 * time.Hour
	// A dump, say, reads the table: the day stays for now, its tombstones are written already, and polls go on.
	other := raw(t, address)
	exec(t, other, "BEGIN; SELECT count(*) FROM results")
	total := 0
	for calls := 0; ; calls++ {
		n, err := s.Expire(t.Context(), keep, 10)
		if err != nil {
			t.Fatal(err)
		}
		if total += n; n == 0 {
			break
		}
		if n > 10 || calls > 10 {
			t.Fatalf("call %d: %d tasks", calls, n)
		}
	}
	if total != tasks+1 {
		t.Errorf("%d expired, want %d", total, tasks+1)
	}
	if n := number(t, conn, "SELECT count(*) FROM pg_class WHERE relname = $1", name); n != 1 {
		t.Error("dropped under a reader")
	}
	if _, err := s.Task(t.Context(), env, id, task.ID); err != nil {
		t.Errorf("a young task: %v", err)
	}
	exec(t, other, "COMMIT")
	if n, err := s.Expire(t.Context(), keep, 10); n != 0 || err != nil {
		t.Errorf("once more: %d, %v", n, err)
	}
	if n := number(t, conn, "SELECT count(*) FROM pg_class WHERE relname = $1", name); n != 0 {
		t.Error("the day is still there")
	}
	var buried string
	if err := conn.QueryRow(t.Context(), "SELECT id FROM expired ORDER BY id DESC LIMIT 1").Scan(&buried); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Task(t.Context(), env, id, buried); !isExpired(err) {
		t.Errorf("a buried task: %v", err)
	}
	// Nobody made partitions for a while: what has fallen into the default one is moved when they are.
	exec(t, conn, fmt.Sprintf("DROP TABLE %s", day))
	stray, err := submit(t.Context(), s, env, id, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := drain(t.Context(), s, id, "me"); err != nil {
		t.Fatal(err)
	}
	if n := number(t, conn, "SELECT count(*) FROM results_default"); n != 1 {
		t.Fatalf("%d in the default partition", n)
	}
	if _, err := s.Expire(t.Context(), keep, 10); err != nil {
		t.Fatal(err)
	}
	if n := number(t, conn, "SELECT count(*) FROM "+day); n != 1 {
		t.Errorf("%d in %s", n, day)
	}
	if _, err := s.Task(t.Context(), env, id, stray.ID); err != nil {
		t.Errorf("the moved task: %v", err)
	}
}

// A process that starts to work in a moment in which the database is away works all the same once it is back.
func TestTheQueueStartsLate(t *testing.T) {
	t.Parallel()
	p := pgtest.NewProxy(t, pgtest.Database(t))
	s := closing(t, postgres.Options{URL: p.URL(), Serve: true, Conns: 4})
	env, id := integration(t, s)
	p.Refuse()
	p.Cut()
	ctx, stop := context.WithCancel(t.Context())
	woken, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- s.Work(ctx, store.Jobs{Wake: func(id string) { woken <- id }}) }()
	for s.Ping(ctx) == nil { // a connection may not know yet that it was cut
	}
	select {
	case err := <-ended:
		t.Fatalf("it gave up: %v", err)
	case <-time.After(1500 * time.Millisecond): // longer than it takes to try again
	}
	p.Restore()
	var err error
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		if _, err = s.Submit(t.Context(), store.Submission{
			EnvironmentID: env, IntegrationID: id, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Timeout: time.Hour, Elsewhere: true,
			Items: []skill.Item{{OriginID: "1", Name: "Welding", Status: skill.Active}},
		}); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-woken:
		if got != id {
			t.Errorf("woken: %s, want %s", got, id)
		}
	case <-time.After(20 * time.Second):
		t.Error("nothing is woken")
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Leases go by the database's clock: a store has no say in what time it is.
func TestTheDatabaseTellsTheTime(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := closing(t, postgres.Options{URL: address, Serve: true, Conns: 4})
	conn := raw(t, address)
	exec(t, conn, "CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql STABLE AS $$ SELECT '2031-01-01 00:00:00Z'::timestamptz $$")
	env, id := integration(t, s)
	task, err := submit(t.Context(), s, env, id, 1)
	if err != nil || task.CreatedAt.Year() != 2031 {
		t.Errorf("accepted %+v, %v", task, err)
	}
	_, next, err := s.Claim(t.Context(), store.Claim{IntegrationID: id, Owner: "me", TTL: time.Minute})
	if err != nil || next.Task.TimeLeft != time.Hour || next.Now.Year() != 2031 {
		t.Errorf("claimed %+v, %v", next, err)
	}
}

// The index is not asked for words of which it would have to gather more than a search may cost. Those that it has not met often
// are found by it, whatever the planner knows.
func TestFrequentWordsAreNotGathered(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := closing(t, postgres.Options{URL: address, Serve: true, Conns: 4})
	env, _ := integration(t, s)
	conn := raw(t, address)
	ref := number(t, conn, "SELECT seq FROM integrations")
	const skills, last = 3000, 2999
	for i := range skills {
		name := fmt.Sprintf("often w%d", i%500) // the planner trusts what it knows where it knows of a hundred words
		if i == last {
			name = "often seldom"
		}
		origin := fmt.Sprintf("s%04d", i)
		exec(t, conn, "INSERT INTO skills (integration, origin_id, id, name, status) VALUES ($1, $2, $2, $3, 1)", ref, origin, name)
		exec(t, conn, "INSERT INTO skill_words (integration, origin_id, words) VALUES ($1, $2, $3)", ref, origin, store.IndexedWords(name, env))
	}
	find := func(text string, bounds store.SearchBounds) store.SkillList {
		t.Helper()
		bounds.First, bounds.Looked, bounds.Indexed = 1, 2, skills
		list, err := s.ListSkills(t.Context(), store.SkillFilter{EnvironmentID: env, Search: store.NewSearch(text), Limit: skills, Bounds: bounds})
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	check := func(when string) {
		t.Helper()
		if list := find("seldom", store.SearchBounds{Gathered: 100}); len(list.Skills) != 1 || list.More {
			t.Errorf("%s: of a rare word there are %d, more %v", when, len(list.Skills), list.More)
		}
		if list := find("often", store.SearchBounds{Gathered: 2 * skills}); len(list.Skills) != skills || list.More {
			t.Errorf("%s: of a word that may be gathered there are %d, more %v", when, len(list.Skills), list.More)
		}
	}
	check("at first")
	exec(t, conn, "ANALYZE skill_words")
	check("analyzed")
	if list := find("often", store.SearchBounds{Gathered: 100}); len(list.Skills) != 2 || list.Looked != 2 || !list.More || list.Some {
		t.Errorf("of a word that may not, there are %d after %d, more %v", len(list.Skills), list.Looked, list.More)
	}
	// Where none is met, there are some of them.
	exec(t, conn, "UPDATE skills SET name = 'never' WHERE origin_id <= 's0010'")
	list := find("often", store.SearchBounds{Gathered: 100})
	if len(list.Skills) == 0 || list.Looked != 2 || !list.More || !list.Some {
		t.Errorf("where none is met, there are %d after %d, more %v, some %v", len(list.Skills), list.Looked, list.More, list.Some)
	}
}

// The address may name a schema: everything lies there, and another one is free for another installation.
func TestSchema(t *testing.T) {
	t.Parallel()
	address := pgtest.Empty(t)
	conn := raw(t, address)
	for _, schema := range []string{"one", "two"} {
		exec(t, conn, "CREATE SCHEMA "+schema)
		s := closing(t, postgres.Options{URL: with(t, address, "search_path", schema), Serve: true, Conns: 4})
		env, id := integration(t, s)
		if _, err := submit(t.Context(), s, env, id, 1); err != nil {
			t.Fatal(err)
		}
		if err := drain(t.Context(), s, id, "me"); err != nil {
			t.Fatal(err)
		}
		if n := number(t, conn, fmt.Sprintf("SELECT count(*) FROM %s.results", schema)); n != 1 {
			t.Errorf("%d results in %s", n, schema)
		}
	}
}

func TestExamine(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	s := closing(t, postgres.Options{URL: address, Serve: true, Conns: 3})
	conn := raw(t, address)
	find := func(check string) store.Finding {
		t.Helper()
		found, err := s.Examine(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if f.Found == "" || (f.Do != "") != (f.Grade != store.Fine) {
				t.Errorf("finding = %+v", f)
			}
			if f.Check == check {
				return f
			}
		}
		t.Fatalf("nothing about %s in %+v", check, found)
		return store.Finding{}
	}
	if f := find("partitions"); f.Grade != store.Fine {
		t.Errorf("with all of them: %+v", f)
	}
	exec(t, conn, "DROP TABLE results_"+time.Now().UTC().AddDate(0, 0, 2).Format("20060102"))
	if f := find("partitions"); f.Grade != store.Warning || !strings.Contains(f.Found, "1 days ahead only") {
		t.Errorf("with a day missing: %+v", f)
	}
	exec(t, conn, "ALTER TABLE sandbox_scripts SET (autovacuum_enabled = off)")
	exec(t, conn, "INSERT INTO sandbox_scripts SELECT 1, n::text, 1 FROM generate_series(1, 200001) n")
	exec(t, conn, "DELETE FROM sandbox_scripts")
	// What has died is told a second or so after the fact; on the test's server autovacuum itself may be off.
	for limit := time.Now().Add(time.Minute); !strings.Contains(find("vacuum").Found, "sandbox_scripts has 200001 dead rows"); {
		if f := find("vacuum"); f.Found == "autovacuum is off" {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("dead rows are not found: %+v", find("vacuum"))
		}
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	address := pgtest.Database(t)
	have, known, err := postgres.Versions(t.Context(), postgres.Options{URL: address})
	if err != nil || have != known || known < 1 {
		t.Errorf("%d, %d, %v", have, known, err)
	}
	conn := raw(t, address)
	exec(t, conn, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
	if have, known, err := postgres.Versions(t.Context(), postgres.Options{URL: address, Pooler: true}); err != nil || have != 9999 || known >= have {
		t.Errorf("of newer tables: %d, %d, %v", have, known, err)
	}
	exec(t, conn, "DROP TABLE goose_db_version")
	if have, _, err := postgres.Versions(t.Context(), postgres.Options{URL: address}); err != nil || have != 0 {
		t.Errorf("without any: %d, %v", have, err)
	}
	if n := number(t, conn, "SELECT count(*) FROM pg_tables WHERE tablename = 'goose_db_version'"); n != 0 {
		t.Error("looking made the table")
	}
}

// A database that does not hang up holds up nobody who stops.
func TestCloseIsBounded(t *testing.T) {
	t.Parallel()
	p := pgtest.NewProxy(t, pgtest.Database(t))
	s, err := postgres.Open(t.Context(), postgres.Options{URL: p.URL(), Conns: 3})
	if err != nil {
		t.Fatal(err)
	}
	p.Hold(pgtest.Requests, pgtest.Answers)
	asked, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Ping(asked); err == nil {
		t.Fatal("an answer came through")
	}
	began := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 6*time.Second {
		t.Errorf("to close took %v", took)
	}
}

func TestErase(t *testing.T) {
	t.Parallel()
	storetest.RunErase(t, func(t *testing.T, now func() time.Time) (first, second store.Store, rows storetest.Rows) {
		url := pgtest.Database(t)
		s := pgtest.Open(t, url, now)
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		other := closing(t, postgres.Options{URL: url, Now: now})
		return s, other, func(t *testing.T) map[string]int {
			t.Helper()
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(t.Context()) //nolint:errcheck // the test is over
			// Parents of partitions count for them. Tombstones stay until their month is dropped, and tell nothing.
			names, err := conn.Query(t.Context(), `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')
				AND NOT relispartition AND relname !~ '^(river|goose)' AND relname <> 'expired'`)
			if err != nil {
				t.Fatal(err)
			}
			list, err := pgx.CollectRows(names, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int{}
			for _, name := range list {
				var n int
				if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM "+pgx.Identifier{name}.Sanitize()).Scan(&n); err != nil {
					t.Fatal(err)
				}
				counts[name] = n
			}
			return counts
		}
	})
}
