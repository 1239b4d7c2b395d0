package auth

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"fmt"
	"math/big"
	"slices"
)

// Sizes of RSA keys. The cost of a verification grows with the square of the size; doc.go has measurements.
const (
	minRSABits  = 2048 // RFC 7518 section 3.3
	maxRSABits  = 4096
	longRSABits = 8192 // with Issuer.AllowLongRSA
)

// sound checks the numbers of a public key. For elliptic curves, jwkset has already checked that the point is on the
// curve.
func sound(public crypto.PublicKey, rules keyRules) error {
	switch public := public.(type) {
	case *rsa.PublicKey:
		return soundRSA(public, rules.maxRSABits)
	case ed25519.PublicKey:
		return soundEd25519(public)
	}
	return nil
}

// soundRSA checks an RSA key. An exponent of more than 31 bits has not been truncated: jwkset encodes the key again and
// compares the result with the text.
func soundRSA(pub *rsa.PublicKey, maxBits int) error {
	if bits := pub.N.BitLen(); bits < minRSABits || bits > maxBits {
		return fmt.Errorf("RSA key of %d bits", bits)
	}
	if pub.E < 3 || pub.E%2 == 0 {
		return errors.New("RSA exponent is even or less than 3")
	}
	if pub.N.Bit(0) == 0 || hasROCAMark(pub.N) {
		return errors.New("unsound RSA modulus")
	}
	return nil
}

// hasROCAMark reports whether the modulus was probably made by the ROCA generator (CVE-2017-15361). Modulo each of
// these primes, such a modulus is a power of 65537. A random modulus has this property with a probability of about
// 2⁻²⁸.
func hasROCAMark(n *big.Int) bool {
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

// The field and the constant of edwards25519: p = 2²⁵⁵ − 19, d = −121665/121666 (RFC 8032 section 5.1).
var (
	one      = big.NewInt(1)
	edwardsP = new(big.Int).Sub(new(big.Int).Lsh(one, 255), big.NewInt(19))
	edwardsD = modP(new(big.Int).Mul(big.NewInt(-121665), new(big.Int).ModInverse(big.NewInt(121666), edwardsP)))
)

func modP(n *big.Int) *big.Int { return n.Mod(n, edwardsP) }

// soundEd25519 checks that a public key is a point of the curve, in the canonical form of RFC 8032 section 5.1.3, and
// not of small order. For a key of small order anyone can make a signature that fits one message in eight, or every
// message.
//
// Is it on the curve? The curve is −x² + y² = 1 + d·x²·y², so x² = (y²−1)/(d·y²+1). This has a root if
// (y²−1)·(d·y²+1) is a square.
//
// Is its order small, that is 1, 2, 4 or 8? Points of order 1 and 2 have y² = 1, and points of order 4 have y = 0.
// Twice a point of order 8 has order 4, so its y is 0. By the doubling formula (RFC 8032 section 5.1.4) this means x² =
// −y². The equation of the curve then becomes d·y⁴ + 2·y² − 1 = 0.
func soundEd25519(pub ed25519.PublicKey) error {
	b := slices.Clone(pub) // little-endian; the highest bit is the sign of x
	slices.Reverse(b)
	b[0] &= 0x7f
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edwardsP) >= 0 {
		return errors.New("Ed25519 key is not in canonical form")
	}
	yy := modP(new(big.Int).Mul(y, y))
	dyy := modP(new(big.Int).Mul(edwardsD, yy))
	square := modP(new(big.Int).Mul(new(big.Int).Sub(yy, one), new(big.Int).Add(dyy, one)))
	if big.Jacobi(square, edwardsP) < 0 {
		return errors.New("Ed25519 key is not a point of the curve")
	}
	eighth := new(big.Int).Mul(dyy, yy)
	eighth = modP(eighth.Add(eighth, yy).Add(eighth, yy).Sub(eighth, one))
	if yy.Sign() == 0 || yy.Cmp(one) == 0 || eighth.Sign() == 0 {
		return errors.New("Ed25519 key is a point of small order")
	}
	return nil
}
