package auth

import (
	"context"
	"errors"
	"net/http"
)

// reasoned is an error that knows its answer and the word for its cause, as those of all packages do. The Reason of
// another error, which some client of a server has returned and a mode has wrapped, is not of a closed set.
type reasoned interface {
	statused
	Reason() string
}

// tellAllowed tells Observe, which must not be nil, that all credentials of a request are valid. h is the header of the
// answer, or nil if Modes does not write it.
func (m *Modes) tellAllowed(r *http.Request, h http.Header) {
	verdict := allowedByModes
	if m.RequestID != nil {
		verdict = withID(allowedByModes, givenID(h, m.RequestID, r))
	}
	m.Observe(r.Context(), Event{Verdict: verdict, Route: r.Pattern, Remaining: -1})
}

// tellRefused tells Observe, which must not be nil, about a request that was not allowed.
func (m *Modes) tellRefused(r *http.Request, err error, id string, despite bool) {
	m.Observe(r.Context(), Event{
		Verdict: &Verdict{
			Layer: "anyof", Outcome: outcomeOf(statusOf(err), despite), Reason: reasonOf(err), Err: err, RequestID: id,
		},
		Route: r.Pattern, Remaining: -1,
	})
}

// idOf returns the id of a refusal: that of an outer layer, else the one that the mode has made, which only the error's
// SetHeader tells, else one of the Modes' own.
func (m *Modes) idOf(err error, r *http.Request, h http.Header) string {
	if e, ok := errors.AsType[headed](err); ok && h.Get(idField) == "" {
		h = http.Header{} // not the header of the answer: the request may pass despite the refusal
		e.SetHeader(h)
	}
	return idOf(h, m.RequestID, r)
}

// identify returns the id of a mode's refusal, and its error with that id, for a caller who writes the answer.
func (m *Modes) identify(err error, r *http.Request) (id string, identified error) {
	id = m.idOf(err, r, nil)
	e, ok := errors.AsType[answerable](err)
	if !ok { // it is answered with 500, or knows an answer that we do not
		return id, err
	}
	return id, &named{e, err, id}
}

// named is a mode's error with an id. If the mode has made an id, it is the same.
type named struct {
	answerable       // what err is or wraps
	err        error // of the mode
	id         string
}

func (n *named) Error() string { return n.err.Error() }
func (n *named) Unwrap() error { return n.err }

func (n *named) Reason() string { return reasonOf(n.err) }

func (n *named) SetHeader(h http.Header) {
	if h.Get(idField) == "" {
		h.Set(idField, n.id)
	}
	n.answerable.SetHeader(h)
}

func (n *named) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.SetHeader(w.Header())
	refuse(w, r, n.err, nil)
}

// statusOf returns the status of the answer to a mode's error. An error that cannot answer is answered with 500, even
// if it has a status.
func statusOf(err error) int {
	_, answers := errors.AsType[answering](err)
	_, styled := errors.AsType[answerable](err)
	if e, ok := errors.AsType[statused](err); ok && (answers || styled) {
		return e.StatusCode()
	}
	return http.StatusInternalServerError
}

// reasonOf returns the Reason of a mode's error.
func reasonOf(err error) string {
	if e, ok := errors.AsType[reasoned](err); ok {
		return e.Reason()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return "canceled"
	case statusOf(err) >= http.StatusInternalServerError:
		return "not_configured"
	}
	return "refused"
}
