package journal_test

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tallygate/tallygate/usageplan/journal"
)

// network is a journal behind a network that a test makes worse. What is nil is as it should be.
type network struct {
	journal.Journal
	wait  func(ctx context.Context, after uint64) error
	ask   func(ctx context.Context) error // before Changes begins to read
	each  time.Duration                   // before each change
	slow  func()                          // after Changes has read the head, before it answers
	asked atomic.Int64
}

func (n *network) Wait(ctx context.Context, after uint64) error {
	if n.wait != nil {
		return n.wait(ctx, after)
	}
	return n.Journal.Wait(ctx, after)
}

func (n *network) Changes(ctx context.Context, after uint64) iter.Seq2[journal.Change, error] {
	return func(yield func(journal.Change, error) bool) {
		n.asked.Add(1)
		if n.ask != nil {
			if err := n.ask(ctx); err != nil {
				yield(journal.Change{}, err)
				return
			}
		}
		var read []journal.Change
		for c, err := range n.Journal.Changes(ctx, after) {
			if err != nil {
				yield(c, err)
				return
			}
			read = append(read, c)
		}
		if n.slow != nil {
			n.slow()
		}
		for _, c := range read {
			if time.Sleep(n.each); ctx.Err() != nil {
				yield(journal.Change{}, ctx.Err())
				return
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

var errCut = errors.New("the connection is cut")

func cut(context.Context) error { return errCut }

func hung(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// pair is a node that changes, and one that hears of it over a network.
type pair struct {
	writer, reader *node
	*network
}

func newPair(t *testing.T, maxStale time.Duration, following bool, worse func(*network)) *pair {
	t.Helper()
	n := &network{Journal: journal.Memory(0)}
	p := &pair{writer: follow(t, n.Journal), reader: follow(t, n), network: n}
	if worse != nil {
		worse(n)
	}
	n.asked.Store(0)
	require.NoError(t, p.reader.Keep(maxStale, following))
	t.Cleanup(func() { require.NoError(t, p.reader.Close()) })
	return p
}

// decide renews the state of the reader if that is needed, and returns its revision and how long that took.
func (p *pair) decide(t *testing.T) (revision uint64, took time.Duration, err error) {
	start := time.Now()
	if !p.reader.Fresh(start) {
		err = p.reader.Renew(t.Context())
	}
	revision, _ = p.reader.Position()
	return revision, time.Since(start), err
}

// A node that has slept for an hour reads on before it decides, once for all requests.
func TestAStateThatIsTooOldIsReadOnOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 10*time.Second, false, func(n *network) { n.slow = func() { time.Sleep(30 * time.Millisecond) } })
		require.NoError(t, p.writer.put(t.Context(), "x", "a"))
		revision, _, err := p.decide(t)
		require.NoError(t, err)
		require.Zero(t, revision, "it is younger than 5 s, so nobody asks")
		time.Sleep(time.Hour)
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				revision, took, err := p.decide(t)
				if err != nil || revision != 1 || took != 30*time.Millisecond {
					t.Error(revision, took, err)
				}
			})
		}
		all.Wait()
		require.EqualValues(t, 1, p.asked.Load())
	})
}

// Under steady traffic nobody waits, however slow the store is, and the state never gets as old as MaxStale.
func TestUnderSteadyTrafficNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 4*time.Second, false, func(n *network) { n.slow = func() { time.Sleep(900 * time.Millisecond) } })
		for range 1000 {
			_, took, err := p.decide(t)
			require.NoError(t, err)
			require.Zero(t, took)
			require.Less(t, p.reader.Age(), 4*time.Second)
			time.Sleep(50 * time.Millisecond)
		}
		require.InDelta(t, 24, p.asked.Load(), 2, "once in 2 s")
	})
}

