package dashboard_test

import (
	"context"
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// chromium starts a real browser. It is installed by scripts/test-needs.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Fatal("there is no Chromium: run scripts/test-needs")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	ctx, end := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(func() { end(); cancel(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	// Whatever the browser objects to is a fault: a script that fails, a style that the policy forbids.
	if err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the script failed: %+v", e.ExceptionDetails)
		case *cdplog.EventEntryAdded:
			if e.Entry.Source == cdplog.EntrySourceSecurity {
				t.Errorf("the browser objects: %s", e.Entry.Text)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// step is something that is done in a browser.
type step = chromedp.Action[chromedp.Void]

func run(ctx context.Context, t *testing.T, steps ...step) {
	t.Helper()
	for i, one := range steps {
		err := chromedp.Do(ctx, one)
		if err == nil {
			continue
		}
		at, _ := chromedp.Run(ctx, chromedp.Location()) // for the message alone
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText"))
		t.Fatalf("step %d: %v, at %s: %.1200s", i, err, at, text)
	}
}

// into keeps what an action returns.
func into[T any](to *T, a chromedp.Action[T]) step {
	return func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		v, err := a(ctx, target)
		*to = v
		return chromedp.Void{}, err
	}
}

// call sends a command of the protocol.
func call[P, R any](command cdp.Command[P, R], params P) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, command, params)
		return err
	})
}

// says waits for a text in an element.
func says(selector, text string) step {
	ask := chromedp.Evaluate[bool](fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))", selector, text))
	return func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); <-ticker.C {
			// Between two pages there is nobody to ask.
			if there, err := ask(ctx, target); err == nil && there {
				return none, nil
			}
			if ctx.Err() != nil {
				return none, ctx.Err()
			}
		}
		return none, fmt.Errorf("%s does not say %q", selector, text)
	}
}

// click clicks what bears a text.
func click(element, text string) step {
	return chromedp.Click(chromedp.Search(fmt.Sprintf("//%s[contains(normalize-space(.), %q)]", element, text)))
}

// A page that is watched follows its task, and shows the results when it ends.
func TestLivePage(t *testing.T) {
	s := open(t)
	s.addUser("ada", store.Viewer)
	slow := s.connect("Slow Inc.", `{"batch_limit":5,"latency":"40ms"}`)
	names := make([]string, 400)
	for i := range names {
		names[i] = fmt.Sprint("Skill ", i)
	}
	id := s.push(slow, items(names...)...)
	ctx := chromium(t)
	run(ctx, t,
		chromedp.Navigate(s.srv.URL+s.at("/tasks/"+id)),
		chromedp.SendKeys(chromedp.CSS("#name"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), password), click("button", "Sign in"),
		says("#progress", "a second"), says("#progress", "400 written"), says("#items tbody", "written"),
	)
}

// Everything that counts works without a script. With scripts off, what drives the page is the protocol alone.
func TestWithoutAScript(t *testing.T) {
	s := open(t)
	ctx := chromium(t)
	set := func(selector, text string) step {
		return into(new(string), chromedp.Evaluate[string](fmt.Sprintf("document.querySelector(%q).value = %q", selector, text)))
	}
	press := func(element, text string) step {
		return into(new(bool), chromedp.Evaluate[bool](fmt.Sprintf("[...document.querySelectorAll(%q)].find(e => e.textContent.includes(%q)).click() === undefined", element, text)))
	}
	var copies int
	run(ctx, t,
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}),
		chromedp.Navigate(s.srv.SetupLink),
		set("#name", "ada"), set("#password", password), press("button", "Set up"), says(".empty", "Make an API key"),
		press("a", "Make an API key"), says("h1", "Make an API key"), set("#name", "nightly"), press("button", "Make the key"), says("#key", "cw_live_"),
		into(&copies, chromedp.Evaluate[int](`[...document.querySelectorAll(".copy")].filter(e => e.checkVisibility()).length`)),
		press("nav a", "Integrations"), says("h1", "Integrations"), press("a", "Connect a tool"), says("h1", "Connect a tool"), press("a", "Sandbox"), says("h1", "Connect Sandbox"),
		set("#customer", "Acme GmbH"), press("button", "Test the connection"), says(".trial.good", "It works"),
		set("#set-refuse_names", "Weld"), press("button.primary", "Connect"), says(".notice", "is connected"),
	)
	if copies != 0 {
		t.Errorf("%d buttons that do nothing are shown", copies)
	}
	list, err := s.srv.Store.Integrations(t.Context(), s.env.ID)
	if err != nil || len(list) != 1 {
		t.Fatalf("%+v, %v", list, err)
	}
	id := s.push(list[0], items("Go", "Welding")...)
	s.ended(id)
	run(ctx, t,
		press("nav a", "Tasks"), says("h1", "Tasks"), press("a", id), says(".groups", "REMOTE.INPUT_INVALID"), press("button", "Retry 1 failed"), says(".notice", "1 skill is sent again"),
		press("nav a", "Secrets"), says("h1", "Secrets"), press("a", "nightly"), says("h1", "nightly"), set("#name", "nightly"), press("button", "Revoke"), says(".notice", "is revoked"),
		press("button", "Sign out"), says("h1", "Sign in"),
	)
}

