package ledger_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// slow takes a millisecond for a commit and counts commits and operations.
type slow struct {
	ledger.Store
	commits, ops int
}

func (s *slow) Apply(ctx context.Context, ops []ledger.Op) ([]ledger.Outcome, error) {
	s.commits, s.ops = s.commits+1, s.ops+len(ops)
	time.Sleep(time.Millisecond)
	return s.Store.Apply(ctx, ops)
}

// TestCohort: who is woken, and who has come meanwhile, commits together, although the first to come back could lead at
// once.
func TestCohort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, rounds = 64, 50
		s := &slow{Store: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Store: s, Mode: ledger.Exact})
		require.NoError(t, err)
		defer l.Close()
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
		require.Equal(t, callers*rounds, s.ops)
		require.LessOrEqual(t, s.commits, rounds+rounds/5, "each caller waits for one commit, not for two")
	})
}
