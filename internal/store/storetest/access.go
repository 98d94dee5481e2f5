package storetest

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func keyLimits(t *testing.T, f *fixture) {
	ctx := t.Context()
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	key, err := f.CreateKey(ctx, store.Key{
		EnvironmentID: f.env, Name: "nightly", Prefix: "cw_live_abc", Scopes: store.WriteSkills | store.ReadSkills,
		Addresses: networks, CreatedBy: "ada", Lives: time.Hour,
	}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	want := store.Key{
		ID: key.ID, EnvironmentID: f.env, Name: "nightly", Prefix: "cw_live_abc", CreatedAt: f.clock.Now(), ExpiresAt: f.clock.Now().Add(time.Hour),
		Scopes: store.WriteSkills | store.ReadSkills, Addresses: networks, CreatedBy: "ada",
	}
	check := func(what string, want store.Key) {
		t.Helper()
		for by, find := range map[string]func() (store.Key, error){
			"hash": func() (store.Key, error) { return f.KeyByHash(ctx, [32]byte{1}) },
			"id":   func() (store.Key, error) { return f.Key(ctx, f.env, key.ID) },
		} {
			if got, err := find(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, by %s: %+v, %v; want %+v", what, by, got, err, want)
			}
		}
	}
	if !reflect.DeepEqual(key, want) {
		t.Errorf("created %+v, want %+v", key, want)
	}
	check("a new key", want)

	plain, err := f.CreateKey(ctx, store.Key{EnvironmentID: f.env, Name: "plain", Prefix: "x"}, [32]byte{2})
	if err != nil || plain.Scopes != store.AllScopes || !plain.ExpiresAt.IsZero() || plain.Addresses != nil {
		t.Errorf("a key without limits: %+v, %v", plain, err)
	}

	f.clock.advance(10 * time.Minute)
	if err := f.NoteKeysUsed(ctx, []store.KeyUse{
		{KeyID: key.ID, Ago: time.Minute, From: netip.MustParseAddr("192.0.2.7")}, {KeyID: plain.ID}, {KeyID: "none"},
	}); err != nil {
		t.Fatal(err)
	}
	want.LastUsedAt, want.LastUsedFrom = f.clock.Now().Add(-time.Minute), "192.0.2.7"
	check("a used key", want)
	// Another process comes later with what was earlier.
	if err := f.NoteKeysUsed(ctx, []store.KeyUse{{KeyID: key.ID, Ago: 5 * time.Minute, From: netip.MustParseAddr("192.0.2.7")}}); err != nil {
		t.Fatal(err)
	}
	check("a key used before", want)

	// It ends sooner, never later.
	for _, c := range []struct{ in, want time.Duration }{{2 * time.Hour, 50 * time.Minute}, {20 * time.Minute, 20 * time.Minute}, {time.Hour, 20 * time.Minute}} {
		want.ExpiresAt = f.clock.Now().Add(c.want)
		if got, err := f.ExpireKey(ctx, f.env, key.ID, c.in); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("ExpireKey(%s) = %+v, %v; want %+v", c.in, got, err, want)
		}
	}
	f.clock.advance(20 * time.Minute)
	want.Expired = true
	check("a key whose time is up", want)

	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Key(ctx, other.ID, key.ID)
	wantError(t, err, store.ErrNotFound)
	_, err = f.ExpireKey(ctx, other.ID, key.ID, 0)
	wantError(t, err, store.ErrNotFound)
}

