// Package examples holds real skills, so that the demo needs nothing but the program. Their origin and licences are in
// skills/README.md.
package examples

import "embed"

// Skills are the CSV files of the folder skills.
//
//go:embed skills/*.csv
var Skills embed.FS
