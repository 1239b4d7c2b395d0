package auth_test

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/auth"
)

// A key that cannot verify a token safely is left out of its set.
func TestUnsoundKeysAreLeftOut(t *testing.T) {
	good := must(json.Marshal(jwk(rsaPrivate().Public(), "k1", "RS256").Marshal()))
	var rsaKey map[string]any
	require.NoError(t, json.Unmarshal(good, &rsaKey))
	ec := jwk(signers()["ES256"].key.Public(), "k1", "ES256").Marshal()
	ed := jwk(signers()["EdDSA"].key.Public(), "k1", "EdDSA").Marshal()
	change := func(name string, value any) string {
		changed := map[string]any{}
		maps.Copy(changed, rsaKey)
		if changed[name] = value; value == nil {
			delete(changed, name)
		}
		return string(must(json.Marshal(changed)))
	}
	number := func(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }
	small := must(rsa.GenerateKey(rand.Reader, 1024))
	n := rsaPrivate().N
	even := new(big.Int).Add(n, big.NewInt(1))
	for name, text := range map[string]string{
		"no kty":                  change("kty", nil),
		"kty in lower case":       change("kty", "rsa"),
		"kty number":              change("kty", 1),
		"Kty":                     strings.Replace(string(good), `"kty"`, `"Kty"`, 1),
		"symmetric":               `{"kty":"oct","kid":"k1","k":"c2VjcmV0"}`,
		"for encryption":          change("use", "enc"),
		"of unknown use":          change("use", "signing"),
		"for signing":             change("key_ops", []string{"sign"}),
		"key_ops a string":        change("key_ops", "verify"),
		"key_ops twice the same":  change("key_ops", []string{"verify", "sign", "verify"}),
		"private, oth":            change("oth", []any{map[string]string{"r": "AQAB"}}),
		"private, p":              change("p", "AQAB"),
		"Dq":                      change("Dq", "AQAB"),
		"modulus padded":          change("n", rsaKey["n"].(string)+"=="),
		"modulus with a break":    change("n", rsaKey["n"].(string)[:9]+"\n"+rsaKey["n"].(string)[9:]),
		"modulus in base64":       change("n", base64.RawStdEncoding.EncodeToString(n.Bytes())+"+/"),
		"x padded":                fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":"%s=","y":%q}`, ec.X, ec.Y),
		"y null":                  fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":null}`, ec.X),
		"alg for encryption":      change("alg", "RSA-OAEP"),
		"alg symmetric":           change("alg", "HS256"),
		"alg of another type":     change("alg", "ES256"),
		"alg unknown":             change("alg", "RS257"),
		"alg none":                change("alg", "none"),
		"private":                 change("d", "AQAB"),
		"RSA of 1024 bits":        change("n", number(small.N)),
		"RSA of 4104 bits":        change("n", number(new(big.Int).SetBit(new(big.Int).Lsh(n, 4104-2048), 0, 1))),
		"RSA of 16384 bits":       change("n", number(new(big.Int).Lsh(n, 16384-2048).SetBit(new(big.Int).Lsh(n, 16384-2048), 0, 1))),
		"even modulus":            change("n", number(even)),
		"no modulus":              change("n", nil),
		"empty modulus":           change("n", ""),
		"modulus no base64":       change("n", "!"),
		"exponent 1":              change("e", "AQ"),
		"exponent 2":              change("e", "Ag"),
		"exponent 0":              change("e", "AA"),
		"even exponent":           change("e", number(big.NewInt(65538))),
		"exponent of 33 bits":     change("e", number(big.NewInt(1<<32+1))),
		"exponent beyond 64 bits": change("e", number(new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(65537)))),
		"no exponent":             change("e", nil),
		"point off the curve":     fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}`, ec.X, ec.X),
		"point of another curve":  fmt.Sprintf(`{"kty":"EC","crv":"P-384","kid":"k1","x":%q,"y":%q}`, ec.X, ec.Y),
		"point at zero":           `{"kty":"EC","crv":"P-256","kid":"k1","x":"AA","y":"AA"}`,
		"point beyond the field":  fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}`, number(elliptic.P256().Params().P), ec.Y),
		"no y":                    fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":%q}`, ec.X),
		"curve P-224":             fmt.Sprintf(`{"kty":"EC","crv":"P-224","kid":"k1","x":%q,"y":%q}`, ec.X, ec.Y),
		"curve secp256k1":         fmt.Sprintf(`{"kty":"EC","crv":"secp256k1","kid":"k1","x":%q,"y":%q}`, ec.X, ec.Y),
		"ES384 for P-256":         fmt.Sprintf(`{"kty":"EC","crv":"P-256","alg":"ES384","kid":"k1","x":%q,"y":%q}`, ec.X, ec.Y),
		"Ed25519 of 31 bytes":     fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","kid":"k1","x":%q}`, base64.RawURLEncoding.EncodeToString(make([]byte, 31))),
		"alg Ed448":               fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","alg":"Ed448","kid":"k1","x":%q}`, ed.X),
		"alg ESP256, COSE's":      fmt.Sprintf(`{"kty":"EC","crv":"P-256","alg":"ESP256","kid":"k1","x":%q,"y":%q}`, ec.X, ec.Y),
		"P-256 of 31 bytes":       fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}`, resize(ec.X, 31), ec.Y),
		"P-256 of 33 bytes":       fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k1","x":%q,"y":%q}`, ec.X, resize(ec.Y, 33)),
		"Ed448":                   fmt.Sprintf(`{"kty":"OKP","crv":"Ed448","kid":"k1","x":%q}`, base64.RawURLEncoding.EncodeToString(make([]byte, 57))),
		"X25519":                  fmt.Sprintf(`{"kty":"OKP","crv":"X25519","kid":"k1","x":%q}`, ed.X),
		"Ed25519 with alg RS256":  fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","alg":"RS256","kid":"k1","x":%q}`, ed.X),
		"no object":               `[]`,
		"kid number":              change("kid", 1),
	} {
		n, err := auth.ParseKeySet(`{"keys":[` + text + `]}`)
		require.ErrorContains(t, err, "no usable key", name)
		require.Zero(t, n)
		n, err = auth.ParseKeySet(`{"keys":[` + text + `,` + strings.Replace(string(good), `"k1"`, `"k9"`, 1) + `]}`)
		require.NoError(t, err, name)
		require.Equal(t, 1, n, name)
	}
	for name, text := range map[string]string{
		"as it is": string(good), "no alg": change("alg", nil), "no use": change("use", nil), "no kid": change("kid", nil),
		"key_ops": change("key_ops", []string{"verify"}), "an operation of no registry": change("key_ops", []string{"verify", "x"}), "exponent 3": change("e", "Aw"),
		"certificates": change("x5c", []string{"bm8="}), "unknown member": change("vendor", 1), "chain elsewhere": change("x5u", "http://evil.example"),
	} {
		n, err := auth.ParseKeySet(`{"keys":[` + text + `],"more":[{"keys":1}]}`)
		require.NoError(t, err, name)
		require.Equal(t, 1, n, name)
	}
}