func environmentsChanged(t *testing.T, f *fixture) {
	ctx := t.Context()
	env, err := f.CreateEnvironment(ctx, "staging")
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.RenameEnvironment(ctx, env.ID, "trial")
	env.Name = "trial"
	if err != nil || got != env {
		t.Errorf("renamed: %+v, %v", got, err)
	}
	_, err = f.RenameEnvironment(ctx, env.ID, store.DefaultEnvironment)
	wantError(t, err, store.ErrExists)
	_, err = f.RenameEnvironment(ctx, "none", "x")
	wantError(t, err, store.ErrNotFound)

	key, err := f.CreateKey(ctx, store.Key{EnvironmentID: env.ID, Name: "x", Prefix: "x"}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, f.DeleteEnvironment(ctx, env.ID), store.ErrInUse)
	if _, err := f.RevokeKey(ctx, key.ID); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteEnvironment(ctx, env.ID); err != nil {
		t.Fatal(err)
	}
	_, err = f.Environment(ctx, env.ID)
	wantError(t, err, store.ErrNotFound)
	wantError(t, f.DeleteEnvironment(ctx, env.ID), store.ErrNotFound)
	in := f.integration(t)
	wantError(t, f.DeleteEnvironment(ctx, f.env), store.ErrInUse)
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, f.DeleteEnvironment(ctx, f.env), store.ErrInUse) // its tasks can still be read
}

