package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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

// ofTwo is a plan with a quota per day and one per month.
func ofTwo(day, month int64) []usageplan.Plan {
	return []usageplan.Plan{{ID: "p", Name: "p", Stages: dev, Quotas: []ledger.Quota{
		{Limit: day, Period: ledger.Daily}, {Limit: month, Period: ledger.Monthly},
	}}}
}

// cats is a request for so many units.
func cats(cost int64) usageplan.Request {
	q := getCats("a")
	q.Cost = cost
	return q
}

// usedOfTwo returns what the charge's quotas have used.
func usedOfTwo(t *testing.T, c usageplan.Charge) [2]int64 {
	t.Helper()
	day, found := c.Balance(ledger.Daily)
	require.True(t, found)
	month, found := c.Balance(ledger.Monthly)
	require.True(t, found)
	return [2]int64{day.Used, month.Used}
}

// inBothModes runs f in a bubble of time, with a leased ledger and with an exact one.
func inBothModes(t *testing.T, c ledger.Config, f func(t *testing.T, quotas *ledger.Ledger)) {
	for exact, name := range map[bool]string{false: "leased", true: "exact"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour) // the day has 23 hours left
				c.Engine, c.Exact = ledger.NewMemory(), exact
				quotas, err := ledger.New(c)
				require.NoError(t, err)
				defer func() { require.NoError(t, quotas.Close()) }()
				f(t, quotas)
			})
		})
	}
}

// More takes from all quotas or from none, and its refusal is the answer to a request.
func TestMoreTakesFromAllQuotasOrNone(t *testing.T) {
	for _, tt := range []struct {
		name       string
		day, month int64
		period     ledger.Period
		wait       time.Duration
		field      string
	}{
		{"the day", 10, 100, ledger.Daily, 23 * time.Hour, `"quota-day";r=2;t=82800`},
		{"the month", 100, 10, ledger.Monthly, 31*24*time.Hour - time.Hour, `"quota-month";r=2;t=2674800`},
		{"both", 10, 10, ledger.Daily, 31*24*time.Hour - time.Hour, `"quota-day";r=2;t=82800`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBothModes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
				plans := ofTwo(tt.day, tt.month)
				plans[0].Throttle = &ratelimit.Limit{Burst: 1}
				m := meter(t, usageplan.Config{Plans: plans, Default: "p", Ledger: quotas, Unit: "tokens"})
				c, err := m.Take(t.Context(), cats(5))
				require.NoError(t, err)
				require.NoError(t, c.More(t.Context(), 3), "no second token of the throttle")
				copied := c
				err = copied.More(t.Context(), 3)
				require.ErrorIs(t, err, usageplan.ErrQuotaExceeded)
				require.ErrorIs(t, err, ledger.ErrExhausted)
				e, is := errors.AsType[*usageplan.Error](err)
				require.True(t, is)
				require.Equal(t, planQuota, e.Layer)
				require.Equal(t, tt.period, e.Period)
				require.Equal(t, tt.wait, e.RetryAfter)
				require.Equal(t, [2]string{"a", "p"}, [2]string{e.Client, e.Plan})
				w := httptest.NewRecorder()
				e.ServeHTTP(w, nil)
				require.Equal(t, http.StatusTooManyRequests, w.Code)
				require.Equal(t, fmt.Sprint(int(tt.wait.Seconds())), w.Header().Get("Retry-After"))
				require.Equal(t, tt.field, w.Header().Get("RateLimit"))
				require.Contains(t, w.Header().Get("RateLimit-Policy"), `qu="tokens"`)
				require.EqualValues(t, 8, c.Units())
				require.Equal(t, [2]int64{8, 8}, usedOfTwo(t, c))
				require.NoError(t, c.More(t.Context(), 2), "exactly to the limit")
				require.Equal(t, [2]int64{10, 10}, usedOfTwo(t, c))
				require.NoError(t, c.More(t.Context(), 0))
				require.NoError(t, c.More(t.Context(), -4))
				require.Equal(t, [2]int64{6, 6}, usedOfTwo(t, c))
				require.ErrorIs(t, c.More(t.Context(), -7), ledger.ErrInvalid, "more than was taken")
				require.ErrorIs(t, c.More(t.Context(), ledger.MaxUnits), ledger.ErrInvalid)
				require.Equal(t, [2]int64{6, 6}, usedOfTwo(t, c))
				require.NoError(t, c.Settle(t.Context(), 1))
				require.Equal(t, [2]int64{1, 1}, usedOfTwo(t, c))
				require.EqualValues(t, 1, c.Units())
				require.ErrorIs(t, c.More(t.Context(), 1), ledger.ErrSettled)
				require.ErrorIs(t, c.More(t.Context(), -1), ledger.ErrSettled)
				require.Equal(t, [2]int64{1, 1}, usedOfTwo(t, c))
			})
		})
	}
}

