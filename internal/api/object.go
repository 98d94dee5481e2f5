package api

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// object is a small JSON object that is read field by field; what is wrong with it is gathered. Fields that nobody asks for
// are ignored: the contract goes on growing.
type object struct {
	fields   map[string]jsontext.Value
	problems []string
}

// readObject reads a request's body. A body that may be absent is an empty object then.
func (a *API) readObject(w http.ResponseWriter, r *http.Request, mayBeAbsent bool, example string) (*object, error) {
	if mayBeAbsent && absent(w, r) {
		return &object{}, nil
	}
	body, release, err := a.bodies.read(w, r)
	if err != nil {
		return nil, err
	}
	defer release()
	return decodeSmall(body, mayBeAbsent, example)
}

// decodeSmall reads the fields of a body's object. It refuses what is not strict JSON.
func decodeSmall(body []byte, mayBeAbsent bool, example string) (*object, error) {
	o := &object{fields: map[string]jsontext.Value{}}
	if len(bytes.TrimSpace(body)) == 0 {
		if mayBeAbsent {
			return o, nil
		}
		return nil, invalid("The body is empty. Send a JSON object such as %s.", example)
	}
	d := &bulkDecoder{in: jsontext.NewDecoder(bytes.NewReader(body))}
	if kind := d.in.PeekKind(); kind != jsontext.KindBeginObject && kind != jsontext.KindInvalid {
		return nil, invalid("The body must be a JSON object such as %s; it is %s.", example, kindName(kind))
	}
	err := d.object(func(name string) error {
		value, err := d.in.ReadValue()
		o.fields[name] = value.Clone() // it is good until the next one is read
		return err
	})
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return nil, d.syntax(err, len(body))
	}
	return o, nil
}

// err is what is wrong with the fields that were asked for.
func (o *object) err() error {
	if len(o.problems) == 0 {
		return nil
	}
	return invalid("%s.", strings.Join(o.problems, "; "))
}

func (o *object) problem(format string, args ...any) {
	o.problems = append(o.problems, fmt.Sprintf(format, args...))
}

// value of a field; null is as if it were absent, unless it is required.
func (o *object) value(name string, kind jsontext.Kind, required bool) (jsontext.Value, bool) {
	v, ok := o.fields[name]
	switch {
	case !ok && required:
		o.problem("%s is missing", name)
	case !ok, v.Kind() == jsontext.KindNull && !required:
	case v.Kind() == kind, kind == jsontext.KindTrue && v.Kind() == jsontext.KindFalse:
		return v, true
	default:
		o.problem("%s must be %s, it is %s", name, kindName(kind), kindName(v.Kind()))
	}
	return nil, false
}

// text of at least one and at most so many characters, none of them a control character; empty if absent.
func (o *object) text(name string, most int, required bool) string {
	v, ok := o.value(name, jsontext.KindString, required)
	if !ok {
		return ""
	}
	raw, err := jsontext.AppendUnquote(nil, v)
	text := strings.TrimSpace(string(raw))
	switch {
	case err != nil:
		o.problem("%s is no text", name)
	case text == "":
		o.problem("%s is empty", name)
	case utf8.RuneCountInString(text) > most:
		o.problem("%s has more than %d characters", name, most)
	case strings.ContainsFunc(text, unicode.IsControl):
		o.problem("%s holds a control character", name)
	}
	return text
}

// choice is one of some words; the first of them if absent, and not required.
func (o *object) choice(name string, required bool, choices ...string) string {
	v, ok := o.value(name, jsontext.KindString, required)
	if !ok {
		return choices[0]
	}
	text, _ := jsontext.AppendUnquote(nil, v) // what cannot be read is no choice
	if !slices.Contains(choices, string(text)) {
		o.problem("%s must be one of %s, it is %s", name, strings.Join(choices, ", "), quote(string(text)))
	}
	return string(text)
}

// truth is false if absent.
func (o *object) truth(name string, required bool) bool {
	v, _ := o.value(name, jsontext.KindTrue, required)
	return v != nil && v.Kind() == jsontext.KindTrue
}

// has reports whether a field has a value.
func (o *object) has(name string) bool {
	v, ok := o.fields[name]
	return ok && v.Kind() != jsontext.KindNull
}
