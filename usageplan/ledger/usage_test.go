package ledger_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

func collect(t *testing.T, l *ledger.Ledger, q ledger.Quota, from, to time.Time) (days [][2]int64) {
	t.Helper()
	next := time.Time{}
	for d, err := range l.Usage(t.Context(), key, q, from, to) {
		require.NoError(t, err)
		if !next.IsZero() {
			require.True(t, d.Start.Equal(next), "days adjoin: %v after %v", d.Start, next)
		}
		next = d.Start.AddDate(0, 0, 1)
		days = append(days, [2]int64{d.Used, d.Remaining})
	}
	return days
}

func TestUsage(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		q := ledger.Quota{Limit: 100, Period: ledger.Weekly, Offset: 1, Location: zone(t, "Europe/Berlin")}
		monday := time.Date(2026, 10, 19, 23, 30, 0, 0, q.Location) // summer time ends on the 25th
		for _, take := range []struct{ day, cost int64 }{{0, 3}, {0, 2}, {2, 10}, {6, 1}, {7, 8}} {
			_, err := l.TakeAt(t.Context(), monday.AddDate(0, 0, int(take.day)), key, q, take.cost)
			require.NoError(t, err)
		}
		_, err := l.ExtendAt(t.Context(), monday.AddDate(0, 0, 8), key, q, ledger.Adjustment{Delta: 50})
		require.NoError(t, err)
		_, err = l.CorrectAt(t.Context(), monday.AddDate(0, 0, 9), key, q, ledger.Adjustment{Delta: -6})
		require.NoError(t, err)
		want := [][2]int64{
			{0, 100},
			{5, 95},
			{0, 95},
			{10, 85},
			{0, 85},
			{0, 85},
			{0, 85},
			{1, 84}, // Monday to Sunday
			{8, 92},
			{0, 142},
			{-6, 148},
			{0, 148},
		}
		require.Equal(t, want, collect(t, l, q, monday.AddDate(0, 0, -1), monday.AddDate(0, 0, 10)))
		require.Equal(t, want[3:5], collect(t, l, q, monday.AddDate(0, 0, 2), monday.AddDate(0, 0, 3)))
		require.Empty(t, collect(t, l, q, monday, monday.AddDate(0, 0, -1)))
	})
}

// TestUsageOfTodayHasThePresentLimit: no request need have brought it to the engine. A day that is over keeps its own.
func TestUsageOfTodayHasThePresentLimit(t *testing.T) {
	for name, period := range map[string]ledger.Period{"day": ledger.Daily, "month": ledger.Monthly} {
		for exact, mode := range map[bool]string{false: "leased", true: "exact"} {
			t.Run(name+", "+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLedger(t, ledger.Config{Exact: exact})
					q, first := ledger.Quota{Limit: 100, Period: period}, time.Now()
					_, err := l.Take(t.Context(), key, q, 3)
					require.NoError(t, err)
					_, err = l.Extend(t.Context(), key, q, ledger.Adjustment{Delta: 5})
					require.NoError(t, err)
					q.Limit = 40
					require.Equal(t, [][2]int64{{3, 42}}, collect(t, l, q, first, first))
					b, err := l.Balance(t.Context(), key, q)
					require.NoError(t, err)
					require.EqualValues(t, 42, b.Remaining, "as the balance")
					time.Sleep(24 * time.Hour)
					today := map[ledger.Period]int64{ledger.Daily: 40, ledger.Monthly: 42}[period]
					require.Equal(t, [][2]int64{{3, 102}, {0, today}}, collect(t, l, q, first, time.Now()))
					_, err = l.Take(t.Context(), key, q, 1)
					require.NoError(t, err)
					q.Limit = 60
					require.Equal(t, [][2]int64{{3, 102}, {1, today + 19}}, collect(t, l, q, first, time.Now()))
				})
			})
		}
	}
}

// calendar returns all that Usage says of the days, but for when they begin.
func calendar(t *testing.T, l *ledger.Ledger, q ledger.Quota, from, to time.Time) (days []ledger.Day) {
	t.Helper()
	for d, err := range l.Usage(t.Context(), key, q, from, to) {
		require.NoError(t, err)
		d.Start = time.Time{}
		days = append(days, d)
	}
	return days
}

