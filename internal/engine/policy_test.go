package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const notAvailable = string(skill.CodeActionNotAvailable)

func (f *fixture) policy(in store.Integration, p store.Policy) {
	f.t.Helper()
	if _, err := f.store.SetPolicy(f.t.Context(), in.ID, p); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) setAccount(in store.Integration, settings string, credentials []byte) {
	f.t.Helper()
	if _, err := f.store.SetAccount(f.t.Context(), in.ID, []byte(settings), credentials); err != nil {
		f.t.Fatal(err)
	}
}

func inactive(names ...string) []skill.Item {
	list := active(names...)
	for i := range list {
		list[i].Status = skill.Inactive
	}
	return list
}

// Skills are adopted where the integration says so, the tool can, and nothing is known of its record. A change is heeded at
// the next call, also within a task.
func TestAdopt(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		plain := odd{func(_ context.Context, skills []connector.Skill) ([]connector.Result, error) {
			for _, s := range skills {
				if s.Adopt {
					t.Errorf("%s: a tool that cannot adopt was asked to", s.OriginID)
				}
			}
			return tool.Write(t.Context(), skills)
		}}
		f.tools = []connector.Connector{tool, plain}
		set := settings()
		f.start(set)
		adopts := func(id string) bool {
			tool.mu.Lock()
			defer tool.mu.Unlock()
			return tool.held[id].Adopt
		}
		in := f.integrationWith("shy", `{}`)
		f.ended(in, f.submit(in, active("a")...)).want(t, "COMPLETED", ok)
		if adopts("id-a") {
			t.Error("it is off unless it was asked for")
		}
		f.policy(in, store.Policy{Adopt: true})
		known := active("a", "b")
		known[0].Name = "A"
		f.ended(in, f.submit(in, known...)).want(t, "COMPLETED", ok, ok)
		if adopts("id-a") || !adopts("id-b") {
			t.Errorf("of the known one %t, of the new one %t", adopts("id-a"), adopts("id-b"))
		}
		// What is in the tool does not change by it.
		before := len(tool.seen(0))
		f.policy(in, store.Policy{})
		f.ended(in, f.submit(in, known...)).want(t, "COMPLETED", ok, ok)
		if calls := tool.seen(before); len(calls) > 0 {
			t.Errorf("unchanged skills were written again: %+v", calls)
		}

		// Within a task.
		slow := make(chan struct{})
		tool.set(func([]connector.Skill) error { <-slow; return nil })
		task := f.submit(in, many(40)...)
		wait(time.Second)
		f.policy(in, store.Policy{Adopt: true})
		wait(5 * time.Second) // a heartbeat
		tool.set(nil)
		close(slow)
		f.ended(in, task).want(t, "COMPLETED", make([]string, 40)...)
		if adopts("skill-0") || !adopts("skill-39") {
			t.Errorf("of the first call %t, of the last %t", adopts("skill-0"), adopts("skill-39"))
		}

		other := f.integrationWith("odd", `{}`)
		f.policy(other, store.Policy{Adopt: true})
		f.ended(other, f.submit(other, active("z")...)).want(t, "COMPLETED", ok)
	})
}

// knowing is a tool that asks whose skills are known, right before it writes.
type knowing struct {
	*shy
	asks []string
	told map[string][]bool // by the integration
}

// knower is a session of it.
type knower struct {
	*knowing
	account connector.Account
}

func (k *knowing) Open(a connector.Account) (connector.Session, error) { return knower{k, a}, nil }

func (k knower) Write(ctx context.Context, skills []connector.Skill) ([]connector.Result, error) {
	known, err := k.account.Knows(ctx, k.asks)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	k.told[k.account.ID] = known
	k.mu.Unlock()
	return k.knowing.Write(ctx, skills)
}

// A connector can ask which external ids are those of skills that the integration was sent, whatever became of them. What is read
// from the tool, or belongs to another integration, is none.
func TestKnows(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &knowing{shy: &shy{}, asks: []string{"id-c", "id-a", "COMP-1", "id-b"}, told: map[string][]bool{}}
		f.tools = []connector.Connector{tool}
		f.start(settings())
		in, other := f.integrationWith("shy", `{}`), f.integrationWith("shy", `{}`)
		refused := active("a", "b")
		tool.set(func([]connector.Skill) error { return connector.Errorf(connector.Unexpected, "no") })
		f.ended(in, f.submit(in, refused...))
		tool.set(nil)
		f.ended(in, f.submit(in, active("c")...)).want(t, "COMPLETED", ok)
		f.ended(other, f.submit(other, active("c")...)).want(t, "COMPLETED", ok)
		tool.mu.Lock()
		defer tool.mu.Unlock()
		want := map[string][]bool{in.ID: {false, true, false, true}, other.ID: {false, false, false, false}}
		if diff := cmp.Diff(want, tool.told); diff != "" {
			t.Errorf("what the tool was told (-want +got):\n%s", diff)
		}
	})
}

