package account

import (
	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// What may become of inactive skills, in the words of people.
const (
	Deactivate = "deactivate"
	Refuse     = "refuse"
)

// Policy changes a policy by what people gave: nil and "" leave things as they are. An error says what the tool cannot do.
func Policy(d connector.Description, p store.Policy, adopt *bool, inactive string) (store.Policy, error) {
	if adopt != nil {
		if *adopt && !d.Can(connector.CanAdopt) {
			return p, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
				"%s cannot adopt: its connector knows no way to take over a skill that people made in the tool", d.Label)
		}
		p.Adopt = *adopt
	}
	switch inactive {
	case "":
	case Refuse:
		p.RefuseInactive = true
	case Deactivate:
		if !d.Can(connector.CanDeactivate) {
			return p, skill.Errorf(skill.Invalid, skill.CodeInputInvalid,
				"%s cannot deactivate skills: inactive ones are refused", d.Label)
		}
		p.RefuseInactive = false
	default:
		return p, skill.Errorf(skill.Invalid, skill.CodeInputInvalid, "inactive skills can be treated as %s or %s, not %q", Deactivate, Refuse, inactive)
	}
	return p, nil
}

// Inactive says what becomes of inactive skills with an account of these settings.
func Inactive(d connector.Description, settings []byte, p store.Policy) string {
	if yes, _ := d.Deactivates(settings); p.RefuseInactive || !yes {
		return Refuse
	}
	return Deactivate
}
