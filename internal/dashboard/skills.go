package dashboard

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const skillsTogether = 100

// skillState says how a skill is.
func skillState(s store.ListedSkill) mark {
	switch {
	case !s.ErrorAt.IsZero():
		return markOf("failed", "Refused")
	case s.Unsure:
		return markOf("partly", "Unsure")
	case s.WrittenAt.IsZero():
		return markOf("waiting", "Not written")
	case !s.Known:
		return markOf("partly", "Unsure")
	case s.Status == skill.Inactive:
		return markOf("off", "Inactive")
	default:
		return markOf("ok", "In step")
	}
}

type skillLine struct {
	store.ListedSkill
	Mark mark
}

type skillsPage struct {
	Skills       []skillLine
	Filter       skillFilter
	Integrations []store.IntegrationState
	States       []choice
	Next         string
	First        bool
	Looked       int  // it ended after that many skills, and there are more
	Some         bool // none of those matches, and Skills are from anywhere
	Behind       bool // some names that changed lately were not searched
	Sortable     bool
}

type skillFilter struct{ Q, OriginID, Integration, State, Sort, After string }

// Filtered reports whether the list is limited at all.
func (f skillFilter) Filtered() bool {
	return f.Q != "" || f.OriginID != "" || f.Integration != "" || f.State != ""
}

func skillStates() []choice {
	return []choice{{"", "All"}, {"refused", "Refused"}, {"unsure", "Unsure"}, {"inactive", "Inactive"}}
}

// By is the address of the list sorted by a column: the other way round if it is sorted by that already.
func (f skillFilter) By(column string) sorting { return sortedBy(f.Sort, column) }

// skillOrders are the values of sort.
func skillOrders() map[string]store.SkillOrder {
	return map[string]store.SkillOrder{
		"origin_id": store.ByOriginID, "-origin_id": store.ByOriginIDDown, "added": store.ByAge, "-added": store.ByAgeDown,
	}
}

func (d *Dashboard) skills(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	integration, err := d.chosen(r)
	if err != nil {
		return err
	}
	f := skillFilter{
		Q: clean(r.FormValue("q")), OriginID: clean(r.FormValue("origin_id")), Integration: integration, State: r.FormValue("state"),
		Sort: r.FormValue("sort"), After: r.FormValue("after"),
	}
	if skill.IsID(f.Q) {
		in, origin, err := d.Store.SkillByID(ctx, env(r).ID, f.Q)
		if err == nil {
			return redirect(w, r, base(r)+"/skills/one?"+url.Values{"integration": {in}, "origin_id": {origin}}.Encode())
		} else if !errors.Is(err, store.ErrNotFound) { // a name may look like an id
			return err
		}
	}
	page := skillsPage{Filter: f, States: skillStates(), First: f.After == ""}
	if page.Integrations, err = d.choices(ctx, env(r).ID); err != nil {
		return err
	}
	search := store.NewSearch(f.Q)
	// Other orders go through all integrations side by side.
	page.Sortable = f.Integration != "" || search.Empty() && len(page.Integrations) <= store.MostSorted
	order := store.ByIntegration
	if page.Sortable {
		order = skillOrders()[f.Sort]
	}
	result, err := d.Store.ListSkills(ctx, store.SkillFilter{
		EnvironmentID: env(r).ID, IntegrationID: f.Integration, OriginID: f.OriginID, Search: search, Order: order,
		State: map[string]store.CatalogueState{"refused": store.Refused, "unsure": store.Unsure, "inactive": store.Retired}[f.State],
		After: cursorOf(f.After), Limit: skillsTogether,
	})
	if err != nil {
		return err
	}
	for _, s := range result.Skills {
		page.Skills = append(page.Skills, skillLine{s, skillState(s)})
	}
	if result.More {
		page.Next = cursor(result.Next)
	}
	page.Looked, page.Some, page.Behind = result.Looked, result.Some, result.Behind
	v := d.view(r, "Skills")
	v.Nav, v.Data = "skills", page
	d.show(w, r, http.StatusOK, "skills", v)
	return nil
}

// cursor writes a place in the catalogue for a query.
func cursor(c store.SkillCursor) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.Ref, 36) + ":" + c.ID + ":" + c.OriginID))
}

