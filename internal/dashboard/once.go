package dashboard

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"net/http"
	"time"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

const (
	// formTime is how long the number of a form is good: without a good one, a form that is sent twice makes two.
	formTime = 24 * time.Hour
	// onceTime is how long a form that is sent again shows the key that it has made: a double click takes less.
	onceTime = time.Minute
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
