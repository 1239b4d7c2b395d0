package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// inBubbles is inBothModes in bubbles of time.
func inBubbles(t *testing.T, f func(t *testing.T, l *ledger.Ledger)) {
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, newLedger(t, ledger.Config{Exact: exact})) })
		})
	}
}

func daily(limit int64) ledger.Quota { return ledger.Quota{Limit: limit, Period: ledger.Daily} }

// TestSettleByLimitInForce: a true-up is decided by the limit in force, whether or not the ledger has been asked for
// anything under it, and the balance afterwards is the new one.
func TestSettleByLimitInForce(t *testing.T) {
	tests := []struct {
		name             string
		limit, cost      int64
		present          int64
		actual, wantUsed int64
		forgiven         bool
	}{
		{"raised", 1000, 900, 100_000, 5000, 5000, false},
		{"raised, not enough", 1000, 900, 2000, 5000, 2000, true},
		{"lowered", 100, 5, 10, 50, 10, true},
		{"lowered, enough", 100, 5, 10, 10, 10, false},
		{"lowered below what is used", 100, 50, 10, 60, 50, true},
		{"as it was", 100, 5, 100, 50, 50, false},
		{"as it was, not enough", 100, 5, 100, 150, 100, true},
		{"a refund under a lowered limit", 100, 50, 10, 20, 20, false},
		{"nothing left", 10, 10, 0, 11, 10, true},
	}
	settle := map[string]func(context.Context, *ledger.Ledger, ledger.Charge, ledger.Quota, int64) error{
		"under": func(ctx context.Context, _ *ledger.Ledger, c ledger.Charge, q ledger.Quota, actual int64) error {
			return c.SettleUnder(ctx, q, actual)
		},
		"after a balance": func(ctx context.Context, l *ledger.Ledger, c ledger.Charge, q ledger.Quota, actual int64) error {
			if _, err := l.Balance(ctx, key, q); err != nil {
				return err
			}
			return c.Settle(ctx, actual)
		},
	}
	for _, tt := range tests {
		for how, settle := range settle {
			t.Run(tt.name+"/"+how, func(t *testing.T) {
				inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
					c, err := l.Take(t.Context(), key, daily(tt.limit), tt.cost)
					require.NoError(t, err)
					err = settle(t.Context(), l, c, daily(tt.present), tt.actual)
					if tt.forgiven {
						require.ErrorIs(t, err, ledger.ErrForgiven)
						require.NotErrorIs(t, err, ledger.ErrExhausted)
					} else {
						require.NoError(t, err)
					}
					after := [4]int64{tt.present, 0, tt.wantUsed, max(0, tt.present-tt.wantUsed)}
					require.Equal(t, after, numbers(c.Balance()))
					b, err := l.Balance(t.Context(), key, daily(tt.present))
					require.NoError(t, err)
					require.Equal(t, after, numbers(b))
				})
			})
		}
	}
}

// TestSettleUnderAnotherPeriod: a quota with another period says nothing about the account of the charge, nor does one
// after the period has ended.
func TestSettleUnderAnotherPeriod(t *testing.T) {
	for name, q := range map[string]ledger.Quota{
		"period":   {Limit: 1000, Period: ledger.Monthly},
		"location": {Limit: 1000, Period: ledger.Daily, Location: time.FixedZone("", 3600)},
	} {
		t.Run(name, func(t *testing.T) {
			inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
				c, err := l.Take(t.Context(), key, daily(100), 5)
				require.NoError(t, err)
				require.ErrorIs(t, c.SettleUnder(t.Context(), q, 500), ledger.ErrForgiven)
				require.Equal(t, [4]int64{100, 0, 100, 0}, numbers(c.Balance()))
			})
		})
	}
	t.Run("over", func(t *testing.T) {
		inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
			c, err := l.Take(t.Context(), key, daily(100), 5)
			require.NoError(t, err)
			time.Sleep(24 * time.Hour)
			require.ErrorIs(t, c.SettleUnder(t.Context(), daily(1000), 500), ledger.ErrForgiven)
			require.Equal(t, [4]int64{100, 0, 100, 0}, numbers(c.Balance()), "a period that is over keeps its limit")
		})
	})
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.Take(t.Context(), key, daily(100), 5)
		require.NoError(t, err)
		require.ErrorIs(t, c.SettleUnder(t.Context(), ledger.Quota{}, 0), ledger.ErrQuota)
		require.NoError(t, c.SettleUnder(t.Context(), daily(100), 0), "nothing had been settled")
	})
}

