package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Token is what a verified token says. Its zero value says nothing. Tokens are shared by all requests that bring the
// same token, so nothing of them can be changed: slices are returned as copies. Safe for concurrent use.
type Token struct {
	issuer, subject, jwtID    string
	client, party, use        string
	user, poolUser            string // username, cognito:username
	typ, tenant               string // the claims typ and tid
	scope                     string // words with one space between
	audience, groups, cognito []string
	audienceList              bool // aud was written as an array
	expiry, notBefore         time.Time
	issuedAt, authTime        time.Time
	payload, id               string
	aws                       *AWSPrincipal // of AWSIdentity, else nil
	algorithm, keyID          string
}

// size is what the token's texts and lists take, in bytes: 16 for an element's header. Most texts are part of the
// payload, but those that were written with escapes are made anew, and so are joined scopes.
func (t *Token) size() int {
	n := len(t.payload) + len(t.id) + len(t.scope) + 16*(len(t.audience)+len(t.groups)+len(t.cognito))
	if strings.IndexByte(t.payload, '\\') >= 0 {
		n += len(t.payload)
	}
	if t.aws != nil { // texts made anew, and two maps
		n += len(t.payload) + 64*(len(t.aws.Tags)+len(t.aws.RequestTags)) + 256
	}
	return n
}

// ID is the issuer, a space, and the subject: unique over all that a verifier accepts, since a subject is unique
// within its issuer only (RFC 7519 section 4.1.2) and an issuer holds no space. The issuer is [Issuer].URL also where
// the token bears one of its Aliases. Empty without a subject.
func (t *Token) ID() string { return t.id }

// Issuer is the iss claim.
func (t *Token) Issuer() string { return t.issuer }

// Subject is the sub claim, or empty.
func (t *Token) Subject() string { return t.subject }

// Audience is a copy of the aud claim. Cognito's access tokens have none.
func (t *Token) Audience() []string { return slices.Clone(t.audience) }

// Client is the client that the token was issued to: client_id (RFC 8693 section 4.3), else azp (OpenID Connect Core
// section 2), else a sole aud of a Cognito ID token, else empty.
func (t *Token) Client() string {
	switch {
	case t.client != "":
		return t.client
	case t.party != "":
		return t.party
	case t.use == "id" && len(t.audience) == 1:
		return t.audience[0]
	}
	return ""
}

// Use is "id" or "access" where the issuer marks it, else empty: by the claim token_use, as Cognito does; by the header
// typ at+jwt, which is access (RFC 9068 section 2.1); by the claim typ of Keycloak, in which ID is id, Bearer and DPoP
// are access. Marks that contradict each other mark nothing. The header typ JWT says nothing of the use.
func (t *Token) Use() string { return t.use }

// Username is the name of a user of Cognito, or empty: cognito:username in an ID token, username in an access token.
// The other claim counts only where the token has not its own.
func (t *Token) Username() string {
	if t.user == "" || t.use == "id" && t.poolUser != "" {
		return t.poolUser
	}
	return t.user
}

// JWTID is the jti claim, or empty.
func (t *Token) JWTID() string { return t.jwtID }

// Expiry is the exp claim: the first instant at which the token is not valid.
func (t *Token) Expiry() time.Time { return t.expiry }

// NotBefore is the nbf claim, or the zero time.
func (t *Token) NotBefore() time.Time { return t.notBefore }

// IssuedAt is the iat claim, or the zero time.
func (t *Token) IssuedAt() time.Time { return t.issuedAt }

// AuthTime is the auth_time claim, when the user signed in, or the zero time.
func (t *Token) AuthTime() time.Time { return t.authTime }

// Algorithm is the alg of the header under which the token verified.
func (t *Token) Algorithm() string { return t.algorithm }

// KeyID is the kid of the header, or empty.
func (t *Token) KeyID() string { return t.keyID }

// Scopes are the words of the scope claim, or of scp where there is none.
func (t *Token) Scopes() []string {
	if t.scope == "" {
		return nil
	}
	return strings.Split(t.scope, " ")
}

// HasScope reports whether the token carries the scope, letter for letter.
func (t *Token) HasScope(scope string) bool {
	for word := range strings.SplitSeq(t.scope, " ") {
		if word == scope && word != "" {
			return true
		}
	}
	return false
}

// Groups is a copy of the user's groups, from the claim that [Issuer].GroupsClaim names.
func (t *Token) Groups() []string { return slices.Clone(t.groups) }

// InGroup reports whether the user is in the group, letter for letter.
func (t *Token) InGroup(group string) bool { return slices.Contains(t.groups, group) }

// Claims decodes the token's claims set into a T, as [json.Unmarshal] does. The names in it were checked to be
// distinct, letter case aside, so what T receives is what was verified. Each call decodes anew and the result is the
// caller's.
func Claims[T any](t *Token) (T, error) {
	var v T
	if t == nil || t.payload == "" {
		return v, &Error{Err: ErrNotConfigured}
	}
	if err := json.Unmarshal([]byte(t.payload), &v); err != nil {
		return v, &Error{Err: fmt.Errorf("%w: %w", ErrMalformed, err), Token: t}
	}
	return v, nil
}

