package window

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"slices"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// RuleConfig says what a [RateRule] counts and when it blocks. Limit and Aggregate are required.
type RuleConfig struct {
	// Limit is how many requests pass within any span of Window: 10 to 2 000 000 000.
	Limit int64

	// Window is 60 s, 120 s, 300 s or 600 s; 0 is 300 s, as in AWS.
	Window time.Duration

	// Aggregate lists one to five components. Requests in which all of them are equal are counted together. A request
	// that lacks one of them is neither counted nor blocked.
	Aggregate []Component

	// ScopeDown says which requests the rule is about, AWS's scope-down statement. The others are neither counted nor
	// blocked. Nil is all; [Constant] needs it.
	ScopeDown func(*http.Request) bool

	// MaxKeys is how many keys can be known within one Window; 0 is 1 048 576. Memory is 60 bytes each and grows with
	// the keys. Further keys are counted together with others, so some may be blocked too early, but none too late.
	MaxKeys int

	// AllowDespite may let a request pass that the rule blocks: always true is AWS's action Count. Nil never does,
	// which is the action Block.
	AllowDespite func(*http.Request, error) bool

	// ErrorHandler answers what Handler refuses, AWS's custom response. Nil is (*ratelimit.Error).ServeHTTP. The error
	// is an [*ratelimit.Error].
	ErrorHandler func(http.ResponseWriter, *http.Request, error)

	// Name is the Plan of the rule's Events, as AWS's metrics have the name of the rule. It may be "".
	Name string

	// Observe is told each decision of Check and Handler, once, before the request goes on or is answered. It runs on
	// the request's goroutine and must not block; a panic of it is not caught. The Layer is "rate rule". The Client is
	// the address of a blocked request, if the rule counts by address; else "". A request that the rule is not about is
	// not told. Nil tells nobody.
	Observe func(context.Context, ratelimit.Event)

	// RequestID returns the id of a request, if the application names its requests; "" makes a random one. It is the
	// X-Amzn-RequestId of a refusal and the RequestID of a [ratelimit.Event]. Do not return a header that any client
	// can set: it would choose what stands in your logs. Nil means that each refusal gets a random id. If an outer
	// layer has set X-Amzn-RequestId in the answer before [RateRule.Handler], that is the id in any case.
	RequestID func(*http.Request) string
}

// A RateRule is AWS WAF's rate-based rule: it counts requests by an aggregate key and blocks those of a key that has
// sent Limit of them within the last Window. Blocked requests count as well, as in AWS: a client that does not slow
// down stays blocked.
//
// It blocks the very request that is one too many. Its methods may be called from any number of goroutines at once, and
// do not allocate once a key is known. The zero RateRule, and a nil one, refuse.
type RateRule struct {
	config   RuleConfig
	observer observer
	seed     maphash.Seed
	engine   *engine
	listed   listing
}