// TestSettleUnderSameLocation: a location that has been loaded again, as with a plan that is kept as JSON, is the same.
func TestSettleUnderSameLocation(t *testing.T) {
	for _, period := range []ledger.Period{ledger.Daily, ledger.Weekly, ledger.Monthly} {
		inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
			c, err := l.Take(t.Context(), key, ledger.Quota{Limit: 1000, Period: period, Location: zone(t, "Europe/Berlin")}, 900)
			require.NoError(t, err)
			present := ledger.Quota{Limit: 100_000, Period: period, Location: zone(t, "Europe/Berlin")}
			require.NoError(t, c.SettleUnder(t.Context(), present, 5000))
			require.Equal(t, [4]int64{100_000, 0, 5000, 95_000}, numbers(c.Balance()))
		})
	}
}

// TestOverdrawUnderLoweredLimit: by the overdraw rule all is counted, whatever the limit is by now.
func TestOverdrawUnderLoweredLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, exact := range []bool{false, true} {
			l := newLedger(t, ledger.Config{Exact: exact, AllowOverdraw: true})
			c, err := l.Take(t.Context(), key, daily(100), 5)
			require.NoError(t, err)
			require.NoError(t, c.SettleUnder(t.Context(), daily(10), 50))
			require.Equal(t, [4]int64{10, 0, 50, 0}, numbers(c.Balance()))
			_, err = l.Take(t.Context(), key, daily(10), 1)
			require.ErrorIs(t, err, ledger.ErrExhausted)
		}
	})
}

// TestBalanceAfterSettle: a settled charge tells the present balance, also after its lease has ended.
func TestBalanceAfterSettle(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		q := ledger.Quota{Limit: 1000, Period: ledger.Weekly}
		take := func(at time.Time, cost int64) ledger.Charge {
			c, err := l.TakeAt(t.Context(), at, key, q, cost)
			require.NoError(t, err)
			return c
		}
		want := func(c ledger.Charge, used int64) {
			t.Helper()
			require.Equal(t, [4]int64{1000, 0, used, 1000 - used}, numbers(c.Balance()))
		}
		less, more, same := take(noon, 10), take(noon, 10), take(noon, 10)
		require.NoError(t, less.Settle(t.Context(), 4))
		want(less, 24)
		require.NoError(t, more.Settle(t.Context(), 15))
		want(more, 29)
		large := take(noon, 1)
		require.NoError(t, large.Settle(t.Context(), 500), "more than any lease holds")
		want(large, 529)
		require.NoError(t, same.Settle(t.Context(), 10))
		want(same, 529)
		last := take(noon, 1)
		want(last, 530)
		require.NoError(t, last.Settle(t.Context(), 1))
		want(last, 530)
		late := take(noon, 20)
		_ = take(noon.AddDate(0, 0, 1), 1)
		require.NoError(t, late.Settle(t.Context(), 0), "on the next day")
		want(late, 531)
		require.ErrorIs(t, late.Settle(t.Context(), 0), ledger.ErrSettled)
	})
}

