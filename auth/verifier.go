package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/MicahParks/jwkset"
)

const (
	maxLeeway    = 5 * time.Minute
	defaultStale = 24 * time.Hour
)

// Config is what a [Verifier] is made of.
type Config struct {
	// Issuers whose tokens are accepted; at least one. No two may share a name.
	Issuers []Issuer
	// Rules that every token must meet. The zero value demands nothing further. [Verifier.With] adds rules for a
	// route.
	Rules Rules
	// Leeway allows for clocks that differ, in exp, nbf, iat and auth_time. Zero allows none, as API Gateway; at most five
	// minutes.
	Leeway time.Duration

	// Source finds the token in a request; false means that there is none. It may be called twice for one request. A
	// bearer token in the Authorization header next to another one that Source finds is one too many: [ErrAmbiguous].
	// Nil means the Authorization header: "Bearer" and the token, or the token alone, as API Gateway accepts it.
	Source func(*http.Request) (string, bool)
	// Foreign reports whether a word in the Authorization header, after Bearer or alone, is left to another mode of
	// [AnyOf], such as an opaque token that a TOKEN authorizer of auth/custom looks up. The verifier then presents no
	// token. Its own Verify refuses such a word as [ErrMalformed], and so does AnyOf if no other mode claims it.
	// Foreign must not claim JWTs, and must be quick: it sees whatever a client sends, several times a request, but never
	// an empty word. It may not be set together with Source. Nil: every word is this verifier's.
	Foreign func(word string) bool
	// Revoked is asked about every token that is otherwise accepted, also about one seen before; true refuses with
	// [ErrRevoked], an error with [ErrUnavailable]. Nil: nothing is revoked. A JWT itself does not show that it was
	// revoked.
	Revoked func(context.Context, *Token) (bool, error)
	// ErrorHandler writes the answer to a refusal, after [Error.SetHeader] has been called. Nil means
	// [Error.ServeHTTP]; see also [HTTPAPI], [AppSync] and [Bearer].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
	// AllowDespite is asked by Handler after a refusal: true calls the next handler nevertheless, with a request that
	// carries no token, not even that of an outer verifier. A dry run returns true, and one that fails open tests the
	// error. Verify and Authenticate still refuse. Nil means never.
	AllowDespite func(*http.Request, error) bool

	// Transport fetches key sets. Nil means [http.DefaultTransport]. It must observe the context of its requests, by
	// which time is bounded; size and redirects are bounded whatever it is. If it panics, the fetch has failed.
	Transport http.RoundTripper
	// FetchTimeout bounds the fetch of a key set, and that of a discovery document before it. Zero means 1.5 seconds for
	// each, as API Gateway waits; at most one minute. A request that cannot be answered without keys may wait so long
	// twice.
	FetchTimeout time.Duration
	// AllowHTTP fetches key sets over http too: for tests and emulators.
	AllowHTTP bool
	// MaxStale is how long keys are used beyond their time while the issuer's key server fails. Zero means 24 hours,
	// negative not at all.
	MaxStale time.Duration

	// CacheBytes bounds the memory of tokens seen before, within a few per cent. Zero means 32 MiB, about 20 000
	// tokens; negative remembers none. It is divided into 64 parts, so less than 1 MiB is of little use: a token takes
	// its claims set and some 800 bytes, or some 13 000 bytes if its claims set has more than 6 KiB, and its own length
	// with AllowRawCache. One that takes more than a part is not remembered.
	CacheBytes int
	// AllowRawCache keeps whole bearer tokens in memory to recognise them faster. False keeps their SHA-256.
	AllowRawCache bool
}

// Verifier accepts requests that bring a valid token. Make one with [New]; the zero value refuses everything with
// [ErrNotConfigured]. Safe for concurrent use.
type Verifier struct {
	core  *core
	rules []Rules // all must be met
}

// core is what a verifier and those made by With share.
type core struct {
	issuers      map[string]*party // by each of its names
	parties      []*party
	leeway       time.Duration
	source       func(*http.Request) (string, bool)
	revoked      func(context.Context, *Token) (bool, error)
	foreign      func(string) bool
	errorHandler func(http.ResponseWriter, *http.Request, error)
	allowDespite func(*http.Request, error) bool
	cache        *cache
	padded       bool // a load balancer's tokens are accepted
}

