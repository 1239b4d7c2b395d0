package apikey

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxImport bounds a file: a million keys of 67 bytes a row.
const maxImport = 64 << 20

// readText returns the file without its byte order mark. It names an encoding that is not UTF-8.
func readText(file io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(file, maxImport+1))
	switch {
	case err != nil:
		return nil, &Error{Err: fmt.Errorf("%w: %w", ErrInvalid, err), Message: "API Key file cannot be read"}
	case len(text) > maxImport:
		return nil, invalid("API Key file exceeds maximum size of 64 MiB")
	case isUTF16(text):
		return nil, invalid("API Key file is UTF-16, not UTF-8")
	}
	return bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")), nil // spreadsheets write it
}

// isUTF16 reports whether text begins with UTF-16's byte order mark, or with an ASCII character in two bytes.
func isUTF16(text []byte) bool {
	if len(text) < 2 {
		return false
	}
	mark := [2]byte{text[0], text[1]}
	return mark == [2]byte{0xff, 0xfe} || mark == [2]byte{0xfe, 0xff} || (mark[0] == 0) != (mark[1] == 0)
}

// records are the records of a CSV file (RFC 4180). They come from [csv.Reader], but for one thing: a quote that is not
// closed takes the lines after it into its own record, as far as the next quote, where the mistake shows. Reading goes on
// with the second of these lines then, so that only the line of the quote is lost. No line is read more than twice: the
// next quote ends every such record.
type records struct {
	text   []byte
	lines  *csv.Reader // of text
	before int         // lines of the file before text
	at     int         // an offset into text, where a record has ended
	line   int         // lines of text before at
}

func newRecords(text []byte) *records {
	r := &records{}
	r.reset(text)
	return r
}

func (r *records) reset(text []byte) {
	r.text, r.lines, r.at, r.line = text, csv.NewReader(bytes.NewReader(text)), 0, 0
	r.lines.FieldsPerRecord, r.lines.TrimLeadingSpace, r.lines.ReuseRecord = -1, true, true
}

// next returns the next record and the line that it begins on. The cells are valid until the following call. The error is
// a *csv.ParseError for a bad record, after which there may be others, or io.EOF.
func (r *records) next() (line int, cells []string, err error) {
	end := int(r.lines.InputOffset())
	r.line += bytes.Count(r.text[r.at:end], []byte("\n"))
	r.at = end
	cells, err = r.lines.Read()
	if bad, is := errors.AsType[*csv.ParseError](err); is {
		line = r.before + bad.StartLine
		if bad.Line > bad.StartLine {
			r.resume(bad.StartLine)
		}
		return line, nil, err
	}
	if err == nil {
		line, _ = r.lines.FieldPos(0)
	}
	return r.before + line, cells, err
}

// resume goes on after the given line of text.
func (r *records) resume(line int) {
	rest := r.text[r.at:]
	for range line - r.line {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	r.before += line
	r.reset(rest)
}

// foreignSeparator names what separates the columns in place of a comma, or returns "". A header that has the two required
// columns when it is split so was written for that separator, or else one in which the most columns are known. A line
// "sep=;" before it is a hint for spreadsheets.
func (r *records) foreignSeparator() string {
	text := bytes.TrimLeft(r.text, "\r\n")
	header, rest := cutLine(text)
	if bytes.HasPrefix(header, []byte("sep=")) {
		header, _ = cutLine(rest)
	}
	header = header[:min(len(header), maxHeader)]
	foreign, most := "", 0
	for _, s := range []struct{ separator, name string }{{",", ""}, {";", "semicolons"}, {"\t", "tabs"}, {"|", "vertical bars"}} {
		known := knownColumns(string(header), s.separator)
		if slices.Contains(known, columnName) && slices.Contains(known, columnKey) {
			return s.name
		}
		if len(known) > most {
			foreign, most = s.name, len(known)
		}
	}
	return foreign
}

// knownColumns returns the names of columns that matter in a header.
func knownColumns(header, separator string) []string {
	var known []string
	for cell := range strings.SplitSeq(header, separator) {
		if name := strings.ToLower(strings.Trim(cell, "\"' \t")); slices.Contains(columnNames, name) {
			known = append(known, name)
		}
	}
	return known
}

func cutLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
		return text[:i], bytes.TrimLeft(text[i:], "\r\n")
	}
	return text, nil
}

// maxHeader is more than the names of any columns that matter take.
const maxHeader = 4096