// TestSettleByLastLimit: the limit in force is the last one, also if it is that of admission again.
func TestSettleByLastLimit(t *testing.T) {
	inBubbles(t, func(t *testing.T, l *ledger.Ledger) {
		c, err := l.Take(t.Context(), key, daily(1000), 5)
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, daily(5000), 5)
		require.NoError(t, err)
		_, err = l.Balance(t.Context(), key, daily(1000))
		require.NoError(t, err)
		require.ErrorIs(t, c.Settle(t.Context(), 4000), ledger.ErrForgiven)
		require.Equal(t, [4]int64{1000, 0, 1000, 0}, numbers(c.Balance()))
	})
}

// TestSettleByLimitElsewhere: a limit that only another ledger has been told of decides, for the account knows it.
func TestSettleByLimitElsewhere(t *testing.T) {
	for _, exact := range []bool{false, true} {
		store := ledger.NewMemory()
		one := newLedger(t, ledger.Config{Engine: store, Exact: exact})
		other := newLedger(t, ledger.Config{Engine: store, Exact: exact})
		c, err := one.TakeAt(t.Context(), noon, key, daily(100), 5)
		require.NoError(t, err)
		_, err = other.TakeAt(t.Context(), noon, key, daily(5000), 1)
		require.NoError(t, err)
		require.NoError(t, other.Close())
		require.NoError(t, c.Settle(t.Context(), 400))
		require.Equal(t, [4]int64{5000, 0, 401, 4599}, numbers(c.Balance()))
	}
}

// TestDayKeepsItsLimit: a settlement under another limit changes what a day that is over has used, not its limit.
func TestDayKeepsItsLimit(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		q := func(limit int64) ledger.Quota { return ledger.Quota{Limit: limit, Period: ledger.Weekly} }
		next := noon.AddDate(0, 0, 1)
		c, err := l.TakeAt(t.Context(), noon, key, q(100), 10)
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), next, key, q(1000), 1)
		require.NoError(t, err)
		require.Equal(t, [][2]int64{{10, 90}, {1, 989}}, collect(t, l, q(1000), noon, next))
		require.NoError(t, c.Settle(t.Context(), 500))
		require.Equal(t, [][2]int64{{500, 0}, {1, 499}}, collect(t, l, q(1000), noon, next))
	})
}

// TestBalanceAfterOthers: a settled charge tells what requests and adjustments have counted since, too.
func TestBalanceAfterOthers(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		take := func(cost int64) ledger.Charge {
			c, err := l.TakeAt(t.Context(), noon, key, daily(1000), cost)
			require.NoError(t, err)
			return c
		}
		c := take(10)
		_ = take(7)
		require.NoError(t, c.Settle(t.Context(), 10), "as it was")
		require.Equal(t, [4]int64{1000, 0, 17, 983}, numbers(c.Balance()))
		_ = take(3)
		require.Equal(t, [4]int64{1000, 0, 20, 980}, numbers(c.Balance()))
		_, err := l.ExtendAt(t.Context(), noon, key, daily(1000), ledger.Adjustment{Delta: 50})
		require.NoError(t, err)
		require.Equal(t, [4]int64{1000, 50, 20, 1030}, numbers(c.Balance()))
	})
}

// TestBalanceAfterSettleInOutage: what a settlement has come to is known also while the store fails.
func TestBalanceAfterSettleInOutage(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		c, err := l.Take(t.Context(), key, daily(1000), 10)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), 300))
		want := [4]int64{1000, 0, 300, 700}
		require.Equal(t, want, numbers(c.Balance()))
		store.before.Store(true)
		for range 3 {
			_, err = l.Take(t.Context(), key, daily(1000), 10)
			require.ErrorIs(t, err, ledger.ErrUnavailable)
			require.Equal(t, want, numbers(c.Balance()))
			time.Sleep(time.Second)
		}
		_, err = l.Take(t.Context(), key, daily(2000), 10)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.Equal(t, [4]int64{2000, 0, 300, 1700}, numbers(c.Balance()), "under the limit in force")
		store.before.Store(false)
		time.Sleep(time.Second)
		_, err = l.Take(t.Context(), key, daily(2000), 10)
		require.NoError(t, err)
		require.Equal(t, [4]int64{2000, 0, 310, 1690}, numbers(c.Balance()))
	})
}

