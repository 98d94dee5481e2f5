package odoo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
)

// both runs a test with either version.
func both(t *testing.T, test func(t *testing.T, s *odootest.Server)) {
	t.Parallel()
	for _, version := range []int{17, 19} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			test(t, odootest.New(t, version))
		})
	}
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

// known puts the ids into the skills that Odoo gave.
func known(list []connector.Skill, results map[string]connector.Result) {
	for i := range list {
		list[i].RemoteID = results[list[i].OriginID].RemoteID
	}
}

func records(s *odootest.Server) map[string]connector.Record {
	by := map[string]connector.Record{}
	for _, r := range s.Records() {
		by[r.OriginID] = r
	}
	return by
}

// Ten thousand are loaded in a request for each five hundred; the skill type is looked for, made once, and found again.
func TestCalls(t *testing.T) {
	t.Parallel()
	const find, ids, load, makeType = "hr.skill.search_read", "hr.skill.get_external_id", "hr.skill.load", "hr.skill.type.load"
	const findType, typeIDs, table = "hr.skill.type.search_read", "hr.skill.type.get_external_id", "ir.model.data.search_read"
	const language = "res.users.context_get"
	for version, signIn := range map[int][]string{17: {"common.authenticate"}, 19: nil} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, version)
			expect := func(what string, list []connector.Skill, want ...string) map[string]connector.Result {
				t.Helper()
				s, d := open(t, fake, fake)
				results := write(t, s, list)
				if diff := cmp.Diff(slices.Concat(signIn, want), d.calls); diff != "" {
					t.Errorf("%s (-want +got):\n%s", what, diff)
				}
				return results
			}
			list := skills("kept", "changed", "retired")
			known(list, expect("new skills", list, findType, makeType, load))
			expect("nothing has changed", list, findType, typeIDs, find)
			list[1].Name = "changed, indeed"
			expect("one has changed", list, findType, typeIDs, find, load)
			list[1].Name, list[1].Adopt = "changed once more", true
			expect("one has changed, and needs no other record", list, findType, typeIDs, find, load)
			list[2].Active = false
			// There are other skill types by now, of which one might be meant.
			expect("one is retired", list, findType, typeIDs, find, find, ids, findType, typeIDs, language, makeType, load)
			expect("nothing has changed since", list, findType, typeIDs, find, find, ids, findType, typeIDs)
			unknown := skills("nobody")
			unknown[0].Active = false
			expect("one that is not there is retired", unknown, table)
		})
	}
}

// One bad row, and a load is rolled back. The named rows are refused with Odoo's words and the rest is sent again, also when
// there are more bad rows than Odoo names at a time.
func TestBadRows(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, d := open(t, fake, fake)
		var list []connector.Skill
		for i := range 60 {
			sk := skills(fmt.Sprint(i))[0]
			if i%2 == 1 {
				sk.Name = "" // no task holds such a name; it stands for whatever a field of Odoo's may not be
			}
			list = append(list, sk)
		}
		results := write(t, s, list)
		for i, sk := range list {
			switch r := results[sk.OriginID]; {
			case i%2 == 0 && r.Err != nil:
				t.Errorf("%s: %v", sk.OriginID, r.Err)
			case i%2 == 1 && (r.Err == nil || r.Err.Kind != connector.Refused || !strings.HasPrefix(r.Err.Message, "Missing required value for the field 'Name' (name)")):
				t.Errorf("%s: %+v", sk.OriginID, r)
			}
		}
		if n := len(fake.Records()); n != 30 {
			t.Errorf("Odoo holds %d skills", n)
		}
		loads := 0
		for _, called := range d.calls {
			if called == "hr.skill.load" {
				loads++
			}
		}
		if loads != 4 { // ten are named at a time, thirty are bad
			t.Errorf("%d loads: %v", loads, d.calls)
		}
	})
}

// When a rule of Odoo's refuses a row, the message also names the first one, which is good. All that was sent is in its place.
func TestFirstRowIsNotBlamed(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.Refuse = "Juggling"
		s, _ := open(t, fake, fake)
		list := skills("a", "b", "c", "d")
		list[1].Name, list[3].Name = "Juggling", "Juggling"
		refused := func(results map[string]connector.Result) (ids []string) {
			for id, r := range results {
				if r.Err != nil {
					if r.Err.Kind != connector.Refused || r.Err.Message != "This name is not allowed." {
						t.Errorf("%s: %v", id, r.Err)
					}
					ids = append(ids, id)
				}
			}
			slices.Sort(ids)
			return ids
		}
		if diff := cmp.Diff([]string{"id/b", "id/d"}, refused(write(t, s, list))); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
		// And when it is the first itself, it is.
		list[0].Name = "Juggling"
		if diff := cmp.Diff([]string{"id/a", "id/b", "id/d"}, refused(write(t, s, list))); diff != "" {
			t.Errorf("refused (-want +got):\n%s", diff)
		}
	})
}

