package usageplan_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
)

// A burst of 0 refuses every request, in every layer, and takes nothing from the other layers.
func TestBurstOfZeroRefusesEverything(t *testing.T) {
	methods := func(key string, limit ratelimit.Limit) []usageplan.Stage {
		return []usageplan.Stage{{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{key: limit}}}
	}
	plan := func(limit *ratelimit.Limit, stages []usageplan.Stage) []usageplan.Plan {
		return []usageplan.Plan{{ID: "p", Name: "P", Throttle: limit, Stages: stages, Quotas: daily(9)}}
	}
	own := func(limit ratelimit.Limit) []usageplan.Member {
		return []usageplan.Member{{Plan: "p", Client: "a", Throttle: &limit}}
	}
	open := ratelimit.Limit{Burst: 9}
	for name, tt := range map[string]struct {
		config usageplan.Config
		want   string
	}{
		"plan":                      {usageplan.Config{Plans: plan(&ratelimit.Limit{Rate: 5}, dev)}, planThrottle},
		"plan, no rate":             {usageplan.Config{Plans: plan(&ratelimit.Limit{}, dev)}, planThrottle},
		"member":                    {usageplan.Config{Plans: plan(nil, dev), Members: own(ratelimit.Limit{})}, planThrottle},
		"member of an open plan":    {usageplan.Config{Plans: plan(&open, dev), Members: own(ratelimit.Limit{Rate: 1})}, planThrottle},
		"open member":               {usageplan.Config{Plans: plan(&ratelimit.Limit{}, dev), Members: own(open)}, noLayer},
		"method":                    {usageplan.Config{Plans: plan(&open, methods("/cats/GET", ratelimit.Limit{Rate: 1}))}, planMethodThrottle},
		"every method":              {usageplan.Config{Plans: plan(nil, methods("/*/*", ratelimit.Limit{}))}, planMethodThrottle},
		"method, and plan":          {usageplan.Config{Plans: plan(&ratelimit.Limit{}, methods("/cats/ANY", ratelimit.Limit{}))}, planMethodThrottle},
		"open method":               {usageplan.Config{Plans: plan(&ratelimit.Limit{}, methods("/cats/GET", open))}, planThrottle},
		"stage's method":            {usageplan.Config{Plans: plan(&open, dev), StageThrottles: methods("/cats/GET", ratelimit.Limit{Rate: 1})}, stageMethodThrottle},
		"every method of the stage": {usageplan.Config{Plans: plan(nil, dev), StageThrottles: methods("/*/*", ratelimit.Limit{})}, stageMethodThrottle},
	} {
		tt.config.Default = "p"
		m := meter(t, tt.config)
		for range 3 {
			require.Equal(t, tt.want, layer(t, m, getCats("a")), name)
		}
		want := int64(0)
		if tt.want == noLayer {
			want = 3
		}
		require.Equal(t, want, used(t, m, "p", "a"), name)
		_, err := m.Status(t.Context(), "a", getCats("a").Route)
		require.NoError(t, err, name)
	}
	_, err := usageplan.New(usageplan.Config{Client: caller, API: "pets", Stage: "dev", AccountThrottle: &ratelimit.Limit{Rate: 5}})
	require.ErrorContains(t, err, "Config.AccountThrottle: ratelimit: burst 0", "no tool writes it there: it was forgotten")
}

// The answer has no Retry-After, because waiting does not help.
func TestBurstOfZeroIsAnswered(t *testing.T) {
	m := meter(t, usageplan.Config{Default: "p", Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Rate: 5}}}})
	_, err := m.Take(t.Context(), getCats("a"))
	e := err.(*usageplan.Error)
	require.ErrorIs(t, e, usageplan.ErrThrottled)
	require.Equal(t, ratelimit.Never, e.RetryAfter)
	h := make(map[string][]string)
	e.SetHeader(h)
	require.Equal(t, map[string][]string{"Ratelimit-Policy": {`"throttle";q=0`}, "Ratelimit": {`"throttle";r=0`}}, h)
}

// A throttle that is shut for a while and then opened again has its old buckets.
func TestBucketsSurviveBurstOfZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		put := func(limit ratelimit.Limit) change {
			return putting(usageplan.Plan{ID: "p", Name: "P", Throttle: &limit, Stages: []usageplan.Stage{
				{API: "pets", Name: "dev", Methods: map[string]ratelimit.Limit{"/cats/GET": limit}},
			}})
		}
		own := func(limit *ratelimit.Limit) change {
			return joining(usageplan.Member{Plan: "p", Client: "a", Throttle: limit})
		}
		m := meter(t, usageplan.Config{})
		apply := func(changes ...change) {
			for _, c := range changes {
				require.NoError(t, c(t.Context(), m))
			}
		}
		apply(put(ratelimit.Limit{Burst: 3}), own(nil))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		apply(put(ratelimit.Limit{}))
		require.Equal(t, planMethodThrottle, layer(t, m, getCats("a")))
		apply(put(ratelimit.Limit{Burst: 3}))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.Equal(t, planMethodThrottle, layer(t, m, getCats("a")))

		apply(put(ratelimit.Limit{Burst: 9}), own(&ratelimit.Limit{}))
		require.Equal(t, planThrottle, layer(t, m, getCats("a")))
		apply(own(&ratelimit.Limit{Burst: 5}))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		apply(own(&ratelimit.Limit{}), own(nil))
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
	})
}
