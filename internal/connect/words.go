package connect

import "fmt"

// words are the page's own texts in one language. Verbs of fmt stand for names; they are filled in as text, never as markup.
type words struct {
	Code string // of the language, for the page's lang attribute

	ChooseTitle, ChooseLede string // which tool, for whom
	Change                  string // another tool

	ConnectTitle, RelinkTitle, SetupTitle string // of the form, with the tool's name
	ConnectLede, RelinkLede, SetupLede    string
	Account                               string // whose account, with the customer's name

	NeedsTitle, LinksTitle string
	FieldsTitle, MoreTitle string
	Optional, Example      string
	SecretsNote            string // how credentials are kept
	TypeAgain              string // secrets are not shown again
	SubmitTest, SubmitSave string
	Testing                string // while the tool is asked
	On                     string // of a switch
	Default                string // a choice that is the default

	Problems, Problem1           string // how many fields are wrong
	Needed, NoNumber, NoDuration string
	NoChoice, NoAddress, NoData  string
	LineBreak, NotTaken          string // NotTaken goes before a connector's own words
	NoPlace                      string // this server has no master key

	Credentials, Permission, Throttled, Away, Unexpected string // how a test failed, with the tool's name
	Said                                                 string // the tool's own words follow
	NothingSaved                                         string

	DoneTitle, DoneAnew, DoneSetup string // with the tool's name
	DoneLede                       string // with the environment's name
	TokenTitle, TokenHelp          string
	Copy, Copied                   string
	MayClose                       string

	GoneTitle, GoneText string
	BusyTitle, BusyText string
	ManyTitle, ManyText string
	WrongTitle          string
	WrongText           string
	CrossText           string

	Other string // the other language, in that language
	Foot  string // with the environment's name
}

// fill puts names into a text.
func (words) fill(text string, names ...any) string { return fmt.Sprintf(text, names...) }

// inLanguage returns the texts of a language, and what is said of tools. Languages without a text have the English one.
func inLanguage(code string) (words, map[string]toolText) {
	if code == "de" {
		return deutsch(), german()
	}
	return plainEnglish(), english()
}

func plainEnglish() words {
	return words{ //nolint:gosec // texts about credentials are none
		Code:         "en",
		ChooseTitle:  "Which tool would you like to connect?",
		ChooseLede:   "%s keeps the skills of %s in step with your own system. Choose the one you use.",
		Change:       "Choose another tool",
		ConnectTitle: "Connect %s",
		RelinkTitle:  "Connect %s again",
		SetupTitle:   "Settings of %s",
		ConnectLede:  "%s will write skills into your %s. It takes about five minutes, and someone who administers %[2]s.",
		RelinkLede:   "%s needs new credentials for your %s. Nothing else changes: your skills stay where they are.",
		SetupLede:    "How %s writes skills into your %s. Your credentials stay as they are.",
		Account:      "For %s",
		NeedsTitle:   "What you need in %s",
		LinksTitle:   "%s explains",
		FieldsTitle:  "Your access",
		MoreTitle:    "More settings",
		Optional:     "optional",
		Example:      "Example: %s",
		SecretsNote:  "Credentials are stored encrypted, and shown to nobody again. They are used to write skills, for nothing else.",
		TypeAgain:    "Please enter it again: it is not kept in the page.",
		SubmitTest:   "Test and connect",
		SubmitSave:   "Save",
		Testing:      "Asking %s …",
		On:           "On",
		Default:      "%s (usual)",
		Problems:     "%d fields are not right yet",
		Problem1:     "One field is not right yet",
		Needed:       "Please fill this in.",
		NoNumber:     "Please enter a number.",
		NoDuration:   "Please enter a duration such as 30s or 1m30s.",
		NoChoice:     "Please choose one of the list.",
		NoAddress:    "Please enter an address such as https://example.com, without a user and a question mark.",
		NoData:       "Please enter JSON.",
		LineBreak:    "There is a line break in it. Please copy it once more.",
		NotTaken:     "This was not accepted:",
		NoPlace:      "%s cannot store credentials at the moment. Please tell the people who gave you this link.",
		Credentials:  "%s does not accept these credentials",
		Permission:   "%s accepts the credentials, but they may not write skills",
		Throttled:    "%s asks to be left alone for a while",
		Away:         "%s could not be reached",
		Unexpected:   "%s answered something unexpected",
		Said:         "%s says:",
		NothingSaved: "Nothing was saved. Correct it and try again.",
		DoneTitle:    "%s is connected",
		DoneAnew:     "%s is connected again",
		DoneSetup:    "Your settings of %s are saved",
		DoneLede:     "Thank you. %s takes it from here.",
		TokenTitle:   "Confirmation code",
		TokenHelp:    "You need it only if %s asks you for it. It is good for a day.",
		Copy:         "Copy",
		Copied:       "Copied",
		MayClose:     "You can close this page.",
		GoneTitle:    "This link cannot be used",
		GoneText:     "It was used already, has expired, or was not copied as a whole. Please ask the people who sent it for a new one.",
		BusyTitle:    "Too many are connecting at this moment",
		BusyText:     "Please try again in a minute. Nothing was saved.",
		ManyTitle:    "That was tried often",
		ManyText:     "So that nobody can guess credentials here, there is a pause of some minutes. Nothing was saved. Check the credentials in the tool meanwhile.",
		WrongTitle:   "That did not work",
		WrongText:    "The fault is on our side, and was noted. Nothing was saved. Please try again later.",
		CrossText:    "The form was sent from another site. Please open the link itself, and fill it in there.",
		Other:        "Deutsch",
		Foot:         "You were invited by %s. Only continue if you know them.",
	}
}

