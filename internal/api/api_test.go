package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/api"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	inputInvalid = "PLATFORM.INPUT_INVALID"
	authInvalid  = "PLATFORM.AUTHENTICATION_INVALID"
	noSuch       = "PLATFORM.INTEGRATION_NOT_FOUND"
	switchedOff  = "INTEGRATION.INACTIVE"
	ours         = "PLATFORM.UNKNOWN_ERROR"

	good = `{"items":[{"origin_id":"skill-1","skill":{"name":"TypeScript","status":"ACTIVE"}}]}`
)

func TestUpsertAndPoll(t *testing.T) {
	f := setup(t)
	task := f.submit(`{"items":[
		{"origin_id":"skill-1","skill":{"name":"TypeScript","status":"ACTIVE"}},
		{"origin_id":"http://data.europa.eu/esco/skill/1","skill":{"name":"línguas² \"x\"","status":"INACTIVE"}},
		{"origin_id":"skill-3","name":"C++"},
		{"origin_id":"skill-4","name":"C#","status":"INACTIVE"}]}`)
	if !skill.IsTaskID(task) {
		t.Errorf("task id %q", task)
	}
	a := f.ended(task)
	var data struct {
		TaskID      string    `json:"task_id"`
		CreatedAt   time.Time `json:"created_at"`
		CompletedAt time.Time `json:"completed_at"`
		Status      string
		Data        []struct {
			OriginID string `json:"origin_id"`
			Status   string
			Data     struct{ ID string }
		}
	}
	if err := json.Unmarshal(a.Data, &data); err != nil {
		t.Fatal(err)
	}
	if a.status != 200 || data.Status != "COMPLETED" || data.TaskID != task || data.CompletedAt.Before(data.CreatedAt) {
		t.Errorf("%d: %s", a.status, a.body)
	}
	var ids []string
	for _, d := range data.Data {
		ids = append(ids, d.OriginID)
		if d.Status != "SUCCEEDED" || !skill.IsID(d.Data.ID) {
			t.Errorf("entry %+v", d)
		}
	}
	if diff := cmp.Diff([]string{"skill-1", "http://data.europa.eu/esco/skill/1", "skill-3", "skill-4"}, ids); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"Crosswalk-Items-Total": "4", "Crosswalk-Items-Done": "4", "Crosswalk-Items-Written": "4",
		"Crosswalk-Items-Unchanged": "0", "Crosswalk-Items-Failed": "0",
	} {
		if got := a.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	records, err := f.store.Sandbox().List(t.Context(), f.integration, 0, 10)
	if err != nil || len(records) != 4 || records[1].Active || records[3].Active || !records[0].Active {
		t.Errorf("the tool holds %+v, %v", records, err)
	}
}

func TestPendingThenFailed(t *testing.T) {
	f := setup(t)
	if _, err := f.store.SetSettings(t.Context(), f.integration, []byte(`{"latency":"300ms","refuse_credentials":true}`)); err != nil {
		t.Fatal(err)
	}
	task := f.submit(good)
	if a := f.do(poll(task)); a.status != 200 || !strings.Contains(a.body, `"status":"PENDING","completed_at":null`) || a.header.Get("Crosswalk-Items-Total") != "1" {
		t.Errorf("%d: %s", a.status, a.body)
	}
	if a := f.ended(task); !strings.Contains(a.body, `"status":"FAILED","error":{"code":"INTEGRATION.AUTHENTICATION_INVALID"`) {
		t.Errorf("%s", a.body)
	}
	a := f.do(request{method: "GET", path: "/v1/integrations/" + f.integration})
	if !strings.Contains(a.body, `"status":"INVALID"`) {
		t.Errorf("the integration: %s", a.body)
	}
}

