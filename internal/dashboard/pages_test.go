package dashboard_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/server"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestEmptyPagesTeach(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Owner)
	b.get(s.at("/")).want(http.StatusOK, link(".empty a", s.at("/secrets/new")), link(".empty a", s.at("/integrations/new")), in(".empty pre", "crosswalk skills push"))
	b.get(s.at("/tasks")).want(http.StatusOK, in(".empty", "Each bulk request becomes a task", "crosswalk skills push"), not("table"))
	b.get(s.at("/skills")).want(http.StatusOK, in(".empty", "our id of it"), not("table"))
	b.get(s.at("/integrations")).want(http.StatusOK, in(".empty", "crosswalk integrations create"), link(".empty a", s.at("/integrations/new")))
	b.get(s.at("/secrets")).want(http.StatusOK, in(".empty", "crosswalk keys create"), link(".empty a", s.at("/secrets/new")))
	b.get(s.at("/audit?of=here")).want(http.StatusOK, in(".empty", "Nobody has changed anything yet"))
}

// Somebody with a browser and a key finds on an integration's page the line that sends skills to it, and it works as it stands.
func TestSendFromAnIntegrationsPage(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	secret, _ := s.apiKey("nightly")
	acme := s.connect("Acme GmbH", `{}`)
	file := "crosswalk skills push skills.csv --wait --url " + s.srv.URL + " --api-key KEY --integration " + acme.ID
	at := s.at("/integrations/" + acme.ID)
	p := b.get(at).want(http.StatusOK, not("details #push"), in("main", "origin_id,name", "skill-1,TypeScript"), link("main section a", s.at("/secrets")))
	if got := strings.ReplaceAll(p.text("pre:contains('skills push')"), `\ `, ""); got != file {
		t.Errorf("the command is %q", got)
	}
	line := p.Find("#push").Text()
	if p.Find("#push + .copy").AttrOr("data-copy", "") != line {
		t.Error("the button copies something else")
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(line, "KEY", secret, 1)).CombinedOutput()
	var answer struct {
		Data struct {
			TaskID string `json:"task_id"`
		} `json:"data"`
	}
	if bad := json.Unmarshal(out, &answer); err != nil || bad != nil || answer.Data.TaskID == "" {
		t.Fatalf("%s\n%v: %s", line, err, out)
	}
	if head := s.ended(answer.Data.TaskID); head.IntegrationID != acme.ID || head.Counts.Written != 3 {
		t.Errorf("the task: %+v", head)
	}
	b.get(at).want(http.StatusOK, in("details summary", "Send skills to it"), in("details #push", acme.ID))
	if _, err := s.srv.Store.DeleteIntegration(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	b.get(at).want(http.StatusOK, not("#push"), not("main", "skills.csv"))

	// Where nothing was sent yet, the commands name the server, and an integration if there is one.
	other, err := s.srv.Store.CreateEnvironment(t.Context(), "staging")
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"INTEGRATION", ""} {
		if to == "" {
			in, err := s.srv.Store.CreateIntegration(t.Context(), store.Integration{EnvironmentID: other.ID, Tool: "sandbox", Settings: []byte(`{}`), EndUser: store.EndUser{OrganisationName: "Globex"}})
			if err != nil {
				t.Fatal(err)
			}
			to = in.ID
		}
		for _, path := range []string{"/", "/tasks", "/skills"} {
			b.get("/e/"+other.ID+path).want(http.StatusOK, in(".empty pre", "--url "+s.srv.URL, "--api-key KEY --integration "+to), in(".empty", "origin_id,name"), link(".empty a", "/e/"+other.ID+"/secrets"))
		}
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Member)
	b.get(s.at("/secrets/new")).want(http.StatusOK, in("form label", "Name", "It ends", "Addresses"))
	b.post(s.at("/secrets/new"), "name", " ", "expires", "7h", "addresses", "192.0.2.1\nnonsense").want(http.StatusUnprocessableEntity,
		in("#name-error", "Give it a name"), in("#scopes-error", "may do nothing"), in("#expires-error", "Choose one"), in("#addresses-error", "nonsense"),
		in("#addresses", "192.0.2.1"), count("#name[aria-invalid=true]", 1))
	p := b.post(s.at("/secrets/new"), "name", "nightly", "write", "1", "expires", "720h", "addresses", "192.0.2.1, 198.51.100.0/24").want(http.StatusOK,
		in(".lede", "“nightly” may write skills"), in("#check", s.srv.URL+"/v1/check-api-key"), in("#push", "X-Integration-Id: INTEGRATION"), in("main", "not shown again"))
	secret := p.text("#key")
	if !strings.HasPrefix(secret, "cw_live_") || p.Find(".once .copy").AttrOr("data-copy", "") != secret || p.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the key is %q", secret)
	}
	keys, err := s.srv.Store.Keys(t.Context(), s.env.ID)
	if err != nil || len(keys) != 1 {
		t.Fatalf("keys: %+v, %v", keys, err)
	}
	key := keys[0]
	if key.CreatedBy != "ada" || key.Scopes != store.WriteSkills || len(key.Addresses) != 2 || key.ExpiresAt.Sub(key.CreatedAt) != 720*time.Hour {
		t.Errorf("the key: %+v", key)
	}
	b.get(s.at("/secrets")).want(http.StatusOK, in("tbody tr", "nightly", key.Prefix+"…", "Active", "write skills", "by ada", "never"), not("body", secret))
	at := s.at("/secrets/" + key.ID)
	b.get(at).want(http.StatusOK, in("dl", "198.51.100.0/24", "192.0.2.1/32"), not("body", secret))
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody tr", "made an API key", "nightly"), not("body", secret))

	// It is used, and that is noted.
	if err := s.srv.Store.NoteKeysUsed(t.Context(), []store.KeyUse{{KeyID: key.ID, Ago: time.Hour, From: netip.MustParseAddr("192.0.2.1")}}); err != nil {
		t.Fatal(err)
	}
	b.get(at).want(http.StatusOK, in("dl", "1 h ago", "from 192.0.2.1"))

	b.post(at+"/rotate", "overlap", "13h").want(http.StatusUnprocessableEntity, in(".wrong", "how long"))
	p = b.post(at+"/rotate", "overlap", "24h").want(http.StatusOK, in(".lede", "takes the place of "+key.Prefix))
	if next := p.text("#key"); next == secret || !strings.HasPrefix(next, "cw_live_") {
		t.Errorf("rotated to %q", next)
	}
	old, err := s.srv.Store.Key(t.Context(), s.env.ID, key.ID)
	if left := time.Until(old.ExpiresAt); err != nil || left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("the old key ends in %s, %v", left, err)
	}
	keys, err = s.srv.Store.Keys(t.Context(), s.env.ID)
	if err != nil || len(keys) != 2 || keys[1].Scopes != key.Scopes || len(keys[1].Addresses) != 2 || keys[1].ExpiresAt.Sub(keys[1].CreatedAt) != 720*time.Hour {
		t.Errorf("the new key: %+v, %v", keys, err)
	}
	b.get(s.at("/secrets")).want(http.StatusOK, in("tbody", "Expires soon"), count("tbody tr", 2))

	b.post(at+"/revoke", "name", "nightl").want(http.StatusUnprocessableEntity, in(".wrong", "type “nightly”", "Nothing was revoked"))
	b.post(at+"/revoke", "name", "nightly").want(http.StatusOK, in(".notice", "is revoked"))
	b.get(at).want(http.StatusOK, in("dl", "Revoked"), not("main form"))
	b.post(at+"/rotate", "overlap", "24h").want(http.StatusConflict, in(".wrong", "over already"))
	b.get(s.at("/secrets")).want(http.StatusOK, in("details", "1 key that is over"), not(".notice"))
	b.get(s.at("/audit?of=here")).want(http.StatusOK, count("tbody tr", 3), in("tbody tr:first-child", "revoked an API key"))
}

