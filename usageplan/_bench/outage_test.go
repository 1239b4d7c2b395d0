package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/ledger"
)

const (
	outageLength  = 500 * time.Millisecond // how long the server is away
	outageCallers = 16                     // goroutines that take meanwhile, each about once in a millisecond
)

// outageTimeout is the Timeout of the ledger. A server that hangs is noticed when it is over. With -short it is long
// enough for a server on a machine that has much else to do.
func outageTimeout() time.Duration {
	if testing.Short() {
		return time.Second
	}
	return 5 * time.Millisecond
}

// BenchmarkOutage: the server is killed, or hangs, under a ledger that is in use. first-error-ms is how long the first
// take lasted that got an error. p50-ns and p99-ns are of those that follow within half a second. ns/op is a take by
// one goroutine after that.
func BenchmarkOutage(b *testing.B) {
	for _, st := range stores {
		b.Run("store="+st.name, func(b *testing.B) {
			s := st.server(b)
			b.Run("fault=killed", func(b *testing.B) { fail(b, st, s, s.kill) })
			b.Run("fault=hung", func(b *testing.B) { fail(b, st, s, s.hang) })
		})
	}
}

// fail makes a fault under a ledger of each mode, and mends it when both have been measured.
func fail(b *testing.B, st store, s *server, fault func()) {
	takes := make([]func() error, len(modes))
	for i, mode := range modes {
		takes[i] = used(b, ledger.Config{Engine: st.open(b, s), Exact: mode == "exact"})
	}
	fault()
	defer func() { s.kill(); s.run(b) }()
	for i, mode := range modes {
		seen := measure(b, takes[i])
		b.Run(fmt.Sprintf("mode=%s/impl=ours", mode), func(b *testing.B) {
			for b.Loop() {
				_ = takes[i]()
			}
			b.ReportMetric(float64(seen.first)/1e6, "first-error-ms")
			b.ReportMetric(float64(seen.p50), "p50-ns")
			b.ReportMetric(float64(seen.p99), "p99-ns")
		})
	}
}

// used returns the take of a ledger from which units have been taken. A lease holds few of them, so that it is empty
// soon after the server is gone. A server that has just been started may be too slow for outageTimeout at first.
func used(b *testing.B, c ledger.Config) func() error {
	c.Block, c.Timeout = 100, outageTimeout()
	begun := time.Now()
	l, err := ledger.New(c)
	for ; err != nil; l, err = ledger.New(c) {
		if time.Since(begun) > time.Minute {
			b.Fatal("the server is always too slow: ", err)
		}
	}
	b.Cleanup(func() { _ = l.Close() })
	take := func() error {
		_, err := l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: "customer"}, quota, 1)
		return err
	}
	for granted := 0; granted < 10; time.Sleep(time.Millisecond) {
		if err = take(); err == nil {
			granted++
		} else if time.Since(begun) > time.Minute {
			b.Fatal("the server is always too slow: ", err)
		}
	}
	return take
}

// outage is what callers have seen of one.
type outage struct{ first, p50, p99 time.Duration }

// measure takes until the first error, and then as often as the callers do.
func measure(b *testing.B, take func() error) outage {
	first, err := time.Duration(0), error(nil)
	for asked := 0; err == nil; asked++ {
		begun := time.Now()
		err = take()
		first = time.Since(begun)
		if asked > 1000 {
			b.Fatal("no error while the server is away")
		}
	}
	over := time.Now().Add(outageLength)
	later := make([][]time.Duration, outageCallers)
	var wg sync.WaitGroup
	for i := range later {
		wg.Go(func() {
			for begun := time.Now(); len(later[i]) == 0 || begun.Before(over); begun = time.Now() {
				if err := take(); !errors.Is(err, ledger.ErrUnavailable) {
					b.Error("a take while the server is away: ", err)
				}
				later[i] = append(later[i], time.Since(begun))
				time.Sleep(time.Millisecond)
			}
		})
	}
	wg.Wait()
	all := slices.Concat(later...)
	slices.Sort(all)
	return outage{first, all[len(all)/2], all[len(all)*99/100]}
}
