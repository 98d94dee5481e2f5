package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// act does what changes something about integrations, once the audit log has an entry of it on disk.
func (a *API) act(r *http.Request, who auth.Principal, action, target, detail string, do func(ctx context.Context) error) error {
	ctx := r.Context()
	entry := store.AuditEntry{
		EnvironmentID: who.EnvironmentID, UserID: store.ByKey + who.KeyID, UserName: "API key “" + who.KeyName + "”",
		Action: action, Target: target, Detail: detail,
	}
	if client := a.Clients.Client(r); client.Addr.IsValid() {
		entry.Address = client.Addr.String()
	}
	entry, err := a.Store.Record(ctx, entry)
	if err != nil {
		return err
	}
	if err := do(ctx); err != nil {
		why := "it failed"
		if errors.Is(err, store.ErrNotFound) {
			why = "refused"
		}
		if e := a.Store.RecordFailed(context.WithoutCancel(ctx), entry.ID, why); e != nil {
			a.Logger.Error("the audit log could not be told that nothing came of an act", "entry", entry.ID, "error", e)
		}
		return err
	}
	return nil
}

// label names an integration in the audit log.
func (a *API) label(in store.Integration) string {
	tool := in.Tool
	if c, ok := a.Connectors.Find(in.Tool); ok {
		tool = c.Describe().Label
	}
	return tool + " of " + in.EndUser.OrganisationName
}
