package moodle_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
)

func skills(names ...string) []connector.Skill {
	list := make([]connector.Skill, len(names))
	for i, name := range names {
		list[i] = connector.Skill{OriginID: "id/" + name, Name: name, Active: true}
	}
	return list
}

func write(t *testing.T, s connector.Session, list []connector.Skill) map[string]connector.Result {
	t.Helper()
	results, err := s.Write(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]connector.Result{}
	for _, r := range results {
		by[r.OriginID] = r
	}
	if len(by) != len(list) {
		t.Fatalf("%d results for %d skills", len(by), len(list))
	}
	return by
}

func written(t *testing.T, s connector.Session, list []connector.Skill) map[string]connector.Result {
	t.Helper()
	by := write(t, s, list)
	for id, r := range by {
		if r.Err != nil {
			t.Fatalf("%s: %v", id, r.Err)
		}
	}
	return by
}

// calls are the functions that were called since the last time, without what their names have in common.
func calls(s *moodletest.Site) string {
	all := make([]string, len(s.Requests))
	for i, function := range s.Requests {
		all[i] = strings.TrimPrefix(function, "core_competency_")
	}
	s.Requests = nil
	return strings.Join(all, " ")
}

func wantCalls(t *testing.T, s *moodletest.Site, what, want string) {
	t.Helper()
	if diff := cmp.Diff(want, calls(s)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// words is the message of a result that must be an error of a kind.
func words(t *testing.T, r connector.Result, kind connector.Kind) string {
	t.Helper()
	if r.Err == nil || r.Err.Kind != kind || r.RemoteID != "" {
		t.Fatalf("%+v, want the kind %s", r, kind)
	}
	return r.Err.Message
}

// A request for each change, and none for what is as it should be. The framework is listed once.
func TestRequests(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	session := open(t, s, s)
	list := skills("kept", "changed", "retired")
	written(t, session, list)
	wantCalls(t, s, "new skills", "list_competency_frameworks list_competencies create_competency create_competency create_competency")
	list[1].Name, list[2].Active = "changed, indeed", false
	written(t, session, append(list, skills("new")...))
	wantCalls(t, s, "changes", "update_competency create_competency set_parent_competency create_competency")
	written(t, session, append(list, skills("new")...))
	wantCalls(t, s, "nothing has changed", "")
	list[2].Active = true
	written(t, open(t, s, s), list)
	wantCalls(t, s, "another session", "list_competency_frameworks list_competencies set_parent_competency")
	if got := s.Get("id/changed"); got.Name != "changed, indeed" || got.Parent != 0 {
		t.Errorf("%+v", got)
	}
}

// A few skills of a large framework are looked up; when there are many, the framework is listed, once for all calls.
func TestLargeFramework(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	for i := range 1999 {
		s.Make(fmt.Sprint("COMP-", i), fmt.Sprint("Competency ", i))
	}
	s.Make("id/there", "there")
	session := open(t, s, s)
	written(t, session, skills("there", "new"))
	wantCalls(t, s, "two skills", "list_competency_frameworks list_competencies list_competencies create_competency")
	written(t, session, skills("a", "b", "c", "d"))
	wantCalls(t, s, "six skills", strings.Repeat("list_competencies create_competency ", 3)+"list_competencies create_competency")
	written(t, session, skills("e", "f", "g", "h", "i", "j"))
	wantCalls(t, s, "twelve skills", strings.Repeat("list_competencies ", 11)+strings.TrimSpace(strings.Repeat("create_competency ", 6)))

	// Four calls at once.
	session = open(t, s, s)
	var group sync.WaitGroup
	for i := range session.Limits().Concurrency {
		group.Go(func() {
			names := make([]string, session.Limits().Batch)
			for j := range names {
				names[j] = fmt.Sprintf("%d/%d", i, j)
			}
			if results, err := session.Write(t.Context(), skills(names...)); err != nil || len(results) != len(names) {
				t.Errorf("%d results, %v", len(results), err)
			}
		})
	}
	group.Wait()
	if got := strings.Count(calls(s), "list_competencies"); got != 11 { // 2,012 competencies
		t.Errorf("the framework was listed with %d requests", got)
	}
}

// instead answers one function with something else than the site does.
func instead(s *moodletest.Site, function, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("wsfunction") != "core_competency_"+function {
			s.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, body)
	})
}

// before lets something happen before a function is called for the n-th time, counted from 1.
func before(s *moodletest.Site, function string, n int, do func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("wsfunction") == "core_competency_"+function {
			if n--; n == 0 {
				do()
			}
		}
		s.ServeHTTP(w, r)
	})
}

