package ledger_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// reserving takes two milliseconds for a commit and remembers what was reserved.
type reserving struct {
	ledger.Engine
	mu                 sync.Mutex
	granted, remaining []int64
}

// reserved is what each reservation was granted, and what remained after it.
func (s *reserving) reserved() (granted, remaining []int64) {
	synctest.Wait() // for those under way
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.granted), slices.Clone(s.remaining)
}

func (s *reserving) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	time.Sleep(2 * time.Millisecond)
	return s.Engine.Update(ctx, keys, f)
}

func (s *reserving) note(granted, remaining int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granted, s.remaining = append(s.granted, granted), append(s.remaining, remaining)
}

func overReserving(t *testing.T, f func(take func() time.Duration, s *reserving), block, limit int64) {
	synctest.Test(t, func(t *testing.T) {
		s := &reserving{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: s, Block: block, Thresholds: []int{}})
		require.NoError(t, err)
		ledger.OnReserve(l, s.note)
		f(func() time.Duration {
			start := time.Now()
			_, err := l.Take(t.Context(), key, ledger.Quota{Limit: limit, Period: ledger.Monthly}, 1)
			require.NoError(t, err)
			return time.Since(start)
		}, s)
		require.NoError(t, l.Close())
	})
}

// TestPrefetch: a block is followed by the next while half of it is left, so nobody waits for the store but the first.
func TestPrefetch(t *testing.T) {
	overReserving(t, func(take func() time.Duration, s *reserving) {
		require.Equal(t, 2*time.Millisecond, take())
		for i := range 1000 {
			time.Sleep(300 * time.Microsecond) // seven of the first sixteen last for a commit, fewer would not
			require.Zero(t, take(), "take %d", i)
		}
		blocks, _ := s.reserved()
		for _, block := range blocks[2:] {
			require.GreaterOrEqual(t, block, int64(64/2), "not before half of it is spent: %v", blocks)
		}
	}, 64, 1<<40)
}

// TestBlockSize: blocks grow with demand up to the largest, and become small again without it.
func TestBlockSize(t *testing.T) {
	const largest = 4096
	overReserving(t, func(take func() time.Duration, s *reserving) {
		for range 50 * largest {
			take()
		}
		blocks, _ := s.reserved()
		require.EqualValues(t, 16, blocks[0])
		for i := range 3 {
			require.GreaterOrEqual(t, blocks[i+1], 3*blocks[i], "%v", blocks)
		}
		require.LessOrEqual(t, slices.Max(blocks), int64(largest))
		require.Less(t, len(blocks), 120, "%v", blocks)
		for range 3 * largest {
			time.Sleep(100 * time.Millisecond)
			take()
		}
		blocks, _ = s.reserved()
		require.LessOrEqual(t, blocks[len(blocks)-1], int64(16), "%v", blocks)
	}, largest, 1<<40)
}

// TestBlocksShrink: near the limit at most a quarter of what remains is reserved at once, and the last unit is granted.
func TestBlocksShrink(t *testing.T) {
	const limit = 5000
	overReserving(t, func(take func() time.Duration, s *reserving) {
		for range limit {
			take()
		}
		blocks, remaining := s.reserved()
		for i, block := range blocks {
			require.LessOrEqual(t, block, max(1, (remaining[i]+block)/4), "%v", blocks)
		}
		require.Zero(t, remaining[len(remaining)-1])
	}, 4096, limit)
}

// TestHeldIsBounded: what settlements give back does not pile up in a lease, where other ledgers cannot have it.
func TestHeldIsBounded(t *testing.T) {
	const block, limit = 8, 1000
	q := ledger.Quota{Limit: limit, Period: ledger.Daily}
	store := ledger.NewMemory()
	one := newLedger(t, ledger.Config{Engine: store, Block: block})
	other := newLedger(t, ledger.Config{Engine: store, Block: block})
	for _, cost := range []int64{1, 5, 90} {
		var charges []ledger.Charge
		for used := int64(0); used+cost <= limit*9/10; used += cost {
			c, err := one.TakeAt(t.Context(), noon, key, q, cost)
			require.NoError(t, err)
			charges = append(charges, c)
		}
		for _, c := range charges {
			require.NoError(t, c.Settle(t.Context(), 0))
		}
		got := int64(0)
		for {
			c, err := other.TakeAt(t.Context(), noon, key, q, 1)
			if errors.Is(err, ledger.ErrExhausted) {
				break
			}
			require.NoError(t, err)
			charges = append(charges, c)
			got++
		}
		require.GreaterOrEqual(t, got, limit-3*max(block, cost))
		for _, c := range charges[len(charges)-int(got):] {
			require.NoError(t, c.Settle(t.Context(), 0))
		}
	}
}

