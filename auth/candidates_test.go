package auth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// member is the JSON of a public key with more members. A nil value removes a member.
func member(public crypto.PublicKey, more map[string]any) string {
	m := map[string]any{}
	if err := json.Unmarshal(must(json.Marshal(jwk(public, "", "").Marshal())), &m); err != nil {
		panic(err)
	}
	delete(m, "use")
	maps.Copy(m, more)
	maps.DeleteFunc(m, func(_ string, v any) bool { return v == nil })
	return string(must(json.Marshal(m)))
}

func keySet(keys ...string) []byte { return []byte(`{"keys":[` + strings.Join(keys, ",") + `]}`) }

func keyed(keys []byte) auth.Issuer {
	is := local()
	is.Keys = keys
	return is
}

type m = map[string]any

// null is a member that is written as null.
var null = json.RawMessage("null")

// Several keys may have the same kid, or none. Those that fit a token are tried in the order of the set.
func TestKeysThatFitAreTriedInOrder(t *testing.T) {
	ed, ec, rs := signers()["EdDSA"], signers()["ES256"], signers()["RS256"]
	edKey := func(kid any) string { return member(ed.key.Public(), m{"kid": kid}) }
	other := func(kid any) string { return member(fresh("EdDSA").Public(), m{"kid": kid}) }
	rsKey := func(more m) string { return member(rs.key.Public(), more) }
	for _, row := range []struct {
		name   string
		keys   []byte
		signer signerOf
		header string
		want   error
	}{
		{"two others of one kid", keySet(edKey("k1"), other("k2"), other("k2")), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"second of one kid", keySet(other("k1"), edKey("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"fourth of one kid", keySet(other("k1"), other("k1"), other("k1"), edKey("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"fifth of one kid", keySet(other("k1"), other("k1"), other("k1"), other("k1"), edKey("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, auth.ErrForged},
		{"fifth, but the others do not fit", keySet(rsKey(m{"kid": "k1"}), member(ec.key.Public(), m{"kid": "k1"}), other("k2"), other(nil), edKey("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"the same key five times", keySet(other("k1"), edKey("k1"), edKey("k1"), edKey("k1"), edKey("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"four of one kid, none right", keySet(other("k1"), other("k1"), other("k1"), other("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, auth.ErrForged},
		{"RS256 and PS256", keySet(rsKey(m{"kid": "k1", "alg": "RS256"}), rsKey(m{"kid": "k1", "alg": "PS256"})), signers()["PS256"], `{"alg":"PS256","kid":"k1"}`, nil},
		{"neither RS256 nor PS256", keySet(rsKey(m{"kid": "k1", "alg": "RS256"}), rsKey(m{"kid": "k1", "alg": "PS256"})), signers()["RS512"], `{"alg":"RS512","kid":"k1"}`, auth.ErrKey},
		{"one for encryption of the same kid", keySet(rsKey(m{"kid": "k1", "use": "enc"}), edKey("k1")), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"only one for encryption of this kid", keySet(rsKey(m{"kid": "k1", "use": "enc"}), edKey("k2")), rs, `{"alg":"RS256","kid":"k1"}`, auth.ErrKey},
		{"two without kid", keySet(edKey("k1"), other(nil), other(nil)), ed, `{"alg":"EdDSA","kid":"k1"}`, nil},
		{"token of the second without kid", keySet(other(nil), edKey(nil)), ed, `{"alg":"EdDSA"}`, nil},
		{"kid null and empty", keySet(other(""), edKey(null)), ed, `{"alg":"EdDSA"}`, nil},
		{"token without kid, keys with", keySet(other("k1"), edKey("k2")), ed, `{"alg":"EdDSA"}`, nil},
		{"token without kid, keys of two types", keySet(rsKey(m{"kid": "k1"}), edKey("k1")), ed, `{"alg":"EdDSA"}`, nil},
		{"token without kid, the fifth", keySet(other("1"), other("2"), other("3"), other("4"), edKey("5")), ed, `{"alg":"EdDSA"}`, auth.ErrForged},
		{"token with kid, the key without", keySet(edKey(nil), other("k2")), ed, `{"alg":"EdDSA","kid":"k1"}`, auth.ErrKey},
	} {
		raw := signedAs(row.signer, row.header, goodClaims(nil))
		require.ErrorIs(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{keyed(row.keys)}}), raw), row.want, row.name)
	}
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{keyed(keySet(other("1"), other("2"), other("3"), other("4"), edKey("5")))}})
	require.ErrorContains(t, verify(v, signedAs(ed, `{"alg":"EdDSA"}`, goodClaims(nil))), "more keys fit the token than are tried")
}

// A member of a key that is null or empty, or that belongs to another type of key, is treated as absent.
func TestEmptyAndForeignKeyMembersAreIgnored(t *testing.T) {
	for _, name := range []string{"RS256", "ES256", "EdDSA"} {
		s := signers()[name]
		for _, more := range []m{
			{"key_ops": null},
			{"key_ops": []string{}},
			{"use": null},
			{"use": ""},
			{"alg": null},
			{"alg": ""},
			{"k": "AQAB"},
			{"k": null},
			{"oth": null},
			{"oth": []string{}},
			{"d": null},
			{"d": ""},
			{"dp": ""},
			{"x5c": null},
			{"x5c": []string{}},
			{"x5c": []string{"!"}},
			{"x5c": "!"},
			{"x5c": []any{1}},
			{"x5t": 1},
			{"x5t": ""},
			{"x5t#S256": null},
			{"x5u": 1},
			{"issuer": 1},
			{"vendor": []any{null, m{}}},
		} {
			all := maps.Clone(more)
			all["kid"] = "k1"
			if name == "RS256" { // the members of an elliptic curve
				all["crv"], all["x"], all["y"] = 7, null, "!"
			} else {
				delete(all, "d")
				all["n"], all["e"], all["p"], all["oth"] = 1, []int{1}, "secret", "secret" // the members of RSA
			}
			v, err := auth.New(auth.Config{Issuers: []auth.Issuer{keyed(keySet(member(s.key.Public(), all)))}})
			require.NoError(t, err, "%s %v", name, all)
			require.NoError(t, verify(v, signed(s, goodClaims(nil))), "%s %v", name, all)
		}
	}
}

// A key that cannot be used does not affect the others. The log says why it is missing.
func TestBadKeyIsLeftOutWithItsReason(t *testing.T) {
	good := member(signers()["EdDSA"].key.Public(), m{"kid": "k1"})
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	for name, row := range map[string]struct{ bad, reason string }{
		"member twice":         {`{"kty":"OKP","kid":"bad","kid":"bad"}`, "occurs twice"},
		"member in two cases":  {`{"kty":"OKP","Kty":"OKP","kid":"bad"}`, "occurs twice"},
		"too deep":             {`{"kid":"bad","x":` + strings.Repeat("[", 9) + strings.Repeat("]", 9) + `}`, "too deep"},
		"much too deep":        {`{"kid":"bad","x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`, "too deep"},
		"deeper than Go reads": {`{"x":` + strings.Repeat("[", 30_000) + strings.Repeat("]", 30_000) + `,"kid":"bad"}`, "too deep"},
		"many deep values":     {`{"x":[` + strings.Repeat(`{"y":["]",`, 5200) + `"\\\"{"` + strings.Repeat("]}", 5200) + `,1],"kid":"bad"}`, "too deep"},
		"too many members":     {`{"kid":"bad",` + numbered(300, `"m%d":0,`) + `"x":0}`, "too many"},
		"half a pair":          {`{"kid":"bad","x":"\ud800"}`, "not valid UTF-8"},
		"no type":              {`{"kid":"bad"}`, `kty is ""`},
		"unknown type":         {`{"kid":"bad","kty":"AKP","alg":"ML-DSA-44"}`, `kty is "AKP"`},
		"a secret":             {`{"kid":"bad","kty":"oct","k":"AQAB"}`, `kty is "oct"`},
		"short RSA":            {member(small.Public(), m{"kid": "bad"}), "RSA key of 1024 bits"},
		"private":              {member(rsaPrivate().Public(), m{"kid": "bad", "d": "AQAB"}), "not public"},
		"for encryption":       {member(rsaPrivate().Public(), m{"kid": "bad", "use": "enc"}), `use is "enc"`},
		"to encrypt":           {member(rsaPrivate().Public(), m{"kid": "bad", "key_ops": []string{"encrypt"}}), "key_ops lacks verify"},
		"use not a string":     {member(rsaPrivate().Public(), m{"kid": "bad", "use": 1}), "use is not a string"},
		"alg not a string":     {member(rsaPrivate().Public(), m{"kid": "bad", "alg": []string{"RS256"}}), "alg is not a string"},
		"alg for encryption":   {member(rsaPrivate().Public(), m{"kid": "bad", "alg": "RSA-OAEP"}), `alg is "RSA-OAEP"`},
		"Ed448":                {`{"kid":"bad","kty":"OKP","crv":"Ed448","x":"AA"}`, `crv is "Ed448"`},
		"modulus null":         {`{"kid":"bad","kty":"RSA","n":null,"e":"AQAB"}`, "key has no n"},
		"coordinate no base64": {`{"kid":"bad","kty":"EC","crv":"P-256","x":"!","y":"AA"}`, "x is not base64url"},
	} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{keyed(keySet(row.bad, good, row.bad))}})
		require.NoError(t, verify(v, signed(signers()["EdDSA"], goodClaims(nil))), name)
		err := verify(v, rs256(`{"alg":"RS256","kid":"bad"}`, goodClaims(nil)))
		require.ErrorIs(t, err, auth.ErrKey, name)
		require.ErrorContains(t, err, row.reason, name)
		require.NotContains(t, call(v.Handler(ok), "/", "Authorization", rs256(`{"alg":"RS256","kid":"bad"}`, goodClaims(nil))).Header().Get("WWW-Authenticate"), row.reason)

		_, err = auth.New(auth.Config{Issuers: []auth.Issuer{keyed(keySet(row.bad))}})
		require.ErrorContains(t, err, "no usable key", name)
		require.ErrorContains(t, err, row.reason, name)
	}
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{keyed(keySet(strings.Split(strings.Repeat(`{"kid":"`+strings.Repeat("k", 1000)+`"}|`, 99)+"{}", "|")...))}})
	require.ErrorContains(t, err, "and 92 more")
	require.Less(t, len(err.Error()), 2000)
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{keyed(keySet(`null`, `7`, `"x"`, `[]`, `{}`, good))}})
	require.NoError(t, verify(v, signed(signers()["EdDSA"], goodClaims(nil))))
}

