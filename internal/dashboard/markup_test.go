package dashboard_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
	"github.com/crosswalk-hr/crosswalk/internal/store/sqlite"
)

// hostile is what somebody writes who wants a browser to do more than to show it. It says where it was written.
func hostile(place string) string {
	return "at-" + place + `"'` + "`" + `></a></textarea></title><x-made onclick=__ran=1></x-made><script>__ran=1</script><img src=x onerror=__ran=1>{{.}}`
}

// places finds them in a page.
var places = regexp.MustCompile(`at-([a-z-]+)`)

// sight is what a page looks like to somebody who has written there.
type sight struct {
	Made    []string // that is no page's own: elements, handlers, addresses
	Ran     bool
	Refused []string // by the policy, so it would have run
	Text    string   // all that is shown, typed or said
}

const look = `(() => {
	const made = [...document.querySelectorAll("x-made, script:not([src]), img:not([src^='/assets/']), style, iframe, object, base, svg script")].map(e => e.outerHTML);
	let text = document.title;
	for (const e of document.querySelectorAll("*")) {
		for (const a of e.attributes) {
			text += " " + a.value;
			if (a.name.startsWith("on") || a.name === "style" || a.name === "srcdoc") made.push(e.tagName + " " + a.name + "=" + a.value);
		}
		for (const to of [e.href, e.action, e.formAction, e.src]) {
			if (typeof to === "string" && to && !/^https?:/.test(to)) made.push(e.tagName + " leads to " + to);
		}
		if (e.value) text += " " + e.value;
	}
	return {Made: made, Ran: "__ran" in window, Refused: window.__refused || ["nobody watches"], Text: text + " " + document.body.innerText};
})()`

