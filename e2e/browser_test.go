package e2e

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/crosswalk-hr/crosswalk/client"
)

// password is that of the tests' user.
const password = "correct horse battery"

// startNew starts a server that nobody has used and returns the link that it prints for its first user.
func (s *site) startNew(flags ...string) (setup string) {
	s.t.Helper()
	lines := s.begin(flags...)
	for link := regexp.MustCompile(`set up +(http\S+)`); setup == ""; {
		line, err := lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("the server printed no set-up link: %v\n%s", err, s.log)
		}
		if match := serves.FindStringSubmatch(line); match != nil {
			s.url = match[1]
		}
		if match := link.FindStringSubmatch(line); match != nil {
			setup = match[1]
		}
	}
	s.reap(lines)
	return setup
}

// browser starts Chromium with a profile of its own. Whatever it objects to is a fault of the page.
func browser(t *testing.T) *tab {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("there is no Chromium: run scripts/test-needs")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...) // it ends in the test's clean-up
	ctx, end := chromedp.NewContext(allocator)
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	t.Cleanup(func() {
		cancel()
		end()
		stop()
	})
	p := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("a script failed: %s", e.ExceptionDetails.Text)
		case *runtime.EventConsoleAPICalled:
			if e.Type == "error" {
				t.Errorf("the console has %d words of an error", len(e.Args))
			}
		}
	}); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return p
}

// tab is a browser's only one.
type tab struct {
	t   *testing.T
	ctx context.Context
}

type action = chromedp.Action[chromedp.Void]

// do carries out what a person does, each step within a minute, which is for slow machines: page times are measured elsewhere.
func (p *tab) do(steps ...action) {
	p.t.Helper()
	for i, step := range steps {
		if _, err := ask(p, step); err != nil {
			at, _ := ask(p, chromedp.Location())                   // for the message alone
			text, _ := ask(p, chromedp.Text(chromedp.CSS("body"))) // so is this
			p.t.Fatalf("step %d: %v, at %s:\n%.1500s", i+1, err, at, text)
		}
	}
}

func ask[T any](p *tab, a chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	return chromedp.Run(ctx, a)
}

// get is what an action finds out.
func get[T any](p *tab, a chromedp.Action[T]) T {
	p.t.Helper()
	v, err := ask(p, a)
	if err != nil {
		at, _ := ask(p, chromedp.Location()) // for the message alone
		p.t.Fatalf("%v, at %s", err, at)
	}
	return v
}

// with finds an element by its text.
func with(element, text string) chromedp.Search {
	return chromedp.Search(fmt.Sprintf("//%s[contains(normalize-space(.), %q)]", element, text))
}

// says waits for an element with a text. It works without scripts, and while pages change.
func says(element, text string) action { return chromedp.WaitVisible(with(element, text)) }

// click clicks the first element of a kind with a text.
func click(element, text string) action { return chromedp.Click(with(element, text)) }

// fill puts a text into a field.
func fill(id, text string) action {
	if text == "" {
		return chromedp.Clear(chromedp.ID(id))
	}
	return chromedp.Steps(chromedp.WaitVisible(chromedp.ID(id)), chromedp.SetValue(chromedp.ID(id), text))
}

func signIn() action {
	return chromedp.Steps(says("h1", "Sign in"), fill("name", "ada"), fill("password", password), click("button", "Sign in"), says("h1", "Overview"))
}

// setUp makes the first user.
func setUp(link string) action {
	return chromedp.Steps(
		chromedp.Navigate(link), says("h1", "Welcome"), fill("name", "ada"), fill("password", password),
		click("button", "Set up and sign in"), says("h1", "Overview"),
	)
}