// A message about changes at the same time is no refusal: the whole batch is written later.
func TestConcurrentUpdate(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		write(t, s, skills("there already"))
		fake.Conflicts = 1
		list := skills("a", "b", "c")
		results, err := s.Write(t.Context(), list)
		if e := connector.AsError(err); e == nil || e.Kind != connector.Away || len(results) != 0 || !strings.Contains(e.Message, "could not serialize access") {
			t.Fatalf("Write = %+v, %v", results, err)
		}
		if n := len(fake.Records()); n != 1 {
			t.Errorf("Odoo holds %d skills", n)
		}
		for _, r := range write(t, s, list) {
			if r.Err != nil {
				t.Error(r.Err)
			}
		}
	})
}

// PostgreSQL may say it in its own language. Then nobody knows what the words are about, and the batch is tried once more; what is
// refused in the same words again is refused.
func TestConcurrentUpdateInAnotherLanguage(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.German, fake.Conflicts, fake.Refuse = true, 1, "c"
		s, d := open(t, fake, fake)
		write(t, s, skills("z")) // and its skill type, which takes two
		fake.Conflicts, d.calls = 1, nil
		results := write(t, s, skills("a", "b", "c", "d"))
		for id, r := range results {
			if (r.Err != nil) != (id == "id/c") {
				t.Errorf("%s: %v", id, r.Err)
			}
		}
		loads := 0
		for _, called := range d.calls {
			if called == "hr.skill.load" {
				loads++
			}
		}
		if n := len(fake.Records()); n != 4 || loads != 3 {
			t.Errorf("Odoo holds %d skills after %d loads", n, loads)
		}
	})
}

// A missing right is told as a message of a row, and concerns all of them: no skill is at fault. An ordinary employee may
// create skills, but not change them; a check knows.
func TestOrdinaryEmployee(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		list := skills("a", "b")
		known(list, write(t, s, list))
		fake.May = odootest.Rights{CreateSkills: true}
		write(t, s, skills("new"))
		list[1].Name = "b, renamed"
		results, err := s.Write(t.Context(), append(skills("newer"), list[1]))
		if e := connector.AsError(err); e == nil || e.Kind != connector.Permission || len(results) != 0 || !strings.Contains(e.Message, "You are not allowed to modify 'Skill'") {
			t.Errorf("Write = %+v, %v", results, err)
		}
		if _, there := records(fake)["id/newer"]; there {
			t.Error("the new skill is there, although the load was rolled back")
		}
		err = s.(connector.Checker).Check(t.Context())
		if e := connector.AsError(err); e == nil || e.Kind != connector.Permission || !strings.Contains(e.Message, "may not write") {
			t.Errorf("Check = %v", err)
		}
		// He may not make a skill type either.
		fake.RemoveType("Skills")
		s, _ = open(t, fake, fake)
		results, err = s.Write(t.Context(), list)
		if e := connector.AsError(err); e == nil || e.Kind != connector.Permission || len(results) != 0 || !strings.Contains(e.Message, `The skill type "Skills" cannot be made`) {
			t.Errorf("Write = %+v, %v", results, err)
		}
	})
}

// The skill type may be there, made by people: then it is used, though it has no external id.
func TestTypeOfOthers(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		for _, external := range []string{"", "hr_skills.hr_skill_type_softskill"} {
			fake.Make("Skills", "made by hand")
			if external != "" {
				fake.Name(external, "hr.skill.type", fake.Types()[0].ID)
			}
			s, _ := open(t, fake, fake)
			list := skills("a")
			known(list, write(t, s, list))
			if types := fake.Types(); len(types) != 1 {
				t.Errorf("types: %+v", types)
			}
			list[0].Active = false
			write(t, s, list)
			list[0].Active = true
			write(t, s, list)
			if r := records(fake)["id/a"]; !r.Active || r.RemoteID != list[0].RemoteID {
				t.Errorf("%+v", r)
			}
			fake.RemoveType("Skills")
			fake.RemoveType("Archived skills")
		}
	})
}

// Of two skill types of one name the older is used, unless the other is ours.
func TestTypesOfOneName(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		older := fake.AddType("Sports")
		s, _ := open(t, fake, fake)
		write(t, s, skills("a"))
		ours := fake.TypeOf(records(fake)["id/a"].RemoteID)
		fake.RenameType(older, "Skills")
		s, _ = open(t, fake, fake)
		if got := fake.TypeOf(write(t, s, skills("b"))["id/b"].RemoteID); got != ours || ours == older {
			t.Errorf("a is of the type %d, b of %d", ours, got)
		}
		fake.AddType("Skills")
		fake.RenameType(ours, "Tricks")
		s, _ = open(t, fake, fake)
		if got := fake.TypeOf(write(t, s, skills("c"))["id/c"].RemoteID); got != older {
			t.Errorf("c is of the type %d, want %d", got, older)
		}
	})
}

// People may rename the skill type that we made, or may know one by its name in their own language: it stays the one, by the name
// that they gave it.
func TestRenamedType(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		write(t, s, skills("a"))
		ours := fake.TypeOf(records(fake)["id/a"].RemoteID)
		fake.RenameType(ours, "Competences")
		fake.AddType("Languages")
		s, _ = open(t, fake, fake)
		if got := fake.TypeOf(write(t, s, skills("b"))["id/b"].RemoteID); got != ours || len(fake.Types()) != 2 || fake.Types()[0].Name != "Competences" {
			t.Errorf("b is of the type %d, want %d of %+v", got, ours, fake.Types())
		}
	})
}

