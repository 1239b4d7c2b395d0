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

// ImportOptions configures [Verifier.Import].
type ImportOptions struct {
	// FailOnWarnings makes Import fail if a row has a mistake. Otherwise it imports the rows without mistakes.
	FailOnWarnings bool

	// KnownPlan reports whether a usage plan exists. A row with an unknown plan is left out, with a warning. If it is
	// nil, all plans are taken to exist.
	KnownPlan func(id string) bool
}

// Imported is the result of [Verifier.Import].
type Imported struct {
	Keys     []Key    // the imported keys in the order of the file, each once
	Warnings []string // one for each row that was left out, with its line number

	// PlanIDs are the ids of the usage plans that the file names, by the id of the key. Import adds no memberships: the
	// caller does, for example by AddMembers of package usageplan.
	PlanIDs map[string][]string
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
// all or nothing.
//
// The file is CSV with a header row. The columns Name and Key are required. Description, Enabled (true if it is empty)
// and UsagePlanIds ("a,b" or 'a,b') are optional. Case and order of the columns do not matter, and other columns are
// ignored. If a key has the value of a row already, the row replaces the key's name, description and state. If two rows
// have the same value, the later one counts. Values may have 20 characters, although the page of the format says 30.
//
// The text must be UTF-8, with or without a byte order mark, and have at most 64 MiB. For UTF-16, and for columns that
// are not separated by commas, the error says so. A quote that is not closed spoils only its own line.
//
// A row with a mistake is left out, with a warning in [Imported].Warnings. With [ImportOptions].FailOnWarnings it makes
// the import fail with [ErrInvalid], and so does a file that cannot be read at all, or has more than 10 000 keys.
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
	got := Imported{Warnings: warnings}
	got.Keys, err = v.store(ctx, opImport, func(now time.Time) ([]state, error) {
		got.PlanIDs = make(map[string][]string)
		return v.stage(rows, got.PlanIDs, now)
	})
	if err != nil {
		return Imported{Warnings: warnings}, err
	}
	return got, nil
}

// maxKeys is how many keys one import may have: as many as a change of a journal.
const maxKeys = 10_000

// maxSummary is how many warnings an error repeats.
const maxSummary = 50

// summary returns the text of the error for the warnings.
func summary(warnings []string) string {
	if more := len(warnings) - maxSummary; more > 0 {
		return fmt.Sprintf("%s; and %d more", strings.Join(warnings[:maxSummary], "; "), more)
	}
	return strings.Join(warnings, "; ")
}

// importable returns what is wrong with a row that was parsed, or nil.
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

// stage returns the states of the keys of rows, one for each key, and adds the keys' plans to plans. A row is known by
// its value. For example, of the rows "a,VALUE1", "b,VALUE2" and "c,VALUE1", the third overwrites the first: two keys
// are imported, named c and b. If a key of the verifier has VALUE2, that key is named b, and only one key is new.
func (v *Verifier) stage(rows []row, plans map[string][]string, now time.Time) ([]state, error) {
	states := make([]state, 0, len(rows))
	values := make(map[digest]string, len(rows)) // digest → id of the key that has it
	places := make(map[string]int, len(rows))    // id → index in states
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
			i = len(states)
			if i == maxKeys {
				return nil, invalid(fmt.Sprintf("API Key file has more than %d keys", maxKeys))
			}
			places[id] = i
			states = append(states, v.imported(id, d, now))
		}
		if d == states[i].digest {
			states[i].sealed = v.sealer.seal(id, row.Value)
		}
		k := &states[i].key
		k.Name, k.Description, k.Enabled, k.Updated = row.Key.Name, row.Key.Description, row.Key.Enabled, now
		plans[id] = row.planIDs
	}
	return states, nil
}

