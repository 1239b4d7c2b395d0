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

	// maxLate is how long after their time the keys there are judge requests while others are fetched. Then one request
	// waits for the fetch that it begins: a process that is frozen as soon as it has answered, as on Lambda, would
	// otherwise never finish one, and use keys that the issuer has withdrawn until they are stale.
	maxLate = time.Hour
)

// maxCandidates bounds the keys that are tried for one token, and so what a forged one costs.
const maxCandidates = 4

// keySet is the keys of one issuer: the [jwkset.Storage] that keyfunc looks keys up in. It is fetched because a request
// needs it; one fetch at a time. Requests go on with the keys there are, and wait only if they cannot be answered
// without.
type keySet struct {
	jwkset.Storage // what the interface has beyond reading: not used
	keyfunc        keyfunc.Keyfunc

	fetch     source        // nil: the keys are fixed
	maxFlight time.Duration // that fetch takes while the process runs
	maxStale  time.Duration
	current   atomic.Pointer[snapshot] // nil: none yet

	mu     sync.Mutex
	flight chan struct{} // closed when the fetch under way ends; nil: none is
	pause  time.Time     // no fetch before
	late   time.Time     // from here on a request waits for the fetch that it begins
	failed error         // how the last fetch ended
}

// snapshot is the keys of one fetch. Immutable.
type snapshot struct {
	keyList
	due   time.Time // to be fetched anew from here on
	stale time.Time // not to be used from here on
}

func newKeySet(fetch source, c Config) (s *keySet, err error) {
	s = &keySet{Storage: jwkset.NewMemoryStorage(), fetch: fetch, maxStale: c.MaxStale}
	s.maxFlight = 2*c.FetchTimeout + time.Second // two documents, and the scheduler
	s.keyfunc, err = keyfunc.New(keyfunc.Options{Storage: s})
	return s, err
}

// fix sets the keys for as long as the process runs.
func (s *keySet) fix(list keyList) {
	end := time.Now().Add(never)
	s.current.Store(&snapshot{list, end, end})
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

// find looks for the keys that may have signed a token. Where there are none a fetch is worthwhile: the issuer may have
// changed its keys.
func (s *keySet) find(l *look) error {
	snap, err := s.ready(l.Context, l.now)
	if err != nil {
		return err
	}
	if snap.find(l); len(l.found) > 0 || s.fetch == nil {
		return nil
	}
	if err := s.refresh(l.Context, l.now, true); err != nil {
		return s.unavailable(err)
	}
	s.current.Load().find(l)
	return nil
}

// find notes the keys that may have signed a token, in the order of the set and no more than maxCandidates: those that
// the token means, or, where it means none and has no kid, those that it may mean.
func (s *snapshot) find(l *look) {
	l.found, l.more, l.missing = l.found[:0], false, nil
	for _, matches := range [...]func(keyName, *key) bool{keyName.means, keyName.mayMean} {
		for _, k := range s.keys {
			if !matches(l.name, k) || !slices.Contains(k.algorithms, l.algorithm) || !l.issuer.keyFits(k, l.token) {
				continue
			}
			if l.more = len(l.found) == maxCandidates; l.more {
				return
			}
			l.found = append(l.found, k)
		}
		if len(l.found) > 0 {
			return
		}
	}
	l.missing = s.missing(l.name)
}

// refresh has the set fetched, unless it was fetched within the pause; then the outcome of that fetch stands. It waits
// for the fetch under way if it must, or if it begins the fetch and the keys are late. No wait is longer than ctx.
func (s *keySet) refresh(ctx context.Context, now time.Time, must bool) error {
	if s.fetch == nil {
		return nil
	}
	s.mu.Lock()
	if now.Before(s.pause) {
		defer s.mu.Unlock()
		return s.failed
	}
	wait := must || s.flight == nil && !now.Before(s.late)
	if s.flight == nil {
		s.flight = make(chan struct{})
		go s.runFetch(context.WithoutCancel(ctx))
	}
	flight := s.flight
	s.mu.Unlock()
	if !wait {
		return nil
	}
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

// fly performs the one fetch under way. It has a goroutine and time limits of its own: it outlives the request that
// began it, for the sake of those that come later. A transport that panics, or ends the goroutine, does not leave those
// waiting that do, nor end the program.
func (s *keySet) runFetch(ctx context.Context) {
	var got *fetched
	err := errUnfinished
	began := time.Now()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("fetch panicked: %v", p)
		}
		s.finishFetch(got, err, began)
	}()
	got, err = s.fetch(ctx)
}

// land takes over what the fetch brought.
func (s *keySet) finishFetch(got *fetched, err error, began time.Time) {
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
	if err != nil && !s.froze(began, now) {
		s.late = now.Add(maxLate) // the server cannot be reached: waiting would not help
	}
	close(s.flight)
	s.flight = nil
}

// froze reports whether a fetch took so long by the wall clock that the process must have stood still meanwhile. Then
// its failure says nothing about the server.
func (s *keySet) froze(began, ended time.Time) bool {
	return ended.Round(0).Sub(began.Round(0)) > s.maxFlight // Round(0): a monotonic clock may stand still too
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
	s.late = due.Add(maxLate)
	s.current.Store(&snapshot{got.keyList, due, due.Add(s.maxStale)})
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

// look is one token's look-up in a key set: the context under which keyfunc asks the set for keys. It carries what the
// token says there, and back which keys they are.
type look struct {
	context.Context
	issuer    *issuerState
	token     *Token // not verified
	name      keyName
	algorithm *algorithm
	now       time.Time

	found   []*key // candidates, in the order in which they are to be tried
	more    bool   // there are more than maxCandidates
	missing error  // why there are none
	jwks    []jwkset.JWK
}

// public looks a token's keys up through keyfunc: those of l.found, in their order.
func (s *keySet) public(l *look) ([]jwt.VerificationKey, error) {
	set, err := s.keyfunc.VerificationKeySet(l)
	return set.Keys, err
}

// KeyReadAll implements [jwkset.Storage] for look-ups: all keys are all that may have signed the token.
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
