package usageplan_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// A fleet is a throttle that meters share, with its buckets in memory.
type fleet struct {
	mu      sync.Mutex
	buckets map[[2]string]*shelf // by group and name
	calls   int
	given   int // tokens that came back
}

// A shelf is a bucket, its limit, and receipts of tokens that may come back.
type shelf struct {
	bucket *ratelimit.Bucket
	limit  ratelimit.Limit
	taken  []ratelimit.Receipt
}

func (f *fleet) Take(_ context.Context, group string, names []string, limits []ratelimit.Limit, decisions []ratelimit.Decision) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	var refs []ratelimit.Ref
	for i, name := range names {
		s, err := f.shelf(group, name, limits[i])
		if err != nil {
			return 0, err
		}
		refs = append(refs, s.bucket.Ref())
	}
	now, receipts := time.Now(), make([]ratelimit.Receipt, len(refs))
	refused, ok := ratelimit.TakeAll(now, 1, refs, receipts)
	for i, name := range names {
		decisions[i] = refs[i].Peek(now)
		if ok {
			decisions[i] = receipts[i].Decision()
			s := f.buckets[[2]string{group, name}]
			s.taken = append(s.taken, receipts[i])
		}
	}
	return refused, nil
}

func (f *fleet) shelf(group, name string, limit ratelimit.Limit) (s *shelf, err error) {
	key := [2]string{group, name}
	if s = f.buckets[key]; s == nil {
		if f.buckets == nil {
			f.buckets = make(map[[2]string]*shelf)
		}
		s = &shelf{limit: limit}
		s.bucket, err = ratelimit.NewBucket(limit)
		f.buckets[key] = s
	}
	if s.limit != limit {
		s.limit, err = limit, s.bucket.SetLimit(limit)
	}
	return s, err
}

func (f *fleet) GiveBack(group string, names []string, _ []ratelimit.Limit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, name := range names {
		s := f.buckets[[2]string{group, name}]
		last := len(s.taken) - 1
		s.taken[last].Undo(1)
		s.taken = s.taken[:last]
		f.given++
	}
}

// names returns the groups and names of all buckets.
func (f *fleet) names() (all []string) {
	for key := range f.buckets {
		all = append(all, key[0]+" | "+key[1])
	}
	slices.Sort(all)
	return all
}

// A script is a throttle that answers as it is told.
type script struct {
	fleet
	refused int
	err     error
	fill    func([]ratelimit.Decision)
}

func (s *script) Take(_ context.Context, _ string, _ []string, _ []ratelimit.Limit, decisions []ratelimit.Decision) (int, error) {
	s.calls++
	if s.fill != nil {
		s.fill(decisions)
	}
	return s.refused, s.err
}

func (s *script) GiveBack(_ string, names []string, _ []ratelimit.Limit) { s.given += len(names) }

// granting says that there was a token in every bucket.
func granting(decisions []ratelimit.Decision) {
	for i := range decisions {
		decisions[i].OK = true
	}
}

// twice is a plan "p" with a throttle of the method GET /cats and one of all methods.
func twice(method, all ratelimit.Limit) usageplan.Plan {
	return usageplan.Plan{
		ID: "p", Name: "P", Throttle: &all,
		Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": method}}},
	}
}

// sharing returns meters of several processes that have the throttle in common.
func sharing(t *testing.T, n int, throttle usageplan.Throttle, c usageplan.Config) (all []*usageplan.Meter) {
	t.Helper()
	c.Throttle = throttle
	for range n {
		all = append(all, meter(t, c))
	}
	return all
}

