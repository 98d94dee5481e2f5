package connectortest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// deliver writes skills of which the tool may refuse some. Like the engine it takes a refused batch apart.
func (s *subject) deliver(t *testing.T, session connector.Session, skills []connector.Skill) map[string]connector.Result {
	t.Helper()
	all := map[string]connector.Result{}
	for batch := range slices.Chunk(skills, session.Limits().Batch) {
		by, err := s.write(t.Context(), t, session, batch)
		maps.Copy(all, by)
		if err == nil {
			continue
		}
		rest := slices.DeleteFunc(slices.Clone(batch), func(sk connector.Skill) bool { _, ok := by[sk.OriginID]; return ok })
		switch {
		case err.Kind != connector.Refused:
			t.Fatal(err)
		case len(rest) == 1:
			all[rest[0].OriginID] = connector.Result{OriginID: rest[0].OriginID, Err: err}
		default:
			maps.Copy(all, s.deliver(t, session, rest[:len(rest)/2]))
			maps.Copy(all, s.deliver(t, session, rest[len(rest)/2:]))
		}
	}
	return all
}

// isRefused checks that the tool did not take a skill, and said why.
func isRefused(t *testing.T, r connector.Result, kind connector.Kind) {
	t.Helper()
	if r.Err == nil || r.Err.Kind != kind || r.Err.Message == "" {
		t.Errorf("%s: %+v, want the kind %s and a message", r.OriginID, r.Err, kind)
	}
}

func upsert(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("TypeScript", "Go")
	first := account.writeAll(t, s, list)
	account.holds(t, list)
	// With the ids that the tool gave.
	changed := skills("TypeScript", "Go", "Rust")
	changed[0].Name = "TypeScript 5"
	for i := range changed {
		changed[i].RemoteID = first[changed[i].OriginID].RemoteID
	}
	second := account.writeAll(t, s, changed)
	account.holds(t, changed)
	for _, sk := range list {
		if second[sk.OriginID].RemoteID != first[sk.OriginID].RemoteID {
			t.Errorf("%s was %s and is %s", sk.OriginID, first[sk.OriginID].RemoteID, second[sk.OriginID].RemoteID)
		}
	}
	// The same again changes nothing, and what was answered is what there is.
	again := account.writeAll(t, s, changed)
	account.holds(t, changed)
	held := account.byOrigin(t)
	for _, sk := range changed {
		account.isTrue(t, sk, second[sk.OriginID], held)
		account.isTrue(t, sk, again[sk.OriginID], held)
	}
}

func noTwins(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("a", "b", "c")
	first := account.writeAll(t, s, list)
	again := append(skills("d"), list...)
	again[1].Unsure = true
	again[2].Name = "b, renamed"
	second := account.writeAll(t, account.open(t), again)
	account.holds(t, again)
	for _, sk := range list {
		if first[sk.OriginID].RemoteID != second[sk.OriginID].RemoteID {
			t.Errorf("%s became another record", sk.OriginID)
		}
	}
}

func texts(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	var list []connector.Skill
	for i, name := range []string{
		"C++", "C#", ".NET", `quotes "'` + "`", "a, b; c", "<b>&amp;</b>", "línguas², “typographic” ’", "日本語", "\U0001f600", "100 %_",
		"back\\slash", "tab\tand\nline",
	} {
		list = append(list, connector.Skill{OriginID: fmt.Sprintf("http://data.europa.eu/esco/skill/%d:%s", i, strings.ToValidUTF8(name[:1], "x")), Name: name, Active: true})
	}
	// Ids that differ in case, in what stands around them, and beyond what a tool may keep.
	for i, id := range []string{"case", "CASE", "case ", "a/b?c=d&e#f", "ü", strings.Repeat("long/", 102) + "1", strings.Repeat("long/", 102) + "2"} {
		list = append(list, connector.Skill{OriginID: id, Name: fmt.Sprint("id ", i), Active: true})
	}
	if h.Refuses != nil {
		refused := slices.DeleteFunc(slices.Clone(list), func(sk connector.Skill) bool { return !h.Refuses(sk) })
		list = slices.DeleteFunc(list, h.Refuses)
		results := account.deliver(t, s, refused)
		for _, sk := range refused {
			isRefused(t, results[sk.OriginID], connector.Refused)
		}
	}
	account.writeAll(t, s, list)
	account.holds(t, list)
	account.writeAll(t, account.open(t), list)
	account.holds(t, list)
}

