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
// has no value, and so is any of a query that cannot be read whole.
func Query(name string) func(*http.Request) (string, bool) {
	return func(r *http.Request) (string, bool) {
		query := r.URL.RawQuery
		if !readable(query) {
			return "", true
		}
		found, value := false, ""
		for parameter := range strings.SplitSeq(query, "&") {
			encoded, text, _ := strings.Cut(parameter, "=")
			if parameter == "" || !spells(encoded, name) {
				continue
			}
			if found {
				return "", true
			}
			found, value = true, text
		}
		value, _ = url.QueryUnescape(value) // it is readable
		return value, found
	}
}

// readable reports whether url.ParseQuery reads query without an error: it has no semicolon, and each percent sign is
// followed by two hexadecimal digits. This takes one pass and no memory, whatever a client sends.
func readable(query string) bool {
	if strings.Contains(query, ";") {
		return false
	}
	for {
		_, rest, escape := strings.Cut(query, "%")
		if !escape {
			return true
		}
		if len(rest) < 2 || unhex(rest[0]) < 0 || unhex(rest[1]) < 0 {
			return false
		}
		query = rest[2:]
	}
}

// spells reports whether encoded, of a readable query, stands for name.
func spells(encoded, name string) bool {
	for ; encoded != "" && name != ""; name = name[1:] {
		b := encoded[0]
		switch b {
		case '+':
			b = ' '
		case '%':
			b = byte(unhex(encoded[1])<<4 | unhex(encoded[2]))
			encoded = encoded[2:]
		}
		if b != name[0] {
			return false
		}
		encoded = encoded[1:]
	}
	return encoded == name // both are empty
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
	var text []byte
	for _, v := range values {
		text = binary.AppendUvarint(text, uint64(len(v)))
		text = append(text, v...)
	}
	return sha256.Sum256(text)
}
