package workday

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"unicode/utf8"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

// says is a tool that has one answer for each kind of request.
type says struct {
	status    int
	get, put  string
	questions atomic.Int32
}

// RoundTrip implements http.RoundTripper.
func (s *says) RoundTrip(r *http.Request) (*http.Response, error) {
	s.questions.Add(1)
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	body := s.get
	if strings.Contains(string(sent), "Put_Skill_Request") {
		body = s.put
	}
	return &http.Response{
		StatusCode: s.status, Header: http.Header{"Content-Type": {"text/xml;charset=UTF-8"}, "Retry-After": {"7"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

// Whatever Workday answers, the connector keeps its contract.
func FuzzAnswers(f *testing.F) {
	const (
		open    = `<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wd="urn:com.workday/bsvc"><env:Body>`
		closed  = `</env:Body></env:Envelope>`
		refs    = `<wd:Skill_Reference><wd:ID wd:type="WID">w1</wd:ID><wd:ID wd:type="Skill_ID">id/a</wd:ID></wd:Skill_Reference>`
		skill   = `<wd:Skill>` + refs + `<wd:Skill_Data wd:Name="a" wd:Inactive="0"><wd:ID>id/a</wd:ID></wd:Skill_Data></wd:Skill>`
		found   = open + `<wd:Get_Skills_Response><wd:Response_Results><wd:Total_Pages>3</wd:Total_Pages></wd:Response_Results><wd:Response_Data>` + skill + `</wd:Response_Data></wd:Get_Skills_Response>` + closed
		none    = open + `<wd:Get_Skills_Response/>` + closed
		done    = open + `<wd:Put_Skill_Response wd:version="v44.2">` + refs + `<wd:Name>a</wd:Name><wd:Inactive>false</wd:Inactive></wd:Put_Skill_Response>` + closed
		invalid = open + `<env:Fault><faultcode>SOAP-ENV:Client.validationError</faultcode><faultstring>x</faultstring><detail><wd:Validation_Fault><wd:Validation_Error><wd:Message>Invalid ID value. 'id/a' is not</wd:Message><wd:Xpath>/Skill_Reference[2]/</wd:Xpath></wd:Validation_Error></wd:Validation_Fault></detail></env:Fault>` + closed
		failed  = open + `<env:Fault><faultcode>SOAP-ENV:Server.processingError</faultcode><faultstring>The task submitted is not authorized. hunter2</faultstring><detail><wd:Processing_Fault><wd:Detail_Message>no</wd:Detail_Message></wd:Processing_Fault></detail></env:Fault>` + closed
	)
	for _, get := range []string{found, none, invalid, failed, "", "<html>", found[:200]} {
		for _, put := range []string{done, invalid, failed, "<a/>"} {
			f.Add(200, get, put)
			f.Add(500, get, put)
		}
	}
	f.Add(429, failed, failed)
	f.Fuzz(func(t *testing.T, status int, get, put string) {
		if status < 100 || status > 599 {
			return
		}
		transport := &says{status: status, get: get, put: put}
		s := &session{
			set:  settings{Tenant: "acme", Version: "v44.2", Form: attributes, ReferenceType: "Skill_ID"},
			api:  &rest.API{HTTP: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, Base: "https://tool.test", Secrets: []string{"hunter2"}},
			pace: &pace{},
		}
		skills := []connector.Skill{{OriginID: "id/a", Name: "a", Active: true}, {OriginID: "id/b", Name: "b", RemoteID: "w2"}}
		results, err := s.Write(t.Context(), skills)
		sound(t, err)
		seen := map[string]bool{}
		for _, r := range results {
			if r.OriginID != "id/a" && r.OriginID != "id/b" || seen[r.OriginID] || r.Err == nil && r.RemoteID == "" || r.Err != nil && r.RemoteID != "" {
				t.Errorf("result %+v of %+v", r, results)
			}
			seen[r.OriginID] = true
			if r.Err != nil {
				sound(t, r.Err)
			}
		}
		if err == nil && len(seen) != len(skills) {
			t.Errorf("%d results and no error", len(seen))
		}
		records, err := s.Find(t.Context(), skills)
		sound(t, err)
		for _, r := range records {
			if r.OriginID != "id/a" && r.OriginID != "id/b" {
				t.Errorf("found %+v", r)
			}
		}
		page, err := s.List(t.Context(), "")
		sound(t, err)
		if page.Next != "" {
			if number, _, err := place(page.Next); err != nil || number != 2 || len(page.Records) == 0 {
				t.Errorf("a page of %d records, and %q is next", len(page.Records), page.Next)
			}
		}
		sound(t, s.Check(t.Context()))
		if transport.questions.Load() > 20 {
			t.Errorf("%d requests", transport.questions.Load())
		}
	})
}

// sound checks an error's words.
func sound(t *testing.T, err error) {
	t.Helper()
	e := connector.AsError(err)
	if e == nil {
		return
	}
	if e.Message == "" || utf8.RuneCountInString(e.Message) > 600 || !utf8.ValidString(e.Message) || strings.Contains(e.Error(), "hunter2") {
		t.Errorf("the error %v", e)
	}
}
