package e2e

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/crosswalk-hr/crosswalk/client"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
)

// axe finds what somebody cannot use. The file is fetched by scripts/test-needs.
const axe = "../.tools/axe-core-4.14.1/axe.min.js"

// violations are the serious and critical ones, each with the elements it is about. Of a long table the first rows are looked at:
// the others are made by the same lines of a template, and each row's colours take as long as all the rest of a page.
const violations = `(async () => {
	for (const row of document.querySelectorAll("tbody tr:nth-child(n+13)")) row.remove();
	if (!window.axe) readAxe();
	const found = await axe.run(document, {resultTypes: ["violations"], preload: false%s});
	return found.violations.filter(v => v.impact === "serious" || v.impact === "critical").
		map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 5).map(n => n.target + " " + n.html.slice(0, 120) + " (" + (n.any[0] || n.all[0] || n.none[0] || {}).message + ")").join("; "));
})()`

// bySight are axe's rules that depend on the size of the screen and on its colours, or are about what one of the screens may
// show alone.
const bySight = `, runOnly: ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size", "aria-hidden-focus",
	"button-name", "link-name", "summary-name", "label", "select-name", "nested-interactive", "aria-allowed-attr", "aria-required-attr"]`

// look is a screen and what its owner likes.
type look struct {
	width int
	theme string
}

// The first two differ in all that axe can tell.
func looks() []look { return []look{{1440, "light"}, {390, "dark"}, {1440, "dark"}, {390, "light"}} }

// gallery looks at pages.
type gallery struct {
	*tab
	dir string // where pictures are drawn; empty: nowhere
}

func newGallery(t *testing.T) gallery {
	t.Helper()
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Fatalf("%v: run scripts/test-needs", err)
	}
	g := gallery{browser(t), os.Getenv("CROSSWALK_SCREENSHOTS")}
	// Each page has it from its beginning, as a function that is read only where it is needed.
	if _, err := chromedp.Call(g.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{
		Source: "window.readAxe = () => {" + string(script) + "\n}",
	}); err != nil {
		t.Fatal(err)
	}
	g.see(looks()[0], screen)
	return g
}

// look looks at the page as it is, on both screens, and wants the browser to be as it leaves it: with the first look. Rows of
// tables may be gone afterwards.
func (g gallery) look(name string) {
	g.t.Helper()
	for i, at := range looks() {
		if i >= 2 && g.dir == "" {
			break
		}
		if i > 0 {
			g.see(at, screen)
		}
		if wide := get(g.tab, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); wide > at.width {
			g.t.Errorf("%s is %d wide on a screen of %d", name, wide, at.width)
		}
		if g.dir != "" {
			g.draw(filepath.Join(g.dir, fmt.Sprintf("%s-%d-%s.png", name, at.width, at.theme)), at)
		}
	}
	// Most of axe's rules are about the document, which is the same on both screens.
	rules := ""
	for _, at := range []look{looks()[1], looks()[0]} {
		if g.dir != "" || at != looks()[1] {
			g.see(at, screen)
		}
		for _, v := range get(g.tab, chromedp.Evaluate[[]string](fmt.Sprintf(violations, rules), chromedp.EvalAwaitPromise)) {
			g.t.Errorf("%s, %s at %d: %s", name, at.theme, at.width, v)
		}
		rules = bySight
	}
}

