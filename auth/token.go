package auth

import (
	"slices"
	"strings"
	"time"
)

// Token is what a verified token says. Its zero value says nothing. A claim that is null, or of another type than it
// should be, is as if it were not there; only iss, aud, exp, nbf and iat refuse the token then. Tokens are shared by
// all requests that bring the same token, so nothing of them can be changed: slices are returned as copies. Safe for
// concurrent use.
type Token struct {
	issuer, subject, jwtID    string
	client, authorized, use   string
	user, poolUser            string // username, cognito:username
	typ, tenant               string // the claims typ and tid
	scope                     string // words with one space between
	audience, groups, cognito []string
	audienceList              bool   // aud was written as an array
	oddSubject                bool   // sub is there, but is no string
	lookalikes                claims // claims that occur in another letter case
	expiry, notBefore         time.Time
	issuedAt, authTime        time.Time
	payload, id               string
	aws                       *AWSPrincipal // of AWSIdentity, else nil
	algorithm, keyID          string
}

// size is what the token's texts and lists take, in bytes: 16 for an element's header. Most texts are part of the
// payload, whose room may be larger than it is, but those that were written with escapes are made anew, and so are
// joined scopes.
func (t *Token) size() int {
	n := bufferSize(len(t.payload)) + len(t.id) + len(t.scope) + 16*(len(t.audience)+len(t.groups)+len(t.cognito))
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
// the token bears one of its Aliases.
//
// An access token without a subject was issued to a client for itself. Its ID is the issuer, a tab, and client_id:
// an issuer holds no tab either, so no subject of the same text has this ID. Any other token without a subject has the
// empty ID.
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
	case t.authorized != "":
		return t.authorized
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

// Scopes are the words of the scope claim, or of scp where there is none. Both may be a string of words with blanks
// between, or an array of words.
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

// name builds the ID once. [New] takes no issuer with white space, so the first space or tab of an ID ends the issuer
// and says what follows. A subject that is no string may name a user, whose client shall not stand for them.
func (t *Token) name(issuer string) {
	switch {
	case strings.ContainsAny(issuer, " \t"):
	case t.subject != "":
		t.id = issuer + " " + t.subject
	case t.use == "access" && t.client != "" && !t.oddSubject:
		t.id = issuer + "\t" + t.client
	}
}