// The table of bad keys, integrations and paths.
func TestRefusals(t *testing.T) {
	f := setup(t)
	other := f.newTenant("other")
	off, gone := f.newIntegration(f.env), f.newIntegration(f.env)
	revoked := f.newTenant(store.DefaultEnvironment)
	task := f.submit(good)
	if _, err := f.store.SetEnabled(t.Context(), off, false); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.DeleteIntegration(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.RevokeKey(t.Context(), revoked.keyID); err != nil {
		t.Fatal(err)
	}
	stranger, _, _ := auth.NewKey()
	key := func(value string) map[string]string { return map[string]string{"Authorization": value} }
	integration := func(value string) map[string]string { return map[string]string{"X-Integration-Id": value} }
	for _, test := range []struct {
		name   string
		q      request
		header map[string]string
		status int
		code   string
		words  string
	}{
		{"no key", push(good), key(""), 401, authInvalid, "API key"},
		{"no scheme", push(good), key(f.key), 401, authInvalid, ""},
		{"another scheme", push(good), key("Basic " + f.key), 401, authInvalid, ""},
		{"malformed key", push(good), key("Bearer x"), 401, authInvalid, ""},
		{"overlong key", push(good), key("Bearer cw_live_" + strings.Repeat("a", 10_000)), 401, authInvalid, ""},
		{"unknown key", push(good), key("Bearer " + stranger), 401, authInvalid, ""},
		{"revoked key", push(good), key("Bearer " + revoked.key), 401, authInvalid, ""},
		{"no key for a poll", poll(task), key(""), 401, authInvalid, ""},
		{"no key for a check", request{method: "GET", path: "/v1/check-api-key"}, key(""), 401, authInvalid, ""},
		{"no key for an integration", request{method: "GET", path: "/v1/integrations/" + f.integration}, key(""), 401, authInvalid, ""},
		{"no key for tools", request{method: "GET", path: "/v1/tools/hris"}, key(""), 401, authInvalid, ""},

		{"no integration", push(good), integration(""), 400, noSuch, "X-Integration-Id"},
		{"unknown integration", push(good), integration("sandbox:28KMdr68N8kG9EzLwjsN9aoz"), 404, noSuch, ""},
		{"malformed integration", push(good), integration("'; DROP TABLE skills; --"), 404, noSuch, ""},
		{"another environment's integration", push(good), integration(other.integration), 404, noSuch, ""},
		{"deleted integration", push(good), integration(gone), 404, noSuch, ""},
		{"integration switched off", push(good), integration(off), 409, switchedOff, "switched off"},
		{"no integration for a poll", poll(task), integration(""), 400, noSuch, "X-Integration-Id"},
		{"unknown integration for a poll", poll(task), integration("sandbox:28KMdr68N8kG9EzLwjsN9aoz"), 404, noSuch, ""},
		{"another environment's integration for a poll", poll(task), integration(other.integration), 404, noSuch, ""},

		{"unknown task", poll("task_28KMdr68N8kG9EzLwjsN9aoz"), nil, 404, inputInvalid, "no task"},
		{"malformed task", poll("task_1"), nil, 404, inputInvalid, "no task"},
		{"another integration's task", poll(task), integration(off), 404, inputInvalid, "no task"},
		{"another environment's task", other.as(poll(task)), nil, 404, inputInvalid, "no task"},

		{"another environment's integration by path", request{method: "GET", path: "/v1/integrations/" + other.integration}, nil, 404, noSuch, ""},
		{"deleted integration by path", request{method: "GET", path: "/v1/integrations/" + gone}, nil, 404, noSuch, ""},
		{"unknown integration by path", request{method: "GET", path: "/v1/integrations/x"}, nil, 404, noSuch, ""},
		{"unknown category", request{method: "GET", path: "/v1/tools/erp"}, nil, 400, inputInvalid, "hris, ats, assessment or lms"},

		{"unknown path", request{method: "GET", path: "/v1/nothing"}, nil, 404, inputInvalid, "/v1/nothing"},
		{"root", request{method: "GET", path: "/"}, nil, 404, inputInvalid, ""},
		{"trailing slash", request{method: "GET", path: "/v1/check-api-key/"}, nil, 404, inputInvalid, ""},
		{"unknown method", request{method: "DELETE", path: "/v1/check-api-key"}, nil, 405, inputInvalid, "DELETE"},
		{"odd method", request{method: "BREW", path: "/v1/hris/skills/bulk"}, nil, 405, inputInvalid, "POST"},
	} {
		q := test.q
		for name, value := range test.header {
			if q.header == nil {
				q.header = map[string]string{}
			}
			q.header[name] = value
		}
		a := f.do(q)
		if a.status != test.status || a.Error.Code != test.code || !strings.Contains(a.Error.Message, test.words) {
			t.Errorf("%s: %d %s %q, want %d %s with %q", test.name, a.status, a.Error.Code, a.Error.Message, test.status, test.code, test.words)
		}
		a.want(t, test.status, test.code)
		if test.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", test.name)
		}
		if test.status == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no WWW-Authenticate", test.name)
		}
	}
	// What cannot be told apart is answered to the letter alike.
	unknown := f.do(request{method: "GET", path: "/v1/integrations/sandbox:28KMdr68N8kG9EzLwjsN9aoz"})
	foreign := f.do(request{method: "GET", path: "/v1/integrations/" + other.integration})
	if strings.ReplaceAll(foreign.body, other.integration, "sandbox:28KMdr68N8kG9EzLwjsN9aoz") != unknown.body {
		t.Errorf("a foreign integration can be told from none:\n%s\n%s", foreign.body, unknown.body)
	}
}

