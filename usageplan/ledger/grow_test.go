package ledger_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// requireExhausted requires a refusal that carries the balance.
func requireExhausted(t *testing.T, err error, used, remaining int64) {
	t.Helper()
	require.ErrorIs(t, err, ledger.ErrExhausted)
	e, ok := errors.AsType[*ledger.Error](err)
	require.True(t, ok)
	require.Equal(t, [2]int64{used, remaining}, [2]int64{e.Balance.Used, e.Balance.Remaining})
}

func TestMore(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.Take(t.Context(), key, day10, 3)
		require.NoError(t, err)
		require.EqualValues(t, 3, c.Units())
		require.NoError(t, c.More(t.Context(), 4))
		require.EqualValues(t, 7, c.Units())
		require.Equal(t, [4]int64{10, 0, 7, 3}, numbers(c.Balance()))
		requireExhausted(t, c.More(t.Context(), 4), 7, 3)
		require.EqualValues(t, 7, c.Units(), "a refused More takes nothing")
		require.NoError(t, c.More(t.Context(), 3), "up to the limit")
		requireExhausted(t, c.More(t.Context(), 1), 10, 0)
		require.NoError(t, c.More(t.Context(), 0), "nothing is never refused")
		require.NoError(t, c.More(t.Context(), -2))
		require.EqualValues(t, 8, c.Units())
		require.Equal(t, [4]int64{10, 0, 8, 2}, numbers(c.Balance()))
		copied := c
		require.NoError(t, c.Settle(t.Context(), 5), "of what it has grown to")
		require.EqualValues(t, 5, copied.Units(), "a copy is the same charge")
		require.Equal(t, [4]int64{10, 0, 5, 5}, numbers(copied.Balance()))
		require.ErrorIs(t, copied.More(t.Context(), 1), ledger.ErrSettled)
		require.ErrorIs(t, copied.More(t.Context(), -1), ledger.ErrSettled)
		require.ErrorIs(t, copied.Settle(t.Context(), 1), ledger.ErrSettled)
		b, err := l.Balance(t.Context(), key, day10)
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 0, 5, 5}, numbers(b), "the engine says the same")
	})
}

// TestMoreAfterSettle: a charge that was settled as it was, before any charge has grown, cannot grow either.
func TestMoreAfterSettle(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), 1))
		require.ErrorIs(t, c.More(t.Context(), 1), ledger.ErrSettled)
		require.EqualValues(t, 1, c.Units())
		require.EqualValues(t, 1, c.Balance().Used)
	})
}

// TestMoreAtTheLimit: growth is never forgiven and never overdrawn, whatever a settlement may do.
func TestMoreAtTheLimit(t *testing.T) {
	for _, exact := range []bool{false, true} {
		l := newLedger(t, ledger.Config{Exact: exact, AllowOverdraw: true})
		c, err := l.Take(t.Context(), key, day10, 9)
		require.NoError(t, err)
		requireExhausted(t, c.More(t.Context(), 2), 9, 1)
		require.NoError(t, c.More(t.Context(), 1))
		require.NoError(t, c.Settle(t.Context(), 12))
		require.Equal(t, [4]int64{10, 0, 12, 0}, numbers(c.Balance()))
		require.EqualValues(t, 12, c.Units())
	}
}

func TestMoreMistakes(t *testing.T) {
	require.NoError(t, ledger.Charge{}.More(t.Context(), 0))
	require.ErrorIs(t, ledger.Charge{}.More(t.Context(), 1), ledger.ErrNotConfigured)
	require.Zero(t, ledger.Charge{}.Units())
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.Take(t.Context(), key, day10, 3)
		require.NoError(t, err)
		require.NoError(t, c.More(t.Context(), 2))
		for _, n := range []int64{-6, -ledger.MaxUnits, -1 << 63, ledger.MaxUnits - 4, ledger.MaxUnits + 1, 1<<63 - 1} {
			require.ErrorIs(t, c.More(t.Context(), n), ledger.ErrCost, "%d", n)
		}
		require.ErrorIs(t, c.MoreUnder(t.Context(), ledger.Quota{}, 1), ledger.ErrQuota)
		require.EqualValues(t, 5, c.Units())
		require.NoError(t, c.More(t.Context(), -5), "all of it")
		require.Zero(t, c.Units())
		require.Equal(t, [4]int64{10, 0, 0, 10}, numbers(c.Balance()))
		require.NoError(t, c.Settle(t.Context(), 0))
		require.Zero(t, c.Balance().Used)
	})
}

