package usageplan

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

// Standing is what a client may know of its own plan. Its JSON form is what [Meter.Self] answers.
type Standing struct {
	// Plan is the plan's name.
	Plan string `json:"plan"`
	// RateLimit and BurstLimit are the plan's throttle for this client, in requests per second and requests; nil, and
	// left out, where there is none.
	RateLimit  *float64 `json:"rateLimit,omitempty"`
	BurstLimit *int64   `json:"burstLimit,omitempty"`
	// Allowance is the quota with the least remaining; nil, and its fields left out, where the plan has none.
	*Allowance
	// Quotas holds all quotas where the plan has more than one, and is left out otherwise.
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

// Standing tells how the client stands on the route's stage, without taking anything. An error is an [*Error].
func (m *Meter) Standing(ctx context.Context, client string, r Route) (Standing, error) {
	q := Request{Client: client, Route: r}
	if err := m.acceptable(&q); err != nil {
		return Standing{}, err
	}
	p, found := m.table.find(client, m.config.Default, &r)
	if !found {
		return Standing{}, m.refusal(ErrNoPlan, &q)
	}
	st := Standing{Plan: p.state.Name}
	if limit := clone(p.limit()); limit != nil {
		st.RateLimit, st.BurstLimit = &limit.Rate, &limit.Burst
	}
	for i, quota := range p.state.Quotas {
		b, err := m.config.Ledger.Balance(ctx, p.key(i, client), p.member.quota(quota))
		if err != nil {
			return Standing{}, m.uncounted(ctx, &q, &p, i, err)
		}
		st.add(Allowance{quota.Period, max(b.Limit+b.Adjustments, 0), b.Used, b.Remaining, b.Reset.UTC()})
	}
	if len(st.Quotas) < 2 {
		st.Quotas = nil
	}
	return st, nil
}

func (s *Standing) add(a Allowance) {
	if s.Allowance == nil || a.Remaining < s.Remaining {
		s.Allowance = &a
	}
	s.Quotas = append(s.Quotas, a)
}

// Self returns a handler that tells a client its own [Standing] as JSON. It goes behind the same authenticator as the
// metered routes and counts nothing. The stage is the one of the route that serves it. It answers GET and HEAD; another
// method is [ErrMethod]. Refusals are answered as those of Handler are.
func (m *Meter) Self() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		st, err := m.self(r)
		if err != nil {
			m.refuse(w, r, err)
			return
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		if h.Get("X-Amzn-RequestId") == "" {
			h.Set("X-Amzn-RequestId", requestID())
		}
		_ = json.NewEncoder(w).Encode(st) // nothing can be told to a client that has gone
	})
}

func (m *Meter) self(r *http.Request) (Standing, error) {
	q, err := m.request(r)
	if err != nil {
		return Standing{}, err
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return Standing{}, m.refusal(ErrMethod, &q)
	}
	return m.Standing(r.Context(), q.Client, q.Route)
}

// requestID makes a random id of the form that API Gateway's have, a UUID.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
