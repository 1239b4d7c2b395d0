package usageplan

import (
	"errors"
	"math"

	"github.com/tallygate/tallygate/ratelimit"
)

// unlimited is the throttle of a plan that has none: its limiter keeps the members' overrides.
var unlimited = ratelimit.Limit{Rate: math.Inf(1)}

// methods are the throttles of a stage's methods, of one plan's members or, with no client, of all callers.
// A methods value is immutable; its limiters live on from version to version.
type methods struct {
	listed map[method]*throttle
	others *throttle // "/*/*", nil where it is not given
}

// A throttle is the limit on one method, or on each of several, and the buckets that keep it.
type throttle struct {
	limit   ratelimit.Limit
	buckets *ratelimit.Limiter[bucket]
}

// A bucket names the token bucket of one client on one method.
type bucket struct {
	client string
	method method
}

// newMethods builds the throttles that limits declare, taking over the buckets of an earlier version.
func newMethods(old *methods, limits map[string]ratelimit.Limit) (*methods, error) {
	if len(limits) == 0 {
		return nil, nil
	}
	if old == nil {
		old = &methods{}
	}
	fresh := &methods{listed: make(map[method]*throttle, len(limits))}
	var errs []error
	for key, limit := range limits {
		m, err := parseMethod(key)
		errs = append(errs, err)
		if m == everyMethod {
			fresh.others, err = old.others.with(limit)
		} else {
			fresh.listed[m], err = old.listed[m].with(limit)
		}
		errs = append(errs, err)
	}
	return fresh, errors.Join(errs...)
}

// of returns the throttle of a method, or nil.
func (s *methods) of(m method) *throttle {
	if s == nil {
		return nil
	}
	if t, listed := s.listed[m]; listed {
		return t
	}
	return s.others
}

// with returns a throttle of the new limit over the buckets of t, or over new ones where t is nil.
func (t *throttle) with(limit ratelimit.Limit) (*throttle, error) {
	if t == nil {
		buckets, err := ratelimit.New(ratelimit.Config[bucket]{Limit: limit})
		return &throttle{limit, buckets}, err
	}
	return &throttle{limit, t.buckets}, t.buckets.SetLimit(limit)
}