func TestTypeInTheUsersLanguage(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.Language = "fr_FR"
		fake.AddType("Soft Skills")
		theirs := fake.AddType("Programming Languages")
		fake.TranslateType(theirs, "Skills")
		s, _ := open(t, fake, fake)
		if err := s.(connector.Checker).Check(t.Context()); err != nil {
			t.Error(err)
		}
		if got := fake.TypeOf(write(t, s, skills("a"))["id/a"].RemoteID); got != theirs {
			t.Errorf("a is of the type %d, want %d of %+v", got, theirs, fake.Types())
		}
		// One of that name in English goes before.
		english := fake.AddType("Skills")
		s, _ = open(t, fake, fake)
		if got := fake.TypeOf(write(t, s, skills("b"))["id/b"].RemoteID); got != english {
			t.Errorf("b is of the type %d, want %d of %+v", got, english, fake.Types())
		}
	})
}

// The address may be one that was copied from a browser.
func TestAddresses(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	for _, address := range []string{"", "/", "/odoo", "/odoo/action-512/3", "/web", "/web/login", "/json/2", "/jsonrpc", "/xmlrpc/2/common"} {
		s, err := odoo.New().Open(connector.Account{Settings: fake.Settings(connectortest.Base + address), HTTP: (&direct{t: t, handler: fake}).client()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.(connector.Checker).Check(t.Context()); err != nil {
			t.Errorf("%q: %v", address, err)
		}
	}
	// A part of a host's name, or of another path, is none of it.
	for address, want := range map[string]string{
		"https://odoo": "https://odoo/json/2/", "https://web.example.com": "https://web.example.com/json/2/", "https://example.com/webshop": "https://example.com/webshop/json/2/",
	} {
		asked := ""
		s, err := odoo.New().Open(connector.Account{Settings: fake.Settings(address), HTTP: &http.Client{Transport: trip(func(r *http.Request) (*http.Response, error) {
			asked = r.URL.String()
			return nil, errors.New("not there")
		})}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.(connector.Checker).Check(t.Context()); err == nil || !strings.HasPrefix(asked, want) {
			t.Errorf("%s: asked %s, %v", address, asked, err)
		}
	}
}

type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// What is at the address may be no Odoo.
func TestNoOdoo(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.API, fake.Several = "auto", true
		s, _ := open(t, fake, http.NotFoundHandler())
		err := s.(connector.Checker).Check(t.Context())
		if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "no Odoo at this address") {
			t.Errorf("Check = %v", err)
		}
	})
}

// What is refused while no skill is in a request is no skill's fault, so nothing is looked for by halves.
func TestRefusedAside(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		for what, refuse := range map[string]func(w http.ResponseWriter, method string) bool{
			"a proxy's page": func(w http.ResponseWriter, method string) bool {
				if method == "hr.skill.type.search_read" {
					w.WriteHeader(http.StatusBadRequest)
				}
				return method == "hr.skill.type.search_read"
			},
			"a rule about skill types": func(w http.ResponseWriter, method string) bool {
				if method != "hr.skill.type.load" {
					return false
				}
				answer := `{"ids":false,"messages":[{"type":"error","message":"All skill types are made by Ms. Weber."}],"nextrow":0}`
				if fake.Version < 19 {
					answer = `{"jsonrpc":"2.0","id":1,"result":` + answer + `}`
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprint(w, answer)
				return true
			},
		} {
			s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if !refuse(w, methodOf(t, r)) {
					fake.ServeHTTP(w, r)
				}
			}))
			results, err := s.Write(t.Context(), skills("a", "b"))
			if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || len(results) > 0 {
				t.Errorf("%s: Write = %v, %v", what, results, err)
			}
		}
	})
}

// One that is archived is not taken while there is another of its name, though it is older or ours.
func TestArchivedTypeOfOneName(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	s, _ := open(t, fake, fake)
	list := skills("a")
	known(list, write(t, s, list))
	fake.ArchiveType("Skills")
	shown := fake.AddType("Skills")
	s, _ = open(t, fake, fake)
	write(t, s, list)
	if got := fake.TypeOf(list[0].RemoteID); got != shown {
		t.Errorf("a is of the type %d, want %d", got, shown)
	}
}

// Somebody deletes the skill type while skills are written. It is made anew, and no skill is at fault.
func TestTypeVanishes(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		write(t, s, skills("a"))
		fake.RemoveType("Skills")
		results, err := s.Write(t.Context(), skills("a", "b"))
		if e := connector.AsError(err); e == nil || e.Kind != connector.Away || len(results) != 0 {
			t.Fatalf("Write = %+v, %v", results, err)
		}
		write(t, s, skills("a", "b"))
		if n := len(fake.Records()); n != 2 {
			t.Errorf("Odoo holds %d skills", n)
		}
	})
}

