package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		createLinkExample, `{}`, `[]`, ``, ` `, `null`, `{"end_user_email":null}`, `{"a":1,"a":2}`, `{"\u0061":1,"a":2}`, `{"language":"de","value":true}`,
		`{"end_user_email":"Anna.O'Neil+x@ACME.Example","end_user_organization_name":"\u0000"}`, "{\"end_user_email\":\"\xff\"}",
		`{"end_user_organization_name":"\ud800","language":{}}`, `{} {}`, strings.Repeat(`{"a":`, 100),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		o, err := decodeSmall(body, false, createLinkExample)
		if !bytes.Equal(before, body) {
			t.Fatal("the body was changed")
		}
		var email, name, language string
		if err == nil {
			email, name = o.email("end_user_email"), o.text("end_user_organization_name", 10, true)
			language = o.choice("language", false, store.LinkLanguages()...)
			o.truth("value", false)
			err = o.err()
		}
		if err != nil {
			if skill.KindOf(err) != skill.Invalid || !utf8.ValidString(err.Error()) || len(err.Error()) > 8000 {
				t.Fatalf("error %q", err)
			}
			return
		}
		again, good := store.ParseEmail(email)
		switch {
		case !json.Valid(body):
			t.Fatal("accepted, and not JSON")
		case !good || again != email:
			t.Errorf("email %q", email)
		case name == "" || utf8.RuneCountInString(name) > 10 || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
			t.Errorf("name %q", name)
		case !strings.Contains("en de fr it es", language) || len(language) != 2:
			t.Errorf("language %q", language)
		}
	})
}
