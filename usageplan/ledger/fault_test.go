package ledger_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

var errFault = errors.New("fault")

// faulty is an engine whose next call can fail: before it has done anything, after it has done all, or not until its
// context ends.
type faulty struct {
	ledger.Engine
	before, after, hang, panics atomic.Bool
	calls                       atomic.Int64
}

func (f *faulty) Update(ctx context.Context, keys []string, g func(int, []byte) ([]byte, error)) error {
	f.calls.Add(1)
	if f.before.Load() {
		return errFault
	}
	if f.panics.Load() {
		panic(errFault)
	}
	if f.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	err := f.Engine.Update(ctx, keys, g)
	if f.after.Load() {
		return errFault
	}
	return err
}

func (f *faulty) state(t *testing.T) ledger.State {
	t.Helper()
	for s, err := range ledger.Accounts(t.Context(), f, key) {
		require.NoError(t, err)
		return s
	}
	return ledger.State{}
}

// inFakeTime runs f over a faulty engine in both modes.
func inFakeTime(t *testing.T, f func(t *testing.T, l *ledger.Ledger, store *faulty)) {
	for name, exact := range map[string]bool{"leased": false, "exact": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &faulty{Engine: ledger.NewMemory()}
				l, err := ledger.New(ledger.Config{Engine: store, Exact: exact, Block: 16})
				require.NoError(t, err)
				f(t, l, store)
				require.NoError(t, l.Close())
				require.Zero(t, store.state(t).Held)
			})
		})
	}
}

// TestLostAnswer: a charge whose answer is lost is refused, and given back when the store is back.
func TestLostAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		store.after.Store(true)
		_, err := l.Take(t.Context(), key, day10, 7)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.ErrorIs(t, err, errFault)
		require.EqualError(t, err, "ledger: store unavailable: fault")
		store.after.Store(false)
		_, err = l.Take(t.Context(), key, day10, 7)
		require.ErrorIs(t, err, ledger.ErrUnavailable, "not tried again at once")
		calls := store.calls.Load()
		_, err = l.Take(t.Context(), key, day10, 7)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.Equal(t, calls, store.calls.Load(), "a store that failed is left alone for a moment")
		time.Sleep(time.Second)
		c, err := l.Take(t.Context(), key, day10, 7)
		require.NoError(t, err, "the first seven were given back")
		require.EqualValues(t, 7, c.Balance().Used)
	})
}

// TestDoubtful: what a reservation without an answer may have been granted comes back when more is needed, not at
// midnight.
func TestDoubtful(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: store, Block: 16})
		require.NoError(t, err)
		q := ledger.Quota{Limit: 1000, Period: ledger.Daily}
		for range 3 {
			_, err = l.Take(t.Context(), key, q, 1)
			require.NoError(t, err)
			store.after.Store(true)
			_, err = l.Take(t.Context(), key, q, 40) // more than the block
			require.ErrorIs(t, err, ledger.ErrUnavailable)
			store.after.Store(false)
			time.Sleep(time.Second)
			_, err = l.Take(t.Context(), key, q, 40)
			require.NoError(t, err)
			require.LessOrEqual(t, store.state(t).Held, int64(40+16))
		}
		require.NoError(t, l.Close())
		require.EqualValues(t, 3*41, store.state(t).Used)
	})
}

// TestSettleInOutage: a settlement that fails is made good.
func TestSettleInOutage(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		give, err := l.Take(t.Context(), key, day10, 4)
		require.NoError(t, err)
		more, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		time.Sleep(24 * time.Hour) // so that it is not for a lease
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		store.before.Store(true)
		require.ErrorIs(t, give.Settle(t.Context(), 1), ledger.ErrUnavailable)
		require.ErrorIs(t, more.Settle(t.Context(), 3), ledger.ErrUnavailable)
		require.ErrorIs(t, give.Settle(t.Context(), 1), ledger.ErrSettled, "no second time")
		store.before.Store(false)
		time.Sleep(time.Second)
		_, err = l.Take(t.Context(), key, day10, 9)
		require.NoError(t, err)
		require.EqualValues(t, 4, store.state(t).Used, "5 - 3 + 2")
	})
}