// What is as it should be is not sent: it would have a new date. What is unsure is, for an earlier load may still be under way.
func TestUnchangedIsNotSent(t *testing.T) {
	t.Parallel()
	for _, version := range []int{17, 19} {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				fake := odootest.New(t, version)
				s, _ := open(t, fake, fake)
				list := skills("kept", "changed", "unsure", "retired")
				known(list, write(t, s, list))
				list[3].Active = false
				write(t, s, list)
				before := records(fake)
				time.Sleep(time.Hour)
				list[1].Name, list[2].Unsure = "changed, indeed", true
				write(t, s, list)
				after := records(fake)
				for id, moved := range map[string]bool{"id/kept": false, "id/changed": true, "id/unsure": true, "id/retired": false} {
					if (after[id].UpdatedAt != before[id].UpdatedAt) != moved {
						t.Errorf("%s: the date was %v and is %v", id, before[id].UpdatedAt, after[id].UpdatedAt)
					}
				}
			})
		})
	}
}

// An inactive skill of which an earlier load had no answer is sent whatever there is: that load may still be under way, and may
// make it active or make it at all.
func TestUnsureInactive(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, d := open(t, fake, fake)
		list := skills("retired", "never seen")
		write(t, s, list[:1])
		list[0].Active, list[1].Active = false, false
		write(t, s, list[:1])
		list[0].Unsure, list[1].Unsure = true, true
		for i, sk := range list {
			d.calls = nil
			results := write(t, s, list[i:i+1])
			if !slices.Contains(d.calls, "hr.skill.load") {
				t.Errorf("calls for %s: %v", sk.OriginID, d.calls)
			}
			if r := records(fake)[sk.OriginID]; r.Active || r.RemoteID == "" || r.RemoteID != results[sk.OriginID].RemoteID {
				t.Errorf("%s: %+v, Odoo holds %+v", sk.OriginID, results[sk.OriginID], r)
			}
		}
	})
}

// Odoo 19 can archive skill types. One that is archived is the one of its name all the same.
func TestArchivedType(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	fake.AddType("Archived skills")
	fake.ArchiveType("Archived skills")
	s, _ := open(t, fake, fake)
	list := skills("a", "b")
	known(list, write(t, s, list))
	list[0].Active = false
	write(t, s, list)
	if got := records(fake); got["id/a"].Active || !got["id/b"].Active || len(fake.Types()) != 2 {
		t.Errorf("Odoo holds %+v in the types %+v", got, fake.Types())
	}
}

// The external ids of skill types are none that a skill could have.
func TestTypesAndSkillsHaveTheirOwnIDs(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		list := []connector.Skill{{OriginID: "Skills", Name: "Skills", Active: true}, {OriginID: "_types.Skills", Name: "b", Active: true}}
		for id, r := range write(t, s, list) {
			if r.Err != nil {
				t.Errorf("%s: %v", id, r.Err)
			}
		}
	})
}

// By default an inactive skill is refused, and the others are written. Nothing is ever deleted: the fake fails the test then.
func TestInactiveIsRefused(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	settings := fmt.Sprintf(`{"address":%q,"api_key":%q}`, connectortest.Base, fake.Key)
	s, err := odoo.New().Open(connector.Account{Settings: json.RawMessage(settings), HTTP: (&direct{t: t, handler: fake}).client()})
	if err != nil {
		t.Fatal(err)
	}
	list := skills("COBOL", "Go")
	known(list, write(t, s, list))
	list[0].Active = false
	results := write(t, s, list)
	if r := results["id/COBOL"]; r.Err == nil || r.Err.Kind != connector.Refused || !strings.Contains(r.Err.Message, "cannot deactivate") {
		t.Errorf("COBOL: %+v", r)
	}
	if r := results["id/Go"]; r.Err != nil {
		t.Errorf("Go: %v", r.Err)
	}
	if got := records(fake); len(got) != 2 || !got["id/COBOL"].Active {
		t.Errorf("Odoo holds %+v", got)
	}
	if types := fake.Types(); len(types) != 1 {
		t.Errorf("types: %+v", types)
	}
}

// A skill that somebody deleted is made anew if it is active; if not, it stays away. Its earlier id is believed of neither.
func TestDeletedByHand(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		list := skills("a", "b", "c")
		first := write(t, s, list)
		known(list, first)
		for _, r := range fake.Records()[:2] {
			var id int64
			if _, err := fmt.Sscan(r.RemoteID, &id); err != nil {
				t.Fatal(err)
			}
			fake.Remove(id)
		}
		list[1].Active = false
		second := write(t, s, list)
		if r := second["id/a"]; r.Err != nil || r.RemoteID == "" || r.RemoteID == first["id/a"].RemoteID || r.RemoteID != records(fake)["id/a"].RemoteID {
			t.Errorf("a is %+v, was %+v; Odoo holds %+v", r, first["id/a"], records(fake)["id/a"])
		}
		if r := second["id/b"]; r.Err != nil || r.RemoteID != "" {
			t.Errorf("b is %+v", r)
		}
		if n := len(fake.Records()); n != 2 {
			t.Errorf("Odoo holds %d skills", n)
		}
	})
}