// TestDayHasItsLimit: a day that is over has the limit and the extensions as they were at its end, and today has those
// of now. Days that no account is known of have the present limit.
func TestDayHasItsLimit(t *testing.T) {
	type step struct {
		day                   int
		limit                 int64 // if it is not that of before
		take, extend, correct int64
	}
	steps := []step{
		{day: 1, limit: 100, take: 30},
		{day: 1, limit: 100, extend: 50},
		{day: 1, limit: 80, take: 10},
		{day: 3, limit: 60, take: 5},
		{day: 3, limit: 60, extend: -10},
		{day: 4, limit: 60, correct: 7},
	}
	for name, test := range map[string]struct {
		quota ledger.Quota
		want  []ledger.Day
	}{
		"day": {ledger.Quota{Period: ledger.Daily}, []ledger.Day{
			{Limit: 40, Remaining: 40},
			{Limit: 80, Adjustments: 50, Used: 40, Remaining: 90},
			{Limit: 40, Remaining: 40},
			{Limit: 60, Adjustments: -10, Used: 5, Remaining: 45},
			{Limit: 40, Used: 7, Remaining: 33},
			{Limit: 40, Remaining: 40},
		}},
		"week": {ledger.Quota{Period: ledger.Weekly, Offset: 3}, []ledger.Day{ // from the second of these days
			{Limit: 40, Remaining: 40},
			{Limit: 80, Adjustments: 50, Used: 40, Remaining: 90},
			{Limit: 80, Adjustments: 50, Remaining: 90},
			{Limit: 60, Adjustments: 40, Used: 5, Remaining: 55},
			{Limit: 40, Adjustments: 40, Used: 7, Remaining: 28},
			{Limit: 40, Adjustments: 40, Remaining: 28},
		}},
		"month": {ledger.Quota{Period: ledger.Monthly}, []ledger.Day{
			{Limit: 40, Remaining: 40}, // it has no usage before, and the limit of then is not known
			{Limit: 80, Adjustments: 50, Used: 40, Remaining: 90},
			{Limit: 80, Adjustments: 50, Remaining: 90},
			{Limit: 60, Adjustments: 40, Used: 5, Remaining: 55},
			{Limit: 40, Adjustments: 40, Used: 7, Remaining: 28},
			{Limit: 40, Adjustments: 40, Remaining: 28},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, exact := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					l := newLedger(t, ledger.Config{Exact: exact})
					q, first := test.quota, time.Now().AddDate(0, 0, 3) // Tuesday the 4th of January 2000
					require.Equal(t, time.Tuesday, first.Weekday())
					time.Sleep(time.Until(first))
					for _, s := range steps {
						time.Sleep(time.Until(first.AddDate(0, 0, s.day).Add(time.Hour)))
						q.Limit = s.limit
						var err error
						switch {
						case s.take != 0:
							_, err = l.Take(t.Context(), key, q, s.take)
						case s.extend != 0:
							_, err = l.Extend(t.Context(), key, q, ledger.Adjustment{Delta: s.extend})
						default:
							_, err = l.Correct(t.Context(), key, q, ledger.Adjustment{Delta: s.correct})
						}
						require.NoError(t, err)
					}
					q.Limit = 40 // since noon, and nothing has used it
					require.Equal(t, test.want, calendar(t, l, q, first, first.AddDate(0, 0, 5)))
				})
			}
		})
	}
}

// anyQuota returns a quota of any period, offset and location.
func anyQuota(t *testing.T, r *rand.Rand) ledger.Quota {
	locations := []*time.Location{nil, zone(t, "Europe/Berlin"), zone(t, "Asia/Tokyo"), zone(t, "America/Los_Angeles")}
	q := ledger.Quota{Limit: 1 << 40, Period: periods[r.IntN(3)], Location: locations[r.IntN(len(locations))]}
	q.Offset = r.IntN(map[ledger.Period]int{ledger.Daily: 1, ledger.Weekly: 7, ledger.Monthly: 28}[q.Period])
	return q
}

// TestTodayRemainsWhatTheBalanceSays: however a quota changes, before and after the first request under it.
func TestTodayRemainsWhatTheBalanceSays(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		exact, q := r.IntN(2) == 1, anyQuota(t, r)
		synctest.Test(t, func(t *testing.T) {
			l := newLedger(t, ledger.Config{Exact: exact})
			for range 40 {
				time.Sleep(time.Duration(r.Int64N(int64(60 * time.Hour))))
				if r.IntN(4) == 0 {
					q = anyQuota(t, r)
				}
				if r.IntN(3) > 0 {
					_, err := l.Take(t.Context(), key, q, 1+r.Int64N(40))
					require.NoError(t, err)
				}
				if r.IntN(6) == 0 {
					_, err := l.Extend(t.Context(), key, q, ledger.Adjustment{Delta: r.Int64N(100)})
					require.NoError(t, err)
				}
				b, err := l.Balance(t.Context(), key, q)
				require.NoError(t, err)
				today := calendar(t, l, q, time.Now(), time.Now())[0]
				require.Equal(t, b.Remaining, today.Remaining, "seed %d", seed)
				require.Equal(t, b.Limit, today.Limit, "seed %d", seed)
				require.Equal(t, b.Adjustments, today.Adjustments, "seed %d", seed)
			}
		})
	}
}

