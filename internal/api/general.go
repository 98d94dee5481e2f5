package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/internal/account"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// checkKey is GET /v1/check-api-key.
func (a *API) checkKey(w http.ResponseWriter, r *http.Request) error {
	who, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	w.Header().Set(maxItemsHeader, strconv.Itoa(a.MaxItems))
	w.Header().Set(maxBodyHeader, strconv.Itoa(a.MaxBody))
	return success(w, map[string]string{"environment_id": who.EnvironmentID, "customer_id": who.EnvironmentID})
}

// integration is GET /v1/integrations/{integration_id}.
func (a *API) integration(w http.ResponseWriter, r *http.Request) error {
	who, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization"))
	if err != nil {
		return err
	}
	id := r.PathValue("integration_id")
	in, err := a.Store.Integration(r.Context(), who.EnvironmentID, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && in.Deleted() {
		return noIntegration(id)
	}
	if err != nil {
		return err
	}
	status := "ACTIVE"
	switch {
	case !in.Enabled:
		status = "INACTIVE"
	case in.InvalidReason != "":
		status = "INVALID"
	}
	// An integration of a tool that this server has no connector for any more is still shown.
	tool := connector.Description{Slug: in.Tool, Label: in.Tool, Category: connector.HRIS}
	if c, ok := a.Connectors.Find(in.Tool); ok {
		tool = c.Describe()
	}
	away, err := a.Store.Away(r.Context(), who.EnvironmentID)
	if err != nil {
		return err
	}
	w.Header().Set(adoptHeader, strconv.FormatBool(in.Policy.Adopt))
	w.Header().Set(inactiveHeader, account.Inactive(tool, in.Settings, in.Policy))
	for _, one := range away {
		if one.IntegrationID == in.ID {
			w.Header().Set(awayHeader, one.Since.UTC().Format(skill.TimeFormat))
		}
	}
	return success(w, integrationView{
		ID: in.ID,
		Tool: integrationTool{
			ID: tool.Slug, Label: tool.Label, LogoURL: a.asset(tool.Slug, "logo"), IconURL: a.asset(tool.Slug, "icon"),
		},
		Category:    tool.Category,
		Status:      status,
		SetupStatus: "COMPLETED",
		EndUser: endUser{
			OrganizationName: in.EndUser.OrganisationName, CreatorEmail: nullable(in.EndUser.CreatorEmail),
			OriginID: nullable(in.EndUser.OriginID),
		},
		ScopeConfig:  scopeConfig{ID: in.EnvironmentID, Name: nullable("Everything")},
		CreatedAt:    in.CreatedAt.UTC().Format(skill.TimeFormat),
		Beta:         tool.Beta,
		ReadModels:   []any{},
		WriteActions: []writeAction{upsertOf(tool, in)},
	})
}

// The shapes of the contract.
type (
	integrationView struct {
		ID            string             `json:"id"`
		Tool          integrationTool    `json:"tool"`
		Category      connector.Category `json:"category"`
		Status        string             `json:"status"`
		SetupStatus   string             `json:"setup_status"`
		EndUser       endUser            `json:"end_user"`
		ScopeConfig   scopeConfig        `json:"scope_config"`
		DataExpiredAt *time.Time         `json:"data_expired_at"`
		CreatedAt     string             `json:"created_at"`
		Beta          bool               `json:"beta"`
		ReadModels    []any              `json:"read_models"`
		WriteActions  []writeAction      `json:"write_actions"`
	}
	integrationTool struct {
		ID            string  `json:"id"`
		Label         string  `json:"label"`
		InternalLabel *string `json:"internal_label"`
		LogoURL       string  `json:"logo_url"`
		IconURL       string  `json:"icon_url"`
	}
	endUser struct {
		OrganizationName string  `json:"organization_name"`
		CreatorEmail     *string `json:"creator_email"`
		OriginID         *string `json:"origin_id"`
	}
	scopeConfig struct {
		ID   string  `json:"id"`
		Name *string `json:"name"`
	}
	writeAction struct {
		ID             string             `json:"id"`
		Label          string             `json:"label"`
		IsAvailable    bool               `json:"is_available"`
		CoverageStatus string             `json:"coverage_status"`
		ScopeSetting   string             `json:"scope_config_setting"`
		OptedOut       bool               `json:"opted_out_by_customer"`
		Fields         []writeActionField `json:"fields"`
	}
	writeActionField struct {
		ID             string `json:"id"`
		IsAvailable    bool   `json:"is_available"`
		CoverageStatus string `json:"coverage_status"`
	}

	tool struct {
		ID                 string       `json:"id"`
		Label              string       `json:"label"`
		InternalLabel      *string      `json:"internal_label"`
		Assets             toolAssets   `json:"assets"`
		PaidAPIDetails     *string      `json:"paid_api_details_markdown"`
		FastTrackDetails   *string      `json:"fast_track_details_markdown"`
		PartnerOnlyDetails *string      `json:"partner_only_details_markdown"`
		ConnectionGuideURL *string      `json:"connection_guide_url"`
		Coverage           toolCoverage `json:"coverage"`
	}
	toolAssets struct {
		LogoURL      string `json:"logo_url"`
		IconURL      string `json:"icon_url"`
		IconBlackURL string `json:"icon_black_url"`
	}
	toolCoverage struct {
		ReadModels   []any        `json:"read_models"`
		WriteActions []toolAction `json:"write_actions"`
		Features     []any        `json:"features"`
	}
	toolAction struct {
		ID             string            `json:"id"`
		Label          string            `json:"label"`
		CoverageStatus string            `json:"coverage_status"`
		Fields         []toolActionField `json:"fields"`
	}
	toolActionField struct {
		ID             string `json:"id"`
		CoverageStatus string `json:"coverage_status"`
	}
)

const supported = "SUPPORTED"

// upsertAction is what every connector can do.
//
//nolint:gochecknoglobals // a constant, were structs allowed to be
var upsertAction = writeAction{
	ID: "upsert_skills", Label: "Upsert skills", IsAvailable: true, CoverageStatus: supported, ScopeSetting: "ENABLED",
	Fields: []writeActionField{
		{ID: "origin_id", IsAvailable: true, CoverageStatus: supported},
		{ID: "skill.name", IsAvailable: true, CoverageStatus: supported},
		{ID: "skill.status", IsAvailable: true, CoverageStatus: supported},
	},
}

// upsertOf is what an integration can do.
func upsertOf(tool connector.Description, in store.Integration) writeAction {
	action := upsertAction
	action.Fields = slices.Clone(action.Fields)
	for i := range action.Fields {
		if f := &action.Fields[i]; f.ID == "skill.status" {
			f.IsAvailable = account.Inactive(tool, in.Settings, in.Policy) == account.Deactivate
			if !tool.Can(connector.CanDeactivate) {
				f.CoverageStatus = "UNSUPPORTED"
			}
		}
	}
	return action
}

// tools is GET /v1/tools/{category}.
func (a *API) tools(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.Keys.Authenticate(r.Context(), r.Header.Get("Authorization")); err != nil {
		return err
	}
	category := r.PathValue("category")
	switch category {
	case "hris", "ats", "assessment", "lms":
	default:
		return invalid("The category must be hris, ats, assessment or lms, it is %s.", quote(category))
	}
	list := []tool{}
	for _, d := range a.Connectors.All() {
		if !strings.EqualFold(string(d.Category), category) {
			continue
		}
		action := toolAction{ID: upsertAction.ID, Label: upsertAction.Label, CoverageStatus: supported}
		for _, f := range upsertAction.Fields {
			field := toolActionField{ID: f.ID, CoverageStatus: supported}
			if f.ID == "skill.status" && !d.Can(connector.CanDeactivate) {
				field.CoverageStatus = "UNSUPPORTED"
			}
			action.Fields = append(action.Fields, field)
		}
		var guide *string
		if at := d.Guide(); at != "" {
			guide = &at
		}
		list = append(list, tool{
			ID: d.Slug, Label: d.Label, ConnectionGuideURL: guide,
			Assets: toolAssets{
				LogoURL: a.asset(d.Slug, "logo"), IconURL: a.asset(d.Slug, "icon"), IconBlackURL: a.asset(d.Slug, "icon-black"),
			},
			Coverage: toolCoverage{ReadModels: []any{}, WriteActions: []toolAction{action}, Features: []any{}},
		})
	}
	return success(w, map[string]any{"tools": list})
}

// spec is GET /openapi.yaml.
func (a *API) spec(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(a.Spec) // the client has gone: there is nobody to tell
	return nil
}

func (a *API) asset(slug, kind string) string {
	return a.PublicURL + "/assets/tools/" + url.PathEscape(slug) + "-" + kind + ".svg"
}

// drawing shows a tool without borrowing its trademark: its name, or the first letter of it.
//
//nolint:gochecknoglobals // parsed once, never changed
var drawing = template.Must(template.New("tool").Parse(
	`<svg xmlns="http://www.w3.org/2000/svg" width="{{.Width}}" height="48" viewBox="0 0 {{.Width}} 48" role="img" aria-label="{{.Label}}">` +
		`<rect width="48" height="48" rx="10" fill="{{.Colour}}"/>` +
		`<text x="24" y="33" text-anchor="middle" font-family="sans-serif" font-size="26" font-weight="600" fill="#fff">{{.Letter}}</text>` +
		`{{if .Name}}<text x="60" y="32" font-family="sans-serif" font-size="22" fill="{{.Colour}}">{{.Name}}</text>{{end}}</svg>`))

// toolAsset is GET /assets/tools/{slug}-{logo,icon,icon-black}.svg.
func (a *API) toolAsset(w http.ResponseWriter, r *http.Request) error {
	file, isSVG := strings.CutSuffix(r.PathValue("file"), ".svg")
	for _, d := range a.Connectors.All() {
		kind, ok := strings.CutPrefix(file, d.Slug+"-")
		if !ok || !isSVG {
			continue
		}
		view := struct {
			Width                       int
			Label, Colour, Letter, Name string
		}{48, d.Label, "#2f5bd7", string([]rune(d.Label)[:1]), ""}
		switch kind {
		case "logo":
			view.Width, view.Name = 72+14*len([]rune(d.Label)), d.Label
		case "icon":
		case "icon-black":
			view.Colour = "#000"
		default:
			continue
		}
		var svg bytes.Buffer
		if err := drawing.Execute(&svg, view); err != nil {
			return fmt.Errorf("draw %s: %w", file, err)
		}
		w.Header().Set("Content-Type", "image/svg+xml")
		w.Header().Set("Cache-Control", "public, max-age=86400")
		_, _ = w.Write(svg.Bytes()) // the client has gone: there is nobody to tell
		return nil
	}
	return skill.Errorf(skill.NotFound, skill.CodeInputInvalid, "There is no drawing %s.", quote(r.PathValue("file")))
}

func success(w http.ResponseWriter, data any) error {
	body, err := json.Marshal(struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	send(w, http.StatusOK, body)
	return nil
}

func nullable(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
