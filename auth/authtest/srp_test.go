package authtest_test

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth/authtest"
)

// Only the right password, at a time that is written as Cognito's clients write it, proves anything.
func TestProofNeedsPasswordAndTime(t *testing.T) {
	p, _ := newPool(t)
	enrol(t, p, "julianwood")
	const wrong = "Incorrect username or password."
	now := time.Now().UTC().Format(clientTime)
	for range 20 { // some values have leading zeros or a high bit
		do(t, p, "RespondToAuthChallenge", prove(t, p, "julianwood", password, now))
	}
	refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", wrong, prove(t, p, "julianwood", "Other-horse-99", now))
	refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", wrong, prove(t, p, "nobody", password, now))
	refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", wrong, prove(t, p, "julianwood", password, "Mon Jan 05 15:04:05 UTC 2026"))
	do(t, p, "RespondToAuthChallenge", prove(t, p, "julianwood", password, "Mon Jan 5 15:04:05 UTC 2026"))
	for _, stamp := range []string{"", now + "x", "2026-01-05T15:04:05Z", "lun. jan. 5 15:04:05 UTC 2026"} {
		refuse(t, p, "RespondToAuthChallenge", "InvalidParameterException", "TIMESTAMP format should be EEE MMM d HH:mm:ss z yyyy in english",
			prove(t, p, "julianwood", password, stamp))
	}
}

// A proof belongs to one user, one client and one challenge.
func TestProofIsNotMovedElsewhere(t *testing.T) {
	p, _ := newPool(t)
	other, _ := newPool(t)
	now := time.Now().UTC().Format(clientTime)
	for _, pool := range []*authtest.Pool{p, other} {
		enrol(t, pool, "julianwood")
		enrol(t, pool, "ferry")
	}
	for name, edit := range map[string]func(responses, all fields){
		"another user": func(responses, _ fields) { responses["USERNAME"] = "ferry" },
		"another time": func(responses, _ fields) { responses["TIMESTAMP"] = "Mon Jan 5 15:04:05 UTC 2026" },
		"no proof":     func(responses, _ fields) { delete(responses, "PASSWORD_CLAIM_SIGNATURE") },
		"no challenge": func(responses, _ fields) { delete(responses, "PASSWORD_CLAIM_SECRET_BLOCK") },
		"a refresh token": func(responses, _ fields) {
			responses["PASSWORD_CLAIM_SECRET_BLOCK"] = strings.NewReplacer("-", "+", "_", "/").Replace(signIn(t, p, "julianwood")["RefreshToken"])
		},
		"another challenge": func(responses, _ fields) {
			another := prove(t, p, "julianwood", password, now)["ChallengeResponses"].(fields)
			responses["PASSWORD_CLAIM_SECRET_BLOCK"] = another["PASSWORD_CLAIM_SECRET_BLOCK"]
		},
		"another pool": func(_, all fields) {
			all["ChallengeResponses"] = prove(t, other, "julianwood", password, now)["ChallengeResponses"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			proof := prove(t, p, "julianwood", password, now)
			edit(proof["ChallengeResponses"].(fields), proof)
			refuse(t, p, "RespondToAuthChallenge", "NotAuthorizedException", "Incorrect username or password.", proof)
		})
	}
}

// With a public value that is a multiple of the prime, the shared number would be zero for every password.
func TestPublicValueIsNoMultipleOfThePrime(t *testing.T) {
	p, _ := newPool(t)
	enrol(t, p, "julianwood")
	for _, a := range []string{"", "0", "-1", "x", prime.Text(16), new(big.Int).Lsh(prime, 1).Text(16), new(big.Int).Lsh(prime, 20_000).Text(16)} {
		refuse(t, p, "InitiateAuth", "InvalidParameterException", "SRP_A is not a public value of SRP.", fields{
			"AuthFlow": "USER_SRP_AUTH", "ClientId": client, "AuthParameters": fields{"USERNAME": "julianwood", "SRP_A": a},
		})
	}
}

