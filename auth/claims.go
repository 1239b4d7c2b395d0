package auth

import (
	"bytes"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"
)

var errClaim = narrow(ErrMalformed, "claim has the wrong type or a value out of range")

// claims is a set of claims that decide where a rule or an issuer's settings look at them.
type claims uint16

const (
	claimClient claims = 1 << iota
	claimAuthorized
	claimUse
	claimScope
	claimGroups
	claimPoolGroups
	claimAuthTime
	claimTenant
	claimType
	claimSubject
)

// parseClaims reads a claims set. The claims that decide about every token must have their type and letter case: iss,
// aud, exp, nbf, iat. Any other claim may be anything; one that has a meaning is as if absent if it has another type.
func parseClaims(s *scanner, text string) (*Token, error) {
	if !utf8.ValidString(text) {
		return nil, errUTF8
	}
	return readClaims(s, text)
}

// readClaims is parseClaims for a text whose UTF-8 is checked later.
func readClaims(s *scanner, text string) (*Token, error) {
	t := &Token{payload: text}
	var scp string
	before := s.values // of a header: header and claims share one account
	s.begin(text)
	s.values = before - max(maxClaims-len(text), 0)/spareBytes
	s.exact = true // names are case-sensitive (RFC 7519 section 4)
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch name {
		case "iss":
			t.issuer = s.string()
		case "aud":
			t.audienceList = s.peek() == '['
			t.audience = s.strings()
		case "exp":
			t.expiry = s.date()
		case "nbf":
			t.notBefore = s.date()
		case "iat":
			t.issuedAt = s.date()
		case "scp":
			scp = s.words()
		default:
			t.optional(s, name)
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	if t.scope == "" {
		t.scope = scp
	}
	return t, nil
}

// optional reads a claim that only some rules and accessors look at, or passes over one without a meaning.
func (t *Token) optional(s *scanner, name string) {
	switch name {
	case "sub":
		var ok bool
		t.subject, ok = s.optionalString()
		t.oddSubject = !ok
	case "jti":
		t.jwtID, _ = s.optionalString()
	case "client_id":
		t.client, _ = s.optionalString()
	case "azp":
		t.authorized, _ = s.optionalString()
	case "token_use":
		t.use, _ = s.optionalString()
	case "username":
		t.user, _ = s.optionalString()
	case "cognito:username":
		t.poolUser, _ = s.optionalString()
	case "typ":
		t.typ, _ = s.optionalString()
	case "tid":
		t.tenant, _ = s.optionalString()
	case "auth_time":
		t.authTime = s.optionalDate()
	case "scope":
		t.scope = s.words()
	case "groups":
		t.groups = s.optionalStrings()
	case "cognito:groups":
		if s.peek() == '[' { // Cognito writes an array, never one string
			t.cognito = s.optionalStrings()
		} else {
			s.skip()
		}
	default:
		t.lookalike(s, name)
		s.skip()
	}
}

// lookalike takes note of a name that differs from one that decides in letter case alone: another reader may take the
// one for the other. Most names are in small letters.
func (t *Token) lookalike(s *scanner, name string) {
	const longest = "cognito:groups" // one byte more with a long s; token_use has two letters that may be longer
	if len(name) > len(longest)+1 || !folds(name) {
		return
	}
	s.charge(lookCost)
	var room [len(longest)]byte
	switch string(lower(room[:0], name)) {
	case "iss", "aud", "exp", "nbf", "iat":
		s.fail(errCase)
	case "client_id":
		t.lookalikes |= claimClient
	case "azp":
		t.lookalikes |= claimAuthorized
	case "token_use":
		t.lookalikes |= claimUse
	case "typ":
		t.lookalikes |= claimType
	case "scope", "scp":
		t.lookalikes |= claimScope
	case "groups":
		t.lookalikes |= claimGroups
	case "cognito:groups":
		t.lookalikes |= claimPoolGroups
	case "auth_time":
		t.lookalikes |= claimAuthTime
	case "tid":
		t.lookalikes |= claimTenant
	case "sub":
		t.lookalikes |= claimSubject
	}
}

// lower appends a name in small letters to b, if it is one of ASCII and fits there. Two letters beyond ASCII count as
// one of ASCII in another case, as they do for encoding/json: the long s and the Kelvin sign.
func lower(b []byte, name string) []byte {
	beyond := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c < utf8.RuneSelf:
		case strings.HasPrefix(name[i:], "\u017f"):
			c, i, beyond = 's', i+1, beyond+1
		case strings.HasPrefix(name[i:], "\u212a"):
			c, i, beyond = 'k', i+2, beyond+1
		default:
			return nil
		}
		if len(b) == cap(b) || beyond > 2 { // iss has two, token_use too, and none has more
			return nil
		}
		b = append(b, c)
	}
	return b
}

