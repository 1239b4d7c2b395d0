package authtest

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"strings"
	"time"
)

// User describes the user of a token.
type User struct {
	// Username is the user's name in the pool.
	Username string
	// Subject is the sub claim. Empty means a UUID that depends on issuer and Username alone.
	Subject string
	// Client is the app client that the token is issued to.
	Client string
	// Groups are the user's groups; without any the token has no cognito:groups.
	Groups []string
	// Scopes of an access token. Empty means aws.cognito.signin.user.admin, what signing in through the API gives.
	Scopes []string
	// Lifetime of the token. Zero means an hour; negative means that it expired so long ago.
	Lifetime time.Duration
	// Claims are further claims. They replace those of the same name; a nil value leaves one out.
	Claims map[string]any
}

// IDToken issues a token of the form of a user pool's ID tokens: RS256, token_use id, the client in aud.
func (i *Issuer) IDToken(u User) (string, error) {
	claims := u.claims(i.url)
	claims["token_use"] = "id"
	claims["aud"] = u.Client
	claims["cognito:username"] = u.Username
	return i.sign(i.ring().id, false, u.add(claims))
}

// AccessToken issues a token of the form of a user pool's access tokens: RS256 by another key
// than that of the ID tokens, token_use access, the client in client_id, scopes.
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
	return i.sign(i.ring().access, false, u.add(claims))
}

// claims are those that both kinds have.
func (u User) claims(issuer string) map[string]any {
	issued, lifetime := time.Now(), u.Lifetime
	switch {
	case lifetime == 0:
		lifetime = time.Hour
	case lifetime < 0: // issued an hour before it expired
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

func (u User) add(claims map[string]any) map[string]any {
	maps.Copy(claims, u.Claims)
	return claims
}

// uuid is a version 8 UUID (RFC 9562 section 5.8) made of a text.
func uuid(text string) string {
	b := sha256.Sum256([]byte(text))
	b[6], b[8] = b[6]&0x0f|0x80, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:16])
}
