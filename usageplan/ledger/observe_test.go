package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// events collects what Observe is told.
type events struct {
	mu  sync.Mutex
	all []ledger.Event
}

func (e *events) observe(_ context.Context, event ledger.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, event)
}

// take returns what has been told since the last take.
func (e *events) take() []ledger.Event {
	synctest.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.all
	e.all = nil
	return all
}

// words are events in short: a call of the engine by its size, an operation by granted, spent, returned and forgiven.
func words(all []ledger.Event) (short []string) {
	for _, e := range all {
		s := fmt.Sprintf("%s %d", e.Operation, e.Size)
		if e.Account != (ledger.Account{}) {
			s = fmt.Sprintf("%s %d %d %d %d", e.Operation, e.Granted, e.Spent, e.Returned, e.Forgiven)
		}
		if e.Reason != "" {
			s += " " + e.Reason
		}
		short = append(short, s)
	}
	return short
}

func TestLeaseTellsWhatItIsGrantedAndSpends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := new(events)
		l, err := ledger.New(ledger.Config{Engine: ledger.NewMemory(), Observe: told.observe, Thresholds: []int{}})
		require.NoError(t, err)
		take := func(cost int64) ledger.Charge {
			t.Helper()
			c, err := l.Take(t.Context(), key, daily(1000), cost)
			require.NoError(t, err)
			return c
		}
		take(1)
		first := told.take()
		require.Equal(t, []string{"update 1", "commit 1", "reserve 16 0 0 0"}, words(first))
		for range 5 {
			require.NoError(t, take(1).Settle(t.Context(), 0))
		}
		take(7)
		require.Empty(t, told.take(), "a take and a settlement that the lease grants")
		take(1)
		second := told.take()
		require.Equal(t, []string{"update 1", "commit 1", "reserve 57 9 0 0"}, words(second))
		require.NoError(t, l.Close())
		last := told.take()
		require.Equal(t, []string{"update 1", "commit 1", "return 0 0 64 0"}, words(last))
		for _, e := range []ledger.Event{first[2], second[2], last[2]} {
			require.Equal(t, key, e.Account.Key)
			require.Equal(t, first[2].Lease, e.Lease)
			require.NotZero(t, e.Lease)
		}
	})
}

func TestExactTellsEachOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := new(events)
		l := newLedger(t, ledger.Config{Exact: true, Stale: -1, Observe: told.observe, Thresholds: []int{}})
		c, err := l.Take(t.Context(), key, day10, 4)
		require.NoError(t, err)
		require.Equal(t, []string{"update 1", "commit 1", "charge 4 4 0 0"}, words(told.take()))
		_, err = l.Take(t.Context(), key, day10, 7)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		require.Equal(t, []string{"update 1", "commit 1", "charge 0 0 0 0 exhausted"}, words(told.take()))
		require.NoError(t, c.Settle(t.Context(), 1))
		require.Equal(t, []string{"update 1", "commit 1", "refund 0 -3 3 0"}, words(told.take()))
		c, err = l.Take(t.Context(), key, day10, 5)
		require.NoError(t, err)
		told.take()
		require.ErrorIs(t, c.Settle(t.Context(), 12), ledger.ErrForgiven)
		require.Equal(t, []string{"update 1", "commit 1", "true_up 4 4 0 3 forgiven"}, words(told.take()))
		_, err = l.Extend(t.Context(), key, day10, ledger.Adjustment{Delta: 5})
		require.NoError(t, err)
		require.Equal(t, []string{"update 1", "commit 1"}, words(told.take()), "an adjustment is part of a commit")
	})
}

