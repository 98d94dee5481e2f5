package odoo

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/connector/rest"
)

func TestJudgeRows(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		messages string
		want     map[int]string
	}{
		"one row":                        {`[{"type":"error","record":1,"message":"no"}]`, map[int]string{1: "no"}},
		"its place in rows alone":        {`[{"type":"error","rows":{"from":2,"to":2},"message":"no"}]`, map[int]string{2: "no"}},
		"several messages for a row":     {`[{"type":"error","record":1,"field":"a","message":"no"},{"type":"error","record":1,"field":"b","message":"nor that"},{"type":"error","record":1,"message":"no"}]`, map[int]string{1: "no; nor that"}},
		"cut short":                      {`[{"type":"error","record":1,"message":"no","field":"name"},{"type":"error","record":2,"message":"no","field":"name"},{"type":"warning","message":"Found more than 10 errors"}]`, map[int]string{1: "no", 2: "no"}},
		"a warning of a row":             {`[{"type":"warning","record":0,"message":"hm"},{"type":"error","record":1,"message":"no"}]`, map[int]string{1: "no"}},
		"the first stands for all":       {`[{"type":"error","record":0,"message":"not allowed"},{"type":"error","record":2,"message":"not allowed"}]`, map[int]string{2: "not allowed"}},
		"the first is bad in a field":    {`[{"type":"error","record":0,"field":"name","message":"no"},{"type":"error","record":2,"message":"no"}]`, map[int]string{0: "no", 2: "no"}},
		"the first is bad besides":       {`[{"type":"error","record":0,"message":"not allowed"},{"type":"error","record":2,"message":"not allowed"},{"type":"error","record":0,"message":"no"}]`, map[int]string{0: "not allowed; no", 2: "not allowed"}},
		"a rule of the company's own":    {`[{"type":"error","record":0,"field":"x","message":"You are not allowed to use this name."}]`, map[int]string{0: "You are not allowed to use this name."}},
		"words over many lines":          {`[{"type":"error","record":0,"message":"no\n\n\t- because\n"}]`, map[int]string{0: "no - because"}},
		"a row that nobody sent as well": {`[{"type":"error","record":1,"field":"x","message":"no"},{"type":"error","record":9,"message":"no"},{"type":"error","record":-1,"message":"no"}]`, map[int]string{1: "no"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var messages []message
			if err := json.Unmarshal([]byte(test.messages), &messages); err != nil {
				t.Fatal(err)
			}
			s := &session{api: &rest.API{}}
			v := s.judge(3, messages)
			if diff := cmp.Diff(test.want, v.refused); diff != "" || v.whole != nil {
				t.Errorf("whole: %v, refused (-want +got):\n%s", v.whole, diff)
			}
		})
	}
}

// Whatever Odoo says, either the batch has an error or rows are refused, so that sending the rest again comes to an end.
func FuzzJudge(f *testing.F) {
	f.Add(`[{"type":"error","record":0,"message":"no"},{"type":"error","record":2,"message":"no"},{"type":"warning","message":"x"}]`)
	f.Add(`[{"type":"error","rows":{"from":1,"to":2},"field":false,"message":false}]`)
	f.Add(`[{"type":"error","record":0,"message":"could not serialize access"}]`)
	f.Add(`[{}]`)
	f.Add(`null`)
	s := &session{api: &rest.API{}}
	f.Fuzz(func(t *testing.T, text string) {
		var messages []message
		if json.Unmarshal([]byte(text), &messages) != nil {
			return
		}
		v := s.judge(3, messages)
		if (v.whole == nil) == (len(v.refused) == 0) {
			t.Errorf("%+v", v)
		}
		for row := range v.refused {
			if row < 0 || row >= 3 {
				t.Errorf("row %d", row)
			}
		}
	})
}
