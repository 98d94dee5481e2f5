package connect

// toolText is what people read about a tool on the page. Where a text is missing, the connector's own English one stands in.
type toolText struct {
	Summary string
	// Needs is what has to be done in the tool before, step by step.
	Needs []string
	// Fields are the settings' labels and helps, by name.
	Fields map[string]fieldText
}

type fieldText struct{ Label, Help string }

// english has the steps alone: the rest is the connectors' own.
func english() map[string]toolText {
	return map[string]toolText{
		"hibob": {Needs: []string{
			"In Bob, an administrator makes an API service user, in the settings under integrations. Bob shows its id and its token once: keep both.",
			"Give the service user a permission group with “Job catalog → Skills → View skills catalog” and the permission beside it to create, edit and archive skills.",
		}},
		"odoo": {Needs: []string{
			"The app Skills Management is installed, and there is a user of its own for this connection with the role “Employees → Officer: Manage all employees”.",
			"Signed in as that user, make an API key under “My Profile → Account Security → New API Key”.",
			"Odoo 16 to 18 also need the database's name and the user's login.",
		}},
		"moodle": {Needs: []string{
			"Web services, the REST protocol and competencies are enabled in the site administration.",
			"There is a user of its own for this connection, with a role that has webservice/rest:use, moodle/competency:competencymanage and moodle/competency:competencyview.",
			"An external service with the competency functions is authorised for that user, and a token was made for both under “Server → Web services → Manage tokens”.",
		}},
		"workday": {Needs: []string{
			"An integration system user with a password, exempt from password expiry.",
			"An unconstrained integration system security group with that user, which has Get and Put on the domain that secures Get_Skills and Put_Skill of the web service Talent.",
			"“Activate Pending Security Policy Changes” was run afterwards.",
		}},
		"360learning": {Needs: []string{
			"An administrator or owner of the platform makes API v2 credentials under “platform group → Settings → API v2 → Add API credentials”, with the scopes skills:bulk, skills:read and bulkOperations:read. A scope that cannot be chosen is enabled by your contact at 360Learning.",
			"The skills solution is part of your contract, and there is a library with an external id for the skills to belong to.",
		}},
		"sandbox": {Needs: []string{
			"Nothing: it is a pretend tool. An API key that begins with “wrong” is refused, to try that too.",
		}},
	}
}