// Whatever others write, a browser shows it, and does nothing else. It is asked twice: with the policy, which may not have had
// to refuse anything, and without it, when nothing but the pages themselves keeps a script from running.
func TestMarkupInABrowser(t *testing.T) {
	t.Parallel()
	var data string
	s := open(t, func(c *server.Config) { data = c.Database.Data })
	u := s.addUser("ada", store.Owner)
	var err error
	if s.env, err = s.srv.Store.CreateEnvironment(t.Context(), hostile("environment")); err != nil {
		t.Fatal(err)
	}
	quoted := func(text string) string {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	acme := s.connect(hostile("customer"), `{"refuse_names":`+quoted(hostile("setting"))+`,"scripts":{"id-1":[`+quoted("refuse: "+hostile("message"))+`]}}`)
	broken := s.connect(hostile("customer"), `{"refuse_credentials":true}`)
	slow := s.connect(hostile("customer"), `{"batch_limit":1,"latency":"500ms"}`)
	list := []skill.Item{{OriginID: "id-1", Name: hostile("skill"), Status: skill.Active}, {OriginID: hostile("origin"), Name: hostile("skill"), Status: skill.Active}}
	task := s.push(acme, list...)
	s.ended(task)
	s.ended(s.push(broken, list...))
	secret, key := s.apiKey(hostile("key"))
	exchange := skill.NewID(time.Now())
	header := http.Header{hostile("header"): {hostile("header-value")}, "User-Agent": {hostile("agent")}}
	if err := s.srv.Store.AppendInteractions(t.Context(), []store.Interaction{{
		ID: exchange, Outbound: true, EnvironmentID: s.env.ID, IntegrationID: acme.ID, TaskID: task, Items: store.Range{Stop: 1}, Key: hostile("prefix"),
		Method: hostile("method"), URL: hostile("path"), Took: time.Second, Failed: true,
		Exchange: store.Exchange{
			Error: hostile("break"), RequestHeader: header, AnswerHeader: http.Header{hostile("answer-header"): {hostile("answer-header-value")}},
			RequestBody: []byte(hostile("body")), AnswerBody: []byte(hostile("answer")),
		},
	}}); err != nil {
		t.Fatal(err)
	}
	entry, err := s.srv.Store.Record(t.Context(), store.AuditEntry{
		EnvironmentID: s.env.ID, UserID: u.ID, UserName: hostile("actor"), Address: hostile("address"), Action: hostile("action"), Detail: hostile("detail"),
	})
	if err == nil {
		err = s.srv.Store.RecordFailed(t.Context(), entry.ID, hostile("failed"))
	}
	if err != nil {
		t.Fatal(err)
	}
	// What no sandbox says of itself.
	db, err := sql.Open("sqlite", sqlite.DSN(filepath.Join(data, "crosswalk.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	set := func(statement string, values ...any) {
		t.Helper()
		if r, err := db.ExecContext(t.Context(), statement, values...); err != nil {
			t.Fatalf("%s: %v", statement, err)
		} else if n, err := r.RowsAffected(); n == 0 || err != nil {
			t.Fatalf("%s: %d rows, %v", statement, n, err)
		}
	}
	set("UPDATE skills SET remote_id = ?, noted = 1, noted_at = written_at + 1, noted_name = ?, noted_status = 1 WHERE written_at > 0", hostile("remote"), hostile("noted"))
	set("UPDATE integrations SET end_user_email = ?, end_user_origin_id = ? WHERE id = ?", hostile("mail"), hostile("customer-id"), acme.ID)
	set("UPDATE integrations SET invalid_reason = ?, invalid_at = created_at WHERE id = ?", hostile("reason"), broken.ID)
	set("UPDATE syncs SET ended_at = 1, error = ?", hostile("sync"))
	set("UPDATE api_keys SET created_by = ?, last_used_at = 1, last_used_from = ? WHERE id = ?", hostile("maker"), hostile("user-address"), key.ID)
	// A request as anybody may send it.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.srv.URL+"/v1/hris/skills/bulk?q="+url.QueryEscape(hostile("query")), strings.NewReader(`{"items":[{"origin_id":`+quoted(hostile("sent"))+`}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Authorization": {"Bearer " + secret}, "X-Integration-Id": {acme.ID}, "User-Agent": {hostile("caller")}, "X-Request-Id": {hostile("request-id")}, "Content-Type": {"application/json"}}
	answer, err := (&http.Client{Timeout: 30 * time.Second}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(answer.Body)
	if err != nil || answer.Body.Close() != nil {
		t.Fatal(err)
	}
	sent := regexp.MustCompile(`/logs/([0-9A-Za-z]+)`).FindSubmatch(said)
	if sent == nil {
		t.Fatalf("the request is not logged: %s", said)
	}
	for limit := time.Now().Add(10 * time.Second); ; { // the log is written beside the requests
		if _, err := s.srv.Store.Interaction(t.Context(), "", string(sent[1])); err == nil {
			break
		} else if time.Now().After(limit) {
			t.Fatal(err)
		}
	}

	ctx := chromium(t)
	run(ctx, t,
		call(cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{
			Source: `window.__refused = []; addEventListener("securitypolicyviolation", e => __refused.push(e.violatedDirective + " " + e.sample), true)`,
		}),
	)
	if err := chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*cdppage.EventJavascriptDialogOpening); ok {
			t.Errorf("a page asks: %s", e.Message)
		}
	}); err != nil {
		t.Fatal(err)
	}
	shows := func(name string, want ...string) {
		t.Helper()
		var at sight
		run(ctx, t, into(&at, chromedp.Evaluate[sight](look)))
		if at.Ran || len(at.Made)+len(at.Refused) > 0 {
			t.Errorf("%s: a script ran: %t; made: %q; refused: %q", name, at.Ran, at.Made, at.Refused)
		}
		here := map[string]bool{}
		for _, found := range places.FindAllStringSubmatch(at.Text, -1) {
			here[found[1]] = true
		}
		for _, place := range want {
			if !here[place] {
				t.Errorf("%s does not show what stands in the %s, only in %v", name, place, here)
			}
		}
	}
	type visit struct {
		path string
		want []string
	}
	q := url.QueryEscape(hostile("asked"))
	visits := []visit{
		{s.at("/"), []string{"environment", "user", "reason"}},
		{s.at("/tasks?q=" + q), []string{"asked", "customer"}},
		{s.at("/tasks"), []string{"customer"}},
		{s.at("/tasks/" + task), []string{"skill", "origin", "message", "customer"}},
		{s.at("/tasks/" + task + "?q=" + q + "&why=" + q + "&outcome=" + q), []string{"asked"}},
		{s.at("/skills"), []string{"skill", "origin", "remote", "message"}},
		{s.at("/skills?q=" + q + "&origin_id=" + q + "&integration=" + q + "&sort=" + q + "&state=" + q), []string{"asked"}},
		{s.at("/skills/one?" + values("integration", acme.ID, "origin_id", hostile("origin")).Encode()), []string{"skill", "origin", "remote", "noted"}},
		{s.at("/skills/one?" + values("integration", acme.ID, "origin_id", "id-1").Encode()), []string{"message"}},
		{s.at("/integrations"), []string{"customer", "reason"}},
		{s.at("/integrations?q=" + q), []string{"asked"}},
		{s.at("/integrations/" + acme.ID), []string{"customer", "setting", "mail", "customer-id", "sync"}},
		{s.at("/integrations/" + broken.ID), []string{"reason"}},
		{s.at("/integrations/new?tool=sandbox"), nil},
		{s.at("/integrations/new?tool=" + q), nil},
		{s.at("/integrations/link"), nil},
		{s.at("/logs"), []string{"path", "method"}},
		{s.at("/logs?q=" + q + "&status=" + q + "&integration=" + q), []string{"asked"}},
		{s.at("/logs/" + exchange), []string{"path", "method", "break", "header", "header-value", "agent", "answer-header", "answer-header-value", "body", "answer", "prefix"}},
		{s.at("/logs/" + string(sent[1])), []string{"query", "sent", "caller"}},
		{s.at("/secrets"), []string{"key", "maker", "user-address"}},
		{s.at("/secrets/" + key.ID), []string{"key", "maker", "user-address"}},
		{s.at("/settings"), []string{"environment", "user"}},
		{s.at("/audit"), []string{"actor", "address", "action", "detail", "failed"}},
		{s.at("/tasks/" + url.PathEscape(hostile("asked"))), nil},
		{"/account/", []string{"user"}},
	}
	// link leads a customer to the page to connect.
	link := func(l store.Link) string {
		t.Helper()
		token := auth.NewLinkToken()
		hash, _ := auth.HashToken(token)
		l.EnvironmentID, l.EndUser = s.env.ID, store.EndUser{OrganisationName: hostile("customer"), CreatorEmail: hostile("mail"), OriginID: hostile("customer-id")}
		if _, err := s.srv.Store.CreateLink(t.Context(), l, hash, time.Hour); err != nil {
			t.Fatal(err)
		}
		return "/connect/" + token
	}
	choose := link(store.Link{Purpose: store.Connect, Category: "HRIS"})
	relink := link(store.Link{Purpose: store.Relink, IntegrationID: acme.ID, Tool: "sandbox"})
	for _, language := range []string{"en", "de"} {
		visits = append(visits,
			visit{choose + "?lang=" + language, []string{"environment", "customer"}}, visit{choose + "/hibob?lang=" + language, []string{"environment", "customer"}},
			visit{relink + "/sandbox?lang=" + language, []string{"environment", "setting"}}, visit{"/connect/" + q + "?lang=" + language, nil})
	}
	signIn := func(name, password string) step {
		return chromedp.Steps(chromedp.SetValue(chromedp.CSS("#name"), name), chromedp.SendKeys(chromedp.CSS("#password"), password), chromedp.KeyEvent(kb.Enter))
	}
	for _, policy := range []bool{false, true} {
		run(ctx, t, call(cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: !policy}), chromedp.Navigate(s.srv.URL+"/sign-in?next="+q), signIn(hostile("stranger"), "wrong"), says(".wrong", ""))
		shows("a refused sign-in", "stranger")
	}
	run(ctx, t, signIn("ada", password), says("h1", "Overview"))
	set("UPDATE users SET name = ? WHERE id = ?", hostile("user"), u.ID)
	evil := chromedp.SetValue(chromedp.CSS("#set-refuse_names"), "("+hostile("typed"))
	for _, policy := range []bool{true, false} {
		run(ctx, t, call(cdppage.SetBypassCSP, cdppage.SetBypassCSPParams{Enabled: !policy}))
		for _, v := range visits {
			run(ctx, t, chromedp.Navigate(s.srv.URL+v.path), chromedp.WaitReady(chromedp.CSS("h1")))
			shows(v.path, v.want...)
		}
		// What a script puts into the page: a test's answer, a task that is watched, and the page in its place when it ends.
		run(ctx, t, chromedp.Navigate(s.srv.URL+s.at("/integrations/"+acme.ID)), evil, click("button", "Test the connection"), says("#trial .bad", "at-typed"))
		shows("a test beside its button", "typed", "setting")
		watched := []skill.Item{{OriginID: "id-1", Name: hostile(fmt.Sprint("skill, ", policy)), Status: skill.Active}, {OriginID: hostile("origin"), Name: hostile(fmt.Sprint("skill, ", policy)), Status: skill.Active}}
		running := s.push(slow, watched...)
		run(ctx, t, chromedp.Navigate(s.srv.URL+s.at("/tasks/"+running)), says("#progress", "0 of 2"), says("#progress", "written"), says("#items tbody tr:last-child", "written"))
		shows("a task that was watched", "skill", "origin", "customer")
		// Forms that come back, and what they make.
		submit := chromedp.Click(chromedp.CSS("main form.form button.primary"))
		run(ctx, t, chromedp.Navigate(s.srv.URL+s.at("/integrations/link")), chromedp.SetValue(chromedp.CSS("#customer"), hostile("linked")), chromedp.SetValue(chromedp.CSS("#email"), "anna@acme.example"), submit, says("h1", "The link for"))
		shows("a link that was made", "linked")
		run(ctx, t, chromedp.Navigate(s.srv.URL+s.at("/secrets/new")), chromedp.SetValue(chromedp.CSS("#name"), hostile("named")), submit, says("h1", "Your new API key"))
		shows("a key that was made", "named")
		// The customer's page: refused, then connected.
		path := link(store.Link{Purpose: store.Connect, Tool: "sandbox", Category: "HRIS"}) + "/sandbox"
		run(ctx, t, chromedp.Navigate(s.srv.URL+path), evil, chromedp.Click(chromedp.CSS("button.primary")), says("[role=alert]", ""))
		shows("the customer's form, refused", "typed")
		run(ctx, t, chromedp.Navigate(s.srv.URL+path), chromedp.Click(chromedp.CSS("button.primary")), chromedp.WaitVisible(chromedp.CSS("#done")))
		shows("the customer's last page", "environment")
	}
}
