package connect_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// A customer's admin chooses a tool, makes a mistake, mends it, and is done.
func TestConnect(t *testing.T) {
	f := setup(t)
	token := f.link(nil)
	page := f.get("/connect/" + token)
	if page.status != 200 || !strings.Contains(page.text("header"), "Talent Cloud") || !strings.Contains(page.text("main"), "Acme GmbH") {
		t.Fatalf("%d %s", page.status, page.body)
	}
	var offered []string
	page.Find(".tools strong").Each(func(_ int, s *goquery.Selection) { offered = append(offered, s.Text()) })
	if diff := cmp.Diff([]string{"HiBob", "Odd", "Odoo"}, offered); diff != "" { // no tool of another category, and no sandbox
		t.Errorf("offered (-want +got):\n%s", diff)
	}
	path, _ := page.Find(".tools a").First().Attr("href")
	page = f.get(path)
	if got := page.text("h1"); got != "Connect HiBob" {
		t.Errorf("title %q", got)
	}
	if page.Find(".needs li").Length() == 0 || page.Find(`.needs a[href^="https://apidocs.hibob.com"][rel~=noreferrer]`).Length() == 0 {
		t.Error("it does not say what is needed in the tool")
	}
	for selector, want := range map[string]string{
		`input[name="set.token"]`: "password", `input[name="set.address"]`: "url", `input[name="set.service_user_id"]`: "text",
	} {
		if kind, _ := page.Find(selector).Attr("type"); kind != want {
			t.Errorf("%s is of the type %q", selector, kind)
		}
	}
	if value, _ := page.Find(`details input[name="set.source"]`).Attr("value"); value != "crosswalk" {
		t.Errorf("the default is %q", value)
	}

	wrong := f.do("POST", path, f.form(page, append(f.bobs(), "set.token", "not-this-one")...))
	if wrong.status != 422 || wrong.text("[role=alert] strong") != "HiBob does not accept these credentials" || wrong.text("[role=alert] blockquote") == "" {
		t.Errorf("%d %s", wrong.status, wrong.text("[role=alert]"))
	}
	if value, _ := wrong.Find(`[name="set.service_user_id"]`).Attr("value"); value != f.company.User {
		t.Errorf("what was typed is gone: %q", value)
	}
	if value, _ := wrong.Find(`[name="set.token"]`).Attr("value"); value != "" || strings.Contains(wrong.body, "not-this-one") {
		t.Error("the secret is shown again")
	}
	if n := len(f.integrations()); n != 0 {
		t.Fatalf("%d integrations after a failed test", n)
	}

	done := f.do("POST", path, f.form(wrong, "set.token", f.company.Token))
	if done.status != 200 || done.text("h1") != "HiBob is connected" {
		t.Fatalf("%d %s", done.status, done.body)
	}
	in := f.made(done.token())
	if in.Tool != "hibob" || !in.Enabled || in.EnvironmentID != f.env.ID ||
		in.EndUser != (store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "anna@acme.example", OriginID: "acme-1"}) {
		t.Errorf("made %+v", in)
	}
	if diff := cmp.Diff(map[string]any{"service_user_id": f.company.User, "address": f.bob}, settingsOf(t, in)); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	values, err := account.Open(f.ring, in)
	if err != nil || string(values["token"]) != fmt.Sprintf("%q", f.company.Token) {
		t.Errorf("the token is not sealed with it: %s, %v", values["token"], err)
	}
	entries, err := f.store.AuditLog(t.Context(), store.AuditFilter{EnvironmentID: f.env.ID, Limit: 10})
	if err != nil || len(entries) != 1 || entries[0].Action != "integration.create" || entries[0].Target != in.ID || entries[0].Address != "127.0.0.1" ||
		entries[0].Detail != "HiBob of Acme GmbH, by a link for anna@acme.example" {
		t.Errorf("the audit log: %+v, %v", entries, err)
	}
	for _, secret := range []string{f.company.Token, token, done.token()} {
		if strings.Contains(f.log.String(), secret) {
			t.Errorf("the log holds a secret: %s", f.log)
		}
	}
	if again := f.get(path); again.status != 404 {
		t.Errorf("a used link: %d", again.status)
	}
}