func deactivate(t *testing.T, h Harness) {
	d := h.Connector.Describe()
	account, s := h.account(t, Normal)
	list := skills("COBOL", "Go")
	ids := account.writeAll(t, s, list)
	for i := range list {
		list[i].RemoteID = ids[list[i].OriginID].RemoteID
	}
	retired := slices.Clone(list)
	retired[0].Active = false
	if !d.Can(connector.CanDeactivate) {
		isRefused(t, account.deliver(t, s, retired)[retired[0].OriginID], connector.Unsupported)
		account.holds(t, list)
		return
	}
	for range 2 { // once more changes nothing
		account.writeAll(t, s, retired)
		account.holds(t, retired)
	}
	if r, held := account.byOrigin(t)[retired[0].OriginID]; held == h.Deletes || held && r.RemoteID != list[0].RemoteID {
		t.Errorf("the retired skill was %s; the tool holds it: %v, %+v", list[0].RemoteID, held, r)
	}
	if d.Can(connector.CanReactivate) {
		account.writeAll(t, s, list)
		account.holds(t, list)
		return
	}
	isRefused(t, account.deliver(t, s, list)[list[0].OriginID], connector.Unsupported)
	account.holds(t, retired)
}

// refusedBySetting: what the description says of a setting is true, and so is what it says without one.
func refusedBySetting(t *testing.T, h Harness) {
	d := h.Connector.Describe()
	account, s := h.account(t, Normal)
	if yes, _ := d.Deactivates(account.Settings); yes != d.Can(connector.CanDeactivate) {
		t.Fatalf("the harness' own account deactivates: %v", yes)
	}
	list := skills("COBOL")
	ids := account.writeAll(t, s, list)
	at := slices.IndexFunc(d.Settings, func(f connector.Field) bool { return f.RefusesInactive != "" })
	if at < 0 {
		h.skip(t, "no setting has inactive skills refused")
	}
	var set map[string]any
	if err := json.Unmarshal(account.Settings, &set); err != nil {
		t.Fatal(err)
	}
	own := account.Settings
	for _, value := range append(slices.Clone(d.Settings[at].Choices), "") {
		if set[d.Settings[at].Name] = value; value == "" { // the default
			delete(set, d.Settings[at].Name)
		}
		changed, err := json.Marshal(set)
		if err != nil {
			t.Fatal(err)
		}
		account.Settings = changed
		retires, refusing := d.Deactivates(changed)
		if retires == (refusing.Name != "") {
			t.Errorf("%q: retires %v, refused by %q", value, retires, refusing.Name)
		}
		retired := slices.Clone(list)
		retired[0].Active, retired[0].RemoteID = false, ids[list[0].OriginID].RemoteID
		r := account.deliver(t, account.open(t), retired)[list[0].OriginID]
		if retires {
			account.isTrue(t, retired[0], r, account.byOrigin(t))
			account.Settings = own
			ids = account.writeAll(t, account.open(t), list)
		} else {
			kind := connector.Unsupported
			if r.Err != nil && r.Err.Kind == connector.Refused {
				kind = connector.Refused
			}
			isRefused(t, r, kind)
			account.holds(t, list)
		}
	}
}

// A skill may come as inactive without ever having been active.
func inactiveFromTheStart(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("Go", "COBOL")
	list[1].Active = false
	for range 2 {
		results := account.deliver(t, s, list)
		if h.Connector.Describe().Can(connector.CanDeactivate) {
			account.isTrue(t, list[1], results[list[1].OriginID], account.byOrigin(t))
		} else {
			isRefused(t, results[list[1].OriginID], connector.Unsupported)
		}
		account.holds(t, list)
	}
}

func fullBatch(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	var names []string
	for i := range s.Limits().Batch {
		names = append(names, fmt.Sprint("skill ", i))
	}
	list := skills(names...)
	account.writeAll(t, s, list)
	account.holds(t, list)
}

func atOnce(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	var all []connector.Skill
	var group sync.WaitGroup
	for i := range s.Limits().Concurrency {
		list := skills(fmt.Sprint("a", i), fmt.Sprint("b", i))
		all = append(all, list...)
		group.Go(func() {
			for batch := range slices.Chunk(list, s.Limits().Batch) {
				if by, err := account.write(t.Context(), t, s, batch); err != nil {
					t.Errorf("Write = %v, %v", by, err)
				}
			}
		})
	}
	group.Wait()
	account.holds(t, all)
}

// The tool takes both or refuses one; either way each has what was said of it, again and again.
func sameName(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	list := skills("one", "other", "third")
	list[0].Name, list[1].Name = "Welding", "Welding"
	var taken []connector.Skill
	for round := range 2 {
		results := account.deliver(t, s, list)
		held := account.byOrigin(t)
		var now []connector.Skill
		for _, sk := range list {
			if r := results[sk.OriginID]; r.Err == nil {
				account.isTrue(t, sk, r, held)
				now = append(now, sk)
			} else {
				isRefused(t, r, connector.Refused)
			}
		}
		if round == 0 {
			taken = now
		}
		account.holds(t, taken)
		if len(now) != len(taken) || len(now) < 2 {
			t.Errorf("of %d skills the tool has taken %d, then %d", len(list), len(taken), len(now))
		}
	}
}

