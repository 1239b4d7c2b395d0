package custom

import (
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"net/textproto"
)

// maxIdentity is how many bytes the values of all identity sources may have together. It equals the bound on tokens in
// package auth.
const maxIdentity = 16 << 10

// Header returns an identity source: the value of the named header field. If the field occurs twice, the source finds
// it but returns no value, since another layer may read the other of the two.
func Header(name string) func(*http.Request) (string, bool) {
	name = textproto.CanonicalMIMEHeaderKey(name)
	return func(r *http.Request) (string, bool) {
		if name == "Host" {
			return r.Host, r.Host != ""
		}
		return only(r.Header[name])
	}
}

// only returns the value of a field that occurs once. It returns "" and true if the field occurs more often.
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
	if size > maxIdentity || !a.byRequest && !a.expression.MatchString(values[0]) {
		return nil, ErrMalformed
	}
	return values, nil
}

// key is a hash of what identifies a caller. The cache stores results under it, so that it holds no credentials.
type key [sha256.Size]byte

// keyOf hashes values with their lengths, so that "a","bc" and "ab","c" have different keys.
func keyOf(values []string) key {
	var few [512]byte // on the stack, enough for most values
	text := few[:0]
	for _, v := range values {
		text = binary.AppendUvarint(text, uint64(len(v)))
		text = append(text, v...)
	}
	return sha256.Sum256(text)
}
