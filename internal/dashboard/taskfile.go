package dashboard

import (
	"bytes"
	"encoding/csv"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
)

// taskDownload is a task with all its items, as CSV or NDJSON. The first columns are those of a file to push.
func (d *Dashboard) taskDownload(w http.ResponseWriter, r *http.Request) error {
	file := r.PathValue("file")
	if file != "items.csv" && file != "items.ndjson" {
		return notFound()
	}
	head, err := d.taskOf(r)
	if err != nil {
		return err
	}
	leave, err := d.work(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	t, err := d.wholeTask(r.Context(), head)
	if err != nil {
		return err
	}
	only := r.FormValue("outcome")
	lines := slices.DeleteFunc(t.Lines, func(l item) bool { return only != "" && l.Outcome != only })
	var out bytes.Buffer
	if file == "items.csv" {
		err = writeCSV(&out, lines)
	} else {
		err = writeNDJSON(&out, lines)
	}
	if err != nil {
		return err
	}
	kind := map[bool]string{true: "text/csv; charset=utf-8", false: "application/x-ndjson"}[file == "items.csv"]
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+head.ID+strings.TrimPrefix(file, "items")+`"`)
	w.Header().Set("Content-Length", strconv.Itoa(out.Len()))
	_, _ = w.Write(out.Bytes()) // the client has gone: there is nobody to tell
	return nil
}

func writeCSV(out *bytes.Buffer, lines []item) error {
	c := csv.NewWriter(out)
	_ = c.Write([]string{"origin_id", "name", "status", "outcome", "id", "code", "message"}) // its errors come with Error
	for _, l := range lines {
		row := []string{l.OriginID, l.Name, l.Status.String(), l.Word, l.SkillID, "", ""}
		if l.Failure != nil {
			row[5], row[6] = string(l.Code), l.Message
		}
		_ = c.Write(row)
	}
	c.Flush()
	return c.Error()
}

func writeNDJSON(out *bytes.Buffer, lines []item) error {
	type row struct {
		OriginID string `json:"origin_id"`
		Name     string `json:"name"`
		Status   string `json:"status"`
		Outcome  string `json:"outcome"`
		ID       string `json:"id,omitempty"`
		Code     string `json:"code,omitempty"`
		Message  string `json:"message,omitempty"`
	}
	for _, l := range lines {
		one := row{OriginID: l.OriginID, Name: l.Name, Status: l.Status.String(), Outcome: l.Word, ID: l.SkillID}
		if l.Failure != nil {
			one.Code, one.Message = string(l.Code), l.Message
		}
		if err := json.MarshalWrite(out, one); err != nil {
			return err
		}
		out.WriteByte('\n')
	}
	return nil
}
