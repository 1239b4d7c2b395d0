package ratelimit

import (
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
)

// Config says what a [Limiter] limits. Only Limit is required.
type Config[K comparable] struct {
	// Limit is what each key may use.
	Limit Limit

	// Key names who asks, in the shape of the accessors of the authenticators (apikey.ID, auth.ID) and of clientip's
	// Prefix. False refuses the request, with [ErrNoKey]. Nil is legal for a limiter below HTTP: Check and Handler then
	// refuse with [ErrNotConfigured].
	Key func(*http.Request) (K, bool)

	// Cost is how many tokens a request takes. Nil is one each; zero takes none and is always granted; a negative cost
	// is refused, with [ErrCost]. A ContentLength of -1 is a body of unknown length: it may have any, so charge the most
	// that the handler reads.
	Cost func(*http.Request) int64

	// MaxKeys is for how many keys that are not at rest, that is whose bucket is not full, there is room; 0 is 1 048 576.
	// Memory is 22 to 24 bytes each, taken as they come. Keys beyond, and one in 10 000 as the
	// table gets that full, share buckets and so get less, never more.
	MaxKeys int

	// Name is the name of the policy in the IETF header fields RateLimit-Policy and RateLimit, which Handler sets on every
	// answer: printable ASCII. With "" it does not, nor with a Cost and no Unit.
	Name string

	// Unit says what a token is in RateLimit-Policy, as [Field].Unit does: "requests", "content-bytes" or another; printable
	// ASCII. "" is requests without a Cost. With a Cost it leaves the IETF header fields out, because a client would read
	// the tokens as requests.
	Unit string

	// XRateLimit makes Handler set X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset (seconds from now until
	// the bucket is full) on every answer.
	XRateLimit bool

	// AllowDespite may let a request pass for which Check has found an error: always true is observe mode. Nil never does.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers what Handler refuses, after the header fields are set. Nil is (*Error).ServeHTTP. The error is
	// an [*Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)
}

const defaultMaxKeys = 1 << 20

// A Limiter holds a token bucket for each key, full until the key is first seen.
//
// A key is known by a 64-bit hash under a random seed. With n keys at a time, the odds that any two of them share a bucket
// are n²/2^65, which is 1 in 37 million for a million keys. Two keys that share a bucket get less, never more.
//
// Its methods may be called at once from any number of goroutines. Taking is lock-free for a key that was seen lately; a
// refusal of such a key writes no shared memory. There is no goroutine, no sweep and no expiry: a bucket that has become
// full holds no information, and its slot goes to the next key that needs one. The zero Limiter, and a nil one, refuse.
type Limiter[K comparable] struct {
	config Config[K]
	seed   maphash.Seed
	keyed  *keyed
}

// New makes a limiter from a copy of c. The error joins all that is wrong with c.
//
// A nil Key is no mistake here: New cannot know whether the limiter will see requests. Without one, Allow, Take and the
// other methods that are given a key work; Check and Handler answer every request with 500, [ErrNotConfigured], and the
// error names Config.Key.
func New[K comparable](c Config[K]) (*Limiter[K], error) {
	var errs []error
	if err := c.Limit.Validate(); err != nil {
		errs = append(errs, err)
	}
	if c.MaxKeys < 0 || c.MaxKeys > 1<<31-1 {
		errs = append(errs, fmt.Errorf("ratelimit: MaxKeys %d is not within 0 to 2^31-1", c.MaxKeys))
	}
	if !printable(c.Name) {
		errs = append(errs, fmt.Errorf("ratelimit: Name %q is not printable ASCII", c.Name))
	}
	if !printable(c.Unit) {
		errs = append(errs, fmt.Errorf("ratelimit: Unit %q is not printable ASCII", c.Unit))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if c.MaxKeys == 0 {
		c.MaxKeys = defaultMaxKeys
	}
	if c.Cost != nil && c.Unit == "" {
		c.Name = "" // an item without qu says requests
	}
	return &Limiter[K]{config: c, seed: maphash.MakeSeed(), keyed: newKeyed(c.Limit, c.MaxKeys)}, nil
}

func (l *Limiter[K]) configured() bool { return l != nil && l.keyed != nil }

func (l *Limiter[K]) fingerprint(key K) fingerprint {
	return fingerprint(max(maphash.Comparable(l.seed, key), 1))
}

func (l *Limiter[K]) take(key K, n int64) outcome {
	if !l.configured() {
		return outcome{}
	}
	return l.keyed.take(l.keyed.now(), l.fingerprint(key), n)
}

// Allow takes one token of the key's and reports whether there was one.
func (l *Limiter[K]) Allow(key K) bool { return l.take(key, 1).ok() }

// Take takes n tokens of the key's or none, as [Bucket.Take] does.
func (l *Limiter[K]) Take(key K, n int64) (d Decision) {
	l.take(key, n).tell(n, &d)
	return d
}

// Peek tells what Take(key, 1) would decide, and takes nothing.
func (l *Limiter[K]) Peek(key K) Decision { return l.Ref(key).Peek() }

// SetLimit changes the limit of all keys that have none of their own, from now on, as [Bucket.SetLimit] does. It takes the
// same short time for any number of keys: what they owe is carried over, some 2000 keys at a time, when one of them is next
// asked, a step for each change since they last were.
func (l *Limiter[K]) SetLimit(limit Limit) error {
	if !l.configured() {
		return ErrNotConfigured
	}
	if err := limit.Validate(); err != nil {
		return err
	}
	l.keyed.setLimit(l.keyed.now, limit)
	return nil
}

// SetKeyLimit gives a key a limit of its own, from now on, or changes that. What the key owes stays. It is meant for the
// few keys that differ: each costs an object, and a change copies its 2048th part of them.
func (l *Limiter[K]) SetKeyLimit(key K, limit Limit) error {
	if !l.configured() {
		return ErrNotConfigured
	}
	if err := limit.Validate(); err != nil {
		return err
	}
	l.keyed.setKeyLimit(l.keyed.now, l.fingerprint(key), limit)
	return nil
}

// ClearKeyLimit puts a key back under the limit of all. What it owes stays.
func (l *Limiter[K]) ClearKeyLimit(key K) {
	if l.configured() {
		l.keyed.clearKeyLimit(l.keyed.now, l.fingerprint(key))
	}
}
