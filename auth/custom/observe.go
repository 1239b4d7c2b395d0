package custom

import (
	"errors"
	"net/http"
)

// A Verdict is the part of a [Decision] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: "custom".
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more).
	Outcome string
	// Reason is the name of the cause in lower case: "denied" for ErrDenied. It is "canceled" if there was no decision
	// because the request's context was canceled, and "" if the request was allowed. The set is closed, so that it can be
	// a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error]; nil if it was allowed. Its text is for logs: it may quote
	// what the client has sent.
	Err error
	// Plan is "": an authenticator knows no plans.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what [Config].RequestID returned. It is "" if the
	// request was allowed and RequestID is nil. A request that passes despite a refusal is answered by the next
	// handler, without this id.
	RequestID string
}

// A Decision is what an Authorizer has decided about one request. Other packages of this module call the same type
// Event, which is the function's input here. It is small on purpose: it is passed in registers.
type Decision = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. It is "" if the
	// mux is inside of this layer.
	Route string
	// Client is the caller, as [ID] names it, also if a policy does not allow the caller the method. It is "" if the
	// function did not accept the caller or did not name one. It is for logs and not for labels.
	Client string
	// Cost is 0: an authenticator takes nothing.
	Cost int64
	// Remaining is -1, as there is nothing of which something could be left.
	Remaining int64
}

// layer is the name of this package in decisions.
const layer = "custom"

// allowed is the verdict on all allowed requests that have no id, so that telling of them allocates nothing.
var allowed = Verdict{Layer: layer, Outcome: "allowed"}

// tell tells Observe the decision about r. The identity is nil if r was not allowed, and e is nil if it was. w is nil
// if the caller writes the answer. The rest is a function of its own, so that without Observe nothing but the
// comparisons is inlined. a may be nil.
func (a *Authorizer) tell(w http.ResponseWriter, r *http.Request, id *Identity, e *Error, despite bool) {
	if a != nil && a.observe != nil {
		a.inform(w, r, id, e, despite)
	}
}

func (a *Authorizer) inform(w http.ResponseWriter, r *http.Request, id *Identity, e *Error, despite bool) {
	verdict, client := &allowed, ""
	switch {
	case e != nil:
		verdict = &Verdict{Layer: layer, Outcome: e.outcome(despite), Reason: e.Reason(), Err: e, RequestID: e.RequestID}
		client = e.client()
	case a.requestID != nil:
		verdict = &Verdict{Layer: layer, Outcome: allowed.Outcome, RequestID: a.idOf(w, r)}
	}
	if id != nil {
		client = id.PrincipalID
	}
	a.observe(r.Context(), Decision{Verdict: verdict, Route: r.Pattern, Client: client, Remaining: -1})
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

// client returns the caller whom a policy denied the method. A result that authorizes nothing proves no caller: its
// principal may be what the credential claims.
func (e *Error) client() string {
	if errors.Is(e, errNotAuthorized) {
		return ""
	}
	return e.PrincipalID
}

// name gives the refusal of r an id before anybody sees it. If nobody observes and the application names no requests,
// there is no need: the answer then gets its id when it is written. a may be nil.
func (a *Authorizer) name(e *Error, w http.ResponseWriter, r *http.Request) {
	if a == nil || a.observe == nil && a.requestID == nil {
		return
	}
	if e.RequestID = a.idOf(w, r); e.RequestID == "" {
		h := make(http.Header, 1)
		nameRequest(h)
		e.RequestID = h.Get("X-Amzn-RequestId")
	}
}

// idOf returns the id of r: the one in the header of the answer, which an outer layer has set, or the application's. It
// returns "" if there is none. w may be nil.
func (a *Authorizer) idOf(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get("X-Amzn-RequestId"); id != "" {
			return id
		}
	}
	if a.requestID == nil {
		return ""
	}
	return a.requestID(r)
}
