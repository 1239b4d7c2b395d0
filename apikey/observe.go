package apikey

import (
	"context"
	"net/http"
)

// A Verdict is the part of an [Event] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: "apikey".
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more). Only [ErrStale] is told as failed: without
	// Config.MaxStale, all that a decision needs is in memory, and a verifier that [New] has not made has nobody to tell.
	Outcome string
	// Reason is the name of the cause in lower case: "unknown" for ErrUnknown. It is "" if the request was allowed. The
	// set is closed, so that it can be a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error]; nil if it was allowed. Its text is for logs. It never has the
	// value that the client has sent.
	Err error
	// Plan is "": a verifier knows no plans.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what Config.RequestID returned. It is "" if the
	// request was allowed and Config.RequestID is nil. A request that passes despite a refusal is answered by the next
	// handler, without this id.
	RequestID string
}

// An Event is a decision about one request. It is small on purpose: it is passed in registers.
type Event = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. It is "" if the
	// mux is inside of this layer or if there is no request, as in [Verifier.VerifyKey].
	Route string
	// Client is the id of the key, as [ID] returns it. A request with the value of a key that is not active has it too.
	// It is "" if no key has the value. It is for logs and not for labels.
	Client string
	// Cost is 0: a verifier takes nothing.
	Cost int64
	// Remaining is -1: there is nothing of which something could be left.
	Remaining int64
}

// layer is the name of this package in events.
const layer = "apikey"

// allowed is the verdict on all allowed requests that have no id, so that telling of them allocates nothing.
var allowed = Verdict{Layer: layer, Outcome: "allowed"}

// tell tells the decision of a verb that writes no answer, and returns its error. r is nil in VerifyKey. v may be nil if
// e is not. It is small enough to be inlined, so that without Observe an allowed request costs a comparison.
func (v *Verifier) tell(ctx context.Context, r *http.Request, c Client, e *Error) error {
	if e == nil && v.observe == nil {
		return nil
	}
	return v.told(ctx, r, c, e)
}

// told is tell where there is something to tell or to name.
func (v *Verifier) told(ctx context.Context, r *http.Request, c Client, e *Error) error {
	if e == nil {
		v.tellAllowed(ctx, nil, r, c)
		return nil
	}
	v.name(e, nil, r)
	v.tellRefused(ctx, r, e, false)
	return e
}

// tellAllowed tells Observe, which must not be nil, that the request of c is allowed. w is nil if the caller writes the
// answer, and r in VerifyKey.
func (v *Verifier) tellAllowed(ctx context.Context, w http.ResponseWriter, r *http.Request, c Client) {
	verdict, route := &allowed, ""
	if r != nil {
		route = r.Pattern
		if v.idOf != nil {
			verdict = &Verdict{Layer: layer, Outcome: allowed.Outcome, RequestID: v.requestID(w, r)}
		}
	}
	v.observe(ctx, Event{verdict, route, c.r.id(), 0, -1})
}

// tellRefused tells Observe, if there is one, that the request was refused with e. v may be nil, and r is nil in
// VerifyKey.
func (v *Verifier) tellRefused(ctx context.Context, r *http.Request, e *Error, despite bool) {
	if v == nil || v.observe == nil {
		return
	}
	route := ""
	if r != nil {
		route = r.Pattern
	}
	verdict := &Verdict{Layer: layer, Outcome: e.outcome(despite), Reason: e.Reason(), Err: e, RequestID: e.RequestID}
	v.observe(ctx, Event{verdict, route, e.KeyID, 0, -1})
}

// outcome returns the word for a request that was not allowed.
func (e *Error) outcome(despite bool) string {
	switch {
	case despite:
		return "despite"
	case e.StatusCode() >= http.StatusInternalServerError:
		return "failed"
	}
	return "refused"
}

// name gives the refusal of r an id before anybody sees it. If nobody observes and the application names no requests,
// there is no need: the answer then gets its id when it is written. w and r may be nil, and so may v.
func (v *Verifier) name(e *Error, w http.ResponseWriter, r *http.Request) {
	if v == nil || v.observe == nil && v.idOf == nil {
		return
	}
	if e.RequestID = v.requestID(w, r); e.RequestID == "" {
		h := make(http.Header, 1)
		nameRequest(h)
		e.RequestID = h.Get(requestIDField)
	}
}

// requestID returns the id of r: the one in the header of the answer, which an outer layer has set, or the
// application's. It returns "" if there is none. w and r may be nil.
func (v *Verifier) requestID(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get(requestIDField); id != "" {
			return id
		}
	}
	if r == nil || v.idOf == nil {
		return ""
	}
	return v.idOf(r)
}
