package moodle

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// pageSize is how many competencies are listed at once, if they fit into an answer.
const pageSize = 200

// catalogue is what a session knows of its framework. It is listed once; what the session changes is kept up in it. Others
// may write as well, so it says what to try first, and Moodle's answer what is true. session.mu guards it.
type catalogue struct {
	framework int64 // 0: not known
	// expected is how many competencies there were when the framework was looked up.
	expected int
	// listed is how many were listed, up to the id last; complete: those are all.
	listed   int
	last     int64
	complete bool
	// asked is how many skills were looked for.
	asked int

	byNumber map[string]competency
	// names are those that there are.
	names map[string]bool
	// doubted are ID numbers of which it is not known what became of them, so Moodle is asked.
	doubted map[string]bool
	// taken are the ids of those among them that a skill is about to take over.
	taken map[int64]bool
	// archive is the id of the competency that archived ones are under; -1: it is known that there is none.
	archive int64
}

func newCatalogue() *catalogue {
	return &catalogue{byNumber: map[string]competency{}, names: map[string]bool{}, doubted: map[string]bool{}, taken: map[int64]bool{}}
}

// keep notes a competency.
func (k *catalogue) keep(c competency) {
	c.Description = "" // it may be long, and says nothing that is needed again
	k.names[c.Name] = true
	switch c.Number {
	case "":
		return
	case archiveNumber:
		k.archive = c.ID
	}
	k.byNumber[c.Number] = c
}

// forget makes the session look everything up again: the framework was removed.
func (s *session) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known = newCatalogue()
}

// drop notes that a competency is gone.
func (s *session) drop(c competency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known.byNumber[c.Number].ID == c.ID {
		delete(s.known.byNumber, c.Number)
	}
}

// dropArchive makes the next call look for the competency that archived ones are under.
func (s *session) dropArchive() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.archive = 0
}

// keep notes a competency as Moodle has just told it.
func (s *session) keep(c competency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known.doubted, c.Number)
	s.known.keep(c)
}

func (s *session) doubt(number string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known.doubted[number] = true
}

// alone lets one call at a time prepare the catalogue; the others wait for what it finds out. The caller calls leave.
func (s *session) alone(ctx context.Context) (leave func(), err error) {
	select {
	case s.preparing <- struct{}{}:
		return func() { <-s.preparing }, nil
	case <-ctx.Done():
		return nil, &connector.Error{Kind: connector.Away, Message: "the call was given up before it was sent", Err: context.Cause(ctx)}
	}
}

