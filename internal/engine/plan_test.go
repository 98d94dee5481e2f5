package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// away is a store that cannot look anything up.
type away struct{ Store }

var errAway = errors.New("away")

func (away) Skills(context.Context, store.Lease, []string) ([]store.SkillState, error) {
	return nil, errAway
}

// What the store knew as it leased is not asked for again; but of a task that has outcomes already, it is.
func TestPlanOfWhatIsKnown(t *testing.T) {
	items := []skill.Item{{OriginID: "a", Name: "A", Status: skill.Active}, {OriginID: "b", Name: "B", Status: skill.Active}}
	known := []store.SkillState{{Ref: 1, ID: "id-a", Known: true, Hash: skill.ContentHash("r", items[0])}, {}}
	for done := range 2 {
		p := &plan{
			store: away{}, rendering: "r", batch: 10, atOnce: 1, task: &store.DrainTask{Items: 2}, outcomes: make([]skill.Outcome, 2),
			first: items, known: known, refuse: func(*work) bool { return false },
		}
		if done > 0 {
			p.outcomes[1].Kind = skill.Rejected
		}
		c, err := p.next(t.Context())
		if done > 0 {
			if !errors.Is(err, errAway) {
				t.Errorf("with an outcome: %+v, %v", c, err)
			}
			continue
		}
		if err != nil || len(c.work) != 1 || c.work[0].item.OriginID != "b" || p.outcomes[0] != (skill.Outcome{Kind: skill.Unchanged, SkillID: "id-a"}) {
			t.Errorf("planned %+v, %v, with %+v", c, err, p.outcomes)
		}
	}
}
