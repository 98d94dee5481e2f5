package store

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/pressly/goose/v3"
)

// TablesVersions tells at which version tables are to which these changes were made, and which version a program knows that
// brings these migrations in its folder of that name. Tables are at the version of their last change; where one is missing that
// came to be after others with higher numbers, at that of the one before it. 0: they have none.
func TablesVersions(made []int64, migrations fs.FS) (have, known int64, err error) {
	files, err := fs.ReadDir(migrations, "migrations")
	if err != nil {
		return 0, 0, fmt.Errorf("list migrations: %w", err)
	}
	missing := int64(-1)
	for _, file := range files {
		before := known
		if known, err = goose.NumericComponent(file.Name()); err != nil {
			return 0, 0, fmt.Errorf("list migrations: %w", err)
		}
		if missing < 0 && !slices.Contains(made, known) {
			missing = before
		}
	}
	if len(made) > 0 {
		have = slices.Max(made)
	}
	if missing >= 0 && have <= known {
		have = missing
	}
	return have, known, nil
}