// Two meters that share a throttle decide each request as one meter with its own buckets does: the same limit refuses,
// for as long, and the client is told the same. So the bound of one meter is that of all of them.
func TestSharedThrottleDecidesAsOneMeter(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			var f fleet
			config := func() usageplan.Config {
				quotas, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Exact: true})
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, quotas.Close()) })
				return usageplan.Config{
					Ledger: quotas, Journal: journal.Memory(0), Default: "p", Plans: []usageplan.Plan{drawnPlan(r)},
					Members: []usageplan.Member{{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Rate: 4, Burst: 6}}},
				}
			}
			c := config()
			meters := sharing(t, 2, &f, c)
			c.Ledger = memory(t)
			alone := meter(t, c)
			ask := func(client int, resource int, cost int64) {
				q := getCats([]string{"a", "b"}[client])
				q.Route.Resource, q.Cost = []string{"/cats", "/dogs", "/birds"}[resource], cost
				require.Equal(t, answered(t, alone, q), answered(t, meters[r.IntN(2)], q), "seed %d", seed)
			}
			for range 400 {
				time.Sleep(time.Duration(r.IntN(300)) * time.Millisecond)
				ask(r.IntN(2), r.IntN(3), r.Int64N(3))
				if r.IntN(40) > 0 {
					continue
				}
				p := drawnPlan(r)
				for _, m := range []*usageplan.Meter{meters[0], meters[1], alone} {
					require.NoError(t, putting(p)(t.Context(), m))
				}
				for i := range 6 { // the throttle learns of a change from the next call, the meter at once
					ask(i%2, i/2, 1)
				}
			}
			require.NotZero(t, f.given, "no quota has refused")
		})
	}
}

// drawnPlan returns a plan "p" with small limits.
func drawnPlan(r *rand.Rand) usageplan.Plan {
	limit := func() ratelimit.Limit { return ratelimit.Limit{Rate: float64(1 + r.IntN(3)), Burst: 1 + r.Int64N(4)} }
	p := twice(limit(), limit())
	p.Stages[0].Methods["/*/*"] = limit()
	p.Quotas = daily(60)
	return p
}

// answered returns which limit has refused, for how long, and what the client is told.
func answered(t *testing.T, m *usageplan.Meter, q usageplan.Request) string {
	t.Helper()
	h := make(http.Header)
	charge, err := m.Take(t.Context(), q)
	if err == nil {
		charge.SetHeader(h)
		return fmt.Sprint("admitted ", h)
	}
	e := err.(*usageplan.Error)
	require.ErrorIs(t, e, map[bool]error{true: usageplan.ErrQuotaExceeded, false: usageplan.ErrThrottled}[e.Layer == planQuota])
	e.SetHeader(h)
	return fmt.Sprint(e.Layer, e.RetryAfter, h)
}

// Three meters at once admit together what the limit allows, burst + rate × Δ in any window, and all of it.
func TestSharedThrottleKeepsTheBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const burst, rate, seconds = 20, 50, 10
		plan := twice(ratelimit.Limit{Rate: 1e6, Burst: 1e6}, ratelimit.Limit{Rate: rate, Burst: burst})
		var admitted []time.Duration
		var mu sync.Mutex
		start := time.Now()
		var all sync.WaitGroup
		for i, m := range sharing(t, 3, new(fleet), usageplan.Config{Plans: []usageplan.Plan{plan}, Default: "p"}) {
			for j := range 4 {
				all.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), uint64(j)))
					for time.Since(start) < seconds*time.Second {
						time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
						mu.Lock() // the log has the order of the decisions
						if _, err := m.Take(t.Context(), getCats("a")); err == nil {
							admitted = append(admitted, time.Since(start))
						}
						mu.Unlock()
					}
				})
			}
		}
		all.Wait()
		for i := range admitted {
			for j := i; j < len(admitted); j++ {
				require.LessOrEqual(t, time.Duration(j-i+1-burst)*time.Second, rate*(admitted[j]-admitted[i]), "%d to %d", i, j)
			}
		}
		require.Greater(t, len(admitted), (burst+rate*seconds)*98/100)
	})
}

// Two meters serve many requests at once. What the quota refuses has taken no token in the end.
func TestRefusalsGiveBackToASharedThrottle(t *testing.T) {
	const burst, quota = 1000, 100
	f := new(fleet)
	plan := twice(ratelimit.Limit{Burst: burst}, ratelimit.Limit{Burst: 2 * burst})
	plan.Quotas = daily(quota)
	meters := sharing(t, 2, f, usageplan.Config{Plans: []usageplan.Plan{plan}, Default: "p", Ledger: memory(t)})
	admitted := make(chan struct{}, burst)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 100 {
				if _, err := meters[i%2].Take(t.Context(), getCats("a")); err == nil {
					admitted <- struct{}{}
				}
			}
		})
	}
	all.Wait()
	require.Len(t, admitted, quota)
	var left []int64
	for _, name := range f.names() {
		group, name, _ := strings.Cut(name, " | ")
		left = append(left, f.buckets[[2]string{group, name}].bucket.Peek().Remaining)
	}
	require.Equal(t, []int64{burst - quota, 2*burst - quota}, left)
}