// What people made in the tool stays theirs, unless the integration says otherwise.
func takenName(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	if account.MakeByHand == nil {
		h.skip(t, "nobody makes skills by hand")
	}
	id := account.MakeByHand(t, "Welding")
	list := skills("Welding", "Go")
	results := account.deliver(t, s, list)
	account.isTrue(t, list[1], results[list[1].OriginID], account.byOrigin(t))
	if r := results[list[0].OriginID]; r.Err != nil {
		isRefused(t, r, connector.Refused)
	} else {
		account.isTrue(t, list[0], r, account.byOrigin(t))
	}
	at := slices.IndexFunc(account.Records(t), func(r connector.Record) bool { return r.RemoteID == id })
	if at < 0 {
		t.Fatal("the skill that was made by hand is gone")
	}
	if r := account.Records(t)[at]; r.Name != "Welding" || r.OriginID != "" || !r.Active {
		t.Errorf("the skill that was made by hand became %+v", r)
	}
}

func adopt(t *testing.T, h Harness) {
	h.need(t, connector.CanAdopt)
	account, s := h.account(t, Normal)
	if account.MakeByHand == nil {
		t.Fatal("the connector adopts skills, and the account cannot have any")
	}
	id := account.MakeByHand(t, "Welding")
	if lister, ok := account.open(t).(connector.Lister); ok {
		page, err := lister.List(t.Context(), "")
		if err != nil || slices.ContainsFunc(page.Records, func(r connector.Record) bool { return r.RemoteID == id && r.Apart }) {
			t.Errorf("the list says that nothing takes Welding over, or %v: %+v", err, page.Records)
		}
	}
	list := skills("Welding", "Go")
	for i := range list {
		list[i].Adopt = true
	}
	for range 2 {
		results := account.writeAll(t, account.open(t), list)
		if got := results[list[0].OriginID].RemoteID; got != id {
			t.Errorf("Welding was made as %s by hand, and is %s", id, got)
		}
		account.holds(t, list)
		if n := len(account.Records(t)); n != len(list) {
			t.Errorf("the tool holds %d skills, want %d", n, len(list))
		}
	}
	// What belongs to a skill already is not taken from it.
	thief := connector.Skill{OriginID: "id/thief", Name: "Welding", Active: true, Adopt: true}
	if r := account.deliver(t, s, []connector.Skill{thief})[thief.OriginID]; r.Err == nil {
		list = append(list, thief)
	} else {
		isRefused(t, r, connector.Refused)
	}
	account.holds(t, list)
	// One record is adopted once.
	account.MakeByHand(t, "Brewing")
	both := skills("one", "other")
	for i := range both {
		both[i].Name, both[i].Adopt = "Brewing", true
	}
	results := account.deliver(t, s, both)
	for _, sk := range both {
		if r := results[sk.OriginID]; r.Err == nil {
			account.isTrue(t, sk, r, account.byOrigin(t))
		}
	}
	if a, b := results[both[0].OriginID], results[both[1].OriginID]; a.Err == nil && b.Err == nil && a.RemoteID == b.RemoteID {
		t.Errorf("two skills have one record, %s", a.RemoteID)
	}
}

