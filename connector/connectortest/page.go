package connectortest

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// The marks around what is generated in a page.
const (
	generated      = "<!-- generated from the descriptions of connectors; `make generate` writes it anew -->\n"
	endOfGenerated = "<!-- from here on by hand -->\n"
)

// sections are what a connector's page must say by hand.
var sections = []string{"## Permissions", "## Limits", "## Inactive skills", "## Known gaps"} //nolint:gochecknoglobals // a constant

// UpdateVariable is the variable that makes tests of generated text write it anew.
const UpdateVariable = "CROSSWALK_UPDATE"

// page holds the connector's page against its description.
func page(t *testing.T, h Harness) {
	if h.Page == "" {
		h.skip(t, "it has no page")
	}
	text := Generated(t, h.Page, Head(h.Connector.Describe()))
	for _, s := range sections {
		if _, after, ok := strings.Cut(text, "\n"+s+"\n"); !ok || strings.HasPrefix(strings.TrimSpace(after), "#") || strings.TrimSpace(after) == "" {
			t.Errorf("%s has no section %q", h.Page, s)
		}
	}
}

// Generated checks that the generated part of a file is what it should be, and returns the whole text. With UpdateVariable
// set it writes the part anew.
func Generated(t *testing.T, file, want string) string {
	t.Helper()
	read, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; start it with two lines:\n%s%s", err, generated, endOfGenerated)
	}
	before, rest, ok := strings.Cut(string(read), generated)
	got, after, ok2 := strings.Cut(rest, endOfGenerated)
	if !ok || !ok2 {
		t.Fatalf("%s needs the lines\n%s%s", file, generated, endOfGenerated)
	}
	want = "\n" + strings.TrimSpace(want) + "\n\n"
	if os.Getenv(UpdateVariable) != "" {
		text := before + generated + want + endOfGenerated + after
		if text != string(read) {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil { //nolint:gosec // the test names the file
				t.Fatal(err)
			}
		}
		return text
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("%s is not up to date; make generate mends it (-want +got):\n%s", file, diff)
	}
	return string(read)
}

// Head is the part of a connector's page that its description gives.
func Head(d connector.Description) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\n%s", d.Label, d.Summary)
	if d.Beta {
		b.WriteString(" The connector is new: nobody but its authors has used it yet.")
	}
	var can, cannot []string
	for _, c := range connector.Capabilities() {
		if d.Can(c) {
			can = append(can, c.Meaning())
		} else {
			cannot = append(cannot, c.Meaning())
		}
	}
	b.WriteString("\n\n| | |\n|---|---|\n")
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "| %s | %s |\n", name, fmt.Sprintf(format, args...))
	}
	row("tool", "`%s`, %s", d.Slug, d.Category)
	row("it", "makes and changes skills, %s", strings.Join(can, ", "))
	if len(cannot) > 0 {
		row("it never", "%s", strings.Join(cannot, ", "))
	}
	row("skills in one call", "%d", d.Limits.Batch)
	row("calls at once", "%d", d.Limits.Concurrency)
	if d.Limits.Calls > 0 {
		row("calls", "%d in %s", d.Limits.Calls, span(d.Limits.Per))
	}
	var links []string
	for _, l := range d.Links {
		links = append(links, fmt.Sprintf("[%s](%s)", l.Label, l.URL))
	}
	if len(links) > 0 {
		row("the vendor's pages", "%s", strings.Join(links, ", "))
	}
	b.WriteString("\n## Settings\n\n| setting | type | default | meaning |\n|---|---|---|---|\n")
	for _, f := range d.Settings {
		kind := string(f.Type)
		if len(f.Choices) > 0 {
			kind = "`" + strings.Join(f.Choices, "`, `") + "`"
		}
		if f.Secret {
			kind += ", secret"
		}
		if f.Shapes {
			kind += ", shapes skills"
		}
		fallback := ""
		switch {
		case f.Required:
			fallback = "required"
		case f.Default != "":
			fallback = "`" + f.Default + "`"
		}
		help := f.Help
		if f.Example != "" {
			help += " Example: `" + f.Example + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.Name, kind, fallback, strings.ReplaceAll(help, "|", `\|`))
	}
	fmt.Fprintf(&b, "\n    crosswalk integrations create --tool %s --name \"Acme GmbH\"", d.Slug)
	for _, f := range d.Settings {
		switch {
		case f.Required && f.Secret:
			fmt.Fprintf(&b, " \\\n      --set-file %s=FILE", f.Name)
		case f.Required:
			fmt.Fprintf(&b, " \\\n      --set %s=%s", f.Name, cmp.Or(f.Example, "…"))
		}
	}
	b.WriteString("\n")
	return b.String()
}

// Table is what connectors can do, for a page that shows all.
func Table(all []connector.Description) string {
	var b strings.Builder
	b.WriteString("| tool |")
	for _, c := range connector.Capabilities() {
		fmt.Fprintf(&b, " %s |", c)
	}
	b.WriteString(" skills in one call |\n|---|" + strings.Repeat("---|", len(connector.Capabilities())+1) + "\n")
	for _, d := range all {
		fmt.Fprintf(&b, "| [%s](docs/connectors/%s.md) |", d.Label, d.Slug)
		for _, c := range connector.Capabilities() {
			sign := "–"
			if d.Can(c) {
				sign = "✓"
			}
			fmt.Fprintf(&b, " %s |", sign)
		}
		fmt.Fprintf(&b, " %d |\n", d.Limits.Batch)
	}
	return b.String()
}

// span is a duration as people say it.
func span(d time.Duration) string {
	switch d {
	case time.Second:
		return "a second"
	case time.Minute:
		return "a minute"
	default:
		return d.String()
	}
}