// Every page can be used by everybody, is no wider than the screen, light and dark, on a phone and a desk, and lets the browser
// object to nothing. With CROSSWALK_SCREENSHOTS=DIR all are drawn there: make screenshots.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	link := s.startNew("--allow-private-tools")
	g := newGallery(t)
	g.do(chromedp.Navigate(link), says("h1", "Welcome"))
	g.look("set-up")
	g.do(setUp(link))
	g.look("overview-first")
	base := get(g.tab, chromedp.Location())
	open := func(path string) action {
		return chromedp.Steps(chromedp.Navigate(base+path), chromedp.WaitVisible(chromedp.CSS("h1")))
	}
	for _, empty := range []string{"tasks", "skills", "integrations", "logs", "secrets"} {
		g.do(open(empty))
		g.look(empty + "-first")
	}
	g.do(open("secrets/new"), fill("name", "nightly upload"), click("button", "Make the key"), says("h1", "Your new API key"))
	g.look("key-once")
	key := get(g.tab, chromedp.Text(chromedp.ID("key")))
	bob := hibobtest.New(t)
	bob.Refuse = "Test, please ignore"
	for _, taken := range []string{"German, C1", "First aid, level 3", "Welding, level 11"} {
		bob.MakeByHand(taken)
	}
	tool := httptest.NewServer(bob)
	t.Cleanup(tool.Close)
	in := s.fill(key, bob.Settings(tool.URL+"/v1"))

	g.do(open("secrets"), click("a", "nightly upload"), says("h1", "nightly upload"))
	g.look("key")
	for _, page := range []struct{ name, path string }{
		{"overview", ""},
		{"tasks", "tasks"},
		{"tasks-none", "tasks?q=skill-9"},
		{"task", "tasks/" + in.task},
		{"task-running", "tasks/" + in.running},
		{"task-refused", "tasks/" + in.refused},
		{"skills", "skills"},
		{"skill", "skills/one?integration=" + in.acme + "&origin_id=skill-0001"},
		{"skill-refused", "skills/one?integration=" + in.acme + "&origin_id=skill-0007"},
		{"integrations", "integrations"},
		{"integration", "integrations/" + in.acme},
		{"integration-refused", "integrations/" + in.globex},
		{"tools", "integrations/new"},
		{"integration-new", "integrations/new?tool=hibob"},
		{"link", "integrations/link"},
		{"secrets", "secrets"},
		{"key-new", "secrets/new"},
		{"logs", "logs"},
		{"settings", "settings"},
		{"audit", "audit"},
		{"nothing", "tasks/nothing"},
		{"account", "../../account/"},
	} {
		g.do(open(page.path))
		g.look(page.name)
	}
	g.do(open("tasks/"+in.task+"?outcome=failed"), chromedp.Click(chromedp.CSS("td .sub a")), says("h2", "Request"))
	g.look("log")
	// A fake takes a wrong token once.
	another := httptest.NewServer(hibobtest.New(t))
	t.Cleanup(another.Close)
	enter := func(token, address string) action {
		return chromedp.Steps(fill("set-service_user_id", bob.User), fill("set-token", token), fill("set-address", address+"/v1"))
	}
	g.do(open("integrations/new?tool=hibob"), fill("customer", "Umbrella Ltd"), enter("wrong", another.URL), click("button", "Test the connection"), says("*[@id='trial']//p", "does not accept the credentials"))
	g.look("integration-tested")

	// The customer's page, from the link to the end of it.
	g.do(open("integrations/link"), fill("customer", "Hooli"), fill("email", "anna@hooli.example"), click("button", "Make the link"), says("h1", "The link for Hooli"))
	g.look("link-once")
	to := get(g.tab, chromedp.Text(chromedp.ID("link")))
	g.do(chromedp.Navigate(to), says("h1", "Which tool"))
	g.look("connect-choose")
	g.do(click("a", "HiBob"), says("h1", "Connect HiBob"))
	g.look("connect-form")
	g.do(chromedp.Click(chromedp.CSS("details.more summary")), enter("wrong", tool.URL), click("button", "Test and connect"), says("*[@role='alert']", "HiBob does not accept these credentials"))
	g.look("connect-refused")
	g.do(click("a", "Deutsch"), says("h1", "HiBob verbinden"))
	g.look("connect-german")
	g.do(chromedp.Click(chromedp.CSS("details.more summary")), enter(bob.Token, tool.URL), click("button", "Prüfen und verbinden"), says("h1", "HiBob ist verbunden"))
	g.look("connect-done")
	g.do(chromedp.Navigate(to), says("h1", "This link cannot be used"))
	g.look("connect-gone")

	g.do(open(""), click("button", "Sign out"), says("h1", "Sign in"))
	g.look("sign-in")
	g.do(fill("name", "ada"), fill("password", "not hers"), click("button", "Sign in"), says("p", "No user has this name"))
	g.look("sign-in-refused")
}

// used is what an environment that is in use has.
type used struct {
	acme, globex           string // integrations
	task, running, refused string // some items of the first failed, and all of the last
}

