package ledger_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var (
	key   = ledger.Key{Plan: "jcfq33", Subject: "fr92a5qpbj"}
	day10 = ledger.Quota{Limit: 10, Period: ledger.Daily}
	noon  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
)

// heavy is asked within tests, or go test would not know that their results depend on it.
func heavy() bool { return os.Getenv("TALLYGATE_HEAVY") != "" }

func newLedger(t testing.TB, c ledger.Config) *ledger.Ledger {
	t.Helper()
	if c.Engine == nil {
		c.Engine = ledger.NewMemory()
	}
	l, err := ledger.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// inBothModes runs f over fresh memory engines.
func inBothModes(t *testing.T, f func(t *testing.T, l *ledger.Ledger)) {
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		t.Run(name, func(t *testing.T) { f(t, newLedger(t, ledger.Config{Exact: exact})) })
	}
}

func numbers(b ledger.Balance) [4]int64 { return [4]int64{b.Limit, b.Adjustments, b.Used, b.Remaining} }

func TestTake(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		for i := range int64(10) {
			c, err := l.TakeAt(t.Context(), noon, key, day10, 1)
			require.NoError(t, err)
			require.Equal(t, [4]int64{10, 0, i + 1, 9 - i}, numbers(c.Balance()))
		}
		_, err := l.TakeAt(t.Context(), noon, key, day10, 1)
		e, ok := errors.AsType[*ledger.Error](err)
		require.True(t, ok)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		require.EqualError(t, err, "ledger: quota exhausted: 0 left of 10")
		require.Equal(t, [4]int64{10, 0, 10, 0}, numbers(e.Balance))
		require.Equal(t, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), e.Balance.Reset)
		require.Equal(t, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), e.Balance.Start)

		_, err = l.TakeAt(t.Context(), noon, key, day10, 0)
		require.NoError(t, err, "a cost of 0 is always granted")
		other := ledger.Key{Plan: key.Plan, Subject: "other"}
		_, err = l.TakeAt(t.Context(), noon, other, day10, 10)
		require.NoError(t, err, "keys are counted apart")
	})
}

// What a take of nothing answers is the account as it is.
func TestTakeNothing(t *testing.T) {
	for _, exact := range []bool{false, true} {
		l := newLedger(t, ledger.Config{Exact: exact})
		used := int64(0)
		for _, cost := range []int64{0, 5, 0, 2, 0} {
			c, err := l.Take(t.Context(), key, day10, cost)
			require.NoError(t, err)
			used += cost
			require.Equal(t, used, c.Balance().Used, "exact %v", exact)
		}
	}
}

func TestTakeAllOrNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.TakeAt(t.Context(), noon, key, day10, 7)
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), noon, key, day10, 4)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		c, err := l.TakeAt(t.Context(), noon, key, day10, 3)
		require.NoError(t, err, "a refused take consumes nothing")
		require.Equal(t, [4]int64{10, 0, 10, 0}, numbers(c.Balance()))
	})
}

func TestMistakes(t *testing.T) {
	l := newLedger(t, ledger.Config{})
	long := string(make([]byte, 513))
	tests := []struct {
		name  string
		key   ledger.Key
		quota ledger.Quota
		cost  int64
		want  error
	}{
		{"no plan", ledger.Key{Subject: "s"}, day10, 1, ledger.ErrKey},
		{"no subject", ledger.Key{Plan: "p"}, day10, 1, ledger.ErrKey},
		{"long subject", ledger.Key{Plan: "p", Subject: long}, day10, 1, ledger.ErrKey},
		{"no quota", key, ledger.Quota{}, 1, ledger.ErrQuota},
		{"negative cost", key, day10, -1, ledger.ErrCost},
		{"huge cost", key, day10, ledger.MaxUnits + 1, ledger.ErrCost},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := l.Take(t.Context(), tt.key, tt.quota, tt.cost)
			require.ErrorIs(t, err, tt.want)
			require.IsType(t, new(ledger.Error), err)
		})
	}
	_, err := l.Extend(t.Context(), key, day10, ledger.Adjustment{Reason: long})
	require.ErrorIs(t, err, ledger.ErrAdjustment)
	_, err = l.Correct(t.Context(), key, day10, ledger.Adjustment{Delta: ledger.MaxUnits + 1})
	require.ErrorIs(t, err, ledger.ErrAdjustment)
}

