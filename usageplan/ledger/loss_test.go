package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

// snapshot copies the rows of an engine.
func snapshot(t *testing.T, e ledger.Engine) map[string][]byte {
	rows := make(map[string][]byte)
	for key, err := range e.Keys(t.Context(), "") {
		require.NoError(t, err)
		row, err := e.Load(t.Context(), key)
		require.NoError(t, err)
		rows[key] = row
	}
	return rows
}

// restore makes the rows of an engine those of a snapshot, as if it had lost what came later.
func restore(t *testing.T, e ledger.Engine, rows map[string][]byte) {
	for key := range snapshot(t, e) {
		require.NoError(t, e.Update(t.Context(), []string{key}, func(int, []byte) ([]byte, error) {
			return append([]byte{}, rows[key]...), nil
		}))
	}
}

// losses collects what OnLoss is told.
type losses struct {
	mu  sync.Mutex
	all []ledger.Account
}

func (l *losses) tell(a ledger.Account) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, a)
}

func (l *losses) count() int {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

// TestLossIsToldOnce: a ledger notices that the engine has lost writes of a key, of which it tells once.
func TestLossIsToldOnce(t *testing.T) {
	for _, all := range []bool{false, true} {
		var told *losses
		overTelling := func(a ledger.Account) { told.tell(a) }
		overCounted(t, ledger.Config{OnLoss: overTelling, Block: 64}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
			told = new(losses)
			take := func() {
				_, err := l.Take(t.Context(), key, daily(10_000), 90)
				require.NoError(t, err)
			}
			take()
			before := snapshot(t, engine)
			if all {
				before = nil
			}
			for range 10 {
				take()
			}
			require.Zero(t, told.count())
			for n := range 2 {
				restore(t, engine, before)
				for range 20 {
					take()
				}
				require.Equal(t, n+1, told.count(), "all %v", all)
				require.Equal(t, key, told.all[n].Key)
			}
		})
	}
}

// TestOneLostWriteIsTold, once, by whatever asks the engine next. The lost write is a charge, a block of a lease, or an
// extension; with the last, a leased ledger returns its lease.
func TestOneLostWriteIsTold(t *testing.T) {
	quota := daily(10_000)
	next := map[string]func(t *testing.T, l *ledger.Ledger, c ledger.Charge) error{
		"take": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) error {
			_, err := l.Take(t.Context(), key, quota, 100)
			return err
		},
		"give back": func(t *testing.T, _ *ledger.Ledger, c ledger.Charge) error { return c.Settle(t.Context(), 0) },
		"true up":   func(t *testing.T, _ *ledger.Ledger, c ledger.Charge) error { return c.Settle(t.Context(), 1000) },
		"balance": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) error {
			_, err := l.Balance(t.Context(), key, quota)
			return err
		},
		"extend": func(t *testing.T, l *ledger.Ledger, _ ledger.Charge) error {
			_, err := l.Extend(t.Context(), key, quota, ledger.Adjustment{Delta: 5})
			return err
		},
		"close": func(_ *testing.T, l *ledger.Ledger, _ ledger.Charge) error { return l.Close() },
	}
	for name, next := range next {
		for _, exact := range []bool{true, false} {
			for _, lost := range []string{"take", "extend"} {
				if name == "close" && (exact || lost == "extend") {
					continue // without a lease, Close asks nothing
				}
				t.Run(fmt.Sprintf("%s is lost, %s is next, exact %v", lost, name, exact), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						told, engine := new(losses), ledger.NewMemory()
						c := ledger.Config{Engine: engine, OnLoss: told.tell, Exact: exact, Block: 16, Thresholds: []int{}}
						l := newLedger(t, c)
						first, err := l.Take(t.Context(), key, quota, 1)
						require.NoError(t, err)
						synctest.Wait()
						before := snapshot(t, engine)
						if lost == "take" {
							_, err = l.Take(t.Context(), key, quota, 30)
						} else {
							_, err = l.Extend(t.Context(), key, quota, ledger.Adjustment{Delta: 5})
						}
						require.NoError(t, err)
						synctest.Wait()
						require.NotEqual(t, before, snapshot(t, engine))
						restore(t, engine, before)
						_ = next(t, l, first)
						_ = l.Close()
						synctest.Wait()
						require.Equal(t, 1, told.count())
					})
				})
			}
		}
	}
}

