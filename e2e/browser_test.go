package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
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
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
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

// do carries out what a person does, each step within 15 s.
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
	ctx, cancel := context.WithTimeout(p.ctx, 15*time.Second)
	defer cancel()
	return chromedp.Run(ctx, a)
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
	p.do(setUp(link))
	p.do(click("button", "Sign out"), signIn())
	p.do(click("button", "Sign out"), says("h1", "Sign in"))
}