// Whatever is wrong with a link, the answer is the same.
func TestLinksThatAreNotGood(t *testing.T) {
	f := setup(t)
	used := f.link(func(l *store.Link) { l.Tool = "sandbox" })
	if done := f.send("/connect/" + used + "/sandbox"); done.status != 200 {
		t.Fatal(done.body)
	}
	in := f.integrations()[0]
	deleted := f.link(func(l *store.Link) { l.Tool, l.Purpose, l.IntegrationID = "sandbox", store.Relink, in.ID })
	if _, err := f.store.DeleteIntegration(t.Context(), in.ID); err != nil {
		t.Fatal(err)
	}
	good := f.link(nil)
	expired := f.link(nil)
	named := f.link(func(l *store.Link) { l.Tool = "sandbox" })
	want := f.get("/connect/" + auth.NewLinkToken() + "/hibob")
	if want.status != 404 || want.text("h1") != "This link cannot be used" {
		t.Fatalf("%d %s", want.status, want.body)
	}
	f.clock.advance(time.Minute)
	same := func(name string, a answer) {
		t.Helper()
		if a.status != want.status || a.text("main") != want.text("main") {
			t.Errorf("%s: %d %s", name, a.status, a.text("main"))
		}
	}
	for name, path := range map[string]string{
		"unknown": auth.NewLinkToken(), "short": "x", "long": strings.Repeat("x", 500), "odd": "%00%ff", "used": used, "used, the form": used + "/sandbox",
		"a deleted integration": deleted + "/sandbox", "a tool that was not named": named + "/hibob", "the sandbox, unasked": good + "/sandbox",
		"a tool of another category": good + "/moodle", "no tool": good + "/nothing",
	} {
		same(name, f.get("/connect/"+path))
		if strings.Contains(path, "/") {
			same(name+", sent", f.do("POST", "/connect/"+path, url.Values{"form": {"x"}}))
		}
	}
	f.clock.advance(time.Hour)
	same("expired", f.get("/connect/"+expired))
	same("expired, sent", f.do("POST", "/connect/"+expired+"/hibob", url.Values{}))
	if a := f.get("/connect/"+expired, "Accept-Language", "de-AT,de;q=0.9"); a.text("h1") != "Dieser Link lässt sich nicht verwenden" {
		t.Errorf("in German: %s", a.text("h1"))
	}
}

// A form that is sent twice, at once or later, makes one integration and leads to one token.
func TestDoubleSubmit(t *testing.T) {
	f := setup(t)
	token := f.link(func(l *store.Link) { l.Tool = "hibob" })
	path := "/connect/" + token + "/hibob"
	form := f.form(f.get(path), f.bobs()...)
	var group sync.WaitGroup
	answers := make([]answer, 5)
	for i := range 4 {
		group.Go(func() { answers[i] = f.do("POST", path, form) })
	}
	group.Wait()
	answers[4] = f.do("POST", path, form)
	for _, a := range answers {
		if a.status != 200 || a.token() == "" || a.token() != answers[0].token() {
			t.Errorf("%d %s %q", a.status, a.text("h1"), a.token())
		}
	}
	if list := f.integrations(); len(list) != 1 || f.made(answers[0].token()).ID != list[0].ID {
		t.Errorf("%d integrations", len(list))
	}
	// Somebody who has only the link gets no token.
	form.Set("form", "another")
	if a := f.do("POST", path, form); a.status != 404 || a.token() != "" {
		t.Errorf("another form: %d %s", a.status, a.body)
	}
}

