package workday_test

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/workday/workdaytest"
)

// A fault is a fault whatever the status, and what it means its code and words tell.
func TestFaults(t *testing.T) {
	t.Parallel()
	const unexpected = connector.Unexpected
	processing := func(words string) string {
		return `<faultcode>SOAP-ENV:Server.processingError</faultcode><faultstring>Processing error occurred. ` + words +
			`</faultstring><detail><wd:Processing_Fault><wd:Detail_Message>` + words + `</wd:Detail_Message></wd:Processing_Fault></detail>`
	}
	plain := func(code, words string) string {
		return `<faultcode>` + code + `</faultcode><faultstring>` + words + `</faultstring>`
	}
	for name, test := range map[string]struct {
		status       int
		fault        string
		change, read connector.Kind
		words        string
		wait         time.Duration
	}{
		"wrong password":               {500, plain("SOAP-ENV:Client.authenticationError", "invalid username or password"), connector.Credentials, connector.Credentials, "invalid username or password", 0},
		"wrong password, by its code":  {500, plain("SOAP-ENV:Client.authenticationError", "Ungültig"), connector.Credentials, connector.Credentials, "Ungültig", 0},
		"wrong password, by its words": {500, processing("Invalid username or password."), connector.Credentials, connector.Credentials, "Invalid username or password.", 0},
		"locked":                       {500, processing("Your account is locked."), connector.Credentials, connector.Credentials, "Your account is locked.", 0},
		"expired":                      {500, processing("The password has expired."), connector.Credentials, connector.Credentials, "The password has expired.", 0},
		"not authorized":               {500, processing("The task submitted is not authorized."), connector.Permission, connector.Permission, "The task submitted is not authorized.", 0},
		"not authorized, with 200":     {200, processing("The task submitted is not authorized."), connector.Permission, connector.Permission, "The task submitted is not authorized.", 0},
		"permission":                   {500, processing("You do not have access: insufficient permissions"), connector.Permission, connector.Permission, "You do not have access: insufficient permissions", 0},
		"too fast":                     {500, processing("Too many requests"), connector.Throttled, connector.Throttled, "Too many requests", 7 * time.Second},
		"too fast, by the status":      {429, processing("Later"), connector.Throttled, connector.Throttled, "Later", 7 * time.Second},
		"away":                         {500, processing("Service unavailable"), connector.Away, connector.Away, "Service unavailable", 7 * time.Second},
		"away, by the status":          {503, plain("SOAP-ENV:Server", "Down"), connector.Away, connector.Away, "Down", 7 * time.Second},
		"the version":                  {500, plain("SOAP-ENV:Client", "The web service or version is invalid for the requested operation"), unexpected, unexpected, "The web service or version is invalid for the requested operation (the setting version is v44.2)", 0},
		"what it cannot read":          {500, plain("SOAP-ENV:Client", "Element not expected"), unexpected, unexpected, "Element not expected", 0},
		"what it cannot read, 400":     {400, plain("SOAP-ENV:Client.x", "Element not expected"), unexpected, unexpected, "Element not expected", 0},
		"of its own":                   {500, processing("Something broke"), connector.Ambiguous, connector.Away, "Something broke", 0},
		"of its own, with 200":         {200, plain("SOAP-ENV:Server", "Something broke"), connector.Ambiguous, connector.Away, "Something broke", 0},
		"without a word":               {500, "", connector.Ambiguous, connector.Away, "500 Internal Server Error", 0},
		"401":                          {401, plain("", "no"), connector.Credentials, connector.Credentials, "no", 0},
		"403":                          {403, plain("", "no"), connector.Permission, connector.Permission, "no", 0},
		"the password in it":           {500, processing(`not <![CDATA[p<a>&"ss' wörd]]]]>&gt;, but p&lt;a&gt;&amp;&quot;ss&apos; wörd]]&gt;`), connector.Ambiguous, connector.Away, "not …, but …", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := workdaytest.New(t)
				faulty := func(w http.ResponseWriter) {
					w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
					w.Header().Set("Retry-After", "7")
					w.WriteHeader(test.status)
					fmt.Fprint(w, xml.Header, `<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Body><SOAP-ENV:Fault xmlns:wd="urn:com.workday/bsvc">`,
						test.fault, `</SOAP-ENV:Fault></SOAP-ENV:Body></SOAP-ENV:Envelope>`)
				}
				var questions int
				s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if questions--; questions >= 0 {
						c.ServeHTTP(w, r)
						return
					}
					faulty(w)
				}))
				for leading, want := range map[int]connector.Kind{0: test.read, 1: test.change} {
					questions = leading
					results, err := s.Write(t.Context(), skills("a"))
					e := connector.AsError(err)
					if e == nil || e.Kind != want || e.Message != test.words || e.RetryAfter != test.wait || len(results) != 0 {
						t.Errorf("request %d: Write = %v, %v after %v; want %s: %s", leading+1, results, e, e.RetryAfter, want, test.words)
					}
				}
			})
		})
	}
}

