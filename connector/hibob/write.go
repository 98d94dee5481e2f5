package hibob

import (
	"context"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Write implements connector.Session.
func (s *session) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	if len(skills) > batch {
		return nil, connector.Errorf(connector.Refused, "A call may hold at most %d skills, this one holds %d", batch, len(skills))
	}
	held, err := s.search(ctx, skills)
	if err != nil {
		return nil, err
	}
	w := &work{s: s, held: held, results: make([]connector.Result, 0, len(skills))}
	w.sort(skills)
	for _, step := range []func(context.Context) error{w.archive, w.rename, w.create, w.patch, w.confirm} {
		if err := step(ctx); err != nil {
			return w.results, err
		}
	}
	return w.results, nil
}

// work is one call. A skill changes in one request at most, so one without a result is as it was unless the error is that
// of its request.
type work struct {
	s       *session
	held    map[string]connector.Record // what the search has shown
	results []connector.Result

	// In the order in which they are sent: no two skills of Bob's have one name, so those that give theirs up come first.
	archives, renames, creates, patches, confirms []item
}

// item is a skill on its way.
type item struct {
	connector.Skill
	id string // Bob's, if it is known
	// refused is why it could not be created, although the search had not shown it.
	refused *connector.Error
	// revive: it is archived, or may be.
	revive bool
}

// sort decides what must be done for each skill.
func (w *work) sort(skills []connector.Skill) {
	for _, sk := range skills {
		r, shown := w.held[sk.OriginID]
		switch i := (item{Skill: sk, id: r.RemoteID}); {
		case sk.Taken && !shown:
			w.result(i, notOurs())
		case !sk.Active && !shown && sk.RemoteID == "" && !sk.Unsure:
			w.done(i) // there is nothing to retire
		case !sk.Active && (!shown || r.Active):
			w.archives = append(w.archives, i)
		case !sk.Active:
			w.done(i)
		case !shown:
			w.creates = append(w.creates, i)
		case !r.Active:
			i.revive = true
			w.patches = append(w.patches, i)
		case r.Name != sk.Name:
			w.renames = append(w.renames, i)
		default:
			w.done(i)
		}
	}
	if len(w.creates) == 0 { // then one request does for both
		w.renames, w.patches = nil, append(w.renames, w.patches...)
	}
	w.renames, w.patches = w.inTurn(w.renames), w.inTurn(w.patches)
}

// inTurn sorts items so that a name is given up before another takes it. Of names that go round in a circle Bob refuses one or all.
func (w *work) inTurn(items []item) []item {
	gives := make(map[string]int, len(items)) // by the name that an item has until now
	for at, i := range items {
		gives[w.held[i.OriginID].Name] = at
	}
	sorted, seen := make([]item, 0, len(items)), make([]bool, len(items))
	var add func(at int)
	add = func(at int) {
		if seen[at] {
			return
		}
		seen[at] = true
		if before, ok := gives[items[at].Name]; ok {
			add(before)
		}
		sorted = append(sorted, items[at])
	}
	for at := range items {
		add(at)
	}
	return sorted
}

// notOurs is for a skill that Bob knows under no external id of this source: its API has no other way to name it.
func notOurs() *connector.Error {
	return connector.Errorf(connector.Unsupported, "This skill was made in Bob, or came from another source, and Bob's API changes only the skills "+
		"that this integration made; rename or archive it in Bob")
}

func (w *work) done(i item) { w.result(i, nil) }

func (w *work) result(i item, err *connector.Error) {
	r := connector.Result{OriginID: i.OriginID, Err: err}
	if err == nil {
		r.RemoteID = i.id
	}
	w.results = append(w.results, r)
}

func (w *work) locator(i item) fieldValues {
	return fieldValues{fieldSource: w.s.set.Source, fieldExternalID: i.OriginID}
}

// change sends items to an endpoint. Each that was done or refused is handed on.
func (w *work) change(ctx context.Context, e endpoint, items []item, values func(item) fieldValues, ended func(item, *outcome)) error {
	if len(items) == 0 {
		return nil
	}
	all := make([]fieldValues, len(items))
	for at, i := range items {
		all[at] = values(i)
	}
	outcomes, err := w.s.change(ctx, e, all)
	for at, o := range outcomes {
		if o == nil {
			continue
		}
		i := items[at]
		if o.id != "" {
			i.id = o.id
		}
		ended(i, o)
	}
	return err
}

