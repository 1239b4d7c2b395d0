package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Bounds on a key set. API Gateway reads no more than 150 000 bytes of one either (HTTP API quotas).
const (
	maxKeySet  = 150_000
	maxKeys    = 100
	maxReasons = 8 // that an error tells
)

// byteOrderMark stands before a document that some editors and shells have written. A reader may ignore it (RFC 8259
// section 8.1).
const byteOrderMark = "\ufeff"

// keyList is what a JWK Set holds. Immutable.
type keyList struct {
	keys []*key // in the order of the set, each once
	left []leftOut
}

// leftOut is a key that cannot verify a token here, by its kid if that could be read.
type leftOut struct {
	id     string
	reason error // wraps ErrKey
}

// parseKeySet reads a JWK Set (RFC 7517 section 5). Keys that cannot verify a token here are left out, as that section
// demands, each with its reason; a set without any usable key is refused as a whole.
func parseKeySet(document []byte, rules keyRules) (list keyList, err error) {
	if len(document) > maxKeySet {
		return list, fmt.Errorf("key set is longer than %d bytes", maxKeySet)
	}
	var s scanner
	raws, err := splitKeySet(&s, shallow(bytes.TrimPrefix(document, []byte(byteOrderMark))))
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
		return list, fmt.Errorf("key set holds no usable key%s", list.reasons())
	}
	return list, nil
}

// shallow returns a text in which blanks stand for what is nested so deep that encoding/json gives the whole text up
// (10 000 levels). The key that holds it stays too deep to be read, and the others can be.
func shallow(document []byte) []byte {
	const deepest = 100
	document = slices.Clone(document)
	depth, quoted, escaped := 0, false, false
	for i, c := range document {
		before := depth
		switch {
		case quoted:
			quoted, escaped = c != '"' || escaped, c == '\\' && !escaped
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			depth--
		}
		if min(before, depth) > deepest { // not the brackets around it, so what is valid stays valid
			document[i] = ' '
		}
	}
	return document
}

var keySetNames = map[string]bool{"keys": true}

// splitKeySet returns the JSON of each key of a set. The set must be JSON as a whole, and its own members are read
// strictly. What is wrong within a key is that key's affair.
func splitKeySet(s *scanner, document []byte) (raws []json.RawMessage, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return nil, errors.New(errJSON.(*detail).text)
	}
	keys := string(members["keys"])
	s.reset(string(document))
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch {
		case name != "keys":
			s.unregistered(keySetNames)
		case !strings.HasPrefix(s.text[s.at:], keys): // those of another member of this name
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

// leave notes why a key is left out.
func (l *keyList) leave(i int, raw []byte, reason error) {
	var name struct {
		KID any `json:"kid"`
	}
	_ = json.Unmarshal(raw, &name) // what is no object has no name
	id, _ := name.KID.(string)
	text := fmt.Sprintf("key %d, kid %.64q, is left out: %s", i+1, id, reason)
	l.left = append(l.left, leftOut{id, narrow(ErrKey, text)})
}

// reasons tells why keys were left out.
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

// missing is why a token that names a key of no use is refused.
func (l *keyList) missing(n keyName) error {
	for _, left := range l.left {
		if left.id == n.id {
			return left.reason
		}
	}
	return ErrKey
}
