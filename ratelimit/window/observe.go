package window

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"

	"github.com/tallygate/tallygate/ratelimit"
)

// An observer tells the decisions of one limiter or rule, as the one of package ratelimit does.
type observer struct {
	observe   func(context.Context, ratelimit.Event)
	requestID func(*http.Request) string
	allowed   *ratelimit.Verdict // about all allowed requests without an id; the other verdicts begin as copies of it
}

func newObserver(observe func(context.Context, ratelimit.Event), requestID func(*http.Request) string, layer, plan string) observer {
	return observer{observe, requestID, &ratelimit.Verdict{Layer: layer, Outcome: "allowed", Plan: plan}}
}

// allow tells Observe, which must not be nil, that the request is allowed. It allocates only if requests have ids. w is
// nil if the caller writes the answer.
func (b *observer) allow(w http.ResponseWriter, r *http.Request, client string) {
	v := b.allowed
	if b.requestID != nil {
		named := *v
		named.RequestID = b.idOf(w, r)
		v = &named
	}
	b.observe(r.Context(), ratelimit.Event{Verdict: v, Route: r.Pattern, Client: client, Cost: 1, Remaining: -1})
}

// refuse names e, asks despite, which may be nil, whether the request may pass, and tells Observe once. It returns e,
// or nil if the request may pass. remaining is -1 if no window was asked.
func (b *observer) refuse(w http.ResponseWriter, r *http.Request, e *ratelimit.Error, despite func(*http.Request, error) bool, client string, remaining int64) error {
	b.name(e, w, r)
	passes := despite != nil && despite(r, e)
	if b.observe != nil {
		v := *b.allowed
		v.Outcome, v.Reason, v.Err, v.RequestID = outcomeOf(e, passes), e.Reason(), e, e.RequestID
		b.observe(r.Context(), ratelimit.Event{Verdict: &v, Route: r.Pattern, Client: client, Cost: 1, Remaining: remaining})
	}
	if passes {
		return nil
	}
	return e
}

// outcomeOf returns the word for a request that was not allowed.
func outcomeOf(e *ratelimit.Error, passes bool) string {
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
func (b *observer) name(e *ratelimit.Error, w http.ResponseWriter, r *http.Request) {
	if b.observe == nil && b.requestID == nil {
		return
	}
	if e.RequestID = b.idOf(w, r); e.RequestID == "" {
		e.RequestID = randomID()
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

// randomID is an id in API Gateway's form, like those that a [ratelimit.Error] makes for itself.
func randomID() string {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

// client names the key in the Event of a request that was not allowed.
func (l *Limiter[K]) client(key K) string {
	if l.observer.observe == nil {
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

// client is the address by which the rule counts a request, for the Event of one that was blocked. It is "" if the rule
// does not count by address. What other components hold was not proven by anybody: [RateRule.Limited] lists it.
func (r *RateRule) client(req *http.Request) string {
	if r.observer.observe == nil {
		return ""
	}
	for _, c := range r.config.Aggregate {
		if c.kind == address {
			return c.text(req)
		}
	}
	return ""
}