func (w *work) create(ctx context.Context) error {
	untold := false
	err := w.change(ctx, create, w.creates, func(i item) fieldValues {
		values := w.locator(i)
		values[fieldName] = i.Name
		return values
	}, func(i item, o *outcome) {
		switch {
		case o.err == nil && i.id == "":
			untold = true // it exists, and the next search knows its id
		case o.err == nil:
			w.done(i)
		default:
			// Bob may know its external id all the same: the search lags behind, or does not show archived skills.
			i.refused, i.revive = o.err, i.RemoteID != ""
			w.patches = append(w.patches, i)
		}
	})
	if err == nil && untold {
		return connector.Errorf(connector.Ambiguous, "Bob did not tell the ids of new skills")
	}
	return err
}

func (w *work) rename(ctx context.Context) error { return w.update(ctx, w.renames) }

// patch changes the skills that are archived, or may be. When it cannot be looked afterwards what has become of them, it does not.
func (w *work) patch(ctx context.Context) error {
	if slices.ContainsFunc(w.patches, func(i item) bool { return i.refused != nil || i.revive }) {
		if err := w.s.ready(searching); err != nil {
			return err
		}
	}
	return w.update(ctx, w.patches)
}

func (w *work) update(ctx context.Context, items []item) error {
	return w.change(ctx, update, items, func(i item) fieldValues {
		values := w.locator(i)
		values[fieldName] = i.Name
		if i.revive {
			values[fieldStatus] = active
		}
		return values
	}, func(i item, o *outcome) {
		switch {
		case o.err == nil && i.refused == nil && !i.revive:
			w.done(i)
		case o.err == nil:
			w.confirms = append(w.confirms, i)
		case i.refused != nil && o.missing:
			w.result(i, i.refused) // Bob does not know its external id, so another skill bears its name
		case i.revive && i.refused == nil:
			w.result(i, stillArchived(o.err.Message))
		default:
			w.result(i, o.err)
		}
	})
}

// confirm looks at the skills that were archived, or may have been, once more: that Bob takes a patch does not say that it
// brings a skill back.
func (w *work) confirm(ctx context.Context) error {
	if len(w.confirms) == 0 {
		return nil
	}
	skills := make([]connector.Skill, len(w.confirms))
	for at, i := range w.confirms {
		skills[at] = i.Skill
	}
	held, err := w.s.search(ctx, skills)
	if err != nil {
		// They have changed, and it is not known into what.
		e := connector.AsError(err)
		return &connector.Error{Kind: connector.Ambiguous, Message: e.Message, RetryAfter: e.RetryAfter, Err: e, Exchange: e.Exchange}
	}
	unclear := 0
	for _, i := range w.confirms {
		r, shown := held[i.OriginID]
		if shown {
			i.id = r.RemoteID
		}
		switch {
		case shown && r.Active && r.Name == i.Name, !shown && !i.revive && i.id != "":
			w.done(i)
		case shown && r.Active:
			unclear++
		default:
			w.result(i, stillArchived(""))
		}
	}
	if unclear > 0 {
		return connector.Errorf(connector.Ambiguous, "Bob took a change of %d skills, and shows them without it", unclear)
	}
	return nil
}

func stillArchived(words string) *connector.Error {
	text := "Bob keeps this skill as archived, and its API cannot bring it back; restore it in Bob, or send the skill under a new origin_id and name"
	if words != "" {
		text += " (" + words + ")"
	}
	return &connector.Error{Kind: connector.Unsupported, Message: text}
}

func (w *work) archive(ctx context.Context) error {
	return w.change(ctx, archive, w.archives, w.locator, func(i item, o *outcome) {
		_, shown := w.held[i.OriginID]
		switch {
		case o.err == nil:
		case o.missing, !shown && strings.Contains(strings.ToLower(o.err.Message), "archived"):
			// It is gone, or was archived before: either way there is nothing left to retire.
		default:
			w.result(i, o.err)
			return
		}
		if i.id == "" {
			i.id = i.RemoteID
		}
		w.done(i)
	})
}
