package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func connectSettings(t *testing.T, f *fixture) {
	ctx := t.Context()
	got, err := f.ConnectSettings(ctx, f.env)
	if diff := cmp.Diff(store.ConnectSettings{}, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
		t.Errorf("none were set: %v %s", err, diff)
	}
	for _, want := range []store.ConnectSettings{
		{Origins: []string{"https://a.example", "http://localhost:3000"}, Redirect: "https://a.example/done"},
		{Origins: []string{"https://b.example"}},
		{},
	} {
		if err := f.SetConnectSettings(ctx, f.env, want); err != nil {
			t.Fatal(err)
		}
		got, err := f.ConnectSettings(ctx, f.env)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	wantError(t, f.SetConnectSettings(ctx, "none", store.ConnectSettings{}), store.ErrNotFound)
}

// link keeps one under that hash for an hour.
func (f *fixture) link(t *testing.T, l store.Link, hash byte) store.Link {
	t.Helper()
	l, err := f.CreateLink(t.Context(), l, [32]byte{hash}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (f *fixture) use(in store.Integration, token byte) store.LinkUse {
	return store.LinkUse{
		Token: [32]byte{token}, TokenFor: 24 * time.Hour, Integration: in,
		Entry: store.AuditEntry{EnvironmentID: f.env, UserName: "the customer", Action: "integration.create", Target: in.ID},
	}
}

func links(t *testing.T, f *fixture) {
	ctx := t.Context()
	other, err := f.CreateEnvironment(ctx, "other")
	if err != nil {
		t.Fatal(err)
	}
	who := store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "anna@acme.example", OriginID: "acme-1"}
	made := f.link(t, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Tool: "sandbox", Category: "HRIS", Language: "de", EndUser: who}, 1)
	if !made.CreatedAt.Equal(f.clock.Now()) || !made.ExpiresAt.Equal(f.clock.Now().Add(time.Hour)) {
		t.Errorf("made %+v", made)
	}
	if got, err := f.Link(ctx, [32]byte{1}); err != nil || got != made {
		t.Errorf("Link = %+v, %v, want %+v", got, err, made)
	}
	_, err = f.Link(ctx, [32]byte{2})
	wantError(t, err, store.ErrNotFound)

	f.clock.advance(time.Minute)
	in := store.Integration{ID: "sandbox:" + id(1), Tool: "sandbox", Settings: []byte(`{"a":1}`), Credentials: []byte("sealed"), EndUser: who}
	used, err := f.UseLink(ctx, [32]byte{1}, f.use(in, 9))
	if err != nil || used.ID != in.ID || used.EnvironmentID != f.env || used.EndUser != who || !used.Enabled {
		t.Fatalf("UseLink = %+v, %v", used, err)
	}
	if kept, err := f.Integration(ctx, f.env, in.ID); err != nil || cmp.Diff(used, kept) != "" {
		t.Errorf("kept: %v %s", err, cmp.Diff(used, kept))
	}
	f.submit(t, used, items("a")...) // it has its place in the queue
	if got, err := f.Link(ctx, [32]byte{1}); err != nil || !got.Used() || got.IntegrationID != in.ID || got.Token != [32]byte{9} {
		t.Errorf("a used link: %+v, %v", got, err)
	}
	_, err = f.UseLink(ctx, [32]byte{1}, f.use(store.Integration{ID: "sandbox:" + id(2), Tool: "sandbox", Settings: []byte(`{}`)}, 8))
	wantError(t, err, store.ErrNotFound)
	// What the audit log has of it came with it.
	if entries, err := f.AuditLog(ctx, store.AuditFilter{EnvironmentID: f.env, Limit: 10}); err != nil || len(entries) != 1 || entries[0].Target != in.ID || entries[0].UserName != "the customer" ||
		entries[0].ID == "" || !entries[0].At.Equal(f.clock.Now()) {
		t.Errorf("the audit log: %+v, %v", entries, err)
	}
	if _, err := f.Integration(ctx, "", "sandbox:"+id(2)); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the second use left an integration: %v", err)
	}
	_, err = f.TryLink(ctx, [32]byte{1}, 5, time.Minute)
	wantError(t, err, store.ErrNotFound)

	if got, err := f.IntegrationByToken(ctx, f.env, [32]byte{9}); err != nil || got.ID != in.ID {
		t.Errorf("IntegrationByToken = %+v, %v", got, err)
	}
	for name, ask := range map[string]func() error{
		"another environment": func() error { _, err := f.IntegrationByToken(ctx, other.ID, [32]byte{9}); return err },
		"another token":       func() error { _, err := f.IntegrationByToken(ctx, f.env, [32]byte{8}); return err },
		"no token":            func() error { _, err := f.IntegrationByToken(ctx, f.env, [32]byte{}); return err },
	} {
		if err := ask(); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// An environment takes its links along.
	if _, err := f.CreateLink(ctx, store.Link{EnvironmentID: other.ID, Purpose: store.Connect}, [32]byte{4}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := f.SetConnectSettings(ctx, other.ID, store.ConnectSettings{Redirect: "https://a.example"}); err != nil {
		t.Fatal(err)
	}
	if err := f.DeleteEnvironment(ctx, other.ID); err != nil {
		t.Errorf("delete an environment with links: %v", err)
	}
	_, err = f.Link(ctx, [32]byte{4})
	wantError(t, err, store.ErrNotFound)

	f.clock.advance(24*time.Hour - time.Millisecond)
	if _, err := f.IntegrationByToken(ctx, f.env, [32]byte{9}); err != nil {
		t.Errorf("right before the token ends: %v", err)
	}
	f.clock.advance(time.Millisecond)
	_, err = f.IntegrationByToken(ctx, f.env, [32]byte{9})
	wantError(t, err, store.ErrNotFound)

	// A hash is one link's for good.
	l := store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}
	f.link(t, l, 77)
	for range 2 {
		_, err = f.CreateLink(ctx, l, [32]byte{77}, time.Hour)
		wantError(t, err, store.ErrExists)
		f.clock.advance(2 * time.Hour)
	}
	_, err = f.Link(ctx, [32]byte{1})
	wantError(t, err, store.ErrNotFound)

	f.link(t, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "LMS", Language: "en", EndUser: who}, 3)
	f.clock.advance(time.Hour)
	for name, err := range map[string]error{
		"an expired link is found": func() error { _, err := f.Link(ctx, [32]byte{3}); return err }(),
		"is tried":                 func() error { _, err := f.TryLink(ctx, [32]byte{3}, 5, time.Minute); return err }(),
		"is used":                  func() error { _, err := f.UseLink(ctx, [32]byte{3}, f.use(in, 7)); return err }(),
	} {
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// relinks change an integration, and end that its credentials were refused.
func relinks(t *testing.T, f *fixture) {
	ctx := t.Context()
	in, bystander := f.integration(t), f.integration(t)
	f.submit(t, in, items("a")...)
	lease, next := f.claim(t, in, "x", 0)
	f.advance(t, lease, store.Step{Task: next.Task.Ref, Invalid: "no such user", Finish: &store.Finish{
		Status: skill.Failed, CompletedAt: next.Now, Document: []byte("x"),
	}, Then: store.Proceed})
	for i, purpose := range []store.Purpose{store.Relink, store.Setup} {
		hash, token := byte(1+i), byte(11+i)
		f.link(t, store.Link{EnvironmentID: f.env, Purpose: purpose, IntegrationID: in.ID, Tool: "sandbox", Category: "HRIS", Language: "en"}, hash)
		// It is for one integration alone.
		_, err := f.UseLink(ctx, [32]byte{hash}, f.use(store.Integration{ID: bystander.ID, Settings: []byte(`{"b":1}`)}, token))
		wantError(t, err, store.ErrNotFound)
		got, err := f.UseLink(ctx, [32]byte{hash}, f.use(store.Integration{ID: in.ID, Settings: []byte(`{"a":1}`), Credentials: []byte("new")}, token))
		if err != nil || got.InvalidReason != "" || string(got.Settings) != `{"a":1}` || string(got.Credentials) != "new" || got.EndUser != in.EndUser {
			t.Errorf("used: %+v, %v", got, err)
		}
		if got, err := f.IntegrationByToken(ctx, f.env, [32]byte{token}); err != nil || got.ID != in.ID {
			t.Errorf("by token: %+v, %v", got, err)
		}
	}
	if got, err := f.Integration(ctx, "", bystander.ID); err != nil || string(got.Settings) != `{}` {
		t.Errorf("the bystander: %+v, %v", got, err)
	}
	// One that is deleted meanwhile is not changed, and the link not used up.
	f.link(t, store.Link{EnvironmentID: f.env, Purpose: store.Relink, IntegrationID: in.ID, Tool: "sandbox", Category: "HRIS", Language: "en"}, 3)
	if _, err := f.DeleteIntegration(ctx, in.ID); err != nil {
		t.Fatal(err)
	}
	_, err := f.UseLink(ctx, [32]byte{3}, f.use(store.Integration{ID: in.ID, Settings: []byte(`{}`)}, 13))
	wantError(t, err, store.ErrNotFound)
	if l, err := f.Link(ctx, [32]byte{3}); err != nil || l.Used() {
		t.Errorf("its link: %+v, %v", l, err)
	}
	_, err = f.IntegrationByToken(ctx, f.env, [32]byte{11})
	wantError(t, err, store.ErrNotFound)
	// The audit log has what was done, and nothing of what was not.
	if entries, err := f.AuditLog(ctx, store.AuditFilter{EnvironmentID: f.env, Limit: 10}); err != nil || len(entries) != 2 || entries[0].Target != in.ID || entries[1].Target != in.ID {
		t.Errorf("the audit log: %+v, %v", entries, err)
	}
}

func linkTries(t *testing.T, f *fixture) {
	ctx := t.Context()
	f.link(t, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}, 1)
	try := func(want bool) {
		t.Helper()
		if ok, err := f.TryLink(ctx, [32]byte{1}, 3, 10*time.Minute); err != nil || ok != want {
			t.Errorf("TryLink = %v, %v, want %v", ok, err, want)
		}
	}
	for _, want := range []bool{true, true, true, false, false} {
		try(want)
		f.clock.advance(time.Minute)
	}
	f.clock.advance(5 * time.Minute) // ten from the first
	for _, want := range []bool{true, true, true, false} {
		try(want)
	}
	_, err := f.TryLink(ctx, [32]byte{2}, 3, time.Minute)
	wantError(t, err, store.ErrNotFound)
}

// linkRaced lets many use one link at once.
func linkRaced(t *testing.T, f *fixture) {
	ctx := t.Context()
	f.link(t, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}, 1)
	var group sync.WaitGroup
	var won atomic.Int32
	for i := range 8 {
		group.Go(func() {
			_, err := f.UseLink(ctx, [32]byte{1}, f.use(store.Integration{ID: "sandbox:" + id(i), Tool: "sandbox", Settings: []byte(`{}`)}, byte(20+i)))
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, store.ErrNotFound):
				t.Error(err)
			}
		})
	}
	group.Wait()
	list, err := f.Integrations(ctx, f.env)
	if err != nil || len(list) != 1 || won.Load() != 1 {
		t.Errorf("%d integrations, %d won, %v", len(list), won.Load(), err)
	}
}

