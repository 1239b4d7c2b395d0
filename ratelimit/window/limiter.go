package window

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"

	"github.com/tallygate/tallygate/ratelimit"
)

// Config says what a [Limiter] limits. Only AtMost is required.
type Config[K comparable] struct {
	// AtMost is what each key may use.
	AtMost AtMost

	// Key returns whom to charge. It has the type of the authenticators' accessors (apikey.ID, auth.ID) and of
	// clientip's Prefix. False refuses the request, with [ratelimit.ErrNoKey]. Nil is legal for a limiter below HTTP:
	// Check and Handler then refuse with [ratelimit.ErrNotConfigured].
	Key func(*http.Request) (K, bool)

	// MaxKeys is how many keys can be known within one window; 0 is 1 048 576. Memory is 60 bytes each and grows with
	// the keys. Further keys share places, and so get less, never more.
	MaxKeys int

	// Name is the name of the policy in the IETF header fields RateLimit-Policy and RateLimit, which Handler sets on
	// every answer: printable ASCII. With "" it does not. Name is also the Plan of a [ratelimit.Event].
	Name string

	// AllowDespite may let a request pass for which Check has found an error. Always true is a dry run: the Outcome of a
	// [ratelimit.Event] is "despite" for each request that the limit would have refused. Handler still sets the fields of
	// Name, so leave it out if clients are not to see the limit. Nil never lets one pass. It is not asked if Key is nil
	// or if New did not make the limiter.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers what Handler refuses, after the header fields are set. Nil is (*ratelimit.Error).ServeHTTP.
	// The error is an [*ratelimit.Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Observe is told each decision of Check and Handler, once, before the request goes on or is answered. It runs on
	// the request's goroutine and must not block; a panic of it is not caught. Allow, Take and Peek tell it nothing.
	// The Layer is "window", and Remaining is in requests. Nil tells nobody.
	Observe func(context.Context, ratelimit.Event)

	// RequestID returns the id of a request, if the application names its requests; "" makes a random one. It is the
	// X-Amzn-RequestId of a refusal and the RequestID of a [ratelimit.Event]. Do not return a header that any client
	// can set: it would choose what stands in your logs. Nil means that each refusal gets a random id. If an outer
	// layer has set X-Amzn-RequestId in the answer before [Limiter.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// A Limiter grants each key at most Limit calls in any span of Window, see [AtMost]. What it refuses does not count.
//
// A key is known by a 64-bit hash under a random seed: with n keys at a time, the odds that any two of them share a
// place are n²/2^65, which is 1 in 37 million for a million keys.
//
// Its methods may be called from any number of goroutines at once, and do not allocate once a key is known. The zero
// Limiter, and a nil one, refuse.
type Limiter[K comparable] struct {
	config   Config[K]
	observer observer
	seed     maphash.Seed
	engine   *engine
}

// New makes a limiter from a copy of c. The error joins every mistake in c.
//
// A nil Key is allowed, because New cannot know whether the limiter will see requests. Without it, Allow, Take and Peek
// work, because they are given a key. Check and Handler answer every request with 500, [ratelimit.ErrNotConfigured],
// and the error names Config.Key.
func New[K comparable](c Config[K]) (*Limiter[K], error) {
	errs := []error{c.AtMost.validate(), checkMaxKeys(c.MaxKeys)}
	for i := range len(c.Name) {
		if c.Name[i] < ' ' || c.Name[i] > '~' {
			errs = append(errs, fmt.Errorf("window: Name %q is not printable ASCII", c.Name))
			break
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Limiter[K]{
		config: c, observer: newObserver(c.Observe, c.RequestID, "window", c.Name),
		seed: maphash.MakeSeed(), engine: newEngine(c.AtMost, c.MaxKeys, false),
	}, nil
}

func checkMaxKeys(n int) error {
	if n < 0 || n > 1<<31-1 {
		return fmt.Errorf("window: MaxKeys %d is not within 0 to 2^31-1", n)
	}
	return nil
}

func (l *Limiter[K]) configured() bool { return l != nil && l.engine != nil }

func (l *Limiter[K]) fingerprint(key K) fingerprint {
	return fingerprint(max(maphash.Comparable(l.seed, key), 1))
}

// take is Take with an outcome in place of the decision. An n of 0 or less takes no place, and gives no slot to a key.
func (l *Limiter[K]) take(key K, n int64) outcome {
	switch {
	case !l.configured():
		return outcome{}
	case n <= 0:
		return l.engine.look(l.fingerprint(key), n)
	default:
		return l.engine.take(l.fingerprint(key), n)
	}
}

// Allow takes one of the key's places and reports whether there was one.
func (l *Limiter[K]) Allow(key K) bool { return l.take(key, 1).ok }

// Take takes n of the key's places, or none. With an n of 0 it takes nothing, and is granted unless the window holds
// more than Limit, which it may after SetLimit. An n that is negative or above Limit is always refused: RetryAfter is
// then [ratelimit.Never].
func (l *Limiter[K]) Take(key K, n int64) ratelimit.Decision {
	o := l.take(key, n)
	return o.decision()
}

// Peek returns what Take(key, 1) would decide, and takes nothing.
func (l *Limiter[K]) Peek(key K) ratelimit.Decision {
	var o outcome
	if l.configured() {
		o = l.engine.look(l.fingerprint(key), 1)
	}
	return o.decision()
}

// SetLimit changes the limit of all keys, from now on. It takes the same short time for any number of keys: their
// counts are carried over when a key is next asked about.
//
// The old limit decides what is known. What is older than the old Window may be forgotten, and in any fifteenth of it a
// count is exact up to 65 535 or the old Limit, whichever is more. With each change of Window, counts move up to a
// fifteenth of it later, never earlier.
func (l *Limiter[K]) SetLimit(a AtMost) error {
	if !l.configured() {
		return ratelimit.ErrNotConfigured
	}
	if err := a.validate(); err != nil {
		return err
	}
	l.engine.plan.Store(newPlan(a))
	return nil
}

// Check takes a place for the request's key. The error is an [*ratelimit.Error] with one of the causes
// [ratelimit.ErrLimited], [ratelimit.ErrNoKey] and [ratelimit.ErrNotConfigured]; it is nil if the request may pass,
// because the place was taken (the decision is OK) or because AllowDespite lets it (the decision is not).
func (l *Limiter[K]) Check(r *http.Request) (ratelimit.Decision, error) {
	o, err := l.check(nil, r)
	return o.decision(), err
}

// Handler answers requests that Check refuses, and passes the others on to next. It sets Retry-After on a refusal, and
// on every answer the header fields that the configuration asks for.
func (l *Limiter[K]) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, err := l.check(w, r)
		if err == nil {
			if l.config.Name != "" {
				ratelimit.SetFields(w.Header(), o.field(l.config.Name))
			}
			next.ServeHTTP(w, r)
			return
		}
		var handler func(http.ResponseWriter, *http.Request, error)
		if l != nil {
			handler = l.config.ErrorHandler
		}
		refuse(w, r, err, handler)
	})
}

