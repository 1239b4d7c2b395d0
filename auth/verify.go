package auth

import (
	"context"
	"errors"
	"time"
	"unicode/utf8"
	"unsafe"
)

var (
	errNoExpiry = narrow(ErrMalformed, "no exp")
	// errManyKeys is the cause where a forged signature cannot be told from one by a key that was not tried.
	errManyKeys = narrow(errForged, "more keys fit the token than are tried")
)

// authentic checks that a token was issued by its issuer for one of the accepted audiences, at any time. It returns the
// token and its issuer from the cache if the token was verified before and its key is still in the key set.
//
// Only the signature and the issuer's settings are remembered, because they do not change while the key is in the set.
// A token that is not valid now is not remembered: it would push out one that is.
func (k *core) authentic(ctx context.Context, raw string, now time.Time) (*claimSet, *issuerState, error) {
	if k.cache == nil || len(raw) > maxToken {
		e, err := k.verify(ctx, raw, now)
		return e.token, e.issuer, err
	}
	f := k.cache.fingerprint(raw)
	if e := k.cache.get(&f); e != nil {
		// The keys must be fresh for a cached token too: a fetch may just have retired its key.
		keys, err := e.issuer.keysOf(e.token.KeyID, now)
		if err == nil {
			_, err = keys.ready(ctx, now)
		}
		if err != nil {
			return nil, nil, err
		}
		if !e.key.retired.Load() {
			return e.token, e.issuer, nil
		}
	}
	e, err := k.verify(ctx, raw, now)
	if err == nil && k.checkTimes(e.token, now) == nil {
		k.cache.put(f, e.token, e.key, e.issuer)
	}
	return e.token, e.issuer, err
}

// verify is authentic without the cache. It checks, in this order: form, issuer, algorithm, key, signature, claims.
//
// Cheap checks come first, since anyone can send a token. A forged one therefore costs no more than one signature for
// each key that fits it. The claims come after the signature: until then anyone may have written them, and an error
// must not repeat them. The one exception is iss, which an operator needs if an issuer is not configured.
func (k *core) verify(ctx context.Context, raw string, now time.Time) (e entry, err error) {
	c, err := cut(raw)
	if err != nil {
		return entry{}, &Error{Err: err}
	}
	if k.padded {
		c.unpad()
	}
	w := workspaces.Get().(*workspace)
	defer w.release()
	t, h, err := w.read(c)
	if err != nil {
		return entry{}, &Error{Err: err}
	}
	issuer, err := k.acceptedIssuer(t, c, h)
	if err != nil {
		return entry{}, err
	}
	found, err := issuer.checkSignature(ctx, w, t, c, h, now)
	if err != nil {
		return entry{}, err
	}
	// This check comes after the signature so that forged tokens do not pay for it: for text that is not ASCII it takes
	// an eighth of the time of the longest token.
	if !utf8.ValidString(t.payload) {
		return entry{}, &Error{Err: errUTF8}
	}
	w.long = nil // the token is authentic and keeps its payload
	t.Algorithm = h.method.name
	if h.key.id != "" {
		t.KeyID = found.name.id // equal to h.key.id, which is part of the decoded header and would keep it in memory
	}
	err = issuer.admit(t, h)
	t.derive() // of a refused token too: its Error names the client
	if err != nil {
		return entry{}, t.refuse(err)
	}
	return entry{token: t, key: found, issuer: issuer}, nil
}

// acceptedIssuer returns the issuer of a token. Padding and typ JOSE were let through before the issuer was known. Each
// belongs to one kind of issuer only.
func (k *core) acceptedIssuer(t *claimSet, c compact, h header) (*issuerState, error) {
	issuer := k.issuerFor(t, h)
	switch {
	case issuer == nil:
		return nil, unknownIssuer(t.Issuer)
	case c.padded && issuer.kind != kindALB:
		return nil, &Error{Err: errBase64}
	case h.typ == "jose" && issuer.kind != kindSPIFFE:
		return nil, &Error{Err: errType}
	}
	return issuer, nil
}

// issuerFor returns the issuer that a token names, or nil. The token is not verified yet, so it may name any of them.
// That is safe because only the keys of the issuer that it names verify it.
//
// A load balancer comes first: it is named by the header, while the claims may have the iss of the provider behind it.
// An exact name comes before a template, so that one tenant can be configured apart from the others.
func (k *core) issuerFor(t *claimSet, h header) *issuerState {
	if issuer := k.findBalancer(h.balanced); issuer != nil {
		return issuer
	}
	if t.Issuer == "" { // JWT-SVIDs need no iss
		return k.findTrustDomain(t)
	}
	if issuer := k.byName[t.Issuer]; issuer != nil && len(issuer.templates) == 0 {
		return issuer
	}
	return k.findTenant(t)
}

// read parses header and claims. The claims must be read before the signature is checked because iss says whose keys
// check it. Nothing else in them is used before that check.
func (w *workspace) read(c compact) (*claimSet, header, error) {
	text, err := decodeBase64(w.header[:], c.header) // into the workspace: the token keeps none of it
	if err != nil {
		return nil, header{}, err
	}
	h, err := parseHeader(&w.scanner, string(text))
	if err != nil {
		return nil, header{}, err
	}
	if h.method, err = method(h.algorithm); err != nil {
		return nil, header{}, err
	}
	// readClaims grants more values to short claims. A long header may not be the reason that they are short.
	w.scanner.values += len(text) / spareBytes
	payload, err := decodeBase64(w.payloadBuffer(strict.DecodedLen(len(c.payload))), c.payload)
	if err != nil {
		return nil, header{}, err
	}
	// The bytes do not change while the token exists, so the conversion to a string needs no copy.
	t, err := readClaims(&w.scanner, unsafe.String(unsafe.SliceData(payload), len(payload)))
	return t, h, err
}

// checkSignature checks the signature with the issuer's keys and returns the key that made it. Several keys may fit,
// for example those of a token without a kid; they are tried in the order of the key set, at most maxCandidates of
// them.
func (s *issuerState) checkSignature(
	ctx context.Context, w *workspace, t *claimSet, c compact, h header, now time.Time,
) (*key, error) {
	if !s.allowsAlgorithm(h.method) {
		return nil, &Error{Err: errAlgorithm}
	}
	l := &w.look
	l.Context, l.issuer, l.token, l.name, l.algorithm, l.now = ctx, s, t, h.key, h.method, now
	keys, err := s.keysOf(h.key.id, now)
	if err != nil {
		return nil, err
	}
	public, err := keys.public(l)
	if err != nil {
		if own, ok := errors.AsType[*Error](err); ok {
			return nil, own
		}
		return nil, &Error{Err: errKey}
	}
	if len(public) == 0 {
		return nil, &Error{Err: l.missing}
	}
	signature, err := decodeBase64(w.signature[:], c.signature) // after the look-up: without a key it is not needed
	if err != nil {
		return nil, &Error{Err: err}
	}
	for i, key := range public {
		if h.method.Verify(c.signed, signature, key) == nil {
			return l.found[i], nil
		}
	}
	if l.more { // the operator should know that the token may be good
		return nil, &Error{Err: errManyKeys}
	}
	return nil, &Error{Err: errForged}
}
