package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/learning360"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const notAvailable = "INTEGRATION.ACTION_NOT_AVAILABLE"

// record is a skill as the API shows it.
type record struct {
	ID              string
	RemoteID        string `json:"remote_id"`
	Name            string
	ChangedAt       time.Time  `json:"changed_at"`
	RemoteDeletedAt *time.Time `json:"remote_deleted_at"`
	RemoteData      *struct {
		Crosswalk struct {
			OriginID *string `json:"origin_id"`
			Status   string
			Error    *struct{ Code, Message string }
		}
	} `json:"remote_data"`
}

func (a answer) record(t *testing.T) record {
	t.Helper()
	var r record
	if err := json.Unmarshal(a.Data, &r); err != nil || a.status != 200 {
		t.Fatalf("%d %v: %s", a.status, err, a.body)
	}
	return r
}

func (a answer) page(t *testing.T) (list []record, next string) {
	t.Helper()
	var data struct {
		Next    *string
		Results []record
	}
	if err := json.Unmarshal(a.Data, &data); err != nil || a.status != 200 {
		t.Fatalf("%d %v: %s", a.status, err, a.body)
	}
	if data.Next != nil {
		next = *data.Next
	}
	return data.Results, next
}

func read(query string) request { return request{method: "GET", path: "/v1/hris/skills" + query} }

// names of all pages of a list.
func (f *fixture) names(filters string) []string {
	f.t.Helper()
	names := []string{}
	for cursor := ""; ; {
		list, next := f.do(read("?page_size=2&cursor=" + cursor + "&" + filters)).page(f.t)
		if len(list) > 2 {
			f.t.Fatalf("a page of %d", len(list))
		}
		for _, r := range list {
			names = append(names, r.Name)
		}
		if cursor = next; cursor == "" {
			return names
		}
	}
}

// eventually waits for something to hold.
func (f *fixture) eventually(what string, holds func() bool) {
	f.t.Helper()
	for limit := time.Now().Add(30 * time.Second); !holds(); {
		if time.Now().After(limit) {
			f.t.Fatalf("%s: not within 30 s", what)
		}
	}
}

func TestListOfSkills(t *testing.T) {
	f := setup(t)
	if got := f.do(read("")); got.body != `{"data":{"next":null,"results":[]},"status":"success"}` {
		t.Errorf("the list of an empty catalogue: %s", got.body)
	}
	f.ended(f.submit(`{"items":[{"origin_id":"1","name":"TypeScript"},{"origin_id":"2","name":"Überblick 100%"},{"origin_id":"3","name":"COBOL","status":"INACTIVE"},
		{"origin_id":"4","name":"type design"},{"origin_id":"5","name":"a_b"}]}`))
	full, _ := f.do(read("?include_deleted=true&include_remote_data=true")).page(t)
	origins := map[string]string{}
	for _, r := range full {
		origins[*r.RemoteData.Crosswalk.OriginID] = r.Name
		if (r.RemoteData.Crosswalk.Status == "INACTIVE") != (r.Name == "COBOL") {
			t.Errorf("%+v", r.RemoteData)
		}
	}
	if origins["1"] != "TypeScript" || len(origins) != 5 {
		t.Errorf("origin ids: %v", origins)
	}
	since := full[0].ChangedAt.Format(time.RFC3339Nano)
	all, _ := f.do(read("?include_deleted=true")).page(t)
	order, ids, remotes := []string{}, map[string]string{}, map[string]string{}
	for _, r := range all {
		order = append(order, r.ID)
		ids[r.Name], remotes[r.Name] = r.ID, r.RemoteID
		if (r.RemoteDeletedAt != nil) != (r.Name == "COBOL") || r.RemoteData != nil || !strings.HasPrefix(r.RemoteID, "SKL-") {
			t.Errorf("%+v", r)
		}
	}
	if !slices.IsSorted(order) {
		t.Errorf("the order of %v", order)
	}
	for filters, want := range map[string][]string{
		"":                     {"TypeScript", "Überblick 100%", "type design", "a_b"},
		"include_deleted=true": {"TypeScript", "Überblick 100%", "COBOL", "type design", "a_b"},
		"name_contains=TYPE":   {"TypeScript", "type design"},
		"name_contains=" + url.QueryEscape("üBER"):                          {"Überblick 100%"},
		"name_contains=" + url.QueryEscape("0%"):                            {"Überblick 100%"},
		"name_contains=_":                                                   {"a_b"},
		"name_contains=cobol":                                               {},
		"ids=" + ids["TypeScript"] + "," + ids["type design"] + ",nonsense": {"TypeScript", "type design"},
		"ids=" + ids["COBOL"]:                                               {},
		"ids=" + ids["COBOL"] + "&include_deleted=true":                     {"COBOL"},
		"remote_ids=" + remotes["Überblick 100%"] + ",nonsense":             {"Überblick 100%"},

		"ids=" + ids["TypeScript"] + ",%20" + ids["type design"] + "+":                                          {"TypeScript", "type design"},
		"ids=" + ids["TypeScript"] + "&ids=" + ids["type design"] + "&ids=":                                     {"TypeScript", "type design"},
		"remote_ids=" + remotes["TypeScript"] + ",%20nonsense&remote_ids=%20" + remotes["type design"] + "%09,": {"TypeScript", "type design"},
		"ids=%20": {},

		"remote_ids=1":                                        {},
		"updated_after=" + since:                              {},
		"updated_after=2026-01-01":                            {"TypeScript", "Überblick 100%", "type design", "a_b"},
		"updated_after=2126-01-01T00:00:00Z":                  {},
		"name_contains=type&ids=" + ids["TypeScript"]:         {"TypeScript"},
		"ids=&remote_ids=&name_contains=":                     {"TypeScript", "Überblick 100%", "type design", "a_b"},
		"unknown=whatever&updated_after=2026-01-01T00:00:00Z": {"TypeScript", "Überblick 100%", "type design", "a_b"},
	} {
		got := f.names(filters)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", filters, diff)
		}
	}
	for query, word := range map[string]string{
		"?page_size=0":                    "page_size",
		"?page_size=251":                  "page_size",
		"?page_size=x":                    "page_size",
		"?updated_after=yesterday":        "updated_after",
		"?updated_after=2026-13-01":       "updated_after",
		"?include_deleted=1":              "include_deleted",
		"?include_remote_data=yes":        "include_remote_data",
		"?name_contains=%00":              "name_contains",
		"?remote_ids=%ff":                 "remote_ids",
		"?ids=" + strings.Repeat("x,", 1): "",
		"?%zz":                            "query",
	} {
		if a := f.do(read(query)); word != "" {
			a.want(t, 400, inputInvalid, word)
		} else if a.status != 200 {
			t.Errorf("%s: %s", query, a.body)
		}
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	f.do(read("?remote_ids="+strings.Join(many, ","))).want(t, 400, inputInvalid, "1001")
	f.do(read("?ids="+strings.Join(many[:600], ",")+"&ids="+strings.Join(many[600:], ",%20"))).want(t, 400, inputInvalid, "1001")
	if a := f.do(read("?ids=" + strings.Join(many[:1000], ",%20"))); a.status != 200 {
		t.Errorf("1,000 ids with white space: %s", a.body)
	}
}

