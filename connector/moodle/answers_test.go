package moodle_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/moodle/moodletest"
)

// What Moodle says to a creation, and what becomes of it.
func TestExceptions(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body string
		kind connector.Kind
		// whole: the error is the call's.
		whole bool
		words string
	}{
		"token":                {`{"exception":"moodle_exception","errorcode":"invalidtoken","message":"Invalid token - token not found"}`, connector.Credentials, true, "Invalid token - token not found"},
		"token has ended":      {`{"exception":"moodle_exception","errorcode":"invalidtimedtoken","message":"Invalid token - expired"}`, connector.Credentials, true, "expired"},
		"address":              {`{"exception":"moodle_exception","errorcode":"invalidiptoken","message":"Invalid token - IP"}`, connector.Credentials, true, "IP"},
		"user":                 {`{"exception":"moodle_exception","errorcode":"wsaccessusersuspended","message":"Refused"}`, connector.Credentials, true, "Refused"},
		"function":             {`{"exception":"webservice_access_exception","errorcode":"accessexception","message":"Access control exception"}`, connector.Permission, true, "Access control exception"},
		"restricted":           {`{"exception":"restricted_context_exception","errorcode":"restrictedcontextexception","message":"Restricted"}`, connector.Permission, true, "Restricted"},
		"no function":          {`{"exception":"dml_missing_record_exception","errorcode":"invalidrecord","message":"… external_functions."}`, connector.Permission, true, "no function core_competency_create_competency"},
		"capability":           {`{"exception":"required_capability_exception","errorcode":"nopermissions","message":"Sorry (Manage)"}`, connector.Permission, true, "Sorry (Manage)"},
		"switched off":         {`{"exception":"moodle_exception","errorcode":"competenciesarenotenabled","message":"Not enabled"}`, connector.Permission, true, "Not enabled"},
		"maintenance":          {`{"exception":"moodle_exception","errorcode":"sitemaintenance","message":"Back soon"}`, connector.Away, true, "Back soon"},
		"framework":            {`{"exception":"dml_missing_record_exception","errorcode":"invalidrecord","message":"… competency_framework."}`, connector.Away, true, `"crosswalk" is gone`},
		"database":             {`{"exception":"dml_write_exception","errorcode":"dmlwriteexception","message":"Error writing to database"}`, connector.Refused, false, "Error writing to database"},
		"parameter":            {`{"exception":"invalid_parameter_exception","errorcode":"invalidparameter","message":"Invalid parameter value detected"}`, connector.Refused, false, "Invalid parameter value detected"},
		"persistent":           {`{"exception":"invalid_persistent_exception","errorcode":"invalidpersistenterror","message":"Error: no"}`, connector.Refused, false, "Error: no"},
		"database is away":     {`{"exception":"dml_read_exception","errorcode":"dmlreadexception","message":"Error reading from database"}`, connector.Away, true, "Error reading from database"},
		"transaction":          {`{"exception":"dml_transaction_exception","errorcode":"dmltransactionexception","message":"Database transaction error"}`, connector.Away, true, "Database transaction error"},
		"user is no more":      {`{"exception":"dml_missing_record_exception","errorcode":"invaliduser","message":"Invalid user"}`, connector.Credentials, true, "Invalid user"},
		"error of PHP":         {`{"exception":"Error","message":"Call to a member function"}`, connector.Unexpected, false, "Call to a member function"},
		"unknown":              {`{"exception":"coding_exception","errorcode":"codingerror","message":"Coding error"}`, connector.Unexpected, false, "Coding error"},
		"no words":             {`{"exception":"Error","errorcode":"generalexceptionmessage"}`, connector.Unexpected, false, "generalexceptionmessage"},
		"secret in words":      {`{"exception":"moodle_exception","errorcode":"invalidtoken","message":"no 0a1b2c3d4e5f60718293a4b5c6d7e8f9"}`, connector.Credentials, true, "no …"},
		"no id":                {`{"shortname":"a"}`, connector.Ambiguous, true, "did not tell the id"},
		"null":                 {`null`, connector.Ambiguous, true, "did not tell the id"},
		"another form":         {`["a"]`, connector.Ambiguous, true, "cannot be read"},
		"warnings of PHP":      {`Notice: x {"id":1}`, connector.Ambiguous, true, "cannot be read"},
		"an id that is a word": {`{"id":"x"}`, connector.Ambiguous, true, "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := moodletest.New(t)
			session := open(t, s, instead(s, "create_competency", test.body))
			results, err := session.Write(t.Context(), skills("a", "b"))
			if test.whole {
				e := connector.AsError(err)
				if e == nil || e.Kind != test.kind || !strings.Contains(e.Message, test.words) || len(results) != 0 {
					t.Errorf("Write = %+v, %v", results, e)
				}
				return
			}
			if err != nil || len(results) != 2 {
				t.Fatalf("Write = %+v, %v", results, err)
			}
			for _, r := range results {
				if got := words(t, r, test.kind); !strings.Contains(got, test.words) {
					t.Errorf("%q", got)
				}
			}
		})
	}
}