// The table of bad bodies.
func TestBadBodies(t *testing.T) {
	f := setup(t)
	item := func(fields string) string { return `{"items":[{"origin_id":"a","name":"A"},{` + fields + `}]}` }
	long := strings.Repeat("x", 513)
	for _, test := range []struct {
		name, body string
		words      []string
	}{
		{"empty", "", []string{"empty"}},
		{"white space", " \n\t", []string{"empty"}},
		{"not JSON", "hello", []string{"byte 0"}},
		{"truncated", good[:40], []string{"ends in the middle", "byte 40"}},
		{"truncated in a string", `{"items":[{"origin_id":"a`, []string{"ends in the middle"}},
		{"trailing bytes", good + "x", []string{fmt.Sprint("byte ", len(good))}},
		{"two values", good + good, []string{"goes on"}},
		{"an array", `[1]`, []string{"the body must be an object, it is an array"}},
		{"null", `null`, []string{"the body must be an object, it is null"}},
		{"a string", `"x"`, []string{"it is a string"}},
		{"a byte order mark", "\ufeff" + good, []string{"byte 0"}},
		{"duplicate key", `{"items":[],"items":[]}`, []string{"duplicate", "byte"}},
		{"duplicate key in an item", item(`"origin_id":"b","name":"B","name":"C"`), []string{"duplicate", "items[1].name"}},
		{"duplicate key in a skill", item(`"origin_id":"b","skill":{"name":"B","name":"C"}`), []string{"duplicate", "items[1].skill.name"}},
		{"duplicate unknown key", item(`"origin_id":"b","name":"B","x":1,"x":2`), []string{"duplicate"}},
		{"invalid UTF-8", item("\"origin_id\":\"b\",\"name\":\"\xff\""), []string{"UTF-8", "byte 64"}},
		{"lone surrogate", item(`"origin_id":"b","name":"\ud800"`), []string{"items[1]"}},
		{"comment", `{"items":[] /* x */}`, []string{"byte 12"}},
		{"single quotes", `{'items':[]}`, []string{"byte 1"}},
		{"trailing comma", `{"items":[{"origin_id":"a","name":"A"},]}`, []string{"byte"}},
		{"NUL in a name", item(`"origin_id":"b","name":"B\u0000"`), []string{"items[1].name", "NUL"}},
		{"NUL in an origin_id", item(`"origin_id":"b\u0000","name":"B"`), []string{"items[1].origin_id", "NUL"}},

		{"items missing", `{}`, []string{"items is missing"}},
		{"items null", `{"items":null}`, []string{"items must be an array, it is null"}},
		{"items an object", `{"items":{}}`, []string{"items must be an array, it is an object"}},
		{"items empty", `{"items":[]}`, []string{"items is empty"}},
		{"an item null", `{"items":[null]}`, []string{"items[0] must be an object, it is null"}},
		{"an item a string", `{"items":["a"]}`, []string{"items[0] must be an object, it is a string"}},
		{"skill a string", item(`"origin_id":"b","skill":"B"`), []string{"items[1].skill must be an object, it is a string"}},
		{"both forms", item(`"origin_id":"b","skill":{"name":"B"},"name":"C"`), []string{"items[1]", "one form"}},
		{"both forms, the other way round", item(`"name":"C","skill":{"name":"B"},"origin_id":"b"`), []string{"items[1]", "one form"}},

		{"origin_id missing", item(`"name":"B"`), []string{"items[1].origin_id is missing"}},
		{"origin_id empty", item(`"origin_id":"","name":"B"`), []string{"items[1].origin_id is empty"}},
		{"origin_id a number", item(`"origin_id":1,"name":"B"`), []string{"items[1].origin_id must be a string, it is a number"}},
		{"origin_id null", item(`"origin_id":null,"name":"B"`), []string{"items[1].origin_id must be a string, it is null"}},
		{"origin_id too long", item(`"origin_id":"` + long + `","name":"B"`), []string{"items[1].origin_id is 513 characters long, at most 512"}},
		{"origin_id twice", item(`"origin_id":"a","name":"B"`), []string{"items[1].origin_id", "items[0].origin_id", `"a"`}},
		{"name missing", item(`"origin_id":"b"`), []string{"items[1].name is missing"}},
		{"nested name missing", item(`"origin_id":"b","skill":{}`), []string{"items[1].skill.name is missing"}},
		{"name blank", item(`"origin_id":"b","name":" \t\u00a0"`), []string{"items[1].name is blank"}},
		{"nested name blank", item(`"origin_id":"b","skill":{"name":""}`), []string{"items[1].skill.name is blank"}},
		{"name too long", item(`"origin_id":"b","name":"` + strings.Repeat("ß", 1001) + `"`), []string{"items[1].name is 1001 characters long, at most 1000"}},
		{"name a boolean", item(`"origin_id":"b","name":true`), []string{"items[1].name must be a string, it is a boolean"}},
		{"status another word", item(`"origin_id":"b","name":"B","status":"active"`), []string{"items[1].status must be ACTIVE or INACTIVE", `"active"`}},
		{"status null", item(`"origin_id":"b","skill":{"name":"B","status":null}`), []string{"items[1].skill.status must be a string, it is null"}},
		{"several", item(`"origin_id":"","name":""`), []string{"items[1].origin_id is empty", "items[1].name is blank"}},
	} {
		a := f.do(push(test.body))
		if a.status != 400 || a.Error.Code != inputInvalid {
			t.Errorf("%s: %d %s, want 400: %s", test.name, a.status, a.Error.Code, a.body)
		}
		for _, w := range test.words {
			if !strings.Contains(a.Error.Message, w) {
				t.Errorf("%s: the message is %q, want %q in it", test.name, a.Error.Message, w)
			}
		}
	}
	// Twenty are listed, the others counted.
	var bad []string
	for range 50 {
		bad = append(bad, `{"origin_id":"","name":"x"}`)
	}
	a := f.do(push(`{"items":[` + strings.Join(bad, ",") + `]}`))
	a.want(t, 400, inputInvalid, "items[19].origin_id", "30 more")
	if strings.Contains(a.Error.Message, "items[20]") {
		t.Errorf("more than twenty are listed: %s", a.Error.Message)
	}
	// Nothing of all this was kept.
	if records, err := f.store.Sandbox().List(t.Context(), f.integration, 0, 10); err != nil || len(records) != 0 {
		t.Errorf("the tool holds %+v, %v", records, err)
	}
}

