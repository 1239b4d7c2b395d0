package ledger_test

import (
	"context"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// slow takes a millisecond for a commit and counts commits.
type slow struct {
	ledger.Engine
	commits int
}

func (s *slow) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	s.commits++
	time.Sleep(time.Millisecond)
	return s.Engine.Update(ctx, keys, f)
}

// TestCohort: who is woken, and who has come meanwhile, commits together, although the first to come back could lead at
// once.
//
// It has one processor. With two, a busy machine may stop one of them for a while, and the callers on it come too late
// for the commit that they would have shared.
func TestCohort(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		const callers, rounds = 64, 50
		s := &slow{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: s, Exact: true})
		require.NoError(t, err)
		defer l.Close()
		ops := 0
		ledger.OnBatch(l, func(n int) { ops += n })
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				if i%2 > 0 { // comes while the first commit is under way
					time.Sleep(time.Millisecond / 2)
				}
				for range rounds {
					if _, err := l.Take(t.Context(), key, ledger.Quota{Limit: 1 << 40, Period: ledger.Monthly}, 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		require.Equal(t, callers*rounds, ops)
		// Twice as many commits would mean that each caller waits for two.
		require.LessOrEqual(t, s.commits, rounds+rounds/2, "each caller waits for one commit, not for two")
	})
}

// TestPatience: the leader waits for a burst to end, and hardly for those who come by themselves.
func TestPatience(t *testing.T) {
	const took = 640 * time.Millisecond
	require.Equal(t, took/64, ledger.Patience(took, 0, 64), "nobody comes")
	require.Equal(t, took/64+took/6, ledger.Patience(took, 32, 64))
	require.Equal(t, took/64+took/3, ledger.Patience(took, 64, 64), "at most")
	require.Less(t, ledger.Patience(took, -32, 64), time.Duration(0), "they give up")
	require.Zero(t, ledger.Patience(0, 3, 64), "a store in memory is not waited for")
	ledger.GatherInChurn(took, 64) // returns, however many come and go
}

// TestHurried: Close tries a store that failed a moment ago, though others who are not to wait for it ask at the same
// time.
func TestHurried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: store, Exact: true})
		require.NoError(t, err)
		c, err := l.Take(t.Context(), key, day10, 3)
		require.NoError(t, err)
		first, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		store.before.Store(true)
		require.ErrorIs(t, c.Settle(t.Context(), 1), ledger.ErrUnavailable)
		store.before.Store(false)
		gated := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { <-gated; _ = first.Settle(t.Context(), 0) })
		wg.Go(func() { <-gated; require.NoError(t, l.Close()) })
		close(gated)
		wg.Wait()
		require.EqualValues(t, 1, store.state(t).Used)
	})
}