func TestIntegrationsSorted(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	for n := range 60 {
		s.connect(fmt.Sprintf("Customer %02d", (n*7+30)%60), `{}`)
	}
	p := b.get(s.at("/integrations")).want(http.StatusOK, in("th[aria-sort=ascending]", "Connected ↑"), in("th[aria-sort=none]", "Customer ↕"), count("tbody tr", 50),
		in("tbody tr:first-child", "Customer 30", " UTC"))
	next := func() string { return p.Find("a[rel=next]").AttrOr("href", "") }
	column := func(name string) string { return p.Find("th:contains("+name+") a").AttrOr("href", "") }
	b.get(next()).want(http.StatusOK, count("tbody tr", 10), in("tbody tr:last-child", "Customer 23"), not("a[rel=next]"), link(".pager a", s.at("/integrations?")))
	p = b.get(column("Connected")).want(http.StatusOK, in("th[aria-sort=descending]", "Connected ↓"), in("tbody tr:first-child", "Customer 23"))
	b.get(next()).want(http.StatusOK, in("th[aria-sort=descending]", "Connected"), count("tbody tr", 10), in("tbody tr:last-child", "Customer 30"))
	if again := column("Connected"); again != s.at("/integrations?") {
		t.Errorf("the first order again is at %s", again)
	}
	p = b.get(column("Customer")).want(http.StatusOK, in("th[aria-sort=ascending]", "Customer ↑"), in("th[aria-sort=none]", "Connected"), in("tbody tr:first-child", "Customer 00"))
	b.get(next()).want(http.StatusOK, count("tbody tr", 10), in("tbody tr:first-child", "Customer 50"), link(".pager a", s.at("/integrations?sort=customer")))
	p = b.get(column("Customer")).want(http.StatusOK, in("th[aria-sort=descending]", "Customer ↓"), in("tbody tr:first-child", "Customer 59"))
	b.get(next()).want(http.StatusOK, count("tbody tr", 10), in("tbody tr:last-child", "Customer 00"))
	// With a filter, which keeps the order, and is kept by it.
	p = b.get(s.at("/integrations?q=customer+1&sort=-customer")).want(http.StatusOK, count("tbody tr", 10), in("tbody tr:first-child", "Customer 19"), count("input[name=sort][value=-customer]", 1))
	b.get(column("Connected")).want(http.StatusOK, count("tbody tr", 10), count("input[name=q][value='customer 1']", 1))
	b.get(s.at("/integrations?sort=nonsense&after=nonsense")).want(http.StatusOK, in("th[aria-sort=ascending]", "Connected"), in("tbody tr:first-child", "Customer 30"))
}

func TestConnect(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Member)
	b.get(s.at("/integrations/new")).want(http.StatusOK, link(".tools a", s.at("/integrations/new?tool=sandbox")), in(".tools", "HiBob"))
	// The form is made from the description, for every tool there is.
	for _, d := range server.Connectors(nil).All() {
		p := b.get(s.at("/integrations/new?tool="+d.Slug)).want(http.StatusOK, in("h1", "Connect "+d.Label))
		for _, f := range d.Settings {
			e := p.Find(`[name="set.` + f.Name + `"]`)
			if e.Length() != 1 || f.Secret && (e.AttrOr("type", "") != "password" || e.AttrOr("value", "") != "") {
				t.Errorf("%s: the field %s: %d, %s", d.Slug, f.Name, e.Length(), e.AttrOr("type", ""))
			}
		}
	}
	b.post(s.at("/integrations/new?tool=none"), "customer", "Acme").want(http.StatusNotFound)
	b.post(s.at("/integrations/new"), "tool", "hibob", "customer", "", "set.service_user_id", "", "set.token", "", "set.requests_per_minute", "many").want(
		http.StatusUnprocessableEntity, in("#customer-error", "Whose tool"), in("#set-token-error", "needed"), in("#set-service_user_id-error", "needed"),
		in("#set-requests_per_minute-error", "not a number"))
	b.post(s.at("/integrations/new"), "tool", "sandbox", "customer", "Acme", "set.refuse_names", "(", "set.api_key", "top secret").want(
		http.StatusUnprocessableEntity, in(".wrong", "refuse_names"), not("body", "top secret"))

	b.post(s.at("/integrations/new"), "tool", "sandbox", "customer", "Acme", "email", "Anna <anna@acme.example>").want(
		http.StatusUnprocessableEntity, in("#email-error", "not an e-mail address"), count("#email[aria-invalid]", 1), count("details[open] #email", 1))

	form := func(act, key string) []string {
		return []string{"tool", "sandbox", "customer", "Acme GmbH", "act", act, "set.api_key", key, "set.unique_names", "true", "set.latency", "5ms", "set.batch_limit", "2000"}
	}
	// Testing keeps nothing, and shows what the tool says.
	b.post(s.at("/integrations/new"), form("test", "wrong-key")...).want(http.StatusOK, in(".trial.bad", "Sandbox does not accept the credentials"), in(".trial blockquote"),
		count("#customer[value='Acme GmbH']", 1), not("body", "wrong-key"))
	b.post(s.at("/integrations/new"), form("test", "good")...).want(http.StatusOK, in(".trial.good", "It works"))
	r := b.request(http.MethodPost, s.at("/integrations/new"), values(form("test", "wrong-key")...))
	r.Header.Set("Crosswalk-Part", "1")
	b.do(r).want(http.StatusOK, in(".trial.bad", "does not accept"), not("h1"))
	if list, err := s.srv.Store.Integrations(t.Context(), s.env.ID); err != nil || len(list) != 0 {
		t.Fatalf("a test made %+v, %v", list, err)
	}

	b.post(s.at("/integrations/new"), form("", "good")...).want(http.StatusOK, in("h1", "Acme GmbH"), in(".notice", "is connected"), in("dl", "Active", "Nothing waits"))
	list, err := s.srv.Store.Integrations(t.Context(), s.env.ID)
	if err != nil || len(list) != 1 || string(list[0].Settings) != `{"latency":"5ms","unique_names":true}` || len(list[0].Credentials) == 0 || strings.Contains(string(list[0].Credentials), "good") {
		t.Fatalf("made %+v, %v", list, err)
	}
	at := s.at("/integrations/" + list[0].ID)
	b.get(at).want(http.StatusOK, count(`[name="set.unique_names"][checked]`, 1), count(`[name="set.latency"][value="5ms"]`, 1), count(`[name="set.api_key"][placeholder^="kept"]`, 1),
		count(`[name="set.batch_limit"][value="2000"]`, 1), not("body", "good"))
	b.post(at+"/test").want(http.StatusOK, in(".trial.good", "It works"))

	// Changed: what is left out has its default, and the secret stays.
	b.post(at+"/settings", "set.latency", "soon").want(http.StatusUnprocessableEntity, in("#set-latency-error", "not a duration"), count(`[name="set.latency"][value="soon"]`, 1))
	b.post(at+"/settings", "set.latency", "7ms", "set.api_key", "").want(http.StatusOK, in(".notice", "are changed"))
	after, err := s.srv.Store.Integration(t.Context(), s.env.ID, list[0].ID)
	if err != nil || string(after.Settings) != `{"latency":"7ms"}` || len(after.Credentials) == 0 {
		t.Errorf("changed to %s, %d bytes of credentials, %v", after.Settings, len(after.Credentials), err)
	}
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody tr:first-child", "latency, unique_names"), not("tbody", "7ms"))
	b.post(at+"/settings", "set.latency", "7ms", "set.api_key", "").want(http.StatusOK, in(".notice", "Nothing was different"))
	b.post(at+"/settings", "set.latency", "7ms", "set.api_key", "wrong now").want(http.StatusOK, in(".notice", "are changed"))
	b.post(at+"/test").want(http.StatusOK, in(".trial.bad", "does not accept"), not("body", "wrong now"))

	b.post(at+"/enabled", "value", "false").want(http.StatusOK, in(".notice", "switched off"), in("dl", "Switched off"))
	b.post(at+"/enabled", "value", "true").want(http.StatusOK, in(".notice", "switched on"), in("dl", "Active"))
	b.post(at+"/delete", "name", "Acme").want(http.StatusUnprocessableEntity, in(".wrong", "Nothing was deleted"))
	b.post(at+"/delete", "name", "Acme GmbH").want(http.StatusOK, in(".notice", "is deleted"), in(".empty", "No tool is connected"))
	b.get(at).want(http.StatusOK, in("dl", "Deleted"), not("main form[method=post]"))
	b.post(at+"/enabled", "value", "true").want(http.StatusConflict, in("h1", "was deleted"))
}