// TestBalanceAfterConcurrentSettlements: however settlements and requests meet, in the end each settled charge tells
// what all of them come to, and nothing is forgiven that the limit leaves.
func TestBalanceAfterConcurrentSettlements(t *testing.T) {
	rounds := 100
	if heavy() {
		rounds = 3000
	}
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		const workers, tries = 8, 10
		q := ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}
		var want atomic.Int64
		for range rounds {
			charges := make([]ledger.Charge, workers*tries)
			var wg sync.WaitGroup
			for w := range workers {
				wg.Go(func() {
					for i := range tries {
						c, err := l.TakeAt(context.Background(), noon, key, q, 5)
						if err != nil {
							t.Error(err)
							return
						}
						actual := int64((w+i)%4) * 5000 // nothing, or more than a lease holds
						if err := c.Settle(context.Background(), actual); err != nil {
							t.Error(err)
						}
						want.Add(actual)
						_ = c.Balance() // whatever it is meanwhile
						charges[w*tries+i] = c
					}
				})
			}
			wg.Wait()
			for _, c := range charges {
				require.Equal(t, [4]int64{q.Limit, 0, want.Load(), q.Limit - want.Load()}, numbers(c.Balance()))
			}
		}
	})
}

// TestSettleWhileLeasesEnd: days and limits change and the ledger is closed, while requests are taken, settled and
// asked for their balance. In the end the store counts what they have been settled to.
func TestSettleWhileLeasesEnd(t *testing.T) {
	rounds := 20
	if heavy() {
		rounds = 500
	}
	for _, exact := range []bool{false, true} {
		for range rounds {
			store := ledger.NewMemory()
			l, err := ledger.New(ledger.Config{Engine: store, Exact: exact, Block: 64})
			require.NoError(t, err)
			var want, hours atomic.Int64
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					r := rand.New(rand.NewPCG(uint64(w), 0))
					for n := range 200 {
						if w == 0 && n == 150 {
							if err := l.Close(); err != nil {
								t.Error(err)
							}
						}
						at := noon.Add(time.Duration(hours.Add(1)/20) * time.Hour)
						c, err := l.TakeAt(context.Background(), at, key, ledger.Quota{Limit: 1<<40 + hours.Load()/100, Period: ledger.Weekly}, 5)
						if errors.Is(err, ledger.ErrClosed) {
							return
						} else if err != nil {
							t.Error(err)
							return
						}
						actual := []int64{0, 3, 5, 8, 300}[r.IntN(5)]
						want.Add(actual)
						if err := c.Settle(context.Background(), actual); err != nil {
							t.Error(err)
						}
						if b := c.Balance(); b.Used < 0 || b.Remaining > 1<<41 {
							t.Errorf("got %+v", b)
						}
					}
				})
			}
			wg.Wait()
			require.NoError(t, l.Close())
			_, sum := days(t, store)
			require.Equal(t, want.Load(), sum)
		}
	}
}

// TestSettlementsShareCommits: a crowd that settles one key does not wait for a commit each.
func TestSettlementsShareCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const crowd = 64
		store := &slow{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: store})
		require.NoError(t, err)
		charges := make([]ledger.Charge, crowd)
		for i := range charges {
			charges[i], err = l.Take(t.Context(), key, daily(1<<40), 1)
			require.NoError(t, err)
		}
		synctest.Wait()
		before := store.commits
		var wg sync.WaitGroup
		for _, c := range charges {
			wg.Go(func() { require.NoError(t, c.Settle(t.Context(), 5000)) })
		}
		wg.Wait()
		require.LessOrEqual(t, store.commits-before, 3)
		for _, c := range charges {
			require.EqualValues(t, crowd*5000, c.Balance().Used)
		}
		require.NoError(t, l.Close())
	})
}