func german() map[string]toolText {
	return map[string]toolText{
		"hibob": {
			Summary: "Bob, die HR-Plattform von HiBob, mit ihrem Katalog von Skills.",
			Needs: []string{
				"In Bob legt eine Administratorin oder ein Administrator in den Einstellungen unter „Integrations“ einen API-Service-User an. Bob zeigt dessen ID und Token nur einmal: Notieren Sie beide.",
				"Der Service-User braucht eine Berechtigungsgruppe mit „Job catalog → Skills → View skills catalog“ und der Berechtigung daneben, Skills anzulegen, zu ändern und zu archivieren.",
			},
			Fields: map[string]fieldText{
				"service_user_id":     {"ID des Service-Users", "Die ID eines API-Service-Users."},
				"token":               {"Token", "Das Token des Service-Users."},
				"source":              {"Quelle", "Der Name, unter dem Bob die Skills dieser Verbindung für sich hält. Sobald Skills übertragen wurden, muss er bleiben, wie er ist."},
				"address":             {"Adresse", "Wo die API von Bob zu finden ist; eine Sandbox-Firma hat eine andere."},
				"requests_per_minute": {"Anfragen je Minute", "Wie viele Anfragen Bob dem Service-User je Endpunkt erlaubt; mindestens 2."},
			},
		},
		"odoo": {
			Summary: "Odoo ab Version 16, mit der App „Skills Management“.",
			Needs: []string{
				"Die App „Skills Management“ ist installiert, und es gibt einen eigenen Benutzer für diese Verbindung mit der Rolle „Personal → Beauftragter: Alle Mitarbeiter verwalten“.",
				"Als dieser Benutzer angemeldet, legen Sie unter „Mein Profil → Kontosicherheit → Neuer API-Schlüssel“ einen Schlüssel an.",
				"Odoo 16 bis 18 brauchen außerdem den Namen der Datenbank und den Anmeldenamen des Benutzers.",
			},
			Fields: map[string]fieldText{
				"address":             {"Adresse", "Wo Odoo zu finden ist, ohne Pfad."},
				"database":            {"Datenbank", "Der Name der Odoo-Datenbank. Odoo 19 braucht ihn nur, wenn ein Server mehrere hat; 16 bis 18 immer."},
				"login":               {"Anmeldename", "Der Anmeldename des Benutzers, dem der Schlüssel gehört. Odoo 19 kommt ohne ihn aus."},
				"api_key":             {"API-Schlüssel", "Ein API-Schlüssel dieses Benutzers. Schlüssel gewöhnlicher Benutzer laufen nach höchstens 90 Tagen ab."},
				"skill_type":          {"Kompetenzart", "Die Kompetenzart, zu der die Skills gehören. Sie wird angelegt, wenn es keine dieses Namens gibt."},
				"inactive":            {"Inaktive Skills", "Odoo kann einen Skill nicht deaktivieren: refuse lehnt inaktive ab, move verschiebt sie in eine eigene Kompetenzart."},
				"archived_skill_type": {"Kompetenzart inaktiver Skills", "Wohin inaktive Skills verschoben werden. Sie wird angelegt, wenn es keine dieses Namens gibt."},
				"api":                 {"API", "Wie mit Odoo gesprochen wird: json2 ab Version 19, jsonrpc für 16 bis 18; auto findet es heraus."},
				"external_id_module":  {"Modul der externen IDs", "Der Teil der externen IDs vor dem Punkt: kleine Buchstaben, Ziffern und Unterstriche, und nicht der Name eines Moduls von Odoo. Verbindungen mit demselben Modul teilen ihre Skills. Sobald Skills übertragen wurden, muss es bleiben, wie es ist."},
				"batch_size":          {"Skills je Anfrage", "Höchstens 1000."},
			},
		},
		"moodle": {
			Summary: "Die Lernplattform Moodle, mit den Kompetenzen eines Kompetenzrahmens.",
			Needs: []string{
				"Webservices, das REST-Protokoll und Kompetenzen sind in der Website-Administration aktiviert.",
				"Es gibt einen eigenen Nutzer für diese Verbindung, mit einer Rolle, die webservice/rest:use, moodle/competency:competencymanage und moodle/competency:competencyview hat.",
				"Ein externer Dienst mit den Kompetenz-Funktionen ist für diesen Nutzer freigegeben, und für beide wurde unter „Server → Webservices → Token verwalten“ ein Token angelegt.",
			},
			Fields: map[string]fieldText{
				"address":            {"Adresse", "Die Adresse der Moodle-Site."},
				"token":              {"Token", "Ein Token der Webservices von Moodle."},
				"framework_idnumber": {"Kompetenzrahmen", "Die ID-Nummer des Kompetenzrahmens, in den die Skills kommen. Er wird angelegt, wenn es keinen gibt. Eine andere Nummer bedeutet andere Kompetenzen."},
				"framework_name":     {"Name des Kompetenzrahmens", "Der Name, den der Rahmen bekommt, wenn er angelegt wird."},
				"context_id":         {"Kontext", "Die ID des Kontexts, in dem der Rahmen ist oder angelegt wird: 1 ist die ganze Site, ein Kursbereich hat eine andere."},
				"scale_id":           {"Skala", "Die ID der Skala, nach der Kompetenzen eines neuen Rahmens bewertet werden: Mit dem ersten Wert beginnt man, mit dem letzten beherrscht man sie. 2 ist die Kompetenzskala eines neuen Moodle."},
				"inactive":           {"Inaktive Skills", "refuse: Ein inaktiver Skill wird abgelehnt, seine Kompetenz bleibt, wie sie ist. archive: Sie wird unter eine Kompetenz für Archiviertes verschoben, und wieder nach oben, wenn sie aktiv wird."},
			},
		},
		"workday": {
			Summary: "Workday HCM, mit den Skills, die der Mandant pflegt.",
			Needs: []string{
				"Ein Integration System User mit einem Passwort, das nicht abläuft.",
				"Eine „Integration System Security Group (Unconstrained)“ mit diesem Benutzer, die Get und Put auf der Domäne hat, die Get_Skills und Put_Skill des Webservice Talent schützt.",
				"Danach wurde „Activate Pending Security Policy Changes“ ausgeführt.",
			},
			Fields: map[string]fieldText{
				"address":             {"Adresse", "Der Host der Webservices des Mandanten, aus „View API Clients“ oder der WSDL."},
				"tenant":              {"Mandant", "Der Name des Mandanten (Tenant), wie er in seinen Adressen steht."},
				"username":            {"Benutzername", "Der Integration System User, mit oder ohne @Mandant."},
				"password":            {"Passwort", "Das Passwort dieses Benutzers."},
				"version":             {"Version", "Die Version des Webservice Talent."},
				"form":                {"Form", "Ob Name und Inactive von Skill_Data in der Beschreibung dieser Version Attribute (attributes) oder Elemente (elements) sind."},
				"reference_type":      {"Art der Referenz", "Die Art der Reference-ID, die die Kennung eines Skills hält. Sobald Skills übertragen wurden, muss sie bleiben, wie sie ist."},
				"category_id":         {"Kategorie", "Die Reference-ID der Kategorie, zu der die Skills gehören. Leer: Neue Skills haben keine, andere behalten ihre."},
				"category_type":       {"Art der Kategorie", "Die Art dieser Reference-ID."},
				"requests_per_second": {"Anfragen je Sekunde", "Wie viele Anfragen der Mandant von dieser Verbindung annimmt; 1 bis 100."},
			},
		},
		"360learning": {
			Summary: "360Learning, eine Lernplattform, mit ihrem Katalog von Skills.",
			Needs: []string{
				"Eine Administratorin oder ein Administrator der Plattform legt unter „Plattformgruppe → Settings → API v2 → Add API credentials“ Zugangsdaten an, mit den Scopes skills:bulk, skills:read und bulkOperations:read. Einen Scope, der sich nicht wählen lässt, schaltet Ihr Kontakt bei 360Learning frei.",
				"Die Skills-Lösung gehört zu Ihrem Vertrag, und es gibt eine Bibliothek mit einer externen ID, zu der die Skills gehören sollen.",
			},
			Fields: map[string]fieldText{
				"client_id":          {"Client-ID", "Von Zugangsdaten der API v2 mit den Scopes skills:bulk, skills:read und bulkOperations:read."},
				"client_secret":      {"Client-Secret", "Das Secret dieser Zugangsdaten."},
				"parents":            {"Gehört zu", "Die externe ID der Bibliothek, zu der die Skills gehören, oder von bis zu 10 Bibliotheken und Skills, mit Kommas dazwischen."},
				"inactive":           {"Inaktive Skills", "Was aus ihnen wird: 360Learning kann einen Skill nur löschen, mit allem, was sich auf ihn bezieht."},
				"operations_at_once": {"Gleichzeitige Vorgänge", "Wie viele Massenvorgänge gleichzeitig laufen dürfen, 1 bis 3. Ein Unternehmen darf insgesamt 3 haben."},
				"address":            {"Adresse", "Wo das Unternehmen zu finden ist: in den USA ist es https://app.us.360learning.com."},
			},
		},
		"sandbox": {
			Summary: "Ein Übungswerkzeug mit eigenem Katalog, dem man sagen kann, wie es sich danebenbenimmt.",
			Needs: []string{
				"Nichts: Es ist nur zum Üben da. Ein API-Schlüssel, der mit „wrong“ beginnt, wird abgelehnt, damit auch das probiert werden kann.",
			},
			Fields: map[string]fieldText{
				"batch_limit":        {"Größter Stapel", "Wie viele Skills es in einem Aufruf höchstens annimmt."},
				"concurrency":        {"Gleichzeitige Aufrufe", "Wie viele Aufrufe es gleichzeitig bedient."},
				"latency":            {"Dauer eines Aufrufs", "Wie lange ein Aufruf dauert; geschrieben wird in der Mitte."},
				"latency_per_skill":  {"Dauer je Skill", "Kommt für jeden Skill eines Aufrufs hinzu."},
				"rate_limit":         {"Aufrufe je Zeitfenster", "0 bedeutet: keine Grenze."},
				"rate_window":        {"Zeitfenster", "Die Länge des Zeitfensters."},
				"declare_rate":       {"Grenze bekannt geben", "Der Server kennt die Grenze und hält sie ein."},
				"hide_retry_after":   {"Retry-After verschweigen", "Bremsen, ohne zu sagen, wie lange."},
				"refuse_names":       {"Namen ablehnen", "Ein regulärer Ausdruck; Skills, deren Name darauf passt, werden abgelehnt."},
				"unique_names":       {"Eindeutige Namen", "Einen Namen ablehnen, den ein anderer Skill hat."},
				"refuse_batch":       {"Ganze Stapel ablehnen", "Den ganzen Aufruf ablehnen, wenn ein Skill abgelehnt würde, ohne zu sagen, welcher."},
				"outage":             {"Ausfall", "Das Werkzeug ist nicht zu erreichen."},
				"api_key":            {"API-Schlüssel", "Jeder wird angenommen, auch keiner; nur keiner, der mit „wrong“ beginnt."},
				"refuse_credentials": {"Zugangsdaten ablehnen", "Jeder Aufruf wird abgelehnt, als wäre man nicht angemeldet."},
				"refuse_permission":  {"Berechtigung verweigern", "Jeder Aufruf wird abgelehnt, als wäre er nicht erlaubt."},
				"lose_answers":       {"Antworten verlieren", "Jeder so vielte Aufruf wird ausgeführt, aber seine Antwort geht verloren; 0 bedeutet: nie."},
				"scripts":            {"Drehbücher", "Ein JSON-Objekt: was bei einzelnen Skills der Reihe nach geschieht."},
			},
		},
	}
}