// A change that the database could not write is tried once more: Moodle says the same of two changes that get into each other's way
// and of a text that does not fit.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	var fail map[string]bool
	session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if function := r.FormValue("wsfunction"); fail[function] {
			delete(fail, function)
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"exception":"dml_write_exception","errorcode":"dmlwriteexception","message":"Error writing to database"}`)
			return
		}
		s.ServeHTTP(w, r)
	}))
	list := skills("a")
	for what, change := range []func(){
		func() {},
		func() { list[0].Name = "A" },
		func() { list[0].Active = false },
		func() { list[0].Active = true },
	} {
		change()
		fail = map[string]bool{"core_competency_create_competency": true, "core_competency_update_competency": true, "core_competency_set_parent_competency": true}
		if what == 2 { // the competency for archived ones is made too, and not tried again
			fail["core_competency_create_competency"] = false
		}
		written(t, session, list)
		if got := s.Records(); len(got) != 1 || got[0].Name != list[0].Name || got[0].Active != list[0].Active {
			t.Errorf("change %d: %+v", what, got)
		}
	}
}

// The token's time is over in the middle of a call: Moodle says it in one way, then in another.
func TestTokenExpires(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	results, err := open(t, s, before(s, "create_competency", 2, func() { s.Expires = true })).Write(t.Context(), skills("a", "b", "c"))
	if e := connector.AsError(err); e == nil || e.Kind != connector.Credentials || len(results) != 1 || len(s.Records()) != 1 {
		t.Errorf("Write = %+v, %v", results, err)
	}
}

// A function that the service lacks is named, whether the service tells its functions or not.
func TestLackingFunction(t *testing.T) {
	t.Parallel()
	for _, lacks := range [][]string{{"core_competency_create_competency"}, {"core_competency_create_competency", "core_webservice_get_site_info"}} {
		s := moodletest.New(t)
		s.Lacks = lacks
		_, err := open(t, s, s).Write(t.Context(), skills("a", "b"))
		if e := connector.AsError(err); e == nil || e.Kind != connector.Permission || !strings.Contains(e.Message, "core_competency_create_competency") {
			t.Errorf("Write = %v", err)
		}
	}
}

// Moodle is asked what it holds after it refused a skill, and does not answer.
func TestLookingAgainFails(t *testing.T) {
	t.Parallel()
	s := moodletest.New(t)
	refused := false
	session := open(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("wsfunction") == "core_competency_create_competency" && !refused:
			refused = true
			s.Make("id/a", "another name")
		case refused && r.FormValue("wsfunction") == "core_competency_list_competencies":
			refused = false
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.ServeHTTP(w, r)
	}))
	results, err := session.Write(t.Context(), skills("a", "b"))
	if e := connector.AsError(err); e == nil || e.Kind != connector.Ambiguous || e.RetryAfter.Seconds() != 9 || len(results) != 0 {
		t.Fatalf("Write = %+v, %v", results, err)
	}
	// The list of the session had none of it; now Moodle is asked.
	refused = true
	written(t, open(t, s, s), skills("a", "b"))
	if c := s.Get("id/a"); c.Name != "a" {
		t.Errorf("%+v", c)
	}
}
