package e2e

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
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
		case *cdplog.EventEntryAdded:
			if e.Entry.Source == cdplog.EntrySourceSecurity {
				t.Errorf("the browser objects: %s", e.Entry.Text)
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
		fill("customer", "Acme GmbH"), fill("set-api_key", "wrong-key"), fill("set-refuse_names", "^Weld"), fill("set-batch_limit", "10"), fill("set-latency", "1200ms"),
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
	items := []client.Item{{OriginID: "s-1", Name: "Negotiation"}, {OriginID: "s-2", Name: "Welding"}, {OriginID: "s-3", Name: "Go"}, {OriginID: "s-4", Name: "Welding aluminium"}}
	for i := range 56 {
		items = append(items, client.Item{OriginID: fmt.Sprint("s-", i+5), Name: fmt.Sprint("Go, level ", i+1)})
	}
	sent, err := c.UpsertSkills(t.Context(), items)
	if err != nil {
		t.Fatal(err)
	}
	p.do(click("a", "Tasks"), says("h1", "Tasks"), click("a", sent.TaskID), says("h1", sent.TaskID))
	p.watch(len(items))
	p.do(
		says("*[@id='items']//td", "failed"), // the results have come by themselves
		click("a", "Overview"), click("a", "2 failed"), says("h1", "Tasks"), click("a", sent.TaskID), says("h2", "Why 2 failed"), says("td", "REMOTE.INPUT_INVALID"),
		says("td", "This name is not allowed"), click("a", "show these"), says("p", "2 items of 60"), says("td", "Welding aluminium"),
		// The very exchange with the tool.
		chromedp.Click(chromedp.CSS("td .sub a")), says("h2", "Request"), says("pre", "Welding"), says("pre", "This name is not allowed"), click("a", sent.TaskID),
		// What it takes to repair them is changed, and they are sent again.
		click("a", "Sandbox, Acme GmbH"), says("h1", "Acme GmbH"), fill("set-refuse_names", ""), click("button", "Save"), says("p", "changed"),
		click("a", "Tasks"), says("h1", "Tasks"), click("a", sent.TaskID), click("button", "Retry 2 failed"),
		says("*[@class='notice']", "2 skills are sent again"), says("*[@id='progress']//p", "2 written"), says("*[@class='notice']", "2 skills are sent again"),
		click("a", "Settings"), click("a", "Audit log"), says("td", "sent failed skills again"),
	)
	if got := len(s.tool(integration)); got != 61 {
		t.Errorf("the tool has %d skills, want 61", got)
	}
	page := get(p, chromedp.Location())
	p.do(
		click("a", "Skills"), says("td", "Welding aluminium"), click("button", "Sign out"), says("h1", "Sign in"),
		chromedp.Navigate(page), says("h1", "Sign in"),
	)
}

// watch looks at the page of a task that goes on until it has ended: how far it is moves, and the page is not loaded again.
func (p *tab) watch(items int) {
	p.t.Helper()
	get(p, chromedp.Evaluate[bool](`window.watched = true`))
	seen := map[string]bool{}
	far := regexp.MustCompile(fmt.Sprintf(`(\d+) of %d`, items))
	eventually(p.t, time.Minute, "the task has ended", func() bool {
		text := get(p, chromedp.Evaluate[string](`(document.getElementById("progress") || document.body).textContent`))
		if at := far.FindStringSubmatch(text); at != nil {
			seen[at[1]] = true
		}
		return strings.Contains(text, "took")
	})
	delete(seen, "0")
	if len(seen) < 2 {
		p.t.Errorf("the page showed no more of how far the task is than %v", slices.Collect(maps.Keys(seen)))
	}
	if same := get(p, chromedp.Evaluate[bool](`window.watched === true`)); !same {
		p.t.Error("the page was loaded again")
	}
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
