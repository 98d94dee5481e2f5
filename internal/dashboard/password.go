package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/alexedwards/argon2id"
	"github.com/mr-tron/base58"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// hashing is how passwords are hashed: 32 MiB and three passes take some fifty milliseconds.
func hashing() *argon2id.Params {
	return &argon2id.Params{Memory: 32 << 10, Iterations: 3, Parallelism: 1, SaltLength: 16, KeyLength: 32}
}

// decoy is a hash of nothing that anybody knows, for users who do not exist.
const decoy = "$argon2id$v=19$m=32768,t=3,p=1$g8h28MPYPr3c+ADxV5eE/w$J2+PBPMu3CnlntQyLJlThWG0pASz6ZYEXOvAy4sMQLc"

// HashPassword hashes a password that is good enough.
func HashPassword(password string) (string, error) {
	switch n := utf8.RuneCountInString(password); {
	case !utf8.ValidString(password):
		return "", invalid("The password is no text.")
	case n < shortestPasswd:
		return "", invalid("The password has %d characters, and needs %d at least. A few words make a good one.", n, shortestPasswd)
	case len(password) > longestPasswd:
		return "", invalid("The password is longer than %d bytes.", longestPasswd)
	}
	hash, err := argon2id.CreateHash(password, hashing())
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return hash, nil
}

func invalid(format string, args ...any) error {
	return skill.Errorf(skill.Invalid, skill.CodeInputInvalid, format, args...)
}

// UserName is a name as it is kept, or says what is wrong with it.
func UserName(name string) (string, error) {
	name = normalName(name)
	switch {
	case name == "":
		return "", invalid("The name is empty.")
	case len(name) > longestName:
		return "", invalid("The name is longer than %d bytes.", longestName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return "", invalid("A name has no spaces and no control characters; an e-mail address will do.")
	}
	return name, nil
}

// passwordIs compares a password with a hash; an empty one is nobody's. It waits for a place: hashing takes memory.
func (d *Dashboard) passwordIs(ctx context.Context, password, hash string) (bool, error) {
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	known := hash != ""
	if !known {
		hash = decoy
	}
	same, err := argon2id.ComparePasswordAndHash(password, hash)
	if err != nil {
		return false, fmt.Errorf("compare a password: %w", err)
	}
	return same && known, nil
}

// newUser is a user to be made.
func (d *Dashboard) newUser(ctx context.Context, name, password string, role store.Role) (store.User, error) {
	name, err := UserName(name)
	if err != nil {
		return store.User{}, err
	}
	hash, err := d.hash(ctx, password)
	return store.User{Name: name, Role: role, Password: hash}, err
}

func (d *Dashboard) hash(ctx context.Context, password string) (string, error) {
	select {
	case d.hashing <- struct{}{}:
		defer func() { <-d.hashing }()
		return HashPassword(password)
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

const (
	// setupBytes of randomness make a link that nobody guesses.
	setupBytes = 24
	setupTime  = 24 * time.Hour
)

// SetupLink makes a link that lets the first user be made, once; it is empty when there are users.
func (d *Dashboard) SetupLink(ctx context.Context) (string, error) {
	secret := make([]byte, setupBytes)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	token := base58.Encode(secret)
	err := d.Store.KeepSetupLink(ctx, hashOf(token), setupTime)
	if errors.Is(err, store.ErrExists) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return d.PublicURL + "/setup?token=" + token, nil
}

func hashOf(token string) [32]byte { return sha256.Sum256([]byte(token)) }

const (
	// Attempts and entries of the audit log are kept so long.
	keepAttempts = attemptTime
	keepAudit    = 365 * 24 * time.Hour
	tidyEvery    = time.Hour
	tidyTogether = 1000
)

// Run removes what is too old until ctx ends, and ends the pages that are watched then. Several processes may do it at once.
func (d *Dashboard) Run(ctx context.Context) {
	defer d.counts.group.Wait()
	defer d.Close()
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		d.tidy(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (d *Dashboard) tidy(ctx context.Context) {
	for {
		round, cancel := context.WithTimeout(ctx, tidyTime)
		n, err := d.Store.Tidy(round, keepAttempts, keepAudit, tidyTogether)
		cancel()
		if err != nil && ctx.Err() == nil {
			d.Logger.Warn("old sessions and entries of the audit log could not be removed; it is tried again next time", "error", err)
		}
		if err != nil || n == 0 {
			return
		}
	}
}
