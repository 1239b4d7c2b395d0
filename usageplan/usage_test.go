package usageplan_test

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// usedSince sums up the client's usage from an instant to now.
func usedSince(t *testing.T, m *usageplan.Meter, k usageplan.QuotaKey, from time.Time) (sum int64) {
	t.Helper()
	for day, err := range m.Usage(t.Context(), k, from, time.Now()) {
		require.NoError(t, err, "%+v", k)
		sum += day.Used
	}
	return sum
}

// modes runs f with a ledger of each mode that has nothing else to do than what f asks.
func modes(t *testing.T, c ledger.Config, f func(t *testing.T, quotas *ledger.Ledger)) {
	for exact, name := range map[bool]string{false: "leased", true: "exact"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.Engine, c.Exact = ledger.NewMemory(), exact
				quotas, err := ledger.New(c)
				require.NoError(t, err)
				defer func() { require.NoError(t, quotas.Close()) }()
				f(t, quotas)
			})
		})
	}
}

// putQuotas changes the quotas of the plan "p".
func putQuotas(t *testing.T, m *usageplan.Meter, quotas ...ledger.Quota) {
	t.Helper()
	putPlan(t, m, usageplan.Plan{ID: "p", Name: "P", Stages: dev, Quotas: quotas})
}

// take makes n requests and returns how many are admitted.
func take(t *testing.T, m *usageplan.Meter, n int) (admitted int) {
	t.Helper()
	for range n {
		switch _, err := m.Take(t.Context(), getCats("a")); {
		case err == nil:
			admitted++
		default:
			require.ErrorIs(t, err, usageplan.ErrQuotaExceeded)
		}
	}
	return admitted
}

// Usage is counted without a quota: what was admitted, on its day, and nothing else.
func TestUsageIsCountedWithoutAQuota(t *testing.T) {
	crossed := func(c ledger.Crossing) { panic(c) } // a threshold of a quota that is none
	modes(t, ledger.Config{Thresholds: []int{1}, OnThreshold: crossed}, func(t *testing.T, quotas *ledger.Ledger) {
		account := ratelimit.Limit{Rate: 1, Burst: 4}
		m := meter(t, usageplan.Config{
			Ledger: quotas, AccountThrottle: &account, Default: "p",
			Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Rate: 1, Burst: 3}}},
		})
		begin, q := time.Now(), getCats("a")
		for _, cost := range []int64{1, 1 << 40, 0} {
			q.Cost = cost
			_, err := m.Take(t.Context(), q)
			require.NoError(t, err)
		}
		require.Equal(t, planThrottle, layer(t, m, q))
		q.Client, q.Cost = "b", 7
		require.Equal(t, noLayer, layer(t, m, q))
		require.Equal(t, accountThrottle, layer(t, m, q), "the last layer gives back what the ledger has counted")
		time.Sleep(24 * time.Hour)
		q.Client = "a"
		charge, err := m.Take(t.Context(), q)
		require.NoError(t, err)
		require.NoError(t, charge.Settle(t.Context(), 9))
		require.ErrorIs(t, charge.Settle(t.Context(), 0), ledger.ErrSettled)

		for client, want := range map[string][]int64{"a": {1<<40 + 1, 9}, "b": {7, 0}, "c": {0, 0}} {
			for _, period := range []ledger.Period{"", ledger.Daily} {
				var got []int64
				for day, err := range m.Usage(t.Context(), usageplan.QuotaKey{Plan: "p", Client: client, Period: period}, begin, time.Now()) {
					require.NoError(t, err)
					got = append(got, day.Used)
				}
				require.Equal(t, want, got, client)
			}
		}
		var keys []ledger.Key
		for k, err := range quotas.Keys(t.Context(), "p/DAY") {
			require.NoError(t, err)
			keys = append(keys, k)
		}
		require.ElementsMatch(t, []ledger.Key{{Plan: "p/DAY", Subject: "a"}, {Plan: "p/DAY", Subject: "b"}}, keys)
	})
}

// The client is told nothing of a count that limits nothing.
func TestUncappedUsageIsNotTold(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}, Default: "p"})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dev/cats", func(w http.ResponseWriter, r *http.Request) {
		charge, err := m.Check(r)
		require.NoError(t, err)
		_, found := charge.Balance(ledger.Daily)
		require.False(t, found)
		charge.SetHeader(w.Header())
	})
	h := call(mux, "a", "/dev/cats").Header
	require.Empty(t, h.Get("RateLimit")+h.Get("RateLimit-Policy"))
	st, err := m.Status(t.Context(), "a", getCats("a").Route)
	require.NoError(t, err)
	require.Equal(t, usageplan.Status{Plan: "P"}, st)
}

