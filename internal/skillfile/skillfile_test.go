package skillfile_test

import (
	"bytes"
	"encoding/csv"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
	"github.com/crosswalk-hr/crosswalk/internal/skillfile"
)

func row(line int, id, name string, status skill.Status) skillfile.Row {
	return skillfile.Row{Item: skill.Item{OriginID: id, Name: name, Status: status}, Line: line}
}

func TestRead(t *testing.T) {
	two := []skillfile.Row{row(2, "a", "A, B", skill.Active), row(3, "b", "C++ \"x\"", skill.Inactive)}
	for name, test := range map[string]struct {
		format  skillfile.Format
		content string
		want    []skillfile.Row
		ignored []string
	}{
		"csv":                {skillfile.CSV, "origin_id,name,status\na,\"A, B\",\nb,\"C++ \"\"x\"\"\",inactive\n", two, nil},
		"csv, mark and CRLF": {skillfile.CSV, "\ufefforigin_id,name,status\r\na,\"A, B\",ACTIVE\r\nb,\"C++ \"\"x\"\"\",INACTIVE\r\n", two, nil},
		"csv, semicolons":    {skillfile.CSV, "Origin_ID; Name ;STATUS\na;A, B;\nb;\"C++ \"\"x\"\"\";INACTIVE", two, nil},
		"csv, other columns": {skillfile.CSV, "category,name,origin_id\nx,A,a\n", []skillfile.Row{row(2, "a", "A", skill.Active)}, []string{"category"}},
		"csv, refused rows":  {skillfile.CSV, "origin_id,name,status,code,message\na,A,ACTIVE,REMOTE.INPUT_INVALID,no\n", []skillfile.Row{row(2, "a", "A", skill.Active)}, nil},
		"csv, lines in cells": {
			skillfile.CSV, "origin_id,name\na,\"A\nA\"\nb,B\n",
			[]skillfile.Row{row(2, "a", "A\nA", skill.Active), row(4, "b", "B", skill.Active)},
			nil,
		},
		"json array": {
			skillfile.JSON, `[{"origin_id":"a","name":"A"},` + "\n" + `{"origin_id":"b","skill":{"name":"B","status":"INACTIVE"}}]`,
			[]skillfile.Row{row(1, "a", "A", skill.Active), row(2, "b", "B", skill.Inactive)},
			nil,
		},
		"json object": {
			skillfile.JSON, "{\n\"x\": {\"y\": 1},\n\"items\": [\n{\"origin_id\":\"a\",\"name\":\"A\"}\n], \"z\": 2}\n",
			[]skillfile.Row{row(4, "a", "A", skill.Active)},
			[]string{"x", "z"},
		},
		"ndjson": {
			skillfile.NDJSON, "{\"origin_id\":\"a\",\"name\":\"A\"}\n\n{\"origin_id\":\"b\",\"skill\":{\"name\":\"B\"}}",
			[]skillfile.Row{row(1, "a", "A", skill.Active), row(3, "b", "B", skill.Active)},
			nil,
		},
	} {
		got, err := skillfile.Read("f", strings.NewReader(test.content), test.format)
		if diff := cmp.Diff(skillfile.Result{Rows: test.want, Ignored: test.ignored}, got); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestReadMistakes(t *testing.T) {
	for name, test := range map[string]struct {
		format        skillfile.Format
		content, want string
	}{
		"empty name":         {skillfile.CSV, "origin_id,name\na,A\nb,\nc,\nd, \n", "f:3: name is blank (2 more like it)"},
		"no origin_id":       {skillfile.CSV, "origin_id,name\n,A\n", "f:2: origin_id is empty"},
		"twice":              {skillfile.CSV, "origin_id,name\na,A\na,B\n", `f:3: origin_id "a" stands already in line 2`},
		"status":             {skillfile.CSV, "origin_id,name,status\na,A,gone\n", `f:2: status must be ACTIVE or INACTIVE, it is "gone"`},
		"empty file":         {skillfile.CSV, "", "f: the file is empty; it needs a header such as origin_id,name"},
		"no rows":            {skillfile.CSV, "origin_id,name\n", "f: no skills in it"},
		"no column":          {skillfile.CSV, "id,name\na,A\n", "f:1: the header has no column origin_id; it has id, name"},
		"column twice":       {skillfile.CSV, "name,name,origin_id\na,A,b\n", "f:1: the column name stands twice in the header"},
		"open quote":         {skillfile.CSV, "origin_id,name\na,\"A\n", "f:2: extraneous or missing \" in quoted-field"},
		"short row":          {skillfile.CSV, "origin_id,name\na\n", "f:2: name is blank"},
		"json, cut":          {skillfile.JSON, "[{\"origin_id\":\"a\",\n\"name\"", "f:2: the file ends in the middle"},
		"json, trailing":     {skillfile.JSON, "[{\"origin_id\":\"a\",\"name\":\"A\"}] x", "f:1: something follows the skills"},
		"json, no items":     {skillfile.JSON, "{}", `f: there is no "items" in it`},
		"json, items string": {skillfile.JSON, `{"items":"x"}`, "f:1: items must be an array"},
		"json, string":       {skillfile.JSON, `"x"`, `f:1: expected an array of skills, or {"items":[…]}`},
		"json, number name":  {skillfile.JSON, "[\n{\"origin_id\":\"a\",\"name\":1}]", "f:2: name must be a string, not a number"},
		"json, item string":  {skillfile.JSON, `["a"]`, "f:1: a skill must be an object, not a string"},
		"json, empty":        {skillfile.JSON, ``, "f:1: the file ends in the middle"},
		"ndjson, bad line":   {skillfile.NDJSON, "{\"origin_id\":\"a\",\"name\":\"A\"}\n{x}\n", "f:2: invalid character 'x' looking for beginning of object key string"},
	} {
		_, err := skillfile.Read("f", strings.NewReader(test.content), test.format)
		if err == nil || err.Error() != test.want {
			t.Errorf("%s: %v, want %s", name, err, test.want)
		}
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]skillfile.Format{
		"a.csv": skillfile.CSV, "A.CSV": skillfile.CSV, "a.json": skillfile.JSON, "a.ndjson": skillfile.NDJSON, "a.jsonl": skillfile.NDJSON,
	} {
		if got, err := skillfile.FormatOf(name); err != nil || got != want {
			t.Errorf("FormatOf(%q) = %q, %v", name, got, err)
		}
	}
	for _, name := range []string{"a", "a.txt", "-"} {
		if got, err := skillfile.FormatOf(name); err == nil {
			t.Errorf("FormatOf(%q) = %q", name, got)
		}
	}
}

// Whatever a file holds, reading it ends in rows that a server takes or in an error; and what was read as CSV and is
// written as CSV is read as the same.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"origin_id,name\na,A\n", "origin_id;name\na;A\n", "\ufefforigin_id,name,status\r\n\"a\",\"A\nB\",INACTIVE\r\n", "name\n",
		`[{"origin_id":"a","name":"A"}]`, `{"items":[{"origin_id":"a","skill":{"name":"A"}}]}`, "{\"origin_id\":\"a\",\"name\":\"A\"}\n{}",
	} {
		for format := range 3 {
			f.Add([]byte(seed), format)
		}
	}
	formats := []skillfile.Format{skillfile.CSV, skillfile.JSON, skillfile.NDJSON}
	f.Fuzz(func(t *testing.T, content []byte, format int) {
		got, err := skillfile.Read("f", bytes.NewReader(content), formats[uint(format)%3])
		if err != nil {
			if bad, ok := errors.AsType[*skillfile.Error](err); ok && len(bad.Problems) == 0 {
				t.Fatal("an error without a problem")
			}
			return
		}
		var table bytes.Buffer
		w := csv.NewWriter(&table)
		_ = w.Write([]string{"origin_id", "name", "status"}) // into memory
		seen := map[string]bool{}
		clean := true
		for _, r := range got.Rows {
			if skill.CheckOriginID(r.Item.OriginID) != "" || skill.CheckName(r.Item.Name) != "" || seen[r.Item.OriginID] || r.Line < 1 {
				t.Fatalf("read %+v", r)
			}
			seen[r.Item.OriginID] = true
			clean = clean && utf8.ValidString(r.Item.OriginID+r.Item.Name) && !strings.Contains(r.Item.OriginID+r.Item.Name, "\r")
			_ = w.Write([]string{r.Item.OriginID, r.Item.Name, r.Item.Status.String()}) // into memory
		}
		if w.Flush(); !clean {
			return // encoding/csv turns CRLF within a cell into LF
		}
		again, err := skillfile.Read("again", &table, skillfile.CSV)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range again.Rows {
			if r.Item != got.Rows[i].Item {
				t.Fatalf("row %d was %+v and is %+v", i, got.Rows[i].Item, r.Item)
			}
		}
	})
}