// holder returns the id of the key that has the digest d. If there is none, it returns a new id that is not in taken.
func (v *Verifier) holder(d digest, taken map[string]int) string {
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

// imported returns the state of the key of the given id. If there is none, it returns that of a new key with the digest
// d.
func (v *Verifier) imported(id string, d digest, now time.Time) state {
	s, err := v.state(id)
	if err != nil {
		return state{key: Key{ID: id, Created: now}, digest: d}
	}
	return s
}

// row is one line of the file.
type row struct {
	Entry
	planIDs []string
}

// readCSV returns the rows of file without mistakes, and a warning for each of the others. It fails if the file cannot
// be read or its header has a mistake.
func readCSV(file io.Reader, check func(*row) error) ([]row, []string, error) {
	text, err := readText(file)
	if err != nil {
		return nil, nil, err
	}
	records := newCSVReader(text)
	columns, err := readHeader(records)
	if err != nil {
		return nil, nil, err
	}
	var rows []row
	var warnings []string
	for {
		line, fields, err := records.next()
		if err == io.EOF {
			return rows, warnings, nil
		}
		var r row
		if err == nil {
			r, err = columns.parse(fields)
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

// reason returns what a warning says about a row with the mistake err.
func reason(err error) string {
	if bad, is := errors.AsType[*csv.ParseError](err); is {
		return bad.Err.Error()
	}
	return err.(*Error).Message // parse and check return no other kind
}

// columns are the lower-case names of a file's columns, in its order.
type columns []string

// readHeader reads the first record, the names of the columns. Unknown columns are allowed. A column that is given
// twice is a mistake, and so is a required one that is missing, as in an empty file.
func readHeader(records *csvReader) (columns, error) {
	if separator := records.foreignSeparator(); separator != "" {
		return nil, invalid("API Key file separates its columns by " + separator + ", not by a comma")
	}
	_, fields, err := records.next()
	if err != nil && err != io.EOF {
		return nil, &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err), Message: "API Key file cannot be read"}
	}
	names := make(columns, len(fields))
	for i, c := range fields {
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

// parse reads one row. Fields that are missing at its end are empty.
func (c columns) parse(fields []string) (row, error) {
	fields = c.unquote(fields)
	if len(fields) > len(c) {
		return row{}, invalid("More values than columns")
	}
	r := row{Entry: Entry{Key: Key{ID: strings.Repeat("0", lengthID), Enabled: true}}}
	for i, field := range fields {
		field = strings.TrimSpace(field)
		switch c[i] {
		case columnName:
			r.Key.Name = strings.Clone(field) // a substring would keep the whole line in memory, with the value
		case columnKey:
			r.Value = Secret(field)
		case columnDescription:
			r.Key.Description = strings.Clone(field)
		case columnEnabled:
			enabled, err := parseEnabled(field)
			if err != nil {
				return row{}, err
			}
			r.Key.Enabled = enabled
		case columnPlans:
			r.planIDs = planIDs(field)
		}
	}
	if r.Key.Name == "" {
		return row{}, invalid("Missing required value 'Name'")
	}
	return r, r.Key.validate()
}

// unquote joins the parts of a UsagePlanIds field in single quotes, such as 'a,b'. API Gateway's format has such
// quotes. CSV does not, so the field was split at its commas.
func (c columns) unquote(fields []string) []string {
	at := slices.Index(c, columnPlans)
	if at < 0 || at >= len(fields) || !strings.HasPrefix(strings.TrimSpace(fields[at]), "'") {
		return fields
	}
	for end := at; end < len(fields); end++ {
		if last := strings.TrimSpace(fields[end]); strings.HasSuffix(last, "'") && (end > at || len(last) > 1) {
			whole := strings.TrimSpace(strings.Join(fields[at:end+1], ","))
			return slices.Concat(fields[:at], []string{whole[1 : len(whole)-1]}, fields[end+1:])
		}
	}
	return fields
}

// parseEnabled reads a field of the column Enabled: true or false in any case, or empty for true.
func parseEnabled(field string) (bool, error) {
	switch strings.ToLower(field) {
	case "", "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("Invalid value for column 'Enabled', must be true or false")
}

// planIDs reads a field of the column UsagePlanIds.
func planIDs(field string) []string {
	var ids []string
	for id := range strings.SplitSeq(field, ",") {
		if id = strings.Clone(strings.TrimSpace(id)); id != "" {
			ids = append(ids, id)
		}
	}
	return ids
}