// TestOwedIsReported: usage tells what has been settled, also if the store has not been told until then.
func TestOwedIsReported(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		begin := time.Now()
		give, err := l.Take(t.Context(), key, day10, 4)
		require.NoError(t, err)
		time.Sleep(24 * time.Hour)
		_, err = l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		store.before.Store(true)
		require.ErrorIs(t, give.Settle(t.Context(), 1), ledger.ErrUnavailable)
		store.before.Store(false)
		var used []int64
		for day, err := range l.Usage(t.Context(), key, day10, begin, time.Now()) {
			require.NoError(t, err)
			used = append(used, day.Used)
		}
		require.Equal(t, []int64{1, 1}, used)
	})
}

// TestCloseAgain: what a store that failed could not be told is told by another Close.
func TestCloseAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Engine: ledger.NewMemory()}
		l, err := ledger.New(ledger.Config{Engine: store, Block: 16})
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, ledger.Quota{Limit: 1000, Period: ledger.Daily}, 3)
		require.NoError(t, err)
		store.before.Store(true)
		for range 2 {
			require.ErrorIs(t, l.Close(), ledger.ErrUnavailable)
			require.NotZero(t, store.state(t).Held)
		}
		store.before.Store(false)
		require.NoError(t, l.Close())
		require.Zero(t, store.state(t).Held)
		require.EqualValues(t, 3, store.state(t).Used)
		calls := store.calls.Load()
		require.NoError(t, l.Close())
		require.Equal(t, calls, store.calls.Load(), "nothing is left to tell")
	})
}

// TestManyOwed: an outage may be as long as it likes: every settlement is made good, out of a few operations.
func TestManyOwed(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		const n = 70_000
		q := ledger.Quota{Limit: 1 << 30, Period: ledger.Daily}
		charges := make([]ledger.Charge, n)
		var err error
		for i := range charges {
			charges[i], err = l.Take(t.Context(), key, q, 3)
			require.NoError(t, err)
		}
		time.Sleep(24 * time.Hour) // so that they are not for a lease
		_, err = l.Balance(t.Context(), key, q)
		require.NoError(t, err)
		store.before.Store(true)
		for i := range charges {
			if i == n/2 {
				time.Sleep(time.Second)
			}
			if err := charges[i].Settle(t.Context(), 2+int64(i%2)*2); !errors.Is(err, ledger.ErrUnavailable) { // a refund, a true-up
				t.Fatal(err)
			}
			_, err := l.Take(t.Context(), key, q, 1)
			require.ErrorIs(t, err, ledger.ErrUnavailable)
		}
		store.before.Store(false)
		time.Sleep(time.Second)
		calls := store.calls.Load()
		_, err = l.Balance(t.Context(), key, q)
		require.NoError(t, err)
		require.LessOrEqual(t, store.calls.Load()-calls, int64(6))
		require.EqualValues(t, 3*n, store.state(t).Used)
		require.Zero(t, store.state(t).Held)
	})
}

// TestPanic: a store that panics is unavailable; it does not block the ledger.
func TestPanic(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		store.panics.Store(true)
		_, err := l.Take(t.Context(), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.ErrorContains(t, err, "engine panicked: fault")
		store.panics.Store(false)
		time.Sleep(time.Second)
		_, err = l.Take(t.Context(), key, day10, 10)
		require.NoError(t, err)
	})
}

// countedSlots are slots that count how many are open. They keep nothing.
type countedSlots struct{ open atomic.Int64 }

func (s *countedSlots) Claim() ([]ledger.OpenLease, error) { return nil, nil }
func (s *countedSlots) Clear() error                       { return nil }

func (s *countedSlots) Open(ledger.OpenLease) (ledger.Slot, error) {
	s.open.Add(1)
	return countedSlot{s}, nil
}

