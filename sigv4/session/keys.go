package session

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/tallygate/tallygate/sigv4"
)

// Keys issues temporary credentials and is the key source that knows them. Make one with [New]. It is safe for
// concurrent use. The zero Keys issues nothing and refuses every key.
type Keys struct {
	config Config // without SealingKeys
	seals  []seal // the first one seals, all of them open
	cache  *cache
}

// New returns a key source. If the configuration has mistakes, the error joins all of them.
func New(c Config) (*Keys, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	k := &Keys{config: c, seals: make([]seal, len(c.SealingKeys))}
	k.config.SealingKeys = nil // the seals have what is needed of them
	for i, key := range c.SealingKeys {
		var err error
		if k.seals[i], err = newSeal(key); err != nil {
			return nil, fmt.Errorf("%w: Config.SealingKeys[%d]: %w", ErrNotConfigured, i, err)
		}
	}
	size := c.CacheSize
	if size == 0 {
		size = defaultCache
	}
	k.cache = newCache(size)
	return k, nil
}

// Issue returns new temporary credentials for a session. It stores nothing. AccessKeyID and Issued of s are not used:
// the session that a verifier finds has those of the credentials. Every mistake of s, and one that makes the token
// longer than 4 096 bytes, is an [ErrInvalid].
func (k *Keys) Issue(s Session) (sigv4.Credentials, error) {
	if k == nil || len(k.seals) == 0 {
		return sigv4.Credentials{}, ErrNotConfigured
	}
	now := time.Now()
	if err := s.validate(now); err != nil {
		return sigv4.Credentials{}, err
	}
	s.Issued = now
	id, secret := newAccessKeyID(), newSecret()
	c := capsule{secret, s} // the id is in the token's associated data
	token := k.seals[0].close(id, c.append(nil))
	if len(token) > maxToken {
		return sigv4.Credentials{}, fmt.Errorf("%w: the session token would have %d bytes, at most %d are allowed",
			ErrInvalid, len(token), maxToken)
	}
	return sigv4.Credentials{AccessKeyID: id, Secret: sigv4.Secret(secret), SessionToken: sigv4.Secret(token)}, nil
}

// newAccessKeyID returns a random id in AWS's form: temporary ones begin with ASIA
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html). Its 80 random bits make it unique.
func newAccessKeyID() string {
	var random [10]byte
	_, _ = rand.Read(random[:]) // it never fails
	return "ASIA" + base32.StdEncoding.EncodeToString(random[:])
}

// newSecret returns a random secret access key in AWS's form: 40 characters, which have 240 random bits.
func newSecret() string {
	var random [30]byte
	_, _ = rand.Read(random[:])
	return base64.StdEncoding.EncodeToString(random[:])
}

// Key returns the key of temporary credentials of this package, and for all others what Config.Base returns. It fits
// [sigv4.VerifierConfig].Keys.
//
// It opens the token before the signature is verified, because the token has the secret. So it decides by the token
// alone: one that looks like one of this package, and does not open for the access key, is [sigv4.ErrUnknownKey]. Base
// is not asked about it.
func (k *Keys) Key(ctx context.Context, scope sigv4.Scope) (sigv4.Key, error) {
	if k == nil || len(k.seals) == 0 {
		return sigv4.Key{}, ErrNotConfigured
	}
	token := string(scope.SessionToken)
	if !strings.HasPrefix(token, prefix) {
		return k.base(ctx, scope)
	}
	o, err := k.opened(scope.AccessKeyID, token)
	if err != nil {
		return sigv4.Key{}, err
	}
	if k.config.Revoked != nil {
		revoked, err := k.config.Revoked(ctx, o.session)
		if err != nil {
			return sigv4.Key{}, fmt.Errorf("session: Config.Revoked: %w", err)
		}
		if revoked {
			return sigv4.Key{}, fmt.Errorf("%w: the session was revoked", sigv4.ErrUnknownKey)
		}
	}
	return o.key, nil
}

// base returns the key of credentials that are not of this package.
func (k *Keys) base(ctx context.Context, scope sigv4.Scope) (sigv4.Key, error) {
	if k.config.Base == nil {
		return sigv4.Key{}, sigv4.ErrUnknownKey
	}
	return k.config.Base(ctx, scope)
}

// opened returns what a token of the access key seals. It is remembered, so later requests with the token get the same
// Session. Whether the session has expired is not asked here: package sigv4 compares Expires of the Key each time.
func (k *Keys) opened(accessKeyID, token string) (*opened, error) {
	if o := k.cache.get(token); o != nil {
		// Without this, a remembered token would fit any access key: it is not opened, so nothing checks what it binds.
		if o.accessKeyID != accessKeyID {
			return nil, errToken("belongs to another access key")
		}
		return o, nil
	}
	text, err := open(k.seals, accessKeyID, token)
	if err != nil {
		return nil, err
	}
	c := new(capsule)
	if err := c.read(text); err != nil {
		return nil, err
	}
	token = strings.Clone(token) // it may be a part of a larger header, which would be kept with it
	s := &c.session
	s.AccessKeyID = strings.Clone(accessKeyID)
	o := &opened{accessKeyID: s.AccessKeyID, session: s, key: sigv4.Key{
		Secret: sigv4.Secret(c.secret), Principal: s.Principal, SessionToken: sigv4.Secret(token), Expires: s.Expires,
		Session: s,
	}}
	k.cache.put(token, o)
	return o, nil
}