func firstUser(t *testing.T, f *fixture) {
	ctx := t.Context()
	link, other := [32]byte{1}, [32]byte{2}
	for _, l := range [][32]byte{link, other} {
		if err := f.KeepSetupLink(ctx, l, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if good, err := f.SetupLink(ctx, link); err != nil || !good {
		t.Errorf("the link is good: %v, %v", good, err)
	}
	_, err := f.CreateFirstUser(ctx, [32]byte{3}, store.User{Name: "eve", Role: store.Owner, Password: "x"})
	wantError(t, err, store.ErrNotFound)
	// Of those that use it at once, one succeeds.
	var group sync.WaitGroup
	var made atomic.Int32
	for n := range 8 {
		group.Go(func() {
			_, err := f.CreateFirstUser(ctx, link, store.User{Name: fmt.Sprint("ada", n), Role: store.Owner, Password: "x"})
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, store.ErrNotFound):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 {
		t.Errorf("%d users were made with one link", made.Load())
	}
	if good, err := f.SetupLink(ctx, other); err != nil || good {
		t.Errorf("another link outlives the first user: %v, %v", good, err)
	}
	wantError(t, f.KeepSetupLink(ctx, link, time.Hour), store.ErrExists)
}

func users(t *testing.T, f *fixture) {
	ctx := t.Context()
	if err := f.KeepSetupLink(ctx, [32]byte{1}, time.Minute); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Minute)
	_, err := f.CreateFirstUser(ctx, [32]byte{1}, store.User{Name: "late", Role: store.Owner})
	wantError(t, err, store.ErrNotFound)

	ada, err := f.CreateUser(ctx, store.User{Name: "ada", Role: store.Owner, Password: "hash"})
	if err != nil {
		t.Fatal(err)
	}
	want := store.User{ID: ada.ID, Name: "ada", Role: store.Owner, Password: "hash", Generation: 1, CreatedAt: f.clock.Now()}
	if ada != want || !skill.IsID(ada.ID) {
		t.Errorf("created %+v, want %+v", ada, want)
	}
	_, err = f.CreateUser(ctx, store.User{Name: "ada", Role: store.Viewer})
	wantError(t, err, store.ErrExists)
	f.clock.advance(time.Second)
	if err := f.NoteSignIn(ctx, ada.ID); err != nil {
		t.Fatal(err)
	}
	want.SignedInAt = f.clock.Now()
	if got, err := f.UserByName(ctx, "ada"); err != nil || got != want {
		t.Errorf("by name: %+v, %v; want %+v", got, err, want)
	}
	want.Password, want.Generation = "other", 2
	if got, err := f.SetPassword(ctx, ada.ID, "other"); err != nil || got != want {
		t.Errorf("password: %+v, %v; want %+v", got, err, want)
	}
	want.Generation = 3
	if got, err := f.EndSessions(ctx, ada.ID); err != nil || got != want {
		t.Errorf("sessions ended: %+v, %v; want %+v", got, err, want)
	}
	if got, err := f.User(ctx, ada.ID); err != nil || got != want {
		t.Errorf("by id: %+v, %v; want %+v", got, err, want)
	}
	bob, err := f.CreateUser(ctx, store.User{Name: "a-bob", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := f.Users(ctx); err != nil || !slices.Equal(list, []store.User{bob, want}) {
		t.Errorf("users: %+v, %v", list, err)
	}
	if err := f.DeleteUser(ctx, bob.ID); err != nil {
		t.Error(err)
	}
	for _, err := range []error{
		f.DeleteUser(ctx, bob.ID),
		second(f.User(ctx, bob.ID)), second(f.UserByName(ctx, "a-bob")), second(f.SetPassword(ctx, bob.ID, "x")),
		second(f.SetRole(ctx, bob.ID, store.Owner)), second(f.EndSessions(ctx, bob.ID)),
	} {
		wantError(t, err, store.ErrNotFound)
	}
}

func identities(t *testing.T, f *fixture) {
	ctx := t.Context()
	one, two := store.Identity{Issuer: "https://id.example.com", Subject: "1"}, store.Identity{Issuer: "https://id.example.com", Subject: "2"}
	elsewhere := store.Identity{Issuer: "https://other.example.com", Subject: "1"}
	wantError(t, second(f.UserByIdentity(ctx, one)), store.ErrNotFound)
	// The first user is an owner that somebody made on purpose.
	if err := f.KeepSetupLink(ctx, [32]byte{1}, time.Minute); err != nil {
		t.Fatal(err)
	}
	wantError(t, second(f.CreateUserWithIdentity(ctx, store.User{Name: "eve", Role: store.Member}, one)), store.ErrNotFound)
	if good, err := f.SetupLink(ctx, [32]byte{1}); err != nil || !good {
		t.Errorf("the set-up link is gone: %v, %v", good, err)
	}
	ada, err := f.CreateUser(ctx, store.User{Name: "ada", Role: store.Owner, Password: "hash"})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := f.CreateUserWithIdentity(ctx, store.User{Name: "bob", Role: store.Viewer}, two)
	if err != nil {
		t.Fatal(err)
	}
	if want := (store.User{ID: bob.ID, Name: "bob", Role: store.Viewer, Generation: 1, CreatedAt: f.clock.Now()}); bob != want {
		t.Errorf("created %+v, want %+v", bob, want)
	}
	for range 2 { // once more is refused, and changes nothing
		_ = f.LinkIdentity(ctx, ada.ID, one)
	}
	if err := f.LinkIdentity(ctx, ada.ID, elsewhere); err != nil {
		t.Errorf("an identity of another issuer: %v", err)
	}
	for _, err := range []error{
		f.LinkIdentity(ctx, ada.ID, two),                                              // bob's
		f.LinkIdentity(ctx, ada.ID, store.Identity{Issuer: one.Issuer, Subject: "3"}), // ada has one there
		second(f.CreateUserWithIdentity(ctx, store.User{Name: "eve"}, two)),
		second(f.CreateUserWithIdentity(ctx, store.User{Name: "bob"}, store.Identity{Issuer: one.Issuer, Subject: "4"})),
	} {
		wantError(t, err, store.ErrExists)
	}
	wantError(t, f.LinkIdentity(ctx, "nobody", store.Identity{Issuer: one.Issuer, Subject: "4"}), store.ErrNotFound)
	// What was refused left nothing behind.
	wantError(t, second(f.UserByName(ctx, "eve")), store.ErrNotFound)
	wantError(t, second(f.UserByIdentity(ctx, store.Identity{Issuer: one.Issuer, Subject: "3"})), store.ErrNotFound)
	wantError(t, second(f.UserByIdentity(ctx, store.Identity{Issuer: one.Issuer, Subject: "4"})), store.ErrNotFound)
	for identity, want := range map[store.Identity]store.User{one: ada, two: bob, elsewhere: ada} {
		if got, err := f.UserByIdentity(ctx, identity); err != nil || got != want {
			t.Errorf("%v is %+v, %v; want %+v", identity, got, err, want)
		}
	}
	// Whoever was deleted is remembered, until an owner makes them a user again.
	if err := f.DeleteUser(ctx, bob.ID); err != nil {
		t.Fatal(err)
	}
	wantError(t, second(f.UserByIdentity(ctx, two)), store.ErrUserDeleted)
	again, err := f.CreateUser(ctx, store.User{Name: "bob", Role: store.Viewer})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.LinkIdentity(ctx, again.ID, two); err != nil {
		t.Fatal(err)
	}
	if got, err := f.UserByIdentity(ctx, two); err != nil || got != again {
		t.Errorf("linked again: %+v, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }

func lastOwner(t *testing.T, f *fixture) {
	ctx := t.Context()
	ada, err := f.CreateUser(ctx, store.User{Name: "ada", Role: store.Owner})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := f.CreateUser(ctx, store.User{Name: "bob", Role: store.Member})
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, f.DeleteUser(ctx, ada.ID), store.ErrLastOwner)
	_, err = f.SetRole(ctx, ada.ID, store.Member)
	wantError(t, err, store.ErrLastOwner)
	if bob, err = f.SetRole(ctx, bob.ID, store.Owner); err != nil || bob.Role != store.Owner {
		t.Fatalf("SetRole: %+v, %v", bob, err)
	}
	// Both leave at once.
	var group sync.WaitGroup
	for _, id := range []string{ada.ID, bob.ID} {
		group.Go(func() {
			if err := f.DeleteUser(ctx, id); err != nil && !errors.Is(err, store.ErrLastOwner) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if list, err := f.Users(ctx); err != nil || len(list) != 1 || list[0].Role != store.Owner {
		t.Errorf("left: %+v, %v", list, err)
	}
}

func sessions(t *testing.T, f *fixture) {
	ctx := t.Context()
	expect := func(token, want string) {
		t.Helper()
		data, found, err := f.Session(ctx, token)
		if err != nil || found != (want != "") || string(data) != want {
			t.Errorf("session %q: %q, %v, %v; want %q", token, data, found, err, want)
		}
	}
	for _, data := range []string{"one", "two"} {
		if err := f.KeepSession(ctx, "a", []byte(data), time.Hour); err != nil {
			t.Fatal(err)
		}
		expect("a", data)
	}
	if err := f.KeepSession(ctx, "b", []byte("b"), 2*time.Hour); err != nil {
		t.Fatal(err)
	}
	f.clock.advance(time.Hour)
	expect("a", "")
	expect("b", "b")
	for range 2 {
		if err := f.DropSession(ctx, "b"); err != nil {
			t.Fatal(err)
		}
	}
	expect("b", "")
	expect("none", "")
}

func attempts(t *testing.T, f *fixture) {
	ctx := t.Context()
	limits := []int{3, 5}
	try := func(account string, want bool) {
		t.Helper()
		if may, err := f.Attempt(ctx, []string{"account:" + account, "address:192.0.2.1"}, limits, time.Minute); err != nil || may != want {
			t.Errorf("attempt for %s: %v, %v; want %v", account, may, err, want)
		}
	}
	for range 3 {
		try("ada", true)
	}
	try("ada", false)
	try("bob", true)
	if err := f.ForgetAttempts(ctx, "account:ada"); err != nil {
		t.Fatal(err)
	}
	try("ada", true)
	try("bob", false) // the address has had enough
	f.clock.advance(time.Minute)
	try("bob", true)
	// Those that come at once are counted one by one.
	var group sync.WaitGroup
	var let atomic.Int32
	for range 10 {
		group.Go(func() {
			may, err := f.Attempt(ctx, []string{"account:carl"}, []int{4}, time.Minute)
			if err != nil {
				t.Error(err)
			}
			if may {
				let.Add(1)
			}
		})
	}
	group.Wait()
	if let.Load() != 4 {
		t.Errorf("%d of 10 attempts at once, want 4", let.Load())
	}
}

func auditLog(t *testing.T, f *fixture) {
	ctx := t.Context()
	var all []store.AuditEntry
	for n := range 5 {
		e := store.AuditEntry{UserID: "u", UserName: "ada", Address: "192.0.2.1", Action: "key.create", Target: fmt.Sprint(n), Detail: "nightly"}
		if n%2 == 0 {
			e.EnvironmentID = f.env
		}
		got, err := f.Record(ctx, e)
		if err != nil {
			t.Fatal(err)
		}
		e.ID, e.At = got.ID, f.clock.Now()
		if got != e || !skill.IsID(got.ID) {
			t.Errorf("recorded %+v, want %+v", got, e)
		}
		all = append(all, e)
		f.clock.advance(time.Second)
	}
	if err := f.RecordFailed(ctx, all[4].ID, "not allowed"); err != nil {
		t.Fatal(err)
	}
	all[4].Failed = "not allowed"
	for _, c := range []struct {
		filter store.AuditFilter
		want   []store.AuditEntry
	}{
		{store.AuditFilter{Limit: 10}, []store.AuditEntry{all[4], all[3], all[2], all[1], all[0]}},
		{store.AuditFilter{Limit: 2}, []store.AuditEntry{all[4], all[3]}},
		{store.AuditFilter{Limit: 2, Before: all[3].ID}, []store.AuditEntry{all[2], all[1]}},
		{store.AuditFilter{Limit: 2, EnvironmentID: f.env}, []store.AuditEntry{all[4], all[2]}},
		{store.AuditFilter{Limit: 2, EnvironmentID: f.env, Before: all[2].ID}, []store.AuditEntry{all[0]}},
		{store.AuditFilter{Limit: 2, EnvironmentID: "none"}, nil},
	} {
		got, err := f.AuditLog(ctx, c.filter)
		if diff := cmp.Diff(c.want, got, equateEmpty()); err != nil || diff != "" {
			t.Errorf("%+v: %v (-want +got):\n%s", c.filter, err, diff)
		}
	}
}

func equateEmpty() cmp.Option {
	return cmp.FilterValues(func(a, b []store.AuditEntry) bool { return len(a)+len(b) == 0 }, cmp.Comparer(func(_, _ []store.AuditEntry) bool { return true }))
}

func tidied(t *testing.T, f *fixture) {
	ctx := t.Context()
	for n := range 3 {
		if err := errors.Join(
			f.KeepSession(ctx, fmt.Sprint(n), []byte("x"), time.Duration(n+1)*time.Hour),
			second(f.Attempt(ctx, []string{"x"}, []int{100}, time.Hour)),
			second(f.Record(ctx, store.AuditEntry{Action: fmt.Sprint(n)})),
		); err != nil {
			t.Fatal(err)
		}
		f.clock.advance(time.Hour)
	}
	// Over are the sessions that ended at one and three; old are an attempt and an entry.
	f.clock.advance(-time.Minute)
	removed := 0
	for {
		n, err := f.Tidy(ctx, 2*time.Hour, 2*time.Hour, 1)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			break
		}
		removed += n
	}
	if removed != 3 {
		t.Errorf("removed %d, want a session, an attempt and an entry", removed)
	}
	log, err := f.AuditLog(ctx, store.AuditFilter{Limit: 10})
	if err != nil || len(log) != 2 || log[0].Action != "2" || log[1].Action != "1" {
		t.Errorf("left of the log: %+v, %v", log, err)
	}
	if _, found, err := f.Session(ctx, "2"); err != nil || !found {
		t.Errorf("a session that goes on: %v, %v", found, err)
	}
}