// An inactive skill whose id is not known is found by its external id, whether or not the user may read those.
func TestRetireWithoutID(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		for _, may := range []bool{true, false} {
			fake.May.ReadExternalIDs = may
			s, _ := open(t, fake, fake)
			list := skills(fmt.Sprint("a ", may), fmt.Sprint("b ", may), "never made")
			first := write(t, s, list[:2])
			for i := range list {
				list[i].Active = false
			}
			second := write(t, s, list)
			for _, sk := range list[:2] {
				if r := records(fake)[sk.OriginID]; r.Active || second[sk.OriginID].RemoteID != first[sk.OriginID].RemoteID {
					t.Errorf("%s: %+v, %+v", sk.OriginID, r, second[sk.OriginID])
				}
			}
			if _, made := records(fake)["id/never made"]; made || second["id/never made"].Err != nil {
				t.Error("a skill was made to be retired")
			}
		}
	})
}

// Where the table of external ids may not be read, the whole catalogue is, however large.
func TestFindAmongMany(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.May.ReadExternalIDs = false
		for i := range 5500 { // more than are read at a time
			fake.Make("Languages", fmt.Sprint(i))
		}
		s, _ := open(t, fake, fake)
		list := skills("a")
		write(t, s, list)
		found, err := s.(connector.Finder).Find(t.Context(), append(list, skills("nobody")...))
		if diff := cmp.Diff([]connector.Record{records(fake)["id/a"]}, found); err != nil || diff != "" {
			t.Errorf("Find: %v (-want +got):\n%s", err, diff)
		}
	})
}

// A user who may not create external ids cannot take skills over: such a skill says so, and no second one is made.
func TestAdoptWithoutTheRight(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.May.CreateExternalIDs, fake.May.ReadExternalIDs = false, false
		id := fake.MakeByHand("Welding")
		s, _ := open(t, fake, fake)
		list := skills("Welding", "Go")
		for i := range list {
			list[i].Adopt = true
		}
		for range 2 {
			results := write(t, s, list)
			if r := results["id/Welding"]; r.Err == nil || r.Err.Kind != connector.Unsupported || !strings.Contains(r.Err.Message, `holds a skill "Welding" already (id `+id+`)`) {
				t.Errorf("Welding: %+v", r)
			}
			if r := results["id/Go"]; r.Err != nil {
				t.Error(r.Err)
			}
			if n := len(fake.Records()); n != 2 {
				t.Errorf("Odoo holds %d skills", n)
			}
		}
		// One that has a record of its own needs no other, though somebody makes one of its name.
		fake.MakeByHand("Go")
		if r := write(t, s, list)["id/Go"]; r.Err != nil {
			t.Error(r.Err)
		}
	})
}

// A record of another type is none to take over, and one that a module of Odoo's brought is.
func TestAdoptTakes(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.Make("Languages", "English")
		piano := fake.Make("Skills", "Piano")
		fake.Name("hr_skills.hr_skill_piano", "hr.skill", piano)
		s, _ := open(t, fake, fake)
		list := skills("English", "Piano")
		for i := range list {
			list[i].Adopt = true
		}
		results := write(t, s, list)
		if got := results["id/Piano"].RemoteID; got != fmt.Sprint(piano) {
			t.Errorf("Piano is %s, was %d", got, piano)
		}
		if n := len(fake.Records()); n != 3 {
			t.Errorf("Odoo holds %d skills", n)
		}
		// The record has two external ids now, of which Odoo tells the older. Ours is found all the same.
		page, err := s.(connector.Lister).List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		var origins []string
		for _, r := range page.Records {
			origins = append(origins, r.OriginID)
		}
		slices.Sort(origins)
		if diff := cmp.Diff([]string{"", "id/English", "id/Piano"}, origins); diff != "" {
			t.Errorf("the list (-want +got):\n%s", diff)
		}
		list[1].RemoteID = ""
		again := write(t, s, list)
		if got := again["id/Piano"].RemoteID; got != fmt.Sprint(piano) {
			t.Errorf("again Piano is %s, was %d", got, piano)
		}
	})
}

// When a skill type was deleted, the external ids of its skills are still there. They are given to what is taken over, and else
// to new skills.
func TestAdoptAfterTypeWasDeleted(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, fake)
		list := skills("Welding", "Go", "Painting")
		known(list, write(t, s, list))
		fake.RemoveType("Skills")
		welding := fake.MakeByHand("Welding")
		painting := fake.MakeByHand("Painting")
		list[0].Adopt, list[1].Adopt = true, true
		list = append(list, skills("Knitting")...)
		knitting := fake.MakeByHand("Knitting")
		list[3].Adopt = true
		s, _ = open(t, fake, fake)
		results := write(t, s, list)
		got := records(fake)
		if got["id/Welding"].RemoteID != welding || results["id/Welding"].RemoteID != welding {
			t.Errorf("Welding is %+v, was %s", results["id/Welding"], welding)
		}
		if got["id/Knitting"].RemoteID != knitting {
			t.Errorf("Knitting is %+v, was %s", results["id/Knitting"], knitting)
		}
		if r := got["id/Painting"]; r.RemoteID == painting || r.RemoteID != results["id/Painting"].RemoteID {
			t.Errorf("Painting, which was not to be taken over, is %+v", r)
		}
		if got["id/Go"].RemoteID == "" || len(fake.Records()) != 5 {
			t.Errorf("Odoo holds %+v", fake.Records())
		}
	})
}

