package move

import "strings"

// Columns are those of SQLite that somebody has thought of.
func Columns() map[string]bool {
	known := map[string]bool{}
	for name := range leftOut() {
		known[name] = true
	}
	for _, t := range tables() {
		from, _, _ := strings.Cut(t.source(), " ")
		for _, c := range t.columns {
			name, _, _ := strings.Cut(c.from, " ")
			if name == "" || c.kind == blocks {
				name = c.to
			}
			known[from+"."+name] = true
		}
	}
	return known
}
