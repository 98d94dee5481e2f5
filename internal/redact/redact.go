// Package redact takes out of texts what nobody is to see: secrets that are known, in whatever way they are written down,
// and values whose name says that they are secret.
package redact

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Mark stands where something was taken out.
const Mark = "…"

// shortest is the length of the shortest secret that is looked for: without a shorter one nothing readable would be left.
const shortest = 4

// Redactor knows secrets. The zero value knows none, and still goes by names. It may be used by several goroutines at once.
type Redactor struct {
	needles, spaced [][]byte // spaced: with a blank for each "+", as in forms
	longest         int
}

// New makes a redactor that knows these secrets.
func New(secrets ...string) *Redactor {
	r := &Redactor{}
	seen := map[string]bool{}
	for _, s := range secrets {
		if len(s) < shortest {
			continue
		}
		r.longest = max(r.longest, len(s))
		for _, form := range append(inBase64(s), s, hex.EncodeToString([]byte(s)), strings.ToUpper(hex.EncodeToString([]byte(s)))) {
			if len(form) < shortest || seen[form] {
				continue
			}
			seen[form] = true
			r.needles = append(r.needles, []byte(form))
			r.spaced = append(r.spaced, []byte(strings.ReplaceAll(form, "+", " ")))
		}
	}
	return r
}

// inBase64 is how a text looks within anything that is written in base 64: there are three ways, by what stands before it.
func inBase64(s string) []string {
	var forms []string
	for before := range 3 {
		padded := append(make([]byte, before, before+len(s)), s...)
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// Characters at the ends that hold bits of something else are left out.
			forms = append(forms, e.EncodeToString(padded)[(8*before+5)/6:8*len(padded)/6])
		}
	}
	return forms
}

// Overlap is how many bytes behind a cut have to be known, so that a secret across it is recognised.
func (r *Redactor) Overlap() int { return 6 * r.longest }

// Text redacts a text.
func (r *Redactor) Text(text string) string {
	out, _ := r.Head([]byte(text), len(text))
	return string(out)
}

// Head redacts the first bytes of a text, most of them at most; whole says whether that is all of it. What is behind them
// serves to recognise a secret that is cut in two, see Overlap.
func (r *Redactor) Head(text []byte, most int) (head []byte, whole bool) {
	spans := r.find(text)
	whole = len(text) <= most
	end := min(len(text), most)
	out := make([]byte, 0, end+len(spans)*len(Mark))
	at := 0
	for _, s := range spans {
		if s.from >= end {
			break
		}
		out = append(append(out, text[at:s.from]...), Mark...)
		at = s.to
	}
	if at < end {
		for !whole && end > at && !utf8.RuneStart(text[end]) { // no half a character
			end--
		}
		out = append(out, text[at:end]...)
	}
	return out, whole
}

// span is what is taken out: from, up to but not including to.
type span struct{ from, to int }

// mostViews bounds the work on a text that is encoded over and over.
const (
	mostViews = 12
	mostDepth = 3
)

// view is a text as it reads decoded; at says where each byte of it stands in the text, and one more where that ends. A nil
// at is the text itself.
type view struct {
	text  []byte
	at    []int32
	depth int
	form  bool // decoded as a form
}

func (v view) place(i int) int {
	if v.at == nil {
		return i
	}
	return int(v.at[i])
}

// find looks for secrets in the text, and in everything that it reads as when it is decoded once or several times. The spans
// are in order and do not overlap.
func (r *Redactor) find(text []byte) []span {
	var spans []span
	views := []view{{text: text}}
	for n := 0; n < len(views); n++ {
		v := views[n]
		needles := r.needles
		if v.form {
			needles = r.spaced
		}
		for _, needle := range needles {
			for from := 0; ; {
				i := bytes.Index(v.text[from:], needle)
				if i < 0 {
					break
				}
				from += i
				spans = append(spans, span{v.place(from), v.place(from + len(needle))})
				from += len(needle)
			}
		}
		byName(v.text, func(from, to int) { spans = append(spans, span{v.place(from), v.place(to)}) })
		if v.depth == mostDepth {
			continue
		}
		for _, decode := range []func(view) (view, bool){percent, backslash, entities} {
			if d, changed := decode(v); changed && len(views) < mostViews {
				d.depth = v.depth + 1
				views = append(views, d)
			}
		}
	}
	return merge(spans)
}