// An external id that is that of something else cannot be had, and nothing is waited for.
func TestAdoptWithAnotherModelsID(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		fake.MakeByHand("Welding")
		fake.Name("crosswalk.id/Welding", "res.partner", 7)
		s, _ := open(t, fake, fake)
		list := skills("Welding")
		list[0].Adopt = true
		if r := write(t, s, list)["id/Welding"]; r.Err == nil || r.Err.Kind != connector.Refused || !strings.Contains(r.Err.Message, "res.partner") {
			t.Errorf("%+v", r)
		}
	})
}

// Somebody else makes the external id between the question and the answer: later it will go.
func TestAdoptAtTheSameTime(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		id := fake.MakeByHand("Welding")
		once := true
		s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if once && methodOf(t, r) == "ir.model.data.create" {
				once = false
				n, err := strconv.ParseInt(id, 10, 64)
				if err != nil {
					t.Error(err)
				}
				fake.Name("crosswalk.id/Welding", "hr.skill", n)
			}
			fake.ServeHTTP(w, r)
		}))
		list := skills("Welding")
		list[0].Adopt = true
		_, err := s.Write(t.Context(), list)
		if e := connector.AsError(err); e == nil || e.Kind != connector.Away {
			t.Errorf("Write = %v", err)
		}
		if r := write(t, s, list)["id/Welding"]; r.Err != nil || r.RemoteID != id {
			t.Errorf("%+v, want %s", r, id)
		}
	})
}

// Found is what bears the external id, whatever it is called by now, with the date of its last change.
func TestFind(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		for _, may := range []bool{true, false} {
			fake.May.ReadExternalIDs = may
			s, _ := open(t, fake, fake)
			list := skills("a", "b")
			write(t, s, list)
			list[0].Name = "renamed since"
			write(t, s, list)
			found, err := s.(connector.Finder).Find(t.Context(), append(skills("nobody"), list[0]))
			if diff := cmp.Diff([]connector.Record{records(fake)["id/a"]}, found); err != nil || diff != "" {
				t.Errorf("Find: %v (-want +got):\n%s", err, diff)
			}
			if found[0].UpdatedAt.IsZero() {
				t.Error("no date")
			}
		}
	})
}

// An Odoo that does not know /json/2 is spoken to through /jsonrpc, from then on. It needs more settings; without them an error
// names them.
func TestAuto(t *testing.T) {
	t.Parallel()
	login := func(w http.ResponseWriter) { // Odoo 18 has pages under /json, for people
		w.Header().Set("Location", "/web/login?redirect=%2Fjson%2F2%2Fhr.skill.type%2Fsearch_read")
		w.WriteHeader(http.StatusSeeOther)
	}
	for name, before := range map[string]func(http.ResponseWriter){"404": nil, "sign in": login} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, 17)
			fake.API = "auto"
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if before != nil && strings.HasPrefix(r.URL.Path, "/json/2/") {
					before(w)
					return
				}
				fake.ServeHTTP(w, r)
			})
			s, d := open(t, fake, handler)
			write(t, s, skills("a"))
			want := []string{"hr.skill.type.search_read", "common.authenticate", "hr.skill.type.search_read", "hr.skill.type.load", "hr.skill.load"}
			if diff := cmp.Diff(want, d.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

// Without a login there is only /json/2. Why there is none is told, and a database that is away for a moment is waited for.
func TestWithoutALogin(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version  int
		change   func(*odootest.Server)
		database string
		kind     connector.Kind
		words    string
	}{
		"an older Odoo":                {17, func(*odootest.Server) {}, "", connector.Credentials, "the settings database and login are needed"},
		"several databases":            {19, func(s *odootest.Server) { s.Several = true }, "", connector.Credentials, "the setting database is needed"},
		"no such database":             {19, func(*odootest.Server) {}, "amce", connector.Credentials, `no database "amce"`},
		"an outage":                    {19, func(s *odootest.Server) { s.Outage = true }, "", connector.Away, "cannot use its database"},
		"an outage of a named one":     {19, func(s *odootest.Server) { s.Outage = true }, "acme", connector.Away, "cannot use its database"},
		"nobody may ask for databases": {19, func(s *odootest.Server) { s.Several, s.Discreet = true, true }, "", connector.Away, "has several of which"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, test.version)
			test.change(fake)
			settings := fmt.Sprintf(`{"address":%q,"api_key":%q,"database":%q}`, connectortest.Base, fake.Key, test.database)
			s, err := odoo.New().Open(connector.Account{Settings: json.RawMessage(settings), HTTP: (&direct{t: t, handler: fake}).client()})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Write(t.Context(), skills("a"))
			if e := connector.AsError(err); e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.words) {
				t.Errorf("Write = %v", err)
			}
			if fake.Outage { // and when it is over, /json/2 is there
				fake.Outage = false
				write(t, s, skills("a"))
			}
		})
	}
	// With the database's name, /json/2 knows which is meant.
	fake := odootest.New(t, 19)
	fake.Several = true
	s, _ := open(t, fake, fake)
	write(t, s, skills("a"))
}

