package dashboard

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/sandbox"
	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// linkForm is what is asked for a link to the page where a customer connects.
type linkForm struct {
	Customer, Email, OriginID, Tool string
	Kind                            linkKind
	Errors                          map[string]string
	Tools                           []choice
}

// linkKind is what is asked for any link.
type linkKind struct{ Good, Language string }

// Goods are how long a link may be good, as in the API. A link that is made here is mostly sent to somebody.
func (linkKind) Goods() []choice {
	return []choice{{store.MagicLink, "A year, to be sent to the customer"}, {store.Embedded, "An hour, to be opened at once"}}
}

// Languages are those of the contract. The page speaks two.
func (linkKind) Languages() []choice {
	names := map[string]string{
		"en": "English", "de": "German", "fr": "French (the page is in English)", "it": "Italian (the page is in English)", "es": "Spanish (the page is in English)",
	}
	var all []choice
	for _, l := range store.LinkLanguages() {
		all = append(all, choice{l, names[l]})
	}
	return all
}

// readKind takes it from a form; what is none of the list is the first of it.
func readKind(r *http.Request) (kind linkKind, good time.Duration) {
	kind = linkKind{store.MagicLink, store.LinkLanguages()[0]}
	if r.PostFormValue("good") == store.Embedded {
		kind.Good = store.Embedded
	}
	if l := r.PostFormValue("language"); slices.Contains(store.LinkLanguages(), l) {
		kind.Language = l
	}
	return kind, store.LinkTime(kind.Good)
}

// linkTools are what a link may be for: the customer's choice among the tools of a category, or one of them. No customer chooses
// the sandbox, which is for developers: it has to be named.
func (d *Dashboard) linkTools() []choice {
	var categories, tools []choice
	for _, t := range d.Connectors.All() {
		tools = append(tools, choice{t.Slug, t.Label})
		all := choice{string(t.Category), "The customer chooses, category " + string(t.Category)}
		if t.Slug != sandbox.Slug && !slices.Contains(categories, all) {
			categories = append(categories, all)
		}
	}
	return append(categories, tools...)
}

func (d *Dashboard) newLink(w http.ResponseWriter, r *http.Request) error {
	kind, _ := readKind(r)
	return d.showLinkForm(w, r, http.StatusOK, linkForm{Kind: kind, Tool: string(connector.HRIS)})
}

func (d *Dashboard) showLinkForm(w http.ResponseWriter, r *http.Request, status int, form linkForm) error {
	form.Tools = d.linkTools()
	v := d.view(r, "Make a link for the customer")
	v.Nav, v.Data = "integrations", form
	d.show(w, r, status, "link-new", v)
	return nil
}

// createLink does what POST /v1/connect/create-link does.
func (d *Dashboard) createLink(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	form := linkForm{
		Customer: strings.TrimSpace(r.PostFormValue("customer")), Email: clean(r.PostFormValue("email")), OriginID: clean(r.PostFormValue("origin_id")),
		Tool: r.PostFormValue("tool"), Errors: map[string]string{},
	}
	var good time.Duration
	form.Kind, good = readKind(r)
	link := store.Link{EnvironmentID: env(r).ID, Purpose: store.Connect, Language: form.Kind.Language}
	if problem := nameProblem(form.Customer); problem != "" {
		form.Errors["customer"] = "Who is to connect a tool? " + problem
	}
	email, ok := store.ParseEmail(form.Email)
	if !ok {
		form.Errors["email"] = "Write the address of the person who gets the link, such as anna@acme.example."
	}
	if len(form.OriginID) > mostKeyName {
		form.Errors["origin_id"] = "The id is too long: 200 bytes at most."
	}
	if !slices.ContainsFunc(d.linkTools(), func(c choice) bool { return c.Value == form.Tool }) {
		form.Errors["tool"] = "Choose one of the list."
	}
	if len(form.Errors) > 0 {
		return d.showLinkForm(w, r, http.StatusUnprocessableEntity, form)
	}
	link.EndUser = store.EndUser{OrganisationName: form.Customer, CreatorEmail: email, OriginID: form.OriginID}
	link.Category = form.Tool
	if c, ok := d.Connectors.Find(form.Tool); ok {
		link.Tool, link.Category = form.Tool, string(c.Describe().Category)
	}
	return d.makeLink(w, r, link, good)
}

// relink does what POST /v1/integrations/{id}/relink does.
func (d *Dashboard) relink(w http.ResponseWriter, r *http.Request) error {
	in, err := d.integrationOf(r)
	if err != nil {
		return err
	}
	if _, ok := d.Connectors.Find(in.Tool); !ok {
		return &problem{http.StatusConflict, "This server has no connector for the tool", "Nobody can connect it anew."}
	}
	kind, good := readKind(r)
	return d.makeLink(w, r, store.Link{
		EnvironmentID: in.EnvironmentID, Purpose: store.Relink, IntegrationID: in.ID, Tool: in.Tool, EndUser: in.EndUser, Language: kind.Language,
	}, good)
}

// makeLink keeps a link and shows it, the one time that it can be read: what is kept is its hash.
func (d *Dashboard) makeLink(w http.ResponseWriter, r *http.Request, link store.Link, good time.Duration) error {
	seed, _ := d.formSeed(r)
	token := auth.LinkTokenOf(seed)
	hash, _ := auth.HashToken(token)
	done, err := once(func() (bool, error) { return d.linkAgain(w, r, hash, token) }, func() error {
		return d.act(r, link.EnvironmentID, link.Purpose.Action(), link.IntegrationID, link.Made(good), func(ctx context.Context) error {
			kept, err := d.Store.CreateLink(ctx, link, hash, good)
			if err == nil {
				link = kept
			}
			return err
		})
	})
	if errors.Is(err, store.ErrExists) { // and has expired, so that linkAgain does not find it
		return d.linkMade(w, r, link)
	}
	if done || err != nil {
		return err
	}
	return d.showLinkOnce(w, r, link, token)
}

// showLinkOnce is showKeyOnce for a link.
func (d *Dashboard) showLinkOnce(w http.ResponseWriter, r *http.Request, link store.Link, token string) error {
	v := d.view(r, "The link for "+link.EndUser.OrganisationName)
	v.Nav = "integrations"
	v.Data = struct {
		store.Link
		URL    string
		Relink bool
	}{link, d.PublicURL + "/connect/" + token, link.Purpose == store.Relink}
	d.show(w, r, http.StatusOK, "link-once", v)
	return nil
}