// The age counts from before the store was asked: what was appended while it answers is not in the answer.
func TestTheAgeCountsFromBeforeTheStoreWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 0, false, func(n *network) { n.slow = func() { time.Sleep(700 * time.Millisecond) } })
		go func() {
			time.Sleep(500 * time.Millisecond)
			if err := p.writer.put(t.Context(), "x", "a"); err != nil {
				t.Error(err)
			}
		}()
		require.NoError(t, p.reader.Refresh(t.Context()))
		require.Equal(t, 700*time.Millisecond, p.reader.Age())
		require.Empty(t, p.reader.items)
		require.NoError(t, p.reader.put(t.Context(), "y", "b"), "a change reads on, and so knows the head")
		require.Equal(t, map[string]string{"x": "a", "y": "b"}, p.reader.items)
		require.Zero(t, p.reader.Age(), "it has appended at the head")
		time.Sleep(time.Second)
		require.Equal(t, time.Second, p.reader.Age())
	})
}

// Without a bound, a node that cannot hear goes on for ever, and asks nobody.
func TestWithoutABoundEveryStateIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 0, false, func(n *network) { n.ask = cut })
		time.Sleep(1000 * time.Hour)
		require.True(t, p.reader.Fresh(time.Now()))
		require.NoError(t, p.reader.Renew(t.Context()))
		require.Zero(t, p.asked.Load())
	})
}

// A node that cannot hear refuses from MaxStale on, at once or after a second, whatever the fault, and goes on when the
// store answers again.
func TestANodeThatCannotHearRefusesAndRecovers(t *testing.T) {
	for name, fault := range map[string]func(context.Context) error{"cut": cut, "hung": hung} {
		for _, following := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var healed atomic.Bool
					p := newPair(t, 3*time.Second, following, func(n *network) {
						n.ask = func(ctx context.Context) error {
							if healed.Load() {
								return nil
							}
							return fault(ctx)
						}
					})
					last, waited, refused := time.Now(), 0, 0
					for start := time.Now(); time.Since(start) < time.Minute; time.Sleep(10 * time.Millisecond) {
						before := p.reader.Age()
						_, took, err := p.decide(t)
						if err == nil {
							require.LessOrEqual(t, before, 3*time.Second)
							last = time.Now()
							continue
						}
						require.ErrorIs(t, err, journal.ErrUnavailable)
						require.NotErrorIs(t, err, context.Canceled)
						require.Greater(t, before, 3*time.Second-10*time.Millisecond)
						require.LessOrEqual(t, took, time.Second)
						refused++
						if took > 0 {
							waited++
						}
					}
					require.Less(t, time.Since(last), time.Minute)
					require.Less(t, waited, 30, "only those that ask again: %d of %d", waited, refused)
					require.Less(t, p.asked.Load(), int64(120), "about one a second")
					require.NoError(t, p.writer.put(t.Context(), "x", "a"))
					healed.Store(true)
					time.Sleep(10 * time.Second) // the longest attempt and pause
					revision, _, err := p.decide(t)
					require.NoError(t, err)
					require.EqualValues(t, 1, revision)
				})
			})
		}
	}
}

// A store that sends a long journal slowly is heard to the end, and so is one that takes long to begin.
func TestASlowStoreIsHeardInTheEnd(t *testing.T) {
	for name, tt := range map[string]struct{ begin, change time.Duration }{
		"long journal": {0, 900 * time.Millisecond}, "slow to begin": {7 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 20*time.Second, false, nil)
				for range 10 {
					require.NoError(t, p.writer.put(t.Context(), "x", "a"))
				}
				p.each = tt.change
				p.ask = func(ctx context.Context) error {
					select {
					case <-time.After(tt.begin):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}
				time.Sleep(time.Minute)
				start := time.Now()
				for _, _, err := p.decide(t); err != nil; _, _, err = p.decide(t) {
					require.Less(t, time.Since(start), time.Minute, "%v", err)
					time.Sleep(100 * time.Millisecond)
				}
				revision, _ := p.reader.Position()
				require.EqualValues(t, 10, revision)
				time.Sleep(time.Minute) // the attempt that the last request has begun ends
			})
		})
	}
}

// A store that has lost what a node has read is refused once the node's state is too old, and the error says why.
func TestAStoreThatHasLostChangesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 10*time.Second, false, nil)
		require.NoError(t, p.writer.put(t.Context(), "x", "a"))
		time.Sleep(time.Minute)
		_, _, err := p.decide(t)
		require.NoError(t, err)
		p.Journal = journal.Memory(0)
		time.Sleep(time.Minute)
		revision, _, err := p.decide(t)
		require.EqualValues(t, 1, revision, "it keeps what it knows")
		require.ErrorIs(t, err, journal.ErrUnavailable)
		require.EqualError(t, err, "journal: no usable answer from the store: journal: "+
			"revision 1 has been read, but the head is 0: changes are lost, or this is another journal")
	})
}