// White space that is part of an id is found, too.
func TestListOfIDsWithWhiteSpace(t *testing.T) {
	f := setup(t)
	f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":" 1 ","name":"bad"}`}).record(t)
	f.eventually("written", func() bool { list, _ := f.do(read("")).page(t); return strings.HasPrefix(list[0].RemoteID, "SKL-") })
	if _, err := f.store.SetSettings(t.Context(), f.integration, []byte(`{"outage":true}`)); err != nil {
		t.Fatal(err)
	}
	f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":" 2 ","name":"waits"}`}).record(t)
	if got := f.names("remote_ids=x,%202%20"); !slices.Equal(got, []string{"waits"}) {
		t.Errorf("read: %q", got)
	}
}

// Nobody reads, or learns of, what is another environment's.
func TestListIsTheEnvironmentsOwn(t *testing.T) {
	f := setup(t)
	f.ended(f.submit(good))
	list, _ := f.do(read("")).page(t)
	other := f.newTenant("other")
	for _, q := range []request{
		read(""), read("?ids=" + list[0].ID),
		{method: "PATCH", path: "/v1/hris/skills/" + list[0].ID, body: `{"name":"x"}`},
		{method: "DELETE", path: "/v1/hris/skills/" + list[0].ID},
		{method: "POST", path: "/v1/hris/skills", body: `{"name":"x"}`},
		{method: "POST", path: "/v1/force-sync"},
		{method: "POST", path: "/v1/hris/skills/bulk/diff", body: good},
	} {
		if q.body != "" {
			q.header = map[string]string{"Content-Type": "application/json"}
		}
		theirs := other.as(q)
		theirs.header["X-Integration-Id"] = f.integration
		f.do(theirs).want(t, 404, noSuch)
		gone := f.as(q)
		gone.header["Authorization"] = ""
		f.do(gone).want(t, 401, authInvalid)
	}
	// The id of a skill leads nowhere in another integration, of the environment's own or not.
	own := request{method: "PATCH", path: "/v1/hris/skills/" + list[0].ID, body: `{"name":"x"}`, header: map[string]string{"Content-Type": "application/json", "X-Integration-Id": f.newIntegration(f.env)}}
	f.do(own).want(t, 404, inputInvalid, "no skill")
	patch := other.as(request{method: "PATCH", path: "/v1/hris/skills/" + list[0].ID, body: `{"name":"x"}`, header: map[string]string{"Content-Type": "application/json"}})
	f.do(patch).want(t, 404, inputInvalid, "no skill")
	if list, _ := f.do(other.as(read("?ids=" + list[0].ID))).page(t); len(list) != 0 {
		t.Errorf("another integration shows %+v", list)
	}
	if _, err := f.store.DeleteIntegration(t.Context(), f.integration); err != nil {
		t.Fatal(err)
	}
	f.do(read("")).want(t, 404, noSuch)
}

