package slots_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// TestLedgerWastesNothing: a ledger dies with a lease open. The next one counts what was spent, and gives back the
// rest.
func TestLedgerWastesNothing(t *testing.T) {
	slots.SetBootID(t, "boot 1")
	engine, dir := ledger.NewMemory(), t.TempDir()
	key, quota := ledger.Key{Plan: "gold", Subject: "anna"}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}
	for life := range int64(5) {
		s := open(t, dir)
		l, err := ledger.New(ledger.Config{Engine: engine, Slots: s, Block: 64})
		require.NoError(t, err)
		b, err := l.Balance(t.Context(), key, quota)
		require.NoError(t, err)
		require.Equal(t, 7*life, b.Used)
		require.Equal(t, 1000-7*life, b.Remaining)
		for range 7 {
			_, err := l.Take(t.Context(), key, quota, 1)
			require.NoError(t, err)
		}
		require.NoError(t, s.Close()) // as the end of the process would
	}
}

// TestRestartOfTheMachineBillsWhatWasReported: what the engine was told before the machine restarted stays used. The
// rest of the lease stays counted, but not as used.
func TestRestartOfTheMachineBillsWhatWasReported(t *testing.T) {
	slots.SetBootID(t, "boot 1")
	synctest.Test(t, func(t *testing.T) {
		engine, dir := ledger.NewMemory(), t.TempDir()
		key, quota := ledger.Key{Plan: "gold", Subject: "anna"}, ledger.Quota{Limit: 1000, Period: ledger.Monthly}
		s := open(t, dir)
		l, err := ledger.New(ledger.Config{Engine: engine, Slots: s, Block: 16})
		require.NoError(t, err)
		for range 200 {
			_, err := l.Take(t.Context(), key, quota, 1)
			require.NoError(t, err)
		}
		synctest.Wait() // no refill is under way any more
		reported := balance(t, engine, nil, key, quota)
		require.Positive(t, reported.Used)
		require.NoError(t, s.Close())
		slots.SetBootID(t, "boot 2")
		require.Equal(t, reported, balance(t, engine, open(t, dir), key, quota))
	})
}

// balance is what a new ledger tells.
func balance(t *testing.T, engine ledger.Engine, s ledger.Slots, key ledger.Key, quota ledger.Quota) ledger.Balance {
	t.Helper()
	l, err := ledger.New(ledger.Config{Engine: engine, Slots: s})
	require.NoError(t, err)
	b, err := l.Balance(t.Context(), key, quota)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return b
}