type countedSlot struct{ of *countedSlots }

func (countedSlot) Note(int64) error { return nil }
func (s countedSlot) Free()          { s.of.open.Add(-1) }

// TestSlotsFreed: an outage costs no slots: that of a lease is free again when its return comes through.
func TestSlotsFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, slots := &faulty{Engine: ledger.NewMemory()}, new(countedSlots)
		l, err := ledger.New(ledger.Config{Engine: store, Slots: slots})
		require.NoError(t, err)
		for range 20 {
			for _, fault := range []*atomic.Bool{&store.before, &store.after} {
				_, err = l.Take(t.Context(), key, day10, 1)
				require.NoError(t, err)
				fault.Store(true)
				raised := day10
				raised.Limit++
				for range 5 {
					_, err = l.Take(t.Context(), key, raised, 1)
					require.ErrorIs(t, err, ledger.ErrUnavailable)
					time.Sleep(100 * time.Millisecond)
				}
				fault.Store(false)
				time.Sleep(time.Second)
				_, err = l.Correct(t.Context(), key, day10, ledger.Adjustment{Delta: -1})
				require.NoError(t, err)
				require.LessOrEqual(t, slots.open.Load(), int64(1))
			}
		}
		require.NoError(t, l.Close())
		require.Zero(t, slots.open.Load())
	})
}

func TestTimeout(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		store.hang.Store(true)
		start := time.Now()
		_, err := l.Take(t.Context(), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(start))
		store.hang.Store(false)
		time.Sleep(time.Second)
		_, err = l.Take(t.Context(), key, day10, 10)
		require.NoError(t, err)
	})
}

// TestGivenUp: a request that ends while it waits for its turn takes nothing.
func TestGivenUp(t *testing.T) {
	inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
		_, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		store.hang.Store(true)
		go func() { _, _ = l.Take(context.Background(), key, day10, 3) }() // holds the store for five seconds
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err = l.Take(ctx, key, day10, 3)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, time.Second, time.Since(start))
		store.hang.Store(false)
		time.Sleep(10 * time.Second)
		_, err = l.Take(t.Context(), key, day10, 9)
		require.NoError(t, err)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = l.Take(ended, key, day10, 1)
		require.Error(t, err)
	})
}

// TestGivenUpAtTheEnd: the caller whose request ends a lease gives up, at once or while the store is busy. What the
// lease had spent stays counted, and what it held comes back.
func TestGivenUpAtTheEnd(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Second} {
		inFakeTime(t, func(t *testing.T, l *ledger.Ledger, store *faulty) {
			for range 3 {
				_, err := l.Take(t.Context(), key, day10, 1)
				require.NoError(t, err)
			}
			store.hang.Store(true)
			go func() { _, _ = l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: "another"}, day10, 1) }()
			synctest.Wait()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			lowered := ledger.Quota{Limit: 9, Period: ledger.Daily}
			_, err := l.Take(ctx, key, lowered, 1)
			require.ErrorIs(t, err, ledger.ErrUnavailable)
			store.hang.Store(false)
			time.Sleep(10 * time.Second)
			b, err := l.Balance(t.Context(), key, lowered)
			require.NoError(t, err)
			require.EqualValues(t, 3, b.Used)
			require.NoError(t, l.Close())
			require.Zero(t, store.state(t).Held)
		})
	}
}

// TestNothingCrossed: a charge that fails, and is made and given back when the store is there again, crosses no
// threshold.
func TestNothingCrossed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &faulty{Engine: ledger.NewMemory()}
		var crossed []int
		l, err := ledger.New(ledger.Config{Engine: store, Exact: true, OnThreshold: func(c ledger.Crossing) { crossed = append(crossed, c.Percent) }})
		require.NoError(t, err)
		q := ledger.Quota{Limit: 100, Period: ledger.Daily}
		store.before.Store(true)
		_, err = l.Take(t.Context(), key, q, 90)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		store.before.Store(false)
		time.Sleep(time.Second)
		_, err = l.Take(t.Context(), key, q, 1)
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, q, 60)
		require.NoError(t, err)
		require.NoError(t, l.Close())
		require.Equal(t, []int{50}, crossed)
	})
}

