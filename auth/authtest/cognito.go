package authtest

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"time"
)

// noTyp leaves out the header field typ: the headers of Cognito's tokens have only kid and alg.
const noTyp = ""

// User describes a user and the token that is issued to them.
type User struct {
	// Username is the user's name in the pool.
	Username string
	// Subject is the sub claim. Empty means a UUID that depends only on the issuer and Username.
	Subject string
	// Client is the app client that the token is issued to.
	Client string
	// Groups lists the user's groups. If it is empty, the token has no claim cognito:groups.
	Groups []string
	// Scopes lists the scopes of an access token. Empty means aws.cognito.signin.user.admin, which Cognito gives to
	// users who sign in through its API.
	Scopes []string
	// Lifetime is how long the token is valid. Zero means one hour. A negative lifetime means that the token expired
	// that long ago.
	Lifetime time.Duration
	// Claims adds claims to the token. A claim replaces any other of the same name. A nil value removes it.
	Claims map[string]any
}

// IDToken issues a token in the form of a user pool's ID tokens. It is signed by RS256, has token_use id, and has the
// client in aud.
func (i *Issuer) IDToken(u User) (string, error) {
	claims := u.claims(i.url)
	claims["token_use"] = "id"
	claims["aud"] = u.Client
	claims["cognito:username"] = u.Username
	return i.sign(i.ring().id, noTyp, u.add(claims))
}

// AccessToken issues a token in the form of a user pool's access tokens. It is signed by RS256, with another key than
// ID tokens are, has token_use access, the client in client_id, and scopes.
func (i *Issuer) AccessToken(u User) (string, error) {
	claims := u.claims(i.url)
	claims["token_use"] = "access"
	claims["client_id"] = u.Client
	claims["username"] = u.Username
	claims["version"] = 2
	claims["scope"] = "aws.cognito.signin.user.admin"
	if len(u.Scopes) > 0 {
		claims["scope"] = strings.Join(u.Scopes, " ")
	}
	return i.sign(i.ring().access, noTyp, u.add(claims))
}

// claims returns the claims that ID tokens and access tokens have in common.
func (u User) claims(issuer string) map[string]any {
	issued, lifetime := time.Now(), u.Lifetime
	switch {
	case lifetime == 0:
		lifetime = time.Hour
	case lifetime < 0: // expired -lifetime ago, issued an hour before that
		issued = issued.Add(lifetime - time.Hour)
		lifetime = time.Hour
	}
	claims := map[string]any{
		"sub": u.Subject, "jti": uuid(rand.Text()), "origin_jti": uuid(rand.Text()), "event_id": uuid(rand.Text()),
		"iat": issued.Unix(), "auth_time": issued.Unix(), "exp": issued.Add(lifetime).Unix(),
	}
	if u.Subject == "" {
		claims["sub"] = uuid(issuer + " " + u.Username)
	}
	if len(u.Groups) > 0 {
		claims["cognito:groups"] = u.Groups
	}
	return claims
}

// add adds the claims of u to claims and returns them.
func (u User) add(claims map[string]any) map[string]any {
	maps.Copy(claims, u.Claims)
	return claims
}

// uuid returns a version 8 UUID (RFC 9562 section 5.8) made from the hash of text.
func uuid(text string) string {
	b := sha256.Sum256([]byte(text))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
