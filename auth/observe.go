package auth

import (
	"context"
	"errors"
	"net/http"
)

// A Verdict is the part of an [Event] that many requests share. It must not be changed.
//
// The type is an alias of a struct without a name, and the same in all packages of this module: one function can
// observe all of them.
type Verdict = struct {
	// Layer says who decided: "auth" for a [Verifier], "anyof" for [Modes].
	Layer string
	// Outcome is "allowed", "refused", "despite" (refused, but AllowDespite let the request pass) or "failed" (no
	// decision was possible, and the answer has a status of 500 or more).
	Outcome string
	// Reason is the name of the cause in lower case: "not_current" for ErrNotCurrent. It is "canceled" if there was no
	// decision because the request's context was canceled, and "" if the request was allowed. The set is closed, so that
	// it can be a label of a metric.
	Reason string
	// Err is why the request was not allowed, an [*Error], or the error of the mode that refused; nil if it was allowed.
	// Its text is for logs: it may quote what the client has sent.
	Err error
	// Plan is always "" here: only limits have plans.
	Plan string
	// RequestID is the id in the answer's header X-Amzn-RequestId, or what Config.RequestID returned. It is "" if the
	// request was allowed and Config.RequestID is nil. A request that passes despite a refusal is answered by the next
	// handler, without this id.
	RequestID string
}

// An Event is a decision about one request. It is small on purpose: it is passed in registers.
type Event = struct {
	*Verdict
	// Route is the pattern of the mux that matched the request ([http.Request].Pattern), never a path. It is "" if the mux
	// is inside of this layer or if there is no request, as in [Verifier.VerifyToken].
	Route string
	// Client is the ID of the token, as [ID] returns it, if its signature is valid. A refused token has it too, unless it
	// was refused before its claims were complete. It is "" if there is no such token, and in the events of [Modes]: those
	// of the modes name the client. It is for logs and not for labels.
	Client string
	// Cost is what the request costs. It is always 0 here.
	Cost int64
	// Remaining is what is left of a limit. It is always -1 here: not known.
	Remaining int64
}

// The values of Outcome.
const (
	outcomeAllowed = "allowed"
	outcomeRefused = "refused"
	outcomeDespite = "despite"
	outcomeFailed  = "failed"
)

// What all allowed requests share, so that telling about one of them allocates nothing.
var (
	allowed        = &Verdict{Layer: "auth", Outcome: outcomeAllowed}
	allowedByModes = &Verdict{Layer: "anyof", Outcome: outcomeAllowed}
)

// outcomeOf returns the Outcome of a request that was not allowed.
func outcomeOf(status int, despite bool) string {
	switch {
	case despite:
		return outcomeDespite
	case status >= http.StatusInternalServerError:
		return outcomeFailed
	}
	return outcomeRefused
}

// routeOf returns the Route of an Event. r may be nil.
func routeOf(r *http.Request) string {
	if r == nil {
		return ""
	}
	return r.Pattern
}

const idField = "X-Amzn-RequestId"

// idOf returns the id of a refusal: the one that the request was given, else a random one. h, named and r may be nil.
func idOf(h http.Header, named func(*http.Request) string, r *http.Request) string {
	if id := givenID(h, named, r); id != "" {
		return id
	}
	random := http.Header{}
	nameRequest(random)
	return random.Get(idField)
}

// givenID returns the id that a request was given: the one in the answer's header h, which an outer layer has set, else
// what named returns. It returns "" if there is none. h, named and r may be nil.
func givenID(h http.Header, named func(*http.Request) string, r *http.Request) string {
	if id := h.Get(idField); id != "" || named == nil || r == nil {
		return id
	}
	return named(r)
}

// tellAllowed tells Observe, which must not be nil, about an accepted token. r is nil if there is no request, and h if
// this package does not write the answer.
func (k *core) tellAllowed(ctx context.Context, r *http.Request, h http.Header, t *claimSet) {
	verdict := allowed
	if k.requestID != nil && r != nil {
		// A random id would stand in no answer.
		verdict = withID(allowed, givenID(h, k.requestID, r))
	}
	k.observe(ctx, Event{Verdict: verdict, Route: routeOf(r), Client: t.ID, Remaining: -1})
}

// withID returns a copy of a verdict for one request.
func withID(shared *Verdict, id string) *Verdict {
	v := *shared
	v.RequestID = id
	return &v
}

// refused is called by the verbs that do not write the answer. It tells Observe about a refusal and returns it, with
// its id if somebody wants one.
func (v *Verifier) refused(ctx context.Context, r *http.Request, err error) error {
	err = v.identify(err, r, nil)
	v.tellRefused(ctx, r, err, false)
	return err
}

// identify returns a refusal with the id of its answer if the application observes or names requests, else err itself.
// The result is a copy, because [Rules].Check may return one Error to many requests.
func (v *Verifier) identify(err error, r *http.Request, h http.Header) error {
	if v == nil || v.core == nil || v.core.observe == nil && v.core.requestID == nil {
		return err
	}
	e := Error{Err: err}
	if own, ok := errors.AsType[*Error](err); ok {
		e = own.copy()
	}
	e.RequestID = idOf(h, v.core.requestID, r)
	return &e
}

// copy returns the Error, or what a nil Error says.
func (e *Error) copy() Error {
	if e == nil {
		return Error{Err: ErrNotConfigured}
	}
	return *e
}

// tellRefused tells Observe, if there is one, about a refusal that identify has returned.
func (v *Verifier) tellRefused(ctx context.Context, r *http.Request, err error, despite bool) {
	if v == nil || v.core == nil || v.core.observe == nil {
		return
	}
	e, _ := errors.AsType[*Error](err)
	client := ""
	if e.Token != nil {
		client = e.Token.ID
	}
	v.core.observe(ctx, Event{
		Verdict: &Verdict{
			Layer: "auth", Outcome: outcomeOf(e.StatusCode(), despite), Reason: e.Reason(), Err: e, RequestID: e.RequestID,
		},
		Route: routeOf(r), Client: client, Remaining: -1,
	})
}