// latest is the last second of the year 9999, the last that RFC 3339 can write.
const latest = 253402300799

// date reads a NumericDate: seconds since 1970, perhaps with a fraction (RFC 7519 section 2).
func (s *scanner) date() time.Time {
	when, ok := numericDate(s.number())
	if !ok {
		s.fail(errClaim)
	}
	return when
}

// optionalDate reads a NumericDate, or passes over any other value.
func (s *scanner) optionalDate() (when time.Time) {
	if c := s.peek(); c == '-' || '0' <= c && c <= '9' {
		when, _ = numericDate(s.number())
		return when
	}
	s.skip()
	return when
}

func numericDate(text string) (time.Time, bool) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && 0 <= n && n <= latest {
		return time.Unix(n, 0).UTC(), true
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= f && f <= latest) {
		return time.Time{}, false
	}
	whole := int64(f)
	return time.Unix(whole, int64((f-float64(whole))*1e9)).UTC(), true
}

// optionalString reads a string, or passes over any other value. It reports false where that is no null either.
func (s *scanner) optionalString() (string, bool) {
	if s.peek() == '"' {
		return s.string(), true
	}
	null := s.peek() == 'n'
	s.skip()
	return "", null
}

// optionalStrings reads a string or an array of strings, or passes over any other value.
func (s *scanner) optionalStrings() []string {
	switch s.peek() {
	case '"':
		return []string{s.string()}
	case '[':
		list, ok := s.elements(false)
		defer clear(list)
		if ok {
			return append([]string{}, list...)
		}
		return nil
	}
	s.skip()
	return nil
}

// words reads scopes: words with blanks between (RFC 6749 section 3.3 allows one space; issuers write more), or an
// array of words. It passes over any other value.
func (s *scanner) words() string {
	switch s.peek() {
	case '"':
		return s.collapseBlanks(s.string())
	case '[':
		return s.join()
	}
	s.skip()
	return ""
}

// join reads an array of words and puts a space between them. If an element is no word, there are none.
func (s *scanner) join() string {
	s.expect('[')
	b, n, ok := s.joined[:0], 0, true
	for ; s.element(n == 0); n++ {
		if s.peek() != '"' {
			s.skip()
			ok = false
			continue
		}
		s.charge(keptCost)
		word := s.string()
		b = append(append(b, word...), ' ')
		ok = ok && word != ""
	}
	s.joined = b
	if !ok || n == 0 {
		return ""
	}
	text := string(b[:len(b)-1])
	if strings.Count(text, " ") != n-1 || tabbed(text) {
		return "" // a word holds a blank
	}
	return text
}

// singlySpaced reports whether a text is words with one space between, and none around them, as most scopes are
// written.
func singlySpaced(text string) bool {
	return text != "" && text[0] != ' ' && text[len(text)-1] != ' ' && !strings.Contains(text, "  ") && !tabbed(text)
}

// tabbed reports whether a text holds a blank that is no space.
func tabbed(text string) bool {
	return strings.IndexByte(text, '\t') >= 0 || strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0
}

// spaced makes a text so, byte by byte, which costs as much as many values.
func (s *scanner) collapseBlanks(text string) string {
	if singlySpaced(text) {
		return text
	}
	if s.charge(len(text) / spacedBytes); s.err != nil {
		return ""
	}
	b := make([]byte, 0, len(text))
	for _, c := range []byte(text) {
		if blank := c == ' ' || c == '\t' || c == '\n' || c == '\r'; !blank {
			b = append(b, c)
		} else if len(b) > 0 && b[len(b)-1] != ' ' {
			b = append(b, ' ')
		}
	}
	b = bytes.TrimSuffix(b, []byte(" "))
	return unsafe.String(unsafe.SliceData(b), len(b)) // nobody else has these bytes
}
