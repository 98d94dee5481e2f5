package dashboard_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// madeLink is the link that a page shows once, as it is kept.
func madeLink(t *testing.T, s *site, p page) store.Link {
	t.Helper()
	address := p.text("#link")
	token, ok := strings.CutPrefix(address, s.srv.URL+"/connect/")
	if !ok || p.Find(".once .copy").AttrOr("data-copy", "") != address || p.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the link is %q", address)
	}
	hash, ok := auth.HashToken(token)
	if !ok {
		t.Fatalf("no token: %q", token)
	}
	link, err := s.srv.Store.Link(t.Context(), hash)
	if err != nil {
		t.Fatal(err)
	}
	// It leads there.
	s.visitor().get("/connect/"+token).want(http.StatusOK, in("body", link.EndUser.OrganisationName))
	return link
}

func TestLinks(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("mo", store.Member)
	b.get(s.at("/integrations")).want(http.StatusOK, link(".actions a", s.at("/integrations/link")), link(".empty a", s.at("/integrations/link")))
	b.get(s.at("/integrations/link")).want(http.StatusOK, in("form label", "Customer", "E-mail", "Tool", "Language", "can be used for"),
		in("#tool option[selected]", "The customer chooses", "HRIS"), count("#tool option[value=sandbox]", 1), in("#good option[selected]", "A year"), in("#language option[selected]", "English"))
	b.post(s.at("/integrations/link"), "customer", " ", "email", "nobody", "tool", "none", "origin_id", strings.Repeat("x", 201), "language", "de", "good", "EMBEDDED").want(http.StatusUnprocessableEntity,
		in("#customer-error", "Give it a name"), in("#email-error", "anna@acme.example"), in("#tool-error", "Choose one"), in("#origin-error", "too long"),
		count("#email[value=nobody][aria-invalid=true]", 1), in("#good option[selected]", "An hour"), in("#language option[selected]", "German"))
	if entries := s.audited(); len(entries) != 0 {
		t.Errorf("a form that was refused: %+v", entries)
	}

	p := b.post(s.at("/integrations/link"), "customer", "Acme GmbH", "email", "Anna@ACME.example", "tool", "hibob", "origin_id", "acme-1", "language", "de", "good", "EMBEDDED").want(http.StatusOK,
		in("h1", "Acme GmbH"), in("main", "not shown again", "once, until"), in(".lede", "HiBob"))
	made := madeLink(t, s, p)
	want := store.EndUser{OrganisationName: "Acme GmbH", CreatorEmail: "Anna@acme.example", OriginID: "acme-1"}
	if made.Purpose != store.Connect || made.Tool != "hibob" || made.Category != "HRIS" || made.Language != "de" || made.EndUser != want || made.ExpiresAt.Sub(made.CreatedAt) != time.Hour {
		t.Errorf("made: %+v", made)
	}
	made = madeLink(t, s, b.post(s.at("/integrations/link"), "customer", "Acme GmbH", "email", "anna@acme.example", "tool", "HRIS", "good", "MAGIC_LINK").want(http.StatusOK, in(".lede", "a tool of its choice")))
	if made.Tool != "" || made.Category != "HRIS" || made.Language != "en" || made.ExpiresAt.Sub(made.CreatedAt) != 365*24*time.Hour {
		t.Errorf("made: %+v", made)
	}

	acme := s.connect("Acme GmbH", `{"latency":"1ms"}`)
	b.get(s.at("/integrations/"+acme.ID)).want(http.StatusOK, in("#link", "connect again", "Language"))
	p = b.post(s.at("/integrations/"+acme.ID+"/link"), "language", "de", "good", "EMBEDDED").want(http.StatusOK, in(".lede", "anew"), link(".crumbs a", s.at("/integrations/"+acme.ID)))
	made = madeLink(t, s, p)
	if made.Purpose != store.Relink || made.IntegrationID != acme.ID || made.Tool != "sandbox" || made.Language != "de" || made.EndUser != acme.EndUser || made.ExpiresAt.Sub(made.CreatedAt) != time.Hour {
		t.Errorf("made: %+v", made)
	}
	b.get(s.at("/audit?of=here")).want(http.StatusOK, in("tbody tr:first-child", "made a link to connect anew", "Acme GmbH, good 1h"), in("tbody tr:last-child", "made a link to connect a tool", "Acme GmbH, for Anna@acme.example, good 1h"),
		not("body", strings.TrimPrefix(p.text("#link"), s.srv.URL+"/connect/")))
	s.user("vera", store.Viewer).get(s.at("/integrations/"+acme.ID)).want(http.StatusOK, not("#link"))
	b.post(s.at("/integrations/"+acme.ID+"/delete"), "name", "Acme GmbH").want(http.StatusOK)
	b.get(s.at("/integrations/"+acme.ID)).want(http.StatusOK, not("#link"))
	b.post(s.at("/integrations/"+acme.ID+"/link"), "good", "EMBEDDED").want(http.StatusConflict)
}

func TestConnectSettings(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := s.user("ada", store.Owner)
	b.get(s.at("/settings")).want(http.StatusOK, in("#connect dl", "no other page", "nowhere"), count("#connect form", 1), link("#connect a", s.at("/integrations/link")))
	b.post(s.at("/settings/connect"), "origins", "https://app.example.com/path", "redirect", "https://app.example.com/done").want(http.StatusUnprocessableEntity,
		in("#connect .wrong", "an origin has no path", "Nothing was changed"), in("#origins", "https://app.example.com/path"), count("#redirect[value='https://app.example.com/done']", 1))
	b.post(s.at("/settings/connect"), "redirect", "javascript:alert(1)").want(http.StatusUnprocessableEntity, in("#connect .wrong", "not an address"))
	b.post(s.at("/settings/connect"), "origins", "https://app.example.com\r\nhttps://Admin.example.com, https://app.example.com", "redirect", " https://app.example.com/done ").want(http.StatusOK,
		in(".notice", "is changed"), in("#connect dl", "https://app.example.com", "https://admin.example.com", "https://app.example.com/done"), in("#origins", "https://admin.example.com"))
	got, err := s.srv.Store.ConnectSettings(t.Context(), s.env.ID)
	if err != nil || strings.Join(got.Origins, " ") != "https://app.example.com https://admin.example.com" || got.Redirect != "https://app.example.com/done" {
		t.Errorf("settings: %+v, %v", got, err)
	}
	b.get(s.at("/audit?of=here")).want(http.StatusOK, count("tbody tr", 1), in("tbody tr", "changed the page to connect", "default"))
	// Everybody reads them.
	s.user("vera", store.Viewer).get(s.at("/settings")).want(http.StatusOK, in("#connect dl", "https://admin.example.com"), not("#connect form"), not("#connect a"))
	b.post(s.at("/settings/connect"), "origins", "", "redirect", "").want(http.StatusOK, in("#connect dl", "no other page", "nowhere"))
}
