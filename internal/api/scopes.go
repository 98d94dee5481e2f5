package api

import (
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// needed says what a key must be good for, to be let to a route. A route that is added and named nowhere asks for the
// scope that fits its method.
func needed(pattern string) auth.Request {
	method, path, _ := strings.Cut(pattern, " ")
	r := auth.Request{Refusal: skill.CodeAuthenticationInvalid}
	onSkills := strings.HasPrefix(path, "/v1/hris/") || strings.HasPrefix(path, "/v1/lms/")
	if onSkills {
		r.Refusal = skill.CodeActionDisabled // the other endpoints know no codes but PLATFORM's
	}
	switch reads := method == "GET"; {
	case path == "/v1/check-api-key", strings.HasPrefix(path, "/v1/tools/"):
	case reads && onSkills:
		r.Needs = store.ReadSkills | store.WriteSkills // whoever sends skills may see what became of them
	case reads && strings.HasPrefix(path, "/v1/integrations/"):
		r.Needs = store.AllScopes
	case onSkills:
		r.Needs = store.WriteSkills
	case path == "/v1/force-sync":
		r.Needs = store.WriteSkills | store.ManageIntegrations
	case reads && !strings.HasPrefix(path, "/v1/"): // no key is asked for
	default:
		r.Needs = store.ManageIntegrations
	}
	return r
}
