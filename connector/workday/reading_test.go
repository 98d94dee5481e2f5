package workday_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crosswalk-hr/crosswalk/connector"
	"github.com/crosswalk-hr/crosswalk/connector/workday/workdaytest"
)

// Pages show the skills of one moment, if Workday says which: what is made meanwhile is not among them.
func TestListOfOneMoment(t *testing.T) {
	t.Parallel()
	for _, timeless := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c := workdaytest.New(t)
			c.Timeless = timeless
			for i := range 2000 {
				c.MakeByHand(fmt.Sprint("skill ", i))
			}
			s, _ := open(t, c, c)
			shown, pages := 0, 0
			for cursor, first := "", true; first || cursor != ""; first = false {
				page, err := s.(connector.Lister).List(t.Context(), cursor)
				if err != nil {
					t.Fatal(err)
				}
				pages++
				shown += len(page.Records)
				cursor = page.Next
				time.Sleep(time.Second) // simulated
				c.MakeByHand(fmt.Sprint("late ", pages))
			}
			want := 2000
			if timeless {
				want += 2
			}
			if shown != want || pages != 3 {
				t.Errorf("timeless %v: %d skills on %d pages, want %d", timeless, shown, pages, want)
			}
			for _, bad := range []string{"1 x", "x", "-1 ", " "} {
				if _, err := s.(connector.Lister).List(t.Context(), bad); err == nil {
					t.Errorf("the cursor %q was taken", bad)
				}
			}
		})
	}
}

// A list that cannot be understood is not taken for a shorter one.
func TestListOfAnotherForm(t *testing.T) {
	t.Parallel()
	const skill = `<wd:Skill_Item><wd:Skill_Reference><wd:ID wd:type="WID">w1</wd:ID></wd:Skill_Reference><wd:Skill_Item_Data><wd:Name>a</wd:Name></wd:Skill_Item_Data></wd:Skill_Item>`
	results := func(page, pages string) string {
		return `<wd:Response_Results><wd:Total_Pages>` + pages + `</wd:Total_Pages><wd:Page_Results>` + page + `</wd:Page_Results></wd:Response_Results>`
	}
	data := func(in string) string { return `<wd:Response_Data>` + in + `</wd:Response_Data>` }
	for name, test := range map[string]struct {
		body, err, next string
		shown           int
	}{
		"nothing":                {``, "neither which skills", "", 0},
		"skills alone":           {data(skill), "", "", 1},
		"none":                   {results("0", "0"), "", "", 0},
		"of another name":        {results("1.0", "1.0") + data(skill), "", "", 1},
		"and more":               {results("1", "3") + data(skill), "", "2 ", 1},
		"without numbers":        {results("", "") + data(skill), "", "", 1},
		"elsewhere":              {results("2", "1") + `<wd:Skills>` + skill + skill + `</wd:Skills>`, "holds 2 skills, and shows 0", "", 0},
		"fewer than it says":     {results("2", "1") + data(skill), "holds 2 skills, and shows 1", "", 0},
		"a page that is missing": {results("0", "3"), "page 1 of 3 holds 0 skills", "", 0},
		"without an id":          {results("1", "1") + data(`<wd:Skill><wd:Name>a</wd:Name></wd:Skill>`), "without an id or a name", "", 0},
		"nothing told":           {results("", "") + data(""), "neither which skills", "", 0},
		"another page":           {`<wd:Response_Results><wd:Total_Pages>3</wd:Total_Pages><wd:Page>2</wd:Page></wd:Response_Results>` + data(skill), "asked for page 1, and shows page 2", "", 0},
		"without a name":         {results("1", "1") + data(strings.ReplaceAll(skill, "Name", "Title")), "without an id or a name", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, workdaytest.New(t), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/xml")
				fmt.Fprint(w, `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:wd="urn:com.workday/bsvc"><e:Body><wd:Get_Skills_Response>`,
					test.body, `</wd:Get_Skills_Response></e:Body></e:Envelope>`)
			}))
			page, err := s.(connector.Lister).List(t.Context(), "")
			e := connector.AsError(err)
			if (e == nil) != (test.err == "") || e != nil && (e.Kind != connector.Unexpected || !strings.Contains(e.Message, test.err)) {
				t.Errorf("List: %v, want %q", e, test.err)
			}
			if page.Next != test.next || len(page.Records) != test.shown {
				t.Errorf("List = %+v", page)
			}
		})
	}
}
