package usageplan

import (
	"errors"
	"math"
	"strings"

	"github.com/tallygate/tallygate/ratelimit"
)

// unlimited is the limit of the limiter of a plan without a throttle, some of whose members have throttles of their
// own.
var unlimited = ratelimit.Limit{Rate: math.Inf(1)}

// shut reports whether the throttle refuses every request. In API Gateway, that is what a burst of 0 means; Terraform
// writes 0 if no burst is given. A bucket cannot have a burst of 0, so a shut throttle refuses without asking its
// bucket.
func shut(l *ratelimit.Limit) bool { return l.Burst == 0 }

// drawable returns l as the limit of a bucket: with a burst of at least 1.
func drawable(l ratelimit.Limit) ratelimit.Limit {
	if shut(&l) {
		l.Burst = 1
	}
	return l
}

// methods are the method throttles of one stage. Those of a plan have a bucket for each client, those of
// Config.StageThrottles one for all clients together. A methods value is immutable. When a plan is changed, the new
// value takes over the limiters of the old one, so that no bucket is lost.
type methods struct {
	listed []methodThrottle
	others *ratelimit.Limiter[bucket] // the throttle "/*/*"; nil if there is none
	limit  ratelimit.Limit            // of others
	routes string                     // how the names of the buckets of others begin in Config.Throttle
}

// A methodThrottle is the limit of one method, with its buckets. API Gateway allows 20 in a stage of a plan. A list of
// so few is searched faster than a map.
type methodThrottle struct {
	method   method
	spelling string // the resource as the key spells it, which is how most routes spell it
	name     string // of a client's bucket in Config.Throttle
	limit    ratelimit.Limit
	buckets  *ratelimit.Limiter[string] // by client
	all      *ratelimit.Bucket          // of all callers, in place of buckets
	any      bool                       // method is ANY
}

func newMethodThrottle(key string, m method, limit ratelimit.Limit) methodThrottle {
	t := methodThrottle{method: m, spelling: m.resource, limit: limit, any: m.verb == anyVerb}
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

// newMethods returns the throttles of the stage of a plan. It takes over the limiters of old, which may be nil.
func newMethods(old *methods, st *Stage) (*methods, error) {
	listed := bucketName(listedBucket, st.API, st.Name)
	s, err := makeMethods(old, st.Methods, func(t *methodThrottle) (err error) {
		t.name = methodName(listed, t.method)
		t.buckets, err = renew(old.buckets(t.method), t.limit)
		return err
	})
	if s != nil {
		s.routes = bucketName(routeBucket, st.API, st.Name)
	}
	return s, err
}

// newShared builds the throttles of a stage over all callers. They do not change. A listed method has one bucket;
// "/*/*" stands for a bucket for each method that is not listed.
func newShared(limits map[string]ratelimit.Limit) (*methods, error) {
	return makeMethods(nil, limits, func(t *methodThrottle) (err error) {
		t.all, err = ratelimit.NewBucket(drawable(t.limit))
		return err
	})
}

// makeMethods returns the throttles of limits, or nil if there are none. It calls fill for each throttle with a key of
// its own, to give it its buckets; the buckets of "/*/*" are those of old, or new ones.
func makeMethods(old *methods, limits map[string]ratelimit.Limit, fill func(*methodThrottle) error) (*methods, error) {
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
			t := newMethodThrottle(key, m, limit)
			err = fill(&t)
			fresh.listed = append(fresh.listed, t)
		}
		errs = append(errs, err)
	}
	return fresh, errors.Join(errs...)
}

// renew sets the limit of a limiter, or makes one if l is nil. A limit that is shut leaves the limiter as it is, so
// that its buckets are found as they were when the limit is opened again. Otherwise an operator who shuts a plan for a
// minute and opens it again would give every client a full burst.
func renew[K comparable](l *ratelimit.Limiter[K], limit ratelimit.Limit) (*ratelimit.Limiter[K], error) {
	switch {
	case l == nil:
		return ratelimit.New(ratelimit.Config[K]{Limit: drawable(limit)})
	case shut(&limit):
		return l, nil
	}
	return l, l.SetLimit(limit)
}

// buckets returns the limiter of the method, or nil. s may be nil.
func (s *methods) buckets(m method) *ratelimit.Limiter[string] {
	if s == nil {
		return nil
	}
	if t := s.find(m); t != nil {
		return t.buckets
	}
	return nil
}

// find returns the throttle of exactly the method, or nil.
func (s *methods) find(m method) *methodThrottle {
	for i := range s.listed {
		if s.listed[i].method == m {
			return &s.listed[i]
		}
	}
	return nil
}

// lookup returns the throttle that applies to a route's method, or nil. It first compares the spellings, which is
// enough for most routes.
func (s *methods) lookup(m method) *methodThrottle {
	for i := range s.listed {
		if t := &s.listed[i]; t.spelling == m.resource && t.method.verb == m.verb {
			return t
		}
	}
	return s.search(m)
}

// search returns the throttle that fits a route's method best, or nil. The same resource is better than the base of a
// subtree. For the same resource, the same method is better than ANY.
//
// For example, for GET on the subtree "/pets/", the throttles from the best to the worst are: "/pets/{proxy+}/GET"
// (rank 5), "/pets/{proxy+}/ANY" (4), "/pets/GET" (3), "/pets/ANY" (2). "/pets/POST" and "/cats/GET" do not fit (0).
func (s *methods) search(m method) (found *methodThrottle) {
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

// of returns the client's bucket of a route's method, and its limit. The limit is nil if the method is not throttled. s
// may be nil.
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

// named returns the name in Config.Throttle of the bucket that of returns, and its limit. The limit is nil if the method
// is not throttled.
func (s *methods) named(m method) (string, *ratelimit.Limit) {
	if t := s.lookup(m); t != nil {
		return t.name, &t.limit
	}
	if s.others != nil {
		return methodName(s.routes, m), &s.limit
	}
	return "", nil
}

// ofAll returns the bucket that all clients share for a route's method, and its limit, as of does.
func (s *methods) ofAll(m method) (ratelimit.Ref, *ratelimit.Limit) {
	if s == nil {
		return ratelimit.Ref{}, nil
	}
	if t := s.lookup(m); t != nil {
		return t.all.Ref(), &t.limit
	}
	return s.of("", m)
}
