package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// The types of links: one that is opened at once and good for an hour, and one that is sent to somebody and good for a year.
const (
	Embedded  = "EMBEDDED"
	MagicLink = "MAGIC_LINK"
)

// Link asks for a link to the page where a customer connects its tool. Fields that are empty are left to the server.
type Link struct {
	Email            string `json:"end_user_email"`             // required
	OrganizationName string `json:"end_user_organization_name"` // required
	// OriginID is the customer's id in your own system.
	OriginID string `json:"end_user_origin_id,omitempty"`
	// Category is what kind of tool the customer may choose: HRIS or LMS. HRIS if neither it nor Tool is given.
	Category string `json:"integration_category,omitempty"`
	// Tool is the one to connect; without it the customer chooses.
	Tool     string `json:"integration_tool,omitempty"`
	Language string `json:"language,omitempty"`  // en or de
	Type     string `json:"link_type,omitempty"` // Embedded if empty
}

// Connected is what a customer has connected.
type Connected struct {
	ID               string  `json:"id"` // of the integration
	Tool             string  `json:"tool"`
	OriginID         *string `json:"end_user_origin_id"`
	OrganizationName string  `json:"end_user_organization_name"`
	Email            *string `json:"end_user_email"`
	SetupStatus      string  `json:"setup_status"`
}

// CreateLink makes a link, which is used once. Whoever has it may use it. Links and tokens belong to the key's environment: the
// client's integration says nothing here.
func (c *Client) CreateLink(ctx context.Context, link Link) (address string, err error) {
	return c.link(ctx, "create link", "/v1/connect/create-link", link)
}

// Relink makes a link to a page that asks for the credentials of the client's integration anew. Only language and type of the
// link are looked at.
func (c *Client) Relink(ctx context.Context, link Link) (address string, err error) {
	return c.link(ctx, "relink integration", c.integrationPath()+"/relink", linkKind{link.Language, link.Type})
}

// SetupLink makes a link to a page where the customer changes the optional settings of the client's integration. Only language
// and type of the link are looked at.
func (c *Client) SetupLink(ctx context.Context, link Link) (address string, err error) {
	if link.Type == "" {
		link.Type = Embedded // required here
	}
	return c.link(ctx, "link to settings", c.integrationPath()+"/setup-link", linkKind{link.Language, link.Type})
}

type linkKind struct {
	Language string `json:"language,omitempty"`
	Type     string `json:"link_type,omitempty"`
}

func (c *Client) link(ctx context.Context, what, path string, body any) (string, error) {
	var data struct {
		Link string `json:"link"`
	}
	err := c.send(ctx, http.MethodPost, path, body, &data)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return data.Link, nil
}

// IntegrationByToken tells what was connected, by the token that the page handed over. Ask from your server, for the customer
// who is signed in there.
func (c *Client) IntegrationByToken(ctx context.Context, token string) (Connected, error) {
	var data Connected
	if err := c.send(ctx, http.MethodGet, "/v1/connect/integration-by-token/"+url.PathEscape(token), nil, &data); err != nil {
		return data, fmt.Errorf("integration by token: %w", err)
	}
	return data, nil
}

// ActivateIntegration is the older form of IntegrationByToken.
func (c *Client) ActivateIntegration(ctx context.Context, token string) (Connected, error) {
	var data Connected
	body := map[string]string{"token": token}
	if err := c.send(ctx, http.MethodPost, "/v1/connect/activate-integration", body, &data); err != nil {
		return data, fmt.Errorf("activate integration: %w", err)
	}
	return data, nil
}

// SetEnabled switches the client's integration on or off. Off, its tasks wait, and new ones are refused.
func (c *Client) SetEnabled(ctx context.Context, on bool) error {
	if err := c.send(ctx, http.MethodPut, c.integrationPath()+"/enabled", map[string]bool{"value": on}, nil); err != nil {
		return fmt.Errorf("switch integration: %w", err)
	}
	return nil
}

// DeleteIntegration deletes the client's integration for ever. If an answer was lost and the client tried again, the error is
// that there is none.
func (c *Client) DeleteIntegration(ctx context.Context) error {
	if err := c.send(ctx, http.MethodDelete, c.integrationPath(), nil, nil); err != nil {
		return fmt.Errorf("delete integration: %w", err)
	}
	return nil
}

func (c *Client) integrationPath() string {
	return "/v1/integrations/" + url.PathEscape(c.IntegrationID)
}

// send is do with a body that is yet to be written.
func (c *Client) send(ctx context.Context, method, path string, body, data any) error {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return err
		}
	}
	if data == nil {
		data = &struct{}{}
	}
	_, err := c.do(ctx, method, path, encoded, data, nil)
	return err
}
