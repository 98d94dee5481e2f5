package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/interactions"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// tell logs a call that made no request of its own, as those of the sandbox, if anything of it failed: then there is
// something to be looked at all the same.
func (d *drain) tell(ctx context.Context, began time.Time, skills []connector.Skill, results []connector.Result, err *connector.Error) {
	if d.e.interactions == nil || err == nil && !slices.ContainsFunc(results, func(r connector.Result) bool { return r.Err != nil }) {
		return
	}
	in := d.lease.Integration
	i := store.Interaction{
		ID: d.e.interactions.Begin(ctx, began), EnvironmentID: in.EnvironmentID, IntegrationID: in.ID, Method: "CALL", URL: in.Tool,
		Took: time.Since(began), Status: http.StatusOK,
	}
	if err != nil {
		i.Status, i.Error = 0, said(err)
	}
	results = slices.Clone(results)
	d.e.interactions.Outbound(ctx, i, interactions.MostBody, func(i *store.Interaction) {
		sent := make([]toldSkill, 0, len(skills))
		for _, s := range skills {
			sent = append(sent, toldSkill{OriginID: s.OriginID, RemoteID: s.RemoteID, Name: s.Name, Active: &s.Active})
		}
		got := make([]toldSkill, 0, len(results))
		for _, r := range results {
			told := toldSkill{OriginID: r.OriginID, RemoteID: r.RemoteID}
			if r.Err != nil {
				told.Error = said(r.Err)
			}
			got = append(got, told)
		}
		i.RequestBody, i.RequestCut = told(sent)
		i.AnswerBody, i.AnswerCut = told(got)
	})
}

// said is what a person may read of an error: not its cause.
func said(e *connector.Error) string { return e.Kind.String() + ": " + words(e, "no words") }

// toldSkill is a skill in the log of a call.
type toldSkill struct {
	OriginID string `json:"origin_id"`
	RemoteID string `json:"remote_id,omitzero"`
	Name     string `json:"name,omitzero"`
	Active   *bool  `json:"active,omitzero"`
	Error    string `json:"error,omitzero"`
}

func told(skills []toldSkill) (body []byte, cut bool) {
	body, err := json.Marshal(skills)
	if err != nil || len(skills) == 0 { // texts alone
		return nil, false
	}
	return body[:min(len(body), interactions.MostBody)], len(body) > interactions.MostBody
}

// blame marks the interactions that refused something, and notes in each error which one that was.
func blame(ctx context.Context, results []connector.Result, err *connector.Error) *connector.Error {
	trail := interactions.TrailOf(ctx)
	if trail == nil {
		return err
	}
	// Errors may be shared by results, by other calls too, and a call may fail for thousands of items at once.
	var last, noted *connector.Error
	of := func(e *connector.Error) *connector.Error {
		if e == nil {
			return nil
		}
		if e != last {
			last, noted = e, e
			if e.Exchange == "" {
				with := *e
				with.Exchange = trail.Last()
				noted = &with
			}
			trail.Blame(noted.Exchange)
		}
		return noted
	}
	for i := range results {
		results[i].Err = of(results[i].Err)
	}
	return of(err)
}
