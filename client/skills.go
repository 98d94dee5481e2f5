package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// CatalogueSkill is a skill as the server reads it back from the tool.
type CatalogueSkill struct {
	ID string `json:"id"`
	// RemoteID is the tool's own id; the origin_id of a skill of which the tool has told none yet.
	RemoteID string `json:"remote_id"`
	Name     string `json:"name"`
	// ChangedAt is when the server last learnt of a change.
	ChangedAt time.Time `json:"changed_at"`
	// RemoteDeletedAt is since when the tool does not offer the skill any more; nil while it does.
	RemoteDeletedAt *time.Time `json:"remote_deleted_at"`
	// Details are nil unless SkillsQuery.Details asked for them, and from servers that know none.
	Details *SkillDetails `json:"-"`
}

// SkillDetails are what a Crosswalk server tells beside the contract.
type SkillDetails struct {
	// OriginID is nil for a skill that people made in the tool and nobody manages.
	OriginID *string `json:"origin_id"`
	Status   string  `json:"status"`
	// Error is why the last attempt to write the skill failed.
	Error *Error `json:"error"`
}

// UnmarshalJSON reads the contract's form.
func (s *CatalogueSkill) UnmarshalJSON(b []byte) error {
	type bare CatalogueSkill
	in := struct {
		*bare
		RemoteData *struct {
			Crosswalk *SkillDetails `json:"crosswalk"`
		} `json:"remote_data"`
	}{bare: (*bare)(s)}
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	if in.RemoteData != nil {
		s.Details = in.RemoteData.Crosswalk
	}
	return nil
}

// SkillsQuery asks for skills. What is zero asks for nothing.
type SkillsQuery struct {
	Cursor         string // Next of the page before
	PageSize       int    // 100 if zero, at most 250
	UpdatedAfter   time.Time
	IncludeDeleted bool
	IDs            []string
	RemoteIDs      []string
	NameContains   string
	Details        bool
}

// SkillsPage is a part of a list. It may be empty although there is a next one.
type SkillsPage struct {
	Skills []CatalogueSkill `json:"results"`
	Next   string           `json:"next"` // empty at the end
}

func (q SkillsQuery) values() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("cursor", q.Cursor)
	if q.PageSize > 0 {
		set("page_size", strconv.Itoa(q.PageSize))
	}
	if !q.UpdatedAfter.IsZero() {
		set("updated_after", q.UpdatedAfter.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	if q.IncludeDeleted {
		set("include_deleted", "true")
	}
	set("ids", strings.Join(q.IDs, ","))
	set("remote_ids", strings.Join(q.RemoteIDs, ","))
	set("name_contains", q.NameContains)
	if q.Details {
		set("include_remote_data", "true")
	}
	return v
}

// Skills asks for a page of the skills that the tool holds.
func (c *Client) Skills(ctx context.Context, q SkillsQuery) (SkillsPage, error) {
	path := "/v1/hris/skills"
	if v := q.values(); len(v) > 0 {
		path += "?" + v.Encode()
	}
	var page SkillsPage
	if _, err := c.do(ctx, http.MethodGet, path, nil, &page, nil); err != nil {
		return page, fmt.Errorf("list skills: %w", err)
	}
	return page, nil
}

// EachSkill calls see for every skill of the list, until it returns an error or the list ends.
func (c *Client) EachSkill(ctx context.Context, q SkillsQuery, see func(CatalogueSkill) error) error {
	for {
		page, err := c.Skills(ctx, q)
		if err != nil {
			return err
		}
		for _, s := range page.Skills {
			if err := see(s); err != nil {
				return err
			}
		}
		if q.Cursor = page.Next; q.Cursor == "" {
			return nil
		}
	}
}

// CreateSkill keeps a skill, which the server then writes into the tool. Without an OriginID the server gives it one. Then the
// request is sent once, whatever Retries says: if only its answer was lost, a second one would make a second skill.
func (c *Client) CreateSkill(ctx context.Context, item Item) (CatalogueSkill, error) {
	if item.OriginID == "" {
		once := *c
		once.Retries = 0
		c = &once
	}
	return c.skill(ctx, http.MethodPost, "", skillBody(item))
}

// UpdateSkill changes name or status of a skill; what is empty stays.
func (c *Client) UpdateSkill(ctx context.Context, id, name, status string) (CatalogueSkill, error) {
	return c.skill(ctx, http.MethodPatch, id, skillBody{"", name, status})
}

// DeleteSkill has the tool retire a skill.
func (c *Client) DeleteSkill(ctx context.Context, id string) (CatalogueSkill, error) {
	return c.skill(ctx, http.MethodDelete, id, skillBody{})
}

type skillBody struct {
	OriginID string `json:"origin_id,omitempty"`
	Name     string `json:"name,omitempty"`
	Status   string `json:"status,omitempty"`
}

func (c *Client) skill(ctx context.Context, method, id string, b skillBody) (s CatalogueSkill, err error) {
	path := "/v1/hris/skills"
	if id != "" {
		path += "/" + url.PathEscape(id)
	}
	body, err := json.Marshal(b)
	if err == nil {
		_, err = c.do(ctx, method, path, body, &s, nil)
	}
	if err != nil {
		return s, fmt.Errorf("%s skill: %w", strings.ToLower(method), err)
	}
	return s, nil
}

// Sync is a sync that is queued or under way.
type Sync struct {
	ID      string `json:"sync_id"`
	Type    string `json:"type"` // FullSync or DeltaSync
	Already bool   `json:"already_queued"`
}

// The types of syncs: a delta sync does not look for what is gone.
const (
	FullSync  = "FULL"
	DeltaSync = "DELTA"
)

// ForceSync has the server read the tool's skills, soon.
func (c *Client) ForceSync(ctx context.Context, kind string) (Sync, error) {
	body, err := json.Marshal(map[string]string{"type": kind})
	if err != nil {
		return Sync{}, err
	}
	var s Sync
	if _, err := c.do(ctx, http.MethodPost, "/v1/force-sync", body, &s, nil); err != nil {
		return s, fmt.Errorf("force sync: %w", err)
	}
	return s, nil
}

// The changes that an upsert would make of an item.
const (
	Create     = "CREATE"
	Update     = "UPDATE"
	Deactivate = "DEACTIVATE"
	// Refuse: the skill is inactive, and the integration or its tool refuses such; its item would fail.
	Refuse = "REFUSE"
	// Adopt: a skill of that name that people made in the tool is taken over.
	Adopt = "ADOPT"
	None  = "NONE"
)

// Change is what an upsert would do with one item.
type Change struct {
	OriginID string `json:"origin_id"`
	Change   string `json:"change"`
	// ID is the skill's, if it is known already.
	ID string `json:"id"`
	// From is nil where nothing is known. Where it equals To, it is not certain that the tool holds it.
	From *Content `json:"from"`
	To   Content  `json:"to"`
}

// Content is what a tool holds of a skill.
type Content struct {
	Name   string `json:"name"`
	Status string `json:"status"`
}

// Diff asks what UpsertSkills would do with the same items, which changes nothing. It is a Crosswalk server's own.
func (c *Client) Diff(ctx context.Context, items []Item) ([]Change, error) {
	body, err := json.Marshal(struct {
		Items []Item `json:"items"`
	}{items})
	if err != nil {
		return nil, fmt.Errorf("diff: %w", err)
	}
	var data struct {
		Results []Change `json:"results"`
	}
	if _, err := c.do(ctx, http.MethodPost, "/v1/hris/skills/bulk/diff", body, &data, nil); err != nil {
		return nil, fmt.Errorf("diff: %w", err)
	}
	return data.Results, nil
}
