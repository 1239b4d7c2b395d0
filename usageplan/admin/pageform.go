package admin

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a form. The longest field is a description of 125 000 characters, each of which may be twelve bytes in a
// form: "%F0%9F%98%80".
const (
	maxForm   = 2 << 20
	maxFields = 256
)

// A form is what a browser has sent: the fields of a POST, or the parameters of a GET.
type form map[string][]string

// get returns the value of a field, "" if there is none.
func (f form) get(name string) string {
	if values := f[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// is reports whether a checkbox is ticked, or a list has the value.
func (f form) is(name, value string) bool { return slices.Contains(f[name], value) }

// readForm reads the body of a POST. Our forms have no other content type.
func readForm(w http.ResponseWriter, r *http.Request, fields []string) (form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, badRequest("The form has an unknown content type")
	}
	if r.Body == nil {
		return form{}, nil
	}
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxForm))
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return nil, &Error{Err: ErrTooLarge}
	}
	if err != nil {
		return nil, badRequest("The form has not arrived as a whole")
	}
	return parseForm(string(text), fields)
}

// parseForm parses fields. names are those that there may be; one that ends in "*" may come more than once. Everything
// else is refused: a misspelt limit would be no limit, and of a field that comes twice, programs differ in which they
// take. Browsers write line breaks as CR LF (HTML, "constructing the entry list"), and the journals have LF.
func parseForm(text string, names []string) (form, error) {
	if strings.Count(text, "&") >= maxFields {
		return nil, badRequest("The form has more than %d fields", maxFields)
	}
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, badRequest("The form cannot be read")
	}
	for name, list := range values {
		many, one := slices.Contains(names, name+"*"), slices.Contains(names, name) && !strings.HasSuffix(name, "*")
		switch {
		case !many && !one:
			return nil, badRequest("The form has an unknown field: %s", clip(name))
		case !many && len(list) > 1:
			return nil, badRequest("The form has the field %s twice", clip(name))
		}
		for i, value := range list {
			if !utf8.ValidString(value) {
				return nil, badRequest("The field %s is not UTF-8", clip(name))
			}
			list[i] = newlines.Replace(value)
		}
	}
	return form(values), nil
}

var newlines = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// readParameters reads the query of a GET. Those that are not known are ignored: mail programs and search tools add
// theirs to every link. One that comes twice is refused.
func readParameters(raw string) (form, error) {
	values, err := url.ParseQuery(raw)
	if err != nil || len(raw) > maxQuery {
		return nil, badRequest("The address cannot be read")
	}
	for name, list := range values {
		if len(list) > 1 || !utf8.ValidString(list[0]) {
			return nil, badRequest("The address has the parameter %s twice, or in a form that is not UTF-8", clip(name))
		}
	}
	return form(values), nil
}

// maxQuery is above the longest query of the page: a search and a position.
const maxQuery = 16 << 10
