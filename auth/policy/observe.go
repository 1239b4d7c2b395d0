package policy

import "net/http"

// A Verdict is the part of an [Event] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: "policy".
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more).
	Outcome string
	// Reason is the name of the cause in lower case: "denied" for ErrDenied. It is "canceled" if there was no decision
	// because the request's context was canceled, and "" if the request was allowed. The set is closed, so that it can be
	// a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error]; nil if it was allowed. Its text is for logs: it quotes the path
	// that the client has sent.
	Err error
	// Plan is "": a gate knows no plans.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what [GateConfig].RequestID returned. It is "" if
	// the request was allowed and RequestID is nil. A request that passes despite a refusal is answered by the next
	// handler, without this id.
	RequestID string
}

// An Event is a decision about one request. It is small on purpose: it is passed in registers.
type Event = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. It is "" if the
	// mux is inside of this layer.
	Route string
	// Client is the ARN of the caller, also if the request was refused. It is "" if there is no principal or if the
	// request was refused before the gate asked for one. It is for logs and not for labels.
	Client string
	// Cost is 0: a gate takes nothing.
	Cost int64
	// Remaining is -1, as there is nothing of which something could be left.
	Remaining int64
}

// layer is the name of this package in events.
const layer = "policy"

// allowed is the verdict on all allowed requests that have no id, so that telling of them allocates nothing.
var allowed = Verdict{Layer: layer, Outcome: "allowed"}

// tellAllowed tells Observe, which must not be nil, that the request of a principal is allowed. w is nil if the caller
// writes the answer.
func (g *Gate) tellAllowed(w http.ResponseWriter, r *http.Request, principal string) {
	verdict := &allowed
	if g.cfg.RequestID != nil {
		verdict = &Verdict{Layer: layer, Outcome: allowed.Outcome, RequestID: g.idOf(w, r)}
	}
	g.cfg.Observe(r.Context(), Event{Verdict: verdict, Route: r.Pattern, Client: principal, Remaining: -1})
}

// refuse names e, asks AllowDespite whether the request may pass, and tells Observe once. It returns e, or nil if the
// request may pass. w is nil if the caller writes the answer.
func (g *Gate) refuse(w http.ResponseWriter, r *http.Request, e *Error) *Error {
	g.name(e, w, r)
	passes := g.cfg.AllowDespite != nil && g.cfg.AllowDespite(r, e)
	if g.cfg.Observe != nil {
		g.cfg.Observe(r.Context(), Event{
			Verdict: &Verdict{Layer: layer, Outcome: e.outcome(passes), Reason: e.Reason(), Err: e, RequestID: e.RequestID},
			Route:   r.Pattern, Client: e.Principal, Remaining: -1,
		})
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
	}
	return "refused"
}

// name gives the refusal of r an id before anybody sees it. If nobody observes and the application names no requests,
// there is no need: the answer then gets its id when it is written. w may be nil.
func (g *Gate) name(e *Error, w http.ResponseWriter, r *http.Request) {
	if g.cfg.Observe == nil && g.cfg.RequestID == nil {
		return
	}
	if e.RequestID = g.idOf(w, r); e.RequestID == "" {
		h := make(http.Header, 1)
		nameRequest(h)
		e.RequestID = h.Get(requestIDField)
	}
}

// idOf returns the id of r: the one in the header of the answer, which an outer layer has set, or the application's. It
// returns "" if there is none. The header comes first, since it is what the client will see. w may be nil.
func (g *Gate) idOf(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get(requestIDField); id != "" {
			return id
		}
	}
	if g.cfg.RequestID == nil {
		return ""
	}
	return g.cfg.RequestID(r)
}