func TestFieldErrors(t *testing.T) {
	for language, test := range map[string]struct {
		lang string
		want map[string]string
	}{
		"English": {"en", map[string]string{
			"secret": "Please fill this in.", "number": "Please enter a number.", "wait": "Please enter a duration such as 30s or 1m30s.",
			"kind": "Please choose one of the list.", "data": "Please enter JSON.",
			"address": "Please enter an address such as https://example.com, without a user and a question mark.",
		}},
		"German": {"de", map[string]string{
			"secret": "Bitte ausfüllen.", "number": "Bitte eine Zahl eingeben.", "wait": "Bitte eine Dauer wie 30s oder 1m30s eingeben.",
			"kind": "Bitte eine der Möglichkeiten wählen.", "data": "Bitte JSON eingeben.",
			"address": "Bitte eine Adresse wie https://example.com eingeben, ohne Benutzer und ohne Fragezeichen.",
		}},
	} {
		t.Run(language, func(t *testing.T) {
			f := setup(t)
			path := "/connect/" + f.link(func(l *store.Link) { l.Tool, l.Language = "odd", test.lang }) + "/odd"
			a := f.send(path, "set.number", "many", "set.wait", "long", "set.kind", "c", "set.data", "{", "set.address", "ftp://x")
			if a.status != 422 || !strings.Contains(a.text("[role=alert]"), "6") {
				t.Fatalf("%d %s", a.status, a.text("[role=alert]"))
			}
			for name, want := range test.want {
				input := a.Find(fmt.Sprintf(`[name="set.%s"]`, name))
				if _, invalid := input.Attr("aria-invalid"); !invalid || a.text("#set-"+name+"-error") != want {
					t.Errorf("%s: %q", name, a.text("#set-"+name+"-error"))
				}
				if ids, _ := input.Attr("aria-describedby"); !strings.Contains(ids, "set-"+name+"-error") {
					t.Errorf("%s is not described by its error: %q", name, ids)
				}
			}
			if value, _ := a.Find(`[name="set.number"]`).Attr("value"); value != "many" {
				t.Errorf("what was typed is gone: %q", value)
			}
			if _, open := a.Find("details.more").Attr("open"); !open {
				t.Error("errors are hidden under more settings")
			}
			if lang, _ := a.Find("html").Attr("lang"); lang != test.lang {
				t.Errorf("lang %q", lang)
			}
			// What a connector says of a field stands there, in its own words.
			f.odd.open = errors.New("odd settings: number must be odd")
			a = f.send(path, "set.secret", "s3cret", "set.number", "2", "set.on", "")
			if got := a.text("#set-number-error"); !strings.Contains(got, "must be odd") || a.status != 422 {
				t.Errorf("%d %q", a.status, got)
			}
			f.odd.open = errors.New("odd settings: they do not fit together")
			if a = f.send(path, "set.secret", "s3cret"); !strings.Contains(a.text("[role=alert] blockquote"), "do not fit together") {
				t.Errorf("%d %s", a.status, a.text("[role=alert]"))
			}
		})
	}
}

// What has its default is not kept, and a switch may be turned off.
func TestValues(t *testing.T) {
	f := setup(t)
	path := "/connect/" + f.link(func(l *store.Link) { l.Tool = "odd" }) + "/odd"
	form := f.form(f.get(path), "set.secret", "s3cret", "set.kind", "b", "set.number", "2", "set.data", `{"a":[1]}`, "set.name", "  x ")
	if form.Get("set.on") != "true" {
		t.Fatalf("a switch that is on at first: %v", form)
	}
	form.Del("set.on")
	done := f.do("POST", path, form)
	if done.status != 200 {
		t.Fatal(done.body)
	}
	want := map[string]any{"kind": "b", "number": 2.0, "data": map[string]any{"a": []any{1.0}}, "name": "x", "on": false}
	if diff := cmp.Diff(want, settingsOf(t, f.made(done.token()))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTrials(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		title  string
		said   string
		german string
	}{
		"credentials":               {connector.Errorf(connector.Credentials, "no such user"), "Odd does not accept these credentials", "no such user", "Odd nimmt diese Zugangsdaten nicht an"},
		"permission":                {connector.Errorf(connector.Permission, "ask your admin"), "Odd accepts the credentials, but they may not write skills", "ask your admin", "Odd nimmt die Zugangsdaten an, aber sie dürfen keine Skills schreiben"},
		"throttled":                 {connector.Errorf(connector.Throttled, "slow down"), "Odd asks to be left alone for a while", "slow down", "Odd bittet um eine Pause"},
		"away":                      {connector.Errorf(connector.Away, "no route"), "Odd could not be reached", "no route", "Odd war nicht zu erreichen"},
		"unexpected":                {connector.Errorf(connector.Unexpected, "a web page"), "Odd answered something unexpected", "a web page", "Odd hat etwas Unerwartetes geantwortet"},
		"no error of a connector's": {errors.New("secret internals"), "Odd could not be reached", "the call ended without an answer", "Odd war nicht zu erreichen"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t)
			f.odd.check = func(context.Context) error { return test.err }
			for lang, title := range map[string]string{"en": test.title, "de": test.german} {
				a := f.send("/connect/"+f.link(func(l *store.Link) { l.Language = lang })+"/odd", "set.secret", "s3cret")
				if a.status != 422 || a.text("[role=alert] strong") != title || a.text("[role=alert] blockquote") != test.said {
					t.Errorf("%d %s", a.status, a.text("[role=alert]"))
				}
				if strings.Contains(a.body, "internals") || strings.Contains(a.body, "s3cret") {
					t.Error("something secret is shown")
				}
			}
			if len(f.integrations()) != 0 {
				t.Error("it was connected all the same")
			}
		})
	}
}

