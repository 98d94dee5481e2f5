package workday

import (
	"context"
	"slices"
	"sync"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// lookUps is how often all skills of a call are asked for at once, when questions are refused for skills that are not
// there.
const lookUps = 2

// lookUp returns the skills that Workday shows, by origin id, and those of which it could not be asked.
func (s *session) lookUp(ctx context.Context, ids []string) (found map[string]held, unknown map[string]bool, err error) {
	found, unknown = map[string]held{}, map[string]bool{}
	for range lookUps {
		if len(ids) == 0 {
			return found, unknown, nil
		}
		got, err := s.call(ctx, nil, s.question(ids, &filter{Page: 1, Count: len(ids)}), false)
		if err != nil {
			return nil, nil, err
		}
		if got.refused == nil {
			for _, sk := range got.skills.Data.Skills {
				if h := sk.held(s.set.ReferenceType); slices.Contains(ids, h.OriginID) {
					found[h.OriginID] = h
				}
			}
			return found, unknown, nil
		}
		none := got.refused.unknown(ids)
		if len(none) == 0 {
			break
		}
		ids = slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return none[id] })
	}
	for _, id := range ids {
		unknown[id] = true
	}
	return found, unknown, nil
}

// lookUpOne asks for one skill. A refusal says that it is not there; if it was for something else, it will come again with
// the skill.
func (s *session) lookUpOne(ctx context.Context, over <-chan struct{}, originID string) (held, bool, error) {
	got, err := s.call(ctx, over, s.question([]string{originID}, &filter{Page: 1, Count: 1}), false)
	if err != nil || got.refused != nil {
		return held{}, false, err
	}
	for _, sk := range got.skills.Data.Skills {
		if h := sk.held(s.set.ReferenceType); h.OriginID == originID {
			return h, true, nil
		}
	}
	return held{}, false, nil
}

// Write implements connector.Session.
func (s *session) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	if len(skills) > batch {
		return nil, connector.Errorf(connector.Refused, "A call may hold at most %d skills, this one holds %d", batch, len(skills))
	}
	w := &work{s: s, over: make(chan struct{})}
	var ids []string
	var good []connector.Skill
	for _, sk := range skills {
		if !carried(sk.OriginID) || !carried(sk.Name) {
			w.result(sk, "", connector.Errorf(connector.Refused, "The name or the origin_id holds a control character, which Workday's XML cannot carry"))
			continue
		}
		good = append(good, sk)
		ids = append(ids, sk.OriginID)
	}
	found, unknown, err := s.lookUp(ctx, ids)
	if err != nil {
		return w.results, err
	}
	items := make(chan item, len(good))
	for _, sk := range good {
		h, shown := found[sk.OriginID]
		items <- item{Skill: sk, held: h, shown: shown, unknown: unknown[sk.OriginID]}
	}
	close(items)
	var group sync.WaitGroup
	for range atOnce {
		group.Go(func() {
			for i := range items {
				if err := w.write(ctx, i); err != nil {
					w.fail(connector.AsError(err))
					return
				}
			}
		})
	}
	group.Wait()
	if w.err != nil {
		return w.results, w.err
	}
	return w.results, nil
}

// work is one call. Each skill changes in one request at most, so one without a result is as it was unless the error is
// Ambiguous.
type work struct {
	s    *session
	over chan struct{} // closed when a request has failed: none that has not left yet leaves

	mu      sync.Mutex
	results []connector.Result
	err     *connector.Error
}

// item is a skill on its way.
type item struct {
	connector.Skill
	held    held
	shown   bool // held is what Workday holds
	unknown bool // Workday could not be asked
}

func (w *work) result(sk connector.Skill, remoteID string, err *connector.Error) {
	r := connector.Result{OriginID: sk.OriginID, Err: err}
	if err == nil {
		r.RemoteID = remoteID
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.results = append(w.results, r)
}

// fail ends the call: requests that are under way end as they do, no others leave. Of several errors the first is told, but
// one that leaves open what became of a skill comes before all others.
func (w *work) fail(err *connector.Error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		close(w.over)
	}
	if w.err == nil || err.Kind == connector.Ambiguous && w.err.Kind != connector.Ambiguous {
		w.err = err
	}
}

