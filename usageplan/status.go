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
	q := Request{Client: client, Route: r}
	if err := m.acceptable(&q); err != nil {
		return Status{}, err
	}
	p, found := m.table.find(client, m.config.Default, &r)
	if !found {
		return Status{}, m.refusal(ErrNoPlan, &q)
	}
	st := Status{Plan: p.state.Name}
	if limit := clone(p.limit()); limit != nil {
		st.RateLimit, st.BurstLimit = &limit.Rate, &limit.Burst
	}
	for i, quota := range p.state.Quotas {
		b, err := m.config.Ledger.Balance(ctx, p.state.key(i, client), p.state.quota(i, p.member))
		if err != nil {
			return Status{}, m.uncounted(ctx, &q, &p, i, err)
		}
		st.add(Allowance{quota.Period, max(b.Limit+b.Adjustments, 0), b.Used, b.Remaining, b.Reset.UTC()})
	}
	if len(st.Quotas) < 2 {
		st.Quotas = nil
	}
	return st, nil
}

func (s *Status) add(a Allowance) {
	if s.Allowance == nil || a.Remaining < s.Remaining {
		s.Allowance = &a
	}
	s.Quotas = append(s.Quotas, a)
}

// StatusHandler returns a handler that answers with the [Status] of the client that asks, as JSON. Put the same
// authenticator in front of it as in front of the metered routes. The stage is that of the route on which it is served.
// It counts nothing. It answers GET and HEAD, and other methods with 405. A refusal is answered as in
// [Meter.Handler].
func (m *Meter) StatusHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		st, err := m.statusOf(r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		nameRequest(h)
		_ = json.NewEncoder(w).Encode(st) // an error means that the client has gone
	})
}

// statusOf returns the status of the client of r. The client comes before the method: a stranger gets 403 and not 405.
func (m *Meter) statusOf(r *http.Request) (Status, error) {
	q, err := m.request(r)
	if err != nil {
		return Status{}, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return Status{}, m.refusal(errMethod, &q)
	}
	return m.Status(r.Context(), q.Client, q.Route)
}
