package crosswalk_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/crosswalk-hr/crosswalk/"

// allowed says which packages of the project a package may import. So imports point downwards only: cmd → server → api → engine → store, auth →
// skill, and connectors know nothing of the rest.
var allowed = map[string][]string{
	"cmd/crosswalk":                         {"internal/account", "client", "connector", "connector/sandbox", "examples", "internal/auth", "internal/dashboard", "internal/engine", "internal/interactions", "internal/server", "internal/skill", "internal/skillfile", "internal/store", "internal/store/move", "internal/store/sqlite"},
	"internal/server":                       {"internal/account", "internal/interactions", "internal/outgoing", "connector", "connector/hibob", "connector/learning360", "connector/moodle", "connector/odoo", "connector/sandbox", "connector/workday", "internal/api", "internal/auth", "internal/clientaddr", "internal/connect", "internal/dashboard", "internal/engine", "internal/metrics", "internal/skill", "internal/store", "internal/store/postgres", "internal/store/sqlite", "openapi"},
	"internal/api":                          {"connector", "internal/account", "internal/auth", "internal/clientaddr", "internal/interactions", "internal/metrics", "internal/skill", "internal/store"},
	"internal/dashboard":                    {"connector", "connector/sandbox", "internal/account", "internal/auth", "internal/clientaddr", "internal/skill", "internal/store"},
	"internal/connect":                      {"connector", "connector/sandbox", "internal/account", "internal/auth", "internal/clientaddr", "internal/skill", "internal/store"},
	"internal/clientaddr":                   {},
	"internal/engine":                       {"connector", "internal/interactions", "internal/metrics", "internal/skill", "internal/store"},
	"internal/auth":                         {"internal/skill", "internal/store"},
	"internal/store":                        {"connector/sandbox", "internal/skill"},
	"internal/store/queue":                  {},
	"internal/store/sqlite":                 {"connector/sandbox", "internal/skill", "internal/store", "internal/store/queue", "internal/store/sqlite/dbq"},
	"internal/store/sqlite/dbq":             {},
	"internal/metrics":                      {},
	"internal/skillfile":                    {"internal/skill"},
	"internal/skill":                        {},
	"connector":                             {},
	"connector/sandbox":                     {"connector"},
	"connector/rest":                        {"connector"},
	"connector/hibob":                       {"connector", "connector/rest"},
	"connector/hibob/hibobtest":             {"connector", "connector/connectortest", "connector/connectortest/described", "connector/hibob"},
	"connector/learning360":                 {"connector", "connector/rest"},
	"connector/learning360/learning360test": {"connector", "connector/connectortest", "connector/connectortest/described", "connector/learning360"},
	"connector/moodle":                      {"connector", "connector/rest"},
	"connector/moodle/moodletest":           {"connector", "connector/connectortest", "connector/moodle"},
	"connector/odoo":                        {"connector", "connector/rest"},
	"connector/odoo/odootest":               {"connector", "connector/connectortest", "connector/odoo"},
	"connector/workday":                     {"connector", "connector/rest"},
	"connector/workday/workdaytest":         {"connector", "connector/connectortest", "connector/workday"},
	"internal/store/move":                   {"internal/skill", "internal/store/postgres", "internal/store/sqlite"},
	"internal/outgoing":                     {"internal/redact"},
	"internal/redact":                       {},
	"internal/interactions":                 {"internal/metrics", "internal/redact", "internal/skill", "internal/store"},
	"internal/account":                      {"connector", "internal/auth", "internal/skill", "internal/store"},
	"client":                                {},
	"examples":                              {},
	"openapi":                               {},
	"e2e":                                   {},
	"connector/connectortest":               {"connector"},
	"connector/connectortest/described":     {},
	"internal/store/storetest":              {"connector/sandbox", "internal/skill", "internal/store"},
	"internal/store/sqlite/sqlitetest":      {"internal/store/sqlite"},
	"internal/store/postgres":               {"connector/sandbox", "internal/skill", "internal/store", "internal/store/queue", "internal/store/postgres/dbq"},
	"internal/store/postgres/dbq":           {},
	"internal/store/postgres/pgtest":        {"internal/store/postgres"},
	"internal/testdisk":                     {},
	"bench":                                 {"client", "connector", "connector/sandbox", "examples", "internal/skillfile", "internal/auth", "internal/server", "internal/skill", "internal/store", "internal/store/sqlite", "internal/store/sqlite/dbq", "internal/store/postgres", "internal/store/postgres/pgtest"},
}

// testOnly are packages that must not be in the program, and those that may use them.
var testOnly = []string{"connector/connectortest", "connector/connectortest/described", "connector/hibob/hibobtest", "connector/learning360/learning360test", "connector/moodle/moodletest", "connector/odoo/odootest", "connector/workday/workdaytest", "internal/store/storetest", "internal/store/sqlite/sqlitetest", "internal/store/postgres/pgtest", "internal/testdisk", "bench"}

func TestImportsPointDownwards(t *testing.T) {
	files := token.NewFileSet()
	seen := map[string]bool{}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (strings.HasPrefix(entry.Name(), ".") && name != "." || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(files, name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := path.Dir(filepath.ToSlash(name))
		may, known := allowed[pkg]
		if !known {
			t.Errorf("%s: the package %s is not in the table of this test", name, pkg)
			return nil
		}
		seen[pkg] = true
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			ours, isOurs := strings.CutPrefix(imported, module)
			if isOurs && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s, which %s may not", name, ours, pkg)
			}
			if isOurs && slices.Contains(testOnly, ours) && !slices.Contains(testOnly, pkg) {
				t.Errorf("%s imports %s, which is for tests", name, ours)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg := range allowed {
		if !seen[pkg] {
			t.Errorf("the table names %s, which does not exist", pkg)
		}
	}
}
