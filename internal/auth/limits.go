package auth

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// Request is what a key's limits are held against.
type Request struct {
	// From is where it comes from. A key that is limited to addresses is refused without one.
	From netip.Addr
	// Needs are the scopes of which the key must have one; none: any key will do.
	Needs store.Scopes
	// Refusal is the code that says that it has none of them.
	Refusal skill.Code
}

type requestKey struct{}

// WithRequest tells Authenticate about the request.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// use is when and from where a key was used last.
type use struct {
	at   time.Time
	from netip.Addr
}

// admit holds a good key against its limits.
func (k *Keys) admit(ctx context.Context, known knownKey, now time.Time) (Principal, error) {
	r, _ := ctx.Value(requestKey{}).(Request)
	if len(known.addresses) > 0 && !slices.ContainsFunc(known.addresses, func(n netip.Prefix) bool { return n.Contains(r.From) }) {
		from := "an unknown address"
		if r.From.IsValid() {
			from = r.From.String()
		}
		return Principal{}, skill.Errorf(skill.Forbidden, skill.CodeIPNotWhitelisted,
			"This API key may not be used from %s. Its list of addresses is on the dashboard's page Secrets; behind a proxy, see serve --trusted-proxies.", from)
	}
	if r.Needs != 0 && known.scopes&r.Needs == 0 {
		return Principal{}, skill.Errorf(skill.Forbidden, r.Refusal,
			"This API key may %s, and the request asks for one that may %s. Make one on the dashboard's page Secrets.", known.scopes, either(r.Needs))
	}
	k.useMu.Lock()
	defer k.useMu.Unlock()
	if k.uses == nil {
		k.uses = map[string]use{}
	}
	k.uses[known.principal.KeyID] = use{now, r.From}
	return known.principal, nil
}

func either(scopes store.Scopes) string {
	text := ""
	for _, one := range scopes.Each() {
		if text != "" {
			text += " or "
		}
		text += one.String()
	}
	return text
}

// UseStore keeps when keys were used.
type UseStore interface {
	NoteKeysUsed(ctx context.Context, used []store.KeyUse) error
}

const (
	// noteEvery is how often uses are written down: together, since a request must not wait for that.
	noteEvery = 30 * time.Second
	noteTime  = 5 * time.Second
)

// NoteUses writes down when keys were used, from time to time and at last when ctx ends. Failures are told to failed, and
// what could not be written is tried again.
func (k *Keys) NoteUses(ctx context.Context, s UseStore, failed func(error)) {
	ticker := time.NewTicker(noteEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
		if err := k.note(context.WithoutCancel(ctx), s); err != nil {
			failed(err)
		}
		if ctx.Err() != nil {
			return
		}
	}
}

func (k *Keys) note(ctx context.Context, s UseStore) error {
	k.useMu.Lock()
	uses := k.uses
	k.uses = nil
	k.useMu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	now := time.Now
	if k.Now != nil {
		now = k.Now
	}
	at := now()
	used := make([]store.KeyUse, 0, len(uses))
	for id, u := range uses {
		used = append(used, store.KeyUse{KeyID: id, Ago: max(0, at.Sub(u.at)), From: u.from})
	}
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	if err := s.NoteKeysUsed(ctx, used); err != nil {
		k.useMu.Lock()
		defer k.useMu.Unlock()
		for id, u := range uses {
			if newer, ok := k.uses[id]; !ok || newer.at.Before(u.at) {
				if k.uses == nil {
					k.uses = map[string]use{}
				}
				k.uses[id] = u
			}
		}
		return fmt.Errorf("note the use of keys: %w", err)
	}
	return nil
}

// ParseNetworks reads addresses, and networks in CIDR form, as people write them.
func ParseNetworks(words []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, word := range words {
		n, err := netip.ParsePrefix(word)
		if addr, e := netip.ParseAddr(word); err != nil && e == nil && addr.Zone() == "" {
			n, err = addr.Unmap().Prefix(addr.Unmap().BitLen())
		}
		if err != nil || n.Addr().Is4In6() {
			return nil, fmt.Errorf("%q is neither an address nor a network such as 192.0.2.0/24 or 2001:db8::/32", word)
		}
		networks = append(networks, n.Masked())
	}
	return networks, nil
}
