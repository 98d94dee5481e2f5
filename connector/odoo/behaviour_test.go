package odoo_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
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
