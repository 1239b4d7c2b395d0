package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
)

// When key sets are fetched.
const (
	defaultTTL   = 15 * time.Minute // of a key set whose answer has no Cache-Control
	minTTL       = refetchPause
	maxTTL       = 24 * time.Hour
	refetchPause = 10 * time.Second // between two fetches while keys are held, whatever tokens ask for
	retryPause   = time.Second      // after a failed fetch while none are fit for use
	never        = 100 * 365 * 24 * time.Hour
)

// keySet is the keys of one issuer: the [jwkset.Storage] that keyfunc looks keys up in. It is fetched when a request
// needs it, which waits; one fetch at a time; the others go on with the keys there are, and wait only if they cannot
// be answered without.
type keySet struct {
	jwkset.Storage // what the interface has beyond reading: not used
	keyfunc        keyfunc.Keyfunc

	fetch    source // nil: the keys are fixed
	maxStale time.Duration
	current  atomic.Pointer[snapshot] // nil: none yet

	mu     sync.Mutex
	flight chan struct{} // closed when the fetch under way ends; nil: none is
	pause  time.Time     // no fetch before
	failed error         // how the last fetch ended
}

// snapshot is the keys of one fetch. Immutable.
type snapshot struct {
	keys  []*key
	due   time.Time // to be fetched anew from here on
	stale time.Time // not to be used from here on
}

