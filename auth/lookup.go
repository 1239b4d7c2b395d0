package auth

import (
	"context"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// look is the look-up of one token's keys. keyfunc passes nothing but a context to its storage, so look is that
// context. It carries what the token says to KeyReadAll, and the keys that were found back to the caller of public. It
// is part of a workspace and is used again for other tokens, so that a look-up does not allocate.
type look struct {
	context.Context // of the request
	issuer          *issuerState
	token           *claimSet // not verified yet; only its tenant is used
	name            keyName
	algorithm       *algorithm
	now             time.Time

	found   []*key       // candidates, in the order in which they are to be tried
	more    bool         // there are further ones, beyond maxCandidates
	missing error        // why there are none
	jwks    []jwkset.JWK // the keys of found, as keyfunc needs them
}

// public returns the public keys for a token: those of l.found, in the same order. keyfunc asks KeyReadAll for the
// keys, and converts them. If there are none, the error is nil, and l.missing says why.
func (s *keySet) public(l *look) ([]jwt.VerificationKey, error) {
	set, err := s.keyfunc.VerificationKeySet(l)
	return set.Keys, err
}

// KeyReadAll implements [jwkset.Storage] for a look. It returns only the keys that may have signed the token, so that
// not every key of the set is converted and tried. Without a look there is no token, and no key is found.
func (s *keySet) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	l, ok := ctx.(*look)
	if !ok {
		return nil, jwkset.ErrKeyNotFound
	}
	if err := s.find(l); err != nil {
		return nil, err
	}
	l.jwks = l.jwks[:0]
	for _, k := range l.found {
		l.jwks = append(l.jwks, k.jwk)
	}
	return l.jwks, nil
}
