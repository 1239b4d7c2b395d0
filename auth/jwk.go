package auth

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
)

// Bounds on a key set. API Gateway reads no more than 150 000 bytes of one either (HTTP API quotas).
const (
	maxKeySet = 150_000
	maxKeys   = 100
	// keySetSlots leaves room for 20 members a key: 100 keys × 20 members × 2, and no power of two in between.
	keySetSlots = 4096
	minRSABits  = 2048 // RFC 7518 section 3.3
	maxRSABits  = 8192 // keeps the cost of one verification within bounds
)

// key is one public key of an issuer, with what it may be used for. Immutable but for retired.
type key struct {
	jwk     jwkset.JWK
	name    keyName
	issuer  string      // the member issuer of Microsoft Entra's keys, or empty
	retired atomic.Bool // a refresh of the set dropped or changed the key
}

// keyName is how a token names a key. RFC 7517 section 4.5 lets two keys of different types share a kid.
type keyName struct {
	id  string
	kty jwkset.KTY
}

// fits reports whether the key may verify the algorithm.
func (k *key) fits(name string, a *algorithm) bool {
	m := k.jwk.Marshal()
	return m.KTY == a.kty && m.CRV == a.crv && (m.ALG == "" || m.ALG.String() == name)
}

// same reports whether two keys are one, in all that matters for verifying.
func (k *key) same(o *key) bool {
	a, b := k.jwk.Marshal(), o.jwk.Marshal()
	return k.name == o.name && k.issuer == o.issuer && a.ALG == b.ALG && a.CRV == b.CRV && a.N == b.N && a.E == b.E && a.X == b.X && a.Y == b.Y
}