// A request counts in the period in which the throttle has let it pass, and not in the one in which it came.
func TestAThrottleThatWaitsUntilTheNextPeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		throttle := &script{refused: -1, fill: func(decisions []ratelimit.Decision) {
			time.Sleep(2 * time.Second)
			granting(decisions)
		}}
		plan := twice(ratelimit.Limit{Rate: 1, Burst: 1}, ratelimit.Limit{Rate: 1, Burst: 1})
		plan.Quotas = daily(1)
		m := sharing(t, 1, throttle, usageplan.Config{Plans: []usageplan.Plan{plan}, Default: "p", Ledger: memory(t)})[0]
		_, err := m.Take(t.Context(), getCats("a"))
		require.NoError(t, err)
		now := time.Now().UTC()
		time.Sleep(now.Truncate(24 * time.Hour).Add(24*time.Hour - time.Second).Sub(now))
		_, err = m.Take(t.Context(), getCats("a"))
		require.NoError(t, err)
	})
}

// Whatever refuses after the throttle gives its tokens back, once, and a charge that is settled gives none.
func TestWhatGivesTokensBack(t *testing.T) {
	open := ratelimit.Limit{Burst: 9}
	quota := func(p usageplan.Plan) usageplan.Plan { p.Quotas = daily(5); return p }
	for name, tt := range map[string]struct {
		config usageplan.Config
		plan   usageplan.Plan
		passes int
		want   string
		given  int
	}{
		"nothing":        {usageplan.Config{}, quota(twice(open, open)), 5, noLayer, 0},
		"quota":          {usageplan.Config{}, quota(twice(open, open)), 5, planQuota, 2},
		"broken ledger":  {usageplan.Config{Ledger: brokenLedger(t)}, quota(twice(open, open)), 0, planQuota, 2},
		"stage":          {usageplan.Config{StageThrottles: throttled()}, quota(twice(open, open)), 1, stageMethodThrottle, 2},
		"account":        {usageplan.Config{AccountThrottle: &ratelimit.Limit{Burst: 2}}, twice(open, open), 2, accountThrottle, 2},
		"one throttle":   {usageplan.Config{}, usageplan.Plan{ID: "p", Name: "P", Stages: dev, Throttle: &open, Quotas: daily(5)}, 5, planQuota, 1},
		"throttle":       {usageplan.Config{}, twice(open, ratelimit.Limit{Burst: 2}), 2, planThrottle, 0},
		"first throttle": {usageplan.Config{}, twice(ratelimit.Limit{Burst: 3}, open), 3, planMethodThrottle, 0},
	} {
		f := new(fleet)
		tt.config.Plans, tt.config.Default, tt.config.Throttle = []usageplan.Plan{tt.plan}, "p", f
		m := meter(t, tt.config)
		for range tt.passes {
			charge, err := m.Take(t.Context(), getCats("a"))
			require.NoError(t, err, name)
			require.NoError(t, charge.Settle(t.Context(), 1), name)
		}
		require.Zero(t, f.given, name)
		if tt.want != noLayer {
			require.Equal(t, tt.want, layer(t, m, getCats("a")), name)
		}
		require.Equal(t, tt.given, f.given, name)
	}
}