func TestLimits(t *testing.T) {
	f := setup(t, func(c *api.Config) { c.MaxItems, c.MaxBody = 3, 100_000 })
	f.do(push(`{"items":[{"origin_id":"1","name":"x"},{"origin_id":"2","name":"x"},{"origin_id":"3","name":"x"},{"origin_id":"4","name":"x"}]}`)).
		want(t, 400, inputInvalid, "more than 3 entries")
	f.submit(`{"items":[{"origin_id":"1","name":"x"},{"origin_id":"2","name":"x"},{"origin_id":"3","name":"x"}]}`)

	padded := func(n int) string { return good[:len(good)-1] + strings.Repeat(" ", n-len(good)) + "}" }
	f.submit(padded(100_000))
	f.do(push(padded(100_001))).want(t, 413, inputInvalid, "100000 bytes")
	zipped := func(body string) request {
		q := push(compress(t, body))
		q.header = map[string]string{"Content-Encoding": "gzip"}
		return q
	}
	if a := f.do(zipped(padded(100_000))); a.status != 200 {
		t.Errorf("a compressed body: %s", a.body)
	}
	f.do(zipped(padded(100_001))).want(t, 413, inputInvalid, "100000 bytes")
	f.do(zipped(strings.Repeat(" ", 50<<20))).want(t, 413, inputInvalid)

	check := f.do(request{method: "GET", path: "/v1/check-api-key"})
	if check.header.Get("Crosswalk-Max-Items") != "3" || check.header.Get("Crosswalk-Max-Body") != "100000" {
		t.Errorf("the limits are told as %v", check.header)
	}
}

