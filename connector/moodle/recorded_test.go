package moodle_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
)

// exchange is a request to a real Moodle, and its answer.
type exchange struct {
	Name    string
	Request struct {
		Path    string
		Headers map[string]string
		Body    [][2]any // the values are texts or numbers
	}
	Response struct {
		Status int
		Body   any
	}
}

func recorded(t *testing.T) []exchange {
	t.Helper()
	text, err := os.ReadFile("testdata/moodle-4.5.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []exchange
	if err := json.Unmarshal(text, &all); err != nil || len(all) < 20 {
		t.Fatalf("%d exchanges: %v", len(all), err)
	}
	return all
}

// form is the body of a recorded request.
func (e exchange) form() url.Values {
	form := url.Values{}
	for _, field := range e.Request.Body {
		value, isText := field[1].(string)
		if !isText {
			value = strconv.FormatFloat(field[1].(float64), 'f', -1, 64)
		}
		form.Set(field[0].(string), value)
	}
	return form
}

// The fake answers as the real one did: each request that was recorded, in their order.
func TestFakeIsAsRecorded(t *testing.T) {
	t.Parallel()
	s := moodletest.NewEmpty(t, 207)
	s.Replays = true
	other := s.MakeFramework("Skills", "skillsvc")
	other.More = 205
	for _, e := range recorded(t) {
		form := e.form()
		switch form.Get("wstoken") {
		case "<token>":
			form.Set("wstoken", s.Token)
		case "bad":
		default:
			t.Fatalf("%s: the token %q", e.Name, form.Get("wstoken"))
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, e.Request.Path, strings.NewReader(form.Encode()))
		for name, value := range e.Request.Headers {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var got any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if w.Code != e.Response.Status {
			t.Errorf("%s: status %d, was %d", e.Name, w.Code, e.Response.Status)
		}
		for _, body := range []any{got, e.Response.Body} {
			forgetTimes(body)
		}
		if diff := cmp.Diff(e.Response.Body, got); diff != "" {
			t.Errorf("%s (-real +fake):\n%s", e.Name, diff)
		}
	}
}

// forgetTimes takes out what cannot be the same again, and how another framework was set up.
func forgetTimes(body any) {
	switch body := body.(type) {
	case []any:
		for _, part := range body {
			forgetTimes(part)
		}
	case map[string]any:
		delete(body, "timecreated")
		delete(body, "timemodified")
		delete(body, "taxonomies")
	}
}

// What the connector sends is what was recorded when a real Moodle took it, but for one setting of the protocol.
func TestRequestsAreAsRecorded(t *testing.T) {
	t.Parallel()
	s := moodletest.NewEmpty(t, 207)
	s.MakeFramework("Skills", "skillsvc")
	s.Extra = map[string]any{"framework_idnumber": "crosswalk-rec"}
	var sent []url.Values
	session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		form := url.Values{}
		for name, values := range r.PostForm {
			form[name] = values
		}
		sent = append(sent, form)
		s.ServeHTTP(w, r)
	}))
	write := func(originID, name string) string {
		results, err := session.Write(t.Context(), []connector.Skill{{OriginID: originID, Name: name, Active: true}})
		if err != nil || results[0].Err != nil {
			t.Fatalf("%s: %+v, %v", originID, results, err)
		}
		return results[0].RemoteID
	}
	if id := write("rec-1", "Go"); id != "207" {
		t.Errorf("the first competency is %s", id)
	}
	write("rec-2", "long")
	write("http://data.europa.eu/esco/skill/000bb1e4-89f0-4b86-be05-05ece3641724", "project management methodology (PM²)")
	write("rec-1", "Golang")
	if _, err := session.(connector.Finder).Find(t.Context(), []connector.Skill{{OriginID: "rec-1"}}); err != nil {
		t.Fatal(err)
	}
	for _, e := range recorded(t) {
		switch e.Name {
		case "create framework", "create", "ESCO id", "rename":
		default:
			continue
		}
		want := e.form()
		want.Set("wstoken", s.Token)
		want.Set("moodlewssettingraw", "1")
		compact(t, want)
		found := false
		for _, form := range sent {
			compact(t, form)
			found = found || cmp.Equal(want, form)
		}
		if !found {
			t.Errorf("%s: no request was\n%v\nbut\n%v", e.Name, want, sent)
		}
	}
}

// compact writes the JSON in a form in one way.
func compact(t *testing.T, form url.Values) {
	t.Helper()
	const field = "competencyframework[scaleconfiguration]"
	if !form.Has(field) {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(form.Get(field)), &v); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	form.Set(field, string(text))
}