// No answer to a sign-in tells whether there is such a user.
func TestSignInDoesNotTellWhoExists(t *testing.T) {
	p, _ := newPool(t)
	enrol(t, p, "somebody")
	challenge := func(name string) fields {
		return do(t, p, "InitiateAuth", fields{"AuthFlow": "USER_SRP_AUTH", "ClientId": client, "AuthParameters": fields{"USERNAME": name, "SRP_A": "2"}})["ChallengeParameters"].(fields)
	}
	known, unknown := challenge("somebody"), challenge("nobody12")
	require.Equal(t, unknown["SALT"], challenge("nobody12")["SALT"])
	require.NotEqual(t, unknown["SRP_B"], challenge("nobody12")["SRP_B"])
	for name := range known {
		require.InDelta(t, len(known[name].(string)), len(unknown[name].(string)), 8, name)
	}
	refuse(t, p, "InitiateAuth", "NotAuthorizedException", "Incorrect username or password.", passwordAuth("nobody12", password))
	refuse(t, p, "ConfirmSignUp", "ExpiredCodeException", "Invalid code provided, please request a code again.", fields{"ClientId": client, "Username": "nobody12", "ConfirmationCode": "1"})
	do(t, p, "ResendConfirmationCode", fields{"ClientId": client, "Username": "nobody12"})
	require.Empty(t, p.Code("nobody12"))
}

// clientTime is how a client writes the time.
const clientTime = "Mon Jan 2 15:04:05 UTC 2006"

var prime, _ = new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"+
	"EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"+
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"+
	"83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B"+
	"E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510"+
	"15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7"+
	"ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C"+
	"BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF", 16)

// padHex decodes a number as Cognito's clients write it before they hash it.
func padHex(n *big.Int) []byte {
	text := n.Text(16)
	if len(text)%2 == 1 {
		text = "0" + text
	} else if strings.Contains("89abcdef", text[:1]) {
		text = "00" + text
	}
	b, _ := hex.DecodeString(text)
	return b
}

func number(parts ...[]byte) *big.Int {
	h := sha256.New()
	for _, part := range parts {
		h.Write(part)
	}
	return new(big.Int).SetBytes(h.Sum(nil))
}

// prove asks for a challenge and returns the response to it, at the time stamp.
func prove(t *testing.T, p *authtest.Pool, name, with, stamp string) fields {
	t.Helper()
	seed := make([]byte, 32)
	_, _ = rand.Read(seed)
	g, a := big.NewInt(2), new(big.Int).SetBytes(seed)
	public := new(big.Int).Exp(g, a, prime)
	answer := do(t, p, "InitiateAuth", fields{"AuthFlow": "USER_SRP_AUTH", "ClientId": client, "AuthParameters": fields{"USERNAME": name, "SRP_A": public.Text(16)}})
	require.Equal(t, "PASSWORD_VERIFIER", answer["ChallengeName"])
	c := answer["ChallengeParameters"].(fields)
	theirs, _ := new(big.Int).SetString(c["SRP_B"].(string), 16)
	salt, _ := new(big.Int).SetString(c["SALT"].(string), 16)
	_, pool, _ := strings.Cut(poolID, "_")
	id := c["USER_ID_FOR_SRP"].(string)

	k := number(padHex(prime), padHex(g))
	u := number(padHex(public), padHex(theirs))
	inner := sha256.Sum256([]byte(pool + id + ":" + with))
	x := number(padHex(salt), inner[:])
	base := new(big.Int).Mul(k, new(big.Int).Exp(g, x, prime))
	base.Sub(theirs, base).Mod(base, prime)
	shared := base.Exp(base, new(big.Int).Add(a, new(big.Int).Mul(u, x)), prime)
	key, err := hkdf.Key(sha256.New, padHex(shared), padHex(u), "Caldera Derived Key", 16)
	require.NoError(t, err)
	block, err := base64.StdEncoding.DecodeString(c["SECRET_BLOCK"].(string))
	require.NoError(t, err)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(pool + id))
	mac.Write(block)
	mac.Write([]byte(stamp))
	return fields{"ClientId": client, "ChallengeName": "PASSWORD_VERIFIER", "ChallengeResponses": fields{
		"USERNAME": id, "PASSWORD_CLAIM_SECRET_BLOCK": c["SECRET_BLOCK"], "TIMESTAMP": stamp,
		"PASSWORD_CLAIM_SIGNATURE": base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	}}
}
