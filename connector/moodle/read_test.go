package moodle_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		site  func(*moodletest.Site)
		kind  connector.Kind
		words string // none: it is good
	}{
		"good": {func(*moodletest.Site) {}, 0, ""},
		"two functions are missing": {func(s *moodletest.Site) {
			s.Lacks = []string{"core_competency_update_competency", "core_competency_set_parent_competency"}
		}, connector.Permission, "lacks the functions core_competency_update_competency, core_competency_set_parent_competency"},
		"moving is not needed": {func(s *moodletest.Site) {
			s.Lacks, s.Extra = []string{"core_competency_set_parent_competency"}, map[string]any{"inactive": "refuse"}
		}, 0, ""},
		"making frameworks is not needed": {func(s *moodletest.Site) {
			s.Lacks = []string{"core_competency_create_competency_framework", "core_competency_get_scale_values"}
		}, 0, ""},
		"making a framework is needed": {func(s *moodletest.Site) {
			s.RemoveFramework()
			s.Lacks = []string{"core_competency_create_competency_framework"}
		}, connector.Permission, "core_competency_create_competency_framework"},
		"a service that does not tell": {func(s *moodletest.Site) { s.Lacks = []string{"core_webservice_get_site_info"} }, 0, ""},
		"a service that does not tell, and lacks more": {func(s *moodletest.Site) {
			s.Lacks = []string{"core_webservice_get_site_info", "core_competency_list_competencies"}
		}, connector.Permission, "core_competency_list_competencies"},
		"the token's time is over":   {func(s *moodletest.Site) { s.Expires = true }, connector.Credentials, "Invalid token"},
		"may not manage":             {func(s *moodletest.Site) { s.MayManage = false }, connector.Permission, "moodle/competency:competencymanage"},
		"may not make the framework": {func(s *moodletest.Site) { s.RemoveFramework(); s.MayManage = false }, connector.Permission, "permissions"},
		"no such scale": {func(s *moodletest.Site) {
			s.RemoveFramework()
			s.Extra = map[string]any{"scale_id": 77}
		}, connector.Unexpected, "no scale 77 (scale_id)"},
		"a service that does not tell of scales": {func(s *moodletest.Site) {
			s.RemoveFramework()
			s.Lacks = []string{"core_competency_get_scale_values"}
		}, 0, ""},
		"may make the framework": {func(s *moodletest.Site) { s.RemoveFramework() }, 0, ""},
		"no such context":        {func(s *moodletest.Site) { s.Extra = map[string]any{"context_id": 4711} }, connector.Unexpected, "context 4711 (context_id)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			test.site(s)
			there := s.HasFramework()
			err := connector.AsError(open(t, s, s).(connector.Checker).Check(t.Context()))
			switch {
			case test.words == "" && err != nil:
				t.Error(err)
			case test.words != "" && (err == nil || err.Kind != test.kind || !strings.Contains(err.Message, test.words)):
				t.Errorf("Check = %v, want the kind %s and %q", err, test.kind, test.words)
			}
			if s.HasFramework() != there {
				t.Error("Check has made the framework")
			}
		})
	}
}

