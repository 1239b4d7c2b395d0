package ledger_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// TestSetRemaining: whatever has been used and extended, n units remain, once for each ID.
func TestSetRemaining(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		set := func(n int64, id string) [4]int64 {
			b, err := l.SetRemainingAt(t.Context(), noon, key, day10, n, ledger.Adjustment{ID: id, Reason: "why", Actor: "who"})
			require.NoError(t, err)
			return numbers(b)
		}
		require.Equal(t, [4]int64{10, -3, 0, 7}, set(7, "first"))
		_, err := l.TakeAt(t.Context(), noon, key, day10, 5)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, -3, 5, 2}, set(7, "first"), "it has been made")
		require.Equal(t, [4]int64{10, 15, 5, 20}, set(20, ""))
		require.Equal(t, [4]int64{10, -5, 5, 0}, set(0, ""))
		_, err = l.TakeAt(t.Context(), noon, key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		for _, n := range []int64{-1, ledger.MaxUnits + 1} {
			_, err = l.SetRemainingAt(t.Context(), noon, key, day10, n, ledger.Adjustment{})
			require.ErrorIs(t, err, ledger.ErrAdjustment)
		}
	})
}

// TestSetRemainingConcurrently: each of several calls at once, from several ledgers, leaves n. What another ledger
// holds in a lease counts as used.
func TestSetRemainingConcurrently(t *testing.T) {
	for _, exact := range []bool{false, true} {
		engine := ledger.NewMemory()
		ledgers := [2]*ledger.Ledger{}
		for i := range ledgers {
			ledgers[i] = newLedger(t, ledger.Config{Engine: engine, Exact: exact, Block: 16})
		}
		q := daily(1000)
		other := newLedger(t, ledger.Config{Engine: engine, Block: 16})
		_, err := other.TakeAt(t.Context(), noon, key, q, 1)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				b, err := ledgers[i%2].SetRemainingAt(t.Context(), noon, key, q, 50, ledger.Adjustment{})
				if err != nil || b.Remaining != 50 {
					t.Error(b, err)
				}
			})
		}
		wg.Wait()
		s := account(t, engine, key)
		require.EqualValues(t, 50, s.Limit+s.Adjustments-s.Used)
		require.EqualValues(t, 16, s.Used, "the block of the other")
	}
}

// TestAdjustmentsSayWhoWhenAndWhy: the adjustments of a time are told, oldest first, across periods.
func TestAdjustmentsSayWhoWhenAndWhy(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		before := time.Now().Truncate(time.Second)
		later := noon.AddDate(0, 0, 1)
		_, err := l.TakeAt(t.Context(), noon, key, day10, 4)
		require.NoError(t, err)
		_, err = l.ExtendAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "a", Delta: 5, Reason: "goodwill", Actor: "ann"})
		require.NoError(t, err)
		_, err = l.CorrectAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "b", Delta: -3, Reason: "probe", Actor: "bo"})
		require.NoError(t, err)
		_, err = l.ExtendAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "a", Delta: 5})
		require.NoError(t, err, "again")
		_, err = l.SetRemainingAt(t.Context(), later, key, day10, 2, ledger.Adjustment{ID: "c", Delta: 77, Actor: "cy"})
		require.NoError(t, err)
		type row struct {
			id, reason, actor string
			correction        bool
			before, delta     int64
			day               int
		}
		var got []row
		for c, err := range l.Adjustments(t.Context(), key, before, time.Now()) {
			require.NoError(t, err)
			require.WithinRange(t, c.Time, before, time.Now())
			require.Equal(t, key, c.Account.Key)
			got = append(got, row{c.ID, c.Reason, c.Actor, c.Correction, c.Before, c.Delta, time.Unix(c.Account.Start, 0).UTC().Day()})
		}
		require.Equal(t, []row{
			{"a", "goodwill", "ann", false, 0, 5, 24},
			{"b", "probe", "bo", true, 4, -3, 24},
			{"c", "", "cy", false, 0, -8, 25},
		}, got)
		for range l.Adjustments(t.Context(), key, before.Add(-time.Hour), before.Add(-time.Minute)) {
			t.Error("none was made then")
		}
	})
}

// TestKeysAreThoseOfThePlan: every key of a plan that has been counted is told, and no other.
func TestKeysAreThoseOfThePlan(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		want := make(map[ledger.Key]bool)
		for i := range 30 {
			for _, plan := range []string{"a", "ab", "b", "a\x00"} {
				k := ledger.Key{Plan: plan, Subject: fmt.Sprint("b", i)}
				want[k] = plan == "a"
				for day := range 3 {
					_, err := l.TakeAt(t.Context(), noon.AddDate(0, 0, day), k, day10, 1)
					require.NoError(t, err)
				}
			}
		}
		n := 0
		for k, err := range l.Keys(t.Context(), "a") {
			require.NoError(t, err)
			require.True(t, want[k], "%q", k)
			want[k] = false
			n++
		}
		require.Equal(t, 30, n)
		for range l.Keys(t.Context(), "") {
			t.Error("no plan is empty")
		}
	})
}
