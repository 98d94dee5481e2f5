package dashboard

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/auth"
	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

// keyState says whether a key is good.
func keyState(k store.Key, now time.Time) mark {
	switch {
	case !k.RevokedAt.IsZero():
		return markOf("off", "Revoked")
	case k.Expired:
		return markOf("off", "Expired")
	case !k.ExpiresAt.IsZero() && k.ExpiresAt.Sub(now) < 14*24*time.Hour:
		return markOf("partly", "Expires soon")
	default:
		return markOf("ok", "Active")
	}
}

type keyRow struct {
	store.Key
	State mark
}

// Good reports whether the key is accepted.
func (k keyRow) Good() bool { return k.RevokedAt.IsZero() && !k.Expired }

func (d *Dashboard) secrets(w http.ResponseWriter, r *http.Request) error {
	keys, err := d.Store.Keys(r.Context(), env(r).ID)
	if err != nil {
		return err
	}
	slices.Reverse(keys) // newest first
	var page struct {
		Good, Over []keyRow
		All        bool
	}
	page.All = r.FormValue("all") != ""
	for _, k := range keys {
		row := keyRow{k, keyState(k, d.Now())}
		if row.Good() {
			page.Good = append(page.Good, row)
		} else {
			page.Over = append(page.Over, row)
		}
	}
	v := d.view(r, "Secrets")
	v.Nav, v.Data = "secrets", page
	d.show(w, r, http.StatusOK, "secrets", v)
	return nil
}

// lifetimes are what a form offers.
func lifetimes() []choice {
	return []choice{{"", "Never"}, {"720h", "In 30 days"}, {"2160h", "In 90 days"}, {"8760h", "In a year"}}
}

type choice struct{ Value, Label string }

type keyForm struct {
	Name, Expires, Addresses string
	Write, Read, Manage      bool
	Errors                   map[string]string
	Lifetimes                []choice
}

func (d *Dashboard) newKey(w http.ResponseWriter, r *http.Request) error {
	return d.showKeyForm(w, r, http.StatusOK, keyForm{Write: true, Read: true})
}

func (d *Dashboard) showKeyForm(w http.ResponseWriter, r *http.Request, status int, form keyForm) error {
	form.Lifetimes = lifetimes()
	v := d.view(r, "Make an API key")
	v.Nav, v.Data = "secrets", form
	d.show(w, r, status, "key-new", v)
	return nil
}

// mostKeyName is the longest name of a key, an environment or a customer.
const mostKeyName = 200

func (d *Dashboard) createKey(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return err
	}
	form := keyForm{
		Name: strings.TrimSpace(r.PostFormValue("name")), Expires: r.PostFormValue("expires"), Addresses: r.PostFormValue("addresses"),
		Write: r.PostFormValue("write") != "", Read: r.PostFormValue("read") != "", Manage: r.PostFormValue("manage") != "", Errors: map[string]string{},
	}
	key := store.Key{EnvironmentID: env(r).ID, Name: form.Name, CreatedBy: who(r).Name}
	if problem := nameProblem(form.Name); problem != "" {
		form.Errors["name"] = problem
	}
	for scope, on := range map[store.Scopes]bool{store.WriteSkills: form.Write, store.ReadSkills: form.Read, store.ManageIntegrations: form.Manage} {
		if on {
			key.Scopes |= scope
		}
	}
	if key.Scopes == 0 {
		form.Errors["scopes"] = "A key that may do nothing is of no use: choose one at least."
	}
	if form.Expires != "" {
		lives, err := time.ParseDuration(form.Expires)
		if err != nil || !slices.ContainsFunc(lifetimes(), func(c choice) bool { return c.Value == form.Expires }) {
			form.Errors["expires"] = "Choose one of the list."
		}
		key.Lives = lives
	}
	var err error
	if key.Addresses, err = auth.ParseNetworks(strings.FieldsFunc(form.Addresses, func(c rune) bool { return c == ',' || c == ';' || c <= ' ' })); err != nil {
		form.Errors["addresses"] = "One line: " + err.Error() + "."
	}
	if len(form.Errors) > 0 {
		return d.showKeyForm(w, r, http.StatusUnprocessableEntity, form)
	}
	seed, _ := d.formSeed(r)
	secret, shown, hash := auth.KeyOf(seed)
	noMore := func(context.Context) error { return nil }
	key.Prefix = shown
	done, err := once(func() (bool, error) { return d.keyAgain(w, r, hash, secret, "", noMore) }, func() error {
		return d.act(r, key.EnvironmentID, "key.create", shown, "“"+key.Name+"”, may "+key.Scopes.String(), func(ctx context.Context) (err error) {
			key, err = d.Store.CreateKey(ctx, key, hash)
			return err
		})
	})
	if done || err != nil {
		return err
	}
	return d.showKeyOnce(w, r, key, secret, "")
}

