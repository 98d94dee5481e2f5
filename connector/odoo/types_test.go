package odoo_test

import (
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
)

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
