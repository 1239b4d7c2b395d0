package usageplan

import (
	"errors"
	"fmt"
	"net/http"
)

// Check decides about r and takes its cost from the limits. If it returns an error, which is an [*Error], it has taken
// nothing. The charge says what is left. If the real cost is known only later, call the charge's Settle then. Call its
// Release when the request has ended, if Plan.InFlight or Config.InFlight bounds how many run. Config.Observe is told the
// decision.
func (m *Meter) Check(r *http.Request) (Charge, error) { return m.check(nil, r) }

// check is Check for a request whose answer is written to w. w is nil if the caller writes the answer.
func (m *Meter) check(w http.ResponseWriter, r *http.Request) (c Charge, err error) {
	q, err := m.request(r)
	if err == nil {
		if q.Cost = 1; m.config.Cost != nil {
			q.Cost = m.config.Cost(r)
		}
		if q.least = q.Cost; m.config.MinCost != nil {
			q.least = m.config.MinCost(r)
		}
		err = m.decide(r.Context(), &q, &c)
	}
	if err != nil {
		return Charge{}, m.refused(w, r, err)
	}
	if m.config.Observe != nil {
		m.tellAllowed(r.Context(), w, r, &q, &c)
	}
	return c, nil
}

// refused asks AllowDespite about a request that was refused with err, and tells Observe. It returns nil if the request
// is admitted despite the refusal, else err. m may be nil.
func (m *Meter) refused(w http.ResponseWriter, r *http.Request, err error) error {
	e := m.name(err, w, r)
	despite := m != nil && m.config.AllowDespite != nil && m.config.AllowDespite(r, err)
	m.tellRefused(r.Context(), r, e, e.layer(), despite)
	if despite {
		return nil
	}
	return err
}

// request returns the client and the route of r. It does not set the cost, which a status does not need. The client
// comes first: a request without a client is refused with 403, even on a route that is not known.
func (m *Meter) request(r *http.Request) (Request, error) {
	if err := m.configured(); err != nil {
		return Request{}, err
	}
	if m.config.Client == nil {
		err := fmt.Errorf("%w: Config.Client is nil, so only Take and TakeUpTo can be called: set it", ErrNotConfigured)
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
// [FromContext], and has to settle it if the ledger has a [ledger.Config].SettleWithin: one without a better figure
// settles its [Charge.Units]. Without ChargeInContext, nobody can settle the charge, so that bound does not concern it.
//
// A request holds its place under Plan.InFlight and Config.InFlight until next returns, panics or ends its goroutine,
// and not only until the client leaves. A next that hijacks the connection, or starts a goroutine, and returns before
// that work has ended needs Check instead.
func (m *Meter) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.check(w, r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		defer charge.place.release()
		charge.SetHeader(w.Header())
		if !m.config.ChargeInContext {
			charge.keep(r.Context())
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