func merge(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.from <= out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// decoding builds a view of another one.
type decoding struct {
	view
	of view
}

func decode(of view) decoding {
	return decoding{view{text: make([]byte, 0, len(of.text)), at: make([]int32, 0, len(of.text)+1), form: of.form}, of}
}

// add appends what the bytes from place i on stand for.
func (d *decoding) add(i int, b ...byte) {
	for range b {
		d.at = append(d.at, int32(d.of.place(i)))
	}
	d.text = append(d.text, b...)
}

func (d *decoding) end() view {
	d.at = append(d.at, int32(d.of.place(len(d.of.text))))
	return d.view
}

// percent decodes %41, and + as a blank.
func percent(v view) (view, bool) {
	if v.form && bytes.IndexByte(v.text, '%') < 0 || bytes.IndexByte(v.text, '%') < 0 && bytes.IndexByte(v.text, '+') < 0 {
		return v, false
	}
	d := decode(v)
	d.form = true
	for i := 0; i < len(v.text); i++ {
		c := v.text[i]
		switch {
		case c == '+':
			d.add(i, ' ')
		case c == '%' && i+2 < len(v.text):
			if b, err := strconv.ParseUint(string(v.text[i+1:i+3]), 16, 8); err == nil {
				if b == '+' { // needles have a blank for it, however it is written
					b = ' '
				}
				d.add(i, byte(b))
				i += 2
				continue
			}
			d.add(i, c)
		default:
			d.add(i, c)
		}
	}
	return d.end(), true
}

// backslash decodes the escapes of JSON.
func backslash(v view) (view, bool) {
	if bytes.IndexByte(v.text, '\\') < 0 {
		return v, false
	}
	d := decode(v)
	for i := 0; i < len(v.text); i++ {
		c := v.text[i]
		if c != '\\' || i+1 == len(v.text) {
			d.add(i, c)
			continue
		}
		switch next := v.text[i+1]; next {
		case 'n':
			d.add(i, '\n')
		case 't':
			d.add(i, '\t')
		case 'r':
			d.add(i, '\r')
		case 'b':
			d.add(i, '\b')
		case 'f':
			d.add(i, '\f')
		case 'u':
			first, ok := unit(v.text[i:])
			if !ok {
				d.add(i, c)
				continue
			}
			length := 6
			if utf16.IsSurrogate(first) {
				if second, ok := unit(v.text[i+6:]); ok {
					first, length = utf16.DecodeRune(first, second), 12
				}
			}
			d.add(i, utf8.AppendRune(nil, first)...)
			i += length - 1
			continue
		default:
			d.add(i, next)
		}
		i++
	}
	return d.end(), true
}

// unit reads \u0041.
func unit(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n), err == nil
}

// mostEntity is the length of the longest reference of HTML and XML that is looked at.
const mostEntity = 16

// entities decodes &amp; and &#65;.
func entities(v view) (view, bool) {
	if bytes.IndexByte(v.text, '&') < 0 || bytes.IndexByte(v.text, ';') < 0 {
		return v, false
	}
	d := decode(v)
	changed := false
	for i := 0; i < len(v.text); i++ {
		if v.text[i] == '&' {
			if n := bytes.IndexByte(v.text[i:min(len(v.text), i+mostEntity)], ';'); n > 0 {
				reference := string(v.text[i : i+n+1])
				if plain := html.UnescapeString(reference); plain != reference {
					d.add(i, []byte(plain)...)
					i += n
					changed = true
					continue
				}
			}
		}
		d.add(i, v.text[i])
	}
	return d.end(), changed
}
