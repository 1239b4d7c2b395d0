package usageplan

import (
	"errors"
	"math"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
)

// unlimited is the limit of a plan's limiter while only members' overrides need it.
var unlimited = ratelimit.Limit{Rate: math.Inf(1)}

// shut reports whether the limit refuses everything. API Gateway takes a burst of 0 for "no request at all", and Terraform
// writes it where none is given. No bucket holds nothing, so a shut throttle refuses before its bucket is asked.
func shut(l *ratelimit.Limit) bool { return l.Burst == 0 }

// drawable returns the limit of the bucket that stands behind l.
func drawable(l ratelimit.Limit) ratelimit.Limit {
	if shut(&l) {
		l.Burst = 1
	}
	return l
}

// methods are the throttles of a stage's methods, of one plan's members or, with no client, of all callers.
// A methods value is immutable; limiters live on in the next version, so that a change of a plan loses no bucket.
type methods struct {
	listed []throttle
	others *ratelimit.Limiter[bucket] // "/*/*", nil where it is not given
	limit  ratelimit.Limit            // of others
}

// A throttle is the limit on one method, and the buckets of its callers. API Gateway allows 20 in a stage of a plan, and
// so few are found faster in a list than in a map.
type throttle struct {
	method   method
	spelling string // a resource of a route that fits fully
	limit    ratelimit.Limit
	buckets  *ratelimit.Limiter[string] // by client
	all      *ratelimit.Bucket          // of all callers, in place of buckets
	any      bool                       // method is ANY
}

func newThrottle(key string, m method, limit ratelimit.Limit) throttle {
	t := throttle{method: m, spelling: m.resource, limit: limit, any: m.verb == anyVerb}
	if spelling := strings.TrimSuffix(key, "/"+m.verb); fit(m.resource, spelling) == fullFit {
		t.spelling = spelling
	}
	return t
}

// A bucket names the token bucket of one client on one method.
type bucket struct {
	client string
	method method
}

// newMethods builds the throttles that limits declare, with the limiters of an earlier version where it has them.
func newMethods(old *methods, limits map[string]ratelimit.Limit) (*methods, error) {
	return makeMethods(old, limits, func(t *throttle) (err error) {
		t.buckets, err = renew(old.buckets(t.method), t.limit)
		return err
	})
}

// newShared builds the throttles of a stage over all callers. They do not change. A listed method has one bucket; "/*/*"
// stands for a bucket for each method that is not listed.
func newShared(limits map[string]ratelimit.Limit) (*methods, error) {
	return makeMethods(nil, limits, func(t *throttle) (err error) {
		t.all, err = ratelimit.NewBucket(drawable(t.limit))
		return err
	})
}

func makeMethods(old *methods, limits map[string]ratelimit.Limit, fill func(*throttle) error) (*methods, error) {
	if len(limits) == 0 {
		return nil, nil
	}
	if old == nil {
		old = &methods{}
	}
	fresh := &methods{}
	var errs []error
	for key, limit := range limits {
		m, err := parseMethod(key)
		errs = append(errs, err)
		if m == everyMethod {
			fresh.limit = limit
			fresh.others, err = renew(old.others, limit)
		} else {
			t := newThrottle(key, m, limit)
			err = fill(&t)
			fresh.listed = append(fresh.listed, t)
		}
		errs = append(errs, err)
	}
	return fresh, errors.Join(errs...)
}

// renew gives a limiter the limit, or makes one where there is none. One that is shut keeps what is in its buckets.
func renew[K comparable](l *ratelimit.Limiter[K], limit ratelimit.Limit) (*ratelimit.Limiter[K], error) {
	switch {
	case l == nil:
		return ratelimit.New(ratelimit.Config[K]{Limit: drawable(limit)})
	case shut(&limit):
		return l, nil
	}
	return l, l.SetLimit(limit)
}

func (s *methods) buckets(m method) *ratelimit.Limiter[string] {
	if s == nil {
		return nil
	}
	if t := s.find(m); t != nil {
		return t.buckets
	}
	return nil
}

func (s *methods) find(m method) *throttle {
	for i := range s.listed {
		if s.listed[i].method == m {
			return &s.listed[i]
		}
	}
	return nil
}

// lookup returns the throttle that a route's method counts against, or nil. Most routes are spelled as the throttle is.
func (s *methods) lookup(m method) *throttle {
	for i := range s.listed {
		if t := &s.listed[i]; t.spelling == m.resource && t.method.verb == m.verb {
			return t
		}
	}
	return s.search(m)
}

// search is lookup for any spelling: the resource itself goes before the beginning of a subtree, and the method before ANY,
// which all methods share that are not listed themselves.
func (s *methods) search(m method) (found *throttle) {
	var space [maxShape]byte
	route, best := newShape(space[:0], unescape(m.resource)), 0
	for i := range s.listed {
		t := &s.listed[i]
		if !t.any && t.method.verb != m.verb {
			continue
		}
		rank := 2 * route.fits(t.method.resource)
		if rank > 0 && t.method.verb == m.verb {
			rank++
		}
		if rank > best {
			found, best = t, rank
		}
	}
	return found
}

// of returns the client's bucket on a method, and its limit, which is nil where the method is not throttled.
func (s *methods) of(client string, m method) (ratelimit.Ref, *ratelimit.Limit) {
	if s == nil {
		return ratelimit.Ref{}, nil
	}
	if t := s.lookup(m); t != nil {
		return t.buckets.Ref(client), &t.limit
	}
	if s.others != nil {
		return s.others.Ref(bucket{client, m}), &s.limit
	}
	return ratelimit.Ref{}, nil
}

// ofAll returns the bucket of all callers on a method, as of does.
func (s *methods) ofAll(m method) (ratelimit.Ref, *ratelimit.Limit) {
	if s == nil {
		return ratelimit.Ref{}, nil
	}
	if t := s.lookup(m); t != nil {
		return t.all.Ref(), &t.limit
	}
	return s.of("", m)
}
