package custom

import (
	"net/http"
	"net/url"
	"strings"
)

// Query returns an identity source: the decoded value of the named query parameter. The source finds the parameter but
// returns no value if the parameter occurs twice, or if its value is longer than identities may be, 16 KiB. It does the
// same for a query that url.ParseQuery would not read without an error.
func Query(name string) func(*http.Request) (string, bool) {
	return func(r *http.Request) (string, bool) {
		query := r.URL.RawQuery
		if !readable(query) {
			return "", true
		}
		found, value := false, ""
		for rest := strings.TrimLeft(query, "&"); rest != ""; { // like url.ParseQuery, it skips empty parameters
			end := parameter(rest)
			text, ok := valueOf(rest[:end], name)
			rest = strings.TrimLeft(rest[end:], "&")
			if !ok {
				continue
			}
			if found {
				return "", true
			}
			found, value = true, text
		}
		if len(value) > len("%41")*maxIdentity {
			return "", true
		}
		value, _ = url.QueryUnescape(value) // readable, so no error
		return value, found
	}
}

// parameter returns the length of the first parameter of a query. A query may have a million short parameters. So the
// first bytes are compared one by one, which is faster for short parameters than a call of strings.IndexByte.
func parameter(query string) int {
	const short = 8
	for i := range min(short, len(query)) {
		if query[i] == '&' {
			return i
		}
	}
	if len(query) <= short {
		return len(query)
	}
	if i := strings.IndexByte(query[short:], '&'); i >= 0 {
		return short + i
	}
	return len(query)
}

// readable reports whether url.ParseQuery reads query without an error: it has no semicolon, and each percent sign is
// followed by two hexadecimal digits. It takes one pass and does not allocate.
func readable(query string) bool {
	if strings.Contains(query, ";") {
		return false
	}
	for query != "" {
		if query[0] != '%' { // a run of escapes needs no search
			escape := strings.IndexByte(query, '%')
			if escape < 0 {
				return true
			}
			query = query[escape:]
		}
		if len(query) < len("%41") || unhex(query[1]) < 0 || unhex(query[2]) < 0 {
			return false
		}
		query = query[len("%41"):]
	}
	return true
}

// valueOf returns the value of a parameter of a readable query, still encoded, and whether the parameter has that name.
// It decodes the parameter's name byte by byte while it compares.
func valueOf(parameter, name string) (string, bool) {
	for ; name != ""; name = name[1:] {
		if parameter == "" || parameter[0] == '=' {
			return "", false
		}
		b := parameter[0]
		switch b {
		case '+':
			b = ' '
		case '%':
			b = byte(unhex(parameter[1])<<4 | unhex(parameter[2]))
			parameter = parameter[2:]
		}
		if b != name[0] {
			return "", false
		}
		parameter = parameter[1:]
	}
	if parameter == "" {
		return "", true
	}
	return parameter[1:], parameter[0] == '='
}

// unhex returns the value of a hexadecimal digit, or -1 for any other byte.
func unhex(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