// InsecureToken makes a token of a claims set that nobody signed: for tests of handlers, and for a layer behind one
// that verified the token already. It checks the form, never the claims. The groups are those of cognito:groups or of
// groups.
func InsecureToken(claims []byte) (*Token, error) {
	var s scanner
	t, err := parseClaims(&s, string(claims))
	if err != nil {
		return nil, &Error{Err: err}
	}
	if t.cognito != nil {
		t.groups = t.cognito
	}
	t.mark(header{}, false)
	t.principal()
	t.name(t.issuer)
	return t, nil
}

// name builds the ID once. [New] takes no issuer with a space.
func (t *Token) name(issuer string) {
	if t.subject != "" && !strings.Contains(issuer, " ") {
		t.id = issuer + " " + t.subject
	}
}

var (
	errClaim = narrow(ErrMalformed, "claim has the wrong type or a value out of range")

	claimNames = map[string]bool{
		"iss": true, "sub": true, "aud": true, "exp": true, "nbf": true, "iat": true, "jti": true, "auth_time": true,
		"client_id": true, "azp": true, "token_use": true, "scope": true, "scp": true,
		"username": true, "cognito:username": true, "groups": true, "cognito:groups": true,
	}
)

// parseClaims reads a claims set. A claim with a meaning here must have its type; others may be anything.
func parseClaims(s *scanner, text string) (*Token, error) {
	t := &Token{payload: text}
	var scp string
	s.reset(text)
	for name, ok := s.next(); ok; name, ok = s.next() {
		if p := t.text(name); p != nil {
			*p = s.string()
		} else if p := t.date(name); p != nil {
			*p = s.date()
		} else {
			t.list(s, name, &scp)
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

// text is where a claim belongs that is a string; nil: it is none.
func (t *Token) text(name string) *string {
	switch name {
	case "iss":
		return &t.issuer
	case "sub":
		return &t.subject
	case "jti":
		return &t.jwtID
	case "client_id":
		return &t.client
	case "azp":
		return &t.party
	case "token_use":
		return &t.use
	case "username":
		return &t.user
	case "cognito:username":
		return &t.poolUser
	}
	return nil
}

// date is where a claim belongs that is a NumericDate; nil: it is none.
func (t *Token) date(name string) *time.Time {
	switch name {
	case "exp":
		return &t.expiry
	case "nbf":
		return &t.notBefore
	case "iat":
		return &t.issuedAt
	case "auth_time":
		return &t.authTime
	}
	return nil
}

// list reads a claim of several words, or passes over any other. Scopes and groups may be null, as some issuers write
// for none: what grants nothing need not be refused. scp counts where there is no scope.
func (t *Token) list(s *scanner, name string, scp *string) {
	switch name {
	case "scope", "scp", "groups", "cognito:groups":
		if s.null() {
			return
		}
	}
	switch name {
	case "aud":
		t.audienceList = s.peek() == '['
		t.audience = s.strings()
	case "scope":
		t.scope = s.words()
	case "scp":
		*scp = s.words()
	case "groups":
		t.groups = s.strings()
	case "cognito:groups":
		t.cognito = s.list()
	case "typ":
		t.typ = s.optional()
	case "tid":
		t.tenant = s.optional()
	default:
		s.unregistered(claimNames)
	}
}

// optional reads a string; a value of another type counts as none.
func (s *scanner) optional() string {
	if s.peek() == '"' {
		return s.string()
	}
	s.skip()
	return ""
}

// latest is the last second of the year 9999, the last that RFC 3339 can write.
const latest = 253402300799

// date reads a NumericDate: seconds since 1970, perhaps with a fraction (RFC 7519 section 2).
func (s *scanner) date() time.Time {
	text := s.number()
	if s.err != nil {
		return time.Time{}
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && 0 <= n && n <= latest {
		return time.Unix(n, 0).UTC()
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(0 <= f && f <= latest) {
		s.fail(errClaim)
		return time.Time{}
	}
	whole := int64(f)
	return time.Unix(whole, int64((f-float64(whole))*1e9)).UTC()
}

// words reads scopes: words with one space between (RFC 6749 section 3.3), or an array of words.
func (s *scanner) words() string {
	if s.peek() == '[' {
		list := s.elements()
		defer clear(list)
		s.charge(len(list)) // joining them costs as much again
		for _, word := range list {
			if word == "" || strings.IndexByte(word, ' ') >= 0 {
				s.fail(errClaim)
			}
		}
		return strings.Join(list, " ")
	}
	text := s.string()
	if strings.HasPrefix(text, " ") || strings.HasSuffix(text, " ") || strings.Contains(text, "  ") {
		s.fail(errClaim)
	}
	return text
}