func compress(t *testing.T, body string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestContentTypes(t *testing.T) {
	f := setup(t)
	for contentType, status := range map[string]int{
		"application/json": 200, "application/json; charset=utf-8": 200, "APPLICATION/JSON": 200, "application/vnd.api+json": 415,
		"": 415, "text/plain": 415, "application/x-www-form-urlencoded": 415, "multipart/form-data": 415, "json": 415, ";": 415,
	} {
		q := push(good)
		q.header = map[string]string{"Content-Type": contentType}
		if a := f.do(q); a.status != status {
			t.Errorf("%q: %d, want %d: %s", contentType, a.status, status, a.body)
		}
	}
	for encoding, status := range map[string]int{"identity": 200, "br": 415, "gzip, gzip": 415, "gzip": 400} {
		q := push(good)
		q.header = map[string]string{"Content-Encoding": encoding}
		if a := f.do(q); a.status != status {
			t.Errorf("Content-Encoding %q: %d, want %d: %s", encoding, a.status, status, a.body)
		}
	}
	cut := push(compress(t, strings.Repeat(good, 100))[:60])
	cut.header = map[string]string{"Content-Encoding": "gzip"}
	f.do(cut).want(t, 400, inputInvalid)
}

func TestUnknownFieldsAreWarnedOfOnce(t *testing.T) {
	f := setup(t)
	a := f.do(push(`{"items":[
		{"origin_id":"1","name":"x","levels":[1,{"a":[]}],"x y":null},
		{"origin_id":"2","skill":{"name":"x","levels":[]},"extra":{"origin_id":"3"}}],"mode":"full"}`))
	if a.status != 200 {
		t.Fatal(a.body)
	}
	var got []string
	for _, w := range a.Warnings {
		got = append(got, w.Message)
	}
	want := []string{
		`The field "levels" is not known and was ignored (first seen at items[0].levels).`,
		`The field "x y" is not known and was ignored (first seen at items[0]."x y").`,
		`The field "extra" is not known and was ignored (first seen at items[1].extra).`,
		`The field "mode" is not known and was ignored (first seen at mode).`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	var fields []string
	for i := range 1000 {
		fields = append(fields, fmt.Sprintf(`"f%d":1`, i))
	}
	a = f.do(push(`{` + strings.Join(fields, ",") + `,"items":[{"origin_id":"1","name":"x"}]}`))
	if len(a.Warnings) != 21 || !strings.Contains(a.Warnings[20].Message, "980 more") {
		t.Errorf("%d warnings, the last is %v", len(a.Warnings), a.Warnings[len(a.Warnings)-1])
	}
}

// A client that sends its whole body before it reads can read the refusal.
func TestRefusalOfALargeBodyCanBeRead(t *testing.T) {
	f := setup(t)
	const size = 40 << 20
	for name, header := range map[string]string{
		"413": "Authorization: Bearer " + f.key + "\r\nX-Integration-Id: " + f.integration,
		"401": "Authorization: Bearer nobody\r\nX-Integration-Id: " + f.integration,
		"404": "Authorization: Bearer " + f.key + "\r\nX-Integration-Id: none",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // a TCP connection has deadlines
		if _, err := fmt.Fprintf(conn, "POST /v1/hris/skills/bulk HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", header, size); err != nil {
			t.Fatal(err)
		}
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for range size / len(chunk) {
			if _, err := conn.Write(chunk); err != nil {
				t.Fatalf("%s: the body was not read to its end: %v", name, err)
			}
		}
		reply := make([]byte, 12)
		if _, err := io.ReadFull(conn, reply); err != nil || string(reply[9:]) != name {
			t.Errorf("%s: answered %q, %v", name, reply, err)
		}
		_ = conn.Close() // nothing more is wanted of it
	}
}

// A request that dies half-way leaves nothing behind.
func TestHalfARequest(t *testing.T) {
	f := setup(t)
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", f.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "POST /v1/hris/skills/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nX-Integration-Id: %s\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", f.key, f.integration, len(good)+1, good); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	f.ended(f.submit(`{"items":[{"origin_id":"other","name":"x"}]}`))
	records, err := f.store.Sandbox().List(t.Context(), f.integration, 0, 10)
	if err != nil || len(records) != 1 || records[0].ExternalID != "other" {
		t.Errorf("the tool holds %+v, %v", records, err)
	}
}

// What people want of an integration, and whether its tool answers, stand in headers, and where the contract has a place.
func TestIntegrationsPolicy(t *testing.T) {
	f := setup(t)
	want := func(what, adopt, inactive string, status, away bool) {
		t.Helper()
		in := f.do(request{method: "GET", path: "/v1/integrations/" + f.integration})
		if got := in.header.Get("Crosswalk-Adopt"); got != adopt {
			t.Errorf("%s: adopt %q", what, got)
		}
		if got := in.header.Get("Crosswalk-Inactive"); got != inactive {
			t.Errorf("%s: inactive %q", what, got)
		}
		if field := fmt.Sprintf(`{"id":"skill.status","is_available":%t,`, status); !strings.Contains(in.body, field) {
			t.Errorf("%s: no %s in %s", what, field, in.body)
		}
		since := in.header.Get("Crosswalk-Away-Since")
		if at, err := time.Parse(skill.TimeFormat, since); (err == nil && time.Since(at) < time.Minute) != away || !away && since != "" {
			t.Errorf("%s: away since %q", what, since)
		}
	}
	want("at first", "false", "deactivate", true, false)
	if _, err := f.store.SetPolicy(t.Context(), f.integration, store.Policy{Adopt: true, RefuseInactive: true}); err != nil {
		t.Fatal(err)
	}
	want("with a policy", "true", "refuse", false, false)
	task, err := f.store.Submit(t.Context(), store.Submission{
		EnvironmentID: f.env, IntegrationID: f.integration, KeyID: f.keyID, TaskID: skill.NewTaskID(time.Now()), Timeout: time.Hour,
		Items: []skill.Item{{OriginID: "a", Name: "a", Status: skill.Active}}, Claim: &store.Claim{IntegrationID: f.integration, Owner: "x", TTL: time.Minute},
	})
	if err != nil || task.Leased == nil {
		t.Fatalf("%+v, %v", task, err)
	}
	if _, err := f.store.Advance(t.Context(), task.Leased.Lease, store.Step{Failures: 10, Away: true, Hold: time.Hour, Then: store.Leave}); err != nil {
		t.Fatal(err)
	}
	want("with a tool that does not answer", "true", "refuse", false, true)
}

// linked is a sandbox with pages of a vendor.
type linked struct{ connector.Connector }

func (l linked) Describe() connector.Description {
	d := l.Connector.Describe()
	d.Slug, d.Category = "linked", connector.LMS
	d.Links = []connector.Link{{Label: "Skills", URL: "https://tool.example/skills"}, {Label: "Credentials", URL: "https://tool.example/credentials", Guide: true}}
	return d
}

func TestGeneral(t *testing.T) {
	f := setup(t, func(c *api.Config) {
		c.Connectors = connector.NewRegistry(sandbox.New(nil), linked{sandbox.New(nil)})
	})
	check := f.do(request{method: "GET", path: "/v1/check-api-key", header: map[string]string{"X-Integration-Id": ""}})
	if want := fmt.Sprintf(`{"customer_id":%q,"environment_id":%q}`, f.env, f.env); string(check.Data) != want {
		t.Errorf("check-api-key: %s, want %s", check.Data, want)
	}
	in := f.do(request{method: "GET", path: "/v1/integrations/" + f.integration})
	for _, want := range []string{
		fmt.Sprintf(`"id":%q`, f.integration), `"label":"Sandbox"`, `"category":"HRIS"`, `"status":"ACTIVE"`, `"setup_status":"COMPLETED"`,
		`"organization_name":"Acme GmbH"`, `"creator_email":"anna@acme.example"`, `"origin_id":"acme-1"`, `"data_expired_at":null`,
		`"logo_url":"https://skills.example.com/assets/tools/sandbox-logo.svg"`,
	} {
		if !strings.Contains(in.body, want) {
			t.Errorf("the integration has no %s: %s", want, in.body)
		}
	}
	if _, err := f.store.SetEnabled(t.Context(), f.integration, false); err != nil {
		t.Fatal(err)
	}
	if in = f.do(request{method: "GET", path: "/v1/integrations/" + f.integration}); !strings.Contains(in.body, `"status":"INACTIVE"`) {
		t.Errorf("switched off: %s", in.body)
	}
	if tools := f.do(request{method: "GET", path: "/v1/tools/hris"}); !strings.Contains(tools.body, `"tools":[{"id":"sandbox"`) {
		t.Errorf("tools: %s", tools.body)
	}
	if tools := f.do(request{method: "GET", path: "/v1/tools/lms"}); !strings.Contains(tools.body, `"connection_guide_url":"https://tool.example/credentials"`) {
		t.Errorf("tools, and where to read how to connect them: %s", tools.body)
	}
	if tools := f.do(request{method: "GET", path: "/v1/tools/ats"}); string(tools.Data) != `{"tools":[]}` {
		t.Errorf("tools of another category: %s", tools.body)
	}
	for path, want := range map[string]string{
		"/openapi.yaml":                        "openapi: 3.1.0",
		"/assets/tools/sandbox-logo.svg":       "<svg",
		"/assets/tools/sandbox-icon.svg":       "<svg",
		"/assets/tools/sandbox-icon-black.svg": `fill="#000"`,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := f.server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(response.Body)
		_ = response.Body.Close() // it was read
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(content), want) {
			t.Errorf("%s: %d %.100s, %v", path, response.StatusCode, content, err)
		}
	}
	f.do(request{method: "GET", path: "/assets/tools/sandbox-nothing.svg"}).want(t, 404, inputInvalid)
	f.do(request{method: "GET", path: "/assets/tools/../api.go"}).want(t, 404, inputInvalid)
}

// Disabled or deleted, an integration's tasks can still be read.
func TestTasksOutliveTheirIntegration(t *testing.T) {
	f := setup(t)
	task := f.submit(good)
	want := f.ended(task).body
	if _, err := f.store.SetEnabled(t.Context(), f.integration, false); err != nil {
		t.Fatal(err)
	}
	if got := f.do(poll(task)).body; got != want {
		t.Errorf("switched off: %s", got)
	}
	if _, err := f.store.DeleteIntegration(t.Context(), f.integration); err != nil {
		t.Fatal(err)
	}
	if got := f.do(poll(task)).body; got != want {
		t.Errorf("deleted: %s", got)
	}
	f.do(push(good)).want(t, 404, noSuch)
}

// broken is a store and engine in trouble.
type broken struct {
	api.Reader
	api.Submitter
	err error
}

func (b broken) Task(context.Context, string, string, string) (store.TaskView, error) {
	return store.TaskView{}, b.err
}

func (b broken) Submit(context.Context, store.Submission) (store.Accepted, error) {
	return store.Accepted{}, b.err
}

func TestTroubleOfOurs(t *testing.T) {
	for name, test := range map[string]struct {
		err    error
		status int
		words  string
	}{
		"a fault": {errors.New("secret internals"), 500, "logged"},
		"a database that is away": {
			&skill.Error{Kind: skill.Unavailable, Code: skill.CodeUnknown, Message: "The database is not available.", RetryAfter: 1500 * time.Millisecond, Err: errors.New("secret internals")},
			503, "not available",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, func(c *api.Config) {
				b := broken{c.Store, c.Engine, test.err}
				c.Store, c.Engine = b, b
			})
			for _, q := range []request{push(good), poll("task_28KMdr68N8kG9EzLwjsN9aoz")} {
				a := f.do(q)
				a.want(t, test.status, ours, test.words)
				if strings.Contains(a.body, "secret") {
					t.Errorf("internals are told: %s", a.body)
				}
				if test.status == 503 && a.header.Get("Retry-After") != "2" {
					t.Errorf("Retry-After %q", a.header.Get("Retry-After"))
				}
			}
			if !strings.Contains(f.log.String(), "secret internals") {
				t.Errorf("the log says nothing of it: %s", f.log)
			}
		})
	}
}