// A cursor is good for its list alone, and only as it is.
func TestCursors(t *testing.T) {
	f := setup(t)
	f.ended(f.submit(`{"items":[{"origin_id":"1","name":"a"},{"origin_id":"2","name":"b"},{"origin_id":"3","name":"c"}]}`))
	_, cursor := f.do(read("?page_size=1")).page(t)
	if list, _ := f.do(read("?page_size=250&cursor=" + cursor)).page(t); len(list) != 2 {
		t.Errorf("with another page size: %+v", list)
	}
	for i := range cursor {
		for _, c := range []byte{'A', 'z', '-', '=', cursor[i] ^ 1} {
			changed := cursor[:i] + string(c) + cursor[i+1:]
			if changed == cursor {
				continue
			}
			f.do(read("?cursor="+url.QueryEscape(changed))).want(t, 400, inputInvalid, "cursor")
		}
	}
	for _, wrong := range []string{"x", cursor[1:], cursor + "A", "%F0%9F%98%80", cursor + "&name_contains=a", cursor + "&include_deleted=true", cursor + "&ids=x", cursor + "&updated_after=2026-01-01"} {
		f.do(read("?cursor="+wrong)).want(t, 400, inputInvalid, "cursor")
	}
	q := read("?cursor=" + cursor)
	q.header = map[string]string{"X-Integration-Id": f.newIntegration(f.env)}
	f.do(q).want(t, 400, inputInvalid, "cursor")
}

func TestManagedSkills(t *testing.T) {
	f := setup(t)
	post := func(body string) answer { return f.do(request{method: "POST", path: "/v1/hris/skills", body: body}) }
	patch := func(id, body string) answer {
		return f.do(request{method: "PATCH", path: "/v1/hris/skills/" + id, body: body, header: map[string]string{"Content-Type": "application/json"}})
	}
	shown := func(id string) record {
		list, _ := f.do(read("?include_deleted=true&include_remote_data=true&ids=" + id)).page(t)
		if len(list) != 1 {
			t.Fatalf("%d skills with the id %s", len(list), id)
		}
		return list[0]
	}
	written := func(id string) {
		f.eventually("written", func() bool { return strings.HasPrefix(shown(id).RemoteID, "SKL-") })
	}
	a := post(`{"origin_id":"skill-1","name":"TypeScript","status":"ACTIVE"}`)
	made := a.record(t)
	if made.RemoteID != "skill-1" || made.Name != "TypeScript" || len(a.Warnings) != 0 {
		t.Errorf("made: %s", a.body)
	}
	written(made.ID)
	a = post(`{"name":"TypeScript Programming","levels":["Beginner"],"colour":"blue"}`)
	plain := a.record(t)
	if plain.RemoteID != plain.ID || len(a.Warnings) != 2 {
		t.Errorf("made in the published form: %s", a.body)
	}
	written(plain.ID)
	if again := post(`{"origin_id":"skill-1","name":"TypeScript 5"}`).record(t); again.ID != made.ID || again.Name != "TypeScript 5" {
		t.Errorf("once more: %+v", again)
	}
	if r := patch(plain.ID, `{"name":"TS"}`).record(t); r.Name != "TS" || r.RemoteDeletedAt != nil {
		t.Errorf("renamed: %+v", r)
	}
	if r := patch(plain.ID, `{"status":"INACTIVE"}`).record(t); r.Name != "TS" || r.RemoteDeletedAt == nil {
		t.Errorf("retired: %+v", r)
	}
	if r := patch(plain.ID, `{"status":"ACTIVE","levels":[]}`).record(t); r.RemoteDeletedAt != nil {
		t.Errorf("back: %+v", r)
	}
	if r := f.do(request{method: "DELETE", path: "/v1/hris/skills/" + made.ID}).record(t); r.RemoteDeletedAt == nil || r.ID != made.ID {
		t.Errorf("deleted: %+v", r)
	}
	f.eventually("one listed and the other not", func() bool {
		list, _ := f.do(read("")).page(t)
		return len(list) == 1 && list[0].ID == plain.ID
	})
	f.eventually("retired in the tool", func() bool {
		list, err := f.store.Sandbox().List(t.Context(), f.integration, 0, 10)
		return err == nil && slices.ContainsFunc(list, func(r sandbox.Record) bool { return r.ExternalID == "skill-1" && !r.Active && r.Name == "TypeScript 5" })
	})
	for body, words := range map[string]string{
		`{}`:                             "name is missing",
		``:                               "empty",
		`[]`:                             "an array",
		`{"name":7}`:                     "name must be a string",
		`{"name":" "}`:                   "name is blank",
		`{"name":"x","status":"active"}`: "status must be ACTIVE or INACTIVE",
		`{"name":"x","origin_id":""}`:    "origin_id is empty",
		`{"name":"x","name":"y"}`:        "not valid JSON",
		`{"name":"x"} x`:                 "not valid JSON",
		`{"name":"x"`:                    "ends in the middle",
		`{"name":"\ud800"}`:              "not valid JSON",
		`{"name":null,"origin_id":null}`: "name must be a string",
	} {
		post(body).want(t, 400, inputInvalid, words)
	}
	patch(made.ID, `{"origin_id":"other"}`).want(t, 400, inputInvalid, "origin_id")
	patch(skill.NewID(time.Now()), `{"name":"x"}`).want(t, 404, inputInvalid, "no skill")
	patch("nonsense", `{"name":"x"}`).want(t, 404, inputInvalid, "no skill")
	if _, err := f.store.SetEnabled(t.Context(), f.integration, false); err != nil {
		t.Fatal(err)
	}
	post(`{"name":"x"}`).want(t, 409, switchedOff)
	patch(made.ID, `{"name":"x"}`).want(t, 409, switchedOff)
	f.do(request{method: "DELETE", path: "/v1/hris/skills/" + made.ID}).want(t, 409, switchedOff)
	if list, _ := f.do(read("")).page(t); len(list) != 1 {
		t.Errorf("an integration that is off cannot be read: %+v", list)
	}
}