func TestNotConfigured(t *testing.T) {
	for _, l := range []*ledger.Ledger{nil, {}} {
		_, err := l.Take(t.Context(), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrNotConfigured)
		_, err = l.Balance(t.Context(), key, day10)
		require.ErrorIs(t, err, ledger.ErrNotConfigured)
		_, err = l.Extend(t.Context(), key, day10, ledger.Adjustment{})
		require.ErrorIs(t, err, ledger.ErrNotConfigured)
		for _, err := range l.Usage(t.Context(), key, day10, noon, noon) {
			require.ErrorIs(t, err, ledger.ErrNotConfigured)
		}
		require.NoError(t, l.Close())
	}
	require.NoError(t, ledger.Charge{}.Settle(t.Context(), 5))
	require.Zero(t, ledger.Charge{}.Balance())
}

func TestConfig(t *testing.T) {
	_, err := ledger.New(ledger.Config{Block: -1, Keep: -1, Format: 3, Timeout: -1, Thresholds: []int{0, 128}})
	require.ErrorIs(t, err, ledger.ErrConfig)
	require.EqualError(t, err, `ledger: invalid config: no engine, as NewMemory returns
ledger: invalid config: block -1 is not within 0 and 2^30
ledger: invalid config: keep -1ns is negative
ledger: invalid config: format 3 is not within 0 and 2
ledger: invalid config: timeout -1ns is negative
ledger: invalid config: threshold 0 is not within 1 and 127
ledger: invalid config: threshold 128 is not within 1 and 127`)
}

func TestSettle(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		take := func(cost int64) ledger.Charge {
			c, err := l.TakeAt(t.Context(), noon, key, day10, cost)
			require.NoError(t, err)
			return c
		}
		used := func(want int64) {
			t.Helper()
			b, err := l.BalanceAt(t.Context(), noon, key, day10)
			require.NoError(t, err)
			require.Equal(t, [4]int64{10, 0, want, max(0, 10-want)}, numbers(b))
		}
		c := take(4)
		require.NoError(t, c.Settle(t.Context(), 0))
		used(0)
		require.ErrorIs(t, c.Settle(t.Context(), 0), ledger.ErrSettled, "settled once")
		twin := c
		require.ErrorIs(t, twin.Settle(t.Context(), 3), ledger.ErrSettled, "copies are the same charge")
		used(0)
		require.NoError(t, take(4).Settle(t.Context(), 1))
		used(1)
		require.NoError(t, take(4).Settle(t.Context(), 4))
		used(5)
		require.NoError(t, take(2).Settle(t.Context(), 4))
		used(9)
		require.ErrorIs(t, take(1).Settle(t.Context(), -1), ledger.ErrCost)
		c = take(0)
		err := c.Settle(t.Context(), 5)
		require.ErrorIs(t, err, ledger.ErrForgiven, "the cap rule forgives")
		require.NotErrorIs(t, err, ledger.ErrExhausted)
		require.EqualError(t, err, "ledger: units beyond the limit forgiven: 5 of 5")
		used(10)
	})
}

func TestOverdraw(t *testing.T) {
	for _, exact := range []bool{false, true} {
		l := newLedger(t, ledger.Config{Exact: exact, AllowOverdraw: true})
		c, err := l.TakeAt(t.Context(), noon, key, day10, 9)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), 15))
		b, err := l.BalanceAt(t.Context(), noon, key, day10)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 0, 15, 0}, numbers(b))
		_, err = l.TakeAt(t.Context(), noon, key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrExhausted)
	}
}

func TestAdjust(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.TakeAt(t.Context(), noon, key, day10, 10)
		require.NoError(t, err)
		b, err := l.ExtendAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "gift", Delta: 5, Reason: "goodwill", Actor: "ann"})
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 5, 10, 5}, numbers(b))
		b, err = l.ExtendAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "gift", Delta: 5})
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 5, 10, 5}, numbers(b), "once per id")
		_, err = l.ExtendAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "gift", Delta: 6})
		require.ErrorIs(t, err, ledger.ErrAdjustment, "another delta under the id")
		_, err = l.CorrectAt(t.Context(), noon, key, day10, ledger.Adjustment{ID: "gift", Delta: 5})
		require.ErrorIs(t, err, ledger.ErrAdjustment, "another kind under the id")
		c, err := l.TakeAt(t.Context(), noon, key, day10, 5)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 5, 15, 0}, numbers(c.Balance()))

		b, err = l.CorrectAt(t.Context(), noon, key, day10, ledger.Adjustment{Delta: -3})
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 5, 12, 3}, numbers(b))
		_, err = l.CorrectAt(t.Context(), noon, key, day10, ledger.Adjustment{Delta: -13})
		require.ErrorIs(t, err, ledger.ErrAdjustment)
		b, err = l.CorrectAt(t.Context(), noon, key, day10, ledger.Adjustment{Delta: 8})
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 5, 20, 0}, numbers(b), "the limit does not bound a correction")

		b, err = l.ExtendAt(t.Context(), noon.AddDate(0, 0, 1), key, day10, ledger.Adjustment{ID: "gift", Delta: 5})
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 0, 0, 10}, numbers(b), "a retry after midnight is still a retry; the extension was temporary")
	})
}

