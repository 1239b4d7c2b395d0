package ledger_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// account is what an engine keeps of the only account of a key.
func account(t *testing.T, e ledger.Engine, k ledger.Key) (state ledger.State) {
	t.Helper()
	for s, err := range ledger.Accounts(t.Context(), e, k) {
		require.NoError(t, err)
		state = s
	}
	return state
}

// TestIdleLeaseIsGivenBack: a lease that nobody spends from is returned by later calls of other keys, one that is in
// use is kept.
func TestIdleLeaseIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := ledger.NewMemory()
		l := newLedger(t, ledger.Config{Engine: engine})
		q := ledger.Quota{Limit: 10_000, Period: ledger.Monthly}
		subject := func(i int) ledger.Key { return ledger.Key{Plan: "plan", Subject: fmt.Sprint(i)} }
		const idle = 50
		for i := range idle {
			_, err := l.Take(t.Context(), subject(i), q, 1)
			require.NoError(t, err)
		}
		require.NotZero(t, account(t, engine, subject(0)).Held)
		busy, calls := subject(idle), subject(idle+1)
		for range 12 {
			time.Sleep(20 * time.Second)
			_, err := l.Take(t.Context(), busy, q, 1)
			require.NoError(t, err)
			_, err = l.Balance(t.Context(), calls, q)
			require.NoError(t, err)
		}
		for i := range idle {
			s := account(t, engine, subject(i))
			require.Equal(t, [3]int64{1, 0, 0}, [3]int64{s.Used, s.Held, int64(s.Leases)}, "lease %d", i)
		}
		require.Equal(t, 1, account(t, engine, busy).Leases)
		c, err := l.Take(t.Context(), subject(0), q, 1)
		require.NoError(t, err)
		require.EqualValues(t, 2, c.Balance().Used)
	})
}

// TestIdleReturnInOutage: the return of an idle lease whose answer is lost is made once.
func TestIdleReturnInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &faulty{Engine: ledger.NewMemory()}
		l := newLedger(t, ledger.Config{Engine: engine})
		c, err := l.Take(t.Context(), key, daily(1000), 5)
		require.NoError(t, err)
		time.Sleep(2 * time.Minute)
		engine.after.Store(true)
		other := ledger.Key{Plan: "plan", Subject: "other"}
		_, err = l.Take(t.Context(), other, daily(1000), 1)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		engine.after.Store(false)
		time.Sleep(time.Second)
		require.NoError(t, c.Settle(t.Context(), 2))
		b, err := l.Balance(t.Context(), key, daily(1000))
		require.NoError(t, err)
		require.Equal(t, [4]int64{1000, 0, 2, 998}, numbers(b))
		require.Zero(t, account(t, engine, key).Held)
	})
}

// TestBlocksAreShared: a block is at most a quarter of what remains, divided by those who hold a lease.
func TestBlocksAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const holders, limit = 8, 100_000
		engine := ledger.NewMemory()
		q := daily(limit)
		ledgers := make([]*ledger.Ledger, holders)
		for i := range ledgers {
			ledgers[i] = newLedger(t, ledger.Config{Engine: engine, Thresholds: []int{}})
			_, err := ledgers[i].Take(t.Context(), key, q, 1)
			require.NoError(t, err)
		}
		blocks := 0
		ledger.OnReserve(ledgers[0], func(granted, remaining int64) {
			if blocks++; blocks > 1 { // the first does not know of those that came after its lease
				require.LessOrEqual(t, granted, max(1, (remaining+granted)/(4*holders)))
			}
		})
		for range limit / 2 {
			_, err := ledgers[0].Take(t.Context(), key, q, 1)
			require.NoError(t, err)
		}
		require.Greater(t, blocks, 10)
	})
}
