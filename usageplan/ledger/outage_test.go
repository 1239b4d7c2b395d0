package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// refused is how long a take lasts that has to be refused, as in an outage.
func refused(t *testing.T, l *ledger.Ledger, k ledger.Key, cost int64) time.Duration {
	t.Helper()
	start := time.Now()
	if _, err := l.Take(context.Background(), k, day10, cost); !errors.Is(err, ledger.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	return time.Since(start)
}

// TestOneTakeProbes: while the engine hangs, one take at a time asks it, and only after a pause. All others are refused
// at once, also of other keys and of cost 0, and while that one waits.
func TestOneTakeProbes(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		_, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		store.hang.Store(true)
		require.Equal(t, 5*time.Second, refused(t, l, key, 9), "the first one asks")
		calls := store.calls.Load()
		for _, pause := range []time.Duration{50, 100, 200, 400, 800, 800} {
			time.Sleep(pause*time.Millisecond - time.Nanosecond)
			require.Zero(t, refused(t, l, key, 9), "in the pause")
			require.Equal(t, calls, store.calls.Load())
			time.Sleep(time.Nanosecond)
			var waited atomic.Int64
			for range 10 {
				go func() { waited.Add(int64(refused(t, l, key, 9))) }()
			}
			synctest.Wait()
			for i := range 10 {
				require.Zero(t, refused(t, l, key, 9), "while one asks")
				require.Zero(t, refused(t, l, ledger.Key{Plan: "basic", Subject: fmt.Sprint(i)}, 1))
				require.Zero(t, refused(t, l, key, 0))
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			require.EqualValues(t, 5*time.Second, waited.Load(), "of the ten, one has waited")
			calls++
			require.Equal(t, calls, store.calls.Load())
		}
		store.hang.Store(false)
		time.Sleep(time.Second)
		c, err := l.Take(t.Context(), key, day10, 9)
		require.NoError(t, err, "the first answer ends it")
		require.EqualValues(t, 10, c.Balance().Used)
	})
}

// TestOutageEndsWithAnyAnswer: the answer to a settlement or a flush ends an outage, and from then on takes queue
// again.
func TestOutageEndsWithAnyAnswer(t *testing.T) {
	answers := map[string]func(ledger.Charge, *ledger.Ledger) error{
		"settlement": func(c ledger.Charge, _ *ledger.Ledger) error { return c.Settle(context.Background(), 4) },
		"usage": func(_ ledger.Charge, l *ledger.Ledger) error { // flushes
			for _, err := range l.Usage(context.Background(), key, day10, time.Now(), time.Now()) {
				return err
			}
			return nil
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
				c, err := l.Take(t.Context(), key, day10, 2)
				require.NoError(t, err)
				store.before.Store(true)
				require.Zero(t, refused(t, l, key, 8))
				store.before.Store(false)
				require.Zero(t, refused(t, l, key, 8), "in the pause")
				if name == "settlement" {
					time.Sleep(50 * time.Millisecond)
				}
				require.NoError(t, answer(c, l))
				for range 3 {
					_, err = l.Take(t.Context(), key, day10, 1)
					require.NoError(t, err)
				}
			})
		})
	}
}

// TestProbeThatNeverAsks: the take that was to ask the engine gives up before. The next one asks then.
func TestProbeThatNeverAsks(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		store.before.Store(true)
		require.Zero(t, refused(t, l, key, 1))
		store.before.Store(false)
		time.Sleep(50 * time.Millisecond)
		calls := store.calls.Load()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := l.Take(ended, key, day10, 1)
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, calls, store.calls.Load())
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
	})
}

// TestLeaseServesInOutage: units that have been reserved are spent as ever.
func TestLeaseServesInOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: store, Block: 16})
		require.NoError(t, err)
		q := ledger.Quota{Limit: 1000, Period: ledger.Daily}
		_, err = l.Take(t.Context(), key, q, 1)
		require.NoError(t, err)
		store.hang.Store(true)
		start := time.Now()
		for range 15 {
			_, err = l.Take(t.Context(), key, q, 1)
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(start))
		_, err = l.Take(t.Context(), key, q, 1)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		store.hang.Store(false)
		require.NoError(t, l.Close())
		require.EqualValues(t, 16, store.state(t).Used)
	})
}

// stuck are slots that do not open for one subject until they are released.
type stuck struct {
	subject  string
	released chan struct{}
}

func (s stuck) Claim() ([]ledger.OpenLease, error) { return nil, nil }
func (s stuck) Clear() error                       { return nil }
func (s stuck) Note(int64) error                   { return nil }
func (s stuck) Free()                              {}

func (s stuck) Open(o ledger.OpenLease) (ledger.Slot, error) {
	if o.Account.Key.Subject == s.subject {
		<-s.released
	}
	return s, nil
}

// TestProbeThatIsStuck: the take that was to ask the engine waits for something else. Others do not rely on it for more
// than twice the Timeout.
func TestProbeThatIsStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, slots := &faulty{Engine: ledger.NewMemory()}, stuck{"stuck", make(chan struct{})}
		l, err := ledger.New(ledger.Config{Engine: store, Slots: slots, Timeout: 3 * time.Second})
		require.NoError(t, err)
		store.before.Store(true)
		require.Zero(t, refused(t, l, key, 1))
		store.before.Store(false)
		time.Sleep(50 * time.Millisecond)
		go func() { _, _ = l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: "stuck"}, day10, 1) }()
		synctest.Wait()
		time.Sleep(6*time.Second - time.Nanosecond)
		require.Zero(t, refused(t, l, key, 1))
		time.Sleep(time.Nanosecond)
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		close(slots.released)
		require.NoError(t, l.Close())
	})
}