// TestLossDuringAnOutageIsToldOnce: the lease that was open before the outage is returned after it, and another is open
// by then. Whatever the first answer is about, both belong to the loss that it shows.
func TestLossDuringAnOutageIsToldOnce(t *testing.T) {
	for _, settles := range []bool{false, true} {
		told := new(losses)
		overCounted(t, ledger.Config{OnLoss: told.tell, Block: 16, Thresholds: []int{}}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
			take := func(cost int64) error {
				_, err := l.Take(t.Context(), key, daily(1000), cost)
				return err
			}
			before := snapshot(t, engine)
			c, err := l.Take(t.Context(), key, daily(1000), 5)
			require.NoError(t, err)
			require.NoError(t, take(30))
			synctest.Wait()
			engine.before.Store(true)
			if settles {
				require.Error(t, c.Settle(t.Context(), 300))
			}
			for range 4 {
				require.Error(t, take(50))
				time.Sleep(time.Second)
			}
			engine.before.Store(false)
			restore(t, engine, before)
			for range 50 {
				require.NoError(t, take(1))
				time.Sleep(time.Second)
			}
			require.NoError(t, l.Close())
			require.Equal(t, 1, told.count(), "settles %v", settles)
			told.all = nil
		})
	}
}

// TestLossThatCloseNoticesIsTold: the engine does not know the lease that Close returns. OnLoss may use the ledger,
// which is closed by then.
func TestLossThatCloseNoticesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, engine, observed := new(losses), ledger.NewMemory(), 0
		var l *ledger.Ledger
		l, err := ledger.New(ledger.Config{
			Engine: engine,
			OnLoss: func(a ledger.Account) {
				_, err := l.Balance(t.Context(), a.Key, daily(1000))
				require.ErrorIs(t, err, ledger.ErrUnavailable)
				told.tell(a)
			},
			Observe: func(_ context.Context, e ledger.Event) {
				if e.Operation == "loss" {
					observed++
				}
			},
		})
		require.NoError(t, err)
		_, err = l.Take(t.Context(), key, daily(1000), 3)
		require.NoError(t, err)
		restore(t, engine, nil)
		require.NoError(t, l.Close())
		require.NoError(t, l.Close())
		require.Equal(t, [2]int{1, 1}, [2]int{len(told.all), observed})
		require.Equal(t, key, told.all[0].Key)
		require.EqualValues(t, 3, account(t, engine, key).Used)
	})
}

// TestLossOfOthersIsNotTold: keys that have lost nothing are not told.
func TestLossOfOthersIsNotTold(t *testing.T) {
	told := new(losses)
	overCounted(t, ledger.Config{OnLoss: told.tell}, func(t *testing.T, l *ledger.Ledger, engine *faulty) {
		other := newLedger(t, ledger.Config{Engine: engine, OnLoss: told.tell})
		for day := range 5 {
			for range 50 {
				c, err := l.Take(t.Context(), key, daily(1000), 3)
				require.NoError(t, err)
				_, err = other.Take(t.Context(), key, daily(1000), 3)
				require.NoError(t, err)
				require.NoError(t, c.Settle(t.Context(), int64(day)))
			}
			time.Sleep(20 * time.Hour)
		}
		require.Zero(t, told.count())
	})
}

// TestLostLeaseIsCountedAgain: what was admitted from a lease that the engine has lost is counted again, so that the
// limit holds.
func TestLostLeaseIsCountedAgain(t *testing.T) {
	for _, all := range []bool{false, true} {
		for _, ending := range []bool{false, true} { // the loss is noticed when the lease is returned, not with a refill
			synctest.Test(t, func(t *testing.T) {
				const limit = 10_000
				engine := ledger.NewMemory()
				l := newLedger(t, ledger.Config{Engine: engine, Block: 256, Thresholds: []int{}})
				admitted := int64(0)
				take := func(cost int64) (err error) {
					if _, err = l.Take(t.Context(), key, daily(limit), cost); err == nil {
						admitted += cost
					}
					return err
				}
				require.NoError(t, take(100))
				lost := snapshot(t, engine)
				if all {
					lost = nil
				}
				for range 1000 {
					require.NoError(t, take(5))
				}
				restore(t, engine, lost)
				if ending {
					_, err := l.Correct(t.Context(), key, daily(limit), ledger.Adjustment{})
					require.NoError(t, err)
				}
				var err error
				for err == nil {
					err = take(1)
				}
				require.ErrorIs(t, err, ledger.ErrExhausted)
				require.LessOrEqual(t, admitted, int64(limit), "all %v, ending %v", all, ending)
				require.NoError(t, l.Close())
				s := account(t, engine, key)
				require.Equal(t, [2]int64{limit, 0}, [2]int64{s.Used, s.Held}, "all %v, ending %v", all, ending)
			})
		}
	}
}

// clocked is an engine with a clock of its own.
type clocked struct {
	ledger.Engine
	now time.Time
	err error
}

