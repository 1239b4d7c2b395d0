package usageplan

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Standing is what a client may know of its own plan. Its JSON form is what [Meter.Self] answers.
type Standing struct {
	Plan string `json:"plan"` // the plan's name
	// RateLimit and BurstLimit are the plan's throttle for this client, in requests per second and requests; null
	// where it has none.
	RateLimit  *float64 `json:"rateLimit,omitempty"`
	BurstLimit *int64   `json:"burstLimit,omitempty"`
	// Allowance is the quota that runs out first; null fields where the plan has none.
	*Allowance
	// Quotas holds all quotas where the plan has more than one.
	Quotas []Allowance `json:"quotas,omitempty"`
}

// An Allowance is the state of one quota.
type Allowance struct {
	Period    ledger.Period `json:"period"`    // DAY, WEEK or MONTH
	Limit     int64         `json:"limit"`     // units per period, extensions of this period included
	Used      int64         `json:"used"`      // units counted in this period
	Remaining int64         `json:"remaining"` // units left, never negative
	Reset     time.Time     `json:"reset"`     // the instant at which the next period starts
}

// Standing tells how the client stands on the route's stage, without taking anything.
func (m *Meter) Standing(ctx context.Context, client string, r Route) (Standing, error) {
	p, found := m.table.find(client, m.config.Default, r)
	if !found {
		return Standing{}, m.refusal(ErrNoPlan, Request{Client: client})
	}
	st := Standing{Plan: p.state.Name}
	if limit := p.limit(); limit != nil && !math.IsInf(limit.Rate, 1) {
		st.RateLimit, st.BurstLimit = &limit.Rate, &limit.Burst
	}
	for i, q := range p.state.Quotas {
		b, err := m.config.Ledger.Balance(ctx, ledger.Key{Plan: p.state.accounts[i], Subject: client}, p.member.quota(q))
		if err != nil {
			return Standing{}, m.uncounted(Request{Client: client}, p, q, err)
		}
		a := Allowance{q.Period, b.Limit + b.Adjustments, b.Used, max(b.Remaining, 0), b.Reset.UTC()}
		if st.Allowance == nil || a.Remaining < st.Allowance.Remaining {
			st.Allowance = &a
		}
		st.Quotas = append(st.Quotas, a)
	}
	if len(st.Quotas) < 2 {
		st.Quotas = nil
	}
	return st, nil
}

// Self returns a handler that tells a client its own [Standing] as JSON. It goes behind the same authenticator as the
// metered routes and counts nothing. The stage is the one of the route that serves it.
func (m *Meter) Self() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q, err := m.request(r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		st, err := m.Standing(r.Context(), q.Client, q.Route)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(st) // nothing can be told to a client that has gone
	})
}
