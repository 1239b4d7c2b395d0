package authtest

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Sign signs any claims with RS256, ES256 or EdDSA. It adds iss, iat (now) and exp (in an hour) if claims do not have
// them. A claim whose value is nil is left out.
func (i *Issuer) Sign(algorithm string, claims map[string]any) (string, error) {
	k := i.ring()
	for _, s := range []*signer{k.access, k.ec, k.ed} {
		if s.method.Alg() == algorithm {
			return i.sign(s, "JWT", claims)
		}
	}
	return "", fmt.Errorf("authtest: algorithm %q is not one of RS256, ES256 and EdDSA", algorithm)
}

// sign signs claims with s, and adds those that Sign adds. typ is that field of the JOSE header; empty leaves it out.
func (i *Issuer) sign(s *signer, typ string, claims map[string]any) (string, error) {
	now := time.Now()
	all := jwt.MapClaims{"iss": i.url, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	t := jwt.NewWithClaims(s.method, all)
	t.Header["kid"], t.Header["typ"] = s.id, typ
	if typ == "" {
		delete(t.Header, "typ")
	}
	text, err := t.SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("authtest: %w", err)
	}
	return text, nil
}