func (c *clocked) Now(context.Context) (time.Time, error) { return c.now, c.err }

// TestClockAheadBeginsNoPeriod: a machine whose clock is ahead of the engine's is refused, and begins no period for
// others. Once its clock is right, it goes on in the period that is running.
func TestClockAheadBeginsNoPeriod(t *testing.T) {
	for _, exact := range []bool{false, true} {
		engine := &clocked{Engine: ledger.NewMemory(), now: noon}
		ahead := newLedger(t, ledger.Config{Engine: engine, Exact: exact})
		right := newLedger(t, ledger.Config{Engine: engine, Exact: exact})
		_, err := right.TakeAt(t.Context(), noon, key, day10, 1)
		require.NoError(t, err)
		tomorrow := noon.AddDate(0, 0, 1)
		for range 3 {
			_, err = ahead.TakeAt(t.Context(), tomorrow, key, day10, 1)
			require.ErrorIs(t, err, ledger.ErrUnavailable)
			require.ErrorContains(t, err, "clock is ahead")
			_, err = ahead.BalanceAt(t.Context(), tomorrow, key, day10)
			if err != nil { // it may also tell that nothing is used yet
				require.ErrorContains(t, err, "clock is ahead")
			}
			_, err = ahead.ExtendAt(t.Context(), tomorrow, key, day10, ledger.Adjustment{Delta: 5})
			require.ErrorContains(t, err, "clock is ahead")
			c, err := right.TakeAt(t.Context(), noon, key, day10, 1)
			require.NoError(t, err)
			require.Equal(t, 24, c.Balance().Start.Day())
		}
		c, err := ahead.TakeAt(t.Context(), noon, key, day10, 1)
		require.NoError(t, err, "its clock has been set right")
		require.Equal(t, 24, c.Balance().Start.Day())
		engine.now = tomorrow
		c, err = ahead.TakeAt(t.Context(), tomorrow, key, day10, 1)
		require.NoError(t, err)
		require.Equal(t, 25, c.Balance().Start.Day())
		engine.now, engine.err = tomorrow, errors.New("no clock")
		_, err = ahead.TakeAt(t.Context(), tomorrow.AddDate(0, 0, 1), key, day10, 1)
		require.ErrorIs(t, err, ledger.ErrUnavailable)
		engine.err = nil
		time.Sleep(100 * time.Millisecond) // the pause after a failure
	}
}

// TestSilentClockStopsNewAccountsAlone: while the engine does not tell its time, no account begins. The others go on,
// also in the same commit, and nothing of the refused ones is left when it tells the time again.
func TestSilentClockStopsNewAccountsAlone(t *testing.T) {
	for _, exact := range []bool{false, true} {
		engine := &clocked{Engine: ledger.NewMemory(), now: noon}
		l := newLedger(t, ledger.Config{Engine: engine, Exact: exact, Block: 1, Thresholds: []int{}})
		fresh := ledger.Key{Plan: "basic", Subject: "new"}
		take := func(k ledger.Key) error {
			_, err := l.TakeAt(t.Context(), noon, k, day10, 1)
			return err
		}
		require.NoError(t, take(key))
		engine.err = errors.New("no clock")
		for range 3 {
			err := take(fresh)
			require.ErrorIs(t, err, ledger.ErrUnavailable)
			require.ErrorIs(t, err, engine.err)
			require.NoError(t, take(key))
		}
		engine.err = nil
		require.NoError(t, take(fresh))
		require.NoError(t, l.Close())
		require.EqualValues(t, 1, account(t, engine, fresh).Used, "exact %v", exact)
		require.EqualValues(t, 4, account(t, engine, key).Used, "exact %v", exact)
	}
}

// TestLeaseInUseOutlivesCrashesOfOthers: each crash leaves a lease, and an account knows no more than 256. It forgets
// one that has reported nothing for long, not the one in use: what that had spent would be counted twice.
func TestLeaseInUseOutlivesCrashesOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, engine := new(losses), ledger.NewMemory()
		l := newLedger(t, ledger.Config{Engine: engine, Block: 16, OnLoss: told.tell})
		take := func(l *ledger.Ledger) {
			_, err := l.Take(t.Context(), key, daily(100_000), 1)
			require.NoError(t, err)
		}
		const crashes = 300
		for range crashes {
			take(newLedger(t, ledger.Config{Engine: engine, Block: 1, Thresholds: []int{}}))
			for range 16 {
				take(l)
			}
		}
		require.NoError(t, l.Close())
		require.Zero(t, told.count())
		a := account(t, engine, key)
		require.EqualValues(t, crashes*16, a.Used-a.Held)
	})
}
