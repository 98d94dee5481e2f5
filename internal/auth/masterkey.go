package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/mr-tron/base58"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// MasterKey seals the credentials of tools. It is the only secret that replicas share, and it is never in the database.
type MasterKey struct {
	id   string
	note [sha256.Size]byte
	seal cipher.AEAD
}

const (
	masterBytes = 32
	// idBytes tell keys apart.
	idBytes = 8
)

// NewMasterKey returns a fresh key, as text for a setting or a file.
func NewMasterKey() string {
	secret := make([]byte, masterBytes)
	_, _ = rand.Read(secret) // never fails: it ends the process instead
	return base64.StdEncoding.EncodeToString(secret)
}

// ParseMasterKey reads 32 bytes in base64, of either alphabet and with or without padding, or in hex. The error does not
// repeat the text.
func ParseMasterKey(text string) (*MasterKey, error) {
	text = strings.TrimSpace(text)
	secret, err := hex.DecodeString(text)
	if err != nil || len(secret) != masterBytes {
		plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
		secret, err = base64.RawStdEncoding.Strict().DecodeString(plain)
	}
	if err != nil || len(secret) != masterBytes {
		return nil, fmt.Errorf("it is not %d bytes in base64 or hex, which have 43 or 44, or 64, characters; it has %d", masterBytes, len(text))
	}
	// What is kept and shown is derived, each for its purpose, so that none of it says anything about the rest.
	derived := func(purpose string, n int) []byte {
		out, err := hkdf.Key(sha256.New, secret, nil, "crosswalk master key "+purpose, n)
		if err != nil {
			panic(err) // only for lengths that SHA-256 does not reach
		}
		return out
	}
	block, err := aes.NewCipher(derived("seal", 32))
	if err != nil {
		panic(err) // the length is right
	}
	k := &MasterKey{id: base58.Encode(derived("id", idBytes))}
	copy(k.note[:], derived("check", sha256.Size))
	if k.seal, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		panic(err) // AES has the block size
	}
	return k, nil
}

// ID tells keys apart. It is no secret.
func (k *MasterKey) ID() string { return k.id }

// Noted is what a database keeps of the key.
func (k *MasterKey) Noted() store.MasterKey {
	return store.MasterKey{ID: k.id, Check: k.note[:]}
}

// Is reports whether it is the key that a database has noted.
func (k *MasterKey) Is(noted store.MasterKey) bool {
	return k.id == noted.ID && hmac.Equal(k.note[:], noted.Check)
}

// sealedBy1 begins what is sealed, and names the way of sealing; the key's id and a zero byte follow, then nonce and ciphertext.
const sealedBy1 = 1

// Seal encrypts plain for one integration: whoever moves it to another cannot open it there.
func (k *MasterKey) Seal(integrationID string, plain []byte) []byte {
	head := k.head()
	return k.seal.Seal(head, nil, plain, append(head[:len(head):len(head)], integrationID...)) //nolint:gosec // the AEAD draws its nonces itself
}

// errSealed does not say more: what does not open was damaged, moved or forged.
var errSealed = errors.New("what is sealed does not open: it was changed, or belongs to another integration")

// Open decrypts what Seal made for that integration.
func (k *MasterKey) Open(integrationID string, sealed []byte) ([]byte, error) {
	head := k.head()
	if len(sealed) == 0 || sealed[0] != sealedBy1 {
		return nil, errSealed
	}
	id, rest, ok := strings.Cut(string(sealed[1:]), "\x00")
	if !ok {
		return nil, errSealed
	}
	if id != k.id {
		return nil, fmt.Errorf("sealed under the master key %s; this process has %s", id, k.id)
	}
	plain, err := k.seal.Open(nil, nil, []byte(rest), append(head, integrationID...))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

func (k *MasterKey) head() []byte { return append(append([]byte{sealedBy1}, k.id...), 0) }