// TestLowered: units that a lease holds do not outlive the limit they were reserved under.
func TestLowered(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		big, small := ledger.Quota{Limit: 1000, Period: ledger.Daily}, ledger.Quota{Limit: 3, Period: ledger.Daily}
		_, err := l.TakeAt(t.Context(), noon, key, big, 2)
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), noon, key, small, 1)
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), noon, key, small, 1)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		_, err = l.TakeAt(t.Context(), noon, key, big, 1)
		require.NoError(t, err, "a raised limit acts at once")
		b, err := l.ExtendAt(t.Context(), noon, key, big, ledger.Adjustment{Delta: -995})
		require.NoError(t, err)
		require.Equal(t, [4]int64{1000, -995, 4, 1}, numbers(b))
		_, err = l.TakeAt(t.Context(), noon, key, big, 2)
		require.ErrorIs(t, err, ledger.ErrExhausted)
	})
}

func TestRollOver(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.TakeAt(t.Context(), noon, key, day10, 10)
		require.NoError(t, err)
		tomorrow := noon.AddDate(0, 0, 1)
		_, err = l.TakeAt(t.Context(), tomorrow.Add(-12*time.Hour-time.Second), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		_, err = l.TakeAt(t.Context(), tomorrow.Add(-12*time.Hour), key, day10, 3)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), 4), "a late settlement goes to the period of its request")

		days := collect(t, l, day10, noon, tomorrow)
		require.Equal(t, [][2]int64{{4, 6}, {3, 7}}, days)

		b, err := l.BalanceAt(t.Context(), noon, key, day10)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 0, 3, 7}, numbers(b), "a clock that steps back reopens nothing")
		require.Equal(t, 25, b.Start.Day())
	})
}

// TestClockBack: the highest period is the store's, so neither a restart nor another ledger reopens an older one.
func TestClockBack(t *testing.T) {
	for _, exact := range []bool{false, true} {
		store := ledger.NewMemory()
		ahead := newLedger(t, ledger.Config{Engine: store, Exact: exact})
		behind := newLedger(t, ledger.Config{Engine: store, Exact: exact})
		_, err := behind.TakeAt(t.Context(), noon, key, day10, 1)
		require.NoError(t, err)
		_, err = ahead.TakeAt(t.Context(), noon.AddDate(0, 0, 1), key, day10, 9)
		require.NoError(t, err)
		require.NoError(t, ahead.Close())
		for _, l := range []*ledger.Ledger{behind, newLedger(t, ledger.Config{Engine: store, Exact: exact})} {
			_, err = l.TakeAt(t.Context(), noon, key, day10, 5)
			require.ErrorIs(t, err, ledger.ErrExhausted)
			b, err := l.BalanceAt(t.Context(), noon, key, day10)
			require.NoError(t, err)
			require.Equal(t, [4]int64{10, 0, 9, 1}, numbers(b))
			require.Equal(t, 25, b.Start.Day())
		}
	}
}

// TestLateSettlements: settlements of an earlier period leave the lease of the present one alone.
func TestLateSettlements(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the size of blocks depends on the time, which stands still here
		store := &faulty{Engine: ledger.NewMemory()}
		l := newLedger(t, ledger.Config{Engine: store, Thresholds: []int{}})
		q := ledger.Quota{Limit: 1 << 30, Period: ledger.Daily}
		charges := make([]ledger.Charge, 1000)
		var err error
		for i := range charges {
			charges[i], err = l.TakeAt(t.Context(), noon, key, q, 2)
			require.NoError(t, err)
		}
		before := store.calls.Load()
		for i, c := range charges {
			_, err = l.TakeAt(t.Context(), noon.AddDate(0, 0, 1), key, q, 1)
			require.NoError(t, err)
			require.NoError(t, c.Settle(t.Context(), int64(i%2)*3))
		}
		require.Less(t, store.calls.Load()-before, int64(1200), "one for each, and the reservations")
		days := collect(t, l, q, noon, noon.AddDate(0, 0, 1))
		require.Equal(t, [2]int64{1500, 1000}, [2]int64{days[0][0], days[1][0]})
	})
}