// An integration may refuse inactive skills: nothing is retired, and no call is made for them.
func TestRefusedInactive(t *testing.T) {
	set := settings()
	run(t, &set, func(t *testing.T, f *fixture) {
		refuse, retire := store.Policy{RefuseInactive: true}, store.Policy{}
		in := f.integration(`{}`)
		f.ended(in, f.submit(in, append(active("Go"), inactive("COBOL")...)...)).want(t, "COMPLETED", ok, ok)
		if n := f.writes(in); n != 2 {
			t.Fatalf("%d writes", n)
		}
		f.policy(in, refuse)

		// One that is retired already is as it should be. One that is active, and one that the tool never held, are refused.
		items := append(inactive("COBOL", "Go", "Ada"), active("C")...)
		r := f.ended(in, f.submit(in, items...))
		r.want(t, "COMPLETED", ok, notAvailable, notAvailable, ok)
		if !strings.Contains(r.Items[1].Text, "refuses inactive skills") {
			t.Errorf("it says %q", r.Items[1].Text)
		}
		f.holds(in, append(append(active("Go"), inactive("COBOL")...), active("C")...))
		if n := f.writes(in); n != 3 {
			t.Errorf("%d writes, want 3", n)
		}

		// A task of nothing else makes no call, even while the tool is away; and refusals do not add up.
		f.change(in, `{"outage":true}`)
		for range 2 {
			f.ended(in, f.submit(in, inactive("Go", "Ada")...)).want(t, "COMPLETED", notAvailable, notAvailable)
		}
		f.change(in, `{}`)

		// It keeps its id, and what was refused is tried when it comes again.
		f.policy(in, retire)
		again := f.ended(in, f.submit(in, items...))
		again.want(t, "COMPLETED", ok, ok, ok, ok)
		f.holds(in, items)
		if n := f.writes(in); n != 5 {
			t.Errorf("%d writes, want 5: COBOL and C are unchanged", n)
		}
		// And the other way round: the active ones are what the tool does not hold any more.
		f.policy(in, refuse)
		f.ended(in, f.submit(in, active("Go", "Ada")...)).want(t, "COMPLETED", ok, ok)
		f.ended(in, f.submit(in, inactive("Go", "Ada")...)).want(t, "COMPLETED", notAvailable, notAvailable)
		f.holds(in, append(inactive("COBOL"), active("Go", "Ada", "C")...))
	})
}

// A large task with refused ones everywhere: each has its outcome, calls are full.
func TestRefusedInactiveInALargeTask(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		f.tools = []connector.Connector{tool}
		f.start(settings())
		in := f.integrationWith("shy", `{}`)
		f.policy(in, store.Policy{RefuseInactive: true})
		items := many(3000)
		codes := make([]string, len(items))
		for i := range items {
			if i%3 == 1 {
				items[i].Status, codes[i] = skill.Inactive, notAvailable
			}
		}
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", codes...)
		if n := len(tool.seen(0)); n != 200 {
			t.Errorf("%d calls for 2000 skills, 10 each", n)
		}
		f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", codes...)
		if n := len(tool.seen(0)); n != 200 {
			t.Errorf("unchanged ones were sent again: %d calls", n)
		}
	})
}

// What is skipped as unchanged is in the tool as it would be written now: a setting that shapes what is written has
// everything written again, once, and another setting nothing.
func TestSettingsThatShape(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		f.tools = []connector.Connector{tool}
		f.start(settings())
		in := f.integrationWith("shy", `{}`)
		items := many(15)
		for i, step := range []struct {
			settings string
			calls    int
		}{
			{`{}`, 2},
			{`{"colour":"red"}`, 0},
			{`{"shelf":"main"}`, 0}, // the default
			{`{"shelf":null}`, 0},
			{`{"shelf":"other","colour":"red"}`, 2},
			{`{ "shelf" : "other" }`, 0},
			{`{}`, 2},
		} {
			before := len(tool.seen(0))
			f.change(in, step.settings)
			f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", make([]string, len(items))...)
			if calls := tool.seen(before); len(calls) != step.calls {
				t.Errorf("step %d, %s: %d calls, want %d", i, step.settings, len(calls), step.calls)
			}
		}
	})
}

// Credentials end everything at the first call, whichever of three processes makes it, and once they are changed all goes
// on. A tool that says no has answered.
func TestCredentialsFromBadToGood(t *testing.T) {
	run(t, nil, func(t *testing.T, f *fixture) {
		tool := &shy{}
		tool.set(func([]connector.Skill) error { return connector.Errorf(connector.Credentials, "wrong token") })
		f.tools = []connector.Connector{tool}
		for range 3 {
			f.start(settings())
			defer f.stop()
		}
		in := f.integrationWith("shy", `{}`)
		var tasks []string
		for n := range 20 {
			tasks = append(tasks, f.submit(in, active(fmt.Sprint(n))...))
		}
		for _, id := range tasks {
			f.ended(in, id).wantFailed(t, skill.CodeToolAuthentication)
		}
		for range 3 {
			f.ended(in, f.submit(in, active("later")...)).wantFailed(t, skill.CodeToolAuthentication)
		}
		if calls := tool.seen(0); len(calls) != 1 {
			t.Errorf("%d calls with credentials that were refused", len(calls))
		}
		got, err := f.store.Integration(t.Context(), f.env, in.ID)
		if err != nil || got.InvalidReason != "wrong token" || got.InvalidAt.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		f.policy(in, store.Policy{Adopt: true}) // is no new account
		f.ended(in, f.submit(in, active("later")...)).wantFailed(t, skill.CodeToolAuthentication)
		tool.set(nil)
		f.setAccount(in, `{}`, []byte("new"))
		if got, err = f.store.Integration(t.Context(), f.env, in.ID); err != nil || got.InvalidReason != "" {
			t.Errorf("%+v, %v", got, err)
		}
		f.ended(in, f.submit(in, active("later")...)).want(t, "COMPLETED", ok)
	})
}
