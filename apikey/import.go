package apikey

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// ImportOptions say how [Verifier.Import] treats a file.
type ImportOptions struct {
	// FailOnWarnings imports nothing unless every row is good. Otherwise the good rows are imported.
	FailOnWarnings bool

	// KnownPlan reports whether a usage plan exists; a row that names another one is warned about and left out.
	// Nil knows every plan.
	KnownPlan func(id string) bool
}

// Imported is what [Verifier.Import] did.
type Imported struct {
	Keys     []Key               // in the order of the file, each once
	PlanIDs  map[string][]string // :: key id → the usage plans that the file names; a usageplan.Change makes it a member
	Warnings []string            // one for each row that was left out, with its line
}

// The columns of API Gateway's key file, by their lower-case names.
const (
	columnName        = "name"
	columnKey         = "key"
	columnDescription = "description"
	columnEnabled     = "enabled"
	columnPlans       = "usageplanids"
)

var columnNames = []string{columnName, columnKey, columnDescription, columnEnabled, columnPlans}

// Import reads keys from a file in API Gateway's format
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-key-file-format.html) and adds them in one change,
// all or none. The file is CSV with a header row; Name and Key are required columns, Description, Enabled (default
// true) and UsagePlanIds ("a,b" or 'a,b') are optional, case and order do not matter and other columns are ignored.
// A value that is registered already overwrites the name, the description and the state of its key; in a file that
// names a value twice the later row does. Values of 20 characters are accepted, where the page of the format says 30.
// The text is UTF-8, with or without a byte order mark, of at most 64 MiB; another encoding, or columns that are
// separated by semicolons or tabs, are named in the error. A quote that is not closed costs its own line alone.
//
// A file that cannot be read as a whole, or that has a bad row under [ImportOptions.FailOnWarnings], is [ErrInvalid].
// Without FailOnWarnings a bad row is no error: look at [Imported].Warnings.
func (v *Verifier) Import(ctx context.Context, file io.Reader, opt ImportOptions) (Imported, error) {
	if v == nil || v.hashers == nil {
		return Imported{}, &Error{Err: ErrNotConfigured}
	}
	rows, warnings, err := readCSV(file, func(r *row) error { return v.importable(r, opt) })
	if err != nil {
		return Imported{}, err
	}
	if opt.FailOnWarnings && len(warnings) > 0 {
		return Imported{Warnings: warnings}, invalid(summary(warnings))
	}
	if len(rows) == 0 {
		return Imported{Warnings: warnings}, nil
	}
	got := Imported{Warnings: warnings, PlanIDs: make(map[string][]string)}
	got.Keys, err = v.change(ctx, OpImport, func(now time.Time) ([]Record, error) {
		return v.stage(rows, got.PlanIDs, now)
	})
	if err != nil {
		return Imported{Warnings: warnings}, err
	}
	return got, nil
}

// maxSummary bounds the answer to a file whose rows are all bad.
const maxSummary = 50

// summary is the text of the error that the warnings amount to.
func summary(warnings []string) string {
	if more := len(warnings) - maxSummary; more > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(warnings[:maxSummary], "; "), more)
	}
	return strings.Join(warnings, "; ")
}

// importable reports what is wrong with a row beyond its form.
func (v *Verifier) importable(r *row, opt ImportOptions) error {
	if err := v.acceptable(r.Value); err != nil {
		return err
	}
	if opt.KnownPlan == nil {
		return nil
	}
	for _, id := range r.planIDs {
		if !opt.KnownPlan(id) {
			return invalid("Invalid Usage Plan ID specified")
		}
	}
	return nil
}

// stage returns the records that rows make, one for each key, and notes their plans.
func (v *Verifier) stage(rows []row, plans map[string][]string, now time.Time) ([]Record, error) {
	records := make([]Record, 0, len(rows))
	values := make(map[Digest]string, len(rows)) // :: value → id of its key
	places := make(map[string]int, len(rows))    // :: id → place in records
	for _, row := range rows {
		d := v.digest(row.Value)
		id, again := values[d]
		if !again {
			v.forget(d, now)
			id = v.holder(d, places)
			values[d] = id
		}
		i, again := places[id]
		if !again {
			i = len(records)
			places[id] = i
			records = append(records, v.imported(id, d, now))
		}
		k := &records[i].Key
		k.Name, k.Description, k.Enabled, k.Updated = row.Key.Name, row.Key.Description, row.Key.Enabled, now
		plans[id] = row.planIDs
	}
	return records, nil
}

// holder returns the id of the key that has the value of digest d, or a new id that is not among those taken.
func (v *Verifier) holder(d Digest, taken map[string]int) string {
	if r := v.keys.byDigest(&d); r != nil {
		return r.id()
	}
	for {
		id := v.newID()
		if _, used := taken[id]; !used {
			return id
		}
	}
}