// What the script adds to forms: a test that leaves alone what was typed, and a form that is sent once.
func TestFormsWithAScript(t *testing.T) {
	s := open(t)
	s.addUser("ada", store.Owner)
	acme := s.connect("Acme GmbH", `{}`)
	// sends counts how often a form would be sent if its button were clicked twice.
	sends := chromedp.Evaluate[int](`(() => {
		let n = 0;
		const count = event => { if (!event.defaultPrevented) n++; event.preventDefault(); };
		addEventListener("submit", count);
		const button = document.querySelector("main form button.primary");
		button.click(); button.click();
		removeEventListener("submit", count);
		return n;
	})()`)
	var typed string
	var first, second, third, filters int
	ctx := chromium(t)
	run(ctx, t,
		chromedp.Navigate(s.srv.URL+s.at("/integrations/"+acme.ID)),
		chromedp.SendKeys(chromedp.CSS("#name"), "ada"), chromedp.SendKeys(chromedp.CSS("#password"), password), click("button", "Sign in"), says("h1", "Acme GmbH"),
		chromedp.SendKeys(chromedp.CSS("#set-api_key"), "wrong-key"), click("button", "Test the connection"), says("#trial .bad", "does not accept the credentials"),
		chromedp.SetValue(chromedp.CSS("#set-api_key"), "good"), click("button", "Test the connection"), says("#trial .good", "It works"),
		into(&typed, chromedp.Evaluate[string](`document.querySelector("#set-api_key").value`)),
		into(&first, sends), into(&second, sends), into(new(bool), chromedp.Evaluate[bool](`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`)), into(&third, sends),
		chromedp.Navigate(s.srv.URL+s.at("/integrations")), into(&filters, chromedp.Evaluate[int](`(() => {
			let n = 0;
			addEventListener("submit", event => { if (!event.defaultPrevented) n++; event.preventDefault(); });
			const button = document.querySelector(".filters button");
			button.click(); button.click();
			return n;
		})()`)),
	)
	if typed != "good" {
		t.Errorf("after a test the field says %q", typed)
	}
	if first != 1 || second != 0 || third != 1 || filters != 2 {
		t.Errorf("clicked twice, a form was sent %d times, then %d times, then when its page was come back to %d times; a filter %d times", first, second, third, filters)
	}
}

// The keyboard alone is enough, and one sees where one is.
func TestKeyboard(t *testing.T) {
	s := open(t)
	s.addUser("ada", store.Owner)
	s.connect("Acme GmbH", `{}`)
	ctx := chromium(t)
	var focused string
	want := func(text string) step {
		return func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
			if focused, err = chromedp.Evaluate[string](`(e => e.textContent.trim() || e.id || e.tagName)(document.activeElement)`)(ctx, target); err == nil && focused != text {
				err = fmt.Errorf("the focus is on %q, want %q", focused, text)
			}
			return none, err
		}
	}
	evaluates := func(what, want string) step {
		return func(ctx context.Context, target *chromedp.Target) (none chromedp.Void, err error) {
			got, err := chromedp.Evaluate[string](what)(ctx, target)
			if err == nil && got != want {
				err = fmt.Errorf("%s is %q, want %q", what, got, want)
			}
			return none, err
		}
	}
	tab := chromedp.KeyEvent(kb.Tab)
	enter := chromedp.KeyEvent(kb.Enter)
	run(ctx, t,
		chromedp.Navigate(s.srv.URL+"/sign-in"), want("name"), chromedp.KeyEvent("ada"), tab, want("password"), chromedp.KeyEvent(password), enter, says("h1", "Overview"),
		tab, want("Skip to the content"), enter, chromedp.Navigate(s.srv.URL+s.at("/integrations")),
		tab, tab, want("Crosswalk"), tab, want("Environment: default"), enter, chromedp.WaitVisible(chromedp.CSS("details.switch[open]")), tab, want("default"),
		chromedp.KeyEvent(kb.Escape), chromedp.WaitNotPresent(chromedp.CSS("details.switch[open]")), want("Environment: default"), tab, want("Overview"), tab, want("Tasks"),
		// A choice in a filter is made with the arrows, and counts when it is asked for.
		chromedp.Navigate(s.srv.URL+s.at("/tasks?within=1h")), chromedp.Focus(chromedp.CSS("#state")), chromedp.KeyEvent(kb.ArrowDown), chromedp.KeyEvent(kb.ArrowDown), evaluates(`document.activeElement.value`, "going-on"),
		evaluates(`location.search`, "?within=1h"), click("button", "Filter"), says(".said", "going on"),
		chromedp.Navigate(s.srv.URL+s.at("/integrations")),
		chromedp.KeyEvent("/"), want("q"), chromedp.KeyEvent(kb.Backspace), chromedp.KeyEvent("acme"), enter, says(".said", "With “acme”"), says("tbody", "Acme GmbH"),
	)
	var outline string
	run(ctx, t, chromedp.Focus(chromedp.CSS("main a.primary")), chromedp.KeyEvent(kb.Tab), into(&outline, chromedp.Evaluate[string](`getComputedStyle(document.activeElement).outlineStyle`)))
	if outline == "none" {
		t.Error("the focus cannot be seen")
	}
}