// prepare finds the framework, and lists it when that takes fewer requests than to look for skills one by one, those that
// were looked for already included. It returns the framework's id; 0: there is none, and none was to be made.
func (s *session) prepare(ctx context.Context, skills int, create bool) (int64, error) {
	leave, err := s.alone(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	s.mu.Lock()
	k := s.known
	s.mu.Unlock()
	if k.framework == 0 {
		f, err := s.findFramework(ctx)
		if err == nil && f == nil && create {
			f, err = s.createFramework(ctx)
		}
		if err != nil || f == nil {
			return 0, err
		}
		s.mu.Lock()
		k.framework, k.expected = f.ID, f.Count
		s.mu.Unlock()
	}
	if skills == batch {
		skills *= concurrency // a full call is hardly the only one
	}
	s.mu.Lock()
	k.asked += skills
	pages := (k.expected-k.listed)/pageSize + 1
	list := !k.complete && pages <= k.asked
	s.mu.Unlock()
	for list {
		page, next, full, err := s.after(ctx, k.framework, k.listed, k.last)
		if err != nil {
			return 0, err
		}
		s.mu.Lock()
		k.take(page, next, !full)
		list = full
		s.mu.Unlock()
	}
	return k.framework, nil
}

// take adds a page. What the session itself has written since is newer.
func (k *catalogue) take(page []competency, next int, last bool) {
	for _, c := range page {
		if _, newer := k.byNumber[c.Number]; !newer {
			k.keep(c)
		}
		k.last = c.ID
	}
	k.listed, k.complete = next, last
	if last && k.archive == 0 {
		k.archive = -1
	}
}

// find returns the competency that holds a skill, and whether there is one. It asks Moodle if it must.
func (s *session) find(ctx context.Context, framework int64, sk connector.Skill) (competency, bool, error) {
	numbers := []string{short(sk.OriginID)}
	if plain(sk.OriginID) {
		numbers = []string{sk.OriginID, numbers[0]}
	}
	s.mu.Lock()
	complete := s.known.complete
	var held competency
	var known bool
	for _, n := range numbers {
		if c, ok := s.known.byNumber[n]; ok && !known {
			held, known = c, true
		}
		if s.known.doubted[n] {
			complete, known = false, false
			break
		}
	}
	s.mu.Unlock()
	if known || complete {
		return held, known, nil
	}
	for i, n := range numbers {
		c, alike, err := s.look(ctx, framework, n)
		if err != nil || c.ID != 0 {
			return c, c.ID != 0, err
		}
		// A second one is only there if Moodle took the first for another's.
		if i == 0 && !alike && sk.RemoteID == "" {
			break
		}
	}
	return competency{}, false, nil
}

// look asks Moodle for the competency of an ID number. The zero competency: there is none. Alike says that Moodle takes the
// number of another one for it.
func (s *session) look(ctx context.Context, framework int64, n string) (c competency, alike bool, err error) {
	found, err := s.query(ctx, framework, 0, 0, filter{"idnumber", n})
	if err != nil {
		return competency{}, false, err
	}
	at := slices.IndexFunc(found, func(c competency) bool { return c.Number == n })
	if at < 0 {
		s.mu.Lock()
		delete(s.known.doubted, n)
		delete(s.known.byNumber, n)
		s.mu.Unlock()
		return competency{}, len(found) > 0, nil
	}
	s.keep(found[at])
	return found[at], false, nil
}

// numbered asks Moodle for the competency of one of its own numbers, within the framework.
func (s *session) numbered(ctx context.Context, framework int64, remoteID string) (competency, bool, error) {
	if id, err := strconv.ParseInt(remoteID, 10, 64); err != nil || id <= 0 {
		return competency{}, false, nil //nolint:nilerr // no number of Moodle's
	}
	found, err := s.query(ctx, framework, 0, 0, filter{"id", remoteID})
	if err != nil || len(found) != 1 {
		return competency{}, false, err
	}
	return found[0], true, nil
}

// unclaimed returns the competencies of a name that belong to no skill: one without an ID number, of which a framework can have
// one, then those with an ID number that is no skill's. Unless it shall ask anyhow, it does not when the list had none.
func (s *session) unclaimed(ctx context.Context, framework int64, name string, ask bool) ([]competency, error) {
	s.mu.Lock()
	none := !ask && s.known.complete && !s.known.names[name]
	s.mu.Unlock()
	if none || strings.Contains(name, "<") { // which no look-up takes, and no name has
		return nil, nil
	}
	filters := []filter{{"shortname", name}}
	if s.knows == nil { // then every ID number may be a skill's
		filters = append(filters, filter{"idnumber", ""})
	}
	// Somebody may have given it another name or ID number since it was listed.
	found, err := s.query(ctx, framework, 0, 0, filters...)
	if err != nil {
		return nil, err
	}
	var free, numbered []competency
	var numbers []string
	s.mu.Lock()
	for _, c := range found {
		switch {
		case c.Name != name || strings.HasPrefix(c.Number, reserved) || s.sent[c.Number]:
		case c.Number == "":
			free = append(free, c)
		case s.knows != nil:
			numbered, numbers = append(numbered, c), append(numbers, c.Number)
		}
	}
	s.mu.Unlock()
	if len(numbers) == 0 {
		return free, nil
	}
	ours, err := s.knows(ctx, numbers)
	if err != nil {
		return nil, &connector.Error{Kind: connector.Away, Message: "it could not be looked up which competencies belong to skills", Err: err}
	}
	for i, c := range numbered {
		if !ours[i] {
			free = append(free, c)
		}
	}
	return free, nil
}

// send notes which ID numbers are about to be those of skills.
func (s *session) send(skills []connector.Skill) {
	if s.knows == nil || !slices.ContainsFunc(skills, func(sk connector.Skill) bool { return sk.Adopt }) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sk := range skills {
		s.sent[idNumber(sk.OriginID)] = true
	}
}

// claim takes one of some unclaimed competencies for a skill; false if others have them.
func (s *session) claim(free []competency) (competency, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range free {
		if !s.known.taken[c.ID] {
			s.known.taken[c.ID] = true
			return c, true
		}
	}
	return competency{}, false
}

// release gives up a claim that came to nothing.
func (s *session) release(c competency) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known.taken, c.ID)
}

// archive returns the id of the competency that archived ones are under; 0 if there is none. It makes it if it shall.
func (s *session) archive(ctx context.Context, framework int64, create bool) (int64, error) {
	leave, err := s.alone(ctx)
	if err != nil {
		return 0, err
	}
	defer leave()
	s.mu.Lock()
	id := s.known.archive
	s.mu.Unlock()
	if id == 0 {
		c, _, err := s.look(ctx, framework, archiveNumber)
		if err != nil {
			return 0, err
		}
		if id = c.ID; id == 0 {
			id = -1
		}
	}
	if id == -1 && create {
		c, x, err := s.create(ctx, framework, archiveName, archiveNumber, "")
		if x != nil {
			if e := s.general(x); e != nil {
				return 0, e
			}
			// Another process may have made it.
			c, _, err = s.look(ctx, framework, archiveNumber)
			if err == nil && c.ID == 0 {
				err = s.failure(x, "The competency that archived ones are put under cannot be made")
			}
		}
		if err != nil {
			return 0, err
		}
		s.keep(c)
		id = c.ID
	}
	s.mu.Lock()
	s.known.archive = id
	s.mu.Unlock()
	return max(0, id), nil
}