// TestMoreBelongsToItsDay: growth counts in the period and on the day of the request, also when both are over, and under
// the limit of that period.
func TestMoreBelongsToItsDay(t *testing.T) {
	for _, period := range []ledger.Period{ledger.Daily, ledger.Monthly} {
		inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
			q := ledger.Quota{Limit: 100, Period: period}
			c, err := l.Take(t.Context(), key, q, 3)
			require.NoError(t, err)
			first := c.Balance().Start
			time.Sleep(24 * time.Hour)
			require.NoError(t, c.More(t.Context(), 2), "before anybody has come to the next day")
			for _, cost := range []int64{19, 1} { // after the second, the lease has some left
				_, err = l.Take(t.Context(), key, q, cost)
				require.NoError(t, err)
			}
			require.NoError(t, c.More(t.Context(), 1), "though the lease of the new day has so much left")
			require.NoError(t, c.More(t.Context(), 39))
			require.NoError(t, c.More(t.Context(), -10))
			used := map[ledger.Period]int64{ledger.Daily: 35, ledger.Monthly: 55}[period]
			require.Equal(t, [4]int64{100, 0, used, 100 - used}, numbers(c.Balance()))
			require.Equal(t, first, c.Balance().Start)
			_, err = l.Take(t.Context(), key, q, 1) // a lease that has some left
			require.NoError(t, err)
			later := int64(21)
			if period == ledger.Monthly {
				used++
			}
			require.NoError(t, c.More(t.Context(), 100-used), "also what the lease of the new day holds")
			requireExhausted(t, c.More(t.Context(), 1), 100, 0)
			require.NoError(t, c.Settle(t.Context(), 7))
			var days []int64
			for day, err := range l.Usage(t.Context(), key, q, first, first.AddDate(0, 0, 1)) {
				require.NoError(t, err)
				days = append(days, day.Used)
			}
			require.Equal(t, []int64{7, later}, days)
		})
	}
}

// TestMoreOfAPeriodThatIsOver: what one charge gives back, another of the same period can have at once, also if the
// period is over and the two are of different days.
func TestMoreOfAPeriodThatIsOver(t *testing.T) {
	inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
		q := ledger.Quota{Limit: 100, Period: ledger.Monthly}
		saturday, err := l.Take(t.Context(), key, q, 60)
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		sunday, err := l.Take(t.Context(), key, q, 40)
		require.NoError(t, err)
		time.Sleep(40 * 24 * time.Hour)
		_, err = l.Take(t.Context(), key, q, 1)
		require.NoError(t, err)
		requireExhausted(t, sunday.More(t.Context(), 1), 100, 0)
		require.NoError(t, saturday.Settle(t.Context(), 50))
		require.NoError(t, sunday.More(t.Context(), 10))
		requireExhausted(t, sunday.More(t.Context(), 1), 100, 0)
	})
}

// TestMoreOfNothing: a charge of 0 begins no period. Once the next one has begun, an unused one takes nothing more.
func TestMoreOfNothing(t *testing.T) {
	for name, used := range map[string]int64{"an unused day": 0, "a used day": 1} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
				c, err := l.Take(t.Context(), key, day10, 0)
				require.NoError(t, err)
				_, err = l.Take(t.Context(), key, day10, used)
				require.NoError(t, err)
				time.Sleep(24 * time.Hour)
				_, err = l.Take(t.Context(), key, day10, 1)
				require.NoError(t, err)
				if used == 0 {
					requireExhausted(t, c.More(t.Context(), 3), 0, 10)
					require.ErrorIs(t, c.Settle(t.Context(), 3), ledger.ErrForgiven)
					return
				}
				require.NoError(t, c.More(t.Context(), 3))
				require.EqualValues(t, 4, c.Balance().Used)
				require.NoError(t, c.Settle(t.Context(), 5))
				require.EqualValues(t, 6, c.Balance().Used)
			})
		})
	}
}