// What is tested is what stands in the form, with the secrets that are kept where none is typed. Nothing of it is saved.
func TestConnectionAsTyped(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Member)
	at := b.post(s.at("/integrations/new"), "tool", "sandbox", "customer", "Acme GmbH", "set.api_key", "good", "set.latency", "5ms").want(http.StatusOK).path
	kept := func() store.Integration {
		t.Helper()
		list, err := s.srv.Store.Integrations(t.Context(), s.env.ID)
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		return list[0]
	}
	before := kept()
	button := b.get(at).want(http.StatusOK, count("button[data-into]", 1), in("form[action$='/settings'] button[data-into=trial]", "Test the connection"), not("form[action$='/test']"))
	to, act := button.Find("button[data-into]").AttrOr("formaction", ""), button.Find("button[data-into]").AttrOr("name", "")
	if to != at+"/test#relink" || act != "act" {
		t.Fatalf("the button sends %s to %s", act, to)
	}

	// Without a script. What was typed stays, but for secrets, and the page says so.
	b.post(at+"/test", "act", "test", "set.api_key", "wrong-key", "set.latency", "7ms", "set.unique_names", "true", "policies", "1", "inactive", "refuse").want(http.StatusOK,
		in("#trial .bad", "does not accept the credentials"), count(`[name="set.latency"][value="7ms"]`, 1), count(`[name="set.unique_names"][checked]`, 1),
		count(`#inactive option[value=refuse][selected]`, 1), in("#set-api_key-again", "Type it once more"), count("#set-api_key[aria-invalid]", 1), not("body", "wrong-key"), not(".notice"))
	b.post(at+"/test", "act", "test", "set.api_key", "", "set.latency", "7ms").want(http.StatusOK, in("#trial .good", "It works"), not("#set-api_key-again"))
	b.post(at+"/test", "act", "test", "set.latency", "soon", "set.api_key", "good").want(http.StatusUnprocessableEntity, in("#set-latency-error", "not a duration"), in(".wrong", "was not asked"),
		in("#set-api_key-again", "once more"), not(".trial"))
	b.post(at+"/test", "act", "test", "set.refuse_names", "(").want(http.StatusUnprocessableEntity, in(".wrong", "refuse_names"), count(`[name="set.refuse_names"][value="("]`, 1))
	// With one.
	asked := func(pairs ...string) page {
		t.Helper()
		r := b.request(http.MethodPost, at+"/test", values(append(pairs, "act", "test")...))
		r.Header.Set("Crosswalk-Part", "1")
		return b.do(r)
	}
	asked("set.api_key", "wrong-key").want(http.StatusOK, in(".trial.bad", "does not accept"), not("h1"))
	asked("set.api_key", "").want(http.StatusOK, in(".trial.good", "It works"), not("h1"))
	asked("set.latency", "soon").want(http.StatusOK, in(".trial.bad", "not right yet", "Latency"), not("h1"))
	// A test of what is kept, or of what cannot be, is nothing to be noted.
	b.get(s.at("/audit")).want(http.StatusOK, count("tbody tr:contains('tested other settings')", 4), in("tbody", "tested other settings: Sandbox of Acme GmbH: api_key, latency, unique_names"))
	if after := kept(); string(after.Settings) != string(before.Settings) || string(after.Credentials) != string(before.Credentials) || after.Policy != before.Policy {
		t.Errorf("a test has changed %+v to %+v", before, after)
	}
	// The same when it is saved: the field does not pretend that the new secret is there.
	b.post(at+"/settings", "set.latency", "soon", "set.api_key", "new-key").want(http.StatusUnprocessableEntity, in("#set-api_key-again", "nor saved"), not("body", "new-key"))
	b.post(s.at("/integrations/new"), "tool", "sandbox", "set.api_key", "new-key").want(http.StatusUnprocessableEntity, in("#set-api_key-again"), not("body", "new-key"))
}

// With more integrations than a list may have, the filters take any of them: by its id, or by the customer's name.
func TestFilterOfManyIntegrations(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	for n := range 199 {
		s.connect(fmt.Sprintf("Customer %03d", n), `{}`)
	}
	last := s.connect("Zenith AG", `{}`)
	pages := []string{"/tasks", "/skills", "/logs"}
	s.ended(s.push(last, items("Go")...))
	if err := s.srv.Store.AppendInteractions(t.Context(), []store.Interaction{
		{ID: skill.NewID(time.Now()), EnvironmentID: s.env.ID, IntegrationID: last.ID, Outbound: true, Method: "POST", URL: "/skills", Status: 200},
	}); err != nil {
		t.Fatal(err)
	}
	for _, path := range pages {
		b.get(s.at(path)).want(http.StatusOK, count("select#integration option", 201), not("datalist"))
	}
	s.connect("Zenith AG, Bern", `{}`)
	s.connect("Acme GmbH", `{}`)
	for _, path := range pages {
		b.get(s.at(path)).want(http.StatusOK, not("select#integration"), count("input#integration[list=integrations]", 1), count("datalist#integrations option", 201))
		for _, typed := range []string{last.ID, " zenith ag "} {
			b.get(s.at(path)+"?"+values("integration", typed).Encode()).want(http.StatusOK, count("tbody tr", 1), count(`#integration[value="`+last.ID+`"]`, 1))
		}
		b.get(s.at(path+"?integration=bern")).want(http.StatusOK, not("tbody tr"))
		b.get(s.at(path+"?integration=customer")).want(http.StatusOK, not("tbody tr"), count("#integration[value=customer]", 1)) // of many
	}
}

