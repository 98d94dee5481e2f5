package store

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Purpose is what a link is for. The numbers are on disk.
type Purpose uint8

// The purposes.
const (
	Connect Purpose = iota + 1 // makes an integration
	Relink                     // asks for an integration's credentials anew
	Setup                      // changes an integration's optional settings, and leaves its credentials alone
)

// Action is what the audit log calls the making of a link for it.
func (p Purpose) Action() string {
	return map[Purpose]string{Connect: "link.connect", Relink: "link.relink", Setup: "link.setup"}[p]
}

// The kinds of links in the contract: one that is embedded at once, and one that is sent to somebody.
const (
	Embedded  = "EMBEDDED"
	MagicLink = "MAGIC_LINK"
)

// LinkTime is how long a link of a kind is good.
func LinkTime(kind string) time.Duration {
	if kind == MagicLink {
		return 365 * 24 * time.Hour
	}
	return time.Hour
}

// LinkLanguages are those of the contract; the first is the default, and stands in for those that have no text.
func LinkLanguages() []string { return []string{"en", "de", "fr", "it", "es"} }

// MostEmail is the longest e-mail address.
const MostEmail = 320

// emailPattern is the contract's for the addresses in its answers, without its look-aheads, and without the comma that one of its
// ranges lets in.
var emailPattern = regexp.MustCompile(`^([\w'+-][\w'+.-]*)?[\w+-]@([\da-z][\da-z-]*\.)+[a-z]{2,}$`)

// ParseEmail reads an e-mail address as the contract writes them: the part behind the @ in small letters.
func ParseEmail(text string) (email string, ok bool) {
	if user, domain, ok := strings.Cut(text, "@"); ok {
		text = user + "@" + strings.ToLower(domain)
	}
	return text, len(text) <= MostEmail && emailPattern.MatchString(text) && !strings.Contains(text, "..")
}

// Link leads a customer's admin to the page where a tool is connected. It is used once.
type Link struct {
	EnvironmentID string
	Purpose       Purpose
	// IntegrationID is the one that a Relink or Setup changes; of a Connect that was used the one that it made.
	IntegrationID string
	Tool          string // empty: the customer chooses one of the category
	Category      string
	Language      string
	EndUser       EndUser
	CreatedAt     time.Time
	ExpiresAt     time.Time // of a used one when it was used
	UsedAt        time.Time // zero: it was not used yet
	// Token is the hash of the token that the caller got when it was used.
	Token [32]byte
}

// Used reports whether the link has done what it is for.
func (l Link) Used() bool { return !l.UsedAt.IsZero() }

// Made says of a link what the audit log keeps of its making.
func (l Link) Made(good time.Duration) string {
	detail := l.EndUser.OrganisationName
	if l.EndUser.CreatorEmail != "" {
		detail += ", for " + l.EndUser.CreatorEmail
	}
	return detail + ", good " + good.String()
}

// LinkUse is what a link is used for.
type LinkUse struct {
	// Token is the hash of the token under which the caller finds the integration, for TokenFor.
	Token    [32]byte
	TokenFor time.Duration
	// Integration is the one to be made. Of one that is there only Settings and Credentials are taken.
	Integration Integration
	// Entry is for the audit log: it is kept if, and only if, the link is used. None is kept without an Action.
	Entry AuditEntry
}

// ConnectSettings are what an environment wants of its page.
type ConnectSettings struct {
	// Origins of the pages that may embed it, and are told the token: scheme, host and port.
	Origins []string
	// Redirect is where it leads to in the end; empty: nowhere.
	Redirect string
}

// ParseConnectSettings reads them as people write them. What stands in them goes into headers of the page, so nothing but
// plain addresses is taken.
func ParseConnectSettings(origins []string, redirect string) (c ConnectSettings, err error) {
	for _, text := range origins {
		u, err := parseAddress(text)
		if err != nil {
			return c, err
		}
		if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
			return c, fmt.Errorf("%q: an origin has no path, write it like https://app.example.com", text)
		}
		if origin := u.Scheme + "://" + u.Host; !slices.Contains(c.Origins, origin) {
			c.Origins = append(c.Origins, origin)
		}
	}
	if redirect == "" {
		return c, nil
	}
	u, err := parseAddress(redirect)
	if err != nil {
		return c, err
	}
	c.Redirect = u.String()
	return c, nil
}

// parseAddress reads the address of a web page.
func parseAddress(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return nil, fmt.Errorf("%q is not an address such as https://app.example.com", text)
	}
	u.Host = strings.ToLower(u.Host)
	if strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyz0123456789.-:[]") != "" {
		return nil, fmt.Errorf("%q: write the host in letters, digits, dots and hyphens alone", text)
	}
	return u, nil
}

// Links are what the page needs where a customer connects a tool, and the API beside it. Links and tokens are found by
// the SHA-256 hashes of what their holders have; the texts themselves are not kept.
type Links interface {
	// ConnectSettings of an environment; empty ones if none were set.
	ConnectSettings(ctx context.Context, environmentID string) (ConnectSettings, error)
	// SetConnectSettings replaces them. ErrNotFound when there is no such environment.
	SetConnectSettings(ctx context.Context, environmentID string, settings ConnectSettings) error

	// CreateLink keeps a link for a while; CreatedAt and ExpiresAt are set by the store. ErrExists if there is one with that hash,
	// expired or not.
	CreateLink(ctx context.Context, link Link, hash [32]byte, good time.Duration) (Link, error)
	// Link finds one that has not expired, or that was used and whose token has not; else ErrNotFound.
	Link(ctx context.Context, hash [32]byte) (Link, error)
	// TryLink counts a try of credentials, and reports whether it is one of the first most within a time. ErrNotFound for a
	// link that is not good, or was used.
	TryLink(ctx context.Context, hash [32]byte, most int, within time.Duration) (bool, error)
	// UseLink makes or changes the integration, and marks the link used. ErrNotFound when it is not good any more, was used
	// meanwhile, or its integration was deleted.
	UseLink(ctx context.Context, hash [32]byte, use LinkUse) (Integration, error)
	// IntegrationByToken finds what a link of that environment made or changed, as long as the token is good and the
	// integration is there.
	IntegrationByToken(ctx context.Context, environmentID string, token [32]byte) (Integration, error)
	// ForgetLinks removes up to limit links that were used or expired longer than keep ago, and returns how many.
	ForgetLinks(ctx context.Context, keep time.Duration, limit int) (int, error)
}
