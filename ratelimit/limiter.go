package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
)

// Config says what a [Limiter] limits. Only Limit is required.
type Config[K comparable] struct {
	// Limit is what each key may use.
	Limit Limit

	// Key returns whom to charge. It has the type of the authenticators' accessors (apikey.ID, auth.ID) and of
	// clientip's Prefix. False refuses the request, with [ErrNoKey]. Nil is legal for a limiter below HTTP: Check and
	// Handler then refuse with [ErrNotConfigured].
	Key func(*http.Request) (K, bool)

	// Cost is how many tokens a request takes. Nil is one each; zero takes none and is always granted; a negative cost
	// is a mistake of the program and refused, with [ErrNotConfigured]. A ContentLength of -1 is a body of unknown
	// length, so charge the most that the handler reads.
	Cost func(*http.Request) int64

	// MaxKeys is how many keys can be in debt at a time, each with a bucket of its own; 0 is 1 048 576. Memory is 22 to
	// 24 bytes each and grows with the keys. Further keys share buckets, and so does one key in 10 000 when the table
	// is nearly full. A key that shares gets less, never more.
	MaxKeys int

	// Name is the name of the policy in the IETF header fields RateLimit-Policy and RateLimit, in printable ASCII.
	// Handler sets both on every answer. It does not if Name is "", or if there is a Cost and no Unit. Name is also the
	// Plan of an [Event].
	Name string

	// Unit says what a token is in RateLimit-Policy, as [Field].Unit does: "requests", "content-bytes" or another;
	// printable ASCII. "" is requests without a Cost. With a Cost it leaves the IETF header fields out, because a
	// client would read the tokens as requests.
	Unit string

	// XRateLimit makes Handler set X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset (seconds from now
	// until the bucket is full) on every answer.
	XRateLimit bool

	// AllowDespite may let a request pass for which Check has found an error. Always true is a dry run: the Outcome of an
	// [Event] is "despite" for each request that the limit would have refused. Handler still sets the fields of Name and
	// XRateLimit, so leave both out if clients are not to see the limit. Nil never lets one pass. It is not asked if Key
	// is nil or if New did not make the limiter.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers what Handler refuses, after the header fields are set. Nil is (*Error).ServeHTTP. The error
	// is an [*Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Observe is told each decision of Check and Handler, once, before the request goes on or is answered. It runs on
	// the request's goroutine and must not block; a panic of it is not caught. Allow, Take and the other methods that
	// are given a key tell it nothing. Nil tells nobody.
	Observe func(context.Context, Event)

	// RequestID returns the id of a request, if the application names its requests; "" makes a random one. It is the
	// X-Amzn-RequestId of a refusal and the RequestID of an [Event]. Do not return a header that any client can set: it
	// would choose what stands in your logs. Nil means that each refusal gets a random id. If an outer layer
	// has set X-Amzn-RequestId in the answer before [Limiter.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

const defaultMaxKeys = 1 << 20

// A Limiter holds a token bucket for each key, full until the key is first seen.
//
// A key is known by a 64-bit hash under a random seed. With n keys at a time, the odds that any two of them share a
// bucket are n²/2^65, which is 1 in 37 million for a million keys. Two keys that share a bucket get less, never more.
//
// Its methods may be called from any number of goroutines at once. Taking is lock-free for a key that has a slot, and a
// refusal of such a key writes no shared memory. There is no goroutine, no sweep and no expiry: a full bucket holds no
// information, so its slot goes to the next key that needs one. The zero Limiter, and a nil one, refuse.
type Limiter[K comparable] struct {
	config   Config[K]
	observer observer
	seed     maphash.Seed
	keyed    *keyed
}

// New makes a limiter from a copy of c. The error joins every mistake in c.
//
// A nil Key is allowed, because New cannot know whether the limiter will see requests. Without it, Allow, Take and the
// other methods that are given a key work. Check and Handler answer every request with 500, [ErrNotConfigured], and the
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
	l := &Limiter[K]{observer: newObserver(c.Observe, c.RequestID, c.Name), seed: maphash.MakeSeed(), keyed: newKeyed(c.Limit, c.MaxKeys)}
	if c.Cost != nil && c.Unit == "" {
		c.Name = "" // an item without qu says requests
	}
	l.config = c
	return l, nil
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
	l.take(key, n).fill(n, &d)
	return d
}

// Peek returns what Take(key, 1) would decide, and takes nothing.
func (l *Limiter[K]) Peek(key K) Decision {
	r := l.Ref(key)
	return r.peek(r.now())
}

// SetLimit changes the limit of all keys that have none of their own, from now on, as [Bucket.SetLimit] does. It takes
// the same short time for any number of keys. Their debts are carried over later, a shard of some 500 keys at a time,
// when one of the shard's keys is next asked about.
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

// SetKeyLimit gives a key a limit of its own, from now on, or changes it. A nil limit puts the key back under the limit
// of all keys. What the key owes stays. It is meant for few keys: each costs an object, and each change copies the list
// of those in the key's shard.
func (l *Limiter[K]) SetKeyLimit(key K, limit *Limit) error {
	if !l.configured() {
		return ErrNotConfigured
	}
	if limit == nil {
		l.keyed.clearKeyLimit(l.keyed.now, l.fingerprint(key))
		return nil
	}
	if err := limit.Validate(); err != nil {
		return err
	}
	l.keyed.setKeyLimit(l.keyed.now, l.fingerprint(key), *limit)
	return nil
}
