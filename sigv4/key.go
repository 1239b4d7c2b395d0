package sigv4

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// redacted is what a Secret prints as.
const redacted = "REDACTED"

// Secret is a secret access key, a signing key or a session token. It prints as REDACTED in fmt, in log/slog, in
// encoding/gob, and as a value in JSON and XML.
//
// It is still a string, so that these show it: a conversion to string; the verbs %p and %w of fmt, which go vet
// reports; fmt if the Secret is in an unexported field of another type; JSON if it is the key of a map; and encodings
// that look at the kind of a type and not at its methods. To store a Secret, convert it to string.
type Secret string

// Format prints REDACTED for all verbs but %p, %T and %w, which fmt handles itself.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns REDACTED, for JSON, log/slog and similar encodings.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary returns REDACTED, for encoding/gob and similar encodings. What they write cannot be read back.
func (Secret) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

// DeriveKey derives the signing key of a secret for a UTC date (YYYYMMDD), region and service: 32 bytes, which sign and
// verify within that scope and do not reveal the secret. So a key server should hand out signing keys and no secrets.
//
// Each part is the message of an HMAC whose key is the result of the one before. The first key is "AWS4" and the
// secret, and the last message is "aws4_request".
//
// Source: AWS, "Create a signed AWS API request", step 4.
func DeriveKey(secret Secret, date, region, service string) Secret {
	key := deriveKey(secret, date, region, service)
	return Secret(key[:])
}

func deriveKey(secret Secret, date, region, service string) [sha256.Size]byte {
	key := []byte("AWS4" + string(secret))
	for _, part := range [...]string{date, region, service, terminator} {
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, part) // never fails
		key = mac.Sum(nil)
	}
	return [sha256.Size]byte(key)
}

// Credentials are what a client signs with.
type Credentials struct {
	AccessKeyID  string
	Secret       Secret
	SessionToken Secret // of temporary credentials; empty for permanent ones
}

// Scope is the public part of a signature: the access key ID, and what its signing key is valid for.
type Scope struct {
	AccessKeyID string
	Date        string // YYYYMMDD, UTC
	Region      string
	Service     string
	// SessionToken is the token that the request has, "" if it has none. It is not verified yet. A key source that opens
	// it, as package session does, must bound it first. One that remembers keys must not do so by the whole Scope,
	// because a client may send any number of tokens.
	SessionToken Secret
}

// Key is what a key source knows about an access key. It must have either Secret or SigningKey, not both.
type Key struct {
	// Secret is the secret access key.
	Secret Secret
	// SigningKey is what [DeriveKey] returns for the scope that was asked for, if the secret is to stay with the key
	// source.
	SigningKey Secret
	// Principal names the holder of the access key, and is what [ID] returns. Several access keys may have the same
	// Principal: that is how a client rotates keys and stays the same client. It must not be the access key ID of
	// another holder. Empty means the access key ID.
	Principal string
	// SessionToken is the token that must be sent with temporary credentials. Empty means that none may be sent.
	SessionToken Secret
	// Expires is when temporary credentials expire. The zero Time means never.
	Expires time.Time
	// Session is what the key source knows about temporary credentials beyond that. It becomes [Identity].Session. It
	// may be nil.
	Session any
}

// isUsable reports whether the key has either a secret or a signing key. A key with both is refused, because one of
// them is a mistake and nothing says which.
func (k *Key) isUsable() bool {
	if k.Secret != "" {
		return k.SigningKey == ""
	}
	return len(k.SigningKey) == sha256.Size
}

// Keyring is a key source in memory: the keys by access key ID. It must not be changed while it is in use.
type Keyring map[string]Key

// Key returns the key for the access key ID of the scope, or [ErrUnknownKey]. It fits [VerifierConfig].Keys;
// NewVerifier then refuses a key that does not have either Secret or SigningKey, and an access key ID that is empty or
// has a slash in it.
func (k Keyring) Key(_ context.Context, s Scope) (Key, error) {
	if s.AccessKeyID == "" { // only checkKeyring asks for it
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

// check returns what is wrong with the keys, sorted by access key ID.
func (k Keyring) check() error {
	var mistakes []error
	for _, id := range slices.Sorted(maps.Keys(k)) {
		key := k[id]
		mistakes = append(mistakes,
			wrong(id == "" || strings.Contains(id, "/"), fmt.Sprintf("Keyring has %q, which is no access key ID", id)),
			wrong(!key.isUsable(), fmt.Sprintf("Keyring needs either a Secret or a SigningKey of 32 bytes for %q", id)))
	}
	return errors.Join(mistakes...)
}

// checkKeyring returns what is wrong with the keys of a Keyring, if the key source is [Keyring.Key]. A func value does
// not say which Keyring it is bound to, but all bound forms of one method have the same code. No other key source may
// be called before there is a request.
func checkKeyring(keys func(context.Context, Scope) (Key, error)) error {
	if keys == nil || reflect.ValueOf(keys).Pointer() != reflect.ValueOf(Keyring(nil).Key).Pointer() {
		return nil
	}
	if _, err := keys(context.Background(), Scope{}); !errors.Is(err, ErrUnknownKey) {
		return err
	}
	return nil
}