// TestFailingEngineIsTold: each way to fail has its word, and the error for the log.
func TestFailingEngineIsTold(t *testing.T) {
	for name, c := range map[string]struct {
		fail func(*faulty)
		want []string
	}{
		"error":       {func(f *faulty) { f.before.Store(true) }, []string{"update 1 failed", "commit 1 failed"}},
		"lost answer": {func(f *faulty) { f.after.Store(true) }, []string{"update 1 failed", "commit 1 failed"}},
		"timeout":     {func(f *faulty) { f.hang.Store(true) }, []string{"update 1 timeout", "commit 1 timeout"}},
		"panic":       {func(f *faulty) { f.panics.Store(true) }, []string{"commit 1 failed"}},
	} {
		t.Run(name, func(t *testing.T) {
			told := new(events)
			overCounted(t, ledger.Config{Observe: told.observe, Timeout: 3 * time.Second}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
				told.take() // what the other mode has cleared up
				c.fail(engine)
				_, err := l.Take(t.Context(), key, day10, 1)
				require.ErrorIs(t, err, ledger.ErrUnavailable)
				all := told.take()
				require.Equal(t, c.want, words(all))
				for _, e := range all {
					require.Error(t, e.Err)
					if e.Reason == "timeout" {
						require.Equal(t, 3*time.Second, e.Duration)
					}
				}
				engine.before.Store(false)
				engine.after.Store(false)
				engine.hang.Store(false)
				engine.panics.Store(false)
				time.Sleep(time.Second)
			})
		})
	}
}

// TestForgivenInOutageIsTold: a true-up that fails is made later, when nobody is left who could be told that a part of
// it is forgiven.
func TestForgivenInOutageIsTold(t *testing.T) {
	told := new(events)
	overCounted(t, ledger.Config{Observe: told.observe}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
		c, err := l.Take(t.Context(), key, day10, 4)
		require.NoError(t, err)
		engine.before.Store(true)
		require.ErrorIs(t, c.Settle(t.Context(), 14), ledger.ErrUnavailable)
		require.Positive(t, l.Stats().Owed)
		engine.before.Store(false)
		time.Sleep(time.Second)
		_, err = l.Take(t.Context(), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrExhausted)
		require.Contains(t, words(told.take()), "true_up 6 6 0 4 forgiven")
		require.EqualValues(t, 4, l.Stats().Forgiven)
		require.Zero(t, l.Stats().Owed)
	})
}

// TestUnitsOfEventsAddUp: whatever fails, what the events say is what the engine has counted, and nothing is told
// twice.
func TestUnitsOfEventsAddUp(t *testing.T) {
	rounds := uint64(20)
	if heavy() {
		rounds = 400
	}
	for seed := range rounds {
		told := new(events)
		overCounted(t, ledger.Config{Observe: told.observe, Block: 64}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
			told.take()
			random := rand.New(rand.NewPCG(seed, 1))
			charges := []ledger.Charge{{}}
			for range 400 {
				switch random.IntN(20) {
				case 0:
					engine.before.Store(random.IntN(2) == 0)
				case 1:
					engine.after.Store(random.IntN(2) == 0)
				case 2:
					time.Sleep(time.Duration(random.IntN(3)) * 10 * time.Hour)
				case 8, 9:
					_ = charges[random.IntN(len(charges))].More(t.Context(), random.Int64N(30)-10)
				case 3, 4, 5, 6, 7:
					_ = charges[random.IntN(len(charges))].Settle(t.Context(), random.Int64N(20))
				default:
					time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond)
					if c, err := l.Take(t.Context(), key, daily(3000), random.Int64N(20)); err == nil {
						charges = append(charges, c)
					}
				}
			}
			engine.before.Store(false)
			engine.after.Store(false)
			time.Sleep(time.Second)
			require.NoError(t, l.Close())
			var sum ledger.Stats
			for _, e := range told.take() {
				sum.Granted += e.Granted
				sum.Spent += e.Spent
				sum.Returned += e.Returned
				sum.Forgiven += e.Forgiven
			}
			_, used := days(t, engine)
			require.Equal(t, used, sum.Spent, "seed %d", seed)
			require.Equal(t, sum.Granted, sum.Spent+sum.Returned, "seed %d", seed)
			stats := l.Stats()
			require.Zero(t, [4]int64{stats.Leases, stats.Reserved, stats.Queue, stats.Owed}, "seed %d", seed)
			stats.Keys = 0
			require.Equal(t, sum, stats, "seed %d", seed)
		})
	}
}

