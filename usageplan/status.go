package usageplan

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Status is what a client may know about its own plan. Its JSON form is the answer of [Meter.StatusHandler].
type Status struct {
	// Plan is the plan's name.
	Plan string `json:"plan"`
	// RateLimit is the client's throttle in requests per second, BurstLimit its burst in requests. Both are nil, and
	// absent from the JSON, if there is no throttle.
	RateLimit  *float64 `json:"rateLimit,omitempty"`
	BurstLimit *int64   `json:"burstLimit,omitempty"`
	// InFlight is how many requests of the client may run at once. It is 0, and absent, if its plan does not bound them.
	InFlight int `json:"inFlight,omitempty"`
	// Allowance is the quota with the least remaining. It is nil, and its fields are absent, if the plan has no quota.
	*Allowance
	// Quotas are all quotas of a plan with more than one; otherwise nil and absent.
	Quotas []Allowance `json:"quotas,omitempty"`
}

// An Allowance is the state of one quota.
type Allowance struct {
	Period    ledger.Period `json:"period"`    // DAY, WEEK or MONTH
	Limit     int64         `json:"limit"`     // units in this period, its extensions included
	Used      int64         `json:"used"`      // units used in this period
	Remaining int64         `json:"remaining"` // units left, never negative
	Reset     time.Time     `json:"reset"`     // the start of the next period, in UTC
}

// Status returns the status of the client on the route's stage. It takes nothing. An error is an [*Error].
func (m *Meter) Status(ctx context.Context, client string, r Route) (Status, error) {
	_, st, err := m.status(ctx, &Request{Client: client, Route: r})
	return st, err
}

// status returns the membership and the version of the plan that apply to q, and the client's status under them.
func (m *Meter) status(ctx context.Context, q *Request) (match, Status, error) {
	if err := m.acceptable(q); err != nil {
		return match{}, Status{}, err
	}
	if _, err := m.current(ctx, q); err != nil {
		return match{}, Status{}, err
	}
	p, found := m.table.find(q.Client, m.config.Default, &q.Route)
	if !found {
		return match{}, Status{}, m.refusal(ErrNoPlan, q)
	}
	st := Status{Plan: p.state.Name}
	st.InFlight, _ = p.inFlight()
	if limit := clone(p.limit()); limit != nil {
		st.RateLimit, st.BurstLimit = &limit.Rate, &limit.Burst
	}
	for i, quota := range p.state.Quotas {
		b, err := m.config.Ledger.Balance(ctx, p.state.key(i, q.Client), p.state.quota(i, p.member))
		if err != nil {
			return match{}, Status{}, m.uncounted(ctx, q, &p, i, err)
		}
		st.add(Allowance{quota.Period, max(b.Limit+b.Adjustments, 0), b.Used, b.Remaining, b.Reset.UTC()})
	}
	if len(st.Quotas) < 2 {
		st.Quotas = nil
	}
	return p, st, nil
}

func (s *Status) add(a Allowance) {
	if s.Allowance == nil || a.Remaining < s.Remaining {
		s.Allowance = &a
	}
	s.Quotas = append(s.Quotas, a)
}

// StatusHandler returns a handler that answers with the [Status] of the client that asks. Put the same authenticator
// in front of it as in front of the metered routes. The stage is that of the route on which it is served. It counts
// nothing. It answers GET and HEAD, and other methods with 405. A refusal is answered as in [Meter.Handler].
// Config.Observe is told each decision, in the layer "status".
//
// The answer is JSON. A client whose Accept prefers text/html, as that of a browser does, gets a page of the same
// figures, with the usage of 30 days. It needs no script, and its Content-Security-Policy allows none. (Java's
// HttpURLConnection prefers HTML as well, unless it is told to accept application/json.)
//
// A browser sends no X-API-Key. So where persons are to open the page, another authenticator is in front of it: the
// second example asks for the key as a password. An application with a login finds the key of its user, and passes it
// on by NewClient and NewContext of package apikey.
func (m *Meter) StatusHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := m.request(r)
		var plan match
		var body []byte
		asPage := prefersHTML(r.Header)
		if err == nil {
			plan, body, err = m.statusOf(r, &q, asPage)
		}
		if err != nil {
			m.tellRefused(r.Context(), r, m.name(err, w, r), statusLayer, false)
			m.refuse(w, r, err)
			return
		}
		m.nameAnswer(w, r)
		m.tellStatus(w, r, &q, plan.state)
		h := w.Header()
		h.Add("Vary", "Accept") // RFC 9110 §12.5.5
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Type", jsonType)
		if asPage {
			setPageHeader(h)
		}
		_, _ = w.Write(body) // an error means that the client has gone
	})
}

// statusOf returns the body of the answer to q, the request r: the status as a page or as JSON. The client has come
// before the method: a stranger gets 403 and not 405.
func (m *Meter) statusOf(r *http.Request, q *Request, asPage bool) (p match, body []byte, err error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return p, nil, m.refusal(errMethod, q)
	}
	p, st, err := m.status(r.Context(), q)
	switch {
	case err != nil:
	case asPage:
		body, err = m.pageOf(r.Context(), q, &p, &st)
	default:
		body, _ = json.Marshal(st) // its fields always encode
		body = append(body, '\n')
	}
	return p, body, err
}

// nameAnswer gives the answer of r its id: what Config.RequestID returns, or else a random one, unless an outer layer
// has set one.
func (m *Meter) nameAnswer(w http.ResponseWriter, r *http.Request) {
	if id := m.requestID(w, r); id != "" {
		w.Header().Set("X-Amzn-RequestId", id)
	}
	nameRequest(w.Header())
}

// tellStatus tells Observe that q, the request r, gets a status under the plan.
func (m *Meter) tellStatus(w http.ResponseWriter, r *http.Request, q *Request, plan *state) {
	if m.config.Observe == nil {
		return
	}
	v := &Verdict{Layer: statusLayer, Outcome: allowed, Plan: plan.ID, RequestID: w.Header().Get("X-Amzn-RequestId")}
	m.config.Observe(r.Context(), Event{v, pattern(r, q.Route.Resource), q.Client, 0, -1})
}
