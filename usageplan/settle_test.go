package usageplan_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A charge is settled under the limit at that time: the plan's, or the client's own.
func TestSettleByLimitInForce(t *testing.T) {
	put := func(limit int64) change {
		return putting(usageplan.Plan{ID: "p", Name: "p", Stages: dev, Quotas: daily(limit)})
	}
	own := func(limit int64) change {
		return joining(usageplan.Member{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: limit}})
	}
	for _, tt := range []struct {
		name                string
		limit, cost, actual int64
		change              change
		client              string
		forgiven            bool
		wantUsed, wantLimit int64
	}{
		{"plan raised", 1000, 900, 5000, put(100_000), "a", false, 5000, 100_000},
		{"plan lowered", 100, 5, 50, put(10), "a", true, 10, 10},
		{"plan lowered below what is taken", 1000, 900, 5000, put(10), "a", true, 900, 10},
		{"plan without a quota", 100, 5, 150, putting(usageplan.Plan{ID: "p", Name: "p", Stages: dev}), "a", false, 150, ledger.MaxUnits},
		{"plan with another quota", 100, 5, 150, putting(usageplan.Plan{
			ID: "p", Name: "p", Stages: dev, Quotas: []ledger.Quota{{Limit: 1000, Period: ledger.Monthly}},
		}), "a", true, 100, 100},
		{"plan deleted", 100, 5, 150, deleting("p"), "a", true, 100, 100},
		{"member raised", 100, 5, 150, own(1000), "a", false, 150, 1000},
		{"member lowered", 100, 5, 50, own(10), "a", true, 10, 10},
		{"plan raised for anyone", 100, 5, 150, put(1000), "stranger", false, 150, 1000},
		{"member gone", 100, 5, 150, leaving("p", "a"), "a", true, 100, 100},
	} {
		for exact, name := range map[bool]string{false: "leased", true: "exact"} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Exact: exact})
					require.NoError(t, err)
					defer func() { require.NoError(t, quotas.Close()) }()
					c := usageplan.Config{
						Ledger:  quotas,
						Plans:   []usageplan.Plan{{ID: "p", Name: "p", Stages: dev, Quotas: daily(tt.limit)}},
						Members: []usageplan.Member{{Plan: "p", Client: "a"}},
					}
					if tt.client != "a" {
						c.Default = "p"
					}
					m := meter(t, c)
					q := getCats(tt.client)
					q.Cost = tt.cost
					charge, err := m.Take(t.Context(), q)
					require.NoError(t, err)
					require.NoError(t, tt.change(t.Context(), m))
					err = charge.Settle(t.Context(), tt.actual)
					if tt.forgiven {
						require.ErrorIs(t, err, ledger.ErrForgiven)
						require.NotErrorIs(t, err, ledger.ErrExhausted)
					} else {
						require.NoError(t, err)
					}
					b, _ := charge.Balance(ledger.Daily)
					require.Equal(t, [2]int64{tt.wantUsed, tt.wantLimit}, [2]int64{b.Used, b.Limit})
					require.ErrorIs(t, charge.Settle(t.Context(), 0), ledger.ErrSettled)
					require.NoError(t, usageplan.Charge{}.Settle(t.Context(), 5), "nothing was taken")
				})
			})
		}
	}
}

// After Settle, SetHeader sets what is left then.
func TestFieldsTellTheSettledBalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		m := meter(t, usageplan.Config{
			Unit:    "tokens",
			Plans:   []usageplan.Plan{{ID: "p", Name: "p", Stages: dev, Quotas: daily(1000)}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		q := getCats("a")
		q.Cost = 100
		charge, err := m.Take(t.Context(), q)
		require.NoError(t, err)
		fields := func() string {
			h := make(http.Header)
			charge.SetHeader(h)
			return h.Get("RateLimit")
		}
		require.Equal(t, `"quota-day";r=900;t=82800`, fields())
		require.NoError(t, charge.Settle(t.Context(), 30))
		require.Equal(t, `"quota-day";r=970;t=82800`, fields())
	})
}

// A handler that settles before it answers tells the client what is left. Each quota settles by itself.
func TestHandlerMaySettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := meter(t, usageplan.Config{
			ChargeInContext: true, Unit: "tokens", Cost: func(*http.Request) int64 { return 5 },
			Plans: []usageplan.Plan{{
				ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 9},
				Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}, {Limit: 100, Period: ledger.Monthly}},
			}},
			Members: []usageplan.Member{{Plan: "p", Client: "a"}},
		})
		mux := http.NewServeMux()
		mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			charge, found := usageplan.FromContext(r.Context())
			require.True(t, found)
			require.ErrorIs(t, charge.Settle(r.Context(), 30), ledger.ErrForgiven, "the day is full, the month is not")
			charge.SetHeader(w.Header())
			again, _ := usageplan.FromContext(r.Context())
			require.ErrorIs(t, again.Settle(r.Context(), 1), ledger.ErrSettled, "copies are the same charge")
		})))
		h := call(mux, "a", "/dev/cats").Header
		require.Equal(t, []string{`"throttle";r=8, "quota-day";r=0;t=86400, "quota-month";r=70;t=2678400`}, h.Values("RateLimit"))
	})
}