func values(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

func TestATask(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Member)
	acme := s.connect("Acme GmbH", `{"refuse_names":"^Weld"}`)
	list := make([]skill.Item, 250)
	for i := range list {
		list[i] = skill.Item{OriginID: fmt.Sprintf("id-%03d", i+1), Name: fmt.Sprintf("Skill %d", i+1), Status: skill.Active}
	}
	for _, i := range []int{16, 120, 249} {
		list[i].Name = fmt.Sprintf("Welding %d", i)
	}
	id := s.push(acme, list...)
	s.ended(id)
	at := s.at("/tasks/" + id)
	p := b.get(at).want(http.StatusOK, in("h1", id), in(".lede", "Sandbox, Acme GmbH", "received"), in("#progress", "▲", "Completed with failures", "250 skills", "247 written", "3 failed"),
		in("section h2", "Why 3 failed"), count(".groups tbody tr", 1), in(".groups", "REMOTE.INPUT_INVALID"), in("form button.primary", "Retry 3 failed"),
		count("#items tbody tr", 100), in("#items tbody tr:nth-child(17)", "id-017", "Welding 16", "■", "failed"), in("#items tbody tr:first-child", "id-001", "●", "written"),
		not("[data-events]"))
	// The pages of its items, to the end.
	seen := 100
	for next := p.Find("a[rel=next]").AttrOr("href", ""); next != ""; next = p.Find("a[rel=next]").AttrOr("href", "") {
		p = b.get(at + strings.TrimSuffix(next, "#items"))
		seen += p.Find("#items tbody tr").Length()
	}
	if seen != 250 {
		t.Errorf("%d items on all pages", seen)
	}
	b.get(at+"?outcome=failed").want(http.StatusOK, count("#items tbody tr", 3), in(".said", "3 items of 250"))
	b.get(at+"?outcome=ok&q=SKILL+24").want(http.StatusOK, count("#items tbody tr", 11))
	b.get(at+"?q=id-017").want(http.StatusOK, count("#items tbody tr", 1), link("#items a.id", s.at("/skills/one?"+values("integration", acme.ID, "origin_id", "id-017").Encode())))
	b.get(at+strings.TrimSuffix(b.get(at).Find(".groups a").AttrOr("href", ""), "#items")).want(http.StatusOK, count("#items tbody tr", 3), in(".said", "with this reason"))
	b.get(at+"?outcome=waiting").want(http.StatusOK, in("#items", "No item matches"))
	b.get(at+"?after=none").want(http.StatusOK, count("#items tbody tr", 100))

	file := b.get(at + "/items.csv?outcome=failed")
	rows, err := csv.NewReader(strings.NewReader(file.body)).ReadAll()
	if err != nil || len(rows) != 4 || strings.Join(rows[0], ",") != "origin_id,name,status,outcome,id,code,message" || rows[1][0] != "id-017" || rows[1][5] != "REMOTE.INPUT_INVALID" {
		t.Errorf("the file: %v, %v", rows, err)
	}
	if got := file.header.Get("Content-Disposition"); got != `attachment; filename="`+id+`.csv"` {
		t.Errorf("Content-Disposition: %s", got)
	}
	lines := strings.Split(strings.TrimSpace(b.get(at+"/items.ndjson").body), "\n")
	var one struct{ Origin_id, Name, Outcome, ID string } //nolint:revive // the names of the file
	if err := json.Unmarshal([]byte(lines[0]), &one); err != nil || len(lines) != 250 || one.Origin_id != "id-001" || one.Outcome != "written" || !skill.IsID(one.ID) {
		t.Errorf("%d lines, %+v, %v", len(lines), one, err)
	}
	b.get(at + "/items.xml").want(http.StatusNotFound)

	s.apiKey("nightly")
	// The tool takes them now.
	if _, err := s.srv.Store.SetSettings(t.Context(), acme.ID, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	again := b.post(at+"/retry").want(http.StatusOK, in(".notice", "3 skills are sent again"), in(".lede", "sent by ada"))
	second := strings.TrimPrefix(again.path, s.at("/tasks/"))
	if head := s.ended(second); head.Items != 3 || head.Counts.Written != 3 || head.Customer != "Acme GmbH" {
		t.Errorf("the second task: %+v", head)
	}
	b.post(s.at("/tasks/"+second+"/retry")).want(http.StatusConflict, in("h1", "Nothing of this task failed"))
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody tr", "sent failed skills again", "3 skills of "+id+" as "+second))

	// The lists.
	b.get(s.at("/tasks")).want(http.StatusOK, count("tbody tr", 2), in("tbody tr:first-child", second, "Completed", "3 written"), in("tbody tr:nth-child(2)", id, "3 failed"))
	b.get(s.at("/tasks?state=failures")).want(http.StatusOK, count("tbody tr", 1), in(".said", "with failures"), link(".said a", s.at("/tasks")))
	b.get(s.at("/tasks?state=going-on")).want(http.StatusOK, in("main", "No task matches"))
	b.get(s.at("/tasks?within=1h&integration="+acme.ID)).want(http.StatusOK, count("tbody tr", 2), in("option[selected]", "Acme GmbH"))
	if p := b.get(s.at("/tasks?q=" + id)); p.path != at {
		t.Errorf("a task's id leads to %s", p.path)
	}
	b.get(s.at("/tasks?q=id-017")).want(http.StatusOK, count("tbody tr", 2), in("main", "253 items of the newest 2 tasks"))
	b.get(s.at("/tasks?q=id-018")).want(http.StatusOK, count("tbody tr", 1))
	b.get(s.at("/")).want(http.StatusOK, count(".chart .in-step", 1), in(".legend", "250 written", "3 failed"),
		in("#tasks-ended", "2 tasks ended", "1 without failures", "1 with failures", "0 of which nothing succeeded"), not("main", "more integrations than"), in(".numbers dd", "250"), not(".empty"))
	b.get(s.at("/integrations")).want(http.StatusOK, in("tbody tr", "Acme GmbH", "Active", "1.2 %"))
	b.get(s.at("/integrations/"+acme.ID)).want(http.StatusOK, in("dl", "2 tasks", "250 written", "250, 250 in step"), count("tbody tr", 2))

	// The catalogue.
	p = b.get(s.at("/skills")).want(http.StatusOK, count("tbody tr", 100), in("tbody tr:first-child", "Skill 1", "id-001", "In step", "Acme GmbH"))
	b.get(p.Find("a[rel=next]").AttrOr("href", "")).want(http.StatusOK, count("tbody tr", 100), in("tbody tr:first-child", "id-101"))
	known, err := s.srv.Store.FindSkill(t.Context(), s.env.ID, acme.ID, "id-001")
	if err != nil || known.WrittenBy == "" {
		t.Fatalf("%+v, %v", known, err)
	}
	p.want(http.StatusOK, in("tbody tr:first-child", "our id "+known.ID), link("tbody tr:first-child a.id", s.at("/tasks/"+known.WrittenBy)))
	if found := b.get(s.at("/skills?q="+known.ID)).want(http.StatusOK, in("h1", "Skill 1")); !strings.HasPrefix(found.path, s.at("/skills/one?")) {
		t.Errorf("our id leads to %s", found.path)
	}
	b.get(s.at("/skills?q="+skill.NewID(time.Now()))).want(http.StatusOK, in("main", "No skill matches"))
	b.get(s.at("/skills?q=welding")).want(http.StatusOK, count("tbody tr", 3))
	b.get(s.at("/skills?origin_id=id-02&integration="+acme.ID)).want(http.StatusOK, count("tbody tr", 10))
	b.get(s.at("/skills?state=refused")).want(http.StatusOK, in("main", "No skill matches"))
	for _, q := range []string{"WELDING 1", "weld", "wélding", `welding "'*():&|!<->\ OR NEAR`, "-welding^2"} {
		b.get(s.at("/skills?"+values("q", q).Encode())).want(http.StatusOK, not(".problem"), not("h1", "Something went wrong"))
	}
	b.get(s.at("/skills?q=wélding+16")).want(http.StatusOK, count("tbody tr", 1), in("tbody tr", "Welding 16"))
	b.get(s.at("/skills?q=elding")).want(http.StatusOK, in("main", "No skill matches"), not("main", "not in the search yet"))

	// In another order.
	p = b.get(s.at("/skills?state=")).want(http.StatusOK, count("th[aria-sort=none] a", 2))
	p = b.get(p.Find("th:contains(origin_id) a").AttrOr("href", "")).want(http.StatusOK, in("th[aria-sort=ascending]", "origin_id"), in("tbody tr:first-child", "id-001"))
	p = b.get(p.Find("th[aria-sort=ascending] a").AttrOr("href", "")).want(http.StatusOK, in("th[aria-sort=descending]", "origin_id"), in("tbody tr:first-child", "id-250"))
	b.get(p.Find("a[rel=next]").AttrOr("href", "")).want(http.StatusOK, in("th[aria-sort=descending]", "origin_id"), in("tbody tr:first-child", "id-150"), count("tbody tr", 100))
	p = b.get(s.at("/skills?sort=-added&integration="+acme.ID)).want(http.StatusOK, in("th[aria-sort=descending]", "Added"), count("tbody tr", 100))
	b.get(p.Find("a[rel=next]").AttrOr("href", "")).want(http.StatusOK, count("tbody tr", 100), count("option[selected][value='"+acme.ID+"']", 1))
	b.get(s.at("/skills?sort=nonsense&after=nonsense")).want(http.StatusOK, in("tbody tr:first-child", "id-001"))
	p = b.get(s.at("/tasks")).want(http.StatusOK, in("th[aria-sort=descending]", "Received"))
	b.get(p.Find("th[aria-sort] a").AttrOr("href", "")).want(http.StatusOK, in("th[aria-sort=ascending]", "Received"), in("tbody tr:first-child", id))
	b.get(s.at("/tasks?sort=received&after="+id)).want(http.StatusOK, count("tbody tr", 1), in("tbody tr", second), link(".pager a", s.at("/tasks?sort=received")))
	b.get(s.at("/skills/one?"+values("integration", acme.ID, "origin_id", "id-017").Encode())).want(http.StatusOK, in("h1", "Welding 16"), in("dl", "In step", "id-017", "ACTIVE"),
		count("tbody tr", 2), in("tbody tr:nth-child(2)", "failed"), link("tbody a", at+"?q=id-017#items"),
		count("tbody .sub a[href^='/logs/']", 1), link("tbody tr:nth-child(2) a", s.at("/logs?item=17&task="+id)))
	b.get(s.at("/skills/one?integration=" + acme.ID + "&origin_id=none")).want(http.StatusNotFound)
}

func TestATaskThatFailed(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Member)
	acme := s.connect("Acme GmbH", `{"refuse_credentials":true}`)
	id := s.push(acme, items("Go", "Rust")...)
	s.ended(id)
	b.get(s.at("/tasks/"+id)).want(http.StatusOK, in("#progress", "■", "Failed", "2 failed"), in(".groups", "INTEGRATION.AUTHENTICATION_INVALID"), count("#items tbody tr", 2),
		in("#items tbody tr", "Go", "not written"))
	// Its items lead to what is known of their skills, which have no line in the catalogue; nothing else does.
	one := "/skills/one?" + values("integration", acme.ID, "origin_id", "id-2").Encode()
	b.get(s.at("/tasks/"+id)).want(http.StatusOK, link("#items a.id", s.at(one)))
	b.get(s.at("/skills")).want(http.StatusOK, not("tbody"))
	b.get(s.at(one)).want(http.StatusOK, in("h1", "Rust"), in("main", "has not reached Sandbox"), in("dl", "Not written", "id-2"), not("dl", "Our id"), count("tbody tr", 1),
		in("tbody tr", "not written", "refused the credentials"), link("tbody a.id", s.at("/tasks/"+id+"?q=id-2#items")))
	b.get(s.at("/skills/one?"+values("integration", acme.ID, "origin_id", "id-3").Encode())).want(http.StatusNotFound, link("main a", s.at("/")), in("nav", "Skills"))
	b.get(s.at("/skills/one?" + values("integration", "sandbox:none", "origin_id", "id-2").Encode())).want(http.StatusNotFound)
	b.get(s.at("/")).want(http.StatusOK, in(".alarms", "Credentials refused", "Sandbox of Acme GmbH refused the credentials"), in(".alarms blockquote"),
		in("#tasks-ended", "1 task ended", "0 without failures", "0 with failures", "1 of which nothing succeeded"))
	b.get(s.at("/integrations/"+acme.ID)).want(http.StatusOK, in(".wrong", "Sandbox refused the credentials"), in("dl", "Credentials refused"))
	b.get(s.at("/tasks?state=failed")).want(http.StatusOK, count("tbody tr", 1))
	// It waits, switched off.
	if _, err := s.srv.Store.SetEnabled(t.Context(), acme.ID, false); err != nil {
		t.Fatal(err)
	}
	b.post(s.at("/tasks/"+id+"/retry")).want(http.StatusConflict, in("h1", "switched off"))
	if _, err := s.srv.Store.DeleteIntegration(t.Context(), acme.ID); err != nil {
		t.Fatal(err)
	}
	b.get(s.at("/tasks/"+id)).want(http.StatusOK, not("form[action$=retry]"))
	b.post(s.at("/tasks/"+id+"/retry")).want(http.StatusConflict, in("h1", "was deleted"))
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody tr:first-child", "not done"))
}

