package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

type settingsPage struct {
	Users                         []store.User
	Environments                  []store.Environment
	Connect                       store.ConnectSettings
	Health                        store.Health
	MasterKey                     string // empty: none is noted
	KeyHere                       bool   // this process has it
	Tasks, Tombstones, Audit, Run time.Duration
	Logs                          time.Duration
	LogMode                       string
	Version, PublicURL            string
	Tools                         int
	// What went wrong with which form, and what was typed there.
	Wrong, Form string
	Typed       map[string]string
	// Once is a password that was made for somebody: it is shown once.
	Once, OnceFor string
}

func (d *Dashboard) settings(w http.ResponseWriter, r *http.Request) error {
	return d.showSettings(w, r, http.StatusOK, settingsPage{})
}

func (d *Dashboard) showSettings(w http.ResponseWriter, r *http.Request, status int, p settingsPage) error {
	ctx := r.Context()
	var err error
	if p.Users, err = d.Store.Users(ctx); err != nil {
		return err
	}
	if p.Health, err = d.Store.Health(ctx); err != nil {
		return err
	}
	if p.Environments, err = d.Store.Environments(ctx); err != nil {
		return err
	}
	if p.Connect, err = d.Store.ConnectSettings(ctx, env(r).ID); err != nil {
		return err
	}
	noted, err := d.Store.MasterKey(ctx)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	p.MasterKey, p.KeyHere = noted.ID, d.Keyring != nil
	p.Tasks, p.Tombstones, p.Audit, p.Run = d.KeepTasks, d.KeepTombstones, keepAudit, d.TaskTimeout
	p.Logs, p.LogMode = d.KeepLogs, d.LogMode
	p.Version, p.PublicURL, p.Tools = d.Version, d.PublicURL, len(d.Connectors.All())
	v := d.view(r, "Settings")
	v.Nav, v.Data = "settings", p
	d.show(w, r, status, "settings", v)
	return nil
}

// refuse shows the settings with what was wrong at a form.
func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, form, why string) error {
	typed := map[string]string{}
	for name := range r.PostForm {
		if !strings.Contains(name, "password") {
			typed[name] = r.PostFormValue(name)
		}
	}
	return d.showSettings(w, r, http.StatusUnprocessableEntity, settingsPage{Form: form, Wrong: why, Typed: typed})
}