// New makes a verifier. It copies the config and reports all mistakes at once. Nothing is fetched yet; see
// [Verifier.Prefetch].
func New(c Config) (*Verifier, error) {
	var errs []error
	if c.Leeway < 0 || c.Leeway > maxLeeway {
		errs = append(errs, fmt.Errorf("leeway %v is not between 0 and %v", c.Leeway, maxLeeway))
	}
	if c.Foreign != nil && c.Source != nil {
		errs = append(errs, errors.New("both Foreign and Source are set: a Source returns false for what it leaves"))
	}
	if c.FetchTimeout < 0 || c.FetchTimeout > maxFetchTimeout {
		errs = append(errs, fmt.Errorf("fetch timeout %v is not between 0 and %v", c.FetchTimeout, maxFetchTimeout))
	}
	if c.FetchTimeout == 0 {
		c.FetchTimeout = defaultFetchTimeout
	}
	if c.MaxStale == 0 {
		c.MaxStale = defaultStale
	}
	c.MaxStale = max(c.MaxStale, 0)
	k := &core{
		leeway: c.Leeway, source: c.Source, revoked: c.Revoked, foreign: c.Foreign,
		errorHandler: c.ErrorHandler, allowDespite: c.AllowDespite,
		cache: newCache(c.CacheBytes, c.AllowRawCache),
	}
	errs = append(errs, c.Rules.validate(), k.addIssuers(c))
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return &Verifier{k, []Rules{c.Rules.copy()}}, nil
}

func (k *core) addIssuers(c Config) error {
	k.issuers = map[string]*party{}
	if len(c.Issuers) == 0 {
		return errors.New("no issuer is accepted: set Issuers")
	}
	f := newFetcher(c)
	var errs []error
	for _, is := range c.Issuers {
		p, err := newParty(is, f, c)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		k.parties = append(k.parties, p)
		if p.kind == kindALB { // found by its ARN: its issuer's own tokens are not its
			k.padded = true
			if slices.ContainsFunc(k.parties[:len(k.parties)-1], p.sameBalancer) {
				errs = append(errs, fmt.Errorf("issuer %q is named twice for one load balancer", p.URL))
			}
			continue
		}
		for _, name := range append([]string{p.URL}, p.Aliases...) {
			if k.issuers[name] != nil {
				errs = append(errs, fmt.Errorf("issuer %q is named twice", name))
			}
			k.issuers[name] = p
		}
	}
	return errors.Join(errs...)
}

// With returns a verifier for a route that demands more: the rules hold together with those of v. It shares keys, tokens
// seen before, source and ErrorHandler with v, and replaces it on that route: it authenticates and authorises in one
// step.
func (v *Verifier) With(r Rules) (*Verifier, error) {
	if v == nil || v.core == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("auth: %w", err)
	}
	return &Verifier{v.core, append(slices.Clip(v.rules), r.copy())}, nil
}

// Prefetch fetches the keys of every issuer that has none yet, all at the same time: for a Lambda function's init
// phase, or to fail at start. Without it the first request fetches. If ctx ends before, Prefetch returns, and the
// fetches go on until their own time limit. Its errors are [Error] values that wrap [ErrUnavailable], joined.
func (v *Verifier) Prefetch(ctx context.Context) error {
	if v == nil || v.core == nil {
		return &Error{Err: ErrNotConfigured}
	}
	errs := make([]error, len(v.core.parties))
	var wg sync.WaitGroup
	for i, p := range v.core.parties {
		if p.keys != nil { // a load balancer's are not known before its tokens are
			wg.Go(func() { _, errs[i] = p.keys.ready(ctx, time.Now()) })
		}
	}
	wg.Wait()
	return errors.Join(errs...)
}

// VerifyToken decides about a token that did not come in an HTTP request. It is the token alone, without "Bearer". The error is an [*Error].
func (v *Verifier) VerifyToken(ctx context.Context, raw string) (*Token, error) {
	if v == nil || v.core == nil {
		return nil, &Error{Err: ErrNotConfigured}
	}
	now := time.Now()
	t, p, err := v.core.genuine(ctx, raw, now)
	if err != nil {
		return nil, err
	}
	if err := v.permitted(ctx, t, p, now); err != nil {
		return nil, err
	}
	return t, nil
}

// permitted decides what is decided anew on every request: times, revocation, rules.
func (v *Verifier) permitted(ctx context.Context, t *Token, p *party, now time.Time) error {
	if err := v.core.timely(t, now); err != nil {
		return &Error{Err: err, Token: t}
	}
	if !p.allows(t) {
		return &Error{Err: ErrIssuer, Token: t}
	}
	if v.core.revoked != nil {
		if err := v.core.checkRevoked(ctx, t); err != nil {
			return err
		}
	}
	grouped := !p.DenyByDefault
	for i := range v.rules {
		if t.lookalikes != 0 && t.lookalikes&v.rules[i].reads() != 0 {
			return &Error{Err: errCase, Token: t}
		}
		if err := v.rules[i].check(ctx, t, now); err != nil {
			return err
		}
		grouped = grouped || len(v.rules[i].AnyGroup) > 0
	}
	if !grouped {
		return &Error{Err: ErrGroup, Token: t}
	}
	return nil
}

