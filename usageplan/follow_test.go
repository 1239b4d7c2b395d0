package usageplan_test

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tallygate/tallygate/ratelimit"
	"github.com/tallygate/tallygate/usageplan"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// severed is a journal that a node cannot reach while cut is set. It tells of no change while deaf is set.
type severed struct {
	journal.Journal
	cut, deaf atomic.Bool
}

func (s *severed) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	if s.cut.Load() {
		return func(yield func(journal.Change, error) bool) { yield(journal.Change{}, errors.New("no route to host")) }
	}
	return s.Journal.Changes(ctx, after)
}

func (s *severed) Wait(ctx context.Context, after uint64) error {
	if s.deaf.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Journal.Wait(ctx, after)
}

// openNode returns a meter that reaches the journal j by a network of its own. The test closes it.
func openNode(t *testing.T, j journal.Journal, c usageplan.Config) (*usageplan.Meter, *severed) {
	t.Helper()
	network := &severed{Journal: j}
	c.Journal, c.Plans = network, []usageplan.Plan{{ID: "p", Name: "P", Stages: dev, Quotas: daily(1 << 40)}}
	m := meter(t, c)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m, network
}

// A client that one node has taken out of its plan is refused by the others at once, and within a second where the
// notification is lost.
func TestAMemberThatLeavesIsRefusedByTheNodesThatFollow(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			j := journal.Memory(0)
			here, _ := openNode(t, j, usageplan.Config{})
			there, network := openNode(t, j, usageplan.Config{Follow: true, MaxStale: time.Minute})
			network.deaf.Store(deaf)
			for i := range 20 {
				joins := i%2 == 0
				time.Sleep(time.Duration(i) * 70 * time.Millisecond)
				if joins {
					require.NoError(t, here.AddMembers(t.Context(), usageplan.Member{Plan: "p", Client: "a"}))
				} else {
					require.NoError(t, here.RemoveMembers(t.Context(), "a"))
				}
				start := time.Now()
				for {
					synctest.Wait()
					if _, err := there.Take(t.Context(), getCats("a")); (err == nil) == joins {
						break
					}
					time.Sleep(time.Millisecond)
				}
				if deaf {
					require.Less(t, time.Since(start), 502*time.Millisecond)
				} else {
					require.Zero(t, time.Since(start))
				}
			}
		})
	}
}

// A node that cannot hear refuses with 503 when its plans are too old, also a client that asks for its status, and has
// taken nothing then.
func TestANodeThatCannotHearRefusesWith503(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		despite := false
		j := journal.Memory(0)
		here, _ := openNode(t, j, usageplan.Config{})
		there, network := openNode(t, j, usageplan.Config{
			MaxStale: 5 * time.Second, Default: "p",
			AllowDespite: func(_ *http.Request, err error) bool { return despite && errors.Is(err, usageplan.ErrStale) },
		})
		ask := func(h http.Handler) *httptest.ResponseRecorder {
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
			r.Pattern = "GET /cats"
			r.Header.Set("Verified-Client", "a")
			h.ServeHTTP(w, r)
			return w
		}
		ok := there.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		network.cut.Store(true)
		_, err := here.UpdatePlan(t.Context(), "p", func(p *usageplan.Plan) error { p.Stages = nil; return nil })
		require.NoError(t, err)
		time.Sleep(5 * time.Second)
		_, err = there.Take(t.Context(), getCats("a"))
		require.NoError(t, err, "it cannot know better")
		time.Sleep(time.Nanosecond)
		_, err = there.Take(t.Context(), getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrStale)
		require.Equal(t, "stale", err.(*usageplan.Error).Reason())
		for _, h := range []http.Handler{ok, there.StatusHandler()} {
			w := ask(h)
			require.Equal(t, 503, w.Code)
			require.Equal(t, `{"message":"Service Unavailable"}`, w.Body.String())
			require.Equal(t, "1", w.Header().Get("Retry-After"))
		}
		require.EqualValues(t, 1, used(t, there, "p", "a"))
		despite = true
		require.Equal(t, 200, ask(ok).Code)
		require.Equal(t, 503, ask(there.StatusHandler()).Code, "only Handler and Check ask AllowDespite")
		require.EqualValues(t, 1, used(t, there, "p", "a"))

		network.cut.Store(false)
		time.Sleep(time.Second)
		_, err = there.Take(t.Context(), getCats("a"))
		require.ErrorIs(t, err, usageplan.ErrNoPlan)
		require.Zero(t, there.Stats().Age)
	})
}

