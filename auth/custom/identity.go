package custom

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"
)

// maxIdentity bounds what identifies a caller, all sources together, in bytes. It is the cap on tokens of package auth.
const maxIdentity = 16 << 10

// Header returns an identity source: the value of the named header field. A field that occurs twice is there but has no
// value, since it is open which of the two another layer reads.
func Header(name string) func(*http.Request) (string, bool) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return func(r *http.Request) (string, bool) {
		if name == "Host" {
			return r.Host, r.Host != ""
		}
		return only(r.Header[name])
	}
}

// Query returns an identity source: the value of the named query parameter. A parameter that occurs twice is there but
// has no value, and so is one that is longer than any identity, and any of a query that cannot be read whole.
func Query(name string) func(*http.Request) (string, bool) {
	return func(r *http.Request) (string, bool) {
		query := r.URL.RawQuery
		if !readable(query) {
			return "", true
		}
		found, value := false, ""
		for rest := strings.TrimLeft(query, "&"); rest != ""; { // an empty parameter is none, as for url.ParseQuery
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
		value, _ = url.QueryUnescape(value) // it is readable
		return value, found
	}
}

// parameter returns the length of the first parameter of a query. There may be a million of them, so the call that looks
// for the ampersand in a long one is spared for a short one.
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
// followed by two hexadecimal digits. This takes one pass and no memory, whatever a client sends.
func readable(query string) bool {
	if strings.Contains(query, ";") {
		return false
	}
	for query != "" {
		if query[0] != '%' { // else escapes follow one another
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

// valueOf returns the value of a parameter of a readable query, still encoded, and whether name is the parameter's.
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

// unhex returns the value of a hexadecimal digit, or -1.
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

// only returns the one value of a field.
func only(values []string) (value string, present bool) {
	if len(values) != 1 {
		return "", len(values) > 0
	}
	return values[0], true
}

// values returns what identifies the caller of r, one value for each identity source.
func (a *Authorizer) values(r *http.Request) ([]string, error) {
	values := make([]string, len(a.identity))
	size := 0
	for i, source := range a.identity {
		value, ok := source(r)
		if !ok {
			return nil, ErrMissing
		}
		if value == "" {
			return nil, ErrMalformed
		}
		values[i] = value
		size += len(value)
	}
	if size > maxIdentity || a.kind == TOKEN && !a.expression.MatchString(values[0]) {
		return nil, ErrMalformed
	}
	return values, nil
}

// key is the hash of what identifies a caller: results are kept under it, so that no credential is.
type key [sha256.Size]byte

// keyOf hashes the lengths too, so that "a","bc" is not "ab","c".
func keyOf(values []string) key {
	var few [512]byte // so that most do not allocate
	text := few[:0]
	for _, v := range values {
		text = binary.AppendUvarint(text, uint64(len(v)))
		text = append(text, v...)
	}
	return sha256.Sum256(text)
}
