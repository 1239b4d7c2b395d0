package ledger_test

import (
	"context"
	"errors"
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