// TestLeaseElsewhere: what is taken away by one ledger binds it at once, and another one when its lease is spent: at
// most three blocks later.
func TestLeaseElsewhere(t *testing.T) {
	const block, limit = 64, 10_000
	q := ledger.Quota{Limit: limit, Period: ledger.Daily}
	for name, takeAway := range map[string]func(l *ledger.Ledger) error{
		"extension": func(l *ledger.Ledger) error {
			_, err := l.ExtendAt(context.Background(), noon, key, q, ledger.Adjustment{Delta: -limit})
			return err
		},
		"correction": func(l *ledger.Ledger) error {
			_, err := l.CorrectAt(context.Background(), noon, key, q, ledger.Adjustment{Delta: limit})
			return err
		},
	} {
		for _, refunds := range []int{0, 1000} {
			synctest.Test(t, func(t *testing.T) {
				store := ledger.NewMemory()
				one := newLedger(t, ledger.Config{Engine: store, Block: block})
				other := newLedger(t, ledger.Config{Engine: store, Block: block})
				var charges []ledger.Charge
				for range 2000 {
					c, err := other.TakeAt(t.Context(), noon, key, q, 1)
					require.NoError(t, err)
					charges = append(charges, c)
				}
				for _, c := range charges[:refunds] {
					require.NoError(t, c.Settle(t.Context(), 0))
				}
				synctest.Wait()
				require.NoError(t, takeAway(one))
				_, err := one.TakeAt(t.Context(), noon, key, q, 1)
				require.ErrorIs(t, err, ledger.ErrExhausted, "%s: at once", name)
				admitted := 0
				for err = nil; err == nil; admitted++ {
					_, err = other.TakeAt(t.Context(), noon, key, q, 1)
				}
				admitted-- // the last was not
				require.ErrorIs(t, err, ledger.ErrExhausted)
				require.LessOrEqual(t, admitted, 3*block, "%s, %d refunds", name, refunds)
			})
		}
	}
}

// TestCrashForgetsWhatCameBack: of a hundred units that were taken and then given back into the lease, a crash without
// slots leaves those used that the lease had reported before. With slots none of them is.
func TestCrashForgetsWhatCameBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := ledger.Config{Engine: ledger.NewMemory()}
		used := usedAfterCrash(t, c, func(c ledger.Config) ledger.Config { return c })
		require.Positive(t, used)
		require.LessOrEqual(t, used, int64(100), "no more than was taken")
	})
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		files, err := slots.Open(dir)
		require.NoError(t, err)
		c := ledger.Config{Engine: ledger.NewMemory(), Slots: files}
		used := usedAfterCrash(t, c, func(c ledger.Config) ledger.Config {
			require.NoError(t, files.Close()) // as the end of the process would
			files, err = slots.Open(dir)
			require.NoError(t, err)
			c.Slots = files
			return c
		})
		require.Zero(t, used)
		require.NoError(t, files.Close())
	})
}

// usedAfterCrash takes a hundred units and gives them back, by a ledger that is never closed. It returns what the next
// ledger finds used. restart returns the configuration of that one.
func usedAfterCrash(t *testing.T, c ledger.Config, restart func(ledger.Config) ledger.Config) int64 {
	l, err := ledger.New(c)
	require.NoError(t, err)
	quota := ledger.Quota{Limit: 1000, Period: ledger.Monthly}
	charges := make([]ledger.Charge, 100)
	for i := range charges {
		charges[i], err = l.Take(t.Context(), key, quota, 1)
		require.NoError(t, err)
	}
	synctest.Wait() // no refill is under way, so none reports after the settlements
	for _, ch := range charges {
		require.NoError(t, ch.Settle(t.Context(), 0))
	}
	l, err = ledger.New(restart(c))
	require.NoError(t, err)
	b, err := l.Balance(t.Context(), key, quota)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return b.Used
}