// The outcome that the dashboard is for: from the first start to repaired skills, with nothing but a browser and the key.
func TestStory(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	link := s.startNew()
	p := browser(t)
	p.do(
		setUp(link), says("a", "Make an API key"),
		// The link was for one time; its user signs in.
		click("button", "Sign out"), signIn(),
		click("a", "Secrets"), says("h1", "Secrets"), click("a", "Make the first key"), says("h1", "Make an API key"),
		fill("name", "nightly"), click("button", "Make the key"), says("h1", "Your new API key"),
	)
	key, check := get(p, chromedp.Text(chromedp.ID("key"))), get(p, chromedp.TextContent(chromedp.ID("check")))
	push := get(p, chromedp.TextContent(chromedp.ID("push")))
	p.do(click("button", "copy"), says("button", "copied"))
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", check).CombinedOutput(); err != nil || !strings.Contains(string(out), `"environment_id"`) {
		t.Errorf("the line to try the key with: %v: %s", err, out)
	}
	p.do(click("a", "I have copied it"), says("h1", "Secrets"), says("td", "nightly"))
	if body := get(p, chromedp.OuterHTML(chromedp.CSS("html"))); strings.Contains(body, key) {
		t.Error("the key is shown a second time")
	}

	p.do(
		click("a", "Integrations"), says("h1", "Integrations"), click("a", "Connect a tool"), click("a", "Sandbox"), says("h1", "Connect Sandbox"),
		fill("customer", "Acme GmbH"), fill("set-api_key", "wrong-key"), fill("set-refuse_names", "^Weld"),
		click("button", "Test the connection"), says("*[@id='trial']//p", "does not accept the credentials"),
		fill("set-api_key", "good-key"), click("button", "Test the connection"), says("*[@id='trial']//p", "It works"),
		chromedp.Click(chromedp.CSS("button.primary")), says("h1", "Acme GmbH"),
	)
	integration := get(p, chromedp.Text(chromedp.CSS(".lede .id")))

	push = strings.ReplaceAll(push, "INTEGRATION", integration)
	if out, err := exec.CommandContext(t.Context(), "sh", "-c", push).CombinedOutput(); err != nil || !strings.Contains(string(out), `"task_id"`) {
		t.Errorf("the line to send a skill with: %v: %s", err, out)
	}
	c := client.New(s.url, key, integration)
	sent, err := c.UpsertSkills(t.Context(), []client.Item{
		{OriginID: "s-1", Name: "Negotiation"}, {OriginID: "s-2", Name: "Welding"}, {OriginID: "s-3", Name: "Go"}, {OriginID: "s-4", Name: "Welding aluminium"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), sent.TaskID, nil); err != nil {
		t.Fatal(err)
	}
	p.do(
		click("a", "Overview"), click("a", "2 failed"), says("h1", "Tasks"), click("a", sent.TaskID), says("h2", "Why 2 failed"), says("td", "REMOTE.INPUT_INVALID"),
		says("td", "This name is not allowed"), click("a", "show these"), says("p", "2 items of 4"), says("td", "Welding aluminium"),
		// The very exchange with the tool.
		chromedp.Click(chromedp.CSS("td .sub a")), says("h2", "Request"), says("pre", "Welding"), says("pre", "This name is not allowed"), click("a", sent.TaskID),
		// What it takes to repair them is changed, and they are sent again.
		click("a", "Sandbox, Acme GmbH"), says("h1", "Acme GmbH"), fill("set-refuse_names", ""), click("button", "Save"), says("p", "changed"),
		click("a", "Tasks"), says("h1", "Tasks"), click("a", sent.TaskID), click("button", "Retry 2 failed"),
		says("*[@class='notice']", "2 skills are sent again"), says("*[@id='progress']//p", "2 written"), says("*[@class='notice']", "2 skills are sent again"),
		click("a", "Settings"), click("a", "Audit log"), says("td", "sent failed skills again"),
	)
	if got := len(s.tool(integration)); got != 5 {
		t.Errorf("the tool has %d skills, want 5", got)
	}
	page := get(p, chromedp.Location())
	p.do(
		click("a", "Skills"), says("td", "Welding aluminium"), click("button", "Sign out"), says("h1", "Sign in"),
		chromedp.Navigate(page), says("h1", "Sign in"),
	)
}

