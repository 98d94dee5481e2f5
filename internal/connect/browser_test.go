package connect_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// chromium starts a real browser. It is installed by scripts/test-needs.
func chromium(t *testing.T) context.Context {
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
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(time.Minute),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	ctx, end := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(func() { end(); cancel(); stop() })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	// Whatever the browser objects to is a fault: a script that fails, something that the policy forbids.
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

func run(t *testing.T, ctx context.Context, steps ...step) { //nolint:revive // the test comes first
	t.Helper()
	for i, one := range steps {
		err := chromedp.Do(ctx, one)
		if err == nil {
			continue
		}
		text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText")) // for the message alone
		t.Fatalf("step %d: %v: %.1200s", i, err, text)
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

// says waits for a text in an element, over pages that come and go.
func says(selector, text string) step {
	return until(fmt.Sprintf("[...document.querySelectorAll(%q)].some(e => e.textContent.includes(%q))", selector, text))
}

func until(condition string) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		for {
			if ok, err := chromedp.Evaluate[bool](condition)(ctx, target); err == nil && ok {
				return nil
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("%s: %w", condition, ctx.Err())
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
}

// click clicks what bears a text.
func click(element, text string) step {
	return chromedp.Click(chromedp.Search(fmt.Sprintf("//%s[contains(normalize-space(.), %q)]", element, text)))
}

func (f *fixture) address(token string) string { return f.server.URL + "/connect/" + token }

func TestBrowser(t *testing.T) {
	f := setup(t)
	ctx := chromium(t)
	token := f.link(nil)
	var copied, connected string
	run(t, ctx,
		chromedp.Navigate(f.address(token)), says("h1", "Which tool"), says(".brand", "Talent Cloud"), click("a", "HiBob"), says("h1", "Connect HiBob"),
		chromedp.SendKeys(chromedp.CSS("#set-service_user_id"), f.company.User), chromedp.SendKeys(chromedp.CSS("#set-token"), "wrong"),
		chromedp.Click(chromedp.CSS("details.more summary")), chromedp.SetValue(chromedp.CSS("#set-address"), f.bob),
		click("button", "Test and connect"), says("[role=alert]", "HiBob does not accept these credentials"),
		click("a", "Deutsch"), says("h1", "HiBob verbinden"),
		chromedp.SendKeys(chromedp.CSS("#set-service_user_id"), f.company.User), chromedp.SendKeys(chromedp.CSS("#set-token"), f.company.Token),
		chromedp.Click(chromedp.CSS("details.more summary")), chromedp.SetValue(chromedp.CSS("#set-address"), f.bob),
		click("button", "Prüfen und verbinden"), says("h1", "HiBob ist verbunden"),
		into(&connected, chromedp.Text(chromedp.CSS("#token"))),
		chromedp.Click(chromedp.CSS(".copy")), into(&copied, chromedp.Text(chromedp.CSS(".copy"))),
	)
	if in := f.made(connected); in.Tool != "hibob" {
		t.Errorf("made %+v", in)
	}
	run(t, ctx, chromedp.Navigate(f.address(token)), says("h1", "This link cannot be used"))
}

// Without scripts everything works but telling the page around.
func TestBrowserWithoutScripts(t *testing.T) {
	f := setup(t)
	ctx := chromium(t)
	run(t, ctx,
		call(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}),
		chromedp.Navigate(f.address(f.link(nil))), click("a", "Odd"), chromedp.WaitVisible(chromedp.CSS("#set-secret")),
		click("button", "Test and connect"), chromedp.WaitVisible(chromedp.CSS("#set-secret-error")),
		chromedp.SendKeys(chromedp.CSS("#set-secret"), "s3cret"), click("button", "Test and connect"), chromedp.WaitVisible(chromedp.CSS("#done")),
	)
	if n := len(f.integrations()); n != 1 {
		t.Errorf("%d integrations", n)
	}
}

// The example's page embeds ours, which is used by the keyboard alone, and is told the token.
func TestBrowserInAFrame(t *testing.T) {
	f := setup(t)
	ctx := chromium(t)
	example, err := os.ReadFile("../../examples/connect/embed.html")
	if err != nil {
		t.Fatal(err)
	}
	link := f.address(f.link(func(l *store.Link) { l.Tool = "odd" })) + "/odd"
	told := make(chan string, 1)
	around := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			told <- r.PostFormValue("token")
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(strings.ReplaceAll(string(example), "LINK", link)))
	}))
	t.Cleanup(around.Close)
	if err := f.store.SetConnectSettings(t.Context(), f.env.ID, store.ConnectSettings{Origins: []string{"https://app.example", around.URL}}); err != nil {
		t.Fatal(err)
	}
	tab := chromedp.KeyEvent(kb.Tab)
	run(t, ctx,
		chromedp.Navigate(around.URL), says("h1", "Connect your HR system"),
		// The other language, the first field, the secret.
		tab, tab, tab, chromedp.KeyEvent("s3cret"), chromedp.KeyEvent(kb.Enter), says("#state", "Connected."),
	)
	select {
	case token := <-told:
		if in := f.made(token); in.Tool != "odd" {
			t.Errorf("made %+v", in)
		}
	default:
		t.Fatal("nothing was told")
	}
}

// A page opens ours in a window of its own, and is told the token.
func TestBrowserInAnotherWindow(t *testing.T) {
	f := setup(t)
	ctx := chromium(t)
	link := f.address(f.link(func(l *store.Link) { l.Tool = "odd" })) + "/odd"
	around := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!DOCTYPE html><title>Around</title><h1>Around</h1><button>Connect</button><p id="told"></p>
			<script>let w; document.querySelector("button").onclick = () => { w = window.open(%q) };
			addEventListener("message", (e) => { if (e.source === w) document.getElementById("told").textContent = e.origin + " " + e.data.type + " " + e.data.token })</script>`, link)
	}))
	t.Cleanup(around.Close)
	if err := f.store.SetConnectSettings(t.Context(), f.env.ID, store.ConnectSettings{Origins: []string{around.URL}}); err != nil {
		t.Fatal(err)
	}
	run(t, ctx, chromedp.Navigate(around.URL), says("h1", "Around"))
	opened := chromedp.WaitNewTarget(ctx, func(info *target.Info) bool { return strings.HasPrefix(info.URL, f.server.URL) })
	run(t, ctx, click("button", "Connect"))
	window, cancel := chromedp.NewContext(ctx, chromedp.WithTargetID(<-opened))
	defer cancel()
	run(t, window, chromedp.WaitVisible(chromedp.CSS("#set-secret")), chromedp.SendKeys(chromedp.CSS("#set-secret"), "s3cret"), click("button", "Test and connect"), chromedp.WaitVisible(chromedp.CSS("#done")))
	var told string
	run(t, ctx, says("#told", "crosswalk-connect"), into(&told, chromedp.Text(chromedp.ID("told"))))
	from, token, _ := strings.Cut(told, " crosswalk-connect ")
	if in := f.made(token); from != f.server.URL || in.Tool != "odd" {
		t.Errorf("%s told %q: made %+v", from, token, in)
	}
}