// TestLossIsObserved: as OnLoss is told.
func TestLossIsObserved(t *testing.T) {
	told := new(events)
	overCounted(t, ledger.Config{Observe: told.observe, Block: 16}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
		take := func() {
			_, err := l.Take(t.Context(), key, daily(1000), 16)
			require.NoError(t, err)
		}
		take()
		take()
		told.take()
		restore(t, engine, nil)
		take()
		take()
		losses, lost := 0, 0
		for _, e := range told.take() {
			if e.Operation == "loss" {
				losses++
				require.Equal(t, key, e.Account.Key)
			}
			if e.Reason == "lost" {
				lost++
				require.Zero(t, [3]int64{e.Granted, e.Spent, e.Returned})
			}
		}
		require.Equal(t, 1, losses)
		if l.Stats().Leases > 0 {
			require.Positive(t, lost, "the lease that the engine does not know any more")
		}
	})
}

// TestOlderDayIsTold: a ledger asks for a day, but another ledger has begun the next one. The engine's answer says so,
// and the ledger asks again.
func TestOlderDayIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, engine := new(events), ledger.NewMemory()
		behind := newLedger(t, ledger.Config{Engine: engine, Exact: true, Observe: told.observe})
		ahead := newLedger(t, ledger.Config{Engine: engine, Exact: true})
		_, err := ahead.TakeAt(t.Context(), noon.AddDate(0, 0, 1), key, day10, 1)
		require.NoError(t, err)
		_, err = behind.TakeAt(t.Context(), noon, key, day10, 1)
		require.NoError(t, err)
		require.Equal(t, []string{
			"update 1", "commit 1", "charge 0 0 0 0 stale",
			"update 1", "commit 1", "charge 1 1 0 0",
		}, words(told.take()))
	})
}

// TestReadersAreTold: calls outside of commits get the context of their caller.
func TestReadersAreTold(t *testing.T) {
	type mark struct{}
	ctx := context.WithValue(t.Context(), mark{}, "caller")
	var all []ledger.Event
	l := newLedger(t, ledger.Config{Exact: true, Observe: func(ctx context.Context, e ledger.Event) {
		if ctx.Value(mark{}) == "caller" {
			all = append(all, e)
		}
	}})
	for _, subject := range []string{"a", "b", "c"} {
		_, err := l.Take(ctx, ledger.Key{Plan: "p", Subject: subject}, day10, 1)
		require.NoError(t, err)
	}
	require.Empty(t, all, "a commit is for many callers")
	for range l.Keys(ctx, "p") {
	}
	for range l.Keys(ctx, "p") {
		break
	}
	require.Equal(t, []string{"keys 3", "keys 1"}, words(all))
	for _, err := range l.Adjustments(ctx, ledger.Key{Plan: "p", Subject: "a"}, noon, noon) {
		require.NoError(t, err)
	}
	require.Equal(t, "load 1", words(all)[2])
}

// TestIterationIsTimedWithoutItsCaller: what the caller does between two keys takes as long as it likes.
func TestIterationIsTimedWithoutItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := new(events)
		l := newLedger(t, ledger.Config{Exact: true, Observe: told.observe})
		_, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		told.take()
		for range l.Keys(t.Context(), key.Plan) {
			time.Sleep(time.Hour)
		}
		require.Zero(t, told.take()[0].Duration)
	})
}