// TestMoreByLimitInForce: growth is decided by the limit in force, as a true-up is.
func TestMoreByLimitInForce(t *testing.T) {
	tests := []struct {
		name           string
		cost, present  int64
		more           int64
		granted        bool
		used, remained int64
	}{
		{"raised", 90, 200, 100, true, 190, 10},
		{"raised, not enough", 90, 200, 111, false, 90, 110},
		{"lowered", 5, 10, 6, false, 5, 5},
		{"lowered, enough", 5, 10, 5, true, 10, 0},
		{"lowered below what is used", 50, 10, 1, false, 50, 0},
		{"as it was", 5, 100, 95, true, 100, 0},
		{"as it was, not enough", 5, 100, 96, false, 5, 95},
	}
	for _, tt := range tests {
		for how, more := range map[string]func(context.Context, *ledger.Ledger, ledger.Charge) error{
			"under": func(ctx context.Context, _ *ledger.Ledger, c ledger.Charge) error {
				return c.MoreUnder(ctx, daily(tt.present), tt.more)
			},
			"after a balance": func(ctx context.Context, l *ledger.Ledger, c ledger.Charge) error {
				_, err := l.Balance(ctx, key, daily(tt.present))
				return errors.Join(err, c.More(ctx, tt.more))
			},
		} {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
					c, err := l.Take(t.Context(), key, daily(100), tt.cost)
					require.NoError(t, err)
					if err := more(t.Context(), l, c); tt.granted {
						require.NoError(t, err)
					} else {
						requireExhausted(t, err, tt.used, tt.remained)
					}
					b, err := l.Balance(t.Context(), key, daily(tt.present))
					require.NoError(t, err)
					require.Equal(t, [4]int64{tt.present, 0, tt.used, tt.remained}, numbers(b))
				})
			})
		}
	}
}

func TestTakeUpTo(t *testing.T) {
	tests := []struct {
		name              string
		used, least, most int64
		want              int64 // 0: refused
	}{
		{"all of it", 0, 1, 1000, 1000},
		{"a part", 400, 1, 1000, 600},
		{"past every threshold", 0, 990, 990, 990},
		{"just enough", 400, 600, 1000, 600},
		{"one too few", 400, 601, 1000, 0},
		{"the last one", 999, 1, 50, 1},
		{"none", 1000, 1, 50, 0},
		{"few of many", 100, 5, 7, 7},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
				q := daily(1000)
				_, err := l.Take(t.Context(), key, q, tt.used)
				require.NoError(t, err)
				c, err := l.TakeUpTo(t.Context(), key, q, tt.least, tt.most)
				if tt.want == 0 {
					requireExhausted(t, err, tt.used, 1000-tt.used)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, tt.want, c.Units())
				b, err := l.Balance(t.Context(), key, q)
				require.NoError(t, err)
				require.Equal(t, tt.used+tt.want, b.Used)
			})
		})
	}
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		for _, n := range [][2]int64{{0, 1}, {-1, 1}, {2, 1}, {1, ledger.MaxUnits + 1}} {
			_, err := l.TakeUpTo(t.Context(), key, day10, n[0], n[1])
			require.ErrorIs(t, err, ledger.ErrCost, "%v", n)
		}
		ref, err := l.Ref(key)
		require.NoError(t, err)
		c, err := ref.TakeUpToAt(t.Context(), noon, day10, 1, 20)
		require.NoError(t, err)
		require.EqualValues(t, 10, c.Units())
	})
	_, err := new(ledger.Ledger).TakeUpTo(t.Context(), key, day10, 1, 1)
	require.ErrorIs(t, err, ledger.ErrNotConfigured)
	_, err = ledger.Ref{}.TakeUpToAt(t.Context(), noon, day10, 1, 1)
	require.ErrorIs(t, err, ledger.ErrNotConfigured)
}

