package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

const (
	// mostProblems is how many faults of a request are listed; the rest is counted.
	mostProblems = 20
	// mostWarnings is likewise for unknown fields.
	mostWarnings = 20
	// mostQuoted is how much of a caller's own text is repeated in a message.
	mostQuoted = 64
)

// bulkRequest is a decoded body.
type bulkRequest struct {
	Items    []skill.Item
	Warnings []string
}

// decodeBulk reads the body of an upsert in one pass over its bytes. It refuses what is not strict JSON (duplicate keys,
// invalid UTF-8, lone surrogates, anything behind the value) at the first fault, and lists what is wrong with the content.
func decodeBulk(body []byte, mostItems int) (bulkRequest, error) {
	d := &bulkDecoder{
		in: jsontext.NewDecoder(bytes.NewBuffer(body)), mostItems: mostItems,
		warned: map[string]bool{},
	}
	// An item takes at least some 90 bytes in practice; guessing low only costs a growth.
	guess := min(mostItems, len(body)/90)
	d.items, d.positions = make([]skill.Item, 0, guess), make(map[string]int, guess)
	if len(bytes.TrimSpace(body)) == 0 {
		return bulkRequest{}, invalid("The body is empty. Send a JSON object such as %s.", exampleBody)
	}
	if err := d.request(); err != nil {
		return bulkRequest{}, d.syntax(err, len(body))
	}
	if len(d.problems) > 0 {
		message := strings.Join(d.problems, "; ")
		if more := d.problemCount - len(d.problems); more > 0 {
			message += fmt.Sprintf("; and %d more", more)
		}
		return bulkRequest{}, invalid("%s.", message)
	}
	if more := len(d.warned) - len(d.warnings); more > 0 {
		d.warnings = append(d.warnings, fmt.Sprintf("%d more unknown fields were ignored.", more))
	}
	return bulkRequest{Items: d.items, Warnings: d.warnings}, nil
}

const exampleBody = `{"items":[{"origin_id":"skill-1","skill":{"name":"TypeScript"}}]}`

func invalid(format string, args ...any) error {
	return skill.Errorf(skill.Invalid, skill.CodeInputInvalid, format, args...)
}

type bulkDecoder struct {
	in        *jsontext.Decoder
	mostItems int

	items     []skill.Item
	positions map[string]int // of each origin_id

	problems     []string
	problemCount int
	warnings     []string
	warned       map[string]bool // by field name; counts beyond mostWarnings too, up to mostNames
}

// errStop ends the reading early: what was found is enough.
var errStop = errors.New("stop")

func (d *bulkDecoder) problem(format string, args ...any) {
	d.problemCount++
	if len(d.problems) < mostProblems {
		d.problems = append(d.problems, fmt.Sprintf(format, args...))
	}
}

// unknown notes a field that is not ours, once for each name.
func (d *bulkDecoder) unknown(path, name string) {
	const mostNames = 10_000 // a bound on memory for a body that is nothing but fields
	if len(d.warned) >= mostNames || d.warned[name] {
		return
	}
	d.warned[name] = true
	if len(d.warnings) < mostWarnings {
		d.warnings = append(d.warnings, fmt.Sprintf("The field %s is not known and was ignored (first seen at %s).", quote(name), path))
	}
}

func (d *bulkDecoder) request() error {
	if kind := d.in.PeekKind(); kind != jsontext.KindBeginObject {
		if err := d.in.SkipValue(); err != nil {
			return err
		}
		d.problem("the body must be an object, it is %s", kindName(kind))
		return d.end()
	}
	seen := false
	err := d.object(func(name string) error {
		if name != "items" {
			d.unknown(quotePath(name), name)
			return d.in.SkipValue()
		}
		seen = true
		return d.itemList()
	})
	switch {
	case errors.Is(err, errStop):
		return nil
	case err != nil:
		return err
	case !seen:
		d.problem("items is missing")
	}
	return d.end()
}

