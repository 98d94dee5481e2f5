package connectortest

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
)

// refusals tries a reading call in the situations in which it must fail.
func refusals(t *testing.T, h Harness, call func(context.Context, connector.Session) error, situations map[Situation]connector.Kind) {
	t.Helper()
	for situation, kind := range situations {
		account, s := h.account(t, situation)
		err := connector.AsError(call(t.Context(), s))
		if err == nil || err.Kind != kind {
			t.Errorf("when the tool %s: %v, want the kind %s", situation, err, kind)
			continue
		}
		account.tellsNoSecret(t, err)
	}
}

func check(t *testing.T, h Harness) {
	h.need(t, connector.CanCheck)
	account, s := h.account(t, Normal)
	account.writeAll(t, s, skills("a"))
	before := account.Records(t)
	if err := s.(connector.Checker).Check(t.Context()); err != nil {
		t.Errorf("a good account: %v", err)
	}
	if diff := cmp.Diff(before, account.Records(t)); diff != "" {
		t.Errorf("Check changed something (-before +after):\n%s", diff)
	}
	refusals(t, h, func(ctx context.Context, s connector.Session) error { return s.(connector.Checker).Check(ctx) }, map[Situation]connector.Kind{
		Credentials: connector.Credentials, Permission: connector.Permission, Away: connector.Away,
	})
}

// listed is more skills than fit into a page of any tool.
const listed = 1200

