package connect

// Texts are what the tests look at: the page's words and what it says of tools, by language.
func Texts(language string) (any, map[string]toolText) {
	w, tools := inLanguage(language)
	return w, tools
}
