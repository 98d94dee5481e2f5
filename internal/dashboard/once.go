package dashboard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// formTime is how long the number of a form is good: without a good one, a form that is sent twice makes two.
	formTime = 24 * time.Hour
	// onceTime is how long a form that is sent again shows the key that it has made: a double click takes less.
	onceTime = time.Minute
	// taskStep is how far the time in the id of a task that a form makes may be back: tasks are listed by it, so it is not that
	// of the form, which may have been shown long ago.
	taskStep = 5 * time.Minute
	// onceWait is how long an answer waits for what the same form, sent just before, is about to make.
	onceWait = 5 * time.Second
)

// formNumber is what a form bears that makes something, so that it makes one, however often it is sent.
func (d *Dashboard) formNumber() string { return skill.NewID(d.Now()) }

// formSeed is the same whenever the same form is sent with the same content from the same session, and nobody can guess it who
// lacks one of them: what the form makes is derived from it, so the database refuses to keep it twice, whichever process was
// asked. At is when the form was shown.
func (d *Dashboard) formSeed(r *http.Request) (seed [32]byte, at time.Time) {
	number, token := r.PostFormValue("form"), d.sessions.Token(r.Context())
	at = skill.TimeOf(number)
	if at.IsZero() || d.Now().Sub(at).Abs() > formTime || token == "" {
		_, _ = rand.Read(seed[:]) // never fails: it ends the process instead
		return seed, d.Now()
	}
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte(r.URL.Path + "?" + r.PostForm.Encode()))
	return [32]byte(mac.Sum(nil)), at
}

// once does what a form is for, unless the same form has done it, also meanwhile: then again has answered, and done is true.
func once(again func() (done bool, err error), do func() error) (done bool, err error) {
	if done, err = again(); done || err != nil {
		return done, err
	}
	if err = do(); err == nil {
		return false, nil
	}
	if done, bad := again(); done && bad == nil {
		return true, nil
	}
	return false, err
}

// keyAgain answers a form that has made its key already, if it has: with the key, as the first answer, which the browser may have
// dropped, or later with the page of the key. Finish is what comes after a key is made; it may have been done already.
func (d *Dashboard) keyAgain(
	w http.ResponseWriter, r *http.Request, hash [32]byte, secret, replaces string, finish func(context.Context) error,
) (done bool, err error) {
	key, err := d.Store.KeyByHash(r.Context(), hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := finish(r.Context()); err != nil {
		return false, err
	}
	if d.Now().Sub(key.CreatedAt) < onceTime && key.RevokedAt.IsZero() {
		return true, d.showKeyOnce(w, r, key, secret, replaces)
	}
	d.notice(r, "That form has made this key already. A key is shown once: make another one if you do not have it.")
	return true, redirect(w, r, base(r)+"/secrets/"+key.ID)
}

// linkAgain is keyAgain for a link. One that was used, or has expired, has no page.
func (d *Dashboard) linkAgain(w http.ResponseWriter, r *http.Request, hash [32]byte, token string) (done bool, err error) {
	link, err := d.Store.Link(r.Context(), hash)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return false, nil
	case err != nil:
		return false, err
	}
	if d.Now().Sub(link.CreatedAt) < onceTime && !link.Used() {
		return true, d.showLinkOnce(w, r, link, token)
	}
	return true, d.linkMade(w, r, link)
}

// linkMade answers a form whose link cannot be shown any more.
func (d *Dashboard) linkMade(w http.ResponseWriter, r *http.Request, link store.Link) error {
	d.notice(r, "That form has made its link already. A link is shown once: make another one if you do not have it.")
	to := base(r) + "/integrations"
	if link.Purpose == store.Relink {
		to += "/" + link.IntegrationID
	}
	return redirect(w, r, to)
}

// integrationAgain is keyAgain for an integration.
func (d *Dashboard) integrationAgain(w http.ResponseWriter, r *http.Request, id string) (done bool, err error) {
	_, err = d.Store.Integration(r.Context(), env(r).ID, id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, redirect(w, r, base(r)+"/integrations/"+id)
}

// taskOnce sends a task with the id that it is given, unless the same form has done so: then again is true, and id is that task's.
// In PostgreSQL tasks that wait and those that have ended stand in tables of their own, so an id alone does not keep a second one
// away: the form is counted first.
func (d *Dashboard) taskOnce(r *http.Request, send func(id string) error) (id string, again bool, err error) {
	ctx := r.Context()
	seed, shown := d.formSeed(r)
	var ids []string // that it may have: the last one is of now
	for at := shown; len(ids) == 0 || !at.After(d.Now()); at = at.Add(taskStep) {
		ids = append(ids, skill.TaskIDOf(at, seed))
	}
	find := func() (string, error) {
		for _, id := range slices.Backward(ids) {
			if _, err := d.Store.TaskHead(ctx, env(r).ID, id); !errors.Is(err, store.ErrNotFound) {
				return id, err
			}
		}
		return "", nil
	}
	if id, err = find(); id != "" || err != nil {
		return id, true, err
	}
	subject := "form:" + hex.EncodeToString(seed[:])
	first, err := d.Store.Attempt(ctx, []string{subject}, []int{1}, formTime)
	if err != nil {
		return "", false, err
	}
	if first {
		id = ids[len(ids)-1]
		if err = send(id); err != nil {
			// What kept it away may be mended. If this fails too, the form is sent in vain from now on, and its page says so.
			_ = d.Store.ForgetAttempts(context.WithoutCancel(ctx), subject)
		}
		return id, false, err
	}
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for over := time.After(onceWait); ; {
		if id, err = find(); id != "" || err != nil {
			return id, true, err
		}
		select {
		case <-look.C:
		case <-over:
			return "", false, &problem{
				http.StatusConflict, "These skills were sent from this page already",
				"But their task is not to be found. Look for it among the tasks; if it is not there, load the task's page again and send them once more.",
			}
		case <-ctx.Done():
			return "", false, ctx.Err()
		}
	}
}
