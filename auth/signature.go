package auth

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
)

// Verify checks a signature. It uses golang-jwt's method except for RS256, by which most tokens are signed: golang-jwt
// copies the text before it hashes it, which takes a tenth of the time of the longest token.
func (a *algorithm) Verify(signed string, signature []byte, public any) error {
	key, ok := public.(*rsa.PublicKey)
	if !ok || a.SigningMethod != jwt.SigningMethodRS256 {
		return a.SigningMethod.Verify(signed, signature, public)
	}
	// The hash only reads the bytes, so the text is not copied.
	digest := sha256.Sum256(unsafe.Slice(unsafe.StringData(signed), len(signed)))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature) // RFC 7518 section 3.3
}