// TakeUpTo takes the same amount from all quotas: what the one with the least remaining has.
func TestTakeUpTo(t *testing.T) {
	for _, tt := range []struct {
		name                    string
		day, month, least, most int64
		want                    int64
		period                  ledger.Period // of the refusal
	}{
		{"enough", 100, 100, 5, 20, 20, ""},
		{"the day has less", 8, 100, 5, 20, 8, ""},
		{"the month has less", 100, 8, 5, 20, 8, ""},
		{"both have less", 9, 8, 5, 20, 8, ""},
		{"exactly the least", 5, 100, 5, 20, 5, ""},
		{"all or nothing", 20, 20, 20, 20, 20, ""},
		{"the day has too little", 4, 100, 5, 20, 0, ledger.Daily},
		{"the month has too little", 100, 4, 5, 20, 0, ledger.Monthly},
		{"nothing for nothing", 0, 0, 0, 0, 0, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBothModes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
				var told []usageplan.Event
				m := meter(t, usageplan.Config{
					Plans: ofTwo(tt.day, tt.month), Default: "p", Ledger: quotas,
					Observe: func(_ context.Context, e usageplan.Event) { told = append(told, e) },
				})
				c, err := m.TakeUpTo(t.Context(), cats(tt.most), tt.least)
				require.Len(t, told, 1)
				if tt.period != "" {
					require.ErrorIs(t, err, usageplan.ErrQuotaExceeded)
					e, _ := errors.AsType[*usageplan.Error](err)
					require.Equal(t, tt.period, e.Period)
					require.Equal(t, ratelimit.Never, e.RetryAfter, "the limit is below the least")
					require.Equal(t, usageplan.Charge{}, c)
					c, err = m.Take(t.Context(), cats(0))
					require.NoError(t, err)
				} else {
					require.NoError(t, err)
					require.Equal(t, tt.want, told[0].Cost)
				}
				require.Equal(t, tt.want, c.Units())
				require.Equal(t, [2]int64{tt.want, tt.want}, usedOfTwo(t, c))
			})
		})
	}
}

// What is left for the least decides how long a refusal lasts.
func TestTakeUpToWaitsForTheLeast(t *testing.T) {
	inBothModes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
		m := meter(t, usageplan.Config{Plans: ofTwo(10, 10), Default: "p", Ledger: quotas})
		_, err := m.Take(t.Context(), cats(8))
		require.NoError(t, err)
		_, err = m.TakeUpTo(t.Context(), cats(1000), 3)
		e, is := errors.AsType[*usageplan.Error](err)
		require.True(t, is)
		require.Equal(t, 31*24*time.Hour-time.Hour, e.RetryAfter, "not never: a new month has 3")
	})
}

func TestTakeUpToMistakes(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: ofTwo(10, 10), Default: "p"})
	for _, bounds := range [][2]int64{{0, 5}, {-1, 5}, {6, 5}, {1, 0}, {-1, 0}, {1, -1}, {1, ledger.MaxUnits + 1}} {
		_, err := m.TakeUpTo(t.Context(), cats(bounds[1]), bounds[0])
		require.ErrorIs(t, err, usageplan.ErrNotConfigured, bounds)
	}
	_, err := new(usageplan.Meter).TakeUpTo(t.Context(), cats(1), 1)
	require.ErrorIs(t, err, usageplan.ErrNotConfigured)
	c, err := m.Take(t.Context(), cats(0))
	require.NoError(t, err)
	require.Equal(t, [2]int64{}, usedOfTwo(t, c))
}

