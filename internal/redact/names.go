package redact

import (
	"bytes"
	"strings"
)

// words are what the name of a secret holds, in lower case.
//
//nolint:gochecknoglobals // a constant, were slices allowed to be
var words = [][]byte{
	[]byte("token"), []byte("secret"), []byte("passw"), []byte("passphrase"), []byte("pwd"), []byte("credential"), []byte("authorization"),
	[]byte("session"), []byte("cookie"), []byte("signature"), []byte("api_key"), []byte("api-key"), []byte("apikey"), []byte("private_key"),
	[]byte("access_key"), []byte("accesskey"), []byte("nonce"),
}

// parameters are names of secrets where nothing but "=" follows.
//
//nolint:gochecknoglobals // likewise
var parameters = [][]byte{[]byte("pass="), []byte("key=")}

// mostName bounds the rest of a name behind such a word.
const mostName = 64

// byName finds values that are secret by what stands before them, and our own keys. A text may be anything; it is looked at
// around such words alone.
func byName(text []byte, found func(from, to int)) {
	lower := lowered(text)
	for _, w := range words {
		each(lower, w, func(i int) {
			end := i + len(w)
			for end < len(text) && end-i < mostName && inName(text[end]) {
				end++
			}
			if from, to := valueOf(text, end, string(w) == "authorization"); to > from {
				found(from, to)
			} else if isElement(text, i) {
				if from, to := contentOf(text, end); to > from {
					found(from, to)
				}
			}
		})
	}
	for _, p := range parameters {
		each(lower, p, func(i int) {
			if from, to := valueOf(text, i+len(p)-1, false); to > from {
				found(from, to)
			}
		})
	}
	// API keys, links to connect a tool, and the tokens these end with; but for what is shown of them.
	for _, prefix := range []string{"cw_live_", "cwl_", "cwt_"} {
		each(text, []byte(prefix), func(i int) {
			from := i + len(prefix) + 6
			to := from
			for to < len(text) && inName(text[to]) {
				to++
			}
			if to > from {
				found(from, to)
			}
		})
	}
	each(lower, []byte("private key-----"), func(i int) {
		from := i + len("private key-----")
		to := bytes.Index(text[from:], []byte("-----"))
		if to < 0 {
			to = len(text) - from
		}
		if to > 0 {
			found(from, from+to)
		}
	})
}

// lowered is the text with the letters of ASCII in lower case, every byte in its place.
func lowered(text []byte) []byte {
	out := make([]byte, len(text))
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out[i] = c
	}
	return out
}

func each(text, word []byte, found func(i int)) {
	for at := 0; ; at += len(word) {
		i := bytes.Index(text[at:], word)
		if i < 0 {
			return
		}
		at += i
		found(at)
	}
}

func inName(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '.'
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '\\' }

// valueOf finds the value behind a name that ends at i: name="…", "name": "…", name=…&. Without a quote a colon is one of
// prose, unless anyway.
func valueOf(text []byte, i int, anyway bool) (from, to int) {
	for i < len(text) && isQuote(text[i]) {
		i++
	}
	i = blanks(text, i)
	if i == len(text) || text[i] != ':' && text[i] != '=' {
		return 0, 0
	}
	colon := text[i] == ':'
	i++
	if colon || i < len(text) && isQuote(text[i]) {
		i = blanks(text, i)
	}
	quote, escaped := byte(0), false
	for i < len(text) && isQuote(text[i]) {
		quote, escaped = text[i], escaped || text[i] == '\\'
		i++
	}
	from = i
	if quote != 0 && quote != '\\' {
		for i < len(text) && text[i] != quote {
			if text[i] == '\\' && escaped { // of the quote that ends it; what is escaped once more is seen decoded
				break
			}
			if text[i] == '\\' && i+1 < len(text) {
				i++
			}
			i++
		}
		return from, i
	}
	if colon && !anyway && quote == 0 {
		return 0, 0
	}
	if anyway { // the scheme is no secret
		for _, scheme := range []string{"bearer ", "basic "} {
			if i+len(scheme) <= len(text) && strings.EqualFold(string(text[i:i+len(scheme)]), scheme) {
				i += len(scheme)
				from = i
			}
		}
	}
	for i < len(text) && bytes.IndexByte([]byte(" \t\r\n&\"'<>,;#\\"), text[i]) < 0 {
		i++
	}
	return from, i
}

func blanks(text []byte, i int) int {
	for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '\r' || text[i] == '\n') {
		i++
	}
	return i
}

// isElement reports whether the name that holds place i is that of an element of XML.
func isElement(text []byte, i int) bool {
	for n := 0; i > 0 && n < mostName && (inName(text[i-1]) || text[i-1] == ':'); n++ {
		i--
	}
	return i > 0 && text[i-1] == '<'
}

// mostAttributes bounds the attributes of an element that are skipped.
const mostAttributes = 1 << 10

// contentOf finds the text of an element whose name ends at i.
func contentOf(text []byte, i int) (from, to int) {
	n := bytes.IndexByte(text[i:min(len(text), i+mostAttributes)], '>')
	if n < 0 {
		return 0, 0
	}
	from = blanks(text, i+n+1)
	if rest, ok := bytes.CutPrefix(text[from:], []byte("<![CDATA[")); ok {
		from = len(text) - len(rest)
		to = bytes.Index(rest, []byte("]]>"))
	} else {
		to = bytes.IndexByte(text[from:], '<')
	}
	if to < 0 {
		to = len(text) - from
	}
	return from, from + to
}