// A quota per day that is given to a plan goes on from the day's usage; one that is taken away keeps it.
func TestQuotaPerDayGoesOnFromTheDay(t *testing.T) {
	modes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
		m := meter(t, usageplan.Config{Ledger: quotas, Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
		day := usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily}
		begin := time.Now()
		for _, step := range []struct {
			name         string
			quotas       []ledger.Quota
			asked, taken int
			used         int64 // of the day
		}{
			{"none", nil, 3, 3, 3},
			{"a day", daily(5), 9, 2, 5},
			{"a smaller day", daily(2), 1, 0, 5},
			{"none again", nil, 3, 3, 8},
			{"a month", []ledger.Quota{{Limit: 4, Period: ledger.Monthly}}, 9, 4, 8},
			{"none after the month", nil, 1, 1, 9},
			{"a larger day", daily(10), 9, 1, 10},
		} {
			putQuotas(t, m, step.quotas...)
			require.Equal(t, step.taken, take(t, m, step.asked), step.name)
			require.Equal(t, step.used, usedSince(t, m, day, begin), step.name)
		}
		time.Sleep(24 * time.Hour)
		require.Equal(t, 10, take(t, m, 11), "a new day")
	})
}

// Days that were counted under a period which the plan does not have any more are still there.
func TestUsageOfAFormerPeriod(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	week, month := ledger.Quota{Limit: 9, Period: ledger.Weekly}, ledger.Quota{Limit: 9, Period: ledger.Monthly}
	for _, tt := range []struct {
		name    string
		present []ledger.Quota
		want    map[ledger.Period]int64 // -1: ErrNoQuota
	}{
		{"day", daily(9), map[ledger.Period]int64{"": 3, ledger.Daily: 3, ledger.Weekly: 4, ledger.Monthly: 5, "HOUR": -1}},
		{"week", []ledger.Quota{week}, map[ledger.Period]int64{"": 4, ledger.Daily: 3, ledger.Weekly: 4, ledger.Monthly: 5, "HOUR": -1}},
		{"two", []ledger.Quota{month, week}, map[ledger.Period]int64{"": -1, ledger.Daily: 3, ledger.Weekly: 4, ledger.Monthly: 5, "HOUR": -1}},
		{"none", nil, map[ledger.Period]int64{"": 3, ledger.Daily: 3, ledger.Weekly: 4, ledger.Monthly: 5, "HOUR": -1}},
		{"another location", []ledger.Quota{{Limit: 9, Period: ledger.Monthly, Location: berlin}}, map[ledger.Period]int64{"": 5, ledger.Daily: 3, ledger.Weekly: 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			modes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
				m := meter(t, usageplan.Config{Ledger: quotas, Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}, Members: []usageplan.Member{{Plan: "p", Client: "a"}}})
				begin := time.Now()
				time.Sleep(12 * time.Hour)
				require.Equal(t, 3, take(t, m, 3))
				for requests, quota := range map[int]ledger.Quota{4: week, 5: month} {
					putQuotas(t, m, quota)
					require.Equal(t, requests, take(t, m, requests))
				}
				_, err := m.Extend(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily}, ledger.Adjustment{Delta: 1})
				require.ErrorIs(t, err, usageplan.ErrNoQuota, "what is gone cannot be extended")
				putQuotas(t, m, tt.present...)
				require.NoError(t, m.RemoveMembers(t.Context(), "a", "p"))
				time.Sleep(24 * time.Hour)
				for period, want := range tt.want {
					k := usageplan.QuotaKey{Plan: "p", Client: "a", Period: period}
					if want >= 0 {
						require.Equal(t, want, usedSince(t, m, k, begin), "%q", period)
						continue
					}
					for _, err := range m.Usage(t.Context(), k, begin, time.Now()) {
						require.ErrorIs(t, err, usageplan.ErrNoQuota, "%q", period)
					}
				}
			})
		})
	}
}

// The days of a former quota are looked for in the plan's present location. In UTC, this one would begin the day before.
func TestFormerDaysAreOfThePresentLocation(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	require.NoError(t, err)
	modes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
		m := meter(t, usageplan.Config{Ledger: quotas, Default: "p", Plans: []usageplan.Plan{{
			ID: "p", Name: "P", Stages: dev, Quotas: []ledger.Quota{{Limit: 9, Period: ledger.Daily, Location: tokyo}},
		}}})
		require.Equal(t, 3, take(t, m, 3))
		putQuotas(t, m, ledger.Quota{Limit: 9, Period: ledger.Monthly, Location: tokyo})
		day := usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily}
		require.EqualValues(t, 3, usedSince(t, m, day, time.Now()), "today")
	})
}