// reads tells which claims decide whether a token meets the rules.
func (r *Rules) reads() (set claims) {
	if r.TokenUse != "" {
		set |= claimUse | claimType
	}
	if len(r.AnyScope)+len(r.AllScopes) > 0 {
		set |= claimScope
	}
	if r.MaxAuthAge > 0 {
		set |= claimAuthTime
	}
	if len(r.AnyGroup) > 0 {
		set |= claimGroups
	}
	return set
}

// timely checks the times of RFC 7519 sections 4.1.4 to 4.1.6, and that of OpenID Connect Core section 2 at which the
// user signed in: one in the future would never be too old.
func (k *core) timely(t *Token, now time.Time) error {
	early, late := now, now
	if k.leeway > 0 {
		early, late = now.Add(-k.leeway), now.Add(k.leeway)
	}
	switch {
	case !early.Before(t.expiry):
		return ErrExpired
	case late.Before(t.notBefore), late.Before(t.issuedAt), late.Before(t.authTime):
		return ErrNotYetValid
	}
	return nil
}

func (k *core) checkRevoked(ctx context.Context, t *Token) error {
	revoked, err := k.revoked(ctx, t)
	switch {
	case err != nil:
		return &Error{Err: fmt.Errorf("%w: %w", ErrUnavailable, err), Token: t}
	case revoked:
		return &Error{Err: ErrRevoked, Token: t}
	}
	return nil
}

// genuine finds out whether a token is what its issuer issued for one of the accepted audiences, at any time. The
// order: form, issuer, algorithm, key, signature, claims.
func (k *core) genuine(ctx context.Context, raw string, now time.Time) (*Token, *party, error) {
	if k.cache == nil || len(raw) > maxToken {
		e, err := k.verify(ctx, raw, now)
		return e.token, e.party, err
	}
	f := k.cache.fingerprint(raw)
	if e := k.cache.get(&f); e != nil {
		// The keys must be fresh for a hit too; fetching them may just have retired this one.
		keys, err := e.party.keysOf(e.token.keyID, now)
		if err == nil {
			_, err = keys.ready(ctx, now)
		}
		if err != nil {
			return nil, nil, err
		}
		if !e.key.retired.Load() {
			return e.token, e.party, nil
		}
	}
	e, err := k.verify(ctx, raw, now)
	if err == nil && k.timely(e.token, now) == nil {
		k.cache.put(f, e.token, e.key, e.party)
	}
	return e.token, e.party, err
}

// workspace is what verifying one token takes and does not keep. It is large, so it is used again, and not on the
// stack.
type workspace struct {
	scanner   scanner
	look      look
	header    [maxHeader]byte
	signature [maxSignature]byte
	long      []byte // for a long payload; nil: none yet, or a token has it
}

// longPayload is more bytes than most genuine tokens have.
const longPayload = 6 << 10

// roomFor is how many bytes are taken for a payload of n bytes.
func roomFor(n int) int {
	if n <= longPayload {
		return n
	}
	return maxClaims
}

// room returns where to decode a payload of n bytes to. The longest are forged more often than not, so their room is
// used again unless the token turns out genuine.
func (w *workspace) room(n int) []byte {
	if n <= longPayload {
		return make([]byte, 0, n)
	}
	if w.long == nil {
		w.long = make([]byte, 0, roomFor(n))
	}
	return w.long
}

var workspaces = sync.Pool{New: func() any {
	return &workspace{look: look{found: make([]*key, 0, maxCandidates), jwks: make([]jwkset.JWK, 0, maxCandidates)}}
}}

// release forgets the token: neither a request nor a bearer token stays alive by what the pool holds.
func (w *workspace) release() {
	w.look.Context, w.look.token, w.look.name, w.scanner.text = nil, nil, keyName{}, ""
	clear(w.signature[:])
	workspaces.Put(w)
}