// Others write too. What the session has listed may be otherwise by the time it is changed.
func TestOthersWrite(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		function string // before whose first call
		others   func(*moodletest.Site)
		there    []string
	}{
		"the same skill, as it should be": {"create_competency", func(s *moodletest.Site) { s.Make("id/a", "a") }, nil},
		"the same skill, otherwise":       {"create_competency", func(s *moodletest.Site) { s.Make("id/a", "b") }, nil},
		"it was removed":                  {"update_competency", func(s *moodletest.Site) { s.Remove("id/a") }, []string{"old"}},
		"it was removed and made again":   {"update_competency", func(s *moodletest.Site) { s.Remove("id/a"); s.Make("id/a", "x") }, []string{"old"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			for _, name := range test.there {
				s.Make("id/a", name)
			}
			r := written(t, open(t, s, before(s, test.function, 1, func() { test.others(s) })), skills("a"))["id/a"]
			if c := s.Get("id/a"); c == nil || c.Name != "a" || fmt.Sprint(c.ID) != r.RemoteID || len(s.Records()) != 1 {
				t.Errorf("%+v; the site has %+v", r, s.Records())
			}
		})
	}
}

// The framework is removed while the session writes. The next call makes it again.
func TestFrameworkIsRemoved(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	session := open(t, s, s)
	written(t, session, skills("a"))
	s.RemoveFramework()
	if results, err := session.Write(t.Context(), skills("b", "a")); connector.AsError(err).Kind != connector.Away || len(results) != 0 {
		t.Fatalf("Write = %+v, %v", results, err)
	}
	written(t, session, skills("b", "a"))
	if len(s.Records()) != 2 {
		t.Errorf("%+v", s.Records())
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	session := open(t, s, s)
	written(t, session, skills("first"))
	calls(s)
	list := skills(strings.Repeat("n", 101), " \u00a0", "")
	by := write(t, session, list)
	for id, want := range map[string]string{list[0].OriginID: "101 characters, and Moodle keeps at most 100", list[1].OriginID: "blank", list[2].OriginID: "blank"} {
		if got := words(t, by[id], connector.Refused); !strings.Contains(got, want) {
			t.Errorf("%q", got)
		}
	}
	wantCalls(t, s, "refused before they leave", "")
	if got := words(t, write(t, session, skills("<b>x</b> name"))["id/<b>x</b> name"], connector.Refused); !strings.Contains(got, "Invalid parameter value detected. Moodle takes no markup in a name") {
		t.Errorf("%q", got)
	}
	// What pages show otherwise comes back as it was written, so nothing has changed.
	odd := skills(strings.Repeat("²", 100), "R&D", "a < b > c", "&amp;", "x &copy; y")
	written(t, open(t, s, s), odd)
	calls(s)
	written(t, open(t, s, s), odd)
	if got := calls(s); strings.Contains(got, "update") || strings.Contains(got, "create") {
		t.Errorf("nothing has changed, but %s", got)
	}
}

// With another framework a skill is another competency, whatever number it had: that one stays as it is.
func TestAnotherFramework(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	list := skills("Go")
	list[0].RemoteID = written(t, open(t, s, s), list)["id/Go"].RemoteID
	before := s.Get("id/Go")
	s.Extra = map[string]any{"framework_idnumber": "another"}
	list[0].Name = "Golang"
	r := written(t, open(t, s, s), list)["id/Go"]
	if now := s.Get("id/Go"); r.RemoteID == list[0].RemoteID || now == nil || now == before || now.Name != "Golang" || before.Name != "Go" {
		t.Errorf("%+v; %+v, %+v", r, before, now)
	}
}

// A name that is too long for Moodle does not keep an inactive skill from being archived.
func TestInactiveWithALongName(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	list := skills("COBOL")
	written(t, open(t, s, s), list)
	list[0].Name, list[0].Active = strings.Repeat("n", 500), false
	written(t, open(t, s, s), list)
	if r := s.Records()[0]; r.Active || r.Name != "COBOL" {
		t.Errorf("%+v", r)
	}
}

// With the default setting an inactive skill is refused before anything is asked, and says what to do.
func TestRefuseInactive(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	s.Extra = map[string]any{"inactive": "refuse"}
	list := skills("COBOL", "Go")
	list[0].RemoteID = written(t, open(t, s, s), list)["id/COBOL"].RemoteID
	list[0].Active = false
	by := write(t, open(t, s, s), list)
	if got := words(t, by["id/COBOL"], connector.Unsupported); !strings.Contains(got, "inactive=archive") {
		t.Errorf("%q", got)
	}
	if r := by["id/Go"]; r.Err != nil {
		t.Error(r.Err)
	}
	calls(s)
	write(t, open(t, s, s), list[:1])
	wantCalls(t, s, "an inactive skill alone", "")
}

func TestArchive(t *testing.T) {
	t.Parallel()
	retired := func(s *moodletest.Site, number string) bool {
		c := s.Get(number)
		return strings.Contains(c.Path, fmt.Sprintf("/%d/", s.Get("crosswalk:archived").ID))
	}
	t.Run("what is under it moves along, and comes back by itself", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("Programming", "COBOL")
		ids := written(t, open(t, s, s), list)
		s.Move("id/COBOL", "id/Programming")
		list[0].Active = false
		by := written(t, open(t, s, s), list[:1])
		if by["id/Programming"].RemoteID != ids["id/Programming"].RemoteID || !retired(s, "id/Programming") || !retired(s, "id/COBOL") {
			t.Fatalf("%+v", s.Records())
		}
		written(t, open(t, s, s), list)
		if !retired(s, "id/Programming") || s.Get("id/COBOL").Path != "/0/" {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("the place that people gave a competency stays", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("Programming", "COBOL")
		written(t, open(t, s, s), list)
		s.Move("id/COBOL", "id/Programming")
		list[1].Name = "COBOL 85"
		written(t, open(t, s, s), list)
		if c := s.Get("id/COBOL"); c.Parent != s.Get("id/Programming").ID || c.Name != "COBOL 85" {
			t.Errorf("%+v", c)
		}
	})
	t.Run("somebody has archived it meanwhile", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("other", "COBOL")
		written(t, open(t, s, s), list)
		list[0].Active = false
		written(t, open(t, s, s), list)
		list[1].Active = false
		written(t, open(t, s, before(s, "set_parent_competency", 1, func() { s.Move("id/COBOL", "crosswalk:archived") })), list)
		if !retired(s, "id/COBOL") {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("somebody has removed it meanwhile", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("COBOL")
		written(t, open(t, s, s), list)
		list[0].Active = false
		r := written(t, open(t, s, before(s, "set_parent_competency", 1, func() { s.Remove("id/COBOL") })), list)["id/COBOL"]
		if r.RemoteID != "" || len(s.Records()) != 0 {
			t.Errorf("%+v; %+v", r, s.Records())
		}
	})
	t.Run("somebody has removed the place of the archived", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("other", "COBOL")
		list[0].Active = true
		written(t, open(t, s, s), list)
		list[0].Active = false
		written(t, open(t, s, s), list)
		list[1].Active = false
		written(t, open(t, s, before(s, "set_parent_competency", 1, func() { s.Remove("crosswalk:archived") })), list)
		if !retired(s, "id/COBOL") {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("two processes make the place at the same time", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("COBOL")
		written(t, open(t, s, s), list)
		list[0].Active = false
		written(t, open(t, s, before(s, "create_competency", 1, func() { s.Make("crosswalk:archived", "Archived (Crosswalk)") })), list)
		if !retired(s, "id/COBOL") {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("renamed, and then not moved", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := skills("COBOL")
		list[0].Active = true
		written(t, open(t, s, s), list)
		list[0].Active = false
		written(t, open(t, s, s), list)
		list[0].Name, list[0].Active = "COBOL 85", true
		for body, kind := range map[string]connector.Kind{
			`{"exception":"webservice_access_exception","errorcode":"accessexception","message":"Access control exception"}`: connector.Permission,
			`{"exception":"coding_exception","errorcode":"codingerror","message":"Coding error"}`:                            connector.Unexpected,
		} {
			list[0].Name += "+"
			session := open(t, s, instead(s, "set_parent_competency", body))
			results, err := session.Write(t.Context(), list)
			if connector.AsError(err) == nil || connector.AsError(err).Kind != connector.Ambiguous || len(results) != 0 {
				t.Fatalf("the name has changed, but Write = %+v, %v", results, err)
			}
			// There is nothing left but to move it.
			results, err = session.Write(t.Context(), list)
			if err == nil && len(results) == 1 && results[0].Err != nil {
				err = results[0].Err
			}
			if e := connector.AsError(err); e == nil || e.Kind != kind {
				t.Fatalf("again: %+v, %v", results, err)
			}
		}
		written(t, open(t, s, s), list)
		if c := s.Get("id/COBOL"); c.Path != "/0/" || c.Name != list[0].Name {
			t.Errorf("%+v", c)
		}
	})
}

// In the session where an answer was lost, what the list says of the skill is not believed.
func TestDoubt(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	list := skills("a", "b")
	written(t, open(t, s, s), list)
	lose := true
	session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lose && r.FormValue("wsfunction") == "core_competency_update_competency" {
			s.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		s.ServeHTTP(w, r)
	}))
	list[0].Name = "a, changed"
	results, err := session.Write(t.Context(), list)
	if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous || len(results) != 0 {
		t.Fatalf("Write = %+v, %v", results, err)
	}
	lose = false
	calls(s)
	list[0].Name = "a" // as the list has it
	written(t, session, list)
	wantCalls(t, s, "the old name", "list_competencies update_competency")
	if c := s.Get("id/a"); c.Name != "a" {
		t.Errorf("%+v", c)
	}
}

// Long ids, and those that Moodle takes for others, have an ID number of another form, and are told as they are.
func TestOriginIDs(t *testing.T) {
	t.Parallel()
	for name, collates := range map[string]bool{"a database that tells texts apart": false, "one that hardly does": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			s.Collates = collates
			var list []connector.Skill
			for i, id := range []string{
				"http://data.europa.eu/esco/skill/000bb1e4-89f0-4b86-be05-05ece3641724", strings.Repeat("²", 100), strings.Repeat("²", 101),
				strings.Repeat("😀/%&<", 102) + "1", strings.Repeat("😀/%&<", 102) + "2", "GO", "go", "go ", "a<b", "crosswalk:archived", "crosswalk:sha256:x", " go",
			} {
				list = append(list, connector.Skill{OriginID: id, Name: fmt.Sprint("skill ", i), Active: true})
			}
			first := written(t, open(t, s, s), list)
			for round, few := range []bool{false, true} {
				for _, some := range slices.Collect(slices.Chunk(list, map[bool]int{false: len(list), true: 1}[few])) {
					for id, r := range written(t, open(t, s, s), some) {
						if r.RemoteID != first[id].RemoteID {
							t.Errorf("round %d: %q was %s and is %s", round, id, first[id].RemoteID, r.RemoteID)
						}
					}
				}
			}
			if got := len(s.Records()); got != len(list) {
				t.Errorf("%d records", got)
			}
			if c := s.Get("http://data.europa.eu/esco/skill/000bb1e4-89f0-4b86-be05-05ece3641724"); c == nil || c.Description != "" {
				t.Errorf("%+v", c)
			}
			// This form stays as it is for ever: it is in people's Moodle.
			if c := s.Get("crosswalk:sha256:4a826aacf580757c5183b8f0677ee58f4a983a9ffa50be4994ed9f741373d25f"); c == nil || c.Description != "origin_id a%3Cb" {
				t.Errorf("a<b is %+v", c)
			}
			told := map[string]bool{}
			page, err := open(t, s, s).(connector.Lister).List(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				told[r.OriginID] = true
			}
			for _, sk := range list {
				if !told[sk.OriginID] {
					t.Errorf("the list does not tell %q", sk.OriginID)
				}
			}
		})
	}
}

// The second time the framework is listed, and that is all there is to do.
func TestTheSameAgain(t *testing.T) {
	t.Parallel()
	const many = 10_000
	s := moodletest.New(t)
	names := make([]string, many)
	for i := range names {
		names[i] = fmt.Sprint(i)
		s.Make("id/"+names[i], names[i])
	}
	session := open(t, s, s)
	for some := range slices.Chunk(skills(names...), session.Limits().Batch) {
		written(t, session, some)
	}
	wantCalls(t, s, "the same again", "list_competency_frameworks"+strings.Repeat(" list_competencies", many/200+1))
}

// A page of the list that is older than what the session has written meanwhile does not count.
func TestOldPage(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	for i := range 300 {
		s.Make(fmt.Sprint("COMP-", i), "x")
	}
	s.Make("id/a", "old")
	updating, update, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("competency[shortname]") == "a":
			close(updating)
			<-update
		case r.FormValue("wsfunction") == "core_competency_list_competencies" && r.FormValue("limit") != "0" && r.FormValue("skip") != "0":
			s.ServeHTTP(w, r) // with the old name
			close(update)
			<-done
			return
		}
		s.ServeHTTP(w, r)
	}))
	go func() {
		defer close(done)
		if results, err := session.Write(t.Context(), skills("a")); err != nil || results[0].Err != nil {
			t.Errorf("Write = %+v, %v", results, err)
		}
	}()
	<-updating
	written(t, session, skills("b", "c"))
	list := skills("a")
	list[0].Name = "old"
	written(t, session, list)
	if c := s.Get("id/a"); c.Name != "old" {
		t.Errorf("%+v", c)
	}
}

// A competency that got a shortened ID number because of another one is found when the other is gone.
func TestShortenedForAnother(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	s.Collates = true
	for i := range 1000 {
		s.Make(fmt.Sprint("COMP-", i), "x")
	}
	list := skills("go", "GO")
	by := written(t, open(t, s, s), list)
	s.Remove("id/go")
	list[1].Name, list[1].RemoteID = "Go", by["id/GO"].RemoteID
	if r := written(t, open(t, s, s), list[1:])["id/GO"]; r.RemoteID != list[1].RemoteID {
		t.Errorf("%+v, was %s", r, list[1].RemoteID)
	}
}
