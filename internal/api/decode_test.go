package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"
)

func BenchmarkDecodeBulk(b *testing.B) {
	type sk struct {
		Name   string `json:"name"`
		Status string `json:"status"`
	}
	type it struct {
		OriginID string `json:"origin_id"`
		Skill    sk     `json:"skill"`
	}
	var items []it
	for i := range 10000 {
		items = append(items, it{fmt.Sprintf("http://data.europa.eu/esco/skill/00090cc1-1f27-439e-a4e0-%012d", i), sk{fmt.Sprintf("identify available service %d", i), "ACTIVE"}})
	}
	body, _ := json.Marshal(map[string]any{"items": items})
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		r, err := decodeBulk(bytes.Clone(body), 10000)
		if err != nil || len(r.Items) != 10000 {
			b.Fatal(err)
		}
	}
}
