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

// Bounds on a key set.
const (
	maxKeySet  = 150_000 // bytes, as in API Gateway (HTTP API quotas)
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

// leftOut is a key that cannot verify tokens here. If a token names it, the error says the reason. Without that, an
// operator would see the key in the set and an error that it is missing.
type leftOut struct {
	id     string // its kid; empty if that could not be read
	reason error  // wraps errKey
}

// parseKeySet reads a JWK Set (RFC 7517 section 5). Keys that cannot verify tokens here are left out, as that section
// recommends, and the reason is kept for each. So an issuer can add keys of a new type without harm to the others. A
// set without a usable key is refused, because a key set that is in use should not be replaced by it.
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
// set itself are read strictly: if keys occurs twice, or in another letter case, the set is refused.
//
// The keys are not read here but one by one by parseKey, so that a key that the scanner refuses does not affect the
// others. Therefore encoding/json splits the document, and the scanner steps over the value of keys, whose length is
// then known.
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
		case !strings.HasPrefix(s.text[s.at:], keys):
			s.fail(errDuplicate) // encoding/json has returned the last member named keys, and this is another
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

// shallow returns a copy of a document in which the arrays and objects at level 5000 are empty: blanks replace what is
// in them. Otherwise one key with more than 10 000 levels would make encoding/json refuse the whole set. That key is
// still too deep and is left out, but the other keys can be read.
//
// A document that is not valid JSON does not become valid, because only valid JSON is replaced, and by valid JSON. When
// the bracket at level 5000, or at a multiple of it, is closed, the value is checked before it is emptied. A value at
// level 10 000 is closed before the one at level 5000 around it, so no check has to read more than 5000 levels. If one
// fails, ok is false.
func shallow(document []byte) (_ []byte, ok bool) {
	const deepest = 5000
	document = slices.Clone(document)
	var open []int // where the arrays and objects around the current byte begin
	quoted, escaped := false, false
	for i, c := range document {
		switch {
		case quoted: // a quote ends the string unless a backslash is before it that is not itself escaped
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

// leave records why a key is left out. i is its place in the set, for keys without a kid.
func (l *keyList) leave(i int, raw []byte, reason error) {
	var name struct {
		KID any `json:"kid"`
	}
	_ = json.Unmarshal(raw, &name) // a value that is not an object has no kid
	id, _ := name.KID.(string)
	text := fmt.Sprintf("key %d, kid %.64q, is left out: %s", i+1, id, reason)
	l.left = append(l.left, leftOut{id, narrow(errKey, text)})
}

// reasons lists why keys were left out, for the error of a set without a usable key. The list is bounded, and so is
// each reason, because the issuer has written the texts in it.
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

// missing returns why no key fits a token. If the token names a key that was left out, that is the reason for it. A
// token without a kid can be one of any key without a kid that was left out; then the first of these gives the reason.
func (l *keyList) missing(n keyName) error {
	for _, left := range l.left {
		if left.id == n.id {
			return left.reason
		}
	}
	return errKey
}
