package authtest

import (
	"fmt"
	"net/url"
	"sync"
	"time"
)

// Issuer issues tokens and serves the documents with which they are verified. It is safe for concurrent use.
type Issuer struct {
	url string

	mu      sync.Mutex
	keys    *keyring   // the keys that sign
	old     []*keyring // the keys that do not sign any more but are still in the key set
	status  int        // see Fail
	delay   time.Duration
	fetches int
}

// New returns an issuer with new keys: two of RSA with 2048 bits, one of P-256 and one of Ed25519. Its tokens have the
// URL issuer as iss. The URL must be absolute, but the issuer may be served elsewhere. The URL may contain Microsoft
// Entra's {tenantid}; then the claims given to [Issuer.Sign] must include iss and tid.
func New(issuer string) (*Issuer, error) {
	if u, err := url.Parse(issuer); err != nil || u.Scheme == "" || u.Host == "" {
		return nil, fmt.Errorf("authtest: %q is not an absolute URL", issuer)
	}
	keys, err := newKeyring()
	if err != nil {
		return nil, fmt.Errorf("authtest: %w", err)
	}
	return &Issuer{url: issuer, keys: keys}, nil
}

// URL returns the issuer's URL, as given to [New].
func (i *Issuer) URL() string { return i.url }

// JWKS returns the current key set as a JSON document (RFC 7517).
func (i *Issuer) JWKS() []byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.document()
}

// document returns the key set, with the keys that sign first. The caller must hold mu.
func (i *Issuer) document() []byte {
	all := i.keys.signers()
	for _, k := range i.old {
		all = append(all, k.signers()...)
	}
	return document(all...)
}

// Rotate replaces all keys at once, as an issuer does after its keys were stolen. The old keys are no longer in the key
// set: once a verifier has fetched it again, it refuses the tokens that they signed. Planned rotations are made by
// [Issuer.RotateWithOverlap].
//
// A verifier fetches the new keys when a token names one of them, but not within 10 seconds of its last fetch. Until
// then it refuses such a token with 401. A test does not have to wait for that: in a bubble of testing/synctest, with
// the issuer as [auth.Config].Transport, time.Sleep takes no time.
//
// [auth.Config]: https://pkg.go.dev/github.com/tallygate/tallygate/auth#Config
func (i *Issuer) Rotate() error { return i.rotate(false) }

// RotateWithOverlap signs with new keys from now on and leaves the old ones in the key set, as issuers do in a planned
// rotation. So the tokens that the old keys signed remain valid. [Issuer.Retire] ends the overlap.
func (i *Issuer) RotateWithOverlap() error { return i.rotate(true) }

// rotate generates new keys, and keeps the old ones in the key set if overlap is true.
func (i *Issuer) rotate(overlap bool) error {
	keys, err := newKeyring()
	if err != nil {
		return fmt.Errorf("authtest: %w", err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if overlap {
		i.old = append(i.old, i.keys)
	} else {
		i.old = nil
	}
	i.keys = keys
	return nil
}

// Retire removes from the key set all keys that do not sign any more. A verifier uses them until its next fetch, up to
// 15 minutes later. The request that starts that fetch is still verified with the old set. So a test in a bubble of
// testing/synctest sleeps for 15 minutes, verifies any token, and calls synctest.Wait: then the old tokens are refused.
func (i *Issuer) Retire() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.old = nil
}

// ring returns the keys that sign.
func (i *Issuer) ring() *keyring {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys
}