// A document that is not a key set is refused as a whole.
func TestBadKeySetIsRefusedWhole(t *testing.T) {
	good := string(must(json.Marshal(jwk(rsaPrivate().Public(), "k1", "RS256").Marshal())))
	for name, text := range map[string]string{
		"empty": "", "text": "x", "array": `[` + good + `]`, "keys object": `{"keys":` + good + `}`, "keys twice": `{"keys":[` + good + `],"keys":[]}`,
		"keys in two cases": `{"keys":[` + good + `],"KEYS":[]}`, "KEYS": `{"KEYS":[` + good + `]}`, "trailing": `{"keys":[` + good + `]}x`,
		"not UTF-8": "{\"keys\":[" + good + "],\"x\":\"\xff\"}", "comma": `{"keys":[` + good + `,]}`,
		"no JSON within a key": `{"keys":[{"kty":RSA},` + good + `]}`, "another member twice": `{"x":1,"keys":[` + good + `],"x":1}`,
		"keys of two lengths": `{"keys":[` + good + `],"keys":[]  }`, "101 keys": `{"keys":[` + good + strings.Repeat(`,{}`, 100) + `]}`,
	} {
		_, err := auth.ParseKeySet(text)
		require.Error(t, err, name)
	}
}

// A key set in a file may begin with a byte order mark, as PowerShell writes it.
func TestByteOrderMarkOfAKeySetIsSkipped(t *testing.T) {
	is := local()
	is.Keys = append([]byte("\ufeff"), is.Keys...)
	require.NoError(t, verify(newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}}), rs256(goodHeader, goodClaims(nil))))
	is.Keys = append([]byte("\ufeff"), is.Keys...)
	_, err := auth.New(auth.Config{Issuers: []auth.Issuer{is}})
	require.ErrorContains(t, err, "not a JSON object")
}

// Keys of different types may have the same kid (RFC 7517 section 4.5). The token's alg decides between them.
func TestAlgTellsKeysOfOneKidApart(t *testing.T) {
	is := local()
	is.Keys = set(jwk(rsaPrivate().Public(), "k1", ""), jwk(signers()["ES256"].key.Public(), "k1", ""), jwk(signers()["EdDSA"].key.Public(), "k1", ""))
	v := newVerifier(t, auth.Config{Issuers: []auth.Issuer{is}})
	for _, name := range []string{"RS256", "PS512", "ES256", "EdDSA"} {
		require.NoError(t, verify(v, signed(signers()[name], goodClaims(nil))), name)
	}
	require.ErrorIs(t, verify(v, signed(signers()["ES384"], goodClaims(nil))), auth.ErrKey)
	require.NoError(t, verify(v, rs256(`{"alg":"RS256"}`, goodClaims(nil))), "only one is of type RSA")
}

// resize makes a coordinate n bytes long: it adds zeros in front, or cuts bytes off there.
func resize(text string, n int) string {
	b := must(base64.RawURLEncoding.DecodeString(text))
	return base64.RawURLEncoding.EncodeToString(append(make([]byte, n), b...)[len(b):])
}
