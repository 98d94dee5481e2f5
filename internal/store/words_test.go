package store_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/store"
)

func TestWords(t *testing.T) {
	for _, test := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{" – , ", nil},
		{"Perform advanced Task 17", []string{"perform", "advanced", "task", "17"}},
		{"Café über Straße", []string{"cafe", "uber", "strasse"}},
		{"e\u0301cole ÉCOLE", []string{"ecole", "ecole"}},
		{"Łódź Ærø œuvre", []string{"lodz", "aero", "oeuvre"}},
		{"ﬁnance ＡＢＣ ２", []string{"finance", "abc", "2"}},
		{"Οδυσσέας ΟΔΥΣΣΕΑΣ", []string{"οδυσσεασ", "οδυσσεασ"}},
		{"Ёлка Йод", []string{"елка", "иод"}},
		{"C++, C# and F#/.NET; a+b C++11 g+", []string{"c++", "c#", "and", "f#", "net", "a", "b", "c", "11", "g+"}},
		{"snake_case C-level R&D", []string{"snake", "case", "c", "level", "r", "d"}},
		{"项目管理 team", []string{"项", "目", "管", "理", "team"}},
		{"ガイド abc", []string{"カ\u3099", "イ", "ト\u3099", "abc"}},
		{"ความรู้", []string{"ค", "ว", "า", "ม", "ร\u0e39\u0e49"}},
		{"हिन्दी भाषा", []string{"हिन्दी", "भाषा"}},
		{"שָׁלוֹם", []string{"שלום"}},
		{"مُحَمَّد", []string{"محمد"}},
		{"bad \xff\xfe bytes\x00here", []string{"bad", "bytes", "here"}},
		{`x' OR "1"=1; DROP* (NEAR) -a :* & | !`, []string{"x", "or", "1", "1", "drop", "near", "a"}},
		{strings.Repeat("a", 100), []string{strings.Repeat("a", 60)}},
		{strings.Repeat("ж", 100), []string{strings.Repeat("ж", 30)}},
	} {
		if diff := cmp.Diff(test.want, store.Words(test.text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

func TestSearchMatches(t *testing.T) {
	for _, test := range []struct {
		search, name string
		want         bool
	}{
		{"", "anything", true},
		{" , ", "anything", true},
		{"type", "TypeScript for managers", true},
		{"script", "TypeScript", false}, // the middle of a word is no word
		{"manag type", "TypeScript for managers", false},
		{"managers type", "TypeScript for managers", true},
		{"cafe", "Un CAFÉ noir", true},
		{"CAFÉ", "un cafe noir", true},
		{"c++", "C++ and Rust", true},
		{"c++", "C and Rust", false},
		{"c", "C++ and Rust", true},
		{"c-level", "C level talks", true},
		{"c-level", "Level C talks", false},
		{"level-c x", "Level C talks", false},
		{"管理", "项目管理", true},
		{"理管", "项目管理", false},
		{"管", "项目管理", true},
		{strings.Repeat("a", 100), strings.Repeat("a", 200), true},
		{"perform perform", "perform", true},
	} {
		if got := store.NewSearch(test.search).Matches(test.name); got != test.want {
			t.Errorf("%q in %q: %v, want %v", test.search, test.name, got, test.want)
		}
	}
}

func FuzzWords(f *testing.F) {
	for _, text := range []string{"", "C++ für Einsteiger", "项目管理", "\xff\"'*", strings.Repeat("é", 90), "ガイド", "a+#b"} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, text, name string) {
		for _, w := range store.Words(text) {
			if w == "" || len(w) > 62 || !utf8.ValidString(w) || strings.ContainsAny(w, " \t\r\n\x00\"'\\*():&|!<>=^-,.;{}[]%_") {
				t.Errorf("%q is a word of %q", w, text)
			}
		}
		s := store.NewSearch(text)
		if len(strings.Fields(text)) <= 4 && len(store.Words(text)) <= 16 && !s.Matches(text) {
			t.Errorf("%q does not match itself", text)
		}
		// What matches has every term: an index loses nothing.
		if s.Empty() || !s.Matches(name) {
			return
		}
		whole, beginning := s.Terms()
		for _, w := range s.Words() {
			if len(name) == utf8.RuneCountInString(name) && !strings.Contains(strings.ToLower(name), w) {
				t.Errorf("%q matches %q, which does not have %q", text, name, w)
			}
		}
		words := store.Words(name)
		has := func(is func(string) bool) bool {
			for _, w := range words {
				if is(w) {
					return true
				}
			}
			return false
		}
		for _, w := range whole {
			if !has(func(of string) bool { return of == w }) {
				t.Errorf("%q matches %q, which has no word %q", text, name, w)
			}
		}
		if !has(func(of string) bool { return strings.HasPrefix(of, beginning) }) {
			t.Errorf("%q matches %q, which has no word that begins with %q", text, name, beginning)
		}
	})
}

func FuzzUnpackTexts(f *testing.F) {
	f.Add(store.PackTexts(nil))
	f.Add(store.PackTexts([]string{"", "a", strings.Repeat("b", 300)}))
	f.Add([]byte{5, 16, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, block []byte) {
		texts, err := store.UnpackTexts(block)
		if err != nil {
			return
		}
		again, err := store.UnpackTexts(store.PackTexts(texts))
		if diff := cmp.Diff(texts, again); err != nil || diff != "" {
			t.Errorf("%v (-once +again):\n%s", err, diff)
		}
	})
}