func deutsch() words {
	return words{ //nolint:gosec // likewise
		Code:         "de",
		ChooseTitle:  "Welches System möchten Sie verbinden?",
		ChooseLede:   "%s hält die Skills von %s in Ihrem eigenen System auf dem gleichen Stand. Wählen Sie das System, das Sie nutzen.",
		Change:       "Ein anderes System wählen",
		ConnectTitle: "%s verbinden",
		RelinkTitle:  "%s neu verbinden",
		SetupTitle:   "Einstellungen von %s",
		ConnectLede:  "%s wird Skills in Ihr %s schreiben. Es dauert etwa fünf Minuten, und es braucht jemanden, der %[2]s verwaltet.",
		RelinkLede:   "%s braucht neue Zugangsdaten für Ihr %s. Sonst ändert sich nichts: Ihre Skills bleiben, wo sie sind.",
		SetupLede:    "Wie %s Skills in Ihr %s schreibt. Ihre Zugangsdaten bleiben, wie sie sind.",
		Account:      "Für %s",
		NeedsTitle:   "Was Sie in %s brauchen",
		LinksTitle:   "%s erklärt",
		FieldsTitle:  "Ihr Zugang",
		MoreTitle:    "Weitere Einstellungen",
		Optional:     "freiwillig",
		Example:      "Beispiel: %s",
		SecretsNote:  "Zugangsdaten werden verschlüsselt gespeichert und niemandem mehr gezeigt. Sie dienen nur dazu, Skills zu schreiben.",
		TypeAgain:    "Bitte noch einmal eingeben: In der Seite wird es nicht behalten.",
		SubmitTest:   "Prüfen und verbinden",
		SubmitSave:   "Speichern",
		Testing:      "%s wird gefragt …",
		On:           "An",
		Default:      "%s (üblich)",
		Problems:     "%d Angaben stimmen noch nicht",
		Problem1:     "Eine Angabe stimmt noch nicht",
		Needed:       "Bitte ausfüllen.",
		NoNumber:     "Bitte eine Zahl eingeben.",
		NoDuration:   "Bitte eine Dauer wie 30s oder 1m30s eingeben.",
		NoChoice:     "Bitte eine der Möglichkeiten wählen.",
		NoAddress:    "Bitte eine Adresse wie https://example.com eingeben, ohne Benutzer und ohne Fragezeichen.",
		NoData:       "Bitte JSON eingeben.",
		LineBreak:    "Darin ist ein Zeilenumbruch. Bitte noch einmal kopieren.",
		NotTaken:     "Das wurde nicht angenommen:",
		NoPlace:      "%s kann zurzeit keine Zugangsdaten speichern. Bitte sagen Sie es denen, die Ihnen diesen Link gegeben haben.",
		Credentials:  "%s nimmt diese Zugangsdaten nicht an",
		Permission:   "%s nimmt die Zugangsdaten an, aber sie dürfen keine Skills schreiben",
		Throttled:    "%s bittet um eine Pause",
		Away:         "%s war nicht zu erreichen",
		Unexpected:   "%s hat etwas Unerwartetes geantwortet",
		Said:         "%s sagt:",
		NothingSaved: "Es wurde nichts gespeichert. Bitte berichtigen und noch einmal versuchen.",
		DoneTitle:    "%s ist verbunden",
		DoneAnew:     "%s ist wieder verbunden",
		DoneSetup:    "Ihre Einstellungen von %s sind gespeichert",
		DoneLede:     "Vielen Dank. Alles Weitere übernimmt %s.",
		TokenTitle:   "Bestätigungscode",
		TokenHelp:    "Sie brauchen ihn nur, wenn %s danach fragt. Er gilt einen Tag.",
		Copy:         "Kopieren",
		Copied:       "Kopiert",
		MayClose:     "Sie können diese Seite schließen.",
		GoneTitle:    "Dieser Link lässt sich nicht verwenden",
		GoneText:     "Er wurde schon verwendet, ist abgelaufen oder nicht vollständig kopiert. Bitte lassen Sie sich einen neuen schicken.",
		BusyTitle:    "Im Augenblick verbinden sich zu viele",
		BusyText:     "Bitte versuchen Sie es in einer Minute noch einmal. Es wurde nichts gespeichert.",
		ManyTitle:    "Das wurde oft versucht",
		ManyText:     "Damit hier niemand Zugangsdaten erraten kann, gibt es eine Pause von einigen Minuten. Es wurde nichts gespeichert. Prüfen Sie inzwischen die Zugangsdaten im System.",
		WrongTitle:   "Das hat nicht geklappt",
		WrongText:    "Der Fehler liegt bei uns und wurde festgehalten. Es wurde nichts gespeichert. Bitte versuchen Sie es später noch einmal.",
		CrossText:    "Das Formular kam von einer anderen Website. Bitte öffnen Sie den Link selbst und füllen Sie es dort aus.",
		Other:        "English",
		Foot:         "Eingeladen hat Sie %s. Machen Sie nur weiter, wenn Sie das kennen.",
	}
}