// cursorOf reads it; what is none is the beginning.
func cursorOf(text string) store.SkillCursor {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	ref, rest, _ := strings.Cut(string(plain), ":")
	id, origin, ok := strings.Cut(rest, ":")
	n, bad := strconv.ParseInt(ref, 36, 64)
	if err != nil || !ok || bad != nil || !skill.IsID(id) || strings.ToValidUTF8(origin, "") != origin || strings.ContainsRune(origin, 0) {
		return store.SkillCursor{}
	}
	return store.SkillCursor{Ref: n, ID: id, OriginID: origin}
}

// past is a task that a skill was in.
type past struct {
	store.TaskHead
	Line item
}

type skillPage struct {
	skillLine
	Unwritten               bool   // it was sent, and is not in the catalogue
	Seen                    string // in the tool, or asked for
	History                 []past
	Searched, SearchedItems int
	Cut                     bool
}

func (d *Dashboard) skill(w http.ResponseWriter, r *http.Request) error {
	ctx, integration, origin := r.Context(), clean(r.FormValue("integration")), clean(r.FormValue("origin_id"))
	row, err := d.Store.FindSkill(ctx, env(r).ID, integration, origin)
	unwritten := errors.Is(err, store.ErrNotFound)
	if unwritten {
		// A task that waits, or ended before its tool was asked, leads here too.
		var in store.IntegrationState
		in, err = d.Store.IntegrationState(ctx, env(r).ID, integration)
		row = store.ListedSkill{Name: origin, OriginID: origin, IntegrationID: in.ID, Tool: in.Tool, Customer: in.EndUser.OrganisationName}
	}
	if err != nil {
		return err
	}
	page := skillPage{skillLine: skillLine{row, skillState(row)}, Unwritten: unwritten, Seen: d.seen(row)}
	if err := d.history(ctx, env(r).ID, &page); err != nil {
		return err
	}
	if unwritten {
		if len(page.History) == 0 {
			return notFound()
		}
		page.Name = page.History[0].Line.Name
	}
	v := d.view(r, page.Name)
	v.Nav, v.Data = "skills", page
	d.show(w, r, http.StatusOK, "skill", v)
	return nil
}

// seen says what was noted of a skill since it was written.
func (d *Dashboard) seen(s store.ListedSkill) string {
	tool, at := d.Connectors.Label(s.Tool), clockTime(s.Noted.At, d.Now())
	as := fmt.Sprintf("“%s”, %s", s.Noted.Name, s.Noted.Status)
	switch s.Noted.Note {
	case store.Seen:
		return "Somebody has changed it in " + tool + ": there it is " + as + ", as seen at " + at + ". The next upload that has it writes it again."
	case store.Gone:
		return tool + " shows it no more since " + at + ": somebody has deleted it there. The next upload that has it writes it again."
	case store.Asked:
		return "It was asked for as " + as + " at " + at + ", which is not written yet: the next sync sends it."
	default:
		return ""
	}
}

const (
	historyItems = 50_000
	historyTasks = 50
	mostHistory  = 20
)

// history looks for a skill in the newest tasks of its integration.
func (d *Dashboard) history(ctx context.Context, environmentID string, page *skillPage) error {
	leave, err := d.work(ctx)
	if err != nil {
		return err
	}
	defer leave()
	list, err := d.Store.ListTasks(ctx, store.TaskFilter{EnvironmentID: environmentID, IntegrationID: page.IntegrationID, Limit: historyTasks})
	if err != nil {
		return err
	}
	within, items := firstTasks(list, historyItems)
	found, err := d.Store.FindItem(ctx, within, page.OriginID)
	if err != nil {
		return err
	}
	page.Searched, page.SearchedItems, page.Cut = len(within), items, len(within) < len(list) || len(list) == historyTasks
	if len(found) > mostHistory {
		found, page.Cut = found[:mostHistory], true
	}
	heads := make([]store.TaskHead, len(found))
	for i, f := range found {
		heads[i] = f.TaskHead
	}
	contents, err := d.Store.TaskOutcomes(ctx, heads)
	if err != nil {
		return err
	}
	for i, f := range found {
		line, err := foundLine(f, contents[i])
		if err != nil {
			return err
		}
		page.History = append(page.History, past{f.TaskHead, line})
	}
	return nil
}
