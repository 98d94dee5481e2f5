package odoo_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
)

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