func (d *Dashboard) createEnvironment(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimSpace(r.PostFormValue("name"))
	if wrong := nameProblem(name); wrong != "" {
		return d.refuse(w, r, "environment", wrong)
	}
	var made store.Environment
	err := d.act(r, "", "environment.create", "", "“"+name+"”", func(ctx context.Context) (err error) {
		made, err = d.Store.CreateEnvironment(ctx, name)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return d.refuse(w, r, "environment", "There is an environment of this name already.")
	}
	if err != nil {
		return err
	}
	d.notice(r, "The environment “"+name+"” is there. Nothing of the others can be seen from it.")
	return redirect(w, r, "/e/"+made.ID+"/")
}

func (d *Dashboard) renameEnvironment(w http.ResponseWriter, r *http.Request) error {
	name := strings.TrimSpace(r.PostFormValue("name"))
	if wrong := nameProblem(name); wrong != "" {
		return d.refuse(w, r, "rename", wrong)
	}
	err := d.act(r, env(r).ID, "environment.rename", env(r).ID, "“"+env(r).Name+"” is called “"+name+"”", func(ctx context.Context) error {
		_, err := d.Store.RenameEnvironment(ctx, env(r).ID, name)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return d.refuse(w, r, "rename", "There is an environment of this name already.")
	}
	if err != nil {
		return err
	}
	d.notice(r, "It is called “"+name+"” now. Its id, and so every address, stays.")
	return redirect(w, r, base(r)+"/settings")
}

// setConnect changes how the page behaves where customers connect their tools.
func (d *Dashboard) setConnect(w http.ResponseWriter, r *http.Request) error {
	e := env(r)
	list := strings.FieldsFunc(r.PostFormValue("origins"), func(c rune) bool { return c == ',' || c <= ' ' })
	settings, err := store.ParseConnectSettings(list, strings.TrimSpace(r.PostFormValue("redirect")))
	if err != nil {
		return d.refuse(w, r, "connect", "This cannot be used: "+err.Error()+". Nothing was changed.")
	}
	if err := d.act(r, e.ID, "environment.connect", e.ID, "“"+e.Name+"”", func(ctx context.Context) error {
		return d.Store.SetConnectSettings(ctx, e.ID, settings)
	}); err != nil {
		return err
	}
	d.notice(r, "The page where customers connect is changed. It counts from the next time that somebody opens it.")
	return redirect(w, r, base(r)+"/settings#connect")
}

func (d *Dashboard) deleteEnvironment(w http.ResponseWriter, r *http.Request) error {
	e := env(r)
	if strings.TrimSpace(r.PostFormValue("name")) != e.Name {
		return d.refuse(w, r, "delete", "That is not its name: type “"+e.Name+"”. Nothing was deleted.")
	}
	if e.Name == store.DefaultEnvironment {
		return d.refuse(w, r, "delete", "The environment “default” is the one that a server makes for itself: it stays. It can be renamed.")
	}
	err := d.act(r, "", "environment.delete", e.ID, "“"+e.Name+"”", func(ctx context.Context) error { return d.Store.DeleteEnvironment(ctx, e.ID) })
	if errors.Is(err, store.ErrInUse) {
		return d.refuse(w, r, "delete", "It holds integrations, or had some whose tasks can still be read, or API keys that are good. Only an empty one can be deleted.")
	}
	if err != nil {
		return err
	}
	d.notice(r, "The environment “"+e.Name+"” is deleted.")
	return redirect(w, r, "/")
}

// eraseEnvironment takes an environment away from everybody at once. What it held is removed in the background.
func (d *Dashboard) eraseEnvironment(w http.ResponseWriter, r *http.Request) error {
	e := env(r)
	switch {
	case strings.TrimSpace(r.PostFormValue("name")) != e.Name:
		return d.refuse(w, r, "erase", "That is not its name: type “"+e.Name+"”. Nothing was erased.")
	case e.Name == store.DefaultEnvironment:
		return d.refuse(w, r, "erase", "The environment “default” is the one that a server makes for itself: it stays. It can be renamed.")
	case len(r.Context().Value(placeKey{}).(*place).all) == 1:
		return d.refuse(w, r, "erase", "It is the only environment. Make another one first.")
	}
	err := d.act(r, "", "environment.erase", e.ID, "“"+e.Name+"” with all it held", func(ctx context.Context) error { return d.Store.EraseEnvironment(ctx, e.ID) })
	if err != nil {
		return err
	}
	d.notice(r, "The environment “"+e.Name+"” is gone for everybody. What it held is removed within minutes; the audit log tells when nothing is left.")
	return redirect(w, r, "/")
}

func (d *Dashboard) createUser(w http.ResponseWriter, r *http.Request) error {
	role, ok := store.ParseRole(r.PostFormValue("role"))
	if !ok {
		return d.refuse(w, r, "user", "Choose a role.")
	}
	user, err := d.newUser(r.Context(), r.PostFormValue("name"), r.PostFormValue("password"), role)
	if wrong, ok := asInvalid(err); ok {
		return d.refuse(w, r, "user", wrong)
	}
	if err != nil {
		return err
	}
	err = d.act(r, "", "user.create", user.Name, user.Name+", "+role.String(), func(ctx context.Context) error {
		_, err := d.Store.CreateUser(ctx, user)
		return err
	})
	if errors.Is(err, store.ErrExists) {
		return d.refuse(w, r, "user", "There is a user of this name already.")
	}
	if err != nil {
		return err
	}
	d.notice(r, user.Name+" can sign in. Pass the password on, and have it changed on the page Account.")
	return redirect(w, r, base(r)+"/settings#users")
}

// onUser finds the user that an address names.
func (d *Dashboard) onUser(r *http.Request) (store.User, error) {
	return d.Store.User(r.Context(), r.PathValue("user"))
}

func (d *Dashboard) changeRole(w http.ResponseWriter, r *http.Request) error {
	user, err := d.onUser(r)
	if err != nil {
		return err
	}
	role, ok := store.ParseRole(r.PostFormValue("role"))
	if !ok {
		return d.refuse(w, r, "users", "Choose a role.")
	}
	err = d.act(r, "", "user.role", user.ID, user.Name+" is "+role.String()+", was "+user.Role.String(), func(ctx context.Context) error {
		_, err := d.Store.SetRole(ctx, user.ID, role)
		return err
	})
	if errors.Is(err, store.ErrLastOwner) {
		return d.refuse(w, r, "users", user.Name+" is the last owner: make somebody else one first.")
	}
	if err != nil {
		return err
	}
	d.notice(r, user.Name+" is "+role.String()+" now.")
	return redirect(w, r, base(r)+"/settings#users")
}

func (d *Dashboard) resetPassword(w http.ResponseWriter, r *http.Request) error {
	user, err := d.onUser(r)
	if err != nil {
		return err
	}
	hash, err := d.hash(r.Context(), r.PostFormValue("password"))
	if wrong, ok := asInvalid(err); ok {
		return d.refuse(w, r, "users", wrong)
	}
	if err != nil {
		return err
	}
	if err := d.act(r, "", "user.password", user.ID, user.Name, func(ctx context.Context) error {
		_, err := d.Store.SetPassword(ctx, user.ID, hash)
		return err
	}); err != nil {
		return err
	}
	d.notice(r, "The password of "+user.Name+" is changed, and all sessions are over.")
	return redirect(w, r, base(r)+"/settings#users")
}

func (d *Dashboard) signOutUser(w http.ResponseWriter, r *http.Request) error {
	user, err := d.onUser(r)
	if err != nil {
		return err
	}
	if err := d.act(r, "", "user.sign-out", user.ID, user.Name, func(ctx context.Context) error {
		_, err := d.Store.EndSessions(ctx, user.ID)
		return err
	}); err != nil {
		return err
	}
	d.notice(r, user.Name+" is signed out everywhere.")
	return redirect(w, r, base(r)+"/settings#users")
}

func (d *Dashboard) deleteUser(w http.ResponseWriter, r *http.Request) error {
	user, err := d.onUser(r)
	if err != nil {
		return err
	}
	if normalName(r.PostFormValue("name")) != user.Name {
		return d.refuse(w, r, "users", "That is not the name: type “"+user.Name+"”. Nobody was deleted.")
	}
	err = d.act(r, "", "user.delete", user.ID, user.Name, func(ctx context.Context) error { return d.Store.DeleteUser(ctx, user.ID) })
	if errors.Is(err, store.ErrLastOwner) {
		return d.refuse(w, r, "users", user.Name+" is the last owner: make somebody else one first.")
	}
	if err != nil {
		return err
	}
	d.notice(r, user.Name+" is deleted, and signed out.")
	return redirect(w, r, base(r)+"/settings#users")
}

type accountPage struct{ Error string }

func (d *Dashboard) account(w http.ResponseWriter, r *http.Request) error {
	return d.showAccount(w, r, http.StatusOK, "")
}

func (d *Dashboard) showAccount(w http.ResponseWriter, r *http.Request, status int, wrong string) error {
	v := d.view(r, "Account")
	v.Nav, v.Data = "account", accountPage{wrong}
	d.show(w, r, status, "account", v)
	return nil
}

func (d *Dashboard) changePassword(w http.ResponseWriter, r *http.Request) error {
	ctx, user := r.Context(), who(r)
	names, limits := subjects(user.Name, d.Clients.Client(r).Addr)
	may, err := d.Store.Attempt(ctx, names, limits, attemptTime) // a session that was left open is no way to guess
	if err != nil {
		return err
	}
	if !may {
		return d.showAccount(w, r, http.StatusTooManyRequests, "Too many attempts. Try again in 15 minutes.")
	}
	good, err := d.passwordIs(ctx, r.PostFormValue("old-password"), user.Password)
	if err != nil {
		return err
	}
	if !good {
		return d.showAccount(w, r, http.StatusUnprocessableEntity, "That is not your password of today.")
	}
	hash, err := d.hash(ctx, r.PostFormValue("new-password"))
	if wrong, ok := asInvalid(err); ok {
		return d.showAccount(w, r, http.StatusUnprocessableEntity, wrong)
	}
	if err != nil {
		return err
	}
	err = d.act(r, "", "user.password", user.ID, user.Name, func(ctx context.Context) error {
		user, err = d.Store.SetPassword(ctx, user.ID, hash)
		return err
	})
	if err != nil {
		return err
	}
	if err := d.Store.ForgetAttempts(ctx, names[0]); err != nil {
		return err
	}
	if err := d.begin(r, user); err != nil { // this session goes on, all others are over
		return err
	}
	d.notice(r, "Your password is changed. You are signed out everywhere else.")
	return redirect(w, r, "/account/")
}

func (d *Dashboard) signOutEverywhere(w http.ResponseWriter, r *http.Request) error {
	user := who(r)
	if err := d.act(r, "", "user.sign-out", user.ID, user.Name, func(ctx context.Context) error {
		_, err := d.Store.EndSessions(ctx, user.ID)
		return err
	}); err != nil {
		return err
	}
	return d.signOut(w, r)
}

// auditTogether is how many entries a page has.
const auditTogether = 50

func (d *Dashboard) audit(w http.ResponseWriter, r *http.Request) error {
	f := store.AuditFilter{Before: clean(r.FormValue("before")), Limit: auditTogether + 1}
	if r.FormValue("of") == "here" {
		f.EnvironmentID = env(r).ID
	}
	entries, err := d.Store.AuditLog(r.Context(), f)
	if err != nil {
		return err
	}
	page := struct {
		Entries  []store.AuditEntry
		Next, Of string
		First    bool
		Names    map[string]string
	}{entries, "", r.FormValue("of"), f.Before == "", map[string]string{}}
	if len(entries) > auditTogether {
		page.Entries = entries[:auditTogether]
		page.Next = page.Entries[auditTogether-1].ID
	}
	for _, e := range r.Context().Value(placeKey{}).(*place).all {
		page.Names[e.ID] = e.Name
	}
	v := d.view(r, "Audit log")
	v.Nav, v.Data = "settings", page
	d.show(w, r, http.StatusOK, "audit", v)
	return nil
}