// showKeyOnce is the one time that a key can be read: it answers the form itself, since a page that it led to would have to
// find the key somewhere.
func (d *Dashboard) showKeyOnce(w http.ResponseWriter, r *http.Request, key store.Key, secret, replaces string) error {
	list, err := d.Store.IntegrationStates(r.Context(), store.IntegrationFilter{EnvironmentID: key.EnvironmentID, Limit: 1})
	if err != nil {
		return err
	}
	integration := "INTEGRATION"
	if len(list) > 0 {
		integration = list[0].ID
	}
	v := d.view(r, "Your new API key")
	v.Nav = "secrets"
	v.Data = struct {
		store.Key
		Secret, Integration, Replaces, URL string
		Writes                             bool
	}{key, secret, integration, replaces, d.PublicURL, key.Scopes&store.WriteSkills != 0}
	d.show(w, r, http.StatusOK, "key-once", v)
	return nil
}

func nameProblem(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "Give it a name, so that people know what it is for."
	case len(name) > mostKeyName:
		return "The name is too long: 200 bytes at most."
	case strings.ToValidUTF8(name, "") != name || strings.ContainsRune(name, 0):
		return "The name is no text."
	}
	return ""
}

// keyOf finds the key that an address names.
func (d *Dashboard) keyOf(r *http.Request) (store.Key, error) {
	return d.Store.Key(r.Context(), env(r).ID, r.PathValue("key"))
}

type keyPage struct {
	keyRow
	Overlaps []choice
	Error    string
	Typed    string
}

func (d *Dashboard) key(w http.ResponseWriter, r *http.Request) error {
	return d.showKey(w, r, http.StatusOK, "", "")
}

func (d *Dashboard) showKey(w http.ResponseWriter, r *http.Request, status int, wrong, typed string) error {
	key, err := d.keyOf(r)
	if err != nil {
		return err
	}
	v := d.view(r, key.Name)
	v.Nav = "secrets"
	v.Data = keyPage{keyRow{key, keyState(key, d.Now())}, overlaps(), wrong, typed}
	d.show(w, r, status, "key", v)
	return nil
}

// overlaps are how long a key that was rotated is good beside the new one.
func overlaps() []choice {
	return []choice{{"24h", "24 hours"}, {"1h", "1 hour"}, {"168h", "7 days"}, {"0s", "not at all: it ends now"}}
}

func (d *Dashboard) rotateKey(w http.ResponseWriter, r *http.Request) error {
	old, err := d.keyOf(r)
	if err != nil {
		return err
	}
	overlap, err := time.ParseDuration(r.PostFormValue("overlap"))
	if err != nil || !slices.ContainsFunc(overlaps(), func(c choice) bool { return c.Value == r.PostFormValue("overlap") }) {
		return d.showKey(w, r, http.StatusUnprocessableEntity, "Choose how long the old key stays good.", "")
	}
	expire := func(ctx context.Context) error {
		_, err := d.Store.ExpireKey(ctx, old.EnvironmentID, old.ID, overlap)
		return err
	}
	seed, _ := d.formSeed(r)
	secret, shown, hash := auth.KeyOf(seed)
	key := store.Key{
		EnvironmentID: old.EnvironmentID, Name: old.Name, Prefix: shown, Scopes: old.Scopes, Addresses: old.Addresses, CreatedBy: who(r).Name,
	}
	if !old.ExpiresAt.IsZero() {
		key.Lives = old.ExpiresAt.Sub(old.CreatedAt) // as long as the old one was to live
	}
	over := errors.New("the key is over")
	done, err := once(func() (bool, error) { return d.keyAgain(w, r, hash, secret, old.Prefix, expire) }, func() error {
		if row := (keyRow{Key: old}); !row.Good() {
			return over
		}
		return d.act(r, old.EnvironmentID, "key.rotate", old.ID, "“"+old.Name+"”: "+shown+"… takes the place of "+old.Prefix+"…, which ends in "+took(overlap), func(ctx context.Context) (err error) {
			if key, err = d.Store.CreateKey(ctx, key, hash); err != nil {
				return err
			}
			return expire(ctx)
		})
	})
	switch {
	case errors.Is(err, over):
		return d.showKey(w, r, http.StatusConflict, "This key is over already; make a new one.", "")
	case done || err != nil:
		return err
	}
	return d.showKeyOnce(w, r, key, secret, old.Prefix)
}

func (d *Dashboard) revokeKey(w http.ResponseWriter, r *http.Request) error {
	key, err := d.keyOf(r)
	if err != nil {
		return err
	}
	if typed := strings.TrimSpace(r.PostFormValue("name")); typed != strings.TrimSpace(key.Name) {
		return d.showKey(w, r, http.StatusUnprocessableEntity, "That is not its name: type “"+key.Name+"”. Nothing was revoked.", typed)
	}
	err = d.act(r, key.EnvironmentID, "key.revoke", key.ID, "“"+key.Name+"”, "+key.Prefix+"…", func(ctx context.Context) error {
		_, err := d.Store.RevokeKey(ctx, key.ID)
		return err
	})
	if err != nil {
		return err
	}
	d.notice(r, "“"+key.Name+"” is revoked. Running servers refuse it within a second.")
	return redirect(w, r, base(r)+"/secrets")
}

// asInvalid tells what is wrong with what somebody typed, if that is it.
func asInvalid(err error) (string, bool) {
	told, ok := errors.AsType[*skill.Error](err)
	if !ok || told.Kind != skill.Invalid {
		return "", false
	}
	return told.Message, true
}