// TestDayBack: a clock that steps back within a period does not reopen an earlier day of it either.
func TestDayBack(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		q := ledger.Quota{Limit: 100, Period: ledger.Monthly}
		_, err := l.TakeAt(t.Context(), noon, key, q, 1)
		require.NoError(t, err)
		q.Limit++
		_, err = l.TakeAt(t.Context(), noon.AddDate(0, 0, -1), key, q, 2)
		require.NoError(t, err)
		require.Equal(t, [][2]int64{{0, 101}, {3, 98}}, collect(t, l, q, noon.AddDate(0, 0, -1), noon))
		_, err = l.ExtendAt(t.Context(), noon.AddDate(0, 0, -1), key, q, ledger.Adjustment{Delta: 9})
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), noon.AddDate(0, 0, -1), key, q, 4)
		require.NoError(t, err)
		require.Equal(t, [][2]int64{{0, 101}, {7, 103}}, collect(t, l, q, noon.AddDate(0, 0, -1), noon), "nor after an adjustment")
	})
}

// TestSettleAfterCorrection: what a correction has taken off is not given back a second time.
func TestSettleAfterCorrection(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.TakeAt(t.Context(), noon, key, day10, 5)
		require.NoError(t, err)
		_, err = l.CorrectAt(t.Context(), noon, key, day10, ledger.Adjustment{Delta: -5})
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), noon, key, day10, 1)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), 0))
		b, err := l.BalanceAt(t.Context(), noon, key, day10)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 0, 0, 10}, numbers(b))
	})
}

// TestChangedPeriod: the period of a quota that changes goes on to the first boundary of the new one.
func TestChangedPeriod(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		_, err := l.TakeAt(t.Context(), noon, key, day10, 4)
		require.NoError(t, err)
		month := ledger.Quota{Limit: 30, Period: ledger.Monthly}
		c, err := l.TakeAt(t.Context(), noon, key, month, 1)
		require.NoError(t, err)
		b := c.Balance()
		require.Equal(t, [4]int64{30, 0, 5, 25}, numbers(b))
		require.Equal(t, time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC), b.Start)
		require.Equal(t, time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC), b.Reset)
		c, err = l.TakeAt(t.Context(), noon.AddDate(0, 0, 7), key, month, 1)
		require.NoError(t, err)
		require.Equal(t, [4]int64{30, 0, 1, 29}, numbers(c.Balance()))
	})
}

// TestBalanceUnderAnotherPeriodChangesNothing: only what counts or adjusts something begins an account.
func TestBalanceUnderAnotherPeriodChangesNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		month := ledger.Quota{Limit: 30, Period: ledger.Monthly}
		for _, day := range []int{0, 1} {
			_, err := l.TakeAt(t.Context(), noon.AddDate(0, 0, day), key, month, 4)
			require.NoError(t, err)
		}
		b, err := l.BalanceAt(t.Context(), noon.AddDate(0, 0, 1), key, day10)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 0, 0, 10}, numbers(b), "a day would begin")
		b, err = l.BalanceAt(t.Context(), noon.AddDate(0, 0, 1), key, month)
		require.NoError(t, err)
		require.Equal(t, [4]int64{30, 0, 8, 22}, numbers(b))
	})
}

func TestClose(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.TakeAt(t.Context(), noon, key, ledger.Quota{Limit: 1000, Period: ledger.Daily}, 5)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		for range 100 {
			_, err = l.TakeAt(t.Context(), noon, key, ledger.Quota{Limit: 1000, Period: ledger.Daily}, 1)
			require.ErrorIs(t, err, ledger.ErrClosed)
		}
		require.NoError(t, c.Settle(t.Context(), 2), "a late settlement still counts")
	})
}

// TestCloseWaits: who closes a second time learns no earlier than the first that all has been returned.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{
			Engine: store, Thresholds: []int{1}, OnThreshold: func(ledger.Crossing) { time.Sleep(time.Hour) },
		})
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				require.NoError(t, l.Close())
				require.Zero(t, store.state(t).Leases)
			})
		}
		wg.Wait()
	})
}

