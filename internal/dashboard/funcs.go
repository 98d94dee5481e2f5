package dashboard

import (
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// parse makes a template of each page: the frame, the parts that pages share, and the page.
func (d *Dashboard) parse() map[string]*template.Template {
	files, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		panic(err) // they are part of the program
	}
	shared := template.Must(template.New("").Funcs(d.funcs()).ParseFS(templates, "templates/frame.html", "templates/parts.html"))
	pages := map[string]*template.Template{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "templates/"), ".html")
		if name == "frame" || name == "parts" {
			continue
		}
		pages[name] = template.Must(template.Must(shared.Clone()).ParseFS(templates, file))
	}
	return pages
}

func (d *Dashboard) funcs() template.FuncMap {
	return template.FuncMap{
		"n":        number[int],
		"plural":   plural,
		"clock":    func(t time.Time) string { return clockTime(t, d.Now()) },
		"full":     func(t time.Time) string { return t.UTC().Format("Monday, 2 January 2006, 15:04:05 UTC") },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago":      func(t time.Time) string { return ago(d.Now().Sub(t)) },
		"took":     took,
		"bytes":    store.Bytes,
		"query":    query,
		"path":     url.PathEscape,
		"state":    taskState,
		"stateOf":  integrationState,
		"tool":     d.Connectors.Label,
		"percent":  percent,
		"dict":     dict,
		"describe": describe,
		"lower":    strings.ToLower,
		"short":    func(text string) string { return shorten(text, 80) },
		"first":    func(position int) int { return position + 1 },
		"number":   d.formNumber,
		"many":     func(list []store.IntegrationState) bool { return len(list) > mostChoices },
		"caps":     func(c connector.Capability) string { return c.Meaning() },
	}
}

// number writes thousands apart.
func number[T int | int64](n T) string {
	text := strconv.FormatInt(int64(n), 10)
	for at := len(text) - 3; at > 0 && text[at-1] != '-'; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// plural writes "1 skill", "2 skills".
func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	if last, ok := strings.CutSuffix(one, "y"); ok && !strings.HasSuffix(one, "ay") && !strings.HasSuffix(one, "ey") {
		return number(n) + " " + last + "ies"
	}
	return number(n) + " " + one + "s"
}

// clockTime is the time of day, and the date unless that is today.
func clockTime(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format("15:04:05 UTC")
	case t.Year() == now.Year():
		return t.Format("2 Jan, 15:04 UTC")
	default:
		return t.Format("2 Jan 2006, 15:04 UTC")
	}
}

func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "in " + took(-d)
	case d < 5*time.Second:
		return "just now"
	default:
		return took(d) + " ago"
	}
}

// took writes a duration with one or two units.
func took(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		if s := int(d.Seconds()) % 60; s != 0 && d < 10*time.Minute {
			return fmt.Sprintf("%d min %d s", int(d.Minutes()), s)
		}
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		if m := int(d.Minutes()) % 60; m != 0 {
			return fmt.Sprintf("%d h %d min", int(d.Hours()), m)
		}
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return plural(int(d.Hours()/24), "day")
	}
}

func percent(part, all int) string {
	if all == 0 {
		return "–"
	}
	share := float64(part) / float64(all) * 100
	if share > 0 && share < 0.1 {
		return "< 0.1 %"
	}
	return strings.TrimSuffix(strconv.FormatFloat(share, 'f', 1, 64), ".0") + " %"
}

// query writes "?a=b" of pairs, without the empty ones.
func query(pairs ...any) (string, error) {
	if len(pairs)%2 != 0 {
		return "", fmt.Errorf("query: %d arguments", len(pairs))
	}
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if text := fmt.Sprint(pairs[i+1]); text != "" && text != "0" {
			values.Set(fmt.Sprint(pairs[i]), text)
		}
	}
	if len(values) == 0 {
		return "?", nil
	}
	return "?" + values.Encode(), nil
}

// dict gives a part several values.
func dict(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("dict: %d arguments", len(pairs))
	}
	m := make(map[string]any, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		m[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return m, nil
}

// mark is a state as a shape, a word and a colour.
type mark struct{ Kind, Shape, Word string }

// The states.
func markOf(kind, word string) mark {
	shape := map[string]string{"ok": "●", "partly": "▲", "failed": "■", "waiting": "◌", "running": "◐", "off": "–"}[kind]
	return mark{kind, shape, word}
}

func taskState(h store.TaskHead) mark {
	switch {
	case h.Status == skill.Failed:
		return markOf("failed", "Failed")
	case h.Status == skill.Completed && h.Counts.Failed > 0:
		return markOf("partly", "Completed with failures")
	case h.Status == skill.Completed:
		return markOf("ok", "Completed")
	case h.Cancelled():
		return markOf("running", "Being cancelled")
	case h.Started:
		return markOf("running", "Running")
	default:
		return markOf("waiting", "Waiting")
	}
}

func integrationState(in store.Integration) mark {
	switch {
	case in.Deleted():
		return markOf("off", "Deleted")
	case !in.Enabled:
		return markOf("off", "Switched off")
	case in.InvalidReason != "":
		return markOf("failed", "Credentials refused")
	default:
		return markOf("ok", "Active")
	}
}

// describe says in words what a user's entry in the audit log did.
func describe(action string) string {
	words := map[string]string{
		"key.create": "made an API key", "key.rotate": "rotated an API key", "key.revoke": "revoked an API key",
		"integration.create": "connected a tool", "integration.settings": "changed settings", "integration.enable": "switched an integration on",
		"integration.disable": "switched an integration off", "integration.delete": "deleted an integration",
		"integration.policy": "changed policies", "integration.doubt": "doubted a catalogue", "integration.sync": "asked for a sync",
		"task.retry": "sent failed skills again", "task.cancel": "cancelled a task",
		"environment.create": "made an environment", "environment.rename": "renamed an environment", "environment.delete": "deleted an environment",
		"integration.test": "tested other settings",
		"link.connect":     "made a link to connect a tool", "link.relink": "made a link to connect anew", "link.setup": "made a link to settings",
		"environment.erase": "erased an environment", "environment.erased": "nothing is left of an erased environment",
		"environment.connect": "changed the page to connect", "master-key.rotate": "sealed all credentials under another master key",
		"user.setup": "set the server up", "user.create": "made a user", "user.role": "changed a role", "user.password": "set a password",
		"user.sign-in": "signed in", "user.link": "linked a sign-in", "user.sign-out": "signed out everywhere", "user.delete": "deleted a user",
	}
	if w, ok := words[action]; ok {
		return w
	}
	return action
}

func shorten(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

func hexed(b []byte) string { return hex.EncodeToString(b) }

// sorting is what the head of a column needs: the value that sorts by it next, and how it is sorted now.
type sorting struct{ Next, Now, Arrow string }

// sortedBy is for a column that a list may be sorted by both ways.
func sortedBy(now, column string) sorting {
	switch now {
	case column:
		return sorting{"-" + column, "ascending", "↑"}
	case "-" + column:
		return sorting{column, "descending", "↓"}
	}
	return sorting{column, "none", "↕"}
}
