package odoo

import (
	"context"
	"slices"
	"strconv"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Write implements connector.Session.
func (s *session) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	if len(skills) > s.set.Batch {
		return nil, connector.Errorf(connector.Refused, "A call may hold at most %d skills, this one holds %d", s.set.Batch, len(skills))
	}
	w := &work{s: s, results: make([]connector.Result, 0, len(skills))}
	for _, sk := range skills {
		switch {
		case sk.Active:
			w.active = append(w.active, sk)
		case s.set.Inactive == move:
			w.inactive = append(w.inactive, sk)
		default:
			w.refused(sk, cannotDeactivate())
		}
	}
	for _, step := range []func(context.Context) error{w.sortTaken, w.sortActive, w.sortInactive} {
		if err := step(ctx); err != nil {
			return w.results, aside(err)
		}
	}
	for _, step := range []func(context.Context) error{w.take, w.load, w.adopt} {
		if err := step(ctx); err != nil {
			return w.results, err
		}
	}
	return w.results, nil
}

// aside is the error of a request that no skill was in, so that none of them is looked for as the one that is refused.
func aside(err error) error {
	e := connector.AsError(err)
	if e.Kind != connector.Refused {
		return e
	}
	other := *e
	other.Kind = connector.Unexpected
	return &other
}

// work is one call. A skill changes in one request at most: in the last load, all others being rolled back, or when it is
// given its external id.
type work struct {
	s       *session
	results []connector.Result

	active, inactive []connector.Skill
	rows             []row
	adopts, taken    []adoption
}

// row is a skill that is to be loaded.
type row struct {
	connector.Skill
	into skillType
}

// adoption is a skill that is to take over a record.
type adoption struct {
	connector.Skill
	id int64
	// into is the type that it is to have then, if it is not as it should be.
	into *skillType
}

func (w *work) done(sk connector.Skill, id int64) {
	r := connector.Result{OriginID: sk.OriginID}
	if id > 0 {
		r.RemoteID = strconv.FormatInt(id, 10)
	}
	w.results = append(w.results, r)
}

func (w *work) refused(sk connector.Skill, err *connector.Error) {
	w.results = append(w.results, connector.Result{OriginID: sk.OriginID, Err: err})
}