func list(t *testing.T, h Harness) {
	h.need(t, connector.CanList)
	account, s := h.account(t, Normal)
	if page, err := s.(connector.Lister).List(t.Context(), ""); err != nil || len(page.Records) != 0 || page.Next != "" {
		t.Errorf("the list of an empty tool: %+v, %v", page, err)
	}
	names := make([]string, listed)
	for i := range names {
		names[i] = fmt.Sprint("skill ", i)
	}
	all := skills(names...)
	account.writeAll(t, s, all)
	if h.Connector.Describe().Can(connector.CanDeactivate) {
		all[5].Active = false
		account.writeAll(t, s, all[5:6])
	}
	if account.MakeByHand != nil {
		account.MakeByHand(t, "made by hand")
	}
	// Every page by another session.
	var got []connector.Record
	for cursor, pages := "", 0; ; pages++ {
		page, err := account.open(t).(connector.Lister).List(t.Context(), cursor)
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Records) > 10_000 || pages > listed {
			t.Fatalf("page %d of %d records", pages, len(page.Records))
		}
		got = append(got, page.Records...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	// Retired skills may be missing, and those made by hand.
	shown := map[string]bool{}
	for i := range got {
		shown[got[i].RemoteID] = true
		got[i].UpdatedAt, got[i].Apart = time.Time{}, false
	}
	want := slices.DeleteFunc(account.Records(t), func(r connector.Record) bool {
		return !shown[r.RemoteID] && (!r.Active || r.OriginID == "")
	})
	for i := range want {
		want[i].UpdatedAt = time.Time{}
	}
	sortRecords(want)
	sortRecords(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the list (-want +got):\n%s", diff)
	}
	refusals(t, h, func(ctx context.Context, s connector.Session) error {
		_, err := s.(connector.Lister).List(ctx, "")
		return err
	}, map[Situation]connector.Kind{Credentials: connector.Credentials, Away: connector.Away})
}

// emptyList lets each answer that a list is made of say nothing, as that of another program in the tool's place would. What a
// list does not hold counts as deleted: it must be the same or none, but never a shorter one. Nor may it be said of good credentials
// that they are not.
func emptyList(t *testing.T, h Harness) {
	h.need(t, connector.CanList)
	if !h.HTTP {
		h.skip(t, "it does not speak HTTP")
	}
	account, s := h.account(t, Normal)
	all := skills("a", "b", "retired")
	account.writeAll(t, s, all)
	if h.Connector.Describe().Can(connector.CanDeactivate) {
		all[2].Active = false
		account.writeAll(t, s, all[2:])
	}
	account.wire.set(nil)
	want, err := account.open(t).(connector.Lister).List(t.Context(), "")
	if err != nil || len(want.Records) == 0 {
		t.Fatalf("List = %+v, %v", want, err)
	}
	sortRecords(want.Records)
	for at := range account.wire.count() {
		for how := 0; ; how++ {
			said, some := "", false
			account.wire.set(func(n int, _ bool) *fault {
				if n != at+1 {
					return nil
				}
				return &fault{carried: true, answer: changed(func(a *http.Response, whole []byte) {
					if forms := nothings(whole); how < len(forms) {
						said, some = forms[how], true
						whole = []byte(said)
					}
					a.Body = io.NopCloser(bytes.NewReader(whole))
				})}
			})
			got, err := account.open(t).(connector.Lister).List(t.Context(), "")
			if !some {
				break
			}
			sortRecords(got.Records)
			if e := connector.AsError(err); e != nil && (e.Kind == connector.Credentials || e.Kind == connector.Permission) {
				t.Errorf("request %d is answered with %s, and List = %v", at+1, said, err)
			} else if diff := cmp.Diff(want, got); err == nil && diff != "" {
				t.Errorf("request %d is answered with %s, and List has no error (-want +got):\n%s", at+1, said, diff)
			}
		}
	}
}

// standingList has a page answered as the one before it was, and all that follow: the tool does not heed where to go on, or something
// between keeps answers. What a list does not hold counts as deleted, and a list without an end is no list: it must be an error.
func standingList(t *testing.T, h Harness) {
	h.need(t, connector.CanList)
	if !h.HTTP {
		h.skip(t, "it does not speak HTTP")
	}
	account, s := h.account(t, Normal)
	names := make([]string, listed)
	for i := range names {
		names[i] = fmt.Sprint("skill ", i)
	}
	account.writeAll(t, s, skills(names...))
	cursors := []string{""} // of all pages
	for len(cursors) <= listed {
		page, err := account.open(t).(connector.Lister).List(t.Context(), cursors[len(cursors)-1])
		if err != nil {
			t.Fatal(err)
		}
		if page.Next == "" {
			break
		}
		cursors = append(cursors, page.Next)
	}
	if len(cursors) < 2 {
		h.skip(t, "the list is one page")
	}
	type said struct {
		status int
		header http.Header
		body   []byte
	}
	var before []said // to the page before the last one, which says that there is more
	account.wire.set(func(int, bool) *fault {
		return &fault{carried: true, answer: changed(func(a *http.Response, whole []byte) {
			before = append(before, said{a.StatusCode, a.Header.Clone(), whole})
			a.Body = io.NopCloser(bytes.NewReader(whole))
		})}
	})
	last := len(cursors) - 1
	if _, err := account.open(t).(connector.Lister).List(t.Context(), cursors[last-1]); err != nil {
		t.Fatal(err)
	}
	cursor := cursors[last]
	for pages := 1; ; pages++ {
		account.wire.set(func(n int, _ bool) *fault {
			return &fault{carried: true, answer: changed(func(a *http.Response, _ []byte) {
				again := before[min(n, len(before))-1]
				a.StatusCode, a.Header, a.Body = again.status, again.header.Clone(), io.NopCloser(bytes.NewReader(again.body))
			})}
		})
		page, err := account.open(t).(connector.Lister).List(t.Context(), cursor)
		switch e := connector.AsError(err); {
		case e != nil && e.Kind == connector.Unexpected:
			return
		case e != nil:
			t.Fatalf("a page is answered as the one before: %v, want the kind %s", e, connector.Unexpected)
		case page.Next == "":
			t.Fatal("a page is answered as the one before, and the list ends without an error")
		case pages == 3:
			t.Fatal("every page is answered as the first of them, and the list goes on")
		}
		cursor = page.Next
	}
}

// nothings are answers of the kind of a given one that say nothing: a JSON null, an object without fields or without its lists, a list of
// objects without fields; an XML document without what is in it at some depth. A list without anything in it is none of them: it says that there is nothing.
func nothings(answer []byte) []string {
	var forms []string
	if v := any(nil); json.Unmarshal(answer, &v) == nil {
		forms = []string{"null", "{}"}
		alike := []any{bared(v, false)}
		if object, ok := v.(map[string]any); ok {
			without := maps.Clone(object)
			for name, value := range object {
				if _, ok := value.([]any); ok {
					without[name] = nil
				}
			}
			alike = append(alike, without)
		}
		for _, v := range alike {
			if form, err := json.Marshal(v); err == nil {
				forms = append(forms, string(form))
			}
		}
	} else {
		for depth := 1; depth < 10; depth++ {
			forms = append(forms, shallow(answer, depth))
		}
	}
	return slices.DeleteFunc(forms, func(form string) bool { return form == strings.TrimSpace(string(answer)) })
}

// bared takes the fields from the objects of lists.
func bared(v any, listed bool) any {
	switch v := v.(type) {
	case map[string]any:
		fields := map[string]any{}
		for name, value := range v {
			if !listed {
				fields[name] = bared(value, false)
			}
		}
		return fields
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = bared(v[i], true)
		}
		return list
	default:
		return v
	}
}

// shallow takes from an XML document what lies deeper.
func shallow(document []byte, most int) string {
	var kept strings.Builder
	decoder, depth := xml.NewDecoder(bytes.NewReader(document)), 0
	for {
		from := decoder.InputOffset()
		token, err := decoder.RawToken()
		if err != nil {
			return kept.String()
		}
		keeps := depth < most
		switch token.(type) {
		case xml.StartElement:
			depth++
		case xml.EndElement:
			keeps = depth <= most
			depth--
		}
		if keeps {
			kept.Write(document[from:decoder.InputOffset()])
		}
	}
}