func TestATaskThatGoesOn(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	off := s.connect("Acme GmbH", `{}`)
	if _, err := s.srv.Store.Submit(t.Context(), store.Submission{
		EnvironmentID: s.env.ID, IntegrationID: off.ID, KeyID: "key", TaskID: skill.NewTaskID(time.Now()), Items: items("Go"), Timeout: time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
	slow := s.connect("Slow Inc.", `{"batch_limit":1,"latency":"20ms"}`)
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprint("Skill ", i)
	}
	id := s.push(slow, items(names...)...)
	at := s.at("/tasks/" + id)
	b.get(at).want(http.StatusOK, count(`[data-events="`+at+`/events"]`, 1), in("#progress", "of 200"), in(".without-script a", "Load again"), not("button.primary"))
	events := b.get(at + "/events") // until it ends
	if events.header.Get("Content-Type") != "text/event-stream" || !strings.Contains(events.body, "event: progress\ndata: ") || !strings.Contains(events.body, "event: ended\n") {
		t.Errorf("events: %v %.300s", events.header, events.body)
	}
	if strings.Count(events.body, "event: ") < 3 || !strings.Contains(events.body, "a second") {
		t.Errorf("events: %.1000s", events.body)
	}
	b.get(s.at("/tasks/" + skill.NewTaskID(time.Now()) + "/events")).want(http.StatusNotFound)
}

// Whoever is signed out while watching sees no more.
func TestWatchingEndsWithTheSession(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	slow := s.connect("Slow Inc.", `{"batch_limit":1,"latency":"10s"}`)
	id := s.push(slow, items("Go", "Rust")...)
	r := b.request(http.MethodGet, s.at("/tasks/"+id+"/events"), nil)
	response, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	buf := make([]byte, 1)
	if _, err := response.Body.Read(buf); err != nil {
		t.Fatal(err)
	}
	u, err := s.srv.Store.UserByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.srv.Store.EndSessions(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := response.Body.Read(buf); err != nil {
				return
			}
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
}

func TestSettings(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Owner)
	b.get(s.at("/settings")).want(http.StatusOK, in("#users tbody", "ada", "(you)", "owner"), in("#server", "SQLite", "30 days", "test"), in("#environments tbody", "default"))
	b.post(s.at("/settings/environments"), "name", " ").want(http.StatusUnprocessableEntity, in(".wrong", "Give it a name"))
	b.post(s.at("/settings/environments"), "name", "default").want(http.StatusUnprocessableEntity, in(".wrong", "already"))
	p := b.post(s.at("/settings/environments"), "name", "staging").want(http.StatusOK, in(".notice", "staging"), in("summary", "staging"))
	staging := strings.TrimSuffix(p.path, "/")
	b.post(staging+"/settings/rename", "name", "default").want(http.StatusUnprocessableEntity, in(".wrong", "already"), count(`#rename[value=default]`, 1))
	b.post(staging+"/settings/rename", "name", "trial").want(http.StatusOK, in(".notice", "trial"), in("#environment", "trial"))
	b.post(staging+"/settings/delete", "name", "staging").want(http.StatusUnprocessableEntity, in(".wrong", "type “trial”"))
	b.post(staging+"/secrets/new", "name", "x", "read", "1").want(http.StatusOK)
	b.post(staging+"/settings/delete", "name", "trial").want(http.StatusUnprocessableEntity, in(".wrong", "Only an empty one"))
	keys, err := s.srv.Store.Keys(t.Context(), strings.TrimPrefix(staging, "/e/"))
	if err != nil {
		t.Fatal(err)
	}
	b.post(staging+"/secrets/"+keys[0].ID+"/revoke", "name", "x").want(http.StatusOK)
	b.post(staging+"/settings/delete", "name", "trial").want(http.StatusOK, in(".notice", "is deleted"), in("summary", "default"))
	b.get(staging + "/").want(http.StatusNotFound)
	b.post(s.at("/settings/delete"), "name", "default").want(http.StatusUnprocessableEntity, in(".wrong", "it stays"))

	b.post(s.at("/settings/users"), "name", "bob", "role", "king", "password", password).want(http.StatusUnprocessableEntity, in(".wrong", "Choose a role"))
	b.post(s.at("/settings/users"), "name", "bob", "role", "viewer", "password", "short").want(http.StatusUnprocessableEntity, in(".wrong", "12 at least"), count("#user-name[value=bob]", 1), not("body", "short"))
	b.post(s.at("/settings/users"), "name", "Bob", "role", "viewer", "password", password).want(http.StatusOK, in(".notice", "bob can sign in"))
	b.post(s.at("/settings/users"), "name", "bob", "role", "viewer", "password", password).want(http.StatusUnprocessableEntity, in(".wrong", "already"))
	bob, err := s.srv.Store.UserByName(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	on := s.at("/settings/users/" + bob.ID)
	b.post(on+"/role", "role", "member").want(http.StatusOK, in(".notice", "bob is member"))
	ada, err := s.srv.Store.UserByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	b.post(s.at("/settings/users/"+ada.ID+"/role"), "role", "viewer").want(http.StatusUnprocessableEntity, in(".wrong", "the last owner"))
	b.post(s.at("/settings/users/"+ada.ID+"/delete"), "name", "ada").want(http.StatusUnprocessableEntity, in(".wrong", "the last owner"))
	b.post(on+"/delete", "name", "bo").want(http.StatusUnprocessableEntity, in(".wrong", "Nobody was deleted"))
	b.post(on+"/delete", "name", "bob").want(http.StatusOK, in(".notice", "bob is deleted"))
	b.post(on+"/delete", "name", "bob").want(http.StatusNotFound)
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody", "deleted a user: bob", "changed a role: bob is member, was viewer", "not done", "made an environment"), in("tbody", "127.0.0.1"))
	b.get(s.at("/audit?of=here")).want(http.StatusOK, not("tbody tr", "bob"))
}

// Texts that others wrote are shown as texts, wherever they are shown.
func TestMarkupIsText(t *testing.T) {
	t.Parallel()
	s := open(t)
	const evil = `<script>alert(1)</script>"'><img src=x onerror=alert(2)>`
	b := s.user("ada", store.Owner)
	envPage := b.post(s.at("/settings/environments"), "name", evil).want(http.StatusOK)
	s.env.ID = strings.TrimSuffix(strings.TrimPrefix(envPage.path, "/e/"), "/")
	acme := s.connect(evil, `{"scripts":{"id-1":["refuse: `+strings.ReplaceAll(evil, `"`, `\"`)+`","ok"]}}`)
	list := []skill.Item{
		{OriginID: "id-1", Name: evil, Status: skill.Active}, {OriginID: evil, Name: "javascript:alert(3)", Status: skill.Active},
	}
	id := s.push(acme, list...)
	s.ended(id)
	if head, err := s.srv.Store.TaskHead(t.Context(), s.env.ID, id); err != nil || head.Counts.Failed != 1 {
		t.Fatalf("%+v, %v", head, err)
	}
	b.post(s.at("/secrets/new"), "name", evil, "read", "1")
	_, key := s.apiKey(evil)
	broken := s.connect(evil, `{"refuse_credentials":true}`)
	s.ended(s.push(broken, list...))
	paths := []string{
		"/", "/tasks", "/tasks?q=" + url.QueryEscape(evil), "/tasks?integration=" + url.QueryEscape(evil), "/tasks/" + id, "/tasks/" + id + "?" + values("q", evil, "outcome", evil, "why", evil).Encode(),
		"/skills", "/skills?" + values("q", evil, "origin_id", evil, "integration", evil).Encode(), "/skills/one?" + values("integration", acme.ID, "origin_id", evil).Encode(),
		"/skills/one?" + values("integration", acme.ID, "origin_id", "id-1").Encode(), "/integrations", "/integrations?q=" + url.QueryEscape(evil), "/integrations/" + acme.ID,
		"/integrations/" + broken.ID, "/secrets", "/secrets/" + key.ID, "/settings", "/audit", "/integrations/new?tool=" + url.QueryEscape(evil), "/" + url.PathEscape(evil),
	}
	shown := 0
	for _, path := range paths {
		p := b.get(s.at(path))
		if p.status >= 500 {
			t.Errorf("%s: %d", path, p.status)
		}
		p.want(p.status, count("script", 1), not("img[onerror]"), not("img[src=x]"), not("[onerror]"), not("[style]"), not("style"))
		if strings.Contains(p.body, "<script>alert") || strings.Contains(p.body, "onerror=alert(2)>") && !strings.Contains(p.body, "&gt;&lt;img src=x onerror=alert(2)&gt;") {
			t.Errorf("%s shows markup", path)
		}
		for _, e := range p.Find("a[href], form[action]").EachIter() {
			if to := e.AttrOr("href", e.AttrOr("action", "")); strings.HasPrefix(strings.ToLower(to), "javascript:") {
				t.Errorf("%s leads to %s", path, to)
			}
		}
		if strings.Contains(p.text("body"), evil) {
			shown++
		}
	}
	if shown < 14 {
		t.Errorf("only %d pages show the text at all", shown)
	}
	events := b.get(s.at("/tasks/" + id + "/events"))
	if strings.Contains(events.body, "<script>") {
		t.Error("events show markup")
	}
}

// The list goes on from its last row, through all pages.
func TestPagesOfTasks(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	acme := s.connect("Acme GmbH", `{}`)
	if _, err := s.srv.Store.SetEnabled(t.Context(), acme.ID, true); err != nil {
		t.Fatal(err)
	}
	for range 120 {
		s.push(acme, items("Go")...)
	}
	seen := map[string]bool{}
	for path, pages := s.at("/tasks"), 0; path != ""; pages++ {
		p := b.get(path).want(http.StatusOK)
		for _, e := range p.Find("tbody a.id").EachIter() {
			if id := e.Text(); seen[id] {
				t.Fatalf("%s comes twice", id)
			} else {
				seen[id] = true
			}
		}
		path = p.Find("a[rel=next]").AttrOr("href", "")
		if pages > 5 {
			t.Fatal("no end")
		}
	}
	if len(seen) != 120 {
		t.Errorf("%d tasks on all pages, want 120", len(seen))
	}
}

func TestCancelATask(t *testing.T) {
	t.Parallel()
	s := open(t)
	b, viewer := s.user("ada", store.Member), s.user("vic", store.Viewer)
	acme := s.connect("Acme GmbH", `{"batch_limit":1,"concurrency":1,"latency":"2s"}`)
	begun, waiting := s.push(acme, items("Go", "Rust", "Zig")...), s.push(acme, items("Ada")...)
	at := s.at("/tasks/" + begun)
	for limit := time.Now().Add(30 * time.Second); ; { // until the drain has taken it up
		head, err := s.srv.Store.TaskHead(t.Context(), s.env.ID, begun)
		if err != nil || time.Now().After(limit) {
			t.Fatalf("%+v, %v", head, err)
		}
		if head.Started {
			break
		}
	}
	viewer.get(at).want(http.StatusOK, not("#cancel"))
	b.get(at).want(http.StatusOK, in("#cancel", "What was written stays written"), link("#cancel form", at+"/cancel"))
	b.get(s.at("/tasks/"+waiting)).want(http.StatusOK, in("#cancel", "Nothing of it is sent."))
	b.post(s.at("/tasks/"+waiting+"/cancel")).want(http.StatusOK, in(".notice", "Nothing of it was sent"), in("#progress", "Failed"), in(".groups", "The task was cancelled."), not("#cancel"))
	b.post(at+"/cancel").want(http.StatusOK, in(".notice", "ends once the calls under way are over"), not("#cancel"))
	if head := s.ended(begun); head.Counts.Written != 1 || head.Counts.Failed != 2 {
		t.Errorf("ended: %+v", head)
	}
	b.get(at).want(http.StatusOK, in(".groups", "INTEGRATION.ACTION_DISABLED", "The task was cancelled."), in("form[action$=retry]", "Retry 2 failed"), not("#cancel"))
	b.post(at+"/cancel").want(http.StatusConflict, in("h1", "This task has ended"))
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody tr:first-child", "cancelled a task", "not done"), in("tbody tr:nth-child(2)", "ada", "cancelled a task", "3 skills for Sandbox of Acme GmbH"))
}

func TestEraseAnEnvironment(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Owner)
	b.post(s.at("/settings/erase"), "name", "default").want(http.StatusUnprocessableEntity, in(".wrong", "it stays"))
	p := b.post(s.at("/settings/environments"), "name", "trial").want(http.StatusOK)
	trial := strings.TrimSuffix(p.path, "/")
	home := s.env
	s.env.ID = strings.TrimPrefix(trial, "/e/")
	acme := s.connect("Acme GmbH", `{}`)
	task := s.push(acme, items("Go")...)
	s.ended(task)
	b.post(trial+"/settings/delete", "name", "trial").want(http.StatusUnprocessableEntity, in(".wrong", "Only an empty one"))
	b.get(trial+"/settings").want(http.StatusOK, in("#environment", "Erase with all it holds", "stays there"))
	b.post(trial+"/settings/erase", "name", "trail").want(http.StatusUnprocessableEntity, in(".wrong", "type “trial”. Nothing was erased."))
	b.post(trial+"/settings/erase", "name", "trial").want(http.StatusOK, in(".notice", "“trial” is gone for everybody"), in("summary", "default"))
	s.env = home
	for _, path := range []string{trial + "/", trial + "/tasks/" + task, "/tasks/" + task, trial + "/settings"} {
		b.get(path).want(http.StatusNotFound)
	}
	b.post(trial+"/settings/erase", "name", "trial").want(http.StatusNotFound)
	b.get(s.at("/settings")).want(http.StatusOK, not("#environments", "trial"))
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody", "erased an environment: “trial” with all it held"))
	b.post(s.at("/settings/environments"), "name", "trial").want(http.StatusOK) // the name is free
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Member)
	// What a tool cannot do is not asked for.
	b.get(s.at("/integrations/new?tool=sandbox")).want(http.StatusOK, count("#inactive", 1), not("[name=adopt]"))
	b.get(s.at("/integrations/new?tool=moodle")).want(http.StatusOK, count("#inactive", 1), count("[name=adopt]", 1))
	b.post(s.at("/integrations/new"), "tool", "sandbox", "customer", "Acme GmbH", "policies", "1", "inactive", "burn").want(http.StatusUnprocessableEntity, in("#policies-error", "deactivate or refuse"))
	p := b.post(s.at("/integrations/new"), "tool", "sandbox", "customer", "Acme GmbH", "policies", "1", "inactive", "refuse").want(http.StatusOK,
		in("dl", "inactive skills are refused"), count(`#inactive option[value=refuse][selected]`, 1))
	at := p.path
	got, err := s.srv.Store.Integrations(t.Context(), s.env.ID)
	if err != nil || len(got) != 1 || got[0].Policy != (store.Policy{RefuseInactive: true}) {
		t.Fatalf("%+v, %v", got, err)
	}
	b.post(at+"/settings", "policies", "1", "adopt", "true", "inactive", "refuse").want(http.StatusUnprocessableEntity, in(".wrong", "cannot adopt"))
	b.post(at+"/settings", "policies", "1", "inactive", "refuse").want(http.StatusOK, in(".notice", "Nothing was different"))
	b.post(at+"/settings", "policies", "1", "inactive", "deactivate", "set.latency", "soon").want(http.StatusUnprocessableEntity, count(`#inactive option[value=deactivate][selected]`, 1))
	b.post(at+"/settings", "policies", "1", "inactive", "deactivate").want(http.StatusOK, in(".notice", "The policy is changed"), in("dl", "retired in the tool"))
	b.post(at+"/settings", "policies", "1", "inactive", "refuse", "set.latency", "5ms").want(http.StatusOK, in(".notice", "The settings are changed"), in("dl", "inactive skills are refused"))
	b.post(at+"/settings", "set.latency", "6ms").want(http.StatusOK, in("dl", "inactive skills are refused")) // a form that does not ask
	b.get(s.at("/audit")).want(http.StatusOK, in("tbody", "changed policies: Sandbox of Acme GmbH: inactive skills are refused"))
	// A setting of the tool's counts, too.
	moodle := []string{"tool", "moodle", "customer", "Globex", "set.address", "https://moodle.example", "set.token", "t", "policies", "1", "inactive", "deactivate"}
	b.post(s.at("/integrations/new"), moodle...).want(http.StatusOK, in("dl", "inactive skills are refused, as the setting “Inactive skills” says"))
	b.post(s.at("/integrations/new"), append(moodle, "set.inactive", "archive")...).want(http.StatusOK, in("dl", "inactive skills are retired in the tool"))
}

