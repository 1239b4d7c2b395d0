package authtest

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"math/big"
	"slices"
	"time"
)

// The group of SRP: the prime of 3072 bits with the generator 2 (RFC 5054 appendix A).
const (
	srpPrime = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD" +
		"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
		"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F" +
		"83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B" +
		"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510" +
		"15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7" +
		"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C" +
		"BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF"
)

// srpTime is how Cognito's clients write the time: in English, in UTC, and with no zero before the day.
const srpTime = "Mon Jan 2 15:04:05 UTC 2006"

var (
	srpN, _ = new(big.Int).SetString(srpPrime, 16)
	srpG    = big.NewInt(2)
	srpK    = hash(signed(srpN), signed(srpG)) // RFC 5054 section 2.5.3, but see signed
)

// signed returns the shortest two's complement of a positive number, as Java's BigInteger has it. RFC 5054 pads numbers
// to the length of the prime instead; Cognito and its clients do not.
func signed(n *big.Int) []byte {
	return n.FillBytes(make([]byte, n.BitLen()/8+1)) // with room for the bit of the sign
}

// hash returns the SHA-256 hash of the parts as a number.
func hash(parts ...[]byte) *big.Int {
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

// random returns a random number of n bytes.
func random(n int) *big.Int {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return new(big.Int).SetBytes(b)
}

// verifierOf returns the verifier of a password: g^x, where x is the hash of the salt and of the hash of the pool's
// name, the user's and the password (RFC 5054 section 2.4, where the pool's name is missing).
func verifierOf(pool, user, password string, salt *big.Int) *big.Int {
	inner := sha256.Sum256([]byte(pool + user + ":" + password))
	return new(big.Int).Exp(srpG, hash(signed(salt), inner[:]), srpN)
}

// isPublic reports whether a number can be the client's public value. With zero or another multiple of the prime, every
// password would be right (RFC 5054 section 2.5.4).
func isPublic(a *big.Int) bool { return a.Sign() > 0 && a.Cmp(srpN) < 0 }

// publicOf returns the pool's public value for its private value b: k·v + g^b (RFC 5054 section 2.5.3).
func publicOf(b, verifier *big.Int) *big.Int {
	public := new(big.Int).Mul(srpK, verifier)
	public.Add(public, new(big.Int).Exp(srpG, b, srpN))
	return public.Mod(public, srpN)
}

// proves reports whether a proof was made with the user's password, for the challenge in block. The shared number is
// (A·v^u)^b (RFC 5054 section 2.6). From it Cognito derives a key of 16 bytes by HKDF, with which the client signs the
// challenge and the time. The recipe is in the source of amazon-cognito-identity-js (AuthenticationHelper, CognitoUser).
// The time is written anew, so a day that the client has written with a zero does not fit, as in Cognito.
func (p *Pool) proves(proof []byte, m *member, t ticket, block []byte, stamp time.Time) bool {
	u := hash(signed(t.A), signed(publicOf(t.B, m.verifier)))
	shared := new(big.Int).Exp(m.verifier, u, srpN)
	shared.Exp(shared.Mul(shared, t.A), t.B, srpN)
	key, _ := hkdf.Key(sha256.New, signed(shared), signed(u), "Caldera Derived Key", 16) // 16 bytes never fail
	mac := hmac.New(sha256.New, key)
	mac.Write(slices.Concat([]byte(p.name+m.name), block, []byte(stamp.Format(srpTime))))
	return hmac.Equal(proof, mac.Sum(nil))
}
