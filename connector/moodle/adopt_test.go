package moodle_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/moodle"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
)

// Only a competency without an ID number is taken over, and only by one skill.
func TestAdopt(t *testing.T) {
	t.Parallel()
	t.Run("one with an ID number is somebody's", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("COMP-1", "Welding")
		list := skills("Welding")
		list[0].Adopt = true
		written(t, open(t, s, s), list)
		if c := s.Get("COMP-1"); c.Name != "Welding" || len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("somebody gives it an ID number meanwhile", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("", "Welding")
		list := skills("Welding")
		list[0].Adopt = true
		// The second list is the one that looks at it once more.
		written(t, open(t, s, before(s, "list_competencies", 2, func() { s.Remove(""); s.Make("COMP-1", "Welding") })), list)
		if c := s.Get("COMP-1"); c.Name != "Welding" || len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("what came to nothing is tried again", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		made := s.Make("", "Welding")
		list := skills("Welding")
		list[0].Adopt = true
		fail := true
		session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if fail && r.FormValue("wsfunction") == "core_competency_update_competency" {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			s.ServeHTTP(w, r)
		}))
		if _, err := session.Write(t.Context(), list); connector.AsError(err) == nil || connector.AsError(err).Kind != connector.Away {
			t.Fatal(err)
		}
		fail = false
		if r := written(t, session, list)["id/Welding"]; r.RemoteID != fmt.Sprint(made.ID) || len(s.Records()) != 1 {
			t.Errorf("%+v; %+v", r, s.Records())
		}
	})
	t.Run("the skill is there after all", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("", "Welding")
		list := skills("Welding")
		list[0].Adopt = true
		written(t, open(t, s, before(s, "update_competency", 1, func() { s.Make("id/Welding", "Welding") })), list)
		if c := s.Get(""); c == nil || c.Name != "Welding" || len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("a name that the database takes for it is another", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Collates = true
		s.Make("", "WELDING")
		list := skills("Welding")
		list[0].Adopt = true
		for range 300 { // so that it is looked up
			s.Make(fmt.Sprint("COMP-", len(s.Records())), "x")
		}
		written(t, open(t, s, s), list)
		if c := s.Get(""); c == nil || c.Name != "WELDING" {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("in a large framework", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		for i := range 1000 {
			s.Make(fmt.Sprint("COMP-", i), "Welding")
		}
		made := s.Make("", "Welding")
		list := skills("Welding")
		list[0].Adopt = true
		if r := written(t, open(t, s, s), list)["id/Welding"]; r.RemoteID != fmt.Sprint(made.ID) {
			t.Errorf("%+v, want %d", r, made.ID)
		}
	})
}

// People must give a competency an ID number in Moodle's pages. One that is no skill's is taken over all the same, where it can be
// told that it is none.
func TestAdoptWithIDNumber(t *testing.T) {
	t.Parallel()
	adopts := func(names ...string) []connector.Skill {
		list := skills(names...)
		for i := range list {
			list[i].Adopt = true
		}
		return list
	}
	for name, others := range map[string]int{"in a small framework": 0, "in a large one": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			for i := range others {
				s.Make(fmt.Sprint("OTHER-", i), "x")
			}
			theirs := s.Make("COMP-1", "Welding")
			s.Describe(fmt.Sprint(theirs.ID), "<p>Joining metals.</p>")
			session := openKnowing(t, s, s)
			for range 2 { // the second time it is there
				if r := written(t, session, adopts("Welding"))["id/Welding"]; r.RemoteID != fmt.Sprint(theirs.ID) {
					t.Errorf("%+v, want %d", r, theirs.ID)
				}
			}
			if c := s.Get("id/Welding"); c == nil || c.Description != "<p>Joining metals.</p>" || len(s.Records()) != others+1 {
				t.Errorf("%+v of %d", c, len(s.Records()))
			}
			// What bears its old ID number is another skill.
			another := adopts("Welding")
			another[0].OriginID = "COMP-1"
			if r := written(t, session, another)["COMP-1"]; r.RemoteID == fmt.Sprint(theirs.ID) || len(s.Records()) != others+2 {
				t.Errorf("%+v, of %d", r, len(s.Records()))
			}
		})
	}
	t.Run("that of another skill stays its own", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		ours := s.Make("id/other", "Welding")
		written(t, openKnowing(t, s, s, "id/other"), adopts("Welding"))
		if c := s.Get("id/other"); c == nil || c.ID != ours.ID || len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("nor is that of a skill of the same session taken", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		list := adopts("Welding", "other")
		list[1].Name = "Welding"
		session := openKnowing(t, s, s)
		written(t, session, list[:1])
		written(t, session, list[1:])
		by := written(t, session, list)
		if a, b := by["id/Welding"], by["id/other"]; a.RemoteID == b.RemoteID || len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("nor what another integration keeps there", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("crosswalk:sha256:4a826aacf580757c5183b8f0677ee58f4a983a9ffa50be4994ed9f741373d25f", "Welding")
		written(t, openKnowing(t, s, s), adopts("Welding"))
		if len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("one without an ID number comes first", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("COMP-1", "Welding")
		free := s.Make("", "Welding")
		if r := written(t, openKnowing(t, s, s), adopts("Welding"))["id/Welding"]; r.RemoteID != fmt.Sprint(free.ID) {
			t.Errorf("%+v, want %d", r, free.ID)
		}
	})
	t.Run("two skills take two", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("COMP-1", "Welding")
		s.Make("COMP-2", "Welding")
		list := adopts("Welding", "other")
		list[1].Name = "Welding"
		by := written(t, openKnowing(t, s, s), list)
		if a, b := by["id/Welding"], by["id/other"]; a.RemoteID == b.RemoteID || len(s.Records()) != 2 {
			t.Errorf("%+v", s.Records())
		}
	})
	t.Run("one whose origin id does not fit is told by its description", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		theirs := s.Make("COMP-1", "Welding")
		list := adopts("Welding")
		list[0].OriginID = strings.Repeat("long/", 30)
		written(t, openKnowing(t, s, s), list)
		if r := s.Records(); len(r) != 1 || r[0].RemoteID != fmt.Sprint(theirs.ID) || r[0].OriginID != list[0].OriginID {
			t.Errorf("%+v", r)
		}
	})
	t.Run("it cannot be told", func(t *testing.T) {
		t.Parallel()
		s := moodletest.New(t)
		s.Make("COMP-1", "Welding")
		session, err := moodle.New().Open(connector.Account{
			Settings: s.Settings(connectortest.Base), HTTP: &http.Client{Transport: direct{s}},
			Knows: func(context.Context, []string) ([]bool, error) { return nil, errors.New("the database is away") },
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := session.Write(t.Context(), adopts("Welding")); connector.AsError(err) == nil || connector.AsError(err).Kind != connector.Away {
			t.Errorf("Write = %v", err)
		}
		if len(s.Records()) != 1 {
			t.Errorf("%+v", s.Records())
		}
	})
}