// TestSettleWhileClosing: what is settled while Close returns the leases is given back as at any other time.
func TestSettleWhileClosing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = 1500 // more than Close returns in one commit
		store := ledger.NewMemory()
		l, err := ledger.New(ledger.Config{Engine: &slow{Engine: store}})
		require.NoError(t, err)
		subject := func(i int) ledger.Key { return ledger.Key{Plan: "plan", Subject: fmt.Sprint(i)} }
		charges := make([]ledger.Charge, keys)
		var wg sync.WaitGroup
		for i := range charges {
			wg.Go(func() {
				charge, err := l.Take(t.Context(), subject(i), daily(1000), 4)
				require.NoError(t, err)
				charges[i] = charge // of units that the store does not know to be spent
			})
		}
		wg.Wait()
		wg.Go(func() { require.NoError(t, l.Close()) })
		time.Sleep(time.Millisecond / 2)
		for _, c := range charges {
			wg.Go(func() { require.NoError(t, c.Settle(t.Context(), 0)) })
		}
		wg.Wait()
		for i, c := range charges {
			require.Equal(t, [4]int64{1000, 0, 0, 1000}, numbers(c.Balance()))
			for s, err := range ledger.Accounts(t.Context(), store, subject(i)) {
				require.NoError(t, err)
				require.Equal(t, [2]int64{0, 0}, [2]int64{s.Used, s.Held})
			}
		}
	})
}

// TestLateRefundAfterCorrection: what a correction has taken off cannot be given back again; the rest can, on whichever
// day it was spent.
func TestLateRefundAfterCorrection(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		q := ledger.Quota{Limit: 1000, Period: ledger.Weekly}
		next := noon.AddDate(0, 0, 1)
		c, err := l.TakeAt(t.Context(), noon, key, q, 10)
		require.NoError(t, err)
		_, err = l.CorrectAt(t.Context(), next, key, q, ledger.Adjustment{Delta: -10})
		require.NoError(t, err)
		_, err = l.TakeAt(t.Context(), next, key, q, 3)
		require.NoError(t, err)
		require.NoError(t, c.Settle(t.Context(), 0))
		b, err := l.BalanceAt(t.Context(), next, key, q)
		require.NoError(t, err)
		require.Equal(t, [4]int64{1000, 0, 0, 1000}, numbers(b))
		require.Equal(t, [][2]int64{{7, 993}, {-7, 1000}}, collect(t, l, q, noon, next))
	})
}

// TestModesAgree: a single ledger decides and counts the same in both modes, whatever is settled, corrected and
// extended when.
func TestModesAgree(t *testing.T) {
	rounds := 200
	if heavy() {
		rounds = 5000
	}
	for round := range rounds {
		seed := uint64(round)
		exact, leased := randomCalls(t, true, seed), randomCalls(t, false, seed)
		require.Equal(t, exact, leased, "seed %d", seed)
	}
}

// step is what one call has come to.
type step struct {
	what string
	err  string

	units    int64 // of the charge
	b, after [4]int64
}