func TestWhatASyncSaw(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	acme := s.connect("Acme GmbH", `{}`)
	s.ended(s.push(acme, items("Go", "Rust", "Zig")...))
	if _, err := s.srv.Store.Sandbox().Write(t.Context(), acme.ID, []sandbox.Row{{ExternalID: "id-2", Name: "Rust by hand", Active: true}}); err != nil {
		t.Fatal(err)
	}
	secret, _ := s.apiKey("nightly")
	r := b.request(http.MethodPost, "/v1/force-sync", nil)
	r.Header = http.Header{"Authorization": {"Bearer " + secret}, "X-Integration-Id": {acme.ID}, "Content-Type": {"application/json"}}
	if p := b.do(r); p.status != http.StatusOK {
		t.Fatalf("force-sync: %d %s", p.status, p.body)
	}
	one := func(n string) page { return b.get(s.at("/skills/one?integration=" + acme.ID + "&origin_id=id-" + n)) }
	for limit := time.Now().Add(30 * time.Second); one("2").Find(".wrong").Length() == 0; {
		if time.Now().After(limit) {
			t.Fatal("the sync saw nothing")
		}
	}
	one("2").want(http.StatusOK, in(".wrong", "Somebody has changed it in Sandbox: there it is “Rust by hand”, ACTIVE"))
	one("1").want(http.StatusOK, not(".wrong"))

	at := s.at("/integrations/" + acme.ID)
	until := func(text string) {
		t.Helper()
		for limit := time.Now().Add(30 * time.Second); !strings.Contains(b.get(at).Find("dl").Text(), text); {
			if time.Now().After(limit) {
				t.Fatalf("the page says %s", b.get(at).Find("dl").Text())
			}
		}
	}
	until("3 skills, 1 not as they were written")
	b.get(at).want(http.StatusOK, in("dl", "the next at"), not(`form[action$="/sync"]`)) // a viewer only looks
	b.post(at + "/sync").want(http.StatusForbidden)
	member := s.user("eve", store.Member)
	member.get(at).want(http.StatusOK, in(`form[action$="/sync"]`, "Read it back now"))
	if _, err := s.srv.Store.SetAccount(t.Context(), acme.ID, json.RawMessage(`{"outage":true}`), nil); err != nil {
		t.Fatal(err)
	}
	member.post(at+"/sync").want(http.StatusOK, in(".notice", "read back"))
	until("in a row failed")
	if _, err := s.srv.Store.SetEnabled(t.Context(), acme.ID, false); err != nil {
		t.Fatal(err)
	}
	member.get(at).want(http.StatusOK, not(`form[action$="/sync"]`))
	member.post(at+"/sync").want(http.StatusConflict, in("main", "switched off"))
	s.user("owner", store.Owner).get(s.at("/audit")).want(http.StatusOK, in("tbody", "asked for a sync: Sandbox of Acme GmbH"))
}