// end checks that nothing follows the value.
func (d *bulkDecoder) end() error {
	if _, err := d.in.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errTrailing
		}
		return err
	}
	return nil
}

var errTrailing = errors.New("something follows the JSON value")

// object calls field for each name of an object; field must read the value.
func (d *bulkDecoder) object(field func(name string) error) error {
	if _, err := d.in.ReadToken(); err != nil {
		return err
	}
	for d.in.PeekKind() != jsontext.KindEndObject {
		name, err := d.name()
		if err != nil {
			return err
		}
		if err := field(name); err != nil {
			return err
		}
	}
	_, err := d.in.ReadToken()
	return err
}

// name reads a field's name. Those that every item has cost no memory.
func (d *bulkDecoder) name() (string, error) {
	raw, err := d.in.ReadValue()
	if err != nil {
		return "", err
	}
	switch string(raw) {
	case `"origin_id"`:
		return "origin_id", nil
	case `"skill"`:
		return "skill", nil
	case `"name"`:
		return "name", nil
	case `"status"`:
		return "status", nil
	}
	name, err := jsontext.AppendUnquote(nil, raw)
	return string(name), err
}

func (d *bulkDecoder) itemList() error {
	if kind := d.in.PeekKind(); kind != jsontext.KindBeginArray {
		d.problem("items must be an array, it is %s", kindName(kind))
		return d.in.SkipValue()
	}
	if _, err := d.in.ReadToken(); err != nil {
		return err
	}
	at := 0
	for ; d.in.PeekKind() != jsontext.KindEndArray; at++ {
		if at == d.mostItems {
			d.problem("items holds more than %d entries, the most this server takes in one request", d.mostItems)
			return errStop
		}
		if err := d.item(at); err != nil {
			return err
		}
	}
	if at == 0 {
		d.problem("items is empty")
	}
	_, err := d.in.ReadToken()
	return err
}

// rawItem is an item while it is read. A field is set at most once: JSON with duplicate names is refused, and a name
// beside a skill object with a name is told apart by where it stood.
type rawItem struct {
	originID, name, status          string
	hasOriginID, hasName, hasStatus bool // and is a string
	badOriginID, badName, badStatus bool // present, but not a string
	nested                          bool // has a skill object
	flatName, flatStatus            bool
}

func (d *bulkDecoder) item(at int) error {
	if kind := d.in.PeekKind(); kind != jsontext.KindBeginObject {
		d.problem("items[%d] must be an object, it is %s", at, kindName(kind))
		return d.in.SkipValue()
	}
	var raw rawItem
	err := d.object(func(name string) error {
		switch name {
		case "origin_id":
			return d.text(&raw.originID, &raw.hasOriginID, &raw.badOriginID, at, "origin_id")
		case "name":
			raw.flatName = true
			return d.text(&raw.name, &raw.hasName, &raw.badName, at, "name")
		case "status":
			raw.flatStatus = true
			return d.text(&raw.status, &raw.hasStatus, &raw.badStatus, at, "status")
		case "skill":
			return d.nested(&raw, at)
		default:
			d.unknown(fmt.Sprintf("items[%d].%s", at, quotePath(name)), name)
			return d.in.SkipValue()
		}
	})
	if err != nil {
		return err
	}
	d.add(raw, at)
	return nil
}

func (d *bulkDecoder) nested(raw *rawItem, at int) error {
	if kind := d.in.PeekKind(); kind != jsontext.KindBeginObject {
		d.problem("items[%d].skill must be an object, it is %s", at, kindName(kind))
		raw.badName = true // said already
		return d.in.SkipValue()
	}
	raw.nested = true
	var name, status string
	var hasName, hasStatus bool
	err := d.object(func(field string) error {
		switch field {
		case "name":
			return d.text(&name, &hasName, &raw.badName, at, "skill.name")
		case "status":
			return d.text(&status, &hasStatus, &raw.badStatus, at, "skill.status")
		default:
			d.unknown(fmt.Sprintf("items[%d].skill.%s", at, quotePath(field)), field)
			return d.in.SkipValue()
		}
	})
	if hasName {
		raw.name, raw.hasName = name, true
	}
	if hasStatus {
		raw.status, raw.hasStatus = status, true
	}
	return err
}