// TestClockIsTold: the engine's clock is a call as well, and a period that has not begun has its word.
func TestClockIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := new(events)
		engine := &clocked{Engine: ledger.NewMemory(), now: noon}
		l := newLedger(t, ledger.Config{Engine: engine, Exact: true, Observe: told.observe})
		_, err := l.TakeAt(t.Context(), noon.AddDate(0, 0, 1), key, day10, 1)
		require.ErrorContains(t, err, "clock is ahead")
		require.Equal(t, []string{"update 1", "clock 0", "update 1", "commit 1", "charge 0 0 0 0 early"}, words(told.take()))
		engine.err = errFault
		_, err = l.TakeAt(t.Context(), noon.AddDate(0, 0, 1), key, day10, 1)
		require.ErrorIs(t, err, errFault)
		require.Equal(t, []string{"update 1", "clock 0 failed", "commit 1", "charge 0 0 0 0 failed"}, words(told.take()))
		engine.err = nil
		time.Sleep(time.Second)
	})
}

// TestPanicOfObserveLeavesTheQueueMoving: it reaches the caller that leads the commit, and nobody else.
func TestPanicOfObserveLeavesTheQueueMoving(t *testing.T) {
	var panics bool
	l := newLedger(t, ledger.Config{Exact: true, Observe: func(context.Context, ledger.Event) {
		if panics {
			panic("observer")
		}
	}})
	for n := range 3 {
		panics = true
		require.PanicsWithValue(t, "observer", func() { _, _ = l.Take(t.Context(), key, day10, 1) })
		panics = false
		c, err := l.Take(t.Context(), key, day10, 1)
		require.NoError(t, err)
		require.EqualValues(t, 2*n+2, c.Balance().Used, "what was granted before the panic stays counted")
	}
}

// TestPanicOfObserveInASettlementIsOfOneCaller: one goroutine has the answers of all settlements of a key that wait.
// The others return, and all are counted once.
func TestPanicOfObserveInASettlementIsOfOneCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var panics int // to come
		engine := ledger.NewMemory()
		l := newLedger(t, ledger.Config{Engine: engine, Block: 16, Observe: func(_ context.Context, e ledger.Event) {
			if panics > 0 && e.Operation == "commit" {
				panics--
				time.Sleep(time.Second) // the others wait for the turn meanwhile
				panic("observer")
			}
		}})
		charges := make([]ledger.Charge, 5)
		for i := range charges {
			var err error
			charges[i], err = l.Take(t.Context(), key, daily(1000), 3)
			require.NoError(t, err)
		}
		synctest.Wait() // a refill in the background has no caller that could recover
		panics = 2
		panicked, unanswered := make(chan any, len(charges)), make(chan error, len(charges))
		for _, c := range charges {
			go func() {
				defer func() { panicked <- recover() }()
				unanswered <- c.Settle(t.Context(), 50)
			}()
			time.Sleep(100 * time.Millisecond) // the first one is alone in its commit
		}
		counts := make(map[any]int)
		for range charges {
			counts[<-panicked]++
		}
		require.Equal(t, map[any]int{"observer": 2, nil: 3}, counts, "one settles alone, and one for the four that wait")
		for range counts[nil] {
			require.ErrorIs(t, <-unanswered, ledger.ErrUnavailable)
		}
		require.NoError(t, l.Close())
		require.EqualValues(t, 5*50, account(t, engine, key).Used)
	})
}

// TestReturnOfKilledLeaseIsTold: a new ledger tells what it gives back of leases that a crash has left.
func TestReturnOfKilledLeaseIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, engine, slots := new(events), ledger.NewMemory(), new(keptSlots)
		killed, err := ledger.New(ledger.Config{Engine: engine, Slots: slots})
		require.NoError(t, err)
		_, err = killed.Take(t.Context(), key, daily(1000), 3)
		require.NoError(t, err)
		newLedger(t, ledger.Config{Engine: engine, Slots: slots, Observe: told.observe})
		require.Equal(t, []string{"update 1", "commit 1", "return 0 0 13 0"}, words(told.take()))
	})
}