// What is logged and how long it is kept stands on the settings, and where nothing is, the log says so.
func TestLogSettings(t *testing.T) {
	t.Parallel()
	for mode, want := range map[interactions.Mode]string{
		"": "are logged, and kept 3 days", interactions.Errors: "are logged where something failed, and kept 3 days", interactions.Off: "are not logged",
	} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := open(t, func(c *server.Config) { c.Interactions, c.Engine.KeepLogs = mode, 72*time.Hour })
			b := s.user("ada", store.Viewer)
			b.get(s.at("/settings")).want(http.StatusOK, in("#server dl", want))
			item := s.at("/logs?item=1&task=" + skill.NewTaskID(time.Now()))
			if mode == interactions.Off {
				b.get(s.at("/logs")).want(http.StatusOK, in(".empty", "Nothing is logged here", "serve --log-interactions"), not(".empty", "yet"))
				b.get(item).want(http.StatusOK, in("main", "Nothing matches", "told to keep no requests"))
			} else {
				b.get(s.at("/logs")).want(http.StatusOK, in(".empty", "Nothing is logged yet"))
				kept := "all are kept for 3 days"
				if mode == interactions.Errors {
					kept = "those that fail are kept for 3 days"
				}
				b.get(item).want(http.StatusOK, in("main", "Nothing matches", "no exchange yet", kept))
			}
		})
	}
}