// A page that is missing once /json/2 has answered is no older Odoo: so Odoo 19 answers while it cannot use its database.
func TestNoFallbackLater(t *testing.T) {
	t.Parallel()
	fake := odootest.New(t, 19)
	gone := true
	fake.API = "json2"
	never, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusNotFound)
	}))
	_, err := never.Write(t.Context(), skills("a"))
	if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "there is no /json/2 here") {
		t.Errorf("Write = %v", err)
	}
	fake.API, gone = "auto", false
	s, d := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if gone {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fake.ServeHTTP(w, r)
	}))
	write(t, s, skills("a"))
	gone = true
	_, err = s.Write(t.Context(), skills("b"))
	if e := connector.AsError(err); e == nil || e.Kind != connector.Away || slices.Contains(d.calls, "common.authenticate") {
		t.Errorf("Write = %v; calls %v", err, d.calls)
	}
	gone = false
	write(t, s, skills("b"))
}

// An address that has moved is said to have moved, and where to.
func TestMoved(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://erp.example.com"+r.URL.Path, http.StatusMovedPermanently)
		}))
		err := s.(connector.Checker).Check(t.Context())
		if e := connector.AsError(err); e == nil || e.Kind != connector.Unexpected || !strings.Contains(e.Message, "https://erp.example.com/json") {
			t.Errorf("Check = %v", err)
		}
	})
}

// The app may not be installed.
func TestWithoutTheApp(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		version int
		answer  string
	}{
		// In the language of the user.
		{17, `{"jsonrpc":"2.0","id":1,"error":{"code":200,"message":"Odoo Server Error","data":{"name":"odoo.exceptions.UserError","message":"L'objet hr.skill.type n'existe pas"}}}`},
		{17, `{"jsonrpc":"2.0","id":1,"error":{"code":200,"message":"Odoo Server Error","data":{"name":"odoo.exceptions.UserError","message":"Object hr.skill.type doesn't exist"}}}`},
		{19, `{"name":"werkzeug.exceptions.NotFound","message":"the model 'hr.skill.type' does not exist","arguments":[],"context":{}}`},
	} {
		version, answer := of.version, of.answer
		t.Run(fmt.Sprint(version, " ", answer), func(t *testing.T) {
			t.Parallel()
			fake := odootest.New(t, version)
			s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if methodOf(t, r) == "common.authenticate" {
					fake.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json; charset=utf-8")
				if version == 19 {
					w.WriteHeader(http.StatusNotFound)
				}
				fmt.Fprint(w, answer)
			}))
			for what, err := range map[string]error{
				"Write": func() error { _, err := s.Write(t.Context(), skills("a")); return err }(),
				"Check": s.(connector.Checker).Check(t.Context()),
			} {
				if e := connector.AsError(err); e == nil || e.Kind != connector.Unsupported || !strings.Contains(e.Message, "Skills Management (module hr_skills) is not installed") {
					t.Errorf("%s = %v", what, err)
				}
			}
		})
	}
}