// forgetful keeps what is wished for, and does not say so.
type forgetful struct{ api.Submitter }

func (f forgetful) Wish(ctx context.Context, wish store.Wish, keyID string) (store.Skill, error) {
	if _, err := f.Submitter.Wish(ctx, wish, keyID); err != nil {
		return store.Skill{}, err
	}
	return store.Skill{}, &skill.Error{Kind: skill.Unavailable, Code: skill.CodeUnknown, Message: "The database was lost. Sending the same again is safe."}
}

// Whoever creates a skill that nothing tells from a second one is not told that sending it again is safe.
func TestSkillThatMayHaveBeenKept(t *testing.T) {
	f := setup(t, func(c *api.Config) { c.Engine = forgetful{c.Engine} })
	const path = "/v1/hris/skills"
	f.do(request{method: "POST", path: path, body: `{"name":"TypeScript"}`}).want(t, 503, "PLATFORM.UNKNOWN_ERROR", "may have kept it all the same")
	f.do(request{method: "POST", path: path, body: `{"name":"Java","origin_id":"java"}`}).want(t, 503, "PLATFORM.UNKNOWN_ERROR", "is safe")
	if list, _ := f.do(read("")).page(t); len(list) != 2 {
		t.Errorf("kept: %+v", list)
	}
}

// What a tool refuses shows in the skill.
func TestRefusedWishShows(t *testing.T) {
	f := setup(t)
	if _, err := f.store.SetSettings(t.Context(), f.integration, []byte(`{"refuse_names":"bad"}`)); err != nil {
		t.Fatal(err)
	}
	id := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":"x","name":"bad"}`}).record(t).ID
	f.eventually("refused", func() bool {
		list, _ := f.do(read("?include_remote_data=true&ids=" + id)).page(t)
		e := list[0].RemoteData.Crosswalk.Error
		return e != nil && e.Code == "REMOTE.INPUT_INVALID" && strings.Contains(e.Message, "not allowed")
	})
}

// Whoever asks what has changed since is told that what was asked for is not so.
func TestRefusedWishIsAChange(t *testing.T) {
	f := setup(t)
	id := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":"x","name":"good"}`}).record(t).ID
	f.eventually("written", func() bool { list, _ := f.do(read("")).page(t); return strings.HasPrefix(list[0].RemoteID, "SKL-") })
	if _, err := f.store.SetSettings(t.Context(), f.integration, []byte(`{"refuse_names":"bad"}`)); err != nil {
		t.Fatal(err)
	}
	asked := f.do(request{
		method: "PATCH", path: "/v1/hris/skills/" + id, body: `{"name":"bad"}`, header: map[string]string{"Content-Type": "application/json"},
	}).record(t)
	f.eventually("back, and changed since", func() bool {
		list, _ := f.do(read("?updated_after=" + asked.ChangedAt.Format(skill.TimeFormat))).page(t)
		return asked.Name == "bad" && len(list) == 1 && list[0].ID == id && list[0].Name == "good"
	})
}

