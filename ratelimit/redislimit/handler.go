package redislimit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/ratelimit"
)

// one has the name of the only bucket that Check uses in each group. The group is the key.
var one = []string{""}

// Check takes a token of the request's key. If the error is nil, the request may pass: either the token was taken, and
// the decision is OK, or AllowDespite let the request pass, and the decision is not OK. Otherwise the error is a
// *ratelimit.Error with one of the causes ratelimit.ErrLimited, ErrNoKey, ErrUnavailable and ErrNotConfigured.
//
// In an outage, Away may admit a request without the server: by Allow or LocalShare. Its decision is OK as well.
func (l *Limiter) Check(r *http.Request) (ratelimit.Decision, error) { return l.check(nil, r) }

// Handler answers requests that Check refuses, and passes the others on to next. It sets Retry-After on a refusal, and
// on every answer the header fields that the configuration asks for.
func (l *Limiter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d, err := l.check(w, r)
		if err == nil {
			if l.config.Name != "" || l.config.XRateLimit {
				l.setFields(w.Header(), d)
			}
			next.ServeHTTP(w, r)
			return
		}
		e := err.(*ratelimit.Error)
		e.SetHeader(w.Header())
		if l != nil && l.config.ErrorHandler != nil {
			l.config.ErrorHandler(w, r, e)
			return
		}
		e.ServeHTTP(w, r)
	})
}

// check is Check; w is nil if the caller writes the answer. A limiter that New did not make, or that has no Key,
// refuses without asking AllowDespite.
func (l *Limiter) check(w http.ResponseWriter, r *http.Request) (d ratelimit.Decision, err error) {
	if l == nil || l.lanes == nil {
		return d, &ratelimit.Error{Err: errNotMade}
	}
	if l.config.Key == nil {
		return d, l.observer.refuse(w, r, &ratelimit.Error{Err: errNoKey}, nil, ratelimit.Event{Remaining: -1})
	}
	about := ratelimit.Event{Cost: 1, Remaining: -1}
	key, known := l.config.Key(r)
	if !known {
		return d, l.observer.refuse(w, r, &ratelimit.Error{Err: ratelimit.ErrNoKey}, l.config.AllowDespite, about)
	}
	about.Client = key
	d, err = l.takeOne(r.Context(), key)
	switch {
	case err != nil: // when the server is back is not known; a second is the shortest time that Retry-After can say
		e := &ratelimit.Error{Err: err, Decision: ratelimit.Decision{RetryAfter: time.Second}}
		return d, l.observer.refuse(w, r, e, l.config.AllowDespite, about)
	case !d.OK:
		about.Remaining = d.Remaining
		e := &ratelimit.Error{
			Err: ratelimit.ErrLimited, Decision: d, Field: l.field(d), XRateLimit: l.config.XRateLimit,
		}
		return d, l.observer.refuse(w, r, e, l.config.AllowDespite, about)
	}
	if l.observer.observe != nil {
		l.observer.allow(w, r, key)
	}
	return d, nil
}

// takeOne takes a token from the one bucket of a key.
func (l *Limiter) takeOne(ctx context.Context, key string) (ratelimit.Decision, error) {
	var d [1]ratelimit.Decision
	limits := [1]ratelimit.Limit{l.config.Limit}
	_, err := l.Take(ctx, key, one, limits[:], d[:])
	return d[0], err
}

// setFields sets the header fields of a request that passes, if a limit was asked about it. It was not if AllowDespite
// let the request pass after an error. X-RateLimit-Reset is in whole seconds, rounded up, so that a client that waits
// so long finds a full bucket.
func (l *Limiter) setFields(h http.Header, d ratelimit.Decision) {
	if f := l.field(d); f.Name != "" {
		ratelimit.SetFields(h, f)
	}
	if !l.config.XRateLimit || d.Limit == 0 {
		return
	}
	h["X-Ratelimit-Limit"] = decimal(d.Limit)
	h["X-Ratelimit-Remaining"] = decimal(d.Remaining)
	if d.ResetAfter != ratelimit.Never {
		h["X-Ratelimit-Reset"] = decimal(int64((d.ResetAfter + time.Second - 1) / time.Second))
	}
}

