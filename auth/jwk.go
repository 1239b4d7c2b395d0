package auth

import (
	"crypto/fips140"
	"crypto/sha1" //nolint:gosec // x5t is a SHA-1 (RFC 7517 section 4.8); it names a key and proves nothing.
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
)

// key is one public key of an issuer, with what it may be used for. It is immutable except for retired.
//
// Cached tokens point to the key that verified them. While a key stays in its set, each fetch keeps the same *key, so
// the tokens stay valid; see install in keyset.go. When it is removed or changed, retired is set, and the cache no
// longer uses the tokens that it signed.
type key struct {
	jwk        jwkset.JWK
	name       keyName
	issuer     string       // the member issuer, by which Microsoft Entra says whose tokens the key signs; or empty
	algorithms []*algorithm // that the key may verify, at least one
	retired    atomic.Bool
}

// keyName is how a token names a key: by kid, or by a thumbprint of the key's certificate (RFC 7515 sections 4.1.4,
// 4.1.7 and 4.1.8). A missing part is empty.
type keyName struct {
	id, x5t, x5tS256 string
}

// means reports whether a token names the key k. n is the name that the token's header gives. Several keys of a set may
// have the same kid (RFC 7517 section 4.5), so a token may name more than one. A thumbprint is used only if the token
// has no kid.
func (n keyName) means(k *key) bool {
	if n.id != "" {
		return n.id == k.name.id
	}
	return n.x5t != "" && n.x5t == k.name.x5t || n.x5tS256 != "" && n.x5tS256 == k.name.x5tS256
}

// mayMean reports whether the key k may be meant by a token that names none: the token has no kid, and no thumbprint of
// it differs from one of the key. Such a token is tried with each key that may be meant, since all of these are
// optional (RFC 7515 section 4.1).
func (n keyName) mayMean(k *key) bool {
	excludes := func(mine, its string) bool { return mine != "" && its != "" && mine != its }
	return n.id == "" && !excludes(n.x5t, k.name.x5t) && !excludes(n.x5tS256, k.name.x5tS256)
}

// same reports whether two keys are equal in everything that affects verification. Other members, such as x5u, may
// differ. N and E belong to RSA keys, X and Y to the others; a key lacks the other two. The curve need not be compared,
// because the algorithms follow from it.
func (k *key) same(o *key) bool {
	a, b := k.jwk.Marshal(), o.jwk.Marshal()
	return k.name == o.name && k.issuer == o.issuer && slices.Equal(k.algorithms, o.algorithms) &&
		a.N == b.N && a.E == b.E && a.X == b.X && a.Y == b.Y
}

// keyRules are the demands on an issuer's keys, which depend on the issuer's kind and options.
type keyRules struct {
	use        string // what the member use must say: sig, or nothing; in a SPIFFE bundle svidUse
	maxRSABits int
}

// keyMembers are the registered names that say what a key is and may do (RFC 7517 section 4, RFC 7518 section 6). A key
// in which one of them occurs in another letter case is refused: another reader may take it for that member.
var keyMembers = map[string]bool{
	"kty": true, "use": true, "key_ops": true, "alg": true, "kid": true,
	"crv": true, "x": true, "y": true, "n": true, "e": true,
	"d": true, "k": true, "p": true, "q": true, "dp": true, "dq": true, "qi": true, "oth": true,
}

// keyTypes are the members that each type of key must have, and those that only a private one has: RFC 7518 sections
// 6.2 and 6.3, RFC 8037 section 2. Members that belong to other types are ignored, whatever they hold.
var keyTypes = map[string]struct{ public, private []string }{
	"RSA": {[]string{"n", "e"}, []string{"d", "p", "q", "dp", "dq", "qi", "oth"}},
	"EC":  {[]string{"crv", "x", "y"}, []string{"d"}},
	"OKP": {[]string{"crv", "x"}, []string{"d"}},
}