// A key set that is not valid JSON, or not UTF-8, is refused whole. It does not matter how deep the mistake is: levels
// are the arrays around it.
func TestMistakeInJSONAtAnyDepthIsRefused(t *testing.T) {
	good := member(signers()["EdDSA"].key.Public(), m{"kid": "k1"})
	for _, levels := range []int{0, 1, 7, 100, 101, 4990, 5000, 9990, 10_000, 10_001, 30_000} {
		nested := func(value string) string {
			return string(keySet(good, `{"x":`+strings.Repeat("[", levels)+value+strings.Repeat("]", levels)+`}`))
		}
		n, err := auth.ParseKeySet(nested(`"]\"["`))
		require.NoError(t, err, levels)
		require.Equal(t, 1, n, "the other key is left out")
		for _, bad := range []string{"x", "01", "nul", `"`, `"\x"`, "\"\x00\"", "\"\xff\"", "{]", "[}", "[1,]", "[1 2]", `{"a"}`, `{"a":1,}`, "1,", "[", "{", "]", "}"} {
			_, err := auth.ParseKeySet(nested(bad))
			require.ErrorContains(t, err, "key set: not ", "%d levels: %s", levels, bad)
		}
		_, err = auth.ParseKeySet(nested("1") + "x")
		require.ErrorContains(t, err, "key set: not a JSON object", levels)
	}
}

