package ledger_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// overCounted runs f in a bubble of time, in both modes, over an engine that counts its calls.
func overCounted(t *testing.T, c ledger.Config, f func(t *testing.T, l *ledger.Ledger, engine *faulty)) {
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := &faulty{Engine: ledger.NewMemory()}
				c := c
				c.Engine, c.Exact = engine, exact
				f(t, newLedger(t, c), engine)
			})
		})
	}
}

func TestExhaustedKeyIsRefusedFromMemory(t *testing.T) {
	overCounted(t, ledger.Config{}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
		_, err := l.Take(t.Context(), key, day10, 10)
		require.NoError(t, err)
		refused := func() {
			t.Helper()
			_, err := l.Take(t.Context(), key, day10, 1)
			e, _ := errors.AsType[*ledger.Error](err)
			require.ErrorIs(t, err, ledger.ErrExhausted)
			require.Equal(t, [4]int64{10, 0, 10, 0}, numbers(e.Balance))
		}
		refused()
		calls := engine.calls.Load()
		for range 100 {
			refused()
		}
		require.Equal(t, calls, engine.calls.Load())
		time.Sleep(time.Second + 1)
		for range 100 {
			refused()
		}
		require.Equal(t, calls+1, engine.calls.Load(), "what others may have changed is looked for once a second")
	})
}

// TestRefusalEndsWithOwnChange: what this ledger changes counts at once.
func TestRefusalEndsWithOwnChange(t *testing.T) {
	changes := map[string]func(t *testing.T, l *ledger.Ledger, c ledger.Charge, q *ledger.Quota) error{
		"settlement": func(t *testing.T, _ *ledger.Ledger, c ledger.Charge, _ *ledger.Quota) error {
			return c.Settle(t.Context(), 9)
		},
		"extension": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge, q *ledger.Quota) error {
			_, err := l.Extend(t.Context(), key, *q, ledger.Adjustment{Delta: 1})
			return err
		},
		"correction": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge, q *ledger.Quota) error {
			_, err := l.Correct(t.Context(), key, *q, ledger.Adjustment{Delta: -1})
			return err
		},
		"set remaining": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge, q *ledger.Quota) error {
			_, err := l.SetRemaining(t.Context(), key, *q, 1, ledger.Adjustment{})
			return err
		},
		"another limit": func(_ *testing.T, _ *ledger.Ledger, _ ledger.Charge, q *ledger.Quota) error {
			q.Limit++
			return nil
		},
		"the next day": func(*testing.T, *ledger.Ledger, ledger.Charge, *ledger.Quota) error {
			time.Sleep(24 * time.Hour)
			return nil
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			overCounted(t, ledger.Config{Stale: 48 * time.Hour}, func(t *testing.T, l *ledger.Ledger, _ *faulty) {
				q := day10
				c, err := l.Take(t.Context(), key, q, 10)
				require.NoError(t, err)
				for range 2 {
					_, err = l.Take(t.Context(), key, q, 1)
					require.ErrorIs(t, err, ledger.ErrExhausted)
				}
				require.NoError(t, change(t, l, c, &q))
				_, err = l.Take(t.Context(), key, q, 1)
				require.NoError(t, err)
				if name == "the next day" {
					return
				}
				for range 2 {
					_, err = l.Take(t.Context(), key, q, 1)
					require.ErrorIs(t, err, ledger.ErrExhausted, "it was one unit")
				}
			})
		})
	}
}

// TestRefusalOfMuchLeavesLess: what is refused for a large cost is not refused for a smaller one.
func TestRefusalOfMuchLeavesLess(t *testing.T) {
	overCounted(t, ledger.Config{}, func(t *testing.T, l *ledger.Ledger, _ *faulty) {
		_, err := l.Take(t.Context(), key, day10, 7)
		require.NoError(t, err)
		for range 2 {
			_, err = l.Take(t.Context(), key, day10, 4)
			require.ErrorIs(t, err, ledger.ErrExhausted)
		}
		_, err = l.Take(t.Context(), key, day10, 3)
		require.NoError(t, err)
	})
}

// TestOthersChangeCountsWithinStale: what another ledger changes counts once the refusal is older than Stale.
func TestOthersChangeCountsWithinStale(t *testing.T) {
	for _, stale := range []time.Duration{-1, 0, time.Minute} {
		bound := map[time.Duration]time.Duration{-1: 0, 0: time.Second}
		overCounted(t, ledger.Config{Stale: stale}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
			other := newLedger(t, ledger.Config{Engine: engine, Exact: true})
			_, err := l.Take(t.Context(), key, day10, 10)
			require.NoError(t, err)
			_, err = l.Take(t.Context(), key, day10, 1)
			require.ErrorIs(t, err, ledger.ErrExhausted)
			_, err = other.Extend(t.Context(), key, day10, ledger.Adjustment{Delta: 1})
			require.NoError(t, err)
			if within, ok := bound[stale]; ok {
				time.Sleep(within + 1)
			} else {
				time.Sleep(stale)
				_, err = l.Take(t.Context(), key, day10, 1)
				require.ErrorIs(t, err, ledger.ErrExhausted, "not yet")
				time.Sleep(time.Nanosecond)
			}
			_, err = l.Take(t.Context(), key, day10, 1)
			require.NoError(t, err)
		})
	}
}

// TestRefusalEndsWithOutage: what is given back when the engine is there again ends a refusal as well.
func TestRefusalEndsWithOutage(t *testing.T) {
	for _, fault := range []func(*faulty, bool){
		func(f *faulty, is bool) { f.before.Store(is) },
		func(f *faulty, is bool) { f.after.Store(is) },
	} {
		overCounted(t, ledger.Config{Stale: time.Hour, Block: 2}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
			c, err := l.Take(t.Context(), key, day10, 10)
			require.NoError(t, err)
			_, err = l.Take(t.Context(), key, day10, 1)
			require.ErrorIs(t, err, ledger.ErrExhausted)
			fault(engine, true)
			if err = c.Settle(t.Context(), 0); err != nil { // a lease takes it back without the engine
				require.ErrorIs(t, err, ledger.ErrUnavailable)
			}
			fault(engine, false)
			time.Sleep(time.Second)
			_, err = l.Take(t.Context(), key, day10, 10)
			require.NoError(t, err)
		})
	}
}

// TestLoweredLimitIsNotRefusedFromMemory: a lower limit is refused by the engine first, which records the crossings.
func TestLoweredLimitIsNotRefusedFromMemory(t *testing.T) {
	overCounted(t, ledger.Config{Stale: time.Hour}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
		_, err := l.Take(t.Context(), key, daily(1000), 90)
		require.NoError(t, err)
		calls := engine.calls.Load()
		for range 2 {
			_, err = l.Take(t.Context(), key, daily(50), 1)
			require.ErrorIs(t, err, ledger.ErrExhausted)
		}
		require.Greater(t, engine.calls.Load(), calls)
	})
}
