package journal_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// A change acts on a node that follows at once where notifications arrive, and within a second where they do not.
func TestAFollowerHearsWithinASecond(t *testing.T) {
	lost := func(ctx context.Context, _ uint64) error { return hung(ctx) }
	for name, tt := range map[string]struct {
		wait func(context.Context, uint64) error // nil is as it should be
		most time.Duration
		asks int64 // in a minute without changes, at most
	}{
		"notified": {nil, 0, 241},
		"lost":     {lost, 250 * time.Millisecond, 241},
		"broken":   {func(context.Context, uint64) error { return errCut }, 250 * time.Millisecond, 241},
		"eager":    {func(context.Context, uint64) error { return nil }, 250 * time.Millisecond, 490},
		"slow to end": {func(ctx context.Context, _ uint64) error {
			<-ctx.Done()
			time.Sleep(10 * time.Second)
			return ctx.Err()
		}, 250 * time.Millisecond, 241},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 0, true, func(n *network) { n.wait = tt.wait })
				time.Sleep(time.Minute)
				require.LessOrEqual(t, p.asked.Load(), tt.asks)
				require.LessOrEqual(t, p.reader.Age(), 250*time.Millisecond)
				for i := range uint64(50) {
					require.NoError(t, p.writer.put(t.Context(), "x", "a"))
					start := time.Now()
					for at := uint64(0); at <= i; at, _ = p.reader.Position() {
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
					require.LessOrEqual(t, time.Since(start), tt.most+time.Millisecond)
					time.Sleep(time.Duration(i) * 37 * time.Millisecond)
				}
			})
		})
	}
}

// A change acts within a second also if notifications are lost and the next attempt is never answered, as on a
// connection that has died in silence.
func TestAFollowerGivesUpADeadConnectionInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dead atomic.Bool
		p := newPair(t, 0, true, func(n *network) {
			n.wait = func(ctx context.Context, _ uint64) error { return hung(ctx) }
			n.ask = func(ctx context.Context) error {
				if dead.CompareAndSwap(true, false) {
					return hung(ctx)
				}
				return nil
			}
		})
		for i := range uint64(50) {
			time.Sleep(5*time.Second + time.Duration(i)*37*time.Millisecond)
			dead.Store(true)
			require.NoError(t, p.writer.put(t.Context(), "x", "a"))
			time.Sleep(time.Second)
			at, _ := p.reader.Position()
			require.Equal(t, i+1, at)
		}
	})
}

// A request that waits for the attempt of a follower has a second, as if it had made the attempt.
func TestAFollowerIsPatientForRequestsThatWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, time.Second, true, func(n *network) {
			n.wait = func(ctx context.Context, _ uint64) error { return hung(ctx) }
			n.ask = func(ctx context.Context) error {
				select {
				case <-time.After(800 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		time.Sleep(10 * time.Second)
		for range 200 {
			time.Sleep(370 * time.Millisecond)
			_, _, err := p.decide(t)
			require.NoError(t, err)
		}
	})
}

// What a node appends itself is no news, and does not make it deaf for the others.
func TestAFollowerThatWritesHearsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 0, true, nil)
		for i := range uint64(50) {
			require.NoError(t, p.reader.put(t.Context(), "y", "b"))
			require.NoError(t, p.writer.put(t.Context(), "x", "a"))
			time.Sleep(time.Millisecond)
			synctest.Wait()
			revision, _ := p.reader.Position()
			require.Equal(t, 2*(i+1), revision)
		}
	})
}

// A follower asks a failing store about once a second, and hears it within seconds when it answers again.
func TestAFollowerBacksOff(t *testing.T) {
	for name, fault := range map[string]func(context.Context) error{"cut": cut, "hung": hung} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var healed atomic.Bool
				p := newPair(t, 0, true, func(n *network) {
					n.ask = func(ctx context.Context) error {
						if healed.Load() {
							return nil
						}
						return fault(ctx)
					}
				})
				time.Sleep(time.Minute)
				synctest.Wait()
				require.Less(t, p.asked.Load(), int64(120))
				require.Equal(t, time.Minute, p.reader.Age())
				_, behind := p.reader.Position()
				require.True(t, behind)
				healed.Store(true)
				time.Sleep(10 * time.Second)
				require.LessOrEqual(t, p.reader.Age(), 500*time.Millisecond)
			})
		})
	}
}

// Under a bound, a follower looks so often that no request ever has to.
func TestAFollowerKeepsTheStateFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 200*time.Millisecond, true, func(n *network) {
			n.wait = func(ctx context.Context, _ uint64) error { return hung(ctx) }
			n.slow = func() { time.Sleep(10 * time.Millisecond) }
		})
		time.Sleep(100 * time.Millisecond)
		for range 1000 {
			require.True(t, p.reader.Fresh(time.Now()))
			time.Sleep(7 * time.Millisecond)
		}
	})
}

// A failed Wait is told, but not one that its caller has ended.
func TestAFailedWaitIsTold(t *testing.T) {
	var told []journal.Event
	j := journal.Observe(&network{Journal: journal.Memory(0), wait: func(ctx context.Context, _ uint64) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return errCut
	}}, func(_ context.Context, e journal.Event) { told = append(told, e) })
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, j.Wait(ended, 3), context.Canceled)
	require.ErrorIs(t, j.Wait(t.Context(), 3), errCut)
	require.Len(t, told, 1)
	require.Equal(t, "wait", told[0].Operation)
	require.EqualValues(t, 3, told[0].After)
	require.ErrorIs(t, told[0].Err, errCut)
}
