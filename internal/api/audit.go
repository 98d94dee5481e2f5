package api

import (
	"context"
	"net/http"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// act does what changes something about integrations, once the audit log has an entry of it on disk.
func (a *API) act(r *http.Request, who auth.Principal, action, target, detail string, do func(ctx context.Context) error) error {
	entry := store.AuditEntry{
		EnvironmentID: who.EnvironmentID, UserID: store.ByKey + who.KeyID, UserName: "API key “" + who.KeyName + "”",
		Action: action, Target: target, Detail: detail,
	}
	if client := a.Clients.Client(r); client.Addr.IsValid() {
		entry.Address = client.Addr.String()
	}
	return store.Act(r.Context(), a.Store, entry, do, func(id string, err error) {
		a.Logger.Error("the audit log could not be told that nothing came of an act", "entry", id, "error", err)
	})
}

// label names an integration in the audit log.
func (a *API) label(in store.Integration) string {
	return a.Connectors.Label(in.Tool) + " of " + in.EndUser.OrganisationName
}