// Check and Handler take what is left if Config.MinCost allows it.
func TestMinCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		least := int64(5)
		m := meter(t, usageplan.Config{
			Plans: ofTwo(30, 1000), Default: "p", Unit: "tokens", ChargeInContext: true,
			Cost:    func(*http.Request) int64 { return 20 },
			MinCost: func(*http.Request) int64 { return least },
		})
		var units []int64
		mux := http.NewServeMux()
		mux.Handle("GET /dev/cats", m.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			c, _ := usageplan.FromContext(r.Context())
			units = append(units, c.Units())
		})))
		require.Equal(t, `"quota-day";r=10;t=86400, "quota-month";r=980;t=2678400`, call(mux, "a", "/dev/cats").Header.Get("RateLimit"))
		require.Equal(t, `"quota-day";r=0;t=86400, "quota-month";r=970;t=2678400`, call(mux, "a", "/dev/cats").Header.Get("RateLimit"))
		require.Equal(t, http.StatusTooManyRequests, call(mux, "a", "/dev/cats").StatusCode)
		require.Equal(t, []int64{20, 10}, units)
		least = 21
		require.Equal(t, http.StatusInternalServerError, call(mux, "a", "/dev/cats").StatusCode)
	})
}

// More is decided by the limit in force, as Settle is.
func TestMoreByLimitInForce(t *testing.T) {
	put := func(quotas ...ledger.Quota) change {
		return putting(usageplan.Plan{ID: "p", Name: "p", Stages: dev, Quotas: quotas})
	}
	own := func(limit int64) change {
		return joining(usageplan.Member{Plan: "p", Client: "a", Limits: map[ledger.Period]int64{ledger.Daily: limit}})
	}
	for _, tt := range []struct {
		name    string
		change  change
		more    int64 // is granted, and 1 above it is not
		limited bool
	}{
		{"plan raised", put(daily(1000)...), 995, true},
		{"plan lowered", put(daily(10)...), 5, true},
		{"plan lowered below what is taken", put(daily(3)...), 0, true},
		{"plan without a quota", put(), 5000, false},
		{"plan with another quota", put(ledger.Quota{Limit: 1000, Period: ledger.Monthly}), 95, true},
		{"plan deleted", deleting("p"), 95, true},
		{"member raised", own(1000), 995, true},
		{"member lowered", own(10), 5, true},
		{"member gone", leaving("p", "a"), 95, true},
		{"member moved", moving("p", usageplan.Member{Plan: "other", Client: "a"}), 95, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBothModes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
				m := meter(t, usageplan.Config{
					Ledger: quotas,
					Plans: []usageplan.Plan{
						{ID: "p", Name: "p", Stages: dev, Quotas: daily(100)},
						{ID: "other", Name: "other", Stages: dev, Quotas: daily(7)},
					},
					Members: []usageplan.Member{{Plan: "p", Client: "a"}},
				})
				c, err := m.Take(t.Context(), cats(5))
				require.NoError(t, err)
				require.NoError(t, tt.change(t.Context(), m))
				if tt.limited {
					require.ErrorIs(t, c.More(t.Context(), tt.more+1), usageplan.ErrQuotaExceeded)
				}
				require.NoError(t, c.More(t.Context(), tt.more))
				require.Equal(t, 5+tt.more, c.Units())
				b, found := c.Balance(ledger.Daily)
				require.True(t, found)
				require.Equal(t, 5+tt.more, b.Used)
			})
		})
	}
}

// Under a plan without a quota, More adds to the usage. Where nothing is counted, it does nothing.
func TestMoreWithoutAQuota(t *testing.T) {
	plans := []usageplan.Plan{{ID: "p", Name: "p", Stages: dev}}
	m := meter(t, usageplan.Config{Plans: plans, Default: "p"})
	c, err := m.TakeUpTo(t.Context(), cats(5), 1)
	require.NoError(t, err)
	require.NoError(t, c.More(t.Context(), 37))
	require.NoError(t, c.More(t.Context(), -2))
	require.EqualValues(t, 40, c.Units())
	sum := int64(0)
	for day, err := range m.Usage(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a"}, time.Time{}, time.Now().Add(48*time.Hour)) {
		require.NoError(t, err)
		sum += day.Used
	}
	require.EqualValues(t, 40, sum)

	uncounted, err := usageplan.New(usageplan.Config{Plans: plans, Default: "p", API: "pets", Stage: "dev"})
	require.NoError(t, err)
	c, err = uncounted.TakeUpTo(t.Context(), cats(5), 1)
	require.NoError(t, err)
	for _, c := range []usageplan.Charge{c, {}} {
		require.NoError(t, c.More(t.Context(), 5))
		require.NoError(t, c.More(t.Context(), -5))
		require.Zero(t, c.Units())
	}
}

