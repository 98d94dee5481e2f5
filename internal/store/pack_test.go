package store_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestPack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		word := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(r, "word")
		plain := append([]byte{'{'}, bytes.Repeat(word, rapid.IntRange(0, 500).Draw(r, "times"))...)
		stored := store.Pack(plain)
		if len(stored) > len(plain) {
			r.Fatalf("%d bytes became %d", len(plain), len(stored))
		}
		if got, err := store.Unpack(stored); err != nil || !bytes.Equal(got, plain) {
			r.Fatalf("%d bytes came back as %d: %v", len(plain), len(got), err)
		}
	})
	list := make([]skill.Item, 2000)
	for i := range list {
		list[i] = skill.Item{OriginID: strings.Repeat("x", i%100+1), Name: "name", Status: skill.Active}
	}
	if block := skill.AppendItems(nil, list); len(store.Pack(block)) > len(block)/2 {
		t.Errorf("a block of items of %d bytes takes %d", len(block), len(store.Pack(block)))
	}
}

func TestUnpackDamaged(t *testing.T) {
	t.Parallel()
	stored := store.Pack(bytes.Repeat([]byte(`{"status":"SUCCEEDED"}`), 1000))
	for name, damaged := range map[string][]byte{
		"cut short":       stored[:len(stored)/2],
		"the mark alone":  {0xff},
		"a huge length":   {0xff, 0xff, 0xff, 0xff, 0xff, 0x0f, 1},
		"another content": append([]byte{0xff, 10}, "nonsense"...),
	} {
		if got, err := store.Unpack(damaged); err == nil {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	for _, plain := range [][]byte{nil, {}, []byte(`{"a":1}`), skill.AppendItems(nil, make([]skill.Item, 300))} {
		if got, err := store.Unpack(plain); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("what was never packed: %q, %v", got, err)
		}
	}
}