func newKeySet(fetch source, maxStale time.Duration) (s *keySet, err error) {
	s = &keySet{Storage: jwkset.NewMemoryStorage(), fetch: fetch, maxStale: maxStale}
	s.keyfunc, err = keyfunc.New(keyfunc.Options{Storage: s, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	return s, err
}

// fix sets the keys for good.
func (s *keySet) fix(keys []*key) {
	end := time.Now().Add(never)
	s.current.Store(&snapshot{keys, end, end})
}

// ready makes sure that there are keys fit for use. While they are fresh it costs one load and one comparison.
func (s *keySet) ready(ctx context.Context, now time.Time) (*snapshot, error) {
	snap := s.current.Load()
	if snap != nil && now.Before(snap.due) {
		return snap, nil
	}
	usable := snap != nil && now.Before(snap.stale)
	err := s.refresh(ctx, now, !usable)
	if snap = s.current.Load(); snap == nil || !time.Now().Before(snap.stale) {
		return nil, s.unavailable(err)
	}
	return snap, nil
}

// find returns the key of a name. An unknown one is worth a fetch: the issuer may have changed its keys.
func (s *keySet) find(ctx context.Context, name keyName, now time.Time) (*key, error) {
	snap, err := s.ready(ctx, now)
	if err != nil {
		return nil, err
	}
	if k := snap.find(name); k != nil || s.fetch == nil || name.id == "" {
		return k, nil
	}
	if err := s.refresh(ctx, now, true); err != nil {
		return nil, s.unavailable(err)
	}
	return s.current.Load().find(name), nil
}

// find returns the key of a name. Without a kid only a set of one key is unambiguous.
func (s *snapshot) find(name keyName) *key {
	if name.id == "" {
		if len(s.keys) == 1 && s.keys[0].name.kty == name.kty {
			return s.keys[0]
		}
		return nil
	}
	for _, k := range s.keys {
		if k.name == name {
			return k
		}
	}
	return nil
}

// refresh fetches the set, unless it was fetched within the pause; then the outcome of that fetch stands. If a fetch
// is under way it waits for it or, if wait is false, leaves it alone. No wait is longer than ctx.
func (s *keySet) refresh(ctx context.Context, now time.Time, wait bool) error {
	if s.fetch == nil {
		return nil
	}
	s.mu.Lock()
	if now.Before(s.pause) {
		defer s.mu.Unlock()
		return s.failed
	}
	flight := s.flight
	if flight != nil && !wait {
		s.mu.Unlock()
		return nil
	}
	if flight == nil {
		flight = make(chan struct{})
		s.flight = flight
		go s.fly(context.WithoutCancel(ctx))
	}
	s.mu.Unlock()
	return s.join(ctx, flight)
}

// join waits for the fetch under way, for as long as the request lasts.
func (s *keySet) join(ctx context.Context, flight chan struct{}) error {
	select {
	case <-flight:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.failed
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

var errUnfinished = errors.New("fetch did not end")

// fly performs the one fetch under way. It has a goroutine and a time limit of its own: it outlives the request that
// began it, for the sake of those that wait. A transport that panics, or ends the goroutine, does not leave them
// waiting, nor end the program.
func (s *keySet) fly(ctx context.Context) {
	var got *fetched
	err := errUnfinished
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("fetch panicked: %v", p)
		}
		s.land(got, err)
	}()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	got, err = s.fetch(ctx)
}

// land takes over what the fetch brought.
func (s *keySet) land(got *fetched, err error) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed = err; err == nil {
		s.install(got, now)
	}
	s.pause = now.Add(refetchPause)
	if snap := s.current.Load(); err != nil && (snap == nil || !now.Before(snap.stale)) {
		s.pause = now.Add(retryPause)
	}
	close(s.flight)
	s.flight = nil
}

// install makes fetched keys current. A key that is still there stays the same object; the others are retired, and
// with them every cached token that they signed.
func (s *keySet) install(got *fetched, now time.Time) {
	var before []*key
	if old := s.current.Load(); old != nil {
		before = old.keys
	}
	for i, k := range got.keys {
		if j := slices.IndexFunc(before, k.same); j >= 0 {
			got.keys[i] = before[j]
		}
	}
	due := now.Add(got.ttl)
	s.current.Store(&snapshot{got.keys, due, due.Add(s.maxStale)})
	for _, k := range before {
		if !slices.Contains(got.keys, k) {
			k.retired.Store(true)
		}
	}
}

// unavailable is the answer where nothing can be known for want of keys.
func (s *keySet) unavailable(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &Error{Err: ErrUnavailable, RetryAfter: max(time.Until(s.pause), 0)}
	if err != nil {
		e.Err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return e
}

// look is one token's look-up in a key set: the context under which keyfunc asks the set for a key. It carries what
// the token says there, and back which key it was.
type look struct {
	context.Context
	token jwt.Token
	name  keyName
	now   time.Time
	found *key
}

// public looks a token's key up through keyfunc, which also holds the token's alg against the JWK's.
func (s *keySet) public(l *look, algorithm any) (any, error) {
	clear(l.token.Header)
	l.token.Header["alg"] = algorithm
	if l.name.id != "" {
		l.token.Header[jwkset.HeaderKID] = l.name.id
	}
	public, err := s.keyfunc.KeyfuncCtx(l)(&l.token)
	if all, ok := public.(jwt.VerificationKeySet); ok && err == nil {
		public = all.Keys[0] // of the one key that the look-up found
	}
	return public, err
}

// KeyRead implements [jwkset.Storage] for look-ups.
func (s *keySet) KeyRead(ctx context.Context, _ string) (jwkset.JWK, error) {
	l, ok := ctx.(*look)
	if !ok {
		return jwkset.JWK{}, jwkset.ErrKeyNotFound
	}
	k, err := s.find(l.Context, l.name, l.now)
	if err != nil {
		return jwkset.JWK{}, err
	}
	if k == nil {
		return jwkset.JWK{}, jwkset.ErrKeyNotFound
	}
	l.found = k
	return k.jwk, nil
}

// KeyReadAll implements [jwkset.Storage]; keyfunc asks for all keys where a token names none.
func (s *keySet) KeyReadAll(ctx context.Context) ([]jwkset.JWK, error) {
	jwk, err := s.KeyRead(ctx, "")
	return []jwkset.JWK{jwk}, err
}
