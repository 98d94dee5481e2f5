package store

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	// longestWord cuts words, in bytes: of names and of searches alike, so that they still meet.
	longestWord = 60
	// mostWords is how many words of a search count.
	mostWords = 16
)

// Words are the words of a text, in their order, in a form in which those meet that people take for the same: small letters,
// no accents, no ligatures or other ways of writing the same character. A word is letters and digits, and may end with pluses
// and hashes ("c++"). Scripts that are written without spaces have a word for each character. Words hold nothing that means
// anything to a database, and no spaces.
func Words(text string) []string {
	if isASCII(text) {
		return asciiWords(text)
	}
	var all []string
	var word []byte
	end := func() {
		if len(word) > 0 {
			all = append(all, string(cutWord(word)))
			word = word[:0]
		}
	}
	plain := norm.NFKD.String(strings.ToValidUTF8(text, " "))
	for i, r := range plain {
		switch {
		case isAccent(r):
		case unicode.IsMark(r):
			if len(word) > 0 {
				word = utf8.AppendRune(word, r)
			}
		case unicode.IsLetter(r), unicode.IsNumber(r):
			if len(word) > 0 && isSign(rune(word[len(word)-1])) {
				end()
			}
			if alone(r) {
				end()
			}
			word = appendFolded(word, r)
			if alone(r) && !marked(plain[i+utf8.RuneLen(r):]) {
				end()
			}
		case isSign(r) && len(word) > 0 && signsEnd(plain[i:]):
			word = utf8.AppendRune(word, r)
		default:
			end()
		}
	}
	end()
	return all
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// asciiWords is Words of most names, and takes a fraction of the time.
func asciiWords(text string) []string {
	text = strings.ToLower(text)
	all := make([]string, 0, 8)
	start := -1
	for i := 0; i <= len(text); i++ {
		if i < len(text) {
			c := text[i]
			if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
				if start < 0 {
					start = i
				}
				continue
			}
			if start >= 0 && isSign(rune(c)) && signsEnd(text[i:]) {
				continue
			}
		}
		if start >= 0 {
			all = append(all, text[start:min(i, start+longestWord)])
			start = -1
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

func isSign(r rune) bool { return r == '+' || r == '#' }

// signsEnd reports whether nothing that belongs to a word follows the signs that a text begins with.
func signsEnd(text string) bool {
	r, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, "+#"))
	return !unicode.IsLetter(r) && !unicode.IsNumber(r)
}

// marked reports whether a text begins with something that belongs to the character before it.
func marked(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return unicode.IsMark(r)
}

// isAccent reports whether a mark is one that people leave out: of the European scripts, and the points of Hebrew and Arabic.
// Those of India, say, are vowels.
func isAccent(r rune) bool {
	return r >= 0x300 && r <= 0x36f || r >= 0x591 && r <= 0x5c7 && unicode.IsMark(r) || r >= 0x64b && r <= 0x65f || r == 0x670 ||
		r >= 0x1ab0 && r <= 0x1aff || r >= 0x1dc0 && r <= 0x1dff || r >= 0x20d0 && r <= 0x20ff
}

// alone reports whether a character is of a script that is written without spaces.
func alone(r rune) bool {
	return r >= 0x0e00 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan)
}

// appendFolded adds a letter as it is compared. Some letters look like others with an accent, but are not made of them.
func appendFolded(word []byte, r rune) []byte {
	switch r = unicode.ToLower(r); r {
	case 'ß':
		return append(word, "ss"...)
	case 'æ':
		return append(word, "ae"...)
	case 'œ':
		return append(word, "oe"...)
	case 'ø':
		r = 'o'
	case 'ł':
		r = 'l'
	case 'đ', 'ð':
		r = 'd'
	case 'ħ':
		r = 'h'
	case 'ı':
		r = 'i'
	case 'ς':
		r = 'σ'
	}
	return utf8.AppendRune(word, r)
}

func cutWord(word []byte) []byte {
	if len(word) <= longestWord {
		return word
	}
	n := longestWord
	for !utf8.RuneStart(word[n]) {
		n--
	}
	return word[:n]
}

// Search is what somebody looks for in names. The zero one finds every name.
type Search struct {
	// phrases are the texts between spaces: their words stand side by side in a name. The last word of the last one may be
	// the beginning of one.
	phrases [][]string
}

// NewSearch reads a search. There is none that is wrong; one without any word finds every name.
func NewSearch(text string) Search {
	var s Search
	left := mostWords
	for _, part := range strings.Fields(text) {
		words := Words(part)
		if words = words[:min(len(words), left)]; len(words) > 0 {
			s.phrases = append(s.phrases, words)
			left -= len(words)
		}
	}
	return s
}

// Empty reports whether it finds every name.
func (s Search) Empty() bool { return len(s.phrases) == 0 }

// Words are all that it looks for. An ASCII name that matches has each of them in it somewhere, in small letters.
func (s Search) Words() []string { return slices.Concat(s.phrases...) }

// Matches reports whether a name is one of those that are looked for.
func (s Search) Matches(name string) bool {
	if s.Empty() {
		return true
	}
	words := Words(name)
	for i, phrase := range s.phrases {
		if !stands(words, phrase, i == len(s.phrases)-1) {
			return false
		}
	}
	return true
}

// stands reports whether the words of a phrase stand side by side somewhere; of the last one the beginning may be enough.
func stands(words, phrase []string, beginning bool) bool {
	last := len(phrase) - 1
	for at := 0; at+last < len(words); at++ {
		if slices.Equal(words[at:at+last], phrase[:last]) && (words[at+last] == phrase[last] || beginning && strings.HasPrefix(words[at+last], phrase[last])) {
			return true
		}
	}
	return false
}

// Terms are what an index is asked for: whole words, and one that a word begins with. All names that match have them all; not
// all that have them match.
func (s Search) Terms() (whole []string, beginning string) {
	for i, phrase := range s.phrases {
		for j, w := range phrase {
			if i == len(s.phrases)-1 && j == len(phrase)-1 {
				beginning = w
			} else {
				whole = append(whole, w)
			}
		}
	}
	slices.Sort(whole)
	return slices.Compact(whole), beginning
}

// Telling reports whether an index is of use. Of what begins with one letter there is too much to be gathered; a character of
// a script without spaces is a word.
func (s Search) Telling() bool {
	whole, beginning := s.Terms()
	r, n := utf8.DecodeRuneInString(beginning)
	return len(whole) > 0 || n < len(beginning) || alone(r)
}
