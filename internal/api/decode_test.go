package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

func TestDecodeBulk(t *testing.T) {
	got, err := decodeBulk([]byte(` { "items" : [
		{"skill":{"status":"INACTIVE","name":"A\u00e9\ud83d\ude00"},"origin_id":"1"}, {"name":"B","origin_id":"\u0032"} ] } `), 10)
	want := []skill.Item{{OriginID: "1", Name: "Aé😀", Status: skill.Inactive}, {OriginID: "2", Name: "B", Status: skill.Active}}
	if diff := cmp.Diff(want, got.Items); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	// An escaped field name is that field.
	got, err = decodeBulk([]byte(`{"it\u0065ms":[{"origin\u005fid":"1","n\u0061me":"A"}]}`), 10)
	if err != nil || len(got.Items) != 1 || len(got.Warnings) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Whatever comes in is either refused as the caller's mistake, in valid UTF-8 and few words, or is a valid request.
func FuzzDecodeBulk(f *testing.F) {
	for _, seed := range []string{
		`{"items":[{"origin_id":"a","skill":{"name":"A","status":"ACTIVE"}}]}`, `{"items":[{"origin_id":"a","name":"A"}],"x":{"y":[1,2]}}`,
		`{"items":[]}`, `{"items":[null]}`, `{}`, `[]`, ``, `{"items":[{"origin_id":"a","name":"A"},{"origin_id":"a","name":"A"}]}`,
		"{\"items\":[{\"origin_id\":\"\xff\"}]}", `{"items":[{"origin_id":"\ud800","name":"\u0000"}]}`, `{"items":[{"skill":1,"name":2,"status":3}]}`,
		strings.Repeat(`{"a":`, 100), `{"\u0061":1,"a":2}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		const most = 5
		before := bytes.Clone(body)
		got, err := decodeBulk(body, most)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		if err != nil {
			if skill.KindOf(err) != skill.Invalid || !utf8.ValidString(err.Error()) || len(err.Error()) > 8000 {
				t.Fatalf("error %q", err)
			}
			return
		}
		if !json.Valid(body) {
			t.Fatal("accepted, and not JSON")
		}
		if len(got.Items) == 0 || len(got.Items) > most {
			t.Fatalf("accepted with %d items", len(got.Items))
		}
		seen := map[string]bool{}
		for _, it := range got.Items {
			if skill.CheckOriginID(it.OriginID) != "" || skill.CheckName(it.Name) != "" || it.Status != skill.Active && it.Status != skill.Inactive {
				t.Fatalf("accepted %+v", it)
			}
			if seen[it.OriginID] || !utf8.ValidString(it.OriginID+it.Name) {
				t.Fatalf("accepted %+v", it)
			}
			seen[it.OriginID] = true
		}
		for _, w := range got.Warnings {
			if !utf8.ValidString(w) || len(w) > 500 {
				t.Fatalf("warning %q", w)
			}
		}
	})
}

func BenchmarkDecodeBulk(b *testing.B) {
	var items []string
	for i := range 10_000 {
		items = append(items, fmt.Sprintf(`{"origin_id":"http://data.europa.eu/esco/skill/00090cc1-1f27-439e-a4e0-%012d","skill":{"name":"identify available service %d","status":"ACTIVE"}}`, i, i))
	}
	body := []byte(`{"items":[` + strings.Join(items, ",") + `]}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if r, err := decodeBulk(body, 10_000); err != nil || len(r.Items) != 10_000 {
			b.Fatal(err)
		}
	}
}
