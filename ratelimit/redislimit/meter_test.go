package redislimit_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/ratelimit/redislimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var _ usageplan.Throttle = (*redislimit.Limiter)(nil)

// TestMetersShareAThrottle: two meters share the throttle of a plan, and what a quota refuses costs no token.
func TestMetersShareAThrottle(t *testing.T) {
	c := client(t, start(t).addr)
	meter := func(quota int64) *usageplan.Meter {
		l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory()})
		require.NoError(t, err)
		t.Cleanup(func() { _ = l.Close() })
		m, err := usageplan.New(usageplan.Config{
			Client: func(*http.Request) (string, bool) { return "ann", true }, API: "pets", Stage: "dev", Ledger: l,
			Throttle: limiter(t, redislimit.Config{Client: c, Nodes: 2}),
		})
		require.NoError(t, err)
		_, err = m.CreatePlan(t.Context(), usageplan.Plan{
			ID: "p", Name: "P", Throttle: &ratelimit.Limit{Rate: 0, Burst: 6},
			Quotas: []ledger.Quota{{Limit: quota, Period: ledger.Daily}},
			Stages: []usageplan.Stage{{API: "pets", Name: "dev"}},
		})
		require.NoError(t, err)
		require.NoError(t, m.AddMembers(t.Context(), usageplan.Member{Plan: "p", Client: "ann"}))
		return m
	}
	take := func(m *usageplan.Meter) error {
		_, err := m.Take(t.Context(), usageplan.Request{
			Client: "ann", Route: usageplan.Route{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"}, Cost: 1,
		})
		return err
	}
	poor, rich := meter(2), meter(100)
	for range 2 {
		require.NoError(t, take(poor))
	}
	for range 20 {
		require.NotErrorIs(t, take(poor), usageplan.ErrThrottled, "the quota refuses, and not the throttle")
	}
	// What the last request gave back is sent with the next call of that meter, so until then a token is missing here.
	for range 3 {
		require.NoError(t, take(rich))
	}
	require.ErrorIs(t, take(rich), usageplan.ErrThrottled)
}
