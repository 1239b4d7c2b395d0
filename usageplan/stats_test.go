package usageplan_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// The figures follow the changes and the requests.
func TestStatsFollowChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := meter(t, usageplan.Config{
			Plans:           []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}},
			Members:         []usageplan.Member{{Plan: "p", Client: "a"}, {Plan: "p", Client: "b"}},
			AccountThrottle: &ratelimit.Limit{Rate: 1, Burst: 3},
		})
		require.Equal(t, usageplan.Stats{Plans: 1, Members: 2, AccountTokens: 3}, m.Stats())

		putPlan(t, m, usageplan.Plan{ID: "q", Name: "Q"})
		putMember(t, m, usageplan.Member{Plan: "q", Client: "a"})
		putMember(t, m, usageplan.Member{Plan: "q", Client: "a"}) // replaces it
		require.Equal(t, usageplan.Stats{Plans: 2, Members: 3, AccountTokens: 3, Revision: 3}, m.Stats())

		require.NoError(t, m.RemoveMembers(ctx, "b", "p"))
		require.Equal(t, usageplan.Stats{Plans: 2, Members: 2, AccountTokens: 3, Revision: 4}, m.Stats())
		dropPlan(t, m, "p")
		require.Equal(t, usageplan.Stats{Plans: 1, Members: 1, AccountTokens: 3, Revision: 6}, m.Stats(), "a change for the plan, and one for its member")

		putPlan(t, m, usageplan.Plan{ID: "q", Name: "Q", Stages: dev})
		require.Equal(t, noLayer, layer(t, m, getCats("a")))
		require.EqualValues(t, 2, m.Stats().AccountTokens)
		time.Sleep(time.Second)
		require.EqualValues(t, 3, m.Stats().AccountTokens)
	})
}

func TestStatsWithoutAnAccountThrottle(t *testing.T) {
	for _, m := range []*usageplan.Meter{nil, {}, meter(t, usageplan.Config{})} {
		require.Equal(t, usageplan.Stats{AccountTokens: -1}, m.Stats())
	}
}

// A meter whose store has not answered may be behind, until it has read on.
func TestStatsSayThatAChangeIsUnknown(t *testing.T) {
	synctest.Test(t, statsSayThatAChangeIsUnknown) // so that the age is 0
}

func statsSayThatAChangeIsUnknown(t *testing.T) {
	store := &unanswered{Journal: journal.Memory(0), lose: true}
	m := meter(t, usageplan.Config{Journal: store})
	require.Equal(t, usageplan.Stats{AccountTokens: -1}, m.Stats())
	_, err := m.CreatePlan(t.Context(), usageplan.Plan{ID: "p", Name: "P"})
	require.ErrorIs(t, err, journal.ErrUnavailable)
	require.Equal(t, usageplan.Stats{AccountTokens: -1, Behind: true}, m.Stats())
	require.NoError(t, m.Refresh(t.Context()))
	require.Equal(t, usageplan.Stats{Plans: 1, AccountTokens: -1, Revision: 1}, m.Stats())
}

// Figures are read while plans and members change; the race detector looks on.
func TestStatsDuringChanges(t *testing.T) {
	m := meter(t, usageplan.Config{Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}}})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			if st := m.Stats(); st.Members < 0 || st.Members > 1 || st.Plans != 1 {
				t.Error(st)
			}
		}
	}()
	for range 200 {
		require.NoError(t, m.AddMembers(t.Context(), usageplan.Member{Plan: "p", Client: "a"}))
		require.NoError(t, m.RemoveMembers(t.Context(), "a", "p"))
	}
	<-done
}

// Each throttle that refuses is counted once, here and in Config.Throttle, open or shut. Nothing else is.
func TestStatsCountWhatThrottlesRefuse(t *testing.T) {
	type config = usageplan.Config
	type plan = usageplan.Plan
	one, shut := ratelimit.Limit{Burst: 1}, ratelimit.Limit{Rate: 5}
	shared := func() config { return config{Throttle: new(fleet)} }
	for name, tt := range map[string]struct {
		config         config
		plan           plan
		passes, refuse int // requests
		want           uint64
	}{
		"none":               {config{}, plan{Stages: dev}, 3, 0, 0},
		"plan":               {config{}, plan{Stages: dev, Throttle: &one}, 1, 3, 3},
		"plan, shut":         {config{}, plan{Stages: dev, Throttle: &shut}, 0, 3, 3},
		"plan's method":      {config{}, plan{Stages: throttled()}, 1, 3, 3},
		"both":               {config{}, plan{Stages: throttled(), Throttle: &one}, 1, 3, 3},
		"plan, shared":       {shared(), plan{Stages: dev, Throttle: &one}, 1, 3, 3},
		"plan, shared, shut": {shared(), plan{Stages: dev, Throttle: &shut}, 0, 3, 3},
		"method, shared":     {shared(), plan{Stages: throttled()}, 1, 3, 3},
		"throttle is away":   {config{Throttle: &script{err: errors.New("down")}}, plan{Stages: dev, Throttle: &one}, 0, 3, 0},
		"stage":              {config{StageThrottles: throttled()}, plan{Stages: dev}, 1, 3, 3},
		"account":            {config{AccountThrottle: &one}, plan{Stages: dev}, 1, 3, 3},
		"quota":              {config{}, plan{Stages: dev, Quotas: daily(1)}, 1, 3, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tt.plan.ID, tt.plan.Name = "p", "P"
			tt.config.Plans, tt.config.Default = []plan{tt.plan}, "p"
			m := meter(t, tt.config)
			for range tt.passes {
				require.Equal(t, noLayer, layer(t, m, getCats("a")))
			}
			for range tt.refuse {
				_, err := m.Take(t.Context(), getCats("a"))
				require.Error(t, err)
			}
			require.Equal(t, tt.want, m.Stats().Throttled)
		})
	}
}

// A member's own throttle is counted, and so is what AllowDespite lets pass. Status is not.
func TestStatsCountRefusalsThatDoNotAct(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans:        []usageplan.Plan{{ID: "p", Name: "P", Stages: dev}},
		Members:      []usageplan.Member{{Plan: "p", Client: "a", Throttle: &ratelimit.Limit{Burst: 1}}},
		AllowDespite: func(*http.Request, error) bool { return true },
	})
	for range 3 {
		_, err := m.Check(catsOf("a"))
		require.NoError(t, err)
	}
	m.StatusHandler().ServeHTTP(httptest.NewRecorder(), catsOf("a"))
	require.EqualValues(t, 2, m.Stats().Throttled)
}

// Refusals of several goroutines are all counted.
func TestStatsCountEachRefusal(t *testing.T) {
	m := meter(t, usageplan.Config{
		Plans: []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Throttle: &ratelimit.Limit{Rate: 5}}}, Default: "p",
	})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 500 {
				if _, err := m.Take(t.Context(), getCats("a")); !errors.Is(err, usageplan.ErrThrottled) {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	require.EqualValues(t, 8*500, m.Stats().Throttled)
}