// The throttle is not asked where nothing could come of it.
func TestThrottleIsNotAskedInVain(t *testing.T) {
	one, shut := ratelimit.Limit{Burst: 1}, ratelimit.Limit{Rate: 5}
	for name, tt := range map[string]struct {
		plan usageplan.Plan
		want string
	}{
		"no throttle":       {usageplan.Plan{ID: "p", Name: "P", Stages: dev}, noLayer},
		"of another method": {usageplan.Plan{ID: "p", Name: "P", Stages: []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/dogs/GET": one}}}}, noLayer},
		"method shut":       {twice(shut, one), planMethodThrottle},
		"plan shut":         {twice(one, shut), planThrottle},
	} {
		f := new(script)
		m := sharing(t, 1, f, usageplan.Config{Plans: []usageplan.Plan{tt.plan}, Default: "p"})[0]
		_, err := m.Take(t.Context(), getCats("a"))
		if tt.want != noLayer {
			e := err.(*usageplan.Error)
			require.Equal(t, []any{tt.want, ratelimit.Never}, []any{e.Layer, e.RetryAfter}, name)
		} else {
			require.NoError(t, err, name)
		}
		require.Zero(t, f.calls, name)
	}
}

// A throttle that fails refuses with 503, and so does one that contradicts itself. A refusal stays one whatever else it
// says.
func TestThrottleThatFails(t *testing.T) {
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	down := errors.New("no connection")
	ok := ratelimit.Decision{OK: true, Remaining: 5}
	fill := func(d ...ratelimit.Decision) func([]ratelimit.Decision) {
		return func(decisions []ratelimit.Decision) { copy(decisions, d) }
	}
	for name, tt := range map[string]struct {
		throttle  *script
		ctx       context.Context
		reason    string
		retry     string
		remaining string
	}{
		"error":                       {&script{err: down, refused: -1, fill: granting}, nil, "throttle_unavailable", "1", ""},
		"error of the context":        {&script{err: context.Canceled}, canceled, "canceled", "1", ""},
		"its own cancel":              {&script{err: fmt.Errorf("get: %w", context.Canceled)}, nil, "throttle_unavailable", "1", ""},
		"deadline":                    {&script{err: context.DeadlineExceeded}, nil, "throttle_unavailable", "1", ""},
		"bucket below":                {&script{refused: -2, fill: granting}, nil, "throttle_unavailable", "1", ""},
		"bucket above":                {&script{refused: 2, fill: granting}, nil, "throttle_unavailable", "1", ""},
		"no decisions":                {&script{refused: -1}, nil, "throttle_unavailable", "1", ""},
		"one decision is a refusal":   {&script{refused: -1, fill: fill(ok, ratelimit.Decision{})}, nil, "throttle_unavailable", "1", ""},
		"refusal without a wait":      {&script{refused: 1}, nil, "throttled", "1", `"throttle";r=0;t=0`},
		"refusal that is OK":          {&script{refused: 1, fill: granting}, nil, "throttled", "1", `"throttle";r=0;t=0`},
		"refusal with a wait below 0": {&script{refused: 0, fill: fill(ratelimit.Decision{RetryAfter: -5, ResetAfter: -5, Remaining: -5})}, nil, "throttled", "1", `"throttle-method";r=0;t=0`},
		"refusal with too much":       {&script{refused: 0, fill: fill(ratelimit.Decision{RetryAfter: 3e9, Remaining: 99})}, nil, "throttled", "3", `"throttle-method";r=8;t=0`},
		"longest of both":             {&script{refused: 0, fill: fill(ratelimit.Decision{RetryAfter: 2e9, ResetAfter: 4e9}, ratelimit.Decision{RetryAfter: 7e9})}, nil, "throttled", "7", `"throttle-method";r=0;t=4`},
		"wait of one with a token":    {&script{refused: 0, fill: fill(ratelimit.Decision{RetryAfter: 2e9}, ratelimit.Decision{OK: true, RetryAfter: 7e9})}, nil, "throttled", "2", `"throttle-method";r=0;t=0`},
	} {
		plan := twice(ratelimit.Limit{Burst: 8}, ratelimit.Limit{Burst: 9})
		plan.Quotas = daily(9)
		m := sharing(t, 1, tt.throttle, usageplan.Config{Plans: []usageplan.Plan{plan}, Default: "p"})[0]
		ctx := tt.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		_, err := m.Take(ctx, getCats("a"))
		e, is := errors.AsType[*usageplan.Error](err)
		require.True(t, is, name)
		h := make(http.Header)
		e.SetHeader(h)
		require.Equal(t, []string{tt.reason, tt.retry, tt.remaining, "p"}, []string{e.Reason(), h.Get("Retry-After"), h.Get("RateLimit"), e.Plan}, name)
		require.Equal(t, tt.reason == "throttled", errors.Is(err, usageplan.ErrThrottled), name)
		require.Equal(t, tt.reason != "throttled", errors.Is(err, usageplan.ErrThrottleUnavailable), name)
		if tt.reason != "throttled" {
			require.Equal(t, []any{http.StatusServiceUnavailable, planMethodThrottle}, []any{e.StatusCode(), e.Layer}, name)
			require.True(t, tt.throttle.err == nil || errors.Is(err, tt.throttle.err), name)
		}
		require.Zero(t, used(t, m, "p", "a"), name)
		require.Zero(t, tt.throttle.given, name)
	}
}

// A panic of the throttle is the request's, as one of Config.Observe is. The request has not passed.
func TestPanicOfTheThrottleAdmitsNothing(t *testing.T) {
	throttle := &script{fill: func([]ratelimit.Decision) { panic("broken") }}
	plan := twice(ratelimit.Limit{Burst: 8}, ratelimit.Limit{Burst: 9})
	plan.Quotas = daily(9)
	m := sharing(t, 1, throttle, usageplan.Config{
		Plans: []usageplan.Plan{plan}, Default: "p", AllowDespite: func(*http.Request, error) bool { return true },
	})[0]
	h := m.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("admitted") }))
	require.PanicsWithValue(t, "broken", func() { h.ServeHTTP(httptest.NewRecorder(), catsOf("a")) })
	require.Zero(t, used(t, m, "p", "a"))
}