// randomCalls makes random calls on the days of two weeks and returns what came of them.
func randomCalls(t *testing.T, exact bool, seed uint64) (steps []step) {
	l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Exact: exact, AllowOverdraw: seed%3 == 0})
	require.NoError(t, err)
	rnd := rand.New(rand.NewPCG(seed, 1))
	now, q := noon, ledger.Quota{Limit: 50 + rnd.Int64N(100), Period: ledger.Weekly}
	var open []ledger.Charge
	for range 60 {
		var s step
		switch rnd.IntN(10) {
		case 0:
			now = now.Add(time.Duration(rnd.IntN(40)) * time.Hour)
			continue
		case 1:
			q.Limit = 20 + rnd.Int64N(200)
			continue
		case 2:
			s.what = "extend"
			_, err = l.ExtendAt(t.Context(), now, key, q, ledger.Adjustment{Delta: rnd.Int64N(40) - 20})
		case 3:
			s.what = "correct"
			_, err = l.CorrectAt(t.Context(), now, key, q, ledger.Adjustment{Delta: rnd.Int64N(100) - 90})
		case 4:
			if len(open) == 0 {
				continue
			}
			c, n := open[rnd.IntN(len(open))], rnd.Int64N(40)-8
			s.what, err = "more", c.MoreAt(t.Context(), now, n)
			s.b = numbers(c.Balance())
			s.units = c.Units()
		case 5, 6, 7:
			if len(open) == 0 {
				continue
			}
			i := rnd.IntN(len(open))
			s.what, err = "settle", open[i].Settle(t.Context(), rnd.Int64N(30))
			open = append(open[:i], open[i+1:]...)
		default:
			var c ledger.Charge
			s.what = "take"
			least := 1 + rnd.Int64N(15)
			if c, err = l.TakeUpToAt(t.Context(), now, key, q, least, least+max(0, rnd.Int64N(60)-30)); err == nil {
				open = append(open, c)
				s.units = c.Units()
			}
		}
		if err != nil {
			s.err = err.Error()
		}
		b, err := l.BalanceAt(t.Context(), now, key, q)
		require.NoError(t, err)
		s.after = numbers(b)
		steps = append(steps, s)
	}
	require.NoError(t, l.Close())
	return steps
}

// TestDayStaysClosed: a clock that steps back reopens no usage day, after a restart as before one.
func TestDayStaysClosed(t *testing.T) {
	q := ledger.Quota{Limit: 100, Period: ledger.Monthly}
	for _, exact := range []bool{false, true} {
		for _, restart := range []bool{false, true} {
			store := ledger.NewMemory()
			l := newLedger(t, ledger.Config{Engine: store, Exact: exact})
			_, err := l.TakeAt(t.Context(), noon, key, q, 1)
			require.NoError(t, err)
			if restart {
				require.NoError(t, l.Close())
				l = newLedger(t, ledger.Config{Engine: store, Exact: exact})
			}
			yesterday := noon.AddDate(0, 0, -1)
			_, err = l.TakeAt(t.Context(), yesterday, key, q, 1)
			require.NoError(t, err)
			_, err = l.CorrectAt(t.Context(), yesterday, key, q, ledger.Adjustment{Delta: 2})
			require.NoError(t, err)
			_, err = l.ExtendAt(t.Context(), yesterday, key, q, ledger.Adjustment{Delta: 5})
			require.NoError(t, err)
			require.Equal(t, [][2]int64{{0, 100}, {4, 101}}, collect(t, l, q, yesterday, noon), "restart %v", restart)
		}
	}
}

// TestDayStaysClosedUnderAnotherPeriod: nor does it where the quota got a shorter period, so that a new account would
// begin on the earlier day.
func TestDayStaysClosedUnderAnotherPeriod(t *testing.T) {
	for _, before := range []ledger.Period{ledger.Weekly, ledger.Monthly} {
		for _, exact := range []bool{false, true} {
			for _, restart := range []bool{false, true} {
				store := ledger.NewMemory()
				l := newLedger(t, ledger.Config{Engine: store, Exact: exact})
				_, err := l.TakeAt(t.Context(), noon, key, ledger.Quota{Limit: 100, Period: before}, 1)
				require.NoError(t, err)
				if restart {
					require.NoError(t, l.Close())
					l = newLedger(t, ledger.Config{Engine: store, Exact: exact})
				}
				yesterday := noon.AddDate(0, 0, -1)
				_, err = l.TakeAt(t.Context(), yesterday, key, daily(100), 2)
				require.NoError(t, err)
				require.Equal(t, [][2]int64{{0, 100}, {3, 98}}, collect(t, l, daily(100), yesterday, noon), "%v, restart %v", before, restart)
			}
		}
	}
}