// takenByID: what people made in the tool is renamed and retired by its remote id. It changes that very record, or is refused
// in words; it never makes a second one, and never says that a record is retired which is not.
func takenByID(t *testing.T, h Harness) {
	can := h.Connector.Describe().Can(connector.CanTake)
	account, ok := h.make(t, Normal)
	if !ok || account.MakeByHand == nil {
		if can {
			t.Fatal("the connector changes skills that people made, and the account cannot have any")
		}
		h.skip(t, "nobody makes skills by hand")
	}
	renamed := connector.Skill{OriginID: "id/own", Name: "Welding and soldering", Active: true}
	retired, kept := renamed, renamed
	retired.Active, kept.Name = false, "Welding"
	for _, c := range []struct {
		name  string
		wants []connector.Skill // one after another
	}{
		{"renamed", []connector.Skill{renamed, renamed, retired}},
		{"retired", []connector.Skill{retired, retired}},
		{"kept as it is, then renamed", []connector.Skill{kept, renamed}},
	} {
		account, s := h.account(t, Normal)
		id := account.MakeByHand(t, "Welding")
		before := account.Records(t)
		for i, sk := range c.wants {
			// Not known to have been written until it was; and perhaps nobody heard of it.
			sk.RemoteID, sk.Taken, sk.Unsure = id, i < 2, i == 1
			if !can && !sk.Taken {
				break // it is none of ours, and never was
			}
			r := account.deliver(t, s, []connector.Skill{sk})[sk.OriginID]
			records := account.Records(t)
			if !can {
				isRefused(t, r, connector.Unsupported)
				if diff := cmp.Diff(before, records); diff != "" {
					t.Errorf("%s: it was refused, and changed (-before +after):\n%s", c.name, diff)
				}
				continue
			}
			switch {
			case r.Err != nil:
				t.Errorf("%s, step %d: %v", c.name, i, r.Err)
			case len(records) != 1 && (sk.Active || !h.Deletes || len(records) > 0):
				t.Errorf("%s, step %d: one record became %+v", c.name, i, records)
			case len(records) == 1 && (records[0].RemoteID != id || r.RemoteID != id || records[0].OriginID != sk.OriginID ||
				records[0].Active != sk.Active || sk.Active && records[0].Name != sk.Name):
				t.Errorf("%s, step %d: Write said %+v, and the tool holds %+v", c.name, i, r, records[0])
			}
		}
	}
	// What belongs to another skill is not taken from it.
	account, s := h.account(t, Normal)
	list := skills("Brewing")
	thief := connector.Skill{OriginID: "id/thief", RemoteID: account.writeAll(t, s, list)[list[0].OriginID].RemoteID, Name: "Stealing", Active: true, Taken: true}
	isRefused(t, account.deliver(t, account.open(t), []connector.Skill{thief})[thief.OriginID], connector.Unsupported)
	account.holds(t, list)
}

func refusedOne(t *testing.T, h Harness) {
	account, s := h.account(t, RefusesOne)
	list := skills("a", RefusedName, "c")
	by := account.deliver(t, s, list)
	isRefused(t, by[list[1].OriginID], connector.Refused)
	for _, i := range []int{0, 2} {
		if r := by[list[i].OriginID]; r.Err != nil {
			t.Errorf("%s: %v", r.OriginID, r.Err)
		}
	}
	account.holds(t, []connector.Skill{list[0], list[2]})
}

// failingAs: a call fails as a whole, nothing is written, and once the situation is over all goes well.
func failingAs(situation Situation, kind connector.Kind) func(*testing.T, Harness) {
	return func(t *testing.T, h Harness) {
		account, s := h.account(t, situation)
		list := skills("a", RefusedName, "c")
		by, err := account.write(t.Context(), t, s, list[:min(len(list), s.Limits().Batch)])
		if err == nil || err.Kind != kind || len(by) != 0 {
			t.Fatalf("Write = %v, %v, want the kind %s", by, err, kind)
		}
		if (err.RetryAfter > 0) != (situation == Throttling) && kind == connector.Throttled {
			t.Errorf("retry after %v", err.RetryAfter)
		}
		account.tellsNoSecret(t, err)
		account.holds(t, nil)
		account.writeAll(t, account.relax(t), list)
		account.holds(t, list)
	}
}

func lostAnswer(t *testing.T, h Harness) {
	account, s := h.account(t, LosesAnswer)
	list := skills("a", "b")
	by, err := account.write(t.Context(), t, s, list[:min(len(list), s.Limits().Batch)])
	if err == nil || len(by) != 0 || err.Kind != connector.Ambiguous {
		t.Fatalf("Write = %v, %v, want the kind %s", by, err, connector.Ambiguous)
	}
	for i := range list {
		list[i].Unsure = true
	}
	account.writeAll(t, account.relax(t), list)
	account.holds(t, list)
}

// soon is how long a connector may take to return once its context has ended.
const soon = 2 * time.Second

func noAnswer(t *testing.T, h Harness) {
	account, s := h.account(t, Hangs)
	most := 50 * time.Millisecond
	if h.HTTP { // then time is simulated, and a connector may space its requests
		most = time.Minute
	}
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	returned := make(chan *connector.Error, 1)
	go func() {
		_, err := account.write(ctx, t, s, skills("a"))
		returned <- err
	}()
	<-ctx.Done()
	select {
	case err := <-returned:
		if err == nil || err.Kind != connector.Ambiguous {
			t.Errorf("Write = %v", err)
		}
	case <-time.After(soon):
		t.Errorf("Write did not return within %v after its context ended", soon)
	}
}

func endedContext(t *testing.T, h Harness) {
	account, s := h.account(t, Normal)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	results, err := s.Write(ctx, skills("a"))
	if err == nil || len(results) != 0 {
		t.Errorf("Write = %v, %v", results, err)
	}
	if e, ok := errors.AsType[*connector.Error](err); ok && e.Kind != connector.Away && e.Kind != connector.Ambiguous {
		t.Errorf("kind = %s", e.Kind)
	}
	account.holds(t, nil)
}
