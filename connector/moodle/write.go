package moodle

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// Write implements connector.Session. The skills change one after another, and the first error ends the call: of those behind it
// nothing was sent.
func (s *session) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	if len(skills) > batch {
		return nil, connector.Errorf(connector.Refused, "A call may hold at most %d skills, this one holds %d", batch, len(skills))
	}
	results := make([]connector.Result, 0, len(skills))
	var rest []connector.Skill
	for _, sk := range skills {
		if e := s.impossible(sk); e != nil {
			results = append(results, connector.Result{OriginID: sk.OriginID, Err: e})
		} else {
			rest = append(rest, sk)
		}
	}
	if len(rest) == 0 {
		return results, nil
	}
	framework, err := s.prepare(ctx, len(rest), true)
	if err != nil {
		return results, err
	}
	s.send(skills)
	for _, sk := range rest {
		w := &work{Skill: sk, s: s, framework: framework, number: idNumber(sk.OriginID)}
		r, err := w.do(ctx)
		if err != nil {
			e := connector.AsError(err)
			if e.Kind == connector.Ambiguous {
				s.doubt(w.number)
			}
			if e.Kind != connector.Refused {
				return results, err
			}
			r.Err = e // a proxy's word, and there was one skill in the question
		}
		r.OriginID = sk.OriginID
		results = append(results, r)
	}
	return results, nil
}

// impossible says why Moodle cannot hold a skill. It would take a blank name, and of a long one it only says that its
// database cannot be written.
func (s *session) impossible(sk connector.Skill) *connector.Error {
	switch n := utf8.RuneCountInString(sk.Name); {
	case !sk.Active && s.set.Inactive == refuse:
		return connector.Errorf(connector.Unsupported, "Moodle cannot deactivate a competency. With the setting inactive=%s of the integration "+
			"it is moved under the competency %q; or remove it in Moodle", archive, archiveName)
	case !sk.Active: // the name does not matter
		return nil
	case n > mostText:
		return connector.Errorf(connector.Refused, "The name has %d characters, and Moodle keeps at most %d", n, mostText)
	case strings.TrimSpace(sk.Name) == "":
		return connector.Errorf(connector.Refused, "The name is blank")
	default:
		return nil
	}
}

// work is one skill of a call. Its methods return a result where the end is known, and an error that is about more than the
// skill where it is not.
type work struct {
	connector.Skill
	s         *session
	framework int64
	// number is the ID number that the competency has, or is to get.
	number string
	// surprises is how often Moodle held something else than the session knew.
	surprises int
	// rewritten: a change that the database would not write was tried again.
	rewritten bool
}

const mostSurprises = 3

func done(c competency) (connector.Result, error) {
	return connector.Result{RemoteID: remoteID(c)}, nil
}

func (w *work) do(ctx context.Context) (connector.Result, error) {
	c, held, err := w.s.find(ctx, w.framework, w.Skill)
	if err != nil {
		return connector.Result{}, err
	}
	if held {
		w.number = c.Number
	}
	switch {
	case w.Taken && !held:
		return w.take(ctx)
	case !w.Active && !held:
		return connector.Result{}, nil // there is nothing to retire
	case !w.Active:
		return w.retire(ctx, c)
	case held:
		return w.settle(ctx, c)
	case w.Adopt:
		return w.adopt(ctx)
	default:
		return w.create(ctx)
	}
}

// adopt takes over a competency of the same name that belongs to no skill, or makes one.
func (w *work) adopt(ctx context.Context) (connector.Result, error) {
	free, err := w.s.unclaimed(ctx, w.framework, w.Name, false)
	if err != nil {
		return connector.Result{}, err
	}
	c, ok := w.s.claim(free)
	if !ok {
		return w.create(ctx)
	}
	r, err := w.settle(ctx, c)
	if err != nil || r.RemoteID != remoteID(c) {
		w.s.release(c)
	}
	return r, err
}

// take goes on with a competency that people made, which Moodle's own number tells: it gets the ID number of the skill. That
// number is trusted only here, as the list has just told it, and only within the framework.
func (w *work) take(ctx context.Context) (connector.Result, error) {
	c, there, err := w.s.numbered(ctx, w.framework, w.RemoteID)
	switch {
	case err != nil:
		return connector.Result{}, err
	case !there && w.Active:
		return w.create(ctx) // somebody has removed it
	case !there:
		return connector.Result{}, nil
	case c.Number != "":
		return connector.Result{Err: connector.Errorf(connector.Unsupported, "The competency %s has the ID number %q in Moodle, so it belongs to another skill; "+
			"change that one, or the competency in Moodle", w.RemoteID, c.Number)}, nil
	}
	if _, free := w.s.claim([]competency{c}); !free {
		return connector.Result{Err: connector.Errorf(connector.Unsupported, "Another skill takes the competency %s over at this moment", w.RemoteID)}, nil
	}
	r, err := w.settleTaken(ctx, c)
	if err != nil || r.RemoteID != remoteID(c) {
		w.s.release(c)
	}
	return r, err
}

// settleTaken makes a competency what the skill is. One that is retired gets its ID number first, and keeps its name.
func (w *work) settleTaken(ctx context.Context, c competency) (connector.Result, error) {
	if w.Active {
		return w.settle(ctx, c)
	}
	w.Name = c.Name
	x, err := w.s.update(ctx, c, w.Skill, w.number)
	switch {
	case err != nil:
		return connector.Result{}, err
	case x != nil:
		if e := w.s.general(x); e != nil {
			return connector.Result{}, e
		}
		return w.refused(x), nil
	}
	c.Number = w.number
	w.s.keep(c)
	return w.retire(ctx, c)
}

