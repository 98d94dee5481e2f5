package sqlite

import (
	"errors"
	"fmt"

	"github.com/klauspost/compress/s2"
)

// Documents and blocks of items lie compressed: they are most of what the database grows by, and s2 packs them in less
// time than writing the rest would take. docs/schema.md has the figures.
//
// What is not packed begins with something else: a document with a brace, a block with the number of its form. So rows of
// earlier versions can be read.
const (
	packed     = 0xff
	packFrom   = 256       // bytes: less is not worth it
	packUpTo   = 64 << 10  // of a document: a poll of a larger one would spend more time on unpacking than on all else
	mostPacked = 512 << 20 // what a damaged length may not exceed
)

var errPacked = errors.New("damaged bytes")

func pack(plain []byte) []byte {
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

// packDocument packs an answer, which is unpacked by every poll.
func packDocument(plain []byte) []byte {
	if len(plain) > packUpTo {
		return plain
	}
	return pack(plain)
}

// Unpack gives back what was stored packed, or as it is.
func Unpack(stored []byte) ([]byte, error) { return unpack(stored) }

func unpack(stored []byte) ([]byte, error) {
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