// What templates say with names in it.

// FootFor says who invites.
func (w words) FootFor(brand string) string { return w.fill(w.Foot, brand) }

// ChooseFor says for whom a tool is chosen.
func (w words) ChooseFor(brand, customer string) string { return w.fill(w.ChooseLede, brand, customer) }

// AccountOf says whose account it is.
func (w words) AccountOf(customer string) string { return w.fill(w.Account, customer) }

// NeedsIn is the title of what has to be done in a tool.
func (w words) NeedsIn(tool string) string { return w.fill(w.NeedsTitle, tool) }

// LinksOf goes before the vendor's pages.
func (w words) LinksOf(tool string) string { return w.fill(w.LinksTitle, tool) }

// ExampleOf a value.
func (w words) ExampleOf(value string) string { return w.fill(w.Example, value) }

// DefaultFor marks a choice that is the default.
func (w words) DefaultFor(choice string) string { return w.fill(w.Default, choice) }

// SaidBy goes before a tool's own words.
func (w words) SaidBy(tool string) string { return w.fill(w.Said, tool) }

// TokenFor says what the token is for.
func (w words) TokenFor(brand string) string { return w.fill(w.TokenHelp, brand) }

// ProblemsOf says how many fields are wrong.
func (w words) ProblemsOf(n int) string {
	if n == 1 {
		return w.Problem1
	}
	return w.fill(w.Problems, n)
}
