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
)

// When key sets are fetched. doc.go explains the rules.
const (
	defaultTTL   = 15 * time.Minute // lifetime of a key set whose response has no Cache-Control
	minTTL       = refetchPause     // a shorter lifetime would have no effect
	maxTTL       = 24 * time.Hour   // for how long a key that the issuer removes may stay in use
	refetchPause = 10 * time.Second // between two fetches while there are usable keys, whatever keys tokens name
	retryPause   = time.Second      // after a failed fetch while there are no usable keys

	never = 100 * 365 * 24 * time.Hour // when fixed keys are due

	// maxLate is how long after the due time requests use the current keys without waiting for a fetch. After that the
	// request that starts a fetch waits for it. Without this rule, a process that is frozen as soon as it has answered,
	// as on Lambda, might never finish a fetch. It would use keys that the issuer has withdrawn until they are stale.
	maxLate = time.Hour
)

// maxCandidates limits the keys that are tried for one token, and with them the cost of a forged one. Each key takes
// the check of a signature, which is most of the cost of a token.
const maxCandidates = 4

// keySet holds the keys of one issuer. It is the [jwkset.Storage] in which keyfunc looks up keys. It is safe for
// concurrent use.
//
// A request that needs a fetch starts it, in a goroutine of its own. There is one at a time, but see [flight]. Nothing
// runs while there are no requests, so nothing needs to be closed. Meanwhile requests use the current keys. They wait
// only if they cannot be answered without the fetch.
//
// The keys of a fetch go through three stages, each of which begins at a time:
//
//	fresh, from the fetch          used; a token with an unknown key may start a fetch
//	due, after their lifetime      used; the next request starts a fetch, for which it waits only if the keys are late
//	stale, after maxStale more     not used; requests wait for a fetch, and are answered 503 if it fails
type keySet struct {
	jwkset.Storage // an empty one, for the methods other than KeyReadAll, which keyfunc does not call here
	keyfunc        keyfunc.Keyfunc

	issuer    string // as configured, for observe and Stats
	observe   func(context.Context, Fetch)
	fetch     source        // nil if the keys are fixed
	maxFlight time.Duration // a fetch that takes longer was frozen with its process
	maxStale  time.Duration
	current   atomic.Pointer[snapshot] // nil if no fetch has succeeded yet

	mu      sync.Mutex // guards the fields below, and stores to current
	flight  *flight    // the running fetch that was started last; nil if that has ended
	running int        // fetches: flight, and those that it has overtaken
	pause   time.Time  // no fetch starts before
	late    time.Time  // from then on, a request waits for the fetch that it starts
	asked   time.Time  // when the fetch of the current keys began
	failed  error      // the error of the last fetch; nil if it succeeded or there was none
}

// snapshot holds the keys of one fetch. It is immutable, so a request can read it without a lock while a fetch replaces
// it.
type snapshot struct {
	keyList
	since time.Time // when the fetch ended; zero if the keys are fixed
	due   time.Time // from then on, the keys should be fetched again
	stale time.Time // from then on, the keys must not be used
}

// newKeySet returns a set without keys, which the first call of ready fetches.
func newKeySet(issuer string, fetch source, c Config) (s *keySet, err error) {
	s = &keySet{Storage: jwkset.NewMemoryStorage(), issuer: issuer, fetch: fetch, maxStale: c.MaxStale}
	s.observe = c.ObserveFetch
	s.maxFlight = 2 * c.FetchTimeout // of two documents
	s.keyfunc, err = keyfunc.New(keyfunc.Options{Storage: s})
	return s, err
}

// fix sets keys that are never due, instead of fetching them. It must be called before the set is used.
func (s *keySet) fix(list keyList) {
	end := time.Now().Add(never)
	s.current.Store(&snapshot{list, time.Time{}, end, end})
}

// ready returns keys that are not stale. If there are none it waits for a fetch. If they are due it starts one. While
// they are fresh it costs one load and two comparisons. The error is an [*Error] that wraps [ErrUnavailable].
func (s *keySet) ready(ctx context.Context, now time.Time) (*snapshot, error) {
	snap := s.current.Load()
	if snap != nil && isAhead(snap.due, now) {
		return snap, nil
	}
	usable := snap != nil && isAhead(snap.stale, now)
	err := s.refresh(ctx, now, !usable) // if there are usable keys, a failure does not matter yet
	if snap = s.current.Load(); snap == nil || !isAhead(snap.stale, time.Now()) {
		return nil, s.unavailable(err)
	}
	return snap, nil
}

// find sets l.found to the keys that may have signed a token. If the set has none, the issuer may have added a key, so
// find waits for a fetch and looks again. Within refetchPause of the last fetch there is no other, so tokens with
// invented kids cannot cause many. Without any key, l.missing says why.
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

// find sets l.found to the keys that may have signed a token, in the order of the set and at most maxCandidates, and
// l.more if there are further ones. These are the keys that the token names. If it names none of them and has no kid,
// they are the keys that it does not exclude. Each must also fit the token's alg, and its tenant.
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

// ended returns why ctx has ended. A cause of the application does not hide that the request was canceled.
func ended(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}

// install makes the fetched keys current. The caller must hold mu.
//
// A key that is still in the set keeps its *key. The others are retired, so that the cached tokens that they signed are
// no longer used. They are retired after the new keys are stored: a request that finds its cached token retired
// verifies it again, and must then find the new keys.
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
	s.current.Store(&snapshot{got.keyList, now, due, due.Add(s.maxStale)})
	for _, k := range before {
		if !slices.Contains(got.keys, k) {
			k.retired.Store(true)
		}
	}
}

// unavailable returns the refusal of a token that cannot be verified because the keys are unknown. err is the reason,
// or nil. RetryAfter is the time until the next fetch may start.
func (s *keySet) unavailable(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := &Error{Err: ErrUnavailable, RetryAfter: max(time.Until(s.pause), 0)}
	if err != nil {
		e.Err = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return e
}
