// Package skillfile reads skills from the files people have: CSV with a header, JSON and NDJSON. It says of every row where
// it stands, so that a mistake can be found in an editor.
package skillfile

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/crosswalk-hr/crosswalk/internal/skill"
)

// Row is one skill of a file.
type Row struct {
	Item skill.Item
	Line int // from 1; of JSON, where the skill ends
}

// Format of a file.
type Format string

// The formats.
const (
	CSV    Format = "csv"
	JSON   Format = "json"
	NDJSON Format = "ndjson"
)

// FormatOf guesses the format from a file's name.
func FormatOf(name string) (Format, error) {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return CSV, nil
	case ".json":
		return JSON, nil
	case ".ndjson", ".jsonl":
		return NDJSON, nil
	default:
		return "", fmt.Errorf("%s: the name does not tell the format; give --format csv, json or ndjson", name)
	}
}

// Problem is one mistake in a file.
type Problem struct {
	Line int
	Text string
}

// Error lists the mistakes of a file. Nothing of such a file should be sent.
type Error struct {
	Name     string
	Problems []Problem
}

// Error tells the first mistake and how many there are.
func (e *Error) Error() string {
	first := e.Problems[0]
	text := fmt.Sprintf("%s:%d: %s", e.Name, first.Line, first.Text)
	if more := len(e.Problems) - 1; more > 0 {
		text += fmt.Sprintf(" (%d more like it)", more)
	}
	return text
}

// Result is what a file holds.
type Result struct {
	Rows []Row
	// Ignored are the columns or fields that are not ours.
	Ignored []string
}

// Read reads a whole file. The name is for messages. Bad rows are an *Error that lists them all.
func Read(name string, in io.Reader, format Format) (Result, error) {
	r := &reader{name: name, seen: map[string]int{}, ignored: map[string]bool{}}
	in = withoutMark(in)
	var err error
	switch format {
	case CSV:
		err = r.csv(in)
	case JSON:
		err = r.json(in)
	case NDJSON:
		err = r.ndjson(in)
	default:
		return Result{}, fmt.Errorf("%s: unknown format %q", name, format)
	}
	switch {
	case err != nil:
		return Result{}, err
	case len(r.problems) > 0:
		return Result{}, &Error{name, r.problems}
	case len(r.rows) == 0:
		return Result{}, fmt.Errorf("%s: no skills in it", name)
	}
	result := Result{Rows: r.rows}
	for column := range r.ignored {
		result.Ignored = append(result.Ignored, column)
	}
	slices.Sort(result.Ignored)
	return result, nil
}

// withoutMark drops the byte order mark that spreadsheets put in front.
func withoutMark(in io.Reader) io.Reader {
	buffered := bufio.NewReader(in)
	if start, err := buffered.Peek(3); err == nil && string(start) == "\xef\xbb\xbf" {
		_, _ = buffered.Discard(3) // they are there
	}
	return buffered
}

type reader struct {
	name     string
	rows     []Row
	seen     map[string]int // line of each origin_id
	problems []Problem
	ignored  map[string]bool
}

func (r *reader) problem(line int, format string, args ...any) {
	r.problems = append(r.problems, Problem{line, fmt.Sprintf(format, args...)})
}

// add checks and keeps a row. An empty status is ACTIVE.
func (r *reader) add(line int, originID, name, status string) {
	item := skill.Item{OriginID: originID, Name: name, Status: skill.Active}
	before := len(r.problems)
	if wrong := skill.CheckOriginID(originID); wrong != "" {
		r.problem(line, "origin_id %s", wrong)
	} else if first, twice := r.seen[originID]; twice {
		r.problem(line, "origin_id %q stands already in line %d", originID, first)
	}
	if wrong := skill.CheckName(name); wrong != "" {
		r.problem(line, "name %s", wrong)
	}
	if status = strings.TrimSpace(status); status != "" {
		parsed, ok := skill.ParseStatus(strings.ToUpper(status))
		if !ok {
			r.problem(line, "status must be ACTIVE or INACTIVE, it is %q", status)
		}
		item.Status = parsed
	}
	if len(r.problems) > before {
		return
	}
	r.seen[originID] = line
	r.rows = append(r.rows, Row{item, line})
}

// csv reads a table with a header. A file of refused rows, which has the columns code and message besides, can be mended
// and read again as it is.
func (r *reader) csv(in io.Reader) error {
	buffered := bufio.NewReader(in)
	table := csv.NewReader(buffered)
	if start, _ := buffered.Peek(4096); semicolons(start) {
		table.Comma = ';'
	}
	table.FieldsPerRecord = -1
	table.ReuseRecord = true
	header, err := table.Read()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: the file is empty; it needs a header such as origin_id,name", r.name)
	}
	if err != nil {
		return r.damaged(err)
	}
	columns := map[string]int{}
	for i, column := range header {
		switch name := strings.ToLower(strings.TrimSpace(column)); name {
		case "origin_id", "name", "status":
			if _, twice := columns[name]; twice {
				return fmt.Errorf("%s:1: the column %s stands twice in the header", r.name, name)
			}
			columns[name] = i
		case "code", "message", "": // of refused rows, or a column without a name
		default:
			r.ignored[column] = true
		}
	}
	for _, name := range []string{"origin_id", "name"} {
		if _, ok := columns[name]; !ok {
			return fmt.Errorf("%s:1: the header has no column %s; it has %s", r.name, name, strings.Join(header, ", "))
		}
	}
	cell := func(record []string, name string) string {
		if i, ok := columns[name]; ok && i < len(record) {
			return strings.Clone(record[i])
		}
		return ""
	}
	for {
		record, err := table.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return r.damaged(err)
		}
		line, _ := table.FieldPos(0)
		r.add(line, cell(record, "origin_id"), cell(record, "name"), cell(record, "status"))
	}
}