// TestMoreWithoutAnswer: growth whose answer is lost is refused, and given back when the engine is back.
func TestMoreWithoutAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		c, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		time.Sleep(24 * time.Hour) // so that it is not for a lease
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		store.after.Store(true)
		require.ErrorIs(t, c.More(t.Context(), 5), ledger.ErrUnavailable)
		require.EqualValues(t, 1, c.Units())
		store.after.Store(false)
		store.before.Store(true)
		time.Sleep(time.Second)
		require.ErrorIs(t, c.More(t.Context(), 5), ledger.ErrUnavailable, "nor is this one kept for later")
		store.before.Store(false)
		time.Sleep(time.Second)
		require.NoError(t, c.More(t.Context(), 9), "nothing of the others was counted")
		requireExhausted(t, c.More(t.Context(), 1), 10, 0)
		require.NoError(t, c.Settle(t.Context(), 2))
		require.EqualValues(t, 2, store.state(t).Used)
	})
}

// TestSettleWithin: a charge that nobody settles in time is told once, by the next call; its units stand.
func TestSettleWithin(t *testing.T) {
	for name, next := range map[string]func(t *testing.T, l *ledger.Ledger, c ledger.Charge){
		"take": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			_, err := l.Take(t.Context(), key, day10, 100)
			require.ErrorIs(t, err, ledger.ErrExhausted)
		},
		"take up to": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			_, err := l.TakeUpTo(t.Context(), key, day10, 100, 100)
			require.ErrorIs(t, err, ledger.ErrExhausted)
		},
		"balance": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			_, err := l.Balance(t.Context(), key, day10)
			require.NoError(t, err)
		},
		"settle": func(t *testing.T, _ *ledger.Ledger, c ledger.Charge) {
			require.ErrorIs(t, c.Settle(t.Context(), 0), ledger.ErrTooLate)
		},
		"more": func(t *testing.T, _ *ledger.Ledger, c ledger.Charge) {
			require.ErrorIs(t, c.More(t.Context(), 1), ledger.ErrTooLate)
		},
		"less": func(t *testing.T, _ *ledger.Ledger, c ledger.Charge) {
			require.ErrorIs(t, c.More(t.Context(), -1), ledger.ErrTooLate)
		},
		"extend": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			_, err := l.Extend(t.Context(), key, day10, ledger.Adjustment{})
			require.NoError(t, err)
		},
		"usage": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			for _, err := range l.Usage(t.Context(), key, day10, time.Now(), time.Now()) {
				require.NoError(t, err)
			}
		},
		"keys": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			for _, err := range l.Keys(t.Context(), key.Plan) {
				require.NoError(t, err)
			}
		},
		"adjustments": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) {
			for _, err := range l.Adjustments(t.Context(), key, time.Now(), time.Now()) {
				require.NoError(t, err)
			}
		},
		"close": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) { require.NoError(t, l.Close()) },
	} {
		for mode, exact := range map[string]bool{"leased": false, "exact": true} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					told := new(events)
					l := newLedger(t, ledger.Config{Exact: exact, SettleWithin: time.Minute, Observe: told.observe})
					dies, err := l.Take(t.Context(), key, day10, 2)
					require.NoError(t, err)
					settled, err := l.Take(t.Context(), key, day10, 3)
					require.NoError(t, err)
					require.NoError(t, dies.More(t.Context(), 2))
					require.EqualValues(t, 2, l.Stats().Open)
					time.Sleep(time.Minute)
					require.NoError(t, settled.Settle(t.Context(), 1), "in the last instant")
					require.EqualValues(t, 1, l.Stats().Open)
					require.Empty(t, unsettled(told.take()))
					time.Sleep(time.Nanosecond)
					next(t, l, dies)
					want := ledger.Event{Operation: "unsettled", Account: ledger.Account{Key: key, Start: dies.Balance().Start.Unix()}, Units: 4}
					require.Equal(t, []ledger.Event{want}, unsettled(told.take()))
					require.Zero(t, l.Stats().Open)
					require.ErrorIs(t, dies.Settle(t.Context(), 1), ledger.ErrTooLate)
					require.ErrorIs(t, dies.More(t.Context(), 1), ledger.ErrTooLate)
					require.ErrorIs(t, settled.Settle(t.Context(), 1), ledger.ErrSettled)
					require.EqualValues(t, 4, dies.Units())
					require.EqualValues(t, 5, dies.Balance().Used)
					require.Empty(t, unsettled(told.take()), "told once")
				})
			})
		}
	}
	_, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), SettleWithin: -1})
	require.ErrorIs(t, err, ledger.ErrConfig)
}