// Nor is one of which nobody wants it, and whoever asks is told at once.
func TestInactiveSkillsThatNobodyWants(t *testing.T) {
	f := setup(t)
	one := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":"1","name":"a"}`}).record(t)
	if _, err := f.store.SetPolicy(t.Context(), f.integration, store.Policy{RefuseInactive: true}); err != nil {
		t.Fatal(err)
	}
	f.do(request{method: "DELETE", path: "/v1/hris/skills/" + one.ID}).want(t, 400, notAvailable, "refuses inactive skills")
	f.do(request{method: "PATCH", path: "/v1/hris/skills/" + one.ID, body: `{"status":"INACTIVE"}`}).want(t, 400, notAvailable, "refuses inactive skills")
	f.do(request{method: "PATCH", path: "/v1/hris/skills/" + one.ID, body: `{"name":"b","status":"ACTIVE"}`}).record(t)
	if list, _ := f.do(read("")).page(t); len(list) != 1 || list[0].Name != "b" {
		t.Errorf("read: %+v", list)
	}
}

// A tool that can neither retire nor list is not asked to.
func TestActionsThatAToolHasNot(t *testing.T) {
	f := setup(t, func(c *api.Config) {
		c.Connectors = connector.NewRegistry(plain{sandbox.New(nil)})
	})
	list := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":"1","name":"a"}`}).record(t)
	f.do(request{method: "DELETE", path: "/v1/hris/skills/" + list.ID}).want(t, 400, notAvailable, "retire")
	f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"name":"a","status":"INACTIVE"}`}).want(t, 400, notAvailable, "retire")
	f.do(request{method: "POST", path: "/v1/force-sync"}).want(t, 400, inputInvalid, "cannot be listed")
}

// plain is a sandbox that can do nothing beside writing.
type plain struct{ connector.Connector }

func (p plain) Describe() connector.Description {
	d := p.Connector.Describe()
	d.Capabilities = nil
	return d
}

func TestForceSync(t *testing.T) {
	f := setup(t)
	force := func(q request) (id, kind string, already bool) {
		t.Helper()
		q.method, q.path = "POST", "/v1/force-sync"
		var data struct {
			SyncID  string `json:"sync_id"`
			Type    string
			Already bool `json:"already_queued"`
		}
		a := f.do(q)
		if err := json.Unmarshal(a.Data, &data); err != nil || a.status != 200 || !skill.IsID(data.SyncID) {
			t.Fatalf("%d: %s", a.status, a.body)
		}
		return data.SyncID, data.Type, data.Already
	}
	box := f.store.Sandbox()
	if _, err := box.Write(t.Context(), f.integration, []sandbox.Row{{ExternalID: "by hand", Name: "made by hand", Active: true}}); err != nil {
		t.Fatal(err)
	}
	if _, kind, already := force(request{header: map[string]string{"Content-Type": ""}}); kind != "FULL" || already {
		t.Errorf("without a body: %s, %v", kind, already)
	}
	f.eventually("read back", func() bool { return slices.Equal(f.names(""), []string{"made by hand"}) })
	// One that has not ended would begin anew with other settings.
	f.eventually("ended", func() bool {
		h, err := f.store.Health(t.Context())
		return err == nil && h.Syncs == 0
	})
	// While it waits, the same one is told. It becomes a whole one for whoever wants that.
	if _, err := f.store.SetSettings(t.Context(), f.integration, []byte(`{"outage":true}`)); err != nil {
		t.Fatal(err)
	}
	first, kind, already := force(request{body: `{"type":"DELTA"}`})
	if kind != "DELTA" || already {
		t.Errorf("the first: %s, %v", kind, already)
	}
	second, kind, already := force(request{body: `{}`})
	if second != first || kind != "FULL" || !already {
		t.Errorf("%s after %s: %s, %v", second, first, kind, already)
	}
	if third, kind, already := force(request{body: `{"type":"DELTA"}`}); third != first || kind != "FULL" || !already {
		t.Errorf("%s after %s: %s, %v", third, first, kind, already)
	}
	// The audit log tells who asked.
	log, err := f.store.AuditLog(t.Context(), store.AuditFilter{EnvironmentID: f.env, Limit: 20})
	if err != nil || len(log) != 4 {
		t.Fatalf("%+v, %v", log, err)
	}
	for _, entry := range log {
		if entry.Action != "integration.sync" || entry.Target != f.integration || !strings.HasPrefix(entry.UserID, store.ByKey) || entry.Detail == "" || entry.Failed != "" {
			t.Errorf("entry %+v", entry)
		}
	}
	f.do(request{method: "POST", path: "/v1/force-sync", body: `{"type":"ALL"}`}).want(t, 400, inputInvalid, "type must be one of FULL, DELTA")
	f.do(request{method: "POST", path: "/v1/force-sync", body: `[]`}).want(t, 400, inputInvalid, "object")
	f.do(request{method: "POST", path: "/v1/force-sync", header: map[string]string{"X-Integration-Id": ""}}).want(t, 400, noSuch)
	if _, err := f.store.SetEnabled(t.Context(), f.integration, false); err != nil {
		t.Fatal(err)
	}
	f.do(request{method: "POST", path: "/v1/force-sync"}).want(t, 400, inputInvalid, "switched off")
}

func TestDiff(t *testing.T) {
	f := setup(t)
	f.ended(f.submit(`{"items":[{"origin_id":"same","name":"a"},{"origin_id":"renamed","name":"b"},{"origin_id":"retired","name":"c"},{"origin_id":"unsure","name":"d"},{"origin_id":"was retired","name":"e","status":"INACTIVE"}]}`))
	if _, err := f.store.Sandbox().Write(t.Context(), f.integration, []sandbox.Row{{ExternalID: "theirs", Name: "by hand", Active: true}}); err != nil {
		t.Fatal(err)
	}
	f.do(request{method: "POST", path: "/v1/force-sync"})
	f.eventually("read back", func() bool { return slices.Contains(f.names(""), "by hand") })
	body := `{"items":[{"origin_id":"same","name":"a"},{"origin_id":"renamed","name":"B"},{"origin_id":"retired","name":"c","status":"INACTIVE"},
		{"origin_id":"new","name":"n"},{"origin_id":"was retired","name":"e","status":"INACTIVE"},{"origin_id":"theirs","name":"by hand"}]}`
	for range 2 { // it changes nothing
		a := f.do(request{method: "POST", path: "/v1/hris/skills/bulk/diff", body: body})
		var data struct {
			Results []struct {
				OriginID string `json:"origin_id"`
				Change   string
				From     *struct{ Name, Status string }
				ID       *string
			}
		}
		if err := json.Unmarshal(a.Data, &data); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		got := map[string]string{}
		for _, r := range data.Results {
			got[r.OriginID] = r.Change
			if r.From != nil {
				got[r.OriginID] += " from " + r.From.Name + " " + r.From.Status
			}
			if (r.ID == nil) != (r.OriginID == "new") {
				t.Errorf("the id of %s: %v", r.OriginID, r.ID)
			}
		}
		want := map[string]string{
			"same": "NONE from a ACTIVE", "renamed": "UPDATE from b ACTIVE", "retired": "DEACTIVATE from c ACTIVE", "new": "CREATE",
			"was retired": "NONE from e INACTIVE", "theirs": "UPDATE from by hand ACTIVE",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("diff (-want +got):\n%s", diff)
		}
	}
	f.do(request{method: "POST", path: "/v1/hris/skills/bulk/diff", body: `{"items":[]}`}).want(t, 400, inputInvalid)
}

// Inactive skills that an upsert would refuse are told as such; those that are as they should be are not.
func TestDiffTellsWhatIsRefused(t *testing.T) {
	f := setup(t)
	f.ended(f.submit(`{"items":[{"origin_id":"active","name":"a"},{"origin_id":"retired","name":"b","status":"INACTIVE"}]}`))
	in, err := f.store.Integration(t.Context(), f.env, f.integration)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.SetPolicy(t.Context(), in.ID, store.Policy{RefuseInactive: true}); err != nil {
		t.Fatal(err)
	}
	items := `{"items":[{"origin_id":"active","name":"a","status":"INACTIVE"},{"origin_id":"retired","name":"b","status":"INACTIVE"},
		{"origin_id":"new","name":"c","status":"INACTIVE"},{"origin_id":"other","name":"d"}]}`
	a := f.do(request{method: "POST", path: "/v1/hris/skills/bulk/diff", body: items})
	var data struct{ Results []struct{ Change string } }
	if err := json.Unmarshal(a.Data, &data); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	var got []string
	for _, r := range data.Results {
		got = append(got, r.Change)
	}
	if want := []string{"REFUSE", "NONE", "REFUSE", "CREATE"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	task := f.ended(f.submit(items))
	if strings.Count(task.body, `"FAILED"`) != 2 {
		t.Errorf("the upsert itself: %s", task.body)
	}
}

// handmade is a store that knows of skills which people made in the tool.
type handmade struct {
	api.Reader
	skills []store.RemoteSkill
	rows   []store.SkillRow // that have an external id
}

func (h handmade) ReadSkills(_ context.Context, q store.SkillQuery) (page store.SkillPage, err error) {
	for _, s := range h.skills {
		if q.Matches(s.View()) {
			page.Skills = append(page.Skills, s.View())
		}
	}
	return page, nil
}

func (h handmade) RemoteByName(_ context.Context, _, _ string, names []string) (found []store.RemoteSkill, err error) {
	for _, s := range h.skills {
		if slices.Contains(names, s.Name) {
			found = append(found, s)
		}
	}
	return found, nil
}

func (h handmade) ReadByName(_ context.Context, _, _ string, names []string) (found []store.SkillRow, err error) {
	for _, row := range h.rows {
		if slices.Contains(names, row.Name) {
			found = append(found, row)
		}
	}
	return found, nil
}

// able is a sandbox that has more capabilities, or fewer.
type able struct {
	connector.Connector
	can []connector.Capability
}

func (a able) Describe() connector.Description {
	d := a.Connector.Describe()
	d.Capabilities = a.can
	return d
}

// What people made in a tool is not promised to change, where its connector has no way to.
func TestSkillsThatNobodyManages(t *testing.T) {
	their := skill.NewID(time.Now())
	for name, test := range map[string]struct {
		can  []connector.Capability
		want bool
	}{
		"a connector that cannot": {[]connector.Capability{connector.CanDeactivate}, false},
		"one that can":            {[]connector.Capability{connector.CanDeactivate, connector.CanTake}, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, func(c *api.Config) {
				c.Connectors = connector.NewRegistry(able{sandbox.New(nil), test.can})
				c.Store = handmade{Reader: c.Store, skills: []store.RemoteSkill{{RemoteID: "r1", ID: their, Name: "theirs", Status: skill.Active}}}
			})
			ours := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"name":"ours"}`}).record(t)
			f.do(request{method: "PATCH", path: "/v1/hris/skills/" + ours.ID, body: `{"name":"ours, too"}`}).record(t)
			for _, q := range []request{
				{method: "DELETE", path: "/v1/hris/skills/" + their},
				{method: "PATCH", path: "/v1/hris/skills/" + their, body: `{"name":"new"}`},
			} {
				if test.want {
					f.do(q).want(t, 404, inputInvalid, "no skill") // it goes on to the store, which in this test has none
				} else {
					f.do(q).want(t, 400, notAvailable, "made in Sandbox")
				}
			}
		})
	}
}