func TestManyReasons(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Viewer)
	scripts, list := map[string][]string{}, []skill.Item{}
	for n := range 15 {
		id := fmt.Sprint("skill-", n)
		scripts[id] = []string{fmt.Sprint("refuse: reason ", n)}
		list = append(list, skill.Item{OriginID: id, Name: id, Status: skill.Active})
	}
	settings, err := json.Marshal(map[string]any{"scripts": scripts})
	if err != nil {
		t.Fatal(err)
	}
	at := "/tasks/" + s.push(s.connect("Acme GmbH", string(settings)), list...)
	s.ended(strings.TrimPrefix(at, "/tasks/"))
	p := b.get(s.at(at)).want(http.StatusOK, count(".groups tbody tr", 12), in("#why", "And 3 other reasons"), link("#why p a", "?reasons=all#why"))
	b.get(s.at(at)+strings.TrimSuffix(p.Find("#why p a").AttrOr("href", ""), "#why")).want(http.StatusOK, count(".groups tbody tr", 15), in(".groups", "reason 14"), not("#why", "other reason"))
}

// What nobody looked at is not passed over in silence.
func TestOverviewOfMany(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range 2000 {
		s.connect("Acme GmbH", `{}`)
	}
	s.user("ada", store.Viewer).get(s.at("/")).want(http.StatusOK, in(".said", "of the 2,000 that were connected first"), in(".numbers", "2,000 or more"))
}