// Ed25519 (RFC 9864) and EdDSA (RFC 8037) name the same algorithm here.
func TestEd25519IsEdDSA(t *testing.T) {
	s := signers()["EdDSA"]
	for _, alg := range []any{nil, "EdDSA", "Ed25519"} {
		for _, allowed := range [][]string{nil, {"EdDSA"}, {"Ed25519"}, {"RS256", "Ed25519"}} {
			is := keyed(keySet(member(s.key.Public(), m{"kid": "k1", "alg": alg})))
			is.Algorithms = allowed
			v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
			for _, name := range []string{"EdDSA", "Ed25519"} {
				got, err := v.VerifyToken(t.Context(), signedAs(s, fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, name), goodClaims(nil)))
				require.NoError(t, err, "%v %v %s", alg, allowed, name)
				require.Equal(t, name, got.Algorithm)
			}
			for _, name := range []string{"Ed448", "ed25519", "ESP256", "ES256K"} {
				require.ErrorIs(t, verify(v, signedAs(s, fmt.Sprintf(`{"alg":%q,"kid":"k1"}`, name), goodClaims(nil))), auth.ErrAlgorithm)
			}
		}
	}
	is := keyed(keySet(member(s.key.Public(), nil)))
	is.Algorithms = []string{"RS256"}
	require.ErrorIs(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), signedAs(s, `{"alg":"Ed25519"}`, goodClaims(nil))), auth.ErrAlgorithm)
}