// A setting of the tool's may have inactive skills refused, which is what three of them do by default.
func TestInactiveSkillsThatASettingRefuses(t *testing.T) {
	f := setup(t, func(c *api.Config) { c.Connectors = connector.NewRegistry(odoo.New(), moodle.New(), learning360.New()) })
	for tool, test := range map[string]struct{ usual, retires, says string }{
		"odoo":        {`{"address":"https://odoo.example"}`, `{"address":"https://odoo.example","inactive":"move"}`, "its setting inactive is refuse"},
		"moodle":      {`{"address":"https://moodle.example"}`, `{"address":"https://moodle.example","inactive":"archive"}`, "its setting inactive is refuse"},
		"360learning": {`{"parents":"library"}`, `{"parents":"library","inactive":"delete"}`, "its setting inactive is refuse"},
	} {
		in, err := f.store.CreateIntegration(t.Context(), store.Integration{
			EnvironmentID: f.env, Tool: tool, Settings: []byte(test.usual), EndUser: store.EndUser{OrganisationName: "Acme GmbH"},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.integration = in.ID
		one := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":"1","name":"a"}`}).record(t)
		f.do(request{method: "DELETE", path: "/v1/hris/skills/" + one.ID}).want(t, 400, notAvailable, test.says)
		f.do(request{method: "PATCH", path: "/v1/hris/skills/" + one.ID, body: `{"status":"INACTIVE"}`}).want(t, 400, notAvailable, test.says)
		told := func(when, inactive, change string) {
			t.Helper()
			if a := f.do(request{method: "GET", path: "/v1/integrations/" + in.ID}); a.header.Get("Crosswalk-Inactive") != inactive ||
				!strings.Contains(a.body, fmt.Sprintf(`{"id":"skill.status","is_available":%t,`, inactive == "deactivate")) {
				t.Errorf("%s, %s: %q, %s", tool, when, a.header.Get("Crosswalk-Inactive"), a.body)
			}
			a := f.do(request{method: "POST", path: "/v1/hris/skills/bulk/diff", body: `{"items":[{"origin_id":"new","name":"c","status":"INACTIVE"}]}`})
			if !strings.Contains(a.body, `"change":"`+change+`"`) {
				t.Errorf("%s, %s: the diff says %s", tool, when, a.body)
			}
		}
		told("as it is by default", "refuse", "REFUSE")
		if _, err := f.store.SetSettings(t.Context(), in.ID, []byte(test.retires)); err != nil {
			t.Fatal(err)
		}
		told("with the other setting", "deactivate", "NONE")
		if r := f.do(request{method: "DELETE", path: "/v1/hris/skills/" + one.ID}).record(t); r.RemoteDeletedAt == nil {
			t.Errorf("%s: %+v", tool, r)
		}
	}
}

// identifying is a connector that also takes over what has an external id already.
type identifying struct{ able }

func (i identifying) Describe() connector.Description {
	d := i.able.Describe()
	d.AdoptsIdentified = true
	return d
}

// What people made under the same name is taken over, if the integration says so: each once, retired or not, and by none that is
// inactive or that has had a record of its own; with an external id only where the connector does so, and then last.
func TestDiffTellsWhatIsTakenOver(t *testing.T) {
	can := able{sandbox.New(nil), []connector.Capability{connector.CanDeactivate, connector.CanAdopt}}
	remote := []store.RemoteSkill{
		{RemoteID: "12", ID: skill.NewID(time.Now()), Name: "Welding", Status: skill.Active},
		{RemoteID: "9", ID: skill.NewID(time.Now()), Name: "Welding", Status: skill.Inactive},
		{RemoteID: "13", ID: skill.NewID(time.Now()), Name: "Gone", Status: skill.Active},
	}
	rows := []store.SkillRow{
		{ID: skill.NewID(time.Now()), OriginID: "COMP-1", RemoteID: "7", Name: "Welding", Status: skill.Active},
		{ID: skill.NewID(time.Now()), OriginID: "COMP-2", RemoteID: "8", Name: "Brewing", Status: skill.Active},
	}
	const body = `{"items":[{"origin_id":"retired","name":"Welding","status":"INACTIVE"},{"origin_id":"1","name":"Welding"},{"origin_id":"2","name":"Welding"},
		{"origin_id":"3","name":"Welding"},{"origin_id":"4","name":"Welding"},{"origin_id":"COMP-2","name":"Brewing"},{"origin_id":"5","name":"Brewing"},
		{"origin_id":"6","name":"welding"},{"origin_id":"gone","name":"Gone"}]}`
	for name, test := range map[string]struct {
		connector connector.Connector
		adopt     bool
		want      string
	}{
		"without the policy":         {can, false, "NONE CREATE CREATE CREATE CREATE CREATE CREATE CREATE CREATE"},
		"with it":                    {can, true, "NONE ADOPT/INACTIVE ADOPT/ACTIVE CREATE CREATE CREATE CREATE CREATE CREATE"},
		"with external ids likewise": {identifying{can}, true, "NONE ADOPT/INACTIVE ADOPT/ACTIVE ADOPT/ACTIVE CREATE CREATE CREATE CREATE CREATE"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, func(c *api.Config) {
				c.Connectors = connector.NewRegistry(test.connector)
				c.Store = handmade{ownGone{c.Store}, remote, rows}
			})
			if _, err := f.store.SetPolicy(t.Context(), f.integration, store.Policy{Adopt: test.adopt}); err != nil {
				t.Fatal(err)
			}
			a := f.do(request{method: "POST", path: "/v1/hris/skills/bulk/diff", body: body})
			var data struct {
				Results []struct {
					Change   string
					From, To *struct{ Name, Status string }
				}
			}
			if err := json.Unmarshal(a.Data, &data); err != nil {
				t.Fatalf("%v: %s", err, a.body)
			}
			var got []string
			for _, r := range data.Results {
				if r.Change == "ADOPT" && r.From != nil && r.From.Name == r.To.Name {
					r.Change += "/" + r.From.Status
				}
				got = append(got, r.Change)
			}
			if got := strings.Join(got, " "); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

// ownGone is a store whose skill "gone" was written once, and vanished from the tool.
type ownGone struct{ api.Reader }

func (s ownGone) SkillsByOrigin(ctx context.Context, environmentID, integrationID string, ids []string) ([]store.SkillRow, error) {
	rows, err := s.Reader.SkillsByOrigin(ctx, environmentID, integrationID, ids)
	at := time.Now().Add(-time.Hour)
	return append(rows, store.SkillRow{
		ID: skill.NewID(at), OriginID: "gone", RemoteID: "4711", Name: "Gone", Status: skill.Active, WrittenAt: at, Note: store.Gone, NotedAt: at.Add(time.Minute),
	}), err
}

// What a tool has refused of a bulk is none of its skills.
func TestListWithoutWhatWasRefused(t *testing.T) {
	f := setup(t)
	if _, err := f.store.SetSettings(t.Context(), f.integration, []byte(`{"refuse_names":"bad"}`)); err != nil {
		t.Fatal(err)
	}
	f.ended(f.submit(`{"items":[{"origin_id":"1","name":"good"},{"origin_id":"2","name":"bad"}]}`))
	if got := f.names("include_deleted=true"); !slices.Equal(got, []string{"good"}) {
		t.Errorf("read: %q", got)
	}
	if got := f.names("include_deleted=true&remote_ids=2"); len(got) != 0 {
		t.Errorf("by its origin_id: %q", got)
	}
	// Who asks for it by itself sees why it is not there.
	id := f.do(request{method: "POST", path: "/v1/hris/skills", body: `{"origin_id":"2","name":"bad"}`}).record(t).ID
	f.eventually("refused", func() bool {
		list, _ := f.do(read("?include_remote_data=true&ids=" + id)).page(t)
		return len(list) == 1 && list[0].RemoteData.Crosswalk.Error != nil
	})
}
