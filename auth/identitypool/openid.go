package identitypool

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"time"
)

// tokenLifetime is that of AWS: "The OpenID token is valid for 10 minutes"
// (https://docs.aws.amazon.com/cognitoidentity/latest/APIReference/API_GetOpenIdToken.html).
const tokenLifetime = 10 * time.Minute

// A signingKey signs tokens, and describes its public half for the key set.
type signingKey struct {
	signer crypto.Signer
	alg    string            // RS256 or ES256 (RFC 7518 section 3.1)
	jwk    map[string]string // the public key (RFC 7517)
}

var encoding = base64.RawURLEncoding

// newSigningKey returns the key with its algorithm: RS256 for RSA, ES256 for P-256. Its id is the thumbprint of the key
// (RFC 7638), so it is the same on every node and after every restart. Nobody has to choose one.
func newSigningKey(s crypto.Signer) (k signingKey, err error) {
	if s == nil {
		return k, errors.New("is nil")
	}
	var thumbprint string // the required members in the order of their names (RFC 7638 section 3.2)
	switch public := s.Public().(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < 2048 {
			return k, fmt.Errorf("has %d bits, want at least 2048", public.N.BitLen())
		}
		e, n := encoding.EncodeToString(big.NewInt(int64(public.E)).Bytes()), encoding.EncodeToString(public.N.Bytes())
		k = signingKey{s, "RS256", map[string]string{"kty": "RSA", "e": e, "n": n}}
		thumbprint = `{"e":"` + e + `","kty":"RSA","n":"` + n + `"}`
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() {
			return k, errors.New("is not of curve P-256")
		}
		point, err := public.Bytes() // 4, x, y, of 1, 32 and 32 bytes (SEC 1 section 2.3.3)
		if err != nil {
			return k, err
		}
		x, y := encoding.EncodeToString(point[1:33]), encoding.EncodeToString(point[33:])
		k = signingKey{s, "ES256", map[string]string{"kty": "EC", "crv": "P-256", "x": x, "y": y}}
		thumbprint = `{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`
	default:
		return k, fmt.Errorf("is a %T, want RSA or P-256", public)
	}
	id := sha256.Sum256([]byte(thumbprint))
	k.jwk["kid"], k.jwk["alg"], k.jwk["use"] = encoding.EncodeToString(id[:]), k.alg, "sig"
	return k, nil
}

// token returns a token about a caller. Its claims are those of Cognito's: the audience is the pool, the subject is the
// identity, and amr says whether the caller has signed in, and where.
func (p *Pool) token(c caller) (string, error) {
	amr := []string{"unauthenticated"} // a role's trust policy asks for it: "cognito-identity.amazonaws.com:amr" at AWS
	if len(c.logins) > 0 {
		amr[0] = "authenticated"
	}
	for _, l := range c.logins {
		amr = append(amr, l.provider)
	}
	now := time.Now()
	return p.keys[0].sign(map[string]any{
		"iss": p.config.OpenID, "aud": p.config.ID, "sub": c.identity, "amr": amr,
		"iat": now.Unix(), "exp": now.Add(tokenLifetime).Unix(),
	})
}

// sign returns a JWT in compact form (RFC 7515 section 3.1). Both algorithms sign the SHA-256 of the text. A
// crypto.Signer may be a module that keeps its key, so only Sign is asked of it.
func (k *signingKey) sign(claims map[string]any) (string, error) {
	header := encode(map[string]string{"alg": k.alg, "kid": k.jwk["kid"], "typ": "JWT"})
	text := encoding.EncodeToString(header) + "." + encoding.EncodeToString(encode(claims))
	hash := sha256.Sum256([]byte(text))
	signature, err := k.signer.Sign(rand.Reader, hash[:], crypto.SHA256)
	if err == nil && k.alg == "ES256" {
		signature, err = concatenate(signature)
	}
	return text + "." + encoding.EncodeToString(signature), err
}

// concatenate turns the ASN.1 form of an ECDSA signature into that of RFC 7518 section 3.4: r and s, of 32 bytes each.
func concatenate(der []byte) ([]byte, error) {
	var number struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &number); err != nil {
		return nil, err
	}
	signature := make([]byte, 64) // a number that is shorter gets zeros in front
	number.R.FillBytes(signature[:32])
	number.S.FillBytes(signature[32:])
	return signature, nil
}

// document returns the discovery document or the key set, if the request is for one of them (OpenID Connect Discovery
// 1.0 section 4). The paths may begin with anything: a verifier adds them to the URL of the issuer, and the server may
// have removed a prefix. The key set's name is that of Cognito's.
func (p *Pool) document(r *http.Request) ([]byte, bool) {
	if r.Method != http.MethodGet || len(p.keys) == 0 {
		return nil, false
	}
	const keySet = "/.well-known/jwks_uri"
	switch {
	case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"):
		return encode(map[string]any{
			"issuer": p.config.OpenID, "jwks_uri": strings.TrimSuffix(p.config.OpenID, "/") + keySet,
			"response_types_supported": []string{"token"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
		}), true
	case strings.HasSuffix(r.URL.Path, keySet):
		var keys []map[string]string
		for _, k := range p.keys {
			keys = append(keys, k.jwk)
		}
		return encode(map[string]any{"keys": keys}), true
	}
	return nil, false
}

// encode returns v as JSON. Everything that this package encodes has an encoding.
func encode(v any) []byte {
	text, _ := json.Marshal(v)
	return text
}