// mute is an engine that never answers. It counts what it is asked.
type mute struct {
	ledger.Engine
	asked int
}

func (m *mute) Update(ctx context.Context, _ []string, _ func(int, []byte) ([]byte, error)) error {
	m.asked++
	<-ctx.Done()
	return ctx.Err()
}

// MaxStale comes before every limit, so what it refuses has not waited for the throttle or the ledger. A younger plan
// lets them be asked, and the ledger counts also for a plan without limits. So a node whose store hangs refuses earlier
// than MaxStale says, and the request that notices it first has waited for the ledger.
func TestMaxStaleComesBeforeTheLimits(t *testing.T) {
	for client, calls := range map[string]int{"unlimited": 0, "limited": 1} {
		synctest.Test(t, func(t *testing.T) {
			engine, throttle := &mute{}, &script{refused: -1, fill: granting}
			quotas, err := ledger.New(ledger.Config{Engine: engine, Exact: true, Timeout: 3 * time.Second})
			require.NoError(t, err)
			limit := ratelimit.Limit{Rate: 1, Burst: 8}
			network := &severed{Journal: journal.Memory(0)}
			m := meter(t, usageplan.Config{
				Plans:   []usageplan.Plan{twice(limit, limit), {ID: "q", Name: "Q", Stages: dev}},
				Members: []usageplan.Member{{Plan: "p", Client: "limited"}, {Plan: "q", Client: "unlimited"}},
				Journal: network, MaxStale: 5 * time.Second, Ledger: quotas, Throttle: throttle,
			})
			defer m.Close()
			take := func(want error) (waited time.Duration) {
				start := time.Now()
				_, err := m.Take(t.Context(), getCats(client))
				require.ErrorIs(t, err, want, client)
				return time.Since(start)
			}
			network.cut.Store(true)
			time.Sleep(2400 * time.Millisecond)
			require.Equal(t, 3*time.Second, take(ledger.ErrUnavailable), client)
			require.Equal(t, []int{1, calls}, []int{engine.asked, throttle.calls}, client)
			time.Sleep(time.Second) // the ledger would ask its engine again
			require.Zero(t, take(usageplan.ErrStale), client)
			require.Equal(t, []int{1, calls}, []int{engine.asked, throttle.calls}, client)
		})
	}
}

// A request that has waited for the journal is decided at the time when it is decided, and not when it came.
func TestAWaitForTheJournalIsNotOnTheClockOfTheThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, _ := openNode(t, journal.Memory(0), usageplan.Config{MaxStale: time.Second, Default: "p"})
		for range 10 {
			time.Sleep(time.Hour)
			_, err := m.Take(t.Context(), getCats("a"))
			require.NoError(t, err)
		}
	})
}

func TestFollowingNeedsAJournal(t *testing.T) {
	c := usageplan.Config{Client: caller, API: "pets", Stage: "dev", Follow: true}
	_, err := usageplan.New(c)
	require.ErrorContains(t, err, "Config: without a Journal there is nothing to follow")
	require.ErrorIs(t, err, usageplan.ErrInvalid)
	c.Journal, c.MaxStale = journal.Memory(0), -1
	_, err = usageplan.New(c)
	require.ErrorContains(t, err, "Config: MaxStale -1ns is negative")
	for _, m := range []*usageplan.Meter{nil, {}, meter(t, usageplan.Config{})} {
		require.NoError(t, m.Close())
	}
}