// If a token has no kid, the thumbprint of a certificate finds the key: it is a member of the JWK, or computed from
// x5c.
func TestThumbprintFindsTheKeyWithoutKid(t *testing.T) {
	s := signers()["EdDSA"]
	certificate := []byte("any bytes: nothing but a name is made of them")
	x5c := []string{base64.StdEncoding.EncodeToString(certificate)}
	short, long := sha1.Sum(certificate), sha256.Sum256(certificate)
	x5t, x5tS256 := base64.RawURLEncoding.EncodeToString(short[:]), base64.RawURLEncoding.EncodeToString(long[:])
	other := func(i int) string { return member(fresh("EdDSA").Public(), m{"x5t": fmt.Sprint("other", i)}) }
	fifth := func(more m) []byte { // beyond the keys that would be tried
		return keySet(other(0), other(1), other(2), other(3), member(s.key.Public(), more))
	}
	for _, row := range []struct {
		name   string
		keys   []byte
		header m
		want   error
	}{
		{"x5t of the JWK", fifth(m{"x5t": x5t}), m{"x5t": x5t}, nil},
		{"x5t#S256 of the JWK", fifth(m{"x5t#S256": x5tS256}), m{"x5t#S256": x5tS256}, nil},
		{"x5t of x5c", fifth(m{"x5c": x5c}), m{"x5t": x5t}, nil},
		{"x5t#S256 of x5c", fifth(m{"x5c": x5c}), m{"x5t#S256": x5tS256}, nil},
		{"x5t null, from x5c", fifth(m{"x5c": x5c, "x5t": null}), m{"x5t": x5t}, nil},
		{"both", fifth(m{"x5c": x5c}), m{"x5t": x5t, "x5t#S256": x5tS256}, nil},
		{"kid decides", fifth(m{"kid": "k1"}), m{"kid": "k1", "x5t": "other0"}, nil},
		{"kid decides, x5t not a string", fifth(m{"kid": "k1"}), m{"kid": "k1", "x5t": 1, "x5t#S256": null}, nil},
		{"of another key", fifth(m{"x5t": x5t}), m{"x5t": "other0"}, auth.ErrForged},
		{"of no key", fifth(m{"x5t": x5t}), m{"x5t": "stranger"}, auth.ErrKey},
		{"a key without one", fifth(nil), m{"x5t": "stranger"}, nil},
		{"letter case", fifth(m{"x5t": x5t}), m{"x5t": strings.ToUpper(x5t)}, auth.ErrKey},
		{"x5c that is no base64", fifth(m{"x5c": []string{"!"}}), m{"x5t": x5t}, nil},
	} {
		row.header["alg"] = "EdDSA"
		raw := signedAs(s, string(must(json.Marshal(row.header))), goodClaims(nil))
		require.ErrorIs(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{keyed(row.keys)}}), raw), row.want, row.name)
	}
}

