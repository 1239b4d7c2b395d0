package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/ledger"
	"github.com/tallygate/tallygate/usageplan/slots"
)

// take counts one unit for a key, by number, and reports whether it was granted.
type take func(key int) (bool, error)

// impl opens an implementation for a benchmark, with accounts for the first keys.
type impl struct {
	name string
	open func(b *testing.B, keys int) take
}

var quota = ledger.Quota{Limit: 1 << 50, Period: ledger.Monthly}

func ours(exact bool) func(b *testing.B, keys int) take {
	return func(b *testing.B, keys int) take {
		s, err := boltstore.Open(filepath.Join(b.TempDir(), "usage.db"))
		check(b, err)
		config := ledger.Config{Engine: s, Exact: exact}
		var notes *slots.Slots
		if !exact {
			notes, err = slots.Open(filepath.Join(b.TempDir(), "slots"))
			check(b, err)
			config.Slots = notes
		}
		b.Cleanup(func() {
			if notes != nil {
				check(b, notes.Close())
			}
			check(b, s.Close())
		})
		return over(b, config, keys)
	}
}

// over returns the take of a ledger that is closed before what was opened for it. The first keys have accounts.
func over(b *testing.B, config ledger.Config, keys int) take {
	l, err := ledger.New(config)
	check(b, err)
	b.Cleanup(func() { check(b, l.Close()) })
	names := subjects()
	take := func(key int) (bool, error) {
		_, err := l.Take(context.Background(), ledger.Key{Plan: "basic", Subject: names[key]}, quota, 1)
		return err == nil, err
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 256 {
		wg.Go(func() {
			for k := next.Add(1) - 1; k < int64(keys); k = next.Add(1) - 1 {
				if _, err := take(int(k)); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return take
}

const maxKeys = 100_000

var subjects = sync.OnceValue(func() []string {
	names := make([]string, maxKeys)
	for i := range names {
		names[i] = fmt.Sprintf("customer-%d", i)
	}
	return names
})

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// peers are what one would count with otherwise. Only redis-evalsha-aof and the bbolt ones survive power loss, as exact
// mode does; redis-evalsha survives nothing.
var peers = []impl{
	{"bbolt-update", bboltUpdate},
	{"bbolt-batch", bboltBatch},
	{"redis-evalsha", redis("--appendonly", "no")},
	{"redis-evalsha-aof", redis()},
}

// BenchmarkLeased: decisions that survive kill -9.
func BenchmarkLeased(b *testing.B) {
	matrix(b, append([]impl{{"ours", ours(false)}}, peers...))
}

// BenchmarkExact: decisions that survive power loss.
func BenchmarkExact(b *testing.B) { matrix(b, append([]impl{{"ours", ours(true)}}, peers...)) }

func matrix(b *testing.B, impls []impl) {
	for _, keys := range []int{1, 64, fewer(maxKeys)} {
		for _, goroutines := range []int{1, 16, 64} {
			for _, im := range impls {
				name := fmt.Sprintf("keys=%s/goroutines=%d/impl=%s", short(keys), goroutines, im.name)
				b.Run(name, func(b *testing.B) { run(b, im.open(b, keys), keys, goroutines) })
			}
		}
	}
}

func short(n int) string {
	if n%1000 == 0 {
		return strconv.Itoa(n/1000) + "k"
	}
	return strconv.Itoa(n)
}

// run measures the takes, and what the disk allows.
func run(b *testing.B, take take, keys, goroutines int) {
	sync50, write50 := rawSync(b)
	spread(b, take, keys, goroutines)
	b.ReportMetric(float64(sync50), "fdatasync-p50-ns")
	b.ReportMetric(float64(write50), "pwrite-p50-ns")
}

// spread spreads b.N takes over goroutines. Every eighth latency is kept (all, if there are few), so that the clock is
// not what is measured.
func spread(b *testing.B, take take, keys, goroutines int) {
	const every = 8
	var next atomic.Int64
	latencies := make([][]time.Duration, goroutines)
	var wg sync.WaitGroup
	b.ReportAllocs()
	runtime.GC() // of what setting up has left
	b.ResetTimer()
	for g := range goroutines {
		wg.Go(func() {
			mine := make([]time.Duration, 0, 1024)
			defer func() { latencies[g] = mine }()
			x := uint64(g)*0x9e3779b97f4a7c15 + 1
			for {
				from := next.Add(every) - every
				if from >= int64(b.N) {
					return
				}
				for i := range min(every, int64(b.N)-from) {
					x ^= x << 13
					x ^= x >> 7
					x ^= x << 17
					timed := i == 0
					var start time.Time
					if timed {
						start = time.Now()
					}
					ok, err := take(int(x % uint64(keys)))
					if timed {
						mine = append(mine, time.Since(start))
					}
					if err != nil || !ok {
						b.Errorf("take: %v, %v", ok, err)
						return
					}
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(latencies...)
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2]), "p50-ns")
	b.ReportMetric(float64(all[len(all)*99/100]), "p99-ns")
}

// rawSync is what the system allows: the median of appending 4 KiB to a file and syncing it, and of writing 8 bytes
// over others.
func rawSync(b *testing.B) (synced, written time.Duration) {
	f, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	check(b, err)
	defer f.Close()
	synced = median(31, func() {
		_, err := f.Write(make([]byte, 4096))
		check(b, err)
		check(b, datasync(f))
	})
	eight := make([]byte, 8)
	return synced, median(10_001, func() {
		_, err := f.WriteAt(eight, 72)
		check(b, err)
	})
}

func median(n int, f func()) time.Duration {
	times := make([]time.Duration, n)
	for i := range times {
		start := time.Now()
		f()
		times[i] = time.Since(start)
	}
	slices.Sort(times)
	return times[n/2]
}
