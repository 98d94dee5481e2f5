package auth

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestLimitsOfKeys(t *testing.T) {
	t.Parallel()
	networks := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	for name, c := range map[string]struct {
		key     store.Key
		request *Request
		kind    skill.Kind
		code    skill.Code
	}{
		"no limits, nothing asked": {store.Key{Scopes: store.AllScopes}, nil, 0, ""},
		"the scope it has":         {store.Key{Scopes: store.ReadSkills}, &Request{Needs: store.ReadSkills}, 0, ""},
		"one of the scopes":        {store.Key{Scopes: store.ReadSkills}, &Request{Needs: store.ReadSkills | store.WriteSkills}, 0, ""},
		"another scope": {
			store.Key{Scopes: store.ReadSkills}, &Request{Needs: store.WriteSkills, Refusal: skill.CodeActionDisabled}, skill.Forbidden, skill.CodeActionDisabled,
		},
		"an address on its list":   {store.Key{Addresses: networks}, &Request{From: netip.MustParseAddr("192.0.2.200")}, 0, ""},
		"a long one on its list":   {store.Key{Addresses: networks}, &Request{From: netip.MustParseAddr("2001:db8::1")}, 0, ""},
		"another address":          {store.Key{Addresses: networks}, &Request{From: netip.MustParseAddr("198.51.100.1")}, skill.Forbidden, skill.CodeIPNotWhitelisted},
		"no address":               {store.Key{Addresses: networks}, &Request{}, skill.Forbidden, skill.CodeIPNotWhitelisted},
		"nothing known":            {store.Key{Addresses: networks}, nil, skill.Forbidden, skill.CodeIPNotWhitelisted},
		"a damaged list":           {store.Key{Addresses: store.ParseAddresses("damaged")}, &Request{From: netip.MustParseAddr("192.0.2.1")}, skill.Forbidden, skill.CodeIPNotWhitelisted},
		"expired":                  {store.Key{Scopes: store.AllScopes, Expired: true}, nil, skill.Unauthenticated, skill.CodeAuthenticationInvalid},
		"expired, another address": {store.Key{Addresses: networks, Expired: true}, &Request{}, skill.Unauthenticated, skill.CodeAuthenticationInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			key, _, hash := NewKey()
			c.key.ID = "key"
			keys := &Keys{Store: &oneKey{hash: hash, key: c.key}}
			ctx := t.Context()
			if c.request != nil {
				ctx = WithRequest(ctx, *c.request)
			}
			for _, when := range []string{"asked", "believed"} {
				who, err := keys.Authenticate(ctx, "Bearer "+key)
				e, _ := errors.AsType[*skill.Error](err)
				switch {
				case c.code == "" && (err != nil || who.KeyID != "key"):
					t.Errorf("%s: refused: %v", when, err)
				case c.code != "" && (e == nil || e.Kind != c.kind || e.Code != c.code || who != Principal{}):
					t.Errorf("%s: %+v, %v; want %s", when, who, err, c.code)
				}
			}
		})
	}
}

// noted is a store of uses that can fail.
type noted struct {
	mu    sync.Mutex
	calls [][]store.KeyUse
	err   error
}

func (n *noted) NoteKeysUsed(_ context.Context, used []store.KeyUse) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err != nil {
		return n.err
	}
	n.calls = append(n.calls, used)
	return nil
}

func TestUsesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, _, hash := NewKey()
		keys := &Keys{Store: &oneKey{hash: hash, key: store.Key{ID: "key", Scopes: store.AllScopes}}}
		from := netip.MustParseAddr("192.0.2.1")
		use := func() {
			t.Helper()
			if _, err := keys.Authenticate(WithRequest(t.Context(), Request{From: from}), "Bearer "+key); err != nil {
				t.Fatal(err)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		db := &noted{err: errors.New("away")}
		var failures int
		done := make(chan struct{})
		go func() {
			defer close(done)
			keys.NoteUses(ctx, db, func(error) { failures++ })
		}()
		for range 100 {
			use()
		}
		<-time.After(noteEvery + time.Second)
		synctest.Wait()
		if failures != 1 || len(db.calls) != 0 {
			t.Fatalf("%d failures, %v", failures, db.calls)
		}
		db.mu.Lock()
		db.err = nil
		db.mu.Unlock()
		<-time.After(noteEvery)
		synctest.Wait()
		<-time.After(noteEvery) // nothing to write
		use()
		<-time.After(time.Second)
		stop()
		<-done
		want := [][]store.KeyUse{{{KeyID: "key", Ago: 2 * noteEvery, From: from}}, {{KeyID: "key", Ago: time.Second, From: from}}}
		if diff := cmp.Diff(want, db.calls, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("written (-want +got):\n%s", diff)
		}
	})
}

func TestParseNetworks(t *testing.T) {
	t.Parallel()
	got, err := ParseNetworks([]string{"192.0.2.7", "192.0.2.7/24", "2001:db8::1", "2001:db8::/32", "::ffff:192.0.2.8"})
	if want := "192.0.2.7/32 192.0.2.0/24 2001:db8::1/128 2001:db8::/32 192.0.2.8/32"; err != nil || store.FormatAddresses(got) != want {
		t.Errorf("%s, %v; want %s", store.FormatAddresses(got), err, want)
	}
	for _, bad := range []string{"", "x", "192.0.2.0/33", "fe80::1%eth0", "::ffff:192.0.2.0/120", "192.0.2.1,192.0.2.2"} {
		if got, err := ParseNetworks([]string{bad}); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
