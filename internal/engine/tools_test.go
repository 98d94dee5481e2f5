package engine_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/connectortest"
	"github.com/crosswalk-hr/crosswalk/connector/hibob/hibobtest"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
	"github.com/crosswalk-hr/crosswalk/connector/odoo/odootest"
	"github.com/crosswalk-hr/crosswalk/connector/workday/workdaytest"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// tools are the connectors to real tools, each with a fake of its tool.
func tools() []connectortest.Harness {
	return []connectortest.Harness{
		hibobtest.Harness(func(c *hibobtest.Company) { c.PerMinute = 50 }),
		moodletest.Harness(func(*moodletest.Site) {}),
		odootest.Harness(19, func(*odootest.Server) {}),
		odootest.Harness(17, func(s *odootest.Server) { s.May.ReadExternalIDs = false }),
		workdaytest.Harness(func(c *workdaytest.Tenant) { c.PerSecond = 10 }),
	}
}

// ending is how a task of three skills ends: "a", connectortest.RefusedName and "c".
type ending struct {
	task  skill.Code // it is FAILED with this; else it is COMPLETED
	items []string   // the codes of the skills, "" for those that succeed; nil: nobody can say
}

func endings() map[connectortest.Situation]ending {
	none := string(skill.CodeRemoteUnknown)
	return map[connectortest.Situation]ending{
		connectortest.Normal:          {items: []string{"", "", ""}},
		connectortest.RefusesOne:      {items: []string{"", string(skill.CodeRemoteInput), ""}},
		connectortest.RefusesBatch:    {items: []string{"", string(skill.CodeRemoteInput), ""}},
		connectortest.Credentials:     {task: skill.CodeToolAuthentication},
		connectortest.Permission:      {task: skill.CodeToolPermission},
		connectortest.Throttling:      {task: skill.CodeRemoteRateLimit},
		connectortest.ThrottlingMute:  {task: skill.CodeRemoteRateLimit},
		connectortest.Away:            {task: skill.CodeRemoteUnavailable},
		connectortest.UnexpectedReply: {items: []string{none, none, none}},
		connectortest.LosesAnswer:     {},
		connectortest.Hangs:           {},
	}
}

// A task for each tool in each situation that it can be in: every skill has the outcome that the contract says, and what
// has succeeded is in the tool. Once the situation is over the same is sent again, and the tool holds each skill once.
func TestTools(t *testing.T) {
	t.Parallel()
	for _, h := range tools() {
		slug := h.Connector.Describe().Slug
		t.Run(slug, func(t *testing.T) {
			run(t, nil, func(t *testing.T, f *fixture) {
				accounts := map[string]connector.Account{} // filled before a task of theirs is there, so no lock
				f.tools = []connector.Connector{h.Connector}
				f.account = func(in store.Integration) (connector.Account, error) { return accounts[in.ID], nil }
				tried := 0
				for _, situation := range slices.Sorted(maps.Keys(endings())) {
					account, ok := h.Given(t, situation)
					if !ok {
						t.Logf("%s has no such situation: it %s", slug, situation)
						continue
					}
					tried++
					f.start(settings())
					in := f.integrationWith(slug, "{}")
					accounts[in.ID] = connector.Account{ID: in.ID, Settings: account.Settings, HTTP: account.HTTP}
					items := active("a", connectortest.RefusedName, "c")
					r := f.ended(in, f.submit(in, items...))
					if want := endings()[situation]; want.task != "" {
						r.wantFailed(t, want.task)
					} else {
						r.want(t, "COMPLETED", want.items...)
					}
					held := map[string]bool{}
					for _, record := range account.Records(t) {
						held[record.OriginID] = record.Active
					}
					for _, it := range r.Items {
						if it.Code == "" && !held[it.OriginID] {
							t.Errorf("%s has succeeded, and the tool does not hold it", it.OriginID)
						}
					}
					f.stop()

					relaxed := account.Relax(t)
					accounts[in.ID] = connector.Account{ID: in.ID, Settings: relaxed.Settings, HTTP: relaxed.HTTP}
					f.start(settings())
					f.enable(in, true)
					f.ended(in, f.submit(in, items...)).want(t, "COMPLETED", "", "", "")
					if n := len(account.Records(t)); n != len(items) {
						t.Errorf("the tool holds %d records: %+v", n, account.Records(t))
					}
					f.stop()
					if t.Failed() {
						t.Fatalf("when the tool %s", situation)
					}
				}
				if tried < 8 {
					t.Errorf("only %d situations were tried", tried)
				}
			})
		})
	}
}
