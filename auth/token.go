package auth

import (
	"slices"
	"strings"
	"time"
)

// Token holds the claims of a verified token. Its zero value has none. A claim that is null or has the wrong type is
// treated as absent, except that iss, aud, exp, nbf and iat of the wrong type refuse the token. All requests with the
// same token share one Token, so it cannot be changed, and slices are returned as copies. It is safe for concurrent
// use.
type Token struct {
	issuer, subject, jwtID    string
	client, authorized, use   string
	user, poolUser            string // username, cognito:username
	typ, tenant               string // the claims typ and tid
	scope                     string // separated by single spaces
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

// size is the memory of the token's strings and lists, in bytes. An element of a list takes 16. Most strings are part
// of the payload, whose buffer may be larger than it is. Strings with escapes are separate, and so are joined scopes.
func (t *Token) size() int {
	n := bufferSize(len(t.payload)) + len(t.id) + len(t.scope) + 16*(len(t.audience)+len(t.groups)+len(t.cognito))
	if strings.IndexByte(t.payload, '\\') >= 0 {
		n += len(t.payload)
	}
	if t.aws != nil { // separate strings, and two maps
		n += len(t.payload) + 64*(len(t.aws.Tags)+len(t.aws.RequestTags)) + 256
	}
	return n
}

// ID is the issuer, a space, and the subject. It is unique among all tokens that a verifier accepts: a subject is
// unique within its issuer (RFC 7519 section 4.1.2), and an issuer contains no space. The issuer is [Issuer].URL even
// if the token has one of its Aliases.
//
// An access token without a subject was issued to a client that acts for itself. Its ID is the issuer, a tab, and
// client_id. No subject can have this ID, because an issuer contains no tab. Any other token without a subject has the
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

// Use is "id" or "access" if the issuer marks the token, otherwise empty. The marks are the claim token_use, as in
// Cognito; the header typ at+jwt, which means access (RFC 9068 section 2.1); and Keycloak's claim typ, in which ID
// means id, and Bearer and DPoP mean access. Use is empty if marks contradict each other. The header typ JWT is not a
// mark.
func (t *Token) Use() string { return t.use }

// Username is the name of a Cognito user, or empty. It is cognito:username in an ID token and username in an access
// token. If that claim is missing, it is the other one.
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

// Scopes are those of the scope claim, or of scp if there is no scope. Both may be a string in which blanks separate
// the scopes, or an array of scopes.
func (t *Token) Scopes() []string {
	if t.scope == "" {
		return nil
	}
	return strings.Split(t.scope, " ")
}

// HasScope reports whether the token has exactly this scope.
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

// InGroup reports whether the user is in exactly this group.
func (t *Token) InGroup(group string) bool { return slices.Contains(t.groups, group) }

// InsecureToken makes a token from a claims set without any signature. It is meant for tests of handlers, and for a
// layer behind another that has verified the token. It checks the form but not the claims. The groups are those of
// cognito:groups, or of groups.
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

// name sets the ID. [New] accepts no issuer with white space, so the first space or tab in an ID ends the issuer, and
// says whether a subject or a client follows. If sub is not a string it may still name a user. The token then gets no
// ID, since the ID of the client would be wrong.
func (t *Token) name(issuer string) {
	switch {
	case strings.ContainsAny(issuer, " \t"):
	case t.subject != "":
		t.id = issuer + " " + t.subject
	case t.use == "access" && t.client != "" && !t.oddSubject:
		t.id = issuer + "\t" + t.client
	}
}
