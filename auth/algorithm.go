package auth

import (
	"crypto/rsa"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// algorithm binds a JWS algorithm to the one type of key that may verify it (RFC 8725 section 3.1), so that a token
// cannot choose how a key is used.
type algorithm struct {
	name string
	jwt.SigningMethod
	kty jwkset.KTY
	crv jwkset.CRV
}

// algorithms are the asymmetric ones of RFC 7518 section 3.1, RFC 8037 section 3.1 and RFC 9864 section 2.2. A
// symmetric one, or none, has no place in a set of public keys: CVE-2015-9235, CVE-2016-10555. RFC 9864 names Ed25519
// what RFC 8037 names EdDSA; its other new names for signatures are Ed448, which Go does not have, and names for COSE
// only.
var algorithms = map[string]*algorithm{
	"RS256":   {"RS256", jwt.SigningMethodRS256, jwkset.KtyRSA, ""},
	"RS384":   {"RS384", jwt.SigningMethodRS384, jwkset.KtyRSA, ""},
	"RS512":   {"RS512", jwt.SigningMethodRS512, jwkset.KtyRSA, ""},
	"PS256":   {"PS256", exactSalt(jwt.SigningMethodPS256), jwkset.KtyRSA, ""},
	"PS384":   {"PS384", exactSalt(jwt.SigningMethodPS384), jwkset.KtyRSA, ""},
	"PS512":   {"PS512", exactSalt(jwt.SigningMethodPS512), jwkset.KtyRSA, ""},
	"ES256":   {"ES256", jwt.SigningMethodES256, jwkset.KtyEC, jwkset.CrvP256},
	"ES384":   {"ES384", jwt.SigningMethodES384, jwkset.KtyEC, jwkset.CrvP384},
	"ES512":   {"ES512", jwt.SigningMethodES512, jwkset.KtyEC, jwkset.CrvP521},
	"EdDSA":   {"EdDSA", jwt.SigningMethodEdDSA, jwkset.KtyOKP, jwkset.CrvEd25519},
	"Ed25519": {"Ed25519", jwt.SigningMethodEdDSA, jwkset.KtyOKP, jwkset.CrvEd25519},
}

// method returns an algorithm by its name, which is case-sensitive. Names that are not in the table, such as none, None
// and HS256, are errors: there is no list of names to refuse, which might be incomplete.
func method(name string) (*algorithm, error) {
	if a := algorithms[name]; a != nil {
		return a, nil
	}
	return nil, errAlgorithm
}

// is reports whether a name means this algorithm. EdDSA and Ed25519 are two names of one, so an issuer that lists one
// of them may sign under the other.
func (a *algorithm) is(name string) bool {
	o := algorithms[name]
	return o != nil && o.SigningMethod == a.SigningMethod
}

// exactSalt returns the PS method that accepts only a salt as long as the hash (RFC 7518 section 3.5). golang-jwt's
// method accepts any length.
func exactSalt(m *jwt.SigningMethodRSAPSS) jwt.SigningMethod {
	return &jwt.SigningMethodRSAPSS{
		SigningMethodRSA: m.SigningMethodRSA,
		Options:          m.Options,
		VerifyOptions:    &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash},
	}
}
