//go:build !race

package usageplan_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// busy is a meter that never refuses: two throttles and a quota.
func busy(t testing.TB) *usageplan.Meter {
	book, err := ledger.New(ledger.Config{Store: ledger.NewMemory()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, book.Close()) })
	m, err := usageplan.New(usageplan.Config{
		Client: caller, API: "pets", Stage: "dev", Ledger: book,
		Plans: []usageplan.Plan{{
			ID: "p", Name: "P", Throttle: &ratelimit.Limit{Rate: 1e9, Burst: 1e9}, Quotas: daily(1 << 50),
			Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": {Rate: 1e9, Burst: 1e9}}}},
		}},
		Members: []usageplan.Member{{Plan: "p", Client: "a"}},
	})
	require.NoError(t, err)
	return m
}

func TestTakeDoesNotAllocate(t *testing.T) {
	m, q, ctx := busy(t), getCats("a"), t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := m.Take(ctx, q); err != nil {
			panic(err)
		}
	}))
}

func TestCheckDoesNotAllocate(t *testing.T) {
	m := busy(t)
	r := httptest.NewRequest(http.MethodGet, "/dev/cats", nil)
	r.Header.Set("Verified-Client", "a")
	r.Pattern = "GET /dev/cats"
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if _, err := m.Check(r); err != nil {
			panic(err)
		}
	}))
}