// Extensions of a quota that the plan has lost can still be read.
func TestAdjustmentsOfAFormerPeriod(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(9)}}, Default: "p"})
	k, begin := usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily}, time.Now()
	_, err := m.Extend(t.Context(), k, ledger.Adjustment{Delta: 5, Actor: "ann"})
	require.NoError(t, err)
	putQuotas(t, m, ledger.Quota{Limit: 9, Period: ledger.Monthly})
	for e, err := range m.Adjustments(t.Context(), k, begin, time.Now()) {
		require.NoError(t, err)
		require.Equal(t, "ann", e.Actor)
		begin = time.Time{}
	}
	require.Zero(t, begin, "one is yielded")
}

// A settlement of a request that was admitted without a quota is bounded by the quota per day that the plan has by then.
func TestSettleWithoutAQuota(t *testing.T) {
	put := func(quotas ...ledger.Quota) change {
		return putting(usageplan.Plan{ID: "p", Name: "P", Stages: dev, Quotas: quotas})
	}
	for _, tt := range []struct {
		name         string
		change       change
		cost, actual int64
		forgiven     bool
		want         int64
	}{
		{"back", put(), 5, 0, false, 0},
		{"less", put(), 5, 2, false, 2},
		{"more", put(), 5, 1 << 50, false, 1 << 50},
		{"from nothing", put(), 0, 7, false, 7},
		{"day", put(daily(50)...), 5, 100, true, 50},
		{"wider day", put(daily(500)...), 5, 100, false, 100},
		{"month", put(ledger.Quota{Limit: 1, Period: ledger.Monthly}), 5, 100, false, 100},
		{"left", leaving("p", "a"), 5, 100, false, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			modes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
				m := meter(t, usageplan.Config{Ledger: quotas, Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}, Members: []usageplan.Member{{Plan: "p", Client: "a"}}})
				begin, q := time.Now(), getCats("a")
				q.Cost = tt.cost
				charge, err := m.Take(t.Context(), q)
				require.NoError(t, err)
				require.NoError(t, tt.change(t.Context(), m))
				err = charge.Settle(t.Context(), tt.actual)
				require.Equal(t, tt.forgiven, errors.Is(err, ledger.ErrForgiven), "%v", err)
				if !tt.forgiven {
					require.NoError(t, err)
				}
				require.Equal(t, tt.want, usedSince(t, m, usageplan.QuotaKey{Plan: "p", Client: "a", Period: ledger.Daily}, begin))
				require.ErrorIs(t, charge.Settle(t.Context(), -1), ledger.ErrInvalid)
			})
		})
	}
}

// A request that cannot be counted is refused without a quota as well; its error names no layer, so AllowDespite may admit
// the requests of plans without a quota alone.
func TestUncountedRequestIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		quotas  []ledger.Quota
		layer   string
		despite int
	}{{"no quota", nil, noLayer, 200}, {"quota", daily(9), planQuota, 503}} {
		c := usageplan.Config{
			Ledger: brokenLedger(t), Default: "p",
			Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Burst: 1}, Quotas: tt.quotas}},
		}
		serve := func(m *usageplan.Meter) *http.Response {
			mux := http.NewServeMux()
			mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			return call(mux, "a", "/dev/cats")
		}
		m := meter(t, c)
		for range 2 { // the first has given its token back
			_, err := m.Take(t.Context(), getCats("a"))
			require.ErrorIs(t, err, ledger.ErrUnavailable, tt.name)
			e, is := errors.AsType[*usageplan.Error](err)
			require.True(t, is)
			require.Equal(t, [2]string{"p", tt.layer}, [2]string{e.Plan, e.Layer}, tt.name)
			require.Equal(t, tt.layer == noLayer, e.Period == "", tt.name)
		}
		refused := serve(m)
		require.Equal(t, [2]string{"503 Service Unavailable", "1"}, [2]string{refused.Status, refused.Header.Get("Retry-After")}, tt.name)
		c.AllowDespite = func(_ *http.Request, err error) bool {
			e, _ := errors.AsType[*usageplan.Error](err)
			return errors.Is(err, ledger.ErrUnavailable) && e.Layer == noLayer
		}
		require.Equal(t, tt.despite, serve(meter(t, c)).StatusCode, tt.name)
		st, err := m.Status(t.Context(), "a", getCats("a").Route)
		require.Equal(t, tt.quotas == nil, err == nil, "a status without a quota does not ask the ledger")
		require.Equal(t, tt.quotas == nil, st.Plan == "P", tt.name)
	}
}

