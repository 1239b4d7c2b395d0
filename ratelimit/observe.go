package ratelimit

import (
	"context"
	"fmt"
	"net/http"
)

// A Verdict is the part of an [Event] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: "ratelimit", or "in flight" for an [InFlight]; in package window "window" or "rate rule".
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more).
	Outcome string
	// Reason is the name of the cause in lower case: "no_key" for ErrNoKey. It is "canceled" if the request's context
	// was canceled, and "" if the request was allowed. The set is closed, so that it can be a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error]; nil if it was allowed. Its text is for logs: it may quote
	// what the client has sent.
	Err error
	// Plan is the Name of the configuration.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what Config.RequestID returned. It is "" if the
	// request was allowed and Config.RequestID is nil. A request that passed despite a refusal may have a random id. It
	// is also in Err, but in no answer.
	RequestID string
}

// An Event is a decision about one request. It is small on purpose: it is passed in registers.
type Event = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. It is "" if the
	// mux is inside of this layer.
	Route string
	// Client is the key that was charged, if its type is string. A key of another type that has a String method is named
	// if the request was not allowed, since making the text takes time. Else it is "". It is for logs and not for labels.
	Client string
	// Cost is how many tokens the request costs. It is 0 if Config.Cost was not asked, or returned a negative cost.
	Cost int64
	// Remaining is what is left in the bucket, in tokens, if the request was not allowed. It is -1 if the request was
	// allowed, because nothing has computed it then, and if no bucket was asked.
	Remaining int64
}

// An observer tells the decisions of one limiter.
type observer struct {
	observe   func(context.Context, Event)
	requestID func(*http.Request) string
	allowed   *Verdict // about all allowed requests without an id; the other verdicts begin as copies of it
}

func newObserver(observe func(context.Context, Event), requestID func(*http.Request) string, plan string) observer {
	return observer{observe, requestID, &Verdict{Layer: "ratelimit", Outcome: "allowed", Plan: plan}}
}

// allow tells Observe, which must not be nil, that the request is allowed. It allocates only if requests have ids. w is
// nil if the caller writes the answer.
func (b *observer) allow(w http.ResponseWriter, r *http.Request, client string, cost int64) {
	v := b.allowed
	if b.requestID != nil {
		v = b.named(w, r)
	}
	b.observe(r.Context(), Event{v, r.Pattern, client, cost, -1})
}

// named returns a verdict of its own for an allowed request that has an id.
func (b *observer) named(w http.ResponseWriter, r *http.Request) *Verdict {
	v := *b.allowed
	v.RequestID = b.idOf(w, r)
	return &v
}

// refuse names e, asks despite, which may be nil, whether the request may pass, and tells Observe once, with the rest
// of about. It returns e, or nil if the request may pass.
func (b *observer) refuse(w http.ResponseWriter, r *http.Request, e *Error, despite func(*http.Request, error) bool, about Event) error {
	b.name(e, w, r)
	passes := despite != nil && despite(r, e)
	if b.observe != nil {
		v := *b.allowed
		v.Outcome, v.Reason, v.Err, v.RequestID = e.outcome(passes), e.Reason(), e, e.RequestID
		about.Verdict, about.Route = &v, r.Pattern
		b.observe(r.Context(), about)
	}
	if passes {
		return nil
	}
	return e
}

// outcome returns the word for a request that was not allowed.
func (e *Error) outcome(passes bool) string {
	switch {
	case passes:
		return "despite"
	case e.StatusCode() >= http.StatusInternalServerError:
		return "failed"
	default:
		return "refused"
	}
}

// name gives e an id before anybody sees it. If nobody observes, and the application does not name its requests, e gets
// one when it is written.
func (b *observer) name(e *Error, w http.ResponseWriter, r *http.Request) {
	if b.observe == nil && b.requestID == nil {
		return
	}
	if e.RequestID = b.idOf(w, r); e.RequestID == "" {
		h := make(http.Header, 1)
		nameRequest(h)
		e.RequestID = h.Get(requestIDField)
	}
}

// idOf returns the id that an outer layer has given to the answer, or else the application's, or else "".
func (b *observer) idOf(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get(requestIDField); id != "" {
			return id
		}
	}
	if b.requestID == nil {
		return ""
	}
	return b.requestID(r)
}

// client names the key in the Event of a request that was not allowed.
func client[K any](b *observer, key K) string {
	if b.observe == nil {
		return ""
	}
	switch key := any(key).(type) {
	case string:
		return key
	case fmt.Stringer:
		return key.String()
	default:
		return ""
	}
}
