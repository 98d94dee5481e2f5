package store_test

import (
	"testing"
	"testing/fstest"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestTablesVersions(t *testing.T) {
	t.Parallel()
	migrations := fstest.MapFS{}
	for _, name := range []string{"00001_a.sql", "00002_b.sql", "00004_c.sql"} {
		migrations["migrations/"+name] = &fstest.MapFile{}
	}
	for _, c := range []struct {
		made []int64
		want int64
	}{
		{nil, 0},
		{[]int64{0}, 0},
		{[]int64{0, 1}, 1},
		{[]int64{0, 1, 2, 4}, 4},
		{[]int64{0, 1, 4}, 1}, // one that came late is missing
		{[]int64{0, 4}, 0},
		{[]int64{0, 1, 2, 4, 5}, 5}, // of a newer program
		{[]int64{0, 1, 4, 5}, 5},
	} {
		if have, known, err := store.TablesVersions(c.made, migrations); have != c.want || known != 4 || err != nil {
			t.Errorf("%v: at %d of %d, %v; want %d", c.made, have, known, err, c.want)
		}
	}
}
