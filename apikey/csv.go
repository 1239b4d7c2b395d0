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

// maxImport is how many bytes a file may have: enough for a million keys with 67 bytes a row.
const maxImport = 64 << 20

// readText returns the text of the file without its byte order mark. For UTF-16 it returns an error that says so.
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

// A csvReader reads the records of a CSV file (RFC 4180). It differs from [csv.Reader] in two points. It takes blanks
// after a quoted field, as API Gateway's format has them around fields. And a quote that is not closed costs only its
// own line. To csv.Reader, the quoted field goes on over the following lines, up to the next
// quote, and the record is lost with all of them. The csvReader then starts again with the line after the one of the
// open quote. For example, of the lines
//
//	a,"b
//	c,d
//	e,"f"
//
// only the first is lost. No line is read more than twice, because each such record ends at the next quote.
type csvReader struct {
	text   []byte      // the rest of the file, from where reading started last
	lines  *csv.Reader // reads text
	before int         // how many lines of the file come before text
	at     int         // the offset in text where the last record ended
	line   int         // how many lines of text come before at
}

func newCSVReader(text []byte) *csvReader {
	r := &csvReader{}
	r.reset(text)
	return r
}

// reset makes r read text.
func (r *csvReader) reset(text []byte) {
	r.text, r.lines, r.at, r.line = text, csv.NewReader(bytes.NewReader(text)), 0, 0
	r.lines.FieldsPerRecord, r.lines.TrimLeadingSpace, r.lines.ReuseRecord = -1, true, true
}

// next returns the fields of the next record and the line on which it begins. The fields are valid until the next call.
// The error is io.EOF at the end, and a *csv.ParseError for a bad record, after which the caller may go on.
func (r *csvReader) next() (line int, fields []string, err error) {
	end := int(r.lines.InputOffset())
	r.line += bytes.Count(r.text[r.at:end], []byte("\n"))
	r.at = end
	fields, err = r.lines.Read()
	if bad, is := errors.AsType[*csv.ParseError](err); is {
		line = r.before + bad.StartLine
		if bad.Line > bad.StartLine {
			r.resume(bad.StartLine)
			return line, nil, err
		}
		fields, err = r.again(err)
		return line, fields, err
	}
	if err == nil {
		line, _ = r.lines.FieldPos(0)
	}
	return r.before + line, fields, err
}

// again reads the line of a bad record without the blanks after its quoted fields. If that does not help, it returns bad.
func (r *csvReader) again(bad error) ([]string, error) {
	text := string(r.text[r.at:r.lines.InputOffset()])
	line := csv.NewReader(strings.NewReader(trimQuoted(strings.Trim(text, "\r\n"))))
	line.TrimLeadingSpace = true
	fields, err := line.Read()
	if err != nil {
		return nil, bad
	}
	return fields, nil
}

// trimQuoted removes the blanks after the quoted fields of a line: of `"a,b" , c` it makes `"a,b", c`. A line in which
// something else follows a quoted field is returned as it is.
func trimQuoted(line string) string {
	var b strings.Builder
	for rest := line; ; {
		field := strings.TrimLeft(rest, " \t")
		end := strings.IndexByte(field, ',')
		if strings.HasPrefix(field, `"`) {
			end = quotedEnd(field)
			b.WriteString(field[:end])
			if field = strings.TrimLeft(field[end:], " \t"); field != "" && field[0] != ',' {
				return line
			}
			end = min(0, len(field)-1) // the comma, if there is one
		}
		if end < 0 {
			return b.String() + field
		}
		b.WriteString(field[:end+1])
		rest = field[end+1:]
	}
}

// quotedEnd returns where the quoted field ends with which text begins. Two quotes in a row are one of its characters.
func quotedEnd(text string) int {
	for i := 1; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		if !strings.HasPrefix(text[i+1:], `"`) {
			return i + 1
		}
		i++
	}
	return len(text)
}

// resume starts to read again after the given line of text.
func (r *csvReader) resume(line int) {
	rest := r.text[r.at:]
	for range line - r.line {
		_, rest, _ = bytes.Cut(rest, []byte("\n"))
	}
	r.before += line
	r.reset(rest)
}

// foreignSeparator returns the name of the separator of the columns if it is not a comma, or else "". It splits the
// header by each separator. The first one for which the header has both required columns is the file's; if there is
// none, it is the one with the most known columns. A line "sep=;" before the header, which spreadsheets write, is
// skipped.
func (r *csvReader) foreignSeparator() string {
	text := bytes.TrimLeft(r.text, "\r\n")
	header, rest := cutLine(text)
	if bytes.HasPrefix(header, []byte("sep=")) {
		header, _ = cutLine(rest)
	}
	header = header[:min(len(header), maxHeader)]
	foreign, most := "", 0
	for _, s := range []struct{ separator, name string }{
		{",", ""}, {";", "semicolons"}, {"\t", "tabs"}, {"|", "vertical bars"},
	} {
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

// knownColumns returns the names in a header, split by separator, that are columns of API Gateway's format.
func knownColumns(header, separator string) []string {
	var known []string
	for field := range strings.SplitSeq(header, separator) {
		if name := strings.ToLower(strings.Trim(field, "\"' \t")); slices.Contains(columnNames, name) {
			known = append(known, name)
		}
	}
	return known
}

// cutLine returns the first line of text, and what follows it without empty lines.
func cutLine(text []byte) (line, rest []byte) {
	if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
		return text[:i], bytes.TrimLeft(text[i:], "\r\n")
	}
	return text, nil
}

// maxHeader is how many bytes of a header are searched for a separator. The known columns take far fewer.
const maxHeader = 4096