// What is at the address is no Moodle, or one that does not serve.
func TestNoMoodle(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		kind   connector.Kind
		words  string
	}{
		"another server": {http.StatusNotFound, "<html>Not found</html>", connector.Unexpected, "no Moodle with web services"},
		"switched off":   {http.StatusForbidden, "", connector.Permission, "switched off"},
		"maintenance":    {http.StatusServiceUnavailable, "<html>Back soon</html>", connector.Away, "503"},
		"moved":          {http.StatusSeeOther, "", connector.Unexpected, "as in https://lms.example.com/webservice/rest/server.php"},
		"a page":         {http.StatusOK, "<html>Log in</html>", connector.Away, "no JSON"},
		"another address": {
			http.StatusOK, `<html><head><meta http-equiv="refresh" content="3; url=https://lms.example.com/webservice/rest/server.php?a=1&amp;b=2" /></head></html>`,
			connector.Unexpected, "as in https://lms.example.com/webservice/rest/server.php?a=1&b=2",
		},
		"a page that reloads":    {http.StatusOK, `<html><meta http-equiv="refresh" content="60; url=/">Back soon</html>`, connector.Away, "no JSON"},
		"a proxy's bad question": {http.StatusBadRequest, "no", connector.Unexpected, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", map[bool]string{true: "text/html", false: "text/plain"}[strings.HasPrefix(test.body, "<")])
				if test.status == http.StatusSeeOther {
					w.Header().Set("Location", "https://lms.example.com/webservice/rest/server.php")
				}
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			}))
			for what, err := range map[string]error{
				"Check": session.(connector.Checker).Check(t.Context()),
				"Write": second(session.Write(t.Context(), skills("a"))),
			} {
				if e := connector.AsError(err); e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.words) {
					t.Errorf("%s = %v, want the kind %s and %q", what, e, test.kind, test.words)
				}
			}
		})
	}
}

func second(_ []connector.Result, err error) error { return err }

// A proxy that takes no question with some name in it refuses one skill, not the others.
func TestProxyRefusesOne(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("competency[shortname]") == "DROP TABLE" {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "blocked")
			return
		}
		s.ServeHTTP(w, r)
	}))
	by := write(t, session, skills("a", "DROP TABLE", "b"))
	if got := words(t, by["id/DROP TABLE"], connector.Refused); got != "blocked" || len(s.Records()) != 2 {
		t.Errorf("%q, %+v", got, s.Records())
	}
}