// A request is refused whole while its integration has too much waiting, and told how much room there is when it was taken.
func TestRoom(t *testing.T) {
	for name, test := range map[string]struct {
		waiting             int
		err                 error
		status              int
		remaining, patience string
	}{
		"taken":               {waiting: 41, status: 200, remaining: "59"},
		"taken, and now full": {waiting: 100, status: 200, remaining: "0"},
		"a little too much":   {err: &store.FullError{Limit: 100, Waiting: 100}, status: 429, remaining: "0", patience: "5"},
		"more than may wait":  {err: &store.FullError{Limit: 100, Waiting: 2600}, status: 429, remaining: "0", patience: "13"},
		"far too much":        {err: &store.FullError{Limit: 100, Waiting: 1_000_000}, status: 429, remaining: "0", patience: "60"},
	} {
		t.Run(name, func(t *testing.T) {
			f := setup(t, func(c *api.Config) {
				c.MostWaiting = 100
				c.Engine = roomy{c.Engine, test.waiting, test.err}
			})
			a := f.do(push(good))
			if test.err != nil {
				a.want(t, 429, "PLATFORM.CONCURRENCY_LIMIT_EXCEEDED", "of 100 that may", "for the 1 of this request", "Nothing of it was kept")
			} else if a.status != test.status {
				t.Errorf("%d: %s", a.status, a.body)
			}
			for name, want := range map[string]string{
				"Concurrency-Limit": "100", "Concurrency-Remaining": test.remaining, "Retry-After": test.patience,
			} {
				if got := a.header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
		})
	}
}

// roomy is an engine that has so much waiting.
type roomy struct {
	api.Submitter
	waiting int
	err     error
}

func (r roomy) Submit(_ context.Context, s store.Submission) (store.Accepted, error) {
	if r.err != nil {
		return store.Accepted{}, fmt.Errorf("submit to %s: %w", s.IntegrationID, r.err)
	}
	return store.Accepted{Task: skill.Task{ID: s.TaskID, CreatedAt: time.Now()}, Waiting: r.waiting}, nil
}

func TestExpiredTaskSaysWhen(t *testing.T) {
	f := setup(t, func(c *api.Config) {
		c.Store = broken{c.Store, c.Engine, fmt.Errorf("task: %w", &store.ExpiredError{At: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)})}
	})
	f.do(poll("task_28KMdr68N8kG9EzLwjsN9aoz")).want(t, 404, inputInvalid, "task_28KMdr68N8kG9EzLwjsN9aoz expired at 2026-05-04T03:02:01.000Z")
}

type panics struct{ api.Reader }

func (panics) Task(context.Context, string, string, string) (store.TaskView, error) { panic("secret") }

func TestPanicIsAnswered(t *testing.T) {
	f := setup(t, func(c *api.Config) { c.Store = panics{c.Store} })
	a := f.do(poll("task_28KMdr68N8kG9EzLwjsN9aoz"))
	a.want(t, 500, ours)
	if strings.Contains(a.body, "secret") || !strings.Contains(f.log.String(), "secret") {
		t.Errorf("answer %s, log %s", a.body, f.log)
	}
}

// A key works for the next requests too, and no longer than allowed after it was revoked.
func TestRevokedKeyIsRefusedWithinASecond(t *testing.T) {
	f := setup(t)
	ask := request{method: "GET", path: "/v1/check-api-key"}
	if a := f.do(ask); a.status != 200 {
		t.Fatal(a.body)
	}
	if _, err := f.store.RevokeKey(t.Context(), f.keyID); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for f.do(ask).status == 200 {
		if time.Since(began) > time.Second {
			t.Fatal("a revoked key is still good after a second")
		}
	}
	f.do(ask).want(t, 401, authInvalid)
}
