package auth

import (
	"context"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"
)

// look is the look-up of one token's keys. keyfunc passes nothing but a context to the storage, so look is that
// context: it carries what the token says to KeyReadAll, and the keys that were found back.
type look struct {
	context.Context
	issuer    *issuerState
	token     *claimSet // not verified yet
	name      keyName
	algorithm *algorithm
	now       time.Time

	found   []*key // candidates, in the order in which they are to be tried
	more    bool   // there are further ones, beyond maxCandidates
	missing error  // why there are none
	jwks    []jwkset.JWK
}

// public returns the public keys for a token, as keyfunc has found them. They are those of l.found, in the same order.
func (s *keySet) public(l *look) ([]jwt.VerificationKey, error) {
	set, err := s.keyfunc.VerificationKeySet(l)
	return set.Keys, err
}

// KeyReadAll implements [jwkset.Storage] for a look. It returns only the keys that may have signed the token.
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
