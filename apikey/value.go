package apikey

import (
	"crypto/rand"
	"strings"
	"time"
)

// Bounds of API Gateway's CreateApiKey. The alphabet of its values is not documented. Ours is what a header field
// carries without being changed or split.
const (
	minValue    = 20
	maxValue    = 128
	lengthValue = 40
)

// validateValue returns an error, in API Gateway's words, if value does not have the form of a value.
func validateValue(value Secret) error {
	switch {
	case len(value) < minValue:
		return invalid("API Key value should be at least 20 characters")
	case len(value) > maxValue:
		return invalid("API Key value exceeds maximum size of 128 characters")
	case !sendable(string(value)):
		return invalid("API Key value must be visible ASCII characters without a comma")
	}
	return nil
}

// sendable reports whether a header field carries s without changing or splitting it.
func sendable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' || c == ',' })
}

// Generate returns a new random value, for [Verifier.Create] and [Verifier.Rotate]. With [Config].Prefix, it has that
// prefix and a checksum. Otherwise it has API Gateway's form: 40 characters of [A-Za-z0-9], which are 238 bits.
// Generate does not store the value.
func (v *Verifier) Generate() Secret {
	if v == nil || v.prefix == "" {
		return Secret(random(letters+digits, lengthValue))
	}
	return v.prefix.generate()
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
func AppSync(expires time.Time) (Secret, time.Time, error) {
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
	return Secret(appSyncPrefix + random(lower+"234567", appSyncRandom)), hour, nil
}

// random returns n random characters of alphabet, each with the same probability.
func random(alphabet string, n int) string {
	// A byte is reduced to an index by the remainder. Of the 256 bytes, the last ones would favour the first
	// characters. For example, 62 characters go 4 times into 256, and 8 bytes are left: 248 to 255 are not used.
	even := 256 - 256%len(alphabet)
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
