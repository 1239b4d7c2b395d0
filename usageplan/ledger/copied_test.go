package ledger_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestCopyAnswersAsItsSource: balances, usage, adjustments and keys are the same, and crossings that nobody was told
// are told by a ledger over the copy.
func TestCopyAnswersAsItsSource(t *testing.T) {
	source, target := ledger.NewMemory(), ledger.NewMemory()
	keys := []ledger.Key{{Plan: "gold", Subject: "a"}, {Plan: "gold", Subject: "b"}, {Plan: "basic", Subject: "a"}}
	l := newLedger(t, ledger.Config{Engine: source})
	const days = 40
	for day := range days {
		for i, k := range keys {
			now := noon.AddDate(0, 0, day)
			_, err := l.TakeAt(t.Context(), now, k, daily(100), int64(10*i+day))
			require.NoError(t, err)
			_, err = l.ExtendAt(t.Context(), now, k, daily(100), ledger.Adjustment{Delta: int64(day), Reason: "why", Actor: "who"})
			require.NoError(t, err)
			_, err = l.CorrectAt(t.Context(), now, k, daily(100), ledger.Adjustment{Delta: 1, Reason: "miscounted"})
			require.NoError(t, err)
		}
	}
	require.NoError(t, l.Close())
	require.NoError(t, ledger.Copy(t.Context(), target, source))

	type answers struct {
		Balance ledger.Balance
		Days    []ledger.Day
		Changes []ledger.Change
		Keys    []ledger.Key
	}
	ask := func(e ledger.Engine) (got []answers) {
		told := make(chan ledger.Crossing, 3*days*3)
		l := newLedger(t, ledger.Config{Engine: e, OnThreshold: func(c ledger.Crossing) { told <- c }})
		for _, k := range keys {
			var a answers
			var err error
			a.Balance, err = l.BalanceAt(t.Context(), noon.AddDate(0, 0, days-1), k, daily(100))
			require.NoError(t, err)
			for d, err := range l.Usage(t.Context(), k, daily(100), noon, noon.AddDate(0, 0, days)) {
				require.NoError(t, err)
				a.Days = append(a.Days, d)
			}
			for c, err := range l.Adjustments(t.Context(), k, noon.AddDate(0, 0, -1), noon.AddDate(0, 0, days)) {
				require.NoError(t, err)
				a.Changes = append(a.Changes, c)
			}
			for k, err := range l.Keys(t.Context(), k.Plan) {
				require.NoError(t, err)
				a.Keys = append(a.Keys, k)
			}
			slices.SortFunc(a.Keys, func(x, y ledger.Key) int { return slices.Compare([]byte(x.Subject), []byte(y.Subject)) })
			require.Len(t, a.Changes, 2*days)
			got = append(got, a)
		}
		require.NoError(t, l.Close())
		require.NotEmpty(t, told)
		return got
	}
	require.Equal(t, ask(target), ask(source))
}

// TestLeasesOfAKilledLedgerAreCountedInACopy: what nobody knows to be spent stays counted against the limit, but not as
// used. With slots, a ledger over the source knows it, and nothing is wasted. A copy has no lease, so an Owner of any
// number takes none for its own.
func TestLeasesOfAKilledLedgerAreCountedInACopy(t *testing.T) {
	for name, claim := range map[string]bool{"slots not claimed": false, "slots claimed": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, slots := ledger.NewMemory(), new(keptSlots)
				killed, err := ledger.New(ledger.Config{Engine: owned{source, 1}, Slots: slots, Block: 8})
				require.NoError(t, err)
				for range 5 {
					_, err := killed.TakeAt(t.Context(), noon, key, daily(1000), 1)
					require.NoError(t, err)
				}
				synctest.Wait() // for a reservation ahead of demand
				found := account(t, source, key)
				require.Equal(t, 1, found.Leases)
				require.Greater(t, found.Used, int64(5))
				want := [3]int64{found.Used, found.Held, 0}
				if claim {
					want = [3]int64{5, 0, 0}
					l, err := ledger.New(ledger.Config{Engine: owned{source, 2}, Slots: slots})
					require.NoError(t, err)
					require.NoError(t, l.Close())
				}
				target := ledger.NewMemory()
				require.NoError(t, ledger.Copy(t.Context(), owned{target, 1}, owned{source, 3}))
				copied := func() [3]int64 {
					s := account(t, target, key)
					return [3]int64{s.Used, s.Held, int64(s.Leases)}
				}
				require.Equal(t, want, copied())

				// What the slots still have of the lease changes nothing in the copy.
				l := newLedger(t, ledger.Config{Engine: owned{target, 1}, Slots: slots})
				require.NoError(t, l.Close())
				require.Equal(t, want, copied())
			})
		})
	}
}

// TestCopyOfAnOpenLedgerIsRefused: on an Owner, a lease of the present opening belongs to a ledger that is open.
func TestCopyOfAnOpenLedgerIsRefused(t *testing.T) {
	source, target := owned{ledger.NewMemory(), 7}, ledger.NewMemory()
	l := newLedger(t, ledger.Config{Engine: source})
	_, err := l.TakeAt(t.Context(), noon, key, daily(1000), 1)
	require.NoError(t, err)
	require.ErrorIs(t, ledger.Copy(t.Context(), target, source), ledger.ErrLeased)
	for k, err := range target.Keys(t.Context(), "") {
		require.NoError(t, err)
		t.Errorf("the target has %q", k)
	}
	require.NoError(t, l.Close())
	require.NoError(t, ledger.Copy(t.Context(), target, source))
	require.Equal(t, int64(1), account(t, target, key).Used)
	require.Equal(t, noon.Truncate(24*time.Hour).Unix(), account(t, target, key).Start)
}
