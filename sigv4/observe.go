package sigv4

import "net/http"

// A Verdict is the part of an [Event] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: "sigv4".
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more).
	Outcome string
	// Reason is the name of the cause in lower case: "unknown_key" for ErrUnknownKey. It is "canceled" if there was no
	// decision because the request's context was canceled, and "" if the request was allowed. The set is closed, so that
	// it can be a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error]; nil if it was allowed. Its text is for logs: it may quote
	// what the client has sent.
	Err error
	// Plan is "": an authenticator knows no plans.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what [VerifierConfig].RequestID returned. It is
	// "" if the request was allowed and RequestID is nil. A request that passes despite a refusal is answered by the next
	// handler, without this id.
	RequestID string
}

// An Event is a decision about one request. It is small on purpose: it is passed in registers.
type Event = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. It is "" if the
	// mux is inside of this layer.
	Route string
	// Client is the caller, as [ID] names it, if the signature was valid, even if the request was refused for another
	// reason; else "". It is for logs and not for labels.
	Client string
	// Cost is 0: an authenticator takes nothing.
	Cost int64
	// Remaining is -1, as there is nothing of which something could be left.
	Remaining int64
}

// layer is the name of this package in events.
const layer = "sigv4"

// allowed is the verdict on all allowed requests that have no id, so that telling of them allocates nothing.
var allowed = Verdict{Layer: layer, Outcome: "allowed"}

// tell tells Observe the decision about r. The client is "" unless it was proven, and e is nil if r was allowed. w is
// nil if the caller writes the answer. The rest is a function of its own, so that without Observe nothing but the
// comparisons is inlined. v may be nil.
func (v *Verifier) tell(w http.ResponseWriter, r *http.Request, client string, e *Error, despite bool) {
	if v != nil && v.config.Observe != nil {
		v.observe(w, r, client, e, despite)
	}
}

func (v *Verifier) observe(w http.ResponseWriter, r *http.Request, client string, e *Error, despite bool) {
	verdict := &allowed
	switch {
	case e != nil:
		verdict = &Verdict{Layer: layer, Outcome: e.outcome(despite), Reason: e.Reason(), Err: e, RequestID: e.RequestID}
	case v.config.RequestID != nil:
		verdict = &Verdict{Layer: layer, Outcome: allowed.Outcome, RequestID: v.requestID(w, r)}
	}
	v.config.Observe(r.Context(), Event{Verdict: verdict, Route: r.Pattern, Client: client, Remaining: -1})
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
// there is no need: the answer then gets its id when it is written. v may be nil.
func (v *Verifier) name(e *Error, w http.ResponseWriter, r *http.Request) {
	if v == nil || v.config.Observe == nil && v.config.RequestID == nil {
		return
	}
	if e.RequestID = v.requestID(w, r); e.RequestID == "" {
		h := make(http.Header, 1)
		nameRequest(h)
		e.RequestID = h.Get("X-Amzn-RequestId")
	}
}

// requestID returns the id of r: the one in the header of the answer, which an outer layer has set, or the
// application's. It returns "" if there is none. w may be nil.
func (v *Verifier) requestID(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get("X-Amzn-RequestId"); id != "" {
			return id
		}
	}
	if v.config.RequestID == nil {
		return ""
	}
	return v.config.RequestID(r)
}
