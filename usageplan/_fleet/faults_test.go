package fleet

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pause is how long a process is stopped.
func pause() time.Duration {
	if heavy() {
		return 10 * time.Second
	}
	return time.Second
}

// under lets two fleets of three nodes work over a store, a leased one and an exact one, and makes faults meanwhile.
// Afterwards each account has what was granted, to the unit. Half of the keys have a limit that is soon reached.
func under(t *testing.T, s server, timeout time.Duration, faults func(proxies, []*fleet)) {
	t.Helper()
	var all proxies
	var fleets []*fleet
	for _, m := range modes {
		p, proxies := behind(t, s.place("fault-"+m.name))
		all = append(all, proxies...)
		fleets = append(fleets, startFleet(t, spec{
			Place: p, Exact: m.exact, Timeout: timeout, Keys: 8, Limit: units(s, m.units) / 32, Wide: true,
			Workers: 4, Burst: 4, Pause: 8 * time.Millisecond, Settles: true,
		}, clocks(3)...))
	}
	work(t, fleets)
	faults(all, fleets)
	work(t, fleets)
	for _, f := range fleets {
		f.stop()
		taken, _, err := f.check()
		require.NoError(t, err)
		var failed int64
		for i := range f.spec.Keys {
			c, _ := f.sum(i)
			failed += c.failed
		}
		t.Logf("exact %t: %d units, %d calls failed", f.spec.Exact, taken, failed)
	}
}

// work waits until each fleet has been granted some more units, so the store is well.
func work(t *testing.T, fleets []*fleet) {
	t.Helper()
	for _, f := range fleets {
		want := f.taken() + 50
		again(t, func() bool { return f.taken() >= want }, "the nodes do not go on")
	}
}

// TestServerKilled: a server is killed and started again while nodes work. It has forgotten nothing that it had
// confirmed, so nothing is lost and nothing is granted twice.
func TestServerKilled(t *testing.T) {
	eachBackend(t, func(t *testing.T, s server) {
		under(t, s, 500*time.Millisecond, func(_ proxies, fleets []*fleet) {
			for range 3 {
				s.kill()
				time.Sleep(50 * time.Millisecond)
				s.run()
				work(t, fleets)
			}
		})
	})
}

// TestStopped: a server hangs and goes on. Then a node of each fleet does. What was under way is made once, or not at
// all.
func TestStopped(t *testing.T) {
	eachBackend(t, func(t *testing.T, s server) {
		under(t, s, 500*time.Millisecond, func(_ proxies, fleets []*fleet) {
			s.signal(syscall.SIGSTOP)
			time.Sleep(pause())
			s.signal(syscall.SIGCONT)
			work(t, fleets)
			for _, f := range fleets {
				require.NoError(t, f.nodes[0].cmd.Process.Signal(syscall.SIGSTOP))
			}
			time.Sleep(pause())
			for _, f := range fleets {
				require.NoError(t, f.nodes[0].cmd.Process.Signal(syscall.SIGCONT))
			}
		})
	})
}

// TestConnectionsCut: connections break in the middle of answers, of requests that write, and of the answers to these.
// In PostgreSQL those are the commits. Nodes do not know then whether the store has made the change, and find out.
func TestConnectionsCut(t *testing.T) {
	const cuts = 60
	eachBackend(t, func(t *testing.T, s server) {
		under(t, s, time.Second, func(all proxies, fleets []*fleet) {
			made := 0
			for range cuts {
				p := all[rand.IntN(len(all))]
				for _, cut := range []func(bool) bool{p.cutAnswer.Swap, p.cutRequest.Swap, p.cutWrite.Swap} {
					if !cut(true) {
						made++
					}
				}
				time.Sleep(30 * time.Millisecond)
			}
			all.each(func(p *proxy) {
				p.cutAnswer.Store(false)
				p.cutRequest.Store(false)
				p.cutWrite.Store(false)
			})
			t.Logf("%d cuts", made)
			work(t, fleets)
		})
	})
}

// TestLateAnswers: a store makes what it was asked for and answers after its caller has given up. Each change is made
// once all the same.
func TestLateAnswers(t *testing.T) {
	const timeout = 250 * time.Millisecond
	eachBackend(t, func(t *testing.T, s server) {
		under(t, s, timeout, func(all proxies, fleets []*fleet) {
			for range 3 {
				all.each(func(p *proxy) { p.delay.Store(int64(2 * timeout)) })
				time.Sleep(2 * timeout)
				all.each(func(p *proxy) { p.delay.Store(0) })
				work(t, fleets)
			}
		})
	})
}

// TestClocksDiffer: one of four nodes is an hour ahead, and another an hour behind, when a period ends. Each unit
// counts in one of the two periods, and none of them has too many. The one ahead does not begin the new period before
// the store's clock does.
func TestClocksDiffer(t *testing.T) {
	eachBackend(t, func(t *testing.T, s server) {
		for _, m := range modes {
			t.Run(m.name, func(t *testing.T) {
				t.Parallel()
				f := startFleet(t, spec{
					Place: s.place(fmt.Sprint("clock-", m.name)), Exact: m.exact, Timeout: 5 * time.Second,
					Keys: 2, Limit: units(s, m.units) / 8, Wide: true, Period: 4 * time.Second,
					Workers: 2, Burst: 4, Pause: 10 * time.Millisecond,
				}, 0, time.Hour, 0, -time.Hour)
				// DynamoDB's clock tells whole seconds, of which the store takes the end.
				midnight := time.Unix(f.spec.Midnight, 0)
				early := int64(0)
				for time.Until(midnight) > 1200*time.Millisecond {
					time.Sleep(10 * time.Millisecond)
					early = f.sumOf(1)
				}
				if time.Now().Before(midnight.Add(-time.Second)) {
					require.Zero(t, early, "units of a period that had not begun")
				}
				again(t, func() bool { return f.sumOf(1) > 100 }, "nobody takes in the new period")
				f.stop()
				_, _, err := f.check()
				require.NoError(t, err)
				require.NotZero(t, f.sumOf(0))
			})
		}
	})
}