// Without a ledger, nothing is counted, and nothing else changes.
func TestWithoutALedgerNothingIsCounted(t *testing.T) {
	m, err := usageplan.New(usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
	require.NoError(t, err)
	charge, err := m.Take(t.Context(), getCats("a"))
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, charge.Settle(t.Context(), 5))
	}
	for _, period := range []ledger.Period{"", ledger.Daily, ledger.Monthly} {
		k := usageplan.QuotaKey{Plan: "p", Client: "a", Period: period}
		for _, err := range m.Usage(t.Context(), k, time.Now(), time.Now()) {
			require.ErrorIs(t, err, usageplan.ErrNoQuota)
		}
		for _, err := range m.Adjustments(t.Context(), k, time.Now(), time.Now()) {
			require.ErrorIs(t, err, usageplan.ErrNoQuota)
		}
	}
}

// The ledger counts exactly up to 2^53 units a day. What is beyond that is refused until the next day.
func TestUncappedUsageIsBounded(t *testing.T) {
	modes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
		m := meter(t, usageplan.Config{Ledger: quotas, Unit: "bytes", Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
		q := getCats("a")
		q.Cost = ledger.MaxUnits
		_, err := m.Take(t.Context(), q)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		_, err = m.Take(t.Context(), q)
		require.ErrorIs(t, err, usageplan.ErrQuotaExceeded)
		e, is := errors.AsType[*usageplan.Error](err)
		require.True(t, is)
		require.Equal(t, 23*time.Hour, e.RetryAfter)
		require.Empty(t, e.Layer)
		h := http.Header{}
		e.SetHeader(h)
		require.Equal(t, http.Header{"Retry-After": {strconv.Itoa(23 * 3600)}}, h)
		time.Sleep(23 * time.Hour)
		_, err = m.Take(t.Context(), q)
		require.NoError(t, err)
	})
}

// However often a plan gets and loses quotas while clients call: each admitted request is counted once.
func TestNoRequestIsLostBetweenQuotas(t *testing.T) {
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
	begin := time.Now()
	var admitted atomic.Int64
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range heavy(20_000) {
				charge, err := m.Take(t.Context(), getCats("a"))
				if err != nil {
					t.Error(err)
					return
				}
				if i%5 == 0 && charge.Settle(t.Context(), 0) == nil {
					continue
				}
				admitted.Add(1)
			}
		})
	}
	changed := make(chan struct{})
	go func() {
		defer close(changed)
		all.Wait()
	}()
	for i := 0; ; i++ {
		putQuotas(t, m, [][]ledger.Quota{nil, daily(1 << 40), {{Limit: 1 << 40, Period: ledger.Monthly}}}[i%3]...)
		select {
		case <-changed:
			sum := int64(0)
			for _, period := range []ledger.Period{ledger.Daily, ledger.Monthly} {
				sum += usedSince(t, m, usageplan.QuotaKey{Plan: "p", Client: "a", Period: period}, begin)
			}
			require.Equal(t, admitted.Load(), sum)
			return
		case <-time.After(time.Millisecond):
		}
	}
}

// UpdateUsage sets what remains. Of several calls at once, each leaves what it says.
func TestSetRemaining(t *testing.T) {
	modes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
		m := meter(t, usageplan.Config{
			Ledger: quotas, Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(100)}},
			Members: []usageplan.Member{{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: 10}}},
		})
		k, begin := usageplan.QuotaKey{Plan: "p", Client: "a"}, time.Now()
		require.Equal(t, 10, take(t, m, 11))
		var all sync.WaitGroup
		for range 16 {
			all.Go(func() {
				b, err := m.SetRemaining(t.Context(), k, 25, ledger.Adjustment{Delta: 7, Actor: "ann"})
				if err != nil || b.Remaining != 25 {
					t.Error(b, err)
				}
			})
		}
		all.Wait()
		require.Equal(t, 25, take(t, m, 26))
		b, err := m.SetRemaining(t.Context(), k, 0, ledger.Adjustment{})
		require.NoError(t, err)
		require.Equal(t, [4]int64{10, 25, 35, 0}, [4]int64{b.Limit, b.Adjustments, b.Used, b.Remaining})
		_, err = m.SetRemaining(t.Context(), k, -1, ledger.Adjustment{})
		require.ErrorIs(t, err, ledger.ErrAdjustment)
		made := 0
		for e, err := range m.Adjustments(t.Context(), k, begin, time.Now()) {
			require.NoError(t, err)
			require.Contains(t, []int64{25, 0}, e.Delta)
			made++
		}
		require.Equal(t, 17, made)
	})
}