// verify is the long way.
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
	p := k.partyOf(t, h)
	switch {
	case p == nil:
		return entry{}, strange(t.issuer)
	case c.padded && p.kind != kindALB:
		return entry{}, &Error{Err: errBase64}
	case h.typ == "jose" && p.kind != kindSPIFFE:
		return entry{}, &Error{Err: errType}
	}
	found, err := p.verify(ctx, w, t, c, h, now)
	if err != nil {
		return entry{}, err
	}
	// For a text beyond ASCII this is an eighth of what the longest token costs, so forged ones do without.
	if !utf8.ValidString(t.payload) {
		return entry{}, &Error{Err: errUTF8}
	}
	w.long = nil // the token is genuine and keeps its payload
	t.algorithm = h.method.name
	if h.key.id != "" {
		t.keyID = found.name.id // the same, and not part of the decoded header, which need not stay in memory
	}
	if err := p.admit(t, h); err != nil {
		return entry{}, &Error{Err: err, Token: t}
	}
	return entry{token: t, key: found, party: p}, nil
}

// partyOf is the issuer that a token names, or nil.
func (k *core) partyOf(t *Token, h header) *party {
	if p := k.ofBalancer(h.balanced); p != nil {
		return p
	}
	if t.issuer == "" { // JWT-SVIDs need none
		return k.ofWorkload(t)
	}
	if p := k.issuers[t.issuer]; p != nil && len(p.templates) == 0 {
		return p
	}
	return k.ofTenant(t)
}

// read parses header and claims. Reading claims before the signature is checked is what naming the issuer takes;
// nothing is believed until then.
func (w *workspace) read(c compact) (*Token, header, error) {
	text, err := decode(w.header[:], c.header)
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
	w.scanner.values += len(text) / spareBytes // claims cannot be shorter by what the header takes
	payload, err := decode(w.room(strict.DecodedLen(len(c.payload))), c.payload)
	if err != nil {
		return nil, header{}, err
	}
	// These bytes do not change while the token lives, so they need not be copied to be a string.
	t, err := readClaims(&w.scanner, unsafe.String(unsafe.SliceData(payload), len(payload)))
	return t, h, err
}

var errNoExpiry = narrow(ErrMalformed, "no exp")

// admit checks the claims that decide once and for all, and completes the token.
func (p *party) admit(t *Token, h header) error {
	switch p.kind {
	case kindALB:
		if err := p.adopt(t, h.balanced); err != nil {
			return err
		}
	case kindSPIFFE:
		if err := p.admitSVID(t, h); err != nil {
			return err
		}
	}
	switch {
	case t.expiry.IsZero():
		return errNoExpiry
	case t.lookalikes&p.reads(t) != 0:
		return errCase
	}
	t.mark(h, p.kind == kindCognito)
	if err := p.accepts(t); err != nil {
		return err
	}
	t.name(p.issuerOf(t))
	if p.kind == kindAWS {
		t.principal()
	}
	return p.groups(t)
}

// reads tells which claims decide whether the issuer's settings accept the token, besides iss and aud.
func (p *party) reads(t *Token) (set claims) {
	switch p.kind {
	case kindCognito:
		set |= claimUse | claimClient
	case kindSPIFFE:
		set |= claimSubject // names the trust domain
	}
	if p.AllowClientID && t.audience == nil {
		set |= claimClient | claimParty
	}
	if len(p.templates) > 0 {
		set |= claimTenant
	}
	return set
}

// errManyKeys is the cause where a forged signature and one of a key that was not tried look alike.
var errManyKeys = narrow(ErrSignature, "more keys fit the token than are tried")

// verify checks the signature with the issuer's own keys, of which several may fit.
func (p *party) verify(ctx context.Context, w *workspace, t *Token, c compact, h header, now time.Time) (*key, error) {
	if !p.may(h.method) {
		return nil, &Error{Err: ErrAlgorithm}
	}
	l := &w.look
	l.Context, l.party, l.token, l.name, l.algorithm, l.now = ctx, p, t, h.key, h.method, now
	keys, err := p.keysOf(h.key.id, now)
	if err != nil {
		return nil, err
	}
	public, err := keys.public(l)
	if err != nil {
		if own, ok := errors.AsType[*Error](err); ok {
			return nil, own
		}
		return nil, &Error{Err: ErrKey}
	}
	if len(public) == 0 {
		return nil, &Error{Err: l.missing}
	}
	signature, err := decode(w.signature[:], c.signature)
	if err != nil {
		return nil, &Error{Err: err}
	}
	for i, key := range public {
		if h.method.Verify(c.signed, signature, key) == nil {
			return l.found[i], nil
		}
	}
	if l.more {
		return nil, &Error{Err: errManyKeys}
	}
	return nil, &Error{Err: ErrSignature}
}
