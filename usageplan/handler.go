package usageplan

import (
	"errors"
	"fmt"
	"net/http"
)

// Check decides about r and takes its cost from the limits. If it returns an error, which is an [*Error], it has taken
// nothing. The charge says what is left. If the real cost is known only later, call the charge's Settle then.
func (m *Meter) Check(r *http.Request) (Charge, error) {
	charge, err := m.check(r)
	if err != nil && m.configured() == nil && m.config.AllowDespite != nil && m.config.AllowDespite(r, err) {
		return Charge{}, nil
	}
	return charge, err
}

// check is Check without AllowDespite.
func (m *Meter) check(r *http.Request) (Charge, error) {
	q, err := m.request(r)
	if err != nil {
		return Charge{}, err
	}
	if q.Cost = 1; m.config.Cost != nil {
		q.Cost = m.config.Cost(r)
	}
	return m.Take(r.Context(), q)
}

// request returns the client and the route of r. It does not set the cost, which a status does not need. The client
// comes first: a request without a client is refused with 403, even on a route that is not known.
func (m *Meter) request(r *http.Request) (Request, error) {
	if err := m.configured(); err != nil {
		return Request{}, err
	}
	if m.config.Client == nil {
		err := fmt.Errorf("%w: Config.Client is nil, so only Take can be called", ErrNotConfigured)
		return Request{}, m.refusal(err, &Request{})
	}
	client, found := m.config.Client(r)
	if !found {
		return Request{}, m.refusal(ErrNoClient, &Request{})
	}
	route, found := m.config.Route(r)
	if !found {
		return Request{}, m.refusal(m.noRoute(), &Request{Client: client})
	}
	return Request{Client: client, Route: route}, nil
}

// noRoute says why the route is unknown, and what to do. The client gets a plain 500, so an operator has only this
// text.
func (m *Meter) noRoute() error {
	if m.pattern {
		return fmt.Errorf("%w: its route is unknown: r.Pattern is empty, no mux has matched the request: "+
			"wrap the handlers that are given to the mux, not the mux, or set Config.Route", ErrNotConfigured)
	}
	return fmt.Errorf("%w: its route is unknown: Config.Route does not know it", ErrNotConfigured)
}

// Handler returns a handler that calls next for each request that Check admits, and answers the others. It sets the
// RateLimit fields of an admitted request's answer. If Config.ChargeInContext is set, next gets the charge from
// [FromContext].
func (m *Meter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		charge.SetHeader(w.Header())
		if !m.config.ChargeInContext {
			next.ServeHTTP(w, r)
			return
		}
		inner := r.WithContext(NewContext(r.Context(), charge))
		next.ServeHTTP(w, inner)
		r.Pattern = inner.Pattern // a mux inside set it on the copy; outer layers read it from r
	})
}

// refuse answers a request that was refused with err.
func (m *Meter) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e, _ := errors.AsType[*Error](err) // every refusal is one
	e.SetHeader(w.Header())
	if m.configured() == nil && m.config.ErrorHandler != nil {
		m.config.ErrorHandler(w, r, err)
		return
	}
	e.ServeHTTP(w, r)
}
