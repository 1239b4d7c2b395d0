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

// signer is one key of the issuer.
type signer struct {
	id     string
	method jwt.SigningMethod
	key    crypto.Signer
}

// keyring is what an issuer signs with at one time. As a user pool, it has a key of its own for each use of a token.
type keyring struct {
	id, access, ec, ed *signer
}

func (k *keyring) signers() []*signer { return []*signer{k.id, k.access, k.ec, k.ed} }

func newKeyring() (*keyring, error) {
	k := &keyring{}
	var err error
	make := func(m jwt.SigningMethod, generate func() (crypto.Signer, error)) *signer {
		key, e := generate()
		if e != nil {
			err = e
			return nil
		}
		return &signer{keyID(), m, key}
	}
	k.id = make(jwt.SigningMethodRS256, rsaKey)
	k.access = make(jwt.SigningMethodRS256, rsaKey)
	k.ec = make(jwt.SigningMethodES256, ecKey)
	k.ed = make(jwt.SigningMethodEdDSA, edKey)
	return k, err
}

func rsaKey() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }

func ecKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func edKey() (crypto.Signer, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// keyID has the form of Cognito's: 32 bytes in padded base64.
func keyID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.StdEncoding.EncodeToString(b[:])
}

// document is the JWK Set of the signers' public keys.
func document(signers ...*signer) []byte {
	var set jwkset.JWKSMarshal
	for _, s := range signers {
		jwk, _ := jwkset.NewJWKFromKey(s.key.Public(), jwkset.JWKOptions{Metadata: jwkset.JWKMetadataOptions{
			ALG: jwkset.ALG(s.method.Alg()), KID: s.id, USE: jwkset.UseSig,
		}}) // never fails for the types of keys that newKeyring makes
		set.Keys = append(set.Keys, jwk.Marshal())
	}
	text, _ := json.Marshal(set) // strings always encode
	return text
}