// Exceptions of a database in trouble: what was begun is forgotten, and later it will go.
func TestExceptions(t *testing.T) {
	t.Parallel()
	for exception, want := range map[string]connector.Kind{
		`"psycopg2.errors.SerializationFailure","message":"could not serialize access due to concurrent update"`: connector.Away,
		`"psycopg2.OperationalError","message":"connection to server failed: Connection refused"`:                connector.Away,
		`"psycopg2.pool.PoolError","message":"The Connection Pool Is Full"`:                                      connector.Away,
		`"odoo.exceptions.ConcurrencyError","message":"Record was modified"`:                                     connector.Away,
		`"odoo.exceptions.LockError","message":"Cannot grab a lock on records"`:                                  connector.Away,
		`"psycopg2.errors.DeadlockDetected","message":"deadlock detected"`:                                       connector.Away,
		`"odoo.exceptions.AccessDenied","message":"Access Denied"`:                                               connector.Credentials,
		`"odoo.exceptions.AccessError","message":"no"`:                                                           connector.Permission,
		`"odoo.exceptions.ValidationError","message":"no"`:                                                       connector.Refused,
		`"builtins.ZeroDivisionError","message":"division by zero"`:                                              connector.Unexpected,
	} {
		for _, version := range []int{17, 19} {
			t.Run(fmt.Sprint(version, " ", exception), func(t *testing.T) {
				t.Parallel()
				fake := odootest.New(t, version)
				s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if methodOf(t, r) != "hr.skill.load" {
						fake.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Content-Type", "application/json; charset=utf-8")
					if version == 17 {
						fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"error":{"code":200,"message":"Odoo Server Error","data":{"name":%s,"debug":"password"}}}`, exception)
						return
					}
					w.WriteHeader(http.StatusInternalServerError)
					fmt.Fprintf(w, `{"name":%s,"debug":"password"}`, exception)
				}))
				_, err := s.Write(t.Context(), skills("a"))
				if e := connector.AsError(err); e == nil || e.Kind != want || e.Message == "" || strings.Contains(err.Error(), "password") {
					t.Errorf("Write = %v, want the kind %s", err, want)
				}
			})
		}
	}
}

// Answers of a load that leave something open.
func TestUnclearAnswers(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]connector.Kind{
		`{"ids":[1],"messages":[]}`:       connector.Ambiguous,
		`{"ids":[1,2,3],"messages":[]}`:   connector.Ambiguous,
		`{"ids":[1,0],"messages":[]}`:     connector.Ambiguous,
		`{"ids":[1,false],"messages":[]}`: connector.Ambiguous,
		`{"ids":null}`:                    connector.Ambiguous,
		`{}`:                              connector.Ambiguous,
		`null`:                            connector.Ambiguous,
		`[]`:                              connector.Ambiguous,
		`{"ids":false,"messages":[]}`:     connector.Refused, // nothing was done, and nobody says why
		`{"ids":false}`:                   connector.Refused,
		`{"ids":false,"messages":[{"type":"error","message":"no"}]}`:                                                                                                                                                          connector.Refused,
		`{"ids":false,"messages":[{"type":"error","record":7,"message":"no"}]}`:                                                                                                                                               connector.Refused,
		`{"ids":false,"messages":[{"type":"warning","record":0,"message":"no"}]}`:                                                                                                                                             connector.Refused,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"Unknown database error: 'x'"}]}`:                                                                                                                      connector.Refused,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"Due to security restrictions, you are not allowed to modify 'Skill' (hr.skill) records."}]}`:                                                          connector.Permission,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"deadlock detected"}]}`:                                                                                                                                connector.Away,
		`{"ids":false,"messages":[{"type":"error","record":1,"message":"x","field":"name"},{"type":"error","record":0,"message":"duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\""}]}`: connector.Away,
		`{"ids":false,"messages":[{"type":"error","record":0,"message":"Uh-oh! Looks like you have stumbled upon some top-secret records.\n\nSorry, HR (id=6) doesn't have 'write' access to:\n- Skill (hr.skill)"}]}`:        connector.Permission,
	} {
		for _, version := range []int{17, 19} {
			t.Run(fmt.Sprint(version, " ", answer), func(t *testing.T) {
				t.Parallel()
				fake := odootest.New(t, version)
				s, _ := open(t, fake, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if methodOf(t, r) != "hr.skill.load" {
						fake.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Content-Type", "application/json; charset=utf-8")
					if version == 17 {
						fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":%s}`, answer)
						return
					}
					fmt.Fprint(w, answer)
				}))
				results, err := s.Write(t.Context(), skills("a", "b"))
				if e := connector.AsError(err); e == nil || e.Kind != want || e.Message == "" || len(results) != 0 {
					t.Errorf("Write = %+v, %v, want the kind %s", results, err, want)
				}
			})
		}
	}
}

// The list goes through all skills of all types, page after page, each with its date.
func TestListOfMany(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		want := map[string]bool{}
		for many, wantPages := range map[int]int{1500: 2, 2000: 3} { // a page that is full may be the last
			for i := range many {
				fake.Make(fmt.Sprint("type ", i%3), fmt.Sprint(i))
			}
			for _, r := range fake.Records() {
				want[r.RemoteID] = true
			}
			s, _ := open(t, fake, fake)
			pages := 0
			for cursor, more := "", true; more; more = cursor != "" {
				page, err := s.(connector.Lister).List(t.Context(), cursor)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range page.Records {
					if !want[r.RemoteID] || r.UpdatedAt.IsZero() {
						t.Errorf("%+v", r)
					}
					delete(want, r.RemoteID)
				}
				pages++
				cursor = page.Next
			}
			if len(want) != 0 || pages != wantPages {
				t.Errorf("%d are missing after %d pages", len(want), pages)
			}
			for i := range 3 {
				fake.RemoveType(fmt.Sprint("type ", i))
			}
			if _, err := s.(connector.Lister).List(t.Context(), "x"); connector.AsError(err).Kind != connector.Unexpected {
				t.Errorf("List = %v", err)
			}
		}
	})
}

// Two integrations with one module share their skills; with two they know nothing of each other.
func TestModules(t *testing.T) {
	both(t, func(t *testing.T, fake *odootest.Server) {
		of := func(module string) connector.Session {
			t.Helper()
			var set map[string]any
			if err := json.Unmarshal(fake.Settings(connectortest.Base), &set); err != nil {
				t.Fatal(err)
			}
			set["external_id_module"] = module
			raw, err := json.Marshal(set)
			if err != nil {
				t.Fatal(err)
			}
			s, err := odoo.New().Open(connector.Account{Settings: raw, HTTP: (&direct{t: t, handler: fake}).client()})
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		first := write(t, of("crosswalk"), skills("a"))["id/a"].RemoteID
		if got := write(t, of("crosswalk"), skills("a"))["id/a"].RemoteID; got != first {
			t.Errorf("the same module: %s and %s", first, got)
		}
		if got := write(t, of("staging"), skills("a"))["id/a"].RemoteID; got == first {
			t.Errorf("another module: %s as well", got)
		}
		found, err := of("staging").(connector.Finder).Find(t.Context(), skills("a"))
		if err != nil || len(found) != 1 || found[0].RemoteID == first {
			t.Errorf("Find = %+v, %v", found, err)
		}
	})
}