// The framework is found wherever it is below the context, and made with the scale that was asked for.
func TestFramework(t *testing.T) {
	t.Parallel()
	t.Run("in a course category", func(t *testing.T) {
		t.Parallel()
		s := moodletest.NewEmpty(t, 1)
		s.MakeFramework("Skills", "crosswalk-2") // which the query finds too
		s.MakeFramework("Skills", "crosswalk").Context = 40
		written(t, open(t, s, s), skills("a"))
		if len(s.Records()) != 1 || strings.Contains(calls(s), "create_competency_framework") {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("in other letters", func(t *testing.T) {
		t.Parallel()
		s := moodletest.NewEmpty(t, 1)
		s.Collates = true
		s.Extra = map[string]any{"framework_idnumber": "Acme-Skills"}
		theirs := s.MakeFramework("Skills", "ACME-skills")
		r := written(t, open(t, s, s), skills("a"))["id/a"]
		page, err := open(t, s, s).(connector.Lister).List(t.Context(), "")
		if err != nil || len(page.Records) != 1 || page.Records[0].RemoteID != r.RemoteID || strings.Contains(calls(s), "create_competency_framework") {
			t.Errorf("%+v of %+v: %+v, %v", r, theirs, page, err)
		}
		// One that is the same to the letter goes before.
		exact := moodletest.NewEmpty(t, 1)
		exact.MakeFramework("Skills", "CROSSWALK")
		exact.MakeFramework("Skills", "crosswalk")
		written(t, open(t, exact, exact), skills("a"))
		if len(exact.Records()) != 1 {
			t.Errorf("%+v", exact.Records())
		}
	})
	t.Run("above the context", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Extra = map[string]any{"context_id": 40}
		err := connector.AsError(second(open(t, s, s).Write(t.Context(), skills("a"))))
		if err == nil || err.Kind != connector.Unexpected || !strings.Contains(err.Message, "already in use") || !strings.Contains(err.Message, "context_id") {
			t.Errorf("Write = %v", err)
		}
	})
	t.Run("there is no such scale", func(t *testing.T) {
		t.Parallel()
		s := moodletest.NewEmpty(t, 1)
		s.Extra = map[string]any{"scale_id": 77}
		err := connector.AsError(second(open(t, s, s).Write(t.Context(), skills("a"))))
		if err == nil || err.Kind != connector.Unexpected || !strings.Contains(err.Message, "scale_id") {
			t.Errorf("Write = %v", err)
		}
	})
	t.Run("another process makes it at the same time", func(t *testing.T) {
		t.Parallel()
		s := moodletest.NewEmpty(t, 1)
		written(t, open(t, s, before(s, "create_competency_framework", 1, func() { s.MakeFramework("Crosswalk", "crosswalk") })), skills("a"))
	})
	for name, test := range map[string]struct {
		scale int
		lacks []string
		want  string
	}{
		"four values":               {5, nil, `[{"scaleid":"5"},{"id":1,"proficient":0,"scaledefault":1},{"id":2,"proficient":0,"scaledefault":0},{"id":3,"proficient":0,"scaledefault":0},{"id":4,"proficient":1,"scaledefault":0}]`},
		"values that are not told":  {2, []string{"core_competency_get_scale_values"}, `[{"scaleid":"2"},{"id":1,"proficient":0,"scaledefault":1},{"id":2,"proficient":1,"scaledefault":0}]`},
		"the one of a new Moodle":   {2, nil, `[{"scaleid":"2"},{"id":1,"proficient":0,"scaledefault":1},{"id":2,"proficient":1,"scaledefault":0}]`},
		"three values, and nothing": {1, []string{"core_webservice_get_site_info"}, `[{"scaleid":"1"},{"id":1,"proficient":0,"scaledefault":1},{"id":2,"proficient":0,"scaledefault":0},{"id":3,"proficient":1,"scaledefault":0}]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.NewEmpty(t, 1)
			s.Extra, s.Lacks = map[string]any{"scale_id": test.scale}, test.lacks
			var made string
			written(t, open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.FormValue("wsfunction") == "core_competency_create_competency_framework" {
					made = r.FormValue("competencyframework[scaleconfiguration]")
				}
				s.ServeHTTP(w, r)
			})), skills("a"))
			if diff := cmp.Diff(test.want, made); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Competencies are removed while the framework is listed: one that stays is told once all the same.
func TestListWhileOthersRemove(t *testing.T) {
	t.Parallel()
	for _, removed := range []int{1, 50, 250, 399, 400} {
		t.Run(fmt.Sprint(removed), func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			for i := range 1000 {
				s.Make(fmt.Sprint(i), fmt.Sprint("skill ", i))
			}
			lister := open(t, s, s).(connector.Lister)
			told := map[string]int{}
			for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
				if pages == 2 {
					for i := range removed {
						s.Remove(fmt.Sprint(i))
					}
				}
				page, err := lister.List(t.Context(), cursor)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.Records {
					told[r.OriginID]++
				}
				cursor = page.Next
			}
			for i := range 1000 {
				if n := told[fmt.Sprint(i)]; n > 1 || n == 0 && i >= removed {
					t.Errorf("%d came %d times", i, n)
				}
			}
		})
	}
}

// heavy is a site whose competencies have descriptions of so many megabytes. They are not sent: an answer only says how large it is.
func heavy(t *testing.T, n int, megabytes func(int) int) (*moodletest.Site, http.Handler) {
	s := moodletest.New(t)
	for i := range n {
		c := s.Make(fmt.Sprint("id/", i), fmt.Sprint(i))
		s.Describe(fmt.Sprint(c.ID), strings.Repeat("(1 MiB)", megabytes(i)))
	}
	return s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, r)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(recorder.Body.Len()+strings.Count(recorder.Body.String(), "(1 MiB)")<<20))
		fmt.Fprint(w, recorder.Body)
	})
}

// told is how often each competency was listed.
func told(t *testing.T, session connector.Session) map[string]int {
	t.Helper()
	times := map[string]int{}
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		page, err := session.(connector.Lister).List(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			times[r.OriginID]++
		}
		cursor = page.Next
	}
	return times
}

// Descriptions may hold pictures, so that a page is larger than we read.
func TestLargeDescriptions(t *testing.T) {
	t.Parallel()
	at := func(megabytes int, places ...int) func(int) int {
		return func(i int) int {
			if slices.Contains(places, i) {
				return megabytes
			}
			return 0
		}
	}
	for name, test := range map[string]struct {
		skills    int
		megabytes func(int) int
		requests  int // at most
	}{
		"three in a page":      {500, at(6, 210, 230, 260), 14},
		"next to each other":   {60, at(15, 20, 21), 40},
		"the first":            {60, at(15, 0, 1), 40},
		"the last":             {60, at(15, 58, 59), 40},
		"a single one":         {1, at(15, 0), 3},
		"all of them":          {1000, func(i int) int { return i % 2 }, 90},
		"each larger than two": {20, func(int) int { return 9 }, 110},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, handler := heavy(t, test.skills, test.megabytes)
			times := told(t, open(t, s, handler))
			for i := range test.skills {
				if n := times[fmt.Sprint("id/", i)]; n != 1 {
					t.Errorf("%d came %d times", i, n)
				}
			}
			if n := len(s.Requests); n > test.requests {
				t.Errorf("%d requests", n)
			}
			s.Requests = nil
			names := []string{"new"}
			for i := range min(49, test.skills) {
				names = append(names, fmt.Sprint(i))
			}
			written(t, open(t, s, handler), skills(names...))
			if n := strings.Count(calls(s), "create_competency"); n != 1 {
				t.Errorf("%d were made", n)
			}
		})
	}
	t.Run("one is too large by itself", func(t *testing.T) {
		t.Parallel()
		s, handler := heavy(t, 10, at(17, 4))
		_, err := open(t, s, handler).Write(t.Context(), skills(strings.Split("abcdefghij", "")...))
		if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "shorten its description") {
			t.Errorf("Write = %v", err)
		}
	})
	for _, removed := range []int{0, 1, 2, 5} {
		t.Run(fmt.Sprint("while others remove ", removed), func(t *testing.T) {
			t.Parallel()
			const n = 12
			for at := 1; at <= 60; at++ {
				s, handler := heavy(t, n, func(int) int { return 9 })
				requests := 0
				times := told(t, open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if requests++; requests == at {
						for i := range removed {
							s.Remove(fmt.Sprint("id/", i))
						}
					}
					handler.ServeHTTP(w, r)
				})))
				for i := range n {
					if got := times[fmt.Sprint("id/", i)]; got > 1 || got == 0 && i >= removed {
						t.Errorf("before request %d: %d came %d times", at, i, got)
					}
				}
			}
		})
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	long := connector.Skill{OriginID: strings.Repeat("long ", 30), Name: "R&D", Active: true}
	retired := connector.Skill{OriginID: "COBOL", Name: "COBOL", Active: true}
	edited := connector.Skill{OriginID: strings.Repeat("edited ", 30), Name: "edited", Active: true}
	list := []connector.Skill{long, retired, edited}
	ids := written(t, open(t, s, s), list)
	list[1].Active = false
	written(t, open(t, s, s), list)
	for _, r := range s.Records() {
		if r.OriginID == edited.OriginID {
			s.Describe(r.RemoteID, "Somebody's words")
		}
		if r.OriginID == long.OriginID { // as an editor would store it
			s.Describe(r.RemoteID, "<p>origin_id "+strings.Repeat("long+", 30)+"</p>")
		}
	}
	page, err := open(t, s, s).(connector.Lister).List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for i := range page.Records {
		if page.Records[i].UpdatedAt.IsZero() {
			t.Errorf("%+v has no time", page.Records[i])
		}
	}
	got := map[string]connector.Record{}
	for _, r := range page.Records {
		got[r.RemoteID] = connector.Record{OriginID: r.OriginID, Name: r.Name, Active: r.Active}
	}
	want := map[string]connector.Record{
		ids[long.OriginID].RemoteID:    {OriginID: long.OriginID, Name: "R&D", Active: true},
		ids[retired.OriginID].RemoteID: {OriginID: "COBOL", Name: "COBOL"},
		ids[edited.OriginID].RemoteID:  {Name: "edited", Active: true}, // nobody can tell whose it is
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Whoever knows the skill still finds it.
	found, err := open(t, s, s).(connector.Finder).Find(t.Context(), []connector.Skill{edited})
	if err != nil || len(found) != 1 || found[0].OriginID != edited.OriginID {
		t.Errorf("Find = %+v, %v", found, err)
	}
	for _, cursor := range []string{"x", "1.2.3", "1.2.3.x"} {
		if _, err := open(t, s, s).(connector.Lister).List(t.Context(), cursor); connector.AsError(err) == nil {
			t.Errorf("the cursor %q is good", cursor)
		}
	}
	s.RemoveFramework()
	if page, err := open(t, s, s).(connector.Lister).List(t.Context(), ""); err != nil || len(page.Records) != 0 {
		t.Errorf("without a framework: %+v, %v", page, err)
	}
	if found, err := open(t, s, s).(connector.Finder).Find(t.Context(), list); err != nil || len(found) != 0 || s.HasFramework() {
		t.Errorf("without a framework: %+v, %v", found, err)
	}
}

// The token is in the body of each request and nowhere else; addresses people may give lead to the same place.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, site := range map[string]string{
		"/lms": "/lms", "/lms/": "/lms", "/lms/webservice/rest/server.php": "/lms", "": "",
		// As copied from a browser.
		"/lms/my/": "/lms", "/my/courses.php": "", "/lms/login/index.php": "/lms", "/index.php": "", "/lms/admin/tool/lp/competencyframeworks.php": "/lms",
	} {
		s := moodletest.New(t)
		session, err := newSession(s.Settings(connectortest.Base+address), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if at := r.URL.String(); strings.Contains(at, s.Token) || at != connectortest.Base+site+"/webservice/rest/server.php" {
				t.Errorf("%s: a request to %s", address, at)
			}
			for name, values := range r.Header {
				if strings.Contains(strings.Join(values, " "), s.Token) {
					t.Errorf("the token is in the header %s", name)
				}
			}
			s.ServeHTTP(w, r)
		}))
		if err != nil {
			t.Fatal(err)
		}
		written(t, session, skills("a"))
	}
}

// Whatever Moodle answers, nothing fails, and nothing is taken as done that was not told.
func FuzzAnswers(f *testing.F) {
	for _, e := range []string{
		`{"id":1,"shortname":"a","idnumber":"id/a"}`, `[]`, `true`, `false`, `null`, ``, `{"exception":"x","errorcode":"invalidrecord"}`,
		`{"exception":"x","errorcode":"invalidpersistenterror","message":"Error"}`, `{"errorcode":7}`, `[{"id":1,"idnumber":"id/a"}]`, `[{"id":1,"parentid":9,"path":"/0/9/"}]`,
		`{"id":-1}`, `[null]`, `[{"id":2},{"id":1}]`, `{"functions":[{"name":7}]}`,
	} {
		f.Add(e, byte(0))
		f.Add(e, byte(7))
	}
	f.Fuzz(func(t *testing.T, body string, at byte) {
		s := moodletest.New(t)
		s.Replays = true
		requests, carried := 0, true
		session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests++; requests > 200 {
				t.Fatal("it does not end")
			}
			if requests%8 != int(at)%8 {
				s.ServeHTTP(w, r)
				return
			}
			carried = false
			s.ServeHTTP(httptest.NewRecorder(), r)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		}))
		list := skills("a", "b")
		results, err := session.Write(t.Context(), list)
		if err == nil && len(results) != len(list) || carried && err != nil {
			t.Errorf("Write = %+v, %v", results, err)
		}
		_ = session.(connector.Checker).Check(t.Context()) // an error is as good as none
		for cursor, pages := "", 0; (pages == 0 || cursor != "") && pages < 10; pages++ {
			page, err := session.(connector.Lister).List(t.Context(), cursor)
			if err != nil {
				break
			}
			cursor = page.Next
		}
		_, _ = session.(connector.Finder).Find(t.Context(), list)
	})
}