// gate is an engine whose first answer waits.
type gate struct {
	ledger.Engine
	once          sync.Once
	entered, open chan struct{}
}

func (g *gate) Update(ctx context.Context, keys []string, f func(int, []byte) ([]byte, error)) error {
	g.once.Do(func() {
		close(g.entered)
		<-g.open
	})
	return g.Engine.Update(ctx, keys, f)
}

// late is the context of a request that is held up when it begins to wait.
type late struct {
	context.Context
	once         sync.Once
	waiting, let chan struct{}
}

func (l *late) Done() <-chan struct{} {
	l.once.Do(func() { close(l.waiting) })
	<-l.let
	return l.Context.Done()
}

// TestTakeOutlivesClose: a take that began before Close and comes to its turn after it opens no lease, which nobody
// would end.
func TestTakeOutlivesClose(t *testing.T) {
	store := &gate{Engine: ledger.NewMemory(), entered: make(chan struct{}), open: make(chan struct{})}
	l, err := ledger.New(ledger.Config{Engine: store})
	require.NoError(t, err)
	take := func(ctx context.Context) <-chan error {
		done := make(chan error, 1)
		go func() {
			_, err := l.Take(ctx, key, day10, 1)
			done <- err
		}()
		return done
	}
	first := take(t.Context())
	<-store.entered
	ctx := &late{Context: t.Context(), waiting: make(chan struct{}), let: make(chan struct{})}
	second := take(ctx)
	<-ctx.waiting
	close(store.open)
	require.NoError(t, <-first)
	require.NoError(t, l.Close())
	close(ctx.let)
	require.ErrorIs(t, <-second, ledger.ErrClosed)
	for s, err := range ledger.Accounts(t.Context(), store, key) {
		require.NoError(t, err)
		require.EqualValues(t, 1, s.Used)
		require.Zero(t, s.Held)
		require.Zero(t, s.Leases)
	}
}

// refusingSlots are slots that can refuse to be written.
type refusingSlots struct {
	countedSlots
	refuse atomic.Bool
}

func (s *refusingSlots) Open(ledger.OpenLease) (ledger.Slot, error) { return refusing{&s.refuse}, nil }

type refusing struct{ refuse *atomic.Bool }

func (r refusing) Note(int64) error {
	if r.refuse.Load() {
		return errFault
	}
	return nil
}
func (refusing) Free() {}

// TestNoteFailsInTurn: a take that cannot be noted gives back what it took, also from a lease that holds more than what
// settlements may fill it with, and while it keeps others from changing the lease.
func TestNoteFailsInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, slots := &slow{Engine: ledger.NewMemory()}, new(refusingSlots)
		l, err := ledger.New(ledger.Config{Engine: store, Slots: slots, Block: 8})
		require.NoError(t, err)
		large, err := l.Take(t.Context(), key, daily(1000), 90)
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() { // keeps the turn for a millisecond
			_, err := l.Balance(t.Context(), key, daily(1000))
			require.NoError(t, err)
		})
		synctest.Wait()
		wg.Go(func() { // waits for it, for the lease is empty
			_, err := l.Take(t.Context(), key, daily(1000), 1)
			require.ErrorIs(t, err, ledger.ErrUnavailable)
		})
		synctest.Wait()
		require.NoError(t, large.Settle(t.Context(), 0))
		slots.refuse.Store(true)
		wg.Wait()
		require.NoError(t, l.Close())
		for s, err := range ledger.Accounts(t.Context(), store, key) {
			require.NoError(t, err)
			require.Equal(t, [2]int64{0, 0}, [2]int64{s.Used, s.Held})
		}
	})
}
