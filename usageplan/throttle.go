package usageplan

import (
	"errors"
	"math"

	"github.com/tallygate/tallygate/ratelimit"
)

// unlimited is the limit of a plan's limiter while only members' overrides need it.
var unlimited = ratelimit.Limit{Rate: math.Inf(1)}

// methods are the throttles of a stage's methods for one plan's members. A methods value is immutable; limiters live on in the next version, so that a change of a plan loses no bucket.
type methods struct {
	listed []throttle
	any    bool                       // some of listed are for ANY
	others *ratelimit.Limiter[bucket] // "/*/*", nil where it is not given
	limit  ratelimit.Limit            // of others
}

// A throttle is the limit on one method, and the buckets of its callers. API Gateway allows 20 in a stage of a plan, and
// so few are found faster in a list than in a map.
type throttle struct {
	method  method
	limit   ratelimit.Limit
	buckets *ratelimit.Limiter[string] // by client
}

// A bucket names the token bucket of one client on one method.
type bucket struct {
	client string
	method method
}

// newMethods builds the throttles that limits declare, with the limiters of an earlier version where it has them.
func newMethods(old *methods, limits map[string]ratelimit.Limit) (*methods, error) {
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
			t := throttle{method: m, limit: limit}
			t.buckets, err = renew(old.buckets(m), limit)
			fresh.listed, fresh.any = append(fresh.listed, t), fresh.any || m.verb == anyVerb
		}
		errs = append(errs, err)
	}
	return fresh, errors.Join(errs...)
}

// renew gives a limiter the limit, or makes one where there is none.
func renew[K comparable](l *ratelimit.Limiter[K], limit ratelimit.Limit) (*ratelimit.Limiter[K], error) {
	if l == nil {
		return ratelimit.New(ratelimit.Config[K]{Limit: limit})
	}
	return l, l.SetLimit(limit)
}

func (s *methods) buckets(m method) *ratelimit.Limiter[string] {
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

// of returns the client's bucket on a method, and its limit, which is nil where the method is not throttled.
func (s *methods) of(client string, m method) (ratelimit.Ref, *ratelimit.Limit) {
	if s == nil {
		return ratelimit.Ref{}, nil
	}
	t := s.find(m)
	if t == nil && s.any { // all methods of a resource that are not listed themselves share that of ANY
		t = s.find(method{m.resource, anyVerb})
	}
	if t != nil {
		return t.buckets.Ref(client), &t.limit
	}
	if s.others != nil {
		return s.others.Ref(bucket{client, m}), &s.limit
	}
	return ratelimit.Ref{}, nil
}

// shared are the throttles of a stage's methods over all callers. They do not change.
type shared struct {
	listed []sharedThrottle
	others *ratelimit.Limiter[method] // "/*/*", nil where it is not given
	limit  ratelimit.Limit            // of others
}

type sharedThrottle struct {
	method method
	limit  ratelimit.Limit
	bucket *ratelimit.Striped // every processor goes through it
}

func newShared(limits map[string]ratelimit.Limit) (*shared, error) {
	s := &shared{}
	var errs []error
	for key, limit := range limits {
		m, err := parseMethod(key)
		errs = append(errs, err)
		if m == everyMethod {
			s.limit = limit
			s.others, err = ratelimit.New(ratelimit.Config[method]{Limit: limit})
		} else {
			t := sharedThrottle{method: m, limit: limit}
			t.bucket, err = ratelimit.NewStriped(limit)
			s.listed = append(s.listed, t)
		}
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// of returns the bucket of a method, and its limit, which is nil where the method is not throttled.
func (s *shared) of(m method) (ratelimit.Ref, *ratelimit.Limit) {
	for _, m := range [...]method{m, {m.resource, anyVerb}} {
		for i := range s.listed {
			if t := &s.listed[i]; t.method == m {
				return t.bucket.Ref(), &t.limit
			}
		}
	}
	if s.others != nil {
		return s.others.Ref(m), &s.limit
	}
	return ratelimit.Ref{}, nil
}
