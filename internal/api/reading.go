package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	defaultPage = 100
	mostPage    = 250
	// mostFilters is how many ids a filter may name.
	mostFilters = 1000
	// mostRows is how many rows are looked at for one page: a filter that few of a large catalogue match ends pages early.
	mostRows = 50_000
)

// skillView is the contract's record. It has no status: a skill that the tool has retired is one that is deleted there.
type skillView struct {
	ID              string      `json:"id"`
	RemoteID        string      `json:"remote_id"`
	Name            string      `json:"name"`
	Description     *string     `json:"description"`
	OrderedLevels   []string    `json:"ordered_levels"`
	ChangedAt       string      `json:"changed_at"`
	RemoteDeletedAt *string     `json:"remote_deleted_at"`
	RemoteData      *remoteData `json:"remote_data"`
}

// remoteData is what the contract has no field for, where it is asked for.
type remoteData struct {
	Crosswalk struct {
		OriginID *string     `json:"origin_id"`
		RemoteID *string     `json:"remote_id"`
		Status   string      `json:"status"`
		Error    *writeError `json:"error"`
	} `json:"crosswalk"`
}

type writeError struct {
	Code    skill.Code `json:"code"`
	Message string     `json:"message"`
}

func viewOf(s store.Skill, withData bool) skillView {
	v := skillView{ID: s.ID, RemoteID: s.ShownRemoteID(), Name: s.Name, ChangedAt: s.ChangedAt.UTC().Format(skill.TimeFormat)}
	if !s.GoneAt.IsZero() {
		v.RemoteDeletedAt = nullable(s.GoneAt.UTC().Format(skill.TimeFormat))
	}
	if withData {
		v.RemoteData = &remoteData{}
		d := &v.RemoteData.Crosswalk
		d.OriginID, d.RemoteID, d.Status = nullable(s.OriginID), nullable(s.RemoteID), s.Status.String()
		if s.Code != "" {
			d.Error = &writeError{s.Code, s.Message}
		}
	}
	return v
}

// skills is GET /v1/hris/skills.
func (a *API) skills(w http.ResponseWriter, r *http.Request) error {
	who, integrationID, err := a.caller(r)
	if err != nil {
		return err
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("The query is not one: %s.", quote(r.URL.RawQuery))
	}
	q, withData, err := readQuery(values, who.EnvironmentID, integrationID)
	if err != nil {
		return err
	}
	page, err := a.Store.ReadSkills(r.Context(), q)
	if errors.Is(err, store.ErrNotFound) {
		return noIntegration(integrationID)
	}
	if err != nil {
		return err
	}
	list := make([]skillView, len(page.Skills))
	for i, s := range page.Skills {
		list[i] = viewOf(s, withData)
	}
	return a.reply(w, r, map[string]any{"status": "success", "data": map[string]any{"next": nullable(cursorOf(q, page.Next)), "results": list}})
}