// semicolons reports whether a header is separated by them, as spreadsheets in half of Europe do.
func semicolons(start []byte) bool {
	line, _, _ := bytes.Cut(start, []byte("\n"))
	return bytes.IndexByte(line, ';') >= 0 && bytes.IndexByte(line, ',') < 0
}

func (r *reader) damaged(err error) error {
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		return fmt.Errorf("%s:%d: %w", r.name, e.Line, e.Err)
	}
	return fmt.Errorf("%s: %w", r.name, err)
}

// entry is an item in either of the contract's forms.
type entry struct {
	OriginID *string `json:"origin_id"`
	Name     *string `json:"name"`
	Status   *string `json:"status"`
	Skill    *struct {
		Name   *string `json:"name"`
		Status *string `json:"status"`
	} `json:"skill"`
}

func (r *reader) entry(line int, e entry) {
	name, status := e.Name, e.Status
	if e.Skill != nil {
		name, status = e.Skill.Name, e.Skill.Status
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	r.add(line, text(e.OriginID), text(name), text(status))
}

// lines finds the line of an offset; offsets must not fall.
type lines struct {
	content []byte
	at      int
	line    int
}

func (l *lines) of(offset int64) int {
	end := min(int(offset), len(l.content))
	l.line += bytes.Count(l.content[l.at:end], []byte("\n"))
	l.at = end
	return l.line + 1
}

// json reads an array of items, or an object that holds one as items.
func (r *reader) json(in io.Reader) error {
	content, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	where := &lines{content: content}
	dec := json.NewDecoder(bytes.NewReader(content))
	wrong := func(err error) error {
		return fmt.Errorf("%s:%d: %w", r.name, where.of(dec.InputOffset()), err)
	}
	first, err := dec.Token()
	if err != nil {
		return wrong(jsonError(err))
	}
	switch first {
	case json.Delim('['):
		err = r.array(dec, where)
	case json.Delim('{'):
		err = r.object(dec, where)
	default:
		return wrong(errors.New(`expected an array of skills, or {"items":[…]}`))
	}
	if err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return wrong(errors.New("something follows the skills"))
	}
	return nil
}

func (r *reader) object(dec *json.Decoder, where *lines) error {
	wrong := func(err error) error {
		return fmt.Errorf("%s:%d: %w", r.name, where.of(dec.InputOffset()), err)
	}
	found := false
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return wrong(jsonError(err))
		}
		if key != "items" {
			var skip json.RawMessage
			if err := dec.Decode(&skip); err != nil {
				return wrong(jsonError(err))
			}
			r.ignored[fmt.Sprint(key)] = true
			continue
		}
		if open, err := dec.Token(); err != nil || open != json.Delim('[') {
			return wrong(errors.New("items must be an array"))
		}
		found = true
		if err := r.array(dec, where); err != nil {
			return err
		}
	}
	if !found {
		return fmt.Errorf(`%s: there is no "items" in it`, r.name)
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return wrong(jsonError(err))
	}
	return nil
}

func (r *reader) array(dec *json.Decoder, where *lines) error {
	for dec.More() {
		var e entry
		if err := dec.Decode(&e); err != nil {
			offset := dec.InputOffset()
			if errors.Is(err, io.ErrUnexpectedEOF) {
				offset = int64(len(where.content))
			}
			return fmt.Errorf("%s:%d: %w", r.name, where.of(offset), jsonError(err))
		}
		r.entry(where.of(dec.InputOffset()), e)
	}
	if _, err := dec.Token(); err != nil {
		return fmt.Errorf("%s:%d: %w", r.name, where.of(dec.InputOffset()), jsonError(err))
	}
	return nil
}

func (r *reader) ndjson(in io.Reader) error {
	scan := bufio.NewScanner(in)
	scan.Buffer(make([]byte, 64<<10), 1<<20)
	for line := 1; scan.Scan(); line++ {
		text := bytes.TrimSpace(scan.Bytes())
		if len(text) == 0 {
			continue
		}
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			r.problem(line, "%v", jsonError(err))
			continue
		}
		r.entry(line, e)
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	return nil
}

// jsonError says in plain words what the decoder means.
func jsonError(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if e.Field == "" {
			return fmt.Errorf("a skill must be an object, not a %s", e.Value)
		}
		return fmt.Errorf("%s must be a string, not a %s", e.Field, e.Value)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the file ends in the middle")
	}
	return err
}