// tabTo presses the tab key until something with a name has the focus, and wants the focus to be seen.
func (p *tab) tabTo(name string) {
	p.t.Helper()
	var passed []string
	for range 60 {
		p.do(chromedp.KeyEvent(kb.Tab))
		at := get(p, chromedp.Evaluate[string](`(e => e.id || e.textContent.trim())(document.activeElement)`))
		if at == name {
			if seen := get(p, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`)); seen == "none" {
				p.t.Errorf("nobody sees that %s has the focus", name)
			}
			return
		}
		passed = append(passed, at)
	}
	p.t.Fatalf("the keyboard does not lead to %s, but to %q", name, passed)
}

// Signing in, making a key and connecting a tool take no mouse.
func TestKeyboardAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	link := s.startNew()
	p := browser(t)
	typed, enter := func(text string) { p.do(chromedp.KeyEvent(text)) }, chromedp.KeyEvent(kb.Enter)
	p.do(chromedp.Navigate(link), says("h1", "Welcome"))
	typed("ada") // the first field has the focus
	p.tabTo("password")
	typed(password)
	p.do(enter, says("h1", "Overview"))
	p.tabTo("Sign out")
	p.do(enter, says("h1", "Sign in"))
	typed("ada")
	p.tabTo("password")
	typed(password)
	p.do(enter, says("h1", "Overview"))
	p.tabTo("Secrets")
	p.do(enter, says("h1", "Secrets"))
	p.tabTo("Make a key")
	p.do(enter, says("h1", "Make an API key"))
	typed("nightly")
	p.tabTo("Make the key")
	p.do(enter, says("h1", "Your new API key"), chromedp.WaitVisible(chromedp.ID("key")))
	p.tabTo("Integrations")
	p.do(enter, says("h1", "Integrations"))
	p.tabTo("Connect a tool")
	p.do(enter, says("h1", "Connect a tool"), chromedp.Focus(with("a", "Sandbox")), enter, says("h1", "Connect Sandbox"))
	typed("Acme GmbH")
	p.tabTo("Connect")
	p.do(enter, says("h1", "Acme GmbH"))
}

// The same without scripts, which is how the pages are made.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	link := s.startNew()
	p := browser(t)
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	p.do(
		setUp(link), click("button", "Sign out"), signIn(),
		click("a", "Secrets"), says("h1", "Secrets"), click("a", "Make a key"), fill("name", "nightly"), click("button", "Make the key"), says("h1", "Your new API key"),
		chromedp.WaitNotVisible(chromedp.CSS("button.copy")), // it would do nothing
	)
	key := get(p, chromedp.Text(chromedp.ID("key")))
	p.do(
		click("a", "Integrations"), says("h1", "Integrations"), click("a", "Connect a tool"), click("a", "Sandbox"), fill("customer", "Acme GmbH"),
		fill("set-refuse_names", "^Weld"), fill("set-api_key", "wrong"), click("button", "Test the connection"), says("p", "does not accept the credentials"),
		fill("set-api_key", "good"), chromedp.Click(chromedp.CSS("button.primary")), says("h1", "Acme GmbH"),
	)
	c := client.New(s.url, key, get(p, chromedp.Text(chromedp.CSS(".lede .id"))))
	sent, err := c.UpsertSkills(t.Context(), []client.Item{{OriginID: "s-1", Name: "TypeScript"}, {OriginID: "s-2", Name: "Welding"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(t.Context(), sent.TaskID, nil); err != nil {
		t.Fatal(err)
	}
	p.do(
		click("a", "Tasks"), says("h1", "Tasks"), click("a", sent.TaskID), says("h2", "Why 1 failed"), click("button", "Retry 1 failed"), says("p", "sent again"),
		click("button", "Sign out"), says("h1", "Sign in"),
	)
}

// axe finds what somebody cannot use. The file is fetched by scripts/test-needs.
const axe = "../.tools/axe-core-4.14.1/axe.min.js"

// violations are the serious and critical ones, each with the elements it is about.
const violations = `axe.run(document, {resultTypes: ["violations"]%s}).then(r => r.violations.
	filter(v => v.impact === "serious" || v.impact === "critical").
	map(v => v.id + ": " + v.help + ": " + v.nodes.slice(0, 5).map(n => n.target + " " + n.html.slice(0, 120) + " (" + (n.any[0] || n.all[0] || n.none[0] || {}).message + ")").join("; ")))`

// bySight are axe's rules that depend on the size of the screen and on its colours, or are about what one of the screens may
// show alone.
const bySight = `, runOnly: ["color-contrast", "link-in-text-block", "scrollable-region-focusable", "target-size", "aria-hidden-focus",
	"button-name", "link-name", "summary-name", "label", "select-name", "nested-interactive", "aria-allowed-attr", "aria-required-attr"]`

// Every page can be used by everybody, is no wider than the screen, light and dark, on a phone and a desk. With
// CROSSWALK_SCREENSHOTS=DIR they are drawn there: make screenshots.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	script, err := os.ReadFile(axe)
	if err != nil {
		t.Fatalf("%v: run scripts/test-needs", err)
	}
	s := newSite(t)
	link := s.startNew()
	p := browser(t)
	p.do(chromedp.Navigate(link), says("h1", "Welcome"))
	looks := []look{{1440, "light"}, {390, "dark"}, {1440, "dark"}, {390, "light"}}
	dir := os.Getenv("CROSSWALK_SCREENSHOTS")
	// The others would make the repository heavy and say little more.
	kept := []string{"overview", "tasks", "task", "skills", "integrations", "integration", "integration-new", "secrets", "key-once", "settings", "sign-in", "logs", "log"}
	// seen looks at the page as it is; the first looks differ in all that axe can tell. The rest of its rules is about the
	// document, which is the same in all of them: to read the script and to try its hundred rules is most of the test's time.
	seen := func(name string, at look, nth int) {
		t.Helper()
		if wide := get(p, chromedp.Evaluate[int](`document.documentElement.scrollWidth`)); wide > at.width {
			t.Errorf("%s is %d wide on a screen of %d", name, wide, at.width)
		}
		if nth < 2 {
			rules := bySight
			if nth == 0 {
				get(p, chromedp.Evaluate[*runtime.RemoteObject](string(script)+"; 0"))
				rules = ""
			}
			for _, v := range get(p, chromedp.Evaluate[[]string](fmt.Sprintf(violations, rules), chromedp.EvalAwaitPromise)) {
				t.Errorf("%s, %s at %d: %s", name, at.theme, at.width, v)
			}
		}
		if dir != "" && slices.Contains(kept, name) {
			p.draw(filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", name, at.width, at.theme)))
		}
	}
	look := func(name string) {
		t.Helper()
		for i, at := range looks {
			if i >= 2 && (dir == "" || !slices.Contains(kept, name)) {
				break
			}
			p.see(at)
			seen(name, at, i)
		}
	}
	look("set-up")
	p.see(looks[0])
	p.do(setUp(link))
	look("overview-first")
	base := get(p, chromedp.Location())
	for _, empty := range []string{"tasks", "skills", "integrations", "logs", "secrets"} {
		p.do(chromedp.Navigate(base+empty), chromedp.WaitVisible(chromedp.CSS("h1")))
		look(empty + "-first")
	}
	p.do(chromedp.Navigate(base+"secrets/new"), fill("name", "nightly upload"), click("button", "Make the key"), says("h1", "Your new API key"))
	look("key-once")
	key := get(p, chromedp.Text(chromedp.ID("key")))

	acme, task := s.fill(key)
	p.do(chromedp.Navigate(base+"secrets"), click("a", "nightly upload"), says("h1", "nightly upload"))
	look("key")
	for _, page := range []struct{ name, path string }{
		{"overview", ""},
		{"tasks", "tasks"},
		{"task", "tasks/" + task},
		{"skills", "skills"},
		{"skill", "skills/one?integration=" + acme + "&origin_id=skill-0007"},
		{"integrations", "integrations"},
		{"integration", "integrations/" + acme},
		{"tools", "integrations/new"},
		{"integration-new", "integrations/new?tool=hibob"},
		{"secrets", "secrets"},
		{"key-new", "secrets/new"},
		{"logs", "logs"},
		{"settings", "settings"},
		{"audit", "audit"},
		{"nothing", "tasks/nothing"},
		{"account", "../../account/"},
	} {
		p.do(chromedp.Navigate(base+page.path), chromedp.WaitVisible(chromedp.CSS("h1")))
		look(page.name)
	}
	p.see(looks[0])
	p.do(chromedp.Navigate(base+"tasks/"+task+"?outcome=failed"), chromedp.Click(chromedp.CSS("td .sub a")), says("h2", "Request"))
	look("log")
	p.do(click("button", "Sign out"), says("h1", "Sign in"))
	look("sign-in")
}

// fill makes an environment that is in use. It returns an integration and its task, of which some items failed.
func (s *site) fill(key string) (integration, task string) {
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
	push := func(name string, wait bool, items []client.Item, settings ...string) (string, string) {
		args := []string{"integrations", "create", "--tool", "sandbox", "--name", name}
		for _, set := range settings {
			args = append(args, "--set", set)
		}
		id := s.admin("id", args...)
		c := client.New(s.url, key, id)
		sent, err := c.UpsertSkills(s.t.Context(), items)
		if err == nil && wait {
			_, err = c.Wait(s.t.Context(), sent.TaskID, nil)
		}
		if err != nil {
			s.t.Fatal(err)
		}
		return id, sent.TaskID
	}
	push("Globex Corporation", false, items[:5], "refuse_credentials=true")
	push("Initech", false, items, "batch_limit=10", "latency=20s")
	return push("Acme GmbH", true, items, "refuse_names=(?i)^test", "batch_limit=100")
}

// look is a screen and what its owner likes.
type look struct {
	width int
	theme string
}

func (p *tab) see(l look) {
	p.t.Helper()
	height := int64(900)
	p.do(chromedp.EmulateViewport(int64(l.width), height))
	if _, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: l.theme}},
	}); err != nil {
		p.t.Fatal(err)
	}
}

// draw keeps what is on the screen, with at most 256 colours.
func (p *tab) draw(file string) {
	p.t.Helper()
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