// text reads a value that must be a string.
func (d *bulkDecoder) text(to *string, has, bad *bool, at int, path string) error {
	if kind := d.in.PeekKind(); kind != jsontext.KindString {
		*bad = true
		if err := d.in.SkipValue(); err != nil {
			return err
		}
		d.problem("items[%d].%s must be a string, it is %s", at, path, kindName(kind))
		return nil
	}
	token, err := d.in.ReadToken()
	if err != nil {
		return err
	}
	*to, *has = token.String(), true
	return nil
}

// add checks a whole item.
func (d *bulkDecoder) add(raw rawItem, at int) {
	prefix := ""
	if raw.nested {
		prefix = "skill."
		if raw.flatName || raw.flatStatus {
			d.problem("items[%d] has a skill object and name or status beside it: use one form", at)
			return
		}
	}
	item := skill.Item{OriginID: raw.originID, Name: raw.name, Status: skill.Active}
	switch {
	case raw.hasOriginID:
		if wrong := skill.CheckOriginID(raw.originID); wrong != "" {
			d.problem("items[%d].origin_id %s", at, wrong)
		} else if first, twice := d.positions[raw.originID]; twice {
			d.problem("items[%d].origin_id is the same as items[%d].origin_id (%s)", at, first, quote(raw.originID))
		} else {
			d.positions[raw.originID] = at
		}
	case !raw.badOriginID:
		d.problem("items[%d].origin_id is missing", at)
	}
	switch {
	case raw.hasName:
		if wrong := skill.CheckName(raw.name); wrong != "" {
			d.problem("items[%d].%sname %s", at, prefix, wrong)
		}
	case !raw.badName:
		d.problem("items[%d].%sname is missing", at, prefix)
	}
	if raw.hasStatus {
		status, ok := skill.ParseStatus(raw.status)
		if !ok {
			d.problem("items[%d].%sstatus must be ACTIVE or INACTIVE, it is %s", at, prefix, quote(raw.status))
		}
		item.Status = status
	}
	if d.problemCount == 0 {
		d.items = append(d.items, item)
	}
}

// syntax tells where a body stops being JSON.
func (d *bulkDecoder) syntax(err error, length int) error {
	offset, why := d.in.InputOffset(), "is not valid JSON"
	place := ""
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		offset = e.ByteOffset
		why = "is not valid JSON: " + e.Err.Error()
		place = pathOf(e.JSONPointer)
	}
	switch {
	case errors.Is(err, errTrailing):
		return invalid("The body goes on after the JSON value, at byte %d.", offset)
	case errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF):
		return invalid("The body ends in the middle of the JSON value, at byte %d.", length)
	}
	if place != "" {
		place = " (" + place + ")"
	}
	return invalid("The body %s, at byte %d%s.", why, offset, place)
}

// pathOf writes a JSON pointer as people write paths: /items/17/name is items[17].name.
func pathOf(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if n, err := strconv.Atoi(token); err == nil {
			fmt.Fprintf(&b, "[%d]", n)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(quotePath(token))
	}
	return b.String()
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginObject:
		return "an object"
	case jsontext.KindBeginArray:
		return "an array"
	default:
		return "not JSON"
	}
}

// quote repeats a caller's text in a message: whole if it is short.
func quote(text string) string { return strconv.Quote(cut(text)) }

// quotePath repeats a field name, quoted only where it could be misread.
func quotePath(name string) string {
	if name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" {
		return cut(name)
	}
	return quote(name)
}

func cut(text string) string {
	if len(text) <= mostQuoted {
		return text
	}
	return strings.ToValidUTF8(text[:mostQuoted], "") + "…"
}