// RSA keys of more than 4096 bits are left out unless the issuer allows them. The keys of this test are not real ones
// of that length, because generating one takes minutes.
func TestLongRSAKeysNeedTheOption(t *testing.T) {
	long := func(bits int) string {
		public := *rsaPrivate().Public().(*rsa.PublicKey)
		n := must(rand.Prime(rand.Reader, 512)) // one factor is enough for what is tested
		public.N = n.Lsh(n, uint(bits-512)).SetBit(n, 0, 1)
		return member(&public, m{"kid": fmt.Sprint(bits)})
	}
	is := keyed(keySet(long(4096), long(4097), long(8192), long(8193)))
	for _, allow := range []bool{false, true} {
		is.AllowLongRSA = allow
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
		for bits, usable := range map[int]bool{4096: true, 4097: allow, 8192: allow, 8193: false} {
			err := verify(v, rs256(fmt.Sprintf(`{"alg":"RS256","kid":"%d"}`, bits), goodClaims(nil)))
			if usable {
				require.ErrorIs(t, err, auth.ErrForged)
				continue
			}
			require.ErrorIs(t, err, auth.ErrKey)
			require.ErrorContains(t, err, fmt.Sprintf("RSA key of %d bits", bits))
		}
	}
}

// A coordinate must have all its bytes (RFC 7518 section 6.2.1.2), although the number would be the same. An RSA number
// may begin with zeros.
func TestCoordinatesMustHaveTheirFullLength(t *testing.T) {
	for _, name := range []string{"ES256", "ES384"} {
		var coordinates struct{ X, Y string }
		public := fresh(name).Public()
		text := member(public, m{"kid": "k1"})
		require.NoError(t, json.Unmarshal([]byte(text), &coordinates))
		for !strings.HasPrefix(coordinates.X, "AA") && !strings.HasPrefix(coordinates.X, "AB") && !strings.HasPrefix(coordinates.X, "AC") && !strings.HasPrefix(coordinates.X, "AD") {
			text = member(fresh(name).Public(), m{"kid": "k1"})
			require.NoError(t, json.Unmarshal([]byte(text), &coordinates))
		}
		n, err := auth.ParseKeySet(string(keySet(text)))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		full := len(must(base64.RawURLEncoding.DecodeString(coordinates.X)))
		for _, size := range []int{full - 1, full + 1, 2 * full} { // the first byte is zero, so the number is the same
			_, err := auth.ParseKeySet(string(keySet(strings.Replace(text, coordinates.X, resize(coordinates.X, size), 1))))
			require.ErrorContains(t, err, fmt.Sprintf("x has %d bytes instead of %d", size, full))
		}
	}
	for _, e := range []string{"AQAB", "AAEAAQ", "AAAAAAABAAE"} {
		v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{keyed(keySet(member(rsaPrivate().Public(), m{"kid": "k1", "e": e})))}})
		require.NoError(t, verify(v, rs256(goodHeader, goodClaims(nil))), e)
	}
}

// Within ten seconds of a fetch nothing is fetched again, so a token with an unknown kid gets 401.
func TestUnknownKidWithinThePauseIs401(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, v := remote(t)
		require.NoError(t, verify(v, issue(is)))
		require.NoError(t, is.Rotate())
		for range 2 {
			require.Equal(t, http.StatusUnauthorized, call(v.Handler(ok), "/", "Authorization", issue(is)).Code)
			time.Sleep(5*time.Second - time.Millisecond)
		}
		require.Equal(t, 1, is.Fetches())
		time.Sleep(2 * time.Millisecond)
		require.Equal(t, http.StatusOK, call(v.Handler(ok), "/", "Authorization", issue(is)).Code)
	})
}
