package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// signer is one key of an issuer.
type signer struct {
	id     string
	method jwt.SigningMethod
	key    crypto.Signer
}

// keyring holds the keys that an issuer signs with at one time. Like a user pool, it has different keys for ID tokens
// and access tokens.
type keyring struct {
	id, access, ec, ed *signer
}

// signers returns all keys of k.
func (k *keyring) signers() []*signer { return []*signer{k.id, k.access, k.ec, k.ed} }

// newKeyring generates all keys.
func newKeyring() (*keyring, error) {
	k := &keyring{}
	for _, g := range []struct {
		to       **signer
		method   jwt.SigningMethod
		generate func() (crypto.Signer, error)
	}{
		{&k.id, jwt.SigningMethodRS256, rsaKey},
		{&k.access, jwt.SigningMethodRS256, rsaKey},
		{&k.ec, jwt.SigningMethodES256, ecKey},
		{&k.ed, jwt.SigningMethodEdDSA, edKey},
	} {
		key, err := g.generate()
		if err != nil {
			return nil, err
		}
		*g.to = &signer{keyID(), g.method, key}
	}
	return k, nil
}

func rsaKey() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

func ecKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func edKey() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// keyID returns a random key ID in the form of Cognito's: 32 bytes in padded base64.
func keyID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// document returns the JWK Set of the signers' public keys.
func document(signers ...*signer) []byte {
	var set jwkset.JWKSMarshal
	for _, s := range signers {
		jwk, _ := jwkset.NewJWKFromKey(s.key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
			ALG: jwkset.ALG(s.method.Alg()), KID: s.id, USE: jwkset.UseSig,
		}}) // never fails for the key types that newKeyring generates
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	text, _ := json.Marshal(set) // strings always encode
	return text
}