// TestManyUnsettled: one call does not tell of all, but none of them can be changed any more.
func TestManyUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := new(events)
		l := newLedger(t, ledger.Config{SettleWithin: time.Minute, Observe: told.observe})
		charges := make([]ledger.Charge, 200)
		for i := range charges {
			var err error
			charges[i], err = l.Take(t.Context(), key, daily(1000), 1)
			require.NoError(t, err)
		}
		time.Sleep(time.Minute + 1)
		require.EqualValues(t, 200, l.Stats().Open)
		require.ErrorIs(t, charges[199].Settle(t.Context(), 0), ledger.ErrTooLate)
		require.ErrorIs(t, charges[198].More(t.Context(), 1), ledger.ErrTooLate)
		require.Len(t, unsettled(told.take()), 2*(64+1))
		for range 2 {
			_, err := l.Balance(t.Context(), key, daily(1000))
			require.NoError(t, err)
		}
		require.Len(t, unsettled(told.take()), 70)
		require.Zero(t, l.Stats().Open)
		require.EqualValues(t, 200, charges[0].Balance().Used)
	})
}

// TestSettleWithinForever: the longest bound is as good as none.
func TestSettleWithinForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger(t, ledger.Config{SettleWithin: math.MaxInt64})
		time.Sleep(time.Hour) // so that the bound ends later than a Duration can say
		c, err := l.Take(t.Context(), key, day10, 2)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, c.More(t.Context(), 3))
		require.NoError(t, c.Settle(t.Context(), 4))
		require.Zero(t, l.Stats().Open)
	})
}

func unsettled(all []ledger.Event) (of []ledger.Event) {
	for _, e := range all {
		if e.Operation == "unsettled" {
			of = append(of, e)
		}
	}
	return of
}

// TestChargesGrowAtOnce: many goroutines change one charge, and one of them settles it. What is counted is what it was
// settled with, or, if it was too late for that, what it had grown to. With several ledgers over one engine, and other
// requests at the same time, never more is counted than the limit.
func TestChargesGrowAtOnce(t *testing.T) {
	for name, config := range map[string]ledger.Config{
		"leased":         {Block: 8},
		"exact":          {Exact: true},
		"leased, within": {Block: 8, SettleWithin: time.Hour},
		"exact, within":  {Exact: true, SettleWithin: time.Hour},
		"too late":       {Block: 8, SettleWithin: time.Nanosecond},
	} {
		t.Run(name, func(t *testing.T) {
			rounds := 40
			if heavy() {
				rounds = 2000
			}
			for range rounds {
				growAtOnce(t, config)
			}
		})
	}
}

func growAtOnce(t *testing.T, config ledger.Config) {
	const limit, goroutines = 60, 3
	config.Engine = ledger.NewMemory()
	one, two := newLedger(t, config), newLedger(t, config)
	var counted atomic.Int64
	var wg sync.WaitGroup
	for _, l := range []*ledger.Ledger{one, two} {
		c, err := l.Take(t.Context(), key, daily(limit), 5)
		require.NoError(t, err)
		var grown, settled atomic.Int64
		settled.Store(-1)
		var mine sync.WaitGroup
		for g := range goroutines {
			mine.Go(func() {
				for i := range 6 {
					if n := int64(3 - i%4); c.More(t.Context(), n) == nil {
						grown.Add(n)
					}
				}
				if g == 0 {
					if err := c.Settle(t.Context(), 7); err == nil || errors.Is(err, ledger.ErrForgiven) {
						settled.Store(7)
					}
				}
			})
		}
		wg.Go(func() {
			mine.Wait()
			if settled.Load() < 0 {
				settled.Store(5 + grown.Load())
			}
			counted.Add(settled.Load())
			if settled.Load() != c.Units() {
				t.Errorf("units are %d, want %d", c.Units(), settled.Load())
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(one.Close(), two.Close()))
	for s, err := range ledger.Accounts(t.Context(), config.Engine, key) {
		require.NoError(t, err)
		require.LessOrEqual(t, s.Used, int64(limit))
		require.Equal(t, counted.Load(), s.Used)
		require.Zero(t, s.Held)
	}
}
