package ratelimit

import "net/http"

// Check takes what the request costs from the bucket of its key. The error is an [*Error] with one of the causes
// [ErrLimited], [ErrNoKey] and [ErrNotConfigured]. It is nil if the request may pass: either the tokens were
// taken, and the decision is OK, or AllowDespite let the request pass, and the decision is not OK.
//
// What Check has taken cannot be given back. If the cost is known only later, take it by [Limiter.Ref], whose receipt
// can be undone.
func (l *Limiter[K]) Check(r *http.Request) (Decision, error) {
	o, n, err := l.check(nil, r)
	return o.decision(n), err
}

// Handler answers requests that Check refuses, and passes the others on to next. It sets Retry-After on a refusal, and
// on every answer the header fields that the configuration asks for.
func (l *Limiter[K]) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o, n, err := l.check(w, r)
		if err == nil {
			if l.config.Name != "" || l.config.XRateLimit {
				l.setFields(w.Header(), o, n)
			}
			next.ServeHTTP(w, r)
			return
		}
		e := err.(*Error)
		e.SetHeader(w.Header())
		if l != nil && l.config.ErrorHandler != nil {
			l.config.ErrorHandler(w, r, e)
			return
		}
		e.ServeHTTP(w, r)
	})
}

// check is Check with an outcome in place of the decision, which Handler needs only for header fields. n is the cost of
// the request. If no bucket was asked, the outcome is zero. A limiter that New did not make, or that has no Key,
// refuses without asking AllowDespite. w is nil if the caller writes the answer.
func (l *Limiter[K]) check(w http.ResponseWriter, r *http.Request) (o outcome, n int64, err error) {
	if !l.configured() {
		return o, 1, &Error{Err: errNotMade}
	}
	if l.config.Key == nil {
		return o, 1, l.observer.refuse(w, r, &Error{Err: errNoKeyFunc}, nil, Event{Remaining: -1})
	}
	n = 1
	if l.config.Cost != nil {
		n = l.config.Cost(r)
	}
	cause := ErrLimited
	key, known := l.config.Key(r)
	if !known {
		cause = ErrNoKey
	} else if n < 0 {
		cause = errNegative
	} else if o = l.take(key, n); o.ok() {
		if l.observer.observe != nil {
			client, _ := any(key).(string)
			l.observer.allow(w, r, client, n)
		}
		return o, n, nil
	}
	e, about := l.refusal(cause, o, n)
	if known {
		about.Client = client(&l.observer, key)
	}
	return o, n, l.observer.refuse(w, r, e, l.config.AllowDespite, about)
}

// setFields sets the header fields of a request that passes, if a limit was asked about it.
func (l *Limiter[K]) setFields(h http.Header, o outcome, n int64) {
	if !o.limited() {
		return
	}
	var d Decision
	o.fill(n, &d)
	setFields(h, l.field(o, d), l.config.XRateLimit, &d)
}

// field describes an outcome in the IETF fields. It has no name, and so is left out, unless the limiter is configured
// for them.
func (l *Limiter[K]) field(o outcome, d Decision) Field {
	if l.config.Name == "" || !o.limited() {
		return Field{}
	}
	return o.seg.field(l.config.Name, l.config.Unit, d)
}

// refusal returns the error for a refusal, and what an Event tells of it.
func (l *Limiter[K]) refusal(cause error, o outcome, n int64) (*Error, Event) {
	d := o.decision(n)
	about := Event{Cost: max(n, 0), Remaining: -1}
	if o.limited() {
		about.Remaining = d.Remaining
	}
	return &Error{Err: cause, Decision: d, Field: l.field(o, d), XRateLimit: l.config.XRateLimit && o.limited()}, about
}