// parseKey reads one JWK (RFC 7517 section 4). raw must be valid JSON. It refuses anything but a public key that is for
// signatures and whose numbers are safe. jwkset makes the Go key from the members that concern its type; what it is not
// strict about is checked here, before or after.
func parseKey(s *scanner, raw []byte, rules keyRules) (*key, error) {
	m, err := readMembers(s, raw)
	if err != nil {
		return nil, err
	}
	if err := m.permit(rules); err != nil {
		return nil, err
	}
	jwk, err := m.jwk()
	if err != nil {
		return nil, err
	}
	if err := sound(jwk.Key(), rules); err != nil {
		return nil, err
	}
	k := &key{jwk: jwk, name: m.name()}
	if k.issuer, err = m.text("issuer"); err != nil {
		// A member issuer that is not a string is not a mistake: only issuers with tenants use it. Its JSON, such as 1
		// or ["a"], equals the URL of no issuer, so with tenants the key verifies nothing.
		k.issuer = string(m["issuer"])
	}
	if k.name.id, err = m.text("kid"); err != nil {
		return nil, err
	}
	k.algorithms, err = fitting(jwk.Marshal())
	return k, err
}

// members holds the members of a JWK as JSON, without the empty ones. A member that is not there is nil.
type members map[string]json.RawMessage

