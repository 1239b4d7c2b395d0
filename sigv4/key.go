package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

const redacted = "REDACTED"

// Secret is a secret access key or a session token. It prints as REDACTED in fmt, in slog, in encoding/gob and as a value in
// JSON and XML.
//
// It is a string for all that, so that these show it: a conversion to string; the verbs %p and %w of fmt, which do not fit
// and are reported by go vet; fmt where the Secret stands in an unexported field of another type; JSON where it is the key
// of a map; and encodings that go by the kind of a type and not by its methods. To store a Secret, convert it to string.
type Secret string

// Format prints REDACTED for every verb but %p, %T and %w, which fmt does not leave to it.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns REDACTED.
func (Secret) String() string { return redacted }

// MarshalText returns REDACTED, for JSON and its like.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns REDACTED, for encoding/gob and its like. What they have written cannot be read back.
func (Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns REDACTED.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// SigningKey is what a secret access key yields for one day, region and service. Its holder can sign and verify within
// that scope and learns nothing of the secret, so it is what a key server should hand out. It prints as REDACTED where
// a [Secret] does.
type SigningKey [sha256.Size]byte

// DeriveKey derives the signing key of a secret for a UTC date (YYYYMMDD), region and service.
//
// Source: AWS, "Create a signed AWS API request", step 4.
func DeriveKey(secret Secret, date, region, service string) SigningKey {
	key := []byte("AWS4" + string(secret))
	for _, part := range [...]string{date, region, service, terminator} {
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, part) // never fails
		key = mac.Sum(nil)
	}
	return SigningKey(key)
}

// Format prints REDACTED, as [Secret.Format] does.
func (SigningKey) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// String returns REDACTED.
func (SigningKey) String() string { return redacted }

// MarshalText returns REDACTED, for JSON and its like.
func (SigningKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns REDACTED, for encoding/gob and its like. What they have written cannot be read back.
func (SigningKey) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns REDACTED.
func (SigningKey) LogValue() slog.Value { return slog.StringValue(redacted) }

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID  string
	Secret       Secret
	SessionToken Secret // of temporary credentials; empty for permanent ones
}

// Scope is the public part of a signature: the access key and what its signing key is good for.
type Scope struct {
	AccessKeyID string
	Date        string // YYYYMMDD, UTC
	Region      string
	Service     string
}

// Key is what a key source knows of an access key. Either Secret or SigningKey must be set.
type Key struct {
	// Secret is the secret access key.
	Secret Secret
	// SigningKey is the key derived for the scope asked for, where the secret shall stay with the key source.
	SigningKey SigningKey
	// Principal names the holder of the access key, and becomes [ID]. Several access keys of one holder may share it,
	// which is how a client rotates keys and remains the same client. It must not be another holder's access key ID.
	// Empty means that the access key ID is the name.
	Principal string
	// SessionToken is the token that must accompany temporary credentials. Empty means that none may be sent.
	SessionToken Secret
	// Expires is when temporary credentials end. The zero Time means never.
	Expires time.Time
}

// Keyring is a key source in memory: keys by access key ID. It must not be changed while in use.
type Keyring map[string]Key

// Key returns the key with the scope's access key ID, or [ErrUnknownKey]. It fits [VerifierConfig].Keys, and NewVerifier
// refuses a Keyring with a key that has neither Secret nor SigningKey, or whose access key ID is empty or has a slash in it.
func (k Keyring) Key(_ context.Context, s Scope) (Key, error) {
	if s.AccessKeyID == "" { // which only checkKeyring asks for
		if err := k.check(); err != nil {
			return Key{}, err
		}
	}
	key, ok := k[s.AccessKeyID]
	if !ok {
		return Key{}, ErrUnknownKey
	}
	return key, nil
}

// check returns what is wrong with the keys, in the order of their IDs.
func (k Keyring) check() error {
	var mistakes []error
	for _, id := range slices.Sorted(maps.Keys(k)) {
		mistakes = append(mistakes,
			wrong(id == "" || strings.Contains(id, "/"), fmt.Sprintf("Keyring has %q, which is no access key ID", id)),
			wrong(k[id].Secret == "" && k[id].SigningKey == SigningKey{}, fmt.Sprintf("Keyring has no Secret for %q", id)))
	}
	return errors.Join(mistakes...)
}

// checkKeyring asks a key source that is [Keyring.Key] what is wrong with its keys. A function hides what it is bound to,
// and no other source may be called before there is a request; but all bound forms of one method share their code.
func checkKeyring(keys func(context.Context, Scope) (Key, error)) error {
	if keys == nil || reflect.ValueOf(keys).Pointer() != reflect.ValueOf(Keyring(nil).Key).Pointer() {
		return nil
	}
	if _, err := keys(context.Background(), Scope{}); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	return nil
}
