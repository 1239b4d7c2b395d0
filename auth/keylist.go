package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds on a key set. API Gateway has the same limit of 150 000 bytes (HTTP API quotas).
const (
	maxKeySet  = 150_000
	maxKeys    = 100
	maxReasons = 8 // listed in one error
)

// byteOrderMark is what some editors and shells write at the start of a document. A reader may ignore it (RFC 8259
// section 8.1).
const byteOrderMark = "\ufeff"

// keyList is the content of a JWK Set. It is immutable.
type keyList struct {
	keys []*key // in the order of the set, without duplicates
	left []leftOut
}

// leftOut is a key that cannot verify tokens here.
type leftOut struct {
	id     string // its kid; empty if that could not be read
	reason error  // wraps errKey
}

// parseKeySet reads a JWK Set (RFC 7517 section 5). Keys that cannot verify tokens here are left out, as that section
// demands, and the reason is kept for each. A set without a usable key is refused.
func parseKeySet(document []byte, rules keyRules) (list keyList, err error) {
	if len(document) > maxKeySet {
		return list, fmt.Errorf("key set is longer than %d bytes", maxKeySet)
	}
	var s scanner
	raws, err := splitKeySet(&s, bytes.TrimPrefix(document, []byte(byteOrderMark)))
	if err != nil {
		return list, fmt.Errorf("key set: %w", err)
	}
	for i, raw := range raws {
		k, err := parseKey(&s, raw, rules)
		if err != nil {
			list.leave(i, raw, err)
		} else if !slices.ContainsFunc(list.keys, k.same) {
			list.keys = append(list.keys, k)
		}
	}
	if len(list.keys) == 0 {
		return list, fmt.Errorf("key set contains no usable key%s", list.reasons())
	}
	return list, nil
}

var keySetNames = map[string]bool{"keys": true}

// splitKeySet returns the JSON of each key of a set. The document must be valid JSON in UTF-8, and the members of the
// set itself are read strictly. A mistake within a key does not affect the other keys.
func splitKeySet(s *scanner, document []byte) (raws []json.RawMessage, err error) {
	if !utf8.Valid(document) {
		return nil, errors.New(errUTF8.(*detail).text)
	}
	document, ok := shallow(document)
	var members map[string]json.RawMessage
	if !ok || json.Unmarshal(document, &members) != nil {
		return nil, errors.New(errJSON.(*detail).text)
	}
	keys := string(members["keys"])
	s.begin(string(document))
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch {
		case name != "keys":
			s.unregistered(keySetNames)
		case !strings.HasPrefix(s.text[s.at:], keys): // keys is the value of another member named keys
			s.fail(errDuplicate)
		default:
			s.at += len(keys)
		}
	}
	if s.err != nil {
		return nil, errors.New(s.err.(*detail).text)
	}
	if err := json.Unmarshal(members["keys"], &raws); err != nil {
		return nil, errors.New("keys is not there, or no array")
	}
	if len(raws) > maxKeys {
		return nil, fmt.Errorf("more than %d keys", maxKeys)
	}
	return raws, nil
}

// shallow returns a copy of a document in which the arrays and objects at level 5000 are empty. Otherwise one key with
// more than 10 000 levels would make encoding/json refuse the whole set. That key is still too deep and is left out, but
// the other keys can be read.
//
// Only valid JSON is removed, so that a mistake is never hidden: what a bracket closes at level 5000, 10 000 and so on
// is checked before it is emptied. The innermost is closed first, so no check has to read more than 5000 levels. If one
// fails, ok is false.
func shallow(document []byte) (_ []byte, ok bool) {
	const deepest = 5000
	document = slices.Clone(document)
	var open []int // where the arrays and objects around the current byte begin
	quoted, escaped := false, false
	for i, c := range document {
		switch {
		case quoted:
			quoted, escaped = c != '"' || escaped, c == '\\' && !escaped
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			open = append(open, i)
		case (c == ']' || c == '}') && len(open) > 0:
			if value := document[open[len(open)-1] : i+1]; len(open)%deepest == 0 && !clearOut(value) {
				return nil, false
			}
			open = open[:len(open)-1]
		}
	}
	return document, true
}

// clearOut overwrites what is in an array or object with blanks. It reports false if the value is not valid JSON.
func clearOut(value []byte) bool {
	if !json.Valid(value) {
		return false
	}
	for i := range value[1 : len(value)-1] {
		value[1+i] = ' '
	}
	return true
}

// leave records why a key is left out.
func (l *keyList) leave(i int, raw []byte, reason error) {
	var name struct {
		KID any `json:"kid"`
	}
	_ = json.Unmarshal(raw, &name) // a value that is not an object has no kid
	id, _ := name.KID.(string)
	text := fmt.Sprintf("key %d, kid %.64q, is left out: %s", i+1, id, reason)
	l.left = append(l.left, leftOut{id, narrow(errKey, text)})
}

// reasons lists why keys were left out, for an error.
func (l *keyList) reasons() string {
	var b strings.Builder
	for i, left := range l.left {
		if i == maxReasons {
			fmt.Fprintf(&b, "; and %d more", len(l.left)-i)
			break
		}
		b.WriteString("; " + left.reason.(*detail).text)
	}
	return b.String()
}

// missing returns why no key fits a token: if it names a key that was left out, the reason for that.
func (l *keyList) missing(n keyName) error {
	for _, left := range l.left {
		if left.id == n.id {
			return left.reason
		}
	}
	return errKey
}