// sortTaken finds the records of skills that people made, and that have no external id of ours yet. Those that have one by now
// are like all others.
func (w *work) sortTaken(ctx context.Context) error {
	var taken, active, inactive []connector.Skill
	for _, sk := range slices.Concat(w.active, w.inactive) {
		switch {
		case sk.Taken:
			taken = append(taken, sk)
		case sk.Active:
			active = append(active, sk)
		default:
			inactive = append(inactive, sk)
		}
	}
	if len(taken) == 0 {
		return nil
	}
	held, err := w.s.locate(ctx, taken)
	if err != nil {
		return err
	}
	known, err := w.s.read(ctx, remoteIDs(taken))
	if err != nil {
		return err
	}
	ids := make([]int64, 0, len(known))
	for id := range known {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	owners, err := w.s.owners(ctx, ids)
	if err != nil {
		return err
	}
	for _, sk := range taken {
		r, there := known[remoteID(sk)]
		if _, has := held[sk.OriginID]; has || !there { // or somebody has removed it
			sk.Taken = false
			if sk.Active {
				active = append(active, sk)
			} else {
				inactive = append(inactive, sk)
			}
			continue
		}
		if err := w.sortTakenOne(ctx, sk, r, owners[r.ID]); err != nil {
			return err
		}
	}
	w.active, w.inactive = active, inactive
	return nil
}

// sortTakenOne decides about one of which the record is there. Skill types have levels of their own, so a skill that people keep
// under another one than the integration's is left there.
func (w *work) sortTakenOne(ctx context.Context, sk connector.Skill, r record, owner string) error {
	home, err := w.s.makeType(ctx, w.s.set.SkillType)
	if err != nil {
		return err
	}
	archived, err := w.s.archivedType(ctx)
	if err != nil {
		return err
	}
	into := home
	if !sk.Active {
		if into, err = w.s.makeType(ctx, w.s.set.ArchivedType); err != nil {
			return err
		}
		archived = into.id
	}
	switch in := int64(r.Type); {
	case owner != "":
		w.refused(sk, connector.Errorf(connector.Unsupported, "The skill with the id %d in Odoo has the external id of another skill, %q; change that one", r.ID, owner))
	case in != home.id && (archived == 0 || in != archived):
		w.refused(sk, connector.Errorf(connector.Unsupported, "The skill with the id %d in Odoo does not belong to the skill type %q, which this integration manages; "+
			"change it in Odoo, or move it to that type there", r.ID, w.s.set.SkillType))
	case in == into.id && (!sk.Active || string(r.Name) == sk.Name):
		w.taken = append(w.taken, adoption{Skill: sk, id: r.ID})
	default:
		if !sk.Active {
			sk.Name = string(r.Name) // what is retired keeps its name
		}
		w.taken = append(w.taken, adoption{Skill: sk, id: r.ID, into: &into})
	}
	return nil
}

// sortActive decides what must be done for the active skills.
func (w *work) sortActive(ctx context.Context) error {
	if len(w.active) == 0 {
		return nil
	}
	home, err := w.s.makeType(ctx, w.s.set.SkillType)
	if err != nil {
		return err
	}
	known, err := w.s.read(ctx, remoteIDs(w.active))
	if err != nil {
		return err
	}
	var adopts []connector.Skill
	for _, sk := range w.active {
		r, there := known[remoteID(sk)]
		switch {
		// An earlier load that had no answer may still be under way, so a skill that is unsure is sent whatever it is now.
		case there && string(r.Name) == sk.Name && int64(r.Type) == home.id && !sk.Unsure:
			w.done(sk, r.ID)
		case sk.Adopt && !there:
			adopts = append(adopts, sk)
		default:
			w.rows = append(w.rows, row{sk, home})
		}
	}
	if len(adopts) == 0 {
		return nil
	}
	return w.sortAdopts(ctx, adopts, home)
}

// sortAdopts finds records for skills that may take one over, and have none of their own.
func (w *work) sortAdopts(ctx context.Context, adopts []connector.Skill, home skillType) error {
	free, err := w.s.unclaimed(ctx, adopts, home)
	if err != nil {
		return err
	}
	var unclear []connector.Skill
	for _, sk := range adopts {
		if _, ok := free[sk.OriginID]; ok {
			unclear = append(unclear, sk)
		}
	}
	held := map[string]record{}
	if len(unclear) > 0 {
		if held, err = w.s.locate(ctx, unclear); err != nil {
			return err
		}
	}
	for _, sk := range adopts {
		r, ok := free[sk.OriginID]
		if _, has := held[sk.OriginID]; ok && !has {
			w.adopts = append(w.adopts, adoption{Skill: sk, id: r.ID})
		} else {
			w.rows = append(w.rows, row{sk, home})
		}
	}
	return nil
}

// sortInactive decides what must be done for the inactive skills. One that Odoo does not hold is not made for the purpose.
func (w *work) sortInactive(ctx context.Context) error {
	if len(w.inactive) == 0 {
		return nil
	}
	held, err := w.s.locate(ctx, w.inactive)
	if err != nil {
		return err
	}
	var archived skillType
	for _, sk := range w.inactive {
		r, there := held[sk.OriginID]
		if !there && !sk.Unsure { // otherwise an earlier load may still be under way, and make it
			w.done(sk, 0)
			continue
		}
		if archived.id == 0 {
			if archived, err = w.s.makeType(ctx, w.s.set.ArchivedType); err != nil {
				return err
			}
		}
		switch {
		case there && int64(r.Type) == archived.id && !sk.Unsure:
			w.done(sk, r.ID)
		default:
			w.rows = append(w.rows, row{sk, archived})
		}
	}
	return nil
}

// load sends the rows, and again without those that Odoo has refused, until it takes the rest. What is refused in words that may
// be about a change at the same time is tried once more first.
func (w *work) load(ctx context.Context) error {
	tried := false
	for len(w.rows) > 0 {
		answer, err := w.s.load(ctx, modelSkill, w.fields(), w.data())
		if err != nil {
			return err
		}
		if answer.ids != nil {
			for i, r := range w.rows {
				w.done(r.Skill, answer.ids[i])
			}
			return nil
		}
		if noType(answer.messages) {
			w.s.forgetTypes()
			return connector.Errorf(connector.Away, "The skill type has vanished from Odoo while skills were written")
		}
		v := w.s.judge(len(w.rows), answer.messages)
		if v.unsure && !tried {
			tried = true
			continue
		}
		if v.whole != nil {
			v.whole.Exchange = answer.exchange
			return v.whole
		}
		left := make([]row, 0, len(w.rows))
		for i, r := range w.rows {
			if words, ok := v.refused[i]; ok {
				w.refused(r.Skill, &connector.Error{Kind: connector.Refused, Message: words, Exchange: answer.exchange})
			} else {
				left = append(left, r)
			}
		}
		w.rows = left
	}
	return nil
}

// named reports whether all skill types have an external id. By that Odoo finds them once for all rows, by number for each.
func (w *work) named() bool {
	return !slices.ContainsFunc(w.rows, func(r row) bool { return r.into.external == "" })
}

func (w *work) fields() []string {
	if w.named() {
		return []string{"id", "name", "skill_type_id/id"}
	}
	return []string{"id", "name", "skill_type_id/.id"}
}

func (w *work) data() [][]string {
	named := w.named()
	data := make([][]string, len(w.rows))
	for i, r := range w.rows {
		into := r.into.external
		if !named {
			into = strconv.FormatInt(r.into.id, 10)
		}
		data[i] = []string{externalID(w.s.set.Module, r.OriginID), r.Name, into}
	}
	return data
}

// take gives records that people made their external ids, by which load then finds them: that is no change of the skills.
func (w *work) take(ctx context.Context) error {
	return w.bind(ctx, w.taken, func(a adoption) {
		if a.into == nil {
			w.done(a.Skill, a.id)
		} else {
			w.rows = append(w.rows, row{a.Skill, *a.into})
		}
	})
}

// adopt gives records of the right name and type their external ids, which is all that they lack.
func (w *work) adopt(ctx context.Context) error {
	return w.bind(ctx, w.adopts, func(a adoption) { w.done(a.Skill, a.id) })
}

// bind gives records their external ids, and hands on those that have them. What may not be is refused.
func (w *work) bind(ctx context.Context, adopts []adoption, bound func(adoption)) error {
	if len(adopts) == 0 {
		return nil
	}
	adopts, err := w.point(ctx, adopts, bound)
	if err != nil || len(adopts) == 0 {
		return err
	}
	values := make([]map[string]any, len(adopts))
	for i, a := range adopts {
		values[i] = map[string]any{"module": w.s.set.Module, "name": externalName(a.OriginID), "model": modelSkill, "res_id": a.id}
	}
	var made []int64
	err = w.s.call(ctx, call{model: modelExternalID, method: "create", args: []argument{{"vals_list", values}}, changes: true}, &made)
	switch e := connector.AsError(err); {
	case e == nil:
		for _, a := range adopts {
			bound(a)
		}
		return nil
	case e.Kind == connector.Permission:
		for _, a := range adopts {
			w.refused(a.Skill, mayNotAdopt(a.Name, a.id, e.Message))
		}
		return nil
	case e.Kind == connector.Refused:
		// Versions have different words for an external id that somebody has made meanwhile.
		if rows, err := w.s.named(ctx, adopts); err == nil && len(rows) > 0 {
			return &connector.Error{Kind: connector.Away, Message: e.Message, Err: e}
		}
		return e
	default:
		return e
	}
}

// point does what is to be done for adopts whose external id is there and points elsewhere, and returns the others. When people
// delete a skill type, its skills go with it and leave their external ids behind.
func (w *work) point(ctx context.Context, adopts []adoption, bound func(adoption)) ([]adoption, error) {
	taken, err := w.s.named(ctx, adopts)
	if err != nil {
		return nil, err
	}
	var others []adoption
	for _, a := range adopts {
		at, there := taken[externalName(a.OriginID)]
		switch {
		case !there:
			others = append(others, a)
			continue
		case string(at.Model) != modelSkill:
			w.refused(a.Skill, connector.Errorf(connector.Refused, "The external id %s is that of a record of the model %s in Odoo", externalID(w.s.set.Module, a.OriginID), at.Model))
			continue
		}
		var changed bool
		err := w.s.call(ctx, call{
			model: modelExternalID, method: "write", ids: []int64{at.ID}, args: []argument{{"vals", map[string]any{"res_id": a.id}}}, changes: true,
		}, &changed)
		switch e := connector.AsError(err); {
		case e == nil:
			bound(a)
		case e.Kind == connector.Permission:
			w.refused(a.Skill, mayNotAdopt(a.Name, a.id, e.Message))
		default:
			return nil, e
		}
	}
	return others, nil
}