// write does what must be done for a skill, and notes what became of it. An error ends the call.
func (w *work) write(ctx context.Context, i item) error {
	if i.unknown && (!i.Active || i.RemoteID != "" || i.Unsure) {
		var err error
		if i.held, i.shown, err = w.s.lookUpOne(ctx, w.over, i.OriginID); err != nil {
			return err
		}
	}
	switch {
	case i.Taken && !i.shown:
		w.result(i.Skill, "", connector.Errorf(connector.Unsupported, "This skill was made in Workday and has no %s, by which this integration knows skills; "+
			"change it in Workday, or give it one there", w.s.set.ReferenceType))
		return nil
	case !i.Active && !i.shown && i.RemoteID == "" && !i.Unsure:
		w.result(i.Skill, "", nil) // there is nothing to retire
		return nil
	case i.shown && i.held.Active == i.Active && (!i.Active || i.held.Name == i.Name && w.s.isIn(i.held.category)):
		w.result(i.Skill, i.held.RemoteID, nil)
		return nil
	case !i.Active:
		return w.retire(ctx, i)
	case i.shown:
		refused, err := w.change(ctx, i, i.Name)
		if refused != nil {
			w.result(i.Skill, "", refused.err)
		}
		return err
	default:
		return w.create(ctx, i)
	}
}

// isIn reports whether a skill of that category is in the one it should be in.
func (s *session) isIn(category *reference) bool {
	return s.set.CategoryID == "" || category != nil && slices.Contains(category.IDs, id{s.set.CategoryType, s.set.CategoryID})
}

// create adds a skill. Workday may know its id all the same: it need not show inactive skills, and could perhaps not be
// asked.
func (w *work) create(ctx context.Context, i item) error {
	refused, err := w.put(ctx, i, &putSkill{AddOnly: true, Version: w.s.set.Version, Data: w.s.data(i.OriginID, i.Name, true, held{})})
	if err != nil || refused == nil {
		return err
	}
	again, err := w.change(ctx, i, i.Name)
	switch {
	case err != nil || again == nil:
		return err
	case again.unknown([]string{i.OriginID})[i.OriginID]:
		w.result(i.Skill, "", refused.err) // so it was the skill that Workday does not take
	default:
		w.result(i.Skill, "", again.err)
	}
	return nil
}

// change sends a skill with a reference to what Workday holds.
func (w *work) change(ctx context.Context, i item, name string) (*refusal, error) {
	return w.put(ctx, i, &putSkill{
		Version: w.s.set.Version, Reference: w.s.reference(i.OriginID), Data: w.s.data(i.OriginID, name, i.Active, i.held),
	})
}

// retire makes a skill inactive. It keeps its name.
func (w *work) retire(ctx context.Context, i item) error {
	name := i.Name
	if i.shown {
		name = i.held.Name
	}
	refused, err := w.change(ctx, i, name)
	switch {
	case err != nil || refused == nil:
		return err
	case !i.shown && refused.unknown([]string{i.OriginID})[i.OriginID]:
		w.result(i.Skill, i.RemoteID, nil) // it is gone
	default:
		w.result(i.Skill, "", refused.err)
	}
	return nil
}

// put sends a skill, and notes its result unless it was refused.
func (w *work) put(ctx context.Context, i item, request *putSkill) (*refusal, error) {
	got, err := w.s.call(ctx, w.over, request, true)
	if err != nil || got.refused != nil {
		return got.refused, err
	}
	is := got.put.held(w.s.set.ReferenceType)
	switch remote := first(i.held.RemoteID, is.RemoteID); {
	case remote == "":
		return nil, connector.Errorf(connector.Ambiguous, "Workday did not tell the id of a skill")
	case is.OriginID != "" && is.OriginID != i.OriginID:
		w.result(i.Skill, "", connector.Errorf(connector.Unsupported, "Workday keeps this skill under the id %q instead of its origin_id; it must be one that Workday keeps as it is", is.OriginID))
	case i.Active && !is.Active:
		w.result(i.Skill, "", connector.Errorf(connector.Unsupported, "Workday keeps this skill as inactive; activate it there, or send it under a new origin_id"))
	default:
		w.result(i.Skill, remote, nil)
	}
	return nil, nil
}