// SetHeader sets what is left after More. What counts more than 1 has no field without a unit.
func TestFieldsTellTheGrownBalance(t *testing.T) {
	for unit, want := range map[string]string{"tokens": `"quota-day";r=60;t=82800, "quota-month";r=960;t=2674800`, "": ""} {
		inBothModes(t, ledger.Config{}, func(t *testing.T, quotas *ledger.Ledger) {
			m := meter(t, usageplan.Config{Plans: ofTwo(100, 1000), Default: "p", Ledger: quotas, Unit: unit})
			c, err := m.Take(t.Context(), cats(1))
			require.NoError(t, err)
			require.NoError(t, c.More(t.Context(), 39))
			h := make(http.Header)
			c.SetHeader(h)
			require.Equal(t, want, h.Get("RateLimit"))
			if unit != "" {
				require.Contains(t, h.Get("RateLimit-Policy"), `qu="tokens"`)
			}
		})
	}
}

// A request that Handler admits is not told as one that died, unless its handler gets the charge and does not settle it.
func TestHandlerKeepsWhatNobodySettles(t *testing.T) {
	for _, inContext := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			unsettled := 0
			quotas, err := ledger.New(ledger.Config{
				Engine: ledger.NewMemory(), SettleWithin: time.Minute,
				Observe: func(_ context.Context, e ledger.Event) {
					if e.Operation == "unsettled" {
						unsettled++
					}
				},
			})
			require.NoError(t, err)
			defer quotas.Close()
			m, err := usageplan.New(usageplan.Config{
				Client: func(*http.Request) (string, bool) { return "ana", true }, API: "a", Stage: "s",
				Plans: []usageplan.Plan{{
					ID: "p", Name: "p", Quotas: []ledger.Quota{{Limit: 10, Period: ledger.Daily}},
					Stages: []usageplan.Stage{{API: "a", Name: "s"}},
				}},
				Default: "p", Ledger: quotas, ChargeInContext: inContext,
			})
			require.NoError(t, err)
			mux := http.NewServeMux()
			mux.Handle("GET /s/pets", m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
			for range 3 {
				answer := httptest.NewRecorder()
				mux.ServeHTTP(answer, httptest.NewRequest("GET", "/s/pets", nil))
				require.Equal(t, http.StatusOK, answer.Code)
				require.Contains(t, answer.Header().Get("RateLimit"), "quota-day")
			}
			time.Sleep(2 * time.Minute)
			b, err := quotas.Balance(t.Context(), ledger.Key{Plan: "p/DAY", Subject: "ana"}, ledger.Quota{Limit: 10, Period: ledger.Daily})
			require.NoError(t, err)
			require.Equal(t, int64(3), b.Used)
			want := 0
			if inContext {
				want = 3
			}
			require.Equal(t, want, unsettled)
		})
	}
}

// What comes later than SettleWithin is refused with the ledger's error, and the taken units stand.
func TestMoreTooLate(t *testing.T) {
	inBothModes(t, ledger.Config{SettleWithin: time.Minute}, func(t *testing.T, quotas *ledger.Ledger) {
		m := meter(t, usageplan.Config{Plans: ofTwo(100, 1000), Default: "p", Ledger: quotas})
		c, err := m.Take(t.Context(), cats(5))
		require.NoError(t, err)
		require.NoError(t, c.More(t.Context(), 5))
		time.Sleep(time.Minute + 2*time.Second)
		for _, err := range []error{c.More(t.Context(), 1), c.More(t.Context(), -1), c.Settle(t.Context(), 1)} {
			require.ErrorIs(t, err, ledger.ErrTooLate)
			require.NotErrorIs(t, err, ledger.ErrSettled)
		}
		require.Equal(t, [2]int64{10, 10}, usedOfTwo(t, c))
	})
}

// A ledger that cannot count refuses More as it refuses a request.
func TestMoreUnavailable(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: ofTwo(100, 100), Default: "p", Ledger: brokenLedger(t)})
	_, err := m.TakeUpTo(t.Context(), cats(5), 1)
	require.ErrorIs(t, err, ledger.ErrUnavailable)
	e, is := errors.AsType[*usageplan.Error](err)
	require.True(t, is)
	require.Equal(t, http.StatusServiceUnavailable, e.StatusCode())
}

// outage is an engine that may fail.
type outage struct {
	ledger.Engine
	fails atomic.Bool
}

func (o *outage) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	if o.fails.Load() {
		return errors.New("down")
	}
	return o.Engine.Update(ctx, keys, f)
}

