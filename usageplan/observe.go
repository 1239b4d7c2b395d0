package usageplan

import (
	"context"
	"errors"
	"net/http"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A Verdict is the part of an [Event] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: the limit that refused, as [Error].Layer names it, else "usageplan". It is "status" for
	// every decision of [Meter.StatusHandler].
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more).
	Outcome string
	// Reason is the name of the cause in lower case: "no_plan" for ErrNoPlan. It is "canceled" if the request's
	// context was canceled, and "" if the request was allowed. The set is closed, so that it can be a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error]; nil if it was allowed. Its text is for logs: it may quote
	// what the client has sent.
	Err error
	// Plan is the id of the client's plan; "" if the request was refused before the plan was known.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what Config.RequestID returned. It is "" if the
	// request was allowed and Config.RequestID is nil, except in the layer "status", whose answers all have an id. A
	// request that passed despite a refusal may have a random id. It is also in Err, but in no answer.
	RequestID string
}

// An Event is a decision about one request. It is small on purpose: it is passed in registers.
type Event = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. Where there is
	// none, as in [Meter.Take], it is [Route].Resource, or "" if the route is unknown.
	Route string
	// Client is the verified client, or "" if there is none or it is longer than a client can be. It is for logs and not
	// for labels.
	Client string
	// Cost is the number of units that the request takes from each quota, or would take if it was not allowed. What
	// [Charge.More] and [Charge.Settle] change later is not told. It is 0 if the request was refused before its cost was
	// known, if the cost is invalid, and in [Meter.StatusHandler].
	Cost int64
	// Remaining is the number of units that are left of the quota that refused; -1 if no quota did. It is not told of
	// requests that were allowed: their balance would take as long to compute as half of the decision.
	Remaining int64
}

// The layers of decisions that no limit has made.
const (
	meterLayer  = "usageplan"
	statusLayer = "status"
)

const allowed = "allowed"

// tellAllowed tells Observe that q was allowed, with the charge c. A version of a plan has one verdict for all such
// requests, so that telling allocates nothing. A request that the application names has a verdict of its own. w and r
// are nil if there is no HTTP request.
func (m *Meter) tellAllowed(ctx context.Context, w http.ResponseWriter, r *http.Request, q *Request, c *Charge) {
	told := false
	defer c.place.releaseUnless(&told)
	v := &c.state.allowed
	if m.config.RequestID != nil && r != nil {
		named := *v
		named.RequestID, v = m.requestID(w, r), &named
	}
	m.config.Observe(ctx, Event{v, pattern(r, q.Route.Resource), q.Client, c.cost, -1})
	told = true
}

// tellRefused tells Observe that a request was refused with e, unless there is nobody to tell. m and r may be nil.
func (m *Meter) tellRefused(ctx context.Context, r *http.Request, e *Error, layer string, despite bool) {
	if m == nil || m.config.Observe == nil {
		return
	}
	v := &Verdict{
		Layer: layer, Outcome: e.outcome(despite), Reason: e.Reason(), Err: e, Plan: e.Plan, RequestID: e.RequestID,
	}
	client := e.Client
	if len(client) > maxClient { // no client can be that long
		client = ""
	}
	m.config.Observe(ctx, Event{v, pattern(r, e.Route.Resource), client, e.cost, e.remaining()})
}

// pattern returns the Route of an event: the pattern of r, which may be nil, or else the resource.
func pattern(r *http.Request, resource string) string {
	if r != nil && r.Pattern != "" {
		return r.Pattern
	}
	return resource
}

// layer returns the name of the layer that refused.
func (e *Error) layer() string {
	if e.Layer == "" {
		return meterLayer
	}
	return e.Layer
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

// remaining returns what is left of the quota that refused, or -1. A plan without a quota is refused at the bound to
// which the ledger can count, and nothing is told of that one; see uncounted.
func (e *Error) remaining() int64 {
	if e.Layer != planQuota.String() || !errors.Is(e.Err, ErrQuotaExceeded) {
		return -1
	}
	if spent, is := errors.AsType[*ledger.Error](e.Err); is {
		return spent.Balance.Remaining
	}
	return -1
}

// name returns err as an *Error, which every refusal is, and gives it an id before anybody sees it. If nobody observes
// and the application names no requests, there is no need: the answer then gets its id when it is written. m may be
// nil. w and r are nil if there is no HTTP request.
func (m *Meter) name(err error, w http.ResponseWriter, r *http.Request) *Error {
	e, _ := errors.AsType[*Error](err)
	if m == nil || m.config.Observe == nil && m.config.RequestID == nil {
		return e
	}
	if e.RequestID = m.requestID(w, r); e.RequestID == "" {
		h := make(http.Header, 1)
		nameRequest(h)
		e.RequestID = h.Get("X-Amzn-RequestId")
	}
	return e
}

// requestID returns the id of r: the one in the header of the answer, which an outer layer has set, or the
// application's. It returns "" if there is none. w and r may be nil.
func (m *Meter) requestID(w http.ResponseWriter, r *http.Request) string {
	if w != nil {
		if id := w.Header().Get("X-Amzn-Requestid"); id != "" { // the canonical spelling: Get would allocate for others
			return id
		}
	}
	if r == nil || m.config.RequestID == nil {
		return ""
	}
	return m.config.RequestID(r)
}