func linksForgotten(t *testing.T, f *fixture) {
	ctx := t.Context()
	for i := range 5 {
		f.link(t, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}, byte(i))
	}
	if _, err := f.CreateLink(ctx, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}, [32]byte{9}, 365*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := f.CreateLink(ctx, store.Link{EnvironmentID: f.env, Purpose: store.Connect, Category: "HRIS", Language: "en"}, [32]byte{8}, 365*24*time.Hour); err != nil {
		t.Fatal(err)
	}
	if _, err := f.UseLink(ctx, [32]byte{8}, f.use(store.Integration{ID: "sandbox:" + id(1), Tool: "sandbox", Settings: []byte(`{}`)}, 1)); err != nil {
		t.Fatal(err)
	}
	forget := func(want int) {
		t.Helper()
		if n, err := f.ForgetLinks(ctx, 48*time.Hour, 3); err != nil || n != want {
			t.Errorf("ForgetLinks = %d, %v, want %d", n, err, want)
		}
	}
	f.clock.advance(48 * time.Hour)
	forget(0)
	f.clock.advance(time.Millisecond)
	forget(1) // the used one
	f.clock.advance(time.Hour)
	forget(3)
	forget(2)
	forget(0)
	if _, err := f.Link(ctx, [32]byte{9}); err != nil {
		t.Errorf("one that is good: %v", err)
	}
}