// A tool that does not answer is not waited for without end.
func TestTrialIsBounded(t *testing.T) {
	f := setup(t, func(f *fixture) { f.config.TestTime = 20 * time.Millisecond })
	f.odd.check = func(ctx context.Context) error {
		<-ctx.Done()
		return &connector.Error{Kind: connector.Away, Message: "no answer in time", Err: ctx.Err()}
	}
	if a := f.send("/connect/"+f.link(nil)+"/odd", "set.secret", "x"); a.status != 422 || a.text("[role=alert] blockquote") != "no answer in time" {
		t.Errorf("%d %s", a.status, a.text("[role=alert]"))
	}
}

// Nothing that others write is taken for markup.
func TestMarkupIsText(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'</title>{{.W}}` + "`"
	f := setup(t, func(f *fixture) {
		f.odd.label = evil
		env, err := f.store.CreateEnvironment(f.Context(), evil)
		if err != nil {
			f.Fatal(err)
		}
		f.env = env
	})
	f.odd.check = func(context.Context) error { return connector.Errorf(connector.Credentials, "%s", evil) }
	link := func() string {
		return f.link(func(l *store.Link) {
			l.EndUser = store.EndUser{OrganisationName: evil, CreatorEmail: evil, OriginID: evil}
		})
	}
	token := link()
	path := "/connect/" + token + "/odd"
	pages := map[string]answer{
		"choose": f.get("/connect/" + token), "form": f.get(path),
		"failed": f.send(path, "set.secret", evil, "set.name", evil, "set.number", evil, "set.data", evil),
		"tested": f.send(path, "set.secret", evil, "set.name", evil), "no tool": f.get("/connect/" + token + "/" + url.PathEscape(evil)),
		"no link": f.get("/connect/" + url.PathEscape(evil)),
	}
	f.odd.open = errors.New("odd settings: name: " + evil)
	pages["refused"] = f.send(path, "set.secret", evil)
	f.odd.open = nil
	f.odd.check = nil
	pages["done"] = f.send(path, "set.secret", evil, "set.name", evil)
	for name, a := range pages {
		if a.Find("script").Length() != 1 || a.Find("img[onerror]").Length() != 0 || a.Find("script:not([src])").Length() != 0 || a.Find("[onclick], style, [style]").Length() != 0 {
			t.Errorf("%s: markup of others: %s", name, a.body)
		}
	}
	if a := pages["tested"]; a.Find("[role=alert] blockquote").Text() != evil {
		t.Errorf("the tool's words are %q", a.Find("[role=alert] blockquote").Text())
	}
	if pages["done"].status != 200 {
		t.Errorf("done: %d", pages["done"].status)
	}
}

func TestHeaders(t *testing.T) {
	f := setup(t)
	token := f.link(func(l *store.Link) { l.Tool = "sandbox" })
	csp := func(a answer) map[string]string {
		all := map[string]string{}
		for part := range strings.SplitSeq(a.header.Get("Content-Security-Policy"), "; ") {
			name, value, _ := strings.Cut(part, " ")
			all[name] = value
		}
		return all
	}
	a := f.get("/connect/" + token + "/sandbox")
	for name, want := range map[string]string{
		"Referrer-Policy": "same-origin", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	want := map[string]string{
		"default-src": "'none'", "style-src": "'self'", "script-src": "'self'", "img-src": "'self'", "base-uri": "'none'",
		"form-action": "'self'", "frame-ancestors": "'none'",
	}
	if diff := cmp.Diff(want, csp(a)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := f.store.SetConnectSettings(t.Context(), f.env.ID, store.ConnectSettings{
		Origins: []string{"https://app.example", "http://localhost:3000"}, Redirect: "https://app.example/done?from=x",
	}); err != nil {
		t.Fatal(err)
	}
	want["frame-ancestors"], want["form-action"] = "https://app.example http://localhost:3000", "'self' https://app.example"
	a = f.get("/connect/" + token + "/sandbox")
	if diff := cmp.Diff(want, csp(a)); diff != "" || a.header.Get("X-Frame-Options") != "" {
		t.Errorf("X-Frame-Options %q (-want +got):\n%s", a.header.Get("X-Frame-Options"), diff)
	}
	if csp(f.get("/connect/" + auth.NewLinkToken()))["frame-ancestors"] != "'none'" {
		t.Error("anybody's page may frame a link that is not good")
	}
	for name, kind := range map[string]string{"connect.css": "text/css", "connect.js": "text/javascript", "icon.svg": "image/svg"} {
		if a := f.get("/assets/connect/" + name); a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), kind) {
			t.Errorf("%s: %d %s", name, a.status, a.header.Get("Content-Type"))
		}
	}
	if a := f.get("/assets/connect/connect.go"); a.status != 404 {
		t.Errorf("no asset: %d", a.status)
	}
}

