package store

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// Documents and blocks of items lie packed: they are most of what a database grows by, and s2 packs them in less time than
// writing the rest would take, or than a database needs that packs by itself. docs/schema.md has the figures.
//
// What is not packed begins with something else: a document with a brace, a block with the number of its form. So rows of
// earlier versions can be read.
const (
	packed     = 0xff
	packFrom   = 256       // bytes: less is not worth it
	mostPacked = 512 << 20 // what a damaged length may not exceed
)

var errPacked = errors.New("damaged bytes")

// Pack compresses a document or a block, if that makes it smaller. It may return what it was given.
func Pack(plain []byte) []byte {
	if len(plain) < packFrom {
		return plain
	}
	dst := make([]byte, 1+s2.MaxEncodedLen(len(plain)))
	dst[0] = packed
	n := 1 + len(s2.Encode(dst[1:], plain))
	if n >= len(plain) {
		return plain
	}
	return dst[:n]
}

// Unpack gives back what Pack was given. It may return what it was given itself.
func Unpack(stored []byte) ([]byte, error) {
	if len(stored) == 0 || stored[0] != packed {
		return stored, nil
	}
	n, err := s2.DecodedLen(stored[1:])
	if err == nil && n > mostPacked {
		err = errPacked
	}
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	plain, err := s2.Decode(make([]byte, n), stored[1:])
	if err != nil {
		return nil, fmt.Errorf("unpack: %w", err)
	}
	return plain, nil
}

// UnpackAll unpacks several, in their order.
func UnpackAll(stored [][]byte) (plain [][]byte, err error) {
	plain = make([][]byte, len(stored))
	for i := range stored {
		if plain[i], err = Unpack(stored[i]); err != nil {
			return nil, err
		}
	}
	return plain, nil
}
