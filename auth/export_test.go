package auth

import (
	"context"
	"net/http"
	"time"
)

// VerifySignature checks form, algorithm, key and signature of a JWS, whatever its payload is.
func VerifySignature(keys []byte, raw string) error {
	issuer, err := newIssuerState(Issuer{URL: "https://x.example", Keys: keys, AllowAnyAudience: true}, nil, Config{})
	if err != nil {
		return err
	}
	c, err := cut(raw)
	if err != nil {
		return err
	}
	w := workspaces.New().(*workspace)
	text, err := decodeBase64(w.header[:], c.header)
	if err != nil {
		return err
	}
	h, err := parseHeader(&w.scanner, string(text))
	if err != nil {
		return err
	}
	if h.method, err = method(h.algorithm); err != nil {
		return err
	}
	_, err = issuer.checkSignature(context.Background(), w, newClaimSet(""), c, h, time.Now())
	return err
}

// The private causes, so that tests can tell them apart.
var (
	ErrAlgorithm     = errAlgorithm
	ErrKey           = errKey
	ErrForged        = errForged
	ErrOtherAudience = errOtherAudience
	ErrTokenUse      = errTokenUse
	ErrExpired       = errExpired
	ErrNotYetValid   = errNotYetValid
	ErrRevoked       = errRevoked
	ErrGroup         = errGroup
)

// Leaves reports whether the verifier leaves a word of the request to another mode.
func (v *Verifier) Leaves(r *http.Request) bool { return v.leaves(r) }

// ParseHeader, ParseClaims and ParseKeySet are the parsers, for fuzzing.
func ParseHeader(text string) (algorithm, keyID, typ string, err error) {
	var s scanner
	h, err := parseHeader(&s, text)
	return h.algorithm, h.key.id, h.typ, err
}

func ParseClaims(text string) (Token, error) {
	var s scanner
	t, err := parseClaims(&s, text)
	if err != nil {
		return Token{}, err
	}
	return t.Token, nil
}

func ParseKeySet(text string) (int, error) {
	list, err := parseKeySet([]byte(text), keyRules{use: "sig", maxRSABits: maxRSABits})
	return len(list.keys), err
}

// Decode is the reader of a segment.
func Decode(text string) ([]byte, error) { return decodeBase64(nil, text) }

// Credential is the reader of one Authorization value.
var Credential = credential

// Seek returns the JSON that a path of GroupsClaim leads to.
func Seek(text, path string) (string, bool) {
	var s scanner
	s.reset(text)
	s.exact = true // as claims are read
	if found, _ := s.seek(path); !found {
		return "", false
	}
	start := s.at
	s.skip()
	return s.text[start:s.at], s.err == nil
}

// ParsePEM is the parser of a load balancer's key.
func ParsePEM(text string) (int, error) {
	list, err := balancerKeySet([]byte(text), "k", keyRules{use: "sig", maxRSABits: maxRSABits})
	return len(list.keys), err
}

// ParseDiscovery reads a discovery document.
func ParseDiscovery(text string) (issuer, jwksURI string, err error) {
	d, err := parseDiscovery(text)
	return d.issuer, d.jwksURI, err
}