// moment is how the contract writes the times of filters.
var moment = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}(\.\d+)?)?Z?$`)

// readQuery reads the filters of a list. Those that are empty ask for nothing; the cursor is held against all of them.
func readQuery(values url.Values, environmentID, integrationID string) (q store.SkillQuery, withData bool, err error) {
	q = store.SkillQuery{EnvironmentID: environmentID, IntegrationID: integrationID, Limit: defaultPage, MostRows: mostRows}
	if text := values.Get("page_size"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostPage {
			return q, false, invalid("page_size must be a number from 1 to %d, it is %s.", mostPage, quote(text))
		}
		q.Limit = n
	}
	if text := values.Get("updated_after"); text != "" {
		day, clock, _ := strings.Cut(strings.TrimSuffix(text, "Z"), "T")
		if clock == "" {
			clock = "00:00:00"
		}
		at, err := time.Parse(time.RFC3339Nano, day+"T"+clock+"Z")
		if err != nil || !moment.MatchString(text) {
			return q, false, invalid("updated_after must be a time such as %s, it is %s.", "2026-11-25T14:01:29.196Z", quote(text))
		}
		q.ChangedAfter = at
	}
	for name, to := range map[string]*bool{"include_deleted": &q.IncludeGone, "include_remote_data": &withData} {
		switch text := values.Get(name); text {
		case "", "false":
		case "true":
			*to = true
		default:
			return q, false, invalid("%s must be true or false, it is %s.", name, quote(text))
		}
	}
	for name, to := range map[string]*[]string{"ids": &q.IDs, "remote_ids": &q.RemoteIDs} {
		if *to, err = readIDs(name, values[name]); err != nil {
			return q, false, err
		}
	}
	if q.NameContains = values.Get("name_contains"); q.NameContains != "" {
		if err := checkText("name_contains", q.NameContains); err != nil {
			return q, false, err
		}
		if len(q.NameContains) > 4*skill.MaxNameLength {
			return q, false, invalid("name_contains is longer than a name may be.")
		}
	}
	if text := values.Get("cursor"); text != "" {
		last, ok := readCursor(q, text)
		if !ok {
			return q, false, invalid("The cursor is not one of this list. Give next of the page before as it is, with the same filters.")
		}
		q.After = last
	}
	return q, withData, nil
}

// readIDs reads lists of ids, which may be one parameter or several, with white space around each id or without. Nil: none is asked
// for.
func readIDs(name string, lists []string) ([]string, error) {
	text := strings.Join(slices.DeleteFunc(slices.Clone(lists), func(list string) bool { return list == "" }), ",")
	if text == "" {
		return nil, nil
	}
	if err := checkText(name, text); err != nil {
		return nil, err
	}
	ids, named := map[string]bool{}, map[string]bool{}
	for id := range strings.SplitSeq(text, ",") {
		tidy := strings.TrimSpace(id)
		named[tidy] = true
		ids[id], ids[tidy] = true, true // the white space may be the id's own
	}
	if len(named) > mostFilters {
		return nil, invalid("%s names %d skills, at most %d may be.", name, len(named), mostFilters)
	}
	return slices.Sorted(maps.Keys(ids)), nil
}

func checkText(name, text string) error {
	if strings.ContainsRune(text, 0) || strings.ToValidUTF8(text, "") != text {
		return invalid("%s holds what is no text.", name)
	}
	return nil
}

// reply sends an answer that may be large: then it stands in line for memory.
func (a *API) reply(w http.ResponseWriter, r *http.Request, answer any) error {
	body, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	if len(body) > freeAnswer {
		size := min(int64(len(body)), a.answers.most)
		if err := wait(r.Context(), a.answers.memory, size, fullOfAnswers); err != nil {
			return err
		}
		defer a.answers.memory.Release(size)
	}
	send(w, http.StatusOK, body)
	return nil
}

// createSkill is POST /v1/hris/skills.
func (a *API) createSkill(w http.ResponseWriter, r *http.Request) error {
	who, in, err := a.writable(r)
	if err != nil {
		return err
	}
	body, err := a.readSkill(w, r)
	if err != nil {
		return err
	}
	wish := store.Wish{OriginID: body.originID, Name: body.name, Status: body.status}
	switch {
	case !body.hasName:
		return invalid("name is missing.")
	case wish.Status == 0:
		wish.Status = skill.Active
	}
	return a.wish(w, r, who, in, wish, body.warnings)
}

// updateSkill is PATCH /v1/hris/skills/{skill_id}.
func (a *API) updateSkill(w http.ResponseWriter, r *http.Request) error {
	who, in, err := a.writable(r)
	if err != nil {
		return err
	}
	body, err := a.readSkill(w, r)
	if err != nil {
		return err
	}
	if body.originID != "" {
		return invalid("origin_id identifies a skill for ever; it cannot be changed.")
	}
	return a.wish(w, r, who, in, store.Wish{ID: r.PathValue("skill_id"), Name: body.name, Status: body.status}, body.warnings)
}

// deleteSkill is DELETE /v1/hris/skills/{skill_id}: the tool retires the skill, so people who have it keep it.
func (a *API) deleteSkill(w http.ResponseWriter, r *http.Request) error {
	who, in, err := a.writable(r)
	if err != nil {
		return err
	}
	return a.wish(w, r, who, in, store.Wish{ID: r.PathValue("skill_id"), Status: skill.Inactive}, nil)
}

// writable returns the integration of a request that changes a skill.
func (a *API) writable(r *http.Request) (auth.Principal, store.Integration, error) {
	who, integrationID, err := a.caller(r)
	if err != nil {
		return who, store.Integration{}, err
	}
	in, err := a.Store.Integration(r.Context(), who.EnvironmentID, integrationID)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted():
		err = noIntegration(integrationID)
	case err == nil && !in.Enabled:
		err = switchedOff()
	}
	return who, in, err
}

// wish has a skill written, and answers with it as it is read from now on.
func (a *API) wish(w http.ResponseWriter, r *http.Request, who auth.Principal, in store.Integration, wish store.Wish, warnings []string) error {
	if wish.ID != "" && !skill.IsID(wish.ID) {
		return noSkill(wish.ID)
	}
	if c, known := a.Connectors.Find(in.Tool); known && wish.Status == skill.Inactive {
		tool := c.Describe()
		switch yes, refusing := tool.Deactivates(in.Settings); {
		case in.Policy.RefuseInactive:
			return skill.Errorf(skill.Invalid, skill.CodeActionNotAvailable, "This integration refuses inactive skills. Nothing was changed.")
		case refusing.Name != "":
			return skill.Errorf(skill.Invalid, skill.CodeActionNotAvailable, "This integration refuses inactive skills: its setting %s is %s. Nothing was changed.",
				refusing.Name, refusing.RefusesInactive)
		case !yes:
			return skill.Errorf(skill.Invalid, skill.CodeActionNotAvailable, "%s has no way to retire a skill. Nothing was changed.", tool.Label)
		}
	}
	wish.EnvironmentID, wish.IntegrationID = who.EnvironmentID, in.ID
	if err := a.withinReach(r, in, wish); err != nil {
		return err
	}
	s, err := a.Engine.Wish(r.Context(), wish, who.KeyID)
	switch {
	case errors.Is(err, store.ErrNoSkill):
		return noSkill(wish.ID)
	case errors.Is(err, store.ErrNotFound):
		return noIntegration(in.ID)
	case errors.Is(err, store.ErrDisabled):
		return switchedOff()
	case err != nil:
		if e, ok := errors.AsType[*store.FullError](err); ok {
			return full(e, 1)
		}
		if skill.KindOf(err) == skill.Unavailable && wish.ID == "" && wish.OriginID == "" {
			return doubtful(err)
		}
		return err
	}
	return a.reply(w, r, map[string]any{"status": "success", "data": viewOf(s, false), "warnings": messages(warnings)})
}

// withinReach refuses to change a skill that people made in a tool whose connector cannot: it would become a second one, or none.
func (a *API) withinReach(r *http.Request, in store.Integration, wish store.Wish) error {
	c, known := a.Connectors.Find(in.Tool)
	if wish.ID == "" || !known || c.Describe().Can(connector.CanTake) {
		return nil
	}
	page, err := a.Store.ReadSkills(r.Context(), store.SkillQuery{
		EnvironmentID: wish.EnvironmentID, IntegrationID: wish.IntegrationID, IDs: []string{wish.ID}, IncludeGone: true, Limit: 1, MostRows: mostRows,
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noIntegration(in.ID)
	case err != nil:
		return err
	case len(page.Skills) == 1 && page.Skills[0].OriginID == "":
		return skill.Errorf(skill.Invalid, skill.CodeActionNotAvailable, "This skill was made in %s, not through this server, and cannot be changed from here: "+
			"change it there. Nothing was changed.", c.Describe().Label)
	}
	return nil
}

// doubtful is for a skill that nobody could tell apart from a second one: whatever the database says, it may have been kept.
func doubtful(err error) error {
	return &skill.Error{
		Kind: skill.Unavailable, Code: skill.CodeUnknown, RetryAfter: awayTime, Err: err,
		Message: "The database did not confirm the skill, and may have kept it all the same. Look for it before you send the request again, " +
			"or give it an origin_id: then sending it again makes no second one.",
	}
}

func noSkill(id string) error {
	return skill.Errorf(skill.NotFound, skill.CodeInputInvalid, "This integration has no skill %s.", quote(id))
}

func messages(warnings []string) []map[string]string {
	list := make([]map[string]string, len(warnings))
	for i, text := range warnings {
		list[i] = map[string]string{"message": text}
	}
	return list
}

// oneSkill is the body of a request about a single skill.
type oneSkill struct {
	originID string
	name     string
	hasName  bool
	status   skill.Status // 0: not given
	warnings []string
}

func (a *API) readSkill(w http.ResponseWriter, r *http.Request) (oneSkill, error) {
	body, release, err := a.bodies.read(w, r)
	if err != nil {
		return oneSkill{}, err
	}
	defer release()
	return decodeSkill(body)
}

// decodeSkill reads either form of the contract, {name, levels} and {origin_id, name, status}.
func decodeSkill(body []byte) (one oneSkill, err error) {
	o, err := decodeSmall(body, false, `{"origin_id":"skill-1","name":"TypeScript"}`)
	if err != nil {
		return one, err
	}
	for _, name := range slices.Sorted(maps.Keys(o.fields)) {
		value := o.fields[name]
		switch name {
		case "levels":
			one.warnings = append(one.warnings, "Levels are not written into tools; they were ignored.")
			continue
		case "origin_id", "name", "status":
		default:
			if len(one.warnings) < mostWarnings {
				one.warnings = append(one.warnings, fmt.Sprintf("The field %s is not known and was ignored.", quote(name)))
			}
			continue
		}
		if kind := value.Kind(); kind != jsontext.KindString {
			o.problem("%s must be a string, it is %s", name, kindName(kind))
			continue
		}
		raw, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			o.problem("%s is no text", name)
			continue
		}
		text, wrong := string(raw), ""
		switch name {
		case "origin_id":
			one.originID, wrong = text, skill.CheckOriginID(text)
		case "name":
			one.name, one.hasName, wrong = text, true, skill.CheckName(text)
		case "status":
			var ok bool
			if one.status, ok = skill.ParseStatus(text); !ok {
				wrong = "must be ACTIVE or INACTIVE, it is " + quote(text)
			}
		}
		if wrong != "" {
			o.problem("%s %s", name, wrong)
		}
	}
	return one, o.err()
}

// forceSync is POST /v1/force-sync.
func (a *API) forceSync(w http.ResponseWriter, r *http.Request) error {
	who, integrationID, err := a.caller(r)
	if err != nil {
		return err
	}
	in, err := a.Store.Integration(r.Context(), who.EnvironmentID, integrationID)
	if errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted() {
		return noIntegration(integrationID)
	}
	if err != nil {
		return err
	}
	o, err := a.readObject(w, r, true, `{"type":"FULL"}`)
	if err != nil {
		return err
	}
	whole := o.choice("type", false, "FULL", "DELTA") == "FULL"
	if err := o.err(); err != nil {
		return err
	}
	c, ok := a.Connectors.Find(in.Tool)
	switch { // in the general codes: clients of this endpoint know no others
	case !ok || !c.Describe().Can(connector.CanList):
		return invalid("The skills of this integration's tool cannot be listed, so there is nothing to sync.")
	case !in.Enabled:
		return invalid("The integration is switched off. Enable it, then ask for a sync again.")
	}
	var q store.SyncQueued
	err = a.act(r, who, "integration.sync", in.ID, a.label(in), func(ctx context.Context) (err error) {
		q, err = a.Engine.RequestSync(ctx, store.SyncRequest{
			EnvironmentID: who.EnvironmentID, IntegrationID: integrationID, ID: skill.NewID(time.Now()), Whole: whole,
		})
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound):
		return noIntegration(integrationID)
	case errors.Is(err, store.ErrDisabled):
		return invalid("The integration is switched off. Enable it, then ask for a sync again.")
	case err != nil:
		return err
	}
	kind := "DELTA"
	if q.Whole {
		kind = "FULL"
	}
	return success(w, struct {
		SyncID  string `json:"sync_id"`
		Type    string `json:"type"`
		Already bool   `json:"already_queued"`
	}{q.ID, kind, q.Already})
}

// diff is POST /v1/hris/skills/bulk/diff: what an upsert of the same body would do.
func (a *API) diff(w http.ResponseWriter, r *http.Request) error {
	who, integrationID, err := a.caller(r)
	if err != nil {
		return err
	}
	in, err := a.Store.Integration(r.Context(), who.EnvironmentID, integrationID)
	if errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted() {
		return noIntegration(integrationID)
	}
	if err != nil {
		return err
	}
	request, leave, err := a.readBulk(w, r)
	if err != nil {
		return err
	}
	defer leave()
	ids := make([]string, len(request.Items))
	for i, it := range request.Items {
		ids[i] = it.OriginID
	}
	rows, err := a.Store.SkillsByOrigin(r.Context(), who.EnvironmentID, integrationID, ids)
	if errors.Is(err, store.ErrNotFound) {
		return noIntegration(integrationID)
	}
	if err != nil {
		return err
	}
	known := make(map[string]store.SkillRow, len(rows))
	for _, row := range rows {
		known[row.OriginID] = row
	}
	rendering, refuses, adopts, identified := "", in.Policy.RefuseInactive, false, false
	if c, ok := a.Connectors.Find(in.Tool); ok {
		if rendering, err = c.Describe().Rendering(in.Settings); err != nil {
			return skill.Errorf(skill.Conflict, skill.CodeSetupIncomplete, "The integration cannot be used: %v.", err)
		}
		refuses = account.Inactive(c.Describe(), in.Settings, in.Policy) == account.Refuse
		adopts, identified = in.Policy.Adopt && c.Describe().Can(connector.CanAdopt), c.Describe().AdoptsIdentified
	}
	changes := make([]change, len(request.Items))
	for i, it := range request.Items {
		changes[i] = changeOf(rendering, it, known)
		switch {
		case it.Status != skill.Inactive || changes[i].Change == unchanged:
		case refuses:
			changes[i].Change = "REFUSE"
		case changes[i].Change == creates: // no tool has a skill made only to retire it
			changes[i].Change = unchanged
		}
	}
	if adopts {
		for i, it := range request.Items { // what had a record of its own is made anew, if that is gone
			changes[i].own = known[it.OriginID].RemoteID != ""
		}
		if err := a.adoptions(r, who.EnvironmentID, integrationID, changes, identified); err != nil {
			return err
		}
	}
	return a.reply(w, r, map[string]any{"status": "success", "data": map[string]any{"results": changes}, "warnings": messages(request.Warnings)})
}

// The changes that others are told by.
const (
	unchanged = "NONE"
	creates   = "CREATE"
)

// adoptions finds what would not be made, since people made a skill of that name in the tool: one that the tool does not keep apart,
// retired or not, with an external id of its own only if the connector takes over such. Each of these is taken over once, those
// without an external id first, and then in the order in which they were made.
func (a *API) adoptions(r *http.Request, environmentID, integrationID string, changes []change, identified bool) error {
	var names []string
	sent := make(map[string]bool, len(changes))
	for _, c := range changes {
		sent[c.OriginID] = true
		if c.adoptable() {
			names = append(names, c.To.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	remote, err := a.Store.RemoteByName(r.Context(), environmentID, integrationID, names)
	var read []store.SkillRow
	if err == nil && identified {
		read, err = a.Store.ReadByName(r.Context(), environmentID, integrationID, names)
	}
	if errors.Is(err, store.ErrNotFound) {
		return noIntegration(integrationID)
	}
	if err != nil {
		return err
	}
	free := make([]store.Skill, 0, len(remote)+len(read))
	for _, s := range remote {
		free = append(free, s.View())
	}
	for _, row := range read {
		if !sent[row.OriginID] {
			free = append(free, row.View())
		}
	}
	slices.SortFunc(free, func(a, b store.Skill) int { // ids of tools mostly are numbers
		return cmp.Or(cmp.Compare(min(len(a.OriginID), 1), min(len(b.OriginID), 1)), cmp.Compare(len(a.RemoteID), len(b.RemoteID)), strings.Compare(a.RemoteID, b.RemoteID))
	})
	by := map[string][]store.Skill{}
	for _, s := range free {
		by[s.Name] = append(by[s.Name], s)
	}
	for i := range changes {
		c := &changes[i]
		if own := by[c.To.Name]; c.adoptable() && len(own) > 0 {
			c.Change, c.From = "ADOPT", &changeEnd{own[0].Name, own[0].Status.String()}
			by[c.To.Name] = own[1:]
		}
	}
	return nil
}

// change is what an upsert would do with one item.
type change struct {
	OriginID string     `json:"origin_id"`
	Change   string     `json:"change"`
	ID       *string    `json:"id"`
	From     *changeEnd `json:"from"`
	To       changeEnd  `json:"to"`

	own bool // it has had a record of its own
}

// adoptable reports whether a record that people made may be taken instead of a new one.
func (c change) adoptable() bool { return c.Change == creates && !c.own }

type changeEnd struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

func changeOf(rendering string, it skill.Item, known map[string]store.SkillRow) change {
	c := change{OriginID: it.OriginID, Change: creates, To: changeEnd{it.Name, it.Status.String()}}
	row, ok := known[it.OriginID]
	if !ok {
		return c
	}
	is := row.View()
	c.ID, c.From = &is.ID, &changeEnd{is.Name, is.Status.String()}
	switch {
	case row.Known && !row.Unsure && row.Hash == skill.ContentHash(rendering, it):
		c.Change = unchanged
	case row.RemoteID == "" && row.WrittenAt.IsZero() && !row.Unsure:
		c.Change = creates // the tool has none, as far as is known
	case it.Status == skill.Inactive && is.Status == skill.Active:
		c.Change = "DEACTIVATE"
	case row.RemoteID == "" && row.WrittenAt.IsZero(), row.Note == store.Gone && !is.GoneAt.IsZero() && is.Status == skill.Active:
		c.Change = creates
	default:
		c.Change = "UPDATE"
	}
	return c
}
