package session

import (
	"context"
	"errors"
	"fmt"

	"github.com/tallygate/tallygate/sigv4"
)

// ErrNotConfigured is wrapped by every error about a [Config], and by what the zero [Keys] returns.
var ErrNotConfigured = errors.New("session: not configured")

// Config configures [Keys]. [New] copies it.
type Config struct {
	// SealingKeys are secret keys of 32 random bytes each. The first one seals the tokens of new sessions, and all of
	// them open tokens. At least one is required. To replace a key, put the new one at the end on every node, then at
	// the front on every node, and remove the old one when its last session has expired. One key should seal at most
	// 2^32 tokens. The keys must serve nothing else: another package's Sealer, for example, gets keys of its own.
	SealingKeys []sigv4.Secret

	// Base is the source of permanent keys, such as [sigv4.Keyring.Key]. It is asked if the session token of a request
	// is not one of this package. Nil knows no other keys.
	Base func(context.Context, sigv4.Scope) (sigv4.Key, error)

	// Revoked reports whether a session has been revoked. It is asked for each request, before the signature is
	// verified. An error of it refuses the request with [sigv4.ErrUnavailable]. It must not change the session. Nil
	// revokes none: a session then ends by its expiry only.
	Revoked func(context.Context, *Session) (bool, error)

	// CacheSize is how many opened tokens are remembered, at least. 0 stands for 4096, which take about 5 MB. A request
	// whose session is not remembered takes about twice as long.
	CacheSize int
}

const (
	defaultCache  = 4096    // tokens; with keys and maps some 1.2 kB each
	maxCache      = 1 << 24 // some 20 GB: more is a mistake
	sealingLength = 32      // of an AES-256 key
)

// validate returns every mistake of c, joined. Each wraps [ErrNotConfigured]. No text has a key in it.
func (c *Config) validate() error {
	var mistakes []error
	wrong := func(format string, args ...any) {
		mistakes = append(mistakes, fmt.Errorf("%w: "+format, append([]any{ErrNotConfigured}, args...)...))
	}
	if len(c.SealingKeys) == 0 {
		wrong("Config.SealingKeys is required")
	}
	seen := make(map[sigv4.Secret]bool)
	for i, k := range c.SealingKeys {
		if len(k) != sealingLength {
			wrong("Config.SealingKeys[%d] has %d bytes, want %d", i, len(k), sealingLength)
		}
		if seen[k] {
			wrong("Config.SealingKeys[%d] stands there twice", i)
		}
		seen[k] = true
	}
	if c.CacheSize < 0 || c.CacheSize > maxCache {
		wrong("Config.CacheSize is %d, want 0 to %d", c.CacheSize, maxCache)
	}
	return errors.Join(mistakes...)
}