// TestReturnOfUnknownLeaseIsTold: the slot of a crash names a lease that the engine does not have any more.
func TestReturnOfUnknownLeaseIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, engine, slots := new(events), ledger.NewMemory(), new(keptSlots)
		killed, err := ledger.New(ledger.Config{Engine: engine, Slots: slots})
		require.NoError(t, err)
		_, err = killed.Take(t.Context(), key, daily(1000), 3)
		require.NoError(t, err)
		restore(t, engine, nil)
		newLedger(t, ledger.Config{Engine: engine, Slots: slots, Observe: told.observe})
		require.Equal(t, []string{"update 1", "commit 1", "return 0 0 0 0 unknown"}, words(told.take()))
	})
}

func TestStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := &faulty{Engine: ledger.NewMemory()}
		l := newLedger(t, ledger.Config{Engine: engine, Thresholds: []int{}})
		require.Zero(t, l.Stats())
		for i := range 100 {
			_, err := l.Take(t.Context(), ledger.Key{Plan: "p", Subject: fmt.Sprint(i)}, daily(1000), 2)
			require.NoError(t, err)
		}
		require.Equal(t, ledger.Stats{Keys: 100, Leases: 100, Reserved: 1600, Granted: 1600}, l.Stats())
		_, err := l.Take(t.Context(), ledger.Key{Plan: "p", Subject: "0"}, daily(1000), 20)
		require.NoError(t, err)
		require.Equal(t, ledger.Stats{Keys: 100, Leases: 100, Reserved: 1648, Granted: 1650, Spent: 2}, l.Stats())
		engine.hang.Store(true)
		go func() { _, _ = l.Take(t.Context(), ledger.Key{Plan: "p", Subject: "x"}, daily(1000), 1) }()
		synctest.Wait()
		for i := range 5 {
			go func() { _, _ = l.Take(t.Context(), ledger.Key{Plan: "q", Subject: fmt.Sprint(i)}, daily(1000), 1) }()
		}
		synctest.Wait()
		require.EqualValues(t, 5, l.Stats().Queue)
		require.EqualValues(t, 106, l.Stats().Keys)
		time.Sleep(time.Minute)
		require.Zero(t, l.Stats().Queue)
		require.EqualValues(t, 101, l.Stats().Leases, "one more, of which the engine may know")
		require.EqualValues(t, 1, l.Stats().Owed)
		engine.hang.Store(false)
	})
	require.Zero(t, (*ledger.Ledger)(nil).Stats())
	require.Zero(t, new(ledger.Ledger).Stats())
}

// TestUnreadableRowIsTold: the key whose row is damaged is named, and the engine has not failed. A settlement is not
// made then, also after the row has been repaired.
func TestUnreadableRowIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, engine := new(events), ledger.NewMemory()
		l := newLedger(t, ledger.Config{Engine: engine, Exact: true, Observe: told.observe})
		c, err := l.Take(t.Context(), key, day10, 3)
		require.NoError(t, err)
		whole := snapshot(t, engine)
		for row := range whole {
			require.NoError(t, engine.Update(t.Context(), []string{row}, func(int, []byte) ([]byte, error) {
				return []byte("damaged"), nil
			}))
		}
		told.take()
		_, err = l.Take(t.Context(), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		all := told.take()
		require.Equal(t, []string{"update 1", "commit 1", "charge 0 0 0 0 unreadable"}, words(all))
		require.True(t, errors.Is(all[2].Err, ledger.ErrUnavailable))
		require.ErrorIs(t, c.Settle(t.Context(), 1), ledger.ErrUnavailable)
		require.Equal(t, []string{"update 1", "commit 1", "refund 0 0 0 0 unreadable"}, words(told.take()))
		restore(t, engine, whole)
		b, err := l.Balance(t.Context(), key, day10)
		require.NoError(t, err)
		require.EqualValues(t, 3, b.Used)
		require.Zero(t, l.Stats().Owed)
	})
}
