package auth

import (
	"strings"
	"unicode/utf8"
)

// errClaim refuses a token of which a claim cannot be read that decides about every token.
var errClaim = narrow(ErrMalformed, "claim has the wrong type or a value out of range")

// claimNames is a set of names of claims that only some rules and some issuers' settings look at. It records which of
// them a token has in another letter case as well. Example: a token with "groups" and "Groups" is refused on a route
// that demands a group, because a gateway that ignores case may have seen another list. On all other routes it is
// accepted.
type claimNames uint16

const (
	claimClient     claimNames = 1 << iota // client_id
	claimAuthorized                        // azp
	claimUse                               // token_use
	claimScope                             // scope, or scp
	claimGroups                            // groups, later the claim that Issuer.GroupsClaim names; see decideGroups
	claimPoolGroups                        // cognito:groups
	claimAuthTime                          // auth_time
	claimTenant                            // tid
	claimType                              // typ
	claimSubject                           // sub
)

// parseClaims reads a claims set. The claims that decide about every token, which are iss, aud, exp, nbf and iat, must
// have the right type and letter case. Any other claim may hold any value. If it has a meaning but the wrong type, it
// is treated as absent.
func parseClaims(s *scanner, text string) (*claimSet, error) {
	if !utf8.ValidString(text) {
		return nil, errUTF8
	}
	return readClaims(s, text)
}

// readClaims is parseClaims without the check of the UTF-8, which the caller must do.
//
// It reads each member once, in the order of the text. The scanner refuses a name that occurs twice, so no claim is
// overwritten by a later one. Only scope and scp may both occur; then scope counts, whichever comes first.
func readClaims(s *scanner, text string) (*claimSet, error) {
	t := newClaimSet(text)
	var scp string
	before := s.values // what the header has used: header and claims share one budget
	s.begin(text)
	// Fewer bytes to decode leave time for more values.
	s.values = before - max(maxClaims-len(text), 0)/spareBytes
	s.exact = true // names are case-sensitive (RFC 7519 section 4)
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch name {
		case "iss":
			t.Issuer = s.string()
		case "aud":
			t.audienceList = s.peek() == '['
			t.audience = s.strings()
		case "exp":
			t.Expiry = s.date()
		case "nbf":
			t.NotBefore = s.date()
		case "iat":
			t.IssuedAt = s.date()
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

// optional reads a claim that only some rules and accessors look at, or skips one that has no meaning. Issuers and
// Lambda triggers write what they like into these claims, so a wrong type is not a mistake here: the value is skipped,
// and a rule that demands the claim refuses the token later.
func (t *claimSet) optional(s *scanner, name string) {
	switch name {
	case "sub":
		var ok bool
		t.Subject, ok = s.optionalString()
		t.oddSubject = !ok // it may still name a user, so the ID must not be that of the client
	case "jti":
		t.JWTID, _ = s.optionalString()
	case "client_id":
		t.clientID, _ = s.optionalString()
	case "azp":
		t.authorized, _ = s.optionalString()
	case "token_use":
		t.tokenUse, _ = s.optionalString()
	case "username":
		t.user, _ = s.optionalString()
	case "cognito:username":
		t.poolUser, _ = s.optionalString()
	case "typ":
		t.typ, _ = s.optionalString()
	case "tid":
		t.tenant, _ = s.optionalString()
	case "auth_time":
		t.AuthTime = s.optionalDate()
	case "scope":
		t.scope = s.words()
	case "groups":
		t.groups = s.optionalStrings()
	case "cognito:groups":
		if s.peek() == '[' { // Cognito writes an array, never a single string
			t.cognito = s.optionalStrings()
		} else {
			s.skip()
		}
	default:
		t.lookalike(s, name)
		s.skip()
	}
}

// lookalike records a name that equals the name of a decisive claim except for letter case, such as "Aud". Another
// reader of the token may confuse the two. Most names have no capital letter, and for them this costs little.
func (t *claimSet) lookalike(s *scanner, name string) {
	const longest = "cognito:groups" // with a long s (U+017F) it is one byte longer
	if len(name) > len(longest)+1 || !folds(name) {
		return
	}
	s.charge(lookCost) // a token full of capital letters must not cost more than others
	var room [len(longest)]byte
	switch string(lower(room[:0], name)) {
	case "iss", "aud", "exp", "nbf", "iat":
		s.fail(errCase) // these decide about every token, so nothing needs to be recorded
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

// lower appends the name in lower case to b. It returns nil if the name is not ASCII or exceeds the capacity of b.
// Two characters outside ASCII are accepted, because encoding/json takes them for the letters s and k: the long s
// (U+017F) and the Kelvin sign (U+212A).
func lower(b []byte, name string) []byte {
	nonASCII := 0
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c < utf8.RuneSelf:
		case strings.HasPrefix(name[i:], "\u017f"):
			c, i, nonASCII = 's', i+1, nonASCII+1
		case strings.HasPrefix(name[i:], "\u212a"):
			c, i, nonASCII = 'k', i+2, nonASCII+1
		default:
			return nil
		}
		if len(b) == cap(b) || nonASCII > 2 { // no decisive name has more than two s and k: iss, token_use
			return nil
		}
		b = append(b, c)
	}
	return b
}

// optionalString reads a string. It skips any other value; ok is then false unless the value is null.
func (s *scanner) optionalString() (string, bool) {
	if s.peek() == '"' {
		return s.string(), true
	}
	null := s.peek() == 'n'
	s.skip()
	return "", null
}

// optionalStrings reads a string or an array of strings. It skips any other value and returns nil. An array with any
// element that is not a string is nil too: of a list that is not understood, no part is used.
func (s *scanner) optionalStrings() []string {
	switch s.peek() {
	case '"':
		return []string{s.string()}
	case '[':
		list, ok := s.elements(false)
		defer clear(list) // the scanner's buffer, which outlives the token
		if ok {
			return append([]string{}, list...)
		}
		return nil
	}
	s.skip()
	return nil
}
