package apikey

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// ImportOptions configures [Verifier.Import].
type ImportOptions struct {
	// FailOnWarnings makes the import fail if a row has a mistake. Otherwise the rows without mistakes are imported.
	FailOnWarnings bool

	// Check is asked about each key as it would be, with the usage plans of its row, such as whether they exist. The row
	// is left out, with the error as its warning, if there is one. A key that is new has the id that it would get. Check
	// must not change keys, and may be called more than once. Nil admits every key.
	Check func(k Key, plans []string) error

	// DryRun makes the import change nothing. The result is what it would be, but for the ids of new keys.
	DryRun bool
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

// ReadCSV reads keys from a file in API Gateway's format
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/api-key-file-format.html), for [Verifier.Import].
//
// The file is CSV with a header row. The columns Name and Key are required. Description, Enabled (true if it is empty)
// and UsagePlanIds ("a,b" or 'a,b') are optional. Case and order of the columns do not matter, and other columns are
// ignored. Values may have 20 characters, although the page of the format says 30. No row has an id.
//
// The text must be UTF-8, with or without a byte order mark, and have at most 64 MiB. For UTF-16, and for columns that
// are not separated by commas, the error says so. A quote that is not closed spoils only its own line. Rows without any
// value are skipped, and so are blanks around values.
//
// A row with a mistake has its Err set, and apart from that only its Place. A file that cannot be read at all, or has
// more than 20 000 rows without mistakes, is [ErrInvalid].
func ReadCSV(file io.Reader) ([]Row, error) {
	text, err := readText(file)
	if err != nil {
		return nil, err
	}
	records := newCSVReader(text)
	columns, err := readHeader(records)
	if err != nil {
		return nil, err
	}
	var rows []Row
	bad := 0
	for len(rows)-bad <= maxRows && bad <= maxWarnings {
		line, fields, err := records.next()
		if err == io.EOF {
			return rows, nil
		}
		if err == nil && strings.TrimSpace(strings.Join(fields, "")) == "" {
			continue // a spreadsheet writes an empty row as ",,,"
		}
		r := Row{Place: fmt.Sprintf("Line %d", line)}
		if err == nil {
			err = columns.parse(&r, fields)
		}
		if err == nil {
			err = validateValue(r.Value)
		}
		if err != nil {
			r = Row{Place: r.Place, Err: &rowError{r.Place, err}}
			bad++
		}
		rows = append(rows, r)
	}
	if bad <= maxWarnings {
		return nil, invalid(fmt.Sprintf("API Key file has more than %d rows", maxRows))
	}
	return nil, invalid(fmt.Sprintf("API Key file has mistakes in more than %d rows", maxWarnings))
}

// Bounds of a file. Several rows may be about one key. Making a change of them keeps other changes waiting.
const (
	maxRows     = 2 * maxKeys
	maxWarnings = 100_000 // rows that are left out
)

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
	for _, required := range []string{"Key", "Name"} { // of both, Key is the one whose text is known of API Gateway
		if !slices.Contains(names, strings.ToLower(required)) {
			return nil, invalid("Missing required column '" + required + "'")
		}
	}
	return names, nil
}

// parse reads one row into r. Fields that are missing at its end are empty.
func (c columns) parse(r *Row, fields []string) error {
	fields = c.unquote(fields)
	if len(fields) > len(c) {
		return invalid("More values than columns")
	}
	if !utf8.ValidString(strings.Join(fields, "")) { // a name in Latin-1 would seem to be too long
		return invalid("The row is not UTF-8")
	}
	r.Key.Enabled = true
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
				return err
			}
			r.Key.Enabled = enabled
		case columnPlans:
			r.PlanIDs = planIDs(field)
		}
	}
	if r.Key.Name == "" {
		return invalid("Missing required value 'Name'")
	}
	return r.validate()
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

// planIDs reads a field of the column UsagePlanIds. A plan that it names twice is one plan.
func planIDs(field string) []string {
	var ids []string
	seen := make(map[string]bool) // a field may be as long as the file
	for id := range strings.SplitSeq(field, ",") {
		if id = strings.TrimSpace(id); id != "" && !seen[id] {
			seen[id] = true
			ids = append(ids, strings.Clone(id))
		}
	}
	return ids
}