// AllowDespite may admit a request about which the throttle could not decide.
func TestAllowDespiteAThrottleThatFails(t *testing.T) {
	var w witness
	down := errors.New("no connection")
	m := observed(t, &w, usageplan.Config{
		Throttle:     &script{err: down},
		AllowDespite: func(_ *http.Request, err error) bool { return errors.Is(err, usageplan.ErrThrottleUnavailable) },
	}, usageplan.Plan{Throttle: &ratelimit.Limit{Burst: 1}, Quotas: daily(5)})
	charge, err := m.Check(catsOf("a"))
	require.NoError(t, err)
	require.Equal(t, usageplan.Charge{}, charge)
	require.ErrorIs(t, w.events[0].Err, down)
	require.Equal(t, told{planThrottle, "despite", "throttle_unavailable", "p", catsPattern, "a", 1, -1}, w.told(t))
	require.Zero(t, used(t, m, "p", "a"))
}

// The fields tell what the throttle has told. When they are set again later, the bucket has filled for that long.
func TestFieldsTellTheSharedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			reset time.Duration
			sleep time.Duration
			want  string
		}{
			{8 * time.Second, 0, `"throttle-method";r=2;t=8, "throttle";r=2;t=8`},
			{8 * time.Second, 5 * time.Second, `"throttle-method";r=2;t=3, "throttle";r=2;t=3`},
			{8 * time.Second, time.Minute, `"throttle-method";r=2;t=0, "throttle";r=2;t=0`},
			{ratelimit.Never, time.Minute, `"throttle-method";r=2, "throttle";r=2`},
		} {
			throttle := &script{refused: -1, fill: func(decisions []ratelimit.Decision) {
				for i := range decisions {
					decisions[i] = ratelimit.Decision{OK: true, Remaining: 2, ResetAfter: tt.reset}
				}
			}}
			plan := twice(ratelimit.Limit{Rate: 2, Burst: 8}, ratelimit.Limit{Rate: 1, Burst: 9})
			m := sharing(t, 1, throttle, usageplan.Config{Plans: []usageplan.Plan{plan}, Default: "p"})[0]
			charge, err := m.Take(t.Context(), getCats("a"))
			require.NoError(t, err)
			time.Sleep(tt.sleep)
			h := make(http.Header)
			charge.SetHeader(h)
			require.Equal(t, []string{`"throttle-method";q=8;w=4, "throttle";q=9;w=9`, tt.want}, []string{h.Get("RateLimit-Policy"), h.Get("RateLimit")})
		}
	})
}