// check is Check with an outcome in place of the decision, which Handler needs only for header fields. A limiter that
// New did not make, or that has no Key, refuses without asking AllowDespite. w is nil if the caller writes the answer.
func (l *Limiter[K]) check(w http.ResponseWriter, r *http.Request) (outcome, error) {
	if !l.configured() {
		return outcome{}, &ratelimit.Error{Err: errNotMade}
	}
	if l.config.Key == nil {
		return outcome{}, l.observer.refuse(w, r, &ratelimit.Error{Err: errNoKeyFunc}, nil, "", -1)
	}
	key, known := l.config.Key(r)
	if !known {
		e := &ratelimit.Error{Err: ratelimit.ErrNoKey, Decision: ratelimit.Decision{RetryAfter: ratelimit.Never}}
		return outcome{}, l.observer.refuse(w, r, e, l.config.AllowDespite, "", -1)
	}
	o := l.take(key, 1)
	if o.ok {
		if l.observer.observe != nil {
			client, _ := any(key).(string)
			l.observer.allow(w, r, client)
		}
		return o, nil
	}
	e := &ratelimit.Error{Err: ratelimit.ErrLimited, Decision: o.decision(), Field: o.field(l.config.Name)}
	return o, l.observer.refuse(w, r, e, l.config.AllowDespite, l.client(key), e.Decision.Remaining)
}
