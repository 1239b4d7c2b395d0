package auth

import (
	"slices"
	"strings"
	"time"
)

// Token holds the claims of a verified token. A claim that is null or has the wrong type is treated as absent, except
// that iss, aud, exp, nbf and iat of the wrong type refuse the token.
//
// A Token is a value, and its holder may change the fields of its own copy. Everything that the methods read is shared
// by all requests with the same token. It never changes, so slices and maps are returned as copies. A Token is safe for
// concurrent use.
//
// The zero Token is that of a request that nothing has verified. It has no claims: its fields are empty, its methods
// return nil or false, [Claims] of it fails with [ErrNotConfigured], and [FromContext] does not find it. A Token
// literal has the fields that it sets and no other claims; [InsecureToken] makes a complete one for tests.
//
// Printed by fmt, log/slog or encoding/json, a Token shows its fields, which name a user, and nothing of the bearer
// token. A Token that was decoded from JSON is a literal.
type Token struct {
	// ID is the issuer, a space, and the subject. It is unique among all tokens that a verifier accepts: a subject is
	// unique within its issuer (RFC 7519 section 4.1.2), and an issuer contains no space. The issuer is [Issuer].URL even
	// if the token has one of its Aliases.
	//
	// An access token without a subject was issued to a client that acts for itself. Its ID is the issuer, a tab, and
	// client_id. No subject can have this ID, because an issuer contains no tab. Any other token without a subject has
	// the empty ID.
	ID string
	// Issuer is the iss claim.
	Issuer string
	// Subject is the sub claim, or empty.
	Subject string
	// Client is the client that the token was issued to: client_id (RFC 8693 section 4.3), else azp (OpenID Connect Core
	// section 2), else a sole aud of a Cognito ID token, else empty.
	Client string
	// Username is the name of a Cognito user, or empty. It is cognito:username in an ID token and username in an access
	// token. If that claim is missing, it is the other one.
	Username string
	// Use is "id" or "access" if the issuer marks the token, otherwise empty. The marks are the claim token_use, as in
	// Cognito; the header typ at+jwt, which means access (RFC 9068 section 2.1); and Keycloak's claim typ, in which ID
	// means id, and Bearer and DPoP mean access. Use is empty if marks contradict each other. The header typ JWT is not a
	// mark.
	Use string
	// JWTID is the jti claim, or empty.
	JWTID string
	// Expiry is the exp claim: the first instant at which the token is not valid. Like all times here it is in UTC.
	Expiry time.Time
	// NotBefore is the nbf claim, or the zero time.
	NotBefore time.Time
	// IssuedAt is the iat claim, or the zero time.
	IssuedAt time.Time
	// AuthTime is the auth_time claim, when the user signed in, or the zero time.
	AuthTime time.Time
	// Algorithm is the alg of the header under which the token verified.
	Algorithm string
	// KeyID is the kid of the header, or empty.
	KeyID string

	shared *claimSet // nil in a zero Token and in a literal
}

// none is what a Token without a claims set shares.
var none claimSet

// claims returns what the methods read.
func (t Token) claims() *claimSet {
	if t.shared == nil {
		return &none
	}
	return t.shared
}

// Audience is a copy of the aud claim. Cognito's access tokens have none.
func (t Token) Audience() []string { return slices.Clone(t.claims().audience) }

// Scopes are those of the scope claim, or of scp if there is no scope. Both may be a string in which blanks separate
// the scopes, or an array of scopes. The caller owns the slice.
func (t Token) Scopes() []string {
	scope := t.claims().scope
	if scope == "" {
		return nil
	}
	return strings.Split(scope, " ")
}

// HasScope reports whether the token has exactly this scope.
func (t Token) HasScope(scope string) bool { return t.claims().hasScope(scope) }

// Groups is a copy of the user's groups, from the claim that [Issuer].GroupsClaim names.
func (t Token) Groups() []string { return slices.Clone(t.claims().groups) }

// InGroup reports whether the user is in exactly this group.
func (t Token) InGroup(group string) bool { return t.claims().inGroup(group) }

// InsecureToken makes a token from a claims set without any signature. It is meant for tests of handlers, and for a
// layer behind another that has verified the token. It checks the form but not the claims. The groups are those of
// cognito:groups, or of groups. The error is an [*Error] that wraps [ErrMalformed].
func InsecureToken(claims []byte) (Token, error) {
	var s scanner
	t, err := parseClaims(&s, string(claims))
	if err != nil {
		return Token{}, &Error{Err: err}
	}
	if t.cognito != nil {
		t.groups = t.cognito
	}
	t.mark(header{}, false)
	t.derive()
	t.principal()
	t.name(t.Issuer)
	return t.Token, nil
}