// decimal returns n as the value of a header field.
func decimal(n int64) []string { return []string{strconv.FormatInt(n, 10)} }

// field describes a decision for the IETF header fields. Without [Config].Name, and if no limit was asked, the field
// has no name and is left out.
func (l *Limiter) field(d ratelimit.Decision) ratelimit.Field {
	if l.config.Name == "" || d.Limit == 0 {
		return ratelimit.Field{}
	}
	// The window is the time in which a bucket fills ("w" of RateLimit-Policy): Burst / Rate.
	f := ratelimit.Field{Name: l.config.Name, Quota: d.Limit, Remaining: d.Remaining, Reset: d.ResetAfter}
	if rate := l.config.Limit.Rate; rate > 0 {
		// Rounded to microseconds, so that the error of the division does not become a whole second by rounding up.
		f.Window = max(time.Duration(float64(l.config.Limit.Burst)/rate*1e6+0.5)*time.Microsecond, 1)
	}
	return f
}

// An observer tells the decisions of a limiter, as the one of package ratelimit does.
type observer struct {
	observe   func(context.Context, ratelimit.Event)
	requestID func(*http.Request) string
	allowed   *ratelimit.Verdict // about all allowed requests without an id; the other verdicts begin as copies of it
}

// newObserver returns the observer of a limiter. Its verdict on allowed requests is made once.
func newObserver(c *Config) observer {
	return observer{c.Observe, c.RequestID, &ratelimit.Verdict{Layer: "redislimit", Outcome: "allowed", Plan: c.Name}}
}

// allow tells Observe, which must not be nil, that the request is allowed. Without RequestID, all such calls share one
// verdict, so that the path of most requests does not allocate it.
func (b *observer) allow(w http.ResponseWriter, r *http.Request, client string) {
	v := b.allowed
	if b.requestID != nil {
		named := *v
		named.RequestID = b.idOf(w, r)
		v = &named
	}
	b.observe(r.Context(), ratelimit.Event{Verdict: v, Route: r.Pattern, Client: client, Cost: 1, Remaining: -1})
}

// refuse gives e a request id, and asks despite, which may be nil, whether the request may pass. It completes about and
// passes it to Observe, once. It returns e, or nil if the request may pass. The id is set first, so that despite and
// the answer to the client have the same one as the log.
func (b *observer) refuse(
	w http.ResponseWriter, r *http.Request,
	e *ratelimit.Error, despite func(*http.Request, error) bool, about ratelimit.Event,
) error {
	if b.observe != nil || b.requestID != nil {
		if e.RequestID = b.idOf(w, r); e.RequestID == "" {
			e.RequestID = randomID()
		}
	}
	passes := despite != nil && despite(r, e)
	if b.observe != nil {
		v := *b.allowed
		v.Outcome, v.Reason, v.Err, v.RequestID = outcomeOf(e, passes), e.Reason(), e, e.RequestID
		about.Verdict, about.Route = &v, r.Pattern
		b.observe(r.Context(), about)
	}
	if passes {
		return nil
	}
	return e
}

// outcomeOf returns the word for a request that was not allowed. A request is refused because of its client, and has
// failed because of the server or the program.
func outcomeOf(e *ratelimit.Error, passes bool) string {
	switch {
	case passes:
		return "despite"
	case errors.Is(e, ratelimit.ErrLimited) || errors.Is(e, ratelimit.ErrNoKey):
		return "refused"
	default:
		return "failed"
	}
}

// idOf returns the id that an outer layer has given to the answer, or else the application's, or else "".
func (b *observer) idOf(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get("X-Amzn-Requestid"); id != "" { // X-Amzn-RequestId, as http.Header keeps it
			return id
		}
	}
	if b.requestID == nil {
		return ""
	}
	return b.requestID(r)
}

// randomID is an id in API Gateway's form.
func randomID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