// fill makes an environment that is in use. The settings are those of Acme's HiBob.
func (s *site) fill(key string, bob json.RawMessage) (in used) {
	s.t.Helper()
	words := []string{
		"TypeScript", "Negotiation", "Welding", "Forklift licence", "Python", "Project management", "Test, please ignore", "German, C1", "Data modelling", "First aid",
	}
	items := make([]client.Item, 240)
	for i := range items {
		items[i] = client.Item{OriginID: fmt.Sprintf("skill-%04d", i+1), Name: words[i%len(words)]}
		if i >= len(words) {
			items[i].Name = fmt.Sprintf("%s, level %d", items[i].Name, i/len(words))
		}
	}
	connect := func(tool, customer string, settings ...string) string {
		args := []string{"integrations", "create", "--tool", tool, "--name", customer}
		for _, set := range settings {
			args = append(args, "--set", set)
		}
		return s.admin("id", args...)
	}
	push := func(id string, wait bool, items []client.Item) string {
		s.t.Helper()
		c := client.New(s.url, key, id)
		sent, err := c.UpsertSkills(s.t.Context(), items)
		if err == nil && wait {
			_, err = c.Wait(s.t.Context(), sent.TaskID, nil)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return sent.TaskID
	}
	var settings map[string]string
	if err := json.Unmarshal(bob, &settings); err != nil {
		s.t.Fatal(err)
	}
	list := []string{"requests_per_minute=6000"}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		list = append(list, name+"="+settings[name])
	}
	in.acme, in.globex = connect("hibob", "Acme GmbH", list...), connect("sandbox", "Globex Corporation", "refuse_credentials=true")
	// A day of uploads.
	for _, one := range []struct{ hours, skills int }{{20, 64}, {14, 90}, {9, 120}, {8, 40}, {3, 150}} {
		id := push(in.acme, true, items[:one.skills])
		s.exec(fmt.Sprintf("UPDATE tasks SET created_at = created_at - %[1]d, completed_at = completed_at - %[1]d WHERE id = '%[2]s'", one.hours*3600_000, id))
	}
	in.task = push(in.acme, true, items)
	in.refused = push(in.globex, true, items[:5])
	in.running = push(connect("sandbox", "Initech", "batch_limit=60", "latency=20s"), false, items)
	return in
}

// screen is how high a screen is.
const screen = 900

func (p *tab) see(l look, height int) {
	p.t.Helper()
	p.do(chromedp.EmulateViewport(int64(l.width), int64(height)))
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.theme}},
	}); err != nil {
		p.t.Fatal(err)
	}
}

// draw keeps the page, of a long one its beginning, with at most 256 colours.
func (p *tab) draw(file string, at look) {
	p.t.Helper()
	const most = 1600
	if high := min(most, get(p, chromedp.Evaluate[int](`document.documentElement.scrollHeight`))); high > screen {
		p.see(at, high)
	}
	get(p, chromedp.Evaluate[bool]("scrollTo(0, 0), true"))
	full, err := png.Decode(bytes.NewReader(get(p, chromedp.CaptureScreenshot())))
	if err != nil {
		p.t.Fatal(err)
	}
	often := map[color.Color]int{}
	for y := full.Bounds().Min.Y; y < full.Bounds().Max.Y; y++ {
		for x := full.Bounds().Min.X; x < full.Bounds().Max.X; x++ {
			often[full.At(x, y)]++
		}
	}
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(often), func(a, b color.Color) int { return cmp.Compare(often[b], often[a]) }) {
		if len(palette) < 256 && (len(palette) == 0 || unlike(c, palette[palette.Index(c)])) {
			palette = append(palette, c)
		}
	}
	small := image.NewPaletted(full.Bounds(), palette)
	draw.Draw(small, small.Bounds(), full, full.Bounds().Min, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

// unlike reports whether two colours can be told apart.
func unlike(a, b color.Color) bool {
	r, g, b1, _ := a.RGBA()
	r2, g2, b2, _ := b.RGBA()
	var far int
	for _, d := range []int{int(r) - int(r2), int(g) - int(g2), int(b1) - int(b2)} {
		far += max(d, -d) >> 8
	}
	return far > 12
}