// A store that is slow to notice that it was given up has failed like any other: it is not asked without a pause.
func TestAStoreThatEndsLateHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 0, true, func(n *network) {
			n.ask = func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(900 * time.Millisecond)
				return ctx.Err()
			}
		})
		time.Sleep(time.Minute)
		require.Less(t, p.asked.Load(), int64(12), "it is given ever more time")
	})
}

// An attempt that a frozen machine has left behind is overtaken, and its failure makes nobody wait or fail.
func TestAnAttemptFromBeforeAFreezeIsOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		thaw := make(chan struct{})
		var first atomic.Bool
		p := newPair(t, 4*time.Second, false, func(n *network) {
			n.ask = func(context.Context) error {
				if first.CompareAndSwap(false, true) {
					<-thaw // as a frozen process, it does not notice that its context ends
					return errCut
				}
				return nil
			}
		})
		time.Sleep(3 * time.Second)
		_, took, err := p.decide(t) // begins an attempt, and is answered
		require.NoError(t, err)
		require.Zero(t, took)
		require.NoError(t, p.writer.put(t.Context(), "x", "a"))
		time.Sleep(time.Hour)
		time.AfterFunc(time.Millisecond, func() { close(thaw) })
		revision, took, err := p.decide(t)
		require.NoError(t, err)
		require.EqualValues(t, 1, revision)
		require.Equal(t, time.Millisecond, took)
		require.EqualValues(t, 2, p.asked.Load())
	})
}

// A request that is canceled gives up at once, and the attempt goes on for the others.
func TestACanceledRequestLeavesTheAttemptToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, time.Second, false, func(n *network) { n.slow = func() { time.Sleep(500 * time.Millisecond) } })
		time.Sleep(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		start := time.Now()
		require.ErrorIs(t, p.reader.Renew(ctx), context.Canceled)
		require.Equal(t, 100*time.Millisecond, time.Since(start))
		_, took, err := p.decide(t)
		require.NoError(t, err)
		require.Equal(t, 400*time.Millisecond, took)
		require.EqualValues(t, 1, p.asked.Load())
	})
}

// A bound that is shorter than the way to the store makes every request ask, and refuses none.
func TestAVeryShortBoundRefusesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, time.Nanosecond, false, func(n *network) { n.slow = func() { time.Sleep(time.Millisecond) } })
		for i := range uint64(20) {
			require.NoError(t, p.writer.put(t.Context(), "x", "a"))
			time.Sleep(time.Millisecond)
			revision, took, err := p.decide(t)
			require.NoError(t, err)
			require.Equal(t, i+1, revision)
			require.Equal(t, time.Millisecond, took)
		}
	})
}

func TestAClosedTopicRenewsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, time.Second, true, nil)
		time.Sleep(time.Minute)
		require.NoError(t, p.reader.Close())
		require.NoError(t, p.reader.Close())
		_, _, err := p.decide(t)
		require.NoError(t, err, "what is known is fresh")
		time.Sleep(time.Minute)
		_, took, err := p.decide(t)
		require.ErrorIs(t, err, journal.ErrUnavailable)
		require.Zero(t, took)
		require.NoError(t, p.reader.Refresh(t.Context()))
		_, _, err = p.decide(t)
		require.NoError(t, err)
	})
}

func TestKeepNamesMistakes(t *testing.T) {
	require.ErrorContains(t, follow(t, journal.Memory(0)).Keep(-1, false), "MaxStale -1ns is negative")
	require.ErrorContains(t, follow(t, nil).Keep(1, false), "without a Journal")
	require.ErrorContains(t, follow(t, nil).Keep(0, true), "without a Journal")
	alone := follow(t, nil)
	require.NoError(t, alone.Keep(0, false))
	require.True(t, alone.Fresh(time.Now()))
	require.Zero(t, alone.Age())
	require.NoError(t, alone.Close())
}