// NewRateRule makes a rule from a copy of c. The error joins every mistake in c.
func NewRateRule(c RuleConfig) (*RateRule, error) {
	limit, err := ruleLimit(c.Limit, c.Window)
	errs := []error{err, checkMaxKeys(c.MaxKeys)}
	if n := len(c.Aggregate); n < 1 || n > 5 {
		errs = append(errs, fmt.Errorf("window: Aggregate: %d components are not 1 to 5", n))
	}
	for _, component := range c.Aggregate {
		errs = append(errs, component.validate())
		if component.kind == constant && (len(c.Aggregate) > 1 || c.ScopeDown == nil) {
			errs = append(errs, errors.New("window: Constant stands alone and needs a ScopeDown"))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	c.Aggregate = slices.Clone(c.Aggregate)
	return &RateRule{
		config: c, observer: newObserver(c.Observe, c.RequestID, "rate rule", c.Name),
		seed: maphash.MakeSeed(), engine: newEngine(limit, c.MaxKeys, true),
	}, nil
}

// ruleLimit holds the domain of AWS's RateBasedStatement.
func ruleLimit(limit int64, window time.Duration) (AtMost, error) {
	var errs []error
	if limit < 10 || limit > 2_000_000_000 {
		errs = append(errs, fmt.Errorf("window: Limit %d is not within 10 to 2000000000", limit))
	}
	switch window {
	case 0:
		window = 300 * time.Second
	case 60 * time.Second, 120 * time.Second, 300 * time.Second, 600 * time.Second:
	default:
		errs = append(errs, fmt.Errorf("window: Window %v is not 60s, 120s, 300s or 600s", window))
	}
	return AtMost{Limit: limit, Window: window}, errors.Join(errs...)
}

func (r *RateRule) configured() bool { return r != nil && r.engine != nil }

// SetLimit changes limit and window, with the meaning and the domain that they have in [RuleConfig], from the next
// request on. The counts stay (AWS begins anew), as far as they go: what is older than the old window may be forgotten,
// and a count is exact up to 65 535 or the limit, whichever is more, in any fifteenth of the window. With each change
// of the window, counts move up to a fifteenth of it later, never earlier.
func (r *RateRule) SetLimit(limit int64, window time.Duration) error {
	if !r.configured() {
		return ratelimit.ErrNotConfigured
	}
	a, err := ruleLimit(limit, window)
	if err == nil {
		r.engine.plan.Store(newPlan(a))
	}
	return err
}

// fingerprint is the hash of the aggregate key, false if the rule is not about the request. Each component is hashed by
// itself, so the end of one is never taken for the beginning of the next. Clients do not know the hashes, so
// multiplying by an odd factor is enough to make their order count.
func (r *RateRule) fingerprint(req *http.Request) (fingerprint, bool) {
	if r.config.ScopeDown != nil && !r.config.ScopeDown(req) {
		return 0, false
	}
	var hash uint64
	for _, c := range r.config.Aggregate {
		h, ok := c.hash(r.seed, req)
		if !ok {
			return 0, false
		}
		hash = hash*way1 + h
	}
	return fingerprint(max(hash, 1)), true
}

// Check counts the request. The error is an [*ratelimit.Error] with one of the causes [ratelimit.ErrBlocked] and
// [ratelimit.ErrNotConfigured]; it is nil if the request may pass, because its key is within the limit (the decision is
// OK), because the rule is not about it (the decision is OK and has no Limit) or because AllowDespite lets it (the
// decision is not OK).
func (r *RateRule) Check(req *http.Request) (ratelimit.Decision, error) {
	o, err := r.check(nil, req)
	if o.plan == nil && err == nil {
		return ratelimit.Decision{OK: true}, nil
	}
	return o.decision(), err
}

// Handler answers requests that Check refuses, by default as API Gateway does what WAF blocks: 403,
// {"message":"Forbidden"}. It passes the others on to next.
func (r *RateRule) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, err := r.check(w, req)
		if err == nil {
			next.ServeHTTP(w, req)
			return
		}
		var handler func(http.ResponseWriter, *http.Request, error)
		if r != nil {
			handler = r.config.ErrorHandler
		}
		refuse(w, req, err, handler)
	})
}

// check is Check with an outcome in place of the decision. If the rule is not about the request, the outcome is zero,
// and nobody is told. w is nil if the caller writes the answer.
func (r *RateRule) check(w http.ResponseWriter, req *http.Request) (outcome, error) {
	if !r.configured() {
		return outcome{}, &ratelimit.Error{Err: errRuleNotMade}
	}
	f, ok := r.fingerprint(req)
	if !ok {
		return outcome{}, nil
	}
	o := r.engine.take(f, 1)
	if o.ok {
		if r.observer.observe != nil {
			r.observer.allow(w, req, "")
		}
		return o, nil
	}
	r.list(f, req)
	e := &ratelimit.Error{Err: ratelimit.ErrBlocked, Decision: o.decision()}
	return o, r.observer.refuse(w, req, e, r.config.AllowDespite, r.client(req), e.Decision.Remaining)
}