// parseKeySet reads a JWK Set (RFC 7517 section 5). Keys that cannot verify a token here are left out, as that
// section demands; a set without any usable key, or with two keys of one name, is refused as a whole.
func parseKeySet(document []byte) ([]*key, error) {
	if len(document) > maxKeySet {
		return nil, fmt.Errorf("key set is longer than %d bytes", maxKeySet)
	}
	raws, err := splitKeySet(string(document))
	if err != nil {
		return nil, err
	}
	var keys []*key
	for _, raw := range raws {
		k, err := parseKey([]byte(raw))
		if err != nil {
			continue
		}
		if slices.ContainsFunc(keys, func(o *key) bool { return o.name == k.name }) {
			return nil, fmt.Errorf("key set holds two keys with kid %q", k.name.id)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("key set holds no usable key")
	}
	return keys, nil
}

var keySetNames = map[string]bool{"keys": true}

// splitKeySet reads the JSON of a key set, strictly, and returns that of each key.
func splitKeySet(document string) (raws []string, err error) {
	var s scanner
	s.reset(document)
	for name, ok := s.next(); ok; name, ok = s.next() {
		if name != "keys" {
			s.unregistered(keySetNames)
			continue
		}
		if raws != nil {
			return nil, errors.New("key set holds keys twice")
		}
		s.expect('[')
		raws = []string{}
		for s.element(len(raws) == 0) {
			start := s.at
			s.skip()
			raws = append(raws, s.text[start:s.at])
			s.forget()
			if len(raws) > maxKeys {
				return nil, fmt.Errorf("key set holds more than %d keys", maxKeys)
			}
		}
	}
	if s.err != nil {
		return nil, fmt.Errorf("key set: %s", s.err.(*detail).text)
	}
	return raws, nil
}

// parseKey reads one JWK and refuses whatever is not a sound public key for signatures.
func parseKey(raw []byte) (*key, error) {
	var m struct {
		jwkset.JWKMarshal
		Issuer any `json:"issuer"` // anybody may add such a member; only Microsoft Entra's has a meaning
	}
	if err := checkMembers(string(raw)); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	m.X5C, m.X5U, m.X5T, m.X5TS256 = nil, "", "", "" // certificates vouch for nothing here
	if err := permitted(m.JWKMarshal); err != nil {
		return nil, err
	}
	jwk, err := jwkset.NewJWKFromMarshal(m.JWKMarshal, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return nil, err
	}
	if pub, ok := jwk.Key().(*rsa.PublicKey); ok {
		if err := sound(pub); err != nil {
			return nil, err
		}
	}
	issuer, _ := m.Issuer.(string)
	return &key{jwk: jwk, name: keyName{m.KID, m.KTY}, issuer: issuer}, nil
}

// keyMembers are the names that encoding/json would take in any letter case.
var keyMembers = map[string]bool{
	"kty": true, "use": true, "key_ops": true, "alg": true, "kid": true, "crv": true, "x": true, "y": true, "n": true, "e": true,
	"d": true, "k": true, "p": true, "q": true, "dp": true, "dq": true, "qi": true, "oth": true,
}

var (
	errPrivate = errors.New("key is not public")
	errEmpty   = errors.New("key has a member that says nothing")
)

// checkMembers refuses a key that writes a name in another letter case, a number loosely, or a member that says
// nothing: encoding/json would take that for one that is not there.
func checkMembers(text string) error {
	var s scanner
	s.reset(text)
	for name, ok := s.next(); ok; name, ok = s.next() {
		switch name {
		case "kty", "use", "alg", "kid", "crv":
			if s.string() == "" {
				s.fail(errEmpty)
			}
		case "n", "e", "x", "y":
			if b, err := decode(nil, s.string()); err != nil || len(b) == 0 {
				s.fail(errBase64)
			}
		case "key_ops":
			s.operations()
		case "d", "k", "p", "q", "dp", "dq", "qi", "oth": // RFC 7518 sections 6.2.2, 6.3.2 and 6.4
			s.fail(errPrivate)
		default:
			s.unregistered(keyMembers)
		}
	}
	return s.err
}

// operations reads key_ops, in which none may occur twice (RFC 7517 section 4.3).
func (s *scanner) operations() {
	list := s.list()
	slices.Sort(list)
	if len(slices.Compact(list)) < max(len(list), 1) {
		s.fail(errEmpty)
	}
}

// permitted checks what a JWK says about its use: RFC 7517 sections 4.2 to 4.4.
func permitted(m jwkset.JWKMarshal) error {
	if m.USE != "" && m.USE != jwkset.UseSig {
		return errors.New("key is not for signatures")
	}
	if len(m.KEYOPS) > 0 && !slices.Contains(m.KEYOPS, jwkset.KeyOpsVerify) {
		return errors.New("key is not for verifying")
	}
	for name, a := range algorithms {
		if a.kty == m.KTY && a.crv == m.CRV && (m.ALG == "" || m.ALG.String() == name) {
			return nil
		}
	}
	return errors.New("key fits no algorithm")
}

// sound checks an RSA key's numbers. That an exponent of more than 31 bits was not cut is jwkset's to see: it compares
// what it read with what was written.
func sound(pub *rsa.PublicKey) error {
	if bits := pub.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("RSA key of %d bits", bits)
	}
	if pub.E < 3 || pub.E%2 == 0 {
		return errors.New("unsound RSA exponent")
	}
	if pub.N.Bit(0) == 0 || fingerprinted(pub.N) {
		return errors.New("unsound RSA modulus")
	}
	return nil
}

// fingerprinted reports whether a modulus has the mark of the ROCA generator (CVE-2017-15361): modulo each small
// prime it is a power of 65537. A sound modulus has it with a probability of about 2⁻²⁸.
func fingerprinted(n *big.Int) bool {
	for _, p := range [...]int64{11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157} {
		rest := new(big.Int).Mod(n, big.NewInt(p)).Int64()
		power := int64(1)
		for range p {
			if power == rest {
				break
			}
			power = power * 65537 % p
		}
		if power != rest {
			return false
		}
	}
	return true
}
