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

// Value is the secret text of an API key, what the client sends: 20 to 128 visible ASCII characters without a
// comma. Printing or logging a Value shows its last six characters, as API Gateway's logs do, and so does encoding it as
// JSON or by whatever else asks MarshalText. string(v) is the secret itself: an answer that shows a new value to its owner,
// once, holds a string.
//
// Two encoders of the standard library do not ask, and write the secret: encoding/gob, and encoding/json for a Value that
// is the key of a map. Neither is of use for a secret.
type Value string

// Bounds of API Gateway's CreateApiKey. Its values have no documented alphabet; ours is what a header field
// carries unchanged and unsplit.
const (
	minValue        = 20
	maxValue        = 128
	lengthValue     = 40
	shownCharacters = 6
)

// Generate returns a fresh value of API Gateway's form: 40 characters of [A-Za-z0-9], 238 random bits.
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

// AppSync returns a fresh value of AppSync's form, and when it expires: expires, rounded down to the hour as
// AppSync rounds it, for [Key.Expires]. A zero time stands for AppSync's default of 7 days from now. A time outside
// 1 to 365 days from now, the least of them in whole seconds, is [ErrInvalid], after AppSync's ApiKeyValidityOutOfBoundsException. Unlike AppSync's, the
// value is not the key's id.
func AppSync(expires time.Time) (Value, time.Time, error) {
	now := time.Now()
	if expires.IsZero() {
		expires = now.Add(appSyncDefault)
	}
	// The least life is held to the whole seconds of AppSync's field expires: a caller's now.Add(24 * time.Hour) is some
	// nanoseconds less than a day away when it arrives here.
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

// MarshalText returns the masked value, so that JSON has no other. A caller that shows a new value to its owner converts it:
// string(v).
func (v Value) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// LogValue returns the masked value.
func (v Value) LogValue() slog.Value { return slog.StringValue(v.String()) }

// validate reports in API Gateway's words what is wrong with the form of v.
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

// sendable reports whether a header field carries s unchanged and unsplit.
func sendable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
}

// Pepper is the secret under which values are hashed. It must outlive the digests that a [Config.Commit] stored and
// must not be stored next to them. Printing or logging it shows its length alone.
type Pepper []byte

// minPepper is the length of the hash, the least that RFC 2104 section 3 recommends.
const minPepper = sha256.Size

// String returns the masked pepper.
func (p Pepper) String() string { return fmt.Sprintf("apikey.Pepper(%d bytes)", len(p)) }

// GoString returns the masked pepper.
func (p Pepper) GoString() string { return p.String() }

// Format prints the masked pepper under every verb.
func (p Pepper) Format(f fmt.State, verb rune) { mask(f, verb, p.String(), p.String()) }

// MarshalText returns the masked pepper.
func (p Pepper) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

func mask(f fmt.State, verb rune, masked, goSyntax string) {
	if verb == 'v' && f.Flag('#') {
		_, _ = io.WriteString(f, goSyntax)
		return
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), masked)
}

// LogValue returns the masked pepper.
func (p Pepper) LogValue() slog.Value { return slog.StringValue(p.String()) }

// Digest is the HMAC-SHA-256 of a value under the pepper: how a value is stored and found. Its text form is hex.
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

// hasher is one HMAC state with the buffers that its calls through an interface would otherwise put on the heap.
type hasher struct {
	mac hash.Hash
	in  [maxValue]byte
	out Digest
}

// newHashers returns a pool of hashers under a copy of pepper.
func newHashers(pepper Pepper) *sync.Pool {
	pepper = append(Pepper(nil), pepper...)
	return &sync.Pool{New: func() any { return &hasher{mac: hmac.New(sha256.New, pepper)} }}
}

// sum returns the digest of value, which has at most 128 bytes. It is valid until the next call.
func (h *hasher) sum(value string) *Digest {
	h.mac.Reset()
	h.mac.Write(h.in[:copy(h.in[:], value)])
	h.mac.Sum(h.out[:0])
	return &h.out
}

// random returns n characters, each drawn evenly from alphabet.
func random(alphabet string, n int) string {
	even := 256 - 256%len(alphabet) // bytes from here on would favour the first characters
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