func find(t *testing.T, h Harness) {
	h.need(t, connector.CanFind)
	account, s := h.account(t, Normal)
	made := skills("by origin id", "by remote id", "by both", "not asked for")
	ids := account.writeAll(t, s, made)
	if h.Connector.Describe().Can(connector.CanDeactivate) {
		made[2].Active = false
		account.writeAll(t, s, made[2:3])
	}
	asked := append(slices.Clone(made[:3]), skills("nowhere")...)
	asked[1].RemoteID = ids[asked[1].OriginID].RemoteID
	asked[2].RemoteID = ids[asked[2].OriginID].RemoteID
	byHand := ""
	if h.Connector.Describe().Can(connector.CanAdopt) {
		byHand = account.MakeByHand(t, "by name")
		asked = append(asked, skills("by name")...)
		asked[len(asked)-1].Adopt = true
	}
	var got []connector.Record
	for batch := range slices.Chunk(asked, s.Limits().Batch) {
		records, err := s.(connector.Finder).Find(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, records...)
	}
	want := slices.DeleteFunc(account.Records(t), func(r connector.Record) bool {
		return r.OriginID == made[3].OriginID || r.OriginID == "" && r.RemoteID != byHand
	})
	// A retired skill may be hidden.
	if !slices.ContainsFunc(got, func(r connector.Record) bool { return r.OriginID == made[2].OriginID }) && !made[2].Active {
		want = slices.DeleteFunc(want, func(r connector.Record) bool { return r.OriginID == made[2].OriginID })
	}
	for _, records := range [][]connector.Record{want, got} {
		for i := range records {
			records[i].UpdatedAt = time.Time{}
		}
		sortRecords(records)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what was found (-want +got):\n%s", diff)
	}
	refusals(t, h, func(ctx context.Context, s connector.Session) error {
		_, err := s.(connector.Finder).Find(ctx, skills("a"))
		return err
	}, map[Situation]connector.Kind{Credentials: connector.Credentials, Away: connector.Away})
}

func sortRecords(records []connector.Record) {
	slices.SortFunc(records, func(a, b connector.Record) int { return strings.Compare(a.RemoteID, b.RemoteID) })
}

const (
	many = 10_000
	// spare is how much more than the least there may be, in hundredths.
	spare = 110
	// perSkill is what a skill may take up in a question or an answer: what is in memory is bounded by the batch.
	perSkill = 2 << 10
)

// tenThousand new skills, then the same again, at the rate that is declared and no faster: the tool, which keeps to its
// limits, never has to throttle, no more requests are made than it takes, and no more time is spent than the declared rate asks for,
// nor, on new skills, than the tool's own limits do.
func tenThousand(t *testing.T, h Harness) {
	if h.Fewest == nil {
		h.skip(t, "there is no count of requests")
	}
	account, s := h.account(t, Normal)
	limits := s.Limits()
	all := make([]connector.Skill, many)
	for i := range all {
		all[i] = connector.Skill{OriginID: fmt.Sprintf("http://data.europa.eu/esco/skill/%032d", i), Name: fmt.Sprint("skill number ", i), Active: true}
	}
	var next time.Time
	for _, name := range []string{"new skills", "the same again"} {
		account.wire.set(nil)
		began, calls := time.Now(), 0
		session := account.open(t)
		for batch := range slices.Chunk(all, limits.Batch) {
			if calls++; limits.Calls > 0 {
				// As the engine spaces them: from the beginning of one to that of the next.
				time.Sleep(time.Until(next))
				next = time.Now().Add((limits.Per + limits.Per/20) / time.Duration(limits.Calls))
			}
			by, err := account.write(t.Context(), t, session, batch)
			if err != nil {
				t.Fatalf("%s: call %d after %v: %v", name, calls, time.Since(began), err)
			}
			for i := range batch {
				if batch[i].RemoteID = by[batch[i].OriginID].RemoteID; by[batch[i].OriginID].Err != nil {
					t.Fatal(by[batch[i].OriginID].Err)
				}
			}
		}
		requests, fewest := account.wire.count(), h.Fewest(many)
		if requests*100 > fewest*spare {
			t.Errorf("%s: %d requests; %d would do", name, requests, fewest)
		}
		took, least := time.Since(began), time.Duration(0)
		if limits.Calls > 0 {
			least = time.Duration(calls) * limits.Per / time.Duration(limits.Calls)
			if took*100 > least*spare {
				t.Errorf("%s: it took %v; at the declared rate %v would do", name, took, least)
			}
		}
		if name == "new skills" {
			switch {
			case h.FewestTime != nil:
				if least = h.FewestTime(many); took*100 > least*spare {
					t.Errorf("%s: it took %v; within the tool's limits %v would do", name, took, least)
				}
			case limits.Calls > 0:
				t.Error("a rate is declared, and the harness does not say in what time the tool's limits let so many skills be written")
			}
		}
		t.Logf("%s: %d calls, %d requests (at least %d), %v (at least %v)", name, calls, requests, fewest, took, least)
	}
	account.holds(t, all)
	if most := limits.Batch * perSkill; account.wire.largestQuestion > most || account.wire.largestAnswer > most {
		t.Errorf("the largest request has %d bytes, the largest answer %d; a batch of %d may have %d", account.wire.largestQuestion,
			account.wire.largestAnswer, limits.Batch, most)
	}
}