// The end leads to the environment's address, but in a frame, where the page around is told.
func TestEnds(t *testing.T) {
	f := setup(t)
	if err := f.store.SetConnectSettings(t.Context(), f.env.ID, store.ConnectSettings{
		Origins: []string{"https://app.example"}, Redirect: "https://app.example/done?from=x",
	}); err != nil {
		t.Fatal(err)
	}
	path := "/connect/" + f.link(func(l *store.Link) { l.Tool = "sandbox" }) + "/sandbox"
	form := f.form(f.get(path))
	a := f.do("POST", path, form)
	to, err := url.Parse(a.header.Get("Location"))
	if err != nil || a.status != http.StatusSeeOther || to.Host != "app.example" || to.Path != "/done" || to.Query().Get("from") != "x" {
		t.Fatalf("%d %s", a.status, a.header.Get("Location"))
	}
	in := f.made(to.Query().Get("token"))
	a = f.do("POST", path, form, "Sec-Fetch-Dest", "iframe") // sent again
	if origins, _ := a.Find("#done").Attr("data-origins"); a.status != 200 || origins != "https://app.example" || f.made(a.token()).ID != in.ID {
		t.Errorf("in a frame: %d %s", a.status, a.body)
	}
	if a.text("#token") != a.token() || a.Find("a[href*=cwt_]").Length() != 0 {
		t.Error("the token is not there to be copied, or in an address")
	}
}