// readMembers reads a JWK twice. The scanner checks it as strictly as a token: its bounds, its UTF-8, and that no name
// occurs twice. Only after that may encoding/json fill a map, in which the last of two equal names would win. A member
// that is null or empty is treated as absent, because some issuers write all members of all types.
func readMembers(s *scanner, raw []byte) (m members, err error) {
	s.reset(string(raw))
	for _, ok := s.next(); ok; _, ok = s.next() {
		s.unregistered(keyMembers)
	}
	if s.err != nil {
		return nil, errors.New(s.err.(*detail).text)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	maps.DeleteFunc(m, func(_ string, value json.RawMessage) bool { return empty(value) })
	return m, nil
}

// empty reports whether a JSON value is null, or an empty string, array or object.
func empty(value json.RawMessage) bool {
	var v any
	_ = json.Unmarshal(value, &v) // it is valid JSON
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// text returns a member that must be a string if it is present. If it is absent, the text is empty.
func (m members) text(name string) (text string, err error) {
	if value, ok := m[name]; ok && json.Unmarshal(value, &text) != nil {
		err = fmt.Errorf("%s is not a string", name)
	}
	return text, err
}

// list returns a member that must be an array of strings if it is present. If it is absent, the list is nil.
func (m members) list(name string) (list []string, err error) {
	if value, ok := m[name]; ok && json.Unmarshal(value, &list) != nil {
		err = fmt.Errorf("%s is not a list of strings", name)
	}
	return list, err
}

// permit checks what the key says about its use: RFC 7517 sections 4.2 and 4.3. Both members are optional. But a key
// that is said to be for something else, such as encryption, must not verify signatures (RFC 8725 section 3.1).
func (m members) permit(rules keyRules) error {
	use, err := m.text("use")
	if err != nil {
		return err
	}
	if use != rules.use && (use != "" || rules.use == svidUse) { // in a SPIFFE bundle, use is required
		return fmt.Errorf("use is %.64q", use)
	}
	operations, err := m.list("key_ops")
	if err != nil {
		return err
	}
	slices.Sort(operations)
	if len(slices.Compact(slices.Clone(operations))) < len(operations) {
		return errors.New("key_ops holds an operation twice") // RFC 7517 section 4.3 forbids it
	}
	if len(operations) > 0 && !slices.Contains(operations, "verify") {
		return errors.New("key_ops lacks verify")
	}
	return nil
}

// jwk makes a key from the members that concern its type. Only these are given to jwkset, so a member of another type,
// or one that jwkset knows and this package does not use, such as x5u, has no effect.
//
// A private key is refused, even though its public part would do: everyone who reads the key set can sign tokens with
// it.
func (m members) jwk() (jwkset.JWK, error) {
	var j jwkset.JWKMarshal
	kty, err := m.text("kty")
	if err != nil {
		return jwkset.JWK{}, err
	}
	members, ok := keyTypes[kty]
	if !ok {
		return jwkset.JWK{}, fmt.Errorf("kty is %.64q", kty)
	}
	for _, name := range members.private {
		if m[name] != nil {
			return jwkset.JWK{}, fmt.Errorf("key is not public: it has %s", name)
		}
	}
	alg, err := m.text("alg")
	if err != nil {
		return jwkset.JWK{}, err
	}
	j.KTY, j.ALG = jwkset.KTY(kty), jwkset.ALG(alg)
	if err := m.fill(&j, members.public); err != nil {
		return jwkset.JWK{}, err
	}
	return jwkset.NewJWKFromMarshal(j, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
}

// coordinateSizes are the bytes that each coordinate of an elliptic curve must have (RFC 7518 sections 6.2.1.2 and
// 6.2.1.3, RFC 8032 section 5.1.5).
//
// The numbers of an RSA key may have zeros in front, which do not change them. RFC 7518 section 6.3.1.1 forbids the
// zeros, but notes that some libraries write them.
var coordinateSizes = map[jwkset.CRV]int{
	jwkset.CrvP256: 32, jwkset.CrvP384: 48, jwkset.CrvP521: 66, jwkset.CrvEd25519: 32,
}

// fill sets the members of j that a public key must have. names are the public members of its type, crv before the
// coordinates, whose size depends on it. An RSA key has no curve, so the size of its numbers is not checked here.
func (m members) fill(j *jwkset.JWKMarshal, names []string) error {
	numbers := map[string]*string{"n": &j.N, "e": &j.E, "x": &j.X, "y": &j.Y}
	for _, name := range names {
		text, err := m.text(name)
		switch {
		case err != nil:
			return err
		case text == "":
			return fmt.Errorf("key has no %s", name)
		case name == "crv":
			if j.CRV = jwkset.CRV(text); coordinateSizes[j.CRV] == 0 {
				return fmt.Errorf("crv is %.64q", text)
			}
			continue
		}
		b, err := decodeBase64(nil, text)
		if err != nil {
			return fmt.Errorf("%s is not base64url", name)
		}
		if size := coordinateSizes[j.CRV]; size > 0 && len(b) != size {
			return fmt.Errorf("%s has %d bytes instead of %d", name, len(b), size)
		}
		*numbers[name] = text
	}
	return nil
}

// name collects the thumbprints by which a token without a kid may name the key (RFC 7517 sections 4.7 to 4.9). If the
// key has no thumbprint but a certificate, its thumbprint is computed. The certificate is not used for anything else:
// it is not verified, and need not even hold this key. So a mistake in it is ignored: it can make a token find no key
// or another one, which then refuses it, but no forged token becomes valid.
//
// The SHA-1 thumbprint is left out in Go's FIPS 140-3 mode, which may forbid SHA-1.
func (m members) name() (n keyName) {
	n.x5t, _ = m.text("x5t")
	n.x5tS256, _ = m.text("x5t#S256")
	chain, _ := m.list("x5c")
	if len(chain) == 0 {
		return n
	}
	certificate, err := base64.StdEncoding.DecodeString(chain[0])
	if err != nil {
		return n
	}
	if n.x5t == "" && !fips140.Enabled() {
		sum := sha1.Sum(certificate) //nolint:gosec // see the import
		n.x5t = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	if n.x5tS256 == "" {
		sum := sha256.Sum256(certificate)
		n.x5tS256 = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return n
}

// fitting returns the algorithms that a key may verify. Its type and curve decide, and its alg if it has one (RFC 7517
// section 4.4). Example: an RSA key without alg verifies RS256 to PS512, and one with alg PS256 only that. So the alg
// of a token can never select another kind of algorithm than its key is for (RFC 8725 section 3.1).
//
// The order of the names makes the result comparable; see same.
func fitting(j jwkset.JWKMarshal) (fit []*algorithm, err error) {
	for _, name := range slices.Sorted(maps.Keys(algorithms)) {
		a := algorithms[name]
		if a.kty == j.KTY && a.crv == j.CRV && (j.ALG == "" || a.is(j.ALG.String())) {
			fit = append(fit, a)
		}
	}
	if fit == nil {
		return nil, fmt.Errorf("alg is %.64q", j.ALG)
	}
	return fit, nil
}
