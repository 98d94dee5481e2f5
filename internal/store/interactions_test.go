package store_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestExchangesArePacked(t *testing.T) {
	t.Parallel()
	body := strings.Repeat(`{"origin_id":"esco-0123","name":"Project management"},`, 80)
	for name, x := range map[string]store.Exchange{
		"nothing": {},
		"small":   {Error: "x", RequestHeader: http.Header{"A": {"b"}}, RequestBody: []byte{0, 1, 2}},
		"large":   {RequestBody: []byte(body), AnswerBody: []byte(body), AnswerCut: true, AnswerHeader: http.Header{"A": {"b", "c"}}},
	} {
		packed := x.Pack()
		got, err := store.UnpackExchange(packed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(x, got); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
		if name == "large" && len(packed) > 1000 {
			t.Errorf("%d bytes were packed into %d", 2*len(body), len(packed))
		}
		for cut := range len(packed) {
			if _, err := store.UnpackExchange(packed[:cut]); err == nil {
				t.Errorf("%s: %d bytes of %d were enough", name, cut, len(packed))
			}
		}
	}
}

func FuzzUnpackExchange(f *testing.F) {
	f.Add(store.Exchange{RequestBody: []byte("x")}.Pack())
	f.Add(store.Exchange{AnswerBody: bytes.Repeat([]byte("abc"), 1000)}.Pack())
	f.Fuzz(func(t *testing.T, packed []byte) {
		x, err := store.UnpackExchange(packed)
		if err != nil {
			return
		}
		again, err := store.UnpackExchange(x.Pack())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(x, again); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	})
}