// imported returns what is stored about the key of the given id, or a new key with the value of digest d.
func (v *Verifier) imported(id string, d Digest, now time.Time) Record {
	r, err := v.record(id)
	if err != nil {
		return Record{Key: Key{ID: id, Created: now}, Digest: d}
	}
	return r
}

// row is one line of the file.
type row struct {
	Entry
	planIDs []string
}

// readCSV returns the good rows of file and a warning for each other one. It fails if the header cannot be used.
func readCSV(file io.Reader, check func(*row) error) ([]row, []string, error) {
	text, err := readText(file)
	if err != nil {
		return nil, nil, err
	}
	records := newRecords(text)
	columns, err := readHeader(records)
	if err != nil {
		return nil, nil, err
	}
	var rows []row
	var warnings []string
	for {
		line, cells, err := records.next()
		if err == io.EOF {
			return rows, warnings, nil
		}
		var r row
		if err == nil {
			r, err = columns.parse(cells)
		}
		if err == nil {
			err = check(&r)
		}
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("Line %d: %s", line, reason(err)))
			continue
		}
		rows = append(rows, r)
	}
}

// reason is what a warning says of a bad row.
func reason(err error) string {
	if bad, is := errors.AsType[*csv.ParseError](err); is {
		return bad.Err.Error()
	}
	return err.(*Error).Message // parse and check return no other kind
}

// columns are the lower-case names of a file's columns, in its order.
type columns []string

func readHeader(records *records) (columns, error) {
	if separator := records.foreignSeparator(); separator != "" {
		return nil, invalid("API Key file separates its columns by " + separator + ", not by a comma")
	}
	_, cells, err := records.next()
	if err != nil && err != io.EOF {
		return nil, &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err), Message: "API Key file cannot be read"}
	}
	names := make(columns, len(cells))
	for i, c := range cells {
		names[i] = strings.ToLower(strings.TrimSpace(c))
		if names[i] != "" && slices.Contains(names[:i], names[i]) {
			return nil, invalid("Duplicate column '" + clip(strings.TrimSpace(c)) + "'")
		}
	}
	for _, required := range []string{"Name", "Key"} {
		if !slices.Contains(names, strings.ToLower(required)) {
			return nil, invalid("Missing required column '" + required + "'")
		}
	}
	return names, nil
}

// parse reads one row. Cells that are missing at its end are empty ones.
func (c columns) parse(cells []string) (row, error) {
	cells = c.unquote(cells)
	if len(cells) > len(c) {
		return row{}, invalid("More values than columns")
	}
	r := row{Entry: Entry{Key: Key{ID: strings.Repeat("0", lengthID), Enabled: true}}}
	for i, cell := range cells {
		cell = strings.TrimSpace(cell)
		switch c[i] {
		case columnName:
			r.Key.Name = strings.Clone(cell) // apart from its line, which holds the value
		case columnKey:
			r.Value = Value(cell)
		case columnDescription:
			r.Key.Description = strings.Clone(cell)
		case columnEnabled:
			enabled, err := state(cell)
			if err != nil {
				return row{}, err
			}
			r.Key.Enabled = enabled
		case columnPlans:
			r.planIDs = planIDs(cell)
		}
	}
	if r.Key.Name == "" {
		return row{}, invalid("Missing required value 'Name'")
	}
	return r, r.Key.validate()
}

// unquote joins the cells of UsagePlanIds that a comma within single quotes has split: CSV knows no such quotes, API
// Gateway's format does.
func (c columns) unquote(cells []string) []string {
	at := slices.Index(c, columnPlans)
	if at < 0 || at >= len(cells) || !strings.HasPrefix(strings.TrimSpace(cells[at]), "'") {
		return cells
	}
	for end := at; end < len(cells); end++ {
		if last := strings.TrimSpace(cells[end]); strings.HasSuffix(last, "'") && (end > at || len(last) > 1) {
			whole := strings.TrimSpace(strings.Join(cells[at:end+1], ","))
			return slices.Concat(cells[:at], []string{whole[1 : len(whole)-1]}, cells[end+1:])
		}
	}
	return cells
}

// state reads the column Enabled: true or false in any case, true if it is empty.
func state(cell string) (bool, error) {
	switch strings.ToLower(cell) {
	case "", "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("Invalid value for column 'Enabled', must be true or false")
}

// planIDs reads the column UsagePlanIds.
func planIDs(cell string) []string {
	var ids []string
	for id := range strings.SplitSeq(cell, ",") {
		if id = strings.Clone(strings.TrimSpace(id)); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