func TestCrossSite(t *testing.T) {
	f := setup(t)
	path := "/connect/" + f.link(func(l *store.Link) { l.Tool = "sandbox" }) + "/sandbox"
	form := f.form(f.get(path))
	for name, header := range map[string][]string{
		"another site":            {"Sec-Fetch-Site", "cross-site"},
		"a neighbour":             {"Sec-Fetch-Site", "same-site"},
		"another site, unlabeled": {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
	} {
		if a := f.do("POST", path, form, header...); a.status != 403 || !strings.Contains(a.text("main"), "sent from another site") {
			t.Errorf("%s: %d", name, a.status)
		}
	}
	if len(f.integrations()) != 0 {
		t.Fatal("it was taken")
	}
	// A browser that says only where it is, behind a proxy that changes the host.
	if a := f.do("POST", path, form, "Sec-Fetch-Site", "", "Origin", "https://skills.example.com"); a.status != 200 {
		t.Errorf("our own page: %d", a.status)
	}
}

func TestRelink(t *testing.T) {
	f := setup(t)
	done := f.send("/connect/"+f.link(nil)+"/hibob", append(f.bobs(), "set.requests_per_minute", "30")...)
	in := f.made(done.token())
	f.company.Token = "another token"
	token := f.link(func(l *store.Link) { l.Tool, l.Purpose, l.IntegrationID = "hibob", store.Relink, in.ID })
	if a := f.get("/connect/" + token); a.status != http.StatusSeeOther || !strings.HasPrefix(a.header.Get("Location"), "/connect/"+token+"/hibob") {
		t.Errorf("%d %s", a.status, a.header.Get("Location"))
	}
	path := "/connect/" + token + "/hibob"
	page := f.get(path)
	if page.text("h1") != "Connect HiBob again" {
		t.Errorf("title %q", page.text("h1"))
	}
	for name, want := range map[string]string{"service_user_id": f.company.User, "address": f.bob, "requests_per_minute": "30", "token": ""} {
		if got, _ := page.Find(`[name="set.` + name + `"]`).Attr("value"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if a := f.send(path); a.status != 422 || a.text("#set-token-error") == "" {
		t.Errorf("without the secret: %d", a.status)
	}
	again := f.send(path, "set.token", f.company.Token)
	if again.status != 200 || again.text("h1") != "HiBob is connected again" {
		t.Fatalf("%d %s", again.status, again.body)
	}
	got := f.made(again.token())
	values, err := account.Open(f.ring, got)
	if err != nil || got.ID != in.ID || string(values["token"]) != `"another token"` || string(values["requests_per_minute"]) != "30" {
		t.Errorf("%+v %v", values, err)
	}
	if len(f.integrations()) != 1 {
		t.Error("it made another one")
	}
}

func TestSetup(t *testing.T) {
	f := setup(t)
	in := f.made(f.send("/connect/"+f.link(nil)+"/hibob", f.bobs()...).token())
	token := f.link(func(l *store.Link) { l.Tool, l.Purpose, l.IntegrationID = "hibob", store.Setup, in.ID })
	path := "/connect/" + token + "/hibob"
	page := f.get(path)
	var names []string
	page.Find(`form [name^="set."]`).Each(func(_ int, s *goquery.Selection) {
		name, _ := s.Attr("name")
		names = append(names, name)
	})
	if diff := cmp.Diff([]string{"set.requests_per_minute"}, names); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	// Where the tool is stays as it is, whatever is sent.
	done := f.send(path, "set.requests_per_minute", "20", "set.address", "https://evil.example", "set.token", "x")
	if done.status != 200 || done.text("h1") != "Your settings of HiBob are saved" {
		t.Fatalf("%d %s", done.status, done.body)
	}
	values, err := account.Open(f.ring, f.made(done.token()))
	if err != nil || string(values["token"]) != fmt.Sprintf("%q", f.company.Token) || string(values["requests_per_minute"]) != "20" ||
		string(values["address"]) != fmt.Sprintf("%q", f.bob) {
		t.Errorf("%s %v", values, err)
	}
}

func TestTriesAreLimited(t *testing.T) {
	f := setup(t)
	f.odd.check = func(context.Context) error { return connector.Errorf(connector.Credentials, "no") }
	path := "/connect/" + f.link(nil) + "/odd"
	form := f.form(f.get(path), "set.secret", "guess")
	n := 0
	for a := f.do("POST", path, form); a.status != 429; a = f.do("POST", path, form) {
		if n++; n > 1000 {
			t.Fatal("credentials may be tried in a loop")
		}
		if a.status != 422 {
			t.Fatalf("%d %s", a.status, a.body)
		}
	}
	if n != 15 {
		t.Errorf("%d tries", n)
	}
	if a := f.get(path); a.status != 200 {
		t.Errorf("the page may not be looked at: %d", a.status)
	}
	f.clock.advance(10 * time.Minute)
	if a := f.do("POST", path, form); a.status != 422 {
		t.Errorf("later: %d", a.status)
	}
	// Many links from one address.
	for n = 0; n < 1000; n++ {
		path := "/connect/" + f.link(nil) + "/odd"
		if a := f.do("POST", path, form); a.status == 429 {
			break
		}
	}
	if n < 50 || n > 100 {
		t.Errorf("%d forms of one address", n)
	}
}

func TestGuessesAreLimited(t *testing.T) {
	f := setup(t)
	good := f.link(nil)
	n := 0
	for a := f.get("/connect/" + auth.NewLinkToken()); a.status == 404; a = f.get("/connect/" + auth.NewLinkToken()) {
		n++
	}
	a := f.get("/connect/" + auth.NewLinkToken())
	if n != 50 || a.status != 429 || a.header.Get("Retry-After") == "" {
		t.Errorf("%d guesses, then %d", n, a.status)
	}
	f.clock.advance(10 * time.Minute)
	if a := f.get("/connect/" + good); a.status != 200 {
		t.Errorf("later: %d", a.status)
	}
}

func TestWithoutMasterKey(t *testing.T) {
	f := setup(t, func(f *fixture) { f.config.Keyring = nil })
	a := f.send("/connect/"+f.link(nil)+"/odd", "set.secret", "s3cret")
	if a.status != 503 || !strings.Contains(a.text("[role=alert]"), "cannot store credentials at the moment") {
		t.Errorf("%d %s", a.status, a.text("[role=alert]"))
	}
	if !strings.Contains(f.log.String(), "CROSSWALK_MASTER_KEY") {
		t.Errorf("the log does not say what to do: %s", f.log)
	}
}

// away is a store that fails.
type away struct{ *sqlite.Store }

func (away) Link(context.Context, [32]byte) (store.Link, error) {
	return store.Link{}, errors.New("secret internals")
}

func TestTroubleOfOurs(t *testing.T) {
	f := setup(t, func(f *fixture) { f.config.Store = away{f.store} })
	a := f.get("/connect/" + auth.NewLinkToken())
	if a.status != 500 || strings.Contains(a.body, "internals") || !strings.Contains(f.log.String(), "secret internals") {
		t.Errorf("%d %s, log %s", a.status, a.body, f.log)
	}
}