// TestSkewedClocks: several ledgers over one store, with clocks that differ around midnight and quotas that change
// period and location, count each request once, and none on a day that another one has followed.
func TestSkewedClocks(t *testing.T) {
	rounds := 100
	if heavy() {
		rounds = 5000
	}
	locations := []*time.Location{nil, zone(t, "Europe/Berlin"), zone(t, "Asia/Tokyo"), zone(t, "America/Los_Angeles")}
	for round := range rounds {
		seed := uint64(round)
		r := rand.New(rand.NewPCG(seed, 0))
		store, exact := ledger.NewMemory(), round%2 == 1
		ledgers := make([]*ledger.Ledger, 3)
		for i := range ledgers {
			ledgers[i] = newLedger(t, ledger.Config{Engine: store, Exact: exact})
		}
		q := ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}
		at, used := time.Date(2026, 11, 30, 22, 0, 0, 0, time.UTC), int64(0)
		for range 40 {
			at = at.Add(time.Duration(r.IntN(4)) * time.Hour)
			if r.IntN(5) == 0 {
				q.Period, q.Location = periods[r.IntN(3)], locations[r.IntN(len(locations))]
			}
			before, _ := days(t, store)
			skewed := at.Add(time.Duration(r.IntN(5)-2) * 12 * time.Hour)
			_, err := ledgers[r.IntN(len(ledgers))].TakeAt(t.Context(), skewed, key, q, 1)
			require.NoError(t, err)
			used++
			after, _ := days(t, store)
			newest := slices.Max(slices.Collect(maps.Keys(after)))
			for day, n := range after {
				if day != newest && exact { // a lease that is returned changes the day on which it was spent
					require.Equal(t, before[day], n, "seed %d: a day that is over", seed)
				}
			}
		}
		for _, l := range ledgers {
			require.NoError(t, l.Close())
		}
		_, sum := days(t, store)
		require.Equal(t, used, sum, "seed %d", seed)
	}
}

// days is what the store has counted on each day, in whichever account, and on all together.
func days(t *testing.T, store ledger.Engine) (used map[int64]int64, sum int64) {
	used = make(map[int64]int64)
	for s, err := range ledger.Accounts(t.Context(), store, key) {
		require.NoError(t, err)
		for _, d := range s.Days {
			used[d.Day] += d.Used
			sum += d.Used
		}
	}
	return used, sum
}

// TestDayBeforeNewestElsewhere: where a quota moves to a location whose day began earlier, requests count on the newest
// day all the same.
func TestDayBeforeNewestElsewhere(t *testing.T) {
	utc := ledger.Quota{Limit: 100, Period: ledger.Monthly}
	east := utc
	east.Location = time.FixedZone("", 9*3600)
	for _, exact := range []bool{false, true} {
		store := ledger.NewMemory()
		for i, q := range []ledger.Quota{utc, east, utc, east} {
			l := newLedger(t, ledger.Config{Engine: store, Exact: exact})
			c, err := l.TakeAt(t.Context(), noon, key, q, 1)
			require.NoError(t, err)
			require.Equal(t, int64(i+1), c.Balance().Used)
			require.NoError(t, l.Close())
		}
	}
}

// TestUsageEndsWithContext: usage over many days ends soon after its context.
func TestUsageEndsWithContext(t *testing.T) {
	l := newLedger(t, ledger.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	days := 0
	var last error
	for _, err := range l.Usage(ctx, key, daily(1), noon, noon.AddDate(100, 0, 0)) {
		if last = err; err != nil {
			break
		}
		if days++; days == 3 {
			cancel()
		}
	}
	require.Equal(t, 3, days)
	require.ErrorIs(t, last, ledger.ErrUnavailable)
	require.ErrorIs(t, last, context.Canceled)
}