// What is given back while the engine fails is given back later, to all quotas.
func TestMoreGivesBackInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &outage{Engine: ledger.NewMemory()}
		quotas, err := ledger.New(ledger.Config{Engine: store, Exact: true})
		require.NoError(t, err)
		m := meter(t, usageplan.Config{Plans: ofTwo(100, 1000), Default: "p", Ledger: quotas})
		c, err := m.Take(t.Context(), cats(10))
		require.NoError(t, err)
		store.fails.Store(true)
		require.ErrorIs(t, c.More(t.Context(), -4), ledger.ErrUnavailable)
		require.EqualValues(t, 6, c.Units())
		require.ErrorIs(t, c.More(t.Context(), -7), ledger.ErrInvalid)
		store.fails.Store(false)
		time.Sleep(time.Second)
		for _, p := range []ledger.Period{ledger.Daily, ledger.Monthly} {
			b, err := m.Balance(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a", Period: p})
			require.NoError(t, err)
			require.EqualValues(t, 6, b.Used, p)
		}
		require.NoError(t, c.Settle(t.Context(), 3))
		require.Equal(t, [2]int64{3, 3}, usedOfTwo(t, c))
		require.NoError(t, quotas.Close())
	})
}

// Any interleaving of requests that take, grow, give back and settle on two nodes counts each unit once: both quotas
// have used what the requests have, and never more than their limits.
func TestGrowthCountsEachUnitOnce(t *testing.T) {
	for exact, name := range map[bool]string{false: "leased", true: "exact"} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(8) {
				overdraw := seed%4 == 3 // then a settlement may say more than the limits leave
				c := ledger.Config{Engine: ledger.NewMemory(), Exact: exact, Block: 64, AllowOverdraw: overdraw}
				limits := [2]int64{500 + int64(seed%2)*200, 600}
				var nodes [2]*usageplan.Meter
				var quotas [2]*ledger.Ledger
				for i := range nodes {
					var err error
					quotas[i], err = ledger.New(c)
					require.NoError(t, err)
					nodes[i] = meter(t, usageplan.Config{Plans: ofTwo(limits[0], limits[1]), Default: "p", Ledger: quotas[i]})
				}
				sum, err := growing(t, nodes, seed, overdraw)
				require.NoError(t, err)
				require.NoError(t, quotas[1].Close()) // it reports what it has not yet reported
				for i, p := range []ledger.Period{ledger.Daily, ledger.Monthly} {
					b, err := nodes[0].Balance(t.Context(), usageplan.QuotaKey{Plan: "p", Client: "a", Period: p})
					require.NoError(t, err)
					require.Equal(t, sum, b.Used, "seed %d, %v", seed, p)
					if !overdraw {
						require.LessOrEqual(t, b.Used, limits[i])
					}
				}
				require.NoError(t, quotas[0].Close())
			}
		})
	}
}

// growing makes requests on both nodes, and returns what all of them have used.
func growing(t *testing.T, nodes [2]*usageplan.Meter, seed uint64, overdraw bool) (int64, error) {
	var wg sync.WaitGroup
	var sum atomic.Int64
	errs := make(chan error, 8)
	for g := range uint64(8) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, g))
			for range 30 {
				actual := int64(0)
				if overdraw {
					actual = r.Int64N(20)
				}
				units, err := oneGrowing(t, nodes[g%2], r, actual)
				if err != nil {
					errs <- err
					return
				}
				sum.Add(units)
			}
		})
	}
	wg.Wait()
	close(errs)
	return sum.Load(), <-errs
}

// oneGrowing makes a request that several goroutines let grow and shrink. It returns what the request has used. Some
// are settled while they grow, the others stay as they are.
func oneGrowing(t *testing.T, m *usageplan.Meter, r *rand.Rand, actual int64) (int64, error) {
	c, err := m.TakeUpTo(t.Context(), cats(1+r.Int64N(20)), 1)
	if errors.Is(err, usageplan.ErrQuotaExceeded) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	var wg sync.WaitGroup
	errs := make(chan error, 7)
	for range 2 {
		steps := [3]int64{r.Int64N(12) - 3, r.Int64N(12) - 6, r.Int64N(30)}
		wg.Go(func() {
			for _, n := range steps {
				err := c.More(t.Context(), n)
				switch {
				case err == nil, errors.Is(err, usageplan.ErrQuotaExceeded), errors.Is(err, ledger.ErrSettled):
				case n < 0 && errors.Is(err, ledger.ErrInvalid): // more than was taken
				default:
					errs <- err
				}
			}
		})
	}
	if r.IntN(3) > 0 {
		wg.Go(func() {
			if err := c.Settle(t.Context(), actual); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return c.Units(), <-errs
}