// Each bucket that is kept apart in one process has a name of its own. The names are those of every process and later
// version: another name would be a full bucket for every client.
func TestNamesOfBuckets(t *testing.T) {
	limit := ratelimit.Limit{Burst: 9}
	methods := func(keys ...string) map[string]ratelimit.Limit {
		m := make(map[string]ratelimit.Limit)
		for _, key := range keys {
			m[key] = limit
		}
		return m
	}
	f := new(fleet)
	m := sharing(t, 1, f, usageplan.Config{
		Plans: []usageplan.Plan{
			{ID: "p", Name: "P", Throttle: &limit, Stages: []usageplan.Stage{
				{API: "pets", Name: "dev", Methods: methods("/cats/{id}/GET", "/cats/ANY", "/*/*")}, {API: "petsd", Name: "ev", Methods: methods("/cats/ANY")},
			}},
			{ID: "p1:a", Name: "P", Throttle: &limit, Stages: []usageplan.Stage{{API: "pets", Name: "prod"}}},
		},
		Members: []usageplan.Member{{Plan: "p", Client: "1:ab"}, {Plan: "p1:a", Client: "b"}},
	})[0]
	for _, r := range []usageplan.Route{
		{API: "pets", Stage: "dev", Resource: "/cats/{catId}", Method: "GET"},
		{API: "pets", Stage: "dev", Resource: "/cats/{id}", Method: "GET"},
		{API: "pets", Stage: "dev", Resource: "/cats", Method: "GET"},
		{API: "pets", Stage: "dev", Resource: "/cats", Method: "PUT"},
		{API: "petsd", Stage: "ev", Resource: "/cats", Method: "GET"},
		{API: "pets", Stage: "dev", Resource: "/dogs", Method: "GET"},
		{API: "pets", Stage: "dev", Resource: "/dogs/G", Method: "ET"},
		{API: "pets", Stage: "dev", Resource: "/dogs/" + strings.Repeat("x", 1000), Method: "GET"},
	} {
		_, err := m.Take(t.Context(), usageplan.Request{Client: "1:ab", Route: r})
		require.NoError(t, err)
	}
	_, err := m.Take(t.Context(), usageplan.Request{Client: "b", Route: usageplan.Route{API: "pets", Stage: "prod", Resource: "/", Method: "GET"}})
	require.NoError(t, err)
	require.Equal(t, []string{
		"1:p4:1:ab | method 4:pets3:dev5:/cats3:ANY",
		"1:p4:1:ab | method 4:pets3:dev8:/cats/{}3:GET",
		"1:p4:1:ab | method 5:petsd2:ev5:/cats3:ANY",
		"1:p4:1:ab | plan",
		"1:p4:1:ab | route 4:pets3:dev5:/dogs3:GET",
		"1:p4:1:ab | route 4:pets3:dev7:/dogs/G2:ET",
		"1:p4:1:ab | sha256 f6ffc95f420db708da6d18cebb4dda5d6292f5b57b4cd257d5562fe9f89ee9ee",
		"4:p1:a1:b | plan",
	}, f.names())
}

// A change of a plan or member is the limit of the next call.
func TestChangeIsTheLimitOfTheNextCall(t *testing.T) {
	f := new(fleet)
	limit := func(burst int64) *ratelimit.Limit { return &ratelimit.Limit{Burst: burst} }
	m := sharing(t, 1, f, usageplan.Config{Plans: []usageplan.Plan{twice(*limit(7), *limit(8))}, Members: []usageplan.Member{{Plan: "p", Client: "a"}}})[0]
	for _, tt := range []struct {
		change       change
		method, plan int64
	}{
		{func(context.Context, *usageplan.Meter) error { return nil }, 7, 8},
		{putting(twice(*limit(5), *limit(6))), 5, 6},
		{joining(usageplan.Member{Plan: "p", Client: "a", Throttle: limit(9)}), 5, 9},
		{joining(usageplan.Member{Plan: "p", Client: "a"}), 5, 6},
	} {
		require.NoError(t, tt.change(t.Context(), m))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, []int64{tt.method, tt.plan}, []int64{
			f.buckets[[2]string{"1:p1:a", "method 4:pets3:dev5:/cats3:GET"}].limit.Burst, f.buckets[[2]string{"1:p1:a", "plan"}].limit.Burst,
		})
	}
}
