package apikey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Value is the secret text of an API key, which the client sends: 20 to 128 visible ASCII characters without a comma.
//
// If a Value is printed, logged, or encoded as JSON or by another encoder that calls MarshalText, only its last six
// characters are shown, as in API Gateway's logs. The secret itself is string(v): use that to show a new value to its
// owner. Two encoders of the standard library do not call MarshalText, and write the secret: encoding/gob, and
// encoding/json if the Value is a key of a map.
type Value string

// Bounds of API Gateway's CreateApiKey. The alphabet of its values is not documented. Ours is what a header field
// carries without being changed or split.
const (
	minValue        = 20
	maxValue        = 128
	lengthValue     = 40
	shownCharacters = 6
)

// Generate returns a new random value of API Gateway's form: 40 characters of [A-Za-z0-9], which are 238 bits.
func Generate() Value {
	return Value(random(letters+digits, lengthValue))
}

// AppSync's API keys: "da2-" and 26 characters, here the 130 random bits of lower-case base32.
const (
	appSyncPrefix  = "da2-"
	appSyncRandom  = 26
	appSyncDefault = 7 * 24 * time.Hour
	appSyncMin     = 24 * time.Hour
	appSyncMax     = 365 * 24 * time.Hour
)

// AppSync returns a new random value of AppSync's form, and its expiry for [Key.Expires]. The expiry is expires,
// rounded down to the hour, as AppSync does. A zero time stands for AppSync's default, 7 days from now. A time less
// than 1 day from now, in whole seconds, or more than 365 days is [ErrInvalid]; in AppSync it is
// ApiKeyValidityOutOfBoundsException. Unlike in AppSync, the value is not the id of the key.
func AppSync(expires time.Time) (Value, time.Time, error) {
	now := time.Now()
	if expires.IsZero() {
		expires = now.Add(appSyncDefault)
	}
	// The lower bound is compared in whole seconds, as AppSync's field expires has them. When a caller's
	// time.Now().Add(24 * time.Hour) arrives here, it is some nanoseconds less than a day away.
	if expires.Unix()-now.Unix() < int64(appSyncMin/time.Second) || expires.Sub(now) > appSyncMax {
		return "", time.Time{}, invalid("API key validity must be between 1 and 365 days")
	}
	hour := expires.UTC().Truncate(time.Hour)
	return Value(appSyncPrefix + random(lower+"234567", appSyncRandom)), hour, nil
}

// String returns the masked value: asterisks and the last six characters.
func (v Value) String() string {
	if len(v) < minValue {
		return "******"
	}
	return "******" + string(v[len(v)-shownCharacters:])
}

// GoString returns the masked value.
func (v Value) GoString() string { return fmt.Sprintf("apikey.Value(%q)", v.String()) }

// Format prints the masked value under every verb.
func (v Value) Format(f fmt.State, verb rune) { mask(f, verb, v.String(), v.GoString()) }

// MarshalText returns the masked value, which is what JSON then contains.
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// LogValue returns the masked value.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// validate returns an error, in API Gateway's words, if v does not have the form of a value.
func (v Value) validate() error {
	switch {
	case len(v) < minValue:
		return invalid("API Key value should be at least 20 characters")
	case len(v) > maxValue:
		return invalid("API Key value exceeds maximum size of 128 characters")
	case !sendable(string(v)):
		return invalid("API Key value must be visible ASCII characters without a comma")
	}
	return nil
}

// sendable reports whether a header field carries s without changing or splitting it.
func sendable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
}

// Pepper is the secret key of the HMAC under which values are stored. Keep it as long as the digests that
// [Config.Commit] has stored, but in another place. If it is printed or logged, only its length is shown.
type Pepper []byte

// minPepper is the length of the hash, which RFC 2104 section 3 recommends as the minimum.
const minPepper = sha256.Size

// String returns the masked pepper.
func (p Pepper) String() string { return fmt.Sprintf("apikey.Pepper(%d bytes)", len(p)) }

// GoString returns the masked pepper.
func (p Pepper) GoString() string { return p.String() }

// Format prints the masked pepper under every verb.
func (p Pepper) Format(f fmt.State, verb rune) { mask(f, verb, p.String(), p.String()) }

// MarshalText returns the masked pepper.
func (p Pepper) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// mask formats the masked text with the verb and flags of f, and goSyntax for %#v.
func mask(f fmt.State, verb rune, masked, goSyntax string) {
	if verb == 'v' && f.Flag('#') {
		_, _ = io.WriteString(f, goSyntax)
		return
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), masked)
}

// LogValue returns the masked pepper.
func (p Pepper) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Digest is the HMAC-SHA-256 of a value under the pepper. It is stored instead of the value. Its text form is hex.
type Digest [sha256.Size]byte

// String returns d in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText returns d in hex.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (d *Digest) UnmarshalText(text []byte) error {
	var got Digest
	if len(text) != hex.EncodedLen(len(got)) {
		return fmt.Errorf("apikey: digest of %d digits, want %d", len(text), hex.EncodedLen(len(got)))
	}
	if _, err := hex.Decode(got[:], text); err != nil {
		return fmt.Errorf("apikey: digest: %w", err)
	}
	*d = got
	return nil
}

// A hasher is an HMAC state with its buffers. It is pooled, because buffers that are passed to the interface hash.Hash
// would otherwise be allocated for each call.
type hasher struct {
	mac hash.Hash
	in  [maxValue]byte
	out Digest
}

// newHashers returns a pool of hashers that use a copy of pepper.
func newHashers(pepper Pepper) *sync.Pool {
	pepper = append(Pepper(nil), pepper...)
	return &sync.Pool{New: func() any { return &hasher{mac: hmac.New(sha256.New, pepper)} }}
}

// sum returns the digest of value, which must have at most maxValue bytes. The result is valid until the next call.
func (h *hasher) sum(value string) *Digest {
	h.mac.Reset()
	h.mac.Write(h.in[:copy(h.in[:], value)])
	h.mac.Sum(h.out[:0])
	return &h.out
}

// random returns n random characters of alphabet, each with the same probability.
func random(alphabet string, n int) string {
	even := 256 - 256%len(alphabet) // higher bytes are not used: they would favour the first characters
	out := make([]byte, 0, n)
	for buf := make([]byte, 2*n); len(out) < n; {
		_, _ = rand.Read(buf) // never fails
		for _, b := range buf {
			if int(b) < even && len(out) < n {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}
