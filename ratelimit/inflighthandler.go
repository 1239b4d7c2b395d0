package ratelimit

import (
	"net/http"
	"sync"
)

// Check takes a place for a request. If the error is nil, the caller calls release once, when the work for the request
// has ended: not when the client leaves, because the work may go on. release is never nil, and does nothing after its
// first call. The error is an [*Error] with one of the causes [ErrInFlight], [ErrNoKey] and [ErrNotConfigured].
func (f *InFlight[K]) Check(r *http.Request) (release func(), err error) {
	key, taken, err := f.check(nil, r)
	if !taken {
		return func() {}, err
	}
	return sync.OnceFunc(func() { f.Release(key) }), nil
}

// Handler answers requests that Check refuses, and passes the others on to next. A request holds its place until next
// returns or panics. A next that starts a goroutine and returns before that has ended needs Check instead.
func (f *InFlight[K]) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, taken, err := f.check(w, r)
		if err != nil {
			f.refuse(w, r, err.(*Error))
			return
		}
		if taken {
			defer f.Release(key)
		}
		next.ServeHTTP(w, r)
	})
}

func (f *InFlight[K]) refuse(w http.ResponseWriter, r *http.Request, e *Error) {
	e.SetHeader(w.Header())
	if f != nil && f.config.ErrorHandler != nil {
		f.config.ErrorHandler(w, r, e)
		return
	}
	e.ServeHTTP(w, r)
}

// check takes a place and tells Observe. taken says that a place was taken. w is nil if the caller writes the answer.
func (f *InFlight[K]) check(w http.ResponseWriter, r *http.Request) (key K, taken bool, err error) {
	if f == nil || f.running == nil {
		return key, false, &Error{Err: errNotMade}
	}
	if f.config.Key == nil && f.config.Limit > 0 {
		return key, false, f.observer.refuse(w, r, &Error{Err: errNoKeyFunc}, nil, Event{Remaining: -1})
	}
	known := true
	if f.config.Key != nil {
		key, known = f.config.Key(r)
	}
	cause := ErrInFlight
	if !known {
		cause = ErrNoKey
	} else if f.Acquire(key) {
		if f.observer.observe != nil {
			f.tellAllowed(w, r, key)
		}
		return key, true, nil
	}
	about := Event{Cost: 1, Remaining: -1}
	if known {
		about.Client = client(&f.observer, key)
	}
	e := &Error{Err: cause, Decision: Decision{Limit: int64(f.config.Limit), RetryAfter: Never, ResetAfter: Never}}
	return key, false, f.observer.refuse(w, r, e, f.config.AllowDespite, about)
}

// tellAllowed tells Observe of a request that has a place. Observe is code of others: if it panics or ends the goroutine,
// the request goes no further, so its place is given back here.
func (f *InFlight[K]) tellAllowed(w http.ResponseWriter, r *http.Request, key K) {
	told := false
	defer func() {
		if !told {
			f.Release(key)
		}
	}()
	client, _ := any(key).(string)
	f.observer.allow(w, r, client, 1)
	told = true
}