// TestDayRemainsWhatItsAccountHad: a day without requests had what remained of the account that went on over it,
// whatever the quota is now.
func TestDayRemainsWhatItsAccountHad(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		month := ledger.Quota{Limit: 100, Period: ledger.Monthly}
		first := noon.AddDate(0, -1, 0)
		for _, take := range []struct {
			day  int
			q    ledger.Quota
			cost int64
		}{{0, month, 10}, {3, month, 20}, {3, day10, 1}, {5, day10, 2}} {
			_, err := l.TakeAt(t.Context(), first.AddDate(0, 0, take.day), key, take.q, take.cost)
			require.NoError(t, err)
		}
		want := [][2]int64{{10, 90}, {0, 90}, {0, 90}, {21, 9}, {0, 10}, {2, 8}}
		require.Equal(t, want, collect(t, l, day10, first, first.AddDate(0, 0, 5)))
		require.Equal(t, want[1:2], collect(t, l, day10, first.AddDate(0, 0, 1), first.AddDate(0, 0, 1)))
	})
}

// TestUsageIsComplete: however a quota changes, the days add up to what was used.
func TestUsageIsComplete(t *testing.T) {
	rounds := 40
	if heavy() {
		rounds = 1000
	}
	for range rounds {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 0))
		quota := func() ledger.Quota { return anyQuota(t, r) }
		l := newLedger(t, ledger.Config{Exact: r.IntN(2) == 1})
		q, at, used := quota(), noon, int64(0)
		for range 60 {
			if r.IntN(5) == 0 {
				q = quota()
			}
			at = at.Add(time.Duration(r.Int64N(int64(60 * time.Hour))))
			cost := 1 + r.Int64N(40)
			c, err := l.TakeAt(t.Context(), at, key, q, cost)
			require.NoError(t, err)
			used += cost
			if r.IntN(4) == 0 {
				require.NoError(t, c.Settle(t.Context(), cost-1))
				used--
			}
		}
		for range 3 {
			sum, q := int64(0), quota()
			for d, err := range l.Usage(t.Context(), key, q, noon.AddDate(0, 0, -2), at.AddDate(0, 0, 2)) {
				require.NoError(t, err)
				sum += d.Used
			}
			require.Equal(t, used, sum, "seed %d, read by %+v", seed, q)
		}
	}
}

// A report asks for many keys that have never called. It leaves nothing of them in memory.
func TestUsageOfUnknownKeysKeepsNothing(t *testing.T) {
	inBothModes(t, func(t *testing.T, l *ledger.Ledger) {
		q := ledger.Quota{Limit: 10, Period: ledger.Daily}
		now := time.Now()
		for i := range 100 {
			for d, err := range l.Usage(t.Context(), ledger.Key{Plan: "p", Subject: string(rune('a' + i))}, q, now, now) {
				require.NoError(t, err)
				require.Equal(t, [2]int64{0, 10}, [2]int64{d.Used, d.Remaining})
			}
		}
		require.Zero(t, ledger.Counters(l))
	})
}

// loads calls before ahead of the first Load.
type loads struct {
	ledger.Engine
	before func()
}

func (e *loads) Load(ctx context.Context, row string) ([]byte, error) {
	if f := e.before; f != nil {
		e.before = nil
		f()
	}
	return e.Engine.Load(ctx, row)
}

// The first take of a key comes while its usage is read. What its lease holds is not used, and remains.
func TestUsageBesideTheFirstTake(t *testing.T) {
	e := &loads{Engine: ledger.NewMemory()}
	l, err := ledger.New(ledger.Config{Engine: e})
	require.NoError(t, err)
	q := ledger.Quota{Limit: 1000, Period: ledger.Monthly}
	e.before = func() {
		_, err := l.Take(t.Context(), key, q, 1)
		require.NoError(t, err)
	}
	now := time.Now()
	require.Equal(t, [][2]int64{{1, 999}}, collect(t, l, q, now, now))
	require.Nil(t, e.before)
}
