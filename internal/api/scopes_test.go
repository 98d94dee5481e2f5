package api_test

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/clientaddr"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// keyWith makes another key of the tenant.
func (f *fixture) keyWith(key store.Key) string {
	f.t.Helper()
	secret, shown, hash := auth.NewKey()
	key.EnvironmentID, key.Name, key.Prefix = f.env, "limited", shown
	if _, err := f.store.CreateKey(f.t.Context(), key, hash); err != nil {
		f.t.Fatal(err)
	}
	return secret
}

func TestScopes(t *testing.T) {
	f := setup(t)
	task := f.submit(`{"items":[{"origin_id":"a","name":"A"}]}`)
	requests := map[string]request{
		"push": push(`{"items":[{"origin_id":"b","name":"B"}]}`), "poll": poll(task),
		"check": {method: "GET", path: "/v1/check-api-key"}, "tools": {method: "GET", path: "/v1/tools/hris"},
		"integration": {method: "GET", path: "/v1/integrations/" + f.integration},
	}
	for scopes, refused := range map[store.Scopes][]string{
		store.AllScopes: nil, store.WriteSkills: nil, store.ReadSkills: {"push"}, store.ManageIntegrations: {"push", "poll"},
	} {
		key := f.keyWith(store.Key{Scopes: scopes})
		for name, q := range requests {
			q.header = map[string]string{"Authorization": "Bearer " + key}
			a := f.do(q)
			want := http.StatusOK
			for _, r := range refused {
				if r == name {
					want = http.StatusForbidden
				}
			}
			if a.status != want {
				t.Errorf("a key that may %s: %s answered %d: %s", scopes, name, a.status, a.body)
			}
			if want == http.StatusForbidden {
				a.want(t, want, "INTEGRATION.ACTION_DISABLED", scopes.String())
			}
		}
	}
}

func TestAddressesOfKeys(t *testing.T) {
	resolver, err := clientaddr.ParseTrusted([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	f := setup(t, func(c *api.Config) { c.Clients = resolver })
	key := f.keyWith(store.Key{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	q := request{method: "GET", path: "/v1/check-api-key"}
	q.header = map[string]string{"Authorization": "Bearer " + key, "X-Forwarded-For": "192.0.2.9"}
	if a := f.do(q); a.status != http.StatusOK {
		t.Errorf("from an allowed address: %d %s", a.status, a.body)
	}
	q.header["X-Forwarded-For"] = "192.0.2.9, 198.51.100.1"
	f.do(q).want(t, http.StatusForbidden, "PLATFORM.IP_NOT_WHITELISTED", "198.51.100.1")
}

func TestExpiredKeyIsRefused(t *testing.T) {
	f := setup(t)
	key := f.keyWith(store.Key{Lives: time.Millisecond})
	q := request{method: "GET", path: "/v1/check-api-key", header: map[string]string{"Authorization": "Bearer " + key}}
	for limit := time.Now().Add(10 * time.Second); ; {
		a := f.do(q)
		if a.status != http.StatusOK {
			a.want(t, http.StatusUnauthorized, "PLATFORM.AUTHENTICATION_INVALID", "expired")
			return
		}
		if time.Now().After(limit) {
			t.Fatal("it is still accepted")
		}
	}
}
