package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tallygate/tallygate/usageplan/boltstore"
	"github.com/tallygate/tallygate/usageplan/journal"
	"github.com/tallygate/tallygate/usageplan/ledger"
)

const (
	itemSize    = 90     // about what an API key takes
	itemsAtOnce = 10_000 // the most that a change may have
)

// someItems are the items of one change, named as those of keys are: by a number that grows.
func someItems(revision uint64, n int) journal.Change {
	c := journal.Change{Time: time.Now(), Operation: "ImportApiKeys"}
	c.Origin = journal.Origin{Actor: "AKIDEXAMPLE", Source: "192.0.2.1"}
	for i := range n {
		name := binary.BigEndian.AppendUint64(nil, revision<<24|uint64(i))
		c.Items = append(c.Items, journal.Item{Name: string(name), Value: someRow(itemSize)})
	}
	return c
}

// addItems appends changes until the journal has so many items more, and returns its head and how long each took.
func addItems(b *testing.B, j journal.Journal, head uint64, n, each int) (uint64, []time.Duration) {
	var times []time.Duration
	for ; n > 0; n -= each {
		c := someItems(head+1, min(n, each))
		start := time.Now()
		var err error
		head, err = j.Append(context.Background(), head, c)
		check(b, err)
		times = append(times, time.Since(start))
	}
	return head, times
}

// BenchmarkJournalImport appends a million items, 10 000 at a time.
func BenchmarkJournalImport(b *testing.B) {
	n := scaled(1_000_000)
	for b.Loop() {
		path := filepath.Join(b.TempDir(), "usage.db")
		s := openStore(b, path)
		_, times := addItems(b, s.Journal("keys", 0), 0, n, itemsAtOnce)
		check(b, s.Close())
		info, err := os.Stat(path)
		check(b, err)
		b.ReportMetric(float64(info.Size())/float64(n), "file-B/item")
		reportTimes(b, times)
	}
}

// BenchmarkJournalAppend appends one new item beside so many.
func BenchmarkJournalAppend(b *testing.B) {
	s, j, head := withItems(b)
	defer s.Close()
	var times []time.Duration
	for b.Loop() {
		var one []time.Duration
		head, one = addItems(b, j, head, 1, 1)
		times = append(times, one...)
	}
	reportTimes(b, times)
}

// BenchmarkJournalSnapshot reads a million items.
func BenchmarkJournalSnapshot(b *testing.B) {
	s, j, _ := withItems(b)
	defer s.Close()
	for b.Loop() {
		n := 0
		for c, err := range j.Changes(context.Background(), 0) {
			check(b, err)
			n += len(c.Items)
		}
		if n != scaled(1_000_000) {
			b.Fatal(n)
		}
	}
}

// BenchmarkJournalOpen opens a file with a million items.
func BenchmarkJournalOpen(b *testing.B) {
	path := filepath.Join(b.TempDir(), "usage.db")
	s := openStore(b, path)
	addItems(b, s.Journal("keys", 0), 0, scaled(1_000_000), itemsAtOnce)
	for b.Loop() {
		check(b, s.Close())
		s = openStore(b, path)
	}
	check(b, s.Close())
}

// BenchmarkJournalStall is how long decisions in exact mode take, of 16 goroutines, while changes of so many items are
// appended beside a million.
func BenchmarkJournalStall(b *testing.B) {
	for _, each := range []int{0, 1, 1000, itemsAtOnce} {
		b.Run(fmt.Sprintf("items=%d", each), func(b *testing.B) {
			s, j, head := withItems(b)
			defer s.Close()
			l, err := ledger.New(ledger.Config{Engine: s, Exact: true})
			check(b, err)
			defer l.Close()
			for b.Loop() {
				var done atomic.Bool
				results := make(chan []time.Duration)
				for i := range 16 {
					go func() { results <- decisions(b, l, i, &done) }()
				}
				var appends []time.Duration
				for range max(1, fewer(50)) {
					time.Sleep(100 * time.Millisecond)
					if each > 0 {
						var one []time.Duration
						head, one = addItems(b, j, head, each, each)
						appends = append(appends, one...)
					}
				}
				done.Store(true)
				var times []time.Duration
				for range 16 {
					times = append(times, <-results...)
				}
				reportTimes(b, times)
				if len(appends) > 0 {
					b.ReportMetric(float64(slices.Max(appends).Microseconds()), "worst-append-us")
				}
			}
		})
	}
}

// decisions takes units until done, and returns how long each took.
func decisions(b *testing.B, l *ledger.Ledger, subject int, done *atomic.Bool) (times []time.Duration) {
	key := ledger.Key{Plan: "basic", Subject: subjects()[subject]}
	for !done.Load() {
		start := time.Now()
		if _, err := l.Take(context.Background(), key, quota, 1); err != nil {
			b.Error(err)
		}
		times = append(times, time.Since(start))
	}
	return times
}

// withItems opens a file with a journal of a million items.
func withItems(b *testing.B) (*boltstore.Store, journal.Journal, uint64) {
	s := openStore(b, filepath.Join(b.TempDir(), "usage.db"))
	j := s.Journal("keys", 0)
	head, _ := addItems(b, j, 0, scaled(1_000_000), itemsAtOnce)
	return s, j, head
}

func reportTimes(b *testing.B, times []time.Duration) {
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64(times[len(times)-1].Microseconds()), "worst-us")
}
