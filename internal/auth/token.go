package auth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"

	"github.com/mr-tron/base58"
)

const (
	linkPrefix = "cwl_"
	// What the caller gets when a link was used.
	connectPrefix = "cwt_"
	// tokenMost is longer than any token: base 58 of 32 bytes has 43 or 44 characters.
	tokenMost = len(linkPrefix) + 44
)

// NewLinkToken returns a fresh token for a link, which nobody guesses.
func NewLinkToken() string {
	var secret [keyBytes]byte
	_, _ = rand.Read(secret[:]) // never fails: it ends the process instead
	return LinkTokenOf(secret)
}

// LinkTokenOf is NewLinkToken for a secret that the caller has: as hard to guess as random bytes, and always the same token.
func LinkTokenOf(secret [keyBytes]byte) string { return linkPrefix + base58.Encode(secret[:]) }

// ConnectToken is the token that the caller gets when a link is used by the form with that number. Only who has both, as
// the browser that was shown the form, can make it, and always makes the same: a form that is sent twice leads to one
// token. The link alone does not tell it.
func ConnectToken(link, form string) string {
	mac := hmac.New(sha256.New, []byte(link))
	mac.Write([]byte(form))
	return connectPrefix + base58.Encode(mac.Sum(nil))
}

// HashToken is what is kept of a token of a link, or of a connect token. One that cannot be right has none.
func HashToken(token string) (hash [32]byte, ok bool) {
	if len(token) > tokenMost || len(token) <= len(linkPrefix) {
		return hash, false
	}
	return sha256.Sum256([]byte(token)), true
}