// TestTrueUpUnderAnotherLimit: a true-up is decided by the present limit, not by that of admission.
func TestTrueUpUnderAnotherLimit(t *testing.T) {
	quota := func(limit int64) ledger.Quota { return ledger.Quota{Limit: limit, Period: ledger.Daily} }
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		low, err := l.TakeAt(t.Context(), noon, key, quota(10), 5)
		require.NoError(t, err)
		high, err := l.TakeAt(t.Context(), noon, key, quota(100), 1)
		require.NoError(t, err)
		require.NoError(t, low.Settle(t.Context(), 50), "the limit has been raised")
		_, err = l.TakeAt(t.Context(), noon, key, quota(60), 1)
		require.NoError(t, err)
		require.ErrorIs(t, high.Settle(t.Context(), 90), ledger.ErrForgiven, "it has been lowered")
		b, err := l.BalanceAt(t.Context(), noon, key, quota(60))
		require.NoError(t, err)
		require.Equal(t, [4]int64{60, 0, 60, 0}, numbers(b))
	})
}

// TestCloseReturns: after Close the store counts as used exactly what was granted.
func TestCloseReturns(t *testing.T) {
	store := ledger.NewMemory()
	q := ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}
	for i := range 3 {
		l, err := ledger.New(ledger.Config{Engine: store})
		require.NoError(t, err)
		for range 1000 {
			_, err := l.TakeAt(t.Context(), noon, key, q, 1)
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
		for s, err := range ledger.Accounts(t.Context(), store, key) {
			require.NoError(t, err)
			require.EqualValues(t, 1000*(i+1), s.Used)
			require.Zero(t, s.Held)
			require.Zero(t, s.Leases)
		}
	}
}

// TestCloseUnderLoad: nor does what is under way leave units held.
func TestCloseUnderLoad(t *testing.T) {
	rounds := 30
	if heavy() {
		rounds = 300
	}
	for round := range rounds {
		store := ledger.NewMemory()
		l, err := ledger.New(ledger.Config{Engine: store})
		require.NoError(t, err)
		var granted atomic.Int64
		var wg sync.WaitGroup
		subject := func(i int) ledger.Key { return ledger.Key{Plan: "plan", Subject: string(rune('a' + i%8))} }
		for g := range 32 {
			wg.Go(func() {
				for i := g; ; i++ {
					_, err := l.Take(context.Background(), subject(i), ledger.Quota{Limit: 1 << 30, Period: ledger.Monthly}, 1)
					if errors.Is(err, ledger.ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					granted.Add(1)
				}
			})
		}
		time.Sleep(time.Duration(round%20) * 50 * time.Microsecond)
		require.NoError(t, l.Close())
		wg.Wait()
		used := int64(0)
		for i := range 8 {
			for s, err := range ledger.Accounts(t.Context(), store, subject(i)) {
				require.NoError(t, err)
				require.Zero(t, s.Held)
				used += s.Used
			}
		}
		require.Equal(t, granted.Load(), used)
	}
}

// TestConcurrent: however requests interleave, exactly the limit is granted in each period, and what is settled to
// nothing is not counted.
func TestConcurrent(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		const workers, tries = 8, 2000
		q := ledger.Quota{Limit: 5000, Period: ledger.Daily}
		for day := range 3 {
			at := noon.AddDate(0, 0, day)
			var granted, refunded atomic.Int64
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(day), uint64(w)))
					for range tries {
						cost := 1 + r.Int64N(3)
						c, err := l.TakeAt(context.Background(), at, key, q, cost)
						if err != nil {
							if !errors.Is(err, ledger.ErrExhausted) {
								t.Error(err)
							}
							continue
						}
						granted.Add(cost)
						if r.IntN(10) == 0 {
							if err := c.Settle(context.Background(), 0); err != nil {
								t.Error(err)
							}
							refunded.Add(cost)
						}
					}
				})
			}
			wg.Wait()
			b, err := l.BalanceAt(t.Context(), at, key, q)
			require.NoError(t, err)
			require.Equal(t, granted.Load()-refunded.Load(), b.Used)
			require.Equal(t, q.Limit-b.Used, b.Remaining)
			require.Less(t, b.Remaining, int64(100), "the limit was reached")
		}
	})
}