// A refusal is that of one skill, in Workday's words, whatever the status.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fault, words string
	}{
		"messages and details": {`<faultcode>SOAP-ENV:Client.validationError</faultcode><faultstring>Validation error occurred. A</faultstring><detail><wd:Validation_Fault>
			<wd:Validation_Error><wd:Message>A</wd:Message><wd:Detail_Message>B</wd:Detail_Message><wd:Xpath>/x</wd:Xpath></wd:Validation_Error>
			<wd:Validation_Error><wd:Message>C</wd:Message><wd:Detail_Message>C</wd:Detail_Message></wd:Validation_Error></wd:Validation_Fault></detail>`, "A; B; C"},
		"without details":      {`<faultcode>SOAP-ENV:Client.validationError</faultcode><faultstring>Validation error occurred. A</faultstring>`, "Validation error occurred. A"},
		"under another code":   {`<faultcode>SOAP-ENV:Server</faultcode><faultstring>x</faultstring><detail><wd:Validation_Fault><wd:Validation_Error><wd:Message>A is not authorized</wd:Message></wd:Validation_Error></wd:Validation_Fault></detail>`, "A is not authorized"},
		"without anything":     {`<faultcode>SOAP-ENV:Client.validationError</faultcode>`, "500 Internal Server Error"},
		"words that never end": {`<faultcode>SOAP-ENV:Client.validationError</faultcode><faultstring>` + strings.Repeat("A", 5000) + `</faultstring>`, strings.Repeat("A", 500) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := workdaytest.New(t)
				s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := io.ReadAll(r.Body)
					if err != nil {
						t.Error(err)
					}
					if !strings.Contains(string(body), `wd:Name="bad"`) {
						r.Body = io.NopCloser(strings.NewReader(string(body)))
						c.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Content-Type", "text/xml")
					w.WriteHeader(http.StatusInternalServerError)
					fmt.Fprint(w, `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wd="urn:com.workday/bsvc"><e:Body><e:Fault>`, test.fault, `</e:Fault></e:Body></e:Envelope>`)
				}))
				results := write(t, s, skills("good", "bad", "better"))
				if r := results["id/bad"]; r.Err == nil || r.Err.Kind != connector.Refused || r.Err.Message != test.words {
					t.Errorf("%+v", r)
				}
				if len(c.Records()) != 2 || results["id/good"].Err != nil || results["id/better"].Err != nil {
					t.Errorf("the tenant holds %+v", c.Records())
				}
			})
		})
	}
}

// Of a creation and a change that were both refused, the one that tells the reason is told.
func TestWhichRefusalIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := workdaytest.New(t)
		c.TakenNames, c.HidesInactive = true, true
		c.MakeByHand("Welding")
		s, _ := open(t, c, c)
		list := skills("Welding", "COBOL")
		if r := write(t, s, list)["id/Welding"]; r.Err == nil || r.Err.Message != "A skill of this name is there already." {
			t.Errorf("a new one: %+v", r)
		}
		list[1].Active = false
		write(t, s, list[1:])
		list[1].Active, list[1].Name = true, "Welding"
		if r := write(t, s, list[1:])["id/COBOL"]; r.Err == nil || r.Err.Message != "A skill of this name is there already." {
			t.Errorf("one that is there, and hidden: %+v", r)
		}
	})
}

// Answers that are none.
func TestAnswers(t *testing.T) {
	t.Parallel()
	const head, foot = `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wd="urn:com.workday/bsvc"><e:Body>`, `</e:Body></e:Envelope>`
	const refs = `<wd:Skill_Reference wd:Descriptor="a"><wd:ID wd:type="WID">w1</wd:ID><wd:ID wd:type="Skill_ID">id/a</wd:ID></wd:Skill_Reference>`
	for name, test := range map[string]struct {
		kind, body string
		want       connector.Kind
		remote     string
		result     bool // the error is the skill's
	}{
		"done":                 {"text/xml", head + `<wd:Put_Skill_Response wd:version="v44.2">` + refs + `</wd:Put_Skill_Response>` + foot, 0, "w1", true},
		"without a reference":  {"text/xml", head + `<wd:Put_Skill_Response><wd:ID>id/a</wd:ID></wd:Put_Skill_Response>` + foot, 0, "id/a", true},
		"without any id":       {"text/xml", head + `<wd:Put_Skill_Response/>` + foot, connector.Ambiguous, "", false},
		"another id":           {"text/xml", head + `<wd:Put_Skill_Response><wd:Skill_Reference><wd:ID wd:type="WID">w1</wd:ID><wd:ID wd:type="Skill_ID">id</wd:ID></wd:Skill_Reference></wd:Put_Skill_Response>` + foot, connector.Unsupported, "", true},
		"to another request":   {"text/xml", head + `<wd:Get_Skills_Response/>` + foot, connector.Ambiguous, "", false},
		"of another namespace": {"text/xml", head + `<Put_Skill_Response>` + refs + `</Put_Skill_Response>` + foot, connector.Ambiguous, "", false},
		"an empty body":        {"text/xml", head + foot, connector.Ambiguous, "", false},
		"another envelope":     {"text/xml", `<Envelope/>`, connector.Ambiguous, "", false},
		"a page":               {"text/html", `<html><title>Please sign in</title></html>`, connector.Ambiguous, "", false},
		"an entity":            {"text/xml", `<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>` + head + `<wd:Put_Skill_Response><wd:ID>&b;</wd:ID></wd:Put_Skill_Response>` + foot, connector.Ambiguous, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := workdaytest.New(t)
				n := 0
				s, _ := open(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if n++; n == 1 {
						c.ServeHTTP(w, r)
						return
					}
					w.Header().Set("Content-Type", test.kind)
					fmt.Fprint(w, test.body)
				}))
				results, err := s.Write(t.Context(), skills("a"))
				e := connector.AsError(err)
				switch {
				case !test.result:
					if e == nil || e.Kind != test.want || len(results) != 0 {
						t.Errorf("Write = %v, %v, want the kind %s", results, e, test.want)
					}
				case e != nil || len(results) != 1 || results[0].RemoteID != test.remote:
					t.Errorf("Write = %+v, %v", results, e)
				case test.remote == "" && (results[0].Err == nil || results[0].Err.Kind != test.want):
					t.Errorf("Write = %+v, want the kind %s", results, test.want)
				}
			})
		})
	}
}