func (w *work) create(ctx context.Context) (connector.Result, error) {
	c, x, err := w.s.create(ctx, w.framework, w.Name, w.number, description(w.OriginID, w.number))
	switch {
	case err != nil:
		return connector.Result{}, err
	case x == nil:
		w.s.keep(c)
		return done(c)
	case x.missing() && !x.missingFunction():
		w.s.forget()
		return connector.Result{}, connector.Errorf(connector.Away, "The competency framework %q is gone", w.s.set.Framework)
	default:
		return w.again(ctx, competency{}, x)
	}
}

// settle makes a competency what the skill is.
func (w *work) settle(ctx context.Context, c competency) (connector.Result, error) {
	under, err := w.s.archivedUnder(ctx, w.framework, c)
	if err != nil {
		return connector.Result{}, err
	}
	renamed := c.Name != w.Name || c.Number != w.number
	if renamed {
		x, err := w.s.update(ctx, c, w.Skill, w.number)
		switch {
		case err != nil:
			if c.Number != w.number {
				w.s.doubt(c.Number)
			}
			return connector.Result{}, err
		case x != nil:
			return w.again(ctx, c, x)
		}
		if c.Number != w.number {
			w.s.drop(c)
		}
		c.Name, c.Number = w.Name, w.number
		w.s.keep(c)
	}
	if c.under(under) {
		x, err := w.s.move(ctx, c.ID, 0)
		if err == nil && x != nil {
			e := w.s.general(x)
			if e == nil && !renamed {
				return w.again(ctx, c, x)
			}
			if e == nil {
				e = w.refused(x).Err
			}
			err = e
		}
		if err != nil && renamed {
			err = unclear(err) // half of it was done
		}
		if err != nil {
			return connector.Result{}, err
		}
		c.Parent, c.Path = 0, "/0/"
		w.s.keep(c)
	}
	return done(c)
}

// again asks what Moodle holds after it refused to make or to change a competency, and goes on from there. C is what it was
// thought to hold, the zero competency if nothing.
func (w *work) again(ctx context.Context, c competency, x *exception) (connector.Result, error) {
	if e := w.s.general(x); e != nil {
		return connector.Result{}, e
	}
	now, alike, err := w.s.look(ctx, w.framework, w.number)
	if err != nil {
		return connector.Result{}, unclear(err)
	}
	if w.surprises++; w.surprises > mostSurprises {
		return w.refused(x), nil
	}
	switch {
	case now.ID != 0 && (now.ID != c.ID || now.Name != c.Name || now.Path != c.Path):
		return w.settle(ctx, now)
	case x.database():
		return connector.Result{}, w.s.failure(x, "The competency cannot be written")
	case now.ID == 0 && alike && w.number == w.OriginID: // Moodle's database takes the ID number for another's
		w.number = short(w.OriginID)
	case w.deadlock(x):
		if now.ID != 0 {
			return w.settle(ctx, now)
		}
	case now.ID != 0:
		return w.refused(x), nil
	case x.missing() && c.ID != 0: // somebody has removed it
		w.s.drop(c)
		return w.create(ctx)
	default:
		return w.refused(x), nil
	}
	if c.ID != 0 {
		return w.settle(ctx, c)
	}
	return w.create(ctx)
}

// deadlock reports, once, whether the database may not have written a change because of another one at the same time. Moodle has
// the same word for that and for a text that does not fit.
func (w *work) deadlock(x *exception) bool {
	if x.Code != "dmlwriteexception" || w.rewritten {
		return false
	}
	w.rewritten = true
	return true
}

// refused is the result when Moodle did not take the skill.
func (w *work) refused(x *exception) connector.Result {
	words, kind := strings.TrimSuffix(w.s.api.Words(x.words()), "."), connector.Unexpected
	switch x.Code {
	case "invalidparameter":
		kind = connector.Refused
		if strings.Contains(w.Name, "<") {
			words += ". Moodle takes no markup in a name, and a \"<\" for its beginning unless a blank follows"
		}
	case "invalidpersistenterror", "dmlwriteexception":
		kind = connector.Refused
	}
	return connector.Result{Err: x.error(kind, words)}
}

// retire moves a competency under the one for archived ones.
func (w *work) retire(ctx context.Context, c competency) (connector.Result, error) {
	under, err := w.s.archive(ctx, w.framework, true)
	if err != nil {
		return connector.Result{}, err
	}
	if c.under(under) {
		return done(c)
	}
	x, err := w.s.move(ctx, c.ID, under)
	if err != nil {
		return connector.Result{}, err
	}
	if x == nil {
		c.Parent, c.Path = under, "/0/"+number(under)+"/"
		w.s.keep(c)
		return done(c)
	}
	if e := w.s.general(x); e != nil {
		return connector.Result{}, e
	}
	// It may be gone, be there already, or the other one may be gone.
	now, _, err := w.s.look(ctx, w.framework, w.number)
	switch {
	case err != nil:
		return connector.Result{}, unclear(err)
	case now.ID == 0:
		w.s.drop(c)
		return connector.Result{}, nil
	case now.under(under):
		return done(now)
	case x.database():
		return connector.Result{}, w.s.failure(x, "The competency cannot be moved")
	case w.deadlock(x):
		return w.retire(ctx, now)
	}
	if w.surprises++; w.surprises > mostSurprises || !x.missing() && now.ID == c.ID && now.Path == c.Path {
		return w.refused(x), nil
	}
	w.s.dropArchive()
	return w.retire(ctx, now)
}

// unclear is the error of a request that should have told what became of a skill.
func unclear(err error) *connector.Error {
	e := connector.AsError(err)
	return &connector.Error{Kind: connector.Ambiguous, Message: e.Message, RetryAfter: e.RetryAfter, Err: e, Exchange: e.Exchange}
}
